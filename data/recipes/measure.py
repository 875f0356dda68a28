"""`make bench-models`: how well each shipped model does its task, on public text that it never saw.

`python -m data.recipes.measure [ROLE …]` measures all roles or those named, writes the figures into their model cards
(between two marker comments) and into data/models/RESULTS.md. A figure that misses its goal is written down as it is.
"""

import datetime
import importlib.util
import platform
import random
import re
import string
import sys
from collections import Counter
from pathlib import Path

import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from benchmarks import Row
from data.recipes.common import (
    MODELS,
    SEED,
    ag_news,
    emotion_posts,
    encode,
    mrpc,
    own,
    pad,
    predict,
    snli,
    squad,
    sst2,
    wikitext,
)
from labs_utils.materials.catalog import checkpoint, entries
from labs_utils.session import device

BEGIN, END = "<!-- measured: written by data/recipes/measure.py -->", "<!-- /measured -->"


def load(auto_class: type, role: str):
    """The shipped model of a role and its tokenizer, as a notebook loads them."""
    folder = checkpoint(role)
    return auto_class.from_pretrained(folder).to(device()).eval(), AutoTokenizer.from_pretrained(folder)


def classify(role: str, rows: list[dict], keys: tuple[str, ...] = ("text",)) -> list[str]:
    """The label that a role's classifier gives to each row."""
    model, tokenizer = load(AutoModelForSequenceClassification, role)
    found = predict(model, encode(tokenizer, rows, lambda row: 0, keys, longest=128)).argmax(-1)
    return [model.config.id2label[number] for number in found.tolist()]


def share(pairs) -> float:
    """How many of the pairs (found, expected) agree, from 0 to 1."""
    agree = [found == expected for found, expected in pairs]
    return sum(agree) / len(agree)


# ---------------------------------------------------------------------------------------------------- one role each


def sentiment() -> list[Row]:
    """Accuracy on public and on our own sentences."""
    from data.recipes.sentiment import rows as training

    rows = sst2(seen=(row["text"] for row in training()))  # SST-2 has single words too, and so has our list of words
    found = classify("sentiment", rows)
    names = ["NEGATIVE", "POSITIVE"]
    opinions = own("opinions/test.csv")
    ours = classify("sentiment", opinions)
    return [
        Row("accuracy on 2,000 sentences of SST-2 (train.tsv, seeded sample without texts in our training set)",
            share((f, names[row["label"]]) for f, row in zip(found, rows, strict=True)), "", 0.82, True),
        Row("accuracy on the test split of our `opinions` (127 texts)",
            share((f, names[int(row["label"])]) for f, row in zip(ours, opinions, strict=True)), ""),
    ]


def emotion() -> list[Row]:
    """Accuracy on public posts and on our own test split; on the posts also after full fine-tuning on posts."""
    from data.recipes.emotion import NAMES, fully_tuned

    posts, ours = emotion_posts(), own("emotion/test.csv")
    tuned, tokenizer = fully_tuned(emotion_posts("train"))
    found = predict(tuned, encode(tokenizer, posts, lambda row: 0)).argmax(-1).tolist()
    return [
        Row("accuracy on the 2,000 validation posts of dair-ai/emotion",
            share(zip(classify("emotion", posts), (row["label"] for row in posts), strict=True)), "", 0.60, True),
        Row("accuracy on the same of the encoder fully fine-tuned on the 16,000 training posts (not shipped)",
            share((NAMES[number], row["label"]) for number, row in zip(found, posts, strict=True)), "", 0.92, True),
        Row("accuracy on the test split of our `emotion` (220 texts)",
            share(zip(classify("emotion", ours), (row["label"] for row in ours), strict=True)), ""),
    ]


def paraphrase() -> list[Row]:
    """Accuracy and F1 on MRPC's validation pairs; saying yes to all gives 0.684 and 0.812."""
    from data.recipes.paraphrase import NAMES, STRICT

    rows, keys = mrpc(), ("sentence1", "sentence2")
    found = [name == "paraphrase" for name in classify("paraphrase", rows, keys)]
    expected = [row["label"] in ("1", 1) for row in rows]
    pairs = own("paraphrase/validation.csv")
    told = classify("paraphrase", pairs, keys)
    ours = [name == NAMES[int(row["label"])] for name, row in zip(told, pairs, strict=True)]
    strict, wires = ours[:STRICT], ours[STRICT:]
    right = share(zip(found, expected, strict=True))
    return [
        Row("accuracy on MRPC validation (408 pairs; all-yes 0.684)", right, "", 0.72, True),
        Row("F1 on MRPC validation (all-yes 0.812)", f1(found, expected), "", 0.80, True),
        Row(f"accuracy on the {len(strict)} strict pairs of our validation split", sum(strict) / len(strict), ""),
        Row(f"accuracy on its {len(wires)} pairs of wire sentences", sum(wires) / len(wires), ""),
    ]


def f1(found: list[bool], expected: list[bool]) -> float:
    """The harmonic mean of precision and recall of the True class."""
    hits = sum(f and e for f, e in zip(found, expected, strict=True))
    return 2 * hits / max(1, sum(found) + sum(expected))


def nli() -> list[Row]:
    """Accuracy on held-out pairs, and zero-shot topics."""
    names = ["entailment", "neutral", "contradiction"]
    held_out = snli()[1]
    found = classify("nli", held_out, ("premise", "hypothesis"))
    topics = {"World": "world politics", "Sports": "sports", "Business": "business"}
    topics["Sci/Tech"] = "science and technology"
    kinds = ["sports", "business", "technology", "science", "health", "politics", "travel", "food"]
    news, ours = ag_news(), own("topics/test.csv")
    return [
        Row(f"accuracy on a held-out third of SNLI validation ({len(held_out):,} pairs)",
            share((f, names[row["label"]]) for f, row in zip(found, held_out, strict=True)), "", 0.76, True),
        Row("zero-shot accuracy on 1,000 rows of AG News (four topics)",
            share(zip(zero_shot(news, list(topics.values())), (topics[row["label"]] for row in news), strict=True)),
            "", 0.65, True),
        Row("zero-shot accuracy on the test split of our `topics` (116 texts, eight topics)",
            share(zip(zero_shot(ours, kinds), (kinds[int(row["label"])] for row in ours), strict=True)), ""),
    ]


def zero_shot(rows: list[dict], topics: list[str]) -> list[str]:
    """The topic whose sentence "This text is about …" each text entails most."""
    model, tokenizer = load(AutoModelForSequenceClassification, "nli")
    pairs = [{"text": row["text"], "about": f"This text is about {topic}."} for row in rows for topic in topics]
    logits = predict(model, encode(tokenizer, pairs, lambda row: 0, ("text", "about"), longest=96))
    entailed = logits[:, model.config.label2id["entailment"]].view(len(rows), len(topics))
    return [topics[number] for number in entailed.argmax(-1).tolist()]


def ner() -> list[Row]:
    """Whole entities found, with their kind, on our own test split; no public set with a clear licence is at hand."""
    model, tokenizer = load(AutoModelForTokenClassification, "ner")
    scores = entity_scores(model, tokenizer, own("entities/test.jsonl"))
    ours = "the test split of our `entities` (68 sentences)"
    return [Row(f"{name} on {ours}", value, "") for name, value in scores.items()]


def entity_scores(model, tokenizer, rows: list[dict]) -> dict[str, float]:
    """Precision, recall and F1 of whole entities (borders and kind both right)."""
    hits = guessed = there = 0
    for row in rows:
        texts = tokenizer(row["tokens"], is_split_into_words=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            best = model(**texts.to(device())).logits[0].argmax(-1).tolist()
        tags = ["O"] * len(row["tokens"])
        for place, word in reversed(list(enumerate(texts.word_ids()))):
            if word is not None:
                tags[word] = model.config.id2label[best[place]]
        found, expected = spans(tags), spans(row["ner_tags"])
        hits, guessed, there = hits + len(found & expected), guessed + len(found), there + len(expected)
    precision, recall = hits / max(1, guessed), hits / max(1, there)
    return {"entity F1": 2 * hits / max(1, guessed + there), "precision": precision, "recall": recall}


def spans(tags: list[str]) -> set[tuple]:
    """IOB2 tags as a set of (kind, first word, word after the last)."""
    found, start = set(), None
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.add((tags[start][2:], start, place))
            start = None
        if start is None and tag != "O":
            start = place
    return found


def qa() -> list[Row]:
    """Word overlap (F1) and exact answers, on five public articles and on our own test texts."""
    public = squad()[1]
    ours = [row for row in own("questions/test.jsonl") if row["answers"]["text"]]
    rows = []
    for name, asked, goal in (
        (f"five held-out articles of SQuAD 1.1 dev ({len(public):,} questions)", public, 0.60),
        (f"the test split of our `questions` ({len(ours)} with an answer)", ours, None),
    ):
        model, tokenizer = load(AutoModelForQuestionAnswering, "qa")
        scores = answer_scores(answers(model, tokenizer, asked), asked)
        rows.append(Row(f"F1 on {name}", scores[0], "", goal, True))
        rows.append(Row(f"exact match on {name}", scores[1], ""))
    return rows


@torch.no_grad()
def answers(model, tokenizer, rows: list[dict], size: int = 16, longest: int = 20) -> list[str]:
    """The best span of at most `longest` tokens in each context."""
    found = [""] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["context"]))
    for start in range(0, len(order), size):
        chosen = [rows[i] for i in order[start : start + size]]
        texts = tokenizer(
            [row["question"] for row in chosen], [row["context"] for row in chosen],
            truncation="only_second", max_length=384, padding=True, return_offsets_mapping=True, return_tensors="pt",
        )
        offsets = texts.pop("offset_mapping")
        out = model(**texts.to(device()))
        for place, i in enumerate(order[start : start + size]):
            inside = torch.tensor([number == 1 for number in texts.sequence_ids(place)])
            begins = out.start_logits[place].cpu().masked_fill(~inside, -1e4)
            ends = out.end_logits[place].cpu().masked_fill(~inside, -1e4)
            scores = (begins[:, None] + ends[None, :]).triu().tril(longest - 1) + _outside(len(begins), longest)
            first, last = divmod(scores.argmax().item(), len(begins))
            found[i] = rows[i]["context"][offsets[place, first, 0] : offsets[place, last, 1]]
    return found


def _outside(length: int, longest: int) -> torch.Tensor:
    """−10⁶ for the spans that end before they begin or are longer than allowed."""
    allowed = torch.ones(length, length).triu().tril(longest - 1)
    return (allowed - 1) * 1e6


def answer_scores(found: list[str], rows: list[dict]) -> tuple[float, float]:
    """SQuAD's F1 and exact match: the best over the answers that people gave."""
    overlaps, exact = [], []
    for answer, row in zip(found, rows, strict=True):
        scores = [_overlap(_words(answer), _words(text)) for text in row["answers"]["text"]]
        overlaps.append(max(scores))
        exact.append(any(_words(answer) == _words(text) for text in row["answers"]["text"]))
    return sum(overlaps) / len(rows), sum(exact) / len(rows)


def _words(text: str) -> list[str]:
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def _overlap(found: list[str], expected: list[str]) -> float:
    common = sum((Counter(found) & Counter(expected)).values())
    return 2 * common / max(1, len(found) + len(expected))


def masked_lm() -> list[Row]:
    """How often the hidden token is the first guess, or among the first five."""
    model, tokenizer = load(AutoModelForMaskedLM, "masked-lm")
    first, five, count = guesses(model, hide(tokenizer, wikitext("valid")[:400]))
    return [
        Row(f"top-5 accuracy on WikiText-2 valid ({count:,} hidden tokens, 15 %)", five, "", 0.45, True),
        Row("top-1 accuracy on the same", first, ""),
    ]


def hide(tokenizer, texts: list[str], share: float = 0.15, longest: int = 96, seed: int = SEED) -> list[dict]:
    """The first `longest` token ids of each text, a share of them replaced by [MASK], and what was there as labels."""
    chooser, features = random.Random(seed), []
    for ids in tokenizer(texts, truncation=True, max_length=longest)["input_ids"]:
        hidden = [i not in tokenizer.all_special_ids and chooser.random() < share for i in ids]
        features.append({
            "input_ids": [tokenizer.mask_token_id if h else i for i, h in zip(ids, hidden, strict=True)],
            "token_type_ids": [0] * len(ids), "attention_mask": [1] * len(ids),
            "labels": [i if h else -100 for i, h in zip(ids, hidden, strict=True)],
        })
    return features


@torch.no_grad()
def guesses(model, features: list[dict], size: int = 16) -> tuple[float, float, int]:
    """Top-1 accuracy, top-5 accuracy and the number of hidden tokens."""
    first = five = count = 0
    for start in range(0, len(features), size):
        batch = pad(features[start : start + size])
        labels = batch.pop("labels")
        places = labels >= 0
        logits = model(**batch).logits[places]
        best = logits.topk(5).indices == labels[places][:, None]
        first, five, count = first + best[:, 0].sum().item(), five + best.sum().item(), count + len(best)
    return first / count, five / count, count


MEASURES = {
    "sentiment": sentiment, "masked-lm": masked_lm, "ner": ner, "emotion": emotion,
    "paraphrase": paraphrase, "nli": nli, "qa": qa,
}
if importlib.util.find_spec("data.recipes.measure_generative"):
    MEASURES |= importlib.import_module("data.recipes.measure_generative").MEASURES


# ---------------------------------------------------------------------------------------------------- writing


def write(role: str, rows: list[Row]) -> None:
    """Put the figures into the model card and into data/models/RESULTS.md; other roles keep theirs."""
    lines = ["| what | measured | goal | |", "| --- | --- | --- | --- |", *(row.markdown() for row in rows)]
    table = "\n".join(lines)
    card = MODELS / role / "README.md"
    text = card.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{card} has no place for the figures: put the lines {BEGIN} and {END} into it.")
    head, rest = text.split(BEGIN, 1)
    _replace(card, f"{head}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}")
    results = MODELS / "RESULTS.md"
    parts = results.read_text(encoding="utf-8").split("\n## ")[1:] if results.is_file() else []
    sections = {part.partition("\n")[0]: part.strip() for part in parts}
    sections[role] = f"{role}\n\n{_when()}\n\n{table}"
    head = "# What the shipped models can do\n\nWritten by `make bench-models`; the cards say what was held out."
    _replace(results, "\n\n".join([head, *(f"## {sections[name]}" for name in sorted(sections))]) + "\n")


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.tmp")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _when() -> str:
    return f"{datetime.date.today()}, {device()}, PyTorch {torch.__version__.split('+')[0]}, {platform.system()}."


def main(chosen: list[str]) -> None:
    unknown = set(chosen) - set(MEASURES)
    if unknown:
        sys.exit(f"No measure is called {', '.join(sorted(unknown))}. There are: {', '.join(sorted(MEASURES))}.")
    for role, measure in MEASURES.items():
        if role in (chosen or entries()["models"]):
            rows = measure()
            for row in rows:
                print(f"{role}: {row.markdown()}", flush=True)
            write(role, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
