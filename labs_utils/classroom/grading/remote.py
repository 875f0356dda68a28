"""The judge's end: an answer that runs in another process, and looks to a judge like a function of its own."""

import contextlib
import inspect
import io
import json
import keyword
import os
import pickle
import select
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType
from typing import Any

from labs_utils.classroom.grading import sandbox
from labs_utils.classroom.grading.values import decode, error
from labs_utils.classroom.grading.worker import _HEAD, Asked, leaves
from labs_utils.errors import WorkbookError
from labs_utils.exercises import registry
from labs_utils.storage import replace_file

_LARGEST = 60_000_000  # bytes in one message
_STAY: tuple[type, ...] = (FunctionType, BuiltinFunctionType, MethodType, GeneratorType)


class Gone(BaseException):
    """The student's process ended, or was stopped; the words say why. No judge catches it."""


class Process:
    """A running `worker`, and the one way to talk to it.

    Attributes:
        spent: the seconds that the student's code has had so far.
    """

    def __init__(self, command: list[str]):
        self.spent, self._looked = 0.0, time.monotonic()
        # No standard error: whoever finds it over there could write to the teacher's terminal.
        loud = None if os.environ.get("LABS_WORKER_LOUD") == "1" else subprocess.DEVNULL
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": loud}
        self._process = subprocess.Popen(command, **pipes, bufsize=0, start_new_session=True, preexec_fn=sandbox.limit)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for one in (self._to, self._from):
            os.set_blocking(one, False)
        self._asked: list[Any] = []  # objects of the judge's that the student's code may ask
        self._complaint: Exception | None = None  # the last that one of them raised

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def begin(self, seconds: float) -> None:
        """Wait until the other side is there.

        Raises:
            WorkbookError: it did not come; that is nobody's answer's fault.
        """
        try:
            self.request(seconds, "begin")
        except (Gone, Exception) as error:
            raise WorkbookError(f"The sandbox did not start: {error}. Look after memory, and grade again.") from None
        self.spent = 0.0

    def request(self, seconds: float, name: str, *arguments: Any) -> Any:
        """Ask for one thing, and answer what the student's code asks of the judge's objects meanwhile.

        Raises:
            Gone: no answer after so many seconds, or the process has ended.
            Exception: what the student's code raised, under its name.
        """
        began = time.monotonic()
        try:
            self._send(_pickled((name, arguments)), began + seconds, seconds)
            while True:
                told = self._read(began + seconds, seconds)
                if "ask" not in told:
                    break
                self._send(self._reply(told), began + seconds, seconds)
        finally:
            self.spent += time.monotonic() - began
        if "raised" in told:
            raise self.raised(told["raised"])
        return told["done"]

    def raised(self, told: dict) -> BaseException:
        """What the student's code raised. Where it came out of an object of the judge's, it is the judge's own."""
        own = self._complaint
        if own is not None and [type(own).__name__, str(own)] == [_first(told), told["words"]]:
            return own
        return error(told)

    def prepared(self, value: Any) -> Any:
        """What is sent for an input: itself, or a name for what must stay here because it keeps account."""
        if isinstance(value, _STAY) or (_is_judges(value) and not isinstance(value, type)):
            self._asked.append(value)
            return Asked(len(self._asked) - 1, repr(value)[:200], getattr(value, "__name__", type(value).__name__))
        return value

    def _reply(self, told: dict) -> bytes:
        try:
            inputs = [decode(one) for one in told["inputs"]]
            options = {str(name): decode(one) for name, one in told["options"].items()}
            asked, method = self._asked[int(told["ask"])], told["method"]
            if method not in ("__call__", "__next__", "__getattribute__"):
                raise ValueError(f"no method of the judge's: {method!r}")
            if method == "__getattribute__" and inputs[0].startswith("_"):
                raise AttributeError(inputs[0])
            result = next(asked) if method == "__next__" else getattr(asked, method)(*inputs, **options)
            return _pickled((None, self.prepared(result)))
        except Exception as raised:
            self._complaint = raised
            try:
                return _pickled((raised, None))
            except Exception:
                return _pickled((RuntimeError(str(raised)), None))

    def _send(self, content: bytes, until: float, seconds: float) -> None:
        rest = memoryview(_HEAD.pack(len(content)) + content)
        with contextlib.suppress(BrokenPipeError):  # the next read says that it has gone
            while rest:
                self._wait(until, seconds)
                if select.select([], [self._to], [], 0.1)[1]:
                    rest = rest[os.write(self._to, rest) :]

    def _read(self, until: float, seconds: float) -> dict:
        size = _HEAD.unpack(self._bytes(_HEAD.size, until, seconds))[0]
        if size > _LARGEST:
            raise Gone("Your code sent more than sixty megabytes")
        try:
            told = json.loads(self._bytes(size, until, seconds))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not told.keys() & {"done", "raised", "ask"}:
            raise Gone("Your code broke the connection to the judge")
        return told

    def _bytes(self, count: int, until: float, seconds: float) -> bytes:
        found = bytearray()
        while len(found) < count:
            self._wait(until, seconds)
            if select.select([self._from], [], [], 0.1)[0]:
                piece = os.read(self._from, min(count - len(found), 1 << 20))
                if not piece:
                    raise Gone("Your code ended the process that it ran in")
                found += piece
        return bytes(found)

    def _wait(self, until: float, seconds: float) -> None:
        """Go on only while there is time; twice a second, look at what the sandbox holds."""
        if time.monotonic() > until:
            raise Gone(f"Your code ran longer than {seconds:.0f} seconds, and was stopped")
        if time.monotonic() - self._looked > 0.5:
            self._looked = time.monotonic()
            if trouble := sandbox.trouble(self._process):
                raise Gone(trouble)


def _first(raised: dict) -> str:
    return str(next(iter(raised["kinds"]), ""))


def _is_judges(value: Any) -> bool:
    """Whether a chapter's judge made the object's class; not a model and the like, whose gradients need it at hand."""
    torch = sys.modules.get("torch")
    own = str(getattr(type(value), "__module__", "")).startswith("workbook_chapters.")
    kinds = (torch.nn.Module, torch.optim.Optimizer, torch.utils.data.Dataset) if torch is not None else ()
    return own and not isinstance(value, kinds)


def _pickled(value: Any) -> bytes:
    """A pickle for the other side."""
    import cloudpickle

    with _by_value():
        return cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


@contextlib.contextmanager
def _by_value() -> Iterator[None]:
    """While the block runs, what a judge defines is pickled whole: the other side has no judge to take it from."""
    import cloudpickle

    judges = [sys.modules[name] for name in registry.loaded_judges()]
    for one in judges:
        cloudpickle.register_pickle_by_value(one)
    try:
        yield
    finally:
        for one in judges:
            cloudpickle.unregister_pickle_by_value(one)


class RemoteAnswer:
    """A function, a class or another callable in the student's process.

    Attributes:
        used_names: the names that its code uses, read from the text that was handed in (`vocabulary.forbid` asks).
    """

    def __init__(self, process: Process, told: dict, seconds: float, used_names: frozenset[str] = frozenset()):
        self._process, self._handle, self._seconds = process, told["handle"], seconds
        self.used_names = used_names
        names = told.get("parameters")
        if isinstance(names, list) and all(_is_name(one) for one in names) and len(set(names)) == len(names):
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            self.__signature__ = inspect.Signature([inspect.Parameter(one, kind) for one in names])

    def __deepcopy__(self, _: dict) -> "RemoteAnswer":
        return self

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return _call(self._process, self._handle, "", inputs, options, self._seconds)

    def beside(self, function: Callable, *inputs: Any) -> Any:
        """Run a judge's `function(answer, *inputs)` over there, where it can watch what the answer does."""
        return _call(self._process, self._handle, "", inputs, {}, self._seconds, function)


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isidentifier() and not keyword.iskeyword(text) and len(text) < 60


def _call(
    process: Process, handle: int, method: str, inputs: tuple, options: dict, seconds: float, beside: Any = None
) -> Any:
    """Call over there; afterwards the inputs here are as the call left them there."""
    import torch

    given = (*inputs, *options.values())
    folders = _folders(given)
    told = process.request(seconds, "call", handle, method, _sent(process, inputs, options, folders, beside))
    try:
        for one, changed in zip(given, told["inputs"], strict=True):
            absorb(one, changed)
        for folder in folders:
            _take_files(folder, told["files"][str(folder)])
        if told["printed"] is True:
            print("(the answer printed something)")  # a judge listens, to say that a result is handed over by return
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()  # the judge measures the answer's memory, not what this call took
            bytes(min(int(told["memory"]), 10**8))
        with contextlib.suppress(ValueError, RuntimeError, TypeError):
            torch.set_rng_state(decode(told["draws"]))
        if "error" not in told:
            return decode(told["result"], given, lambda kind, content: _made(process, seconds, kind, content))
    except (KeyError, TypeError, AttributeError, RuntimeError, OSError) as wrong:
        raise ValueError(f"the result could not be read: {wrong}") from None
    raise process.raised(told["error"])


def _sent(process: Process, inputs: tuple, options: dict, folders: list[Path], beside: Any) -> bytes:
    """The inputs of a call, and what of this process the answer may depend on."""
    import torch

    state = {
        # a judge that watches which of PyTorch's functions are called does so over there
        "modes": [one for one in torch.overrides._get_current_function_mode_stack() if _is_judges(one)],
        "gradients": [one.grad for one in leaves((*inputs, *options.values()))],
        "draws": torch.get_rng_state(),
        "grad": torch.is_grad_enabled(),
        "traced": tracemalloc.is_tracing(),
        "files": {str(folder): _files(folder) for folder in folders},
        "beside": beside,
    }
    named = {name: process.prepared(one) for name, one in options.items()}
    return _saved((tuple(process.prepared(one) for one in inputs), named, state))


def _folders(given: tuple) -> list[Path]:
    """The folders that a judge made for this answer: those of its paths that lie among the temporary files."""
    found = [Path(one).parent for one in given if isinstance(one, str | Path) and str(one).startswith(os.sep)]
    return [one for one in found if Path(tempfile.gettempdir()) in one.parents and one.is_dir()]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _take_files(folder: Path, told: dict[str, list]) -> None:
    """Make the files of a folder what they are over there. One that was replaced there is replaced here."""
    if len(told) > 100:
        raise ValueError("more than a hundred files")
    for path in folder.iterdir():
        if path.name not in told and path.is_file():
            path.unlink()
    for name, (tree, is_same) in told.items():
        content, path = decode(tree), folder / name
        if not isinstance(content, bytes) or Path(name).name != name or path.is_symlink():
            raise ValueError(f"no file: {name!r}")
        if is_same is True and path.exists():
            path.write_bytes(content)
        else:
            replace_file(path, content)


def _saved(value: Any) -> bytes:
    """Inputs as bytes. Unlike a plain pickle, torch's keeps that two tensors share memory."""
    import cloudpickle
    import torch

    with _by_value():
        held = io.BytesIO()
        torch.save(value, held, pickle_module=cloudpickle)
        return held.getvalue()


def _made(process: Process, seconds: float, kind: str, content: dict) -> Any:
    """What stands here for an object that stays with the student's code."""
    if not isinstance(content["handle"], int):
        raise ValueError("not a value: a handle")
    if kind == "iterator":
        return _items(process, seconds, content["handle"])
    if kind == "module":
        return _module(process, seconds, content)
    if kind == "function":
        return RemoteAnswer(process, content, seconds)
    raise ValueError(f"not a value: {kind!r}")


def _items(process: Process, seconds: float, handle: int) -> Iterator[Any]:
    """The items of an iterator over there, each when it is asked for."""
    while found := process.request(seconds, "next", handle):
        yield decode(found[0], (), lambda kind, content: _made(process, seconds, kind, content))


def _module(process: Process, seconds: float, content: dict) -> Any:
    """A model over there: its weights can be read here, and it computes there."""
    import torch

    handle, weights = content["handle"], {str(name): decode(one) for name, one in content["weights"]}

    class Remote(torch.nn.Module):
        def named_parameters(self, *_, **__):
            yield from weights.items()

        def parameters(self, *_, **__):
            yield from weights.values()

        def train(self, mode: bool = True):
            _call(process, handle, "train", (mode,), {}, seconds)
            return self

        def load_state_dict(self, *given: Any, **options: Any):
            _call(process, handle, "load_state_dict", given, options, seconds)

        def forward(self, *given: Any, **options: Any):
            return _call(process, handle, "", given, options, seconds)

    Remote.__name__ = str(content["name"])[:60]
    return Remote()


def absorb(mine: Any, changed: dict | None) -> None:
    """Bring an input into the state in which the call left its twin: contents, gradients, training or not."""
    import torch

    if changed is None:
        return
    for name, one in changed.get("account", {}).items():
        if type(getattr(mine, name, None)) in (int, list):
            setattr(mine, name, decode(one))
    if "weights" in changed and isinstance(mine, torch.nn.Module):
        own = dict([*mine.named_parameters(), *mine.named_buffers()])
        for name, one in changed["weights"].items():
            absorb(own[name], one)
        for part, training, hooks in zip(mine.modules(), changed["training"], changed["hooks"], strict=True):
            part.training = training is True
            for _ in range(min(int(hooks), 100) - len(part._forward_hooks) - len(part._forward_pre_hooks)):
                part.register_forward_hook(lambda *_: None)  # in the place of one that was left over there
    elif "groups" in changed and isinstance(mine, torch.optim.Optimizer):
        for group, weights in zip(mine.param_groups, changed["groups"], strict=True):
            for one, new in zip(group["params"], weights, strict=True):
                absorb(one, new)
    elif "items" in changed and len(mine) == len(changed["items"]):
        for one, new in zip(mine, changed["items"], strict=True):
            absorb(one, new)
    elif "tensor" in changed:
        new = decode(changed["tensor"]).detach()
        if new.shape == mine.shape and new.dtype == mine.dtype:
            mine.data.copy_(new)
        else:
            mine.data = new
        if mine.is_leaf:
            mine.grad = decode(changed["gradient"])
    elif "value" in changed:
        _refill(mine, decode(changed["value"]))
    elif "format" in changed:
        kind, columns = changed["format"]
        mine.set_format(kind if kind in (None, "torch", "numpy", "pandas", "arrow") else None, columns)
    elif "parts" in changed:
        for name in ("predictions", "label_ids"):
            absorb(getattr(mine, name), changed["parts"][name])


def _refill(mine: Any, new: Any) -> None:
    """Give a container the contents of another of its kind."""
    if isinstance(mine, list) and isinstance(new, list):
        mine[:] = new
    elif isinstance(mine, dict | set) and isinstance(new, dict | set):
        mine.clear()
        mine.update(new)
    elif type(mine).__name__ == "ndarray" and getattr(new, "shape", None) == mine.shape:
        mine[...] = new
