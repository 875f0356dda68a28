"""The instructor's edition of the chapters: what to plan, what students get wrong, what to talk about."""

import importlib.util
import json
from pathlib import Path

from labs_utils.authoring.notebooks import instructors
from labs_utils.chapters import Chapter, chapter
from labs_utils.classroom import write_private
from labs_utils.classroom.course import Course
from labs_utils.errors import WorkbookError
from labs_utils.exercises import registry
from labs_utils.storage import replace_folder


def build(course: Course) -> Path:
    """Write `guide/`: the chosen chapters, solved, each with its notes for who teaches it. Return the folder.

    Raises:
        WorkbookError: the extra `classroom` isn't installed.
    """
    if importlib.util.find_spec("jupytext") is None:
        raise WorkbookError("The lessons are read with jupytext: pip install -c constraints.txt -e '.[classroom]'.")
    target = course.folder / "guide"
    with replace_folder(target) as part:
        for number in course.chapters():
            own = chapter(number)
            write_private(part / f"{own.stem}.ipynb", edition(own))
        part.chmod(0o700)
    return target


def edition(own: Chapter) -> str:
    """The text of one chapter's notebook for the instructor.

    The cells of the lesson that are tagged `instructor` are in it; and behind the title and each exercise, cells that
    are made from what the workbook knows: minutes, stars, and the mistakes that the exercise's judge tells apart.
    """
    notebook = json.loads(instructors(own))
    cells = [notebook["cells"][0], _cell(own, "plan", _plan(own))]
    for cell in notebook["cells"][1:]:
        cells.append(cell)
        for number in registry.of_chapter(own):
            if cell["cell_type"] == "markdown" and f"### Exercise {number} " in "".join(cell["source"]):
                cells.append(_cell(own, number, _notes(number)))
    return json.dumps(notebook | {"cells": cells}, indent=1, ensure_ascii=False) + "\n"


def _cell(own: Chapter, name: str, text: str) -> dict:
    lines = text.splitlines(keepends=True)
    marks = {"tags": ["instructor"]}
    identity = f"c{own.number}-guide-{name.replace('.', '-')}"
    return {"cell_type": "markdown", "id": identity, "metadata": marks, "source": lines}


def _plan(own: Chapter) -> str:
    """How long the chapter and its exercises take, and what comes before it."""
    table = own.table("exercises")
    rows = [f"| {number} | {one['title']} | {one['stars']} | {one['minutes']} |" for number, one in table.items()]
    minutes = sum(one["minutes"] for one in table.values())
    before = ", ".join(own.needs) or "none"
    head = f"**For the instructor.** About {own.minutes} minutes, {minutes} of them exercises. Before it: {before}."
    return "\n".join([head, "", "| exercise | | stars | minutes |", "| --- | --- | --- | --- |", *rows])


def _notes(number: str) -> str:
    """What students get wrong, as the judge tells it apart."""
    mistakes = list(dict.fromkeys(sentence for sentence, _ in registry.find(number).mistakes))
    if not mistakes:
        return "**For the instructor.** The judge knows no mistakes here; it says what came back and what was due."
    return "\n".join(["**For the instructor.** Mistakes that the judge knows:", "", *(f"- {one}" for one in mistakes)])
