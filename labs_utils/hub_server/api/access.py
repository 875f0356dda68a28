"""Routes of gated repositories: ask for access, see who asked, let in and turn away."""

import sqlite3

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import gates, repos
from labs_utils.hub_server.api.repos import milliseconds
from labs_utils.hub_server.calls import Call, next_page, no_route, reads, writes
from labs_utils.hub_server.errors import HubError, bad_request


def ask(call: Call) -> Response:
    """Ask for access. On the Hub this is the button of the repository's page; a token asks here, too.

    As on the Hub: https://huggingface.co/docs/hub/models-gated
    """
    call.must_see()
    if call.caller is None:
        raise HubError(401, "Log in first: this needs a token.")
    gates.ask(call.db, call.repo, call.caller)
    return RedirectResponse(f"{call.base}/{repos.address(call.repo)}", 303)


def listing(call: Call) -> Response:
    """Who asked and waits, was accepted, or was rejected; for those who may change the repository.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_pending_access_requests
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_accepted_access_requests
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.list_rejected_access_requests
    """
    call.must_change()
    status = call.part("status")
    if status not in gates.STATUSES:
        raise no_route(call.request)
    gates.check_gated(call.repo)
    rows = gates.requests(call.db, call.repo["id"], status)
    page, headers = next_page(call, rows, 1000, call.number("cursor", 0, 10**9))
    return JSONResponse([_shown(row) for row in page], headers=headers)


def _shown(row: sqlite3.Row) -> dict:
    shown = {
        "requestId": gates.shown_id(row),
        "user": {"user": row["user"], "fullname": row["user"], "avatarUrl": "", "type": "user"},
        "status": row["status"],
        "timestamp": milliseconds(row["created"]),
    }
    return shown | ({"rejectionReason": row["reason"]} if row["reason"] else {})


def handle(call: Call) -> Response:
    """Accept or reject a request, or cancel such a decision: the request waits again.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.accept_access_request
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.reject_access_request
    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.cancel_access_request
    """
    call.must_change()
    gates.check_gated(call.repo)
    user, number = call.text("user"), call.text("requestId")
    if bool(user) == bool(number):
        raise bad_request("Name the request by its user or by its requestId, and not by both.")
    row = gates.request_of(call.db, call.repo["id"], user, number)
    gates.decide(call.db, call.repo["id"], row, call.text("status"), call.text("rejectionReason")[:200])
    return JSONResponse({})


def grant(call: Call) -> Response:
    """Let in somebody who may not have asked.

    Client: https://huggingface.co/docs/huggingface_hub/package_reference/hf_api#huggingface_hub.HfApi.grant_access
    """
    call.must_change()
    gates.check_gated(call.repo)
    gates.grant(call.db, call.repo["id"], call.text("user"))
    return JSONResponse({})


_ALL = "/api/{kinds}/{owner}/{name}/user-access-request"

routes = [
    *(Route(f"{start}/{{owner}}/{{name}}/ask-access", writes(ask), methods=["POST"]) for start in ("/{kinds}", "")),
    Route(f"{_ALL}/handle", writes(handle), methods=["POST"]),
    Route(f"{_ALL}/grant", writes(grant), methods=["POST"]),
    Route(f"{_ALL}/{{status}}", reads(listing)),
]
