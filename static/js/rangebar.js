/**
 * The bar above the charts, as templates/range.html has it: the range in words, and links that
 * are right for it.  It asks nobody and decides nothing.
 */

import { LIVE, isLive, instantText, query, title } from "./range.js";
import { fieldText, instantWords, windowWords, zone } from "./timeaxis.js";

export class RangeBar {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.section = section;
    this.form = /** @type {HTMLFormElement | null} */ (section.querySelector("[data-form]"));
    this.details = /** @type {HTMLDetailsElement | null} */ (section.querySelector("[data-custom]"));
    this.back = /** @type {HTMLButtonElement | null} */ (section.querySelector("[data-back]"));
    const zoned = section.querySelector("[data-zone]");
    if (zoned) zoned.textContent = zone();
    section.querySelector("[data-hint]")?.removeAttribute("hidden");
  }

  /**
   * @param {import("./range.js").Range} range
   * @param {[number, number]} window_
   * @param {number} now
   * @param {string} back where zooming out leads, "" where nowhere
   */
  show(range, [start, end], now, back) {
    const live = isLive(range);
    this.section.dataset.compared = live ? "" : range.compare;
    this.text("title", title(range));
    this.text("window", live ? "the last ten minutes" : windowWords(start, end, now));
    if (live) this.text("resolution", "");
    for (const link of this.links("range")) {
      const name = link.dataset.range ?? "";
      const to = name === "live" ? LIVE : { ...LIVE, text: name, compare: live ? "" : range.compare };
      this.lead(link, to, name === (live ? "live" : range.text));
    }
    for (const link of this.links("compare")) {
      const compare = link.dataset.compare ?? "";
      this.lead(link, { ...range, compare }, compare === range.compare);
    }
    mark(this.details?.querySelector("summary"), range.end > 0);
    this.fields(start, end);
    if (this.back) {
      this.back.hidden = !back;
      this.back.textContent = `← Back to ${back}`;
    }
    const at = this.section.querySelector("[data-at-link]");
    at?.toggleAttribute("hidden", !range.at);
    if (at) at.textContent = `Processes of ${instantWords(range.at, now, true)} ↓`;
    const span = query({ ...range, compare: "", at: 0 });
    for (const link of document.querySelectorAll("a[data-elsewhere]")) {
      link.setAttribute("href", `${link.getAttribute("data-elsewhere")}${span}`);
    }
    document.querySelector("[data-now-link]")?.setAttribute("href", `${query({ ...range, at: 0 }) || "?"}#processes`);
    this.files(range, end - start);
  }

  /** @param {string} what @returns {HTMLAnchorElement[]} */
  links(what) {
    return [.../** @type {NodeListOf<HTMLAnchorElement>} */ (this.section.querySelectorAll(`a[data-${what}]`))];
  }

  /** @param {HTMLAnchorElement} link @param {import("./range.js").Range} to @param {boolean} current */
  lead(link, to, current) {
    link.setAttribute("href", query(to) || "?");
    mark(link, current);
  }

  /** What somebody is writing stays. @param {number} start @param {number} end */
  fields(start, end) {
    if (!this.form || this.details?.open) return;
    /** @type {HTMLInputElement} */ (this.form.elements.namedItem("from")).value = fieldText(start);
    /** @type {HTMLInputElement} */ (this.form.elements.namedItem("to")).value = fieldText(end);
  }

  /** The addresses of the numbers, for the present range. @param {import("./range.js").Range} range @param {number} seconds */
  files(range, seconds) {
    for (const link of this.links("file")) {
      const url = new URL(link.href);
      url.searchParams.delete("end");
      url.searchParams.set("start", range.end ? instantText(range.start) : `-${Math.round(seconds)}s`);
      if (range.end) url.searchParams.set("end", instantText(range.end));
      link.setAttribute("href", url.pathname + url.search);
    }
  }

  /**
   * What is known of the range once its answer is here.
   * @param {string} resolution @param {string} remark
   * @param {{shape: string, text: string, href: string}[]} happened
   */
  tell(resolution, remark, happened) {
    this.text("resolution", resolution);
    this.text("remark", remark);
    const list = this.section.querySelector("[data-happened]");
    list?.replaceChildren(...happened.map(({ shape, text, href }) => {
      const item = document.createElement("li");
      const sign = document.createElement("span");
      sign.setAttribute("aria-hidden", "true");
      sign.textContent = shape;
      const words = document.createElement(href ? "a" : "span");
      if (href) {
        words.setAttribute("href", href);
        words.setAttribute("data-at", "");
        words.title = "The processes of then";
      }
      words.append(sign, ` ${text}`);
      item.append(words);
      return item;
    }));
  }

  /** Say what went wrong, in place; "" where nothing did. @param {string} words */
  trouble(words) {
    const box = this.section.querySelector("[data-trouble]");
    box?.toggleAttribute("hidden", !words);
    const text = box?.querySelector("[data-words-of]");
    if (text && text.textContent !== words) text.textContent = words;
  }

  /** For who cannot see that the charts have changed. @param {string} words */
  announce(words) {
    this.text("said", words);
  }

  /** @param {string} name @param {string} words */
  text(name, words) {
    const element = this.section.querySelector(`[data-${name}]`);
    if (element && element.textContent !== words) element.textContent = words;
  }
}

/** @param {Element | null | undefined} element @param {boolean} current */
function mark(element, current) {
  if (current) element?.setAttribute("aria-current", "true");
  else element?.removeAttribute("aria-current");
}
