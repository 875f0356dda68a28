"""Chapter 02: reading answers, zero-shot scores, hiding words, grouping names, comparing answers, beams, search."""

import math
import random
import re
from functools import partial
from numbers import Integral, Real
from types import SimpleNamespace

from labs_utils.exercises.vocabulary import Trial, exercise, same


def positives(results, other=lambda score: 1 - score) -> list[float]:
    return [float(one["score"] if one["label"] == "POSITIVE" else other(one["score"])) for one in results]


@exercise(
    "2.1",
    mistakes=[
        ("Perhaps you took the score as it is: it may be NEGATIVE's.", partial(positives, other=lambda score: score)),
        ("A probability is never below 0.", partial(positives, other=lambda score: -score)),
        ("A score for NEGATIVE leaves something for POSITIVE, too.", partial(positives, other=lambda score: 0)),
        ("Perhaps you gave the probability of NEGATIVE.", lambda results: [1 - one for one in positives(results)]),
    ],
)
def positive_scores(answer):
    draw = random.Random(0)
    cases = [[{"label": "NEGATIVE", "score": 0.9}, {"label": "POSITIVE", "score": 0.6}], []]
    for _ in range(10):
        scores = [round(draw.uniform(0.5, 1), 3) for _ in range(draw.randint(1, 6))]
        cases.append([{"label": draw.choice(["POSITIVE", "NEGATIVE"]), "score": score} for score in scores])
    for results in cases:
        trial = Trial(answer, results)
        got = trial.returns(list, of=float)
        trial.expect(len(got) == len(results), f"one float for each text was expected, but got {len(got)}")
        # only the rounding of 1 - score, in float32 at worst
        trial.close(got, positives(results), 1e-6, "your list {got} is not the probability of POSITIVE")


def entailed(logits, entailment, contradiction, multi_label):
    own, against = logits[:, entailment], logits[:, contradiction]
    # a softmax over two is a sigmoid of their difference
    return (own - against).sigmoid() if multi_label else (own - own.logsumexp(0)).exp()


def divided(logits, entailment, contradiction, multi_label):
    weights = logits.exp()
    own, against = weights[:, entailment], weights[:, contradiction]
    return own / (own + against if multi_label else own.sum())


@exercise(
    "2.2",
    mistakes=[
        (
            "Perhaps the two cases are exchanged, or multi_label is not looked at.",
            lambda logits, own, against, multi: entailed(logits, own, against, not multi),
        ),
        (
            "Perhaps your softmax runs over all three classes: the third never counts.",
            lambda logits, own, against, multi: logits.softmax(-1)[:, own],
        ),
        (
            "Perhaps you took the contradiction's share, or fixed the columns: they are arguments.",
            lambda logits, own, against, multi: entailed(logits, against, own, multi),
        ),
        ("Perhaps the softmax is missing.", lambda logits, own, against, multi: logits[:, own]),
        (
            "The exponential of a large logit is infinite. A softmax that first takes the largest logit away is safe.",
            divided,
        ),
    ],
)
def zero_shot_scores(answer):
    import torch

    chance = torch.Generator().manual_seed(0)
    cases = [(torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]), 0, 2)]
    for columns in ((0, 2), (2, 0), (1, 0), (0, 1)):
        cases += [(3 * torch.randn(labels, 3, generator=chance), *columns) for labels in (4, 2, 1)]
    cases.append((torch.tensor([[200.0, 0.0, 199.0], [199.0, 1.0, 200.0]]), 0, 2))
    for case in cases:
        for multi_label in (False, True):
            trial = Trial(answer, *case, multi_label)
            # a softmax in float32: the error stays under 1e-6
            trial.close(trial.tensor(), entailed(case[0].double(), *case[1:], multi_label), 1e-5)


def hidden(text, mask, hide=lambda words, place, mask: [*words[:place], mask, *words[place + 1 :]]) -> list[str]:
    words = text.split()
    return [" ".join(hide(words, place, mask)) for place in range(len(words))]


@exercise(
    "2.3",
    mistakes=[
        ("Perhaps the word was left out, and no mask put in its place.", lambda text, mask: hidden(text, "")),
        ("Perhaps the mask is fixed: it is an argument.", lambda text, mask: hidden(text, "[MASK]")),
        (
            "Equal words were hidden together: hide one place at a time.",
            partial(hidden, hide=lambda words, place, mask: [mask if word == words[place] else word for word in words]),
        ),
        (
            "Perhaps you used str.replace, which also replaces inside other words.",
            lambda text, mask: [" ".join(text.split()).replace(word, mask) for word in text.split()],
        ),
        (
            "For a word that occurs twice you hid the first place twice.",
            lambda text, mask: [hidden(text, mask)[text.split().index(word)] for word in text.split()],
        ),
        (
            "Perhaps a word that occurs twice was hidden only once.",
            lambda text, mask: [hidden(text, mask)[text.split().index(word)] for word in dict.fromkeys(text.split())],
        ),
        (
            "The words are joined by one space, with none at the ends.",
            lambda text, mask: [text[: one.start()] + mask + text[one.end() :] for one in re.finditer(r"\S+", text)],
        ),
    ],
)
def hide_each(answer):
    texts = ["I like tea", "tea", "the other cat and the dog", "", "a b a b a", "  two   more\twords ", "Old? (Yes.)"]
    for place, text in enumerate(texts):
        trial = Trial(answer, text, "<mask>" if place % 2 else "[MASK]")
        got = trial.returns(list, of=str)
        trial.equal(got, hidden(*trial.inputs), "your list {got} does not hide each word in its turn")


def library_names(tokens) -> list[tuple[str, int, int]]:
    """The names by the pipeline's own method."""
    from transformers import TokenClassificationPipeline

    finder = object.__new__(TokenClassificationPipeline)  # without a model: only the method is needed
    finder.tokenizer = SimpleNamespace(convert_tokens_to_string=" ".join)
    found = finder.group_entities([{**token, "score": 1.0, "word": "x"} for token in tokens])
    return [(one["entity_group"], one["start"], one["end"]) for one in found if one["entity_group"] != "O"]


def retagged(tokens, change) -> list[tuple[str, int, int]]:
    """The names, where each tag is first changed by looking at the one before it."""
    changed: list[dict] = []
    for token in tokens:
        before = changed[-1]["entity"] if changed else "O"
        changed.append({**token, "entity": change(before, token["entity"])})
    return library_names(changed)


def relabelled(tokens, change) -> list[tuple[str, int, int]]:
    """The names, with their labels changed by looking at the first token's tag; None drops the name."""
    tags = {token["start"]: token["entity"] for token in tokens}
    names = [(change(label, tags[start]), start, end) for label, start, end in library_names(tokens)]
    return [name for name in names if name[0] is not None]


@exercise(
    "2.4",
    mistakes=[
        (
            "O is not a name.",
            lambda tokens: [(one["entity"][2:] or "O", one["start"], one["end"]) for one in tokens],
        ),
        ("The label comes without B- or I-.", partial(relabelled, change=lambda label, tag: tag)),
        (
            "You have more names than there are. Perhaps I- doesn't continue the name before it.",
            partial(retagged, change=lambda before, tag: tag.replace("I-", "B-")),
        ),
        (
            "Two names became one. Perhaps a B- didn't begin a new name.",
            partial(retagged, change=lambda before, tag: tag.replace("B-", "I-")),
        ),
        (
            "Two names became one. Perhaps an O between them was skipped.",
            lambda tokens: library_names([token for token in tokens if token["entity"] != "O"]),
        ),
        (
            "A name is missing. An I- without a B- before it begins a name, too.",
            partial(relabelled, change=lambda label, tag: label if tag.startswith("B-") else None),
        ),
        (
            "An I- with another label than the token before it begins a new name.",
            partial(retagged, change=lambda before, tag: "I" + before[1:] if tag[0] == "I" and before != "O" else tag),
        ),
        (
            "A label may have hyphens of its own: cut at the first one only.",
            partial(relabelled, change=lambda label, tag: label.split("-")[-1]),
        ),
    ],
)
def group(answer):
    draw = random.Random(0)
    texts = ["B-PER I-PER O B-LOC", "", "O O", "B-PER B-PER", "B-PER O I-PER", "I-ORG I-ORG", "B-PER I-LOC I-LOC"]
    cases = [text.split() for text in [*texts, "B-WORK-OF-ART I-WORK-OF-ART O"]]
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-MISC"]
    cases += [draw.choices(tags, k=draw.randint(1, 9)) for _ in range(40)]
    for tags in cases:
        tokens = [{"entity": tag, "start": 5 * place, "end": 5 * place + 4} for place, tag in enumerate(tags)]
        trial = Trial(answer, tokens, given=f"the tags {' '.join(tags) or '(none)'} (five characters a token)")
        got = trial.returns(list, "a list of tuples (label, start, end)", of=tuple)
        trial.expect(all(len(one) == 3 for one in got), "each name is a tuple (label, start, end)")
        trial.equal(got, library_names(tokens), "your names {got} don't fit the tags")


@exercise("2.5")
def same_answer(answer):
    cases = [
        ("eiffel tower", "eiffel tower", True, "equal texts are the same answer"),
        ("tower eiffel", "eiffel tower", False, "the order of the words counts"),
        ("eiffel tower", "eiffel", False, "both must be equal, not only contain one another"),
        ("bus 17", "bus 71", False, "numbers stay as they are"),
        ("Eiffel", "eiffel", True, "capitals don't count"),
        (" nineteen\nyears ", "nineteen  years", True, "each run of white space is one space, with none at the ends"),
        ("bus 17", "bus 17!", True, "punctuation doesn't count"),
        ("theatre", "atre", False, "an article is a word; the letters t-h-e inside a word stay"),
        ("an hour with the cat", "hour with a cat", True, "a, an and the are dropped, from both texts"),
        ("the the cat", "cat", True, "each article is dropped"),
        ("the", "", True, "an article alone leaves nothing"),
        ("A cat", "cat", True, "lower case comes first: A is an article, too"),
        (
            "state-of-the-art",
            "stateoftheart",
            True,
            "punctuation goes without a space in its place, before the articles",
        ),
        ("the (the) cat", "cat", True, "articles are dropped after the punctuation: only then (the) is one"),
        ("A.N. Other", "other", True, "articles are dropped after the punctuation: only then A.N. is one"),
        ("file_name", "filename", True, "string.punctuation holds the underscore, too"),
        ("“bus” 17", "bus 17", False, "only the characters of string.punctuation are dropped, no others"),
        ("The  Eiffel Tower.", "eiffel tower", True, "all four steps are needed"),
    ]
    for given, true, expected, rule in cases:
        trial = Trial(answer, given, true)
        got = trial.returns(bool)
        trial.equal(got, expected, f"your answer is {got}. Look again: {rule}")


def best(candidates, length_penalty=1.0, pick=max, score=lambda total, length, penalty: total / length**penalty) -> int:
    scores = [score(*candidate, length_penalty) for candidate in candidates]
    return scores.index(pick(scores))


@exercise(
    "2.6",
    mistakes=[
        ("Perhaps you didn't divide by the length.", partial(best, score=lambda total, length, penalty: total)),
        (
            "Perhaps you multiplied by the length instead of dividing.",
            partial(best, score=lambda total, length, penalty: total * length**penalty),
        ),
        (
            "Perhaps you divided by the length itself, without the power.",
            partial(best, score=lambda total, length, penalty: total / length),
        ),
        ("Perhaps you took the lowest score.", partial(best, pick=min)),
        (
            "If several are equal, the first wins.",
            lambda candidates, penalty: len(candidates) - 1 - best(candidates[::-1], penalty),
        ),
    ],
)
def winner(answer):
    draw = random.Random(1)
    five = [(-6.0, 11), (-5.0, 6), (-14.0, 2), (-7.0, 12), (-6.0, 2)]  # each mistake picks another one
    example = [(-4.0, 4), (-4.5, 9)]
    cases = [(five, 2.0), (example, 0.0), (example, 1.0), ([(-1.0, 3)], 1.0), ([(-2.0, 2)] * 3, 1.0)]
    for _ in range(30):
        candidates = [(round(draw.uniform(-30, -1), 2), draw.randint(1, 20)) for _ in range(draw.randint(2, 6))]
        cases.append((candidates, draw.choice([0.0, 0.5, 1.0, 2.0])))
    for case in cases:
        trial = Trial(answer, *case)
        got = trial.returns(int, "an index (a whole number)")
        trial.equal(got, best(*case), "candidate {got} is not the one with the highest score")
    trial = Trial(answer, example)
    trial.expect(same(trial.result, 1), "and no length_penalty, 1 was expected: the penalty is 1.0 then")


def ranked(query, vectors, count, near=None, value=None) -> list[tuple[int, float]]:
    """The `count` best by cosine, or by what `near` says; with the cosine, or what `value` says."""
    from torch.nn.functional import cosine_similarity

    def cosine(query, vectors):
        return cosine_similarity(query.double()[None], vectors.double(), dim=-1)

    order = (near or cosine)(query, vectors).argsort(descending=True)[:count].tolist()
    values = (value or cosine)(query, vectors).tolist()
    return [(index, values[index]) for index in order]


def product(query, vectors):
    return vectors @ query


def closeness(query, vectors):
    return -(vectors - query).norm(dim=-1)


@exercise(
    "2.7",
    mistakes=[
        (
            "Perhaps you compared dot products: a long vector then wins by its length.",
            partial(ranked, near=product, value=product),
        ),
        (
            "Perhaps you compared distances: two vectors of one direction may be far apart.",
            partial(ranked, near=closeness, value=closeness),
        ),
        (
            "Perhaps the least similar came first.",
            lambda *given: [*reversed(ranked(*given[:2], len(given[1])))][: given[2]],
        ),
        ("Perhaps it is the dot product: divide by both lengths.", partial(ranked, value=product)),
        (
            "Perhaps you divided by one of the two lengths only.",
            partial(ranked, value=lambda query, vectors: vectors @ query / vectors.norm(dim=-1)),
        ),
    ],
)
def nearest(answer):
    import torch

    chance = torch.Generator().manual_seed(2)
    cases = [(torch.tensor([1.0, 1.0]), torch.tensor([[5.0, 0.0], [1.0, 1.0], [-1.0, -1.0]]), 3)]
    cases += [(torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 2.0], [3.0, 0.0]]), 1)]
    for count in (1, 3, 10):
        vectors = torch.randn(6, 8, generator=chance) * (0.1 + 5 * torch.rand(6, 1, generator=chance))
        cases.append((2 * torch.randn(8, generator=chance), vectors, count))
    for case in cases:
        trial, expected = Trial(answer, *case), ranked(*case)
        got = trial.returns(list, "a list of tuples (index, cosine similarity)", of=tuple)
        are_pairs = all(len(one) == 2 and isinstance(one[0], Integral) and isinstance(one[1], Real) for one in got)
        trial.expect(are_pairs, "each item is a tuple of an int and a float")
        trial.expect(len(got) == len(expected), f"{len(expected)} tuples were expected, but got {len(got)}")
        for part, tolerance in enumerate((0, 1e-5)):  # float32 against float64, numbers of size 1
            mine, right = ([one[part] for one in pairs] for pairs in (got, expected))
            sentence = ("your indices {got} are not the nearest first", "your similarities are off by up to {off}")
            trial.close(mine, right, tolerance, sentence[part], form=lambda pairs, part=part: [x[part] for x in pairs])


@exercise("2.8")
def best_threshold(answer):
    draw = random.Random(3)
    cases = [([0.9, 0.4, 0.8], [True, False, True]), ([0.5], [True]), ([0.5], [False]), ([0.3, 0.3], [True, True])]
    cases += [([0.2, 0.6], [False, False]), ([-1.0, -2.0], [True, True]), ([0.1, 0.9], [True, False])]
    for _ in range(25):
        scores = [round(draw.uniform(-1, 1), 2) for _ in range(draw.randint(2, 12))]
        cases.append((scores, [score + draw.gauss(0, 0.5) > 0 for score in scores]))
    for scores, labels in cases:
        trial = Trial(answer, scores, labels)
        got = trial.returns(float)
        trial.expect(not math.isnan(got), "a threshold was expected, but got nan")
        calls = {
            limit: sum((score >= limit) == label for score, label in zip(scores, labels, strict=True))
            for limit in [*scores, math.inf, got]
        }
        most = max(calls.values())
        above = sum((score > got) == label for score, label in zip(scores, labels, strict=True))
        trial.expect(
            calls[got] == most,
            f"your threshold {got:.4g} makes {calls[got]} right calls; {most} are possible",
            ("It is best to call nothing a paraphrase here.", max(map(calls.get, scores)) < most),
            ("Perhaps you count with > : a score equal to the threshold is a paraphrase.", above == most),
            ("It is best to call everything a paraphrase here.", calls[min(scores)] == most),
            ("No threshold makes fewer: perhaps you took the minimum.", calls[got] == min(calls.values())),
        )


def modules(missing, name=lambda key: key.rpartition(".")[0], collect=lambda names: sorted(set(names))) -> list[str]:
    return collect([name(key) for key in missing])


@exercise(
    "2.9",
    mistakes=[
        (
            "These are the parameters. The module's name ends before the last dot.",
            partial(modules, name=lambda key: key),
        ),
        ("Perhaps you cut at the first dot instead of the last.", partial(modules, name=lambda key: key.split(".")[0])),
        ("Perhaps you kept what stands after the last dot.", partial(modules, name=lambda key: key.split(".")[-1])),
        (
            "A parameter may have another name than weight or bias: cut at the last dot.",
            partial(modules, name=lambda key: key.removesuffix(".weight").removesuffix(".bias")),
        ),
        ("A module stands there more than once.", partial(modules, collect=sorted)),
        ("The list should be sorted.", partial(modules, collect=lambda names: list(dict.fromkeys(names)))),
    ],
)
def untrained_parts(answer):
    head, layer = ["qa_outputs.weight", "qa_outputs.bias"], "bert.encoder.layer"
    cases = [
        ["qa_outputs.weight", "cls.dense.weight", "cls.dense.bias"],
        head,
        [],
        ["cls.predictions.bias", *head],
        ["logits.scale"],
    ]
    for missing in [*cases, [f"{layer}.9.output.dense.weight", f"{layer}.10.output.dense.weight"]]:
        trial = Trial(answer, missing)
        got = trial.returns(list, "a sorted list of names", of=str)
        trial.equal(got, modules(missing), "your list {got} is not that of the modules")
