"""The application: all routes, in the order in which they are tried, and the form of every error."""

import secrets

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from labs_utils.hub_server import calls, pages
from labs_utils.hub_server.api import commits, discussions, files, refs, repos, uploads
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.store import Store

_LOOPBACK = ["127.0.0.1", "localhost"]


class _Undecoded:
    """Routes see the address as it was sent: `refs%2Fpr%2F1` is one segment, and a revision may hold a slash."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("ascii", "replace"), "root_path": ""}
        await self.app(scope, receive, send)


def application(store: Store, answers_any_host: bool = False) -> Starlette:
    """The ASGI application over a store. Without `answers_any_host`, only for requests that name a loopback host.

    A web page elsewhere can make a browser send requests here under a name that it points at 127.0.0.1; such a
    request carries that name, and is refused.
    """
    guard = [] if answers_any_host else [Middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK)]
    modules = (files, uploads, commits, discussions, refs, repos)
    handlers: dict = {
        HubError: calls.as_answer,
        HTTPException: _unknown,
        ClientDisconnect: calls.gone,
        OSError: _disk,
    }
    app = Starlette(
        routes=[route for module in modules for route in module.routes] + repos.last_routes + pages.routes,
        middleware=[*guard, Middleware(_Undecoded)],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False
    app.state.store, app.state.secret = store, secrets.token_bytes(32)
    return app


async def _unknown(request: Request, error: HTTPException) -> Response:
    """No route, or not with this method."""
    return await calls.as_answer(request, calls.no_route(request, error.status_code))


async def _disk(request: Request, error: OSError) -> Response:
    """A full disk is told as a limit: waiting, which a client does after a 5xx, would not mend it."""
    if isinstance(error, FileNotFoundError):
        return await calls.as_answer(
            request, HubError(404, "This was deleted while it was being read.", "EntryNotFound")
        )
    return await calls.as_answer(request, HubError(413, f"The server can't store this: {error.strerror or error}."))
