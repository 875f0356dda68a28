"""Routes about history: commits, branches, tags, and what points at what."""

import html

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import history, repos
from labs_utils.hub_server.api.repos import milliseconds
from labs_utils.hub_server.calls import Call, link, reads, writes
from labs_utils.hub_server.errors import HubError, too_large
from labs_utils.hub_server.names import ref_name
from labs_utils.hub_server.repos import full_name


def refs(call: Call) -> Response:
    """Branches and tags, and pull requests if they are asked for."""
    shown = {"branches": [], "tags": [], "converts": []}
    lists = {history.HEADS: shown["branches"], history.TAGS: shown["tags"]}
    if call.flag("include_prs"):
        shown["pullRequests"] = lists[history.PULLS] = []
    with call.store.database.reading() as db:
        for row in db.execute("SELECT * FROM refs WHERE repo = ? ORDER BY name", (call.repo["id"],)):
            prefix = next((one for one in lists if row["name"].startswith(one)), None)
            if prefix:
                name = row["name"].removeprefix("refs/" if prefix == history.PULLS else prefix)
                lists[prefix].append({"name": name, "ref": row["name"], "targetCommit": row["commit_id"]})
    return JSONResponse(shown)


def commits(call: Call) -> Response:
    """The history of a revision, newest first."""
    size, offset = call.number("limit", 1000, 1000) or 1000, call.number("cursor", 0, 10**9)
    with call.store.database.reading() as db:
        rows = history.log(db, call.repo["id"], call.commit, size + 1, offset)
    headers = link(call, offset + size) if len(rows) > size else {}
    formatted = "formatted" in call.request.query_params.getlist("expand[]")
    return JSONResponse([_commit(row, formatted) for row in rows[:size]], headers=headers)


def _commit(row, formatted: bool) -> dict:
    shown = {
        "id": row["id"],
        "title": row["title"],
        "message": row["message"],
        "authors": [{"user": row["author"], "avatar": ""}],
        "date": milliseconds(row["date"]),
    }
    if formatted:
        shown["formatted"] = {key: html.escape(row[key]) for key in ("title", "message")}
    return shown


def add_branch(call: Call) -> Response:
    """Start a branch at a revision, at main if none is given."""
    repo, name = call.writable(), ref_name(call.part("ref"))
    return _add_ref(call, repo, history.HEADS + name, call.text("startingPoint") or "main")


def add_tag(call: Call) -> Response:
    """Name a revision for good."""
    repo, name = call.writable(), ref_name(call.text("tag"))
    return _add_ref(call, repo, history.TAGS + name, call.part("ref"))


def _add_ref(call: Call, repo, ref: str, start: str) -> Response:
    with call.store.database.reading() as db:
        commit = history.resolve(db, repo["id"], start)
        if db.execute("SELECT 1 FROM refs WHERE repo = ? AND name = ?", (repo["id"], ref)).fetchone():
            raise HubError(409, f"Reference already exists: {ref}")
        if (
            db.execute("SELECT COUNT(*) FROM refs WHERE repo = ?", (repo["id"],)).fetchone()[0]
            >= call.store.limits.refs
        ):
            raise too_large(
                f"{full_name(repo)} has {call.store.limits.refs:,} branches and tags, as many as are allowed."
            )
        history.move(db, repo["id"], ref, commit)
    return JSONResponse({"ref": ref, "targetCommit": commit}, 201)


def delete_branch(call: Call) -> Response:
    """Forget a branch; main stays."""
    if call.part("ref") == "main":
        repo = call.writable()
        raise HubError(403, f"The branch main of {full_name(repo)} can't be deleted.")
    return _delete_ref(call, history.HEADS)


def delete_tag(call: Call) -> Response:
    """Forget a tag."""
    return _delete_ref(call, history.TAGS)


def _delete_ref(call: Call, prefix: str) -> Response:
    repo, ref = call.writable(), prefix + call.part("ref")
    with call.store.database.reading() as db:
        history.resolve(db, repo["id"], ref)
        db.execute("DELETE FROM refs WHERE repo = ? AND name = ?", (repo["id"], ref))
    return PlainTextResponse("OK")


def squash(call: Call) -> Response:
    """Make the history of a branch one commit."""
    repo, message = call.writable(), call.text("message") or "Super-squash"
    left = history.squash(call.store, repo["id"], call.part("ref"), call.caller.name, message)
    if call.part("ref") == "main":
        repos.describe(call.store, repo["id"])
    call.afterwards(lambda: call.store.sweep(left))
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
