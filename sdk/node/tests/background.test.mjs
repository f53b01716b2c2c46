// What the client does in the background, part by part: what it counts, waits for, keeps and hands to foreign code.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { describe, it } from "node:test";
import { buildSync } from "esbuild";
import { FlagShip, MemoryStore } from "openflagship";
import { settled } from "../dist/esm/client/options.js";
import { Keeper } from "../dist/esm/keeping/keeper.js";
import { Summaries } from "../dist/esm/sending/summaries.js";
import { flag, platform, snapshotOf, until } from "./platform.mjs";

const KEY = "fs_server_test_key";
const BOOTSTRAP = snapshotOf(flag("checkout"));

describe("usage", () => {
  it("counts bulk answers, and names no key that would cost the whole summary", async () => {
    const server = await platform(BOOTSTRAP);
    const client = new FlagShip(KEY, server.url, { logger: null });
    await client.ready();
    client.allFlags();
    client.allDetails("user-1", ["checkout", "no-such-flag"]);
    for (const key of ["", "zero\0", "\ud800", `${"x".repeat(199)}\u{1f600}`]) client.isEnabled(key, "user-1");
    await client.close();
    const { flags, unknownFlags, unknownFlagsUnnamed } = server.posts.find(({ path }) => path.endsWith("/usage")).body;
    assert.deepEqual(
      flags.map(({ flagKey, reason, count }) => [flagKey, reason, count]),
      [
        ["checkout", "DEFAULT", 1],
        ["checkout", "ROLLOUT", 1],
      ],
    );
    assert.deepEqual([unknownFlags, unknownFlagsUnnamed], [[{ flagKey: "no-such-flag", count: 1 }], 4]);
    await server.close();
  });

  it("keeps a summary until there is a receipt, and asks a server without the route again in an hour", async (t) => {
    let now = 0;
    t.mock.method(performance, "now", () => now);
    const usage = { take: () => ({ flags: [] }) };
    const summaries = new Summaries(usage, { instance: "i", sdk: "node/1" }, 60_000, true, { warn: assert.fail });
    const ids = [];
    const answer = async (status, text) => {
      const post = async (_text, id) => {
        ids.push(id);
        return { status, headers: {}, body: Buffer.from(text) };
      };
      await summaries.send(post);
      return ids.length;
    };
    summaries.sumUp(true);
    assert.equal(await answer(200, "<html>"), 1);
    now += 29_999;
    assert.equal(await answer(202, '{"accepted": 1}'), 1);
    now += 1;
    assert.equal(await answer(404, "{}"), 2);
    now += 3_599_999;
    assert.equal(await answer(202, '{"accepted": 1}'), 2);
    now += 1;
    assert.equal(await answer(202, '{"accepted": 1}'), 3);
    assert.equal(await answer(202, '{"accepted": 1}'), 3);
    assert.equal(new Set(ids).size, 1);
  });
});

describe("stores", () => {
  it("are given nothing before the network has answered, and wake nobody for it", () => {
    const configuration = { source: "nothing", version: 0 };
    const keeper = new Keeper(new MemoryStore(), configuration, "", null);
    assert.equal(keeper.dueAt, undefined);
    configuration.source = "network";
    assert.equal(keeper.dueAt, 0);
  });

  it("that do not say how old their copy is are not believed", () => {
    const warnings = [];
    const logger = { warn: (message) => warnings.push(message) };
    const load = () => ({ content: JSON.stringify(BOOTSTRAP), ageMs: Number.NaN });
    const store = { load, save: async () => undefined };
    const client = new FlagShip(KEY, "http://flags", { mode: "offline", logger, store });
    assert.equal(client.status().source, "nothing");
    assert.match(warnings.join(), /how old its copy is/);
  });
});

describe("options", () => {
  it("take a wait of any length, which no timer does", () => {
    const { pollMs, connectMs, staleAfterMs } = settled({ pollMs: Infinity, connectMs: 1e12, staleAfterMs: Infinity });
    assert.deepEqual([pollMs, connectMs, staleAfterMs], [2 ** 30, 2 ** 30, Infinity]);
    for (const wrong of [{ hooks: {} }, { beforeSend: "drop" }]) assert.throws(() => settled(wrong), TypeError);
  });

  it("that are misspelt are refused by name, and nothing of their value is said", () => {
    const wrong = () => settled({ signingsecret: "fs_sign_hidden" });
    assert.throws(wrong, (error) => /^signingsecret: .*signingSecret/.test(error.message) && !/hidden/.test(error));
  });
});

describe("foreign code", () => {
  it("that gives promises ends no process, and what it gives is no event", async () => {
    const warnings = [];
    const late = async () => {
      throw new Error("too late");
    };
    const server = await platform(BOOTSTRAP);
    const logger = { warn: (message) => warnings.push(message) };
    const options = { logger, hooks: [{ before: late, after: late }], beforeSend: late };
    const client = new FlagShip(KEY, server.url, options);
    client.onChange(late);
    await client.ready();
    assert.equal(client.isEnabled("checkout", "user-1"), true);
    await client.close();
    assert.deepEqual(server.events("exposure"), []);
    for (const what of ["hook failed in before", "hook failed in after", "listener to changes failed", "beforeSend"]) {
      assert.ok(
        warnings.some((said) => said.includes(what)),
        what,
      );
    }
    await server.close();
  });
});

describe("on demand", () => {
  it("nothing is left to run between calls: no timer, no socket, no stream", async () => {
    const server = await platform(snapshotOf(flag("checkout")));
    const busy = () => process.getActiveResourcesInfo().filter((name) => !/Server|Pipe|TTY|FSReq/.test(name));
    const before = busy().length;
    const client = new FlagShip(KEY, server.url, { mode: "on_demand", logger: null });
    assert.equal(busy().length, before);
    await client.refresh();
    assert.equal(client.isEnabled("checkout", "user-1"), true);
    assert.equal(await client.flush(), true);
    server.server.closeAllConnections();
    await until(() => busy().length <= before);
    await client.close();
    await server.close();
  });
});

describe("events", () => {
  it("that find no room are warned about at once, and then once a minute", async () => {
    const warnings = [];
    const logger = { warn: (message) => warnings.push(message) };
    const server = await platform(snapshotOf(flag("checkout")));
    const client = new FlagShip(KEY, server.url, { logger, mode: "on_demand", mostEvents: 1 });
    for (let time = 0; time < 3; time += 1) {
      for (const user of ["ada", "bob"]) client.track("purchase", user);
      await client.flush();
    }
    assert.deepEqual(warnings, ["1 events found no room and were dropped"]);
    assert.equal(client.status().eventsDropped, 3);
    await client.close();
    await server.close();
  });

  it("whose text no server takes are refused at the call", async () => {
    const warnings = [];
    const logger = { warn: (message) => warnings.push(message) };
    const client = new FlagShip(KEY, "http://flags", { mode: "on_demand", logger, closeWaitMs: 0 });
    for (const text of ["half \ud800", "zero\0"]) {
      client.track(text, "user-1");
      client.track("purchase", "user-1", { properties: { deep: [text] } });
      client.track("purchase", "user-1", { properties: { [text]: 1 } });
    }
    client.track("purchase", "zero\0");
    client.track("purchase", "user-1", { properties: { sizes: new Map([["m", 1]]) } });
    assert.equal(warnings.length, 8, warnings.join("\n"));
    assert.equal(client.status().eventsPending, 0);
    client.track("\u{1f600}", "user-1", { properties: { said: "\\ud800" } });
    assert.equal(client.status().eventsPending, 1);
    await client.close();
  });
});

describe("a bundle without re2js", () => {
  it("starts, and says of a flag with a pattern that it cannot be evaluated", () => {
    const conditions = [{ attribute: "plan", operator: "not_equals", value: "x" }];
    const pattern = [{ not: { attribute: "plan", operator: "matches", value: "x" } }];
    const asking = (key, given) =>
      flag(key, { rules: [{ id: "r", priority: 1, conditions: given, variant: "control" }] });
    const snapshot = JSON.stringify(snapshotOf(asking("plain", conditions), asking("pattern", pattern)));
    const contents = `
      import { Context, Environment } from "openflagship/engine";
      const environment = Environment.fromDocument(${snapshot});
      const user = new Context("user-1", { plan: "pro" });
      console.log(["plain", "pattern"].map((key) => environment.evaluate(key, user).answer.errorCode).join());`;
    const shared = { bundle: true, platform: "node", write: false, logLevel: "silent" };
    for (const format of ["cjs", "esm"]) {
      const built = buildSync({ ...shared, format, stdin: { contents, resolveDir: import.meta.dirname } });
      const type = format === "cjs" ? "commonjs" : "module";
      const ran = spawnSync(process.execPath, [`--input-type=${type}`], {
        cwd: tmpdir(),
        input: built.outputFiles[0].text,
      });
      assert.equal(String(ran.stdout).trim(), ",PARSE_ERROR", String(ran.stderr));
    }
  });
});
