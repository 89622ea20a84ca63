/**
 * The chart of a range: the picture of monitor/web/rangecharts.py, drawn again of the same parts
 * whenever the range changes.  Each bucket stands at its middle.
 */

import {
  area, differs, highest, lastOf, PLOT, reading, runs, spread, stack, stroke, tickText, whole,
} from "./chartmath.js";
import { niceTop, text } from "./format.js";
import { percent, svg } from "./svg.js";
import { axis, bucketWords } from "./timeaxis.js";

export const LEFT = 68;
export const RIGHT = 100;
export const TOP = 8;
const WIDTH = 600;
const HEIGHT = 160;
const LEAST_BAND = 0.004;
/** Pixels that a mark of the horizontal axis has for its words. */
const MARK_PX = 56;
const MOST_LOSSES = 50;
/** Signs of markers stand at least so far apart, as a share of the width. */
const APART = 0.04;

/**
 * @typedef {{low: (number | null)[], middle: (number | null)[], high: (number | null)[]}} Columns
 * @typedef {{t: number[], step: number, series: Map<string, Columns>}} Cut
 * @typedef {{share: number, shape: string, text: string}} MarkerLine
 * @typedef {{start: number, end: number, now: number, cut: Cut, before: Cut | null,
 *   earlier: number, compared: string, words: string, markers: MarkerLine[],
 *   losses: {start: number, end: number, text: string}[]}} Picture
 */

export class RangeChart {
  /**
   * @param {HTMLElement} figure
   * @param {import("./charts.js").Line[]} lines
   */
  constructor(figure, lines) {
    this.figure = figure;
    this.lines = lines;
    this.box = /** @type {HTMLElement} */ (figure.querySelector(".plot"));
    this.title = figure.querySelector("h3")?.textContent ?? "";
    this.style = figure.dataset.style ?? "";
    this.stacked = figure.dataset.stacked === "yes";
    this.fixedTop = Number(figure.dataset.top) || 0;
    this.readings = [...figure.querySelectorAll(".legend .reading")];
    this.was = figure.querySelector(".legend .was > span");
    this.usual = [...figure.querySelectorAll("[data-series]")].map(
      (item) => Number(item.getAttribute("data-usual")) || 0,
    );
    /** @type {Picture | null} */
    this.picture = null;
    this.top = 1;
    /** @type {(number | null)[][]} what is drawn: sums where it is a stack */
    this.stops = [];
  }

  /** @param {Picture} picture */
  draw(picture) {
    this.picture = picture;
    const columns = this.columns(picture.cut);
    const middle = columns.map((column) => column.middle);
    this.stops = this.stacked ? stack(middle) : middle;
    const earlier = picture.before ? this.columns(picture.before).map((c) => c.middle) : [];
    const before = this.stacked ? stack(earlier) : earlier;
    const tall = [...this.stops, ...(this.stacked ? [] : columns.map((column) => column.high))];
    this.top = this.fixedTop || niceTop(
      Math.max(highest(tall, picture.cut.t, -Infinity), highest(before, picture.before?.t ?? [], -Infinity)),
      this.style,
    );
    const drawn = document.createElement("div");
    drawn.className = "drawn";
    drawn.setAttribute("aria-hidden", "true");
    const marks = this.marks();
    drawn.append(this.events(), this.ticks(), this.area(columns, before, marks), this.lasts(middle), this.times(marks));
    this.box.querySelector(".drawn")?.remove();
    this.box.prepend(drawn);
    if (this.was) this.was.textContent = (this.stacked ? "all together, " : "") + picture.compared;
    this.release();
    this.box.setAttribute("aria-label", this.summary(columns));
  }

  /** Another window over what is known already, until more of it comes. @param {number} start @param {number} end */
  move(start, end) {
    if (!this.picture) return;
    this.draw({ ...this.picture, start, end, markers: [], losses: [] });
    this.box.querySelector(".lasts")?.replaceChildren(); // they are of where it was
  }

  /** Nothing is known of the present window. */
  blank() {
    if (!this.picture) return;
    const cut = { t: [], step: 1, series: new Map() };
    this.draw({ ...this.picture, cut, before: null, markers: [], losses: [] });
  }

  /** @param {Cut} cut @returns {Columns[]} */
  columns(cut) {
    const absent = cut.t.map(() => null);
    return this.lines.map(
      ({ key }) => cut.series.get(key) ?? { low: absent, middle: absent, high: absent },
    );
  }

  /** @param {number} at */
  x(at) {
    const { start, end } = /** @type {Picture} */ (this.picture);
    return ((at - start) / (end - start)) * WIDTH;
  }

  /** @param {number} value */
  y(value) {
    return PLOT * (1 - Math.min(1, Math.max(0, value / this.top)));
  }

  /** @param {Columns[]} columns @param {(number | null)[][]} before @param {[number, string][]} marks */
  area(columns, before, marks) {
    const { cut, before: past, earlier } = /** @type {Picture} */ (this.picture);
    const point = (/** @type {number[]} */ t, /** @type {number} */ shift, /** @type {(row: number) => number} */ value) =>
      (/** @type {number} */ row) => `${this.x(t[row] + shift).toFixed(1)} ${this.y(value(row)).toFixed(1)}`;
    const here = (/** @type {(row: number) => number} */ value) => point(cut.t, cut.step / 2, value);
    const grid = marks.map(([at]) => `M${this.x(at).toFixed(1)} 0V${PLOT}`).join("");
    const levels = [0, 0.5, 1].map((share) => `M0 ${PLOT * share}H${WIDTH}`).join("");
    /** @type {SVGElement[][]} */
    const [bands, olds, lines] = [[], [], []];
    const path = (/** @type {string} */ name, /** @type {string} */ d) => svg("path", { class: name, d });
    this.lines.forEach(({ slot }, index) => {
      const stops = this.stops[index];
      const { low, high } = columns[index];
      const parts = runs(cut.t, stops, cut.step, this.usual[index]);
      const line = here((row) => stops[row] ?? 0);
      if (this.stacked) {
        const below = index ? this.stops[index - 1] : null;
        lines.push(path(`fill s${slot}`, area(parts, line, here((row) => below?.[row] ?? 0))));
      } else {
        if (high.some((value, row) => differs(low[row], value))) {
          const band = area(parts, here((row) => high[row] ?? 0), here((row) => low[row] ?? 0));
          bands.push(path(`band s${slot}`, band));
        }
        lines.push(path(`stroke s${slot} d${slot}`, stroke(parts, line)));
      }
      const old = before[index];
      const last = index === this.lines.length - 1;
      if (!past || !old || (this.stacked && !last)) return;
      const pieces = runs(past.t, old, past.step, this.usual[index]);
      const d = stroke(pieces, point(past.t, past.step / 2 + earlier, (row) => old[row] ?? 0));
      if (this.stacked) lines.push(path("before total", d));
      else olds.push(path(`before s${slot}`, d));
    });
    return svg(
      "svg",
      { class: "area", width: "100%", height: PLOT, viewBox: `0 0 ${WIDTH} ${PLOT}`, preserveAspectRatio: "none" },
      path("grid", grid + levels), ...bands, ...olds, ...lines,
    );
  }

  /** Losses and markers, below the lines. */
  events() {
    const { start, end, markers, losses } = /** @type {Picture} */ (this.picture);
    const titled = (/** @type {string} */ words) => svg("title", {}, words);
    const width = end - start;
    const stretches = losses.slice(0, MOST_LOSSES).map((loss) => {
      const [first, last] = [Math.max(loss.start, start), Math.min(loss.end, end)];
      const box = { x: percent((first - start) / width), width: percent(Math.max(0, last - first) / width) };
      return svg("rect", { class: "loss", y: TOP, height: PLOT, fill: "url(#lost)", ...box }, titled(loss.text));
    });
    let sign = -1;
    const lines = markers.map(({ share, shape, text: words }) => {
      const x = percent(share);
      const line = svg("line", { x1: x, x2: x, y1: TOP, y2: TOP + PLOT });
      const made = svg("g", { class: "marker" }, titled(words), line);
      if (share - sign >= APART) {
        made.append(svg("text", { x, y: 8, "text-anchor": "middle" }, shape));
        sign = share;
      }
      return made;
    });
    return svg("svg", { class: "events", width: "100%", height: TOP + PLOT, overflow: "visible" }, ...stretches, ...lines);
  }

  ticks() {
    const texts = [0, 0.5, 1].map((share) => {
      const y = (PLOT * (1 - share) + TOP + 4).toFixed(1);
      return svg("text", { x: 60, y, "text-anchor": "end" }, tickText(this.top * share, this.style));
    });
    return svg("svg", { class: "ticks", width: LEFT, height: HEIGHT }, ...texts);
  }

  /** As many marks as have room. @returns {[number, string][]} */
  marks() {
    const { start, end } = /** @type {Picture} */ (this.picture);
    const room = (this.box.clientWidth || 453) - LEFT - RIGHT;
    return axis(start, end, Math.min(10, Math.max(2, Math.floor(room / MARK_PX))));
  }

  /** @param {[number, string][]} marks */
  times(marks) {
    const texts = marks.map(([at, words]) =>
      svg("text", { x: percent(this.x(at) / WIDTH), y: 16, "text-anchor": "middle" }, words));
    return svg("svg", { class: "times", width: "100%", height: 24, overflow: "visible" }, ...texts);
  }

  /** The last value of each line at the right edge. @param {(number | null)[][]} middle */
  lasts(middle) {
    const { cut, end } = /** @type {Picture} */ (this.picture);
    const lasts = middle.map((column) => lastOf(cut.t, column, end, cut.step));
    let sum = 0;
    const wanted = lasts.map((last) => {
      if (last === null) return null;
      sum += last;
      if (this.stacked && last < LEAST_BAND * this.top) return null;
      return this.y(this.stacked ? sum - last / 2 : last);
    });
    const parts = spread(wanted).flatMap((y, index) => {
      if (y === null) return [];
      const { label, slot } = this.lines[index];
      const words = text(lasts[index], this.style);
      return [
        svg("rect", { class: `fill s${slot}`, x: 4, y: (y + TOP - 4).toFixed(1), width: 3, height: 9 }),
        svg("text", { x: 10, y: (y + TOP + 4).toFixed(1) }, this.stacked ? `${label} ${words}` : words),
      ];
    });
    return svg("svg", { class: "lasts", width: RIGHT, height: HEIGHT }, ...parts);
  }

  /** @param {Columns[]} columns */
  summary(columns) {
    const { words } = /** @type {Picture} */ (this.picture);
    const said = columns.flatMap(({ low, middle, high }, index) => {
      const found = whole(low, middle, high);
      return found[1] === null ? [] : [`${this.lines[index].label} ${reading(...found, this.style)}`];
    });
    return `${this.title}, ${words}: ${said.join("; ") || "no data"}.`;
  }

  // What the crosshair asks of a chart.

  /** One step of the crosshair, as a share of the width. */
  get stride() {
    const { start, end, cut } = /** @type {Picture} */ (this.picture);
    return cut.step / (end - start);
  }

  /** The bucket at a share of the width, or none. @param {number} share */
  row(share) {
    if (!this.picture?.cut.t.length) return -1;
    const { start, end, cut } = this.picture;
    const row = Math.floor((start + share * (end - start) - cut.t[0]) / cut.step);
    return Math.min(cut.t.length - 1, Math.max(0, row));
  }

  /**
   * Read an instant out into the legend.
   * @param {number} share
   * @returns {{share: number, words: string, said: string, dots: ({slot: number, y: number} | null)[]} | null}
   */
  hold(share) {
    const row = this.row(share);
    if (!this.picture || row < 0) return null;
    const { start, end, cut, now, before, earlier } = this.picture;
    const at = cut.t[row] + cut.step / 2;
    const columns = this.columns(cut);
    const old = before ? this.columns(before) : [];
    const oldRow = before?.t.length ? Math.floor((at - earlier - before.t[0]) / before.step) : -1;
    const said = this.lines.map(({ label }, index) => {
      const { low, middle, high } = columns[index];
      const words = reading(low[row], middle[row], high[row], this.style);
      const was = old[index]?.middle[oldRow];
      const past = typeof was === "number" ? ` (was ${text(was, this.style)})` : "";
      if (this.readings[index]) this.readings[index].textContent = words + past;
      return `${label} ${words}${past}`;
    });
    const words = bucketWords(cut.t[row], cut.step, now);
    const dots = this.stops.map((column, index) => {
      const value = column[row];
      return value === null || value === undefined ? null : { slot: this.lines[index].slot, y: this.y(value) };
    });
    const snapped = Math.min(1, Math.max(0, (at - start) / (end - start)));
    return { share: snapped, words, said: said.join("; "), dots };
  }

  /** The legend says what the whole range was again. */
  release() {
    if (!this.picture) return;
    this.columns(this.picture.cut).forEach(({ low, middle, high }, index) => {
      const element = this.readings[index];
      if (element) element.textContent = reading(...whole(low, middle, high), this.style);
    });
  }
}
