"""Checks, hints and progress: `lab.check("4.2", answer)`, `lab.hint("4.2")`, `lab.progress()`.

A chapter's folder holds its judges (`judges.py`), its titles and hints (`exercises.toml`) and its quiz (`quiz.toml`).
"""

import os
from typing import Any

from labs_utils.chapters import chapter
from labs_utils.exercises import records
from labs_utils.exercises.judging import judge
from labs_utils.exercises.records import progress
from labs_utils.exercises.registry import find
from labs_utils.exercises.verdicts import PASSED, Verdict

__all__ = ["NotPassed", "check", "hint", "progress"]


class NotPassed(AssertionError):
    """Raised by `check` under LABS_STRICT=1 when an answer does not pass."""


def check(number: str, answer: Any) -> None:
    """Judge the learner's `answer` to exercise `number`, show the verdict and record it.

    An untouched stub is "not attempted", and the notebook goes on. With the environment variable LABS_STRICT=1, as
    the solved notebooks are tested, anything but a pass raises.

    Raises:
        WorkbookError: there is no such exercise.
        NotPassed: under LABS_STRICT=1 only.
    """
    verdict = judge(number, answer)
    _show(verdict)
    records.record_verdict(verdict)
    if os.environ.get("LABS_STRICT") == "1" and verdict.status != PASSED:
        raise NotPassed(str(verdict))


def hint(number: str) -> None:
    """Show the next hint for an exercise: each call climbs one step of three; after the last it starts again."""
    found = find(number)
    step = records.next_hint(number, len(found.hints))
    print(f"Hint {step + 1} of {len(found.hints)} for {number} {found.title}: {found.hints[step]}")
    if step + 1 == len(found.hints):
        own = chapter(number.partition(".")[0].zfill(2))
        print(f"That was the last hint. The solution is in solutions/{own.stem}.ipynb.")


def _show(verdict: Verdict) -> None:
    """Show a verdict: a coloured box in a notebook, plain text anywhere else."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(verdict)
        return
    if get_ipython() is None:
        print(verdict)
    else:
        display({"text/plain": str(verdict), "text/html": verdict._repr_html_()}, raw=True)
