/* Forms that answer while they are filled in: rows that come and go, sliders beside numbers, a preview beside it all. */
(() => {
  const form = document.getElementById("live-form");
  if (!form) return;
  const readable = form.querySelector("fieldset");
  const wasDisabled = readable.disabled;
  const $ = (selector, root = form) => root.querySelector(selector);
  const $$ = (selector, root = form) => [...root.querySelectorAll(selector)];
  const template = (name) => document.getElementById(`${name}-template`);
  let serial = 1000;

  // A template's copy, its placeholder replaced by a number no other row has.
  const copyOf = (name, replacements) => {
    let html = template(name).innerHTML;
    for (const [placeholder, value] of Object.entries(replacements)) html = html.replaceAll(placeholder, value);
    const holder = document.createElement("template");
    holder.innerHTML = html.trim();
    return holder.content;
  };

  const variants = () =>
    $$("[data-variant]").map((row) => ({ ref: row.dataset.variant, key: $("[data-variant-key]", row).value || "…" }));

  // Every list of variants shows the keys as they are typed, and keeps what was chosen.
  const syncVariants = () => {
    const known = variants();
    for (const select of $$("select[data-variants]")) {
      const chosen = select.value;
      const extra = $$("option", select).filter((option) => option.value === "rollout");
      select.replaceChildren(...known.map(({ ref, key }) => new Option(key, ref)), ...extra);
      select.value = chosen;
      if (select.selectedIndex < 0) select.selectedIndex = 0;
    }
    for (const { ref, key } of known) {
      for (const label of $$(`[data-variant-name="${ref}"]`)) label.textContent = key;
    }
    drawSplit();
  };

  const percentOf = (input) => Number.parseFloat(input.value.replace(",", ".")) || 0;

  const drawSplit = () => {
    const bar = $("[data-split]");
    if (!bar) return;
    const rest = $("[data-rest]");
    let total = 0;
    bar.replaceChildren();
    variants().forEach(({ ref }, index) => {
      const input = $(`#rollout [data-percent="${ref}"]`);
      if (!input) return;
      const share = percentOf(input);
      total += share;
      const part = document.createElement("span");
      part.className = `fs-series-${index % 6}`;
      part.style.width = `${Math.max(0, Math.min(100, share))}%`;
      bar.append(part);
    });
    const left = Math.round((100 - total) * 100) / 100;
    const standard = $("#id_default");
    const name = standard.selectedOptions[0]?.textContent ?? "";
    rest.textContent =
      left < 0
        ? `The shares sum to ${100 - left} %: bring them to 100 % or less.`
        : left > 0
          ? `The remaining ${left} % get the default variant, ${name}.`
          : "Every user is covered.";
  };

  const syncOperators = (root = form) => {
    for (const row of $$("[data-condition]", root)) {
      const takes = $("[data-operator]", row).selectedOptions[0]?.dataset.takes;
      const kind = $("[data-kind]", row);
      $("[data-attribute]", row).hidden = takes === "segments";
      $("[data-value]", row).hidden = takes === "nothing";
      $("[data-value]", row).placeholder =
        { list: "a, b, c", segments: "segment keys", number: "number", texts: "text, or several" }[takes] ?? "value";
      kind.hidden = !["scalar", "list"].includes(takes) && kind.value !== "json";
    }
    for (const rule of $$("[data-rule]", root)) {
      const serve = $("[data-serve]", rule);
      if (serve) $("[data-rule-shares]", rule).hidden = serve.value !== "rollout";
      $$("[data-word]", rule).forEach((word, index) => {
        word.textContent = index ? "and" : "if";
      });
    }
    const none = $("[data-no-rules]");
    if (none) none.hidden = $$("[data-rule]").length > 0;
  };

  const reorder = () => {
    // An order somebody changed gets fresh priorities on the server.
    for (const priority of $$("[data-priority]")) priority.value = "";
  };

  const add = {
    rule: () => {
      const ref = String(serial++);
      const copy = copyOf("rule", { __rule__: ref });
      $("#rules").append(copy);
      const rule = $(`[data-rule="${ref}"]`);
      add.condition($('[data-add="condition"]', rule), false);
      syncVariants();
      $("input:not([type=hidden])", rule).focus();
    },
    condition: (button, focus = true) => {
      const rule = button.closest("[data-rule]");
      const ref = String(serial++);
      $("[data-conditions]", rule).append(copyOf("condition", { __rule__: rule.dataset.rule, __condition__: ref }));
      if (focus) $(`[data-condition="${ref}"] [data-attribute]`, rule).focus();
    },
    variant: () => {
      const ref = String(serial++);
      $("#variants").append(copyOf("variant", { __variant__: ref }));
      $("#rollout").append(copyOf("share", { __variant__: ref }));
      for (const rule of $$("[data-rule]")) {
        const shares = copyOf("share", {
          "variants-__variant__-percent": `rules-${rule.dataset.rule}-percent-${ref}`,
          __variant__: ref,
        });
        $("[data-rule-shares]", rule).append(shares);
      }
      $(`[data-variant="${ref}"] [data-variant-key]`).focus();
    },
    prerequisite: () => {
      const ref = String(serial++);
      $("#prerequisites").append(copyOf("prerequisite", { __prerequisite__: ref }));
      $(`[data-prerequisite="${ref}"] input`).focus();
    },
  };

  const remove = (button) => {
    const kind = button.dataset.remove;
    const row = button.closest(`[data-${kind}]`);
    if (kind === "variant") {
      const ref = row.dataset.variant;
      for (const input of $$(`[data-percent="${ref}"]`)) input.closest(".fs-percent").remove();
      for (const label of $$(`[data-variant-name="${ref}"]`)) {
        label.nextElementSibling?.matches("[data-slider]") && label.nextElementSibling.remove();
        label.remove();
      }
    }
    row.remove();
  };

  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-add], button[data-remove], button[data-move]");
    if (!button) return;
    if (button.dataset.add) add[button.dataset.add](button);
    if (button.dataset.remove) remove(button);
    if (button.dataset.move) {
      const rule = button.closest("[data-rule]");
      const other = button.dataset.move === "1" ? rule.nextElementSibling : rule.previousElementSibling;
      if (other) {
        button.dataset.move === "1" ? other.after(rule) : other.before(rule);
        reorder();
        button.focus();
      }
    }
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
    event.clientY > box.top + box.height / 2 ? over.after(dragged) : over.before(dragged);
  });
  form.addEventListener("dragend", () => {
    if (!dragged) return;
    delete dragged.dataset.dragging;
    dragged = null;
    reorder();
    changed();
  });

  // An experiment's control variant is one of its flag's.
  const flag = $("[data-flag-variants]");
  const control = $("#id_controlVariant");
  const syncControl = () => {
    if (!flag) return;
    const known = JSON.parse(flag.selectedOptions[0]?.dataset.variants ?? "[]");
    const chosen = control.dataset.chosen || control.value;
    control.replaceChildren(...known.map((key) => new Option(key, key)));
    if (known.includes(chosen)) control.value = chosen;
    control.dataset.chosen = "";
  };
  flag?.addEventListener("change", syncControl);
  syncControl();

  form.addEventListener("input", (event) => {
    const target = event.target;
    if (target.matches("[data-slider]")) {
      target.nextElementSibling.querySelector("[data-percent]").value = target.value;
    } else if (target.matches("[data-percent]")) {
      const slider = target.closest(".fs-percent").previousElementSibling;
      if (slider?.matches("[data-slider]")) slider.value = percentOf(target);
    } else if (target.name.startsWith("try-") || target.name === "reason") {
      return;
    } else if (target.id === "id_type") {
      adaptToType(target.value);
    }
    changed();
  });

  // A new flag: values that fit its type, and as many variants as it may have.
  const adaptToType = (type) => {
    const samples = { boolean: ["false", "true"], string: ["", ""], number: ["0", "1"], json: ["{}", "{}"] }[type];
    const rows = $$("[data-variant]");
    if (type === "boolean") for (const row of rows.slice(2)) remove($("[data-remove]", row));
    $$("[data-variant]")
      .slice(0, 2)
      .forEach((row, index) => {
        $("textarea", row).value = samples[index];
      });
    for (const button of $$('[data-add="variant"], [data-remove="variant"]')) button.hidden = type === "boolean";
  };

  const tryIt = $("[data-try]");
  tryIt?.addEventListener("click", async () => {
    readable.disabled = false;
    const body = new FormData(form);
    readable.disabled = wasDisabled;
    const response = await fetch(tryIt.dataset.try, { method: "POST", body });
    document.getElementById("try-answer").innerHTML = response.ok
      ? await response.text()
      : "The server could not answer; try again.";
  });

  // Each rule says in its own place what it does, as the preview says it for the whole flag.
  const saySentences = () => {
    const said = document.querySelector("#preview [data-sentences]");
    if (!said) return;
    const sentences = JSON.parse(said.dataset.sentences);
    $$("[data-rule]").forEach((rule, index) => {
      $("[data-sentence]", rule).textContent = sentences[index] ?? "";
    });
  };

  const answerOf = async (url, signal) => {
    try {
      const response = await fetch(url, { method: "POST", body: new FormData(form), signal });
      // Read whatever it is: an answer nobody reads keeps its connection.
      const text = await response.text();
      // Nothing here answers with another address but the door: the session has ended meanwhile.
      if (response.redirected)
        return '<p class="fs-error" role="alert">You are signed out. What you changed here is not saved, and not lost: saving asks you to sign in first.</p>';
      return response.ok ? text : null;
    } catch (error) {
      // Taken back by a later keystroke, or no network: then the page says so instead of standing still.
      return error.name === "AbortError" ? null : '<p class="fs-error">The server cannot be reached at present.</p>';
    }
  };

  // What is drawn anew leaves the keyboard where it was.
  const show = (part, html) => {
    const stops = () => [...part.querySelectorAll("a[href], button, summary")];
    const place = stops().indexOf(document.activeElement);
    part.innerHTML = html;
    stops()[place]?.focus({ preventScroll: true });
  };

  let timer = 0;
  let peopleTimer = 0;
  let request = null;
  const preview = async () => {
    request?.abort();
    clearTimeout(peopleTimer);
    request = new AbortController();
    const { signal } = request;
    const html = await answerOf(form.dataset.previewUrl, signal);
    if (html === null) return;
    show(document.getElementById("preview"), html);
    saySentences();
    // Counting people takes longer than arithmetic, so it waits until nothing more is typed.
    const people = document.querySelector("#preview [data-people]");
    if (people)
      peopleTimer = setTimeout(async () => {
        people.innerHTML = (await answerOf(form.dataset.peopleUrl, signal)) ?? "";
      }, 500);
  };
  const changed = () => {
    syncVariants();
    syncOperators();
    clearTimeout(timer);
    timer = setTimeout(preview, 250);
  };

  // A disabled form (for whoever may only look) sends no field, so it is read as if it were not.
  readable.disabled = false;
  syncVariants();
  syncOperators();
  preview();
  readable.disabled = wasDisabled;
})();
