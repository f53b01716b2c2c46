// The contract's vectors and cases, through the engine alone.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bucket, Context, Environment, PrefixHash } from "openflagship/engine";
import { contract } from "./contract.mjs";

const plain = (value) => JSON.parse(JSON.stringify(value));

function flag(changes = {}) {
  return {
    key: "asked",
    type: "boolean",
    enabled: true,
    variants: [
      { key: "control", value: false },
      { key: "treatment", value: true },
    ],
    defaultVariant: "control",
    offVariant: "control",
    ...changes,
  };
}

function environmentOf(...flags) {
  return Environment.fromDocument({
    contract: 1,
    version: 1,
    flags: Object.fromEntries(flags.map((one) => [one.key, one])),
  });
}

function asking(conditions) {
  return flag({ rules: [{ id: "rule", priority: 1, conditions, variant: "treatment" }] });
}

describe("vectors", () => {
  it("hashes every salt and unit as the contract does", () => {
    const vectors = contract("vectors/bucketing.json");
    assert.equal(vectors.length, 200);
    for (const { salt, unit, hash, bucket: expected } of vectors) {
      assert.equal(new PrefixHash(`${salt}:`).hash(unit), hash, `${salt}:${unit}`);
      assert.equal(bucket(salt, unit), expected);
    }
  });

  it("gives the known outcomes of public suites for every operator", () => {
    for (const { id, tree, context, expected } of contract("cases/operators.json").cases) {
      const found = environmentOf(asking(tree)).evaluate("asked", new Context(context.userId, context));
      assert.equal(found.answer.value, expected, id);
    }
  });
});

describe("documents", () => {
  it("gives every answer on file", () => {
    let count = 0;
    for (const { snapshot, evaluations } of contract("cases/evaluations.json").cases) {
      const environment = Environment.fromDocument(snapshot);
      for (const { userId, attributes, answers } of evaluations) {
        const context = new Context(userId, attributes);
        const all = environment.evaluateAll(context);
        for (const [key, expected] of Object.entries(answers)) {
          const { answer } = environment.evaluate(key, context);
          for (const name of ["variant", "reason", "ruleId", "experiment", "detail", "errorCode"]) {
            assert.equal(answer[name] ?? null, expected[name] ?? null, `${name} of ${key} for ${userId}`);
          }
          assert.deepEqual(all.get(key)?.answer, answer);
          count += 1;
        }
      }
    }
    assert.equal(count, 2880);
  });

  for (const name of ["rule_trees", "bucket_by", "experiment_split", "not_understood"]) {
    for (const { name: title, steps } of contract(`cases/${name}.json`).cases) {
      it(`${name}: ${title}`, () => takeSteps(steps));
    }
  }
});

function takeSteps(steps) {
  let environment;
  for (const { snapshot, change, asked, notUnderstood } of steps) {
    environment =
      snapshot === undefined
        ? environment.replace(change.version, change.flags, change.segments)
        : Environment.fromDocument(snapshot, environment);
    for (const { flagKey, userId, attributes, expected } of asked) {
      const context = new Context(userId, attributes);
      const { answer } = environment.evaluate(flagKey, context);
      const known = { variant: null, ruleId: null, experiment: null, detail: null, errorCode: null, stale: false };
      const { unit, ...wanted } = { ...known, ...expected };
      // An error's detail is free text.
      if (wanted.errorCode !== null) delete wanted.detail;
      for (const [member, value] of Object.entries(wanted)) {
        assert.equal(answer[member] ?? null, value, `${member} of ${flagKey} for ${userId}`);
      }
      if (unit !== undefined) assert.equal(environment.unit(flagKey, context) ?? null, unit);
      assert.deepEqual(environment.evaluateAll(context).get(flagKey).answer, answer);
    }
    if (notUnderstood !== undefined) assert.deepEqual(environment.notUnderstood, notUnderstood);
  }
}

describe("what a caller passes", () => {
  const matches = (conditions, attributes) =>
    environmentOf(asking(conditions)).evaluate("asked", new Context("user-1", attributes)).answer.value;

  it("takes JavaScript's own types exactly", () => {
    const at = new Date("2026-01-01T00:00:00Z");
    assert.equal(matches([{ attribute: "at", operator: "after", value: "2025-12-31T23:59:59Z" }], { at }), true);
    assert.equal(matches([{ attribute: "size", operator: "equals", value: 42 }], { size: 42n }), true);
    const tags = new Set(["beta", "staff"]);
    assert.equal(matches([{ attribute: "tags", operator: "contains", value: "staff" }], { tags }), true);
    const big = environmentOf(flag({ bucketBy: "id" }));
    assert.equal(big.unit("asked", new Context(null, { id: 2n ** 60n })), "1152921504606846976");
    // An instant is the same text in every language, so that it is the same unit.
    assert.equal(new Context(at).userId, "2026-01-01T00:00:00+00:00");
    assert.equal(big.unit("asked", new Context(null, { id: new Date(1) })), "1970-01-01T00:00:00.001000+00:00");
    assert.equal(matches([{ attribute: "at", operator: "equals", value: "2026-01-01T00:00:00+00:00" }], { at }), true);
  });

  it("says of what it cannot take which flag reads it, and its type", () => {
    const told = [];
    const context = new Context("user-1", { plan: { name: "pro" } }, (...words) => told.push(words));
    const environment = environmentOf(asking([{ attribute: "plan", operator: "not_equals", value: "free" }]));
    assert.equal(environment.evaluate("asked", context).answer.value, false);
    assert.deepEqual(told, [["asked", "plan", "Object"]]);
  });

  it("reads what stands in the attributes alone", () => {
    for (const attribute of ["constructor", "__proto__", "toString"]) {
      assert.equal(matches([{ attribute, operator: "exists" }], {}), false, attribute);
    }
    assert.equal(matches([{ attribute: "constructor", operator: "exists" }], { constructor: "yes" }), true);
    const { answer } = environmentOf(flag()).evaluate("__proto__", new Context("user-1"));
    assert.equal(answer.errorCode, "FLAG_NOT_FOUND");
  });

  it("logs what a running experiment answers alone, where the flag says so", () => {
    const experiment = { id: "e", status: "running", layer: { key: null, salt: "s" }, ranges: [[0, 10_000]] };
    const split = { allocation: [[0, 10_000, "treatment"]], exposures: "experiments" };
    const shown = (changes) => environmentOf(flag(changes)).evaluate("asked", new Context("user-1")).shown;
    assert.equal(shown(split), undefined);
    assert.ok(shown({ ...split, exposures: "all" }));
    assert.ok(shown({ ...split, experiment: { ...experiment, controlVariant: "control", audience: null } }));
  });

  it("reads patterns in linear time", () => {
    const hostile = `${"a".repeat(50_000)}!`;
    const since = performance.now();
    assert.equal(matches([{ attribute: "text", operator: "matches", value: "^(a+)+$" }], { text: hostile }), false);
    assert.ok(performance.now() - since < 20_000);
    // What is no expression in every language holds for nobody; \\C is one byte, which may be half a character.
    for (const value of ["(a", "\\C"]) {
      assert.equal(matches([{ attribute: "text", operator: "matches", value }], { text: "(a" }), false, value);
    }
  });

  it("hands out values that nobody can change", () => {
    const variants = [
      { key: "control", value: { limits: [1, 2] } },
      { key: "treatment", value: {} },
    ];
    const { value } = environmentOf(flag({ type: "json", variants })).evaluate("asked", new Context("user-1")).answer;
    assert.throws(() => value.limits.push(3), TypeError);
    assert.deepEqual(plain(value), { limits: [1, 2] });
  });
});
