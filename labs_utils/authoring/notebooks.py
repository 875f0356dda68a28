"""chapters/NN_name/lesson.py → notebooks/NN_name.ipynb (student) and solutions/NN_name.ipynb (solved).

Pure and idempotent: the same source gives the same bytes, cell ids included; no code is run. The source is py:percent
with Otter's markers. In the student notebook a block between `# BEGIN SOLUTION` and `# END SOLUTION` becomes
`...  # your code here`, and the right-hand side of a line that ends in `# SOLUTION` becomes `...`.
"""

import re
import tomllib
from pathlib import Path

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


def convert(chapter: Chapter) -> tuple[str, str]:
    """Return the text of the student and of the solved notebook of one chapter.

    Raises:
        WorkbookError: an unpaired marker, or a title or start cell that isn't where every chapter has it.
    """
    import jupytext

    notebook = jupytext.reads(chapter.lesson.read_text(encoding="utf-8"), fmt="py:percent")
    return _render(notebook, chapter, solved=False), _render(notebook, chapter, solved=True)


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


def _render(notebook, chapter: Chapter, solved: bool) -> str:
    import nbformat

    cells, exercises = [], chapter.table("exercises")
    for index, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if "instructor" in tags and not solved:
            continue
        if cell.cell_type == "code":
            text = _on_colab(solved_cell(cell.source) if solved else student_cell(cell.source))
            make = nbformat.v4.new_code_cell
        else:
            text = headed(cell.source, exercises)
            text = _badges(text, chapter.stem) if index == 0 else text
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


def _urls() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]


def _badges(source: str, stem: str) -> str:
    """Put the badge row under a chapter's title."""
    title, _, rest = source.partition("\n")
    if not title.startswith("# "):
        raise WorkbookError(f"{stem}: the first cell begins with its title, '# …'; it begins with {title!r}.")
    urls = _urls()
    repository = urls["Repository"].removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{stem}.ipynb"
    binder = f"https://mybinder.org/v2/gh/{repository}/main?urlpath=lab/tree/notebooks/{stem}.ipynb"
    page = f"{urls['Pages']}/{stem}.html"
    row = f"[Open in Colab]({colab}) · [Open in Binder]({binder}) · [Read the page]({page})"
    return f"{title}\n\n{row}\n\n{rest.lstrip()}"


def _on_colab(source: str) -> str:
    """Let the cell that starts a chapter install the workbook first when it runs on Colab. Running it twice is fine."""
    if not source.startswith("import labs_utils as lab\n"):
        return source
    repository = _urls()["Repository"]
    return (
        "import os, subprocess, sys\n"
        'if "google.colab" in sys.modules:  # on Colab, fetch and install the workbook first\n'
        '    if not os.path.isdir("/content/workbook"):\n'
        f'        subprocess.run(["git", "clone", "--depth=1", "{repository}", "/content/workbook"], check=True)\n'
        '        subprocess.run([sys.executable, "-m", "pip", "install", "-qe", "/content/workbook"], check=True)\n'
        '        subprocess.run(["labs", "fetch"], check=True)\n'
        '    sys.path.insert(0, "/content/workbook")\n' + source
    )
