import assert from "node:assert/strict";
import { test } from "node:test";
import { fire, openPage, settled } from "./page.mjs";

const PAGE = `
  <button data-search-open>Search</button>
  <dialog data-search="/admin/search"><input><div role="listbox"></div><p role="status"></p></dialog>`;
const HITS = [
  { kind: "Flags", icon: "flag", title: "new-checkout", detail: "on", url: "/admin/flag/1" },
  { kind: "Flags", icon: "flag", title: "<b>old</b>", detail: "", url: "/admin/flag/2" },
  { kind: "Pages", icon: "home", title: "Home", detail: "", url: "/admin/" },
];

async function opened(answer = { results: HITS }) {
  const page = await openPage(PAGE, ["search.js"], { answers: { "/admin/search": answer } });
  fire(page.find("[data-search-open]"), "click");
  await settled();
  return page;
}

test("Ctrl-K opens the search, and it asks for everything first", async () => {
  const page = await openPage(PAGE, ["search.js"], { answers: { "/admin/search": { results: [] } } });
  const event = fire(page.document, "keydown", { key: "K", ctrlKey: true });
  await settled();
  assert.ok(page.find("dialog").open);
  assert.ok(event.defaultPrevented);
  assert.deepEqual(
    page.asked.map(({ path }) => path),
    ["/admin/search?q="],
  );
  assert.equal(page.find("[role=status]").textContent, "Nothing by that name here.");
});

test("hits stand in groups by kind, the first one chosen, and their texts are texts", async () => {
  const { document, find } = await opened();
  assert.deepEqual(
    [...document.querySelectorAll("[role=group]")].map((group) => group.getAttribute("aria-label")),
    ["Flags", "Pages"],
  );
  assert.equal(find("[aria-selected=true]").id, "hit-0");
  assert.equal(document.querySelectorAll(".fs-hit__title")[1].textContent, "<b>old</b>");
  assert.equal(find("b"), null);
  assert.equal(find("[role=status]").textContent, "3 found");
});

test("arrows go around, and the input names the chosen hit", async () => {
  const { find } = await opened();
  fire(find("input"), "keydown", { key: "ArrowUp" });
  assert.equal(find("input").getAttribute("aria-activedescendant"), "hit-2");
  fire(find("input"), "keydown", { key: "ArrowDown" });
  assert.equal(find("input").getAttribute("aria-activedescendant"), "hit-0");
});

test("what is typed is asked for once the typing pauses", async () => {
  const page = await opened();
  for (const text of ["c", "ch", "ch&k"]) {
    page.find("input").value = text;
    fire(page.find("input"), "input");
  }
  await settled(60);
  assert.deepEqual(
    page.asked.map(({ path }) => path),
    ["/admin/search?q=", "/admin/search?q=ch%26k"],
  );
});

test("an answer that fails is said", async () => {
  const { find } = await opened(() => new Response("", { status: 500 }));
  assert.match(find("[role=status]").textContent, /does not answer/);
});
