/**
 * One crosshair over all charts of a page, and what pointer, touch and keys do with it: read
 * values, choose an instant, drag out a range, step out of one.
 *
 * It knows shares of the width, 0 to 1; what they mean is for its listener and the charts.
 */

import { LEFT, RIGHT, TOP } from "./rangechart.js";
import { PLOT } from "./chartmath.js";
import { svg } from "./svg.js";

/** A pointer that moved by less did not drag. */
const DRAG_PX = 5;
/** A click waits so long for the second one of a double click. */
const DOUBLE_MS = 250;
const PAGE_STEPS = 10;

/**
 * What a chart answers to the crosshair: see RangeChart.hold.
 * @typedef {{stride: number, hold(share: number): {share: number, words: string, said: string,
 *   dots: ({slot: number, y: number} | null)[]} | null, release(): void}} Readable
 * @typedef {{figure: HTMLElement, box: HTMLElement, chart: () => Readable}} Panel
 * @typedef {{zoom(from: number, to: number): void, out(): void, pan(direction: number): void,
 *   pick(share: number): void, pinned(): number}} Listener
 */

export class Crosshair {
  /**
   * @param {Panel[]} panels
   * @param {Listener} listener
   * @param {AbortSignal} signal
   */
  constructor(panels, listener, signal) {
    this.listener = listener;
    /** @type {number | null} */
    this.share = null;
    /** @type {{id: number, from: number, x: number, moved: boolean} | null} */
    this.drag = null;
    this.clicked = 0;
    this.layers = panels.map((panel) => {
      const layer = svg("svg", { class: "crosshair", width: "100%", height: "100%", "aria-hidden": "true" });
      return { panel, layer, time: panel.figure.querySelector(".at") };
    });
    for (const panel of panels) this.listen(panel, signal);
    signal.addEventListener("abort", () => {
      clearTimeout(this.clicked);
      for (const { layer } of this.layers) layer.remove();
    });
  }

  /** @param {Panel} panel @param {AbortSignal} signal */
  listen(panel, signal) {
    const { box } = panel;
    box.tabIndex = 0;
    box.setAttribute("role", "slider");
    box.setAttribute("aria-roledescription", "chart");
    box.setAttribute("aria-valuemin", "0");
    box.setAttribute("aria-valuemax", "100");
    box.setAttribute("aria-valuenow", "100");
    box.setAttribute("aria-describedby", "chart-keys");
    /** @param {string} type @param {(event: any) => void} heard */
    const on = (type, heard) => box.addEventListener(type, heard, { signal });
    on("pointerdown", (event) => this.down(event, box));
    on("pointermove", (event) => this.moved(event, box));
    on("pointerup", (event) => this.up(event, box));
    on("pointercancel", () => this.leave());
    on("pointerleave", (event) => event.pointerType === "mouse" && !this.drag && this.leave());
    on("dblclick", () => {
      clearTimeout(this.clicked);
      this.listener.out();
    });
    on("keydown", (event) => this.key(event, panel));
    on("focus", () => box.matches(":focus-visible") && this.point(this.share ?? 1));
    on("blur", () => !this.drag && this.leave());
  }

  /** @param {PointerEvent} event @param {HTMLElement} box */
  shareOf(event, box) {
    const edges = box.getBoundingClientRect();
    const share = (event.clientX - edges.left - LEFT) / (edges.width - LEFT - RIGHT);
    return Math.min(1, Math.max(0, share));
  }

  /** @param {PointerEvent} event @param {HTMLElement} box */
  down(event, box) {
    if (event.button || !event.isPrimary) return;
    const from = this.shareOf(event, box);
    box.setPointerCapture(event.pointerId); // wherever it goes from here, it is ours
    this.drag = { id: event.pointerId, from, x: event.clientX, moved: false };
    this.point(from);
  }

  /** @param {PointerEvent} event @param {HTMLElement} box */
  moved(event, box) {
    if (!event.isPrimary) return;
    const { drag } = this;
    if (drag && Math.abs(event.clientX - drag.x) > DRAG_PX) drag.moved = true;
    this.point(this.shareOf(event, box));
  }

  /** @param {PointerEvent} event @param {HTMLElement} box */
  up(event, box) {
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.id !== event.pointerId) return;
    const share = this.shareOf(event, box);
    if (drag.moved) {
      if (Math.abs(event.clientX - drag.x) > DRAG_PX) {
        this.listener.zoom(Math.min(drag.from, share), Math.max(drag.from, share));
      }
      this.draw();
      return;
    }
    clearTimeout(this.clicked);
    this.clicked = window.setTimeout(() => this.listener.pick(this.snapped(share)), DOUBLE_MS);
  }

  /** The instant that is read at a share, as a share. @param {number} share */
  snapped(share) {
    return this.layers[0]?.panel.chart().hold(share)?.share ?? share;
  }

  /** @param {KeyboardEvent} event @param {Panel} panel */
  key(event, panel) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = panel.chart().stride;
    const share = this.share ?? 1;
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0;
    const page = { PageUp: PAGE_STEPS, PageDown: -PAGE_STEPS }[event.key] ?? 0;
    if (arrow && event.shiftKey) this.listener.pan(arrow);
    else if (arrow || page) this.point(share + step * (arrow + page));
    else if (event.key === "Home") this.point(0);
    else if (event.key === "End") this.point(1);
    else if (event.key === "Enter") this.listener.pick(this.snapped(share));
    else if (event.key === "+" || event.key === "=") this.closer(share);
    else if (event.key === "-" || event.key === "_") this.listener.out();
    else if (event.key === "Escape") this.escape();
    else return;
    event.preventDefault();
  }

  /** Half the width, around where the crosshair is. @param {number} share */
  closer(share) {
    const from = Math.min(0.5, Math.max(0, share - 0.25));
    this.listener.zoom(from, from + 0.5);
  }

  escape() {
    if (this.drag) {
      this.drag = null;
      this.draw();
    } else {
      this.listener.out();
    }
  }

  /** @param {number} share */
  point(share) {
    this.share = Math.min(1, Math.max(0, share));
    this.draw();
  }

  leave() {
    this.drag = null;
    this.share = null;
    for (const { panel, time } of this.layers) {
      panel.chart().release();
      if (time?.textContent) time.textContent = "";
    }
    this.draw();
  }

  /** Draw it again: the charts below it, or what it points at, have changed. */
  draw() {
    const pinned = this.listener.pinned();
    for (const { panel, layer, time } of this.layers) {
      const width = panel.box.clientWidth - LEFT - RIGHT;
      const x = (/** @type {number} */ share) => (LEFT + share * width).toFixed(1);
      const line = (/** @type {string} */ name, /** @type {number} */ share) =>
        svg("line", { class: name, x1: x(share), x2: x(share), y1: TOP, y2: TOP + PLOT });
      /** @type {SVGElement[]} */
      const parts = pinned >= 0 ? [line("pin", pinned)] : [];
      const found = this.share === null ? null : panel.chart().hold(this.share);
      if (this.share !== null && this.drag?.moved) {
        const [from, to] = [Math.min(this.drag.from, this.share), Math.max(this.drag.from, this.share)];
        parts.push(svg("rect", {
          class: "drag", x: x(from), width: ((to - from) * width).toFixed(1), y: TOP, height: PLOT,
        }));
      }
      if (found) {
        parts.push(line("hair", found.share));
        for (const dot of found.dots) {
          if (!dot) continue;
          parts.push(svg("circle", { class: `dot s${dot.slot}`, cx: x(found.share), cy: (dot.y + TOP).toFixed(1), r: 3.5 }));
        }
        if (time) time.textContent = found.words;
        panel.box.setAttribute("aria-valuenow", String(Math.round(found.share * 100)));
        panel.box.setAttribute("aria-valuetext", `${found.words}: ${found.said}`);
      }
      layer.replaceChildren(...parts);
      if (!parts.length) layer.remove();
      else if (!layer.isConnected) panel.box.append(layer);
    }
  }
}
