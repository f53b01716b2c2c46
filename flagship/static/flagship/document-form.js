/*
 * A form whose fields hold one document. Each field says with `data-field` at which path of the document it stands,
 * and with `data-type` how its text is read. The form sends the document as JSON in one field named `document`.
 *
 * data-list="rules[].conditions"        the list is there, even with nothing in it
 * data-item="rules[].conditions[]"      an item of it; its index is its place on the page
 * data-field="rules[].conditions[].value" data-type="number"
 * data-field="secondaryMetrics[]"       a checkbox whose value is in the list when it is ticked
 * data-empty="omit|null"                what an empty field means, instead of an empty value
 * data-needs="percent"                  an item that is left out while its field of that name is empty
 * hidden                                whatever stands in a hidden element is left out
 */
window.flagshipDocument = (() => {
  const split = (text, by) =>
    text
      .split(by)
      .map((part) => part.trim())
      .filter(Boolean);

  // How a field's text is read. A type throws an Error that says what to type instead; undefined leaves the field out.
  const types = {
    text: ({ value }) => value.trim(),
    number: ({ value }) => {
      const number = Number(value.trim().replace(",", "."));
      if (!value.trim() || !Number.isFinite(number)) throw new Error(`“${value}” is no number; write it like 12.5.`);
      return number;
    },
    boolean: ({ checked }) => checked,
    list: ({ value }) => split(value, ","),
    lines: ({ value }) => split(value, "\n"),
    // The text of the chosen option, where values are the page's own.
    label: ({ selectedOptions: [option] }) => (!option || "omit" in option.dataset ? undefined : option.text),
    json: ({ value, dataset }) => {
      try {
        return JSON.parse(value);
      } catch (error) {
        throw new Error(dataset.remedy || `This is no JSON: ${error.message}.`);
      }
    },
  };

  const put = (document, path, value) => {
    const parts = path
      .split(/[.[\]]+/)
      .filter(Boolean)
      .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
    const last = parts.pop();
    let place = document;
    parts.forEach((part, index) => {
      place[part] ??= typeof (parts[index + 1] ?? last) === "number" ? [] : {};
      place = place[part];
    });
    place[last] = value;
    return place;
  };

  const isEmptyItem = (item) => {
    const { needs } = item.dataset;
    return Boolean(needs) && !item.querySelector(`[data-field$=".${needs}"]`)?.value.trim();
  };

  // Where each item stands in the document, by its place on the page.
  const itemsOf = (form) => {
    const items = new Map();
    const counts = new Map();
    for (const element of form.querySelectorAll("[data-item]")) {
      const around = element.parentElement.closest("[data-item]");
      if (element.closest("[hidden]") || isEmptyItem(element) || (around && !items.has(around))) continue;
      const list = pathOf(element.parentElement, element.dataset.item.slice(0, -2), items);
      const index = counts.get(list) ?? 0;
      counts.set(list, index + 1);
      items.set(element, `${list}[${index}]`);
    }
    return items;
  };

  // `rules[].name` inside the third rule is `rules[2].name`.
  const pathOf = (element, pattern, items) => {
    for (let item = element.closest("[data-item]"); item; item = item.parentElement.closest("[data-item]")) {
      const { item: prefix } = item.dataset;
      if (pattern.startsWith(`${prefix}.`)) return items.get(item) + pattern.slice(prefix.length);
    }
    return pattern;
  };

  const isLeftOut = (element, items) => {
    const item = element.closest("[data-item]");
    return Boolean(element.closest("[hidden]")) || (item !== null && !items.has(item));
  };

  const readField = (field, path) => {
    const { type = "text", empty } = field.dataset;
    if (empty && !field.value.trim()) return empty === "null" ? null : undefined;
    return types[type](field, path);
  };

  // The document, what cannot be read of it, and which element stands at which path.
  const collect = (form) => {
    const found = {};
    const problems = [];
    const places = new Map();
    const items = itemsOf(form);
    for (const [item, path] of items) {
      put(found, path, {});
      places.set(path, item);
    }
    for (const list of form.querySelectorAll("[data-list]")) {
      if (isLeftOut(list, items)) continue;
      const path = pathOf(list, list.dataset.list, items);
      if (!valueAt(found, path)) put(found, path, []);
      places.set(path, list);
    }
    for (const field of form.querySelectorAll("[data-field]")) {
      if (isLeftOut(field, items)) continue;
      const path = pathOf(field, field.dataset.field, items);
      if (path.endsWith("[]")) {
        const list = path.slice(0, -2);
        if (!places.has(list)) put(found, list, []);
        places.set(list, places.get(list) ?? field);
        if (field.checked) put(found, list, [...valueAt(found, list), field.value]);
        continue;
      }
      places.set(path, field);
      try {
        const value = readField(field, path);
        if (value !== undefined) put(found, path, value);
      } catch (error) {
        problems.push({ path: error.path ?? path, detail: error.message });
      }
    }
    for (const element of form.querySelectorAll("[data-path]:not(li)")) places.set(element.dataset.path, element);
    return { document: found, problems, places };
  };
  const valueAt = (document, path) =>
    path
      .split(/[.[\]]+/)
      .filter(Boolean)
      .reduce((value, part) => value?.[part], document);

  const TYPED = "input:not([type=hidden], [type=range]), select, textarea";
  const isSeen = (element) => element.matches(TYPED) && !element.closest("[hidden]");
  // The field at a path, or the nearest around it: of what was sent as a whole, its first field.
  const fieldAt = (places, path) => {
    for (let at = path; at; at = at.replace(/(\.?[^.[\]]+|\[\d+\])$/, "")) {
      const place = places.get(at);
      if (!place) continue;
      if (isSeen(place)) return place;
      const inside = place.matches(TYPED) ? place.closest("[data-item]") : place;
      const found = [...(inside?.querySelectorAll(TYPED) ?? [])].find(isSeen);
      if (found) return found;
    }
    return null;
  };

  // What else describes a field, such as its help text, stays.
  const forget = (form) => {
    const problems = [...form.querySelectorAll("[data-problem]")];
    const ids = new Set(problems.map(({ id }) => id));
    for (const field of form.querySelectorAll("[aria-invalid=true]")) {
      field.removeAttribute("aria-invalid");
      const others = split(field.getAttribute("aria-describedby") ?? "", " ").filter((id) => !ids.has(id));
      if (others.length) field.setAttribute("aria-describedby", others.join(" "));
      else field.removeAttribute("aria-describedby");
    }
    for (const said of problems) said.remove();
  };

  let serial = 0;
  const mark = (field, detail) => {
    const said = document.createElement("p");
    said.className = "fs-error";
    said.id = `problem-${serial++}`;
    said.dataset.problem = "";
    said.textContent = detail;
    (field.closest("[data-item], .fs-field") ?? field.parentElement).append(said);
    field.ariaInvalid = "true";
    field.setAttribute("aria-describedby", [field.getAttribute("aria-describedby"), said.id].filter(Boolean).join(" "));
    for (let details = field.closest("details"); details; details = details.parentElement.closest("details")) {
      details.open = true;
    }
    field.id ||= `field-${serial++}`;
  };

  // Each problem beside its field, and all of them on top, with a link to each field; the first has the keyboard.
  const showProblems = (form, problems) => {
    forget(form);
    const { places } = collect(form);
    const summary = document.querySelector("[data-problems]");
    const lines = problems.map(({ path, detail }) => {
      const line = document.createElement("li");
      const field = path ? fieldAt(places, path) : null;
      if (!field) {
        line.textContent = detail;
        return { line };
      }
      mark(field, detail);
      const link = document.createElement("a");
      link.href = `#${field.id}`;
      link.textContent = detail;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        field.focus();
      });
      line.append(link);
      return { line, field };
    });
    summary.querySelector("ul").replaceChildren(...lines.map(({ line }) => line));
    summary.hidden = !problems.length;
    const first = lines.find(({ field }) => field)?.field;
    first?.focus();
    // In the middle: at the edge the bar with the buttons would cover it.
    first?.scrollIntoView({ block: "center" });
  };

  // `prepare` may complete the document before it is sent.
  const begin = (form, prepare = () => {}) => {
    document.querySelector("[data-needs-script]")?.remove();
    const read = () => {
      const found = collect(form);
      prepare(found.document);
      return found;
    };
    form.addEventListener("formdata", ({ formData }) => formData.set("document", JSON.stringify(read().document)));
    form.addEventListener("submit", (event) => {
      const { problems } = read();
      if (!problems.length) return;
      event.preventDefault();
      showProblems(form, problems);
    });
    const told = [...document.querySelectorAll("[data-problems] li")];
    if (told.length) {
      const problems = told.map((line) => ({ path: line.dataset.path, detail: line.textContent }));
      showProblems(form, problems);
    }
    return read;
  };

  return { begin, types, showProblems };
})();
