// What a browser and a platform are to the SDK, in miniature.

import { createServer } from "node:http";

/** Answers bulk questions from `answers(context)`, and keeps what is posted. `say(kind)` names the next statuses. */
export async function platform(answers) {
  const asked = [];
  const posts = [];
  const statuses = [];
  const state = { delayMs: 0 };
  const server = createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = JSON.parse(Buffer.concat(pieces).toString() || "{}");
    if (!request.url.startsWith("/ofrep/")) {
      posts.push({ path: request.url, body, key: request.headers.authorization });
      response.writeHead(statuses.shift() ?? 202).end("{}");
      return;
    }
    asked.push({ url: request.url, context: body.context, etag: request.headers["if-none-match"] });
    await new Promise((resolve) => setTimeout(resolve, state.delayMs));
    const flags = answers(body.context);
    const etag = `"${JSON.stringify(flags).length}"`;
    const status = statuses.shift() ?? (request.headers["if-none-match"] === etag ? 304 : 200);
    const eventStreams = [{ type: "sse", endpoint: { requestUri: `/stream?token=${asked.length}` } }];
    const text = JSON.stringify({ flags, metadata: { configVersion: 7 }, eventStreams });
    response.writeHead(status, { ETag: etag, "Content-Type": "application/json" }).end(status === 304 ? "" : text);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    asked,
    statuses,
    state,
    events: (kind) => posts.filter(({ path }) => path === `/api/events/${kind}`).flatMap(({ body }) => body.events),
    posts,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function flag(key, value, variant = "treatment", metadata = {}) {
  return { key, value, variant, reason: "SPLIT", metadata };
}

/** The browser's own storage, which `Object.keys` lists. */
export class FakeStorage {
  getItem(name) {
    return this[name] ?? null;
  }

  setItem(name, value) {
    this[name] = value;
  }

  removeItem(name) {
    delete this[name];
  }
}

/** An event stream that the test speaks through. */
export class FakeEventSource {
  static CLOSED = 2;
  static all = [];

  constructor(url) {
    this.url = String(url);
    this.readyState = 1;
    FakeEventSource.all.push(this);
  }

  addEventListener(kind, listener) {
    this[`on${kind}`] = listener;
  }

  close() {
    this.readyState = 2;
  }
}

/** Waits until it is so. */
export async function until(check) {
  for (let turn = 0; turn < 2_000; turn += 1) {
    const found = check();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`it did not come about: ${check}`);
}
