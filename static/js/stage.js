/**
 * Which rows of a long table are in view, or nearly.  Only those are written as values come; of
 * the others a few a second are, in turn, for whoever searches the page or has it read aloud.
 */

/** How far beyond the window a row counts as seen, so that scrolling finds it written. */
const NEAR = "300px 0px";
/** Rows out of view that are written each second: a thousand within half a minute. */
const ROWS_A_TURN = 40;

export class Stage {
  /**
   * @param {Set<string>} unseen names of rows out of view; kept up to date here
   * @param {(name: string) => void} draw write a row as it is now
   * @param {AbortSignal} signal
   */
  constructor(unseen, draw, signal) {
    this.unseen = unseen;
    this.draw = draw;
    this.observer = new IntersectionObserver((entries) => this.onMoved(entries), {
      rootMargin: NEAR,
    });
    signal.addEventListener("abort", () => this.observer.disconnect());
    addEventListener("beforeprint", () => this.drawAll(), { signal });
  }

  /** @param {Element} row */
  watch(row) {
    this.observer.observe(row);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  onMoved(entries) {
    for (const { target, isIntersecting } of entries) {
      const name = target.getAttribute("data-host") ?? "";
      if (!isIntersecting) this.unseen.add(name);
      else if (this.unseen.delete(name)) this.draw(name);
    }
  }

  /** Write those whose turn it is. */
  turn() {
    const names = this.unseen.values();
    for (let i = Math.min(ROWS_A_TURN, this.unseen.size); i > 0; i -= 1) {
      const name = names.next().value ?? "";
      this.unseen.delete(name);
      this.unseen.add(name); // last in the row again
      this.draw(name);
    }
  }

  drawAll() {
    for (const name of this.unseen) this.draw(name);
  }
}
