"""A check in a real JupyterLab: its *Hint* button, the link to what comes next, and the page that is saved from it."""

import json

import nbformat
import pytest
from playwright.sync_api import expect

from benchmarks.support import browser as real
from labs_utils.chapters import chapters
from labs_utils.exercises.showing import next_steps

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(real.CHROMIUM is None, reason=real.MISSING),
    pytest.mark.xdist_group("browser"),
]

CHAPTER = chapters()["09"]
TARGETS = {name: address.removeprefix("#cell-id=") for name, address in [*next_steps("9.1"), *next_steps("9.8")]}
QUIZ, EXERCISE = "the quiz", next(iter(TARGETS))
RIGHT = "import labs_utils as lab\nlab.check('9.1', lambda labels: max(map(labels.count, labels)) / len(labels))"
LAST = """
from labs_utils.exercises.showing import show
from labs_utils.exercises.verdicts import PASSED, Verdict
show(Verdict("9.8", "Save", PASSED, ""))
"""


@pytest.fixture(scope="module")
def lab_page(tmp_path_factory):
    """A failed check and two that passed, far above the headings that they link to: `(page, watch, path)`."""
    folder = tmp_path_factory.mktemp("lab")
    path = folder / "checks.ipynb"
    new = nbformat.v4
    far = "\n\n".join(f"line {line}" for line in range(60))
    cells = [new.new_code_cell(source) for source in (RIGHT, "lab.check('9.1', lambda labels: 1.0)", LAST.strip())]
    for name in (EXERCISE, QUIZ):
        cells += [new.new_markdown_cell(far), new.new_markdown_cell(f"## {name}", id=TARGETS[name])]
    cells += [new.new_markdown_cell(far)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    with (
        pytest.MonkeyPatch.context() as patch,
        real.browser() as running,
        real.offline_page(running) as (page, watch),
    ):
        patch.setenv("LABS_HOME", str(folder / "home"))
        patch.setenv("LABS_STRICT", "0")
        with real.jupyterlab(folder) as address:
            real.open_notebook(page, address.format(name=path.name))
            real.run_all(page)
            yield page, watch, path


def test_each_press_shows_one_more_hint_and_is_counted(lab_page):
    page, _, path = lab_page
    button = page.get_by_role("button", name="Hint", exact=True)
    assert button.count() == 1  # the checks that passed have none
    for step in (1, 2, 3):
        button.click()
        page.get_by_text(f"Hint {step} of 3 for 9.1").wait_for(timeout=20_000)
        assert json.loads((path.parent / "home" / "progress.json").read_text())["hints"] == {"9.1": step}
    assert page.get_by_text("Hint 1 of 3").count() == 1
    assert page.get_by_text("solutions/09_manual_training_loop.ipynb").count() == 1
    button.click()
    page.get_by_text("Hint 3 of 3").wait_for(timeout=20_000, state="detached")
    assert page.get_by_text("Hint 1 of 3").count() == 1


@pytest.mark.parametrize("name", [EXERCISE, QUIZ])
def test_next_goes_to_the_heading(lab_page, name):
    page, _, _ = lab_page
    link, heading = page.get_by_role("link", name=name), page.get_by_role("heading", name=name)
    link.scroll_into_view_if_needed()
    expect(heading).not_to_be_in_viewport()
    link.click()
    expect(heading).to_be_in_viewport(timeout=20_000)


def test_the_saved_page_shows_the_verdicts_without_a_kernel_and_without_a_network(lab_page, tmp_path):
    from nbconvert import HTMLExporter

    page, _, path = lab_page
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    saved = nbformat.read(path, as_version=4)
    (tmp_path / "checks.html").write_text(HTMLExporter().from_notebook_node(saved)[0], encoding="utf-8")
    with real.offline_page(page.context.browser) as (static, _):
        static.goto((tmp_path / "checks.html").as_uri(), wait_until="domcontentloaded")
        assert static.get_by_text("9.1 The number to beat: not yet.").is_visible()
        for name, cell in TARGETS.items():
            static.get_by_role("link", name=name).scroll_into_view_if_needed()
            if not cell.endswith(".ipynb"):
                static.get_by_role("link", name=name).click()
                expect(static.get_by_role("heading", name=name)).to_be_in_viewport()


def test_nothing_leaves_this_machine_and_nothing_fails(lab_page):
    _, watch, _ = lab_page
    assert watch.outside == [] and watch.errors == []
