"""The teacher's page, done as it says: its commands, in order, with a made class of five."""

import csv
import json
import re
import shlex

import pytest

from labs_utils import cli
from labs_utils.classroom import course
from labs_utils.classroom.grading import grading, sandbox
from labs_utils.paths import ROOT
from tests.classroom import five

PAGE = (ROOT / "book" / "pages" / "teaching.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line) for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]

pytestmark = pytest.mark.skipif(bool(sandbox.refusal()), reason=sandbox.refusal() or "a sandbox is there")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The class's folder after every command of the page has run."""
    place = tmp_path_factory.mktemp("evening")
    five.write_roster(place / "roster.csv")
    five.write_download(place / "download.zip")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(grading, "CELL", 8.0)
        for words in COMMANDS:
            assert words[0] == "labs" and cli.main(words[1:]) == 0, words
    return place / "my-class"


def statuses(folder, student: str) -> dict[str, str]:
    (path,) = (folder / "results" / student).glob("04-*.json")
    return {number: one["status"] for number, one in json.loads(path.read_text())["exercises"].items()}


def test_who_solved_it_has_full_marks_and_so_has_the_copy(folder):
    assert set(statuses(folder, "s01").values()) == set(statuses(folder, "s03").values()) == {"passed"}


def test_an_answer_that_never_ends_costs_only_its_own_exercise(folder):
    found = statuses(folder, "s04")
    assert found.pop("4.3") == "not judged"
    assert set(found.values()) == {"passed"}


def test_mistakes_are_told_by_their_names(folder):
    (path,) = (folder / "results" / "s02").glob("04-*.json")
    told = json.loads(path.read_text())["exercises"]
    assert "counted each word once" in told["4.1"]["mistake"]
    assert "stopped after the first match" in told["4.2"]["mistake"]
    assert {told[number]["status"] for number in ("4.3", "4.7")} == {"not attempted"}


def test_another_chapter_is_no_zero_but_a_line_to_look_at(folder):
    assert not (folder / "results" / "s05").exists()
    assert "s05" in course.status(course.read(folder)) and "00" in (folder / "problems.json").read_text()


def test_the_report_says_what_was_not_understood_and_asks_about_equal_code(folder):
    page = (folder / "reports" / "index.html").read_text(encoding="utf-8")
    assert "counted each word once" in page
    assert "Student One" in page and "学生三" in page and "work together" in page


def test_the_gradebook_has_the_points(folder):
    rows = list(csv.DictReader((folder / "reports" / "gradebook.csv").read_text(encoding="utf-8-sig").splitlines()))
    points = {row["id"]: row["total"] for row in rows}
    everything = sum(course.read(folder).points.values())
    assert float(points["s01"]) == float(points["s03"]) == everything
    assert float(points["s04"]) == everything - course.read(folder).points["4.3"]
    assert float(points["s02"]) == 0


def test_the_guide_has_the_solutions_and_notes_for_the_teacher(folder):
    text = (folder / "guide" / "04_tokenizers.ipynb").read_text(encoding="utf-8")
    assert "For the instructor" in text and "counted each word once" in text


def test_stopping_the_grading_ends_in_a_sentence_that_says_how_to_go_on(folder, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(grading, "grade", stopped)
    assert cli.main(["class", "grade", str(folder)]) == 1
    told = capsys.readouterr().err
    assert "What was graded so far is kept" in told and f"labs class grade {folder}" in told


def test_the_report_has_its_parts_in_the_order_that_the_page_tells(folder):
    page = (folder / "reports" / "index.html").read_text(encoding="utf-8")
    heads = re.findall(r"<h2[^>]*>([^<:]+)", page)
    assert heads == ["What was not understood", "The hardest exercises", "What needs you", "Marks", "Equal code"]
