"""`paraphrase`: do two sentences report the same thing? From our own pairs alone (CC0).

MRPC, on which it is measured, has no stated licence: nothing of it is used to train or to choose.
"""

import random

from transformers import AutoModelForSequenceClassification

from data.recipes.common import SEED, begin, encode, fit, lower_half, own, predict, save_adapter, upper_half

NAMES = ["different", "paraphrase"]


def rows() -> list[dict]:
    """Our pairs, and easier ones: a summary with its headline, or with another article's.

    A headline leaves out what its summary says besides: a paraphrase in the wide sense that MRPC's readers had, too.
    """
    pairs = [{**row, "label": int(row["label"])} for row in own("paraphrase/train.csv")]
    articles = own("articles/train.jsonl")
    others = articles[1:] + articles[:1]
    for article, other in zip(articles, others, strict=True):
        first = article["summary"].partition(". ")[0] + "."
        pairs.append({"sentence1": first, "sentence2": article["headline"] + ".", "label": 1})
        pairs.append({"sentence1": first, "sentence2": other["headline"] + ".", "label": 0})
    random.Random(SEED).shuffle(pairs)
    return pairs


def main() -> None:
    tokenizer, model = begin(
        AutoModelForSequenceClassification,
        num_labels=2, id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )

    def features(rows: list[dict]) -> list[dict]:
        return lower_half(model, encode(tokenizer, rows, lambda row: int(row["label"]), ("sentence1", "sentence2")))

    training, held_out = features(rows()), features(own("paraphrase/validation.csv"))

    def accuracy() -> str:
        found = predict(model, held_out).argmax(-1).tolist()
        right = sum(guess == row["labels"] for guess, row in zip(found, held_out, strict=True))
        return f"our validation {right / len(found):.3f}, says yes {sum(found) / len(found):.2f}"

    with upper_half(model):
        fit(model, training, epochs=5, size=16, after_epoch=accuracy)
    save_adapter(model, "paraphrase")


if __name__ == "__main__":
    main()
