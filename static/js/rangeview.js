/**
 * The range of a host's charts: kept in the address, asked of the server, drawn in every chart.
 *
 * Only the newest question counts: another range ends the one before it, and an answer that
 * comes too late changes nothing.  A range that follows the present is asked for again about
 * once a pixel.
 */

import { Crosshair } from "./crosshair.js";
import { Refused } from "./history.js";
import { absolute, asked, isLive, LONGEST_S, query, shortWords, title, windowOf } from "./range.js";
import { RangeBar } from "./rangebar.js";
import { firstData, found as everything, remark, resolution, told } from "./rangedata.js";
import { windowWords } from "./timeaxis.js";

/** A range that follows is asked for again no sooner than this. */
const LEAST_FOLLOW_MS = 5_000;
/** What could not be had is asked for again after so long, where it follows the present. */
const RETRY_MS = 10_000;

/**
 * @typedef {import("./range.js").Range} Range
 * @typedef {import("./rangechart.js").Cut} Cut
 */

export class RangeView {
  /**
   * @param {string} host
   * @param {HTMLElement} section
   * @param {{live: import("./charts.js").Chart, range: import("./rangechart.js").RangeChart}[]} charts
   * @param {import("./then.js").Then} then
   * @param {() => void} onLive the charts are live again
   * @param {AbortSignal} signal
   */
  constructor(host, section, charts, then, onLive, signal) {
    this.host = host;
    this.section = section;
    this.charts = charts;
    this.then = then;
    this.onLive = onLive;
    this.signal = signal;
    this.bar = new RangeBar(section);
    this.points = Number(document.body.dataset.points) || 400;
    this.range = asked(location.search);
    this.asking = new AbortController();
    this.timer = 0;
    /** Whether a hidden page has let the time pass. */
    this.due = false;
    /** @type {[number, number] | null} the window that was asked for; live has none of its own */
    this.shown = null;
    /** @type {Promise<number> | null} */
    this.first = null;
    this.keys = [...new Set(charts.flatMap(({ live }) => live.lines.map((line) => line.key)))];
    this.crosshair = new Crosshair(
      charts.map(({ live, range }) => ({
        figure: live.figure,
        box: live.box,
        chart: () => (isLive(this.range) ? live : range),
      })),
      this,
      signal,
    );
    this.listen();
    this.apply(this.range, true);
  }

  now() {
    return now();
  }

  /** What the charts span now. @returns {[number, number]} */
  get window() {
    const end = isLive(this.range) ? this.charts[0]?.live.end : 0;
    return this.shown ?? windowOf(this.range, end || this.now());
  }

  listen() {
    const { signal } = this;
    this.section.addEventListener("click", (event) => this.clicked(event), { signal });
    this.section.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.bar.details?.contains(/** @type {Node} */ (event.target))) {
        this.bar.details.open = false;
      }
    }, { signal });
    this.section.addEventListener("submit", (event) => this.submitted(event), { signal });
    document.querySelector("[data-now-link]")?.addEventListener("click", (event) => {
      if (!plain(/** @type {MouseEvent} */ (event)) || !this.then.table) return;
      event.preventDefault();
      this.go({ ...this.range, at: 0 }, "replace");
    }, { signal });
    window.addEventListener("popstate", () => {
      const range = asked(location.search);
      if (query(range) !== query(this.range)) this.apply(range);
      else this.showBar();
    }, { signal });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.due) this.refresh();
    }, { signal });
    let width = this.section.clientWidth;
    const resized = new ResizeObserver(() => {
      if (this.section.clientWidth === width) return;
      width = this.section.clientWidth;
      this.redraw();
    });
    resized.observe(this.section);
    signal.addEventListener("abort", () => {
      this.asking.abort();
      clearTimeout(this.timer);
      resized.disconnect();
    });
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const target = /** @type {Element} */ (event.target);
    if (target.closest("[data-back]")) this.out();
    if (target.closest("[data-retry]")) this.load(false);
    if (target.closest("[data-at-link]") && plain(event)) {
      event.preventDefault(); // an entry of the history less
      document.querySelector("#processes")?.scrollIntoView();
    }
    const link = /** @type {HTMLAnchorElement | null} */ (
      target.closest("a[data-range], a[data-compare], a[data-at], .happened a")
    );
    if (!link || !plain(event)) return;
    event.preventDefault();
    const to = asked(new URL(link.href).search);
    if (link.dataset.range !== undefined) this.go({ ...to, at: this.range.at }, "push");
    else this.go(to, "replace");
  }

  /** The fields are in the browser's time zone. @param {SubmitEvent} event */
  submitted(event) {
    event.preventDefault();
    const fields = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const [from, to] = ["from", "to"].map((name) => Date.parse(String(fields.get(name))) / 1000);
    if (!(to - from > 0) || to - from > LONGEST_S) {
      const why = to > from ? "A range is at most ten years long." : "The range ends before it starts.";
      this.bar.trouble(why);
      return;
    }
    if (this.bar.details) this.bar.details.open = false;
    this.go(absolute(this.range, from, to), "push");
  }

  // What the crosshair asks for.

  /** @param {number} from @param {number} to shares of the window */
  zoom(from, to) {
    const [start, end] = this.window;
    const width = end - start;
    const range = absolute(this.range, start + from * width, start + to * width);
    this.go(range, "push", shortWords(this.range));
  }

  /** Back to where one was, or, where one came straight here, to twice the width. */
  out() {
    if (history.state?.zoomed) {
      history.back();
      return;
    }
    if (isLive(this.range)) return;
    const [start, end] = this.window;
    const half = (end - start) / 2;
    const last = Math.max(end, Math.min(end + half, this.now()));
    if (end - start < LONGEST_S / 2) this.go(absolute(this.range, last - 4 * half, last), "push");
  }

  /** @param {number} direction -1 or 1 */
  pan(direction) {
    const [start, end] = this.window;
    const step = Math.min((direction * (end - start)) / 2, Math.max(0, this.now() - end));
    if (Math.abs(step) < 1) return;
    const zoomed = history.state?.zoomed;
    this.go(absolute(this.range, start + step, end + step), zoomed ? "replace" : "push", shortWords(this.range));
  }

  /** @param {number} share */
  pick(share) {
    if (!this.then.box) return;
    const [start, end] = this.window;
    this.go({ ...this.range, at: Math.round(start + share * (end - start)) }, "replace");
  }

  pinned() {
    if (!this.range.at) return -1;
    const [start, end] = this.window;
    const share = (this.range.at - start) / (end - start);
    return share >= 0 && share <= 1 ? share : -1;
  }

  /**
   * @param {Range} range
   * @param {"push" | "replace"} how
   * @param {string} zoomed what going back leads to, where this is a part of it
   */
  go(range, how, zoomed = "") {
    if (query(range) === query(this.range)) {
      this.refresh();
      return;
    }
    const sort = new URLSearchParams(location.search).get("sort") ?? "";
    const url = query(range, { sort }) || location.pathname;
    if (range.at !== this.range.at && !this.then.table) {
      location.assign(url); // the page was made without a table
      return;
    }
    if (how === "push") history.pushState(zoomed ? { zoomed } : null, "", url);
    else history.replaceState(history.state, "", url);
    this.apply(range);
  }

  /** @param {Range} range @param {boolean} first whether the server has just drawn it */
  apply(range, first = false) {
    const before = this.range;
    this.range = range;
    this.then.show(range.at, first);
    const same = !first && query({ ...before, at: 0 }) === query({ ...range, at: 0 });
    if (!same) this.span(first);
    this.showBar();
    this.crosshair.draw();
  }

  /** The stretch of time has changed. @param {boolean} first */
  span(first) {
    this.asking.abort();
    clearTimeout(this.timer);
    this.due = false;
    this.bar.trouble("");
    const live = isLive(this.range);
    document.body.dataset.mode = live ? "live" : "range";
    this.shown = live ? null : windowOf(this.range, this.now());
    if (live) {
      this.section.removeAttribute("aria-busy");
      for (const { live: chart, range } of this.charts) {
        chart.active = true;
        if (!first) range.box.setAttribute("aria-label", `${range.title}, the last ten minutes`);
      }
      this.bar.announce(first ? "" : "Live");
      this.onLive();
      return;
    }
    for (const { live: chart, range } of this.charts) {
      chart.leave();
      if (!first && this.shown) range.move(...this.shown);
    }
    this.load(false);
  }

  showBar() {
    const back = history.state?.zoomed;
    this.bar.show(this.range, this.window, this.now(), typeof back === "string" ? back : "");
  }

  refresh() {
    if (!isLive(this.range) && !this.signal.aborted) this.load(true);
  }

  /** @param {boolean} quiet whether the range is only asked for again */
  async load(quiet) {
    this.asking.abort();
    clearTimeout(this.timer);
    this.due = false;
    const asking = new AbortController();
    this.asking = asking;
    if (!quiet) this.section.setAttribute("aria-busy", "true");
    const { range } = this;
    const window_ = windowOf(range, this.now());
    try {
      const found = await everything(range, window_, this.asker(asking.signal));
      if (asking.signal.aborted || this.signal.aborted) return;
      this.shown = window_;
      this.section.removeAttribute("aria-busy");
      this.bar.trouble("");
      this.draw(range, window_, found);
      if (!quiet) this.bar.announce(`${title(range)}: ${windowWords(...window_, this.now())}`);
      this.follow(Math.max(LEAST_FOLLOW_MS, found.cut.step * 1000));
      await this.remark(window_, found.cut, asking.signal);
    } catch (error) {
      if (asking.signal.aborted || this.signal.aborted) return;
      this.section.removeAttribute("aria-busy");
      if (!quiet) {
        for (const { range: chart } of this.charts) chart.blank();
        this.bar.tell("", "", []);
      }
      const why = error instanceof Refused ? error.message : "the answer cannot be read";
      this.bar.trouble(`This range could not be had: ${why}.`);
      this.follow(RETRY_MS);
    }
  }

  /** @param {number} milliseconds */
  follow(milliseconds) {
    clearTimeout(this.timer);
    if (this.range.end) return;
    this.timer = window.setTimeout(() => {
      // Nobody looks: it is asked for when somebody does.
      if (document.hidden) this.due = true;
      else this.refresh();
    }, milliseconds);
  }

  /**
   * @param {Range} range @param {[number, number]} window_
   * @param {Awaited<ReturnType<typeof everything>>} found
   */
  draw(range, window_, found) {
    const { picture, happened } = told(range, window_, found, this.now());
    for (const { range: chart } of this.charts) chart.draw(picture);
    const usual = this.charts.flatMap(({ range: chart }) => chart.usual);
    this.bar.tell(resolution(found.cut.step, usual), "", happened);
    this.showBar();
    this.crosshair.draw();
  }

  /** The width changed: marks have more room, or less. */
  redraw() {
    if (isLive(this.range)) return;
    for (const { range } of this.charts) if (range.picture) range.draw(range.picture);
    this.crosshair.draw();
  }

  /** @param {[number, number]} window_ @param {Cut} found @param {AbortSignal} signal */
  async remark(window_, found, signal) {
    // One series of each chart tells enough.
    const keys = this.charts.map(({ live }) => live.lines[0].key);
    const asker = { ...this.asker(this.signal), keys };
    const first = () => (this.first ??= firstData(asker).catch(() => NaN));
    const said = await remark(window_, found, this.now(), first);
    if (!signal.aborted) this.bar.text("remark", said);
  }

  /** @param {AbortSignal} signal @returns {import("./rangedata.js").Asker} */
  asker(signal) {
    return { host: this.host, keys: this.keys, points: this.points, now: this.now(), signal };
  }
}

/** The server's clock, from the page that it made and how long ago that was. */
const drawnAt = Number(document.body.dataset.now) || Date.now() / 1000;
const ahead = drawnAt - (performance.timeOrigin + (entry()?.responseStart ?? 0)) / 1000;

/** Unix seconds. */
export function now() {
  return Date.now() / 1000 + ahead;
}

/** How the page came. @returns {PerformanceNavigationTiming | undefined} */
function entry() {
  return /** @type {any} */ (performance.getEntriesByType("navigation")[0]);
}

/** Whether a click means this window. @param {MouseEvent} event */
function plain(event) {
  return !(event.ctrlKey || event.metaKey || event.shiftKey || event.button);
}
