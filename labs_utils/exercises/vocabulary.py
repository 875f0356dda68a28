"""What a chapter's judges are written with.

A judge says what is special about its exercise: the inputs, the expected result, the known mistakes. `Trial` does the
rest: it copies the inputs, calls the learner's code, notices a changed input, and makes a sentence of everything that
goes wrong. A sentence has the form: given this, expected a result with this property, got that, perhaps you did X.
"""

import contextlib
import dis
import inspect
import io
import math
import numbers
import reprlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from labs_utils.exercises.registry import Mistake, exercise

__all__ = ["CheckFailed", "Trial", "as_tensor", "beside", "describe", "exercise", "expect", "forbid", "same"]

Perhaps = str | tuple[str, Any]
_JUDGED: ContextVar[tuple[Any, tuple[Mistake, ...]]] = ContextVar("judged", default=(None, ()))


class CheckFailed(Exception):
    """A check's complaint: a sentence for the learner."""


def expect(condition: Any, message: str) -> None:
    """Complain with `message` unless `condition` holds."""
    if not bool(condition):
        raise CheckFailed(message)


class Trial:
    """One call of the learner's code.

    `Trial(answer, word, pair)` copies the inputs, calls `answer(word, pair)`, and complains in a sentence when that
    raises or changes one of the inputs (`may_change=True` where the exercise is about changing them: then `.inputs`
    are what the answer left behind). Its methods look at what came back. Every sentence begins with "Given …": the
    inputs by their names in the learner's function, or the words in `given`.

    Attributes:
        result: what the learner's code returned.
        given: the inputs, in words.
        inputs: the inputs as they were (with `may_change`: as they are afterwards).

    >>> trial = Trial(lambda numbers: numbers * 2, [1, 2])
    >>> trial.equal(trial.returns(list), [1, 2, 1, 2], "your list {got} is not the numbers twice")
    """

    def __init__(self, answer: Any, *inputs: Any, given: str = "", may_change: bool = False, **options: Any):
        expect(callable(answer), f"A function (or another callable) was expected, but this is {describe(answer)}.")
        self.answer, self.options = answer, options
        self.given = given or _in_words(answer, inputs, options)
        handed, named = _copy(inputs), _copy(options)
        self.inputs: tuple[Any, ...] = handed if may_change else inputs
        heard = _Listener(sys.stdout)
        try:
            with contextlib.redirect_stdout(heard):
                self.result = answer(*handed, **named)
        except CheckFailed:
            raise
        except (Exception, SystemExit) as error:  # whatever the learner's code raises is for the learner to read
            self.refuse(f"your function raised {describe_error(error)}")
        self._printed = heard.something
        if not may_change:
            self._unchanged([*inputs, *options.values()], [*handed, *named.values()])

    def refuse(self, sentence: str, *perhaps: Perhaps) -> None:
        """Complain: "Given …, `sentence`." and the first reason in `perhaps` that holds."""
        raise CheckFailed(f"Given {self.given}, {sentence.rstrip('.')}. {self._reason(perhaps)}".strip())

    def expect(self, condition: Any, sentence: str, *perhaps: Perhaps) -> None:
        """Complain with `sentence` unless `condition` holds."""
        if not bool(condition):
            self.refuse(sentence, *perhaps)

    def returns(
        self,
        kind: type | tuple[type, ...],
        what: str = "",
        of: type | tuple[type, ...] | None = None,
        perhaps: Perhaps = "",
    ) -> Any:
        """Return the result if it is of `kind`, or complain that `what` was expected.

        Close relatives count: a tuple for a list and the other way round, NumPy's numbers, any mapping for a dict. They
        come back as the kind that was asked for. A bool is no number, and a tensor is no list. `of` is what each item
        has to be.

        >>> Trial(lambda: (1, 2)).returns(list, of=int)
        [1, 2]
        """
        found = read(self.result, kind, of)
        if found is _UNREADABLE:
            self.refuse(
                f"{what or _name(kind, of)} was expected, but got {describe(self.result)}", self._nothing, perhaps
            )
        return found

    def tensor(self, shape: Sequence[int] | None = None, perhaps: Perhaps = ""):
        """Return the result (tensor, array, number or nested list) as a float64 tensor on the CPU, or complain.

        With `shape`, anything else than that shape is a complaint, too.
        """
        got = as_tensor(self.result)
        if got is None:
            self.refuse(f"a tensor was expected, but got {describe(self.result)}", self._nothing, perhaps)
        if shape is not None:
            self.shape(got, shape, perhaps)
        return got

    def shape(self, got: Any, shape: Sequence[int], *perhaps: Perhaps) -> None:
        """Complain unless the tensor or array `got` has this shape."""
        found = tuple(got.shape) if hasattr(got, "shape") else None
        if found != tuple(shape):
            shown = describe(got) if found is None else f"shape {found}"
            self.refuse(f"a result of shape {tuple(shape)} was expected, but got {shown}", *perhaps)

    def equal(
        self, got: Any, expected: Any, sentence: str, *perhaps: Perhaps, form: Callable = lambda result: result
    ) -> None:
        """Complain with `sentence` unless `got` is the same as `expected` (a list and a tuple of the same are).

        `{got}` in the sentence becomes what was got. The reasons are the exercise's mistakes, tried on these inputs,
        then those in `perhaps`: sentences, alone or with a condition. `form` brings a whole result into the form of
        `got`, where a judge has taken one part of it or sorted it.
        """
        if not same(got, expected):
            told = self._mistakes(lambda other: same(other, got) and not same(other, expected), form)
            self.refuse(sentence.replace("{got}", describe(got)), *told, *perhaps)

    def close(
        self,
        got: Any,
        expected: Any,
        tolerance: float,
        sentence: str = "your result is off by up to {off}",
        *perhaps: Perhaps,
        form: Callable = lambda result: result,
    ) -> None:
        """Complain unless `got` has `expected`'s shape and lies within `tolerance` of it, absolutely and everywhere.

        nan is close to nothing but nan, infinity to itself. `{off}` in the sentence is the largest difference, and
        `{got}` is what was got; the expected numbers are never told. Reasons as in `equal`.
        """
        mine, right = as_tensor(got), as_tensor(expected)
        if mine is None:
            self.refuse(f"a tensor was expected, but got {describe(got)}", *perhaps)
        off = _distance(mine, right)
        if off <= tolerance:
            return

        def explains(other: Any) -> bool:
            other = as_tensor(other)
            return other is not None and _distance(other, mine) <= tolerance < _distance(other, right)

        told = self._mistakes(explains, form)
        if mine.shape != right.shape:
            self.shape(mine, tuple(right.shape), *told, *perhaps)
        self.refuse(sentence.replace("{off}", f"{off:.2g}").replace("{got}", describe(got)), *told, *perhaps)

    def _mistakes(self, explains: Callable[[Any], bool], form: Callable) -> list[str]:
        """The sentences of the exercise's mistakes that give the learner's result on these inputs.

        A diagnosis of an answer to another exercise, or of a part of the answer, would be a guess: there is none.
        """
        answer, mistakes = _JUDGED.get()
        told = []
        for sentence, wrong in mistakes if answer is self.answer else ():
            with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stdout(io.StringIO()):
                if explains(form(wrong(*_copy(self.inputs), **_copy(self.options)))):
                    told.append(sentence)
        return [" Or: ".join(told[:2])] if told else []

    @property
    def _nothing(self) -> str:
        if self.result is not None:
            return ""
        return (
            "It printed something: a function hands its result over with return."
            if self._printed
            else ("Perhaps the return is missing.")
        )

    def _reason(self, perhaps: Iterable[Perhaps]) -> str:
        for one in perhaps:
            sentence, holds = (one, True) if isinstance(one, str) else one
            if sentence and bool(holds() if callable(holds) else holds):
                return sentence
        return ""

    def _unchanged(self, before: list, after: list) -> None:
        for name, old, new in zip(_names(self.answer, len(before)), before, after, strict=False):
            if not same(old, new):
                self.refuse(f"your function changed {name}, which it was given. Work on a copy, or build something new")


@contextlib.contextmanager
def judging(answer: Any, mistakes: tuple[Mistake, ...]) -> Iterator[None]:
    """While the block runs, trials of `answer` know the `mistakes` of its exercise."""
    token = _JUDGED.set((answer, mistakes))
    try:
        yield
    finally:
        _JUDGED.reset(token)


_LIBRARIES = {"torch", "numpy", "scipy", "sklearn", "transformers", "tokenizers", "datasets"}


def forbid(answer: Any, *names: str, because: str) -> None:
    """Complain if the learner's code, or a helper of theirs that it calls, uses one of `names`.

    A name is found as a call, an attribute, an import, and behind another name (`f = torch.softmax`). `because` is the
    sentence's end: "… which `because`".

    >>> forbid(lambda x: x.softmax(-1), "softmax", because="is what you are to write")
    Traceback (most recent call last):
    labs_utils.exercises.vocabulary.CheckFailed: Your code uses softmax, which is what you are to write.
    """
    used = _used(answer, set())
    if str(getattr(answer, "__module__", "")).partition(".")[0] in _LIBRARIES:
        used.add(answer.__name__)  # the library's own function, handed in as it is
    for name in names:
        expect(name not in used, f"Your code uses {name}, which {because}.")


def beside(answer: Any, function: Callable, *inputs: Any) -> Any:
    """Return `function(answer, *inputs)`, run in the process that the answer lives in.

    For a judge that has to watch what an answer does there. When a class is graded, answers run in a process of their
    own, and so does whatever is called beside them: tell from the outcome where you can.

    >>> beside(len, lambda answer, text: answer(text) + 1, "four")
    5
    """
    return answer.beside(function, *inputs) if hasattr(answer, "beside") else function(answer, *inputs)


def _used(answer: Any, seen: set[int]) -> set[str]:
    """Every name that a function (or a class's methods) uses, its own helpers' included, but not the helpers' names."""
    if inspect.isclass(answer):
        members = [member for member in vars(answer).values() if isinstance(member, types.FunctionType)]
        return {name for member in members for name in _used(member, seen)}
    if hasattr(answer, "used_names"):  # it runs in another process, and who made it has read its text
        return set(answer.used_names)
    answer = inspect.unwrap(getattr(answer, "func", answer))
    if not isinstance(answer, types.FunctionType) or id(answer) in seen:
        return set()
    seen.add(id(answer))
    around = {**answer.__globals__, **inspect.getclosurevars(answer).nonlocals}
    variables, others = names_in(answer.__code__)
    found = set(others)
    for name in variables:
        value = around.get(name)
        if getattr(value, "__module__", "") == answer.__module__:  # a helper of the learner's, or the function itself
            found |= _used(value, seen)
        else:
            found |= {name, getattr(value, "__name__", name)}
    return found


def names_in(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The variables from outside that a piece of code reads, and its attributes and imports."""
    variables: set[str] = set()
    others: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF"):
            variables.add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_NAME", "IMPORT_FROM"):
            others.add(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more = names_in(inner)
            variables |= more[0]
            others |= more[1]
    return variables, others


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same: a list and a tuple of the same items are, a tensor and an array of the same
    numbers are, and nan is nan. What can't be compared is not the same.

    >>> same([1, (2, 3)], (1, [2, 3])), same({"a": 1}, {"a": 2}), same(float("nan"), float("nan"))
    (True, False, True)
    """
    try:
        if _is_array(one) or _is_array(other):
            left, right = as_tensor(one), as_tensor(other)
            return left is not None and right is not None and _distance(left, right) == 0
        if isinstance(one, list | tuple) and isinstance(other, list | tuple):
            return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        return bool(one is other or one == other or (one != one and other != other))
    except Exception:
        return False


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, str)  # np.str_ has both


def as_tensor(value: Any):
    """A tensor, array, number or nested list of them as a detached float64 tensor on the CPU; else None."""
    import torch

    if isinstance(value, list | tuple) and any(_is_array(row) for row in value):
        rows = [as_tensor(row) for row in value]
        alike = all(row is not None for row in rows) and len({row.shape for row in rows}) == 1
        return torch.stack(rows) if alike else None
    value = value.copy() if type(value).__name__ == "ndarray" else value  # torch warns of read-only arrays
    try:
        return torch.as_tensor(value).detach().to("cpu", torch.float64)
    except Exception:
        return None


def _distance(one, other) -> float:
    """The largest difference of two float64 tensors; infinite where shapes, infinities or nan differ."""
    if one.shape != other.shape:
        return float("inf")
    off = (one - other).abs().nan_to_num(nan=math.inf, posinf=math.inf)
    off[(one == other) | (one.isnan() & other.isnan())] = 0
    return float(off.max()) if off.numel() else 0.0


_UNREADABLE: Any = object()
_RELATIVES: dict[type, tuple[type, ...]] = {
    list: (list, tuple),
    tuple: (tuple, list),
    dict: (Mapping,),
    set: (set, frozenset),
    int: (numbers.Integral,),
    float: (numbers.Real,),
}


def read(value: Any, kind: type | tuple[type, ...], of: type | tuple[type, ...] | None = None) -> Any:
    """`value` as a `kind` whose items are `of`, or a mark that says that it is none."""
    value = bool(value) if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_") else value
    for one in kind if isinstance(kind, tuple) else (kind,):
        is_number = one in (int, float)
        if not isinstance(value, _RELATIVES.get(one, (one,))) or (is_number and isinstance(value, bool)):
            continue
        try:
            found: Any = one(value) if one in _RELATIVES and type(value) is not one else value
        except OverflowError:  # a whole number beyond every float
            continue
        if of is None:
            return found
        items = [read(item, of) for item in found]
        if all(item is not _UNREADABLE for item in items):
            return one(items)
    return _UNREADABLE


def _name(kind: type | tuple[type, ...], of: type | tuple[type, ...] | None) -> str:
    words = {list: "a list", tuple: "a tuple", dict: "a dict", set: "a set", str: "a string", int: "a whole number"}
    words |= {float: "a number", bool: "True or False"}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    named = " or ".join(words.get(one, f"a {one.__name__}") for one in kinds)
    if of is None:
        return named
    items = " or ".join(one.__name__ for one in (of if isinstance(of, tuple) else (of,)))
    return f"{named} of {items} values"


def _copy(value: Any) -> Any:
    """A copy of plain data, tensors and arrays, as deep as it goes; anything else as it is."""
    if type(value) in (list, tuple, set):
        return type(value)(_copy(item) for item in value)
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    if "torch" in sys.modules and type(value) is sys.modules["torch"].Tensor:
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value.copy() if type(value).__name__ == "ndarray" else value


def _names(answer: Any, count: int) -> list[str]:
    """What the learner's function calls its first `count` inputs; "input 1", … where it doesn't say."""
    with contextlib.suppress(ValueError, TypeError):
        parameters = inspect.signature(answer).parameters.values()
        named = [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        if len(named) >= count:
            return named[:count]
    return [f"input {place}" for place in range(1, count + 1)]


def _in_words(answer: Any, inputs: tuple, options: dict) -> str:
    names = [*_names(answer, len(inputs)), *options]
    shown = [
        f"{name}={describe(value)}" if not name.startswith("input ") else describe(value)
        for name, value in zip(names, [*inputs, *options.values()], strict=True)
    ]
    return ", ".join(shown) or "nothing"


class _Listener(io.TextIOBase):
    """Passes on what is printed, and remembers that something was."""

    def __init__(self, stream: Any):
        self.stream, self.something = stream, False

    def write(self, text: str) -> int:
        self.something = self.something or bool(text.strip())
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def describe(value: Any) -> str:
    """A short description of a value for a sentence: small things whole, large ones by their beginning.

    >>> describe([1, 2]), describe(None), describe("hi")
    ('[1, 2]', 'None', "'hi'")
    """
    try:
        if _is_array(value):
            return _describe_array(value)
        text = repr(value) if _size(value, 200) < 200 else reprlib.repr(value)
    except Exception:
        return f"an object of the class {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}… ({type(value).__name__})"


def _describe_array(value: Any) -> str:
    name, shape = type(value).__name__, tuple(value.shape)
    return f"the {name} {value.tolist()}" if math.prod(shape) <= 8 else f"a {name} of shape {shape}"


def _size(value: Any, most: int) -> int:
    """How many items a container holds, counted no further than `most`."""
    if isinstance(value, str | bytes):
        return min(len(value), most) // 2
    if isinstance(value, list | tuple | set | frozenset | dict) and len(value) < most:
        items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        count = 1
        for item in items:
            count += _size(item, most - count)
            if count >= most:
                break
        return count
    return most if isinstance(value, list | tuple | set | frozenset | dict) else 1


def describe_error(error: BaseException) -> str:
    """An exception's kind and words, even where its words can't be had."""
    try:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    except Exception:
        return type(error).__name__
