import assert from "node:assert/strict";
import { test } from "node:test";
import { fire, openPage, settled } from "./page.mjs";

// The zone that instants are shown in is this process's.
process.env.TZ = "Europe/Berlin";

const INSTANT = `
  <label for="id_from">From <span data-zone>UTC</span></label>
  <div><input id="id_from" name="from" data-instant><input name="from_zone" value="UTC"><input name="from_shown"></div>
  <p id="id_from_utc"></p>`;

async function typed(text, shown = "") {
  const page = await openPage(INSTANT.replace('name="from_shown"', `name="from_shown" value="${shown}"`), [
    "console.js",
  ]);
  if (text) {
    page.find("[data-instant]").value = text;
    fire(page.find("[data-instant]"), "input");
  }
  return page;
}

test("an instant that the server sent is shown by the viewer's clock", async () => {
  const { find } = await typed("", "2026-07-01T10:00:00Z");
  assert.equal(find("[data-instant]").value, "2026-07-01T12:00");
  assert.equal(find("[name=from_zone]").value, "Europe/Berlin");
  assert.equal(find("[data-zone]").textContent, "your time, Europe/Berlin");
  assert.equal(find("#id_from_utc").textContent, "2026-07-01 10:00 UTC");
});

test("a time that the clock skips is said, and one that comes twice too", async () => {
  const skipped = await typed("2026-03-29T02:30");
  assert.match(skipped.find("#id_from_utc").textContent, /skips this time/);
  const twice = await typed("2026-10-25T02:30");
  assert.match(twice.find("#id_from_utc").textContent, /^2026-10-25 00:30 UTC: .* the first is meant\.$/);
  const second = await typed("", "2026-10-25T01:30:00Z");
  assert.match(second.find("#id_from_utc").textContent, /^2026-10-25 01:30 UTC: .* the second is meant\.$/);
});

test("a form is sent once, and may be sent again after Escape", async () => {
  const { find, window } = await openPage("<form><button></button></form>", ["console.js"]);
  const send = () => fire(find("form"), "submit");
  assert.equal(send().defaultPrevented, false);
  assert.equal(send().defaultPrevented, true);
  fire(window.document.body, "keydown", { key: "Escape" });
  assert.equal(send().defaultPrevented, false);
});

test("a part that comes after the page is put in, and its arrival is told", async () => {
  const answers = { "/part": '<p>here</p><time datetime="2026-07-01T10:00:00Z"></time>' };
  const page = await openPage('<div data-load="/part"><i data-waiting></i></div>', ["console.js"], { answers });
  assert.equal(page.find("div p").textContent, "here");
  assert.match(page.find("time").textContent, /2026/);
});

test("a part that is asked for again tells when it says something else", async () => {
  const said = ["1", "1", "2", "2"];
  const answers = { "/part": () => said.shift() };
  const page = await openPage('<div data-load="/part" data-every="1"></div>', ["console.js"], { answers });
  let news = 0;
  page.document.addEventListener("flagship:news", () => {
    news += 1;
  });
  while (said.length) {
    // Nobody looks at this page: it asks once it is looked at.
    await settled(2);
    fire(page.document, "visibilitychange");
    await settled();
  }
  assert.equal(news, 1);
  page.window.close();
});

test("a part that does not come is said in its place", async () => {
  const page = await openPage('<div data-load="/gone"><i data-waiting></i></div>', ["console.js"]);
  await settled();
  assert.match(page.find(".fs-banner--bad").textContent, /did not come/);
  assert.equal(page.find("[data-waiting]"), null);
});

test("a field with an error is marked, described, and has the keyboard", async () => {
  const page = await openPage(
    '<div class="fs-field"><input id="a"><p class="fs-error">No.</p></div><div class="fs-field"><input id="b"></div>',
    ["console.js"],
  );
  assert.equal(page.find("#a").getAttribute("aria-describedby"), page.find(".fs-error").id);
  assert.equal(page.document.activeElement.id, "a");
  assert.equal(page.find("#b").getAttribute("aria-describedby"), null);
});

test("without a clipboard what was to be copied is selected", async () => {
  const page = await openPage(
    '<code id="key">fs_1</code><button data-copy="#key">Copy</button><p data-copy-status></p>',
    ["console.js"],
  );
  fire(page.find("button"), "click");
  await settled();
  assert.match(page.find("[data-copy-status]").textContent, /Ctrl\+C/);
  assert.equal(page.window.getSelection().toString(), "fs_1");
});

test("a field that the choice does not have is neither shown nor sent, unless it is wrong", async () => {
  const field = (name, wrong = "") =>
    `<div class="group ${wrong}"><input name="${name}" value="1" data-chosen-by="type" data-choices="ratio quantile"></div>`;
  const { find, window } = await openPage(
    `<form><select name="type"><option selected>binary</option><option>ratio</option></select>
      ${field("cap")}${field("level", "errors")}</form>`,
    ["console.js"],
  );
  const sent = () => [...new window.FormData(find("form")).keys()];
  assert.deepEqual([find("[name=cap]").closest(".group").hidden, sent()], [true, ["type", "level"]]);
  find("select").value = "ratio";
  fire(find("select"), "change");
  assert.deepEqual([find("[name=cap]").closest(".group").hidden, sent()], [false, ["type", "cap", "level"]]);
});
