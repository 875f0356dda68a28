"""Commits, each with its complete list of files, and the names that point at them: branches, tags, pull requests."""

import hashlib
import json
import sqlite3
import zlib
from typing import NamedTuple

from labs_utils.hub_server.auth import now
from labs_utils.hub_server.errors import HubError, bad_request, revision_not_found, too_large
from labs_utils.hub_server.names import COMMIT, SHORT
from labs_utils.hub_server.store import Store

HEADS, TAGS, PULLS = "refs/heads/", "refs/tags/", "refs/pr/"


class Entry(NamedTuple):
    """A file in a commit.

    `oid` is Git's: of the content, or of the pointer file if the content came as an LFS upload (`is_lfs`). `last` is
    the commit that changed the file last.
    """

    oid: str
    size: int
    sha256: str
    is_lfs: bool
    last: str = ""

    @property
    def etag(self) -> str:
        """What identifies the content in a client's cache, as on the Hub."""
        return self.sha256 if self.is_lfs else self.oid


Files = dict[str, Entry]


class Put(NamedTuple):
    """A change of a commit: this file is there from now on."""

    path: str
    entry: Entry


class DeleteFile(NamedTuple):
    """A change of a commit: this file goes; or this folder, where there is no such file."""

    path: str


class DeleteFolder(NamedTuple):
    """A change of a commit: every file below this path goes."""

    path: str


Change = Put | DeleteFile | DeleteFolder


def git_oid(content: bytes) -> str:
    """Git's name of a file's content.

    >>> git_oid(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small file that stands in Git for an LFS upload."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_entry(sha256: str, size: int) -> Entry:
    """The entry of content that came as an LFS upload."""
    return Entry(git_oid(pointer(sha256, size)), size, sha256, True)


def resolve(db: sqlite3.Connection, repo: int, revision: str) -> str:
    """Return the commit that a branch, tag, full ref or commit id names; `HEAD` is main's, as on the Hub.

    Of a commit id the first seven digits are enough, if no other commit begins like that.

    Raises:
        HubError: RevisionNotFound.
    """
    revision = "main" if revision == "HEAD" else revision
    names = [revision] if revision.startswith("refs/") else [HEADS + revision, TAGS + revision]
    for name in names:
        row = db.execute("SELECT commit_id FROM refs WHERE repo = ? AND name = ?", (repo, name)).fetchone()
        if row:
            return row["commit_id"]
    if COMMIT.fullmatch(revision):
        row = db.execute("SELECT id FROM commits WHERE repo = ? AND id = ?", (repo, revision)).fetchone()
        if row:
            return row["id"]
    if SHORT.fullmatch(revision):
        question = "SELECT id FROM commits WHERE repo = ? AND id > ? AND id < ? LIMIT 2"
        rows = db.execute(question, (repo, revision, revision + "g")).fetchall()
        if len(rows) == 1:
            return rows[0]["id"]
        if rows:
            raise HubError(404, f"Several commits begin with {revision}: give more of its id.", "RevisionNotFound")
    raise revision_not_found(revision)


def files(store: Store, db: sqlite3.Connection, repo: int, commit: str) -> Files:
    """The complete list of a commit's files, by path in order. Treat it as read-only: it is shared."""
    known = store.snapshots.get((repo, commit))
    if known is None:
        question = "SELECT files FROM snapshots WHERE repo = ? AND commit_id = ?"
        row = db.execute(question, (repo, commit)).fetchone()
        listed = json.loads(zlib.decompress(row["files"]))
        known = {path: Entry(oid, size, sha, bool(is_lfs), last) for path, oid, size, sha, is_lfs, last in listed}
        store.snapshots.put((repo, commit), known)
    return known


def branch_ref(revision: str) -> str:
    """The ref that a commit to this revision moves: a branch, or a pull request's.

    >>> branch_ref("main"), branch_ref("HEAD"), branch_ref("refs/pr/1")
    ('refs/heads/main', 'refs/heads/main', 'refs/pr/1')

    Raises:
        HubError: RevisionNotFound for a commit id: it is no name that a commit could move. 400 for a tag.
    """
    if revision.startswith(TAGS):
        raise bad_request(f"{revision} is fixed: commit to a branch or to a pull request.")
    if COMMIT.fullmatch(revision):
        words = f"{revision} is a commit, which is fixed: commit to a branch or to a pull request."
        raise HubError(404, words, "RevisionNotFound")
    revision = "main" if revision == "HEAD" else revision
    return revision if revision.startswith("refs/") else HEADS + revision


def commit(
    store: Store,
    db: sqlite3.Connection,
    repo: int,
    ref: str,
    parent: str | None,
    new: Files,
    author: str,
    title: str,
    message: str = "",
) -> str:
    """Write a commit with exactly the files `new`, move `ref` to it and return its id.

    The id is computed from the files, the parent, the author, the time and the words: the same commit has the same id.
    """
    if len(new) > store.limits.files:
        raise too_large(f"The revision would have {len(new):,} files; {store.limits.files:,} are allowed.")
    date = now()
    commit_id = _write(store, db, repo, parent, new, (author, date, title, message))
    move(db, repo, ref, commit_id)
    db.execute("UPDATE repos SET modified = ? WHERE id = ?", (date, repo))
    return commit_id


def _write(
    store: Store, db: sqlite3.Connection, repo: int, parent: str | None, new: Files, words: tuple[str, str, str, str]
) -> str:
    """Write a commit; `words` are its author, date, title and message. Return its id."""
    author, date, title, message = words
    listed = [[path, *entry[:4]] for path, entry in sorted(new.items())]
    text = json.dumps([listed, parent, author, date, title, message])
    commit_id = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    before = files(store, db, repo, parent) if parent else {}
    for line in listed:
        old = before.get(str(line[0]))
        line.append(old.last if old and list(old[:4]) == line[1:] else commit_id)
    packed = zlib.compress(json.dumps(listed).encode(), 1)
    row = (repo, commit_id, parent, author, date, title, message)
    db.execute("INSERT OR IGNORE INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    db.execute("INSERT OR IGNORE INTO snapshots VALUES (?, ?, ?)", (repo, commit_id, packed))
    return commit_id


def move(db: sqlite3.Connection, repo: int, ref: str, commit_id: str) -> None:
    """Let `ref` point at a commit."""
    db.execute("INSERT OR REPLACE INTO refs VALUES (?, ?, ?)", (repo, ref, commit_id))


def applied(old: Files, changes: list[Change]) -> Files:
    """Return `old` after the changes, in their order.

    Raises:
        HubError: a file to delete isn't there, or a path is a file and a folder at once.
    """
    new = dict(old)
    for change in changes:
        if isinstance(change, Put):
            new[change.path] = change.entry
        elif isinstance(change, DeleteFile) and change.path in new:
            del new[change.path]
        else:  # a folder, with or without a slash at its end
            inside = [one for one in new if one.startswith(f"{change.path}/")]
            if not inside:
                raise HubError(404, f"A file with this name doesn't exist: {change.path}", "EntryNotFound")
            for one in inside:
                del new[one]
    _check_folders(new)
    return new


def _check_folders(new: Files) -> None:
    folders = set()
    for path in new:
        while "/" in path and path.rpartition("/")[0] not in folders:
            path = path.rpartition("/")[0]
            folders.add(path)
    clash = next((path for path in new if path in folders), None)
    if clash is not None:
        raise bad_request(f"{clash} would be a file and a folder at the same time.")


def log(db: sqlite3.Connection, repo: int, commit_id: str, limit: int, offset: int) -> list[sqlite3.Row]:
    """The commits from `commit_id` back to the first, newest first."""
    question = """WITH RECURSIVE line(id, parent, author, date, title, message, depth) AS (
            SELECT id, parent, author, date, title, message, 0 FROM commits WHERE repo = :repo AND id = :start
            UNION ALL
            SELECT c.id, c.parent, c.author, c.date, c.title, c.message, depth + 1
            FROM commits c JOIN line ON c.repo = :repo AND c.id = line.parent)
        SELECT * FROM line ORDER BY depth LIMIT :limit OFFSET :offset"""
    return db.execute(question, {"repo": repo, "start": commit_id, "limit": limit, "offset": offset}).fetchall()


def squash(store: Store, db: sqlite3.Connection, repo: int, branch: str, author: str, title: str) -> list[str]:
    """Make the history of a branch, or of a pull request, one commit; forget what no ref reaches.

    Return the content that may now be unneeded.

    Raises:
        HubError: RevisionNotFound.
    """
    ref = branch_ref(branch)
    head = resolve(db, repo, ref)
    commit(store, db, repo, ref, None, files(store, db, repo, head), author, title)
    return forget_unreached(store, db, repo)


def forget_unreached(store: Store, db: sqlite3.Connection, repo: int) -> list[str]:
    """Forget the commits that no ref reaches. Return the content that may now be unneeded."""
    unreached = f"repo = :repo AND {{}} NOT IN ({_REACHED})"
    for table, column in (("commits", "id"), ("snapshots", "commit_id")):
        db.execute(f"DELETE FROM {table} WHERE {unreached.format(column)}", {"repo": repo})
    return _release(store, db, repo)


def count(db: sqlite3.Connection, repo: int, commit_id: str) -> int:
    """How many commits lead to this one, itself among them."""
    question = """WITH RECURSIVE line(id) AS (
            SELECT :start UNION ALL
            SELECT parent FROM commits JOIN line ON commits.repo = :repo AND commits.id = line.id
            WHERE parent IS NOT NULL)
        SELECT COUNT(*) FROM line"""
    return db.execute(question, {"repo": repo, "start": commit_id}).fetchone()[0]


def without_content(store: Store, db: sqlite3.Connection, repo: int, unwanted: set[str]) -> list[str]:
    """Write the whole history again without the LFS files that have this content; return what may now be unneeded.

    As on the Hub, a commit that differs gets another id, and so does every one after it.
    """
    renamed: dict[str, str] = {}
    for row in _oldest_first(db, repo):
        before = files(store, db, repo, row["id"])
        kept = {path: one for path, one in before.items() if not (one.is_lfs and one.sha256 in unwanted)}
        parent = renamed.get(row["parent"], row["parent"])
        if len(kept) < len(before) or parent != row["parent"]:
            words = (row["author"], row["date"], row["title"], row["message"])
            renamed[row["id"]] = _write(store, db, repo, parent, kept, words)
    for old, new in renamed.items():
        for table, column in (("refs", "commit_id"), ("discussions", "base"), ("discussions", "merged")):
            db.execute(f"UPDATE {table} SET {column} = ? WHERE repo = ? AND {column} = ?", (new, repo, old))
        db.execute("UPDATE events SET data = replace(data, ?, ?) WHERE repo = ? AND kind = 'commit'", (old, new, repo))
    return forget_unreached(store, db, repo)


def _oldest_first(db: sqlite3.Connection, repo: int) -> list[sqlite3.Row]:
    """All commits of a repository, each after its parent."""
    question = """WITH RECURSIVE line(id, depth) AS (
            SELECT id, 0 FROM commits WHERE repo = :repo AND parent IS NULL
            UNION ALL SELECT c.id, depth + 1 FROM commits c JOIN line ON c.repo = :repo AND c.parent = line.id)
        SELECT commits.* FROM line JOIN commits ON commits.repo = :repo AND commits.id = line.id ORDER BY depth"""
    return db.execute(question, {"repo": repo}).fetchall()


_REACHED = """WITH RECURSIVE line(id) AS (
    SELECT commit_id FROM refs WHERE repo = :repo
    UNION SELECT base FROM discussions WHERE repo = :repo AND base IS NOT NULL
    UNION SELECT parent FROM commits JOIN line ON commits.repo = :repo AND commits.id = line.id
        WHERE parent IS NOT NULL) SELECT id FROM line"""


def _release(store: Store, db: sqlite3.Connection, repo: int) -> list[str]:
    """Drop the repository's hold on content that none of its commits names."""
    commits = [row["id"] for row in db.execute("SELECT id FROM commits WHERE repo = ?", (repo,))]
    needed = {entry.sha256 for one in commits for entry in files(store, db, repo, one).values()}
    held = {row["sha256"] for row in db.execute("SELECT sha256 FROM holdings WHERE repo = ?", (repo,))}
    for sha256 in held - needed:
        db.execute("DELETE FROM holdings WHERE repo = ? AND sha256 = ?", (repo, sha256))
    return list(held - needed)
