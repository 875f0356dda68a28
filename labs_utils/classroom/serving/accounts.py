"""A class's accounts on JupyterHub and on its Hub: a password and a token of each student, made once.

All of it lies in `FOLDER/jupyterhub`, readable by the teacher alone, and the students' homes in `FOLDER/homes`.
"""

import contextlib
import csv
import hashlib
import io
import json
import secrets
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from labs_utils.classroom import private_folder, write_private
from labs_utils.errors import WorkbookError
from labs_utils.paths import cache
from labs_utils.storage import read_json, read_text

if TYPE_CHECKING:
    from labs_utils.classroom.course import Course

TEACHER, ORGANISATION = "teacher", "class"
_PLACES = {"config": "jupyterhub_config.py", "passwords": "passwords.csv", "tokens": "tokens.json", "users": "passwd"}
_PLACES |= {"hub users": "users.toml", "hub": "hub", "state": "jupyterhub.sqlite", "cookies": "cookie_secret"}
_PLACES |= {"proxy": "proxy.pid"}
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another
# Tables of the Hub whose rows bear a user's name; the users come last, because others refer to them.
_SIGNED = [
    *[("likes", "user"), ("access", "user"), ("collections", "owner")],
    *[("events", "author"), ("discussions", "author"), ("users", "name")],
]
_QUOTA = 1  # GiB that each may store on the Hub


def place(folder: Path, what: str) -> Path:
    """Where something of JupyterHub's is in a class's folder.

    >>> place(Path("class"), "passwords").as_posix()
    'class/jupyterhub/passwords.csv'
    """
    return folder / "jupyterhub" / _PLACES[what]


def home_of(folder: Path, name: str) -> Path:
    """The home of a student, or the teacher's own, which isn't among the students'."""
    return folder / "jupyterhub" / TEACHER if name == TEACHER else folder / "homes" / name


def log_of(folder: Path, name: str) -> Path:
    """What a student's Jupyter server said since it was started last."""
    return folder / "jupyterhub" / "logs" / f"{name}.log"


def hub_name(student: str) -> str:
    """What a student is called on the class's Hub: their id, or a name of plain letters where the Hub can't take it.

    >>> hub_name("s01"), hub_name("学生02")
    ('s01', 'student-5655221490')
    """
    from labs_utils.hub_server.errors import HubError
    from labs_utils.hub_server.names import repo_name, user_name

    with contextlib.suppress(HubError):
        if student.lower() != ORGANISATION and repo_name(f"{student}-hand-in"):
            return user_name(student)
    return f"student-{hashlib.sha256(student.encode()).hexdigest()[:10]}"


def passwords(folder: Path) -> dict[str, str]:
    """The password of each by id; `{}` before there are any. A teacher may edit the file, or save it from Excel.

    Raises:
        WorkbookError: the file can't be read as what it was.
    """
    path = place(folder, "passwords")
    try:
        text = read_text(path)
        separator = ";" if ";" in text.partition("\n")[0] else ","
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if any(row)][1:]
        return {row[0].strip(): row[1].strip() for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise WorkbookError(
            f"{path} could not be read ({error}). It has a line id,password and one for each student. Mend it, or "
            "delete it: then everyone gets a new password."
        ) from None


def tokens(folder: Path) -> dict[str, str]:
    """The token of each for the class's Hub, by id; `{}` before there are any, and where the file is damaged."""
    try:
        found = json.loads(read_text(place(folder, "tokens")))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def models() -> list[Path]:
    """The checkpoints on the teacher's machine that are shared with the class."""
    return sorted(record.parent for record in (cache() / "checkpoints").glob("*/made.json"))


def bring_up_to_date(course: "Course") -> list[str]:
    """Make what the students of the roster lack (home, password, token); return the ids of all who may log in.

    Raises:
        WorkbookError: the roster is empty, or a student has the teacher's name.
    """
    check_roster(course)
    names = [*course.students, TEACHER]
    for name in names:
        private_folder(home_of(course.folder, name))
    write_private(place(course.folder, "users"), "student:x:1000:1000::/home/student:/bin/bash\n")
    _write_passwords(course.folder, names)
    _write_tokens(course.folder, names)
    return list(course.students)


def check_roster(course: "Course") -> None:
    """Look whether the students can have accounts.

    Raises:
        WorkbookError: there are none, or one has the teacher's name.
    """
    if not course.students:
        raise WorkbookError(
            f"The class in {course.folder} has no students yet. Add them with `labs class add-student`, and try again."
        )
    for name in course.students:
        if name.casefold() == TEACHER:
            raise WorkbookError(
                f"A student of {course.folder / 'roster.csv'} has the id {name!r}, which is the teacher's name on "
                "JupyterHub. Give the student another id."
            )


def _write_passwords(folder: Path, names: Iterable[str]) -> None:
    known = passwords(folder)
    if missing := [name for name in names if not known.get(name)]:
        known |= {name: _password() for name in missing}
        _keep_passwords(folder, known)


def _keep_passwords(folder: Path, known: dict[str, str]) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("id", "password"), *known.items()])
    write_private(place(folder, "passwords"), table.getvalue())


def _password() -> str:
    """Three groups of four letters and digits: 59 bits, and short enough to type from a slip of paper."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(3))


def hub_folder(folder: Path) -> Path:
    """Where the class's Hub keeps its state: what `labs hub serve` finds when LABS_HOME is the folder above."""
    return place(folder, "hub") / "hub_server"


def hub_of(course: "Course") -> tuple[str, str, str]:
    """The class's Hub while JupyterHub runs: its address, the teacher's token, and the class's name there.

    Raises:
        WorkbookError: it doesn't run.
    """
    from labs_utils.hub_server import server

    folder = hub_folder(course.folder)
    known = read_json(folder / "server.json") if server.running(folder) else {}
    if not known.get("running"):
        raise WorkbookError(f"The Hub of the class does not run. Start it with `labs class serve {course.folder}`.")
    return f"http://{known['host']}:{known['port']}", tokens(course.folder)[TEACHER], ORGANISATION


def _write_tokens(folder: Path, names: Iterable[str]) -> None:
    """Enrol everybody on the class's Hub. A token can be read only once there, so it is kept here."""
    from labs_utils.hub_server import auth, roster
    from labs_utils.hub_server.store import Store

    on_hub = {name: hub_name(name) for name in names}
    write_private(place(folder, "hub users"), _hub_users(list(on_hub.values())))
    listed = roster.read(place(folder, "hub users"))
    private_folder(hub_folder(folder))
    database = Store(hub_folder(folder)).database
    new = roster.enrol(database, listed.users, listed.organisations)
    known = {name: token for name, token in tokens(folder).items() if name in on_hub}
    for name, user in on_hub.items():
        if user in new or name not in known:
            known[name] = new.get(user) or auth.add_user(database, user)
    write_private(place(folder, "tokens"), json.dumps(known, indent=1, ensure_ascii=False))


def _hub_users(users: list[str]) -> str:
    """The list for `labs hub serve`: everybody may write, and the class is an organisation that the teacher leads."""
    members = [user for user in users if user != TEACHER]
    lines = [f"quota_gib = {_QUOTA}", "", "[users]", *(f'{user} = "write"' for user in users), ""]
    lines += [f"[organisations.{ORGANISATION}]", f'admins = ["{TEACHER}"]', f"members = {json.dumps(members)}"]
    return "\n".join(lines) + "\n"


def forget(folder: Path, student: str) -> None:
    """Delete what is a student's here: home, password, token, and their user and repositories on the class's Hub.

    JupyterHub's own database only knows who was logged in; it is deleted, and made anew at the next start.

    Raises:
        WorkbookError: the class's JupyterHub runs.
    """
    from labs_utils.hub_server import server

    if not (folder / "jupyterhub").is_dir():
        return
    if server.running(hub_folder(folder)):
        raise WorkbookError("The class's JupyterHub runs: stop `labs class serve` with Ctrl-C, and try again.")
    shutil.rmtree(home_of(folder, student), ignore_errors=True)
    log_of(folder, student).unlink(missing_ok=True)
    known, kept = passwords(folder), tokens(folder)
    if known.pop(student, None) is not None:
        _keep_passwords(folder, known)
    if kept.pop(student, None) is not None:
        write_private(place(folder, "tokens"), json.dumps(kept, indent=1, ensure_ascii=False))
    if place(folder, "hub users").is_file():
        write_private(place(folder, "hub users"), _hub_users([hub_name(name) for name in known]))
        _forget_on_hub(hub_folder(folder), hub_name(student))
    for remnant in place(folder, "state").parent.glob(f"{place(folder, 'state').name}*"):
        remnant.unlink()


def _forget_on_hub(folder: Path, user: str) -> None:
    """Delete a user, and what they pushed or wrote: also out of the pages that SQLite has no use for any more."""
    from labs_utils.hub_server import repos
    from labs_utils.hub_server.store import DATABASE, Store

    store = Store(folder)
    with store.database.writing() as db:
        for repo in db.execute("SELECT * FROM repos WHERE owner = ? OR creator = ?", (user, user)).fetchall():
            repos.delete(db, repo)
        for table, column in _SIGNED:
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (user,))
        db.execute("UPDATE commits SET author = '' WHERE author = ?", (user,))  # in a repository of somebody else
    store.sweep()
    with contextlib.closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as db:
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
