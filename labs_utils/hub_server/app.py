"""The application: all routes, in the order in which they are tried, and the form of every error."""

import contextlib
import re
import secrets
import threading
import time
import uuid
from collections.abc import Iterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labs_utils.hub_server import calls, pages
from labs_utils.hub_server.api import access, collections, commits, discussions, files, people, refs, repos, uploads
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.store import Store

_LOOPBACK = ["127.0.0.1", "localhost"]


class Activity:
    """What is being answered now, and since when nothing was: a server that nobody asks can stop."""

    def __init__(self):
        self._lock, self._open, self._last = threading.Lock(), 0, time.monotonic()

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """A request, from its first byte to the last one of its answer."""
        with self._lock:
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open, self._last = self._open - 1, time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds without any request."""
        with self._lock:
            return 0.0 if self._open else time.monotonic() - self._last


class _Numbered:
    """Every answer has an id, which the clients show with an error: their own, if they sent one."""

    def __init__(self, app: ASGIApp, activity: Activity):
        self.app, self.activity = app, activity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = dict(scope["headers"])
        given = sent.get(b"x-request-id") or sent.get(b"x-amzn-trace-id", b"")  # the second is huggingface_hub's
        number = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode()

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), (b"x-request-id", number)]}
            await send(message)

        with self.activity.request():
            await self.app(scope, receive, numbered)


_REQUEST_ID = re.compile(rb"[A-Za-z0-9=;:._-]{1,100}")


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
    modules = (files, uploads, commits, discussions, refs, access, people, collections, repos)
    handlers: dict = {
        HubError: calls.as_answer,
        HTTPException: _unknown,
        ClientDisconnect: calls.gone,
        OSError: _disk,
    }
    activity = Activity()
    app = Starlette(
        routes=[route for module in modules for route in module.routes] + repos.last_routes + pages.routes,
        middleware=[Middleware(_Numbered, activity=activity), *guard, Middleware(_Undecoded)],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False
    app.state.store, app.state.secret, app.state.activity = store, secrets.token_bytes(32), activity
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
