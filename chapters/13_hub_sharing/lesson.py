# %% [markdown]
# # 13 Sharing on a Hub
#
# You put a model, its data and its demo on a Hub that runs on your own machine, and get them back: one file, a choice
# of files or all of them, at any version, in Python and in a terminal.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | log in, create a repository and push a model, a tokenizer, files, folders and whole commits | 2 hours | chapters 04, 05 and 11 |
# | download exactly the files and the revision that you want, in Python and with `hf` | | |
# | read a cache and a pointer file | | |
# | tag, branch, propose, merge and revert | | |
# | write a model card with measured figures, share a data set, and find a checkpoint by its tags | | |
# | read the six errors that everybody meets, and say what to change for the real Hub | | |

# %%
import labs_utils as lab
lab.start("13")

# %% [markdown]
# Many tutorials end with "now log in and push". You can do that right here. The next cell starts a small **Hub of your
# own** on this machine. It speaks the same language over HTTP as the Hub at `huggingface.co`, so that the real
# libraries work with it, unchanged. Nothing leaves this machine. It must come before the libraries are imported,
# because they read then where the Hub is. If it doesn't answer later (the machine was restarted, or nobody asked it
# for an hour), run this cell again: what you have pushed is still there.
#
# (If your teacher gave you a `LABS_HUB`, the same cell takes you to the Hub of your class instead. Others see there
# what is public, and the second user of section 13.11 is missing.)

# %%
practice = True  # False, with LABS_MODE=hub: your account on the real Hub (section 13.14)
hub = lab.hub() if practice else None
own_hub = practice and not hub.is_shared  # False on the Hub of a class
hub

# %%
import os
import sys
import tempfile
from pathlib import Path

import datasets
import matplotlib.pyplot as plt
import pandas as pd
import torch
import transformers
from datasets import load_dataset
from huggingface_hub import HfApi, get_token, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

# %%
transformers.logging.set_verbosity_error()
datasets.logging.set_verbosity_error()
datasets.disable_progress_bars()
pd.set_option("display.max_colwidth", 90)
box = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
work = Path(box.name)  # a scratch folder; it goes when the kernel goes

# %% [markdown]
# ## 13.1 Who am I?
# <!-- T200 -->
# A Hub knows you by a **token**: a long random word that your program sends with its requests. Before you run this:
# your kernel has one already. Who gave it to you, and what may it do?

# %%
api = HfApi()
me = api.whoami()
user = me["name"]
user, me["auth"]["accessToken"]["role"], api.endpoint

# %% [markdown]
# `lab.hub()` made the user and the token, and put the token into the environment variable `HF_TOKEN`. It is a *write*
# token. A *read* token downloads your private repositories and changes nothing: give that one to a program that only
# reads.
#
# A token is a password. So look at it without showing it:

# %%
token = get_token()
print(f"{token[:3]}{'•' * (len(token) - 3)}  {len(token)} characters")

# %% [markdown]
# On your own computer you log in once: `hf auth login` in a terminal, or `login()` in Python. Both check the token with
# the Hub and write it to a file, which the libraries find later. Before you run this: which of the two tokens counts,
# the file's or the variable's?

# %%
from huggingface_hub import constants, login, logout

if practice:  # on the real Hub this would log you out
    login(token=token)
    saved = Path(constants.HF_TOKEN_PATH)
    print("the file has", len(saved.read_text("utf-8")), "characters")
    saved.write_text("hf_somebodyElses", "utf-8")  # now the file and the variable differ
    print("the variable's counts:", get_token() == token)
    with lab.expect_error(OSError):
        logout()
    print("the file is there:", saved.exists(), "| the variable's counts:", get_token() == token)

# %% [markdown]
# The variable counts, whatever the file holds. After `logout()` the file is gone, and you are still logged in; the
# library says so, with a note at the login and an error at the logout. An argument `token=…` counts more than both:
# section 13.11 uses it. Don't write a token into a notebook. A notebook is easily shared, with all that is in it.
#
# The chapter begins with a clean table, so that you can run it as often as you like. It only deletes repositories that
# have the names of its own. Its sections build on one another: after a restart, begin at the first cell.

# %%
repo, notes, secret, gated = (f"{user}/workbook-{name}" for name in ("topics", "notes", "secret", "gated"))
table = f"{user}/workbook-topics-data"
demo_repo = f"{user}/workbook-demo"
shelf = [f"{user}/workbook-shelf-{name}" for name in ("mask-fr", "topics-en", "topics-fr")]
for name in (repo, notes, secret, gated, *shelf):
    api.delete_repo(name, missing_ok=True)
api.delete_repo(table, repo_type="dataset", missing_ok=True)
api.delete_repo(demo_repo, repo_type="space", missing_ok=True)

# %% [markdown]
# ## 13.2 Something worth sharing
# <!-- T200 -->
# You need a model. Here is one that costs little to train: the encoder stays as it is, and a new linear head learns to
# tell eight topics apart. Before you run this: one in eight would be guessing. How many will the head get right on
# texts that it has not seen?

# %%
from transformers import AutoModelForSequenceClassification, AutoTokenizer

encoder, topics = lab.checkpoint("encoder"), lab.dataset("topics")
data = load_dataset(topics, revision=topics.revision)
labels = data["train"].features["label"].names
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
torch.manual_seed(0)
classifier = AutoModelForSequenceClassification.from_pretrained(
    encoder, revision=encoder.revision, num_labels=len(labels), dtype=torch.float32
).eval()
print(data["train"].num_rows, "texts to learn from,", data["test"].num_rows, "held out:", *labels)

# %%
def encode(texts: list[str]):
    """A batch of texts as tensors, cut after 24 tokens."""
    return tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="pt")

@torch.no_grad()
def pooled(split) -> torch.Tensor:
    """What the frozen encoder says about each text: [texts, width]."""
    parts = [split["text"][start : start + 58] for start in range(0, len(split), 58)]
    return torch.cat([classifier.bert(**encode(part)).pooler_output for part in parts])

known, answers = pooled(data["train"]), torch.tensor(data["train"]["label"][:])
fresh, truth = pooled(data["test"]), torch.tensor(data["test"]["label"][:])
known.shape, fresh.shape

# %%
head = classifier.classifier
optimizer = torch.optim.AdamW(head.parameters(), lr=0.02)
held_out = []
for _ in range(60):
    loss = torch.nn.functional.cross_entropy(head(known), answers)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        guesses = head(fresh).argmax(dim=-1)
    held_out.append((guesses == truth).float().mean().item())
accuracy = held_out[-1]

# %% [markdown]
# The encoder read every text once; the head then trained on what it said, sixty times over. The right end of the next
# curve is the model that you are going to share.

# %%
figure, axes = plt.subplots()
axes.plot(range(1, 61), held_out, color="#0072B2")
axes.axhline(1 / len(labels), color="#D55E00", linestyle="--")
axes.annotate("guessing", (60, 1 / len(labels)), va="bottom", ha="right", color="#D55E00")
axes.set(xlabel="steps", ylabel="accuracy on held-out texts", ylim=(0, 1))
axes.set_title(f"A new head on a frozen encoder: {accuracy:.2f} after 60 steps")
assert accuracy > 0.5

# %% [markdown]
# Look at the distance to the dashed line: the head is right far more often than chance. Remember the number in the
# title: it goes on the model card.

# %% [markdown]
# ## 13.3 Push
# <!-- T200 -->
# A **repository** is a folder with a history. Its name is `owner/name`. Before you run this: which files will a model
# need there, so that somebody else can load it with one line?

# %%
api.delete_repo(repo, missing_ok=True)  # so that you can run this cell twice
url = api.create_repo(repo)
print(url.repo_id, url.repo_type, url.url)
again = api.create_repo(repo, exist_ok=True)  # without exist_ok: an error, see section 13.11
again == url

# %%
pushed = classifier.push_to_hub(repo, commit_message="A topic classifier")
tokenizer.push_to_hub(repo, commit_message="Its tokenizer")
print(type(pushed).__name__, pushed.oid[:8], pushed.commit_message)
sorted(api.list_repo_files(repo))

# %% [markdown]
# Two commits. (A card, `README.md`, came along: the library's form, to be filled in. Section 13.9 does. And if you run
# the cell again, the library says that nothing was modified: there is nothing to commit.) `push_to_hub` is
# `save_pretrained` into a temporary folder, then an upload of that folder; if the repository is not there yet, it makes
# one. Both halves wrote what they need. The weights come as `model.safetensors`.
#
# Which file is how large?

# %%
files = {one.path: one for one in api.list_repo_tree(repo, recursive=True)}
sizes = pd.Series({path: one.size for path, one in files.items()}).sort_values()
colours = ["#E69F00" if files[path].lfs else "#0072B2" for path in sizes.index]
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.barh(sizes.index, sizes, color=colours)
axes.set(xscale="log", xlabel="bytes (logarithmic)")
axes.grid(axis="y", visible=False)
axes.set_title("One file is nearly all of the repository");

# %% [markdown]
# Look at the orange bar: this is an **LFS** file, for *large file storage*. A line in `.gitattributes` says which
# endings go there. Section 13.7 shows what Git keeps in their place. Blue files are kept as they are.
#
# A Hub has pages, too, for people: put `url` into a cell of its own, and open the address in your browser. What stands
# on the page of the files?

# %%
import re
from huggingface_hub import get_session

page = get_session().get(f"{api.endpoint}/{repo}/tree/main")
title = re.search("<title>(.*?)</title>", page.text, re.DOTALL)[1].strip()
print(page.status_code, "|", title, "|", *[name for name in files if name in page.text])

# %% [markdown]
# <!-- T324 -->
# Now be somebody else. "You need a token before you can download": you may have read this. Is it so? Ask without one.

# %%
config_file = hf_hub_download(repo, "config.json", token=False, cache_dir=work / "nobody")
Path(config_file).name, Path(config_file).stat().st_size

# %% [markdown]
# A public file is for everybody. A token is needed to write, and to read what is private or gated (section 13.11). So
# load the model by its name:

# %%
from transformers import pipeline

topic = pipeline("text-classification", repo)
sentence = "The striker scored twice in the last ten minutes of the match."
mine, theirs = classifier.state_dict(), topic.model.state_dict()
assert all(torch.equal(mine[name], theirs[name]) for name in mine)
topic(sentence)

# %% [markdown]
# Every weight came back bit by bit as it went. But its answer is `LABEL_0`, and only you know what that means. You
# forgot the names of the labels. Section 13.5 mends it, with a history that shows it.

# %% [markdown]
# ## 13.4 Files, folders, commits
# <!-- T200 -->
# A repository takes any file, not only models. Meet three calls: one file, one folder, and a commit that you put
# together yourself. Before you run this: how many commits will three files in a folder make?

# %%
api.delete_repo(notes, missing_ok=True)  # so that you can run this cell twice
api.create_repo(notes)
monday = b"Monday: pushed a model.\n"
api.upload_file(repo_id=notes, path_in_repo="diary.txt", path_or_fileobj=monday)
folder = work / "notes"
(folder / "figures").mkdir(parents=True, exist_ok=True)
for name in ("plan.md", "figures/first.csv", "figures/draft.tmp"):
    (folder / name).write_text(f"{name}\n", "utf-8")
api.upload_folder(repo_id=notes, folder_path=folder, ignore_patterns="*.tmp", commit_message="My folder")
print(*[one.title for one in api.list_repo_commits(notes)], sep=" | ")  # the newest first
api.list_repo_files(notes)

# %% [markdown]
# One commit for the whole folder, without the `.tmp` file. (The oldest commit came with the repository.)
#
# `create_commit` takes a list of operations. This one adds, copies and deletes at once:

# %%
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

tidy = [
    CommitOperationAdd("diary.txt", monday + b"Tuesday: tidied up.\n"),
    CommitOperationCopy("figures/first.csv", "tables/first.csv"),
    CommitOperationDelete("figures/"),
]
if "figures/first.csv" in api.list_repo_files(notes):  # it is not, when you run this cell twice
    api.create_commit(notes, tidy, commit_message="Tidy up")
api.list_repo_files(notes)

# %% [markdown]
# A commit is all or nothing. If one of its operations can't be done, what becomes of the others?

# %%
half = [CommitOperationAdd("half.txt", b"half\n"), CommitOperationDelete("not-there.txt")]
with lab.expect_error(HfHubHTTPError):
    api.create_commit(notes, half, commit_message="One of two can't be done")
"half.txt" in api.list_repo_files(notes)

# %% [markdown]
# Nothing was written. And what does a push send that is there already? Push the model again, unchanged, and count the
# commits and the bytes that go out.

# %%
before, sent = len(api.list_repo_commits(repo)), []
watch = lambda request: sent.append(int(request.headers.get("content-length", 0)))
get_session().event_hooks["request"].append(watch)
classifier.push_to_hub(repo)
get_session().event_hooks["request"].remove(watch)
print("commits:", before, "before,", len(api.list_repo_commits(repo)), "after")
print(f"{sum(sent):,} bytes sent, for a repository of {sum(sizes):,}")

# %% [markdown]
# No new commit, and the library says so. A few kilobytes went out, for many megabytes of weights: the client computes a
# hash of each file and asks first, and what the Hub has by that hash is not sent again.

# %% [markdown]
# ## 13.5 Tags, branches, proposals, and the way back
# <!-- T208 -->
# Now give the labels their names. Before that, set a **tag** on the version that people may already use. Before you run
# this: which of the two can move later, a tag or a branch?

# %%
api.create_tag(repo, tag="v1.0", tag_message="labels without names", exist_ok=True)
classifier.config.id2label = dict(enumerate(labels))
classifier.config.label2id = {name: place for place, name in enumerate(labels)}
classifier.config.push_to_hub(repo, commit_message="Name the labels")
api.create_tag(repo, tag="v1.1", exist_ok=True)
pipeline("text-classification", repo)(sentence)

# %% [markdown]
# Only `config.json` changed. A **branch** moves on with each commit; a **tag** stays where it is. And a **pull
# request** is a proposal: a commit beside `main` that waits until the owner takes it. Make one of each.

# %%
api.create_branch(repo, branch="experiment", revision="v1.0", exist_ok=True)
idea = [CommitOperationAdd("idea.txt", b"Five topics?\n")]
api.create_commit(repo, idea, commit_message="An idea", revision="experiment")
credit = [CommitOperationAdd("CREDITS.md", b"The texts were written for a course.\n")]
proposal = api.create_commit(repo, credit, commit_message="Give credit", create_pr=True)
proposal.pr_num, proposal.pr_revision, "CREDITS.md" in api.list_repo_files(repo)

# %% [markdown]
# The proposal has a number and a name that you can download, but `main` does not have the file. Then, on a Friday
# afternoon, somebody pushes a config with the labels in the wrong order:

# %%
import json

config = json.loads(Path(hf_hub_download(repo, "config.json")).read_text("utf-8"))
config["id2label"] = dict(enumerate(reversed(labels)))
config["label2id"] = {name: place for place, name in config["id2label"].items()}
wrong = json.dumps(config, indent=2).encode()
api.create_commit(repo, [CommitOperationAdd("config.json", wrong)], commit_message="Friday")
for revision in ("main", "v1.1"):
    print(revision, pipeline("text-classification", repo, revision=revision)(sentence))

# %% [markdown]
# The same weights, the same score, another word, and no error anywhere. Whoever wrote `revision="v1.1"` did not notice.
# That is why the notebooks of this course load checkpoints with `revision=`.
#
# Going back does not mean to delete. You make a **new** commit with the old file:

# %%
good = api.model_info(repo, revision="v1.1").sha
back = CommitOperationCopy("config.json", "config.json", src_revision=good)
api.create_commit(repo, [back], commit_message="Revert Friday")
if api.get_discussion_details(repo, proposal.pr_num).status == "open":  # it is merged, when you run this twice
    api.merge_pull_request(repo, proposal.pr_num)
assert pipeline("text-classification", repo)(sentence)[0]["label"] == "sports"
pd.DataFrame([{"commit": one.commit_id[:8], "title": one.title} for one in api.list_repo_commits(repo)])

# %% [markdown]
# The newest is on top. Nothing is lost, Friday included, and the proposal is in. Here is the same history as a picture.

# %%
refs = api.list_repo_refs(repo, include_pull_requests=True)
names = ["main", "experiment", *[one.ref for one in refs.pull_requests]]
tags = {one.target_commit: one.name for one in refs.tags}
lines = {name: api.list_repo_commits(repo, revision=name)[::-1] for name in names}  # oldest first
times = sorted({(one.created_at, one.commit_id) for line in lines.values() for one in line})
x = {commit: place for place, (_, commit) in enumerate(times)}
y = {}  # a commit belongs to the first line that has it
for row, line in enumerate(lines.values()):
    y |= {one.commit_id: row for one in line if one.commit_id not in y}

# %%
figure, axes = plt.subplots(figsize=(9, 3.6))
for row, (name, line) in enumerate(lines.items()):
    ids = [one.commit_id for one in line]
    axes.step([x[one] for one in ids], [y[one] for one in ids], "o-", where="pre", zorder=-row)
    axes.text(-0.4, row, name, ha="right", va="center")
    for one in line:
        if y[one.commit_id] == row:
            label = f"{one.title}\n{tags.get(one.commit_id, '')}"
            axes.text(x[one.commit_id], row - 0.15, label, rotation=30, va="bottom", fontsize=8)
axes.set(xlim=(-1.8, len(x) + 0.5), ylim=(len(lines) - 0.6, -1.7), yticks=[], xticks=[], xlabel="commits, oldest first")
axes.spines["left"].set_visible(False)
axes.set_title("Tags stay, branches move, a proposal stands beside main");

# %% [markdown]
# Look where the lower lines leave the upper one: the experiment starts at `v1.0`, the proposal at the commit that was
# newest when it was made. The merge put the proposal's change on top of `main`.

# %% [markdown]
# ## 13.6 Download what you want, at the version you want
# <!-- T201 -->
# `hf_hub_download` gets one file and returns where it lies. Its `revision` can be a tag, a branch, a pull request or a
# commit. Before you run this: how many **different** contents of `config.json` will the four bring?

# %%
cache = work / "cache"
rows = []
for revision in ("v1.0", "main", proposal.pr_revision, good):
    path = Path(hf_hub_download(repo, "config.json", revision=revision, cache_dir=cache))
    first = json.loads(path.read_text("utf-8"))["id2label"]["0"]
    rows.append([revision[:12], path.parent.name[:8], first, path.resolve().name[:8]])
pd.DataFrame(rows, columns=["revision", "commit", "label 0", "blob"])

# %% [markdown]
# Four revisions, four commits, two contents. You have all four files now. Before you run this: which of them will the
# library get a second time without a word to the Hub?

# %%
asked = []
watch = lambda request: asked.append(request.method)
get_session().event_hooks["request"].append(watch)
for revision in ("main", good):
    before = len(asked)
    hf_hub_download(repo, "config.json", revision=revision, cache_dir=cache)
    print(revision[:8], len(asked) - before, "requests")
get_session().event_hooks["request"].remove(watch)

# %% [markdown]
# A branch is looked up each time: it may have moved. A full commit id can't change its meaning, so that nobody has to
# be asked.
#
# `snapshot_download` gets a whole repository, or the part of it that your patterns choose. Before you run this: which
# calls will leave the weights where they are?

# %%
only = Path(snapshot_download(repo, revision="v1.1", allow_patterns="*.json", cache_dir=cache))
no = ["*.safetensors", ".git*"]
rest = Path(snapshot_download(repo, revision="v1.0", ignore_patterns=no, cache_dir=work / "rest"))
print(sorted(path.name for path in only.iterdir()))
print(sorted(path.name for path in rest.iterdir()))

# %%
plan = snapshot_download(repo, cache_dir=work / "empty", dry_run=True)  # nothing is downloaded
rows = [[one.filename, one.file_size, one.will_download] for one in plan]
pd.DataFrame(rows, columns=["file", "bytes", "would be downloaded"]).sort_values("bytes")

# %% [markdown]
# `dry_run=True` tells you what a download would cost. Look before you fetch a large model.
#
# Many tutorials set `local_dir_use_symlinks=False` to get "normal files". Today `local_dir` alone does that:

# %%
local = Path(snapshot_download(repo, local_dir=work / "my-copy", allow_patterns=["*.json", "*.md"]))
{path.name: path.is_symlink() for path in sorted(local.iterdir()) if path.is_file()}

# %% [markdown]
# Plain files under their own names: for a folder that you want to open, edit or copy. Otherwise leave `local_dir` out:
# in the cache, versions share what they have in common (section 13.7).
#
# <!-- T324 -->
# A download is bytes, whatever they are. A recipe that is often copied loads a model of another library like this:
# `joblib.load(hf_hub_download(…, "sklearn_model.joblib"))`. Before you run this: what can happen while a file is
# loaded?

# %%
import joblib

class Surprise:
    def __reduce__(self):  # what a pickle calls when it is loaded; a stranger can put any call here
        return print, ("This line was printed by the file.",)

joblib.dump(Surprise(), work / "sklearn_model.joblib")
api.upload_file(repo_id=notes, path_in_repo="sklearn_model.joblib", path_or_fileobj=work / "sklearn_model.joblib")
joblib.load(hf_hub_download(notes, "sklearn_model.joblib"))

# %% [markdown]
# Such a file is a **pickle**: loading it runs what its author wrote. Load pickles from people whom you trust with your
# machine. Weights in `safetensors`, as yours are, hold numbers and words, and nothing that runs (chapter 05).
#
# ### Exercise 13.1
# Behind every download is one address: `endpoint/owner/name/resolve/revision/path`. A data set has `datasets/` in front
# of its name, a Space `spaces/`. In the revision, a `/` is written `%2F`, as otherwise nobody would know where it ends;
# `urllib.parse.quote(text, safe="")` does that. In the path, a `/` stays. Write `file_url(endpoint, repo_id, path,
# revision, repo_type)` and return the string. For example, `file_url("http://hub", "ada/cats", "sub/a.txt",
# "refs/pr/3", "dataset")` gives `"http://hub/datasets/ada/cats/resolve/refs%2Fpr%2F3/sub/a.txt"`. The names of files
# hold letters, digits, dots and blanks; a blank is written `%20`. A revision holds no blank: Git forbids it.

# %%
from urllib.parse import quote

quote("refs/pr/3", safe=""), quote("a folder/a file.txt")

# %% tags=["exercise"]
def file_url(endpoint: str, repo_id: str, path: str, revision: str = "main", repo_type: str = "model") -> str:
    """The address at which a Hub gives a file of a repository at a revision."""
    # BEGIN SOLUTION
    folder = {"model": "", "dataset": "datasets/", "space": "spaces/"}[repo_type]
    return f"{endpoint}/{folder}{repo_id}/resolve/{quote(revision, safe='')}/{quote(path)}"
    # END SOLUTION

# %% tags=["check"]
lab.check("13.1", file_url)

# %% [markdown]
# `lab.hint("13.1")` helps.
#
# ### Exercise 13.2
# Write `wanted(files, allow, ignore)`. `files` is a list of paths; `allow` and `ignore` are lists of patterns such as
# `"*.json"`, or `None` for no rule. A file comes if it matches at least one pattern of `allow`, and none of `ignore`.
# `fnmatch.fnmatchcase(path, pattern)` says whether a path matches; its `*` goes across `/`. A pattern that ends with
# `/` means all that is in the folder. Return the list in its order. For example, `wanted(["a.json", "b.bin",
# "onnx/c.json"], ["*.json"], ["onnx/"])` gives `["a.json"]`. Note that an empty list is a rule too: nothing matches it.

# %%
from fnmatch import fnmatchcase

{pattern: fnmatchcase("onnx/c.json", pattern) for pattern in ("*.json", "onnx/", "onnx/*")}

# %% tags=["exercise"]
def wanted(files: list[str], allow: list[str] | None, ignore: list[str] | None) -> list[str]:
    """The files that a download with these patterns brings."""
    # BEGIN SOLUTION
    def matches(path, patterns):
        whole = [pattern + "*" if pattern.endswith("/") else pattern for pattern in patterns]
        return any(fnmatchcase(path, pattern) for pattern in whole)

    chosen = [path for path in files if allow is None or matches(path, allow)]
    return [path for path in chosen if ignore is None or not matches(path, ignore)]
    # END SOLUTION

# %% tags=["check"]
lab.check("13.2", wanted)

# %% [markdown]
# `lab.hint("13.2")` helps.

# %% [markdown]
# ## 13.7 Open the cache
# <!-- T201 T203 T204 -->
# The cache is full of strange names. You may read that its files are *encoded*, that its folders are named by *md5*,
# and that each blob has to be copied back to its real name by hand. Before you run this: what do you expect in `blobs`,
# and what in `snapshots`?

# %%
place = cache / f"models--{repo.replace('/', '--')}"
found = [path for path in sorted((place / "snapshots").rglob("*")) if path.is_file()]
links = [(path.parent.name, path.name, path.resolve().name) for path in found]
names = [path for path in sorted((place / "refs").rglob("*")) if path.is_file()]
refs = {path.relative_to(place / "refs").as_posix(): path.read_text("utf-8") for path in names}
for name, commit in refs.items():
    print(f"refs/{name:10} holds the text {commit}")
blobs = sorted({blob for _, _, blob in links})
linked = all(path.is_symlink() for path in found)  # False on a Windows machine that can't make links
ending = "every content is there once" if linked else "no links on this machine, so that contents repeat"

# %%
height = {blob: row * len(links) / len(blobs) for row, blob in enumerate(blobs)}
figure, axes = plt.subplots(figsize=(9, 0.34 * len(links) + 1.2))
for row, (commit, file, blob) in enumerate(links):
    axes.plot([0, 1], [row, height[blob]], color="#0072B2", linewidth=1.2)
    axes.text(-0.02, row, f"{commit[:8]}/{file}", ha="right", va="center", fontsize=9)
    for name in [name for name, head in refs.items() if head == commit and links[row - 1][0] != commit]:
        axes.text(-0.62, row, name, ha="right", va="center", color="#D55E00", fontsize=9)
for blob in blobs:
    axes.text(1.02, height[blob], f"{blob[:8]}…", va="center", fontsize=9)
axes.set(xlim=(-1.0, 1.35), ylim=(len(links), -1))
axes.axis("off")
axes.set_title(f"refs (orange) → snapshots (left) → blobs (right): {ending}");

# %% [markdown]
# Look for two lines that end at one blob: two snapshots share a file. In `refs`, a name stands for a commit. In
# `snapshots`, there is a folder for each commit, where every file has its own name and is a link. In `blobs` lie the
# contents. (A Windows machine that can't make links has the contents in `snapshots`.) So nothing is encoded, and
# nothing has to be copied back: use the path that the function returns.
#
# What about *md5*? And does a download by hand, with a browser, lose something? Settle both.

# %%
import hashlib
from huggingface_hub import hf_hub_url

weights = Path(hf_hub_download(repo, "model.safetensors"))
address = hf_hub_url(repo, "model.safetensors")  # what a click in a browser asks for
by_hand = get_session().get(address, follow_redirects=True).content
digest = hashlib.sha256(by_hand).hexdigest()
assert by_hand == weights.read_bytes()
assert weights.resolve().name in (digest, weights.name)
assert weights.parent.name == api.model_info(repo).sha
len(by_hand), digest[:12], weights.resolve().name[:12]

# %% [markdown]
# The same bytes: a download by hand loses nothing. What you can do wrong is to forget a file, or to rename one. The
# folder is named by the **commit**, and the blob of an LFS file by the **sha256** of its content. Other blobs carry
# Git's own hash, a sha1 of a short head and the content: `sha1(b"blob " + length in digits + b"\0" + content)`.
#
# ### Exercise 13.3
# Write `blob_name(content, lfs)`: `content` is the bytes of a file, `lfs` says whether it is an LFS file. Return the
# name of its blob, in hexadecimal: the sha256 of the content for LFS, else Git's sha1. For example,
# `blob_name(b"hello\n", False)` gives `"ce013625030ba8dba906f756967f9e9ca394464a"`.

# %% tags=["exercise"]
def blob_name(content: bytes, lfs: bool) -> str:
    """The name under which the cache keeps this content."""
    # BEGIN SOLUTION
    if lfs:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    # END SOLUTION

# %% tags=["check"]
lab.check("13.3", blob_name)

# %% [markdown]
# `lab.hint("13.3")` helps. Now every name in the picture has lost its secret.
#
# ### A pointer instead of weights
# Many download with `git clone`. A clone brings the versions of a file along with its newest one, which is too much for
# large files. So for an LFS file Git keeps a **pointer**: three lines of text. The program `git lfs` puts the content
# in its place afterwards. Without that program, or with `GIT_LFS_SKIP_SMUDGE=1`, you keep the pointer. (Your own Hub
# speaks HTTP only, so there is no `git clone` here.) This is what Git would hold for your weights:

# %%
large = api.get_paths_info(repo, "model.safetensors")[0].lfs
first = "version https://git-lfs.github.com/spec/v1"
pointer = f"{first}\noid sha256:{large.sha256}\nsize {large.size}\n"
assert len(pointer) == large.pointer_size
print(pointer)

# %%
from safetensors import SafetensorError
from safetensors.torch import load_file

(work / "model.safetensors").write_text(pointer, "utf-8", newline="\n")
print(len(pointer), "bytes stand for", f"{large.size:,}")
with lab.expect_error(SafetensorError):
    load_file(work / "model.safetensors")

# %% [markdown]
# The hash in the pointer is the one from above. If weights of about 130 bytes won't load, you have a pointer.
# `snapshot_download` brings one version and the files that you want, and needs no Git.
#
# ### Exercise 13.4
# Write `read_pointer(content)`: `content` is the bytes of a file. If it is an LFS pointer, as printed above, return the
# pair of its sha256 (a string) and its size (an `int`); else return `None`. A pointer **begins** with the whole version
# line; a text that only quotes one, or another *version …*, is no pointer. A real file can be large, or no text at all:
# `content.decode()` would fail on it.

# %% tags=["exercise"]
def read_pointer(content: bytes) -> tuple[str, int] | None:
    """The sha256 and the size that an LFS pointer names; None for any other content."""
    # BEGIN SOLUTION
    if not content.startswith(b"version https://git-lfs.github.com/spec/v1\n"):
        return None
    fields = dict(line.split(" ", 1) for line in content.decode().splitlines())
    return fields["oid"].removeprefix("sha256:"), int(fields["size"])
    # END SOLUTION

# %% tags=["check"]
lab.check("13.4", read_pointer)

# %% [markdown]
# `lab.hint("13.4")` helps.
#
# ### Faster transfers
# For speed, older tutorials install `hf_transfer` and set `HF_HUB_ENABLE_HF_TRANSFER=1`. Before you run this: what does
# the library do with that variable today?

# %%
import importlib.util
import subprocess

fast = {**os.environ, "HF_HUB_ENABLE_HF_TRANSFER": "1"}
command = [sys.executable, "-W", "always", "-c", "import huggingface_hub.constants"]
told = subprocess.run(command, env=fast, capture_output=True, text=True).stderr
print(*[line.partition("Warning: ")[2] for line in told.splitlines() if "hf_transfer" in line])
{name: importlib.util.find_spec(name) is not None for name in ("hf_transfer", "hf_xet")}

# %% [markdown]
# It warns, and goes on without. Its place has **`hf_xet`**: where you see `True`, it came along with the library. By
# its documentation it cuts files into chunks and sends only the chunks that the Hub does not have. It is on by itself;
# the variable that the warning names, `HF_XET_HIGH_PERFORMANCE`, lets it take more of your machine and your connection.
# Your own Hub does not know chunks; `lab.hub()` set `HF_HUB_DISABLE_XET=1`, and your weights went whole, the LFS way.

# %% [markdown]
# ## 13.8 The same from a terminal
# <!-- T202 -->
# Older tutorials use `huggingface-cli`. That program is gone; today's is called **`hf`**. In a terminal you type `hf
# auth whoami`. In this notebook a small function runs the same program and returns what it says.

# %%
def hf(*words: str, **environment: str) -> str:
    """Run `hf` with these words, in the scratch folder, and return what it prints."""
    command = [sys.executable, "-m", "huggingface_hub.cli.hf", *words]
    plain = {**os.environ, "NO_COLOR": "1", "PYTHONUTF8": "1", **environment}
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=work, env=plain)
    assert done.returncode == 0, (done.stderr.strip() or "no message").splitlines()[-1]
    return done.stdout.replace(str(work.resolve()), "…").replace(str(work), "…").strip()

print(hf("auth", "whoami"))

# %%
(work / "from-terminal.txt").write_text("typed, not programmed\n", "utf-8")
print(hf("upload", notes, "from-terminal.txt", "--commit-message", "From a terminal"))
print(hf("download", notes, "from-terminal.txt", "--local-dir", "by-hf"))
print(hf("models", "info", repo, "--expand", "sha,pipeline_tag"))
(work / "by-hf" / "from-terminal.txt").read_text("utf-8")

# %% [markdown]
# <!-- T324 -->
# These commands ask your Hub: they read the same variables as Python, here `HF_ENDPOINT` and `HF_TOKEN`. Which commands
# need no Hub at all? Try some with an address at which nobody answers:

# %%
nowhere = "http://127.0.0.1:9"
print("hf version:", hf("version", HF_ENDPOINT=nowhere).split()[-1])
print("hf cache ls:", hf("cache", "ls", "--cache-dir", str(cache), HF_ENDPOINT=nowhere).splitlines()[-1])
with lab.expect_error(AssertionError):
    hf("auth", "whoami", "--quiet", HF_ENDPOINT=nowhere)

# %% [markdown]
# What only looks at your machine needs nobody. Now the options of `hf download` that recipes use. It prints the path of
# what it brought. Before you run this: which of the five calls will print a folder, and which a file?

# %%
calls = {
    "two files": [repo, "config.json", "tokenizer_config.json"],
    "with a token": [notes, "plan.md", "--token", token],
    "into a cache of your own": [notes, "plan.md", "--cache-dir", "./cache-of-mine"],
    "into a plain folder": [notes, "plan.md", "--local-dir", "./models/notes"],
    "patterns and a revision": [repo, "--include", "*.json", "--exclude", "tok*", "--revision", "v1.1"],
}
for what, words in calls.items():
    print(f"{what}:", Path(hf("download", *words, "--quiet")).name)  # --quiet: the path and nothing else
print(sorted(path.relative_to(work).as_posix() for path in (work / "models").rglob("*.md")))

# %% [markdown]
# One file answers with its own path; several answer with the folder of their commit. (Use `--token` sparingly: what you
# type stays in the history of your terminal. After `hf auth login` you don't need it.) A whole repository is `hf
# download NAME`, and a data set needs `--repo-type dataset`: section 13.10 does that. `hf download --help` lists the
# rest.

# %% [markdown]
# ## 13.9 The model card
# <!-- T205 -->
# Without a card nobody knows what your model is for. A card is the file `README.md`: text for people, and above it,
# between two lines of `---`, **metadata** for programs. Before you run this: which sentences of a card can you write
# today, and which need a measurement?
#
# First the measurement. One number hides a lot; look at each topic.

# %%
right = guesses == truth
shares = [right[truth == place].float().mean().item() for place in range(len(labels))]
by_topic = pd.Series(shares, index=labels).sort_values()
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.barh(by_topic.index, by_topic, color="#0072B2")
axes.axvline(accuracy, color="#D55E00", linestyle="--")
axes.set(xlim=(0, 1), xlabel="share of held-out texts that are right (dashed: all topics)")
axes.grid(axis="y", visible=False)
ends = [" and ".join(by_topic.index[by_topic == end]) for end in (by_topic.min(), by_topic.max())]
axes.set_title(f"Most often wrong: {ends[0]}. Most often right: {ends[1]}");

# %% [markdown]
# Look at the shortest bar: that is what a reader of your card has to know. Each bar stands on only about fifteen texts,
# which a reader has to know too.
#
# Then the metadata. `ModelCardData` holds it, and `EvalResult` a figure that you measured.

# %%
from huggingface_hub import EvalResult, ModelCard, ModelCardData

measured = EvalResult(
    task_type="text-classification", dataset_type=table, dataset_name="Topics", dataset_split="test",
    metric_type="accuracy", metric_value=round(accuracy, 3),
)
card_data = ModelCardData(
    model_name="Topics", language="en", license="cc0-1.0", library_name="transformers",
    pipeline_tag="text-classification", base_model="sentence-transformers/all-MiniLM-L6-v2",
    datasets=[table], tags=["workbook"], eval_results=[measured],
)
print(card_data.to_yaml())

# %% [markdown]
# Now the text, in nine sections that a reader will look for. The first five say what it is:

# %%
about = {
    "Model description": f"MiniLM, frozen, and a linear head for {len(labels)} topics: {', '.join(labels)}.",
    "Intended uses & limitations": "For practice, on short English texts. It always names one of the topics.",
    "How to use": f'`pipeline("text-classification", "{repo}", revision="v1.1")`',
    "Training data": f"{data['train'].num_rows} short texts, written for a course: `{table}`.",
    "Training procedure": "60 steps of AdamW on all texts at once, learning rate 0.02, 24 tokens a text.",
}

# %% [markdown]
# The others say how good it is. Their figures come from variables, and so does the example's answer.

# %%
weak, count = by_topic.index[0], data["test"].num_rows
with torch.no_grad():
    said = labels[classifier(**encode([sentence])).logits.argmax().item()]
figures = {
    "Variable and metrics": "The variable is the topic, the metric accuracy: the share of right topics.",
    "Evaluation results": f"Accuracy {accuracy:.2f} on {count} held-out texts; {by_topic.iloc[0]:.2f} on {weak}.",
    "Example": f"*{sentence}* → {said}",
    "Note": f"Each topic has only about {count // len(labels)} held-out texts: take its figure with care.",
}
sections = about | figures

# %%
template = """---
{{ card_data }}
---
# {{ name }}
{% for title, text in sections.items() %}
## {{ title }}

{{ text }}
{% endfor %}"""
card = ModelCard.from_template(card_data, template_str=template, name="Topics", sections=sections)
card.validate()  # the Hub reads the metadata, and raises if it can't
card.push_to_hub(repo, commit_message="Add a model card")
print(card.text[:260], "…")

# %% [markdown]
# The Hub validates a card when you ask, and again when it is pushed. Before you run this: the card is on the Hub now.
# What else has changed, without your help?

# %%
info = api.model_info(repo)
read_back = ModelCard.load(repo)
assert read_back.data.eval_results[0].metric_value == round(accuracy, 3)
assert all(f"## {title}" in read_back.text for title in sections)
info.pipeline_tag, info.tags

# %% [markdown]
# The repository has a task and tags: they come from the metadata and from `config.json`. They are how others find your
# model (section 13.12). And the figure came back as a number, so that a program can compare it.
#
# What does a card look like that the Hub refuses?

# %%
with lab.expect_error(ValueError):
    broken = b"---\nlicense: [cc0-1.0\n---\n# Topics\n"
    api.upload_file(repo_id=repo, path_in_repo="README.md", path_or_fileobj=broken)
ModelCard.load(repo).content == read_back.content

# %% [markdown]
# A bracket is missing, and the push stops before anything is changed. To change one field later, you need no template.
# What will become of the other fields?

# %%
from huggingface_hub import metadata_update

metadata_update(repo, {"tags": ["workbook", "teaching"]}, overwrite=True)
changed = ModelCard.load(repo).data.to_dict()
[name for name, value in read_back.data.to_dict().items() if changed[name] != value]

# %% [markdown]
# One field changed, in a commit of its own; the others stayed.
#
# ### Exercise 13.5
# Write `gaps(card, titles)`: `card` is the text of a card, `titles` a list of section titles. Return the list of
# titles, in their order, whose section is **missing or empty**. A section begins with a line `## Title` and ends before
# the next line that begins with `## ` or `# ` (or with the text); lines that begin with `### ` belong to it. It is
# empty if it holds only blank lines and headings. For example, `gaps("# M\n## Uses\n\n## Data\nTexts.\n", ["Uses",
# "Data", "Bias"])` gives `["Uses", "Bias"]`.

# %% tags=["exercise"]
def gaps(card: str, titles: list[str]) -> list[str]:
    """The titles whose section is missing from the card, or has no text."""
    # BEGIN SOLUTION
    filled, current = set(), None
    for line in card.splitlines():
        if line.startswith("## "):
            current = line[3:].strip()
        elif line.startswith("# "):
            current = None
        elif line.strip() and not line.startswith("#"):
            filled.add(current)
    return [title for title in titles if title not in filled]
    # END SOLUTION

# %% tags=["check"]
lab.check("13.5", gaps)

# %% [markdown]
# `lab.hint("13.5")` helps. Try it on `read_back.text` with the titles of `sections`.

# %% [markdown]
# ## 13.10 The data too
# <!-- T206 -->
# Your card names a data set. Share it, so that others can repeat your figure. Before you run this: in which file format
# will it arrive?

# %%
data.push_to_hub(table, commit_message="Topics, train and test")
for one in api.list_repo_tree(table, repo_type="dataset", recursive=True):
    if hasattr(one, "size"):
        print(f"{one.size:>8,} bytes  {one.path}")

# %%
from huggingface_hub import DatasetCard

loaded = load_dataset(table)
assert loaded["test"].to_dict() == data["test"].to_dict()
assert loaded["train"].features == data["train"].features
dataset_card = DatasetCard.load(table)
print(dataset_card.content[:420])

# %% [markdown]
# **Parquet**, one file for each split, and a card that `push_to_hub` wrote: it knows the columns, the names of the
# labels, and which file is which split. It does not know what the texts are. Say that yourself; the metadata stays.

# %%
dataset_card.data.license, dataset_card.data.language = "cc0-1.0", ["en"]
dataset_card.data.task_categories = ["text-classification"]
dataset_card.text = "# Topics\n\nShort English texts on eight topics, written for a course. No real people.\n"
dataset_card.push_to_hub(table, commit_message="Say what it is")
stream = load_dataset(table, split="test", streaming=True)
print(next(iter(stream))["text"][:60])
api.dataset_info(table).tags

# %% [markdown]
# `streaming=True` reads rows from the Hub while you use them. Others can now write `load_dataset` with your name. With
# `revision=`, a data set is pinned like a model.
#
# <!-- T324 -->
# A data set is a repository of another type, and single files of it come like those of a model. Before you run this:
# what happens if you forget to name the type?

# %%
card_file = hf_hub_download(table, "README.md", repo_type="dataset")
print(Path(card_file).name, Path(card_file).stat().st_size, "bytes")
with lab.expect_error(HfHubHTTPError):
    hf_hub_download(table, "README.md")
words = ["--repo-type=dataset", "--revision=main", "--include=data/*", "--exclude=*.json", "--exclude=*.zip"]
hf("download", table, *words, "--local-dir=the-data", "--quiet")
print(sorted(path.name for path in (work / "the-data").rglob("*.parquet")))

# %% [markdown]
# Without a type the library asks for a *model* of that name, and there is none. The last lines are the same in a
# terminal, with the patterns that recipes use.

# %% [markdown]
# ## 13.11 Six errors that everybody meets
# <!-- T207, T324 -->
# Not everybody may see everything. A **private** repository is for its owner. A **gated** one shows its name and its
# card to everybody, and keeps its files for those whom the owner lets in. Make one of each, with a letter in it. And
# make somebody else: your own Hub has room for a second user.

# %%
for name in (secret, gated):
    api.delete_repo(name, missing_ok=True)  # so that you can run this cell twice
    api.create_repo(name, private=name == secret)
for name in (notes, secret, gated):
    api.upload_file(repo_id=name, path_in_repo="letter.txt", path_or_fileobj=f"A letter in {name}.\n".encode())
api.update_repo_settings(gated, gated="manual")
colleague = hub.guest("colleague") if own_hub else token  # the token of somebody else

# %% [markdown]
# Four doors: a public, a private, a gated and a missing repository. Four keys: no token, somebody else's, yours, and
# one that nobody was given. What the Hub answers is a number, and the library makes an error of it. Before you run
# this: will a stranger be told that a repository is private, or that it isn't there? And what does a wrong token do at
# the public door?

# %%
from huggingface_hub import get_hf_file_metadata, hf_hub_url

doors = {"public": notes, "private": secret, "gated": gated, "missing": f"{user}/workbook-tpoics"}
keys = {"no token": False, "somebody else's": colleague, "yours": token, "a wrong one": "hf_thisTokenWasNeverGiven"}

def knock(name: str, key) -> str:
    """What the Hub answers to the question for the letter."""
    try:
        get_hf_file_metadata(hf_hub_url(name, "letter.txt"), token=key)
        return "200"
    except HfHubHTTPError as error:
        return f"{error.response.status_code} {type(error).__name__}"

pd.DataFrame({key: {door: knock(doors[door], keys[key]) for door in doors} for key in keys})

# %% [markdown]
# Compare the rows *private* and *missing*, key by key. For anybody but the owner they are the same: *Repository Not
# Found*, as 401 without a token and as 404 with one that the Hub knows. If a Hub said "private", a stranger could find
# out which names exist. So when you read this error, check three things: the spelling, `repo_type=`, and whether you
# are logged in as who you think.
#
# Now the last column: a **wrong token** is worse than none. The request is refused, even for a public file. Read the
# sentences, too. Three of the six errors are here:

# %%
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

with lab.expect_error(RepositoryNotFoundError):
    hf_hub_download(doors["missing"], "letter.txt")  # a slip of the finger
with lab.expect_error(HfHubHTTPError):
    hf_hub_download(notes, "letter.txt", token=keys["a wrong one"])
if own_hub:
    with lab.expect_error(GatedRepoError):
        hf_hub_download(gated, "letter.txt", token=colleague, cache_dir=work / "colleague")

# %% [markdown]
# The gated one puzzles people: you see the name in the list, you are logged in, and you get 403. The message says what
# to do: visit its page, and ask. Here is the request behind such a question, and what the owner does with it. (At the
# end the owner takes it back, so that you can run the cells again.)

# %%
if own_hub:
    ask = {"authorization": f"Bearer {colleague}"}
    get_session().post(f"{api.endpoint}/{gated}/ask-access", headers=ask, follow_redirects=False)
    print("waiting:", [one.username for one in api.list_pending_access_requests(gated)])
    for one in api.list_pending_access_requests(gated):
        api.accept_access_request(gated, one.username)
    letter = hf_hub_download(gated, "letter.txt", token=colleague, cache_dir=work / "let-in")
    print(Path(letter).read_text("utf-8"))
    api.cancel_access_request(gated, "colleague")

# %% [markdown]
# Two more have to do with what is in the repository, and one with a name that is taken:

# %%
with lab.expect_error(RevisionNotFoundError):
    hf_hub_download(repo, "config.json", revision="v9.9")
with lab.expect_error(EntryNotFoundError):
    hf_hub_download(repo, "pytorch_model.bin", revision="v1.1")
with lab.expect_error(HfHubHTTPError):
    api.create_repo(repo)  # it is there already

# %% [markdown]
# A revision or a file that is not there is a 404 that says which of the two. (A `RemoteEntryNotFoundError` is an
# `EntryNotFoundError`.) A name that is taken is 409, *Conflict*, and `exist_ok=True` says that you don't mind. Here
# they are in a table, where the missing version and the missing file share a row. The sixth row comes next:
#
# | error | number | what it says | what you do |
# | --- | --- | --- | --- |
# | `RepositoryNotFoundError` | 401, 404 | missing, private, or misspelt | spelling, `repo_type=`, login |
# | `HfHubHTTPError` | 401 | *Invalid credentials*: a wrong token | a new token, or none |
# | `GatedRepoError` | 401, 403 | you have not been let in | log in, ask on its page |
# | `RevisionNotFoundError`, `EntryNotFoundError` | 404 | no such version, no such file | look at the list of files |
# | `HfHubHTTPError` | 409 | it is there already | `exist_ok=True` |
# | `HfHubHTTPError` | 412 | somebody was faster | read again, change again, try again |
#
# The sixth protects you from each other. You and a colleague both edit `diary.txt`, and both started from the same
# commit. Before you run this: whose line will survive?

# %%
start = api.model_info(notes).sha
diary = Path(hf_hub_download(notes, "diary.txt", revision=start)).read_bytes()

def wednesday(whose: str, **options):
    """Add a line to the diary as it was at the start."""
    change = CommitOperationAdd("diary.txt", diary + f"Wednesday: {whose}.\n".encode())
    return api.create_commit(notes, [change], commit_message=whose, **options)

wednesday("theirs", parent_commit=start)
with lab.expect_error(HfHubHTTPError):
    wednesday("yours", parent_commit=start)

# %% [markdown]
# `parent_commit` says: only if nothing has happened since. The Hub answers 412, and their line is safe. And without
# `parent_commit`?

# %%
wednesday("yours")
print(Path(hf_hub_download(notes, "diary.txt")).read_text("utf-8"))

# %% [markdown]
# Your commit went through, and **their line is gone** from the newest version; only the history has it. So give
# `parent_commit` when several people write. And what do you do with a 412? Read again, change again, try again.
#
# ### Exercise 13.6
# Write `add_line(repository, line)`. `repository` is an object with three methods:
#
# - `repository.head()` gives the id of the newest commit;
# - `repository.read(commit)` gives the text of the file at that commit;
# - `repository.commit(text, parent)` makes a commit and returns its id, or raises `HfHubHTTPError`.
#
# Add `line + "\n"` to the end of the file, and return the id of your commit. If the error says 412
# (`error.response.status_code`), somebody was faster: begin again. Any other error is not yours to swallow. Others may
# add lines at any moment, between any two of your calls, and no line may get lost. Here is such an object around the
# real Hub, to try yours on.

# %%
class Diary:
    """The file diary.txt of a repository on the Hub."""

    def head(self) -> str:
        return api.model_info(notes).sha

    def read(self, commit: str) -> str:
        return Path(hf_hub_download(notes, "diary.txt", revision=commit)).read_text("utf-8")

    def commit(self, text: str, parent: str) -> str:
        add = [CommitOperationAdd("diary.txt", text.encode())]
        return api.create_commit(notes, add, commit_message="Add a line", parent_commit=parent).oid

# %% tags=["exercise"]
def add_line(repository, line: str) -> str:
    """Add a line to the repository's file without losing what others add; return the id of the commit."""
    # BEGIN SOLUTION
    while True:
        parent = repository.head()
        text = repository.read(parent) + line + "\n"
        try:
            return repository.commit(text, parent)
        except HfHubHTTPError as error:
            if error.response.status_code != 412:
                raise
    # END SOLUTION

# %% tags=["check"]
lab.check("13.6", add_line)

# %% [markdown]
# `lab.hint("13.6")` helps. When it passes, `add_line(Diary(), "Thursday: mine.")` writes to your Hub.

# %% [markdown]
# ## 13.12 Choose a checkpoint
# <!-- T209 -->
# A checkpoint must suit its task. A well-known example is `camembert-base`, which fills masks, and can't classify
# before a new head has been trained. Before you run this: how could you tell **before** the download?
#
# Put three more models on the shelf. They are stubs: a config and a card, no weights. That is all a search looks at.

# %%
from transformers import CamembertConfig, DistilBertConfig

stubs = [  # name, config, architecture, language, licence, text
    (shelf[0], CamembertConfig, "CamembertForMaskedLM", "fr", "mit", "A stub."),
    (shelf[1], DistilBertConfig, "DistilBertForSequenceClassification", "en", "apache-2.0", "Accuracy 0.91!"),
    (shelf[2], CamembertConfig, "CamembertForSequenceClassification", "fr", "cc-by-nc-4.0", "A stub."),
]

# %%
for name, Config, architecture, language, licence, text in stubs:
    metadata = ModelCardData(language=language, license=licence).to_yaml()
    stub = Config(architectures=[architecture]).to_json_string()
    api.create_repo(name, exist_ok=True)
    files = {"README.md": f"---\n{metadata}\n---\n{text}\n", "config.json": stub}
    adds = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
    api.create_commit(name, adds, commit_message="A stub")

# %%
classify, fill = {"pipeline_tag": "text-classification"}, {"pipeline_tag": "fill-mask"}
for wish in ({}, fill, classify, classify | {"filter": "fr"}, {"filter": "license:cc0-1.0"}):
    hits = api.list_models(author=user, search="workbook", **wish)
    print(wish, "\n   ", *sorted(one.id.partition("workbook-")[2] for one in hits))

# %% [markdown]
# The task came from the config's `architectures`: nobody wrote it on the stubs' cards. This is what a Hub's task
# selector does, and it answers the question. Look at `pipeline_tag` (or `architectures`) before you download:

# %%
details = []
for name in (repo, *shelf):
    info = api.model_info(name, files_metadata=True)
    size = sum(one.size for one in info.siblings if one.rfilename.endswith(".safetensors"))
    results = info.card_data.eval_results or []
    one = {"id": name, "task": info.pipeline_tag, "architecture": info.config["architectures"][0]}
    one |= {"licence": info.card_data.license, "megabytes": size / 1e6}
    details.append(one | {"accuracy": results[0].metric_value if results else None})
pd.DataFrame(details).set_index("id").rename(lambda name: name.partition("workbook-")[2])

# %% [markdown]
# Read the last column. One stub *says* 0.91 in its text, but gives no data set and no split: no figure that a program,
# or you, could check. And the licence of the French one (`nc`, non-commercial) may rule it out, however well it works.
#
# ### Exercise 13.7
# Write `choose(models, task, licences, least)`: `models` is a list of dicts with the keys `id`, `task`, `licence`,
# `megabytes` and `accuracy` (a number or `None`), as in `details`. Return the `id` of the **smallest** model for this
# `task` with one of these `licences` and a measured accuracy of at least `least`; of two of the same size, the more
# accurate one. Return `None` if there is none. A size of 0 means that there are no weights: such a model is not a
# candidate. For example, `choose(details, "text-classification", ["cc0-1.0"], 0.5)` gives the name of your own model.

# %% tags=["exercise"]
def choose(models: list[dict], task: str, licences: list[str], least: float) -> str | None:
    """The id of the smallest model that fits, or None."""
    # BEGIN SOLUTION
    suited = [one for one in models if one["task"] == task and one["licence"] in licences]
    whole = [one for one in suited if one["megabytes"] > 0 and one["accuracy"] is not None]
    good = [one for one in whole if one["accuracy"] >= least]
    good.sort(key=lambda one: (one["megabytes"], -one["accuracy"]))
    return good[0]["id"] if good else None
    # END SOLUTION

# %% tags=["check"]
lab.check("13.7", choose)

# %% [markdown]
# `lab.hint("13.7")` helps.

# %% [markdown]
# ## 13.13 A demo
# <!-- T210 -->
# A **Space** is a repository with a small program that the Hub runs, so that others can try your model in a browser.
# Many are written with **Gradio**. The heart of such a program is one function: text in, labels with probabilities out.
# Before you run this: what should it say to an empty text?

# %% tags=["long"] why="the whole program is the lesson: it is the demo"
app = f'''
from transformers import pipeline

topic = pipeline("text-classification", "{repo}", revision="v1.1", top_k=None)

def predict(text: str) -> dict[str, float]:
    """The probability of each topic; a sentence instead of topics if there is nothing to read."""
    if not (text or "").strip():
        return {{"Please write a sentence.": 0.0}}
    return {{one["label"]: one["score"] for one in topic([text], truncation=True)[0]}}

if __name__ == "__main__":
    import gradio

    inputs, outputs = gradio.Textbox(label="A short English text"), gradio.Label(num_top_classes=3)
    gradio.Interface(predict, inputs, outputs, title="Which topic?").launch()
'''.lstrip()
written = (work / "app.py").write_text(app, "utf-8")

# %%
import runpy

predict = runpy.run_path(str(work / "app.py"))["predict"]  # all of it but the last lines
for text in (sentence, "", "🙂", "word " * 10_000):
    best = max(predict(text).items(), key=lambda item: item[1])
    print(f"{text[:30]!r:34} {best[0]} ({best[1]:.2f})")

# %%
shares = pd.Series(predict("The new vaccine halves the risk of a stay in hospital.")).sort_values()
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.barh(shares.index, shares, color="#0072B2")
axes.set(xlim=(0, 1), xlabel="probability")
axes.grid(axis="y", visible=False)
axes.set_title(f"What the demo answers: {shares.index[-1]}");

# %% [markdown]
# The function runs without Gradio, and that is how you test it: with the text that you hope for, and with the ones that
# people really type. Look at the emoji: the model has no way to say "none of these", so it names a topic.
#
# Gradio draws the window around the function. It is a large package, with rules of its own about the versions of
# others, and it may replace what this course was tested with. So give it an environment of its own.

# %%
if importlib.util.find_spec("gradio"):
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    demo = gradio.Interface(predict, gradio.Textbox(), gradio.Label(num_top_classes=3))
    print("Ready. In a cell of your own: demo.launch()")
else:
    print("Gradio is not here. Copy app.py from the folder `work` (put the name into a cell of its own to see it),")
    print("and in a terminal, in the folder of your copy, after the lines that `labs hub start` prints:")
    tools = "demo/Scripts" if os.name == "nt" else "demo/bin"
    print(f"python -m venv demo; {tools}/pip install gradio transformers torch; {tools}/python app.py")

# %%
api.create_repo(demo_repo, repo_type="space", space_sdk="gradio", exist_ok=True)
space_card = "---\ntitle: Which topic?\nsdk: gradio\napp_file: app.py\n---\nTells eight topics apart.\n"
files = {"app.py": app, "requirements.txt": "torch\ntransformers\n", "README.md": space_card}
adds = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
api.create_commit(demo_repo, adds, repo_type="space", commit_message="A demo")
api.list_repo_files(demo_repo, repo_type="space")

# %% [markdown]
# That is a whole Space: the program, what it needs, and a card that names the SDK. Your own Hub keeps it, but does not
# run it. The Hub at `huggingface.co` installs `requirements.txt` and starts `app.py`.

# %% [markdown]
# ## 13.14 The same cells against the real Hub
# <!-- T211 -->
# You have used the real libraries all along. Before you run this: what, besides the address, is different on
# `huggingface.co`?

# %%
real = {
    "HF_ENDPOINT": "not set: https://huggingface.co",
    "HF_TOKEN": "not set: the token that `hf auth login` saved",
    "HF_HUB_DISABLE_XET": "not set: chunks go through hf_xet",
    "HF_HOME": "not set: your own cache",
    "HF_HUB_OFFLINE": "not set: LABS_MODE=hub",
}
now = {name: os.environ.get(name, "not set") for name in real}
if now["HF_TOKEN"] != "not set":
    now["HF_TOKEN"] = now["HF_TOKEN"][:3] + "•••"
now["HF_HOME"] = "the workbook's own" if practice else "your own cache"
pd.DataFrame({"in this kernel": now, "for the real Hub": real})

# %% [markdown]
# All of these follow from **one variable of this notebook**: `practice = False` in its second code cell leaves out
# `lab.hub()`, and with it every difference in the table. Do it in hub mode (start Jupyter with `LABS_MODE=hub`), as
# offline mode opens no connection, and after `hf auth login`. In hub mode with `practice = True` this chapter still
# uses your own Hub: nothing is published by accident.
#
# Think before you switch. A repository is **public** unless you say `private=True`. The chapter pushes under your name,
# and its first section deletes the repositories that have these names. And what was public for a minute may have been
# copied.
#
# Before you run this: how many repositories have you made, and how many of them could everybody read? Count what is
# there instead of what you remember. The cell changes nothing.

# %%
mine = {"author": user, "search": "workbook-"}
made = {"": [*api.list_models(**mine)], "datasets/": [*api.list_datasets(**mine)]}
made["spaces/"] = [*api.list_spaces(**mine)]
rows = []
for front, ones in made.items():
    for one in ones:
        info = api.repo_info(one.id, repo_type=front.rstrip("s/") or "model")
        who = "you alone" if info.private else "who is let in" if getattr(info, "gated", False) else "everybody"
        rows.append([f"https://huggingface.co/{front}<you>/{one.id.partition('/')[2]}", who])
ids = {one.id for ones in made.values() for one in ones}
assert {repo, notes, secret, gated, table, demo_repo, *shelf} <= ids
pd.DataFrame(rows, columns=["it would be", "who could read it"])

# %% [markdown]
# Look at the three that begin with *workbook-shelf*: stubs without weights, one of which promises an accuracy of 0.91.
# For practice they were fine. Under your name, on the real Hub, they would mislead people: leave section 13.12 out
# there.
#
# Your own Hub does not stop with this notebook. `labs hub stop` in a terminal stops it, and so does an hour in which
# nobody asks it anything. What it holds stays, in the workbook's own folder.

# %% [markdown]
# ## What changed since the notes
# *The notes* are five study documents, most of them in Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `huggingface-cli download …` | `hf download …` | shorter, and the old program is gone |
# | `huggingface-cli login` | `hf auth login` | grouped: `hf auth`, `hf repos`, `hf cache` |
# | `pip install hf_transfer`, `HF_HUB_ENABLE_HF_TRANSFER=1` | `hf_xet`, nothing to set | sends only the chunks that changed |
# | `snapshot_download(ignore_regex=…)` | `ignore_patterns=…` | they never were regular expressions |
# | `local_dir_use_symlinks=False` | `local_dir=…` alone | a local folder holds plain files now |
# | `use_auth_token=…` | `token=…` | renamed everywhere; mostly not needed after a login |
# | `Repository(…)`, `git add`, `git push` | `create_commit`, `upload_folder` | over HTTP, all or nothing, and no clone on your disk |
# | blobs are "encoded", folders are "md5" | named by content; named by commit | they never were; section 13.7 |
# | `load_dataset("imdb")` | `load_dataset("owner/name")` | every repository has an owner |
# | you need a token before you can download | not for a public repository | section 13.3 asks without one |
# | `joblib.load(hf_hub_download(…))` | `safetensors`, or an author whom you trust | a pickle runs code; section 13.6 |
#
# The calls in the middle column, once each, and three of the old ones:

# %%
import huggingface_hub

with lab.expect_error(TypeError):
    snapshot_download(repo, ignore_regex=["*.safetensors"])
with lab.expect_error(TypeError):
    hf_hub_download(repo, "config.json", use_auth_token=token)
assert not hasattr(huggingface_hub, "Repository")
snapshot_download(repo, ignore_patterns=["*.safetensors"], local_dir=work / "today", token=token)
api.upload_folder(repo_id=notes, folder_path=local, path_in_repo="copy")
api.create_commit(notes, [CommitOperationAdd("today.txt", b"today\n")], commit_message="Today")
print(hf("auth", "login", "--help").splitlines()[0])
print(hf("download", notes, "plan.md", "--local-dir", "today"))
load_dataset(table, split="test").num_rows

# %% [markdown]
# ## Quiz

# %%
lab.quiz("13")

# %% [markdown]
# ## Recap
# - You log in with a token, and `create_repo`, `push_to_hub`, `upload_file`, `upload_folder` and `create_commit` put
#   things on a Hub; each commit is all or nothing.
# - `hf_hub_download` brings a file and `snapshot_download` a choice of files, at a tag, a branch, a pull request or a
#   commit; `hf` does the same in a terminal.
# - In the cache, refs name commits, snapshots hold links with names, blobs hold contents named by their hash. A pointer
#   is three lines that stand for a large file in Git.
# - A tag stays, a branch moves, a pull request waits; a revert is a new commit with old files.
# - A card holds metadata for programs and sections for people, with figures that you measured. Data sets have cards
#   too. Tags make both findable.
# - A private repository looks like a missing one, a gated one wants to be asked, a wrong token is refused; 409 means
#   "there already", 412 "somebody was faster". For the real Hub you change `practice`, and think about what becomes
#   public.
#
# In chapter 10 a Trainer pushes what it has trained; now you know where it goes.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - *Repository Not Found* can be taken for a typing error only; a private one says the same (13.11).
# - A wrong token can be taken for no token; it is refused at the public door, too (13.11).
# - Going back can be taken for deleting; it is a new commit with an old file (13.5).
# - Blobs can be taken for encoded files, and pushing again for sending again (13.7, 13.4).
#
# **To discuss:**
#
# - *On Friday the labels turned round. Who could have noticed, and when?* Lean on 13.5: the two answers with one score;
#   the table of commits. A good answer sees that there was no error anywhere, pins a tag or a commit, and describes a
#   check before the push.
# - *Should a Hub tell a stranger that a repository is private?* Lean on 13.11: the table of doors and keys. A good
#   answer weighs names that could be guessed against the time that honest people lose.
# - *What must stand on a card before you publish?* Lean on the bars of 13.9; the last column in 13.12. A good answer
#   wants a figure with its data set and split, the weakest topic and how few texts, and not a sentence that says 0.91.
# - *Two people edit one file. Who has to take care?* Lean on 13.11: the diary with and without `parent_commit`;
#   exercise 13.6. A good answer refuses, reads again and tries again, and says whose line was gone without it.
#
# **If time is short.** 13.12 and 13.13 can be left out, if you leave out the counting cell of 13.14 as well: it expects
# every repository of the chapter. 13.8 is short but gives `hf` to 13.10 and *What changed*; the last cell of 13.7 gives
# it `subprocess`. Exercise to keep: 13.5.
#
# **In class.** Nothing to fetch. Decide beforehand: a Hub on each machine, or one of the class by `LABS_HUB`; there the
# second user of 13.11 is missing, as the text says. The sections build on one another: after a restart begin at the
# first cell. `practice = True` stays as it is.
