"""The one way in which a file or a folder is replaced, and small files that several kernels share.

What is written appears whole or not at all: it is written beside its place, brought to the disk, and renamed. A damaged
file is set aside, never lost.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from labs_utils.errors import WorkbookError


def read_text(path: Path) -> str:
    """The text of a small file, without the byte-order mark that some Windows programs put in front."""
    return path.read_text(encoding="utf-8-sig")


def replace_file(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """Put `content` in the place of `path` in one move. A crash, even of the machine, leaves the old file or the new.

    Text is written as UTF-8 with the line ends that it has. `mode` (such as `0o600`) holds from the first byte on;
    without it a file has what it had before, or what the system gives new files.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> replace_file(path, "kept")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('kept', 1)
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666 if mode is None else mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is None and path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextlib.contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Give the block an empty folder to fill, and put it in the place of `folder` when the block ends well.

    If the block raises, `folder` is as it was. What a killed process left beside it is cleared away first, so callers
    that may meet hold a lock. A folder can't be exchanged in one move: a process killed between the two renames leaves
    the old one beside its place, and the next call puts it back before it begins.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "model"
    >>> with replace_folder(target) as part:
    ...     _ = (part / "config.json").write_text("{}")
    >>> [path.name for path in target.parent.iterdir()], [path.name for path in target.iterdir()]
    (['model'], ['config.json'])
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    for remnant in (part, old):
        shutil.rmtree(remnant, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        _sync_folder(folder.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk. Windows does it by itself, and can't open a folder."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_json(path: Path) -> dict:
    """Return the object in `path`, or `{}` when there is none. A damaged file is set aside with a message, not lost."""
    try:
        found = json.loads(read_text(path))
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
    """Apply `change` to the object in `path` under a lock and replace the file; return the new object.

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
            replace_file(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False))
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
