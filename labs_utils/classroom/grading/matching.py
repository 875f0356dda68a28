"""A submission put into the chapter's own notebook: whose cells run, in which order, and which of them an answer needs.

The given cells are always the chapter's own. A student's answer is found by its cell's id, and otherwise by the name
that it defines: editors other than JupyterLab renumber or drop the ids, and people copy, move and delete cells.
"""

import ast
import functools
import re
import symtable
from dataclasses import dataclass, field
from types import CodeType

from labs_utils.classroom.handing.submitted import Cell
from labs_utils.exercises.vocabulary import names_in

_LONGEST = 50_000  # characters in one cell: more is no answer, and takes long to parse
_CHECK = re.compile(r'^lab\.check\("(\d+\.\d+)", (.+)\)\s*$', re.DOTALL)


@dataclass(frozen=True)
class Given:
    """A code cell of the chapter's own student notebook: its id, its text and its tags."""

    id: str
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """Something that is run: a cell, or, where `number` says so, the check of an exercise.

    Attributes:
        source: the cell's text; for a check, the expression that it judges.
        number: the exercise that is checked; "" for a cell that is run.
        answers: the exercise whose answer this cell is; "" for any other.
        is_own: whether the student wrote it.
        is_import: whether it is one import out of a cell.
    """

    source: str
    number: str = ""
    answers: str = ""
    is_own: bool = False
    is_import: bool = False


@dataclass
class Merged:
    """What to run, the code of each answer ("" when untouched), and notes for the student and the teacher."""

    steps: list[Step]
    sources: dict[str, str]
    notes: list[str] = field(default_factory=list)


def merge(chapter: list[Given], cells: list[Cell]) -> Merged:
    """Put the answers and the own cells of a submission into the chapter's notebook.

    >>> chapter = [Given("a", "def f(): ...", ("exercise",)), Given("b", 'lab.check("4.1", f)', ("check",))]
    >>> [step.source for step in merge(chapter, [Cell("x", "code", "def f(): return 1")]).steps]
    ['def f(): return 1', 'f']
    """
    given = {one.id: one for one in chapter}
    code = [cell for cell in cells if cell.kind == "code"]
    exercises = _exercises(chapter)
    chosen = {number: _answer(one, code, given, exercises) for number, one in exercises.items()}
    merged = Merged([], {number: code[place].source if place is not None else "" for number, place in chosen.items()})
    _note_what_was_found(merged, chosen, exercises, code)
    after = _own_cells(chapter, code, set(chosen.values()), merged.notes)
    answered = {one.id: number for number, one in exercises.items()}
    merged.steps += [Step(source, is_own=True) for source in after.get("", [])]
    for one in chapter:
        number = answered.get(one.id, "")
        check = _CHECK.match(one.source)
        if check:
            merged.steps.append(Step(check[2], number=check[1]))
        elif number and (place := chosen[number]) is not None:
            merged.steps.append(Step(code[place].source, answers=number, is_own=True))
        else:
            merged.steps.append(Step(one.source, answers=number))
        merged.steps += [Step(source, is_own=True) for source in after.get(one.id, [])]
    merged.steps = [part for step in merged.steps for part in _parts(step)]
    return merged


def _parts(step: Step) -> list[Step]:
    """A cell's imports as steps of their own, so that who needs one of them needn't run what stands beside them."""
    if step.number or step.answers:
        return [step]
    try:
        body = ast.parse(_without_magics(step.source)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [step]
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in imports):
        return [step]
    parts = [Step(ast.unparse(node), is_own=step.is_own, is_import=True) for node in imports]
    return parts if len(imports) == len(body) else [*parts, step]


def _exercises(chapter: list[Given]) -> dict[str, Given]:
    """The cell of each exercise: the last one before its check that is tagged as one."""
    found, last = {}, None
    for one in chapter:
        last = one if "exercise" in one.tags else last
        check = _CHECK.match(one.source)
        if check and last is not None:
            found[check[1]] = last
    return found


def _answer(stub: Given, code: list[Cell], given: dict[str, Given], exercises: dict[str, Given]) -> int | None:
    """The place of the cell that answers an exercise; None when there is nothing but the stub.

    A cell with the stub's id that defines the stub's names; else the last one that does and belongs nowhere else; else
    one with the stub's id that can't be parsed, or defines what nobody asked for.
    """
    names, texts = _defined(stub.source), {one.source.strip() for one in given.values()}
    others = [_defined(one.source) for one in exercises.values() if one.id != stub.id]
    changed = [place for place, cell in enumerate(code) if cell.source.strip() not in texts]
    by_id = [place for place in changed if code[place].id == stub.id]
    named = [place for place in changed if names <= _defined(code[place].source)]
    # A cell of the chapter's that defines such a name by itself is not the answer, though somebody changed it.
    free = [p for p in named if code[p].id not in given or not names <= _defined(given[code[p].id].source)]
    left = [p for p in by_id if not any(other <= _defined(code[p].source) for other in others)]
    for places in ([p for p in by_id if p in named], free, left):
        if places:
            return places[-1]
    return None


def _note_what_was_found(merged: Merged, chosen: dict, exercises: dict[str, Given], code: list[Cell]) -> None:
    by_name = []
    for number, place in chosen.items():
        stub = exercises[number]
        alike = [cell for cell in code if cell.id == stub.id and cell.source.strip() != stub.source.strip()]
        if len(alike) > 1:
            merged.notes.append(f"The cell of exercise {number} was there {len(alike)} times: the last one was taken.")
        if place is not None and code[place].id != stub.id:
            by_name.append(number)
        if place is not None and len(code[place].source) > _LONGEST:
            merged.notes.append(f"The answer to exercise {number} has {len(code[place].source)} characters: too many.")
            merged.sources[number] = ""
            chosen[number] = None
    if by_name:
        numbers = ", ".join(by_name)
        merged.notes.append(f"Found by the name that it defines, because the cell's id is another one: {numbers}.")


def _own_cells(chapter: list[Given], code: list[Cell], answers: set, notes: list[str]) -> dict[str, list[str]]:
    """The student's own cells, by the id of the chapter's cell that they stand behind."""
    given = {one.id: one for one in chapter}
    texts = {one.source.strip(): one.id for one in chapter}
    found: dict[str, list[str]] = {}
    last, changed = "", set()
    for place, cell in enumerate(code):
        text = cell.source.strip()
        if place in answers:
            last = cell.id if cell.id in given else last
        elif text in texts:
            last = texts[text]
        elif cell.id in given:
            last = cell.id
            if "exercise" not in given[cell.id].tags:
                changed.add(cell.id)
        elif text and len(text) <= _LONGEST:
            found.setdefault(last, []).append(cell.source)
    notes += [f"The given cell {one} had been changed: the chapter's own was run." for one in sorted(changed)]
    return found


def needed(steps: list[Step], number: str) -> list[int]:
    """The places of the steps that have to run before an exercise can be checked, in order; its check is the last.

    What an answer doesn't need costs time and can fail: a training run, a download, somebody's own experiments. A cell
    is needed if it binds or changes a name that a needed cell reads; the one that calls `lab.start` is always.

    >>> steps = [Step("a = 1"), Step("b = 2"), Step("def f(): return a", answers="4.1"), Step("f", number="4.1")]
    >>> needed(steps, "4.1")
    [0, 2, 3]
    """
    end = next(place for place, step in enumerate(steps) if step.number == number)
    uses = [_uses(step.source) for step in steps[:end]]
    imported = {name for one in uses for name in one.imports}
    wanted = set(_uses(steps[end].source).reads)
    places = [end]
    for place in range(end - 1, -1, -1):
        step, own = steps[place], uses[place]
        if step.number:
            continue
        # What a cell imports is bound by the steps that `_parts` made of it.
        binds = own.binds if step.answers or step.is_import else own.binds - own.imports
        changes = binds | (own.touches - imported)
        if own.is_setup or changes & wanted or step.answers == number:
            places.append(place)
            wanted |= own.reads
    return sorted(places)


@dataclass(frozen=True)
class Uses:
    """What a cell does with the notebook's names."""

    binds: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    touches: frozenset[str] = frozenset()  # changed in place: `rows.append(…)`, `model.eval()`, `table["x"] = …`
    imports: frozenset[str] = frozenset()
    is_setup: bool = False


@functools.lru_cache(4096)
def _uses(source: str) -> Uses:
    """What a cell does with names; nothing, when it can't be parsed: running it tells why."""
    try:
        tree = ast.parse(_without_magics(source))
        table = symtable.symtable(_without_magics(source), "cell", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Uses()
    binds, reads = set(), set()
    for one in table.get_symbols():
        if one.is_assigned() or one.is_imported() or one.is_namespace():
            binds.add(one.get_name())
        if one.is_referenced():
            reads.add(one.get_name())
    for inner in _scopes(table):
        for one in inner.get_symbols():
            if one.is_global():
                reads.add(one.get_name())
                if one.is_declared_global() and one.is_assigned():
                    binds.add(one.get_name())
    imports = {name for node in tree.body for name in _imported(node)}
    starts = bool(re.search(r"^lab\.start\(", source, re.MULTILINE))
    return Uses(frozenset(binds), frozenset(reads), frozenset(_touched(tree)), frozenset(imports), starts)


def _without_magics(source: str) -> str:
    """The text with IPython's lines (`%time`, `!pip`, `name?`) emptied."""
    return re.sub(r"^([ \t]*)(?:[%!?].*|[\w.]+\?+)[ \t]*$", r"\1pass", source, flags=re.MULTILINE)


def _scopes(table: symtable.SymbolTable):
    for inner in table.get_children():
        yield inner
        yield from _scopes(inner)


def _imported(node: ast.stmt) -> set[str]:
    names = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
    return {(one.asname or one.name).partition(".")[0] for one in names}


def _touched(tree: ast.Module) -> set[str]:
    """The names whose objects a cell changes at its top level."""
    found = set()
    for node in _statements(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            targets = [node.value.func]
        found |= {base for one in targets if not isinstance(one, ast.Name) and (base := _base(one))}
    return found


def _statements(tree: ast.AST):
    """Every statement that runs when the cell runs, so not those in functions and classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _statements(node)


def _base(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _defined(source: str) -> frozenset[str]:
    """The functions, classes and variables that a cell binds at its top level; imports don't count."""
    if len(source) > _LONGEST:
        return frozenset()
    uses = _uses(source)
    return uses.binds - uses.imports


def names_used(steps: list[Step], number: str) -> frozenset[str]:
    """Every name that the answer to an exercise uses, with those of the student's own functions that it calls.

    It is read from the text, by compiling it; nothing is run. What `vocabulary.forbid` finds in a function's code, this
    finds in the code of the cells. What a cell does beside the answer's function, such as comparing it, doesn't count.

    >>> steps = [Step("def g(x): return x.softmax(-1)", is_own=True), Step("def f(x): return g(x)", answers="4.1"),
    ...          Step("f", number="4.1")]
    >>> sorted(names_used(steps, "4.1"))
    ['softmax']
    """
    owned: dict[str, list[str]] = {}
    imported: dict[str, set[str]] = {}
    for step in steps:
        for name, own in _import_names(step.source) if step.is_own or step.answers else ():
            imported.setdefault(name, set()).update(own)
        for name in _defined(step.source) if step.is_own or step.answers else ():
            owned.setdefault(name, []).append(step.source)
    asked = next(step.source for step in steps if step.number == number)
    waiting, seen, found = sorted(_uses(asked).reads), set(), set()
    while waiting:
        name = waiting.pop()
        for source in owned.get(name, []) if name not in seen else ():
            variables, others = _names_in(name, source)
            found |= others | {one for one in variables if one not in owned}
            waiting += sorted(variables)
        seen.add(name)
    return frozenset(found.union(*(imported.get(name, ()) for name in found)))


def _import_names(source: str) -> list[tuple[str, list[str]]]:
    """What a cell imports under another name, as (the name here, its parts there)."""
    try:
        nodes = list(ast.walk(ast.parse(_without_magics(source))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = [one for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for one in node.names]
    return [(one.asname, one.name.split(".")) for one in found if one.asname]


def _names_in(name: str, source: str) -> tuple[set[str], set[str]]:
    """What the function or class of that name reads, and its attributes and imports; where there is none, the cell."""
    try:
        whole = compile(_without_magics(source), "cell", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()
    own = [one for one in whole.co_consts if isinstance(one, CodeType) and one.co_name == name]
    pairs = [names_in(one) for one in own or [whole]]
    return set().union(*(pair[0] for pair in pairs)), set().union(*(pair[1] for pair in pairs))
