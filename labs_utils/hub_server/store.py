"""The Hub without HTTP: a folder with its database, its content, and what both may hold."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sized
from pathlib import Path
from typing import Any

from labs_utils.hub_server.blobs import Blobs, Incoming
from labs_utils.hub_server.database import Database
from labs_utils.hub_server.errors import too_large
from labs_utils.hub_server.limits import GiB, Limits

DATABASE = "hub.sqlite"


class Store:
    """What every part of the server works on.

    Attributes:
        database, blobs: the two halves of the state.
        limits: what one user may store and send.
        snapshots: recently read lists of files.
    """

    def __init__(self, folder: Path, limits: Limits | None = None):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # private repositories are private on disk as well
        self.folder, self.limits = folder, limits or Limits()
        self.database, self.blobs = Database(folder / DATABASE), Blobs(folder)
        self.snapshots = Recent(entries=50_000)

    def hold(self, db: sqlite3.Connection, repo: int, *arrived: Incoming) -> None:
        """Keep content for a repository, within its owner's quota.

        A file takes its name before the database says that it is there: killed in between, there is a file too many
        and never one too few.

        Raises:
            HubError: 413, the owner's quota would be exceeded.
        """
        new = {one.sha256: one for one in arrived if self.held(db, repo, one.sha256) is None}
        if new:
            self.check_quota(db, repo, sum(one.size for one in new.values()))
        for sha256, one in new.items():
            self.blobs.keep(one)
            db.execute("INSERT INTO holdings VALUES (?, ?, ?)", (repo, sha256, one.size))

    @staticmethod
    def held(db: sqlite3.Connection, repo: int, sha256: str) -> int | None:
        """The size of content that this repository was given, or None."""
        row = db.execute("SELECT size FROM holdings WHERE repo = ? AND sha256 = ?", (repo, sha256)).fetchone()
        return row["size"] if row else None

    def check_quota(self, db: sqlite3.Connection, repo: int, more: int) -> None:
        """Raise 413 if the owner of `repo` can't store `more` bytes."""
        owner = db.execute("SELECT owner FROM repos WHERE id = ?", (repo,)).fetchone()["owner"]
        used = self.used(db, owner)
        if used + more > self.limits.quota:
            raise too_large(
                f"{owner} stores {used / GiB:.2f} of {self.limits.quota / GiB:.2f} GiB, and {more / GiB:.2f} GiB more "
                "would be too much. Delete a repository that is no longer needed."
            )

    @staticmethod
    def used(db: sqlite3.Connection, owner: str) -> int:
        """Bytes of distinct content in all repositories of a user."""
        question = """SELECT COALESCE(SUM(size), 0) AS bytes FROM (
            SELECT DISTINCT sha256, size FROM holdings JOIN repos ON repos.id = holdings.repo WHERE owner = ?)"""
        return db.execute(question, (owner,)).fetchone()["bytes"]

    def sweep(self, candidates: Iterable[str] | None = None) -> int:
        """Delete content that no repository holds (all of it, or among the candidates' sha256); return how many.

        It runs as a writer, so that no commit can take up content between the question and the deletion.
        """
        gone = 0
        with self.database.writing() as db:
            for sha256 in list(self.blobs.names() if candidates is None else candidates):
                if not db.execute("SELECT 1 FROM holdings WHERE sha256 = ?", (sha256,)).fetchone():
                    self.blobs.remove(sha256)
                    gone += 1
        return gone


class Recent:
    """The values used last, bounded by the number of entries that they hold together."""

    def __init__(self, entries: int):
        self._bound, self._sum, self._lock = entries, 0, threading.Lock()
        self._values: OrderedDict[Hashable, Sized] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """The value, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Sized) -> None:
        """Remember a value that has a length; forget the oldest ones."""
        with self._lock:
            if key in self._values:
                return
            self._values[key] = value
            self._sum += len(value) + 10
            while self._sum > self._bound and len(self._values) > 1:
                self._sum -= len(self._values.popitem(last=False)[1]) + 10
