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
from labs_utils.attention_maps import coding, joining, running, views
from labs_utils.attention_maps.capture import Attention
from labs_utils.attention_maps.captured import key_side
from labs_utils.attention_maps.frame import framed
from labs_utils.attention_maps.labels import label
from labs_utils.attention_maps.query_key import recompute
from labs_utils.errors import WorkbookError
from labs_utils.materials import catalog, fetching

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


def random_attention(weights, kind: str = "cross", **more) -> Attention:
    """An `Attention` around any weights [layers, heads, query, key]."""
    sides = {"decoder": weights.shape[2], "encoder": weights.shape[3]} if kind == "cross" else {kind: weights.shape[3]}
    tokens = {side: [f"t{place}" for place in range(count)] for side, count in sides.items()}
    special = {side: [False] * count for side, count in sides.items()}
    return Attention({kind: weights}, tokens, special, {}, None, None, **more)


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
    seen.tokens["encoder"][1] = seen.labels["encoder"][1] = "</script><script>alert(1)</script>"
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


def causal(layers: int, heads: int, tokens: int):
    mask = torch.ones(tokens, tokens).triu(1).bool()
    return torch.randn(layers, heads, tokens, tokens).masked_fill(mask, -torch.inf).softmax(-1)


def test_heads_that_share_their_keys_are_told_to_the_page(tokenizer):
    seen = lab.attention(tiny("LlamaForCausalLM"), tokenizer, LONG)
    assert seen.shared == 2 and "share keys and values: 0–1, 2–3" in repr(seen)
    for figure in (seen.heads(), seen.model(), seen.matrix()):
        assert [stack["shared"] for stack in described(figure)["stacks"]] == [2]
    assert lab.attention(tiny("GPT2LMHeadModel"), tokenizer, SHORT).shared == 1


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "Qwen3ForCausalLM"])
def test_scores_are_the_models_own_rotary_and_groups_and_all(tokenizer, name):
    """log softmax(scores) = scores - one number for each row: log-weights and scores differ by a constant per row.

    A weight is a float32: its logarithm is off by some 1e-7 for each unit of the largest score, and by more where the
    weight is near to nothing, so those under 1e-6 are left out.
    """
    seen = lab.attention(tiny(name), tokenizer, LONG)
    for layer in range(2):
        figures = [seen.query_key(layer, head) for head in range(4)]
        for head, figure in enumerate(figures):
            require_own_scores(figure.data["scores"], seen.data["decoder"][layer, head])
        keys = [figure.data["key"] for figure in figures]
        assert torch.equal(keys[0], keys[1]) and torch.equal(keys[2], keys[3]) and not torch.equal(keys[1], keys[2])


def require_own_scores(scores, weights):
    for row, own in zip(scores, weights, strict=True):
        counts = own > 1e-6
        off = row[counts] - own[counts].log()
        assert (off - off.mean()).abs().max() < 1e-4 * max(1, row[counts].abs().max().item())
        assert not (row[~counts] - off.mean() > -13).any()  # what is left out is next to nothing: e^-13 is 2e-6


def test_keys_are_the_projections_turned_by_their_place(tokenizer):
    """By hand, from LLaMA's definition: k of place p, its halves turned by the angles p · theta^(-2i/d)."""
    model = tiny("LlamaForCausalLM")
    seen = lab.attention(model, tokenizer, LONG)
    ids = torch.tensor([seen.ids["decoder"]])
    block = model.model.layers[0]
    with torch.no_grad():
        plain = block.self_attn.k_proj(block.input_layernorm(model.model.embed_tokens(ids)))[0].view(ids.shape[1], 2, 8)
    angle = torch.arange(ids.shape[1])[:, None] * 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    left, right = plain[..., :4], plain[..., 4:]
    sin, cos = angle.sin()[:, None], angle.cos()[:, None]
    turned = torch.cat([left * cos - right * sin, right * cos + left * sin], -1)
    for head in range(4):
        assert torch.allclose(seen.query_key(0, head).data["key"], turned[:, head // 2], atol=1e-5)


def test_what_is_left_out_of_a_page_is_spread_and_said(monkeypatch):
    monkeypatch.setattr(views, "LARGEST", 4 * 3 * 100)
    seen = random_attention(causal(10, 3, 10), "decoder")
    grid = seen.model()
    assert list(grid.data["decoder"].shape) == [4, 3, 10, 10] and described(grid)["stacks"][0]["layers"] == [0, 3, 6, 9]
    assert "shows 4 of 10 layers (0, 3, 6, 9)" in repr(grid) and described(grid)["note"] == grid.note
    assert described(seen.heads(5))["stacks"][0]["layers"] == [2, 5, 8]
    assert torch.equal(seen.heads(5).data["decoder"], seen.data["decoder"][[2, 5, 8]])
    asked = seen.heads(layers=[7, 8, 9])
    assert described(asked)["stacks"][0]["layers"] == [7, 8, 9] and not asked.note
    monkeypatch.setattr(views, "LARGEST", 200)
    one = seen.heads(5, head=2)
    assert described(one)["stacks"][0]["layers"] == [5] and described(one)["stacks"][0]["heads"] == [1, 2]
    assert "1 of 10 layers (5) and 2 of 3 heads (1, 2)" in one.note


HYBRID = {**LLAMA, "num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2}


def test_a_hybrid_keeps_the_numbers_of_the_layers_that_attend(tokenizer):
    torch.manual_seed(0)
    model = transformers.Lfm2ForCausalLM(transformers.Lfm2Config(**HYBRID)).eval()
    seen = lab.attention(model, tokenizer, LONG)
    assert seen.layers == {"decoder": [1, 3]} and seen.data["decoder"].shape[0] == 2
    assert "attends in its layers 1, 3" in repr(seen)
    assert described(seen.model())["stacks"][0]["layers"] == [1, 3] and described(seen.heads())["layer"] == 1
    assert torch.equal(seen.matrix(3, 2).data, seen.data["decoder"][1, 2])
    assert torch.allclose(seen.query_key(3, 2).data["weights"], seen.data["decoder"][1, 2], atol=1e-5)
    with pytest.raises(WorkbookError, match="There is no layer 0 here: this attention has layers 1, 3"):
        seen.heads(0)


def test_adapters_stay_at_work_and_learned_prompts_are_refused(tokenizer):
    import peft

    plain = lab.attention(tiny("BertModel"), tokenizer, LONG).data["encoder"]
    adapted = peft.get_peft_model(tiny("BertModel"), peft.LoraConfig(target_modules=["query"], init_lora_weights=False))
    seen = lab.attention(adapted, tokenizer, LONG)
    assert not torch.allclose(seen.data["encoder"], plain, atol=1e-3)
    with adapted.disable_adapter():
        assert torch.allclose(lab.attention(adapted, tokenizer, LONG).data["encoder"], plain, atol=1e-6)
    assert seen.query_key(1, 2, 0).data["query"].shape == (9, 8)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    with pytest.raises(WorkbookError, match="learned prompts before the text"):
        lab.attention(peft.get_peft_model(tiny("GPT2LMHeadModel"), config), tokenizer, LONG)


@pytest.mark.parametrize("name", ["BartModel", "T5Model"])
def test_an_encoder_decoder_without_a_head_reads_a_target_and_writes_none(tokenizer, name):
    torch.manual_seed(0)
    model_class = getattr(transformers, name)
    sizes = BART if name == "BartModel" else FAMILIES["T5ForConditionalGeneration"]
    model = model_class(model_class.config_class(**sizes)).eval()
    seen = lab.attention(model, tokenizer, LONG, target=SHORT)
    assert seen.tokens["decoder"] == ["[PAD]", "[CLS]", "the", "cat"] and set(seen.data) == {
        "encoder",
        "decoder",
        "cross",
    }
    with pytest.raises(WorkbookError, match=r"has no head that could write text.*target=…"):
        lab.attention(model, tokenizer, LONG)


def two_berts():
    torch.manual_seed(0)
    parts = [transformers.BertConfig(**BERT) for _ in range(2)]
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*parts)
    return transformers.EncoderDecoderModel(config=config).eval()


def test_two_models_as_one_encoder_decoder(tokenizer):
    model = two_berts()
    for pad in (None, 0):
        model.config.pad_token_id = pad
        with pytest.raises(WorkbookError, match="decoder_start_token_id = tokenizer.cls_token_id"):
            lab.attention(model, tokenizer, LONG, target=SHORT)
    model.config.decoder_start_token_id = 101
    model.decoder.set_attn_implementation("eager")
    seen = lab.attention(model, tokenizer, LONG, target=SHORT)
    assert {kind: list(weights.shape) for kind, weights in seen.data.items()} == {
        "encoder": [2, 4, 9, 9],
        "decoder": [2, 4, 4, 4],
        "cross": [2, 4, 4, 9],
    }
    for kind in seen.data:
        assert torch.allclose(recompute(seen, 1, kind).weights, seen.data[kind][1], atol=1e-5)
    assert len(lab.attention(model, tokenizer, LONG, max_new_tokens=5).tokens["decoder"]) <= 6
    parts = (model.config, model.encoder.config, model.decoder.config)
    assert [part._attn_implementation for part in parts] == ["sdpa", "sdpa", "eager"]


PRESETS = {
    "num_beams": 4,
    "num_return_sequences": 2,
    "do_sample": True,
    "temperature": 9.0,
    "return_dict_in_generate": True,
    "output_scores": True,
    "min_length": 30,
    "max_length": 3,
    "penalty_alpha": 0.6,
    "num_beam_groups": 2,
    "prompt_lookup_num_tokens": 3,
}


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "MarianMTModel"])
def test_what_a_model_presets_for_generation_changes_nothing(tokenizer, name):
    plain, preset = tiny(name), tiny(name)
    for option, value in PRESETS.items():
        setattr(preset.generation_config, option, value)
    preset.config.num_beams = 3  # the library refuses to generate after this
    preset.config.return_dict = False
    expected = lab.attention(plain, tokenizer, LONG, max_new_tokens=5)
    assert lab.attention(preset, tokenizer, LONG, max_new_tokens=5).ids == expected.ids
    assert preset.generation_config.num_return_sequences == 2


@pytest.mark.parametrize("name, window", [("BertModel", 20), ("RobertaModel", 19), ("GPT2LMHeadModel", 20)])
def test_a_text_beyond_the_window_is_cut_and_said(tokenizer, name, window):
    torch.manual_seed(0)
    model_class = getattr(transformers, name)
    size = {"n_positions": 20} if name.startswith("GPT2") else {"max_position_embeddings": 20}
    model = model_class(model_class.config_class(**{**FAMILIES[name], **size})).eval()
    seen = lab.attention(model, tokenizer, LONG * 9)
    kind = next(iter(seen.data))
    assert len(seen.tokens[kind]) == window and "the rest was cut off" in repr(seen)
    assert "the rest was cut off" in described(seen.model())["note"] and "cut off" in repr(seen.query_key())
    assert not lab.attention(model, tokenizer, LONG).note
    if name == "GPT2LMHeadModel":
        assert len(lab.attention(model, tokenizer, LONG * 9, max_new_tokens=4).tokens[kind]) <= window
        with pytest.raises(WorkbookError, match="20 new ones leave none"):
            lab.attention(model, tokenizer, LONG, max_new_tokens=20)


@pytest.mark.parametrize("name", PAIRED)
def test_every_text_may_have_a_target_of_its_own(tokenizer, name):
    model = tiny(name)
    together = lab.attention(model, tokenizer, [SHORT, LONG], target=[LONG, SHORT])
    for text, target, seen in zip((SHORT, LONG), (LONG, SHORT), together, strict=True):
        alone = lab.attention(model, tokenizer, text, target=target)
        assert seen.ids == alone.ids
        assert all(torch.allclose(seen.data[kind], alone.data[kind], atol=1e-5) for kind in alone.data)
    with pytest.raises(WorkbookError, match="2 texts need as many targets; 1"):
        lab.attention(model, tokenizer, [SHORT, LONG], target=[SHORT])


def test_an_end_token_that_also_pads_ends_the_text():
    settings = transformers.GenerationConfig(eos_token_id=2, pad_token_id=2)
    real = running._until_end(torch.tensor([[2, 5, 2, 2], [2, 5, 6, 2], [2, 5, 6, 7]]), settings)
    assert real.tolist() == [[True, True, True, False], [True] * 4, [True] * 4]


class Blocks(transformers.BertModel):
    """A model whose attention comes back in a shape of its own."""

    shape = staticmethod(lambda one: one)

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        output = super().forward(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        output.attentions = self.shape(output.attentions)
        return output


STRANGE = [
    (
        lambda all: tuple(one[:, :, :3] for one in all),
        r"of shape \[1, 4, 3, 4\], and these tokens need \[1, heads, 4, 4\]",
    ),
    (lambda all: tuple(one[0] for one in all), r"of shape \[4, 4, 4\]"),
    (lambda all: (all[0], all[1][:, :2]), r"differ in their number of heads \(2, 4\)"),
    (lambda all: (), "returned no attention weights"),
]


@pytest.mark.parametrize("shape, message", STRANGE, ids=range(len(STRANGE)))
def test_what_came_back_is_checked_once_for_its_shape(tokenizer, shape, message):
    model = Blocks(transformers.BertConfig(**BERT)).eval()
    model.shape = shape
    with pytest.raises(WorkbookError, match=message):
        lab.attention(model, tokenizer, SHORT)


def test_models_that_read_no_text_are_told_apart(tokenizer):
    sees = transformers.ViTModel(
        transformers.ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16
        )
    )
    with pytest.raises(WorkbookError, match="ViTModel reads pixel_values, not the tokens of a text"):
        lab.attention(sees, tokenizer, SHORT)
    with pytest.raises(WorkbookError, match="this is a Linear"):
        lab.attention(torch.nn.Linear(2, 2), tokenizer, SHORT)
    with pytest.raises(WorkbookError, match="has no decoder beside its encoder"):
        lab.attention(tiny("BertModel"), tokenizer, SHORT, target=LONG)
    with pytest.raises(WorkbookError, match="BertModel has no head that could write text"):
        lab.attention(tiny("BertModel"), tokenizer, SHORT, max_new_tokens=2)


def test_weights_that_would_fill_the_memory_are_refused_before_they_are_computed(tokenizer, monkeypatch):
    monkeypatch.setattr(running, "LARGEST_CAPTURE", 2 * 4 * 8 * 8)
    with pytest.raises(WorkbookError, match="9 tokens give .* up to 8 tokens"):
        lab.attention(tiny("BertModel"), tokenizer, LONG)
    assert lab.attention(tiny("BertModel"), tokenizer, SHORT)


def here(role: str) -> bool:
    return fetching.is_fetched(role, catalog.entries()["models"][role])


@pytest.mark.skipif(not here("llm"), reason="`labs fetch llm` has not run here")
def test_the_chat_model_thirty_layers_of_nine_heads_on_three():
    folder = lab.checkpoint("llm")
    chat = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    seen = lab.attention(chat, tokenizer, "<|im_start|>user\nWhat is 你好?<|im_end|>\n")
    assert list(seen.data["decoder"].shape[:2]) == [30, 9] and seen.shared == 3
    assert "share keys and values: 0–2, 3–5, 6–8" in repr(seen)
    labels = seen.labels["decoder"]
    assert labels[:3] == ["<|im_start|>", "user", "↵"] and labels[5:8] == ["␣", "你‹e4 bd›", "你‹a0›"]
    marked = [label for label, special in zip(labels, seen.special["decoder"], strict=True) if special]
    assert marked == ["<|im_start|>", "<|im_end|>"]
    keys = []
    for layer in (0, 15, 29):
        found = recompute(seen, layer, "decoder")
        for head in range(9):
            require_own_scores(found.scores[head], seen.data["decoder"][layer, head])
        keys += [torch.equal(found.key[head], found.key[head + 1]) for head in range(8)]
    assert keys == 3 * [True, True, False, True, True, False, True, True]
