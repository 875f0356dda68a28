"""The page inside a view's frame: its style, what it shows as JSON, and its script, joined from the files in page/."""

import json
from html import escape
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "page"
# A page brings these, in this order: what every view needs, the files of its own view, and what runs it.
_SHARED = ("decode", "mean", "theme", "draw", "picture", "tokens", "groups")
_RUNNING = ("toolbar", "copy", "input", "start")
VIEWS = {
    "heads": ("heads",),
    "model": ("model", "matrix"),  # a head of the grid can be enlarged
    "matrix": ("matrix",),
    "query_key": ("query_key",),
    "cross": ("cross",),
}


def parts(view: str) -> tuple[str, ...]:
    """The files of page/ that make the script of `view`, in order."""
    return tuple(f"{name}.js" for name in (*_SHARED, *VIEWS[view], *_RUNNING))


def page(title: str, described: dict[str, Any]) -> str:
    """The complete HTML page that draws `described`, whose `"view"` is one of `VIEWS`.

    One module script: its parts see each other's functions, and the document's own names stay untouched.
    """
    style = _text("style.css")
    script = "\n".join(map(_text, parts(described["view"])))
    # "<" as an escape keeps a token such as "</script>" inside its string.
    description = json.dumps(described, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<style>{style}</style></head><body><script type="application/json" id="page">{description}</script>'
        f'<script type="module">{script}</script></body></html>'
    )


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
