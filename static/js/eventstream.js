/**
 * Reads the event stream format (WHATWG HTML, "Parsing an event stream") from text that comes
 * in pieces: what a page needs that has to fetch its messages instead of listening to them.
 *
 * Lines end with CR, LF or both; several data lines are one message; a comment says nothing; a
 * block with an id alone moves the position; what no blank line ended never happened.
 */

const LINE_END = /\r\n|\n|\r/g;

export class Parser {
  /** @param {(type: string, data: string, id: string) => void} onMessage */
  constructor(onMessage) {
    this.onMessage = onMessage;
    /** The last id that a whole block carried, "" before the first. */
    this.position = "";
    this.rest = "";
    this.begun = false;
    this.type = "";
    /** @type {string[]} */
    this.lines = [];
    this.id = "";
  }

  /** @param {string} text decoded UTF-8 */
  feed(text) {
    this.rest += text;
    if (!this.begun && this.rest) {
      this.begun = true;
      if (this.rest.startsWith("\uFEFF")) this.rest = this.rest.slice(1);
    }
    let start = 0;
    LINE_END.lastIndex = 0;
    for (let found = LINE_END.exec(this.rest); found; found = LINE_END.exec(this.rest)) {
      // A CR at the end of a piece may be half of a CRLF.
      if (found[0] === "\r" && LINE_END.lastIndex === this.rest.length) break;
      this.line(this.rest.slice(start, found.index));
      start = LINE_END.lastIndex;
    }
    this.rest = this.rest.slice(start);
  }

  /** Nothing follows: a CR that stood last was a line's end. */
  end() {
    if (this.rest.endsWith("\r")) this.line(this.rest.slice(0, -1));
    this.rest = "";
  }

  /** @param {string} line */
  line(line) {
    if (!line) {
      this.dispatch();
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "event") this.type = value;
    else if (field === "data") this.lines.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }

  dispatch() {
    this.position = this.id;
    if (this.lines.length) this.onMessage(this.type || "message", this.lines.join("\n"), this.id);
    this.type = "";
    this.lines = [];
  }
}
