// A million requests with new contexts, events on: `node --expose-gc heap.mjs < store.json`. Prints the heap's bytes
// after each tenth, garbage collected.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { FlagShip } from "../../sdk/node/dist/esm/index.js";

const REQUESTS = 1_000_000;
const TURN = 1_000;
const TENTH = REQUESTS / 10;

const { snapshot, attributes } = JSON.parse(readFileSync(0, "utf8"));
const content = JSON.stringify(snapshot);

/** A platform that serves the snapshot, and takes every event. */
const server = createServer((request, response) => {
  if (request.url === "/api/snapshot") {
    response.end(content);
    return;
  }
  request.resume().on("end", () => response.writeHead(202).end('{"accepted": 1000, "rejected": []}'));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}`;
const client = new FlagShip("fs_server_benchmark", url, { mode: "poll", logger: null, flushMs: 200 });
await client.ready();

const heap = [];
let on = 0;
for (let request = 1; request <= REQUESTS; request += 1) {
  const context = { ...attributes, userId: `user-${request}`, requestId: `${request}` };
  if (client.isEnabled("w1", context)) on += 1;
  client.getStringValue("w2", "", context);
  if (request % TURN === 0) await new Promise((resolve) => setImmediate(resolve));
  if (request % TENTH === 0) {
    await client.flush(10_000);
    globalThis.gc();
    heap.push(process.memoryUsage().heapUsed);
  }
}
if (on < 0.24 * REQUESTS || on > 0.26 * REQUESTS) throw new Error(`wrong answers: ${on}`);
const { eventsSent, eventsDropped } = client.status();
await client.close();
server.close();
console.log(JSON.stringify({ heap, eventsSent, eventsDropped }));
