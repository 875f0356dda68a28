"""A page has no kernel: each widget leaves HTML that a reader can use, and each picture a text."""

import base64
import json
import re

import ipywidgets
import matplotlib.figure
import pytest

from book import twins


@pytest.fixture(autouse=True)
def as_in_a_page(monkeypatch):
    monkeypatch.setattr(ipywidgets.Output, "__enter__", twins._enter)
    monkeypatch.setattr(ipywidgets.Output, "__exit__", twins._leave)


def states(html: str) -> dict[str, str]:
    return dict(re.findall(r'<div class="twin-state" data-at="([\d,]*)"(?: hidden)?>(.*?)</div>', html, re.DOTALL))


def visible(html: str) -> list[str]:
    return re.findall(r'<div class="twin-state" data-at="([\d,]*)">', html)


def test_a_slider_becomes_a_range_over_states_and_is_left_as_it_was():
    slider = ipywidgets.IntSlider(3, 0, 4, description="size")
    answer = ipywidgets.interactive_output(lambda size: print("size", size), {"size": slider})
    html = twins.twin(ipywidgets.VBox([slider, answer]))
    assert [re.sub("<.*?>", "", text).strip() for text in states(html).values()] == [f"size {n}" for n in range(5)]
    assert visible(html) == ["3"] and 'data-start="3"' in html
    assert slider.value == 3


def test_the_present_value_is_among_the_values_tried():
    slider = ipywidgets.FloatSlider(0.5, min=0.02, max=1.1, step=0.02)
    tried = twins._values(slider, 12)
    assert 0.5 in tried and tried == sorted(tried)
    assert (tried[0], tried[-1]) == (0.02, 1.1)


def test_two_controls_give_every_pair_and_more_are_moved_one_at_a_time():
    def tree(count):
        sliders = {f"s{n}": ipywidgets.IntSlider(0, 0, 99, description=f"s{n}") for n in range(count)}
        answer = ipywidgets.interactive_output(lambda **values: print(sorted(values.values())), sliders)
        return ipywidgets.VBox([*sliders.values(), answer])

    assert len(states(twins.twin(tree(2)))) == 25
    assert len(states(twins.twin(tree(4)))) == 1 + 4 * 5


def test_a_picture_of_our_own_is_shown_as_text_can_hold_it():
    """`display` keeps the bytes of an object's _repr_png_; a page needs them in base64."""
    from types import SimpleNamespace

    import labs_utils as lab

    picture = lab.heatmap([[1, 2]])._repr_png_()
    html = twins._output(SimpleNamespace(data={"image/png": picture, "text/plain": "heat map"}))
    assert base64.b64decode(re.search('base64,([^"]*)"', html)[1]) == picture


def test_a_choice_shows_its_names_and_texts_are_escaped():
    choice = ipywidgets.Dropdown(options=[("<first>", 1), ("second", 2)], description="which")
    shown = ipywidgets.HTML("<b>1</b>")
    choice.observe(lambda change: setattr(shown, "value", f"<b>{change['new']}</b>"), "value")
    html = twins.twin(ipywidgets.VBox([choice, ipywidgets.Textarea("a < b", description="Text"), shown]))
    names = json.loads(
        re.search(r'data-names="(.*?)"', html)[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
    )
    assert names == ["<first>", "second"]
    assert list(states(html).values()) == ["<b>1</b>", "<b>2</b>"]
    assert "a &lt; b" in html and "<first>" not in html


def test_buttons_are_not_pressed():
    pressed = []
    button = ipywidgets.Button(description="Answer")
    button.on_click(pressed.append)
    html = twins.twin(ipywidgets.VBox([button, ipywidgets.HTML("as it is")]))
    assert not pressed and "as it is" in html and "data-start" not in html


def test_a_slider_by_itself_leaves_no_empty_box():
    assert twins.twin(ipywidgets.IntSlider(3, 0, 4)) == ""
    assert "text/html" not in twins._with_twin({"application/vnd.jupyter.widget-view+json": {}}, ipywidgets.IntSlider())


def test_a_beam_tree_has_its_slider_over_every_step(monkeypatch):
    import IPython.display
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    import labs_utils as lab

    model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=30522, eos_token_id=102)).eval()
    tree = lab.beam_tree(model, AutoTokenizer.from_pretrained(lab.checkpoint("encoder")), "Once upon", steps=3)
    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    twins._show_beam_tree(tree)
    pictures = [part.partition(">")[2] for part in shown[0]["text/html"].split('<div class="twin-state"')[1:]]
    assert len(set(pictures)) == 3 and all("<svg" in one for one in pictures)
    assert visible(shown[0]["text/html"]) == ["2"] and tree.step == 3


def test_a_picture_is_described_by_its_titles_and_axes():
    figure = matplotlib.figure.Figure()
    left, right = figure.subplots(1, 2)
    left.set(title="The loss falls", xlabel="step", ylabel="loss")
    right.set_title("And rises", loc="left")
    figure.suptitle("Two runs")
    assert twins.described(figure) == "Two runs. The loss falls — axes: step, loss. And rises"
    assert twins.described(matplotlib.figure.Figure()) == "A picture without a title"


def test_the_quiz_is_one_bundle_of_its_widgets_and_its_text(monkeypatch):
    import IPython.display

    from labs_utils.exercises import quiz

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    quiz.quiz("04")
    (bundle,) = shown
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"] == quiz.as_html(quiz.load("04"))
