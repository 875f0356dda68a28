"""Handing in, with huggingface_hub: a student pushes to a private repository of the class, and the teacher reads it."""

import datetime
import json

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from benchmarks.support.hub_client import Raw, file
from labs_utils.hub_server import roster, server

USERS = {"teacher": "write", "ada": "write", "ben": "write", "cleo": "write"}
CLASS = {"class-5b": {"teacher": "admin", "ada": "contributor", "ben": "contributor"}}  # cleo is in another class


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The server, and a client for each user; ada and ben have handed in a model and a data set each."""
    with server.serving(tmp_path_factory.mktemp("hub")) as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # uploads go the LFS way, which this server speaks
        tokens = roster.enrol(running.store.database, USERS, CLASS)
        clients = {name: HfApi(running.endpoint, token=token) for name, token in tokens.items()}
        for name in ("ada", "ben"):
            for kind in ("model", "dataset"):
                which = {"repo_id": f"class-5b/{name}-04", "repo_type": kind}
                clients[name].create_repo(**which, private=True)
                clients[name].upload_file(**which, path_in_repo="answers.json", path_or_fileobj=b"first")
        yield running, clients


def names(listed) -> set[str]:
    return {one.id for one in listed}


def test_the_teacher_finds_all_work_of_the_class_and_a_student_their_own(hub):
    _, clients = hub
    for name, expected in (("teacher", {"ada", "ben"}), ("ada", {"ada"}), ("ben", {"ben"}), ("cleo", set())):
        for listing in (clients[name].list_models, clients[name].list_datasets):
            found = names(listing(author="class-5b"))
            assert found == {f"class-5b/{one}-04" for one in expected}, name


def test_the_teacher_reads_commits_with_their_times_and_a_file_as_it_was(hub, tmp_path):
    _, clients = hub
    ada, teacher, which = clients["ada"], clients["teacher"], {"repo_id": "class-5b/ada-04", "repo_type": "dataset"}
    begin = datetime.datetime.now(datetime.UTC)
    ada.upload_file(**which, path_in_repo="answers.json", path_or_fileobj=b"second", commit_message="again")
    end = datetime.datetime.now(datetime.UTC)
    newest, older, made = teacher.list_repo_commits(**which)
    assert (newest.title, newest.authors, made.authors) == ("again", ["ada"], ["ada"])
    tick = datetime.timedelta(milliseconds=1)  # the client is told milliseconds
    assert made.created_at <= older.created_at <= begin - tick < newest.created_at + tick and newest.created_at <= end
    for commit, content in ((newest, "second"), (older, "first")):
        path = teacher.hf_hub_download(**which, filename="answers.json", revision=commit.commit_id, cache_dir=tmp_path)
        with open(path) as read:
            assert read.read() == content


def test_nobody_can_say_when_or_by_whom_a_commit_was_made(hub):
    """Whatever a request claims, a commit has the server's time and the name that the token stands for."""
    running, clients = hub
    ada = clients["ada"]
    claims = dict.fromkeys(("date", "createdAt", "authorDate", "timestamp", "created_at"), "2020-01-01T00:00:00.000Z")
    claims |= {"author": "teacher", "authors": ["teacher"], "committer": {"name": "teacher", "date": claims["date"]}}
    header = {"key": "header", "value": {"summary": "early", "description": "Date: 2020-01-01", **claims}}
    body = "\n".join(json.dumps(line | claims) for line in (header, file("late.txt", b"late"))).encode()
    got = Raw(running.endpoint, ada.token).ask(
        "POST", "/api/models/class-5b/ada-04/commit/main?date=2020-01-01", body, Date="Wed, 01 Jan 2020 00:00:00 GMT"
    )
    assert got.status == 200
    newest = clients["teacher"].list_repo_commits("class-5b/ada-04")[0]
    assert (newest.title, newest.authors) == ("early", ["ada"])
    assert abs(datetime.datetime.now(datetime.UTC) - newest.created_at) < datetime.timedelta(minutes=5)
    ada.super_squash_history("class-5b/ada-04", commit_message="squashed")  # the time of a squash, and not an older one
    (only,) = clients["teacher"].list_repo_commits("class-5b/ada-04")
    assert only.created_at >= newest.created_at and only.authors == ["ada"]


@pytest.mark.parametrize("name", ["ben", "cleo"])
def test_classmates_work_can_be_neither_read_nor_changed_nor_deleted(hub, name):
    _, clients = hub
    other, which = clients[name], {"repo_id": "class-5b/ada-04", "repo_type": "dataset"}
    for attempt in (
        lambda: other.dataset_info("class-5b/ada-04"),
        lambda: other.list_repo_commits(**which),
        lambda: other.hf_hub_download(**which, filename="answers.json"),
        lambda: other.upload_file(**which, path_in_repo="answers.json", path_or_fileobj=b"mine"),
        lambda: other.delete_repo(**which),
        lambda: other.update_repo_settings(**which, private=False),
        lambda: other.duplicate_repo("class-5b/ada-04", f"{name}/copy", repo_type="dataset"),
    ):
        with pytest.raises(RepositoryNotFoundError):
            attempt()
    with pytest.raises(HfHubHTTPError) as caught:  # nor is it told whose the name is
        other.create_repo(**which, private=True)
    assert caught.value.response.status_code == 403 and "ada/" not in str(caught.value)


def test_a_student_takes_their_own_work_back(hub):
    _, clients = hub
    which = {"repo_id": "class-5b/ben-draft", "repo_type": "model"}
    clients["ben"].create_repo(**which, private=True)
    assert clients["teacher"].repo_exists(**which) and not clients["ada"].repo_exists(**which)
    clients["ben"].delete_repo(**which)
    assert not clients["teacher"].repo_exists(**which)


def test_a_member_who_leaves_the_class_keeps_no_key_to_it(hub):
    """Their token still stands for them, but what they made in the class is the class's."""
    running, clients = hub
    clients["ben"].create_repo("class-5b/ben-leaves", private=True)
    without = {"class-5b": {name: role for name, role in CLASS["class-5b"].items() if name != "ben"}}
    roster.enrol(running.store.database, USERS, without)
    try:
        assert not clients["ben"].repo_exists("class-5b/ben-leaves")
        assert clients["teacher"].repo_exists("class-5b/ben-leaves")
    finally:
        roster.enrol(running.store.database, USERS, CLASS)
