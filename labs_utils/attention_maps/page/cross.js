// What an encoder–decoder looks at in its source while it writes, step by step.

const CROSS_TOP = 34;

const crossView = Object.freeze({
  controls: ["step", "layer", "heads"],
  hint: "← → step · Shift ↑ ↓ layer · Space plays",
  label: "Cross-attention from the target to the source, step by step",
  shifts: true,
  height: (figure) => crossPlaces(figure).target.bottom + 6,
  draw: drawCross,
  hit: hitCross,
  click: (figure, at) => at.side === "target" && goTo(figure, at.i),
  text: crossStatus,
  key: crossKey,
});

function crossPlaces(figure) {
  const source = flow(figure, "encoder", CROSS_TOP);
  return { source, target: flow(figure, "decoder", source.bottom + 44) };
}

// Tokens laid out as running text: boxes {x, y, w, h}, and the y below them.
function flow(figure, side, top) {
  const { ink, page, width } = figure;
  setFont(figure, 15);
  const boxes = [];
  let x = 14;
  let y = top;
  for (const label of page.tokens[side]) {
    const w = clamp(ink.measureText(label).width + 14, 22, width - 28);
    if (x + w > width - 14) ((x = 14), (y += page.row));
    boxes.push({ x, y, w, h: 28 });
    x += w + 4;
  }
  return { boxes, bottom: y + page.row };
}

function drawCross(figure) {
  const { colours, state, scroll } = figure;
  const { keys } = state.stack;
  const { source, target } = crossPlaces(figure);
  setFont(figure, 11);
  write(figure, "source: what it looks at", 14, 16 - scroll, { colour: colours.muted });
  write(figure, "target: what it reads and writes", 14, source.bottom + 26 - scroll, { colour: colours.muted });
  drawSource(figure, source.boxes, mean(figure).subarray(state.step * keys, (state.step + 1) * keys));
  drawTarget(figure, target.boxes);
}

function drawSource(figure, boxes, weights) {
  const { colours, page, state, ramp, scroll } = figure;
  const at = focus(state);
  boxes.forEach(({ x, y: top, w, h }, k) => {
    const y = top - scroll;
    const own = at && at.side === "source" && at.i === k;
    box(figure, x, y, w, h, heat(ramp, weights[k]), 5);
    ring(figure, x + 0.5, y + 0.5, w - 1, h - 1, own ? colours.accent : colours.hairline, 5);
    setFont(figure, 15);
    const colour = onHeat(ramp, weights[k]);
    write(figure, page.tokens.encoder[k], x + w / 2, y + h / 2 + 0.5, { align: "center", colour, most: w - 8 });
    if (weights[k] >= 0.01) writeUnder(figure, weights[k].toFixed(2), x + w / 2, y + h, colours.muted);
  });
}

function drawTarget(figure, boxes) {
  const { colours, page, state, scroll } = figure;
  boxes.forEach(({ x, y: top, w, h }, i) => {
    const y = top - scroll;
    const now = i === state.step;
    const next = i === state.step + 1;
    if (now) box(figure, x, y, w, h, fade(colours.accent, 0.22), 5);
    if (now || next) ring(figure, x + 0.5, y + 0.5, w - 1, h - 1, now ? colours.accent : colours.line, 5);
    setFont(figure, 15, next ? "600" : "");
    const colour = i <= state.step ? colours.text : next ? colours.line : colours.faint;
    write(figure, page.tokens.decoder[i], x + w / 2, y + h / 2 + 0.5, { align: "center", colour, most: w - 8 });
    if (now) writeUnder(figure, "reads", x + w / 2, y + h, colours.accent);
    if (next) writeUnder(figure, "writes", x + w / 2, y + h, colours.line);
  });
}

function writeUnder(figure, text, x, y, colour) {
  setFont(figure, 10);
  write(figure, text, x, y + 8, { align: "center", colour });
}

function hitCross(figure, x, y) {
  const { source, target } = crossPlaces(figure);
  const below = y + figure.scroll;
  const inside = (one) => x >= one.x && x <= one.x + one.w && below >= one.y && below <= one.y + one.h;
  const k = source.boxes.findIndex(inside);
  const t = target.boxes.findIndex(inside);
  return k >= 0 ? { side: "source", i: k } : t >= 0 ? { side: "target", i: t } : null;
}

function crossStatus(figure) {
  const { stack, layer, step } = figure.state;
  const at = focus(figure.state);
  const words = figure.page.tokens.decoder;
  const says = (k) => meanText(figure, step, k);
  const where = `Step ${step + 1} of ${stack.queries}, layer ${stack.layers[layer]}, ${headsText(figure.state)}.`;
  if (at && at.side === "source") return `${where} ${tokenName(figure, "encoder", at.i)}: ${says(at.i)}`;
  const weights = mean(figure).subarray(step * stack.keys, (step + 1) * stack.keys);
  const list = Array.from(weights.keys())
    .sort((a, b) => weights[b] - weights[a])
    .slice(0, 3)
    .map((k) => `${tokenName(figure, "encoder", k)} ${says(k)}`)
    .join(" · ");
  const writes = step + 1 < words.length ? `, to write “${words[step + 1]}”,` : "";
  return `${where} At “${words[step]}”${writes} it looks at ${list}`;
}

function crossKey(figure, key, by) {
  if (key === " ") play(figure);
  else if (by && by[1]) goTo(figure, figure.state.step + by[1]);
  else return false;
  return true;
}

function goTo(figure, step) {
  rebuild(figure, { step: clamp(step, 0, figure.state.stack.queries - 1) });
}

function play(figure) {
  const { state } = figure;
  const last = state.stack.queries - 1;
  if (state.playing) {
    clearInterval(state.playing);
    return rebuild(figure, { playing: 0 });
  }
  const next = () => (state.step < last ? goTo(figure, state.step + 1) : play(figure));
  rebuild(figure, { step: state.step === last ? 0 : state.step, playing: setInterval(next, 900) });
}
