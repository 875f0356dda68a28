"""What comes back from a student's code, as JSON: plain data, tensors and arrays, and names for everything else.

A judge outside the student's process can't take an object from it, and must not unpickle one: a pickle runs code. So
values cross as JSON, and what is read here is always one of our own types, whatever was sent. Source of the worry:
https://docs.python.org/3/library/pickle.html, its first warning.

An input that comes back as the result is named by its place, so that a judge still sees that it is the same object.
"""

import base64
import collections
import math
import pathlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_PLAIN = (type(None), bool, str)
_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_MOST = 3_000_000  # items and characters in one value; a judge asks for some thousand
_LONGEST = 1_000_000


class Foreign:
    """Stands for an object of a class that does not cross: no judge can take it for anything else.

    Its class bears the name of the object's, and its words are the object's own, so that a sentence says what was got.
    """

    def __init__(self, words: str | None):
        self._words = words

    def __repr__(self) -> str:
        if self._words is None:
            raise TypeError("it has no words")
        return self._words


class TooLarge(Exception):
    """A value that is larger than any right answer."""


class Encoder:
    """Makes a JSON tree of a value. `inputs` are objects that are named by their place instead of being sent."""

    def __init__(self, inputs: tuple = (), special: Callable[[Any], dict | None] = lambda value: None):
        self._places: dict[int, int | list] = dict(_places_of(inputs))
        self._special = special
        self._count = 0

    def encode(self, value: Any, depth: int = 0) -> Any:
        """The tree of one value.

        Raises:
            TooLarge: more than three million items, or nested a hundred deep.
        """
        self._count += 1
        if self._count > _MOST or depth > 100:
            raise TooLarge("it returned more than three million items, or items nested a hundred deep")
        if id(value) in self._places:
            return {"input": self._places[id(value)]}
        kind = type(value)
        if kind in _PLAIN:
            if kind is str and len(value) > _LONGEST:
                raise TooLarge("it returned a text of more than a million characters")
            return {"text": value.encode("utf-8", "surrogatepass").hex()} if _is_odd(value) else value
        if kind is int:
            return value if -(2**53) < value < 2**53 else {"int": hex(value)}
        if kind is float:
            return {"float": value.hex()}
        rows = {"datasets": _rows(value)} if _is_rows(value) else None
        return rows or self._container(value, depth) or self._leaf(value, depth)

    def _container(self, value: Any, depth: int) -> dict | None:
        """Python's own containers; a subclass of one (a Counter, a named tuple, a ModelOutput) comes as what it is."""
        for name, kind in _SEQUENCES.items():
            if isinstance(value, kind):
                if kind.__len__(value) > _MOST:
                    raise TooLarge("it returned more than three million items")
                return {name: [self.encode(item, depth + 1) for item in kind.__iter__(value)]}
        if isinstance(value, dict | collections.UserDict) or type(value).__name__ == "mappingproxy":
            pairs = [[self.encode(key, depth + 1), self.encode(item, depth + 1)] for key, item in value.items()]
            found = {"dict": pairs}
            return found | {"ordered": True} if isinstance(value, collections.OrderedDict) else found
        return None

    def _leaf(self, value: Any, depth: int) -> dict:
        found = self._special(value) or _array(value) or _known(value)
        if found is not None:
            return found
        named = {"module": type(value).__module__, "class": type(value).__name__}
        return {"foreign": {name: str(text)[:200] for name, text in named.items()}, "words": _words(value)}

    def encode_error(self, raised: BaseException) -> dict:
        """What is told of an exception: its classes by name, its words, the status of an answer over HTTP."""
        return _error(raised)


def _is_odd(value: Any) -> bool:
    """Text with half a surrogate pair is no Unicode, and no JSON either."""
    try:
        return isinstance(value, str) and bool(value) and not value.encode()
    except UnicodeEncodeError:
        return True


def _array(value: Any) -> dict | None:
    """Tensors, arrays and their numbers, as bytes. NumPy has no bfloat16: its two bytes cross as int16."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor) and value.layout is torch.strided:
        plain = value.detach().resolve_conj().resolve_neg().to("cpu").contiguous()
        kind = str(plain.dtype).removeprefix("torch.")
        whole = plain.view(torch.int16) if kind == "bfloat16" else plain
        own = {"shape": list(plain.shape), "dtype": kind, "data": _letters(whole.numpy().tobytes())}
        graph = {"grad": bool(value.requires_grad), "leaf": bool(value.is_leaf)}
        return {"tensor": own | graph | {"parameter": isinstance(value, torch.nn.Parameter)}}
    if torch is not None and isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "biufcUS":
        own = {"shape": list(value.shape), "dtype": value.dtype.str, "data": _letters(value.tobytes())}
        return {"array": own | {"number": isinstance(value, numpy.generic)}}
    return None


def _letters(data: bytes) -> str:
    if len(data) > 10 * _MOST:
        raise TooLarge("it returned an array of more than thirty million bytes")
    return base64.b64encode(data).decode()


def _known(value: Any) -> dict | None:
    """The few other kinds that answers are made of."""
    if isinstance(value, bytes | bytearray):
        return {"bytes": _letters(bytes(value))}
    if isinstance(value, complex):
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, bool | int):  # an enumeration's member, such as an IntEnum's
        return {"int": hex(int(value))}
    if isinstance(value, float):
        return {"float": float(value).hex()}
    if isinstance(value, str):
        return {"text": str.encode(value, "utf-8", "surrogatepass").hex()}
    if isinstance(value, pathlib.PurePath):
        return {"path": str(value)}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, BaseException):
        return {"error": _error(value)}
    fraction = sys.modules.get("fractions")
    if fraction is not None and isinstance(value, fraction.Fraction):
        return {"fraction": [hex(value.numerator), hex(value.denominator)]}
    return None


def _places_of(inputs: tuple) -> Iterator[tuple[int, int | list]]:
    """What an input is known by: its place; a model's weight or a list's item by the input's place and its own."""
    torch = sys.modules.get("torch")
    for place, one in enumerate(inputs):
        if not isinstance(one, (*_PLAIN, int, float)):
            yield id(one), place
        if torch is not None and isinstance(one, torch.nn.Module):
            yield from ((id(weight), [place, name]) for name, weight in one.named_parameters())
        if isinstance(one, list | tuple) and len(one) < 1000:
            plain = (*_PLAIN, int, float, tuple)
            yield from ((id(item), [place, spot]) for spot, item in enumerate(one) if not isinstance(item, plain))


def _is_rows(value: Any) -> bool:
    library = sys.modules.get("datasets")
    return library is not None and isinstance(value, library.Dataset | library.DatasetDict)


def _rows(value: Any) -> Any:
    """A `Dataset` or `DatasetDict` as its columns and features; another class of that library as nothing."""
    if isinstance(value, Mapping):
        return {name: _rows(part) for name, part in value.items()}
    inner = Encoder()
    columns = {name: list(value[name]) for name in value.column_names}
    return {"columns": inner.encode(columns), "features": inner.encode(value.features.to_dict())}


def _error(error: BaseException) -> dict:
    try:
        words = str(error)[:2000]
    except BaseException:
        words = ""
    status = getattr(getattr(error, "response", None), "status_code", None)
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {"kinds": kinds[:20], "words": words, "status": status if isinstance(status, int) else None}


def _words(value: Any) -> str | None:
    try:
        return repr(value)[:300]
    except BaseException:
        return None


def decode(tree: Any, inputs: tuple = (), special: Callable[[str, Any], Any] | None = None) -> Any:
    """Return the value of a tree that an `Encoder` made, or somebody who pretends to be one.

    `inputs` are the objects that a place stands for. `special` makes what a kind beyond this module's stands for.

    Raises:
        ValueError: the tree is none of an `Encoder`'s.

    >>> import json, torch
    >>> sent = json.dumps(Encoder().encode({"ids": (1, 2**70), "rows": torch.eye(2)}))
    >>> decode(json.loads(sent))
    {'ids': (1, 1180591620717411303424), 'rows': tensor([[1., 0.],
            [0., 1.]])}
    """
    try:
        return _decode(tree, inputs, special)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"not a value: {type(error).__name__}") from None


def _decode(tree: Any, inputs: tuple, special: Callable[[str, Any], Any] | None) -> Any:
    if tree is None or isinstance(tree, bool | int | str):
        return tree
    kind, content = next(iter(tree.items()))
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](_decode(item, inputs, special) for item in content)
    if kind == "dict":
        make = collections.OrderedDict if tree.get("ordered") else dict
        return make((_decode(key, inputs, special), _decode(item, inputs, special)) for key, item in content)
    if kind == "input":
        return _input(inputs, content)
    if kind == "foreign":
        made = type(str(content["class"]), (Foreign,), {"__module__": str(content["module"])})
        return made(tree["words"] if isinstance(tree["words"], str) else None)
    if kind in _READERS:
        return _READERS[kind](content)
    if special is None:
        raise ValueError(f"not a value: {kind!r}")
    return special(kind, content)


def _input(inputs: tuple, place: int | list) -> Any:
    """The input, or its part, that a place stands for."""
    if not isinstance(place, list):
        return inputs[place]
    whole, part = inputs[place[0]], place[1]
    return whole[part] if isinstance(whole, list | tuple) else dict(whole.named_parameters())[part]


def _shape(sizes: list) -> list[int]:
    """Sizes that are safe to look at: an array of 10**9 rows of nothing is small, and a list of its rows isn't."""
    found = [int(size) for size in sizes]
    if len(found) > 32 or (0 in found and math.prod(size or 1 for size in found) > 100_000):
        raise ValueError("not a value: an array with such a shape")
    return found


def _integer(content: str) -> int:
    """A whole number; one of a million digits would keep a judge that computes with it busy for hours."""
    if len(content) > 10_000:
        raise ValueError("not a value: a number of more than ten thousand digits")
    return int(content, 16)


def _range(content: list) -> range:
    found = range(*content)
    if len(found) > _MOST:
        raise ValueError("not a value: a range of more than three million numbers")
    return found


def _fraction(content: list) -> Any:
    from fractions import Fraction

    return Fraction(_integer(content[0]), _integer(content[1]))


def _tensor(content: dict) -> Any:
    import torch

    kind = _dtype(content["dtype"])
    data = bytearray(base64.b64decode(content["data"]))
    # An empty buffer is refused by frombuffer.
    flat = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
    found = flat.reshape(_shape(content["shape"])).clone()
    found.requires_grad_(content["grad"] is True)
    if content["parameter"] is True:
        return torch.nn.Parameter(found.detach(), requires_grad=content["grad"] is True)
    # A result that hangs on a graph still says so, though there is nothing behind it here.
    return found * 1 if content["grad"] is True and not content["leaf"] else found


def _numpy(content: dict) -> Any:
    import numpy

    kind = numpy.dtype(content["dtype"])
    if kind.kind not in "biufcUS":
        raise ValueError(f"not a value: an array of {kind}")
    found = numpy.frombuffer(base64.b64decode(content["data"]), dtype=kind).reshape(_shape(content["shape"])).copy()
    return found[()] if content["number"] is True else found


def _dtype(name: str) -> Any:
    import torch

    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"not a value: torch.{name}")
    return found


def _dataset(content: dict) -> Any:
    from datasets import Dataset, DatasetDict, Features

    if "columns" not in content:
        return DatasetDict({name: _dataset(part) for name, part in content.items()})
    features = Features.from_dict(decode(content["features"]))
    if not _is_plain(features):
        raise ValueError("not a value: rows that hold more than plain data")
    return Dataset.from_dict(decode(content["columns"]), features=features)


def _is_plain(feature: Any) -> bool:
    """Whether a column's type is plain: one of images or sounds opens the files and addresses that its rows name."""
    from datasets import ClassLabel, LargeList, List, Value

    if isinstance(feature, dict):
        return all(_is_plain(part) for part in feature.values())
    if isinstance(feature, List | LargeList):
        return _is_plain(feature.feature)
    return isinstance(feature, Value | ClassLabel)


def error(content: dict) -> BaseException:
    """An exception of the same name and words: Python's own class, or one made for the purpose below it."""
    import builtins

    names, words = [str(name)[:100] for name in content["kinds"][:20]], str(content["words"])[:2000]
    known = [getattr(builtins, name, None) for name in names]
    base = next((one for one in known if isinstance(one, type) and issubclass(one, Exception)), Exception)
    made = base.__new__(base, words)
    if base.__name__ != names[0] or str(made) != words:  # a KeyError, for one, says its words as their repr
        own: Any = type(names[0], (base,), {"__str__": lambda self: str(self.args[0])})
        made = own.__new__(own, words)
    if isinstance(content["status"], int):
        made.__dict__["response"] = types.SimpleNamespace(status_code=content["status"])
    return made


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": lambda content: bytes.fromhex(content).decode("utf-8", "surrogatepass"),
    "int": _integer,
    "float": float.fromhex,
    "complex": lambda content: complex(float.fromhex(content[0]), float.fromhex(content[1])),
    "bytes": base64.b64decode,
    "path": lambda content: pathlib.Path(content),
    "range": _range,
    "fraction": _fraction,
    "tensor": _tensor,
    "array": _numpy,
    "dtype": _dtype,
    "datasets": _dataset,
    "error": error,
}
