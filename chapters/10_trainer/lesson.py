# %% [markdown]
# # 10 Trainer
#
# You fine-tune a classifier of emotions with the `Trainer`, open every box it hands you, and then write its loop
# yourself and get the same losses.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | look at a data set before training: class frequencies, lengths, labels out of range | 2 hours | chapters 08 and 09 |
# | tokenize a whole data set with `map`, and pad each batch only as far as it needs | | |
# | write `TrainingArguments` with today's names, and a `compute_metrics` that is not flattered by the largest class | | |
# | read what `train`, `evaluate` and `predict` return, and find the texts that the model gets most wrong | | |
# | stop early, keep the best checkpoint, resume after an interruption, and show that it changes nothing | | |
# | say what the Trainer does in twenty lines, what a batch is on many GPUs, and push the result to a Hub | | |

# %%
import labs_utils as lab
lab.start("10")

# %% [markdown]
# In chapter 09 you wrote the training loop. The `Trainer` is that loop, written once for everybody: batches, loss,
# gradients, steps, schedule, evaluation, checkpoints, logs. The example is a classic: six emotions in short texts.
#
# At its end you push the model to a Hub. `lab.hub()` starts one on this machine; it has to come before the libraries
# are imported. (In hub mode the chapter reads from the real Hub, and pushes nothing.)

# %%
import os

hub = lab.hub() if os.environ.get("LABS_MODE") != "hub" else None
hub

# %% [markdown]
# Both libraries are quiet here: no progress bars of `map`, and only errors in the log.

# %%
import tempfile
from pathlib import Path

import datasets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import transformers
from datasets import ClassLabel, load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
from transformers import Trainer, TrainingArguments

# %%
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
datasets.disable_progress_bars()
pd.set_option("display.max_colwidth", 110)
box = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # goes away with the kernel
options = {"per_device_eval_batch_size": 64, "log_level": "error"}  # about the machine and the log
options["dataloader_pin_memory"] = lab.device().type == "cuda"  # elsewhere it only warns

def one_row(numbers: dict, name: str = "") -> pd.DataFrame:
    """Numbers side by side, in a table with one row."""
    return pd.DataFrame([numbers], index=[name]).round(3)

# %%
source = lab.dataset("emotion")
emotions = load_dataset(source, revision=source.revision)
if not isinstance(emotions["train"].features["label"], ClassLabel):
    emotions = emotions.class_encode_column("label")
if "test" not in emotions:  # some copies of the public set come without: halve the validation split
    halves = emotions["validation"].train_test_split(0.5, seed=42, stratify_by_column="label")
    emotions["validation"], emotions["test"] = halves["train"], halves["test"]
names = emotions["train"].features["label"].names
print("labels:", *names, sep="  ")
one_row({name: len(split) for name, split in emotions.items()}, "texts")

# %% [markdown]
# Three splits, and a `ClassLabel` that knows which number is which emotion. (With the environment variable
# `LABS_DATA_DIR` or in hub mode this is a public set with 16,000 rows for training. The cells below are made for
# either.)
#
# ## 10.0 A whole training in twelve lines
# Here is everything at once. Before you run it: a head that knows nothing guesses among six emotions, and a guess costs
# a loss of ln 6, about 1.8. Where will the loss be after 16 steps of eight texts each?

# %%
set_seed(42)
encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
encoded = emotions.map(lambda rows: tokenizer(rows["text"], truncation=True), batched=True)
model = AutoModelForSequenceClassification.from_pretrained(
    encoder, revision=encoder.revision, num_labels=len(names)
)
steps = {"max_steps": 16, "logging_steps": 4, "learning_rate": 3e-4, "save_strategy": "no", "disable_tqdm": False}
arguments = TrainingArguments(f"{box.name}/first", **steps, **options)
trainer = Trainer(model, arguments, train_dataset=encoded["train"], processing_class=tokenizer)
output = trainer.train()
one_row(trainer.evaluate(encoded["validation"].select(range(64))), "held out")

# %% [markdown]
# It trains: on texts that were not trained on, the loss is below that of a guess already. You can use these lines as
# they stand. But each of them decided things that you didn't see, and the rest of the chapter opens them one by one:
#
# | the line | what it hides | section |
# | --- | --- | --- |
# | `emotions` | how uneven the classes are; a label that would stop the run | 10.1 |
# | `map(…, batched=True)` | how many rows at a time; who pads them, and how far | 10.2, 10.3 |
# | `TrainingArguments(…)` | more than a hundred settings, most of them at a default | 10.4 |
# | `train()`, `evaluate(…)` | metrics, callbacks, what comes back | 10.5 to 10.7 |
# | one number for a whole split | a class that the model hardly ever names | 10.8 |
# | the loop itself | twenty lines | 10.9 |
# | `save_strategy="no"` | checkpoints, resuming, stopping early, sharing | 10.10, 10.12 |
# | one machine | what a batch is on many | 10.11 |

# %% [markdown]
# ## 10.1 Look before you train
# <!-- T150 -->
# Two things are worth a picture first: how often each class occurs, and how long the texts are. Before you run this:
# how often is somebody right who always answers with the most frequent emotion?

# %%
frame = emotions["train"].to_pandas()
frame["emotion"] = [names[label] for label in frame["label"]]
frame["words"] = frame["text"].str.split().str.len()
shares = frame["emotion"].value_counts(normalize=True)
frame.sample(4, random_state=1)[["text", "emotion", "words"]]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.4))
left.barh(shares.index[::-1], 100 * shares[::-1], color="#0072B2")
times = f"{shares.iloc[0] / shares.iloc[-1]:.0f} times as frequent"
left.set(xlabel="texts, %", title=f"“{shares.index[0]}” is {times} as “{shares.index[-1]}”")
left.grid(axis="y", visible=False)
groups = [frame["words"][frame["emotion"] == name] for name in shares.index[::-1]]
right.boxplot(groups, orientation="horizontal", tick_labels=shares.index[::-1], showfliers=False)
medians = frame.groupby("emotion")["words"].median()
right.set(xlabel="words in a text", title=f"Lengths: medians from {medians.min():.0f} to {medians.max():.0f} words")
right.grid(axis="y", visible=False)

# %% [markdown]
# Left: the classes are uneven, so a high accuracy can hide a class that the model never names. Right: each box holds
# the middle half of a class. The lengths don't give the emotion away, and they are far below the encoder's 512
# positions, so truncation will cost nothing (section 10.2 counts the tokens).
#
# ### Exercise 10.1
# Write `lazy_baseline(labels)`: `labels` is a list of integers. Return the most frequent label and the accuracy of
# always answering with it, as a pair `(label, accuracy)`. For example, `[2, 0, 2, 1]` gives `(2, 0.5)`. On a tie,
# either label will do.

# %% tags=["exercise"]
def lazy_baseline(labels: list[int]) -> tuple[int, float]:
    """The most frequent label, and how often somebody is right who always gives it."""
    # BEGIN SOLUTION
    counted = {label: labels.count(label) for label in set(labels)}
    most = max(counted, key=counted.get)
    return most, counted[most] / len(labels)
    # END SOLUTION

# %% tags=["check"]
lab.check("10.1", lazy_baseline)

# %% [markdown]
# `lab.hint("10.1")` helps.
#
# One more look can save an evening. A label outside the range stops the training when its batch comes, which may be
# late in an epoch, with an error that does not name the row. (All but one: a row with `-100` is skipped without a
# word.) And some public sets write `-1` for "this label is secret". So ask first:

# %%
def ready(split, classes: int) -> str:
    """Refuse a split on which training would fail later."""
    if len(split) == 0:
        raise ValueError("The split has no rows to train on. Look at the filter or slice that made it.")
    wrong = [row for row, label in enumerate(split["label"]) if label not in range(classes)]
    if wrong:
        first = f"The first is row {wrong[0]} with {split['label'][wrong[0]]}."
        raise ValueError(f"Rows with a label outside 0 … {classes - 1}: {len(wrong)}. {first}")
    return f"{len(split):,} rows, labels 0 … {classes - 1}"

for name, split in emotions.items():
    print(f"{name:10}", ready(split, len(names)))

# %%
secret = datasets.Dataset.from_dict({"text": ["i feel fine", "who knows"], "label": [1, -1]})
with lab.expect_error(ValueError):
    ready(secret, len(names))
with lab.expect_error(ValueError):
    ready(emotions["train"].select([]), len(names))
scores, measure = torch.eye(2, len(names)), torch.nn.functional.cross_entropy
with lab.expect_error(IndexError):
    measure(scores, torch.tensor([1, -1]))
bool(measure(scores, torch.tensor([1, -100])) == measure(scores[:1], torch.tensor([1])))  # the second row is skipped

# %% [markdown]
# ## 10.2 One batch for the whole split
# <!-- T151 -->
# Many tutorials tokenize with `map(tokenize, batched=True, batch_size=None)`, and you may read that `None` means the
# default size, about 1,000 rows. Before you run this: how many rows does the function get at once? It is easy to find
# out: let it write down what it gets.

# %%
def sizes_seen(**options) -> list[int]:
    """The numbers of rows that `map` hands over, call by call."""
    seen = []
    def look(batch):
        seen.append(len(batch["text"]))
    emotions["train"].map(look, batched=True, load_from_cache_file=False, **options)
    return seen

for given in ({}, {"batch_size": 500}, {"batch_size": None}):
    print(f"{given or 'the default'}: {sizes_seen(**given)}")

# %% [markdown]
# The default is 1,000. `None` is something else: **the whole split in one call**. It makes a difference where the
# function pads as well:

# %%
def padded(batch):
    return tokenizer(batch["text"], padding=True, truncation=True)

for size in (100, None):
    rows = emotions["train"].map(padded, batched=True, batch_size=size)
    widths = {len(ids) for ids in rows["input_ids"]}
    print(f"batch_size={size}: different lengths among the rows: {len(widths)}")

# %% [markdown]
# `padding=True` pads to the longest text *that the function sees*. With `None` this is the longest of the split, so all
# rows get one length, and `set_format("torch")` can make one tensor of any of them. Code that needs one width for all
# rows works with `None`; with the default it works on a split of up to 1,000 rows, and a larger one may break it. The
# price: all texts go through memory at once, and every row is as wide as the longest. There is a better way: **don't
# pad here at all.**

# %%
def tokenize(rows):
    return tokenizer(rows["text"], truncation=True)

encoded = emotions.map(tokenize, batched=True)
lengths = [len(ids) for ids in encoded["train"]["input_ids"]]
print(encoded["train"].column_names)
f"shortest {min(lengths)}, mean {np.mean(lengths):.0f}, longest {max(lengths)} tokens"

# %% [markdown]
# ## 10.3 Pad each batch, not the data set
# <!-- T152 -->
# `DataCollatorWithPadding` is called with the rows of one batch, and pads them to the longest of *these*. Before you
# run this: what will the shapes of the first batches have in common, and what not?

# %%
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

collate = DataCollatorWithPadding(tokenizer)
rows = encoded["train"].remove_columns("text")
seeded = torch.Generator().manual_seed(42)
loader = DataLoader(rows, batch_size=32, shuffle=True, collate_fn=collate, generator=seeded)
first = [batch for _, batch in zip(range(6), loader)]
print({name: tuple(value.shape) for name, value in first[0].items()})
print([tuple(batch["input_ids"].shape) for batch in first])

# %% [markdown]
# 32 rows each time, and as wide as the longest of them. Two more things happened on the way: the column `label` became
# `labels`, which is what a model calls it, and lists became tensors. How many positions are computed for nothing?
# Compare four ways to make the batches.

# %%
def positions(order, size: int = 32) -> int:
    """Positions computed in one epoch when each batch is as wide as its longest row."""
    taken = [lengths[row] for row in order]
    parts = [taken[first : first + size] for first in range(0, len(taken), size)]
    return sum(max(part) * len(part) for part in parts)

shuffled = np.random.default_rng(42).permutation(len(lengths))
blocks = [shuffled[first : first + 512] for first in range(0, len(shuffled), 512)]
grouped = [row for block in blocks for row in sorted(block, key=lambda row: lengths[row])]
# %%
ways = {"to 128, as in chapter 09": 128 * len(lengths)}
ways["to the longest of all"] = max(lengths) * len(lengths)
ways["to the longest of the batch"] = positions(shuffled)
ways["…with rows grouped by length"] = positions(grouped)
ratio = pd.Series(ways) / sum(lengths)

# %%
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.barh(ratio.index[::-1], ratio[::-1], color=["#009E73", "#009E73", "#E69F00", "#E69F00"])
axes.axvline(1, color="black", linewidth=1, linestyle=":")
axes.grid(axis="y", visible=False)
axes.set_title(f"Batch by batch: {ratio.iloc[2]:.1f} positions for each token, not {ratio.iloc[0]:.1f}")
axes.set_xlabel("positions computed for each real token");

# %% [markdown]
# The dotted line at 1 would be no padding at all; what a bar has beyond it is waste. Padding each batch to its own
# longest row (upper green bar) saves a good part of it; with rows of like length in one batch, hardly any is left.
# Which collator did the training of 10.0 use, that was given a tokenizer and no collator?

# %%
print(type(trainer.data_collator).__name__, "| of our tokenizer:", trainer.data_collator.tokenizer is tokenizer)

# %% [markdown]
# This one. The Trainer also groups rows by length, on request: section 10.4 asks for it.
#
# What does the collator do with rows of *text*? It pads what a tokenizer has made; it does not tokenize. And it does
# not truncate: these are all its settings.

# %%
import dataclasses

print([field.name for field in dataclasses.fields(DataCollatorWithPadding)])
with lab.expect_error(ValueError):
    collate([{"text": "Hello, how are you?", "label": 0}, {"text": "Goodbye!", "label": 1}])

# %% [markdown]
# <!-- T322 -->
# What do `padding`, `max_length` and `pad_to_multiple_of` do? Two rows, of three and of ten tokens. Before you run
# this: which of the settings makes a width of 16, which of 12, and which makes none?

# %%
two = [{"input_ids": list(range(3))}, {"input_ids": list(range(10))}]
settings = [{}, {"pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 12}, {"max_length": 4}]
for given in settings:
    print(f"{str(given):45} {tuple(DataCollatorWithPadding(tokenizer, **given)(two)['input_ids'].shape)}")
with lab.expect_error(ValueError):
    DataCollatorWithPadding(tokenizer, padding=False)(two)

# %% [markdown]
# Multiples of 8 suit the matrix units of a GPU. `max_length` means something only with `padding="max_length"`, as the
# library warns once in a run, and it never shortens. Without padding, rows of two lengths make no tensor, and that is
# the error.

# %% [markdown]
# ### Exercise 10.2
# Write `wasted_share(lengths, batch_size)`: `lengths` is a list of the token counts of rows, in the order in which they
# are taken, `batch_size` rows at a time; the last batch may be smaller. Each batch is padded to its longest row. Return
# the share of all positions that is padding, a number from 0 to 1. For example, `wasted_share([4, 2, 3], 2)` gives 2 of
# 11 positions, `0.18…`: the batches are `[4, 2]`, eight positions of which two are padding, and `[3]`. No rows, no
# waste: `0.0`.

# %% tags=["exercise"]
def wasted_share(lengths: list[int], batch_size: int) -> float:
    """The share of padding when batches of `batch_size` rows are padded to their longest row."""
    # BEGIN SOLUTION
    batches = [lengths[first : first + batch_size] for first in range(0, len(lengths), batch_size)]
    computed = sum(max(batch) * len(batch) for batch in batches)
    return 1 - sum(lengths) / computed if computed else 0.0
    # END SOLUTION

# %% tags=["check"]
lab.check("10.2", wasted_share)

# %% [markdown]
# `lab.hint("10.2")` helps.

# %% [markdown]
# ## 10.4 The arguments, with today's names
# <!-- T153 -->
# `TrainingArguments` holds the numbers of a training. These thirteen names stand in many a tutorial, and some are gone.
# Before you run this: which would you bet on?

# %%
fields = {field.name: field for field in dataclasses.fields(TrainingArguments)}
older = """output_dir num_train_epochs learning_rate weight_decay per_device_train_batch_size
    per_device_eval_batch_size evaluation_strategy disable_tqdm logging_steps logging_dir
    save_total_limit push_to_hub log_level""".split()
print("still there:", *(name for name in older if name in fields), sep="  ")
print("gone:       ", *(name for name in older if name not in fields), sep="  ")
print(f"{len(fields)} arguments in all")

# %%
import inspect

with lab.expect_error(TypeError):
    TrainingArguments(output_dir=box.name, evaluation_strategy="epoch")
print("Trainer takes:", *list(inspect.signature(Trainer.__init__).parameters)[1:], sep="  ")

# %% [markdown]
# You may look for some in vain: `tokenizer` (today `processing_class`), `scheduler` (part of `optimizers`, a pair),
# `resume_from_checkpoint` (belongs to `train()`), `device` and `logger` (the arguments see to them).
#
# Now the model and its arguments. We keep the embeddings and the lower four of six layers frozen, so that gradients are
# computed for the upper two, the pooler and the head only. For one short pass we do without dropout. And the learning
# rate is far above the 2e-5 that many begin with: a small model, and few steps.

# %%
def fresh(dropout: float = 0.0):
    """The encoder with a new head for our emotions; the same head each time."""
    set_seed(42)
    classes = {"num_labels": len(names), "id2label": dict(enumerate(names))}
    classes["label2id"] = {name: number for number, name in enumerate(names)}
    classes |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    kind = AutoModelForSequenceClassification
    model = kind.from_pretrained(encoder, revision=encoder.revision, **classes)
    model.bert.embeddings.requires_grad_(False)
    model.bert.encoder.layer[:4].requires_grad_(False)
    return model

# %%
model = fresh()
trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
f"{trained:,} of {model.num_parameters():,} parameters are trained"

# %% [markdown]
# `options` holds a few arguments about the machine and the log. The others say how the model is trained, and what you
# see of it; read what stands beside them:

# %% tags=["long"] why="every argument is explained where it stands"
arguments = TrainingArguments(
    output_dir=f"{box.name}/emotion",
    num_train_epochs=1,                            # the default is 3
    learning_rate=5e-4,
    warmup_steps=0.1,                              # below 1: a share of all steps; was warmup_ratio
    weight_decay=0.01,
    per_device_train_batch_size=16,
    eval_strategy="steps",                         # was evaluation_strategy; "epoch" is the other one
    eval_steps=0.5,                                # below 1: after each half of the steps
    logging_steps=0.05,                            # a share of all steps again: some twenty points
    disable_tqdm=False,                            # a progress table, although only errors are logged
    save_strategy="no",                            # section 10.10 is about checkpoints
    train_sampling_strategy="group_by_length",     # was group_by_length=True
    **options,
)

# %% [markdown]
# What you don't say is decided too. These are some of the defaults:

# %%
defaults = ["optim", "lr_scheduler_type", "max_grad_norm", "gradient_accumulation_steps", "seed", "report_to"]
found = {name: getattr(arguments, name) for name in defaults}
pd.Series({name: getattr(one, "value", one) or "nothing" for name, one in found.items()}, name="default").to_frame()

# %% [markdown]
# AdamW, a learning rate that falls linearly to zero, gradients clipped to norm 1, every batch a step, seed 42. Nothing
# is reported to an outside service unless you ask.

# %% [markdown]
# <!-- T322 -->
# Three parts you can hand to the Trainer ready-made: a `data_collator`, `optimizers` (an optimizer with its scheduler),
# and `model_init`, a function that makes the model. Before you run this: how often is `model_init` called when you
# train twice?

# %%
made = []

def model_init():
    """A new model each time, and a line in the list."""
    made.append(fresh())
    return made[-1]

quick = TrainingArguments(f"{box.name}/parts", max_steps=2, save_strategy="no", disable_tqdm=False, **options)
parts = {"train_dataset": encoded["train"], "data_collator": DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)}
again = Trainer(model_init=model_init, args=quick, **parts)
counts = [len(made)] + [(again.train(), len(made))[1] for _ in range(2)]
print(counts, "models; the last one is trained:", again.model is made[-1])

# %%
mine = fresh()
descent = torch.optim.SGD([weight for weight in mine.parameters() if weight.requires_grad], lr=0.01)
steady = torch.optim.lr_scheduler.ConstantLR(descent, factor=1.0)
own = Trainer(mine, quick, optimizers=(descent, steady), **parts)
own.train()
print(type(own.optimizer.optimizer).__name__, own.optimizer.param_groups[0]["lr"])
with lab.expect_error(RuntimeError):
    Trainer(model_init=model_init, args=quick, optimizers=(descent, steady), **parts)

# %% [markdown]
# Once when the Trainer is made, and again at the start of every `train()`, so each training begins afresh: that
# is what a search over learning rates needs. With your own `optimizers` the arguments' learning rate is not used. Both
# together can't work, as an optimizer holds the weights of *one* model.

# %% [markdown]
# ## 10.5 Metrics
# <!-- T154 -->
# At each evaluation the Trainer calls your `compute_metrics` with an `EvalPrediction`: `predictions`, the logits of the
# whole split, and `label_ids`. A common choice is accuracy and the *weighted* F1. Before you run this: somebody always
# answers with the most frequent emotion. What will accuracy, weighted F1 and macro F1 say?

# %%
from sklearn.metrics import accuracy_score, f1_score
from transformers import EvalPrediction

def compute_metrics(pred: EvalPrediction) -> dict[str, float]:
    """Accuracy, and F1 weighted by how frequent each class is."""
    answers = pred.predictions.argmax(axis=-1)
    return {
        "accuracy": accuracy_score(pred.label_ids, answers),
        "f1": f1_score(pred.label_ids, answers, average="weighted"),
    }

# %%
truth = np.array(encoded["validation"]["label"])
lazy = np.eye(len(names))[np.full(len(truth), np.bincount(truth).argmax())]  # [rows, classes]
scores = compute_metrics(EvalPrediction(predictions=lazy, label_ids=truth))
scores["macro f1"] = f1_score(truth, lazy.argmax(axis=-1), average="macro")
one_row(scores, "always the most frequent")

# %% [markdown]
# Accuracy is the share of the largest class. Weighted F1 falls to about half of that: even the largest class has an F1
# of only about a half, because most of the answers that name it are wrong. (The other classes have an F1 of zero, and
# they added nothing to the accuracy either.) Macro F1, the plain mean over the classes, is lowest: here every class
# counts the same, however rare.
#
# `EvalPrediction` unpacks like a pair, and you may read that it is a named tuple. Is it? (It can hold more on request,
# with `include_for_metrics`.)

# %%
pair = EvalPrediction(predictions=lazy, label_ids=truth)
logits, labels = pair
print("a tuple:", isinstance(pair, tuple), "| logits", logits.shape, "| labels", labels.shape)
print("asked for more:", *vars(EvalPrediction(lazy, truth, inputs=truth, losses=truth)))

# %% [markdown]
# It is a class of its own.

# %% [markdown]
# ### Exercise 10.3
# Write `macro_metrics(pred)`: `pred` is an `EvalPrediction` with `predictions` of shape `[rows, classes]` and
# `label_ids` of shape `[rows]`. Return a dict with `"accuracy"` and `"f1"`, both floats, where `f1` is the **macro** F1
# over the classes that occur in the labels or the answers. A class that is never answered rightly has an F1 of 0. For
# example, labels `[0, 0, 1]` and answers `[0, 0, 0]` have an accuracy of 2/3 and a macro F1 of 0.4: 0.8 for class 0, 0
# for class 1.

# %% tags=["exercise"]
def macro_metrics(pred) -> dict[str, float]:
    """Accuracy and macro F1 of an EvalPrediction."""
    # BEGIN SOLUTION
    answers = np.argmax(pred.predictions, axis=-1)
    f1 = f1_score(pred.label_ids, answers, average="macro", zero_division=0)
    return {"accuracy": float((answers == pred.label_ids).mean()), "f1": float(f1)}
    # END SOLUTION

# %% tags=["check"]
lab.check("10.3", macro_metrics)

# %% [markdown]
# `lab.hint("10.3")` helps.

# %% [markdown]
# ## 10.6 `evaluate.load`, without the Hub
# <!-- T161 -->
# Many scripts load a metric by name: `evaluate.load("accuracy")`. Before you read on: what travels over the network
# when they do so?
#
# A Python script. The name stands for a repository on the Hub, and its script is downloaded and run on your machine.
# With no network there is nothing to download. But the script may just as well lie in a folder:

# %%
script = '''
import datasets
import evaluate

class Accuracy(evaluate.Metric):
    def _info(self):
        number = datasets.Value("int64")
        columns = datasets.Features({"predictions": number, "references": number})
        return evaluate.MetricInfo(description="Share of right answers.", citation="", features=columns)

    def _compute(self, predictions, references):
        right = sum(int(p == r) for p, r in zip(predictions, references))
        return {"accuracy": right / len(references)}
'''

# %%
import evaluate

folder = Path(box.name, "accuracy")
folder.mkdir(exist_ok=True)
written = (folder / "accuracy.py").write_text(script, encoding="utf-8")
metric = evaluate.load(str(folder), cache_dir=f"{box.name}/metrics")
metric.compute(predictions=[0, 1, 1, 2], references=[0, 1, 2, 2])

# %% [markdown]
# What the library adds to a function is memory: `add_batch` collects answers batch by batch, and `compute` gives the
# result at the end. That is what your own loop needs. A `compute_metrics` can call it too, and agrees with
# scikit-learn:

# %%
def metrics_by_evaluate(eval_pred):
    logits, labels = eval_pred
    return metric.compute(predictions=np.argmax(logits, axis=-1), references=labels)

answers = lazy.argmax(axis=-1)
for first in range(0, len(truth), 50):
    metric.add_batch(predictions=answers[first : first + 50], references=truth[first : first + 50])
collected = metric.compute()
assert collected == metrics_by_evaluate(pair) == {"accuracy": accuracy_score(truth, answers)}
collected

# %% [markdown]
# For accuracy and F1, scikit-learn does the same with no script from elsewhere. So we keep the `compute_metrics` that
# we have.

# %% [markdown]
# ## 10.7 Train, evaluate, predict
# <!-- T157, T155 -->
# The Trainer calls you back at every turn of its loop. A **callback** is a class with a method for each turn that it
# cares about:

# %%
from transformers import TrainerCallback

print(*(name for name in dir(TrainerCallback) if name.startswith("on_")), sep="  ")

# %%
class Curve(TrainerCallback):
    """Give every logged loss to the lab's live curve."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        shown = {name: logs[name] for name in ("loss", "eval_loss", "eval_accuracy") if name in logs}
        if shown:
            curve.log(state.global_step, **shown)

# %%
curve = lab.training_curve()
trainer = Trainer(
    model=model,
    args=arguments,
    train_dataset=encoded["train"],
    eval_dataset=encoded["validation"],
    processing_class=tokenizer,      # was tokenizer=
    compute_metrics=compute_metrics,
    callbacks=[Curve()],
)

# %% [markdown]
# `lab.training_curve().callback()` is such a callback too, and draws what is logged, but for the times. Before you run
# this: what should the loss be at the first step, when the head knows nothing? A uniform guess over six classes costs
# ln 6, about 1.8.

# %%
output = trainer.train()
trainer.remove_callback(Curve)

# %% [markdown]
# The curve grew while the loop ran: each point of `loss` is the mean over the steps since the last point, each measured
# *before* its step was taken. `eval_loss` and `eval_accuracy` have a point in the middle and one at the end. The table
# is the Trainer's own.
#
# Now open what came back. Is it something like a dict?

# %%
print(type(output).__name__, "is a", type(output).__mro__[1].__name__, "of", *output._fields)
with lab.expect_error(TypeError):
    output["global_step"]
one_row(output.metrics, "train")

# %% [markdown]
# A named tuple of three: take `output.global_step` or `output.metrics["train_loss"]`. `train_loss` is the mean over
# **all** steps, the bad first ones included. It says little about where the model ended. Before you run this: the
# Trainer measures how long an evaluation takes, as `eval_runtime`. Will it be in what `evaluate()` returns?

# %%
scores = trainer.evaluate()
one_row(scores, "returned")

# %%
one_row(trainer.state.log_history[-1], "logged")

# %% [markdown]
# In a notebook, the Trainer's progress table takes the times out of the very dict that you get. The log still has them.
# With `disable_tqdm=True` there is no table, and the dict keeps them, as a cell of section 10.10 asserts.
#
# `predict` returns the logits as well: the two parts of an `EvalPrediction`, and what `compute_metrics` says about
# them.

# %%
predicted = trainer.predict(encoded["test"])
again = compute_metrics(EvalPrediction(predicted.predictions, predicted.label_ids))
assert again["f1"] == predicted.metrics["test_f1"]
print(predicted._fields, predicted.predictions.shape, predicted.label_ids.shape)
one_row(predicted.metrics, "test")

# %% [markdown]
# All keys begin with `test_` here and with `eval_` there, so that a log can hold both. Before you go on: does row 5 of
# the predictions belong to text 5 of the split?

# %%
own_labels = np.array(encoded["test"]["label"])
print("the same labels:", sorted(predicted.label_ids) == sorted(own_labels))
print("in the same order:", np.array_equal(predicted.label_ids, own_labels))

# %% [markdown]
# It doesn't: we asked for rows grouped by length, and this Trainer evaluates in that order too. So compare predictions
# with the `label_ids` that came along with them, as the next cells do. And the classes, one by one?

# %%
answers = predicted.predictions.argmax(axis=-1)
in_order = [names.index(name) for name in shares.index]
per_class = f1_score(predicted.label_ids, answers, average=None, labels=in_order, zero_division=0)
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.bar([f"{name}\n{100 * share:.0f} %" for name, share in shares.items()], per_class)
means = sorted([(again["f1"], "weighted"), (per_class.mean(), "macro")])
for (value, name), side in zip(means, ("top", "bottom")):  # the lower one is written below its line
    axes.axhline(value, color="#D55E00", linestyle=":")
    axes.text(len(names) - 0.45, value, f"{name} {value:.2f}", color="#D55E00", va=side)
axes.grid(axis="x", visible=False)
axes.set(ylabel="F1 on the test split", ylim=(0, 1), xlim=(-0.6, len(names) + 0.5))
axes.set_title(f"One number hides six: “{shares.index[per_class.argmin()]}” has an F1 of {per_class.min():.2f}");

# %% [markdown]
# Under each bar stands the emotion's share of the training texts, the most frequent first. Look at the last bar. If it
# is missing, its F1 is 0: the model never names that emotion rightly. The weighted F1 hardly shows it, because the
# class is rare; the macro F1 loses a sixth of its range to it. Section 10.8 finds out what the model says instead, and
# tries a remedy.
#
# ### Exercise 10.4
# `trainer.state.log_history` is a list of dicts: some come from training (`loss`), some from evaluation (`eval_loss`),
# one is the summary at the end (`train_loss`). Write `losses_by_step(history)`: return two lists of pairs `(step,
# value)`, first those of `loss`, then those of `eval_loss`, in the order of the log. For example, `[{"loss": 1.5,
# "step": 10}, {"eval_loss": 1.2, "step": 10}]` gives `([(10, 1.5)], [(10, 1.2)])`.

# %% tags=["exercise"]
def losses_by_step(history: list[dict]) -> tuple[list, list]:
    """The (step, loss) pairs of training and of evaluation."""
    # BEGIN SOLUTION
    training = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    evaluation = [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    return training, evaluation
    # END SOLUTION

# %% tags=["check"]
lab.check("10.4", losses_by_step)

# %% [markdown]
# `lab.hint("10.4")` helps. The log also keeps the learning rate and the norm of the gradients:

# %%
history = pd.DataFrame([entry for entry in trainer.state.log_history if "loss" in entry])
clipped = (history["grad_norm"] > arguments.max_grad_norm).mean()
figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 2.8))
left.plot(history["step"], history["learning_rate"], marker=".")
left.set(xlabel="step", ylabel="learning rate", title="Up for a tenth of the steps, then down towards zero")
right.plot(history["step"], history["grad_norm"], marker=".", color="#E69F00")
right.axhline(arguments.max_grad_norm, color="black", linestyle=":", linewidth=1)
right.set(xlabel="step", ylabel="norm of the gradients", ylim=(0, None))
right.set_title(f"{100 * clipped:.0f} % of these were clipped to 1 (dotted)");

# %% [markdown]
# Left is the schedule. Right is each norm *before* clipping: where a point lies above the dotted line, the gradients
# were scaled down to it.

# %% [markdown]
# ## 10.8 Where is the model wrong?
# <!-- T156 -->
# One number for a split tells you *that* the model errs. A **confusion matrix** tells you which answers it gives
# instead. Before you run this: with which other emotion is the rarest one confused?

# %%
from sklearn.metrics import confusion_matrix

counted = confusion_matrix(predicted.label_ids, answers, labels=in_order)  # [true, answered]
rare, of_rare = shares.index[-1], counted[-1]
title = f"{of_rare[-1]} of {of_rare.sum()} texts of “{rare}” are called so"
labels_in_order = [names[label] for label in in_order]
lab.heatmap(counted, rows=labels_in_order, columns=labels_in_order, title=title, label="texts of the test split")

# %% [markdown]
# Read a row: it holds the texts of one emotion, and each column counts one answer. The diagonal is what is right. The
# last row is the rarest emotion; most of its texts stand under other names. And look down the last column: how often
# does the model dare to give that answer at all?
#
# The loss of each text tells you more: *which texts*. Many compute it with `map`, in a function like this one. It has
# three slips. Before you run the next cell, find them:
#
# ```python
# inputs = {k: v.to(device) for k, v in batch.items() if k in tokenizer.model_input_name}
# output = model(**input)
# …
# return {"loss": loss.cpu().numpy(), "predicated_label": predicted.cpu().numpy()}
# ```

# %%
with lab.expect_error(AttributeError):
    tokenizer.model_input_name
with lab.expect_error(TypeError):
    dict(**input)  # any call with **input
with lab.expect_error(KeyError):
    pd.DataFrame({"predicated_label": [0]})["predicted_label"]

# %% [markdown]
# The attribute is `model_input_names`, with an *s*. And `input` is not `inputs`: it is Python's own function that asks
# for a line from the keyboard (in a notebook the kernel puts its own method there), which is why nothing warns you that
# the name is unknown. The third slip raises nothing where it is made: *predicated* for *predicted*. The table gets a
# column of that name, and only the cell that asks for the other one fails. Two more things the snippet leaves to luck:
# `v.to` needs tensors, so the columns must be padded to one length; and the model must be in `eval` mode, or dropout
# makes the losses random. What is right is `reduction="none"`: one number for each row instead of the mean. Here it is
# with our unpadded rows:

# %%
from torch.nn.functional import cross_entropy

model = trainer.model.eval()

def forward_pass(batch):
    """The loss and the answer for each row of a batch."""
    columns = {name: batch[name] for name in tokenizer.model_input_names if name in batch}
    inputs = tokenizer.pad(columns, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs.to(model.device)).logits  # [rows, classes]
    labels = torch.tensor(batch["label"], device=logits.device)
    loss = cross_entropy(logits, labels, reduction="none")  # [rows]
    return {"loss": loss.cpu().numpy(), "predicted_label": logits.argmax(dim=-1).cpu().numpy()}

# %%
judged = encoded["validation"].map(forward_pass, batched=True, batch_size=32, load_from_cache_file=False)
table = judged.to_pandas()[["text", "label", "predicted_label", "loss"]]
assert abs(table["loss"].mean() - scores["eval_loss"]) < 1e-3
for column in ("label", "predicted_label"):
    table[column] = [names[label] for label in table[column]]
table.sort_values("loss", ascending=False).head(6).round(2)

# %% [markdown]
# The mean of these losses is the Trainer's `eval_loss`, as the cell asserts. At the top stand the texts that surprised
# the model most. Read them, and ask of each: is the text hard, is its label doubtful, or is it a habit of the model?
# Before you run the next cell: what share of the whole loss does the worst tenth of the texts make?

# %%
ordered = table["loss"].sort_values(ascending=False).to_numpy()
tenth = max(1, len(ordered) // 10)
share = ordered[:tenth].sum() / ordered.sum()
figure, axes = plt.subplots(figsize=(7.2, 3))
good = table["label"] == table["predicted_label"]
parts = [table["loss"][good], table["loss"][~good]]
axes.hist(parts, bins=30, stacked=True, color=["#0072B2", "#D55E00"])
axes.text(0.1, 0.8, "right answers", color="#0072B2", transform=axes.transAxes)
axes.text(0.4, 0.3, "wrong answers", color="#D55E00", transform=axes.transAxes)
axes.set(xlabel="loss of one text", ylabel="texts")
axes.set_title(f"A tenth of the texts makes {100 * share:.0f} % of the loss");

# %% [markdown]
# Look at the left end, where the texts are that the model finds easy, and at the tail on the right, where the wrong
# answers are.
#
# ### A remedy, measured
# Why does the rarest emotion lose? Each text pulls on the weights once, and there are few of its kind. So let its texts
# pull harder. **Class weights** do that: a text's loss is multiplied by *rows / (classes × rows of its class)*, the
# mean of a batch is taken with these weights, and the `Trainer` takes a loss function of your own.

# %%
counts = np.bincount(encoded["train"]["label"], minlength=len(names))
class_weights = torch.tensor(counts.sum() / (len(names) * counts), dtype=torch.float32)

def weighted_loss(outputs, labels, num_items_in_batch=None):
    """Cross entropy in which a text of a rare class counts more."""
    return cross_entropy(outputs["logits"], labels, weight=class_weights.to(labels.device))

one_row(dict(zip(names, class_weights.tolist())), "weight")

# %% [markdown]
# To be fair, the remedy needs a rival: any training goes on learning when it goes on. So train the model for 24 more
# steps twice, from the same weights, on the same rows, once with each loss. Before you run this: will the rarest
# emotion gain more with the weights? And who pays for it?

# %%
import copy

further = {"max_steps": 24, "per_device_train_batch_size": 16, "learning_rate": 3e-4, "weight_decay": 0.01}
further |= {"train_sampling_strategy": "group_by_length", "save_strategy": "no", "disable_tqdm": False}
outcomes = {"as it was": predicted}
for name, loss_function in (("24 steps more", None), ("24 steps with weights", weighted_loss)):
    again = Trainer(
        copy.deepcopy(trainer.model), TrainingArguments(f"{box.name}/remedy", **further, **options),
        train_dataset=encoded["train"], processing_class=tokenizer, compute_loss_func=loss_function,
    )
    again.train()
    outcomes[name] = again.predict(encoded["test"])

# %%
def by_class(output) -> dict[str, float]:
    """Accuracy, both means of F1, and the F1 of each class, of what `predict` returned."""
    given = output.label_ids, output.predictions.argmax(axis=-1)
    each = f1_score(*given, average=None, labels=range(len(names)), zero_division=0)
    found = {"accuracy": accuracy_score(*given), "weighted F1": f1_score(*given, average="weighted", zero_division=0)}
    return found | {"macro F1": each.mean()} | dict(zip(names, each))

pd.DataFrame({name: by_class(output) for name, output in outcomes.items()}).round(2)

# %% [markdown]
# Look at the row of the rarest emotion: the weights lift it further than the same number of plain steps do, and the
# macro F1 goes up with it. Then read the other rows from left to right: which emotions gained, which lost, and what
# became of the accuracy? That is the price, if there is one. And the test split is small: the title of the confusion
# matrix says on how few texts the last row stands. Whether the price is worth paying depends on what you need the rare
# class for.
#
# ### Exercise 10.5
# Write `confident_mistakes(logits, labels, k)`: `logits` is a tensor of shape `[rows, classes]`, `labels` one of shape
# `[rows]`. Return a list with the indices of the `k` rows that are answered **wrongly** with the highest loss, the
# highest first; all wrong rows if there are fewer than `k`. For example, with logits `[[4, 0], [0, 1], [0, 3]]`, labels
# `[1, 0, 1]` and `k=5` it gives `[0, 1]`.

# %% tags=["exercise"]
def confident_mistakes(logits: torch.Tensor, labels: torch.Tensor, k: int) -> list[int]:
    """Indices of the wrongly answered rows with the highest loss, the highest first."""
    # BEGIN SOLUTION
    loss = cross_entropy(logits.float(), labels, reduction="none")
    wrong = logits.argmax(dim=-1) != labels
    by_loss = loss.argsort(descending=True)
    return [int(row) for row in by_loss if wrong[row]][:k]
    # END SOLUTION

# %% tags=["check"]
lab.check("10.5", confident_mistakes)

# %% [markdown]
# `lab.hint("10.5")` helps.

# %% [markdown]
# ## 10.9 The Trainer in twenty lines
# <!-- T159 -->
# Is there anything secret in the Trainer? Let it train sixteen steps on 64 texts, and do the same with a loop like that
# of chapter 09. Before you run this: how close will the losses be? Dropout draws random numbers at each step, and the
# rows are shuffled.

# %%
import time

sample = encoded["train"].select(range(64))

def short(name: str, **more) -> TrainingArguments:
    """Two epochs of eight steps, every loss logged."""
    given = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 5e-4}
    given |= {"weight_decay": 0.01, "logging_steps": 1, "save_strategy": "no", "disable_tqdm": True}
    return TrainingArguments(f"{box.name}/{name}", **{**given, **options, **more})

def losses(trainer: Trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

# %%
from transformers import PrinterCallback

whole = Trainer(fresh(dropout=0.1), short("whole"), train_dataset=sample, processing_class=tokenizer)
whole.remove_callback(PrinterCallback)  # it would print every log entry
begin = time.perf_counter()
whole.train()
trainer_time = time.perf_counter() - begin

# %% [markdown]
# Now by hand. What must be the same? The weights of the new head (`fresh` sets the seed), the order of the rows, the
# state of the random numbers when dropout begins, the optimizer with its two groups, the schedule, the clipping.

# %%
from torch.utils.data import RandomSampler
from transformers import get_scheduler

def two_groups(model, decay: float) -> list[dict]:
    """Weights decay; biases and the weights of LayerNorm don't."""
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    spared = [weight for name, weight in trained if "bias" in name or "LayerNorm" in name]
    others = [weight for name, weight in trained if not ("bias" in name or "LayerNorm" in name)]
    return [{"params": others, "weight_decay": decay}, {"params": spared, "weight_decay": 0.0}]

# %% tags=["long"] why="the whole loop is the lesson"
def by_hand(model, data, epochs: int = 2, size: int = 8, rate: float = 5e-4, seed: int = 42) -> list[float]:
    model = model.to(lab.device()).train()
    order = torch.Generator()
    sampler = RandomSampler(data, generator=order)
    loader = DataLoader(data.remove_columns("text"), size, sampler=sampler, collate_fn=collate)
    optimizer = torch.optim.AdamW(two_groups(model, decay=0.01), lr=rate)
    schedule = get_scheduler("linear", optimizer, 0, epochs * len(loader))
    found = []
    set_seed(seed)
    for epoch in range(epochs):
        order.manual_seed(seed + epoch)
        for batch in loader:
            loss = model(**batch.to(model.device)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            found.append(loss.item())
    return found

# %% [markdown]
# Same weights, same rows, same random numbers. Run it.

# %%
start = fresh(dropout=0.1)
begin = time.perf_counter()
mine = by_hand(start, sample)
my_time = time.perf_counter() - begin
assert len(mine) == 16
largest = max(abs(a - b) for a, b in zip(mine, losses(whole), strict=True))
assert largest < (1e-5 if lab.device().type == "cpu" else 1e-2)  # a GPU adds in another order each time
f"largest difference {largest:.1g}; the Trainer took {trainer_time / my_time:.1f} times as long"

# %%
figure, axes = plt.subplots(figsize=(7.2, 3))
steps = range(1, len(mine) + 1)
axes.plot(steps, losses(whole), linewidth=6, alpha=0.35)
axes.plot(steps, mine, "o-", color="#D55E00", linewidth=1)
axes.text(steps[-1], losses(whole)[-1] + 0.12, "Trainer (wide), by hand (dots)", ha="right")
axes.set(xlabel="step", ylabel="loss", title="One and the same training");

# %% [markdown]
# The dots lie on the wide line: the same losses, dropout and all, but for the last digits. So this *is* the Trainer. It
# also logs and calls its callbacks at each step; what that costs is hard to see, for with so few steps the ratio of the
# times wobbles. What the twenty lines don't have is everything else in this chapter: evaluation, checkpoints, resuming,
# many devices, mixed precision. The one line that you'd hardly guess is the order of the rows: epoch *e* is shuffled
# with the seed `seed + e`, by `accelerate`, so that it can be repeated after an interruption.
#
# ### Exercise 10.6
# Weight decay pulls weights towards zero. The Trainer spares biases and the weights of each `LayerNorm`. (It spares
# other kinds of normalization only if their names say what they are; our models have none.) Write
# `decay_groups(model)`: return two lists of parameter **names**, first those that decay, then those that don't. Leave
# out what is frozen (`requires_grad` is `False`). Names alone won't do: a `LayerNorm` may have any name, so look at the
# modules too. Your function meets `Trainer.get_decay_parameter_names` on several models. For example,
# `torch.nn.Sequential(Linear(2, 2), LayerNorm(2))` gives `(["0.weight"], ["0.bias", "1.weight", "1.bias"])`; the order
# in a list does not matter.

# %% tags=["exercise"]
def decay_groups(model: torch.nn.Module) -> tuple[list[str], list[str]]:
    """The names of the trained parameters that decay, and of those that don't."""
    # BEGIN SOLUTION
    norms = {name for name, module in model.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    decayed, spared = [], []
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            owner, _, last = name.rpartition(".")
            (spared if last == "bias" or owner in norms else decayed).append(name)
    return decayed, spared
    # END SOLUTION

# %% tags=["check"]
lab.check("10.6", decay_groups)

# %% [markdown]
# `lab.hint("10.6")` helps.

# %% [markdown]
# ## 10.10 Checkpoints: resume, keep the best, stop early
# <!-- T158, T157 -->
# The power fails after five of sixteen steps. Before you run this: if you resume from the last checkpoint, will the
# losses of the other eleven steps be those of the run that was never interrupted, or only similar?

# %%
class PowerCut(TrainerCallback):
    """Save and stop after step 5, in the middle of an epoch."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 5:
            control.should_save = control.should_training_stop = True

given = {"train_dataset": sample, "processing_class": tokenizer}
broken = Trainer(fresh(dropout=0.1), short("broken"), callbacks=[PowerCut()], **given)
broken.remove_callback(PrinterCallback)
stopped = broken.train().global_step
f"stopped after step {stopped} of {broken.state.max_steps}"

# %%
def files(folder: Path) -> pd.DataFrame:
    """The files of a folder and their sizes."""
    sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(folder.iterdir())}
    return pd.Series(sizes, name="MB").round(3).to_frame()

checkpoint = Path(broken.args.output_dir, "checkpoint-5")
files(checkpoint)

# %% [markdown]
# A checkpoint is more than a model. `optimizer.pt` holds AdamW's two averages for each trained weight, `scheduler.pt`
# the place on the schedule, `rng_state.pth` the random numbers, `trainer_state.json` the step and the log. These four
# are why resuming can be exact.

# %%
resumed = Trainer(fresh(dropout=0.1), short("resumed"), **given)
resumed.remove_callback(PrinterCallback)
resumed.train(resume_from_checkpoint=str(checkpoint))
apart = max(abs(a - b) for a, b in zip(losses(resumed), losses(whole), strict=True))
assert apart < (1e-5 if lab.device().type == "cpu" else 1e-2)
f"{len(losses(broken))} losses, then {len(losses(resumed))}; largest difference {apart:.1g}"

# %% [markdown]
# Not similar: the same, but for the last digits. The Trainer skipped the five batches that were done and went on with
# the sixth. (The resumed log has all sixteen losses: the first five come from `trainer_state.json`.)
# `train(resume_from_checkpoint=True)` takes the checkpoint with the highest number in `output_dir`, so you needn't
# remember it:

# %%
from transformers.trainer_utils import get_last_checkpoint

Path(get_last_checkpoint(broken.args.output_dir)).name

# %% [markdown]
# **The best, not the last.** Train too long on too little, and the model learns its texts by heart. Two arguments and a
# callback help: `load_best_model_at_end` brings back the best checkpoint, `save_strategy="best"` writes one only when
# the metric improves, and `EarlyStoppingCallback` ends a run that no longer improves. Before you run this: we allow
# fifteen epochs on 64 texts. How many will it take?

# %%
from transformers import EarlyStoppingCallback

few = encoded["train"].shuffle(seed=42).select(range(64))
held_out = encoded["validation"].shuffle(seed=42).select(range(64))
limits = {"num_train_epochs": 15, "per_device_train_batch_size": 16, "lr_scheduler_type": "constant"}
rhythm = {"logging_strategy": "epoch", "eval_strategy": "epoch", "save_strategy": "best"}
best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
disk = {"save_only_model": True, "save_total_limit": 1}

# %%
overfit = Trainer(
    model=fresh(),
    args=short("overfit", **limits, **rhythm, **best, **disk),
    train_dataset=few, eval_dataset=held_out,
    processing_class=tokenizer,
    callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
)
overfit.remove_callback(PrinterCallback)
overfit.train()
state = overfit.state
assert state.epoch < limits["num_train_epochs"]
f"stopped after epoch {state.epoch:.0f} of 15; best: {Path(state.best_model_checkpoint).name}"

# %%
log = pd.DataFrame(state.log_history).groupby("epoch").first()
figure, axes = plt.subplots(figsize=(7.2, 3.2))
for column, label in (("loss", "training"), ("eval_loss", "held out")):
    axes.plot(log.index, log[column], "o-")
    axes.text(log.index[-1] + 0.1, log[column].iloc[-1], label, va="center")
chosen = log["eval_loss"].idxmin()
axes.axvline(chosen, color="black", linestyle=":", linewidth=1)
axes.text(chosen, 0.05, " best")
axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None), xticks=log.index)
axes.set_title("The training loss falls on; the held-out loss turns");

# %% [markdown]
# The dotted line is the checkpoint that the Trainer has loaded again. Two evaluations with no new best, and it stopped.
# Is it really the best one that it holds now?

# %%
found = overfit.evaluate()
assert "eval_runtime" in found  # there was no progress table
now = found["eval_loss"]
assert abs(now - state.best_metric) < 1e-3
kept = [path.name for path in Path(overfit.args.output_dir).iterdir()]
f"eval_loss now {now:.3f}, the best of the log {state.best_metric:.3f}; on disk: {kept}"

# %% [markdown]
# One trap is left. Which direction is better, if you don't say it? Before you run this: think of a metric called
# `eval_perplexity`, of which lower is better.

# %%
for metric in ("eval_loss", "eval_f1", "eval_perplexity"):
    guessed = short("guess", **rhythm, load_best_model_at_end=True, metric_for_best_model=metric).greater_is_better
    print(f"{metric:16} greater is better: {guessed}")

# %% [markdown]
# A name that ends in `loss` counts as "lower is better", another one as "higher is better". With the perplexity it
# would keep the worst checkpoint. So say it.
#
# ### Exercise 10.7
# Write `stops_at(values, patience, greater_is_better)`: `values` are the metric at evaluation 1, 2, 3 … Return the
# number of the evaluation after which early stopping ends the run, or `None` if it doesn't. An evaluation that is
# strictly better than the best so far resets the count; any other adds one to it; the run ends when the count reaches
# `patience`. For example, `stops_at([1.0, 0.8, 0.9, 0.8, 0.7], 2, False)` gives `4`: evaluations 3 and 4 are not better
# than 0.8. Your function meets the library's callback on random values.

# %% tags=["exercise"]
def stops_at(values: list[float], patience: int, greater_is_better: bool) -> int | None:
    """The number, from 1, of the evaluation after which early stopping ends the run, or None."""
    # BEGIN SOLUTION
    best, count = None, 0
    for number, value in enumerate(values, start=1):
        signed = value if greater_is_better else -value
        if best is None or signed > best:
            best, count = signed, 0
        else:
            count += 1
        if count >= patience:
            return number
    return None
    # END SOLUTION

# %% tags=["check"]
lab.check("10.7", stops_at)

# %% [markdown]
# `lab.hint("10.7")` helps.

# %% [markdown]
# ## 10.11 What a batch is on many GPUs
# <!-- T160 -->
# `per_device_train_batch_size=16` is what **each** GPU gets. Before you run this: with 4 GPUs and
# `gradient_accumulation_steps=2`, how many texts go into one step of the optimizer? No GPU is needed to see it. This is
# the class that deals the batches out, for four processes:

# %%
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, SequentialSampler

batches = BatchSampler(SequentialSampler(range(40)), batch_size=4, drop_last=False)
for rank in range(4):
    print(f"GPU {rank}:", *BatchSamplerShard(batches, num_processes=4, process_index=rank))

# %% [markdown]
# In each column the four GPUs work at the same time on four different batches, and their gradients are averaged: one
# step of 16 rows. Look at the last column: 40 rows don't fill it, so the first rows are dealt out once more, and each
# GPU has a batch in each turn.

# %%
def step_of(per_device: int, devices: int, accumulation: int) -> int:
    return per_device * devices * accumulation

cases = [(16, 1, 1), (16, 4, 1), (16, 4, 2), (64, 1, 1), (16, 1, 4)]
plan = pd.DataFrame(cases, columns=["per device", "GPUs", "accumulation"])
plan["texts in a step"] = [step_of(*case) for case in cases]
plan["steps for 16,000 texts"] = [-(-16_000 // step_of(*case)) for case in cases]
assert whole.get_total_train_batch_size(whole.args) == step_of(8, max(1, whole.args.n_gpu), 1)
plan

# %% [markdown]
# Row 2 is the answer: 128. More GPUs at the same `per_device` means a larger batch and *fewer steps*: the training is
# another one, and its learning rate should be looked at again. Rows 1, 3 and 4 make the same step of 64 texts in three
# ways: four GPUs, one larger batch, or accumulation. Only four GPUs share the work.
#
# For the averaging the GPUs wait for the slowest. A line of arithmetic: if the second GPU needs *k* times as long for
# its batch (*k* ≥ 1), the pair takes *k* times as long for twice as much, and is 2/*k* as fast as the fast one alone.

# %%
slower = np.linspace(1, 6, 50)
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.plot(slower, 2 / slower)
axes.axhline(1, color="black", linestyle=":", linewidth=1)
axes.text(6, 1.04, "the fast GPU alone", ha="right")
axes.set(xlabel="how many times slower the second GPU is", ylabel="speed of the pair", ylim=(0, 2.1))
axes.set_title("A second GPU that is more than twice as slow makes it worse");

# %% [markdown]
# Left of the crossing at 2 the pair is faster, right of it the fast GPU alone would win. (The time for the exchange of
# the gradients is left out here.)
#
# ### Exercise 10.8
# Write `optimizer_steps(rows, per_device, devices, accumulation, epochs)`: how many optimizer steps a whole training
# takes. In each epoch the rows are dealt into batches, the last of which may be smaller; each turn of all devices takes
# `devices` batches; `accumulation` turns make one step, and a rest of turns at the end of an epoch makes a step of its
# own. `epochs` may be a fraction, such as 0.5: round the total up. For example, 100 rows with 16 on each of 2 devices
# are 4 turns; with `accumulation=3` that is 2 steps in an epoch, and 6 in three epochs.

# %% tags=["exercise"]
def optimizer_steps(rows: int, per_device: int, devices: int, accumulation: int, epochs: float) -> int:
    """The number of optimizer steps of a training."""
    # BEGIN SOLUTION
    turns = -(-rows // (per_device * devices))
    in_an_epoch = -(-turns // accumulation)
    return int(np.ceil(epochs * in_an_epoch))
    # END SOLUTION

# %% tags=["check"]
lab.check("10.8", optimizer_steps)

# %% [markdown]
# `lab.hint("10.8")` helps.

# %% [markdown]
# ## 10.12 Ready for the Hub
# <!-- T162 -->
# With `push_to_hub=True` the Trainer sees to a repository on the Hub, and pushes to it. Before you run this: which of
# the files in a checkpoint should *not* go there?

# %%
publish = TrainingArguments(
    output_dir=f"{box.name}/publish",
    push_to_hub=True,
    hub_model_id=f"{hub.user if hub else 'your-name'}/minilm-emotion",
    hub_strategy="end",              # push when you say so; "every_save" is the default
    hub_private_repo=True,           # public only when you have read the card
    max_steps=2,                     # the model is trained already: two steps for the show
    disable_tqdm=False,
    **options,
)
print(publish.push_to_hub, publish.hub_model_id, publish.hub_strategy.value)
print([choice.value for choice in type(publish.hub_strategy)])

# %% [markdown]
# `end` pushes when you call `push_to_hub` or `save_model`, and not by itself. `every_save` pushes the model at each
# save, `checkpoint` also what is needed to resume, `all_checkpoints` every one of them. First look at what there is to
# send.

# %%
trainer.save_model()
trainer.create_model_card(
    language="en",
    license="apache-2.0",
    tags=["emotion", "text-classification"],
    model_name="minilm-emotion",
    finetuned_from=encoder.hub_id,
    dataset="emotion",
)
files(Path(arguments.output_dir)).T

# %%
card = Path(arguments.output_dir, "README.md").read_text(encoding="utf-8")
print(card[: card.index("## Training procedure")])
held = Path(arguments.output_dir, "training_args.bin").read_bytes()
print("the name of your folder is in training_args.bin:", Path(box.name).name.encode() in held)

# %% [markdown]
# The base model, the data set and the licence are what we have just said. The Trainer adds what it knows by itself: the
# losses, the arguments and versions (further down). *More information needed* is your part: what the model is for, what
# it is not for, on what it was trained. Chapter 13 writes such a card. `training_args.bin` is a pickle of the
# arguments, your folder's name included. `optimizer.pt` and `rng_state.pth` are for you, not for readers. Now push, to
# the Hub on your machine. Before you run this: when will the repository be there?

# %%
import warnings
from huggingface_hub import HfApi

warnings.filterwarnings("ignore", message="Cannot enable progress bars")  # they are off on purpose
if hub:
    api = HfApi()
    api.delete_repo(publish.hub_model_id, missing_ok=True)  # so that you can run this twice
    publisher = Trainer(model, publish, train_dataset=few, processing_class=tokenizer)
    print("made with the Trainer:", api.repo_exists(publish.hub_model_id))
    publisher.train()
    publisher.push_to_hub(commit_message="Two more steps", finetuned_from=encoder.hub_id, language="en")
    print(*(f"{one.title}" for one in api.list_repo_commits(publish.hub_model_id)), sep=" ← ")

# %% [markdown]
# The Trainer made it, before the first step: a wrong token stops you now, and not after a night of training. Which
# files went, and does the model come back by its name?

# %%
if hub:
    here = sorted(path.name for path in Path(publish.output_dir).iterdir())
    there = api.list_repo_files(publish.hub_model_id)
    print("stayed here:", sorted(set(here) - set(there)))
    print("on the Hub: ", there)
    again = AutoModelForSequenceClassification.from_pretrained(publish.hub_model_id)
    assert torch.equal(again.classifier.weight, model.classifier.weight.cpu())
    assert not any(name.startswith("checkpoint") for name in there)

# %% [markdown]
# The model, its tokenizer and the card went. The folder `checkpoint-2` stayed: the push leaves out every checkpoint
# unless the strategy asks for it. `training_args.bin` did go, so look at it before you make the repository public.

# %% [markdown]
# ## What changed since the notes
# *The notes* are five study documents, most of them in Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `evaluation_strategy="epoch"` | `eval_strategy="epoch"` | renamed, to stand beside `save_strategy` |
# | `Trainer(tokenizer=tokenizer)` | `Trainer(processing_class=tokenizer)` | it may be an image or audio processor too |
# | `logging_dir="./logs"` | the environment variable `TENSORBOARD_LOGGING_DIR` | it concerned TensorBoard only; the log itself is `trainer.state.log_history` |
# | in scripts of that time: `warmup_ratio=0.1` | `warmup_steps=0.1` | one argument: below 1 it is a share, from 1 on a number |
# | likewise: `group_by_length=True` | `train_sampling_strategy="group_by_length"` | one argument for all ways to sample |
# | `logging_steps=len(data) // batch_size` | `logging_steps=0.05`, or `logging_strategy="epoch"` | a share of all steps needs no arithmetic |
# | likewise: every logger that is installed is used | `report_to="none"` is the default | nothing leaves the machine unasked |
# | `tokenizer.model_input_name`, `model(**input)` | `tokenizer.model_input_names`, `model(**inputs)` | two of the snippet's slips; the third is a column named `predicated_label` |
# | `map(…, batch_size=None)` is the default size | it is the whole split; the default is 1,000 | the notes' error |
# | `EvalPrediction` is a namedtuple | it is a class that unpacks like a pair | it can hold inputs and losses too |
# | `train()` returns something like a dict | it is a named tuple: `output.metrics["train_loss"]` | the notes' error |
# | the list of `Trainer(…)`: `scheduler`, `device`, `logger`, `resume_from_checkpoint`, … | `optimizers=(optimizer, scheduler)`, `train(resume_from_checkpoint=…)` | these are the parameters there are |

# %%
for old in ("evaluation_strategy", "logging_dir", "warmup_ratio", "group_by_length"):
    assert old not in fields
for new in ("eval_strategy", "warmup_steps", "train_sampling_strategy", "report_to"):
    assert new in fields
grouping = {"train_sampling_strategy": "group_by_length"}
today = short("today", eval_strategy="epoch", warmup_steps=0.1, **grouping)
assert today.get_warmup_steps(500) == 50 and today.report_to == []
new = Trainer(model, today, train_dataset=few, eval_dataset=held_out, processing_class=tokenizer)
assert new.processing_class is tokenizer

# %%
assert "optimizers" in inspect.signature(Trainer.__init__).parameters
assert "resume_from_checkpoint" in inspect.signature(Trainer.train).parameters
assert set(tokenizer.model_input_names) <= set(encoded["train"].column_names)
assert sizes_seen(batch_size=None) == [len(emotions["train"])]
assert not isinstance(pair, tuple) and short("share", logging_steps=0.05).logging_steps == 0.05
with lab.expect_error(TypeError):
    Trainer(model, arguments, tokenizer=tokenizer)

# %% [markdown]
# The last line is the old call of the second row.

# %% [markdown]
# ## Quiz

# %%
lab.quiz("10")

# %% [markdown]
# ## Recap
# - Look first: uneven classes make accuracy flatter a model, and one label out of range stops a training.
# - `map(batched=True)` hands over 1,000 rows, `batch_size=None` the whole split; the collator pads to the longest row
#   of a batch.
# - The arguments have new names (`eval_strategy`, `processing_class`, `warmup_steps`); macro F1 counts every class the
#   same.
# - `train` returns a named tuple, `evaluate` a dict, `predict` logits, labels and metrics; the confusion matrix and the
#   loss of each text show where the model errs, and class weights can lift a rare class.
# - A checkpoint holds optimizer, schedule and random numbers, so a resumed run equals the uninterrupted one; early
#   stopping and the best checkpoint go together.
# - The Trainer is twenty lines of loop, with the same losses; a step takes `per_device × devices × accumulation` rows;
#   a push sends model, tokenizer and card, and no checkpoints.
#
# Next: chapter 11, Datasets, looks at where the rows come from.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - `batch_size=None` can be taken for the default size; it is the whole split (10.2).
# - `train_loss` can be taken for where the model ended; it is the mean over all steps (10.7).
# - Predictions can be taken to be in the order of the split; grouped by length, they aren't (10.7).
# - The direction of a metric is guessed from its name: `eval_perplexity` would keep the worst (10.10).
#
# **To discuss:**
#
# - *Accuracy, weighted F1 or macro F1: which number goes on the first page?* Lean on the lazy answer in 10.5; the bars
#   of 10.7. A good answer says what each hides, and for whom the rare class matters.
# - *Would you use the class weights?* Lean on 10.8: the last table, all rows. A good answer says who gains and who
#   pays, uses the rival of 24 plain steps, and sees on how few texts the rare row stands.
# - *When do you stop a training?* Lean on 10.10: the two curves and the dotted line. A good answer looks at the
#   held-out loss and at patience, and knows that the best is flattered by having been chosen there.
# - *The Trainer is twenty lines. Why use it, and why not?* Lean on 10.9: the wide line and the dots; the table of 10.0.
#   A good answer names what the twenty lines lack, and a decision that one did not see.
# - *Four GPUs, the same arguments: the same training?* Lean on 10.11: the table of steps. A good answer sees a larger
#   batch and fewer steps, and takes another look at the learning rate.
#
# **If time is short.** 10.6 and 10.12 can be left out: no later section uses them, and chapter 13 teaches pushing from
# the ground up. 10.11 only if chapter 14 isn't planned. 10.10 needs the cells of 10.9. Exercise to keep: 10.3.
#
# **In class.** Nothing to fetch. The second code cell starts a Hub on the machine; it must run before the imports, so
# after a restart begin at the first cell. There is a training in 10.0, 10.4, 10.7, 10.8, 10.9, 10.10 and 10.12, most of
# a few steps only; the one to watch is 10.7, an epoch with its live curve.
