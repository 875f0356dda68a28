"""A class: hand out, collect, grade, report.

Names and marks stay on the teacher's machine. What is written into a class's folder goes through `write_private`.
"""

from pathlib import Path

from labs_utils.storage import replace_file


def write_private(path: Path, content: str | bytes) -> None:
    """Replace a file that only its owner may read, in folders that only their owner may enter (made where missing).

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "class" / "comments" / "s01.md"
    >>> write_private(path, "Well done.")
    >>> path.read_text(), oct(path.stat().st_mode)[-3:], oct(path.parent.stat().st_mode)[-3:]
    ('Well done.', '600', '700')
    """
    private_folder(path.parent)
    replace_file(path, content, mode=0o600)


def shown(text: str) -> str:
    """A text that somebody else wrote, on its way to a terminal or a file: no sign that moves the cursor or turns the
    line, and no half characters.

    >>> shown("nb\\x1b[2J.ipynb")
    'nb?[2J.ipynb'
    """
    return "".join(one if one.isprintable() else "?" for one in text)


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, and those above it that are missing. One that is there stays so."""
    for one in reversed([folder, *folder.parents]):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)
