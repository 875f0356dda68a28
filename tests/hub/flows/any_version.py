"""What every version of huggingface_hub does against the server: run by an interpreter that has that version alone.

It imports nothing of this repository: the environment names the server, two tokens, and the version that is meant.
"""

import os
import sys
import tempfile
from pathlib import Path

import huggingface_hub
from huggingface_hub import CommitOperationAdd, HfApi, HfFileSystem, snapshot_download
from huggingface_hub.utils import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

assert huggingface_hub.__version__.startswith(sys.argv[1]), huggingface_hub.__version__
ADA, BEN = HfApi(token=os.environ["TOKEN_ADA"]), HfApi(token=os.environ["TOKEN_BEN"])
REPO = sys.argv[2]
WEIGHTS = os.urandom(3_000_000)


def fails(kind, call, words: str = "") -> None:
    try:
        call()
    except kind as error:
        assert words in str(error), error
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def main() -> None:
    assert ADA.whoami()["name"] == "ada"
    ADA.create_repo(REPO)
    folder = Path(tempfile.mkdtemp())
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    ADA.upload_folder(repo_id=REPO, folder_path=folder, commit_message="first")
    ADA.upload_file(repo_id=REPO, path_in_repo="more.bin", path_or_fileobj=WEIGHTS[:1_500_000])
    assert ADA.model_info(REPO).card_data.license == "mit"
    assert [one.title for one in ADA.list_repo_commits(REPO)][1:] == ["first", "initial commit"]
    place = Path(snapshot_download(REPO, token=BEN.token))
    assert (place / "model.safetensors").read_bytes() == WEIGHTS
    assert HfFileSystem(token=BEN.token).read_bytes(f"{REPO}/more.bin") == WEIGHTS[:1_500_000]
    opened = BEN.create_commit(REPO, [CommitOperationAdd("b.txt", b"b")], commit_message="add", create_pr=True)
    ADA.merge_pull_request(REPO, opened.pr_num)
    assert ADA.file_exists(REPO, "b.txt")
    ADA.move_repo(REPO, f"{REPO}-renamed")
    assert BEN.model_info(REPO).id == f"{REPO}-renamed"
    assert Path(BEN.hf_hub_download(REPO, "b.txt")).read_bytes() == b"b"
    fails(EntryNotFoundError, lambda: BEN.hf_hub_download(REPO, "never.txt"))
    fails(RepositoryNotFoundError, lambda: BEN.model_info("ada/never"))
    ADA.update_repo_settings(f"{REPO}-renamed", gated="manual")
    fails(GatedRepoError, lambda: BEN.hf_hub_download(f"{REPO}-renamed", "more.bin", cache_dir=tempfile.mkdtemp()))
    fails(HfHubHTTPError, lambda: BEN.delete_repo(f"{REPO}-renamed"), "may not write")
    ADA.delete_repo(f"{REPO}-renamed")


def with_xet() -> None:
    """Uploads where nobody switched Xet off: what falls back works, and what does not says what to set."""
    ADA.create_repo(REPO)
    try:
        ADA.upload_file(repo_id=REPO, path_in_repo="x.bin", path_or_fileobj=WEIGHTS)
    except Exception as error:  # noqa: BLE001
        assert "HF_HUB_DISABLE_XET=1" in str(error), error
        print("told")
    else:
        assert Path(ADA.hf_hub_download(REPO, "x.bin")).read_bytes() == WEIGHTS
        print("fell back")


if __name__ == "__main__":
    with_xet() if sys.argv[3:] == ["xet"] else main()
