"""The first cell on Colab: what it installs and fetches, when it does nothing, and when it stops."""

import json
import subprocess
import sys
import types

import pytest
from packaging.requirements import Requirement

from labs_utils import colab
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT


@pytest.fixture
def clone(tmp_path):
    """A clone as the first cell finds it: a catalog, two chapters, git's folder."""
    for name, lesson in {"08_plain": "x = 1", "12_talk": 'lab.checkpoint("llm")', "09_zh": '"zh-sentiment"'}.items():
        (tmp_path / "chapters" / name).mkdir(parents=True)
        (tmp_path / "chapters" / name / "lesson.py").write_text(lesson)
    (tmp_path / ".git").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.toml").write_text((ROOT / "data" / "catalog.toml").read_text(encoding="utf-8"))
    (tmp_path / "constraints.txt").write_text("torch==2.13.0\n")
    return tmp_path


@pytest.fixture
def commands(monkeypatch):
    """The commands that would have run."""
    seen = []
    monkeypatch.setattr(colab, "_run", lambda command, cwd=None: seen.append(command))
    return seen


def test_the_first_time_installs_and_fetches_and_the_second_time_does_nothing(clone, commands):
    colab.prepare("12", "v1", clone)
    assert [command[2] for command in commands] == ["pip", "labs_utils.cli"] and commands[1][-1] == "llm"
    commands.clear()
    colab.prepare("12", "v1", clone)
    assert commands == []


def test_a_second_chapter_fetches_only_what_is_missing(clone, commands):
    colab.prepare("12", "v1", clone)
    commands.clear()
    colab.prepare("08", "v1", clone)
    assert commands == []
    colab.prepare("09", "v1", clone)
    assert [command[3:] for command in commands] == [["fetch", "multilingual-encoder"]]  # the adapter's base


def test_another_release_is_brought_and_installed(clone, commands):
    colab.prepare("08", "v1", clone)
    commands.clear()
    colab.prepare("08", "v2", clone)
    assert [command[3] if command[0] == "git" else command[2] for command in commands] == ["fetch", "checkout", "pip"]
    assert commands[0][-1] == "v2"


def test_what_failed_is_tried_again(clone, monkeypatch):
    def fails(command, cwd=None):
        raise WorkbookError("no network")

    monkeypatch.setattr(colab, "_run", fails)
    with pytest.raises(WorkbookError, match="no network"):
        colab.prepare("08", "v1", clone)
    assert not (clone / ".git" / "prepared.json").exists()


def test_a_kernel_that_has_an_old_library_is_told_to_restart_until_it_did(clone, commands, monkeypatch):
    old = types.ModuleType("somelib")
    old.__version__ = "1.0"
    monkeypatch.setitem(sys.modules, "somelib", old)
    monkeypatch.setattr(colab, "_replaced", lambda before: {"somelib": "1.0"})
    for _ in range(2):
        with pytest.raises(WorkbookError, match="somelib 1.0 .*Restart session"):
            colab.prepare("08", "v1", clone)
    monkeypatch.delitem(sys.modules, "somelib")
    colab.prepare("08", "v1", clone)


def test_pip_takes_the_fences_and_keeps_what_is_here():
    """Colab's PyTorch has a local version, +cu128, which pip refuses beside `<=`."""
    here = {"torch": "2.14.0+cu128", "pandas": "2.2.3"}
    for line in colab.fences("torch==2.13.0\npandas==3.1.1", here).splitlines():
        requirement = Requirement(line)  # InvalidRequirement where pip would refuse the line
        assert requirement.specifier.contains(here[requirement.name])


def test_a_command_that_fails_is_told_with_its_last_lines():
    with pytest.raises(WorkbookError, match=r"status 3(.|\n)*last words"):
        colab._run([sys.executable, "-c", "import sys; sys.stderr.write('first\\nlast words'); sys.exit(3)"])


def test_the_module_runs_with_nothing_of_the_workbook_installed(clone):
    """It is imported before pip has run: no third-party import at its top."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); import labs_utils.colab;"
        "import json; print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-c", script, str(ROOT)], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(json.loads(ended.stdout)) <= set(sys.stdlib_module_names) | {"labs_utils"}
