/* The results page: charts as PNG, drawn here from the same SVG that may be downloaded, and tips that Escape closes. */
(() => {
  const SCALE = 2;

  const pictureOf = async (address) => {
    const response = await fetch(address);
    if (!response.ok) throw new Error(`${address} answered ${response.status}`);
    const picture = new Image();
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(await response.text())}`;
    await picture.decode();
    return picture;
  };

  const download = async (button) => {
    const address = button.dataset.png;
    const picture = await pictureOf(address);
    const canvas = document.createElement("canvas");
    canvas.width = picture.naturalWidth * SCALE;
    canvas.height = picture.naturalHeight * SCALE;
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => {
      canvas.toBlob(resolve, "image/png");
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${address
      .split("?")[0]
      .split("/")
      .pop()
      .replace(/\.svg$/, "")}.png`;
    link.click();
    // The browser reads it after the click has returned.
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-png]");
    if (button) download(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const tip of document.querySelectorAll(".fs-tip:hover, .fs-tip:focus-within")) tip.dataset.dismissed = "";
  });
  // A tip that was closed may open again once it was left.
  const reopen = (event) => {
    for (const tip of document.querySelectorAll(".fs-tip[data-dismissed]")) {
      if (!tip.contains(event.target)) delete tip.dataset.dismissed;
    }
  };
  document.addEventListener("pointerover", reopen);
  document.addEventListener("focusin", reopen);
})();
