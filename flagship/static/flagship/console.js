/* What every console page shares: copy buttons, and instants in the viewer's own zone with UTC in the tooltip. */
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

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("DOMContentLoaded", () => localTimes(document));
})();
