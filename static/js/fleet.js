/** What is alive on the fleet page: a row a host, the counts above, rows for new hosts. */

import { Spark } from "./spark.js";
import { Stage } from "./stage.js";
import { addWorst } from "./store.js";
import { cloneRow } from "./tables.js";

const CPU = "system.cpu.utilization";
/** Rows that are kept; the page stays readable and quick. */
const MOST_HOSTS = 5_000;

/** Statuses whose count has their colour, where there are any. */
const LOUD = new Set(["stale", "down"]);

const byName = new Intl.Collator("en", { numeric: true });

export class FleetPage {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./live.js").Live} live
   * @param {AbortSignal} signal
   */
  constructor(store, live, signal) {
    this.store = store;
    this.live = live;
    this.box = document.querySelector("[data-fleet]");
    this.body = this.box?.querySelector("tbody") ?? null;
    this.stage = new Stage(live.unseen, (host) => this.draw(host), signal);
    /** @type {Map<string, Spark>} */
    this.sparks = new Map();
    /** @type {Set<string>} */
    this.names = new Set();
    /** @type {Map<string, HTMLElement>} */
    this.retired = new Map();
    for (const row of document.querySelectorAll("[data-retired] tr[data-host]")) {
      if (row instanceof HTMLElement) this.retired.set(row.dataset.host ?? "", row);
    }
    for (const row of this.body?.rows ?? []) this.know(row, row.dataset.host ?? "");
  }

  /** @param {HTMLTableRowElement} row @param {string} name */
  know(row, name) {
    this.names.add(name);
    this.stage.watch(row);
    const svg = row.querySelector("svg.spark");
    if (svg instanceof SVGElement) this.sparks.set(name, new Spark(svg));
  }

  onConnected() {}

  onTick() {
    this.stage.turn();
  }

  /** Write a row that was out of view. @param {string} host */
  draw(host) {
    this.live.refresh(host);
    this.sparks.get(host)?.draw();
  }

  /**
   * @param {{metrics: string[], hosts: Record<string, (number | null)[]>}} data
   * @param {boolean} snapshot
   */
  onMetrics(data, snapshot) {
    if (!data.hosts) return;
    const known = this.names.size;
    for (const [host, values] of Object.entries(data.hosts)) {
      const metrics = new Map(data.metrics.map((key, index) => [key, values[index] ?? null]));
      addWorst(metrics);
      if (!this.names.has(host)) {
        // A snapshot has what was last known of everybody.
        if (snapshot && this.retired.has(host)) continue;
        this.add(host);
      }
      // A fleet frame has every column: one that is null was not observed.
      const seen = new Map([...metrics].filter(([, value]) => value !== null));
      this.store.take(host, seen, snapshot);
      this.live.show(host, seen);
      if (snapshot) continue;
      const spark = this.sparks.get(host);
      spark?.push(metrics.get(CPU));
      if (!this.live.unseen.has(host)) spark?.draw();
    }
    if (this.names.size > known) this.onStatus();
  }

  /** A row for a host that was not there when the page was made. @param {string} host */
  add(host) {
    this.retired.get(host)?.remove(); // it is back
    this.retired.delete(host);
    const template = this.box?.querySelector("template");
    if (!this.body || !template || this.names.size >= MOST_HOSTS) return;
    const row = cloneRow(template);
    const link = row?.querySelector("a");
    if (!row || !link) return;
    row.dataset.host = host;
    row.querySelector("[data-status]")?.setAttribute("data-status", host);
    link.textContent = host;
    link.pathname = `/hosts/${encodeURIComponent(host)}`; // the range behind it stays
    const after = [...this.body.rows].find((r) => byName.compare(r.dataset.host ?? "", host) > 0);
    this.body.insertBefore(row, after ?? null);
    this.know(row, host);
    this.live.bind(row);
    this.box?.removeAttribute("hidden");
    document.querySelector("[data-empty]")?.setAttribute("hidden", "");
  }

  /** Count again. */
  onStatus() {
    for (const count of document.querySelectorAll("[data-count]")) {
      const word = count.getAttribute("data-count") ?? "";
      const found = document.querySelectorAll(`tbody .status.is-${word}`).length;
      const text = String(found);
      if (count.textContent !== text) count.textContent = text;
      if (LOUD.has(word)) count.parentElement?.classList.toggle(`is-${word}`, found > 0);
    }
  }
}
