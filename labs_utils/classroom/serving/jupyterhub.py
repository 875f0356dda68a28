"""JupyterHub for a class: every student works in the browser, on the teacher's machine or one of the school's.

`write_config` makes a configuration that the teacher may change; `serve` runs it. The students need no accounts on the
machine: each server runs behind walls (`walls.py`) in a home of the class's folder. The class's Hub runs beside it, and
each student's `lab.hub()` is there, with a token of their own.

What the walls keep, and what they leave open (the threat model):

- A student's code sees one home, the hand-out, and the course without `lesson.py`, `answers.py`, `solutions/`, `tests/`
  and its history. Homes, passwords, tokens, submissions and marks of others aren't in its file system, nor others'
  processes in its `/proc`. It has no rights, can't get any, and ends with the server that it belongs to.
- The judges are there, as at home: `lab.check` needs them. A determined student can read from them what is right. Marks
  come from `labs class grade`, which runs elsewhere what was handed in, and from questions asked in class.
- The network is shared, because the browser's requests arrive through it. A student's code can reach the internet, and
  every port of this machine, where each service asks for a password or a token of its own: JupyterHub, its proxy, the
  class's Hub, the others' Jupyter servers. Kernels listen on no port. A service of yours on this machine that trusts
  whoever comes from the machine itself is open to them: run the class where there is none.
- What one student's programs hold, and how many they are, is looked at every few seconds (`mem_limit` and
  `poll_interval`); between two looks more is possible. Together, many students can still fill a machine's memory or
  disk. Where systemd runs, `systemd-run --user --scope -p MemoryMax=12G labs class serve FOLDER` bounds all.
- Whoever reads the network reads passwords, unless a web server with a certificate stands in front.

What it takes is measured by `python -m benchmarks jupyterhub`, in benchmarks/RESULTS.md. Idle kernels are stopped after
an hour.
"""

import importlib.util
import os
import signal
import socket
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from labs_utils.classroom import write_private
from labs_utils.classroom.serving import accounts, walls
from labs_utils.errors import WorkbookError

if TYPE_CHECKING:
    from labs_utils.classroom.course import Course

_PACKAGES = ("jupyterhub", "configurable_http_proxy", "jupyterhub_idle_culler")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TEMPLATE = "jupyterhub_config.py.jinja"


def write_config(course: "Course") -> Path:
    """Write `FOLDER/jupyterhub/jupyterhub_config.py` unless there is one, and make the accounts; return its path.

    It is the teacher's from then on. The roster isn't copied into it, but read at each start.

    Raises:
        WorkbookError: the roster is empty, or a student has the teacher's name.
    """
    accounts.bring_up_to_date(course)
    path = accounts.place(course.folder, "config")
    if not path.exists():
        text = (files(__package__) / _TEMPLATE).read_text(encoding="utf-8")
        folder = repr(str(course.folder.resolve()))
        write_private(path, jinja2.Template(text, keep_trailing_newline=True).render(folder=folder))
    return path


def serve(course: "Course", host: str = "127.0.0.1", port: int = 8000) -> None:
    """Run JupyterHub for the class in this process until Ctrl-C. Prints where it is, and where the passwords are.

    Raises:
        WorkbookError: something is missing (the extra, bubblewrap, students, the hand-out), the class is served
            already, or the port is taken.
    """
    check(course, host, port)
    config = write_config(course)
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    print(f"The class is at http://{_bracketed(shown)}:{port} until you press Ctrl-C here.")
    print(f"Passwords, yours as well, are in {accounts.place(course.folder, 'passwords')}")
    if host not in _LOOPBACK:
        print("Everyone on this network can reach it, and passwords are sent unencrypted: use it in a network that")
        print("you trust, or put a web server with a certificate in front.", flush=True)
    sys.stdout.flush()
    # A program that was started in the background ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from jupyterhub.app import JupyterHub

    JupyterHub.launch_instance([f"--config={config}", f"--JupyterHub.bind_url=http://{_bracketed(host)}:{port}"])


def check(course: "Course", host: str, port: int) -> None:
    """Look whether the class can be served, before anything is started.

    Raises:
        WorkbookError: it can't; the message says what to do.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise WorkbookError(
            f"A class on JupyterHub needs packages that aren't installed here ({', '.join(missing)}). In the "
            "workbook's folder, run: .venv/bin/python -m pip install -c constraints.txt -e '.[classroom]'"
        )
    walls.check()
    walls.check_hidden(course.folder)
    accounts.check_roster(course)
    if not any((course.folder / "handout").glob("**/*.ipynb")):
        raise WorkbookError(
            f"There is nothing to hand out in {course.folder / 'handout'} yet. "
            f"Run `labs class hand-out {course.folder}` first."
        )
    from labs_utils.hub_server import server

    if server.running(accounts.hub_folder(course.folder)):
        raise WorkbookError(f"The class in {course.folder} is served already. Stop that with Ctrl-C in its terminal.")
    _check_port(host, port)


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, port))
    except (OSError, OverflowError) as error:
        raise WorkbookError(
            f"JupyterHub can't listen on {host}, port {port} ({error}). If a class runs there already, stop it with "
            "Ctrl-C in its terminal; else choose another port, such as --port 8010."
        ) from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def prepare(folder: Path) -> "Course":
    """For the configuration: read the class, and bring the accounts in line with its roster.

    Raises:
        WorkbookError: the class can't be read, or its roster is empty.
    """
    from labs_utils.classroom import course

    found = course.read(folder)
    accounts.bring_up_to_date(found)
    return found


def settle(c: Any, folder: Path) -> None:
    """For the configuration: where JupyterHub keeps its files, and the parts that talk to each other on loopback.

    Each part is tied to JupyterHub by a lifeline, and its port is a free one, so that nothing is left of a Hub that was
    killed, and two classes can run on one machine.
    """
    c.JupyterHub.db_url = f"sqlite:///{accounts.place(folder, 'state')}"
    c.JupyterHub.cookie_secret_file = str(accounts.place(folder, "cookies"))
    c.JupyterHub.hub_port, proxy, hub = _free_ports(3)
    c.JupyterHub.log_level = "WARN"
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy}"
    c.ConfigurableHTTPProxy.pid_file = str(accounts.place(folder, "proxy"))
    # The one in Python, from PyPI; JupyterHub's own default comes through npm.
    command = [*walls.lifeline(), sys.executable, "-m", "labs_utils.classroom.serving.proxy"]
    c.ConfigurableHTTPProxy.command = command
    c.JupyterHub.services = [_hub_service(folder, hub)]
    c.Spawner.environment = {"LABS_HUB": f"http://127.0.0.1:{hub}"}
    c.Spawner.notebook_dir = walls.HOME
    # Kernels talk through files in the student's own /tmp: whoever knows a port could read what a kernel prints.
    c.Spawner.args = ["--KernelManager.transport=ipc"]
    c.Spawner.args += ["--ServerApp.log_level=WARN", "--LabApp.extension_manager=readonly"]


def _hub_service(folder: Path, port: int) -> dict[str, Any]:
    """The class's Hub, as JupyterHub starts and stops it."""
    command = [*walls.lifeline(), sys.executable, "-m", "labs_utils.cli", "hub", "serve", f"--port={port}"]
    command += [f"--users={accounts.place(folder, 'hub users')}"]
    home = {"LABS_HOME": str(accounts.place(folder, "hub")), "PATH": os.environ.get("PATH", "")}
    return {"name": "class-hub", "command": command, "environment": home, "display": False}


def stop_idle_servers(c: Any, after: int) -> None:
    """For the configuration: stop a student's server after so many seconds without a request."""
    command = [*walls.lifeline(), sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={after}"]
    c.JupyterHub.services.append({"name": "idle-culler", "command": command, "display": False})
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    c.JupyterHub.load_roles = [{"name": "idle-culler", "scopes": scopes, "services": ["idle-culler"]}]


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on: all held until all are found, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
