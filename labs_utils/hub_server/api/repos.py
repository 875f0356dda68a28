"""Routes about repositories as a whole: who am I, create, delete, rename, settings, information, lists, names."""

import json

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import cards, history, repos
from labs_utils.hub_server.calls import Call, next_page, no_route, reads, writes
from labs_utils.hub_server.errors import HubError, bad_request, repo_not_found
from labs_utils.hub_server.names import KINDS
from labs_utils.hub_server.repos import address, full_name

_SORTS = {"lastModified": "modified", "createdAt": "created", "likes": None, "downloads": None, "trendingScore": None}


def whoami(call: Call) -> Response:
    """Who the token stands for, and what it may do."""
    if call.caller is None:
        raise HubError(401, "Invalid username or password.")
    me = call.caller
    token = {"displayName": "classroom", "role": me.role, "createdAt": me.created}
    return JSONResponse(
        {
            "type": "user",
            "id": me.name,
            "name": me.name,
            "fullname": me.name,
            "email": None,
            "emailVerified": False,
            "canPay": False,
            "isPro": False,
            "avatarUrl": "",
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def user(call: Call) -> Response:
    """What is public about a user."""
    name = call.part("user")
    with call.store.database.reading() as db:
        row = db.execute("SELECT name FROM users WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise HubError(404, "This user does not exist")
        counts = {
            f"num{kinds.capitalize()}": sum(
                one["owner"].lower() == name.lower() for one in repos.visible(db, kind, call.caller)
            )
            for kinds, kind in KINDS.items()
        }
    return JSONResponse({"user": row["name"], "fullname": row["name"], "avatarUrl": "", "isPro": False, **counts})


def create(call: Call) -> Response:
    """Make a repository. If it is there already the answer is 409 and has its address too: clients read it there."""
    repos.check_write_token(call.caller)
    kind = _kind(call)
    owner = call.text("organization") or call.caller.name
    private = call.text("visibility") == "private" or call.json.get("private") is True
    sdk = call.text("sdk") if kind == "space" else None
    try:
        repo = repos.create(call.store, call.caller, kind, owner, call.text("name"), private, sdk)
    except HubError as error:
        if "there" in error.body:
            error.body |= _created(call, error.body["there"])
        raise
    return JSONResponse(_created(call, repo))


def _created(call: Call, repo) -> dict:
    return {"url": f"{call.base}/{address(repo)}", "name": full_name(repo), "id": str(repo["id"])}


def _kind(call: Call) -> str:
    kind = call.text("type", "model")
    if kind not in KINDS.values():
        raise bad_request(f"{kind[:100]!r} is no type of repository here; there are model, dataset and space.")
    return kind


def delete(call: Call) -> Response:
    """Delete a repository with all its history."""
    repos.check_write_token(call.caller)
    owner = call.text("organization") or call.caller.name
    with call.store.database.reading() as db:
        repo = repos.find(db, _kind(call), owner, call.text("name"), call.caller)
        repos.check_writer(repo, call.caller)
        held = repos.delete(db, repo)
    call.afterwards(lambda: call.store.sweep(held))
    return PlainTextResponse("OK")


def move(call: Call) -> Response:
    """Give a repository another name."""
    repos.check_write_token(call.caller)
    owner, _, name = call.text("fromRepo").partition("/")
    new_owner, _, new_name = call.text("toRepo").partition("/")
    with call.store.database.reading() as db:
        repo = repos.find(db, _kind(call), owner, name, call.caller)
        repos.check_writer(repo, call.caller)
        repos.rename(db, repo, call.caller, new_owner, new_name)
    return PlainTextResponse("OK")


def settings(call: Call) -> Response:
    """Make a repository private or public."""
    repo, wish = call.writable(), call.json
    if wish.get("gated"):
        raise bad_request("This server has no gated repositories; make the repository private instead.")
    private = {"private": True, "public": False}.get(call.text("visibility"), wish.get("private"))
    if not isinstance(private, bool):
        raise bad_request("visibility can be 'public' or 'private'.")
    with call.store.database.reading() as db:
        db.execute("UPDATE repos SET private = ? WHERE id = ?", (private, repo["id"]))
    return JSONResponse({"private": private})


def may_read(call: Call) -> Response:
    """Whether the caller may read the repository."""
    return JSONResponse({"ok": bool(call.repo["id"])})


def may_write(call: Call) -> Response:
    """Whether the caller may write to the repository."""
    return JSONResponse({"ok": bool(call.writable()["id"])})


def info(call: Call) -> Response:
    """All about a repository at a revision, with the names of its files."""
    repo, files = call.repo, call.files
    described = _described(repo) if call.revision == "main" else cards.about(call.store, repo["kind"], files)
    shown = _summary(repo, described, call.commit) | {
        "siblings": [_sibling(path, entry, call.flag("blobs")) for path, entry in files.items()],
        "usedStorage": sum({entry.sha256: entry.size for entry in files.values()}.values()),
        "spaces": [],
        **described,
    }
    return JSONResponse(_expanded(shown, call))


def _described(repo) -> dict:
    return json.loads(repo["about"])


def _summary(repo, described: dict, commit: str) -> dict:
    shown = {
        "_id": f"{repo['id']:024x}",
        "id": full_name(repo),
        "author": repo["owner"],
        "sha": commit,
        "lastModified": milliseconds(repo["modified"]),
        "createdAt": milliseconds(repo["created"]),
        "private": bool(repo["private"]),
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": described.get("tags", []),
    }
    if repo["kind"] == "model":
        shown |= {"modelId": full_name(repo), **{key: described.get(key) for key in ("pipeline_tag", "library_name")}}
    if repo["kind"] == "space":
        shown |= {"sdk": repo["sdk"]}
    return shown


def milliseconds(date: str) -> str:
    """A time as the Hub shows it."""
    return f"{date[:23]}Z"


def _sibling(path: str, entry: history.Entry, with_blob: bool) -> dict:
    shown = {"rfilename": path}
    if with_blob:
        shown |= {"blobId": entry.oid, "size": entry.size}
        if entry.lfs:
            size = len(history.pointer(entry.sha256, entry.size))
            shown["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": size}
    return shown


def _expanded(shown: dict, call: Call) -> dict:
    """Only the properties that were asked for with `expand`, if any were."""
    query = call.request.query_params
    wanted = [*query.getlist("expand"), *query.getlist("expand[]")]
    if not wanted:
        return shown
    return {key: value for key, value in shown.items() if key in ("_id", "id", *wanted)}


def listing(call: Call) -> Response:
    """Repositories of a kind: searched, filtered, sorted, page by page."""
    kinds = call.request.path_params["kinds"]
    if kinds not in KINDS:
        raise no_route(call.request)
    found = []
    with call.store.database.reading() as db:
        for repo in repos.visible(db, KINDS[kinds], call.caller):
            described = _described(repo)
            if _matches(call, repo, described):
                found.append((repo, described))
        _sort(call, found)
        page, headers = next_page(call, found, call.number("limit", 500, 1000) or 500, call.number("cursor", 0, 10**9))
        return JSONResponse([_listed(call, db, *one) for one in page], headers=headers)


def _matches(call: Call, repo, described: dict) -> bool:
    query, name = call.request.query_params, full_name(repo).lower()
    tags = {*described.get("tags", []), described.get("pipeline_tag")}
    author, task = query.get("author"), query.get("pipeline_tag")
    return (
        all(word.lower() in name for word in query.getlist("search"))
        and (not author or author.lower() == repo["owner"].lower())
        and (not task or task == described.get("pipeline_tag"))
        and all(tag in tags for given in query.getlist("filter") for tag in given.split(",") if tag)
        and not call.flag("gated")
    )


def _sort(call: Call, found: list) -> None:
    wish = call.query("sort", "trendingScore")
    if wish not in _SORTS:
        raise bad_request(f"Lists can be sorted by {', '.join(_SORTS)}; not by {wish[:100]!r}.")
    # Downloads and likes are not counted here: those orders fall back on what changed last.
    column = _SORTS[wish] or "modified"
    found.sort(key=lambda one: (one[0][column], one[0]["id"]), reverse=call.query("direction") != "1")


def _listed(call: Call, db, repo, described: dict) -> dict:
    commit = history.resolve(db, repo["id"], "main")
    shown = _summary(repo, described, commit)
    if call.flag("full") or "siblings" in call.request.query_params.getlist("expand"):
        files = history.files(call.store, repo["id"], commit)
        shown["siblings"] = [_sibling(path, entry, False) for path, entry in files.items()]
    if call.flag("full") or call.flag("cardData") or "cardData" in call.request.query_params.getlist("expand"):
        shown["cardData"] = described.get("cardData")
    if call.flag("config") or "config" in call.request.query_params.getlist("expand"):
        shown["config"] = described.get("config")
    return _expanded(shown, call)


def my_repos(call: Call) -> Response:
    """What the caller stores, repository by repository."""
    if call.caller is None:
        raise HubError(401, "Log in first: this needs a token.")
    with call.store.database.reading() as db:
        question = """SELECT repos.*, COALESCE(SUM(size), 0) AS bytes FROM repos
            LEFT JOIN holdings ON holdings.repo = repos.id WHERE owner = ? GROUP BY repos.id ORDER BY bytes DESC"""
        rows = db.execute(question, (call.caller.name,)).fetchall()
    page, headers = next_page(call, rows, 100, call.number("cursor", 0, 10**9))
    return JSONResponse([_stored(call, row) for row in page], headers=headers)


def _stored(call: Call, row) -> dict:
    return {
        "id": full_name(row),
        "type": row["kind"],
        "updatedAt": milliseconds(row["modified"]),
        "visibility": "private" if row["private"] else "public",
        "storage": row["bytes"],
        "storagePercent": row["bytes"] / call.store.limits.quota,
    }


def validate_yaml(call: Call) -> Response:
    """Errors and warnings about a card, before it is committed."""
    content = call.json.get("content", "")
    if not isinstance(content, str):
        raise bad_request("content is not a string.")
    errors, warnings = cards.problems(content)
    answer = {name: [{"message": one} for one in found] for name, found in (("errors", errors), ("warnings", warnings))}
    return JSONResponse(answer, 400 if errors else 200)


def of_one_word(call: Call) -> Response:
    """`gpt2` and the like: repositories with no owner exist on the Hub alone."""
    if call.request.path_params.get("kinds", "models") not in KINDS:
        raise no_route(call.request)
    raise repo_not_found(call.caller is not None)


def anything_else(call: Call) -> Response:
    """An unknown route under a repository: first whether there is that repository, as the Hub does."""
    if call.request.path_params["kinds"] in KINDS:
        call.repo["id"]
    raise no_route(call.request)


_REPO = "/api/{kinds}/{owner}/{name}"

routes = [
    Route("/api/whoami-v2", reads(whoami)),
    Route("/api/users/{user}/overview", reads(user)),
    Route("/api/settings/repositories", reads(my_repos)),
    Route("/api/repos/create", writes(create), methods=["POST"]),
    Route("/api/repos/delete", writes(delete), methods=["DELETE"]),
    Route("/api/repos/move", writes(move), methods=["POST"]),
    Route("/api/validate-yaml", reads(validate_yaml), methods=["POST"]),
    Route("/api/{kinds}", reads(listing)),
    Route(_REPO, reads(info)),
    Route(f"{_REPO}/revision/{{revision:path}}", reads(info)),
    Route(f"{_REPO}/settings", writes(settings), methods=["PUT"]),
    Route(f"{_REPO}/auth-check", reads(may_read)),
    Route(f"{_REPO}/auth-check/write", reads(may_write)),
]

last_routes = [
    Route("/api/{kinds}/{name}", reads(of_one_word)),
    Route("/{name}/resolve/{rest:path}", reads(of_one_word)),
    Route(f"{_REPO}/{{rest:path}}", reads(anything_else)),
]
