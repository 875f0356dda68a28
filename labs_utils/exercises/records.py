"""What a learner has done: `lab.progress()`, and the file in their own folder that it comes from."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError
from labs_utils.exercises.registry import of_chapter
from labs_utils.exercises.verdicts import NOT_ATTEMPTED, PASSED, Verdict
from labs_utils.paths import home
from labs_utils.storage import read_json, update_json


def progress() -> "Progress":
    """Return the learner's progress over all chapters; a notebook shows it as a table."""
    return Progress(read_json(_file()))


class Progress:
    """Exercises passed and quiz scores per chapter. `.data` holds the numbers, one dict per chapter."""

    def __init__(self, record: dict):
        done, quizzes = record.get("exercises", {}), record.get("quizzes", {})
        self.data = []
        for number, one in chapters().items():
            own = of_chapter(one)
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


def record_verdict(verdict: Verdict) -> None:
    """Keep the status of an exercise. A pass stays a pass: a learner who experiments afterwards loses nothing."""

    def note(content: dict) -> None:
        exercises = content.setdefault("exercises", {})
        if exercises.get(verdict.number) != PASSED:
            exercises[verdict.number] = verdict.status

    if verdict.status != NOT_ATTEMPTED:
        _update(note)


def record_quiz(number: str, right: int, questions: int) -> None:
    """Keep the score of chapter `number`'s quiz."""
    _update(lambda content: content.setdefault("quizzes", {}).update({number: f"{right} of {questions}"}))


def next_hint(number: str, hints: int) -> int:
    """The place, from 0, of the hint that comes next for an exercise, kept for the time after it."""
    step = read_json(_file()).get("hints", {}).get(number, 0) % hints
    _update(lambda content: content.setdefault("hints", {}).update({number: step + 1}))
    return step


def _file() -> Path:
    return home() / "progress.json"


def _update(change: Callable[[dict], None]) -> None:
    try:
        update_json(_file(), change)
    except WorkbookError as error:
        print(f"Your answer was judged, but progress was not saved: {error}")
