"""Who may use a Hub server that serves a class: the list of users, in a TOML file that a teacher writes.

It has a table `[users]` with a line such as `ada = "write"` or `ben = "read"` for each, and above it, if the teacher
likes, `quota_gib = 5`: how much each may store.
"""

import tomllib
from pathlib import Path

from labs_utils.errors import WorkbookError
from labs_utils.hub_server import auth
from labs_utils.hub_server.database import Database
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.limits import GiB, Limits
from labs_utils.storage import read_text


def read(path: Path) -> tuple[dict[str, str], Limits]:
    """Return the role of each user, and the limits.

    Raises:
        WorkbookError: the file is missing or says something else than a list of users.
    """
    try:
        given = tomllib.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise WorkbookError(f"{path} could not be read as a list of users: {error}.") from None
    users, quota = given.get("users"), given.get("quota_gib", Limits.quota / GiB)
    is_list = isinstance(users, dict) and all(role in ("read", "write") for role in users.values())
    if users is None or not is_list or not isinstance(quota, int | float) or quota <= 0:
        raise WorkbookError(
            f'{path} needs a table [users] with lines such as ada = "write" or ben = "read", '
            "and above it, if you like, quota_gib = 5."
        )
    return users, Limits(quota=int(quota * GiB))


def enrol(database: Database, users: dict[str, str]) -> dict[str, str]:
    """Bring the users of a server in line with the list; return the tokens of those who are new.

    A user who left the list can't log in any more; their repositories stay.
    """
    new = {}
    with database.writing() as db:
        for name in {row["name"] for row in db.execute("SELECT name FROM users")} - set(users):
            db.execute("DELETE FROM tokens WHERE user = ?", (name,))
        db.executemany("UPDATE tokens SET role = ? WHERE user = ?", [(role, name) for name, role in users.items()])
        known = {row["user"] for row in db.execute("SELECT DISTINCT user FROM tokens")}
    for name in users:
        if name not in known:
            try:
                new[name] = auth.add_user(database, name, users[name])
            except HubError as error:
                raise WorkbookError(str(error)) from None
    return new
