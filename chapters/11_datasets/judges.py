"""Chapter 11: columns, three parts, tidy text, each row once, pieces with labels, counts, fingerprints, a buffer."""

import random
import re

from labs_utils.exercises.core import call, describe, exercise, expect


@exercise("11.1")
def rows_to_columns(answer):
    draw = random.Random(0)
    cases = [
        [{"stars": 5}, {"stars": 1, "comment": "It leaks."}],
        [{"a": 1, "b": 2}, {"a": 3, "b": 4}],
        [{"a": 0, "b": ""}, {"b": False}],
        [{"b": 1}, {"a": 2}, {}],
        [],
    ]
    cases += [[{key: draw.randint(0, 9) for key in "abcd" if draw.random() < 0.6} for _ in range(5)] for _ in range(20)]
    for rows in cases:
        given = f"the rows {describe(rows)}"
        columns = call(answer, [dict(row) for row in rows], given=given)
        expect(isinstance(columns, dict), f"Given {given}, a dict was expected, but got {describe(columns)}.")
        names = {name for row in rows for name in row}
        missing = sorted(names - set(columns))
        expect(
            not missing,
            f"Given {given}, the column {missing[0] if missing else ''!r} is missing. Perhaps you took the keys of the "
            "first row (or of the last one) only.",
        )
        strange = sorted(set(map(str, columns)) - names)
        expect(not strange, f"Given {given}, no row has a key {strange[0] if strange else ''!r}.")
        for name in sorted(names):
            column = columns[name]
            expect(
                isinstance(column, list | tuple),
                f"Given {given}, the column {name!r} should be a list, but is {describe(column)}.",
            )
            expect(
                len(column) == len(rows),
                f"Given {given}, the column {name!r} has {len(column)} values for {len(rows)} rows. A row without the "
                "key needs a None in its place.",
            )
            for place, row in enumerate(rows):
                got, lacks = column[place], name not in row
                perhaps = " The row lacks the key: None belongs there." if lacks else ""
                if not lacks and not row[name] and got is None:
                    perhaps = " A value such as 0 or an empty text is a value: test for the key, not for its truth."
                expect(
                    got is None if lacks else got == row[name] and type(got) is type(row[name]),
                    f"Given {given}, the column {name!r} has {describe(got)} at place {place}.{perhaps}",
                )


@exercise("11.2")
def three_parts(answer):
    from datasets import Dataset

    for count in (100, 57, 230):
        table = Dataset.from_dict({"id": list(range(count)), "text": [f"row {place}" for place in range(count)]})
        given = f"a table of {count} rows"
        parts = call(answer, table, 1, given=given)
        expect(isinstance(parts, dict), f"Given {given}, a DatasetDict was expected, but got {describe(parts)}.")
        names = {"train", "validation", "test"}
        expect(
            set(parts) == names,
            f"Given {given}, the keys should be train, validation and test, but are {describe(sorted(parts))}.",
        )
        for name, part in parts.items():
            expect(isinstance(part, Dataset), f"Given {given}, {name!r} should be a Dataset, but is {describe(part)}.")
        ids = {name: list(part["id"]) for name, part in parts.items()}
        for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
            both = set(ids[one]) & set(ids[other])
            expect(
                not both,
                f"Given {given}, {len(both)} rows are in {one} and in {other} as well. Perhaps you split the whole "
                "table a second time, instead of one of its parts.",
            )
        whole = sorted(place for part in ids.values() for place in part)
        expect(
            whole == list(range(count)),
            f"Given {given}, the parts have {len(whole)} rows together. Each row belongs in exactly one.",
        )
        for name, share in {"train": 0.8, "validation": 0.1, "test": 0.1}.items():
            # Two roundings (of the fifth, and of its half) make up to one and a half rows of difference.
            expect(
                abs(len(ids[name]) - share * count) <= 1.5,
                f"Given {given}, {name} has {len(ids[name])} rows, which is not {share:.0%} of them. The second share "
                "is one of the part that you split, not of the whole.",
            )
        expect(
            any(places != sorted(places) for places in ids.values()) or ids["train"] != list(range(len(ids["train"]))),
            f"Given {given}, the parts come in the order of the table. Shuffle: a sorted file would give you a "
            "test set of one class.",
        )
        again = call(answer, table, 1, given=given)
        same = all(list(again[name]["id"]) == places for name, places in ids.items())
        expect(same, f"Given {given} and the same seed twice, the parts differ. Perhaps a seed is not handed on.")
        other = call(answer, table, 2, given=given)
        differs = any(list(other[name]["id"]) != places for name, places in ids.items())
        expect(differs, f"Given {given} and two seeds, the parts are the same. Perhaps you fixed the seed.")
        expect(list(table["id"]) == list(range(count)), "Your function changed the table that it was given.")
        both_columns = all(part.column_names == ["id", "text"] for part in parts.values())
        expect(both_columns, f"Given {given}, the parts should keep the columns of the table.")


@exercise("11.3")
def tidy(answer):
    cases = [
        ("  Did&nbsp;nothing.\r\nI&#039;d  not ", "Did nothing. I'd not"),
        ("A mat.", "A mat."),
        ("Salt &amp; pepper, &quot;fine&quot;", 'Salt & pepper, "fine"'),
        ("caf&eacute;", "café"),
        ("one\ttwo\n\nthree", "one two three"),
        ("&nbsp;only the ends&nbsp;", "only the ends"),
        ("", ""),
        ("5 &lt; 6", "5 < 6"),
        ("Größe 茶 🙂", "Größe 茶 🙂"),
    ]
    for review, wanted in cases:
        got = call(answer, review)
        given = repr(review)
        expect(isinstance(got, str), f"Given {given}, a string was expected, but got {describe(got)}.")
        perhaps = ""
        if re.search(r"&#?\w+;", got):
            perhaps = " There is an HTML entity left."
        elif "\xa0" in got:
            perhaps = " There is a non-breaking space left: it comes out of &nbsp;, so look for it after unescaping."
        elif re.search(r"[\r\n\t]", got):
            perhaps = " There is a line break or a tab left."
        elif "  " in got:
            perhaps = " There are two spaces in a row."
        elif got != got.strip():
            perhaps = " There is white space left at an end."
        elif got.replace(" ", "") == wanted.replace(" ", ""):
            perhaps = " Perhaps you removed a space between two words."
        expect(got == wanted, f"Given {given}, your result {got!r} is not tidy.{perhaps}")


@exercise("11.4")
def keep_first(answer):
    from datasets import Dataset

    draw = random.Random(4)
    lists = [[7, 8, 7, 9, 8], [1, 2, 3], [5, 5, 5], ["b", "a", "b"], [None, 1, None, 1], []]
    lists += [[draw.randint(0, 5) for _ in range(12)] for _ in range(5)]
    lists.append([place % 1_200 for place in range(2_500)])  # repeats that lie more than a batch of 1,000 apart
    for values in lists:
        table = Dataset.from_dict({"id": values, "place": list(range(len(values)))})
        given = f"the column {describe(values)}"
        kept = call(answer, table, "id", given=given)
        expect(isinstance(kept, Dataset), f"Given {given}, a Dataset was expected, but got {describe(kept)}.")
        expect(
            set(kept.column_names) == {"id", "place"},
            f"Given {given}, the columns should stay as they are, but are {kept.column_names}.",
        )
        wanted = [place for place, value in enumerate(values) if value not in values[:place]]
        got = list(kept["place"])
        perhaps = ""
        if len(got) > len(wanted):
            perhaps = " A value is still there twice."
        elif len(got) < len(wanted):
            perhaps = " A value got lost: of those that repeat, the first stays, and None is a value too."
        elif sorted(got) == wanted:
            perhaps = " The rows are right, but no longer in the order of the table."
        elif [values[place] for place in got] == [values[place] for place in wanted] or len(got) == len(wanted):
            perhaps = " Perhaps you kept a later row of a value instead of its first."
        expect(got == wanted, f"Given {given}, your rows {describe(got)} are not the first ones.{perhaps}")


@exercise("11.5")
def pieces(answer):
    draw = random.Random(5)
    cases = [
        ({"text": ["one two three", "four"], "label": [1, 0]}, 2),
        ({"text": ["a b c d"], "label": [3]}, 2),
        ({"text": ["a b c"], "label": [3]}, 5),
        ({"text": ["", "a  b", "   "], "label": [0, 1, 2]}, 1),
        ({"text": [], "label": []}, 4),
    ]
    for _ in range(20):
        texts = [" ".join(draw.choices("abcdefg", k=draw.randint(0, 9))) for _ in range(4)]
        cases.append(({"text": texts, "label": [draw.randint(0, 3) for _ in texts]}, draw.randint(1, 4)))
    for batch, size in cases:
        given = f"the batch {describe(batch)} and size {size}"
        mine = {name: list(column) for name, column in batch.items()}
        got = call(answer, mine, size, given=given)
        expect(hasattr(got, "keys"), f"Given {given}, a dict was expected, but got {describe(got)}.")
        expect(
            set(got.keys()) == {"text", "label"},
            f"Given {given}, the keys should be text and label, but are {describe(sorted(got.keys()))}.",
        )
        texts, labels = list(got["text"]), list(got["label"])
        expect(
            all(isinstance(text, str) for text in texts),
            f"Given {given}, every piece should be a string, but the first is {describe(texts[0] if texts else None)}.",
        )
        expect(
            len(texts) == len(labels),
            f"Given {given}, you return {len(texts)} pieces and {len(labels)} labels. Each piece needs one.",
        )
        split = [(text.split(), label) for text, label in zip(batch["text"], batch["label"], strict=True)]
        wanted = [
            (" ".join(words[start : start + size]), label)
            for words, label in split
            for start in range(0, len(words), size)
        ]
        perhaps = ""
        if "" in texts:
            perhaps = " A text without words gives no piece."
        elif any(len(text.split()) > size for text in texts):
            perhaps = f" A piece has more than {size} words."
        elif sum(len(text.split()) for text in texts) < sum(len(words) for words, _ in split):
            perhaps = " Words got lost. Perhaps you dropped the last, shorter piece."
        elif sum(len(text.split()) for text in texts) > sum(len(words) for words, _ in split):
            perhaps = " Words came twice: the pieces don't overlap."
        elif texts == [text for text, _ in wanted]:
            perhaps = " The pieces are right, but a label belongs to another text."
        expect(
            list(zip(texts, labels, strict=True)) == wanted,
            f"Given {given}, your {len(texts)} pieces {describe(texts)} are not the texts in pieces.{perhaps}",
        )


@exercise("11.6")
def label_counts(answer):
    from datasets import ClassLabel, Dataset

    names = ["no", "yes", "maybe"]
    for labels in ([1, 1, 0], [2, 2, 2, 2], [0], [0, 1, 2, 2, 1, 2]):
        table = Dataset.from_dict({"label": labels, "text": ["x"] * len(labels)})
        table = table.cast_column("label", ClassLabel(names=names))
        for form in (None, "torch", "pandas", "numpy"):
            table.set_format(form, columns=["label"] if form else None)
            before = table.format
            given = f"the labels {labels} in the format {form}"
            got = call(answer, table, given=given)
            expect(
                table.format == before,
                f"Given {given}, your function left the table in the format {table.format['type']}. with_format gives "
                "a view; set_format and reset_format change the table itself.",
            )
            expect(hasattr(got, "items"), f"Given {given}, a dict was expected, but got {describe(got)}.")
            got = dict(got.items())
            wanted = {name: labels.count(number) for number, name in enumerate(names)}
            perhaps = ""
            if set(got) == {str(number) for number in range(3)} or any(not isinstance(key, str) for key in got):
                perhaps = " The keys should be the names of the classes, not their numbers."
            elif set(wanted) - set(got):
                perhaps = " A class that has no row belongs there too, with 0."
            expect(
                set(got) == set(wanted) and all(int(got[name]) == count for name, count in wanted.items()),
                f"Given {given}, your counts {describe(got)} are not how often each class occurs.{perhaps}",
            )


@exercise("11.7")
def instant(answer):
    expect(isinstance(answer, dict), f"A dict with the keys A to E was expected, but got {describe(answer)}.")
    keys = set("ABCDE")
    expect(
        set(answer) == keys, f"The keys should be A, B, C, D and E, but they are {describe(sorted(answer, key=str))}."
    )
    truths = all(value is True or value is False for value in answer.values())
    expect(truths, f"Each value should be True or False, but they are {describe(list(answer.values()))}.")
    right = {"A": True, "B": True, "C": False, "D": False, "E": True}
    wrong = [key for key in sorted(keys) if answer[key] != right[key]]
    if not wrong:
        return
    expect(
        set(answer.values()) == {True, False},
        "You say the same for all five. Some of them change what is hashed, and some don't.",
    )
    reasons = {
        "A": "Think again about A: is a comment still there when Python has compiled the function?",
        "B": "Think again about B: the result would differ, but can the library know that before it runs the function?",
        "C": "Think again about C: the arguments of map are hashed too.",
        "D": "Think again about D: the table has a fingerprint of its own. Where does it come from without a seed?",
        "E": "Think again about E: a function of a module is pickled by its name.",
    }
    expect(False, f"{len(wrong)} of the five are not what the library does. {reasons[wrong[0]]}")


@exercise("11.8")
def buffered(answer):
    for count, size in ((5, 2), (100, 10), (40, 40), (10, 50), (30, 1), (0, 3)):
        given = f"a stream of {count} items and a buffer of {size}"
        taken = []

        def stream(count=count, taken=taken):
            for number in range(count):
                taken.append(number)
                yield number

        result = call(answer, stream(), size, 0, given=given)
        expect(hasattr(result, "__iter__"), f"Given {given}, a generator was expected, but got {describe(result)}.")
        got, ahead = [], 0
        try:
            for item in result:
                got.append(item)
                ahead = max(ahead, len(taken) - len(got))
        except Exception as error:
            expect(False, f"Given {given}, your generator raised {type(error).__name__}: {error}")
        expect(
            len(got) >= count,
            f"Given {given}, only {len(got)} items come out. Perhaps the rest stays in the buffer at the end.",
        )
        expect(
            sorted(got, key=str) == sorted(range(count), key=str),
            f"Given {given}, each item should come out once, but got {describe(got)}.",
        )
        expect(
            ahead <= size,
            f"Given {given}, your generator took up to {ahead} items more than it had given away. A stream may never "
            "end: hold no more than the buffer.",
        )
        early = [item for place, item in enumerate(got) if item > place + size]
        expect(
            not early, f"Given {given}, item {early[0] if early else 0} comes earlier than such a buffer can make it."
        )
    big, size = 400, 20
    given = f"a stream of {big} items and a buffer of {size}"
    orders = {seed: _listed(answer, big, size, seed, given) for seed in (0, 1, 2)}
    order = orders[0]
    expect(order != list(range(big)), f"Given {given}, the items come out in their old order.")
    expect(
        any(item // size != place // size for place, item in enumerate(order)),
        f"Given {given}, no item leaves its block of {size}. Perhaps you fill, shuffle and empty the buffer in turns: "
        "give away one item, then take one.",
    )
    # In a shuffled rest of 20 items, chance makes all three runs sorted far less than once in 10**50.
    ends = [list(part[-size:]) for part in orders.values()]
    expect(
        any(end != sorted(end) for end in ends),
        f"Given {given}, the last {size} items come in their old order. Shuffle the rest.",
    )
    # By chance, items wait for anything from 1 to about 100 swaps; a fixed place moves nearly all by the same distance.
    delays = [place - item for place, item in enumerate(order[: big // 2])]
    expect(
        len(set(delays)) > 10,
        f"Given {given}, every item is moved by much the same distance. Perhaps you always give away the same place.",
    )
    again = _listed(answer, big, size, 0, given)
    expect(again == order, f"Given {given} and the same seed twice, the orders differ. Perhaps you don't use the seed.")
    expect(orders[1] != order, f"Given {given} and two seeds, the orders are the same. Perhaps you fixed the seed.")


def _listed(answer, count: int, size: int, seed: int, given: str) -> list:
    """All that the learner's generator gives for a stream of numbers."""
    return call(lambda: list(answer(iter(range(count)), size, seed)), given=given)
