"""One request: who asks, for which repository and revision, with which words; and how an answer is made of a function.

Handlers are plain functions of a `Call`. They run on a thread, inside a transaction (`call.db`), so that no request
waits for another one's disk, and what a handler reads belongs together.
"""

import functools
import json
import sqlite3
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from labs_utils.hub_server import auth, gates, history, repos
from labs_utils.hub_server.errors import HubError, bad_request, repo_moved, too_large
from labs_utils.hub_server.names import KINDS, file_path
from labs_utils.hub_server.store import Store


class Call:
    """A request and what it stands for.

    Attributes:
        store: the state of the server.
        caller: who asks, None without a token.
        request: Starlette's request.
        body: its whole body, for routes that take a small one.
        db: the transaction that the request is answered in; set by `reads` and `writes`.
    """

    db: sqlite3.Connection

    def __init__(self, request: Request, body: bytes = b""):
        self.request, self.body = request, body
        self.store: Store = request.app.state.store
        self.caller = auth.caller(self.store.database, request.headers.get("authorization"))
        self._after: list[Callable[[], object]] = []

    @property
    def base(self) -> str:
        """The server's address as the client wrote it."""
        return str(self.request.base_url).rstrip("/")

    def part(self, name: str) -> str:
        """A part of the address, decoded. The router leaves `%2F` alone, as a branch may be called `a/b`."""
        try:
            return unquote(self.request.path_params[name], errors="strict")
        except UnicodeDecodeError:
            raise bad_request("The address is not UTF-8.") from None

    def query(self, name: str, default: str = "") -> str:
        """A parameter after the question mark."""
        return self.request.query_params.get(name, default)

    def number(self, name: str, default: int, most: int) -> int:
        """A parameter that counts something, between 0 and `most`."""
        text = self.query(name)
        return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 10 else default

    def flag(self, name: str) -> bool:
        """A parameter that is on or off; Python's clients write True and 1."""
        return self.query(name).lower() in ("1", "true")

    @functools.cached_property
    def json(self) -> dict:
        """The body, a JSON object."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            raise bad_request("The body is not JSON.") from None
        if not isinstance(found, dict):
            raise bad_request("The body is not a JSON object.")
        return found

    @property
    def form(self) -> dict[str, list]:
        """The body as names with lists of values, from a form or from JSON."""
        if self.request.headers.get("content-type", "").startswith("application/json"):
            return {key: value if isinstance(value, list) else [value] for key, value in self.json.items()}
        try:
            return parse_qs(self.body.decode(), errors="strict", max_num_fields=20_000)
        except ValueError:
            raise bad_request("The body is not a form.") from None

    def text(self, name: str, default: str = "") -> str:
        """A string in the JSON body, cut to the length that is allowed."""
        value = self.json.get(name)
        value = default if value is None else value
        if not isinstance(value, str):
            raise bad_request(f"{name} is not a string.")
        return value.encode("utf-8", "replace")[: self.store.limits.text].decode("utf-8", "ignore")

    @functools.cached_property
    def repo(self) -> sqlite3.Row:
        """The repository in the address, if the caller may see it."""
        kind = KINDS.get(self.request.path_params.get("kinds", "models"))
        if kind is None:
            raise no_route(self.request)
        owner, name = self.part("owner"), self.part("name")
        try:
            return repos.find(self.db, kind, owner, name, self.caller)
        except HubError:
            moved = repos.moved_to(self.db, kind, owner, name, self.caller)
            if moved is None:
                raise
            raise repo_moved(repos.full_name(moved), self._at(moved)) from None

    def _at(self, repo: sqlite3.Row) -> str:
        """This request's address with another repository in it. Without a host: a client follows no other at HEAD."""
        old = [self.request.path_params["owner"], self.request.path_params["name"]]
        parts = self.request.scope["path"].split("/")
        at = next(at for at in range(len(parts)) if [parts[at], parts[at + 1].removesuffix(".git")] == old)
        ending = ".git" if parts[at + 1] != old[1] else ""
        parts[at : at + 2] = [repo["owner"], repo["name"] + ending]
        query = self.request.scope["query_string"].decode("ascii", "replace")
        return quote("/".join(parts), safe="/%") + (f"?{query}" if query else "")

    def must_see(self) -> None:
        """Raise unless there is this repository and the caller may see it."""
        _ = self.repo

    def must_read(self) -> None:
        """Raise unless the caller may read the content of the repository, too; of a gated one only some may."""
        gates.check_open(self.db, self.repo, self.caller, self.base)

    def must_change(self) -> auth.Caller:
        """Return the caller; raise unless they may change the repository in the address."""
        self.must_see()
        return repos.check_writer(self.repo, self.caller)

    @property
    def revision(self) -> str:
        """The revision in the address; main where the address has none."""
        return self.part("revision") if "revision" in self.request.path_params else "main"

    @functools.cached_property
    def commit(self) -> str:
        """The commit that the revision names."""
        return history.resolve(self.db, self.repo["id"], self.revision)

    @property
    def files(self) -> history.Files:
        """The files of that commit."""
        return self.files_of(self.commit)

    def files_of(self, commit: str) -> history.Files:
        """The files of any commit of this repository."""
        return history.files(self.store, self.db, self.repo["id"], commit)

    @property
    def path_as_asked(self) -> str:
        """The path in the address as the client wrote it; empty for the repository's own folder."""
        return self.part("path").strip("/") if "path" in self.request.path_params else ""

    @property
    def path(self) -> str:
        """The same path as it is stored."""
        return file_path(self.path_as_asked) if self.path_as_asked else ""

    def afterwards(self, work: Callable[[], object]) -> None:
        """Do `work` when the transaction is through."""
        self._after.append(work)

    def finish(self) -> None:
        """Do what was left for afterwards."""
        while self._after:
            self._after.pop()()


Handler = Callable[[Call], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def reads(handler: Handler) -> Endpoint:
    """A route for a handler that changes nothing."""

    def work(request: Request, body: bytes) -> Response:
        call = Call(request, body)
        with call.store.database.reading() as call.db:
            return handler(call)

    return _route(handler, work)


def writes(handler: Handler) -> Endpoint:
    """A route for a handler that changes something: all of it or nothing."""

    def work(request: Request, body: bytes) -> Response:
        call = Call(request, body)
        with call.store.database.writing() as call.db:
            answer = handler(call)
        call.finish()
        return answer

    return _route(handler, work)


def _route(handler: Handler, work: Callable[[Request, bytes], Response]) -> Endpoint:
    @functools.wraps(handler)
    async def route(request: Request) -> Response:
        body = b"" if request.method in ("GET", "HEAD") else await small_body(request)
        return await run_in_threadpool(work, request, body)

    return route


async def small_body(request: Request) -> bytes:
    """The whole body of a request that is not meant to carry content; 413 beyond the limit."""
    most, parts, size = request.app.state.store.limits.body, [], 0
    async for part in request.stream():
        size += len(part)
        if size <= most:  # the rest is read and dropped: a client that is still sending would not hear the answer
            parts.append(part)
        elif size > 4 * most:
            break
    if size > most:
        raise too_large(f"The request has more than {most:,} bytes. Send large files as LFS uploads.")
    return b"".join(parts)


def no_route(request: Request, status: int = 404) -> HubError:
    """There is nothing at this address, or not for this method."""
    return HubError(status, f"This server has no {request.method} {request.scope['path'][:200]}")


def next_page(call: Call, items: list, size: int, offset: int) -> tuple[list, dict]:
    """One page of `items` and the `Link` header that leads to the next one, if there is one."""
    page = items[offset : offset + size]
    if offset + size >= len(items):
        return page, {}
    return page, link(call, offset + size)


def link(call: Call, offset: int) -> dict:
    """A `Link` header to the same request from `offset` on."""
    kept = [(key, value) for key, value in call.request.query_params.multi_items() if key != "cursor"]
    query = "&".join(
        f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in [*kept, ("cursor", str(offset))]
    )
    path = quote(call.request.scope["path"], safe="/%")
    return {"Link": f'<{call.base}{path}?{query}>; rel="next"'}


async def as_answer(request: Request, error: HubError) -> Response:
    """An error in the Hub's form: a JSON body, and the code in a header, where a HEAD request has it too."""
    # The client says once what header and body agree on. After a 403 with no code it ends the sentence itself.
    message = str(error).strip()
    if error.status == 403 and not error.code:
        message = message.removesuffix(".")
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in message[:500]).strip()
    headers = {}
    if printable == message or request.method == "HEAD":  # what no header can hold stands in the body alone
        headers["X-Error-Message"] = printable
    if error.code:
        headers["X-Error-Code"] = error.code
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Authentication required"'
    return JSONResponse({"error": message, **error.body}, error.status, {**headers, **error.headers})


async def gone(request: Request, error: ClientDisconnect) -> Response:
    """The client hung up while it was sending; nobody reads this."""
    return Response(status_code=400)
