"""What `labs hub start`, `labs hub stop`, `labs hub serve` and `labs hub people` do."""

import shlex
import socket
from pathlib import Path

from labs_utils.errors import WorkbookError
from labs_utils.hub_server import auth, repos, roster, server
from labs_utils.hub_server.store import DATABASE, Store

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


def people() -> None:
    """Print what each user of the class's Hub pushed, private work as well: for who runs the server.

    Raises:
        WorkbookError: there is no Hub for a class here.
    """
    folder = server.shared_folder()
    if not (folder / DATABASE).is_file():
        raise WorkbookError("There is no Hub for a class on this machine yet: start one with `labs hub serve`.")
    database = Store(folder).database
    with database.reading() as db:
        organisations = [row["name"] for row in db.execute("SELECT name FROM organisations ORDER BY name")]
        groups = {name: [row["user"] for row in repos.members(db, name)] for name in organisations}
        alone = [name for name in auth.users(database) if not any(name in one for one in groups.values())]
        for name, members in [*groups.items(), *([("in no organisation", alone)] if alone else [])]:
            print(name)
            for user in members:
                _print_work(user, repos.work_of(db, user, name))


def _print_work(user: str, rows: list) -> None:
    print(f"  {user}: {len(rows) or 'nothing yet'}")
    for row in rows:
        shown = "private" if row["private"] else "public"
        size = f"{row['bytes'] / 1e6:.1f} MB"
        changed = f"{row['modified'][:10]} {row['modified'][11:16]}"
        print(f"    {repos.address(row)}, {shown}, {row['commits']} commits, {size}, changed {changed} UTC")


def serve(host: str, port: int, users: Path) -> None:
    """Serve a class from this terminal until Ctrl-C. New users' tokens are printed, once.

    Raises:
        WorkbookError: the list of users, the address or the port can't be used.
    """
    listed = roster.read(users)
    folder = server.shared_folder()
    tokens = roster.enrol(Store(folder).database, listed.users, listed.organisations)
    for name, token in sorted(tokens.items()):
        print(f"{name}: {token}")
    if tokens:
        print("Give each user their token now; it can't be shown again.")
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    print(f"export HF_ENDPOINT=http://{shown}:{port} HF_HUB_DISABLE_XET=1")
    if host not in _LOOPBACK:
        print("Everyone on this network can reach the server and read its public repositories, and tokens are sent")
        print("unencrypted: use it in a network that you trust.")
    server.serve(folder, host, port, answers_any_host=host not in _LOOPBACK, limits=listed.limits)
