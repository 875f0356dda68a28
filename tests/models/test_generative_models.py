"""The models that were trained from nothing for this course load as a notebook loads them, and do their task."""

import random
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    pipeline,
)
from transformers.utils import logging

from data.recipes.measure_generative import chrf, generate, rouge1, story_surprise
from data.recipes.scratch_models import orthogonal, own_rows
from labs_utils.materials.catalog import checkpoint, entries, sha256

KINDS = {
    "generator": AutoModelForCausalLM,
    "translator": AutoModelForSeq2SeqLM,
    "zh-encoder": AutoModelForMaskedLM,
    "summarizer": AutoModelForSeq2SeqLM,
}
ROLES = [role for role in KINDS if role in entries()["models"]]


def load(role):
    if role not in ROLES:
        pytest.skip(f"no model plays the role {role!r} yet")
    source = checkpoint(role)
    return KINDS[role].from_pretrained(source).eval(), AutoTokenizer.from_pretrained(source)


@pytest.mark.parametrize("role", ROLES)
def test_it_is_small_on_disk_whole_in_memory_and_every_file_is_sealed(role):
    folder = Path(checkpoint(role))
    files = {file.name: file for file in folder.iterdir() if file.name != "README.md"}
    assert sum(file.stat().st_size for file in files.values()) <= 6e6
    assert {name: sha256(file) for name, file in files.items()} == entries()["models"][role]["sha256"]
    assert {tensor.dtype for tensor in load_file(files["model.safetensors"]).values()} == {torch.float16}
    assert load(role)[0].dtype == torch.float32  # in half precision a CPU is slow, and training ends in NaN


@pytest.mark.parametrize("role", ROLES)
def test_its_card_says_what_it_learnt_from_and_how_good_it_is(role):
    card = (Path(checkpoint(role)) / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: ")
    for heading in ("## Data and licences", "## Recipe", "## Measured quality", "## Limits"):
        assert heading in card
    table = card.partition("<!-- measured")[2].partition("<!-- /measured -->")[0]
    assert "| what | measured |" in table


@pytest.mark.parametrize("role", ROLES)
def test_padding_and_the_end_of_a_text_can_be_told_apart(role):
    model, tokenizer = load(role)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.pad_token_id == model.config.pad_token_id
    if role != "zh-encoder":
        assert tokenizer.eos_token_id == model.generation_config.eos_token_id != tokenizer.pad_token_id
        assert model.generation_config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("role", [role for role in ROLES if role != "zh-encoder"])
def test_generate_with_the_shipped_settings_warns_of_nothing(role, caplog):
    model, tokenizer = load(role)
    texts = tokenizer(["Le chat dort." if role == "translator" else "The old woman"], return_tensors="pt")
    logger = logging.get_logger("transformers")
    logger.addHandler(caplog.handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.generate(**texts)
            model.generate(**texts, max_new_tokens=5, num_beams=2)
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records


# ---------------------------------------------------------------------------------------------------- generator


def test_the_generator_reads_a_story_better_than_the_same_words_in_disorder():
    model, tokenizer = load("generator")
    stories = [row["text"] for row in own_rows("stories/validation.jsonl")[:2]]
    disorder = [" ".join(random.Random(0).sample(story.split(), len(story.split()))) for story in stories]
    bits, tokens = story_surprise(model.float(), tokenizer, stories)
    assert bits / tokens < 6.5  # guessing among 3,072 tokens costs 11.6
    assert story_surprise(model, tokenizer, disorder)[0] > 1.25 * bits


def test_the_generator_goes_on_after_a_name_with_a_verb_and_after_to_the_with_a_thing():
    model, tokenizer = load("generator")
    ids = tokenizer("The boy walked to the", return_tensors="pt")
    with torch.no_grad():
        best = model(**ids).logits[0, -1].topk(50).indices
    words = {tokenizer.decode(index).strip() for index in best}
    assert words & {"door", "house", "village", "shop", "school", "station", "river", "window", "bridge", "bakery"}


def test_the_generator_writes_known_words_and_repeats_itself_when_seeded():
    model, tokenizer = load("generator")
    prompt = tokenizer("Once there was a", return_tensors="pt")
    texts = []
    for _ in range(2):
        torch.manual_seed(3)
        found = model.float().generate(**prompt, do_sample=True, temperature=0.8, top_k=40)
        texts.append(tokenizer.decode(found[0], skip_special_tokens=True))
    assert texts[0] == texts[1]
    stories = " ".join(row["text"] for row in own_rows("stories/train.jsonl") + own_rows("articles/train.jsonl"))
    known = {word.strip('.,!?"\';:').lower() for word in stories.split()}
    written = [word.strip('.,!?"\';:').lower() for word in texts[0].split()]
    assert sum(word in known for word in written) / len(written) > 0.8


def test_the_generator_can_end_a_text():
    model, tokenizer = load("generator")
    story = own_rows("stories/train.jsonl")[0]["text"]
    with torch.no_grad():
        ids = tokenizer(story, return_tensors="pt", verbose=False)["input_ids"][:, -200:]
        ends = model.float()(input_ids=ids).logits[0].softmax(-1)[:, tokenizer.eos_token_id]
    assert ends[-1] > 50 * ends.median()


def test_every_text_survives_the_generators_tokenizer():
    tokenizer = load("generator")[1]
    for text in ('"Where?" asked Ulla.\n\nShe ran.', "Grüße, 你好 🎈", "  two  spaces "):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_generator_works_in_a_pipeline():
    model, tokenizer = load("generator")
    writer = pipeline("text-generation", model=model.float(), tokenizer=tokenizer)
    text = writer("The ship", max_new_tokens=5)[0]["generated_text"]
    assert text.startswith("The ship") and len(text) > len("The ship")


# ---------------------------------------------------------------------------------------------------- translator


def test_the_translator_is_nearer_to_the_english_than_the_french_is():
    model, tokenizer = load("translator")
    french = ["Je ne sais pas où il est.", "Tom est très content.", "Où est la gare ?", "Elle a acheté un livre."]
    english = ["I don't know where he is.", "Tom is very happy.", "Where is the station?", "She bought a book."]
    found = generate(model.float(), tokenizer, french)
    assert chrf(found, english) > 20 + chrf(french, english)


def test_the_translators_tokenizer_closes_each_text():
    tokenizer = load("translator")[1]
    ids = tokenizer(["L'été est là.", "Oui."], padding=True)["input_ids"]
    assert ids[0][-1] == tokenizer.eos_token_id and tokenizer.eos_token_id in ids[1]
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "L'été est là."
    assert tokenizer("L’été")["input_ids"] == tokenizer("L'été")["input_ids"]


# ---------------------------------------------------------------------------------------------------- zh-encoder


def test_the_chinese_encoder_finds_the_hidden_half_of_common_words():
    model, tokenizer = load("zh-encoder")
    asked = {
        "酒[MASK]的早餐很好。": "店",
        "我不知[MASK]。": "道",
        "房[MASK]很干净。": "间",
        "服务[MASK]很热情。": "员",
        "他喜[MASK]看书。": "欢",
    }
    right = 0
    for text, character in asked.items():
        ids = tokenizer(text, return_tensors="pt")
        place = ids["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.no_grad():
            best = model(**ids).logits[0, place].topk(5).indices.tolist()
        right += character in tokenizer.convert_ids_to_tokens(best)
    assert right >= 3


def test_the_chinese_vocabulary_is_one_of_characters():
    tokenizer = load("zh-encoder")[1]
    assert tokenizer.tokenize("酒店很好，WiFi快") == ["酒", "店", "很", "好", "，", "w", "##i", "##f", "##i", "快"]


# ---------------------------------------------------------------------------------------------------- summarizer


def test_the_summarizer_writes_about_the_text_rather_than_about_another():
    model, tokenizer = load("summarizer")
    rows = own_rows("articles/test.jsonl")[:12]
    found = generate(model.float(), tokenizer, [row["text"] for row in rows])
    own = [[row["text"]] for row in rows]
    other = own[1:] + own[:1]
    assert rouge1(found, own) > rouge1(found, other)


# ---------------------------------------------------------------------------------------------------- how they learn


def test_an_update_made_orthogonal_has_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((8, 32), (32, 8)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.5 and values.max() < 1.5


def test_chrf_agrees_with_a_value_worked_out_by_hand():
    assert chrf(["abc"], ["abc"]) == 100
    # "ab" against "abc": unigrams P 1, R 2/3; bigrams P 1, R 1/2; F2 = 5PR / (4P + R)
    assert chrf(["ab"], ["abc"]) == pytest.approx(100 * (5 * 2 / 3 / (4 + 2 / 3) + 5 / 2 / (4 + 1 / 2)) / 2)
