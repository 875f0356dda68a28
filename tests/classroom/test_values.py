"""What crosses from a student's process to the judge: values come through whole, and nothing else comes through."""

import base64
import collections
import enum
import json
import math
import pathlib
from fractions import Fraction
from types import SimpleNamespace

import numpy
import pytest
import torch
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labs_utils.classroom.grading.values import Encoder, TooLarge, decode, error
from labs_utils.exercises.vocabulary import describe, same

# Neither how fast the machine is nor chance decides whether a test passes.
CALM = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.complex_numbers() | st.fractions()
    | st.binary() | st.just(10**400) | st.sampled_from(["\ud800", "a\0", "\u202e"])
)  # fmt: skip
KEYS = st.booleans() | st.integers() | st.text() | st.fractions() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner) | st.frozensets(KEYS) | st.sets(KEYS)
    ),
    max_leaves=20,
)

KINDS = [
    "list", "tuple", "set", "frozenset", "dict", "input", "foreign", "text", "int", "float", "complex", "bytes", "path",
    "range", "fraction", "tensor", "array", "dtype", "datasets", "error", "module", "iterator", "function", "eval",
]  # fmt: skip
FIELDS = [
    "shape", "dtype", "data", "grad", "leaf", "parameter", "number", "class", "module", "words", "columns", "features",
    "kinds", "status", "handle", "weights", "name", "ordered", "_type",
]  # fmt: skip
WORDS = st.sampled_from(
    ["0x1p3", "0xff", "AAAA", "ff", "float32", "qint8", "load", "<f4", "O", "U5", "__class__", "Value"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(KINDS) | st.sampled_from(FIELDS) | st.text(), inner)
    ),
    max_leaves=25,
)
FORGED = st.builds(lambda kind, content: {kind: content}, st.sampled_from(KINDS), JSON) | JSON
DTYPES = [name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)]
TENSORS = st.fixed_dictionaries(
    {
        "shape": st.lists(st.integers(-1, 10**10), max_size=4),
        "dtype": st.sampled_from(
            [name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)] + ["load"]
        ),
        "data": st.binary(max_size=32).map(lambda data: base64.b64encode(data).decode()),
    },
    optional={name: st.booleans() | st.integers() for name in ("grad", "leaf", "parameter", "number")},
)


def through(value, inputs=()):
    return decode(json.loads(json.dumps(Encoder(inputs).encode(value), allow_nan=False)), inputs)


def alike(one, other) -> bool:
    """Equal, of the same types, through and through; nan is nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return [*one] == [*other] and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, set | frozenset):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    return repr(one) == repr(other)


@CALM
@given(VALUES)
def test_plain_data_comes_back_as_it_was(value):
    assert alike(through(value), value)


def test_a_dict_keeps_its_order_and_the_kinds_of_its_keys():
    assert [*through({2: "a", "2": "b", (1, "x"): "c"})] == [2, "2", (1, "x")]
    assert isinstance(through(collections.OrderedDict(a=1)), collections.OrderedDict)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3).T,
        torch.tensor(3.5, dtype=torch.bfloat16),
        torch.tensor([math.nan, math.inf, -0.0]),
        torch.empty(0, 3, dtype=torch.float64),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]).conj(),
        torch.eye(2).expand(3, 2, 2),
    ],
    ids=lambda tensor: f"{tuple(tensor.shape)}-{tensor.dtype}",
)
def test_tensors(tensor):
    back = through(tensor)
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert same(back.real, tensor.resolve_conj().real) and back.is_contiguous()


def test_a_tensor_says_whether_it_hangs_on_a_graph():
    weight = torch.nn.Parameter(torch.ones(2))
    assert isinstance(through(weight), torch.nn.Parameter) and through(weight).requires_grad
    assert through(weight * 2).requires_grad and not through(weight * 2).is_leaf
    assert not through(weight.detach()).requires_grad


@pytest.mark.parametrize(
    "array", [numpy.arange(6.0).reshape(2, 3).T, numpy.array(["a", "bcd"]), numpy.float32(1.5), numpy.bool_(True)]
)
def test_arrays_and_their_numbers(array):
    back = through(array)
    assert type(back) is type(array) and back.dtype == array.dtype and (back == array).all()


def test_other_kinds():
    assert through(Fraction(1, 3)) == Fraction(1, 3) and through(range(2, 9, 3)) == range(2, 9, 3)
    assert through(pathlib.Path("a/b")) == pathlib.Path("a/b") and through(torch.int8) is torch.int8
    assert through(enum.IntEnum("Level", "low high").high) == 2
    assert through(collections.Counter("aab")) == {"a": 2, "b": 1}
    assert through(collections.namedtuple("Pair", "a b")(1, 2)) == (1, 2)


def test_rows_come_back_with_their_features():
    rows = DatasetDict({"train": Dataset.from_dict({"text": ["a", "b"], "label": [[0], [1, 2]]})})
    back = through(rows)
    assert back["train"].features == rows["train"].features and back["train"][:] == rows["train"][:]


def test_what_was_handed_in_is_known_by_its_place():
    inputs = [1, 2], {"a": 1}, torch.ones(2), torch.nn.Linear(2, 1)
    for one in inputs:
        assert through(one, inputs) is one
    assert through(inputs[3].weight, inputs) is inputs[3].weight
    items = ([torch.ones(1), torch.zeros(1)],)
    assert through([items[0][1]], items)[0] is items[0][1]
    assert through([1, 2], inputs) is not inputs[0]


class Liar:
    """Equal to everything."""

    __eq__ = __bool__ = lambda *_: True
    __hash__ = lambda _: 0  # noqa: E731


@pytest.mark.parametrize("value", [Liar(), SimpleNamespace(a=1), object(), type, print, lambda: 1])
def test_an_object_of_another_class_is_nothing_but_its_words(value):
    back = through(value)
    assert repr(back) == repr(value)[:300] and back != 1 and not isinstance(back, list | dict | str | int)
    assert type(back).__mro__[1].__name__ == "Foreign" and not callable(back)


def test_subclasses_cannot_lie():
    class Yes(str):
        __eq__ = lambda *_: True  # noqa: E731
        __hash__ = str.__hash__

    class Empty(list):
        __iter__ = lambda _: iter(())  # noqa: E731
        __len__ = lambda _: 0  # noqa: E731

    assert type(through(Yes("a"))) is str and through(Yes("a")) != "b"
    assert through(Empty([1, 2])) == [1, 2]


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "make",
    [lambda: nested(200), lambda: "x" * 1_000_001, lambda: [None] * 3_000_001, lambda: torch.zeros(10**7)],
    ids=["deep", "text", "list", "tensor"],
)
def test_what_is_too_large_is_not_sent(make):
    with pytest.raises(TooLarge, match="it returned"):
        Encoder().encode(make())


def decoded(tree) -> None:
    """Decode, and look at it as a judge does; only a ValueError is allowed."""
    try:
        found = decode(tree, ([1], torch.nn.Linear(1, 1)))
    except ValueError:
        return
    assert len(describe(found)) < 400


@settings(CALM, max_examples=400)
@given(FORGED)
def test_what_is_no_value_is_a_value_error(tree):
    decoded(tree)


@settings(CALM, max_examples=200)
@given(st.sampled_from(["tensor", "array"]), TENSORS)
def test_a_forged_tensor_is_a_tensor_or_a_value_error(kind, content):
    decoded({kind: content})


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"list": 3},
        {"dict": [[{"list": []}, 1]]},
        {"int": "0x" + "f" * 20_000},
        {"fraction": ["0x1", "0x0"]},
        {"fraction": ["0x" + "f" * 20_000, "0x" + "e" * 20_000]},
        {"range": [0, 10**18, 1]},
        {"range": [0, 1, 0]},
        {"path": [1]},
        {"dtype": "load"},
        {"input": 7},
        {"input": [0, 9]},
        {"input": "x"},
        {"tensor": {"shape": [10**9, 0], "dtype": "float32", "data": "", "grad": False, "parameter": False}},
        {"tensor": {"shape": [1] * 10**5, "dtype": "uint8", "data": "AA==", "grad": False, "parameter": False}},
        {"array": {"shape": [10**9, 0], "dtype": "<f4", "data": "", "number": False}},
        {"array": {"shape": [1], "dtype": "O", "data": "AAAAAAAAAAA=", "number": False}},
        {"eval": "1"},
        {"iterator": {"handle": 0}},
        json.loads("[" * 900 + "]" * 900),
    ],
    ids=lambda tree: str(tree)[:40],
)
def test_these_are_no_values(tree):
    nested = tree if isinstance(tree, dict) else {"list": [{"list": tree}]}
    with pytest.raises(ValueError):
        decode(nested, ([1],))


@pytest.mark.parametrize("kind", ["Image", "Audio", "Video", "Pdf", "Array2D"])
def test_rows_that_would_open_files_are_refused(kind, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    row = {"path": str(tmp_path / "secret.png"), "bytes": None}
    content = {"columns": Encoder().encode({"a": [row]}), "features": Encoder().encode({"a": {"_type": kind}})}
    with pytest.raises(ValueError):
        decode({"datasets": content})


def test_an_error_keeps_its_name_and_words_and_nothing_runs():
    told = Encoder().encode_error(KeyError("a"))
    assert repr(error(told)) == repr(error(json.loads(json.dumps(told)))) and isinstance(error(told), KeyError)
    odd = error({"kinds": ["Odd", "LookupError", "Exception"], "words": "x", "status": 412})
    assert (type(odd).__name__, str(odd), odd.response.status_code) == ("Odd", "x", 412) and isinstance(
        odd, LookupError
    )
    for name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "eval", "print"):
        assert isinstance(error({"kinds": [name], "words": "", "status": None}), Exception)
    assert len(str(error({"kinds": ["A" * 10**6], "words": "x" * 10**6, "status": None}))) == 2000
