"""A class's folder: made from the school's list, edited by hand, read with a sentence for every slip."""

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from labs_utils.chapters import chapters
from labs_utils.classroom import course as classes
from labs_utils.classroom import write_private
from labs_utils.classroom.course import Late, Student
from labs_utils.classroom.serving import accounts
from labs_utils.classroom.submissions import counting, keep, problems, save_problems
from labs_utils.errors import WorkbookError

SCHOOL = (
    "Vorname;Nachname;Matrikelnummer;E-Mail;Klasse\r\n"
    "Student;One;s01;one@school.example;5b\r\n"
    "Élève;Deux;s02;two@school.example;5b\r\n"
    "三;学生;s03;three@school.example;5b\r\n"
)


@pytest.fixture
def school(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text(SCHOOL, encoding="utf-8-sig")
    return path


@pytest.fixture
def course(tmp_path, school):
    return classes.new(tmp_path / "class", school, ["04", "05"], "Class “5b”")


def edited(course, old: str, new: str) -> Path:
    path = course.folder / "class.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return course.folder


# --- new and read ---


def test_a_new_class_has_every_exercise_worth_its_stars(course):
    stars = {
        number: float(own["stars"])
        for one in ("04", "05")
        for number, own in chapters()[one].table("exercises").items()
    }
    assert course.points == stars and list(course.points) == list(stars)
    assert course.chapters() == ["04", "05"] and course.deadlines == {} and course.late == Late(0.1, 7)
    assert course.title == "Class “5b”"
    assert course.students["s03"] == Student("s03", "学生三", "three@school.example")
    assert list(course.students) == ["s01", "s02", "s03"]


def test_without_chapters_all_are_chosen_and_the_folder_is_the_title(tmp_path, school):
    course = classes.new(tmp_path / "class 5b", school)
    assert course.chapters() == [number for number, one in chapters().items() if one.table("exercises")]
    assert course.title == "class 5b"


def test_every_file_is_readable_by_its_owner_only(course):
    for path in [course.folder, *course.folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_was_there_is_closed_to_others(tmp_path, school):
    (tmp_path / "class").mkdir(mode=0o755)
    (tmp_path / "class" / "seating.txt").write_text("front row")
    course = classes.new(tmp_path / "class", school, ["04"])
    assert course.folder.stat().st_mode & 0o777 == 0o700
    assert (course.folder / "seating.txt").read_text() == "front row"


def test_git_leaves_a_class_alone(course):
    assert "*" in (course.folder / ".gitignore").read_text().splitlines()


def test_only_what_is_needed_leaves_the_schools_list(course):
    assert "5b" not in (course.folder / "roster.csv").read_text(encoding="utf-8")


def test_the_time_zone_is_this_machines(tmp_path, school, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    assert classes.new(tmp_path / "class", school, ["04"]).zone == ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize("name", ["class.toml", "roster.csv", "submissions"])
def test_a_class_is_never_overwritten(tmp_path, school, name):
    folder = tmp_path / "class"
    (folder / name).mkdir(parents=True)
    with pytest.raises(WorkbookError, match="never overwritten"):
        classes.new(folder, school)
    assert [one.name for one in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("chosen", "list_of_school", "sentence"),
    [(["99"], SCHOOL, "no chapter '99'"), (["4"], SCHOOL, "no chapter '4'"), (["04"], "name,id\n", "no students")],
)
def test_what_cannot_become_a_class_writes_nothing(tmp_path, chosen, list_of_school, sentence):
    (tmp_path / "list.csv").write_text(list_of_school)
    with pytest.raises(WorkbookError, match=sentence):
        classes.new(tmp_path / "class", tmp_path / "list.csv", chosen)
    assert not (tmp_path / "class").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, school):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbookError, match="could not be written"):
        classes.new(tmp_path / "file" / "class", school)


def test_what_a_teacher_writes_into_the_file_is_read_and_stays(course):
    folder = edited(
        course, "[deadlines]\n", '[deadlines] # agreed in class\n"04" = 2026-12-07T08:00:00\n"05" = 2026-12-24\n'
    )
    edited(course, '"4.2" = 2 ', '"4.2" = 2.5 ')
    edited(course, '"4.1" =', '# "4.1" =')
    edited(course, f'time_zone = "{course.zone}"', 'time_zone = "Asia/Shanghai"')
    before = (folder / "class.toml").read_bytes()
    course = classes.read(folder)
    assert course.deadlines["04"] == datetime(2026, 12, 7, 0, 0, tzinfo=UTC)
    assert course.deadlines["05"] == datetime(2026, 12, 24, 15, 59, 59, tzinfo=UTC)  # a day means until its end
    assert "4.1" not in course.points and course.points["4.2"] == 2.5
    classes.add_student(course, "Student Four", "s04")
    classes.remove(course, "s01")
    classes.status(course)
    assert (folder / "class.toml").read_bytes() == before


def test_the_example_of_a_deadline_works_when_its_sign_is_taken_away(course):
    assert list(classes.read(edited(course, '# "04" =', '"04" =')).deadlines) == ["04"]


def test_a_deadline_with_its_own_zone_keeps_it(course):
    folder = edited(course, "[deadlines]\n", '[deadlines]\n"04" = 2026-12-07T08:00:00+05:30\n')
    assert classes.read(folder).deadlines["04"] == datetime(2026, 12, 7, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("title = ", "titel = ", "titel is no setting of a class. Did you mean title?"),
        ('title = "Class “5b”"', "title = 5", "title is 5; expected words"),
        ('title = "Class “5b”"', 'title = " "', "title is ' '; expected words"),
        ('title = "Class “5b”"', "title = Class", "class.toml can't be read as TOML"),
        ("time_zone = ", 'time_zone = "Europe/Berlim"\n#', "Did you mean Europe/Berlin"),
        ("time_zone = ", 'time_zone = "/etc/passwd"\n#', "expected the name of a time zone"),
        ("time_zone = ", "time_zone = 1\n#", "expected the name of a time zone"),
        ("lost_per_day = 0.1", "lost_per_day = 10", "late.lost_per_day is 10; expected a number from 0"),
        ("lost_per_day = 0.1", "lost_per_day = -0.1", "late.lost_per_day is -0.1"),
        ("lost_per_day = 0.1", "lost_per_day = nan", "late.lost_per_day is nan"),
        ("lost_per_day = 0.1", "lost_per_day = true", "late.lost_per_day is True"),
        ("days = 7", "days = 1.5", "late.days is 1.5; expected a whole number"),
        ("days = 7", "days = -1", "late.days is -1"),
        ("days = 7", "day = 7", "late.day is no setting of a class. Did you mean days?"),
        ("[deadlines]", '[deadlines]\n"4" = 2026-12-07', "deadlines.4 names no"),
        ("[deadlines]", '[deadlines]\n"5" = 2026-12-07', 'Did you mean "05"?'),
        ("[deadlines]", '[deadlines]\n"99" = 2026-12-07', "deadlines.99 names no chapter"),
        ("[deadlines]", '[deadlines]\n"04" = "2026-12-07"', "without quotation marks"),
        ("[deadlines]", '[deadlines]\n"04" = 12:00:00', "expected a day and a time"),
        ("[deadlines]", "[[deadlines]]", "expected a table"),
        ('"4.1" = 1', "4.1 = 1", 'quotation marks: "4.1" = 1'),
        ('"4.1" = 1', '"4.1" = -1', 'the points of "4.1" are -1'),
        ('"4.1" = 1', '"4.1" = inf', 'the points of "4.1" are inf'),
        ('"4.1" = 1', '"4.1" = "one"', "expected a number, 0 or more"),
        ('"4.1" = 1', '"4.1" = false', "are False; expected a number"),
        ('"4.1" = 1', '"4.99" = 1', "'4.99' that is not in the course. Chapter 04 has 4.1, 4.2"),
        ('"4.1" = 1', '"tokenizers" = 1', "Numbers look like 4.2"),
        ('"4.1" = 1', '"4.2" = 1', "class.toml can't be read as TOML"),  # twice
    ],
)  # fmt: skip
def test_every_slip_in_the_file_is_a_sentence(course, old, new, sentence):
    folder = edited(course, old, new)
    with pytest.raises(WorkbookError) as caught:
        classes.read(folder)
    assert sentence in str(caught.value) and "class.toml" in str(caught.value)


def test_a_class_without_an_exercise_is_refused(course):
    path = course.folder / "class.toml"
    path.write_text(path.read_text(encoding="utf-8").partition('"4.1"')[0], encoding="utf-8")
    with pytest.raises(WorkbookError, match="no exercise is chosen"):
        classes.read(course.folder)


def test_a_folder_without_a_class_and_a_class_in_another_encoding(tmp_path, course):
    with pytest.raises(WorkbookError, match="labs class new"):
        classes.read(tmp_path / "nothing")
    (course.folder / "class.toml").write_bytes('title = "Größe"'.encode("cp1252"))
    with pytest.raises(WorkbookError, match="can't be read as TOML"):
        classes.read(course.folder)


def test_the_file_is_valid_however_the_title_is_written(tmp_path, school):
    title = 'A "quoted" title \\ with # and\nnewline'
    course = classes.new(tmp_path / "class", school, ["04"], title)
    assert course.title == title == tomllib.loads((course.folder / "class.toml").read_text())["title"]


# --- students who come and go ---


def test_a_student_is_added(course):
    course = classes.add_student(course, " Student  Four ", "s04", "four@school.example")
    assert course.students["s04"] == Student("s04", "Student Four", "four@school.example")
    assert (course.folder / "roster.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "id", "email", "sentence"),
    [
        ("Student Four", "S01", "", "that of line 2 too"),
        ("Student Four", "s04", "ONE@school.example", "that of line 2 too"),
        ("Student Four", "../s04", "", "holds '/'"),
        ("", "s04", "", "the name is missing"),
        ("Student Four", "s04", "four", "no e-mail address"),
    ],
)
def test_a_student_who_cannot_be_added_leaves_the_roster_as_it_was(course, name, id, email, sentence):
    before = (course.folder / "roster.csv").read_bytes()
    with pytest.raises(WorkbookError, match=sentence):
        classes.add_student(course, name, id, email)
    assert (course.folder / "roster.csv").read_bytes() == before


def handed_in(course, student: str, content: str = "{}", chapter: str = "04", moment=None):
    moment = moment or datetime.now(UTC) - timedelta(hours=1)
    name = course.students[student].name
    return keep(course, student, chapter, content.encode(), moment, "file", f"{name}_1_assignsubmission_file_/a.ipynb")


def graded(course, submission, **statuses):
    told = {number.replace("_", "."): {"status": status} for number, status in statuses.items()}
    content = {"student": submission.student, "sha256": submission.sha256, "exercises": told}
    name = f"{submission.chapter}-{submission.sha256[:8]}.json"
    write_private(course.folder / "results" / submission.student / name, json.dumps(content))


def traces(folder: Path, *words: str) -> list[str]:
    """Every file below a folder that bears one of the words in its path or its bytes."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        text = str(path.relative_to(folder)) + content.decode("utf-8", "replace")
        found += [str(path) for word in words if word.casefold() in text.casefold()]
    return found


def test_removing_a_student_leaves_no_trace_of_them_and_all_of_the_others(course):
    """In every folder of a class, in other people's pages, in the list of problems, written out and escaped."""
    for student in course.students:
        one = handed_in(course, student, f'{{"by": "{student}"}}')
        graded(course, one, **{"4_1": "passed"})
        write_private(course.folder / "comments" / f"{student}.md", f"Well done, {course.students[student].name}.")
        write_private(course.folder / "reports" / "students" / f"{student}.html", course.students[student].name)
    everybody = " ".join(f"{one.id} {one.name} {one.email}" for one in course.students.values())
    write_private(course.folder / "reports" / "index.html", everybody)
    write_private(course.folder / "reports" / "gradebook.csv", everybody)
    names = [
        "ÉLÈVE DEUX_1_assignsubmission_file_/a.pdf",
        "s02.ipynb",
        "TWO@school.example.zip",
        "deuxeleve_12_34_a.pdf",
        "s020.ipynb",
        "s01.pdf",
    ]
    save_problems(course, [{"original": name, "sentence": "It is none.", "time": ""} for name in names])
    assert traces(course.folder, "s02", "Élève Deux", "two@school.example")

    said = classes.remove(course, "s02")

    assert traces(course.folder, "Élève Deux", "two@school.example") == []
    assert [one["original"] for one in problems(course)] == ["s020.ipynb", "s01.pdf"]  # s020 is somebody else
    save_problems(course, [])
    assert traces(course.folder, "s02") == []
    assert "1 submission" in said and "labs class report" in said and "left alone" not in said
    course = classes.read(course.folder)
    assert list(course.students) == ["s01", "s03"] and set(counting(course)) == {("s01", "04"), ("s03", "04")}
    assert "Well done" in (course.folder / "comments" / "s01.md").read_text()
    assert len(list((course.folder / "results").rglob("*.json"))) == 2


@pytest.mark.parametrize(
    "content",
    [
        "with Élève Deux",
        "ÉLÈVE DEUX",
        "&Eacute;l\u00e8ve Deux two@school.example",
        '"\\u00c9l\\u00e8ve Deux"',
        "id: s02!",
    ],
)
def test_what_somebody_else_made_is_named_and_left_alone(course, content):
    (course.folder / "notes.txt").write_text(content, encoding="utf-8")
    assert "look at them: notes.txt" in classes.remove(course, "s02")
    assert (course.folder / "notes.txt").read_text(encoding="utf-8") == content


def test_a_students_accounts_go_with_them(course):
    """Home, password, token, and the user on the class's Hub."""
    accounts.bring_up_to_date(course)
    write_private(accounts.home_of(course.folder, "s02") / "04_tokenizers.ipynb", "by Élève Deux")
    write_private(accounts.home_of(course.folder, "s01") / "own.txt", "I like s02")
    assert len(traces(course.folder, "s02")) > 4
    assert "left alone" not in classes.remove(course, "s02")
    assert [Path(one).name for one in traces(course.folder, "s02", "Élève Deux")] == ["own.txt"]
    assert set(accounts.tokens(course.folder)) == {"s01", "s03", "teacher"}


def test_what_is_handed_out_names_no_student_though_its_examples_have_the_id(course):
    for name in ("handout/labs_utils/roster.py", "guide/04_tokenizers.ipynb", "handout.zip"):
        write_private(course.folder / name, "such as s01_04_tokenizers.ipynb")
    write_private(course.folder / "my-notes.txt", "s01 asked about merges")
    [line] = [line for line in classes.remove(course, "s01").splitlines() if line.startswith("Still named")]
    assert line == "Still named in files that were left alone, look at them: my-notes.txt."


def test_a_student_whose_line_was_deleted_by_hand_can_still_be_removed(course):
    handed_in(course, "s01")
    path = course.folder / "roster.csv"
    path.write_text("".join(line for line in path.open(encoding="utf-8-sig") if "s01" not in line), encoding="utf-8")
    course = classes.read(course.folder)
    assert "s01 handed something in and is not on the roster" in classes.status(course)
    classes.remove(course, "s01")
    assert not (course.folder / "submissions" / "s01").exists()


@pytest.mark.parametrize("id", ["s99", "", "..", "../class", "s0", "S01"])
def test_nobody_is_removed_by_a_wrong_id(course, id):
    handed_in(course, "s01")
    with pytest.raises(WorkbookError, match="has the id"):
        classes.remove(course, id)
    assert len(classes.read(course.folder).students) == 3 and counting(course)


def test_the_last_student_can_be_removed_and_another_added(course):
    for id in list(course.students):
        classes.remove(course, id)
    course = classes.read(course.folder)
    assert course.students == {} and "students: 0" in classes.status(course)
    assert list(classes.add_student(course, "Student Four", "s04").students) == ["s04"]


# --- status ---


def test_status_counts_what_was_handed_in_late_graded_and_earned(course):
    folder = edited(course, "[deadlines]\n", '[deadlines]\n"04" = 2026-01-01T12:00:00Z\n"05" = 2099-01-01T12:00:00Z\n')
    course = classes.read(edited(course, f'time_zone = "{course.zone}"', 'time_zone = "Asia/Shanghai"'))
    in_time = handed_in(course, "s01", "a", moment=datetime(2026, 1, 1, tzinfo=UTC))
    late = handed_in(course, "s02", "b", moment=datetime(2026, 1, 2, tzinfo=UTC))
    ungraded = handed_in(course, "s02", "c", "05")
    graded(course, in_time, **{"4_1": "passed", "4_3": "passed", "4_2": "not yet"})
    graded(course, late, **{"4_1": "passed", "4_3": "passed", "9_1": "passed"})
    save_problems(course, [{"original": "x\x1b[2J.pdf", "sentence": "It is no notebook.", "time": ""}])
    lines = classes.status(course).splitlines()
    assert lines == [
        "Class “5b”: students: 3; chapters: 2; times in Asia/Shanghai.",
        "",
        "chapter                deadline          handed in  late  graded",
        "04 Tokenizers          2026-01-01 20:00  2 of 3     1     2",
        "05 Models and configs  2099-01-01 20:00  1 of 3     0     0",
        "",
        "id   name         handed in  late  graded  points",
        "s01  Student One  1 of 2     0     1       4 of 29",
        "s02  Élève Deux   2 of 2     1     1       3.6 of 29",
        "s03  学生三       0 of 2     0     0       –",  # three signs, six places
        "",
        "Warning: the deadline of chapter 04, 2026-01-01 20:00, is in the past: what is handed in now is late. "
        "Missing: 1 of 3.",
        "Not kept: x?[2J.pdf. It is no notebook.",
    ]
    assert ungraded.file.exists() and folder == course.folder


@pytest.mark.parametrize("content", ["", "[]", '{"sha256": "of another version"}', "{"])
def test_a_result_of_another_version_or_a_damaged_one_is_none(course, content):
    one = handed_in(course, "s01")
    write_private(course.folder / "results" / "s01" / f"04-{one.sha256[:8]}.json", content)
    assert [line for line in classes.status(course).splitlines() if line.startswith("s01")][0].endswith("–")
