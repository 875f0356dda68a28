"""The views in a real JupyterLab and in static HTML, with the network off."""

import re
import time

import nbformat
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import labs_utils as lab
from benchmarks.support import browser as real
from labs_utils.attention_maps import coding, views
from labs_utils.chapters import chapters
from tests.helpers.test_attention import LONG, causal, random_attention, tiny

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(real.CHROMIUM is None, reason=real.MISSING),
    pytest.mark.xdist_group("browser"),
]

TEXT, PAIR = "The cat </script> sat on the mat 🙂", "<b>It</b> slept."
VIEWS = ("heads", "model", "matrix", "query_key", "cross")
QUIZ = min(number for number, one in chapters().items() if one.table("quiz"))

CELLS = [
    f"""
import torch, labs_utils as lab
from transformers import AutoModel, AutoTokenizer, MarianConfig, MarianMTModel
encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder)
model = AutoModel.from_pretrained(encoder)
seen = lab.attention(model, tokenizer, {TEXT!r}, {PAIR!r})
torch.manual_seed(0)
sizes = {{f"{{side}}_{{name}}": value for side in ("encoder", "decoder")
         for name, value in {{"layers": 2, "attention_heads": 4, "ffn_dim": 32}}.items()}}
translator = MarianMTModel(MarianConfig(vocab_size=30522, d_model=32, pad_token_id=0, eos_token_id=102,
                                        decoder_start_token_id=0, **sizes))
translation = lab.attention(translator, tokenizer, "the cat sat", target="le chat est assis")
layers = [layer[None] for layer in seen.data["encoder"]]
""",
    "seen.heads(layer=1)",
    "seen.model()",
    "seen.matrix(layer=2, head=5)",
    "seen.query_key(layer=2, head=5, token=3)",
    "translation.cross()",
    'lab.bertviz_head_view(layers, seen.tokens["encoder"])',
    'lab.bertviz_model_view(layers, seen.tokens["encoder"])',
    "lab.tokens(tokenizer, 'Tokenizers cut 🙂')",
    "lab.compare_tokenizers({'one': tokenizer, 'two': tokenizer}, 'Tokenizers cut')",
    "lab.shapes(model, depth=2, **tokenizer('hi', return_tensors='pt'))",
    """
from transformers import GPT2Config, GPT2LMHeadModel
torch.manual_seed(0)
writer = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30522))
shown = lab.next_token(writer, tokenizer, "the cat", top_k=5)
shown
""",
    """
tree = lab.beam_tree(writer, tokenizer, "the cat", num_beams=3, steps=5)
tree
""",
    *([f"lab.quiz({QUIZ!r})"] if QUIZ else []),
]

COLOURS = """() => {
  const canvas = document.querySelector("canvas");
  const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return new Set(pixels).size;
}"""


@pytest.fixture(scope="module")
def chromium():
    with real.browser() as running:
        yield running


@pytest.fixture(scope="module")
def notebook(chromium, tmp_path_factory):
    """A notebook with every view, run in JupyterLab: `(page, watch, path)`."""
    folder = tmp_path_factory.mktemp("lab")
    path = folder / "views.ipynb"
    real.write_notebook(path, CELLS)
    with real.jupyterlab(folder) as address, real.offline_page(chromium, height=1000) as (page, watch):
        real.open_notebook(page, address.format(name=path.name))
        real.run_all(page)
        yield page, watch, path


@pytest.fixture(scope="module")
def frames(notebook):
    return real.frames(notebook[0])


@pytest.fixture(scope="module")
def seen():
    """The very attention that the notebook shows."""
    encoder = lab.checkpoint("encoder")
    return lab.attention(AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder), TEXT, PAIR)


def point(page, frame, x: float, y: float) -> str:
    """Move the pointer to (x, y) of a view's canvas; the status line that comes."""
    real.show(frame)
    box = frame.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y + 1)  # a pointer that stands still tells the page nothing
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.wait_for_timeout(80)
    return frame.locator("output").inner_text()


def eventually(check):
    """Try `check` until it holds, for twenty seconds: a busy machine draws late."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return check()
        except (AssertionError, AttributeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws(frames, view):
    assert frames[view].evaluate(COLOURS) > 5


@pytest.mark.parametrize("title", ["bertviz: head view", "bertviz: model view"])
def test_bertviz_draws_offline(frames, title):
    assert frames[title].locator("svg line").count() > 100


def test_the_matrix_shows_the_value_under_the_pointer(notebook, frames, seen):
    frame = frames["matrix"]
    real.show(frame)
    place = frame.evaluate("figure.places()")

    def shows_the_value(query: int, key: int) -> None:
        x, y = (place["left"] + (key + 0.5) * place["cell"], place["top"] + (query + 0.5) * place["cell"])
        text = point(notebook[0], frame, x, y)
        shown = float(re.search(r": (\d\.\d{4})", text).group(1))
        assert shown == pytest.approx(seen.data["encoder"][2, 5, query, key].item(), abs=6e-5)
        column = float(re.search(r"Column sum (\d+\.\d{4})", text).group(1))
        assert column == pytest.approx(seen.data["encoder"][2, 5, :, key].sum().item(), abs=6e-5)

    for query, key in ((1, 2), (4, 0), (7, 7)):
        eventually(lambda query=query, key=key: shows_the_value(query, key))


def test_the_lines_show_the_strongest_key_and_another_layer(notebook, frames, seen):
    page, frame = notebook[0], frames["heads"]
    real.show(frame)
    frame.locator(".heads button", has_text=re.compile("^3$")).click()

    def shows_the_strongest(layer: int) -> None:
        text = point(page, frame, 120, 34 + 20 * 2.5)  # the third token
        assert text.startswith(f"Layer {layer}, head 3")
        assert f"{seen.data['encoder'][layer, 3, 2].max().item():.4f}" in text

    eventually(lambda: shows_the_strongest(1))
    before = frame.evaluate("document.querySelector('canvas').toDataURL()")
    frame.get_by_label("Layer", exact=True).select_option("4")
    eventually(lambda: shows_the_strongest(4))
    assert frame.evaluate("document.querySelector('canvas').toDataURL()") != before


def test_two_texts_and_special_tokens_can_be_filtered(frames):
    frame = frames["heads"]
    real.show(frame)
    second = frame.evaluate("figure.page.second")
    frame.get_by_label("Texts", exact=True).select_option("BA")
    frame.locator("input[type=checkbox]").uncheck()
    frame.wait_for_timeout(80)
    assert frame.evaluate("figure.state.pair") == "BA" and second > 0
    assert frame.evaluate(COLOURS) > 5
    frame.get_by_label("Texts", exact=True).select_option("all")
    frame.locator("input[type=checkbox]").check()


def test_a_click_holds_a_token_and_keys_move_it(notebook, frames):
    page, frame = notebook[0], frames["heads"]
    point(page, frame, 120, 34 + 20 * 1.5)
    page.mouse.down()
    page.mouse.up()
    assert frame.evaluate("figure.state.locked") == {"side": "query", "i": 1}
    frame.locator("canvas").press("ArrowDown")
    assert frame.evaluate("figure.state.locked.i") == 2
    frame.locator("canvas").press("Escape")
    assert frame.evaluate("figure.state.locked") is None


def test_a_head_of_the_grid_is_enlarged_and_left_again_by_keys(frames):
    frame = frames["model"]
    real.show(frame)
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        frame.locator("canvas").press(key)
    frame.wait_for_timeout(80)
    assert frame.evaluate("figure.state.enlarged") == {"l": 1, "h": 1}
    assert frame.evaluate(COLOURS) > 5
    frame.locator("canvas").press("Escape")
    assert frame.evaluate("figure.state.enlarged") is None


def test_the_translation_goes_step_by_step(frames):
    frame = frames["cross"]
    real.show(frame)
    frame.get_by_label("One step on").click()
    frame.locator("canvas").press("ArrowRight")

    def is_at_step_three() -> None:
        assert frame.locator("output").inner_text().startswith("Step 3 of")

    eventually(is_at_step_three)


def test_query_times_key_is_the_score(notebook, frames, seen):
    frame = frames["query_key"]
    data = seen.query_key(2, 5, 3).data

    def shows_score_and_weight() -> None:
        text = point(notebook[0], frame, 40, 92 + 22 * 2.5)  # the name of the third key
        numbers = re.search(r"score (−?[\d.]+), weight ([\d.]+)", text)
        assert float(numbers.group(1).replace("−", "-")) == pytest.approx(data["scores"][3, 2].item(), abs=6e-4)
        assert float(numbers.group(2)) == pytest.approx(seen.data["encoder"][2, 5, 3, 2].item(), abs=6e-5)

    eventually(shows_score_and_weight)


def test_the_picture_can_be_taken_along(frames):
    frame = frames["matrix"]
    real.show(frame)
    button = frame.get_by_label("Copy the picture as PNG")
    button.click()
    overlay = frame.locator(".overlay img")

    def is_offered() -> None:
        assert overlay.count() or button.inner_text() == "Copied"

    eventually(is_offered)
    if overlay.count():
        assert overlay.get_attribute("src").startswith("data:image/png")
        frame.get_by_role("button", name="Close").click()


def test_the_views_follow_the_theme(notebook, frames):
    page = notebook[0]
    for theme in ("Dark", "Light"):
        page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
        for view in VIEWS:
            real.show(frames[view])
            frames[view].wait_for_selector(f"html[data-theme={theme.lower()}]", timeout=10_000, state="attached")


def test_the_other_views_draw_too(notebook):
    page = notebook[0]
    assert page.get_by_text("characters 0 to").count() == 0  # titles are titles, not text
    assert page.locator("span[title*='special, token 0']").count() == 1
    assert page.locator("td[colspan]").count() > 5
    assert page.get_by_text("output shape").count() == 1
    if QUIZ:
        assert page.locator(".jupyter-widgets.jupyter-button, .jupyter-widgets.widget-toggle-button").count() > 3


def test_the_next_token_follows_its_sliders_and_its_buttons(notebook):
    page = notebook[0]
    picture = page.locator(".labs-next-token")
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    for times in ("1.1", "1.2"):  # the slider stays what it was: the second key finds it focused
        if times == "1.1":
            handle.press("ArrowRight")
        else:
            page.keyboard.press("ArrowRight")

        def is_warmer(times=times) -> None:
            assert f"temperature = {times}, top_k = 5 · 5 of 30522 tokens can be drawn" in picture.inner_text()

        eventually(is_warmer)
    token = page.locator(".widget-button[title^='Append the token']").first
    name = token.inner_text()
    token.click()

    def is_appended() -> None:
        appended = picture.locator("span[style*='border-radius']").inner_text()
        assert appended.strip() == name.removeprefix("##")

    eventually(is_appended)
    tokens, bars = (picture.locator(f".labs-{part}").all() for part in ("token", "bar"))
    assert len(tokens) == len(bars) == 12
    for token, bar in zip(tokens, bars, strict=True):  # whatever a page's style does to tables
        left, right = token.bounding_box(), bar.bounding_box()
        assert left["x"] + left["width"] <= right["x"] and right["width"] > 200 and abs(left["y"] - right["y"]) < 12


def test_the_beam_tree_follows_its_slider(notebook):
    page = notebook[0]
    tree = page.locator(".labs-beam-tree")
    assert "Step 5 of 5" in tree.inner_text() and tree.locator(".labs-beam").count() == 15
    handle = page.locator(".widget-slider", has_text="step").locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    handle.press("ArrowLeft")

    def is_earlier() -> None:
        assert "Step 4 of 5" in tree.inner_text() and tree.locator(".labs-beam").count() == 12

    eventually(is_earlier)
    lead = tree.locator(".labs-beam.lead rect").all()
    assert len(lead) == 4  # one of each step, from left to right, each beside the one before
    boxes = [one.bounding_box() for one in lead]
    assert all(a["x"] + a["width"] < b["x"] for a, b in zip(boxes, boxes[1:], strict=False))
    assert all(card.locator("text").first.text_content() for card in tree.locator(".labs-beam").all())
    holds_its_cards(tree)


def holds_its_cards(tree) -> None:
    """Whatever a page's style does to drawings: no card of the tree is cut off, and names fit into their cards."""
    whole = tree.locator("svg").bounding_box()
    for card in tree.locator(".labs-beam").all():
        box, words = card.locator("rect").bounding_box(), [word.bounding_box() for word in card.locator("text").all()]
        assert box["y"] + box["height"] <= whole["y"] + whole["height"]
        assert box["x"] + box["width"] <= whole["x"] + whole["width"]
        assert all(word["x"] + word["width"] <= box["x"] + box["width"] for word in words)


def test_nothing_leaves_this_machine_and_nothing_fails(notebook):
    _, watch, _ = notebook
    assert watch.outside == []
    assert watch.errors == []


def test_the_saved_page_draws_offline(chromium, notebook, tmp_path):
    from nbconvert import HTMLExporter

    page, _, path = notebook
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    saved = nbformat.read(path, as_version=4)
    assert sum("labs-figure" in str(cell.outputs) for cell in saved.cells) == 7
    html = tmp_path / "views.html"
    html.write_text(HTMLExporter().from_notebook_node(saved)[0], encoding="utf-8")
    with real.offline_page(chromium) as (static, watch):
        static.goto(html.as_uri(), wait_until="domcontentloaded")
        found = real.frames(static)
        for view in VIEWS:
            assert found[view].evaluate(COLOURS) > 5
        assert found["bertviz: head view"].locator("svg line").count() > 100
        assert "temperature = 1.2, top_k = 5" in static.locator(".labs-next-token").inner_text()
        assert (
            static.locator(".labs-next-token span[style*='border-radius']").count() == 1
        )  # the token that was clicked
        assert static.get_by_text("run this cell to use them").count() == 1
        assert "Step 4 of 5" in static.locator(".labs-beam-tree").inner_text()  # where the slider was left
        assert static.locator(".labs-beam-tree svg .labs-beam").count() == 12
        holds_its_cards(static.locator(".labs-beam-tree"))
        assert watch.errors == []  # nbconvert's own page asks for MathJax; its frames ask for nothing


def test_the_page_decodes_what_python_encodes(chromium):
    weights = torch.stack([(torch.randn(2, 20, 25) * 3).softmax(-1), (torch.randn(2, 20, 25) * 0.1).softmax(-1)])
    with real.offline_page(chromium) as (page, watch):
        for step in (1e-4, 5e-3, 2e-2):
            code = coding.encode(weights, step)
            page.set_content(_heads_with_step(random_attention(weights), step))
            page.wait_for_selector("html[data-ready]", state="attached")
            for layer in (0, 1):
                says = page.evaluate(_PLANES, layer)
                expected = coding.decode_layer(code["layers"][layer], (2, 20, 25), step, code["wide"])
                assert torch.tensor(says["planes"]).view(2, 20, 25).numpy() == pytest.approx(expected, abs=2e-6)
                assert says["top"] == weights[layer, 1].argmax(-1).tolist()
        assert watch.errors == []


_PLANES = """async (layer) => {
  const { stacks: [stack], layerBytes, plane, strongest } = figure;
  await layerBytes(stack, layer);
  return { planes: [0, 1].map((head) => [...plane(stack, layer, head)]),
           top: Array.from({ length: stack.queries }, (_, q) => strongest(stack, layer, 1, q)) };
}"""


def _heads_with_step(seen, step: float) -> str:
    stack = views._stack(seen, views._Part("cross", [0, 1], [0, 1]), step)
    return views.figure(
        "heads", seen, {"stacks": [stack], "layer": 0, "head": None, "note": ""}, None, "test", 400
    ).html


def test_rows_are_as_high_as_python_says(chromium):
    html = random_attention(torch.rand(1, 2, 30, 30).softmax(-1), kind="encoder").heads().html
    inside = "parseInt(document.querySelector('.spacer').style.height)"
    with real.offline_page(chromium) as (page, watch):
        heights = []
        for row in (20, 27):
            page.set_content(html.replace('"row":20', f'"row":{row}'))
            page.wait_for_selector("html[data-ready]", state="attached")
            heights.append(page.evaluate(inside))
        assert heights[1] - heights[0] == 30 * 7 and watch.errors == []


def test_a_page_that_is_too_large_says_what_to_narrow(chromium, monkeypatch):
    monkeypatch.setattr(views, "LARGEST", 2 * 3 * 20 * 20)
    seen = random_attention(torch.rand(5, 3, 20, 20).softmax(-1), kind="encoder")
    figure = seen.heads(layer=3)
    assert list(figure.data["encoder"].shape) == [2, 3, 20, 20]
    with real.offline_page(chromium) as (page, watch):
        page.set_content(figure.html)
        page.wait_for_selector("html[data-ready]", state="attached")
        assert "this shows 2 of 5 layers (0, 3)" in page.locator(".note").inner_text()
        assert page.evaluate(COLOURS) > 5 and watch.errors == []


# What the pointer finds at every pixel of a line across the canvas: the values of `read` in order, repeats left out.
_SWEEP = """([y, read]) => {
  const canvas = document.querySelector("canvas");
  const { left, top } = canvas.getBoundingClientRect();
  const found = [];
  for (let x = 0; x < canvas.clientWidth; x++) {
    canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: left + x, clientY: top + y }));
    const value = figure.state.hover?.[read] ?? null;
    if (found.at(-1)?.[0] === value) found.at(-1)[1]++;
    else found.push([value, 1]);
  }
  return found;
}"""


def gaps_of(frame, y: float, read: str) -> list[int]:
    """Pixels between each head and the next on the canvas; all nine heads are there, in order."""
    found = frame.evaluate(_SWEEP, [y, read])
    heads = [value for value, _ in found if value is not None]
    assert heads == list(range(9))
    first = next(place for place, (value, _) in enumerate(found) if value == 0)
    between, places = [0] * 8, found[first:]
    for place, (value, width) in enumerate(places):
        if value is None and 0 < place < len(places) - 1:
            between[places[place - 1][0]] = width
    return between


def test_heads_that_share_their_keys_stand_together_and_say_so(chromium):
    seen = random_attention(causal(4, 9, 12), "decoder", shared=3)
    with real.offline_page(chromium) as (page, watch):
        page.set_content(seen.model().html)
        page.wait_for_selector("html[data-ready]", state="attached")
        between = gaps_of(page, 80, "h")
        assert between[2] == between[5] > max(between[0], between[1], between[3]) + 4
        page.locator("canvas").press("ArrowRight")  # the sweep ended at no head: the first
        page.locator("canvas").press("ArrowRight")
        eventually(lambda: _says(page, "head 1 (shares keys with 0, 2)"))
        page.locator("canvas").press("Enter")
        eventually(lambda: _says(page, "head 1 (shares keys with 0, 2)"))
        page.set_content(seen.heads(1, 4).html)
        page.wait_for_selector("html[data-ready]", state="attached")
        between = gaps_of(page, 34 + 20 * 1.5, "cell")
        assert between[2] == between[5] > max(between[0], between[1], between[3]) + 4
        eventually(lambda: _says(page, "head 4 (shares keys with 3, 5)"))
        buttons = [page.get_by_label(f"Head {head}", exact=True).bounding_box() for head in range(9)]
        apart = [right["x"] - left["x"] - left["width"] for left, right in zip(buttons, buttons[1:], strict=False)]
        assert apart[2] == apart[5] > apart[0] + 4 and apart[0] == apart[1] == apart[3]
        assert "Head 8 shares keys with 6, 7" in page.get_by_label("Head 8", exact=True).get_attribute("title")
        assert watch.errors == []


def _says(page, text: str) -> None:
    assert text in page.locator("output").inner_text()


def test_queries_and_keys_of_a_grouped_head_say_whose_keys_they_are(chromium):
    tokenizer = AutoTokenizer.from_pretrained(lab.checkpoint("encoder"))
    figure = lab.attention(tiny("LlamaForCausalLM"), tokenizer, LONG).query_key(1, 3, 5)
    with real.offline_page(chromium) as (page, watch):
        page.set_content(figure.html)
        page.wait_for_selector("html[data-ready]", state="attached")
        _says(page, "Head 3 shares keys with 2.")
        canvas = page.locator("canvas").bounding_box()
        page.mouse.move(canvas["x"] + 40, canvas["y"] + 92 + 22 * 2.5)

        def shows_the_score() -> None:
            told = re.search(r"score (−?[\d.]+), weight", page.locator("output").inner_text()).group(1)
            assert float(told.replace("−", "-")) == pytest.approx(figure.data["scores"][5, 2].item(), abs=6e-4)

        eventually(shows_the_score)
        assert watch.errors == []


def test_a_plain_model_has_no_groups(chromium):
    with real.offline_page(chromium) as (page, watch):
        page.set_content(random_attention(causal(2, 9, 12), "decoder").heads().html)
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.locator(".heads .group").count() == 0 and "share" not in page.locator("output").inner_text()
        assert len(set(gaps_of(page, 34 + 20 * 1.5, "cell"))) == 1 and watch.errors == []
