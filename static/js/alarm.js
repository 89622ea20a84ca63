/**
 * The count of alerts that want somebody, at the head of every page: asked for again, in one small
 * question, after the log has said something of alerts, and now and then for what it does not say
 * to everybody.
 */

import { loggedOut } from "./door.js";

/** What comes in a burst is asked for once. */
const SOON_MS = 300;
/** It is asked for again no sooner than this. */
const LEAST_MS = 2_000;
/** And at the latest after so long, where the page is seen. */
const MOST_MS = 60_000;

/** Runs something soon after it was asked for, and not too often. */
export class Soon {
  /**
   * @param {() => Promise<void>} run
   * @param {AbortSignal} signal
   * @param {number} most milliseconds after which it runs though nobody asked
   */
  constructor(run, signal, most = MOST_MS) {
    this.run = run;
    this.signal = signal;
    this.most = most;
    this.timer = 0;
    this.last = -Infinity;
    this.running = false;
    this.again = false;
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  ask() {
    if (this.running) this.again = true;
    if (this.timer || this.running || this.signal.aborted) return;
    const wait = Math.max(SOON_MS, this.last + LEAST_MS - performance.now());
    this.timer = window.setTimeout(() => this.go(), wait);
  }

  /** Ask where nobody has for long. */
  tick() {
    if (!document.hidden && performance.now() - this.last > this.most) this.ask();
  }

  async go() {
    this.timer = 0;
    this.running = true;
    this.again = false;
    try {
      await this.run();
    } finally {
      this.last = performance.now();
      this.running = false;
      if (this.again) this.ask();
    }
  }
}

/**
 * JSON of ours, or null where it cannot be had now.
 * @param {string} path
 * @param {AbortSignal} signal
 */
export async function had(path, signal) {
  try {
    const response = await fetch(path, { signal, headers: { Accept: "application/json" } });
    if (response.status === 401) loggedOut();
    return response.ok ? await response.json() : null;
  } catch {
    return null; // the stream says that the server is away
  }
}

export class Alarm {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.mark = document.querySelector("[data-alarm]");
    const path = document.querySelector("[data-fleet]") ? "/alerts/count?hosts=1" : "/alerts/count";
    this.soon = new Soon(async () => this.show(await had(path, signal)), signal);
    this.soon.last = performance.now(); // the page has it from when it was made
  }

  /** Something was said of alerts. */
  ask() {
    if (this.mark) this.soon.ask();
  }

  tick() {
    if (this.mark) this.soon.tick();
  }

  /**
   * @param {{count: number, look: string, shape: string, words: string, is_more: boolean,
   *   hosts: Record<string, [number, string, string]>} | null} found
   */
  show(found) {
    const { mark } = this;
    if (!found || !(mark instanceof HTMLElement)) return;
    const [shape, count] = mark.children;
    mark.hidden = !found.count;
    mark.className = `alarm is-${found.look}`;
    mark.title = found.words;
    shape.textContent = found.shape;
    count.textContent = `${found.count}${found.is_more ? "+" : ""}`;
    for (const row of document.querySelectorAll("[data-fleet] tbody tr[data-host]")) {
      ofHost(row, found.hosts[row.getAttribute("data-host") ?? ""]);
    }
  }
}

/**
 * How many of a host's alerts want somebody, beside its name.
 * @param {Element} row @param {[number, string, string] | undefined} found
 */
function ofHost(row, found) {
  const head = row.querySelector("th");
  let mark = head?.querySelector(".hostalarm") ?? null;
  if (!found || !head) {
    mark?.remove();
    return;
  }
  const [number, look, shape] = found;
  if (!mark) {
    mark = document.createElement("a");
    const query = new URLSearchParams({ match: `host="${row.getAttribute("data-host")}"` });
    mark.setAttribute("href", `/alerts?${query}`);
    const [drawn, count, words] = [0, 1, 2].map(() => document.createElement("span"));
    drawn.setAttribute("aria-hidden", "true");
    words.className = "unseen";
    words.textContent = " firing";
    mark.append(drawn, " ", count, words);
    head.querySelector("a")?.after(" ", mark);
  }
  mark.className = `hostalarm is-${look}`;
  mark.children[0].textContent = shape;
  mark.children[1].textContent = String(number);
}
