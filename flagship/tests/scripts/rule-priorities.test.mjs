import assert from "node:assert/strict";
import { test } from "node:test";
import { openPage } from "./page.mjs";

const { window } = await openPage("", ["rule-priorities.js"]);
const numbered = (priorities, place) => [
  ...window.flagshipPriorities(
    priorities.map((priority) => ({ priority: priority ?? undefined })),
    place,
  ),
];

test("priorities that ascend stay, and rules at the end follow them", () => {
  assert.deepEqual(numbered([5, 8, null, null]), [5, 8, 10, 20]);
  assert.deepEqual(numbered([null, null]), [10, 20]);
});

test("a move keeps as many rules before the experiment", () => {
  assert.deepEqual(numbered([8, 5], 10), [5, 8]);
  assert.deepEqual(numbered([30, 10, 20], 25), [10, 20, 30]);
});

test("a new rule between two leaves the others where they are", () => {
  assert.deepEqual(numbered([10, null, 20, 30], 25), [10, 15, 20, 30]);
});

test("a new rule beside the experiment goes after it", () => {
  assert.deepEqual(numbered([10, 20, null, 30], 25), [10, 20, 27, 30]);
  assert.deepEqual(numbered([10, null], 25), [10, 30]);
});

test("without room the rules are numbered anew on their sides of the experiment", () => {
  assert.deepEqual(numbered([10, null, 11, 30], 25), [6, 12, 18, 30]);
  assert.deepEqual(numbered([1, null, 2]), [10, 20, 30]);
});

test("more rules before the experiment than there are numbers", () => {
  assert.deepEqual(numbered([0, null, 1, 30], 2), [0, 1, 10, 20]);
  assert.deepEqual(numbered([0, null, 1, 30], 3), [0, 1, 2, 10]);
});
