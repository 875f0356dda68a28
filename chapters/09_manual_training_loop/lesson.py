# %% [markdown]
# # 09 The training loop by hand
#
# You take a file of hotel reviews and end with a trained classifier, and you write the loop in between line by line.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | turn a CSV file into batches, and stop bad rows before they cost you an hour | 2 hours | chapters 04, 07 and 08 |
# | write the loop that trains, the loop that measures, and the line that predicts | | |
# | compute accuracy, precision, recall and F1 yourself, and say which of them hides what | | |
# | add to the loop what longer runs need: less padding, grouping, warmup, clipping, a live curve | | |
# | read a model's errors, and repeat a run to the last bit | | |
# | survive a crash: save, resume, and end with the same weights; then hand the loop to Accelerate | | |
# | train on Chinese reviews with a frozen encoder, and see what the head then knows of English | | |

# %%
import labs_utils as lab
lab.start("09")

# %% [markdown]
# Guests write whether they liked a hotel. A model is to say which reviews are complaints. Most of the chapter does it
# in English, with the small encoder that you know; section 9.10 does it in Chinese. Change one word in the next cell,
# and **everything** below runs in Chinese. It then takes a larger encoder, of about a hundred languages, on half as
# many rows.

# %%
import os
import pandas as pd
import torch
from pathlib import Path
from transformers import AutoTokenizer

language = os.environ.get("LABS_LANGUAGE", "en")  # "en" or "zh"
roles = {"en": "encoder", "zh": "multilingual-encoder"}
most = int(os.environ.get("LABS_ROWS", {"en": 640, "zh": 320}[language]))  # learn from at most so many rows
encoder = lab.checkpoint(roles[language])
hotels = lab.dataset("hotel_reviews")
path, device = Path(hotels, f"{language}.csv"), lab.device()
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)

# %% [markdown]
# ## 9.1 From a file to batches
# <!-- T140 -->
# Look at the table first. Before you run this: how many of the rows have no text at all, and which label is the more
# frequent?

# %%
pd.set_option("display.max_colwidth", None)
table = pd.read_csv(path)
print(f"{len(table)} rows, {table['review'].isna().sum()} of them without a text")
table.head(3)

# %%
table["label"].value_counts(normalize=True).rename("share").round(2)

# %% [markdown]
# A few rows are empty: pandas reads a gap as `nan`, which is a `float`. Before you run this: what will the tokenizer
# say to it? And what does pandas make of a guest who writes just one word, *null* or *NA*?

# %%
from io import StringIO

with lab.expect_error(ValueError):
    tokenizer([float("nan")])
one_word = "label,review\n1,Lovely\n0,null\n0,NA\n"
kept = {"keep_default_na": False, "na_values": [""]}
[pd.read_csv(StringIO(one_word), **options)["review"].tolist() for options in ({}, kept)]

# %% [markdown]
# The tokenizer stops. `dropna` drops the gaps. But pandas has taken two words for gaps, and `dropna` would lose two
# complaints; `keep_default_na=False` leaves such words alone. We look for more than `dropna` can see: a column that
# isn't there, a label that is neither 0 nor 1, a comma in a text without quotes, which makes three fields of two. A
# fault that is found here doesn't wait for you in the middle of a training.

# %% tags=["long"] why="one check of a whole file, with an error for each fault, is the lesson"
def read_reviews(path: Path) -> pd.DataFrame:
    """The rows that have a label and a text, or an error that says where the file is wrong and what to do."""
    try:
        table = pd.read_csv(path, dtype={"review": "str"}, keep_default_na=False, na_values=[""])
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not in UTF-8. Chinese programs may write GBK: save it as UTF-8.") from None
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path.name} is empty. Its first line must name the columns: label,review.") from None
    except pd.errors.ParserError as error:
        raise ValueError(f"{path.name}: {error} A text with a comma needs a quote on both sides.") from None
    if not table.index.equals(pd.RangeIndex(len(table))):  # more fields in the first row than names above it
        raise ValueError(f"{path.name} has more fields in a row than names in its first line. Are quotes missing?")
    for name in ("label", "review"):
        if name not in table:
            raise ValueError(f"{path.name} has no column {name!r}, only {list(table)}. Rename one or add it.")
    strange = table["label"].notna() & ~pd.to_numeric(table["label"], errors="coerce").isin([0, 1])
    if strange.any():
        first = table.index[strange][0]  # 0 is the first row under the names of the columns
        given = str(table.loc[first, "label"])[:40]
        raise ValueError(f"{path.name}, row {first + 1}: the label is {given}; write 0 (negative) or 1 (positive).")
    blank = table["review"].str.strip().eq("")
    rows = table[~blank].dropna(subset=["label", "review"])
    if rows.empty:
        raise ValueError(f"{path.name}: none of its {len(table)} rows has both a label and a review. Is it the right file?")
    return rows.astype({"label": float}).astype({"label": int})

rows = read_reviews(path)
len(table), len(rows)

# %% [markdown]
# Now feed it bad files. Before you run this: for each, what should a good error tell you?

# %%
bad_files = {
    "renamed.csv": "stars,review\n1,Lovely\n",
    "stars.csv": "label,review\n1,Lovely\n0,Damp\n5,A dream\n",
    "no_texts.csv": "label,review\n1,\n0,\n", "nothing.csv": "",
    "commas.csv": "label,review\n1,Warm, quiet, clean\n0,Damp, cold, loud\n",
    "chinese.csv": "label,review\n1,很好\n".encode("gbk"),  # what Chinese programs may write instead of UTF-8
}

# %%
import tempfile

folder = tempfile.TemporaryDirectory()
for name, text in bad_files.items():
    bad = Path(folder.name, name)
    bad.write_bytes(text if isinstance(text, bytes) else text.encode())
    with lab.expect_error(ValueError):
        read_reviews(bad)

# %% [markdown]
# Each names the file and the fault, and asks or tells what to do. A torch `Dataset` has two methods besides its
# `__init__`: how long it is, and what is at an index.

# %%
from torch.utils.data import DataLoader, Dataset, Subset, random_split

class Reviews(Dataset):
    """The reviews of a CSV file: `reviews[index]` is `(text, label)`."""

    def __init__(self, path: Path):
        rows = read_reviews(path)
        self.texts, self.labels = list(rows["review"]), list(rows["label"])

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> tuple[str, int]:
        return self.texts[index], self.labels[index]

reviews = Reviews(path)
reviews[0]

# %% [markdown]
# Nine of ten rows are for training, the tenth is held back: `random_split`. Before you run this: call it twice without
# a seed; how many of the rows held back are the same?

# %%
twice = [set(random_split(reviews, [0.9, 0.1])[1].indices) for _ in range(2)]
len(twice[0]), len(twice[0] & twice[1])

# %% [markdown]
# Only a few. Each run would be measured on other rows, and one run's exam would be another run's lesson. So ours gets a
# generator of its own. And it refuses to hold back nothing.

# %%
def split(dataset: Dataset, seed: int = 42) -> list[Subset]:
    """Nine tenths for training, one tenth held back: the same rows for the same seed."""
    train_size = int(0.9 * len(dataset))
    if train_size == 0:
        raise ValueError(f"A set of {len(dataset)} can't be split 9:1: one part would be empty. Give at least 2.")
    sizes = [train_size, len(dataset) - train_size]
    return random_split(dataset, sizes, generator=torch.Generator().manual_seed(seed))

trainset, validset = split(reviews)
with lab.expect_error(ValueError):
    split(Subset(reviews, [0]))
len(trainset), len(validset)

# %%
assert not set(trainset.indices) & set(validset.indices)
assert split(reviews)[1].indices == validset.indices
train_labels = [label for _, label in trainset]
valid_labels = [label for _, label in validset]
sum(train_labels) / len(train_labels), sum(valid_labels) / len(valid_labels)

# %% [markdown]
# No review is in both, and the second call gives the same split. The share of positive reviews is similar in both
# parts, but not equal: the split was random.
#
# The `DataLoader` draws a batch of `(text, label)` pairs. A **collate function** makes tensors of it. This is the one
# of many tutorials: every text becomes exactly 128 tokens long. Before you run this: in a batch of 32 reviews, what
# share of the tokens is padding?

# %%
def collate_128(pairs: list[tuple[str, int]]):
    """Texts and labels as tensors; every text is padded or cut to 128 tokens."""
    texts, labels = zip(*pairs)
    batch = tokenizer(list(texts), max_length=128, padding="max_length", truncation=True, return_tensors="pt")
    batch["labels"] = torch.tensor(labels)
    return batch

shuffle = torch.Generator().manual_seed(0)
loader = DataLoader(trainset, batch_size=32, shuffle=True, collate_fn=collate_128, generator=shuffle)
batch = next(iter(loader))
print(f"{1 - batch['attention_mask'].float().mean():.0%} of the tokens are padding")
{name: tuple(values.shape) for name, values in batch.items()}

# %%
import matplotlib.pyplot as plt

lengths = [len(ids) for ids in tokenizer(reviews.texts, truncation=True, max_length=128)["input_ids"]]
figure, axes = plt.subplots()
axes.hist(lengths, bins=range(0, 136, 4))
axes.axvline(128, color="#D55E00")
axes.annotate("padded to 128", (126, axes.get_ylim()[1] * 0.9), ha="right", color="#D55E00")
axes.set(xlabel="tokens in a review", ylabel="reviews")
axes.set_title(f"Half of the reviews have {pd.Series(lengths).median():.0f} tokens or fewer");

# %% [markdown]
# Look at how far each bar stands from the red line: so many tokens of padding each of its reviews gets, computed and
# thrown away. Section 9.4 saves them. First, the loop.
#
# ### Exercise 9.1
# Before you train, know what *no* training gets. Write `majority_share(labels)`: `labels` is a list of labels (of any
# kind). Return the accuracy, from 0 to 1, of a "model" that always answers with the most frequent label. For example,
# `majority_share([1, 1, 0, 1])` gives `0.75`.

# %% tags=["exercise"]
def majority_share(labels: list) -> float:
    """The accuracy of always answering with the most frequent label."""
    # BEGIN SOLUTION
    counts = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return max(counts.values()) / len(labels)
    # END SOLUTION

# %% tags=["check"]
lab.check("9.1", majority_share)

# %% [markdown]
# `lab.hint("9.1")` helps.

# %% [markdown]
# ## 9.2 The loop
# <!-- T141 -->
# While you build machinery, you want answers in a second. So here is a **practice model**: a BERT with one narrow layer
# and random weights. It knows nothing. But the loop can't tell: to the loop, a model is something that takes a
# batch and returns a loss and logits.

# %%
from transformers import AutoConfig, AutoModelForSequenceClassification

width = {"en": 32, "zh": 8}[language]  # the Chinese tokenizer has eight times as many entries, a row for each
tiny = {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
names = {"id2label": {0: "negative", 1: "positive"}, "label2id": {"negative": 0, "positive": 1}}

def practice_model(seed: int = 42):
    """A very small BERT classifier with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(encoder, revision=encoder.revision, **tiny, **names)
    return AutoModelForSequenceClassification.from_config(config).to(device)

model = practice_model()
output = model(**batch.to(device))
output.loss.item(), tuple(output.logits.shape)

# %% [markdown]
# The batch carries `labels`, so the model computes the loss by itself. Which loss, and is it right? Before you run
# this: what loss does a model have that gives both classes the probability one half?

# %%
by_hand = torch.nn.functional.cross_entropy(output.logits, batch["labels"])
assert torch.allclose(by_hand, output.loss)
f"by hand {by_hand:.4f}, a coin {torch.tensor(2.0).log():.4f}"

# %% [markdown]
# Cross-entropy, and near ln 2: an untrained model gives each class about one half. Now the two loops, measuring first.
# They are those of many tutorials, with two repairs. `.to(device)` takes the device that is there; `.cuda()` asks for a
# GPU, with or without one. And the loader is an argument, no global variable.

# %%
def evaluate(model, loader) -> float:
    """The share of right answers."""
    model.eval()                                   # dropout off
    right, seen = 0, 0
    with torch.inference_mode():                   # no gradients
        for batch in loader:
            batch = batch.to(device)
            guesses = model(**batch).logits.argmax(dim=-1)
            right += (guesses == batch["labels"]).sum().item()
            seen += len(guesses)
    return right / seen

# %% [markdown]
# Count what is right and divide at the end: the last batch may be smaller. And the training loop:

# %% tags=["long"] why="the whole loop is the lesson"
def train_plainly(model, optimizer, loader, valid_loader, epochs: int, log_every: int) -> None:
    """The loop with nothing added."""
    step = 0
    for epoch in range(epochs):
        model.train()                              # dropout on: evaluate() has switched it off
        for batch in loader:
            optimizer.zero_grad()                  # forget the last gradients
            loss = model(**batch.to(device)).loss
            loss.backward()                        # new gradients
            optimizer.step()                       # move the weights
            if step % log_every == 0:
                print(f"epoch {epoch}, step {step:>3}: loss {loss.item():.3f}")
            step += 1
        print(f"epoch {epoch}: accuracy {evaluate(model, valid_loader):.3f}")

# %%
if not torch.cuda.is_available():
    with lab.expect_error(AssertionError, RuntimeError):
        batch["labels"].cuda()

# %% [markdown]
# That is what `.cuda()` says on a machine without a GPU. (With one, the cell is silent.) Now train. Before you run
# this: where will the accuracy be after two epochs?

# %%
few = Subset(trainset, range(min(most, len(trainset))))  # with LABS_ROWS=10000 in the environment: all of them
loader = DataLoader(few, batch_size=32, shuffle=True, collate_fn=collate_128)
valid_loader = DataLoader(validset, batch_size=64, collate_fn=collate_128)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
train_plainly(model, optimizer, loader, valid_loader, epochs=2, log_every=5)

# %% [markdown]
# (Each `loss` line is one batch. Many tutorials have a learning rate of 2e-5, for a pretrained model. Ours starts from
# nothing, and takes larger steps.)
#
# The loss falls a little, and most of the reviews are right. Is that good? Ask the model itself, in the words of a
# guest.

# %%
def predict(model, text: str) -> str:
    """The label of one text, or a sentence that says why there is none."""
    if not text.strip():
        return "There is nothing to judge: the text is empty."
    inputs = tokenizer(text, truncation=True, max_length=128, return_tensors="pt").to(device)
    model.eval()
    with torch.inference_mode():
        probabilities = model(**inputs).logits.softmax(dim=-1)[0]
    best = int(probabilities.argmax())
    return f"{model.config.id2label[best]} ({probabilities[best]:.0%})"

# %%
asked = {
    "en": ["I like this hotel, the food is very good!", "Dirty, loud and far too expensive."],
    "zh": ["我觉得这家酒店不错，饭很好吃！", "又脏又吵，而且太贵了。"],
}[language]
for text in asked:
    print(f"{predict(model, text):15} {text}")

# %% [markdown]
# It says *positive* to both. Its accuracy is the share of positive reviews among those held back, printed in section
# 9.1: exercise 9.1's number, no more. Section 9.3 makes such a model visible.
#
# First a question about the two mode lines. Before you run this: the same batch, twice through the same model. Is the
# loss the same?

# %%
batch = next(iter(valid_loader)).to(device)
with torch.inference_mode():
    for mode in (model.train, model.eval):
        mode()
        print(f"{mode.__name__:>5}: {model(**batch).loss.item():.6f} {model(**batch).loss.item():.6f}")

# %% [markdown]
# In `train` mode dropout switches other units off each time; in `eval` mode the model and the batch settle the loss. If
# you forget `train()` at the start of an epoch, everything after the first evaluation trains without dropout, and
# nothing tells you. (A model from `from_pretrained` is in `eval` mode to begin with: it would train without from the
# first step. Section 9.5 shows it.)
#
# ### Exercise 9.2
# Write `training_step(model, batch, optimizer)`: one step of the loop, with the mode, on a batch that is on the right
# device. `batch` is a dict that holds `labels`; the model returns an output with `.loss`. Return the loss as a Python
# `float`. Old gradients may be lying around: your step must not use them.

# %% tags=["exercise"]
def training_step(model, batch: dict, optimizer) -> float:
    """Train on one batch; return the loss before the step."""
    # BEGIN SOLUTION
    model.train()
    optimizer.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    return loss.item()
    # END SOLUTION

# %% tags=["check"]
lab.check("9.2", training_step)

# %% [markdown]
# `lab.hint("9.2")` helps.
#
# ### Exercise 9.3
# Write `mean_loss(model, loader)`: the mean loss **per example** over all batches, as a `float`, measured in `eval`
# mode and without gradients. `batch["labels"]` tells how many examples a batch has; the last batch is often smaller.
# The batches are on the right device. Leave the model in the mode in which you found it (`model.training` is a bool).
# For example, a batch of 3 with the loss 1.0 and a batch of 1 with the loss 5.0 give `2.0`.

# %% tags=["exercise"]
def mean_loss(model, loader) -> float:
    """The mean loss per example, without dropout and gradients; the model's mode stays what it was."""
    # BEGIN SOLUTION
    mode = model.training
    model.eval()
    total, seen = 0.0, 0
    with torch.inference_mode():
        for batch in loader:
            count = len(batch["labels"])
            total += model(**batch).loss.item() * count
            seen += count
    model.train(mode)
    return total / seen
    # END SOLUTION

# %% tags=["check"]
lab.check("9.3", mean_loss)

# %% [markdown]
# `lab.hint("9.3")` helps.

# %% [markdown]
# ## 9.3 What accuracy hides
# <!-- T142 -->
# The practice model is right on most reviews and finds no complaint. One number can't say that. Sort its answers into
# four boxes: truth by answer. Before you run this: which two boxes will be empty?

# %%
def answers(model, loader) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits [reviews, 2] and the labels [reviews] of a whole loader, on the CPU."""
    model.eval()
    with torch.inference_mode():
        pairs = [(model(**batch.to(device)).logits.cpu(), batch["labels"].cpu()) for batch in loader]
    logits, labels = zip(*pairs)
    return torch.cat(logits), torch.cat(labels)

logits, labels = answers(model, valid_loader)
guesses = logits.argmax(dim=-1)
boxes = [[int(((labels == truth) & (guesses == guess)).sum()) for guess in (0, 1)] for truth in (0, 1)]
pd.DataFrame(boxes, index=["is negative", "is positive"], columns=["called negative", "called positive"])

# %% [markdown]
# The four measures of this section are made of these four numbers. Take *negative* as the class that you look for: a
# complaint.
#
# - **accuracy**: how many of all are right
# - **precision**: of those *called* a complaint, how many are one
# - **recall**: of those that *are* a complaint, how many were called one
# - **F1**: the harmonic mean of the two, 2·P·R / (P + R); it is low as soon as one of them is
#
# A model that never says *negative* has a precision of 0/0. By convention that counts as 0.
#
# ### Exercise 9.4
# Write `scores(truth, guess, target)`: two lists of labels, and the label that you look for. Return a dict with
# `"precision"`, `"recall"` and `"f1"`, from 0 to 1; 0/0 counts as 0. No library, no tensors. For example, `scores([0,
# 0, 1, 1], [0, 1, 1, 1], 0)` gives precision 1.0 (one called, and rightly), recall 0.5 (one of two found) and an F1 of
# two thirds.

# %% tags=["exercise"]
def scores(truth: list, guess: list, target) -> dict[str, float]:
    """Precision, recall and F1 of the class `target`."""
    # BEGIN SOLUTION
    found = sum(t == target and g == target for t, g in zip(truth, guess))
    called = sum(g == target for g in guess)
    there = sum(t == target for t in truth)
    precision = found / called if called else 0.0
    recall = found / there if there else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}
    # END SOLUTION

# %% tags=["check"]
lab.check("9.4", scores)

# %% [markdown]
# `lab.hint("9.4")` helps.
#
# With tensors the same takes a few lines. To see the numbers at work, take guesses that are partly right: the truth
# with every fourth answer turned round.

# %%
def four_numbers(truth: torch.Tensor, guess: torch.Tensor, target: int) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 of the class `target`; 0/0 counts as 0."""
    found = ((guess == target) & (truth == target)).sum().item()
    called, there = (guess == target).sum().item(), (truth == target).sum().item()
    precision, recall = found / max(called, 1), found / max(there, 1)
    f1 = 2 * precision * recall / (precision + recall) if found else 0.0
    return {"accuracy": (guess == truth).double().mean().item(), "precision": precision, "recall": recall, "f1": f1}

# %%
partly = labels.clone()
partly[::4] = 1 - partly[::4]
always = torch.ones_like(labels)
contenders = {"always positive": always, "the practice model": guesses, "every fourth turned": partly}
numbers = pd.DataFrame({name: four_numbers(labels, guess, target=0) for name, guess in contenders.items()}).T
numbers.round(2)

# %%
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

for name, guess in contenders.items():
    library = precision_recall_fscore_support(labels, guess, pos_label=0, average="binary", zero_division=0)
    expected = [accuracy_score(labels, guess), *library[:3]]
    assert all(abs(mine - theirs) < 1e-12 for mine, theirs in zip(numbers.loc[name], expected))

# %% [markdown]
# By hand and by scikit-learn: the same to eleven places. Mind its `pos_label`: *positive* in "true positive" is the
# class that you look for, and with `average="binary"` scikit-learn takes 1 unless you say otherwise.

# %%
axes = numbers.T.plot.bar(figsize=(7.2, 3.4), rot=0, width=0.75)
axes.set(ylim=(0, 1), ylabel="share")
axes.set_title("Close in accuracy, far apart in complaints found")
axes.grid(axis="x", visible=False)
axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.1));

# %% [markdown]
# Look at the first group of bars, then at the other three. In accuracy the three "models" are close; in recall, one
# finds most of the complaints and the others none.
#
# With several classes, F1 is averaged. *Macro*: every class counts the same. *Micro*: every review counts the same.
# Before you run this: for single-label classification, which other measure is micro-F1?

# %%
for average in ("micro", "macro", "weighted"):
    turned, lazy = (f1_score(labels, guess, average=average) for guess in (partly, always))
    print(f"{average:>8}: every fourth turned {turned:.3f}, always positive {lazy:.3f}")
assert abs(f1_score(labels, partly, average="micro") - accuracy_score(labels, partly)) < 1e-12

# %% [markdown]
# Micro-F1 *is* accuracy, under another name. For the model that ignores a class, macro-F1 is the lowest of the three,
# far below its accuracy: it is the one to watch when classes differ in size.

# %% [markdown]
# ## 9.4 Stop computing padding
# <!-- T143 -->
# So far every text was padded to 128 tokens. **Dynamic padding** pads a batch to *its* longest text. A third way also
# **groups** texts of similar length, so that little padding is left.
#
# Counting needs no model, so count first. Before you run this: will dynamic padding help more with small batches or
# with large ones?

# %%
def collate(pairs: list[tuple[str, int]]):
    """Texts and labels as tensors, padded to the longest text of the batch."""
    texts, labels = zip(*pairs)
    batch = tokenizer(list(texts), max_length=128, padding=True, truncation=True, return_tensors="pt")
    batch["labels"] = torch.tensor(labels)
    return batch

def cost(lengths: list[int], size: int) -> int:
    """The tokens that a model computes when texts of these lengths are cut into batches of `size`, in order."""
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return sum(len(batch) * max(batch) for batch in batches)

# %%
other = {"en": "zh", "zh": "en"}[language]
other_encoder = lab.checkpoint(roles[other])
other_tokenizer = AutoTokenizer.from_pretrained(other_encoder, revision=other_encoder.revision)
other_texts = Reviews(Path(hotels, f"{other}.csv")).texts
other_ids = other_tokenizer(other_texts, truncation=True, max_length=128)["input_ids"]
by_language = {language: lengths, other: [len(ids) for ids in other_ids]}
{name: f"{sum(known) / len(known):.0f} tokens on average" for name, known in by_language.items()}

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
sizes = [1, 2, 4, 8, 16, 32, 64]
for axes, (name, known) in zip(panels, by_language.items()):
    fixed = 128 * len(known)
    axes.plot(sizes, [fixed / cost(known, size) for size in sizes], "o-", label="dynamic")
    axes.plot(sizes, [fixed / cost(sorted(known), size) for size in sizes], "s-", label="dynamic and grouped")
    axes.set(xscale="log", xticks=sizes, xticklabels=sizes, xlabel="reviews in a batch", title=name)
    axes.minorticks_off()
panels[0].set(ylim=(0, None), ylabel="times fewer tokens than 128 each")
panels[0].legend(loc="lower left")
figure.suptitle("Dynamic padding: the larger the batch, the less it saves; grouping keeps it", x=0.01, ha="left");

# %% [markdown]
# Look at the blue line: the larger the batch, the longer its longest review, and all the others are padded to it.
# Grouped, the orange line falls far less. And compare the panels: the longer the texts, the less there is to win, and
# the Chinese reviews have more tokens. (Each language is counted with its own encoder's tokenizer; the Chinese one
# belongs to section 9.10.)
#
# Do saved tokens mean saved time? Now it has to be the real model. The same 24 reviews, three ways, one training step
# per batch of 8:

# %%
import time
from transformers.utils import logging

logging.set_verbosity_error()  # it would report that the head is new; we know

def real_model():
    """The pretrained encoder with a new head for two classes."""
    loaded = AutoModelForSequenceClassification.from_pretrained(
        encoder, revision=encoder.revision, dtype=torch.float32, **names
    )
    if language == "zh":  # 118 million numbers: only the two upper of twelve layers, pooler and head learn
        loaded.bert.embeddings.requires_grad_(False)
        loaded.bert.encoder.layer[:10].requires_grad_(False)
    return loaded.to(device)

# %% [markdown]
# (In Chinese the encoder is five times as large, so its embeddings and all layers but two stay as they are: **frozen**.
# In English everything learns.) The clock runs while the model trains, and not while batches are made:

# %%
def seconds(model, optimizer, batches: list) -> float:
    """The wall time of one training step on each batch."""
    begin = time.perf_counter()
    for batch in batches:
        model(**batch.to(device)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.classifier.bias.sum().item()  # a GPU works on by itself: wait for it
    return time.perf_counter() - begin

# %%
sample = [trainset[index] for index in range(min(24, len(trainset)))]
grouped = sorted(sample, key=lambda pair: len(tokenizer(pair[0])["input_ids"]))
orders = {"128 each": (sample, collate_128), "dynamic": (sample, collate), "dynamic and grouped": (grouped, collate)}
model = real_model()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
seconds(model, optimizer, [collate(sample[:8])])  # the first step is slower: memory is asked for once
measured = {name: {"seconds": 0.0, "tokens": 0} for name in orders}
for start in range(0, len(sample), 8):
    for name, (pairs, make) in orders.items():  # in turn, so that another program slows all three
        batch = make(pairs[start : start + 8])
        measured[name]["seconds"] += seconds(model, optimizer, [batch])
        measured[name]["tokens"] += batch["input_ids"].numel()

# %%
padding = pd.DataFrame(measured).T
times_less = (padding.loc["128 each"] / padding).rename(columns=lambda name: f"times fewer {name}")
assert times_less["times fewer tokens"].is_monotonic_increasing
learning = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
print(f"{learning / 1e6:.0f} million of {model.num_parameters() / 1e6:.0f} million numbers learn;")
print(f"{padding.loc['dynamic', 'seconds'] / (len(sample) / 8):.2f} seconds for a batch of 8, padded dynamically")
padding.join(times_less).round(2)

# %% [markdown]
# On a CPU, time follows tokens, more or less. Dynamic padding saves much where texts are short, as in English; on the
# longer Chinese reviews it gives less, and grouping is what pays: compare the two panels above at 8 reviews in a batch.
# So count the tokens of *your* texts. Is anything lost? Padded or not, the answer should be the same:

# %%
model.eval()
with torch.inference_mode():
    wide = model(**collate_128(sample[:8]).to(device)).logits
    narrow = model(**collate(sample[:8]).to(device)).logits
assert torch.allclose(wide, narrow, atol=1e-4)
f"largest difference of a logit: {(wide - narrow).abs().max().item():.0e}"

# %% [markdown]
# Nothing is lost but rounding in the last digits: the attention mask keeps padding out.
#
# ### Exercise 9.5
# Write `group(lengths, size)`: `lengths` are the lengths of the texts in tokens. Return a list of batches; a batch is a
# list of at most `size` indices into `lengths`. Each index occurs exactly once, there are as few batches as possible,
# and texts of similar length stand together, so that little is padded. For example, `group([9, 2, 8, 3], 2)` gives
# `[[1, 3], [2, 0]]`, in any order: one batch of 2 and 3 tokens, one of 8 and 9. If `size` does not divide the number of
# texts, one batch is smaller: the one with the shortest texts, or the one with the longest.

# %% tags=["exercise"]
def group(lengths: list[int], size: int) -> list[list[int]]:
    """Batches of indices of texts that are about equally long."""
    # BEGIN SOLUTION
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[start : start + size] for start in range(0, len(order), size)]
    # END SOLUTION

# %% tags=["check"]
lab.check("9.5", group)

# %% [markdown]
# `lab.hint("9.5")` helps.
#
# Sorting *all* texts has a price: the model would see all short reviews first. So shuffle, sort within large pieces,
# and shuffle the batches. A `DataLoader` takes such a list of lists of indices as its `batch_sampler`.

# %%
def grouped_batches(lengths: list[int], size: int, generator: torch.Generator) -> list[list[int]]:
    """Batches of indices: random pieces of 16 batches, each sorted by length and cut, in random order."""
    order = torch.randperm(len(lengths), generator=generator)
    batches = []
    for piece in order.split(16 * size):
        piece = sorted(piece.tolist(), key=lambda index: lengths[index])
        batches += [piece[start : start + size] for start in range(0, len(piece), size)]
    return [batches[index] for index in torch.randperm(len(batches), generator=generator)]

# %%
train_lengths = [lengths[trainset.indices[index]] for index in few.indices]
batches = grouped_batches(train_lengths, 8, torch.Generator().manual_seed(0))
assert sorted(sum(batches, [])) == list(range(len(few)))
in_order = [train_lengths[index] for batch in batches for index in batch]
f"{len(batches)} batches; {sum(in_order) / cost(in_order, 8):.0%} of their tokens are text"

# %% [markdown]
# ## 9.5 Training in earnest
# <!-- T144 -->
# Now the pretrained encoder, with three additions to the loop. A **schedule** lets the learning rate rise from 0
# (*warmup*: the optimizer's running means begin empty, so its first steps rest on a few batches only) and then fall
# back towards 0. **Clipping** shortens a gradient that is too long. A **progress bar** and a **live curve** show that
# something happens. And the optimizer is AdamW; `fused=True` updates all weights in one pass.
#
# First `fused`, on five million weights. Before you run this: how many times faster?

# %%
def update_time(fused: bool) -> float:
    """The wall time of five updates of five million weights in fifty tensors."""
    weights = [torch.zeros(100_000, requires_grad=True) for _ in range(50)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW(weights, fused=fused)
    optimizer.step()
    begin = time.perf_counter()
    for _ in range(5):
        optimizer.step()
    return time.perf_counter() - begin

f"fused on the CPU: {update_time(fused=False) / update_time(fused=True):.0f} times faster"

# %% [markdown]
# Now everything together. And one thing less: measuring changes no weight, so its order is free. Sorted by length, the
# held-back reviews need little padding. Before you run the loop: with a tenth of the steps for warmup, at which step is
# the learning rate highest?

# %%
from transformers import get_scheduler

epochs, size, peak = 1, 8, {"en": 1e-4, "zh": 1e-3}[language]  # fewer weights learn in Chinese, with larger steps
order = torch.Generator().manual_seed(1)
plan = [batch for _ in range(epochs) for batch in grouped_batches(train_lengths, size, order)]

def fresh_start():
    """The pretrained model with a new head, its optimizer and its schedule: the same at every call."""
    torch.manual_seed(42)
    model = real_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, fused=True)
    return model, optimizer, get_scheduler("linear", optimizer, len(plan) // 10, len(plan))

model = optimizer = None  # lets those of section 9.4 go

# %%
loader = DataLoader(few, batch_sampler=plan, collate_fn=collate)
by_length = sorted(range(len(validset)), key=lambda place: lengths[validset.indices[place]])
examset = Subset(validset, by_length)
valid_loader = DataLoader(examset, batch_size=32, collate_fn=collate)
logits, labels = answers(fresh_start()[0], valid_loader)
before = four_numbers(labels, logits.argmax(dim=-1), target=0)
before

# %% tags=["long"] why="the whole loop is the lesson"
from tqdm.auto import tqdm

model, optimizer, scheduler = fresh_start()
print(f"from_pretrained hands it over in {'train' if model.training else 'eval'} mode")
curve = lab.training_curve()
bar = tqdm(loader, desc="training")
for step, batch in enumerate(bar):
    model.train()
    loss = model(**batch.to(device)).loss
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
    rate = scheduler.get_last_lr()[0]
    optimizer.step()
    scheduler.step()       # after the optimizer's step
    optimizer.zero_grad()
    curve.log(step, **{"loss": loss, "learning rate": rate, "gradient norm before clipping": norm})
    bar.set_postfix(loss=f"{loss.item():.2f}")

# %% [markdown]
# (The bar moves in a notebook; a static page leaves it out.) The middle panel is the schedule: up, then down. On the
# right, the length of the gradient before clipping: everything above 1 was shortened to 1. On the left, the loss of
# each batch. It jumps, because each batch is another exam of 8 questions. A running mean shows the way:

# %%
history = pd.DataFrame(curve.data)
smooth = history["loss"].ewm(span=10).mean()
figure, axes = plt.subplots()
axes.plot(history["step"], history["loss"], ".", color="#56B4E9")
axes.plot(history["step"], smooth)
axes.axhline(torch.tensor(2.0).log().item(), color="#D55E00", linewidth=1)
axes.annotate("a coin", (history["step"].max(), 0.7), ha="right", va="bottom", color="#D55E00")
axes.set(xlabel="step", ylabel="loss of a batch", ylim=(0, None))
axes.set_title("Dots are batches, the line is their running mean: read the line");

# %%
assert history["loss"].tail(20).mean() < history["loss"].head(8).mean()
logits, labels = answers(model, valid_loader)
guesses = logits.argmax(dim=-1)
rows = {"always positive": four_numbers(labels, torch.ones_like(labels), 0), "before training": before}
rows["after training"] = four_numbers(labels, guesses, target=0)
print(f"clipped: {(history['gradient norm before clipping'] > 1).mean():.0%} of the steps")
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# Compare the last row with the first. Now complaints are found; not all of them, after one epoch on a few hundred
# reviews. The two sentences from above, and three texts that are none:

# %%
for text in [*asked, "", "🙂", "very " * 10_000]:
    print(f"{predict(model, text):15} {text[:60]!r}, {len(text):,} characters")

# %% [markdown]
# Does it know the second sentence for a complaint, and how sure is it? The recall above says how many it still misses;
# section 9.6 asks where to draw the line. Empty text gets a sentence, no traceback. The ten thousand words are cut to
# 128 tokens. The last two get a label, too: the model has two words and must say one of them, whatever it reads.
#
# ### Exercise 9.6
# Write `clip(gradients, max_norm)`: `gradients` is a list of tensors of any shapes. Their **common** norm is the square
# root of the sum of the squares of all their numbers. Where it is larger than `max_norm`, scale all of them by the same
# factor, **in place**, so that it becomes `max_norm`; otherwise change nothing. (New tensors in the list won't do: the
# model holds the old ones.) Return the norm *before*, as a `float`. For example, `[tensor([3.0]), tensor([4.0])]` with
# 1.0 returns `5.0`, and the tensors become 0.6 and 0.8.

# %% tags=["exercise"]
def clip(gradients: list[torch.Tensor], max_norm: float) -> float:
    """Scale all gradients in place so that their common norm is at most `max_norm`; return the norm before."""
    # BEGIN SOLUTION
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt().item()
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm
    # END SOLUTION

# %% tags=["check"]
lab.check("9.6", clip)

# %% [markdown]
# `lab.hint("9.6")` helps.

# %% [markdown]
# ## 9.6 Read the errors
# <!-- T148 -->
# A table of scores says how many. To learn *why*, read. First the four boxes of the trained model. Before you run this:
# which error do you expect more often, a complaint that was missed or praise taken for a complaint?

# %%
from sklearn.metrics import confusion_matrix

matrix = confusion_matrix(labels, guesses, labels=[0, 1])
assert matrix.trace() == (guesses == labels).sum()
lab.heatmap(
    matrix, rows=["is negative", "is positive"], columns=["called negative", "called positive"],
    title=f"{matrix[0, 1]} complaints missed, {matrix[1, 0]} guests misread", label="reviews",
)

# %% [markdown]
# The diagonal is right. Rows are the truth: each row adds up to the reviews of its class.
#
# Now sort the held-back reviews by their loss. The loss of **one** review needs `reduction="none"`; it is large where
# the model was sure and wrong. Before you run this: what will the reviews at the top have in common?

# %%
losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")  # [reviews]
errors = pd.DataFrame({
    "loss": losses, "truth": labels, "P(positive)": logits.softmax(dim=-1)[:, 1],
    "review": [text for text, _ in examset],
}).sort_values("loss", ascending=False)
errors.head(8).round(2)

# %%
assert abs(errors["loss"].mean() - torch.nn.functional.cross_entropy(logits, labels).item()) < 1e-5
share = errors["loss"].cumsum() / errors["loss"].sum()
figure, axes = plt.subplots()
axes.plot([100 * (rank + 1) / len(errors) for rank in range(len(errors))], 100 * share)
axes.set(xlabel="reviews, hardest first (%)", ylabel="share of the whole loss (%)", ylim=(0, 102))
axes.set_title(f"The hardest fifth of the reviews makes {share.iloc[len(errors) // 5]:.0%} of the loss");

# %% [markdown]
# The curve climbs fastest at its left end, as sorting makes it; the title says how much the hardest fifth holds. So
# begin reading there, with the column *truth*: is one of the two labels more frequent at the top? Then ask of each: is
# the **label** wrong? Would *you* be sure? Irony, praise of what was missing, a twist in the last sentence? Or a word
# that the model takes for a sign, wherever it stands? Each answer asks for another cure: correct the data, collect more
# of this kind, or live with it.
#
# Some of these errors depend on where a line is drawn. The model calls a review a complaint when P(negative) > 0.5, but
# nothing forces you to draw the line there:

# %%
negative = logits.softmax(dim=-1)[:, 0]
lines = [line / 20 for line in range(1, 20)]
at = pd.DataFrame([four_numbers(labels, (negative <= line).long(), target=0) for line in lines], index=lines)
axes = at[["precision", "recall"]].plot(figsize=(7.2, 3.4), marker=".")
axes.axvline(0.5, color="grey", linewidth=1)
axes.set(xlabel="call it a complaint when P(negative) is above", ylabel="share", ylim=(0, 1.02))
axes.set_title("A lower line finds no fewer complaints, and calls more reviews one");

# %% [markdown]
# Follow recall from right to left: it never falls. Does precision pay for it, and does it pay at every step? (Where it
# is 0 at the far right, nothing is called a complaint any more: 0/0 counts as 0.) Where to draw the line depends on
# what a missed complaint costs you. And draw it on reviews that you then don't use to report your score.
#
# ### Exercise 9.7
# Write `confusion(truth, guess, classes)`: `truth` and `guess` are lists of labels, `classes` lists the labels in the
# order of the rows and columns. Return a list of rows, each a list of counts; `matrix[i][j]` counts where the truth is
# `classes[i]` and the guess `classes[j]`. For example, `confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"])` gives
# `[[1, 1], [0, 1]]`.

# %% tags=["exercise"]
def confusion(truth: list, guess: list, classes: list) -> list[list[int]]:
    """How often each class (row) was called each class (column)."""
    # BEGIN SOLUTION
    pairs = list(zip(truth, guess))
    return [[pairs.count((row, column)) for column in classes] for row in classes]
    # END SOLUTION

# %% tags=["check"]
lab.check("9.7", confusion)

# %% [markdown]
# `lab.hint("9.7")` helps.

# %% [markdown]
# ## 9.7 The same run twice
# <!-- T146 -->
# Is a change an improvement, or luck? To begin with, no change should make no difference. Three things in a run
# are random: the first weights, the order of the batches, and dropout. Each gets its own seed here. Before you run
# this: are two runs with equal seeds equal to the last bit, or only nearly?

# %% tags=["long"] why="a whole run, with a seed for each source of chance, is the lesson"
short = Subset(trainset, range(min(320, len(trainset))))

def short_run(weights: int = 0, order: int = 0, dropout: int = 0):
    """Train the practice model for two epochs; return the losses and the model."""
    model = practice_model(weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    shuffle = torch.Generator().manual_seed(order)
    loader = DataLoader(short, batch_size=32, shuffle=True, collate_fn=collate, generator=shuffle)
    torch.manual_seed(dropout)
    losses = []
    for _ in range(2):
        for batch in loader:
            optimizer.zero_grad()
            loss = model.train()(**batch.to(device)).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, model

# %%
def equal(one, other) -> bool:
    """Whether two models have the same weights, bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))

(first, one), (second, two) = short_run(), short_run()
if device.type == "cpu":
    assert first == second and equal(one, two)
first == second, equal(one, two)

# %% [markdown]
# Equal, to the last bit (on a CPU). Now change one seed at a time.

# %%
others = {name: short_run(**{name: 1})[0] for name in ("order", "weights", "dropout")}
figure, axes = plt.subplots()
for name, losses in others.items():
    axes.plot([a - b for a, b in zip(losses, first)], linewidth=1.3, label=f"another seed for the {name}")
    assert losses != first
axes.plot([a - b for a, b in zip(second, first)], color="black", linewidth=3, label="the same seeds")
axes.set(xlabel="step", ylabel="loss, less that of the first run")
axes.set_title("The same seeds: no difference at all. One other seed: another run")
axes.legend(fontsize=9, loc="upper left");

# %% [markdown]
# The black line is the second run: zero at every step. Each of the others has only **one** seed changed. (With another
# order, each step also measures another batch.) Three things follow:
#
# - One `torch.manual_seed` at the top of a script begins *one* stream of numbers for all that torch draws on a CPU.
#   (`set_seed` of transformers begins three: torch's, Python's and NumPy's.) Draw one more number from a stream, and
#   its later ones move, as the next cell shows. A seed for each of the three, as above, keeps them apart.
# - Equal means: on this machine, with these versions and this number of threads. Another processor may add up in
#   another order, and on a GPU you may need `torch.use_deterministic_algorithms(True)` as well.
# - Two single runs with different settings say little when they differ no more than two seeds do. Run each setting
#   several times.

# %%
import random
import numpy as np
from transformers import set_seed

def draw(extra: int = 0) -> tuple[float, float, float]:
    """One number each from torch, Python and NumPy after the same seed, with `extra` draws of torch before."""
    set_seed(7)
    torch.rand(extra)
    return torch.rand(1).item(), random.random(), np.random.rand()

assert draw() == draw()
[one == other for one, other in zip(draw(), draw(extra=1))]

# %% [markdown]
# ## 9.8 Save, crash, resume
# <!-- T147 -->
# Long runs get interrupted: a crash, the time limit of a cluster, a closed laptop. You want to go on, and to end with
# **exactly** the model that you would have had. Write down what you must save for that. Are the weights enough?
#
# First the plan. If you make the whole list of batches from a seed, then the place in the run is a single number: how
# many steps are done.

# %%
def plan_batches(rows: int, size: int, epochs: int, seed: int = 42) -> list[list[int]]:
    """All batches of a run, in order, as lists of indices: the same whenever you ask."""
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(rows, generator=generator) for _ in range(epochs)]
    return [batch.tolist() for order in orders for batch in order.split(size)]

plan_batches(rows=5, size=2, epochs=2)

# %% [markdown]
# Then saving. A crash can come *while* you write the file. Before you run this: what is left of a checkpoint of which
# only the first half was written?

# %%
half = Path(folder.name, "half.pt")
torch.save(one.state_dict(), half)
half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
with lab.expect_error(RuntimeError):
    torch.load(half)

# %% [markdown]
# Nothing that `torch.load` can read. And if it was written over the old one, that is gone too. There is one move that
# no crash of your program can cut in two: `os.replace(one, other)` puts the file `one` into the place of `other`.
# Whoever looks sees the old file or the new one. (A power cut is worse than a crash: the system may still hold the new
# file's bytes in memory only. `os.fsync` waits until they are on the disk; our function below calls it before the
# move.)
#
# ### Exercise 9.8
# Write `save_safely(state, path)`: save `state` with `torch.save` so that at every moment `path` is either the old
# file, whole, or the new one, whole. When saving fails half-way, the error must reach the caller, and the old file must
# still be there. `path` is a `Path`; its folder exists. Write in that folder, too: from one disk to another, a move is
# a copy, and can be cut in two. After a success, nothing of yours but the file at `path` may be left there.

# %% tags=["exercise"]
def save_safely(state: dict, path: Path) -> None:
    """Save `state` at `path`; a crash at any moment leaves a whole file there."""
    # BEGIN SOLUTION
    unfinished = path.with_name(f"{path.name}.part")
    torch.save(state, unfinished)
    os.replace(unfinished, path)
    # END SOLUTION

# %% tags=["check"]
lab.check("9.8", save_safely)

# %% [markdown]
# `lab.hint("9.8")` helps.
#
# A checkpoint of ours holds everything that moves in this run: the state of each part, the step, and the random state
# (dropout's).

# %%
def save_checkpoint(path: Path, step: int, parts: dict) -> None:
    """Write the state of every part, the step and the random state, so that `path` is always a whole file."""
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"step": step, "rng": torch.get_rng_state(), "cuda_rng": torch.cuda.get_rng_state_all()}
    unfinished = path.with_suffix(".part")
    torch.save(state, unfinished)
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, path)

# %%
def load_checkpoint(path: Path, parts: dict) -> int:
    """Put every part and the random state back; return how many steps are done."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["rng"])
    torch.cuda.set_rng_state_all(state["cuda_rng"])
    return state["step"]

# %% tags=["long"] why="a whole run that can be resumed is the lesson"
def train(path: Path, dataset: Dataset, epochs: int = 2, save_every: int = 5, crash_at: int | None = None):
    """Train the practice model, from the checkpoint at `path` if there is one; return it."""
    model = practice_model()
    batches = plan_batches(len(dataset), 32, epochs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=2, num_training_steps=len(batches))
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    done = load_checkpoint(path, parts) if path.exists() else 0
    loader = DataLoader(dataset, batch_sampler=batches[done:], collate_fn=collate, generator=torch.Generator())
    model.train()
    for step, batch in enumerate(loader, start=done + 1):
        if step == crash_at:
            raise KeyboardInterrupt(f"the lights go out in step {step}")
        loss = model(**batch.to(device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step % save_every == 0:
            save_checkpoint(path, step, parts)
    return model

# %% [markdown]
# One run goes through. The other is interrupted in its thirteenth step, early in the second epoch, when the last
# checkpoint is from step 10. Then the call once more, without the crash. Before you run this: will the two models be
# equal, or close?

# %%
uninterrupted = train(Path(folder.name, "whole.pt"), short)
crashed = Path(folder.name, "crashed.pt")
crashed.unlink(missing_ok=True)  # this cell may have run before
with lab.expect_error(KeyboardInterrupt):
    train(crashed, short, crash_at=13)
saved = torch.load(crashed, weights_only=True)
print(f"the checkpoint is from step {saved['step']} and holds: {', '.join(saved)}")
kept = crashed.read_bytes()
resumed = train(crashed, short)
assert equal(uninterrupted, resumed) or device.type != "cpu"
equal(uninterrupted, resumed)

# %% [markdown]
# Equal, bit for bit (on a CPU). One line of `train` is easy to miss: the loader's own `generator`, although nothing is
# shuffled there. Before you run this: does it cost a random number to *begin* a loop over a `DataLoader`?

# %%
for generator in (None, torch.Generator()):
    state = torch.get_rng_state()
    iter(DataLoader([1, 2, 3], generator=generator))
    print("the global random state", "stays" if torch.equal(state, torch.get_rng_state()) else "moves")

# %% [markdown]
# It does, and dropout draws from the same stream. The resumed run begins one loop more than the uninterrupted one,
# right after the state was put back: without a generator of its own the loader would shift everything that dropout
# draws.
#
# What if you forget a part? Replace one part of the checkpoint at a time by that of a run that has just begun, and
# resume.

# %%
with lab.expect_error(KeyboardInterrupt):
    train(Path(folder.name, "new.pt"), short, save_every=1, crash_at=2)
first_step = torch.load(Path(folder.name, "new.pt"), weights_only=True) | {"step": 0}

def resume_without(name: str) -> float:
    """The largest difference of a weight between the uninterrupted run and one resumed without the part `name`."""
    crashed.write_bytes(kept)
    state = torch.load(crashed, weights_only=True)
    if name:
        state[name] = first_step[name]
    torch.save(state, crashed)
    pairs = zip(train(crashed, short).parameters(), uninterrupted.parameters())
    return max((one - other).abs().max().item() for one, other in pairs)

# %%
forgotten = {"nothing": "", "random state": "rng"} | {name: name for name in ("scheduler", "optimizer", "step")}
differences = {name: resume_without(part) for name, part in forgotten.items()}
assert differences["nothing"] < min(value for name, value in differences.items() if name != "nothing")

# %%
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.barh(list(differences)[::-1], list(differences.values())[::-1])
axes.set(xlabel="largest difference of a weight from the uninterrupted run", ylabel="left out")
axes.grid(axis="y", visible=False)
axes.set_title("Of these five, only the whole checkpoint leads to the same model")
differences

# %% [markdown]
# The uppermost bar has no length: nothing forgotten, no difference. Each of the others loads without a complaint,
# trains on, and ends elsewhere; nothing tells you. (For *random state*, *optimizer* and
# *scheduler* we put in those from after the first step, for *step* a 0.)

# %% [markdown]
# ## 9.9 The same loop with Accelerate
# <!-- T145 -->
# Your loop runs on one device. **Accelerate** runs the same loop on several, or in mixed precision, and asks for a few
# changed lines. Here is the loop twice. Before you run the next cell: which lines differ, and will the losses?

# %% tags=["long"] why="two whole loops are compared line by line"
from accelerate import Accelerator

def by_hand() -> list[float]:
    model = practice_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    shuffle = torch.Generator().manual_seed(0)
    loader = DataLoader(short, batch_size=32, shuffle=True, collate_fn=collate, generator=shuffle)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=1, num_training_steps=len(loader))
    losses = []
    for batch in loader:
        batch = batch.to(device)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses

# %% [markdown]
# And the second:

# %% tags=["long"] why="two whole loops are compared line by line"
def with_accelerate() -> list[float]:
    accelerator = Accelerator()
    model = practice_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    shuffle = torch.Generator().manual_seed(0)
    loader = DataLoader(short, batch_size=32, shuffle=True, collate_fn=collate, generator=shuffle)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=1, num_training_steps=len(loader))
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    losses = []
    for batch in loader:
        loss = model(**batch).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses

# %%
import difflib
import inspect

sources = [inspect.getsource(loop).splitlines()[1:] for loop in (by_hand, with_accelerate)]
for line in difflib.ndiff(*sources):
    if line[0] in "+-":
        print(line)

# %%
mine, theirs = by_hand(), with_accelerate()
assert all(abs(a - b) < 1e-4 for a, b in zip(mine, theirs))  # the same arithmetic; a GPU may round otherwise
print(f"{len(mine)} losses, largest difference {max(abs(a - b) for a, b in zip(mine, theirs)):.1e}")

# %% [markdown]
# That is all: one `Accelerator`, one `prepare` with everything in it, no `.to(device)`, `accelerator.backward`,
# `accelerator.clip_grad_norm_`. (If you build the model on the device, as `practice_model` does, `prepare` finds it
# there.) The losses are the same.
#
# Three ways to call `prepare` stand in many tutorials and don't work: with nothing; after `from accelerate import
# accelerator`; and with `device="cuda"`. Run all three:

# %%
from accelerate import accelerator as a_module

accelerator = Accelerator()
with lab.expect_error(IndexError):
    accelerator.prepare()
with lab.expect_error(AttributeError):
    a_module.prepare()
with lab.expect_error(TypeError):
    accelerator.prepare(device="cuda")

# %% [markdown]
# `prepare` returns what you gave it, made ready; with nothing there is nothing to return. `accelerator`, in small
# letters, is the file that the class lives in. And the device is chosen when the `Accelerator` is made; it stands in
# `accelerator.device`.
#
# The fourth wrong use is the quiet one: `batch = accelerator.prepare(batch)` in the loop, "to move it to the device".
# Before you run this: what does `prepare` do with a dictionary?

# %%
plain = dict(collate(sample[:4]))
model, loader = practice_model(), DataLoader(short, batch_size=4, collate_fn=collate)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
ready_optimizer, ready_loader = accelerator.prepare(optimizer, loader)
assert accelerator.prepare(plain) is plain
assert next(iter(ready_loader))["labels"].device.type == accelerator.device.type
type(ready_loader).__name__, type(ready_optimizer).__name__, ready_optimizer.optimizer is optimizer

# %% [markdown]
# Nothing: it hands a dictionary back untouched, on whatever device it is. The prepared **loader** moves the batches.
# The last line answers a claim that goes round: `prepare` doesn't choose an optimizer, it wraps yours. Another says
# that it adapts the batch size to the hardware. We asked for 4:

# %%
ready_loader.total_batch_size, len(next(iter(ready_loader))["labels"])

# %% [markdown]
# And we get 4. (Accelerate can look for a size that fits into memory, but only where you ask for it:
# `accelerate.utils.find_executable_batch_size`.)
#
# And does it matter who calls `backward`? Ask for **gradient accumulation** over four batches, and compare the
# gradients:

# %%
def gradient(backward) -> torch.Tensor:
    """The gradient of the head after `backward(loss)`."""
    model = practice_model().eval()
    backward(model(**collate(sample[:8]).to(device)).loss)
    return model.classifier.weight.grad.clone()

accumulating = Accelerator(gradient_accumulation_steps=4)
ratio = gradient(lambda loss: loss.backward()) / gradient(accumulating.backward)
assert torch.allclose(ratio, torch.full_like(ratio, 4.0))
ratio.mean().item()

# %% [markdown]
# Summed over four batches, the gradients of `loss.backward()` would be four times their mean, and nothing complains.
# `accelerator.backward(loss)` knows what was asked for.
#
# Accelerate can save and resume as well. Before you run this: you prepare a model, an optimizer and a loader. Which of
# them will have a file?

# %%
accelerator = Accelerator()
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
saved_in = accelerator.save_state(str(Path(folder.name, "state")))
accelerator.load_state(saved_in)
sorted(file.name for file in Path(saved_in).iterdir())

# %% [markdown]
# The model, the optimizer and the random states; this loader has none. After `load_state` your weights are those of
# step 3, say, and the loader begins again at its first batch. Count the steps yourself, and let `skip_first_batches`
# make a loader that begins further on. Before you run this: what if the loader shuffles?

# %%
def shuffled(seed: int) -> DataLoader:
    """A loader that shuffles with this seed."""
    order = torch.Generator().manual_seed(seed)
    return DataLoader(short, batch_size=4, shuffle=True, collate_fn=collate, generator=order)

whole, in_disorder = ([batch["labels"].tolist() for batch in one] for one in (loader, shuffled(0)))
for name, again, wanted in (("fixed", loader, whole), ("same seed", shuffled(0), in_disorder),
                            ("another seed", shuffled(1), in_disorder)):
    rest = [batch["labels"].tolist() for batch in accelerator.skip_first_batches(again, num_batches=3)]
    print(f"{name:12} {len(rest)} of {len(wanted)} batches, those that were left: {rest == wanted[3:]}")

# %% [markdown]
# A loader that shuffles must get the seed that it had in that epoch, too, or the batches that are left are others.
#
# Chapter 10 hands the whole loop to the `Trainer`, which is built on Accelerate.

# %% [markdown]
# ## 9.10 The same loop in Chinese
# <!-- T321 -->
# Many tutorials do this task in Chinese. Can we just hand Chinese reviews to the English encoder? Before you run this:
# how many of the characters of this wish does its vocabulary know?

# %%
wish = "我觉得这家酒店不错，饭很好吃！"  # I think this hotel is quite good, the food is delicious!
readers = {language: tokenizer, other: other_tokenizer}  # both are here since section 9.4
for name in ("en", "zh"):
    print(f"{roles[name]:21}", " ".join(readers[name].tokenize(wish)))

# %% [markdown]
# Each `[UNK]` stands for a character, and the English encoder can't tell one from the other. What is left are single
# characters. The second tokenizer has pieces for whole words, and nothing unknown here; it belongs to an encoder for
# about a hundred languages.
#
# That encoder is five times as large as the English one. So we use it as section 7.11 did: **frozen**, with no
# gradients. Then a review needs to go through it only once. It becomes one vector, the mean over its tokens, and only a
# head learns from it.

# %%
from transformers import AutoModel

source, reader = lab.checkpoint(roles["zh"]), readers["zh"]
body = AutoModel.from_pretrained(source, revision=source.revision, add_pooling_layer=False, dtype=torch.float32)
body = body.to(device).eval()
f"{body.num_parameters() / 1e6:.0f} million numbers, all frozen; width {body.config.hidden_size}"

# %% [markdown]
# This encoder was trained with the word *query:* or *passage:* in front of a text; each review gets the first. As in
# section 9.4, texts of similar length share a batch:

# %% tags=["long"] why="the way from texts to vectors is one function"
def vectors_of(texts: list[str]) -> torch.Tensor:
    """One vector for each text, in the order of the texts: [texts, width]."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found = torch.zeros(len(texts), body.config.hidden_size, device=device)
    for start in tqdm(range(0, len(order), 16), desc="reading"):
        places = order[start : start + 16]
        asked_for = [f"query: {texts[place]}" for place in places]
        batch = reader(asked_for, padding=True, truncation=True, max_length=128, return_tensors="pt").to(device)
        with torch.no_grad():  # no inference_mode: a head is to learn from these vectors
            hidden = body(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        found[places] = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    return found

# %%
chinese, english = (split(Reviews(Path(hotels, f"{name}.csv"))) for name in ("zh", "en"))
parts = {"learn": Subset(chinese[0], range(256)), "Chinese": chinese[1], "English": english[1]}
begin = time.perf_counter()
ready = {name: (vectors_of([text for text, _ in part]), [label for _, label in part]) for name, part in parts.items()}
count = sum(len(labels) for _, labels in ready.values())
f"{count} reviews, {count / (time.perf_counter() - begin):.0f} a second"

# %%
def alike(vectors: torch.Tensor) -> float:
    """The mean cosine of all pairs of vectors."""
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    return (unit @ unit.T).mean().item()

learned = ready["learn"][0]
middle = learned.mean(dim=0)
f"cosine of two reviews: {alike(learned):.2f} on average; with the middle taken away {alike(learned - middle):.2f}"

# %% [markdown]
# On average, the vectors of this encoder point much the same way. What they share tells a head nothing, so take it
# away: subtract the mean of the reviews to learn from.
#
# Now the loop. It is `train_plainly` of section 9.2, not one line changed. It wants a model that takes a batch and
# returns a loss and logits, and a loader whose batches move to a device. So both are made for vectors:

# %%
from transformers import BatchEncoding
from transformers.modeling_outputs import SequenceClassifierOutput

class HeadAlone(torch.nn.Module):
    """A linear layer on ready vectors."""

    def __init__(self, width: int):
        super().__init__()
        self.classifier = torch.nn.Linear(width, 2)

    def forward(self, vectors, labels):
        logits = self.classifier(vectors)
        return SequenceClassifierOutput(loss=torch.nn.functional.cross_entropy(logits, labels), logits=logits)

# %%
def collate_vectors(rows: list[tuple[torch.Tensor, int]]) -> BatchEncoding:
    """Vectors and labels as a batch that moves itself."""
    vectors, labels = zip(*rows)
    return BatchEncoding({"vectors": torch.stack(vectors), "labels": torch.tensor(labels)})

loaders = {
    name: DataLoader(list(zip(found - middle, known)), 16, shuffle=name == "learn", collate_fn=collate_vectors)
    for name, (found, known) in ready.items()
}
torch.manual_seed(0)
head = HeadAlone(body.config.hidden_size).to(device)
optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
train_plainly(head, optimizer, loaders["learn"], loaders["Chinese"], epochs=12, log_every=48)

# %% [markdown]
# Twelve epochs in a moment, as the slow part was done once. The third set of vectors has not been used yet: **English**
# reviews, held back. Before you run this: the head has never met an English text. What will it say to them?

# %%
rows = {}
for name in ("Chinese", "English"):
    logits, labels = answers(head, loaders[name])
    rows[f"{name}: always positive"] = four_numbers(labels, torch.ones_like(labels), target=0)
    rows[f"{name}: the head"] = four_numbers(labels, logits.argmax(dim=-1), target=0)
assert rows["Chinese: the head"]["accuracy"] > rows["Chinese: always positive"]["accuracy"]
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# In Chinese it beats *always positive*. In English it is not blind: most of what it calls a complaint is one.
# But it finds few of them. Two reasons come to mind. Perhaps English complaints lie in another direction than Chinese
# ones. Or everything English lies a little to the side, and the line that the head has drawn runs past it. The second
# can be mended without a single label: take from the English vectors their **own** middle, and not that of the Chinese
# ones. (For a linear head that moves the line and turns nothing.) Before you run this: which number of the table will
# change most?

# %%
found, known = ready["English"]
own_middle = found.mean(dim=0)
with torch.inference_mode():
    calls = head.classifier(found - own_middle).argmax(dim=-1).cpu()
rows["English, its own middle: the head"] = four_numbers(torch.tensor(known), calls, target=0)
assert rows["English, its own middle: the head"]["recall"] > rows["English: the head"]["recall"]
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# It finds far more complaints, in a language in which nobody has shown it one. Look at the precision, too: what did
# that cost? And compare F1 with that in Chinese. So the encoder puts complaints of both languages in part in the same
# direction, and leaves each language a place of its own. At last, the wish, and a few more:

# %%
wishes = [wish, "又脏又吵，而且太贵了。", "I like this hotel, the food is very good!", "Dirty, loud and far too expensive."]
vectors = vectors_of(wishes) - torch.stack([middle, middle, own_middle, own_middle])
with torch.inference_mode():
    chances = head.classifier(vectors).softmax(dim=-1).tolist()
for text, (negative, positive) in zip(wishes, chances):
    print(f"{'positive' if positive > negative else 'negative'} ({max(positive, negative):.0%}) {text}")

# %% [markdown]
# ## What changed since the notes
# *The notes* are five study documents, most of them in Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `if torch.cuda.is_available(): batch = {k: v.cuda() …}` | `batch.to(device)` | a `BatchEncoding` moves itself, to any device; the notes' last `.cuda()` has no `if` and stops where there is no GPU |
# | `from_pretrained("hfl/rbt3")` | the same with `num_labels=` or `id2label=`, and `revision=` | a head of the size and with the names that you want; a pinned checkpoint |
# | `Adam(model.parameters(), lr=2e-5)` | `AdamW(…, fused=True)` | decoupled weight decay (chapter 08), all weights in one pass |
# | `padding="max_length"` in the collate function | `padding=True`, or `DataCollatorWithPadding` | no computing of padding (section 9.4) |
# | `random_split(dataset, lengths=[…])` | the same with `generator=` | without a seed, each run is measured on other rows |
# | `accelerator.prepare()`, `prepare(device="cuda")` | `prepare(model, optimizer, loader, scheduler)`, `accelerator.device` | `prepare` gets what it is to prepare; the device is the `Accelerator`'s |
# | `batch = accelerator.prepare(batch)` | nothing: the prepared loader moves its batches | `prepare` hands a dictionary back untouched |
# | `loss.backward()` under Accelerate | `accelerator.backward(loss)` | it scales for accumulation and for fp16 |
# | `get_scheduler("warmup_linear", …)` | `get_scheduler("linear", …, num_warmup_steps=…)` | `get_scheduler` has no such name (chapter 08); it comes from an old optimizer, `BertAdam` |

# %%
from transformers import DataCollatorWithPadding

config = AutoConfig.from_pretrained(encoder, revision=encoder.revision, **tiny, **names)
model = AutoModelForSequenceClassification.from_config(config)
assert model.config.num_labels == 2 and model.config.id2label[0] == "negative"
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
scheduler = get_scheduler("linear", optimizer, num_warmup_steps=1, num_training_steps=10)
collator = DataCollatorWithPadding(tokenizer)
rows = [{**tokenizer(text, truncation=True, max_length=128), "labels": label} for text, label in sample[:4]]
padded = collator(rows)
assert all(torch.equal(padded[name].long(), values) for name, values in collate(sample[:4]).items())

# %%
parts = random_split(reviews, lengths=[0.9, 0.1], generator=torch.Generator().manual_seed(42))
accelerator = Accelerator()
loader = DataLoader(short, batch_size=8, collate_fn=collate)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
accelerator.backward(model(**next(iter(loader)).to(accelerator.device)).loss)
optimizer.step()
assert len(parts[0]) + len(parts[1]) == len(reviews)
f"{len(parts[0])} rows to learn from, {len(parts[1])} held back, on {accelerator.device}"

# %% [markdown]
# ## Quiz

# %%
lab.quiz("09")

# %% [markdown]
# ## Recap
# - A `Dataset` tells its length and what is at an index, a collate function makes a batch; what is wrong with a file is
#   said before training, with the cure.
# - The loop: train mode, zero the gradients, loss, backward, step; measuring needs eval mode and no gradients;
#   predicting is the same for one text.
# - Accuracy hides a class that is never found; precision, recall and F1 of *that* class don't, and all of them come
#   from four boxes.
# - Pad to the batch's longest text and group by length; warm up, then let the learning rate fall; clip; and watch the
#   curve.
# - Reading the reviews with the highest loss tells what a score can't; with a seed for each source of chance, a run can
#   be repeated to the last bit.
# - A checkpoint is weights, optimizer, scheduler, place and random state, written beside and moved into place;
#   Accelerate changes five lines of the loop and none of its sense.
# - The loop knows no language: with an encoder for a hundred of them, frozen, each Chinese review is read once, and a
#   head learns from the vectors in a moment.
#
# Next: chapter 10, the Trainer, runs this loop for you, and now you know what it does.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - The accuracy of 9.2 can be taken for learning. It is the share of positive reviews (9.3 makes it visible).
# - *Positive* in *true positive* is the class that you look for, here the complaints; mind `pos_label` (9.3).
# - `from_pretrained` hands a model over in `eval` mode; without `train()` nothing tells you (9.2, 9.5).
# - Weights can be taken for a checkpoint; 9.8 leaves out one part at a time.
#
# **To discuss:**
#
# - *Where do you draw the line for calling a review a complaint?* Lean on 9.6: the figure of precision and recall. A
#   good answer says what a missed complaint costs and who reads the others, and draws the line on reviews that the
#   report doesn't use.
# - *Take the three hardest reviews. Is the model wrong, or the label?* Lean on 9.6: the table sorted by loss. A good
#   answer has a judgement for each, and another cure for each kind.
# - *Two runs differ by a point. Is that an improvement?* Lean on 9.7: one seed changed at a time. A good answer wants
#   several runs of each setting, and says for what *equal to the last bit* holds.
# - *What does a head that learned Chinese know of English?* Lean on 9.10: the table before and after the own middle. A
#   good answer says that the direction is in part shared and the place another one, and at what precision the recall
#   rose.
#
# **If time is short.** 9.10 can be left out, and 9.8 if chapter 10 follows (10.10 resumes with the Trainer): no later
# section uses them. Chapter 14 builds on the Accelerate of 9.9, whose import *What changed* uses too. Exercises to
# keep: 9.2 and 9.4.
#
# **In class.** `labs fetch multilingual-encoder`: 9.4 reads its tokenizer, 9.10 the whole encoder. English learns from
# at most 640 rows; `LABS_ROWS` in the environment changes that, `LABS_LANGUAGE=zh` the language of the whole chapter.
# Live curve and bar are in 9.5, a bar in 9.10.
