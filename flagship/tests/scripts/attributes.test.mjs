import assert from "node:assert/strict";
import { test } from "node:test";
import { fire, openPage } from "./page.mjs";

const PAGE = `
  <datalist id="attribute-names"><option value="userId"></datalist>
  <datalist id="segment-keys"><option value="beta"><option value="staff"></datalist>
  <form data-attributes-url="/admin/attributes">
    <input id="names" data-attribute-names>
    <div class="fs-condition">
      <input data-attribute>
      <select data-operator>
        <option value="equals" data-takes="scalar">is</option>
        <option value="in" data-takes="list">is one of</option>
        <option value="greater_than" data-takes="number" data-fits="number">is more than</option>
        <option value="in_segment" data-takes="segments">is in</option>
      </select>
      <input data-value>
      <select data-kind><option value="text"></option><option value="number"></option></select>
    </div>
  </form>`;
const KNOWN = {
  plan: { kind: "text", values: ["free", "pro"] },
  age: { kind: "number", values: ["18"] },
};

async function condition(attribute, operator, answers = { "/admin/attributes": KNOWN }) {
  const page = await openPage(PAGE, ["attributes.js"], { answers });
  const [name, choice, value, kind] = ["attribute", "operator", "value", "kind"].map((part) =>
    page.find(`[data-${part}]`),
  );
  name.value = attribute;
  choice.value = operator;
  fire(name, "input");
  fire(value, "focusin");
  const offered = () => [...page.find("#attribute-values").options].map((option) => option.value);
  return { ...page, choice, value, kind, offered };
}

test("attributes seen lately are offered beside those that stand on the page", async () => {
  const { document } = await condition("plan", "equals");
  const names = [...document.querySelectorAll("#attribute-names option")].map((option) => option.value);
  assert.deepEqual(names, ["userId", "age", "plan"]);
});

test("values of the attribute are offered, and its type is set", async () => {
  const { offered, kind } = await condition("age", "equals");
  assert.deepEqual(offered(), ["18"]);
  assert.equal(kind.value, "number");
});

test("in a list only the value after the last comma is offered, and none twice", async () => {
  const { value, offered } = await condition("plan", "in");
  value.value = "free, ";
  fire(value, "input");
  assert.deepEqual(offered(), ["free, pro"]);
});

test("a comparison that does not fit the type is out of the list, the chosen one stays", async () => {
  const text = await condition("plan", "equals");
  assert.ok(text.choice.options[2].disabled);
  const number = await condition("age", "equals");
  assert.equal(number.choice.options[2].disabled, false);
  const chosen = await condition("plan", "greater_than");
  assert.equal(chosen.choice.options[2].hidden, false);
});

test("segments are offered by key", async () => {
  const { offered } = await condition("", "in_segment");
  assert.deepEqual(offered(), ["beta", "staff"]);
});

test("names of attributes are offered one after the other, userId never", async () => {
  const { find, document } = await condition("plan", "equals");
  find("#names").value = "plan, ";
  fire(find("#names"), "input");
  assert.deepEqual(
    [...document.querySelectorAll("#attribute-list option")].map((option) => option.value),
    ["plan, age"],
  );
});

test("without an answer everything can still be typed", async () => {
  const { offered, errors } = await condition("plan", "equals", {});
  assert.deepEqual(offered(), []);
  assert.deepEqual(errors, []);
});
