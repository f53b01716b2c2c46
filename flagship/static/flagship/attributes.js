/* Conditions that know the attributes: names and values seen lately are offered, and comparisons that fit their type. */
(() => {
  const begin = (form) => {
    const names = document.getElementById("attribute-names");
    const KINDS = { text: "text", number: "number", yesno: "yesno", version: "text", moment: "text" };
    let known = {};

    const row = (element) => element.closest?.(".fs-condition");
    const part = (condition, name) => condition.querySelector(`[data-${name}]`);

    // A comparison that says nothing about the attribute's type is out of the list, unless it is the one chosen.
    const fitOperators = (condition) => {
      const kind = known[part(condition, "attribute").value]?.kind;
      for (const option of part(condition, "operator").options) {
        const fits = option.dataset.fits;
        const isOut = Boolean(kind && fits) && !fits.split(" ").includes(kind) && !option.selected;
        option.hidden = isOut;
        option.disabled = isOut;
      }
    };

    const fitKind = (condition) => {
      const kind = KINDS[known[part(condition, "attribute").value]?.kind];
      if (kind && !part(condition, "value").value) part(condition, "kind").value = kind;
    };

    const segments = [...document.querySelectorAll("#segment-keys option")].map((option) => option.value);
    const options = document.createElement("datalist");
    options.id = "attribute-values";
    document.body.append(options);

    // A datalist replaces all that is typed, so where several values may stand, those before the last comma stay.
    const suggest = (input) => {
      const condition = row(input);
      const takes = part(condition, "operator").selectedOptions[0]?.dataset.takes;
      const values = takes === "segments" ? segments : (known[part(condition, "attribute").value]?.values ?? []);
      const before = ["list", "texts", "segments"].includes(takes)
        ? input.value.slice(0, input.value.lastIndexOf(",") + 1)
        : "";
      const chosen = before.split(",").map((text) => text.trim());
      const start = before ? `${before.trim()} ` : "";
      const offered = values
        .filter((value) => !chosen.includes(value))
        .map((value) => new Option(start + value, start + value));
      options.replaceChildren(...offered);
      input.setAttribute("list", options.id);
    };

    // Names of attributes themselves, separated by commas; nobody shares a userId.
    const listed = document.createElement("datalist");
    listed.id = "attribute-list";
    document.body.append(listed);
    const suggestNames = (input) => {
      const typed = input.value.slice(0, input.value.lastIndexOf(",") + 1);
      const chosen = typed.split(",").map((text) => text.trim());
      const start = typed ? `${typed.trim()} ` : "";
      const offered = [...names.options]
        .map((option) => option.value)
        .filter((name) => name !== "userId" && !chosen.includes(name));
      listed.replaceChildren(...offered.map((name) => new Option(start + name, start + name)));
      input.setAttribute("list", listed.id);
    };

    form.addEventListener("focusin", ({ target }) => {
      if (target.matches("[data-attribute-names]")) suggestNames(target);
      if (target.matches("[data-operator]")) fitOperators(row(target));
      if (target.matches("[data-value]") && row(target)) suggest(target);
    });
    form.addEventListener("input", ({ target }) => {
      if (target.matches("[data-attribute-names]")) suggestNames(target);
      if (target.matches("[data-attribute]")) {
        fitKind(row(target));
        fitOperators(row(target));
      } else if (target.matches("[data-value]") && row(target)) {
        suggest(target);
      }
    });

    const start = async () => {
      try {
        const response = await fetch(form.dataset.attributesUrl);
        if (!response.ok) return;
        known = await response.json();
      } catch {
        return; // Without suggestions everything can still be typed.
      }
      const there = new Set([...names.options].map((option) => option.value));
      names.append(
        ...Object.keys(known)
          .filter((name) => !there.has(name))
          .sort()
          .map((name) => new Option("", name)),
      );
      form.dataset.attributesKnown = "";
    };
    start();
  };

  // The form may come after the page, with the part it is in.
  const form = document.querySelector("form[data-attributes-url]");
  if (form) begin(form);
  else {
    document.addEventListener("flagship:load", ({ target }) => {
      const later = target.querySelector("form[data-attributes-url]");
      if (later) begin(later);
    });
  }
})();
