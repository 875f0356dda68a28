"""The exercises there are: `chapters/*/exercises.toml` says what they are called, `judges.py` beside it judges them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from labs_utils.chapters import Chapter, chapters
from labs_utils.errors import WorkbookError

Mistake = tuple[str, Callable[..., Any]]


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number and title, the ladder of three hints, its judge, and the mistakes that it knows.

    A mistake is a sentence ("Perhaps you …") and a wrong answer of the learner's signature. The judge's `Trial` says
    the sentence to a learner whose result is the wrong answer's; the tests feed the wrong answer to the judge.
    """

    number: str
    title: str
    hints: tuple[str, ...]
    judge: Callable[[Any], None]
    mistakes: tuple[Mistake, ...] = field(default=())


_REGISTRY: dict[str, Exercise] = {}


def exercise(number: str, mistakes: Sequence[Mistake] = ()) -> Callable:
    """Register the decorated function as the judge of exercise `number` (such as `"4.2"`).

    The judge gets the learner's answer. It returns when the answer is right and raises `CheckFailed` (by way of `Trial`
    and `expect`) when it isn't. It is never called with an untouched stub.
    """

    def register(judge: Callable[[Any], None]) -> Callable[[Any], None]:
        own = chapters()[chapter_of(number)].table("exercises")[number]
        _REGISTRY[number] = Exercise(number, own["title"], tuple(own["hints"]), judge, tuple(mistakes))
        return judge

    return register


def find(number: str) -> Exercise:
    """Return exercise `number`, loading its chapter's judges on first use.

    Raises:
        WorkbookError: there is no such exercise; the message lists those of the chapter, or how numbers look.
    """
    number = str(number)
    own = chapters().get(chapter_of(number))
    if own and number not in _REGISTRY:
        own.module("judges")
    if number in _REGISTRY:
        return _REGISTRY[number]
    known = f"This chapter has: {', '.join(of_chapter(own))}." if own else "Numbers look like '4.2': chapter, exercise."
    raise WorkbookError(f"There is no exercise {number!r}. {known}")


def loaded_judges() -> list[str]:
    """The names of the modules of judges that are loaded."""
    return sorted({one.judge.__module__ for one in _REGISTRY.values()})


def of_chapter(chapter: Chapter) -> list[str]:
    """The numbers of a chapter's exercises, in order; no judge is loaded."""
    return list(chapter.table("exercises"))


def all_exercises() -> dict[str, Exercise]:
    """Every exercise of the course, in order."""
    return {number: find(number) for one in chapters().values() for number in of_chapter(one)}


def chapter_of(number: str) -> str:
    """The number of the chapter that an exercise would be in.

    >>> chapter_of("4.2")
    '04'
    """
    return number.partition(".")[0].zfill(2)
