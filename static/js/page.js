/**
 * The entry: joins stream, store and views, and lets go of everything when the page is left.
 */

import { Alarm } from "./alarm.js";
import { AlertPage } from "./alert.js";
import { AlertsPage } from "./alerts.js";
import { perFrame } from "./buffer.js";
import { onLoggedOut, showLoggedOut } from "./door.js";
import { EventsPage } from "./events.js";
import { FleetPage } from "./fleet.js";
import { HostPage } from "./host.js";
import { Live } from "./live.js";
import { isAfter, isLogged, withoutSuperseded } from "./messages.js";
import { showState, Statuses } from "./status.js";
import { Store } from "./store.js";
import { connect } from "./tab.js";

const TICK_MS = 1_000;

/** Notices after which fewer alerts, or more, want somebody. */
const HUSHED = new Set(["ack", "silence", "maintenance"]);

/**
 * What a page does beside its live values, by its name in data-page; a page may do nothing more.
 * @type {Record<string, (host: string, store: Store, live: Live, signal: AbortSignal) => View>}
 */
const VIEWS = {
  host: (host, store, live, signal) => new HostPage(host, store, live, signal),
  fleet: (_host, store, live, signal) => new FleetPage(store, live, signal),
  events: () => new EventsPage(),
  alerts: (_host, store, live, signal) => new AlertsPage(store, live, signal),
  alert: (host, store, live, signal) => new AlertPage(host, store, live, signal),
};

/**
 * @typedef {{onConnected(): void, onMetrics(data: any, snapshot: boolean): void,
 *   onStatus(): void, onTick(): void,
 *   onLogged?(message: import("./messages.js").Message): void, onPending?(): void}} View
 * @type {View}
 */
const NO_VIEW = { onConnected() {}, onMetrics() {}, onStatus() {}, onTick() {} };

function open() {
  const ended = new AbortController();
  const { signal } = ended;
  const { dataset } = document.body;
  const { page, host = "", topics = "", position = "", version = "", period } = dataset;
  if (!page) return;
  const store = new Store();
  const live = new Live(store, host, Number(period) || 1);
  live.bind(document);
  const view = VIEWS[page]?.(host, store, live, signal) ?? NO_VIEW;
  const alarm = new Alarm(signal);
  // A page of something else may have a list of alerts on it.
  const beside = document.querySelector("[data-alerts][data-hides]") && new AlertsPage(store, live, signal);
  const statuses = new Statuses(() => view.onStatus(), signal);

  const apply = (/** @type {import("./messages.js").Message[]} */ messages) => {
    for (const message of messages) {
      const { type, data, id, snapshot } = message;
      if (isLogged(message)) {
        view.onLogged?.(message);
        beside?.onLogged(message);
      } else if (type === "alert") {
        view.onPending?.();
      }
      if ((type === "alert" && isLogged(message)) || (type === "notice" && HUSHED.has(data.kind))) alarm.ask();
      if (type === "connected") {
        if (data.gap) statuses.mend();
        view.onConnected();
      } else if (type === "metric_update") {
        view.onMetrics(data, snapshot);
      } else if (type === "host_update") {
        statuses.show(data);
        view.onStatus();
        beside?.onStatus();
      }
      // A page that comes back from the browser's cache goes on from what it shows.
      if (id && (data.gap || isAfter(id, dataset.position ?? ""))) dataset.position = id;
    }
  };
  const push = perFrame(apply, withoutSuperseded, signal);

  const from = { topics: topics.split(","), position, version };
  const stop = () => {
    showState("ended", "");
    showLoggedOut();
    ended.abort();
  };
  onLoggedOut(stop, signal);
  const onState = (/** @type {import("./stream.js").State} */ state, /** @type {string} */ reason) => {
    if (state === "ended") stop();
    else showState(state, reason);
  };
  connect(from, { onMessage: push, onState }, signal);
  const timer = window.setInterval(() => {
    live.age();
    alarm.tick();
    view.onTick();
    beside?.onTick();
  }, TICK_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  window.addEventListener("pagehide", () => ended.abort(), { once: true });
}

open();
// A page that comes back from the browser's cache begins again where it stood.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) open();
});
