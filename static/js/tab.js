/**
 * A page's side of the stream: it joins the worker that all tabs share, and where there is
 * none, or it does not answer, it opens a stream of its own through the same code.
 */

import { hold, whenGone } from "./locks.js";
import { isAfter } from "./messages.js";
import { Stream } from "./stream.js";
import { Timers } from "./timers.js";

const WORKER = "/static/js/shared.js";
/** A worker that has not said hello by then will not. */
const HELLO_MS = 3_000;
/** How often each shows the other that it lives. */
const HERE_MS = 25_000;
/** So many questions without an answer mean that the worker is gone. */
const MOST_UNANSWERED = 2;
/** A worker that dies is started again: so often, lest it be what kills it that we start. */
const MOST_WORKERS = 4;

/** @type {{createScriptURL(url: string): any} | null} a name can be taken once a document */
let policy = null;

/** The worker's address, as the content security policy wants it: ours, and no other. */
function workerUrl() {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return WORKER;
  policy ??= types.createPolicy("monitor", {
    createScriptURL(/** @type {string} */ url) {
      if (url !== WORKER) throw new TypeError("this is not the worker's address");
      return url;
    },
  });
  return /** @type {NonNullable<typeof policy>} */ (policy).createScriptURL(WORKER);
}

/**
 * Hear what concerns some topics, from a position on, until the signal is aborted.
 * @param {{topics: string[], position: string, version: string}} from `version`: what the page
 *   was made with; pages of another server's version do not share their worker with it
 * @param {import("./stream.js").Listener} listener
 * @param {AbortSignal} signal
 */
export function connect(from, listener, signal) {
  const here = { topics: from.topics, position: from.position };
  /** @type {import("./stream.js").Listener} */
  const heard = {
    onMessage(message) {
      if (message.id && (message.data.gap || isAfter(message.id, here.position))) {
        here.position = message.id;
      }
      listener.onMessage(message);
    },
    onState: listener.onState,
  };
  const alone = () => {
    if (signal.aborted) return;
    const stream = new Stream(here, heard);
    signal.addEventListener("abort", () => stream.end());
  };
  let workers = 0;
  const begin = () => {
    if (signal.aborted) return;
    workers += 1;
    const worker = workers > MOST_WORKERS ? null : started(from.version);
    if (worker) share(worker, here, heard, (died) => (died ? begin() : alone()), signal);
    else alone();
  };
  begin();
}

/** @param {string} version @returns {SharedWorker | null} */
function started(version) {
  if (typeof SharedWorker !== "function") return null;
  try {
    return new SharedWorker(workerUrl(), { type: "module", name: `stream ${version}` });
  } catch {
    return null; // forbidden here: by a setting, by a policy
  }
}

/**
 * @param {SharedWorker} worker
 * @param {{topics: string[], position: string}} here
 * @param {import("./stream.js").Listener} listener
 * @param {(died: boolean) => void} onUseless the worker is of no use, or no more
 * @param {AbortSignal} signal
 */
function share(worker, here, listener, onUseless, signal) {
  const { port } = worker;
  const timers = new Timers();
  const left = new AbortController();
  const lock = hold(left.signal);
  let unanswered = 0;

  const leave = () => {
    if (left.signal.aborted) return;
    left.abort();
    timers.end();
    port.postMessage({ kind: "leave" });
    port.close();
  };
  const giveUp = (died = false) => {
    if (left.signal.aborted) return;
    leave();
    onUseless(died);
  };
  const join = async () => {
    const name = await lock;
    if (!left.signal.aborted) port.postMessage({ kind: "join", ...here, lock: name });
  };
  const ask = () => {
    if (unanswered >= MOST_UNANSWERED) {
      giveUp(true);
      return;
    }
    unanswered += 1;
    port.postMessage({ kind: "here" });
    timers.after("here", HERE_MS, ask);
  };

  port.addEventListener("message", ({ data }) => {
    if (left.signal.aborted) return;
    unanswered = 0;
    if (data.kind === "message") listener.onMessage(data.message);
    else if (data.kind === "state") {
      if (data.state === "ended") leave(); // the worker has let go of this tab already
      listener.onState(data.state, data.reason, 0);
    } else if (data.kind === "full") giveUp();
    else if (data.kind === "lock") whenGone(data.name, left.signal, () => giveUp(true));
    else if (data.kind === "unknown") join();
    else if (data.kind === "hello") {
      timers.clear("hello");
      timers.after("here", HERE_MS, ask);
    }
  });
  worker.addEventListener("error", () => giveUp());
  signal.addEventListener("abort", leave);
  timers.after("hello", HELLO_MS, () => giveUp());
  port.start();
  join();
}
