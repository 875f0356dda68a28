"""Where the course is published is written in one place; where it is not, nothing is drawn that would need it."""

import json
import os
import subprocess
import sys
import types

import pytest

from labs_utils import colab
from labs_utils.authoring import addresses as module
from labs_utils.authoring.addresses import Addresses, addresses
from labs_utils.authoring.notebooks import convert
from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT

NAMES = ("LABS_REPOSITORY", "LABS_PAGES", "LABS_JUPYTERLAB")
WHOLE = Addresses("https://github.com/someone/workbook", "v1", "https://someone.example", "https://lab.example")


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path / "pyproject.toml"


def cells(known: Addresses) -> list[dict]:
    return json.loads(convert(chapters()["04"], known)[0])["cells"]


def test_without_addresses_there_is_no_link_and_no_cell_for_colab():
    first, second, *_ = cells(Addresses())
    assert "http" not in "".join(first["source"])
    assert "".join(second["source"]) == 'import labs_utils as lab\nlab.start("04")'


def test_with_addresses_there_are_links_and_one_folded_cell():
    first, second, third, *_ = cells(WHOLE)
    row = "".join(first["source"]).splitlines()[2]
    assert row.count("](https://") == 4 and "/v1/" in row and "https://someone.example/04_tokenizers.html" in row
    assert second["metadata"]["jupyter"] == {"source_hidden": True} and second["metadata"]["cellView"] == "form"
    assert "".join(third["source"]) == 'import labs_utils as lab\nlab.start("04")'
    assert sum("google.colab" in "".join(cell["source"]) for cell in cells(WHOLE)) == 1


def test_only_what_is_set_is_drawn():
    first, second, *_ = cells(Addresses(pages="https://someone.example"))
    assert "Read the page" in "".join(first["source"]) and "Colab" not in "".join(first["source"])
    assert "google.colab" not in "".join(second["source"])


def test_a_project_names_its_addresses_and_the_branch(project):
    project.write_text(
        '[project]\n[project.urls]\nRepository = "https://github.com/a/b.git#v2"\nPages = "https://a.example/"\n'
    )
    assert addresses() == Addresses("https://github.com/a/b", "v2", "https://a.example", "")
    project.write_text("[project]\n")
    assert addresses() == Addresses()


def test_the_environment_overrides_and_takes_away(project, monkeypatch):
    project.write_text('[project]\n[project.urls]\nRepository = "https://github.com/a/b"\n')
    monkeypatch.setenv("LABS_JUPYTERLAB", "http://10.0.0.5:8888")
    assert addresses() == Addresses("https://github.com/a/b", "main", "", "http://10.0.0.5:8888")
    monkeypatch.setenv("LABS_REPOSITORY", "")
    assert addresses().repository == ""


def test_an_address_that_is_none_is_refused(project, monkeypatch):
    project.write_text("[project]\n")
    monkeypatch.setenv("LABS_PAGES", "someone.example")
    with pytest.raises(WorkbookError, match="begin with https://"):
        addresses()


def test_no_other_file_holds_the_address():
    """A fork changes one line. What is built from it (notebooks/, solutions/) holds it, of course."""
    known = addresses()
    for address in filter(None, (known.repository, known.pages)):
        command = ["git", "grep", "-lF", address, "--", ".", ":!notebooks", ":!solutions", ":!pyproject.toml"]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize("on_colab", [True, False])
def test_the_cell_for_colab_clones_once_and_prepares_on_colab_only(monkeypatch, tmp_path, on_colab):
    """With a stand-in for Colab's module, and a note instead of each step."""
    source = "".join(cells(WHOLE)[1]["source"]).replace("/content", str(tmp_path))
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    steps = []

    def run(command, check):
        steps.append(command)
        os.mkdir(command[-1])

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(colab, "prepare", lambda number, ref: steps.append((number, ref)))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for _ in range(2):
        exec(source, {})
    if on_colab:
        clone, *prepared = steps
        assert clone[:2] == ["git", "clone"] and "--branch=v1" in clone and WHOLE.repository in clone
        assert prepared == [("04", "v1"), ("04", "v1")]
        assert str(tmp_path / "workbook") in sys.path
    else:
        assert steps == [] and str(tmp_path / "workbook") not in sys.path
