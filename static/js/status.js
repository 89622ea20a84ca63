/** What the log and the stream's own state put on every page: statuses of hosts, the banner. */

import { loggedOut } from "./door.js";

const SHAPES = { up: "●", stale: "○", down: "■", retired: "○" };
/** A list that could not be had is asked for again after so long. */
const RETRY_MS = 5_000;

/**
 * Say how the stream is, in the one place for it.
 * @param {import("./stream.js").State} state
 * @param {string} reason
 */
export function showState(state, reason) {
  const banner = document.querySelector("[data-live]");
  const words = {
    live: "Live",
    waiting: `■ Not live: ${reason}; trying again`,
    blocked: "▲ Stream blocked by a proxy: refreshed every 5 s",
    refused: `■ Not live: ${reason}`,
    ended: "■ Logged out",
  }[state];
  if (!banner || banner.textContent === words) return;
  banner.textContent = words;
  banner.classList.toggle("is-lost", ["waiting", "refused", "ended"].includes(state));
  banner.classList.toggle("is-blocked", state === "blocked");
}

/** @param {{host: string, status: string, timestamp: string}} update */
export function showStatus({ host, status, timestamp }) {
  if (!(status in SHAPES)) return;
  for (const element of document.querySelectorAll("[data-status]")) {
    if (element.getAttribute("data-status") !== host) continue;
    element.className = `status is-${status}`;
    element.children[0].textContent = SHAPES[/** @type {keyof typeof SHAPES} */ (status)];
    element.children[1].textContent = status;
  }
  const since = document.querySelector("[data-since]");
  if (since && timestamp) since.textContent = `${timestamp.slice(0, 16).replace("T", " ")} UTC`;
}

/** Mends the statuses on the page after a gap, in which changes of them were lost. */
export class Statuses {
  /** @param {() => void} onMended @param {AbortSignal} signal */
  constructor(onMended, signal) {
    this.onMended = onMended;
    this.signal = signal;
    /** Hosts that said something newer while the list was on its way. */
    this.newer = new Set();
    this.asking = false;
    /** Whether more was missed while the list was on its way. */
    this.again = false;
  }

  /** @param {{host: string, status: string, timestamp: string}} update */
  show(update) {
    if (this.asking) this.newer.add(update.host);
    showStatus(update);
  }

  async mend() {
    this.again = this.asking;
    if (this.asking || this.signal.aborted) return;
    this.asking = true;
    this.newer.clear();
    try {
      const response = await fetch("/api/v1/hosts", { signal: this.signal });
      if (response.status === 401) {
        loggedOut();
        return;
      }
      if (!response.ok) throw new Error(`hosts: ${response.status}`);
      for (const { host, status, since } of await response.json()) {
        if (this.newer.has(host) || !shows(host)) continue;
        showStatus({ host, status, timestamp: new Date(since * 1000).toISOString() });
      }
      this.onMended();
    } catch {
      setTimeout(() => this.mend(), RETRY_MS);
    } finally {
      this.asking = false;
      if (this.again) this.mend();
    }
  }
}

/** @param {string} host */
function shows(host) {
  const elements = [...document.querySelectorAll("[data-status]")];
  return elements.some((element) => element.getAttribute("data-status") === host);
}
