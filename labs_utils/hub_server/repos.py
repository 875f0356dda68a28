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


def may_see(repo: sqlite3.Row, caller: Caller | None) -> bool:
    """Whether a repository exists for this caller."""
    return not repo["private"] or owns(repo, caller)


def owns(repo: sqlite3.Row, caller: Caller | None) -> bool:
    """Whether the repository is the caller's own."""
    return caller is not None and caller.name.lower() == repo["owner"].lower()


def check_writer(repo: sqlite3.Row, caller: Caller | None) -> Caller:
    """Return the caller; raise unless they may change the repository: its owner, with a token that writes."""
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
    repo_name(name)
    if owner.lower() != caller.name.lower():
        raise HubError(403, f"{caller.name} can't make a repository in the name of {owner}.")
    question = "SELECT * FROM repos WHERE kind = ? AND owner = ? AND name = ?"
    known = db.execute(question, (kind, owner, name)).fetchone()
    if known is not None:
        raise RepoExists(f"You already created this {kind} repo: {full_name(known)}", known)
    if db.execute("SELECT COUNT(*) FROM repos WHERE owner = ?", (owner,)).fetchone()[0] >= store.limits.repos:
        raise too_large(f"{owner} has {store.limits.repos:,} repositories, which is as many as are allowed.")
    insert = "INSERT INTO repos (kind, owner, name, private, sdk, created, modified) VALUES (?, ?, ?, ?, ?, ?, ?)"
    made = cast(int, db.execute(insert, (kind, caller.name, name, private, sdk, now(), now())).lastrowid)
    first = {".gitattributes": _put_text(store, db, made, _ATTRIBUTES)}
    history.commit(store, db, made, history.HEADS + "main", None, first, caller.name, "initial commit")
    describe(store, db, made)
    return db.execute("SELECT * FROM repos WHERE id = ?", (made,)).fetchone()


def _put_text(store: Store, db: sqlite3.Connection, repo: int, text: str) -> history.Entry:
    """Keep a small text and return its entry."""
    arrived = store.blobs.receive()
    arrived.write(text.encode())
    store.blobs.settle([arrived.finish()])
    store.hold(db, repo, arrived)
    return history.Entry(history.git_oid(text.encode()), arrived.size, arrived.sha256, False)


def describe(store: Store, db: sqlite3.Connection, repo: int) -> None:
    """Compute again what lists show of a repository. Call it when its main branch has moved."""
    row = db.execute("SELECT * FROM repos WHERE id = ?", (repo,)).fetchone()
    shown = cards.about(store, row["kind"], history.files(store, db, repo, history.resolve(db, repo, "main")))
    db.execute("UPDATE repos SET about = ? WHERE id = ?", (json.dumps(shown), repo))


def rename(db: sqlite3.Connection, repo: sqlite3.Row, caller: Caller, owner: str, name: str) -> None:
    """Give a repository another name.

    Raises:
        HubError: 403 for another owner, 409 if the name is taken, 400 for a bad one.
    """
    repo_name(name)
    if owner.lower() != caller.name.lower():
        raise HubError(403, f"{caller.name} can't give a repository to {owner}.")
    try:
        db.execute("UPDATE repos SET name = ?, modified = ? WHERE id = ?", (name, now(), repo["id"]))
    except sqlite3.IntegrityError:
        raise HubError(409, f"{owner}/{name} exists already.") from None


def delete(db: sqlite3.Connection, repo: sqlite3.Row) -> list[str]:
    """Delete a repository; return the sha256 of the content that it held."""
    held = [row["sha256"] for row in db.execute("SELECT sha256 FROM holdings WHERE repo = ?", (repo["id"],))]
    db.execute("DELETE FROM repos WHERE id = ?", (repo["id"],))
    return held


def visible(db: sqlite3.Connection, kind: str, caller: Caller | None) -> list[sqlite3.Row]:
    """All repositories of a kind that the caller may see."""
    question = "SELECT * FROM repos WHERE kind = ? AND (NOT private OR owner = ?)"
    return db.execute(question, (kind, caller.name if caller else "")).fetchall()
