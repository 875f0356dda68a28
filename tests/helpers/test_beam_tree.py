"""The beam tree is the library's search, and says truly when and why a beginning died."""

import re

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModel, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import labs_utils as lab
from labs_utils.errors import WorkbookError

TEXT = "Once upon"
END = 32  # one of the 256 bytes ends a text


@pytest.fixture(scope="module")
def tokenizer():
    """A byte-level BPE with no merges: every byte is a token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def writer(seed: int, leaning: float = 0.0, ends: int | list[int] = END) -> GPT2LMHeadModel:
    """A small random GPT-2; the more it leans, the likelier is the end of a text."""
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=256, eos_token_id=ends)).eval()
    model.transformer.wte.weight.data.normal_(0, 0.6)
    model.lm_head = torch.nn.Linear(16, 256)
    model.lm_head.weight.data.normal_(0, 0.6)
    model.lm_head.bias.data.zero_()[END] = leaning
    return model


def searched(model, tokenizer, num_beams: int, steps: int):
    inputs = tokenizer(TEXT, return_tensors="pt")
    return model.generate(
        **inputs, num_beams=num_beams, num_return_sequences=num_beams, do_sample=False, max_new_tokens=steps,
        output_scores=True, return_dict_in_generate=True, pad_token_id=0,
    )  # fmt: skip


def whole(shown) -> list[tuple[float, list[int]]]:
    """The tree's whole texts, the best first."""
    found = [(row["score"], shown._path(place)) for place, row in enumerate(shown.data) if row["score"] is not None]
    return sorted(found, reverse=True)


@pytest.mark.parametrize("num_beams, steps", [(2, 1), (2, 6), (3, 9), (5, 7)])
@pytest.mark.parametrize("leaning", [-20.0, 0.0, 2.0, 4.0])
@pytest.mark.parametrize("ends", [END, [END, 40]], ids=["one end", "two ends"])
def test_the_tree_holds_the_texts_of_the_librarys_search(tokenizer, num_beams, steps, leaning, ends):
    for seed in range(4):
        model = writer(seed, leaning, ends)
        shown, out = (
            lab.beam_tree(model, tokenizer, TEXT, num_beams, steps),
            searched(model, tokenizer, num_beams, steps),
        )
        begin = len(tokenizer(TEXT)["input_ids"])
        assert shown.ids == out.sequences[0, : len(shown.ids)].tolist()
        for (score, ids), wanted, total in zip(whole(shown), out.sequences, out.sequences_scores, strict=False):
            assert ids == wanted[begin : begin + len(ids)].tolist()
            assert score == pytest.approx(total.item(), abs=1e-6)  # the same float32 sum, divided in float64
        assert shown.steps == len(out.scores) <= steps


@pytest.mark.parametrize("leaning", [-20.0, 2.5])
def test_totals_and_reasons_are_those_of_a_fresh_reading(tokenizer, leaning):
    model, died = writer(1, leaning), 0
    shown = lab.beam_tree(model, tokenizer, TEXT, num_beams=4, steps=7)
    given = tokenizer(TEXT)["input_ids"]
    for place, row in enumerate(shown.data):
        ids = torch.tensor([[*given, *shown._path(place)]])
        with torch.no_grad():
            read = model(ids).logits[0].log_softmax(-1)
        total = sum(read[at - 1, ids[0, at]].item() for at in range(len(given), ids.shape[1]))
        # a sum of at most seven float32 numbers near 5, from a cache and from a whole reading
        assert row["log_probability"] == pytest.approx(total, abs=1e-4)
        if row["state"] == "died":
            died += 1
            going_on = read[-1].clone()
            going_on[END] = -torch.inf
            assert row["best_next"] == pytest.approx(total + going_on.max().item(), abs=1e-4)
            survivors = [one for one in shown.data if one["step"] == row["step"] + 1 and one["state"] != "ended"]
            assert row["best_next"] < row["needed"] == min(one["log_probability"] for one in survivors)
        grew = any(one["parent"] == place for one in shown.data)
        assert grew == (row["state"] == "grew")
    assert died > 3


def test_a_search_that_stops_early_says_so(tokenizer):
    stopped = [lab.beam_tree(writer(seed, 5.0), tokenizer, TEXT, num_beams=2, steps=12) for seed in range(6)]
    early = [one for one in stopped if one.steps < 12]
    assert early
    for shown in early:
        assert {row["state"] for row in shown.data if row["step"] == shown.steps} <= {"given up", "ended"}
        assert "The search stopped early" in repr(shown)
        assert shown.ids[-1] == END
        first = next(row for row in shown.data if row["state"] == "ended")
        assert re.search(rf"■ “.*” ended, with {first['log_probability']:.2f} /", repr(shown.at(first["step"])))


def test_a_step_shows_what_was_known_then(tokenizer):
    shown = lab.beam_tree(writer(2, -20.0), tokenizer, TEXT, num_beams=3, steps=6)
    assert shown.step == 6 and "The winner" in repr(shown) and shown._repr_html_().count("labs-beam lead") == 6
    early = shown.at(3)
    html = early._repr_html_()
    assert early is shown and html.count('class="labs-beam ') == 9 and html.count("labs-beam lead") == 3
    assert "The winner" not in html and "Step 3 of 6" in html
    dead = [row for row in shown.data if row["state"] == "died"]
    assert html.count("✗ →") == sum(row["step"] < 3 for row in dead)
    assert html.count("died:") == sum(row["step"] == 2 for row in dead)
    for step in (0, 7):
        with pytest.raises(WorkbookError, match="steps 1 to 6"):
            shown.at(step)


def test_tokens_read_as_text_and_are_no_markup(tokenizer):
    model = writer(0)
    tokens = {letter: tokenizer.convert_tokens_to_ids(letter) for letter in "<Ġ"}
    for letter, number in tokens.items():
        model.lm_head.bias.data[number] = 50.0 if letter == "<" else 49.5
    shown = lab.beam_tree(model, tokenizer, "a <b>", num_beams=2, steps=3)
    assert {row["text"] for row in shown.data} == {"<", "␣"}
    html = shown._repr_html_()
    assert "a &lt;b&gt;" in html and "&lt;</text>" in html and "␣</text>" in html and "Ġ" not in html
    assert "currentColor" in html  # the theme's own colour, light or dark
    assert 'mathjax_ignore tex2jax_ignore"' in html  # two dollar signs are no formula


def test_the_slider_redraws_and_a_page_without_a_kernel_holds_the_picture(tokenizer, monkeypatch):
    from labs_utils.views.beam_tree import _slider

    shown, seen = lab.beam_tree(writer(0, -20.0), tokenizer, TEXT, steps=5), []

    def display(bundle, **_):
        seen.append(bundle)
        return type("Handle", (), {"update": lambda self, bundle, **_: seen.append(bundle)})()

    monkeypatch.setattr("IPython.display.display", display)
    shown._ipython_display_()
    assert "run this cell" in seen[0]["text/plain"] and "Step 5 of 5" in seen[1]["text/html"]
    slider = _slider(shown)
    assert (slider.min, slider.value, slider.max) == (1, 5, 5)
    slider.value = 2
    assert shown.step == 2 and "Step 2 of 5" in seen[2]["text/html"] and "Step 2 of 5" in seen[2]["text/plain"]


@pytest.mark.parametrize("ends", [None, 50256], ids=["no end", "an end outside the vocabulary"])
def test_a_search_without_an_end_goes_to_the_limit(tokenizer, ends):
    shown = lab.beam_tree(writer(0, 3.0, ends), tokenizer, TEXT, num_beams=2, steps=4)
    assert [row["state"] for row in shown.data if row["step"] == 4] == ["complete", "complete"]
    assert len(shown.ids) == len(tokenizer(TEXT)["input_ids"]) + 4


def test_a_model_in_training_is_left_in_training(tokenizer):
    model = writer(0).train()
    first, second = (lab.beam_tree(model, tokenizer, TEXT, steps=3).data for _ in range(2))
    assert first == second and model.training


def test_what_has_no_tree_is_explained(tokenizer):
    model = writer(0)
    with pytest.raises(WorkbookError, match="BertModel does not continue a text"):
        lab.beam_tree(AutoModel.from_pretrained(lab.checkpoint("encoder")), tokenizer, TEXT)
    with pytest.raises(WorkbookError, match="no next token after no token"):
        lab.beam_tree(model, tokenizer, "")
    for wrong in ({"num_beams": 1}, {"num_beams": 300}, {"steps": 0}):
        with pytest.raises(WorkbookError, match="at least 2 beams .* at least 1 step; you gave"):
            lab.beam_tree(model, tokenizer, TEXT, **wrong)
