/**
 * Ranges of time as the page's address says them: the twin of monitor/web/ranges.py.
 *
 * An address that the server has answered is well formed; what is not is read as live.
 */

/** Seconds, by the name in the address. */
export const COMPARISONS = new Map([["1d", 86_400], ["7d", 604_800]]);
export const COMPARISON_WORDS = new Map([["1d", "a day earlier"], ["7d", "a week earlier"]]);
export const LIVE_S = 600;
export const SHORTEST_S = 10;
export const LONGEST_S = 10 * 31_536_000;

const UNITS = new Map([["s", 1], ["m", 60], ["h", 3_600], ["d", 86_400], ["w", 604_800], ["y", 31_536_000]]);
const UNIT_WORDS = new Map([
  ["s", "seconds"], ["m", "minutes"], ["h", "hours"], ["d", "days"], ["w", "weeks"], ["y", "years"],
]);

/**
 * What an address asks for: `text` follows the present, `start` and `end` stand still, with
 * neither it is live.  `at` is 0 where no instant is chosen.
 * @typedef {{text: string, start: number, end: number, compare: string, at: number}} Range
 */

/** @type {Range} */
export const LIVE = { text: "", start: 0, end: 0, compare: "", at: 0 };

/** @param {string} search an address from its question mark on @returns {Range} */
export function asked(search) {
  const said = new URLSearchParams(search);
  const at = instant(said.get("at"));
  const text = said.get("range") ?? "";
  const [start, end] = [instant(said.get("from")), instant(said.get("to"))];
  const compare = COMPARISONS.has(said.get("compare") ?? "") ? (said.get("compare") ?? "") : "";
  if (start && end > start) return { text: "", start, end, compare, at };
  if (secondsOf(text)) return { text, start: 0, end: 0, compare, at };
  return { ...LIVE, at };
}

/** @param {string | null} text unix seconds or ISO 8601, UTC where no zone is said */
function instant(text) {
  if (!text) return 0;
  if (/^[0-9]{1,12}(\.[0-9]{1,9})?$/.test(text)) return Number(text);
  const iso = text.replace(" ", text.includes("T") ? "+" : "T");
  const zoned = /(Z|[+-][0-9]{2}:?[0-9]{2})$/i.test(iso);
  const timed = iso.includes("T") ? iso : `${iso}T00:00`;
  const found = Date.parse(zoned ? iso : `${timed}Z`) / 1000;
  return Number.isFinite(found) ? found : 0;
}

/** The length of a relative range; 0 where the text is none. @param {string} text */
export function secondsOf(text) {
  const found = /^([1-9][0-9]{0,8})([smhdwy])$/.exec(text);
  return found ? Number(found[1]) * (UNITS.get(found[2]) ?? 0) : 0;
}

/** @param {Range} range */
export function isLive(range) {
  return !range.text && !range.end;
}

/** Its first instant and the one after its last. @param {Range} range @param {number} now @returns {[number, number]} */
export function windowOf(range, now) {
  if (range.end) return [range.start, range.end];
  return [now - (secondsOf(range.text) || LIVE_S), now];
}

/** The address from its question mark on; empty for live. @param {Range} range @param {Record<string, string>} more */
export function query(range, more = {}) {
  const said = new URLSearchParams();
  if (range.text) said.set("range", range.text);
  if (range.end) {
    said.set("from", instantText(range.start));
    said.set("to", instantText(range.end));
  }
  if (range.compare && !isLive(range)) said.set("compare", range.compare);
  if (range.at) said.set("at", instantText(range.at));
  for (const [name, text] of Object.entries(more)) if (text) said.set(name, text);
  const found = said.toString();
  return found ? `?${found}` : "";
}

/** @param {number} at */
export function instantText(at) {
  const text = at.toFixed(3);
  return text.replace(/\.?0+$/, "");
}

/** The range as a title says it. @param {Range} range */
export function title(range) {
  if (range.end) return "The chosen range";
  return range.text ? `The last ${longWords(range.text)}` : "Live";
}

/** @param {string} text */
function longWords(text) {
  const count = Number(text.slice(0, -1));
  const unit = UNIT_WORDS.get(text.slice(-1)) ?? "";
  return count === 1 ? unit.slice(0, -1) : `${count} ${unit}`;
}

/** The range as a button says it. @param {Range} range */
export function shortWords(range) {
  if (isLive(range)) return "live";
  if (range.end) return "the wider range";
  return `${range.text.slice(0, -1)} ${range.text.endsWith("m") ? "min" : range.text.slice(-1)}`;
}

/**
 * A part of a window as an absolute range: whole seconds, and no narrower than what can be asked
 * for.
 * @param {Range} range what it is a part of; what is laid under it and the instant stay
 * @param {number} from @param {number} to unix seconds
 * @returns {Range}
 */
export function absolute(range, from, to) {
  const middle = (from + to) / 2;
  const width = Math.min(LONGEST_S, Math.max(SHORTEST_S, to - from));
  const start = Math.max(1, Math.round(width > to - from ? middle - width / 2 : from));
  const end = Math.max(start + SHORTEST_S, Math.round(width > to - from ? middle + width / 2 : to));
  return { ...range, text: "", start, end };
}
