"""`labs class grade`: every submission is run in the sandbox and judged outside of it.

What is defended, and against whom: a student who wants a mark without the work, or harm. Their code runs in `worker`,
inside `sandbox`, once for each submission, and can reach no solution, judge, test, mark, other student or network. The
judge runs here: it sends inputs and reads results as JSON (`values`), so that no object, patch or frame of theirs is
ever in its process; and each submission is judged in a process of its own. Verdicts, outputs and metadata that a
notebook brings along are not read. What remains: whoever copies a right answer has a right answer (the report shows
equal code); what a judge has to watch while an answer runs (`vocabulary.beside`, calls that are counted) is watched
over there, and can be forged by somebody determined; and whoever breaks Linux's namespaces breaks out.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from labs_utils.chapters import Chapter, chapter
from labs_utils.classroom import private_folder, write_private
from labs_utils.classroom.course import Course
from labs_utils.classroom.grading import sandbox
from labs_utils.classroom.grading.matching import Given, Merged, merge, names_used, needed
from labs_utils.classroom.grading.remote import Gone, Process, RemoteAnswer
from labs_utils.classroom.grading.values import decode
from labs_utils.classroom.handing.submitted import Unreadable, chapter_of, read_cells
from labs_utils.classroom.submissions import Submission, all_of, counting
from labs_utils.errors import WorkbookError
from labs_utils.exercises import registry
from labs_utils.exercises.judging import judge
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED
from labs_utils.exercises.vocabulary import describe_error
from labs_utils.paths import ROOT
from labs_utils.storage import read_json, read_text

NOT_JUDGED = "not judged"
CELL, CHAPTER = 60.0, 600.0  # seconds: for a student's cell or one call of their answer; for a whole submission
_START = 120  # seconds until a sandbox has to be there, on a machine that does much else
_JUDGE = 120  # seconds that a judge may think about one answer, the answer's own time included
_ODD = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
_UNTOUCHED = "Replace the … in the stub, then run this cell again."


def grade(course: Course, sandboxed: bool = True, told: Callable[[str], None] = print) -> int:
    """Judge every submission that hasn't been judged by today's judges; return how many that were.

    Whatever happens to one submission, the others are judged, and each result is written as soon as it is there: a run
    that was stopped goes on where it was. `told` gets a line where something has to be said.

    Raises:
        WorkbookError: there can be no sandbox here, and `sandboxed` asks for one.
    """
    if sandboxed and (why := sandbox.refusal()):
        raise WorkbookError(f"{why} To grade without any, which lets every submission do what you may: --no-sandbox.")
    keys = {number: judges_key(number) for number in course.chapters()}
    first = {one.file for one in counting(course).values()}
    waiting = [one for one in all_of(course) if one.chapter in keys and not _is_judged(course, one, keys[one.chapter])]
    waiting.sort(key=lambda one: one.file not in first)
    for number in dict.fromkeys(one.chapter for one in waiting):
        _make_models(chapter(number), told)
    from tqdm import tqdm

    with tqdm(total=len(waiting), desc="grading", unit="notebook", disable=not waiting) as bar:
        for submission, result in _judged(waiting, sandboxed):
            _write(course, submission, result, keys[submission.chapter])
            bar.update()
    return len(waiting)


def judge_notebook(number: str, content: bytes, sandboxed: bool = True) -> dict[str, Any]:
    """Judge one notebook of chapter `number`: "exercises", "notes" and "sources", as a result holds them."""
    own = chapter(number)
    try:
        cells = read_cells(content)
    except Unreadable as error:
        return _nothing(own, str(error))
    found = chapter_of(cells)
    if found and found != number:
        return _nothing(own, f"This is chapter {found}, and chapter {number} was expected. Hand in the right notebook.")
    merged = merge(given_cells(own), cells)
    run = _Run(merged, sandboxed)
    run.judge_all()
    exercises = {one: run.verdicts[one] for one in registry.of_chapter(own)}
    return {"exercises": exercises, "notes": merged.notes, "sources": merged.sources}


def given_cells(own: Chapter) -> list[Given]:
    """The code cells of a chapter's student notebook."""
    notebook = json.loads(read_text(ROOT / "notebooks" / f"{own.stem}.ipynb"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [Given(cell["id"], "".join(cell["source"]), tuple(cell["metadata"].get("tags", ()))) for cell in code]


def judges_key(number: str) -> str:
    """What a result was judged with: the judges, the notebook, the code around them, the libraries; a sha256."""
    own, found = chapter(number), hashlib.sha256()
    code = [ROOT / "labs_utils" / room for room in ("exercises", "classroom/grading")]
    files = [own.folder / "judges.py", ROOT / "notebooks" / f"{own.stem}.ipynb"]
    for path in [*files, *sorted(file for room in code for file in room.glob("*.py"))]:
        found.update(path.read_bytes())
    for name in ("torch", "transformers", "tokenizers", "datasets"):
        found.update(importlib.metadata.version(name).encode())
    return found.hexdigest()


def result_file(course: Course, submission: Submission) -> Path:
    """Where the result of a submission is kept."""
    name = f"{submission.chapter}-{submission.sha256[:8]}.json"
    return course.folder / "results" / submission.student / name


def _verdict(status: str, message: str, mistake: str = "", seconds: float = 0.0) -> dict[str, Any]:
    return {"status": status, "message": message[:4000], "mistake": mistake, "seconds": round(seconds, 1)}


def _nothing(own: Chapter, sentence: str) -> dict[str, Any]:
    """The result where no exercise could be judged."""
    numbers = registry.of_chapter(own)
    verdicts = {number: _verdict(NOT_JUDGED, sentence) for number in numbers}
    return {"exercises": verdicts, "notes": [sentence], "sources": dict.fromkeys(numbers, "")}


@dataclass
class _Run:
    """The judging of one submission. A cell that ends the process, or never ends, is left out of the next try."""

    merged: Merged
    sandboxed: bool
    verdicts: dict[str, dict] = field(default_factory=dict)
    left_out: set[int] = field(default_factory=set)
    raised: dict[str, str] = field(default_factory=dict)  # by exercise: what its answer's cell raised
    spent: float = 0.0

    def judge_all(self) -> None:
        """Give every exercise a verdict."""
        steps = self.merged.steps
        for step in steps:
            if step.number and not self.merged.sources[step.number]:
                self.verdicts[step.number] = _verdict(NOT_ATTEMPTED, _UNTOUCHED)
        while waiting := [step.number for step in steps if step.number and step.number not in self.verdicts]:
            if self.spent > CHAPTER:
                for number in waiting:
                    self.verdicts[number] = _verdict(NOT_JUDGED, f"The notebook ran longer than {CHAPTER:.0f} seconds.")
                return
            self._try(sorted({place for number in waiting for place in needed(steps, number)}))

    def _try(self, places: list[int]) -> None:
        """Run these steps in a new process, until one of them ends it."""
        arguments = ["-m", "labs_utils.classroom.grading.worker"]
        words = sandbox.command(arguments) if self.sandboxed else sandbox.without(arguments)
        with Process(words) as process:
            process.begin(_START)
            place = places[0]
            try:
                for place in places:
                    if self.spent + process.spent > CHAPTER:
                        return
                    if place not in self.left_out:
                        self._step(process, place)
            except Gone as gone:
                self._blame(place, str(gone))
            finally:
                self.spent += process.spent

    def _step(self, process: Process, place: int) -> None:
        step = self.merged.steps[place]
        if not step.number:
            try:
                # The chapter's own cells load libraries and models, which can take long on a busy machine.
                error = process.request(CELL if step.is_own else CHAPTER, "run", step.source)
            except Exception as raised:
                error = describe_error(raised)
            if step.answers and isinstance(error, str):
                self.raised[step.answers] = error[:1000]
        elif step.number not in self.verdicts:
            before = process.spent
            with _alarm(_JUDGE):
                verdict = self._check(process, step.number, step.source)
            self.verdicts[step.number] = verdict | {"seconds": round(process.spent - before, 1)}

    def _check(self, process: Process, number: str, expression: str) -> dict[str, Any]:
        """Ask for the answer, and judge it."""
        try:
            taken = process.request(CELL, "take", expression)
            if taken["stub"] is True:
                return _verdict(NOT_ATTEMPTED, _UNTOUCHED)
            used = names_used(self.merged.steps, number)
            answer = RemoteAnswer(process, taken, CELL, used) if taken["calls"] is True else decode(taken["value"])
        except Exception as error:
            cell = self.raised.get(number)
            why = f"Your cell raised {cell}" if cell else f"There is no answer: {type(error).__name__}: {error}"
            return _verdict(FAILED, f"{why.rstrip('.')}. Restart the kernel and run the notebook from its first cell.")
        verdict = judge(number, answer)
        known = [sentence for sentence, _ in registry.find(number).mistakes]
        mistake = next((sentence for sentence in known if sentence in verdict.message), "")
        return _verdict(verdict.status, verdict.message, mistake)

    def _blame(self, place: int, why: str) -> None:
        """What becomes of a step that ended the process: its exercise isn't judged, and it is not run again."""
        step = self.merged.steps[place]
        self.left_out.add(place)
        number = step.number or step.answers
        if number:
            self.verdicts[number] = _verdict(NOT_JUDGED, f"{why}.", seconds=CELL if "longer" in why else 0.0)
        else:
            whose = "One of your own cells" if step.is_own else "A given cell"
            self.merged.notes.append(f"{whose} was left out ({step.source.strip()[:60]!r} …): {why}.")


@contextlib.contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    """Stop a judge that takes too long over what an answer returned."""

    def ring(*_: object) -> None:
        raise Gone(f"Judging took longer than {seconds} seconds: your code returns too much, or takes too long")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _judged(waiting: list[Submission], sandboxed: bool) -> Iterator[tuple[Submission, dict]]:
    """Each submission and its result, on all cores.

    Each is judged in a fresh process, forked from one that has imported the libraries: what an answer did to a judge's
    own objects reaches no other submission, and a judge's process that dies, or hangs, costs one submission.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch", "transformers"])
    left = list(reversed(waiting))
    running: dict[Connection, tuple[Submission, Any, float]] = {}
    try:
        while left or running:
            while left and len(running) < _cores():
                one = left.pop()
                mine, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_judge_file, args=(theirs, one, sandboxed, (CELL, CHAPTER)))
                process.start()
                theirs.close()
                running[mine] = one, process, time.monotonic() + 2 * CHAPTER
            ready = wait(list(running), timeout=1)
            for mine, (one, process, until) in list(running.items()):
                if mine in ready or time.monotonic() > until:
                    del running[mine]
                    yield one, _received(mine, process, chapter(one.chapter))
    finally:
        for _, process, _ in running.values():
            process.kill()


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _received(mine: Connection, process: Any, own: Chapter) -> dict[str, Any]:
    """The result that a judge's process sends; where it sends none, the result says so."""
    try:
        return mine.recv() if mine.poll() else _nothing(own, f"Judging took longer than {2 * CHAPTER:.0f} seconds.")
    except (EOFError, OSError):
        return _nothing(own, "The judge's process ended while it judged this notebook. Look at it by hand.")
    finally:
        process.join(2)  # whoever sent a result ends by itself, and tidies up
        process.kill()
        process.join()
        mine.close()


def _judge_file(result: Connection, one: Submission, sandboxed: bool, limits: tuple[float, float]) -> None:
    """What a judge's process does. Ctrl-C is for the one that waits for it."""
    global CELL, CHAPTER
    CELL, CHAPTER = limits
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (sandbox.MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    try:
        found = judge_notebook(one.chapter, one.file.read_bytes(), sandboxed)
    except WorkbookError as error:  # this machine's fault, and not the submission's
        found = _nothing(chapter(one.chapter), str(error)) | {"judges": ""}
    except Exception as error:
        found = _nothing(chapter(one.chapter), _failure(error))
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        result.send(found)


def _failure(error: Exception) -> str:
    return f"Judging failed ({type(error).__name__}: {str(error)[:200]}). Look at this notebook by hand."


def _is_judged(course: Course, submission: Submission, key: str) -> bool:
    return read_json(result_file(course, submission)).get("judges") == key


def _write(course: Course, submission: Submission, result: dict, key: str) -> None:
    """Write a result. After a regrade by other judges it also holds the statuses from before.

    A result that names no judges is made anew by the next run.
    """
    path = result_file(course, submission)
    before = read_json(path)
    old = before.get("exercises", {}) if before.get("judges") else {}
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    content = {
        "student": submission.student,
        "chapter": submission.chapter,
        "sha256": submission.sha256,
        "handed_in": submission.handed_in.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "graded": now,
        "judges": key,
        **_clean(result),
    }
    if old:
        content["before"] = {number: one["status"] for number, one in old.items()}
    private_folder(path.parent)
    write_private(path, json.dumps(content, indent=1, ensure_ascii=False))


def _clean(tree: Any) -> Any:
    """The result without what no file or page can hold: half characters, and control characters."""
    if isinstance(tree, dict):
        return {name: _clean(part) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_clean(part) for part in tree]
    return _ODD.sub("\ufffd", tree) if isinstance(tree, str) else tree


@functools.cache
def _roles() -> tuple[str, ...]:
    from labs_utils.materials.catalog import entries

    return tuple(entries()["models"])


def _make_models(own: Chapter, told: Callable[[str], None]) -> None:
    """Put together the models that a chapter's notebook names: inside the sandbox they can only be read."""
    from labs_utils.materials.catalog import checkpoint

    text = "\n".join(one.source for one in given_cells(own))
    for role in _roles():
        if f'"{role}"' in text:
            try:
                checkpoint(role)
            except WorkbookError as error:
                told(f"Chapter {own.number} needs a model that isn't here, and cells that use it will fail. {error}")
