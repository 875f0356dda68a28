"""The process in which a student's code runs: it runs cells, and calls what they define when a judge asks.

It is started inside the sandbox (`python -m labs_utils.classroom.grading.worker`) and trusts whoever started it: what
comes in on its standard input are pickles of inputs. What goes out is JSON (`values`), and the judge believes none of
it: the student's code lives in this process and may do with it what it likes. Whatever it sends is just a result, and a
result has to be right.
"""

import ast
import contextlib
import inspect
import io
import json
import os
import pickle
import resource
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO

from labs_utils.classroom.grading.values import Encoder, TooLarge

PROCESSES = 128  # with their threads
_HEAD = struct.Struct("!Q")


def write_frame(stream: BinaryIO, content: bytes) -> None:
    """Write one message: its length in eight bytes, then itself."""
    stream.write(_HEAD.pack(len(content)) + content)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes:
    """Read one message; b"" when the other side has gone."""
    head = stream.read(_HEAD.size)
    return stream.read(_HEAD.unpack(head)[0]) if len(head) == _HEAD.size else b""


class Worker:
    """Answers one request after the other until its input ends."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self.requests, self.answers = requests, answers
        self.kept: list[Any] = []  # answers, and results that can't cross: the judge knows them by their place
        self.shell: Any = None

    def serve(self) -> None:
        """Read requests: (the name of a method of ours, its arguments)."""
        while message := read_frame(self.requests):
            name, arguments = pickle.loads(message)
            try:
                self.send({"done": getattr(self, f"do_{name}")(*arguments)})
            except TooLarge as error:
                self.send({"raised": {"kinds": ["ValueError"], "words": str(error), "status": None}})
            except BaseException as error:  # whatever an answer raises is for the student to read
                self.send({"raised": Encoder().encode_error(error)})

    def send(self, message: dict) -> None:
        """Send one message to the judge."""
        write_frame(self.answers, json.dumps(message, allow_nan=False).encode())

    def do_begin(self) -> None:
        """Import what every answer needs, before anybody's time is counted."""
        import torch  # noqa: F401

        self.shell = _shell()

    def do_run(self, source: str) -> str | None:
        """Run a cell as a notebook does; return what it raised, in words, or None."""
        outcome = self.shell.run_cell(source, store_history=False)
        error = outcome.error_before_exec or outcome.error_in_exec
        return None if error is None else _in_words(error)

    def do_take(self, expression: str) -> dict:
        """Keep what an expression in the notebook's names gives: the answer to an exercise. Return what it is like."""
        from labs_utils.exercises.judging import is_stub

        answer = eval(compile(ast.parse(expression, mode="eval"), "check", "eval"), self.shell.user_ns)
        return {
            "stub": is_stub(answer),
            "handle": self.keep(answer),
            "calls": callable(answer),
            "class": inspect.isclass(answer),
            "parameters": _parameters(answer),
            "value": None if callable(answer) else self.encoder().encode(answer),
        }

    def do_call(self, handle: int, method: str, sent: bytes) -> dict:
        """Call a kept object (or one of its methods) and tell how it went, and what became of the inputs."""
        import torch

        # torch.load keeps that two tensors share memory; a pickle of its own does not.
        inputs, options, state = torch.load(io.BytesIO(sent), weights_only=False)
        handed = tuple(self.received(one) for one in inputs)
        named = {name: self.received(one) for name, one in options.items()}
        given = (*handed, *named.values())
        for tensor, gradient in zip(leaves(given), state["gradients"], strict=True):
            tensor.grad = gradient
        # The items of a list as they are now: what an answer puts in their place is no change of theirs.
        known = [[*one] if _holds_tensors(one) else one for one in given]
        before, files = [_after(one) for one in known], Files(state["files"])
        called, heard = self.kept[handle], io.StringIO()
        called = getattr(called, method) if method else called
        if state["beside"] is not None:
            called = partial(state["beside"], called)
        torch.set_rng_state(state["draws"])
        with torch.set_grad_enabled(state["grad"]), contextlib.redirect_stdout(heard), _memory(state["traced"]) as most:
            try:
                with contextlib.ExitStack() as watching:
                    for mode in state["modes"]:
                        watching.enter_context(mode)
                    result = called(*handed, **named)
                told = {"result": self.encoder(given).encode(result)}
            except BaseException as error:  # whatever an answer raises is for the student to read
                told = {"error": Encoder().encode_error(error)}
        after = [_after(one) for one in known]
        for one in _hooks_on_all():  # they would be there for the next answer, too
            one.clear()
        return told | {
            "printed": bool(heard.getvalue().strip()),
            "inputs": [new if new != old else None for old, new in zip(before, after, strict=True)],
            "draws": Encoder().encode(torch.get_rng_state()),
            "files": files.found(),
            "memory": most[0],
        }

    def do_next(self, handle: int) -> list:
        """The next item of a kept iterator, in a list; an empty list when it has ended."""
        return [self.encoder().encode(item) for item in _one(self.kept[handle])]

    def keep(self, value: Any) -> int:
        """Keep an object; return its place."""
        self.kept.append(value)
        return len(self.kept) - 1

    def encoder(self, inputs: tuple = ()) -> Encoder:
        """An encoder for which iterators, functions and models are kept here and known by their place."""
        return Encoder(inputs, self.handle)

    def handle(self, value: Any) -> dict | None:
        """What stands for an object that has to stay here."""
        import torch

        if isinstance(value, torch.nn.Module):
            weights = [[name, Encoder().encode(one)] for name, one in value.named_parameters()]
            return {"module": {"handle": self.keep(value), "weights": weights, "name": type(value).__name__}}
        if hasattr(value, "__next__"):
            return {"iterator": {"handle": self.keep(value), "words": f"<{type(value).__name__}>"}}
        if isinstance(value, FunctionType):
            return {"function": {"handle": self.keep(value), "parameters": _parameters(value)}}
        return None

    def received(self, value: Any) -> Any:
        """An input as the student's code gets it: what belongs to the judge is asked there each time."""
        return Theirs(self, value.place, value.words, value.kind) if isinstance(value, Asked) else value

    def ask(self, place: int, method: str, inputs: tuple, options: dict) -> Any:
        """Ask the judge's process what its object says."""
        told = self.encoder()
        named = {name: told.encode(one) for name, one in options.items()}
        self.send({"ask": place, "method": method, "inputs": [told.encode(one) for one in inputs], "options": named})
        error, result = pickle.loads(read_frame(self.requests))
        if error is not None:
            raise error
        return self.received(result)


class Files:
    """The folders that a judge made for an answer, with their files; here they are at the same place."""

    def __init__(self, given: dict[str, dict[str, bytes]]):
        self._numbers: dict[Path, int] = {}
        self._folders = [Path(one) for one in given]
        for folder, files in given.items():
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                path = Path(folder, name)
                path.write_bytes(content)
                self._numbers[path] = path.stat().st_ino

    def found(self) -> dict[str, dict[str, list]]:
        """What is in the folders now: of each file its content, and whether it is the one that was there."""
        return {str(folder): dict(self._of(folder)) for folder in self._folders}

    def _of(self, folder: Path) -> Iterator[tuple[str, list]]:
        for path in sorted(folder.iterdir())[:100]:
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 10**7:
                same = self._numbers.get(path) == path.stat().st_ino
                yield path.name, [Encoder().encode(path.read_bytes()), same]


class Asked:
    """Sent in the place of an object that stays with the judge."""

    def __init__(self, place: int, words: str, kind: str):
        self.place, self.words, self.kind = place, words, kind


class Theirs:
    """An object of the judge's: a function, a stream, a model that keeps account. Its methods run over there."""

    def __init__(self, worker: Worker, place: int, words: str, kind: str):
        self.__dict__.update(_worker=worker, _place=place, _words=words, __name__=kind)

    def _asked(self, method: str, *inputs: Any, **options: Any) -> Any:
        return self._worker.ask(self._place, method, inputs, options)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self._asked("__call__", *inputs, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._asked("__getattribute__", name)

    def __iter__(self) -> "Theirs":
        return self

    def __next__(self) -> Any:
        return self._asked("__next__")

    def __repr__(self) -> str:
        return self._words


def _shell() -> Any:
    """A notebook's shell without a notebook: magics, `await`, `display`."""
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.cache_size.default_value = 0
    shell = InteractiveShell.instance(colors="NoColor")
    sys.modules["__main__"].__dict__.update(shell.user_ns)
    shell.user_module, shell.user_ns = sys.modules["__main__"], sys.modules["__main__"].__dict__
    return shell


def _in_words(error: BaseException) -> str:
    from labs_utils.exercises.vocabulary import describe_error

    return describe_error(error)[:1000]


def _parameters(function: Any) -> list[str] | None:
    """The names of the parameters that can be given by place; None where it doesn't say."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    return [one.name for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


@contextlib.contextmanager
def _memory(traced: bool) -> Iterator[list[int]]:
    """How many bytes Python asked for at most while the block ran, where a judge wants to know."""
    most = [0]
    if traced:
        tracemalloc.start()
    try:
        yield most
    finally:
        if traced:
            most[0] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()


def _one(iterator: Any) -> list:
    for item in iterator:
        return [item]
    return []


def _after(value: Any) -> Any:
    """What a judge may want to know of an input after the call, because the call may have changed it."""
    import torch

    if isinstance(value, torch.nn.Module):
        weights = {name: _after(one) for name, one in [*value.named_parameters(), *value.named_buffers()]}
        modes = [part.training for part in value.modules()]
        hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in value.modules()]
        hooks[0] += sum(len(one) for one in _hooks_on_all())
        return {"weights": weights, "training": modes, "hooks": hooks, "account": _account(value)}
    if isinstance(value, torch.optim.Optimizer):
        groups = [[_after(one) for one in group["params"]] for group in value.param_groups]
        return {"groups": groups, "account": _account(value)}
    if isinstance(value, torch.Tensor):
        # .grad of a tensor inside a graph warns, and is None
        gradient = value.grad if value.is_leaf else None
        return {"tensor": Encoder().encode(value), "gradient": Encoder().encode(gradient)}
    if _holds_tensors(value):
        return {"items": [_after(one) for one in value]}
    if isinstance(value, list | dict | set) or type(value).__name__ == "ndarray":
        with contextlib.suppress(TooLarge):
            return {"value": Encoder().encode(value)}
    if type(value).__name__ == "Dataset" and hasattr(value, "set_format"):
        return {"format": [value.format["type"], list(value.format["columns"])]}
    if type(value).__module__.startswith("transformers.") and hasattr(value, "predictions"):
        return {"parts": {name: _after(getattr(value, name)) for name in ("predictions", "label_ids")}}
    return None


def _hooks_on_all() -> list[dict]:
    """The hooks that are called for every module there is."""
    from torch.nn.modules import module

    return [module._global_forward_hooks, module._global_forward_pre_hooks]


def _holds_tensors(value: Any) -> bool:
    import torch

    return isinstance(value, list | tuple) and any(isinstance(one, torch.Tensor | torch.nn.Module) for one in value)


def leaves(value: Any) -> list:
    """The tensors in inputs that can have a gradient, which no pickle carries; in the same order on both sides."""
    import torch

    if isinstance(value, torch.nn.Module):
        return [*value.parameters()]
    if isinstance(value, torch.optim.Optimizer):
        return [one for group in value.param_groups for one in group["params"]]
    if isinstance(value, list | tuple):
        return [one for item in value for one in leaves(item)]
    return [value] if isinstance(value, torch.Tensor) and value.is_leaf else []


def _account(value: Any) -> dict:
    """What an object of a judge's own class has noted of itself: its plain public attributes."""
    if not type(value).__module__.startswith("workbook_chapters."):
        return {}
    plain = {name: one for name, one in vars(value).items() if isinstance(one, int | list) and not name.startswith("_")}
    return {name: Encoder().encode(one) for name, one in plain.items() if name != "training"}


def main() -> None:
    """Serve whoever holds the other ends of standard input and output, which the student's code doesn't get."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Here and not where the sandbox is started: there, everything that the teacher runs would count, too.
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    nothing = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1, 2) if os.environ.get("LABS_WORKER_LOUD") != "1" else (0, 1):
        os.dup2(nothing, place)
    # The module that pickles name, and not a second one called __main__.
    from labs_utils.classroom.grading import worker

    worker.Worker(requests, answers).serve()


if __name__ == "__main__":
    main()
