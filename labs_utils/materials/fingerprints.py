"""The sha256 of files, computed once for as long as a file keeps its size and its time of change."""

import contextlib
import hashlib
from pathlib import Path

from labs_utils.errors import WorkbookError
from labs_utils.paths import cache
from labs_utils.storage import read_json, update_json


def sha256(path: Path) -> str:
    """The hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprints(paths: list[Path]) -> dict[Path, str]:
    """The sha256 of several files, with one look into the record of what was computed before.

    Raises:
        OSError: a file is missing or unreadable.
    """
    record, found, new = read_json(_record()), {}, {}
    for path in paths:
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        known = record.get(str(path))
        if known and known[1:] == stamp:
            found[path] = known[0]
        else:
            found[path] = sha256(path)
            new[str(path)] = [found[path], *stamp]
    if new:
        with contextlib.suppress(WorkbookError):  # an unwritable cache costs a computation next time, and harms nothing
            update_json(_record(), lambda record: record.update(new))
    return found


def _record() -> Path:
    return cache() / "verified.json"
