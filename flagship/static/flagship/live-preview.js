/* Beside a document's form: what the document as it stands would do, asked for again while somebody types. */
window.flagshipPreview = (form, read, shown = () => {}) => {
  const part = document.getElementById("preview");
  const AWAY = '<p class="fs-error">The server cannot be reached at present.</p>';
  const SIGNED_OUT =
    '<p class="fs-error" role="alert">You are signed out. What you changed here is not saved, and not lost: saving asks you to sign in first.</p>';

  const answerOf = async (url, signal) => {
    try {
      const response = await fetch(url, { method: "POST", body: new FormData(form), signal });
      // Read whatever it is: an answer nobody reads keeps its connection.
      const text = await response.text();
      // Nothing here answers with another address but the door: the session has ended meanwhile.
      if (response.redirected) return SIGNED_OUT;
      return response.ok ? text : null;
    } catch (error) {
      // Taken back by a later keystroke, or no network: then the page says so instead of standing still.
      return error.name === "AbortError" ? null : AWAY;
    }
  };

  // What is drawn anew leaves the keyboard where it was, and the field that has it where it is on the screen.
  const show = (html) => {
    const held = form.contains(document.activeElement) ? document.activeElement : null;
    const top = held?.getBoundingClientRect().top;
    const stops = () => [...part.querySelectorAll("a[href], button, summary")];
    const place = stops().indexOf(document.activeElement);
    part.innerHTML = html;
    stops()[place]?.focus({ preventScroll: true });
    shown(part);
    if (held?.isConnected) scrollBy({ top: held.getBoundingClientRect().top - top, behavior: "instant" });
  };

  const showUnreadable = (problems) => {
    const list = document.createElement("ul");
    list.className = "fs-list";
    for (const { detail } of problems) {
      const line = document.createElement("li");
      line.className = "fs-error";
      line.textContent = detail;
      list.append(line);
    }
    part.replaceChildren(part.querySelector("h2") ?? "", list);
  };

  let timer = 0;
  let countTimer = 0;
  let request = null;
  const preview = async () => {
    request?.abort();
    clearTimeout(countTimer);
    request = new AbortController();
    const { signal } = request;
    const { problems } = read();
    if (problems.length) {
      showUnreadable(problems);
      return;
    }
    const html = await answerOf(form.dataset.previewUrl, signal);
    if (html === null) return;
    show(html);
    // Counting users takes longer than arithmetic, so it waits until nothing more is typed.
    const count = part.querySelector("[data-affected-users]");
    if (!count) return;
    countTimer = setTimeout(async () => {
      count.innerHTML = (await answerOf(form.dataset.affectedUsersUrl, signal)) ?? "";
    }, 500);
  };

  preview();
  return () => {
    clearTimeout(timer);
    timer = setTimeout(preview, 250);
  };
};
