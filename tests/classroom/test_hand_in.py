"""Handing in, from the student's side: to the class's Hub, or as a file; seen again, and taken back."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from types import SimpleNamespace

import pytest

from benchmarks.support.hub_client import Raw
from labs_utils.authoring.notebooks import STUB
from labs_utils.chapters import chapter
from labs_utils.classroom.handing import hand_in as handing_in
from labs_utils.classroom.handing.hand_in import hand_in, handed_in, take_back
from labs_utils.classroom.handing.submitted import chapter_of, read_cells
from labs_utils.errors import WorkbookError
from labs_utils.hub_server import roster, server
from labs_utils.paths import ROOT
from labs_utils.storage import update_json

USERS = {"teacher": "write", "s01": "write", "s02": "write", "s03": "write"}
CLASSES = {
    "class-5b": {"teacher": "admin", "s01": "contributor", "s02": "contributor", "s03": "contributor"},
    "club": {"teacher": "admin", "s03": "contributor"},
}
STEM = chapter("04").stem


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with server.serving(tmp_path_factory.mktemp("hub")) as running:
        yield SimpleNamespace(
            endpoint=running.endpoint, tokens=roster.enrol(running.store.database, USERS, CLASSES), store=running.store
        )


@pytest.fixture
def student(hub, monkeypatch):
    """Makes this process the one of a student; without a name, of one whose class has no Hub."""

    def be(name: str, **environment: str):
        for variable in ("LABS_HUB", "LABS_HUB_TOKEN", "LABS_CLASS"):
            monkeypatch.delenv(variable, raising=False)
        if name:
            monkeypatch.setenv("LABS_HUB", hub.endpoint)
            monkeypatch.setenv("LABS_HUB_TOKEN", hub.tokens[name])
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)

    be("")
    return be


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch, tmp_path):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.setenv("LABS_HOME", str(tmp_path / "home"))


@pytest.fixture
def notebook(tmp_path):
    return write(tmp_path / f"{STEM}.ipynb", "return 42")


def write(path, answer: str, stem: str = STEM, **metadata):
    """The student notebook of a chapter with one answer in it."""
    content = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))
    cell = next(cell for cell in content["cells"] if STUB in "".join(cell["source"]))
    cell["source"] = "".join(cell["source"]).replace(STUB, answer, 1)
    content["metadata"] |= metadata
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def repository(name: str, group: str = "class-5b") -> str:
    return f"/api/datasets/{group}/{name}-hand-in"


# --- to the Hub ---


def test_it_goes_into_a_private_repository_and_a_receipt_says_so(hub, student, notebook):
    student("s01")
    receipt = hand_in(notebook=notebook)
    got = Raw(hub.endpoint, hub.tokens["teacher"]).ask(
        "GET", f"/datasets/class-5b/s01-hand-in/resolve/main/04/{STEM}.ipynb"
    )
    assert got.status == 200 and hashlib.sha256(got.body).hexdigest() == receipt.sha256
    assert chapter_of(read_cells(got.body)) == "04" and b"return 42" in got.body
    [newest, *_] = Raw(hub.endpoint, hub.tokens["teacher"]).ask("GET", f"{repository('s01')}/commits/main").json
    assert newest["id"] == receipt.commit and datetime.fromisoformat(newest["date"]) == receipt.time
    for text in (str(receipt), receipt._repr_html_()):
        assert "Chapter 04, Tokenizers, is handed in." in text and "s01" in text
        assert receipt.sha256[:12] in text and receipt.commit[:12] in text
    info = Raw(hub.endpoint, hub.tokens["teacher"]).ask("GET", repository("s01")).json
    assert info["private"] is True


def test_classmates_and_strangers_see_nothing(hub, student, notebook):
    student("s01")
    hand_in(notebook=notebook)
    for token in (hub.tokens["s02"], None):
        client = Raw(hub.endpoint, token)
        file = f"/datasets/class-5b/s01-hand-in/resolve/main/04/{STEM}.ipynb"
        assert {client.ask("GET", at).status for at in (repository("s01"), file)} <= {401, 404}
        assert b"s01-hand-in" not in client.ask("GET", "/api/datasets?author=class-5b").body
    student("s02")
    assert handed_in().empty


def test_a_public_repository_of_that_name_becomes_private(hub, student, notebook):
    student("s03", LABS_CLASS="club")
    own, other = Raw(hub.endpoint, hub.tokens["s03"]), Raw(hub.endpoint, hub.tokens["s01"])
    take_back_all_quietly()
    made = {"organization": "club", "name": "s03-hand-in", "type": "dataset", "visibility": "public"}
    assert own.ask("POST", "/api/repos/create", made).status == 200
    assert other.ask("GET", repository("s03", "club")).status == 200
    hand_in(notebook=notebook)
    assert other.ask("GET", repository("s03", "club")).status == 404


def take_back_all_quietly() -> None:
    with contextlib.suppress(WorkbookError):
        take_back("all")


def test_a_squatter_on_a_classmates_name_gets_nothing(hub, student, notebook):
    """The repository that is named after a student is somebody else's: the student is told, and nothing is sent."""
    student("s02")
    take_back_all_quietly()
    squatter = Raw(hub.endpoint, hub.tokens["s01"])
    made = {"organization": "class-5b", "name": "s02-hand-in", "type": "dataset", "visibility": "public"}
    assert squatter.ask("POST", "/api/repos/create", made).status == 200
    with pytest.raises(WorkbookError, match="refuses"):
        hand_in(notebook=notebook)
    assert "04/" not in str(squatter.ask("GET", f"{repository('s02')}/tree/main?recursive=1").body)
    gone = squatter.ask("DELETE", "/api/repos/delete", {key: made[key] for key in ("organization", "name", "type")})
    assert gone.status == 200


def test_handing_in_twice_keeps_both(hub, student, notebook):
    student("s02")
    first = hand_in(notebook=notebook)
    write(notebook, "return 43")
    second = hand_in(notebook=notebook)
    assert first.commit != second.commit and second.time >= first.time
    client = Raw(hub.endpoint, hub.tokens["teacher"])
    for receipt, answer in ((first, b"return 42"), (second, b"return 43")):
        at = f"/datasets/class-5b/s02-hand-in/resolve/{receipt.commit}/04/{STEM}.ipynb"
        assert answer in client.ask("GET", at).body
    listed = handed_in()
    assert list(listed["commit"][:2]) == [second.commit[:12], first.commit[:12]]
    assert list(listed["sha256"][:2]) == [second.sha256[:12], first.sha256[:12]] and set(listed["chapter"]) == {"04"}


def test_the_same_again_is_no_new_version(student, notebook):
    student("s03", LABS_CLASS="class-5b")
    first = hand_in(notebook=notebook)
    again = hand_in(notebook=notebook)
    assert (again.commit, again.time, again.again) == (first.commit, first.time, True)
    assert "before, exactly like this" in str(again) and not first.again


def test_a_student_of_two_classes_says_which(hub, student, notebook):
    student("s03")
    with pytest.raises(WorkbookError, match="several classes: class-5b, club. Set LABS_CLASS"):
        hand_in(notebook=notebook)
    student("s03", LABS_CLASS="club")
    hand_in(notebook=notebook)
    assert Raw(hub.endpoint, hub.tokens["teacher"]).ask("GET", repository("s03", "club")).status == 200
    student("s01", LABS_CLASS="club")
    with pytest.raises(WorkbookError, match="LABS_CLASS is 'club', and you are in: class-5b"):
        hand_in(notebook=notebook)


def test_what_was_taken_back_is_gone(hub, student, notebook, tmp_path):
    student("s01")
    hand_in(notebook=notebook)
    other = hand_in(notebook=write(tmp_path / "00.ipynb", "return 1", chapter("00").stem))
    assert "no longer handed in" in take_back("04")
    assert handed_in().iloc[0]["what"] == f"Take back {STEM}"
    client = Raw(hub.endpoint, hub.tokens["teacher"])
    at = "/datasets/class-5b/s01-hand-in/resolve/main/"
    assert client.ask("GET", f"{at}04/{STEM}.ipynb").status == 404
    assert client.ask("GET", f"{at}00/{chapter('00').stem}.ipynb").status == 200
    with pytest.raises(WorkbookError, match="not handed in chapter '04'. Handed in is: 00"):
        take_back("04")
    assert not hand_in(notebook=notebook).again  # the same bytes as before they were taken back
    assert "every earlier version" in take_back("all")
    assert client.ask("GET", repository("s01")).status == 404 and handed_in().empty
    assert client.ask("GET", f"/datasets/class-5b/s01-hand-in/resolve/{other.commit}/00/x.ipynb").status == 404
    with pytest.raises(WorkbookError, match="handed in nothing"):
        take_back("all")


def test_the_only_chapter_is_deleted_with_its_history(hub, student, notebook):
    student("s02")
    hand_in(notebook=notebook)
    assert "every earlier version" in take_back("04")
    assert Raw(hub.endpoint, hub.tokens["teacher"]).ask("GET", repository("s02")).status == 404


def test_a_kernel_in_offline_mode_hands_in_and_stays_offline(hub, student, notebook):
    """Also with a file of the student's own beside the notebook that bears a library's name."""
    (notebook.parent / "json.py").write_text("1 / 0")
    student("s02", LABS_MODE="offline", JPY_SESSION_NAME=str(notebook))
    code = (
        "import sys; sys.path.remove('')\n"
        "import labs_utils as lab; lab.start('04')\n"
        "from labs_utils.classroom.handing.hand_in import hand_in; print(hand_in())\n"
        "from huggingface_hub import constants; print(constants.HF_HUB_OFFLINE)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), cwd=notebook.parent
    )
    assert done.returncode == 0, done.stderr
    assert "is handed in" in done.stdout and done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"LABS_HUB_TOKEN": "hf_wrong"}, "does not know the token"),
        ({"LABS_HUB_TOKEN": ""}, "LABS_HUB_TOKEN .* is not set"),
        ({"LABS_HUB": "http://127.0.0.1:9"}, "There is no Hub at http://127.0.0.1:9"),
    ],
)
def test_a_hub_that_cannot_be_used_is_said_in_a_sentence(student, notebook, environment, sentence):
    student("s01", **environment)
    with pytest.raises(WorkbookError, match=sentence):
        hand_in(notebook=notebook)
    assert [path.name for path in notebook.parent.glob("*.ipynb")] == [notebook.name]


# --- as a file ---


def test_without_a_hub_it_is_a_file_beside_the_notebook(student, notebook):
    before = notebook.read_bytes()
    receipt = hand_in(notebook=notebook)
    [made] = notebook.parent.glob("hand-in_*.ipynb")
    assert made.name.startswith(f"hand-in_{STEM}_") and receipt.where == str(made)
    assert json.loads(made.read_bytes())["metadata"]["workbook"] == {"chapter": "04"}
    assert hashlib.sha256(made.read_bytes()).hexdigest() == receipt.sha256
    assert "upload the file" in str(receipt) and str(made) in receipt._repr_html_()
    assert notebook.read_bytes() == before
    hand_in(notebook=notebook)
    assert len(list(notebook.parent.glob("hand-in_*.ipynb"))) == 2
    with pytest.raises(WorkbookError, match="LABS_HUB .* is not set"):
        handed_in()


def test_large_outputs_are_left_out_and_small_ones_stay(notebook):
    content = json.loads(notebook.read_bytes())
    cell = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
    small, large = ({"output_type": "stream", "name": "stdout", "text": "x" * size} for size in (1000, 2_000_000))
    cell["outputs"] = [small, large]
    content["metadata"]["widgets"] = {"state": "y" * 2_000_000}
    notebook.write_text(json.dumps(content), encoding="utf-8")
    hand_in(notebook=notebook)
    [made] = notebook.parent.glob("hand-in_*.ipynb")
    assert b"x" * 1000 in made.read_bytes() and made.stat().st_size < 500_000


def test_hints_are_told_only_if_they_are_shared(notebook, tmp_path):
    update_json(tmp_path / "home" / "progress.json", lambda own: own.update(hints={"4.1": 2, "9.1": 1, "4.2": "x"}))
    hand_in(notebook=notebook)
    hand_in(notebook=notebook, share_hints=True)
    told = [json.loads(path.read_bytes())["metadata"]["workbook"] for path in notebook.parent.glob("hand-in_*.ipynb")]
    assert sorted(told, key=len) == [{"chapter": "04"}, {"chapter": "04", "hints": {"4.1": 2}}]


# --- what is said of the file ---


def test_an_old_file_and_open_exercises_are_noted_and_handed_in_all_the_same(notebook):
    os.utime(notebook, (time.time() - 600, time.time() - 600))
    notes = hand_in(notebook=notebook).notes
    assert "saved 10 minutes ago" in notes[0] and "Ctrl+S" in notes[0] and "6 exercises are still" in notes[1]
    os.utime(notebook)
    assert not any("Ctrl+S" in note for note in hand_in(notebook=notebook).notes)


def test_a_cell_that_the_file_does_not_have_yet_is_noted(notebook, monkeypatch):
    """The file is fresh, and still older than what is on the screen."""
    history = SimpleNamespace(input_hist_raw=["", "lab.hand_in()  # typed just now"])
    monkeypatch.setattr(handing_in, "_shell", lambda: SimpleNamespace(history_manager=history, user_ns={}))
    assert "before you wrote this cell" in hand_in(notebook=notebook).notes[0]
    history.input_hist_raw.append('lab.start("04")')
    history.input_hist_raw.append('import labs_utils as lab\nlab.start("04")')
    assert not any("Ctrl+S" in note for note in hand_in(notebook=notebook).notes)


@pytest.mark.parametrize("front_end", ["JupyterLab", "VS Code"])
def test_the_kernel_knows_its_notebook(notebook, monkeypatch, front_end):
    shell = SimpleNamespace(user_ns={}, history_manager=SimpleNamespace(input_hist_raw=[""]))
    if front_end == "JupyterLab":
        monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    else:
        shell.user_ns["__vsc_ipynb_file__"] = str(notebook)
    monkeypatch.setattr(handing_in, "_shell", lambda: shell)
    assert str(notebook.parent) in hand_in().where


def test_a_kernel_that_does_not_know_its_notebook_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "renamed.ipynb"))
    with pytest.raises(WorkbookError, match="Give its path, such as lab.hand_in"):
        hand_in()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no notebook", "holds no JSON"),
        ('{"cells": []}', "does not say which chapter it is"),
        ('{"cells": 3}', "it has no cells"),
        (None, "could not be read"),
    ],
)
def test_what_is_no_chapter_is_refused(tmp_path, content, sentence):
    path = tmp_path / "own.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(WorkbookError, match=sentence):
        hand_in(notebook=path)
    assert not list(tmp_path.glob("hand-in_*"))


def test_another_chapter_than_the_one_that_was_meant_is_refused(notebook):
    with pytest.raises(WorkbookError, match="is chapter 04, not '05'. Nothing was handed in"):
        hand_in("05", notebook=notebook)


def test_what_a_student_wrote_is_escaped_in_the_receipt(tmp_path, student):
    folder = tmp_path / "<img src=x>"
    folder.mkdir()
    shown = hand_in(notebook=write(folder / "own.ipynb", "return 1"))._repr_html_()
    assert "<img" not in shown and "&lt;img" in shown
