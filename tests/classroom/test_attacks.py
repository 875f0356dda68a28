"""What students may try in place of an answer. Nothing gains a mark, harms a file, or costs others theirs.

Each row of the table is a notebook: answers to exercises of chapter 04 that attack, beside right ones, which must get
their marks all the same. The attacks of one row don't disturb each other.
"""

import hashlib
import os
import socket
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from labs_utils.chapters import chapter
from labs_utils.classroom.grading import grading, sandbox
from labs_utils.exercises.verdicts import FAILED, PASSED
from labs_utils.paths import ROOT
from tests.classroom import made

refusal = sandbox.refusal()
pytestmark = pytest.mark.skipif(bool(refusal), reason=refusal)

CELL, CHAPTER = 4.0, 90.0  # seconds that an answer, and a notebook, may take here
LONGER = f"longer than {CELL:.0f} seconds"
NAMES = {
    "4.1": "count_pairs", "4.2": "merge_pair", "4.3": "bpe", "4.4": "wordpiece_word", "4.5": "pack", "4.6": "windows",
    "4.7": "tokens_of_span",
}  # fmt: skip
SECRET = "what only the teacher knows"


@dataclass
class Row:
    """A notebook: what attacks, by exercise (a function's body, after code at the cell's top level), and own cells.

    Attributes:
        told: by exercise, a part of what the student is told.
        lost: right answers that are not judged, because an attack on the whole notebook costs its author the rest.
    """

    attacks: dict[str, str | tuple[str, str]]
    own: tuple[str, ...] = ()
    told: dict[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()


def cell(number: str, attack: str | tuple[str, str]) -> str:
    """The cell of an attack: (code at its top level, the body of the answer's function)."""
    top, body = ("", attack) if isinstance(attack, str) else attack
    top, body = textwrap.dedent(top), textwrap.indent(textwrap.dedent(body), "    ")
    return f"{top}\ndef {NAMES[number]}(*given):\n{body}\n"


# What an answer finds on its way to the judge: the worker, and the pipe that its results go through.
WORKER = """
import sys
def the_worker():
    frame = sys._getframe()
    while not hasattr(frame.f_locals.get("self"), "requests"):
        frame = frame.f_back
    return frame.f_locals["self"]
def forge(content):
    import os
    import struct
    worker = the_worker()
    worker.send = lambda _: worker.__dict__.pop("send")  # in the place of what would be sent
    os.write(the_worker().answers.fileno(), struct.pack("!Q", len(content)) + content)
def done(result, **more):
    import json
    told = {"result": result, "inputs": [None] * 9, "printed": False, "files": {}, "memory": 0, "draws": None}
    forge(json.dumps({"done": told | more}).encode())
"""

# What a cell reaches of the world outside. Each attempt is a line; what succeeds is told to the judge.
REACH = r"""
import ctypes, glob, os, socket, subprocess, sys
ROOT, HOST = @ROOT@, @HOST@
reached = []
def attempt(name, act):
    try:
        found = act()
    except BaseException:
        return
    if found is not None and found is not False and found != "" and found != []:
        reached.append(name)
def read(path):
    with open(path, "rb") as file:
        return file.read(100)
def write(path):  # opened and not written to: should it succeed, nothing is harmed
    if os.path.isdir(path):
        return os.access(path, os.W_OK)
    os.close(os.open(path, os.O_WRONLY | os.O_NOCTTY))
    return True
def unix(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)
    return True
def tcp(address):
    with socket.create_connection(address, 2):
        return True
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        return one.sendto(b"x", ("192.0.2.1", 53))
def linked(path):
    link = f"/tmp/link{len(reached)}"
    os.symlink(path, link)
    return read(link) if os.path.isfile(link) else os.listdir(link)

for pattern in ("solutions/*", "notebooks/*", "tests/*", "chapters/*/lesson.py", "chapters/*/judges.py",
                "chapters/*/answers.py", "chapters/*/__pycache__/*", ".git/*", "book/*", "benchmarks/*"):
    attempt(f"read {pattern}", lambda: glob.glob(f"{ROOT}/{pattern}"))
    attempt(f"follow a link to {pattern}", lambda: linked(f"{ROOT}/{pattern.partition('/')[0]}"))
for path in HOST["files"] + ["/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/ssl/private", "/root/.ssh/id_rsa"]:
    attempt(f"read {path}", lambda: read(path))
    attempt(f"read {path} through /proc/1/root", lambda: read(f"/proc/1/root{path}"))
    attempt(f"follow a link to {path}", lambda: linked(path))
for folder in HOST["folders"] + ["/home", "/root/.ssh", "/var", "/run", "/mnt", "/srv", "/opt", "/boot", "/sys"]:
    attempt(f"list {folder}", lambda: os.listdir(folder))
for process in os.listdir("/proc"):
    if process.isdigit():
        attempt(f"read the secret in /proc/{process}/environ", lambda: HOST["secret"].encode() in
                open(f"/proc/{process}/environ", "rb").read())
        attempt(f"see the judge in /proc/{process}/cmdline", lambda: b"pytest" in
                open(f"/proc/{process}/cmdline", "rb").read())
        for one in glob.glob(f"/proc/{process}/fd/*"):
            attempt(f"find {one}", lambda: not os.readlink(one).startswith(
                ("pipe:", "anon_inode:", "/dev/null", "/dev/urandom", "/proc/", "/tmp/")))
        if int(process) != os.getpid():
            attempt(f"read the memory of {process}", lambda: read(f"/proc/{process}/mem"))
attempt("the secret in the environment", lambda: HOST["secret"] in str(os.environ))
for path in ("/", "/dev", "/etc", "/usr", "/root", os.path.dirname(ROOT), ROOT, f"{ROOT}/labs_utils", f"{ROOT}/data",
             f"{ROOT}/labs_utils/__init__.py", f"{ROOT}/pyproject.toml", f"{ROOT}/data/catalog.toml", sys.executable,
             "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/dev/mem",
             "/dev/sda", "/dev/vda", "/dev/kmsg", "/dev/fuse"):
    # Below /tmp, what leads to a shown folder is the sandbox's own memory, as /tmp is.
    if not (path.startswith("/tmp") and os.stat(path).st_dev == os.stat("/tmp").st_dev):
        attempt(f"write {path}", lambda: write(path))
attempt("write to the teacher's terminal", lambda: os.readlink("/proc/1/fd/2") != "/dev/null" and write("/proc/1/fd/2"))
attempt("a port of the host", lambda: tcp(("127.0.0.1", HOST["port"])))
attempt("an address", lambda: tcp(("192.0.2.1", 80)))
attempt("a name", lambda: socket.getaddrinfo("example.org", 80))
attempt("UDP", udp)
attempt("a socket of the host", lambda: unix(HOST["socket"]))
attempt("an abstract socket of the host", lambda: unix("\0" + HOST["abstract"]))
for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/user/0/bus"):
    attempt(f"connect to {path}", lambda: unix(path))
libc = ctypes.CDLL(None, use_errno=True)
def trace():
    return libc.ptrace(16, HOST["pid"], 0, 0) == 0  # PTRACE_ATTACH
def new_namespace():
    if (child := os.fork()) == 0:
        os._exit(0 if libc.unshare(0x10020000) == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
attempt("ptrace of the judge", trace)
attempt("a signal to the judge", lambda: os.kill(HOST["pid"], 0) is None)
attempt("a namespace of its own", new_namespace)
attempt("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0)
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("a device", lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(254, 0)) is None)
attempt("raise a limit", lambda: __import__("resource").setrlimit(7, (10**6, 10**6)) is None)
attempt("a lower nice value", lambda: os.nice(-5) < 5)
attempt("su", lambda: subprocess.run(["su", "-c", "id", "nobody"], capture_output=True, timeout=5).returncode == 0)
attempt("kill the first process", lambda: os.kill(1, 9) is None and not os.path.exists("/proc/1"))
"""

TABLE = {
    "results that lie": Row(
        {
            "4.1": "class Dict(dict):\n    __eq__ = __contains__ = lambda *_: True\n    __ne__ = lambda *_: False\n"
            "    def items(self): return iter(())\nreturn Dict()",
            "4.2": "class List(list):\n    __eq__ = lambda *_: True\n    __hash__ = None\nreturn List(['x'])",
            "4.3": "class Text(str):\n    __eq__ = lambda *_: True\n    __hash__ = str.__hash__\n"
            "return [Text('x') for _ in given[0]]",
            "4.4": "class Any:\n    __eq__ = __bool__ = lambda *_: True\n    __hash__ = lambda _: 0\n"
            "    def __iter__(self): return iter([self])\nreturn [Any()]",
            "4.5": "class Trial:\n    __module__ = 'labs_utils.exercises.vocabulary'\n    __eq__ = lambda *_: True\n"
            "return Trial(), Trial()",
            "4.6": "class int_(int):\n    __eq__ = __ne__ = lambda *_: True\n    __hash__ = int.__hash__\n"
            "return [(int_(0), int_(0))]",
        }
    ),
    "exceptions that pretend": Row(
        {
            "4.1": "from labs_utils.exercises.vocabulary import CheckFailed\nraise CheckFailed('passed')",
            "4.2": "raise StopIteration",
            "4.3": "raise GeneratorExit",
            "4.4": "raise KeyboardInterrupt",
            "4.5": "raise SystemExit(0)",
            "4.6": "class Loud(Exception):\n    def __str__(self): raise SystemExit\nraise Loud",
            "4.7": "raise type('x' * 10**6, (ValueError,), {})('\\x1b[2J\\ud800\\0' * 10**5)",
        }
    ),
    "results too large": Row(
        {
            "4.1": "return [0] * 10**7",
            "4.2": "return ['x' * 10**8]",
            "4.3": "return bpe(*given)",
            "4.4": "deep = []\nfor _ in range(10**5): deep = [deep]\nreturn deep",
            "4.5": "def forever():\n    while True: yield 0\nreturn forever()",
            "4.6": "import torch\nreturn torch.empty(10**9, 0)",
            "4.7": "return 1 << 10**7",
        },
        told={"4.1": "more than three million items", "4.3": "RecursionError"},
    ),
    "objects that don't want to be read": Row(
        {
            "4.1": "class Sly(dict):\n    def items(self): raise SystemExit\nreturn Sly(a=1)",
            "4.2": "class Sly:\n    def __getattr__(self, name): raise RuntimeError(name)\n"
            "    def __repr__(self): return 'x' * 10**7\nreturn Sly()",
            "4.3": "class Sly(list):\n    @property\n    def __class__(self): raise OSError\nreturn Sly()",
            "4.4": "class Sly:\n    __next__ = None\nreturn Sly()",
            "4.5": "loop = []\nloop.append(loop)\nreturn loop",
            "4.6": "from pathlib import Path\nreturn [Path('/etc/passwd')]",
            "4.7": "return type",
        }
    ),
    "patches": Row(
        {
            "4.1": (
                """
                import json, pickle, sys, torch
                import labs_utils as lab
                from labs_utils.classroom.grading import values, worker
                from labs_utils.exercises import judging, registry, verdicts, vocabulary
                lab.check = lambda number, answer: print("passed")
                judging.judge = lambda number, answer: verdicts.Verdict(number, "", "passed", "")
                sys.modules["labs_utils.exercises.judging"] = None
                registry.find = lambda number: None
                vocabulary.Trial = vocabulary.CheckFailed = vocabulary.same = lambda *_, **__: True
                vocabulary.expect = lambda *_: None
                torch.equal = torch.allclose = lambda *_, **__: True
                for folder in ("/tmp/home", "/tmp/home/cache"):
                    try: open(folder + "/progress.json", "w").write('{"4.1": "passed"}')
                    except OSError: pass
                """,
                "return {}",
            ),
            "4.2": "import builtins\nbuiltins.len = lambda _: 0\nbuiltins.isinstance = lambda *_: True\nreturn []",
        },
        # The student's process is the student's: who breaks Python there breaks it for their own other answers.
        lost=("4.3", "4.4", "4.5", "4.6", "4.7"),
    ),
    "forged frames": Row(
        {
            "4.1": (WORKER, "done({'input': 0})"),
            "4.2": (WORKER, "import struct, os\nos.write(the_worker().answers.fileno(), struct.pack('!Q', 2**63))"),
            "4.3": (WORKER, "forge(b'{\"done\": ' + b'[' * 10**6 + b']' * 10**6 + b'}')"),
            "4.4": (WORKER, 'forge(b\'{"done": {"result": NaN, "inputs": [Infinity], "memory": NaN}}\')'),
            "4.5": (WORKER, 'forge(b\'{"raised": {"kinds": 3}}\')'),
            "4.6": (
                WORKER,
                """
                
                told = []
                for place in (0, -1, 10**9, "x", None):
                    for name in ("__reduce__", "__class__", "_x", "__getattribute__", "__call__", "__next__", [], 3):
                        for asked in ("__class__", "_x", "__globals__", "gi_frame"):
                            try: told.append(the_worker().ask(place, name, (asked,), {}))
                            except Exception: pass
                raise ValueError(f"told: {told}")
                """,
            ),
            "4.7": (WORKER, "done({'foreign': {'class': 'list', 'module': 'builtins'}, 'words': '[1]'})"),
        },
        told={"4.2": "more than sixty megabytes", "4.3": "broke the connection", "4.6": "told: []"},
    ),
    "values that no encoder makes": Row(
        {
            "4.1": (WORKER, "done({'fraction': ['0x' + 'f' * 10**7, '0x' + 'e' * 10**7]})"),
            "4.2": (WORKER, "done({'range': [0, 10**18, 1]})"),
            "4.3": (
                WORKER,
                "done({'tensor': {'shape': [10**9, 0], 'dtype': 'float32', 'data': '', 'grad': 0, 'leaf': 0,"
                " 'parameter': 0}})",
            ),
            "4.4": (WORKER, "done({'array': {'shape': [10**9, 0], 'dtype': '<f4', 'data': '', 'number': 0}})"),
            "4.5": (
                WORKER,
                "done({'datasets': {'columns': {'dict': [['a', {'list': [{'dict': [['path', '/etc/passwd'],"
                "['bytes', None]]}]}]]}, 'features': {'dict': [['a', {'dict': [['_type', 'Image']]}]]}}})",
            ),
            "4.6": (WORKER, "done({'dict': [[{'list': []}, 1]]})"),
            "4.7": (WORKER, "done({})"),
        }
    ),
    "the end of the process": Row(
        {
            "4.1": ("import os\nos._exit(0)", "return {}"),
            "4.2": "import ctypes\nctypes.string_at(0)",
            "4.3": ("import sys\nsys.exit('passed')", "return []"),
            "4.4": "import os, signal\nassert os.getpid() < 100, 'not in a room of its own'\n"
            "for one in (-1, 1, os.getppid(), os.getpid()):\n"
            "    try: os.kill(one, signal.SIGKILL)\n    except OSError: pass",
            "4.5": "import os\nos.closerange(0, 1000)\nos._exit(0)",
        },
        told={"4.1": "ended the process", "4.2": "ended the process", "4.4": "ended the process"},
    ),
    "no end": Row(
        {
            "4.1": ("while True: pass", "return {}"),
            "4.2": "import time\nwhile True: time.sleep(1)",
            "4.3": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        },
        told={"4.1": LONGER, "4.2": LONGER, "4.3": LONGER},
    ),
    "no end, later": Row(
        {
            "4.1": (
                "calls = []",
                "calls.append(1)\nimport time\nwhile len(calls) > 5: time.sleep(1)\n"
                "from collections import Counter\nfound = Counter()\nfor word, often in given[0].items():\n"
                "    for pair in zip(word, word[1:]): found[pair] += often\nreturn dict(found)",
            ),
            "4.2": "class Endless:\n    def __del__(self):\n        import time\n        while True: time.sleep(1)\n"
            "Endless()\nreturn []",
            "4.3": "import atexit, time, threading\natexit.register(time.sleep, 1000)\n"
            "threading.Thread(target=time.sleep, args=[1000]).start()\nreturn []",
            "4.4": (WORKER, 'while True: forge(b\'{"ask": 0, "method": "__call__", "inputs": [], "options": {}}\')'),
        },
        told={"4.1": LONGER, "4.2": LONGER, "4.4": LONGER},
    ),
    "more than its share": Row(
        {
            "4.1": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
            "4.2": """
                import os, time
                for _ in range(40):
                    if os.fork() == 0:
                        held = b"x" * 2**27
                        time.sleep(60)
                time.sleep(60)
                """,
            "4.3": "return [len(bytearray(20 * 2**30))]",
            "4.4": """
                for path in [f"{folder}/{one}" for folder in ("/tmp", "/dev/shm") for one in range(8)]:
                    try:
                        with open(path, "wb") as file:
                            for _ in range(256): file.write(b"x" * 2**20)
                    except OSError: pass
                return []
                """,
            "4.7": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=[60]).start()",
        },
        told={"4.2": "more memory than there is", "4.3": "MemoryError"},
    ),
    "an own cell": Row(
        {"4.2": "return trick"},
        own=(
            "trick = 1\nimport builtins\nbuiltins.print = builtins.input = None",
            "lab.check('4.2', lambda word, pair: word)",
            "trick = lambda word, pair: word\nmerge_pair = trick",
            "%%bash\necho trick",
            "!touch /tmp/trick; trick=1",
            "%run /etc/passwd\n%load_ext nothing\ntrick = 2",
        ),
    ),
}


@pytest.fixture
def host(tmp_path, monkeypatch) -> Iterator[dict[str, Any]]:
    """What lies on the teacher's machine: secrets in a file and in the environment, the class's folder, open ports."""
    folder = tmp_path / "class" / "submissions" / "s02" / "04"
    folder.mkdir(parents=True)
    for name in ("other.ipynb", "id_rsa"):
        (folder / name).write_text(SECRET)
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setattr(grading, "CELL", CELL)
    monkeypatch.setattr(grading, "CHAPTER", CHAPTER)
    monkeypatch.setattr(sandbox, "MEMORY", 2 * 2**30)
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "s"))
        abstract.bind(f"\0the class {os.getpid()}")
        for one in (tcp, unix, abstract):
            one.listen()
        yield {
            "files": [str(folder / name) for name in ("other.ipynb", "id_rsa")],
            "folders": [str(folder), str(tmp_path)],
            "secret": SECRET,
            "pid": os.getpid(),
            "port": tcp.getsockname()[1],
            "socket": str(tmp_path / "s"),
            "abstract": f"the class {os.getpid()}",
        }


@pytest.fixture(autouse=True)
def nothing_has_changed(host, tmp_path) -> Iterator[None]:
    """No file of the course, of the class, or of the teacher is touched by what a student hands in."""
    before = _state(tmp_path)
    yield
    assert _state(tmp_path) == before


def _state(tmp_path) -> dict[str, str]:
    own = [ROOT / "pyproject.toml", ROOT / "labs_utils" / "__init__.py", chapter("04").folder / "judges.py"]
    files = [*own, *(ROOT / "solutions").iterdir(), *(ROOT / "notebooks").iterdir()]
    files += [path for path in tmp_path.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files} | {
        str(tmp_path): str(sorted(tmp_path.rglob("*")))
    }


def judged(row: Row) -> dict[str, dict]:
    answers = made.right("04") | {number: cell(number, attack) for number, attack in row.attacks.items()}
    began = time.monotonic()
    result = grading.judge_notebook("04", made.as_bytes(made.handed_in("04", answers, row.own)))
    assert time.monotonic() - began < 3 * CHAPTER, "it held up the class"
    return result["exercises"]


@pytest.mark.parametrize("name", TABLE)
def test_an_attack_gains_no_mark_and_costs_only_its_exercise(name):
    row = TABLE[name]
    found = judged(row)
    assert list(found) == list(NAMES)
    for number, one in found.items():
        if number in row.attacks:
            assert one["status"] in (FAILED, grading.NOT_JUDGED), (number, one)
            assert len(one["message"]) > 20 and row.told.get(number, "") in one["message"], (number, one)
        elif number not in row.lost:
            assert one["status"] == PASSED, (number, one)


def test_nothing_outside_is_in_reach(host):
    top = REACH.replace("@ROOT@", repr(str(ROOT))).replace("@HOST@", repr(host))
    told = judged(Row({"4.1": (top, "raise ValueError(f'reached: {reached}')")}))["4.1"]["message"]
    assert "reached: []" in told, told
