"""What a class gets: it runs by itself, holds no solution, and goes out as a folder, a zip, with git, over a Hub."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from benchmarks.support.hub_client import Raw
from labs_utils.authoring.notebooks import STUB, solution_lines
from labs_utils.chapters import chapter, chapters
from labs_utils.classroom.course import Course, Late
from labs_utils.classroom.handing import handout
from labs_utils.classroom.handing.updating import update
from labs_utils.errors import WorkbookError
from labs_utils.exercises.registry import of_chapter
from labs_utils.hub_server import roster, server
from labs_utils.materials.catalog import CATALOG
from labs_utils.paths import ROOT


def class_of(folder, *numbers: str, **changes) -> Course:
    folder.mkdir(exist_ok=True)
    points = {one: 1.0 for number in numbers for one in of_chapter(chapter(number))}
    settings = {"deadlines": {}, "late": Late(0.1, 7), "students": {}, "zone": UTC} | changes
    return Course(folder, "Class 5b", points, **settings)


@pytest.fixture(scope="module")
def every_chapter(tmp_path_factory):
    return handout.hand_out(class_of(tmp_path_factory.mktemp("class"), *chapters()))


@pytest.fixture
def course(tmp_path):
    return class_of(tmp_path / "class", "00", "09")


def files(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_what_a_student_may_have_is_in_it(every_chapter):
    names = set(files(every_chapter))
    top = {name.partition("/")[0] for name in names}
    assert top == {
        ".handed-out", "LICENSE", "README.md", "chapters", "constraints.txt", "data", "labs_utils", "notebooks",
        "pyproject.toml",
    }  # fmt: skip
    assert {name.rpartition("/")[2] for name in names if name.startswith("chapters/")} == {
        "chapter.toml", "exercises.toml", "judges.py", "quiz.toml",
    }  # fmt: skip
    assert not any("__pycache__" in name or "recipes" in name for name in names)


def test_no_line_of_a_solution_is_in_it(every_chapter):
    """Every line that the lessons show in their solutions alone is searched for, but in judges and helpers.

    Judges hold references of their own, in another style, and have to be there: the checks run on the student's
    machine. The helpers know no chapter; that one of them returns a sha256, too, tells nobody anything.
    """
    texts = [
        content.decode("utf-8")
        for name, content in files(every_chapter).items()
        if not name.endswith(("judges.py", ".safetensors")) and not name.startswith("labs_utils/")
    ]
    there = {line.strip() for text in texts for line in plain_lines(text)}
    lessons = [one.lesson.read_text(encoding="utf-8") for one in chapters().values()]
    outside = [
        re.sub(r"# BEGIN SOLUTION.*?# END SOLUTION|[^\n]*# SOLUTION", "", lesson, flags=re.S) for lesson in lessons
    ]
    shown = {line.strip() for lesson in outside for line in lesson.split("\n")}
    hidden = {line for lesson in lessons for line in solution_lines(lesson) if len(line) > 24} - shown
    assert len(hidden) > 200 and not hidden & there
    assert "SOLUTION" not in "".join(text for text in texts if '"cells"' in text[:200])


def plain_lines(text: str) -> list[str]:
    """A file's lines; of a notebook, those of its cells."""
    if not text.lstrip().startswith("{"):
        return text.split("\n")
    try:
        cells = json.loads(text).get("cells", [])
    except ValueError:  # rows of JSON
        return text.split("\n")
    return [line for cell in cells for line in "".join(cell["source"]).split("\n")]


def test_the_notebooks_are_those_of_the_course(every_chapter):
    for one in chapters().values():
        name = f"notebooks/{one.stem}.ipynb"
        assert (every_chapter / name).read_bytes() == (ROOT / name).read_bytes(), name


@pytest.mark.parametrize("number", list(chapters()))
def test_every_role_that_a_chapter_asks_for_by_name_is_found(number):
    """Also those that it asks for in code that it writes into a file."""
    text = (ROOT / "notebooks" / f"{chapter(number).stem}.ipynb").read_text(encoding="utf-8").replace("\\", "")
    kinds = {"checkpoint": "models", "dataset": "datasets"}
    asked = {(kinds[kind], role) for kind, role in re.findall(r'lab\.(checkpoint|dataset)\("([\w-]+)"\)', text)}
    assert asked <= handout.roles_of(chapter(number))


def test_it_has_the_data_of_its_chapters_and_no_other(course):
    folder = handout.hand_out(course)
    catalog = tomllib.loads((folder / "data" / "catalog.toml").read_text(encoding="utf-8"))
    whole = tomllib.loads(CATALOG.read_text(encoding="utf-8"))
    assert set(catalog["models"]) == {"encoder", "multilingual-encoder"}
    assert set(catalog["datasets"]) == {"hotel_reviews", "topics"}
    assert all(entry == whole[kind][role] for kind in catalog for role, entry in catalog[kind].items())
    assert {path.name for path in (folder / "data" / "datasets").iterdir()} == set(catalog["datasets"])
    assert {path.name for path in (folder / "chapters").iterdir()} == {chapter("00").stem, chapter("09").stem}


def test_an_adapter_brings_the_model_that_it_is_for_and_a_computed_role_all_that_are_named(tmp_path):
    (tmp_path / "judges.py").write_text("")
    one = dataclasses.replace(chapter("02"), folder=tmp_path)
    (tmp_path / "lesson.py").write_text('lab.checkpoint("zh-sentiment")')
    assert handout.roles_of(one) == {("models", "zh-sentiment"), ("models", "multilingual-encoder")}
    (tmp_path / "lesson.py").write_text('role = {"a": "llm", "b": "encoder", "c": "topics"}[x]\nlab.checkpoint(role)')
    assert handout.roles_of(one) == {("models", "llm"), ("models", "encoder")}


def test_a_model_that_is_handed_out_has_its_card(tmp_path):
    folder = handout.hand_out(class_of(tmp_path / "class", "02"))
    assert (folder / "data" / "models" / "sentiment" / "README.md").is_file()  # with the licence


def test_nobody_else_can_read_the_folder(course):
    folder = handout.hand_out(course)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")] if path.is_dir()} == {0o700}


RUN = """
import sys, nbformat, labs_utils
from nbclient import NotebookClient
print(labs_utils.__file__)
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": "notebooks"}}).execute()
print("not attempted" in str(notebook))
"""


def test_a_notebook_runs_from_the_unzipped_hand_out_alone(course, tmp_path):
    with zipfile.ZipFile(handout.as_zip(course)) as archive:
        archive.extractall(tmp_path / "student")
    [folder] = (tmp_path / "student").iterdir()
    own = {"PYTHONPATH": str(folder), "LABS_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    command = [sys.executable, "-c", RUN, f"notebooks/{chapter('00').stem}.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=kept | own)
    assert done.returncode == 0, done.stderr[-2000:]
    module, attempted = done.stdout.split()
    assert module == str(folder / "labs_utils" / "__init__.py") and attempted == "True"
    code = "import labs_utils as lab; print(lab.progress())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=kept | own)
    assert [line[:2] for line in done.stdout.splitlines()[1:]] == ["00", "09"]


# --- README.md ---


def test_the_readme_says_until_when_and_what_late_costs(tmp_path):
    zone = ZoneInfo("Asia/Shanghai")
    deadlines = {"09": datetime(2026, 12, 4, 23, 59, tzinfo=zone)}
    text = handout.readme(class_of(tmp_path / "c", "00", "09", deadlines=deadlines, zone=zone), set())
    assert "| 9.1, 9.2, 9.3" in text and "| 8 | Friday 4 December 2026, 23:59 (Asia/Shanghai, UTC+08:00) |" in text
    assert "costs 10% of the points. What comes later than 7 days" in text
    text = handout.readme(class_of(tmp_path / "c", "09", deadlines=deadlines, late=Late(0.5, 0)), set())
    assert "Friday 4 December 2026, 15:59 (UTC)" in text and "What comes after its deadline does not count." in text
    assert "does not count" not in handout.readme(class_of(tmp_path / "c", "09"), set())


def test_the_readme_names_only_what_is_there(every_chapter, course):
    folder = handout.hand_out(course)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60 and "{" not in text
    for name in re.findall(r"\]\((\S+)\)", text) + re.findall(r"jupyter lab (\S+?)`", text)[:1]:
        assert (folder / name).is_file(), name
    assert "fetch" in text and ", 91 MB." in text  # chapter 09's multilingual encoder, and not the chat model
    assert "184 MB" in (every_chapter / "README.md").read_text(encoding="utf-8")


def test_where_nothing_is_fetched_nothing_is_said_of_it(tmp_path):
    folder = handout.hand_out(class_of(tmp_path / "class", "08"))
    assert "fetch" not in (folder / "README.md").read_text(encoding="utf-8")


# --- notebooks that somebody worked in ---


def changed(tmp_path, change) -> bytes:
    one = chapter("00")
    notebook = json.loads((ROOT / "notebooks" / f"{one.stem}.ipynb").read_text(encoding="utf-8"))
    change(notebook["cells"])
    (tmp_path / f"{one.stem}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return handout.student_notebook(one, tmp_path)


def test_outputs_are_not_handed_out(tmp_path):
    def run(cells):
        ran = [cell for cell in cells if cell["cell_type"] == "code"]
        ran[0] |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": "mine"}], "execution_count": 3}

    path = ROOT / "notebooks" / f"{chapter('00').stem}.ipynb"
    assert changed(tmp_path, run) == path.read_bytes()


def test_an_instructors_cell_is_not_handed_out(tmp_path):
    note = {"cell_type": "markdown", "id": "i", "metadata": {"tags": ["instructor"]}, "source": "what they get wrong"}
    assert b"what they get wrong" not in changed(tmp_path, lambda cells: cells.append(note))


def test_a_solved_notebook_is_refused(tmp_path):
    def solve(cells):
        cell = next(cell for cell in cells if STUB in "".join(cell["source"]))
        cell["source"] = "".join(cell["source"]).replace(STUB, "return 42")

    with pytest.raises(WorkbookError, match="somebody solved exercises in it. Keep it under another name"):
        changed(tmp_path, solve)


def test_a_hand_out_that_fails_leaves_the_one_before(course, monkeypatch):
    before = files(handout.hand_out(course))

    def refuse(one):
        raise WorkbookError("no notebook")

    monkeypatch.setattr(handout, "student_notebook", refuse)
    with pytest.raises(WorkbookError, match="no notebook"):
        handout.hand_out(course)
    assert files(course.folder / "handout") == before
    assert {path.name for path in course.folder.iterdir()} == {"handout"}


# --- zip, git, Hub ---


def test_the_same_hand_out_is_the_same_zip_and_another_unpacks_elsewhere(course):
    def tops(path):
        with zipfile.ZipFile(path) as archive:
            return {name.partition("/")[0] for name in archive.namelist()}

    first = handout.as_zip(course).read_bytes()
    [top] = tops(handout.as_zip(course))
    assert handout.as_zip(course).read_bytes() == first and top.startswith("Class-5b-")
    course.deadlines["09"] = datetime(2026, 12, 4, tzinfo=UTC)
    [other] = tops(handout.as_zip(course))
    assert other != top
    assert (course.folder / "handout.zip").stat().st_mode & 0o777 == 0o600


def git(folder, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_git_commits_only_what_changed_and_says_what(course, tmp_path, monkeypatch):
    remote = tmp_path / "class.git"
    first = handout.as_git(course, remote)
    assert handout.as_git(course, remote) == first  # nothing changed: no commit
    correct(monkeypatch, course)
    second = handout.as_git(course, remote)
    assert git(remote, "rev-list", "main").split() == [second, first]
    assert git(remote, "log", "-1", "--format=%s", "main") == f"Hand out corrected: {chapter('00').stem}"
    touched = set(git(remote, "diff", "--name-only", first, second).split())
    assert touched == {f"{at}/{chapter('00').stem}.ipynb" for at in ("notebooks", ".handed-out")} | {
        ".handed-out/files.json"
    }
    git(tmp_path, "clone", "--quiet", str(remote), "student")
    assert files(course.folder / "handout") == {
        name: content for name, content in files(tmp_path / "student").items() if not name.startswith(".git/")
    }


def correct(monkeypatch, course):
    """From now on the notebook of chapter 00 is a corrected one."""
    real = handout.student_notebook

    def corrected(one):
        return real(one).replace(b"# 00 Start here", b"# 00 Start here, corrected") if one.number == "00" else real(one)

    monkeypatch.setattr(handout, "student_notebook", corrected)


def test_git_leaves_a_folder_of_something_else_alone(course, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("x")
    with pytest.raises(WorkbookError, match="no bare git repository"):
        handout.as_git(course, tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["one.jpg"]


def test_a_corrected_zip_updates_a_students_folder(course, tmp_path, monkeypatch):
    with zipfile.ZipFile(handout.as_zip(course)) as archive:
        archive.extractall(tmp_path / "student")
    [folder] = (tmp_path / "student").iterdir()
    path = folder / "notebooks" / f"{chapter('00').stem}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace(STUB, "return 42", 1), encoding="utf-8")
    correct(monkeypatch, course)
    said = update(folder, handout.as_zip(course))
    text = path.read_text(encoding="utf-8")
    assert "# 00 Start here, corrected" in text and "return 42" in text
    assert len(said) == 1 and ".before-" in said[0]


def test_on_the_hub_every_student_reads_it_and_nobody_else_may_change_it(course, tmp_path, monkeypatch):
    with server.serving(tmp_path / "hub") as running:
        users = {"teacher": "write", "s01": "write"}
        members = {"class-5b": {"teacher": "admin", "s01": "contributor"}}
        tokens = roster.enrol(running.store.database, users, members)
        address = handout.to_hub(course, running.endpoint, tokens["teacher"], "class-5b")
        assert address == f"{running.endpoint}/datasets/class-5b/class"
        student, at = Raw(running.endpoint, tokens["s01"]), "/datasets/class-5b/class/resolve/main/"
        name = f"notebooks/{chapter('00').stem}.ipynb"
        assert student.ask("GET", at + name).body == (ROOT / name).read_bytes()
        commit = b'{"key": "header", "value": {"summary": "x"}}\n'
        refused = student.ask("POST", "/api/datasets/class-5b/class/commit/main", commit)
        assert refused.status == 403
        handout.to_hub(class_of(tmp_path / "class", "09"), running.endpoint, tokens["teacher"], "class-5b")
        assert student.ask("GET", at + name).status == 404
        assert student.ask("GET", at + f"notebooks/{chapter('09').stem}.ipynb").status == 200
        with pytest.raises(WorkbookError, match="does not know the token"):
            handout.to_hub(course, running.endpoint, "hf_wrong", "class-5b")
    with pytest.raises(WorkbookError, match="There is no Hub at"):
        handout.to_hub(course, running.endpoint, tokens["teacher"], "class-5b")
