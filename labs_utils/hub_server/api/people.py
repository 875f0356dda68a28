"""Routes about people: who am I, users, organisations and their members, and who likes what."""

import sqlite3

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import auth, repos
from labs_utils.hub_server.api.repos import milliseconds
from labs_utils.hub_server.calls import Call, next_page, reads, writes
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.names import KINDS
from labs_utils.hub_server.repos import full_name


def whoami(call: Call) -> Response:
    """Who the token stands for, and what it may do.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.whoami
    """
    if call.caller is None:
        raise HubError(401, "Invalid username or password.")
    me = call.caller
    token = {"displayName": me.token_name, "role": me.role, "createdAt": me.created}
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
            "orgs": [
                _organisation(call, one) | {"roleInOrg": role, "canPay": False, "isEnterprise": False}
                for one, role in me.organisations.items()
            ],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def _organisation(call: Call, name: str) -> dict:
    written = call.db.execute("SELECT name FROM organisations WHERE name = ?", (name,)).fetchone()["name"]
    return {"type": "org", "id": written, "name": written, "fullname": written, "avatarUrl": ""}


def user(call: Call) -> Response:
    """What is public about a user.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.get_user_overview
    """
    name = call.part("user")
    row = call.db.execute("SELECT name FROM users WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise HubError(404, "This user does not exist")
    orgs = [_organisation(call, one) for one in auth.organisations_of(call.db, name)]
    shown = _user(row["name"]) | {"isPro": False, "orgs": orgs, "numLikes": len(_likes(call, name))}
    return JSONResponse(shown | _counts(call, name))


def _user(name: str) -> dict:
    return {"user": name, "fullname": name, "avatarUrl": "", "type": "user"}


def _counts(call: Call, owner: str) -> dict:
    """How many repositories of each kind an owner has, as far as the caller may see them."""
    counts = {}
    for kinds, kind in KINDS.items():
        owners = [repo["owner"].lower() for repo in repos.visible(call.db, kind, call.caller)]
        counts[f"num{kinds.capitalize()}"] = owners.count(owner.lower())
    return counts


def organisation(call: Call) -> Response:
    """What is public about an organisation, such as a class.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.get_organization_overview
    """
    name = _known_organisation(call)
    shown = {"name": name, "fullname": name, "avatarUrl": "", "numUsers": len(repos.members(call.db, name))}
    return JSONResponse(shown | _counts(call, name))


def _known_organisation(call: Call) -> str:
    """The name of the organisation in the address, as it is written."""
    row = call.db.execute("SELECT name FROM organisations WHERE name = ?", (call.part("organisation"),)).fetchone()
    if row is None:
        raise HubError(404, "This organization does not exist")
    return row["name"]


def members(call: Call) -> Response:
    """Who belongs to an organisation.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_organization_members
    """
    rows = repos.members(call.db, _known_organisation(call))
    page, headers = next_page(call, rows, 100, call.number("cursor", 0, 10**9))
    return JSONResponse([_user(row["user"]) | {"role": row["role"]} for row in page], headers=headers)


def organisations_repos(call: Call) -> Response:
    """What an organisation stores, as far as the caller may see it.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_user_repos
    """
    name = _known_organisation(call)
    if call.caller is None or name.lower() not in call.caller.organisations:
        raise HubError(401 if call.caller is None else 403, f"This is for the members of {name}.")
    return _stored_by(call, name)


def like(call: Call) -> Response:
    """Like a repository. On the Hub only a browser can.

    As on the Hub: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_repo_likers
    """
    call.must_see()
    caller = repos.check_write_token(call.caller)
    call.db.execute("INSERT OR IGNORE INTO likes VALUES (?, ?, ?)", (call.repo["id"], caller.name, auth.now()))
    return PlainTextResponse("OK")


def unlike(call: Call) -> Response:
    """Take a like back.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.unlike
    """
    call.must_see()
    caller = repos.check_write_token(call.caller)
    call.db.execute("DELETE FROM likes WHERE repo = ? AND user = ?", (call.repo["id"], caller.name))
    return PlainTextResponse("OK")


def likers(call: Call) -> Response:
    """Who likes a repository.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_repo_likers
    """
    question = "SELECT user FROM likes WHERE repo = ? ORDER BY created DESC"
    rows = call.db.execute(question, (call.repo["id"],)).fetchall()
    page, headers = next_page(call, rows, 100, call.number("cursor", 0, 10**9))
    return JSONResponse([_user(row["user"]) for row in page], headers=headers)


def liked(call: Call) -> Response:
    """What a user likes, as far as everybody may see it.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_liked_repos
    """
    page, headers = next_page(call, _likes(call, call.part("user")), 100, call.number("cursor", 0, 10**9))
    return JSONResponse(page, headers=headers)


def _likes(call: Call, user: str) -> list[dict]:
    question = """SELECT likes.created AS since, repos.* FROM likes JOIN repos ON repos.id = likes.repo
        WHERE likes.user = ? AND NOT private ORDER BY since DESC"""
    return [
        {"createdAt": milliseconds(row["since"]), "repo": {"name": full_name(row), "type": row["kind"]}}
        for row in call.db.execute(question, (user,))
    ]


def my_repos(call: Call) -> Response:
    """What the caller stores, repository by repository.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_user_repos
    """
    if call.caller is None:
        raise HubError(401, "Log in first: this needs a token.")
    return _stored_by(call, call.caller.name)


def _stored_by(call: Call, owner: str) -> Response:
    question = """SELECT repos.*, COALESCE(SUM(size), 0) AS bytes FROM repos
        LEFT JOIN holdings ON holdings.repo = repos.id WHERE owner = ? GROUP BY repos.id ORDER BY bytes DESC"""
    rows = [row for row in call.db.execute(question, (owner,)) if repos.may_see(row, call.caller)]
    page, headers = next_page(call, rows, 100, call.number("cursor", 0, 10**9))
    return JSONResponse([_stored(call, row) for row in page], headers=headers)


def _stored(call: Call, row: sqlite3.Row) -> dict:
    return {
        "id": full_name(row),
        "type": row["kind"],
        "updatedAt": milliseconds(row["modified"]),
        "visibility": "private" if row["private"] else "public",
        "storage": row["bytes"],
        "storagePercent": row["bytes"] / call.store.limits.quota,
    }


_REPO = "/api/{kinds}/{owner}/{name}"
_ORGANISATION = "/api/organizations/{organisation}"

routes = [
    Route("/api/whoami-v2", reads(whoami)),
    Route("/api/users/{user}/overview", reads(user)),
    Route("/api/users/{user}/likes", reads(liked)),
    Route("/api/settings/repositories", reads(my_repos)),
    Route(f"{_ORGANISATION}/overview", reads(organisation)),
    Route(f"{_ORGANISATION}/members", reads(members)),
    Route(f"{_ORGANISATION}/settings/repositories", reads(organisations_repos)),
    Route(f"{_REPO}/like", writes(like), methods=["POST"]),
    Route(f"{_REPO}/like", writes(unlike), methods=["DELETE"]),
    Route(f"{_REPO}/likers", reads(likers)),
]
