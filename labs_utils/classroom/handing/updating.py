"""The folder that a student works in is brought up to a new hand-out, and nothing of theirs is lost."""

import hashlib
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from labs_utils.classroom.handing.reissuing import reissue
from labs_utils.classroom.handing.submitted import Unreadable
from labs_utils.errors import WorkbookError
from labs_utils.storage import read_text, replace_file

GIVEN = ".handed-out"  # in a hand-out: its notebooks as they were given …
FILES = "files.json"  # … and the sha256 of every file
_LARGEST = 500_000_000  # bytes of a whole hand-out; ours have at most some twenty million


def update(folder: Path, new: Path) -> list[str]:
    """Bring a student's folder up to a new hand-out, a folder or a zip, and lose nothing.

    Each notebook is merged (`reissue`); one that changes is kept beside it first, as `NAME.before-<time>.ipynb`. So is
    any other given file that the student had changed.

    Args:
        folder: the hand-out that the student works in.
        new: the corrected one.

    Returns:
        What happened, a sentence each.

    Raises:
        WorkbookError: `folder` or `new` is no hand-out, or both are the same; nothing has changed then.
    """
    known = _listed(folder, folder)
    with _opened(new) as source:
        if source.resolve() == folder.resolve():
            raise WorkbookError(
                f"{new} is the folder that you work in. Name the new hand-out: a zip or another folder."
            )
        listed, stamp = _listed(source, new), time.strftime("%Y%m%d-%H%M%S")
        merged = {name: _merged(name, folder, source) for name in listed if _is_notebook(name)}
        said = [f"{name}: {note}" for name, (_, notes) in merged.items() for note in notes]
        for name in listed:
            content = merged[name][0] if name in merged else (source / name).read_bytes()
            said += _put(folder / name, content, stamp, known.get(name))
        for name in sorted(known.keys() - listed.keys()):
            said += _withdraw(folder / name, known[name])
        # Last, so that an update that was interrupted is begun again from what was given before.
        for file in sorted((source / GIVEN).iterdir()):
            replace_file(folder / GIVEN / file.name, file.read_bytes())
    if known.get("pyproject.toml") != listed.get("pyproject.toml"):
        said.append("What has to be installed has changed: install once more, as README.md says.")
    if known.get("data/catalog.toml") != listed.get("data/catalog.toml"):
        said.append("The chapters use other models or data than before: run labs fetch once more.")
    return said or ["You have this version already."]


def fingerprint(content: bytes) -> str:
    """The sha256 of a file's content, as `files.json` lists it."""
    return hashlib.sha256(content).hexdigest()


def _is_notebook(name: str) -> bool:
    return name.startswith("notebooks/") and name.endswith(".ipynb")


def _listed(folder: Path, named: Path) -> dict[str, str]:
    """The files of a hand-out, each with its sha256. `named` is what whoever updates calls it."""
    try:
        files = json.loads(read_text(folder / GIVEN / FILES))["files"]
        names = [PurePosixPath(name) for name in files]
        if any(name.is_absolute() or {"..", GIVEN} & set(name.parts) or "\\" in str(name) for name in names):
            raise ValueError("a name that leads elsewhere")
        return {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise WorkbookError(
            f"{named} is no hand-out of a class: its {GIVEN}/{FILES}, the list of its files, can't be read. Name the "
            "folder or the zip that your teacher gave you, and use the labs of the folder that you work in."
        ) from None


@contextmanager
def _opened(new: Path) -> Iterator[Path]:
    """The folder of a hand-out that may be a zip."""
    if new.is_dir():
        yield new
        return
    with TemporaryDirectory() as place:
        try:
            with zipfile.ZipFile(new) as archive:
                if sum(one.file_size for one in archive.infolist()) > _LARGEST:
                    raise WorkbookError(f"{new} holds more than {_LARGEST / 1e6:.0f} MB: it is no hand-out of a class.")
                archive.extractall(place)  # keeps names inside the folder
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or error
            raise WorkbookError(f"{new} could not be read as a folder or a zip: {why}. Download it again.") from None
        inside = list(Path(place).glob(f"**/{GIVEN}"))
        yield inside[0].parent if inside else Path(place)


def _merged(name: str, folder: Path, source: Path) -> tuple[bytes, list[str]]:
    """A notebook's content after the update, and what to say of it."""
    new, base = (source / name).read_bytes(), folder / GIVEN / Path(name).name
    if not (folder / name).is_file():
        return new, []
    mine = (folder / name).read_bytes()
    try:
        content, notes = reissue(mine, new, base.read_bytes() if base.is_file() else None)
    except Unreadable as error:
        return new, [f"yours could not be read and stands beside the new one. {error}"]
    told = json.loads(content)  # how a file is laid out is no change
    return next((same for same in (mine, new) if json.loads(same.decode("utf-8-sig")) == told), content), notes


def _put(path: Path, content: bytes, stamp: str, given: str | None) -> list[str]:
    """Write a file of the new hand-out; where the student had changed what was given, that is kept beside it."""
    old = path.read_bytes() if path.is_file() else None
    if old == content:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = None
    if old is not None and fingerprint(old) != given:
        names = (path.with_name(f"{path.stem}.before-{stamp}{more}{path.suffix}") for more in ("", "-2", "-3", "-4"))
        aside = next(name for name in names if not name.exists())
        replace_file(aside, old)
    replace_file(path, content)
    if aside is None:
        return [f"{path.name} is {'here' if old is None else 'corrected'}."] if path.suffix == ".ipynb" else []
    return [f"{path.name} is corrected; as it was before, it is in {aside.name}."]


def _withdraw(path: Path, given: str) -> list[str]:
    """Take away a file that is handed out no longer, unless it is a notebook or the student has changed it."""
    if not path.is_file() or path.suffix == ".ipynb" or fingerprint(path.read_bytes()) != given:
        return [f"{path.name} is handed out no longer; yours stays."] if path.is_file() else []
    path.unlink()
    for folder in path.parents[:3]:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return []
