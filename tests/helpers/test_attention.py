"""Attention is captured from any architecture, coded without moving a maximum, explained where it can't be shown."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoTokenizer

import labs_utils as lab
from labs_utils.attention_maps import coding, joining, views
from labs_utils.attention_maps.capture import Attention
from labs_utils.attention_maps.captured import key_side
from labs_utils.attention_maps.frame import framed
from labs_utils.attention_maps.labels import label
from labs_utils.attention_maps.query_key import recompute
from labs_utils.errors import WorkbookError

SIZES = {"vocab_size": 30522}
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37, **SIZES}
LLAMA = {**BERT, "num_key_value_heads": 2, "bos_token_id": 101, "eos_token_id": 102}
BART = {
    f"{side}_{name}": value
    for side in ("encoder", "decoder")
    for name, value in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 37))
}
BART |= {
    "d_model": 32,
    "pad_token_id": 0,
    "eos_token_id": 102,
    "decoder_start_token_id": 0,
    "forced_eos_token_id": None,
    **SIZES,
}
FAMILIES = {
    "BertModel": BERT,
    "RobertaModel": {**BERT, "max_position_embeddings": 100, "pad_token_id": 0},
    "DistilBertModel": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 37, **SIZES},
    "GPT2LMHeadModel": {"n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 101, "eos_token_id": 102, **SIZES},
    "LlamaForCausalLM": LLAMA,
    "Qwen3ForCausalLM": {**LLAMA, "head_dim": 8},
    "T5ForConditionalGeneration": {
        "d_model": 32,
        "d_kv": 8,
        "num_layers": 2,
        "num_heads": 4,
        "d_ff": 37,
        "decoder_start_token_id": 0,
        "eos_token_id": 102,
        **SIZES,
    },
    "BartForConditionalGeneration": {**BART, "bos_token_id": 101},
    "MarianMTModel": BART,
}
DECODERS = ("GPT2LMHeadModel", "LlamaForCausalLM")
PAIRED = [name for name in FAMILIES if name.startswith(("T5", "Bart", "Marian"))]
SHORT, LONG = "the cat", "the cat sat on the warm mat"


def tiny(name: str):
    """A small random model whose attention is not uniform."""
    torch.manual_seed(0)
    model_class = getattr(transformers, name)
    model = model_class(model_class.config_class(**FAMILIES[name]))
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    return model.eval()


def random_attention(weights, kind: str = "cross") -> Attention:
    """An `Attention` around any weights [layers, heads, query, key]."""
    sides = {"decoder": weights.shape[2], "encoder": weights.shape[3]} if kind == "cross" else {kind: weights.shape[3]}
    tokens = {side: [f"t{place}" for place in range(count)] for side, count in sides.items()}
    special = {side: [False] * count for side, count in sides.items()}
    return Attention({kind: weights}, tokens, special, {}, None, None)


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(lab.checkpoint("encoder"))


@pytest.fixture(scope="module")
def model():
    return AutoModel.from_pretrained(lab.checkpoint("encoder"))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_weights_that_sum_to_one(tokenizer, name):
    model = tiny(name)
    seen = lab.attention(model, tokenizer, LONG, **({"target": SHORT} if name in PAIRED else {}))
    expected = (
        {"encoder", "decoder", "cross"} if name in PAIRED else {"decoder"} if model.can_generate() else {"encoder"}
    )
    assert set(seen.data) == expected
    for kind, weights in seen.data.items():
        assert weights.dtype == torch.float32 and weights.shape[:2] == (2, 4)
        assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
        assert weights.shape[3] == len(seen.tokens[key_side(kind)])
    if "decoder" in seen.data:
        assert not seen.data["decoder"].triu(1).any()
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_gives_what_each_text_gives_alone_without_padding(tokenizer, name):
    model = tiny(name)
    given = {"target": SHORT} if name in PAIRED else {}
    batch = lab.attention(model, tokenizer, [SHORT, LONG], **given)
    for text, together in zip([SHORT, LONG], batch, strict=True):
        alone = lab.attention(model, tokenizer, text, **given)
        assert together.tokens == alone.tokens
        assert "[PAD]" not in together.tokens.get("encoder", [])
        for kind in alone.data:
            assert torch.allclose(together.data[kind], alone.data[kind], atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_softmax_of_query_times_key_is_the_captured_attention(tokenizer, name):
    model = tiny(name)
    given = {"target": SHORT} if name in PAIRED else {}
    for seen in (
        lab.attention(model, tokenizer, LONG, **given),
        lab.attention(model, tokenizer, [SHORT, LONG], **given)[0],
    ):
        for kind, weights in seen.data.items():
            for layer in range(2):
                found = recompute(seen, layer, kind)
                assert (found.weights - weights[layer]).abs().max() < 1e-5
                assert found.shared == (2 if name in ("LlamaForCausalLM", "Qwen3ForCausalLM") else 1)
            assert seen.query_key(1, 2, 0, kind).data["query"].shape[0] == weights.shape[2]
    assert model.config._attn_implementation == "sdpa"


def test_scores_that_a_model_bends_are_refused_not_drawn_wrong(tokenizer):
    config = transformers.Gemma2Config(**LLAMA, head_dim=8, attn_logit_softcapping=0.5, query_pre_attn_scalar=8)
    torch.manual_seed(0)
    capped = transformers.Gemma2ForCausalLM(config).eval()
    for parameter in capped.parameters():
        parameter.data.normal_(0, 0.3)
    seen = lab.attention(capped, tokenizer, LONG)
    with pytest.raises(WorkbookError, match="more to the scores than scaling"):
        seen.query_key(layer=0, head=0, token=3)


def test_weights_without_their_model_have_no_queries_and_keys():
    with pytest.raises(WorkbookError, match="without the model"):
        random_attention(torch.rand(1, 1, 2, 2).softmax(-1), kind="encoder").query_key()


def test_query_and_key_of_the_real_encoder(model, tokenizer):
    seen = lab.attention(model, tokenizer, LONG)
    for layer in range(6):
        assert (recompute(seen, layer, "encoder").weights - seen.data["encoder"][layer]).abs().max() < 1e-5


@pytest.mark.parametrize("name", DECODERS)
def test_one_pass_over_what_was_generated_equals_the_steps(tokenizer, name):
    model = tiny(name)
    model.set_attn_implementation("eager")
    model.generation_config.eos_token_id = None
    seen = lab.attention(model, tokenizer, SHORT, max_new_tokens=5)
    inputs = tokenizer(SHORT, return_tensors="pt", return_token_type_ids=False)
    out = model.generate(
        **inputs, do_sample=False, max_new_tokens=5, output_attentions=True, return_dict_in_generate=True
    )
    assert seen.ids["decoder"] == out.sequences[0].tolist()
    for step, layers in enumerate(out.attentions[1:], start=inputs["input_ids"].shape[1]):
        stepwise = torch.stack([layer[0, :, 0] for layer in layers])
        assert torch.allclose(seen.data["decoder"][:, :, step, : step + 1], stepwise, atol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
def test_texts_of_different_length_are_generated_each_alone(tokenizer, name):
    model = tiny(name)
    several = lab.attention(model, tokenizer, [SHORT, LONG], max_new_tokens=4)
    assert several[0].ids == lab.attention(model, tokenizer, SHORT, max_new_tokens=4).ids


def test_pairs_are_continued_too(tokenizer):
    model = tiny("GPT2LMHeadModel")
    for seen in lab.attention(model, tokenizer, [SHORT, LONG], [LONG, SHORT], max_new_tokens=2):
        assert len(seen.tokens["decoder"]) == len(tokenizer(SHORT, LONG)["input_ids"]) + 2


def test_a_translation_is_generated_when_no_target_is_given(tokenizer):
    seen = lab.attention(tiny("MarianMTModel"), tokenizer, LONG, max_new_tokens=6)
    assert len(seen.tokens["decoder"]) <= 7 and seen.data["cross"].shape[3] == len(seen.tokens["encoder"])


def test_a_pair_knows_where_its_second_text_begins(model, tokenizer):
    seen = lab.attention(model, tokenizer, SHORT, LONG)
    assert seen.tokens["encoder"][seen.second] == "the" and seen.second == 4
    assert lab.attention(model, tokenizer, SHORT).second is None


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 1, 1, 7), (2, 40, 2, 2)])
def test_one_token_one_head_and_many_heads_can_be_drawn(shape):
    seen = random_attention(torch.rand(shape).softmax(-1))
    for figure in (seen.heads(), seen.model(), seen.matrix(), seen.cross()):
        assert "<iframe" in figure._repr_html_()


MESSAGES = [
    (lambda seen: seen.heads(layer=6), "layer 6 here: this attention has layers 0 to 5"),
    (lambda seen: seen.heads(head=12), "head 12 here: this attention has heads 0 to 11"),
    (lambda seen: seen.heads(layer=0, layers=[1, 2]), r"Layer 0 is not among the layers to show, \[1, 2\]"),
    (lambda seen: seen.model(layers=[]), "No layer was chosen"),
    (lambda seen: seen.matrix(layer=-1), "There is no layer -1"),
    (lambda seen: seen.matrix(kind="cross"), "no attention of kind 'cross' here; there is: encoder"),
    (lambda seen: seen.query_key(token=99), "There is no token 99"),
    (lambda seen: seen.cross(), "Only an encoder–decoder"),
]


@pytest.mark.parametrize("act, message", MESSAGES, ids=range(len(MESSAGES)))
def test_what_is_not_there_is_named_with_what_is(model, tokenizer, act, message):
    with pytest.raises(WorkbookError, match=message):
        act(lab.attention(model, tokenizer, SHORT))


def test_an_empty_text_weights_that_are_nan_and_none_at_all_are_explained(tokenizer):
    model = tiny("BertModel")
    for text in ("", " \n", []):
        with pytest.raises(WorkbookError, match="empty text"):
            lab.attention(model, tokenizer, text)
    with pytest.raises(WorkbookError, match="2 texts need as many pairs; 1"):
        lab.attention(model, tokenizer, [SHORT, LONG], [SHORT])
    model.encoder.layer[0].attention.self.query.weight.data.fill_(float("nan"))
    with pytest.raises(WorkbookError, match="not finite"):
        lab.attention(model, tokenizer, SHORT)
    convolution = transformers.MambaForCausalLM(
        transformers.MambaConfig(hidden_size=16, num_hidden_layers=1, state_size=4, **SIZES)
    )
    with pytest.raises(WorkbookError, match="returned no attention weights"):
        lab.attention(convolution, tokenizer, SHORT)


def test_the_model_is_left_as_it_was(tokenizer):
    model = tiny("BertModel").train()
    lab.attention(model, tokenizer, SHORT).query_key()
    assert model.training and model.config._attn_implementation == "sdpa"


def weights_like_real(tokens: int, heads: int = 4):
    torch.manual_seed(tokens)
    return (torch.randn(2, heads, tokens, tokens) * torch.linspace(0.2, 5, heads)[:, None, None]).softmax(-1)


@pytest.mark.parametrize("tokens", [1, 2, 16, 64, 256, 512])
@pytest.mark.parametrize("step", [None, *coding.STEPS])
def test_coding_keeps_every_maximum_and_every_weight_within_half_a_step(tokens, step):
    weights = weights_like_real(tokens, heads=2 if tokens > 64 else 4)
    code = coding.encode(weights, step)
    for layer, packed in enumerate(code["layers"]):
        shown = coding.decode_layer(packed, weights.shape[1:], code["step"], code["wide"], code["causal"])
        assert np.abs(shown - weights[layer].numpy()).max() <= code["step"] / 2 + 1.1e-4
        rows = weights[layer].flatten(0, 1)
        top = torch.from_numpy(shown).flatten(0, 1).argmax(-1)
        assert torch.equal(rows.gather(1, top[:, None])[:, 0], rows.max(-1).values)


def test_coding_of_real_attention_keeps_every_maximum(model, tokenizer):
    seen = lab.attention(model, tokenizer, "Ada wrote to Charles about the engine. " * 30)
    code = coding.encode(seen.data["encoder"])
    for layer, packed in enumerate(code["layers"]):
        shown = coding.decode_layer(packed, seen.data["encoder"].shape[1:], code["step"], code["wide"], code["causal"])
        assert np.array_equal(shown.argmax(-1), seen.data["encoder"][layer].argmax(-1).numpy())


def test_broad_attention_is_not_drawn_as_none():
    weights = torch.full((1, 1, 400, 400), 1 / 400)
    code = coding.encode(weights, 1e-2)
    shown = coding.decode_layer(code["layers"][0], (1, 400, 400), 1e-2, code["wide"])
    assert shown == pytest.approx(weights[0].numpy(), abs=1e-5)


def test_no_weight_appears_where_a_decoder_can_not_look():
    weights = torch.randn(1, 2, 60, 60).masked_fill(torch.ones(60, 60).triu(1).bool(), -torch.inf).softmax(-1)
    code = coding.encode(weights, 2e-2)
    assert code["causal"]
    shown = coding.decode_layer(code["layers"][0], (2, 60, 60), 2e-2, code["wide"], code["causal"])
    assert not np.triu(shown, 1).any()


def test_bytes_are_gzipped_only_where_it_helps():
    assert coding.pack(b"a" * 1000)["gzip"] and not coding.pack(bytes(range(16)))["gzip"]
    for raw in (b"", b"a" * 1000, bytes(range(256))):
        assert coding.unpack(coding.pack(raw)) == raw


def test_tokens_are_text_in_the_page_whatever_they_are(model, tokenizer):
    figure = lab.attention(model, tokenizer, SHORT).heads()
    seen = lab.attention(model, tokenizer, SHORT)
    seen.tokens["encoder"][1] = "</script><script>alert(1)</script>"
    page = seen.heads().html
    assert page.count("</script>") == figure.html.count("</script>") and "\\u003c/script>" in page
    bert = lab.bertviz_head_view([layer[None] for layer in seen.data["encoder"]], seen.tokens["encoder"])
    assert "</script><script>alert" not in bert.html and "cdnjs" not in re.sub(r"'https://cdnjs[^']*'", "", bert.html)


@pytest.mark.parametrize(
    "token, text",
    [("Ġcat", "␣cat"), ("▁cat", "␣cat"), ("ä½ł", "你"), ("##ing", "##ing"), ("café", "café"), ("\n", "↵"), ("", "∅")],
)
def test_labels_are_readable(token, text):
    assert label(token) == text


def test_a_frame_is_sandboxed_titled_and_leaves_a_line_of_text():
    page = framed('<p class="a">&</p>', 'Say "hi"', 120)
    assert 'sandbox="allow-scripts"' in page and 'title="Say &quot;hi&quot;"' in page and "height:120px" in page
    assert "<p>Run this cell or trust the notebook to see the figure.</p>" in page
    assert 'srcdoc="&lt;p class=&quot;a&quot;&gt;&amp;amp;' not in page  # escaped once, not twice
    with pytest.raises(ValueError, match="at least 1 px"):
        framed("", "", 0)


def test_a_view_carries_the_numbers_that_it_draws(model, tokenizer):
    seen = lab.attention(model, tokenizer, SHORT)
    assert torch.equal(seen.heads().data["encoder"], seen.data["encoder"])
    assert torch.equal(seen.matrix(2, 3).data, seen.data["encoder"][2, 3])
    assert list(seen.model(layers=[1], heads=[2, 3]).data["encoder"].shape) == [1, 2, 4, 4]


def test_a_long_matrix_brings_less_and_says_so(monkeypatch):
    monkeypatch.setattr(views, "LARGEST_EXACT", 3 * 20 * 20)
    figure = random_attention(torch.rand(5, 3, 20, 20).softmax(-1), kind="encoder").matrix(2, 1)
    assert "Layer 2 only" in figure.html
    monkeypatch.setattr(views, "LARGEST_EXACT", 20 * 20)
    figure = random_attention(torch.rand(5, 3, 20, 20).softmax(-1), kind="encoder").matrix(2, 1)
    assert "Layer 2, head 1 only" in figure.html


def test_bertviz_without_its_libraries_says_what_to_install(monkeypatch, model, tokenizer):
    from labs_utils.attention_maps import bertviz

    monkeypatch.setattr(bertviz, "_D3", ("no-such-package", "d3.js"))
    seen = lab.attention(model, tokenizer, SHORT)
    with pytest.raises(WorkbookError, match="install --force-reinstall no-such-package"):
        lab.bertviz_model_view([layer[None] for layer in seen.data["encoder"]], seen.tokens["encoder"])


PAGE = Path(joining.__file__).parent / "page"
# What may stand at the left margin of a file of the page: functions and constants, and in start.js the call of `start`.
TOP = re.compile(
    r"(async )?function \w+\(|const \w+ = (Object\.freeze\(|\d+;|(async )?(\(.*\)|\w+) =>)|// |[ })]|start\(|$"
)


def described(figure) -> dict:
    """What Python tells the page of a figure."""
    return json.loads(re.search(r'id="page">(.*?)</script>', figure.html, re.DOTALL).group(1))


def test_the_pages_bring_every_file_of_the_folder_and_each_its_own_in_order():
    files = {file.name for file in PAGE.glob("*.js")}
    assert {name for view in joining.VIEWS for name in joining.parts(view)} == files
    assert {file.name for file in PAGE.iterdir()} == {*files, "style.css"}
    seen = random_attention(torch.rand(2, 3, 4, 4).softmax(-1))
    for view in ("heads", "model", "matrix", "cross"):
        html = getattr(seen, view)().html
        places = [html.find((PAGE / name).read_text(encoding="utf-8")) for name in joining.parts(view)]
        assert places == sorted(places) and places[0] > 0
        assert not [name for name in files - set(joining.parts(view)) if (PAGE / name).read_text("utf-8") in html]


@pytest.mark.parametrize("file", sorted(PAGE.glob("*.js")), ids=lambda file: file.stem)
def test_a_file_of_the_page_holds_functions_and_constants_alone(file):
    text = file.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if not TOP.match(line)] == []
    assert ("\nstart(" in text) == (file.name == "start.js")
    assert not re.search(r"^\s*(import|export)\b|\bimport\(|\bfetch\(|https?:", text, re.MULTILINE)
    assert "</script" not in text


def test_heights_are_computed_in_python_and_told_to_the_page():
    seen = random_attention(torch.rand(2, 3, 9, 9).softmax(-1))
    for view in ("heads", "model", "matrix", "cross"):
        figure = getattr(seen, view)()
        assert described(figure)["height"] == figure.height
        assert described(figure).get("row") == views.ROWS.get(view)
    longer = random_attention(torch.rand(2, 3, 10, 9).softmax(-1))
    assert longer.heads().height - seen.heads().height == views.ROWS["heads"]
