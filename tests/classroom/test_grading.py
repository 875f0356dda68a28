"""Grading judges as `lab.check` does, whatever ends it begins again where it was, and nobody costs others theirs."""

import contextlib
import copy
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labs_utils.chapters import chapter, chapters
from labs_utils.classroom.course import Course
from labs_utils.classroom.grading import grading, sandbox
from labs_utils.classroom.grading.remote import Process, RemoteAnswer
from labs_utils.classroom.grading.values import decode
from labs_utils.classroom.submissions import Submission, keep
from labs_utils.errors import WorkbookError
from labs_utils.exercises.judging import judge
from labs_utils.exercises.registry import all_exercises
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED, Verdict
from labs_utils.exercises.vocabulary import _LIBRARIES, _used
from labs_utils.paths import ROOT
from tests.chapters.test_judges import answers, context, wrong_answers
from tests.classroom import made
from tests.classroom.graded import a_class
from tests.support.hostile import ANSWERS
from tests.support.sources import answer

EXERCISES = list(all_exercises())
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
SECONDS = 120.0

refusal = sandbox.refusal()
in_the_sandbox = pytest.mark.skipif(bool(refusal), reason=refusal)


# One judge, near or far


@pytest.fixture(scope="module")
def far() -> Iterator[Process]:
    """A worker without a sandbox, that can build the same answers as the tests."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    start += "from labs_utils.classroom.grading.worker import main; main()"
    with Process([sys.executable, "-c", start]) as process:
        process.begin(SECONDS)
        names = "from tests.chapters.test_judges import ANSWERS, answers, context, wrong_answers\n"
        names += "from tests.support.sources import answer"
        assert process.request(SECONDS, "run", names) is None
        yield process


def judged_far(far: Process, number: str, expression: str, near) -> Verdict:
    """The verdict on what `expression` gives in the worker; `near` is the same answer here."""
    told = far.request(SECONDS, "take", expression)
    if not told["calls"]:
        return judge(number, decode(told["value"]))
    # In a notebook, the text says when a function is a library's own.
    is_librarys = str(getattr(near, "__module__", "")).partition(".")[0] in _LIBRARIES
    used = _used(near, set()) | ({near.__name__} if is_librarys else set())
    return judge(number, RemoteAnswer(far, told, SECONDS, frozenset(used)))


def expressions(number: str) -> list[str]:
    """Right, wrong and hostile answers to an exercise, as expressions of Python."""
    found = [f'answer("{number}", solved=True, context=context("{number}"))']
    found += [f'answers("{number}").RIGHT["{number}"][{place}]' for place in range(len(answers(number).RIGHT[number]))]
    found += [f'wrong_answers("{number}")[{place}][0]' for place in range(len(wrong_answers(number)))]
    return found + [f"ANSWERS[{name!r}]" for name in ("None", "raises", "leaves", "yields", "an empty dict")]


# What a judge sees here and not from afar: what an answer leaves behind in an object that does not come back. It gets a
# mark for an answer whose result is right.
UNSEEN = {
    "9.8": "a worker without a sandbox shares the judge's folder",
}
# Messages that tell an object's words or its bytes, which differ from one process to another.
OTHER_WORDS = {"3.2", "6.5", "5.1", "5.3", "8.7", "11.1", "12.3"}


def steady(message: str) -> str:
    """A message without what differs between two runs."""
    message = re.sub(r"0x[0-9a-f]{6,}|/tmp/\S+", "…", message)
    return re.sub(r"\d+\.\d+(e[-+]\d+)?", "…", message)


@pytest.mark.parametrize("number", EXERCISES)
def test_an_answer_is_judged_the_same_in_another_process(far, number):
    names = {"ANSWERS": ANSWERS, "answer": answer, "answers": answers, "context": context}
    names["wrong_answers"] = wrong_answers
    for expression in expressions(number):
        near = eval(expression, names)
        here = judge(number, copy.deepcopy(near))
        there = judged_far(far, number, expression, near)
        if number in UNSEEN and there.status != here.status:
            assert {here.status, there.status} == {FAILED, PASSED}, UNSEEN[number]
            continue
        assert there.status == here.status, f"{expression}\nhere: {here}\nthere: {there}"
        if not expression.startswith("ANSWERS") and number not in OTHER_WORDS:
            assert steady(there.message) == steady(here.message), expression


# Whole notebooks


@in_the_sandbox
@pytest.mark.parametrize("number", list(chapters()))
def test_a_solved_notebook_gets_full_marks(number):
    grading._make_models(chapter(number), lambda sentence: pytest.skip(sentence))
    found = grading.judge_notebook(number, made.solved(number))
    assert {one: verdict["status"] for one, verdict in found["exercises"].items()} == dict.fromkeys(
        chapter(number).table("exercises"), PASSED
    ), found["exercises"]
    assert found["notes"] == [] and found["sources"] == made.right(number)


def statuses(found: dict) -> dict[str, str]:
    return {number: one["status"] for number, one in found["exercises"].items()}


def test_an_untouched_notebook_is_not_attempted_and_nothing_is_run(monkeypatch):
    monkeypatch.setattr(grading, "Process", lambda _: pytest.fail("nothing is there to run"))
    found = grading.judge_notebook("04", made.as_bytes(made.empty("04")))
    assert set(statuses(found).values()) == {NOT_ATTEMPTED} and set(found["sources"].values()) == {""}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"nonsense", "no JSON"), (made.solved("05"), "This is chapter 05, and chapter 04"), (b"{}", "no cells")],
    ids=["no notebook", "another chapter", "no cells"],
)
def test_what_is_no_notebook_of_the_chapter_is_not_judged_and_says_why(content, said):
    found = grading.judge_notebook("04", content)
    assert set(statuses(found).values()) == {grading.NOT_JUDGED} and len(found["exercises"]) == 7
    assert all(said in one["message"] for one in found["exercises"].values()) and said in found["notes"][0]


@in_the_sandbox
def test_a_known_mistake_has_its_name_and_each_answer_its_source():
    wrong = "def merge_pair(word, pair):\n    return word"
    found = grading.judge_notebook("04", made.as_bytes(made.handed_in("04", {"4.2": wrong})))
    one = found["exercises"]["4.2"]
    assert (one["status"], one["mistake"]) == (FAILED, "Nothing was merged.") and one["mistake"] in one["message"]
    assert found["sources"] == {**dict.fromkeys(made.places("04"), ""), "4.2": wrong}


@in_the_sandbox
def test_an_answer_whose_cell_raises_says_so():
    found = grading.judge_notebook("04", made.as_bytes(made.handed_in("04", {"4.2": "merge_pair = nonsense"})))
    assert "Your cell raised NameError: name 'nonsense' is not defined" in found["exercises"]["4.2"]["message"]


@in_the_sandbox
def test_a_forbidden_function_is_found_under_another_name():
    right = made.right("08")["8.3"]
    own = "from torch.nn.functional import cross_entropy as c"
    cheat = right[: right.index('"""')].rstrip() + "\n    return c(logits, labels)\n"
    found = grading.judge_notebook("08", made.as_bytes(made.handed_in("08", {"8.3": cheat}, [own])))
    assert found["exercises"]["8.3"]["status"] == FAILED, found["exercises"]["8.3"]
    assert "cross_entropy" in found["exercises"]["8.3"]["message"]


def test_a_sandbox_that_does_not_start_is_nobody_s_fault(monkeypatch):
    monkeypatch.setattr(grading.sandbox, "command", lambda _: ["false"])
    with pytest.raises(WorkbookError, match="did not start"):
        grading.judge_notebook("04", made.solved("04"))


# A class


@pytest.fixture
def course(tmp_path) -> Course:
    return a_class(tmp_path / "class", {f"s{place:02}": f"Student {place}" for place in range(1, 6)}, ["04"])


def answering(*numbers: str, **others: str) -> bytes:
    """A notebook of chapter 04 with these exercises solved, and other answers: `s4_2="…"`."""
    told = {number: made.right("04")[number] for number in numbers}
    return made.as_bytes(
        made.handed_in("04", told | {name[1:].replace("_", "."): text for name, text in others.items()})
    )


def hand_in(course: Course, student: str, content: bytes) -> Submission:
    return keep(course, student, "04", content, NOON, "file", "04.ipynb")


def result(course: Course, one: Submission) -> dict:
    return json.loads(grading.result_file(course, one).read_text(encoding="utf-8"))


def passed(found: dict) -> list[str]:
    return [number for number, status in statuses(found).items() if status == PASSED]


def marks(course: Course) -> dict[str, dict]:
    files = sorted((course.folder / "results").rglob("*.json"))
    return {path.relative_to(course.folder).as_posix(): statuses(json.loads(path.read_text())) for path in files}


@in_the_sandbox
def test_each_submission_gets_its_result_whatever_the_others_do(course):
    handed = {
        "s01": answering("4.1", "4.2"),
        "s02": b"no notebook",
        "s03": answering("4.1", s4_2="import os\nos._exit(3)"),
        "s04": answering(
            "4.1", s4_2="def merge_pair(*given):\n    raise ValueError('\\ud800 \\x1b[2J')  # \x1b", s4_3="\ud800"
        ),
        "s05": made.as_bytes(made.empty("04")),
    }
    kept = {student: hand_in(course, student, content) for student, content in handed.items()}
    assert grading.grade(course) == 5
    found = {student: result(course, one) for student, one in kept.items()}
    assert {student: passed(one) for student, one in found.items()} == {
        "s01": ["4.1", "4.2"], "s02": [], "s03": ["4.1"], "s04": ["4.1"], "s05": [],
    }  # fmt: skip
    assert "ended the process" in found["s03"]["exercises"]["4.2"]["message"]
    assert "ValueError" in found["s04"]["exercises"]["4.2"]["message"]
    for one in found.values():
        text = json.dumps(one, ensure_ascii=False)
        assert text.encode() and "\\u001b" not in text, "a page could not show it"
    first = found["s01"]
    assert (first["student"], first["chapter"], first["handed_in"]) == ("s01", "04", "2026-11-30T12:00:00Z")
    assert first["sha256"] == kept["s01"].sha256 and first["judges"] == grading.judges_key("04")
    for path in (course.folder / "results").rglob("*"):
        assert oct(path.stat().st_mode)[-3:] == ("700" if path.is_dir() else "600")
    assert grading.grade(course) == 0, "what is judged stays judged"
    hand_in(course, "s05", answering("4.3"))
    assert grading.grade(course) == 1, "and what is new is judged"


@in_the_sandbox
def test_other_judges_judge_again_and_what_was_is_kept(course, monkeypatch):
    one = hand_in(course, "s01", answering("4.1"))
    grading.grade(course)
    before = statuses(result(course, one))
    assert "before" not in result(course, one)
    monkeypatch.setattr(grading, "judges_key", lambda _: "other judges")
    assert grading.grade(course) == 1
    assert result(course, one)["before"] == before and result(course, one)["judges"] == "other judges"


def test_the_key_of_the_judges_changes_with_a_judge(monkeypatch, tmp_path):
    before = grading.judges_key("04")
    assert before == grading.judges_key("04") != grading.judges_key("05")
    folder = tmp_path / chapter("04").folder.name
    shutil.copytree(chapter("04").folder, folder)
    judges = folder / "judges.py"
    judges.write_text(judges.read_text(encoding="utf-8") + "\n# mended\n", encoding="utf-8")
    import dataclasses

    moved = dataclasses.replace(chapter("04"), folder=folder)
    monkeypatch.setattr(grading, "chapter", lambda _: moved)
    assert grading.judges_key("04") != before


def test_without_a_sandbox_nothing_is_run_or_written(course, monkeypatch):
    hand_in(course, "s01", answering("4.1"))
    monkeypatch.setattr(grading.sandbox, "refusal", lambda: "There is none.")
    with pytest.raises(WorkbookError, match="There is none.*--no-sandbox"):
        grading.grade(course)
    assert not (course.folder / "results").exists()


@in_the_sandbox
def test_a_sandbox_that_does_not_start_is_tried_again_by_the_next_run(course, monkeypatch):
    kept = hand_in(course, "s01", answering("4.1"))
    monkeypatch.setattr(grading, "_judged", lambda waiting, sandboxed: [(one, not_started(one)) for one in waiting])
    assert grading.grade(course) == 1
    assert "did not start" in result(course, kept)["notes"][0]
    monkeypatch.undo()
    assert grading.grade(course) == 1 and passed(result(course, kept)) == ["4.1"]
    assert "before" not in result(course, kept)


def not_started(one: Submission) -> dict:
    """What a judge's process sends when the sandbox ends before it has begun."""
    mine, theirs = multiprocessing.Pipe(duplex=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading.sandbox, "command", lambda arguments: ["false"])
        patch.setattr(grading.resource, "setrlimit", lambda *_: None)
        patch.setattr(grading.signal, "signal", lambda *_: None)
        grading._judge_file(theirs, one, True, (grading.CELL, grading.CHAPTER))
    return mine.recv()


def test_no_sandbox_judges_when_it_is_asked_for(course, monkeypatch):
    monkeypatch.setattr(grading.sandbox, "refusal", lambda: "There is none.")
    one = hand_in(course, "s01", answering("4.1"))
    assert grading.grade(course, sandboxed=False) == 1
    assert passed(result(course, one)) == ["4.1"]


ONE_DIES = """
import os, signal, sys
from labs_utils.classroom.grading import grading
real = grading.judge_notebook
def judge_notebook(number, content, sandboxed):
    if b"dies" in content:
        os.kill(os.getpid(), signal.SIGKILL)
    if b"hangs" in content:
        import ctypes
        ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock: no signal gets through
    return real(number, content, sandboxed)
grading.judge_notebook = judge_notebook
"""
START = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, sys.argv[2]]
from pathlib import Path
from labs_utils.classroom import course
from labs_utils.classroom.grading import grading
if __name__ == "__main__":
    if sys.argv[3:]:
        grading.CHAPTER = 20.0
        grading.__dict__["_judge_file"] = __import__("one_dies").judge_file
    print(grading.grade(course.read(Path(sys.argv[1]))))
"""


@in_the_sandbox
def test_a_judge_that_dies_or_hangs_costs_its_submission_only(course, tmp_path):
    more = "\ndef judge_file(*given):\n    grading._judge_file(*given)\n"
    (tmp_path / "one_dies.py").write_text(ONE_DIES + more)
    (tmp_path / "start.py").write_text(START)
    kept = {
        "s01": hand_in(course, "s01", answering("4.1", s4_2="dies = 1")),
        "s02": hand_in(course, "s02", answering("4.1", s4_2="hangs = 1")),
        "s03": hand_in(course, "s03", answering("4.1")),
        "s04": hand_in(course, "s04", answering("4.1", "4.2")),
    }
    words = [sys.executable, str(tmp_path / "start.py"), str(course.folder), str(tmp_path), "dies"]
    subprocess.run(words, check=True, timeout=500)
    found = {student: result(course, one) for student, one in kept.items()}
    assert {student: passed(one) for student, one in found.items()} == {
        "s01": [], "s02": [], "s03": ["4.1"], "s04": ["4.1", "4.2"],
    }  # fmt: skip
    assert "process ended" in found["s01"]["notes"][0] and "took longer" in found["s02"]["notes"][0]


def workers_of(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(path.name))
    return found


@in_the_sandbox
def test_a_run_that_was_killed_goes_on_where_it_was(course, tmp_path):
    kept = [
        hand_in(course, f"s{place:02}", answering("4.1", s4_2=f"own = {place}\n{made.right('04')['4.2']}"))
        for place in range(1, 6)
    ]
    (tmp_path / "start.py").write_text(START)
    words = [sys.executable, str(tmp_path / "start.py"), str(course.folder), str(tmp_path)]
    for least in (0, 1, 3):  # killed before anything is there, and after so many results
        process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 300
        while len(marks(course)) < least and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for one in marks(course).values():
            assert [number for number, status in one.items() if status == PASSED] == ["4.1", "4.2"]
    had = len(marks(course))
    assert had >= 3
    ended = subprocess.run(words, check=True, capture_output=True, text=True, timeout=500)
    assert int(ended.stdout) == 5 - had, "what had a result was not judged again"
    assert [passed(result(course, one)) for one in kept] == [["4.1", "4.2"]] * 5
    assert not list(course.folder.rglob("*.tmp*")), "nothing half-written is left"
