/**
 * Asks for the stream as one ordinary answer that ends: what is left where a proxy withholds a
 * stream, and how to learn why the server refuses one (an EventSource does not tell).
 *
 * It knows the address of the stream and how an answer is read, and nothing of when to ask.
 */

import { Parser } from "./eventstream.js";

const STREAM = "/api/v1/stream";
/** How long an answer may take, its body included. */
const DEADLINE_MS = 10_000;
/** More than the newest state of the largest fleet and a page of events. */
const MOST_CHARACTERS = 32 * 1024 * 1024;

/** What an answer other than 200 means to whoever reads the page. */
const REFUSALS = new Map([
  [400, "the server does not understand this page; reload it"],
  [401, "you have been logged out"],
  [403, "you may not see this"],
  [404, "the server does not know what this page shows"],
  [429, "the server is busy"],
  [503, "the server is busy"],
]);

/** The stream did not come; `status` is 0 where there was no answer at all. */
export class Refused extends Error {
  /** @param {number} status */
  constructor(status) {
    super(REFUSALS.get(status) ?? (status ? `the server answered ${status}` : "no answer"));
    this.status = status;
  }

  /** Whether the server asks to be left alone for a while. */
  get busy() {
    return this.status === 429 || this.status === 503;
  }

  /** Whether asking again soon cannot help. */
  get lasting() {
    return [400, 401, 403].includes(this.status);
  }

  /** Whether it is about what was asked for, and not about how the server is. */
  get ours() {
    return this.lasting || this.status === 404;
  }
}

/**
 * The address of a stream.
 * @param {Iterable<string>} topics
 * @param {string} position "" to begin now
 * @param {Record<string, string>} options
 */
export function address(topics, position, options) {
  const query = new URLSearchParams({ topics: [...topics].join(","), ...options });
  if (position) query.set("last_event_id", position);
  return `${STREAM}?${query}`;
}

/**
 * Every message since a position, and the newest state.  Raises `Refused`.
 * @param {Iterable<string>} topics
 * @param {string} position
 * @param {AbortSignal} signal
 * @returns {Promise<{messages: {type: string, text: string, id: string}[], position: string}>}
 */
export function poll(topics, position, signal) {
  return asked(address(topics, position, { follow: "0" }), "GET", signal, async (response) => {
    /** @type {{type: string, text: string, id: string}[]} */
    const messages = [];
    const parser = new Parser((type, text, id) => messages.push({ type, text, id }));
    const reader = /** @type {ReadableStream} */ (response.body).getReader();
    // The parser looks for the mark at the beginning itself.
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let characters = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const text = decoder.decode(value, { stream: true });
      characters += text.length;
      if (characters > MOST_CHARACTERS) throw new Refused(0);
      parser.feed(text);
    }
    parser.end();
    // A server without room for one more says so to a browser by an empty answer.
    if (!messages.length) throw new Refused(503);
    return { messages, position: parser.position };
  });
}

/**
 * Whether the server would open a stream of these topics.  Raises `Refused` where not.
 * @param {Iterable<string>} topics
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function probe(topics, signal) {
  return asked(address(topics, "", {}), "HEAD", signal, async () => {});
}

/**
 * @template T
 * @param {string} url
 * @param {string} method
 * @param {AbortSignal} signal
 * @param {(response: Response) => Promise<T>} read
 * @returns {Promise<T>}
 */
async function asked(url, method, signal, read) {
  const ended = new AbortController();
  const end = () => ended.abort();
  const deadline = setTimeout(end, DEADLINE_MS);
  signal.addEventListener("abort", end);
  try {
    const response = await fetch(url, {
      method,
      cache: "no-store",
      headers: { Accept: "text/event-stream" },
      signal: ended.signal,
    });
    if (!response.ok) throw new Refused(response.status);
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      throw new Refused(0); // somebody else's page: of a portal, of a proxy
    }
    return await read(response);
  } catch (error) {
    throw error instanceof Refused ? error : new Refused(0);
  } finally {
    clearTimeout(deadline);
    signal.removeEventListener("abort", end);
    ended.abort(); // an answer that nobody reads on must not hold its connection
  }
}
