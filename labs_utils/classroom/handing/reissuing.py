"""A corrected chapter meets a student's work: two notebooks are merged, and nothing is lost.

What a student wrote stays: answers in their place, own cells where they were. What they left as it was given becomes
what is given now. A given cell that they changed and that was corrected stays below the correction, as a comment.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from labs_utils.authoring.notebooks import STUB
from labs_utils.classroom.handing.submitted import read_cells

YOURS = "Yours, before the correction"
_ALIKE = 0.5  # of SequenceMatcher's ratio: a text that was corrected has more in common, another text has less
_DEFINES = re.compile(r"^(?:async +)?(?:def|class) +(\w+)|^(\w+)[ \t]*(?::[^=\n]+)?=(?!=)", re.MULTILINE)


@dataclass
class _Cell:
    """One cell as the file has it, and what merging asks of it."""

    raw: dict[str, Any]
    id: str
    kind: str
    source: str
    exercise: bool
    names: set[str] = field(default_factory=set)  # that code defines at its top level


def reissue(mine: bytes, new: bytes, base: bytes | None) -> tuple[bytes, list[str]]:
    """Merge a student's notebook with the corrected one.

    Args:
        mine: the student's notebook, whoever saved it: JupyterLab, Colab, VS Code.
        new: the notebook that is handed out now.
        base: the one that they began with; without it, a changed given cell can't be told from a corrected one, and
            both are kept.

    Returns:
        The merged notebook, and a sentence for each thing that was kept beside a correction, put back or taken out.

    Raises:
        WorkbookError: one of the three is no notebook that can be read.

    >>> def notebook(*sources):
    ...     cells = [{"cell_type": "code", "id": f"c04-00{n}", "source": text} for n, text in enumerate(sources)]
    ...     return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    >>> merged, notes = reissue(notebook("x = 1", "mine"), notebook("x = 2"), notebook("x = 1"))
    >>> ["".join(cell["source"]) for cell in json.loads(merged)["cells"]], notes
    (['x = 2', 'mine'], [])
    """
    own, given = _cells(mine), _cells(new)
    before = given if base is None else _cells(base)
    now = _match(before, given, ids_hold=False)
    was = _match(own, before, ids_hold=base is not None)
    merge = _Merge(given, {place for place in now if place is not None} if base is not None else set())
    for cell, place in zip(own, was, strict=True):
        if place is None:
            merge.add(cell.raw)
        else:
            merge.take(cell, before[place] if base is not None else None, now[place])
    notebook = json.loads(new.decode("utf-8-sig"))
    kept = json.loads(mine.decode("utf-8-sig")).get("metadata")
    notebook["metadata"] = kept if isinstance(kept, dict) and kept else notebook.get("metadata", {})
    notebook["cells"] = merge.cells()
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode(), merge.notes


def _cells(content: bytes) -> list[_Cell]:
    read = read_cells(content)  # refuses what is no notebook
    raws = [one for one in json.loads(content.decode("utf-8-sig"))["cells"] if isinstance(one, dict)]
    found = []
    for cell, raw in zip(read, raws, strict=True):
        about = raw.get("metadata")
        tags = about.get("tags", []) if isinstance(about, dict) else []
        names = {first or second for first, second in _DEFINES.findall(cell.source)} if cell.kind == "code" else set()
        found.append(_Cell(raw, cell.id, cell.kind, cell.source, "exercise" in tags, names))
    return found


def _match(left: list[_Cell], right: list[_Cell], ids_hold: bool) -> list[int | None]:
    """For each cell of `left`, the place of the same cell in `right`, or None.

    By text; an answer by the name that it defines; with `ids_hold` by id; what is left between two matched neighbours
    by being alike. Ids hold between a notebook and a student's copy of it. They hold the cell's number, so a cell that
    was put in gives all those behind it other ids.
    """
    found: list[int | None] = [None] * len(left)
    free = set(range(len(right)))

    def pair(i: int, j: int) -> None:
        found[i] = j
        free.discard(j)

    same = {(cell.id, cell.kind, cell.source): j for j, cell in enumerate(right)}
    for i, cell in enumerate(left):
        if (j := same.get((cell.id, cell.kind, cell.source))) in free:
            pair(i, j)
    for i, j in _same_text(left, right, [i for i, one in enumerate(found) if one is None], sorted(free)):
        pair(i, j)
    for j in [j for j in sorted(free) if right[j].exercise]:
        rivals = [i for i, cell in enumerate(left) if found[i] is None and cell.names & right[j].names]
        if rivals:  # the cell that was given; or the last one, since what it defines is what counts
            pair(max((left[i].id == right[j].id, left[i].exercise, i) for i in rivals)[2], j)
    if ids_hold:
        for j in sorted(free):
            name = right[j].id, right[j].kind
            named = [i for i, cell in enumerate(left) if found[i] is None and (cell.id, cell.kind) == name]
            if len(named) == 1:
                pair(named[0], j)
    for i, cell in enumerate(left):
        if found[i] is None:
            between = [j for j in _between(found, i, len(right)) if j in free and right[j].kind == cell.kind]
            if (chosen := _most_alike(cell, right, between)) is not None:
                pair(i, chosen)
    return found


def _same_text(left: list[_Cell], right: list[_Cell], mine: list[int], theirs: list[int]) -> Iterator[tuple[int, int]]:
    """Pairs of cells with equal text: first those in the same order, then the ones that were moved."""
    texts = [_text(left[i]) for i in mine], [_text(right[j]) for j in theirs]
    blocks = SequenceMatcher(None, texts[0], texts[1], autojunk=False).get_matching_blocks()
    in_order = [(mine[block.a + k], theirs[block.b + k]) for block in blocks for k in range(block.size)]
    yield from in_order
    done, taken = {i for i, _ in in_order}, {j for _, j in in_order}
    for i in mine:
        same = (j for j in theirs if j not in taken and _text(left[i]) == _text(right[j]))
        if i not in done and (j := next(same, None)) is not None:
            taken.add(j)
            yield i, j


def _text(cell: _Cell) -> tuple[str, str]:
    return cell.kind, cell.source


def _between(found: list[int | None], i: int, end: int) -> range:
    """The places in `right` between those of the nearest matched neighbours of cell `i`."""
    before = next((j for j in reversed(found[:i]) if j is not None), -1)
    after = next((j for j in found[i + 1 :] if j is not None), end)
    return range(before + 1, after)


def _most_alike(cell: _Cell, right: list[_Cell], candidates: list[int]) -> int | None:
    """The candidate whose text has most in common with the cell's, if that is enough."""
    rated = [(SequenceMatcher(None, cell.source, right[j].source).ratio(), -j) for j in candidates]
    ratio, place = max(rated, default=(0.0, 0))
    return -place if ratio >= _ALIKE else None


class _Merge:
    """The corrected notebook, cell by cell, with what the student's keeps of theirs before, in and after each."""

    def __init__(self, given: list[_Cell], known: set[int]):
        self.given, self.known = given, known  # known: the places in `given` that the student's notebook should have
        self.notes: list[str] = []
        self.chosen: dict[int, dict] = {}  # by place in `given`: the cell that stands there
        self.above: dict[int, list[dict]] = {}
        self.below: dict[int, list[dict]] = {}  # -1: before the first cell
        self.at = -1

    def take(self, cell: _Cell, was: _Cell | None, place: int | None) -> None:
        """Put a cell that was given where it belongs now. `was` is what it was given as, if that is known."""
        if place is not None:
            self.at = place
            self._keep_in_place(cell, was, self.given[place], place)
        elif was is not None and cell.source == was.source:
            self.notes.append(f"{_called(cell)} is no longer in the chapter, and you had not changed it: it is gone.")
        else:
            self.notes.append(f"{_called(cell)} is no longer in the chapter. You had changed it: it stays as your own.")
            self.add(cell.raw)

    def add(self, raw: dict) -> None:
        """Put a cell of the student's own below the one that it stood below."""
        self.below.setdefault(self.at, []).append(raw)

    def _keep_in_place(self, cell: _Cell, was: _Cell | None, now: _Cell, place: int) -> None:
        untouched = cell.source == (now.source if was is None else was.source)
        if cell.source == now.source:
            self.chosen[place] = _dressed(cell, now)
        elif untouched:
            self.chosen[place] = _dressed(now, now)
        elif now.exercise:
            self.chosen[place] = _dressed(cell, now)
            if was is None or was.source != now.source:
                self._note_new_stub(cell, was, now, place)
        elif was is not None and was.source == now.source:  # nothing was corrected here
            self.chosen[place] = _dressed(cell, now)
        else:
            self.chosen[place] = _dressed(now, now)
            self.add(_as_comment(cell))
            self.notes.append(
                f"{_called(now)} was corrected. You had changed it: your text stands below, as a comment."
            )

    def _note_new_stub(self, cell: _Cell, was: _Cell | None, now: _Cell, place: int) -> None:
        if was is None and STUB not in cell.source and _head(cell.source) == _head(now.source):
            return  # nobody knows the old stub, and the answer fits the new one
        text = (
            f"**This exercise was corrected after you answered.** It now begins with:\n\n```python\n{now.source}\n```"
        )
        names = " and ".join(sorted(now.names)) or "your answer"
        self.above[place] = [{"cell_type": "markdown", "metadata": {}, "source": _lines(text)}]
        self.notes.append(f"The exercise {names} was corrected. Your answer stays, with the new stub above it.")

    def cells(self) -> list[dict]:
        """The merged cells, each with an id that no other has."""
        used = {cell.id for cell in self.given}
        merged = [_own(raw, used) for raw in self.below.get(-1, [])]
        for place, cell in enumerate(self.given):
            if place not in self.chosen and place in self.known:
                self.notes.append(f"{_called(cell)} was missing in your notebook, and is back.")
            merged += [_own(raw, used) for raw in self.above.get(place, [])]
            merged.append(self.chosen.get(place) or _dressed(cell, cell))
            merged += [_own(raw, used) for raw in self.below.get(place, [])]
        return merged


def _dressed(cell: _Cell, now: _Cell) -> dict:
    """A cell, with its outputs, under the id and the tags of the given one."""
    return _whole(cell.raw) | {"id": now.id, "metadata": _about(cell) | _about(now), "source": _lines(cell.source)}


def _whole(raw: dict) -> dict:
    """A cell with what today's format asks of one."""
    kind = raw.get("cell_type")
    parts: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"metadata": {}, "source": []} | parts | raw


def _about(cell: _Cell) -> dict:
    about = cell.raw.get("metadata")
    return about if isinstance(about, dict) else {}


def _as_comment(cell: _Cell) -> dict:
    """A cell of the student's own that keeps their text and runs nothing: it must not undo the correction."""
    if cell.kind == "code":
        text = "\n".join([f"# {YOURS}", *(f"# {line}".rstrip() for line in cell.source.split("\n"))])
        return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": _lines(text)}
    return {"cell_type": "markdown", "metadata": {}, "source": _lines(f"*{YOURS}:*\n\n{cell.source}")}


def _own(raw: dict, used: set[str]) -> dict:
    """A cell of the student's own, with the id that it has, or a new one where another cell has that."""
    known = raw.get("id")
    if not isinstance(known, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", known) or known in used:
        digest = hashlib.sha256(json.dumps(raw.get("source", "")).encode()).hexdigest()[:8]
        names = (f"own-{digest}-{number}" for number in itertools.count())
        known = next(name for name in names if name not in used)
    used.add(known)
    return _whole(raw) | {"id": known}


def _head(source: str) -> list[str]:
    """The lines that a stub fixes: those that begin a function or a class."""
    return [line.strip() for line in source.split("\n") if re.match(r"\s*(async +)?(def|class) ", line)]


def _called(cell: _Cell) -> str:
    """A cell in a sentence: its first line, shortened."""
    first = next((line.strip() for line in cell.source.split("\n") if line.strip()), "")
    return f"The given cell “{first[:50]}{'…' if len(first) > 50 else ''}”"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
