/** What the pictures of a range are made from, as the server has it, and what is said of it. */

import { asked, cut, Refused } from "./history.js";
import { COMPARISON_WORDS, COMPARISONS, instantText, LONGEST_S, query, title } from "./range.js";
import { instantWords, windowWords } from "./timeaxis.js";

/** What stands at a marker's line, as monitor/web/rangebar.py has it. */
const SHAPES = new Map([["reboot", "↻"], ["server_start", "◆"]]);
const OTHER_SHAPE = "▾";
/** Markers drawn and told; the newest of more. */
const MOST_MARKERS = 40;
/** Looks for the first data, each as many times closer as there are points. */
const FIRST_LOOKS = 3;
const UNITS = /** @type {[number, string][]} */ ([[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]]);

/**
 * @typedef {{host: string, keys: string[], points: number, now: number, signal: AbortSignal}} Asker
 * @typedef {import("./rangechart.js").Cut} Cut
 */

/**
 * Everything in one go: the range, what is laid under it, and what happened in it.
 * @param {import("./range.js").Range} range
 * @param {[number, number]} window_
 * @param {Asker} asker
 */
export async function found(range, [start, end], asker) {
  const earlier = COMPARISONS.get(range.compare) ?? 0;
  const [here, before, happened] = await Promise.all([
    between(start, end, asker),
    earlier ? between(start - earlier, end - earlier, asker) : null,
    markers(start, end, asker),
  ]);
  return { cut: here, before, earlier, markers: happened };
}

/** @param {number} start @param {number} end @param {Asker} asker */
function between(start, end, { host, keys, points, signal }) {
  const span = { start: instantText(start), end: instantText(end), points: String(points) };
  return cut(host, keys, span, signal);
}

/**
 * What happened in a range; charts do without where it cannot be had.
 * @param {number} start @param {number} end @param {Asker} asker
 * @returns {Promise<{at: number, kind: string, text: string}[]>}
 */
async function markers(start, end, { host, signal }) {
  const span = new URLSearchParams({ start: instantText(start), end: instantText(end) });
  try {
    const all = await asked(`/api/v1/hosts/${encodeURIComponent(host)}/markers?${span}`, signal);
    return Array.isArray(all) ? all : [];
  } catch (error) {
    if (error instanceof Refused) return [];
    throw error;
  }
}

/**
 * What the charts are to draw of an answer, and what there is to tell beside them.
 * @param {import("./range.js").Range} range
 * @param {[number, number]} window_
 * @param {Awaited<ReturnType<typeof found>>} answer
 * @param {number} now
 * @returns {{picture: import("./rangechart.js").Picture,
 *   happened: {shape: string, text: string, href: string}[]}}
 */
export function told(range, [start, end], answer, now) {
  const leftOut = Math.max(0, answer.markers.length - MOST_MARKERS);
  const marks = answer.markers.slice(leftOut).map((marker) => ({
    share: (marker.at - start) / (end - start),
    shape: SHAPES.get(marker.kind) ?? OTHER_SHAPE,
    text: `${instantWords(marker.at, now, true)}: ${marker.text}`,
    href: query({ ...range, at: marker.at }),
  }));
  const losses = answer.cut.losses.map((loss) => ({
    start: loss.start,
    end: loss.end,
    text: `${windowWords(loss.start, loss.end, now)}: ${loss.reason}`,
  }));
  const before = leftOut ? [{ shape: "", text: `${leftOut} earlier are left out`, href: "" }] : [];
  const lost = losses.map(({ text }) => ({ shape: "▨", text, href: "" }));
  const { cut: here, before: past, earlier } = answer;
  const words = title(range).toLowerCase();
  const compared = COMPARISON_WORDS.get(range.compare) ?? "";
  return {
    picture: { start, end, now, cut: here, before: past, earlier, compared, words, markers: marks, losses },
    happened: [...before, ...marks, ...lost],
  };
}

/**
 * What one point of the charts is, as monitor/web/rangecharts.py says it.
 * @param {number} step
 * @param {number[]} usual seconds between observations of each series, 0 where not known
 */
export function resolution(step, usual) {
  const periods = usual.filter((period) => period > 0);
  if (periods.length && step < 1.5 * Math.min(...periods)) return "every value";
  const [size, unit] = UNITS.find(([s]) => step >= s && step % s === 0) ?? [1, "s"];
  return `${Number((step / size).toPrecision(6))} ${unit} averages`;
}

/**
 * What there is to say of a range that begins without data.
 * @param {[number, number]} window_
 * @param {Cut} answer
 * @param {number} now
 * @param {() => Promise<number>} firstOf the instant of the first data, NaN where there is none
 */
export async function remark([start, end], answer, now, firstOf) {
  const seen = rows(answer);
  if (seen[0] || seen[1] || !answer.series.size) return "";
  const first = await firstOf();
  if (first >= end) return `Nothing was recorded yet: the first data is of ${instantWords(first, now)}`;
  if (!seen.includes(true)) return "No data in this range";
  return first > start + answer.step ? `Recorded since ${instantWords(first, now)}` : "";
}

/** Which buckets hold anything of any series. @param {Cut} answer */
function rows({ t, series }) {
  const columns = [...series.values()].map(({ middle }) => middle);
  return t.map((_, row) => columns.some((column) => column[row] !== null));
}

/** When the first of the series began, to some seconds; NaN if never. @param {Asker} asker */
export async function firstData(asker) {
  let [start, end] = [Math.max(1, asker.now - LONGEST_S), asker.now];
  for (let look = 0; look < FIRST_LOOKS; look += 1) {
    const answer = await between(start, end, asker);
    const row = rows(answer).indexOf(true);
    if (row < 0) return NaN;
    [start, end] = [answer.t[row], answer.t[row] + answer.step];
    if (answer.step <= 1) break;
  }
  return start;
}
