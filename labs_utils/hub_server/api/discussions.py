"""Routes of discussions and pull requests: list, read, open, comment, rename, close, merge."""

import json

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import discussions, history, repos
from labs_utils.hub_server.calls import Call, reads, writes
from labs_utils.hub_server.errors import HubError, bad_request
from labs_utils.hub_server.repos import full_name

_PAGE = 50


def listing(call: Call) -> Response:
    """Discussions of a repository, newest first."""
    repo, start = call.repo, _PAGE * call.number("p", 0, 10**6)
    with call.store.database.reading() as db:
        rows = db.execute("SELECT * FROM discussions WHERE repo = ? ORDER BY num DESC", (repo["id"],)).fetchall()
    rows = [row for row in rows if _wanted(call, row)]
    page = [_summary(repo, row) for row in rows[start : start + _PAGE]]
    closed = sum(row["status"] in ("closed", "merged") for row in rows)
    return JSONResponse({"discussions": page, "count": len(rows), "start": start, "numClosedDiscussions": closed})


def _wanted(call: Call, row) -> bool:
    kind, status, author = call.query("type", "all"), call.query("status", "all"), call.query("author")
    return (
        (kind == "all" or (kind == "pull_request") == bool(row["is_pull_request"]))
        and (status == "all" or (status == "closed") == (row["status"] in ("closed", "merged")))
        and (not author or author == row["author"])
    )


def _summary(repo, row) -> dict:
    return {
        "num": row["num"],
        "title": row["title"],
        "author": {"name": row["author"]},
        "createdAt": row["created"],
        "status": row["status"],
        "repo": {"name": full_name(repo), "type": repo["kind"]},
        "isPullRequest": bool(row["is_pull_request"]),
    }


def _event(row) -> dict:
    return {
        "id": f"{row['id']:024x}",
        "type": row["kind"],
        "createdAt": row["created"],
        "author": {"name": row["author"]},
        "data": json.loads(row["data"]),
    }


def details(call: Call) -> Response:
    """A discussion with its events; of a pull request also the diff and whether it can be merged."""
    repo, store = call.repo, call.store
    with store.database.reading() as db:
        row = discussions.find(db, repo["id"], _number(call))
        shown = _summary(repo, row) | {
            "events": [_event(one) for one in discussions.events(db, repo["id"], row["num"])]
        }
        if row["is_pull_request"]:
            done = row["status"] == "merged"
            shown["changes"] = {"base": row["target"], "mergeCommitId": row["merged"]}
            shown["filesWithConflicts"] = [] if done else discussions.conflicts(store, db, repo["id"], row)
            if call.flag("diff"):
                shown["diff"] = discussions.diff(store, db, repo["id"], row)
    return JSONResponse(shown)


def _number(call: Call) -> int:
    text = call.part("num")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request("A discussion has a number.")
    return int(text)


def open_one(call: Call) -> Response:
    """Start a discussion, or a pull request against main."""
    repos.check_write_token(call.caller)
    repo, title, text = call.repo, call.text("title").strip()[:500], call.text("description")
    with call.store.database.reading() as db:
        if call.json.get("pullRequest") is True:
            num = discussions.open_pull_request(db, repo["id"], call.caller.name, title, text, "main")
        else:
            num = discussions.open_discussion(db, repo["id"], call.caller.name, title, text)
    kind = call.json.get("pullRequest") is True
    url = f"{call.base}/{repos.address(repo)}/discussions/{num}"
    return JSONResponse({"num": num, "pullRequest": kind, "url": url})


def comment(call: Call) -> Response:
    """Say something."""
    repo, db, row = _thread(call)
    if not (text := call.text("comment")):
        raise bad_request("A comment needs words.")
    made = discussions.note_comment(db, repo["id"], row["num"], call.caller.name, text)
    return _event_answer(db, made, "newMessage")


def rename(call: Call) -> Response:
    """Give a discussion another title."""
    repo, db, row = _thread(call)
    discussions.check_may_manage(repo, row, call.caller)
    if not (title := call.text("title").strip()[:500]):
        raise bad_request("A discussion needs a title.")
    db.execute("UPDATE discussions SET title = ? WHERE repo = ? AND num = ?", (title, repo["id"], row["num"]))
    change = {"from": row["title"], "to": title}
    made = discussions.note(db, repo["id"], row["num"], "title-change", call.caller.name, change)
    return _event_answer(db, made, "newTitle")


def status(call: Call) -> Response:
    """Open or close a discussion, with a comment if one is given."""
    repo, db, row = _thread(call)
    discussions.check_may_manage(repo, row, call.caller)
    if text := call.text("comment"):
        discussions.note_comment(db, repo["id"], row["num"], call.caller.name, text)
    made = discussions.set_status(db, repo["id"], row, call.caller.name, call.text("status"))
    return _event_answer(db, made, "newStatus")


def merge(call: Call) -> Response:
    """Bring a pull request into its target; only the owner can."""
    repos.check_writer(call.repo, call.caller)
    repo, db, row = _thread(call)
    if not row["is_pull_request"]:
        raise bad_request(f"Discussion {row['num']} is no pull request.")
    if call.body and (text := call.json.get("comment")):
        discussions.note_comment(db, repo["id"], row["num"], call.caller.name, str(text)[:10_000])
    made = discussions.merge(call.store, db, repo["id"], row, call.caller.name)
    if row["target"] == f"{history.HEADS}main":
        repos.describe(call.store, repo["id"])
    return JSONResponse({"mergeCommitId": made})


def edit(call: Call) -> Response:
    """Change one's own comment."""
    repo, db, row = _thread(call)
    event, data = _own_comment(call, db, repo, row)
    data |= {"edited": True, "latest": {"raw": call.text("content")}}
    db.execute("UPDATE events SET data = ? WHERE id = ?", (json.dumps(data), event))
    return _event_answer(db, event, "updatedComment")


def hide(call: Call) -> Response:
    """Take one's own comment away for good."""
    repo, db, row = _thread(call)
    event, data = _own_comment(call, db, repo, row)
    data |= {"hidden": True, "latest": {"raw": ""}}
    db.execute("UPDATE events SET data = ? WHERE id = ?", (json.dumps(data), event))
    return _event_answer(db, event, "updatedComment")


def _own_comment(call: Call, db, repo, row) -> tuple[int, dict]:
    wish = call.part("comment")
    found = [one for one in discussions.events(db, repo["id"], row["num"]) if _event(one)["id"] == wish]
    if not found or found[0]["kind"] != "comment":
        raise HubError(404, "There is no such comment.")
    if found[0]["author"] != call.caller.name:
        raise HubError(403, f"This comment is {found[0]['author']}'s.")
    return found[0]["id"], json.loads(found[0]["data"])


def _thread(call: Call):
    """The repository, the open transaction and the discussion, for a caller who may speak."""
    repos.check_write_token(call.caller)
    with call.store.database.reading() as db:  # the route's writing block
        return call.repo, db, discussions.find(db, call.repo["id"], _number(call))


def _event_answer(db, event: int, name: str) -> Response:
    row = db.execute("SELECT * FROM events WHERE id = ?", (event,)).fetchone()
    return JSONResponse({name: _event(row)})


_ALL = "/api/{kinds}/{owner}/{name}/discussions"

routes = [
    Route(_ALL, reads(listing)),
    Route(_ALL, writes(open_one), methods=["POST"]),
    Route(f"{_ALL}/{{num}}", reads(details)),
    Route(f"{_ALL}/{{num}}/comment", writes(comment), methods=["POST"]),
    Route(f"{_ALL}/{{num}}/title", writes(rename), methods=["POST"]),
    Route(f"{_ALL}/{{num}}/status", writes(status), methods=["POST"]),
    Route(f"{_ALL}/{{num}}/merge", writes(merge), methods=["POST"]),
    Route(f"{_ALL}/{{num}}/comment/{{comment}}/edit", writes(edit), methods=["POST"]),
    Route(f"{_ALL}/{{num}}/comment/{{comment}}/hide", writes(hide), methods=["POST"]),
]
