import assert from "node:assert/strict";
import { test } from "node:test";
import { fire, openPage } from "./page.mjs";

const PAGE = '<span class="fs-tip"><button>?</button><span role="tooltip">why</span></span><button id="next"></button>';

test("Escape closes the tip that is open, and it may open again once it was left", async () => {
  const { document, find } = await openPage(PAGE, ["results.js"]);
  find(".fs-tip button").focus();
  fire(document.body, "keydown", { key: "Enter" });
  assert.equal(find(".fs-tip").dataset.dismissed, undefined);
  fire(document.body, "keydown", { key: "Escape" });
  assert.equal(find(".fs-tip").dataset.dismissed, "");
  fire(find(".fs-tip button"), "focusin");
  assert.equal(find(".fs-tip").dataset.dismissed, "");
  fire(find("#next"), "focusin");
  assert.equal(find(".fs-tip").dataset.dismissed, undefined);
});
