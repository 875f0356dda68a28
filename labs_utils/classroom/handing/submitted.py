"""A notebook that somebody handed in, read without trusting it: its cells, and which chapter it is."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError

LARGEST = 50_000_000  # bytes; ours have some ten thousand, and with every figure in them a few million
_CELLS = 2_000
_START = re.compile(r"""^[ \t]*lab\.start\(\s*["'](\d\d)["']""", re.MULTILINE)
_ID = re.compile(r"c(\d\d)-\d{3}")


class Unreadable(WorkbookError):
    """The bytes are no notebook that can be read; the sentence says why and what to do."""


@dataclass(frozen=True)
class Cell:
    """One cell: its id (empty where the file has none), its kind ("code", "markdown" or "raw") and its text."""

    id: str
    kind: str
    source: str


def read_cells(content: bytes) -> list[Cell]:
    """Return the cells of a notebook, whoever saved it: JupyterLab, Colab, VS Code, an older format without ids.

    Outputs and metadata are dropped: nothing that a submission says about itself is believed.

    Raises:
        Unreadable: too large, no JSON, no notebook, or one with thousands of cells.

    >>> read_cells(b'{"cells": [{"cell_type": "code", "id": "c04-001", "source": ["x = 1\\\\n", "x"]}]}')
    [Cell(id='c04-001', kind='code', source='x = 1\\nx')]
    """
    if len(content) > LARGEST:
        size, most = f"{len(content) / 1e6:.0f} MB", f"{LARGEST / 1e6:.0f} MB"
        raise Unreadable(f"The file has {size}, and {most} are read. Clear the outputs, save, and hand in again.")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise Unreadable("The file is no notebook: it holds no JSON. Hand in the .ipynb file itself.") from None
    found = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(found, list):
        raise Unreadable("The file is no notebook of today's format: it has no cells. Save it in JupyterLab once more.")
    if len(found) > _CELLS:
        raise Unreadable(f"The notebook has {len(found)} cells, and {_CELLS} are read. Delete what isn't yours.")
    return [_cell(one) for one in found if isinstance(one, dict)]


def _cell(given: dict[str, Any]) -> Cell:
    source = given.get("source", "")
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str))
    # NUL can't be compiled, and a carriage return is some editor's line end.
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    known = given.get("id")
    kind = given.get("cell_type")
    return Cell(known if isinstance(known, str) else "", kind if kind in ("code", "markdown") else "raw", text)


def chapter_of(cells: list[Cell]) -> str:
    """Return the number of the chapter that a notebook is, by what its cells start, or else by their ids; or "".

    >>> chapter_of([Cell("", "code", 'lab.start("04")')])
    '04'
    >>> chapter_of([Cell("", "code", "1 + 1")])
    ''
    """
    started = [found for cell in cells if cell.kind == "code" for found in _START.findall(cell.source)]
    named = Counter(found[1] for cell in cells if (found := _ID.fullmatch(cell.id)))
    for number in [*started[:1], *(number for number, _ in named.most_common(1))]:
        if number in chapters():
            return number
    return ""
