"""Chapter 02: reading answers, zero-shot scores, hiding words, grouping names, comparing answers, beams, search."""

import math
import random
import re
from types import SimpleNamespace

from labs_utils.exercises.core import call, describe, exercise, expect, expect_close


def _listed(value, given: str, what: str) -> list:
    """The learner's list (or tuple, or array) as a list, or a complaint."""
    value = value.tolist() if hasattr(value, "tolist") and getattr(value, "ndim", 0) else value
    expect(isinstance(value, list | tuple), f"Given {given}, a list of {what} was expected, but got {describe(value)}.")
    return list(value)


def _number(value, given: str) -> float:
    """The learner's number as a float, or a complaint."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        expect(False, f"Given {given}, a number was expected, but got {describe(value)}.")


@exercise("2.1")
def positive_scores(answer):
    draw = random.Random(0)
    cases = [[{"label": "NEGATIVE", "score": 0.9}], [{"label": "POSITIVE", "score": 0.6}], []]
    for _ in range(10):
        size = draw.randint(1, 6)
        scores = [round(draw.uniform(0.5, 1), 3) for _ in range(size)]
        cases.append([{"label": draw.choice(["POSITIVE", "NEGATIVE"]), "score": score} for score in scores])
    for results in cases:
        given = describe(results)
        got = _listed(call(answer, [dict(one) for one in results], given=given), given, "floats")
        expect(len(got) == len(results), f"Given {given}, one float for each text was expected, but got {len(got)}.")
        got = [_number(one, given) for one in got]
        wanted = [one["score"] if one["label"] == "POSITIVE" else 1 - one["score"] for one in results]
        perhaps = ""
        if got == [one["score"] for one in results]:
            perhaps = " Perhaps you took the score as it is: it belongs to the winner, which may be NEGATIVE."
        elif got == [one["score"] if one["label"] == "POSITIVE" else -one["score"] for one in results]:
            perhaps = " A probability is never below 0."
        elif all(one in (0, 1) for one in got) and results:
            perhaps = " Perhaps you returned whether the label is POSITIVE. How sure the model is counts too."
        close = all(abs(one - two) < 1e-6 for one, two in zip(got, wanted, strict=True))  # rounding of 1 - x only
        expect(close, f"Given {given}, your list {describe(got)} is not the probability of POSITIVE.{perhaps}")


@exercise("2.2")
def zero_shot_scores(answer):
    import torch

    chance = torch.Generator().manual_seed(0)
    cases = [(torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]), 0, 2)]
    for columns in ((0, 2), (2, 0), (1, 0), (0, 1)):
        for labels in (1, 2, 4):
            cases.append((3 * torch.randn(labels, 3, generator=chance), *columns))
    for logits, entailment, contradiction in cases:
        for multi in (False, True):
            given = f"logits of shape {tuple(logits.shape)}, entailment={entailment}, contradiction={contradiction}"
            given += f", multi_label={multi}"
            got = call(answer, logits.clone(), entailment, contradiction, multi, given=given)
            own, against = logits[:, entailment].double(), logits[:, contradiction].double()
            over_labels = torch.exp(own - own.logsumexp(0))
            each_alone = torch.sigmoid(own - against)  # a softmax over two is a sigmoid of their difference
            three_way = logits.double().softmax(-1)[:, entailment]
            mine = torch.as_tensor(got).detach().double().cpu() if hasattr(got, "detach") else None
            perhaps = ""
            if mine is not None and mine.shape == own.shape:

                def like(other, mine=mine):
                    return torch.allclose(mine, other, atol=1e-4)

                if like(each_alone if not multi else over_labels):
                    perhaps = "Perhaps the two cases are exchanged, or multi_label is not looked at."
                elif like(three_way):
                    perhaps = "Perhaps your softmax runs over all three classes: the third never counts."
                elif like(1 - each_alone) and multi:
                    perhaps = "Perhaps you took the contradiction's share, or fixed the columns: they are arguments."
                elif like(own):
                    perhaps = "Perhaps the softmax is missing."
                elif like(logits[:, 0].double().softmax(0)) or like(logits[:, 2].double().softmax(0)):
                    perhaps = "Perhaps you fixed the columns: their numbers are arguments, and differ between models."
            # float32 softmax of logits below 20: the error stays under 1e-6
            expect_close(got, over_labels if not multi else each_alone, given, 1e-5, perhaps)


@exercise("2.3")
def hide_each(answer):
    cases = [("I like tea", "[MASK]"), ("tea", "<mask>"), ("the cat and the dog", "[MASK]"), ("", "[MASK]")]
    cases += [("  spaces   in\tbetween ", "<mask>"), ("a b a b a", "?"), ("art starts a party", "[MASK]")]
    for text, mask in cases:
        given = f"text={text!r}, mask={mask!r}"
        got = _listed(call(answer, text, mask, given=given), given, "strings")
        words = text.split()
        expect(
            len(got) == len(words),
            f"Given {given}, {len(words)} strings were expected, one for each word, but got {len(got)}."
            + (" Perhaps a word that occurs twice was hidden only once." if len(set(words)) == len(got) else ""),
        )
        pattern = [tuple(mask if i == place else word for i, word in enumerate(words)) for place in range(len(words))]
        for place, (mine, wanted) in enumerate(zip(got, pattern, strict=True)):
            expect(isinstance(mine, str), f"Given {given}, entry {place} should be a string, but is {describe(mine)}.")
            perhaps = ""
            if mine.count(mask) > 1:
                perhaps = " It hides more than one place. Perhaps you used str.replace, which replaces every match."
            elif mask not in mine:
                perhaps = " Nothing is hidden in it. Perhaps the mask is fixed, or the word was left out."
            elif tuple(mine.split()) == wanted:
                perhaps = " The words are joined by one space, with none at the ends."
            expect(mine == " ".join(wanted), f"Given {given}, entry {place} is {mine!r}.{perhaps}")


def _tokens(tags: list[str]) -> list[dict]:
    return [{"entity": tag, "start": 5 * place, "end": 5 * place + 4} for place, tag in enumerate(tags)]


def _library_groups(tokens: list[dict]) -> list[tuple[str, int, int]]:
    """The same by the pipeline's own method."""
    from transformers import TokenClassificationPipeline

    finder = object.__new__(TokenClassificationPipeline)  # without a model: only the method is needed
    finder.tokenizer = SimpleNamespace(convert_tokens_to_string=" ".join)
    found = finder.group_entities([{**token, "score": 1.0, "word": "x"} for token in tokens])
    return [(one["entity_group"], one["start"], one["end"]) for one in found if one["entity_group"] != "O"]


@exercise("2.4")
def group(answer):
    draw = random.Random(0)
    cases = [
        ["B-PER", "I-PER", "O", "B-LOC"],
        [],
        ["O", "O"],
        ["B-PER", "B-PER"],
        ["B-PER", "O", "I-PER"],
        ["I-ORG", "I-ORG"],
        ["B-PER", "I-LOC", "I-LOC"],
    ]
    kinds = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-MISC"]
    cases += [draw.choices(kinds, k=draw.randint(1, 9)) for _ in range(60)]
    for tags in cases:
        tokens, given = _tokens(tags), f"the tags {' '.join(tags) or '(none)'}"
        got = _listed(call(answer, [dict(one) for one in tokens], given=given), given, "tuples (label, start, end)")
        right = all(isinstance(one, list | tuple) and len(one) == 3 for one in got)
        expect(right, f"Given {given}, tuples (label, start, end) were expected, but got {describe(got)}.")
        got, wanted = [tuple(one) for one in got], _library_groups(tokens)
        labels = [one[0] for one in got]
        perhaps = ""
        if "O" in labels:
            perhaps = " O is not a name."
        elif any(str(label)[:2] in ("B-", "I-") for label in labels):
            perhaps = " The label comes without B- or I-."
        elif len(got) > len(wanted):
            perhaps = " You have more names than there are. Perhaps I- doesn't continue the name before it."
        elif any(not any(one[1] <= start and end <= one[2] for one in got) for _, start, end in wanted):
            perhaps = " A name is missing. An I- without a B- before it begins a name too."
        elif len(got) < len(wanted) and re.search(r"(\w+) (O )+I-\1\b", " ".join(tags)):
            perhaps = " Two names became one. Perhaps an O between them was skipped."
        elif len(got) < len(wanted):
            perhaps = " Two names became one. Perhaps a B- or another label didn't begin a new name."
        given += " (five characters a token)"
        expect(got == wanted, f"Given {given}, your names {describe(got)} don't fit the tags.{perhaps}")


@exercise("2.5")
def same_answer(answer):
    cases = [
        ("The  Eiffel Tower.", "eiffel tower", True, "capitals, articles, punctuation and spaces don't count"),
        ("theatre", "atre", False, "perhaps you dropped the letters t-h-e inside a word"),
        ("Eiffel Tower", "Eiffel", False, "both must be equal, not only contain one another"),
        ("tower Eiffel", "Eiffel tower", False, "the order of the words counts"),
        ("the the cat", "cat", True, "each article is dropped"),
        ("nineteen\nyears", "nineteen years", True, "every white space is a space"),
        ("cat", "a cat", True, "the articles are dropped from both"),
        ("A", "a", True, "lower case comes first"),
        ("state-of-the-art", "stateoftheart", True, "punctuation goes without a space in its place, before the words"),
        ("an hour", "hour", True, "an is an article too"),
        ("bus 17", "Bus 17!", True, "punctuation at the end doesn't count"),
        ("bus 17", "bus 71", False, "numbers stay as they are"),
        ("", "the", True, "an article alone leaves nothing"),
    ]
    for given_text, true, wanted, why in cases:
        given = f"{given_text!r} and {true!r}"
        got = call(answer, given_text, true, given=given)
        single = isinstance(got, bool | int) or type(got).__name__ in ("bool", "bool_")
        expect(single, f"Given {given}, True or False was expected, but got {describe(got)}.")
        expect(bool(got) == wanted, f"Given {given}, your answer is {bool(got)}. Look again: {why}.")


@exercise("2.6")
def winner(answer):
    draw = random.Random(1)
    three = [(-4.0, 4), (-4.5, 9), (-9.0, 3)]  # each mistake picks another one
    cases = [(three, 0.0), (three, 1.0), (three[:2], 1.0), ([(-1.0, 3)], 1.0), ([(-2.0, 2)] * 3, 1.0)]
    cases += [([(-6.0, 3), (-9.0, 9), (-8.0, 5)], -1.0)]
    for _ in range(40):
        candidates = [(round(draw.uniform(-30, -1), 2), draw.randint(1, 20)) for _ in range(draw.randint(2, 6))]
        cases.append((candidates, draw.choice([0.0, 0.5, 1.0, 2.0])))
    for candidates, penalty in cases:
        given = f"{describe(candidates)} and length_penalty={penalty}"
        got = call(answer, list(candidates), penalty, given=given)
        whole = isinstance(got, int) or (hasattr(got, "ndim") and got.ndim == 0)
        expect(whole, f"Given {given}, an index (a whole number) was expected, but got {describe(got)}.")
        got = int(got)
        expect(0 <= got < len(candidates), f"Given {given}, {got} is no index into this list.")
        scores = [total / math.pow(length, penalty) for total, length in candidates]
        best = max(scores)
        if scores[got] == best and got == scores.index(best):
            continue
        perhaps = ""
        if scores[got] == best:
            perhaps = " If several are equal, the first wins."
        elif got == min(range(len(scores)), key=scores.__getitem__):
            perhaps = " Perhaps you took the lowest score."
        elif got == max(range(len(scores)), key=lambda i: candidates[i][0]):
            perhaps = " Perhaps you didn't divide by the length."
        elif got == max(range(len(scores)), key=lambda i: candidates[i][0] * candidates[i][1] ** penalty):
            perhaps = " Perhaps you multiplied by the length instead of dividing."
        elif got == max(range(len(scores)), key=lambda i: candidates[i][0] / candidates[i][1]):
            perhaps = " Perhaps you divided by the length itself, without the power."
        expect(False, f"Given {given}, candidate {got} does not have the highest score.{perhaps}")


@exercise("2.7")
def nearest(answer):
    import torch

    chance = torch.Generator().manual_seed(2)
    cases = [(torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 2.0], [3.0, 0.0]]), 1)]
    cases += [(torch.tensor([1.0, 1.0]), torch.tensor([[5.0, 0.0], [1.0, 1.0], [-1.0, -1.0]]), 3)]
    for count in (1, 3, 10):
        lengths = 0.1 + 5 * torch.rand(6, 1, generator=chance)
        cases.append((2 * torch.randn(8, generator=chance), lengths * torch.randn(6, 8, generator=chance), count))
    for query, vectors, count in cases:
        given = f"a query of shape {tuple(query.shape)}, vectors of shape {tuple(vectors.shape)}, count={count}"
        got = _listed(call(answer, query.clone(), vectors.clone(), count, given=given), given, "tuples (index, cosine)")
        right = all(isinstance(one, list | tuple) and len(one) == 2 for one in got)
        expect(right, f"Given {given}, tuples (index, similarity) were expected, but got {describe(got)}.")
        size = min(count, len(vectors))
        expect(len(got) == size, f"Given {given}, {size} tuples were expected, but got {len(got)}.")
        lengths = vectors.double().norm(dim=-1)
        products = vectors.double() @ query.double()
        cosine = products / lengths / query.double().norm()
        order = cosine.argsort(descending=True)[:size].tolist()
        mine = [int(one[0]) for one in got]
        perhaps = ""
        if mine == products.argsort(descending=True)[:size].tolist():
            perhaps = " Perhaps you compared dot products: a long vector then wins by its length."
        elif mine == cosine.argsort()[:size].tolist():
            perhaps = " Perhaps the least similar came first."
        expect(mine == order, f"Given {given}, your indices {mine} are not those of the most similar vectors.{perhaps}")
        for index, value in got:
            value = _number(value, given)
            perhaps = ""
            if abs(value - float(products[index])) < 1e-4:
                perhaps = " Perhaps it is the dot product: divide by both lengths."
            close = abs(value - float(cosine[index])) < 1e-4  # float32 against float64, numbers of size 1
            expect(close, f"Given {given}, {value:.4g} is not the cosine for vector {index}.{perhaps}")


@exercise("2.8")
def best_threshold(answer):
    draw = random.Random(3)
    cases = [([0.9, 0.4, 0.8], [True, False, True]), ([0.5], [True]), ([0.5], [False]), ([0.3, 0.3], [True, True])]
    cases += [([0.2, 0.6], [False, False]), ([-1.0, -2.0], [True, True]), ([0.1, 0.9], [True, False])]
    for _ in range(30):
        size = draw.randint(2, 12)
        scores = [round(draw.uniform(-1, 1), 2) for _ in range(size)]
        cases.append((scores, [score + draw.gauss(0, 0.5) > 0 for score in scores]))
    for scores, labels in cases:
        given = f"scores {describe(scores)} and labels {describe(labels)}"
        got = _number(call(answer, list(scores), list(labels), given=given), given)
        expect(got == got, f"Given {given}, a threshold was expected, but got nan.")

        def right(limit, scores=scores, labels=labels):
            return sum((score >= limit) == label for score, label in zip(scores, labels, strict=True))

        wanted = max(right(limit) for limit in [*scores, math.inf])
        perhaps = ""
        above = sum((score > got) == label for score, label in zip(scores, labels, strict=True))
        if right(got) < wanted and max(map(right, scores)) < wanted:
            perhaps = " Here it is best to call nothing a paraphrase. Is there a threshold for that among yours?"
        elif right(got) < wanted == above:
            perhaps = " Perhaps you count with > : a score equal to the threshold is a paraphrase."
        elif right(got) < wanted and right(-math.inf) == wanted:
            perhaps = " Here it is best to call everything a paraphrase."
        elif right(got) == min(right(limit) for limit in [*scores, math.inf]):
            perhaps = " Perhaps you looked for the fewest right calls."
        expect(
            right(got) == wanted,
            f"Given {given}, your threshold {got:.4g} makes {right(got)} right calls; {wanted} are possible.{perhaps}",
        )


@exercise("2.9")
def untrained_parts(answer):
    cases = [
        ["classifier.weight", "classifier.bias"],
        ["cls.predictions.bias", "qa_outputs.weight"],
        [],
        ["cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias", "cls.predictions.bias"],
        ["b.weight", "a.bias", "b.bias", "a.weight"],
        ["bert.encoder.layer.10.output.dense.weight", "bert.encoder.layer.9.output.dense.weight"],
    ]
    for missing in cases:
        given = describe(missing)
        got = call(answer, list(missing), given=given)
        expect(not isinstance(got, set | dict), f"Given {given}, a sorted list was expected, but got {describe(got)}.")
        got = _listed(got, given, "names")
        wanted = sorted({name[: name.rindex(".")] for name in missing})
        perhaps = ""
        if len(got) > len(set(map(str, got))):
            perhaps = " A module stands there more than once."
        elif set(got) == set(missing) and missing:
            perhaps = " These are the parameters. The module's name ends before the last dot."
        elif set(got) == {name.split(".")[0] for name in missing} and missing:
            perhaps = " Perhaps you cut at the first dot instead of the last."
        elif set(got) == {name.split(".")[-1] for name in missing} and missing:
            perhaps = " Perhaps you kept what stands after the last dot."
        elif sorted(map(str, got)) == wanted:
            perhaps = " The list should be sorted."
        expect(got == wanted, f"Given {given}, your list {describe(got)} is not that of the modules.{perhaps}")
