"""Content on disk, stored once: a file named by its sha256 in a folder named by the first two digits."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class Blobs:
    """A folder of immutable files. Nothing is ever written in place: content arrives beside, then takes its name."""

    def __init__(self, folder: Path):
        self._folder, self._incoming = folder / "blobs", folder / "incoming"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the content with this sha256 is, or would be."""
        return self._folder / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether the content is here."""
        return self.path(sha256).is_file()

    def receive(self) -> "Incoming":
        """A new, empty file that content can be written to."""
        return Incoming(self._incoming)

    def settle(self, arrived: list["Incoming"]) -> None:
        """Flush content to the disk. Many files at once cost little more than one: they share the journal's writes."""
        if len(arrived) < 2:
            for one in arrived:
                one.flush()
            return
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(Incoming.flush, arrived))

    def keep(self, arrived: "Incoming") -> None:
        """Give content its name. Call `settle` before, so that the name never stands for half a file."""
        place = self.path(arrived.sha256)
        if place.is_file():
            arrived.discard()
            return
        place.parent.mkdir(exist_ok=True)
        os.replace(arrived.path, place)

    def clear_incoming(self) -> None:
        """Remove what a killed server was still receiving."""
        for path in self._incoming.iterdir():
            path.unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """The sha256 of everything that is stored."""
        for folder in self._folder.iterdir():
            yield from (path.name for path in folder.iterdir())

    def remove(self, sha256: str) -> None:
        """Delete content. A reader that has it open keeps it; a system that forbids that keeps the file."""
        with contextlib.suppress(OSError):
            self.path(sha256).unlink()


class Incoming:
    """A file on its way in: `write` as often as needed, `finish`, `Blobs.settle`, then `Blobs.keep` or `discard`."""

    def __init__(self, folder: Path):
        handle, name = tempfile.mkstemp(dir=folder)
        self.path, self.size, self.sha256 = Path(name), 0, ""
        self._file, self._hash = os.fdopen(handle, "wb", buffering=0), hashlib.sha256()

    def write(self, *parts: bytes) -> None:
        """Append the parts."""
        for part in parts:
            self._hash.update(part)
            self.size += len(part)
            rest = memoryview(part)
            while rest:  # an unbuffered write may take only a part
                rest = rest[self._file.write(rest) :]

    def finish(self) -> "Incoming":
        """Nothing more comes: compute the sha256."""
        self._file.close()
        self.sha256 = self._hash.hexdigest()
        return self

    def flush(self) -> None:
        """Wait until the content is on the disk."""
        handle = os.open(self.path, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def discard(self) -> None:
        """Forget it. Harmless after `Blobs.keep`."""
        self._file.close()
        self.path.unlink(missing_ok=True)
