"""The course's texts: as many as promised, whole, nearly all different, honestly labelled, loadable by the library."""

import re
from collections import Counter, defaultdict

import pytest
import yaml
from datasets import load_dataset

from labs_utils.materials.catalog import dataset, entries
from labs_utils.paths import ROOT

# role -> {config: (columns that hold the text, smallest number of rows)}
PROMISED = {
    "articles": {None: (["text"], 160)},
    "emotion": {None: (["text"], 1800)},
    "entities": {None: (["text"], 600)},
    "hotel_reviews": {"zh": (["review"], 1000), "zh_more": (["review"], 2000), "en": (["review"], 1000)},
    "messy_reviews": {None: (["review"], 800)},
    "opinions": {None: (["text"], 1200)},
    "paraphrase": {None: (["sentence1", "sentence2"], 600)},
    "parallel": {"fr-en": (["fr", "en"], 400), "zh-en": (["zh", "en"], 400)},
    "questions": {None: (["question"], 680)},
    "stories": {None: (["text"], 100)},
    "topics": {None: (["text"], 480)},
}
SETS = [(role, config) for role, configs in PROMISED.items() for config in configs]
each_set = pytest.mark.parametrize(("role", "config"), SETS)


def load(role: str, config: str | None = None):
    return load_dataset(dataset(role), config)


def test_every_role_is_promised():
    assert set(PROMISED) == set(entries()["datasets"])


@each_set
def test_there_are_as_many_rows_as_promised(role, config):
    columns, smallest = PROMISED[role][config]
    splits = load(role, config)
    assert sum(map(len, splits.values())) >= smallest
    for split in splits.values():
        assert set(columns) <= set(split.column_names)


def grams(text: str) -> frozenset:
    """Word 3-grams, or character 3-grams for Chinese; a shorter text is one gram."""
    units = re.sub(r"\s", "", text) if re.search(r"[\u4e00-\u9fff]", text) else re.findall(r"\w+", text.lower())
    return frozenset(tuple(units[start : start + 3]) for start in range(max(1, len(units) - 2)))


def near_duplicates(texts: list[str]) -> int:
    """How many texts have an earlier one with a Jaccard similarity of 3-grams of at least 0.8."""
    seen, places, found = [grams(text) for text in texts], defaultdict(set), 0
    common = Counter(gram for own in seen for gram in own)
    for own in seen:
        # At most a fifth of either can be missing in the other, so one of the rarest grams, a fifth and one, is shared.
        rarest = sorted(own, key=lambda gram: (common[gram], gram))[: len(own) // 5 + 1]
        candidates = set().union(*(places[gram] for gram in rarest))
        found += any(len(own & other) / len(own | other) >= 0.8 for other in candidates)
        for gram in rarest:
            places[gram].add(own)
    return found


@each_set
def test_near_duplicates_are_under_one_percent_across_all_splits(role, config):
    columns, _ = PROMISED[role][config]
    for column in columns:
        texts = [text for split in load(role, config).values() for text in split[column] if text]
        allowed = 0.011 if role == "messy_reviews" else 0.01  # its card promises about one percent of exact copies
        assert near_duplicates(texts) <= allowed * len(texts)


def test_the_near_duplicate_count_counts():
    text = "the quick brown fox jumps over the lazy dog every single morning"
    assert near_duplicates([text, text + " again", "something else altogether happened in the village"]) == 1


@pytest.mark.parametrize("role", sorted(PROMISED))
def test_every_card_says_what_the_set_is(role):
    card = (ROOT / "data" / "datasets" / role / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc0-1.0"
    assert "synthetic" in body
    for word in ("What it is for", "How it was written", "Fields", "flaws", "Licence"):
        assert word.lower() in body.lower(), word


def test_hotel_reviews_are_mostly_positive_with_a_few_empty():
    for config in ("zh", "en"):
        rows = load("hotel_reviews", config)["train"]
        empty = sum(not review for review in rows["review"])
        assert 3 <= empty <= 10
        assert 0.65 <= sum(rows["label"]) / len(rows) <= 0.75


def test_emotion_has_six_uneven_classes_in_every_split():
    splits = load("emotion")
    assert splits["train"].features["label"].names == ["sadness", "joy", "love", "anger", "fear", "surprise"]
    for split in splits.values():
        counts = Counter(split["label"])
        assert len(counts) == 6 and max(counts.values()) > 4 * min(counts.values())


def test_opinions_are_balanced_with_hard_kinds():
    splits = load("opinions")
    kinds = Counter(kind for split in splits.values() for kind in split["kind"])
    assert kinds["irony"] >= 90 and kinds["mixed"] >= 150 and kinds["negation"] >= 150
    for split in splits.values():
        assert 0.45 <= sum(split["label"]) / len(split) <= 0.55


def test_entity_tags_and_offsets_say_the_same():
    for split in load("entities").values():
        for row in split:
            position, spans = 0, []
            for token, tag in zip(row["tokens"], row["ner_tags"], strict=True):
                position = row["text"].index(token, position)
                prefix, _, label = tag.partition("-")
                assert prefix in "BIO" and not (prefix == "I" and (not spans or spans[-1]["label"] != label))
                if prefix == "B":
                    spans.append({"start": position, "end": position + len(token), "label": label})
                elif prefix == "I":
                    spans[-1]["end"] = position + len(token)
                position += len(token)
            given = [{key: entity[key] for key in ("start", "end", "label")} for entity in row["entities"]]
            assert spans == given, row["text"]
            assert all(row["text"][one["start"] : one["end"]] == one["text"] for one in row["entities"])


def test_answers_are_exact_spans_and_some_questions_have_none():
    contexts, answerable, unanswerable = {}, 0, 0
    for name, split in load("questions").items():
        for row in split:
            contexts.setdefault(row["context"], name)
            assert contexts[row["context"]] == name, "a context stands in two splits"
            answerable += bool(row["answers"]["text"])
            unanswerable += not row["answers"]["text"]
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
                assert row["context"][start : start + len(text)] == text
    assert len(contexts) >= 200 and answerable >= 600 and unanswerable >= 80


def test_articles_have_a_headline_and_a_short_summary():
    for split in load("articles").values():
        for row in split:
            assert 150 <= len(row["text"].split()) <= 300, row["id"]
            assert 4 <= len(row["headline"].split()) <= 13
            assert 15 <= len(row["summary"].split()) <= 55


def test_stories_have_thirty_thousand_words():
    assert sum(len(text.split()) for split in load("stories").values() for text in split["text"]) >= 30_000


def test_messy_reviews_are_messy_in_the_promised_ways():
    rows = load("messy_reviews")["train"].to_pandas()
    words = rows["review"].fillna("").str.split().str.len()
    assert rows["review"].str.contains("&#039;").mean() > 0.2
    assert 0.03 < rows["condition_note"].isna().mean() < 0.08
    assert words.min() == 1 and words.max() > 250 and (words <= 5).sum() >= 60


def test_topics_are_about_equally_many():
    counts = Counter(label for split in load("topics").values() for label in split["label"])
    assert len(counts) == 8 and max(counts.values()) - min(counts.values()) <= 5
