// The picture, to take along.

// The clipboard first; a sandbox may refuse it, and then the picture is shown to be saved by hand.
async function copyPicture(figure, button) {
  const blob = await new Promise((done) => figure.canvas.toBlob(done, "image/png"));
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "PNG"), 1500);
  } catch {
    showPicture(figure, button);
  }
}

function showPicture(figure, button) {
  const leave = () => (overlay.remove(), button.focus());
  const close = make("button", { textContent: "Close", onclick: leave });
  const overlay = make(
    "div",
    {
      className: "overlay",
      role: "dialog",
      aria: { label: "The picture" },
      onkeydown: (event) => event.key === "Escape" && leave(),
    },
    close,
    " The clipboard is closed to this frame: right-click the picture to copy or save it.",
    make("img", { src: figure.canvas.toDataURL("image/png"), alt: figure.view.text(figure) }),
  );
  document.body.append(overlay);
  close.focus();
}
