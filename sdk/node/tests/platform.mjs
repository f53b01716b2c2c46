// A platform in miniature: what the client's own tests ask. The conformance harness has the thorough one.

import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";

export function flag(key, changes = {}) {
  return {
    key,
    type: "boolean",
    enabled: true,
    variants: [
      { key: "control", value: false },
      { key: "treatment", value: true },
    ],
    defaultVariant: "control",
    offVariant: "control",
    allocation: [[0, 10_000, "treatment"]],
    ...changes,
  };
}

export function snapshotOf(...flags) {
  return { contract: 1, version: 1, flags: Object.fromEntries(flags.map((one) => [one.key, one])), segments: {} };
}

/** Serves a snapshot and a stream, and takes events. `say` sends an event to every stream. */
export async function platform(snapshot) {
  const streams = new Set();
  const posts = [];
  const server = createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    if (request.url === "/api/snapshot") {
      response.setHeader("Content-Type", "application/json").end(JSON.stringify(snapshot));
    } else if (request.url === "/api/stream") {
      response.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
      streams.add(response);
      response.on("close", () => streams.delete(response));
    } else {
      const isPacked = request.headers["content-encoding"] === "gzip";
      const sent = JSON.parse(isPacked ? gunzipSync(body) : body);
      posts.push({ path: request.url, headers: request.headers, body: sent });
      response.writeHead(202).end(JSON.stringify({ accepted: sent.events?.length ?? 1, rejected: [] }));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    server,
    url: `http://127.0.0.1:${server.address().port}`,
    posts,
    events: (kind) => posts.filter(({ path }) => path === `/api/events/${kind}`).flatMap(({ body }) => body.events),
    say(kind, id, document) {
      for (const stream of streams) stream.write(`id: ${id}\nevent: ${kind}\ndata: ${JSON.stringify(document)}\n\n`);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Waits until it is so. */
export async function until(check) {
  for (let turn = 0; turn < 2_000; turn += 1) {
    if (check()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`it did not come about: ${check}`);
}
