/** Arithmetic of charts, as monitor/web/charts.py has it: stacks, gaps, labels, ticks. */

import { written } from "./format.js";

/** The plot's height in pixels, without what is above and below it. */
export const PLOT = 128;
const LABEL_PX = 13;
const GAP_PERIODS = 2.5;

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

/** The newest value, where it is not too old to be called that. */
export function lastOf(/** @type {number[]} */ t, /** @type {(number | null)[]} */ column, /** @type {number} */ end) {
  for (let row = column.length - 1; row >= 0; row -= 1) {
    if (column[row] === null) continue;
    const fresh = end - t[row] <= (GAP_PERIODS + 1) * Math.max(1, usual(t, column));
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
