"""Blocks of work on the database: whole or not at all, one moment for a reader, and reading that cannot write."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from labs_utils.hub_server import auth, repos
from labs_utils.hub_server.store import Store


def test_a_block_that_fails_changes_nothing(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.database.writing() as db:
        db.execute("INSERT INTO users VALUES ('ada', '')")
        1 / 0
    with store.database.reading() as db:
        assert db.execute("SELECT COUNT(*) FROM users").fetchone()[0] == 0


def test_what_only_reads_cannot_write(tmp_path):
    store = Store(tmp_path)
    with store.database.reading() as db, pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("INSERT INTO users VALUES ('ada', '')")
    with store.database.reading() as outer, store.database.reading() as inner:
        assert inner is outer
    with store.database.writing() as db:  # nor does it keep a later block from writing
        db.execute("INSERT INTO users VALUES ('ada', '')")


def test_a_block_of_the_other_kind_inside_a_block_is_refused(tmp_path):
    """It would be a second transaction, which does not see what the first one does."""
    database = Store(tmp_path).database
    for outer, inner in (("writing", "reading"), ("reading", "writing"), ("writing", "writing")):
        with pytest.raises(RuntimeError, match="inside"), getattr(database, outer)(), getattr(database, inner)():
            pass
        with database.writing() as db:  # the refusal leaves nothing behind
            db.execute("INSERT OR IGNORE INTO users VALUES ('ada', '')")


def test_a_commit_that_fails_is_taken_back(tmp_path):
    """What SQLite notices only at the end, such as a broken reference, fails this block and no later one."""
    database = Store(tmp_path).database
    with pytest.raises(sqlite3.IntegrityError), database.writing() as db:
        db.execute("PRAGMA defer_foreign_keys=ON")
        db.execute("INSERT INTO tokens VALUES ('0', 'nobody', 'read', '')")
    with database.writing() as db:
        assert db.execute("SELECT COUNT(*) FROM tokens").fetchone()[0] == 0


def test_a_reader_sees_one_moment(tmp_path):
    store = Store(tmp_path)
    with store.database.reading() as db, ThreadPoolExecutor(1) as other:
        assert auth.users(store.database) == []
        other.submit(auth.add_user, store.database, "ada").result()
        assert db.execute("SELECT COUNT(*) FROM users").fetchone()[0] == 0
    assert auth.users(store.database) == ["ada"]


def test_a_database_of_an_earlier_version_is_brought_up_to_date(tmp_path):
    """What was pushed before there were organisations and gates is there, and is its owner's."""
    with sqlite3.connect(tmp_path / "hub.sqlite") as old:
        old.execute("""CREATE TABLE repos (
            id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, owner TEXT NOT NULL COLLATE NOCASE,
            name TEXT NOT NULL COLLATE NOCASE, private INTEGER NOT NULL, sdk TEXT, created TEXT NOT NULL,
            modified TEXT NOT NULL, about TEXT NOT NULL DEFAULT '{}', UNIQUE (kind, owner, name))""")
        old.execute("INSERT INTO repos VALUES (7, 'model', 'ada', 'kept', 1, NULL, '', '', '{}')")
    for _ in range(2):  # the second time there is nothing to do
        store = Store(tmp_path)
    with store.database.reading() as db:
        row = db.execute("SELECT * FROM repos").fetchone()
    assert (row["id"], row["name"], row["gated"]) == (7, "kept", "")
    assert repos.owns(row, auth.Caller("ada", "write", "")) and not repos.owns(row, auth.Caller("ben", "write", ""))
