"""From an answer to a verdict. Whatever an answer does, the learner gets a sentence."""

import dis
import inspect
import types
from typing import Any

from labs_utils.exercises import registry
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED, Verdict
from labs_utils.exercises.vocabulary import CheckFailed, describe_error, judging


def judge(number: str, answer: Any) -> Verdict:
    """Judge an answer without recording or showing anything."""
    found = registry.find(number)
    if is_stub(answer):
        message = "Replace the … in the stub, then run this cell again."
        return Verdict(number, found.title, NOT_ATTEMPTED, message)
    try:
        with judging(answer, found.mistakes):
            found.judge(answer)
    except CheckFailed as complaint:
        return Verdict(number, found.title, FAILED, str(complaint))
    except Exception as error:  # an answer that can't even be compared: the learner still gets a sentence
        message = (
            f"Your answer could not be read: looking at it raised {describe_error(error)}. "
            "Compare what it returns with what the text asks for."
        )
        return Verdict(number, found.title, FAILED, message)
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
