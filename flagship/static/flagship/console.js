/* What every console page shares: copy buttons, forms that are sent once, and instants in the viewer's own zone, shown with UTC in the tooltip, typed with UTC below. */
(() => {
  const localTimes = (root) => {
    const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
    for (const element of root.querySelectorAll("time[datetime]")) {
      element.textContent = format.format(new Date(element.dateTime));
    }
  };

  // Instants that are typed: the server fills them in and reads them by UTC, or by the zone that is sent along.
  const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const MINUTE_MS = 60_000;
  const clock = (date) => {
    const two = (number) => String(number).padStart(2, "0");
    return `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
  };
  const utc = (date) => `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  // Where the clock is put back a time comes twice; the later one, or null.
  const second = (first) => {
    const offset = (ms) => new Date(ms).getTimezoneOffset();
    const later = new Date(+first + (offset(+first + 1440 * MINUTE_MS) - offset(+first)) * MINUTE_MS);
    return later > first && clock(later) === clock(first) ? later : null;
  };
  const sayInstant = (text, shown) => {
    const typed = new Date(text);
    if (!text || Number.isNaN(+typed)) return "";
    if (clock(typed) !== text) return "Your clock is put forward then, and skips this time.";
    const later = second(typed);
    if (!later) return utc(typed);
    const isSecond = shown && +new Date(shown) >= +later && clock(new Date(shown)) === text;
    return `${utc(isSecond ? later : typed)}: your clock shows this time twice, and the ${isSecond ? "second" : "first"} is meant.`;
  };
  // A typed instant as ISO text. One that nobody touched stays what the field was filled with, to the second.
  const readInstant = (input) => {
    const part = (name) => input.parentElement.querySelector(`[name="${input.name}_${name}"]`).value;
    const shown = part("shown");
    const isUtc = part("zone") === "UTC";
    const written = (date) => (isUtc ? date.toISOString().slice(0, 16) : clock(date));
    if (shown && written(new Date(shown)) === input.value) return shown;
    const instant = new Date(isUtc ? `${input.value}Z` : input.value);
    const gap = Date.parse(`${written(instant)}Z`) - Date.parse(`${input.value}Z`);
    if (gap) {
      const [day, time] = input.value.split("T");
      const times = [new Date(+instant - gap), instant].map((date) => written(date).slice(11));
      throw new Error(
        `There is no ${time} on ${day} in ${ZONE}, where clocks are put forward then. Give ${times.join(" or ")}.`,
      );
    }
    return instant.toISOString();
  };
  window.flagshipInstants = { read: readInstant };

  const typedInstants = () => {
    for (const input of document.querySelectorAll("input[data-instant]")) {
      const part = (name) => input.parentElement.querySelector(`[name="${input.name}_${name}"]`);
      const zone = part("zone");
      const shown = part("shown");
      if (shown.value) input.value = clock(new Date(shown.value));
      // What could not be read stays as it was typed, by the zone it was typed in.
      if (shown.value || !input.value) zone.value = ZONE;
      if (zone.value === "UTC") continue;
      const isMine = zone.value === ZONE;
      document.querySelector(`label[for="${input.id}"] [data-zone]`).textContent = isMine
        ? `your time, ${ZONE}`
        : zone.value;
      const said = document.getElementById(`${input.id}_utc`);
      const say = () => {
        said.textContent = isMine ? sayInstant(input.value, shown.value) : "";
      };
      input.addEventListener("input", say);
      say();
    }
  };

  // What was typed and not saved is asked about before the page is left. Cancel and Discard are meant.
  const EDITED = "#content form[method=post]:not([hx-post], #changelist-form, .fs-views form)";
  const WITHOUT_CONTENT = /^(try|plan)-/;
  let hasUnsaved = false;
  const noteEdit = ({ target }) => {
    if (target.closest(EDITED) && !WITHOUT_CONTENT.test(target.name ?? "")) hasUnsaved = true;
  };
  const ROW_BUTTONS =
    "[data-add], [data-remove], [data-move], [data-tree], [data-group-rows], [data-split-evenly], [data-serve-all]";
  const noteClick = ({ target }) => {
    const row = target.closest(ROW_BUTTONS);
    if (row?.closest(EDITED)) hasUnsaved = true;
    if (target.closest(`form[method=post] .fs-buttons a`)) hasUnsaved = false;
  };
  // A page that shows again what was refused holds it unsaved.
  const isRefused = () =>
    document.querySelector(
      "[data-form-problems], #conflict, [data-problems]:not([hidden]), form [name=confirmed][value]",
    ) !== null;
  const askToLeave = (event) => {
    if (hasUnsaved) event.preventDefault();
  };

  // What is wrong is said with its field, and the first of them has the keyboard.
  const wrongFields = () => {
    const first = document.querySelector("#content .fs-page > form [aria-invalid=true]:not([type=hidden])");
    first?.focus();
    first?.scrollIntoView({ block: "center" });
    document.querySelectorAll(".fs-field > .fs-error").forEach((said, index) => {
      const field = said.parentElement.querySelector("input:not([type=hidden]), select, textarea");
      if (!field) return;
      said.id ||= `error-${index}`;
      field.ariaInvalid = "true";
      field.setAttribute(
        "aria-describedby",
        [field.getAttribute("aria-describedby"), said.id].filter(Boolean).join(" "),
      );
      if (!index) field.focus();
    });
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
  // One that says something else than the last time announces it: other parts of the page may depend on it.
  const lastSaid = new WeakMap();
  const load = async (element) => {
    const { every, loaded } = element.dataset;
    try {
      const response = await fetch(element.dataset.load);
      const text = await response.text();
      // Redirected, it would be the page to sign in on.
      const isThere = response.ok && !response.redirected;
      if (isThere) {
        const isFirst = !lastSaid.has(element);
        // A part that is written again is read out again, so what is the same stays.
        if (isFirst || lastSaid.get(element) !== text) {
          element.innerHTML = text;
          localTimes(element);
          element.dispatchEvent(new Event("flagship:load", { bubbles: true }));
          if (!isFirst) element.dispatchEvent(new Event("flagship:news", { bubbles: true }));
          lastSaid.set(element, text);
        }
        if (loaded) sayLoaded(`${loaded} ${new Intl.DateTimeFormat(undefined, { timeStyle: "short" }).format()}.`);
        if (location.hash) element.querySelector(`[id="${CSS.escape(location.hash.slice(1))}"]`)?.scrollIntoView();
      } else if (!every) {
        sayMissing(element);
      }
    } catch {
      if (!every) sayMissing(element);
    }
    if (every) setTimeout(() => (document.hidden ? whenSeen(element) : load(element)), Number(every));
  };
  document.addEventListener("htmx:afterSettle", ({ target }) => localTimes(target));
  const sayLoaded = (text) => {
    const status = document.querySelector("[data-load-status]");
    if (status) status.textContent = text;
  };
  const sayMissing = (element) => {
    sayLoaded("");
    const said = document.createElement("p");
    said.className = "fs-banner fs-banner--bad";
    said.role = "alert";
    said.textContent = "This part of the page did not come. Load the page again to ask for it once more.";
    const waiting = element.querySelector("[data-waiting]");
    if (waiting) waiting.replaceWith(said);
    else element.replaceChildren(said);
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
    hasUnsaved = false;
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
  document.addEventListener("input", noteEdit);
  document.addEventListener("change", noteEdit);
  document.addEventListener("click", noteClick);
  window.addEventListener("beforeunload", askToLeave);
  // After every other listener, which may yet take the sending back.
  window.addEventListener("submit", sendOnce);
  window.addEventListener("pageshow", release);
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape") release();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
  // The way back leads to the list as this tab last saw it, filtered and searched, in the same environment.
  const keepLists = () => {
    const environmentOf = (address) => new URL(address, location.href).searchParams.get("environment");
    if (document.getElementById("changelist")) sessionStorage.setItem(`list:${location.pathname}`, location.href);
    for (const link of document.querySelectorAll("a[data-list]")) {
      const seen = sessionStorage.getItem(`list:${new URL(link.href).pathname}`);
      if (seen && environmentOf(seen) === environmentOf(link.href)) link.href = seen;
    }
  };

  // What only some choices have is neither shown nor sent with another one. What is wrong stays in view.
  const fieldsOfChoices = () => {
    for (const field of document.querySelectorAll("[data-choices]:enabled")) {
      const choice = field.form.elements[field.dataset.chosenBy];
      const show = () => {
        const isAsked = field.dataset.choices.split(" ").includes(choice.value);
        field.disabled = !isAsked;
        field.closest(".group").hidden = !isAsked;
      };
      choice.addEventListener("change", show);
      if (!field.closest(".errors")) show();
    }
  };

  const goBack = (button) => {
    button.hidden = history.length < 2;
    button.addEventListener("click", () => history.back());
  };
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-go-back]").forEach(goBack);
    keepLists();
    localTimes(document);
    typedInstants();
    fieldsOfChoices();
    // The browser has given up on it by now: the frame hides the page until its own script has run.
    document.querySelector("#content [autofocus]")?.focus();
    hasUnsaved = isRefused();
    wrongFields();
    for (const element of document.querySelectorAll("[data-load]")) load(element);
  });
})();
