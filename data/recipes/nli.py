"""`nli`: does a premise entail a hypothesis, contradict it, or neither? It also sorts texts by topics.

From two thirds of SNLI's validation pairs (CC BY-SA 4.0), sentences about our own articles and texts (CC0), and texts
whose topic the encoder itself has named (ours, and WikiText-2's training part, CC BY-SA). SNLI describes scenes; the
others teach what "This text is about …" means, which zero-shot classification asks for. AG News and our set `topics`,
on which that is measured, are not used.
"""

import random

from transformers import AutoModelForSequenceClassification

from data.recipes.common import (
    SEED,
    begin,
    embed,
    encode,
    fit,
    own,
    predict,
    save_adapter,
    snli,
    wikitext,
)

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


SUBJECTS = """
agriculture, animals, architecture, art, astronomy, aviation, books, business, children, cinema, cities, climate,
computers, cooking, crime, dance, economics, education, energy, engineering, environment, families, fashion,
finance, food, football, friendship, games, gardens, geography, government, health, history, holidays, hotels,
industry, international relations, jobs, law, literature, mathematics, medicine, military, music, nature,
philosophy, physics, plants, politics, religion, restaurants, schools, science, science and technology, ships,
shopping, society, software, space, sports, technology, television, theatre, trade, traffic, travel, war, weather,
wildlife, world news
""".replace("\n", " ").strip().split(", ")


def passages() -> list[str]:
    """Some 2,600 passages of about 30 words on all kinds of subjects, for the encoder to name their topic."""
    ours = [part for a in own("articles/train.jsonl") for part in a["text"].split("\n") if part]
    ours += [row["text"] for row in own("stories/train.jsonl")] + [
        row["context"] for row in own("questions/train.jsonl")
    ]
    ours += [row["review"] for row in own("hotel_reviews/en.csv") if row["review"]][:200]
    chooser = random.Random(SEED)
    cut = [" ".join(text.split()[:30]) for text in dict.fromkeys(ours)]
    return chooser.sample(cut, min(1300, len(cut))) + [
        " ".join(text.split()[:30]) for text in chooser.sample(wikitext("train"), 1300)
    ]


def named_by_the_encoder() -> list[dict]:
    """Each passage with the subject nearest to its vector (entailed) and two of the farther half (contradicted)."""
    texts = passages()
    nearness = embed(texts) @ embed([f"This text is about {subject}." for subject in SUBJECTS]).T
    order = (nearness - nearness.mean(0)).argsort(dim=1, descending=True).tolist()  # some subjects are near everything
    chooser, pairs = random.Random(SEED), []
    for text, ranks in zip(texts, order, strict=True):
        others = chooser.sample(ranks[len(ranks) // 2 :], 2)
        for rank, label in ((ranks[0], 0), (others[0], 2), (others[1], 2)):
            hypothesis = chooser.choice(PATTERNS).format(SUBJECTS[rank])
            pairs.append({"premise": text, "hypothesis": hypothesis, "label": label})
    return pairs


def main() -> None:
    tokenizer, model = begin(
        AutoModelForSequenceClassification,
        num_labels=3,
        id2label=dict(enumerate(NAMES)),
        label2id={name: i for i, name in enumerate(NAMES)},
    )
    scenes = snli()[0]
    chosen, checked = scenes[:-300], scenes[-300:]  # the last 300 of the two thirds say how training goes

    def features(rows: list[dict]) -> list[dict]:
        return encode(tokenizer, rows, lambda row: row["label"], ("premise", "hypothesis"), 64)

    training, held_out = features(chosen + about() + named_by_the_encoder()), features(checked)

    def accuracy() -> str:
        found = predict(model, held_out).argmax(-1).tolist()
        right = sum(guess == row["labels"] for guess, row in zip(found, held_out, strict=True))
        return f"300 pairs of SNLI {right / len(found):.3f}"

    fit(model, training, epochs=5, after_epoch=accuracy)
    save_adapter(model, "nli")


if __name__ == "__main__":
    main()
