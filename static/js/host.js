/** What is alive on a host's page: numbers, tables, charts. */

import { Chart } from "./charts.js";
import { history } from "./history.js";
import { RangeChart } from "./rangechart.js";
import { now, RangeView } from "./rangeview.js";
import { addHeadlines } from "./store.js";
import { OwnerTable, SnapshotTable } from "./tables.js";
import { Then } from "./then.js";

/** History that could not be had is asked for again after so long. */
const RETRY_MS = 10_000;
/** A chart that nothing came for is redrawn anyway, so that its silence shows. */
const SILENT_MS = 1_500;
/** The last ten minutes: one bucket a second, and one that both edges cut. */
const LIVE = { start: "-10m", points: "601" };

export class HostPage {
  /**
   * @param {string} host
   * @param {import("./store.js").Store} store
   * @param {import("./live.js").Live} live
   * @param {AbortSignal} signal
   */
  constructor(host, store, live, signal) {
    this.host = host;
    this.store = store;
    this.live = live;
    this.signal = signal;
    /** The server's clock: an instant, and when it was heard. */
    this.clock = { at: 0, heard: 0 };
    const newest = (/** @type {string} */ key) => store.of(host).get(key)?.value ?? null;
    this.charts = all("figure[data-chart]").map((figure) => new Chart(figure, newest));
    this.snapshots = all("table[data-snapshot]").map((table) => {
      const made = new SnapshotTable(/** @type {HTMLTableElement} */ (table));
      made.listen(signal);
      return { kind: table.dataset.snapshot ?? "", table: made };
    });
    this.owned = all("table[data-lead]").map(
      (table) => new OwnerTable(/** @type {HTMLTableElement} */ (table)),
    );
    this.watch();
    /** Whether live charts lack what happened since their history was loaded. */
    this.missed = false;
    const processes = this.snapshots.find(({ kind }) => kind === "processes")?.table ?? null;
    this.then = new Then(host, processes, now, signal);
    const [section] = all("section.history");
    this.range = section ? this.ranges(section) : null;
  }

  /** @param {HTMLElement} section */
  ranges(section) {
    const charts = this.charts.map((live) => ({ live, range: new RangeChart(live.figure, live.lines) }));
    const onLive = () => {
      if (this.missed) this.loadLive();
      this.drawAll();
    };
    return new RangeView(this.host, section, charts, this.then, onLive, this.signal);
  }

  /** Charts out of sight are not drawn; all follow the system's colours. */
  watch() {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const chart = this.charts.find((c) => c.figure === entry.target);
        if (!chart) continue;
        chart.visible = entry.isIntersecting;
        if (chart.visible) this.drawOne(chart);
      }
    }, { rootMargin: "100px" });
    for (const chart of this.charts) seen.observe(chart.figure);
    const restyle = () => this.charts.forEach((chart) => chart.restyle());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle, {
      signal: this.signal,
    });
    this.signal.addEventListener("abort", () => {
      seen.disconnect();
      for (const chart of this.charts) chart.destroy();
    });
  }

  /** (Re)connected: what was missed is fetched, once live charts are looked at. */
  onConnected() {
    this.missed = true;
    if (document.body.dataset.mode !== "range") this.loadLive();
  }

  loadLive() {
    this.missed = false;
    const ended = this.signal;
    this.fetchLive().catch(() => {
      if (!ended.aborted) setTimeout(() => !ended.aborted && this.onConnected(), RETRY_MS);
    });
  }

  async fetchLive() {
    const keys = new Set(this.charts.flatMap((chart) => chart.lines.map((line) => line.key)));
    for await (const answer of history(this.host, [...keys], LIVE, this.signal)) {
      /** @type {{key: string, avg: (number | null)[]}[]} */
      const series = answer.series;
      const found = new Map(series.map(({ key, avg }) => [key, avg]));
      for (const chart of this.charts) {
        // A request has some KEYs; a chart is loaded by the one that has its first.
        const has = chart.lines.some((line) => found.has(line.key));
        if (has) chart.load(answer.t, merged(chart, answer.t, found));
      }
      this.drawAll();
    }
  }

  /**
   * @param {{at: number, host: string, metrics: Record<string, number | null>,
   *          snapshots?: Record<string, Record<string, any>[]>}} data
   * @param {boolean} snapshot
   */
  onMetrics(data, snapshot) {
    if (data.host !== this.host) return;
    const metrics = new Map(Object.entries(data.metrics));
    const fresh = this.store.take(this.host, metrics, snapshot);
    if (!this.clock.at || data.at > this.clock.at) {
      this.clock = { at: data.at, heard: performance.now() };
    }
    for (const key of fresh) {
      for (const table of this.owned) {
        const row = table.rowFor(key);
        if (row) this.live.bind(row);
      }
    }
    if (!snapshot) for (const chart of this.charts) chart.push(data.at, metrics);
    const direct = new Map(metrics);
    const fullest = addHeadlines(this.store.of(this.host), direct);
    const derived = [...direct].filter(([key]) => !metrics.has(key));
    this.store.take(this.host, derived, snapshot);
    this.live.show(this.host, direct);
    this.showFullest(fullest);
    for (const [kind, rows] of Object.entries(data.snapshots ?? {})) this.showRows(kind, rows, snapshot);
    this.drawAll();
  }

  /** @param {string} mountpoint */
  showFullest(mountpoint) {
    const element = document.querySelector('[data-words="fullest"]');
    if (element && mountpoint && element.textContent !== mountpoint) {
      element.textContent = mountpoint;
    }
  }

  /** @param {string} kind @param {Record<string, any>[]} rows @param {boolean} snapshot */
  showRows(kind, rows, snapshot) {
    if (!Array.isArray(rows)) return;
    if (kind === "processes" && !this.then.take(rows)) return;
    for (const each of this.snapshots) if (each.kind === kind) each.table.show(rows, snapshot);
    for (const table of this.owned) if (table.facts === kind) table.showFacts(rows);
  }

  onStatus() {}

  onTick() {
    for (const each of this.snapshots) each.table.age();
    const silent = performance.now() - SILENT_MS;
    for (const chart of this.charts) if (chart.drawnAt < silent) this.drawOne(chart);
  }

  drawAll() {
    for (const chart of this.charts) this.drawOne(chart);
    if (document.body.dataset.mode === "live") this.range?.crosshair.draw();
  }

  /** @param {Chart} chart */
  drawOne(chart) {
    if (!this.clock.at) return;
    chart.draw(this.clock.at + (performance.now() - this.clock.heard) / 1000);
  }
}

/**
 * What a request brought, and for lines that were in another one what the chart already has.
 * @param {Chart} chart
 * @param {number[]} t
 * @param {Map<string, (number | null)[]>} found
 */
function merged(chart, t, found) {
  const all_ = new Map(found);
  chart.lines.forEach((line, index) => {
    if (all_.has(line.key)) return;
    const known = new Map(chart.t.map((at, row) => [at, chart.columns[index][row]]));
    all_.set(line.key, t.map((at) => known.get(at) ?? null));
  });
  return all_;
}

/** @param {string} selector @returns {HTMLElement[]} */
function all(selector) {
  return [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(selector))];
}
