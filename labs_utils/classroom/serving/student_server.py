"""What runs inside the walls when a student logs in: their notebooks are laid out, then the Jupyter server starts.

It runs with the student's rights and no others, so that nothing which they put into their home, such as a link to
somewhere else, can lead it astray.
"""

import json
import os
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from labs_utils.classroom.handing.updating import FILES, GIVEN, update
from labs_utils.classroom.serving.walls import HANDOUT, MODELS, PROCESSES
from labs_utils.paths import cache
from labs_utils.storage import read_text

CORRECTED = "corrected.txt"  # in the home: what happened to its notebooks when a correction arrived


def main() -> None:
    """Lay out the home and become the Jupyter server; the arguments go on to it."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))
    try:
        quiet_lab(Path.home())
        link_models(Path(MODELS))
        lay_out(Path(HANDOUT), Path.home())
    except (
        Exception
    ):  # a full disk, a notebook that is a folder now: whatever it is, they can go on with what they have
        traceback.print_exc()
    os.execv(sys.executable, [sys.executable, "-m", "jupyterhub.singleuser", *sys.argv[1:]])


def lay_out(handout: Path, home: Path) -> None:
    """Put the notebooks of a hand-out into a home: new ones are copied, a corrected one meets the student's work.

    The helpers and the data that are in a hand-out, too, are installed here for everybody.
    """
    with TemporaryDirectory() as place:
        part = Path(place)
        for name in ("notebooks", GIVEN):
            shutil.copytree(handout / name, part / name, copy_function=shutil.copyfile)
        listed = json.loads(read_text(part / GIVEN / FILES))["files"]
        own = {name: digest for name, digest in listed.items() if name.startswith("notebooks/")}
        (part / GIVEN / FILES).write_text(json.dumps({"files": own}), encoding="utf-8")
        if not (home / GIVEN / FILES).is_file():
            _begin(part, home)
        elif _differ(part, home):
            _tell(home, update(home, part))


def _begin(part: Path, home: Path) -> None:
    """Copy a hand-out; what is in its place already stays. The record of what was given comes last."""
    for file in sorted(part.rglob("*"), key=lambda one: (GIVEN in one.parts, one.name == FILES, one)):
        place = home / file.relative_to(part)
        if file.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def _differ(part: Path, home: Path) -> bool:
    """Is anything new in a hand-out, or anything of it missing in the home?"""
    given, own = read_text(part / GIVEN / FILES), read_text(home / GIVEN / FILES)
    return given != own or any(not (home / name).is_file() for name in json.loads(given)["files"])


def _tell(home: Path, said: list[str]) -> None:
    with (home / CORRECTED).open("a", encoding="utf-8") as file:
        file.write("\n".join([time.strftime("%Y-%m-%d %H:%M"), *said, "", ""]))


def link_models(models: Path) -> None:
    """Let the workbook find the models that the teacher fetched: one copy on the disk for the whole class."""
    places = cache() / "checkpoints"
    places.mkdir(parents=True, exist_ok=True)
    for model in models.iterdir():
        place = places / model.name
        if place.is_symlink():  # of the last time
            place.unlink()
        if not place.exists():
            place.symlink_to(model)


def quiet_lab(home: Path) -> None:
    """JupyterLab asks everybody once whether it may fetch news from its makers' site. Not in a class."""
    path = home / ".jupyter" / "labconfig" / "page_config.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}\n')


if __name__ == "__main__":
    main()
