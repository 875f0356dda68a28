"""What a chapter's checks are made of: the `exercise` decorator, the ways to complain, and the verdict."""

import dis
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError

PASSED, FAILED, NOT_ATTEMPTED = "passed", "not yet", "not attempted"
_MARKS = {PASSED: "✓", FAILED: "✗", NOT_ATTEMPTED: "○"}
# Okabe and Ito's green, vermilion and blue: told apart by colour-blind readers, and each has its mark and word too.
_COLOURS = {PASSED: "#009E73", FAILED: "#D55E00", NOT_ATTEMPTED: "#0072B2"}


class CheckFailed(Exception):
    """A check's complaint: a sentence for the learner."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number, title, judge and ladder of three hints."""

    number: str
    title: str
    judge: Callable[[Any], None]
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What a check says about an answer: one of `PASSED`, `FAILED`, `NOT_ATTEMPTED`, and a sentence."""

    number: str
    title: str
    status: str
    message: str

    def __str__(self) -> str:
        return f"{_MARKS[self.status]} {self.number} {self.title}: {self.status}. {self.message}".strip()

    def _repr_html_(self) -> str:
        head = f"{_MARKS[self.status]} {escape(self.number)} {escape(self.title)}: {self.status}."
        body = escape(self.message).replace("\n", "<br>")
        return (
            f'<div style="border-left:4px solid {_COLOURS[self.status]};padding:4px 12px;margin:4px 0">'
            f"<b>{head}</b> {body}</div>"
        )


_REGISTRY: dict[str, Exercise] = {}


def exercise(number: str) -> Callable:
    """Register the decorated function as the judge of exercise `number` (such as `"4.2"`).

    The judge gets the learner's answer. It returns when the answer is right and raises `CheckFailed` (mostly by way of
    `expect` and `call`) when it isn't. It is never called with an untouched stub.
    """

    def register(judge: Callable[[Any], None]) -> Callable[[Any], None]:
        own = chapters()[number.partition(".")[0].zfill(2)].table("exercises")[number]
        _REGISTRY[number] = Exercise(number, own["title"], judge, tuple(own["hints"]))
        return judge

    return register


def find(number: str) -> Exercise:
    """Return exercise `number`, loading its chapter's checks on first use.

    Raises:
        WorkbookError: there is no such exercise; the message lists those of the chapter, or the chapters.
    """
    number = str(number)
    if number not in _REGISTRY:
        own = chapters().get(number.partition(".")[0].zfill(2))
        if own:
            own.module("judges")
    if number in _REGISTRY:
        return _REGISTRY[number]
    near = [known for known in _REGISTRY if known.partition(".")[0] == number.partition(".")[0]]
    hint = f"This chapter has: {', '.join(near)}." if near else "Numbers look like '4.2': chapter, then exercise."
    raise WorkbookError(f"There is no exercise {number!r}. {hint}")


def all_exercises() -> dict[str, Exercise]:
    """Every exercise of the course, in order."""
    for one in chapters().values():
        one.module("judges")
    return dict(sorted(_REGISTRY.items(), key=lambda item: tuple(int(part) for part in item[0].split("."))))


def judge(number: str, answer: Any) -> Verdict:
    """Judge an answer without recording or showing anything."""
    found = find(number)
    if is_stub(answer):
        message = f"Replace the … in the stub, then run this cell again. lab.hint({number!r}) helps."
        return Verdict(number, found.title, NOT_ATTEMPTED, message)
    try:
        found.judge(answer)
    except CheckFailed as complaint:
        return Verdict(number, found.title, FAILED, str(complaint))
    return Verdict(number, found.title, PASSED, "")


def is_stub(answer: Any) -> bool:
    """Whether `answer` is what the student notebook starts with: `...`, or a function or method that does nothing.

    >>> is_stub(...), is_stub(lambda x: x), is_stub(3)
    (True, False, False)
    """
    if answer is ...:
        return True
    if inspect.isclass(answer):
        methods = [member for member in vars(answer).values() if isinstance(member, types.FunctionType)]
        return any(_does_nothing(method) for method in methods)
    return isinstance(answer, types.FunctionType) and _does_nothing(answer)


def _does_nothing(function: types.FunctionType) -> bool:
    """True for a body of `...`, `pass` or only a docstring; `return None` looks the same, and is no answer either."""
    plumbing = {"RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "MAKE_CELL"}
    steps = [step for step in dis.get_instructions(function) if step.opname not in plumbing]
    return [(step.opname, step.argval) for step in steps] in (
        [("LOAD_CONST", None), ("RETURN_VALUE", None)],
        [("RETURN_CONST", None)],
    )


def expect(condition: Any, message: str) -> None:
    """Complain with `message` unless `condition` holds. The message says: given, expected property, got, perhaps."""
    if not bool(condition):
        raise CheckFailed(message)


def call(answer: Callable, *arguments: Any, given: str = "", **options: Any) -> Any:
    """Call the learner's function. Its exception becomes a complaint that names the error and what was given."""
    if not callable(answer):
        raise CheckFailed(f"A function (or another callable) was expected, but this is {describe(answer)}.")
    try:
        return answer(*arguments, **options)
    except CheckFailed:
        raise
    except Exception as error:  # whatever the learner's code raises is for the learner to read
        inputs = given or ", ".join([describe(value) for value in arguments])
        raise CheckFailed(f"Given {inputs}, your function raised {type(error).__name__}: {error}") from None


def expect_shape(value: Any, shape: tuple[int, ...], given: str, perhaps: str = "") -> None:
    """Complain unless `value` is a tensor or array of `shape`."""
    got = tuple(value.shape) if hasattr(value, "shape") else None
    if got != tuple(shape):
        shown = f"shape {got}" if got is not None else describe(value)
        raise CheckFailed(
            f"Given {given}, a result of shape {tuple(shape)} was expected, but got {shown}. {perhaps}".strip()
        )


def as_tensor(value: Any, given: str):
    """Return `value` (tensor, array, number or nested list) as a detached float64 CPU tensor, or complain."""
    import torch

    try:
        return torch.as_tensor(value).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise CheckFailed(f"Given {given}, a tensor was expected, but got {describe(value)}.") from None


def expect_close(value: Any, reference: Any, given: str, tolerance: float, perhaps: str = "") -> None:
    """Complain unless `value` has the reference's shape and lies within `tolerance` of it, absolutely and everywhere.

    The complaint gives the largest difference, never the reference's numbers.
    """
    got, wanted = as_tensor(value, given), as_tensor(reference, given)
    expect_shape(got, tuple(wanted.shape), given, perhaps)
    difference = float((got - wanted).abs().max()) if wanted.numel() else 0.0
    if not difference <= tolerance:  # written so that nan complains too
        raise CheckFailed(f"Given {given}, your result is off by up to {difference:.2g}. {perhaps}".strip())


def describe(value: Any) -> str:
    """A short description of a value for a message.

    >>> describe([1, 2]), describe(None), describe("hi")
    ('[1, 2]', 'None', "'hi'")
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"a {type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}… ({type(value).__name__})"
