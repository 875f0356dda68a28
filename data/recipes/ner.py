"""`ner`: people, organisations, places and other names, from our own marked sentences alone (CC0).

The encoder's vocabulary is uncased, so the model never sees capitals: it goes by the words.
"""

import torch
from transformers import AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from data.recipes.metrics import entity_scores
from data.recipes.publishing import publish_adapter
from data.recipes.results import Row
from data.recipes.texts import our_rows
from data.recipes.training import adapted_encoder, labelled, load, tune

NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]


def main() -> None:
    model, tokenizer = adapted_encoder(AutoModelForTokenClassification, **labelled(NAMES))
    tune(model, align(tokenizer, our_rows("entities/train.jsonl")), 10, size=16)
    print("our validation:", scores(model, tokenizer, our_rows("entities/validation.jsonl")))
    publish_adapter("ner", model)


def align(tokenizer: PreTrainedTokenizerBase, rows: list[dict]) -> list[dict]:
    """Token ids with one tag on the first piece of each word; the other pieces and [CLS], [SEP] don't count (-100)."""
    features = []
    for row in rows:
        texts = tokenizer(row["tokens"], is_split_into_words=True, truncation=True, max_length=128)
        labels, before = [], None
        for word in texts.word_ids():
            labels.append(-100 if word is None or word == before else NAMES.index(row["ner_tags"][word]))
            before = word
        features.append({**texts, "labels": labels})
    return features


def measured() -> list[Row]:
    """Whole entities found, with their label, on our own test split; no public set with a clear licence is at hand."""
    found = scores(*load(AutoModelForTokenClassification, "ner"), our_rows("entities/test.jsonl"))
    return [Row(f"{name} on the test split of our `entities` (68 sentences)", value) for name, value in found.items()]


def scores(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[dict]) -> dict[str, float]:
    """F1, precision and recall of whole entities in the rows."""
    found = [tags(model, tokenizer, row["tokens"]) for row in rows]
    return entity_scores(found, [row["ner_tags"] for row in rows])


@torch.no_grad()
def tags(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, words: list[str]) -> list[str]:
    """The tag of each word: the one that its first piece is given."""
    texts = tokenizer(words, is_split_into_words=True, truncation=True, return_tensors="pt")
    best = model(**texts.to(model.device)).logits[0].argmax(-1).tolist()
    found = ["O"] * len(words)
    for place, word in reversed(list(enumerate(texts.word_ids()))):
        if word is not None:
            found[word] = model.config.id2label[best[place]]
    return found


if __name__ == "__main__":
    main()
