"""Views show what the numbers are, whatever the input."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast

import labs_utils as lab
from labs_utils.views.tokens import _pieces


@pytest.fixture(scope="module")
def wordpiece():
    return AutoTokenizer.from_pretrained(lab.checkpoint("encoder"))


@pytest.fixture(scope="module")
def bytelevel():
    """A byte-level BPE with no merges: every byte is a token."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(sorted(letters))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


TEXTS = ["", " ", "hello world!", "naïve café 🙂👩‍👩‍👧", "你好", "<b>&amp;</b>", "line\nbreak\ttab", "word " * 10_000]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_can_be_shown(wordpiece, bytelevel, text):
    for tokenizer in (wordpiece, bytelevel):
        strip = lab.tokens(tokenizer, text)
        page = strip._repr_html_()
        assert [row["id"] for row in strip.data] == tokenizer(text, verbose=False)["input_ids"]
        assert "<b>&amp;" not in page and len(page) < 200_000
    assert "tokens" in lab.compare_tokenizers({"a": wordpiece, "b": bytelevel}, text)._repr_html_()


def test_offsets_point_at_the_characters(wordpiece):
    text = "Unbelievable tokenizers"
    for row in lab.tokens(wordpiece, text).data:
        if not row["special"]:
            assert text[row["start"] : row["end"]].lower() == row["token"].removeprefix("##")


def test_special_unknown_and_pair_are_marked(wordpiece):
    rows = lab.tokens(wordpiece, "hi 🙂", "there").data
    assert [row["special"] for row in rows] == [True, False, False, True, False, True]
    assert [row["unknown"] for row in rows] == [False, False, True, False, False, False]
    assert [row["sequence"] for row in rows] == [None, 0, 0, None, 1, None]


def test_the_bytes_of_one_character_share_a_cell(bytelevel):
    rows = lab.tokens(bytelevel, "a🙂b").data
    assert len(rows) == 6
    assert [(start, end, len(found)) for start, end, found in _pieces(rows)] == [(0, 1, 1), (1, 2, 4), (2, 3, 1)]


def test_the_explorer_follows_its_field_and_its_choice(wordpiece, bytelevel):
    box = lab.token_explorer({"wordpiece": wordpiece, "bytes": bytelevel}, "hello")
    choice, field, strip = box.children
    assert "3 tokens" in strip.value
    choice.value = "bytes"
    assert "5 tokens" in strip.value
    for text in TEXTS:
        field.value = text
        assert "tokens" in strip.value


def test_heatmap_keeps_the_numbers_and_refuses_what_is_no_matrix():
    values = torch.rand(3, 4)
    shown = lab.heatmap(values, rows=list("abc"), columns=list("wxyz"))
    assert torch.allclose(torch.tensor(shown.data, dtype=torch.float32), values)
    assert shown._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="shape"):
        lab.heatmap(torch.rand(2, 3, 4))
    with pytest.raises(ValueError, match="3 rows, but 2 names"):
        lab.heatmap(values, rows=["a", "b"])
    lab.heatmap([[float("nan"), 1.0]])._repr_png_()


def test_probabilities_are_the_softmax_and_the_library_filters():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    plain = lab.probabilities(logits, list("abcd"))
    assert [row["probability"] for row in plain.data] == pytest.approx(logits.softmax(-1).tolist(), abs=1e-6)
    kept = lab.probabilities(logits, list("abcd"), top_k=2, temperature=0.5)
    assert [row["kept"] for row in kept.data] == [True, True, False, False]
    assert sum(row["after"] for row in kept.data) == pytest.approx(1, abs=1e-6)
    nucleus = lab.probabilities(logits, {0: "a", 1: "b", 2: "c", 3: "d"}, top_p=0.7)
    assert [row["label"] for row in nucleus.data if row["kept"]] == ["a", "b"]
    assert kept._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"\[2, 4\]"):
        lab.probabilities(torch.zeros(2, 4))
    with pytest.raises(ValueError):
        lab.probabilities(logits, temperature=0.0)


def test_shapes_come_from_the_pass_and_the_hooks_are_gone(wordpiece):
    model = AutoModel.from_pretrained(lab.checkpoint("encoder"))
    flow = lab.shapes(model, **wordpiece("hello world!", return_tensors="pt"))
    rows = {row["name"]: row for row in flow.data}
    assert rows["embeddings"]["output"] == [1, 5, 384]
    assert rows["pooler"]["output"] == [1, 384]
    assert rows["model"]["parameters"] == 22_713_216
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert "[1, 5, 384]" in flow._repr_html_()


def test_shapes_leave_no_hook_when_the_pass_fails():
    model = nn.Sequential(nn.Linear(4, 2))
    with pytest.raises(RuntimeError):
        lab.shapes(model, input=torch.ones(1, 3))
    assert not model[0]._forward_hooks and not model[0]._forward_pre_hooks


def test_a_training_curve_keeps_every_point():
    curve = lab.training_curve()
    for step in range(50):
        curve.log(step=step, loss=torch.tensor(1 / (step + 1)), lr=1e-3)
    curve.log(step=50, accuracy=0.9)
    assert [row["step"] for row in curve.data] == list(range(51))
    assert [axes.get_title() for axes in curve.figure.axes] == ["loss", "lr", "accuracy"]
    assert lab.training_curve()._repr_png_().startswith(b"\x89PNG")
