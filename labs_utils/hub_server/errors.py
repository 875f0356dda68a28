"""What goes wrong, in the Hub's own form: a status, a sentence, and the code by which the clients tell errors apart."""

import sqlite3


class HubError(Exception):
    """An answer other than success.

    Attributes:
        status: the HTTP status: 4xx, or 307 for "elsewhere". The clients retry a 5xx, and waiting mends none of these.
        code: the value of `X-Error-Code`, such as `"EntryNotFound"`, or None.
        body: what the JSON answer holds beside `error`.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}
        self.body: dict[str, object] = {}


class RepoExists(HubError):
    """There is a repository of this name already: 409.

    Attributes:
        repo: the row of that repository; the route tells the client its address.
    """

    def __init__(self, message: str, repo: sqlite3.Row):
        super().__init__(409, message)
        self.repo = repo


def bad_request(message: str) -> HubError:
    """The request itself is wrong: 400."""
    return HubError(400, message)


def too_large(message: str) -> HubError:
    """More than a limit or a quota allows: 413."""
    return HubError(413, message)


def repo_not_found(is_caller_known: bool) -> HubError:
    """No such repository, or one that the caller may not see; which of the two is not told."""
    return HubError(404 if is_caller_known else 401, "Repository not found", "RepoNotFound")


def repo_moved(name: str, location: str) -> HubError:
    """The repository has another name now, and this request goes there."""
    return HubError(307, f"This repository is called {name} now.", headers={"Location": location})


def gated(status: int, message: str) -> HubError:
    """The repository is there, but its content is not for this caller."""
    return HubError(status, message, "GatedRepo")


def revision_not_found(revision: str) -> HubError:
    """The repository has no such branch, tag, pull request or commit."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, commit: str | None = None) -> HubError:
    """The revision has no such file or folder. With the commit, a client can remember that it isn't there."""
    return HubError(
        404, f"{path} does not exist", "EntryNotFound", headers={"X-Repo-Commit": commit} if commit else None
    )
