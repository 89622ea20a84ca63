/**
 * Gathers what comes and applies it once per animation frame, so that a burst of messages
 * costs one layout.  In a hidden page there are no frames; then a slow timer applies it.
 */

const HIDDEN_MS = 1_000;
/** With more than this waiting nobody draws: what is superseded among them goes. */
const MOST_WAITING = 1_000;

/**
 * @template T
 * @param {(items: T[]) => void} apply
 * @param {(items: T[]) => T[]} thin what is left of items that wait once nothing stands twice
 * @param {AbortSignal} signal
 * @returns {(item: T) => void}
 */
export function perFrame(apply, thin, signal) {
  /** @type {T[]} */
  let waiting = [];
  let most = MOST_WAITING;
  let frame = 0;
  let timer = 0;

  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = timer = 0;
    const items = waiting;
    waiting = [];
    most = MOST_WAITING;
    if (items.length && !signal.aborted) apply(items);
  };

  signal.addEventListener("abort", run);
  return (item) => {
    waiting.push(item);
    if (waiting.length > most) {
      waiting = thin(waiting);
      most = waiting.length + MOST_WAITING / 2;
      // What is left must not be lost, and must not grow without end: no waiting for a frame.
      if (waiting.length > MOST_WAITING) run();
    }
    if (frame || timer || !waiting.length) return;
    frame = requestAnimationFrame(run);
    timer = window.setTimeout(run, HIDDEN_MS);
  };
}
