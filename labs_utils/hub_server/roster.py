"""Who may use a Hub server that serves a class: the list of users, in a TOML file that a teacher writes.

It has a table `[users]` with a line such as `ada = "write"` or `ben = "read"` for each, and above it, if the teacher
likes, `quota_gib = 5`: how much each may store. A class is an organisation of theirs, with a table of its own:

    [organisations.class-5b]
    admins = ["teacher"]
    members = ["ada", "ben"]

Members make repositories such as `class-5b/homework`. Nobody sees a private one but who made it, and the admins.
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

from labs_utils.errors import WorkbookError
from labs_utils.hub_server import auth
from labs_utils.hub_server.database import Database
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.limits import GiB, Limits
from labs_utils.hub_server.names import user_name
from labs_utils.storage import read_text


class Roster(NamedTuple):
    """Who may use a server.

    Attributes:
        users: the role of each, "read" or "write".
        limits: what each may store.
        organisations: of each, the role of its members: "admin" or "contributor".
    """

    users: dict[str, str]
    limits: Limits
    organisations: dict[str, dict[str, str]]


def read(path: Path) -> Roster:
    """Return what the file says.

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
    return Roster(users, Limits(quota=int(quota * GiB)), _organisations(path, given.get("organisations", {}), users))


def _organisations(path: Path, given: object, users: dict[str, str]) -> dict[str, dict[str, str]]:
    """The organisations, each with the role of its members."""
    if not isinstance(given, dict):
        raise WorkbookError(f"{path}: organisations are tables such as [organisations.class-5b].")
    found = {}
    taken = {name.lower() for name in users}
    for name, lists in given.items():
        listed: dict = lists if isinstance(lists, dict) else {"": None}
        if set(listed) - {"admins", "members"} or not all(_is_list_of_names(one) for one in listed.values()):
            raise WorkbookError(f'{path}: [organisations.{name}] has admins = ["…"] and members = ["…"], and no more.')
        if name.lower() in taken:
            raise WorkbookError(f"{path}: {name} is a user; an organisation needs a name of its own.")
        strangers = [one for listed_names in listed.values() for one in listed_names if one not in users]
        if strangers:
            raise WorkbookError(f"{path}: {strangers[0]} is in [organisations.{name}] and not in [users].")
        members = dict.fromkeys(listed.get("members", []), "contributor")
        found[name] = members | dict.fromkeys(listed.get("admins", []), "admin")
    return found


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def enrol(
    database: Database, users: dict[str, str], organisations: dict[str, dict[str, str]] | None = None
) -> dict[str, str]:
    """Bring the users of a server in line with the list; return the tokens of those who are new.

    A user who left the list can't log in any more; their repositories stay, and those of an organisation that left it.

    Raises:
        WorkbookError: a name is not allowed.
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
    with database.writing() as db:
        db.execute("DELETE FROM members")
        for name, members in (organisations or {}).items():
            try:
                db.execute("INSERT OR IGNORE INTO organisations VALUES (?, ?)", (user_name(name), auth.now()))
            except HubError as error:
                raise WorkbookError(str(error)) from None
            rows = [(name, user, role) for user, role in members.items()]
            db.executemany("INSERT INTO members VALUES (?, ?, ?)", rows)
    return new
