/** Asks the server for a range of many series, in as few requests as an address has room for. */

import { loggedOut } from "./door.js";

/** A URL is at most 8 KB for the server; KEYs may be long. */
const LONGEST_QUERY = 6_000;
/** KEYs that the server takes in one request. */
const MOST_KEYS = 100;

/** What the server said where it did not answer, in its own words. */
export class Refused extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail || (status ? `the server answered ${status}` : "the server does not answer"));
    this.status = status;
  }
}

/**
 * An answer as JSON; a refusal throws `Refused`, an abort what aborts throw.
 * @param {string} url
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
export async function asked(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refused(0, "");
  }
  if (response.ok) return response.json();
  if (response.status === 401) loggedOut();
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, typeof problem.detail === "string" ? problem.detail : "");
}

/**
 * A range of one host, each request's answer as it comes.
 * @param {string} host
 * @param {string[]} keys
 * @param {Record<string, string>} range start, end and points, as the API has them
 * @param {AbortSignal} signal
 */
export async function* history(host, keys, range, signal) {
  for (const batch of batches(keys)) {
    const query = new URLSearchParams({ host, ...range });
    for (const key of batch) query.append("metric", key);
    yield asked(`/api/v1/history?${query}`, signal);
  }
}

/**
 * A range of one host, all of it: see `Cut` in rangechart.js.
 * @param {string} host
 * @param {string[]} keys
 * @param {Record<string, string>} range
 * @param {AbortSignal} signal
 */
export async function cut(host, keys, range, signal) {
  /** @type {{t: number[], step: number, series: Map<string, import("./rangechart.js").Columns>, losses: any[]}} */
  const found = { t: [], step: 1, series: new Map(), losses: [] };
  for await (const answer of history(host, keys, range, signal)) {
    found.t = answer.t;
    found.step = answer.step;
    found.losses = answer.losses ?? [];
    for (const { key, min, avg, max } of answer.series) {
      found.series.set(key, { low: min, middle: avg, high: max });
    }
  }
  return found;
}

/** @param {string[]} keys */
function* batches(keys) {
  /** @type {string[]} */
  let batch = [];
  let length = 0;
  for (const key of keys) {
    const more = encodeURIComponent(key).length + 8;
    if (batch.length && (length + more > LONGEST_QUERY || batch.length >= MOST_KEYS)) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(key);
    length += more;
  }
  if (batch.length) yield batch;
}
