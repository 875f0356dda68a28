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
    marker = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
    (packages / "sitecustomize.py").write_text(marker)
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


@pytest.mark.parametrize("number", ["00", "04"])
def test_a_chapter_starts_by_itself(machine, number):
    python, content, branch, variables = machine
    student, _ = convert(chapter(number), Addresses(PUBLISHED, branch))
    path = content / f"{number}.ipynb"
    path.write_text(student.replace("/content/workbook", str(content / "workbook")))
    subprocess.run([python, "-c", EXECUTE, str(path)], cwd=content, env=variables, check=True)
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    said = "".join(line for output in cells[0]["outputs"] for line in output.get("text", []))
    assert "its packages are installed" in said
    versions = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    kept = ("torch==2.13.0", "pandas==2.2.3", "numpy==2.1.3", "ipywidgets==7.7.1", "ipykernel==6.17.1")
    assert all(line in versions for line in kept)
