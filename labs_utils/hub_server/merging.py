"""Three-way merging, line by line, as Git does it: what two people changed in different places, both is kept."""

import difflib
from typing import NamedTuple


class Conflict(NamedTuple):
    """Lines that both sides changed, each in another way; counted from 1, in the file of the target."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"line {self.first}" if self.first >= self.last else f"lines {self.first}-{self.last}"


def merge(base: list[str], target: list[str], proposal: list[str]) -> tuple[list[str], list[Conflict]]:
    """Return the merged lines, and where they conflict: there they are the proposal's.

    >>> merge(["a", "b", "c"], ["A", "b", "c"], ["a", "b", "C"])
    (['A', 'b', 'C'], [])
    >>> merge(["a", "b"], ["A", "b"], ["x", "b"])
    (['x', 'b'], [Conflict(first=1, last=1)])
    """
    merged: list[str] = []
    conflicts = []
    at_base = at_target = at_proposal = 0
    for in_base, in_target, in_proposal, length in _unchanged(base, target, proposal):
        old = base[at_base:in_base]
        ours, theirs = target[at_target:in_target], proposal[at_proposal:in_proposal]
        if theirs == old:
            merged += ours
        else:
            merged += theirs
            if ours not in (old, theirs):
                conflicts.append(Conflict(at_target + 1, max(at_target + 1, in_target)))
        merged += base[in_base : in_base + length]
        at_base, at_target, at_proposal = in_base + length, in_target + length, in_proposal + length
    return merged, conflicts


def _unchanged(base: list[str], target: list[str], proposal: list[str]) -> list[tuple[int, int, int, int]]:
    """Stretches of lines that stand on all three sides, as (in base, in target, in proposal, length), and the end."""
    in_target, in_proposal = _places(base, target), _places(base, proposal)
    found: list[tuple[int, int, int, int]] = []
    for at in sorted(in_target.keys() & in_proposal.keys()):
        if found:
            start, ours, theirs, length = found[-1]
            if (start + length, ours + length, theirs + length) == (at, in_target[at], in_proposal[at]):
                found[-1] = (start, ours, theirs, length + 1)
                continue
        found.append((at, in_target[at], in_proposal[at], 1))
    return [*found, (len(base), len(target), len(proposal), 0)]


def _places(base: list[str], other: list[str]) -> dict[int, int]:
    """Where each line of `base` that is still there stands in `other`."""
    matcher = difflib.SequenceMatcher(None, base, other, autojunk=False)
    return {one.a + step: one.b + step for one in matcher.get_matching_blocks() for step in range(one.size)}
