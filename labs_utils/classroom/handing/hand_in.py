"""Handing in, from the student's side: `lab.hand_in()`, `lab.handed_in()`, `lab.take_back()`, `labs hand-in`.

What is handed in is the notebook's file, in one format for every way: without outputs that are larger than a megabyte,
and with the chapter's number in its metadata. Where the environment names the Hub of a class (LABS_HUB and
LABS_HUB_TOKEN, and LABS_CLASS if you are in several), it goes there, into a private repository of yours that the
teacher can read. Without one it becomes a file beside the notebook, to be uploaded wherever the class hands in.

A call does it at once. A button would live in the notebook's outputs, and would be pressed in a kernel that has long
forgotten which file it belongs to.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from labs_utils.authoring.notebooks import STUB
from labs_utils.chapters import chapter as the_chapter
from labs_utils.classroom.handing import on_hub
from labs_utils.classroom.handing.submitted import Cell, chapter_of, read_cells
from labs_utils.errors import WorkbookError
from labs_utils.exercises.registry import of_chapter
from labs_utils.paths import home
from labs_utils.storage import read_json, replace_file

_LARGE = 1_000_000  # bytes of one output; the figures of this course stay below
_FRESH = 120  # seconds since the file was saved: JupyterLab saves what changed every two minutes
_BLUE = "#0072B2"


@dataclass(frozen=True, repr=False)
class Receipt:
    """What was handed in. A notebook shows it as a box, `print` as lines.

    Attributes:
        chapter: the chapter's number.
        sha256: of the bytes that were handed in.
        time: when: by the Hub's clock, or by this machine's for a file.
        user: who, as the Hub knows you; "" for a file.
        commit: which version on the Hub; "" for a file.
        where: the repository on the Hub, or the file to upload.
        again: whether you had handed in exactly this before, so that nothing new was made.
        notes: what you may want to look at.
    """

    chapter: str
    sha256: str
    time: datetime
    user: str
    commit: str
    where: str
    again: bool
    notes: tuple[str, ...]

    @property
    def headline(self) -> str:
        """What happened, in a sentence."""
        title = f"Chapter {self.chapter}, {the_chapter(self.chapter).title},"
        if not self.commit:
            return f"{title} is ready: upload the file to where your class hands in."
        return f"{title} was handed in before, exactly like this." if self.again else f"{title} is handed in."

    def _facts(self) -> list[tuple[str, str]]:
        who = [("who", self.user)] if self.user else []
        commit = [("commit", self.commit[:12])] if self.commit else []
        local = self.time.astimezone()
        when = f"{local:%Y-%m-%d %H:%M:%S} (UTC{local.isoformat()[-6:]})"
        return [*who, ("where" if who else "file", self.where), ("time", when), ("sha256", self.sha256[:12]), *commit]

    def __repr__(self) -> str:
        return "\n".join([self.headline, *(f"  {name:<7} {value}" for name, value in self._facts()), *self.notes])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'><code>{escape(value)}</code></td></tr>"
            for name, value in self._facts()
        )
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        box = f"border-left:4px solid {_BLUE};padding:4px 12px;margin:4px 0"
        return f'<div style="{box}"><b>{escape(self.headline)}</b><table>{rows}</table>{notes}</div>'


def hand_in(chapter: str | None = None, notebook: str | Path | None = None, share_hints: bool = False) -> Receipt:
    """Hand in a chapter's notebook as it was saved last, and return the receipt. Save first: Ctrl+S.

    Handing in twice keeps both; the last one before the deadline counts.

    Args:
        chapter: if given, the chapter that the notebook has to be.
        notebook: its file; without it, the notebook of this kernel.
        share_hints: whether the teacher is told how many hints you saw for each exercise.

    Raises:
        WorkbookError: the file can't be found or is no notebook of the course, or the Hub can't be reached or refuses;
            nothing was handed in then.
    """
    file = _notebook() if notebook is None else Path(notebook).expanduser()
    content, saved = _read(file)
    content = slim(content)
    cells = read_cells(content)
    number = _number(file, cells, chapter)
    content = marked(content, number, _hints(number) if share_hints else None)
    notes = _notes(cells, saved)
    if _address():
        return _push(number, content, notes)
    path = _free(file.parent / f"hand-in_{the_chapter(number).stem}_{time.strftime('%Y%m%d-%H%M%S')}.ipynb")
    _write(path, content)
    now = datetime.now().astimezone()
    return Receipt(number, _sha256(content), now, "", "", str(path), False, notes)


def handed_in():
    """What you have handed in to the Hub of your class, the last first: a table with chapter, time, commit, sha256.

    Raises:
        WorkbookError: the environment names no Hub, or it can't be reached.
    """
    import pandas as pd

    rows = [
        {
            "chapter": one["title"].split()[-1].partition("_")[0],
            "what": one["title"],
            "time": pd.Timestamp(one["time"]),
            "commit": one["commit"][:12],
            "sha256": one["sha256"][:12],
        }
        for one in _ask("handed_in")
    ]
    return pd.DataFrame(rows, columns=["chapter", "what", "time", "commit", "sha256"])


def take_back(chapter: str) -> str:
    """Take back what you handed in to the Hub of your class: of a chapter, such as `"04"`, or `"all"`.

    All is deleted for good, with every earlier version. So is a chapter if you handed in no other; else it is no longer
    handed in, and its earlier versions stay in the history of your repository until you take back all.

    Raises:
        WorkbookError: you handed in no such chapter, or the Hub can't be reached.
    """
    if _ask("take_back", chapter=chapter):
        return "All that you handed in is deleted, with every earlier version."
    return f'Chapter {chapter} is no longer handed in. Earlier versions are deleted by lab.take_back("all").'


def slim(content: bytes) -> bytes:
    """A notebook without outputs that are larger than a megabyte, and without the state of its widgets.

    What is no notebook stays as it is: reading it says why.
    """
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
        for cell in notebook["cells"]:
            if "outputs" in cell:
                cell["outputs"] = [one for one in cell["outputs"] if len(json.dumps(one)) <= _LARGE]
        notebook.setdefault("metadata", {}).pop("widgets", None)
        return _json(notebook)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return content


def marked(content: bytes, number: str, hints: dict[str, int] | None) -> bytes:
    """The notebook with `metadata.workbook`: its chapter, and the hints that were shared."""
    notebook = json.loads(content.decode("utf-8-sig"))
    about = notebook.get("metadata")
    notebook["metadata"] = about if isinstance(about, dict) else {}
    notebook["metadata"]["workbook"] = {"chapter": number} | ({} if hints is None else {"hints": hints})
    return _json(notebook)


def _json(notebook: dict[str, Any]) -> bytes:
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _notebook() -> Path:
    """The file of the notebook that this kernel runs."""
    shell = _shell()
    names = [shell.user_ns.get("__vsc_ipynb_file__") if shell else None, os.environ.get("JPY_SESSION_NAME")]
    for name in names:
        if isinstance(name, str) and name.endswith(".ipynb"):
            for path in (Path(name), Path.cwd() / Path(name).name):  # some front ends give a path of their server's
                if path.is_file():
                    return path
    raise WorkbookError(
        "This kernel does not know which file it runs; that happens when the notebook was renamed, and on Colab. Give "
        'its path, such as lab.hand_in(notebook="04_tokenizers.ipynb"). On Colab choose File → Download → Download '
        ".ipynb, and hand in that file."
    )


def _shell():
    """The running IPython shell, or None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _read(file: Path) -> tuple[bytes, float]:
    """A file's bytes, and when it was saved."""
    try:
        return file.read_bytes(), file.stat().st_mtime
    except OSError as error:
        raise WorkbookError(f"{file} could not be read ({error.strerror}). Give the path of your notebook.") from None


def _number(file: Path, cells: list[Cell], wanted: str | None) -> str:
    """The chapter that the cells are, if it is the one that is wanted."""
    number = chapter_of(cells)
    if not number:
        raise WorkbookError(
            f'{file.name} does not say which chapter it is: no cell starts one, as lab.start("04") does. Hand in the '
            "notebook of a chapter."
        )
    if wanted is not None and wanted != number:
        raise WorkbookError(f"{file.name} is chapter {number}, not {wanted!r}. Nothing was handed in.")
    return number


def _hints(number: str) -> dict[str, int]:
    """How many hints were seen for each exercise of a chapter."""
    seen = read_json(home() / "progress.json").get("hints", {})
    return {one: seen[one] for one in of_chapter(the_chapter(number)) if isinstance(seen.get(one), int)}


def _notes(cells: list[Cell], saved: float) -> tuple[str, ...]:
    """What a student may want to look at. It is no reason to refuse: handing in once more costs nothing."""
    notes = []
    shell, sources = _shell(), {cell.source.strip() for cell in cells}
    running = shell.history_manager.input_hist_raw[-1].strip() if shell else ""
    age = time.time() - saved
    if age > _FRESH or (running and running not in sources):
        ago = f"{age / 60:.0f} minutes ago" if age > _FRESH else "before you wrote this cell"
        notes.append(f"The file was saved {ago}. If you changed something since, save (Ctrl+S) and hand in again.")
    stubs = sum(STUB in cell.source for cell in cells if cell.kind == "code")
    if stubs:
        exercises = "1 exercise is" if stubs == 1 else f"{stubs} exercises are"
        notes.append(f"{exercises} still as given, with “{STUB}”.")
    return tuple(notes)


def _free(path: Path) -> Path:
    """A path that is not taken: two hand-ins within a second are two files."""
    names = [path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, 100))]
    return next(name for name in names if not name.exists())


def _write(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content)
    except OSError as error:
        raise WorkbookError(
            f"{path} could not be written ({error.strerror}). Free some space, or copy the notebook to a folder that "
            "you can write to."
        ) from None


def _push(number: str, content: bytes, notes: tuple[str, ...]) -> Receipt:
    stem, digest = the_chapter(number).stem, _sha256(content)
    with TemporaryDirectory() as folder:
        file = Path(folder, "notebook.ipynb")
        file.write_bytes(content)
        made = _ask("hand_in", path=f"{number}/{stem}.ipynb", file=str(file), sha256=digest)
    where = f"{_address()}/datasets/{made['repo']}"
    when = datetime.fromisoformat(made["time"])
    return Receipt(number, digest, when, made["user"], made["commit"], where, made["again"], notes)


def _address() -> str:
    """Where the Hub of the class is; "" where there is none."""
    return os.environ.get("LABS_HUB", "").rstrip("/")


def _ask(action: str, **given: Any) -> Any:
    """Ask the Hub of the class, as the student whose token is in the environment."""
    token = os.environ.get("LABS_HUB_TOKEN", "")
    if not _address() or not token:
        missing = "LABS_HUB_TOKEN (your token)" if _address() else "LABS_HUB (its address)"
        raise WorkbookError(f"{missing} is not set, so there is no Hub of a class to ask. Ask your teacher for both.")
    return on_hub.ask(_address(), token, action, group=os.environ.get("LABS_CLASS", ""), **given)
