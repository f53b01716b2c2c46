// A client's promises, whatever its caller does: functions that fail or hang, odd options, and use after the end.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FlagShip, MemoryStore } from "openflagship";
import { flag, platform, snapshotOf, until } from "./platform.mjs";

const KEY = "fs_server_test_key";
const BOOTSTRAP = snapshotOf(flag("checkout"));

/** Runs it, and gives what no promise was waited for. */
async function unhandled(run) {
  const found = [];
  const note = (reason) => found.push(String(reason));
  process.on("unhandledRejection", note);
  try {
    await run();
    // Rejections that nobody handles are told of after the microtasks.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off("unhandledRejection", note);
  }
  return found;
}

describe("staleness", () => {
  for (const mode of ["stream", "poll", "on_demand"]) {
    it(`comes after its limit to a closed client, in the mode ${mode}`, async () => {
      const server = await platform(BOOTSTRAP);
      const client = new FlagShip(KEY, server.url, { logger: null, mode, staleAfterMs: 300 });
      assert.equal(await client.ready(), "network");
      await client.close();
      const told = [];
      client.onChange((keys) => told.push(keys));
      await until(() => client.getBooleanDetails("checkout", false, "user-1").stale);
      assert.equal(client.isEnabled("checkout", "user-1"), true);
      assert.equal(client.allDetails("user-1").checkout.stale, true);
      assert.deepEqual(told, []);
      await server.close();
    });
  }

  it("is in the state of a closed client, and in all its answers", async () => {
    const server = await platform(BOOTSTRAP);
    const clients = [1, 2].map(() => new FlagShip(KEY, server.url, { logger: null, staleAfterMs: 300 }));
    await Promise.all(clients.map((client) => client.ready()));
    await Promise.all(clients.map((client) => client.close()));
    await until(() => clients[0].status().isStale && clients[1].allDetails("user-1").checkout.stale);
    await server.close();
  });

  it("comes in the mode on_demand while the server is away", async () => {
    const server = await platform(BOOTSTRAP);
    const options = {
      logger: null,
      mode: "on_demand",
      pollMs: 1,
      staleAfterMs: 300,
      firstBackoffMs: 1,
      mostBackoffMs: 1,
    };
    const client = new FlagShip(KEY, server.url, options);
    assert.equal(await client.ready(), "network");
    await server.close();
    await until(() => client.getBooleanDetails("checkout", false, "user-1").stale);
    await client.close();
  });

  it("is not kept away by a listener that waits for ever", async () => {
    const server = await platform(BOOTSTRAP);
    const client = new FlagShip(KEY, server.url, { logger: null, staleAfterMs: 300 });
    client.onChange(() => new Promise(() => undefined));
    client.onConnection(() => new Promise(() => undefined));
    await client.ready();
    await until(() => client.getBooleanDetails("checkout", false, "user-1").stale);
    await client.close();
    await server.close();
  });
});

describe("what a caller's functions give", () => {
  it("may be promises that fail: they end no process, and change no answer", async () => {
    const said = [];
    const server = await platform(BOOTSTRAP);
    const failing = async () => {
      throw new Error("a bug of the caller's");
    };
    const lost = await unhandled(async () => {
      const client = new FlagShip(KEY, server.url, {
        logger: { warn: (message) => said.push(message) && failing() },
        hooks: [{ before: failing, after: failing, error: failing, finally: failing }],
        beforeSend: failing,
        store: { load: failing, save: failing },
      });
      client.onChange(failing);
      client.onConnection(failing);
      await client.ready();
      assert.equal(client.isEnabled("checkout", "user-1"), true);
      assert.equal(client.isEnabled("unknown", "user-1", true), true);
      client.track("purchase", "user-1");
      await client.close();
    });
    assert.deepEqual(lost, []);
    for (const part of [
      "nobody waits for it",
      "in after",
      "in error",
      "in finally",
      "beforeSend",
      "stored",
      "listener",
    ]) {
      assert.ok(
        said.some((message) => message.includes(part)),
        `${part} in ${said}`,
      );
    }
    assert.equal(server.events("conversion").length, 0);
    await server.close();
  });

  it("may be another library's promises", async () => {
    const said = [];
    // biome-ignore lint/suspicious/noThenProperty: that is what it is about.
    const thenable = () => ({ a: 1, then: (_, reject) => void reject?.(new Error("a bug of the caller's")) });
    const server = await platform(BOOTSTRAP);
    const client = new FlagShip(KEY, server.url, {
      logger: { warn: (message) => said.push(message) },
      hooks: [{ before: thenable, after: thenable }],
      beforeSend: thenable,
      store: { load: thenable, save: async () => undefined },
    });
    await client.ready();
    client.track("purchase", "user-1");
    assert.equal(client.isEnabled("checkout", "user-1"), true);
    await client.close();
    assert.equal(server.events("conversion").length, 0);
    for (const part of [
      "nobody waits for it",
      "in after: Error: a bug",
      "it gave no event",
      "could not be read: a bug",
    ]) {
      assert.ok(
        said.some((message) => message.includes(part)),
        `${part} in ${said}`,
      );
    }
    await server.close();
  });
});

describe("a store that hangs", () => {
  for (const mode of ["stream", "on_demand"]) {
    it(`holds up neither the configuration nor events, in the mode ${mode}`, async () => {
      const server = await platform(BOOTSTRAP);
      const never = () => new Promise(() => undefined);
      const options = { logger: null, mode, store: { load: never, save: never }, connectMs: 200 };
      const client = new FlagShip(KEY, server.url, options);
      assert.equal(await client.ready(), "network");
      for (const number of [1, 2]) {
        client.track("purchase", `user-${number}`);
        assert.equal(await client.flush(), true);
      }
      assert.equal(client.status().eventsSent, 2);
      await client.close();
      await server.close();
    });
  }
});

describe("a flush in the mode on_demand", () => {
  it("sends what waits once, however many ask for it", async () => {
    const server = await platform(BOOTSTRAP);
    const client = new FlagShip(KEY, server.url, { logger: null, mode: "on_demand" });
    await client.ready();
    client.track("purchase", "user-1");
    assert.deepEqual(await Promise.all([client.flush(), client.flush(), client.flush()]), [true, true, true]);
    assert.deepEqual([server.events("conversion").length, client.status().eventsSent], [1, 1]);
    await client.close();
    await server.close();
  });
});

describe("options", () => {
  it("of another type are refused by name: text such as `false` counts as nothing else", () => {
    const odd = {
      isSendingEvents: ["false", 0, null],
      pollMs: ["5000", null, Number.NaN, -1, 0],
      flushCount: ["100", 0],
      mode: [null, 5, "sometimes"],
      hooks: [{}, [null], ["before"]],
      beforeSend: [{}, "drop"],
      logger: [{}, "console", true],
      store: [{}, "file", { load: () => undefined }],
      snapshotPath: ["", 5],
      instance: [5, {}],
      proxy: [5, "http://user:%zz@proxy", "http://proxy:0", "::::", "http://proxy:65536"],
      streamUrl: [5, {}, "http://localhost:0", "ftp://localhost"],
      caFile: [5, ""],
      bootstrap: [5, null, true],
      signingSecret: [5, "", " ", null],
    };
    for (const [name, values] of Object.entries(odd)) {
      for (const value of values) {
        const make = () => new FlagShip(KEY, "https://flags.example.com", { mode: "offline", [name]: value });
        assert.throws(
          make,
          (error) => error instanceof TypeError && !/is not a function|undefined/.test(error.message),
        );
        if (name !== "streamUrl" || typeof value !== "string") assert.throws(make, new RegExp(`^TypeError: ${name}: `));
      }
    }
  });

  it("that stand for nothing are taken", async () => {
    const options = {
      mode: "offline",
      logger: null,
      store: new MemoryStore(),
      hooks: [{}],
      proxy: "",
      isSendingEvents: undefined,
    };
    const client = new FlagShip("", "http://[::1]:65535/below/", options);
    await client.close();
  });

  it("of an address that cannot work are refused", () => {
    for (const url of [
      "",
      "localhost:80",
      "http://",
      "http://localhost:0",
      "http://localhost:65536",
      "http://::1",
      "ftp://x",
    ]) {
      assert.throws(() => new FlagShip(KEY, url, { mode: "offline" }), TypeError, url);
    }
  });
});

describe("listeners and hooks", () => {
  it("of another type are refused", async () => {
    const client = new FlagShip("", "http://offline.invalid", { mode: "offline", logger: null });
    for (const given of [undefined, null, "listener", {}]) {
      assert.throws(() => client.onChange(given), TypeError);
      assert.throws(() => client.onConnection(given), TypeError);
      if (typeof given !== "object" || given === null) assert.throws(() => client.addHook(given), TypeError);
    }
    await client.close();
  });
});
