"""Otter's `assign` reads our lessons: the markers of solutions are its own, and questions are raw cells around them."""

import subprocess

import jupytext
import nbformat

from labs_utils.authoring.notebooks import student_cell
from labs_utils.chapters import chapter
from tests.elsewhere.environments import asked_for, fresh

CONFIG = "# ASSIGNMENT CONFIG\n" + "\n".join(
    f"{name}: false"
    for name in ("requirements", "solutions_pdf", "export_cell", "run_tests", "init_cell", "check_all_cell")
)


def assignment(number: str):
    """A lesson as Otter wants it: each exercise's cell between the raw cells of a question and of its solution."""
    lesson = jupytext.read(chapter(number).lesson)
    raw, found = nbformat.v4.new_raw_cell, []
    for cell in lesson.cells:
        if "exercise" in cell.metadata.get("tags", []):
            begin = raw(f"# BEGIN QUESTION\nname: q{len(found)}\npoints: 1")
            found += [begin, raw("# BEGIN SOLUTION"), cell, raw("# END SOLUTION"), raw("# END QUESTION")]
        else:
            found.append(cell)
    lesson.cells = [raw(CONFIG), *found]
    lesson.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return lesson


@asked_for
def test_otter_makes_the_students_notebook_of_a_lesson(tmp_path):
    python = fresh(tmp_path / "venv")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "otter-grader>=7,<8"], check=True)
    lesson = assignment("04")
    nbformat.write(lesson, tmp_path / "04.ipynb")
    words = [python.with_name("otter"), "assign", "--no-run-tests", "04.ipynb", "made"]
    subprocess.run(words, cwd=tmp_path, check=True)
    student = nbformat.read(tmp_path / "made" / "student" / "04.ipynb", as_version=4)
    texts = [cell.source for cell in student.cells if cell.cell_type == "code"]
    for cell in lesson.cells:
        if "exercise" in cell.metadata.get("tags", []):
            assert student_cell(cell.source).replace("  # your code here", "") in texts
    assert not any("SOLUTION" in text for text in texts)
