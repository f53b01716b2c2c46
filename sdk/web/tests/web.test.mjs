// The browser's SDK against a platform in miniature; a real browser has its turn in `test_web_sdk_in_browser.py`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature } from "@openfeature/web-sdk";
import { FlagShip } from "openflagship-web";
import { ExposureHook, ofrepFetch } from "openflagship-web/openfeature";
import { FakeEventSource, FakeStorage, flag, platform, until } from "./platform.mjs";

const KEY = "fs_client_test_key";
const MOST_BYTES = 4_096;

let server;
let answers;
const clients = [];

beforeEach(async () => {
  answers = ({ targetingKey = "nobody" }) => [flag("greeting", `hello ${targetingKey}`), flag("checkout", true)];
  server = await platform((context) => answers(context));
  globalThis.localStorage = new FakeStorage();
  globalThis.EventSource = FakeEventSource;
  FakeEventSource.all = [];
});

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await server.close();
});

function clientOf(targetingKey, options = {}) {
  const client = new FlagShip(KEY, server.url, { context: { targetingKey }, ...options });
  clients.push(client);
  return client;
}

describe("size", () => {
  it("is at most 4 KB, with everything", () => {
    const bytes = gzipSync(readFileSync(new URL("../dist/index.js", import.meta.url)), { level: 9 }).length;
    assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
  });
});

describe("values", () => {
  it("are this user's, by the default's type, and reading one records that it was shown", async () => {
    const client = clientOf("ada");
    assert.equal(client.getValue("greeting", "default"), "default");
    assert.equal(await client.ready(), "network");
    for (let time = 0; time < 3; time += 1) assert.equal(client.getStringValue("greeting", ""), "hello ada");
    assert.equal(client.getNumberValue("greeting", 5), 5);
    assert.equal(client.getDetails("checkout").variant, "treatment");
    client.track("purchase", { value: 2, properties: { at: new Date(0) } });
    assert.equal(await client.flush(), true);
    const [exposure, ...others] = server.events("exposure");
    assert.deepEqual(others, []);
    assert.deepEqual(
      [exposure.flagKey, exposure.userId, exposure.variant, exposure.configVersion, exposure.source],
      ["greeting", "ada", "treatment", 7, "sdk-web"],
    );
    assert.match(exposure.evaluationId, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const [{ value, properties }] = server.events("conversion");
    assert.deepEqual([value, properties], [2, { at: "1970-01-01T00:00:00.000Z" }]);
    assert.equal(server.asked[0].url, "/ofrep/v1/evaluate/flags?exposures=none");
    assert.equal(server.posts[0].key, `Bearer ${KEY}`);
  });

  it("of a flag that logs experiments alone are recorded only where one answers", async () => {
    const exposures = "experiments";
    const tried = flag("tried", true, "treatment", { exposures, experiment: "button" });
    answers = () => [flag("quiet", true, "treatment", { exposures }), tried];
    const client = clientOf("ada");
    await client.ready();
    assert.deepEqual([client.isEnabled("quiet"), client.isEnabled("tried")], [true, true]);
    assert.equal(await client.flush(), true);
    const recorded = server.events("exposure").map(({ flagKey, experiment }) => [flagKey, experiment]);
    assert.deepEqual(recorded, [["tried", "button"]]);
  });

  it("of a bootstrap serve at once, and a key of a server's is refused by its kind alone", () => {
    const client = clientOf("ada", { bootstrap: { flags: [flag("checkout", true)] } });
    assert.equal(client.isEnabled("checkout"), true);
    assert.throws(
      () => new FlagShip("fs_server_hidden", server.url),
      (error) => !error.message.includes("hidden"),
    );
  });
});

describe("a bootstrap", () => {
  it("of another user is not served, and one with a signature is read as it was written", (t) => {
    const warn = t.mock.method(console, "warn", () => undefined);
    const bulk = { flags: [flag("checkout", true)], metadata: { configVersion: 3, targetingKey: "ada" } };
    const signed = { answers: JSON.stringify(bulk), signature: "sha256=of-the-servers" };
    const served = ["ada", "bob"].map((user) => clientOf(user, { bootstrap: signed }).isEnabled("checkout"));
    assert.deepEqual(served, [true, false]);
    assert.equal(warn.mock.callCount(), 1);
  });
});

describe("identify", () => {
  it("changes all values at once, and records nothing under another's name", async () => {
    const client = clientOf("ada");
    await client.ready();
    server.state.delayMs = 100;
    const changes = [];
    client.onChange((keys) => changes.push(keys));
    const before = client.identify({ targetingKey: "bob" });
    const last = client.identify({ targetingKey: "eve" });
    assert.equal(client.getValue("greeting", ""), "hello ada");
    await Promise.all([before, last]);
    assert.equal(client.getValue("greeting", ""), "hello eve");
    assert.deepEqual(changes, [["greeting"]]);
    await client.flush();
    assert.deepEqual(
      server.events("exposure").map(({ userId }) => userId),
      ["ada", "eve"],
    );
  });

  it("gives defaults, never the other's values, where the platform is away", async () => {
    const client = clientOf("ada");
    await client.ready();
    server.statuses.push(500);
    await client.identify({ targetingKey: "bob" });
    assert.equal(client.getValue("greeting", "default"), "default");
    assert.match(client.status().error, /500/);
  });
});

describe("the kept answers", () => {
  it("serve the next page of the same user, and no other's", async () => {
    await clientOf("ada").ready();
    await until(() => Object.keys(localStorage).length === 1);
    const text = JSON.stringify(localStorage);
    assert.ok(!text.includes(KEY) && !Object.keys(localStorage).join().includes("ada"), text);
    server.statuses.push(503, 503, 503);
    const [same, other, without] = [clientOf("ada"), clientOf("bob"), clientOf("ada", { isStoring: false })];
    assert.deepEqual(
      [same, other, without].map((client) => client.getValue("greeting", "default")),
      ["hello ada", "default", "default"],
    );
    assert.equal(await same.ready(), "store");
  });

  it("of another key on the same origin stay", async () => {
    const other = new FlagShip("fs_client_other", server.url, { context: { targetingKey: "ada" } });
    clients.push(other);
    await Promise.all([other.ready(), clientOf("ada").ready()]);
    await until(() => Object.keys(localStorage).length === 2);
  });

  it("are done without where the browser forbids storage, or it is full", async () => {
    Object.defineProperty(globalThis, "localStorage", {
      configurable: true,
      get: () => {
        throw new Error("forbidden");
      },
    });
    assert.equal(await clientOf("ada").ready(), "network");
    Object.defineProperty(globalThis, "localStorage", { configurable: true, writable: true, value: null });
  });
});

describe("the stream", () => {
  it("is asked for a whole answer after each change, and again with a new token once it was refused", async () => {
    const client = clientOf("ada");
    await client.ready();
    const [first] = FakeEventSource.all;
    assert.equal(first.url, `${server.url}/stream?token=1`);
    answers = () => [flag("greeting", "good morning")];
    first.onmessage({});
    await until(() => client.getValue("greeting", "") === "good morning");
    assert.equal(server.asked[1].etag !== undefined, true);
    assert.equal(FakeEventSource.all.length, 1);
    first.readyState = FakeEventSource.CLOSED;
    first.onerror({});
    await until(() => FakeEventSource.all.length === 2);
    assert.equal(server.asked.at(-1).etag, undefined);
  });

  it("that falls silent is given up, once it was heard", async () => {
    const client = clientOf("ada", { silenceMs: 50, firstBackoffMs: 1 });
    await client.ready();
    const [first] = FakeEventSource.all;
    first["onkeep-alive"]({});
    await until(() => FakeEventSource.all.length === 2);
    assert.equal(first.readyState, FakeEventSource.CLOSED);
  });
});

describe("events", () => {
  it("that cannot be sent wait with their ids, and those that are of no use are counted", async () => {
    const client = clientOf("ada");
    await client.ready();
    server.statuses.push(500);
    client.track("purchase");
    assert.equal(await client.flush(), false);
    assert.equal(client.status().eventsPending, 1);
  });

  it("are sent in halves where a post is too large", async () => {
    const client = clientOf("ada");
    await client.ready();
    server.statuses.push(413);
    for (let at = 0; at < 5; at += 1) client.track("purchase");
    assert.equal(await client.flush(), true);
    const sizes = server.posts.map(({ body }) => body.events.length);
    assert.deepEqual([sizes[0], sizes.slice(1).sort(), client.status().eventsLost], [5, [2, 3], 0]);
  });

  it("name the attribute that is asked for, and say once that there is none to name", async (t) => {
    const warn = t.mock.method(console, "warn", () => undefined);
    const client = clientOf(undefined, { context: { deviceId: "d-1" } });
    await client.ready();
    client.track("purchase", { unitBy: "deviceId" });
    client.track("purchase");
    client.trackMetric("latency", { value: 1 });
    await client.flush();
    const [{ userId, unitBy }] = server.events("conversion");
    assert.deepEqual([userId, unitBy, server.events("conversion").length], ["d-1", undefined, 1]);
    assert.equal(warn.mock.callCount(), 1);
  });
});

describe("exposures", () => {
  it("name the unit that the flag hashes, and leave out what the flag does not log", async () => {
    answers = () => [
      flag("by-device", true, "treatment", { bucketBy: "deviceId,userId" }),
      flag("by-project", true, "treatment", { bucketBy: "projectId" }),
      flag("unlogged", true, "treatment", { exposures: "experiments" }),
      flag("in-experiment", true, "treatment", { exposures: "experiments", experiment: "e" }),
    ];
    const context = { targetingKey: "ada", deviceId: 42 };
    const client = clientOf("ada", { context });
    await client.ready();
    const hook = new ExposureHook(KEY, server.url);
    for (const { key, variant, metadata } of answers()) {
      client.isEnabled(key);
      hook.after({ context }, { flagKey: key, variant, flagMetadata: metadata });
    }
    await client.flush();
    await hook.close();
    const found = server.events("exposure").map(({ flagKey, userId, source }) => [source, flagKey, userId]);
    assert.deepEqual(
      found,
      ["sdk-web", "openfeature-web"].flatMap((source) => [
        [source, "by-device", "42"],
        [source, "in-experiment", "ada"],
      ]),
    );
  });
});

describe("what outlives the page", () => {
  it("is no more than a browser takes, and everything arrives", async (t) => {
    const client = clientOf("ada");
    await client.ready();
    const real = globalThis.fetch;
    let kept = 0;
    t.mock.method(globalThis, "fetch", async (url, init) => {
      const bytes = init.keepalive ? init.body.length : 0;
      kept += bytes;
      if (kept > 65_536) throw new TypeError("Failed to fetch");
      const response = await real(url, init);
      kept -= bytes;
      return response;
    });
    for (let at = 0; at < 150; at += 1) client.track("purchase", { properties: { note: "x".repeat(1_000) } });
    client.track("purchase", { properties: { note: "x".repeat(70_000) } });
    assert.equal(await client.flush(), true);
    assert.equal(server.events("conversion").length, 151);
  });
});

describe("OpenFeature's web SDK with the plain OFREP provider", () => {
  it("records an exposure of what was shown, and of nothing else", async () => {
    delete globalThis.EventSource;
    const hook = new ExposureHook(KEY, server.url);
    const headers = [["Authorization", `Bearer ${KEY}`]];
    const provider = new OFREPWebProvider({
      baseUrl: server.url,
      headers,
      pollInterval: 0,
      fetchImplementation: ofrepFetch,
    });
    await OpenFeature.setContext({ targetingKey: "ada" });
    await OpenFeature.setProviderAndWait(provider);
    OpenFeature.addHooks(hook);
    const client = OpenFeature.getClient();
    for (let time = 0; time < 3; time += 1) assert.equal(client.getStringValue("greeting", ""), "hello ada");
    client.getBooleanValue("nobody-knows-it", false);
    await hook.close();
    assert.deepEqual(
      server.events("exposure").map(({ flagKey, userId, variant }) => [flagKey, userId, variant]),
      [["greeting", "ada", "treatment"]],
    );
    assert.ok(server.asked.every(({ url }) => url.endsWith("?exposures=none")));
    await OpenFeature.close();
  });
});
