"""Points in a school's own files: the same when read back, every other cell as it was, nothing left in silence."""

import csv
import dataclasses
import io
import re
import sys
import zipfile
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from labs_utils.classroom import write_private
from labs_utils.classroom.reporting import gradebooks
from labs_utils.errors import WorkbookError
from labs_utils.exercises.verdicts import FAILED, PASSED
from tests.classroom.graded import NOON, a_class, hand_in

STUDENTS = {
    "007": "Student One",
    "s02": "学生二",
    "s03": "Élève Trois; «né»",
    "s04": '=HYPERLINK("http://x.example")',
    "s05": "No Body",
}
POINTS = {"007": 3.0, "s02": 2.7, "s03": 0.0}  # s04 is not graded, s05 has handed in nothing
WORKSHEET = (
    'Identifier,"Full name","ID number","Email address",Status,Grade,"Maximum Grade","Grade can be changed",'
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\n'
    '"Participant 11","Student One",007,one@elsewhere.example,"Submitted for grading",,14.00,Yes,'
    '"Monday, 30 November 2026, 12:00 PM",-,\n'
    '"Participant 12",学生二,,S02@School.Example,Submitted,1.00,14.00,Yes,-,-,"<p>My own ""words"", kept</p>"\n'
    '"Participant 13","Élève Trois; «né»",s03,,-,,14.00,Yes,-,-,\n'
    '"Participant 14","=HYPERLINK(""http://x.example"")",s04,,-,5.00,14.00,Yes,-,-,old\n'
    '"Participant 15","No Body",s05,,-,4.50,14.00,Yes,-,-,\n'
    '"Participant 16","=cmd|\'/C calc\'!A0",zz9,stranger@school.example,-,9.00,14.00,Yes,-,-,"not ours"\n'
)
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,"Notes","Essay (4711)",Assignments Current Score,Current Score,Final Grade
,,,,,,Manual Posting,,,
    Points Possible,,,,,,10.00,(read only),(read only),(read only)
"One, Student",101,007,one,"5, b",x,7.00,70.00,70.00,C
学生二,102,s02,two,5b,,,,,
Élève Trois,103,,s03@school.example,5b,,EX,,,
"=HYPERLINK(""http://x.example"")",104,s04,four,5b,,1.00,,,
"Student, Test",105,,f00,5b,,,,,
"""


@pytest.fixture
def course(tmp_path):
    """Five students and chapter 04: 3 points; 3 points a day late; none passed; not graded; nothing handed in."""
    made = a_class(tmp_path / "class", STUDENTS, ["04"])
    made = dataclasses.replace(made, deadlines={"04": NOON})
    passed, failed = {"status": PASSED}, {"status": FAILED, "message": "Given 1 < 2 & `x`,\nyour result is <b>no</b>."}
    hand_in(made, "007", "04", {"4.1": passed, "4.2": passed, "4.3": failed})
    hand_in(made, "s02", "04", {"4.1": passed, "4.2": passed}, NOON + timedelta(hours=1))
    hand_in(made, "s03", "04", {"4.1": failed, "4.4": {"status": "not judged", "message": "Stopped."}})
    hand_in(made, "s04", "04", None)
    return made


def given(course, text, encoding="utf-8", name="grades.csv"):
    path = course.folder.parent / name
    path.write_bytes(text.encode(encoding))
    return path


def rows(path, encoding="utf-8", delimiter=","):
    return list(csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""), delimiter=delimiter))


def told(filled) -> str:
    return "\n".join(filled.notes)


# --- plain CSV and the spreadsheet ------------------------------------------------------------------------------------


def test_plain_csv_gives_the_same_points_when_read_back(course):
    path = gradebooks.plain_csv(course)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") and path.stat().st_mode & 0o777 == 0o600
    header, *lines = rows(path, "utf-8-sig")
    assert header[:4] == ["id", "name", "email", "4.1"] and header[-3:] == ["chapter 04", "total", "remarks"]
    table = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    assert {student: float(line["total"]) for student, line in table.items() if line["total"]} == POINTS
    assert (table["s02"]["4.1"], table["s02"]["4.2"], table["s02"]["4.3"]) == ("0.9", "1.8", "0")
    assert table["s02"]["name"] == "学生二" and table["s03"]["name"] == "Élève Trois; «né»"
    remarks = {student: line["remarks"] for student, line in table.items()}
    assert remarks == {
        "007": "",
        "s02": "04: late, points x 0.9",
        "s03": "4.4: not judged",
        "s04": "04: not graded yet",
        "s05": "04: nothing handed in",
    }
    assert [table[student]["chapter 04"] for student in ("s04", "s05")] == ["", ""]


def test_a_name_that_would_be_a_formula_is_none(course):
    for name in ("=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1"):
        odd = dataclasses.replace(course.students["s02"], name=name)
        path = gradebooks.plain_csv(dataclasses.replace(course, students={"s02": odd}))
        assert rows(path, "utf-8-sig")[1][1] == f"'{name.strip()}"


def cells(path) -> dict[str, str | float]:
    """The first sheet of a spreadsheet: texts as text, numbers as numbers; a formula is an error."""
    space = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(path) as book:
        shared = ElementTree.fromstring(book.read("xl/sharedStrings.xml")).findall("x:si", space)
        texts = ["".join(piece.text or "" for piece in one.iter(f"{{{space['x']}}}t")) for one in shared]
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    assert sheet.find(".//x:f", space) is None
    found = sheet.findall(".//x:c[x:v]", space)
    values = {one.get("r"): (one.get("t"), one.find("x:v", space).text) for one in found}
    return {place: texts[int(value)] if kind == "s" else float(value) for place, (kind, value) in values.items()}


def test_a_spreadsheet_keeps_zeros_and_makes_no_formula(course):
    pytest.importorskip("xlsxwriter")
    path = gradebooks.xlsx(course)
    found = cells(path)
    assert (found["A2"], found["B3"], found["B5"]) == ("007", "学生二", STUDENTS["s04"])
    assert found["L1"] == "total" and {found[f"A{row}"]: found[f"L{row}"] for row in (2, 3, 4)} == POINTS
    assert "L5" not in found and found["M6"] == "04: nothing handed in" and path.stat().st_mode & 0o777 == 0o600


def test_without_the_library_the_sentence_names_the_extra(course, monkeypatch):
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(WorkbookError, match=r"\[classroom\].*without --xlsx writes a CSV"):
        gradebooks.xlsx(course)
    assert not (course.folder / "reports").exists()


# --- Moodle -----------------------------------------------------------------------------------------------------------


def test_moodles_worksheet_is_filled_beside_and_everything_else_stays(course):
    file = given(course, WORKSHEET)
    filled = gradebooks.fill_moodle(course, file)
    assert file.read_text(encoding="utf-8") == WORKSHEET
    assert filled.path.name == "grades-filled.csv" and filled.path.stat().st_mode & 0o777 == 0o600
    before, after = rows(file), rows(filled.path)
    assert [row[:5] + row[6:10] for row in after] == [row[:5] + row[6:10] for row in before]
    assert [row[5] for row in after] == ["Grade", "3", "2.7", "0", "5.00", "4.50", "9.00"]
    assert [row[10] for row in after[4:]] == ["old", "", "not ours"]
    notes = told(filled)
    assert "Filled 3 of 5 students in 'Grade': chapters 04." in notes
    assert "1 had another grade there before." in notes
    assert "not on the roster (or two students at once): line 7 (zz9, stranger@school.example)." in notes
    assert "Not graded yet (run labs class grade), left as they were: =HYPERLINK" in notes
    assert "Nothing handed in, left as they were: No Body (s05)." in notes and "On the roster" not in notes


def test_feedback_is_html_that_cannot_be_taken_for_markup_and_keeps_the_teachers_own(course):
    write_private(course.folder / "comments" / "s02.md", "Come **in time**.")
    first, late = [row[10] for row in rows(gradebooks.fill_moodle(course, given(course, WORKSHEET)).path)[1:3]]
    assert first.startswith(
        '<div class="workbook"><p><strong>Class &amp; &lt;Test&gt;: 3 of 14 points</strong></p><ul>'
    )
    assert "Given 1 &lt; 2 &amp; `x`,<br>your result is &lt;b&gt;no&lt;/b&gt;." in first and "\n" not in first
    assert "<li>4.1 Count the pairs: <strong>passed</strong>, 1 of 1</li>" in first
    assert late.startswith('<p>My own "words", kept</p><div class="workbook">')
    assert "Come <strong>in time</strong>." in late and "each exercise gives 90% of its points" in late


def test_filling_what_was_filled_changes_only_what_is_new(course):
    once = gradebooks.fill_moodle(course, given(course, WORKSHEET)).path
    twice = gradebooks.fill_moodle(course, once)
    assert twice.path.read_bytes() == once.read_bytes()
    assert "another grade" not in told(twice)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "gb18030"])
def test_encoding_separator_and_line_ends_stay(course, encoding):
    text = WORKSHEET.replace("学生二", "Zwei") if encoding == "cp1252" else WORKSHEET
    if encoding == "gb18030":
        text = text.replace("«né»", "né")
    before = list(csv.reader(io.StringIO(text)))
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";", lineterminator="\r\n").writerows(before)
    filled = gradebooks.fill_moodle(course, given(course, out.getvalue(), encoding))
    after = rows(filled.path, encoding, ";")
    assert [row[:5] + row[6:10] for row in after] == [row[:5] + row[6:10] for row in before]
    assert [row[5] for row in after[1:4]] == ["3", "2,7", "0"]  # as a spreadsheet with semicolons writes numbers
    assert filled.path.read_bytes().decode(encoding).count("\r\n") == len(before)


def test_another_maximum_and_a_locked_grade_are_said(course):
    text = WORKSHEET.replace("14.00", "100.00").replace(",Yes,", ",No,", 1)
    filled = gradebooks.fill_moodle(course, given(course, text))
    assert "maximum grade in Moodle is 100.00, and the points here add up to 14. Set it to 14 in Moodle" in told(filled)
    assert "Locked in Moodle, left as they were: Student One (007)." in told(filled)
    assert rows(filled.path)[1][5] == ""


def test_an_export_of_the_gradebook_is_filled_in_the_assignments_column(course):
    text = (
        'First name,Surname,"ID number","Email address","Assignment: Other (Real)","Assignment: Class & <Test> (Real)",'
        '"Feedback: Class & <Test>","Course total (Real)","Last downloaded from this course"\n'
        "Student,One,007,,1.00,-,,1.00,1796040000\n"
    )
    filled = gradebooks.fill_moodle(course, given(course, text))
    row = rows(filled.path)[1]
    assert row[:6] + row[7:] == ["Student", "One", "007", "", "1.00", "3", "1.00", "1796040000"]
    assert "3 of 14 points" in row[6] and "On the roster, and not in the file: 学生二 (s02);" in told(filled)
    with pytest.raises(WorkbookError, match=r"none for an assignment called 'Class & <Test>'.*It has 'First name'"):
        gradebooks.fill_moodle(course, given(course, text.replace("Class & <Test>", "Third")))


def test_two_lines_of_one_student_and_one_line_of_two_are_left(course):
    doubled = WORKSHEET + "P,x,007,,-,8,14.00,Yes,-,-,\nP,x,s03,s05@school.example,-,7,14.00,Yes,-,-,\n"
    filled = gradebooks.fill_moodle(course, given(course, doubled))
    assert [row[5] for row in rows(filled.path)[1:]] == ["", "2.7", "0", "5.00", "4.50", "9.00", "8", "7"]
    assert "Twice in the file, left as they were: 007." in told(filled) and "line 9 (s03, s05@school.example)" in told(
        filled
    )


# --- Canvas -----------------------------------------------------------------------------------------------------------


def test_canvas_gets_a_new_column_before_what_it_computes(course):
    file = given(course, CANVAS)
    filled = gradebooks.fill_canvas(course, file)
    before, after = rows(file), rows(filled.path)
    assert [row[:7] + row[8:] for row in after] == before
    assert [row[7] for row in after] == ["Class & <Test>", "", "14", "3", "2.7", "0", "", ""]
    assert "The file had no assignment 'Class & <Test>': Canvas makes it" in told(filled)
    assert "Student, Test" in after[-1] and "In the file, and not on" not in told(filled)  # Canvas's own line
    assert "On the roster, and not in the file: No Body (s05)." in told(filled)


def test_canvass_own_column_is_found_by_name_and_excused_stays(course):
    filled = gradebooks.fill_canvas(course, given(course, CANVAS.replace("Essay (4711)", "04 tokenizers (4711)")))
    after = rows(filled.path)
    assert after[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Notes", "04 tokenizers (4711)"] + [
        "Assignments Current Score", "Current Score", "Final Grade"]  # fmt: skip
    assert [row[6] for row in after[3:]] == ["3", "2.7", "EX", "1.00", ""]
    assert "Marked EX in Canvas, left as they were: Élève Trois" in told(filled)
    assert "possible points in Canvas are 10.00, and the points here add up to 14." in told(filled)


def test_one_chapter_of_several_is_filled_alone(tmp_path):
    made = a_class(tmp_path / "class", {"s01": "One"}, ["04", "05"])
    hand_in(made, "s01", "04", {"4.1": {"status": PASSED}})
    hand_in(made, "s01", "05", {"5.1": {"status": PASSED}})
    text = "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\nOne,1,s01,x,5b\n"
    whole, part = (rows(gradebooks.fill_canvas(made, given(made, text), chapter).path) for chapter in ("", "05"))
    full = sum(points for number, points in made.points.items() if number.startswith("5."))
    assert [row[5] for row in part] == ["05 Models and configs", f"{full:g}", f"{made.points['5.1']:g}"]
    assert whole[2][5] == f"{made.points['4.1'] + made.points['5.1']:g}"
    with pytest.raises(WorkbookError, match="Chapter '09' is not in this class. It has 04, 05."):
        gradebooks.fill_canvas(made, given(made, text), "09")


# --- what can't be used -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fill", "content", "said"),
    [
        (gradebooks.fill_moodle, b"", "is no CSV file, is empty"),
        (gradebooks.fill_moodle, b"PK\x03\x04rest", "as CSV"),
        (gradebooks.fill_moodle, b'Grade,"ID number\n1,007\n', "can't be read as CSV"),
        (
            gradebooks.fill_moodle,
            b"Grade,ID number\n1,nobody\n",
            "No line of .* an id or an e-mail address of the roster",
        ),
        (gradebooks.fill_canvas, b"Grade,ID number\n1,007\n", "no gradebook of Canvas's"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_nothing_is_written(course, fill, content, said):
    file = course.folder.parent / "theirs.csv"
    file.write_bytes(content)
    with pytest.raises(WorkbookError, match=said):
        fill(course, file)
    assert not list(file.parent.glob("*-filled.csv"))
    with pytest.raises(WorkbookError, match="could not be read"):
        fill(course, file.with_name("absent.csv"))


def test_points_in_sum_are_not_sums_of_rounded_points(course):
    odd = dataclasses.replace(course, points=dict.fromkeys(course.points, 1 / 3), deadlines={})
    hand_in(odd, "s05", "04", {number: {"status": PASSED} for number in odd.points})
    row = rows(gradebooks.plain_csv(odd), "utf-8-sig")[5]
    assert re.fullmatch(r"(0\.33,){7}2\.33,2\.33,", ",".join(row[3:]))
