/**
 * One event stream, kept open: the wrapper around EventSource that the platform needs.
 *
 * A browser gives up for ever on any answer but 200, waits a fixed time without jitter, and
 * hides comments from scripts; so this re-creates what was closed, with a jittered and
 * growing wait, asks for heartbeats that can be heard, and says when nothing came for too
 * long.  It knows nothing of what the messages mean.  Whoever wants all tabs to share one
 * stream replaces `connect` by something with the same callbacks.
 */

/** Nothing heard for so long means that the stream is blocked: three heartbeats. */
const SILENCE_MS = 45_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
const WATCH_MS = 5_000;

const TYPES = ["connected", "heartbeat", "metric_update", "host_update", "disconnected", "error"];

/**
 * @typedef {object} Listener
 * @property {(type: string, data: any) => void} onEvent a message, its data already parsed
 * @property {(state: "live" | "waiting" | "silent", reason: string) => void} onState
 */

/**
 * Open a stream and keep it open until the signal is aborted.
 * @param {{topics: string, position: string}} from where it begins
 * @param {Listener} listener
 * @param {AbortSignal} signal
 */
export function connect(from, listener, signal) {
  let position = from.position;
  let wait = FIRST_WAIT_MS;
  let heard = performance.now();
  let timer = 0;
  /** @type {EventSource | null} */
  let source = null;

  const close = () => {
    source?.close();
    source = null;
  };

  const later = (/** @type {string} */ reason) => {
    close();
    clearTimeout(timer);
    if (signal.aborted) return;
    listener.onState("waiting", reason);
    timer = window.setTimeout(open, wait * (0.5 + Math.random()));
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  };

  const onMessage = (/** @type {MessageEvent} */ event) => {
    heard = performance.now();
    if (event.lastEventId) position = event.lastEventId;
    if (event.type === "connected") wait = FIRST_WAIT_MS;
    if (event.type !== "disconnected") listener.onState("live", "");
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      return; // not ours; the next message stands by itself
    }
    listener.onEvent(event.type, data);
  };

  const open = () => {
    close();
    if (signal.aborted) return;
    const query = new URLSearchParams({ topics: from.topics, heartbeat: "event" });
    if (position) query.set("last_event_id", position);
    const opened = new EventSource(`/api/v1/stream?${query}`);
    source = opened;
    for (const type of TYPES) {
      opened.addEventListener(type, (event) => {
        if (opened !== source) return;
        // An error with data is an event of ours; without, the connection's own.
        if (event instanceof MessageEvent) onMessage(event);
        else if (opened.readyState === EventSource.CLOSED) later("the server closed the stream");
        else listener.onState("waiting", "the connection was lost");
      });
    }
    // An id by itself moves the position and fires nothing; the browser resumes from it.
    opened.addEventListener("message", (event) => {
      if (opened === source) onMessage(event);
    });
  };

  const watch = window.setInterval(() => {
    if (document.hidden || performance.now() - heard < SILENCE_MS) return;
    heard = performance.now();
    listener.onState("silent", "nothing heard for 45 s");
    later("nothing heard for 45 s");
  }, WATCH_MS);

  signal.addEventListener("abort", () => {
    close();
    clearTimeout(timer);
    clearInterval(watch);
  });
  window.addEventListener("online", open, { signal });
  open();
}
