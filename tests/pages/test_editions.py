"""A chapter as a page: everything comes from its folder, stubs are read, solutions and hints unfold."""

import base64
import json
import re
import tomllib

import pytest

from book import editions, execution, pages
from labs_utils.authoring.addresses import Addresses
from labs_utils.authoring.notebooks import convert
from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT

every_chapter = pytest.mark.parametrize("number", list(chapters()))
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big") + bytes(5)


NOWHERE = Addresses()


def page(number: str, tmp_path, outputs=None, known=NOWHERE) -> list[dict]:
    return json.loads(editions.page(chapters()[number], outputs, known, tmp_path / "pictures"))["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


@every_chapter
def test_what_is_for_the_instructor_is_on_no_page(number, tmp_path):
    assert not any("For the instructor" in source(cell) for cell in page(number, tmp_path))
    assert not any("For the instructor" in section for section, _ in pages.prose(chapters()[number]))


@every_chapter
def test_every_exercise_shows_its_stub_its_hints_and_a_folded_solution(number, tmp_path):
    made = page(number, tmp_path)
    exercises = chapters()[number].table("exercises")
    folded = [at for at, cell in enumerate(made) if "hide-input" in cell["metadata"].get("tags", [])]
    assert len(folded) == len(exercises)
    for at, own in zip(folded, exercises.values(), strict=True):
        before = source(made[at - 1])
        assert "...  # your code here" in before and before.count("<details") == len(own["hints"]) == 3
        assert made[at]["metadata"]["mystnb"]["code_prompt_show"] == "Solution"
        assert "# BEGIN SOLUTION" not in source(made[at]) and "your code here" not in source(made[at])


@every_chapter
def test_a_page_has_the_lessons_cells_and_its_whole_quiz(number, tmp_path):
    made = page(number, tmp_path)
    code = [source(cell) for cell in made if cell["cell_type"] == "code"]
    solved = execution.code_cells(convert(chapters()[number], Addresses())[1])
    assert code == [cell for cell in solved if not cell.startswith("lab.quiz(")]
    text = "\n".join(source(cell) for cell in made if cell["cell_type"] == "markdown")
    assert text.count("<summary>") == 3 * len(chapters()[number].table("exercises")) + sum(
        len(question["choice"]) for question in chapters()[number].table("quiz")["question"]
    )
    assert not re.search(r"(sliders?|controls) (does not|don't|are) (answer|blank)", text), "here they do answer"
    assert not re.search(r"<!-- T\d+", text)


def test_an_unrun_chapter_says_so_and_a_run_one_does_not(tmp_path):
    first, *others = page("04", tmp_path)
    ran = [[] for cell in others if cell["cell_type"] == "code"] + [[]]  # the quiz is a cell, and text on a page
    assert "No cell of this page was run" in source(first)
    assert "No cell of this page was run" not in source(page("04", tmp_path, ran)[0])


def test_buttons_are_those_that_lead_somewhere(tmp_path):
    plain = source(page("04", tmp_path)[0])
    assert plain.count('class="button"') == 2 and "http" not in plain
    known = Addresses("https://github.com/someone/workbook", "v1", jupyterlab="https://lab.example")
    row = source(page("04", tmp_path, known=known)[0])
    assert row.count('class="button"') == 5 and "Open in JupyterLab" in row and "/v1/" in row


def test_the_page_says_where_the_reader_is(tmp_path):
    first = source(page("04", tmp_path)[0])
    assert first.count('aria-current="page"') == 1 and '04_tokenizers.html" title="Tokenizers" aria-current' in first
    assert all(f'href="{one.stem}.html"' in first for one in chapters().values())


def test_pictures_become_files_with_their_text_and_size(tmp_path):
    made = editions._output(
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"image/png": base64.b64encode(PNG).decode(), "text/plain": 'The loss "falls"'},
        },
        tmp_path / "pictures",
    )
    (file,) = (tmp_path / "pictures").iterdir()
    html = made["data"]["text/html"]
    assert file.read_bytes() == PNG
    assert f'src="pictures/{file.name}" width="640" height="480"' in html
    assert 'alt="The loss &quot;falls&quot;"' in html and "image/png" not in made["data"]


@pytest.mark.parametrize(
    ("said", "here"),
    [
        ("(On a static page the slider does not answer; open the notebook.) A small rate", "A small rate"),
        (
            "Leads at that step. (A page\nwithout a kernel shows the last one.) The numbers",
            "Leads at that step. The numbers",
        ),
        ("(On a static page the widgets are blank; `print` shows a bar.)", "(`print` shows a bar.)"),
        ("(On a static page the field does not answer; open the notebook.)",) * 2,
    ],
)
def test_a_page_says_of_its_widgets_what_is_so(said, here):
    assert editions._for_pages(said) == here


def test_where_the_libraries_lie_is_told_by_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr(editions.sys, "prefix", str(tmp_path / "env"))
    assert editions._nowhere(f"from {tmp_path}/env/lib/python3/a.py") == "from ~/workbook/.venv/lib/python3/a.py"
    monkeypatch.setattr(editions.sys, "base_prefix", str(tmp_path / "env"))
    assert "workbook" not in editions._nowhere(f"from {tmp_path}/env/lib"), "no environment: /usr is in many texts"


def test_no_path_of_the_machine_and_no_link_that_only_jupyterlab_knows(tmp_path):
    def shown(**data):
        return editions._output({"output_type": "display_data", "data": data}, tmp_path)["data"]

    assert shown(**{"text/plain": f"'{ROOT}/data'"})["text/plain"] == "'~/workbook/data'"
    html = shown(
        **{"text/html": '<a href="#cell-id=c04-007">4.2</a> <a href="05_models.ipynb">05</a>', "text/plain": ""}
    )
    assert html["text/html"] == '<div class="shown">4.2 <a href="05_models.html">05</a></div>'
    text = editions._output({"output_type": "stream", "name": "stdout", "text": "/tmp/labs-home-x1/cache"}, tmp_path)
    assert text["text"] == "~/labs/cache"


def test_a_widget_without_a_twin_is_not_shown():
    view = {"application/vnd.jupyter.widget-view+json": {}}
    assert not editions._is_shown({"output_type": "display_data", "data": view})
    assert editions._is_shown({"output_type": "display_data", "data": view | {"text/html": "<p>twin</p>"}})


def test_every_word_of_the_glossary_is_in_a_chapter_and_leads_there():
    terms = tomllib.loads((ROOT / "book" / "glossary.toml").read_text(encoding="utf-8"))["terms"]
    text = pages.glossary()
    assert all(f"\n{term}\n: " in text for term in terms)
    linked = set(re.findall(r"\]\((\w+)\.ipynb\)", text))
    assert linked <= {one.stem for one in chapters().values()} and len(linked) > 8


def test_a_word_that_no_chapter_has_is_refused(tmp_path, monkeypatch):
    (tmp_path / "glossary.toml").write_text('terms = ["flux compensator"]')
    monkeypatch.setattr(pages, "HERE", tmp_path)
    monkeypatch.setattr(pages, "chapters", lambda: {"00": chapters()["00"]})  # to read them all takes seconds
    with pytest.raises(WorkbookError, match="flux compensator"):
        pages.glossary()


def test_the_page_of_changes_has_every_chapters_rows():
    text = pages.changes()
    for one in chapters().values():
        section = one.lesson.read_text(encoding="utf-8").partition("## What changed since the notes")[2]
        rows = [
            line.removeprefix("# ") for line in section.partition("\n# %%")[0].splitlines() if line.startswith("# |")
        ]
        assert rows and "\n".join(rows) in text, one.stem


def test_every_card_that_ships_has_a_page():
    found = pages.cards()
    ships = list((ROOT / "data").glob("datasets/*/README.md")) + list((ROOT / "data").glob("models/*/README.md"))
    assert len(found) == len(ships) + 1
    assert all(f"({name}.md)" in found["data"] for name in found if name != "data")
    assert not any(text.startswith("---") for text in found.values())
