"""Checks, hints and progress: `lab.check("4.2", answer)`, `lab.hint("4.2")`, `lab.progress()`.

A chapter's folder holds its judges (`judges.py`), its titles and hints (`exercises.toml`) and its quiz (`quiz.toml`).
"""

import os
from html import escape
from typing import Any

from labs_utils.chapters import chapter, chapters
from labs_utils.errors import WorkbookError
from labs_utils.exercises.core import NOT_ATTEMPTED, PASSED, all_exercises, find, judge
from labs_utils.paths import home
from labs_utils.storage import read_json, update_json


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
    if verdict.status != NOT_ATTEMPTED:
        _record(lambda progress: _note(progress, number, verdict.status))
    if os.environ.get("LABS_STRICT") == "1" and verdict.status != PASSED:
        raise NotPassed(str(verdict))


def hint(number: str) -> None:
    """Show the next hint for an exercise: each call climbs one step of three; after the last it starts again."""
    found = find(number)
    step = read_json(_path()).get("hints", {}).get(number, 0) % len(found.hints)
    print(f"Hint {step + 1} of {len(found.hints)} for {number} {found.title}: {found.hints[step]}")
    if step + 1 == len(found.hints):
        own = chapter(number.partition(".")[0].zfill(2))
        print(f"That was the last hint. The solution is in solutions/{own.stem}.ipynb.")
    _record(lambda progress: progress.setdefault("hints", {}).update({number: step + 1}))


def progress() -> "Progress":
    """Return the learner's progress over all chapters; a notebook shows it as a table."""
    return Progress(read_json(_path()))


class Progress:
    """Exercises passed and quiz scores per chapter. `.data` holds the numbers, one dict per chapter."""

    def __init__(self, record: dict):
        exercises, done, quizzes = all_exercises(), record.get("exercises", {}), record.get("quizzes", {})
        self.data = []
        for number, one in chapters().items():
            own = [key for key in exercises if key.partition(".")[0].zfill(2) == number]
            passed = sum(done.get(key) == PASSED for key in own)
            tried = sum(key in done for key in own)
            self.data.append(
                {
                    "chapter": f"{number} {one.title}",
                    "exercises": len(own),
                    "tried": tried,
                    "passed": passed,
                    "quiz": quizzes.get(number, ""),
                }
            )

    def __repr__(self) -> str:
        rows = [
            f"{row['chapter']:<34}{row['passed']:>3} of {row['exercises']:<3} quiz {row['quiz'] or '–'}"
            for row in self.data
        ]
        return "\n".join(["chapter                        passed", *rows])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{escape(row['chapter'])}</td>"
            f"<td><progress max='{row['exercises'] or 1}' value='{row['passed']}'></progress></td>"
            f"<td>{row['passed']} of {row['exercises']}</td><td>{escape(str(row['quiz'] or '–'))}</td></tr>"
            for row in self.data
        )
        head = "<tr><th style='text-align:left'>chapter</th><th></th><th>passed</th><th>quiz</th></tr>"
        return f"<table>{head}{rows}</table>"


def record_quiz(number: str, right: int, questions: int) -> None:
    """Keep the score of chapter `number`'s quiz."""
    _record(lambda progress: progress.setdefault("quizzes", {}).update({number: f"{right} of {questions}"}))


def _note(progress: dict, number: str, status: str) -> None:
    # A pass stays a pass: a learner who experiments afterwards loses nothing.
    exercises = progress.setdefault("exercises", {})
    if exercises.get(number) != PASSED:
        exercises[number] = status


def _path():
    return home() / "progress.json"


def _record(change) -> None:
    try:
        update_json(_path(), change)
    except WorkbookError as error:
        print(f"Your answer was judged, but progress was not saved: {error}")


def _show(verdict) -> None:
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
