"""`sentiment`: negative or positive, from our opinions, reviews, emotions and a list of words alone (CC0).

SST-2, on which it is measured, has no stated licence: nothing of it is used to train or to choose.
"""

import html
from pathlib import Path

from transformers import AutoModelForSequenceClassification

from data.recipes.metrics import accuracy
from data.recipes.publishing import publish_adapter
from data.recipes.results import Row
from data.recipes.texts import our_rows, sst2
from data.recipes.training import accuracy_on, adapted_encoder, classify, encode, labelled, tune

NAMES = ["NEGATIVE", "POSITIVE"]
CHEERFUL = {"joy": 1, "love": 1, "sadness": 0, "anger": 0, "fear": 0}  # surprise goes either way, and is left out


def main() -> None:
    model, tokenizer = adapted_encoder(AutoModelForSequenceClassification, **labelled(NAMES))
    opinions = our_rows("opinions/validation.csv") + our_rows("opinions/test.csv")
    held_out = encode(tokenizer, opinions, lambda row: int(row["label"]))
    features = encode(tokenizer, rows(), lambda row: row["label"], longest=64)
    tune(model, features, 4, lr=5e-4, report=lambda: f"held-out opinions {accuracy_on(model, held_out):.3f}")
    publish_adapter("sentiment", model)


def rows() -> list[dict]:
    """Every labelled text of ours that says whether its writer is pleased."""
    opinions = [{"text": row["text"], "label": int(row["label"])} for row in our_rows("opinions/train.csv")]
    hotels = [
        {"text": row["review"], "label": int(row["label"])} for row in our_rows("hotel_reviews/en.csv") if row["review"]
    ]
    reviews = [
        {"text": html.unescape(row["review"]), "label": int(int(row["rating"]) >= 8)}
        for row in our_rows("messy_reviews/reviews.tsv")
        if not 4 <= int(row["rating"]) <= 7 and 1 < len(row["review"].split()) < 60
    ]
    emotions = [
        {"text": row["text"], "label": CHEERFUL[row["label"]]}
        for row in our_rows("emotion/train.csv")
        if row["label"] in CHEERFUL
    ]
    return words() + opinions + hotels + reviews + emotions


def words() -> list[dict]:
    """Words and short phrases: in the file beside this one a line of praise begins with +, a line of blame with -."""
    lines = Path(__file__).with_name("sentiment_words.txt").read_text(encoding="utf-8").splitlines()
    return [
        {"text": phrase.strip(), "label": int(line[0] == "+")}
        for line in lines
        if line[0] in "+-"
        for phrase in line[2:].split(",")
    ]


def measured() -> list[Row]:
    """Accuracy on public and on our own sentences."""
    reviews = sst2(seen=(row["text"] for row in rows()))  # SST-2 has single words too, and so has our list of words
    opinions = our_rows("opinions/test.csv")
    return [
        Row(
            "accuracy on 2,000 sentences of SST-2 (train.tsv, seeded sample without texts in our training set)",
            accuracy(classify("sentiment", reviews), [NAMES[row["label"]] for row in reviews]),
            bound=0.82,
            at_least=True,
        ),
        Row(
            "accuracy on the test split of our `opinions` (127 texts)",
            accuracy(classify("sentiment", opinions), [NAMES[int(row["label"])] for row in opinions]),
        ),
    ]


if __name__ == "__main__":
    main()
