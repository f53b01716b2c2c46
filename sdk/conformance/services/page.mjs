// The page of the browser's test service: clients of the SDK, told what to do by browser.py.

import { FlagShip } from "/openflagship.js";

const MILLISECONDS = ["pollMs", "silenceMs", "firstBackoffMs", "mostBackoffMs", "flushMs"];
const clients = new Map();
// What the SDK has begun and not ended.
const lasting = new Map();

for (const [begin, end] of [
  ["setTimeout", "clearTimeout"],
  ["setInterval", "clearInterval"],
]) {
  const [begun, ended] = [globalThis[begin], globalThis[end]];
  globalThis[begin] = (call, ...rest) => {
    const id = begun(
      () => {
        if (begin === "setTimeout") lasting.delete(id);
        call();
      },
      ...rest,
    );
    lasting.set(id, begin);
    return id;
  };
  globalThis[end] = (id) => {
    lasting.delete(id);
    ended(id);
  };
}
globalThis.EventSource = class extends EventSource {
  constructor(...given) {
    super(...given);
    lasting.set(this, "EventSource");
  }

  close() {
    super.close();
    lasting.delete(this);
  }
};

/** The protocol's options as those of this SDK, in its own unit. */
function optionsOf(given) {
  const found = { isStoring: false, isStreaming: given.mode !== "poll" };
  for (const [name, value] of Object.entries(given)) {
    const own = name.replace("Seconds", "Ms");
    if (MILLISECONDS.includes(own)) found[own] = value * 1000;
    else if (["bootstrap", "isStoring", "isSendingEvents", "mostEvents"].includes(name)) found[name] = value;
  }
  return { ...found, answerMs: Math.min(given.connectSeconds, given.answerSeconds) * 1000 };
}

function contextOf(userId, attributes = {}) {
  return userId === null ? attributes : { ...attributes, targetingKey: userId };
}

async function create({ url, key, options }) {
  const context = contextOf(options.userId ?? "user-1");
  const client = new FlagShip(key, url, { ...optionsOf(options), context });
  clients.set(clients.size, { client, asked: JSON.stringify(context) });
  if (client.status().source === "nothing") await client.ready(options.startWaitSeconds * 1000);
  return clients.size - 1;
}

/** A page has one user at a time. */
async function identified(one, userId, attributes) {
  const context = contextOf(userId, attributes);
  const asked = JSON.stringify(context);
  if (asked !== one.asked) await one.client.identify(context);
  one.asked = asked;
  return one.client;
}

async function detailsOf(one, { flag, userId, attributes, default: otherwise }) {
  const client = await identified(one, userId, attributes);
  // A flag of any type, as the harness asks; no flag of its has the value null.
  return { ...client.getDetails(flag), value: client.getValue(flag, null) ?? otherwise };
}

const acts = {
  evaluate: async (one, { questions }) => {
    const answers = [];
    for (const question of questions) answers.push(await detailsOf(one, question));
    return { answers };
  },
  // A page asks for each flag that it shows: `asked` is the one of the cases that want all.
  all: async (one, { userId, attributes }) => ({
    asked: (await identified(one, userId, attributes)).getDetails("asked")?.value,
  }),
  track: async (one, { event, userId, value, properties }) =>
    (await identified(one, userId, {})).track(event, { value: value ?? undefined, properties }),
  flush: async ({ client }) => ({ flushed: await client.flush() }),
  ready: async ({ client }, { seconds }) => ({ servedFrom: await client.ready(seconds * 1000) }),
  status({ client }) {
    const { configVersion = 0, eventsLost: eventsDropped, ...status } = client.status();
    return { configVersion, eventsDropped, ...status };
  },
  async close({ client }) {
    await client.close();
    await new Promise((resolve) => {
      const channel = new MessageChannel();
      channel.port1.onmessage = resolve;
      channel.port2.postMessage(null);
    });
    return { left: [...lasting.values()] };
  },
};

globalThis.service = { create, act: async (id, name, body) => (await acts[name](clients.get(id), body)) ?? null };
