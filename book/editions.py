"""A chapter as a page: the lesson's own cells with what they showed, stubs to read, solutions and hints folded.

Nothing is written twice: text, code and hints come from the chapter's folder each time.
"""

import base64
import hashlib
import itertools
import re
import sys
from html import escape
from pathlib import Path

from labs_utils.authoring.addresses import Addresses, links
from labs_utils.authoring.notebooks import headed, solved_cell, student_cell
from labs_utils.chapters import Chapter, chapters
from labs_utils.exercises import quiz
from labs_utils.paths import ROOT, home
from labs_utils.storage import replace_file

_EXERCISE = re.compile(r"^### Exercise (\d+\.\d+)$", re.MULTILINE)
_PICTURE = re.compile(r'src="data:image/png;base64,([^"]*)"')
_CELL_LINK = re.compile(r'<a href="#cell-id=[^"]*">(.*?)</a>')  # JupyterLab's way to a cell
# What lessons say of pages on which no widget answers. Here bars are drawn, and sliders have twins that answer.
_SENTENCES = (
    r"On a static page the (?:sliders?|controls) (?:(?:does not|don't) answer; open the notebook\."
    r"|are blank; the last table above is what they begin with\.)",
    r"A page without a kernel shows the (?:state in which the notebook was saved|last one)\.",
    r"The slider needs a running kernel\. Here are four of its positions, for a page without one\.",
    r"The bar moves in a notebook; a static page leaves it out\.",
    r"On a static page the widgets are blank; (?=`print` shows a bar)",
)
_UNTRUE = re.compile("|".join([rf"\({one}\)\s*|{one}\s*" for one in _SENTENCES]).replace(" ", r"\s+"))


def page(chapter: Chapter, outputs: list[list[dict]] | None, addresses: Addresses, pictures: Path) -> str:
    """The text of the notebook that Sphinx renders. Without `outputs` the page says that it was not run.

    Pictures are written to the folder `pictures`, which lies beside the page.
    """
    import jupytext
    import nbformat

    shown = iter(outputs) if outputs is not None else itertools.repeat([])
    exercises, cells, number = chapter.table("exercises"), [], ""
    for index, cell in enumerate(jupytext.reads(chapter.lesson.read_text(encoding="utf-8"), fmt="py:percent").cells):
        tags = cell.metadata.get("tags", [])
        if "instructor" in tags:
            continue
        if cell.cell_type != "code":
            number = (_EXERCISE.findall(cell.source) or [number])[-1]
            text = headed(cell.source, exercises)
            text = _opening(text, chapter, addresses, outputs is not None) if index == 0 else text
            cells.append(nbformat.v4.new_markdown_cell(_for_pages(text)))
            continue
        made = nbformat.v4.new_code_cell(solved_cell(cell.source), metadata={"tags": list(tags)}, execution_count=1)
        made.outputs = [nbformat.from_dict(_output(one, pictures)) for one in next(shown) if _is_shown(one)]
        if "exercise" in tags:
            stub = f"```python\n{student_cell(cell.source)}\n```\n\n{_block(_hints(exercises[number]['hints']))}"
            cells.append(nbformat.v4.new_markdown_cell(stub))
            made.metadata["tags"].append("hide-input")
            made.metadata["mystnb"] = {"code_prompt_show": "Solution", "code_prompt_hide": "Solution"}
        elif cell.source.startswith(f'lab.quiz("{chapter.number}")'):
            questions = _block(quiz.as_html(quiz.load(chapter.number)))
            made = nbformat.v4.new_markdown_cell(
                f"Choose an answer: it says whether it is right, and why.\n\n{questions}"
            )
        cells.append(made)
    for number, cell in enumerate(cells):
        cell.id = f"c{chapter.number}-{number:03d}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    return nbformat.writes(notebook, version=4)


def _block(html: str) -> str:
    """HTML that Markdown leaves alone."""
    return f"```{{raw}} html\n{html}\n```"


def _opening(source: str, chapter: Chapter, addresses: Addresses, was_run: bool) -> str:
    """The title; under it where the reader is, what can be opened, and, where it is so, that no cell was run."""
    title, _, rest = source.partition("\n")
    buttons = [
        f'<a class="button" href="notebooks/{chapter.stem}.ipynb" download>Download the notebook</a>',
        f'<a class="button" href="solutions/{chapter.stem}.ipynb" download>… solved</a>',
    ]
    buttons += [f'<a class="button" href="{escape(href)}">{name}</a>' for name, href in links(addresses, chapter.stem)]
    note = "" if was_run else ":::{warning}\nNo cell of this page was run: it is a preview of the text.\n:::\n\n"
    row = f"<p class=buttons>{' '.join(buttons)}</p>"
    return f"{title}\n\n{_block(_here(chapter) + row)}\n\n{note}{rest.lstrip()}"


def _here(chapter: Chapter) -> str:
    """A line of all chapters, with the present one marked."""
    marks = []
    for one in chapters().values():
        present = ' aria-current="page"' if one.number == chapter.number else ""
        marks.append(f'<a href="{one.stem}.html" title="{escape(one.title)}"{present}>{one.number}</a>')
    return f'<nav class="here" aria-label="You are here">{" ".join(marks)}</nav>'


def _for_pages(text: str) -> str:
    """Links to a chapter's notebook lead to its page; no numbers of topics; only what is so of pages."""
    text = re.sub(r"^<!-- T\d+.*?-->\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"\]\((?:\.\./notebooks/)?(\d\d_\w+)\.ipynb\)", r"](\1.ipynb)", text)
    return _UNTRUE.sub("", text)


def _hints(hints: list[str]) -> str:
    """Three hints, each inside the fold of the one before."""
    inner = ""
    for number, hint in reversed(list(enumerate(hints, 1))):
        text = quiz.inline(hint)
        inner = f"<details class=hint><summary>Hint {number} of {len(hints)}</summary><p>{text}</p>{inner}</details>"
    return inner


def _is_shown(output: dict) -> bool:
    """A page shows no widget that has no twin, and no empty line."""
    data = output.get("data", {})
    return output["output_type"] != "clear_output" and not (
        "application/vnd.jupyter.widget-view+json" in data and "text/html" not in data
    )


def _output(output: dict, pictures: Path) -> dict:
    """One output for a page: pictures as files with a text, no path of the machine that ran the cell."""
    output = dict(output)
    if output["output_type"] == "stream":
        return output | {"text": _nowhere("".join(output["text"]))}
    if "data" not in output:
        return output
    data = {kind: _nowhere(value) if kind.startswith("text/") else value for kind, value in output["data"].items()}
    if "image/png" in data and "text/html" not in data:
        text = escape(data["text/plain"].strip(), quote=True)
        data["text/html"] = f'<img src="data:image/png;base64,{data["image/png"].strip()}" alt="{text}">'
    if "text/html" in data:
        html = _PICTURE.sub(lambda found: _filed(found[1], pictures), data["text/html"])
        html = _CELL_LINK.sub(r"\1", html)
        html = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', html)
        data = {"text/html": f'<div class="shown">{html}</div>', "text/plain": data.get("text/plain", "")}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def _filed(encoded: str, pictures: Path) -> str:
    """Write a picture as a file named by its content; return the attributes of the <img> that shows it."""
    content = base64.b64decode(encoded)
    path = pictures / f"{hashlib.sha256(content).hexdigest()[:20]}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # the header of a PNG
    return f'src="{pictures.name}/{path.name}" width="{width}" height="{height}" loading="lazy"'


def _nowhere(text) -> str:
    """The text without paths of the machine that ran it."""
    text = "".join(text)
    own = [(sys.prefix, "~/workbook/.venv")] if sys.prefix != sys.base_prefix else []
    for folder, name in [*own, (str(ROOT), "~/workbook"), (str(home()), "~/labs"), (str(Path.home()), "~")]:
        text = text.replace(folder, name) if len(folder) > 1 else text
    if "/labs-home-" not in text:  # a search from each of the millions of characters of a figure would take minutes
        return text
    return re.sub(r"(?:/[\w.-]+)*/labs-home-\w+", "~/labs", text)  # a throw-away home of the tests
