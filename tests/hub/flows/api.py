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
    BadRequestError,
    EntryNotFoundError,
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
    assert not ada().repo_exists("ada/old-name")
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
        with pytest.raises(BadRequestError):
            ada().create_commit("ada/model", [operation], commit_message="out")


if __name__ == "__main__":
    run(globals())
