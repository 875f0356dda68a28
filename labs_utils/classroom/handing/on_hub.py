"""What a class asks of its Hub, through `huggingface_hub` in a process of its own.

That library reads its address and whether it may open a connection when it is imported, and `lab.start` has told it
no. So a kernel in offline mode asks here, and stays offline. The token goes through the environment: a command line
can be read by everybody on a machine.
"""

import json
import os
import subprocess
import sys
from pathlib import PurePosixPath
from typing import Any

from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT, cache

HANDED_IN, TAKEN_BACK = "Hand in ", "Take back "  # how the titles of commits begin; the notebook's name follows
_PATIENCE = 300  # seconds for one call: a large notebook over a slow line


def ask(endpoint: str, token: str, action: str, **given: Any) -> Any:
    """Do one of `ACTIONS` on the Hub at `endpoint`, and return what it returns.

    Raises:
        WorkbookError: there is no Hub at the address, it does not know the token, or it refuses; the sentence says
            which.
    """
    from labs_utils.hub_server.server import environment

    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"HF_HOME": str(cache() / "huggingface-class"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": path}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__],  # -P: a file of the student's, such as json.py, is no library
            input=json.dumps({"action": action, "given": given}),
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, **environment(endpoint, token), **own, "PYTHONUTF8": "1"},
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise WorkbookError(f"The Hub at {endpoint} did not answer within {_PATIENCE} seconds. Try again.") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = "\n".join(done.stderr.splitlines()[-3:])
        raise WorkbookError(f"The Hub at {endpoint} could not be asked. Try again. It said:\n{last}") from None
    if "sentence" in answer:
        raise WorkbookError(answer["sentence"])
    return answer["result"]


def push_folder(api, repo: str, folder: str, message: str) -> str:
    """Make a public data set hold what a folder holds, and nothing else; return the commit."""
    api.create_repo(repo, repo_type="dataset", exist_ok=True)
    what = {"repo_id": repo, "repo_type": "dataset", "folder_path": folder, "delete_patterns": "*"}
    return api.upload_folder(**what, commit_message=message).oid


def hand_in(api, group: str, path: str, file: str, sha256: str) -> dict:
    """Commit a file to the student's private data set, made at first use; the same once more is no new commit."""
    user, repo = _own(api, group)
    stem = PurePosixPath(path).stem
    api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
    if not api.repo_info(repo, repo_type="dataset").private:  # made by hand, under this name
        api.update_repo_settings(repo, repo_type="dataset", private=True)
    titles = HANDED_IN + stem, TAKEN_BACK + stem
    made = next((one for one in _commits(api, repo) if one["title"] in titles), {})
    again = made.get("sha256") == sha256
    if not again:
        what = {"repo_id": repo, "repo_type": "dataset", "path_or_fileobj": file, "path_in_repo": path}
        commit = api.upload_file(**what, commit_message=titles[0], commit_description=f"sha256: {sha256}").oid
        made = next(one for one in _commits(api, repo) if one["commit"] == commit)
    return made | {"user": user, "repo": repo, "again": again}


def handed_in(api, group: str) -> list[dict]:
    """What the student handed in and took back, the last first."""
    found = _commits(api, _own(api, group)[1])
    return [one for one in found if one["title"].startswith((HANDED_IN, TAKEN_BACK))]


def take_back(api, group: str, chapter: str) -> bool:
    """Delete a chapter's notebook, or "all"; return whether all is gone, with every earlier version."""
    from huggingface_hub.errors import RepositoryNotFoundError

    repo = _own(api, group)[1]
    try:
        paths = [one for one in api.list_repo_files(repo, repo_type="dataset") if one.endswith(".ipynb")]
    except RepositoryNotFoundError:
        raise WorkbookError("You have handed in nothing: there is nothing to take back.") from None
    chosen = [one for one in paths if chapter in ("all", one.partition("/")[0])]
    if not chosen and chapter != "all":
        there = ", ".join(sorted(one.partition("/")[0] for one in paths))
        raise WorkbookError(f"You have not handed in chapter {chapter!r}. Handed in is: {there}.")
    if chosen == paths:
        api.delete_repo(repo, repo_type="dataset")
        return True
    for path in chosen:
        api.delete_file(path, repo, repo_type="dataset", commit_message=TAKEN_BACK + PurePosixPath(path).stem)
    return False


def _own(api, group: str) -> tuple[str, str]:
    """The user whose token this is, and the data set that holds what they hand in to their class."""
    me = api.whoami()
    groups = [one["name"] for one in me.get("orgs", [])]
    if group and group not in groups:
        raise WorkbookError(f"LABS_CLASS is {group!r}, and you are in: {', '.join(groups) or 'no class'}.")
    if not group and len(groups) != 1:
        known = (
            f"You are in several classes: {', '.join(groups)}" if groups else "The Hub knows no class that you are in"
        )
        raise WorkbookError(f"{known}. Set LABS_CLASS to the class that you hand in to, or ask your teacher.")
    return me["name"], f"{group or groups[0]}/{me['name']}-hand-in"


def _commits(api, repo: str) -> list[dict]:
    """The commits of a data set, the last first; none where there is no such data set."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.list_repo_commits(repo, repo_type="dataset")
    except RepositoryNotFoundError:
        return []
    return [
        {
            "title": one.title,
            "sha256": one.message.removeprefix("sha256: ").strip(),
            "commit": one.commit_id,
            "time": one.created_at.isoformat(),
        }
        for one in found
    ]


ACTIONS = {one.__name__: one for one in (push_folder, hand_in, handed_in, take_back)}


def _answer(order: dict) -> dict:
    """What `ask` reads: the result, or a sentence."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = os.environ["HF_ENDPOINT"]
    try:
        api = HfApi(endpoint=endpoint, token=os.environ["HF_TOKEN"])
        return {"result": ACTIONS[order["action"]](api, **order["given"])}
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            return {"sentence": f"The Hub at {endpoint} does not know the token. Ask your teacher for a new one."}
        told = error.server_message or f"it answers {error.response.status_code}"
        return {"sentence": f"The Hub at {endpoint} refuses: {told}"}
    except WorkbookError as error:
        return {"sentence": str(error)}
    except Exception as error:
        # Whichever httpx the library asks with: its errors are no OSErrors.
        if not isinstance(error, OSError) and not type(error).__module__.startswith("httpx"):
            raise
        return {"sentence": f"There is no Hub at {endpoint}, or it can't be reached: {error}"}


if __name__ == "__main__":
    print(json.dumps(_answer(json.load(sys.stdin))))
