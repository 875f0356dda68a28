"""What was handed in: every version is kept, and one of each student and chapter counts.

A submission is two files, `submissions/<id>/<NN>/<time>-<sha8>.ipynb` and its receipt beside it, `….json`. The receipt
is written last: a notebook without one is a copy that was interrupted, and is taken for nothing.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from labs_utils.classroom import write_private
from labs_utils.errors import WorkbookError
from labs_utils.storage import read_text

if TYPE_CHECKING:
    from labs_utils.classroom.course import Course

_PROBLEMS = "problems.json"
_NAME_FORM = "%Y%m%dT%H%M%SZ"  # in a file's name


@dataclass(frozen=True)
class Submission:
    """One version of one chapter that one student handed in."""

    student: str
    chapter: str  # "04"
    file: Path
    handed_in: datetime  # aware, UTC
    sha256: str
    source: str  # "file", "hub" or "jupyterhub"
    original: str  # the file's name as it came

    @property
    def receipt(self) -> Path:
        """The JSON file beside the notebook."""
        return self.file.with_suffix(".json")


def keep(
    course: "Course",
    student: str,
    chapter: str,
    content: bytes,
    handed_in: datetime,
    source: str,
    original: str,
    hints: Mapping[str, int] | None = None,
) -> Submission:
    """Keep a notebook that a student of the class handed in at `handed_in` (an aware time), and return it.

    The same bytes once more, with no other version between, are one submission: the earlier one. `hints` are the
    numbers of hints that the student shared, by exercise; they go into the receipt.

    Raises:
        WorkbookError: no such student, a chapter that is none of the course's, or a time without its zone.
        OSError: the folder cannot be written; what was there is as it was.
    """
    if student not in course.students:
        raise WorkbookError(
            f"{student!r} is not on the roster of {course.folder}. Add them with labs class add-student."
        )
    if chapter not in course.chapters():
        raise WorkbookError(
            f"Chapter {chapter!r} is not in {course.folder / 'class.toml'}: it has {course.chapters()}."
        )
    if handed_in.tzinfo is None:
        raise WorkbookError(f"The time {handed_in} needs its time zone, such as datetime.now(timezone.utc).")
    folder = course.folder / "submissions" / student / chapter
    moment, digest = handed_in.astimezone(UTC), hashlib.sha256(content).hexdigest()
    file = folder / f"{moment.strftime(_NAME_FORM)}-{digest[:8]}.ipynb"
    new = Submission(student, chapter, file, moment, digest, source, original)
    versions = _of_folder(folder)
    before = [one for one in versions if one.handed_in <= moment][-1:]
    after = [one for one in versions if one.handed_in > moment][:1]
    if before and before[0].sha256 == digest:
        return before[0]
    write_private(file, content)
    write_private(new.receipt, json.dumps(_told(new, hints), indent=1, ensure_ascii=False))
    if after and after[0].sha256 == digest:  # known with a later time until now
        after[0].receipt.unlink()
        after[0].file.unlink()
    return new


def _told(one: Submission, hints: Mapping[str, int] | None) -> dict:
    """A receipt's content."""
    told = {
        "student": one.student,
        "chapter": one.chapter,
        "handed_in": in_words(one.handed_in),
        "sha256": one.sha256,
        "source": one.source,
        "original": one.original,
    }
    return told | {"hints": dict(hints)} if hints else told


def in_words(moment: datetime) -> str:
    """A time as our files write it.

    >>> in_words(datetime(2026, 11, 30, 15, 30, 15, tzinfo=UTC))
    '2026-11-30T15:30:15Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def all_of(course: "Course") -> list[Submission]:
    """Every version of every submission, in time order; of students who left the roster too.

    Raises:
        WorkbookError: a receipt can't be read; the sentence names the file and what to do.
    """
    folders = (course.folder / "submissions").glob("*/*/")
    return sorted((one for folder in folders for one in _of_folder(folder)), key=_in_time)


def _in_time(one: Submission) -> tuple:
    return one.handed_in, one.student, one.chapter, one.sha256


def _of_folder(folder: Path) -> list[Submission]:
    """The versions of one student and chapter, in time order."""
    return sorted((_read(path) for path in folder.glob("[!.]*.json")), key=_in_time)


def _read(receipt: Path) -> Submission:
    try:
        told = json.loads(read_text(receipt))
        handed_in = datetime.fromisoformat(told["handed_in"]).astimezone(UTC)
        words = {name: str(told[name]) for name in ("student", "chapter", "sha256", "source", "original")}
    except (OSError, ValueError, KeyError, TypeError):
        raise WorkbookError(
            f"{receipt} is no receipt that can be read. The notebook beside it is untouched: move both out of the "
            "class's folder, and collect the notebook again with labs class collect."
        ) from None
    return Submission(file=receipt.with_suffix(".ipynb"), handed_in=handed_in, **words)


def hints_of(submission: Submission) -> dict[str, int]:
    """How many hints the student says they saw, by exercise; `{}` where they didn't share it."""
    told = json.loads(read_text(submission.receipt)).get("hints", {})
    return {str(number): count for number, count in told.items() if isinstance(count, int)}


def counting(course: "Course") -> dict[tuple[str, str], Submission]:
    """The submission that counts, by (student, chapter), for the students and chapters of the class.

    It is the last that came in time. If all are late, it is the last that may still count, else the last.
    """
    own = [one for one in all_of(course) if one.student in course.students and one.chapter in course.chapters()]
    found = {}
    for key, group in groupby(sorted(own, key=_key), key=_key):
        versions = list(group)
        in_time = [one for one in versions if not days_late(course, one)]
        may_count = [one for one in versions if factor(course, one) > 0]
        found[key] = (in_time or may_count or versions)[-1]
    return found


def _key(one: Submission) -> tuple[str, str]:
    return one.student, one.chapter


def days_late(course: "Course", submission: Submission) -> int:
    """How many days after the deadline have begun; 0 when it was handed in in time, or the chapter has no deadline."""
    deadline = course.deadlines.get(submission.chapter)
    moment = submission.handed_in.replace(microsecond=0)  # a deadline of 23:59:59 is over when that second is
    if deadline is None or moment <= deadline:
        return 0
    return math.ceil((moment - deadline) / timedelta(days=1))


def factor(course: "Course", submission: Submission) -> float:
    """What share of its points a submission gets: 1.0 in time, less with each day begun, 0.0 when it is too late."""
    days = days_late(course, submission)
    if days > course.late.days:
        return 0.0
    # Rounded: 1 - 3 * 0.1 is 0.7000000000000001 - and a mark is read by people.
    return max(0.0, round(1.0 - days * course.late.lost_per_day, 6))


def problems(course: "Course") -> list[dict[str, str]]:
    """What could not be kept: for each file its name ("original"), the "sentence" for the teacher, and the "time"."""
    try:
        found = json.loads(read_text(course.folder / _PROBLEMS))
        return [one for one in found if isinstance(one, dict) and {"original", "sentence"} <= one.keys()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError):
        raise WorkbookError(
            f"{course.folder / _PROBLEMS} can't be read. Delete it, and collect once more: it is made anew."
        ) from None


def save_problems(course: "Course", found: list[dict[str, str]]) -> None:
    """Replace the list of what could not be kept."""
    write_private(course.folder / _PROBLEMS, json.dumps(found, indent=1, ensure_ascii=False))
