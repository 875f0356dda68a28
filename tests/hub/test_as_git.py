"""What the server does as Git does: which files of an upload it leaves out, and how it merges lines."""

import random
import shutil
import subprocess

import pytest

from labs_utils.hub_server.ignoring import GitIgnore
from labs_utils.hub_server.merging import merge

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="compares with git, which is not installed")
NAMES = ["a", "b", "build", "keep.log", "x.log", "data", "A", "é", "c d", "foo.txt"]
PARTS = ["*", "a", "b", "build", "keep.log", "*.log", "data", "**", "?", "[ab]", "foo.*", "x", "c d", "é"]


def rule(draw: random.Random) -> str:
    """A line of a .gitignore: any part may be a pattern, anchored, for folders only, or taken back."""
    words = "/".join(draw.choice(PARTS) for _ in range(draw.choice([1, 1, 1, 2, 2, 3])))
    return draw.choice(["", "", "!"]) + draw.choice(["", "", "", "/"]) + words + draw.choice(["", "", "/"])


def planted(folder, draw: random.Random) -> list[str]:
    """A tree of files, some of which have a folder's name."""
    paths = set()
    for _ in range(25):
        path = "/".join(draw.choice(NAMES) for _ in range(draw.choice([1, 2, 3])))
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("")  # an OSError where it is a folder
            paths.add(path)
        except OSError:
            pass
    return sorted(paths)


@needs_git
@pytest.mark.parametrize("seed", range(30))
def test_files_are_left_out_as_git_does(tmp_path, seed):
    draw = random.Random(seed)
    text = "\n".join(rule(draw) for _ in range(draw.randint(1, 5))) + "\n"
    paths = planted(tmp_path, draw)
    (tmp_path / ".gitignore").write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    command = ["git", "-C", tmp_path, "check-ignore", "--no-index", "-z", "--stdin"]
    told = subprocess.run(command, input="\0".join(paths).encode(), capture_output=True).stdout.decode()
    ours = GitIgnore(text)
    assert {path for path in paths if ours.leaves_out(path)} == {one for one in told.split("\0") if one}, text


@pytest.mark.parametrize(
    ("text", "path", "is_left_out"),
    [
        ("*.log\n!keep.log\n", "keep.log", False),
        ("*.log\n!keep.log\n", "sub/other.log", True),
        ("data/private/\n", "data/private/names/list.txt", True),
        ("/build/\n", "build/x", True),
        ("/build/\n", "sub/build/x", False),
        ("build\n!build/keep\n", "build/keep", True),  # what is in a folder that is left out can't be taken back
        ("*.log\n!keep\n", "keep/x.log", True),  # taken back is the folder, and not each file in it
        ("# a comment\n\n\\#x\n", "#x", True),
        ("\ufeffa\r\nb\r\n", "a", True),
        ("[\n", "[", False),  # a pattern that is none
        ("", "a", False),
    ],
)
def test_rules(text, path, is_left_out):
    assert GitIgnore(text).leaves_out(path) == is_left_out


def lines(text: bytes) -> list[str]:
    return text.decode().splitlines(keepends=True)


def edited(base: list[str], draw: random.Random) -> list[str]:
    """Some lines changed, deleted or added, each with words that stand nowhere else."""
    new = list(base)
    for _ in range(draw.randint(1, 3)):
        at, words = draw.randrange(len(new)), f"{draw.random()}\n"
        new[at : at + 1] = draw.choice([[words], [], [new[at], words], [words, words + words]])
        new = new or ["\n"]
    return new


@needs_git
@pytest.mark.parametrize("seed", range(60))
def test_lines_are_merged_as_git_does(tmp_path, seed):
    draw = random.Random(seed)
    base = [f"line {number}\n" for number in range(draw.randint(5, 30))]
    target, proposal = edited(base, draw), edited(base, draw)
    paths = []
    for name, text in (("target", target), ("base", base), ("proposal", proposal)):
        paths.append(tmp_path / name)
        paths[-1].write_text("".join(text))
    git = subprocess.run(["git", "merge-file", "-p", *paths], capture_output=True)
    merged, conflicts = merge(base, target, proposal)
    assert bool(conflicts) == (git.returncode > 0)
    if not conflicts:
        assert "".join(merged) == git.stdout.decode()


def test_a_conflict_is_named_by_its_lines_in_the_target():
    base = [f"{number}\n" for number in range(1, 11)]
    target = ["new\n", *base[:4], "x\n", "y\n", *base[6:]]
    proposal = [*base[:4], "p\n", *base[6:8], "q\n", base[9]]
    merged, conflicts = merge(base, target, proposal)
    assert [str(one) for one in conflicts] == ["lines 6-7"]
    assert merged == ["new\n", *base[:4], "p\n", *base[6:8], "q\n", base[9]]  # the proposal's, where they conflict


def test_the_same_change_on_both_sides_is_no_conflict():
    assert merge(["a", "b"], ["a", "c"], ["a", "c"]) == (["a", "c"], [])
    assert merge(["a", "b"], ["a", "b"], ["b"]) == (["b"], [])
    assert merge([], ["a"], ["b"])[1]
