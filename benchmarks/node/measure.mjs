// Measures one SDK: `node measure.mjs NAME < store.json`. Prints nanoseconds a call, a list for each loop.

import { readFileSync } from "node:fs";
import { engines } from "./engines.mjs";

const ROUNDS = 15;
const ALL_CONTEXTS = 20;

/** MurmurHash3 of ASCII text as it stands in most SDKs: what no evaluation of a split can do without. */
function murmur(text) {
  let hash = 0;
  const end = text.length & ~3;
  for (let at = 0; at < end; at += 4) {
    const low = text.charCodeAt(at) | (text.charCodeAt(at + 1) << 8);
    let block = low | (text.charCodeAt(at + 2) << 16) | (text.charCodeAt(at + 3) << 24);
    block = Math.imul(block, 0xcc9e2d51);
    hash ^= Math.imul((block << 15) | (block >>> 17), 0x1b873593);
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let at = text.length - 1; at >= end; at -= 1) rest = (rest << 8) | text.charCodeAt(at);
  rest = Math.imul(rest, 0xcc9e2d51);
  hash ^= Math.imul((rest << 15) | (rest >>> 17), 0x1b873593) ^ text.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const store = JSON.parse(readFileSync(0, "utf8"));
const engine = await engines[process.argv[2]](store);
const contexts = store.users.map((userId) => engine.context(userId, store.attributes));
let sink = 0;

/** Nanoseconds a call, of each round; the first rounds are for the compiler. */
async function samples(calls, loop) {
  const found = [];
  for (let round = 0; round < ROUNDS + 5; round += 1) {
    const since = process.hrtime.bigint();
    await loop();
    if (round >= 5) found.push(Number(process.hrtime.bigint() - since) / calls);
  }
  return found;
}

async function asking(key) {
  // An SDK whose calls are promises is waited for; no other is.
  if (!engine.isAsync) {
    return await samples(contexts.length, () => {
      for (const context of contexts) sink += engine.ask(key, context) === true ? 1 : 0;
    });
  }
  return await samples(contexts.length, async () => {
    for (const context of contexts) sink += (await engine.ask(key, context)) === true ? 1 : 0;
  });
}

let on = 0;
for (const context of contexts) on += (await engine.ask("w1", context)) === true ? 1 : 0;
const last = await engine.ask("w2", contexts[0]);
if (on < 2_200 || on > 2_800 || last !== "v10") throw new Error(`wrong answers: ${on} of w1, ${last} of w2`);

const loops = {
  floor: await samples(contexts.length, () => {
    for (const userId of store.users) sink += murmur(`w1:${userId}`) % 10_000;
  }),
  W1: await asking("w1"),
  W2: await asking("w2"),
};
if (engine.all !== undefined) {
  loops.W4 = await samples(ALL_CONTEXTS, async () => {
    for (const context of contexts.slice(0, ALL_CONTEXTS)) sink += (await engine.all(context)) ? 1 : 0;
  });
}
console.log(JSON.stringify({ loops, sink }));
process.exit(0);
