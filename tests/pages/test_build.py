"""A good site is never replaced by half a one; what npm can't give is left out with a sentence."""

import base64
import hashlib
import io
import tarfile

import pytest

from book import site
from labs_utils.errors import WorkbookError


@pytest.fixture
def renders(tmp_path, monkeypatch):
    """`renders(html)` builds a site whose only page is `html`, without Sphinx; an exception in its place is raised."""
    monkeypatch.setattr(site, "vendored", lambda *_: None)
    monkeypatch.setattr(site, "_write_sources", lambda *_: None)

    def render(html):
        def sphinx(sources, extra, output, mathjax):
            if isinstance(html, Exception):
                raise html
            output.mkdir(exist_ok=True)
            (output / "index.html").write_text(html)

        monkeypatch.setattr(site, "_sphinx", sphinx)
        return site.render({}, {}, "", tmp_path / "html")

    return render


def test_a_site_is_published_whole(renders, capsys):
    made = renders("<h1>First</h1>")
    assert (made / "index.html").read_text() == "<h1>First</h1>"
    assert "1 pages" in capsys.readouterr().out


@pytest.mark.parametrize("bad", [WorkbookError("a warning"), '<a href="gone.html">gone</a>', '<img src="x.png">'])
def test_a_warning_or_a_fault_leaves_the_site_of_before(renders, bad):
    made = renders("<h1>First</h1>")
    with pytest.raises(WorkbookError):
        renders(bad)
    assert (made / "index.html").read_text() == "<h1>First</h1>"
    assert [path.name for path in made.parent.iterdir() if path.name.startswith(".")] == []


def test_a_preview_of_a_chapter_that_is_not_there_is_refused():
    with pytest.raises(WorkbookError, match="no chapter.*99.*04"):
        site.build(["99"])


def test_a_chapter_that_fails_stops_the_build_before_it_renders(monkeypatch, renders):
    def run(*_):
        raise WorkbookError("04_tokenizers: code cell 3 of 9 failed.")

    monkeypatch.setattr(site, "convert", lambda chapter: ("", '{"cells": []}'))  # to make all notebooks takes seconds
    monkeypatch.setattr(site.execution, "kept", lambda *_: None)
    monkeypatch.setattr(site.execution, "run", run)
    monkeypatch.setattr(site, "render", lambda *_: pytest.fail("rendered"))
    with pytest.raises(WorkbookError, match="code cell 3"):
        site.build(["04"])


def test_without_npm_a_package_is_left_out_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(site.shutil, "which", lambda name: None)
    assert site.vendored(tmp_path, "mathjax@3.2.2", "package/a.js", "x") is None
    assert "npm is not installed: mathjax@3.2.2 is left out." in capsys.readouterr().out


def test_without_mathjax_a_formula_is_shown_as_it_is_written(tmp_path):
    """Sphinx's own way would load MathJax from a server."""
    (tmp_path / "source").mkdir()
    (tmp_path / "extra").mkdir()
    (tmp_path / "source" / "index.md").write_text("# A page\n\nA share $1 < n$, and\n\n$$a + b$$\n")
    site._sphinx(tmp_path / "source", tmp_path / "extra", tmp_path / "html", None)
    html = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert '<code class="formula">1 &lt; n</code>' in html and '<pre class="formula">a + b</pre>' in html
    assert "://cdn" not in html


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A stand-in for npm that packs one file; gives the sha512 of what it packs."""
    packed = tmp_path / "p-1.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        entry = tarfile.TarInfo("package/a.js")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"1+1;"))
    script = tmp_path / "npm"
    script.write_text(f'#!/bin/sh\ncp "{packed}" "$5/" && echo p-1.tgz\n')
    script.chmod(0o755)
    monkeypatch.setattr(site.shutil, "which", lambda name: str(script))
    return base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()


def test_a_package_is_fetched_once_and_only_if_it_is_the_tested_one(tmp_path, npm, monkeypatch):
    with pytest.raises(WorkbookError, match="sha512"):
        site.vendored(tmp_path / "vendor", "p@1", "package/a.js", "another")
    got = site.vendored(tmp_path / "vendor", "p@1", "package/a.js", npm)
    assert got.read_text() == "1+1;"
    monkeypatch.setattr(site.subprocess, "run", lambda *_, **__: pytest.fail("fetched again"))
    assert site.vendored(tmp_path / "vendor", "p@1", "package/a.js", npm) == got
