"""Chapter 11: columns, three parts, tidy text, each row once, pieces with labels, counts, fingerprints, a buffer."""

import random
import re
from functools import partial
from itertools import islice
from numbers import Integral

from labs_utils.exercises.vocabulary import Trial, describe, exercise, expect


def columned(rows, of=None, fill=None, falsy: bool = False, short: bool = False) -> dict:
    """Rows as columns; the options are ways of getting them wrong."""
    names = {name for row in (rows if of is None else [rows[of]]) for name in row}
    found = {name: [row.get(name, fill) for row in rows if not short or name in row] for name in names}
    return {name: [value or None for value in column] for name, column in found.items()} if falsy else found


@exercise(
    "11.1",
    mistakes=[
        ("Perhaps you took the keys of the first row only.", partial(columned, of=0)),
        ("Perhaps you took the keys of the last row only.", partial(columned, of=-1)),
        ("A row without the key needs a None in its place.", partial(columned, short=True)),
        ("A row lacks the key: None belongs there, and not an empty text.", partial(columned, fill="")),
        ("A value such as 0 is a value: test for the key, not for its truth.", partial(columned, falsy=True)),
    ],
)
def rows_to_columns(answer):
    draw = random.Random(0)
    cases = [[{"stars": 5}, {"stars": 1, "comment": "It leaks."}], [{"a": 1, "b": 2}, {"a": 3, "b": 4}]]
    cases += [[{"a": 0, "b": ""}, {"b": False}], [{"b": 1}, {"a": 2}, {}]]
    cases += [[{key: draw.randint(0, 9) for key in "abcd" if draw.random() < 0.6} for _ in range(5)] for _ in range(20)]
    for rows in cases:
        trial, expected = Trial(answer, rows), columned(rows)
        got = trial.returns(dict)
        lists = all(isinstance(column, list | tuple) for column in got.values())
        trial.expect(lists, f"each column should be a list, but got {describe(got)}")
        missing = [f"The column {name!r} is missing." for name in expected if name not in got]
        trial.equal(got, expected, "your columns {got} are not all keys of all rows", *missing)


def lengths(parts) -> list[int]:
    return [len(parts[name]) for name in ("train", "validation", "test")]


def two_shares(dataset, seed):
    from datasets import DatasetDict

    first = dataset.train_test_split(test_size=0.2, seed=seed)
    second = first["test"].train_test_split(test_size=0.1, seed=seed)
    return DatasetDict(train=first["train"], validation=second["train"], test=second["test"])


@exercise("11.2", mistakes=[("The second share is one of the part that you split, not of the whole.", two_shares)])
def three_parts(answer):
    from datasets import Dataset

    for count in (100, 57, 230):
        table = Dataset.from_dict({"id": list(range(count)), "text": [f"row {place}" for place in range(count)]})
        trial = Trial(answer, table, 1, given=f"a table of {count} rows and a seed")
        ids = ids_of_parts(trial)
        whole = sorted(row for rows in ids.values() for row in rows)
        again = "Perhaps you split the whole table a second time."
        trial.expect(len(whole) == len(set(whole)), "a row is in two parts", again)
        trial.expect(whole == [*range(count)], f"{len(whole)} rows are in the parts. Each belongs in exactly one")
        # Two roundings (of the fifth, and of its half) make up to one and a half rows of difference.
        shares, sizes = [share * count for share in (0.8, 0.1, 0.1)], lengths(ids)
        trial.close(sizes, shares, 1.5, "your parts of {got} rows are not 80, 10 and 10 %", form=lengths)
        trial.expect(list(table["id"]) == [*range(count)], "your function changed the table that it was given")
        ordered = all(rows == sorted(rows) for rows in ids.values())
        trial.expect(not ordered, "the parts are in the table's order: a sorted file would give a test of one class")
        for seed, fault in ((1, "the same seed gives other parts. Perhaps a seed is not handed on"), (2, "")):
            other = ids_of_parts(Trial(answer, table, seed, given=f"a table of {count} rows and the seed {seed}"))
            trial.expect((other == ids) == (seed == 1), fault or "two seeds give the same parts. Perhaps it is fixed")


def ids_of_parts(trial) -> dict[str, list]:
    """The rows of each part, when these are what was asked for."""
    from datasets import Dataset, DatasetDict

    parts = trial.returns(DatasetDict, "a DatasetDict")
    keys = "the keys should be train, validation and test"
    trial.expect(set(parts) == {"train", "validation", "test"}, f"{keys}, but are {describe(sorted(parts, key=str))}")
    tables = all(isinstance(part, Dataset) and set(part.column_names) == {"id", "text"} for part in parts.values())
    trial.expect(tables, "each part should be a Dataset with the columns of the table")
    return {name: list(part["id"]) for name, part in parts.items()}


@exercise("11.3")
def tidy(answer):
    cases = {"  Did&nbsp;nothing.\r\nI&#039;d  not ": "Did nothing. I'd not", "A mat.": "A mat.", "": ""}
    cases |= {"Salt &amp; pepper, &quot;fine&quot;": 'Salt & pepper, "fine"', "caf&eacute; 茶 🙂": "café 茶 🙂"}
    cases |= {"one\ttwo\n\nthree": "one two three", "&nbsp;only the ends&nbsp;": "only the ends", "5 &lt; 6": "5 < 6"}
    for review, expected in cases.items():
        trial = Trial(answer, review)
        got = trial.returns(str)
        reasons = [
            ("There is an HTML entity left.", re.search(r"&#?\w+;", got)),
            ("A non-breaking space is left: it comes out of &nbsp;, so look for it after unescaping.", "\xa0" in got),
            ("There is a line break or a tab left.", re.search(r"[\r\n\t]", got)),
            ("There are two spaces in a row.", "  " in got),
            ("There is white space left at an end.", got != got.strip()),
            ("Perhaps you removed a space between two words.", got.replace(" ", "") == expected.replace(" ", "")),
        ]
        trial.equal(got, expected, "your text {got} is not tidy", *reasons)


def firsts(values) -> list[int]:
    return [place for place, value in enumerate(values) if value not in values[:place]]


def chosen(pick):
    """A way of answering 11.4: the rows whose places `pick` finds in the column."""
    return lambda dataset, column: dataset.select(pick(list(dataset[column])))


@exercise(
    "11.4",
    mistakes=[
        (
            "Perhaps you kept the last row of a value instead of its first.",
            chosen(lambda values: sorted({value: place for place, value in enumerate(values)}.values())),
        ),
        (
            "A value is still there twice: repeats need not be neighbours.",
            chosen(lambda values: [place for place in range(len(values)) if values[place] not in values[:place][-1:]]),
        ),
        (
            "A value that repeats got lost: its first row stays.",
            chosen(lambda values: [place for place, value in enumerate(values) if values.count(value) == 1]),
        ),
        (
            "The rows are right, but no longer in the order of the table.",
            chosen(lambda values: sorted(firsts(values), key=lambda place: str(values[place]))),
        ),
        (
            "None is a value too: its first row stays.",
            chosen(lambda values: [place for place in firsts(values) if values[place] is not None]),
        ),
    ],
)
def keep_first(answer):
    from datasets import Dataset

    draw = random.Random(4)
    columns = [[7, 8, 7, 9, 8], [1, 2, 3], [5, 5, 5], ["b", "a", "b"], [None, 1, None, 1]]
    columns += [[draw.randint(0, 5) for _ in range(12)] for _ in range(5)]
    columns.append([place % 1_200 for place in range(2_500)])  # repeats that lie more than a batch of 1,000 apart
    for values in columns:
        table = Dataset.from_dict({"id": values, "place": list(range(len(values)))})
        trial, expected = Trial(answer, table, "id", given=f"the column {describe(values)}"), firsts(values)
        kept = trial.returns(Dataset)
        names = f"the columns should stay as they are, but are {kept.column_names}"
        trial.expect({*kept.column_names} == {"id", "place"}, names)
        got = list(kept["place"])
        still = "A value is still there twice.", len({values[place] for place in got}) < len(got)
        sentence = "your rows {got} are not the first ones"
        trial.equal(got, expected, sentence, still, form=lambda rows: list(rows["place"]))


def cut(batch, size, rest=True, step=None, blanks=None, first=False, empty=False, join=" ".join) -> dict:
    """Texts in pieces; the options are ways of getting them wrong."""
    found: dict = {"text": [], "label": []}
    for text, label in zip(batch["text"], batch["label"], strict=True):
        words = text.split(blanks)
        for start in range(0, len(words) or int(empty), step or size):
            piece = words[start : start + size]
            if rest or len(piece) == size:
                found["text"].append(join(piece))
                found["label"].append(batch["label"][0] if first else label)
    return found


def most_words(texts) -> int:
    return max((len(text.split()) for text in texts), default=0)


@exercise(
    "11.5",
    mistakes=[
        ("Perhaps you dropped the last, shorter piece.", partial(cut, rest=False)),
        ("A label belongs to another text.", partial(cut, first=True)),
        ("Words came twice: the pieces don't overlap.", partial(cut, step=1)),
        ("A text without words gives no piece.", partial(cut, empty=True)),
        ("Perhaps you split at every single space: two in a row are one gap.", partial(cut, blanks=" ")),
        ("Each piece needs a label.", lambda batch, size: cut(batch, size) | {"label": batch["label"]}),
        ("Each piece should be one string.", partial(cut, join=list)),
    ],
)
def pieces(answer):
    draw = random.Random(5)
    cases = [({"text": ["one two three", "four"], "label": [1, 0]}, 2), ({"text": ["a b c d"], "label": [3]}, 2)]
    cases += [({"text": ["", "a", "   "], "label": [0, 1, 2]}, 1), ({"text": ["a  b"], "label": [1]}, 2)]
    cases.append(({"text": ["a b c"], "label": [3]}, 5))
    for _ in range(20):
        texts = [" ".join(draw.choices("abcdefg", k=draw.randint(0, 9))) for _ in range(4)]
        cases.append(({"text": texts, "label": [draw.randint(0, 3) for _ in texts]}, draw.randint(1, 4)))
    for batch, size in cases:
        trial = Trial(answer, batch, size)
        got = trial.returns(dict)
        keys = {*got} == {"text", "label"}
        trial.expect(keys, f"the keys should be text and label, but are {describe(sorted(got, key=str))}")
        long = f"A piece has more than {size} words.", lambda got=got, size=size: most_words(got["text"]) > size
        trial.equal(got, cut(batch, size), "your {got} are not the texts in pieces, each with its label", long)


def counts_of(dataset, names: bool = True, every: bool = True) -> dict:
    """Rows of each class; the options are ways of getting them wrong."""
    numbers, classes = list(dataset.with_format(None)["label"]), dataset.features["label"].names
    found = {place: numbers.count(place) for place in range(len(classes)) if every or place in numbers}
    return {classes[place]: count for place, count in found.items()} if names else found


@exercise(
    "11.6",
    mistakes=[
        ("The keys should be the names of the classes, not their numbers.", partial(counts_of, names=False)),
        ("A class that has no row belongs there too, with 0.", partial(counts_of, every=False)),
    ],
)
def label_counts(answer):
    from datasets import ClassLabel, Dataset, Features, Value

    names = ["no", "yes", "maybe"]
    features = Features(label=ClassLabel(names=names), text=Value("string"))
    for labels in ([1, 1, 0], [2, 2, 2, 2], [0], [0, 1, 2, 2, 1, 2]):
        table = Dataset.from_dict({"label": labels, "text": ["x"] * len(labels)}, features=features)
        for form in (None, "torch", "pandas", "numpy"):
            table.set_format(form, columns=["label"] if form else None)
            before = table.format
            trial = Trial(answer, table, given=f"the labels {labels}, the names {names} and the format {form}")
            changed = f"your function left the table in the format {table.format['type']}"
            view = "with_format gives a view; set_format and reset_format change the table itself."
            trial.expect(table.format == before, changed, view)
            got = trial.returns(dict)
            whole = all(isinstance(count, Integral) for count in got.values())
            trial.expect(whole, f"each count should be a whole number, but got {describe(got)}")
            expected = {name: labels.count(number) for number, name in enumerate(names)}
            numbers = "The keys should be the names.", not all(isinstance(name, str) for name in got)
            trial.equal(got, expected, "your {got} are not how often each class occurs", numbers)


REASONS = {
    "A": (True, "is a comment still there when Python has compiled the function?"),
    "B": (True, "the result would differ, but can the library know that before it runs the function?"),
    "C": (False, "the arguments of map are hashed too."),
    "D": (False, "the table has a fingerprint of its own. Where does it come from without a seed?"),
    "E": (True, "a function of a module is pickled by its name."),
}


@exercise("11.7")
def instant(answer):
    expect(isinstance(answer, dict), f"A dict with the keys A to E was expected, but got {describe(answer)}.")
    keys = describe(sorted(answer, key=str))
    expect(set(answer) == set(REASONS), f"The keys should be A, B, C, D and E, but they are {keys}.")
    told = all(value is True or value is False for value in answer.values())
    expect(told, f"Each value should be True or False, but they are {describe(list(answer.values()))}.")
    alike = "You say the same for all five. Some of them change what is hashed, and some don't."
    expect(len(set(answer.values())) == 2, alike)
    wrong = [f"{key}: {why}" for key, (is_instant, why) in REASONS.items() if answer[key] != is_instant]
    expect(not wrong, f"{len(wrong)} of the five are not what the library does. Think about {' '.join(wrong[:1])}")


def drained(answer, count: int, size: int, seed: int = 0) -> tuple[Trial, list, int, int]:
    """What the learner's generator gives for a stream of numbers, and how far it ran ahead: at most, and at least."""
    taken: list[int] = []

    def stream():
        for number in range(count):
            taken.append(number)
            yield number

    def give(trial):
        got, ahead = [], []
        for item in islice(trial.result, count + 1):  # it may never end
            got.append(item)
            ahead.append(len(taken) - len(got))
        # When the stream has ended, the buffer runs empty: only what came before counts as the least.
        before_the_end = [gap for given, gap in enumerate(ahead, 1) if given + gap < count]
        return got, max(ahead, default=0), min(before_the_end, default=size)

    given = f"a stream of {count} items, a buffer of {size} and the seed {seed}"
    trial = Trial(answer, stream(), size, seed, given=given)
    trial.expect(hasattr(trial.result, "__iter__"), f"a generator was expected, but got {describe(trial.result)}")
    return trial, *Trial(give, trial, given=given).result


@exercise("11.8")
def buffered(answer):
    for count, size in ((5, 2), (100, 10), (40, 40), (20, 50), (30, 1), (0, 3)):
        trial, got, ahead, _ = drained(answer, count, size)
        rest = f"only {len(got)} items come out. Perhaps the rest stays in the buffer at the end"
        trial.expect(len(got) >= count, rest)
        once = sorted(got, key=str) == sorted(range(count), key=str)
        trial.expect(once, f"each item should come out once, but got {describe(got)}")
        greedy = f"you took {ahead} items more than you gave. A stream may never end: hold no more than the buffer"
        trial.expect(ahead <= size, greedy)
        early = [item for place, item in enumerate(got[: max(count - size, 0)]) if item >= place + size]
        direct = f"item {early[:1]} comes too early: it must go into the list before it can come out"
        trial.expect(not early, direct)
        # By chance, twenty items or more come in their old order far less than once in 10**18.
        old = 1 < count <= size and got == sorted(got)
        trial.expect(not old, "what is in the buffer at the end comes in its old order. Shuffle the rest")
    shuffles(answer, 400, 20)


def shuffles(answer, count: int, size: int) -> None:
    """How well a long stream is shuffled, and what the seed has to do with it."""
    trial, order, _, least = drained(answer, count, size)
    trial.expect(order != sorted(order), "the items come out in their old order")
    blocks = f"no item leaves its block of {size}. Perhaps you fill and empty the buffer in turns: give one, take one"
    trial.expect(any(item // size != place // size for place, item in enumerate(order)), blocks)
    # By chance, items wait for anything from 1 to about 100 swaps; a fixed place moves nearly all by the same distance.
    delays = {place - item for place, item in enumerate(order[: count // 2])}
    fixed = "every item is moved by much the same distance. Perhaps you always give away the same place"
    trial.expect(len(delays) > 10, fixed)
    # The newest item of the list is given away in every twentieth of 380 draws: never, once in 10**8.
    reach = max(item - place for place, item in enumerate(order))
    trial.expect(reach >= size - 1, f"no item comes as early as a buffer of {size} lets it. Perhaps yours holds fewer")
    several = "several items come out before the next one is taken. The classic buffer gives one for one that it takes"
    trial.expect(least >= size - 1, several)
    again, other = (drained(answer, count, size, seed)[1] for seed in (0, 1))
    trial.expect(again == order, "the same seed gives another order. Perhaps you don't use the seed")
    trial.expect(other != order, "two seeds give the same order. Perhaps you fixed the seed")
