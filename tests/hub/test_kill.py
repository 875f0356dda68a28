"""A server killed at any moment leaves every repository at a whole commit and loses nothing that it acknowledged."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from labs_utils.hub_server import history, repos
from labs_utils.hub_server.auth import Caller
from labs_utils.hub_server.store import Store
from labs_utils.paths import ROOT

# One process imports everything, then forks a server for every round: fifty starts in the time of one.
ROUNDS = """
import gc, hashlib, json, os, random, signal, sys, threading, time
from pathlib import Path
from labs_utils.hub_server import auth, history, server
from labs_utils.hub_server.store import Store
from labs_utils.storage import read_json
from benchmarks.support.hub_client import Raw, file, lfs_file

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
token = auth.add_user(Store(folder).database, "ada")
draw, acknowledged, whole, kills = random.Random(1), {}, set(), 0

def write(client, number):
    for turn in range(1000):
        large, small = os.urandom(200_000), b"%d %d" % (number, turn)
        if client.upload("ada/m", large).status != 200:
            continue
        changes = file("small.txt", small), lfs_file("large.bin", large), file(f"{turn % 5}.txt", small)
        done = client.commit("ada/m", *changes)
        assert done.status == 200, done.body
        acknowledged["last"] = (done.json["commitOid"], small, hashlib.sha256(large).hexdigest())
        acknowledged["count"] = acknowledged.get("count", 0) + 1

def check():
    store = Store(folder)
    for sha256 in set(store.blobs.names()) - whole:  # a name that exists stands for the whole content
        assert hashlib.sha256(store.blobs.path(sha256).read_bytes()).hexdigest() == sha256, "half a file"
        whole.add(sha256)
    with store.database.reading() as db:
        assert db.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        for repo in db.execute("SELECT * FROM repos").fetchall():
            head = history.resolve(db, repo["id"], "main")
            line = [row["id"] for row in history.log(db, repo["id"], head, 10**6, 0)]
            assert acknowledged.get("last", (head,))[0] in line[:2], "an acknowledged commit is lost"
            for commit in line[:4]:
                for path, entry in history.files(store, db, repo["id"], commit).items():
                    content = store.blobs.path(entry.sha256).read_bytes()
                    assert hashlib.sha256(content).hexdigest() == entry.sha256 and len(content) == entry.size, path
            files = history.files(store, db, repo["id"], line[0])
            if "small.txt" in files:  # both files are of one commit, or neither is
                assert files["small.txt"].last == files["large.bin"].last
    del store, db
    gc.collect()

for number in range(rounds):
    (folder / "server.json").unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        server.serve(folder)
        os._exit(0)
    try:
        while not read_json(folder / "server.json").get("running"):
            time.sleep(0.005)
        client = Raw("http://127.0.0.1:%d" % read_json(folder / "server.json")["port"], token)
        assert client.create("m").status in (200, 409)
        failed = []
        def work():
            try:
                write(client, number)
            except OSError:
                pass  # the server is gone: what this test is about
            except Exception as error:
                if "RemoteDisconnected" not in repr(error) and "IncompleteRead" not in repr(error):
                    failed.append(repr(error))
        writer = threading.Thread(target=work)
        writer.start()
        time.sleep(draw.uniform(0, 0.12))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    kills += 1
    writer.join()
    assert not failed, failed
    check()

server_store = Store(folder)
server_store.blobs.clear_incoming()
removed = server_store.sweep()
check()
print(json.dumps({"kills": kills, "commits": acknowledged["count"], "removed": removed}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_fifty_kills_at_random_moments(tmp_path):
    command = [sys.executable, "-c", ROUNDS, str(tmp_path / "hub"), "50"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == 50 and told["commits"] > 10


def test_a_commits_id_follows_from_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "now", lambda: "2025-01-01T00:00:00.000000Z")
    heads = []
    for name in ("one", "other"):
        store = Store(tmp_path / name)
        with store.database.writing() as db:
            db.execute("INSERT INTO users VALUES ('ada', '')")
            repo = repos.create(store, db, Caller("ada", "write", ""), "model", "ada", "m", False, None)
            heads.append(history.resolve(db, repo["id"], "main"))
    assert heads[0] == heads[1]
    assert hashlib.sha1().digest_size * 2 == len(heads[0])


def test_the_sweep_takes_only_what_nobody_holds(tmp_path):
    store = Store(tmp_path)
    with store.database.writing() as db:
        db.execute("INSERT INTO repos (kind, owner, name, private, created, modified) VALUES ('model','a','m',0,'','')")
        kept, lost = store.blobs.receive(), store.blobs.receive()
        kept.write(b"kept"), lost.write(b"lost")
        store.hold(db, 1, kept.finish())
        store.blobs.keep(lost.finish())
    assert store.sweep() == 1
    assert store.blobs.has(kept.sha256) and not store.blobs.has(lost.sha256)
