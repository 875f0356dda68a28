"""The sandbox that a student's code runs in: bubblewrap, and limits.

What the code inside can reach: Python and its packages, the helper package, the data of the course and the fetched
models, all read-only, and an empty folder in memory. What it can't: the network, the teacher's files, other students'
work, solutions, lessons, judges, tests, the repository's history, other processes, more memory and processes than it
is given. It is bubblewrap (https://github.com/containers/bubblewrap), which Flatpak is built on: our own code decides
only what is shown.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil

from labs_utils.chapters import chapters
from labs_utils.paths import ROOT, cache

MEMORY = 6 * 2**30  # bytes that one process may ask for
PROCESSES = 64
ROOM = 512 * 2**20  # bytes of files, all in memory
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs")
_INSIDE = "/tmp/home"


def refusal() -> str:
    """Why there can be no sandbox on this machine, and what to do; "" if there can.

    Some systems have no bubblewrap, and some refuse it to ordinary users.
    """
    if sys.platform != "linux":
        return "The sandbox needs Linux: grade on a Linux machine, in a virtual one, or in WSL 2."
    if shutil.which("bwrap") is None:
        return "The sandbox needs bubblewrap: install the package `bubblewrap` (`apt install bubblewrap`)."
    ended = subprocess.run(command(["-c", ""]), capture_output=True, text=True)
    if ended.returncode == 0:
        return ""
    why = ended.stderr.strip()[:200]
    if "Unknown option" in why:
        return f"bubblewrap is too old here ({why}): 0.8 or a newer one is needed."
    return (
        f"bubblewrap can't start here: {why}. Most likely the system forbids user namespaces: allow them (on Ubuntu an "
        "AppArmor profile for /usr/bin/bwrap), or grade in a virtual machine that is used for nothing else."
    )


def command(arguments: list[str]) -> list[str]:
    """The command that runs this Python with `arguments` inside the sandbox."""
    inside = [*_namespaces(), *_read_only(), *_closed(), *_environment()]
    # The first process inside is bubblewrap's own, and its environment can be read there: it gets an empty one.
    bubblewrap = ["env", "-i", shutil.which("bwrap") or "bwrap"]
    return [*bubblewrap, *inside, "--chdir", _INSIDE, sys.executable, *arguments]


def without(arguments: list[str]) -> list[str]:
    """The command for `--no-sandbox`: this Python as it is, with all that the teacher may do."""
    return [sys.executable, *arguments]


def _namespaces() -> list[str]:
    return [
        "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv",
        "--cap-drop", "ALL",
        "--proc", "/proc", "--dev", "/dev", "--size", str(ROOM), "--tmpfs", "/tmp",
        "--size", str(ROOM), "--tmpfs", "/dev/shm", "--dir", _INSIDE,
    ]  # fmt: skip


def _read_only() -> list[str]:
    """What is shown: the system, Python, and of the course only what a notebook needs."""
    real = Path(sys.executable).resolve().parents[1]
    pythons = {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), str(real)}
    shown = [*_SYSTEM, *_SETTINGS, *sorted(one for one in pythons if not one.startswith("/usr"))]
    shown += [str(ROOT / name) for name in ("labs_utils", "data/catalog.toml", "data/datasets", "data/models")]
    shown += [str(ROOT / "pyproject.toml")]
    for one in chapters().values():
        shown += [str(one.folder / name) for name in ("chapter.toml", "exercises.toml", "quiz.toml")]
    binds = [["--ro-bind-try", one, one] for one in shown]
    # The models that were fetched or put together already, at the place where the code inside looks for them.
    binds.append(["--ro-bind-try", str(cache() / "checkpoints"), f"{_INSIDE}/cache/checkpoints"])
    return [word for bind in binds for word in bind]


def _closed() -> list[str]:
    """Nothing can be written but in /tmp and /dev/shm: `/` and `/dev` are memory without a limit, and where the teacher
    is root, the settings of the whole machine below /proc/sys are theirs."""
    return [word for one in ("/dev", "/proc", "/") for word in ("--remount-ro", one)]


def _environment() -> list[str]:
    own = {
        "PATH": os.defpath, "HOME": _INSIDE, "TMPDIR": "/tmp", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1", "LABS_HOME": _INSIDE, "USER": "learner", "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1",
    }  # fmt: skip
    return [word for name, value in own.items() for word in ("--setenv", name, value)]


def limit() -> None:
    """Set the limits of the process that is about to become the sandbox; everything in it inherits them."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    with contextlib.suppress(OSError):  # should memory run out all the same, the kernel ends this first
        Path("/proc/self/oom_score_adj").write_text("1000")


def trouble(process: subprocess.Popen) -> str:
    """A sentence when the sandbox holds too many processes or too much memory in sum; else "".

    RLIMIT_NPROC does not bind root, and RLIMIT_DATA binds each process alone: so they are counted from outside.
    """
    try:
        inside = psutil.Process(process.pid).children(recursive=True)
        if len(inside) > PROCESSES:
            return f"Your code started more than {PROCESSES} processes, and was stopped"
        used = sum(one.memory_info().rss for one in inside)
        return "Your code used more memory than there is for it, and was stopped" if used > MEMORY else ""
    except psutil.Error:
        return ""
