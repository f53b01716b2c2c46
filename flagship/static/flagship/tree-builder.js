/*
 * Conditions as nested groups. An editor (`data-tree-editor`) has its groups in `data-tree-root` and the same tree as JSON
 * in a field of the type `tree`, which is what is sent: read once, and written on each change.
 */
window.flagshipTrees = (() => {
  const $ = (selector, root) => root.querySelector(selector);
  const copyOf = (name) => document.getElementById(`${name}-template`).content.firstElementChild.cloneNode(true);
  const { fit, read: readValue, show } = window.flagshipConditions;
  const jsonOf = (editor) => $("[data-type=tree]", editor);
  const rootOf = (editor) => $("[data-tree-root]", editor).firstElementChild;

  const drawCondition = (node) => {
    const row = copyOf("tree-condition");
    $("[data-attribute]", row).value = node.attribute ?? "";
    $("[data-operator]", row).value = node.operator ?? "equals";
    show(row, node.value);
    return row;
  };
  const groupIn = (node) => ["all", "any"].find((name) => Array.isArray(node[name]));
  // `isBare`: the one item stands alone in the document, without a group around it. While it is alone it stays so.
  const drawGroup = (kind, items, isRoot, isBare = false) => {
    const group = copyOf("group");
    if (isBare) group.dataset.bare = "";
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
        : drawGroup("not-all", [inner], isRoot, true);
    return isRoot ? drawGroup("all", [node], true, true) : drawCondition(node);
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
    const around = not ? `${path}.not` : path;
    const rows = [...$("[data-items]", element).children];
    const isBare = "bare" in element.dataset && kind === "all" && rows.length === 1;
    const inner = isBare
      ? read(rows[0], around)
      : { [kind]: rows.map((row, index) => read(row, `${around}.${kind}[${index}]`)) };
    return not ? { not: inner } : inner;
  };
  window.flagshipDocument.types.tree = (field, path) => {
    const editor = field.closest("[data-tree-editor]");
    if (rootOf(editor)) read(rootOf(editor), path);
    const wrong = [...editor.querySelectorAll("[data-unreadable]")].find((input) => !input.hidden);
    if (wrong) throw Object.assign(new Error(wrong.dataset.unreadable), { path: wrong.dataset.path });
    return window.flagshipDocument.types.json(field);
  };

  const redraw = (editor) => {
    const { value } = jsonOf(editor);
    let tree = null;
    try {
      tree = value.trim() ? JSON.parse(value) : null;
    } catch {
      return;
    }
    const isTree = tree !== null && typeof tree === "object";
    const root = draw(isTree ? (Array.isArray(tree) ? { all: tree } : tree) : { all: [] }, true);
    // A group without conditions says something: all of none hold. It stays until a condition comes or goes.
    if (isTree) root.dataset.kept = "";
    $("[data-tree-root]", editor).replaceChildren(root);
  };
  const write = (editor) => {
    const root = rootOf(editor);
    const isEmpty = !("kept" in root.dataset) && $("[data-items]", root).children.length === 0;
    jsonOf(editor).value = isEmpty ? "" : JSON.stringify(read(root, jsonOf(editor).dataset.field), null, 2);
  };
  const start = (editor) => {
    redraw(editor);
    if (rootOf(editor)) write(editor);
  };

  // A form hears of a change as it hears of what is typed.
  const tell = (editor) => jsonOf(editor).dispatchEvent(new Event("input", { bubbles: true }));

  const act = (button) => {
    const editor = button.closest("[data-tree-editor]");
    const group = button.closest("[data-group]");
    delete rootOf(editor).dataset.kept;
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
    write(editor);
    tell(editor);
  };

  // Rows that must all hold become the first group of a tree.
  const group = (button) => {
    const rows = button.closest("[data-condition-list]");
    const all = [...rows.querySelectorAll(".fs-condition")].map((row) => readCondition(row, ""));
    const editor = copyOf("tree");
    jsonOf(editor).value = JSON.stringify({ all });
    rows.replaceWith(editor);
    start(editor);
    $("[data-group-kind]", editor).focus();
    tell(editor);
  };

  const begin = (form) => {
    for (const editor of form.querySelectorAll("[data-tree-editor]")) start(editor);
    form.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-tree-editor] [data-tree], [data-group-rows]");
      if (!button) return;
      if (button.matches("[data-group-rows]")) group(button);
      else act(button);
    });
    form.addEventListener("input", ({ target }) => {
      if (!target.closest("[data-tree-root]")) return;
      const row = target.closest(".fs-condition");
      if (row && target.matches("[data-operator]")) fit(row);
      write(target.closest("[data-tree-editor]"));
    });
    form.addEventListener("change", ({ target }) => {
      if (target.matches("[data-type=tree]")) redraw(target.closest("[data-tree-editor]"));
    });
  };

  return { begin };
})();
