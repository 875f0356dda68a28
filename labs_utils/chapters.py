"""The chapters there are, read from `chapters/NN_name/`: everything that knows of a chapter is derived from its folder.

A chapter's number and name are its folder's; `chapter.toml` in it holds its title, promise, minutes, needs and topics.
"""

import functools
import importlib.util
import sys
import tomllib
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT
from labs_utils.storage import read_text


@dataclass(frozen=True)
class Chapter:
    """One chapter: what its `chapter.toml` says, and where its files are."""

    number: str  # "04"
    title: str
    promise: str  # what the learner will do, as half a sentence
    minutes: int
    needs: tuple[str, ...]  # the numbers of the chapters before it
    topics: dict[str, str]  # the curriculum's numbers, such as "T060", each with the code that shows it
    folder: Path

    @property
    def stem(self) -> str:
        """The name of the folder and of both notebooks, such as "04_tokenizers"."""
        return self.folder.name

    @property
    def lesson(self) -> Path:
        """The source of both notebooks."""
        return self.folder / "lesson.py"

    def table(self, name: str) -> dict:
        """The content of one of the chapter's TOML files, such as `table("exercises")`; `{}` if there is none."""
        path = self.folder / f"{name}.toml"
        return tomllib.loads(read_text(path)) if path.is_file() else {}

    def module(self, name: str) -> ModuleType:
        """One of the chapter's Python files, such as `module("judges")`, loaded once."""
        known = f"workbook_chapters.{self.stem}.{name}"
        if known not in sys.modules:
            loader = SourceFileLoader(known, str(self.folder / f"{name}.py"))
            loaded = importlib.util.module_from_spec(importlib.util.spec_from_loader(known, loader))  # type: ignore[arg-type]
            sys.modules[known] = loaded  # before it runs, as the import system does: dataclasses look there
            try:
                loader.exec_module(loaded)
            except BaseException:
                del sys.modules[known]
                raise
        return sys.modules[known]


@functools.cache
def chapters(folder: Path = ROOT / "chapters") -> dict[str, Chapter]:
    """Every chapter by its number, in order.

    Raises:
        WorkbookError: there is no folder of chapters; the workbook was not installed from a clone.
    """
    found = sorted(folder.glob("[0-9][0-9]_*/chapter.toml"))
    if not found:
        raise WorkbookError(
            f"{folder} holds no chapter. The workbook runs from a clone of its repository, installed with "
            "`pip install -e .`: install it that way, or restore the folder with `git checkout chapters`."
        )
    return {path.parent.name[:2]: _read(path) for path in found}


def _read(path: Path) -> Chapter:
    raw = tomllib.loads(read_text(path))
    return Chapter(number=path.parent.name[:2], folder=path.parent, **raw | {"needs": tuple(raw["needs"])})


def chapter(number: str) -> Chapter:
    """Return a chapter by its number.

    Raises:
        WorkbookError: there is no such chapter; the message lists those there are.

    >>> chapter("04").title
    'Tokenizers'
    """
    known = chapters()
    if number in known:
        return known[number]
    listed = ", ".join(f"{key} {one.title}" for key, one in known.items())
    raise WorkbookError(f"There is no chapter {number!r}. Give one of these numbers as text: {listed}.")
