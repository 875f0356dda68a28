"""Where things are: the workbook's own folder, and the two folders on the reader's machine that it may write to."""

import os
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parent.parent
_NAME = "transformers-workbook"


def home() -> Path:
    """The folder for what must not be lost: progress. `LABS_HOME` moves it (and the cache with it)."""
    own = os.environ.get("LABS_HOME")
    return Path(own).expanduser() if own else Path(platformdirs.user_data_dir(_NAME))


def cache() -> Path:
    """The folder for what can be made again: merged checkpoints, the record of verified files."""
    own = os.environ.get("LABS_HOME")
    return Path(own).expanduser() / "cache" if own else Path(platformdirs.user_cache_dir(_NAME))
