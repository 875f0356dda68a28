"""Who may read and change what: every route of the server, asked in every role. A new route has to be added here."""

import hashlib
import itertools
import json

import pytest

from benchmarks.support.hub_client import Raw, file, lfs_file
from labs_utils.hub_server import auth, repos, roster, server
from labs_utils.hub_server.app import application

CONTENT, NAME = "the-secret-content", "in/the-secret-name.txt"
LARGE = b"\0" + CONTENT.encode() * 9
SHA256 = hashlib.sha256(LARGE).hexdigest()
USERS = {"ada": "write", "fellow": "write", "teacher": "write", "other": "write"}
CLASSES = {"class": {"teacher": "admin", "ada": "contributor", "fellow": "contributor"}}
LINES = [{"key": "header", "value": {"summary": "changed"}}, file(NAME, b"changed")]
COMMIT = "\n".join(map(json.dumps, LINES)).encode()

# What each route is sent. `…` is replaced by the repository's name. None: it takes no body.
BODIES = {
    "PUT /settings": {"visibility": "public"},
    "POST /duplicate": {"repository": "…-copy"},
    "POST /preupload/{revision}": {"files": [{"path": "x.txt", "size": 1, "sample": "eA=="}]},
    "POST /paths-info/{revision}": {"paths": [NAME]},
    "POST /commit/{revision}": COMMIT,
    "POST /lfs-files/batch": {"deletions": {"sha": [SHA256]}},
    "POST /lfs-files/duplicate": {"target": {"type": "model", "name": "other/own"}, "files": [{"sha256": SHA256}]},
    "POST .git/info/lfs/objects/batch": {"operation": "upload", "objects": [{"oid": SHA256, "size": len(LARGE)}]},
    "POST .git/info/lfs/objects/verify": {"oid": SHA256, "size": len(LARGE)},
    "POST /discussions": {"title": "made", "description": "by a test", "pullRequest": True},
    "POST /discussions/{num}/comment": {"comment": "said"},
    "POST /discussions/{num}/title": {"title": "changed"},
    "POST /discussions/{num}/status": {"status": "closed"},
    "POST /discussions/{num}/merge": None,
    "POST /discussions/{num}/update": None,
    "POST /discussions/{num}/comment/{comment}/edit": {"content": "changed"},
    "POST /discussions/{num}/comment/{comment}/hide": None,
    "POST /branch/{ref:path}": {},
    "DELETE /branch/{ref:path}": None,
    "POST /tag/{ref:path}": {"tag": "made"},
    "DELETE /tag/{ref:path}": None,
    "POST /super-squash/{ref:path}": {},
    "POST /user-access-request/handle": {"user": "asker", "status": "accepted"},
    "POST /user-access-request/grant": {"user": "other"},
    "POST /ask-access": None,
    "POST /like": None,
    "DELETE /like": None,
}
PARAMETERS = {"revision": "main", "num": "1", "path": NAME, "status": "pending", "rest": "nothing-here"}
REFS = {
    "POST /branch": "new",
    "DELETE /branch": "old",
    "POST /tag": "main",
    "DELETE /tag": "v1",
    "POST /super-squash": "main",
}
# What everybody with a token that writes may do to a repository that they can see.
OPEN_TO_ALL = {
    "POST /discussions", "POST /discussions/{num}/comment", "POST /like", "DELETE /like", "POST /ask-access",
    "POST /duplicate", "POST /lfs-files/duplicate", "POST /paths-info/{revision}",
    "POST .git/info/lfs/objects/batch", "POST .git/info/lfs/objects/verify",
}  # fmt: skip
NOTHING_THERE = {"/{rest:path}", ""}  # the routes that answer what no other one does


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with server.serving(tmp_path_factory.mktemp("hub")) as running:
        database = running.store.database
        tokens = roster.enrol(database, USERS | {"asker": "write"}, CLASSES)
        yield (
            running,
            {name: Raw(running.endpoint, token) for name, token in tokens.items()}
            | {
                "nobody": Raw(running.endpoint),
                "reader": Raw(running.endpoint, auth.add_user(database, "ada", "read")),
            },
        )


@pytest.fixture(scope="module")
def model(hub):
    """Makes a repository of ada's that holds secrets: in content, a name, a title, a discussion and a pull request."""
    running, clients = hub
    ada, numbers = clients["ada"], itertools.count()
    assert clients["other"].create("own").status == 200
    assert ada.create("template").status == 200
    assert ada.upload("ada/template", LARGE).status == 200
    secret = file(NAME, CONTENT.encode()), lfs_file(f"{NAME}.bin", LARGE)
    assert ada.commit("ada/template", *secret).status == 200

    def make(owner: str, private: bool, gated: str = "") -> str:
        name = f"m{next(numbers)}"
        with running.store.database.writing() as db:
            caller = auth.Caller("ada", "write", "", {"class": "contributor"})
            source = repos.find(db, "model", "ada", "template", caller)
            made = repos.duplicate(running.store, db, caller, source, owner, name, private)
            db.execute("UPDATE repos SET gated = ? WHERE id = ?", (gated, made["id"]))
            db.execute("INSERT INTO access VALUES (NULL, ?, 'asker', 'pending', '', '')", (made["id"],))
            db.execute("INSERT INTO likes VALUES (?, 'asker', '')", (made["id"],))
        at = f"/api/models/{owner}/{name}"
        change = "\n".join(map(json.dumps, [LINES[0], file("pr.txt", CONTENT.encode())])).encode()
        assert ada.ask("POST", f"{at}/commit/main?create_pr=1", change).status == 200
        assert ada.ask("POST", f"{at}/branch/old", {}).status == ada.ask("POST", f"{at}/tag/main", {"tag": "v1"}).status
        return f"{owner}/{name}"

    return make


def asked(hub) -> list[tuple[str, str, str]]:
    """Every way to ask about a repository, as (method, the route's address, its part after the repository)."""
    found = []
    for route in application(hub[0].store).routes:
        if "{owner}/{name}" in route.path and not route.path.startswith("/{kinds}"):
            rest = route.path.partition("{owner}/{name}")[2]
            found += [(method, route.path, rest) for method in sorted(route.methods - {"HEAD"})]
    return found


def first_comment(hub, repo: str) -> str:
    with hub[0].store.database.reading() as db:
        question = """SELECT events.id FROM events JOIN repos ON repos.id = events.repo
            WHERE owner || '/' || repos.name = ? AND events.kind = 'comment' ORDER BY events.id"""
        row = db.execute(question, (repo,)).fetchone()
        return f"{row['id'] if row else 0:024x}"


def ask(hub, role: str, method: str, path: str, rest: str, repo: str):
    """Ask a route about a repository, with what it takes."""
    what = f"{method} {rest}"
    owner, name = repo.split("/")
    ref = next((ref for begin, ref in REFS.items() if what.startswith(begin)), "main")
    values = PARAMETERS | {
        "kinds": "models",
        "owner": owner,
        "name": name,
        "ref": ref,
        "comment": first_comment(hub, repo),
    }
    if rest.startswith("/tree/"):
        values["path"] = NAME.partition("/")[0]
    address = path.replace(":path}", "}").format(**values).rstrip("/")
    body = BODIES.get(what)
    if isinstance(body, dict):
        body = json.loads(json.dumps(body).replace("\\u2026", f"{owner}/{name}"))
    query = "?diff=1" if rest == "/discussions/{num}" else ""
    return hub[1][role].ask(method, address + query, body)


def state(hub, repo: str, but_of: str = "") -> list:
    """All that a repository is, in rows; without what `but_of` said, liked and asked for."""
    owner, name = repo.split("/")
    with hub[0].store.database.reading() as db:
        found = db.execute("SELECT * FROM repos WHERE owner = ? AND name = ?", (owner, name)).fetchall()
        if not found:
            return []
        this = found[0]["id"]
        rows = [[row[key] for key in row.keys() if key != "modified"] for row in found]  # noqa: SIM118
        for question in (
            "SELECT name, commit_id FROM refs WHERE repo = :repo AND (:user = '' OR name NOT LIKE 'refs/pr/%')",
            "SELECT num, title, status FROM discussions WHERE repo = :repo AND author != :user",
            "SELECT num, data FROM events WHERE repo = :repo AND author != :user",
            "SELECT user, status FROM access WHERE repo = :repo AND (user != :user OR status = 'accepted')",
            "SELECT user FROM likes WHERE repo = :repo AND user != :user",
            "SELECT sha256 FROM holdings WHERE repo = :repo AND :user = ''",
        ):
            rows += [list(row) for row in db.execute(question, {"repo": this, "user": but_of})]
        return rows


def tells(answer, *secrets: str) -> bool:
    text = answer.body.decode("utf-8", "replace") + str(answer.headers)
    return any(secret in text for secret in secrets)


def test_every_route_that_changes_something_is_in_the_table(hub):
    there = {f"{method} {rest}" for method, _, rest in asked(hub) if method != "GET" and rest not in NOTHING_THERE}
    assert there == set(BODIES)


@pytest.mark.parametrize("role", ["nobody", "other", "fellow"])
def test_private_work_is_as_good_as_absent(hub, model, role):
    """For strangers, and in a class for the classmates: nothing is told, and nothing happens."""
    repo = model("class", private=True)
    before = state(hub, repo)
    for method, path, rest in asked(hub):
        got = ask(hub, role, method, path, rest, repo)
        assert got.status in (401, 404), (method, path, got.status)
        assert not tells(got, CONTENT, NAME, "changed"), (method, path)
    assert state(hub, repo) == before


@pytest.mark.parametrize("role", ["ada", "teacher"])
def test_who_made_it_and_the_teacher_may_do_everything(hub, model, role):
    """So that the requests of the other tests are refused for who asks, and not for being wrong."""
    for method, path, rest in asked(hub):
        repo = model("class", private=True, gated="manual")
        got = ask(hub, role, method, path, rest, repo)
        what = f"{method} {rest}"
        is_someone_elses = role == "teacher" and "{comment}" in rest  # a comment belongs to who wrote it
        if what.endswith("/lfs-files/duplicate") or is_someone_elses:
            assert got.status in (403, 404), (what, got.status)  # the target is another user's
        elif rest in NOTHING_THERE and method != "GET" or rest == "/{rest:path}":
            assert got.status in (404, 405), (what, got.status)
        else:
            assert got.status in (200, 201, 303, 307) or what == "GET /xet-write-token/{revision:path}", (
                what,
                got.body,
            )


@pytest.mark.parametrize("role", ["nobody", "reader", "other", "fellow"])
def test_a_public_repository_is_read_by_all_and_changed_by_few(hub, model, role):
    repo = model("class", private=False)
    user = role if role in ("other", "fellow") else ""
    for method, path, rest in asked(hub):
        what = f"{method} {rest}"
        before = state(hub, repo, user)
        got = ask(hub, role, method, path, rest, repo)
        assert state(hub, repo, user) == before, (what, got.status)
        if method != "GET" and what not in OPEN_TO_ALL and rest not in NOTHING_THERE:
            assert got.status in (401, 403), (what, got.status, got.body)


@pytest.mark.parametrize("role", ["nobody", "other", "asker"])
def test_the_content_of_a_gated_repository_is_told_to_nobody_else(hub, model, role):
    repo = model("ada", private=False, gated="manual")
    for method, path, rest in asked(hub):
        got = ask(hub, role, method, path, rest, repo)
        assert not tells(got, CONTENT), (method, path, got.status)
    below = "/tree/{revision}/{path:path}"
    assert tells(ask(hub, role, "GET", "/api/{kinds}/{owner}/{name}" + below, below, repo), NAME)


def test_routes_that_name_a_repository_in_their_body(hub, model):
    for method, path, body in (
        ("DELETE", "/api/repos/delete", {"organization": "class", "name": "…", "type": "model"}),
        ("POST", "/api/repos/move", {"fromRepo": "class/…", "toRepo": "class/taken-away", "type": "model"}),
        ("POST", "/api/repos/create", {"organization": "class", "name": "…", "type": "model", "visibility": "public"}),
    ):
        for private, role in itertools.product((True, False), ("nobody", "reader", "other", "fellow")):
            repo = model("class", private=private)
            before = state(hub, repo)
            words = json.dumps(body).replace("\\u2026", repo.partition("/")[2]).encode()
            got = hub[1][role].ask(method, path, words, Content_Type="application/json")
            assert got.status in (401, 403, 404, 409) and state(hub, repo) == before, (path, role, got.body)
            assert not tells(got, CONTENT, NAME)


def test_in_a_class_everybody_makes_and_only_members(hub):
    wish = {"organization": "class", "name": "homework-of-fellow", "type": "model", "visibility": "private"}
    assert hub[1]["other"].ask("POST", "/api/repos/create", wish).status == 403
    assert hub[1]["fellow"].ask("POST", "/api/repos/create", wish).status == 200
    assert hub[1]["ada"].ask("POST", "/api/repos/create", wish).status == 403  # taken, and not told by whom
    seen = {role: {one["id"] for one in client.ask("GET", "/api/models").json} for role, client in hub[1].items()}
    name = "class/homework-of-fellow"
    assert [role for role in seen if name in seen[role]] == ["fellow", "teacher"]
    me = hub[1]["teacher"].ask("GET", "/api/whoami-v2").json
    assert [(one["name"], one["roleInOrg"]) for one in me["orgs"]] == [("class", "admin")]
    assert len(hub[1]["other"].ask("GET", "/api/organizations/class/members").json) == 3
    assert hub[1]["other"].ask("GET", "/api/organizations/class/settings/repositories").status == 403
    listed = hub[1]["fellow"].ask("GET", "/api/organizations/class/settings/repositories").json
    assert name in {one["id"] for one in listed}
