"""What several tests read from the chapters' sources."""

import ast
import re
from functools import cache
from pathlib import Path

import jupytext

from labs_utils.authoring.notebooks import solved_cell, student_cell
from labs_utils.chapters import chapters

SOURCES = {number: one.lesson for number, one in chapters().items()}


@cache
def cells(path: Path) -> list:
    """The cells of a chapter's source."""
    return jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells


@cache
def imports(path: Path) -> str:
    """Every import statement at the top level of a chapter's code cells, except the helper package's own."""
    found = []
    for cell in cells(path):
        if cell.cell_type == "code":
            nodes = [node for node in ast.parse(cell.source).body if isinstance(node, ast.Import | ast.ImportFrom)]
            found += [ast.unparse(node) for node in nodes]
    return "\n".join(found)


def exercise(number: str) -> tuple[str, str]:
    """(source of the exercise cell, name that its check is given) of an exercise such as `"4.2"`."""
    path = SOURCES[number.partition(".")[0].zfill(2)]
    last = None
    for cell in cells(path):
        if cell.cell_type == "code" and "exercise" in cell.metadata.get("tags", []):
            last = cell.source
        asked = re.fullmatch(rf'lab\.check\("{re.escape(number)}", ([\w.]+)\)', cell.source.strip())
        if asked and last is not None:
            return last, asked[1]
    raise LookupError(f'{path} has no exercise cell followed by lab.check("{number}", name)')


def answer(number: str, solved: bool, context: dict):
    """Run the exercise's cell, solved or as a stub, and return what its check is given."""
    source, name = exercise(number)
    path = SOURCES[number.partition(".")[0].zfill(2)]
    names = {**context}
    exec(imports(path), names)
    exec((solved_cell if solved else student_cell)(source), names)
    return eval(name, names)
