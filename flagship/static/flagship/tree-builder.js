/* A segment's conditions as nested groups; the JSON below them is what is sent, read once and written on each change. */
(() => {
  const form = document.getElementById("segment-form");
  if (!form) return;
  const holder = document.getElementById("tree");
  const json = document.getElementById("id_conditions");
  const $ = (selector, root) => root.querySelector(selector);
  const copyOf = (name) => document.getElementById(name).content.firstElementChild.cloneNode(true);
  const { fit, read: readValue, show } = window.flagshipConditions;

  const drawCondition = (node) => {
    const row = copyOf("tree-condition-template");
    $("[data-attribute]", row).value = node.attribute ?? "";
    $("[data-operator]", row).value = node.operator ?? "equals";
    show(row, node.value);
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

  // Each field knows its path in the document, so that what is wrong with it can be said beside it.
  const readCondition = (row, path) => {
    const [operator, attribute, value] = ["operator", "attribute", "value"].map((name) => $(`[data-${name}]`, row));
    row.dataset.path = path;
    attribute.dataset.path = `${path}.attribute`;
    value.dataset.path = `${path}.value`;
    delete value.dataset.unreadable;
    value.removeAttribute("aria-invalid");
    const node = { operator: operator.value };
    if (!attribute.hidden) node.attribute = attribute.value.trim();
    if (value.hidden) return node;
    try {
      node.value = readValue(row);
    } catch (error) {
      value.dataset.unreadable = error.message;
      value.setAttribute("aria-invalid", "true");
      node.value = value.value;
    }
    return node;
  };
  const read = (element, path) => {
    if (!element.matches("[data-group]")) return readCondition(element, path);
    const [, not, kind] = $("[data-group-kind]", element).value.match(/^(not-)?(.+)$/);
    const inside = `${path}${not ? ".not" : ""}.${kind}`;
    const items = [...$("[data-items]", element).children].map((item, index) => read(item, `${inside}[${index}]`));
    return not ? { not: { [kind]: items } } : { [kind]: items };
  };
  window.flagshipDocument.types.tree = (field) => {
    const wrong = [...holder.querySelectorAll("[data-unreadable]")].find((input) => !input.hidden);
    if (wrong) throw Object.assign(new Error(wrong.dataset.unreadable), { path: wrong.dataset.path });
    return window.flagshipDocument.types.json(field);
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
    json.value = isEmpty ? "" : JSON.stringify(read(root, "conditions"), null, 2);
  };

  let changed = () => {};
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

  redraw();
  if (holder.firstElementChild) write();
  const prepare = (segment) => {
    segment.name ||= segment.key ?? form.elements.key.value;
  };
  changed = window.flagshipPreview(form, window.flagshipDocument.begin(form, prepare));
})();
