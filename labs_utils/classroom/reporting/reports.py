"""Pages of a class: one for the teacher, and one for each student that can be handed back.

Each page is one file that asks for nothing: no script, no picture, no style from elsewhere. What students wrote (code,
results in messages, names) is text in it and never markup. A student's page holds nothing of another student.
"""

import functools
import statistics
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import jinja2
import mistune
from markupsafe import Markup

from labs_utils.classroom import submissions, write_private
from labs_utils.classroom.course import Course
from labs_utils.classroom.reporting import findings, marks
from labs_utils.classroom.reporting.findings import Finding
from labs_utils.classroom.reporting.marks import Work, Works
from labs_utils.errors import WorkbookError
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED
from labs_utils.storage import read_text

_SIGNS = {PASSED: "✓", FAILED: "✗", NOT_ATTEMPTED: "○", marks.NOT_JUDGED: "!"}
_LETTERS = {PASSED: "p", FAILED: "f", NOT_ATTEMPTED: "n", marks.NOT_JUDGED: "j"}  # classes in style.css
_MOST = 15  # lines of one list that are read at a glance; the others are folded
_BESIDE = 6  # texts of equal code that are shown; more of the same say nothing new
_WIDEST = 18  # exercises in one table: what a screen and a page of paper hold side by side
_LONGEST_NAME = 60  # characters in a list; the student's own page has all of it
_CLIPPED = 600  # characters of one message on the teacher's page; the student's page has more of it


@dataclass(frozen=True)
class Line:
    """One line of a task: a text, and the students it is about."""

    text: str
    students: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """Something that only the teacher can do: what it is, how to do it, and about what."""

    what: str
    advice: str
    lines: list[Line] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Glance:
    """One chapter in a line: how many handed in, were late and are graded, and the median of their points."""

    chapter: str
    handed_in: int
    late: int
    graded: int
    median: float


class _WithoutPictures(mistune.HTMLRenderer):
    """A comment's pictures are named: a page that is handed back asks for nothing."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return mistune.escape(f"[{text}: {url}]")


_markdown = mistune.create_markdown(renderer=_WithoutPictures(escape=True), plugins=["table", "strikethrough"])


def build(course: Course) -> Path:
    """Write `reports/index.html` and `reports/students/<id>.html`, and return the path of the first.

    Each page appears whole or not at all, the teacher's last. What has not been graded is listed as such.

    Raises:
        WorkbookError: a comment is no UTF-8 text, or a receipt can't be read. No page has been written then.
        OSError: the folder cannot be written.
    """
    works, comments = marks.read(course), read_comments(course)
    folder = course.folder / "reports"
    pages = {folder / "students" / f"{id}.html": _student_page(course, id, works, comments) for id in course.students}
    pages[folder / "index.html"] = _class_page(course, works, comments)
    for path, text in pages.items():
        write_private(path, text)
    return folder / "index.html"


def feedback(course: Course, works: list[Work], comment: str) -> str:
    """What one student's page says, as a few lines of HTML for a school's own system: no code, long messages cut."""
    chapters = [work.chapter for work in works]
    return _render("feedback.html", course, works=works, chapters=chapters, comment=_as_html(comment))


def read_comments(course: Course) -> dict[str, str]:
    """The teacher's comments, `comments/<id>.md`, by the name of the file.

    Raises:
        WorkbookError: one is no UTF-8 text.
    """
    found = {}
    for path in sorted((course.folder / "comments").glob("*.md")):
        try:
            found[unicodedata.normalize("NFC", path.stem)] = read_text(path)  # macOS may take letters apart
        except UnicodeDecodeError:
            raise WorkbookError(f"{path} is no UTF-8 text. Open it in an editor and save it as UTF-8.") from None
    return found


def _student_page(course: Course, student: str, works: Works, comments: dict[str, str]) -> str:
    own = [work for work in works.values() if work.student == student]
    comment = _as_html(comments.get(student, ""))
    return _render("student.html", course, works=own, name=_name(course, student), comment=comment)


def _as_html(comment: str) -> Markup:
    return Markup(str(_markdown(marks.visible(comment, len(comment)))).strip())


def _class_page(course: Course, works: Works, comments: dict[str, str]) -> str:
    return _render(
        "class.html",
        course,
        works=works,
        names=_names(course),
        built=_when(course, datetime.now(UTC)),
        glance=[_glance(chapter, works) for chapter in course.chapters()],
        misconceptions=findings.misconceptions(works),
        messages=findings.messages(works),
        hardest=findings.hardest(works),
        shares=findings.shares(works),
        tasks=_tasks(course, works, comments),
        blocks=_blocks(course),
        equal=findings.equal_code(works),
        solved=findings.as_solved(works),
        regraded=findings.regraded(works),
        total=lambda student: _total(student, works),
        page=lambda student: f"students/{quote(student, safe='')}.html",
        most=_MOST,
        beside=_BESIDE,
    )


def _render(template: str, course: Course, **shown: object) -> str:
    return (
        _templates()
        .get_template(template)
        .render(
            course=course,
            signs=_SIGNS,
            letters=_LETTERS,
            when=functools.partial(_when, course),
            lateness=functools.partial(_lateness, course),
            exercises=functools.partial(marks.exercises, course),
            worth=functools.partial(marks.worth, course),
            title=marks.exercise_title,
            chapter=marks.chapter_title,
            **shown,
        )
    )


@functools.cache
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).with_name("templates"))
    made = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    made.filters |= {"points": marks.shown, "clip": _clip, "lines": _lines}
    made.tests["single"] = lambda students: len(students) == 1
    return made


def _clip(text: str) -> str:
    return text if len(text) <= _CLIPPED else f"{text[:_CLIPPED]} …"


def _lines(text: str) -> Markup:
    return Markup("<br>").join(text.splitlines())


def _name(course: Course, student: str) -> str:
    return marks.visible(course.students[student].name).strip() or student


def _names(course: Course) -> dict[str, str]:
    """What each student is called; two of one name are told apart by their ids."""
    names = {student: _name(course, student) for student in course.students}
    names = {id: name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…" for id, name in names.items()}
    every = list(names.values())
    return {student: f"{name} ({student})" if every.count(name) > 1 else name for student, name in names.items()}


def _when(course: Course, moment: datetime) -> str:
    """A time in the class's own zone."""
    return moment.astimezone(course.zone).strftime("%Y-%m-%d %H:%M %Z")


def _lateness(course: Course, work: Work) -> str:
    """The rest of the sentence "handed in on …", when it was late."""
    if not work.is_late or work.submission is None:
        return ""
    days = submissions.days_late(course, work.submission)
    begun = "less than a day" if days == 1 else f"{days} days, the last one begun,"
    if work.factor == 0:
        return f", {begun} after the deadline: too late to count"
    kept = f"{work.factor:.0%}" if round(work.factor * 100) == work.factor * 100 else f"{work.factor:.1%}"
    return f", {begun} after the deadline: each exercise gives {kept} of its points"


def _glance(chapter: str, works: Works) -> Glance:
    own = [work for work in works.values() if work.chapter == chapter]
    points = [work.points for work in own if work.state == "graded"]
    return Glance(
        chapter=chapter,
        handed_in=sum(work.submission is not None for work in own),
        late=sum(work.is_late for work in own),
        graded=len(points),
        median=statistics.median_low(points) if points else 0.0,
    )


def _total(student: str, works: Works) -> str:
    """A student's points for the table: a dash where nothing was handed in, a mark where something is not graded."""
    own = [work for work in works.values() if work.student == student]
    if all(work.submission is None for work in own):
        return "–"
    is_open = any(work.state == "not graded yet" for work in own)
    points = marks.shown(sum(work.points for work in own)) if any(work.marks for work in own) else ""
    return f"{points} …".strip() if is_open else points


def _blocks(course: Course) -> list[list[str]]:
    """The chapters, so many to a table that it is not too wide."""
    blocks: list[list[str]] = []
    room = 0
    for chapter in course.chapters():
        width = len(marks.exercises(course, chapter))
        if width > room:
            blocks.append([])
            room = _WIDEST
        blocks[-1].append(chapter)
        room -= width
    return blocks


def _tasks(course: Course, works: Works, comments: dict[str, str]) -> list[Task]:
    """What the teacher has to look at, the most pressing first. What is empty is left out."""
    strangers = [Line(f"comments/{name}.md") for name in comments if name not in course.students]
    kept_out = [Line(f"{one['original']}: {one['sentence']}") for one in marks.problems(course)]
    tasks = [
        Task("Files that could not be kept", "Each sentence says what to do; then collect again.", kept_out),
        Task(
            "Handed in, and not graded yet",
            f"Run labs class grade {course.folder.name}, then build this report again.",
            _by_chapter(works, lambda work: work.state == "not graded yet"),
        ),
        Task(
            "Answers that could not be judged",
            "They give no points, and say nothing about the answer: look at the code on the student's page.",
            findings=findings.not_judged(works),
        ),
        Task(
            "Nothing handed in",
            "They have no points in these chapters. Ask them, or collect once more.",
            _by_chapter(works, lambda work: work.submission is None, functools.partial(_due, course)),
        ),
        Task(
            "Handed in late",
            "The late rule and the deadlines are in class.toml; the report and the gradebooks follow them.",
            _late(course, works),
        ),
        Task(
            "Another version passes",
            "The version that counts does not pass. Decide whether you want the other one to count.",
            findings=findings.better_elsewhere(works),
        ),
        Task("What the grading noticed", "Nothing to do, unless one of it surprises you.", _notes(works)),
        Task(
            "Not on the roster",
            "They handed something in. labs class add-student brings them back; remove deletes what is theirs.",
            [Line(id) for id in sorted({one.student for one in submissions.all_of(course)} - course.students.keys())],
        ),
        Task("Comments for nobody", "No student has this id: rename the file to the id on the roster.", strangers),
    ]
    return [task for task in tasks if task.lines or task.findings]


def _by_chapter(
    works: Works, is_meant: Callable[[Work], bool], more: Callable[[str], str] = lambda _: ""
) -> list[Line]:
    groups: dict[str, list[str]] = {}
    for work in works.values():
        if is_meant(work):
            groups.setdefault(work.chapter, []).append(work.student)
    return [Line(f"{marks.chapter_title(one)}{more(one)}:", groups[one]) for one in sorted(groups)]


def _due(course: Course, chapter: str) -> str:
    deadline = course.deadlines.get(chapter)
    if deadline is None:
        return ""
    return f" ({'was' if deadline < datetime.now(UTC) else 'is'} due {_when(course, deadline)})"


def _late(course: Course, works: Works) -> list[Line]:
    groups: dict[tuple[str, str], list[str]] = {}
    for work in works.values():
        if work.is_late:
            groups.setdefault((work.chapter, _lateness(course, work)), []).append(work.student)
    return [Line(f"{marks.chapter_title(one)}{how}:", students) for (one, how), students in sorted(groups.items())]


def _notes(works: Works) -> list[Line]:
    """What the grading noted, the same note once, with everybody it is about."""
    groups: dict[tuple[str, str], list[str]] = {}
    for work in works.values():
        for note in work.notes:
            groups.setdefault((work.chapter, note), []).append(work.student)
    return [Line(f"{chapter}: {note}", students) for (chapter, note), students in groups.items()]
