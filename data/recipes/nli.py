"""`nli`: does a premise entail a hypothesis, contradict it, or neither? It also sorts texts by topics.

From two thirds of SNLI's validation pairs (CC BY-SA 4.0), sentences about our own articles and texts (CC0), and texts
whose topic the encoder itself has named (ours, and WikiText-2's training part, CC BY-SA). SNLI describes scenes; the
others teach what "This text is about …" means, which zero-shot classification asks for. AG News and our set `topics`,
on which that is measured, are not used.
"""

import random

from transformers import AutoModelForSequenceClassification

from data.recipes import SEED
from data.recipes.metrics import accuracy
from data.recipes.publishing import publish_adapter
from data.recipes.results import Row
from data.recipes.texts import ag_news, our_rows, snli, wikitext
from data.recipes.training import (
    accuracy_on,
    adapted_encoder,
    classify,
    embed,
    encode,
    labelled,
    load,
    predict,
    tune,
)

NAMES = ["entailment", "neutral", "contradiction"]
PAIR = ("premise", "hypothesis")
WATCHED = 300  # so many of the pairs of SNLI that may be trained on say how training goes
PATTERNS = ["This example is {}.", "This text is about {}.", "It is about {}.", "The topic is {}."]
SUBJECTS = """
agriculture, animals, architecture, art, astronomy, aviation, books, business, children, cinema, cities, climate,
computers, cooking, crime, dance, economics, education, energy, engineering, environment, families, fashion,
finance, food, football, friendship, games, gardens, geography, government, health, history, holidays, hotels,
industry, international relations, jobs, law, literature, mathematics, medicine, military, music, nature,
philosophy, physics, plants, politics, religion, restaurants, schools, science, science and technology, ships,
shopping, society, software, space, sports, technology, television, theatre, trade, traffic, travel, war, weather,
wildlife, world news
"""


def main() -> None:
    model, tokenizer = adapted_encoder(AutoModelForSequenceClassification, **labelled(NAMES))

    def features(rows: list[dict]) -> list[dict]:
        return encode(tokenizer, rows, lambda row: row["label"], PAIR, 64)

    scenes = snli()[0]
    watched = features(scenes[-WATCHED:])
    pairs = scenes[:-WATCHED] + about_our_texts() + named_by_the_encoder()
    tune(model, features(pairs), 5, report=lambda: f"{WATCHED} pairs of SNLI {accuracy_on(model, watched):.3f}")
    publish_adapter("nli", model)


def about_our_texts() -> list[dict]:
    """Texts of ours with a sentence that names their topic or title (entailed), or those of another (contradicted)."""
    chooser, pairs = random.Random(SEED), []
    articles = our_rows("articles/train.jsonl")
    texts = [
        (text, row["topic"]) for row in articles for text in (row["summary"], row["headline"], first_part(row["text"]))
    ]
    titles = {row["title"]: row["context"] for row in our_rows("questions/train.jsonl")}
    texts += [(context.partition(". ")[0] + ".", title.lower()) for title, context in titles.items()]
    topics = sorted({row["topic"] for row in articles})
    for text, name in texts:
        names = topics if name in topics else list(titles)
        other = chooser.choice([topic for topic in names if topic.lower() != name]).lower()
        for chosen, label in ((name, "entailment"), (other, "contradiction")):
            pairs.append(pair(text, chooser.choice(PATTERNS).format(chosen), label))
    return pairs


def first_part(text: str) -> str:
    """The first paragraph."""
    return text.split("\n")[0]


def pair(premise: str, hypothesis: str, label: str) -> dict:
    """A row with the number of its label."""
    return {"premise": premise, "hypothesis": hypothesis, "label": NAMES.index(label)}


def named_by_the_encoder() -> list[dict]:
    """Each passage with the subject nearest to its vector (entailed) and two of the farther half (contradicted)."""
    texts, subjects = passages(), " ".join(SUBJECTS.split()).split(", ")
    nearness = embed(texts) @ embed([f"This text is about {subject}." for subject in subjects]).T
    order = (nearness - nearness.mean(0)).argsort(dim=1, descending=True).tolist()  # some subjects are near everything
    chooser, pairs = random.Random(SEED), []
    for text, ranks in zip(texts, order, strict=True):
        others = chooser.sample(ranks[len(ranks) // 2 :], 2)
        for rank, label in ((ranks[0], "entailment"), *((rank, "contradiction") for rank in others)):
            pairs.append(pair(text, chooser.choice(PATTERNS).format(subjects[rank]), label))
    return pairs


def passages() -> list[str]:
    """Some 2,600 passages of about 30 words on all kinds of subjects, for the encoder to name their topic."""
    ours = [part for row in our_rows("articles/train.jsonl") for part in row["text"].split("\n") if part]
    ours += [row["text"] for row in our_rows("stories/train.jsonl")]
    ours += [row["context"] for row in our_rows("questions/train.jsonl")]
    ours += [row["review"] for row in our_rows("hotel_reviews/en.csv") if row["review"]][:200]
    chooser = random.Random(SEED)
    cut = [" ".join(text.split()[:30]) for text in dict.fromkeys(ours)]
    chosen = chooser.sample(cut, min(1300, len(cut)))
    return chosen + [" ".join(text.split()[:30]) for text in chooser.sample(wikitext("train"), 1300)]


def measured() -> list[Row]:
    """Accuracy on held-out pairs, and zero-shot topics."""
    held_out, news, ours = snli()[1], ag_news(), our_rows("topics/test.csv")
    topics = {"World": "world politics", "Sports": "sports", "Business": "business"}
    topics["Sci/Tech"] = "science and technology"
    subjects = ["sports", "business", "technology", "science", "health", "politics", "travel", "food"]
    return [
        Row(
            f"accuracy on a held-out third of SNLI validation ({len(held_out):,} pairs)",
            accuracy(classify("nli", held_out, PAIR), [NAMES[row["label"]] for row in held_out]),
            bound=0.76,
            at_least=True,
        ),
        Row(
            "zero-shot accuracy on 1,000 rows of AG News (four topics)",
            accuracy(zero_shot(news, list(topics.values())), [topics[row["label"]] for row in news]),
            bound=0.65,
            at_least=True,
        ),
        Row(
            "zero-shot accuracy on the test split of our `topics` (116 texts, eight topics)",
            accuracy(zero_shot(ours, subjects), [subjects[int(row["label"])] for row in ours]),
        ),
    ]


def zero_shot(rows: list[dict], topics: list[str]) -> list[str]:
    """The topic whose sentence "This text is about …" each text entails most."""
    model, tokenizer = load(AutoModelForSequenceClassification, "nli")
    pairs = [{"text": row["text"], "about": f"This text is about {topic}."} for row in rows for topic in topics]
    logits = predict(model, encode(tokenizer, pairs, keys=("text", "about")))
    entailed = logits[:, model.config.label2id["entailment"]].view(len(rows), len(topics))
    return [topics[number] for number in entailed.argmax(-1).tolist()]


if __name__ == "__main__":
    main()
