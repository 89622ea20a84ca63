/**
 * The newest value of every KEY of every host on the page, when it arrived and how often it
 * comes.  It knows no element.
 */

/** A value is late once it is older than so many of its periods, and at least so old. */
const LATE_AFTER_PERIODS = 2.5;
const LATE_AFTER_S = 5;
/** The period of a value that was seen once. */
const UNKNOWN_PERIOD_S = 60;
/** Hosts times KEYs that are kept; what is beyond it is not looked at. */
const MOST_VALUES = 100_000;

const IN = 'system.network.io{direction="receive"}';
const OUT = 'system.network.io{direction="transmit"}';
const FULLEST = "system.filesystem.utilization";
const WORST = "worst of system.linux.pressure";
const PRESSURES = ["cpu", "memory", "io"].map(
  (resource) => `system.linux.pressure{kind="some",resource="${resource}"}`,
);

/**
 * @typedef {{value: number | null, arrived: number, period: number}} Entry
 * `arrived` is by performance.now(), in ms; `period` in seconds, 0 where it is not known.
 */

export class Store {
  constructor() {
    /** @type {Map<string, Map<string, Entry>>} */
    this.hosts = new Map();
    this.size = 0;
  }

  /** @param {string} host */
  of(host) {
    let found = this.hosts.get(host);
    if (!found) this.hosts.set(host, (found = new Map()));
    return found;
  }

  /**
   * What the page was drawn with, so that its age goes on from there.
   * @param {string} host
   * @param {string} key
   * @param {number} age seconds
   * @param {number} period seconds
   */
  seed(host, key, age, period) {
    const values = this.of(host);
    if (values.has(key)) return;
    const arrived = performance.now() - age * 1000;
    values.set(key, { value: null, arrived, period });
    this.size += 1;
  }

  /**
   * Take new values in.  A snapshot (on connect) has everything, however old: a value that
   * it only repeats is no younger for it.
   * @param {string} host
   * @param {Iterable<[string, number | null]>} metrics
   * @param {boolean} snapshot
   * @returns {string[]} the KEYs that were new to the store
   */
  take(host, metrics, snapshot) {
    const now = performance.now();
    const values = this.of(host);
    const fresh = [];
    for (const [key, value] of metrics) {
      const entry = values.get(key);
      if (!entry) {
        if (this.size >= MOST_VALUES) continue;
        values.set(key, { value, arrived: now, period: 0 });
        this.size += 1;
        fresh.push(key);
        continue;
      }
      const repeated = snapshot && (entry.value === null || entry.value === value);
      if (!repeated) {
        const gap = (now - entry.arrived) / 1000;
        if (!snapshot && gap > 0.2) entry.period = learnt(entry.period, gap);
        entry.arrived = now;
      }
      entry.value = value;
    }
    return fresh;
  }

  /**
   * Seconds since a value arrived where it is late, else 0.
   * @param {Entry} entry
   * @param {number} now performance.now()
   */
  static lateness(entry, now) {
    const age = (now - entry.arrived) / 1000;
    const period = entry.period || UNKNOWN_PERIOD_S;
    return age > Math.max(LATE_AFTER_S, LATE_AFTER_PERIODS * period) ? age : 0;
  }
}

/**
 * The period after one more gap: a long silence teaches nothing, and a much shorter gap shows that
 * what was known was a guess.
 */
function learnt(/** @type {number} */ period, /** @type {number} */ gap) {
  if (!period || gap < period / 2) return gap;
  if (gap > Math.max(2 * period, LATE_AFTER_S)) return period;
  return period + 0.3 * (gap - period);
}

/**
 * A host's headlines that are no series of its own: the fullest filesystem, the sum over the
 * interfaces, the worst pressure.  As monitor/core/headline.py has them.
 * @param {Map<string, Entry>} values
 * @param {Map<string, number | null>} metrics what just came; the headlines are added to it
 * @returns {string} the fullest filesystem's mountpoint, "" where there is none
 */
export function addHeadlines(values, metrics) {
  let fullest = -1;
  let mountpoint = "";
  /** @type {Record<string, number>} */
  const sums = { [IN]: NaN, [OUT]: NaN };
  const seen = { full: false, network: false };
  for (const key of metrics.keys()) {
    if (key.startsWith("system.filesystem.utilization{")) seen.full = true;
    else if (key.startsWith("system.network.io{")) seen.network = true;
  }
  for (const [key, entry] of values) {
    if (entry.value === null) continue;
    if (key.startsWith("system.filesystem.utilization{")) {
      if (entry.value > fullest) {
        fullest = entry.value;
        mountpoint = parseKey(key).attributes.get("mountpoint") ?? "";
      }
    } else if (key.startsWith("system.network.io{")) {
      const { attributes } = parseKey(key);
      if (!attributes.has("interface") || attributes.get("interface") === "lo") continue;
      const sum = attributes.get("direction") === "receive" ? IN : OUT;
      sums[sum] = (sums[sum] || 0) + entry.value;
    }
  }
  if (seen.full && fullest >= 0) metrics.set(FULLEST, fullest);
  if (seen.network) {
    for (const sum of [IN, OUT]) if (!Number.isNaN(sums[sum])) metrics.set(sum, sums[sum]);
  }
  addWorst(metrics);
  return seen.full ? mountpoint : "";
}

/** @param {Map<string, number | null>} metrics */
export function addWorst(metrics) {
  const found = PRESSURES.map((key) => metrics.get(key)).filter((v) => typeof v === "number");
  if (found.length) metrics.set(WORST, Math.max(.../** @type {number[]} */ (found)));
}

/** @type {Map<string, {name: string, attributes: Map<string, string>}>} */
const parsed = new Map();
const MOST_PARSED = 20_000;

/**
 * A KEY taken apart: the twin of SeriesKey.parse; what is no KEY is a name alone.
 * @param {string} key
 */
export function parseKey(key) {
  const known = parsed.get(key);
  if (known) return known;
  const brace = key.indexOf("{");
  const name = brace < 0 ? key : key.slice(0, brace);
  const attributes = new Map();
  if (brace >= 0) {
    for (const [, attribute, value] of key.slice(brace + 1, -1).matchAll(/([^=",]+)="((?:[^"\\]|\\.)*)"/gs)) {
      attributes.set(attribute, value.replace(/\\(.)/gs, (_, c) => (c === "n" ? "\n" : c)));
    }
  }
  const found = { name, attributes };
  if (parsed.size < MOST_PARSED) parsed.set(key, found);
  return found;
}

/** An attribute's value as a KEY writes it. @param {string} value */
export function escapeValue(value) {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
