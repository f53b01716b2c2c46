// What the client adds to the harness's cases: its surface, its words, and what it never says.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import { inspect } from "node:util";
import { FlagShip } from "openflagship";
import { offline, override, ready, record } from "openflagship/testing";
import { flag, platform, snapshotOf } from "./platform.mjs";

const KEY = "fs_server_test_key";
const SECRET = "fs_sign_test_words";

const TYPED = snapshotOf(
  flag("checkout"),
  flag("limit", {
    type: "number",
    variants: [
      { key: "low", value: 1 },
      { key: "high", value: 10 },
    ],
    allocation: [],
    defaultVariant: "high",
    offVariant: "low",
  }),
  flag("theme", {
    type: "json",
    variants: [
      { key: "a", value: { dark: [1] } },
      { key: "b", value: {} },
    ],
    allocation: [],
    defaultVariant: "a",
    offVariant: "a",
  }),
);

let server;
before(async () => {
  server = await platform(TYPED);
});
after(async () => await server.close());

/** A client whose warnings are kept. */
function clientOf(options = {}) {
  const warnings = [];
  const logger = { warn: (message) => warnings.push(message) };
  const client = new FlagShip(KEY, server.url, { logger, flushMs: 3_600_000, ...options });
  return { client, warnings };
}

describe("values", () => {
  it("gives each type with the caller's default, and says why it gives the default", async () => {
    const { client } = clientOf();
    assert.equal(await client.ready(), "network");
    assert.equal(client.isEnabled("checkout", "user-1"), true);
    assert.equal(client.getNumberValue("limit", 5, { userId: "user-1" }), 10);
    assert.deepEqual(client.getObjectValue("theme", {}, { targetingKey: "user-1" }), { dark: [1] });
    assert.throws(() => client.getObjectValue("theme", {}, "user-1").dark.push(2), TypeError);
    const mismatched = client.getStringDetails("checkout", "default", "user-1");
    assert.deepEqual([mismatched.value, mismatched.errorCode], ["default", "TYPE_MISMATCH"]);
    assert.equal(client.getDetails("nobody", 7).errorCode, "FLAG_NOT_FOUND");
    assert.deepEqual(client.allFlags("user-1"), { checkout: true, limit: 10, theme: { dark: [1] } });
    await client.close();
  });

  it("says once of each attribute that it cannot be compared, and of an id that is none", async () => {
    const rules = [
      { id: "r", priority: 1, conditions: [{ attribute: "plan", operator: "exists" }], variant: "control" },
    ];
    const bootstrap = snapshotOf(flag("asked", { rules }));
    const { client, warnings } = clientOf({ mode: "offline", bootstrap });
    for (let time = 0; time < 3; time += 1) client.isEnabled("asked", { userId: {}, plan: () => "pro" });
    assert.equal(warnings.length, 2);
    assert.match(warnings.join("\n"), /a user id is no id \(object\)[\s\S]*asked: the attribute 'plan'.*\(function\)/);
  });

  it("calls hooks around an evaluation, and a failing one changes nothing", async () => {
    const { client, warnings } = clientOf({ mode: "offline", bootstrap: TYPED });
    const told = [];
    client.addHook({
      before: () => {
        throw new Error("broken");
      },
      after: ({ flagKey, type }, { answer, openFeatureReason }) =>
        told.push([flagKey, type, answer.variant, openFeatureReason]),
      error: ({ flagKey }, { answer }) => told.push([flagKey, answer.errorCode]),
      finally: ({ flagKey }) => told.push(flagKey),
    });
    client.isEnabled("checkout", "user-1");
    client.isEnabled("nobody", "user-1");
    const expected = [
      ["checkout", "boolean", "treatment", "SPLIT"],
      "checkout",
      ["nobody", "FLAG_NOT_FOUND"],
      "nobody",
    ];
    assert.deepEqual(told, expected);
    assert.match(warnings[0], /a hook failed in before: Error: broken/);
  });

  it("tells listeners which flags changed", async () => {
    const { client } = clientOf();
    await client.ready();
    const changed = new Promise((resolve) => client.onChange((keys) => keys?.has("checkout") && resolve([...keys])));
    const tell = setInterval(() => server.say("flag_updated", 2, flag("checkout", { enabled: false })), 20);
    assert.deepEqual(await changed, ["checkout"]);
    clearInterval(tell);
    assert.equal(client.isEnabled("checkout", "user-1"), false);
    await client.close();
  });
});

describe("secrets", () => {
  it("stand in no text that the client gives of itself, and in no error", () => {
    const options = { mode: "offline", signingSecret: SECRET, hashKey: SECRET, proxy: `http://user:${SECRET}@proxy` };
    const { client } = clientOf(options);
    const said = [inspect(client, { depth: 20, showHidden: true }), JSON.stringify(client), String(client)].join("\n");
    assert.ok(!said.includes(KEY) && !said.includes(SECRET), said);
    for (const [key, url, wrong] of [
      ["fs_client_hidden", "http://flags", {}],
      ["fs_manage_hidden", "http://flags", {}],
      [KEY, "ftp://me:hidden@flags", {}],
      [KEY, "http://flags", { proxy: "socks://me:hidden@proxy" }],
      [KEY, "http://flags", { signingSecret: " " }],
      [KEY, "http://flags", { pollMs: 0 }],
      ["", "http://flags", {}],
    ]) {
      assert.throws(
        () => new FlagShip(key, url, wrong),
        (error) => error instanceof TypeError && !error.message.includes("hidden") && !error.message.includes(KEY),
      );
    }
  });
});

describe("events", () => {
  it("are as they were at the call, under the caller's own key for user ids", async () => {
    const { client, warnings } = clientOf({
      hashKey: "a key of ours",
      beforeSend: (event) => ({ ...event, seen: true }),
    });
    await client.ready();
    const properties = { at: new Date(0), size: 2n };
    client.track("purchase", "user-1", { value: 9.5, properties });
    properties.at = "changed";
    client.trackMetric("latency", "user-1", { value: 3 });
    client.track("purchase", "", {});
    client.track("purchase", "user-1", { value: Number.NaN });
    client.isEnabled("checkout", "user-1");
    assert.equal(await client.flush(), true);
    const [conversion] = server.events("conversion");
    assert.deepEqual(conversion.properties, { at: "1970-01-01T00:00:00.000Z", size: 2 });
    assert.match(conversion.userId, /^[0-9a-f]{64}$/);
    assert.match(conversion.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const [{ metricKey, value, seen }] = server.events("metrics");
    assert.deepEqual([metricKey, value, seen], ["latency", 3, true]);
    assert.equal(server.events("exposure").at(-1).source, "sdk-node");
    assert.equal(warnings.length, 2, warnings.join("\n"));
    await client.close();
  });

  it("are sent when the process has nothing left to do, and the client does not keep it alive", async () => {
    const program = `
      const { FlagShip } = require("openflagship");
      const client = new FlagShip("${KEY}", "${server.url}", { flushMs: 3600000 });
      client.ready().then(() => client.track("goodbye", "user-1"));`;
    const child = spawn(process.execPath, ["-e", program], { cwd: import.meta.dirname, stdio: "inherit" });
    assert.equal(await new Promise((resolve) => child.on("exit", resolve)), 0);
    assert.ok(server.events("conversion").some(({ eventName }) => eventName === "goodbye"));
  });
});

describe("usage", () => {
  it("goes in parts that the server takes, without the keys that cost it the whole", async () => {
    const many = Array.from({ length: 10_500 }, (_, number) => flag(`flag-${number}`));
    const large = await platform(snapshotOf(...many));
    const client = new FlagShip(KEY, large.url, { flushMs: 3_600_000, closeWaitMs: 60_000, logger: { warn() {} } });
    assert.equal(await client.ready(60_000), "network");
    for (const { key } of many) client.isEnabled(key, "user-1");
    for (const key of ["gone", "", "a\0b", "\ud800"]) client.isEnabled(key, "user-1");
    await client.close();
    const parts = large.posts.filter(({ path }) => path === "/api/events/usage").map(({ body }) => body);
    await large.close();
    assert.deepEqual(
      parts.map(({ flags, unknownFlags, unknownFlagsUnnamed }) => [flags.length, unknownFlags, unknownFlagsUnnamed]),
      [
        [10_000, [{ flagKey: "gone", count: 1 }], 3],
        [500, undefined, undefined],
      ],
    );
  });
});

describe("helpers for tests", () => {
  it("fix answers for everybody and for one user, and note what happened", async () => {
    const client = offline({ checkout: true }, { alice: { checkout: false } });
    await ready(client);
    assert.deepEqual([client.isEnabled("checkout", "bob"), client.isEnabled("checkout", "alice")], [true, false]);
    const recorder = record(client);
    const fixed = override(client, "limit", { value: 3 });
    assert.equal(client.getNumberValue("limit", 1, "bob"), 3);
    client.track("purchase", "bob", { value: 2 });
    fixed.end();
    assert.equal(client.getNumberValue("limit", 1, "bob"), 1);
    recorder.end();
    client.isEnabled("checkout", "bob");
    assert.deepEqual(recorder.exposures, [{ flagKey: "limit", userId: "bob", variant: null, value: 3 }]);
    assert.deepEqual(recorder.events, [{ name: "purchase", userId: "bob", value: 2, properties: {} }]);
    const known = new FlagShip("", "http://flags", { mode: "offline", bootstrap: TYPED });
    assert.throws(() => override(known, "checkout", { variant: "no-such" }), RangeError);
    override(known, "checkout", { variant: "control" });
    assert.equal(known.isEnabled("checkout", "bob"), false);
  });
});

describe("the package", () => {
  it("is one and the same for `require` and its entries", () => {
    const require = createRequire(import.meta.url);
    const { FlagShip: Required } = require("openflagship");
    assert.ok(require("openflagship/testing").offline() instanceof Required);
  });
});

describe("the guides", () => {
  it("have programs that parse, and import what there is", async () => {
    for (const guide of ["node-sdk", "web-sdk"]) {
      const text = readFileSync(new URL(`../../../docs/guides/${guide}.md`, import.meta.url), "utf8");
      const programs = text.match(/(?<=```js\n)[\s\S]*?(?=```)/g);
      assert.ok(programs.length > 3);
      for (const program of programs) {
        const parsed = spawnSync(process.execPath, ["--check", "--input-type=module"], { input: program });
        assert.equal(parsed.status, 0, String(parsed.stderr));
        for (const [, names, entry] of program.matchAll(/import \{ ([^}]+) \} from "(openflagship[^"]*)"/g)) {
          const found = await import(entry);
          for (const name of names.split(", ")) assert.ok(name in found, `${name} of ${entry}`);
        }
      }
    }
  });
});
