"""`zh-sentiment`: negative or positive Chinese, from our hotel reviews alone (CC0), on the multilingual encoder.

The lower six of its twelve layers stay as they are: they know the language, and what is not taught costs no gradient.
ChnSentiCorp, on which it is measured, has no stated licence: nothing of it is used to train or to choose.
"""

import random
import sys

from transformers import AutoModelForSequenceClassification

from data.recipes import SEED
from data.recipes.metrics import accuracy
from data.recipes.publishing import publish_adapter
from data.recipes.results import Row
from data.recipes.texts import chnsenticorp, our_rows
from data.recipes.training import accuracy_on, adapted_encoder, classify, encode, labelled, tune

ROLE, BASE = "zh-sentiment", "multilingual-encoder"
NAMES = ["NEGATIVE", "POSITIVE"]
LONGEST = 160  # tokens; nine of ten reviews are shorter


def main() -> None:
    """Train on nine tenths of our reviews; the report is on the tenth that was held back."""
    model, tokenizer = upper_layers()
    texts = rows()
    held_out, taught = texts[: len(texts) // 10], texts[len(texts) // 10 :]
    held_out = features(tokenizer, held_out)
    tune(
        model,
        features(tokenizer, taught),
        2,
        lr=5e-4,
        size=16,
        report=lambda: f"held-out reviews of ours {accuracy_on(model, held_out):.3f}",
    )
    publish_adapter(ROLE, model, base=BASE)


def upper_layers():
    """The encoder with an adapter on its upper six layers, a pooler and a head: about half a million numbers learn."""
    settings = {"role": BASE, "layers": range(6, 12), "head": ("classifier", "pooler"), "rank": 8}
    return adapted_encoder(AutoModelForSequenceClassification, **settings, **labelled(NAMES))


def rows() -> list[dict]:
    """Our Chinese reviews, shuffled."""
    found = [
        {"text": row["review"], "label": int(row["label"])}
        for name in ("hotel_reviews/zh.csv", "hotel_reviews/zh_more.csv")
        for row in our_rows(name)
        if row["review"]
    ]
    return random.Random(SEED).sample(found, len(found))


def features(tokenizer, texts: list[dict]) -> list[dict]:
    """What the tokenizer makes of labelled rows."""
    return encode(tokenizer, texts, lambda row: row["label"], longest=LONGEST)


def measured() -> list[Row]:
    """Accuracy on a tenth of ChnSentiCorp."""
    test, _ = chnsenticorp()
    found = accuracy(classify(ROLE, test), [NAMES[row["label"]] for row in test])
    return [Row(f"accuracy on {len(test)} reviews of ChnSentiCorp (a seeded tenth)", found, bound=0.86, at_least=True)]


def on_real_rows() -> None:
    """What the same training gives on ChnSentiCorp's other nine tenths; half an hour on two cores, nothing is kept."""
    test, train = chnsenticorp()
    model, tokenizer = upper_layers()
    tune(model, features(tokenizer, train), 2, lr=5e-4, size=16)
    print(f"trained on {len(train):,} real reviews: {accuracy_on(model, features(tokenizer, test)):.3f}")


if __name__ == "__main__":
    on_real_rows() if "real" in sys.argv else main()
