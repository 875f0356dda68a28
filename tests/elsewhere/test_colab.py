"""Chapters opened in Colab's conditions, without Colab: its packages, its marker module, an empty folder, one cell.

What it can't show: Colab's Python, its CUDA build of PyTorch, its own frontend.
"""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from labs_utils.authoring.addresses import Addresses
from labs_utils.authoring.notebooks import convert
from labs_utils.chapters import chapter
from labs_utils.paths import ROOT
from tests.elsewhere.environments import asked_for, fresh, outside

pytestmark = asked_for
HERE, PUBLISHED = Path(__file__).parent, "https://github.com/example/workbook"
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=1200, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """An environment with Colab's packages, in which `google.colab` is there from the start."""
    folder = tmp_path_factory.mktemp("colab")
    own = fresh(folder)
    subprocess.run([own, "-m", "pip", "install", "--quiet", "-r", str(HERE / "colab_packages.txt")], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "google" / "colab").mkdir(parents=True)
    (packages / "google" / "colab" / "__init__.py").touch()
    (packages / "sitecustomize.py").write_text("import google.colab\n")
    return own


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """This commit served by git on loopback, in the place of the address that the notebooks know."""
    folder = tmp_path_factory.mktemp("published")
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(folder / "workbook")], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}", "--export-all", "--reuseaddr"]
    server = subprocess.Popen(["git", "daemon", *options], start_new_session=True)
    time.sleep(1)
    yield {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.git://127.0.0.1:{port}/workbook.insteadOf",
        "GIT_CONFIG_VALUE_0": PUBLISHED,
    }
    os.killpg(server.pid, 15)
    server.wait()


@pytest.fixture(scope="module")
def machine(python, published, tmp_path_factory):
    """What a notebook needs to run there: the folder it finds empty, and the environment."""
    content = tmp_path_factory.mktemp("content")
    branch = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--abbrev-ref", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return python, content, branch, outside(python, **published)


def opened(machine, number: str) -> dict:
    """A chapter's student notebook as Colab would open it, with its clone below the folder that was empty."""
    _, content, branch, _ = machine
    student, _ = convert(chapter(number), Addresses(PUBLISHED, branch))
    return json.loads(student.replace("/content/workbook", str(content / "workbook")))


def executed(machine, notebook: dict, name: str) -> list[str]:
    """What each code cell printed, or raised, in a new kernel."""
    python, content, _, variables = machine
    path = content / f"{name}.ipynb"
    path.write_text(json.dumps(notebook))
    subprocess.run([python, "-c", EXECUTE, str(path)], cwd=content, env=variables, check=True)
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    # A stream's text is a list of lines in the file, an error's value one string.
    return ["".join("".join(out.get("text", out.get("evalue", ""))) for out in cell["outputs"]) for cell in cells]


def around_the_first_cell(machine, before: str, after: str) -> dict:
    """A notebook of three cells, of which the second is the one for Colab."""
    notebook = opened(machine, "00")
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    own = {"cell_type": "code", "execution_count": None, "outputs": []}
    notebook["cells"] = [
        own | {"id": "before", "source": before, "metadata": {}},
        cell | {"metadata": {"tags": ["raises-exception"]}},
        own | {"id": "after", "source": after, "metadata": {}},
    ]
    return notebook


@pytest.fixture(scope="module")
def first_day(machine) -> list[str]:
    """What the first chapter printed that was opened there: it cloned, installed and fetched, and went on."""
    return executed(machine, opened(machine, "00"), "00")


def test_a_chapter_starts_by_itself_and_keeps_what_colab_has(machine, first_day):
    assert "its packages are installed" in first_day[0]
    freeze = [machine[0], "-m", "pip", "freeze"]
    versions = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout.splitlines()
    kept = ("torch==2.13.0", "pandas==2.2.3", "numpy==2.1.3", "ipywidgets==7.7.1", "ipykernel==6.17.1")
    assert {line.partition("+")[0] for line in versions} >= set(kept)


def test_a_second_chapter_runs_in_the_same_place(machine, first_day):
    assert "its packages are installed" in executed(machine, opened(machine, "04"), "04")[0]


def test_a_second_run_takes_under_two_seconds(machine, first_day):
    notebook = around_the_first_cell(
        machine, "import time; begun = time.monotonic()", "print(time.monotonic() - begun)"
    )
    _, said, seconds = executed(machine, notebook, "again")
    assert "nothing is missing" in said and float(seconds) < 2


def test_a_kernel_that_imported_an_old_library_is_told_to_restart(machine, first_day):
    """As if the library had been imported before the workbook was ever installed; the kernel after that may go on."""
    python, content, _, variables = machine
    old = [python, "-m", "pip", "install", "--quiet", "--no-deps", "starlette==0.52.1"]
    subprocess.run(old, env=variables, check=True)
    (content / "workbook" / ".git" / "prepared.json").unlink()
    _, said, _ = executed(machine, around_the_first_cell(machine, "import starlette", ""), "old")
    assert "starlette 0.52.1" in said and "Restart session" in said
    _, said, _ = executed(machine, around_the_first_cell(machine, "import starlette", ""), "new")
    assert "nothing is missing" in said
