"""Checkpoint folders that are made on this machine, once, and kept in the reader's cache."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from labs_utils.errors import WorkbookError
from labs_utils.materials.fingerprints import fingerprints, sha256
from labs_utils.paths import cache
from labs_utils.storage import read_text, replace_folder

_RECORD = "made.json"  # the sha256 of every other file in the folder
_PATIENCE = 120  # seconds to wait for another kernel that is making the same folder


def checkpoint_folder(role: str, key: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the folder of `role`, calling `make(empty_folder)` to fill it at first use or when it is damaged.

    `key` names everything that goes into the folder, and the folder's name holds its hash: new inputs never meet an old
    folder. It appears complete or not at all: it is made beside its place, under a lock, and renamed.

    Raises:
        WorkbookError: the cache can't be written, or another kernel holds the lock for two minutes.
    """
    folder = made_folder(role, key)
    if is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=_PATIENCE):
            if not is_whole(folder):  # another kernel may have made it while this one waited
                with replace_folder(folder) as part:
                    make(part)
                    digests = {file.name: sha256(file) for file in sorted(part.iterdir())}
                    (part / _RECORD).write_text(json.dumps(digests, indent=1), encoding="utf-8")
        return folder
    except Timeout:
        raise WorkbookError(
            f"Another kernel has held {folder}.lock for {_PATIENCE} seconds. Stop that kernel and try again."
        ) from None
    except OSError as error:
        raise WorkbookError(
            f"The model {role!r} could not be put together in {folder} ({error.strerror or error}). Free 500 MB there, "
            "or set the environment variable LABS_HOME to a folder you can write to, and restart the kernel."
        ) from None


def made_folder(role: str, key: Sequence[str]) -> Path:
    """Where the folder of `role` is, or will be."""
    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()
    return cache() / "checkpoints" / f"{role}-{digest[:16]}"


def is_whole(folder: Path) -> bool:
    """Whether a made folder is there, all its files as they were written."""
    try:
        expected = {folder / name: digest for name, digest in json.loads(read_text(folder / _RECORD)).items()}
        return fingerprints(list(expected)) == expected
    except (OSError, ValueError, AttributeError):
        return False
