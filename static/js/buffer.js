/**
 * Gathers what comes and applies it once per animation frame, so that a burst of messages
 * costs one layout.  In a hidden page there are no frames; then a slow timer applies it.
 */

const HIDDEN_MS = 1_000;
/** More than this waiting means that nobody draws: the oldest go, the newest are state. */
const MOST_WAITING = 1_000;

/**
 * @template T
 * @param {(items: T[]) => void} apply
 * @param {AbortSignal} signal
 * @returns {(item: T) => void}
 */
export function perFrame(apply, signal) {
  /** @type {T[]} */
  let waiting = [];
  let frame = 0;
  let timer = 0;

  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = timer = 0;
    const items = waiting;
    waiting = [];
    if (items.length && !signal.aborted) apply(items);
  };

  signal.addEventListener("abort", run);
  return (item) => {
    waiting.push(item);
    if (waiting.length > MOST_WAITING) waiting.shift();
    if (frame || timer) return;
    frame = requestAnimationFrame(run);
    timer = window.setTimeout(run, HIDDEN_MS);
  };
}
