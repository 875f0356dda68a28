"""Gated repositories: everybody sees them and the names of their files; the content is for those who were let in."""

import sqlite3

from labs_utils.hub_server import repos
from labs_utils.hub_server.auth import Caller, now
from labs_utils.hub_server.errors import HubError, bad_request, gated

STATUSES = ("pending", "accepted", "rejected")
_FREE = ("README.md",)  # what says whom to ask, and why, can be read before


def check_open(db: sqlite3.Connection, repo: sqlite3.Row, caller: Caller | None, base: str) -> None:
    """Raise unless the caller may read the content of a repository.

    Args:
        base: the address of the server, for the sentence that says where to ask.

    Raises:
        HubError: GatedRepo. 401 without a token, 403 if the caller has not asked, waits, or was rejected.
    """
    if not repo["gated"] or repos.owns(repo, caller):
        return
    name = f"{repo['kind']} {repos.full_name(repo)}"
    if caller is None:
        raise gated(
            401,
            f"Access to {name} is restricted. You must have access to it and be authenticated to access it. "
            "Please log in.",
        )
    status = _status(db, repo["id"], caller.name)
    if status == "accepted":
        return
    raise gated(
        403,
        {
            "pending": f"Your request to access {name} is awaiting a review from the repo authors.",
            "rejected": f"Your request to access {name} has been rejected by the repo's authors.",
        }.get(
            status,
            f"Access to {name} is restricted and you are not in the authorized list. "
            f"Visit {base}/{repos.address(repo)} to ask for access.",
        ),
    )


def is_free(path: str) -> bool:
    """Whether a file of a gated repository can be read by everybody."""
    return path in _FREE


def _status(db: sqlite3.Connection, repo: int, user: str) -> str:
    row = db.execute("SELECT status FROM access WHERE repo = ? AND user = ?", (repo, user)).fetchone()
    return row["status"] if row else ""


def ask(db: sqlite3.Connection, repo: sqlite3.Row, caller: Caller) -> str:
    """Ask for access; return the status of the request. Who asks again changes nothing.

    Raises:
        HubError: 400 if the repository is not gated.
    """
    check_gated(repo)
    status = "accepted" if repo["gated"] == "auto" else "pending"
    insert = "INSERT OR IGNORE INTO access (repo, user, status, created) VALUES (?, ?, ?, ?)"
    db.execute(insert, (repo["id"], caller.name, status, now()))
    return _status(db, repo["id"], caller.name)


def check_gated(repo: sqlite3.Row) -> None:
    """Raise 400 unless the repository is gated."""
    if not repo["gated"]:
        raise bad_request(f"{repos.full_name(repo)} is not gated: everybody who sees it can read it.")


def requests(db: sqlite3.Connection, repo: int, status: str) -> list[sqlite3.Row]:
    """The requests with a status, the oldest first."""
    question = "SELECT * FROM access WHERE repo = ? AND status = ? ORDER BY id"
    return db.execute(question, (repo, status)).fetchall()


def decide(db: sqlite3.Connection, repo: int, row: sqlite3.Row | None, status: str, reason: str) -> None:
    """Accept or reject a request, or put it back among those that wait.

    Raises:
        HubError: 404, there is no such request, or it has that status already; 400 for an unknown status.
    """
    if status not in STATUSES:
        raise bad_request(f"A request can be {', '.join(STATUSES)}; not {status[:100]!r}.")
    if row is None:
        raise HubError(404, "There is no such request for access.")
    if row["status"] == status:
        raise HubError(404, f"The request of {row['user']} is {status} already.")
    change = "UPDATE access SET status = ?, reason = ? WHERE repo = ? AND id = ?"
    db.execute(change, (status, reason, repo, row["id"]))


def request_of(db: sqlite3.Connection, repo: int, user: str, number: str) -> sqlite3.Row | None:
    """The request of a user, or the one with an id as `shown_id` writes it."""
    if user:
        return db.execute("SELECT * FROM access WHERE repo = ? AND user = ?", (repo, user)).fetchone()
    rows = db.execute("SELECT * FROM access WHERE repo = ?", (repo,))
    return next((row for row in rows if shown_id(row) == number), None)


def shown_id(row: sqlite3.Row) -> str:
    """The id of a request as a client is told it: 24 hexadecimal digits.

    >>> shown_id({"id": 10})
    '00000000000000000000000a'
    """
    return f"{row['id']:024x}"


def grant(db: sqlite3.Connection, repo: int, user: str) -> None:
    """Let a user in who may not have asked.

    Raises:
        HubError: 404, there is no such user; 400, they have access already.
    """
    known = db.execute("SELECT name FROM users WHERE name = ?", (user,)).fetchone()
    if known is None:
        raise HubError(404, f"There is no user {user[:100]!r}.")
    if _status(db, repo, user) == "accepted":
        raise bad_request(f"{known['name']} has access already.")
    insert = """INSERT INTO access (repo, user, status, created) VALUES (?, ?, 'accepted', ?)
        ON CONFLICT (repo, user) DO UPDATE SET status = 'accepted', reason = ''"""
    db.execute(insert, (repo, known["name"], now()))
