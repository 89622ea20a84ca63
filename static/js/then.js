/**
 * The processes of an instant in the table of those of now.  While they are there, what comes
 * live waits; a table is always said to be of when it is.
 */

import { asked, Refused } from "./history.js";
import { instantWords } from "./timeaxis.js";

export class Then {
  /**
   * @param {string} host
   * @param {import("./tables.js").SnapshotTable | null} table the one of the processes
   * @param {() => number} now unix seconds, the server's
   * @param {AbortSignal} signal
   */
  constructor(host, table, now, signal) {
    this.host = host;
    this.table = table;
    this.now = now;
    this.at = 0;
    /** @type {Record<string, any>[] | null} what came live meanwhile */
    this.live = null;
    this.asking = new AbortController();
    signal.addEventListener("abort", () => this.asking.abort());
    this.box = document.querySelector("[data-then]");
    this.words = document.querySelector("[data-then-at]");
    this.none = document.querySelector("[data-no-then]");
  }

  /** Rows of now; whether they may be shown. @param {Record<string, any>[]} rows */
  take(rows) {
    this.live = rows;
    return !this.at;
  }

  /** Show an instant, or with 0 what is live. @param {number} at unix seconds @param {boolean} drawn whether the server did already */
  async show(at, drawn = false) {
    if (at === this.at) return;
    this.asking.abort();
    this.at = at;
    if (this.table) this.table.past = at > 0;
    if (drawn) {
      const found = Number(this.words?.getAttribute("data-then-at"));
      if (this.words && found) this.words.textContent = instantWords(found, this.now(), true);
      return;
    }
    if (!at) {
      this.say("", true);
      if (this.live) this.table?.show(this.live, true);
      return;
    }
    this.asking = new AbortController();
    const { signal } = this.asking;
    this.say(`${instantWords(at, this.now(), true)} …`, true);
    try {
      const path = `/api/v1/hosts/${encodeURIComponent(this.host)}/processes?at=${at.toFixed(3)}`;
      const found = await asked(path, signal);
      this.say(instantWords(found.at, this.now(), true), true);
      this.table?.show(found.processes ?? found.rows ?? [], true);
    } catch (error) {
      if (signal.aborted) return;
      const missing = error instanceof Refused && error.status === 404;
      const why = missing ? "" : `: ${/** @type {Error} */ (error).message}`;
      this.say(instantWords(at, this.now(), true) + why, !missing);
      this.table?.show([], true);
    }
  }

  /** @param {string} words @param {boolean} known whether there is a table of then */
  say(words, known) {
    this.box?.toggleAttribute("hidden", !words);
    this.none?.toggleAttribute("hidden", known);
    if (this.words) this.words.textContent = words;
  }
}
