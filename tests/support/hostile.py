"""Answers that no judge foresaw: none passes, none breaks a judge, each gets a sentence."""

import math
from types import SimpleNamespace


class Untouchable:
    """Every operator raises."""

    def _refuse(self, *_, **__):
        raise RuntimeError("do not touch")

    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __bool__ = __len__ = __iter__ = __getitem__ = _refuse
    __add__ = __radd__ = __sub__ = __mul__ = __float__ = __int__ = __repr__ = __str__ = __contains__ = _refuse
    __hash__ = None


class Nameless(Exception):
    """An exception whose words can't be had."""

    def __str__(self):
        raise RuntimeError("no words")


class Empty:
    """A class with nothing in it."""


def raises(*_, **__):
    raise ValueError("on purpose")


def raises_without_words(*_, **__):
    raise Nameless


def leaves(*_, **__):
    raise SystemExit(3)


def takes_nothing():
    return 1


def takes_too_much(a, b, c, d, e, f, g, h, i):
    return a


def prints(*given, **__):
    print("the answer")


def changes_its_input(*given, **__):
    for one in given:
        for change in ("clear", "zero_"):
            if hasattr(one, change):
                getattr(one, change)()
    return given[0] if given else None


def recursion(*given, **options):
    return recursion(*given, **options)


def yields(*given, **__):
    yield from given


VALUES = {
    "None": None,
    "nan": math.nan,
    "an empty list": [],
    "an empty dict": {},
    "an empty string": "",
    "a huge number": 10**400,
    "a string": "surely not",
    "bytes": b"\xff\x00",
    "True": True,
    "a list of None": [None, None],
    "nested lists of unequal length": [[1], [1, 2]],
    "a set": {"a", 1},
    "a namespace": SimpleNamespace(shape="square", dtype=None),
    "an untouchable object": Untouchable(),
    "a huge list": [0] * 100_000,
}


def returning(value):
    return lambda *_, **__: value


FUNCTIONS = {f"returns {name}": returning(value) for name, value in VALUES.items()} | {
    "raises": raises,
    "raises without words": raises_without_words,
    "leaves": leaves,
    "takes nothing": takes_nothing,
    "takes too much": takes_too_much,
    "prints": prints,
    "changes its input": changes_its_input,
    "recursion": recursion,
    "yields": yields,
    "returns its class": lambda *_, **__: Untouchable,
    "an empty class": Empty,
    "the class int": int,
    "a module's function": math.sqrt,
}

ANSWERS = VALUES | FUNCTIONS
