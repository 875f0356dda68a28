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
    modified TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}', UNIQUE (kind, owner, name));
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
CREATE TABLE IF NOT EXISTS discussions (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, num INTEGER NOT NULL, title TEXT NOT NULL,
    author TEXT NOT NULL, status TEXT NOT NULL, is_pull_request INTEGER NOT NULL, target TEXT, base TEXT, merged TEXT,
    created TEXT NOT NULL, PRIMARY KEY (repo, num)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    num INTEGER NOT NULL, kind TEXT NOT NULL, author TEXT NOT NULL, created TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_discussion ON events (repo, num);
"""


class Database:
    """Every block of work is a transaction. Each thread has a connection to read; all share the one that writes."""

    def __init__(self, path: Path):
        self._path, self._threads, self._lock = path, threading.local(), threading.RLock()
        self._writer = self._connect(any_thread=True)
        self._writer.executescript(_SCHEMA)

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
