/* Search everywhere: Ctrl-K opens it, arrows choose, Enter goes there, Escape closes. */
document.addEventListener("DOMContentLoaded", () => {
  const dialog = document.querySelector("[data-search]");
  if (!dialog) return;
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("[role=listbox]");
  const note = dialog.querySelector("[role=status]");
  let options = [];
  let chosen = -1;
  let asked = new AbortController();
  let timer;

  const choose = (index) => {
    if (options[chosen]) options[chosen].setAttribute("aria-selected", "false");
    chosen = options.length ? (index + options.length) % options.length : -1;
    const option = options[chosen];
    if (!option) return input.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  };

  const element = (name, className, text) => {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  };

  const option = (hit, index) => {
    const made = element("a", "fs-hit", "");
    made.href = hit.url;
    made.id = `hit-${index}`;
    made.tabIndex = -1;
    made.setAttribute("role", "option");
    made.setAttribute("aria-selected", "false");
    const icon = element("span", "material-symbols-outlined", hit.icon);
    icon.setAttribute("aria-hidden", "true");
    made.append(icon, element("span", "fs-hit__title", hit.title), element("span", "fs-hit__detail", hit.detail));
    return made;
  };

  const show = (hits) => {
    const groups = new Map();
    options = hits.map((hit, index) => {
      if (!groups.has(hit.kind)) {
        const group = element("div", "fs-hits", "");
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", hit.kind);
        const title = element("div", "fs-hits__title", hit.kind);
        title.setAttribute("aria-hidden", "true");
        group.append(title);
        groups.set(hit.kind, group);
      }
      const made = option(hit, index);
      groups.get(hit.kind).append(made);
      return made;
    });
    list.replaceChildren(...groups.values());
    input.setAttribute("aria-expanded", String(options.length > 0));
    note.textContent = options.length ? `${options.length} found` : "Nothing by that name here.";
    choose(0);
  };

  const search = async () => {
    asked.abort();
    asked = new AbortController();
    try {
      const address = new URL(dialog.dataset.search, location.href);
      address.searchParams.set("q", input.value);
      const response = await fetch(address, { signal: asked.signal });
      if (!response.ok || response.redirected) throw new Error(response.statusText);
      show((await response.json()).results);
    } catch (error) {
      if (error.name !== "AbortError") note.textContent = "The search does not answer. Load the page again.";
    }
  };

  const open = () => {
    if (dialog.open) return;
    dialog.showModal();
    input.value = "";
    search();
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 120);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter" && options[chosen]) {
      if (event.ctrlKey || event.metaKey) window.open(options[chosen].href, "_blank", "noopener");
      else location.assign(options[chosen].href);
    } else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-search-open]")) open();
  });
});
