"""Which files of an upload Git would leave out: a .gitignore, read as Git reads it."""

from typing import NamedTuple

from pathspec.patterns.gitignore import GitIgnorePatternError
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern


class _Rule(NamedTuple):
    pattern: GitIgnoreSpecPattern
    leaves_out: bool
    is_for_folders: bool


class GitIgnore:
    """The rules of a .gitignore at the top of a repository.

    >>> GitIgnore("*.log\\n!keep.log\\n/build/\\n").leaves_out("build/keep.log")
    True
    >>> GitIgnore("*.log\\n!keep.log\\n/build/\\n").leaves_out("sub/build/keep.log")
    False
    """

    def __init__(self, text: str):
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        self._rules = [rule for rule in map(_rule, lines) if rule]
        self._folders: dict[str, bool] = {"": False}

    def leaves_out(self, path: str) -> bool:
        """Whether Git would leave out a file. What is in a folder that is left out is left out, whatever follows."""
        return self._folder(path.rpartition("/")[0]) or self._last_word(path, is_folder=False)

    def _folder(self, path: str) -> bool:
        if path not in self._folders:
            parent = path.rpartition("/")[0]
            self._folders[path] = self._folder(parent) or self._last_word(path, is_folder=True)
        return self._folders[path]

    def _last_word(self, path: str, is_folder: bool) -> bool:
        """What the last rule says that names this very path, and not only a folder above it."""
        for rule in reversed(self._rules):
            if is_folder or not rule.is_for_folders:
                found = rule.pattern.match_file(_as_bytes(path))
                # The pattern's one named group is the slash after a folder that matched.
                if found is not None and not any(found.match.groupdict().values()):
                    return rule.leaves_out
        return False


def _rule(line: str) -> _Rule | None:
    """A line of a .gitignore; None for one that says nothing."""
    text = line.rstrip(" ") if not line.rstrip(" ").endswith("\\") else line
    is_for_folders = text.endswith("/")
    try:
        pattern = GitIgnoreSpecPattern(_as_bytes(text.rstrip("/") if is_for_folders else text))
    except GitIgnorePatternError:  # Git takes no notice of such a line
        return None
    return None if pattern.include is None else _Rule(pattern, pattern.include, is_for_folders)


def _as_bytes(text: str) -> str:
    """A string with a letter for each byte: Git's `?` is one byte, and its ranges are of bytes."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")
