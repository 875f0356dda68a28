"""huggingface_hub itself: repositories, files, commits, branches, pull requests, the file system, the command."""

import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    ModelCard,
    get_session,
    hf_hub_download,
    metadata_update,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get

from tests.hub.flows import READER, ada, ben, run

FOLDER = Path(tempfile.mkdtemp(dir=os.environ["FLOW_FOLDER"]))
WEIGHTS = os.urandom(3_000_000)


def folder_of_a_model(name: str) -> Path:
    folder = FOLDER / name
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [course]\n---\n# A model\n")
    (folder / "config.json").write_text('{"architectures": ["BertForMaskedLM"], "model_type": "bert"}')
    (folder / "sub" / "weights.safetensors").write_bytes(WEIGHTS)
    (folder / "sub" / "x y#%é.txt").write_text("odd name")
    (folder / "empty.bin").touch()
    return folder


def fails(status: int, call, kind=HfHubHTTPError) -> HfHubHTTPError:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.response.status_code == status, caught.value
    return caught.value


def flow_who_am_i():
    me = ada().whoami()
    assert (me["name"], me["auth"]["accessToken"]["role"]) == ("ada", "write")
    assert HfApi(token=READER).whoami()["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token|token from HF_TOKEN"):
        HfApi(token="hf_wrong").whoami()


def flow_create_and_delete():
    for kind in ("model", "dataset", "space"):
        extra = {"space_sdk": "static"} if kind == "space" else {}
        url = ada().create_repo("ada/born", repo_type=kind, **extra)
        assert (url.repo_id, url.repo_type) == ("ada/born", kind)
        assert ada().create_repo("born", repo_type=kind, exist_ok=True, **extra) == url
        fails(409, lambda kind=kind, extra=extra: ada().create_repo("born", repo_type=kind, **extra))
        assert ada().repo_exists("ada/born", repo_type=kind)
        ada().delete_repo("ada/born", repo_type=kind)
        assert not ada().repo_exists("ada/born", repo_type=kind)
    ada().delete_repo("ada/born", missing_ok=True)
    fails(403, lambda: ada().create_repo("ben/not-mine"))
    fails(403, lambda: HfApi(token=READER).create_repo("ada/read-only"))


def flow_upload_folder_and_information():
    ada().create_repo("ada/model")
    done = ada().upload_folder(repo_id="ada/model", folder_path=folder_of_a_model("model"), commit_message="first")
    info = ada().model_info("ada/model", files_metadata=True)
    assert info.sha == done.oid
    assert (info.pipeline_tag, info.library_name) == ("fill-mask", "transformers")
    assert {"course", "license:mit", "bert", "safetensors"} <= set(info.tags)
    assert info.card_data.license == "mit"
    sizes = {one.rfilename: (one.size, one.lfs is not None) for one in info.siblings}
    assert sizes["sub/weights.safetensors"] == (len(WEIGHTS), True)
    assert sizes["empty.bin"] == (0, False)
    assert not sizes["config.json"][1]


def flow_download():
    path = hf_hub_download("ada/model", "sub/weights.safetensors")
    assert Path(path).read_bytes() == WEIGHTS
    assert Path(hf_hub_download("ada/model", "sub/x y#%é.txt")).read_text() == "odd name"
    assert Path(hf_hub_download("ada/model", "empty.bin")).read_bytes() == b""
    assert hf_hub_download("ada/model", "sub/weights.safetensors") == path


def flow_nothing_changed_makes_no_commit():
    before = ada().list_repo_commits("ada/model")
    ada().upload_folder(repo_id="ada/model", folder_path=FOLDER / "model")
    assert len(ada().list_repo_commits("ada/model")) == len(before)


def flow_snapshot_with_patterns():
    cached = Path(snapshot_download("ada/model", allow_patterns="*.json", cache_dir=FOLDER / "cache"))
    assert [path.name for path in cached.iterdir()] == ["config.json"]
    place = FOLDER / "local"
    snapshot_download("ada/model", local_dir=place, ignore_patterns=["*.bin", ".gitattributes"])
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    expected = {"README.md", "config.json", "sub/weights.safetensors", "sub/x y#%é.txt"}
    assert {path for path in found if not path.startswith(".cache")} == expected


def flow_an_interrupted_download_is_resumed():
    ada().upload_file(repo_id="ada/model", path_in_repo="resume.bin", path_or_fileobj=WEIGHTS[::-1])
    asked = []
    get_session().event_hooks["request"].append(lambda request: asked.append(request.headers.get("range")))
    with (FOLDER / "half").open("wb+") as file:
        file.write(WEIGHTS[::-1][:1_000_000])
        url = f"{os.environ['HF_ENDPOINT']}/ada/model/resolve/main/resume.bin"
        http_get(url, file, resume_size=1_000_000, expected_size=len(WEIGHTS))
    assert (FOLDER / "half").read_bytes() == WEIGHTS[::-1]
    assert asked == ["bytes=1000000-"]


def flow_tree_and_paths():
    tree = {one.path: one for one in ada().list_repo_tree("ada/model", recursive=True, expand=True)}
    assert {"sub", "sub/weights.safetensors", "README.md"} <= set(tree)
    assert tree["sub/weights.safetensors"].last_commit.title == "first"
    assert tree["resume.bin"].last_commit.title.startswith("Upload resume.bin")
    assert tree["sub"].last_commit.title == "first"
    flat = {one.path for one in ada().list_repo_tree("ada/model")}
    assert "sub" in flat and "sub/weights.safetensors" not in flat
    paths = ada().get_paths_info("ada/model", ["sub", "config.json", "missing"], expand=True)
    assert [one.path for one in paths] == ["sub", "config.json"]
    assert ada().file_exists("ada/model", "config.json") and not ada().file_exists("ada/model", "missing")


def flow_a_large_tree_comes_in_pages():
    ada().create_repo("ada/many")
    adds = [CommitOperationAdd(f"f/{number:04}.txt", b"same") for number in range(1100)]
    ada().create_commit("ada/many", adds, commit_message="many")
    assert len(list(ada().list_repo_tree("ada/many", "f"))) == 1100
    assert len(list(ada().list_repo_tree("ada/many", "f", expand=True))) == 1100


def flow_commit_operations():
    operations = [
        CommitOperationCopy("sub/weights.safetensors", "copy.safetensors"),
        CommitOperationCopy("config.json", "copy.json"),
        CommitOperationDelete("sub/"),
        CommitOperationDelete("empty.bin"),
    ]
    ada().create_commit("ada/model", operations, commit_message="rearranged")
    files = set(ada().list_repo_files("ada/model"))
    assert {"copy.safetensors", "copy.json"} <= files
    assert not {"empty.bin", "sub/weights.safetensors"} & files
    assert Path(hf_hub_download("ada/model", "copy.safetensors")).read_bytes() == WEIGHTS
    delete = [CommitOperationDelete("empty.bin")]
    error = fails(404, lambda: ada().create_commit("ada/model", delete, commit_message="x"), EntryNotFoundError)
    assert "doesn't exist" in str(error)


def flow_copy_between_repositories():
    ada().create_repo("ada/private", private=True)
    copy = CommitOperationCopy("copy.safetensors", "w.safetensors", src_repo_id="ada/model", src_repo_type="model")
    ada().create_commit("ada/private", [copy], commit_message="copied")
    assert Path(hf_hub_download("ada/private", "w.safetensors")).read_bytes() == WEIGHTS


def flow_a_stale_parent_is_refused():
    head = ada().model_info("ada/model").sha
    add = [CommitOperationAdd("one.txt", b"1")]
    ada().create_commit("ada/model", add, commit_message="1", parent_commit=head)
    again = [CommitOperationAdd("two.txt", b"2")]
    fails(412, lambda: ada().create_commit("ada/model", again, commit_message="2", parent_commit=head))
    assert "two.txt" not in ada().list_repo_files("ada/model")


def flow_branches_and_tags():
    api = ada()
    api.create_branch("ada/model", branch="feature/x", revision="main")
    api.create_tag("ada/model", tag="v1", tag_message="one")
    fails(409, lambda: api.create_branch("ada/model", branch="feature/x"))
    api.create_branch("ada/model", branch="feature/x", exist_ok=True)
    fails(409, lambda: api.create_tag("ada/model", tag="v1"))
    api.upload_file(repo_id="ada/model", path_in_repo="b.txt", path_or_fileobj=b"branch", revision="feature/x")
    assert "b.txt" not in api.list_repo_files("ada/model", revision="v1")
    assert Path(hf_hub_download("ada/model", "b.txt", revision="feature/x")).read_bytes() == b"branch"
    refs = api.list_repo_refs("ada/model", include_pull_requests=True)
    assert {one.name for one in refs.branches} == {"main", "feature/x"}
    assert [one.name for one in refs.tags] == ["v1"]
    api.delete_branch("ada/model", branch="feature/x")
    api.delete_tag("ada/model", tag="v1")
    fails(404, lambda: api.model_info("ada/model", revision="v1"), RevisionNotFoundError)
    fails(403, lambda: api.delete_branch("ada/model", branch="main"))


def flow_history():
    commits = ada().list_repo_commits("ada/model", formatted=True)
    assert commits[-1].title == "initial commit"
    assert {one.authors[0] for one in commits} == {"ada"}
    old = ada().list_repo_files("ada/model", revision=commits[-1].commit_id)
    assert old == [".gitattributes"]


def flow_pull_requests():
    add = CommitOperationAdd("from-ben.txt", b"hello\n")
    opened = ben().create_commit("ada/model", [add], commit_message="Add a file", create_pr=True)
    assert opened.pr_revision == f"refs/pr/{opened.pr_num}"
    ben().upload_file(
        repo_id="ada/model", path_in_repo="pr.bin", path_or_fileobj=WEIGHTS[:999], revision=opened.pr_revision
    )
    assert "from-ben.txt" not in ada().list_repo_files("ada/model")
    assert "pr.bin" in ada().list_repo_files("ada/model", revision=opened.pr_revision)
    told = ada().get_discussion_details("ada/model", opened.pr_num)
    assert (told.status, told.author, told.conflicting_files) == ("open", "ben", [])
    assert "+hello" in told.diff
    ada().comment_discussion("ada/model", opened.pr_num, "Thank you")
    fails(403, lambda: ben().merge_pull_request("ada/model", opened.pr_num))
    ada().merge_pull_request("ada/model", opened.pr_num)
    assert {"from-ben.txt", "pr.bin"} <= set(ada().list_repo_files("ada/model"))
    told = ada().get_discussion_details("ada/model", opened.pr_num)
    assert told.status == "merged" and told.merge_commit_oid == ada().model_info("ada/model").sha
    assert [event.type for event in told.events] == ["comment", "commit", "commit", "comment", "status-change"]


def flow_conflicting_pull_requests():
    one, other = (
        ada().create_commit("ada/model", [CommitOperationAdd("c.txt", text)], commit_message="c", create_pr=True)
        for text in (b"1", b"2")
    )
    ada().merge_pull_request("ada/model", one.pr_num)
    assert ada().get_discussion_details("ada/model", other.pr_num).conflicting_files == ["c.txt"]
    fails(409, lambda: ada().merge_pull_request("ada/model", other.pr_num))
    ada().change_discussion_status("ada/model", other.pr_num, "closed", comment="no")
    found = ada().get_repo_discussions("ada/model", discussion_status="closed", discussion_type="pull_request")
    assert other.pr_num in [one.num for one in found]


def flow_discussions():
    talk = ben().create_discussion("ada/model", "A question", description="Why?")
    said = ben().comment_discussion("ada/model", talk.num, "first")
    assert ben().edit_discussion_comment("ada/model", talk.num, said.id, "second").content == "second"
    fails(403, lambda: ada().edit_discussion_comment("ada/model", talk.num, said.id, "mine now"))
    assert ben().rename_discussion("ada/model", talk.num, "An answer").new_title == "An answer"
    assert ada().get_discussion_details("ada/model", talk.num).title == "An answer"


def flow_pull_requests_merge_by_line():
    ada().create_repo("ada/lines")
    lines = [b"line %d" % number for number in range(1, 11)]

    def push(api, number: int, words: bytes, **options):
        changed = b"\n".join([*lines[: number - 1], words, *lines[number:]])
        add = [CommitOperationAdd("text.txt", changed)]
        return api.create_commit("ada/lines", add, commit_message=words.decode(), **options)

    push(ada(), 1, b"line 1")
    near_the_top, clashing = (push(ben(), number, b"ben's", create_pr=True) for number in (2, 9))
    push(ada(), 9, b"ada's")
    lines[8] = b"ada's"
    assert ada().get_discussion_details("ada/lines", near_the_top.pr_num).conflicting_files == []
    ada().merge_pull_request("ada/lines", near_the_top.pr_num)
    merged = Path(hf_hub_download("ada/lines", "text.txt")).read_bytes().split(b"\n")
    assert (merged[1], merged[8]) == (b"ben's", b"ada's")
    told = fails(409, lambda: ada().merge_pull_request("ada/lines", clashing.pr_num))
    assert "text.txt (line 9)" in str(told)
    # brought up to date, with the proposal's lines where both changed them, it can be merged
    address = f"{os.environ['HF_ENDPOINT']}/api/models/ada/lines/discussions/{clashing.pr_num}/update"
    headers = {"authorization": f"Bearer {ben().token}"}
    assert get_session().post(address, headers=headers).status_code == 409
    assert get_session().post(address, headers=headers, json={"prefer": "proposal"}).status_code == 200
    told = ada().get_discussion_details("ada/lines", clashing.pr_num)
    assert told.conflicting_files == [] and "-ada's" in told.diff and "line 2" not in told.diff
    ada().merge_pull_request("ada/lines", clashing.pr_num)
    merged = Path(hf_hub_download("ada/lines", "text.txt")).read_bytes().split(b"\n")
    assert (merged[1], merged[8]) == (b"ben's", b"ben's")


def flow_revisions():
    done = ada().upload_file(repo_id="ada/model", path_in_repo="rev.txt", path_or_fileobj=b"1")
    ada().upload_file(repo_id="ada/model", path_in_repo="rev.txt", path_or_fileobj=b"2")
    ada().create_tag("ada/model", tag="by-id", revision=done.oid)
    ada().create_tag("ada/model", tag="by-short-id", revision=done.oid[:8])
    for revision in (done.oid, done.oid[:7], "by-id", "by-short-id", "refs/tags/by-id"):
        assert Path(hf_hub_download("ada/model", "rev.txt", revision=revision)).read_bytes() == b"1", revision
    assert ada().model_info("ada/model", revision="HEAD").sha == ada().model_info("ada/model").sha
    upload = {"repo_id": "ada/model", "path_in_repo": "rev.txt", "path_or_fileobj": b"3"}
    fails(404, lambda: ada().upload_file(**upload, revision=done.oid), RevisionNotFoundError)
    fails(404, lambda: ada().upload_file(**upload, revision=done.oid, create_pr=True), RevisionNotFoundError)
    fails(404, lambda: ada().create_tag("ada/model", tag="x", revision="never"), RevisionNotFoundError)
    opened = ada().upload_file(**upload, create_pr=True).pr_revision
    ada().upload_file(**upload | {"path_or_fileobj": b"4"}, revision=opened)
    ada().super_squash_history("ada/model", branch=opened)
    assert len(ada().list_repo_commits("ada/model", revision=opened)) == 1
    assert len(ada().list_repo_commits("ada/model")) > 1


def flow_a_renamed_repository_answers_to_its_old_name():
    for kind in ("model", "dataset"):
        which = {"repo_type": kind}
        ada().create_repo("ada/before", **which)
        ada().upload_file(repo_id="ada/before", path_in_repo="w.bin", path_or_fileobj=WEIGHTS[:99], **which)
        ada().move_repo("ada/before", "ada/between", **which)
        ada().move_repo("ada/between", "ada/after", **which)
        for old in ("ada/before", "ada/between"):
            assert ada().repo_info(old, **which).id == "ada/after"
            assert Path(hf_hub_download(old, "w.bin", **which)).read_bytes() == WEIGHTS[:99]
            assert "w.bin" in ada().list_repo_files(old, **which)
            ada().create_branch(old, branch=f"from-{old[4:]}", **which)
        ada().upload_file(repo_id="ada/before", path_in_repo="a.txt", path_or_fileobj=b"a", **which)
        ada().upload_file(repo_id="ada/before", path_in_repo="b.bin", path_or_fileobj=WEIGHTS[:77], **which)
        assert {"a.txt", "b.bin"} <= set(ada().list_repo_files("ada/after", **which))
        ada().create_repo("ada/before", **which)  # the name is taken anew
        assert ada().list_repo_files("ada/before", **which) == [".gitattributes"]
        ada().update_repo_settings("ada/after", private=True, **which)
        fails(404, lambda which=which: ben().repo_info("ada/between", **which), RepositoryNotFoundError)


def flow_gated():
    ada().create_repo("ada/gated")
    (FOLDER / "card.md").write_text("---\nlicense: mit\n---\n# Gated\n")
    ada().upload_file(repo_id="ada/gated", path_in_repo="README.md", path_or_fileobj=FOLDER / "card.md")
    ada().upload_file(repo_id="ada/gated", path_in_repo="w.bin", path_or_fileobj=WEIGHTS[:50])
    ada().update_repo_settings("ada/gated", gated="manual")
    assert ben().model_info("ada/gated").gated == "manual"
    assert "w.bin" in ben().list_repo_files("ada/gated") and ben().repo_exists("ada/gated")
    assert [one.id for one in ben().list_models(gated=True)] == ["ada/gated"]
    assert "ada/gated" not in {one.id for one in ben().list_models(gated=False)}
    download = {"repo_id": "ada/gated", "filename": "w.bin"}
    card = ben().hf_hub_download("ada/gated", "README.md")  # whom to ask, and why, can be read before
    assert "# Gated" in Path(card).read_text()

    def refused(status: int, words: str, token) -> None:
        assert words in str(fails(status, lambda: HfApi(token=token).auth_check("ada/gated"), GatedRepoError))
        with pytest.raises(GatedRepoError, match=words):
            HfApi(token=token).hf_hub_download(**download, cache_dir=tempfile.mkdtemp(dir=FOLDER))

    refused(401, "Please log in", False)
    refused(403, "not in the authorized list", ben().token)
    ask = f"{os.environ['HF_ENDPOINT']}/ada/gated/ask-access"
    headers = {"authorization": f"Bearer {ben().token}"}
    assert get_session().post(ask, headers=headers, follow_redirects=False).status_code == 303
    refused(403, "awaiting a review", ben().token)
    asked = list(ada().list_pending_access_requests("ada/gated"))
    assert [(one.username, one.status) for one in asked] == [("ben", "pending")]
    fails(403, lambda: list(ben().list_pending_access_requests("ada/gated")))
    ada().reject_access_request("ada/gated", "ben", rejection_reason="not yet")
    refused(403, "rejected by the repo's authors", ben().token)
    ada().accept_access_request("ada/gated", request_id=asked[0].request_id)
    assert Path(ben().hf_hub_download(**download)).read_bytes() == WEIGHTS[:50]
    fails(404, lambda: ada().accept_access_request("ada/gated", "ben"))
    fails(400, lambda: ada().grant_access("ada/gated", "ben"))
    fails(404, lambda: ada().grant_access("ada/gated", "nobody"))
    ada().cancel_access_request("ada/gated", "ben")
    refused(403, "awaiting a review", ben().token)
    ada().update_repo_settings("ada/gated", gated=False)
    assert ben().auth_check("ada/gated") is None
    fails(400, lambda: list(ada().list_accepted_access_requests("ada/gated")))


def flow_gated_automatically():
    ada().create_repo("ada/click")
    ada().update_repo_settings("ada/click", gated="auto")
    fails(403, lambda: ben().auth_check("ada/click"), GatedRepoError)
    ask = f"{os.environ['HF_ENDPOINT']}/ada/click/ask-access"
    get_session().post(ask, headers={"authorization": f"Bearer {ben().token}"})
    ben().auth_check("ada/click")
    assert [one.username for one in ada().list_accepted_access_requests("ada/click")] == ["ben"]


def flow_duplicate():
    ada().create_repo("ada/original")
    ada().upload_file(repo_id="ada/original", path_in_repo="w.bin", path_or_fileobj=WEIGHTS[:1234])
    ada().create_tag("ada/original", tag="v1")
    ben().create_commit(
        "ada/original", [CommitOperationAdd("pr.txt", b"x")], commit_message="not taken along", create_pr=True
    )
    url = ben().duplicate_repo("ada/original")
    assert url.repo_id == "ben/original"
    assert ben().model_info("ben/original").sha == ada().model_info("ada/original").sha
    assert Path(hf_hub_download("ben/original", "w.bin", revision="v1")).read_bytes() == WEIGHTS[:1234]
    assert ben().list_repo_refs("ben/original", include_pull_requests=True).pull_requests == []
    assert ben().duplicate_repo("ada/original", exist_ok=True).repo_id == "ben/original"
    fails(409, lambda: ben().duplicate_repo("ada/original"))
    ada().delete_repo("ada/original")
    assert Path(hf_hub_download("ben/original", "w.bin", force_download=True)).read_bytes() == WEIGHTS[:1234]
    ben().duplicate_repo("ben/original", "ben/own-copy", private=True)
    fails(404, lambda: ada().duplicate_repo("ben/own-copy"), RepositoryNotFoundError)


def flow_likes():
    address = f"{os.environ['HF_ENDPOINT']}/api/models/ada/many/like"
    for api in (ada(), ben(), ben()):
        get_session().post(address, headers={"authorization": f"Bearer {api.token}"}).raise_for_status()
    assert {one.username for one in ada().list_repo_likers("ada/many")} == {"ada", "ben"}
    assert ben().list_liked_repos().models == ["ada/many"]
    assert next(iter(ada().list_models(sort="likes"))).id == "ada/many"
    ben().unlike("ada/many")
    assert ada().model_info("ada/many").likes == 1
    with pytest.raises(RepositoryNotFoundError):
        ben().unlike("never")


def flow_lfs_files_are_deleted_for_good():
    ada().create_repo("ada/heavy")
    for number in range(3):
        ada().upload_file(repo_id="ada/heavy", path_in_repo="w.bin", path_or_fileobj=WEIGHTS[:100_000] + b"%d" % number)
    ada().upload_file(repo_id="ada/heavy", path_in_repo="keep.bin", path_or_fileobj=WEIGHTS[:200_000])
    ada().create_tag("ada/heavy", tag="v1")
    listed = list(ada().list_lfs_files("ada/heavy"))
    assert sorted(one.filename for one in listed) == ["keep.bin", "w.bin", "w.bin", "w.bin"]
    before = ada().list_repo_commits("ada/heavy")
    fails(403, lambda: ben().permanently_delete_lfs_files("ada/heavy", listed))
    ada().permanently_delete_lfs_files("ada/heavy", [one for one in listed if one.filename == "w.bin"])
    assert [one.filename for one in ada().list_lfs_files("ada/heavy")] == ["keep.bin"]
    assert set(ada().list_repo_files("ada/heavy", revision="v1")) == {".gitattributes", "keep.bin"}
    after = ada().list_repo_commits("ada/heavy")
    assert [one.title for one in after] == [one.title for one in before]
    assert after[0].commit_id != before[0].commit_id and after[-1].commit_id == before[-1].commit_id
    assert Path(hf_hub_download("ada/heavy", "keep.bin")).read_bytes() == WEIGHTS[:200_000]
    fails(404, lambda: ada().model_info("ada/heavy", revision=before[0].commit_id), RevisionNotFoundError)


def flow_collections():
    made = ada().create_collection("For the course", description="what we read")
    assert made.slug.startswith("ada/for-the-course-")
    ada().add_collection_item(made.slug, "ada/many", "model", note="first")
    ada().add_collection_item(made.slug, "ada/model", "model")
    fails(409, lambda: ada().add_collection_item(made.slug, "ada/many", "model"))
    ada().add_collection_item(made.slug, "ada/many", "model", exists_ok=True)
    fails(404, lambda: ada().add_collection_item(made.slug, "ada/never", "model"))
    fails(403, lambda: ben().add_collection_item(made.slug, "ada/model", "model"))
    found = ben().get_collection(made.slug)
    assert [(one.item_id, one.note) for one in found.items] == [("ada/many", "first"), ("ada/model", None)]
    ada().update_collection_item(made.slug, found.items[0].item_object_id, position=1, note="second")
    assert [one.note for one in ben().get_collection(made.slug).items] == [None, "second"]
    renamed = ada().update_collection_metadata(made.slug, title="Read", private=True)
    assert ada().get_collection(made.slug).slug == renamed.slug != made.slug
    fails(404, lambda: ben().get_collection(renamed.slug))
    assert [one.slug for one in ada().list_collections(item="models/ada/many")] == [renamed.slug]
    assert list(ben().list_collections(owner="ada")) == []
    ada().delete_collection_item(renamed.slug, found.items[1].item_object_id)
    ada().delete_collection(renamed.slug)
    ada().delete_collection(renamed.slug, missing_ok=True)


def flow_folders_and_names():
    add = [CommitOperationAdd(f"folder/{number}.txt", b"x") for number in range(2)]
    ada().create_commit("ada/model", [*add, CommitOperationAdd("e\u0301.txt", b"accent")], commit_message="add")
    for name in ("e\u0301.txt", "\u00e9.txt"):  # the same name, written in two ways
        assert [one.path for one in ada().get_paths_info("ada/model", [name])] == [name]
        assert Path(hf_hub_download("ada/model", name)).read_bytes() == b"accent"
        # (without `expand_info` the client lists the folder, without a word of the name that it then looks for, letter
        # by letter: no answer could suit both spellings)
        assert HfFileSystem(token=ada().token).info(f"ada/model/{name}", expand_info=True)["size"] == 6
    ada().create_commit("ada/model", [CommitOperationAdd("u\u0308/x.txt", b"inside")], commit_message="a folder")
    for name in ("u\u0308", "\u00fc"):
        files = HfFileSystem(token=ada().token, skip_instance_cache=True)
        assert files.read_bytes(f"ada/model/{name}/x.txt") == b"inside"
        assert files.ls(f"ada/model/{name}", detail=False) == [f"ada/model/{name}/x.txt"]
    ada().create_commit(
        "ada/model", [CommitOperationDelete("folder", is_folder=False)], commit_message="without a slash"
    )
    assert not ada().file_exists("ada/model", "folder/0.txt")
    ada().create_repo("ada/app", repo_type="space", space_sdk="gradio")
    assert "README.md" in ada().list_repo_files("ada/app", repo_type="space")
    assert ada().space_info("ada/app").card_data.sdk == "gradio"


def flow_gitignore_of_the_repository_counts():
    folder = FOLDER / "ignoring"
    for name in ("build/x.txt", "keep.log", "other.log", "sub/build.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    ada().create_repo("ada/ignoring")
    rules = b"*.log\n!keep.log\n/build/\n"
    ada().upload_file(repo_id="ada/ignoring", path_in_repo=".gitignore", path_or_fileobj=rules)
    ada().upload_folder(repo_id="ada/ignoring", folder_path=folder)
    assert set(ada().list_repo_files("ada/ignoring")) == {".gitattributes", ".gitignore", "keep.log", "sub/build.txt"}


def flow_what_goes_wrong_is_said_once():
    api, token = ben(), ben().whoami()["auth"]["accessToken"]
    assert token["displayName"].startswith("ben-write-")
    assert HfApi(token=READER).whoami()["auth"]["accessToken"]["displayName"].startswith("ada-read-")
    for call in (
        lambda: api.merge_pull_request("ada/model", 1),
        lambda: api.create_commit("ada/model", [CommitOperationDelete("é")], commit_message="x", create_pr=True),
        lambda: api.create_webhook(
            url="https://example.org", watched=[{"type": "user", "name": "ben"}], domains=["repo"]
        ),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            call()
        told = [line.rstrip(".") for line in str(caught.value).splitlines() if line.strip()]
        assert len(told) == len(set(told)), caught.value
        assert caught.value.request_id
    assert "no webhooks" in str(caught.value)


def flow_lists():
    public = {one.id for one in ben().list_models()}
    assert "ada/model" in public and "ada/private" not in public
    assert "ada/private" in {one.id for one in ada().list_models(author="ada")}
    assert [one.id for one in ada().list_models(filter="course", pipeline_tag="fill-mask")] == ["ada/model"]
    assert [one.id for one in ada().list_models(search="MANY", full=True)] == ["ada/many"]
    newest = list(ada().list_models(sort="last_modified", limit=1))
    assert len(newest) == 1
    assert list(ada().list_datasets(author="nobody")) == []


def flow_private_means_absent():
    nobody = HfApi(token=False)
    fails(404, lambda: ben().model_info("ada/private"), RepositoryNotFoundError)
    fails(401, lambda: nobody.model_info("ada/private"), RepositoryNotFoundError)
    fails(401, lambda: nobody.model_info("ada/never"), RepositoryNotFoundError)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("ada/private", "w.safetensors", token=os.environ["TOKEN_BEN"], cache_dir=FOLDER / "ben")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("gpt2", "config.json")
    ada().update_repo_settings("ada/private", private=False)
    assert nobody.model_info("ada/private").private is False


def flow_errors_name_what_is_missing():
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("ada/model", "missing.txt")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("ada/model", "config.json", revision="never")
    upload = {"repo_id": "ada/model", "path_in_repo": "x.txt", "path_or_fileobj": b"x"}
    fails(403, lambda: ben().upload_file(**upload))
    fails(403, lambda: HfApi(token=READER).upload_file(**upload))
    fails(401, lambda: HfApi(token="hf_wrong").upload_file(**upload))
    with pytest.raises(ValueError, match="YAML"):
        ada().upload_file(repo_id="ada/model", path_in_repo="README.md", path_or_fileobj=b"---\na: [\n---\n")


def flow_cards():
    metadata_update("ada/model", {"license": "apache-2.0"}, overwrite=True)
    assert ada().model_info("ada/model").card_data.license == "apache-2.0"
    card = ModelCard.load("ada/model")
    card.data.pipeline_tag = "text-classification"
    card.push_to_hub("ada/model")
    assert ada().model_info("ada/model").pipeline_tag == "text-classification"


def flow_file_system():
    fs = HfFileSystem(token=os.environ["TOKEN_ADA"])
    with fs.open("ada/model/written/by-fs.txt", "w") as file:
        file.write("through fsspec")
    assert fs.read_text("ada/model/written/by-fs.txt") == "through fsspec"
    assert fs.glob("ada/model/written/*.txt") == ["ada/model/written/by-fs.txt"]
    with fs.open("ada/model/copy.safetensors", "rb") as file:
        file.seek(1_500_000)
        assert file.read(1000) == WEIGHTS[1_500_000:1_501_000]
    fs.mv("ada/model/written/by-fs.txt", "ada/model/moved.txt")
    assert fs.exists("ada/model/moved.txt") and not fs.exists("ada/model/written/by-fs.txt")
    fs.rm("ada/model/moved.txt")
    assert not fs.exists("ada/model/moved.txt")


def flow_rename_and_squash():
    ada().create_repo("ada/old-name")
    for number in range(3):
        ada().upload_file(repo_id="ada/old-name", path_in_repo="w.bin", path_or_fileobj=os.urandom(100 + number))
    ada().move_repo("ada/old-name", "ada/new-name")
    assert ada().model_info("ada/old-name").id == "ada/new-name"
    assert len(ada().list_repo_commits("ada/new-name")) == 4
    ada().super_squash_history("ada/new-name")
    assert len(ada().list_repo_commits("ada/new-name")) == 1
    assert len(Path(hf_hub_download("ada/new-name", "w.bin")).read_bytes()) == 102
    assert len(list(ada().list_lfs_files("ada/new-name"))) == 1


def flow_eight_clients_at_once():
    contents = [os.urandom(1_000_000) for _ in range(8)]

    def push(number: int) -> None:
        api = ada() if number % 2 else ben()
        repo = api.create_repo(f"at-once-{number}").repo_id
        api.upload_file(repo_id=repo, path_in_repo="model.safetensors", path_or_fileobj=contents[number])
        path = hf_hub_download(repo, "model.safetensors", token=api.token)
        assert Path(path).read_bytes() == contents[number]

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(push, range(8)))


def flow_eight_commits_to_one_repository():
    ada().create_repo("ada/busy")
    gate = threading.Barrier(8)
    head = ada().model_info("ada/busy").sha

    def add(number: int, parent: str | None) -> bool:
        gate.wait()
        operation = [CommitOperationAdd(f"{parent is None}-{number}.txt", b"%d" % number)]
        try:
            ada().create_commit("ada/busy", operation, commit_message="add", parent_commit=parent)
            return True
        except HfHubHTTPError as error:
            assert error.response.status_code == 412
            return False

    with ThreadPoolExecutor(8) as clients:
        assert sum(clients.map(lambda number: add(number, head), range(8))) == 1
        assert all(clients.map(lambda number: add(number, None), range(8)))
    assert len(ada().list_repo_files("ada/busy")) == 1 + 1 + 8
    assert len(ada().list_repo_commits("ada/busy")) == 1 + 1 + 8


def flow_the_hf_command():
    hf = str(Path(sys.executable).with_name("hf"))
    text = FOLDER / "cli.txt"
    text.write_text("from the command line")

    def command(*words: str) -> str:
        done = subprocess.run([hf, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "ada" in command("auth", "whoami")
    command("upload", "ada/from-cli", str(text), "cli.txt", "--private")
    command("download", "ada/from-cli", "cli.txt", "--local-dir", str(FOLDER / "by-cli"))
    assert (FOLDER / "by-cli" / "cli.txt").read_text() == "from the command line"
    assert ada().model_info("ada/from-cli").private


def flow_paths_that_would_leave_the_folder_are_refused():
    for path in ("../x", "/x", "a/../../x", ".git/config", "a/.GIT/x", "a\\b", "nul\0", "a//b", "C:/x", "x" * 300, "."):
        operation = CommitOperationAdd("fine.txt", b"x")
        operation.path_in_repo = path  # the client refuses some of these itself; the server must refuse them all
        with pytest.raises(HfHubHTTPError) as caught:
            ada().create_commit("ada/model", [operation], commit_message="out")
        assert caught.value.response.status_code == 422


if __name__ == "__main__":
    run(globals())
