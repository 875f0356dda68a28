"""Chapter 11: what learners get wrong, and what they are told."""

import html
import random
import re

from datasets import DatasetDict


def _first_keys(rows):
    return {name: [row.get(name) for row in rows] for name in (rows[0] if rows else {})}


def _without_missing(rows):
    columns = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def _empty_text(rows):
    names = {name for row in rows for name in row}
    return {name: [row.get(name, "") for row in rows] for name in names}


def _falsy(rows):
    names = {name for row in rows for name in row}
    return {name: [row.get(name) or None for row in rows] for name in names}


def _unshuffled(dataset, seed):
    count = len(dataset)
    train, held = int(0.8 * count), int(0.9 * count)
    ranges = {"train": (0, train), "validation": (train, held), "test": (held, count)}
    return DatasetDict({name: dataset.select(range(*ends)) for name, ends in ranges.items()})


def _overlapping(dataset, seed):
    first = dataset.train_test_split(test_size=0.1, seed=seed)
    second = dataset.train_test_split(test_size=0.1, seed=seed + 1)
    train = first["train"].select(range(int(0.8 * len(dataset))))
    return DatasetDict(train=train, validation=second["test"], test=first["test"])


def _twice_a_tenth(dataset, seed, again=0.1):
    first = dataset.train_test_split(test_size=0.2, seed=seed)
    second = first["test"].train_test_split(test_size=again, seed=seed)
    return DatasetDict(train=first["train"], validation=second["train"], test=second["test"])


def _no_seed(dataset, seed):
    return _twice_a_tenth(dataset, None, 0.5)


def _names_of_the_library(dataset, seed):
    parts = _twice_a_tenth(dataset, seed, 0.5)
    return DatasetDict(train=parts["train"], test=parts["validation"], valid=parts["test"])


def _keep_last(dataset, column):
    places = {value: place for place, value in enumerate(dataset[column])}
    return dataset.select(sorted(places.values()))


def _drop_all_repeats(dataset, column):
    values = list(dataset[column])
    return dataset.select([place for place, value in enumerate(values) if values.count(value) == 1])


def _sorted_by_value(dataset, column):
    first = {}
    for place, value in enumerate(dataset[column]):
        first.setdefault(value, place)
    return dataset.select([first[value] for value in sorted(first, key=str)])


def _neighbours_only(dataset, column):
    values = list(dataset[column])
    kept = [place for place, value in enumerate(values) if place == 0 or value != values[place - 1]]
    return dataset.select(kept)


def _cut(batch, size, rest=True, step=None, joined=True, empty=False, label="own"):
    texts, labels = [], []
    for text, own in zip(batch["text"], batch["label"], strict=True):
        words = text.split()
        for start in range(0, len(words), step or size):
            piece = words[start : start + size]
            if rest or len(piece) == size:
                texts.append(" ".join(piece) if joined else piece)
                labels.append(own if label == "own" else batch["label"][0])
        if empty and not words:
            texts.append("")
            labels.append(own)
    return {"text": texts, "label": labels}


def _labels_once(batch, size):
    return {"text": _cut(batch, size)["text"], "label": batch["label"]}


def _by_numbers(dataset):
    numbers = list(dataset.with_format(None)["label"])
    return {number: numbers.count(number) for number in set(numbers)}


def _present_only(dataset):
    names, numbers = dataset.features["label"].names, list(dataset.with_format(None)["label"])
    return {names[number]: numbers.count(number) for number in set(numbers)}


def _resets(dataset):
    dataset.reset_format()
    numbers = list(dataset["label"])
    return {name: numbers.count(number) for number, name in enumerate(dataset.features["label"].names)}


def _all_at_once(stream, size, seed):
    items = list(stream)
    random.Random(seed).shuffle(items)
    yield from items


def _forgets_the_rest(stream, size, seed):
    chance, held = random.Random(seed), []
    for item in stream:
        if len(held) < size:
            held.append(item)
        else:
            place = chance.randrange(size)
            yield held[place]
            held[place] = item


def _in_blocks(stream, size, seed):
    chance, held = random.Random(seed), []
    for item in stream:
        held.append(item)
        if len(held) == size:
            chance.shuffle(held)
            yield from held
            held = []
    chance.shuffle(held)
    yield from held


def _swaps(stream, size, seed, chance=None, shuffled=True, place=None):
    chance, held = chance or random.Random(seed), []
    for item in stream:
        if len(held) < size:
            held.append(item)
        else:
            where = chance.randrange(size) if place is None else place
            yield held[where]
            held[where] = item
    if shuffled:
        chance.shuffle(held)
    yield from held if shuffled else sorted(held)


def _loses_the_new(stream, size, seed):
    chance, held = random.Random(seed), []
    for item in stream:
        if len(held) < size:
            held.append(item)
        else:
            yield held[chance.randrange(size)]
    yield from held


def _five(text):
    return {key: letter == "T" for key, letter in zip("ABCDE", text, strict=True)}


WRONG = {
    "11.1": [
        (_first_keys, "the first row"),
        (_without_missing, "needs a None in its place"),
        (_empty_text, "None belongs there"),
        (_falsy, "test for the key"),
        (lambda rows: rows, "a dict was expected"),
        (lambda rows: {name: [row[name] for row in rows] for row in rows for name in row}, "raised KeyError"),
    ],
    "11.2": [
        (_unshuffled, "in the order of the table"),
        (_overlapping, "as well"),
        (_twice_a_tenth, "not of the whole"),
        (_no_seed, "handed on"),
        (_names_of_the_library, "the keys should be"),
        (lambda dataset, seed: _twice_a_tenth(dataset, 42, 0.5), "fixed the seed"),
        (lambda dataset, seed: tuple(_twice_a_tenth(dataset, seed, 0.5).values()), "a DatasetDict was expected"),
    ],
    "11.3": [
        (lambda review: review.strip(), "HTML entity left"),
        (lambda review: html.unescape(review), "non-breaking space"),
        (lambda review: html.unescape(review).replace("\xa0", " "), "line break"),
        (lambda review: html.unescape(" ".join(review.split())), "non-breaking space"),
        (lambda review: re.sub(r"\s", " ", html.unescape(review)).strip(), "two spaces in a row"),
        (lambda review: re.sub(r"\s+", " ", html.unescape(review)), "at an end"),
        (lambda review: re.sub(r"\s+", "", html.unescape(review)), "removed a space"),
        (lambda review: html.unescape(review).split(), "a string was expected"),
    ],
    "11.4": [
        (_keep_last, "instead of its first"),
        (_drop_all_repeats, "got lost"),
        (_sorted_by_value, "order of the table"),
        (_neighbours_only, "still there twice"),
        (lambda dataset, column: dataset.unique(column), "a Dataset was expected"),
        (lambda dataset, column: dataset.filter(lambda row: row[column] is not None), "still there twice"),
    ],
    "11.5": [
        (lambda batch, size: _cut(batch, size, rest=False), "shorter piece"),
        (lambda batch, size: _cut(batch, size, empty=True), "no piece"),
        (lambda batch, size: _cut(batch, size, label="first"), "belongs to another text"),
        (lambda batch, size: _cut(batch, size, joined=False), "should be a string"),
        (lambda batch, size: _cut(batch, size, step=1), "don't overlap"),
        (_labels_once, "Each piece needs one"),
        (lambda batch, size: _cut(batch, size + 1), "more than"),
        (lambda batch, size: _cut(batch, size)["text"], "a dict was expected"),
    ],
    "11.6": [
        (_by_numbers, "not their numbers"),
        (_present_only, "with 0"),
        (_resets, "change the table itself"),
        (lambda dataset: list(dataset.features["label"].names), "a dict was expected"),
    ],
    "11.7": [
        (_five("TTTTT"), "the same for all five"),
        (_five("FTFFT"), "a comment"),
        (_five("TFFFT"), "before it runs"),
        (_five("TTTFT"), "arguments of map"),
        (_five("TTFTT"), "without a seed"),
        (_five("TTFFF"), "by its name"),
        ({"A": True}, "The keys should be"),
        ([True, True, False, False, True], "A dict with the keys"),
        (dict.fromkeys("ABCDE", 1), "True or False"),
    ],
    "11.8": [
        (_all_at_once, "hold no more than the buffer"),
        (_forgets_the_rest, "stays in the buffer"),
        (_in_blocks, "block of"),
        (lambda stream, size, seed: _swaps(stream, size, seed, shuffled=False), "Shuffle the rest"),
        (lambda stream, size, seed: _swaps(stream, size, seed, place=0), "the same place"),
        (lambda stream, size, seed: _swaps(stream, size, seed, chance=random.Random()), "don't use the seed"),
        (lambda stream, size, seed: _swaps(stream, size, 42), "fixed the seed"),
        (_loses_the_new, "should come out once"),
        (lambda stream, size, seed: stream, "old order"),
        (lambda stream, size, seed: size, "a generator was expected"),
    ],
}
