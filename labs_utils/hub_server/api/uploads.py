"""Routes by which content arrives: how to send a file, LFS uploads streamed to the disk, and what was uploaded."""

import asyncio
import hmac
import sqlite3
import time
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import history, repos
from labs_utils.hub_server.auth import Caller
from labs_utils.hub_server.blobs import Incoming
from labs_utils.hub_server.calls import Call, next_page, reads, writes
from labs_utils.hub_server.errors import HubError, bad_request, too_large
from labs_utils.hub_server.ignoring import GitIgnore
from labs_utils.hub_server.names import KINDS, SHA256, file_path
from labs_utils.hub_server.store import Store

_LARGEST_REGULAR = 1024 * 1024
_PIECE = 2 * 1024 * 1024
_HOURS = 12


def preupload(call: Call) -> Response:
    """For each file, whether it goes into the commit itself or as an LFS upload, and what is stored under its name.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.preupload_lfs_files
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_commit
    """
    check_contributor(call)
    files, ignore = call.files, _gitignore(call)
    answers = []
    for one in _objects(call, "files"):
        path = file_path(one.get("path"))
        mode = "lfs" if _goes_as_lfs(path, one) else "regular"
        shown = {"path": one["path"], "uploadMode": mode, "shouldIgnore": ignore.leaves_out(path)}
        answers.append(shown | ({"oid": files[path].etag} if path in files else {}))
    return JSONResponse({"files": answers, "commitOid": call.commit})


def check_contributor(call: Call) -> Caller:
    """Return the caller; raise unless they may send content: the owner, or for a pull request whose token writes."""
    is_for_pull_request = call.flag("create_pr") or call.revision.startswith(history.PULLS)
    if is_for_pull_request and call.caller is not None:
        caller = repos.check_write_token(call.caller)
        call.must_see()
        return caller
    return call.must_change()


def _objects(call: Call, name: str) -> list[dict]:
    found = call.json.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise bad_request(f"{name} is not a list of objects.")
    if len(found) > call.store.limits.operations:
        raise too_large(f"{name} has {len(found):,} elements; {call.store.limits.operations:,} are allowed at once.")
    return found


def _goes_as_lfs(path: str, described: dict) -> bool:
    size, sample = described.get("size"), described.get("sample")
    begin = sample[:684] if isinstance(sample, str) else ""
    suffix = path.rpartition(".")[2].lower()
    is_long = isinstance(size, int) and size > _LARGEST_REGULAR
    # "AA" is how base64 writes two zero bytes that begin a group of three; text has none.
    is_binary = any(begin[at : at + 2] == "AA" for at in range(0, len(begin), 4))
    return suffix in repos.BINARY_SUFFIXES or is_long or is_binary


def _gitignore(call: Call) -> GitIgnore:
    """The .gitignore that is part of the upload, or else the committed one."""
    text, committed = call.text("gitIgnore"), call.files.get(".gitignore")
    if not text and committed is not None and committed.size <= call.store.limits.text:
        text = call.store.blobs.path(committed.sha256).read_text(encoding="utf-8", errors="replace")
    return GitIgnore(text)


def batch(call: Call) -> Response:
    """Where to upload each object, or nothing to do for one that this repository has already.

    Specification: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
    """
    repo = call.repo
    if call.json.get("operation") != "upload":
        raise bad_request("Only uploads are served by the LFS batch; download from /resolve/.")
    repos.check_write_token(call.caller)  # it may be for a pull request; the commit asks who may commit where
    answers, more = [], 0
    for one in _objects(call, "objects"):
        oid, size = _named(one)
        if size > call.store.limits.file:
            raise too_large(f"A file of {size:,} bytes is too large; {call.store.limits.file:,} are allowed.")
        answer = {"oid": oid, "size": size, "authenticated": True}
        if call.store.held(call.db, repo["id"], oid) is None:
            answer["actions"] = _actions(call, repo["id"], oid, size)
            more += size
        answers.append(answer)
    call.store.check_quota(call.db, repo["id"], more)
    return JSONResponse({"transfer": "basic", "objects": answers}, media_type="application/vnd.git-lfs+json")


def _named(one: dict) -> tuple[str, int]:
    oid, size = one.get("oid"), one.get("size")
    if not isinstance(oid, str) or not SHA256.fullmatch(oid):
        raise bad_request("An object's oid is not a sha256 in hexadecimal.")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**60:
        raise bad_request("An object's size is not a number of bytes.")
    return oid, size


def _actions(call: Call, repo: int, oid: str, size: int) -> dict:
    """A client sends the content without its token, so the address itself carries the permission."""
    query: dict = {"repo": repo, "size": size, "until": int(time.time()) + _HOURS * 3600}
    query["signature"] = _signature(call.request, oid, query)
    verify = f"{call.base}/{repos.address(call.repo)}.git/info/lfs/objects/verify"
    return {
        "upload": {"href": f"{call.base}/lfs/{oid}?{urlencode(query)}", "header": {}},
        "verify": {"href": verify, "header": {}},
    }


def _signature(request: Request, oid: str, query: dict) -> str:
    text = f"{oid}:{query['repo']}:{query['size']}:{query['until']}"
    return hmac.new(request.app.state.secret, text.encode(), "sha256").hexdigest()


async def upload(request: Request) -> Response:
    """Stream content to the disk, hashing on the way; keep it only if it is what was announced.

    Specification: https://github.com/git-lfs/git-lfs/blob/main/docs/api/basic-transfers.md#uploads
    """
    oid = request.path_params["oid"]
    query = {key: request.query_params.get(key, "") for key in ("repo", "size", "until")}
    given = request.query_params.get("signature", "")
    if not hmac.compare_digest(given.encode(), _signature(request, oid, query).encode()):
        raise HubError(403, "This upload address is not valid; ask the LFS batch for a new one.")
    if int(query["until"]) < time.time():
        raise HubError(403, "This upload address has expired; ask the LFS batch for a new one.")
    store, size = request.app.state.store, int(query["size"])
    arrived = await run_in_threadpool(store.blobs.receive)
    try:
        await _receive(request, arrived, size)
        await run_in_threadpool(_keep, store, arrived, int(query["repo"]), oid, size)
    finally:
        await run_in_threadpool(arrived.discard)
    return Response(headers={"ETag": f'"{oid}"'})


async def _receive(request: Request, arrived: Incoming, size: int) -> None:
    """Hash and write one piece on a thread while the next one comes in: never more than two are in memory."""
    waiting, writing, total, kept = [], None, 0, 0
    try:
        async for part in request.stream():
            waiting.append(part)
            total += len(part)
            if total > size:
                raise bad_request(f"More than the {size:,} bytes that were announced.")
            if total - kept >= _PIECE:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(run_in_threadpool(arrived.write, *waiting))
                waiting, kept = [], total
    finally:
        if writing is not None:  # whatever happens, no thread goes on writing to a file that is given up
            await writing
    await run_in_threadpool(arrived.write, *waiting)


def _keep(store: Store, arrived: Incoming, repo: int, oid: str, size: int) -> None:
    arrived.finish()
    if (arrived.sha256, arrived.size) != (oid, size):
        raise bad_request(
            f"Announced were {size:,} bytes with sha256 {oid}, but {arrived.size:,} with {arrived.sha256} arrived."
        )
    store.blobs.settle([arrived])
    with store.database.writing() as db:
        if db.execute("SELECT 1 FROM repos WHERE id = ?", (repo,)).fetchone() is None:
            raise HubError(404, "The repository was deleted meanwhile.", "RepoNotFound")
        store.hold(db, repo, arrived)


def verify(call: Call) -> Response:
    """Whether an upload arrived.

    Specification: https://github.com/git-lfs/git-lfs/blob/main/docs/api/basic-transfers.md#verification
    """
    oid, size = _named(call.json)
    if call.store.held(call.db, call.repo["id"], oid) != size:
        raise HubError(404, f"{oid} did not arrive; upload it again.")
    return JSONResponse({"ok": True})


def uploaded(call: Call) -> Response:
    """The LFS files of all branches, tags and pull requests, and of what came before; each content once.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_lfs_files
    """
    repo, seen = call.repo, set()
    found: dict[str, dict] = {}
    for ref in _refs(call):
        for commit in history.log(call.db, repo["id"], ref["commit_id"], 10**9, 0):
            if commit["id"] in seen:
                break
            seen.add(commit["id"])
            for path, entry in call.files_of(commit["id"]).items():
                if entry.is_lfs:
                    one = found.setdefault(entry.sha256, _uploaded(ref["name"], path, entry))
                    one["pushedAt"] = f"{commit['date'][:23]}Z"
    page, headers = next_page(call, list(found.values()), 1000, call.number("cursor", 0, 10**9))
    return JSONResponse(page, headers=headers)


def _uploaded(ref: str, path: str, entry: history.Entry) -> dict:
    return {"fileOid": entry.sha256, "filename": path, "oid": entry.sha256, "ref": ref, "size": entry.size}


def delete(call: Call) -> Response:
    """Delete LFS files for good: from every commit, and from the disk.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.permanently_delete_lfs_files
    """
    call.must_change()
    wish = call.json.get("deletions")
    if not isinstance(wish, dict):
        raise bad_request("deletions is not an object.")
    names = wish.get("sha")
    if not isinstance(names, list) or not all(isinstance(one, str) and SHA256.fullmatch(one) for one in names):
        raise bad_request("deletions.sha is not a list of sha256 in hexadecimal.")
    if wish.get("rewriteHistory") is False:
        raise bad_request("rewriteHistory=False would leave files that nobody can read; this server always rewrites.")
    unneeded = history.without_content(call.store, call.db, call.repo["id"], set(names))
    repos.describe(call.store, call.db, call.repo["id"])
    call.afterwards(lambda: call.store.sweep(unneeded))
    return JSONResponse({"success": True})


def duplicate(call: Call) -> Response:
    """Let another repository of the caller hold content of this one: a copy without sending a byte.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.CommitOperationCopy
    """
    call.must_read()
    target = call.json.get("target")
    if not isinstance(target, dict) or target.get("type") not in KINDS.values():
        raise bad_request("target is not a repository.")
    owner, _, name = str(target.get("name")).partition("/")
    repo = repos.find(call.db, target["type"], owner, name, call.caller)
    repos.check_writer(repo, call.caller)
    entries = [entry for ref in _refs(call) for entry in call.files_of(ref["commit_id"]).values()]
    sizes, failed = {entry.sha256: entry.size for entry in entries}, []
    for one in _objects(call, "files"):
        sha256 = str(one.get("sha256"))
        if sha256 not in sizes:
            failed.append({"sha256": sha256[:64], "error": "not a file of this repository"})
        elif call.store.held(call.db, repo["id"], sha256) is None:
            call.store.check_quota(call.db, repo["id"], sizes[sha256])
            call.db.execute("INSERT INTO holdings VALUES (?, ?, ?)", (repo["id"], sha256, sizes[sha256]))
    return JSONResponse({"success": [], "failed": failed})


def no_xet(call: Call) -> Response:
    """A client that has Xet switched on asks here, and shows nothing of the answer but its address: it says what to do.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables#hfhubdisablexet
    """
    call.must_see()
    return RedirectResponse("/this-hub-has-no-xet,set-HF_HUB_DISABLE_XET=1-before-the-first-import", 307)


def _refs(call: Call) -> list[sqlite3.Row]:
    return call.db.execute("SELECT * FROM refs WHERE repo = ? ORDER BY name", (call.repo["id"],)).fetchall()


_REPO = "/api/{kinds}/{owner}/{name}"
_GIT = "/{owner}/{name}.git/info/lfs/objects"

routes = [
    Route(f"{_REPO}/preupload/{{revision}}", reads(preupload), methods=["POST"]),
    Route(f"{_REPO}/lfs-files", reads(uploaded)),
    Route(f"{_REPO}/lfs-files/batch", writes(delete), methods=["POST"]),
    Route(f"{_REPO}/lfs-files/duplicate", writes(duplicate), methods=["POST"]),
    Route(f"{_REPO}/xet-write-token/{{revision:path}}", reads(no_xet)),
    Route("/lfs/{oid}", upload, methods=["PUT"]),
    *(Route(f"{start}{_GIT}/batch", reads(batch), methods=["POST"]) for start in ("/{kinds}", "")),
    *(Route(f"{start}{_GIT}/verify", reads(verify), methods=["POST"]) for start in ("/{kinds}", "")),
]
