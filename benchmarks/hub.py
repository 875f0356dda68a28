"""The Hub server: answers per request, a 200 MB file up and down, thirty learners at once; and what it takes.

The server is a process of its own; its clients share the cores with it. Copying is reading a file, hashing it and
writing it to the same disk, flushed, in one process.
"""

import contextlib
import hashlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.support.hub_client import Raw, file, lfs_file
from data.recipes.results import Row
from labs_utils.hub_server import auth, server
from labs_utils.hub_server.store import Store
from labs_utils.paths import ROOT
from labs_utils.storage import read_json

_MEGABYTES, _LEARNERS = 200, 30


def rows():
    """Latencies over a kept-alive connection; throughput beside a copy on the same disk; a class that pushes."""
    with tempfile.TemporaryDirectory() as name:
        with _served(Path(name) / "small") as (client, process):
            yield from _latencies(client)
            yield Row("memory of the server at rest", _memory(process), "MB")
        with _served(Path(name) / "large") as (client, process):
            yield from _throughput(client, process, Path(name))
        with _served(Path(name) / "class") as (client, process):
            yield from _class(client, process, Path(name) / "class")


@contextlib.contextmanager
def _served(folder: Path):
    """A server of its own for a folder; yields a client who is logged in, and the process."""
    endpoint = server.start(folder).endpoint
    try:
        token = auth.add_user(Store(folder).database, "ada")
        yield Raw(endpoint, token), psutil.Process(read_json(folder / "server.json")["pid"])
    finally:
        server.stop(folder)


def _latencies(client: Raw):
    client.create("m")
    changes = [file(f"{number}.txt", b"%d" % number) for number in range(20)]
    assert client.commit("ada/m", *changes, file("README.md", b"---\nlicense: mit\n---\n# A model\n")).status == 200
    for what, method, path in (
        ("HEAD of a file", "HEAD", "/ada/m/resolve/main/1.txt"),
        ("information about a repository", "GET", "/api/models/ada/m"),
    ):
        yield Row(f"{what}, median", _median(lambda m=method, p=path: client.ask(m, p), 500), "ms", 2)
    turns = iter(range(10**6))
    commit = _median(lambda: client.commit("ada/m", file("1.txt", b"turn %d" % next(turns))), 200)
    yield Row("commit of one small file, median", commit, "ms", 10)


def _median(work, times: int) -> float:
    """The median milliseconds of `times` calls, after a few to warm up."""
    taken = []
    for turn in range(times + 10):
        begin = time.perf_counter()
        assert work().status == 200
        if turn >= 10:
            taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken)


def _throughput(client: Raw, process: psutil.Process, folder: Path):
    client.create("large")
    client.connection = http.client.HTTPConnection(client.connection.host, client.connection.port, blocksize=2**20)
    speeds: dict[str, list[float]] = {"copy": [], "up": [], "down": []}
    for _ in range(3):
        source = folder / "source"
        source.write_bytes(os.urandom(_MEGABYTES * 10**6))
        speeds["copy"].append(_speed(lambda source=source: _copy(source, folder / "copy")))
        digest = hashlib.file_digest(source.open("rb"), "sha256").hexdigest()
        speeds["up"].append(_speed(lambda source=source, digest=digest: _upload(client, source, digest)))
        assert client.commit("ada/large", _uploaded(digest)).status == 200
        speeds["down"].append(_speed(lambda: _download(client)))
    best = {name: max(values) for name, values in speeds.items()}
    yield Row(f"copying and hashing {_MEGABYTES} MB", best["copy"], "MB/s")
    yield Row(f"uploading {_MEGABYTES} MB, over copying", best["up"] / best["copy"], "×", 0.5, True)
    yield Row(f"downloading {_MEGABYTES} MB, over copying", best["down"] / best["copy"], "×", 0.5, True)
    yield Row("peak memory of the server meanwhile", _peak(process), "MB", 150)


def _uploaded(digest: str) -> dict:
    operation = lfs_file("w.bin", b"")
    operation["value"] |= {"oid": digest, "size": _MEGABYTES * 10**6}
    return operation


def _speed(work) -> float:
    """Megabytes a second."""
    begin = time.perf_counter()
    work()
    return _MEGABYTES / (time.perf_counter() - begin)


def _copy(source: Path, target: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while piece := read.read(2**20):
            digest.update(piece)
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())


def _upload(client: Raw, source: Path, digest: str) -> None:
    wish = {"operation": "upload", "objects": [{"oid": digest, "size": source.stat().st_size}]}
    batch = client.ask("POST", "/ada/large.git/info/lfs/objects/batch", wish)
    address = batch.json["objects"][0]["actions"]["upload"]["href"]
    with source.open("rb") as content:
        size = str(source.stat().st_size)
        assert client.ask("PUT", "/" + address.split("/", 3)[3], content, Content_Length=size).status == 200


def _download(client: Raw) -> None:
    headers = {"Authorization": f"Bearer {client.token}"}
    client.connection.request("GET", "/ada/large/resolve/main/w.bin", headers=headers)
    answer, size = client.connection.getresponse(), 0
    while piece := answer.read(2**20):
        size += len(piece)
    assert size == _MEGABYTES * 10**6


# Real clients: one process for all learners, a thread and a token for each.
_CLASS = """
import io, json, os, sys, threading, time
from huggingface_hub import HfApi
tokens = sys.argv[1:]
gate, taken, wrong = threading.Barrier(len(tokens)), [], []
def push(token, content):
    api = HfApi(token=token)
    gate.wait()
    begin = time.perf_counter()
    try:
        repo = api.create_repo("homework").repo_id
        api.upload_file(repo_id=repo, path_in_repo="model.safetensors", path_or_fileobj=content)
        taken.append(time.perf_counter() - begin)
    except Exception as error:
        wrong.append(repr(error))
threads = [threading.Thread(target=push, args=(token, os.urandom(5_000_000))) for token in tokens]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(json.dumps({"taken": sorted(taken), "wrong": wrong}))
"""


def _class(client: Raw, process: psutil.Process, folder: Path):
    store = Store(folder)
    tokens = [auth.add_user(store.database, f"learner{number}") for number in range(_LEARNERS)]
    endpoint = f"http://{client.connection.host}:{client.connection.port}"
    environment = os.environ | server.environment(endpoint, tokens[0]) | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", _CLASS, *tokens]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    whole = sum(
        client.ask("HEAD", f"/learner{number}/homework/resolve/main/model.safetensors").headers["X-Linked-Size"]
        == "5000000"
        for number in range(_LEARNERS)
    )
    yield Row(f"of {_LEARNERS} pushes of 5 MB at once, complete", whole, "", _LEARNERS, True)
    yield Row("time of a push among them, 95th percentile", told["taken"][int(0.95 * len(told["taken"]))], "s", 5)
    yield Row("peak memory of the server meanwhile", _peak(process), "MB", 300)


def _memory(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6


def _peak(process: psutil.Process) -> float:
    """The most that the process has had in memory; where the system does not tell, what it has now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return _memory(process)
