"""What JupyterHub needs to know of a class: who may log in, and how a student's server is started behind its walls."""

import os
import resource
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import compare_digest

import psutil
from jupyterhub.auth import Authenticator
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Unicode

from labs_utils.classroom import private_folder
from labs_utils.classroom.serving import accounts
from labs_utils.classroom.serving.walls import HOME, PROCESSES, walls

NICENESS = 5  # the teacher's own programs, and the Hub, come first


class ClassAuthenticator(Authenticator):
    """Each student logs in with their id and a password of their own, from `passwords.csv` in the class's folder."""

    folder = Unicode(config=True, help="The class's folder.")

    def normalize_username(self, username: str) -> str:
        """The id on the roster that was meant: as it is written there, or else in other capitals."""
        given = unicodedata.normalize("NFC", username.strip())
        known = {*self.allowed_users, *self.admin_users}
        return given if given in known else next((one for one in known if _folded(one) == _folded(given)), given)

    async def authenticate(self, handler, data: dict[str, str]) -> str | None:
        """The id, if the password is theirs. The file is read at each login, so that a changed password counts."""
        name = self.normalize_username(data["username"])
        wanted = accounts.passwords(Path(self.folder)).get(name, "")
        given = data["password"].strip()
        return name if wanted and compare_digest(wanted.encode(), given.encode()) else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


class WalledSpawner(SimpleLocalProcessSpawner):
    """Starts a student's server in its walls (`walls.py`): the student needs no account on this machine."""

    folder = Unicode(config=True, help="The class's folder.")

    async def start(self) -> tuple[str, int]:
        """Start the server; returns its address. What it says goes into a log of its own."""
        folder, name = Path(self.folder), self.user.name
        home, log = accounts.home_of(folder, name), accounts.log_of(folder, name)
        private_folder(home)
        private_folder(log.parent)
        shut_in = walls(home, accounts.place(folder, "users"), folder / "handout", accounts.models())
        self.cmd = [*shut_in, sys.executable, "-m", "labs_utils.classroom.serving.student_server"]
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            self.popen_kwargs = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            return await super().start()

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """The environment inside: a home, and the student's own token for the Hub of the class."""
        name = self.user.name
        token = accounts.tokens(Path(self.folder)).get(name, "")
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
        env |= {"HOME": HOME, "USER": name, "LOGNAME": name, "SHELL": "/bin/bash", "PATH": path}
        # Short, because the kernels' sockets lie there, and a socket's path has at most 107 letters.
        env |= {"LABS_HOME": f"{HOME}/.workbook", "JUPYTER_RUNTIME_DIR": "/tmp/jupyter"}
        return env | {"LABS_HUB_TOKEN": token, "LABS_STUDENT": name, "LABS_CLASS": accounts.ORGANISATION}

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """What the new process does before anything else: it takes its limits."""
        memory = self.mem_limit

        def limit() -> None:
            os.nice(NICENESS)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if memory:
                resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

        return limit

    async def poll(self) -> int | None:
        """Whether the server runs: None, or how it ended. JupyterHub asks every `poll_interval` seconds."""
        if self.pid:
            hold_to_limits(self.pid, self.mem_limit)
        return await super().poll()


def hold_to_limits(pid: int, memory: int | None) -> None:
    """End the largest process below `pid` when all of them hold more than `memory` bytes; all, if they are too many.

    The system's own limits bind each process alone, or each user, and all students are one user here.
    """
    with suppress(psutil.Error):
        inside = psutil.Process(pid).children(recursive=True)
        if len(inside) > PROCESSES:
            psutil.Process(pid).kill()
            return
        held = {one: one.memory_info().rss for one in inside}
        if memory and sum(held.values()) > memory:
            max(held, key=held.__getitem__).kill()
