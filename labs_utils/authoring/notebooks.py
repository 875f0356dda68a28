"""chapters/NN_name/lesson.py → notebooks/NN_name.ipynb (student) and solutions/NN_name.ipynb (solved).

Pure and idempotent: the same source gives the same bytes, cell ids included; no code is run. The source is py:percent
with Otter's markers. In the student notebook a block between `# BEGIN SOLUTION` and `# END SOLUTION` becomes
`...  # your code here`, and the right-hand side of a line that ends in `# SOLUTION` becomes `...`.
"""

import re
from pathlib import Path

from labs_utils.authoring.addresses import Addresses, addresses, links
from labs_utils.chapters import Chapter, chapters
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT
from labs_utils.storage import replace_file

STUB = "...  # your code here"
_BLOCK = re.compile(r"^([ \t]*)# BEGIN SOLUTION[ \t]*\n(.*?)^[ \t]*# END SOLUTION[ \t]*$", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^([ \t]*[\w., ]+?[ \t]*=[ \t]*)(\S.*?)[ \t]*# SOLUTION[ \t]*$", re.MULTILINE)
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build(folder: Path = ROOT) -> list[Path]:
    """Write both notebooks of every chapter below `folder`, atomically; return the paths that changed."""
    changed = []
    for chapter in chapters().values():
        for edition, text in zip(("notebooks", "solutions"), convert(chapter), strict=True):
            path = folder / edition / f"{chapter.stem}.ipynb"
            if not path.exists() or path.read_bytes() != text.encode():
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, text)
                changed.append(path)
    return changed


def convert(chapter: Chapter, known: Addresses | None = None) -> tuple[str, str]:
    """Return the text of the student and of the solved notebook of one chapter.

    `known` are the addresses that links and the cell for Colab are made from; without it, those of this project.

    Raises:
        WorkbookError: an unpaired marker, or a title or start cell that isn't where every chapter has it.
    """
    import jupytext

    notebook = jupytext.reads(chapter.lesson.read_text(encoding="utf-8"), fmt="py:percent")
    known = addresses() if known is None else known
    return _render(notebook, chapter, known, solved=False), _render(notebook, chapter, known, solved=True)


def instructors(chapter: Chapter) -> str:
    """Return the text of the instructor's edition: the solved notebook with the cells that are tagged `instructor`."""
    import jupytext

    notebook = jupytext.reads(chapter.lesson.read_text(encoding="utf-8"), fmt="py:percent")
    return _render(notebook, chapter, addresses(), solved=True, instructor=True)


def student_cell(source: str) -> str:
    """Replace solutions by stubs.

    >>> student_cell("def f(x):\\n    # BEGIN SOLUTION\\n    return 2 * x\\n    # END SOLUTION")
    'def f(x):\\n    ...  # your code here'
    >>> student_cell("length = len(tokens)  # SOLUTION")
    'length = ...  # your code here'
    """
    return _marked(_LINE.sub(rf"\1{STUB}", _BLOCK.sub(rf"\1{STUB}", source)))


def solved_cell(source: str) -> str:
    """Keep solutions, drop their markers.

    >>> solved_cell("length = len(tokens)  # SOLUTION")
    'length = len(tokens)'
    """
    return _marked(_LINE.sub(r"\1\2", _BLOCK.sub(lambda found: found[2].rstrip("\n"), source)))


def solution_lines(source: str) -> list[str]:
    """The lines of a source cell that only the solved notebook may show, stripped."""
    blocks = [line for found in _BLOCK.finditer(source) for line in found[2].splitlines()]
    return [line.strip() for line in [*blocks, *(found[2] for found in _LINE.finditer(source))] if line.strip()]


def _marked(source: str) -> str:
    left = re.search(r"# (BEGIN|END) SOLUTION|# SOLUTION[ \t]*$", source, re.MULTILINE)
    if left:
        raise WorkbookError(f"A solution marker has no partner, or stands where it can't be replaced:\n{source}")
    return source


def _render(notebook, chapter: Chapter, known: Addresses, solved: bool, instructor: bool = False) -> str:
    import nbformat

    cells, exercises = [], chapter.table("exercises")
    for index, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if "instructor" in tags and not instructor:
            continue
        if cell.cell_type == "code":
            text = solved_cell(cell.source) if solved else student_cell(cell.source)
            if known.repository and text.startswith("import labs_utils as lab\n"):
                cells.append(_colab_cell(chapter, known))
            make = nbformat.v4.new_code_cell
        else:
            text = headed(cell.source, exercises)
            text = _badges(text, chapter.stem, known) if index == 0 else text
            make = nbformat.v4.new_markdown_cell
        shown = [tag for tag in tags if tag != "long"]  # for authors only
        cells.append(make(text, id=f"c{chapter.number}-{index:03d}", metadata={"tags": shown} if shown else {}))
    built = nbformat.v4.new_notebook(cells=cells, metadata=_METADATA)
    built.nbformat_minor = 5
    return nbformat.writes(built, version=4) + "\n"


def headed(source: str, exercises: dict) -> str:
    """Complete the line `### Exercise 4.2` by the exercise's title, stars and minutes."""

    def complete(found: re.Match) -> str:
        number = found[1]
        if number not in exercises:
            raise WorkbookError(f"exercises.toml has no exercise {number!r}; it has {', '.join(exercises)}.")
        own = exercises[number]
        stars = "★" * own["stars"] + "☆" * (3 - own["stars"])
        return f"### Exercise {number} — {own['title']}  {stars}  ~{own['minutes']} min"

    return re.sub(r"^### Exercise (\d+\.\d+)$", complete, source, flags=re.MULTILINE)


def _badges(source: str, stem: str, known: Addresses) -> str:
    """Put the row of links under a chapter's title, where there is anything to link to."""
    title, _, rest = source.partition("\n")
    if not title.startswith("# "):
        raise WorkbookError(f"{stem}: the first cell begins with its title, '# …'; it begins with {title!r}.")
    found = links(known, stem)
    if known.pages:
        found.append(("Read the page", f"{known.pages}/{stem}.html"))
    row = " · ".join(f"[{name}]({address})" for name, address in found)
    return f"{title}\n\n{row}\n\n{rest.lstrip()}" if row else source


_COLAB = """\
#@title On Colab this cell fetches and installs the workbook; anywhere else it does nothing {{ display-mode: "form" }}
import os, subprocess, sys

if "google.colab" in sys.modules:
    if not os.path.isdir("/content/workbook"):
        clone = ["git", "clone", "--quiet", "--depth=1", "--branch={ref}", "{repository}", "/content/workbook"]
        subprocess.run(clone, check=True)
    sys.path.insert(0, "/content/workbook")
    from labs_utils import colab
    colab.prepare("{number}", "{ref}")"""


def _colab_cell(chapter: Chapter, known: Addresses):
    """The cell that a chapter on Colab begins with: folded in JupyterLab, a form on Colab. Running it twice is fine."""
    import nbformat

    hidden = {"tags": ["colab"], "jupyter": {"source_hidden": True}, "cellView": "form"}
    source = _COLAB.format(repository=known.repository, ref=known.ref, number=chapter.number)
    return nbformat.v4.new_code_cell(source, id=f"c{chapter.number}-colab", metadata=hidden)
