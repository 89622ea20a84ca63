/** Arithmetic of charts, as monitor/web/charts.py has it: stacks, gaps, labels, ticks, paths. */

import { ABSENT, text, written } from "./format.js";

/** The plot's height in pixels, without what is above and below it. */
export const PLOT = 128;
const LABEL_PX = 13;
const GAP_PERIODS = 2.5;
const SURE_GAP_BUCKETS = 1.5;
/** A least and a most that differ by less than their rounding are one observation. */
const NOT_ONE = 1e-6;

/** Running sums; an instant at which nothing was observed stays absent. @param {(number | null)[][]} columns */
export function stack(columns) {
  const sums = columns.map((column) => column.slice());
  for (let row = 0; row < (columns[0]?.length ?? 0); row += 1) {
    if (columns.every((column) => column[row] === null)) continue;
    let sum = 0;
    columns.forEach((column, index) => {
      sum += column[row] ?? 0;
      sums[index][row] = sum;
    });
  }
  return sums;
}

/** @param {(number | null)[][]} columns @param {number[]} t @param {number} start */
export function highest(columns, t, start) {
  let most = 0;
  for (const column of columns) {
    column.forEach((value, row) => {
      if (value !== null && value > most && t[row] >= start) most = value;
    });
  }
  return most;
}

/** How far apart a series' observations usually are, in seconds: the median. */
function usual(/** @type {number[]} */ t, /** @type {(number | null)[]} */ column) {
  const distances = [];
  let before = NaN;
  for (let row = column.length - 1; row >= 0 && distances.length < 40; row -= 1) {
    if (column[row] === null) continue;
    if (before) distances.push(before - t[row]);
    before = t[row];
  }
  return distances.sort((a, b) => a - b)[distances.length >> 1] ?? 1;
}

/**
 * Where a series was silent for longer than it usually is, in canvas pixels.
 * @param {uPlot} plot
 * @param {number[]} t
 * @param {(number | null)[]} column
 * @returns {[number, number][]}
 */
export function gaps(plot, t, column) {
  const limit = GAP_PERIODS * Math.max(1, usual(t, column));
  /** @type {[number, number][]} */
  const found = [];
  let before = -1;
  column.forEach((value, row) => {
    if (value === null) return;
    if (before >= 0 && t[row] - t[before] > limit) {
      found.push([plot.valToPos(t[before], "x", true), plot.valToPos(t[row], "x", true)]);
    }
    before = row;
  });
  return found;
}

/**
 * The newest value, where it is not too old to be called that.
 * @param {number[]} t
 * @param {(number | null)[]} column
 * @param {number} end
 * @param {number} step the width of a bucket
 */
export function lastOf(t, column, end, step = 1) {
  for (let row = column.length - 1; row >= 0; row -= 1) {
    if (column[row] === null) continue;
    const fresh = end - t[row] <= (GAP_PERIODS + 1) * Math.max(step, usual(t, column));
    return fresh ? column[row] : null;
  }
  return null;
}

/** The twin of `labels` in monitor/web/charts.py. @param {(number | null)[]} wanted */
export function spread(wanted) {
  const most = Math.floor(PLOT / LABEL_PX);
  const order = wanted
    .map((y, index) => ({ y, index }))
    .filter((each) => each.y !== null)
    .slice(0, most)
    .sort((a, b) => (a.y ?? 0) - (b.y ?? 0) || b.index - a.index);
  /** @type {(number | null)[]} */
  const placed = wanted.map(() => null);
  let floor = 4;
  for (const { y, index } of order) {
    floor = Math.max(y ?? 0, floor);
    placed[index] = floor;
    floor += LABEL_PX;
  }
  let ceiling = PLOT;
  for (const { index } of order.reverse()) {
    ceiling = Math.min(placed[index] ?? 0, ceiling);
    placed[index] = ceiling;
    ceiling -= LABEL_PX;
  }
  return placed;
}

/** @param {number} value @param {string} style */
export function tickText(value, style) {
  const [number, unit] = written(value, style);
  const short = number.includes(".") ? number.replace(/\.?0+$/, "") : number;
  return unit && value ? `${short} ${unit}` : short;
}

/**
 * The points of a series of buckets, parted where it was silent for longer than it usually is:
 * `runs_of` of monitor/web/charts.py.
 * @param {number[]} t
 * @param {(number | null)[]} column
 * @param {number} step
 * @param {number} period seconds between observations, 0 where it is not known
 * @returns {number[][]} rows
 */
export function runs(t, column, step, period) {
  /** @type {number[]} */
  const points = [];
  for (let row = 0; row < column.length; row += 1) if (known(column[row])) points.push(row);
  const distances = points.slice(1).map((row, index) => t[row] - t[points[index]]);
  const middle = distances.toSorted((a, b) => a - b);
  const half = middle.length >> 1;
  const median = middle.length % 2 ? middle[half] : (middle[half - 1] + middle[half]) / 2;
  const usual_ = Math.max(step, middle.length ? median : step);
  const sure = period > 0 && usual_ < step * 1.01 && step >= 2 * period;
  const limit = (sure ? SURE_GAP_BUCKETS : GAP_PERIODS) * usual_;
  /** @type {number[][]} */
  const found = [];
  points.forEach((row, index) => {
    if (!index || distances[index - 1] > limit) found.push([]);
    found[found.length - 1].push(row);
  });
  return found;
}

/** @param {number | null | undefined} value */
function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** A line as path data; a lone point is a dot, by its round cap. @param {number[][]} parts @param {(row: number) => string} point */
export function stroke(parts, point) {
  return parts
    .map((rows) => `M${rows.map(point).join("L")}${rows.length > 1 ? "" : "h.01"}`)
    .join("");
}

/**
 * What lies between two lines, as path data.
 * @param {number[][]} parts
 * @param {(row: number) => string} upper
 * @param {(row: number) => string} lower
 */
export function area(parts, upper, lower) {
  return parts
    .filter((rows) => rows.length > 1)
    .map((rows) => `M${[...rows.map(upper), ...rows.toReversed().map(lower)].join("L")}Z`)
    .join("");
}

/** Whether a bucket holds more than one value. @param {number | null} low @param {number | null} high */
export function differs(low, high) {
  return low !== null && high !== null && high - low > Math.abs(high) * NOT_ONE;
}

/**
 * The least, the average and the most of a whole range: `whole` of monitor/web/rangecharts.py.
 * @param {(number | null)[]} low @param {(number | null)[]} middle @param {(number | null)[]} high
 * @returns {[number | null, number | null, number | null]}
 */
export function whole(low, middle, high) {
  let [least, sum, most, count] = [Infinity, 0, -Infinity, 0];
  middle.forEach((value, row) => {
    if (value === null) return;
    least = Math.min(least, low[row] ?? value);
    most = Math.max(most, high[row] ?? value);
    sum += value;
    count += 1;
  });
  return count ? [least, sum / count, most] : [null, null, null];
}

/**
 * A bucket in words: `0.42 avg · 0.10–0.98`, or the one value that it holds.
 * @param {number | null} low @param {number | null} middle @param {number | null} high
 * @param {string} style
 */
export function reading(low, middle, high, style) {
  if (middle === null) return ABSENT;
  const value = text(middle, style);
  if (!differs(low, high)) return value;
  const [least, unit] = written(low, style);
  const [most, mostUnit] = written(high, style);
  const shared = unit === mostUnit && mostUnit === written(middle, style)[1];
  const first = unit === mostUnit ? least : text(low, style);
  return `${value} avg · ${first}–${shared ? most : text(high, style)}`;
}
