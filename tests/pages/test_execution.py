"""What cells showed is kept under a key of all that it depends on; a cell that fails is named."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from book import execution
from labs_utils.authoring.addresses import Addresses
from labs_utils.authoring.notebooks import convert
from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError

SOME = Addresses("https://github.com/someone/workbook")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "KEPT", tmp_path / "executed")
    return tmp_path / "executed"


def test_a_changed_cell_judge_or_version_changes_the_key(monkeypatch):
    before = execution.key(["1 + 1"], "judges")
    assert execution.key(["1 + 1"], "judges") == before
    assert execution.key(["1 + 2"], "judges") != before
    assert execution.key(["1 + 1"], "other judges") != before
    monkeypatch.setattr(execution.importlib.metadata, "version", lambda name: "99")
    assert execution.key(["1 + 1"], "judges") != before


def test_a_changed_helper_changes_the_key(tmp_path, monkeypatch):
    (tmp_path / "labs_utils" / "authoring").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    for name in ("labs_utils/views.py", "labs_utils/authoring/notebooks.py", "data/catalog.toml"):
        (tmp_path / name).write_text("1")
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy>=2"]\n')
    for name in ("kernel.py", "twins.py", "bars.py"):
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(execution, "ROOT", tmp_path)
    monkeypatch.setattr(execution, "KERNEL", tmp_path / "kernel.py")
    keys = [execution.key([])]
    for name in ("labs_utils/views.py", "data/catalog.toml", "twins.py", "bars.py"):
        (tmp_path / name).write_text("2")
        keys.append(execution.key([]))
    assert len(set(keys)) == 5
    (tmp_path / "labs_utils/authoring/notebooks.py").write_text("2")
    assert execution.key([]) == keys[-1], "how notebooks are made changes nothing that a cell shows"


def test_prose_and_the_colab_cell_are_no_part_of_the_key(tmp_path):
    chapter = chapters()["04"]
    cells = execution.code_cells(convert(chapter, Addresses())[1])
    assert execution.code_cells(convert(chapter, SOME)[1]) == cells
    folder = tmp_path / chapter.stem
    folder.mkdir()
    for path in chapter.folder.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    lesson = folder / "lesson.py"
    lesson.write_text(lesson.read_text(encoding="utf-8").replace("# # 04 Tokenizers", "# # 04 Words", 1), "utf-8")
    other = dataclasses.replace(chapter, folder=folder)
    assert execution.key_of(other, execution.code_cells(convert(other)[1])) == execution.key_of(chapter, cells)


def test_what_was_kept_is_found_under_its_key_only(kept):
    execution.keep("04_tokenizers", "key", [[{"output_type": "stream", "name": "stdout", "text": "hi"}]])
    assert execution.kept("04_tokenizers", "key")[0][0]["text"] == "hi"
    assert execution.kept("04_tokenizers", "another key") is None
    assert execution.kept("05_models", "key") is None


def test_a_damaged_record_is_none(kept):
    kept.mkdir()
    (kept / "04_tokenizers.json").write_text('{"key": "k", "outp')
    assert execution.kept("04_tokenizers", "k") is None


def test_a_run_keeps_what_it_showed(kept):
    shown = execution.run("small", "k", ["import os\nos.environ['OMP_NUM_THREADS']", "print('hi')"])
    assert [one[0].get("text") or one[0]["data"]["text/plain"] for one in shown] == ["'1'", "hi\n"]
    assert execution.kept("small", "k") == shown


def test_a_failing_cell_is_named_with_its_traceback_and_nothing_is_kept(kept):
    with pytest.raises(WorkbookError) as caught:
        execution.run("small", "k", ["number = 1", "number / 0"])
    assert "code cell 2 of 2" in str(caught.value)
    assert "number / 0" in str(caught.value) and "ZeroDivisionError" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert execution.kept("small", "k") is None


RECORDER = """
import pathlib
import book.execution as execution
here = pathlib.Path(__file__).parent
execution.KEPT, execution.SOLVED = here / "kept", here / "solutions"
execution._surroundings = lambda: []
pytest_plugins = ["book.recording"]
"""


LIVE = """
from IPython.display import clear_output
print("is cleared")
clear_output()
shown = display("the first state", display_id=True)
print("a", end=" ", flush=True)
print("b")
shown.update("the last state")
from tqdm.auto import tqdm
for _ in tqdm(range(2)):
    pass
"""


def write_notebook(path, cells: list[tuple[str, list[str]]]) -> None:
    written = [
        {"cell_type": "code", "source": source, "metadata": {"tags": tags}, "outputs": [], "execution_count": None}
        for source, tags in cells
    ]
    path.write_text(json.dumps({"cells": written, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))


def test_the_tests_record_a_solved_notebook_that_passes_and_no_other(tmp_path, monkeypatch):
    """The plugin of conftest.py: a notebook with a cell for Colab passes whole, another fails in its last cell."""
    cells = [("import os", ["colab"]), ("import os; print(os.environ['TQDM_DISABLE'])", []), (LIVE, [])]
    monkeypatch.setattr(execution, "_surroundings", list)
    (tmp_path / "solutions").mkdir()
    write_notebook(tmp_path / "solutions" / "00_start_here.ipynb", [*cells, ("print('two')", [])])
    write_notebook(tmp_path / "solutions" / "01_architectures.ipynb", [("print('one')", []), ("1 / 0", [])])
    (tmp_path / "conftest.py").write_text(RECORDER)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    environment = os.environ | {"PYTHONPATH": str(execution.ROOT)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    ran = subprocess.run(
        [*command, "-p", "no:randomly", str(tmp_path)], cwd=tmp_path, env=environment, text=True, capture_output=True
    )
    assert [one.name for one in (tmp_path / "kept").iterdir()] == ["00_start_here.json"], ran.stdout[-2000:]
    record = json.loads((tmp_path / "kept" / "00_start_here.json").read_text())
    assert record["key"] == execution.key_of(chapters()["00"], [cells[1][0], LIVE, "print('two')"])
    first, live, second = record["outputs"]
    assert (first[0]["text"], second[0]["text"]) == ("1\n", "two\n")
    assert live[0]["data"]["text/plain"] == "'the last state'" and live[1]["text"] == "a b\n"
    assert 'max="2" value="2"' in live[2]["data"]["text/html"] and len(live) == 3, "the cell's own bar, as it ended"
