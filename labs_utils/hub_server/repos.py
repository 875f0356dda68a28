"""Repositories: made, found, listed, renamed, deleted."""

import json
import sqlite3
from typing import cast

from labs_utils.hub_server import cards, history
from labs_utils.hub_server.auth import Caller, now
from labs_utils.hub_server.errors import HubError, RepoExists, repo_not_found, too_large
from labs_utils.hub_server.names import PREFIXES, repo_name
from labs_utils.hub_server.store import Store

_BINARY = "7z arrow bin bz2 ckpt gguf gz h5 joblib model msgpack npy npz onnx ot parquet pb pickle pkl pt pth rar"
_BINARY += " safetensors tar tflite tgz wasm xz zip zst png jpg jpeg gif webp wav mp3 flac ogg mp4 pdf"
BINARY_SUFFIXES = frozenset(_BINARY.split())
_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(BINARY_SUFFIXES))
# What the Hub writes into a new Space: without these lines it would not know how to show it.
_SPACE_CARD = """---
title: {name}
emoji: 🤗
colorFrom: blue
colorTo: green
sdk: {sdk}
pinned: false
---

What these lines mean: https://huggingface.co/docs/hub/spaces-config-reference
"""


def full_name(repo: sqlite3.Row) -> str:
    """`owner/name`."""
    return f"{repo['owner']}/{repo['name']}"


def address(repo: sqlite3.Row) -> str:
    """Where the repository is on this server: `owner/name`, `datasets/owner/name`, `spaces/owner/name`."""
    return PREFIXES[repo["kind"]] + full_name(repo)


def find(db: sqlite3.Connection, kind: str, owner: str, name: str, caller: Caller | None) -> sqlite3.Row:
    """Return the repository if the caller may see it.

    Raises:
        HubError: RepoNotFound, whether there is none or it is private and someone else's.
    """
    question = "SELECT * FROM repos WHERE kind = ? AND owner = ? AND name = ?"
    row = db.execute(question, (kind, owner, name)).fetchone()
    if row is None or not may_see(row, caller):
        raise repo_not_found(caller is not None)
    return row


def moved_to(db: sqlite3.Connection, kind: str, owner: str, name: str, caller: Caller | None) -> sqlite3.Row | None:
    """The repository that had this name before, if the caller may see it."""
    question = """SELECT repos.* FROM moved JOIN repos ON repos.id = moved.repo
        WHERE moved.kind = ? AND moved.owner = ? AND moved.name = ?"""
    row = db.execute(question, (kind, owner, name)).fetchone()
    return row if row is not None and may_see(row, caller) else None


def may_see(repo: sqlite3.Row, caller: Caller | None) -> bool:
    """Whether a repository exists for this caller."""
    return not repo["private"] or owns(repo, caller)


def owns(repo: sqlite3.Row, caller: Caller | None) -> bool:
    """Whether the repository is the caller's own: in their name, or in the name of an organisation.

    In an organisation an admin owns every repository, and a contributor those that they made. So in a class a learner's
    private work is seen by the learner and by the teachers.
    """
    if caller is None:
        return False
    owner = repo["owner"].lower()
    if caller.name.lower() == owner:
        return True
    role = caller.organisations.get(owner)
    return role == "admin" or (role == "contributor" and repo["creator"].lower() == caller.name.lower())


def check_writer(repo: sqlite3.Row, caller: Caller | None) -> Caller:
    """Return the caller; raise unless they may change the repository: who owns it, with a token that writes."""
    caller = check_write_token(caller)
    if not owns(repo, caller):
        raise HubError(403, f"{caller.name} may not write to {full_name(repo)}; open a pull request instead.")
    return caller


def check_write_token(caller: Caller | None) -> Caller:
    """Return the caller; raise unless they are known and their token may write."""
    if caller is None:
        raise HubError(401, "Log in first: this needs a token.")
    if not caller.can_write:
        raise HubError(403, "This token may only read; this needs one with the role 'write'.")
    return caller


def check_namespace(db: sqlite3.Connection, caller: Caller, owner: str, what: str) -> str:
    """Return a user's or an organisation's name as it is written; 403 unless the caller may own repositories there."""
    if owner.lower() == caller.name.lower():
        return caller.name
    if owner.lower() not in caller.organisations:
        raise HubError(403, f"{caller.name} can't {what} {owner[:100]}.")
    return db.execute("SELECT name FROM organisations WHERE name = ?", (owner,)).fetchone()["name"]


def members(db: sqlite3.Connection, organisation: str) -> list[sqlite3.Row]:
    """The members of an organisation with their roles, the admins first."""
    question = "SELECT user, role FROM members WHERE organisation = ? ORDER BY role, user"
    return db.execute(question, (organisation,)).fetchall()


def work_of(db: sqlite3.Connection, user: str, organisation: str) -> list[sqlite3.Row]:
    """What a member pushed: their own repositories, and those that they made in the organisation; the newest first.

    Each row has `bytes`, what it stores, and `commits`, how many were made after the first one.
    """
    question = """SELECT repos.*, (SELECT COALESCE(SUM(size), 0) FROM holdings WHERE repo = repos.id) AS bytes,
            (SELECT COUNT(*) - 1 FROM commits WHERE repo = repos.id) AS commits
        FROM repos WHERE owner = :user OR (owner = :organisation AND creator = :user COLLATE NOCASE)
        ORDER BY modified DESC"""
    return db.execute(question, {"user": user, "organisation": organisation}).fetchall()


def create(
    store: Store,
    db: sqlite3.Connection,
    caller: Caller,
    kind: str,
    owner: str,
    name: str,
    private: bool,
    sdk: str | None,
) -> sqlite3.Row:
    """Make a repository with its first commit and return it.

    Raises:
        RepoExists: it is there already.
        HubError: 403 in another user's name, 400 for a bad name, 413 if the owner has too many.
    """
    check_write_token(caller)
    made = _make(store, db, caller, kind, owner, name, private, sdk)
    first = {".gitattributes": put_text(store, db, made, _ATTRIBUTES)}
    if kind == "space":
        first["README.md"] = put_text(store, db, made, _SPACE_CARD.format(name=name, sdk=sdk or "static"))
    history.commit(store, db, made, history.HEADS + "main", None, first, caller.name, "initial commit")
    describe(store, db, made)
    return db.execute("SELECT * FROM repos WHERE id = ?", (made,)).fetchone()


def _make(
    store: Store,
    db: sqlite3.Connection,
    caller: Caller,
    kind: str,
    owner: str,
    name: str,
    private: bool,
    sdk: str | None,
) -> int:
    """Make a repository without any commit and return its id."""
    repo_name(name)
    owner = check_namespace(db, caller, owner, "make a repository in the name of")
    question = "SELECT * FROM repos WHERE kind = ? AND owner = ? AND name = ?"
    known = db.execute(question, (kind, owner, name)).fetchone()
    if known is not None and not may_see(known, caller):  # in an organisation, somebody else's private work
        raise HubError(403, f"The name {owner}/{name} is taken.")
    if known is not None:
        raise RepoExists(f"You already created this {kind} repo: {full_name(known)}", known)
    if db.execute("SELECT COUNT(*) FROM repos WHERE owner = ?", (owner,)).fetchone()[0] >= store.limits.repos:
        raise too_large(f"{owner} has {store.limits.repos:,} repositories, which is as many as are allowed.")
    insert = """INSERT INTO repos (kind, owner, name, private, sdk, created, modified, creator)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
    values = (kind, owner, name, private, sdk, now(), now(), caller.name)
    made = cast(int, db.execute(insert, values).lastrowid)
    _taken(db, kind, owner, name)
    return made


def duplicate(
    store: Store, db: sqlite3.Connection, caller: Caller, source: sqlite3.Row, owner: str, name: str, private: bool
) -> sqlite3.Row:
    """Make a repository with the branches, the tags and the history of another one; no content is copied for it.

    Raises:
        RepoExists: it is there already.
        HubError: as for `create`, and 413 if the owner can't store as much.
    """
    made = _make(store, db, caller, source["kind"], owner, name, private, source["sdk"])
    for table, columns in _COPIED.items():
        db.execute(f"INSERT INTO {table} SELECT ?, {columns} FROM {table} WHERE repo = ?", (made, source["id"]))
    db.execute("DELETE FROM refs WHERE repo = ? AND name LIKE 'refs/pr/%'", (made,))
    db.execute("UPDATE repos SET about = ?, gated = ? WHERE id = ?", (source["about"], source["gated"], made))
    history.forget_unreached(store, db, made)
    store.check_quota(db, made, 0)
    return db.execute("SELECT * FROM repos WHERE id = ?", (made,)).fetchone()


_COPIED = {
    "refs": "name, commit_id",
    "commits": "id, parent, author, date, title, message",
    "snapshots": "commit_id, files",
    "holdings": "sha256, size",
}


def put_text(store: Store, db: sqlite3.Connection, repo: int, text: str) -> history.Entry:
    """Keep a small text and return its entry."""
    arrived = store.blobs.receive()
    try:
        arrived.write(text.encode())
        store.blobs.settle([arrived.finish()])
        store.hold(db, repo, arrived)
    finally:
        arrived.discard()
    return history.Entry(history.git_oid(text.encode()), arrived.size, arrived.sha256, False)


def describe(store: Store, db: sqlite3.Connection, repo: int) -> None:
    """Compute again what lists show of a repository. Call it when its main branch has moved."""
    row = db.execute("SELECT * FROM repos WHERE id = ?", (repo,)).fetchone()
    shown = cards.about(store, row["kind"], history.files(store, db, repo, history.resolve(db, repo, "main")))
    db.execute("UPDATE repos SET about = ? WHERE id = ?", (json.dumps(shown), repo))


def rename(db: sqlite3.Connection, repo: sqlite3.Row, caller: Caller, owner: str, name: str) -> None:
    """Give a repository another name, and perhaps to an organisation. The old name leads here until it is taken anew.

    Raises:
        HubError: 403 for another owner, 409 if the name is taken, 400 for a bad one.
    """
    repo_name(name)
    owner = check_namespace(db, caller, owner, "give a repository to")
    try:
        change = "UPDATE repos SET owner = ?, name = ?, modified = ? WHERE id = ?"
        db.execute(change, (owner, name, now(), repo["id"]))
    except sqlite3.IntegrityError:
        raise HubError(409, f"A {repo['kind']} repository called {owner}/{name} already exists") from None
    old = (repo["kind"], repo["owner"], repo["name"])
    db.execute("INSERT OR REPLACE INTO moved VALUES (?, ?, ?, ?)", (*old, repo["id"]))
    _taken(db, repo["kind"], owner, name)


def _taken(db: sqlite3.Connection, kind: str, owner: str, name: str) -> None:
    """From now on a name is a repository's own, and leads to no other one."""
    db.execute("DELETE FROM moved WHERE kind = ? AND owner = ? AND name = ?", (kind, owner, name))


def delete(db: sqlite3.Connection, repo: sqlite3.Row) -> list[str]:
    """Delete a repository; return the sha256 of the content that it held."""
    held = [row["sha256"] for row in db.execute("SELECT sha256 FROM holdings WHERE repo = ?", (repo["id"],))]
    db.execute("DELETE FROM repos WHERE id = ?", (repo["id"],))
    return held


def visible(db: sqlite3.Connection, kind: str, caller: Caller | None) -> list[sqlite3.Row]:
    """All repositories of a kind that the caller may see."""
    rows = db.execute("SELECT * FROM repos WHERE kind = ?", (kind,)).fetchall()
    return [row for row in rows if may_see(row, caller)]


def likes(db: sqlite3.Connection, repo: int) -> int:
    """How many users like a repository."""
    return db.execute("SELECT COUNT(*) FROM likes WHERE repo = ?", (repo,)).fetchone()[0]
