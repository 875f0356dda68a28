"""What a check says about an answer: its status, and a sentence for the learner."""

import re
from dataclasses import dataclass
from html import escape

PASSED, FAILED, NOT_ATTEMPTED = "passed", "not yet", "not attempted"
_MARKS = {PASSED: "✓", FAILED: "✗", NOT_ATTEMPTED: "○"}
# Okabe and Ito's green, vermilion and blue: told apart by colour-blind readers, and each has its mark and word too.
_COLOURS = {PASSED: "#009E73", FAILED: "#D55E00", NOT_ATTEMPTED: "#0072B2"}


@dataclass(frozen=True)
class Verdict:
    """One of `PASSED`, `FAILED`, `NOT_ATTEMPTED`, and a sentence (empty when the answer passed)."""

    number: str
    title: str
    status: str
    message: str

    def __str__(self) -> str:
        return f"{_MARKS[self.status]} {self.number} {self.title}: {self.status}. {self.message}".strip()

    def _repr_html_(self, following: str = "") -> str:
        """The verdict as a coloured box; `following` is HTML for its end."""
        head = f"{_MARKS[self.status]} {escape(self.number)} {escape(self.title)}: {self.status}."
        body = escape(self.message).replace("\n", "<br>")
        return (
            f'<div style="border-left:4px solid {_COLOURS[self.status]};padding:4px 12px;margin:4px 0">'
            f"<b>{head}</b> {body}{following}</div>"
        )


def inline(text: str) -> str:
    """Escape for HTML; Markdown's `code`, *emphasis* and **strong** become elements.

    >>> inline("a < b is `2 * x * y`, *not* **c**")
    'a &lt; b is <code>2 * x * y</code>, <em>not</em> <strong>c</strong>'
    """
    pieces = escape(text, quote=False).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else _stressed(piece) for index, piece in enumerate(pieces))


def _stressed(text: str) -> str:
    for mark, name in (("**", "strong"), ("*", "em")):
        star = re.escape(mark)
        text = re.sub(rf"(?<![\w*]){star}(?=[^\s*])([^*]+?)(?<=\S){star}(?![\w*])", rf"<{name}>\1</{name}>", text)
    return text
