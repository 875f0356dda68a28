"""The site that `make test` and `make docs` have built, as a reader meets it: from disk, in a browser, offline."""

import contextlib
import functools
import http.server
import os
import re
import threading
from pathlib import Path

import pytest

from benchmarks.support.browser import CHROMIUM, MISSING, browser, offline_page, show
from book import checks, execution
from book.site import vendored
from labs_utils.chapters import chapters

SITE = Path(os.environ.get("LABS_SITE") or "no site").resolve()
AXE = (
    "axe-core@4.14.1",
    "package/axe.min.js",
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        "LABS_SITE" not in os.environ, reason="`make test` and `make docs` run these on the site they built"
    ),
    pytest.mark.skipif(CHROMIUM is None, reason=MISSING),
]
PAGES = sorted(path.name for path in SITE.glob("*.html"))
READ = [name for name in PAGES if not name.startswith("card_")] + [name for name in PAGES if name.startswith("card_")][
    :1
]


@pytest.fixture(scope="module")
def running():
    with browser() as started:
        yield started


@pytest.fixture
def wide(running):
    with offline_page(running, 1280, 900) as (page, watch):
        yield page, watch


def address(name: str) -> str:
    return (SITE / name).as_uri()


def test_the_site_has_no_fault_and_a_page_for_every_chapter():
    assert checks.faults(SITE) == []
    assert {f"{one.stem}.html" for one in chapters().values()} <= set(PAGES)
    assert {"index.html", "words.html", "changes.html", "functions.html", "data.html", "licence.html"} <= set(PAGES)


OVERFLOWING = """[...document.querySelectorAll('.cell_input pre, div.highlight-python pre')].filter(
    pre => pre.clientWidth && pre.scrollWidth > pre.clientWidth + 1).map(pre => pre.textContent)"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_stays_in_the_site_in_its_window_and_is_quick(wide, name):
    page, watch = wide
    page.goto(address(name))
    page.wait_for_function("document.readyState === 'complete'")
    seconds = page.evaluate("performance.getEntriesByType('navigation')[0].domInteractive") / 1000
    assert watch.outside == []
    assert [one for one in watch.errors if "sandboxed" not in one] == []
    assert seconds < 2 * max(1, os.getloadavg()[0] / os.cpu_count()), f"interactive after {seconds:.1f} s"
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERFLOWING) == [], f"code that runs out of its box at {width} pixels"


@pytest.mark.parametrize("name", READ)
def test_axe_finds_nothing_serious(wide, name):
    axe = vendored(execution.BUILD / "vendor", *AXE)
    if axe is None:
        pytest.skip("npm could not fetch axe-core")
    page, _ = wide
    page.goto(address(name))
    page.add_script_tag(path=axe)
    page.add_style_tag(content="* { transition: none !important }")  # a colour on its way to another is none
    for theme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        options = {"iframes": False, "resultTypes": ["violations"]} | rules
        found = page.evaluate("options => axe.run(document, options)", options)["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in grave] == [], theme


def test_it_works_below_a_path_of_a_server(running):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def translate_path(self, path):
            return super().translate_path(path.removeprefix("/course/2026"))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with offline_page(running) as (page, watch):
            failed = []
            page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
            root = f"http://127.0.0.1:{server.server_port}/course/2026"
            page.goto(f"{root}/index.html")
            # The link itself is clicked, not a place on the screen: the figure above it may still be growing.
            page.locator(".bd-article a[href='04_tokenizers.html']").evaluate("link => link.click()")
            page.wait_for_url("**/04_tokenizers.html")
            outside_the_path = page.evaluate("performance.getEntriesByType('resource').map(one => one.name)")
            assert all(one.startswith(root) for one in outside_the_path if one.startswith("http"))
            assert watch.outside == [] and [one for one in failed if "favicon" not in one] == []
    finally:
        server.shutdown()


def results(page, query: str) -> list[str]:
    page.goto(f"{address('search.html')}?q={query}")
    page.wait_for_selector("#search-results .search-summary, #search-results p.search-summary", timeout=20_000)
    # Results are appended one by one; after the last the heading changes.
    page.wait_for_function("document.querySelector('#search-results h2')?.textContent.includes('Search Results')")
    return page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.getAttribute('href'))")


def test_words_are_found_from_disk(wide):
    page, watch = wide
    assert any("04_tokenizers.html" in one for one in results(page, "WordPiece"))
    assert watch.outside == [] and watch.errors == []


def test_chinese_is_found_without_spaces(wide):
    page, _ = wide
    for name in PAGES:
        text = re.sub(r"<[^>]+>", " ", (SITE / name).read_text(encoding="utf-8").partition("<article")[2])
        phrases = re.findall(r"[\u4e00-\u9fff]{4,8}", text)
        if phrases:
            break
    found = [any(name in one for one in results(page, phrase)) for phrase in phrases[:5]]
    assert sum(found) >= len(found) / 2, f"of {phrases[:5]} in {name}, found: {found}"


def test_the_figure_of_the_first_page_lives(wide):
    page, watch = wide
    page.goto(address("index.html"))
    frame = page.frames[1]
    frame.wait_for_selector("html[data-ready]", state="attached")
    show(frame)
    before = frame.evaluate("document.body.innerText")
    frame.select_option("select", index=0)
    changed = "before => document.body.innerText !== before"
    frame.wait_for_function(changed, arg=before, polling=200)


def test_a_quiz_answers_and_counts_the_first_try(wide):
    page, _ = wide
    page.goto(address("04_tokenizers.html"))
    question = page.locator("ol.labs-quiz > li").nth(0)
    wrong = question.locator("details", has=page.locator("p", has_text=re.compile(r"^No\."))).first
    right = question.locator("details", has=page.locator("p", has_text=re.compile(r"^Right\."))).first
    wrong.locator("summary").focus()
    page.keyboard.press("Enter")
    assert wrong.locator("p").is_visible()
    right.locator("summary").click()
    page.wait_for_selector("details.right")
    assert page.locator(".quiz-score").inner_text().startswith("0 right at the first try, of 1 answered")


def test_hints_and_solutions_are_folded_and_unfold(wide):
    page, _ = wide
    page.goto(address("04_tokenizers.html"))
    solution = page.locator("details.hide").first
    assert not solution.locator("pre").first.is_visible()
    solution.locator("summary").click()
    assert solution.locator("pre").first.is_visible()
    hint = page.locator("details.hint").first
    hint.locator("summary").first.click()
    assert page.locator("details.hint details.hint > summary").first.is_visible()


def with_twin() -> str | None:
    return next((name for name in PAGES if "data-start=" in (SITE / name).read_text(encoding="utf-8")), None)


@pytest.mark.skipif(with_twin() is None, reason="no page of this site has a slider")
def test_a_twin_follows_its_controls_by_keyboard(wide):
    page, _ = wide
    page.goto(address(with_twin()))
    control = page.locator(".twin-row input").first
    twin = page.locator(".twin[data-start]").first
    shown = twin.locator(".twin-state:not([hidden])")
    before = shown.get_attribute("data-at"), control.get_attribute("aria-valuetext")
    control.focus()
    page.keyboard.press("ArrowRight")
    after = shown.get_attribute("data-at"), control.get_attribute("aria-valuetext")
    assert shown.count() == 1 and after[0] != before[0] and after[1] != before[1]
    assert twin.locator("output").first.inner_text() == after[1]


def test_formulas_are_drawn_from_the_site(wide):
    page, watch = wide
    name = next((one for one in PAGES if "mathjax.js" in (SITE / one).read_text(encoding="utf-8")), None)
    if name is None:
        pytest.skip("the site was built without MathJax: npm could not fetch it")
    page.goto(address(name))
    page.wait_for_selector("mjx-container svg", state="attached")
    assert watch.outside == []


def test_a_table_of_three_columns_is_a_list_in_a_narrow_window(running):
    with offline_page(running, 390, 900) as (page, _):
        page.goto(address("changes.html"))
        table = page.locator("table.stacks").first
        assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")
        label = "cell => getComputedStyle(cell, '::before').content"
        assert table.locator("td").nth(1).evaluate(label) == '"today: "'


def test_a_cell_that_is_empty_has_no_label_in_such_a_list(running):
    with offline_page(running, 390, 900) as (page, _):
        page.goto(address("04_tokenizers.html"))
        shown = page.locator("table.stacks").first.locator("td:visible")
        assert shown.count() > 3 and all(text.strip() for text in shown.all_text_contents())


def test_printed_sentences_wrap_and_columns_scroll(running):
    with offline_page(running, 390, 900) as (page, _):
        page.goto(address("04_tokenizers.html"))
        printed = page.locator(".cell_output .highlight pre")
        texts = printed.all_text_contents()
        wider = printed.evaluate_all("all => all.map(one => one.scrollWidth > one.clientWidth + 1)")
        sentences = [over for text, over in zip(texts, wider, strict=True) if text.startswith("ValueError: ")]
        columns = [over for text, over in zip(texts, wider, strict=True) if text.startswith("longest_first  ")]
        assert sentences and not any(sentences)
        assert columns and all(columns)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_can_be_chosen(wide, theme):
    page, _ = wide
    with contextlib.suppress(Exception):
        page.add_init_script(f"localStorage.setItem('theme', '{theme}'); localStorage.setItem('mode', '{theme}')")
    page.goto(address("index.html"))
    assert page.evaluate("document.documentElement.dataset.theme") == theme
