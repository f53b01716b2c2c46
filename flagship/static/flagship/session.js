/* A form is sent only as the person whose page it is on: where they were signed out meanwhile it stays as it was typed. */
document.addEventListener("DOMContentLoaded", () => {
  const dialog = document.querySelector("[data-session]");
  if (!dialog) return;
  const PATIENCE_MS = 5000;
  const SAID = {
    out: [
      "You were signed out",
      "Nothing is saved yet, and nothing you typed is lost: it stays on this page. Sign in, come back, and send it again.",
    ],
    back: ["You are signed in again", "Nothing is saved yet. Look over what you typed, and send it again."],
    away: [
      "The server cannot be reached",
      "Nothing is sent, and nothing you typed is lost: it stays on this page. Try again in a moment.",
    ],
  };
  const part = (name) => dialog.querySelector(`[data-session-${name}]`);
  const tabs = new BroadcastChannel("flagship-session");

  const say = (kind, [title, text] = SAID[kind]) => {
    part("title").textContent = title;
    part("text").textContent = text;
    part("sign-in").hidden = kind !== "out";
    if (!dialog.open) dialog.showModal();
  };

  // Whether forms may go: true, false once it was said why not, or null where the server's own answer will tell.
  const ask = async () => {
    let now;
    try {
      const answer = await fetch(dialog.dataset.session, {
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (!answer.ok) return null;
      now = await answer.json();
    } catch (error) {
      if (!(error instanceof TypeError)) return null;
      say("away");
      return false;
    }
    if (now.user === dialog.dataset.user) {
      // Signing in again made another token; the forms of this page had the one before.
      for (const field of document.querySelectorAll("input[name=csrfmiddlewaretoken]")) field.value = now.csrfToken;
      return true;
    }
    if (now.user === null) say("out");
    else
      say("else", [
        "Somebody else is signed in",
        `In this browser ${now.name} is signed in by now, and this page is not theirs. Nothing is sent. To save what you typed, sign in as yourself in another tab, come back, and send it again.`,
      ]);
    return false;
  };

  const asked = new WeakSet();
  const passed = new WeakSet();
  // Before every other listener, which then hear of it once, and only of a form that goes.
  const askFirst = async (event) => {
    const { target: form, submitter } = event;
    const isOurs = form.getAttribute("method") === "post" && !form.hasAttribute("hx-post") && form.closest("#content");
    if (!isOurs || passed.has(form)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (asked.has(form)) return;
    asked.add(form);
    const mayGo = await ask();
    asked.delete(form);
    if (mayGo === false) return;
    passed.add(form);
    form.requestSubmit(submitter?.form === form ? submitter : null);
    passed.delete(form);
  };
  window.addEventListener("submit", askFirst, { capture: true });

  // Long acts send their parts by themselves; signed out they would be answered by the page to sign in on.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (new URL(event.detail.xhr.responseURL).pathname !== new URL(part("sign-in").href).pathname) return;
    event.detail.shouldSwap = false;
    say("out");
  });

  // Signed in elsewhere, in another tab of this browser.
  const askAgain = async () => {
    if (dialog.open && (await ask())) say("back");
  };
  tabs.addEventListener("message", askAgain);
  window.addEventListener("focus", askAgain);
  part("close").addEventListener("click", () => dialog.close());

  tabs.postMessage("");
  if (document.querySelector("[data-signed-in]") && window.opener) window.close();
});
