"""What a site must not have is found."""

import pytest

from book import checks

GOOD = '<h1 id="top">A</h1><img src="a.png" alt="a cat"><a href="#top">up</a><a href="b.html#there">b</a>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "b.html").write_text('<p id="there">b</p><a href="https://example.org">elsewhere</a>')
    (tmp_path / "a.png").write_bytes(b"png")
    return tmp_path


def test_a_whole_site_has_no_fault(site):
    assert checks.faults(site) == []


@pytest.mark.parametrize(
    ("html", "sentence"),
    [
        ('<a href="c.html">c</a>', "links to c.html, which is not there"),
        ('<a href="b.html#nowhere">b</a>', "links to b.html#nowhere"),
        ('<img src="gone.png" alt="gone">', "links to gone.png"),
        ('<img src="a.png">', "a picture without a text"),
        ('<img src="a.png" alt="">', "a picture without a text"),
        ('<iframe srcdoc="x"></iframe>', "a frame without a title"),
        ('<script src="https://cdn.example/x.js"></script>', "which is not of this site"),
        ('<link href="//fonts.example/x.css">', "which is not of this site"),
    ],
)
def test_each_fault_is_a_sentence_that_names_the_page(site, html, sentence):
    (site / "index.html").write_text(GOOD + html)
    found = checks.faults(site)
    assert len(found) == 1 and found[0].startswith("index.html") and sentence in found[0]


def test_a_heavy_page_and_a_heavy_site_are_faults(site, monkeypatch):
    monkeypatch.setattr(checks, "LARGEST_PAGE", 50)
    monkeypatch.setattr(checks, "LARGEST_SITE", 60)
    assert [("page may have" in one, "site has" in one) for one in checks.faults(site)] == [
        (True, False), (True, False), (False, True)
    ]  # fmt: skip
