import assert from "node:assert/strict";
import { test } from "node:test";
import { fire, openPage, settled } from "./page.mjs";

const PAGE = `
  <dialog data-session="/admin/session" data-user="7">
    <h2 data-session-title></h2><p data-session-text></p>
    <a data-session-sign-in href="/admin/login/">Sign in</a><button data-session-close></button>
  </dialog>
  <div id="content"><form method="post"><input name="csrfmiddlewaretoken" value="old"><button>Save</button></form></div>
  <form id="outside" method="post"></form>`;

async function submitted(answer, form = "#content form") {
  const page = await openPage(PAGE, ["session.js"], { answers: { "/admin/session": answer } });
  const sent = [];
  page.window.HTMLFormElement.prototype.requestSubmit = function requestSubmit() {
    sent.push(this);
  };
  const event = fire(page.find(form), "submit", { submitter: null });
  await settled();
  return { ...page, sent, event, title: page.find("[data-session-title]").textContent };
}

test("a form goes as whoever its page is of, with the token of now", async () => {
  const { sent, event, find } = await submitted({ user: "7", csrfToken: "new" });
  assert.equal(sent.length, 1);
  assert.ok(event.defaultPrevented);
  assert.equal(find("input").value, "new");
  assert.equal(find("dialog").open, false);
});

test("signed out, the form stays and it is said", async () => {
  const { sent, title, find } = await submitted({ user: null });
  assert.equal(sent.length, 0);
  assert.equal(title, "You were signed out");
  assert.equal(find("[data-session-sign-in]").hidden, false);
});

test("somebody else signed in, the form stays and they are named", async () => {
  const { sent, find } = await submitted({ user: "8", name: "Bob" });
  assert.equal(sent.length, 0);
  assert.match(find("[data-session-text]").textContent, /Bob is signed in/);
  assert.equal(find("[data-session-sign-in]").hidden, true);
});

test("a server that fails lets the form go: its own answer will tell", async () => {
  const { sent } = await submitted(() => new Response("", { status: 500 }));
  assert.equal(sent.length, 1);
});

test("a server that cannot be reached keeps the form", async () => {
  const { sent, title } = await submitted(undefined);
  assert.equal(sent.length, 0);
  assert.equal(title, "The server cannot be reached");
});

test("forms outside the page's content are left alone", async () => {
  const { event, asked } = await submitted({ user: "7" }, "#outside");
  assert.equal(event.defaultPrevented, false);
  assert.deepEqual(asked, []);
});

test("a long act that is answered by the page to sign in on is not swapped in", async () => {
  const { document, find } = await openPage(PAGE, ["session.js"], {});
  const detail = { xhr: { responseURL: "https://flags.example/admin/login/?next=/" }, shouldSwap: true };
  fire(document, "htmx:beforeSwap", { detail });
  assert.equal(detail.shouldSwap, false);
  assert.ok(find("dialog").open);
});
