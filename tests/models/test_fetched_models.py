"""The two models that come through pip, as they are on this machine: their numbers, their tokenizers, what they say."""

import csv
import json
import random
import unicodedata

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from labs_utils.materials import catalog, fetching
from labs_utils.materials.e5_files import compiled
from labs_utils.paths import ROOT

ENTRIES = catalog.entries()["models"]


def here(role: str) -> bool:
    return fetching.is_fetched(role, ENTRIES[role])


def needs(role: str):
    return pytest.mark.skipif(not here(role), reason=f"`labs fetch {role}` has not run here")


@pytest.fixture(scope="module")
def chat():
    torch.manual_seed(0)
    folder = catalog.checkpoint("llm")
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def encoder():
    folder = catalog.checkpoint("multilingual-encoder")
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    return model, AutoTokenizer.from_pretrained(folder)


@needs("llm")
def test_the_chat_model_is_the_one_that_was_published(chat):
    model, tokenizer = chat
    config = model.config
    sizes = config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads, config.hidden_size
    assert sizes == (30, 9, 3, 576) and model.num_parameters() == 134_515_008 and len(tokenizer) == 49_152
    assert model.dtype == torch.float32 and config.tie_word_embeddings
    weights = load_file(f"{catalog.checkpoint('llm')}/model.safetensors")
    assert {str(values.dtype) for values in weights.values()} == {"float16"} and len(weights) == 272
    assert all(np.isfinite(values).all() for values in weights.values())


@needs("llm")
def test_the_chat_model_answers_and_stops(chat):
    model, tokenizer = chat
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**inputs, max_new_tokens=30, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(written, skip_special_tokens=True) == "The capital of France is Paris."
    assert written[-1] == tokenizer.eos_token_id


@needs("llm")
def test_the_chat_models_tokenizer_keeps_every_byte(chat):
    _, tokenizer = chat
    for text in lines(2_000):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert tokenizer.tokenize("in 1234") == ["in", "Ġ", "1", "2", "3", "4"]
    assert tokenizer.tokenize("<|im_end|>") == ["<|im_end|>"]


@needs("multilingual-encoder")
def test_the_encoder_agrees_with_matrix_products_by_hand(encoder):
    """One forward pass in NumPy, float64, from the file's numbers and BERT's definition."""
    model, tokenizer = encoder
    ids = tokenizer("query: 这家酒店很好, et le café aussi.")["input_ids"]
    with torch.inference_mode():
        got = model(torch.tensor([ids])).last_hidden_state[0].numpy()
    weights = load_file(f"{catalog.checkpoint('multilingual-encoder')}/model.safetensors")
    x = weights["embeddings.word_embeddings.weight"][ids].astype("float64")  # what is computed with it is float64, too
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = normal(x + weights["embeddings.token_type_embeddings.weight"][0], weights, "embeddings.LayerNorm")
    for layer in range(12):
        own = f"encoder.layer.{layer}."
        query, key, value = (
            linear(x, weights, f"{own}attention.self.{one}").reshape(-1, 12, 32).swapaxes(0, 1)
            for one in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / 32**0.5
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        heads = (shares / shares.sum(-1, keepdims=True)) @ value
        mixed = linear(heads.swapaxes(0, 1).reshape(-1, 384), weights, f"{own}attention.output.dense")
        x = normal(x + mixed, weights, f"{own}attention.output.LayerNorm")
        inner = gelu(linear(x, weights, f"{own}intermediate.dense"))
        x = normal(x + linear(inner, weights, f"{own}output.dense"), weights, f"{own}output.LayerNorm")
    assert np.abs(x - got).max() < 1e-4


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def normal(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    return x * torch.special.ndtr(torch.from_numpy(x)).numpy()


@needs("multilingual-encoder")
def test_the_encoders_tokenizer_on_ten_thousand_lines(encoder):
    """Nothing is unknown but characters that no piece holds, and what comes back is the normalised text."""
    _, tokenizer = encoder
    normalizer = tokenizer.backend_tokenizer.normalizer
    known = {character for piece in tokenizer.get_vocab() for character in piece}
    texts = lines(10_000)
    for text, ids in zip(texts, tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True):
        plain = " ".join(normalizer.normalize_str(text).split())
        if tokenizer.unk_token_id in ids:
            assert not set(plain.replace(" ", "▁")) <= known, repr(text)
        else:
            assert tokenizer.decode(ids) == plain, repr(text)


@needs("multilingual-encoder")
def test_the_encoders_tokenizer_speaks_many_languages(encoder):
    _, tokenizer = encoder
    pieces = tokenizer.tokenize("Hello world! 你好,世界。这家酒店很好")
    assert pieces == ["▁Hello", "▁world", "!", "▁", "你好", ",", "世界", "。", "这家", "酒店", "很好"]
    assert tokenizer("a", "b")["input_ids"] == [0, *tokenizer.convert_tokens_to_ids(["▁a", "</s>", "</s>", "▁b"]), 2]
    assert tokenizer.mask_token_id == 250_001 and tokenizer.pad_token_id == 1
    text = "un café à Zürich"
    assert tokenizer.tokenize(unicodedata.normalize("NFD", text)) == tokenizer.tokenize(text)


def test_a_compiled_table_normalises_as_it_says():
    from tokenizers import normalizers

    table = {"Ａ": "A", "\x01": "", "ﬁ": "fi", "\t": " "}
    normalizer = normalizers.Precompiled(compiled(table))
    assert normalizer.normalize_str("Ａ\x01ﬁ\tx e\u0301") == "Afi x é"


def lines(count: int) -> list[str]:
    """English, French and Chinese of ours, some of it full-width, decomposed, with emoji or with control characters."""
    draw, found = random.Random(0), []
    for name in ("parallel/fr-en.tsv", "parallel/zh-en.tsv"):
        path = ROOT / "data" / "datasets" / name
        found += [text for row in csv.reader(path.open(encoding="utf-8"), delimiter="\t") for text in row]
    for name in ("hotel_reviews/zh.csv", "hotel_reviews/en.csv"):
        found += [row["review"] for row in csv.DictReader((ROOT / "data" / "datasets" / name).open(encoding="utf-8"))]
    found = [text.strip() for text in found if text and text.strip()]
    changes = [
        lambda text: text,
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text),
        lambda text: text[: len(text) // 2] + draw.choice("🙂🏨👩‍👩‍👧🇫🇷") + text[len(text) // 2 :],
        lambda text: text.replace(" ", draw.choice(["  ", "\t", "\u3000", "\u200b", "\u00a0"]), 1) + "\x07",
    ]
    return [draw.choice(changes)(draw.choice(found)) for _ in range(count)]


@needs("llm")
def test_a_made_folder_says_what_is_in_it():
    record = json.loads((fetching.fetched("llm", ENTRIES["llm"]) / "made.json").read_text())
    assert set(record) >= {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "LICENCE.txt"}
