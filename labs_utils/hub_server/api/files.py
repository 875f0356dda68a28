"""Routes that read files: the tree, information about paths, and the content itself."""

import asyncio
import hashlib
import re
import sqlite3
import unicodedata
from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from labs_utils.hub_server import gates, history
from labs_utils.hub_server.calls import Call, next_page, reads
from labs_utils.hub_server.errors import entry_not_found

_CHUNK = 512 * 1024
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


def tree(call: Call) -> Response:
    """The files and folders below a path, page by page; with `expand`, the last commit of each.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_repo_tree
    """
    path = call.path
    prefix = f"{path}/" if path else ""
    asked = f"{call.path_as_asked}/" if path else ""  # `hf://` compares names letter by letter with what it asked for
    inside = {asked + name[len(prefix) :]: entry for name, entry in call.files.items() if name.startswith(prefix)}
    if path and not inside:
        raise entry_not_found(path, call.commit)
    shown = _listed(inside, asked, call.flag("recursive"))
    expand = call.flag("expand")
    most = 50 if expand else 1000
    page, headers = next_page(call, shown, call.number("limit", most, most) or most, call.number("cursor", 0, 10**9))
    return JSONResponse(_shown(call, page, expand), headers=headers)


def _listed(files: history.Files, prefix: str, recursive: bool) -> list[tuple[str, history.Entry | history.Files]]:
    """Sorted pairs of a path with an entry (a file) or with the files below it (a folder)."""
    shown: dict[str, history.Entry | history.Files] = {}
    folders: dict[str, history.Files] = {}
    for path, entry in files.items():
        parts = path[len(prefix) :].split("/")
        depths = range(1, len(parts)) if recursive else range(1, min(len(parts), 2))
        for depth in depths:
            folders.setdefault(prefix + "/".join(parts[:depth]), {})[path] = entry
        if recursive or len(parts) == 1:
            shown[path] = entry
    return sorted((shown | folders).items())


def _shown(call: Call, listed: list, expand: bool) -> list[dict]:
    shown = [_file(path, one) if isinstance(one, history.Entry) else _folder(path, one) for path, one in listed]
    if expand:
        for item, last in zip(shown, _last_commits(call, listed), strict=True):
            item["lastCommit"] = last
    return shown


def _file(path: str, entry: history.Entry) -> dict:
    shown: dict = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
    if entry.is_lfs:
        size = len(history.pointer(entry.sha256, entry.size))
        shown["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": size}
    return shown


def _folder(path: str, files: history.Files) -> dict:
    text = "\n".join(f"{name} {entry.oid}" for name, entry in files.items())
    return {"type": "directory", "oid": hashlib.sha1(text.encode()).hexdigest(), "size": 0, "path": path}


def _last_commits(call: Call, listed: list) -> list[dict]:
    """The commit that changed each file last; of a folder, the newest among its files."""
    question = "SELECT id, title, date FROM commits WHERE repo = ? AND id = ?"
    known: dict[str, sqlite3.Row | None] = {}
    for _, one in listed:
        for entry in [one] if isinstance(one, history.Entry) else one.values():
            if entry.last not in known:
                known[entry.last] = call.db.execute(question, (call.repo["id"], entry.last)).fetchone()
    head = {"id": call.commit, "title": "", "date": call.repo["modified"]}
    answers = []
    for _, one in listed:
        entries = [one] if isinstance(one, history.Entry) else one.values()
        rows = [row for entry in entries if (row := known[entry.last])]  # after a squash the commit may be gone
        newest = max(rows, key=lambda row: row["date"]) if rows else head
        answers.append({"id": newest["id"], "title": newest["title"], "date": f"{newest['date'][:23]}Z"})
    return answers


def paths_info(call: Call) -> Response:
    """The same about chosen paths; a path that isn't there is left out.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.get_paths_info
    """
    asked, files = call.form, call.files
    expand = str(asked.get("expand", [""])[0]).lower() in ("1", "true")
    listed: list[tuple] = []
    for path in dict.fromkeys(str(one).strip("/") for one in asked.get("paths", [])):
        stored = unicodedata.normalize("NFC", path)  # as it was committed; the answer names it as it was asked for
        if stored in files:
            listed.append((path, files[stored]))
        elif inside := {name: entry for name, entry in files.items() if name.startswith(f"{stored}/")}:
            listed.append((path, inside))
    shown = _shown(call, listed, expand)
    for item in shown:
        if "lfs" in item:  # a client that copies between repositories wants some name of the stored content
            item["xetHash"] = item["lfs"]["oid"]
    return JSONResponse(shown)


class Content:
    """A file that is being answered with: what the headers say, and the part of the content that follows them."""

    def __init__(self, call: Call):
        path = call.path
        if not gates.is_free(path):
            call.must_read()
        if path not in call.files:
            raise entry_not_found(path, call.commit)
        self.entry, self.size = call.files[path], call.files[path].size
        self.status, self.start, self.length = 200, 0, self.size
        self.headers = {
            "ETag": f'"{self.entry.etag}"',
            "X-Repo-Commit": call.commit,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream" if self.entry.is_lfs else "text/plain; charset=utf-8",
            "Content-Disposition": f"inline; filename*=UTF-8''{quote(path.rpartition('/')[2])}",
            "X-Content-Type-Options": "nosniff",  # a learner's HTML is a text here, never a page of this server
            "Content-Security-Policy": "sandbox",
        }
        if self.entry.is_lfs:
            self.headers |= {"X-Linked-ETag": self.headers["ETag"], "X-Linked-Size": str(self.size)}
        self._choose(call.request)
        if self.status != 304:
            self.headers["Content-Length"] = str(self.length)

    def _choose(self, request: Request) -> None:
        """All of it, a part of it, or nothing, by the request's headers."""
        etag = self.headers["ETag"]
        if etag in (one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")):
            self.status, self.length = 304, 0
            return
        wish = _RANGE.fullmatch(request.headers.get("range", ""))
        if wish is None or wish.groups() == ("", "") or request.headers.get("if-range", etag) != etag:
            return
        first, last = wish.groups()
        start = int(first) if first else max(0, self.size - int(last))
        end = min(int(last), self.size - 1) if first and last else self.size - 1
        if start > end:
            self.status, self.length = 416, 0
            self.headers["Content-Range"] = f"bytes */{self.size}"
        else:
            self.status, self.start, self.length = 206, start, end - start + 1
            self.headers["Content-Range"] = f"bytes {start}-{end}/{self.size}"


def _open(request: Request) -> tuple[Content, BinaryIO | None]:
    call = Call(request)
    with call.store.database.reading() as call.db:
        content = Content(call)
        if request.method != "GET" or not content.length:
            return content, None
        # Opened inside the transaction: a file that is deleted from now on can still be read to its end.
        return content, call.store.blobs.path(content.entry.sha256).open("rb", buffering=0)


async def resolve(request: Request) -> Response:
    """The content of a file at a revision, whole or a range of it.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/file_download#huggingface_hub.hf_hub_download
    Ranges and ETags: https://www.rfc-editor.org/rfc/rfc9110#section-14
    """
    content, file = await run_in_threadpool(_open, request)
    if file is None:
        return Response(status_code=content.status, headers=content.headers)
    if content.length <= _CHUNK:
        body = await run_in_threadpool(_read_and_close, file, content.start, content.length)
        return Response(body, content.status, content.headers)
    return StreamingResponse(_stream(file, content.start, content.length), content.status, content.headers)


def _read_and_close(file: BinaryIO, start: int, length: int) -> bytes:
    with file:
        file.seek(start)
        return file.read(length)


async def _stream(file: BinaryIO, start: int, length: int) -> AsyncIterator[bytes]:
    """Read ahead by one piece while the last one is on its way."""
    with file:
        file.seek(start)
        ahead = asyncio.ensure_future(run_in_threadpool(file.read, min(_CHUNK, length)))
        try:
            while length > 0:
                piece = await ahead
                length -= len(piece)
                if not piece:
                    return
                if length > 0:
                    ahead = asyncio.ensure_future(run_in_threadpool(file.read, min(_CHUNK, length)))
                yield piece
        finally:
            await asyncio.gather(ahead, return_exceptions=True)


_REPO = "/api/{kinds}/{owner}/{name}"

routes = [
    Route(f"{_REPO}/tree/{{revision}}", reads(tree)),
    Route(f"{_REPO}/tree/{{revision}}/{{path:path}}", reads(tree)),
    Route(f"{_REPO}/paths-info/{{revision}}", reads(paths_info), methods=["POST"]),
    *(
        Route(f"{start}/{{owner}}/{{name}}/{word}/{{revision}}/{{path:path}}", resolve)
        for start in ("/{kinds}", "")
        for word in ("resolve", "raw")
    ),
]
