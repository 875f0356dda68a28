"""`emotion`: one of six feelings, from our own short texts and a list of feeling words alone (CC0).

The posts on which it is measured are for research only: nothing of them is used to train or to choose.
"""

import re
from pathlib import Path

from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase, set_seed

from data.recipes import SEED
from data.recipes.metrics import accuracy
from data.recipes.publishing import publish_adapter
from data.recipes.results import Row
from data.recipes.texts import EMOTIONS, emotion_posts, our_rows
from data.recipes.training import accuracy_on, adapted_encoder, classify, encode, labelled, load, tune


def main() -> None:
    model, tokenizer = adapted_encoder(AutoModelForSequenceClassification, **labelled(EMOTIONS))
    features = encode(tokenizer, rows(), number, longest=64)
    held_out = encode(tokenizer, our_rows("emotion/validation.csv"), number)
    tune(model, features, 10, report=lambda: f"our validation {accuracy_on(model, held_out):.3f}")
    publish_adapter("emotion", model)


def number(row: dict) -> int:
    """The number of a row's feeling."""
    return EMOTIONS.index(row["label"])


def rows() -> list[dict]:
    """Every other text as typed in a hurry, the rest as they are, and each feeling word in a plain sentence."""
    texts = our_rows("emotion/train.csv")
    return texts[::2] + [{**row, "text": bare(row["text"])} for row in texts[1::2]] + words()


def bare(text: str) -> str:
    """A text as people type it in a hurry: no capitals, no punctuation.

    >>> bare("I'm fine - really!")
    'im fine really'
    """
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s]", "", text.lower().replace("-", " "))).strip()


def words() -> list[dict]:
    """The feeling words, each in a sentence: the file beside this one has lines of a feeling, a colon, its words."""
    lines = Path(__file__).with_name("emotion_words.txt").read_text(encoding="utf-8").splitlines()
    return [
        {"text": f"i feel {word.strip()}", "label": line.partition(":")[0]}
        for line in lines
        if not line.startswith("#")
        for word in line.partition(":")[2].split(",")
    ]


def measured() -> list[Row]:
    """Accuracy on public posts and on our own test split; on the posts also after full fine-tuning on posts."""
    posts, ours = emotion_posts(), our_rows("emotion/test.csv")
    tuned, tokenizer = fully_tuned(emotion_posts("train"))
    return [
        Row(
            "accuracy on the 2,000 validation posts of dair-ai/emotion",
            accuracy(classify("emotion", posts), [row["label"] for row in posts]),
            bound=0.60,
            at_least=True,
        ),
        Row(
            "accuracy on the same of the encoder fully fine-tuned on the 16,000 training posts (not shipped)",
            accuracy_on(tuned, encode(tokenizer, posts, number)),
            bound=0.92,
            at_least=True,
        ),
        Row(
            "accuracy on the test split of our `emotion` (220 texts)",
            accuracy(classify("emotion", ours), [row["label"] for row in ours]),
        ),
    ]


def fully_tuned(texts: list[dict], epochs: int = 3) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The encoder with all its weights trained on `texts`, and its tokenizer: to measure with, not to ship."""
    set_seed(SEED)
    model, tokenizer = load(AutoModelForSequenceClassification, "encoder", **labelled(EMOTIONS))
    tune(model, encode(tokenizer, texts, number, longest=64), epochs, lr=2e-4)
    return model, tokenizer


if __name__ == "__main__":
    main()
