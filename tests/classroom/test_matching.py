"""A submission's answers are found whatever became of its cells, and only what an answer needs is run."""

import functools
import re
import time

import pytest

from labs_utils.chapters import chapter, chapters
from labs_utils.classroom.grading.grading import given_cells
from labs_utils.classroom.grading.matching import Given, Merged, Step, merge, names_used, needed
from labs_utils.classroom.handing.submitted import Cell, Unreadable, chapter_of, read_cells
from tests.classroom import made

CHAPTER = [
    Given("a-1", 'import labs_utils as lab\n\nlab.start("04")'),
    Given("a-2", "import math"),
    Given("a-3", "table = [1, 2]"),
    Given("a-4", "def first(x):\n    ...", ("exercise",)),
    Given("a-5", 'lab.check("4.1", first)', ("check",)),
    Given("a-6", "table.append(3)"),
    Given("a-7", "second = ...", ("exercise",)),
    Given("a-8", 'lab.check("4.2", second)', ("check",)),
]
FIRST, SECOND = "def first(x):\n    return x + len(table)", "second = first(2)"


def submitted(*changes: tuple[str, str], drop: tuple[str, ...] = ()) -> list[Cell]:
    """The chapter as a student saved it: by id, other texts."""
    texts = {one.id: one.source for one in CHAPTER} | dict(changes)
    return [Cell(id, "code", text) for id, text in texts.items() if id not in drop]


def merged(cells: list[Cell]) -> Merged:
    return merge(CHAPTER, cells)


def answered(cells: list[Cell]) -> dict[str, str]:
    return merged(cells).sources


BOTH = {"4.1": FIRST, "4.2": SECOND}


def test_an_untouched_notebook_has_no_answers():
    found = merged(submitted())
    assert found.sources == {"4.1": "", "4.2": ""} and found.notes == []
    assert [step.number for step in found.steps if step.number] == ["4.1", "4.2"]


def test_answers_in_their_own_cells():
    found = merged(submitted(("a-4", FIRST), ("a-7", SECOND)))
    assert found.sources == BOTH and found.notes == []
    assert [step.source for step in found.steps] == [
        "import labs_utils as lab", 'import labs_utils as lab\n\nlab.start("04")', "import math", "table = [1, 2]",
        FIRST, "first", "table.append(3)", SECOND, "second",
    ]  # fmt: skip
    assert [step.answers for step in found.steps if step.answers] == ["4.1", "4.2"]


def test_the_order_in_which_cells_stand_does_not_matter():
    cells = submitted(("a-4", FIRST), ("a-7", SECOND))
    assert [step.source for step in merged(cells[::-1]).steps] == [step.source for step in merged(cells).steps]


def renumbered(cells: list[Cell]) -> list[Cell]:
    return [Cell(f"new-{place}", cell.kind, cell.source) for place, cell in enumerate(cells)]


def shifted(cells: list[Cell]) -> list[Cell]:
    """The ids of the next cell each: what a tool leaves that numbers by place after a cell was deleted."""
    return [Cell(f"a-{place + 2}", cell.kind, cell.source) for place, cell in enumerate(cells)]


def exchanged(cells: list[Cell]) -> list[Cell]:
    swap = {"a-4": "a-7", "a-7": "a-4"}
    return [Cell(swap.get(cell.id, cell.id), cell.kind, cell.source) for cell in cells]


def without(cells: list[Cell]) -> list[Cell]:
    return [Cell("", cell.kind, cell.source) for cell in cells]


@pytest.mark.parametrize("change", [renumbered, shifted, exchanged, without])
def test_without_its_id_an_answer_is_found_by_its_name(change):
    found = merged(change(submitted(("a-4", FIRST), ("a-7", SECOND))))
    assert found.sources == BOTH
    assert [note for note in found.notes if "Found by the name" in note and "4.1" in note and "4.2" in note]
    assert [step.source for step in found.steps if step.answers] == [FIRST, SECOND]


def test_all_cells_with_the_same_id():
    cells = [Cell("a-4", "code", cell.source) for cell in submitted(("a-4", FIRST), ("a-7", SECOND))]
    assert answered(cells) == BOTH


def test_an_answer_in_an_own_cell():
    cells = [*submitted(), Cell("mine", "code", FIRST)]
    found = merged(cells)
    assert found.sources["4.1"] == FIRST
    places = [place for place, step in enumerate(found.steps) if step.source == FIRST]
    check = next(place for place, step in enumerate(found.steps) if step.number == "4.1")
    assert len(places) == 1 and places[0] < check, "it runs once, and before it is checked"


def test_an_answer_in_another_exercise_s_cell():
    found = merged(submitted(("a-7", FIRST)))
    assert found.sources == {"4.1": FIRST, "4.2": ""}


def test_of_two_answers_the_last_counts_and_is_noted():
    cells = submitted(("a-4", FIRST))
    cells.insert(4, Cell("a-4", "code", "def first(x):\n    return 2"))
    found = merged(cells)
    assert found.sources["4.1"] == "def first(x):\n    return 2"
    assert ["2 times" in note for note in found.notes] == [True]


def test_a_copy_below_the_stub_counts_although_the_stub_is_there():
    cells = submitted()
    cells.insert(4, Cell("copy", "code", FIRST))
    assert answered(cells)["4.1"] == FIRST


def test_a_copy_of_the_stub_does_not_hide_the_answer():
    cells = submitted(("a-4", FIRST))
    cells.append(Cell("a-4", "code", CHAPTER[3].source))
    assert answered(cells)["4.1"] == FIRST


def test_deleted_cells_come_back():
    cells = submitted(("a-4", FIRST), drop=("a-1", "a-2", "a-3", "a-5", "a-6", "a-8"))
    assert [step.source for step in merged(cells).steps] == [
        step.source for step in merged(submitted(("a-4", FIRST))).steps
    ]


def test_changed_given_cells_are_put_back_and_noted():
    found = merged(submitted(("a-3", "table = [0] * 9"), ("a-8", 'lab.check("4.2", 7)'), ("a-4", FIRST)))
    assert "table = [1, 2]" in [step.source for step in found.steps]
    assert not [step for step in found.steps if "[0] * 9" in step.source or step.source == "7"]
    assert [note[:19] for note in found.notes] == ["The given cell a-3 ", "The given cell a-8 "]


def test_own_cells_stay_where_they_stood():
    cells = submitted(("a-4", "def first(x):\n    return helper(x)"))
    cells.insert(3, Cell("mine", "code", "def helper(x):\n    return x"))
    cells.insert(0, Cell("top", "code", "early = 1"))
    sources = [(step.source, step.is_own) for step in merged(cells).steps]
    assert sources[0] == ("early = 1", True)
    place = sources.index(("def helper(x):\n    return x", True))
    assert sources[place - 1][0] == "table = [1, 2]" and sources[place + 1][0].startswith("def first")


def test_text_cells_and_empty_cells_are_no_answers():
    cells = [*submitted(), Cell("t", "markdown", FIRST), Cell("r", "raw", FIRST), Cell("e", "code", "  \n")]
    assert answered(cells) == {"4.1": "", "4.2": ""}


@pytest.mark.parametrize(
    "text", ["def first(x:\n    return", "def first(x): return 1)", "%%time\ndef first(x)", "(" * 5000]
)
def test_an_answer_that_does_not_parse_is_still_the_answer(text):
    assert answered(submitted(("a-4", text)))["4.1"] == text


def test_an_answer_that_is_much_too_long_is_none():
    found = merged(submitted(("a-4", "def first(x):\n    return 1\n" + "# x\n" * 100_000)))
    assert found.sources["4.1"] == "" and "too many" in found.notes[0]
    assert all(len(step.source) < 1000 for step in found.steps)


def test_magics_do_not_hide_a_name():
    text = "%time 1 + 1\n!ls\nfirst?\ndef first(x):\n    return x"
    assert answered(renumbered(submitted(("a-4", text))))["4.1"] == text


# How other programs save a notebook


def saved(**changes):
    notebook = made.handed_in("04", {**made.right("04")})
    for place, cell in enumerate(notebook["cells"]):
        changes["cell"](place, cell)
    return notebook


def by_colab(place, cell):
    """Ids go into the metadata under its own name, sources become lists, code gets outputs."""
    cell["metadata"] = {"id": f"xY{place}", "colab": {"base_uri": "https://localhost:8080/"}}
    cell.pop("id", None)
    cell["source"] = cell["source"].splitlines(keepends=True) if isinstance(cell["source"], str) else cell["source"]
    if cell["cell_type"] == "code":
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["passed\n"]}]


def by_vscode(place, cell):
    """No ids at all in an old format, other line ends, outputs with errors."""
    cell.pop("id", None)
    cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")
    if cell["cell_type"] == "code":
        cell["metadata"] = {"vscode": {"languageId": "python"}}
        cell["outputs"] = [{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]


def by_another_tool(place, cell):
    """New ids."""
    cell["id"] = f"{place:08x}"


@pytest.mark.parametrize("cell", [by_colab, by_vscode, by_another_tool])
def test_a_notebook_that_another_program_saved(cell):
    cells = made.as_cells(saved(cell=cell))
    assert chapter_of(cells) == "04"
    found = merge(given_cells(chapter("04")), cells)
    assert found.sources == made.right("04")
    assert not [step for step in found.steps if step.is_own and not step.answers and not step.is_import], "own cells?"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"cells": 3}', b"[" * 10**6, b'{"worksheets": []}', b"PK\x03\x04", b"1" * 5000],
)
def test_what_is_no_notebook_is_refused_in_a_sentence(content):
    with pytest.raises(Unreadable, match=r"\. |\.$"):
        read_cells(content)


def test_strange_cells_do_no_harm():
    strange = [
        None,
        3,
        [],
        {},
        {"cell_type": []},
        {"source": 3},
        {"source": [1, "x = 1", None]},
        {"id": 3, "source": "a"},
    ]
    assert [cell.source for cell in read_cells(made.as_bytes({"cells": strange}))] == ["", "", "", "x = 1", "a"]


def test_thousands_of_cells_are_refused():
    with pytest.raises(Unreadable, match="2001 cells"):
        read_cells(made.as_bytes({"cells": [made.code("x")] * 2001}))


def test_a_notebook_of_a_hundred_megabytes_is_refused():
    with pytest.raises(Unreadable, match="100 MB"):
        read_cells(bytes(100_000_000))


@pytest.mark.parametrize(
    "text",
    ["\n" * 10**6, " " * 10**6, "%" * 10**6, "(" * 10**5, "a." * 24_000 + "a", "-" * 49_000, "1+" * 24_000 + "1",
     "x = 1\n" * 8_000, "[" * 49_000, "lambda:" * 20_000 + "1", "if 1:\n " * 9, "\ud800", "a?" * 24_000, "'" * 49_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_no_cell_keeps_the_reader_busy(text):
    began = time.process_time()
    cells = [*submitted(("a-4", text)), *(Cell(f"c04-{place:03}", "code", text) for place in range(5))]
    assert chapter_of(cells) == "04"
    found = merged(cells)
    for number in ("4.1", "4.2"):
        needed(found.steps, number)
        names_used(found.steps, number)
    assert time.process_time() - began < 10


# What has to run


def test_only_what_an_answer_needs_is_run():
    steps = [
        Step("import time"),
        Step("big = train()"),
        Step("table = {}"),
        Step("table['x'] = 1"),
        Step("def helper(): return table", is_own=True),
        Step("other = helper()", is_own=True),
        Step("def f(): return helper()", answers="4.1", is_own=True),
        Step("f", number="4.1"),
        Step("f = None", is_own=True),
    ]
    assert needed(steps, "4.1") == [2, 3, 4, 6, 7]


def test_an_own_cell_that_changes_the_answer_before_its_check_is_run():
    steps = [Step("def f(): return 1", answers="4.1"), Step("f = 2", is_own=True), Step("f", number="4.1")]
    assert needed(steps, "4.1") == [0, 1, 2]


EXERCISES = [number for one in chapters().values() for number in one.table("exercises")]
TRAINS = re.compile(r"\.train\(\)|\.backward\(|Trainer\(|\.generate\(|pipeline\(|push_to_hub|lab\.hub\(|lab\.serve")


@functools.cache
def solved_steps(number: str) -> tuple[Step, ...]:
    return tuple(merge(given_cells(chapter(number)), read_cells(made.solved(number))).steps)


@pytest.mark.parametrize("number", EXERCISES)
def test_no_exercise_waits_for_a_training_run(number):
    steps = list(solved_steps(number.partition(".")[0].zfill(2)))
    run = [steps[place] for place in needed(steps, number)]
    assert len(run) <= 25, len(run)
    assert not [step.source for step in run if TRAINS.search(step.source) and not step.answers and not step.is_import]


@pytest.mark.parametrize("number", list(chapters()))
def test_a_solved_notebook_has_every_answer_and_nothing_to_note(number):
    found = merge(given_cells(chapter(number)), read_cells(made.solved(number)))
    assert found.sources == made.right(number) and found.notes == []
    assert not [step for step in found.steps if step.is_own and not step.answers]


# Names that an exercise forbids


@pytest.mark.parametrize(
    "cells",
    [
        ["def f(x): return x.softmax(-1)"],
        ["import torch\ndef f(x): return torch.softmax(x, -1)"],
        ["from torch import softmax\ndef f(x): return softmax(x, -1)"],
        ["from torch import softmax as s\ndef f(x): return s(x, -1)"],
        ["from torch import softmax as s", "def f(x): return s(x, -1)"],
        ["import torch.softmax as s", "def f(x): return s(x, -1)"],
        ["def f(x):\n    from torch import softmax as s\n    return s(x, -1)"],
        ["import torch\ns = torch.softmax", "def f(x): return s(x, -1)"],
        ["def g(x): return x.softmax(-1)", "def h(x): return g(x)", "f = h"],
        ["class F:\n    def __call__(self, x): return x.softmax(-1)", "f = F()"],
        ["def f(x): return [(lambda: x.softmax(-1))() for _ in x]"],
        ["%time 1\ndef f(x): return x.softmax(-1)"],
    ],
    ids=lambda cells: " | ".join(cells)[:50],
)
def test_a_forbidden_name_is_found_wherever_it_hides(cells):
    steps = [*(Step(source, is_own=True) for source in cells[:-1]), Step(cells[-1], answers="4.1", is_own=True)]
    assert "softmax" in names_used([*steps, Step("f", number="4.1")], "4.1")


def test_what_a_cell_does_beside_the_answer_does_not_count():
    steps = [
        Step("def f(x): return x.exp()\nprint(f(x) - x.softmax(-1))", answers="4.1", is_own=True),
        Step("from torch import softmax as s\ns(x)", is_own=True),
        Step("f", number="4.1"),
    ]
    assert names_used(steps, "4.1") == {"exp"}
