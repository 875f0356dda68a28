"""Routes about history: commits, branches, tags, and what points at what."""

import html
import sqlite3

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import history, repos
from labs_utils.hub_server.api.repos import milliseconds
from labs_utils.hub_server.calls import Call, link, reads, writes
from labs_utils.hub_server.errors import HubError, too_large
from labs_utils.hub_server.names import ref_name
from labs_utils.hub_server.repos import full_name


def refs(call: Call) -> Response:
    """Branches and tags, and pull requests if they are asked for.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_repo_refs
    """
    shown: dict[str, list[dict]] = {"branches": [], "tags": [], "converts": []}
    lists = {history.HEADS: shown["branches"], history.TAGS: shown["tags"]}
    if call.flag("include_prs"):
        shown["pullRequests"] = lists[history.PULLS] = []
    for row in call.db.execute("SELECT * FROM refs WHERE repo = ? ORDER BY name", (call.repo["id"],)):
        prefix = next((one for one in lists if row["name"].startswith(one)), None)
        if prefix:
            name = row["name"].removeprefix("refs/" if prefix == history.PULLS else prefix)
            lists[prefix].append({"name": name, "ref": row["name"], "targetCommit": row["commit_id"]})
    return JSONResponse(shown)


def commits(call: Call) -> Response:
    """The history of a revision, newest first.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_repo_commits
    """
    size, offset = call.number("limit", 1000, 1000) or 1000, call.number("cursor", 0, 10**9)
    rows = history.log(call.db, call.repo["id"], call.commit, size + 1, offset)
    headers = link(call, offset + size) if len(rows) > size else {}
    headers["X-Total-Count"] = str(history.count(call.db, call.repo["id"], call.commit))
    as_html = "formatted" in call.request.query_params.getlist("expand[]")
    return JSONResponse([_commit(row, as_html) for row in rows[:size]], headers=headers)


def _commit(row: sqlite3.Row, as_html: bool) -> dict:
    shown = {
        "id": row["id"],
        "title": row["title"],
        "message": row["message"],
        "authors": [{"user": row["author"], "avatar": ""}],
        "date": milliseconds(row["date"]),
    }
    if as_html:
        shown["formatted"] = {key: html.escape(row[key]) for key in ("title", "message")}
    return shown


def add_branch(call: Call) -> Response:
    """Start a branch at a revision, at main if none is given.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_branch
    """
    call.must_change()
    name = ref_name(call.part("ref"))
    return _add_ref(call, history.HEADS + name, call.text("startingPoint") or "main")


def add_tag(call: Call) -> Response:
    """Name a revision for good.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_tag
    """
    call.must_change()
    history.resolve(call.db, call.repo["id"], call.part("ref"))  # what is asked first, is told first
    name = ref_name(call.text("tag"))
    return _add_ref(call, history.TAGS + name, call.part("ref"))


def _add_ref(call: Call, ref: str, start: str) -> Response:
    db, repo, most = call.db, call.repo, call.store.limits.refs
    commit = history.resolve(db, repo["id"], start)
    if db.execute("SELECT 1 FROM refs WHERE repo = ? AND name = ?", (repo["id"], ref)).fetchone():
        raise HubError(409, f"Reference {ref} already exists")
    if db.execute("SELECT COUNT(*) FROM refs WHERE repo = ?", (repo["id"],)).fetchone()[0] >= most:
        raise too_large(f"{full_name(repo)} has {most:,} branches and tags, as many as are allowed.")
    history.move(db, repo["id"], ref, commit)
    return JSONResponse({"ref": ref, "targetCommit": commit}, 201)


def delete_branch(call: Call) -> Response:
    """Forget a branch; main stays.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.delete_branch
    """
    call.must_change()
    if call.part("ref") == "main":
        raise HubError(403, f"Cannot delete refs/heads/main: {full_name(call.repo)} needs this branch")
    return _delete_ref(call, history.HEADS)


def delete_tag(call: Call) -> Response:
    """Forget a tag.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.delete_tag
    """
    call.must_change()
    return _delete_ref(call, history.TAGS)


def _delete_ref(call: Call, prefix: str) -> Response:
    repo, ref = call.repo["id"], prefix + call.part("ref")
    history.resolve(call.db, repo, ref)
    call.db.execute("DELETE FROM refs WHERE repo = ? AND name = ?", (repo, ref))
    return PlainTextResponse("OK")


def squash(call: Call) -> Response:
    """Make the history of a branch, or of a pull request, one commit.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.super_squash_history
    """
    caller, repo = call.must_change(), call.repo["id"]
    message = call.text("message") or "Super-squash"
    unneeded = history.squash(call.store, call.db, repo, call.part("ref"), caller.name, message)
    if call.part("ref") == "main":
        repos.describe(call.store, call.db, repo)
    call.afterwards(lambda: call.store.sweep(unneeded))
    return PlainTextResponse("OK")


_REPO = "/api/{kinds}/{owner}/{name}"

routes = [
    Route(f"{_REPO}/refs", reads(refs)),
    Route(f"{_REPO}/commits/{{revision:path}}", reads(commits)),
    Route(f"{_REPO}/branch/{{ref:path}}", writes(add_branch), methods=["POST"]),
    Route(f"{_REPO}/branch/{{ref:path}}", writes(delete_branch), methods=["DELETE"]),
    Route(f"{_REPO}/tag/{{ref:path}}", writes(add_tag), methods=["POST"]),
    Route(f"{_REPO}/tag/{{ref:path}}", writes(delete_tag), methods=["DELETE"]),
    Route(f"{_REPO}/super-squash/{{ref:path}}", writes(squash), methods=["POST"]),
]
