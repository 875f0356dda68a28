"""The notebooks are made from the sources, whole and only from them, and give no solution away."""

import ast
import json
import re

import nbformat
import pytest

from labs_utils.authoring.notebooks import build, convert, headed, instructors, solution_lines, student_cell
from labs_utils.authoring.readme import table, update_table
from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT
from tests.support.sources import SOURCES, cells

every_chapter = pytest.mark.parametrize("number", list(chapters()))
NOTEBOOKS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "solutions").glob("*.ipynb")])


@every_chapter
def test_committed_notebooks_are_what_the_source_makes(number):
    student, solved = convert(chapters()[number])
    stem = chapters()[number].stem
    assert (ROOT / "notebooks" / f"{stem}.ipynb").read_bytes() == student.encode(), "run `make build`"
    assert (ROOT / "solutions" / f"{stem}.ipynb").read_bytes() == solved.encode(), "run `make build`"


def test_no_notebook_without_a_source():
    stems = {one.stem for one in chapters().values()}
    assert {path.stem for path in NOTEBOOKS} == stems


def test_building_twice_changes_nothing(tmp_path):
    assert len(build(tmp_path)) == 2 * len(chapters())
    assert build(tmp_path) == []


@every_chapter
def test_student_notebook_leaks_no_solution_and_no_output(number):
    student, _ = convert(chapters()[number])
    notebook = nbformat.reads(student, as_version=4)
    lines = {line.strip() for cell in notebook.cells for line in cell.source.splitlines()}
    outside = {
        line.strip()
        for cell in cells(SOURCES[number])
        if "exercise" not in cell.metadata.get("tags", [])
        for line in cell.source.splitlines()
    }
    for cell in cells(SOURCES[number]):
        for line in solution_lines(cell.source):
            # A line such as `return total` may stand elsewhere in the lesson; one that only the solution has must not.
            if line not in outside and len(line) > 3:
                assert line not in lines, f"chapter {number} leaks: {line}"
    assert "SOLUTION" not in student
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)


@every_chapter
def test_a_stub_keeps_only_lines_of_its_solution(number):
    for cell in cells(SOURCES[number]):
        if "exercise" in cell.metadata.get("tags", []):
            stub = student_cell(cell.source)
            assert "...  # your code here" in stub, f"{number}: an exercise cell has no solution block:\n{cell.source}"
            kept = [line.replace("...  # your code here", "").rstrip() for line in stub.splitlines()]
            assert all(
                any(whole.startswith(line) for whole in cell.source.splitlines()) for line in kept if line.strip()
            )


@every_chapter
def test_cells_are_plain_python(number):
    """nbval passes `!false` and unknown magics, and `raises-exception` when nothing raises: none may be there."""
    for cell in cells(SOURCES[number]):
        assert "raises-exception" not in cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            assert not re.search(r"^\s*[!%]", cell.source, re.MULTILINE), f"a magic or shell line in:\n{cell.source}"
            ast.parse(cell.source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_compared_cells_have_outputs(path):
    """nbval does not compare a cell tagged nbval-check-output that has no stored output."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "nbval-check-output" in cell["metadata"].get("tags", []):
            assert cell["outputs"]


@every_chapter
def test_a_checkpoint_is_loaded_at_its_pinned_revision(number):
    """`from_pretrained(encoder)` without `revision=` takes whatever is newest on the Hub in hub mode."""
    tree = ast.parse("\n".join(cell.source for cell in cells(SOURCES[number]) if cell.cell_type == "code"))
    named = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_source(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "from_pretrained",
            "pipeline",
            "load_dataset",
        ):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(_is_source(value) or (isinstance(value, ast.Name) and value.id in named) for value in given):
                assert any(keyword.arg == "revision" for keyword in node.keywords), ast.unparse(node)


def _is_source(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("lab.checkpoint", "lab.dataset")


@every_chapter
def test_the_instructors_notes_are_in_the_instructors_edition_alone(number):
    student, solved = convert(chapters()[number])
    assert "For the instructor" in instructors(chapters()[number])
    assert "For the instructor" not in student + solved


@every_chapter
def test_every_chapter_has_the_form(number):
    text = [cell.source for cell in cells(SOURCES[number]) if "instructor" not in cell.metadata.get("tags", [])]
    assert re.match(rf"# {number} \S", text[0])
    assert "You will" in text[0] and "Time" in text[0] and "You need" in text[0]
    assert text[1].splitlines() == ["import labs_utils as lab", f'lab.start("{number}")']
    headings = [line for cell in text for line in cell.splitlines() if line.startswith("## ")]
    assert headings[-3:] == ["## What changed since the notes", "## Quiz", "## Recap"]
    assert f'lab.quiz("{number}")' in text


@pytest.mark.parametrize("bad", ["# BEGIN SOLUTION\nx = 1", "x = 1\n# END SOLUTION", "print(1)  # SOLUTION"])
def test_an_unpaired_marker_is_refused(bad):
    with pytest.raises(WorkbookError, match="marker"):
        student_cell(bad)


def test_the_readme_lists_the_chapters():
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8"), "run `make build`"


def test_a_readme_without_its_marks_is_refused_and_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("# A course\n")
    with pytest.raises(WorkbookError, match="needs the line"):
        update_table(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "# A course\n"


@every_chapter
def test_a_lesson_says_what_its_chapter_says(number):
    own, first = chapters()[number], cells(SOURCES[number])[0].source
    assert first.startswith(f"# {number} {own.title}\n")
    time, need = re.search(r"\| You need \|\n\| --- .*\n\| [^|]* \| ([^|]*) \| ([^|]*) \|", first).groups()
    amount, unit = time.split()
    assert float(amount.replace("½", ".5")) * {"minutes": 1, "hours": 60}[unit.strip()] == own.minutes
    assert tuple(re.findall(r"\d\d", need)) == own.needs


@every_chapter
def test_every_chapter_that_a_text_names_is_there(number):
    """ "Chapter 14" in a lesson, a hint, a quiz or a judge's sentence: there is such a chapter."""
    folder = chapters()[number].folder
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.*")) if path.suffix != ".po")
    lists = re.findall(r"[Cc]hapters? ((?:\d\d(?:, | and | or )?)+)", text)
    named = {number for numbers in lists for number in re.findall(r"\d\d", numbers)}
    assert named <= set(chapters()), f"there is no chapter {sorted(named - set(chapters()))}"


def test_an_exercise_without_its_entry_is_refused():
    with pytest.raises(WorkbookError, match="no exercise '4.9'"):
        headed("### Exercise 4.9", {"4.1": {"title": "Count", "stars": 1, "minutes": 5}})
