// What the toolbar offers. A control that means nothing for this figure is null.

const CONTROLS = Object.freeze({
  kind: kindControl,
  layer: layerControl,
  head: headControl,
  heads: headsControl,
  pair: pairControl,
  special: specialControl,
  threshold: thresholdControl,
  token: tokenControl,
  shownHead: shownHeadControl,
  step: stepControl,
  shape: shapeControl,
  back: backControl,
});

const NOWHERE = Object.freeze({ hover: null, locked: null });

function build(figure) {
  const { view, toolbar, canvas } = figure;
  const focusable = () => [...toolbar.querySelectorAll("button,select,input")];
  const focused = focusable().indexOf(document.activeElement);
  toolbar.replaceChildren(
    ...view.controls.map((name) => CONTROLS[name](figure)).filter(Boolean),
    make("span", { className: "space" }),
    tools(figure),
  );
  figure.keys.textContent = view.hint;
  canvas.setAttribute("aria-label", `${view.label}. ${view.hint}`);
  canvas.setAttribute("role", "application");
  if (focused >= 0) focusable()[focused]?.focus();
}

function change(figure, changes) {
  Object.assign(figure.state, changes);
  refresh(figure);
}

// A change that the toolbar shows too.
function rebuild(figure, changes) {
  Object.assign(figure.state, changes);
  build(figure);
  refresh(figure);
}

function tools(figure) {
  const copy = make("button", {
    className: "quiet",
    textContent: "PNG",
    title: "Copy the picture",
    aria: { label: "Copy the picture as PNG" },
    onclick: () => copyPicture(figure, copy),
  });
  const turn = make("button", {
    className: "quiet",
    textContent: "◐",
    title: "Light or dark",
    aria: { label: "Light or dark" },
    onclick() {
      figure.state.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      setTheme(figure);
      refresh(figure);
    },
  });
  return make("span", { className: "tools" }, copy, turn);
}

const control = (...children) => make("span", { className: "control" }, ...children);
const labelled = (...children) => make("label", { className: "control" }, ...children);

function choice(label, options, chosen, pick) {
  const made = options.map(([value, textContent]) =>
    make("option", { value, textContent, selected: value === chosen }),
  );
  const select = make("select", { aria: { label }, onchange: () => pick(options[select.selectedIndex][0]) }, ...made);
  return labelled(label, select);
}

function kindControl(figure) {
  const { stacks, state } = figure;
  if (stacks.length < 2) return null;
  const words = { encoder: "encoder", decoder: "decoder", cross: "cross: decoder to encoder" };
  const options = stacks.map((one, i) => [i, words[one.kind]]);
  return choice("Attention", options, stacks.indexOf(state.stack), (place) => goKind(figure, stacks[place]));
}

async function goKind(figure, stack) {
  const { state } = figure;
  const layer = Math.max(0, stack.layers.indexOf(state.stack.layers[state.layer]));
  await layerBytes(stack, layer);
  const heads = state.heads.filter((head) => head < stack.heads.length);
  rebuild(figure, { stack, layer, heads, ...NOWHERE, pair: "all" });
}

function layerControl(figure) {
  const { stack, layer } = figure.state;
  const options = stack.layers.map((one, place) => [place, one]);
  return choice("Layer", options, layer, (place) => goLayer(figure, place));
}

async function goLayer(figure, layer) {
  const { state, toolbar } = figure;
  if (layer < 0 || layer >= state.stack.layers.length) return;
  await layerBytes(state.stack, layer);
  const select = toolbar.querySelector('select[aria-label="Layer"]');
  if (select) select.value = layer;
  change(figure, { layer });
}

function headControl(figure) {
  const options = figure.state.stack.heads.map((head, place) => [place, head]);
  return choice("Head", options, chosenHeads(figure.state)[0], (place) => change(figure, { heads: [place] }));
}

function headsControl(figure) {
  const { state, toolbar } = figure;
  const press = (place, heads) => {
    state.heads = heads;
    build(figure);
    toolbar.querySelectorAll(".heads button")[place].focus();
    refresh(figure);
  };
  const all = make("button", {
    textContent: "all",
    title: "The mean over all heads",
    aria: { pressed: !state.heads.length },
    onclick: () => press(0, []),
  });
  const buttons = state.stack.heads.map((head, i) =>
    make("button", {
      textContent: head,
      title: `${headTitle(state.stack, head)}Click to see it alone; Shift and click to choose several`,
      className: startsGroup(state.stack, i) ? "group" : "",
      aria: { label: `Head ${head}`, pressed: state.heads.includes(i) },
      onclick: (event) => press(i + 1, headsAfter(state.heads, i, event.shiftKey)),
    }),
  );
  return control(
    "Heads",
    make("span", { className: "heads", role: "group", aria: { label: "Heads" } }, all, ...buttons),
  );
}

function headTitle(stack, head) {
  const shares = sharesText(stack, head);
  return shares && `Head ${head} ${shares}. `;
}

// The chosen heads after one was pressed, alone or in addition; pressed again it is let go.
function headsAfter(heads, pressed, several) {
  if (!several) return heads.length === 1 && heads[0] === pressed ? [] : [pressed];
  if (heads.includes(pressed)) return heads.filter((head) => head !== pressed);
  return [...heads, pressed].sort((a, b) => a - b);
}

function goHead(figure, by) {
  const { state, view } = figure;
  const least = view.oneHead ? 0 : -1; // -1: the mean over all
  const now = state.heads.length === 1 ? state.heads[0] : least;
  const next = clamp(now + by, least, state.stack.heads.length - 1);
  state.heads = next < 0 ? [] : [next];
  build(figure);
}

function pairControl(figure) {
  const { page, state, stage } = figure;
  if (page.second === null || state.stack.kind !== "encoder") return null;
  const options = [
    ["all", "both texts"],
    ["AA", "A → A"],
    ["AB", "A → B"],
    ["BA", "B → A"],
    ["BB", "B → B"],
  ];
  return choice("Texts", options, state.pair, (pair) => {
    stage.scrollTop = 0;
    change(figure, { pair, ...NOWHERE });
  });
}

function specialControl(figure) {
  const { page, state } = figure;
  if (!Object.values(page.special).some((side) => side.some(Boolean))) return null;
  const tick = make("input", {
    type: "checkbox",
    checked: state.special,
    onchange: () => change(figure, { special: tick.checked, ...NOWHERE }),
  });
  return labelled(tick, "special tokens");
}

function thresholdControl(figure) {
  const { state } = figure;
  const text = make("span", { textContent: state.threshold.toFixed(2) });
  const slider = make("input", {
    type: "range",
    min: 0,
    max: 0.5,
    step: 0.01,
    value: state.threshold,
    aria: { label: "Hide lines below this weight" },
    oninput() {
      change(figure, { threshold: Number(slider.value) });
      text.textContent = state.threshold.toFixed(2);
    },
  });
  return labelled("lines from", slider, text);
}

function tokenControl(figure) {
  const { page, state } = figure;
  const options = page.tokens[page.query_side].slice(0, page.queries).map((token, i) => [i, `${i} ${token}`]);
  return choice("Query", options, state.token, (token) => change(figure, { token }));
}

function shownHeadControl(figure) {
  const { page, state } = figure;
  const options = page.shown.map((head) => [head, head]);
  return choice("Head", options, state.head, (head) => change(figure, { head }));
}

function stepControl(figure) {
  const { stack, step, playing } = figure.state;
  const button = (textContent, label, onclick, disabled = false) =>
    make("button", { textContent, disabled, aria: { label }, onclick });
  const back = button("‹", "One step back", () => goTo(figure, step - 1), step === 0);
  const next = button("›", "One step on", () => goTo(figure, step + 1), step === stack.queries - 1);
  const run = () => play(figure);
  const go = playing ? button("Pause", "Pause", run) : button("Play", "Play all steps", run);
  return control(back, `step ${step + 1} of ${stack.queries}`, next, go);
}

function shapeControl({ state }) {
  const { layers, heads, queries, keys } = state.stack;
  return control(`${layers.length} layers × ${heads.length} heads, ${queries} × ${keys} tokens`);
}

function backControl(figure) {
  if (!figure.state.enlarged) return null;
  return make("button", { textContent: "‹ all heads", onclick: () => leaveHead(figure) });
}
