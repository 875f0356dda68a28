// How one head arrives at its weights for one token: q·k by dimension, scores, softmax.

const QUERY_TOP = 92;

const queryKeyView = Object.freeze({
  controls: ["token", "shownHead"],
  hint: "↑ ↓ token · ← → head",
  label: "Queries and keys of one head, dimension by dimension",
  load: loadQueryKey,
  height: ({ page }) => QUERY_TOP + page.row * page.keys + 12,
  draw: drawQueryKey,
  hit: hitQueryKey,
  click: chooseQuery,
  text: queryKeyStatus,
  key: queryKeyKey,
});

async function loadQueryKey({ page, floats }) {
  for (const name of Object.keys(page.packed)) floats[name] = await unpackFloats(page.packed[name]);
  floats.biased = floats.bias.some((one) => one !== 0 && one !== -Infinity);
}

function queryKeyPlaces({ page, width }) {
  const text = clamp(width * 0.13, 60, 130);
  const left = text + 12;
  const strip = Math.max(40, (width - left - 274) / 2);
  const cell = Math.min(strip / page.width, Math.max(11, 200 / page.width));
  const product = left + cell * page.width + 20;
  const score = product + cell * page.width + 62;
  return { left, text, cell, gap: cell > 5 ? 1 : 0, product, score, bar: score + 14 };
}

// The numbers of the head and the query that are shown: q, the k of every key, and what they give.
function queryKeyNumbers({ page, state, floats }) {
  const { width: d, queries, keys } = page;
  const head = page.shown.indexOf(state.head);
  const part = (values, at, length) => values.subarray(at * length, (at + 1) * length);
  const row = head * queries + state.token;
  return {
    query: part(floats.query, row, d),
    key: (k) => part(floats.key, head * keys + k, d),
    bias: part(floats.bias, row, keys),
    weights: part(floats.weights, row, keys),
  };
}

function drawQueryKey(figure) {
  const { ink, colours, page, scroll, width, height } = figure;
  const numbers = queryKeyNumbers(figure);
  const scene = { ...queryKeyPlaces(figure), ...numbers, most: largest(numbers, page.keys), at: focus(figure.state) };
  for (let k = 0; k < page.keys; k++) {
    const y = QUERY_TOP + page.row * (k + 0.5) - scroll;
    if (y >= QUERY_TOP - page.row && y <= height + page.row) drawKey(figure, scene, k, y);
  }
  ink.fillStyle = colours.background;
  ink.fillRect(0, 0, width, QUERY_TOP - 2);
  drawQuery(figure, scene);
  drawSigns(figure, scene);
}

// The largest numbers set the scales: one for q, one for k, one for the products.
function largest({ query, key }, keys) {
  const most = { q: 1e-9, k: 1e-9, product: 1e-9 };
  for (const value of query) most.q = Math.max(most.q, Math.abs(value));
  for (let k = 0; k < keys; k++) {
    key(k).forEach((value, i) => {
      most.k = Math.max(most.k, Math.abs(value));
      most.product = Math.max(most.product, Math.abs(value * query[i]));
    });
  }
  return most;
}

// A number as a coloured box: its sign is the hue, its size the strength.
function drawSigned({ ink, colours }, x, y, w, h, value, most) {
  ink.fillStyle = fade(value < 0 ? colours.negative : colours.positive, Math.abs(value) / most);
  ink.fillRect(x, y, w, h);
}

function drawKey(figure, scene, k, y) {
  const { ink, colours, page } = figure;
  const { left, product, cell, gap, query, bias, most, at } = scene;
  const key = scene.key(k);
  const masked = bias[k] === -Infinity;
  ink.fillStyle = colours.panel;
  for (const x of [left, product]) ink.fillRect(x - 2, y - 9, cell * page.width + 4 - gap, 18);
  let dot = 0;
  for (let i = 0; i < page.width; i++) {
    dot += query[i] * key[i];
    drawSigned(figure, left + i * cell, y - 8, cell - gap, 16, key[i], most.k);
    if (!masked) drawSigned(figure, product + i * cell, y - 8, cell - gap, 16, query[i] * key[i], most.product);
  }
  if (at && at.k === k && at.i !== undefined)
    for (const x of [left, product]) ring(figure, x + at.i * cell - 1, y - 9, cell + 2 - gap, 18, colours.accent, 2);
  drawScore(figure, scene, k, y, masked ? null : dot * page.scaling + bias[k]);
}

// The name of a key, its score and its weight; a masked key has no score.
function drawScore(figure, { left, text, score, bar, weights }, k, y, value) {
  const { colours, page, state, width } = figure;
  const own = page.query_side === page.key_side && k === state.token;
  const masked = value === null;
  setFont(figure);
  write(figure, page.tokens[page.key_side][k], left - 12, y, {
    align: "right",
    colour: own ? colours.accent : page.special[page.key_side][k] ? colours.muted : colours.text,
    most: text - 4,
  });
  setFont(figure, 12);
  write(figure, masked ? "masked" : number(value, 2), score, y, {
    align: "right",
    colour: masked ? colours.faint : colours.text,
  });
  if (masked) return;
  const long = Math.max(20, width - bar - 66) * weights[k];
  box(figure, bar, y - 5, Math.max(1.5, long), 10, colours.line, 2);
  write(figure, weights[k].toFixed(4), bar + long + 6, y, { colour: colours.muted });
}

function drawQuery(figure, { left, text, cell, gap, product, score, bar, query, most, at }) {
  const { ink, colours, page, state } = figure;
  const { accent, muted } = colours;
  const d = page.width;
  setFont(figure, 13, "600");
  write(figure, page.tokens[page.query_side][state.token], left - 12, 40, {
    align: "right",
    colour: accent,
    most: text - 4,
  });
  ink.fillStyle = colours.panel;
  ink.fillRect(left - 2, 30, cell * d + 4 - gap, 20);
  for (let i = 0; i < d; i++) drawSigned(figure, left + i * cell, 31, cell - gap, 18, query[i], most.q);
  if (at && at.i !== undefined) ring(figure, left + at.i * cell - 1, 30, cell + 2 - gap, 20, accent, 2);
  setFont(figure, 11);
  write(figure, `query q, ${d} dimensions`, left, 16, { colour: muted });
  const shares = sharesText(page, state.head);
  const keys = `key k of every token${shares && ` (${shares.replace("keys with", "them with")})`}`;
  write(figure, keys, left, 76, { colour: muted, most: cell * d + 14 });
  write(figure, "q × k, dimension by dimension", product, 76, { colour: muted });
  write(figure, "score", score, 76, { align: "right", colour: muted });
  write(figure, "softmax", bar, 76, { colour: muted });
}

// What the colours mean, and how a score is computed.
function drawSigns(figure, { product: x }) {
  const { colours, page, floats, width } = figure;
  const w = 44;
  for (let i = -w; i < w; i++) drawSigned(figure, x + w + i, 36, 1.2, 8, i, w);
  setFont(figure, 11);
  write(figure, "negative", x, 22, { colour: colours.muted });
  write(figure, "positive", x + 2 * w, 22, { align: "right", colour: colours.muted });
  const formula = `score = sum × ${page.scaling.toPrecision(3)}${floats.biased ? " + bias" : ""}`;
  write(figure, formula, x + 2 * w + 20, 40, { colour: colours.muted, most: width - x - 2 * w - 24 });
}

function hitQueryKey(figure, x, y) {
  const { page, scroll } = figure;
  const { left, product, cell } = queryKeyPlaces(figure);
  const i = [left, product]
    .map((begin) => Math.floor((x - begin) / cell))
    .find((place) => place >= 0 && place < page.width);
  if (y > 28 && y < 52 && x >= left) return { k: null, i };
  const k = Math.floor((y + scroll - QUERY_TOP) / page.row);
  return y < QUERY_TOP || k >= page.keys ? null : { k, i };
}

function chooseQuery(figure, { k }) {
  const { page } = figure;
  if (k === null || k >= page.queries || page.query_side !== page.key_side) return;
  rebuild(figure, { token: k, hover: null });
}

const number = (value, digits) => value.toFixed(digits).replace("-", "−");

function queryKeyStatus(figure) {
  const { page, state } = figure;
  const { query, key, bias, weights } = queryKeyNumbers(figure);
  const at = focus(state);
  const where = `Layer ${page.layer}, head ${state.head}, ${tokenName(figure, page.query_side, state.token)}.`;
  if (!at || at.k === null) {
    const shares = sharesText(page, state.head);
    const shared = shares && ` Head ${state.head} ${shares}.`;
    const click = page.query_side === page.key_side ? " Click a token to make it the query." : "";
    return `${where} Scores become weights by softmax.${shared}${click}`;
  }
  const whose = `${where} ${tokenName(figure, page.key_side, at.k)}`;
  const one = key(at.k);
  if (at.i !== undefined) {
    const [q, k] = [query[at.i], one[at.i]];
    return `${whose}, dimension ${at.i}: q ${number(q, 3)} × k ${number(k, 3)} = ${number(q * k, 3)}`;
  }
  if (bias[at.k] === -Infinity) return `${whose} is masked: it comes later, and its weight is 0.`;
  const dot = query.reduce((sum, value, i) => sum + value * one[i], 0);
  const score = number(dot * page.scaling + bias[at.k], 3);
  return `${whose}: q·k ${number(dot, 3)}, score ${score}, weight ${weights[at.k].toFixed(4)}`;
}

function queryKeyKey(figure, key, by) {
  if (!by) return false;
  const { page, state } = figure;
  const heads = page.shown;
  if (by[0]) state.token = clamp(state.token + by[0], 0, page.queries - 1);
  else state.head = heads[clamp(heads.indexOf(state.head) + by[1], 0, heads.length - 1)];
  build(figure);
  return true;
}
