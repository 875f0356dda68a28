"""`make test-twice`: every cell of the notebooks run twice in a row in one kernel, as a learner runs them.

    python -m tests.chapters.run_twice           every chapter, student and solved notebook
    python -m tests.chapters.run_twice 04 09     these

A cell tagged `slow` runs once. It says which cells fail, at which run, and goes on; the exit status is 1 if any does.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from conftest import _HOME, share_fetched_models
from labs_utils.authoring.notebooks import convert
from labs_utils.chapters import chapters
from labs_utils.paths import cache

MOST_SECONDS = 600  # for one run of one cell


@dataclass(frozen=True)
class Fault:
    """A cell that failed: its place in the notebook, whether at its first or second run, its source and the error."""

    place: int
    time: int
    source: str
    error: str

    def __str__(self) -> str:
        first = next((line for line in self.source.splitlines() if line.strip()), "")
        return f"cell {self.place}, run {self.time}: {self.error}\n    {first}"


def run_twice(notebook, folder: str) -> Iterator[Fault]:
    """Run every code cell twice in a row in one kernel, those tagged `slow` once; yield each failure and go on."""
    client = NotebookClient(notebook, timeout=MOST_SECONDS, resources={"metadata": {"path": folder}})
    with client.setup_kernel():
        for place, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            for time_of_running in (1,) if "slow" in cell.metadata.get("tags", []) else (1, 2):
                try:
                    client.execute_cell(cell, place)
                except CellExecutionError as failure:
                    yield Fault(place, time_of_running, cell.source, f"{failure.ename}: {failure.evalue}".strip())
                    break


def editions(number: str) -> dict[str, str]:
    """The text of a chapter's student and solved notebook by the value that LABS_STRICT has in each."""
    return dict(zip("01", convert(chapters()[number]), strict=True))


def main(numbers: list[str]) -> int:
    """Run the chapters with these numbers, or all; report as it goes, and return how many cells failed."""
    failed = 0
    for number in numbers or list(chapters()):
        for strict, text in editions(number).items():
            os.environ["LABS_STRICT"] = strict
            begin = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                faults = list(run_twice(nbformat.reads(text, as_version=4), folder))
            edition = "solved" if strict == "1" else "student"
            seconds = time.monotonic() - begin
            print(
                f"{number} {edition}: {len(faults)} cells fail, {seconds:.0f} seconds", *faults, sep="\n  ", flush=True
            )
            failed += len(faults)
    return failed


if __name__ == "__main__":
    share_fetched_models(cache() / "checkpoints")
    os.environ["LABS_HOME"] = _HOME.name  # what a learner made is left alone
    sys.exit(min(1, main(sys.argv[1:])))
