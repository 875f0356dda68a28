"""What the cells of a chapter showed when they last ran, kept beside a key of everything that it depends on.

A record is a JSON file: its key, and the outputs of each code cell of the solved notebook. The tests write it when a
solved notebook passes (see `recording`); `run` makes it where there is none under today's key.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from labs_utils.chapters import Chapter
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT, cache
from labs_utils.storage import replace_file

BUILD = ROOT / "book" / "_build"
KEPT = BUILD / "executed"
SOLVED = ROOT / "solutions"
KERNEL = Path(__file__).with_name("kernel.py")
SECONDS_A_CELL = 300
# What a kernel of the pages gets: no progress bars of libraries, and a start-up file that lets the cells' own bars
# stand as they ended, and gives pictures a text and widgets a twin.
ENVIRONMENT = {
    "PYTHONSTARTUP": str(KERNEL),
    "TQDM_DISABLE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def code_cells(notebook: str) -> list[str]:
    """The sources of a notebook's code cells, without the one that installs the workbook on Colab."""
    cells = json.loads(notebook)["cells"]
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and "colab" not in cell["metadata"].get("tags", [])
    ]


def key(cells: list[str], judges: str = "") -> str:
    """A sha256 of all that the outputs of `cells` come from: code, judges, helpers, data, versions.

    Prose, hints and the quiz are none of it: to change a sentence runs nothing again.
    """
    found = hashlib.sha256()
    for text in [*cells, judges, *_surroundings()]:
        found.update(text.encode() + b"\0")
    return found.hexdigest()


def key_of(chapter: Chapter, cells: list[str]) -> str:
    """The key of a chapter whose solved notebook has these code cells. A verdict names exercises, so titles count."""
    titles = [one["title"] for one in chapter.table("exercises").values()]
    return key([*cells, *titles], chapter.folder.joinpath("judges.py").read_text(encoding="utf-8"))


def _surroundings() -> list[str]:
    """What all chapters share: the helpers, the page's kernel, the catalogue of models and data, the versions."""
    helpers = [
        path
        for path in sorted((ROOT / "labs_utils").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and "authoring" not in path.parts
    ]
    kernels = [KERNEL, KERNEL.with_name("twins.py"), KERNEL.with_name("bars.py")]
    files = [*helpers, ROOT / "data" / "catalog.toml", *kernels]
    texts = [f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = sorted(re.match(r"[\w.-]+", line)[0] for line in project["dependencies"])
    return [*texts, *(f"{name} {importlib.metadata.version(name)}" for name in names), platform.python_version()]


def kept(name: str, under: str) -> list[list[dict]] | None:
    """What was recorded by this name (a chapter's stem), if it was under this key; else None."""
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
        if record["key"] == under:
            return record["outputs"]
    return None


def keep(name: str, under: str, outputs: list[list[dict]]) -> None:
    """Record what code cells showed, under the key that held before they ran: files may change meanwhile."""
    KEPT.mkdir(parents=True, exist_ok=True)
    replace_file(KEPT / f"{name}.json", json.dumps({"key": under, "outputs": outputs}, ensure_ascii=False))


def run(name: str, under: str, cells: list[str]) -> list[list[dict]]:
    """Run code cells in a kernel of their own, keep what they showed, and return it.

    Raises:
        WorkbookError: a cell failed; the message has its number, its source and its traceback.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    place = {"metadata": {"path": str(SOLVED)}}  # where a learner's kernel runs, too
    with _own_home() as environment:
        client = NotebookClient(notebook, timeout=SECONDS_A_CELL, kernel_name="python3", resources=place)
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            number = client.code_cells_executed
            said = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            raise WorkbookError(f"{name}: code cell {number} of {len(cells)} failed.\n\n{said}") from None
    outputs = [cell.outputs for cell in notebook.cells]
    keep(name, under, outputs)
    return outputs


@contextlib.contextmanager
def _own_home() -> Iterator[dict[str, str]]:
    """The environment of a run: a throw-away LABS_HOME that links to the models which `labs fetch` has brought."""
    with tempfile.TemporaryDirectory(prefix="labs-home-", ignore_cleanup_errors=True) as home:
        links = Path(home) / "cache" / "checkpoints"
        links.mkdir(parents=True)
        for folder in (cache() / "checkpoints").glob("*/"):
            if (folder / "LICENCE.txt").exists():  # fetched, not merged from files of this repository
                (links / folder.name).symlink_to(folder)
        own = {
            "LABS_HOME": home,
            "LABS_STRICT": "1",
            "LABS_MODE": "offline",
            "OMP_NUM_THREADS": "1",  # two threads that fight for busy cores are many times slower
            "PYTHONHASHSEED": "0",
            "HF_DATASETS_CACHE": f"{home}/datasets",
        }
        yield os.environ | ENVIRONMENT | own
