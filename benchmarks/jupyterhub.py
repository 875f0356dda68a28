"""JupyterHub for a class: the memory that its parts hold, as PSS (a page that n processes share counts 1/n for each).

Read from `/proc/*/smaps_rollup` for all processes of a part: three students logged in, each with one kernel, first
idle, then with the chapter started (torch and transformers imported), then with the encoder loaded and used once.
"""

import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import websocket

from data.recipes.results import Row
from labs_utils.classroom import course
from labs_utils.classroom.handing import handout
from labs_utils.classroom.serving import jupyterhub

STUDENTS = 3
CLASS = 30
STARTED = 'import labs_utils as lab\nlab.start("04")\nfrom transformers import AutoTokenizer'
ENCODER = """
import torch
from transformers import AutoModel, AutoTokenizer
encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
model = AutoModel.from_pretrained(encoder, revision=encoder.revision)
with torch.no_grad():
    model(**tokenizer(["One sentence, to run it once."], return_tensors="pt"))
"""
_RUN = "import sys; from pathlib import Path; from labs_utils.classroom import course; "
_RUN += "from labs_utils.classroom.serving import jupyterhub; "
_RUN += "jupyterhub.serve(course.read(Path(sys.argv[1])), port=int(sys.argv[2]))"


def rows() -> Iterator[Row]:
    """What each part of a class holds, and what a class of thirty would."""
    with tempfile.TemporaryDirectory() as place, _served(Path(place)) as (process, address, token):
        parts = _of_the_hub(process)
        names = [f"s{number:02}" for number in range(STUDENTS)]
        kernels = []
        for name in names:
            _ask(address, token, f"/hub/api/users/{name}/server", "POST")
            _until_ready(address, token, name)
        servers = _mean([_megabytes(tree) for tree in _servers(process)])
        for name in names:
            kernels.append(_kernel(address, token, name))
        idle = _mean([_megabytes(tree) for tree in _servers(process)]) - servers
        started = _after(process, address, token, names, kernels, STARTED) - servers
        encoder = _after(process, address, token, names, kernels, ENCODER) - servers
        parts |= {"a student's server": servers, "an idle kernel": idle}
        parts |= {"a kernel with the chapter started": started, "a kernel with the encoder": encoder}
    for what, megabytes in parts.items():
        yield Row(what, megabytes, "MiB")
    base = sum(list(parts.values())[:4])
    for what, kernel in (("idle kernels", idle), ("the encoder in each", encoder)):
        yield Row(f"a class of {CLASS} with {what}, extrapolated", (base + CLASS * (servers + kernel)) / 1024, "GiB")


@contextlib.contextmanager
def _served(place: Path) -> Iterator[tuple[psutil.Process, str, str]]:
    roster = "name,id,email\n" + "".join(f"Student {n},s{n:02},\n" for n in range(STUDENTS))
    (place / "school.csv").write_text(roster)
    made = course.new(place / "class", place / "school.csv", ["04"])
    handout.hand_out(made)
    token = secrets.token_hex(16)
    with jupyterhub.write_config(made).open("a") as file:
        file.write(f'c.JupyterHub.services.append({{"name": "bench", "api_token": "{token}"}})\n')
        file.write('c.JupyterHub.load_roles.append({"name": "bench", "services": ["bench"],')
        file.write(' "scopes": ["admin:servers", "access:servers", "read:users"]})\n')
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    log = (place / "log").open("wb")
    process = subprocess.Popen([sys.executable, "-c", _RUN, str(made.folder), str(port)], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError):
                _ask(address, token, "/hub/api/")
                break
            time.sleep(0.1)
        time.sleep(5)
        yield psutil.Process(process.pid), address, token
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _ask(address: str, token: str, path: str, method: str = "GET", data: bytes | None = None):
    asked = urllib.request.Request(address + path, data, {"Authorization": f"token {token}"}, method=method)
    with urllib.request.urlopen(asked, timeout=120) as answer:
        body = answer.read()
        return json.loads(body) if body else None


def _until_ready(address: str, token: str, name: str) -> None:
    for _ in range(1200):
        if (_ask(address, token, f"/hub/api/users/{name}")["servers"].get("") or {}).get("ready"):
            return
        time.sleep(0.2)
    raise RuntimeError(f"The server of {name} did not start.")


def _kernel(address: str, token: str, name: str) -> str:
    made = _ask(address, token, f"/user/{name}/api/kernels", "POST", b'{"name": "python3"}')["id"]
    _execute(address, token, name, made, "1")
    return made


def _execute(address: str, token: str, name: str, kernel: str, code: str) -> None:
    where = address.replace("http", "ws") + f"/user/{name}/api/kernels/{kernel}/channels"
    line = websocket.create_connection(where, header=[f"Authorization: token {token}"], timeout=300)
    own = uuid.uuid4().hex
    head = {"msg_id": own, "session": own, "username": "", "msg_type": "execute_request", "version": "5.3", "date": ""}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": head, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    line.send(json.dumps(message | {"buffers": []}))
    while True:
        told = json.loads(line.recv())
        if told["header"]["msg_type"] == "execute_reply" and told["parent_header"].get("msg_id") == own:
            if told["content"]["status"] != "ok":
                raise RuntimeError(told["content"])
            break
    line.close()


def _after(process, address: str, token: str, names: list[str], kernels: list[str], code: str) -> float:
    for name, kernel in zip(names, kernels, strict=True):
        _execute(address, token, name, kernel, code)
    time.sleep(2)
    return _mean([_megabytes(tree) for tree in _servers(process)])


def _of_the_hub(process: psutil.Process) -> dict[str, float]:
    named = {
        "classroom.serving.proxy": "its proxy",
        "labs_utils.cli": "the class's Hub",
        "idle_culler": "what stops idle servers",
    }
    found = {"JupyterHub": _megabytes([process])}
    for child in process.children():
        tree = [child, *child.children(recursive=True)]
        line = " ".join(tree[-1].cmdline())
        found |= {name: _megabytes(tree) for sign, name in named.items() if sign in line}
    return found


def _servers(process: psutil.Process) -> list[list[psutil.Process]]:
    trees = [[child, *child.children(recursive=True)] for child in process.children()]
    return [tree for tree in trees if any("jupyterhub.singleuser" in one.cmdline() for one in tree)]


def _megabytes(tree: list[psutil.Process]) -> float:
    total = 0
    for one in tree:
        for line in Path(f"/proc/{one.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    for row in rows():
        print(row.markdown(), flush=True)
