/* The flag's form: variants, shares and rules that come and go, sliders beside numbers, and the preview beside it all. */
(() => {
  const form = document.getElementById("flag-form");
  if (!form) return;
  const $ = (selector, root = form) => root.querySelector(selector);
  const $$ = (selector, root = form) => [...root.querySelectorAll(selector)];
  let serial = 1000;

  // A template's copy, its placeholders replaced.
  const copyOf = (name, replacements) => {
    let html = document.getElementById(`${name}-template`).innerHTML;
    for (const [placeholder, value] of Object.entries(replacements)) html = html.replaceAll(placeholder, value);
    const holder = document.createElement("template");
    holder.innerHTML = html.trim();
    return holder.content.firstElementChild;
  };

  // The page knows a variant by a number of its own, so that renaming it keeps its shares and rules.
  const variants = () =>
    $$("[data-variant]").map((row) => ({ ref: row.dataset.variant, key: $("[data-variant-key]", row).value.trim() }));

  // Every list of variants shows the keys as they are typed, and keeps what was chosen.
  const syncVariants = () => {
    const known = variants();
    for (const select of $$("select[data-variants]")) {
      const chosen = select.value;
      const others = $$("option[data-omit]", select);
      select.replaceChildren(...known.map(({ ref, key }) => new Option(key, ref)), ...others);
      select.value = chosen;
      if (select.selectedIndex < 0) select.selectedIndex = 0;
    }
    for (const list of $$("[data-shares]")) syncShares(list, known);
    for (const { ref, key } of known) {
      for (const label of $$(`[data-variant-name="${ref}"]`)) label.textContent = key || "…";
      for (const field of $$(`[data-variant-of="${ref}"]`)) field.value = key;
    }
    drawSplit();
  };

  // One share for each variant, in their order.
  const syncShares = (list, known) => {
    const there = new Map($$("[data-share]", list).map((share) => [share.dataset.share, share]));
    const wanted = known.map(
      ({ ref }) =>
        there.get(ref) ??
        copyOf("share", { __variant__: ref, __item__: `${list.dataset.list}[]`, __id__: `share-${serial++}` }),
    );
    if (wanted.length !== there.size || wanted.some((share, index) => list.children[index] !== share)) {
      list.replaceChildren(...wanted);
    }
  };

  const percentOf = (input) => Number.parseFloat(input.value.replace(",", ".")) || 0;

  const drawSplit = () => {
    const bar = $("[data-split]");
    let total = 0;
    bar.replaceChildren();
    $$("#rollout [data-percent]").forEach((input, index) => {
      const share = percentOf(input);
      total += share;
      const part = document.createElement("span");
      part.className = `fs-series-${index % 6}`;
      part.style.width = `${Math.max(0, Math.min(100, share))}%`;
      bar.append(part);
    });
    const left = Math.round((100 - total) * 100) / 100;
    const name = $("#id_default").selectedOptions[0]?.textContent ?? "";
    $("[data-rest]").textContent =
      left < 0
        ? `The shares sum to ${100 - left} %: bring them to 100 % or less.`
        : left > 0
          ? `The remaining ${left} % get the default variant, ${name}.`
          : "Every user is covered.";
  };

  const syncRules = () => {
    for (const rule of $$("[data-rule]")) {
      $("[data-shares]", rule).hidden = !("omit" in ($("[data-serve]", rule).selectedOptions[0]?.dataset ?? {}));
    }
    $("[data-no-rules]").hidden = $$("[data-rule]").length > 0;
    window.flagshipConditions.sayWords(form);
  };

  // A flag that is on and has nothing to decide gives everybody its default: that is said, with the other variant at hand.
  const offerAll = () => {
    const notice = $("[data-serves-default]");
    const isDecided =
      $$("[data-rule]").length > 0 || $$("#rollout [data-percent]").some((input) => percentOf(input) > 0);
    const hasTargets = $$("[data-item='targets[]'] textarea").some(({ value }) => value.trim());
    const other = variants().findLast(({ ref }) => ref !== $("#id_default").value);
    const isOn = $("[data-field=enabled]").checked;
    notice.hidden = !isOn || isDecided || hasTargets || !other || Boolean(form.dataset.hasExperiment);
    if (notice.hidden) return;
    const name = $("#id_default").selectedOptions[0]?.textContent ?? "";
    $("[data-serves-default-text]", notice).textContent =
      `It is on, and serves everybody its default variant, ${name}.`;
    const button = $("[data-serve-all]", notice);
    if (button) button.textContent = `Serve ${other.key} to 100 %`;
  };
  const serveAll = () => {
    const other = variants().findLast(({ ref }) => ref !== $("#id_default").value);
    const share = $(`#rollout [data-share="${other.ref}"]`);
    $("[data-percent]", share).value = "100";
    $("[data-slider]", share).value = "100";
    $("[data-percent]", share).focus();
  };

  const add = {
    rule: () => {
      const rule = copyOf("rule", { __rule__: String(serial++) });
      $("#rules").append(rule);
      window.flagshipConditions.add($("[data-conditions]", rule));
      syncVariants();
      $("input:not([type=hidden])", rule).focus();
    },
    variant: () => {
      const variant = copyOf("variant", { __variant__: String(serial++) });
      $("#variants").append(variant);
      $("[data-variant-key]", variant).focus();
    },
    prerequisite: () => {
      const prerequisite = copyOf("prerequisite", {});
      $("#prerequisites").append(prerequisite);
      $("input", prerequisite).focus();
    },
  };
  const ROWS = { rule: "[data-rule]", variant: "[data-variant]", prerequisite: "[data-item]" };

  // An order somebody changed gets fresh priorities.
  const forgetPriorities = () => {
    for (const priority of $$("[data-priority]")) priority.value = "";
  };

  const move = (button) => {
    const rule = button.closest("[data-rule]");
    const isDown = button.dataset.move === "1";
    const other = isDown ? rule.nextElementSibling : rule.previousElementSibling;
    if (!other) return;
    if (isDown) other.after(rule);
    else other.before(rule);
    forgetPriorities();
    button.focus();
  };

  form.addEventListener("click", ({ target }) => {
    const button = target.closest("button[data-add], button[data-remove], button[data-move], button[data-serve-all]");
    if (!button) return;
    const { add: added, remove } = button.dataset;
    if (added && add[added]) add[added]();
    else if (remove && ROWS[remove]) button.closest(ROWS[remove]).remove();
    else if (button.dataset.move) move(button);
    else if ("serveAll" in button.dataset) serveAll();
    else return;
    changed();
  });

  // Drag and drop for a pointer; the arrows beside it do the same from the keyboard.
  let dragged = null;
  form.addEventListener("dragstart", (event) => {
    const rule = event.target.closest?.(".fs-rule__number")?.closest("[data-rule]");
    if (!rule) return;
    dragged = rule;
    rule.dataset.dragging = "";
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setDragImage(rule, 20, 20);
  });
  form.addEventListener("dragover", (event) => {
    const over = event.target.closest?.("[data-rule]");
    if (!dragged || !over || over === dragged) return;
    event.preventDefault();
    const box = over.getBoundingClientRect();
    if (event.clientY > box.top + box.height / 2) over.after(dragged);
    else over.before(dragged);
  });
  form.addEventListener("dragend", () => {
    if (!dragged) return;
    delete dragged.dataset.dragging;
    dragged = null;
    forgetPriorities();
    changed();
  });

  form.addEventListener("input", ({ target }) => {
    const share = target.closest("[data-share]");
    if (target.matches("[data-slider]")) $("[data-percent]", share).value = target.value;
    else if (target.matches("[data-percent]")) $("[data-slider]", share).value = percentOf(target);
    else if (target.name.startsWith("try-") || target.name === "reason") return;
    else if (target.id === "id_type") adaptToType(target.value);
    changed();
  });

  // How a variant's value is read, and what to type where it cannot be.
  const REMEDIES = { boolean: "Write true or false.", number: "Write a number, like 18 or 2.5." };
  const readValuesAs = (type) => {
    for (const value of $$("[data-variant-value]")) {
      value.dataset.type = type === "string" ? "text" : "json";
      value.dataset.remedy = REMEDIES[type] ?? "";
    }
  };
  // A new flag: values that fit its type, and as many variants as it may have.
  const adaptToType = (type) => {
    const samples = { boolean: ["false", "true"], string: ["", ""], number: ["0", "1"], json: ["{}", "{}"] }[type];
    if (type === "boolean") for (const row of $$("[data-variant]").slice(2)) row.remove();
    $$("[data-variant-value]")
      .slice(0, 2)
      .forEach((value, index) => {
        value.value = samples[index];
      });
    for (const button of $$('[data-add="variant"], [data-remove="variant"]')) button.hidden = type === "boolean";
  };
  const typeOf = () => $("#id_type")?.value ?? form.dataset.flagType;

  const tryIt = $("[data-try]");
  tryIt?.addEventListener("click", async () => {
    const response = await fetch(tryIt.dataset.try, { method: "POST", body: new FormData(form) });
    document.getElementById("try-answer").innerHTML = response.ok
      ? await response.text()
      : "The server could not answer; try again.";
  });

  // Each rule says in its own place what it does, as the preview says it for the whole flag.
  const saySentences = (part) => {
    const said = part.querySelector("[data-sentences]");
    if (!said) return;
    const sentences = JSON.parse(said.dataset.sentences);
    $$("[data-rule]").forEach((rule, index) => {
      $("[data-sentence]", rule).textContent = sentences[index] ?? "";
    });
  };

  // One name of an attribute stands alone, several are a list. What has no name yet is called by its key.
  const prepare = (flag) => {
    flag.name ||= flag.key ?? form.dataset.flagKey;
    const names = flag.bucketBy.map(({ name }) => name);
    flag.bucketBy = names.length > 1 ? names : (names[0] ?? "");
    const place = Number(form.dataset.experimentPriority || Number.NaN);
    window.flagshipPriorities(flag.rules, place).forEach((priority, index) => {
      flag.rules[index].priority = priority;
    });
  };

  let askAgain = () => {};
  const sync = () => {
    readValuesAs(typeOf());
    syncRules();
    syncVariants();
    offerAll();
  };
  const changed = () => {
    sync();
    askAgain();
  };

  window.flagshipConditions.begin(form, changed);
  window.flagshipTrees.begin(form);
  sync();
  askAgain = window.flagshipPreview(form, window.flagshipDocument.begin(form, prepare), saySentences);
})();
