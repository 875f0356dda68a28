"""Grading a class: thirty students hand in chapter 04, and two cores judge it."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil

from data.recipes.results import Row
from labs_utils.chapters import chapter
from labs_utils.classroom import course as classes
from labs_utils.classroom import submissions
from labs_utils.paths import ROOT

STUDENTS = 30
_EVERY = 0.5  # seconds between two looks at the processes
_GRADE = "import sys; from pathlib import Path; from labs_utils.classroom import course\n"
_GRADE += "from labs_utils.classroom.grading import grading\n"
_GRADE += "if __name__ == '__main__': grading.grade(course.read(Path(sys.argv[1])))"


def rows() -> Iterator[Row]:
    """Seconds and memory until thirty solved notebooks are judged in the sandbox, and the marks that they got."""
    with tempfile.TemporaryDirectory() as folder:
        course = a_class(Path(folder))
        began = time.perf_counter()
        most = peak([sys.executable, "-c", _GRADE, str(course.folder)])
        yield Row(f"`labs class grade`, {STUDENTS} × chapter 04, two cores", time.perf_counter() - began, "s", 300)
        yield Row("its processes at most, the sandboxes' included", most, "GiB", 4)
        results = [json.loads(path.read_text()) for path in (course.folder / "results").rglob("*.json")]
        marks = [one["status"] == "passed" for result in results for one in result["exercises"].values()]
        full = STUDENTS * len(chapter("04").table("exercises"))
        yield Row("solved exercises that got their mark", 100 * sum(marks) / full, "%", 100, at_least=True)


def a_class(folder: Path) -> classes.Course:
    """A class of thirty, who all solved chapter 04; no two files are equal."""
    ids = [f"s{number:02}" for number in range(1, STUDENTS + 1)]
    roster = folder / "roster.csv"
    roster.write_text("\n".join(["id,name,email", *(f"{id},Student {id},{id}@school.example" for id in ids)]))
    course = classes.new(folder / "class", roster, ["04"])
    solved = json.loads((ROOT / "solutions" / f"{chapter('04').stem}.ipynb").read_text(encoding="utf-8"))
    for id in ids:
        content = json.dumps(solved | {"metadata": solved["metadata"] | {"student": id}}).encode()
        submissions.keep(course, id, "04", content, datetime.now(UTC), "file", "04_tokenizers.ipynb")
    return course


def peak(words: list[str]) -> float:
    """Run a command on two cores; the most GiB that it and all below it held at one time, shared pages counted once."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    process = subprocess.Popen(words, cwd=ROOT, preexec_fn=lambda: os.sched_setaffinity(0, cores))
    most = 0
    while process.poll() is None:
        held = 0
        with contextlib.suppress(psutil.Error):
            for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                with contextlib.suppress(psutil.Error, OSError):
                    held += one.memory_full_info().pss
        most = max(most, held)
        time.sleep(_EVERY)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return most / 2**30
