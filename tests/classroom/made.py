"""Notebooks as students hand them in: the chapter's own, with answers in it."""

import copy
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from labs_utils.chapters import chapter
from labs_utils.classroom.grading.grading import given_cells
from labs_utils.classroom.grading.matching import merge
from labs_utils.classroom.handing.submitted import Cell, read_cells
from labs_utils.paths import ROOT


@functools.cache
def _read(folder: str, number: str) -> dict[str, Any]:
    return json.loads((ROOT / folder / f"{chapter(number).stem}.ipynb").read_text(encoding="utf-8"))


def empty(number: str) -> dict[str, Any]:
    """A chapter's student notebook, to be changed."""
    return copy.deepcopy(_read("notebooks", number))


def solved(number: str) -> bytes:
    """A chapter's solved notebook."""
    return json.dumps(_read("solutions", number)).encode()


@functools.cache
def places(number: str) -> dict[str, str]:
    """The id of each exercise's cell in a chapter."""
    found = {step.answers: step.source for step in merge(given_cells(chapter(number)), []).steps if step.answers}
    stubs = {"".join(cell["source"]): cell["id"] for cell in _read("notebooks", number)["cells"]}
    return {exercise: stubs[source] for exercise, source in found.items()}


@functools.cache
def right(number: str) -> dict[str, str]:
    """The solved cell of each exercise of a chapter."""
    by_id = {cell["id"]: "".join(cell["source"]) for cell in _read("solutions", number)["cells"]}
    return {exercise: by_id[place] for exercise, place in places(number).items()}


def code(source: str, id: str = "") -> dict[str, Any]:
    """A code cell of a notebook."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    return cell | ({"id": id} if id else {})


def handed_in(number: str, answers: Mapping[str, str], own: Sequence[str] = ()) -> dict[str, Any]:
    """A student's notebook: their answers in the exercises' cells, and their own cells right after `lab.start`."""
    notebook = empty(number)
    by_id = {place: answers[exercise] for exercise, place in places(number).items() if exercise in answers}
    for cell in notebook["cells"]:
        cell["source"] = by_id.get(cell["id"], cell["source"])
    start = next(place for place, cell in enumerate(notebook["cells"]) if "lab.start(" in "".join(cell["source"]))
    notebook["cells"][start + 1 : start + 1] = [code(source, f"own-{place}") for place, source in enumerate(own)]
    return notebook


def as_bytes(notebook: Any) -> bytes:
    """A notebook as a file."""
    return json.dumps(notebook).encode()


def as_cells(notebook: dict[str, Any]) -> list[Cell]:
    """The cells of a notebook, as they are read from a file."""
    return read_cells(as_bytes(notebook))
