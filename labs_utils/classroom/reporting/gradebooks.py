"""The class's points for a school's own system: plain CSV, a spreadsheet, and Moodle's and Canvas's files filled in.

A school's file is never overwritten: what is filled stands beside it, with every other cell, the order of the columns,
the separator and the encoding as they were. Points are rounded here, to two decimals, and nowhere before.
"""

import codecs
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from labs_utils.classroom import write_private
from labs_utils.classroom.course import Course
from labs_utils.classroom.reporting import marks, reports
from labs_utils.classroom.reporting.marks import Work, Works
from labs_utils.errors import WorkbookError
from labs_utils.storage import replace_file

_LARGEST = 20_000_000  # bytes of a school's file
_DECIMALS = 2
# Headers of what Canvas computes: new assignments stand before them, as in its own export.
_COMPUTED = re.compile(r"(Current|Final|Override) (Score|Points|Grade|Status)")
_OURS = re.compile(r'<div class="workbook">.*?</div>', re.DOTALL)
_TEST_STUDENT = "Student, Test"  # Canvas's own line, for trying things out
_KEPT = ("ex", "n/a")  # Canvas: excused, and not assigned to this student


@dataclass(frozen=True)
class Filled:
    """A school's file, filled in: where it is, and what the teacher should know, a sentence each."""

    path: Path
    notes: list[str]


@dataclass
class _Sheet:
    """A CSV file of a school's, read so that it can be written as it came."""

    path: Path
    encoding: str
    newline: str
    separator: str
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    @property
    def header(self) -> list[str]:
        return self.rows[0]


Cell = str | float


def plain_csv(course: Course) -> Path:
    """Write `reports/gradebook.csv`: a line for each student, with the points of each exercise, chapter and in sum.

    Where nothing was handed in, or is graded, the cell is empty and `remarks` says so. The file begins with a
    byte-order mark, so that a spreadsheet reads it as UTF-8; a name that would be a formula there gets a `'` in front.

    Raises:
        WorkbookError: a receipt can't be read.
        OSError: the folder cannot be written.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    for row in _table(course, marks.read(course)):
        writer.writerow([_guarded(cell) if isinstance(cell, str) else marks.shown(cell) for cell in row])
    path = course.folder / "reports" / "gradebook.csv"
    write_private(path, codecs.BOM_UTF8 + out.getvalue().encode())
    return path


def xlsx(course: Course) -> Path:
    """Write `reports/gradebook.xlsx`: the table of `plain_csv` as a spreadsheet. Ids are text and keep their zeros.

    Raises:
        WorkbookError: the library that writes spreadsheets is not installed; the sentence says how to get it.
        OSError: the folder cannot be written.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise WorkbookError(
            'A spreadsheet needs the library XlsxWriter: pip install -e ".[classroom]" brings it. '
            "labs class gradebook without --xlsx writes a CSV file, which every spreadsheet opens."
        ) from None
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    sheet, bold, points = book.add_worksheet("Points"), book.add_format({"bold": True}), book.add_format()
    points.set_num_format("0.##")
    table = _table(course, marks.read(course))
    for row, cells in enumerate(table):
        for column, cell in enumerate(cells):
            if isinstance(cell, float):
                sheet.write_number(row, column, round(cell, _DECIMALS), points)
            elif cell:
                sheet.write_string(row, column, cell, None if row else bold)  # never read as a formula or a number
    sheet.freeze_panes(1, 3)
    sheet.set_column(0, 2, 22)
    sheet.set_column(len(table[0]) - 1, len(table[0]) - 1, 50)
    book.close()
    path = course.folder / "reports" / "gradebook.xlsx"
    write_private(path, out.getvalue())
    return path


def fill_moodle(course: Course, file: Path, chapter: str = "") -> Filled:
    """Fill Moodle's grading worksheet of one assignment, or its gradebook export, and write `…-filled.csv` beside it.

    Students are found by their id (Moodle's *ID number*) or their e-mail address. Filled are the grade, and the
    feedback where the file has a column for it; a teacher's own feedback stays, ours is put behind it. In an export
    with several assignments, the one that bears the course's title is meant. With a chapter (`"04"`) its points are
    filled in place of the sum, and its title is looked for.

    Raises:
        WorkbookError: the file can't be read, has no such columns, or none of its students is on the roster.
    """
    sheet = _read(file)
    grade, text = _moodle_columns(sheet, course, chapter)
    works, comments = marks.read(course), reports.read_comments(course)
    _check_maximum(sheet, course, chapter)
    locked = _place(sheet.header, "Grade can be changed")

    def fill(row: list[str], own: list[Work]) -> str:
        if locked is not None and row[locked].strip().casefold() == "no":
            return "Locked in Moodle, left as they were"
        row[grade] = _written(sheet, sum(work.points for work in own))
        if text is not None:
            ours = reports.feedback(course, own, comments.get(own[0].student, ""))
            found = _OURS.search(row[text])
            row[text] = row[text][: found.start()] + ours + row[text][found.end() :] if found else row[text] + ours
        return ""

    return _fill(sheet, course, chapter, works, 1, grade, fill)


def fill_canvas(course: Course, file: Path, chapter: str = "") -> Filled:
    """Fill Canvas's gradebook export, and write `…-filled.csv` beside it.

    The assignment is the column that bears the course's title (or, with a chapter, the chapter's); where there is
    none, it is made, and Canvas makes the assignment when it reads the file. Grades that say excused stay.

    Raises:
        WorkbookError: the file is no export of Canvas's, or none of its students is on the roster.
    """
    sheet = _read(file)
    possible = next((at for at, row in enumerate(sheet.rows) if row and row[0].strip() == "Points Possible"), None)
    if possible is None or _place(sheet.header, "ID") is None:
        raise WorkbookError(
            f"{file} is no gradebook of Canvas's: it has no column ID, or no line Points Possible. In Canvas, open "
            "Grades, choose Export, and give the file as it comes."
        )
    grade = _canvas_column(sheet, course, chapter, possible)

    def fill(row: list[str], own: list[Work]) -> str:
        if row[grade].strip().casefold() in _KEPT:
            return f"Marked {row[grade].strip()} in Canvas, left as they were"
        row[grade] = _written(sheet, sum(work.points for work in own))
        return ""

    return _fill(sheet, course, chapter, marks.read(course), possible + 1, grade, fill)


# --- the class's own table ------------------------------------------------------------------------------------------


def _table(course: Course, works: Works) -> list[list[Cell]]:
    """Header and rows: id, name, e-mail, then per chapter its exercises and their sum, the total, remarks."""
    header: list[Cell] = ["id", "name", "email"]
    for chapter in course.chapters():
        header += [*marks.exercises(course, chapter), f"chapter {chapter}"]
    rows = [[*header, "total", "remarks"]]
    for student in course.students.values():
        own = [work for work in works.values() if work.student == student.id]
        points = [cell for work in own for cell in _cells(course, work)]
        total: Cell = math.fsum(work.points for work in own) if _is_known(own) else ""
        remarks = "; ".join(remark for work in own for remark in _remarks(work))
        rows.append([student.id, _line(student.name), _line(student.email), *points, total, remarks])
    return rows


def _cells(course: Course, work: Work) -> list[Cell]:
    if work.state != "graded":
        return [""] * (len(marks.exercises(course, work.chapter)) + 1)
    return [*(mark.points for mark in work.marks.values()), work.points]


def _remarks(work: Work) -> list[str]:
    """What a number alone does not say."""
    if work.state != "graded":
        return [f"{work.chapter}: {work.state}"]
    late = [f"{work.chapter}: late, points x {marks.shown(work.factor)}"] if work.is_late else []
    return late + [f"{number}: not judged" for number, mark in work.marks.items() if mark.status == marks.NOT_JUDGED]


def _is_known(own: list[Work]) -> bool:
    """Whether there is a sum: something was handed in, and all that was is graded."""
    return any(work.submission for work in own) and not any(work.state == "not graded yet" for work in own)


def _line(text: str) -> str:
    return " ".join(marks.visible(text).split())


def _guarded(text: str) -> str:
    """A text that a spreadsheet must not take for a formula."""
    return f"'{text}" if text.lstrip()[:1] in tuple("=+-@＝＋－＠") else text


# --- a school's file ------------------------------------------------------------------------------------------------


def _read(file: Path) -> _Sheet:
    """Read a CSV file so that what is not changed is written as it was.

    A file that is no Unicode is read byte for byte: every such encoding writes separators, digits and e-mail addresses
    alike, and the bytes of names go back as they came.
    """
    try:
        content = file.read_bytes() if file.stat().st_size <= _LARGEST else b""
    except OSError as error:
        raise WorkbookError(f"{file} could not be read ({error.strerror}). Give the CSV file of the school.") from None
    if not content.strip() or content.startswith(b"PK\x03\x04"):
        raise WorkbookError(f"{file} is no CSV file, is empty, or is too large. Download it once more, as CSV.")
    encoding = _encoding(content)
    text = content.decode(encoding)
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise WorkbookError(f"{file} can't be read as CSV ({error}). Download it once more.") from None
    width = len(rows[0])
    rows = [row + [""] * (width - len(row)) if row else row for row in rows]
    return _Sheet(file, encoding, "\r\n" if first.endswith("\r") else "\n", separator, rows)


def _encoding(content: bytes) -> str:
    if content.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        content.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _write(sheet: _Sheet) -> Path:
    """Write a sheet beside the file that it came from. What its encoding can't hold becomes an HTML entity."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=sheet.separator, lineterminator=sheet.newline).writerows(sheet.rows)
    path = sheet.path.with_name(f"{sheet.path.stem}-filled.csv")
    text = out.getvalue()
    replace_file(path, text.encode(sheet.encoding, "xmlcharrefreplace"), mode=0o600)
    return path


def _fill(
    sheet: _Sheet,
    course: Course,
    chapter: str,
    works: Works,
    start: int,
    column: int,
    fill: Callable[[list[str], list[Work]], str],
) -> Filled:
    """Fill the rows from `start` on, write the sheet, and tell what was left and why."""
    wanted = [chapter] if chapter else course.chapters()
    found = _students(sheet, course, start)
    left: dict[str, list[str]] = {}
    filled = changed = 0
    for at, student in found.items():
        own = [works[student, one] for one in wanted]
        before = sheet.rows[at][column].strip()
        reason = _reason(own) or fill(sheet.rows[at], own)
        if reason:
            left.setdefault(reason, []).append(f"{_line(course.students[student].name)} ({student})")
        else:
            filled += 1
            changed += before not in ("", "-") and _value(before) != _value(sheet.rows[at][column])
    absent = [f"{_line(one.name)} ({one.id})" for one in course.students.values() if one.id not in found.values()]
    if absent:
        left["On the roster, and not in the file"] = absent
    told = (
        f"Filled {filled} of {len(found)} students in {sheet.header[column].strip()!r}: chapters {', '.join(wanted)}."
    )
    again = [f"{changed} had another grade there before."] if changed else []
    notes = [told, *again, *sheet.notes, *(f"{reason}: {'; '.join(names)}." for reason, names in left.items())]
    return Filled(_write(sheet), notes)


def _reason(own: list[Work]) -> str:
    """Why a student's grade is left as it is; "" where there is one to fill."""
    if any(work.state == "not graded yet" for work in own):
        return "Not graded yet (run labs class grade), left as they were"
    return "" if any(work.submission for work in own) else "Nothing handed in, left as they were"


def _students(sheet: _Sheet, course: Course, start: int) -> dict[int, str]:
    """The student of each row, by the row's place: by id, else by e-mail address.

    The columns are those where most cells are an id, or an address, of the roster: their headers are in any language.
    """
    places = range(start, len(sheet.rows))
    ids = {student.id.casefold(): student.id for student in course.students.values()}
    mails = {student.email.casefold(): student.id for student in course.students.values() if student.email}
    by_id, by_mail = _best(sheet, places, ids), _best(sheet, places, mails)
    found: dict[int, str] = {}
    strangers: list[str] = []
    for at in places:
        row = sheet.rows[at]
        named = {known.get(row[column].strip().casefold()) for column, known in (by_id, by_mail) if column >= 0 and row}
        student = next(iter(named - {None}), None)
        if student and len(named - {None}) == 1:
            found[at] = student
        elif any(cell.strip() for cell in row) and row[0].strip() != _TEST_STUDENT:
            strangers.append(_named(row, at, [by_id[0], by_mail[0]]))
    twice = {student for student, count in Counter(found.values()).items() if count > 1}
    if not found:
        raise WorkbookError(
            f"No line of {sheet.path} has an id or an e-mail address of the roster. Export it with the students' ID "
            "numbers or e-mail addresses, or write theirs into roster.csv."
        )
    if strangers:
        sheet.notes.append(f"In the file, and not on the roster (or two students at once): {'; '.join(strangers)}.")
    if twice:
        sheet.notes.append(f"Twice in the file, left as they were: {', '.join(sorted(twice))}.")
    return {at: student for at, student in found.items() if student not in twice}


def _best(sheet: _Sheet, places: range, known: dict[str, str]) -> tuple[int, dict[str, str]]:
    """The column that holds the most of what is known, -1 if none does."""
    counts = Counter(
        column for at in places for column, cell in enumerate(sheet.rows[at]) if cell.strip().casefold() in known
    )
    return (counts.most_common(1)[0][0] if counts else -1), known


def _named(row: list[str], at: int, columns: list[int]) -> str:
    said = ", ".join(row[column].strip() for column in columns if column >= 0 and row[column].strip())
    return f"line {at + 1} ({_line(said or row[0])})"


def _place(header: list[str], name: str) -> int | None:
    return next((at for at, word in enumerate(header) if word.strip().casefold() == name.casefold()), None)


def _titles(course: Course, chapter: str) -> list[str]:
    """What an assignment may be called; the first is what a new one is called."""
    if chapter and chapter not in course.chapters():
        raise WorkbookError(f"Chapter {chapter!r} is not in this class. It has {', '.join(course.chapters())}.")
    named = [chapter] if chapter else course.chapters()
    titles = [marks.chapter_title(named[0]), marks.chapter_title(named[0]).partition(" ")[2]] if len(named) == 1 else []
    return titles if chapter else [course.title, *titles]


def _assignment(header: list[str], titles: list[str]) -> int | None:
    """The column of an assignment, whatever the system writes around its title: "Assignment: X (Real)", "X (4711)"."""
    bare = [re.sub(r"\s*\([^()]*\)$", "", word.strip()) for word in header]
    bare = [re.sub(r"^[^:]{1,20}:\s*", "", word) if word not in titles else word for word in bare]
    known = {title.casefold() for title in titles}
    return next((at for at, word in enumerate(bare) if word.casefold() in known), None)


def _moodle_columns(sheet: _Sheet, course: Course, chapter: str) -> tuple[int, int | None]:
    """Where the grade stands, and the feedback (None if it has no column)."""
    worksheet = _place(sheet.header, "Grade")
    titles = _titles(course, chapter)
    if worksheet is not None:
        return worksheet, _place(sheet.header, "Feedback comments")
    is_text = [word.strip().casefold().startswith("feedback") for word in sheet.header]
    grades = ["" if texts else word for word, texts in zip(sheet.header, is_text, strict=True)]
    texts = [word if texts else "" for word, texts in zip(sheet.header, is_text, strict=True)]
    grade = _assignment(grades, titles)
    if grade is None:
        raise WorkbookError(
            f"{sheet.path} has no column Grade (as in a grading worksheet), and none for an assignment called "
            f"{' or '.join(map(repr, titles))}. It has {', '.join(map(repr, sheet.header))}. Name the assignment so in "
            "Moodle; download the file while Moodle's language is English."
        )
    return grade, _assignment(texts, titles)


def _check_maximum(sheet: _Sheet, course: Course, chapter: str) -> None:
    """Moodle skips grades above the assignment's maximum, and takes points of another maximum for what they aren't."""
    place = _place(sheet.header, "Maximum Grade")
    full = round(marks.worth(course, [chapter] if chapter else course.chapters()), _DECIMALS)
    found = {row[place].strip() for row in sheet.rows[1:] if row and row[place].strip()} if place is not None else set()
    other = sorted(text for text in found if _value(text) != full)
    if other:
        sheet.notes.append(
            f"The assignment's maximum grade in Moodle is {', '.join(other)}, and the points here add up to "
            f"{marks.shown(full)}. Set it to {marks.shown(full)} in Moodle, then download and fill the worksheet again."
        )


def _canvas_column(sheet: _Sheet, course: Course, chapter: str, possible: int) -> int:
    """The assignment's column, made where it is missing; a note where Canvas has other possible points."""
    titles = _titles(course, chapter)
    full = marks.worth(course, [chapter] if chapter else course.chapters())
    place = _assignment(sheet.header, titles)
    if place is None:
        place = next((at for at, word in enumerate(sheet.header) if _COMPUTED.search(word)), len(sheet.header))
        for at, row in enumerate(sheet.rows):
            if row:
                row.insert(place, {0: _guarded(titles[0]), possible: _written(sheet, full)}.get(at, ""))
        sheet.notes.append(f"The file had no assignment {titles[0]!r}: Canvas makes it when you import the file.")
    elif _value(there := sheet.rows[possible][place].strip()) != round(full, _DECIMALS):
        sheet.notes.append(
            f"The assignment's possible points in Canvas are {there or 'not set'}, and the points here add up to "
            f"{marks.shown(full)}. Set them to {marks.shown(full)} in Canvas."
        )
    return place


def _written(sheet: _Sheet, points: float) -> str:
    """A number as the file writes numbers: with a comma where semicolons separate."""
    return marks.shown(points).replace(".", "," if sheet.separator == ";" else ".")


def _value(text: str) -> float | None:
    try:
        return round(float(text.strip().replace(",", ".")), _DECIMALS)
    except ValueError:
        return None
