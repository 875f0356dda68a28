"""What students handed in comes into the class, whoever packed it: each file is kept, or a line says what to do."""

import io
import json
import os
import stat
import struct
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from huggingface_hub import HfApi

from labs_utils.classroom import submissions
from labs_utils.classroom.course import Course, Late, Student
from labs_utils.classroom.handing import collecting, unpacking
from labs_utils.classroom.handing.hand_in import hand_in
from labs_utils.classroom.handing.recognising import recognise
from labs_utils.classroom.serving.accounts import hub_name
from labs_utils.errors import WorkbookError
from labs_utils.hub_server import roster, server
from labs_utils.paths import ROOT

STUDENTS = [
    Student("s01", "Student One", "one@school.example"),
    Student("s02", "学生二", "two@school.example"),
    Student("s03", "Élève Trois", "three@school.example"),
    Student("s04", "Student Maria Four", ""),
    Student("7", "O'Seven Søren", "seven@school.example"),
    Student("20261", "Student Six", ""),
]
HANDED_OUT = (ROOT / "notebooks/04_tokenizers.ipynb").read_bytes()


@pytest.fixture
def course(tmp_path):
    return Course(
        tmp_path / "class", "A class", {"4.1": 1.0, "5.1": 1.0}, {}, Late(0.1, 7),
        {one.id: one for one in STUDENTS}, ZoneInfo("Asia/Shanghai"),
    )  # fmt: skip


def notebook(mark: str = "", number: str = "04", **about) -> bytes:
    """A small notebook of a chapter; `mark` makes it differ from others, `about` is its metadata."""
    cells = [
        {"cell_type": "code", "id": f"c{number}-001", "source": f'import labs_utils as lab\nlab.start("{number}")'},
        {"cell_type": "code", "id": f"c{number}-002", "source": f"# {mark}"},
    ]
    return json.dumps({"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}).encode()


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def packed(path: Path, files: dict[str, bytes], moment=(2026, 11, 30, 14, 30, 16)) -> Path:
    path.write_bytes(archive(files, moment))
    return path


def archive(files: dict[str, bytes], moment=(2026, 11, 30, 14, 30, 16)) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(zipfile.ZipInfo(name, moment), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def whose(collected) -> dict[str, str]:
    return {one.student: one.chapter for one in collected.kept}


# --- whose is it? ---

WHO = {one.id: one for one in STUDENTS}


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("Student One_1234567_assignsubmission_file_/04_tokenizers.ipynb", "s01"),  # Moodle, in folders
        ("Student One_1234567_assignsubmission_file_04_tokenizers.ipynb", "s01"),  # Moodle, without
        ("One Student_1234567_assignsubmission_file_/my work.ipynb", "s01"),
        ("E\u0301le\u0300ve Trois_11_assignsubmission_file_/x.ipynb", "s03"),  # as macOS writes accents
        ("ELEVE TROIS_20261_assignsubmission_file_/04_tokenizers.ipynb", "s03"),  # its number is nobody's id
        ("二 学生_1234567_assignsubmission_file_/04_tokenizers.ipynb", "s02"),
        ("onestudent_12345_678901_04_tokenizers.ipynb", "s01"),  # Canvas
        ("onestudent_LATE_12345_678901_04_tokenizers-1.ipynb", "s01"),
        ("fourstudentmaria_12345_20261_04_tokenizers.ipynb", "s04"),
        ("troiseleve_12345_678901_hand-in_04_tokenizers_20261130-143015.ipynb", "s03"),
        ("sorenoseven_7_678901_04_tokenizers.ipynb", "7"),
        ("Trois_Élève_s03_4711/04_tokenizers.ipynb", "s03"),  # ILIAS
        ("Four_Student Maria_login_4711/04_tokenizers.ipynb", "s04"),
        ("Chapter 4_s03_attempt_2026-11-30-14-30-15_04_tokenizers.ipynb", "s03"),  # Blackboard
        ("s03_04_tokenizers.ipynb", "s03"),
        ("S03-04-tokenizers (1).ipynb", "s03"),
        ("04_tokenizers_s03.ipynb", "s03"),
        ("s03.ipynb.txt", "s03"),
        ("s03/04_tokenizers.ipynb", "s03"),
        ("s03/04/04_tokenizers-Copy1.ipynb", "s03"),
        ("three@school.example/04_tokenizers.ipynb", "s03"),
        ("Three@School.example_04_tokenizers.ipynb", "s03"),
        ("04_tokenizers - Trois Élève.ipynb", "s03"),
        ("Soren O’Seven/04_tokenizers.ipynb", "7"),
        ("7_04_tokenizers.ipynb", "7"),
        ("学生二/04_tokenizers.ipynb", "s02"),
    ],
)
def test_platforms_put_the_student_into_a_name(path, id):
    assert recognise(["Course-20261.zip", *path.split("/")], WHO) == (id, "")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("04_tokenizers.ipynb", "nobody on the roster. Put the id in front, such as ID_04_tokenizers.ipynb, or add"),
        ("04_tokenizers-7.ipynb", "nobody"),  # a seventh copy, or a student
        ("2026-11-7 04_tokenizers.ipynb", "nobody"),
        ("Participant 7_1234567_assignsubmission_file_/04_tokenizers.ipynb", "nobody"),
        ("Students/04_tokenizers.ipynb", "nobody"),
        ("s010_04_tokenizers.ipynb", "nobody"),
        ("One/04_tokenizers.ipynb", "nobody"),  # half a name
        ("Student One_1_assignsubmission_file_/s03_04_tokenizers.ipynb", "_file_” names s01 and “s03_04_"),
        ("s01/s03.ipynb", "Whose it is can't be told"),
        ("s01_s03.ipynb", "could be of s01 or s03"),
        ("onestudent_1_2_s03.ipynb", "could be of s01 or s03"),
    ],
)  # fmt: skip
def test_who_is_not_named_or_named_twice_is_not_guessed(path, sentence):
    id, said = recognise(["Downloads", *path.split("/")], WHO)
    assert id == "" and sentence in said


def test_two_students_of_one_name_are_told_apart_by_something_else_or_not_at_all():
    twins = {id: Student(id, "Student One", f"{id}@school.example") for id in ("s01", "s02")}
    assert "could be of s01 or s02" in recognise(["x", "Student One_1_assignsubmission_file_", "a.ipynb"], twins)[1]
    assert recognise(["x", "Student One_1_assignsubmission_file_", "s02_04_tokenizers.ipynb"], twins) == ("s02", "")
    numbered = {id: Student(id, "Student One", "") for id in ("41", "42")}  # Canvas's own number as the id
    assert recognise(["x", "onestudent_42_2_a.ipynb"], numbered) == ("42", "")


def test_an_accent_tells_two_students_apart_where_it_is_written():
    two = {"a": Student("a1", "Anna Muller", ""), "b": Student("b1", "Anna Müller", "")}
    assert recognise(["x", "Anna Müller_1_assignsubmission_file_", "a.ipynb"], two) == ("b", "")
    assert "could be of a or b" in recognise(["x", "Anna Muller_1_assignsubmission_file_", "a.ipynb"], two)[1]


def test_a_name_within_a_longer_name_is_the_longer_ones():
    two = {"a": Student("a1", "Student Four", ""), "b": Student("b1", "Student Maria Four", "")}
    assert recognise(["x", "Four_Student_Maria", "a.ipynb"], two) == ("b", "")
    assert recognise(["x", "Four_Student", "a.ipynb"], two) == ("a", "")


# --- what is collected ---


def test_a_download_of_moodle_in_a_zip_is_kept_with_the_times_in_it(course, tmp_path):
    source = packed(
        tmp_path / "all.zip",
        {
            "Student One_11_assignsubmission_file_/04_tokenizers.ipynb": notebook("a"),
            "学生二_12_assignsubmission_file_/04_tokenizers.ipynb": notebook("b"),
            "Élève Trois_13_assignsubmission_file_/05_models_and_configs.ipynb": notebook("c", "05"),
        },
    )
    collected = collecting.collect(course, [source])
    assert whose(collected) == {"s01": "04", "s02": "04", "s03": "05"} and collected.problems == []
    assert {one.handed_in for one in collected.kept} == {datetime(2026, 11, 30, 6, 30, 16, tzinfo=UTC)}
    assert "which says no zone, read in Asia/Shanghai (3)" in str(collected)
    assert collected.kept[0].original == "all.zip/Student One_11_assignsubmission_file_/04_tokenizers.ipynb"
    assert collected.kept[0].file.read_bytes() == notebook("a")


def test_collecting_twice_changes_nothing(course, tmp_path):
    source = packed(tmp_path / "all.zip", {"s01.ipynb": notebook("a"), "nobody.ipynb": notebook()})
    first = collecting.collect(course, [source])
    before = {path: path.read_bytes() for path in course.folder.rglob("*.*") if path.name != "problems.json"}
    second = collecting.collect(course, [source, source])
    assert (len(first.kept), len(first.known), len(second.kept), len(second.known)) == (1, 0, 0, 1)
    assert {path: path.read_bytes() for path in before} == before and len(submissions.all_of(course)) == 1
    assert [one["original"] for one in submissions.problems(course)] == ["all.zip/nobody.ipynb"]


def test_a_folder_of_folders_with_archives_in_it(course, tmp_path):
    source = written(
        tmp_path / "down",
        {
            "s01/04_tokenizers.ipynb": notebook("a"),
            "s01/.ipynb_checkpoints/04_tokenizers-checkpoint.ipynb": notebook("old"),
            "Élève Trois_13_assignsubmission_file_/work.zip": archive({"deep/er/04_tokenizers.ipynb": notebook("b")}),
            "__MACOSX/._s02.ipynb": b"\0",
            "syllabus.pdf": b"%PDF",
        },
    )
    os.utime(source / "s01/04_tokenizers.ipynb", (1_700_000_000, 1_700_000_000))
    collected = collecting.collect(course, [source])
    assert whose(collected) == {"s01": "04", "s03": "04"} and collected.problems == []
    assert collected.ignored == 1
    assert submissions.counting(course)["s01", "04"].handed_in == datetime.fromtimestamp(1_700_000_000, UTC)


def test_single_files_are_known_by_their_names_or_their_folders(course, tmp_path):
    written(tmp_path, {"s01/04_tokenizers.ipynb": notebook("a"), "x/s03.ipynb": notebook("b")})
    collected = collecting.collect(course, [tmp_path / "s01/04_tokenizers.ipynb", tmp_path / "x/s03.ipynb"])
    assert whose(collected) == {"s01": "04", "s03": "04"}


def colab(content: bytes) -> bytes:
    """As Colab saves: ids of its own, outputs, metadata."""
    told = json.loads(content)
    for place, cell in enumerate(told["cells"]):
        cell.pop("id", None)
        cell["metadata"] = {"id": f"x{place}", "colab": {"base_uri": "https://localhost:8080/"}}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": ["done\n"]}], "execution_count": 3}
    told["metadata"] |= {"colab": {"provenance": []}, "accelerator": "GPU"}
    return json.dumps(told).encode()


def vs_code(content: bytes) -> bytes:
    """As VS Code saves: new ids, another indent, line ends of Windows, a byte-order mark of some extension."""
    told = json.loads(content)
    for place, cell in enumerate(told["cells"]):
        cell["id"] = f"{place:08x}"
    return b"\xef\xbb\xbf" + json.dumps(told, indent=4).replace("\n", "\r\n").encode()


def another_language(content: bytes) -> bytes:
    """The same cells with prose in another language."""
    told = json.loads(content)
    for cell in told["cells"]:
        cell["source"] = ["# 分词器\n", "文字"] if cell["cell_type"] == "markdown" else cell["source"]
    return json.dumps(told, ensure_ascii=False).encode()


@pytest.mark.parametrize("saved", [bytes, colab, vs_code, another_language])
def test_whoever_saved_it_a_chapter_is_kept_as_it_came(course, tmp_path, saved):
    content = saved(HANDED_OUT)
    (tmp_path / "s01.ipynb").write_bytes(content)
    (kept,) = collecting.collect(course, [tmp_path / "s01.ipynb"]).kept
    assert kept.chapter == "04" and kept.file.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("s01.ipynb", b"", "no notebook: it holds no JSON"),
        ("s01.ipynb", b"%PDF-1.7", "no notebook: it holds no JSON"),
        ("s01.ipynb", b'{"worksheets": []}', "no notebook of today's format"),
        ("s01.ipynb", b'{"cells": []}', "no chapter of the workbook. Ask s01 for the notebook that was handed out"),
        ("s01.ipynb", notebook(number="06"), "It is chapter 06, and the class has 04, 05: ask s01"),
        ("s01.ipynb", notebook(number="99"), "no chapter of the workbook"),
        ("s01_04_tokenizers.pdf", b"%PDF", "s01_04_tokenizers.pdf is no notebook. Ask s01 for the .ipynb file"),
        ("s01/answer.docx", b"PK", "answer.docx is no notebook. Ask s01"),
        ("s99.ipynb", notebook(), "nobody on the roster. Put the id in front"),
        ("s01.ipynb", notebook(workbook={"student": "s03"}), "in the notebook stands 's03'. Ask whose it is"),
        ("s01.zip", b"PK\x03\x04broken", "The archive is broken"),
    ],
)
def test_what_cannot_be_kept_is_a_line_with_what_to_do(course, tmp_path, name, content, sentence):
    """In a folder, and in an archive; and one bad file doesn't keep the others out."""
    files = {name: content, "s03.ipynb": notebook("good")}
    written(tmp_path / "folder", files)
    for source in (tmp_path / "folder", packed(tmp_path / "down.zip", files)):
        collected = collecting.collect(course, [source])
        (problem,) = collected.problems
        assert problem["original"] == f"{source.name}/{name}" and sentence in problem["sentence"], problem
        assert problem in submissions.problems(course)
        assert [one.student for one in collected.kept + collected.known] == ["s03"]
    assert stat.S_IMODE((course.folder / "problems.json").stat().st_mode) == 0o600


def test_a_notebook_of_100_mb_is_not_read(course, tmp_path):
    with open(tmp_path / "s01.ipynb", "wb") as file:
        file.truncate(100_000_000)
    (problem,) = collecting.collect(course, [tmp_path / "s01.ipynb"]).problems
    assert "100 MB, and 50 MB are read. Ask for it once more, with its outputs cleared" in problem["sentence"]


def test_a_chapter_under_another_ones_name_is_kept_as_what_it_is_and_said(course, tmp_path):
    written(tmp_path / "down", {"s01_04_tokenizers.ipynb": notebook(number="05")})
    collected = collecting.collect(course, [tmp_path / "down"])
    assert whose(collected) == {"s01": "05"}
    assert "says chapter 04, and it is chapter 05: it was kept as that" in collected.problems[0]["sentence"]


def test_what_a_notebook_says_about_its_student_is_not_believed_alone(course, tmp_path):
    (tmp_path / "04_tokenizers.ipynb").write_bytes(notebook(workbook={"student": "s01"}))
    collected = collecting.collect(course, [tmp_path / "04_tokenizers.ipynb"])
    assert collected.kept == [] and "nobody on the roster" in collected.problems[0]["sentence"]


def test_hints_that_were_shared_come_along_and_nonsense_does_not(course, tmp_path):
    hints = {"4.1": 2, "4.2": "3", "4.3": -1, "4.4": True, "5.1": 1, "x": 1}
    (tmp_path / "s01.ipynb").write_bytes(notebook(workbook={"hints": hints}))
    (kept,) = collecting.collect(course, [tmp_path / "s01.ipynb"]).kept
    assert submissions.hints_of(kept) == {"4.1": 2}


def test_a_problem_is_over_when_the_file_or_the_notebook_was_collected_well(course, tmp_path):
    written(tmp_path / "down", {"a.ipynb": notebook("a"), "s03.ipynb": b"", "other.ipynb": notebook("other")})
    assert len(collecting.collect(course, [tmp_path / "down"]).problems) == 3
    (tmp_path / "down/a.ipynb").rename(tmp_path / "down/s01.ipynb")
    (tmp_path / "down/s03.ipynb").write_bytes(notebook("b"))
    collecting.collect(course, [tmp_path / "down/s01.ipynb", tmp_path / "down/s03.ipynb"])
    assert [one["original"] for one in submissions.problems(course)] == ["down/other.ipynb"]


def test_two_versions_of_one_moment_are_for_the_teacher_to_decide(course, tmp_path):
    source = packed(tmp_path / "x.zip", {"s01/04_tokenizers.ipynb": notebook("a"), "s01/copy.ipynb": notebook("b")})
    collected = collecting.collect(course, [source])
    assert len(collected.kept) == 2
    (problem,) = collected.problems
    counts = submissions.counting(course)["s01", "04"]
    assert "at the same time" in problem["sentence"] and counts.file.name in problem["sentence"]
    counts.file.unlink(), counts.receipt.unlink()
    written(tmp_path, {"s03.ipynb": notebook()})
    assert collecting.collect(course, [tmp_path / "s03.ipynb"]).problems == submissions.problems(course) == []


def test_names_that_a_student_chose_cannot_speak_to_the_terminal(course, tmp_path):
    name = "x\x1b[2J\u202e.ipynb"
    written(tmp_path / "down", {name: notebook(), f"s01/{name}": notebook()})
    collected = collecting.collect(course, [tmp_path / "down"])
    assert collected.kept[0].original == "down/s01/x?[2J?.ipynb"
    for text in (str(collected), (course.folder / "problems.json").read_text()):
        assert "\x1b" not in text and "\u202e" not in text and "x?[2J?.ipynb" in text


@pytest.mark.skipif(os.name != "posix", reason="only there a name may be any bytes")
def test_a_name_that_is_no_unicode_is_a_line_too(course, tmp_path):
    written(tmp_path / "down", {os.fsdecode(b"s99-\xff.ipynb"): notebook()})
    assert "s99-?.ipynb" in collecting.collect(course, [tmp_path / "down"]).problems[0]["original"]


def test_a_source_that_is_not_there_or_is_the_class_itself_is_refused_first(course, tmp_path):
    written(tmp_path / "down", {"s01.ipynb": notebook()})
    written(course.folder, {"handout/04_tokenizers.ipynb": notebook()})
    for wrong in (tmp_path / "nothing", course.folder, course.folder / "handout", tmp_path):
        with pytest.raises(WorkbookError, match="nothing was collected|own folder"):
            collecting.collect(course, [tmp_path / "down", wrong])
    assert submissions.all_of(course) == []


# --- archives that somebody made on purpose ---


def sentence_of(course, path: Path) -> str:
    collected = collecting.collect(course, [path])
    assert collected.kept == []
    return " ".join(one["sentence"] for one in collected.problems)


@pytest.mark.parametrize(
    "name", ["../../s01.ipynb", "/etc/s01.ipynb", "C:/s01.ipynb", "s03/../s01.ipynb", "..\\s01.ipynb"]
)
def test_a_name_that_leads_out_of_the_archive_is_refused(course, tmp_path, name):
    assert "leads out of the archive" in sentence_of(course, packed(tmp_path / "x.zip", {name: notebook()}))
    assert not list(tmp_path.parent.glob("s01.ipynb"))


def test_a_link_in_an_archive_is_not_followed(course, tmp_path):
    entry = zipfile.ZipInfo("s01.ipynb")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr(entry, "/etc/passwd")
    assert "It is a link" in sentence_of(course, tmp_path / "x.zip")


def test_an_archive_with_a_password_says_what_to_do(course, tmp_path):
    content = bytearray(archive({"s01.ipynb": notebook()}))
    content[6] |= 1  # the bit that says so, in the file's head
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the list of files
    (tmp_path / "x.zip").write_bytes(content)
    assert "protected by a password" in sentence_of(course, tmp_path / "x.zip")


def test_a_bomb_is_not_opened(course, tmp_path):
    assert "packed more tightly" in sentence_of(course, packed(tmp_path / "x.zip", {"s01.ipynb": b" " * 40_000_000}))
    assert "60 MB" in sentence_of(course, packed(tmp_path / "y.zip", {"s01.ipynb": b" " * 60_000_000}))


def test_an_archive_that_lies_about_sizes_is_broken(course, tmp_path):
    content = bytearray(archive({"s01.ipynb": notebook("a" * 10_000)}))
    for place in (22, content.index(b"PK\x01\x02") + 24):
        content[place : place + 4] = struct.pack("<I", 100)
    (tmp_path / "x.zip").write_bytes(content)
    assert "broken at this file" in sentence_of(course, tmp_path / "x.zip")


def test_a_name_that_was_made_long_to_hold_everybody_up_is_refused(course, tmp_path):
    for name in ("_" * 60_000 + ".ipynb", "a" + ".txt" * 15_000 + ".ipynb", "a/" * 30_000 + "s01.ipynb"):
        assert "longer than a file's name can be" in sentence_of(course, packed(tmp_path / "x.zip", {name: notebook()}))
    assert max(len(one["original"]) for one in submissions.problems(course)) < 510


def test_one_damaged_file_in_an_archive_does_not_cost_the_others(course, tmp_path):
    content = archive({"s01.ipynb": notebook("a" * 1000), "s03.ipynb": notebook("b")})
    (tmp_path / "x.zip").write_bytes(content[:60] + bytes(20) + content[80:])
    collected = collecting.collect(course, [tmp_path / "x.zip"])
    assert whose(collected) == {"s03": "04"} and "broken at this file" in collected.problems[0]["sentence"]


def test_too_many_files_are_refused_before_any_is_read(course, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ENTRIES", 20)
    many = {f"s01/{place}.ipynb": notebook() for place in range(21)}
    assert "more than 20 files" in sentence_of(course, packed(tmp_path / "x.zip", many))
    nested = {"s01.zip": archive(many)}
    assert "more than 20 files" in sentence_of(course, packed(tmp_path / "y.zip", nested))


def test_the_sum_of_all_files_has_a_limit(course, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "TOTAL", len(notebook("a")))
    collected = collecting.collect(
        course, [packed(tmp_path / "x.zip", {"s01.ipynb": notebook("a"), "s03.ipynb": notebook("b")})]
    )
    assert whose(collected) == {"s01": "04"} and "holds more than" in collected.problems[0]["sentence"]


def test_archives_in_archives_end_at_the_second(course, tmp_path):
    inner = archive({"04_tokenizers.ipynb": notebook("a")})
    two, three = {"s01.zip": inner}, {"s01.zip": archive({"again.zip": inner})}
    assert whose(collecting.collect(course, [packed(tmp_path / "two.zip", two)])) == {"s01": "04"}
    assert "archive in an archive in an archive" in sentence_of(course, packed(tmp_path / "three.zip", three))


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_names_in_an_archive_that_does_not_say_its_encoding(course, tmp_path, encoding):
    name = "学生二_12_assignsubmission_file_/04_tokenizers.ipynb"
    content = archive({"x" * len(name.encode(encoding)): notebook()})
    (tmp_path / "x.zip").write_bytes(content.replace(b"x" * len(name.encode(encoding)), name.encode(encoding)))
    collected = collecting.collect(course, [tmp_path / "x.zip"])
    assert whose(collected) == {"s02": "04"} and collected.kept[0].original == f"x.zip/{name}"


def test_the_time_in_an_archive_is_taken_in_utc_where_it_says_so(course, tmp_path):
    entry = zipfile.ZipInfo("s01.ipynb", (2026, 11, 30, 23, 0, 0))
    entry.extra = struct.pack("<HHBI", 0x5455, 5, 1, 1_700_000_000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr(entry, notebook())
    collected = collecting.collect(course, [tmp_path / "x.zip"])
    assert collected.kept[0].handed_in == datetime.fromtimestamp(1_700_000_000, UTC)
    assert dict(collected.clocks) == {"the archive's time": 1}


@pytest.mark.parametrize("moment", [(1980, 1, 1, 0, 0, 0), (2100, 1, 1, 0, 0, 0)])
def test_a_time_that_cannot_be_is_now(course, tmp_path, moment):
    collected = collecting.collect(course, [packed(tmp_path / "x.zip", {"s01.ipynb": notebook()}, moment)])
    assert abs(collected.kept[0].handed_in - datetime.now(UTC)) < timedelta(minutes=1)
    assert list(collected.clocks) == ["now, because the file has no time"]


# --- the homes of a JupyterHub ---


def test_homes_give_what_was_handed_in_or_else_what_was_worked_on(course, tmp_path):
    mine = HANDED_OUT.replace(b"import labs_utils as lab", b"import labs_utils as lab  # mine")
    homes = written(
        tmp_path / "homes",
        {
            "s01/course/04_tokenizers.ipynb": mine,
            "s01/course/hand-in_04_tokenizers_20261130-143015.ipynb": notebook("handed in"),
            "s01/course/05_models_and_configs.ipynb": notebook("worked on", "05"),
            "s03/04_tokenizers.ipynb": HANDED_OUT,  # not touched
            "s03/.local/share/04_tokenizers.ipynb": mine,
            "s03/own thoughts.ipynb": b'{"cells": []}',
            "s03/secret.csv": b"",
            "S04/04_tokenizers.ipynb": mine,
            "visitor/04_tokenizers.ipynb": mine,
        },
    )
    collected = collecting.from_folder_of_homes(course, homes)
    assert {(one.student, one.chapter, one.source) for one in collected.kept} == {
        ("s01", "04", "jupyterhub"),
        ("s01", "05", "jupyterhub"),
        ("s04", "04", "jupyterhub"),
    }
    assert submissions.counting(course)["s01", "04"].file.read_bytes() == notebook("handed in")
    (problem,) = collected.problems
    assert problem["original"] == "visitor" and "nobody on the roster" in problem["sentence"]


def test_a_student_cannot_date_back_what_lies_in_their_home(course, tmp_path):
    homes = written(tmp_path / "homes", {"s01/04_tokenizers.ipynb": notebook()})
    os.utime(homes / "s01/04_tokenizers.ipynb", (1_700_000_000, 1_700_000_000))
    (kept,) = collecting.from_folder_of_homes(course, homes).kept
    assert datetime.now(UTC) - kept.handed_in < timedelta(minutes=1)


def test_a_time_that_is_no_date_stops_nothing(course, tmp_path):
    source = written(tmp_path / "down", {"s01.ipynb": notebook()})
    os.utime(source / "s01.ipynb", (2**40, 2**40))
    (kept,) = collecting.collect(course, [source]).kept
    assert datetime.now(UTC) - kept.handed_in < timedelta(minutes=1)


def test_links_and_pipes_in_a_home_lead_nowhere_and_hold_nobody_up(course, tmp_path):
    homes = written(tmp_path / "homes", {"s01/x.ipynb": notebook("of s01"), "s03/04_tokenizers.ipynb": notebook("own")})
    (homes / "s03/stolen.ipynb").symlink_to(homes / "s01/x.ipynb")
    (homes / "s03/folder").symlink_to(homes / "s01")
    (homes / "s04").symlink_to(homes / "s01")
    os.mkfifo(homes / "s03/pipe.ipynb")
    collected = collecting.from_folder_of_homes(course, homes)
    assert {one.student: one.file.read_bytes() for one in collected.kept} == {
        "s01": notebook("of s01"),
        "s03": notebook("own"),
    }
    assert sorted(one["sentence"][:22] for one in collected.problems) == [
        "It is no ordinary file",
        "The file can't be read",
    ]


def test_a_broken_file_that_was_handed_in_is_a_line_and_a_broken_one_beside_it_is_not(course, tmp_path):
    homes = written(tmp_path / "homes", {"s01/hand-in_04_tokenizers_1.ipynb": b"{", "s01/scratch.ipynb": b"{"})
    collected = collecting.from_folder_of_homes(course, homes)
    assert [one["original"] for one in collected.problems] == ["s01/hand-in_04_tokenizers_1.ipynb"]


def test_a_folder_of_homes_that_is_none(course, tmp_path):
    with pytest.raises(WorkbookError, match="a home for each student"):
        collecting.from_folder_of_homes(course, tmp_path / "nothing")


def test_no_home_is_opened_without_end(course, tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ENTRIES", 1)
    homes = written(tmp_path / "homes", {f"s01/{place}.txt": b"" for place in range(21)})
    assert "too many files" in collecting.from_folder_of_homes(course, homes).problems[0]["sentence"]


# --- the Hub ---


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A class's Hub with students of the roster and one who isn't on it; the tokens of each by their name there."""
    with server.serving(tmp_path_factory.mktemp("hub")) as running:
        users = dict.fromkeys(("teacher", "stranger", *map(hub_name, ("s01", "s03", "学生-9"))), "write")
        roles = {name: "admin" if name == "teacher" else "contributor" for name in users}
        yield running, roster.enrol(running.store.database, users, {"class": roles})


@pytest.fixture
def push(hub):
    """Pushes a notebook as `lab.hand_in()` does, and gives the commit's id; None takes it back."""
    running, tokens = hub

    def push(user: str, content: bytes | None, owner: str = "", path: str = "04/04_tokenizers.ipynb") -> str:
        api, repo = HfApi(running.endpoint, tokens[user]), f"class/{owner or user}-hand-in"
        if content is None:
            return api.delete_file(path, repo, repo_type="dataset", commit_message="Take back").oid
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        return api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo, repo_type="dataset").oid

    return push


def test_every_version_on_the_hub_is_kept_at_its_commits_time(course, hub, push):
    running, tokens = hub
    before = datetime.now(UTC).replace(microsecond=0)
    first, second = (
        push("s01", notebook("a", workbook={"chapter": "04", "hints": {"4.1": 1}})),
        push("s01", notebook("b")),
    )
    push("stranger", notebook("c"))
    collected = collecting.from_hub(course, f"{running.endpoint}/", tokens["teacher"], "class")
    assert [(one.student, one.source) for one in collected.kept] == [("s01", "hub")] * 2
    counts = submissions.counting(course)["s01", "04"]
    assert counts.file.read_bytes() == notebook("b") and second[:8] in counts.original
    assert before <= counts.handed_in <= datetime.now(UTC)
    earlier = submissions.all_of(course)[0]
    assert submissions.hints_of(earlier) == {"4.1": 1} and first[:8] in earlier.original
    (problem,) = collected.problems
    assert problem["original"] == "class/stranger-hand-in" and "Nobody on the roster" in problem["sentence"]
    again = collecting.from_hub(course, running.endpoint, tokens["teacher"], "class")
    assert (len(again.kept), len(again.known), len(again.problems)) == (0, 2, 1)


def test_what_was_taken_back_is_left_out_and_what_others_pushed_too(course, hub, push):
    """A student must not be able to hand in for another, by making their repository first."""
    running, tokens = hub
    push("s03", notebook("taken back"))
    push("s03", None)
    assert "s03" not in whose(collecting.from_hub(course, running.endpoint, tokens["teacher"], "class"))
    push("s03", notebook("again"))
    push("s03", b"{", path="05/05_models_and_configs.ipynb")
    push("stranger", notebook("forged"), owner="s04")
    collected = collecting.from_hub(course, running.endpoint, tokens["teacher"], "class")
    kept = [one.file.read_bytes() for one in collected.kept if one.student in ("s03", "s04")]
    assert kept == [notebook("again")]
    told = {one["original"].split("-hand-in")[0]: one["sentence"] for one in collected.problems}
    assert "pushed by stranger, not by s04" in told["class/s04"] and "no JSON" in told["class/s03"]


def test_a_name_that_the_hub_cannot_take_is_known_by_the_one_it_has_there(course, hub, push):
    running, tokens = hub
    students = course.students | {"学生-9": Student("学生-9", "Nine", "")}
    push(hub_name("学生-9"), notebook("nine"))
    collected = collecting.from_hub(replace(course, students=students), running.endpoint, tokens["teacher"], "class")
    assert "学生-9" in whose(collected)


def test_a_large_file_on_the_hub_is_not_fetched(course, hub, push, monkeypatch):
    running, tokens = hub
    push("s01", notebook("x" * 5000))
    monkeypatch.setattr(collecting, "LARGEST", 4000)
    collected = collecting.from_hub(course, running.endpoint, tokens["teacher"], "class")
    assert any("are read. Ask for a smaller one" in one["sentence"] for one in collected.problems)
    assert notebook("x" * 5000) not in [one.file.read_bytes() for one in collected.kept]


def test_a_hub_that_cannot_be_asked_says_so(course, hub):
    running, tokens = hub
    with pytest.raises(WorkbookError, match="answers 401.*teacher"):
        collecting.from_hub(course, running.endpoint, "hf_wrong", "class")
    with pytest.raises(WorkbookError, match="of teacher, who is not in other"):
        collecting.from_hub(course, running.endpoint, tokens["teacher"], "other")
    with pytest.raises(WorkbookError, match="can't be reached"):
        collecting.from_hub(course, "http://127.0.0.1:9", tokens["teacher"], "class")
    assert not course.folder.exists()


def test_what_lab_hand_in_pushes_is_what_is_collected(course, hub, tmp_path, monkeypatch):
    running, tokens = hub
    (tmp_path / "work.ipynb").write_bytes(notebook("end to end", number="05"))
    monkeypatch.setenv("LABS_HUB", running.endpoint)
    monkeypatch.setenv("LABS_HUB_TOKEN", tokens["s01"])
    receipt = hand_in(notebook=tmp_path / "work.ipynb")
    collected = collecting.from_hub(course, running.endpoint, tokens["teacher"], "class")
    (kept,) = (one for one in collected.kept if one.chapter == "05")
    assert (kept.student, kept.sha256) == ("s01", receipt.sha256)
    assert abs(kept.handed_in - receipt.time) < timedelta(seconds=1)
