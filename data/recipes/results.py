"""The tables of figures: what the shipped models can do (data/models), and what the workbook costs (benchmarks)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labs_utils.storage import read_text, replace_file


@dataclass(frozen=True)
class Row:
    """One line of a table: what was measured, the number with its unit (or ""), and the bound it is held to, if any."""

    what: str
    value: float
    unit: str = ""
    bound: float | None = None
    at_least: bool = False

    @property
    def is_kept(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def markdown(self) -> str:
        """The line as Markdown.

        >>> Row("accuracy", 0.7, bound=0.6, at_least=True).markdown()
        '| accuracy | 0.7  | ≥ 0.6  | kept |'
        """
        bound = "" if self.bound is None else f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}"
        mark = {None: "", True: "kept", False: "**missed**"}[self.is_kept]
        return f"| {self.what} | {self.value:.3g} {self.unit} | {bound} | {mark} |"


def table(rows: Iterable[Row], bound: str = "bound") -> str:
    """The rows as a Markdown table whose third column is called `bound`."""
    return "\n".join(
        [f"| what | measured | {bound} | |", "| --- | --- | --- | --- |", *(row.markdown() for row in rows)]
    )


def write_section(path: Path, head: str, name: str, text: str) -> None:
    """Put `text` under `## name` into a file of results that begins with `head`; the other sections stay.

    Sections are in the order of their names. A file that isn't there is begun.
    """
    parts = read_text(path).split("\n## ")[1:] if path.is_file() else []
    sections = {part.partition("\n")[0]: part.strip() for part in parts} | {name: f"{name}\n\n{text}"}
    replace_file(path, "\n\n".join([head, *(f"## {sections[name]}" for name in sorted(sections))]) + "\n")
