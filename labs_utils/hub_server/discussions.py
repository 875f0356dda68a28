"""Discussions and pull requests: a thread of events, and for a pull request a ref with commits of its own."""

import difflib
import io
import json
import sqlite3
from typing import cast

from labs_utils.hub_server import history, merging, repos
from labs_utils.hub_server.auth import Caller, now
from labs_utils.hub_server.errors import HubError, bad_request
from labs_utils.hub_server.merging import Conflict
from labs_utils.hub_server.store import Store

_LARGEST_DIFF = 256 * 1024


def find(db: sqlite3.Connection, repo: int, num: int) -> sqlite3.Row:
    """Return a discussion; 404 if there is none with this number."""
    row = db.execute("SELECT * FROM discussions WHERE repo = ? AND num = ?", (repo, num)).fetchone()
    if row is None:
        raise HubError(404, f"There is no discussion {num}.")
    return row


def open_discussion(db: sqlite3.Connection, repo: int, author: str, title: str, text: str) -> int:
    """Start a thread and return its number."""
    return _open(db, repo, author, title, text, None, None)


def open_pull_request(db: sqlite3.Connection, repo: int, author: str, title: str, text: str, target: str) -> int:
    """Start a pull request against a branch, at the branch's commit, and return its number.

    Raises:
        HubError: RevisionNotFound for the branch, 400 if it is no branch.
    """
    ref = history.branch_ref(target)
    if not ref.startswith(history.HEADS):
        raise bad_request(f"A pull request can't be opened against {target}, which is not a branch.")
    base = history.resolve(db, repo, ref)
    num = _open(db, repo, author, title, text, ref, base)
    history.move(db, repo, f"{history.PULLS}{num}", base)
    return num


def _open(
    db: sqlite3.Connection, repo: int, author: str, title: str, text: str, target: str | None, base: str | None
) -> int:
    if not title:
        raise bad_request("A discussion needs a title.")
    num = db.execute("SELECT COALESCE(MAX(num), 0) + 1 FROM discussions WHERE repo = ?", (repo,)).fetchone()[0]
    # A pull request without commits is a draft, as on the Hub; its first commit opens it.
    status = "draft" if target else "open"
    values = (repo, num, title, author, status, target is not None, target, base, None, now())
    db.execute("INSERT INTO discussions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    note_comment(db, repo, num, author, text)
    return num


def note_comment(db: sqlite3.Connection, repo: int, num: int, author: str, text: str) -> int:
    """Add a comment to a thread; return the event's id."""
    return note(db, repo, num, "comment", author, {"edited": False, "hidden": False, "latest": {"raw": text}})


def note_commit(db: sqlite3.Connection, repo: int, num: int, author: str, commit: str, title: str) -> None:
    """Add a commit to a pull request's thread."""
    db.execute("UPDATE discussions SET status = 'open' WHERE repo = ? AND num = ? AND status = 'draft'", (repo, num))
    note(db, repo, num, "commit", author, {"subject": title, "oid": commit})


def note(db: sqlite3.Connection, repo: int, num: int, kind: str, author: str, data: dict) -> int:
    """Add an event to a thread; return its id."""
    insert = "INSERT INTO events (repo, num, kind, author, created, data) VALUES (?, ?, ?, ?, ?, ?)"
    return cast(int, db.execute(insert, (repo, num, kind, author, now(), json.dumps(data))).lastrowid)


def events(db: sqlite3.Connection, repo: int, num: int) -> list[sqlite3.Row]:
    """What happened in a thread, in order."""
    return db.execute("SELECT * FROM events WHERE repo = ? AND num = ? ORDER BY id", (repo, num)).fetchall()


def check_may_manage(repo: sqlite3.Row, discussion: sqlite3.Row, caller: Caller) -> None:
    """Raise unless the caller owns the repository or started the discussion."""
    if not repos.owns(repo, caller) and caller.name != discussion["author"]:
        raise HubError(403, f"Only {repo['owner']} and {discussion['author']} can do this.")


def check_pushable(db: sqlite3.Connection, repo: sqlite3.Row, ref: str, caller: Caller) -> None:
    """Raise unless the caller may add a commit to this pull request."""
    history.resolve(db, repo["id"], ref)
    discussion = find(db, repo["id"], int(ref.rpartition("/")[2]))
    check_may_manage(repo, discussion, caller)
    if discussion["status"] not in ("draft", "open"):
        raise HubError(409, f"Pull request {discussion['num']} is {discussion['status']}.")


def set_status(db: sqlite3.Connection, repo: int, discussion: sqlite3.Row, author: str, status: str) -> int:
    """Open or close a thread; return the event's id."""
    if status not in ("open", "closed"):
        raise bad_request("A status can be 'open' or 'closed'.")
    if discussion["status"] == "merged":
        raise HubError(409, "This pull request is merged already.")
    db.execute("UPDATE discussions SET status = ? WHERE repo = ? AND num = ?", (status, repo, discussion["num"]))
    return note(db, repo, discussion["num"], "status-change", author, {"status": status})


def merge(store: Store, db: sqlite3.Connection, repo: int, discussion: sqlite3.Row, author: str) -> str:
    """Bring a pull request's changes into its target as one commit; return the commit.

    A text that both sides changed is merged line by line.

    Raises:
        HubError: 409 if the target changed the same lines since, or the pull request isn't open.
    """
    head, merged, clashes = _merged(store, db, repo, discussion)
    if clashes:
        raise HubError(409, _told(clashes, "Bring the pull request up to date, or change it, and merge then"))
    num = discussion["num"]
    title = f"{discussion['title']} (#{num})"
    made = history.commit(store, db, repo, discussion["target"], head, merged, author, title)
    db.execute("UPDATE discussions SET status = 'merged', merged = ? WHERE repo = ? AND num = ?", (made, repo, num))
    note(db, repo, num, "status-change", author, {"status": "merged"})
    return made


def update(
    store: Store, db: sqlite3.Connection, repo: int, discussion: sqlite3.Row, author: str, prefers_own: bool
) -> str:
    """Bring what happened in the target since into a pull request, as a commit of its own; return the commit.

    From then on the pull request changes what it changes there. With `prefers_own`, lines that both sides changed
    become the pull request's; then it can be merged, or changed further.

    Raises:
        HubError: 409 if both sides changed the same lines, or the pull request isn't open.
    """
    head, merged, clashes = _merged(store, db, repo, discussion)
    if clashes and not prefers_own:
        raise HubError(409, _told(clashes, 'Ask with {"prefer": "proposal"} to keep the pull request\'s lines'))
    num, branch = discussion["num"], discussion["target"].removeprefix(history.HEADS)
    ref, title = f"{history.PULLS}{num}", f"Bring up to date with {branch}"
    made = history.commit(store, db, repo, ref, _head(db, repo, discussion), merged, author, title)
    db.execute("UPDATE discussions SET base = ? WHERE repo = ? AND num = ?", (head, repo, num))
    note_commit(db, repo, num, author, made, title)
    return made


def _told(clashes: dict[str, list[Conflict]], advice: str) -> str:
    """The sentence that names conflicts by file and line."""
    shown = [path + (f" ({', '.join(map(str, where[:5]))})" if where else "") for path, where in clashes.items()]
    more = f" and {len(shown) - 10} more files" if len(shown) > 10 else ""
    return f"Both sides changed the same: {'; '.join(shown[:10])}{more}. {advice}."


def _merged(
    store: Store, db: sqlite3.Connection, repo: int, discussion: sqlite3.Row
) -> tuple[str, history.Files, dict[str, list[Conflict]]]:
    """The target's commit, its files with a pull request's changes in them, and the conflicts by path.

    Where there is a conflict, the pull request's side is taken.
    """
    if discussion["status"] not in ("open", "draft"):
        raise HubError(409, f"This pull request is {discussion['status']}.")
    head = history.resolve(db, repo, discussion["target"])
    target = history.files(store, db, repo, head)
    changes: list[history.Change] = []
    clashes: dict[str, list[Conflict]] = {}
    for path, old, new in changed(store, db, repo, discussion):
        now_there = target.get(path)
        if not same(now_there, old) and not same(now_there, new):
            merged, where = _both(store, old, now_there, new)
            if merged is None or where:
                clashes[path] = where
            if merged is not None:
                new = repos.put_text(store, db, repo, merged)
        if new:
            changes.append(history.Put(path, new))
        elif path in target:  # the target may have deleted the same file
            changes.append(history.DeleteFile(path))
    return head, history.applied(target, changes), clashes


def _both(
    store: Store, old: history.Entry | None, target: history.Entry | None, proposal: history.Entry | None
) -> tuple[str | None, list[Conflict]]:
    """The merged text of a file that both sides changed, and where it conflicts; None if it can't be merged by line."""
    texts = [_text(store, entry) for entry in (old, target, proposal)]
    if None in texts or not (target and proposal):
        return None, []
    # As Git does: a line ends at \n and nowhere else.
    lines, where = merging.merge(*(list(io.StringIO(text, newline="\n")) for text in texts))
    return "".join(lines), where


def _text(store: Store, entry: history.Entry | None) -> str | None:
    """The text of a small file, empty for no file; None for content that Git would not merge by line."""
    if entry is None:
        return ""
    if entry.is_lfs or entry.size > _LARGEST_DIFF:
        return None
    content = store.blobs.path(entry.sha256).read_bytes()
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def changed(store: Store, db: sqlite3.Connection, repo: int, discussion: sqlite3.Row) -> list[tuple]:
    """What a pull request changes, as `(path, before, after)`; None where the file isn't there."""
    base = history.files(store, db, repo, discussion["base"])
    return _differences(base, history.files(store, db, repo, _head(db, repo, discussion)))


def _head(db: sqlite3.Connection, repo: int, discussion: sqlite3.Row) -> str:
    return history.resolve(db, repo, f"{history.PULLS}{discussion['num']}")


def _differences(before: history.Files, after: history.Files) -> list[tuple]:
    paths = sorted(before.keys() | after.keys())
    pairs = ((path, before.get(path), after.get(path)) for path in paths)
    return [(path, old, new) for path, old, new in pairs if not same(old, new)]


def same(one: history.Entry | None, other: history.Entry | None) -> bool:
    """Whether two entries are the same content; two absent files are."""
    return (one and one[:4]) == (other and other[:4])


def conflicts(store: Store, db: sqlite3.Connection, repo: int, discussion: sqlite3.Row) -> list[str]:
    """Files in which a pull request and its target, since, have changed the same lines."""
    try:
        target = history.files(store, db, repo, history.resolve(db, repo, discussion["target"]))
    except HubError:  # the branch is gone
        return []
    found = []
    for path, old, new in changed(store, db, repo, discussion):
        if not same(target.get(path), old) and not same(target.get(path), new):
            merged, where = _both(store, old, target.get(path), new)
            if merged is None or where:
                found.append(path)
    return found


def diff(store: Store, db: sqlite3.Connection, repo: int, discussion: sqlite3.Row) -> str:
    """A pull request's changes in the usual form; of a large or binary file, only that it differs."""
    parts = []
    for path, old, new in changed(store, db, repo, discussion):
        parts.append(f"diff --git a/{path} b/{path}\n")
        before, after = _lines(store, old), _lines(store, new)
        if before is None or after is None or sum(map(len, parts)) > 4 * _LARGEST_DIFF:
            parts.append(f"Binary files a/{path} and b/{path} differ\n")
            continue
        names = f"a/{path}" if old else "/dev/null", f"b/{path}" if new else "/dev/null"
        parts += [f"{line}\n" for line in difflib.unified_diff(before, after, *names, lineterm="")]
    return "".join(parts)


def _lines(store: Store, entry: history.Entry | None) -> list[str] | None:
    if entry is None:
        return []
    if entry.is_lfs:
        return history.pointer(entry.sha256, entry.size).decode().splitlines()
    if entry.size > _LARGEST_DIFF:
        return None
    try:
        return store.blobs.path(entry.sha256).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return None
