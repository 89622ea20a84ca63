/**
 * The page of events, live: what is logged comes in at the top, as the template says it looks.
 *
 * The words are those of monitor/web/eventsview.py.  A page of older events stays as it is.
 */

/** Rows that are kept: the oldest go from the bottom. */
const MOST_ROWS = 200;
const LONGEST_TEXT = 500;

const STATES = {
  up: ["up", "●"],
  stale: ["stale", "○"],
  down: ["down", "■"],
  retired: ["stale", "○"],
  critical: ["crit", "■"],
  warning: ["warn", "▲"],
  info: ["info", "ℹ"],
  ok: ["ok", "●"],
  refused: ["warn", "▲"],
  plain: ["plain", "·"],
};

/** @type {[string, string][]} */
const SPECIAL = [["is_drill", "drill"], ["is_late", "reported late"], ["is_flapping", "flapping"]];

export class EventsPage {
  constructor() {
    this.list = document.querySelector("[data-events]");
    const { kind = "all", search = "", newest = "" } =
      this.list instanceof HTMLElement ? this.list.dataset : {};
    this.kind = kind;
    this.search = search.toLowerCase();
    this.newest = newest === "yes";
    this.template = /** @type {HTMLTemplateElement | null} */ (
      document.querySelector("[data-event-template]")
    );
  }

  onConnected() {}

  onMetrics() {}

  onStatus() {}

  onTick() {}

  /** @param {import("./messages.js").Message} message */
  onLogged({ type, data }) {
    if (!this.list || !this.template || !this.newest) return;
    const { kind, state, text, details } = row(type, data);
    if (this.kind !== "all" && this.kind !== kind) return;
    if (!`${kind} ${text} ${details}`.toLowerCase().includes(this.search)) return;
    const copy = document.importNode(this.template.content, true);
    const line = copy.querySelector("li");
    const [className, shape] = STATES[state];
    const [time, mark, what, more] = line?.children ?? [];
    if (!line || !more) return;
    const at = String(data.timestamp ?? "");
    time.setAttribute("datetime", at);
    time.textContent = at.slice(0, 19).replace("T", " ");
    mark.className = `kind is-${className}`;
    mark.children[0].textContent = shape;
    mark.children[1].textContent = kind;
    what.textContent = text;
    more.textContent = details;
    this.list.prepend(line);
    while (this.list.children.length > MOST_ROWS) this.list.lastElementChild?.remove();
    document.querySelector("[data-no-events]")?.setAttribute("hidden", "");
  }
}

/**
 * An event in words.
 * @param {string} type
 * @param {any} data
 * @returns {{kind: string, state: keyof typeof STATES, text: string, details: string}}
 */
export function row(type, data) {
  const found = worded(type, data);
  return { ...found, text: cut(found.text), details: cut(found.details) };
}

/** @param {string} type @param {any} data */
function worded(type, data) {
  /** @type {{kind: string, state: keyof typeof STATES, text: string, details: string}} */
  const made = { kind: type, state: "plain", text: "", details: "" };
  if (type === "host_update") {
    made.kind = "host";
    made.state = Object.hasOwn(STATES, data.status) ? data.status : "plain";
    made.text = `${data.host} is ${data.status}`;
    made.details = joined(data.was ? `was ${data.was}` : "first seen", data.reason);
  } else if (type === "alert") {
    made.state = data.state === "resolved" ? "ok" : Object.hasOwn(STATES, data.severity) ? data.severity : "plain";
    made.text = `${data.rule} on ${data.host}: ${data.state}`;
    const special = SPECIAL.map(([name, word]) => (data[name] ? word : ""));
    const reason = special.includes(data.reason) ? "" : data.reason;
    made.details = joined(data.severity, data.was ? `was ${data.was}` : "", ...special, reason, data.summary);
  } else if (type === "approval") {
    made.text = `${data.action} on ${data.host}: ${data.state}`;
    made.details = joined(data.by ? `by ${data.by}` : "", data.reason);
  } else if (type === "ai_thinking") {
    made.kind = "investigation";
    made.text = data.text;
    made.details = data.host;
  } else if (type.startsWith("terminal_")) {
    made.kind = "console";
    made.text = `session ${data.session}: ${type.slice("terminal_".length).replaceAll("_", " ")}`;
  } else if (type === "notice") {
    made.kind = data.kind;
    if (data.kind === "audit" && data.details) audited(made, data.details);
    else noticed(made, data);
  }
  return made;
}

/** @param {{state: keyof typeof STATES, text: string, details: string}} made @param {any} data */
function noticed(made, { kind, text, details }) {
  made.text = text;
  if (!details) return;
  if (kind === "delivery") {
    const { outcome, attempts, reason } = details;
    made.state = outcome === "delivered" ? "ok" : outcome === "given_up" ? "critical" : "plain";
    made.details = joined(attempts > 1 ? `${attempts} attempts` : "", reason);
  } else if (kind === "reload") {
    const first = Array.isArray(details.complaints) ? (details.complaints[0] ?? "") : "";
    made.state = first ? "critical" : "plain";
    made.details = joined(details.by ? `by ${details.by}` : "", first);
  } else {
    made.details = joined(details.comment);
  }
}

/** @param {{state: keyof typeof STATES, text: string, details: string}} made @param {any} details */
function audited(made, { actor, address, action, target, outcome, ...more }) {
  made.state = outcome === "done" ? "plain" : "refused";
  made.text = `${actor}: ${action} ${target}`;
  made.details = joined(
    outcome,
    address ? `from ${address}` : "",
    ...Object.entries(more).map(([name, value]) => (shown(value) ? `${name} ${shown(value)}` : "")),
  );
}

/** @param {any} value */
function shown(value) {
  return Array.isArray(value) ? value.map(String).join(", ") : String(value);
}

/** @param {...string} parts */
function joined(...parts) {
  return parts.filter(Boolean).join(" · ");
}

/** @param {any} text */
function cut(text) {
  const found = String(text ?? "");
  return found.length > LONGEST_TEXT ? `${found.slice(0, LONGEST_TEXT - 1)}…` : found;
}
