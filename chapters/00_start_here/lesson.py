# %% [markdown]
# # 00 Start here
# In half an hour you know what your machine can do, how this workbook works, and the three ways to use Transformers.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | read an environment report: versions, device, memory, mode, caches | 30 minutes | Python, and a little PyTorch |
# | run one sentence through a pipeline, through the Auto classes, and through your own fine-tuning | | no account, no GPU, no network |
# | turn token vectors into a sentence vector, and compare sentences with it | | |
# | know what each library of the ecosystem is for | | |
# | place today's library in its history | | |

# %%
import labs_utils as lab
lab.start("00")

# %% [markdown]
# That one line is your session: the chapter, the versions, where models will run, and the mode. **Offline** means that
# no cell opens a connection. Every notebook begins with these two lines.
#
# How a chapter works: a section asks a question. You write down a prediction, on paper if you like. You run the cells.
# Then you read what they mean. `Shift`+`Enter` runs a cell and goes to the next. Being wrong is the useful part.

# %% [markdown]
# ## 0.1 What does this machine have?
# <!-- T001 -->
# Before you run this: do you think that you have a device faster than the CPU? How much memory is free?

# %%
import os
import platform

import pandas as pd
import psutil
import torch

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
    "huggingface_hub", "accelerate", "peft", "safetensors", "jupyterlab",
]
versions = {"Python": platform.python_version()} | {name: version(name) for name in packages}
pd.Series(versions).to_frame("version")

# %% [markdown]
# Three folders matter to you. The Hugging Face libraries keep what they download in theirs. The workbook keeps your
# progress in one, and what can be made again in another. You can delete the caches at any time; you lose nothing but
# time.

# %%
from huggingface_hub.constants import HF_HUB_CACHE
from labs_utils.paths import cache, home

folders = {
    "downloads from the Hub": HF_HUB_CACHE,
    "your progress": home(),
    "what can be made again": cache(),
}
states = {name: "there" if os.path.isdir(path) else "not made yet" for name, path in folders.items()}
pd.Series(states).to_frame("folder")

# %% [markdown]
# `folders` holds their paths: put its name into a cell of its own to see them. To use the real Hub, set `LABS_MODE=hub`
# before you start JupyterLab. The cells stay the same: they ask for a model by its **role**.

# %%
encoder = lab.checkpoint("encoder")
encoder.hub_id, encoder.licence

# %% [markdown]
# This encoder goes with you through the course. It is small and real: a trained sentence encoder that people use as it
# is. Offline, `encoder` is a folder on your disk; in hub mode it is that Hub id, at a pinned revision.
#
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
# ## 0.2 One sentence, the short way: a pipeline
# <!-- T002 -->
# A `pipeline` takes text and gives an answer. Everything between is hidden. This one turns text into vectors.
#
# Before you run this: the sentence has ten words and a full stop. How many vectors will come out?

# %%
from transformers import pipeline

sentence = "The home side won with a goal in extra time."
extract = pipeline("feature-extraction", model=encoder, revision=encoder.revision, device=device)
vectors = extract(sentence, return_tensors=True)[0]  # [tokens, width]
vectors.shape

# %% [markdown]
# Ten words, one full stop, and two more: the model adds a token at the start and one at the end. Each of them is now a
# vector of 384 numbers. `lab.tokens` shows the pieces.

# %%
lab.tokens(extract.tokenizer, sentence)

# %% [markdown]
# ## 0.3 The same sentence with the Auto classes
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
inputs = tokenizer(sentence, return_tensors="pt").to(device)
with torch.inference_mode():
    hidden = model(**inputs).last_hidden_state  # [1, tokens, width]
(hidden[0].cpu() - vectors).abs().max()

# %% [markdown]
# The largest difference is zero, or so close that only the order of additions can explain it. The pipeline does nothing
# that you can't do: chapter 03 takes it apart.
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
# With such vectors, similar meaning becomes a number: the **cosine similarity**, which for vectors of length one is
# their dot product. Before you run this: which two of these four sentences will be closest? Two of them share a word,
# and two share a meaning.

# %%
four = [
    "She put her money in the bank.",
    "The boat drifted against the bank.",
    "He deposited his savings.",
    "A canoe touched the river's edge.",
]
with torch.inference_mode():
    batch = tokenizer(four, padding=True, return_tensors="pt").to(device)
    states = model(**batch).last_hidden_state  # [4, tokens, width]

# %% [markdown]
# The shorter sentences were filled up with padding. The attention mask says which tokens are real, and only those go
# into the mean.

# %%
real = batch["attention_mask"].unsqueeze(-1)  # [4, tokens, 1]: 0 where a short sentence was padded
means = (states * real).sum(dim=1) / real.sum(dim=1)  # [4, width]
unit = torch.nn.functional.normalize(means, dim=-1)
columns = ["money", "boat", "savings", "canoe"]
lab.heatmap(unit @ unit.T, rows=four, columns=columns, title="Meaning outweighs the word “bank”")

# %% [markdown]
# Read a row: outside the diagonal, the sentence about money is closest to the one about savings, and the boat to the
# canoe. The two that share the word *bank* are further apart.
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
# `lab.hint("0.3")` helps.

# %% [markdown]
# ## 0.4 The same sentence with a model that you fine-tune
# The encoder knows meaning, but it does not know your labels. Give it a **head** with eight outputs, and it can learn
# to sort texts into eight topics. The course's `topics` have labels from 0 to 7.

# %%
from datasets import load_dataset

topics = lab.dataset("topics")
data = load_dataset(topics, revision=topics.revision)
names = data["train"].features["label"].names
names, data["train"][0]

# %% [markdown]
# Before you run this: the head's weights are random. What probability of each topic will the untrained model give our
# sentence?

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
# The library told you that the classifier's weights are *newly initialized*, and the bars show it: all eight are near
# one in eight. It is guessing.
#
# Now train. A batch of texts becomes one rectangle of ids, the shorter texts filled up:

# %%
def encode(texts: list[str]):
    """A padded batch of at most 48 tokens each, on the device."""
    batch = tokenizer(texts, padding=True, truncation=True, max_length=48, return_tensors="pt")
    return batch.to(device)

# %% [markdown]
# Batches of 16 texts, one step of the optimizer each. Chapters 08 and 09 explain every line. The curve is the loss, the
# number that training makes smaller.

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
# The loss falls from about 2.1, which is what guessing among eight costs (−ln ⅛). And the sentence?

# %%
lab.probabilities(logits_of(sentence), names)

# %% [markdown]
# A few seconds of training, and *sports* is well ahead, for a sentence that the model has never seen. Don't trust one
# sentence, though: measure it on texts that were kept back.

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
# Guessing would get one in eight. Sixteen steps over 256 texts are enough, because the encoder already knew what the
# words mean: that is **transfer learning**, and chapter 01 measures it.
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
# The rows with a version are all that this course needs; chapters that use another one say so. Two names of the notes
# are no Python libraries: Chat-UI is a web application for chatting, and StarCoder is a family of models for code.

# %% [markdown]
# ## 0.6 How the library got here
# <!-- T004 -->
# The library has had three names. Before you run this: which took longer, the way from its birth to version 4, or the
# way from 4 to 5?

# %%
import matplotlib.pyplot as plt

releases = {
    "pytorch-pretrained-bert\nBERT in PyTorch": "2018-11",
    "pytorch-transformers 1\nsix architectures": "2019-07",
    "transformers 2\nTensorFlow joins": "2019-09",
    "transformers 3": "2020-06",
    "transformers 4\nfast tokenizers by default": "2020-11",
    "transformers 5 (candidate)\nPyTorch only": "2025-12",
}

# %%
dates = pd.to_datetime(list(releases.values()))
figure, axes = plt.subplots(figsize=(9, 3.4))
heights = [1, -1.2, 2.2, -2.4, 1, 1]
axes.vlines(dates, 0, heights, colors="#0072B2")
axes.plot(dates, [0] * len(dates), "o-", color="#0072B2")
for date, height, name in zip(dates, heights, releases):
    axes.annotate(name, (date, height), ha="left", va="bottom" if height > 0 else "top", fontsize=9)
axes.set(title="Four major versions in two years, then five years of version 4")
axes.set(ylim=(-4, 4), yticks=[], xlim=(pd.Timestamp("2018-07"), pd.Timestamp("2028-01")))
axes.grid(False)
axes.spines["left"].set_visible(False)

# %% [markdown]
# Look at the gap before the last dot. Most tutorials, and the notes behind this course, were written inside it. That is
# why so many of their cells stop on today's library, and why every chapter here ends with a table of what changed.
#
# ## What changed since the notes
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `pip install transformers[tf]`, `TFAutoModel` | `AutoModel` | version 5 is PyTorch only; the TensorFlow classes are gone |
# | `from transformers import AdamW` | `torch.optim.AdamW` | PyTorch's own replaced the library's |
# | `pipeline(..., framework="pt")` | `pipeline(..., device=..., dtype=...)` | there is one framework left to choose |
# | `BertTokenizer` is slow, `BertTokenizerFast` is fast | `AutoTokenizer`, always the fast one | one implementation per tokenizer |

# %%
import transformers

assert not hasattr(transformers, "TFAutoModel") and not hasattr(transformers, "AdamW")
AutoModel.from_pretrained(encoder, revision=encoder.revision)
torch.optim.AdamW(model.parameters(), lr=1e-5)
pipeline("feature-extraction", model=encoder, revision=encoder.revision, device=device, dtype=torch.float32)
assert AutoTokenizer.from_pretrained(encoder, revision=encoder.revision).is_fast

# %% [markdown]
# ## Quiz

# %%
lab.quiz("00")

# %% [markdown]
# ## Recap
# - The environment report tells you versions, device, memory, mode and caches; `lab.start` puts it on one line.
# - One sentence went through a pipeline, through the Auto classes with the same numbers, and through a classifier that
#   you trained.
# - The mean of the token vectors, scaled to length one, is a sentence vector; the cosine compares two of them.
# - The ecosystem is a family: models, tokenizers, data, Hub, training, metrics, demos, each a library.
# - The library went through four major versions in two years, then stayed at the fourth for five: today's code differs
#   from most tutorials.
#
# Your progress so far, over all chapters:

# %%
lab.progress()

# %% [markdown]
# Next: [01 Architectures and attention](01_architectures.ipynb) looks inside the model that you have just trained.
