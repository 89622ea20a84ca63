/**
 * The page of one alert, live: its value, how long it lasts, its chart; and it says so when the
 * alert has changed, which is for who reads it to look at.
 */

import { Soon } from "./alarm.js";
import { age } from "./alerts.js";
import { Crosshair } from "./crosshair.js";
import { cut } from "./history.js";
import { RangeChart } from "./rangechart.js";
import { svg } from "./svg.js";

/** The chart goes on so often; a bucket is ten seconds and more. */
const REDRAW_MS = 15_000;
const POINTS = 360;

/** Notices about this alert after which the page is another. */
const ABOUT = new Set(["ack", "silence", "maintenance", "delivery"]);

export class AlertPage {
  /**
   * @param {string} host
   * @param {import("./store.js").Store} store
   * @param {import("./live.js").Live} live
   * @param {AbortSignal} signal
   */
  constructor(host, store, live, signal) {
    this.host = host;
    this.store = store;
    this.live = live;
    this.signal = signal;
    this.id = document.body.dataset.alert ?? "";
    const figure = document.querySelector("[data-alert-chart]");
    this.chart = figure instanceof HTMLElement ? new AlertChart(figure) : null;
    this.soon = new Soon(() => this.redraw(), signal);
    this.drawn = -Infinity;
    if (this.chart) this.listen(this.chart);
    this.soon.ask();
  }

  /** @param {AlertChart} chart */
  listen(chart) {
    const nothing = () => {};
    const listener = { zoom: nothing, out: nothing, pan: nothing, pick: nothing, pinned: () => -1 };
    const panel = { figure: chart.figure, box: chart.box, chart: () => chart };
    this.crosshair = new Crosshair([panel], listener, this.signal);
    const resized = new ResizeObserver(() => chart.picture && this.crosshair && chart.again());
    resized.observe(chart.box);
    this.signal.addEventListener("abort", () => resized.disconnect());
  }

  onConnected() {}

  /** @param {any} data @param {boolean} snapshot */
  onMetrics(data, snapshot) {
    if (data.host !== this.host) return;
    const metrics = /** @type {[string, number | null][]} */ (Object.entries(data.metrics ?? {}));
    this.store.take(this.host, metrics, snapshot);
    this.live.show(this.host, metrics);
  }

  onStatus() {}

  onTick() {
    age(document);
    if (!document.hidden && performance.now() - this.drawn > REDRAW_MS) this.soon.ask();
  }

  /** @param {import("./messages.js").Message} message */
  onLogged({ type, data }) {
    const { details } = data;
    const isIt = type === "alert" && data.alert === this.id;
    const isAbout = type === "notice" && ABOUT.has(data.kind) &&
      (details?.alert === this.id || details?.alerts?.includes?.(this.id));
    if (isIt || isAbout) document.querySelector("[data-alert-moved]")?.removeAttribute("hidden");
  }

  async redraw() {
    const { chart, host, signal } = this;
    this.drawn = performance.now();
    if (!chart) return;
    const [start, end] = chart.span(Date.now() / 1000);
    const keys = chart.lines.map((line) => line.key);
    try {
      const span = { start: start.toFixed(0), end: end.toFixed(0), points: String(POINTS) };
      const found = await cut(host, keys, span, signal);
      chart.show(start, end, found);
      this.crosshair?.draw();
    } catch {
      // What stands there is still true; it is asked for again.
    }
  }
}

/** The chart of a range with the alert's limit and instants over it. */
class AlertChart extends RangeChart {
  /** @param {HTMLElement} figure */
  constructor(figure) {
    const lines = [...figure.querySelectorAll("[data-series]")].map((item) => ({
      key: item.getAttribute("data-series") ?? "",
      label: item.getAttribute("data-label") ?? "",
      slot: Number(item.getAttribute("data-slot")),
    }));
    super(figure, /** @type {any} */ (lines));
    this.title = this.lines[0]?.key ?? "";
    this.leastTop = this.fixedTop;
    this.limits = [...figure.querySelectorAll("[data-limit]")].map((item) => ({
      value: Number(item.getAttribute("data-limit")),
      clear: Number(item.getAttribute("data-clear")),
    }));
    this.instants = [...figure.querySelectorAll("[data-instant]")].map((item) => ({
      at: Number(item.getAttribute("data-instant")),
      shape: item.getAttribute("data-shape") ?? "",
      text: item.textContent ?? "",
    }));
  }

  /** Nothing is drawn yet while the first answer is on its way. */
  get stride() {
    return this.picture ? super.stride : 0;
  }

  /** What it spans at an instant. @param {number} now @returns {[number, number]} */
  span(now) {
    const { start, end } = this.figure.dataset;
    return [Number(start), Number(end) || now];
  }

  /** @param {number} start @param {number} end @param {any} found */
  show(start, end, found) {
    const markers = this.instants.map(({ at, shape, text }) => ({
      share: (at - start) / (end - start), shape, text,
    }));
    const losses = [];
    const words = "from an hour before it fired";
    const picture = { start, end, now: end, cut: found, before: null, earlier: 0, compared: "", words, markers, losses };
    this.fixedTop = 0; // as high as the values ask for, and never lower than the page drew it
    const high = Math.max(0, ...this.columns(found).flatMap(({ high: column }) => column.map((v) => v ?? 0)));
    this.fixedTop = high > this.leastTop ? 0 : this.leastTop;
    this.draw(picture);
    this.overlay();
  }

  /** The same again: the box has another width. */
  again() {
    if (!this.picture) return;
    this.draw(this.picture);
    this.overlay();
  }

  overlay() {
    const area = this.box.querySelector(".area");
    const grid = area?.querySelector(".grid");
    if (!area || !grid) return;
    for (const { value, clear } of this.limits) {
      const [y, back] = [this.y(value), this.y(clear)];
      const band = { x: 0, width: 600, y: Math.min(y, back).toFixed(1), height: Math.abs(y - back).toFixed(1) };
      grid.after(svg("rect", { class: "wayback", ...band }), svg("path", { class: "limit", d: `M0 ${y.toFixed(1)}H600` }));
    }
  }
}
