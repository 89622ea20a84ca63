/**
 * Tells a tab or a worker that another one is gone, even one that crashed: each holds a lock of
 * its own, which the browser frees with its holder, and whoever wants to know waits for it.
 *
 * Browsers have locks on https and on loopback only; elsewhere nobody is told.
 */

/** @returns {LockManager | undefined} */
const locks = () => globalThis.navigator?.locks;

/**
 * Hold a lock of one's own until the signal is aborted.
 * @param {AbortSignal} signal
 * @returns {Promise<string>} its name once it is held, "" where there are no locks
 */
export function hold(signal) {
  return new Promise((resolve) => {
    if (!locks()) {
      resolve("");
      return;
    }
    const name = `stream ${crypto.randomUUID()}`;
    const released = new Promise((release) => signal.addEventListener("abort", () => release(0)));
    const held = () => {
      resolve(name);
      return signal.aborted ? undefined : released;
    };
    locks()?.request(name, held).catch(() => resolve(""));
  });
}

/**
 * Run something once whoever holds a lock is gone.
 * @param {string} name "" where there is none
 * @param {AbortSignal} signal
 * @param {() => void} run
 */
export function whenGone(name, signal, run) {
  if (!name) return;
  const granted = () => {
    if (!signal.aborted) run();
  };
  // Shared, since all who wait are to be told at once.
  locks()?.request(name, { mode: "shared", signal }, granted).catch(() => {});
}
