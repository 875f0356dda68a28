"""`emotion`: one of six feelings, from our own short texts and a list of feeling words alone (CC0).

The posts on which it is measured are for research only: nothing of them is used to train or to choose.
"""

import re
from pathlib import Path

from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

from data.recipes.common import SEED, begin, encode, fit, own, predict, save_adapter
from labs_utils.materials.catalog import checkpoint
from labs_utils.session import device

NAMES = ["sadness", "joy", "love", "anger", "fear", "surprise"]


def bare(text: str) -> str:
    """A text as people type it in a hurry: no capitals, no punctuation ("didnt")."""
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s]", "", text.lower().replace("-", " "))).strip()


def rows() -> list[dict]:
    """Every other text as typed in a hurry, the rest as they are, and each feeling word in a plain sentence."""
    texts = own("emotion/train.csv")
    listed = Path(__file__).with_name("emotion_words.txt").read_text(encoding="utf-8").splitlines()
    words = [
        {"text": f"i feel {word.strip()}", "label": line.partition(":")[0]}
        for line in listed
        if not line.startswith("#")
        for word in line.partition(":")[2].split(",")
    ]
    return texts[::2] + [{**row, "text": bare(row["text"])} for row in texts[1::2]] + words


def fully_tuned(texts: list[dict], epochs: int = 3):
    """The encoder with all its weights trained on `texts`, and its tokenizer: to measure with, not to ship."""
    set_seed(SEED)
    encoder = checkpoint("encoder")
    classes = {"num_labels": 6, "id2label": dict(enumerate(NAMES)), "label2id": {n: i for i, n in enumerate(NAMES)}}
    model = AutoModelForSequenceClassification.from_pretrained(encoder, **classes).to(device())
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    features = encode(tokenizer, texts, lambda row: NAMES.index(row["label"]), longest=64)
    fit(model, features, epochs=epochs, lr=2e-4)
    return model, tokenizer


def main() -> None:
    tokenizer, model = begin(
        AutoModelForSequenceClassification,
        num_labels=6, id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )

    def number(row: dict) -> int:
        return NAMES.index(row["label"])

    features = encode(tokenizer, rows(), number, longest=64)
    held_out = encode(tokenizer, own("emotion/validation.csv"), number)

    def accuracy() -> str:
        found = predict(model, held_out).argmax(-1).tolist()
        right = sum(guess == row["labels"] for guess, row in zip(found, held_out, strict=True))
        return f"our validation {right / len(found):.3f}"

    fit(model, features, epochs=10, after_epoch=accuracy)
    save_adapter(model, "emotion")


if __name__ == "__main__":
    main()
