"""Figures that say how good an answer is. Each takes what was found and what was expected, in the same order.

Accuracy and F1 are scikit-learn's. The others are written out: `evaluate` fetches its metrics from the Hub, and what it
fetches needs packages that the course does not have.
"""

import re
import string
from collections import Counter

from sklearn.metrics import accuracy_score, f1_score


def accuracy(found: list, expected: list) -> float:
    """The share of answers that are the expected ones.

    >>> accuracy(["joy", "fear"], ["joy", "love"])
    0.5
    """
    return float(accuracy_score(expected, found))


def f1(found: list[bool], expected: list[bool]) -> float:
    """The harmonic mean of precision and recall of the True class.

    >>> f1([True, True, False], [True, False, False])
    0.6666666666666666
    """
    return float(f1_score(expected, found, zero_division=0.0))


# ---------------------------------------------------------------------------------------------------- entities


def entity_scores(found: list[list[str]], expected: list[list[str]]) -> dict[str, float]:
    """F1, precision and recall of whole entities in texts of IOB2 tags; borders and label must both agree.

    >>> entity_scores([["B-PER", "I-PER", "B-LOC"]], [["B-PER", "I-PER", "O"]])
    {'entity F1': 0.6666666666666666, 'precision': 0.5, 'recall': 1.0}
    """
    hits = guessed = present = 0
    for some, others in zip(found, expected, strict=True):
        ours, theirs = spans(some), spans(others)
        hits, guessed, present = hits + len(ours & theirs), guessed + len(ours), present + len(theirs)
    return {
        "entity F1": 2 * hits / max(1, guessed + present),
        "precision": hits / max(1, guessed),
        "recall": hits / max(1, present),
    }


def spans(tags: list[str]) -> set[tuple[str, int, int]]:
    """IOB2 tags as a set of (label, first word, word after the last).

    >>> sorted(spans(["B-PER", "I-PER", "O", "B-LOC"]))
    [('LOC', 3, 4), ('PER', 0, 2)]
    """
    found, start = set(), None
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.add((tags[start][2:], start, place))
            start = None
        if start is None and tag != "O":
            start = place
    return found


# ---------------------------------------------------------------------------------------------------- written answers


def answer_scores(found: list[str], expected: list[list[str]]) -> tuple[float, float]:
    """SQuAD's F1 and exact match: of the answers that people gave to a question, the nearest counts.

    >>> answer_scores(["the river Dal"], [["Dal", "River Dal."]])
    (1.0, 1.0)
    """
    pairs = [[(_words(answer), _words(text)) for text in texts] for answer, texts in zip(found, expected, strict=True)]
    overlaps = [max(_overlap(one, other) for one, other in several) for several in pairs]
    exact = [any(one == other for one, other in several) for several in pairs]
    return sum(overlaps) / len(found), sum(exact) / len(found)


def _words(text: str) -> list[str]:
    """A text's words as SQuAD compares them: no capitals, no punctuation, no articles."""
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def _overlap(found: list[str], expected: list[str]) -> float:
    common = (Counter(found) & Counter(expected)).total()
    return 2 * common / max(1, len(found) + len(expected))


# ---------------------------------------------------------------------------------------------------- translations


def chrf(found: list[str], expected: list[str], longest: int = 6, beta: float = 2.0) -> float:
    """Corpus chrF (Popović 2015), from 0 to 100: character n-grams up to six, no spaces, recall counting double.

    >>> chrf(["the cat"], ["the cat"])
    100.0
    """
    scores = []
    for length in range(1, longest + 1):
        hits = guessed = present = 0
        for one, other in zip(found, expected, strict=True):
            ours, theirs = _grams("".join(one.split()), length), _grams("".join(other.split()), length)
            hits, guessed, present = hits + (ours & theirs).total(), guessed + ours.total(), present + theirs.total()
        if guessed and present:
            precision, recall = hits / guessed, hits / present
            below = beta**2 * precision + recall
            scores.append((1 + beta**2) * precision * recall / below if below else 0.0)
    return 100 * sum(scores) / max(1, len(scores))


def _grams(text: str, length: int) -> Counter:
    return Counter(text[at : at + length] for at in range(len(text) - length + 1))
