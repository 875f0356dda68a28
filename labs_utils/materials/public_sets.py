"""Real, public rows in the place of the course's own, for a reader who has them on disk.

With the environment variable LABS_DATA_DIR set to a folder of public sets, a role that has a reader here becomes a
folder in the cache with the same file names and fields as ours, so that a chapter runs on real rows with no cell
changed. Files that the public set lacks stay ours (`hotel_reviews` has a real `zh.csv`), or are left out with their
line in the card (`emotion` without a `test.txt`). A plain file and its .gz are both read.

A public file is taken as it is or refused with a sentence that names the row: a text keeps its line breaks, its length
and the words "null" and "NA"; what can't be understood is never guessed.
"""

import csv
import gzip
import io
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
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
    card = part / "README.md"
    known = re.findall(r"^ +'\d': (\w+)$", card.read_text(encoding="utf-8"), re.MULTILINE)
    for name, public in _EMOTION.items():
        text = _text(folder / public)
        if text is None:
            (part / name).unlink()
            _strike(card, name)
        else:
            lines = [line.removesuffix("\r") for line in text.split("\n")]
            rows = ((number, line.rsplit(";", 1)) for number, line in enumerate(lines, 1) if line.strip())
            _write(part / name, ("text", "label"), rows, known, public)
    _keep_words(card)


def _hotel_reviews(folder: Path, part: Path) -> None:
    """ChnSentiCorp's hotel reviews: a CSV with our two columns."""
    public = "ChnSentiCorp_htl_all.csv"
    text = _text(folder / public, chinese=True)
    if text is not None:
        header = ("label", "review")
        _write(part / "zh.csv", header, _table(text, header, public), ["0", "1", "0.0", "1.0", ""], public)
        _keep_words(part / "README.md")


_READERS = {"emotion": _emotion, "hotel_reviews": _hotel_reviews}
_FOLDERS = {"emotion": "emotion", "hotel_reviews": "chnsenticorp_htl"}


def _text(path: Path, chinese: bool = False) -> str | None:
    """The text of a file, or of the .gz beside it; None where there is neither. A Chinese file may be in GBK."""
    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not packed.is_file():
        return None
    try:
        raw = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
    except (OSError, EOFError) as error:  # a .gz that was cut is an EOFError
        raise _refused(path.name, f"it can't be read ({error})") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = raw.count(b"\n", 0, error.start) + 1
    if chinese:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError:
            pass
        else:
            print(f"{path.name} is not in UTF-8 and was read as GBK, the older encoding of Chinese.")
            return text
    raise _refused(path.name, f"line {wrong} is not in UTF-8", "Save the file as UTF-8")


def _table(text: str, header: tuple[str, ...], public: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with their numbers, in the order of `header`; its fields may also part at ; or tabs."""
    first = text.partition("\n")[0].strip()
    found = {mark: [name.strip(" \"'").lower() for name in first.split(mark)] for mark in ",;\t"}
    fitting = [mark for mark, names in found.items() if sorted(names) == sorted(header)]
    if not fitting:
        raise _refused(
            public, f"its first line is {first[:60]!r}, and the names {','.join(header)} were expected there"
        )
    names, before = found[fitting[0]], csv.field_size_limit(sys.maxsize if sys.platform != "win32" else 2**31 - 1)
    rows, number = csv.reader(io.StringIO(text, newline=""), delimiter=fitting[0], strict=True), 0
    try:
        next(rows)
        for row in rows:
            if row:  # a blank line is no row
                number += 1
                yield number, [row[names.index(name)] for name in header] if len(row) == len(header) else row
    except csv.Error as error:
        raise _refused(public, f"row {number + 1} can't be read ({error})", "Complete its quotes") from None
    finally:
        csv.field_size_limit(before)


def _write(
    path: Path, header: tuple[str, ...], rows: Iterable[tuple[int, list[str]]], labels: list[str], public: str
) -> None:
    """Write the rows under our names; one with another number of fields, or an unknown label, is refused."""
    place = header.index("label")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number, row in rows:
            if len(row) != len(header):
                expected = f"and {len(header)} were expected ({', '.join(header)})"
                raise _refused(public, f"row {number} has {len(row)} fields, {expected}")
            if row[place].strip() not in labels:
                expected = ", ".join(label for label in labels if label)
                raise _refused(
                    public, f"row {number}: the label is {row[place][:60]!r}, and one of {expected} was expected"
                )
            writer.writerow([field.strip() if at == place else field for at, field in enumerate(row)])


def _refused(public: str, what: str, cure: str = "Fetch the file again") -> WorkbookError:
    return WorkbookError(f"{public} in LABS_DATA_DIR: {what}. {cure}, or unset LABS_DATA_DIR to use our rows.")


def _keep_words(card: Path) -> None:
    """Have `load_dataset` keep the words "null" and "NA", which it takes for gaps unless a card says otherwise."""
    text = card.read_text(encoding="utf-8")
    kept = "  keep_default_na: false\n  na_values: ['']\n"
    card.write_text(re.sub(r"^(- config_name: \w+\n)", rf"\1{kept}", text, flags=re.MULTILINE), encoding="utf-8")


def _strike(card: Path, name: str) -> None:
    """Take a file that is not there out of the card's list of splits, which `load_dataset` reads."""
    text = card.read_text(encoding="utf-8")
    card.write_text(re.sub(rf"  - split: \w+\n    path: {re.escape(name)}\n", "", text), encoding="utf-8")
