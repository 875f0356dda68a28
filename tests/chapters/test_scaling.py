"""Chapter 14's own way to start processes: whatever happens in them, none stays behind."""

import psutil
import pytest

from tests.support.sources import SOURCES, cells


@pytest.fixture(scope="module")
def lesson() -> dict:
    """The names of the cells that define `launch` and the ways to start."""
    code = [cell.source for cell in cells(SOURCES["14"]) if cell.cell_type == "code"]
    names: dict = {}
    for mark in ("import psutil", "FILE = ", "def launch(", "TORCHRUN = "):
        exec(next(source for source in code if mark in source), names)
    return names


def answers(rank: int, world: int) -> list[int]:
    return [rank, world]


def fails(rank: int, world: int) -> None:
    raise ValueError(f"rank {rank} gave up")


def hangs(rank: int, world: int) -> None:
    time.sleep(600)  # noqa: F821  the file that the function is written into has it


def left_behind() -> list[str]:
    found = psutil.Process().children(recursive=True)
    return [" ".join(one.cmdline()) for one in found if "experiments.py" in one.cmdline()]


def test_two_processes_answer_and_end(lesson):
    assert [one["answers"] for one in lesson["launch"](lesson["TORCHRUN"], answers)] == [[0, 2], [1, 2]]
    assert left_behind() == []


def test_a_failure_is_told_in_its_last_words_and_leaves_nothing(lesson):
    with pytest.raises(RuntimeError, match="gave up"):
        lesson["launch"](lesson["TORCHRUN"], fails)
    assert left_behind() == []


def test_processes_that_hang_are_ended(lesson):
    with pytest.raises(RuntimeError, match="not done after 15 s"):
        lesson["launch"](lesson["TORCHRUN"], hangs, seconds=15)
    assert left_behind() == []
