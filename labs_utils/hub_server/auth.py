"""Users and their tokens. A token is shown once, when it is made; only its sha256 is kept."""

import datetime
import hashlib
import secrets
import sqlite3
import string
from dataclasses import dataclass, field

from labs_utils.hub_server.database import Database
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.names import user_name

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Caller:
    """Who a valid token stands for.

    Attributes:
        name: the user.
        role: what the token may do: "read" or "write".
        created: when the token was made.
        organisations: the user's role, "admin" or "contributor", in each organisation that they belong to, which is
            named in small letters.
        token_name: how a client that keeps several tokens calls this one.
    """

    name: str
    role: str
    created: str
    organisations: dict[str, str] = field(default_factory=dict)
    token_name: str = ""

    @property
    def can_write(self) -> bool:
        """Whether the token may change anything at all."""
        return self.role == "write"


def now() -> str:
    """The time as the Hub writes it.

    >>> now().endswith("Z")
    True
    """
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def add_user(database: Database, name: str, role: str = "write") -> str:
    """Make the user if there is none, and a new token for them; return the token, which can't be read again later.

    Raises:
        HubError: the name or the role is not allowed.
    """
    user_name(name)
    # 34 random letters and digits hold 200 bits: nothing to guess, so one fast hash is enough at rest.
    token = "hf_" + "".join(secrets.choice(_ALPHABET) for _ in range(34))
    with database.writing() as db:
        db.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", (name, now()))
        db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", (_digest(token), name, role, now()))
    return token


def users(database: Database) -> list[str]:
    """The names of all users."""
    with database.reading() as db:
        return [row["name"] for row in db.execute("SELECT name FROM users ORDER BY name")]


def caller(database: Database, header: str | None) -> Caller | None:
    """Return who sends this `Authorization` header; None without one.

    Raises:
        HubError: 401, the token is unknown. A wrong token is never taken for no token.
    """
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    with database.reading() as db:
        row = db.execute("SELECT * FROM tokens WHERE digest = ?", (_digest(token.strip()),)).fetchone()
        organisations = organisations_of(db, row["user"]) if row else {}
    if scheme.lower() != "bearer" or row is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    # A client keeps one token under a name: two users on one machine, and two tokens of one user, need two.
    token_name = f"{row['user']}-{row['role']}-{row['digest'][:4]}"
    return Caller(row["user"], row["role"], row["created"], organisations, token_name)


def organisations_of(db: sqlite3.Connection, user: str) -> dict[str, str]:
    """The user's role in each organisation that they belong to."""
    question = "SELECT organisation, role FROM members WHERE user = ? ORDER BY organisation"
    return {row["organisation"].lower(): row["role"] for row in db.execute(question, (user,))}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
