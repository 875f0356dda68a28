"""`nli`: does a premise entail a hypothesis, contradict it, or neither? It also sorts texts by topics it never saw.

From two thirds of SNLI's validation pairs (CC BY-SA 4.0) and sentences about our own articles and texts (CC0). SNLI
describes scenes; our pairs teach what "This text is about …" means, which zero-shot classification asks for. AG News
and our set `topics`, on which that is measured, are not used.
"""

import random

from transformers import AutoModelForSequenceClassification

from data.recipes.common import SEED, begin, encode, fit, lower_half, own, predict, save_adapter, snli, upper_half

NAMES = ["entailment", "neutral", "contradiction"]
PATTERNS = ["This example is {}.", "This text is about {}.", "It is about {}.", "The topic is {}."]


def about() -> list[dict]:
    """Texts of ours with a sentence that names their topic or title (entailed), or those of another (contradicted)."""
    chooser = random.Random(SEED)
    articles = own("articles/train.jsonl")
    texts = [(text, a["topic"]) for a in articles for text in (a["summary"], a["headline"], a["text"].split("\n")[0])]
    titles = {row["title"]: row["context"] for row in own("questions/train.jsonl")}
    texts += [(context.partition(". ")[0] + ".", title.lower()) for title, context in titles.items()]
    topics = sorted({a["topic"] for a in articles})
    pairs = []
    for text, name in texts:
        rest = topics if name in topics else list(titles)
        other = chooser.choice([topic for topic in rest if topic.lower() != name]).lower()
        for chosen, label in ((name, 0), (other, 2)):
            pairs.append({"premise": text, "hypothesis": chooser.choice(PATTERNS).format(chosen), "label": label})
    return pairs


def main() -> None:
    tokenizer, model = begin(
        AutoModelForSequenceClassification,
        num_labels=3, id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )
    scenes = snli()[0]
    chosen, checked = scenes[:-300], scenes[-300:]  # the last 300 of the two thirds say how training goes

    def features(rows: list[dict]) -> list[dict]:
        return lower_half(model, encode(tokenizer, rows, lambda row: row["label"], ("premise", "hypothesis"), 64))

    training, held_out = features(chosen + about()), features(checked)

    def accuracy() -> str:
        found = predict(model, held_out).argmax(-1).tolist()
        right = sum(guess == row["labels"] for guess, row in zip(found, held_out, strict=True))
        return f"300 pairs of SNLI {right / len(found):.3f}"

    with upper_half(model):
        fit(model, training, epochs=2, after_epoch=accuracy)
    save_adapter(model, "nli")


if __name__ == "__main__":
    main()
