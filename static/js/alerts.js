/**
 * The page of alerts, live.  What a row says the server says (monitor/web/alertrows.py): after the
 * log has said something of alerts, the page's rows are asked for again, and only what is different
 * changes: a row that stays keeps its place in the document, its focus and what was opened in it.
 */

import { had, Soon } from "./alarm.js";
import { duration } from "./format.js";

/** Rows are asked for at least so often: values, and what pends, are no events. */
const ANEW_MS = 10_000;

/** Kinds of notices after which rows stand elsewhere. */
const ABOUT = new Set(["ack", "silence", "maintenance", "delivery", "reload"]);

/**
 * @typedef {{id: string, name: string, look: string, shape: string, word: string, host: string,
 *   rule: string, what: string, key: string, style: string, number: string, unit: string,
 *   limit: string, at: number, since: string, instant: string, lasts: string, until: number,
 *   note: string, tags: string[], can_acknowledge: boolean}} Row
 * @typedef {{name: string, title: string, count: number, left_out: number, rows: Row[],
 *   groups: {title: string, count: number, rows: Row[]}[]}} Section
 */

export class AlertsPage {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./live.js").Live} live
   * @param {AbortSignal} signal
   */
  constructor(store, live, signal) {
    this.store = store;
    this.live = live;
    this.root = /** @type {HTMLElement | null} */ (document.querySelector("[data-alerts]"));
    this.row = /** @type {HTMLTemplateElement | null} */ (document.querySelector("[data-alert-template]"));
    this.group = /** @type {HTMLTemplateElement | null} */ (document.querySelector("[data-group-template]"));
    const query = this.root?.dataset.query ?? "";
    const ask = async () => this.show(await had(`/alerts/rows${query}`, signal));
    this.soon = new Soon(ask, signal, ANEW_MS);
    this.soon.last = performance.now();
    /** Whether rows went with the last answer. */
    this.gone = false;
  }

  onConnected() {
    this.soon.ask(); // pending ones are no events
  }

  /** @param {any} data @param {boolean} snapshot */
  onMetrics(data, snapshot) {
    if (!data.host) return;
    const metrics = Object.entries(data.metrics ?? {});
    this.store.take(data.host, /** @type {[string, number | null][]} */ (metrics), snapshot);
    this.live.show(data.host, /** @type {[string, number | null][]} */ (metrics));
  }

  onStatus() {
    this.soon.ask(); // a host that is away holds back its own
  }

  onTick() {
    this.soon.tick();
    age(document);
  }

  /** @param {import("./messages.js").Message} message */
  onLogged({ type, data }) {
    if (type === "alert" || (type === "notice" && ABOUT.has(data.kind))) this.soon.ask();
  }

  onPending() {
    this.soon.ask();
  }

  /** @param {{counts: Record<string, number>, calm: string, sections: Section[]} | null} page */
  show(page) {
    if (!page || !this.root) return;
    for (const [name, count] of Object.entries(page.counts)) {
      for (const element of document.querySelectorAll(`[data-count-of="${name}"]`)) {
        element.textContent = String(count);
      }
    }
    this.gone = false;
    for (const section of page.sections) this.section(section, page.sections.length === 1);
    // Beside other things the list is there only while there is something in it.
    if (this.root.dataset.hides !== undefined) this.root.hidden = !page.counts.firing;
    if (this.gone) this.live.prune();
    const calm = this.root.querySelector("[data-calm]");
    if (calm instanceof HTMLElement) {
      calm.hidden = page.counts.firing > 0;
      write(calm.querySelector("[data-calm-words]"), page.calm);
    }
  }

  /** @param {Section} section @param {boolean} alone */
  section(section, alone) {
    const box = this.root?.querySelector(`[data-section="${section.name}"]`);
    if (!(box instanceof HTMLElement)) return;
    const before = box.querySelectorAll("li.alert").length;
    this.fill(box.querySelector("[data-rows]"), section.rows);
    this.groups(box.querySelector("[data-groups]"), section.groups);
    const left = box.querySelector("[data-left-out]");
    if (left instanceof HTMLElement) {
      left.hidden = !section.left_out;
      write(left.querySelector("span"), String(section.left_out));
    }
    const none = box.querySelector("[data-none]");
    if (none instanceof HTMLElement) none.hidden = section.count > 0;
    box.hidden = !section.count && !alone;
    if (section.name === "firing" && box.querySelectorAll("li.alert").length > before) {
      write(document.querySelector("[data-alerts-said]"), `${section.count} firing`);
    }
  }

  /** @param {Element | null} box @param {{title: string, rows: Row[]}[]} groups */
  groups(box, groups) {
    if (!box) return;
    const known = [...box.children];
    groups.forEach((group, index) => {
      let element = known[index];
      if (!element && this.group) {
        box.append(document.importNode(this.group.content, true));
        element = box.lastElementChild ?? element;
      }
      if (!element) return;
      write(element.querySelector("summary b"), group.title);
      this.fill(element.querySelector("ol"), group.rows);
    });
    for (const element of known.slice(groups.length)) element.remove();
  }

  /** Make a list's rows these, in this order. @param {Element | null} list @param {Row[]} rows */
  fill(list, rows) {
    if (!list) return;
    /** @type {Map<string, HTMLElement>} */
    const known = new Map();
    for (const element of [...list.children]) {
      if (element instanceof HTMLElement) known.set(element.dataset.name ?? "", element);
    }
    /** @type {Element | null} */
    let after = null;
    for (const row of rows) {
      let element = known.get(row.name);
      known.delete(row.name);
      const isNew = !element;
      element ??= this.made() ?? undefined;
      if (!element) return;
      writeRow(element, row);
      const place = after ? after.nextElementSibling : list.firstElementChild;
      if (place !== element) list.insertBefore(element, place);
      if (isNew) this.live.bind(element);
      after = element;
    }
    for (const element of known.values()) element.remove();
    this.gone ||= known.size > 0;
  }

  /** A row like those that the page was made with. @returns {HTMLElement | null} */
  made() {
    const copy = this.row && document.importNode(this.row.content, true);
    return copy?.querySelector("li") ?? null;
  }
}

/** @param {HTMLElement} element @param {Row} row */
function writeRow(element, row) {
  element.className = `alert is-${row.look}`;
  element.dataset.name = row.name;
  element.dataset.host = row.host;
  const [mark, where, what, reading, times, act] = element.children;
  mark.className = `mark is-${row.look}`;
  write(mark.children[0], row.shape);
  write(mark.children[1], row.word);
  write(where, row.host);
  where.setAttribute("href", `/hosts/${encodeURIComponent(row.host)}`);
  let [words] = what.children;
  const name = row.id ? "A" : "SPAN";
  if (words.tagName !== name) {
    const made = document.createElement(name);
    words.replaceWith(made);
    words = made;
  }
  if (row.id) words.setAttribute("href", `/alerts/${row.id}`);
  write(words, row.what);
  tag(what.children[1], row.tags);
  write(what.children[2], row.note);
  const [value, limit] = reading.children;
  value.setAttribute("data-style", row.style);
  if (row.key) value.setAttribute("data-key", row.key);
  else value.removeAttribute("data-key");
  write(value.children[0], row.number);
  write(value.children[1], row.unit);
  write(limit, row.limit);
  const [lasts, since] = times.children;
  lasts.setAttribute("data-lasts", row.until ? "" : row.at.toFixed(0));
  write(lasts, row.lasts);
  const time = since.querySelector("time");
  time?.setAttribute("datetime", row.instant);
  write(time, row.since);
  const form = act.querySelector("form");
  if (!form) return;
  form.hidden = !row.can_acknowledge;
  form.setAttribute("action", `/alerts/${row.id}/ack`);
  form.querySelector("button")?.setAttribute("aria-label", `Acknowledge ${row.what}`);
}

/** @param {Element} box @param {string[]} tags */
function tag(box, tags) {
  if ([...box.children].map((each) => each.textContent).join("\n") === tags.join("\n")) return;
  box.replaceChildren(
    ...tags.map((words) => {
      const made = document.createElement("b");
      made.className = "tag";
      made.textContent = words;
      return made;
    }),
  );
}

/** @param {Element | null | undefined} element @param {string} text */
function write(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** How long everything lasts now. @param {ParentNode} root */
export function age(root) {
  const now = Date.now() / 1000;
  for (const element of root.querySelectorAll("[data-lasts]")) {
    const at = Number(element.getAttribute("data-lasts"));
    const words = element.getAttribute("data-words");
    if (at > 0) write(element, `${words ? `${words} ` : ""}${duration(Math.max(0, now - at))}`);
  }
}
