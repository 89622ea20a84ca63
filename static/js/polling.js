/**
 * Polls: brings as ordinary answers, every few seconds, what a stream would have brought.
 *
 * Each answer says all state anew; what only repeats the answer before is left out, so that
 * whoever listens reads changes, as a stream brings them.
 */

import { parsed } from "./messages.js";
import { poll } from "./poll.js";
import { Timers } from "./timers.js";

const POLL_MS = 5_000;

/**
 * @typedef {object} Polled
 * @property {() => {topics: string[], position: string}} wanted what to ask for, each time
 * @property {(type: string, data: any, id: string) => void} onMessage
 * @property {(position: string) => void} onAnswer an answer is complete, and reaches to here
 * @property {(refused: import("./poll.js").Refused) => void} onRefused no answer; it has ended
 */

export class Polling {
  /** Begin at once. @param {Polled} listener */
  constructor(listener) {
    this.listener = listener;
    this.ended = new AbortController();
    this.timers = new Timers();
    this.repeats = new Repeats();
    this.first = true;
    this.ask();
  }

  end() {
    this.ended.abort();
    this.timers.end();
  }

  async ask() {
    const { signal } = this.ended;
    const { topics, position } = this.listener.wanted();
    let answer;
    try {
      answer = await poll(topics, position, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.end();
      this.listener.onRefused(/** @type {import("./poll.js").Refused} */ (error));
      return;
    }
    if (signal.aborted) return;
    let last = "";
    for (const { type, text, id } of answer.messages) {
      // A parser, like a browser, repeats the last id on messages that have none.
      this.take(type, parsed(text), id === last ? "" : id);
      last = id;
    }
    this.first = false;
    this.repeats.turn();
    this.listener.onAnswer(answer.position);
    this.timers.after("poll", POLL_MS * (0.8 + 0.4 * Math.random()), () => this.ask());
  }

  /** @param {string} type @param {any} data @param {string} id */
  take(type, data, id) {
    if (type === "metric_update") data = this.repeats.fresh(data);
    // Each answer begins as a stream does; what was connected stays so.
    else if (type === "connected" && !this.first && !data?.gap) return;
    else if (type === "disconnected") return;
    if (data) this.listener.onMessage(type, data, id);
  }
}

/** What one answer said, so that the next one's repetitions are known. */
class Repeats {
  constructor() {
    /** @type {Map<string, string>} */
    this.before = new Map();
    /** @type {Map<string, string>} */
    this.now = new Map();
  }

  /** An answer is complete. */
  turn() {
    this.before = this.now;
    this.now = new Map();
  }

  /**
   * @param {any} data of a metric_update
   * @returns {any} what of it is new, null where nothing is
   */
  fresh(data) {
    if (!data?.hosts) return this.isNew(`host:${data?.host}`, String(data?.at)) ? data : null;
    const rows = Object.entries(data.hosts).filter(([host, row]) =>
      this.isNew(host, JSON.stringify(row)),
    );
    return rows.length ? { ...data, hosts: Object.fromEntries(rows) } : null;
  }

  /** @param {string} name @param {string} value */
  isNew(name, value) {
    this.now.set(name, value);
    return this.before.get(name) !== value;
  }
}
