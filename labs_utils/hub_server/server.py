"""The server as a process: one per folder, on a free port, found by other processes through a small file."""

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from labs_utils.errors import WorkbookError
from labs_utils.hub_server import auth
from labs_utils.hub_server.app import Activity, application
from labs_utils.hub_server.limits import Limits
from labs_utils.hub_server.store import DATABASE, Store
from labs_utils.paths import home
from labs_utils.storage import read_json, read_text, replace_file, update_json

LEARNER = "learner"
IDLE = 3600.0  # seconds without a request, after which a learner's own server stops; `start` starts it again
_DETACHED = 0x00000208  # Windows: a process group of its own, without a console
_RECORD, _LOCK, _TOKEN, _LOG = "server.json", "server.lock", "token", "server.log"


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        endpoint: its address, for HF_ENDPOINT.
        store: its state, for tests; None if it runs in another process.
    """

    endpoint: str
    store: Store | None = None


def default_folder() -> Path:
    """Where a learner's own Hub keeps its state."""
    return home() / "hub"


def shared_folder() -> Path:
    """Where a Hub for a class keeps its state. Versions before this one called the folder `classroom`: it is renamed.

    Raises:
        WorkbookError: a server still runs in the folder of the old name.
    """
    old, new = home() / "classroom", home() / "hub_server"
    if not (old / DATABASE).is_file():
        return new
    with FileLock(home() / "hub_server.lock", timeout=10):  # who starts at the same time finds it done
        if (old / DATABASE).is_file() and not new.exists():
            if running(old):
                raise WorkbookError(f"A server for {old} runs already. Stop it with Ctrl-C in its terminal.")
            old.rename(new)
    return new


def environment(endpoint: str, token: str) -> dict[str, str]:
    """What a process must have in its environment before it imports a Hugging Face library, to use this server.

    `datasets` asks a viewer at "datasets-server." + host, which isn't there; NO_PROXY keeps that from a proxy, too.
    """
    host = urlsplit(endpoint).hostname or ""
    direct = [one for one in os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")).split(",") if one]
    direct += [one for one in (host, "127.0.0.1", "localhost", f"datasets-server.{host}") if one not in direct]
    return _no_socks() | {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token,
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",  # uploads go the LFS way, which this server speaks
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "DISABLE_SAFETENSORS_CONVERSION": "1",
        "NO_PROXY": ",".join(dict.fromkeys(direct)),
        "no_proxy": ",".join(dict.fromkeys(direct)),
    }


def _no_socks() -> dict[str, str]:
    """SOCKS proxies, switched off where httpx can't use them: it would fail on one before it looks at NO_PROXY.

    Only the Hub is asked for anything, and the Hub needs no proxy.
    """
    if importlib.util.find_spec("socksio") is not None:
        return {}
    names = [name for kind in ("all", "http", "https") for name in (f"{kind}_proxy", f"{kind}_PROXY".upper())]
    return {name: "" for name in names if os.environ.get(name, "").lower().startswith("socks")}


@contextlib.contextmanager
def serving(folder: Path, limits: Limits | None = None) -> Iterator[Running]:
    """Serve a folder from a thread of this process, on loopback and a free port, for as long as the block runs.

    Raises:
        WorkbookError: another process serves this folder.
    """
    with _alone(folder):
        listener, store = _listen("127.0.0.1", 0), Store(folder, limits)
        server = _server(application(store))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", store)
        finally:
            server.should_exit = True
            thread.join()


def _server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=120,  # longer than a client's pool keeps a connection that it may use again
            timeout_graceful_shutdown=3,
        )
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: it says more truly than a process id that the server runs, and ends with it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(folder / _LOCK, timeout=1):  # another process that asks `running` holds it for an instant
            yield
    except Timeout:
        raise WorkbookError(f"A server for {folder} runs already. Stop it with: labs hub stop") from None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would not switch off Nagle's algorithm, and every answer would wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise WorkbookError(f"The server can't listen on {host}, port {port}: {error.strerror}.") from None
    listener.listen(512)
    return listener


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    answers_any_host: bool = False,
    limits: Limits | None = None,
    idle: float | None = None,
) -> None:
    """Serve a folder from this process until it is told to stop. Port 0 is the port of the last time, or a free one.

    With `idle`, it also stops by itself after so many seconds without a request.

    Raises:
        WorkbookError: another process serves the folder, or the port can't be had.
    """
    with _alone(folder):
        # First who is starting, then where it listens: nobody takes the record of a killed server for this one's.
        update_json(folder / _RECORD, lambda known: known.update(pid=os.getpid(), running=False))
        store = Store(folder, limits)
        store.blobs.clear_incoming()
        store.sweep()
        listener = _same_port(folder, host) if port == 0 else _listen(host, port)
        shown = host if host not in ("0.0.0.0", "::") else "127.0.0.1"
        record = {"port": listener.getsockname()[1], "host": shown, "running": True}
        update_json(folder / _RECORD, lambda known: known.update(record))
        app = application(store, answers_any_host)
        server = _server(app)
        leave = threading.Thread(target=_leave, args=(folder, server, app.state.activity, idle), daemon=True)
        leave.start()
        server.run(sockets=[listener])


def _same_port(folder: Path, host: str) -> socket.socket:
    """The port of the last time, if it is free: a notebook that is still open goes on working."""
    try:
        return _listen(host, int(read_json(folder / _RECORD).get("port", 0)))
    except WorkbookError:
        return _listen(host, 0)


def _leave(folder: Path, server: uvicorn.Server, activity: Activity, idle: float | None) -> None:
    """A server whose folder is gone, as after a test, has nothing left to serve; and one that nobody asks can rest."""
    while (folder / _RECORD).is_file() and (idle is None or activity.idle < idle):
        time.sleep(2 if idle is None else min(2, idle / 4))
    server.should_exit = True


def start(folder: Path) -> Running:
    """Start a server for the learner in the background, or find the one that runs.

    The first time, it makes the user `learner` and puts their token into the folder, readable by them alone.

    Raises:
        WorkbookError: the server does not answer; the message names its log.
    """
    if not running(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / _LOG).open("ab") as log:
            command = [sys.executable, "-m", "labs_utils.hub_server.server", str(folder)]
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                creationflags=_DETACHED if os.name == "nt" else 0,
                start_new_session=os.name != "nt",
            )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        record = read_json(folder / _RECORD)
        if record.get("running") and running(folder) and _answers(record["host"], record["port"]):
            return Running(f"http://{record['host']}:{record['port']}")
        time.sleep(0.05)
    raise WorkbookError(f"The Hub server did not answer within 20 seconds. What it said is in {folder / _LOG}.")


def running(folder: Path) -> bool:
    """Whether some process serves this folder."""
    if not folder.is_dir():
        return False
    try:
        with FileLock(folder / _LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2):
        return True
    return False


def stop(folder: Path) -> bool:
    """Stop the server of a folder; return whether there was one.

    Raises:
        WorkbookError: it is still there after ten seconds.
    """
    if not running(folder):
        return False
    asked, deadline = set(), time.monotonic() + 10
    while running(folder):
        pid = read_json(folder / _RECORD).get("pid")
        if pid not in asked:  # a second server, started at the same time, may take over from the first
            asked.add(pid)
            if isinstance(pid, int):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise WorkbookError(f"The server of {folder} does not stop; its process is in {folder / _RECORD}.")
        time.sleep(0.05)
    return True


def learner_token(folder: Path) -> str:
    """The learner's own token, made with their user at the first call."""
    path = folder / _TOKEN
    if not path.is_file():
        token = auth.add_user(Store(folder).database, LEARNER)
        replace_file(path, token, mode=0o600)
    return read_text(path).strip()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), idle=IDLE)
