"""Sphinx's configuration. What it renders is written by `book.site`; `python -m book` runs both."""

import logging
import re
import sys
import textwrap
from pathlib import Path

import jieba
from docutils import nodes
from sphinx.search.zh import SearchChinese

sys.path.insert(0, str(Path(__file__).parent.parent))

jieba.setLogLevel(logging.WARNING)
sys.modules.setdefault("rfc3987_syntax", None)  # as in __main__.py

project = "The Transformers Workbook"
author = copyright = ""
html_copyright = ""
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
if tags.has("mathjax"):  # noqa: F821  Sphinx gives it
    extensions.append("sphinx.ext.mathjax")
    mathjax_path = "mathjax.js"
else:
    html_math_renderer = "source"  # Sphinx's own would load MathJax from a server

# The notebooks come with what they showed. A widget has its HTML in the same bundle; no script of a widget is loaded.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0)]
myst_enable_extensions = ["attrs_block", "deflist", "dollarmath", "colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_preserve_defaults = True
add_module_names = False
default_role = "code"
toc_object_entries = False
highlight_language = "python"
suppress_warnings = ["misc.highlighting_failure"]  # code that is quoted with "…" in it

html_theme = "sphinx_book_theme"
html_static_path = ["static"]
html_css_files = ["page.css"]
html_js_files = ["page.js"]
templates_path = ["templates"]
html_show_sphinx = False
html_show_search_summary = False  # it would fetch pages, which a site on a memory stick can't
html_copy_source = False
html_use_index = False
html_theme_options = {
    "home_page_in_toc": False,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_content_items": [],
}


class Search(SearchChinese):
    """Words of Chinese and of Latin letters. Sphinx 9.0's own class names a stemmer that its script doesn't have."""

    language_name = "English"
    js_splitter_code = (Path(__file__).parent / "static" / "split_query.js").read_text(encoding="utf-8")


def fenced(app, what, name, obj, options, lines: list[str]) -> None:
    """Docstrings may show code between fences, as Markdown does."""

    def block(found: re.Match) -> str:
        return f"{found[1]}.. code-block:: python\n\n{textwrap.indent(found[2], '    ')}"

    text = re.sub(r"^( *)```python\n(.*?)^ *```$", block, "\n".join(lines), flags=re.MULTILINE | re.DOTALL)
    lines[:] = text.splitlines()


def formula(translator, node) -> None:
    """A formula as it is written in TeX: for a site without MathJax."""
    tag = "code" if node.tagname == "math" else "pre"
    translator.body.append(f'<{tag} class="formula">{translator.encode(node.astext())}</{tag}>')
    raise nodes.SkipNode


def setup(app) -> None:
    from sphinx.search import languages

    app.add_html_math_renderer("source", (formula, None), (formula, None))

    languages["zh"] = Search
    app.connect("autodoc-process-docstring", fenced, priority=400)


html_search_language = "zh"
html_search_options = {"dict": ""}  # jieba has its own dictionary, and keeps it ready; Sphinx would read it in anew
