"""Routes about repositories as a whole: create, duplicate, delete, rename, settings, information, lists."""

import json
import sqlite3

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import cards, history, repos
from labs_utils.hub_server.calls import Call, next_page, no_route, reads, writes
from labs_utils.hub_server.errors import HubError, RepoExists, bad_request, repo_not_found
from labs_utils.hub_server.names import KINDS
from labs_utils.hub_server.repos import address, full_name

_SORTS = {"lastModified": "modified", "createdAt": "created", "likes": None, "downloads": None, "trendingScore": None}


def create(call: Call) -> Response:
    """Make a repository. If it is there already the answer is 409 and has its address too: clients read it there.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_repo
    """
    caller = repos.check_write_token(call.caller)
    kind = _kind(call)
    owner = call.text("organization") or caller.name
    private = call.text("visibility") == "private" or call.json.get("private") is True
    sdk = call.text("sdk") if kind == "space" else None
    try:
        repo = repos.create(call.store, call.db, caller, kind, owner, call.text("name"), private, sdk)
    except RepoExists as error:
        error.body = _created(call, error.repo)
        raise
    return JSONResponse(_created(call, repo))


def _created(call: Call, repo: sqlite3.Row) -> dict:
    return {"url": f"{call.base}/{address(repo)}", "name": full_name(repo), "id": str(repo["id"])}


def _kind(call: Call) -> str:
    kind = call.text("type", "model")
    if kind not in KINDS.values():
        raise bad_request(f"{kind[:100]!r} is no type of repository here; there are model, dataset and space.")
    return kind


def delete(call: Call) -> Response:
    """Delete a repository with all its history.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.delete_repo
    """
    caller = repos.check_write_token(call.caller)
    owner = call.text("organization") or caller.name
    repo = repos.find(call.db, _kind(call), owner, call.text("name"), caller)
    repos.check_writer(repo, caller)
    held = repos.delete(call.db, repo)
    call.afterwards(lambda: call.store.sweep(held))
    return PlainTextResponse("OK")


def duplicate(call: Call) -> Response:
    """Make a repository of one's own with the files and the history of another one.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.duplicate_repo
    """
    call.must_read()
    caller = repos.check_write_token(call.caller)
    owner, _, name = call.text("repository").partition("/")
    private = {"private": True, "public": False}.get(call.text("visibility"), bool(call.repo["private"]))
    try:
        repo = repos.duplicate(call.store, call.db, caller, call.repo, owner, name, private)
    except RepoExists as error:
        error.body = _created(call, error.repo)
        raise
    return JSONResponse(_created(call, repo) | {"filesCopyPending": False})


def move(call: Call) -> Response:
    """Give a repository another name.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.move_repo
    """
    caller = repos.check_write_token(call.caller)
    owner, _, name = call.text("fromRepo").partition("/")
    new_owner, _, new_name = call.text("toRepo").partition("/")
    repo = repos.find(call.db, _kind(call), owner, name, caller)
    repos.check_writer(repo, caller)
    repos.rename(call.db, repo, caller, new_owner, new_name)
    return PlainTextResponse("OK")


def settings(call: Call) -> Response:
    """Make a repository private or public, or gated: "auto" lets in who asks, "manual" waits for a decision.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.update_repo_settings
    """
    call.must_change()
    chosen: dict[str, bool | str] = {}
    if "private" in call.json or "visibility" in call.json:
        private = {"private": True, "public": False}.get(call.text("visibility"), call.json.get("private"))
        if not isinstance(private, bool):
            raise bad_request("visibility can be 'public' or 'private'.")
        call.db.execute("UPDATE repos SET private = ? WHERE id = ?", (private, call.repo["id"]))
        chosen["private"] = private
    if "gated" in call.json:
        gated = call.json["gated"]
        if gated is not False and gated not in ("auto", "manual"):
            raise bad_request("gated can be 'auto', 'manual' or false.")
        call.db.execute("UPDATE repos SET gated = ? WHERE id = ?", (gated or "", call.repo["id"]))
        chosen["gated"] = gated
    if not chosen:
        raise bad_request("There is nothing to change: give visibility or gated.")
    return JSONResponse(chosen)


def may_read(call: Call) -> Response:
    """Whether the caller may read the repository: an error if not.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.auth_check
    """
    call.must_read()
    return JSONResponse({"ok": True})


def may_write(call: Call) -> Response:
    """Whether the caller may write to the repository: an error if not.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.auth_check
    """
    call.must_change()
    return JSONResponse({"ok": True})


def info(call: Call) -> Response:
    """All about a repository at a revision, with the names of its files.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.repo_info
    """
    repo, files = call.repo, call.files
    described = _described(repo) if call.revision == "main" else cards.about(call.store, repo["kind"], files)
    shown = _summary(repo, described, call.commit, repos.likes(call.db, repo["id"])) | {
        "siblings": [_sibling(path, entry, call.flag("blobs")) for path, entry in files.items()],
        "usedStorage": sum({entry.sha256: entry.size for entry in files.values()}.values()),
        "spaces": [],
        **described,
    }
    return JSONResponse(_expanded(shown, call))


def _described(repo: sqlite3.Row) -> dict:
    return json.loads(repo["about"])


def _summary(repo: sqlite3.Row, described: dict, commit: str, likes: int) -> dict:
    shown = {
        "_id": f"{repo['id']:024x}",
        "id": full_name(repo),
        "author": repo["owner"],
        "sha": commit,
        "lastModified": milliseconds(repo["modified"]),
        "createdAt": milliseconds(repo["created"]),
        "private": bool(repo["private"]),
        "gated": repo["gated"] or False,
        "disabled": False,
        "downloads": 0,
        "likes": likes,
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
    shown: dict = {"rfilename": path}
    if with_blob:
        shown |= {"blobId": entry.oid, "size": entry.size}
        if entry.is_lfs:
            size = len(history.pointer(entry.sha256, entry.size))
            shown["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": size}
    return shown


def _expanded(shown: dict, call: Call) -> dict:
    """Only the properties that were asked for with `expand`, if any were."""
    query = call.request.query_params
    properties = [*query.getlist("expand"), *query.getlist("expand[]")]
    if not properties:
        return shown
    return {key: value for key, value in shown.items() if key in ("_id", "id", *properties)}


def listing(call: Call) -> Response:
    """Repositories of a kind: searched, filtered, sorted, page by page.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_models
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_datasets
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_spaces
    """
    kinds = call.request.path_params["kinds"]
    if kinds not in KINDS:
        raise no_route(call.request)
    pairs = [(repo, _described(repo)) for repo in repos.visible(call.db, KINDS[kinds], call.caller)]
    found = [(repo, described) for repo, described in pairs if _matches(call, repo, described)]
    _sort(call, found)
    page, headers = next_page(call, found, call.number("limit", 500, 1000) or 500, call.number("cursor", 0, 10**9))
    return JSONResponse([_listed(call, *one) for one in page], headers=headers)


def _matches(call: Call, repo: sqlite3.Row, described: dict) -> bool:
    query, name = call.request.query_params, full_name(repo).lower()
    tags = {*described.get("tags", []), described.get("pipeline_tag")}
    author, task = query.get("author"), query.get("pipeline_tag")
    return (
        all(word.lower() in name for word in query.getlist("search"))
        and (not author or author.lower() == repo["owner"].lower())
        and (not task or task == described.get("pipeline_tag"))
        and all(tag in tags for given in query.getlist("filter") for tag in given.split(",") if tag)
        and (not call.query("gated") or call.flag("gated") == bool(repo["gated"]))
    )


def _sort(call: Call, found: list) -> None:
    wish = call.query("sort", "trendingScore")
    if wish not in _SORTS:
        raise bad_request(f"Lists can be sorted by {', '.join(_SORTS)}; not by {wish[:100]!r}.")
    # Downloads are not counted here: those orders fall back on what changed last.
    column = _SORTS[wish] or "modified"
    is_by_likes = wish == "likes"
    found.sort(
        key=lambda one: (repos.likes(call.db, one[0]["id"]) if is_by_likes else 0, one[0][column], one[0]["id"]),
        reverse=call.query("direction") != "1",
    )


def _listed(call: Call, repo: sqlite3.Row, described: dict) -> dict:
    commit = history.resolve(call.db, repo["id"], "main")
    shown = _summary(repo, described, commit, repos.likes(call.db, repo["id"]))
    expanded = call.request.query_params.getlist("expand")
    if call.flag("full") or "siblings" in expanded:
        files = history.files(call.store, call.db, repo["id"], commit)
        shown["siblings"] = [_sibling(path, entry, False) for path, entry in files.items()]
    if call.flag("full") or call.flag("cardData") or "cardData" in expanded:
        shown["cardData"] = described.get("cardData")
    if call.flag("config") or "config" in expanded:
        shown["config"] = described.get("config")
    return _expanded(shown, call)


def validate_yaml(call: Call) -> Response:
    """Errors and warnings about a card, before it is committed.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/cards#huggingface_hub.RepoCard.validate
    """
    content = call.json.get("content", "")
    if not isinstance(content, str):
        raise bad_request("content is not a string.")
    errors, warnings = cards.problems(content, call.text("repoType", "model"))
    answer = {name: [{"message": one} for one in found] for name, found in (("errors", errors), ("warnings", warnings))}
    return JSONResponse(answer, 400 if errors else 200)


def of_one_word(call: Call) -> Response:
    """`gpt2` and the like: repositories with no owner exist on the Hub alone.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.model_info
    """
    if call.request.path_params.get("kinds", "models") not in KINDS:
        raise no_route(call.request)
    raise repo_not_found(call.caller is not None)


def anything_else(call: Call) -> Response:
    """An unknown route under a repository: first whether there is that repository, as the Hub does.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/utilities#huggingface_hub.errors.RepositoryNotFoundError
    """
    if call.request.path_params["kinds"] in KINDS:
        call.must_see()
    raise no_route(call.request)


def no_webhooks(call: Call) -> Response:
    """Webhooks would let this server send requests to addresses that a user gives; it sends none.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.create_webhook
    """
    raise HubError(404, "This server has no webhooks: it answers requests, and sends none. The Hub has them.")


_REPO = "/api/{kinds}/{owner}/{name}"

routes = [
    Route("/api/repos/create", writes(create), methods=["POST"]),
    Route("/api/repos/delete", writes(delete), methods=["DELETE"]),
    Route("/api/repos/move", writes(move), methods=["POST"]),
    Route("/api/validate-yaml", reads(validate_yaml), methods=["POST"]),
    Route("/api/{kinds}", reads(listing)),
    Route(_REPO, reads(info)),
    Route(f"{_REPO}/revision/{{revision:path}}", reads(info)),
    Route(f"{_REPO}/duplicate", writes(duplicate), methods=["POST"]),
    Route(f"{_REPO}/settings", writes(settings), methods=["PUT"]),
    Route(f"{_REPO}/auth-check", reads(may_read)),
    Route(f"{_REPO}/auth-check/write", reads(may_write)),
]

last_routes = [
    Route("/api/settings/webhooks{rest:path}", reads(no_webhooks), methods=["GET", "POST", "DELETE"]),
    Route("/api/{kinds}/{name}", reads(of_one_word)),
    Route("/{name}/resolve/{rest:path}", reads(of_one_word)),
    Route(_REPO, reads(anything_else), methods=["POST", "PUT", "PATCH", "DELETE"]),
    Route(f"{_REPO}/{{rest:path}}", reads(anything_else), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
]
