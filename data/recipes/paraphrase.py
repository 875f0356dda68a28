"""`paraphrase`: do two sentences report the same thing? From our own text alone (CC0).

First the encoder, which reads two sentences at once here, learns to say how near they are: the nearness of the vectors
that it gives to each sentence alone is its own teacher. Then it learns from our pairs where to draw the line. MRPC, on
which it is measured, has no stated licence: nothing of it is used to train or to choose.
"""

import random
import re

import torch
from transformers import AutoModelForSequenceClassification

from data.recipes.common import SEED, begin, embed, encode, fit, own, predict, save_adapter

NAMES = ["different", "paraphrase"]
STRICT = 99  # so many pairs at the head of the validation split ask the strict question; the others are wire pairs
BORDER, WIDTH = 0.75, 0.08  # a cosine at the border counts as half a paraphrase; one of 0.91 as 0.88 of one


def sentences() -> list[list[str]]:
    """The sentences of our articles and of the texts that questions are asked about, text by text."""
    texts = [row["text"] for row in own("articles/train.jsonl")]
    texts += dict.fromkeys(row["context"] for row in own("questions/train.jsonl"))
    split = [re.split(r"(?<=[.!?]) +", text.replace("\n", " ")) for text in texts]
    return [[sentence for sentence in text if 8 <= len(sentence.split()) <= 40] for text in split]


def cut(sentence: str, chooser: random.Random) -> str:
    """The sentence without one of its parts between commas; without some words where it has no comma."""
    parts = sentence.split(", ")
    if len(parts) > 1:
        parts.pop(chooser.randrange(len(parts)))
        return ", ".join(parts)
    words = sentence.split()
    first = chooser.randrange(1, len(words) - 2)
    return " ".join(words[:first] + words[first + chooser.randint(1, 3) :])


def graded() -> list[dict]:
    """Pairs from nearly the same to strangers: neighbours in a text, cut sentences, wire pairs and near strangers."""
    chooser, pairs = random.Random(SEED), []
    for text in sentences():
        for here, after in zip(text, text[1:], strict=False):
            pairs += [(here, after), (here, cut(here, chooser))]
    labelled = [(row["sentence1"], row["sentence2"]) for row in own("paraphrase/train.csv")]
    pairs += labelled + [(one, cut(two, chooser)) for one, two in labelled]
    ones, vectors = [one for one, _ in labelled], embed([one for one, _ in labelled])
    nearest = (vectors @ vectors.T - 2 * torch.eye(len(ones))).argmax(dim=1).tolist()
    pairs += [(one, ones[place]) for one, place in zip(ones, nearest, strict=True)]
    chooser.shuffle(pairs)
    nearness = (embed([one for one, _ in pairs]) * embed([two for _, two in pairs])).sum(dim=1)
    shares = torch.sigmoid((nearness - BORDER) / WIDTH).tolist()
    return [
        {"sentence1": one, "sentence2": two, "label": share} for (one, two), share in zip(pairs, shares, strict=True)
    ]


def main() -> None:
    tokenizer, model = begin(
        AutoModelForSequenceClassification, problem_type="multi_label_classification",
        num_labels=2, id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )  # fmt: skip

    def features(rows: list[dict]) -> list[dict]:
        found = encode(tokenizer, rows, lambda row: float(row["label"]), ("sentence1", "sentence2"))
        return [{**row, "labels": torch.tensor([1 - row["labels"], row["labels"]])} for row in found]

    def accuracy() -> str:
        found = predict(model, held_out).argmax(-1).tolist()
        right = [guess == row["labels"].argmax() for guess, row in zip(found, held_out, strict=True)]
        strict, wide = sum(right[:STRICT]) / STRICT, sum(right[STRICT:]) / len(right[STRICT:])
        return f"our validation: strict {strict:.3f}, wires {wide:.3f}, says yes {sum(found) / len(found):.2f}"

    held_out = features(own("paraphrase/validation.csv"))
    fit(model, features(graded()), epochs=2, after_epoch=accuracy)
    fit(model, features(own("paraphrase/train.csv")), epochs=6, lr=5e-4, size=16, after_epoch=accuracy)
    model.get_base_model().config.problem_type = None
    save_adapter(model, "paraphrase")


if __name__ == "__main__":
    main()
