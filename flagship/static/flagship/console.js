/* What every console page shares: copy buttons, forms that are sent once, and instants in the viewer's own zone with UTC in the tooltip. */
(() => {
  "use strict";

  const localTimes = (root) => {
    const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
    for (const element of root.querySelectorAll("time[datetime]")) {
      element.textContent = format.format(new Date(element.dateTime));
    }
  };

  const copy = async (button) => {
    const source = document.querySelector(button.dataset.copy);
    const status = document.querySelector("[data-copy-status]");
    try {
      await navigator.clipboard.writeText(source.textContent);
      if (status) status.textContent = "Copied.";
      button.textContent = "Copied";
    } catch {
      // No clipboard without HTTPS: select the text, so that one key copies it.
      getSelection().selectAllChildren(source);
      if (status) status.textContent = "Selected: copy it with Ctrl+C.";
    }
  };

  // Parts that come after the page, and those that are asked for again every so often while the page is looked at.
  const load = async (element) => {
    try {
      const response = await fetch(element.dataset.load);
      // Redirected, it would be the page to sign in on.
      if (response.ok && !response.redirected) {
        element.innerHTML = await response.text();
        localTimes(element);
      }
    } catch (error) {
      if (!element.dataset.every) throw error;
    }
    if (element.dataset.every) setTimeout(() => (document.hidden ? whenSeen(element) : load(element)), Number(element.dataset.every));
  };
  const whenSeen = (element) => document.addEventListener("visibilitychange", () => load(element), { once: true });

  // A form is sent once, however often it is pressed; what then takes long shows that it is being worked on.
  const SAID_AFTER_MS = 1000;
  const sendOnce = (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.hasAttribute("hx-post")) return;
    if (form.ariaBusy) {
      event.preventDefault();
      return;
    }
    form.ariaBusy = "true";
    form.sentTimer = setTimeout(() => {
      const bar = document.createElement("div");
      bar.className = "fs-progress fs-progress--unknown";
      bar.role = "progressbar";
      bar.ariaLabel = "Working on it";
      form.append(bar);
    }, SAID_AFTER_MS);
  };
  // Back from the next page, or stopped by Escape: the form may be sent again.
  const release = () => {
    for (const form of document.querySelectorAll("form[aria-busy]")) {
      form.ariaBusy = null;
      clearTimeout(form.sentTimer);
      form.querySelector(":scope > .fs-progress--unknown")?.remove();
    }
  };
  // After every other listener, which may yet take the sending back.
  window.addEventListener("submit", sendOnce);
  window.addEventListener("pageshow", release);
  window.addEventListener("keydown", (event) => { if (event.key === "Escape") release(); });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("DOMContentLoaded", () => {
    localTimes(document);
    for (const element of document.querySelectorAll("[data-load]")) load(element);
  });
})();
