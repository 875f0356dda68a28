// One head as a small picture, for the grid and the heat map.

// w × h pixels; where pixels are fewer than cells, each shows the strongest of its cells.
function picture({ state, pictures, ramp }, size, layer, head, w, h) {
  const { stack } = state;
  const name = `${stack.kind}/${layer}/${head}/${size}`;
  if (pictures.has(name)) return pictures.get(name);
  const columns = Math.min(stack.keys, w);
  const rows = Math.min(stack.queries, h);
  const image = new ImageData(columns, rows);
  strongestCells(stack, plane(stack, layer, head), columns, rows).forEach((weight, i) => {
    const [r, g, b] = ramp[shade(weight)];
    image.data.set([r, g, b, 255], 4 * i);
  });
  const found = make("canvas", { width: columns, height: rows });
  found.getContext("2d").putImageData(image, 0, 0);
  pictures.set(name, found);
  return found;
}

function strongestCells({ queries: Q, keys: K }, values, columns, rows) {
  const found = new Float32Array(columns * rows);
  for (let q = 0; q < Q; q++) {
    const to = Math.floor((q * rows) / Q) * columns;
    for (let k = 0, i = q * K; k < K; k++, i++) {
      const at = to + Math.floor((k * columns) / K);
      if (values[i] > found[at]) found[at] = values[i];
    }
  }
  return found;
}
