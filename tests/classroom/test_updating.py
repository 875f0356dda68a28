"""A folder that somebody works in is brought up to a new hand-out: merged, kept beside, never half done."""

import json
import shutil
import zipfile

import pytest

from labs_utils.classroom.handing import updating
from labs_utils.classroom.handing.updating import FILES, GIVEN, fingerprint, update
from labs_utils.errors import WorkbookError


def notebook(*sources: str) -> str:
    cells = [
        {"cell_type": "code", "id": f"c04-{place:03d}", "metadata": {}, "source": source, "outputs": []}
        for place, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def hand_out(folder, **files: str):
    """A hand-out with these files; `__` in a name is a folder's end."""
    listed = {}
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        listed[path.relative_to(folder).as_posix()] = fingerprint(content.encode())
        if path.suffix == ".ipynb":
            (folder / GIVEN).mkdir(exist_ok=True)
            shutil.copyfile(path, folder / GIVEN / path.name)
    (folder / GIVEN / FILES).write_text(json.dumps({"files": listed}), encoding="utf-8")
    return folder


@pytest.fixture
def mine(tmp_path):
    files = {"labs_utils__a_dot_py": "old", "chapters__04__judges_dot_py": "old", "README_dot_md": "old"}
    return hand_out(tmp_path / "mine", notebooks__04_dot_ipynb=notebook("x = 1", "answer = ..."), **files)


@pytest.fixture
def new(tmp_path):
    files = {"labs_utils__b_dot_py": "new", "chapters__04__judges_dot_py": "new", "README_dot_md": "new"}
    return hand_out(tmp_path / "new", notebooks__04_dot_ipynb=notebook("x = 2", "answer = ..."), **files)


def sources(path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def aside(folder) -> list:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.before-*"))


def work(folder, *cells: str) -> str:
    content = notebook(*cells)
    (folder / "notebooks" / "04.ipynb").write_text(content, encoding="utf-8")
    return content


def test_work_is_merged_and_kept_beside_first(mine, new):
    before = work(mine, "x = 1", "answer = 42", "own = 1")
    said = update(mine, new)
    assert sources(mine / "notebooks" / "04.ipynb") == ["x = 2", "answer = 42", "own = 1"]
    [kept] = aside(mine)
    assert kept.startswith("notebooks/04.before-") and (mine / kept).read_text(encoding="utf-8") == before
    assert any(kept.partition("/")[2] in line for line in said)
    assert (mine / GIVEN / "04.ipynb").read_bytes() == (new / GIVEN / "04.ipynb").read_bytes()


def test_what_nobody_touched_is_replaced_without_a_trace(mine, new):
    update(mine, new)
    assert sources(mine / "notebooks" / "04.ipynb") == ["x = 2", "answer = ..."] and aside(mine) == []
    assert (mine / "labs_utils" / "b.py").read_text() == "new" and not (mine / "labs_utils" / "a.py").exists()
    assert (mine / "chapters" / "04" / "judges.py").read_text() == "new"


def test_a_second_update_changes_nothing(mine, new):
    work(mine, "x = 1", "answer = 42")
    update(mine, new)
    files = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    assert update(mine, new) == ["You have this version already."]
    assert files == {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}


def test_other_files_that_the_student_changed_or_made_are_kept(mine, new):
    (mine / "chapters" / "04" / "judges.py").write_text("mine")
    (mine / "labs_utils" / "a.py").write_text("mine, and no longer given")
    (mine / "labs_utils" / "own.py").write_text("own")
    said = update(mine, new)
    assert (mine / "chapters" / "04" / "judges.py").read_text() == "new"
    assert [(mine / name).read_text() for name in aside(mine)] == ["mine"]
    assert (mine / "labs_utils" / "a.py").exists() and (mine / "labs_utils" / "own.py").exists()
    assert any("a.py is handed out no longer" in line for line in said)


def test_a_notebook_that_cannot_be_read_stands_beside_the_new_one(mine, new):
    (mine / "notebooks" / "04.ipynb").write_text("{ half a noteb")
    said = update(mine, new)
    assert sources(mine / "notebooks" / "04.ipynb") == ["x = 2", "answer = ..."]
    assert [(mine / name).read_text() for name in aside(mine)] == ["{ half a noteb"]
    assert any("could not be read" in line for line in said)


def test_a_chapter_that_is_handed_out_no_longer_stays(mine, new, tmp_path):
    work(mine, "x = 1", "answer = 42")
    other = hand_out(tmp_path / "other", notebooks__05_dot_ipynb=notebook("y = 1"))
    update(mine, other)
    assert sources(mine / "notebooks" / "04.ipynb") == ["x = 1", "answer = 42"]
    assert sources(mine / "notebooks" / "05.ipynb") == ["y = 1"]


def test_a_zip_with_a_folder_in_it_is_as_good_as_a_folder(mine, new, tmp_path):
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for path in new.rglob("*"):
            archive.write(path, f"class-1234/{path.relative_to(new)}")
    update(mine, tmp_path / "new.zip")
    assert sources(mine / "notebooks" / "04.ipynb") == ["x = 2", "answer = ..."]


def test_an_update_that_was_interrupted_is_begun_again(mine, new, monkeypatch):
    """Killed between two files: what was merged already is not taken for the student's own change."""
    work(mine, "x = 7", "answer = 42")
    real, calls = updating.replace_file, []

    def killed(path, content):
        calls.append(path)
        if len(calls) > 3:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(updating, "replace_file", killed)
    with pytest.raises(KeyboardInterrupt):
        update(mine, new)
    monkeypatch.setattr(updating, "replace_file", real)
    update(mine, new)
    found = sources(mine / "notebooks" / "04.ipynb")
    assert found == ["x = 2", "# Yours, before the correction\n# x = 7", "answer = 42"]
    assert (mine / GIVEN / FILES).read_bytes() == (new / GIVEN / FILES).read_bytes()


@pytest.mark.parametrize(
    "wrong", ["no folder", "an empty folder", "no zip", "the same folder", "names that lead elsewhere"]
)
def test_what_is_no_hand_out_is_refused_and_nothing_changes(mine, new, tmp_path, wrong):
    given = new
    if wrong == "the same folder":
        given = mine
    elif wrong == "names that lead elsewhere":
        (new / GIVEN / FILES).write_text(json.dumps({"files": {"../outside.py": "0"}}))
    elif wrong == "an empty folder":
        (given := tmp_path / "empty").mkdir()
    elif wrong == "no zip":
        (given := tmp_path / "a.zip").write_text("no zip")
    else:
        given = tmp_path / "nowhere"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(WorkbookError, match="Name the|Download it again"):
        update(mine, given)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_zip_that_is_no_hand_out_is_called_by_the_name_that_was_given(mine, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.txt", "no hand-out")
    with pytest.raises(WorkbookError, match=r"photos\.zip is no hand-out of a class"):
        update(mine, tmp_path / "photos.zip")


def test_other_models_have_to_be_fetched(mine, new, tmp_path):
    assert not any("labs fetch" in line for line in update(mine, new))
    files = {"data__catalog_dot_toml": "[models.chat]", "notebooks__04_dot_ipynb": notebook("x = 2", "answer = ...")}
    other = hand_out(tmp_path / "other", **files)
    assert any("run labs fetch" in line for line in update(mine, other))


def test_a_folder_that_is_no_hand_out_is_not_updated(new, tmp_path):
    (tmp_path / "anything").mkdir()
    with pytest.raises(WorkbookError, match="no hand-out of a class"):
        update(tmp_path / "anything", new)
    assert not any((tmp_path / "anything").iterdir())
