// The test service of the Node SDK: the protocol of ../README.md around clients of the package as it is built.

import { createHook } from "node:async_hooks";
import { createServer } from "node:http";
import { connect } from "node:net";
import { FileStore, FlagShip, MemoryStore, RedisStore } from "../../node/dist/esm/index.js";

const PACKAGE = "/sdk/node/dist/";
const LASTING = new Set(["Timeout", "TCPWRAP", "TLSWRAP"]);

// What the SDK has begun and not ended, by the runtime's own count: timers and sockets.
const lasting = new Map();
createHook({
  init(id, type) {
    if (LASTING.has(type) && new Error().stack.includes(PACKAGE)) lasting.set(id, type);
  },
  destroy: (id) => lasting.delete(id),
}).enable();

const shared = new MemoryStore();

/** One command to Redis over a connection of its own, in its protocol's plainest form. */
function redisAt(path) {
  return (command) =>
    new Promise((resolve, reject) => {
      const socket = connect(path);
      let text = "";
      const parts = command.map((one) => `$${Buffer.byteLength(one)}\r\n${one}\r\n`);
      socket.setEncoding("utf8").on("error", reject);
      socket.on("data", (data) => {
        text += data;
        const answer = answerIn(text);
        if (answer === undefined) return;
        socket.destroy();
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      });
      socket.write(`*${command.length}\r\n${parts.join("")}`);
    });
}

/** The answer in a text: an integer, null or a list of texts; undefined while it is not whole. */
function answerIn(text) {
  const lines = text.split("\r\n");
  if (lines.length < 2) return undefined;
  if (text.startsWith("-")) return new Error(lines[0]);
  if (!text.startsWith("*")) return text.startsWith(":") ? Number(lines[0].slice(1)) : null;
  const found = [];
  let at = 1;
  for (let left = Number(lines[0].slice(1)); left > 0; left -= 1) {
    const size = Number((lines[at] ?? "").slice(1));
    if (lines[at + 1] === undefined) return undefined;
    if (size >= 0 && Buffer.byteLength(lines[at + 1]) < size) return undefined;
    found.push(size < 0 ? null : lines[at + 1]);
    at += size < 0 ? 1 : 2;
  }
  return found;
}

function storeOf({ kind, path, socket, key }) {
  if (kind === "memory") return shared;
  return kind === "file" ? new FileStore(path) : new RedisStore(redisAt(socket), key);
}

/** The protocol's options as those of the Node SDK, in its own unit. */
function optionsOf(given) {
  const found = { logger: null };
  for (const [name, value] of Object.entries(given)) {
    if (name === "store") found.store = storeOf(value);
    else if (name.endsWith("Seconds")) found[name.replace("Seconds", "Ms")] = value * 1000;
    else found[name] = value;
  }
  return found;
}

async function create({ url, key, options }) {
  const own = optionsOf(options);
  const client = new FlagShip(key, url, own);
  // What is had at once is served at once; else wait as a service does at its start.
  if (own.mode !== "on_demand" && client.status().source === "nothing") await client.ready(own.startWaitMs);
  return client;
}

const acts = {
  async evaluate(client, { questions }) {
    // What a handler of a serverless function begins with; in the other modes it waits for nothing.
    await client.refresh();
    const answers = questions.map(({ flag, userId, attributes, default: otherwise }) =>
      client.getDetails(flag, otherwise, { ...attributes, userId }),
    );
    return { answers };
  },
  all: (client, { userId, attributes }) => client.allFlags({ ...attributes, userId }),
  track: (client, { event, userId, value, properties }) =>
    client.track(event, userId, { value: value ?? undefined, properties }),
  flush: async (client, { seconds }) => ({ flushed: await client.flush(seconds * 1000) }),
  async ready(client, { seconds }) {
    return { servedFrom: await client.ready(seconds * 1000) };
  },
  status(client) {
    const { isStale: stale, error = null, ...status } = client.status();
    return { stale, error, ...status };
  },
  close: async (client) => ({ left: await leftAfter(() => client.close()) }),
};

/** What lasts after the end and was not there before it began. */
async function leftAfter(close) {
  await close();
  // The runtime tells of what is gone a turn later.
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  const others = [...clients.values()].some((client) => client.status().connection !== "closed");
  return others ? [] : [...lasting.values()];
}

const clients = new Map();
let number = 0;

async function answer(method, parts, body) {
  const [, id, act] = parts;
  if (method === "DELETE" && parts[0] === "") return null;
  if (id === undefined) {
    const client = await create(body);
    number += 1;
    clients.set(String(number), client);
    return { id: String(number) };
  }
  const client = clients.get(id);
  if (method !== "DELETE") return (await acts[act](client, body)) ?? null;
  const said = await acts.close(client);
  clients.delete(id);
  return said;
}

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const parts = request.url.slice(1).split("/");
  let status = 200;
  let said;
  try {
    said = await answer(request.method, parts, JSON.parse(Buffer.concat(pieces).toString() || "{}"));
  } catch (error) {
    status = 400;
    said = String(error);
  }
  const content = JSON.stringify(said);
  response.writeHead(status, { "Content-Length": Buffer.byteLength(content) });
  response.end(content, () => {
    if (request.method !== "DELETE" || parts[0] !== "") return;
    server.close();
    server.closeAllConnections();
  });
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
