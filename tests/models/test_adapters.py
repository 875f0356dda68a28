"""The adapters that ship load as a notebook loads them and do their task."""

import pytest
import torch
import transformers
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline

from data.recipes.qa import answers
from labs_utils.materials.catalog import checkpoint, entries
from labs_utils.materials.fetching import is_fetched
from labs_utils.paths import ROOT
from tests.support.models import ADAPTERS, load

BASE = "multilingual-encoder"
each_adapter = pytest.mark.parametrize("role", ADAPTERS)


@each_adapter
def test_an_adapter_is_small_sealed_and_has_a_card(role):
    folder = ROOT / ADAPTERS[role]["folder"]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1_000_000
    assert set(ADAPTERS[role]["sha256"]) == {"adapter_config.json", "adapter_model.safetensors", "config.json"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"license: {ADAPTERS[role]['licence'].lower()}" in card
    assert "<!-- measured" in card and "## Limits" in card


@each_adapter
def test_every_weight_of_a_merged_model_is_used_and_none_is_new(role):
    folder = checkpoint(role)
    config = AutoConfig.from_pretrained(folder)
    model, report = getattr(transformers, config.architectures[0]).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("role", ["sentiment", "emotion"])
def test_peft_makes_the_same_model_of_an_adapter(role):
    whole, tokenizer = load(role)
    encoder = AutoModelForSequenceClassification.from_pretrained(
        checkpoint("encoder"), num_labels=whole.config.num_labels
    )
    adapted = PeftModel.from_pretrained(encoder, str(ROOT / ADAPTERS[role]["folder"])).eval()
    texts = tokenizer("What a strange and lovely day.", return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(whole(**texts).logits, adapted(**texts).logits, atol=1e-4)


# ---------------------------------------------------------------------------------------------------- their tasks


def agreeing(role: str, texts: list, expected: list[str]) -> int:
    """To how many of the texts a role's classifier gives the expected label."""
    classifier = pipeline("text-classification", model=str(checkpoint(role)))
    found = [one["label"] for one in classifier(texts)]
    return sum(label == other for label, other in zip(found, expected, strict=True))


def test_sentiment_knows_praise_from_blame():
    praise = ["I love this course.", "A warm and funny film.", "Great service, I'll come back.", "It works perfectly."]
    blame = ["I hate waiting in line.", "A dull, lifeless film.", "The food was awful.", "It broke after a day."]
    assert agreeing("sentiment", praise + blame, ["POSITIVE"] * 4 + ["NEGATIVE"] * 4) >= 7


@pytest.mark.skipif(not is_fetched(BASE, entries()["models"][BASE]), reason=f"`labs fetch {BASE}` has not run here")
def test_chinese_sentiment_knows_praise_from_blame():
    praise = ["房间干净，服务很好，下次还来。", "位置方便，早餐丰富。", "非常满意！", "前台热情，床很舒服。"]
    blame = ["太脏了，再也不来。", "服务态度差，空调坏了也没人管。", "非常失望。", "隔音不好，一夜没睡。"]
    assert agreeing("zh-sentiment", praise + blame, ["POSITIVE"] * 4 + ["NEGATIVE"] * 4) >= 7


def test_emotion_names_plain_feelings():
    texts = {
        "I feel so lonely and hopeless today.": "sadness",
        "I'm happy, what a wonderful day!": "joy",
        "I adore her, she is so dear to me.": "love",
        "I'm furious, how dare they do that!": "anger",
        "I was terrified of the dark.": "fear",
        "I was amazed, I never expected this.": "surprise",
    }
    assert agreeing("emotion", list(texts), list(texts.values())) >= 4


def test_paraphrase_tells_rewording_from_another_subject():
    text = "The company bought the factory in May."
    same = {"text": text, "text_pair": "In May the factory was bought by the company."}
    other = {"text": text, "text_pair": "The minister resigned after the scandal."}
    assert agreeing("paraphrase", [same, other], ["paraphrase", "different"]) == 2


def test_nli_judges_scenes():
    scene = "A man is playing a guitar on the street."
    hypotheses = {
        "A man is making music.": "entailment",
        "A man is asleep in bed.": "contradiction",
        "The man is a famous musician.": "neutral",
    }
    pairs = [{"text": scene, "text_pair": hypothesis} for hypothesis in hypotheses]
    assert agreeing("nli", pairs, list(hypotheses.values())) >= 2


def test_nli_sorts_topics():
    sorter = pipeline("zero-shot-classification", model=str(checkpoint("nli")))
    text = "The striker scored twice and the team won the cup."
    assert sorter(text, ["football", "cooking", "banking"])["labels"][0] == "football"


def test_ner_finds_a_person_and_a_place():
    finder = pipeline("ner", model=str(checkpoint("ner")), aggregation_strategy="first")
    found = {one["word"]: one["entity_group"] for one in finder("Anna Smith moved from London to Berlin in May.")}
    assert found.get("anna smith") == "PER" and found.get("london") == found.get("berlin") == "LOC"


def test_qa_answers_from_the_text():
    context = "The bridge was built in 1932 by the engineer Marta Olsen. It is long and crosses the river Dal."
    asked = {
        "When was the bridge built?": "1932",
        "Who built the bridge?": "Marta Olsen",
        "Which river does it cross?": "Dal",
    }
    found = answers(*load("qa"), [{"question": question, "context": context} for question in asked])
    assert sum(answer in text for answer, text in zip(asked.values(), found, strict=True)) >= 2


def test_masked_lm_fills_common_words():
    fill = pipeline("fill-mask", model=str(checkpoint("masked-lm")), top_k=10)
    texts = {
        "He went [MASK] the house.": {"to", "into", "in", "out", "through", "from"},
        "She was born [MASK] 1932.": {"in", "on", "around", "before"},
        "The king [MASK] the queen lived in a castle.": {"and", "of", "or", "with"},
    }
    assert sum(bool(words & {one["token_str"] for one in fill(text)}) for text, words in texts.items()) >= 2
