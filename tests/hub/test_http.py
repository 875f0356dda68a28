"""What the Hub server answers, byte by byte: ranges, errors, uploads, limits, and no request that breaks it."""

import collections
import hashlib
import json
import operator
import os
import random
import re
import sqlite3
import urllib.parse
import zlib
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub.errors
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from benchmarks.support.hub_client import Raw, file, lfs_file
from labs_utils.hub_server import auth, repos, server
from labs_utils.hub_server.app import application
from labs_utils.hub_server.errors import RepoExists
from labs_utils.hub_server.limits import Limits

LIMITS = Limits(quota=12_000_000, file=8_000_000, inline_file=200_000, body=300_000, operations=50, files=60, repos=40)
CONTENT = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with server.serving(tmp_path_factory.mktemp("hub"), LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def ada(hub):
    client = Raw(hub.endpoint, auth.add_user(hub.store.database, "ada"))
    client.create("m")
    assert client.upload("ada/m", CONTENT).status == 200
    made = client.commit("ada/m", file("a.txt", b"hello"), file("empty.txt", b""), lfs_file("w.bin", CONTENT))
    assert made.status == 200
    return client


@pytest.fixture(scope="module")
def ben(hub):
    return Raw(hub.endpoint, auth.add_user(hub.store.database, "ben"))


WEIGHTS = "/ada/m/resolve/main/w.bin"


def test_head_and_get_say_the_same(ada):
    head, got = ada.ask("HEAD", WEIGHTS), ada.ask("GET", WEIGHTS)
    assert (head.status, head.body, got.body) == (200, b"", CONTENT)
    for name in ("ETag", "X-Repo-Commit", "X-Linked-ETag", "X-Linked-Size", "Content-Length", "Accept-Ranges"):
        assert head.headers[name] == got.headers[name] is not None
    assert head.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert head.headers["X-Linked-Size"] == str(len(CONTENT))


def test_a_small_file_has_gits_name_as_its_etag(ada):
    got = ada.ask("GET", "/ada/m/resolve/main/a.txt")
    assert got.headers["ETag"] == '"b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"'  # git hash-object of "hello"
    assert got.headers["X-Linked-ETag"] is None


@pytest.mark.parametrize(
    ("wish", "start", "end"),
    [("0-0", 0, 1), ("1000-1999", 1000, 2000), ("2999990-", 2_999_990, None), ("-7", -7, None), ("5-9999999", 5, None)],
)
def test_ranges(ada, wish, start, end):
    got = ada.ask("GET", WEIGHTS, Range=f"bytes={wish}")
    assert (got.status, got.body) == (206, CONTENT[start:end])
    first = start % len(CONTENT)
    assert got.headers["Content-Range"] == f"bytes {first}-{first + len(got.body) - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("wish", ["bytes=3000000-", "bytes=9-3", "bytes=-0"])
def test_a_range_outside_the_file_is_416(ada, wish):
    got = ada.ask("GET", WEIGHTS, Range=wish)
    assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("wish", ["bytes=", "lines=1-2", "bytes=1-2,5-6", "bytes=a-b", "bytes=-"])
def test_a_range_that_is_not_understood_is_ignored(ada, wish):
    assert ada.ask("GET", WEIGHTS, Range=wish).body == CONTENT


def test_revalidation_and_resuming_a_changed_file(ada):
    etag = ada.ask("HEAD", WEIGHTS).headers["ETag"]
    assert ada.ask("GET", WEIGHTS, If_None_Match=etag).status == 304
    assert ada.ask("GET", WEIGHTS, If_None_Match='"other"').status == 200
    assert ada.ask("GET", WEIGHTS, Range="bytes=9-", If_Range=etag).status == 206
    assert ada.ask("GET", WEIGHTS, Range="bytes=9-", If_Range='"other"').body == CONTENT
    assert ada.ask("GET", "/ada/m/resolve/main/empty.txt", Range="bytes=0-").status == 416


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/ada/m/resolve/main/none.txt", 404, "EntryNotFound"),
        ("/ada/m/resolve/never/a.txt", 404, "RevisionNotFound"),
        ("/ada/never/resolve/main/a.txt", 404, "RepoNotFound"),
        ("/api/models/gpt2", 404, "RepoNotFound"),
        ("/gpt2/resolve/main/config.json", 404, "RepoNotFound"),
        ("/api/models/ada/m/tree/main/none", 404, "EntryNotFound"),
        ("/api/models/ada/m/xet-read-token/main", 404, None),
        ("/api/nothing/here", 404, None),
        ("/api/models/ada/never/xet-read-token/main", 404, "RepoNotFound"),
        ("/api/datasets/ada/m", 404, "RepoNotFound"),
        ("/api/kernels/ada/m", 404, None),
        ("/parquet?dataset=ada/m", 404, None),
        ("/api/models?sort=colour", 400, None),
        ("/ada/m/resolve/main/..%2F..%2Fhub.sqlite", 422, None),
        ("/ada/m/resolve/main/%00", 422, None),
        ("/ada/m/resolve/main/%FF", 400, None),
    ],
)
def test_errors_have_the_hubs_form(ada, path, status, code):
    got = ada.ask("GET", path)
    assert (got.status, got.headers["X-Error-Code"]) == (status, code)
    assert got.json["error"] and got.headers["X-Error-Message"]
    assert ada.ask("HEAD", path).headers["X-Error-Code"] == code


def test_a_missing_file_names_the_commit_so_that_clients_remember(ada):
    head = ada.ask("GET", "/api/models/ada/m").json["sha"]
    assert ada.ask("HEAD", "/ada/m/resolve/main/none.txt").headers["X-Repo-Commit"] == head


def test_private_and_missing_look_the_same(ada, ben, hub):
    ada.create("secret", private=True)
    nobody = Raw(hub.endpoint)
    for client, status in ((ben, 404), (nobody, 401)):
        answers = [client.ask("GET", f"/api/models/ada/{name}") for name in ("secret", "absent")]
        assert [one.status for one in answers] == [status, status]
        assert answers[0].body == answers[1].body
    for path in ("tree/main", "refs", "commits/main", "discussions", "revision/main", "lfs-files"):
        assert ben.ask("GET", f"/api/models/ada/secret/{path}").status == 404
    assert ben.ask("GET", "/ada/secret/resolve/main/.gitattributes").status == 404
    assert (
        ben.ask("POST", "/ada/secret.git/info/lfs/objects/batch", {"operation": "upload", "objects": []}).status == 404
    )
    assert "ada/secret" not in {one["id"] for one in ben.ask("GET", "/api/models").json}
    assert ada.ask("GET", "/api/models/ada/secret").status == 200


def test_an_unknown_token_is_refused_even_for_public_things(hub):
    got = Raw(hub.endpoint, "hf_unknown").ask("GET", "/api/models/ada/m")
    assert (got.status, got.headers["X-Error-Message"]) == (401, "Invalid credentials in Authorization header")


def test_tokens_are_not_on_the_disk(ada, hub):
    ada.ask("GET", "/api/whoami-v2")
    for path in hub.store.folder.rglob("*"):
        assert not path.is_file() or ada.token.encode() not in path.read_bytes(), path
    with sqlite3.connect(hub.store.folder / "hub.sqlite") as db:
        digests = [row[0] for row in db.execute("SELECT digest FROM tokens")]
    assert hashlib.sha256(ada.token.encode()).hexdigest() in digests


def test_an_upload_that_is_not_what_was_announced_is_refused(ada, hub):
    before = sum(1 for _ in hub.store.blobs.names())
    assert ada.upload("ada/m", b"x" * 1000, claimed=b"y" * 1000).status == 400
    assert ada.upload("ada/m", b"x" * 999, claimed=b"x" * 1000).status == 400
    assert ada.upload("ada/m", b"x" * 3_000_000, claimed=b"x" * 10).status == 400
    assert sum(1 for _ in hub.store.blobs.names()) == before
    assert not list((hub.store.folder / "incoming").iterdir())


def test_an_upload_address_cannot_be_made_up(ada):
    asked = ada.ask(
        "POST", "/ada/m.git/info/lfs/objects/batch", {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 9}]}
    )
    address = "/" + asked.json["objects"][0]["actions"]["upload"]["href"].split("/", 3)[3]
    for old, new in (("size=9", "size=8"), ("0" * 64, "1" * 64), ("signature=", "signature=0"), ("repo=", "repo=1")):
        assert ada.ask("PUT", address.replace(old, new), b"x" * 9).status == 403


def test_content_of_another_repository_cannot_be_taken_by_its_name(ada, ben):
    """Knowing a sha256 is not having the content: it could be in someone's private repository."""
    ben.create("thief")
    got = ben.commit("ben/thief", lfs_file("w.bin", CONTENT))
    assert got.status == 400 and "not uploaded" in got.json["error"]
    asked = ben.ask(
        "POST",
        "/ben/thief.git/info/lfs/objects/batch",
        {"operation": "upload", "objects": [{"oid": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT)}]},
    )
    assert "actions" in asked.json["objects"][0]


def test_the_same_content_is_stored_once(ada, ben, hub):
    count = sum(1 for _ in hub.store.blobs.names())
    ben.create("copy")
    assert ben.upload("ben/copy", CONTENT).status == 200
    assert ben.commit("ben/copy", lfs_file("w.bin", CONTENT), file("hello.md", b"hello")).status == 200
    assert sum(1 for _ in hub.store.blobs.names()) == count
    ben.ask("DELETE", "/api/repos/delete", {"name": "copy", "type": "model"})
    assert ada.ask("GET", WEIGHTS).body == CONTENT  # still ada's


def test_deleted_content_leaves_the_disk(ben, hub):
    content = os.urandom(5000)
    path = hub.store.blobs.path(hashlib.sha256(content).hexdigest())
    ben.create("short")
    ben.upload("ben/short", content)
    ben.commit("ben/short", lfs_file("w.bin", content))
    assert path.read_bytes() == content
    assert ben.ask("DELETE", "/api/repos/delete", {"name": "short", "type": "model"}).status == 200
    assert not path.exists()


BAD_PATHS = ["../x", "/x", "a/../../x", "a/..", ".git/x", "x/.GIT/y", ".git./x", "a\\b", "nul\0", "line\nbreak", "a//b"]
BAD_PATHS += ["C:/x", "x" * 300, "a/" * 600 + "b", ".", "", "a/./b", "\ud800", 7, None]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("key", ["file", "lfsFile", "deletedFile", "deletedFolder"])
def test_a_path_stays_inside_the_repository(ada, path, key):
    value = {"path": path, "content": "eA==", "encoding": "base64", "oid": hashlib.sha256(CONTENT).hexdigest()}
    head = ada.ask("GET", "/api/models/ada/m").json["sha"]
    got = ada.commit("ada/m", {"key": key, "value": value})
    # "a/.." as a folder to delete loses its slash; whatever the reason, it is refused and nothing happens
    assert got.status == 422, got.body
    assert ada.ask("GET", "/api/models/ada/m").json["sha"] == head


@pytest.mark.parametrize(
    "name", ["..", "a--b", "a..b", ".x", "x.git", "x.", "a/b/c", "", "é", "a b", "x" * 97, None, 7]
)
def test_a_repository_name_is_checked(ada, name):
    assert ada.ask("POST", "/api/repos/create", {"name": name, "type": "model"}).status == 400


@pytest.mark.parametrize("name", ["a..b", "a b", "x.lock", "-" * 300, "refs/heads/x", "a@{b", "0" * 40, "/x", "a//b"])
def test_a_branch_name_is_checked(ada, name):
    quoted = urllib.parse.quote(name, safe="")
    assert ada.ask("POST", f"/api/models/ada/m/branch/{quoted}", {}).status == 400


def test_a_file_cannot_also_be_a_folder(ada):
    assert ada.commit("ada/m", file("a.txt/inside", b"x")).status == 400
    assert ada.commit("ada/m", file("p/q", b"x"), file("p", b"y")).status == 400


def test_a_repository_that_is_there_is_told_with_its_address(ada, hub):
    got = ada.create("m")
    assert got.status == 409 and set(got.json) == {"error", "url", "name", "id"}
    assert (got.json["url"], got.json["name"]) == (f"{hub.endpoint}/ada/m", "ada/m")
    with pytest.raises(RepoExists) as caught, hub.store.database.writing() as db:
        repos.create(hub.store, db, auth.Caller("ada", "write", ""), "model", "ADA", "M", False, None)
    assert repos.full_name(caught.value.repo) == "ada/m"


def test_every_route_says_what_asks_for_it(hub):
    """A docstring with an address; where that is a function of the client's, the client has it."""
    for route in application(hub.store).routes:
        links = re.findall(r"https://\S+", route.endpoint.__doc__ or "")
        assert links, f"{route.path}: {route.endpoint.__doc__}"
        for name in (link.partition("#huggingface_hub.")[2] for link in links):
            assert not name or operator.attrgetter(name)(huggingface_hub), name


def test_a_failed_commit_changes_nothing(ada):
    before = ada.ask("GET", "/api/models/ada/m").json
    broken = {"key": "deletedFile", "value": {"path": "not-there"}}
    assert ada.commit("ada/m", file("new.txt", b"new"), broken).status == 404
    assert ada.commit("ada/m", file("new.txt", b"new"), parent="0" * 40).status == 412
    assert ada.ask("GET", "/api/models/ada/m").json == before


def test_limits_are_told_in_sentences(ada, ben):
    ben.create("limits")
    large = [file("large.txt", b"x" * 200_001)]
    many = [file(f"{number}", b"x") for number in range(51)]
    two_steps = [[file(f"{step}/{number}", b"x") for number in range(45)] for step in range(2)]
    assert ben.commit("ben/limits", *two_steps[0]).status == 200
    for got, words in (
        (ben.commit("ben/limits", *large), "LFS upload"),
        (ben.commit("ben/limits", *many), "several commits"),
        (ben.commit("ben/limits", *two_steps[1]), "60 are allowed"),
        (ben.upload("ben/limits", b"x", claimed=b"y" * 8_000_001), "too large"),
        (ben.ask("POST", "/api/validate-yaml", b"x" * 300_001), "300,000 bytes"),
    ):
        assert got.status == 413 and words in got.json["error"], got.body


def test_a_quota_bounds_one_user_and_not_another(ben, hub):
    cleo = Raw(hub.endpoint, auth.add_user(hub.store.database, "cleo"))
    ben.create("full"), cleo.create("room")
    first, second = os.urandom(7_000_000), os.urandom(6_000_000)
    assert ben.upload("ben/full", first).status == 200
    got = ben.upload("ben/full", second)
    assert got.status == 413 and "ben stores" in got.json["error"]
    assert cleo.upload("cleo/room", second).status == 200


def test_another_host_name_is_refused(ada):
    """A web page can point its own name at 127.0.0.1; its requests carry that name."""
    assert ada.ask("GET", "/api/models", Host="evil.example").status == 400


def test_every_answer_has_an_id(ada, hub):
    for path in ("/api/models", "/api/nothing/here", WEIGHTS, "/", "/ada/m/resolve/main/none.txt"):
        ids = [ada.ask(method, path).headers["X-Request-Id"] for method in ("GET", "HEAD")]
        assert len(set(ids)) == 2 and all(ids), path
    assert ada.ask("GET", "/api/models", Host="evil.example").headers["X-Request-Id"]
    assert ada.ask("GET", "/api/models", X_Request_Id="Root=1-ab;2").headers["X-Request-Id"] == "Root=1-ab;2"
    assert ada.ask("GET", "/api/models", X_Request_Id="x" * 200).headers["X-Request-Id"] != "x" * 200
    with pytest.raises(RepositoryNotFoundError) as caught:  # what the client shows is what it sent
        HfApi(hub.endpoint, token=ada.token).model_info("ada/never")
    assert caught.value.request_id == caught.value.response.request.headers["X-Amzn-Trace-Id"]


def test_header_and_body_say_the_same(ada, ben):
    for client, method, path in (
        (ada, "GET", "/ada/m/resolve/main/none.txt"),
        (ada, "GET", "/api/models/ada/m/discussions/99"),
        (ben, "DELETE", "/api/models/ada/m/tag/x"),
        (ada, "GET", "/api/models/gpt2"),
    ):
        got = client.ask(method, path)
        assert got.json["error"] == got.headers["X-Error-Message"], got.body
    path = urllib.parse.quote("/ada/m/resolve/main/é.txt")  # a header can't say this: the body does, and a HEAD about
    assert ada.ask("GET", path).headers["X-Error-Message"] is None
    assert ada.ask("HEAD", path).headers["X-Error-Message"] == "?.txt does not exist"


def test_a_history_says_how_long_it_is(ada):
    whole = ada.ask("GET", "/api/models/ada/m/commits/main")
    page = ada.ask("GET", "/api/models/ada/m/commits/main?limit=1")
    assert page.headers["X-Total-Count"] == whole.headers["X-Total-Count"] == str(len(whole.json))
    assert len(page.json) == 1 < len(whole.json)


def test_a_short_commit_id_that_fits_two_commits_is_refused(ada, hub):
    ada.create("short")
    with hub.store.database.writing() as db:
        repo = db.execute("SELECT id FROM repos WHERE name = 'short'").fetchone()["id"]
        for ending in "0" * 32, "1" * 32:
            db.execute("INSERT INTO commits VALUES (?, ?, NULL, '', '', '', '')", (repo, "abcdef12" + ending))
            db.execute("INSERT INTO snapshots VALUES (?, ?, ?)", (repo, "abcdef12" + ending, zlib.compress(b"[]")))
    for revision, status in (
        ("abcdef12", 404),
        ("abcdef120", 200),
        ("abcdef", 404),
        ("abcdef1", 404),
        ("ABCDEF120", 404),
    ):
        got = ada.ask("GET", f"/api/models/ada/short/revision/{revision}")
        assert got.status == status, revision
    assert (
        "Several commits begin with abcdef12" in ada.ask("GET", "/api/models/ada/short/revision/abcdef12").json["error"]
    )


def test_a_renamed_repository_leads_on_from_its_old_name(ada, ben):
    ada.create("first-name")
    assert (
        ada.ask("POST", "/api/repos/move", {"fromRepo": "ada/first-name", "toRepo": "ada/next", "type": "model"}).status
        == 200
    )
    for method, old, new in (
        ("GET", "/api/models/ada/first-name?expand=sha", "/api/models/ada/next?expand=sha"),
        ("HEAD", "/ada/first-name/resolve/refs%2Fpr%2F1/a.txt", "/ada/next/resolve/refs%2Fpr%2F1/a.txt"),
        ("POST", "/ada/first-name.git/info/lfs/objects/batch", "/ada/next.git/info/lfs/objects/batch"),
        ("POST", "/api/models/ada/first-name/commit/main", "/api/models/ada/next/commit/main"),
        ("PUT", "/api/models/ada/first-name/settings", "/api/models/ada/next/settings"),
        ("GET", "/ada/first-name/tree/main", "/ada/next/tree/main"),
    ):
        got = ada.ask(method, old, {} if method != "HEAD" else None)
        assert (got.status, got.headers["Location"]) == (307, new), (method, old)
    assert ada.ask("GET", "/api/datasets/ada/first-name").status == 404
    assert ben.create("first-name").status == 200  # ben's is another name
    assert ada.ask("GET", "/api/models/ada/first-name").status == 307
    ada.create("first-name")
    assert ada.ask("GET", "/api/models/ada/first-name").status == 200
    ada.ask("DELETE", "/api/repos/delete", {"name": "first-name", "type": "model"})
    assert ada.ask("GET", "/api/models/ada/first-name").status == 404  # taken anew, it leads nowhere any more


def test_an_old_name_does_not_tell_the_new_one_of_private_work(ada, ben):
    ada.create("open-plan")
    for new in ("hidden-plan", "hidden-plan-2"):
        wish = {"fromRepo": "ada/open-plan" if new == "hidden-plan" else "ada/hidden-plan", "toRepo": f"ada/{new}"}
        assert ada.ask("POST", "/api/repos/move", {**wish, "type": "model"}).status == 200
    assert ada.ask("PUT", "/api/models/ada/hidden-plan-2/settings", {"visibility": "private"}).status == 200
    got = ben.ask("GET", "/api/models/ada/open-plan")
    assert (got.status, got.headers["Location"]) == (404, None) and b"hidden" not in got.body
    assert ada.ask("GET", "/api/models/ada/open-plan").headers["Location"] == "/api/models/ada/hidden-plan-2"


def test_a_client_with_xet_is_told_what_to_set(ada):
    got = ada.ask("GET", "/api/models/ada/m/xet-write-token/main")
    assert got.status == 307 and "HF_HUB_DISABLE_XET=1" in got.headers["Location"]
    assert ada.ask("GET", "/api/models/ada/never/xet-write-token/main").headers["X-Error-Code"] == "RepoNotFound"


def test_settings_that_change_nothing_are_refused(ada):
    ada.create("settled")
    settings = "/api/models/ada/settled/settings"
    assert ada.ask("PUT", settings, {"gated": False}).json == {"gated": False}
    assert ada.ask("PUT", settings, {"gated": "auto", "visibility": "private"}).json == {
        "private": True,
        "gated": "auto",
    }
    assert [ada.ask("PUT", settings, wish).status for wish in ({}, {"gated": True}, {"visibility": "secret"})] == [
        400
    ] * 3
    shown = ada.ask("GET", "/api/models/ada/settled").json
    assert (shown["private"], shown["gated"]) == (True, "auto")


def test_metadata_that_would_explode_is_refused(ada):
    bomb = "---\na: &a [x,x,x,x,x,x,x,x]\nb: [*a,*a,*a,*a]\n---\n"
    for text in (bomb, "---\nx: " + "[" * 5000 + "\n---\n", "---\n- list\n---\n", "---\na: b: c\n---\n"):
        got = ada.ask("POST", "/api/validate-yaml", {"content": text, "repoType": "model"})
        assert got.status == 400 and got.json["errors"][0]["message"]
        assert ada.commit("ada/m", file("README.md", text.encode())).status == 200  # Git would take it; it is not read
        assert ada.ask("GET", "/api/models/ada/m").json["cardData"] is None
    assert ada.ask("POST", "/api/validate-yaml", {"content": "# No metadata"}).json["warnings"]


def test_someone_elses_html_is_not_a_page_of_this_server(ada):
    ada.commit("ada/m", file("page.html", b"<script>alert(1)</script>"))
    got = ada.ask("GET", "/ada/m/resolve/main/page.html")
    assert got.headers["Content-Type"].startswith("text/plain")
    assert got.headers["Content-Security-Policy"] == "sandbox"


# --- requests that nobody would write -----------------------------------------------------------------------------

SEGMENTS = [
    "ada",
    "m",
    "main",
    "models",
    "datasets",
    "refs/pr/1",
    "a.txt",
    "..",
    "w.bin",
    "1",
    "0" * 40,
    "never",
    "HEAD",
]
SEGMENTS += ["abcdef1", "\x00", "é", "e\u0301", "%2F", "-", "pending", "0" * 24, "9" * 25, "m-copy", "a b", "\u2028"]
QUERIES = ["limit", "cursor", "p", "expand", "search", "sort", "blobs", "gated", "diff", "create_pr", "owner", "item"]
KEYS = ["name", "type", "organization", "visibility", "fromRepo", "toRepo", "content", "repoType", "files", "objects"]
KEYS += [
    "operation",
    "path",
    "oid",
    "size",
    "sample",
    "title",
    "description",
    "pullRequest",
    "comment",
    "status",
    "ref",
]
KEYS += ["tag", "startingPoint", "message", "paths", "expand", "target", "sha256", "gitIgnore", "gated", "private"]
KEYS += ["user", "requestId", "rejectionReason", "repository", "deletions", "sha", "prefer", "item", "id", "note"]
KEYS += ["position", "namespace", "theme"]
COMMIT_KEYS = ["header", "file", "lfsFile", "deletedFile", "deletedFolder", "copyFile"]
VALUE_KEYS = ["summary", "path", "content", "encoding", "oid", "size", "parentCommit"]


def odd(draw: random.Random, depth: int = 0):
    """Any value that JSON can write."""
    simple = [None, True, False, 0, -1, 2**70, 1.5, float("nan"), "", *SEGMENTS, "x" * 5000, "\ud800", "a" * 64]
    if depth > 2 or draw.random() < 0.7:
        return draw.choice(simple)
    if draw.random() < 0.5:
        return [odd(draw, depth + 1) for _ in range(draw.randint(0, 3))]
    return {draw.choice(KEYS): odd(draw, depth + 1) for _ in range(draw.randint(0, 4))}


def odd_body(draw: random.Random) -> bytes:
    kind = draw.random()
    if kind < 0.1:
        return draw.randbytes(draw.randint(0, 60))
    if kind < 0.11:
        return b"[" * 100_000
    if kind < 0.4:
        value = {key: odd(draw) for key in draw.sample(VALUE_KEYS, draw.randint(0, 4))}
        lines = [{"key": draw.choice(COMMIT_KEYS), "value": value} for _ in range(draw.randint(0, 4))]
        return "\n".join(map(json.dumps, lines)).encode()
    return json.dumps({draw.choice(KEYS): odd(draw) for _ in range(draw.randint(0, 5))}).encode()


def odd_request(draw: random.Random, routes: list) -> tuple:
    """A route with odd words in its address, its question, its headers and its body."""
    route = draw.choice(routes)
    parts = {name: draw.choice(SEGMENTS) for name in route.param_convertors}
    if draw.random() < 0.6:  # these requests reach a repository that is there
        parts |= {"kinds": "models", "owner": "ada", "name": "m"}
    quoted = {name: urllib.parse.quote(value, safe="") for name, value in parts.items()}
    path = re.sub(r":path}", "}", route.path).format(**quoted) or "/"
    query = urllib.parse.urlencode({draw.choice(QUERIES): draw.choice(SEGMENTS) for _ in range(draw.randint(0, 2))})
    headers = {"Content_Type": draw.choice(["application/json", "application/x-www-form-urlencoded", "x"])}
    headers["Range"] = draw.choice(["bytes=0-", "bytes=99999999999999999999-", "x"])
    return draw.choice(sorted(route.methods)), f"{path}?{query}", odd_body(draw), headers


def ask_oddly(hub, token: str, seed: int, times: int) -> collections.Counter:
    """Send odd requests; return how often each status came."""
    draw, counts = random.Random(seed), collections.Counter()
    routes = [route for route in application(hub.store).routes if "whoami" not in route.path]
    client = Raw(hub.endpoint, token)
    for number in range(times):
        method, path, body, headers = odd_request(draw, routes)
        got = client.ask(method, path, body, **headers)
        counts[got.status] += 1
        assert got.status < 500, (seed, number, method, path, body[:300], got.body)
    return counts


def test_no_request_breaks_the_server(ada, hub):
    """10,000 odd requests over all routes, from eight clients at once: each gets an answer, and none a 5xx."""
    with ThreadPoolExecutor(8) as clients:
        told = clients.map(lambda seed: ask_oddly(hub, ada.token, seed, 1250), range(8))
    counts = sum(told, collections.Counter())
    assert sum(counts.values()) == 10_000
    assert counts[200] > 500 and counts[400] > 500 and counts[404] > 500, counts
