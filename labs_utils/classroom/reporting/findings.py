"""What the marks of a class say together: what it did not understand, what was hard, which code is the same."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from labs_utils.classroom.reporting import likeness
from labs_utils.classroom.reporting.marks import NOT_JUDGED, Mark, Works
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED

_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'|\"[^\"\n]*\"")
_BRACKETED = re.compile(r"[\[({][^\[\](){}]*[\])}]")
_NUMBER = re.compile(r"(?<![\w.…])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
_SAME = re.compile(r"\b\w+=…|…(?:,? …)+")


@dataclass(frozen=True)
class Finding:
    """Something about one exercise that holds for these students (their ids)."""

    exercise: str
    text: str
    students: list[str]
    example: str = ""


@dataclass(frozen=True)
class Equal:
    """Students whose code is the same, and the exercises where it is: each with every student's own text of it."""

    students: tuple[str, ...]
    sources: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Share:
    """How many tried an exercise, and how many of them passed; the others did not attempt it, or were not judged."""

    exercise: str
    passed: int
    tried: int
    untried: int

    @property
    def percent(self) -> int:
        """Those who passed, among those who tried."""
        return round(100 * self.passed / self.tried)


def every(works: Works) -> Iterator[tuple[str, str, Mark]]:
    """(student, exercise, mark) of everything that was graded."""
    for work in works.values():
        for number, mark in work.marks.items():
            yield work.student, number, mark


def misconceptions(works: Works) -> list[Finding]:
    """Each mistake that the judges know, with the students who made it; the most frequent first."""
    return _grouped(works, lambda mark: mark.mistake if mark.status == FAILED else "")


def messages(works: Works) -> list[Finding]:
    """Failing messages without a known mistake that two or more students got, values left out; the most frequent first.

    `text` is what the messages share, `example` the first of them in full.
    """
    found = _grouped(works, lambda mark: pattern(mark.message) if mark.status == FAILED and not mark.mistake else "")
    return [one for one in found if len(one.students) > 1]


def not_judged(works: Works) -> list[Finding]:
    """Answers about which nothing can be said, each reason with the students."""
    return _grouped(works, lambda mark: (mark.message or "No reason was given.") if mark.status == NOT_JUDGED else "")


def better_elsewhere(works: Works) -> list[Finding]:
    """Exercises that another submission of the student passes, and the counting one does not."""
    return _grouped(works, lambda mark: "Passed in another submission" if mark.other else "")


def regraded(works: Works) -> list[Finding]:
    """What the last regrading changed: "not yet → passed", with the students."""
    return _grouped(works, lambda mark: f"{mark.before} → {mark.status}" if mark.before else "")


def _grouped(works: Works, text_of: Callable[[Mark], str]) -> list[Finding]:
    groups: dict[tuple[str, str], Finding] = {}
    for student, number, mark in every(works):
        if text := text_of(mark):
            groups.setdefault((number, text), Finding(number, text, [], mark.message)).students.append(student)
    return sorted(groups.values(), key=lambda one: (-len(one.students), _order(one.exercise)))


def pattern(message: str) -> str:
    """A judge's message without the values in it, so that the same complaint about two answers is one.

    >>> pattern("Given word='hugs', pair=('u', 'g'), your result ['h', 'ug'] spells another word.")
    'your result … spells another word.'
    """
    text, before = _QUOTED.sub("…", message[:2000]), ""
    while text != before:
        text, before = _BRACKETED.sub("…", text), text
    text, before = _NUMBER.sub("…", text), ""
    while text != before:
        text, before = _SAME.sub("…", text), text
    return text.removeprefix("Given …, ").strip()


def shares(works: Works) -> dict[str, Share]:
    """How each exercise went that somebody tried."""
    statuses = defaultdict(list)
    for _, number, mark in every(works):
        statuses[number].append(mark.status)
    found = {}
    for number, given in statuses.items():
        passed, tried = given.count(PASSED), given.count(PASSED) + given.count(FAILED)
        if tried:
            found[number] = Share(number, passed, tried, given.count(NOT_ATTEMPTED))
    return found


def hardest(works: Works) -> list[Share]:
    """The exercises that not everybody who tried has passed; the smallest share of passes first."""
    failed = [one for one in shares(works).values() if one.passed < one.tried]
    return sorted(failed, key=lambda one: (one.passed / one.tried, -one.tried, _order(one.exercise)))


def equal_code(works: Works) -> list[Equal]:
    """Who wrote the same code; those who share the most exercises first."""
    found: dict[tuple[str, ...], Equal] = {}
    for number, sources in _sources(works).items():
        for group in likeness.equal_answers(sources, number):
            key = tuple(group)
            found.setdefault(key, Equal(key)).sources[number] = {student: sources[student] for student in key}
    return sorted(found.values(), key=lambda one: (-len(one.sources), len(one.students)))


def as_solved(works: Works) -> dict[str, list[str]]:
    """By student: the exercises where their code is the solution that ships with the course; the most first."""
    found = defaultdict(list)
    for number, sources in _sources(works).items():
        for student in likeness.as_solved(sources, number):
            found[student].append(number)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _sources(works: Works) -> dict[str, dict[str, str]]:
    """By exercise: the code of each student who wrote some."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for student, number, mark in every(works):
        if mark.source and mark.status != NOT_ATTEMPTED:
            found[number][student] = mark.source
    return found


def _order(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in number.split(".") if part.isdigit())
