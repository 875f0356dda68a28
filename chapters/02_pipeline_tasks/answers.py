"""Chapter 02: what learners get wrong, and what they are told."""

import string


def _two_columns(logits, entailment, contradiction, multi_label):
    return logits[:, [entailment, contradiction]].softmax(dim=-1)[:, 0]


def _always_shared(logits, entailment, contradiction, multi_label):
    return logits[:, entailment].softmax(dim=0)


def _three_classes(logits, entailment, contradiction, multi_label):
    return logits.softmax(dim=-1)[:, entailment]


def _fixed_columns(logits, entailment, contradiction, multi_label):
    if multi_label:
        return logits[:, [2, 0]].softmax(dim=-1)[:, 1]
    return logits[:, 0].softmax(dim=0)


def _other_share(logits, entailment, contradiction, multi_label):
    if multi_label:
        return logits[:, [contradiction, entailment]].softmax(dim=-1)[:, 0]
    return logits[:, entailment].softmax(dim=0)


def _replace(text, mask):
    return [text.replace(word, mask) for word in text.split()]


def _left_out(text, mask):
    words = text.split()
    return [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]


def _each_kind(text, mask):
    return [text.replace(word, mask, 1) for word in dict.fromkeys(text.split())]


def _group(tokens, keep_o=False, prefixes=False, skip_o=False, only_b=False, always_new=False):
    names, before = [], None
    for token in tokens:
        tag = token["entity"]
        prefix, _, label = tag.partition("-")
        if tag == "O":
            if keep_o:
                names.append(("O", token["start"], token["end"]))
            if not skip_o:
                before = None
            continue
        if prefix == "I" and before == label and not always_new:
            names[-1] = (names[-1][0], names[-1][1], token["end"])
        elif not only_b or prefix == "B":
            names.append((tag if prefixes else label, token["start"], token["end"]))
        before = label
    return names


def _ignores_b(tokens):
    return _group([{**token, "entity": token["entity"].replace("B-", "I-")} for token in tokens])


def _articles_as_letters(given, true):
    def clean(text):
        for mark in [*string.punctuation, "the", "an", "a"]:
            text = text.lower().replace(mark, "")
        return " ".join(text.split())

    return clean(given) == clean(true)


def _words_in_any_order(given, true):
    def words(text):
        kept = "".join(c for c in text.lower() if c not in string.punctuation).split()
        return {word for word in kept if word not in ("a", "an", "the")}

    return words(given) == words(true)


def _products(query, vectors, count):
    products = vectors @ query
    return [(int(i), float(products[i])) for i in products.argsort(descending=True)[:count]]


def _cosines(query, vectors):
    return (vectors / vectors.norm(dim=-1, keepdim=True)) @ (query / query.norm())


def _least(query, vectors, count):
    cosine = _cosines(query, vectors)
    return [(int(i), float(cosine[i])) for i in cosine.argsort()[:count]]


def _order_only(query, vectors, count):
    order = _cosines(query, vectors).argsort(descending=True)[:count]
    return [(int(i), float((vectors @ query)[i])) for i in order]


def _one_too_few(query, vectors, count):
    return _cosines(query, vectors).argsort(descending=True)[:count].tolist()


def _search_threshold(scores, labels, limits, strict=False, pick=max):
    def right(limit):
        calls = [score > limit if strict else score >= limit for score in scores]
        return sum(one == label for one, label in zip(calls, labels, strict=True))

    return pick(limits, key=right)


WRONG = {
    "2.1": [
        (lambda results: [one["score"] for one in results], "it belongs to the winner"),
        (lambda results: [one["label"] == "POSITIVE" for one in results], "How sure the model is"),
        (lambda results: [one["score"] * (1 if one["label"] == "POSITIVE" else -1) for one in results], "below 0"),
        (lambda results: 1 - results[0]["score"], "a list of floats"),
    ],
    "2.2": [
        (_two_columns, "exchanged, or multi_label is not looked at"),
        (_always_shared, "exchanged, or multi_label is not looked at"),
        (_three_classes, "all three classes"),
        (_fixed_columns, "fixed the columns"),
        (_other_share, "contradiction's share"),
        (lambda logits, entailment, contradiction, multi_label: logits[:, entailment], "softmax is missing"),
    ],
    "2.3": [
        (_replace, "replaces every match"),
        (_left_out, "Nothing is hidden"),
        (_each_kind, "occurs twice"),
        (lambda text, mask: " ".join([mask, *text.split()[1:]]), "a list of strings"),
    ],
    "2.4": [
        (lambda tokens: _group(tokens, keep_o=True), "O is not a name"),
        (lambda tokens: _group(tokens, prefixes=True), "without B- or I-"),
        (lambda tokens: _group(tokens, always_new=True), "more names than there are"),
        (lambda tokens: _group(tokens, skip_o=True), "an O between them was skipped"),
        (lambda tokens: _group(tokens, only_b=True), "A name is missing"),
        (_ignores_b, "didn't begin a new name"),
        (lambda tokens: {token["entity"] for token in tokens}, "a list of tuples"),
    ],
    "2.5": [
        (lambda given, true: given == true, "don't count"),
        (_articles_as_letters, "inside a word"),
        (_words_in_any_order, "the order of the words counts"),
        (lambda given, true: given.lower().split(), "True or False"),
    ],
    "2.6": [
        (
            lambda candidates, length_penalty=1.0: max(range(len(candidates)), key=lambda i: candidates[i][0]),
            "didn't divide",
        ),
        (
            lambda candidates, length_penalty=1.0: max(
                range(len(candidates)), key=lambda i: candidates[i][0] / candidates[i][1]
            ),
            "without the power",
        ),
        (
            lambda candidates, length_penalty=1.0: min(
                range(len(candidates)), key=lambda i: candidates[i][0] / candidates[i][1] ** length_penalty
            ),
            "the lowest score",
        ),
        (lambda candidates, length_penalty=1.0: candidates[0], "an index"),
    ],
    "2.7": [
        (_products, "divide by both lengths"),
        (_least, "least similar"),
        (_order_only, "divide by both lengths"),
        (lambda query, vectors, count: [(i, 1.0) for i in range(len(vectors))], "were expected"),
        (
            lambda query, vectors, count: [(i, 1.0) for i in range(len(vectors))][:count],
            "not those of the most similar",
        ),
        (_one_too_few, "tuples (index, similarity)"),
    ],
    "2.8": [
        (lambda scores, labels: _search_threshold(scores, labels, scores), "call nothing a paraphrase"),
        (lambda scores, labels: _search_threshold(scores, labels, [*scores, 9.0, -9.0], strict=True), "count with >"),
        (lambda scores, labels: _search_threshold(scores, labels, [*scores, 9.0], pick=min), "fewest right calls"),
        (lambda scores, labels: 0.5, "right calls"),
        (lambda scores, labels: scores, "a number was expected"),
    ],
    "2.9": [
        (lambda missing: sorted(missing), "These are the parameters"),
        (lambda missing: sorted(name.rpartition(".")[0] for name in missing), "more than once"),
        (lambda missing: sorted({name.split(".")[0] for name in missing}), "at the first dot"),
        (lambda missing: {name.rpartition(".")[0] for name in missing}, "a sorted list"),
        (lambda missing: list(dict.fromkeys(name.rpartition(".")[0] for name in missing)), "should be sorted"),
    ],
}
