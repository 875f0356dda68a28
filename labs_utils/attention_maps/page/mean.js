// What is computed from the weights of a layer: means over the chosen heads, means over queries, and how they read.

// The chosen heads, as places in stack.heads; all of them where none is chosen.
const chosenHeads = ({ stack, heads }) => (heads.length ? heads : stack.heads.map((_, place) => place));

// The mean over the chosen heads: [query][key].
function mean({ state, kept }, layer = state.layer) {
  const { stack } = state;
  const heads = chosenHeads(state);
  if (heads.length === 1) return plane(stack, layer, heads[0]);
  return keep(kept, `mean/${stack.kind}/${layer}/${heads}`, () => {
    const values = new Float32Array(stack.queries * stack.keys);
    for (const head of heads) {
      const one = plane(stack, layer, head);
      for (let i = 0; i < values.length; i++) values[i] += one[i];
    }
    for (let i = 0; i < values.length; i++) values[i] /= heads.length;
    return values;
  });
}

// How much every key gets on average over `queries`, per head: [head][key].
function received({ state, kept }, queries, layer = state.layer) {
  const { stack } = state;
  return keep(kept, `received/${stack.kind}/${layer}/${queries.length}/${queries[0]}`, () =>
    stack.heads.map((_, head) => {
      const one = plane(stack, layer, head);
      const sums = new Float32Array(stack.keys);
      for (const q of queries) for (let k = 0, i = q * stack.keys; k < stack.keys; k++, i++) sums[k] += one[i];
      return sums.map((sum) => sum / queries.length);
    }),
  );
}

// One weight of the mean in words; of a single head it is exact.
function meanText(figure, q, k) {
  const { stack, layer } = figure.state;
  const heads = chosenHeads(figure.state);
  if (heads.length === 1) return exact(stack, layer, heads[0], q, k);
  return `≈ ${mean(figure)[q * stack.keys + k].toFixed(stack.step <= 1e-3 ? 3 : 2)}`;
}

function headsText(state) {
  const all = state.stack.heads;
  const heads = chosenHeads(state).map((place) => all[place]);
  if (heads.length === 1) {
    const shares = sharesText(state.stack, heads[0]);
    return `head ${heads[0]}${shares && ` (${shares})`}`;
  }
  return heads.length === all.length ? `mean of all ${all.length} heads` : `mean of heads ${heads.join(", ")}`;
}
