"""The route that makes commits: one JSON object a line, read as it comes, then written all at once."""

import base64
import binascii
import hashlib
import json
import sqlite3
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import discussions, history, repos
from labs_utils.hub_server.api.uploads import check_contributor
from labs_utils.hub_server.blobs import Incoming
from labs_utils.hub_server.calls import Call
from labs_utils.hub_server.errors import HubError, bad_request, too_large
from labs_utils.hub_server.names import SHA256, file_path, printable

_BATCH = 1024 * 1024


class Uploaded(NamedTuple):
    """A change of a commit: content that was uploaded before is this file from now on."""

    path: str
    sha256: str


class Draft:
    """A commit that is being received: its words, its changes, and the files that came with it."""

    def __init__(self, call: Call):
        self.call, self.store = call, call.store
        self.title, self.description = "", ""
        self.parent: str | None = None
        self.changes: list[history.Change | Uploaded] = []
        self.arrived: dict[str, Incoming] = {}
        with self.store.database.reading() as call.db:
            self.caller = check_contributor(call)
            self.repo, self.revision = call.repo, call.revision

    def take(self, line: bytes) -> None:
        """Read one line of the request."""
        if not line.strip():
            return
        try:
            key, value = (item := json.loads(line))["key"], item["value"]
        except (ValueError, RecursionError, KeyError, TypeError):
            raise bad_request('A line of the commit is not of the form {"key": ..., "value": ...}.') from None
        if not isinstance(key, str) or key not in _READERS or not isinstance(value, dict):
            raise bad_request(f"A commit has no operation {str(key)[:100]!r}.")
        if len(self.changes) >= self.store.limits.operations:
            raise too_large(f"A commit can have {self.store.limits.operations:,} operations; send several commits.")
        _READERS[key](self, value)

    def header(self, value: dict) -> None:
        """The words of the commit and the parent that the client expects."""
        self.title = printable(value.get("summary"), 500).strip()
        self.description = printable(value.get("description"), self.store.limits.text)
        parent = value.get("parentCommit")
        if parent is not None and (not isinstance(parent, str) or len(parent) < 5):
            raise bad_request("parentCommit is not a commit id.")
        self.parent = parent

    def file(self, value: dict) -> None:
        """A file with its content."""
        path, content = file_path(value.get("path")), value.get("content")
        if not isinstance(content, str):
            raise bad_request(f"{path} has no content.")
        is_base64 = value.get("encoding") == "base64"
        try:
            data = base64.b64decode(content, validate=True) if is_base64 else content.encode()
        except (binascii.Error, ValueError):
            raise bad_request(f"The content of {path} is not valid {'base64' if is_base64 else 'text'}.") from None
        if len(data) > self.store.limits.inline_file:
            raise too_large(f"{path} has {len(data):,} bytes: too many inside a commit. Send it as an LFS upload.")
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in self.arrived and not self._is_held(sha256):
            self.arrived[sha256] = blob = self.store.blobs.receive()
            blob.write(data)
            blob.finish()
        self.changes.append(history.Put(path, history.Entry(history.git_oid(data), len(data), sha256, False)))

    def _is_held(self, sha256: str) -> bool:
        with self.store.database.reading() as db:
            return self.store.held(db, self.repo["id"], sha256) is not None

    def lfs_file(self, value: dict) -> None:
        """A file whose content was uploaded before."""
        path, oid = file_path(value.get("path")), value.get("oid")
        if not isinstance(oid, str) or not SHA256.fullmatch(oid):
            raise bad_request(f"The oid of {path} is not a sha256 in hexadecimal.")
        self.changes.append(Uploaded(path, oid))

    def deleted_file(self, value: dict) -> None:
        """A file to delete."""
        self.changes.append(history.DeleteFile(file_path(value.get("path"))))

    def deleted_folder(self, value: dict) -> None:
        """A folder to delete."""
        path = value.get("path")
        self.changes.append(history.DeleteFolder(file_path(path.rstrip("/") if isinstance(path, str) else path)))

    def write(self) -> Response:
        """Make the commit, or the pull request with it."""
        if not self.title:
            raise bad_request("The commit has no summary.")
        self.store.blobs.settle(list(self.arrived.values()))
        with self.store.database.writing() as db:
            repo, author = self.repo["id"], self.caller.name
            if db.execute("SELECT 1 FROM repos WHERE id = ?", (repo,)).fetchone() is None:
                raise HubError(404, "The repository was deleted meanwhile.", "RepoNotFound")
            self.store.hold(db, repo, *self.arrived.values())
            ref, num = self._ref(db)
            head = history.resolve(db, repo, ref)
            if self.parent is not None and not head.startswith(self.parent):
                raise HubError(412, "The branch was updated since you opened this page. Please refresh and try again.")
            changes = [self._checked(db, one) for one in self.changes]
            new = history.applied(history.files(self.store, db, repo, head), changes)
            made = history.commit(self.store, db, repo, ref, head, new, author, self.title, self.description)
            if ref == f"{history.HEADS}main":
                repos.describe(self.store, db, repo)
            if ref.startswith(history.PULLS):
                discussions.note_commit(db, repo, int(ref.rpartition("/")[2]), author, made, self.title)
        return JSONResponse(self._answer(made, num))

    def _ref(self, db: sqlite3.Connection) -> tuple[str, int | None]:
        """The ref to move. With `create_pr` it is a new pull request's, which starts at the revision."""
        if not self.call.flag("create_pr"):
            ref = history.branch_ref(self.revision)
            if ref.startswith(history.PULLS):
                discussions.check_pushable(db, self.repo, ref, self.caller)
            return ref, None
        repo, author = self.repo["id"], self.caller.name
        num = discussions.open_pull_request(db, repo, author, self.title, self.description, self.revision)
        return f"{history.PULLS}{num}", num

    def _checked(self, db: sqlite3.Connection, change: history.Change | Uploaded) -> history.Change:
        """The change with its entry. Content counts only if it was given to this very repository and is still held."""
        if isinstance(change, history.DeleteFile | history.DeleteFolder):
            return change
        sha256 = change.sha256 if isinstance(change, Uploaded) else change.entry.sha256
        size = self.store.held(db, self.repo["id"], sha256)
        if size is None:
            raise bad_request(f"The content of {change.path} (sha256 {sha256}) was not uploaded to this repository.")
        return history.Put(change.path, history.lfs_entry(sha256, size)) if isinstance(change, Uploaded) else change

    def _answer(self, made: str, num: int | None) -> dict:
        home = f"{self.call.base}/{repos.address(self.repo)}"
        shown = {"success": True, "commitOid": made, "commitUrl": f"{home}/commit/{made}", "hookOutput": ""}
        return shown | ({"pullRequestUrl": f"{home}/discussions/{num}"} if num else {})

    def close(self) -> None:
        """Forget the files that were not kept."""
        for blob in self.arrived.values():
            blob.discard()


_READERS = {
    "header": Draft.header,
    "file": Draft.file,
    "lfsFile": Draft.lfs_file,
    "deletedFile": Draft.deleted_file,
    "deletedFolder": Draft.deleted_folder,
}


async def commit(request: Request) -> Response:
    """Receive a commit line by line; only one line is ever in memory.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_commit
    """
    draft = await run_in_threadpool(lambda: Draft(Call(request)))
    try:
        longest, rest = 2 * request.app.state.store.limits.inline_file, b""
        parts, size = [], 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if b"\n" in part and size >= _BATCH:
                *lines, rest = b"".join(parts).split(b"\n")
                parts, size = [rest], len(rest)
                await run_in_threadpool(_take_all, draft, lines)
            if size > longest:
                raise too_large(
                    f"A line of the commit has more than {longest:,} bytes. Send the file as an LFS upload."
                )
        return await run_in_threadpool(_finish, draft, b"".join(parts).split(b"\n"))
    finally:
        await run_in_threadpool(draft.close)


def _take_all(draft: Draft, lines: list[bytes]) -> None:
    for line in lines:
        draft.take(line)


def _finish(draft: Draft, lines: list[bytes]) -> Response:
    _take_all(draft, lines)
    return draft.write()


routes = [Route("/api/{kinds}/{owner}/{name}/commit/{revision}", commit, methods=["POST"])]
