/**
 * The entry: joins stream, store and views, and lets go of everything when the page is left.
 */

import { perFrame } from "./buffer.js";
import { FleetPage } from "./fleet.js";
import { HostPage } from "./host.js";
import { Live } from "./live.js";
import { Store } from "./store.js";
import { connect } from "./stream.js";

const TICK_MS = 1_000;
const SHAPES = { up: "●", stale: "○", down: "■", retired: "○" };

/** @typedef {{type: string, data: any}} Message */

/**
 * What a page does beside its live values, by its name in data-page; a page may do nothing more.
 * @type {Record<string, (host: string, store: Store, live: Live, signal: AbortSignal) => View>}
 */
const VIEWS = {
  host: (host, store, live, signal) => new HostPage(host, store, live, signal),
  fleet: (_host, store, live) => new FleetPage(store, live),
};

/**
 * @typedef {{onConnected(): void, onMetrics(data: any, snapshot: boolean): void,
 *   onStatus(): void, onTick(): void}} View
 * @type {View}
 */
const NO_VIEW = { onConnected() {}, onMetrics() {}, onStatus() {}, onTick() {} };

function open() {
  const ended = new AbortController();
  const { signal } = ended;
  const { page, host = "", topics = "", position = "", period } = document.body.dataset;
  if (!page) return;
  const store = new Store();
  const live = new Live(store, host, Number(period) || 1);
  live.bind(document);
  const view = VIEWS[page]?.(host, store, live, signal) ?? NO_VIEW;

  /** Hosts' topics of which the snapshot is still to come. */
  let snapshot = true;

  const apply = (/** @type {Message[]} */ messages) => {
    for (const { type, data } of messages) {
      if (type === "connected") {
        snapshot = true;
        view.onConnected();
      } else if (type === "metric_update") {
        view.onMetrics(data, snapshot);
        snapshot = false;
      } else if (type === "host_update") {
        showStatus(data);
        view.onStatus();
      }
    }
  };
  const push = perFrame(apply, signal);

  connect(
    { topics, position },
    { onEvent: (type, data) => push({ type, data }), onState: showState },
    signal,
  );
  const timer = window.setInterval(() => {
    live.age();
    view.onTick();
  }, TICK_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  window.addEventListener("pagehide", () => ended.abort(), { once: true });
}

/** @param {"live" | "waiting" | "silent"} state @param {string} reason */
function showState(state, reason) {
  const banner = document.querySelector("[data-live]");
  const lost = state !== "live";
  const words = lost ? `■ Not live: ${reason}, trying again` : "Live";
  if (!banner || banner.textContent === words) return;
  banner.textContent = words;
  banner.classList.toggle("is-lost", lost);
}

/** @param {{host: string, status: string, timestamp: string}} update */
function showStatus({ host, status, timestamp }) {
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

open();
// A page that comes back from the browser's cache begins again where it stood.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) open();
});
