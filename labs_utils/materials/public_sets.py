"""Real, public rows in the place of the course's own, for a reader who has them on disk.

With the environment variable LABS_DATA_DIR set to a folder of public sets, a role that has a reader here becomes a
folder in the cache with the same file names and fields as ours, so that a chapter runs on real rows with no cell
changed. Files that the public set lacks stay ours (`hotel_reviews` has a real `zh.csv`), or are left out with their
line in the card (`emotion` without a `test.txt`). A plain file and its .gz are both read.
"""

import csv
import gzip
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from labs_utils.errors import WorkbookError
from labs_utils.paths import cache
from labs_utils.storage import replace_folder

_EMOTION = {"train.csv": "train.txt", "validation.csv": "val.txt", "test.csv": "test.txt"}


def real_folder(role: str, ours: Path) -> Path | None:
    """The folder of real rows for `role`, made at first use; None unless LABS_DATA_DIR is set and has this role.

    Raises:
        WorkbookError: LABS_DATA_DIR is no folder, or a public file there has a line that cannot be read.
    """
    given = os.environ.get("LABS_DATA_DIR")
    if not given or role not in _READERS:
        return None
    root = Path(given).expanduser()
    if not root.is_dir():
        raise WorkbookError(f"LABS_DATA_DIR is {given!r}, which is no folder. Correct it, or unset it to use our rows.")
    folder, target = root / _FOLDERS[role], cache() / "public" / role
    if not folder.is_dir():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock", timeout=120), replace_folder(target) as part:
        shutil.copytree(ours, part, dirs_exist_ok=True)
        _READERS[role](folder, part)
    return target


def _emotion(folder: Path, part: Path) -> None:
    """dair-ai's emotion: lines of `text;label`."""
    for name, public in _EMOTION.items():
        lines = _lines(folder / public)
        if lines is None:
            (part / name).unlink()
            _strike(part / "README.md", name)
        else:
            rows = [line.rsplit(";", 1) for line in lines]
            _write(part / name, ("text", "label"), rows, folder / public)


def _hotel_reviews(folder: Path, part: Path) -> None:
    """ChnSentiCorp's hotel reviews: a CSV with our two columns."""
    public = folder / "ChnSentiCorp_htl_all.csv"
    lines = _lines(public)
    if lines is not None:
        _write(part / "zh.csv", ("label", "review"), list(csv.reader(lines))[1:], public)


_READERS = {"emotion": _emotion, "hotel_reviews": _hotel_reviews}
_FOLDERS = {"emotion": "emotion", "hotel_reviews": "chnsenticorp_htl"}


def _lines(path: Path) -> list[str] | None:
    """The lines of a text file, or of the .gz beside it; None where there is neither."""
    packed = path.with_name(f"{path.name}.gz")
    if path.is_file():
        return path.read_text(encoding="utf-8").splitlines()
    if packed.is_file():
        return gzip.decompress(packed.read_bytes()).decode("utf-8").splitlines()
    return None


def _write(path: Path, header: tuple[str, ...], rows: Iterable[list[str]], public: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise WorkbookError(
                    f"{public.name} in LABS_DATA_DIR: row {number} has {len(row)} fields, and {len(header)} were "
                    f"expected ({', '.join(header)}). Fetch the file again, or unset LABS_DATA_DIR to use our rows."
                )
            writer.writerow(row)


def _strike(card: Path, name: str) -> None:
    """Take a file that is not there out of the card's list of splits, which `load_dataset` reads."""
    text = card.read_text(encoding="utf-8")
    card.write_text(re.sub(rf"  - split: \w+\n    path: {re.escape(name)}\n", "", text), encoding="utf-8")
