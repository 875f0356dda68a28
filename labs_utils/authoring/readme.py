"""The README's table of chapters, written between two marks from what the chapters say of themselves."""

from pathlib import Path

from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError
from labs_utils.storage import read_text, replace_file

BEGIN, END = "<!-- chapters: `labs build` writes this table -->", "<!-- end of chapters -->"


def update_table(path: Path) -> bool:
    """Bring the table in the file at `path` up to date; return whether it has changed.

    Raises:
        WorkbookError: the file does not hold both marks, in their order.
    """
    text = read_text(path)
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise WorkbookError(f"{path} needs the line {BEGIN} and, below it, the line {END}: the table goes between.")
    new = f"{head}{BEGIN}\n{table()}\n{END}{tail}"
    if new != text:
        replace_file(path, new)
    return new != text


def table() -> str:
    """One row for each chapter: its number, its title as a link, and what the learner will do."""
    rows = ["| | chapter | you will |", "| --- | --- | --- |"]
    for one in chapters().values():
        rows.append(f"| {one.number} | [{one.title}](notebooks/{one.stem}.ipynb) | {one.promise} |")
    return "\n".join(rows)
