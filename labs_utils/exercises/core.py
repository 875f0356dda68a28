"""Temporary: what judges that are not yet written with `Trial` use."""

from collections.abc import Callable
from typing import Any

from labs_utils.exercises.judging import is_stub, judge
from labs_utils.exercises.registry import all_exercises, exercise, find
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED, Verdict
from labs_utils.exercises.vocabulary import CheckFailed, describe, expect

__all__ = [
    "FAILED",
    "NOT_ATTEMPTED",
    "PASSED",
    "CheckFailed",
    "Verdict",
    "all_exercises",
    "describe",
    "exercise",
    "expect",
    "find",
    "is_stub",
    "judge",
]


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
