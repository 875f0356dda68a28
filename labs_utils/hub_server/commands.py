"""What `labs hub start`, `labs hub stop` and `labs hub serve` do."""

import shlex
import socket
from pathlib import Path

from labs_utils.hub_server import roster, server
from labs_utils.hub_server.store import Store

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def start() -> None:
    """Start the learner's Hub in the background and print, for a shell, what its clients need."""
    folder = server.default_folder()
    running = server.start(folder)
    for name, value in server.environment(running.endpoint, server.learner_token(folder)).items():
        print(f"export {name}={shlex.quote(value)}")


def stop() -> None:
    """Stop the learner's Hub."""
    print("stopped" if server.stop(server.default_folder()) else "no Hub was running")


def serve(host: str, port: int, users: Path) -> None:
    """Serve a class from this terminal until Ctrl-C. New users' tokens are printed, once.

    Raises:
        WorkbookError: the list of users, the address or the port can't be used.
    """
    roles, limits = roster.read(users)
    folder = server.shared_folder()
    tokens = roster.enrol(Store(folder).database, roles)
    for name, token in sorted(tokens.items()):
        print(f"{name}: {token}")
    if tokens:
        print("Give each user their token now; it can't be shown again.")
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    print(f"export HF_ENDPOINT=http://{shown}:{port} HF_HUB_DISABLE_XET=1")
    if host not in _LOOPBACK:
        print("Everyone on this network can reach the server and read its public repositories, and tokens are sent")
        print("unencrypted: use it in a network that you trust.")
    server.serve(folder, host, port, answers_any_host=host not in _LOOPBACK, limits=limits)
