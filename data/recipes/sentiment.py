"""`sentiment`: negative or positive, from our opinions, reviews, emotions and a list of words alone (CC0).

SST-2, on which it is measured, has no stated licence: nothing of it is used to train or to choose.
"""

import html
from pathlib import Path

from transformers import AutoModelForSequenceClassification

from data.recipes.common import begin, encode, fit, own, predict, save_adapter

NAMES = ["NEGATIVE", "POSITIVE"]
CHEERFUL = {"joy": 1, "love": 1, "sadness": 0, "anger": 0, "fear": 0}  # surprise goes either way, and is left out


def words() -> list[dict]:
    """Words and short phrases: in the file beside this one a line of praise begins with +, a line of blame with -."""
    lines = Path(__file__).with_name("sentiment_words.txt").read_text(encoding="utf-8").splitlines()
    return [
        {"text": phrase.strip(), "label": int(line[0] == "+")}
        for line in lines
        if line[0] in "+-"
        for phrase in line[2:].split(",")
    ]


def rows() -> list[dict]:
    """Every labelled text of ours that says whether its writer is pleased."""
    opinions = [{"text": r["text"], "label": int(r["label"])} for r in own("opinions/train.csv")]
    hotels = [{"text": r["review"], "label": int(r["label"])} for r in own("hotel_reviews/en.csv") if r["review"]]
    reviews = [
        {"text": html.unescape(r["review"]), "label": int(int(r["rating"]) >= 8)}
        for r in own("messy_reviews/reviews.tsv")
        if not 4 <= int(r["rating"]) <= 7 and 1 < len(r["review"].split()) < 60
    ]
    emotions = [
        {"text": r["text"], "label": CHEERFUL[r["label"]]} for r in own("emotion/train.csv") if r["label"] in CHEERFUL
    ]
    return words() + opinions + hotels + reviews + emotions


def main() -> None:
    tokenizer, model = begin(
        AutoModelForSequenceClassification,
        num_labels=2, id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )
    held = own("opinions/validation.csv") + own("opinions/test.csv")
    held_out = encode(tokenizer, held, lambda row: int(row["label"]))

    def accuracy() -> str:
        found = predict(model, held_out).argmax(-1).tolist()
        right = sum(guess == row["labels"] for guess, row in zip(found, held_out, strict=True))
        return f"held-out opinions {right / len(found):.3f}"

    features = encode(tokenizer, rows(), lambda row: row["label"], longest=64)
    fit(model, features, epochs=4, lr=5e-4, after_epoch=accuracy)
    save_adapter(model, "sentiment")


if __name__ == "__main__":
    main()
