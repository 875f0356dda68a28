"""What the class's results say: one `Work` for each student and chapter, and the points that it gives.

Reports and gradebooks read the same marks here, so that a page and a gradebook never disagree.
"""

import functools
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from labs_utils.chapters import chapters
from labs_utils.classroom import submissions
from labs_utils.classroom.course import Course
from labs_utils.classroom.submissions import Submission
from labs_utils.exercises.registry import chapter_of
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED
from labs_utils.storage import read_json

NOT_JUDGED = "not judged"
_STATUSES = (PASSED, FAILED, NOT_ATTEMPTED, NOT_JUDGED)
# Control characters, those that turn the direction of a line around, and halves of characters, which no file can hold.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_LONGEST, _LONGEST_CODE = 2_000, 20_000  # characters of one text that are shown; the rest is in the submission


@dataclass(frozen=True)
class Other:
    """Another submission of the student's passed an exercise that the counting one does not."""

    handed_in: datetime
    source: str


@dataclass(frozen=True)
class Mark:
    """One exercise of one student. `points` are what it gives, late rule and all; `hints` is None if not shared."""

    status: str
    points: float = 0.0
    message: str = ""
    mistake: str = ""
    source: str = ""
    before: str = ""  # its status before the last regrading, if that was another
    hints: int | None = None
    other: Other | None = None


@dataclass(frozen=True)
class Work:
    """One chapter of one student: what counts of what they handed in. `marks` is empty until it is graded."""

    student: str
    chapter: str
    submission: Submission | None = None
    factor: float = 1.0
    is_late: bool = False
    marks: dict[str, Mark] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """One of "graded", "not graded yet" and "nothing handed in"."""
        return "graded" if self.marks else "not graded yet" if self.submission else "nothing handed in"

    @property
    def points(self) -> float:
        """The sum over its exercises, not rounded."""
        return math.fsum(mark.points for mark in self.marks.values())


Works = dict[tuple[str, str], Work]


def read(course: Course) -> Works:
    """The work of every student in every chapter of the course, in the order of both."""
    counting, every = submissions.counting(course), submissions.all_of(course)
    return {
        (student, chapter): _work(course, student, chapter, counting.get((student, chapter)), every)
        for student in course.students
        for chapter in course.chapters()
    }


def exercises(course: Course, chapter: str) -> list[str]:
    """The chosen exercises of one chapter, in order."""
    return [number for number in course.points if chapter_of(number) == chapter]


def worth(course: Course, chosen: list[str]) -> float:
    """The points that these chapters can give."""
    return math.fsum(points for number, points in course.points.items() if chapter_of(number) in chosen)


def chapter_title(chapter: str) -> str:
    """A chapter's number and title.

    >>> chapter_title("04")
    '04 Tokenizers'
    """
    known = chapters().get(chapter)
    return f"{chapter} {known.title}" if known else chapter


@functools.cache
def exercise_title(number: str) -> str:
    """An exercise's title; empty when the workbook no longer has it.

    >>> exercise_title("4.1")
    'Count the pairs'
    """
    known = chapters().get(chapter_of(number))
    return known.table("exercises").get(number, {}).get("title", "") if known else ""


def shown(points: float) -> str:
    """Points for people: at most two decimals, and none that say nothing.

    >>> shown(2.0), shown(2 / 3), shown(0.1 + 0.2)
    ('2', '0.67', '0.3')
    """
    return f"{points:.2f}".rstrip("0").rstrip(".")


def visible(text: Any, longest: int = _LONGEST) -> str:
    """A text that somebody else wrote, fit to be shown and written: what can't be seen is named, what is endless cut.

    >>> visible("x = 1 \\u202e# evil\\r\\n")
    'x = 1 ⟨U+202E⟩# evil\\n'
    """
    if not isinstance(text, str):
        return ""
    text = text.replace("\r\n", "\n")
    if len(text) > longest:
        text = f"{text[:longest]}\n… ({len(text) - longest} more characters)"
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def problems(course: Course) -> list[dict[str, str]]:
    """What could not be kept of what was collected: `original` and `sentence` of each."""
    wanted = ("original", "sentence")
    return [{key: visible(one.get(key)) for key in wanted} for one in submissions.problems(course)]


def _work(course: Course, student: str, chapter: str, counted: Submission | None, every: list[Submission]) -> Work:
    if counted is None:
        return Work(student, chapter)
    factor = submissions.factor(course, counted)
    result = _result(course, counted)
    own = [one for one in every if (one.student, one.chapter) == (student, chapter) and one.sha256 != counted.sha256]
    others = _others(course, own) if result else {}
    hints = submissions.hints_of(counted)
    marks = {
        number: _mark(result, number, course.points[number] * factor, hints.get(number), others.get(number))
        for number in exercises(course, chapter)
        if result
    }
    is_late = submissions.days_late(course, counted) > 0
    notes = result.get("notes")
    read_notes = tuple(visible(note) for note in notes) if isinstance(notes, list) else ()
    return Work(student, chapter, counted, factor, is_late, marks, read_notes)


def _result(course: Course, one: Submission) -> dict[str, Any]:
    """The result of exactly these bytes, or `{}`."""
    found = read_json(course.folder / "results" / one.student / f"{one.chapter}-{one.sha256[:8]}.json")
    return found if found.get("sha256") == one.sha256 else {}


def _others(course: Course, own: list[Submission]) -> dict[str, Other]:
    """The last of these submissions that passed each exercise, as far as they have been graded."""
    found = {}
    for one in own:
        result = _result(course, one)
        for number, judged in _object(result, "exercises").items():
            if isinstance(judged, dict) and judged.get("status") == PASSED:
                found[number] = Other(one.handed_in, visible(_object(result, "sources").get(number), _LONGEST_CODE))
    return found


def _mark(result: dict[str, Any], number: str, points: float, hints: Any, other: Other | None) -> Mark:
    judged = _object(_object(result, "exercises"), number)
    status = judged.get("status")
    if status not in _STATUSES:
        status, judged = NOT_JUDGED, {"message": "The grading says nothing about this exercise. Grade it again."}
    before = _object(result, "before").get(number)
    return Mark(
        status=status,
        points=points if status == PASSED else 0.0,
        message=visible(judged.get("message")),
        mistake=visible(judged.get("mistake")),
        source=visible(_object(result, "sources").get(number), _LONGEST_CODE),
        before=before if before in _STATUSES and before != status else "",
        hints=hints if type(hints) is int and 0 <= hints <= 99 else None,
        other=other if status != PASSED else None,
    )


def _object(given: dict[str, Any], key: str) -> dict[str, Any]:
    found = given.get(key)
    return found if isinstance(found, dict) else {}
