/**
 * What the stream says, as far as everybody must know it: the types of its messages, the topics
 * each is heard on, positions in the log, and which state its newer self replaces.
 *
 * The twin of monitor/core/messages.py and CONTRACT section 4.  It knows no connection and no
 * page, so that it runs in both and in the worker that tabs share.
 */

/**
 * @typedef {object} Message
 * @property {string} type one of TYPES
 * @property {any} data
 * @property {string} id the position that it moves its reader to, "" where it moves nobody
 * @property {boolean} snapshot whether this is state as it stands, and not a change of it
 */

/** Types that stand in the log: they carry an id of their own, and none may be lost. */
const LOGGED = new Set([
  "host_update",
  "alert",
  "approval",
  "ai_thinking",
  "terminal_thought",
  "terminal_tool_call",
  "terminal_render_ui",
  "terminal_action_request",
  "terminal_action_result",
  "terminal_complete",
  "terminal_error",
  "terminal_heartbeat",
  "notice",
]);

/** Everything that is listened for; an EventSource is silent about types nobody named. */
export const TYPES = ["connected", "heartbeat", "metric_update", "disconnected", "error", ...LOGGED];

/**
 * Whether a message stands in the log.  Of a logged type, one without an id is state all the
 * same: a pending alert, text that is still being produced.
 * @param {Message} message
 */
export function isLogged({ type, id }) {
  return id !== "" && LOGGED.has(type);
}

/**
 * The topics on which a message is heard; none for what is said to every reader.
 * @param {string} type
 * @param {any} data
 * @returns {string[]}
 */
export function topicsOf(type, data) {
  const ofHost = `host:${data?.host}`;
  if (type === "metric_update") return data?.hosts ? ["fleet"] : [ofHost];
  if (type === "host_update") return ["log", "fleet", ofHost];
  if (type === "alert" || type === "ai_thinking") return ["log", "alerts", ofHost];
  if (type === "approval") return ["log", "approvals"];
  if (type.startsWith("terminal_")) return ["log", `terminal:${data?.session}`];
  return LOGGED.has(type) ? ["log"] : [];
}

const POSITION = /^([0-9a-f]{16})-(0|[1-9][0-9]{0,18})$/;

/**
 * How two positions lie to each other: below 0 where the first is earlier, 0 where they are the
 * same, and null where they cannot be compared: other epochs, or no positions.
 * @param {string} one
 * @param {string} other
 */
export function compare(one, other) {
  const [, epoch, sequence] = POSITION.exec(one) ?? [];
  const [, epochOther, sequenceOther] = POSITION.exec(other) ?? [];
  if (!epoch || epoch !== epochOther) return null;
  // More digits than a number holds exactly.
  const [a, b] = [BigInt(sequence), BigInt(sequenceOther)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Whether a position is after another, or of another log altogether. */
export function isAfter(/** @type {string} */ one, /** @type {string} */ other) {
  return (compare(one, other) ?? 1) > 0;
}

/**
 * Tells state that merely stands there from state that changed: after each `connected` the
 * server says everything once, in as many messages as its bounds ask for.
 */
export class Snapshots {
  constructor() {
    /** @type {Map<string, number>} topic and host → the instant of what was said first */
    this.first = new Map();
  }

  restart() {
    this.first.clear();
  }

  /** @param {any} data of a metric_update */
  has(data) {
    const names = data?.hosts ? Object.keys(data.hosts) : [`host:${data?.host}`];
    let all = true;
    for (const name of names) {
      const at = this.first.get(name);
      if (at === undefined) this.first.set(name, data.at);
      else if (data.hosts || at !== data.at) all = false;
    }
    return all;
  }
}

/**
 * What is left of messages that wait once all state that newer messages among them replace is
 * taken out.  Nothing that is logged goes, and the order stays.
 * @param {Message[]} messages
 * @returns {Message[]}
 */
export function withoutSuperseded(messages) {
  /** @type {Set<string>} */
  const newer = new Set();
  const isNewest = (/** @type {string} */ name) => !newer.has(name) && Boolean(newer.add(name));
  const kept = [];
  for (const message of [...messages].reverse()) {
    const { type, data } = message;
    if (type === "heartbeat") {
      if (isNewest(type)) kept.push(message);
    } else if (type !== "metric_update") {
      kept.push(message);
    } else if (data.hosts) {
      const hosts = only(data.hosts, (host) => isNewest(`fleet ${host}`));
      if (hosts) kept.push({ ...message, data: { ...data, hosts } });
    } else {
      const metrics = only(data.metrics, (key) => isNewest(`${data.host} ${key}`));
      const snapshots = only(data.snapshots, (kind) => isNewest(`${data.host}  ${kind}`));
      if (metrics || snapshots) {
        kept.push({ ...message, data: { ...data, metrics: metrics ?? {}, snapshots: snapshots ?? {} } });
      }
    }
  }
  return kept.reverse();
}

/**
 * @param {Record<string, any> | undefined} values
 * @param {(name: string) => boolean} wanted
 * @returns {Record<string, any> | null} what is wanted, null where that is nothing
 */
function only(values, wanted) {
  const found = Object.entries(values ?? {}).filter(([name]) => wanted(name));
  return found.length ? Object.fromEntries(found) : null;
}

/**
 * @param {string} text
 * @returns {any} null where it is no JSON object: not ours
 */
export function parsed(text) {
  try {
    const data = JSON.parse(text);
    return typeof data === "object" ? data : null;
  } catch {
    return null;
  }
}
