"""`make bench`: what the workbook costs, measured in one run and written into one table, benchmarks/RESULTS.md.

A module here offers `rows()`: an iterator of `Row`s. Machines differ: read ratios within a run, not seconds.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, the number with its unit, and the bound it is held to (or "")."""

    what: str
    value: float
    unit: str
    bound: float | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def markdown(self) -> str:
        bound = "" if self.bound is None else f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}"
        mark = {None: "", True: "kept", False: "**missed**"}[self.kept]
        return f"| {self.what} | {self.value:.3g} {self.unit} | {bound} | {mark} |"
