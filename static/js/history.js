/** Asks the server for the last ten minutes of many series, in a few requests. */

/** A URL is at most 8 KB for the server; KEYs may be long. */
const LONGEST_QUERY = 6_000;
/** One bucket a second, and one that both edges cut. */
const POINTS = 601;

/**
 * @param {string} host
 * @param {string[]} keys
 * @param {AbortSignal} signal
 * @param {(t: number[], found: Map<string, (number | null)[]>) => void} onRange once a request
 */
export async function loadHistory(host, keys, signal, onRange) {
  for (const batch of batches(keys)) {
    const query = new URLSearchParams({ host, start: "-10m", points: String(POINTS) });
    for (const key of batch) query.append("metric", key);
    const response = await fetch(`/api/v1/history?${query}`, { signal });
    if (!response.ok) throw new Error(`history: ${response.status}`);
    const range = await response.json();
    const series = /** @type {{key: string, avg: (number | null)[]}[]} */ (range.series);
    onRange(range.t, new Map(series.map(({ key, avg }) => [key, avg])));
  }
}

/** @param {string[]} keys */
function* batches(keys) {
  /** @type {string[]} */
  let batch = [];
  let length = 0;
  for (const key of keys) {
    const more = encodeURIComponent(key).length + 8;
    if (batch.length && length + more > LONGEST_QUERY) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(key);
    length += more;
  }
  if (batch.length) yield batch;
}
