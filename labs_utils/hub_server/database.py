"""Everything but content, in one SQLite file: whole transactions, readers that never wait, nothing to install.

Whatever touches the database takes the connection of the block that it runs in, as `db`. So a function shows whether it
needs a block around it, and a block that only reads can't be made to write.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY COLLATE NOCASE, created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (
    digest TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('read', 'write')), created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS repos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, owner TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE, private INTEGER NOT NULL, sdk TEXT, created TEXT NOT NULL,
    modified TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}', creator TEXT NOT NULL DEFAULT '',
    gated TEXT NOT NULL DEFAULT '' CHECK (gated IN ('', 'auto', 'manual')), UNIQUE (kind, owner, name));
-- Where a repository was before it was renamed. A repository of that name, made anew, comes first.
CREATE TABLE IF NOT EXISTS moved (
    kind TEXT NOT NULL, owner TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL COLLATE NOCASE,
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, PRIMARY KEY (kind, owner, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS organisations (name TEXT PRIMARY KEY COLLATE NOCASE, created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS members (
    organisation TEXT NOT NULL COLLATE NOCASE REFERENCES organisations ON DELETE CASCADE,
    user TEXT NOT NULL COLLATE NOCASE REFERENCES users ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'contributor')), PRIMARY KEY (organisation, user)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS access (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    user TEXT NOT NULL COLLATE NOCASE, status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    created TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', UNIQUE (repo, user));
CREATE TABLE IF NOT EXISTS likes (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, user TEXT NOT NULL COLLATE NOCASE, created TEXT NOT NULL,
    PRIMARY KEY (repo, user)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refs (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, name TEXT NOT NULL, commit_id TEXT NOT NULL,
    PRIMARY KEY (repo, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, id TEXT NOT NULL, parent TEXT, author TEXT NOT NULL,
    date TEXT NOT NULL, title TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (repo, id)) WITHOUT ROWID;
-- The complete list of a commit's files, compressed; apart from commits, so that reading a history stays light.
CREATE TABLE IF NOT EXISTS snapshots (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, commit_id TEXT NOT NULL, files BLOB NOT NULL,
    PRIMARY KEY (repo, commit_id));
-- What content a repository was given. Four questions are answered from it: may this commit name that content, how
-- much does a user store, which content does nobody need any more, and was an upload already made.
CREATE TABLE IF NOT EXISTS holdings (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (repo, sha256)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holdings_by_content ON holdings (sha256);
CREATE TABLE IF NOT EXISTS collections (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL COLLATE NOCASE, creator TEXT NOT NULL, title TEXT NOT NULL,
    description TEXT NOT NULL, private INTEGER NOT NULL, theme TEXT NOT NULL, updated TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS collected (
    id INTEGER PRIMARY KEY AUTOINCREMENT, collection TEXT NOT NULL REFERENCES collections ON DELETE CASCADE,
    kind TEXT NOT NULL, target TEXT NOT NULL, position INTEGER NOT NULL, note TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS collected_in ON collected (collection);
CREATE TABLE IF NOT EXISTS discussions (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, num INTEGER NOT NULL, title TEXT NOT NULL,
    author TEXT NOT NULL, status TEXT NOT NULL, is_pull_request INTEGER NOT NULL, target TEXT, base TEXT, merged TEXT,
    created TEXT NOT NULL, PRIMARY KEY (repo, num)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    num INTEGER NOT NULL, kind TEXT NOT NULL, author TEXT NOT NULL, created TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_discussion ON events (repo, num);
"""
# Columns that a database of an earlier version lacks, and how its rows get their values.
_ADDED = {
    "creator": "TEXT NOT NULL DEFAULT ''",
    "gated": "TEXT NOT NULL DEFAULT '' CHECK (gated IN ('', 'auto', 'manual'))",
}


class Database:
    """Every block of work is a transaction. Each thread has a connection to read; all share the one that writes."""

    def __init__(self, path: Path):
        self._path, self._threads, self._lock = path, threading.local(), threading.RLock()
        self._writer = self._connect(any_thread=True)
        self._writer.executescript(_SCHEMA)
        with self.writing() as db:
            _bring_up_to_date(db)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent view: commits that happen meanwhile aren't seen, and SQLite refuses to write through it.

        Inside another reading block it is that block's view.

        Raises:
            RuntimeError: this thread is inside a writing block. What that block has written would not be seen here,
                so take its connection.
        """
        if getattr(self._threads, "is_writing", False):
            raise RuntimeError("A reading block inside a writing block: use the connection of the writing block.")
        connection = self._reader()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing of it; blocks run one after another.

        Raises:
            RuntimeError: this thread is inside another block.
        """
        if getattr(self._threads, "is_writing", False) or self._reader().in_transaction:
            raise RuntimeError("A writing block inside another block: one of them would not see what the other does.")
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            self._threads.is_writing = True
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                self._threads.is_writing = False
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    def _reader(self) -> sqlite3.Connection:
        connection = getattr(self._threads, "reader", None)
        if connection is None:
            connection = self._threads.reader = self._connect(any_thread=False)
            connection.execute("PRAGMA query_only=ON")
        return connection

    def _connect(self, any_thread: bool) -> sqlite3.Connection:
        """Open the file. The writer goes from thread to thread, under the lock; a reader stays on its own."""
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=30, check_same_thread=not any_thread)
        connection.row_factory = sqlite3.Row
        # In WAL with NORMAL a killed process loses nothing; a power cut may take back the last commits, whole.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-1000"):
            connection.execute(f"PRAGMA {pragma}")
        return connection


def _bring_up_to_date(db: sqlite3.Connection) -> None:
    """Give the tables of an earlier version what they lack; nothing that was pushed is lost."""
    known = {row["name"] for row in db.execute("PRAGMA table_info(repos)")}
    for column, kind in _ADDED.items():
        if column not in known:
            db.execute(f"ALTER TABLE repos ADD COLUMN {column} {kind}")
