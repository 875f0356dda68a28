"""What a browser sees: repositories, cards, files, histories, differences and pull requests. It only shows.

A browser sends no token, so private repositories are not here. Nothing runs in these pages: no script, no style and no
picture from anywhere else; a card's own HTML is shown as text.
"""

import difflib
import functools
import json
import re
from pathlib import Path
from urllib.parse import quote

import jinja2
import mistune
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from labs_utils.hub_server import cards, discussions, gates, history, repos
from labs_utils.hub_server.api import collections
from labs_utils.hub_server.calls import Call, Endpoint, Handler, no_route, reads
from labs_utils.hub_server.errors import HubError, entry_not_found
from labs_utils.hub_server.names import KINDS, PREFIXES

_FOLDER = Path(__file__).with_name("templates")
_LARGEST = 200_000  # bytes of a file that a page shows; more is for `hf download`
_HISTORY = 100  # commits on a page
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_to_html = mistune.create_markdown(escape=True, plugins=["table", "strikethrough", "url", "task_lists"])


def _markdown(text: str) -> str:
    """Markdown as HTML. A table's alignment becomes a class, as these pages allow no style of their own.

    >>> print(_markdown("A *word*, and <b>."))
    <p>A <em>word</em>, and &lt;b&gt;.</p>
    <BLANKLINE>
    """
    return re.sub(r'style="text-align:(left|center|right)"', r'class="\1"', str(_to_html(text)))


def _size(count: int) -> str:
    """Bytes for people.

    >>> _size(512), _size(90_868_376)
    ('512 B', '90.9 MB')
    """
    if count < 1000:
        return f"{count} B"
    shown, unit = count / 1000, "kB"
    for larger in ("MB", "GB"):
        if shown < 1000:
            break
        shown, unit = shown / 1000, larger
    return f"{shown:.1f} {unit}"


_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_templates.filters |= {"size": _size, "address": repos.address, "segment": lambda text: quote(text, safe="/")}
_templates.filters |= {"markdown": _markdown, "slug": collections.slug}
_templates.globals["when"] = lambda text: f"{text[:10]} {text[11:16]}"


def _page(template: str, status: int = 200, **shown) -> Response:
    return HTMLResponse(_templates.get_template(template).render(**shown), status, _SAFE)


def page(handler: Handler) -> Endpoint:
    """A route for a page; what goes wrong is a page, too."""

    @functools.wraps(handler)
    def shown(call: Call) -> Response:
        if call.request.scope["path"].startswith("/api/"):  # a client asks, and wants to be answered in its own form
            raise no_route(call.request)
        try:
            return handler(call)
        except HubError as error:
            if error.status == 307:  # it has another name now
                raise
            is_missing = error.status == 401 and error.code != "GatedRepo"  # private, for who has no token
            return _page("error.html", 404 if is_missing else error.status, error=error)

    return reads(shown)


def home(call: Call) -> Response:
    """All public repositories, the newest first, and the organisations; `?search=` narrows.

    As on the Hub: https://huggingface.co/models
    """
    search, groups = call.query("search").strip().lower(), {}
    for kinds, kind in KINDS.items():
        rows = sorted(repos.visible(call.db, kind, None), key=lambda row: row["modified"], reverse=True)
        groups[kinds] = [
            {"repo": row, "name": repos.full_name(row), "about": json.loads(row["about"])}
            for row in rows
            if search in repos.full_name(row).lower()
        ]
    question = "SELECT name FROM organisations WHERE instr(lower(name), ?) ORDER BY name"
    organisations = [row["name"] for row in call.db.execute(question, (search,))]
    return _page("home.html", groups=groups, organisations=organisations, search=search)


def person(call: Call) -> Response:
    """A user's public repositories; of an organisation, such as a class, everything public, person by person.

    As on the Hub: https://huggingface.co/docs/hub/organizations
    """
    name = call.part("owner")
    organisation = call.db.execute("SELECT name FROM organisations WHERE name = ?", (name,)).fetchone()
    user = call.db.execute("SELECT name FROM users WHERE name = ?", (name,)).fetchone()
    if organisation is None and user is None:
        if "text/html" not in call.request.headers.get("accept", ""):  # no browser: a client that means another server
            raise HTTPException(404)
        raise HubError(404, f"There is no user and no organisation called {name[:100]}.")
    known = (organisation or user)["name"]
    people = repos.members(call.db, known) if organisation else [{"user": known, "role": ""}]
    groups = {
        one["user"]: [row for row in repos.work_of(call.db, one["user"], known) if not row["private"]] for one in people
    }
    question = "SELECT * FROM collections WHERE owner = ? AND NOT private ORDER BY updated DESC"
    lists = call.db.execute(question, (known,)).fetchall()
    return _page("person.html", name=known, groups=groups, lists=lists, is_organisation=organisation is not None)


def collection(call: Call) -> Response:
    """A collection: what is in it, and why.

    As on the Hub: https://huggingface.co/docs/hub/collections
    """
    row = collections.find(call)
    items = [
        item | {"address": PREFIXES[item["type"]] + item["id"] if "slug" not in item else f"collections/{item['slug']}"}
        for item in collections.items(call, row)
    ]
    return _page("collection.html", row=row, items=items)


def _repo(call: Call, template: str, tab: str, **shown) -> Response:
    """A page of one repository: its head, its tabs, and the template's own part."""
    this = (call.repo["id"],)
    names = [row["name"] for row in call.db.execute("SELECT name FROM refs WHERE repo = ?", this)]
    threads = call.db.execute("SELECT COUNT(*) FROM discussions WHERE repo = ?", this).fetchone()[0]
    about, commit = json.loads(call.repo["about"]), call.commit
    return _page(
        template, repo=call.repo, name=repos.full_name(call.repo), about=about, tab=tab, threads=threads, commit=commit,
        revision=call.revision, branches=_short(names, history.HEADS), tags=_short(names, history.TAGS), **shown,
    )  # fmt: skip


def _short(names: list[str], prefix: str) -> list[str]:
    return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def card(call: Call) -> Response:
    """The README of the main branch, with its metadata.

    As on the Hub: https://huggingface.co/docs/hub/model-cards
    """
    text = _read(call, call.files.get("README.md"))
    body = _markdown(cards.body(text)) if text is not None else None
    return _repo(call, "card.html", "card", body=body)


def tree(call: Call) -> Response:
    """A folder at a revision.

    As on the Hub: https://huggingface.co/docs/hub/repositories-getting-started
    """
    prefix = f"{call.path}/" if call.path else ""
    below = {path[len(prefix) :]: entry for path, entry in call.files.items() if path.startswith(prefix)}
    if prefix and not below:
        raise entry_not_found(call.path)
    folders = sorted({path.partition("/")[0] for path in below if "/" in path})
    files = [(path, entry) for path, entry in sorted(below.items()) if "/" not in path]
    return _repo(call, "tree.html", "files", path=call.path, folders=folders, files=files)


def blob(call: Call) -> Response:
    """One file: its text, or what it is.

    As on the Hub: https://huggingface.co/docs/hub/repositories-getting-started
    """
    if call.path not in call.files:
        raise entry_not_found(call.path)
    if not gates.is_free(call.path):
        call.must_read()
    entry = call.files[call.path]
    return _repo(call, "blob.html", "files", path=call.path, entry=entry, text=_read(call, entry))


def _read(call: Call, entry: history.Entry | None) -> str | None:
    """The text of a file; None for none, for a large one, and for bytes that are no text."""
    if entry is None or entry.size > _LARGEST:
        return None
    content = call.store.blobs.path(entry.sha256).read_bytes()
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def commits(call: Call) -> Response:
    """The history of a revision, the newest first.

    As on the Hub: https://huggingface.co/docs/hub/repositories-getting-started
    """
    rows = history.log(call.db, call.repo["id"], call.commit, _HISTORY, 0)
    return _repo(call, "commits.html", "history", rows=rows)


def commit(call: Call) -> Response:
    """What one commit changed.

    As on the Hub: https://huggingface.co/docs/hub/repositories-getting-started
    """
    call.must_read()
    row = history.log(call.db, call.repo["id"], call.commit, 1, 0)[0]
    before = call.files_of(row["parent"]) if row["parent"] else {}
    return _repo(call, "commit.html", "history", row=row, changes=_changes(call, before, call.files))


def _changes(call: Call, before: history.Files, after: history.Files) -> list[dict]:
    """Every file that differs, with the lines of the difference where both sides are text."""
    changes: list[dict] = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old and new and old.sha256 == new.sha256:
            continue
        old_text, new_text = (_read(call, entry) if entry else "" for entry in (old, new))
        lines = None
        if old_text is not None and new_text is not None and len(changes) < 50:
            found = difflib.unified_diff(old_text.splitlines(), new_text.splitlines(), lineterm="", n=3)
            lines = [(line[:1], line[1:]) for line in list(found)[2:]]
        changes.append({"path": path, "old": old, "new": new, "lines": lines})
    return changes


def threads(call: Call) -> Response:
    """Discussions and pull requests.

    As on the Hub: https://huggingface.co/docs/hub/repositories-pull-requests-discussions
    """
    question = "SELECT * FROM discussions WHERE repo = ? ORDER BY num DESC"
    rows = call.db.execute(question, (call.repo["id"],)).fetchall()
    return _repo(call, "threads.html", "threads", rows=rows)


def thread(call: Call) -> Response:
    """One discussion or pull request, with what happened in it and, of a pull request, what it would change.

    As on the Hub: https://huggingface.co/docs/hub/repositories-pull-requests-discussions
    """
    number = call.part("num")
    if not (number.isascii() and number.isdigit() and len(number) < 9):
        raise no_route(call.request)
    row = discussions.find(call.db, call.repo["id"], int(number))
    events = [(event, json.loads(event["data"])) for event in discussions.events(call.db, row["repo"], row["num"])]
    changes = None
    if row["is_pull_request"] and row["base"]:
        call.must_read()
        head = history.resolve(call.db, row["repo"], f"{history.PULLS}{row['num']}")
        changes = _changes(call, call.files_of(row["base"]), call.files_of(head))
    return _repo(call, "thread.html", "threads", row=row, events=events, changes=changes)


async def style(request: Request) -> Response:
    """The one style sheet.

    The only thing that a page loads: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy
    """
    return Response((_FOLDER / "hub.css").read_bytes(), headers={**_SAFE, "Content-Type": "text/css; charset=utf-8"})


_PARTS = (
    ("", card),
    ("/tree/{revision}", tree),
    ("/tree/{revision}/{path:path}", tree),
    ("/blob/{revision}/{path:path}", blob),
    ("/commits/{revision}", commits),
    ("/commit/{revision}", commit),
    ("/discussions", threads),
    ("/discussions/{num}", thread),
)

routes = [
    Route("/", page(home)),
    Route("/static/hub.css", style),
    Route("/{owner}", page(person)),
    Route("/collections/{owner}/{slug}", page(collection)),
    *(
        Route(f"{start}/{{owner}}/{{name}}{part}", page(handler))
        for start in ("", "/{kinds}")  # in this order: /owner/name/discussions is no repository called "discussions"
        for part, handler in _PARTS
    ),
]
