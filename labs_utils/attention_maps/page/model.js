// A grid of all layers and heads; one of them can be enlarged into the heat map.

const MODEL_TOP = 34;
const MODEL_GAP = 6;

const modelView = Object.freeze({
  controls: ["kind", "shape"],
  hint: "Arrows choose a head · Enter enlarges it · Esc returns",
  label: "Attention of every layer (rows) and head (columns)",
  needsAll: true,
  height: modelHeight,
  draw: drawModel,
  hit: hitModel,
  click: enlarge,
  text: modelStatus,
  key: modelKey,
});

function modelPlaces({ state, width, height }) {
  const { layers, heads, queries, keys } = state.stack;
  const left = 58;
  const tall = (height - modelTop(state.stack) - 6) / layers.length - MODEL_GAP; // all layers at once, where they stay large enough
  const wide = (width - left - 4 - GROUP_GAP * gapsIn(state.stack)) / heads.length - MODEL_GAP;
  const w = clamp(tall >= 40 ? Math.min(wide, tall) : wide, 18, layers.length > 12 ? 92 : 150);
  return { left, top: modelTop(state.stack), w, h: Math.min(w * clamp(queries / keys, 0.4, 2.5), 180) };
}

// Brackets over groups of heads, and what they mean, take a line of their own.
const modelTop = (stack) => MODEL_TOP + (isGrouped(stack) ? 22 : 0);

// The left edge of a head.
const modelX = (stack, { left, w }, place) => left + place * (w + MODEL_GAP) + GROUP_GAP * gapsBefore(stack, place);

function modelHeight(figure) {
  const { top, h } = modelPlaces(figure);
  return top + figure.state.stack.layers.length * (h + MODEL_GAP) + 6;
}

function drawModel(figure) {
  const { ink, colours, state, height, scroll } = figure;
  const place = modelPlaces(figure);
  const { left, top, w, h } = place;
  const at = focus(state);
  ink.imageSmoothingEnabled = false;
  state.stack.layers.forEach((layer, l) => {
    const y = top + l * (h + MODEL_GAP) - scroll;
    if (y > height || y + h < 0) return;
    state.stack.heads.forEach((_, head) => drawHead(figure, l, head, modelX(state.stack, place, head), y, w, h));
    setFont(figure, 12);
    const colour = at && at.l === l ? colours.accent : colours.muted;
    write(figure, String(layer), left - 12, y + h / 2, { align: "right", colour });
  });
  drawModelHeader(figure, place, at);
}

function drawModelHeader(figure, place, at) {
  const { ink, colours, state, width } = figure;
  const { left, top, w } = place;
  const x = (head) => modelX(state.stack, place, head);
  ink.fillStyle = colours.background;
  ink.fillRect(0, 0, width, top - 4);
  drawGroups(figure, state.stack, top - 12, x, (head) => x(head) + w);
  if (isGrouped(state.stack)) {
    setFont(figure, 11);
    write(figure, `${state.stack.shared} heads under a bracket share their keys and values`, left, 8, {
      colour: colours.muted,
    });
  }
  setFont(figure, 12);
  state.stack.heads.forEach((head, h) => {
    const colour = at && at.h === h ? colours.accent : colours.muted;
    write(figure, String(head), x(h) + w / 2, top - (isGrouped(state.stack) ? 22 : 14), { align: "center", colour });
  });
  setFont(figure, 11);
  write(figure, "layer ↓", left - 12, top - 22, { align: "right", colour: colours.faint });
  write(figure, "head →", left - 12, top - 9, { align: "right", colour: colours.faint });
}

function drawHead(figure, l, head, x, y, w, h) {
  const { ink, state } = figure;
  const size = (length) => Math.round(length * devicePixelRatio);
  if (state.stack.ready[l]) ink.drawImage(picture(figure, "small", l, head, size(w), size(h)), x, y, w, h);
  const at = focus(state);
  if (at && at.l === l && at.h === head) ring(figure, x - 2, y - 2, w + 4, h + 4);
  else outline(figure, x, y, w, h);
}

function hitModel(figure, x, y) {
  const { layers, heads } = figure.state.stack;
  const place = modelPlaces(figure);
  const { top, w, h } = place;
  const l = Math.floor((y + figure.scroll - top) / (h + MODEL_GAP));
  const head = heads.findLastIndex((_, at) => x >= modelX(figure.state.stack, place, at));
  const inside = y > top - 4 && l >= 0 && head >= 0 && l < layers.length && x < modelX(figure.state.stack, place, head) + w;
  return inside ? { l, h: head } : null;
}

function modelStatus(figure) {
  const { stack } = figure.state;
  const at = focus(figure.state);
  if (!at) return "Each square is one head: rows are queries, columns keys. Click to enlarge.";
  if (!stack.ready[at.l]) return "";
  const values = plane(stack, at.l, at.h);
  const sums = new Float32Array(stack.keys);
  for (let i = 0; i < values.length; i++) sums[i % stack.keys] += values[i] / stack.queries;
  const most = sums.indexOf(Math.max(...sums));
  const shares = sharesText(stack, stack.heads[at.h]);
  const where = `Layer ${stack.layers[at.l]}, head ${stack.heads[at.h]}${shares && ` (${shares})`}.`;
  return `${where} ${tokenName(figure, stack.key_side, most)} gets the most: ${percent(sums[most])} of all attention. Click to enlarge.`;
}

const percent = (weight) => (weight >= 0.995 ? "100 %" : `${(100 * weight).toFixed(weight >= 0.0995 ? 0 : 1)} %`);

function enlarge(figure, at) {
  return turnTo(figure, matrixView, { enlarged: at, layer: at.l, heads: [at.h], hover: null });
}

function leaveHead(figure) {
  return turnTo(figure, modelView, { enlarged: null, heads: [], hover: figure.state.enlarged });
}

function turnTo(figure, view, changes) {
  figure.view = view;
  rebuild(figure, { ...changes, locked: null });
  figure.canvas.focus({ preventScroll: true });
  return true;
}

function modelKey(figure, key, by) {
  const { state, stage, height } = figure;
  const at = focus(state);
  if (key === "Enter" || key === " ") return at ? enlarge(figure, at) : true;
  if (!by) return false;
  const { layers, heads } = state.stack;
  const { l, h } = at || { l: 0, h: -1 };
  state.hover = { l: clamp(l + by[0], 0, layers.length - 1), h: clamp(h + by[1], 0, heads.length - 1) };
  const { top, h: tall } = modelPlaces(figure);
  const y = state.hover.l * (tall + MODEL_GAP);
  const bottom = y + tall + top;
  if (y < stage.scrollTop) stage.scrollTop = y;
  if (bottom > stage.scrollTop + height) stage.scrollTop = bottom + MODEL_GAP - height;
  return true;
}
