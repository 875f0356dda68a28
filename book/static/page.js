// What a page does by itself: twins of widgets, a quiz that says how far you are, regions that the keyboard can scroll.
function place(twin) {
  return [...twin.querySelectorAll(".twin-row input")].map((input) => input.value).join(",");
}

function show(twin, moved) {
  const inputs = [...twin.querySelectorAll(".twin-row input")];
  const states = [...twin.querySelectorAll(".twin-state")];
  let found = states.find((state) => state.dataset.at === place(twin));
  if (!found) {
    // This combination was not computed: the other controls go back to where they began.
    const start = twin.dataset.start.split(",");
    inputs.forEach((input, index) => { if (input !== moved) input.value = start[index]; });
    found = states.find((state) => state.dataset.at === place(twin));
  }
  for (const state of states) state.hidden = state !== found;
  for (const input of inputs) {
    const name = JSON.parse(input.dataset.names)[input.value];
    input.setAttribute("aria-valuetext", name);
    input.nextElementSibling.textContent = name;
  }
}

function startTwins() {
  for (const twin of document.querySelectorAll(".twin[data-start]")) {
    twin.addEventListener("input", (event) => show(twin, event.target));
    show(twin, null); // a browser may remember where a reader left the controls
  }
}

function startQuiz() {
  for (const quiz of document.querySelectorAll(".labs-quiz")) {
    const said = document.createElement("p");
    said.setAttribute("role", "status");
    said.className = "quiz-score";
    quiz.after(said);
    const first = new Map(); // the first answer counts; looking at the others is for learning
    quiz.addEventListener("toggle", (event) => {
      if (!event.target.open) return;
      const question = event.target.closest("li");
      const right = event.target.querySelector("b").textContent === "Right.";
      event.target.classList.add(right ? "right" : "wrong");
      if (question.querySelector(":scope > p > i")) return; // several may be right
      if (!first.has(question)) first.set(question, right);
      const score = [...first.values()].filter(Boolean).length;
      said.textContent = `${score} right at the first try, of ${first.size} answered and ${quiz.children.length} in all`;
    }, true);
  }
}

function makeScrollable() {
  const parts = "pre, .shown, .shown div, .pst-scrollable-table-container, .cell_output > *";
  for (const part of document.querySelectorAll(parts)) {
    const scrolls = part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== "visible";
    if (scrolls) part.tabIndex = 0;
    else if (part.tabIndex === 0) part.removeAttribute("tabindex");
  }
}

// What was printed in columns keeps them, and scrolls where it must. Sentences wrap, and lines that no window has room for.
function wrapProse() {
  for (const cell of document.querySelectorAll(".shown table.dataframe td")) {
    cell.classList.toggle("sentence", cell.textContent.length > 24); // beside others it would be one word wide
  }
  for (const printed of document.querySelectorAll(".cell_output .highlight pre")) {
    const lines = printed.textContent.split("\n");
    const inColumns = lines.some((line) => /\S( {2,}|\t| \| )\S/.test(line)) && lines.every((line) => line.length <= 100);
    printed.classList.toggle("prose", !inColumns);
  }
}

// In a narrow window a table of three columns becomes a list (page.css): each cell then says what its column is.
function labelCells() {
  for (const table of document.querySelectorAll(".pst-scrollable-table-container > table")) {
    const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent);
    table.classList.toggle("stacks", names.length === 3);
    for (const cell of table.querySelectorAll("tbody td")) {
      cell.dataset.column = names[cell.cellIndex] ?? "";
      cell.classList.toggle("blank", !cell.textContent.trim() && !cell.querySelector("img, svg"));
    }
  }
}

// Names that the themes leave out, or give beside a text that says something else.
function nameControls() {
  for (const fold of document.querySelectorAll('summary[aria-label="Toggle hidden content"], .search-button-field')) {
    fold.removeAttribute("aria-label");
  }
  for (const fold of document.querySelectorAll(".bd-sidebar-primary summary")) {
    const link = fold.closest("li").querySelector("a");
    fold.setAttribute("aria-label", `Pages below ${link.textContent.trim()}`);
  }
}

function start() {
  nameControls();
  labelCells();
  wrapProse();
  startTwins();
  startQuiz();
  makeScrollable();
  addEventListener("resize", makeScrollable);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
