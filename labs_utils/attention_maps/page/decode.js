// The weights, decoded: `plane` is the twin of `decode_layer` in coding.py, which describes the bytes.

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

const newCache = () => ({ found: new Map(), numbers: 0 });

// What was computed is kept, up to 8 million numbers.
function keep(cache, name, compute) {
  let found = cache.found.get(name);
  if (found) return found;
  found = compute();
  if (cache.numbers > 8e6) (cache.found.clear(), (cache.numbers = 0));
  cache.numbers += found.length * (found[0].length || 1);
  cache.found.set(name, found);
  return found;
}

// One kind of attention, with room for what its layers hold once they are unpacked.
const newStack = (coded) => ({ ...coded, bytes: [], ready: [], planes: newCache() });

// The bytes of one layer, split into its parts; kept, as a layer is only ever unpacked once.
function layerBytes(stack, layer) {
  stack.bytes[layer] ??= unpack(stack.packed[layer]).then((raw) => {
    stack.packed[layer] = null; // its text is no longer needed
    return (stack.ready[layer] = layerParts(stack, raw));
  });
  return stack.bytes[layer];
}

function layerParts(stack, raw) {
  const rows = stack.heads.length * stack.queries;
  const count = rows * stack.keys;
  const rest = (1 + stack.wide) * count;
  const two = (from) => Uint16Array.from({ length: rows }, (_, i) => raw[from + i] | (raw[from + rows + i] << 8));
  return { low: raw, high: stack.wide ? raw.subarray(count) : null, top: two(rest), peak: two(rest + 2 * rows) };
}

const cellAt = ({ low, high }, at) => (high ? low[at] | (high[at] << 8) : low[at]);

// The weights of one head as Float32Array [query][key]. Its layer must be unpacked.
function plane(stack, layer, head) {
  return keep(stack.planes, layer * stack.heads.length + head, () => newPlane(stack, layer, head));
}

function newPlane(stack, layer, head) {
  const { queries: Q, keys: K, step } = stack;
  const ready = stack.ready[layer];
  const values = new Float32Array(Q * K);
  for (let k = 0, from = head * Q * K; k < K; k++) {
    for (let q = 0, to = k; q < Q; q++, from++, to += K) {
      const cell = cellAt(ready, from);
      if (cell) values[to] = cell * step;
    }
  }
  for (let q = 0; q < Q; q++) {
    const most = Math.fround(ready.peak[head * Q + q] * 1e-4); // as it will be stored
    finishRow(stack, values.subarray(q * K, q * K + K), q, ready.top[head * Q + q], most);
  }
  return values;
}

// Keep the strongest key the strongest, and share what is missing to 1 among the weights that were rounded to 0.
function finishRow(stack, row, q, strongest, most) {
  let sum = 0;
  let zeros = 0;
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
  const { queries, keys, step } = stack;
  const value = plane(stack, layer, head)[q * keys + k];
  if (strongest(stack, layer, head, q) === k || step <= 1e-4) return value.toFixed(4);
  if (step <= 1e-3) return value.toFixed(3);
  if (stack.causal && k > q) return "0";
  const cell = cellAt(stack.ready[layer], (head * keys + k) * queries + q);
  const digits = step < 5e-3 ? 3 : 4;
  const half = (step / 2).toFixed(digits);
  return cell ? `${(cell * step).toFixed(digits - 1)} ± ${half}` : `less than ${half}`;
}
