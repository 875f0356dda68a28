"""How much one learner may store and send. Generous for a course, small enough that a mistake fills no disk."""

from dataclasses import dataclass

MiB = 1024 * 1024
GiB = 1024 * MiB


@dataclass(frozen=True)
class Limits:
    """Bounds of the server, in bytes or counts; each is told in the error that it causes."""

    quota: int = 20 * GiB  # distinct content in all repositories of one user
    file: int = 10 * GiB
    inline_file: int = 10 * MiB  # a file inside a commit request; larger ones come as LFS uploads
    body: int = 32 * MiB  # a JSON or form request
    operations: int = 10_000  # in one commit
    files: int = 50_000  # in one revision
    repos: int = 1_000  # of one user
    refs: int = 2_000  # of one repository
    text: int = 64 * 1024  # a commit message, a comment
