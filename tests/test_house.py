"""The house keeps its plan: imports run one way, and no room knows what is not its business."""

import ast

import pytest

from labs_utils.paths import ROOT

ROOMS = ("labs_utils", "data/recipes", "benchmarks", "tests", "chapters", "book")


def imported(path) -> set[str]:
    """The modules that a file imports anywhere, at its top or inside a function; `from a import b` as `a.b`.

    What is imported for a type checker's eyes only never runs.
    """
    found, tree = set(), ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if ast.unparse(getattr(node, "test", node)) != "TYPE_CHECKING"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(folder: str) -> dict[str, set[str]]:
    """The imports of every module below a folder, by the module's own name."""
    paths = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / folder).rglob("*.py")}
    names = {path: name.removesuffix(".__init__") for path, name in paths.items()}
    known = set(names.values())

    def module(name: str) -> str:
        return name if name in known else name.rpartition(".")[0]  # the rest is something inside a module

    return {name: {module(other) for other in imported(path)} for path, name in names.items()}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, or an empty list."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for other in sorted(graph[name] & graph.keys() - {name}):
                if found := walk(other, [*way, name]):
                    return found
            done.add(name)
        return []

    for name in graph:
        if found := walk(name, []):
            return found
    return []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "a"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("folder", ROOMS)
def test_imports_run_one_way(folder):
    assert circle(modules(folder)) == []


@pytest.mark.parametrize(
    ("folder", "foreign"),
    [
        ("labs_utils", ("tests", "benchmarks", "data", "chapters")),
        ("data/recipes", ("tests", "benchmarks", "chapters")),
        ("benchmarks", ("tests", "chapters")),
        ("chapters", ("tests", "benchmarks", "data")),
    ],
)
def test_no_room_imports_what_is_not_its_business(folder, foreign):
    for name, others in modules(folder).items():
        strangers = {other for other in others if other.partition(".")[0] in foreign}
        assert not strangers, f"{name} imports {sorted(strangers)}"


def test_the_rooms_below_do_not_import_those_above():
    """The command line is on top; nothing but it, the authoring room and the class, which hands them out, knows how
    notebooks are built."""
    makers = ("labs_utils.authoring", "labs_utils.classroom")
    for name, others in modules("labs_utils").items():
        assert "labs_utils.cli" not in others, name
        if name != "labs_utils.cli" and not name.startswith(makers):
            assert not any(other.startswith("labs_utils.authoring") for other in others), name
