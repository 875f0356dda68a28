"""Chapter 11: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import html
import random
import re
from collections import Counter, defaultdict
from itertools import islice

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict


def columns_in_two_walks(rows):
    columns = {}
    for row in rows:
        for name in row:
            columns[name] = []
    for row in rows:
        for name, column in columns.items():
            column += [row[name]] if name in row else [None]
    return columns


def columns_of_tuples(rows):
    columns = defaultdict(lambda: [None] * len(rows))
    for place, row in enumerate(rows):
        for name, value in row.items():
            columns[name][place] = value
    return {name: tuple(column) for name, column in columns.items()}


def parts_by_places(dataset, seed):
    places = np.random.default_rng(seed).permutation(len(dataset))
    ends = [0, round(0.8 * len(places)), round(0.9 * len(places)), len(places)]
    names = ("train", "validation", "test")
    return DatasetDict({name: dataset.select(places[a:b]) for name, a, b in zip(names, ends, ends[1:], strict=False)})


def parts_from_the_end(dataset, seed):
    first = dataset.train_test_split(train_size=0.9, seed=seed)
    second = first["train"].train_test_split(test_size=len(first["test"]), seed=seed)
    return DatasetDict(test=first["test"], train=second["train"], validation=second["test"])


def parts_unshuffled(dataset, seed):
    ends = [0, int(0.8 * len(dataset)), int(0.9 * len(dataset)), len(dataset)]
    names = ("train", "validation", "test")
    return DatasetDict({n: dataset.select(range(a, b)) for n, a, b in zip(names, ends, ends[1:], strict=False)})


def parts_that_share(dataset, seed):
    first = dataset.train_test_split(test_size=0.1, seed=seed)
    second = dataset.train_test_split(test_size=0.1, seed=seed + 1)
    train = first["train"].select(range(int(0.8 * len(dataset))))
    return DatasetDict(train=train, validation=second["test"], test=first["test"])


def parts_that_lose_rows(dataset, seed):
    parts = parts_by_places(dataset, seed)
    return DatasetDict(parts, train=parts["train"].select(range(len(parts["train"]) - 1)))


def parts_without_seed(dataset, seed):
    return parts_from_the_end(dataset, None)


def parts_with_other_names(dataset, seed):
    parts = parts_by_places(dataset, seed)
    return DatasetDict(train=parts["train"], test=parts["test"], valid=parts["validation"])


def tidy_with_expressions(review):
    return re.sub(r"^\s+|\s+$", "", re.sub(r"\s+", " ", html.unescape(review)))


def tidy_letter_by_letter(review):
    found = ""
    for letter in html.unescape(review):
        letter = " " if letter.isspace() else letter
        if letter != " " or not found.endswith(" "):
            found += letter
    return found.strip(" ")


def first_by_pandas(dataset, column):
    frame = dataset.to_pandas().drop_duplicates(column)
    return Dataset.from_pandas(frame, preserve_index=False)


def first_by_filter(dataset, column):
    seen = set()
    return dataset.filter(lambda row: not (row[column] in seen or seen.add(row[column])), load_from_cache_file=False)


def first_of_each_batch(dataset, column):
    def unseen(values):
        return [value not in values[:place] for place, value in enumerate(values)]

    return dataset.filter(unseen, input_columns=column, batched=True)


def pieces_with_islice(batch, size):
    found = []
    for text, label in zip(*batch.values(), strict=True):
        words = iter(text.split())
        while piece := list(islice(words, size)):
            found.append((" ".join(piece), label))
    return {"label": tuple(label for _, label in found), "text": [text for text, _ in found]}


def pieces_in_a_frame(batch, size):
    frame = pd.DataFrame(batch)
    frame["text"] = [[words[n : n + size] for n in range(0, len(words), size)] for words in frame["text"].str.split()]
    frame = frame.explode("text").dropna()
    return {"text": [" ".join(words) for words in frame["text"]], "label": frame["label"].to_numpy()}


def pieces_in_place(batch, size):
    found = pieces_with_islice(batch, size)
    batch["text"][:] = found["text"]
    return found


def counts_by_arrow(dataset):
    names = dataset.features["label"].names
    numbers = Counter(dataset.data.column("label").to_pylist())
    return {name: numbers[number] for number, name in enumerate(names)}


def counts_by_numpy(dataset):
    label = dataset.features["label"]
    counts = np.bincount(dataset.with_format("numpy")["label"][:], minlength=label.num_classes)
    return dict(zip(label.names, counts, strict=True))


def counts_in_tensors(dataset):
    import torch

    return {name: torch.tensor(count) for name, count in counts_by_arrow(dataset).items()}


def counts_after_reset(dataset):
    dataset.reset_format()
    return counts_by_arrow(dataset)


def buffer_by_popping(stream, size, seed):
    chance, stream = random.Random(seed), iter(stream)
    held = list(islice(stream, size))
    for item in stream:
        place = int(chance.random() * len(held))
        yield held.pop(place)
        held.insert(place, item)
    while held:
        yield held.pop(chance.randrange(len(held)))


def buffer_with_numpy(stream, size, seed):
    chance, held = np.random.default_rng(seed), {}
    for number, item in enumerate(stream):
        place = number if number < size else int(chance.integers(size))
        if number >= size:
            yield held[place]
        held[place] = item
    yield from (held[place] for place in chance.permutation(len(held)).tolist())


def all_at_once(stream, size, seed):
    items = list(stream)
    random.Random(seed).shuffle(items)
    yield from items


def in_blocks(stream, size, seed):
    chance, held = random.Random(seed), []
    for item in stream:
        held.append(item)
        if len(held) == size:
            chance.shuffle(held)
            yield from held
            held = []
    chance.shuffle(held)
    yield from held


def half_at_once(stream, size, seed):
    """What `shuffle` of the library does."""
    chance, held = random.Random(seed), []
    for item in stream:
        held.append(item)
        if len(held) == size:
            chance.shuffle(held)
            for _ in range(max(size // 2, 1)):
                yield held.pop()
    chance.shuffle(held)
    yield from held


def swaps(stream, size, seed, chance=None, rest="shuffled", place=None, lose=False, more=0):
    chance, held = chance or random.Random(seed), []
    for item in stream:
        if len(held) < size + more:
            held.append(item)
            if len(held) <= size:
                continue
        where = chance.randrange(len(held)) if place is None else place
        yield held[where]
        if more:
            del held[where]
        elif not lose:
            held[where] = item
    if rest == "shuffled":
        chance.shuffle(held)
    yield from held if rest else []


def never_ends(stream, size, seed):
    yield from stream
    while True:
        yield 0


def _five(text):
    return {key: letter == "T" for key, letter in zip("ABCDE", text, strict=True)}


RIGHT = {
    "11.1": [columns_in_two_walks, columns_of_tuples],
    "11.2": [parts_by_places, parts_from_the_end],
    "11.3": [tidy_with_expressions, tidy_letter_by_letter],
    "11.4": [first_by_pandas, first_by_filter],
    "11.5": [pieces_with_islice, pieces_in_a_frame],
    "11.6": [counts_by_arrow, counts_by_numpy],
    "11.7": [_five("TTFFT"), dict(zip("EDCBA", (True, False, False, True, True), strict=True))],
    "11.8": [buffer_by_popping, buffer_with_numpy],
}

WRONG = {
    "11.1": [
        (lambda rows: rows, "a dict was expected"),
        (lambda rows: {name: [row[name] for row in rows] for row in rows for name in row}, "raised KeyError"),
        (lambda rows: pd.DataFrame(rows).to_dict("series"), "each column should be a list"),
    ],
    "11.2": [
        (parts_unshuffled, "in the table's order"),
        (parts_that_share, "in two parts"),
        (parts_that_lose_rows, "Each belongs in exactly one"),
        (parts_without_seed, "handed on"),
        (parts_with_other_names, "the keys should be"),
        (lambda dataset, seed: parts_by_places(dataset, 42), "Perhaps it is fixed"),
        (lambda dataset, seed: dict(parts_by_places(dataset, seed)), "a DatasetDict was expected"),
        (lambda dataset, seed: parts_by_places(dataset.remove_columns("text"), seed), "the columns of the table"),
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
        (first_of_each_batch, "still there twice"),
        (lambda dataset, column: dataset.unique(column), "a Dataset was expected"),
        (lambda dataset, column: dataset.remove_columns("place"), "the columns should stay"),
    ],
    "11.5": [
        (pieces_in_place, "changed batch"),
        (lambda batch, size: pieces_with_islice(batch, size + 1), "more than 2 words"),
        (lambda batch, size: batch["text"], "a dict was expected"),
        (lambda batch, size: {"text": batch["text"]}, "the keys should be"),
    ],
    "11.6": [
        (counts_after_reset, "change the table itself"),
        (counts_in_tensors, "a whole number"),
        (lambda dataset: list(dataset.features["label"].names), "a dict was expected"),
        (lambda dataset: {"0": 1, "1": 2, "2": 0}, "not how often"),
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
        (all_at_once, "hold no more than the buffer"),
        (lambda stream, size, seed: swaps(stream, size, seed, rest=""), "stays in the buffer"),
        (in_blocks, "block of"),
        (half_at_once, "one for one"),
        (lambda stream, size, seed: swaps(stream, size, seed, rest="as it is"), "Shuffle the rest"),
        (lambda stream, size, seed: swaps(stream, size, seed, more=1), "comes too early"),
        (lambda stream, size, seed: swaps(stream, size, seed, place=0), "the same place"),
        (lambda stream, size, seed: swaps(stream, size, seed, chance=random.Random()), "don't use the seed"),
        (lambda stream, size, seed: swaps(stream, size, 42), "fixed the seed"),
        (lambda stream, size, seed: swaps(stream, size, seed, lose=True), "should come out once"),
        (lambda stream, size, seed: stream, "old order"),
        (lambda stream, size, seed: size, "a generator was expected"),
        (lambda stream, size, seed: swaps(stream, max(size - 1, 1), seed), "holds fewer"),
        (never_ends, "should come out once"),
        (lambda stream, size, seed: (item + "!" for item in stream), "raised TypeError"),
    ],
}
