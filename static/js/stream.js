/**
 * One event stream, kept open: the wrapper around EventSource that the platform needs.
 *
 * A browser gives up for ever on any answer but 200, waits without jitter, and hides comments
 * from scripts.  So this opens anew what was closed, with a jittered and growing wait and from
 * its own position, asks for heartbeats that can be heard, and watches for silence.  Where a
 * connection opens and nothing is heard on it, something between withholds it: then it polls,
 * and tries the stream again each minute.  It delivers each logged event once and in order.
 *
 * It knows no page and no tabs, and uses what exists in a page and in a worker alike.
 */

import { compare, isAfter, isLogged, parsed, Snapshots, TYPES } from "./messages.js";
import { address, probe, Refused } from "./poll.js";
import { Polling } from "./polling.js";
import { Timers } from "./timers.js";

/** `connected` comes at once; on a connection that is silent for so long it is withheld. */
const UNHEARD_MS = 8_000;
/** Nothing heard for so long on an open stream: three heartbeats. */
const SILENCE_MS = 45_000;
const WATCH_MS = 5_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
/** A server that ends a stream before it spoke is overloaded; it asks for a wait like this. */
const OVERLOAD_WAIT_MS = 15_000;
/** What the server refuses for good is asked for again so seldom. */
const REFUSED_WAIT_MS = 60_000;
/** After the server's goodbye the browser waits as long as it was told: at most 30 s. */
const LONGEST_RETRY_MS = 35_000;
/** A stream that ends by plan is back within this, and nobody need be alarmed. */
const GOODBYE_MS = 6_000;
/** While polling, the real stream is tried so often. */
const TRIAL_MS = 60_000;

/** What of a server's words is shown. */
const LONGEST_REASON = 200;

const FAREWELLS = new Map([
  ["shutdown", "the server was stopped"],
  ["revoked", "the server ended the stream: you may no longer read it"],
]);

/**
 * @typedef {"live" | "waiting" | "blocked" | "refused" | "ended"} State
 * `waiting`: lost, and coming back; `blocked`: polling; `refused`: the server will not;
 * `ended`: whoever reads is logged out, and nothing is asked any more.
 *
 * @typedef {object} Listener
 * @property {(message: import("./messages.js").Message) => void} onMessage
 * @property {(state: State, reason: string, status: number) => void} onState `status` is the
 *   server's answer where that was the reason, else 0
 */

export class Stream {
  /**
   * @param {{topics: string[], position: string, blocked?: boolean}} from `blocked`: it is
   *   known already that the stream does not get through, so polling comes first
   * @param {Listener} listener
   */
  constructor({ topics, position, blocked = false }, listener) {
    this.topics = topics;
    this.position = position;
    /** @type {State} */
    this.state = "waiting";
    this.listener = listener;
    this.ended = new AbortController();
    /** @type {EventSource | null} */
    this.source = null;
    /** Whether `connected` came on this connection, and whether the browser opened it. */
    this.spoke = false;
    this.opened = false;
    this.lastId = "";
    this.openedAt = 0;
    this.heardAt = performance.now();
    this.wait = FIRST_WAIT_MS;
    /** What the server said last of why it ends, "" where it said nothing. */
    this.farewell = "";
    this.snapshots = new Snapshots();
    /** @type {Polling | null} */
    this.polling = null;
    this.timers = new Timers();

    const { signal } = this.ended;
    globalThis.addEventListener("online", () => this.hurry(), { signal });
    this.watch();
    if (blocked) {
      this.later(TRIAL_MS);
      this.startPolling();
    } else {
      this.open();
    }
  }

  /** Close everything, for good. */
  end() {
    this.ended.abort();
    this.close();
    this.stopPolling();
    this.timers.end();
  }

  // The connection

  open() {
    this.close();
    if (this.ended.signal.aborted) return;
    this.openedAt = performance.now();
    this.lastId = "";
    const source = new EventSource(address(this.topics, this.position, { heartbeat: "event" }));
    this.source = source;
    this.expect(UNHEARD_MS);
    source.addEventListener("open", () => {
      if (source !== this.source) return;
      this.opened = true;
      if (!this.spoke) this.expect(UNHEARD_MS);
    });
    for (const type of TYPES) {
      source.addEventListener(type, (event) => {
        if (source !== this.source) return;
        // An error with data is an event of the server's; without, the connection's own.
        if (event instanceof MessageEvent) this.hear(event);
        else this.lose(source.readyState === EventSource.CLOSED);
      });
    }
  }

  close() {
    this.source?.close();
    this.source = null;
    this.spoke = this.opened = false;
    this.timers.clear("unheard");
  }

  /** What is open must speak within this time. @param {number} ms */
  expect(ms) {
    this.timers.after("unheard", ms, () => {
      this.close();
      if (this.polling) this.later(TRIAL_MS);
      else this.startPolling();
    });
  }

  /** @param {MessageEvent} event */
  hear(event) {
    this.heardAt = performance.now();
    if (event.type === "connected") this.begin();
    // The browser repeats the last id on messages that have none.
    const id = event.lastEventId === this.lastId && event.type !== "connected" ? "" : event.lastEventId;
    this.lastId = event.lastEventId;
    const data = parsed(event.data);
    if (data) this.take(event.type, data, id); // else not ours; the next one stands by itself
  }

  /** The stream is open and speaks. */
  begin() {
    this.spoke = true;
    this.farewell = "";
    this.wait = FIRST_WAIT_MS;
    this.timers.clear("unheard");
    this.timers.clear("goodbye");
    this.timers.clear("wait");
    this.stopPolling();
    this.say("live");
  }

  /** The connection was lost. @param {boolean} closed whether the browser gave it up */
  lose(closed) {
    const { spoke, opened, farewell } = this;
    if (spoke && !closed) {
      // The browser comes back by itself, after the `retry` that only it has heard.
      this.spoke = this.opened = false;
      this.expect(LONGEST_RETRY_MS);
      const lost = () => this.say("waiting", farewell || "the connection was lost");
      if (farewell) this.timers.after("goodbye", GOODBYE_MS, lost);
      else lost();
      return;
    }
    this.close();
    if (this.polling) this.later(TRIAL_MS);
    else if (closed) this.diagnose();
    else if (opened) this.retry("the server is busy", OVERLOAD_WAIT_MS);
    else this.retry("the server cannot be reached");
  }

  /** Ask why no stream came; an EventSource keeps it to itself. */
  async diagnose() {
    try {
      await probe(this.topics, this.ended.signal);
    } catch (error) {
      this.refuse(/** @type {Refused} */ (error));
      return;
    }
    this.retry("the stream was cut");
  }

  /** @param {Refused} refused */
  refuse(refused) {
    if (this.ended.signal.aborted) return;
    const { status, message } = refused;
    if (status === 401) this.finish(message);
    else if (refused.busy) this.retry(message, OVERLOAD_WAIT_MS);
    else if (!refused.ours) this.retry(status ? message : "the server cannot be reached");
    else if (refused.lasting) this.retry(message, REFUSED_WAIT_MS, status);
    else this.retry(message, 0, status);
  }

  /** The session is over: asking again cannot help. @param {string} reason */
  finish(reason) {
    this.say("ended", reason, 401);
    this.end();
  }

  /**
   * Open it again after a while: after `ms`, or where that is 0 a little later each time.
   * @param {string} reason
   * @param {number} ms
   * @param {number} refusedStatus
   */
  retry(reason, ms = 0, refusedStatus = 0) {
    if (this.ended.signal.aborted) return;
    this.close();
    this.stopPolling();
    this.timers.clear("goodbye");
    this.later(ms || this.wait);
    if (!ms) this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 2);
    this.say(refusedStatus ? "refused" : "waiting", reason, refusedStatus);
  }

  /** Open it after about so long. @param {number} ms */
  later(ms) {
    this.timers.after("wait", ms * (0.5 + Math.random()), () => this.open());
  }

  /** The network is back: no use in waiting, unless it was tried just now. */
  hurry() {
    if (performance.now() - this.openedAt > FIRST_WAIT_MS) this.open();
    else this.later(FIRST_WAIT_MS);
  }

  /** Notice an open stream on which nothing comes any more. */
  watch() {
    let looked = performance.now();
    const look = () => {
      const now = performance.now();
      // A late timer means that we slept, or were frozen: what came meanwhile is yet to be heard.
      const slept = now - looked > 2 * WATCH_MS;
      looked = now;
      if (this.spoke && !slept && now - this.heardAt > SILENCE_MS) {
        this.close();
        this.startPolling();
      }
      this.timers.after("watch", WATCH_MS, look);
    };
    look();
  }

  // Polling

  startPolling() {
    if (this.polling || this.ended.signal.aborted) return;
    if (this.state === "live") this.say("waiting", "nothing is heard");
    this.polling = new Polling({
      wanted: () => ({ topics: this.topics, position: this.position }),
      onMessage: (type, data, id) => this.take(type, data, id),
      onAnswer: (position) => {
        this.advance(position);
        this.wait = FIRST_WAIT_MS;
        // The first answer shows that the server is well, and something between is not.
        if (!this.source && !this.timers.has("wait")) this.later(TRIAL_MS);
        this.say("blocked", "the stream is blocked by a proxy");
      },
      onRefused: (refused) => this.refuse(refused),
    });
  }

  stopPolling() {
    this.polling?.end();
    this.polling = null;
  }

  // What comes

  /** @param {string} type @param {any} data @param {string} id */
  take(type, data, id) {
    if (type === "disconnected") this.farewell = FAREWELLS.get(data.reason) ?? "the server ended the stream";
    if (type === "error") this.farewell = String(data.detail ?? "").slice(0, LONGEST_REASON);
    if (type === "connected") {
      this.snapshots.restart();
      // After a gap the server says where we are, even where that is further back.
      if (data.gap) this.position = id;
    }
    const snapshot = type === "metric_update" && this.snapshots.has(data);
    const message = { type, data, id, snapshot };
    // Where polling gives way to the stream, both may bring the same.
    if (isLogged(message) && this.position && !isAfter(id, this.position)) return;
    this.advance(id);
    this.listener.onMessage(message);
    if (type === "disconnected" && data.reason === "revoked") {
      this.close(); // before the browser comes back by itself: first, why
      this.diagnose();
    }
  }

  /** @param {string} id */
  advance(id) {
    if (id && (compare(id, this.position) ?? 1) > 0) this.position = id;
  }

  /** @param {State} state @param {string} reason @param {number} status */
  say(state, reason = "", status = 0) {
    if (this.ended.signal.aborted) return;
    this.state = state;
    this.listener.onState(state, reason, status);
  }
}
