"""The class: what its folder says. `class.toml` is written once and edited by hand; `roster.csv` holds the students."""

import difflib
import html
import json
import math
import os
import re
import shutil
import tomllib
import unicodedata
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path
from typing import Any

from labs_utils.chapters import chapter, chapters
from labs_utils.classroom import private_folder, roster, shown, write_private
from labs_utils.classroom.handing.recognising import named_in
from labs_utils.classroom.roster import Student, folded
from labs_utils.classroom.serving import accounts
from labs_utils.classroom.submissions import Submission, all_of, counting, days_late, factor, problems, save_problems
from labs_utils.errors import WorkbookError
from labs_utils.exercises.registry import chapter_of, of_chapter
from labs_utils.exercises.verdicts import PASSED
from labs_utils.storage import read_text

__all__ = ["Course", "Late", "Student", "add_student", "new", "read", "remove", "status"]

TOML, ROSTER = "class.toml", "roster.csv"


@dataclass(frozen=True)
class Late:
    """What handing in late costs: each begun day this share of the points; after so many days nothing counts."""

    lost_per_day: float  # 0.0 to 1.0
    days: int


@dataclass(frozen=True)
class Course:
    """A class, as its folder says."""

    folder: Path
    title: str
    points: dict[str, float]  # exercise "4.1" -> points, in the course's order: those that were chosen
    deadlines: dict[str, datetime]  # chapter "04" -> an aware time; absent: none
    late: Late
    students: dict[str, Student]  # by id, in the roster's order
    zone: tzinfo = UTC  # in which deadlines are written and shown

    def chapters(self) -> list[str]:
        """The numbers of the chapters with a chosen exercise, in order."""
        return list(dict.fromkeys(chapter_of(number) for number in self.points))


# --- making a class -------------------------------------------------------------------------------------------------


def new(folder: Path, roster_file: Path, chapters: Sequence[str] | None = None, title: str | None = None) -> Course:
    """Make the folder of a class: `class.toml`, commented, and `roster.csv` out of the school's file.

    Every exercise of the given chapters (all, if none are given) is worth as many points as it has stars. What was
    understood of the school's file is told by `roster.read(roster_file).said`.

    Raises:
        WorkbookError: there is a class in the folder already, the roster can't be used, a chapter isn't there or has
            no exercises, or the folder can't be written. Nothing is written then.
    """
    for name in (TOML, ROSTER, "submissions"):
        if (folder / name).exists():
            raise WorkbookError(
                f"{folder} holds a {name} already, and a class is never overwritten. Name a new folder; "
                "to change the class, edit its class.toml, or use labs class add-student."
            )
    students = roster.read(roster_file).students
    if not students:
        raise WorkbookError(f"{roster_file} has a header and no students below it.")
    chosen = list(dict.fromkeys(chapters)) if chapters else [one for one in _all() if _stars(one)]
    for number in chosen:
        if not _stars(chapter(number).number):
            raise WorkbookError(f"Chapter {number} has no exercises. Choose others.")
    text = _toml(title or folder.resolve().name, sorted(chosen), _machine_zone())
    try:
        private_folder(folder)
        folder.chmod(0o700)
        # A class is often made inside the workbook's clone: git then leaves names and marks alone.
        write_private(folder / ".gitignore", "# Names and marks: not for a repository.\n*\n")
        write_private(folder / ROSTER, roster.plain(list(students.values())))
        write_private(folder / TOML, text)
    except OSError as error:
        raise WorkbookError(f"{folder} could not be written ({error.strerror}). Name another folder.") from None
    return read(folder)


def _all() -> list[str]:
    return list(chapters())


def _stars(number: str) -> dict[str, int]:
    """The stars of a chapter's exercises, in order."""
    return {key: own["stars"] for key, own in chapter(number).table("exercises").items()}


def _toml(title: str, chosen: Sequence[str], zone: str) -> str:
    """The text of a new class.toml."""
    year = datetime.now().year + 1
    deadlines = [f'# "{one}" = {year}-01-31T23:59:59   # {chapter(one).title}' for one in chosen]
    points = []
    for one in chosen:
        titles = {number: own["title"] for number, own in chapter(one).table("exercises").items()}
        lines = [(f'"{number}" = {stars}', titles[number]) for number, stars in _stars(one).items()]
        points += ["", f"# Chapter {one}, {chapter(one).title}", *(f"{left:<10} # {right}" for left, right in lines)]
    return _TEMPLATE.format(
        title=json.dumps(title, ensure_ascii=False), zone=zone, deadlines="\n".join(deadlines), points="\n".join(points)
    )


_TEMPLATE = """\
# A class. Change this file in any editor: the workbook reads it, and never writes it again.
# Afterwards, `labs class status` with this folder says whether it was understood.

title = {title}

# Deadlines below are in this time zone: a name such as "Europe/Berlin", "America/New_York" or "Asia/Shanghai".
time_zone = "{zone}"

[late]
lost_per_day = 0.1   # each day begun after the deadline costs this share of the points: from 0 to 1
days = 7             # after so many days nothing counts any more; 0: nothing counts after the deadline

# Take the # away in front of a chapter, and set its day and time. A chapter without a line has no deadline.
[deadlines]
{deadlines}

# Points of each exercise, its stars to begin with. Delete a line (or put a # in front) to leave an exercise out.
[points]{points}
"""


def _machine_zone() -> str:
    """The name of this machine's time zone, such as "Europe/Berlin"; "UTC" where it doesn't say."""
    link = Path("/etc/localtime")
    said = [os.environ.get("TZ", "").lstrip(":")]
    if link.is_symlink():
        said.append(str(link.resolve()).partition("zoneinfo/")[2])
    elif (named := Path("/etc/timezone")).is_file():
        said.append(read_text(named).strip())
    known = zoneinfo.available_timezones()
    return next((name for name in said if name in known), "UTC")


# --- reading a class --------------------------------------------------------------------------------------------------


def read(folder: Path) -> Course:
    """Return what a class's folder says.

    Raises:
        WorkbookError: there is no class, or a file of it says something that can't be used: which file, which key,
            what was expected.
    """
    path = folder / TOML
    try:
        given = tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise WorkbookError(f"{folder} is no class: it has no {TOML}. Make one with labs class new.") from None
    except (OSError, ValueError) as error:
        raise WorkbookError(f"{path} can't be read as TOML: {error}. Mend that line.") from None
    expected = ("title", "time_zone", "late", "deadlines", "points")
    _refuse_others(path, "", given, expected)
    title = given.get("title")
    if not isinstance(title, str) or not title.strip():
        raise WorkbookError(
            f'{path}: title is {title!r}; expected words in quotation marks, such as title = "Class 5b".'
        )
    zone = _zone(path, given.get("time_zone", "UTC"))
    return Course(
        folder=folder,
        title=title.strip(),
        points=_points(path, _sub_table(path, given, "points")),
        deadlines=_deadlines(path, _sub_table(path, given, "deadlines"), zone),
        late=_late(path, _sub_table(path, given, "late")),
        students=roster.read(folder / ROSTER).students,
        zone=zone,
    )


def _sub_table(path: Path, given: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = given.get(name, {})
    if not isinstance(found, dict):
        raise WorkbookError(f"{path}: {name} is {found!r}; expected a table: a line [{name}], and its lines below it.")
    return found


def _refuse_others(path: Path, where: str, given: Iterable[str], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f" Did you mean {near[0]}?" if near else f" Known are {', '.join(known)}."
            raise WorkbookError(f"{path}: {where}{key} is no setting of a class.{meant}")


def _zone(path: Path, name: object) -> tzinfo:
    try:
        return zoneinfo.ZoneInfo(name)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError, OSError, AttributeError):
        near = difflib.get_close_matches(str(name), zoneinfo.available_timezones(), 2, 0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise WorkbookError(
            f'{path}: time_zone is {name!r}; expected the name of a time zone, such as "Europe/Berlin" or "UTC".{meant}'
        ) from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _late(path: Path, given: Mapping[str, Any]) -> Late:
    _refuse_others(path, "late.", given, ("lost_per_day", "days"))
    lost, days = given.get("lost_per_day", 0.1), given.get("days", 7)
    if not _is_number(lost) or not 0 <= lost <= 1:
        raise WorkbookError(
            f"{path}: late.lost_per_day is {lost!r}; expected a number from 0 (late costs nothing) to 1, such as 0.1."
        )
    if not isinstance(days, int) or isinstance(days, bool) or days < 0:
        raise WorkbookError(f"{path}: late.days is {days!r}; expected a whole number of days, 0 or more.")
    return Late(float(lost), days)


def _deadlines(path: Path, given: Mapping[str, Any], zone: tzinfo) -> dict[str, datetime]:
    found = {}
    for key, value in given.items():
        if key not in chapters():
            near = f' Did you mean "{key.zfill(2)}"?' if key.zfill(2) in chapters() else ""
            raise WorkbookError(f"{path}: deadlines.{key} names no chapter. Chapters have two digits.{near}")
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time(23, 59, 59))  # a day without a time: until its end
        if not isinstance(value, datetime):
            raise WorkbookError(
                f'{path}: the deadline of chapter "{key}" is {value!r}; expected a day and a time without quotation '
                f"marks, such as {datetime.now().year + 1}-01-31T23:59:59."
            )
        found[key] = value if value.tzinfo else value.replace(tzinfo=zone)
    return found


def _points(path: Path, given: Mapping[str, Any]) -> dict[str, float]:
    known = [number for one in chapters().values() for number in of_chapter(one)]
    for number, value in given.items():
        if isinstance(value, dict):
            written = f"{number}.{next(iter(value), 1)}"  # 4.1 = 1 means 1 in a table 4 to TOML
            raise WorkbookError(f'{path}: put the number of an exercise in quotation marks: "{written}" = 1.')
        if number not in known:
            own = chapters().get(chapter_of(number))
            listed = f"Chapter {own.number} has {', '.join(of_chapter(own))}." if own else "Numbers look like 4.2."
            raise WorkbookError(f"{path}: points names an exercise {number!r} that is not in the course. {listed}")
        if not _is_number(value) or value < 0:
            raise WorkbookError(f'{path}: the points of "{number}" are {value!r}; expected a number, 0 or more.')
    if not given:
        raise WorkbookError(f'{path}: no exercise is chosen. Below [points] write lines such as "4.1" = 1.')
    return {number: float(given[number]) for number in known if number in given}


# --- students who come and go -----------------------------------------------------------------------------------------


def add_student(course: Course, name: str, id: str, email: str = "") -> Course:
    """Add a student to the roster, and return the class with them.

    Raises:
        WorkbookError: the id or the e-mail address is another student's or can't be used, or the name is empty.
    """
    path = course.folder / ROSTER
    write_private(path, roster.with_student(path, Student(id, name, email)))
    return read(course.folder)


def remove(course: Course, id: str) -> str:
    """Delete a student from the roster, every file that is theirs, and their account; return what was done, in words.

    The pages and gradebooks of the whole class hold them too, so all reports are deleted; they are built anew by
    `labs class report`. Files that somebody else made and that still name the student are listed, and left alone.

    Raises:
        WorkbookError: nobody of that id is on the roster, and no file is theirs; or the class's JupyterHub runs.
    """
    student = course.students.get(id, Student(id, "", ""))
    if roster.refused_id(id) or not (id in course.students or _own_folders(course, id)):
        raise WorkbookError(f"Nobody in {course.folder} has the id {id!r}. See labs class status for the ids.")
    noted = [one for one in problems(course) if not _names_in_path(one["original"], student)]
    noted = [one for one in noted if not _names(one["sentence"], student)]
    accounts.forget(course.folder, id)
    versions = list((course.folder / "submissions" / id).glob("*/[!.]*.ipynb"))
    path = course.folder / ROSTER
    if id in course.students:
        write_private(path, roster.without_student(path, id))
    for own in _own_folders(course, id):
        shutil.rmtree(own) if own.is_dir() else own.unlink()
    save_problems(course, noted)
    reports = course.folder / "reports"
    had_reports = reports.exists()
    shutil.rmtree(reports, ignore_errors=True)
    count = f"{len(versions)} submission{'' if len(versions) == 1 else 's'}"
    said = [f"Removed {id} {student.name}".strip() + f": {count}, and every result and comment."]
    if had_reports:
        said.append("The reports showed them, and were deleted: build them again with labs class report.")
    left = [str(file.relative_to(course.folder)) for file in _files(course.folder) if _is_named_in(file, student)]
    if left:
        said.append(f"Still named in files that were left alone, look at them: {', '.join(left)}.")
    return "\n".join(said)


def _own_folders(course: Course, id: str) -> list[Path]:
    """The files and folders that are one student's, those that there are."""
    own = (f"submissions/{id}", f"results/{id}", f"comments/{id}.md", f"reports/students/{id}.html")
    return [course.folder / one for one in own if (course.folder / one).exists()]


def _names(text: str, student: Student) -> bool:
    """Does a text hold the student's name, e-mail address or id, written out or as JSON or HTML write it?"""
    searched = folded(text)
    for word in filter(None, (student.name, student.email, student.id)):
        for form in {word, json.dumps(word)[1:-1], html.escape(word)}:
            # As a word of its own: the id s1 is not in s10, and Ann is not in Annabel.
            if re.search(rf"(?<![^\W_]){re.escape(folded(form))}(?![^\W_])", searched):
                return True
    return False


def _names_in_path(path: str, student: Student) -> bool:
    """Is a file's name, or that of a folder around it, the student's in any form that a platform gives it?"""
    return _names(path, student) or any(named_in(part, {student.id: student}) for part in path.split("/"))


_NOT_THEIRS = ("homes", "handout", "handout.zip", "guide")


def _files(folder: Path) -> list[Path]:
    """The files of a class that are the teacher's own.

    What is in other students' homes is those students'. What is handed out, and the guide, come from the course: an id
    such as s01 stands in its examples, and any id of a few signs in a zip's bytes.
    """
    found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(path for path in found if path.relative_to(folder).parts[0] not in _NOT_THEIRS)


def _is_named_in(file: Path, student: Student) -> bool:
    """Is a student named in a file, or in its name? An id of one or two signs is in any file, and says nothing."""
    sought = student if len(student.id) > 2 else Student("", student.name, student.email)
    return _names(file.name, sought) or _names(file.read_text(encoding="utf-8", errors="replace"), sought)


# --- what there is so far ---------------------------------------------------------------------------------------------


def status(course: Course) -> str:
    """What was handed in and graded so far, as text: a line for each chapter and each student, then what needs a look.

    A submission is graded when there is a result for exactly these bytes. Points are those of the passed exercises,
    less what being late costs.
    """
    counted = counting(course)
    results = {key: _result(course, one) for key, one in counted.items()}
    now = datetime.now(UTC)
    head = (
        f"{course.title}: students: {len(course.students)}; chapters: {len(course.chapters())}; times in {course.zone}."
    )
    body = [head, "", *_by_chapter(course, counted, results), "", *_by_student(course, counted, results)]
    looks = [*_past(course, counted, now), *_strangers(course)]
    looks += [f"Not kept: {shown(one['original'])}. {shown(one['sentence'])}" for one in problems(course)]
    return "\n".join([*body, *(["", *looks] if looks else [])])


def _by_chapter(course: Course, counted: Mapping[tuple, Submission], results: Mapping[tuple, dict]) -> list[str]:
    rows = [["chapter", "deadline", "handed in", "late", "graded"]]
    for number in course.chapters():
        own = [one for one in counted.values() if one.chapter == number]
        deadline = course.deadlines.get(number)
        rows.append(
            [
                f"{number} {chapter(number).title}",
                _moment(course, deadline) if deadline else "none",
                f"{len(own)} of {len(course.students)}",
                str(sum(days_late(course, one) > 0 for one in own)),
                str(sum(bool(results[one.student, number]) for one in own)),
            ]
        )
    return _aligned(rows)


def _by_student(course: Course, counted: Mapping[tuple, Submission], results: Mapping[tuple, dict]) -> list[str]:
    rows = [["id", "name", "handed in", "late", "graded", "points"]]
    most = sum(course.points.values())
    for student in course.students.values():
        own = [one for one in counted.values() if one.student == student.id]
        told = [results[student.id, one.chapter] for one in own]
        earned = sum(_earned(course, one, result) for one, result in zip(own, told, strict=True))
        rows.append(
            [
                student.id,
                shown(student.name),
                f"{len(own)} of {len(course.chapters())}",
                str(sum(days_late(course, one) > 0 for one in own)),
                str(sum(map(bool, told))),
                f"{earned:g} of {most:g}" if any(told) else "–",
            ]
        )
    return _aligned(rows)


def _result(course: Course, submission: Submission) -> dict[str, Any]:
    """The result of exactly this version, or `{}`."""
    file = course.folder / "results" / submission.student / f"{submission.chapter}-{submission.sha256[:8]}.json"
    try:
        found = json.loads(read_text(file))
        return found if found["sha256"] == submission.sha256 and isinstance(found["exercises"], dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _earned(course: Course, submission: Submission, result: Mapping[str, Any]) -> float:
    passed = [number for number, one in result.get("exercises", {}).items() if one["status"] == PASSED]
    return round(sum(course.points.get(number, 0.0) for number in passed) * factor(course, submission), 4)


def _moment(course: Course, moment: datetime) -> str:
    return f"{moment.astimezone(course.zone):%Y-%m-%d %H:%M}"


def _past(course: Course, counted: Mapping[tuple, Submission], now: datetime) -> list[str]:
    """A line for each deadline that is over: it may be meant, or a slip of the pen."""
    past = [one for one in course.chapters() if one in course.deadlines and course.deadlines[one] < now]
    missing = {number: sum((one, number) not in counted for one in course.students) for number in past}
    return [
        f"Warning: the deadline of chapter {number}, {_moment(course, course.deadlines[number])}, is in the past: what "
        f"is handed in now is late. Missing: {missing[number]} of {len(course.students)}."
        for number in past
    ]


def _strangers(course: Course) -> list[str]:
    """A line for each who handed something in and is not on the roster (any more)."""
    ids = sorted({one.student for one in all_of(course)} - course.students.keys())
    return [
        f"{shown(one)} handed something in and is not on the roster: labs class add-student brings them back, "
        "labs class remove deletes what is theirs."
        for one in ids
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as columns of a terminal, where a Chinese character is two places wide."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 for one in text)
