// An EventSource as the specification has it, outside of a browser: prints every message.
//
//   node listen.mjs URL LAST TYPE[,TYPE...]
//
// One JSON object a line: {type, id, data}, and {type: "open"} whenever it connects.  It ends
// by itself after the message whose data has `text` LAST, or when its standard input ends.

import { EventSource } from "undici";

const [url, last, types] = process.argv.slice(2);
const source = new EventSource(url);

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

source.onopen = () => say({ type: "open" });
for (const type of types.split(",")) {
  source.addEventListener(type, ({ data, lastEventId }) => {
    const parsed = JSON.parse(data);
    say({ type, id: lastEventId, data: parsed });
    if (parsed.text === last) {
      source.close();
      process.exitCode = 0;
      process.stdin.destroy();
    }
  });
}
source.onmessage = ({ data }) => say({ type: "message", data });
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
