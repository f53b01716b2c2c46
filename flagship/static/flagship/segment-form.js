/* The segment's form: its conditions as a tree, and the preview beside them. */
(() => {
  const form = document.getElementById("segment-form");
  if (!form) return;
  window.flagshipTrees.begin(form);
  const prepare = (segment) => {
    segment.name ||= segment.key ?? form.elements.key.value;
  };
  const changed = window.flagshipPreview(form, window.flagshipDocument.begin(form, prepare));
  form.addEventListener("input", ({ target }) => {
    if (target.name !== "reason") changed();
  });
})();
