// Lines between tokens, and beside them what every head looks at.

const HEADS_TOP = 34;

const headsView = Object.freeze({
  controls: ["kind", "layer", "heads", "pair", "special", "threshold"],
  hint: "↑ ↓ token · ← → head · Shift ↑ ↓ layer · Enter locks",
  label: "Attention lines between tokens",
  shifts: true,
  prepares: true,
  height: headsHeight,
  draw: drawHeads,
  hit: hitHeads,
  text: headsStatus,
  key: headsKey,
});

function headsHeight(figure) {
  return HEADS_TOP + figure.page.row * Math.max(shown(figure, "query").length, shown(figure, "key").length) + 14;
}

function headsPlaces({ width, state }) {
  const count = state.stack.heads.length;
  const text = clamp(width * 0.16, 70, 150);
  const left = text + 44;
  const right = left + clamp(width * 0.26, 120, 280);
  const strip = right + text + 14;
  const gaps = gapsIn(state.stack);
  const cell = clamp((width - strip - 100 - 6 * gaps) / count, 3, 18);
  return { text, left, right, strip, cell, bar: strip + cell * count + 6 * gaps + 14 };
}

// The left edge of a head's cells.
const cellX = (stack, { strip, cell }, place) => strip + place * cell + 6 * gapsBefore(stack, place);

// Where the middle of a row is.
const headsY = ({ page, scroll }, place) => HEADS_TOP + page.row * (place + 0.5) - scroll;

function drawHeads(figure) {
  const scene = {
    ...headsPlaces(figure),
    queries: shown(figure, "query"),
    keys: shown(figure, "key"),
    weights: mean(figure),
    at: focus(figure.state),
  };
  drawLines(figure, scene);
  drawTokens(figure, scene, "query");
  drawTokens(figure, scene, "key");
  drawStrip(figure, scene);
  drawHeadsHeader(figure, scene);
}

function drawLines(figure, scene) {
  const { ink, colours } = figure;
  const { at } = scene;
  linePaths(figure, scene).forEach((path, bucket) => {
    const strength = ((bucket + 0.5) / 14) ** 2;
    ink.strokeStyle = fade(at ? colours.accent : colours.line, Math.min(1, 0.1 + 1.1 * strength + (at ? 0.18 : 0)));
    ink.lineWidth = 0.8 + 3.2 * strength;
    ink.stroke(path);
  });
}

// The lines in sight, sorted by weight into at most 14 paths.
function linePaths(figure, { left, right, queries, keys, weights, at }) {
  const { page, state, scroll, height } = figure;
  const K = state.stack.keys;
  const [x0, x1] = [left + 6, right - 6];
  const middle = (x0 + x1) / 2;
  const first = (scroll - page.row - HEADS_TOP) / page.row;
  const last = (scroll + height) / page.row;
  const inSight = (place) => place >= first && place <= last;
  const paths = [];
  for (let a = 0; a < queries.length; a++) {
    if (at && at.side === "query" && at.i !== queries[a]) continue;
    const inside = inSight(a);
    const y0 = headsY(figure, a);
    for (let b = 0; b < keys.length; b++) {
      if (!inside && !inSight(b)) continue;
      const weight = weights[queries[a] * K + keys[b]];
      if (weight < state.threshold || (at && at.side === "key" && at.i !== keys[b])) continue;
      const path = (paths[Math.min(13, Math.floor(14 * Math.sqrt(weight)))] ??= new Path2D());
      const y1 = headsY(figure, b);
      path.moveTo(x0, y0);
      path.bezierCurveTo(middle, y0, middle, y1, x1, y1);
    }
  }
  return paths;
}

function drawTokens(figure, scene, role) {
  const { ink, colours, page, state, height } = figure;
  const { text, left, right, at } = scene;
  const isQuery = role === "query";
  const side = state.stack[`${role}_side`];
  const x = isQuery ? left - text - 4 : right;
  setFont(figure);
  (isQuery ? scene.queries : scene.keys).forEach((i, place) => {
    const y = headsY(figure, place);
    if (y < 0 || y > height + page.row) return;
    const given = at && at.side !== role ? markToken(figure, scene, isQuery, i, x, y) : 0;
    if (at && at.side === role && at.i === i) ring(figure, x + 0.5, y - 9, text + 3, 18);
    write(figure, page.tokens[side][i], isQuery ? left : right + 4, y, {
      align: isQuery ? "right" : "left",
      colour: page.special[side][i] && given < 0.2 ? colours.muted : colours.text,
      most: text - 4,
    });
    if (side === "encoder" && i === page.second && place > 0) {
      ink.fillStyle = colours.faint;
      ink.fillRect(x, y - page.row / 2, text + 4, 1);
    }
  });
}

// Tint a token by what it gives to, or gets from, the one under the pointer on the other side; that weight.
function markToken(figure, { weights, text, at }, isQuery, i, x, y) {
  const { colours, state } = figure;
  const K = state.stack.keys;
  const weight = isQuery ? weights[i * K + at.i] : weights[at.i * K + i];
  if (weight > 0.02) box(figure, x, y - 9, text + 4, 18, fade(colours.accent, Math.min(0.75, 0.06 + 0.8 * weight)));
  if (!isQuery || weight < 0.01) return weight;
  setFont(figure, 11);
  write(figure, weight.toFixed(2), x - 8, y, { align: "right", colour: colours.muted });
  setFont(figure);
  return weight;
}

// For every key a cell for each head, and a bar for their mean: of the query under the pointer, or of all queries.
function drawStrip(figure, { strip, cell, bar, queries, keys, weights, at }) {
  const place = { strip, cell };
  const { ink, colours, ramp, page, state, width, height } = figure;
  const { stack, layer } = state;
  const heads = chosenHeads(state);
  const q = at && at.side === "query" ? at.i : null;
  const rows = q === null ? received(figure, queries) : queryRows(stack, layer, q);
  const means = q === null ? meanOf(rows, heads) : weights.subarray(q * stack.keys, (q + 1) * stack.keys);
  const scale = clamp(width - bar - 46, 20, 90);
  setFont(figure, 11);
  keys.forEach((k, row) => {
    const y = headsY(figure, row);
    if (y < 0 || y > height + page.row) return;
    rows.forEach((given, h) => {
      const x = cellX(stack, place, h);
      ink.globalAlpha = heads.includes(h) ? 1 : 0.25;
      ink.fillStyle = heat(ramp, given[k]);
      ink.fillRect(x, y - 9, Math.max(1, cell - 1.5), 18);
      if (at && at.cell === h && at.i === k) ring(figure, x - 0.5, y - 9.5, cell - 0.5, 19);
    });
    ink.globalAlpha = 1;
    if (means[k] < 0.005) return;
    box(figure, bar, y - 4, Math.max(1.5, scale * means[k]), 8, q === null ? colours.line : colours.accent, 2);
    write(figure, means[k].toFixed(2), bar + scale * means[k] + 6, y, { colour: colours.muted });
  });
}

// What every head of a layer gives to the keys for one query: [head][key].
function queryRows(stack, layer, q) {
  return stack.heads.map((_, head) => plane(stack, layer, head).subarray(q * stack.keys, (q + 1) * stack.keys));
}

const meanOf = (rows, heads) =>
  heads.reduce((sums, h) => sums.map((sum, k) => sum + rows[h][k] / heads.length), new Float32Array(rows[0].length));

function drawHeadsHeader(figure, { left, right, strip, cell, bar, at }) {
  const { ink, colours, page, state, width } = figure;
  const { muted, faint, accent } = colours;
  const query = at && at.side === "query" ? page.tokens[state.stack.query_side][at.i] : null;
  ink.fillStyle = colours.background;
  ink.fillRect(0, 0, width, HEADS_TOP - 4);
  setFont(figure, 11);
  write(figure, "query", left, 18, { align: "right", colour: muted });
  write(figure, "looks at key", right + 4, 18, { colour: muted });
  write(figure, query === null ? "received, mean" : `from ${query}`, bar, 18, {
    colour: query === null ? muted : accent,
    most: width - bar,
  });
  const heads = chosenHeads(state);
  const every = Math.ceil(17 / cell);
  const x = (place) => cellX(state.stack, { strip, cell }, place);
  state.stack.heads.forEach((head, h) => {
    if (h % every) return;
    const colour = heads.includes(h) ? muted : faint;
    write(figure, String(head), x(h) + 0.5 * cell - 0.75, 18, { align: "center", colour });
  });
  drawGroups(figure, state.stack, 5, x, (place) => x(place) + cell - 1.5);
}

function hitHeads(figure, x, y) {
  const { left, right, strip, cell } = headsPlaces(figure);
  const row = Math.floor((y + figure.scroll - HEADS_TOP) / figure.page.row);
  if (y < HEADS_TOP - 4) return null;
  const queries = shown(figure, "query");
  const keys = shown(figure, "key");
  if (x < left + 6) return row < queries.length ? { side: "query", i: queries[row] } : null;
  if (x < right - 6 || row >= keys.length) return null;
  const { stack } = figure.state;
  const head = stack.heads.findLastIndex((_, place) => x >= cellX(stack, { strip, cell }, place));
  const inside = head >= 0 && x < cellX(stack, { strip, cell }, head) + cell;
  return { side: "key", i: keys[row], cell: inside ? head : null };
}

function headsStatus(figure) {
  const { stack, layer } = figure.state;
  const at = focus(figure.state);
  const where = `Layer ${stack.layers[layer]}, ${headsText(figure.state)}.`;
  const shared = isGrouped(stack) ? ` The ${stack.shared} heads under a bracket share their keys.` : "";
  if (!at) return `${where} Point at a token; click to hold it.${shared}`;
  const isQuery = at.side === "query";
  const [own, other] = isQuery ? [stack.query_side, stack.key_side] : [stack.key_side, stack.query_side];
  const weights = mean(figure);
  const weight = (i) => weights[isQuery ? at.i * stack.keys + i : i * stack.keys + at.i];
  const text = (i) => (isQuery ? meanText(figure, at.i, i) : meanText(figure, i, at.i));
  const list = shown(figure, isQuery ? "key" : "query")
    .sort((a, b) => weight(b) - weight(a))
    .slice(0, 4)
    .map((i) => `${tokenName(figure, other, i)} ${text(i)}`)
    .join(" · ");
  return `${where} ${tokenName(figure, own, at.i)} ${isQuery ? "looks at" : "is looked at by"} ${list}`;
}

function headsKey(figure, key, by) {
  if (!by) return false;
  if (by[1]) goHead(figure, by[1]);
  else moveToken(figure, by[0]);
  return true;
}

function moveToken(figure, by) {
  const { state, stage, height } = figure;
  const { row } = figure.page;
  const list = shown(figure, "query");
  const at = focus(state);
  const place = at && at.side === "query" ? list.indexOf(at.i) + by : by > 0 ? 0 : list.length - 1;
  if (place < 0 || place >= list.length) return;
  state.hover = { side: "query", i: list[place] };
  if (state.locked) state.locked = state.hover;
  const y = HEADS_TOP + row * place;
  if (y - stage.scrollTop < HEADS_TOP) stage.scrollTop = y - HEADS_TOP;
  if (y - stage.scrollTop > height - 2 * row) stage.scrollTop = y - height + 2 * row;
}
