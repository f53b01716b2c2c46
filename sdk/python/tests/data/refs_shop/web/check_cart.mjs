import assert from "node:assert";
import { steps, title, total } from "./cart.mjs";

assert.equal(total([1.5, 2.25]), 3.75);
assert.deepEqual(steps(false), ["pay"]);
assert.deepEqual(steps(true), ["address", "pay"]);
assert.equal(title(), "Checkout now");
