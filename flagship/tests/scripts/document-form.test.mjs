/* The document that a form holds: collected by path, and problems put back to their fields. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { JSDOM } from "jsdom";

const source = (name) => readFileSync(new URL(`../../static/flagship/${name}.js`, import.meta.url), "utf8");

const pageWith = (html) => {
  const { window } = new JSDOM(
    `<div data-problems hidden><ul></ul></div><form id="form" method="post" action="/">${html}</form>`,
    { runScripts: "outside-only" },
  );
  // jsdom has no layout to scroll.
  window.HTMLElement.prototype.scrollIntoView = () => {};
  window.eval(source("document-form"));
  window.eval(source("condition-rows"));
  const form = window.document.getElementById("form");
  return { window, form, read: window.flagshipDocument.begin(form) };
};

// Of another realm, so its prototypes are not ours.
const plain = (value) => JSON.parse(JSON.stringify(value));

test("fields are collected by their paths, items by their place", () => {
  const { read } = pageWith(`
    <input data-field="name" value=" Checkout ">
    <input data-field="tags" data-type="list" value="a, b,,">
    <input type="checkbox" data-field="enabled" data-type="boolean" checked>
    <ol data-list="rules">
      <li data-item="rules[]"><input data-field="rules[].name" value="first">
        <div data-list="rules[].conditions">
          <p data-item="rules[].conditions[]"><input data-field="rules[].conditions[].attribute" value="age"></p>
          <p data-item="rules[].conditions[]"><input data-field="rules[].conditions[].attribute" value="plan"></p>
        </div></li>
      <li data-item="rules[]"><input data-field="rules[].name" value="second"><div data-list="rules[].conditions"></div></li>
    </ol>`);

  assert.deepEqual(plain(read().document), {
    name: "Checkout",
    tags: ["a", "b"],
    enabled: true,
    rules: [
      { name: "first", conditions: [{ attribute: "age" }, { attribute: "plan" }] },
      { name: "second", conditions: [] },
    ],
  });
});

test("what is hidden, empty or not needed is left out", () => {
  const { read } = pageWith(`
    <div data-list="rollout">
      <p data-item="rollout[]" data-needs="percent"><input data-field="rollout[].percent" data-type="number" value="">
        <input type="hidden" data-field="rollout[].variant" value="a"></p>
      <p data-item="rollout[]" data-needs="percent"><input data-field="rollout[].percent" data-type="number" value="12,5">
        <input type="hidden" data-field="rollout[].variant" value="b"></p>
    </div>
    <div hidden><input data-field="attribute" value="age"><ul data-list="others"></ul></div>
    <input data-field="id" data-empty="omit" value="">
    <input data-field="layer" data-empty="null" value=" ">
    <select data-field="variant" data-type="label"><option data-omit selected>a share</option></select>
    <input type="checkbox" data-field="metrics[]" value="m1"><input type="checkbox" data-field="metrics[]" value="m2" checked>`);

  assert.deepEqual(plain(read().document), {
    rollout: [{ percent: 12.5, variant: "b" }],
    layer: null,
    metrics: ["m2"],
  });
});

test("what cannot be read is a problem with its path, and is not sent", () => {
  const { window, form, read } = pageWith(`
    <div data-item="rollout[]"><input id="percent" data-field="rollout[].percent" data-type="number" value="much"></div>`);

  assert.deepEqual(plain(read().problems), [
    { path: "rollout[0].percent", detail: "“much” is no number; write it like 12.5." },
  ]);
  const event = new window.Event("submit", { cancelable: true });
  form.dispatchEvent(event);
  assert.equal(event.defaultPrevented, true);
  assert.equal(window.document.activeElement.id, "percent");
  assert.equal(window.document.querySelector("[data-problems] a").hash, "#percent");
});

test("a problem of the server comes to the field at its path, or to the nearest around it", () => {
  const { window, form } = pageWith(`
    <details><ol data-list="rules"><li data-item="rules[]"><input id="name" data-field="rules[].name">
      <input type="hidden" data-field="rules[].id" value="x"></li></ol></details>
    <input id="key" data-field="key">`);
  window.flagshipDocument.showProblems(form, [
    { path: "rules[0].id", detail: "No such rule." },
    { path: "key", detail: "Taken." },
    { path: "colour", detail: "No such field." },
  ]);

  const { document } = window;
  assert.equal(document.activeElement.id, "name");
  assert.equal(document.querySelector("details").open, true);
  const said = document.getElementById(document.getElementById("key").getAttribute("aria-describedby"));
  assert.equal(said.textContent, "Taken.");
  assert.deepEqual(
    [...document.querySelectorAll("[data-problems] li")].map((line) => line.textContent),
    ["No such rule.", "Taken.", "No such field."],
  );
});

test("what describes a field stays when its problem goes", () => {
  const { window, form } = pageWith(`<p id="help">Lower case.</p><div><p id="earlier" data-problem>Taken.</p>
    <input id="key" data-field="key" aria-invalid="true" aria-describedby="help  earlier"></div>
    <input id="name" data-field="name">`);
  const describedBy = (id) => window.document.getElementById(id).getAttribute("aria-describedby");

  window.flagshipDocument.showProblems(form, [
    { path: "key", detail: "Too long." },
    { path: "name", detail: "Empty." },
  ]);
  assert.match(describedBy("key"), /^help problem-\d+$/);
  window.flagshipDocument.showProblems(form, []);

  assert.equal(describedBy("key"), "help");
  assert.equal(describedBy("name"), null);
  assert.equal(form.querySelector("[data-problem], [aria-invalid]"), null);
});

const ROW = `<div data-item="conditions[]"><div class="fs-condition"><span data-word></span>
  <input data-attribute data-field="conditions[].attribute" value="a">
  <select data-operator data-field="conditions[].operator">
    <option value="equals" data-takes="scalar">is</option><option value="in" data-takes="list">in</option>
    <option value="less_than" data-takes="number">less</option><option value="starts_with" data-takes="texts">begins</option>
    <option value="exists" data-takes="nothing">known</option><option value="in_segment" data-takes="segments">in</option>
  </select>
  <input data-value data-json data-field="conditions[].value" data-type="condition">
  <select data-kind><option>text</option><option>number</option><option>yesno</option><option>json</option></select>
</div></div>`;

for (const [operator, value] of [
  ["equals", "10"],
  ["equals", 10],
  ["equals", 10.5],
  ["equals", true],
  ["equals", " padded "],
  ["equals", { a: [1, null] }],
  ["equals", ""],
  ["in", ["a", "b"]],
  ["in", [1, "1"]],
  ["in", ["a, b"]],
  ["in", []],
  ["less_than", 18],
  ["less_than", "18"],
  ["starts_with", "+49"],
  ["starts_with", ["+49", "+43"]],
  ["starts_with", ["+49"]],
  ["in_segment", ["beta"]],
]) {
  test(`a condition ${operator} ${JSON.stringify(value)} comes back exactly`, () => {
    const { window, form, read } = pageWith(`<div data-list="conditions">${ROW}</div>`);
    form.querySelector("[data-operator]").value = operator;
    form.querySelector("[data-value]").value = JSON.stringify(value);
    window.flagshipConditions.begin(form, () => {});

    const attribute = operator === "in_segment" ? {} : { attribute: "a" };
    assert.deepEqual(plain(read().document.conditions), [{ ...attribute, operator, value }]);
    assert.deepEqual(plain(read().problems), []);
  });
}

test("a condition that takes no value has none", () => {
  const { window, form, read } = pageWith(`<div data-list="conditions">${ROW}</div>`);
  form.querySelector("[data-operator]").value = "exists";
  window.flagshipConditions.begin(form, () => {});

  assert.deepEqual(plain(read().document.conditions), [{ attribute: "a", operator: "exists" }]);
});

for (const [operator, kind, text] of [
  ["less_than", "text", "ten"],
  ["equals", "yesno", "maybe"],
  ["equals", "number", "true"],
  ["in", "json", "[1"],
]) {
  test(`a condition ${operator} of the kind ${kind} refuses ${text}`, () => {
    const { window, form, read } = pageWith(`<div data-list="conditions">${ROW}</div>`);
    form.querySelector("[data-operator]").value = operator;
    window.flagshipConditions.begin(form, () => {});
    form.querySelector("[data-value]").value = text;
    form.querySelector("[data-kind]").value = kind;

    assert.deepEqual(
      plain(read().problems).map(({ path }) => path),
      ["conditions[0].value"],
    );
  });
}
