"""What goes wrong, in the Hub's own form: a status, a sentence, and the code by which the clients tell errors apart."""


class HubError(Exception):
    """An answer other than success.

    Attributes:
        status: the HTTP status, always 4xx: the clients retry a 5xx, and waiting mends none of these.
        code: the value of `X-Error-Code`, such as `"EntryNotFound"`, or None.
        body: what the JSON answer holds beside `error`.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, message: str, code: str | None = None, body=None, headers=None):
        super().__init__(message)
        self.status, self.code, self.body, self.headers = status, code, body or {}, headers or {}


def bad_request(message: str) -> HubError:
    """The request itself is wrong: 400."""
    return HubError(400, message)


def too_large(message: str) -> HubError:
    """More than a limit or a quota allows: 413."""
    return HubError(413, message)


def repo_not_found(known_caller: bool) -> HubError:
    """No such repository, or one that the caller may not see; which of the two is not told."""
    return HubError(404 if known_caller else 401, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    """The repository has no such branch, tag, pull request or commit."""
    return HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, commit: str | None = None) -> HubError:
    """The revision has no such file or folder. With the commit, a client can remember that it isn't there."""
    return HubError(
        404, f"{path} does not exist", "EntryNotFound", headers={"X-Repo-Commit": commit} if commit else None
    )
