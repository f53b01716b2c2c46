/* A segment's conditions as nested groups; the JSON below them is what is sent, read once and written on each change. */
(() => {
  const form = document.getElementById("segment-form");
  if (!form) return;
  const holder = document.getElementById("tree");
  const json = document.getElementById("id_conditions");
  const $ = (selector, root) => root.querySelector(selector);
  const copyOf = (name) => document.getElementById(name).content.firstElementChild.cloneNode(true);
  const takesOf = (row) => $("[data-operator]", row).selectedOptions[0]?.dataset.takes;

  // From a stored value to text and back, each way exact: 10 is not "10". What text cannot say stands as JSON.
  const scalar = (text, kind) => {
    if (kind === "number") {
      const number = text.trim() === "" ? NaN : Number(text);
      if (!Number.isFinite(number)) throw new Error(`“${text}” is no number; write it like 18 or 2.5.`);
      return number;
    }
    if (kind === "yesno") {
      const said = text.trim().toLowerCase();
      if (["yes", "true"].includes(said)) return true;
      if (["no", "false"].includes(said)) return false;
      throw new Error("Write yes or no.");
    }
    return text;
  };
  const split = (text) =>
    text
      .split(/[,\n]/)
      .map((part) => part.trim())
      .filter(Boolean);
  const toValue = (text, takes, kind) => {
    if (kind === "json") {
      try {
        return JSON.parse(text);
      } catch {
        throw new Error('Give JSON, for example ["a", "b"].');
      }
    }
    if (takes === "list" || takes === "segments")
      return split(text).map((part) => scalar(part, takes === "list" ? kind : "text"));
    if (takes === "texts") return split(text).length > 1 ? split(text) : text;
    return scalar(text, takes === "number" ? "number" : takes === "text" ? "text" : kind);
  };
  const kindOf = (value) => (typeof value === "boolean" ? "yesno" : typeof value === "number" ? "number" : "text");
  const textOf = (value) => (typeof value === "boolean" ? (value ? "yes" : "no") : String(value));
  const toText = (value, takes) => {
    const isList = Array.isArray(value) && value.length > 0;
    const text = isList ? value.map(textOf).join(", ") : value === undefined || value === null ? "" : textOf(value);
    const kind = isList ? kindOf(value[0]) : kindOf(value);
    try {
      if (text === text.trim() && JSON.stringify(toValue(text, takes, kind)) === JSON.stringify(value))
        return [text, kind];
    } catch {
      /* JSON says it instead */
    }
    return value === undefined ? ["", "text"] : [JSON.stringify(value), "json"];
  };

  const fit = (row) => {
    const takes = takesOf(row);
    const [attribute, value, kind] = ["attribute", "value", "kind"].map((name) => $(`[data-${name}]`, row));
    attribute.hidden = takes === "segments";
    value.hidden = takes === "nothing";
    kind.hidden = !["scalar", "list"].includes(takes) && kind.value !== "json";
    value.placeholder = { list: "a, b, c", segments: "segment keys", number: "number" }[takes] ?? "value";
  };

  const drawCondition = (node) => {
    const row = copyOf("tree-condition-template");
    $("[data-attribute]", row).value = node.attribute ?? "";
    $("[data-operator]", row).value = node.operator ?? "equals";
    const [text, kind] = toText(node.value, takesOf(row));
    $("[data-value]", row).value = text;
    $("[data-kind]", row).value = kind;
    fit(row);
    return row;
  };
  const groupIn = (node) => ["all", "any"].find((name) => Array.isArray(node[name]));
  const drawGroup = (kind, items, isRoot) => {
    const group = copyOf("group-template");
    $("[data-group-kind]", group).value = kind;
    $("[data-tree=remove]", group).hidden = isRoot;
    $("[data-items]", group).append(...items.map((item) => draw(item)));
    return group;
  };
  const draw = (node, isRoot = false) => {
    if (groupIn(node)) return drawGroup(groupIn(node), node[groupIn(node)], isRoot);
    const inner = node.not;
    if (inner)
      return groupIn(inner)
        ? drawGroup(`not-${groupIn(inner)}`, inner[groupIn(inner)], isRoot)
        : drawGroup("not-all", [inner], isRoot);
    return isRoot ? drawGroup("all", [node], true) : drawCondition(node);
  };

  const readCondition = (row) => {
    const takes = takesOf(row);
    const input = $("[data-value]", row);
    const node = { operator: $("[data-operator]", row).value };
    if (takes !== "segments") node.attribute = $("[data-attribute]", row).value.trim();
    input.setCustomValidity("");
    input.removeAttribute("aria-invalid");
    if (takes === "nothing") return node;
    try {
      node.value = toValue(input.value, takes, $("[data-kind]", row).value);
    } catch (error) {
      input.setCustomValidity(error.message);
      input.setAttribute("aria-invalid", "true");
      node.value = input.value;
    }
    return node;
  };
  const read = (element) => {
    if (!element.matches("[data-group]")) return readCondition(element);
    const kind = $("[data-group-kind]", element).value;
    const items = [...$("[data-items]", element).children].map(read);
    return kind.startsWith("not-") ? { not: { [kind.slice(4)]: items } } : { [kind]: items };
  };

  const redraw = () => {
    let tree = null;
    try {
      tree = json.value.trim() ? JSON.parse(json.value) : null;
    } catch {
      return;
    }
    holder.replaceChildren(draw(tree && typeof tree === "object" ? tree : { all: [] }, true));
  };
  const write = () => {
    const root = holder.firstElementChild;
    const isEmpty = $("[data-items]", root).children.length === 0;
    json.value = isEmpty ? "" : JSON.stringify(read(root), null, 2);
  };

  let timer = 0;
  let request = null;
  const fields = form.querySelector("fieldset");
  const preview = async () => {
    request?.abort();
    request = new AbortController();
    const wasDisabled = fields.disabled;
    fields.disabled = false;
    const body = new FormData(form);
    fields.disabled = wasDisabled;
    try {
      const response = await fetch(form.dataset.previewUrl, { method: "POST", body, signal: request.signal });
      if (response.ok) document.getElementById("preview").innerHTML = await response.text();
    } catch (error) {
      if (error.name !== "AbortError")
        document.getElementById("preview").textContent = "The server cannot be reached at present.";
    }
  };
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(preview, 250);
  };

  holder.addEventListener("click", (event) => {
    const button = event.target.closest("[data-tree]");
    if (!button) return;
    const group = button.closest("[data-group]");
    if (button.dataset.tree === "remove") {
      const row = button.closest(".fs-condition") ?? group;
      const around = row.parentElement.closest("[data-group]");
      row.remove();
      $("[data-tree=condition]", around)?.focus();
    } else {
      const made = button.dataset.tree === "group" ? drawGroup("any", [{}], false) : drawCondition({});
      $("[data-items]", group).append(made);
      $("[data-attribute]", made).focus();
    }
    write();
    changed();
  });
  holder.addEventListener("input", (event) => {
    const row = event.target.closest(".fs-condition");
    if (row && event.target.matches("[data-operator]")) fit(row);
    write();
    changed();
  });
  json.addEventListener("change", redraw);
  form.addEventListener("input", (event) => {
    if (!holder.contains(event.target) && event.target.name !== "reason") changed();
  });
  form.addEventListener("submit", (event) => {
    const wrong = [...holder.querySelectorAll("[data-value]")].find((input) => !input.hidden && !input.validity.valid);
    if (!wrong) return;
    event.preventDefault();
    wrong.reportValidity();
  });

  redraw();
  preview();
})();
