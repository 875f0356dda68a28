"""Bring what students handed in into the class: from files of a learning platform, from the Hub, from their homes.

Collecting twice changes nothing. What can't be kept becomes a line in `problems.json`, with what to do, until the same
file or the same notebook is collected well. The files themselves are only read: whatever is wrong, nothing is lost.

When was it handed in? Of an archive, the file's time in it; of a folder, the file's time on the disk; of a home, its
last change of any kind, because a student can set the other; of the Hub, the commit's. `Collected.clocks` says which.
A Hub that takes pushes of Git believes the time that the student's machine wrote into the commit.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labs_utils.chapters import chapter, chapters
from labs_utils.classroom import shown, submissions
from labs_utils.classroom.handing.recognising import recognise
from labs_utils.classroom.handing.submitted import LARGEST, Unreadable, chapter_of, read_cells
from labs_utils.classroom.handing.unpacking import Found, files
from labs_utils.classroom.roster import folded
from labs_utils.classroom.serving.accounts import hub_name
from labs_utils.classroom.submissions import Submission
from labs_utils.errors import WorkbookError
from labs_utils.exercises.registry import of_chapter
from labs_utils.paths import ROOT

if TYPE_CHECKING:
    from labs_utils.classroom.course import Course

HAND_IN = "hand-in_"  # how the file begins that `lab.hand_in()` makes where there is no Hub
COMMITS = 500  # of one student that are looked at; who hands in more often has the last ones kept
_NOW = "now, because the file has no time"


@dataclass(frozen=True)
class Collected:
    """What one collection brought. `print` shows it to the teacher.

    Attributes:
        kept: new submissions.
        known: submissions that were there before.
        problems: of this collection, as they stand in `problems.json`: "original", "sentence", "time", "sha256".
        clocks: how often each kind of time was taken as that of handing in.
        ignored: how many files were nobody's notebook: other files, and notebooks in a home as they were handed out.
    """

    kept: list[Submission] = field(default_factory=list)
    known: list[Submission] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    clocks: Counter[str] = field(default_factory=Counter)
    ignored: int = 0

    def __str__(self) -> str:
        lines = [f"New: {len(self.kept)}. Known before: {len(self.known)}. To look at: {len(self.problems)}."]
        lines += [f"Handed in at: {clock} ({count})." for clock, count in self.clocks.items()]
        lines += [f"{self.ignored} other files were left alone."] if self.ignored else []
        return "\n".join([*lines, *(f"{shown(one['original'])}: {one['sentence']}" for one in self.problems)])


# --- three ways in ----------------------------------------------------------------------------------------------------


def collect(course: "Course", sources: Sequence[Path]) -> Collected:
    """Keep every notebook in folders, zip files and single files that a learning platform, or a mailbox, gave.

    Raises:
        WorkbookError: a source isn't there or is the class's own folder (then nothing is kept), or the class's folder
            can't be written.
    """
    own = course.folder.resolve()
    for source in sources:
        place = source.resolve()
        if not place.exists():
            raise WorkbookError(
                f"{source} is not there. Give a folder, a zip file or a notebook; nothing was collected."
            )
        if place == own or own in place.parents or place in own.parents:
            raise WorkbookError(f"{source} holds, or lies in, the class's own folder. Collect from another folder.")
    taking = _Taking(course, "file")
    for source in sources:
        try:
            for found in files(source, course.zone):
                taking.take_file(found)
        except OSError as error:
            taking.note(str(source), f"It could not be read ({error.strerror}). Look whether you may open it.")
    return taking.done()


def from_folder_of_homes(course: "Course", folder: Path) -> Collected:
    """Keep what lies in the students' homes of a JupyterHub: a folder for each, named by id (or by name on the Hub).

    Of a chapter that a student handed in with `lab.hand_in()`, those files count. Of another one the notebook is taken
    as it stands, unless it is as it was handed out.

    Raises:
        WorkbookError: there is no such folder, or the class's folder can't be written.
    """
    if not folder.is_dir():
        raise WorkbookError(f"{folder} is no folder. Give the folder that holds a home for each student.")
    taking = _Taking(course, "jupyterhub")
    names = {folded(name): id for id in course.students for name in (hub_name(id), id)}
    for home in sorted(folder.iterdir()):
        if home.name.startswith(".") or not home.is_dir() or home.is_symlink():
            continue
        student = names.get(folded(home.name), "")
        taking.look_at(home.name)
        if student:
            taking.take_home(home, student)
        else:
            taking.note(
                home.name, "This home is of nobody on the roster. Add them with labs class add-student, or not."
            )
    return taking.done()


def from_hub(course: "Course", endpoint: str, token: str, organisation: str) -> Collected:
    """Keep every version that students pushed with `lab.hand_in()`: to the data sets `<organisation>/<user>-hand-in`.

    What a student took back is left out. A version counts as theirs only if they pushed it themselves.

    Args:
        endpoint: the Hub's address.
        token: of an administrator of the organisation: others don't see the private repositories.
        organisation: the class, as the Hub knows it.

    Raises:
        WorkbookError: the Hub can't be reached, doesn't know the token, or the class's folder can't be written.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = endpoint.rstrip("/")
    taking = _Taking(course, "hub")
    try:
        _take_from_hub(taking, HfApi(endpoint=endpoint, token=token), organisation)
    except HfHubHTTPError as error:
        status = error.response.status_code
        cure = "Give the token of the class's teacher." if status in (401, 403, 404) else "Try again."
        raise WorkbookError(f"The Hub at {endpoint} answers {status} when asked for {organisation}. {cure}") from None
    except Exception as error:
        # Whichever httpx the library asks with: its errors are no OSErrors.
        if not isinstance(error, OSError) and not type(error).__module__.startswith("httpx"):
            raise
        raise WorkbookError(
            f"The Hub at {endpoint} can't be reached: {error}. What came before is kept; try again."
        ) from None
    return taking.done()


def _take_from_hub(taking: "_Taking", api: Any, organisation: str) -> None:
    me = api.whoami()  # tried once, where the list would be asked for again and again
    if organisation not in [one["name"] for one in me.get("orgs", [])]:
        raise WorkbookError(f"The token is of {me['name']}, who is not in {organisation}. Give the teacher's token.")
    names = {hub_name(id): id for id in taking.course.students}
    for repo in sorted(one.id for one in api.list_datasets(author=organisation)):
        if not repo.endswith("-hand-in"):
            continue
        taking.look_at(repo)
        user = repo.partition("/")[2].removesuffix("-hand-in")
        if user in names:
            taking.take_repository(api, repo, user, names[user])
        else:
            taking.note(repo, "Nobody on the roster has this name on the Hub. Add them with add-student, or not.")


# --- one notebook -----------------------------------------------------------------------------------------------------


class _Taking:
    """One collection under way: what was kept, and what wasn't."""

    def __init__(self, course: "Course", source: str):
        self.course, self.source = course, source
        self.before = {one.file for one in submissions.all_of(course)}
        self.collected: dict[Path, Submission] = {}
        self.problems: list[dict[str, str]] = []
        self.clocks: Counter[str] = Counter()
        self.looked_at: set[str] = set()
        self.ignored = 0

    def note(self, original: str, sentence: str, content: bytes | None = None) -> None:
        """Remember what has to be looked at."""
        digest = "" if content is None else hashlib.sha256(content).hexdigest()
        time = submissions.in_words(datetime.now(UTC).replace(microsecond=0))
        told = {"original": original, "sentence": shown(sentence), "time": time, "sha256": digest}
        if not any((one["original"], one["sentence"]) == (original, told["sentence"]) for one in self.problems):
            self.problems.append(told)  # once, also of a source that is given twice

    def look_at(self, *path: str) -> str:
        """A file's name as it is remembered. What was noted of it, or of what it lies in, before is settled now."""
        self.looked_at |= {_called(path[: end + 1]) for end in range(len(path))}
        return _called(path)

    def take_file(self, found: Found) -> None:
        """Keep one file of a platform's, or note why not."""
        if found.refused:
            self.note(self.look_at(*found.path), found.refused)
            return
        answers = [(path, *recognise(path, self.course.students)) for path in (found.path, *found.readings)]
        path, student, why = next((answer for answer in answers if answer[1]), answers[0])
        original = self.look_at(*path)
        if found.content is None:
            self.not_a_notebook(original, found.name, student)
        elif not student:
            self.note(original, why, found.content)
        else:
            self.take(found.content, student, found.time, found.clock, original)

    def not_a_notebook(self, original: str, name: str, student: str) -> None:
        """Of a student it is a slip; anything else in a folder of downloads is nobody's business."""
        if student:
            self.note(original, f"{name} is no notebook. Ask {student} for the .ipynb file of the chapter.")
        else:
            self.ignored += 1

    def take(self, content: bytes, student: str, time: datetime | None, clock: str, original: str) -> None:
        """Keep one student's notebook, or note why not. `original` comes from `look_at`."""
        number, wrong = self.looked_into(content, student)
        if wrong:
            self.note(original, wrong, content)
            return
        now = datetime.now(UTC)
        if time is None or time > now:
            time, clock = now, _NOW
        kept = self.keep(student, number, content, time, original, _hints(content, number))
        if kept.file not in self.collected:
            self.clocks[clock] += 1
        self.collected[kept.file] = kept
        meant = [one for one in chapters().values() if one.stem in original and one.number != number]
        if meant and chapter(number).stem not in original:
            sentence = f"Its name says chapter {meant[0].number}, and it is chapter {number}: it was kept as that."
            self.note(original, f"{sentence} If chapter {meant[0].number} is missing, ask {student} for it.")

    def looked_into(self, content: bytes, student: str) -> tuple[str, str]:
        """The chapter that a notebook is, and ""; or what is wrong with it, as a sentence."""
        try:
            number = chapter_of(read_cells(content))
        except Unreadable as error:
            return "", str(error)
        chosen = self.course.chapters()
        if not number:
            return "", f"It is no chapter of the workbook. Ask {student} for the notebook that was handed out."
        if number not in chosen:
            cure = f"ask {student} for the right one, or choose exercises of it in class.toml and collect again."
            return number, f"It is chapter {number}, and the class has {', '.join(chosen)}: {cure}"
        says = _about(content).get("student")
        if isinstance(says, str) and says and folded(says) not in map(folded, (student, hub_name(student))):
            return number, f"It came as {student}'s, and in the notebook stands {shown(says)!r}. Ask whose it is."
        return number, ""

    def keep(
        self, student: str, number: str, content: bytes, time: datetime, original: str, hints: Mapping[str, int]
    ) -> Submission:
        """Bring it into the store."""
        try:
            return submissions.keep(self.course, student, number, content, time, self.source, original, hints)
        except OSError as error:
            raise WorkbookError(
                f"{self.course.folder} could not be written ({error.strerror}). What came before is kept; make room, "
                "and collect again."
            ) from None

    def take_home(self, home: Path, student: str) -> None:
        """Keep what one student handed in at home. Read twice, so that one notebook at a time is in memory."""
        handed_in = {_chapter(one.content) for one in self.at(home) if one.name.startswith(HAND_IN)} - {""}
        for one in self.at(home):
            original, number = self.look_at(*one.path), _chapter(one.content)
            if one.refused:
                self.note(original, one.refused)
            elif one.name.startswith(HAND_IN) or not (number in handed_in or self.is_nothing_new(one.content, number)):
                self.take(one.content or b"", student, one.time, one.clock, original)
            else:
                self.ignored += 1

    def at(self, home: Path) -> Iterator[Found]:
        """The notebooks in a home."""
        return files(home, self.course.zone, by_owner=True)

    def is_nothing_new(self, content: bytes | None, number: str) -> bool:
        """Is a notebook in a home no work for this class: something else, or as it was handed out?"""
        return number not in self.course.chapters() or _is_as_handed_out(content, number)

    def take_repository(self, api: Any, repo: str, user: str, student: str) -> None:
        """Keep every version in one student's repository, back to where they last took the chapter back."""
        commits = api.list_repo_commits(repo, repo_type="dataset")
        if len(commits) > COMMITS:
            self.note(repo, f"It has {len(commits)} versions. The last {COMMITS} were looked at.")
        withdrawn = set(_paths())  # not there at a later commit, and so taken back: what is older doesn't count
        later: dict[str, tuple[Any, Any]] = {}  # path -> the file, and the oldest commit so far that has it like that
        for commit in [*commits[:COMMITS], None]:
            there = {} if commit is None else _notebooks(api, repo, commit.commit_id)
            withdrawn = withdrawn - there.keys() if commit in commits[:1] else withdrawn
            for path, (file, since) in list(later.items()):
                if path not in there or there[path].blob_id != file.blob_id:
                    self.take_version(api, repo, user, student, file, since)
                    del later[path]
                    withdrawn |= {path} - there.keys()
            later |= {path: (file, commit) for path, file in there.items() if path not in withdrawn}

    def take_version(self, api: Any, repo: str, user: str, student: str, file: Any, commit: Any) -> None:
        """Keep one version: a file, and the commit that brought it."""
        original = self.look_at(repo, f"{file.path} at {commit.commit_id[:8]}")
        if commit.authors != [user]:
            self.note(
                original, f"It was pushed by {shown(', '.join(commit.authors))}, not by {user}, and is not theirs."
            )
        elif file.size > LARGEST:
            self.note(
                original,
                f"It has {file.size / 1e6:.0f} MB, and {LARGEST / 1e6:.0f} MB are read. Ask for a smaller one.",
            )
        else:
            content = _fetched(api, repo, file.path, commit.commit_id)
            self.take(content, student, commit.created_at, "the commit's time", original)

    def done(self) -> Collected:
        """Write the problems, and tell what came."""
        self.note_doubles()
        digests = {one.sha256 for one in self.collected.values()}
        noted = submissions.problems(self.course)
        settled = self.looked_at | {one["original"] for one in self.problems}
        old = [one for one in noted if one["original"] not in settled and one.get("sha256") not in digests]
        if noted or self.problems:
            submissions.save_problems(self.course, [*old, *self.problems])
        found = list(self.collected.values())
        new, known = ([one for one in found if (one.file in self.before) is there] for there in (False, True))
        return Collected(new, known, self.problems, self.clocks, self.ignored)

    def note_doubles(self) -> None:
        """Two different notebooks of one chapter with the same time: which is the last can't be told."""
        times = Counter((one.student, one.chapter, one.handed_in) for one in submissions.all_of(self.course))
        for (student, number), one in submissions.counting(self.course).items():
            original = self.look_at(f"submissions of {student}, chapter {number}")
            if times[student, number, one.handed_in] > 1:
                told = f"{student} handed in different versions at the same time; of these {one.original} counts."
                self.note(original, f"{told} If another is meant, delete this one: {one.file.name}, and its receipt.")


def _called(path: Sequence[str]) -> str:
    """A path as it is shown and remembered: its end, if somebody made it long on purpose."""
    text = shown("/".join(path))
    return text if len(text) <= 500 else f"…{text[-500:]}"


def _about(content: bytes) -> dict[str, Any]:
    """What a notebook says of itself, under metadata.workbook. It is never believed by itself."""
    notebook = json.loads(content.decode("utf-8-sig"))
    metadata = notebook.get("metadata")
    about = metadata.get("workbook") if isinstance(metadata, dict) else None
    return about if isinstance(about, dict) else {}


def _hints(content: bytes, number: str) -> dict[str, int]:
    """How many hints the student shared that they saw, of the exercises of one chapter."""
    given = _about(content).get("hints")
    own = {one: given.get(one) for one in of_chapter(chapter(number))} if given and isinstance(given, dict) else {}
    return {one: count for one, count in own.items() if type(count) is int and 0 <= count < 1000}


def _chapter(content: bytes | None) -> str:
    try:
        return chapter_of(read_cells(content or b""))
    except Unreadable:
        return ""


def _is_as_handed_out(content: bytes | None, number: str) -> bool:
    """Has nobody written anything into it?"""
    given = ROOT / "notebooks" / f"{chapter(number).stem}.ipynb"
    return given.is_file() and _sources(content or b"") == _sources(given.read_bytes())


def _sources(content: bytes) -> list[str]:
    return [cell.source.strip() for cell in read_cells(content) if cell.source.strip()]


def _notebooks(api: Any, repo: str, revision: str) -> dict[str, Any]:
    """The handed-in notebooks at one commit, by path: `04/04_tokenizers.ipynb`."""
    tree = api.list_repo_tree(repo, repo_type="dataset", revision=revision, recursive=True)
    return {one.path: one for one in tree if one.path in _paths() and hasattr(one, "blob_id")}


def _fetched(api: Any, repo: str, path: str, revision: str) -> bytes:
    """One file of one version. Not by way of the library's cache and bars: it is read once."""
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    address = hf_hub_url(repo, path, repo_type="dataset", revision=revision, endpoint=api.endpoint)
    answer = get_session().get(address, headers=build_hf_headers(token=api.token), follow_redirects=True)
    hf_raise_for_status(answer)
    return answer.content


def _paths() -> list[str]:
    return [f"{one.number}/{one.stem}.ipynb" for one in chapters().values()]
