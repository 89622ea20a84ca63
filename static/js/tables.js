/**
 * Tables that change their rows: snapshots (processes and others), and rows for things that
 * appear later (a disk, an interface, a host).  Rows are built of nodes, never of strings.
 */

import { ABSENT, duration, written } from "./format.js";
import { escapeValue, parseKey } from "./store.js";

const LONGEST_CELL = 300;
/** Rows that may be added to one table while the page is open. */
const MOST_ROWS = 200;
/** A table is late as a value is: after so many of its periods, and at least so long. */
const LATE_PERIODS = 2.5;
const LATE_MS = 5_000;
/** The period of a table that came once. */
const UNKNOWN_MS = 60_000;

/** @typedef {{name: string, style: string, className: string}} Field */

/** A table of a snapshot's rows: sorted, bounded, updated in place. */
export class SnapshotTable {
  /** @param {HTMLTableElement} table */
  constructor(table) {
    const { sort, descending, most, identity } = table.dataset;
    this.sort = sort ?? "";
    this.descending = descending === "yes";
    this.most = Number(most) || 40;
    this.identity = identity ?? "";
    this.body = table.tBodies[0];
    /** @type {Record<string, any>[]} */
    this.rows = [];
    this.arrived = performance.now();
    this.period = 0;
    /** Whether what it shows is of a chosen instant, and no younger or older for the time since. */
    this.past = false;
    this.ageText = document.querySelector(`[data-age-of="${table.dataset.snapshot}"]`);
    this.heads = [...table.querySelectorAll("th[data-field]")];
    /** @type {Field[]} */
    this.fields = this.heads.map((head) => ({
      name: head.getAttribute("data-field") ?? "",
      style: head.getAttribute("data-style") ?? "",
      className: ["minor", "wide"].filter((c) => head.classList.contains(c)).join(" "),
    }));
  }

  /** Sort by a click on a heading; without this the heading's link does. @param {AbortSignal} signal */
  listen(signal) {
    for (const head of this.heads) {
      const link = head.querySelector("a");
      link?.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || !this.rows.length) return;
        event.preventDefault();
        this.sortBy(head.getAttribute("data-field") ?? "");
      }, { signal });
    }
  }

  /** @param {string} name */
  sortBy(name) {
    const field = this.fields.find((f) => f.name === name);
    if (!field) return;
    const usual = field.style !== "" && field.style !== "identity";
    this.descending = this.sort === name ? !this.descending : usual;
    this.sort = name;
    for (const head of this.heads) {
      const sorted = head.getAttribute("data-field") === name;
      const order = this.descending ? "descending" : "ascending";
      if (head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", sorted ? order : "none");
    }
    const query = new URLSearchParams(location.search);
    query.delete("sort");
    query.append("sort", (this.descending === usual ? "" : "-") + name);
    history.replaceState(history.state, "", `?${query}`);
    this.draw();
  }

  /** @param {Record<string, any>[]} rows @param {boolean} snapshot whether it may be an old one */
  show(rows, snapshot) {
    const now = performance.now();
    if (!snapshot) {
      this.period = this.rows.length ? now - this.arrived : 0;
      this.arrived = now;
    }
    this.rows = rows;
    this.draw();
  }

  /** Say how old the table is, once it is late. */
  age() {
    const age = performance.now() - this.arrived;
    const late = !this.past && age > Math.max(LATE_MS, LATE_PERIODS * (this.period || UNKNOWN_MS));
    const text = late ? `${duration(age / 1000)} ago` : "";
    if (this.ageText && this.ageText.textContent !== text) this.ageText.textContent = text;
  }

  draw() {
    const shown = this.ordered().slice(0, this.most);
    while (this.body.rows.length > shown.length) this.body.deleteRow(-1);
    shown.forEach((row, index) => this.fill(this.body.rows[index] ?? this.add(), row));
  }

  add() {
    const made = this.body.insertRow();
    for (const field of this.fields) {
      const cell = made.insertCell();
      cell.className = field.className;
      if (!field.style) {
        cell.classList.add("text");
        continue;
      }
      const value = document.createElement("span");
      value.className = "v";
      value.append(document.createElement("span"), " ", document.createElement("small"));
      cell.append(value);
    }
    return made;
  }

  /** @param {HTMLTableRowElement} line @param {Record<string, any>} row */
  fill(line, row) {
    this.fields.forEach(({ name, style }, index) => {
      const cell = line.cells[index];
      const content = row[name];
      if (!style) {
        const text = words(content) || ABSENT;
        if (cell.textContent !== text) cell.textContent = cell.title = text;
        return;
      }
      const identity = style === "identity";
      const [number, unit] = identity ? [words(content) || ABSENT, ""] : written(content, style);
      const [first, second] = cell.children[0].children;
      if (first.textContent !== number) first.textContent = number;
      if (second.textContent !== unit) second.textContent = unit;
    });
  }

  /** As monitor/web/tables.py sorts: those without a value last, either way. */
  ordered() {
    const { sort, descending } = this;
    const quantity = (this.fields.find((f) => f.name === sort)?.style ?? "") !== "";
    const known = (/** @type {any} */ cell) =>
      quantity ? Number.isFinite(cell) : cell !== null && cell !== undefined;
    const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
    const compare = (/** @type {any} */ a, /** @type {any} */ b) =>
      quantity ? a - b : collator.compare(String(a), String(b));
    return [...this.rows].sort((a, b) => {
      const [x, y] = [a[sort], b[sort]];
      if (!known(x) || !known(y)) return Number(known(y)) - Number(known(x));
      return descending ? compare(y, x) : compare(x, y);
    });
  }
}

/** A table with a row for each value of an attribute; its template says how a new one looks. */
export class OwnerTable {
  /** @param {HTMLTableElement} table */
  constructor(table) {
    const { attribute, lead, facts } = table.dataset;
    this.attribute = attribute ?? "";
    this.lead = lead ?? "";
    this.facts = facts ?? "";
    this.body = table.tBodies[0];
    this.template = /** @type {HTMLTemplateElement | null} */ (
      table.parentElement?.querySelector("template")
    );
    this.owners = new Set([...this.body.rows].map((row) => row.dataset.owner ?? ""));
  }

  /**
   * A row for whatever a new KEY belongs to, where it has none yet.
   * @param {string} key
   * @returns {Element | null} the new row
   */
  rowFor(key) {
    if (!key.startsWith(`${this.lead}{`)) return null;
    const owner = parseKey(key).attributes.get(this.attribute);
    if (owner === undefined || this.owners.has(owner)) return null;
    if (this.owners.size >= MOST_ROWS || !this.template) return null;
    const row = cloneRow(this.template);
    if (!row) return null;
    row.dataset.owner = owner;
    row.cells[0].textContent = owner;
    for (const name of ["data-key", "data-bar"]) {
      for (const element of row.querySelectorAll(`[${name}]`)) {
        const key_ = element.getAttribute(name) ?? "";
        element.setAttribute(name, key_.replace('"*"', () => `"${escapeValue(owner)}"`));
      }
    }
    this.owners.add(owner);
    this.body.append(row);
    return row;
  }

  /** Fill the cells that no number carries. @param {Record<string, any>[]} rows */
  showFacts(rows) {
    const byOwner = new Map(rows.map((row) => [String(row[this.attribute]), row]));
    for (const line of this.body.rows) {
      const row = byOwner.get(line.dataset.owner ?? "");
      for (const cell of row ? line.querySelectorAll("[data-fact]") : []) {
        const text = words(row?.[cell.getAttribute("data-fact") ?? ""]);
        if (cell.textContent !== text) cell.textContent = text;
      }
    }
  }
}

/** @param {HTMLTemplateElement} template */
export function cloneRow(template) {
  const copy = document.importNode(template.content, true);
  return /** @type {HTMLTableRowElement | null} */ (copy.querySelector("tr"));
}

/** @param {any} cell */
function words(cell) {
  return cell === null || cell === undefined ? "" : String(cell).slice(0, LONGEST_CELL);
}
