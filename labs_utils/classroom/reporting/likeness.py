"""Which answers are the same code, whatever their variables are called and however they are laid out.

It finds what is equal, and judges nobody: two people can have one idea, and short answers often have one form.
"""

import ast
import functools
import json
import re
import warnings
from collections import defaultdict
from typing import Any

from labs_utils.chapters import chapters
from labs_utils.exercises.registry import chapter_of
from labs_utils.paths import ROOT
from labs_utils.storage import read_text

FEWEST = 30  # nodes of a syntax tree below which right answers are often equal by themselves: two or three lines
_LONGEST = 20_000  # characters; a longer answer is not compared
_CHECK = re.compile(r'^\s*lab\.check\(\s*"([\d.]+)"')
_PLUMBING = (ast.expr_context, ast.operator, ast.cmpop, ast.boolop, ast.unaryop, ast.Module)


def equal_answers(sources: dict[str, str], number: str) -> list[list[str]]:
    """Groups of two or more keys (students) whose answers to exercise `number` are the same code.

    Answers that are short, that can't be read, or that are the course's own (solution or stub) are in no group.

    >>> equal_answers({"a": "def f(x):\\n    return 1", "b": "def f(y):\\n    return 1"}, "4.1")
    []
    """
    groups = defaultdict(list)
    own = {shape(text) for text in shipped(number).values()}
    for key, source in sources.items():
        found = shape(source)
        if found and found not in own:
            groups[found].append(key)
    return [group for group in groups.values() if len(group) > 1]


def as_solved(sources: dict[str, str], number: str) -> list[str]:
    """The keys whose answer to exercise `number` is the solution that ships with the course."""
    solution = shape(shipped(number).get("solutions", ""))
    return [key for key, source in sources.items() if solution and shape(source) == solution]


@functools.lru_cache(10_000)  # a class of thirty over all chapters
def shape(source: str) -> str:
    """The code without what can be changed without changing it: names of its own, docstrings, types, comments, layout.

    Empty when there is too little of it (fewer than `FEWEST` nodes), or when it can't be read.

    >>> shape("def f(x): return x")
    ''
    """
    tree = _parsed(source)
    if tree is None:
        return ""
    try:
        _Bare().visit(tree)
        if sum(not isinstance(node, _PLUMBING) for node in ast.walk(tree)) < FEWEST:
            return ""
        return ast.dump(_Renamed(_bound(tree)).visit(tree))
    except RecursionError:
        return ""


def _parsed(source: str) -> ast.Module | None:
    if not source or len(source) > _LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as about a backslash in a string: that is the student's affair
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested without end
        return None


class _Bare(ast.NodeTransformer):
    """Drops docstrings, annotations, imports and what does nothing."""

    def visit(self, node: ast.AST) -> Any:
        for name in ("annotation", "returns", "type_comment"):
            if hasattr(node, name):
                setattr(node, name, None)
        return super().visit(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return self.visit(ast.Assign([node.target], node.value)) if node.value else None

    def visit_Import(self, _: ast.Import) -> Any:
        return None

    def visit_ImportFrom(self, _: ast.ImportFrom) -> Any:
        return None

    def visit_Pass(self, _: ast.Pass) -> Any:
        return None


def _bound(tree: ast.Module) -> set[str]:
    """The names that the code gives to things: what is not among them is Python's, a library's, or the lesson's."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


class _Renamed(ast.NodeTransformer):
    """Gives every bound name a number, in the order in which they come."""

    def __init__(self, bound: set[str]) -> None:
        self.bound, self.numbers = bound, dict[str, str]()

    def visit(self, node: ast.AST) -> Any:
        for name in ("name", "id", "arg"):
            known = getattr(node, name, None)
            if known in self.bound and not isinstance(node, ast.alias | ast.keyword):
                setattr(node, name, self.numbers.setdefault(known, f"_{len(self.numbers)}"))
        return super().visit(node)


def shipped(number: str) -> dict[str, str]:
    """The code of an exercise as it ships: `{"notebooks": the stub, "solutions": the solution}`, if they are here.

    >>> sorted(shipped("4.1"))
    ['notebooks', 'solutions']
    """
    known = chapters().get(chapter_of(number))
    if known is None:
        return {}
    found = {edition: _cells(f"{edition}/{known.stem}.ipynb").get(number, "") for edition in ("notebooks", "solutions")}
    return {edition: source for edition, source in found.items() if source}


@functools.cache
def _cells(path: str) -> dict[str, str]:
    """The exercise cell that stands before each check of one of the course's own notebooks."""
    try:
        cells = json.loads(read_text(ROOT / path))["cells"]
    except (OSError, ValueError):
        return {}
    found, last = {}, ""
    for cell in cells:
        source = "".join(cell["source"])
        if "exercise" in cell["metadata"].get("tags", []):
            last = source
        elif checked := _CHECK.match(source):
            found[checked[1]] = last
    return found
