/* The designer's and the editor's form: the audience's conditions, the control among the flag's variants, the plan. */
(() => {
  const form = document.getElementById("experiment-form");
  if (!form) return;
  window.flagshipDocument.types.instant = window.flagshipInstants.read;

  let askAgain = () => {};
  const changed = () => askAgain();

  // An experiment's control variant is one of its flag's.
  const flag = form.querySelector("[data-flag-variants]");
  const control = document.getElementById("id_control");
  const syncControl = () => {
    const known = JSON.parse(flag.selectedOptions[0]?.dataset.variants ?? "[]");
    const chosen = control.dataset.chosen || control.value;
    control.replaceChildren(...known.map((key) => new Option(key, key)));
    if (known.includes(chosen)) control.value = chosen;
    control.dataset.chosen = "";
  };
  // The split has a row for each variant of the flag, even until somebody says otherwise.
  const rows = form.querySelector("[data-split]");
  const percents = () => [...rows.querySelectorAll("[data-field$='.percent']")];
  const splitEvenly = () => {
    const fields = percents();
    const share = Math.floor(10_000 / fields.length);
    const extra = 10_000 - share * fields.length;
    fields.forEach((field, index) => {
      field.value = (share + (index < extra ? 1 : 0)) / 100;
    });
  };
  const syncSplit = () => {
    const chosen = JSON.parse(rows.dataset.split || "{}");
    const known = JSON.parse(flag.selectedOptions[0]?.dataset.variants ?? "[]");
    rows.replaceChildren(
      ...known.map((key, index) => {
        const row = document.getElementById("split-template").content.cloneNode(true);
        const percent = row.querySelector("[data-field$='.percent']");
        percent.id = `id_share_${index}`;
        percent.value = chosen[key] ?? "";
        const label = row.querySelector("[data-split-label]");
        label.htmlFor = percent.id;
        label.textContent = key;
        row.querySelector("[data-field$='.variant']").value = key;
        return row;
      }),
    );
    if (!percents().some(({ value }) => value)) splitEvenly();
    rows.dataset.split = "";
  };
  const syncRules = () => {
    const rules = JSON.parse(flag.selectedOptions[0]?.dataset.rules ?? "[]");
    const listed = rules.map(({ priority, name }) => `${priority} ${name}`).join(", ");
    form.querySelector("[data-flag-rules]").textContent = listed && `This flag has: ${listed}.`;
  };
  const syncFlag = () => {
    syncControl();
    syncSplit();
    syncRules();
  };
  if (flag) {
    flag.addEventListener("change", syncFlag);
    syncFlag();
    form.querySelector("[data-split-evenly]").addEventListener("click", () => {
      splitEvenly();
      changed();
    });
  }

  // An audience without conditions is everybody.
  const prepare = (design) => {
    if (design.audience?.all?.length === 0) design.audience = null;
  };

  form.addEventListener("input", changed);
  window.flagshipConditions.begin(form, changed);
  window.flagshipTrees?.begin(form);
  const read = window.flagshipDocument.begin(form, prepare);
  // What is wrong with an input of the plan stands beside it.
  const placeProblems = (part) => {
    for (const said of form.querySelectorAll("[data-plan-problem]")) said.remove();
    for (const input of form.querySelectorAll("[name^=plan-]")) input.removeAttribute("aria-invalid");
    for (const said of part.querySelectorAll("[data-about]")) {
      const input = document.getElementById(said.dataset.about);
      said.dataset.planProblem = "";
      said.id = `${input.id}-problem`;
      input.ariaInvalid = "true";
      input.setAttribute("aria-describedby", said.id);
      input.closest(".fs-field").append(said);
    }
  };
  if (form.dataset.previewUrl) askAgain = window.flagshipPreview(form, read, placeProblems);
})();
