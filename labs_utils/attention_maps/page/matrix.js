// One head as a heat map: queries in rows, keys in columns.

const MATRIX_TOP = 84;

const matrixView = Object.freeze({
  controls: ["kind", "layer", "head", "back"],
  hint: "Arrows move the cell · Shift ↑ ↓ layer · Shift ← → head",
  label: "Attention matrix: queries in rows, keys in columns",
  shifts: true,
  oneHead: true,
  load: loadMatrix,
  height: () => 0,
  places: matrixPlaces,
  draw: drawMatrix,
  hit: hitMatrix,
  text: matrixStatus,
  key: matrixKey,
});

async function loadMatrix({ state: { stack, layer } }) {
  await layerBytes(stack, layer);
  for (const side of ["queries", "keys"]) stack.sums[side] = await unpackFloats(stack.sums[side]);
}

function matrixPlaces({ state, width, height }) {
  const { queries, keys, sums } = state.stack;
  const left = clamp(width * 0.15, 56, 124);
  let cell = Math.min(44, (width - left - 76) / keys, (height - MATRIX_TOP - (sums ? 58 : 30)) / queries);
  if (cell > 2) cell = Math.floor(cell * devicePixelRatio) / devicePixelRatio;
  return { left, top: MATRIX_TOP, cell, w: cell * keys, h: cell * queries };
}

function drawMatrix(figure) {
  const { ink, state } = figure;
  const { stack, layer } = state;
  const place = matrixPlaces(figure);
  const { left, top, cell, w, h } = place;
  const head = chosenHeads(state)[0];
  ink.imageSmoothingEnabled = cell * devicePixelRatio < 1;
  ink.drawImage(picture(figure, "whole", layer, head, stack.keys, stack.queries), left, top, w, h);
  outline(figure, left, top, w, h);
  if (cell >= 32) drawNumbers(figure, place, plane(stack, layer, head));
  drawRowNames(figure, place);
  drawColumnNames(figure, place);
  if (stack.sums) drawSums(figure, place, sumsOf(state, "queries"), sumsOf(state, "keys"));
  drawScale(figure, Math.max(left, figure.width - 160), 8, 120);
  markCell(figure, place, focus(state));
}

// Outlines: a tint would change the colours, which mean weights.
function markCell(figure, { left, top, cell, w, h }, at) {
  if (!at) return;
  const { accent } = figure.colours;
  const [x, y] = [left + at.k * cell, top + at.q * cell];
  ring(figure, left - 0.5, y - 0.5, w + 1, cell + 1, fade(accent, 0.55), 1);
  ring(figure, x - 0.5, top - 0.5, cell + 1, h + 1, fade(accent, 0.55), 1);
  ring(figure, x - 1, y - 1, cell + 2, cell + 2, accent, 2);
}

function drawNumbers(figure, { left, top, cell }, values) {
  const { queries, keys, causal } = figure.state.stack;
  setFont(figure, cell >= 40 ? 12 : 11);
  for (let q = 0; q < queries; q++) {
    for (let k = 0; k < keys; k++) {
      if (causal && k > q) continue;
      const weight = values[q * keys + k];
      write(figure, weight.toFixed(2).replace(/^0/, ""), left + (k + 0.5) * cell, top + (q + 0.5) * cell, {
        align: "center",
        colour: onHeat(figure.ramp, weight),
      });
    }
  }
}

// Call `act(i, own)` for the names that have room; that of the place under the pointer always has.
function eachName(count, cell, at, act) {
  const every = Math.max(1, Math.ceil(9 / cell));
  const near = Math.ceil(14 / cell);
  for (let i = 0; i < count; i++) {
    const own = i === at;
    const crowded = i % every || (at !== undefined && every > 1 && Math.abs(at - i) < near);
    if (own || !crowded) act(i, own);
  }
}

// The font of a name, its colour, and its text.
function styleName(figure, side, i, own, cell) {
  const { colours, page } = figure;
  const size = clamp(cell - 1, 9, 13);
  setFont(figure, own ? Math.max(12, size) : size, own ? "600" : "");
  return own ? colours.accent : page.special[side][i] ? colours.muted : colours.text;
}

function drawRowNames(figure, { left, top, cell }) {
  const { page, state } = figure;
  const { queries, query_side } = state.stack;
  eachName(queries, cell, focus(state)?.q, (q, own) => {
    const colour = styleName(figure, query_side, q, own, cell);
    write(figure, page.tokens[query_side][q], left - 7, top + (q + 0.5) * cell, {
      align: "right",
      colour,
      most: left - 12,
    });
  });
}

function drawColumnNames(figure, { left, top, cell }) {
  const { ink, page, state } = figure;
  const { keys, key_side } = state.stack;
  eachName(keys, cell, focus(state)?.k, (k, own) => {
    ink.save();
    ink.translate(left + (k + 0.5) * cell, top - 7);
    ink.rotate(-Math.PI / 2);
    const colour = styleName(figure, key_side, k, own, cell);
    write(figure, page.tokens[key_side][k], 0, 0, { colour, most: top - 14 });
    ink.restore();
  });
}

// The sums of the head that is shown: of its rows ("queries") or of its columns ("keys").
function sumsOf(state, side) {
  const { stack, layer } = state;
  const begin = (layer * stack.heads.length + chosenHeads(state)[0]) * stack[side];
  return stack.sums[side].subarray(begin, begin + stack[side]);
}

// Bars beside the rows and under the columns; a full bar is the largest sum.
function drawSums(figure, { left, top, cell, w, h }, rows, columns) {
  const { ink, colours, state } = figure;
  const at = focus(state);
  const thick = Math.min(8, cell < 3 ? cell : cell * 0.7);
  const begin = (i) => i * cell + (cell - thick) / 2;
  const most = columns.reduce((a, b) => Math.max(a, b), 1);
  const plain = fade(colours.line, 0.55);
  rows.forEach((sum, q) => {
    ink.fillStyle = at && at.q === q ? colours.accent : plain;
    ink.fillRect(left + w + 8, top + begin(q), 30 * sum, thick);
  });
  columns.forEach((sum, k) => {
    ink.fillStyle = at && at.k === k ? colours.accent : plain;
    ink.fillRect(left + begin(k), top + h + 8, thick, Math.max(0.5, (34 * sum) / most));
  });
  setFont(figure, 11);
  write(figure, "row sum", left + w + 8, top - 10, { colour: colours.muted });
  write(figure, "column sum", left - 7, top + h + 14, { align: "right", colour: colours.muted });
}

// What colour means what weight.
function drawScale(figure, x, y, w) {
  const { ink, colours, ramp } = figure;
  for (let i = 0; i < w; i++) {
    ink.fillStyle = `rgb(${ramp[Math.round((255 * i) / (w - 1))].join(",")})`;
    ink.fillRect(x + i, y, 1.5, 8);
  }
  outline(figure, x, y, w, 8);
  setFont(figure, 10);
  for (const tick of [0, 0.1, 0.5, 1])
    write(figure, String(tick), x + w * Math.sqrt(tick), y + 17, { align: "center", colour: colours.muted });
}

function hitMatrix(figure, x, y) {
  const { left, top, cell } = matrixPlaces(figure);
  const { queries, keys } = figure.state.stack;
  const q = Math.floor((y - top) / cell);
  const k = Math.floor((x - left) / cell);
  return q >= 0 && k >= 0 && q < queries && k < keys ? { q, k } : null;
}

function matrixStatus(figure) {
  const { state } = figure;
  const { stack, layer } = state;
  const at = focus(state);
  const head = chosenHeads(state)[0];
  const shares = sharesText(stack, stack.heads[head]);
  const where = `Layer ${stack.layers[layer]}, head ${stack.heads[head]}${shares && ` (${shares})`}.`;
  if (!at) return `${where} Rows look at columns; every row sums to 1. Point at a cell to read it.`;
  const names = `${tokenName(figure, stack.query_side, at.q)} looks at ${tokenName(figure, stack.key_side, at.k)}`;
  const most = strongest(stack, layer, head, at.q) === at.k ? ", its strongest" : "";
  const sum = stack.sums ? ` Column sum ${sumsOf(state, "keys")[at.k].toFixed(4)}.` : "";
  return `${where} ${names}: ${exact(stack, layer, head, at.q, at.k)}${most}.${sum}`;
}

function matrixKey(figure, key, by) {
  const { state } = figure;
  const { queries, keys } = state.stack;
  if (key === "Escape" && state.enlarged) return leaveHead(figure);
  if (!by) return false;
  const at = focus(state) || { q: -1, k: 0 };
  state.hover = { q: clamp(at.q + by[0], 0, queries - 1), k: clamp(at.k + by[1], 0, keys - 1) };
  if (state.locked) state.locked = state.hover;
  return true;
}
