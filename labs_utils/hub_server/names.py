"""What a user, a repository, a path and a branch may be called: checked once, here, before anything is looked up."""

import re
import unicodedata

from labs_utils.hub_server.errors import HubError, bad_request

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
# The first segment of an address that is not a user's.
_RESERVED = {"api", "datasets", "spaces", "models", "kernels", "buckets", "settings", "static", "lfs", "resolve"}
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_-])?")
_USER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38}[A-Za-z0-9])?")
_REF = re.compile(r"[A-Za-z0-9_+@=-][A-Za-z0-9_.+@=/-]{0,199}")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT = re.compile(r"[0-9a-f]{7,39}")  # the beginning of a commit id, as people copy it
SHA256 = re.compile(r"[0-9a-f]{64}")


def user_name(name: object) -> str:
    """Return a valid user name, or raise 400.

    >>> user_name("ada")
    'ada'
    """
    if not isinstance(name, str) or not _USER.fullmatch(name) or name.lower() in _RESERVED:
        raise bad_request(
            f"{_shown(name)} is no user name: up to 40 letters, digits, - and _, and none of the server's."
        )
    return name


def repo_name(name: object) -> str:
    """Return a valid repository name (without its owner), or raise 400 with the rule."""
    if (
        not isinstance(name, str)
        or not _NAME.fullmatch(name)
        or any(part in name for part in ("..", "--"))
        or name.endswith((".git", ".ipynb"))
    ):
        raise bad_request(
            f"{_shown(name)} is no repository name: up to 96 letters, digits, '-', '_' and '.', "
            "with no '--' or '..', and not ending in '.', '.git' or '.ipynb'."
        )
    return name


def ref_name(name: object) -> str:
    """Return a valid name of a branch or tag, or raise 400. Git's rules, a little narrower."""
    bad_parts = ("..", "//", "@{", "/.", "./")
    if (
        not isinstance(name, str)
        or not _REF.fullmatch(name)
        or any(part in name for part in bad_parts)
        or name.endswith((".lock", "/", "."))
        or name.startswith("refs/")
        or COMMIT.fullmatch(name)
        or name == "HEAD"
    ):
        raise bad_request(f"{_shown(name)} is no name for a branch or a tag.")
    return name


def file_path(path: object) -> str:
    """Return a path inside a repository as it is stored, or raise 422, as the Hub does, with what is wrong.

    A path is relative, in Unicode's composed form, and has no empty, `.`, `..` or `.git` segment, no backslash and no
    control character: written out on any system, it stays inside its folder.

    >>> file_path("sub/model.safetensors")
    'sub/model.safetensors'
    """
    if not isinstance(path, str) or not path:
        raise HubError(422, f"{_shown(path)} is no path of a file.")
    path = unicodedata.normalize("NFC", path)
    problem = _path_problem(path)
    if problem:
        raise HubError(422, f"The path {_shown(path)} {problem}.")
    return path


def _path_problem(path: str) -> str | None:
    segments = path.split("/")
    if len(path.encode("utf-8", "replace")) > 1000 or any(
        len(one.encode("utf-8", "replace")) > 255 for one in segments
    ):
        return "is too long: a name may have 255 bytes and a path 1,000"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in path):
        return "holds a control character or half a character"
    if "\\" in path or ":" in segments[0][:2]:
        return "holds a backslash or a drive letter; folders are separated by '/'"
    if any(one in ("", ".", "..") for one in segments):
        return "is not a plain relative path"
    if any(one.lower().rstrip(". ") == ".git" or one.lower() == "git~1" for one in segments):
        return "goes through .git, which belongs to Git"
    return None


def printable(text: object, limit: int) -> str:
    """Return free text (a title, a message) cut to `limit` bytes, with what no database stores replaced."""
    if not isinstance(text, str):
        return ""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
