"""`paraphrase`: do two sentences report the same thing? From our own text alone (CC0).

Our labelled pairs are few, and the encoder has never read two sentences at once. So most of what it learns from are
pairs cut out of our own texts and judged by the encoder itself, which compares two single sentences well: it teaches
its two-sentence form what its one-sentence form knows. MRPC, on which the result is measured, has no stated licence:
nothing of it is used to train or to choose.
"""

import random
import re

import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from data.recipes.common import SEED, begin, encode, fit, lower_half, own, predict, save_adapter, upper_half
from labs_utils.catalog import checkpoint

NAMES = ["different", "paraphrase"]
SENTENCES = 1500
ALIKE = 0.8  # the cosine from which two sentences count as the same


def cut(words: list[str], chooser: random.Random) -> str:
    """A sentence without a run of up to half of its words, and sometimes with its halves exchanged."""
    gone = chooser.randint(0, len(words) // 2)
    start = chooser.randint(0, len(words) - gone)
    left = words[:start] + words[start + gone :]
    middle = len(left) // 2
    return " ".join(left[middle:] + left[:middle] if chooser.random() < 0.2 else left)


def judged() -> list[dict]:
    """Pairs of cut sentences and of neighbours from our articles, labelled by the cosine of the encoder's vectors."""
    chooser = random.Random(SEED)
    texts = [re.split(r"(?<=[.!?])\s+", row["text"]) for row in own("articles/train.jsonl")]
    runs = [(a, b) for text in texts for a, b in zip(text, text[1:], strict=False) if 10 <= len(a.split()) <= 32]
    pairs = []
    for sentence, following in chooser.sample(runs, SENTENCES):
        words = sentence.split()
        other = following if chooser.random() < 0.15 else cut(words, chooser)
        pairs.append({"sentence1": cut(words, chooser), "sentence2": other})
    firsts, seconds = (vectors([pair[key] for pair in pairs]) for key in ("sentence1", "sentence2"))
    for pair, cosine in zip(pairs, (firsts * seconds).sum(-1).tolist(), strict=True):
        pair["label"] = int(cosine >= ALIKE)
    return pairs


@torch.no_grad()
def vectors(texts: list[str], size: int = 64) -> torch.Tensor:
    """The encoder's sentence vectors, as it was trained to make them: the mean over tokens, of length one."""
    folder = checkpoint("encoder")
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    found = []
    for start in range(0, len(texts), size):
        batch = tokenizer(texts[start : start + size], padding=True, return_tensors="pt")
        mask = batch["attention_mask"][..., None]
        found.append((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(torch.cat(found))


def rows() -> list[dict]:
    """Our labelled pairs in both orders, and the judged ones."""
    labelled = [{**row, "label": int(row["label"])} for row in own("paraphrase/train.csv")]
    swapped = [{"sentence1": r["sentence2"], "sentence2": r["sentence1"], "label": r["label"]} for r in labelled]
    return labelled + swapped + judged()


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
        fit(model, training, epochs=2, size=16, after_epoch=accuracy)
    save_adapter(model, "paraphrase")


if __name__ == "__main__":
    main()
