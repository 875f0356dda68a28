"""The attention views beside bertviz: the same tensors (MiniLM, 6 × 12 heads, on English prose), the same run.

Then the chat model, 30 × 9 heads that share three by three; without it on this machine its rows are left out.

Sizes are of the HTML that goes into a notebook. "Ready" is from calling the view in Python to its first complete
picture, in a page of headless Chromium that holds nothing else; the last rows run a cell in a real JupyterLab, its
server and its kernel on the same cores.
"""

import tempfile
import time
from pathlib import Path

from benchmarks.support import browser as real
from data.recipes.results import Row

_BOUNDS = {64: (0.45, 0.5), 256: (1.2, 1.0), 512: (3.5, 3.0)}  # tokens: (megabytes, seconds)
_CHAT_BOUNDS = {128: (2.5, 1.0), 512: (3.5, 3.0)}  # at 512 tokens a page brings some of the layers, and says so
_BERTVIZ_LONGEST = 256  # at 512 tokens bertviz makes some 870 MB, which no browser opens
_SENTENCE = (
    "A learner opens a numbered notebook, runs it from top to bottom and sees what the model looks at: number {}. "
    "The library of the old town, which {} readers visit every day, keeps {} maps that nobody has ever counted. "
)
_TEXT = " ".join(_SENTENCE.format(place, 3 * place, place * place) for place in range(20))


def rows():
    """Size, time to ready, redraw and exactness at 64, 256 and 512 tokens."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    import labs_utils as lab

    encoder = lab.checkpoint("encoder")
    model, tokenizer = AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder)
    ids = tokenizer(_TEXT, add_special_tokens=False, verbose=False)["input_ids"]
    for tokens in _BOUNDS:
        seen = lab.attention(model, tokenizer, tokenizer.decode(ids[: tokens - 2]))
        assert abs(seen.data["encoder"].shape[-1] - tokens) <= 2
        yield from _costs(seen, f"{tokens} tokens", *_BOUNDS[tokens])
        yield from _redraws(seen, tokens)
        if tokens <= _BERTVIZ_LONGEST:
            yield from _bertviz(seen, tokens, torch)
    yield from _of_the_chat_model()
    yield from _in_jupyterlab()


def _of_the_chat_model():
    """Size, time to ready and exactness of 270 heads, with the layers that a page brings."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import labs_utils as lab
    from labs_utils.materials import catalog, fetching

    if not fetching.is_fetched("llm", catalog.entries()["models"]["llm"]):
        return
    folder = lab.checkpoint("llm")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(_TEXT, verbose=False)["input_ids"]
    for tokens, bounds in _CHAT_BOUNDS.items():
        begin = time.perf_counter()
        seen = lab.attention(model, tokenizer, tokenizer.decode(ids[:tokens]))
        name = f"chat model, {tokens} tokens"
        yield Row(f"{name}: capture of 270 heads", time.perf_counter() - begin, "s")
        assert seen.data["decoder"].shape[-1] == tokens
        yield Row(f"{name}: layers in the page, of 30", seen.model().data["decoder"].shape[0])
        yield from _costs(seen, name, *bounds)


def _costs(seen, name: str, megabytes: float, seconds: float):
    """Rows that every captured attention has: the size of its pages, and when they are ready."""
    heads, grid = len(seen.heads()._repr_html_()), len(seen.model()._repr_html_())
    yield Row(f"{name}: HTML of heads", heads / 1e6, "MB", megabytes)
    yield Row(f"{name}: HTML of the model grid", grid / 1e6, "MB", megabytes)
    if real.CHROMIUM is None:
        return
    with real.browser() as running, real.offline_page(running) as (page, watch):
        for what, view in (("heads", seen.heads), ("model grid", seen.model)):
            yield Row(f"{name}: {what} ready", _ready(page, view), "s", seconds)
        yield Row(f"{name}: rows whose strongest key is the tensor's", _agreeing(page, seen.model()), "%", 100, True)
        assert not watch.outside and not watch.errors, watch


def _redraws(seen, tokens: int):
    if real.CHROMIUM is None:
        return
    with real.browser() as running, real.offline_page(running) as (page, watch):
        _ready(page, seen.heads)
        most = 16 if tokens == 256 else None
        yield Row(f"{tokens} tokens: redraw on another layer", _redraw(page, tokens), "ms", most)
        assert not watch.outside and not watch.errors, watch


def _ready(page, view) -> float:
    """Median seconds of three from calling a view to its first complete picture."""
    times = []
    for _ in range(3):
        page.goto("about:blank")
        begin = time.perf_counter()
        fragment = view()._repr_html_()
        page.evaluate("html => { document.body.innerHTML = html; }", fragment)
        page.frames[-1].wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
        times.append(time.perf_counter() - begin)
    return sorted(times)[1]


def _redraw(page, tokens: int) -> float:
    """Median milliseconds to draw another layer, pixels included: reading one back waits for them."""
    frame = page.frames[-1]
    if tokens <= 256:  # above it a page does not prepare its other layers
        frame.wait_for_selector("html[data-warm]", state="attached", timeout=60_000)
    return frame.evaluate("""async () => {
        const stack = figure.stacks[0];
        for (let layer = 0; layer < stack.layers.length; layer++) await figure.layerBytes(stack, layer);
        const ink = document.querySelector("canvas").getContext("2d"), times = [];
        for (let turn = 0; turn < 12; turn++) {
            const begin = performance.now();
            figure.state.layer = turn % stack.layers.length;
            figure.draw();
            ink.getImageData(0, 0, 1, 1);
            times.push(performance.now() - begin);
        }
        return times.sort((a, b) => a - b)[6];
    }""")


def _agreeing(page, figure) -> float:
    """Percent of all rows whose largest weight in the page, which shows `figure`, is a largest of the tensor."""
    top = page.frames[-1].evaluate("""() => {
        const stack = figure.stacks[0], found = [];
        stack.layers.forEach((_, layer) => stack.heads.forEach((_, head) => {
            const values = figure.plane(stack, layer, head), K = stack.keys;
            for (let q = 0; q < stack.queries; q++) {
                const row = values.subarray(q * K, q * K + K);
                found.push(row.indexOf(row.reduce((a, b) => Math.max(a, b))));
            }
        }));
        return found;
    }""")
    import torch

    rows = next(iter(figure.data.values())).flatten(0, 2)
    shown = rows.gather(1, torch.tensor(top)[:, None])[:, 0]
    return 100 * (shown == rows.max(-1).values).double().mean().item()


def _bertviz(seen, tokens: int, torch):
    import labs_utils as lab

    layers = [layer[None] for layer in seen.data["encoder"]]
    begin = time.perf_counter()
    figure = lab.bertviz_model_view(layers, seen.tokens["encoder"])
    yield Row(f"{tokens} tokens: HTML of bertviz's model view", len(figure._repr_html_()) / 1e6, "MB")
    yield Row(f"{tokens} tokens: bertviz's model view in Python alone", time.perf_counter() - begin, "s")
    if real.CHROMIUM is None or tokens > 64:
        return
    with real.browser() as running, real.offline_page(running) as (page, _):
        begin = time.perf_counter()
        page.set_content(figure._repr_html_(), timeout=120_000)
        page.frames[-1].wait_for_selector("svg line", state="attached", timeout=120_000)
        yield Row(f"{tokens} tokens: bertviz's model view ready after that", time.perf_counter() - begin, "s")


_CELL = """
import labs_utils as lab
from transformers import AutoModel, AutoTokenizer
encoder = lab.checkpoint("encoder")
model, tokenizer = AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder)
ids = tokenizer({text!r}, add_special_tokens=False, verbose=False)["input_ids"]
seen = {{n: lab.attention(model, tokenizer, tokenizer.decode(ids[: n - 2])) for n in (64, 256, 512)}}
"""


def _in_jupyterlab():
    """Run the cell, wait for the picture: the whole way from the kernel through JupyterLab to the frame."""
    if real.CHROMIUM is None:
        return
    with tempfile.TemporaryDirectory() as name, real.browser() as running:
        sources = [_CELL.format(text=_TEXT), *(f"seen[{tokens}].heads()" for tokens in _BOUNDS)]
        real.write_notebook(Path(name) / "views.ipynb", sources)
        with real.jupyterlab(Path(name)) as address, real.offline_page(running) as (page, _):
            real.open_notebook(page, address.format(name="views.ipynb"))
            page.evaluate("jupyterapp.commands.execute('notebook:move-cursor-up')")
            page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex = 0")
            page.evaluate("jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
            for tokens, (_, seconds) in _BOUNDS.items():
                yield Row(f"{tokens} tokens: heads ready in JupyterLab", _run_cell(page), "s", seconds)


def _run_cell(page) -> float:
    """Seconds from running the active cell to the picture in its frame."""
    before = len(page.frames)
    begin = time.perf_counter()
    page.evaluate("jupyterapp.commands.execute('notebook:run-cell-and-select-next')")
    while len(page.frames) == before:
        page.wait_for_timeout(5)
    real.show(page.frames[-1])
    page.frames[-1].wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
    return time.perf_counter() - begin
