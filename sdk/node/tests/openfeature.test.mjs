// The provider behind OpenFeature's own server SDK.

import assert from "node:assert/strict";
import { it } from "node:test";
import { OpenFeature, ProviderEvents } from "@openfeature/server-sdk";
import { FlagShip } from "openflagship";
import { FlagShipProvider } from "openflagship/openfeature";
import { flag, platform, snapshotOf } from "./platform.mjs";

it("answers with value, variant, reason and metadata, tells of changes, tracks, and closes its client", async () => {
  const server = await platform(snapshotOf(flag("checkout", { metadata: { owner: "shop" } })));
  const own = new FlagShip("fs_server_test_key", server.url, { logger: null });
  await OpenFeature.setProviderAndWait(new FlagShipProvider(own));
  const client = OpenFeature.getClient();
  const details = await client.getBooleanDetails("checkout", false, { targetingKey: "user-1" });
  assert.deepEqual(
    [details.value, details.variant, details.reason, details.flagMetadata],
    [true, "treatment", "SPLIT", { owner: "shop", configVersion: 1 }],
  );
  const mismatched = await client.getStringDetails("checkout", "default", { targetingKey: "user-1" });
  assert.deepEqual([mismatched.value, mismatched.errorCode], ["default", "TYPE_MISMATCH"]);
  assert.equal((await client.getBooleanDetails("nobody", true)).errorCode, "FLAG_NOT_FOUND");

  const changed = new Promise((resolve) => client.addHandler(ProviderEvents.ConfigurationChanged, resolve));
  const tell = setInterval(() => server.say("flag_updated", 2, flag("checkout", { enabled: false })), 20);
  assert.deepEqual((await changed).flagsChanged, ["checkout"]);
  clearInterval(tell);
  assert.equal((await client.getBooleanDetails("checkout", true, { targetingKey: "user-1" })).reason, "DISABLED");

  client.track("purchase", { targetingKey: "user-1" }, { value: 2, currency: "EUR" });
  await OpenFeature.close();
  assert.equal(own.status().connection, "closed");
  const [{ userId, value, properties }] = server.events("conversion");
  assert.deepEqual([userId, value, properties], ["user-1", 2, { currency: "EUR" }]);
  await server.close();
});

it("is not ready without a configuration, fatally so where the key is refused", async () => {
  const { createServer } = await import("node:http");
  const server = createServer((_request, response) => response.writeHead(401).end("{}"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const own = new FlagShip("fs_server_test_key", url, { logger: null, closeWaitMs: 100 });
  await assert.rejects(new FlagShipProvider(own).initialize(), { name: "ProviderFatalError" });
  await own.close();
  server.close();
});
