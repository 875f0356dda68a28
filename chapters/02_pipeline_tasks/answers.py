"""Chapter 02: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math
import re
import string
from itertools import groupby

import numpy as np
import torch


def positive_by_loop(results):
    found = []
    for one in results:
        sign = {"POSITIVE": 1, "NEGATIVE": -1}[one["label"]]
        found.append(np.float32(0.5 + sign * (one["score"] - 0.5)))
    return found


def positive_into_tuple(results):
    return tuple(abs((one["label"] == "NEGATIVE") - one["score"]) for one in results)


def shares_by_hand(logits, entailment, contradiction, multi_label):
    if multi_label:
        return torch.sigmoid(logits[:, entailment] - logits[:, contradiction])
    weights = (logits[:, entailment] - logits[:, entailment].max()).exp()
    return weights / weights.sum()


def shares_with_numpy(logits, entailment, contradiction, multi_label):
    table = logits.double().numpy()
    rivals = table[:, [entailment, contradiction]] if multi_label else table[:, entailment][None]
    weights = np.exp(rivals - rivals.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights[:, 0] if multi_label else weights[0]


def always_shared(logits, entailment, contradiction, multi_label):
    return logits[:, entailment].softmax(dim=0)


def always_alone(logits, entailment, contradiction, multi_label):
    return logits[:, [entailment, contradiction]].softmax(dim=-1)[:, 0]


def fixed_columns(logits, entailment, contradiction, multi_label):
    return logits[:, [0, 2]].softmax(dim=-1)[:, 0] if multi_label else logits[:, 0].softmax(dim=0)


def hide_by_slices(text, mask):
    words, found = text.split(), []
    for place in range(len(words)):
        hidden = words.copy()
        hidden[place] = mask
        found.append(" ".join(hidden))
    return found


def hide_recursively(text, mask):
    first, *rest = text.split() or [""]
    if not first:
        return ()
    return (" ".join([mask, *rest]), *(f"{first} {one}" for one in hide_recursively(" ".join(rest), mask)))


def hide_with_index(text, mask):
    words = text.split()
    return [" ".join([*words[: words.index(word)], mask, *words[words.index(word) + 1 :]]) for word in words]


def hide_with_pattern(text, mask):
    text = " ".join(text.split())
    return [re.sub(rf"\b{word}\b", mask, text) for word in text.split()]


def group_with_groupby(tokens):
    number, numbered, before = 0, [], "O"
    for token in tokens:
        number += token["entity"][:2] == "B-" or token["entity"][2:] != before[2:]
        numbered.append((number, token))
        before = token["entity"]
    runs = [[token for _, token in run] for _, run in groupby(numbered, key=lambda one: one[0])]
    return [[run[0]["entity"][2:], run[0]["start"], run[-1]["end"]] for run in runs if run[0]["entity"] != "O"]


def group_from_the_end(tokens):
    names, end = [], None
    for place in range(len(tokens) - 1, -1, -1):
        prefix, _, label = tokens[place]["entity"].partition("-")
        if prefix == "O":
            continue
        end = end or tokens[place]["end"]
        goes_on = prefix == "I" and place and tokens[place - 1]["entity"] in (f"B-{label}", f"I-{label}")
        if not goes_on:
            names.insert(0, (label, np.int64(tokens[place]["start"]), end))
            end = None
    return tuple(names)


def group_unpacking(tokens):
    for token in tokens:
        if token["entity"] != "O":
            _, _ = token["entity"].split("-")
    return group_with_groupby(tokens)


MARKS = f"[{re.escape(string.punctuation)}]"


def normalised(text, articles=r"\b(a|an|the)\b"):
    return " ".join(re.sub(articles, " ", re.sub(MARKS, "", text.lower())).split())


def same_by_pattern(given, true):
    return normalised(given) == normalised(true)


def same_by_table(given, true):
    table = str.maketrans("", "", string.punctuation)
    one, other = (
        [word for word in text.lower().translate(table).split() if word not in {"a", "an", "the"}]
        for text in (given, true)
    )
    return one == other


def kept_words(text):
    return [word for word in text.lower().split() if word not in ("a", "an", "the")]


def only_words(text):
    return [word for word in re.sub(r"[^\w\s]", "", text.lower()).split() if word not in ("a", "an", "the")]


def articles_first(given, true):
    return normalised(" ".join(kept_words(given)), "$^") == normalised(" ".join(kept_words(true)), "$^")


def articles_with_capitals(given, true):
    one, other = (" ".join(w for w in text.split() if w not in ("a", "an", "the")) for text in (given, true))
    return normalised(one) == normalised(other) and len(one.split()) == len(other.split())


def highest_by_loop(candidates, length_penalty=1.0):
    found, highest = 0, -math.inf
    for place, (total, length) in enumerate(candidates):
        score = total * length**-length_penalty
        if score > highest:
            found, highest = place, score
    return found


def highest_with_numpy(candidates, length_penalty=1.0):
    totals, lengths = np.array(candidates).T
    return np.argmax(totals / lengths**length_penalty)


def nearest_with_normalize(query, vectors, count):
    query, vectors = (torch.nn.functional.normalize(one, dim=-1) for one in (query, vectors))
    values, places = (vectors @ query).topk(min(count, len(vectors)))
    return list(zip(places.tolist(), values.tolist(), strict=True))


def nearest_with_numpy(query, vectors, count):
    query, vectors = query.numpy(), vectors.numpy()
    cosine = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    return tuple([place, cosine[place]] for place in np.argsort(-cosine)[:count])


def nearest_as_tensors(query, vectors, count):
    cosine = torch.nn.functional.cosine_similarity(query[None], vectors)
    return [(place, cosine[place]) for place in cosine.argsort(descending=True)[:count]]


def threshold_from_middles(scores, labels):
    ordered = sorted(scores)
    limits = [ordered[0] - 1, *((one + two) / 2 for one, two in zip(ordered, ordered[1:], strict=False))]
    limits.append(ordered[-1] + 1)
    rights = [sum((score >= limit) is label for score, label in zip(scores, labels, strict=True)) for limit in limits]
    return limits[rights.index(max(rights))]


def threshold_by_counting(scores, labels):
    calls, found = labels.count(False), (labels.count(False), np.float64(np.inf))
    for score in sorted(set(scores), reverse=True):
        here = [label for one, label in zip(scores, labels, strict=True) if one == score]
        calls += here.count(True) - here.count(False)
        found = max(found, (calls, np.float64(score)), key=lambda pair: pair[0])
    return found[1]


def search_threshold(scores, labels, limits, strict=False, pick=max):
    def right(limit):
        calls = [score > limit if strict else score >= limit for score in scores]
        return sum(one == label for one, label in zip(calls, labels, strict=True))

    return pick(limits, key=right)


def modules_by_loop(missing):
    found = []
    for name in sorted(missing):
        module = ".".join(name.split(".")[:-1])
        if module not in found:
            found.append(module)
    return sorted(found)


def modules_by_pattern(missing):
    return tuple(sorted({re.sub(r"\.[^.]*$", "", name) for name in missing}))


def modules_in_place(missing):
    missing.sort()
    return sorted({name.rpartition(".")[0] for name in missing})


RIGHT = {
    "2.1": [positive_by_loop, positive_into_tuple],
    "2.2": [shares_by_hand, shares_with_numpy],
    "2.3": [hide_by_slices, hide_recursively],
    "2.4": [group_with_groupby, group_from_the_end],
    "2.5": [same_by_pattern, same_by_table],
    "2.6": [highest_by_loop, highest_with_numpy],
    "2.7": [nearest_with_normalize, nearest_with_numpy],
    "2.8": [threshold_from_middles, threshold_by_counting],
    "2.9": [modules_by_loop, modules_by_pattern],
}

WRONG = {
    "2.1": [
        (lambda results: [one["label"] == "POSITIVE" for one in results], "a list of float values"),
        (lambda results: [torch.tensor(one["score"]) for one in results], "a list of float values"),
        (lambda results: [1 - results[0]["score"]] if results else [], "one float for each text"),
    ],
    "2.2": [
        (always_shared, "exchanged, or multi_label is not looked at"),
        (always_alone, "exchanged, or multi_label is not looked at"),
        (fixed_columns, "or fixed the columns"),
        (lambda logits, *_: logits.softmax(dim=0), "a result of shape"),
    ],
    "2.3": [
        (hide_with_index, "hid the first place twice"),
        (hide_with_pattern, "Equal words were hidden together"),
        (lambda text, mask: " ".join([mask, *text.split()[1:]]), "a list of str values"),
    ],
    "2.4": [
        (group_unpacking, "raised ValueError"),
        (lambda tokens: {token["entity"] for token in tokens}, "a list of tuples"),
        (
            lambda tokens: [(token["start"], token["end"]) for token in tokens],
            "each name is a tuple (label, start, end)",
        ),
    ],
    "2.5": [
        (lambda given, true: given == true, "capitals don't count"),
        (lambda given, true: given.lower() == true.lower(), "white space is one space"),
        (lambda given, true: normalised(given, "a|an|the") == normalised(true, "a|an|the"), "inside a word stay"),
        (lambda given, true: {*normalised(given).split()} == {*normalised(true).split()}, "order of the words counts"),
        (lambda given, true: normalised(true) in normalised(given), "not only contain"),
        (articles_first, "articles are dropped after the punctuation"),
        (lambda given, true: only_words(given) == only_words(true), "the underscore, too"),
        (lambda given, true: only_words(given.replace("_", "")) == only_words(true.replace("_", "")), "no others"),
        (articles_with_capitals, "A is an article, too"),
        (lambda given, true: given.lower().split(), "True or False"),
    ],
    "2.6": [
        (lambda candidates, length_penalty=0.0: highest_by_loop(candidates, length_penalty), "the penalty is 1.0 then"),
        (lambda candidates, length_penalty=1.0: candidates[0], "an index"),
        (lambda candidates, length_penalty=1.0: torch.tensor(highest_by_loop(candidates, length_penalty)), "an index"),
    ],
    "2.7": [
        (nearest_as_tensors, "an int and a float"),
        (lambda query, vectors, count: nearest_with_normalize(query, vectors, 3), "1 tuples were expected"),
        (lambda query, vectors, count: [place for place, _ in nearest_with_normalize(query, vectors, count)], "tuples"),
    ],
    "2.8": [
        (lambda scores, labels: search_threshold(scores, labels, scores), "call nothing a paraphrase"),
        (lambda scores, labels: search_threshold(scores, labels, [*scores, 9.0, -9.0], strict=True), "count with >"),
        (lambda scores, labels: search_threshold(scores, labels, [*scores, 9.0], pick=min), "took the minimum"),
        (lambda scores, labels: math.inf if False in labels else -9, "right calls"),
        (lambda scores, labels: search_threshold(scores, labels, [*sorted(scores)[1:], math.inf]), "call everything"),
        (lambda scores, labels: math.nan, "but got nan"),
        (lambda scores, labels: scores, "a number was expected"),
    ],
    "2.9": [
        (modules_in_place, "changed missing"),
        (lambda missing: {name.rpartition(".")[0] for name in missing}, "a sorted list"),
    ],
}
