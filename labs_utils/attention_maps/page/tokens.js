// The tokens: their names, which of them the filters leave, and which one the reader looks at.

const tokenName = ({ page }, side, i) => `“${page.tokens[side][i]}”`;

// The tokens that the filters leave among the queries or the keys ("query" or "key").
function shown({ page, state }, role) {
  const side = state.stack[`${role}_side`];
  const half = state.pair === "all" ? null : state.pair[role === "query" ? 0 : 1];
  const found = [];
  for (let i = 0; i < page.tokens[side].length; i++) {
    if (!state.special && page.special[side][i]) continue;
    if (half && (i >= page.second ? "B" : "A") !== half) continue;
    found.push(i);
  }
  return found;
}

// What is under the pointer, or held by a click.
const focus = (state) => state.locked || state.hover;
