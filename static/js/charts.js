/**
 * Live charts: uPlot takes over the box in which the server drew the first picture.  Charts of
 * other ranges are drawn by rangechart.js in the same box; only one of the two is active.
 *
 * Margins, ticks, colours, dashes and the rule for gaps are those of monitor/web/charts.py and
 * templates/chart.html, so that nothing moves when it does.
 */

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { gaps, highest, lastOf, PLOT, spread, stack, tickText } from "./chartmath.js";
import { niceTop, text } from "./format.js";
import { update } from "./live.js";
import { clock } from "./timeaxis.js";

export const WINDOW_S = 600;
const HEIGHT = 160;
const LEFT = 68;
const RIGHT = 100;
const TOP = 8;
const BOTTOM = 24;
const LEAST_BAND = 0.004;
const X_LABELS = ["−10 min", "−8", "−6", "−4", "−2", "now"];
/** As .d1 to .d8 in page.css. */
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [4, 2], [10, 4], [1, 4], [6, 2, 1, 2, 1, 2]];
/** Rows kept: the window at one a second, and a little for clocks that differ. */
const MOST_ROWS = WINDOW_S + 30;
/** Seconds that the crosshair goes at a press of an arrow. */
const STRIDE_S = 5;

/** @typedef {{key: string, label: string, slot: number, readout: Element | null}} Line */

export class Chart {
  /**
   * @param {HTMLElement} figure
   * @param {(key: string) => number | null} newest the newest value of a KEY
   */
  constructor(figure, newest) {
    this.figure = figure;
    this.newest = newest;
    this.box = /** @type {HTMLElement} */ (figure.querySelector(".plot"));
    this.style = figure.dataset.style ?? "";
    this.stacked = figure.dataset.stacked === "yes";
    this.fixedTop = Number(figure.dataset.top) || 0;
    /** @type {Line[]} */
    this.lines = [...figure.querySelectorAll("[data-series]")].map((item) => ({
      key: item.getAttribute("data-series") ?? "",
      label: item.getAttribute("data-label") ?? "",
      slot: Number(item.getAttribute("data-slot")) || 1,
      readout: item.querySelector("[data-key]"),
    }));
    /** @type {number[]} */
    this.t = [];
    /** @type {(number | null)[][]} one column a line */
    this.columns = this.lines.map(() => []);
    this.end = 0;
    this.top = 1;
    this.visible = true;
    /** Whether the box is ours, and not a range's. */
    this.active = true;
    /** Until the history is there, the server's picture says more. */
    this.loaded = false;
    this.drawnAt = 0;
    /** @type {uPlot | null} */
    this.plot = null;
    this.colours = colours(figure, this.lines);
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.box);
  }

  /**
   * Replace what is known by a range; what came live since then stays.
   * @param {number[]} t
   * @param {Map<string, (number | null)[]>} found
   */
  load(t, found) {
    const last = t.length ? t[t.length - 1] : 0;
    const live = this.t.findIndex((at) => at > last);
    const later = live < 0 ? [] : this.t.slice(live);
    this.columns = this.lines.map((line, index) => [
      ...(found.get(line.key) ?? t.map(() => null)),
      ...(live < 0 ? [] : this.columns[index].slice(live)),
    ]);
    this.t = [...t, ...later];
    this.loaded = true;
    this.trim();
  }

  /** @param {number} at unix seconds @param {Map<string, number | null>} metrics */
  push(at, metrics) {
    if (!this.lines.some((line) => metrics.has(line.key))) return;
    const t = Math.floor(at);
    const last = this.t[this.t.length - 1] ?? -Infinity;
    if (t < last) return;
    if (t > last) {
      this.t.push(t);
      for (const column of this.columns) column.push(null);
    }
    this.lines.forEach((line, index) => {
      const value = metrics.get(line.key);
      if (typeof value === "number") this.columns[index][this.t.length - 1] = value;
    });
    this.trim();
  }

  trim() {
    const oldest = (this.t[this.t.length - 1] ?? 0) - WINDOW_S - 10;
    let drop = Math.max(0, this.t.length - MOST_ROWS);
    while (drop < this.t.length && this.t[drop] < oldest) drop += 1;
    if (!drop) return;
    this.t.splice(0, drop);
    for (const column of this.columns) column.splice(0, drop);
  }

  /** Draw up to an instant. @param {number} now unix seconds, the server's */
  draw(now) {
    this.end = Math.floor(now);
    if (!this.active || !this.loaded || !this.visible || document.hidden || !this.t.length) return;
    this.drawnAt = performance.now();
    const drawn = this.stacked ? stack(this.columns) : this.columns;
    this.top = this.fixedTop || niceTop(highest(drawn, this.t, this.end - WINDOW_S), this.style);
    const data = /** @type {uPlot.AlignedData} */ ([this.t, ...drawn]);
    if (this.plot) this.plot.setData(data);
    else this.take(data);
  }

  /** Take the box over from the server's picture. @param {uPlot.AlignedData} data */
  take(data) {
    this.plot = new uPlot(this.options(), data, this.box);
    this.box.querySelector(".drawn")?.remove();
  }

  resize() {
    const width = this.box.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: HEIGHT });
    }
  }

  /** The colours changed with the system's setting. */
  restyle() {
    this.colours = colours(this.figure, this.lines);
    this.plot?.redraw();
  }

  /** Leave the box to the chart of a range. */
  leave() {
    this.active = false;
    this.release();
    this.plot?.destroy();
    this.plot = null;
  }

  destroy() {
    this.resized.disconnect();
    this.leave();
  }

  /** @returns {uPlot.Options} */
  options() {
    const axis = {
      stroke: () => this.colours.ink2,
      font: `12px ${getComputedStyle(this.box).fontFamily}`,
      ticks: { show: false },
      grid: { stroke: () => this.colours.line, width: 1 },
    };
    return {
      width: this.box.clientWidth,
      height: HEIGHT,
      padding: [TOP, RIGHT, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => [this.end - WINDOW_S, this.end] },
        y: { range: () => [0, this.top] },
      },
      axes: [
        {
          ...axis,
          size: BOTTOM,
          gap: 7,
          splits: () => X_LABELS.map((_, i) => this.end - WINDOW_S + (i * WINDOW_S) / 5),
          values: () => X_LABELS,
        },
        {
          ...axis,
          size: LEFT,
          gap: 8,
          splits: () => [0, this.top / 2, this.top],
          values: (_, splits) => splits.map((value) => tickText(value, this.style)),
        },
      ],
      series: [{}, ...this.lines.map((line, index) => this.series(line, index))],
      bands: this.stacked
        ? this.lines.slice(1).map((_, index) => ({ series: [index + 2, index + 1] }))
        : [],
      hooks: { draw: [() => this.drawLasts()] },
    };
  }

  /** @param {Line} line @param {number} index @returns {uPlot.Series} */
  series(line, index) {
    const colour = () => this.colours.lines[index];
    return {
      label: line.label,
      stroke: this.stacked ? undefined : colour,
      width: this.stacked ? 0 : 1.5,
      dash: this.stacked ? undefined : DASHES[line.slot - 1],
      fill: this.stacked ? () => `${colour()}cc` : undefined,
      points: { show: false },
      gaps: (plot, series) => gaps(plot, this.t, this.columns[series - 1]),
    };
  }

  /** The last value of each line at the right edge, none over another. */
  drawLasts() {
    const plot = /** @type {uPlot} */ (this.plot ?? null);
    if (!plot) return;
    const lasts = this.columns.map((column) => lastOf(this.t, column, this.end));
    let sum = 0;
    const wanted = lasts.map((last) => {
      if (last === null) return null;
      sum += last;
      if (this.stacked && last < LEAST_BAND * this.top) return null;
      const middle = this.stacked ? sum - last / 2 : last;
      return PLOT * (1 - Math.min(1, Math.max(0, middle / this.top)));
    });
    const { ctx } = plot;
    const ratio = uPlot.pxRatio;
    ctx.save();
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.font = `12px ${getComputedStyle(this.box).fontFamily}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    const x = plot.width - RIGHT + 4;
    spread(wanted).forEach((y, index) => {
      const last = lasts[index];
      if (y === null || last === null) return;
      const words = text(last, this.style);
      ctx.fillStyle = this.colours.lines[index];
      ctx.fillRect(x, TOP + y - 4, 3, 9);
      ctx.fillStyle = this.colours.ink;
      ctx.fillText(this.stacked ? `${this.lines[index].label} ${words}` : words, x + 6, TOP + y + 4);
    });
    ctx.restore();
  }

  // What the crosshair asks of a chart: see RangeChart.

  /** One step of the crosshair, as a share of the width. */
  get stride() {
    return STRIDE_S / WINDOW_S;
  }

  /**
   * The values at a share of the width, in the legend.
   * @param {number} share
   * @returns {{share: number, words: string, said: string, dots: ({slot: number, y: number} | null)[]} | null}
   */
  hold(share) {
    const row = this.row(this.end - WINDOW_S + share * WINDOW_S);
    if (row < 0) return null;
    let sum = 0;
    /** @type {({slot: number, y: number} | null)[]} */
    const dots = [];
    const said = this.lines.map((line, index) => {
      const value = this.columns[index][row] ?? null;
      sum += value ?? 0;
      const height = Math.min(1, Math.max(0, (this.stacked ? sum : (value ?? 0)) / this.top));
      dots.push(value === null ? null : { slot: line.slot, y: PLOT * (1 - height) });
      if (line.readout) {
        line.readout.removeAttribute("data-held");
        update(line.readout, value, false);
        line.readout.setAttribute("data-held", "");
      }
      return `${line.label} ${text(value, this.style)}`;
    });
    return { share, words: clock(this.t[row], true), said: said.join("; "), dots };
  }

  /** The row next to an instant; below 0 where there is none. @param {number} at */
  row(at) {
    const later = this.t.findIndex((t) => t >= at);
    if (later < 0) return this.t.length - 1;
    return later > 0 && at - this.t[later - 1] < this.t[later] - at ? later - 1 : later;
  }

  release() {
    for (const { readout, key } of this.lines) {
      if (!readout?.hasAttribute("data-held")) continue;
      readout.removeAttribute("data-held");
      update(readout, this.newest(key), false);
    }
  }
}

/** The tokens of the page, as a canvas wants them. @param {Element} element @param {Line[]} lines */
function colours(element, lines) {
  const style = getComputedStyle(element);
  const of = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"),
    ink2: of("--ink-2"),
    line: of("--line"),
    lines: lines.map((line) => of(`--s${line.slot}`)),
  };
}
