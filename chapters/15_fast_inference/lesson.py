# %% [markdown]
# # 15 Fast inference
#
# You measure, one by one, what is said to make a model answer faster; then you serve models to many clients at once.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | measure latency and throughput so that a busy machine does not fool you | 2½ hours | chapters 06 and 12 |
# | batch texts of like length, and put the answers back in order | | |
# | race attention kernels, compilation, half precision, int8 and ONNX Runtime against what you have | | |
# | say what four bits a weight save, and what they don't | | |
# | time a file format twice: opened, and read | | |
# | write a server that batches and that says no in time; use one that batches token by token | | |

# %%
import labs_utils as lab
lab.start("15")

# %% [markdown]
# ## 15.1 How many sentences a second?
# <!-- T230 -->
# Here is a sentiment classifier, six layers of a small encoder. Before you run this: how many sentences does it read in
# a second on your machine, one at a time? And with 16 in one batch: as many, or 16 times as many? Write both down.

# %%
import time
import torch
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

sentiment, opinions, device = lab.checkpoint("sentiment"), lab.dataset("opinions"), lab.device()
tokenizer = AutoTokenizer.from_pretrained(sentiment, revision=sentiment.revision)
classifier = AutoModelForSequenceClassification.from_pretrained(sentiment, revision=sentiment.revision)
classifier = classifier.to(device).eval()
rows = load_dataset(opinions, revision=opinions.revision, split="test")

# %%
@torch.inference_mode()
def classify(texts: list[str], model=classifier) -> torch.Tensor:
    """Logits [texts, 2]."""
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
    return model(**batch).logits.cpu()  # .cpu() waits until a GPU has finished

sixteen = rows["text"][:16]
for size in (1, 16):
    begin = time.perf_counter()
    for start in range(0, 16, size):
        classify(sixteen[start : start + size])
    print(f"batch {size:2}: {16 / (time.perf_counter() - begin):.0f} sentences a second")

# %% [markdown]
# Two numbers, and both may be wrong. Run the cell again: they move. Three things disturb them. The first call does work
# that later ones don't (**warm-up**). Other programs take the processor away for a moment. And a GPU returns before it
# has finished, which is why `classify` brings the logits back. Before you run this: which of 40 equal calls will be the
# slowest?

# %%
import matplotlib.pyplot as plt
import numpy as np

fresh = AutoModelForSequenceClassification.from_pretrained(sentiment, revision=sentiment.revision).to(device).eval()
times = []
for _ in range(40):
    begin = time.perf_counter()
    classify(sixteen[:1], fresh)
    times.append(1000 * (time.perf_counter() - begin))  # milliseconds

# %%
figure, axes = plt.subplots(figsize=(7, 2.8))
axes.plot(range(1, 41), times, "o")
axes.axhline(np.median(times), color="#D55E00")
axes.text(40, np.median(times), "median", color="#D55E00", va="bottom", ha="right")
axes.set(xlabel="call", ylabel="milliseconds", ylim=(0, None))
axes.set_title(f"The first call took {times[0] / np.median(times):.1f} times the median");

# %% [markdown]
# Each dot is a call. Here the first may hardly stand out; after `torch.compile` (section 15.4) it takes seconds. So
# drop the first few, and don't trust a single one. What do you report of the rest? A few slow calls pull the mean up.
# A **percentile** says how many were faster: half of the calls take no longer than `p50` (the median), 95 of 100
# no longer than `p95`. A user who asks often meets `p95`.

# %%
warm = np.array(times[5:])
latency = {f"p{share}": np.percentile(warm, share) for share in (50, 95, 99)}
{name: round(float(one), 1) for name, one in {"mean": warm.mean(), "best": warm.min(), **latency}.items()}

# %% [markdown]
# **Latency** is how long one call takes. **Throughput** is how many texts are done in a second. They are not each
# other's inverse: a batch of 16 has 16 texts for one latency.
#
# For comparing two ways there is a better number than any of these: the **best** time, taken in turns. Whoever else
# works on the machine takes time from a call, and gives it none. If the ways take turns, each has its chance of a quiet
# moment. This little race is used in the whole chapter. (Its first round is the warm-up.)

# %%
def race(ways: dict, rounds: int = 5) -> dict[str, float]:
    """The best time of each way in milliseconds; they run in turns, and the first round does not count."""
    best = dict.fromkeys(ways, float("inf"))
    for number in range(rounds + 1):
        for name, call in ways.items():
            begin = time.perf_counter()
            call()
            if number:
                best[name] = min(best[name], 1000 * (time.perf_counter() - begin))
    return best

ratios = {}  # what was measured, for the table at the chapter's end: name → (how many times as fast, where)

# %%
batch_race = race({"one at a time": lambda: [classify([text]) for text in sixteen], "16": lambda: classify(sixteen)}, 2)
ratios["batches of 16"] = batch_race["one at a time"] / batch_race["16"], "throughput, the encoder"
print(f"16 in one batch: {ratios['batches of 16'][0]:.1f} times the throughput of one at a time")
print(f"but each waits {16 * batch_race['16'] / batch_race['one at a time']:.1f} times as long for its answer")

# %% [markdown]
# There is the trade: each text waits longer, and in return more texts are done in a second. How many more depends on
# the machine, and on the texts: what is shorter than the longest is filled up, and that eats a part of the gain (15.3).
#
# ### Exercise 15.1
# Write `summary(times, warmup)`. `times` is a list of seconds, in the order of the calls; the first `warmup` of them
# don't count. Return a dict of **milliseconds** with the keys `"p50"`, `"p95"` and `"best"`. Take the percentile as
# NumPy does (it interpolates). For example, `summary([9.0, 0.001, 0.003], 1)` gives `p50` 2.0, `p95` 2.9, `best` 1.0.

# %% tags=["exercise"]
def summary(times: list[float], warmup: int) -> dict[str, float]:
    """Median, 95th percentile and best of the times after the warm-up, in milliseconds."""
    # BEGIN SOLUTION
    kept = 1000 * np.array(times[warmup:])
    return {"p50": float(np.percentile(kept, 50)), "p95": float(np.percentile(kept, 95)), "best": float(kept.min())}
    # END SOLUTION

# %% tags=["check"]
lab.check("15.1", summary)

# %% [markdown]
# `lab.hint("15.1")` helps.

# %% [markdown]
# ## 15.2 The grid
# <!-- T230 -->
# A single number says little without its batch size and its length in tokens. Before you run this: eight texts of 128
# tokens are 64 times as many tokens as one text of 16. Will they take 64 times as long?

# %%
from itertools import product

def made_up(batch: int, length: int, model=classifier) -> dict[str, torch.Tensor]:
    """Random words, as many as asked for: time does not depend on what they say."""
    ids = torch.randint(1000, 5000, (batch, length), device=model.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

@torch.inference_mode()
def forward(batch, model=classifier):
    return model(**batch).logits.cpu()

grid = {}
for batch, length in product((1, 4, 8), (16, 32, 128)):
    given = made_up(batch, length)
    grid[batch, length] = race({"ms": lambda given=given: forward(given)}, rounds=2)["ms"]

# %%
import pandas as pd

cells = pd.Series(grid).rename_axis(["batch", "tokens"])
sizes = cells.index.to_frame()
table = pd.DataFrame({"latency, ms": cells, "texts a second": 1000 * sizes["batch"] / cells})
table["tokens a second"] = table["texts a second"] * sizes["tokens"]
print(f"(8, 128) takes {grid[8, 128] / grid[1, 16]:.0f} times as long as (1, 16), for 64 times the tokens")
table.round(1)

# %% [markdown]
# A call has a price of its own, whatever is in it: the small cells don't fill the machine, and their tokens are dear.
# Read the last column for one length, from batch 1 over 4 to 8. Where it no longer grows, a larger batch only adds
# latency.
#
# **What many tutorials quote.** A blog post of January 2022 compares two servers at batch 1 with 16 and with 128
# tokens: 1.52 ms and 1.99 ms for the free one, 1.7 ms and 2.5 ms for a product called Infinity. Here they are beside
# yours:

# %%
told = {"(1, 16), ms": [1.52, 1.7], "(1, 128), ms": [1.99, 2.5]}
quoted = pd.DataFrame(told, index=["Transformer-deploy", "Infinity"])
quoted["where"] = "a GPU, 2022, as a third party tells it"
quoted.loc["this notebook"] = [grid[1, 16], grid[1, 128], f"{device.type}, now, measured above"]
quoted["128 against 16 tokens"] = quoted["(1, 128), ms"] / quoted["(1, 16), ms"]
quoted.round(2)

# %% [markdown]
# Don't compare the rows: device, model, precision and year may all differ, and what is quoted names neither model nor
# GPU. One thing can be read off. With eight times the tokens the GPU's time grew by half at most (last column): a
# device whose time hardly grows with the work was not full. A vendor's milliseconds tell you nothing about your
# machine. Your grid does.

# %% [markdown]
# ## 15.3 Sort by length, and back
# <!-- T234 -->
# A batch is as wide as its longest text: the rest is filled with padding, and padding costs as much as words do. If
# many texts wait for an answer, **sort** them by length, batch neighbours, and put the answers back **in order**.
# Before you run this: what share of the tokens is padding when 32 reviews come as they come?

# %%
hotels = lab.dataset("hotel_reviews")
reviews = load_dataset(hotels, "en", revision=hotels.revision, split="train").shuffle(seed=0)["review"][:24]
reviews = [*reviews[:12], *sixteen[:8], *reviews[12:]]  # a few short ones among them
lengths = np.array([len(ids) for ids in tokenizer(reviews, truncation=True)["input_ids"]])
order = lengths.argsort(kind="stable")  # order[0] is the place of the shortest

def in_batches(places, size: int = 8):
    return [places[start : start + size] for start in range(0, len(places), size)]

def waste(places) -> float:
    """The share of padding when the texts come in this order."""
    padded = sum(len(batch) * lengths[batch].max() for batch in in_batches(places))
    return 1 - lengths.sum() / padded

# %%
arrived = np.arange(len(reviews))
figure, both = plt.subplots(1, 2, figsize=(10, 2.8), sharey=True)
for axes, places, name in zip(both, (arrived, order), ("as they come", "sorted")):
    for batch in in_batches(arrived):
        axes.bar(batch, lengths[places[batch]].max(), width=1, color="#cccccc")
    axes.bar(arrived, lengths[places], width=1, color="#0072B2")
    axes.set(xlabel="place in the queue", title=f"{name}: {waste(places):.0%} of the tokens are padding")
both[0].set_ylabel("tokens (grey: padding)");

# %%
def answer_all(places) -> torch.Tensor:
    """Logits of all reviews, in the order in which they came."""
    found = torch.cat([classify([reviews[place] for place in batch]) for batch in in_batches(places)])
    restored = torch.empty_like(found)
    restored[torch.from_numpy(places)] = found  # the answer to the text from `place` goes back there
    return restored

found = {}
in_both = {"as they come": arrived, "sorted": order}
sorting = race({name: lambda name=name: found.update({name: answer_all(in_both[name])}) for name in in_both}, rounds=1)
assert torch.allclose(found["as they come"], found["sorted"], atol=1e-3)
ratios["sorting by length"] = sorting["as they come"] / sorting["sorted"], "32 waiting reviews"
print(f"sorted: {ratios['sorting by length'][0]:.1f} times as fast, the same answers in the same places")

# %% [markdown]
# The blue areas are equal; sorting only removes grey. It is for **serving** and for scoring a file. In training it
# would decide which examples meet in a batch (chapter 10 has a gentler way:
# `train_sampling_strategy="group_by_length"`). And in a service the texts must already be waiting: nobody waits for a
# neighbour of the right length.
#
# ### Exercise 15.2
# Write `by_length(texts, size, run)`. `texts` is a list of lists of tokens. Sort by length, the shortest first (equal
# lengths in the order in which they came), cut into batches of at most `size`, and call `run` on each. `run` takes a
# list of texts and returns a list with one answer each. Return all answers **in the order of `texts`**. For example,
# with `run = lambda batch: [len(text) for text in batch]` and `texts = [["a", "b"], ["c"], ["d", "e", "f"]]`, size 2,
# `run` gets `[["c"], ["a", "b"]]`, then `[["d", "e", "f"]]`, and you return `[2, 1, 3]`.

# %% tags=["exercise"]
def by_length(texts: list[list[str]], size: int, run) -> list:
    """The answers to all texts, in their order, computed in batches of like length."""
    # BEGIN SOLUTION
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    answers = [None] * len(texts)
    for start in range(0, len(order), size):
        places = order[start : start + size]
        for place, found in zip(places, run([texts[place] for place in places])):
            answers[place] = found
    return answers
    # END SOLUTION

# %% tags=["check"]
lab.check("15.2", by_length)

# %% [markdown]
# `lab.hint("15.2")` helps.

# %% [markdown]
# ## 15.4 The same numbers, computed another way
# <!-- T233 -->
# Three attempts that leave the weights alone. First, **attention**. Chapter 06 wrote it out: scores, softmax, weighted
# sum, each a tensor in memory. That is what the library calls `eager`. `sdpa` hands the whole thing to one PyTorch
# function that need not write the table of scores down. Before you run this: where will the difference be larger, at 32
# tokens or at 512?

# %%
from transformers import AutoModel

encoder = lab.checkpoint("encoder")
ways = ("eager", "sdpa")
encoders = {
    way: AutoModel.from_pretrained(encoder, revision=encoder.revision, attn_implementation=way).to(device).eval()
    for way in ways
}

@torch.inference_mode()
def encode(batch, model) -> torch.Tensor:
    return model(**batch).last_hidden_state.cpu()

# %%
for length in (32, 512):
    given = made_up(1, length)
    assert torch.allclose(encode(given, encoders["eager"]), encode(given, encoders["sdpa"]), atol=1e-3)
    taken = race({way: lambda way=way, given=given: encode(given, encoders[way]) for way in ways}, rounds=2)
    print(f"{length} tokens: sdpa is {taken['eager'] / taken['sdpa']:.2f} times as fast as eager")
ratios["sdpa instead of eager"] = taken["eager"] / taken["sdpa"], "the encoder at 512 tokens"

# %% [markdown]
# The same numbers up to rounding. `sdpa` is what you get when you say nothing, so there is nothing to do. Just know
# what `attn_implementation="eager"` costs when you want to look at attentions (chapter 06).
#
# Second, **`torch.compile`**. It looks at what your Python does to tensors, and writes C++ (or GPU code) that does it
# in fewer passes over memory. So it needs a compiler on your machine. Before you run this: what will it say on a
# machine without one?

# %%
import torch._inductor.config as inductor
from torch._dynamo.exc import BackendCompilerFailed

inductor.compile_threads = 1  # compile in this process: no helpers that stay behind

def curve(x: torch.Tensor) -> torch.Tensor:
    """The popular approximation of GELU: nine steps, each a pass over the memory."""
    return 0.5 * x * (1 + torch.tanh(0.79788 * (x + 0.044715 * x * x * x)))

with inductor.patch({"cpp.cxx": ("no-such-compiler",)}):
    try:
        torch.compile(curve)(torch.ones(8))
    except BackendCompilerFailed as error:
        print(str(error).splitlines()[0])

# %% [markdown]
# That was a name that we made up. If the cell below says the same on your machine: install a C++ compiler (Debian and
# Ubuntu: `apt-get install g++`; macOS: `xcode-select --install`; Windows: the Build Tools for Visual Studio), or leave
# `torch.compile` out. Everything else in this chapter works without. Before you run this: the first call compiles. How
# many later calls will it take to win that time back?

# %%
def compiled(work, *given):
    """The compiled form of `work` and the seconds of its first call; (None, 0.0) where there is no compiler."""
    fast, begin = torch.compile(work), time.perf_counter()
    try:
        with torch.inference_mode():
            fast(*given)
    except BackendCompilerFailed as error:
        print("Not compiled, going on without:", str(error).splitlines()[0])
        return None, 0.0
    return fast, time.perf_counter() - begin

long_row = torch.randn(1_000_000)  # on the CPU
fast_curve, first_call = compiled(curve, long_row)

# %%
def wins(name, plain, fast, given, first, where):
    """Race a compiled function; the ratio goes into the chapter's table."""
    with torch.inference_mode():
        assert torch.allclose(plain(given), fast(given), atol=1e-4)
        taken = race({"plain": lambda: plain(given), "compiled": lambda: fast(given)}, rounds=8)
    ratios[name] = taken["plain"] / taken["compiled"], where
    gained = taken["plain"] - taken["compiled"]
    after = f"won back after {1000 * first / gained:,.0f} calls" if gained > 0 else "never won back here"
    print(f"{name}: {ratios[name][0]:.2f} times as fast; first call {first:.1f} s, {after}")

if fast_curve is not None:
    wins("torch.compile, elementwise", curve, fast_curve, long_row, first_call, "nine elementwise steps, CPU")

# %% [markdown]
# One pass over the memory instead of nine. Is a whole transformer layer as grateful? Before you run this: how much of
# it is matrix products, which PyTorch hands to a tuned library anyway?

# %%
layer = AutoModel.from_pretrained(encoder, revision=encoder.revision).eval().encoder.layer[0]
states = torch.randn(8, 64, 384)
fast_layer, first_call = compiled(layer, states)
if fast_layer is not None:
    wins("torch.compile, a layer", layer, fast_layer, states, first_call, "one encoder layer, (8, 64), CPU")

# %% [markdown]
# Compiling removes passes over memory and the cost of starting many small operations. Where products dominate, little
# is left to remove. (A new shape may mean compiling once more: another reason for batches of few lengths.) The third
# attempt, another runtime, is section 15.8.

# %% [markdown]
# ## 15.5 How time grows with the text
# <!-- T236 -->
# Attention compares every token with every other: a table of `n · n` scores. The rest of a layer works token by token.
# So the time of a text should be `a·n² + b·n + c`. Before you run this: at what length does the first term become
# larger than the second? At 100 tokens, 1,000, 10,000?
#
# One layer of the encoder's shape with random weights is enough, and it may be longer than the 512 positions that the
# encoder has learned.

# %%
from transformers import BertConfig, BertModel

width = 384
shape = {"hidden_size": width, "num_attention_heads": 12, "intermediate_size": 4 * width, "num_hidden_layers": 1}
one_layer = BertModel(BertConfig(**shape, vocab_size=5000, max_position_embeddings=4096)).to(device).eval()
tokens = np.array([256, 512, 1024, 2048, 3072])
inputs = {int(n): made_up(1, int(n), one_layer) for n in tokens}
by_tokens = race({n: lambda n=n: encode(inputs[n], one_layer) for n in inputs}, rounds=2)
milliseconds = np.array(list(by_tokens.values()))

# %% [markdown]
# Fit the parabola. The weights `1 / time` make every length count the same; otherwise the longest would decide alone.

# %%
a, b, c = np.polyfit(tokens, milliseconds, deg=2, w=1 / milliseconds)
off = np.abs(np.polyval([a, b, c], tokens) / milliseconds - 1).max()
print(f"fitted: {a:.2e}·n² + {b:.2e}·n + {c:.2f} ms, off by {off:.0%} at most")
crossing = b / a if a > 0 and b > 0 else float("nan")
print(f"by the clock the quadratic term is the larger one from {crossing:,.0f} tokens on")
print(f"by counting multiplications, from 6 · {width} = {6 * width:,} tokens on")

# %%
figure, axes = plt.subplots(figsize=(7, 3))
n = np.linspace(0, 3072, 200)
axes.plot(n, a * n**2, color="#D55E00", label="the quadratic term alone")
axes.plot(n, b * n, color="#0072B2", label="the linear term alone")
axes.plot(n, np.polyval([a, b, c], n), color="#888888", label="fitted")
axes.plot(tokens, milliseconds, "o", color="black", label="measured")
axes.set(xlabel="tokens in the text", ylabel="milliseconds", ylim=(0, None))
per_token = (milliseconds[-1] / tokens[-1]) / (milliseconds[1] / tokens[1])
axes.set_title(f"A token of a text of 3,072 costs {per_token:.1f} times what it costs at 512")
axes.legend();

# %% [markdown]
# Where the orange line crosses the blue one, attention takes over. The count says `6 · width`: a layer's matrices need
# `12 · width²` multiplications for a token, and attention needs `2 · n · width`. The clock may say something else: not
# every multiplication takes the same time, softmax comes on top of attention's, and a busy machine bends the curve. If
# the line above says `nan`, it was bent too far: run the section again.
#
# For short texts "attention is quadratic" is true and does not matter. For long prompts it decides.
#
# ### Exercise 15.3
# Write `quadratic_share(lengths, times, n)`. Fit `a·n² + b·n + c` to the times by least squares, each length with the
# same weight **relative** to its time (as above). Return the share of the fitted time at length `n` that is the
# quadratic term: `a·n² / (a·n² + b·n + c)`. For example, for times that are exactly `2·n² + 3·n + 1`, the share at `n =
# 1` is `2 / 6`.

# %% tags=["exercise"]
def quadratic_share(lengths: list[int], times: list[float], n: int) -> float:
    """The share of the quadratic term in the fitted time of a text of `n` tokens."""
    # BEGIN SOLUTION
    fitted = np.polyfit(lengths, times, 2, w=1 / np.array(times))
    return float(fitted[0] * n**2 / np.polyval(fitted, n))
    # END SOLUTION

# %% tags=["check"]
lab.check("15.3", quadratic_share)

# %% [markdown]
# `lab.hint("15.3")` helps.

# %% [markdown]
# ## 15.6 "Half precision is faster", "Accelerate speeds up inference"
# Two sentences that many tutorials say without naming a device. Before you run this: which of the two is true on yours?

# %%
import copy

half_inputs = made_up(4, 32)
reference = forward(half_inputs)
halves = {"float32": classifier}
for kind in (torch.bfloat16, torch.float16):
    halves[str(kind).removeprefix("torch.")] = copy.deepcopy(classifier).to(kind)

# %%
taken = race({name: lambda one=one: forward(half_inputs, one) for name, one in halves.items()}, rounds=2)
half = pd.DataFrame({"ms": taken})
half["times as fast"] = half.loc["float32", "ms"] / half["ms"]
moved = [forward(half_inputs, one) - reference for one in halves.values()]
half["largest change of a logit"] = [one.abs().max().item() for one in moved]
half["MB of weights"] = [sum(p.nbytes for p in one.parameters()) / 1e6 for one in halves.values()]
half.round(3)

# %%
for kind in ("bfloat16", "float16"):
    ratios[f"{kind} weights"] = half.loc[kind, "times as fast"], f"the encoder, (4, 32), {device.type}"
faster = [kind for kind in ("bfloat16", "float16") if half.loc[kind, "times as fast"] > 1.1]
print(f"faster than float32 on this {device.type}:", " and ".join(faster) or "neither")

# %% [markdown]
# Half the memory (last column). The speed is a matter of the processor, of whether it has instructions for such
# numbers, and the two kinds may differ: the line above says what yours offers. So measure. (The logits moved a little:
# bfloat16 has 8 bits for a number's digits, float16 has 11.)
#
# Now Accelerate. `prepare` moves a model to the device. Before you run this: what else will it do to a model that is
# there already?

# %%
from accelerate import Accelerator

accelerator = Accelerator(cpu=device.type == "cpu")
prepared = accelerator.prepare(copy.deepcopy(classifier)).eval()
turns = {"as it was": lambda: forward(half_inputs), "prepared": lambda: forward(half_inputs, prepared)}
taken = race(turns, rounds=4)
ratios["accelerator.prepare"] = taken["as it was"] / taken["prepared"], f"the encoder, {device.type}"
print(type(classifier) is type(prepared), "| same logits:", torch.equal(reference, forward(half_inputs, prepared)))
print(f"prepared: {ratios['accelerator.prepare'][0]:.2f} times as fast")

# %% [markdown]
# The same class, the same logits, the same speed but for the clock's trembling. Accelerate places models on devices,
# and splits one that is too large for a device. With `mixed_precision="bf16"` the weights stay float32, and each
# product is computed with copies in half precision (chapter 14). So what speed there is comes from the device and the
# precision.

# %% [markdown]
# ## 15.7 Eight bits a weight
# <!-- T231 -->
# An **int8** is a whole number from −128 to 127. To write a row of weights with it, take a **scale** (how much one step
# is) and a **zero point** (which whole number means 0). In **dynamic** quantization the weights are made int8 once, and
# the activations on the fly, in each call. Before you run this: four bytes become one. How much smaller is the whole
# model, how much faster, and how many opinions does it still get right?

# %%
import warnings

on_cpu = copy.deepcopy(classifier).cpu()  # the kernels of dynamic quantization are for CPUs
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    int8 = torch.ao.quantization.quantize_dynamic(on_cpu, {torch.nn.Linear}, dtype=torch.qint8)
print(str(heard[0].message).splitlines()[0])
layer = int8.bert.encoder.layer[0].intermediate.dense
layer, layer.weight().int_repr()[0, :6], layer.weight().q_scale()

# %% [markdown]
# PyTorch says it itself: this door is deprecated, and its successor is the package **torchao**. (The release that it
# names has passed.) It still opens, it needs nothing more, and it shows the idea. One scale serves the whole matrix.

# %%
import io

def megabytes(model) -> float:
    """The size of the file that the weights make."""
    torch.save(model.state_dict(), file := io.BytesIO())
    return file.tell() / 1e6

models = {"float32": on_cpu, "int8": int8}
truth = torch.tensor(rows["label"][:])
given = made_up(4, 64, on_cpu)
taken = race({name: lambda one=one: forward(given, one) for name, one in models.items()}, rounds=2)
eight = pd.DataFrame({"MB": {name: megabytes(one) for name, one in models.items()}, "ms": taken})

# %%
quarters = [rows["text"][:][start : start + 32] for start in range(0, len(rows), 32)]
logits = {name: torch.cat([classify(batch, one) for batch in quarters]) for name, one in models.items()}
said = {name: found.argmax(dim=-1) for name, found in logits.items()}
eight[f"right of {len(rows)}"] = [(labels == truth).sum().item() for labels in said.values()]
eight["labels changed"] = [(labels != said["float32"]).sum().item() for labels in said.values()]
eight["largest change of a logit"] = [(found - logits["float32"]).abs().max().item() for found in logits.values()]
ratios["int8, dynamic"] = taken["float32"] / taken["int8"], "the encoder, (4, 64), CPU"
eight.round(2)

# %% [markdown]
# A quarter in size it is not: the embeddings are no `Linear`, and stay float32. And don't look at the right ones alone:
# that count may hardly move while labels change in both directions, some to wrong and some to right. The logits have
# moved; a label changes where the two were not far apart. Whether the answers survive is a measurement, for each model
# anew: section 15.9 has one that does not survive.
#
# **What many tutorials say**: "GPU quantization makes transformers 4.5 times as fast." That was one project's figure of
# 2022. The dynamic int8 above has kernels for CPUs only; on a GPU you need others (TensorRT, torchao). Here is what to
# expect if you have one: int8 matrix products against half precision.

# %%
if device.type == "cuda":
    left, right = (torch.randint(-128, 128, (4096, 4096), device=device, dtype=torch.int8) for _ in range(2))
    half_left, half_right = left.half(), right.half()
    products = {"float16": lambda: (half_left @ half_right).sum().item()}
    products["int8"] = lambda: torch._int_mm(left, right).sum().item()
    taken = race(products)
    ratios["int8 product on a GPU"] = taken["float16"] / taken["int8"], "4096 × 4096, against float16"
    print(f"int8: {ratios['int8 product on a GPU'][0]:.1f} times as fast as float16")
else:
    print("No NVIDIA GPU here: the claim can't be measured on this machine. The cell measures where there is one.")

# %% [markdown]
# ### Exercise 15.4
# Write `quantize_row(row)`, with a zero point. `row` is a float32 tensor `[n]`. Take the smallest and the largest of
# its numbers **and of 0** (so that 0 can be written exactly). `scale` is their distance divided by 255; `zero` is `-128
# - smallest / scale`, rounded. Each number becomes `round(number / scale) + zero`, kept between −128 and 127. Return
# `(whole, scale, zero)`: a tensor of dtype `torch.int8`, a number, a whole number. If the row is all 0, the scale is
# `1.0`. For example, `[0.0, 1.0, 2.55]` gives `([-128, -28, 127], 0.01, -128)`. The way back is `(whole - zero) *
# scale`.

# %% tags=["exercise"]
def quantize_row(row: torch.Tensor) -> tuple[torch.Tensor, float, int]:
    """The row as int8, with the scale and the zero point that bring it back."""
    # BEGIN SOLUTION
    low, high = min(0.0, row.min().item()), max(0.0, row.max().item())
    scale = (high - low) / 255 or 1.0
    zero = round(-128 - low / scale)
    whole = (torch.round(row / scale) + zero).clamp(-128, 127).to(torch.int8)
    return whole, scale, zero
    # END SOLUTION

# %% tags=["check"]
lab.check("15.4", quantize_row)

# %% [markdown]
# `lab.hint("15.4")` helps.
#
# ### Exercise 15.5
# Two labels hide a lot. With a whole vocabulary you ask: are the best `k` tokens still the same? Write
# `top_k_agreement(first, second, k)`: both are logits `[rows, vocabulary]`. For each row, count how many of the `k`
# best of `first` are also among the `k` best of `second`, in whatever order. Return the mean over the rows, divided by
# `k`: 1.0 is full agreement. For example, `[[3.0, 2.0, 1.0]]` and `[[2.0, 3.0, 1.0]]` agree to 1.0 for `k=2`, and to
# 0.0 for `k=1`.

# %% tags=["exercise"]
def top_k_agreement(first: torch.Tensor, second: torch.Tensor, k: int) -> float:
    """The mean share of the `k` best of each row that both have."""
    # BEGIN SOLUTION
    total = 0
    for one, other in zip(first.topk(k).indices.tolist(), second.topk(k).indices.tolist()):
        total += len(set(one) & set(other))
    return total / (k * len(first))
    # END SOLUTION

# %% tags=["check"]
lab.check("15.5", top_k_agreement)

# %% [markdown]
# `lab.hint("15.5")` helps.

# %% [markdown]
# ## 15.8 Out of Python: ONNX Runtime
# <!-- T232 -->
# **ONNX** is a file format for a network: the graph of its operations and its weights, with no Python in it. **ONNX
# Runtime** is a program that runs such a file. It brings **providers**, one for each kind of hardware. Before you run
# this: will the logits be equal to the last bit?
#
# The three packages are an optional part of the workbook. Without them the section says so, and the chapter goes on.

# %%
from importlib.util import find_spec

missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
if missing:
    print(f"Not installed: {', '.join(missing)}. In the workbook's folder: pip install -e '.[inference]'")

# %% [markdown]
# An export writes a large file. So write it beside, under another name, and rename it when it is whole:

# %%
import contextlib
import logging
import os
import tempfile
from pathlib import Path

for name in ("torch.onnx", "torch.fx.experimental.symbolic_shapes"):
    logging.getLogger(name).setLevel(logging.CRITICAL)  # they tell at length what is not there, and what failed
work = tempfile.TemporaryDirectory()

# %%
def export(model, example: dict, file: Path, **options) -> None:
    """Write the model to an ONNX file: beside it first, then renamed, so that no half file ever bears the name."""
    beside = file.with_suffix(".part")
    with warnings.catch_warnings(action="ignore"):  # about names of axes that are used twice
        torch.onnx.export(model, (), beside, kwargs=example, external_data=False, verbose=False, **options)
    os.replace(beside, file)

# %%
file = Path(work.name, "sentiment.onnx")
example = dict(tokenizer(["short", "and a longer one"], padding=True, return_tensors="pt"))
example.pop("token_type_ids", None)
free = {"input_ids": {0: "texts", 1: "tokens"}, "attention_mask": {0: "texts", 1: "tokens"}}
if not missing:
    export(on_cpu, example, file, dynamic_shapes=free, input_names=list(free), output_names=["logits"])
    print(f"{file.name}: {file.stat().st_size / 1e6:.0f} MB")

# %% [markdown]
# The exporter follows the model's Python once, with stand-ins that have the example's shapes, and writes down what
# happens. `dynamic_shapes` says which axes may have another size later: without it, the file would only take batches of
# two texts of this length.

# %%
if not missing:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()  # as many as PyTorch has: a fair race
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    print("there are", onnxruntime.get_available_providers(), "| this session runs on", session.get_providers())
    for batch in (sixteen, reviews[:3]):
        given = tokenizer(batch, padding=True, truncation=True, return_tensors="np")
        asked = {one.name: given[one.name] for one in session.get_inputs()}
        difference = np.abs(session.run(None, asked)[0] - classify(batch, on_cpu).numpy()).max()
        print(given["input_ids"].shape, f"largest difference of a logit: {difference:.1e}")

# %% [markdown]
# First equal, then fast. Not to the last bit: another program adds in another order. Before you run this: what runs if
# you ask for a GPU's provider, and there is no GPU?

# %%
if not missing:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        wished = onnxruntime.InferenceSession(file, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    print(wished.get_providers(), "|", *(str(one.message)[:76] for one in heard))
    wished = None

# %% [markdown]
# With the second provider of the list it runs all the same. A warning is easily missed: look at `get_providers()`
# before you believe a time. Now the race. At which size will ONNX Runtime win more, at one short text or at a batch?

# %%
from functools import partial

if not missing:
    for size in ((1, 16), (8, 64)):
        given = made_up(*size, on_cpu)
        arrays = {name: given[name].numpy() for name in asked}
        both = {"torch": partial(forward, given, on_cpu), "onnx": partial(session.run, None, arrays)}
        taken = race(both, rounds=3)
        ratios[f"ONNX Runtime, {size}"] = taken["torch"] / taken["onnx"], "the encoder, CPU"
        print(f"{size}: ONNX Runtime is {taken['torch'] / taken['onnx']:.2f} times as fast as PyTorch")

# %% [markdown]
# Without Python, and with neighbouring operations joined, the price of a call falls. That shows most with small inputs;
# the larger they are, the more of their time both spend in matrix products.
#
# What when the exporter fails? It follows one way through your Python. An `if` that looks at the numbers has two:

# %%
class Moody(torch.nn.Module):
    """Does one of two things, and looks at the numbers to decide which."""

    def forward(self, x):
        return x * 2 if x.sum() > 0 else x - 1

if not missing:
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            export(Moody(), {"x": torch.ones(3)}, Path(work.name, "moody.onnx"))  # it prints a graph when it fails
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        print(type(error).__name__, "|", type(cause).__name__ + ":", str(cause).strip().splitlines()[0][:110])
    print("files:", sorted(path.name for path in Path(work.name).iterdir()))

# %% [markdown]
# Nothing is half-written: `export` writes beside, and renames when all is there. The way on: write the choice with
# `torch.where`, or with `torch.cond` (ONNX has an `If` of its own), export the part that has no such choice, or stay
# with PyTorch. (The package `optimum-onnx` has ready recipes for many of the library's models.)

# %% [markdown]
# ## 15.9 A language model, four bits a weight
# <!-- T231 -->
# To write one token a language model reads **all** its weights, and does little with each. So the memory sets a limit:
# tokens a second ≤ bytes read in a second / bytes of the weights. Before you run this: how many gigabytes does your
# machine read in a second?

# %%
import gc

classifier = halves = prepared = encoders = one_layer = accelerator = fresh = int8 = session = None
gc.collect()  # room for a larger model: a quantized one points to itself, and waits for the collector
big = torch.ones(64_000_000, device=device)  # 256 MB, more than an ordinary cache holds
reading = race({"read": lambda: big.sum().item()})["read"] / 1000  # seconds
bandwidth = big.nbytes / reading
print(f"{bandwidth / 1e9:.1f} GB a second")
del big

# %%
from transformers import AutoModelForCausalLM

llm = lab.checkpoint("llm")
words = AutoTokenizer.from_pretrained(llm, revision=llm.revision, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision, dtype=torch.float32).to(device).eval()
stories = lab.dataset("stories")
story = load_dataset(stories, revision=stories.revision, split="validation")[0]["text"]
read = words(story, return_tensors="pt")["input_ids"][:, :96].to(device)

# %% [markdown]
# Two measures: how surprised the model is by a story (perplexity, chapter 12), and how fast it writes.

# %%
@torch.inference_mode()
def perplexity(model) -> float:
    return model(read, labels=read).loss.exp().item()

# %%
@torch.inference_mode()
def tokens_a_second(model, new: int = 6) -> float:
    """From the best time of a step: one token in, one out, after the first 32 tokens of the story."""
    past = model(read[:, :32]).past_key_values
    best = float("inf")
    for place in range(32, 32 + new):
        begin = time.perf_counter()
        model(read[:, place : place + 1], past_key_values=past).logits[0, -1].argmax().item()
        best = min(best, time.perf_counter() - begin)
    return 1 / best

# %%
full_bytes = sum(p.nbytes for p in model.parameters())
limit, reached = bandwidth / full_bytes, tokens_a_second(model)
print(f"at most {limit:.0f} tokens a second by the memory; measured {reached:.0f}, or {reached / limit:.0%} of it")

# %% [markdown]
# (A share above 100 % can happen: the two were not measured at the same moment, and a sum may read more slowly than the
# memory gives.) Fewer bytes raise the limit: that is why one wants few bits a weight. In a batch each weight that was
# read serves all texts, so there the limit is higher.
#
# ### Exercise 15.6
# Write `most_tokens(parameters, bits, bandwidth, batch)`: the most tokens that can be written in a second, all texts of
# the batch together, if nothing but reading the weights took time. `parameters` is how many there are, `bits` how many
# bits each takes, `bandwidth` the bytes that can be read in a second. The weights are read once for a step, and a step
# gives each text of the batch one token. For example, 1,000 parameters of 16 bits at 20,000 bytes a second give 10
# tokens a second for one text and 40 for a batch of four.

# %% tags=["exercise"]
def most_tokens(parameters: int, bits: float, bandwidth: float, batch: int) -> float:
    """The limit that reading the weights sets, in tokens a second."""
    # BEGIN SOLUTION
    return bandwidth / (parameters * bits / 8) * batch
    # END SOLUTION

# %% tags=["check"]
lab.check("15.6", most_tokens)

# %% [markdown]
# `lab.hint("15.6")` helps.
#
# Offline, the model was fetched as a **GGUF** file with four bits for most weights, and the ordinary files beside it
# were unpacked from that (chapter 05 opens the file). So both forms are here. Before you run this: three guesses. Is
# the four-bit form smaller on the disk? Smaller in memory? Faster? (Unpacking takes a while; a bar shows that it
# lives.)

# %%
def measured(model) -> dict:
    """What a form of the language model weighs in memory, how well it predicts the story, how fast it writes."""
    size = sum(one.nbytes for one in model.parameters()) / 1e6
    return {"MB in memory": size, "perplexity": perplexity(model), "tokens a second": tokens_a_second(model)}

forms = {"16-bit file, in float32": measured(model)}
packed = next(Path(llm).glob("*.gguf"), None) if Path(llm).is_dir() else None  # in hub mode, llm is an id
for path in (packed, Path(llm, "model.safetensors")) if packed else ():
    print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB")

# %%
from transformers import AutoConfig

if packed is None:
    print("No GGUF file here: it comes with the offline checkpoint. The table goes on without it.")
else:
    model = None  # one at a time in memory
    config = AutoConfig.from_pretrained(llm, revision=llm.revision)
    unpacked = AutoModelForCausalLM.from_pretrained(packed.parent, gguf_file=packed.name, config=config)
    forms["4-bit file, in float32"] = measured(unpacked.to(device).eval())
    unpacked = None

# %%
half = AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision, dtype=torch.bfloat16).to(device).eval()
forms["16-bit file, in bfloat16"] = measured(half)
half = None
model = AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision, dtype=torch.float32).to(device).eval()
pd.DataFrame(forms).T.round(1)

# %% [markdown]
# Three guesses, three columns. And the speed against float32:

# %%
plain = forms["16-bit file, in float32"]["tokens a second"]
keys = {"4-bit file, in float32": "4-bit GGUF file", "16-bit file, in bfloat16": "bfloat16, language model"}
for name, key in keys.items():
    if name in forms:
        ratios[key] = forms[name]["tokens a second"] / plain, f"one text, {device.type}"
        print(f"{name}: {ratios[key][0]:.2f} times as fast as float32")

# %% [markdown]
# The file is small, and that is all that it is here: `from_pretrained` unpacks four bits to float32 when it loads. The
# memory is the same, and so is the work, whatever the clock says today. (A program such as llama.cpp computes with the
# packed blocks, and there few bits are fast.) The perplexity is the same, too, and it has to be: the 16-bit file was
# made from the four bits. What four bits cost against the original can't be measured from these two files.
#
# So take bits away yourself. Each matrix, each row of it, or each block of 32 numbers gets a scale of its own; the
# numbers are rounded to `2**bits` levels and brought back. Before you run this: what hurts more, half the bits or
# longer blocks?

# %%
def rounded(weight: torch.Tensor, bits: int, block: int) -> torch.Tensor:
    """The weight after a way through whole numbers of `bits` bits; each `block` numbers have their own step."""
    blocks = weight.reshape(-1, block)
    low, high = blocks.amin(dim=1, keepdim=True), blocks.amax(dim=1, keepdim=True)
    step = ((high - low) / (2**bits - 1)).clamp(min=1e-12)
    return (torch.round((blocks - low) / step) * step + low).reshape(weight.shape)

matrices = [one for name, one in model.named_parameters() if "layers." in name and one.ndim == 2]
originals = [one.detach().clone() for one in matrices]

# %%
@torch.inference_mode()
def judged(model) -> dict:
    """Perplexity, and for how many places of the story the best next token is still float32's."""
    logits = model(read).logits[0, :-1].float()
    loss = torch.nn.functional.cross_entropy(logits, read[0, 1:].to(logits.device))
    same = (logits.argmax(dim=-1) == best).float().mean().item()
    return {"perplexity": loss.exp().item(), "same best token, %": 100 * same}

with torch.inference_mode():
    best = model(read).logits[0, :-1].argmax(dim=-1)
bits_table = {"float32": judged(model)}

# %%
long = {"whole matrices": torch.numel, "whole rows": lambda one: one.shape[1], "blocks of 32": lambda one: 32}
tried = [(8, "whole matrices"), (8, "whole rows"), (4, "whole rows"), (4, "blocks of 32"), (3, "blocks of 32")]
for bits, block in tried:
    with torch.no_grad():
        for one, original in zip(matrices, originals):
            one.copy_(rounded(original, bits, long[block](original)))
    bits_table[f"weights in {bits} bits, {block}"] = judged(model)
with torch.no_grad():
    for one, original in zip(matrices, originals):
        one.copy_(original)

# %% [markdown]
# And eight bits as section 15.7 took them: for the weights, with one scale for a matrix, and on the fly for the
# activations. Before you run this: the classifier bore it. Will the language model? (The row is measured on a CPU
# only.)

# %%
originals = None  # the weights are back in their places
if device.type == "cpu":
    with warnings.catch_warnings(action="ignore"):  # deprecated, as section 15.7 showed
        int8 = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    bits_table["dynamic int8: weights and activations"] = judged(int8)
    ratios["int8, language model"] = tokens_a_second(int8) / tokens_a_second(model), "one text, CPU"
    print(f"dynamic int8 writes {ratios['int8, language model'][0]:.1f} times as fast as float32")
int8 = None
gc.collect()
pd.DataFrame(bits_table).T.round(1)

# %% [markdown]
# Read the table from above. Eight bits for the weights alone cost little, and less with a scale for each row. Four bits
# for a whole row are too coarse, because one large number stretches the step for hundreds of small ones; that is what
# blocks are for. (Four bits in blocks change nearly nothing **here**: offline our numbers stand on such a grid already.
# Three bits leave it.) Now compare the last row with "8 bits, whole matrices". Here the **activations** are rounded,
# too, with one scale for a whole tensor, and the model has lost much of what it knew. Look at what the layers are
# given:

# %% tags=["long"] why="a hook on each linear layer"
def spread(model, ids) -> float:
    """How many times the median the largest number is that a linear layer of the model gets; the worst layer's."""
    found = []

    def look(layer, given):
        size = given[0].abs().float()
        found.append((size.max() / size.median()).item())

    hooks = [one.register_forward_pre_hook(look) for one in model.modules() if isinstance(one, torch.nn.Linear)]
    with torch.inference_mode():
        model(ids)
    for hook in hooks:
        hook.remove()
    return max(found)

review = tokenizer(reviews[0], return_tensors="pt")["input_ids"]
print(f"the classifier: {spread(on_cpu, review):,.0f} times the median, the language model: {spread(model, read):,.0f}")

# %% [markdown]
# At most 255 steps have to span all that: where one number is thousands of times the median, most others fall onto the
# same few steps. So: measure the answers first, then the speed.

# %% [markdown]
# ## 15.10 Opened, or read?
# <!-- T235 -->
# **What many tutorials say**: safetensors loads weights 76.6 times as fast as pickle on a CPU, because it *compresses*.
# Chapter 05 refuted the compression. The factor is worth an experiment, because it shows how a benchmark is made. Take
# the language model's weights, once in each format. Before you run this: what does it mean to have *loaded* a file?

# %%
from safetensors.torch import load_file, save_file

tensors = {name: one.detach().to(torch.float16) for name, one in model.named_parameters()}
pickled, safe = Path(work.name, "weights.bin"), Path(work.name, "weights.safetensors")
torch.save(tensors, pickled)
save_file({name: one.cpu().contiguous() for name, one in tensors.items()}, safe)
print(f"{pickled.stat().st_size / 1e6:.0f} MB pickled, {safe.stat().st_size / 1e6:.0f} MB as safetensors")
del tensors

# %%
loaders = {
    "torch.load": lambda: torch.load(pickled),
    "torch.load(mmap=True)": lambda: torch.load(pickled, mmap=True),
    "load_file": lambda: load_file(safe),
}

def and_read(load):
    """Load, then look at every number once."""
    return sum(one.view(torch.int16).max().item() for one in load().values())

# %%
opened = race(loaders, rounds=3)
used = race({name: lambda load=load: and_read(load) for name, load in loaders.items()}, rounds=2)
files = pd.DataFrame({"opened only, ms": opened, "opened and read, ms": used})
for column in list(files):
    files[column.replace("ms", "times torch.load")] = files.loc["torch.load", column] / files[column]
for number, how in ((2, "opened only"), (3, "opened and read")):
    ratios[f"safetensors, {how}"] = files.iloc[2, number], "270 MB, in the file cache"
    print(f"{how}: load_file is {files.iloc[2, number]:.0f} times as fast as torch.load")
files.round(1)

# %% [markdown]
# `torch.load` copies the whole file into memory. The other two only **map** it: the system promises the bytes, and
# fetches each page when you first touch it. So "opened only" compares a copy with a promise. Once the bytes are used,
# the ratio falls, and pickle with `mmap=True` is a map like any other. Before you run this: how does "opened only" go
# with the size of the file?

# %%
def opened_ratio(size: int) -> float:
    """How many times as fast load_file opens a file of `size` MB as torch.load does."""
    paths = [Path(work.name, f"part.{kind}") for kind in ("bin", "safetensors")]
    part = {"weight": torch.ones(size, 250_000)}
    torch.save(part, paths[0])
    save_file(part, paths[1])
    taken = race({"torch.load": lambda: torch.load(paths[0]), "load_file": lambda: load_file(paths[1])}, rounds=4)
    return taken["torch.load"] / taken["load_file"]

{f"{size} MB": round(opened_ratio(size), 1) for size in (1, 10, 100)}

# %% [markdown]
# The copy grows with the file, the promise hardly does. (These files hold one tensor each; the model's holds hundreds,
# and setting up each of them takes time in both formats.) So such a factor is a choice: of the size, and of the moment
# when the clock stops.
#
# The lasting reason for safetensors is another: a pickle is a program. Before you run this: `torch.load` above said
# nothing about it. What protected you?

# %%
import pickle

class Surprise:
    def __reduce__(self):
        return print, ("this was run while the weights were loading",)

torch.save({"weight": torch.ones(2), "extra": Surprise()}, pickled)
try:
    torch.load(pickled)
except pickle.UnpicklingError as error:
    print("refused:", str(error).split(".")[0])
torch.load(pickled, weights_only=False)

# %% [markdown]
# `weights_only=True` is the default of today's PyTorch: it reads tensors and plain containers, and refuses what it does
# not know. In older versions, and with `False`, the file decides what your machine runs. safetensors has nothing that
# could be run (chapter 05). (The same claim says: twice as fast on a GPU. With one, give both `device=` and
# `map_location=` and race them; the cell does that where there is one.)

# %%
if device.type == "cuda":
    state = {name: one.detach() for name, one in model.named_parameters()}
    torch.save({name: one.clone() for name, one in state.items()}, pickled)
    save_file({name: one.contiguous().clone() for name, one in state.items()}, safe)
    on_gpu = {"torch.load": lambda: torch.load(pickled, map_location="cuda")}
    taken = race(on_gpu | {"load_file": lambda: load_file(safe, "cuda")}, rounds=2)
    ratios["safetensors to a GPU"] = taken["torch.load"] / taken["load_file"], "SmolLM2 in float32"
    print(f"load_file is {ratios['safetensors to a GPU'][0]:.1f} times as fast")
else:
    print("No NVIDIA GPU here: that half of the claim can't be measured on this machine.")
for path in (pickled, safe):
    path.unlink(missing_ok=True)

# %% [markdown]
# ## 15.11 A server that waits a little
# <!-- T237 -->
# Now many people ask at once, one sentence each. A server that answers one after the other wastes what section 15.1
# found. **Dynamic batching**: take the first request, wait a few milliseconds for others, and run them together. Before
# you run this: with 32 people asking, which batch size gives the shortest wait: 1, because nobody waits for others, or
# 16?

# %%
import asyncio

class Batcher:
    """Puts requests together: at most `size`, and none waits for others longer than `patience` seconds."""

    def __init__(self, run, size: int, room: int = 64, patience: float = 0.005):
        self.run, self.size, self.patience = run, size, patience
        self.queue = asyncio.Queue(room)  # what has no room here is refused

    async def ask(self, text: str):
        answer = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((text, answer))  # asyncio.QueueFull where there is no room
        return await answer

# %% tags=["long"] why="the serving loop is the lesson"
async def collect(batcher) -> list:
    """The next batch: full, or as many as there are when the first one's patience ends."""
    waiting = [await batcher.queue.get()]
    end = time.monotonic() + batcher.patience
    while len(waiting) < batcher.size:
        try:
            waiting.append(batcher.queue.get_nowait())
        except asyncio.QueueEmpty:
            if time.monotonic() >= end:
                break
            await asyncio.sleep(0.001)
    return waiting

async def work_on(batcher) -> None:
    """Forever: collect a batch, run it in a thread (the server goes on listening), hand the answers out."""
    while True:
        waiting = await collect(batcher)
        try:
            answers = await asyncio.to_thread(batcher.run, [text for text, _ in waiting])
        except Exception as error:  # the model failed: whoever waits has to hear of it
            answers = [error] * len(waiting)
        for (_, future), answer in zip(waiting, answers):
            if not future.done():
                future.set_result(answer)

# %% [markdown]
# That is the whole loop. Around it goes a web server: Starlette turns a request into a call, uvicorn listens. It runs
# in a thread of this notebook, and only this machine can reach it.

# %% tags=["long"] why="the endpoint with its three kinds of answer"
import contextlib
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

def service(run, size: int, room: int = 64) -> Starlette:
    """POST {"text": …} to /classify. 200 with an answer, 400 for a bad request, 503 when the queue is full."""
    batcher = Batcher(run, size, room)

    async def classify_one(request):
        try:
            text = (await request.json())["text"]
            if not isinstance(text, str):  # refused alone: in a batch it would fail for its neighbours, too
                raise TypeError
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": 'Send JSON with a text, such as {"text": "so good"}.'}, 400)
        try:
            answer = await batcher.ask(text)
        except asyncio.QueueFull:
            message = f"{room} requests wait already. Ask again after the seconds in Retry-After."
            return JSONResponse({"error": message}, 503, {"Retry-After": "1"})
        if isinstance(answer, Exception):
            return JSONResponse({"error": f"The model failed: {answer}"}, 500)
        return JSONResponse({"label": answer})

    @contextlib.asynccontextmanager
    async def lifespan(app):
        worker = asyncio.create_task(work_on(batcher))
        yield
        worker.cancel()

    return Starlette(routes=[Route("/classify", classify_one, methods=["POST"])], lifespan=lifespan)

# %%
import socket

def listen(port: int = 0) -> socket.socket:
    """A socket on this machine only. Port 0: the system picks a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        message = f"Port {port} can't be used ({error.strerror}). Stop what listens there, or give port 0."
        raise OSError(message) from None
    return listener

# %% tags=["long"] why="a server that is sure to end with its block"
import threading
import uvicorn

@contextlib.contextmanager
def serving(app, port: int = 0):
    """Serve `app` while the block runs; the address is what you get. When the block ends, so does the server."""
    listener = listen(port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()

# %% [markdown]
# And a client, in plain HTTP. (It ignores proxies: they would not find this machine.)

# %%
import json
import urllib.error
import urllib.request

straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def post(url: str, body: dict) -> tuple:
    """Status, headers and answer of a POST with JSON."""
    asking = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with straight.open(asking, timeout=120) as reply:
            return reply.status, reply.headers, json.load(reply)
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, json.load(refused)

# %%
classifier = AutoModelForSequenceClassification.from_pretrained(sentiment, revision=sentiment.revision)
classifier = classifier.to(device).eval()

def labels(texts: list[str]) -> list[str]:
    return [classifier.config.id2label[one] for one in classify(texts, classifier).argmax(dim=-1).tolist()]

with serving(service(labels, size=16)) as address:
    print(post(f"{address}/classify", {"text": "The soup was cold and so was the waiter."})[2])
    print(post(f"{address}/classify", {"txt": "a typing error"})[::2])
    print(post(f"{address}/classify", {"text": 5})[::2])
    with lab.expect_error(OSError):
        listen(int(address.rpartition(":")[2]))

# %% [markdown]
# It answers, it says what it can't read, and a port in use is a sentence. Now the load: 32 clients, each of which asks
# again as soon as it has its answer.

# %% tags=["long"] why="the load, with its clients"
from concurrent.futures import ThreadPoolExecutor

shortest = sorted(rows["text"][:], key=len)[:16]

def load(address: str, clients: int, each: int = 2) -> tuple[list[float], float]:
    """The latency of each request in milliseconds, and the requests a second."""
    def client(number: int) -> list[float]:
        times = []
        for text in [shortest[(number + turn) % 16] for turn in range(each)]:
            begin = time.perf_counter()
            assert post(f"{address}/classify", {"text": text})[0] == 200
            times.append(1000 * (time.perf_counter() - begin))
        return times

    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = [one for found in pool.map(client, range(clients)) for one in found]
    return times, len(times) / (time.perf_counter() - begin)

# %%
from tqdm.auto import tqdm

loaded, alone = {}, {}
for size in tqdm((1, 2, 4, 8, 16)):
    with serving(service(labels, size)) as address:
        load(address, clients=2, each=1)  # warm-up
        times, throughput = load(address, clients=32)
        loaded[size] = {"requests a second": throughput}
        loaded[size] |= {f"p{share}, ms": np.percentile(times, share) for share in (50, 95)}
        times, _ = load(address, clients=1, each=4)
        alone[size] = np.percentile(times, 50)

# %%
served = pd.DataFrame(loaded).T.rename_axis("batch of at most")
served["p50 of a lone client, ms"] = alone
served.round(1)

# %% [markdown]
# Draw it: what does a larger batch buy, and what does it cost?

# %%
figure, axes = plt.subplots(figsize=(7, 3.2))
for share, colour in (("p50", "#0072B2"), ("p95", "#D55E00")):
    axes.plot(served["requests a second"], served[f"{share}, ms"], "o-", color=colour, label=share)
for size, row in served.iterrows():
    axes.annotate(f"{size}", (row["requests a second"], row["p50, ms"]), textcoords="offset points", xytext=(4, -12))
most = served["requests a second"]
ratios["dynamic batching"] = most.max() / most[1], "32 clients, throughput"
axes.set(xlabel="requests a second", ylabel="latency, ms", ylim=(0, None))
axes.set_title(f"32 clients: batches up to {most.idxmax()} serve {most.max() / most[1]:.1f} times as many as singles")
axes.legend();

# %% [markdown]
# Each dot is a batch size (the small number). The clients go round in a circle, so the latency is about 32 ÷ requests a
# second: the more are served, the **less** each waits, and what it waits for is mostly its turn. A lone client pays for
# the server's patience: some 5 ms when no neighbour comes. (Look for it in the last column; on a busy machine it
# drowns.) So a batch is a trade only when there is little to do.

# %% [markdown]
# ## 15.12 Saying no
# <!-- T237 -->
# If more requests come than can be served, a queue without an end only grows, and each answer comes later than the one
# before. A queue with an end says no: status 503 (or 429), and a header `Retry-After`. That is **back-pressure**.
# Before you run this: 32 clients at once, room for four. How many are refused, and what should they do?

# %%
from collections import Counter

def patiently(url: str, body: dict, tries: int = 60) -> list[int]:
    """All the statuses met until the answer came, waiting as long as the server says."""
    met = []
    while len(met) < tries:
        status, headers, _ = post(url, body)
        met.append(status)
        if status != 503:
            break
        time.sleep(float(headers["Retry-After"]) * (0.1 + 0.1 * len(met)))  # our seconds are short, and grow
    return met

# %%
with serving(service(labels, size=4, room=4)) as address, ThreadPoolExecutor(32) as pool:
    asked = [(f"{address}/classify", {"text": shortest[number % 16]}) for number in range(32)]
    at_once = Counter(status for status, _, _ in pool.map(lambda one: post(*one), asked))
    statuses = list(pool.map(lambda one: patiently(*one), asked))
print("at once:", dict(at_once))
print("patiently:", dict(Counter(met[-1] for met in statuses)), "after", sum(map(len, statuses)), "requests")

# %% [markdown]
# Those who come back after `Retry-After` get their answer in the end (the second line). A refusal costs no pass through
# the model: a quick no is worth more than a late yes.
#
# ### Exercise 15.7
# Write `admit(waiting, room, per_second, patience)`: what a server says to a new request. `waiting` requests are in the
# queue, at most `room` fit, `per_second` are served in a second, and the client gives up after `patience` seconds. The
# new request's answer will come after `(waiting + 1) / per_second` seconds. Return `(200, 0)` to accept. If the queue
# is full, return `(503, seconds)`; if there is room but the answer would come later than `patience`, return `(429,
# seconds)`. `seconds` is for `Retry-After`: the whole number of seconds, rounded **up**, at least 1, in which
# everything that waits now is served. For example, `admit(4, 4, 2.0, 60.0)` gives `(503, 2)`, and `admit(9, 20, 2.0,
# 3.0)` gives `(429, 5)`.

# %% tags=["exercise"]
def admit(waiting: int, room: int, per_second: float, patience: float) -> tuple[int, int]:
    """The status for a new request and the seconds for Retry-After (0 if it is accepted)."""
    # BEGIN SOLUTION
    seconds = max(1, int(np.ceil(waiting / per_second)))
    if waiting >= room:
        return 503, seconds
    if (waiting + 1) / per_second > patience:
        return 429, seconds
    return 200, 0
    # END SOLUTION

# %% tags=["check"]
lab.check("15.7", admit)

# %% [markdown]
# `lab.hint("15.7")` helps.
#
# ### Exercise 15.8
# Write `batches(arrivals, size, patience)`, the batcher on paper. `arrivals` is a list of times, in order. A batch is
# opened by the first request that is in none yet, and takes those that follow. It closes when it holds `size` requests,
# or when `patience` has passed since its first request came: what arrives exactly then still gets in, what arrives
# later opens the next batch. (Computing takes no time here.) Return a list of lists of the requests' numbers. For
# example, `batches([0.0, 1.0, 2.0, 2.5, 9.0], 3, 2.0)` gives `[[0, 1, 2], [3], [4]]`.

# %% tags=["exercise"]
def batches(arrivals: list[float], size: int, patience: float) -> list[list[int]]:
    """The numbers of the requests in each batch."""
    # BEGIN SOLUTION
    found = []
    for number, time_ in enumerate(arrivals):
        if found and len(found[-1]) < size and time_ - arrivals[found[-1][0]] <= patience:
            found[-1].append(number)
        else:
            found.append([number])
    return found
    # END SOLUTION

# %% tags=["check"]
lab.check("15.8", batches)

# %% [markdown]
# `lab.hint("15.8")` helps.

# %% [markdown]
# ## 15.13 Token by token: continuous batching
# <!-- T237 -->
# A chat is harder to batch than a classification: answers end at different times. A plain batch of three runs until its
# longest answer ends, and beside it are rows that nobody needs any more. **Continuous batching** fills a row anew as
# soon as an answer is done. The library has it, on a CPU too. Before you run this: six questions, three at a time,
# answers between 2 and 9 tokens. How many forward passes does each way need?

# %%
questions = ["Who are you?", "Write about rain.", "Name three animals.", "Hello!", "What is snow?", "Tell me a joke."]
limits = [2, 9, 5, 3, 8, 4]  # the most new tokens for each
prompts = [
    words.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True)["input_ids"]
    for question in questions
]
passes = []

def count(*_):
    passes.append(1)

# %%
passes.clear()
hook, in_plain = model.model.register_forward_hook(count), []
for start in (0, 3):
    three = words.pad({"input_ids": prompts[start : start + 3]}, return_tensors="pt").to(device)
    longest = max(limits[start : start + 3])
    ids = model.generate(**three, do_sample=False, max_new_tokens=longest)
    in_plain += ids[:, three["input_ids"].shape[1] :].tolist()
hook.remove()
plain_passes = len(passes)
plain_passes

# %% [markdown]
# Now the continuous way, with three rows as well. The requests go into a queue; a thread of the library's runs the
# passes, and hands each answer out when it is done.

# %%
from transformers import ContinuousBatchingConfig, GenerationConfig

ends = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
greedy = GenerationConfig(do_sample=False, max_new_tokens=16, **ends)
three_rows = ContinuousBatchingConfig(max_requests_per_batch=3, num_blocks=16, page_size=64, max_batch_tokens=256)
settings = {"generation_config": greedy, "continuous_batching_config": three_rows, "warmup": False}

# %%
passes.clear()
hook = model.model.register_forward_hook(count)
with model.continuous_batching_context_manager(**settings) as manager:
    for number, (prompt, limit) in enumerate(zip(prompts, limits)):
        manager.add_request(prompt, request_id=str(number), max_new_tokens=limit, record_timestamps=True)
    done = {}
    while len(done) < len(prompts) and manager.is_running():
        if result := manager.get_result(timeout=1):
            done[int(result.request_id)] = result
hook.remove()

# %%
figure, axes = plt.subplots(figsize=(8, 2.8))
begin = min(one.created_time for one in done.values())
for number, one in done.items():
    came = np.array(one.timestamps) - begin
    axes.barh(number, came[-1] - (one.lifespan[0] - begin), left=one.lifespan[0] - begin, color="#cfe3f3")
    axes.plot(came, [number] * len(came), "|", color="#0072B2", markersize=9)
axes.set(xlabel="seconds", ylabel="question", yticks=range(len(done)), xlim=(0, None))
axes.invert_yaxis()
axes.set_title(f"{len(passes)} forward passes instead of {plain_passes}: a free row is filled at once");
same = [one.generated_tokens == in_plain[number][: len(one.generated_tokens)] for number, one in done.items()]
ratios["continuous batching"] = plain_passes / len(passes), "forward passes, 6 chats, 3 rows"
print(f"{sum(same)} of {len(same)} answers have the same tokens in both ways")

# %% [markdown]
# A bar is a question's time in a row, a tick is a token. At no time are there more than three bars, and a new one
# begins where one ends. (The first pass of a bar reads the prompt.) Behind it is the **paged** cache: keys and values
# lie in pages of 64 tokens here, so that a row of any length can be freed and filled.
#
# Now put it behind an address. Many programs speak one dialect of HTTP, the one of OpenAI's chat API: a POST to
# `/v1/chat/completions` with `model` and `messages`. If your server speaks it, their clients can use your server.

# %% tags=["long"] why="the endpoint, with its refusals"
from uuid import uuid4

def chat_service(manager, room: int = 8) -> Starlette:
    """`/v1/chat/completions` in front of a continuous batch; at most `room` chats at once."""
    open_chats = set()
    longest = three_rows.num_blocks // three_rows.max_requests_per_batch * three_rows.page_size  # a row's share

    def refuse(status: int, message: str, headers=None):
        return JSONResponse({"error": {"message": message, "code": status}}, status, headers)

    async def complete(request):
        try:
            body = await request.json()
            ids = words.apply_chat_template(body["messages"], add_generation_prompt=True)["input_ids"]
            limit = int(body.get("max_tokens", 16))
        except Exception as problem:  # whatever the template says of what was sent
            message = 'Send "messages", dicts with role and content; "max_tokens" is a whole number'
            return refuse(400, f"{message} ({type(problem).__name__}).")
        if not 0 < limit <= longest - len(ids):
            return refuse(400, f"The prompt has {len(ids)} tokens, {limit} are to follow, {longest} fit. Shorten it.")
        if len(open_chats) >= room:
            return refuse(429, f"{room} chats are open. Ask again later.", {"Retry-After": "1"})
        name, answer = f"chatcmpl-{uuid4().hex}", asyncio.get_running_loop().create_future()
        open_chats.add(name)
        manager.register_result_handler(name, lambda found: answer.done() or answer.set_result(found))
        manager.add_request(ids, request_id=name, max_new_tokens=limit)
        try:
            found = await answer
        finally:
            open_chats.discard(name)
        if found.error:
            return refuse(500, f"The model failed: {found.error}")
        text = words.decode(found.generated_tokens, skip_special_tokens=True)
        reason = "length" if len(found.generated_tokens) >= limit else "stop"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(found.generated_tokens)}
        usage["total_tokens"] = sum(usage.values())
        head = {"id": name, "object": "chat.completion", "created": int(time.time()), "model": body.get("model", "llm")}
        return JSONResponse(head | {"choices": [choice], "usage": usage})

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])

# %%
def chat(base: str, question: str, **options) -> tuple[int, str]:
    """Ask any server that speaks this dialect, whoever wrote it."""
    body = {"model": "llm", "messages": [{"role": "user", "content": question}], **options}
    status, _, reply = post(f"{base}/v1/chat/completions", body)
    return status, reply["choices"][0]["message"]["content"] if status == 200 else reply["error"]["message"]

with model.continuous_batching_context_manager(**settings) as manager, serving(chat_service(manager)) as base:
    with ThreadPoolExecutor(3) as pool:
        answered = list(pool.map(lambda one: chat(base, one, max_tokens=8), questions[:3]))
    over = [chat(base, "why " * 500), chat(base, "Hello!", max_tokens=0), chat(base, "Hello!", messages="Hello!")]
pd.DataFrame(answered, index=questions[:3], columns=["status", "answer"])

# %%
for status, message in over:
    print(status, message)

# %% [markdown]
# Three clients, one model, answers as they are done; and three requests that can't be served get a sentence. The model
# has room for thousands of tokens, but the cache has not: a chat that outgrows it would stop the library's thread, and
# with it everybody's chat. So each gets a row's share. (Streaming and sampling, which the dialect has too, are left
# out.)
#
# `chat` knows nothing of our server but its address. Give it that of another server of this dialect, and it talks to
# that (the first three rows; the last is a family, so look up which of its doors speaks it):
#
# | server | who writes it | for |
# | --- | --- | --- |
# | `transformers serve` | this library | trying out: one command, models loaded when asked for |
# | llama.cpp's `llama-server` | its community | GGUF files on laptops, computed with the packed bits |
# | vLLM, TGI | UC Berkeley and others; Hugging Face | language models on GPUs: continuous batching, paged cache |
# | Triton Inference Server, TensorRT | NVIDIA | any model on NVIDIA's GPUs: Triton serves, TensorRT compiles |
#
# "One command" is what each of them promises, and it is true of the last step: before it come drivers, memory, and the
# choices of this chapter. Is the first of them ready on your machine?

# %%
from transformers.utils.import_utils import is_serve_available

print("ready: transformers serve --port 8000" if is_serve_available() else "pip install 'transformers[serving]' first")

# %% [markdown]
# ## 15.14 Which of these, when
# Each ratio in this table was measured in this notebook, on this machine: above 1 is faster than what it is compared
# with. (The last row counts passes, not seconds. The forms of the language model could not take turns: on a busy
# machine their rows tremble.)

# %% tags=["long"] why="the reason for each entry"
when = {
    "batches of 16": "requests wait anyway, or a file is to be scored",
    "sorting by length": "many texts of unlike length wait together",
    "sdpa instead of eager": "always there; eager only to look at attentions",
    "torch.compile, elementwise": "many small steps in a row, few shapes, a process that lives long",
    "torch.compile, a layer": "measure first where products dominate",
    "bfloat16 weights": "the processor computes in bfloat16; memory is short",
    "float16 weights": "a GPU; on a CPU measure first",
    "accelerator.prepare": "to place models on devices, not for speed",
    "int8, dynamic": "a CPU, and the answers were measured",
    "int8 product on a GPU": "with kernels made for it",
    "ONNX Runtime, (1, 16)": "short single texts; a server without Python",
    "ONNX Runtime, (8, 64)": "measure first",
    "bfloat16, language model": "memory is short; for speed, measure first",
    "4-bit GGUF file": "the download is the limit; for speed, a program that computes with the bits",
    "int8, language model": "only if the perplexity survives",
    "safetensors, opened only": "few of the tensors are needed",
    "safetensors, opened and read": "for safety; the copy is saved, too",
    "safetensors to a GPU": "for safety first",
    "dynamic batching": "many clients at once",
    "continuous batching": "many chats of unlike length at once",
}
rows_of_table = {name: [*ratios[name], when[name]] for name in ratios}  # what could not be measured here is missing
table = pd.DataFrame(rows_of_table, index=["times as fast", "measured on", "worth it when"]).T
table["times as fast"] = table["times as fast"].astype(float).round(2)
pd.set_option("display.max_colwidth", None)  # the reasons are longer than the 50 letters that pandas shows
table

# %% [markdown]
# The order of work, then: measure; batch, and sort what waits; take what costs nothing (`sdpa`, safetensors); try
# another precision or runtime, and measure the **answers** before the speed.

# %% [markdown]
# ## What changed since the notes
#
# | the notes say | today | why |
# | --- | --- | --- |
# | Infinity answers in 1 ms and costs 20,000 dollars a year | a server of your own: `uvicorn.Server(…)` and a batcher | a vendor's figure of 2022, on a GPU; measure yours |
# | "GPU quantization: 4.5 times as fast" | `quantize_dynamic` on a CPU, measured; torchao for the rest | one figure, one GPU, one year |
# | safetensors is 76.6 times as fast as pickle | `torch.load(…, mmap=True)` maps a pickle, too; count the reading | a copy was compared with a promise |
# | safetensors compresses, for mobile devices | `load_file(…)` maps plain bytes | its header is JSON, the rest are the numbers |
# | Accelerate speeds up inference | `Accelerator().prepare(model)` places it | same class, same logits |
# | half precision is faster | `model.to(torch.bfloat16)`, and a clock | it depends on the processor |
# | TensorRT is 5 to 10 times as fast as PyTorch | `onnxruntime.InferenceSession(…)` here; TensorRT with an NVIDIA GPU | each device has a runtime of its own |
# | one command deploys a model | `transformers serve`, or a chat endpoint of 40 lines | the dialect `/v1/chat/completions` is what clients know |

# %%
small = {"weight": torch.arange(6.0)}
torch.save(small, pickled)
save_file(small, safe)
assert torch.equal(torch.load(pickled, mmap=True)["weight"], load_file(safe)["weight"])
assert safe.stat().st_size > small["weight"].nbytes  # nothing was compressed
tiny = torch.nn.Linear(4, 2)
assert type(Accelerator(cpu=device.type == "cpu").prepare(tiny)) is torch.nn.Linear
with warnings.catch_warnings(action="ignore"):  # deprecated: section 15.7
    assert torch.ao.quantization.quantize_dynamic(tiny.cpu())(torch.ones(1, 4)).shape == (1, 2)
assert tiny.to(torch.bfloat16).weight.dtype == torch.bfloat16

# %%
if not missing:
    assert onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).get_outputs()[0].name == "logits"
with serving(service(lambda texts: texts, size=2)) as address:
    assert post(f"{address}/classify", {"text": "hi"})[2] == {"label": "hi"}

# %% [markdown]
# ## Quiz

# %%
lab.quiz("15")

# %% [markdown]
# ## Recap
# - Drop the warm-up, report percentiles, and compare two ways by their best times in turns; latency and throughput are
#   two numbers.
# - Sorting by length removes padding, and the answers go back to their places.
# - `sdpa` is free; compiling joins small steps; half precision and int8 are fast where the processor has them, and may
#   cost answers; ONNX Runtime lowers the price of a call.
# - Four bits a weight make a small file; speed comes only from a program that computes with them.
# - A file that is only opened has not been read: time both.
# - A server batches what waits, and refuses in time what it can't serve; continuous batching fills each free row.
#
# Next: you have reached the last chapter. Take a model of your own (chapter 10), share it (chapter 13), and serve it.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - Latency and throughput can be taken for each other's inverse (15.1).
# - A four-bit file can be taken for a fast model; here it is unpacked to float32 (15.9).
# - *Right as often as before* can be taken for *the same answers*: look at the labels that changed (15.7).
# - A GPU's provider can be asked for, and the CPU's runs (15.8); a file can be opened without having been read (15.10).
#
# **To discuss:**
#
# - *A vendor says 1.7 ms. What do you ask?* Lean on 15.2: the table with the quoted rows. A good answer asks for model,
#   device, batch, length, precision and year, and says which comparison the table allows at all.
# - *How many changed answers is a speed worth?* Lean on 15.7: the last columns; the last row of the second table in
#   15.9. A good answer measures it for this model, before the speed, and knows that one model bore it and another did
#   not.
# - *With 32 clients larger batches shorten the wait. Why, and when not?* Lean on 15.11: the curve, and the column of
#   the lone client. A good answer says that the wait is mostly one's turn, and that a lone client pays for the server's
#   patience.
# - *When should a server say no?* Lean on 15.12: the two printed lines; exercise 15.7. A good answer says it before the
#   model runs, with a time to come back, and tells what a queue without an end does to everybody.
#
# **If time is short.** 15.5 and 15.10 can be left out (*What changed* takes two paths and two imports from 15.10), and
# 15.13 from *Now put it behind an address* on. The table of 15.14 lists only what was measured. 15.7 needs an import of
# 15.6. Exercise to keep: 15.8; it can be done on paper.
#
# **In class.** `labs fetch llm`. 15.8 needs the workbook's extra `inference`, 15.4 a C++ compiler; without them the
# cells say so and the chapter goes on. Each number is the machine's own: thirty kernels on one server disturb each
# other's clocks, so let a few measure while the others predict.
