/* The designer's and the editor's form: the audience's conditions, the control among the flag's variants, the plan. */
(() => {
  const form = document.getElementById("experiment-form");
  if (!form) return;
  window.flagshipDocument.types.instant = window.flagshipInstants.read;

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
  if (flag) {
    flag.addEventListener("change", syncControl);
    syncControl();
  }

  // An audience without conditions is everybody.
  const prepare = (design) => {
    if (design.audience?.all?.length === 0) design.audience = null;
  };

  let askAgain = () => {};
  const changed = () => askAgain();
  form.addEventListener("input", changed);
  window.flagshipConditions.begin(form, changed);
  const read = window.flagshipDocument.begin(form, prepare);
  if (form.dataset.previewUrl) askAgain = window.flagshipPreview(form, read);
})();
