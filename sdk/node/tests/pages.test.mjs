// What a page begins with: one user's answers, as the platform would give them, signed for whoever passes them on.

import assert from "node:assert/strict";
import { it } from "node:test";
import { FlagShip } from "openflagship";
import { inScript, pageAnswers, signedPageAnswers, verifiedPageAnswers } from "openflagship/pages";
import { flag, snapshotOf } from "./platform.mjs";

const SECRET = "fs_sign_test_words";
const experiment = {
  id: "button",
  status: "running",
  layer: { key: null, salt: "s" },
  ranges: [[0, 10_000]],
  controlVariant: "control",
  audience: null,
};
const bootstrap = snapshotOf(
  flag("tried", { experiment, exposures: "experiments", metadata: { owner: "shop", bucketBy: "mine" } }),
  flag("by-device", { bucketBy: ["deviceId", "userId"] }),
  flag("broken", { type: "no-such-type" }),
);
const client = new FlagShip("", "http://flags", { mode: "offline", bootstrap, logger: null });

it("has each flag with what the page needs to record it, and names its user", () => {
  const { flags, metadata } = pageAnswers(client, { targetingKey: "ada", deviceId: "d-1" });
  assert.deepEqual(metadata, { configVersion: 1, targetingKey: "ada" });
  const found = Object.fromEntries(flags.map((one) => [one.key, one]));
  assert.deepEqual(found.tried.metadata, { owner: "shop", exposures: "experiments", experiment: "button" });
  assert.deepEqual(found["by-device"].metadata, { bucketBy: "deviceId,userId" });
  assert.deepEqual([found["by-device"].value, found["by-device"].variant], [true, "treatment"]);
  assert.equal(found.broken.errorCode, "PARSE_ERROR");
  assert.equal(pageAnswers(client).metadata.targetingKey, "");
});

it("is signed as it is written, and refused once a character of it is another", () => {
  const signed = signedPageAnswers(client, "ada", SECRET);
  assert.deepEqual(verifiedPageAnswers(signed, SECRET), JSON.parse(signed.answers));
  const altered = { ...signed, answers: signed.answers.replace("ada", "eve") };
  for (const [given, secret] of [
    [altered, SECRET],
    [signed, "another"],
    [{ answers: signed.answers }, SECRET],
  ]) {
    assert.throws(() => verifiedPageAnswers(given, secret), TypeError);
  }
  assert.throws(() => signedPageAnswers(client, "ada", " "), TypeError);
});

it("ends no script", () => {
  assert.equal(inScript({ text: "</script>" }), '{"text":"\\u003c/script>"}');
});
