"""A complete HTML page inside a notebook's output: sandboxed, everything inlined, so that it draws with no network."""

from html import escape
from typing import Any

_BESIDE = "Run this cell or trust the notebook to see the figure."

# A sandboxed frame can't ask which theme is around it. Its host tells it: where the host is dark the frame is 8 px
# higher than the page was made for, and the page reads its own height (see `hostIsDark` in page/theme.js). The line of
# text is hidden by the same style sheet: a sanitiser that takes the frame away takes the style too, and the line shows.
_DARK = (
    'body[data-jp-theme-light="false"]',  # JupyterLab, and nbconvert with its dark theme
    'html[data-theme="dark"]',  # Sphinx themes
    'html[theme="dark"]',  # Colab
    ".vscode-dark",
)
DARK_EXTRA = 8


class Figure:
    """Something that draws itself in a notebook.

    Attributes:
        html: the complete page, which can be saved as a file and opened by itself.
        data: the numbers that it draws.
        title: what it shows, in a few words; screen readers announce it.
        height: CSS pixels.
        note: what it leaves out, as a sentence; mostly "".
    """

    def __init__(self, html: str, data: Any, title: str, height: int, note: str = ""):
        self.html, self.data, self.title, self.height, self.note = html, data, title, height, note

    def __repr__(self) -> str:
        return f"{self.title}. {self.note}" if self.note else self.title

    def _repr_html_(self) -> str:
        return framed(self.html, self.title, self.height)


def framed(page: str, title: str, height: int) -> str:
    """The HTML fragment that shows `page` in a sandboxed frame, `height` CSS pixels high, beside one line of text.

    Args:
        page: a complete HTML document. Scripts run in it, with no access to the notebook, its cookies or the network's.
        title: announced by screen readers.

    >>> framed("<p>hi</p>", "A greeting", 100).count("<iframe")
    1
    """
    if height < 1:
        raise ValueError(f"A frame needs a height of at least 1 px; {height} was given.")
    name = f"labs-h{height}"
    dark = ",".join(f"{host} .{name}>iframe" for host in _DARK)
    style = (
        ".labs-figure>p{display:none}"
        f".{name}>iframe{{display:block;width:100%;height:{height}px;border:0}}"
        f"{dark}{{height:{height + DARK_EXTRA}px}}"
    )
    return (
        f'<div class="labs-figure {name}"><style>{style}</style>'
        f'<iframe title="{escape(title)}" sandbox="allow-scripts" allow="clipboard-write" '
        f'srcdoc="{escape(page)}"></iframe>'
        f"<p>{_BESIDE}</p></div>"
    )
