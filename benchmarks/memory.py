"""What each student notebook takes of Binder's 2 GB: its kernel, the kernel's children, and JupyterLab's server."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from data.recipes.results import Row
from labs_utils.chapters import Chapter, chapters
from labs_utils.paths import ROOT, cache

BINDER = 2  # GiB: where Binder ends a container
_EVERY = 0.05  # seconds between two looks at the processes
_SERVER = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]


def rows() -> Iterator[Row]:
    """The server at rest, then for each chapter the most that was resident at one time, the server's share included."""
    server = _server()
    yield Row("JupyterLab's server at rest", server, "GiB")
    for chapter in chapters().values():
        yield Row(chapter.stem, server + _peak(chapter), "GiB", BINDER)


def _server() -> float:
    with _home() as environment, subprocess.Popen(_SERVER, stderr=subprocess.PIPE, text=True, env=environment) as lab:
        try:
            next(line for line in lab.stderr if "http://127.0.0.1" in line)  # it says its address when it is ready
            return psutil.Process(lab.pid).memory_info().rss / 2**30
        finally:
            lab.kill()


def _peak(chapter: Chapter) -> float:
    """Run the student notebook, and look at its kernel and the kernel's children again and again."""
    path = ROOT / "notebooks" / f"{chapter.stem}.ipynb"
    command = [sys.executable, "-m", "jupyter", "execute", "--timeout=1800", str(path)]
    with _home() as environment, tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=said)
        client, peak = psutil.Process(running.pid), 0.0
        while running.poll() is None:
            peak = max(peak, sum(_resident(kernel) for kernel in client.children()))
            time.sleep(_EVERY)
        if running.returncode:
            said.seek(0)
            raise RuntimeError(f"{path.name} failed:\n{said.read()[-2000:]}")
    return peak


def _resident(kernel: psutil.Process) -> float:
    """Gibibytes that a kernel has in memory, and that its children have for themselves: a page that they share with it
    counts once. A process that has ended meanwhile has none."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        total += kernel.memory_info().rss
        for child in kernel.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += child.memory_full_info().uss
    return total / 2**30


@contextlib.contextmanager
def _home() -> Iterator[dict[str, str]]:
    """The environment of a run: a throw-away LABS_HOME that links to what `labs fetch` has brought."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        links = Path(home, "cache", "checkpoints")
        links.mkdir(parents=True)
        for licence in (cache() / "checkpoints").glob("*/LICENCE.txt"):  # fetched, not made of files of this repository
            (links / licence.parent.name).symlink_to(licence.parent)
        yield os.environ | {"LABS_HOME": home, "MPLBACKEND": "agg", "LABS_STRICT": "0"}
