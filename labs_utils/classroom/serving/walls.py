"""The walls around a student's server: what it sees of the teacher's machine, and nothing else is there.

Inside, the file system is built up from nothing. It holds the system's programs, this Python, the course without its
solutions and tests, what the class was handed out, and one home. All of it but the home is read-only.
"""

import functools
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT

HOME, HANDOUT, MODELS = "/home/student", "/class/handout", "/class/models"
PROCESSES = 1000  # of one student; threads count as well, and a kernel with torch has some dozens
_TEMPORARY = 2 * 2**30  # bytes that /tmp may hold; they are memory
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/sys/devices/system/cpu")
# Of /etc, what programs ask for. It may hold secrets that the teacher can read, so it isn't shown whole.
_ETC = (
    "alternatives", "ca-certificates.conf", "fonts", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
    "mime.types", "nsswitch.conf", "pki", "resolv.conf", "ssl",
)  # fmt: skip
_COURSE = ("data", "labs_utils", "pyproject.toml")
_HIDDEN = ("lesson.py", "answers.py")  # of a chapter: the solutions, and what the tests feed the judges


def walls(home: Path, users: Path, handout: Path, models: Iterable[Path] = ()) -> list[str]:
    """The words in front of a command that shut it in, with `home` as its own folder, `HOME`.

    Args:
        home: the student's folder: the one place that the command can write to, and that is kept.
        users: a file in the form of /etc/passwd, with the one user that there is inside.
        handout: what the class was handed out, seen at `HANDOUT`.
        models: folders that are seen below `MODELS`.

    Raises:
        WorkbookError: there is no bubblewrap.
    """
    line = [*_namespaces(), "--hostname", "class", "--proc", "/proc", "--dev", "/dev"]
    line += ["--size", str(_TEMPORARY), "--tmpfs", "/tmp"]
    for path in _shown():
        line += ["--ro-bind-try", path, path]
    line += ["--ro-bind", str(users), "/etc/passwd", "--ro-bind", str(handout), HANDOUT, "--dir", MODELS]
    # Where the workbook looks for its notebooks. The teacher's own may be solved.
    line += ["--ro-bind", str(handout / "notebooks"), str(ROOT / "notebooks")]
    for model in models:
        line += ["--ro-bind", str(model), f"{MODELS}/{model.name}"]
    line += ["--bind", str(home), HOME, "--chdir", HOME]
    line += ["--size", str(_TEMPORARY), "--tmpfs", "/dev/shm"]
    # `/` and `/dev` are memory without a limit; and where the teacher is root, the settings of the whole machine below
    # /proc/sys would be the student's to write.
    return [*line, *(word for one in ("/dev", "/proc", "/") for word in ("--remount-ro", one)), "--"]


def lifeline() -> list[str]:
    """The words in front of a command that must not outlive the process that starts it, even if that one is killed."""
    return [_bubblewrap(), "--dev-bind", "/", "/", "--die-with-parent", "--"]


def check() -> None:
    """Look whether walls can be built here.

    Raises:
        WorkbookError: they can't; the message says what to do.
    """
    probe = [*_namespaces(), "--proc", "/proc", "--dev", "/dev"]
    for path in _SYSTEM:
        probe += ["--ro-bind-try", path, path]
    done = subprocess.run([*probe, "--", "/bin/true"], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise WorkbookError(
            f"bubblewrap can't shut a process in on this machine ({done.stderr.strip() or done.returncode}), and "
            "without it students could read each other's work and yours. On a system that forbids user namespaces "
            "(Docker without rights; Ubuntu's AppArmor), let bwrap make them, or run the class on another machine."
        )


def check_hidden(folder: Path) -> None:
    """Look whether a folder is out of the students' sight.

    Raises:
        WorkbookError: it lies in a folder that they see.
    """
    for path in _shown():
        if folder.resolve().is_relative_to(Path(path).resolve()):
            raise WorkbookError(
                f"{folder} lies in {path}, which the students of a JupyterHub see. Move the class's folder elsewhere, "
                "such as into your home."
            )


def _shown() -> list[str]:
    """What is seen at its own place."""
    return [*_SYSTEM, *(f"/etc/{name}" for name in _ETC), *_python(), *map(str, _course())]


def _namespaces() -> list[str]:
    """Its own users, processes, messages and name; no rights; it ends with who started it. The network is shared."""
    line = [_bubblewrap(), "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    line += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    line += ["--die-with-parent", "--new-session"]
    if "--disable-userns" in _help():  # since 0.8: no further namespaces, where kernels had most of their holes
        line.append("--disable-userns")
    return line


@functools.cache
def _help() -> str:
    return subprocess.run([_bubblewrap(), "--help"], capture_output=True, text=True, timeout=60).stdout


def _bubblewrap() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise WorkbookError(
            "A class on JupyterHub needs bubblewrap, which keeps students out of each other's work and out of yours, "
            "and it isn't here. It runs on Linux: install it with `sudo apt-get install bubblewrap` (or your system's "
            "command), and try again."
        )
    return found


def _python() -> list[str]:
    """This environment, and the Python that it was made from."""
    places = {str(Path(prefix).resolve()) for prefix in (sys.prefix, sys.base_prefix)} | {sys.prefix, sys.base_prefix}
    return sorted(place for place in places if place != "/usr")


def _course() -> list[Path]:
    """The course as a student may see it: judges and hints, but no solutions, tests or history."""
    chapters = [path for path in sorted((ROOT / "chapters").glob("*/*")) if path.name not in _HIDDEN]
    return [ROOT / name for name in _COURSE] + [path for path in chapters if path.is_file()]
