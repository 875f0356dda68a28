"""A corrected notebook meets a student's: answers and own cells stay, corrections arrive, nothing is lost."""

import json
import random

import nbformat
import pytest

from labs_utils.authoring.notebooks import STUB
from labs_utils.classroom.handing.reissuing import YOURS, reissue
from labs_utils.classroom.handing.submitted import Unreadable
from labs_utils.paths import ROOT

SHOWN = [{"output_type": "stream", "name": "stdout", "text": "kept"}]


def code(source: str, id: str = "", tags: tuple = (), outputs: list | None = None) -> dict:
    about = {"tags": list(tags)} if tags else {}
    ran = {"outputs": outputs or [], "execution_count": None}
    return {"cell_type": "code", "id": id, "metadata": about, "source": source} | ran


def text(source: str, id: str = "") -> dict:
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source}


def notebook(*cells: dict) -> bytes:
    """Cells without an id get one by their place, as the course's own have."""
    numbered = [cell | {"id": cell["id"] or f"c04-{place:03d}"} for place, cell in enumerate(cells)]
    return json.dumps({"cells": numbered, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def stub(head: str, id: str = "") -> dict:
    return code(f"{head}\n    {STUB}", id, ("exercise",))


def sources(content: bytes) -> list[str]:
    nbformat.validate(nbformat.reads(content.decode(), as_version=4))
    return ["".join(cell["source"]) for cell in json.loads(content)["cells"]]


BASE = [text("# 04 Tokenizers"), code("x = 1"), stub("def f(a):"), code('lab.check("4.1", f)', tags=("check",))]
ANSWER = "def f(a):\n    return a + 1"


def given(*changed: tuple[int, dict]) -> list[dict]:
    cells = [dict(cell) for cell in BASE]
    for place, cell in changed:
        cells[place] = cells[place] | {key: value for key, value in cell.items() if key != "id"}
    return cells


def named(cells: list[dict]) -> list[dict]:
    return [cell | {"id": cell["id"] or f"c04-{place:03d}"} for place, cell in enumerate(cells)]


def test_an_answer_stays_with_its_outputs_and_a_given_cell_is_corrected():
    mine = given((1, code("x = 1", outputs=SHOWN)), (2, code(ANSWER, outputs=SHOWN)))
    merged, notes = reissue(notebook(*mine), notebook(*given((1, code("x = 2")))), notebook(*BASE))
    assert sources(merged) == ["# 04 Tokenizers", "x = 2", ANSWER, 'lab.check("4.1", f)']
    cells = json.loads(merged)["cells"]
    assert cells[1]["outputs"] == [] and cells[2]["outputs"] == SHOWN and notes == []
    assert cells[2]["metadata"] == {"tags": ["exercise"]}


def test_an_output_stays_where_the_source_is_unchanged():
    mine = given((1, code("x = 1", outputs=SHOWN)))
    merged, _ = reissue(notebook(*mine), notebook(*given((0, text("# 04 Tokenizers, mended")))), notebook(*BASE))
    assert json.loads(merged)["cells"][1]["outputs"] == SHOWN


def test_own_cells_stay_below_the_cell_that_they_stood_below():
    cells = named(given((2, code(ANSWER))))
    mine = [
        text("at the top", "t"),
        *cells[:2],
        code("y = x", "m1"),
        text("a thought", "m2"),
        *cells[2:],
        code("end", "e"),
    ]
    new = [text("# 04 Tokenizers"), text("new prose"), code("x = 2"), *BASE[2:]]
    merged, notes = reissue(notebook(*mine), notebook(*new), notebook(*BASE))
    above = ["at the top", "# 04 Tokenizers", "new prose", "x = 2", "y = x", "a thought"]
    assert sources(merged) == [*above, ANSWER, 'lab.check("4.1", f)', "end"]
    assert [cell["id"] for cell in json.loads(merged)["cells"]][4:6] == ["m1", "m2"] and notes == []


def test_ids_that_moved_by_an_inserted_cell_are_not_mistaken():
    """Ids hold a cell's number: behind an inserted cell every id means another cell."""
    new = [BASE[0], text("inserted"), code("x = 100 # corrected"), stub("def f(a):"), BASE[3]]
    base = [BASE[0], code("x = 1 # corrected"), *BASE[2:]]
    merged, notes = reissue(notebook(*base[:2], code(ANSWER), base[3]), notebook(*new), notebook(*base))
    assert sources(merged) == ["# 04 Tokenizers", "inserted", "x = 100 # corrected", ANSWER, 'lab.check("4.1", f)']
    assert len({cell["id"] for cell in json.loads(merged)["cells"]}) == 5 and notes == []


def test_a_changed_cell_is_kept_below_its_own_correction_and_not_below_the_cell_that_has_its_id_now():
    base = [BASE[0], code("rate = 1  # of all"), *BASE[2:]]
    new = [BASE[0], code("import math"), code("rate = 2  # of all"), *BASE[2:]]
    mine = [BASE[0], code("rate = 7  # of all"), *BASE[2:]]
    merged, _ = reissue(notebook(*mine), notebook(*new), notebook(*base))
    assert sources(merged)[1:4] == ["import math", "rate = 2  # of all", f"# {YOURS}\n# rate = 7  # of all"]


def test_moved_cells_without_ids_are_known_by_their_text():
    mine = [BASE[3], code(ANSWER), BASE[1], BASE[0]]
    raw = {"cells": [cell | {"id": ""} for cell in mine], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    merged, notes = reissue(json.dumps(raw).encode(), notebook(*BASE), notebook(*BASE))
    assert sources(merged) == ["# 04 Tokenizers", "x = 1", ANSWER, 'lab.check("4.1", f)'] and notes == []


def test_an_answer_without_an_id_is_known_by_the_name_that_it_defines():
    """However little it has in common with the stub, and with whatever stands around it."""
    answer = "import math\n\n" + "\n".join(f"table_{n} = [{n}, {n + 1}]" for n in range(20)) + f"\n\n{ANSWER}"
    mine = [BASE[0], BASE[1], code("g = 3"), code(answer), code("h = 4"), BASE[3]]
    raw = {"cells": [cell | {"id": ""} for cell in mine], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    merged, notes = reissue(json.dumps(raw).encode(), notebook(*BASE), notebook(*BASE))
    assert sources(merged) == ["# 04 Tokenizers", "x = 1", "g = 3", answer, "h = 4", 'lab.check("4.1", f)']
    assert json.loads(merged)["cells"][3]["id"] == "c04-002" and notes == []


def test_a_given_cell_that_was_changed_and_corrected_is_kept_below_as_a_comment():
    mine = given((1, code("x = 7\nprint(x)")))
    merged, notes = reissue(notebook(*mine), notebook(*given((1, code("x = 2")))), notebook(*BASE))
    assert sources(merged)[1:3] == ["x = 2", f"# {YOURS}\n# x = 7\n# print(x)"]
    assert "x = 2" in notes[0] and "as a comment" in notes[0]


def test_a_changed_text_stays_below_the_corrected_one():
    """A prediction is often written into the given text."""
    base = [BASE[0], text("What do you expect?"), *BASE[2:]]
    mine = [BASE[0], text("What do you expect?\n\nI think 42."), *BASE[2:]]
    new = [BASE[0], text("What do you expect now?"), *BASE[2:]]
    merged, _ = reissue(notebook(*mine), notebook(*new), notebook(*base))
    assert sources(merged)[1:3] == ["What do you expect now?", f"*{YOURS}:*\n\nWhat do you expect?\n\nI think 42."]


def test_a_changed_given_cell_that_was_not_corrected_stays_as_it_is():
    mine = given((1, code("x = 7", outputs=SHOWN)))
    merged, notes = reissue(notebook(*mine), notebook(*given((0, text("# 04 Mended")))), notebook(*BASE))
    assert sources(merged)[:2] == ["# 04 Mended", "x = 7"] and notes == []


def test_a_corrected_stub_keeps_the_answer_and_stands_above_it():
    new = given((2, stub("def f(a, b):")))
    merged, notes = reissue(notebook(*given((2, code(ANSWER)))), notebook(*new), notebook(*BASE))
    above, answer = sources(merged)[2:4]
    assert "def f(a, b):" in above and answer == ANSWER and len(notes) == 1
    assert json.loads(merged)["cells"][2]["cell_type"] == "markdown"  # as code it would define f anew
    again, notes = reissue(merged, notebook(*new), notebook(*new))
    assert sources(again) == sources(merged) and notes == []


def test_an_untouched_stub_becomes_the_corrected_one():
    merged, notes = reissue(notebook(*BASE), notebook(*given((2, stub("def f(a, b):")))), notebook(*BASE))
    assert sources(merged)[2] == f"def f(a, b):\n    {STUB}" and notes == []


def test_a_renamed_exercise_keeps_its_answer():
    new = given((2, stub("def better_name(a):")), (3, code('lab.check("4.1", better_name)')))
    merged, notes = reissue(notebook(*given((2, code(ANSWER)))), notebook(*new), notebook(*BASE))
    assert ANSWER in sources(merged) and 'lab.check("4.1", better_name)' in sources(merged) and notes


@pytest.mark.parametrize("edition", ["renumbered", "missing", "doubled"])
def test_damaged_ids_lose_nothing(edition):
    """Colab and VS Code write ids of their own, older formats none, and a copied cell keeps its id in some editors."""
    mine = named([*given((1, code("x = 5")), (2, code(ANSWER))), code("own = 1", "own")])
    for place, cell in enumerate(mine):
        cell["id"] = {"renumbered": f"{place * 7919:08x}", "missing": "", "doubled": "c04-002"}[edition]
    raw = {"cells": mine, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    merged, _ = reissue(json.dumps(raw).encode(), notebook(*given((0, text("# 04 Mended")))), notebook(*BASE))
    assert sources(merged) == ["# 04 Mended", "x = 5", ANSWER, 'lab.check("4.1", f)', "own = 1"]
    ids = [cell["id"] for cell in json.loads(merged)["cells"]]
    assert ids[:4] == ["c04-000", "c04-001", "c04-002", "c04-003"] and len(set(ids)) == 5


def test_two_cells_that_define_the_answer_both_stay_in_their_order():
    mine = named(given((2, code("def f(a):\n    return 0"))))
    mine.insert(3, code("def f(a):\n    return a + 1", "second"))
    merged, _ = reissue(notebook(*mine), notebook(*given((1, code("x = 2")))), notebook(*BASE))
    assert sources(merged)[2:4] == ["def f(a):\n    return 0", "def f(a):\n    return a + 1"]


def test_a_given_cell_that_was_deleted_is_back_and_one_that_was_withdrawn_is_gone():
    cells = named(BASE)
    merged, notes = reissue(notebook(*cells[:1], *cells[2:]), notebook(*BASE), notebook(*BASE))
    assert sources(merged) == sources(notebook(*BASE)) and "is back" in notes[0]
    merged, notes = reissue(notebook(*BASE), notebook(*cells[:1], *cells[2:]), notebook(*BASE))
    assert "x = 1" not in sources(merged) and "is gone" in notes[0]


def test_an_answer_to_a_withdrawn_exercise_stays():
    cells = named(BASE)
    merged, notes = reissue(notebook(*given((2, code(ANSWER)))), notebook(*cells[:2]), notebook(*BASE))
    assert ANSWER in sources(merged) and any("stays as your own" in note for note in notes)


def test_without_the_first_notebook_answers_own_cells_and_changes_are_kept():
    mine = [*named(given((1, code("x = 7")), (2, code(ANSWER)))), code("own = 1", "own")]
    merged, _ = reissue(notebook(*mine), notebook(*given((1, code("x = 2")))), None)
    assert sources(merged) == [
        "# 04 Tokenizers", "x = 2", f"# {YOURS}\n# x = 7", ANSWER, 'lab.check("4.1", f)', "own = 1",
    ]  # fmt: skip


def test_a_cell_that_is_no_python_is_kept():
    broken = "def f(a:\n    return"
    merged, _ = reissue(notebook(*given((2, code(broken)))), notebook(*given((1, code("x = 2")))), notebook(*BASE))
    assert sources(merged)[1:3] == ["x = 2", broken]


def test_what_is_no_notebook_is_refused():
    with pytest.raises(Unreadable, match="holds no JSON"):
        reissue(b"nothing", notebook(*BASE), notebook(*BASE))


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_whatever_both_sides_did(seed):
    """On a real chapter: every text that a student wrote is in the merged notebook, and every given cell's."""
    chance = random.Random(seed)
    base = json.loads((ROOT / "notebooks" / "04_tokenizers.ipynb").read_text(encoding="utf-8"))
    mine, new = json.loads(json.dumps(base)), json.loads(json.dumps(base))
    written = []
    for number in range(25):
        place = chance.randrange(len(mine["cells"]))
        mark = f"mine {number}"
        kind = chance.choice(["add", "change", "delete", "move", "copy", "forget"])
        if kind == "add":
            mine["cells"].insert(place, code(f"# {mark}", f"n{number}"))
            written.append(mark)
        elif kind == "change":
            mine["cells"][place]["source"] = "".join(mine["cells"][place]["source"]) + f"\n# {mark}"
            written.append(mark)
        elif kind == "forget":
            mine["cells"][place].pop("id", None)
        elif kind == "move":
            mine["cells"].insert(chance.randrange(len(mine["cells"])), mine["cells"].pop(place))
        elif kind == "copy":
            mine["cells"].insert(place, dict(mine["cells"][place]))
        elif not any(mark in "".join(mine["cells"][place]["source"]) for mark in written):
            del mine["cells"][place]
    for number in range(8):
        place = chance.randrange(len(new["cells"]))
        if chance.random() < 0.4:
            new["cells"].insert(place, text(f"corrected {number}", f"k{number}"))
        else:
            new["cells"][place]["source"] = "".join(new["cells"][place]["source"]) + f"\n# corrected {number}"
    for known in (json.dumps(base).encode(), None):
        merged, _ = reissue(json.dumps(mine).encode(), json.dumps(new).encode(), known)
        found = "\0".join(sources(merged))
        assert [mark for mark in written if mark not in found] == []
        lines = {line.lstrip("# ") for one in sources(merged) for line in one.split("\n")}
        for cell in new["cells"]:
            if "exercise" not in cell["metadata"].get("tags", []) and "# corrected" in "".join(cell["source"]):
                assert any("".join(cell["source"]) == one for one in sources(merged)) or known is None
            assert {line.lstrip("# ") for line in "".join(cell["source"]).split("\n")} <= lines or known is None
        ids = [cell["id"] for cell in json.loads(merged)["cells"]]
        assert len(ids) == len(set(ids))
