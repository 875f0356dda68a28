"""Starting the workbook, and running every notebook through nbval, one after another."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from data.recipes.results import Row
from labs_utils.chapters import chapters
from labs_utils.paths import ROOT


def rows() -> Iterator[Row]:
    """Import and start-up medians of seven; wall time and peak memory per notebook; nbval's overhead on one of them."""
    yield Row("`import labs_utils`", _python("import labs_utils"), "s", 0.3)
    yield Row(
        "`lab.start()` after torch is imported",
        _python("import labs_utils as lab", "import torch", 'lab.start("04")'),
        "s",
        0.5,
    )
    for folder in ("solutions", "notebooks"):
        for one in chapters().values():
            yield from _notebook(folder, one.number, one.stem)


def _notebook(folder: str, number: str, stem: str) -> Iterator[Row]:
    """Time and memory of one notebook; for one of them also how much longer nbval takes than a plain process."""
    path = str(ROOT / folder / f"{stem}.ipynb")
    nbval, memory = _run([sys.executable, "-m", "pytest", "-p", "no:xdist", "-o", "addopts=", *_NBVAL, path], folder)
    yield Row(f"{folder}/{stem}: nbval", nbval, "s", _BOUNDS.get(number, 40))
    yield Row(f"{folder}/{stem}: peak memory of its kernel", memory, "GB", 2)
    if (folder, number) == ("solutions", "00"):
        plain, _ = _run([sys.executable, "-c", _PLAIN, path], folder)
        yield Row(f"{folder}/{stem}: nbval over the cells as a script", nbval / plain, "×", 1.3)


_BOUNDS = {"09": 60, "10": 60, "11": 60}  # seconds; chapters that train a model in earnest may take longer
_NBVAL = ["-q", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]

# The cells of a notebook in one process with IPython but no kernel; matplotlib draws to no window.
_PLAIN = """
import sys, nbformat
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in nbformat.read(sys.argv[1], as_version=4).cells:
    if cell.cell_type == "code":
        shell.run_cell(cell.source).raise_error()
"""


def _python(setup: str, *steps: str) -> float:
    """The median wall time of the last step in seven new processes."""
    *before, last = (setup, *steps)
    code = "; ".join([*before, "import time; begin = time.perf_counter()", last, "print(time.perf_counter() - begin)"])
    times = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(7)]
    return statistics.median(float(done.stdout.split()[-1]) for done in times)


def _run(command: list[str], folder: str) -> tuple[float, float]:
    """Wall seconds and the peak resident gigabytes of the largest process."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"LABS_HOME": home, "MPLBACKEND": "agg"}
        environment["LABS_STRICT"] = str(int(folder == "solutions"))
        probe = [sys.executable, "-c", _PROBE, *command]
        begin = time.perf_counter()
        done = subprocess.run(probe, capture_output=True, text=True, env=environment, cwd=ROOT)
        wall = time.perf_counter() - begin
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[-2:])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return wall, float(done.stderr.split()[-1]) / 2**20


_PROBE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
