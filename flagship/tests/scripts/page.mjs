// A page for a script of the console: jsdom, what jsdom lacks of a browser, and a server that answers as a test says.
import { readFile } from "node:fs/promises";
import { JSDOM, VirtualConsole } from "jsdom";

const SCRIPTS = new URL("../../static/flagship/", import.meta.url);

/** Opens a page with the scripts run in it; `answers` maps a path to a body, or to a function that gives a Response. */
export async function openPage(html, scripts, { answers = {}, url = "https://flags.example/admin/" } = {}) {
  const errors = [];
  const virtualConsole = new VirtualConsole();
  virtualConsole.on("jsdomError", (error) => errors.push(error));
  const dom = new JSDOM(`<!doctype html><body>${html}</body>`, { url, runScripts: "outside-only", virtualConsole });
  const { window } = dom;
  const asked = [];
  window.HTMLElement.prototype.scrollIntoView = () => {};
  window.HTMLDialogElement.prototype.showModal = function showModal() {
    this.open = true;
  };
  window.HTMLDialogElement.prototype.close = function close() {
    this.open = false;
  };
  window.BroadcastChannel = class extends window.EventTarget {
    postMessage() {}
  };
  window.fetch = async (address, options = {}) => {
    const { pathname, search } = new URL(address, url);
    asked.push({ path: pathname + search, options });
    const answer = answers[pathname];
    if (answer === undefined) throw new window.TypeError("nothing answers");
    const given = typeof answer === "function" ? await answer({ path: pathname + search, options }) : answer;
    if (given instanceof Response) return given;
    return new Response(typeof given === "string" ? given : JSON.stringify(given));
  };
  for (const name of scripts) window.eval(await readFile(new URL(name, SCRIPTS), "utf8"));
  window.document.dispatchEvent(new window.Event("DOMContentLoaded", { bubbles: true }));
  await settled();
  return {
    window,
    document: window.document,
    asked,
    errors,
    find: (selector) => window.document.querySelector(selector),
  };
}

/** Until promises that wait for an answer have gone on. */
export async function settled(ms = 0) {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setTimeout(resolve, ms));
}

export function fire(element, type, properties = {}) {
  const { defaultView } = element.ownerDocument ?? element;
  const event = new defaultView.Event(type, { bubbles: true, cancelable: true });
  element.dispatchEvent(Object.assign(event, properties));
  return event;
}
