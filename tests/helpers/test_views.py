"""Views show what the numbers are, whatever the input."""

import pytest
import torch
from matplotlib.cbook import is_math_text
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    AddedToken,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

import labs_utils as lab
from labs_utils.attention_maps.labels import following, kinds, names
from labs_utils.errors import WorkbookError
from labs_utils.materials import catalog, fetching
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


@pytest.fixture(scope="module")
def chatty():
    """The byte-level tokenizer with ChatML's markers; its end token also pads, and its first is its unknown one."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    found = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)
    found.add_tokens([AddedToken("<|im_start|>", special=True), AddedToken("wörd", special=False)])
    return found


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


@pytest.mark.parametrize(
    "text, labels, parts, groups",
    [
        ("a b", "a|␣|b", "||", [None] * 3),
        ("你", "你‹e4›|你‹bd›|你‹a0›", "你|你|你", [0, 0, 0]),
        ("é\n怎", "é‹c3›|é‹a9›|↵|怎‹e6›|怎‹80›|怎‹8e›", "é|é||怎|怎|怎", [0, 0, None, 3, 3, 3]),
        ("\t\r\x07", "⇥|␍|‹U+0007›", "||", [None] * 3),
        ("▁Ġ", "▁‹e2›|▁‹96›|▁‹81›|Ġ‹c4›|Ġ‹a0›", "▁|▁|▁|Ġ|Ġ", [0, 0, 0, 3, 3]),
    ],
)
def test_bytes_are_named_after_the_character_that_they_are_of(bytelevel, text, labels, parts, groups):
    found = names(bytelevel, bytelevel(text)["input_ids"])
    assert "|".join(name.text for name in found) == labels
    assert "|".join(name.part_of for name in found) == parts
    assert [name.group for name in found] == groups


def test_bytes_of_no_character_and_ids_of_no_token_are_named_too(bytelevel):
    first, second, third = bytelevel("你")["input_ids"]
    assert [name.text for name in names(bytelevel, [first, second])] == ["‹e4›", "‹bd›"]
    assert [name.text for name in names(bytelevel, [third, 9999])] == ["‹a0›", "‹id 9999›"]
    assert following(bytelevel, [first, second], [third, first, 9999]) == ["你‹a0›", "‹e4›", "‹id 9999›"]


def test_pieces_of_sentencepiece_and_its_bytes_are_readable():
    vocabulary = [("▁", -1.0), ("▁你好", -1.0), ("世界", -1.0), *((f"<0x{byte:02X}>", -5.0) for byte in range(256))]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    strip = lab.tokens(pieces, "你好世界é")
    assert [row["text"] for row in strip.data] == ["␣你好", "世界", "é‹c3›", "é‹a9›"]
    assert "é in 2 tokens" in strip._repr_html_()


def test_what_is_special_added_or_unknown_is_the_same_everywhere(chatty, wordpiece):
    text = "<|im_start|>a wörd<|endoftext|><|im_end|>"
    rows = lab.tokens(chatty, text).data
    assert [row["text"] for row in rows if row["special"]] == ["<|im_start|>", "<|endoftext|>", "<|im_end|>"]
    assert [row["text"] for row in rows if row["added"]] == ["wörd"] and not any(row["unknown"] for row in rows)
    assert [row["special"] for row in rows] == [kind == "special" for kind in kinds(chatty, chatty(text)["input_ids"])]
    page = lab.tokens(chatty, text)._repr_html_()
    assert "3 special · 1 added" in page and "special, token 0, characters 0 to 12" in page
    rows = lab.tokens(wordpiece, "[MASK] 🙂").data
    assert [row["special"] for row in rows] == [True, True, False, True] and rows[2]["unknown"]
    config = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertModel(BertConfig(**config))
    seen = lab.attention(model, wordpiece, "[MASK] 🙂")
    assert seen.special["encoder"] == [row["special"] for row in rows]


def test_tokens_and_attention_agree_in_a_decoder_and_in_two_texts(chatty, wordpiece):
    small = {"n_embd": 8, "n_layer": 1, "n_head": 1, "vocab_size": len(chatty)}
    text = "<|im_start|>你 wörd<|endoftext|><|im_end|>"
    rows = lab.tokens(chatty, text).data
    seen = lab.attention(GPT2LMHeadModel(GPT2Config(**small)), chatty, text)
    assert (seen.tokens["decoder"], seen.labels["decoder"]) == (
        [row["token"] for row in rows],
        [row["text"] for row in rows],
    )
    assert seen.special["decoder"] == [row["special"] for row in rows]
    config = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    pair = ("a [SEP] 🙂", "[PAD] b [CLS]")
    rows, seen = lab.tokens(wordpiece, *pair).data, lab.attention(BertModel(BertConfig(**config)), wordpiece, *pair)
    assert seen.labels["encoder"] == [row["text"] for row in rows]
    assert seen.special["encoder"] == [row["special"] for row in rows]
    assert seen.second == next(row["index"] for row in rows if row["sequence"] == 1)


def test_an_unknown_token_that_also_ends_the_text_is_its_end():
    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, "a": 1}, unk_token="<end>"))
    words = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<end>", pad_token="<end>")
    assert kinds(words, [1, 0]) == ["", "special"]


def test_tokens_that_share_a_character_stand_over_its_name(bytelevel):
    strip = lab.tokens(bytelevel, "a你好b怎怎")
    page = strip._repr_html_()
    assert page.count("你 in 3 tokens") == page.count("好 in 3 tokens") == 1 and page.count("怎 in 3 tokens") == 2
    assert "12 with a part of a character" in page and repr(strip).startswith("a(")


def here(role: str) -> bool:
    return fetching.is_fetched(role, catalog.entries()["models"][role])


@pytest.mark.skipif(not here("llm"), reason="`labs fetch llm` has not run here")
def test_the_chat_models_tokens():
    tokenizer = AutoTokenizer.from_pretrained(lab.checkpoint("llm"))
    asked = [{"role": "user", "content": "What is 怎么?\n"}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    rows = lab.tokens(tokenizer, text + "<|endoftext|>").data
    assert [row["text"] for row in rows if row["special"]] == 2 * ["<|im_start|>", "<|im_end|>"] + [
        "<|im_start|>",
        "<|endoftext|>",
    ]
    assert not any(row["unknown"] or row["added"] for row in rows)
    split = [row["text"] for row in rows if row["part_of"]]
    assert split == ["␣怎‹e6›", "怎‹80›", "怎‹8e›", "么‹e4 b9›", "么‹88›"]
    assert {"␣is", "↵", "user"} <= {row["text"] for row in rows}


@pytest.mark.skipif(not here("multilingual-encoder"), reason="`labs fetch multilingual-encoder` has not run here")
def test_the_multilingual_encoders_tokens():
    tokenizer = AutoTokenizer.from_pretrained(lab.checkpoint("multilingual-encoder"))
    rows = lab.tokens(tokenizer, "Hello 你好世界 <mask> \U00013000").data
    assert [row["text"] for row in rows] == ["<s>", "␣Hello", "␣", "你好", "世界", "<mask>", "␣", "<unk>", "</s>"]
    assert [row["text"] for row in rows if row["special"]] == ["<s>", "<mask>", "</s>"]
    assert [row["text"] for row in rows if row["unknown"]] == ["<unk>"]


def test_the_explorer_follows_its_field_and_its_choice(wordpiece, bytelevel):
    box = lab.token_explorer({"wordpiece": wordpiece, "bytes": bytelevel}, "hello")
    choice, field, strip = box.children
    assert "3 tokens" in strip.value
    choice.value = "bytes"
    assert "5 tokens" in strip.value
    for text in TEXTS:
        field.value = text
        assert "tokens" in strip.value


@pytest.mark.parametrize("text", ["$$", "$x^$ $", "a$b$c\\$", r"\$", r"$\frac$", "a\nb", "\ud800"])
def test_any_text_can_stand_in_a_figure(text):
    shown = lab.heatmap([[1.0, 2.0]], rows=[text], columns=["a", text], title=text, label=text)
    curve = lab.training_curve()
    curve.log(1, **{text: 1.0})
    for one in (shown, curve):
        assert one._repr_png_().startswith(b"\x89PNG")
    titles = [shown.figure.axes[0].get_title(loc="left"), curve.figure.axes[0].get_title()]
    assert not any(is_math_text(title) for title in titles)
    assert all(title.replace(r"\$", "$") == text.replace("\ud800", "?") for title in titles)


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


@pytest.fixture(scope="module")
def generator(bytelevel):
    """A small random GPT-2 that is sure of some bytes and not of others."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=256, bos_token_id=0, eos_token_id=0))
    model.transformer.wte.weight.data.normal_(0, 0.8)
    return model.eval(), bytelevel


SETTINGS = [
    {},
    {"temperature": 0.5},
    {"top_k": 5},
    {"top_p": 0.6},
    {"min_p": 0.1},
    {"repetition_penalty": 1.8},
    {"temperature": 1.7, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.3},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
def test_the_next_token_is_drawn_from_what_generate_draws_from(generator, settings):
    model, tokenizer = generator
    shown = lab.next_token(model, tokenizer, "Once upon a time, once", **settings)
    inputs = tokenizer("Once upon a time, once", return_tensors="pt")
    off = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    out = model.generate(
        **inputs, **(off | settings), do_sample=True, max_new_tokens=1, output_scores=True, output_logits=True,
        return_dict_in_generate=True, pad_token_id=0,
    )  # fmt: skip
    assert torch.allclose(shown.before, out.logits[0][0].softmax(-1), atol=1e-6)
    assert torch.allclose(shown.after, out.scores[0][0].softmax(-1), atol=1e-6)
    assert shown.data[0]["probability"] == shown.before.max() and len(shown.data) >= 12
    for row in shown.data:
        assert row["after"] == shown.after[row["id"]] and row["kept"] == (row["after"] > 0)


def test_tokens_are_appended_and_taken_back(generator):
    model, tokenizer = generator
    shown = lab.next_token(model, tokenizer, "Once upon", top_k=3)
    first = [row["id"] for row in shown.data]
    shown.append(first[0])
    assert shown.ids == [*tokenizer("Once upon")["input_ids"], first[0]] and shown.settings["top_k"] == 3
    with torch.no_grad():
        logits = model(torch.tensor([shown.ids])).logits[0, -1]
    assert torch.allclose(shown.before, logits.softmax(-1), atol=1e-6)
    assert "<b> …</b>" in shown._repr_html_() and "top_k = 3 · 3 of" in repr(shown)
    assert [row["id"] for row in shown.back().back().data] == first and shown.ids == tokenizer("Once upon")["input_ids"]


def test_what_can_not_be_continued_is_explained(generator, wordpiece):
    model, tokenizer = generator
    with pytest.raises(WorkbookError, match="BertModel does not continue a text"):
        lab.next_token(AutoModel.from_pretrained(lab.checkpoint("encoder")), wordpiece, "hi")
    with pytest.raises(WorkbookError, match="no next token after no token"):
        lab.next_token(model, tokenizer, "")
    for settings in ({"temperature": 0}, {"top_p": 1.5}, {"top_k": -1}, {"min_p": 2}, {"repetition_penalty": 0}):
        with pytest.raises(WorkbookError, match="out of its range"):
            lab.next_token(model, tokenizer, "hi", **settings)
    with pytest.raises(WorkbookError, match="no setting heat; there are temperature"):
        lab.next_token(model, tokenizer, "hi").adjust(heat=3)


def test_the_controls_follow_and_stay_what_they_are(generator):
    from labs_utils.views.generation_controls import _Controls

    shown = lab.next_token(*generator, "Once upon", top_k=7)
    controls = _Controls(shown)
    buttons = list(controls.tokens)
    assert controls.sliders["top_k"].value == 7 and buttons[0].description == shown.data[0]["text"]
    controls.sliders["temperature"].value = 0.5
    assert shown.settings["temperature"] == 0.5 and shown.settings["top_k"] == 7
    token = shown.data[1]["id"]
    buttons[1].click()
    assert shown.ids[-1] == token and controls.tokens == buttons
    assert "run this cell" in controls.bundle()["text/plain"] and len(controls.bundle()) == 2
