"""The files in what a teacher collected: a folder, a zip file of a learning platform, a single notebook.

Nothing is unpacked to the disk, and no name in an archive is ever used as a path: a notebook is read into memory, up
to a limit, and its name only serves to find out whose it is. What can't be read is told, and never stops the others.
"""

import lzma
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from labs_utils.classroom.handing.submitted import LARGEST

ENTRIES = 5_000  # files in one source; a class of thirty hands in some hundred
TOTAL = 1_000_000_000  # bytes read out of one archive
RATIO = 200  # text is packed to a twentieth; zeros to a thousandth
LONGEST, DEEPEST = 255, 50  # characters of a name, and names of a path
NESTED = 20_000_000  # bytes of an archive inside an archive
_ONE = 1_000_000  # below this many bytes a ratio says nothing
_CENTRAL = b"PK\x01\x02"  # begins an archive's record of one file
_DOS_BEGIN = (1980, 1, 1)  # what an archive says that knows no time
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, NotImplementedError, RuntimeError, ValueError),
)


@dataclass(frozen=True)
class Found:
    """One file: where it lies, its bytes (None where it is no notebook), or why it can't be read."""

    path: tuple[str, ...]  # the source's name, then folders and archives, then the file's name
    content: bytes | None = None
    refused: str = ""  # a sentence for the teacher
    time: datetime | None = None  # aware; None where none is known
    clock: str = ""  # whose time that is
    readings: tuple[tuple[str, ...], ...] = field(default=())  # `path` in other encodings, where the archive says none

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path[-1]


@dataclass
class _Budget:
    """What may still be read out of one source."""

    entries: int
    total: int


def files(source: Path, zone: tzinfo, by_owner: bool = False) -> Iterator[Found]:
    """Every file in a folder, in an archive, or the one that `source` is.

    Args:
        source: a folder, a zip file or a notebook.
        zone: of the times in archives that don't say theirs.
        by_owner: the folder is a student's own. A file's time is then that of its last change of any kind, which a
            student can't set, and only notebooks are looked at.
    """
    source = source.resolve()
    budget = _Budget(ENTRIES * 20 if by_owner else ENTRIES, TOTAL)  # a home holds more than what is handed in
    if source.is_dir():
        yield from _folder(source, zone, budget, by_owner)
    else:
        way = (source.name,) if _is_archive(source.name) else (source.parent.name, source.name)
        yield from _file(os.open(source, _PLAINLY), way, zone, budget, by_owner)


def _folder(top: Path, zone: tzinfo, budget: _Budget, by_owner: bool) -> Iterator[Found]:
    """The files below a folder, in the order of their names. No link is followed, also none that is put there now."""
    for root, folders, names, place in _walk(top):
        folders[:] = sorted(one for one in folders if one != "__MACOSX" and not one.startswith("."))
        way = (top.name, *Path(root).relative_to(top).parts)
        for name in sorted(names):
            if name.startswith("."):
                continue
            budget.entries -= 1
            if budget.entries < 0:
                yield Found(way, refused="It holds too many files. Collect the folders in it one by one.")
                return
            if by_owner and not is_notebook(name):
                continue
            try:
                handle = os.open(name if place is not None else Path(root, name), _PLAINLY, dir_fd=place)
            except OSError as error:
                why = (
                    "is a link, and links are not followed" if Path(root, name).is_symlink() else f"({error.strerror})"
                )
                yield Found((*way, name), refused=f"The file can't be read: {why}. Put the notebook itself there.")
                continue
            yield from _file(handle, (*way, name), zone, budget, by_owner)


_PLAINLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _walk(top: Path) -> Iterator[tuple[str, list[str], list[str], int | None]]:
    """`os.fwalk`, whose handles can't be led elsewhere by a folder that becomes a link; Windows has `os.walk` alone."""
    if hasattr(os, "fwalk"):
        yield from os.fwalk(top, follow_symlinks=False)
    else:
        for root, folders, names in os.walk(top):
            yield root, folders, names, None


def _file(handle: int, path: tuple[str, ...], zone: tzinfo, budget: _Budget, by_owner: bool) -> Iterator[Found]:
    """One file on the disk, or what is in it. Closes the handle."""
    with open(handle, "rb") as stream:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            yield Found(path, refused="It is no ordinary file. Put the notebook itself there.")
            return
        changed = about.st_ctime if by_owner and os.name == "posix" else about.st_mtime
        clock = "the file's last change" if by_owner else "the file's time on this machine"
        found = Found(path, time=_moment(changed), clock=clock)
        if _is_archive(path[-1]):
            yield from _archive(stream, found, zone, budget, nested=False)
        elif not is_notebook(path[-1]):
            yield found
        elif about.st_size > LARGEST:
            yield replace(found, refused=_too_large(about.st_size))
        elif by_owner and about.st_size > budget.total:
            yield replace(found, refused=f"The notebooks have more than {TOTAL / 1e9:.0f} GB together. Look at them.")
        else:
            budget.total -= about.st_size
            yield replace(found, content=stream.read(LARGEST))


def _moment(seconds: float) -> datetime | None:
    """A file's time; some file systems keep any number, and a student can set one that is no date."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def is_notebook(name: str) -> bool:
    """Does a file's name say that it is a notebook? Some browsers and platforms put another ending behind."""
    return name.lower().endswith((".ipynb", ".ipynb.txt", ".ipynb.json"))


def _is_archive(name: str) -> bool:
    return name.lower().endswith(".zip")


def _too_large(size: int) -> str:
    return (
        f"The file has {size / 1e6:.0f} MB, and {LARGEST / 1e6:.0f} MB are read. Ask for it once more, with its "
        "outputs cleared."
    )


def _archive(stream: BinaryIO, of: Found, zone: tzinfo, budget: _Budget, nested: bool) -> Iterator[Found]:
    """The files in an archive."""
    try:
        archive = zipfile.ZipFile(stream)
        entries = [one for one in archive.infolist() if not one.is_dir()]
    except _BROKEN:
        yield replace(of, refused="The archive is broken, or no zip file. Fetch it once more, or unpack it yourself.")
        return
    budget.entries -= len(entries)
    if budget.entries < 0:
        yield replace(of, refused=f"The archive holds more than {ENTRIES} files: unpack it, and look what they are.")
        return
    for entry in entries:
        readings = tuple((*of.path, *parts) for parts in _readings(entry))
        found = replace(of, path=readings[0], readings=readings[1:])
        if any(part.startswith(".") or part == "__MACOSX" for part in found.path[len(of.path) :] if part != ".."):
            continue
        moment, clock = _time(entry, zone)
        found = replace(found, time=moment, clock=clock)
        yield from _entry(archive, entry, found, zone, budget, nested)


def _entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, found: Found, zone: tzinfo, budget: _Budget, nested: bool
) -> Iterator[Found]:
    """One file in an archive, or what is in it."""
    packed = _is_archive(found.name)
    if refused := _refused(entry, found, budget, nested):
        yield replace(found, refused=refused)
    elif not packed and not is_notebook(found.name):
        yield found
    else:
        try:
            with archive.open(entry) as stream:
                content = stream.read(LARGEST + 1)
        except _BROKEN:
            yield replace(found, refused="The archive is broken at this file. Fetch it once more, or ask for the file.")
            return
        budget.total -= len(content)
        if not packed:
            yield replace(found, content=content)
        elif content.count(_CENTRAL) > ENTRIES:  # counted before they are read: each would take memory
            yield replace(found, refused=f"The archive holds more than {ENTRIES} files. Ask for the notebook itself.")
        else:
            yield from _archive(BytesIO(content), found, zone, budget, nested=True)


def _refused(entry: zipfile.ZipInfo, found: Found, budget: _Budget, nested: bool) -> str:
    """Why a file in an archive is not opened, as a sentence; "" if it may be."""
    if max(map(len, found.path)) > LONGEST or len(found.path) > DEEPEST:
        return "Its name is longer than a file's name can be. Ask for the file itself."
    name = entry.orig_filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        return (
            "Its name in the archive leads out of the archive: nobody's platform makes such. Ask for the file itself."
        )
    if not is_notebook(found.name) and not _is_archive(found.name):
        return ""
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "It is a link, and links are not followed. Ask for the notebook itself."
    if entry.flag_bits & 1:
        return "It is protected by a password. Unpack the archive yourself, and collect the folder."
    if _is_archive(found.name) and nested:
        return "It is an archive in an archive in an archive. Unpack it yourself, or ask for the notebook itself."
    largest = NESTED if _is_archive(found.name) else LARGEST
    if entry.file_size > largest:
        return _too_large(entry.file_size)
    if entry.file_size > _ONE and entry.file_size > RATIO * entry.compress_size:
        return "It is packed more tightly than any notebook can be, and was not opened. Ask for the file itself."
    if entry.file_size > budget.total:
        return f"The archive holds more than {TOTAL / 1e9:.0f} GB. Unpack it, and collect its folders one by one."
    return ""


def _time(entry: zipfile.ZipInfo, zone: tzinfo) -> tuple[datetime | None, str]:
    """When a file in an archive was changed, and how that is known."""
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == 0x5455 and size >= 5 and len(extra) >= 9 and extra[4] & 1:  # Unix time, in UTC
            return datetime.fromtimestamp(struct.unpack("<I", extra[5:9])[0], UTC), "the archive's time"
        extra = extra[4 + size :]
    if entry.date_time[:3] <= _DOS_BEGIN:
        return None, ""
    try:
        return datetime(*entry.date_time, tzinfo=zone), f"the archive's time, which says no zone, read in {zone}"
    except ValueError:
        return None, ""


def _readings(entry: zipfile.ZipInfo) -> list[tuple[str, ...]]:
    """The parts of a name. An archive that doesn't say its encoding may mean any: UTF-8, or that of some Windows."""
    names = [entry.filename]
    if not entry.flag_bits & 0x800 and not entry.filename.isascii():
        try:
            raw = entry.filename.encode("cp437")  # what zipfile read it as
        except UnicodeEncodeError:
            raw = b""
        for encoding in ("cp1252", "gb18030", "utf-8"):
            try:
                names.insert(0, raw.decode(encoding))
            except UnicodeDecodeError:
                continue
    parts = [tuple(part for part in _composed(name).split("/") if part not in ("", ".")) for name in names]
    # Too much of a name is refused later; handling all of it would take minutes.
    short = [tuple(part[-LONGEST - 1 :] for part in one[-DEEPEST - 1 :]) for one in parts if one]
    return list(dict.fromkeys(short)) or [("?",)]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))
