// The page inside a view's frame. It holds five views (heads, model, matrix, query_key, cross), each an object with
//   controls     names of what its toolbar offers
//   height(w)    CSS pixels that it would like, w wide; more than the stage has makes the stage scroll
//   draw(w, h)   draw on `ink`, w × h CSS pixels; `scroll` pixels above are scrolled away
//   hit(x, y)    what is under the pointer, or null
//   text()       what the status line says, and a screen reader
//   key(name)    do what a key means; true when it meant something
// Weights come as described in coding.py; `plane` is the twin of `decode_layer` there.

const page = JSON.parse(document.getElementById("page").textContent);
const stacks = page.stacks || [];
const state = {
  stack: 0,
  layer: stacks.length ? stacks[0].layers.indexOf(page.layer) : 0, // a place in stack.layers, as heads are in stack.heads
  heads: [],
  pair: "all",
  special: true,
  threshold: Math.max(0, ...stacks.map((one) => one.keys)) > 100 ? 0.05 : 0.02,
  hover: null,
  locked: null,
  token: page.token || 0,
  step: 0,
  enlarged: null,
};
const stack = () => stacks[state.stack];
const focus = () => state.locked || state.hover;

// ---------------------------------------------------------------------------------------------------------------- bytes

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function unpack(packed) {
  const raw = fromBase64(packed.data);
  if (!packed.gzip) return raw;
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpackFloats(packed) {
  const raw = await unpack(packed);
  return new Float32Array(raw.buffer, raw.byteOffset, raw.byteLength / 4);
}

// The bytes of one layer, split into its parts; kept, as a layer is only ever unpacked once.
function layerBytes(stack, layer) {
  stack.bytes ??= [];
  stack.bytes[layer] ??= unpack(stack.packed[layer]).then((raw) => {
    const rows = stack.heads.length * stack.queries;
    const count = rows * stack.keys;
    const rest = (1 + stack.wide) * count;
    const two = (from) => Uint16Array.from({ length: rows }, (_, i) => raw[from + i] | (raw[from + rows + i] << 8));
    stack.ready ??= [];
    stack.ready[layer] = {
      low: raw,
      high: stack.wide ? raw.subarray(count) : null,
      top: two(rest),
      peak: two(rest + 2 * rows),
    };
    stack.packed[layer] = null; // its text is no longer needed
    return stack.ready[layer];
  });
  return stack.bytes[layer];
}

// The weights of one head as Float32Array [query][key]. Its layer must be unpacked.
function plane(stack, layer, head) {
  stack.planes ??= new Map();
  const name = layer * stack.heads.length + head;
  let found = stack.planes.get(name);
  if (!found) {
    if (stack.planes.size * stack.queries * stack.keys > 8e6) stack.planes.clear();
    stack.planes.set(name, (found = newPlane(stack, layer, head)));
  }
  return found;
}

function newPlane(stack, layer, head) {
  const { queries: Q, keys: K, step } = stack;
  const { low, high, top, peak } = stack.ready[layer];
  const values = new Float32Array(Q * K);
  const begin = head * Q * K;
  for (let k = 0, from = begin; k < K; k++) {
    for (let q = 0, to = k; q < Q; q++, from++, to += K) {
      const cell = high ? low[from] | (high[from] << 8) : low[from];
      if (cell) values[to] = cell * step;
    }
  }
  for (let q = 0; q < Q; q++) {
    const most = Math.fround(peak[head * Q + q] * 1e-4); // as it will be stored
    finishRow(stack, values.subarray(q * K, q * K + K), q, top[head * Q + q], most);
  }
  return values;
}

// Keep the strongest key the strongest, and share what is missing to 1 among the weights that were rounded to 0.
function finishRow(stack, row, q, strongest, most) {
  let sum = 0,
    zeros = 0;
  const last = stack.causal ? Math.min(q + 1, row.length) : row.length;
  for (let k = 0; k < row.length; k++) {
    if (k === strongest) row[k] = most;
    else if (row[k] >= most) row[k] = Math.max(0, most - 1e-6);
    sum += row[k];
    if (row[k] === 0 && k < last) zeros++;
  }
  if (stack.step <= 1e-3 || !zeros) return;
  const share = Math.max(0, Math.min((1 - sum) / zeros, stack.step / 2, most - 1e-6));
  for (let k = 0; k < last; k++) if (row[k] === 0) row[k] = share;
}

const strongest = (stack, layer, head, q) => stack.ready[layer].top[head * stack.queries + q];

// A weight in words, with no digit that is not the tensor's own.
function exact(stack, layer, head, q, k) {
  const value = plane(stack, layer, head)[q * stack.keys + k];
  if (strongest(stack, layer, head, q) === k || stack.step <= 1e-4) return value.toFixed(4);
  if (stack.step <= 1e-3) return value.toFixed(3);
  if (stack.causal && k > q) return "0";
  const { low, high } = stack.ready[layer];
  const at = (head * stack.keys + k) * stack.queries + q;
  const cell = high ? low[at] | (high[at] << 8) : low[at];
  const digits = stack.step < 5e-3 ? 3 : 4;
  return cell
    ? `${(cell * stack.step).toFixed(digits - 1)} ± ${(stack.step / 2).toFixed(digits)}`
    : `less than ${(stack.step / 2).toFixed(digits)}`;
}

// What was computed from the planes of a layer is kept too, up to 8 million numbers.
const kept = new Map();
let keptNumbers = 0;
function keep(name, compute) {
  let found = kept.get(name);
  if (found) return found;
  found = compute();
  if (keptNumbers > 8e6) (kept.clear(), (keptNumbers = 0));
  keptNumbers += found.length * (found[0].length || 1);
  kept.set(name, found);
  return found;
}

// The mean over the chosen heads: [query][key].
function mean(stack, layer) {
  const heads = chosenHeads();
  if (heads.length === 1) return plane(stack, layer, heads[0]);
  return keep(`mean/${stack.kind}/${layer}/${heads}`, () => {
    const values = new Float32Array(stack.queries * stack.keys);
    for (const head of heads) {
      const one = plane(stack, layer, head);
      for (let i = 0; i < values.length; i++) values[i] += one[i];
    }
    for (let i = 0; i < values.length; i++) values[i] /= heads.length;
    return values;
  });
}

// How much every key gets on average over the queries shown, per head: [head][key].
function received(stack, layer, queries) {
  return keep(`received/${stack.kind}/${layer}/${queries.length}/${queries[0]}`, () =>
    stack.heads.map((_, head) => {
      const one = plane(stack, layer, head),
        sums = new Float32Array(stack.keys);
      for (const q of queries) for (let k = 0, i = q * stack.keys; k < stack.keys; k++, i++) sums[k] += one[i];
      return sums.map((sum) => sum / queries.length);
    }),
  );
}

const chosenHeads = () => (state.heads.length ? state.heads : stack().heads.map((_, place) => place));

// ------------------------------------------------------------------------------------------------------------- elements

function make(tag, properties = {}, ...children) {
  const { aria, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  for (const [name, value] of Object.entries(aria || {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children);
  return element;
}

const canvas = make("canvas", { tabIndex: 0 });
const ink = canvas.getContext("2d");
const spacer = make("div", { className: "spacer" });
const stage = make("div", { className: "stage" }, canvas, spacer);
const toolbar = make("div", { className: "toolbar" });
const status = make("output", { aria: { live: "polite" } });
const keys = make("span", { className: "keys" });
let width = 0,
  height = 0,
  scroll = 0,
  colours = {},
  ramp = [];

let family = "";
function setFont(size = 13, weight = "") {
  family ||= getComputedStyle(document.body).fontFamily;
  ink.font = `${weight} ${size}px ${family}`;
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of [
    "background",
    "panel",
    "hairline",
    "text",
    "muted",
    "faint",
    "line",
    "accent",
    "positive",
    "negative",
  ]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
  const stops = style.getPropertyValue("--ramp").trim().split(/\s+/).map(rgb);
  ramp = Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1),
      low = Math.min(Math.floor(at), stops.length - 2);
    return stops[low].map((one, c) => Math.round(one + (stops[low + 1][c] - one) * (at - low)));
  });
  thumbnails.clear();
}

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const fade = (hex, alpha) => `rgba(${rgb(hex).join(",")},${alpha})`;
// Small weights count: colour follows the square root.
const shade = (weight) => Math.round(255 * Math.sqrt(Math.max(0, Math.min(1, weight))));
const heat = (weight) => `rgb(${ramp[shade(weight)].join(",")})`;

// A sandboxed frame can't ask for the theme. Its host makes it a little higher where it is dark; by itself it asks the system.
function hostIsDark() {
  if (window.parent === window) return matchMedia("(prefers-color-scheme: dark)").matches;
  return innerHeight > page.height + page.dark_extra / 2;
}
let theme = null; // what the reader chose, if they did
function setTheme() {
  const dark = theme === null ? hostIsDark() : theme === "dark";
  const name = dark ? "dark" : "light";
  if (document.documentElement.dataset.theme === name) return;
  document.documentElement.dataset.theme = name;
  readColours();
}

// ------------------------------------------------------------------------------------------------------------- labels

const labels = (side) => page.tokens[side];
const name = (side, i) => `“${page.tokens[side][i]}”`;

// Write a label that fits; a leading ␣ is faint, as it is no letter of the text.
function write(label, x, y, { align = "left", colour = colours.text, most = 1e4 } = {}) {
  let text = label;
  if (ink.measureText(text).width > most) {
    let letters = Array.from(text);
    while (letters.length > 1 && ink.measureText(letters.join("") + "…").width > most) letters.pop();
    text = letters.join("") + "…";
  }
  const left =
    align === "right" ? x - ink.measureText(text).width : align === "center" ? x - ink.measureText(text).width / 2 : x;
  ink.textAlign = "left";
  ink.textBaseline = "middle";
  ink.fillStyle = colour;
  if (!text.startsWith("␣") || text === "␣") {
    ink.fillText(text, left, y);
    return;
  }
  const shift = ink.measureText("␣").width;
  ink.fillText(text.slice(1), left + shift, y);
  ink.fillStyle = colours.faint;
  ink.fillText("␣", left, y);
}

function box(x, y, w, h, colour, radius = 3) {
  ink.fillStyle = colour;
  ink.beginPath();
  ink.roundRect(x, y, w, h, radius);
  ink.fill();
}

function ring(x, y, w, h, colour = colours.accent, radius = 3) {
  ink.strokeStyle = colour;
  ink.lineWidth = 1.5;
  ink.beginPath();
  ink.roundRect(x, y, w, h, radius);
  ink.stroke();
}

// Text on a box shaded by weight: dark on light and light on dark, whichever reads.
function onHeat(weight) {
  const [r, g, b] = ramp[shade(weight)];
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#10151d" : "#ffffff";
}

const percent = (weight) =>
  weight >= 0.995 ? "100 %" : weight >= 0.0995 ? `${(100 * weight).toFixed(0)} %` : `${(100 * weight).toFixed(1)} %`;
const meanText = (weight) => (chosenHeads().length > 1 ? "≈ " : "") + weight.toFixed(stack().step <= 1e-3 ? 3 : 2);

const number = (value, digits) => value.toFixed(digits).replace("-", "−");

// Queries and keys that the filters leave.
function shown(side) {
  const tokens = labels(side === "query" ? stack().query_side : stack().key_side);
  const name = side === "query" ? stack().query_side : stack().key_side;
  const half = state.pair === "all" ? null : state.pair[side === "query" ? 0 : 1];
  const found = [];
  for (let i = 0; i < tokens.length; i++) {
    if (!state.special && page.special[name][i]) continue;
    if (half && (i >= page.second ? "B" : "A") !== half) continue;
    found.push(i);
  }
  return found;
}

// ---------------------------------------------------------------------------------------------------------- heads view

const headsView = {
  controls: ["kind", "layer", "heads", "pair", "special", "threshold"],
  hint: "↑ ↓ token · ← → head · Shift ↑ ↓ layer · Enter locks",
  label: "Attention lines between tokens",
  row: 20,
  top: 34,

  height() {
    return this.top + this.row * Math.max(shown("query").length, shown("key").length) + 14;
  },

  places() {
    const text = Math.min(150, Math.max(70, width * 0.16));
    const left = text + 44,
      right = left + Math.min(280, Math.max(120, width * 0.26));
    const strip = right + text + 14;
    const cell = Math.max(3, Math.min(18, (width - strip - 100) / stack().heads.length));
    return { text, left, right, strip, cell, bar: strip + cell * stack().heads.length + 14 };
  },

  y(place) {
    return this.top + this.row * (place + 0.5) - scroll;
  },

  draw() {
    const place = this.places(),
      queries = shown("query"),
      keys = shown("key");
    const weights = mean(stack(), state.layer);
    const at = focus();
    this.lines(place, queries, keys, weights, at);
    this.tokens(place, "query", queries, weights, at);
    this.tokens(place, "key", keys, weights, at);
    this.strip(place, queries, keys, weights, at);
    this.header(place, at);
  },

  lines({ left, right }, queries, keys, weights, at) {
    const K = stack().keys,
      buckets = Array.from({ length: 14 }, () => new Path2D()),
      used = [];
    const x0 = left + 6,
      x1 = right - 6,
      middle = (x0 + x1) / 2;
    const first = (scroll - this.row) / this.row - this.top / this.row,
      last = (scroll + height) / this.row;
    for (let a = 0; a < queries.length; a++) {
      const q = queries[a],
        inside = a >= first && a <= last;
      if (at && at.side === "query" && at.i !== q) continue;
      for (let b = 0; b < keys.length; b++) {
        if (!inside && !(b >= first && b <= last)) continue;
        const k = keys[b],
          weight = weights[q * K + k];
        if (weight < state.threshold || (at && at.side === "key" && at.i !== k)) continue;
        const bucket = Math.min(13, Math.floor(14 * Math.sqrt(weight)));
        const path = buckets[bucket],
          y0 = this.y(a),
          y1 = this.y(b);
        used[bucket] = true;
        path.moveTo(x0, y0);
        path.bezierCurveTo(middle, y0, middle, y1, x1, y1);
      }
    }
    buckets.forEach((path, bucket) => {
      if (!used[bucket]) return;
      const strength = ((bucket + 0.5) / 14) ** 2;
      ink.strokeStyle = fade(at ? colours.accent : colours.line, Math.min(1, 0.1 + 1.1 * strength + (at ? 0.18 : 0)));
      ink.lineWidth = 0.8 + 3.2 * strength;
      ink.stroke(path);
    });
  },

  tokens({ text, left, right }, side, list, weights, at) {
    const K = stack().keys,
      isQuery = side === "query";
    const from = isQuery ? stack().query_side : stack().key_side,
      names = labels(from);
    setFont();
    list.forEach((i, place) => {
      const y = this.y(place);
      if (y < 0 || y > height + this.row) return;
      const x = isQuery ? left - text - 4 : right;
      const own = at && at.side === side && at.i === i;
      if (at && at.side !== side && at.side !== "cell") {
        const weight = isQuery ? weights[i * K + at.i] : weights[at.i * K + i];
        if (weight > 0.02) box(x, y - 9, text + 4, 18, fade(colours.accent, Math.min(0.75, 0.06 + 0.8 * weight)));
        if (isQuery && weight >= 0.01) {
          setFont(11);
          write(weight.toFixed(2), x - 8, y, { align: "right", colour: colours.muted });
          setFont();
        }
      }
      if (own) ring(x + 0.5, y - 9, text + 3, 18);
      const colour = page.special[from][i] ? colours.muted : colours.text;
      write(names[i], isQuery ? left : right + 4, y, { align: isQuery ? "right" : "left", colour, most: text - 4 });
      if (page.second !== null && from === "encoder" && i === page.second && place > 0) {
        ink.fillStyle = colours.faint;
        ink.fillRect(x, y - this.row / 2, text + 4, 1);
      }
    });
  },

  strip({ strip, cell, bar }, queries, keys, weights, at) {
    const s = stack(),
      heads = chosenHeads(),
      q = at && at.side === "query" ? at.i : null;
    const average = q === null ? received(s, state.layer, queries) : null;
    const scale = Math.max(20, Math.min(90, width - bar - 46));
    const known = average
      ? heads.reduce((sums, h) => sums.map((sum, k) => sum + average[h][k] / heads.length), new Float32Array(s.keys))
      : null;
    setFont(11);
    keys.forEach((k, place) => {
      const y = this.y(place);
      if (y < 0 || y > height + this.row) return;
      for (let h = 0; h < s.heads.length; h++) {
        const weight = q === null ? average[h][k] : plane(s, state.layer, h)[q * s.keys + k];
        ink.globalAlpha = heads.includes(h) ? 1 : 0.25;
        ink.fillStyle = heat(weight);
        ink.fillRect(strip + h * cell, y - 9, Math.max(1, cell - 1.5), 18);
        if (at && at.cell === h && at.side === "key" && at.i === k)
          ring(strip + h * cell - 0.5, y - 9.5, cell - 0.5, 19);
      }
      ink.globalAlpha = 1;
      const weight = q === null ? known[k] : weights[q * s.keys + k];
      if (weight < 0.005) return;
      box(bar, y - 4, Math.max(1.5, scale * weight), 8, q === null ? colours.line : colours.accent, 2);
      write(weight.toFixed(2), bar + scale * weight + 6, y, { colour: colours.muted });
    });
  },

  header({ text, left, right, strip, cell, bar }, at) {
    ink.fillStyle = colours.background;
    ink.fillRect(0, 0, width, this.top - 4);
    setFont(11);
    const from = at && at.side === "query" ? `from ${labels(stack().query_side)[at.i]}` : "received, mean";
    write("query", left, 18, { align: "right", colour: colours.muted });
    write("looks at key", right + 4, 18, { colour: colours.muted });
    write(from, bar, 18, { colour: at && at.side === "query" ? colours.accent : colours.muted, most: width - bar });
    const every = Math.ceil(17 / cell);
    stack().heads.forEach((head, h) => {
      if (h % every) return;
      write(String(head), strip + (h + 0.5) * cell - 0.75, 18, {
        align: "center",
        colour: chosenHeads().includes(h) ? colours.muted : colours.faint,
      });
    });
  },

  hit(x, y) {
    const place = this.places(),
      row = Math.floor((y + scroll - this.top) / this.row);
    if (y < this.top - 4) return null;
    const queries = shown("query"),
      keys = shown("key");
    if (x < place.left + 6) return row < queries.length ? { side: "query", i: queries[row] } : null;
    if (x < place.right - 6 || row >= keys.length) return null;
    const cell = Math.floor((x - place.strip) / place.cell);
    const head = x >= place.strip && cell < stack().heads.length ? cell : null;
    return { side: "key", i: keys[row], cell: head };
  },

  text() {
    const at = focus(),
      s = stack(),
      where = `Layer ${s.layers[state.layer]}, ${headsText()}.`;
    if (!at) return `${where} Point at a token; click to hold it.`;
    if (at.cell !== undefined && at.cell !== null && state.locked && state.locked.side === "query") return where;
    const weights = mean(s, state.layer),
      isQuery = at.side === "query";
    const others = (isQuery ? shown("key") : shown("query")).map((i) => [
      i,
      isQuery ? weights[at.i * s.keys + i] : weights[i * s.keys + at.i],
    ]);
    others.sort((a, b) => b[1] - a[1]);
    const side = isQuery ? s.key_side : s.query_side;
    const single = chosenHeads().length === 1 ? chosenHeads()[0] : null;
    const value = (i, weight) =>
      single === null
        ? meanText(weight)
        : isQuery
          ? exact(s, state.layer, single, at.i, i)
          : exact(s, state.layer, single, i, at.i);
    const list = others
      .slice(0, 4)
      .map(([i, weight]) => `${name(side, i)} ${value(i, weight)}`)
      .join(" · ");
    return `${where} ${name(isQuery ? s.query_side : s.key_side, at.i)} ${isQuery ? "looks at" : "is looked at by"} ${list}`;
  },

  key(event) {
    if (event === "ArrowUp" || event === "ArrowDown") return moveToken(event === "ArrowDown" ? 1 : -1);
    return false;
  },
};

function headsText() {
  const heads = chosenHeads(),
    all = stack().heads;
  if (heads.length === 1) return `head ${all[heads[0]]}`;
  return heads.length === all.length
    ? `mean of all ${all.length} heads`
    : `mean of heads ${heads.map((h) => all[h]).join(", ")}`;
}

function moveToken(by) {
  const list = shown("query"),
    at = focus();
  const place = at && at.side === "query" ? list.indexOf(at.i) + by : by > 0 ? 0 : list.length - 1;
  if (place < 0 || place >= list.length) return true;
  const next = { side: "query", i: list[place] };
  state.hover = next;
  if (state.locked) state.locked = next;
  const y = headsView.top + headsView.row * place;
  if (y - stage.scrollTop < headsView.top) stage.scrollTop = y - headsView.top;
  if (y - stage.scrollTop > height - 2 * headsView.row) stage.scrollTop = y - height + 2 * headsView.row;
  return true;
}

// --------------------------------------------------------------------------------------------------------- matrix view

const thumbnails = new Map();

// One head as a picture of w × h pixels; where pixels are fewer than cells, each shows the strongest of its cells.
function picture(stack, layer, head, w, h) {
  const { queries: Q, keys: K } = stack,
    values = plane(stack, layer, head);
  const columns = Math.min(K, w),
    rows = Math.min(Q, h);
  const strongest = new Float32Array(columns * rows);
  for (let q = 0; q < Q; q++) {
    const to = Math.floor((q * rows) / Q) * columns;
    for (let k = 0, i = q * K; k < K; k++, i++) {
      const at = to + Math.floor((k * columns) / K);
      if (values[i] > strongest[at]) strongest[at] = values[i];
    }
  }
  const image = new ImageData(columns, rows),
    pixels = image.data;
  for (let i = 0; i < strongest.length; i++) {
    const [r, g, b] = ramp[shade(strongest[i])];
    pixels.set([r, g, b, 255], 4 * i);
  }
  const found = make("canvas", { width: columns, height: rows });
  found.getContext("2d").putImageData(image, 0, 0);
  return found;
}

const matrixView = {
  controls: ["kind", "layer", "head", "back"],
  hint: "Arrows move the cell · Shift ↑ ↓ layer · Shift ← → head",
  label: "Attention matrix: queries in rows, keys in columns",

  height: () => 0,

  places() {
    const s = stack(),
      sums = Boolean(s.sums);
    const left = Math.min(124, Math.max(56, width * 0.15)),
      top = 84;
    const w = width - left - 76,
      h = height - top - (sums ? 58 : 30);
    let cell = Math.min(44, w / s.keys, h / s.queries);
    if (cell > 2) cell = Math.floor(cell * devicePixelRatio) / devicePixelRatio;
    return { left, top, cell, w: cell * s.keys, h: cell * s.queries, sums };
  },

  draw() {
    const s = stack(),
      place = this.places(),
      head = chosenHeads()[0];
    const { left, top, cell, w, h } = place;
    const key = `${state.stack}/${state.layer}/${head}`;
    if (!thumbnails.has(key)) thumbnails.set(key, picture(s, state.layer, head, s.keys, s.queries));
    ink.imageSmoothingEnabled = cell * devicePixelRatio < 1;
    ink.drawImage(thumbnails.get(key), left, top, w, h);
    ink.strokeStyle = colours.hairline;
    ink.lineWidth = 1;
    ink.strokeRect(left - 0.5, top - 0.5, w + 1, h + 1);
    if (cell >= 32) this.numbers(place, head);
    this.axis(place);
    if (place.sums) this.sums(place, head);
    this.legend(place);
    const at = focus();
    if (at) {
      // Outlines: a tint would change the colours, which mean weights.
      ring(left - 0.5, top + at.q * cell - 0.5, w + 1, cell + 1, fade(colours.accent, 0.55), 1);
      ring(left + at.k * cell - 0.5, top - 0.5, cell + 1, h + 1, fade(colours.accent, 0.55), 1);
      ring(left + at.k * cell - 1, top + at.q * cell - 1, cell + 2, cell + 2, colours.accent, 2);
    }
  },

  numbers({ left, top, cell }, head) {
    const s = stack(),
      values = plane(s, state.layer, head);
    setFont(cell >= 40 ? 12 : 11);
    for (let q = 0; q < s.queries; q++) {
      for (let k = 0; k < s.keys; k++) {
        const weight = values[q * s.keys + k];
        if (s.causal && k > q) continue;
        write(weight.toFixed(2).replace(/^0/, ""), left + (k + 0.5) * cell, top + (q + 0.5) * cell, {
          align: "center",
          colour: onHeat(weight),
        });
      }
    }
  },

  axis({ left, top, cell }) {
    const s = stack(),
      at = focus(),
      size = Math.max(9, Math.min(13, cell - 1));
    const every = Math.max(1, Math.ceil(9 / cell)),
      near = Math.ceil(14 / cell);
    const muted = (side, i) => (page.special[side][i] ? colours.muted : colours.text);
    for (let q = 0; q < s.queries; q++) {
      const own = at && at.q === q;
      if (!own && (q % every || (at && Math.abs(at.q - q) < near && every > 1))) continue;
      setFont(own ? Math.max(12, size) : size, own ? "600" : "");
      write(labels(s.query_side)[q], left - 7, top + (q + 0.5) * cell, {
        align: "right",
        colour: own ? colours.accent : muted(s.query_side, q),
        most: left - 12,
      });
    }
    for (let k = 0; k < s.keys; k++) {
      const own = at && at.k === k;
      if (!own && (k % every || (at && Math.abs(at.k - k) < near && every > 1))) continue;
      ink.save();
      ink.translate(left + (k + 0.5) * cell, top - 7);
      ink.rotate(-Math.PI / 2);
      setFont(own ? Math.max(12, size) : size, own ? "600" : "");
      write(labels(s.key_side)[k], 0, 0, { colour: own ? colours.accent : muted(s.key_side, k), most: top - 14 });
      ink.restore();
    }
  },

  // Bars beside the rows and under the columns; a full bar is the largest sum.
  sums({ left, top, cell, w, h }, head) {
    const s = stack(),
      at = focus();
    const of = (side, count) =>
      s.sums[side].subarray(
        (state.layer * s.heads.length + head) * count,
        (state.layer * s.heads.length + head + 1) * count,
      );
    const rows = of("queries", s.queries),
      columns = of("keys", s.keys);
    const thick = Math.min(8, cell < 3 ? cell : cell * 0.7);
    const most = columns.reduce((a, b) => Math.max(a, b), 1);
    for (let q = 0; q < s.queries; q++) {
      ink.fillStyle = at && at.q === q ? colours.accent : fade(colours.line, 0.55);
      ink.fillRect(left + w + 8, top + q * cell + (cell - thick) / 2, 30 * rows[q], thick);
    }
    for (let k = 0; k < s.keys; k++) {
      ink.fillStyle = at && at.k === k ? colours.accent : fade(colours.line, 0.55);
      ink.fillRect(left + k * cell + (cell - thick) / 2, top + h + 8, thick, Math.max(0.5, (34 * columns[k]) / most));
    }
    setFont(11);
    write("row sum", left + w + 8, top - 10, { colour: colours.muted });
    write("column sum", left - 7, top + h + 14, { align: "right", colour: colours.muted });
  },

  // The scale, along the top at the right.
  legend({ left }) {
    const w = 120,
      x = Math.max(left, width - w - 40),
      y = 8;
    for (let i = 0; i < w; i++) {
      ink.fillStyle = `rgb(${ramp[Math.round((255 * i) / (w - 1))].join(",")})`;
      ink.fillRect(x + i, y, 1.5, 8);
    }
    ink.strokeStyle = colours.hairline;
    ink.strokeRect(x - 0.5, y - 0.5, w + 1, 9);
    setFont(10);
    [0, 0.1, 0.5, 1].forEach((tick) =>
      write(String(tick), x + w * Math.sqrt(tick), y + 17, { align: "center", colour: colours.muted }),
    );
  },

  hit(x, y) {
    const { left, top, cell } = this.places(),
      s = stack();
    const q = Math.floor((y - top) / cell),
      k = Math.floor((x - left) / cell);
    return q >= 0 && k >= 0 && q < s.queries && k < s.keys ? { q, k } : null;
  },

  text() {
    const s = stack(),
      at = focus(),
      head = chosenHeads()[0];
    const where = `Layer ${s.layers[state.layer]}, head ${s.heads[head]}.`;
    if (!at) return `${where} Rows look at columns; every row sums to 1. Point at a cell to read it.`;
    const value = exact(s, state.layer, head, at.q, at.k);
    const sums = s.sums
      ? ` Column sum ${s.sums.keys[(state.layer * s.heads.length + head) * s.keys + at.k].toFixed(4)}.`
      : "";
    const most = strongest(s, state.layer, head, at.q) === at.k ? ", its strongest" : "";
    return `${where} ${name(s.query_side, at.q)} looks at ${name(s.key_side, at.k)}: ${value}${most}.${sums}`;
  },

  key(event) {
    const s = stack(),
      at = focus() || { q: -1, k: 0 };
    if (event === "Escape" && state.enlarged) return leaveMatrix();
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event];
    if (!by) return false;
    const next = {
      q: Math.max(0, Math.min(s.queries - 1, at.q + by[0])),
      k: Math.max(0, Math.min(s.keys - 1, at.k + by[1])),
    };
    state.hover = next;
    if (state.locked) state.locked = next;
    return true;
  },
};

// ----------------------------------------------------------------------------------------------------------- grid view

const gridView = {
  controls: ["kind", "shape"],
  hint: "Arrows choose a head · Enter enlarges it · Esc returns",
  label: "Attention of every layer (rows) and head (columns)",
  needsAll: true,

  places() {
    const s = stack(),
      left = 58,
      top = 34,
      gap = 6;
    const tall = (height - top - 6) / s.layers.length - gap; // all layers at once, where they stay large enough
    const wide = (width - left - 4) / s.heads.length - gap;
    const size = Math.max(18, Math.min(150, tall >= 40 ? Math.min(wide, tall) : wide));
    const ratio = Math.min(2.5, Math.max(0.4, s.queries / s.keys));
    return { left, top, gap, w: size, h: Math.min(size * ratio, 180) };
  },

  height() {
    const { top, gap, h } = this.places();
    return top + stack().layers.length * (h + gap) + 6;
  },

  draw() {
    const s = stack(),
      { left, top, gap, w, h } = this.places(),
      at = focus();
    ink.imageSmoothingEnabled = false;
    s.layers.forEach((layer, l) => {
      const y = top + l * (h + gap) - scroll;
      if (y > height || y + h < 0) return;
      s.heads.forEach((_, head) => this.thumbnail(s, l, head, left + head * (w + gap), y, w, h));
      setFont(12);
      write(String(layer), left - 12, y + h / 2, {
        align: "right",
        colour: at && at.l === l ? colours.accent : colours.muted,
      });
    });
    ink.fillStyle = colours.background;
    ink.fillRect(0, 0, width, top - 4);
    setFont(12);
    s.heads.forEach((head, place) => {
      write(String(head), left + place * (w + gap) + w / 2, 20, {
        align: "center",
        colour: at && at.h === place ? colours.accent : colours.muted,
      });
    });
    setFont(11);
    write("layer ↓", left - 12, 12, { align: "right", colour: colours.faint });
    write("head →", left - 12, 25, { align: "right", colour: colours.faint });
  },

  thumbnail(s, l, head, x, y, w, h) {
    if (s.ready && s.ready[l]) {
      const key = `${state.stack}/${l}/${head}/small`,
        dense = Math.round(w * devicePixelRatio);
      if (!thumbnails.has(key)) thumbnails.set(key, picture(s, l, head, dense, Math.round(h * devicePixelRatio)));
      ink.drawImage(thumbnails.get(key), x, y, w, h);
    }
    const at = focus(),
      own = at && at.l === l && at.h === head;
    if (own) ring(x - 2, y - 2, w + 4, h + 4);
    else {
      ink.strokeStyle = colours.hairline;
      ink.lineWidth = 1;
      ink.strokeRect(x - 0.5, y - 0.5, w + 1, h + 1);
    }
  },

  hit(x, y) {
    const s = stack(),
      { left, top, gap, w, h } = this.places();
    const l = Math.floor((y + scroll - top) / (h + gap)),
      head = Math.floor((x - left) / (w + gap));
    return y > top - 4 && l >= 0 && head >= 0 && l < s.layers.length && head < s.heads.length ? { l, h: head } : null;
  },

  text() {
    const s = stack(),
      at = focus();
    if (!at) return "Each square is one head: rows are queries, columns keys. Click to enlarge.";
    if (!s.ready[at.l]) return "";
    const values = plane(s, at.l, at.h),
      sums = new Float32Array(s.keys);
    for (let i = 0; i < values.length; i++) sums[i % s.keys] += values[i] / s.queries;
    const most = sums.indexOf(Math.max(...sums));
    return `Layer ${s.layers[at.l]}, head ${s.heads[at.h]}. ${name(s.key_side, most)} gets the most: ${percent(sums[most])} of all attention. Click to enlarge.`;
  },

  click(at) {
    Object.assign(state, { enlarged: at, layer: at.l, heads: [at.h], hover: null, locked: null });
    view = matrixView;
    build();
    refresh();
    canvas.focus({ preventScroll: true });
  },

  key(event) {
    const s = stack(),
      at = focus() || { l: 0, h: -1 };
    if (event === "Enter" || event === " ") return focus() ? (this.click(focus()), true) : true;
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event];
    if (!by) return false;
    state.hover = {
      l: Math.max(0, Math.min(s.layers.length - 1, at.l + by[0])),
      h: Math.max(0, Math.min(s.heads.length - 1, at.h + by[1])),
    };
    const { top, gap, h } = this.places(),
      y = state.hover.l * (h + gap);
    if (y < stage.scrollTop) stage.scrollTop = y;
    if (y + h + top > stage.scrollTop + height) stage.scrollTop = y + h + top + gap - height;
    return true;
  },
};

function leaveMatrix() {
  view = gridView;
  Object.assign(state, { hover: state.enlarged, enlarged: null, locked: null, heads: [] });
  build();
  refresh();
  canvas.focus({ preventScroll: true });
  return true;
}

// ------------------------------------------------------------------------------------------------------ query–key view

const queryKeyView = {
  controls: ["token", "shownHead"],
  hint: "↑ ↓ token · ← → head",
  label: "Queries and keys of one head, dimension by dimension",
  row: 22,
  top: 92,

  height() {
    return this.top + this.row * page.keys + 12;
  },

  places() {
    const text = Math.min(130, Math.max(60, width * 0.13)),
      left = text + 12,
      ends = 250;
    const strip = Math.max(40, (width - left - ends - 24) / 2);
    const cell = Math.min(strip / page.width, Math.max(11, 200 / page.width));
    const product = left + cell * page.width + 20,
      score = product + cell * page.width + 62;
    return { left, text, cell, product, score, bar: score + 14 };
  },

  // q, k and what they give for key k, from the packed floats.
  numbers() {
    const { head, q } = { head: Math.max(0, page.shown.indexOf(page.head)), q: state.token },
      d = page.width;
    const query = page.query.subarray((head * page.queries + q) * d, (head * page.queries + q + 1) * d);
    const key = (k) => page.key.subarray((head * page.keys + k) * d, (head * page.keys + k + 1) * d);
    const row = (head * page.queries + q) * page.keys;
    return {
      query,
      key,
      bias: page.bias.subarray(row, row + page.keys),
      weights: page.weights.subarray(row, row + page.keys),
    };
  },

  draw() {
    const p = this.places(),
      { query, key, bias, weights } = this.numbers(),
      d = page.width;
    const most = this.largest(query, key);
    for (let k = 0; k < page.keys; k++) {
      const y = this.top + this.row * (k + 0.5) - scroll;
      if (y < this.top - this.row || y > height + this.row) continue;
      this.keyRow(p, k, y, query, key(k), bias[k], weights[k], most);
    }
    ink.fillStyle = colours.background;
    ink.fillRect(0, 0, width, this.top - 2);
    this.header(p, query, most, d);
  },

  // The largest numbers set the scales: one for q, one for k, one for the products.
  largest(query, key) {
    let q = 1e-9,
      k = 1e-9,
      product = 1e-9;
    for (let i = 0; i < query.length; i++) q = Math.max(q, Math.abs(query[i]));
    for (let j = 0; j < page.keys; j++) {
      const one = key(j);
      for (let i = 0; i < one.length; i++) {
        k = Math.max(k, Math.abs(one[i]));
        product = Math.max(product, Math.abs(one[i] * query[i]));
      }
    }
    return { q, k, product };
  },

  sign(x, y, w, h, value, most) {
    ink.fillStyle = fade(value < 0 ? colours.negative : colours.positive, Math.abs(value) / most);
    ink.fillRect(x, y, w, h);
  },

  keyRow(p, k, y, query, key, bias, weight, most) {
    const d = page.width,
      at = focus(),
      gap = p.cell > 5 ? 1 : 0,
      masked = bias === -Infinity;
    ink.fillStyle = colours.panel;
    for (const x of [p.left, p.product]) ink.fillRect(x - 2, y - 9, p.cell * d + 4 - gap, 18);
    let score = 0;
    for (let i = 0; i < d; i++) {
      score += query[i] * key[i];
      this.sign(p.left + i * p.cell, y - 8, p.cell - gap, 16, key[i], most.k);
      if (!masked) this.sign(p.product + i * p.cell, y - 8, p.cell - gap, 16, query[i] * key[i], most.product);
    }
    if (at && at.k === k && at.i !== undefined) {
      for (const x of [p.left, p.product]) ring(x + at.i * p.cell - 1, y - 9, p.cell + 2 - gap, 18, colours.accent, 2);
    }
    setFont();
    const own = page.query_side === page.key_side && k === state.token;
    write(labels(page.key_side)[k], p.left - 12, y, {
      align: "right",
      colour: own ? colours.accent : colours.text,
      most: p.text - 4,
    });
    setFont(12);
    write(masked ? "masked" : number(score * page.scaling + bias, 2), p.score, y, {
      align: "right",
      colour: masked ? colours.faint : colours.text,
    });
    if (masked) return;
    const scale = Math.max(20, width - p.bar - 66);
    box(p.bar, y - 5, Math.max(1.5, scale * weight), 10, colours.line, 2);
    write(weight.toFixed(4), p.bar + scale * weight + 6, y, { colour: colours.muted });
  },

  header(p, query, most, d) {
    const gap = p.cell > 5 ? 1 : 0,
      at = focus(),
      label = labels(page.query_side)[state.token];
    setFont(13, "600");
    write(label, p.left - 12, 40, { align: "right", colour: colours.accent, most: p.text - 4 });
    ink.fillStyle = colours.panel;
    ink.fillRect(p.left - 2, 30, p.cell * d + 4 - gap, 20);
    for (let i = 0; i < d; i++) this.sign(p.left + i * p.cell, 31, p.cell - gap, 18, query[i], most.q);
    if (at && at.i !== undefined) ring(p.left + at.i * p.cell - 1, 30, p.cell + 2 - gap, 20, colours.accent, 2);
    setFont(11);
    write(`query q, ${d} dimensions`, p.left, 16, { colour: colours.muted });
    write("key k of every token", p.left, 76, { colour: colours.muted });
    write("q × k, dimension by dimension", p.product, 76, { colour: colours.muted });
    write("score", p.score, 76, { align: "right", colour: colours.muted });
    write("softmax", p.bar, 76, { colour: colours.muted });
    this.legend(p);
  },

  legend(p) {
    const w = 44,
      x = p.product;
    for (let i = -w; i < w; i++) this.sign(x + w + i, 36, 1.2, 8, i, w);
    setFont(11);
    write("negative", x, 22, { colour: colours.muted });
    write("positive", x + 2 * w, 22, { align: "right", colour: colours.muted });
    write(`score = sum × ${page.scaling.toPrecision(3)}${this.biased() ? " + bias" : ""}`, x + 2 * w + 20, 40, {
      colour: colours.muted,
      most: width - x - 2 * w - 24,
    });
  },

  biased() {
    this.hasBias ??= page.bias.some((one) => one !== 0 && one !== -Infinity);
    return this.hasBias;
  },

  hit(x, y) {
    const p = this.places(),
      k = Math.floor((y + scroll - this.top) / this.row);
    if (y > 28 && y < 52 && x >= p.left) return { k: null, i: this.dimension(p, x) };
    if (y < this.top || k >= page.keys) return null;
    return { k, i: this.dimension(p, x) };
  },

  dimension(p, x) {
    for (const begin of [p.left, p.product]) {
      const i = Math.floor((x - begin) / p.cell);
      if (i >= 0 && i < page.width) return i;
    }
    return undefined;
  },

  click(at) {
    if (at.k === null || at.k >= page.queries || page.query_side !== page.key_side) return;
    state.token = at.k;
    state.hover = null;
    build();
    refresh();
  },

  text() {
    const { query, key, bias, weights } = this.numbers(),
      at = focus();
    const shared = page.shared > 1 ? ` ${page.shared} heads share these keys.` : "";
    const where = `Layer ${page.layer}, head ${page.head}, ${name(page.query_side, state.token)}.`;
    if (!at || at.k === null)
      return `${where} Scores become weights by softmax.${shared}${page.query_side === page.key_side ? " Click a token to make it the query." : ""}`;
    const one = key(at.k);
    if (at.i !== undefined) {
      return `${where} ${name(page.key_side, at.k)}, dimension ${at.i}: q ${number(query[at.i], 3)} × k ${number(one[at.i], 3)} = ${number(query[at.i] * one[at.i], 3)}`;
    }
    if (bias[at.k] === -Infinity)
      return `${where} ${name(page.key_side, at.k)} is masked: it comes later, and its weight is 0.`;
    const dot = query.reduce((sum, value, i) => sum + value * one[i], 0);
    return `${where} ${name(page.key_side, at.k)}: q·k ${number(dot, 3)}, score ${number(dot * page.scaling + bias[at.k], 3)}, weight ${weights[at.k].toFixed(4)}`;
  },

  key(event) {
    if (event === "ArrowUp" || event === "ArrowDown") {
      state.token = Math.max(0, Math.min(page.queries - 1, state.token + (event === "ArrowDown" ? 1 : -1)));
      build();
      return true;
    }
    if (event !== "ArrowLeft" && event !== "ArrowRight") return false;
    const place = page.shown.indexOf(page.head) + (event === "ArrowRight" ? 1 : -1);
    page.head = page.shown[Math.max(0, Math.min(page.shown.length - 1, place))];
    build();
    return true;
  },
};

// ---------------------------------------------------------------------------------------------------------- cross view

const crossView = {
  controls: ["step", "layer", "heads"],
  hint: "← → step · Shift ↑ ↓ layer · Space plays",
  label: "Cross-attention from the target to the source, step by step",

  // Tokens laid out as running text: boxes {x, y, w, h}, and the y below them.
  flow(side, top) {
    setFont(15);
    const boxes = [];
    let x = 14,
      y = top;
    for (const label of labels(side)) {
      const w = Math.min(width - 28, Math.max(22, ink.measureText(label).width + 14));
      if (x + w > width - 14) ((x = 14), (y += 46));
      boxes.push({ x, y, w, h: 28 });
      x += w + 4;
    }
    return { boxes, bottom: y + 46 };
  },

  height() {
    const source = this.flow("encoder", 34);
    return this.flow("decoder", source.bottom + 44).bottom + 6;
  },

  draw() {
    const s = stack(),
      weights = mean(s, state.layer),
      source = this.flow("encoder", 34),
      target = this.flow("decoder", source.bottom + 44);
    setFont(11);
    write("source: what it looks at", 14, 16 - scroll, { colour: colours.muted });
    write("target: what it reads and writes", 14, source.bottom + 26 - scroll, { colour: colours.muted });
    this.source(source.boxes, weights.subarray(state.step * s.keys, (state.step + 1) * s.keys));
    this.target(target.boxes);
  },

  source(boxes, weights) {
    const at = focus();
    boxes.forEach(({ x, y, w, h }, k) => {
      y -= scroll;
      box(x, y, w, h, heat(weights[k]), 5);
      ring(
        x + 0.5,
        y + 0.5,
        w - 1,
        h - 1,
        at && at.side === "source" && at.i === k ? colours.accent : colours.hairline,
        5,
      );
      setFont(15);
      write(labels("encoder")[k], x + w / 2, y + h / 2 + 0.5, {
        align: "center",
        colour: onHeat(weights[k]),
        most: w - 8,
      });
      setFont(10);
      if (weights[k] >= 0.01 && w > 20)
        write(weights[k].toFixed(2), x + w / 2, y + h + 8, { align: "center", colour: colours.muted });
    });
  },

  target(boxes) {
    boxes.forEach(({ x, y, w, h }, i) => {
      y -= scroll;
      const now = i === state.step,
        next = i === state.step + 1;
      if (now) box(x, y, w, h, fade(colours.accent, 0.22), 5);
      if (now || next) ring(x + 0.5, y + 0.5, w - 1, h - 1, now ? colours.accent : colours.line, 5);
      setFont(15, next ? "600" : "");
      write(labels("decoder")[i], x + w / 2, y + h / 2 + 0.5, {
        align: "center",
        colour: i <= state.step ? colours.text : next ? colours.line : colours.faint,
        most: w - 8,
      });
      setFont(10);
      if (now) write("reads", x + w / 2, y + h + 8, { align: "center", colour: colours.accent });
      if (next) write("writes", x + w / 2, y + h + 8, { align: "center", colour: colours.line });
    });
  },

  hit(x, y) {
    const source = this.flow("encoder", 34),
      target = this.flow("decoder", source.bottom + 44);
    const inside = (one) => x >= one.x && x <= one.x + one.w && y + scroll >= one.y && y + scroll <= one.y + one.h;
    const k = source.boxes.findIndex(inside),
      t = target.boxes.findIndex(inside);
    return k >= 0 ? { side: "source", i: k } : t >= 0 ? { side: "target", i: t } : null;
  },

  click(at) {
    if (at.side === "target") goTo(at.i);
  },

  text() {
    const s = stack(),
      at = focus(),
      words = labels("decoder"),
      single = chosenHeads().length === 1 ? chosenHeads()[0] : null;
    const weights = mean(s, state.layer),
      value = (k) =>
        single === null ? meanText(weights[state.step * s.keys + k]) : exact(s, state.layer, single, state.step, k);
    const where = `Step ${state.step + 1} of ${s.queries}, layer ${s.layers[state.layer]}, ${headsText()}.`;
    if (at && at.side === "source") return `${where} ${name("encoder", at.i)}: ${value(at.i)}`;
    const order = Array.from({ length: s.keys }, (_, k) => k).sort(
      (a, b) => weights[state.step * s.keys + b] - weights[state.step * s.keys + a],
    );
    const writes = state.step + 1 < words.length ? `, to write “${words[state.step + 1]}”,` : "";
    return `${where} At “${words[state.step]}”${writes} it looks at ${order
      .slice(0, 3)
      .map((k) => `${name("encoder", k)} ${value(k)}`)
      .join(" · ")}`;
  },

  key(event) {
    if (event === "ArrowLeft" || event === "ArrowRight")
      return (goTo(state.step + (event === "ArrowRight" ? 1 : -1)), true);
    if (event === " ") return (play(), true);
    return false;
  },
};

function goTo(step) {
  state.step = Math.max(0, Math.min(stack().queries - 1, step));
  build();
  refresh();
}

let playing = 0;
function play() {
  if (playing) {
    clearInterval(playing);
    playing = 0;
  } else {
    if (state.step === stack().queries - 1) state.step = 0;
    playing = setInterval(() => (state.step < stack().queries - 1 ? goTo(state.step + 1) : play()), 900);
  }
  build();
  refresh();
}

// ------------------------------------------------------------------------------------------------------------ controls

function choice(label, options, chosen, pick) {
  const select = make(
    "select",
    { aria: { label } },
    ...options.map(([value, text]) =>
      make("option", { value, textContent: text, selected: String(value) === String(chosen) }),
    ),
  );
  select.addEventListener("change", () => pick(select.value));
  return make("label", { className: "control" }, label, select);
}

const controls = {
  kind() {
    if (stacks.length < 2) return null;
    const words = { encoder: "encoder", decoder: "decoder", cross: "cross: decoder to encoder" };
    return choice(
      "Attention",
      stacks.map((one, i) => [i, words[one.kind]]),
      state.stack,
      async (value) => {
        const next = stacks[value],
          layer = Math.max(0, next.layers.indexOf(stack().layers[state.layer]));
        await layerBytes(next, layer);
        const heads = state.heads.filter((head) => head < next.heads.length);
        Object.assign(state, { stack: Number(value), layer, heads, hover: null, locked: null, pair: "all" });
        build();
        refresh();
      },
    );
  },

  layer: () =>
    choice(
      "Layer",
      stack().layers.map((layer, i) => [i, layer]),
      state.layer,
      (value) => goLayer(Number(value)),
    ),

  head() {
    return choice(
      "Head",
      stack().heads.map((head, i) => [i, head]),
      chosenHeads()[0],
      (value) => {
        state.heads = [Number(value)];
        refresh();
      },
    );
  },

  heads() {
    const all = stack().heads,
      press = (i) => (event) => {
        const now = new Set(state.heads);
        if (event.shiftKey) now.has(i) ? now.delete(i) : now.add(i);
        state.heads = event.shiftKey
          ? [...now].sort((a, b) => a - b)
          : state.heads.length === 1 && state.heads[0] === i
            ? []
            : [i];
        const place = [...event.currentTarget.parentNode.children].indexOf(event.currentTarget);
        build();
        toolbar.querySelectorAll(".heads button")[place].focus();
        refresh();
      };
    const every = make("button", {
      textContent: "all",
      title: "The mean over all heads",
      aria: { pressed: !state.heads.length },
    });
    every.addEventListener(
      "click",
      () => ((state.heads = []), build(), toolbar.querySelector(".heads button").focus(), refresh()),
    );
    const buttons = all.map((head, i) => {
      const button = make("button", {
        textContent: head,
        title: "Click to see it alone; Shift and click to choose several",
        aria: { label: `Head ${head}`, pressed: state.heads.includes(i) },
      });
      button.addEventListener("click", press(i));
      return button;
    });
    const group = make("span", { className: "heads", role: "group", aria: { label: "Heads" } }, every, ...buttons);
    return make("span", { className: "control" }, "Heads", group);
  },

  pair() {
    if (page.second === null || stack().kind === "cross" || stack().query_side !== "encoder") return null;
    const options = [
      ["all", "both texts"],
      ["AA", "A → A"],
      ["AB", "A → B"],
      ["BA", "B → A"],
      ["BB", "B → B"],
    ];
    return choice(
      "Texts",
      options,
      state.pair,
      (value) => (Object.assign(state, { pair: value, hover: null, locked: null }), (stage.scrollTop = 0), refresh()),
    );
  },

  special() {
    if (!Object.values(page.special).some((side) => side.some(Boolean))) return null;
    const box = make("input", { type: "checkbox", checked: state.special });
    box.addEventListener(
      "change",
      () => (Object.assign(state, { special: box.checked, hover: null, locked: null }), refresh()),
    );
    return make("label", { className: "control" }, box, "special tokens");
  },

  threshold() {
    const slider = make("input", {
      type: "range",
      min: 0,
      max: 0.5,
      step: 0.01,
      value: state.threshold,
      aria: { label: "Hide lines below this weight" },
    });
    const text = make("span", { textContent: state.threshold.toFixed(2) });
    slider.addEventListener(
      "input",
      () => ((state.threshold = Number(slider.value)), (text.textContent = state.threshold.toFixed(2)), refresh()),
    );
    return make("label", { className: "control" }, "lines from", slider, text);
  },

  token: () =>
    choice(
      "Query",
      labels(page.query_side)
        .slice(0, page.queries)
        .map((label, i) => [i, `${i} ${label}`]),
      state.token,
      (value) => ((state.token = Number(value)), refresh()),
    ),

  shownHead: () =>
    choice(
      "Head",
      page.shown.map((head) => [head, head]),
      page.head,
      (value) => ((page.head = Number(value)), refresh()),
    ),

  step() {
    const button = (text, label, act, disabled) => {
      const one = make("button", { textContent: text, disabled, aria: { label } });
      one.addEventListener("click", act);
      return one;
    };
    const last = stack().queries - 1;
    const back = button("‹", "One step back", () => goTo(state.step - 1), state.step === 0);
    const next = button("›", "One step on", () => goTo(state.step + 1), state.step === last);
    const go = button(playing ? "Pause" : "Play", playing ? "Pause" : "Play all steps", play, false);
    return make("span", { className: "control" }, back, `step ${state.step + 1} of ${last + 1}`, next, go);
  },

  shape() {
    const { layers, heads, queries, keys } = stack();
    return make("span", {
      className: "control",
      textContent: `${layers.length} layers × ${heads.length} heads, ${queries} × ${keys} tokens`,
    });
  },

  back() {
    if (!state.enlarged) return null;
    const button = make("button", { textContent: "‹ all heads" });
    button.addEventListener("click", leaveMatrix);
    return button;
  },
};

function build() {
  const focused =
    document.activeElement && toolbar.contains(document.activeElement)
      ? [...toolbar.querySelectorAll("button,select,input")].indexOf(document.activeElement)
      : -1;
  const made = view.controls.map((control) => controls[control]()).filter(Boolean);
  const copy = make("button", {
    className: "quiet",
    textContent: "PNG",
    title: "Copy the picture",
    aria: { label: "Copy the picture as PNG" },
  });
  copy.addEventListener("click", () => copyPicture(copy));
  const turn = make("button", {
    className: "quiet",
    textContent: "◐",
    title: "Light or dark",
    aria: { label: "Light or dark" },
  });
  turn.addEventListener(
    "click",
    () => ((theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark"), setTheme(), refresh()),
  );
  toolbar.replaceChildren(
    ...made,
    make("span", { className: "space" }),
    make("span", { className: "tools" }, copy, turn),
  );
  keys.textContent = view.hint;
  canvas.setAttribute("aria-label", `${view.label}. ${view.hint}`);
  canvas.setAttribute("role", "application");
  if (focused >= 0) toolbar.querySelectorAll("button,select,input")[focused]?.focus();
}

async function goLayer(layer) {
  if (layer < 0 || layer >= stack().layers.length) return;
  await layerBytes(stack(), layer);
  state.layer = layer;
  const select = toolbar.querySelector('select[aria-label="Layer"]');
  if (select) select.value = layer;
  refresh();
}

function goHead(by) {
  const last = stack().heads.length - 1,
    one = view === matrixView;
  const now = state.heads.length === 1 ? state.heads[0] : one ? 0 : -1;
  const next = Math.max(one ? 0 : -1, Math.min(last, now + by));
  state.heads = next < 0 ? [] : [next];
  build();
}

// The clipboard first; a sandbox may refuse it, and then the picture is shown to be saved by hand.
async function copyPicture(button) {
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "PNG"), 1500);
  } catch {
    const close = make("button", { textContent: "Close" });
    const image = make("img", { src: canvas.toDataURL("image/png"), alt: view.text() });
    const overlay = make(
      "div",
      { className: "overlay", role: "dialog", aria: { label: "The picture" } },
      close,
      " The clipboard is closed to this frame: right-click the picture to copy or save it.",
      image,
    );
    const leave = () => (overlay.remove(), button.focus());
    close.addEventListener("click", leave);
    overlay.addEventListener("keydown", (event) => event.key === "Escape" && leave());
    document.body.append(overlay);
    close.focus();
  }
}

// -------------------------------------------------------------------------------------------------------------- engine

const views = { heads: headsView, model: gridView, matrix: matrixView, query_key: queryKeyView, cross: crossView };
let view = views[page.view];
let asked = 0;
let complete = false; // everything that the first picture needs has been unpacked

function draw() {
  const begin = performance.now();
  const dense = devicePixelRatio || 1;
  width = stage.clientWidth;
  height = stage.clientHeight;
  spacer.style.height = `${view.height(width)}px`;
  width = stage.clientWidth; // a scroll bar may have come
  scroll = stage.scrollTop;
  if (!width || !height) return 0; // not laid out yet: the observer below asks again
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  ink.setTransform(dense, 0, 0, dense, 0, 0);
  ink.fillStyle = colours.background;
  ink.fillRect(0, 0, width, height);
  view.draw();
  status.textContent = view.text();
  if (complete) document.documentElement.dataset.ready ||= Math.round(performance.now());
  return performance.now() - begin;
}

function refresh() {
  if (asked) return;
  asked = requestAnimationFrame(() => {
    asked = 0;
    draw();
  });
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function listen() {
  canvas.addEventListener("pointermove", (event) => {
    const at = view.hit(event.offsetX, event.offsetY);
    canvas.style.cursor = at ? "pointer" : "default";
    if (same(at, state.hover)) return;
    state.hover = at;
    refresh();
  });
  canvas.addEventListener("pointerleave", () => ((state.hover = null), refresh()));
  canvas.addEventListener("click", (event) => {
    const at = view.hit(event.offsetX, event.offsetY);
    if (at && view.click) return view.click(at);
    state.locked = !at || same(at, state.locked) ? null : at;
    refresh();
  });
  canvas.addEventListener("keydown", onKey);
  stage.addEventListener("scroll", refresh, { passive: true });
  new ResizeObserver(refresh).observe(stage);
  addEventListener("resize", () => (setTheme(), refresh()));
}

function onKey(event) {
  const arrow = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const vertical = event.key === "ArrowUp" || event.key === "ArrowDown";
  if (arrow && event.shiftKey && stacks.length && view !== gridView)
    vertical ? goLayer(state.layer + arrow) : goHead(arrow);
  else if (view.key(event.key)) void 0;
  else if (arrow && !vertical && view === headsView) goHead(arrow);
  else if (event.key === "Enter" && state.hover) state.locked = state.locked ? null : state.hover;
  else if (event.key === "Escape") state.locked = state.hover = null;
  else return;
  event.preventDefault();
  refresh();
}

async function start() {
  if (page.note) document.body.append(make("div", { className: "note", role: "note", textContent: page.note }));
  document.body.append(toolbar, stage, make("div", { className: "status" }, status, keys));
  if (typeof page.head === "number" && stacks.length) state.heads = [stack().heads.indexOf(page.head)];
  setTheme();
  if (page.view === "query_key") {
    for (const [name, packed] of Object.entries(page.packed)) page[name] = await unpackFloats(packed);
  } else await layerBytes(stack(), state.layer);
  if (stacks.length && stack().sums)
    for (const side of ["queries", "keys"]) stack().sums[side] = await unpackFloats(stack().sums[side]);
  build();
  listen();
  draw();
  if (view.needsAll) await unpackAll(stack());
  complete = true;
  draw();
  for (const one of stacks) await unpackAll(one);
  if (view === headsView) await warm(stack());
}

// Prepare the other layers of a page that isn't large, so that a change of layer only has to draw.
async function warm(stack) {
  if (stack.layers.length * stack.heads.length * stack.queries * stack.keys > 6e6) return;
  for (let layer = 0; layer < stack.layers.length; layer++) {
    await new Promise((done) => setTimeout(done, 30));
    mean(stack, layer);
    received(stack, layer, shown("query"));
  }
  document.documentElement.dataset.warm = "yes";
}

// Layer by layer, with a pause between, so that the page stays alive.
async function unpackAll(stack) {
  for (let layer = 0; layer < stack.layers.length; layer++) {
    await layerBytes(stack, layer);
    await new Promise((done) => setTimeout(done));
    if (view.needsAll) refresh();
  }
}

// For whoever looks in from a browser's console, and for the tests.
window.figure = { page, state, stacks, plane, strongest, exact, draw, goLayer, layerBytes, view: () => view };

start();
