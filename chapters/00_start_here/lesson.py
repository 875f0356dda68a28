# %% [markdown]
# # 00 Start here
# You see what a model makes of a sentence of yours, what your machine can do, and the three ways to use Transformers.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | read an environment report: versions, device, memory, mode, caches | 45 minutes | Python, and a little PyTorch |
# | run one sentence through a pipeline, through the Auto classes, and through your own fine-tuning | | no account, no GPU, no network |
# | turn token vectors into a sentence vector, and compare sentences with it | | |
# | say which copy of a library was imported, and what each library of the ecosystem is for | | |
# | place today's library in its history | | |

# %%
import labs_utils as lab
lab.start("00")

# %% [markdown]
# What it printed names the chapter, the versions, where models will run, and the mode. Every notebook begins with the
# last two lines of that cell. (The lines before them are for Colab. On your own machine they do nothing.)
#
# How a chapter works: a section asks a question. You write down a prediction, on paper if you like. You run the cells.
# Then you read what they mean. `Shift`+`Enter` runs a cell and goes to the next. Being wrong is the useful part.

# %% [markdown]
# ## 0.1 What does a model make of your sentence?
# <!-- T002 -->
# A `pipeline` is the short way: it takes text and gives an answer, and everything between is hidden. Before you run
# this: the sentence has ten words and a full stop. Into how many pieces will the model cut it?

# %%
from transformers import pipeline

encoder = lab.checkpoint("encoder")
extract = pipeline("feature-extraction", model=encoder, revision=encoder.revision, device=lab.device())
sentence = "The home side won with a goal in extra time."
lab.tokens(extract.tokenizer, sentence)

# %% [markdown]
# Each piece is a **token**, with its number in the model's vocabulary under it. Ten words, one full stop, and two more:
# one at the start, one at the end. Now one of your own. Put your sentence between the quotes, with a rare word or a
# name in it, and run the cell again as often as you like. Which of your words are cut into pieces?

# %%
mine = "Grandmother hides her coins in an old marmalade jar."
lab.tokens(extract.tokenizer, mine)

# %% [markdown]
# For each token the model gives a list of numbers, a **vector**. Vectors can be compared. Before you run the next two
# cells: which two of these four sentences will come out closest? Two of them share the word *bank*; other pairs share a
# meaning. And where will yours belong?

# %%
import torch

four = [
    "She put her money in the bank.",
    "The boat drifted against the bank.",
    "He deposited his savings.",
    "A canoe touched the river's edge.",
]
means = torch.cat([extract(text, return_tensors=True).mean(dim=1) for text in [*four, mine]])  # [5, width]
means.shape

# %%
similar = torch.nn.functional.cosine_similarity(means[:, None], means[None], dim=-1)  # [5, 5]
assert similar[0, 2] > similar[0, 1] and similar[1, 3] > similar[1, 0]
columns = ["money", "boat", "savings", "canoe", "yours"]
lab.heatmap(similar.round(decimals=2), rows=[*four, mine], columns=columns, title="Meaning outweighs the word “bank”")

# %% [markdown]
# Read a row, and leave out the diagonal, where a sentence meets itself. The sentence about money is closer to the
# savings than to the boat; the boat is closer to the canoe than to the money. The two that share the word *bank* are
# further apart. The last row is yours: does it stand where you would put it? Change `mine` above, and run the three
# cells again.
#
# Nobody gave the model a dictionary. It was trained on sentences; you see here what it took from them. Later in this
# chapter you write the steps behind the picture: one vector for a sentence, and the nearest of many.

# %% [markdown]
# ## 0.2 What does this machine have?
# <!-- T001 -->
# Before you run this: do you think that you have a device faster than the CPU? How much memory is free?

# %%
import os
import platform

import pandas as pd
import psutil

device, memory = lab.device(), psutil.virtual_memory()
pd.Series({
    "processor": f"{os.cpu_count()} cores, {platform.machine()}",
    "memory": f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB of it free",
    "device": str(device) if device.type != "cuda" else torch.cuda.get_device_name(),
    "mode": os.environ.get("LABS_MODE", "offline"),
}).to_frame("this machine")

# %%
from importlib.metadata import version

packages = [
    "transformers", "tokenizers", "datasets", "torch",
    "huggingface_hub", "accelerate", "peft", "safetensors", "ipykernel",
]
versions = {"Python": platform.python_version()} | {name: version(name) for name in packages}
pd.Series(versions).to_frame("version")

# %% [markdown]
# Three folders matter to you. The Hugging Face libraries keep what they download in theirs. The workbook keeps your
# progress in one, and what can be made or fetched again in another. Deleting the first or the last costs you time, and
# a network for what has to be fetched again; deleting your progress costs you your progress.

# %%
from huggingface_hub.constants import HF_HUB_CACHE
from labs_utils.paths import cache, home

folders = {
    "downloads from the Hub": HF_HUB_CACHE,
    "your progress": home(),
    "what can be made or fetched again": cache(),
}
states = {name: "there" if os.path.isdir(path) else "not made yet" for name, path in folders.items()}
pd.Series(states).to_frame("folder")

# %% [markdown]
# `folders` holds their paths: put its name into a cell of its own to see them. **Offline** means that the libraries are
# told not to ask the Hub for anything. What do they do when you ask for a model that is not on this machine?

# %%
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

if os.environ.get("LABS_MODE", "offline") == "offline":
    with lab.expect_error(LocalEntryNotFoundError):
        hf_hub_download("somebody/some-model", "config.json")

# %% [markdown]
# They look on the disk, and stop. (The message sends you to your connection. Here it is the mode that keeps them from
# asking.) To use the real Hub, set `LABS_MODE=hub` before you start JupyterLab. The cells stay the same: they ask for a
# model by its **role**.

# %%
encoder.hub_id, encoder.licence

# %% [markdown]
# This encoder goes with you through the course. It is small and real: a trained sentence encoder that people use as it
# is. Offline, `encoder` is a folder on your disk; in hub mode it is that Hub id, at a pinned revision.
#
# ### Where did these libraries come from?
# <!-- T300 -->
# You will meet four ways to install Transformers:
#
# | in a terminal | what you get |
# | --- | --- |
# | `python -m pip install transformers` | the newest release, from PyPI |
# | `python -m pip install --index-url ADDRESS transformers` | the same, from a mirror that you name |
# | `conda install -c conda-forge transformers` | the newest that conda's channel has |
# | `python -m pip install git+https://github.com/huggingface/transformers` | the source of today, with tomorrow's bugs |
#
# (A name with square brackets, such as `transformers[torch]`, asks for other packages along with it.) Each way leaves a
# note beside the package. Before you run this: which way brought each of these three?

# %%
from importlib.metadata import distribution

rows = []
for name in ("transformers", "torch", "transformers-workbook"):
    package = distribution(name)
    note, address = package.read_text("INSTALLER"), package.read_text("direct_url.json")
    source = "a folder or an address" if address else "an index or a channel" if note else "no note"
    rows.append([name, package.version, (note or "no note").strip(), source])
pd.DataFrame(rows, columns=["package", "version", "installed by", "from"]).set_index("package")

# %% [markdown]
# The last row is the workbook itself.
#
# One error brings many people back to this page: `from transformers import pipeline` fails, although the library is
# installed. Before you run this: what happens if a file of your own, in the folder where you work, is called
# `transformers.py`?

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

code = "import transformers; print(transformers.__file__); from transformers import pipeline"
with tempfile.TemporaryDirectory() as folder:
    Path(folder, "transformers.py").write_text("# my first experiments\n", encoding="utf-8")
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
print("imported:", Path(run.stdout.strip()).name)
print(run.stderr.strip().splitlines()[-1].partition(" (")[0])

# %% [markdown]
# Python looks in your own folder first, finds your file, and takes it for the library. The first line is the one to
# remember: `transformers.__file__` says which copy was imported. Ask it whenever an import surprises you, and
# `sys.executable` along with it: a second Python on your machine has packages of its own. Here, now:

# %%
import transformers

print("imported:", *Path(transformers.__file__).parts[-3:], sep="  ")
print("by the Python of this environment:", Path(transformers.__file__).is_relative_to(sys.prefix))

# %% [markdown]
# ### Exercise 0.1
# A model's weights fill `parameters × bytes per parameter`. Write `model_megabytes(parameters, dtype)`: it gets a
# number of parameters and a `torch.dtype` such as `torch.float32` or `torch.int8`, and returns the size in megabytes
# (10⁶ bytes). A `torch.dtype` knows how many bytes one number takes. For example, a million parameters in
# `torch.float32` fill 4.0 megabytes.

# %% tags=["exercise"]
def model_megabytes(parameters: int, dtype: torch.dtype) -> float:
    """Size of a model's weights in megabytes (10**6 bytes)."""
    # BEGIN SOLUTION
    return parameters * dtype.itemsize / 1e6
    # END SOLUTION

# %% tags=["check"]
lab.check("0.1", model_megabytes)

# %% [markdown]
# Stuck? `lab.hint("0.1")` in a cell of your own gives a first hint; call it again for the next. The check above tries
# your function on several models and dtypes, tells you what was wrong, and keeps your progress on this machine.

# %% [markdown]
# ## 0.3 The same sentence with the Auto classes
# <!-- T002 -->
# The pipeline is made of two parts that you can hold in your own hands: a tokenizer and a model. The `Auto` classes
# read the checkpoint's `config.json` and pick the right class for you.
#
# Before you run this: will the numbers equal the pipeline's, or only come close?

# %%
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
model = AutoModel.from_pretrained(encoder, revision=encoder.revision).to(device).eval()
type(tokenizer).__name__, type(model).__name__

# %%
vectors = extract(sentence, return_tensors=True)[0]  # the pipeline: [tokens, width]
inputs = tokenizer(sentence, return_tensors="pt").to(device)
with torch.inference_mode():
    hidden = model(**inputs).last_hidden_state  # [1, tokens, width]
print(tuple(vectors.shape), tuple(hidden[0].shape))
f"largest difference: {(hidden[0].cpu() - vectors).abs().max():.1g}"

# %% [markdown]
# Thirteen tokens, 384 numbers each. The largest difference is zero, or so close that only the order of additions can
# explain it. For this task the pipeline does nothing that you can't do: chapter 03 takes it apart.
#
# ### Exercise 0.2
# To compare sentences you need one vector each. The encoder was trained for the **mean** of its token vectors, scaled
# to length one. Write `sentence_vector(hidden)`: it gets token vectors of shape `[tokens, width]` and returns a vector
# of shape `[width]` with length (Euclidean norm) 1. For example, `[[3., 0.], [3., 8.]]` has the mean `[3., 4.]`, and
# becomes `[0.6, 0.8]`.

# %% tags=["exercise"]
def sentence_vector(hidden: torch.Tensor) -> torch.Tensor:
    """Mean of the token vectors [tokens, width], scaled to length 1: [width]."""
    # BEGIN SOLUTION
    mean = hidden.mean(dim=0)  # [width]
    return mean / mean.norm()
    # END SOLUTION

# %% tags=["check"]
lab.check("0.2", sentence_vector)

# %% [markdown]
# `lab.hint("0.2")` helps.
#
# In section 0.1 each sentence went through the model by itself. A model takes many at once too, and for that they must
# be equally long: the shorter ones are filled up with **padding**. Before you run this: will the picture of 0.1
# change?

# %%
with torch.inference_mode():
    batch = tokenizer([*four, mine], padding=True, return_tensors="pt").to(device)
    states = model(**batch).last_hidden_state  # [5, tokens, width]
real = batch["attention_mask"].unsqueeze(-1)  # [5, tokens, 1]: 0 where a short sentence was padded
careful = (states * real).sum(dim=1) / real.sum(dim=1)  # the mean over real tokens: [5, width]
careless = states.mean(dim=1)
for name, one in (("over the real tokens", careful), ("over all of them", careless)):
    print(f"mean {name}: off by up to {(one.cpu() - means).abs().max():.1g}")

# %% [markdown]
# With the **attention mask**, which says which tokens are real, the batch gives the vectors of section 0.1 again. With
# padding in the mean, each sentence that was padded gets another vector, and nothing warns you.
#
# Two vectors are compared by the **cosine similarity**: the cosine of the angle between them. For vectors of length one
# it is their dot product. A table of all pairs is then one product of matrices:

# %%
unit = torch.nn.functional.normalize(careful, dim=-1)  # each row has length one
print((unit @ unit.T).cpu().numpy().round(2))
assert torch.allclose((unit @ unit.T).cpu(), similar, atol=1e-4)

# %% [markdown]
# These are the numbers of the heat map in section 0.1.
#
# ### Exercise 0.3
# Write `nearest(query, candidates)`: `query` is a vector `[width]`, `candidates` a matrix `[count, width]`, **not**
# scaled to length one. Return the index (an `int`) of the candidate with the highest cosine similarity to the query.
# For example, for the query `[1., 0.]` and the candidates `[[0., 5.], [2., 0.], [9., 9.]]` the answer is `1`: a long
# vector does not win by being long.

# %% tags=["exercise"]
def nearest(query: torch.Tensor, candidates: torch.Tensor) -> int:
    """Index of the row of `candidates` [count, width] that points closest to `query` [width]."""
    # BEGIN SOLUTION
    similarity = torch.nn.functional.cosine_similarity(query[None], candidates, dim=-1)  # [count]
    return int(similarity.argmax())
    # END SOLUTION

# %% tags=["check"]
lab.check("0.3", nearest)

# %% [markdown]
# `lab.hint("0.3")` helps. Then try it on your own sentence: `nearest(means[4], means[:4])`.

# %% [markdown]
# ## 0.4 The same sentence with a model that you fine-tune
# <!-- T002 -->
# The encoder knows meaning, but it does not know your labels. Give it a **head** with eight outputs, and it can learn
# to sort texts into eight topics. The course's `topics` have labels from 0 to 7.

# %%
from datasets import load_dataset

topics = lab.dataset("topics")
data = load_dataset(topics, revision=topics.revision)
names = data["train"].features["label"].names
print("topics:", *names, sep="  ")
data["train"][0]

# %% [markdown]
# The encoder's checkpoint has no weights for such a head. The library makes new ones, at random, and says so in a
# **load report**: a red block, and yet a message, no error. Its first line names the folder that was read, which is a
# long path. This function puts the model's name there instead:

# %%
def shorten(record) -> bool:
    """Write the model's name for the folder it lies in."""
    record.msg = record.msg.replace(str(encoder), encoder.hub_id)
    return True

transformers.logging.get_logger("transformers.modeling_utils").addFilter(shorten)

# %% [markdown]
# In the report of the next cell, each row names weights that are in only one of the two, the checkpoint or your model.
# `MISSING` means: not in the checkpoint, newly made.
#
# Before you run this: which two weights will be missing? And what probability of each topic will the untrained model
# give our sentence?

# %%
from transformers import AutoModelForSequenceClassification

torch.manual_seed(0)
classifier = AutoModelForSequenceClassification.from_pretrained(
    encoder, revision=encoder.revision, id2label=dict(enumerate(names))
).to(device)

def logits_of(text: str) -> torch.Tensor:
    """The classifier's scores for one text: [8]."""
    classifier.eval()
    with torch.inference_mode():
        return classifier(**tokenizer(text, return_tensors="pt").to(device)).logits[0].cpu()

before = logits_of(sentence)
lab.probabilities(before, names)

# %% [markdown]
# The weight and the bias of the classifier were missing, and the bars show it: all eight are near one in eight. It is
# guessing.
#
# Now train. A batch of texts becomes one rectangle of ids, the shorter texts filled up:

# %%
def encode(texts: list[str]):
    """A padded batch of at most 48 tokens each, on the device."""
    batch = tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="pt")
    return batch.to(device)

# %% [markdown]
# Batches of 16 texts, one step of the optimizer each. Chapters 08 and 09 explain these lines. The curve is the loss,
# the number that training makes smaller.

# %%
train = data["train"].shuffle(seed=1).select(range(256))
optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-4, fused=True)  # fused: one pass over all weights
curve = lab.training_curve()
classifier.train()
for step, rows in enumerate(train.iter(batch_size=16)):
    batch = encode(rows["text"])
    loss = classifier(**batch, labels=torch.tensor(rows["label"], device=device)).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    curve.log(step=step, loss=loss)

# %% [markdown]
# The loss begins at about 2.1, which is what guessing among eight costs (−ln ⅛), and falls. (Run the cell again, and
# the training goes on from where it was.) And the sentence? It is not among the texts of the training.

# %%
assert sentence not in train["text"]
lab.probabilities(logits_of(sentence), names)

# %% [markdown]
# Sixteen steps, and *sports* is ahead. Don't trust one sentence, though: measure it on texts that were kept back.

# %%
kept_back = data["test"]
classifier.eval()
right = 0
for rows in kept_back.iter(batch_size=32):
    with torch.inference_mode():
        guesses = classifier(**encode(rows["text"])).logits.argmax(dim=-1).cpu()
    right += int((guesses == torch.tensor(rows["label"])).sum())
f"{right} of {len(kept_back)} right"

# %% [markdown]
# Guessing would get one in eight. To begin with weights that others have trained is called **transfer learning**;
# chapter 01 compares it with a beginning from random weights.
#
# So there are three ways: a **pipeline** when a model already does your task, the **Auto classes** when you want to see
# or change what happens, **fine-tuning** when no model does your task yet.
#
# ### Exercise 0.4
# Write `accuracy(logits, labels)`: `logits` has shape `[examples, classes]`, `labels` has shape `[examples]` and holds
# class numbers. Return, as a `float`, the share of examples whose highest logit is the labelled class. For example,
# `[[2., 1.], [0., 3.]]` with the labels `[0, 0]` gives `0.5`.

# %% tags=["exercise"]
def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of rows of `logits` [examples, classes] whose largest entry is at `labels` [examples]."""
    # BEGIN SOLUTION
    return (logits.argmax(dim=-1) == labels).float().mean().item()
    # END SOLUTION

# %% tags=["check"]
lab.check("0.4", accuracy)

# %% [markdown]
# `lab.hint("0.4")` helps.

# %% [markdown]
# ## 0.5 The map of the ecosystem
# <!-- T003 -->
# Transformers is one of a family of libraries. Before you run this: which of them do you think are installed here
# already?

# %%
ecosystem = {
    "transformers": "models: their architecture, loading, training, generation",
    "tokenizers": "text to ids, fast (Rust)",
    "huggingface_hub": "download and upload models and data sets",
    "datasets": "load, transform and stream data",
    "evaluate": "metrics and comparisons",
    "accelerate": "the same training loop on one or many devices",
    "peft": "fine-tune a few parameters instead of all (LoRA and others)",
    "safetensors": "a file format for weights that can't run code",
}

# %% [markdown]
# Those are the core. Around it stand libraries for one purpose each:

# %%
ecosystem |= {
    "optimum": "export and speed-ups for particular hardware",
    "diffusers": "image, audio and video generation by diffusion",
    "timm": "vision models",
    "sentence-transformers": "sentence embeddings and rerankers",
    "setfit": "text classification from a handful of examples",
    "trl": "training with preferences and rewards",
    "gradio": "web demos, as on Spaces",
}

# %%
from importlib.metadata import PackageNotFoundError

def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not here"

pd.options.display.max_colwidth = None
pd.DataFrame({"for": ecosystem, "version here": {name: installed(name) for name in ecosystem}})

# %% [markdown]
# Where a version stands, the library is installed here. Two more names that you will meet are no Python libraries:
# Chat-UI is a web application for chatting, and StarCoder is a family of models for code.
#
# ### How the parts of Transformers fit together
# <!-- T301 -->
# You have now met its main parts. Before you run this: which of them does a pipeline hold, and which does a `Trainer`,
# which chapter 10 is about, ask for?

# %%
import inspect
from transformers import Trainer

parts = {"config": extract.model.config, "model": extract.model, "tokenizer": extract.tokenizer, "data": data["train"]}
links = [("config", "model", "config"), ("model", "pipeline", "model"), ("tokenizer", "pipeline", "tokenizer")]
links += [("model", "trainer", "model"), ("tokenizer", "trainer", "processing_class")]
links += [("data", "trainer", "train_dataset")]
for part, whole, name in links:
    if whole == "trainer":
        assert name in inspect.signature(Trainer).parameters
    else:
        assert getattr(extract if whole == "pipeline" else parts[whole], name) is parts[part]

# %% [markdown]
# Each link is checked: a pipeline and a model *have* an attribute of that name, and it is that very part; a `Trainer`
# has a parameter of that name. Draw them, each box with the name of its class:

# %%
import matplotlib.dates
import matplotlib.pyplot as plt

classes = {part: type(one) for part, one in parts.items()} | {"pipeline": type(extract), "trainer": Trainer}
spots = {"config": (0, 1), "model": (3, 1), "tokenizer": (3, 2), "data": (3, 0), "pipeline": (6, 2), "trainer": (6, 0)}
box = {"boxstyle": "round,pad=0.5", "facecolor": "#FFF4DC", "edgecolor": "#E69F00"}
arrow = {"arrowstyle": "->", "color": "#0072B2", "shrinkA": 50, "shrinkB": 68}

# %%
figure, axes = plt.subplots(figsize=(9, 3.6))
for part, whole, name in links:
    (x, y), (to_x, to_y) = spots[part], spots[whole]
    axes.annotate("", (to_x, to_y), (x, y), arrowprops=arrow)
    side = "center" if y == to_y else "right" if y < to_y else "left"  # beside the arrow, never on it
    axes.text((x + to_x) / 2, (y + to_y) / 2 + 0.07, name, ha=side, va="bottom", fontsize=9, color="#0072B2")
for part, (x, y) in spots.items():
    name, library = classes[part].__name__, classes[part].__module__.partition(".")[0]
    axes.text(x, y, f"{name}\n{library}", ha="center", va="center", fontsize=9, bbox=box)
axes.set(xlim=(-1.2, 7.2), ylim=(-0.6, 2.6), title="Config, model, tokenizer: parts of a pipeline and of a training")
axes.axis("off");

# %% [markdown]
# Follow the arrows from the left. The config is in the model; the pipeline and the `Trainer` both have a model and a
# tokenizer, and only the `Trainer` has a data set.

# %% [markdown]
# ## 0.6 How the library got here
# <!-- T004, T301 -->
# The library has had three names. Before you run this: which took longer, the way from its birth to version 4, or the
# way from 4 to 5?

# %%
library = {
    "pytorch-pretrained-bert": "2018-11",
    "pytorch-transformers: six architectures": "2019-07",
    "transformers 2: TensorFlow joins": "2019-09",
    "transformers 3": "2020-06",
    "transformers 4: fast tokenizers by default": "2020-11",
    "transformers 5: PyTorch only": "2026-01",
}
born = pd.to_datetime(pd.Series(library))
ends = born.shift(-1, fill_value=pd.Timestamp.now())  # each lasts until the next; the last one until today
to_four, four_to_five = born.iloc[4] - born.iloc[0], born.iloc[5] - born.iloc[4]
print(f"to version 4: {to_four.days / 365.25:.1f} years; from 4 to 5: {four_to_five.days / 365.25:.1f} years")

# %% [markdown]
# Beside it, the months of some models: BERT, of whose family our encoder is; those that made headlines; and SmolLM2,
# with which chapter 12 writes.

# %%
around = pd.to_datetime(pd.Series({
    "BERT": "2018-10", "BLOOM": "2022-07", "Stable Diffusion": "2022-08", "ChatGPT": "2022-11", "LLaMA": "2023-02",
    "StarCoder": "2023-05", "SmolLM2": "2024-11", "DeepSeek-R1": "2025-01",
})).sort_values()
figure, axes = plt.subplots(figsize=(9, 4.6))
axes.barh(born.index, ends - born, left=born, color="#0072B2")
axes.plot(around, around.index, "o", color="#D55E00")
axes.xaxis.set_major_locator(matplotlib.dates.YearLocator())
axes.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%Y"))
axes.invert_yaxis()
axes.grid(axis="y", visible=False)
axes.set_title(f"Version 4 lasted {four_to_five / to_four:.1f} times as long as all that came before it");

# %% [markdown]
# Read the blue bars from above: each lasts until the next one begins, and the last one ends today. Look at the long
# one. A tutorial that was written during it, whatever it teaches, was written for another library than the one that you
# have. So are the study notes that this course grew out of. Every chapter ends with a table of what changed since.
#
# ## What changed since the notes
# *The notes* are five study documents, most of them in Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `pip install transformers[tf]`, `TFAutoModel` | `AutoModel` | version 5 is PyTorch only; the TensorFlow classes are gone |
# | `from transformers import AdamW` | `torch.optim.AdamW` | PyTorch's own replaced the library's |
# | `pipeline(..., framework="pt")` | `pipeline(..., device=..., dtype=...)` | there is one framework left to choose |
# | `BertTokenizer` is slow, `BertTokenizerFast` is fast | `AutoTokenizer`: one class for each kind; BERT's is fast, a few such as ByT5's are Python only | two implementations had to be kept equal |
# | `pip install transformers==2.2.0` beside `tensorflow-gpu` | `pip install transformers torch` | the versions of then need a Python of then |
# | `pip install … --trusted-host HOST` | `--index-url ADDRESS` | the first only skips the check of a certificate; the second names the mirror |

# %%
assert not hasattr(transformers, "TFAutoModel") and not hasattr(transformers, "AdamW")
AutoModel.from_pretrained(encoder, revision=encoder.revision)
torch.optim.AdamW(model.parameters(), lr=1e-5)
pipeline("feature-extraction", model=encoder, revision=encoder.revision, device=device, dtype=torch.float32)
assert AutoTokenizer.from_pretrained(encoder, revision=encoder.revision).is_fast
with tempfile.TemporaryDirectory() as folder:  # ByT5 reads bytes: its tokenizer needs no vocabulary
    transformers.ByT5Tokenizer().save_pretrained(folder)
    assert not AutoTokenizer.from_pretrained(folder).is_fast
help_of_pip = subprocess.run([sys.executable, "-m", "pip", "install", "--help"], capture_output=True, text=True).stdout
assert "--index-url" in help_of_pip and "--trusted-host" in help_of_pip

# %% [markdown]
# ## Quiz

# %%
lab.quiz("00")

# %% [markdown]
# ## Recap
# - The environment report tells you versions, device, memory, mode and caches.
# - One sentence went through a pipeline, through the Auto classes with the same numbers, and through a classifier that
#   you trained.
# - The mean of the token vectors, scaled to length one, is a sentence vector; the cosine compares two of them.
# - `transformers.__file__` says which copy was imported; the ecosystem is a family of libraries for models, tokenizers,
#   data, Hub, training, metrics and demos.
# - The library was at version 4 two years after its birth, and stayed there for five. What was written then was written
#   for another library than today's.
#
# Your progress so far, over all chapters:

# %%
lab.progress()

# %% [markdown]
# Next: [01 Architectures and attention](01_architectures.ipynb) looks inside the encoder of this chapter.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - The load report is a red block, and no error (0.4): its `MISSING` says which weights are new.
# - `feature-extraction` can be taken to give one vector for a sentence. It gives one for each token (0.1); 0.3 makes
#   one of them, and shows what padding does to a careless mean.
# - The offline error speaks of the connection; it is the mode that forbids asking (0.2).
#
# **To discuss:**
#
# - *What does the heat map of the four sentences prove about meaning, and what doesn't it?* Lean on 0.1: the map, and
#   the row of each student's own sentence. A good answer compares pairs, says that four chosen sentences are few, and
#   proposes one that could break it.
# - *After sixteen steps “sports” is ahead. What would convince you that the classifier is good?* Lean on 0.4: the count
#   on the texts that were kept back. A good answer asks for texts outside the training, and compares with one in eight,
#   not with zero.
# - *Pipeline, Auto classes or fine-tuning: which for a task of yours?* Lean on the difference printed in 0.3; the end
#   of 0.4. A good answer asks first whether a model for the task exists, then whether one has to see inside.
# - *How old may a tutorial be?* Lean on the bars of 0.6; the table *What changed*. A good answer asks for which version
#   it was written, and tests one call instead of throwing it away.
#
# **If time is short.** 0.5 and 0.6 can be left out together (0.6 draws with an import of 0.5); no other section uses
# them. Run the cells of 0.2 even if you don't read them: later ones use its `device` and imports. Exercise to keep:
# 0.2; chapters 02, 03 and 07 come back to the mean.
#
# **In class.** Nothing to fetch: the encoder comes with the installation. The only training is that of 0.4, sixteen
# steps. Have each student think of a sentence with a rare word for `mine`. Where machines differ, compare the reports
# of 0.2.
