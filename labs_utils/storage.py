"""Small JSON files that several kernels share: atomic writes, one writer at a time, damage set aside."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from labs_utils.errors import WorkbookError


def read_json(path: Path) -> dict:
    """Return the object in `path`, or `{}` when there is none. A damaged file is set aside with a message, not lost."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:  # json and Unicode errors are ValueErrors
        aside = path.with_name(f"{path.stem}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}{path.suffix}")
        os.replace(path, aside)
        print(f"{path.name} could not be read ({error}). It was set aside as {aside}, and a new one is started.")
        return {}


def update_json(path: Path, change: Callable[[dict], None]) -> dict:
    """Apply `change` to the object in `path` under a lock and write it atomically; return the new object.

    Two kernels that call this at once both keep what they wrote. A kernel killed in the middle leaves the old file.

    Raises:
        WorkbookError: the folder cannot be written, or another process holds the lock for ten seconds.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "counts.json"
    >>> update_json(path, lambda counts: counts.update(tried=1))
    {'tried': 1}
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=10):
            content = read_json(path)
            change(content)
            part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            part.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")
            os.replace(part, path)
            return content
    except Timeout:
        raise WorkbookError(
            f"Another kernel has held {path}.lock for ten seconds. Stop that kernel and try again."
        ) from None
    except OSError as error:
        raise WorkbookError(
            f"{path} could not be written ({error.strerror}). "
            "Set the environment variable LABS_HOME to a folder you can write to, and restart the kernel."
        ) from None
