// The figure is made here, once, and handed to every function that needs it.

// A view is a table of
//   controls, hint, label     what its toolbar offers, the keys that it knows, and its name for a screen reader
//   shifts, oneHead           arrows with Shift choose a layer and a head; one head is always chosen
//   needsAll, prepares        its first picture needs all layers; the other layers are computed ahead
//   load(figure)              unpack what the first picture needs; the chosen layer where it has none
//   height(figure)            CSS pixels that it would like; more than the stage has makes the stage scroll
//   draw(figure)              draw on `ink`, width × height CSS pixels; `scroll` pixels above are scrolled away
//   hit(figure, x, y)         what is under the pointer, or null
//   click(figure, at)         what a click on that does; it is held where there is none
//   text(figure)              what the status line says, and a screen reader
//   key(figure, name, by)     do what a key means (by: [down, right] of an arrow); true when it meant something
// A page carries the file of its own view, so the tables are only looked up when they are asked for.
const VIEWS = Object.freeze({
  heads: () => headsView,
  model: () => modelView,
  matrix: () => matrixView,
  query_key: () => queryKeyView,
  cross: () => crossView,
});

function newFigure(page) {
  const stacks = (page.stacks || []).map(newStack);
  const canvas = make("canvas", { tabIndex: 0 });
  const spacer = make("div", { className: "spacer" });
  return {
    page, // what Python wrote
    stacks,
    view: VIEWS[page.view](),
    state: newState(page, stacks),
    canvas,
    ink: canvas.getContext("2d"),
    family: getComputedStyle(document.body).fontFamily,
    spacer,
    stage: make("div", { className: "stage" }, canvas, spacer),
    toolbar: make("div", { className: "toolbar" }),
    status: make("output", { aria: { live: "polite" } }),
    keys: make("span", { className: "keys" }),
    pictures: new Map(),
    kept: newCache(),
    floats: {},
    asked: 0, // the animation frame that will draw
    complete: false, // everything that the first picture needs has been unpacked
  };
}

// What the reader chose.
function newState(page, stacks) {
  const [stack] = stacks;
  return {
    stack,
    layer: stack && stack.layers.indexOf(page.layer), // a place in stack.layers, as heads are in stack.heads
    heads: stack && Number.isInteger(page.head) ? [stack.heads.indexOf(page.head)] : [],
    pair: "all",
    special: true,
    threshold: Math.max(0, ...stacks.map((one) => one.keys)) > 100 ? 0.05 : 0.02,
    hover: null,
    locked: null,
    token: page.token,
    head: page.head,
    step: 0,
    playing: 0,
    enlarged: null,
    theme: null,
  };
}

function draw(figure) {
  const { ink, view } = figure;
  if (!measure(figure)) return; // not laid out yet: the observer asks again
  ink.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  ink.fillStyle = figure.colours.background;
  ink.fillRect(0, 0, figure.width, figure.height);
  view.draw(figure);
  figure.status.textContent = view.text(figure);
  if (figure.complete) document.documentElement.dataset.ready ||= Math.round(performance.now());
}

// Fit the canvas to its stage; false while the stage has no size.
function measure(figure) {
  const { canvas, stage, spacer, view } = figure;
  figure.width = stage.clientWidth;
  figure.height = stage.clientHeight;
  spacer.style.height = `${view.height(figure)}px`;
  figure.width = stage.clientWidth; // a scroll bar may have come
  figure.scroll = stage.scrollTop;
  const { width, height } = figure;
  if (!width || !height) return false;
  const [w, h] = [width, height].map((length) => Math.round(length * devicePixelRatio));
  if (canvas.width !== w || canvas.height !== h) {
    Object.assign(canvas, { width: w, height: h });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  }
  return true;
}

function refresh(figure) {
  figure.asked ||= requestAnimationFrame(() => {
    figure.asked = 0;
    draw(figure);
  });
}

async function start(page) {
  const figure = newFigure(page);
  const { view, state, stacks, toolbar, stage, status, keys } = figure;
  expose(figure);
  if (page.note) document.body.append(make("div", { className: "note", role: "note", textContent: page.note }));
  document.body.append(toolbar, stage, make("div", { className: "status" }, status, keys));
  setTheme(figure);
  if (view.load) await view.load(figure);
  else await layerBytes(state.stack, state.layer);
  build(figure);
  listen(figure);
  setTheme(figure); // once more: a window that changed while the page loaded was not heard
  draw(figure);
  if (view.needsAll) await unpackAll(figure, state.stack);
  figure.complete = true;
  draw(figure);
  for (const stack of stacks) await unpackAll(figure, stack);
  if (view.prepares) await prepare(figure);
}

// Layer by layer, with a pause where it takes longer than the eye notices, so that the page stays alive.
async function unpackAll(figure, stack) {
  let rested = performance.now();
  for (let layer = 0; layer < stack.layers.length; layer++) {
    await layerBytes(stack, layer);
    if (performance.now() - rested < 30) continue;
    await new Promise((done) => setTimeout(done));
    if (figure.view.needsAll) refresh(figure);
    rested = performance.now();
  }
}

// Compute the other layers of a page that isn't large, so that a change of layer only has to draw.
async function prepare(figure) {
  const { layers, heads, queries, keys } = figure.state.stack;
  if (layers.length * heads.length * queries * keys > 6e6) return;
  for (let layer = 0; layer < layers.length; layer++) {
    await new Promise((done) => setTimeout(done, 30));
    mean(figure, layer);
    received(figure, shown(figure, "query"), layer);
  }
  document.documentElement.dataset.warm = "yes";
}

// For whoever looks in from a browser's console, and for the tests.
function expose(figure) {
  const places = () => figure.view.places(figure);
  window.figure = { ...figure, plane, strongest, layerBytes, places, draw: () => draw(figure) };
}

start(JSON.parse(document.getElementById("page").textContent));
