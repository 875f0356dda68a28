// The pointer and the keys.

const ARROWS = Object.freeze({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] });

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function listen(figure) {
  const { canvas, stage } = figure;
  const again = () => refresh(figure);
  canvas.addEventListener("pointermove", (event) => onMove(figure, event));
  canvas.addEventListener("pointerleave", () => change(figure, { hover: null }));
  canvas.addEventListener("click", (event) => onClick(figure, event));
  canvas.addEventListener("keydown", (event) => onKey(figure, event));
  stage.addEventListener("scroll", again, { passive: true });
  new ResizeObserver(again).observe(stage);
  addEventListener("resize", () => (setTheme(figure), again()));
}

function onMove(figure, event) {
  const at = figure.view.hit(figure, event.offsetX, event.offsetY);
  figure.canvas.style.cursor = at ? "pointer" : "default";
  if (!same(at, figure.state.hover)) change(figure, { hover: at });
}

function onClick(figure, event) {
  const { view, state } = figure;
  const at = view.hit(figure, event.offsetX, event.offsetY);
  if (at && view.click) view.click(figure, at);
  else change(figure, { locked: !at || same(at, state.locked) ? null : at });
}

function onKey(figure, event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const { view, state } = figure;
  const by = ARROWS[event.key];
  if (by && event.shiftKey && view.shifts) {
    if (by[0]) goLayer(figure, state.layer + by[0]);
    else goHead(figure, by[1]);
  } else if (!view.key(figure, event.key, by) && !holdKey(state, event.key)) return;
  event.preventDefault();
  refresh(figure);
}

function holdKey(state, key) {
  if (key === "Enter" && state.hover) state.locked = state.locked ? null : state.hover;
  else if (key === "Escape") state.locked = state.hover = null;
  else return false;
  return true;
}
