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
  const tall = (height - MODEL_TOP - 6) / layers.length - MODEL_GAP; // all layers at once, where they stay large enough
  const wide = (width - left - 4) / heads.length - MODEL_GAP;
  const w = clamp(tall >= 40 ? Math.min(wide, tall) : wide, 18, 150);
  return { left, w, h: Math.min(w * clamp(queries / keys, 0.4, 2.5), 180) };
}

function modelHeight(figure) {
  return MODEL_TOP + figure.state.stack.layers.length * (modelPlaces(figure).h + MODEL_GAP) + 6;
}

function drawModel(figure) {
  const { ink, colours, state, height, scroll } = figure;
  const place = modelPlaces(figure);
  const { left, w, h } = place;
  const at = focus(state);
  ink.imageSmoothingEnabled = false;
  state.stack.layers.forEach((layer, l) => {
    const y = MODEL_TOP + l * (h + MODEL_GAP) - scroll;
    if (y > height || y + h < 0) return;
    state.stack.heads.forEach((_, head) => drawHead(figure, l, head, left + head * (w + MODEL_GAP), y, w, h));
    setFont(figure, 12);
    const colour = at && at.l === l ? colours.accent : colours.muted;
    write(figure, String(layer), left - 12, y + h / 2, { align: "right", colour });
  });
  drawModelHeader(figure, place, at);
}

function drawModelHeader(figure, { left, w }, at) {
  const { ink, colours, state, width } = figure;
  ink.fillStyle = colours.background;
  ink.fillRect(0, 0, width, MODEL_TOP - 4);
  setFont(figure, 12);
  state.stack.heads.forEach((head, h) => {
    const colour = at && at.h === h ? colours.accent : colours.muted;
    write(figure, String(head), left + h * (w + MODEL_GAP) + w / 2, 20, { align: "center", colour });
  });
  setFont(figure, 11);
  write(figure, "layer ↓", left - 12, 12, { align: "right", colour: colours.faint });
  write(figure, "head →", left - 12, 25, { align: "right", colour: colours.faint });
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
  const { left, w, h } = modelPlaces(figure);
  const l = Math.floor((y + figure.scroll - MODEL_TOP) / (h + MODEL_GAP));
  const head = Math.floor((x - left) / (w + MODEL_GAP));
  const inside = y > MODEL_TOP - 4 && l >= 0 && head >= 0 && l < layers.length && head < heads.length;
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
  const where = `Layer ${stack.layers[at.l]}, head ${stack.heads[at.h]}.`;
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
  const tall = modelPlaces(figure).h;
  const y = state.hover.l * (tall + MODEL_GAP);
  const bottom = y + tall + MODEL_TOP;
  if (y < stage.scrollTop) stage.scrollTop = y;
  if (bottom > stage.scrollTop + height) stage.scrollTop = bottom + MODEL_GAP - height;
  return true;
}
