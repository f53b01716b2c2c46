/*
 * Rows of conditions: a value as text and back, what an operator takes, rows that come and go. A row's fields are read
 * by document-form.js; its value is of the type `condition`, and arrives as JSON in a field with `data-json`.
 */
window.flagshipConditions = (() => {
  const $ = (selector, root) => root.querySelector(selector);
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
    value.placeholder =
      { list: "a, b, c", segments: "segment keys", number: "number", texts: "text, or several" }[takes] ?? "value";
  };

  const show = (row, value) => {
    const [text, kind] = toText(value, takesOf(row));
    $("[data-value]", row).value = text;
    $("[data-kind]", row).value = kind;
    fit(row);
  };
  const read = (row) => toValue($("[data-value]", row).value.trim(), takesOf(row), $("[data-kind]", row).value);
  window.flagshipDocument.types.condition = (input) => read(input.closest(".fs-condition"));

  // The first condition says "if", those after it say "and".
  const sayWords = (form) => {
    for (const list of form.querySelectorAll("[data-conditions]")) {
      list.querySelectorAll("[data-word]").forEach((word, index) => {
        word.textContent = index ? "and" : "if";
      });
    }
  };

  const add = (list) => {
    const copy = document.getElementById("condition-template").content.cloneNode(true);
    const row = $(".fs-condition", copy);
    list.append(copy);
    fit(row);
    return row;
  };

  // A button with data-add="condition" stands beside its list, in an element with data-condition-list.
  const begin = (form, changed) => {
    for (const input of form.querySelectorAll("[data-value][data-json]")) {
      show(input.closest(".fs-condition"), input.value ? JSON.parse(input.value) : undefined);
      delete input.dataset.json;
    }
    sayWords(form);
    form.addEventListener("input", ({ target }) => {
      if (target.matches("[data-operator], [data-kind]")) fit(target.closest(".fs-condition"));
    });
    form.addEventListener("click", ({ target }) => {
      const button = target.closest('[data-add="condition"], [data-remove="condition"]');
      if (!button) return;
      if (button.dataset.add) {
        const row = add($("[data-conditions]", button.closest("[data-condition-list]")));
        $("[data-attribute]", row).focus();
      } else {
        button.closest("[data-item]").remove();
      }
      sayWords(form);
      changed();
    });
  };

  return { add, begin, fit, read, sayWords, show };
})();
