// Compares this engine with the Python engine, field by field: `node parity.mjs FILE`, as `test_node_sdk.py` writes it.
//
// The file has one JSON document a line: `{snapshot, asked: [{key, userId, attributes, answer, unit}]}`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Context, Environment } from "openflagship/engine";

const MEMBERS = ["value", "variant", "reason", "ruleId", "experiment", "errorCode", "detail", "configVersion", "stale"];

let count = 0;
for (const line of readFileSync(process.argv[2], "utf8").trim().split("\n")) {
  const { snapshot, asked } = JSON.parse(line);
  const environment = Environment.fromDocument(snapshot);
  for (const { key, userId, attributes, answer, unit } of asked) {
    const context = new Context(userId, attributes);
    const found = environment.evaluate(key, context).answer;
    const where = `${key} for ${JSON.stringify([userId, attributes])} in ${JSON.stringify(snapshot)}`;
    for (const name of MEMBERS) {
      // An error's detail is free text.
      if (name === "detail" && answer.errorCode !== undefined) continue;
      assert.deepEqual(found[name] ?? null, answer[name] ?? null, `${name} of ${where}`);
    }
    assert.equal(environment.unit(key, context) ?? null, unit, `the unit of ${where}`);
    count += 1;
  }
}
console.log(count);
