"""Hub mode, end to end, without the internet: a Hub server on loopback stands in for the real one.

Under every id of the catalog it serves what the course has offline, at the pinned revision; the notebooks then take the
path that a connected reader takes: ids, revisions, downloads, a cache that starts empty, and no token. (That every
chapter asks for the pinned revision is held by tests/chapters/test_authoring.py.)
"""

import json
import os
import subprocess
import sys

import pytest
from huggingface_hub import HfApi, constants

from labs_utils.hub_server.auth import add_user
from labs_utils.hub_server.server import Running, environment, serving
from labs_utils.materials import catalog
from labs_utils.paths import ROOT

RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}).execute()
print("ran", len(notebook.cells), "cells")
"""


def publish(running: Running, tokens: dict, kind: str, role: str, entry: dict) -> None:
    """Put a role's files under its id, in a commit that is called like the pinned one."""
    owner, name = entry["hub"].split("/")
    api, which = HfApi(running.endpoint, token=tokens[owner]), {"repo_id": entry["hub"], "repo_type": kind[:-1]}
    api.create_repo(**which)
    folder = (catalog.checkpoint if kind == "models" else catalog.dataset)(role)
    given = api.upload_folder(folder_path=str(folder), **which).oid
    with running.store.database.writing() as db:  # no client can choose a commit's id
        repo = db.execute("SELECT id FROM repos WHERE owner = ? AND name = ?", (owner, name)).fetchone()["id"]
        for table, column in (("commits", "id"), ("snapshots", "commit_id"), ("refs", "commit_id")):
            db.execute(
                f"UPDATE {table} SET {column} = ? WHERE repo = ? AND {column} = ?", (entry["revision"], repo, given)
            )


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The environment of a reader in hub mode, whose Hub is a server on loopback that has every id of the catalog."""
    published = [
        (kind, role, entry) for kind in ("models", "datasets") for role, entry in catalog.entries()[kind].items()
        if "hub" in entry
    ]  # fmt: skip
    with serving(tmp_path_factory.mktemp("hub")) as running, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # uploads go the LFS way, which this server speaks
        owners = {entry["hub"].partition("/")[0] for _, _, entry in published}
        tokens = {owner: add_user(running.store.database, owner) for owner in owners}
        for kind, role, entry in published:
            publish(running, tokens, kind, role, entry)
        own = {"LABS_MODE": "hub", "HF_HOME": str(tmp_path_factory.mktemp("cache")), "LABS_STRICT": "1"}
        anyone = {k: v for k, v in (os.environ | environment(running.endpoint, "") | own).items() if k != "HF_TOKEN"}
        yield anyone


def test_a_chapter_runs_in_hub_mode(hub, tmp_path):
    """Chapter 11 loads, streams and maps data sets, with two encoders and their tokenizers."""
    command = [sys.executable, "-c", RUN, str(ROOT / "solutions" / "11_datasets.ipynb"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=hub)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("ran ")


LOAD = """
import json, sys
import labs_utils as lab
lab.start("00")
import transformers
from datasets import load_dataset
from huggingface_hub import hf_hub_download
models, sets, told = *json.loads(sys.argv[1]), {}
for role in models:
    source = lab.checkpoint(role)
    config = transformers.AutoConfig.from_pretrained(source, revision=source.revision)
    kind = getattr(transformers, config.architectures[0])
    model, info = kind.from_pretrained(source, revision=source.revision, output_loading_info=True)
    words = transformers.AutoTokenizer.from_pretrained(source, revision=source.revision)("A sentence.")["input_ids"]
    path = hf_hub_download(source, "config.json", revision=source.revision)
    missing = [name for name in info["missing_keys"] if "pooler" not in name]  # an encoder may come without one
    told[role] = [source, path.split("snapshots")[1][1:41], len(missing), len(words)]
for role in sets:
    source = lab.dataset(role)
    rows = load_dataset(source, revision=source.revision)["train"]
    told[role] = [source, rows.features["label"].names[0]]
print(json.dumps(told))
"""


def test_every_id_loads_at_its_pinned_revision(hub):
    """Each model with the head that its checkpoint names, with its tokenizer; and each data set."""
    listed = catalog.entries()
    models = {role: entry for role, entry in listed["models"].items() if "hub" in entry}
    sets = {role: entry for role, entry in listed["datasets"].items() if "hub" in entry}
    command = [sys.executable, "-c", LOAD, json.dumps([list(models), list(sets)])]
    done = subprocess.run(command, capture_output=True, text=True, env=hub)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    for role, entry in models.items():
        source, commit, missing, words = told[role]
        assert (source, commit, missing) == (entry["hub"], entry["revision"], 0) and words > 1, role
    assert {role: told[role][0] for role in sets} == {role: entry["hub"] for role, entry in sets.items()}
    assert told["emotion"][1] == "sadness"
