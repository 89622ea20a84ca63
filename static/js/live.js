/**
 * Keeps the numbers on the page live: elements bound by their KEY.
 *
 * The template that drew a number says how it looks: `data-key` which value, `data-style` how
 * it is written.  Here only its text changes, in place, and a late one gets its age beside it.
 */

import { nameCells } from "./columns.js";
import { duration, written } from "./format.js";
import { Store } from "./store.js";

const BOUND = "[data-key]";

export class Live {
  /**
   * @param {Store} store
   * @param {string} host the page's host, "" on a page of many
   * @param {number} period seconds between frames, for values that say no other
   */
  constructor(store, host, period) {
    this.store = store;
    this.host = host;
    this.period = period;
    /** @type {Map<string, Map<string, Element[]>>} host → KEY → elements */
    this.bound = new Map();
    /** @type {Map<string, Element[]>} KEY → bars, of the page's host */
    this.bars = new Map();
    /** Hosts whose rows are out of view: what comes of them is written by `refresh`. */
    this.unseen = new Set();
  }

  /** Bind everything below an element. @param {ParentNode} root */
  bind(root) {
    nameCells(root);
    for (const element of root.querySelectorAll(BOUND)) {
      const { key, age, period } = /** @type {HTMLElement} */ (element).dataset;
      const host = element.closest("tr[data-host], li[data-host]")?.getAttribute("data-host") ?? this.host;
      if (!key || element.closest("template")) continue;
      let keys = this.bound.get(host);
      if (!keys) this.bound.set(host, (keys = new Map()));
      append(keys, key, element);
      if (element.firstElementChild?.textContent !== "–") {
        this.store.seed(host, key, Number(age) || 0, Number(period) || this.period);
      }
    }
    for (const bar of root.querySelectorAll("[data-bar]")) {
      append(this.bars, bar.getAttribute("data-bar") ?? "", bar);
    }
  }

  /** Let go of elements that are no longer on the page. */
  prune() {
    for (const [host, keys] of this.bound) {
      for (const [key, elements] of keys) {
        const left = elements.filter((element) => element.isConnected);
        if (left.length) keys.set(key, left);
        else keys.delete(key);
      }
      if (!keys.size) this.bound.delete(host);
    }
  }

  /**
   * Show new values.
   * @param {string} host
   * @param {Iterable<[string, number | null]>} metrics
   */
  show(host, metrics) {
    const keys = this.unseen.has(host) ? undefined : this.bound.get(host);
    if (!keys) return;
    for (const [key, value] of metrics) {
      // On a page of many everything changes all the time: a fade of it would be a flicker.
      for (const element of keys.get(key) ?? []) update(element, value, host === this.host);
      if (host !== this.host) continue;
      for (const bar of this.bars.get(key) ?? []) stretch(bar, value);
    }
  }

  /** Write what the store has of a host, as if it had always stood there. @param {string} host */
  refresh(host) {
    const values = this.store.of(host);
    for (const [key, elements] of this.bound.get(host) ?? []) {
      const value = values.get(key)?.value ?? null;
      if (value === null) continue; // what the page was drawn with
      for (const element of elements) update(element, value, false);
    }
    this.ageOf(host, performance.now());
  }

  /** Say of every late value how old it is; of the others nothing. */
  age() {
    const now = performance.now();
    for (const host of this.bound.keys()) if (!this.unseen.has(host)) this.ageOf(host, now);
  }

  /** @param {string} host @param {number} now performance.now() */
  ageOf(host, now) {
    const values = this.store.of(host);
    for (const [key, elements] of this.bound.get(host) ?? []) {
      const entry = values.get(key);
      if (!entry) continue;
      const late = Store.lateness(entry, now);
      const words = late ? `${duration(late)} ago` : "";
      for (const element of elements) showAge(element, words);
    }
  }
}

/** @param {Map<string, Element[]>} map @param {string} key @param {Element} element */
function append(map, key, element) {
  const found = map.get(key);
  if (found) found.push(element);
  else map.set(key, [element]);
}

/**
 * Write a value into its element, unless a chart's cursor holds it.
 * @param {Element} element
 * @param {number | null} value
 * @param {boolean} fade whether a change is to be seen
 */
export function update(element, value, fade = true) {
  if (element.hasAttribute("data-held")) return;
  const [number, unit] = written(value, element.getAttribute("data-style") ?? "");
  setText(element.children[0], number, fade ? element : undefined);
  setText(element.children[1], unit);
}

/** @param {Element | undefined} part @param {string} text @param {Element} [whole] */
function setText(part, text, whole) {
  if (!part || part.textContent === text) return;
  // A text node that stays is cheaper than a new one, and keeps a selection.
  if (part.firstChild instanceof Text) part.firstChild.data = text;
  else part.textContent = text;
  if (!whole) return;
  whole.classList.remove("changed");
  requestAnimationFrame(() => whole.classList.add("changed"));
}

/** @param {Element} bar @param {number | null} value */
function stretch(bar, value) {
  const percent = Math.min(100, Math.max(0, (value ?? 0) * 100));
  bar.firstElementChild?.setAttribute("width", `${percent.toFixed(1)}%`);
}

/** @param {Element} element @param {string} words */
function showAge(element, words) {
  const age = element.children[2]; // after the number and its unit
  if (!words && !age) return;
  element.classList.toggle("late", words !== "");
  /** @type {HTMLElement} */ (element).title = words;
  if (!words) age?.remove();
  else if (age) setText(age, words);
  else {
    const made = document.createElement("small");
    made.className = "age";
    made.textContent = words;
    element.append(" ", made);
  }
}
