"""Checks, hints and progress: `lab.check("4.2", answer)`, `lab.hint("4.2")`, `lab.progress()`.

A chapter's folder holds its judges (`judges.py`), its titles and hints (`exercises.toml`) and its quiz (`quiz.toml`).
"""

import os
from typing import Any

from labs_utils.exercises import records
from labs_utils.exercises.judging import judge
from labs_utils.exercises.records import progress
from labs_utils.exercises.showing import hint_lines, show
from labs_utils.exercises.verdicts import PASSED
from labs_utils.session import spare_console

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
    show(verdict)
    records.record_verdict(verdict)
    if os.environ.get("LABS_STRICT") == "1" and verdict.status != PASSED:
        raise NotPassed(str(verdict))


def hint(number: str) -> None:
    """Show the next hint for an exercise: each call climbs one step of three; after the last it starts again."""
    spare_console()
    print("\n".join(hint_lines(str(number))))
