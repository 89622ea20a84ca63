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
  /** @param {() => Promise<void>} run @param {AbortSignal} signal */
  constructor(run, signal) {
    this.run = run;
    this.signal = signal;
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
    if (!document.hidden && performance.now() - this.last > MOST_MS) this.ask();
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
    this.soon = new Soon(async () => this.show(await had("/alerts/count", signal)), signal);
    this.soon.last = performance.now(); // the page has it from when it was made
  }

  /** Something was said of alerts. */
  ask() {
    if (this.mark) this.soon.ask();
  }

  tick() {
    if (this.mark) this.soon.tick();
  }

  /** @param {{count: number, look: string, shape: string, words: string, is_more: boolean} | null} found */
  show(found) {
    const { mark } = this;
    if (!found || !(mark instanceof HTMLElement)) return;
    const [shape, count] = mark.children;
    mark.hidden = !found.count;
    mark.className = `alarm is-${found.look}`;
    mark.title = found.words;
    shape.textContent = found.shape;
    count.textContent = `${found.count}${found.is_more ? "+" : ""}`;
  }
}
