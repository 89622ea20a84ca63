/**
 * The worker that all tabs of a browser share: it holds one stream for the union of their
 * topics, since a browser allows six connections to a server and a stream takes one for good.
 *
 * A tab says `join {topics, position, lock}`, `here` now and then, and `leave`.  It hears `hello`
 * at once and `lock`, then `message`, `state`, and to each `here` a `here`; `full` where its
 * topics do not fit, and `unknown` where it was given up in between: then it joins anew.
 *
 * Whenever tabs join, a new stream begins at the lowest position that any tab still needs, and
 * takes over once it speaks: so each tab has the state as it stands before the first change,
 * and, by its own position, each logged event once.  Topics of tabs that left go then, too.
 */

import { hold, whenGone } from "./locks.js";
import { compare, isAfter, isLogged, topicsOf } from "./messages.js";
import { probe } from "./poll.js";
import { Stream } from "./stream.js";
import { Timers } from "./timers.js";

/** Topics that the server accepts of one stream, and what of its address they may fill. */
const MOST_TOPICS = 64;
const LONGEST_TOPICS = 6_000;
/** Tabs that open together get one stream together. */
const GATHER_MS = 20;
/**
 * A tab that was not heard for so long is gone.  A hidden one may run its timers once a minute
 * only; one that is frozen not at all, and finds out when it wakes.
 */
const GONE_MS = 5 * 60_000;
const SWEEP_MS = 60_000;
/** Topics that the server refuses are asked about again: first so soon, then less often. */
const FIRST_ASIDE_MS = 2_000;
const LONGEST_ASIDE_MS = 60_000;

/** @typedef {import("./messages.js").Message} Message */

class Tab {
  /** @param {MessagePort} port @param {string[]} topics @param {string} position */
  constructor(port, topics, position) {
    this.port = port;
    this.topics = new Set(topics);
    /** Everything up to here it has. */
    this.position = position;
    /** Whether it hears the present stream; if not, it waits for the next. */
    this.attached = false;
    /** Whether the server refuses one of its topics. */
    this.aside = false;
    this.heardAt = performance.now();
  }

  /** @param {Message} message */
  tell(message) {
    this.port.postMessage({ kind: "message", message });
  }

  /** @param {string} state @param {string} reason */
  show(state, reason) {
    this.port.postMessage({ kind: "state", state, reason });
  }

  /** @param {Message} message */
  wants({ type, data }) {
    const topics = topicsOf(type, data);
    return !topics.length || topics.some((topic) => this.topics.has(topic));
  }
}

class Sharing {
  constructor() {
    /** @type {Map<MessagePort, Tab>} */
    this.tabs = new Map();
    /** @type {Stream | null} what the attached tabs hear */
    this.present = null;
    /** @type {Stream | null} what takes over once it speaks */
    this.next = null;
    /** Where it begins. */
    this.asked = "";
    this.asideMs = FIRST_ASIDE_MS;
    this.probing = new AbortController();
    this.timers = new Timers();
  }

  /** @param {MessagePort} port @param {string[]} topics @param {string} position */
  join(port, topics, position) {
    if (!this.fit(topics)) {
      this.leave(port);
      port.postMessage({ kind: "full" });
      return;
    }
    this.tabs.set(port, new Tab(port, topics, position));
    this.timers.after("renew", GATHER_MS, () => this.renew());
    if (!this.timers.has("sweep")) this.timers.after("sweep", SWEEP_MS, () => this.sweep());
  }

  /** @param {MessagePort} port */
  leave(port) {
    if (!this.tabs.delete(port) || this.tabs.size) return;
    this.present?.end();
    this.next?.end();
    this.present = this.next = null;
    this.probing.abort();
    this.timers.end();
  }

  /** @param {MessagePort} port */
  here(port) {
    const tab = this.tabs.get(port);
    if (tab) tab.heardAt = performance.now();
    port.postMessage({ kind: tab ? "here" : "unknown" });
  }

  sweep() {
    const longAgo = performance.now() - GONE_MS;
    for (const [port, tab] of this.tabs) if (tab.heardAt < longAgo) this.leave(port);
    if (this.tabs.size) this.timers.after("sweep", SWEEP_MS, () => this.sweep());
  }

  /** Tabs whose topics the server grants, as far as we know. */
  heeded() {
    return [...this.tabs.values()].filter((tab) => !tab.aside);
  }

  union() {
    return new Set(this.heeded().flatMap((tab) => [...tab.topics]));
  }

  /** Whether one stream has room for more topics. @param {Iterable<string>} topics */
  fit(topics) {
    const all = new Set([...this.union(), ...topics]);
    return all.size <= MOST_TOPICS && encodeURIComponent([...all].join()).length <= LONGEST_TOPICS;
  }

  /** Begin the stream that is to take over. */
  renew() {
    const topics = [...this.union()].sort();
    this.next?.end();
    this.next = null;
    if (!topics.length) return;
    const blocked = this.present?.state === "blocked";
    this.asked = this.lowest();
    /** @type {Stream} */
    const stream = new Stream(
      { topics, position: this.asked, blocked },
      {
        onMessage: (message) => this.pass(stream, message),
        onState: (state, reason) => this.onState(stream, state, reason),
      },
    );
    this.next = stream;
  }

  /** The lowest position that a tab needs; of several logs, in the one of the newest tab. */
  lowest() {
    return this.heeded().reduceRight(
      (lowest, { position }) => ((compare(position, lowest) ?? 1) < 0 ? position : lowest),
      this.heeded().at(-1)?.position ?? "",
    );
  }

  // What the streams say

  /** @param {Stream} stream @param {Message} message */
  pass(stream, message) {
    if (stream === this.next && message.type === "connected") {
      const live = this.present && ["live", "blocked"].includes(this.present.state);
      this.present?.end();
      this.present = stream;
      this.next = null;
      this.asideMs = FIRST_ASIDE_MS;
      for (const tab of this.heeded()) {
        const isWhole = !tab.position || (compare(tab.position, this.asked) ?? -1) >= 0;
        this.connect(tab, message, isWhole, !(live && tab.attached));
        if (stream.state === "live") tab.show("live", "");
      }
    } else if (stream === this.present) {
      for (const tab of this.heeded()) if (tab.attached) this.passTo(tab, message);
    }
  }

  /** @param {Tab} tab @param {Message} message */
  passTo(tab, message) {
    const { type, id } = message;
    if (type === "connected") {
      this.connect(tab, message, true, true);
    } else if (type !== "disconnected") {
      if (isLogged(message) && tab.position && !isAfter(id, tab.position)) return;
      if (id && isAfter(id, tab.position)) tab.position = id;
      if (tab.wants(message)) tab.tell(message);
    }
  }

  /**
   * A tab hears a stream from its beginning.  It is told unless it merely changed streams; and
   * always where something is missing between what it has and what it will hear.
   * @param {Tab} tab
   * @param {Message} message `connected`
   * @param {boolean} isWhole whether the stream was asked for everything that the tab lacks
   * @param {boolean} told
   */
  connect(tab, message, isWhole, told) {
    const { gap, ...data } = message.data;
    if (gap ? compare(tab.position, message.id) !== 0 : !isWhole) {
      data.gap = { from: tab.position, to: message.id };
      tab.position = message.id;
    }
    tab.position ||= message.id;
    tab.attached = true;
    data.topics = [...tab.topics];
    if (told || data.gap) tab.tell({ ...message, data, id: tab.position });
  }

  /** @param {Stream} stream @param {string} state @param {string} reason */
  onState(stream, state, reason) {
    if (state === "ended") {
      this.finish(reason);
      return;
    }
    if (state === "refused" && stream.topics.length > 1) {
      this.single(stream, reason);
      return;
    }
    for (const tab of this.heeded()) {
      if (stream === this.present ? tab.attached : !tab.attached) tab.show(state, reason);
    }
  }

  /** The browser's session is over, for every tab; whoever logs in joins anew. @param {string} reason */
  finish(reason) {
    for (const [port, tab] of [...this.tabs]) {
      tab.show("ended", reason);
      this.leave(port);
    }
  }

  // Topics that are refused must not cost the other tabs their stream.

  /** @param {Stream} stream @param {string} reason */
  async single(stream, reason) {
    stream.end();
    if (stream === this.next) this.next = null;
    if (stream === this.present) {
      this.present = null;
      for (const tab of this.tabs.values()) tab.attached = false;
    }
    const refused = await this.refusedOf(stream.topics);
    for (const tab of this.heeded()) {
      if (![...tab.topics].some((topic) => refused.has(topic))) continue;
      tab.aside = true;
      tab.attached = false;
      tab.show("refused", reason);
    }
    if (refused.size) this.askAgain();
    if (this.heeded().every((tab) => tab.attached)) return;
    // None of them by itself was refused: then it is the server that must come to itself.
    this.timers.after("renew", refused.size ? 0 : this.asideMs, () => this.renew());
  }

  /** Ask about what was refused, less often each time. */
  askAgain() {
    this.timers.after("aside", this.asideMs, () => this.retryAside());
    this.asideMs = Math.min(LONGEST_ASIDE_MS, this.asideMs * 2);
  }

  /** @param {Iterable<string>} topics at most MOST_TOPICS, asked one after the other */
  async refusedOf(topics) {
    /** @type {Set<string>} */
    const refused = new Set();
    this.probing.abort();
    const { signal } = (this.probing = new AbortController());
    for (const topic of topics) {
      try {
        await probe([topic], signal);
      } catch (error) {
        const { ours, status, message } = /** @type {import("./poll.js").Refused} */ (error);
        if (status === 401) this.finish(message);
        if (ours) refused.add(topic);
      }
    }
    return refused;
  }

  async retryAside() {
    const aside = [...this.tabs.values()].filter((tab) => tab.aside);
    if (!aside.length) return;
    const refused = await this.refusedOf(new Set(aside.flatMap((tab) => [...tab.topics])));
    for (const tab of aside) {
      if ([...tab.topics].some((topic) => refused.has(topic))) continue;
      // Others may have taken its room meanwhile.
      if (this.fit(tab.topics)) tab.aside = false;
      else tab.port.postMessage({ kind: "full" });
    }
    if (aside.some((tab) => tab.aside)) this.askAgain();
    if (aside.some((tab) => !tab.aside)) this.renew();
  }
}

const sharing = new Sharing();
/** The worker ends with its last tab, and not before. */
const always = new AbortController().signal;
const lock = hold(always);

globalThis.addEventListener("connect", (event) => {
  const [port] = /** @type {MessageEvent} */ (event).ports;
  port.addEventListener("message", ({ data }) => {
    if (data.kind === "join") {
      sharing.join(port, data.topics, data.position);
      whenGone(data.lock, always, () => sharing.leave(port));
    } else if (data.kind === "here") {
      sharing.here(port);
    } else if (data.kind === "leave") {
      sharing.leave(port);
    }
  });
  port.start();
  port.postMessage({ kind: typeof EventSource === "function" ? "hello" : "full" });
  lock.then((name) => port.postMessage({ kind: "lock", name }));
});
