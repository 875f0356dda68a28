"""Chapter 09 with one word changed: all of it runs in Chinese, on the multilingual encoder, and finds complaints."""

import nbformat
import pytest
from nbclient import NotebookClient

from labs_utils.authoring.notebooks import convert
from labs_utils.chapters import chapters
from labs_utils.materials import catalog, fetching

ROLE = "multilingual-encoder"
here = fetching.is_fetched(ROLE, catalog.entries()["models"][ROLE])


@pytest.mark.skipif(not here, reason=f"`labs fetch {ROLE}` has not run here")
def test_the_training_loop_runs_in_chinese(monkeypatch, tmp_path):
    monkeypatch.setenv("LABS_LANGUAGE", "zh")
    monkeypatch.setenv("LABS_STRICT", "1")
    notebook = nbformat.reads(convert(chapters()["09"])[1], as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(str(output.get("text", "")) for cell in notebook.cells for output in cell.get("outputs", []))
    assert "118 million numbers learn" in printed and "我觉得这家酒店不错，饭很好吃！" in printed
