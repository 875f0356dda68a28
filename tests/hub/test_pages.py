"""The Hub's pages in a browser: they show what is public, and nothing that somebody pushed can run in them."""

import itertools
import json
import re

import pytest
from huggingface_hub import HfApi
from playwright.sync_api import sync_playwright

from benchmarks.support.hub_client import Raw, file, lfs_file
from labs_utils.hub_server import auth, roster, server

CARD = """---
license: cc0-1.0
tags: [course, "<b>bold</b>"]
---
# First model

It **classifies**. <script>alert(1)</script> [bad](javascript:alert(2)) ![x](http://example.org/x.png)

| metric | value |
| --- | ---: |
| accuracy | 0.83 |
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A server with a model of two commits and a pull request, a data set, and a private model."""
    with server.serving(tmp_path_factory.mktemp("hub")) as running:
        ada = Raw(running.endpoint, auth.add_user(running.store.database, "ada"))
        for name, kind, private in (("m", "model", False), ("d", "dataset", False), ("secret", "model", True)):
            assert ada.create(name, kind, private).status == 200
        assert ada.upload("ada/m", b"\0" * 9).status == 200
        changes = file("README.md", CARD.encode()), file("sub/a b.txt", b"one\ntwo <i>\n"), lfs_file("l.bin", b"\0" * 9)
        first = ada.commit("ada/m", *changes)
        assert first.status == 200
        assert ada.commit("ada/m", file("sub/a b.txt", b"one\n2\n"), file("w.bin", b"\0\1")).status == 200
        asked = {"title": "Better words", "description": "see below", "pullRequest": True}
        assert ada.ask("POST", "/api/models/ada/m/discussions", asked).status == 200
        yield running


@pytest.fixture(scope="module")
def browser(hub):
    return Raw(hub.endpoint)


def page(browser, path: str, status: int = 200) -> str:
    got = browser.ask("GET", path)
    assert (got.status, got.headers["Content-Type"].partition(";")[0]) == (status, "text/html")
    assert "default-src 'none'" in got.headers["Content-Security-Policy"]
    return got.body.decode()


def test_the_first_page_lists_what_is_public(browser):
    shown = page(browser, "/")
    assert 'href="/ada/m"' in shown
    assert 'href="/datasets/ada/d"' in shown
    assert "secret" not in shown
    assert "ada/m" not in page(browser, "/?search=nothing+like+it")


def test_a_card_is_rendered_and_cannot_run_anything(browser):
    shown = page(browser, "/ada/m")
    assert "<strong>classifies</strong>" in shown
    assert '<td class="right">0.83</td>' in shown  # a style of its own would be refused
    assert "<dt>license</dt><dd>cc0-1.0</dd>" in shown
    assert "<script" not in shown
    assert "javascript:" not in shown
    assert "<b>bold" not in shown


def test_files_are_shown_as_text(browser):
    assert 'href="/ada/m/tree/main/sub"' in page(browser, "/ada/m/tree/main")
    assert 'href="/ada/m/blob/main/sub/a%20b.txt"' in page(browser, "/ada/m/tree/main/sub")
    assert '<pre tabindex="0">one\n2\n</pre>' in page(browser, "/ada/m/blob/main/sub/a%20b.txt")
    shown = page(browser, "/ada/m/blob/main/w.bin")
    assert "sha256" in shown and "pointer" not in shown


def test_a_file_that_came_as_an_lfs_upload_is_marked(browser):
    assert re.findall(r">(LFS|Git)<", page(browser, "/ada/m/tree/main")) == ["Git", "Git", "LFS", "Git"]
    assert "a small pointer file stands for it" in page(browser, "/ada/m/blob/main/l.bin")


def test_a_commit_shows_the_lines_that_differ(browser, hub):
    head = browser.ask("GET", "/api/models/ada/m").json["sha"]
    assert f"/ada/m/commit/{head}" in page(browser, "/ada/m/commits/main")
    shown = page(browser, f"/ada/m/commit/{head}")
    assert '<span class="minus">-two &lt;i&gt;' in shown
    assert '<span class="plus">+2' in shown
    assert "w.bin" in shown


def test_a_pull_request_has_a_page(browser):
    assert "/ada/m/discussions/1" in page(browser, "/ada/m/discussions")
    shown = page(browser, "/ada/m/discussions/1")
    assert "Better words" in shown
    assert "see below" in shown
    assert "No file differs." in shown


@pytest.mark.parametrize(
    "path",
    ["/ada/secret", "/ada/none", "/ada/m/blob/main/none.txt", "/ada/m/tree/none", "/ada/m/discussions/9", "/a/b/c/d/e"],
)
def test_what_is_not_there_or_private_is_a_page_that_says_so(browser, path):
    if path == "/a/b/c/d/e":
        assert browser.ask("GET", path).status == 404
    else:
        assert "Not here" in page(browser, path, 404)


def test_what_is_said_in_a_thread_is_markdown_and_cannot_run_anything(browser, hub):
    ada = Raw(hub.endpoint, auth.add_user(hub.store.database, "ada"))
    made = ada.ask("POST", "/api/models/ada/m/discussions", {"title": "Which data?", "description": "the **split**"})
    thread = f"/ada/m/discussions/{made.json['num']}"
    assert ada.ask("POST", f"/api/models{thread}/comment", {"comment": "```\ncode\n```\n<b>x</b>"}).status == 200
    assert ada.ask("POST", f"/api/models{thread}/title", {"title": "<i>Whose</i> data?"}).status == 200
    shown = page(browser, thread)
    assert "<strong>split</strong>" in shown and "<pre><code>code\n</code></pre>" in shown
    assert "<b>x" not in shown and "<i>" not in shown
    assert "changed the title from “Which data?” to “&lt;i&gt;Whose" in shown
    assert "pull request" in page(browser, "/ada/m/discussions")


def test_a_collection_has_a_page_where_its_client_says_and_shows_only_what_is_public(browser, hub):
    ada = HfApi(hub.endpoint, token=auth.add_user(hub.store.database, "ada"))
    made = ada.create_collection("Read <first>", description="What to begin with.")
    for name, note in (("ada/m", "its card"), ("ada/secret", "a private note")):
        ada.add_collection_item(made.slug, name, "model", note=note)
    hidden = ada.create_collection("Hidden", private=True)
    ada.add_collection_item(made.slug, ada.create_collection("Inside").slug, "collection")
    shown = page(browser, made.url.removeprefix(hub.endpoint))
    assert "Read &lt;first&gt;" in shown and "What to begin with." in shown
    assert 'href="/ada/m"' in shown and "its card" in shown and 'href="/collections/ada/inside-' in shown
    assert "secret" not in shown and "a private note" not in shown
    assert "Not here" in page(browser, f"/collections/{hidden.slug}", 404)
    shown = page(browser, "/ada")
    assert f'href="/collections/{made.slug}"' in shown and "Hidden" not in shown


def test_in_a_window_of_any_width_nothing_is_cut_off_or_broken_into_letters(hub):
    """No page is wider than the window, and nothing in a list is squeezed to a few letters a line."""
    ada = Raw(hub.endpoint, auth.add_user(hub.store.database, "ada"))
    assert ada.create("a-name-as-long-as-" + "-".join(["names"] * 12)).status == 200
    lines = [{"key": "header", "value": {"summary": "a title that goes on " * 9}}, file("x.txt", b"x")]
    made = ada.ask("POST", "/api/models/ada/m/commit/main", "\n".join(map(json.dumps, lines)).encode())
    paths = ["", "/tree/main", "/commits/main", "/blob/main/l.bin", f"/commit/{made.json['commitOid']}"]
    heights = "parts => parts.map(part => part.getBoundingClientRect().height)"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page()
        for width, path in itertools.product((390, 1280), ["/", "/ada", *(f"/ada/m{rest}" for rest in paths)]):
            shown.set_viewport_size({"width": width, "height": 800})
            shown.goto(hub.endpoint + path)
            assert shown.evaluate("document.documentElement.scrollWidth") <= width, path
            assert max(shown.locator(".list a").evaluate_all(heights), default=0) <= 80, path  # three lines
            assert max(shown.locator(".list code").evaluate_all(heights), default=0) <= 30, path  # one line
        browser.close()


def test_a_person_has_a_page_and_a_class_one_with_everybody_on_it(browser, hub):
    people = {"ada": "write", "cleo": "write"}
    roster.enrol(hub.store.database, people, {"class": {"ada": "admin", "cleo": "contributor"}})
    cleo = Raw(hub.endpoint, auth.add_user(hub.store.database, "cleo"))
    for name, private in (("homework", "public"), ("draft", "private")):
        wish = {"name": name, "organization": "class", "type": "model", "visibility": private}
        assert cleo.ask("POST", "/api/repos/create", wish).status == 200
    assert 'href="/class"' in page(browser, "/") and 'href="/class"' not in page(browser, "/?search=ada")
    shown = page(browser, "/class")
    assert 'href="/class/homework"' in shown and "draft" not in shown
    assert shown.index('href="/ada"') < shown.index('href="/ada/m"') < shown.index('href="/cleo"')
    shown = page(browser, "/ada")
    assert 'href="/ada/m"' in shown and 'href="/datasets/ada/d"' in shown and "secret" not in shown
    assert browser.ask("GET", "/nobody").json["error"]  # a client that means another server
    got = browser.ask("GET", "/nobody", Accept="text/html,*/*")
    assert got.status == 404 and b"no user and no organisation" in got.body


def test_a_gated_repository_shows_its_card_and_names_and_no_content(browser, hub):
    ada = Raw(hub.endpoint, auth.add_user(hub.store.database, "ada"))
    ada.create("gated")
    ada.commit("ada/gated", file("README.md", CARD.encode()), file("w.txt", b"the content"))
    assert ada.ask("PUT", "/api/models/ada/gated/settings", {"gated": "manual"}).status == 200
    assert "ask-access" in page(browser, "/ada/gated") and "First model" in page(browser, "/ada/gated")
    assert "w.txt" in page(browser, "/ada/gated/tree/main")
    head = browser.ask("GET", "/api/models/ada/gated").json["sha"]
    for path in ("blob/main/w.txt", f"commit/{head}"):
        shown = page(browser, f"/ada/gated/{path}", 401)
        assert "Gated" in shown and "the content" not in shown


def test_a_client_is_still_answered_in_its_own_form(browser):
    got = browser.ask("GET", "/api/none")
    assert (got.status, got.headers["Content-Type"]) == (404, "application/json")
