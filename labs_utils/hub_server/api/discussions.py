"""Routes of discussions and pull requests: list, read, open, comment, rename, close, merge."""

import json
import sqlite3

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import discussions, history, repos
from labs_utils.hub_server.auth import Caller
from labs_utils.hub_server.calls import Call, reads, writes
from labs_utils.hub_server.errors import HubError, bad_request
from labs_utils.hub_server.repos import full_name

_PAGE = 50


def listing(call: Call) -> Response:
    """Discussions of a repository, newest first.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.get_repo_discussions
    """
    repo, start = call.repo, _PAGE * call.number("p", 0, 10**6)
    rows = call.db.execute("SELECT * FROM discussions WHERE repo = ? ORDER BY num DESC", (repo["id"],)).fetchall()
    rows = [row for row in rows if _matches(call, row)]
    page = [_summary(repo, row) for row in rows[start : start + _PAGE]]
    closed = sum(row["status"] in ("closed", "merged") for row in rows)
    return JSONResponse({"discussions": page, "count": len(rows), "start": start, "numClosedDiscussions": closed})


def _matches(call: Call, row: sqlite3.Row) -> bool:
    asked_type, status, author = call.query("type", "all"), call.query("status", "all"), call.query("author")
    return (
        (asked_type == "all" or (asked_type == "pull_request") == bool(row["is_pull_request"]))
        and (status == "all" or (status == "closed") == (row["status"] in ("closed", "merged")))
        and (not author or author == row["author"])
    )


def _summary(repo: sqlite3.Row, row: sqlite3.Row) -> dict:
    return {
        "num": row["num"],
        "title": row["title"],
        "author": {"name": row["author"]},
        "createdAt": row["created"],
        "status": row["status"],
        "repo": {"name": full_name(repo), "type": repo["kind"]},
        "isPullRequest": bool(row["is_pull_request"]),
    }


def _event(row: sqlite3.Row) -> dict:
    return {
        "id": f"{row['id']:024x}",
        "type": row["kind"],
        "createdAt": row["created"],
        "author": {"name": row["author"]},
        "data": json.loads(row["data"]),
    }


def details(call: Call) -> Response:
    """A discussion with its events; of a pull request also the diff and whether it can be merged.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.get_discussion_details
    """
    repo, store, db = call.repo, call.store, call.db
    row = discussions.find(db, repo["id"], _number(call))
    shown = _summary(repo, row)
    shown["events"] = [_event(one) for one in discussions.events(db, repo["id"], row["num"])]
    if row["is_pull_request"]:
        is_merged = row["status"] == "merged"
        shown["changes"] = {"base": row["target"], "mergeCommitId": row["merged"]}
        shown["filesWithConflicts"] = [] if is_merged else discussions.conflicts(store, db, repo["id"], row)
        if call.flag("diff"):
            call.must_read()
            shown["diff"] = discussions.diff(store, db, repo["id"], row)
    return JSONResponse(shown)


def _number(call: Call) -> int:
    text = call.part("num")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise bad_request("A discussion has a number.")
    return int(text)


def open_one(call: Call) -> Response:
    """Start a discussion, or a pull request against main.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_discussion
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_pull_request
    """
    author = repos.check_write_token(call.caller).name
    repo, title, text = call.repo, call.text("title").strip()[:500], call.text("description")
    is_pull_request = call.json.get("pullRequest") is True
    if is_pull_request:
        num = discussions.open_pull_request(call.db, repo["id"], author, title, text, "main")
    else:
        num = discussions.open_discussion(call.db, repo["id"], author, title, text)
    url = f"{call.base}/{repos.address(repo)}/discussions/{num}"
    return JSONResponse({"num": num, "pullRequest": is_pull_request, "url": url})


def comment(call: Call) -> Response:
    """Say something.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.comment_discussion
    """
    caller, row = _thread(call)
    if not (text := call.text("comment")):
        raise bad_request("A comment needs words.")
    made = discussions.note_comment(call.db, row["repo"], row["num"], caller.name, text)
    return _event_answer(call, made, "newMessage")


def rename(call: Call) -> Response:
    """Give a discussion another title.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.rename_discussion
    """
    caller, row = _thread(call)
    discussions.check_may_manage(call.repo, row, caller)
    if not (title := call.text("title").strip()[:500]):
        raise bad_request("A discussion needs a title.")
    call.db.execute("UPDATE discussions SET title = ? WHERE repo = ? AND num = ?", (title, row["repo"], row["num"]))
    change = {"from": row["title"], "to": title}
    made = discussions.note(call.db, row["repo"], row["num"], "title-change", caller.name, change)
    return _event_answer(call, made, "newTitle")


def status(call: Call) -> Response:
    """Open or close a discussion, with a comment if one is given.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.change_discussion_status
    """
    caller, row = _thread(call)
    discussions.check_may_manage(call.repo, row, caller)
    if text := call.text("comment"):
        discussions.note_comment(call.db, row["repo"], row["num"], caller.name, text)
    made = discussions.set_status(call.db, row["repo"], row, caller.name, call.text("status"))
    return _event_answer(call, made, "newStatus")


def merge(call: Call) -> Response:
    """Bring a pull request into its target; only the owner can.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.merge_pull_request
    """
    repos.check_writer(call.repo, call.caller)
    caller, row = _thread(call)
    if not row["is_pull_request"]:
        raise bad_request(f"Discussion {row['num']} is no pull request.")
    if call.body and (text := call.json.get("comment")):
        discussions.note_comment(call.db, row["repo"], row["num"], caller.name, str(text)[:10_000])
    made = discussions.merge(call.store, call.db, row["repo"], row, caller.name)
    if row["target"] == f"{history.HEADS}main":
        repos.describe(call.store, call.db, row["repo"])
    return JSONResponse({"mergeCommitId": made})


def update(call: Call) -> Response:
    """Bring what happened in the target since into a pull request; its author can, and the owner.

    On the Hub that is a merge in a clone of the repository: https://huggingface.co/docs/hub/repositories-pull-requests-discussions
    """
    caller, row = _thread(call)
    discussions.check_may_manage(call.repo, row, caller)
    if not row["is_pull_request"]:
        raise bad_request(f"Discussion {row['num']} is no pull request.")
    prefer = call.text("prefer") if call.body else ""
    if prefer not in ("", "proposal"):
        raise bad_request("prefer can be 'proposal'; without it, conflicts are told and nothing happens.")
    made = discussions.update(call.store, call.db, row["repo"], row, caller.name, prefer == "proposal")
    return JSONResponse({"commitOid": made})


def edit(call: Call) -> Response:
    """Change one's own comment.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.edit_discussion_comment
    """
    return _change_own_comment(call, {"edited": True, "latest": {"raw": call.text("content")}})


def hide(call: Call) -> Response:
    """Take one's own comment away for good.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.hide_discussion_comment
    """
    return _change_own_comment(call, {"hidden": True, "latest": {"raw": ""}})


def _change_own_comment(call: Call, change: dict) -> Response:
    caller, row = _thread(call)
    address = call.part("comment")
    found = [one for one in discussions.events(call.db, row["repo"], row["num"]) if _event(one)["id"] == address]
    if not found or found[0]["kind"] != "comment":
        raise HubError(404, "There is no such comment.")
    if found[0]["author"] != caller.name:
        raise HubError(403, f"This comment is {found[0]['author']}'s.")
    data = json.dumps(json.loads(found[0]["data"]) | change)
    call.db.execute("UPDATE events SET data = ? WHERE id = ?", (data, found[0]["id"]))
    return _event_answer(call, found[0]["id"], "updatedComment")


def _thread(call: Call) -> tuple[Caller, sqlite3.Row]:
    """The caller, if they may speak, and the discussion in the address."""
    caller = repos.check_write_token(call.caller)
    return caller, discussions.find(call.db, call.repo["id"], _number(call))


def _event_answer(call: Call, event: int, name: str) -> Response:
    row = call.db.execute("SELECT * FROM events WHERE id = ?", (event,)).fetchone()
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
    Route(f"{_ALL}/{{num}}/update", writes(update), methods=["POST"]),
    Route(f"{_ALL}/{{num}}/comment/{{comment}}/edit", writes(edit), methods=["POST"]),
    Route(f"{_ALL}/{{num}}/comment/{{comment}}/hide", writes(hide), methods=["POST"]),
]
