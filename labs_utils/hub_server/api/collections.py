"""Routes of collections: lists of repositories with a title, such as what a class recommends."""

import re
import secrets
import sqlite3

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import auth, repos
from labs_utils.hub_server.api.repos import milliseconds
from labs_utils.hub_server.calls import Call, next_page, reads, writes
from labs_utils.hub_server.errors import HubError, bad_request
from labs_utils.hub_server.names import KINDS

_MOST = 1000  # items of a collection, and collections of an owner


def slug(row: sqlite3.Row) -> str:
    """`owner/title-id`: a new title changes it, and the id at its end still leads here."""
    words = re.sub(r"[^a-z0-9]+", "-", row["title"].lower()).strip("-")[:60]
    return f"{row['owner']}/{words}-{row['id']}"


def find(call: Call) -> sqlite3.Row:
    """The collection in the address, if the caller may see it."""
    number = call.part("slug").rpartition("-")[2]
    row = call.db.execute("SELECT * FROM collections WHERE id = ?", (number,)).fetchone()
    if row is None or row["owner"].lower() != call.part("owner").lower() or not may_see(row, call.caller):
        raise HubError(404 if call.caller else 401, "Collection not found")
    return row


def may_see(row: sqlite3.Row, caller: auth.Caller | None) -> bool:
    """Whether a collection exists for this caller."""
    return not row["private"] or (caller is not None and repos.owns(row, caller))


def _mine(call: Call) -> sqlite3.Row:
    """The collection in the address; raise unless the caller may change it."""
    row = find(call)
    repos.check_write_token(call.caller)
    if not repos.owns(row, call.caller):
        raise HubError(403, f"This collection is {row['owner']}'s")
    return row


def _shown(call: Call, row: sqlite3.Row) -> dict:
    return {
        "slug": slug(row), "title": row["title"], "description": row["description"] or None,
        "owner": {"name": row["owner"], "fullname": row["owner"], "avatarUrl": "", "type": "user"},
        "items": items(call, row), "lastUpdated": milliseconds(row["updated"]), "position": 0,
        "private": bool(row["private"]), "theme": row["theme"], "upvotes": 0,
    }  # fmt: skip


def items(call: Call, row: sqlite3.Row) -> list[dict]:
    """What is in a collection, without the repositories that the caller may not see."""
    found: list[dict] = []
    question = "SELECT * FROM collected WHERE collection = ? ORDER BY position, id"
    for item in call.db.execute(question, (row["id"],)).fetchall():
        if item["kind"] == "collection":
            other = call.db.execute("SELECT * FROM collections WHERE id = ?", (item["target"],)).fetchone()
            name = slug(other) if other and may_see(other, call.caller) else None
            shown = {"id": item["target"], "slug": name}
        else:
            repo = call.db.execute("SELECT * FROM repos WHERE id = ?", (item["target"],)).fetchone()
            name = repos.full_name(repo) if repo and repos.may_see(repo, call.caller) else None
            shown = {"id": name}
        if name:
            note = {"note": {"text": item["note"], "html": ""}} if item["note"] else {}
            shown |= {"_id": f"{item['id']:024x}", "type": item["kind"], "position": len(found)}
            found.append(shown | note)
    return found


def listing(call: Call) -> Response:
    """Collections, the newest first; of an owner, or with a repository in them.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_collections
    """
    owners, wanted = call.request.query_params.getlist("owner"), call.request.query_params.getlist("item")
    found = []
    for row in call.db.execute("SELECT * FROM collections ORDER BY updated DESC").fetchall():
        if may_see(row, call.caller) and (not owners or row["owner"] in owners):
            shown = _shown(call, row)
            names = {f"{one['type']}s/{one['id']}" for one in shown["items"]}
            if not wanted or names & set(wanted):
                found.append({key: value for key, value in shown.items() if key != "position"})
    page, headers = next_page(call, found, call.number("limit", 100, 100) or 100, call.number("cursor", 0, 10**9))
    return JSONResponse(page, headers=headers)


def read(call: Call) -> Response:
    """One collection.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.get_collection
    """
    return JSONResponse(_shown(call, find(call)))


def create(call: Call) -> Response:
    """Make a collection. There may be two of a title.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_collection
    """
    caller = repos.check_write_token(call.caller)
    owner = repos.check_namespace(call.db, caller, call.text("namespace") or caller.name, "make a collection of")
    title = call.text("title").strip()[:200]
    if not title:
        raise bad_request("A collection needs a title.")
    if call.db.execute("SELECT COUNT(*) FROM collections WHERE owner = ?", (owner,)).fetchone()[0] >= _MOST:
        raise HubError(413, f"{owner} has {_MOST:,} collections, which is as many as are allowed.")
    private = call.json.get("private") is True
    values = (secrets.token_hex(12), owner, caller.name, title, call.text("description")[:2000], private, auth.now())
    call.db.execute("INSERT INTO collections VALUES (?, ?, ?, ?, ?, ?, 'orange', ?)", values)
    row = call.db.execute("SELECT * FROM collections WHERE id = ?", (values[0],)).fetchone()
    return JSONResponse(_shown(call, row))


def update(call: Call) -> Response:
    """Change the title, the description, the colour, or who may see it.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.update_collection_metadata
    """
    row = _mine(call)
    title = call.text("title", row["title"]).strip()[:200] or row["title"]
    private = call.json.get("private", bool(row["private"])) is True
    words = (title, call.text("description", row["description"])[:2000], call.text("theme", row["theme"])[:20])
    change = "UPDATE collections SET title = ?, description = ?, theme = ?, private = ?, updated = ? WHERE id = ?"
    call.db.execute(change, (*words, private, auth.now(), row["id"]))
    return JSONResponse({"success": True, "data": _shown(call, find(call))})


def delete(call: Call) -> Response:
    """Delete a collection; what was in it stays.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.delete_collection
    """
    call.db.execute("DELETE FROM collections WHERE id = ?", (_mine(call)["id"],))
    return PlainTextResponse("OK")


def add(call: Call) -> Response:
    """Put a repository, or another collection, at the end of a collection.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.add_collection_item
    """
    row, item = _mine(call), call.json.get("item")
    if not isinstance(item, dict) or item.get("type") not in (*KINDS.values(), "collection"):
        raise bad_request("An item has a type: model, dataset, space or collection.")
    kind, target = item["type"], _target(call, item["type"], str(item.get("id")))
    here = "SELECT COUNT(*), COALESCE(MAX(position), -1) + 1, SUM(kind = ? AND target = ?) FROM collected"
    count, position, same = call.db.execute(f"{here} WHERE collection = ?", (kind, target, row["id"])).fetchone()
    if same:
        raise HubError(409, "This is in the collection already")
    if count >= _MOST:
        raise HubError(413, f"A collection can hold {_MOST:,} items.")
    insert = "INSERT INTO collected (collection, kind, target, position, note) VALUES (?, ?, ?, ?, ?)"
    call.db.execute(insert, (row["id"], kind, target, position, call.text("note")[:500]))
    return JSONResponse(_shown(call, row))


def _target(call: Call, kind: str, name: str) -> str:
    """The id of what is to be put into a collection, if the caller may see it."""
    owner, _, rest = name.partition("/")
    if kind != "collection":
        return str(repos.find(call.db, kind, owner, rest, call.caller)["id"])
    row = call.db.execute("SELECT * FROM collections WHERE id = ?", (rest.rpartition("-")[2],)).fetchone()
    if row is None or not may_see(row, call.caller):
        raise HubError(404, "Collection not found")
    return row["id"]


def change(call: Call) -> Response:
    """Give an item another note, or another place.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.update_collection_item
    """
    item = _item(call)
    if "note" in call.json:
        call.db.execute("UPDATE collected SET note = ? WHERE id = ?", (call.text("note")[:500], item["id"]))
    place = call.json.get("position")
    if isinstance(place, int) and not isinstance(place, bool):
        question = "SELECT id FROM collected WHERE collection = ? AND id != ? ORDER BY position, id"
        order = [one["id"] for one in call.db.execute(question, (item["collection"], item["id"]))]
        order.insert(min(max(place, 0), len(order)), item["id"])
        call.db.executemany("UPDATE collected SET position = ? WHERE id = ?", enumerate(order))
    return JSONResponse({"success": True})


def remove(call: Call) -> Response:
    """Take an item out.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.delete_collection_item
    """
    call.db.execute("DELETE FROM collected WHERE id = ?", (_item(call)["id"],))
    return PlainTextResponse("OK")


def _item(call: Call) -> sqlite3.Row:
    row, number = _mine(call), call.part("item")
    for item in call.db.execute("SELECT * FROM collected WHERE collection = ?", (row["id"],)):
        if f"{item['id']:024x}" == number:
            return item
    raise HubError(404, "There is no such item in the collection")


_ALL = "/api/collections"
_ONE = f"{_ALL}/{{owner}}/{{slug}}"

routes = [
    Route(_ALL, reads(listing)),
    Route(_ALL, writes(create), methods=["POST"]),
    Route(_ONE, reads(read)),
    Route(_ONE, writes(update), methods=["PATCH"]),
    Route(_ONE, writes(delete), methods=["DELETE"]),
    Route(f"{_ONE}/items", writes(add), methods=["POST"]),
    Route(f"{_ONE}/items/{{item}}", writes(change), methods=["PATCH"]),
    Route(f"{_ONE}/items/{{item}}", writes(remove), methods=["DELETE"]),
]
