import assert from "node:assert/strict";
import { test } from "node:test";
import { fire, openPage } from "./page.mjs";

// The zone that instants are typed in is this process's.
process.env.TZ = "Europe/Berlin";

const SCRIPTS = ["console.js", "document-form.js", "condition-rows.js", "experiment-form.js"];

const instant = (text, shown) => `
  <div class="fs-field"><label for="id_endsAt">Ends <span data-zone>UTC</span></label>
    <input id="id_endsAt" name="endsAt" value="${text}" data-instant data-field="endsAt" data-type="instant" data-empty="null">
    <input type="hidden" name="endsAt_zone" value="UTC"><input type="hidden" name="endsAt_shown" value="${shown}">
    <output id="id_endsAt_utc"></output></div>`;

async function opened({ text = "", shown = "", split = "{}" } = {}) {
  const page = await openPage(
    `<div data-problems hidden><ul></ul></div>
    <form id="experiment-form">
      <select data-field="flagKey" data-flag-variants>
        <option value="checkout" data-variants='["old", "new"]' data-rules='[{"priority": 10, "name": "Staff"}]'>
          checkout</option>
        <option value="colour" data-variants='["red", "blue", "new"]'>colour</option>
      </select>
      <select id="id_control" data-field="controlVariant" data-empty="omit" data-chosen="new"></select>
      <div data-list="allocation" data-split='${split}'></div>
      <button type="button" data-split-evenly>Split evenly</button><span data-flag-rules></span>
      <div data-condition-list><div data-conditions data-list="audience.all"></div></div>
      ${instant(text, shown)}
    </form>
    <template id="split-template"><div data-item="allocation[]" data-needs="percent"><label data-split-label></label>
      <input type="hidden" data-field="allocation[].variant">
      <input data-field="allocation[].percent" data-type="number"></div></template>`,
    SCRIPTS,
  );
  const form = page.find("form");
  // jsdom fires no event of its own when a form's data are read.
  const sent = () => {
    const { formData } = fire(form, "formdata", { formData: new page.window.FormData(form) });
    return JSON.parse(formData.get("document"));
  };
  return { ...page, form, sent };
}

test("the control is one of the chosen flag's variants", async () => {
  const { find, sent } = await opened();
  assert.equal(sent().controlVariant, "new");
  find("[data-flag-variants]").value = "colour";
  fire(find("[data-flag-variants]"), "change");
  assert.deepEqual(
    [...find("#id_control").options].map(({ value }) => value),
    ["red", "blue", "new"],
  );
  assert.equal(sent().controlVariant, "new");
});

test("the split has a row for each variant, even until somebody says otherwise", async () => {
  const { find, sent } = await opened();
  const even = [
    { variant: "old", percent: 50 },
    { variant: "new", percent: 50 },
  ];
  assert.deepEqual(sent().allocation, even);
  assert.equal(find("[data-flag-rules]").textContent, "This flag has: 10 Staff.");
  find("#id_share_1").value = "12.5";
  find("#id_share_0").value = "";
  assert.deepEqual(sent().allocation, [{ variant: "new", percent: 12.5 }]);
  fire(find("[data-split-evenly]"), "click");
  assert.deepEqual(sent().allocation, even);
  find("[data-flag-variants]").value = "colour";
  fire(find("[data-flag-variants]"), "change");
  assert.deepEqual(
    sent().allocation.map(({ percent }) => percent),
    [33.34, 33.33, 33.33],
  );
  const stored = await opened({ split: '{"new": "30"}' });
  assert.deepEqual(stored.sent().allocation, [{ variant: "new", percent: 30 }]);
});

test("an audience without conditions is everybody", async () => {
  const { sent } = await opened();
  assert.equal(sent().audience, null);
});

test("an instant is sent as ISO text: none, typed, and untouched to the second", async () => {
  const { find, sent } = await opened();
  assert.equal(sent().endsAt, null);
  find("#id_endsAt").value = "2031-01-01T12:00";
  assert.equal(sent().endsAt, "2031-01-01T11:00:00.000Z");
  // The second half past two of that night.
  const untouched = await opened({ text: "2031-10-26T01:30", shown: "2031-10-26T01:30:15+00:00" });
  assert.equal(untouched.find("#id_endsAt").value, "2031-10-26T02:30");
  assert.equal(untouched.sent().endsAt, "2031-10-26T01:30:15+00:00");
});

test("a time that the clock skips is refused beside its field, with the times around it", async () => {
  const { find, form } = await opened();
  find("#id_endsAt").value = "2032-03-28T02:30";
  assert.equal(fire(form, "submit").defaultPrevented, true);
  const said =
    "There is no 02:30 on 2032-03-28 in Europe/Berlin, where clocks are put forward then. Give 01:30 or 03:30.";
  assert.equal(find("[data-problem]").textContent, said);
  assert.equal(find("[data-problems] a").textContent, said);
});
