# %% [markdown]
# # 14 Scaling training
#
# You count what a training step keeps in memory, make it smaller, and share it between processes that you start here.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | predict the memory of a training step, and check it against a real one | 2½ hours | chapters 09 and 10 |
# | trade time for memory without changing the gradients | | |
# | say what mixed precision keeps in which precision, and what it costs to get it wrong | | |
# | run data, tensor and pipeline parallelism and ZeRO on two processes | | |
# | write configurations for Accelerate, DeepSpeed and FSDP, and choose one for a model and its GPUs | | |
# | teach a language model a fixed form with LoRA, and count what that saves | | |

# %%
import labs_utils as lab
lab.start("14")

# %% [markdown]
# ## 14.1 How much memory does one step take?
# SmolLM2-135M has 134,515,008 parameters. You train it in float32 with AdamW, on 4 texts of 32 tokens each. During one
# step four things lie in memory: the **parameters**, their **gradients**, the two **moments** that AdamW keeps for each
# of them (chapter 08), and the **activations**, the intermediate results that the forward pass keeps for the backward
# pass. Before you run anything, write down: which of the four is largest? And how much is it all together?
#
# Memory is best measured in a fresh process, where nothing else lies around. So first a helper. It writes functions
# from your notebook into a file, runs the file, and brings back what each function returned. It will start more than
# one process later; so it takes care that none stays behind.

# %%
import contextlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

# %% tags=["long"] why="the file that every experiment of the chapter is written into, whole"
FILE = """
import json, os, sys, time
import psutil, torch
import torch.distributed as dist
from accelerate import Accelerator, PartialState, debug_launcher
from torch import nn

{functions}

def main():
    state = PartialState(cpu=True)  # finds the other processes, if there are any
    rank, world = state.process_index, state.num_processes
    results = {{one.__name__: one(rank, world) for one in [{names}]}}
    with open(f"result{{rank}}.json", "w") as file:
        json.dump(results, file)
    state.destroy_process_group()

if __name__ == "__main__":
    debug_launcher(main, num_processes=2) if "debug" in sys.argv else main()
"""
loopback = [name for name, found in psutil.net_if_addrs().items() if any(one.address == "127.0.0.1" for one in found)]
QUIET = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": loopback[0], "PYTHONWARNINGS": "ignore"}

# %% tags=["long"] why="starting, waiting and ending belong together, or a process stays behind"
def stop(process: subprocess.Popen) -> None:
    """End a process, and all that it started."""
    if process.poll() is None:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end by itself in this moment
                one.kill()
        psutil.wait_procs(family)

def launch(start: list[str], *functions, seconds: float = 300) -> list[dict]:
    """Run functions in new processes, as `start` says; what the functions of each process returned, by their names."""
    names = ", ".join(one.__name__ for one in functions)
    text = FILE.format(functions="\n\n".join(map(inspect.getsource, functions)), names=names)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "experiments.py").write_text(text, encoding="utf-8")
        words = [sys.executable, *(word.replace("FILE", "experiments.py") for word in start)]
        process = subprocess.Popen(words, cwd=folder, env={**os.environ, **QUIET}, **pipes)
        try:
            told, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"The processes were not done after {seconds} s, and were ended.") from None
        finally:
            stop(process)
        if process.returncode:
            raise RuntimeError(f"The processes ended with an error. Their last words:\n{told[-4000:]}")
        return [json.loads(file.read_text()) for file in sorted(Path(folder).glob("result*.json"))]

# %% [markdown]
# Now the experiment: one step of the language model, with a look at the resident memory of the process after each
# station. (The tiny model at the beginning warms up: what the library loads at its first use is not to be counted.)

# %% tags=["long"] why="one training step, and the memory after each of its stations"
def one_step(rank: int, world: int) -> dict[str, float]:
    """Megabytes that the process holds after each station of one training step."""
    import labs_utils as lab
    from transformers import AutoConfig, AutoModelForCausalLM

    llm, process, held = lab.checkpoint("llm"), psutil.Process(), {}
    config = AutoConfig.from_pretrained(llm, revision=llm.revision, num_hidden_layers=1, vocab_size=99)
    ids = torch.ones(1, 2, dtype=torch.long)
    AutoModelForCausalLM.from_config(config)(input_ids=ids, labels=ids).loss.backward()
    held["start"] = process.memory_info().rss / 1e6
    model = AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision, dtype=torch.float32)
    held["the model is loaded"] = process.memory_info().rss / 1e6
    ids = torch.randint(100, 40_000, (4, 32))
    loss = model(input_ids=ids, labels=ids).loss
    held["after the forward pass"] = process.memory_info().rss / 1e6
    loss.backward()
    held["after the backward pass"] = process.memory_info().rss / 1e6
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    optimizer.step()
    held["after the optimizer's step"] = process.memory_info().rss / 1e6
    return held

# %%
[one_process] = launch(["FILE"], one_step)
held = one_process["one_step"]
start = held.pop("start")
for station, megabytes in held.items():
    print(f"{station:28} {megabytes - start:6.0f} MB")

# %% [markdown]
# You can read it like a bill. Loading brings the parameters. The forward pass adds activations. The backward pass makes
# gradients and gives the activations back (the process may hold on to some of the freed memory for later, and the bill
# shows that, too). The optimizer's first step makes the moments. Now the same by arithmetic: a float32 number takes 4
# bytes. Each parameter has one gradient and two moments.

# %%
import matplotlib.pyplot as plt
import pandas as pd

PARAMETERS = 134_515_008
predicted = 4 * PARAMETERS * (1 + 1 + 2) / 1e6  # parameters, gradients, two moments, in MB
measured = held["after the optimizer's step"] - start
off = measured / predicted - 1
assert abs(off) < 0.1 or sys.platform != "linux"  # other systems count resident memory in their own way
print(f"predicted {predicted:.0f} MB, measured {measured:.0f} MB, {off:+.1%}")

# %%
figure, axes = plt.subplots(figsize=(7.2, 2.8))
axes.barh(list(held)[::-1], [held[station] - start for station in list(held)[::-1]], color="#0072B2")
for count, label in {1: "parameters", 2: "+ gradients", 4: "+ moments"}.items():
    axes.axvline(4 * PARAMETERS * count / 1e6, color="#D55E00", linestyle=":")
    axes.text(4 * PARAMETERS * count / 1e6, -0.75, f"{label} ", ha="right", color="#D55E00", fontsize=8)
axes.set(xlabel="MB above the start", ylim=(-1, 3.6))
axes.set_title(f"One step holds {measured / (4 * PARAMETERS / 1e6):.1f} times the parameters");

# %% [markdown]
# Bars are measured, dotted lines are predicted. So the answer is: the moments, with this batch. Twice the parameters,
# whatever the batch. Activations are the one part that grows with the batch.
#
# How fast do they grow? Count what a Llama layer has to keep for each token. The two norms keep their input, the
# normalized input and their output (3 × width each). Attention keeps the queries and its own output (2 × width) and the
# keys and values. The feed-forward part keeps four vectors of its inner size. At the end there is one more norm, and
# the loss keeps the logarithm of a probability for each token of the vocabulary.

# %%
from dataclasses import dataclass

@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama-like model."""
    layers: int
    width: int
    key_value: int  # the width of all keys of a token together
    inner: int  # of the feed-forward part
    vocabulary: int

# %%
def activations(shape: Shape) -> int:
    """How many numbers the forward pass keeps for each token."""
    a_layer = 8 * shape.width + 2 * shape.key_value + 4 * shape.inner
    return shape.layers * a_layer + 3 * shape.width + shape.vocabulary

# %% [markdown]
# PyTorch can tell what it really keeps: `saved_tensors_hooks` calls a function of yours with each tensor that is put
# away. Let it count on a model of the same width with two layers and a small vocabulary. Before you run this: will the
# formula be right to the last number?

# %%
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}

def build(layers: int = 2, vocabulary: int = 2000) -> LlamaForCausalLM:
    """A fresh, untrained model of the language model's width."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, vocab_size=vocabulary, use_cache=False, **sizes))

# %%
def kept_bytes(model, **batch) -> tuple[int, torch.Tensor]:
    """The bytes that a forward pass keeps for the backward pass, parameters left out; and the loss."""
    kept, own = {}, {one.untyped_storage().data_ptr() for one in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(**batch).loss
    return sum(kept.values()), loss

# %%
small, small_shape = build(), Shape(layers=2, width=576, key_value=192, inner=1536, vocabulary=2000)
rows = {}
for tokens in (32, 64, 128):
    ids = torch.randint(0, 2000, (1, tokens))
    counted, _ = kept_bytes(small, input_ids=ids, labels=ids)
    rows[tokens] = {"counted, MB": counted / 1e6, "formula, MB": 4 * tokens * activations(small_shape) / 1e6}
pd.DataFrame(rows).T.rename_axis("tokens").round(2)

# %% [markdown]
# Not to the last number (positions, means and the like are small change), but close, and doubling with the tokens. So
# now you can say for our language model when the activations overtake the moments:

# %%
LLM = Shape(layers=30, width=576, key_value=192, inner=1536, vocabulary=49_152)
moments = 2 * PARAMETERS / activations(LLM)
for tokens in (128, 512, 2048, 8192):
    print(f"{tokens:5} tokens: activations {4 * tokens * activations(LLM) / 1e6:7,.0f} MB, moments 1,076 MB")
print(f"They are equal at {moments:.0f} tokens.")

# %% [markdown]
# With a batch of 16 texts of 512 tokens, the activations would be about a dozen times the moments. So there are two
# kinds of levers. Some act on the activations (section 14.2); others on the rest (the sections after it).
#
# ### Exercise 14.1
# Write `step_bytes(parameters, trained, moments, size)`: the bytes of parameters, gradients and moments after a step.
# All `parameters` are in memory; only `trained` of them are trained, and have a gradient and `moments` moments each
# (two with Adam, none with plain SGD). Every number takes `size` bytes. For example, 100 parameters of which 10 are
# trained with Adam in float32, `step_bytes(100, 10, 2, 4)`, take `520` bytes.

# %% tags=["exercise"]
def step_bytes(parameters: int, trained: int, moments: int, size: int) -> int:
    """Bytes of parameters, gradients and an optimizer's moments."""
    # BEGIN SOLUTION
    return size * (parameters + trained * (1 + moments))
    # END SOLUTION

# %% tags=["check"]
lab.check("14.1", step_bytes)

# %% [markdown]
# `lab.hint("14.1")` helps.

# %% [markdown]
# ## 14.2 Smaller steps, the same gradients
# <!-- T224 -->
# The batch doesn't fit. Chapter 08 fed it in pieces and added the gradients up: **gradient accumulation**. How much
# memory does that save? Eight texts of 64 tokens, in one piece and in four. Before you run this: which of the four
# things of section 14.1 will shrink, and which won't?

# %%
def gradients(model) -> torch.Tensor:
    """All gradients in one row; they are cleared on the way."""
    row = torch.cat([one.grad.flatten() for one in model.parameters()])
    model.zero_grad()
    return row

torch.manual_seed(0)
ids = torch.randint(0, 2000, (8, 64))
at_once, loss = kept_bytes(small, input_ids=ids, labels=ids)
loss.backward()
whole = gradients(small)

# %%
for piece in ids.chunk(4):
    in_pieces, loss = kept_bytes(small, input_ids=piece, labels=piece)
    (loss / 4).backward()
pieces = gradients(small)
torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-3)
print(f"activations: {at_once / 1e6:.0f} MB at once, {in_pieces / 1e6:.0f} MB in pieces; "
      f"gradients differ by {(pieces - whole).abs().max():.0e}")

# %% [markdown]
# Only the activations shrink. The gradients are equal up to rounding, since all pieces have the same number of tokens.
# In real batches texts have different lengths, and padding counts for nothing (`-100`, chapter 10). Now one piece has
# sixty-three tokens to predict in each text, the other only four. Before you run this: is the mean of the two losses
# the loss of the whole?

# %%
labels = ids.clone()
labels[4:, 5:] = -100  # the second half of the batch: texts of five tokens, four of them to be predicted
small(input_ids=ids, labels=labels).loss.backward()
whole = gradients(small)
halves = list(zip(ids.chunk(2), labels.chunk(2)))
for part, wanted in halves:
    (small(input_ids=part, labels=wanted).loss / 2).backward()
mean_of_means = gradients(small)

# %%
count = (labels[:, 1:] != -100).sum()  # the first token of a text is predicted by nothing
for part, wanted in halves:
    small(input_ids=part, labels=wanted, num_items_in_batch=count).loss.backward()
by_count = gradients(small)
torch.testing.assert_close(by_count, whole, atol=1e-5, rtol=1e-3)
for name, row in {"mean of means": mean_of_means, "by the count": by_count}.items():
    print(f"{name}: {(row - whole).norm() / whole.norm():.1%} away from the gradient of the whole batch")

# %% [markdown]
# The mean of means is wrong: it gives a token of the short texts about sixteen times the weight of the others. Nothing
# complains. The cure is to divide each **sum** by the number of tokens in *all* pieces: that is what
# `num_items_in_batch` does, and the `Trainer` passes it for you. The same holds for processes: one with few tokens must
# not count like one with many.
#
# ### Exercise 14.2
# Write `merge_gradients(gradients, counts)`: several processes have each the gradient of **their own mean** loss,
# `gradients[i]`, a tensor, over `counts[i]` tokens. Return the gradient of the mean loss over all tokens. A process
# may have had no token: then its gradient is `nan` (a mean over nothing), and it must not spoil the others. At least
# one has tokens. For example, gradients `[1.0]` over 3 tokens and `[5.0]` over 1 token give `[2.0]`.

# %% tags=["exercise"]
def merge_gradients(gradients: list[torch.Tensor], counts: list[int]) -> torch.Tensor:
    """The gradient of the mean over all tokens."""
    # BEGIN SOLUTION
    total = sum(counts)
    merged = torch.zeros_like(gradients[0])
    for gradient, count in zip(gradients, counts):
        if count > 0:
            merged = merged + gradient * (count / total)
    return merged
    # END SOLUTION

# %% tags=["check"]
lab.check("14.2", merge_gradients)

# %% [markdown]
# `lab.hint("14.2")` helps.
#
# The second lever is **gradient checkpointing**: keep only the input of each layer, and compute the layer once more
# when the backward pass comes to it. Before you run this: what does it do to the gradients, to the activations, and to
# the time?

# %%
import time

def timed_step(model) -> dict[str, float]:
    """One forward and backward pass: the memory that was kept, and the seconds of computing time."""
    begin = time.process_time()
    kept, loss = kept_bytes(model, input_ids=ids[:4], labels=ids[:4])
    loss.backward()
    return {"activations, MB": kept / 1e6, "seconds": time.process_time() - begin}

# %%
deep = build(layers=4, vocabulary=2000).train()
timed_step(deep)
deep.zero_grad()  # that was to warm up
plain, kept_everything = timed_step(deep), gradients(deep)
deep.activation_checkpointing_enable()
thrifty, computed_twice = timed_step(deep), gradients(deep)
torch.testing.assert_close(computed_twice, kept_everything, atol=1e-5, rtol=1e-3)
del computed_twice, kept_everything
found = {"all kept": plain, "checkpointing": thrifty, "checkpointing, eval()": timed_step(deep.eval())}
deep.zero_grad()
pd.DataFrame(found).round(2)

# %% [markdown]
# The same gradients from a fraction of the activations. The price is one more forward pass: a third more computing if
# the backward pass costs two forward passes. (What a layer needs while it is computed again comes on top for a moment,
# one layer at a time. In evaluation mode nothing is checkpointed: the last column.) Many tutorials call
# `gradient_checkpointing_enable`: it still works, with a warning. The `Trainer`'s argument has the same new name,
# `activation_checkpointing=True`.
#
# And if you don't know which batch fits? Many tutorials say that Accelerate adapts the batch size to the hardware. It
# does so if you ask. `find_executable_batch_size` calls your function with smaller and smaller batches, as long as
# memory runs out. Before you run this: we refuse everything above 40 with a real failure of the allocator. Which sizes
# will it try?

# %%
def needs_memory(batch_size: int) -> None:
    """Ask for more memory than any machine has, if the batch is too large."""
    if batch_size > 40:
        try:
            torch.empty(10**17, dtype=torch.int8)
        except RuntimeError as error:  # Windows puts it in other words, which Accelerate doesn't know
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory") from error

# %%
from accelerate.utils import find_executable_batch_size

tried = []

@find_executable_batch_size(starting_batch_size=48)
def train(batch_size: int) -> int:
    tried.append(batch_size)
    needs_memory(batch_size)
    return batch_size

train(), tried

# %% [markdown]
# It takes a tenth off each time. It doesn't know your hardware: it tries, fails and tries again, and your function must
# build its loader inside, with the size that it is given. The `Trainer` has the same behind an argument. This toy wants
# no more than fourteen rows:

# %%
from transformers import PrinterCallback, Trainer, TrainingArguments

class Hungry(nn.Module):
    """A linear layer that runs out of memory with more than fourteen rows, and remembers what it saw."""
    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(4, 1), {}

    def forward(self, x, labels):
        y = self.layer(x)
        self.seen = {"rows": len(x), "dtype": y.dtype}
        needs_memory(100 if len(x) > 14 else 1)
        return {"loss": nn.functional.mse_loss(y.float(), labels)}

# %%
folder = tempfile.TemporaryDirectory()
examples_of_ones = [{"x": torch.ones(4), "labels": torch.ones(1)} for _ in range(32)]
always = {"output_dir": folder.name, "use_cpu": True, "report_to": "none", "save_strategy": "no", "max_steps": 2}

def trained(**options) -> dict:
    """What the toy saw last, when it was trained with these options."""
    arguments = TrainingArguments(**always, disable_tqdm=True, logging_strategy="no", **options)
    trainer = Trainer(Hungry(), arguments, train_dataset=examples_of_ones)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return {**trainer.model.seen, "scaler": str(trainer.accelerator.scaler)}

# %%
with lab.expect_error(RuntimeError):
    trained(per_device_train_batch_size=16)
found = trained(per_device_train_batch_size=16, auto_find_batch_size=True)["rows"]
found, TrainingArguments(**always).average_tokens_across_devices

# %% [markdown]
# Sixteen rows fail; with `auto_find_batch_size=True` the training ends with fourteen. A smaller batch is another
# training (chapter 10), so look at what was found. (The last value: the `Trainer` counts tokens over all processes,
# too.)

# %% [markdown]
# ## 14.3 Half the bits
# <!-- T223 -->
# Numbers of 16 bits take half the memory. Two such formats are used in training. Before you run this: 0.00000001,
# 65,536, and 1 minus 1000 times 0.001. Which of the three comes out right in which format?

# %%
def walk(dtype: torch.dtype) -> float:
    """Start at 1 and subtract 0.001 a thousand times, as small steps of training would."""
    weight = torch.tensor(1.0, dtype=dtype)
    for _ in range(1000):
        weight -= 0.001
    return weight.item()

formats = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
rows = {name: [torch.tensor(1e-8, dtype=one).item(), torch.tensor(65_536.0).to(one).item(), walk(one)]
        for name, one in formats.items()}
for name, one in formats.items():
    rows[name].append(1 - torch.finfo(one).eps / 2)
pd.DataFrame(rows, index=["1e-8", "65,536", "1 - 1000 × 0.001", "the number below 1"]).map("{:.6g}".format)

# %% [markdown]
# **float16** has few exponents: 1e-8 is 0, and 65,536 is infinite. **bfloat16** has the range of float32 and few
# digits: below 1 the next number is 0.996, so each step of 0.001 is rounded away, a thousand times. The weight does not
# move at all. That is why neither can replace float32 in an optimizer just so.
#
# **Mixed precision** takes half precision only for what can bear it. Many tutorials say: parameters and gradients are
# stored in half precision, and the update is computed in float32. Before you run this: in which precision will
# `torch.autocast` leave the parameters, the gradients and the moments?

# %%
layer, x = nn.Linear(8, 4), torch.randn(2, 8)
optimizer = torch.optim.AdamW(layer.parameters())
with torch.autocast("cpu", dtype=torch.bfloat16):
    y = layer(x)
    loss = nn.functional.mse_loss(y, torch.zeros(2, 4))
loss.backward()
optimizer.step()
state = optimizer.state[layer.weight]
{"output": y.dtype, "loss": loss.dtype, "weight": layer.weight.dtype, "gradient": layer.weight.grad.dtype,
 "moments": (state["exp_avg"].dtype, state["exp_avg_sq"].dtype)}

# %% [markdown]
# Parameters, gradients and moments are float32, all of them. Only the layer's output is half precision: autocast
# works on *operations*, not on storage. Which ones? Before you run this, guess: a product of matrices, a sum of two
# tensors, an embedding, a loss?

# %%
from torch.nn import functional as F

square = torch.randn(4, 4)
operations = {
    "matrix product": lambda: square @ square,
    "linear": lambda: layer(x),
    "attention": lambda: F.scaled_dot_product_attention(*[torch.randn(1, 1, 2, 4)] * 3),
    "GELU of the linear": lambda: F.gelu(layer(x)),
    "sum of two float32": lambda: square + square,
    "float32 + half": lambda: square[:2] + layer(x),
    "embedding": lambda: nn.Embedding(3, 4)(torch.tensor([1])),
    "cross entropy": lambda: F.cross_entropy(layer(x), torch.tensor([0, 1])),
}

# %%
with torch.autocast("cpu", dtype=torch.bfloat16):
    out = {name: operation().dtype for name, operation in operations.items()}
pd.Series({name: str(dtype).removeprefix("torch.") for name, dtype in out.items()}, name="result").to_frame()

# %% [markdown]
# Products of matrices are cast. The loss is computed in float32. The others take what they are given; where the two
# meet, float32 wins. (The list is each device's own. On a GPU softmax and layer norms are in float32, too.)
#
# So what does mixed precision save? Not the parameters. There are even more of them: the layers' weights are cast, and
# the cast copies are kept for the backward pass. It saves activations. Before you run this: by half? And does it pay
# for few tokens as for many?

# %%
def kept_with(half: bool, length: int) -> float:
    """The MB that the small model keeps for 8 texts of this length, in float32 or under autocast."""
    text = torch.ones(8, length, dtype=torch.long)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        return kept_bytes(small, input_ids=text, labels=text)[0] / 1e6

copies = 2 * sum(one.numel() for name, one in small.named_parameters() if "proj" in name) / 1e6
copies += 2 * small.lm_head.weight.numel() / 1e6
found = {8 * length: (kept_with(False, length), kept_with(True, length)) for length in (16, 64, 192)}
found = pd.DataFrame(found, index=["float32", "autocast"]).T.rename_axis("tokens").assign(copies=copies)
found.assign(ratio=(found["autocast"] - copies) / found["float32"]).round(2)

# %% [markdown]
# All in MB; the last column leaves the copies out. With few tokens autocast keeps **more** than float32. With many the
# copies count less, and it keeps about three quarters: the norms and the sums beside the layers stay float32. It is
# not half. On a GPU the matrix products are faster as well; section 14.12 measures that where there is one.
#
# ### float16 needs a scale
# A gradient of 1e-8 is 0 in float16: lost. The cure is **loss scaling**: multiply the loss by a large number before the
# backward pass; then the gradients are larger by the same factor. Divide it out in float32 before the optimizer's step.

# %%
tiny = torch.tensor(1e-8)
scale = 65_536.0
print("as it is:", tiny.half().item(), "  scaled:", (tiny * scale).half().item(), end="  ")
print("and divided again:", (tiny * scale).half().float().item() / scale)

# %% [markdown]
# 6.6e-4 is a number that float16 can hold, and the division gives nearly 1e-8 back. But too large a scale makes
# infinities. So the scale is found by trial: after an overflow, skip the step and halve the scale; after a long run of
# good steps, double it. Accelerate and the `Trainer` use `torch.amp.GradScaler` for that. Watch it on a loss whose
# gradient is 3, held in float16 with a largest number of 65,504. Before you run this: which scales will overflow?

# %%
weight = torch.ones(1, requires_grad=True)
optimizer, scaler = torch.optim.SGD([weight], lr=0.01), torch.amp.GradScaler("cpu", init_scale=2.0**17)
for _ in range(5):
    scaler.scale(weight.sum() * 3).backward()
    weight.grad = weight.grad.half().float()  # what a gradient in float16 would have become
    before = scaler.get_scale()
    scaler.step(optimizer)
    scaler.update()
    print(f"scale {before:9,.0f}: gradient {weight.grad.item():9,.0f}, weight {weight.item():.2f}")
    optimizer.zero_grad()

# %% [markdown]
# The first steps don't move the weight: the gradient is infinite, the step is skipped, the scale is halved. From then
# on each step subtracts 0.01 × 3, as it should. (bfloat16 has the range of float32 and needs no scale.)
#
# ### Exercise 14.3
# Write `scales(overflows, scale, interval)`: `overflows` tells for each step whether its gradients overflowed. Return
# the list of the scales that the steps **used**, the first being `scale`. After an overflow the scale is halved. After
# `interval` good steps in a row it is doubled, and the counting begins anew (it does after an overflow, too). For
# example, `scales([True, False, False, False], 8.0, 2)` gives `[8.0, 4.0, 4.0, 8.0]`.

# %% tags=["exercise"]
def scales(overflows: list[bool], scale: float, interval: int) -> list[float]:
    """The loss scale that each step used."""
    # BEGIN SOLUTION
    used, good = [], 0
    for overflow in overflows:
        used.append(scale)
        good = 0 if overflow else good + 1
        if overflow:
            scale = scale / 2
        elif good == interval:
            scale, good = scale * 2, 0
    return used
    # END SOLUTION

# %% tags=["check"]
lab.check("14.3", scales)

# %% [markdown]
# `lab.hint("14.3")` helps.
#
# ### The silent traps
# You ask Accelerate for mixed precision. Do you get it? On this chapter's CPU, with each value that it knows. Before
# you run this: where will you not get what you asked for?

# %%
from accelerate import Accelerator
from accelerate.state import AcceleratorState

def computed_in(**asked) -> dict:
    """What an Accelerator says about its precision, and what a product of matrices is really computed in."""
    AcceleratorState._reset_state(True)  # the first Accelerator of a process settles it for all: begin anew
    accelerator = Accelerator(cpu=True, **asked)
    with accelerator.autocast():
        product = square @ square
    told = {"it says": accelerator.mixed_precision, "it computes in": str(product.dtype).removeprefix("torch.")}
    return {**told, "scaler": str(accelerator.scaler)}

rows = {"(nothing)": computed_in()} | {name: computed_in(mixed_precision=name) for name in ("no", "fp16", "bf16")}
pd.DataFrame(rows).T

# %%
with lab.expect_error(ValueError):
    computed_in(mixed_precision="fp8")

# %% [markdown]
# Who says nothing gets `"no"`: mixed precision is not on by default. `"bf16"` does what it says. `"fp16"` on a CPU says
# so and computes in float32, without a word. `"fp8"` at least raises: it needs a GPU that has it and a library for it.
# The `Trainer` has the same trap:

# %%
pd.DataFrame({name: trained(per_device_train_batch_size=4, **{name: True}) for name in ("fp16", "bf16")}).T.astype(str)

# %% [markdown]
# So look at the `dtype` of something that was computed before you believe an argument.

# %% [markdown]
# ## 14.4 Two processes, one training
# <!-- T221 T225 -->
# With two GPUs you run **one process for each**, all with the same file. Each gets a number, its **rank**; how many
# there are is the **world size**. They talk over a network or a bus; on CPUs through a library called gloo. That works
# on your machine, too, with no GPU. **Data parallel** training copies the whole model into each process, and deals the
# batches out. Before you run this: 16 rows in batches of 4 are 4 batches. How many does each of two processes see? And
# when do their gradients agree?

# %% tags=["long"] why="the whole loop with accumulation, as each of the processes runs it"
def data_parallel(rank: int, world: int) -> dict:
    """Two batches accumulated in each process: what each process saw, and its gradients after each batch."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.arange(16), torch.randn(16, 6), torch.randn(16, 1))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    told = {"processes": world, "batches before": len(loader), "rows": [], "synchronised": [], "gradients": []}
    torch.manual_seed(7 + rank)  # each process begins with weights of its own
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    model, loader = accelerator.prepare(model, loader)
    told["batches after"] = len(loader)
    for number, x, y in loader:
        with accelerator.accumulate(model):
            accelerator.backward(nn.functional.mse_loss(model(x), y))
            told["synchronised"].append(accelerator.sync_gradients)
            told["rows"].append(number.tolist())
            told["gradients"].append(torch.cat([one.grad.flatten() for one in model.parameters()]).tolist())
    return told

# %% [markdown]
# How are the processes started? `debug_launcher(main, num_processes=2)` forks the running program, on a CPU, for tests.
# It must stand in a file, since the notebook's own process, full of threads and models, is not to be forked. `torchrun`
# starts a file as often as you say. And `accelerate launch` does that with many options more. Three ways to start:

# %%
AS_MODULE = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]  # torchrun: a free port, found
TORCHRUN = [*AS_MODULE, "--nproc_per_node=2", "FILE"]
DEBUG = ["FILE", "debug"] if sys.platform == "linux" else TORCHRUN  # debug_launcher needs fork
ACCELERATE = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes=2", "FILE"]
cores = psutil.cpu_count()
print(f"{cores} core(s):", "the two processes work side by side." if cores > 1 else
      "the two processes take turns. That is slower, with the same results.")

# %%
ranks = [one["data_parallel"] for one in launch(DEBUG, data_parallel)]
shown = ["processes", "batches before", "batches after", "rows", "synchronised"]
pd.DataFrame({f"rank {rank}": {name: told[name] for name in shown} for rank, told in enumerate(ranks)})

# %% [markdown]
# `len(loader)` is halved: each process sees every other batch, and after `prepare` you count steps with the new length.
# `accumulate` let the processes synchronise at the second batch only. The gradients tell the same story. Here they are
# beside those of one process that sees all 16 rows at once:

# %%
torch.manual_seed(0)
x, y = torch.randn(16, 6), torch.randn(16, 1)
torch.manual_seed(7)  # the weights that rank 0 began with
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
nn.functional.mse_loss(model(x), y).backward()
alone = gradients(model)
first, second = (torch.tensor([told["gradients"][step] for told in ranks]) for step in (0, 1))  # [ranks, numbers]
torch.testing.assert_close(second, alone.expand(2, -1), atol=1e-5, rtol=1e-4)
print(f"ranks differ by {(first[0] - first[1]).abs().max():.3f} after one batch, "
      f"by {(second[0] - second[1]).abs().max():.0e} after two; from one process by {(second - alone).abs().max():.0e}")

# %% [markdown]
# After the first batch each process has gradients of its own. After the second they are **averaged** over both (an
# **all-reduce**), and equal to those of one process with four times the batch. And that although each process made
# weights of its own: at the start `prepare` sends those of rank 0 to all. From then on the copies take the same steps,
# and stay equal by sending gradients only. What data parallel training does not save is memory: each process has all
# of it.
#
# Now the third way to start. Before you run this: `accelerate launch --cpu --num_processes=2`. How many processes?

# %%
def who(rank: int, world: int) -> str:
    return f"rank {rank} of {world}"

launch(ACCELERATE, who)

# %% [markdown]
# **One.** There is no error, and the training would run, alone. (Without `--cpu`, on a machine with two GPUs, the
# command is meant to start two.) So let a script that needs several processes say so: `assert accelerator.num_processes
# == 2`.
#
# What `accelerate launch` should do can stand in a **configuration file** instead: how many machines, processes and
# threads, which precision, TPU or GPU, which of the strategies below. The command `accelerate config` asks you
# questions and writes it. From Python:

# %%
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import write_basic_config

file = Path(folder.name, "accelerate.json")
file.unlink(missing_ok=True)  # an old file would be kept as it is
write_basic_config(mixed_precision="no", save_location=str(file))
config = load_config_from_file(str(file))
print(file.read_text())
config.num_processes, config.distributed_type.value

# %% [markdown]
# You start with it by `accelerate launch --config_file accelerate.json train.py`. The command is not needed, though: on
# one device the same code runs in a notebook, as in chapter 09, and `accelerate.notebook_launcher` starts as many
# processes as you say from a cell, one for each GPU. What is *not* there is a way to choose the device in `prepare`:

# %%
accelerator = Accelerator()
with lab.expect_error(TypeError):
    accelerator.prepare(nn.Linear(2, 2), device="cuda")
accelerator.device, accelerator.num_processes

# %% [markdown]
# The device was chosen when the first `Accelerator` of the process was made.
#
# ### Exercise 14.4
# Write `split_rows(rows, world)`: the row numbers that each of `world` processes works on, as a list of `world` lists.
# Every row from `0` to `rows - 1` is in exactly one list, in order; each process gets a piece in one run; and the
# lengths differ by at most one, the longer ones first. With fewer rows than processes some lists are empty. For
# example, `split_rows(5, 2)` gives `[[0, 1, 2], [3, 4]]`.

# %% tags=["exercise"]
def split_rows(rows: int, world: int) -> list[list[int]]:
    """The rows of each process: all of them, none twice, in nearly equal pieces."""
    # BEGIN SOLUTION
    least, longer = divmod(rows, world)
    pieces, begin = [], 0
    for rank in range(world):
        end = begin + least + (1 if rank < longer else 0)
        pieces.append(list(range(begin, end)))
        begin = end
    return pieces
    # END SOLUTION

# %% tags=["check"]
lab.check("14.4", split_rows)

# %% [markdown]
# `lab.hint("14.4")` helps. (Chapter 10 showed that Accelerate deals the first rows out once more, rather than leave a
# process without work.)

# %% [markdown]
# ## 14.5 Three ways to cut a model
# <!-- T222 -->
# When the model itself doesn't fit, it has to be cut. You can cut **each layer** (tensor parallel), cut **between
# layers** (pipeline parallel), or leave the computation as it is and cut only **what is stored** (ZeRO). Here are all
# three, each in one function. You start them together, since each launch costs seconds.
#
# **Tensor parallel.** A feed-forward block is two products with a ReLU between them. Give each process half of the
# first matrix's outputs, and the half of the second matrix that belongs to these. Then each process computes a part of
# the sum that the second product is, and one all-reduce adds the parts up. Many tutorials say that the processes are
# synchronised at the end of the step. Here are two blocks, one after the other, both ways. Before you run it: why could
# the second way be wrong?

# %% tags=["long"] why="the cut layers, and the two places to synchronise them"
def tensor_parallel(rank: int, world: int) -> dict:
    """Two feed-forward blocks, cut over the processes: how far the result is from that of the whole blocks."""
    torch.manual_seed(0)
    x = torch.randn(5, 8)
    blocks = [(torch.randn(16, 8) / 3, torch.randn(8, 16) / 4) for _ in range(2)]  # [out, in], as in nn.Linear
    cut = [(one.chunk(world, dim=0)[rank], two.chunk(world, dim=1)[rank]) for one, two in blocks]

    def run(pairs, inside: bool, end: bool):
        y = x
        for first, second in pairs:
            y = (y @ first.T).relu() @ second.T
            if inside:
                dist.all_reduce(y)
        if end:
            dist.all_reduce(y)
        return y

    whole = run(blocks, inside=False, end=False)
    held = sum(part.numel() for pair in cut for part in pair) / sum(part.numel() for pair in blocks for part in pair)
    right, wrong = run(cut, inside=True, end=False), run(cut, inside=False, end=True)
    off = {"inside": (right - whole).abs().max().item(), "at the end": (wrong - whole).abs().max().item()}
    return {"held": held, **off}

# %% [markdown]
# **Pipeline parallel.** The first process has the first half of the layers, the second the other half. The second can't
# begin before the first has something for it. So the batch goes in **micro-batches**: while the second process works on
# number 0, the first does number 1. Afterwards the gradients go the other way. Each piece of work is drawn out with a
# short sleep in proportion to its size (the backward pass takes twice as long), so that the picture doesn't depend on
# how busy your cores are. Before you run it: with how many micro-batches will the whole be fastest?

# %% tags=["long"] why="both directions of a pipeline, as each of its stages runs them"
def pipeline(rank: int, world: int) -> dict:
    """One batch through two stages in 1, 2, 4 and 8 micro-batches: when each stage worked, and its gradients."""
    torch.manual_seed(0)
    stage = [nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(8, 1)][rank]
    x, y = torch.randn(16, 6), torch.randn(16, 1)

    def batch(pieces: int) -> dict:
        stage.zero_grad()
        dist.barrier()
        log, kept, begin = [], [], time.time()

        def work(kind, piece, seconds):
            start = time.time()
            time.sleep(seconds / pieces)
            log.append([kind, piece, start - begin, time.time() - begin])

        for number, rows in enumerate(x.chunk(pieces)):
            given = rows if rank == 0 else torch.empty(len(rows), 8, requires_grad=True)
            if rank == 1:
                dist.recv(given.data, src=0)
            kept.append((given, stage(given)))
            work("forward", number, 0.2)
            if rank == 0:
                dist.send(kept[-1][1].detach(), dst=1)
        for number, (given, result) in enumerate(kept):
            if rank == 0:
                incoming = torch.empty_like(result)
                dist.recv(incoming, src=1)
                result.backward(incoming)
            else:
                (nn.functional.mse_loss(result, y.chunk(pieces)[number], reduction="sum") / len(x)).backward()
            work("backward", number, 0.4)
            if rank == 1:
                dist.send(given.grad, dst=0)
        return {"log": log, "gradients": torch.cat([one.grad.flatten() for one in stage.parameters()]).tolist()}

    return {pieces: batch(pieces) for pieces in (1, 1, 2, 4, 8)}  # the first one warms up

# %% [markdown]
# **ZeRO.** Each process works on its own rows with the whole model, as in data parallel training. But it *stores* only
# its share of each layer. Just before a layer is needed, the processes **gather** it from all shares; right after it
# is used, they drop it again. In the backward pass the same, and each keeps only its share of the summed gradient.
# Before you run it: how many numbers does a process hold before, during and after?

# %% tags=["long"] why="gather, use, drop: the whole idea of ZeRO in one loop"
def zero(rank: int, world: int) -> dict:
    """One step with four layers whose weights lie in shares: how many weights are held when, and the new weights."""
    torch.manual_seed(0)
    layers = [torch.randn(64, 64) / 8 for _ in range(4)]
    rows, wanted = torch.randn(8, 64), torch.randn(8, 64)
    shares = [one.chunk(world)[rank].clone() for one in layers]
    del layers  # from here on no process has a whole layer
    gathered, held = {}, []

    def look():
        held.append(sum(one.numel() for one in [*shares, *gathered.values()]))

    def gather(number):
        parts = [torch.empty_like(shares[number]) for _ in range(world)]
        dist.all_gather(parts, shares[number])
        gathered[number] = torch.cat(parts)
        look()
        return gathered[number]

    def drop(number):
        del gathered[number]
        look()

    look()
    inputs, outputs = [rows.chunk(world)[rank]], []
    for number in range(4):
        outputs.append((inputs[-1] @ gather(number).T).tanh())
        inputs.append(outputs[-1])
        drop(number)
    upstream = 2 * (outputs[-1] - wanted.chunk(world)[rank]) / wanted.numel()  # the gradient of the mean squared error
    optimizer = torch.optim.AdamW(shares, lr=0.01)  # moments for a share only
    for number in reversed(range(4)):
        inner = upstream * (1 - outputs[number] ** 2)
        upstream = inner @ gather(number)
        drop(number)
        gradient = inner.T @ inputs[number]
        shares[number].grad = torch.empty_like(shares[number])
        dist.reduce_scatter(shares[number].grad, list(gradient.chunk(world)))  # sum over the processes; keep my share
    optimizer.step()
    moments = sum(state["exp_avg"].numel() + state["exp_avg_sq"].numel() for state in optimizer.state.values())
    return {"held": held, "moments": moments, "weights": torch.stack(shares).tolist()}

# %%
import torch.distributed as dist  # what the functions call; this process itself takes part in nothing

ranks = launch(TORCHRUN, tensor_parallel, pipeline, zero)
left = [one.name() for one in psutil.Process().children(recursive=True) if "experiments.py" in one.cmdline()]
assert left == []  # nothing was left behind
len(ranks)

# %% [markdown]
# ## 14.6 Cutting each layer
# What came out of the tensor parallel blocks?

# %%
pd.DataFrame({f"rank {rank}": one["tensor_parallel"] for rank, one in enumerate(ranks)}).map("{:.2g}".format)

# %% [markdown]
# Each process held half of the weights. With an all-reduce **inside each block** both have the right result. With one
# at the end it is wrong: the second block's ReLU saw a part of a sum, and the ReLU of a sum is not the sum of ReLUs. So
# tensor parallel training talks in each block (in the backward pass, too), and the next block waits for it. That takes
# fast connections: it is used inside one machine.
#
# ### Exercise 14.5
# Write `partial_outputs(x, first, second, world)`: what each process computes **before** the all-reduce. `x` is
# `[rows, in]`, `first` is `[inner, in]`, `second` is `[out, inner]` (as in `nn.Linear`), and `inner` can be divided by
# `world`. Process `r` takes the `r`-th run of inner units. Between the two products stands a GELU
# (`torch.nn.functional.gelu`). Return a list of `world` tensors `[rows, out]`; their sum is the whole block's output.

# %% tags=["exercise"]
def partial_outputs(x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, world: int) -> list[torch.Tensor]:
    """Each process's part of `gelu(x @ first.T) @ second.T`."""
    # BEGIN SOLUTION
    parts = []
    for mine, yours in zip(first.chunk(world, dim=0), second.chunk(world, dim=1)):
        inner = torch.nn.functional.gelu(x @ mine.T)
        parts.append(inner @ yours.T)
    return parts
    # END SOLUTION

# %% tags=["check"]
lab.check("14.5", partial_outputs)

# %% [markdown]
# `lab.hint("14.5")` helps.

# %% [markdown]
# ## 14.7 Cutting between layers
# The pipeline's times, for one micro-batch and for four. Blue is forward, orange is backward; the numbers are the
# micro-batches. When does a stage have nothing to do?

# %%
def draw_pipeline(axes, pieces: int) -> float:
    """A bar for each piece of work; returns the share of time in which a stage had nothing to do."""
    logs = [one["pipeline"][str(pieces)]["log"] for one in ranks]
    for stage, log in enumerate(logs):
        for kind, piece, begin, end in log:
            axes.barh(stage, end - begin, left=begin, color={"forward": "#0072B2"}.get(kind, "#E69F00"), edgecolor="w")
            axes.text((begin + end) / 2, stage, piece, ha="center", va="center", color="white", fontsize=8)
    whole = max(log[-1][3] for log in logs) - min(log[0][2] for log in logs)
    idle = 1 - sum(end - begin for log in logs for _, _, begin, end in log) / (len(logs) * whole)
    axes.set(yticks=[0, 1], yticklabels=["stage 0", "stage 1"], title=f"{pieces} micro-batch(es): {idle:.0%} idle")
    axes.invert_yaxis()
    return idle

# %%
figure, both = plt.subplots(2, 1, figsize=(7.2, 3.2), sharex=True, layout="constrained")
bubbles = [draw_pipeline(axes, pieces) for axes, pieces in zip(both, (1, 4))]
both[1].set_xlabel("seconds");

# %% [markdown]
# White is the **bubble**: the second stage waits for the first piece of work, the first stage for the first gradient.
# With one micro-batch a stage idles half of the time: a pipeline without micro-batches is no faster than one device.
# Smaller pieces make the bubble smaller. For *p* stages and *m* micro-batches its share is (p − 1) / (m + p − 1):

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 1.2))
idle = {pieces: draw_pipeline(one, pieces) for one, pieces in zip(axes, (1, 2, 4, 8))}
plt.close(figure)  # only the numbers are wanted
formula = {pieces: (2 - 1) / (pieces + 2 - 1) for pieces in idle}
pd.DataFrame({"measured, %": idle, "formula, %": formula}).rename_axis("micro-batches").mul(100).round(0)

# %% [markdown]
# Where the measured bubble is larger, sending and computing took their time, too (on a busy machine it may be much
# larger). And the gradients of the two stages are those of the whole model, with any of these numbers of micro-batches:

# %%
for pieces in ("1", "2", "4", "8"):
    row = torch.tensor(ranks[0]["pipeline"][pieces]["gradients"] + ranks[1]["pipeline"][pieces]["gradients"])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(8, 1))
    x, y = torch.randn(16, 6), torch.randn(16, 1)
    nn.functional.mse_loss(model(x), y).backward()
    torch.testing.assert_close(row, gradients(model), atol=1e-5, rtol=1e-4)

# %% [markdown]
# A stage sends the output of its last layer, and nothing from inside its layers. So pipelines are also used over slower
# connections, between machines.
#
# ### Exercise 14.6
# Write `timetable(stages, pieces)`: the forward half of a pipeline, in time slots that all have the same length. Return
# a list with a row for each stage; a row has an entry for each time slot, the micro-batch that the stage works on or
# `None`. Each stage takes the micro-batches in order, as soon as the stage before has finished with them; the table
# ends when the last stage has done its last one. For example, `timetable(2, 3)` gives
# `[[0, 1, 2, None], [None, 0, 1, 2]]`.

# %% tags=["exercise"]
def timetable(stages: int, pieces: int) -> list[list[int | None]]:
    """For each stage: which micro-batch it works on in each time slot."""
    # BEGIN SOLUTION
    slots = pieces + stages - 1
    rows = []
    for stage in range(stages):
        row = [None] * slots
        row[stage : stage + pieces] = range(pieces)
        rows.append(row)
    return rows
    # END SOLUTION

# %% tags=["check"]
lab.check("14.6", timetable)

# %% [markdown]
# `lab.hint("14.6")` helps.

# %% [markdown]
# ## 14.8 Cutting what is stored
# And ZeRO: how many weights did a process hold at each moment?

# %%
held = ranks[0]["zero"]["held"]
whole = 4 * 64 * 64
figure, axes = plt.subplots(figsize=(7.2, 2.6))
axes.step(range(len(held)), held, where="post", color="#0072B2")
axes.axhline(whole, color="#D55E00", linestyle=":")
axes.text(len(held) - 1, whole, "the whole model", ha="right", va="bottom", color="#D55E00")
axes.set(xlabel="moments of one step: gather, drop, gather, drop …", ylabel="weights held", ylim=(0, 1.2 * whole))
axes.set_title(f"At rest {held[0] / whole:.0%} of the model, at most {max(held) / whole:.0%}");

# %% [markdown]
# At rest it is the process's own half. Each of the eight peaks is one layer, gathered: four forward, four backward. The
# more layers, the smaller a peak beside the whole. And the step is the right one: the shares put together are what
# AdamW makes of the whole model with all the rows.

# %%
torch.manual_seed(0)
layers = [(torch.randn(64, 64) / 8).requires_grad_() for _ in range(4)]
rows, wanted = torch.randn(8, 64), torch.randn(8, 64)
y = rows
for one in layers:
    y = (y @ one.T).tanh()
nn.functional.mse_loss(y, wanted).backward()
torch.optim.AdamW(layers, lr=0.01).step()
shares = [torch.tensor(one["zero"]["weights"]) for one in ranks]  # each [layers, rows of a share, 64]
torch.testing.assert_close(torch.cat(shares, dim=1), torch.stack(layers).detach(), atol=1e-4, rtol=1e-4)
print(f"moments in one process: {ranks[0]['zero']['moments']:,} of {2 * whole:,}")

# %% [markdown]
# That was **stage 3**. ZeRO has three: stage 1 cuts the optimizer's moments only, stage 2 the gradients as well, stage
# 3 the parameters, too. Unlike tensor parallel training it sends *weights* and gradients, not activations, and the
# model's code stays as it is. **FSDP** in PyTorch (once called "sharded DDP") is the same idea. And **offload** is one
# step further: what a process holds at rest lies in the CPU's memory (or on a disk), and goes to the GPU only when it
# is needed.
#
# ### Exercise 14.7
# Write `zero_bytes(parameters, world, stage)`: the bytes that **one** of `world` processes holds at rest, in float32
# with Adam: parameters, gradients and two moments, each cut into `world` equal shares from its stage on. `stage` is 0
# (plain data parallel), 1, 2 or 3; `parameters` can be divided by `world`. For example, 100 parameters in 2 processes
# with stage 1 are 400 + 400 + 400 = `1200` bytes.

# %% tags=["exercise"]
def zero_bytes(parameters: int, world: int, stage: int) -> int:
    """Bytes of one process at rest, with a stage of ZeRO."""
    # BEGIN SOLUTION
    share = parameters // world
    weights = share if stage >= 3 else parameters
    gradient = share if stage >= 2 else parameters
    moments = 2 * (share if stage >= 1 else parameters)
    return 4 * (weights + gradient + moments)
    # END SOLUTION

# %% tags=["check"]
lab.check("14.7", zero_bytes)

# %% [markdown]
# `lab.hint("14.7")` helps.

# %% [markdown]
# ## 14.9 DeepSpeed and FSDP, by configuration
# <!-- T226 -->
# For a real model you don't write ZeRO by hand. **DeepSpeed** (a package of its own, for PyTorch, made for GPUs) and
# **FSDP** (a part of PyTorch) do it, and Accelerate and the `Trainer` hand your configuration on. DeepSpeed is not
# installed here. A configuration for each stage can be built all the same. Before you run this: how will stage 2 differ
# from 3?

# %%
from accelerate.utils import DeepSpeedPlugin

plans = {stage: DeepSpeedPlugin(zero_stage=stage).deepspeed_config for stage in range(4)}
print(json.dumps(plans[2], indent=1))
[{key for key in plans[2] if plans[2][key] != plans[stage][key]} for stage in range(4)]

# %% [markdown]
# Only in `zero_optimization`. Where it says `"auto"`, Accelerate or the `Trainer` fills in what your training says. The
# moments go to the CPU's memory with one more argument. Before you run this: is the plugin a good place to find a typo?

# %%
offloaded = DeepSpeedPlugin(zero_stage=3, offload_optimizer_device="cpu").deepspeed_config["zero_optimization"]
with lab.expect_error(ValueError):
    DeepSpeedPlugin(hf_ds_config={"zero_optimisation": {"stage": 2}})
impossible = DeepSpeedPlugin(zero_stage=7).deepspeed_config["zero_optimization"]["stage"]
offloaded["offload_optimizer"], impossible

# %% [markdown]
# A missing part is noticed. A stage that isn't there is not: the plugin hands it on, and at best DeepSpeed complains on
# the day of the training. So check such a file yourself, before you rent GPUs. (DeepSpeed has more options than the
# plugin writes, `overlap_comm` for one. This check asks about each that it doesn't know.)

# %% tags=["long"] why="every rule of the dry run beside the others"
def complaints(config: dict) -> list[str]:
    """What is wrong with a DeepSpeed configuration, in sentences; an empty list if nothing was found."""
    found = []
    known = {"stage", "offload_optimizer", "offload_param", "stage3_gather_16bit_weights_on_model_save"}
    zero = config.get("zero_optimization", {})
    stage = zero.get("stage")
    if stage not in (0, 1, 2, 3):
        found.append(f"zero_optimization.stage is {stage!r}: it is 0, 1, 2 or 3")
    found += [f"zero_optimization.{key} is none that the plugin writes: a typo?" for key in zero.keys() - known]
    offload = {part: (zero.get(f"offload_{part}") or {}).get("device", "none") for part in ("optimizer", "param")}
    if offload["param"] != "none" and stage != 3:
        found.append("offload_param needs stage 3: before that no process gathers parameters")
    for part, device in offload.items():
        if device not in ("none", "cpu", "nvme"):
            found.append(f"offload_{part}.device is {device!r}: it is none, cpu or nvme")
    if config.get("fp16", {}).get("enabled") is True and config.get("bf16", {}).get("enabled") is True:
        found.append("fp16 and bf16 are both enabled: choose one")
    return found

# %%
assert not any(complaints(plan) for plan in plans.values())
odd = {"stage": 2, "offload_param": {"device": "cpu"}, "overlap": True}
complaints({"zero_optimization": odd, "fp16": {"enabled": True}, "bf16": {"enabled": True}})

# %% [markdown]
# To train with it the package must be there. Before you run this: at which moment do you learn that it isn't?

# %%
import importlib.metadata
import importlib.util

if importlib.util.find_spec("deepspeed") is None:
    with lab.expect_error(importlib.metadata.PackageNotFoundError):
        TrainingArguments(**always, deepspeed=plans[2])
    print("What to do: pip install deepspeed on the machine with the GPUs, and start with accelerate launch.")

# %% [markdown]
# At once, when the arguments are made. (Many tutorials add that DeepSpeed works with TensorFlow as well. It is a
# package for PyTorch. Its "autotuning" tries out batch sizes and stages for speed; it knows nothing of your learning
# rate.)
#
# FSDP needs no package. Many tutorials write `fsdp="full_shard"`. Before you run this: what does the library say to it?

# %%
from transformers.utils import logging

logging.set_verbosity_warning()
old = TrainingArguments(**always, fsdp="full_shard")
like_stage_3 = {"reshard_after_forward": True, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}
new = TrainingArguments(**always, fsdp=True, fsdp_config=like_stage_3)
typo = TrainingArguments(**always, fsdp=True, fsdp_config={"reshard_after": False})
pd.DataFrame({"old": old.fsdp_plugin_args, "new": new.fsdp_plugin_args, "typo": typo.fsdp_plugin_args}).fillna("")

# %% [markdown]
# The old way is deprecated (that is the message above the table; it still works here, whatever version the message
# names). `fsdp=True` with `fsdp_config` says the same.
# `reshard_after_forward=True` drops the gathered layer at once, as we did (stage 3); `False` keeps it until the
# backward pass, like stage 2. The classes to wrap say what is gathered together. The last column is the trap:
# `reshard_after` is no option, nobody says so, and the default is used. `fsdp_plugin_args` shows what was understood.

# %% [markdown]
# ## 14.10 What fits where?
# <!-- T220 -->
# Now everything you measured goes into one function: model, strategy, number of GPUs, precision and batch in, gigabytes
# per GPU out. Before you run this: for which of the strategies do the activations shrink, too?

# %%
from dataclasses import replace

PRECISIONS = {  # bytes for each parameter, its gradient, its two moments; and for a kept number
    "float32": (4, 4, 8, 4),
    "autocast": (6, 4, 8, 3),  # the cast copies on top; three quarters of the activations: section 14.3
    "all bfloat16": (2, 2, 4, 2),  # small steps are lost: section 14.3
}
CUT = {"data parallel": "", "ZeRO 1": "m", "ZeRO 2": "mg", "ZeRO 3 = FSDP": "mgp"}
CUT |= {"tensor parallel": "mgpa", "pipeline parallel": "mgpa"}

# %%
def parameters(shape: Shape, tied: bool = True) -> int:
    """How many parameters a Llama-like model of this shape has; `tied`: input and output embeddings are one."""
    attention = 2 * shape.width * (shape.width + shape.key_value)
    a_layer = attention + 3 * shape.width * shape.inner + 2 * shape.width
    return shape.layers * a_layer + shape.width + (1 if tied else 2) * shape.vocabulary * shape.width

assert parameters(LLM) == PARAMETERS

# %% tags=["long"] why="the whole arithmetic of the chapter in one function"
def per_gpu(shape: Shape, strategy: str, gpus: int, precision: str, tokens: int, checkpointing: bool) -> dict:
    """Gigabytes that each GPU holds in a training step with Adam; `tokens` are those that one copy works on at once."""
    sizes, cut, count = PRECISIONS[precision], CUT[strategy], parameters(shape)
    kept = activations(shape)
    if checkpointing:  # the input of each layer, and everything of the one that is computed again
        kept = shape.layers * shape.width + activations(replace(shape, layers=1))
    uncut = 0
    if strategy == "tensor parallel":  # norms and the inputs of layers are whole in each process
        uncut = shape.width * (shape.layers + 9 if checkpointing else 6 * shape.layers + 3)
    numbers = {"parameters": count, "gradients": count, "moments": count, "activations": tokens * (kept - uncut)}
    parts = {}
    for (name, number), size in zip(numbers.items(), sizes):
        parts[name] = number * size / (gpus if name[0] in cut else 1)
    parts["activations"] += tokens * uncut * sizes[3]
    if strategy == "ZeRO 3 = FSDP":  # one layer is whole for a moment: the others' shares come on top
        a_layer = parameters(replace(shape, vocabulary=0)) / shape.layers
        parts["parameters"] += sizes[0] * a_layer * (1 - 1 / gpus)
    return {name: size / 1e9 for name, size in parts.items()} | {"all": sum(parts.values()) / 1e9}

# %% [markdown]
# A strategy cuts the parts whose first letters stand beside it in `CUT`. Does the function know our machine? Section
# 14.1 measured one step with 128 tokens; at its end the activations were gone.

# %%
ours = per_gpu(LLM, "data parallel", 1, "float32", tokens=128, checkpointing=False)
at_end = ours["all"] - ours["activations"]
print(f"function {at_end:.2f} GB, measured {measured / 1e3:.2f} GB: {measured / 1e3 / at_end - 1:+.1%}")

# %% [markdown]
# From the second step on the moments are there from the beginning, so count all four parts. Here is the language model,
# and then one with about 50 times as many parameters. Before you run the second: does it fit on one GPU of 80 GB?

# %%
MODELS = {
    "135M": LLM,
    "1.7B": Shape(layers=24, width=2048, key_value=2048, inner=8192, vocabulary=49_152),
    "6.6B": Shape(layers=32, width=4096, key_value=4096, inner=11_008, vocabulary=32_000),
    "68B": Shape(layers=80, width=8192, key_value=1024, inner=28_672, vocabulary=32_000),
}

def table(model="6.6B", gpus=8, precision="autocast", tokens=4096, checkpointing=False) -> pd.DataFrame:
    """Gigabytes for each strategy; `gpus` share the work."""
    choice = (gpus, precision, tokens, checkpointing)
    return pd.DataFrame({name: per_gpu(MODELS[model], name, *choice) for name in CUT}).T.round(2)

table("135M", gpus=2, precision="float32", tokens=2048)

# %%
table("6.6B", gpus=8, precision="autocast", tokens=4096)

# %% [markdown]
# Data parallel alone needs more than 100 GB on each GPU, however many there are. With ZeRO 3 on eight it fits, and
# then the activations are the larger part. Tensor and pipeline parallel cut these, too. Now all of it in your hands.
# Can you get the model with 68 billion parameters below 24 GB?

# %%
import ipywidgets as widgets

controls = {
    "model": widgets.Dropdown(options=list(MODELS), value="6.6B"),
    "gpus": widgets.SelectionSlider(options=[1, 2, 4, 8, 16, 64, 256], value=8, continuous_update=False),
    "precision": widgets.Dropdown(options=list(PRECISIONS), value="autocast"),
    "tokens": widgets.SelectionSlider(options=[128, 512, 2048, 4096, 16_384], value=4096, continuous_update=False),
    "checkpointing": widgets.Checkbox(False),
}
for name, control in controls.items():
    control.description = name
answer = widgets.interactive_output(lambda **values: print(table(**values).to_string()), controls)
widgets.VBox([*controls.values(), answer])

# %% [markdown]
# (On a static page the controls are blank; the last table above is what they begin with.) From the same function comes
# a table that helps to decide: for each model and each kind of GPU, the first plan that fits, from the simplest on.

# %%
PLANS = [(1, "data parallel", False), (1, "data parallel", True)]
PLANS += [(gpus, name, True) for gpus in (8, 64) for name in ("ZeRO 1", "ZeRO 2", "ZeRO 3 = FSDP")]

def first_plan(model: str, memory: float, tokens: int = 4096) -> str:
    """The first of the plans that needs at most nine tenths of a GPU's memory, in GB."""
    for gpus, name, checkpointing in PLANS:
        if per_gpu(MODELS[model], name, gpus, "autocast", tokens, checkpointing)["all"] <= 0.9 * memory:
            alone = "one GPU" if gpus == 1 else f"{gpus} GPUs, {name}"
            return alone + (", checkpointing" if checkpointing else "")
    return "offload, LoRA, or more GPUs"

pd.DataFrame({f"{memory} GB": {model: first_plan(model, memory) for model in MODELS} for memory in (12, 24, 80)})

# %% [markdown]
# Read it as a rule. Does it fit on one GPU? Then take more GPUs only for speed, with plain data parallel. Does it fit
# with checkpointing? Pay the time. Otherwise cut what is stored, moments first. When a single layer or one text's
# activations don't fit, the layers themselves must be cut: tensor parallel, inside a machine. Between machines a
# pipeline asks less of the connection.
# (The function leaves out buffers and fragments of memory; nine tenths leave room for them.)
#
# For *using* a large model, not training it, there is a simpler cut: Accelerate places whole layers on whatever devices
# there are, and the batch walks through them, one device at a time. What fits nowhere else is offloaded to the disk.
# Pretend that the CPU has room for 50 MB only:

# %%
from accelerate import infer_auto_device_map

places = infer_auto_device_map(deep, max_memory={"cpu": "50MB"}, no_split_module_classes=["LlamaDecoderLayer"])
pd.Series(places, name="device").to_frame()

# %% [markdown]
# `from_pretrained(…, device_map="auto")` does this while loading. It is no faster than one GPU with enough memory: the
# others wait, as in a pipeline with one micro-batch.

# %% [markdown]
# ## 14.11 LoRA: train a hundredth
# Gradients and moments are three quarters of the bill without activations, and only what is trained has them. **LoRA**
# trains little: the weights stay as they are, and next to each chosen matrix `W` two narrow ones learn:
# `W x + (alpha / r) B A x`. `A` has `r` rows, `B` has `r` columns, with `r` = 8, say. You have met adapters all through
# the course; now train one.
#
# The task: read a sentence, and answer with a person's name and a city, in exactly this form: `{"name": "Belmo",
# "city": "Drundale"}`. The names are put together from syllables, so that there is little to know by heart. Those in
# the test are none of the training's.

# %%
import random
import warnings

draw = random.Random(0)
people = "Bel Dor Fen Gal Hul Jar Kel Lom Mir Nav Ost Pel".split()
names = [one + two for one in people for two in "osk mo wen eth urn".split()]
towns = "Brim Clov Drun Vesk Garn Holt Isp Krev Lund Morv Nesp Orl".split()
cities = [one + two for one in towns for two in "dale burg haven stead mere".split()]
draw.shuffle(names)
draw.shuffle(cities)

# %%
forms = ["{} lives in {}.", "My friend {} has moved to {}.", "{} works as a baker in {}.", "You may visit {} in {}."]

def examples(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A sentence for each name and city, with its answer."""
    return [(draw.choice(forms).format(*pair), json.dumps({"name": pair[0], "city": pair[1]})) for pair in pairs]

# %%
STEPS, ROWS = 6, 5
mixed = [(draw.choice(names[:48]), draw.choice(cities[:48])) for _ in range(STEPS * ROWS)]
learning, test = examples(mixed), examples(list(zip(names[48:56], cities[48:56])))
assert not {name for name in names[48:] for sentence, _ in learning if name in sentence}
learning[:3]

# %% [markdown]
# First without training: the instruction is in the prompt. Before you run this: how many of eight answers will be
# exactly right, to the last blank? And how many will hold the right name and the right city, in any form?

# %%
from transformers import AutoModelForCausalLM, AutoTokenizer

llm, device = lab.checkpoint("llm"), lab.device()
tokenizer = AutoTokenizer.from_pretrained(llm, revision=llm.revision, padding_side="left")
base = AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision, dtype=torch.float32).to(device).eval()

def prompt(sentence: str) -> str:
    messages = [{"role": "system", "content": "Give the name and the city as JSON."}]
    messages.append({"role": "user", "content": sentence})
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

# %%
def answers(model) -> list[str]:
    """What the model answers to the sentences of the test; the most likely token each time."""
    batch = tokenizer([prompt(sentence) for sentence, _ in test], return_tensors="pt", padding=True).to(device)
    ids = model.generate(**batch, max_new_tokens=24, do_sample=False)
    return tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)

def rates(told: list[str]) -> dict[str, int]:
    """Exact answers, and answers with both words in them, of eight."""
    both = [all(word in one for word in json.loads(right).values()) for one, (_, right) in zip(told, test)]
    return {"exact": sum(one == right for one, (_, right) in zip(told, test)), "both words": sum(both)}

untrained = answers(base)
for one, (_, right) in list(zip(untrained, test))[:3]:
    print(repr(one), "for", right)

# %% [markdown]
# The model knows what JSON is, but the form is its own: line breaks, blanks, words around it. Now the adapter: rank 8,
# in the last ten of 30 layers (fewer layers to train is less to compute). Before you run this: what share of the
# parameters will be trained?

# %%
from peft import LoraConfig, get_peft_model

warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # peft uses a name that will go
base = adapted.unload() if hasattr(base, "peft_config") else base  # a second run begins anew
torch.manual_seed(0)
matrices = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
last_ten = list(range(20, 30))
plan = LoraConfig(r=8, lora_alpha=16, target_modules=matrices, layers_to_transform=last_ten, task_type="CAUSAL_LM")
adapted = get_peft_model(base, plan)
trained_numbers = [one for one in adapted.parameters() if one.requires_grad]
count = sum(one.numel() for one in trained_numbers)
print(f"trained: {count / PARAMETERS:.2%} of the model")

# %%
bill = {name: {"gradients and moments, MB": 4 * 3 * number / 1e6, "trained": number}
        for name, number in {"full fine-tuning": PARAMETERS, "LoRA": count}.items()}
pd.DataFrame(list(bill.values()), index=list(bill)).round(1)

# %% [markdown]
# Gradients and moments fall from gigabytes to a few megabytes. (The parameters are still all there, and so are the
# activations of the trained layers.) Six steps of five sentences. The loss counts the answer only, so the model's
# head works on the last tokens only: `logits_to_keep`.

# %%
def batch_of(pairs: list[tuple[str, str]]):
    """Prompts with answers, padded on the left; the answers' tokens alone, with -100 where there is none."""
    right = [answer + tokenizer.eos_token for _, answer in pairs]
    texts = [prompt(sentence) + answer for (sentence, _), answer in zip(pairs, right)]
    batch = tokenizer(texts, return_tensors="pt", padding=True).to(device)
    wanted = tokenizer(right, return_tensors="pt", padding=True).to(device)
    return batch, wanted["input_ids"].masked_fill(wanted["attention_mask"] == 0, -100)

# %%
from tqdm.auto import tqdm

optimizer = torch.optim.AdamW(trained_numbers, lr=4e-3)
schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / STEPS, total_iters=STEPS - 1)
adapted.train()
losses, begin = [], time.perf_counter()
for first in tqdm(range(0, len(learning), ROWS), desc="steps", disable=False):
    batch, wanted = batch_of(learning[first : first + ROWS])
    logits = adapted(**batch, logits_to_keep=wanted.shape[1] + 1).logits[:, :-1]  # each token predicts the next
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
    loss.backward()
    optimizer.step(), schedule.step(), optimizer.zero_grad()
    losses.append(loss.item())

# %%
print("losses:", *(f"{loss:.2f}" for loss in losses), f"in {time.perf_counter() - begin:.0f} s on {device}")
adapted.eval()
after = answers(adapted)
for one, (_, right) in list(zip(after, test))[:3]:
    print(one, "for", right)
pd.DataFrame({"before, of 8": rates(untrained), "after, of 8": rates(after)})

# %% [markdown]
# The form is learned from 30 sentences, and the names were never seen before: what the model learned is to copy them
# into the form. (Where an answer is wrong, look: the form is mostly right and a word is not.) The prompt before could
# have been better, with an example in it, say; try it.
#
# What do you have to keep? Before you run this: the base model takes 538 MB in float32. How large is the adapter's
# file?

# %%
store = Path(folder.name, "adapter")
adapted.save_pretrained(store)
for file in sorted(store.iterdir()):
    print(f"{file.name:28} {file.stat().st_size / 1e6:6.2f} MB")

# %% [markdown]
# A few megabytes, for each task one. (`README.md` is an empty card to be filled in.) While you use it, the two narrow
# matrices are two more products for each matrix. They can be **merged**: `W + (alpha / r) B A` is one matrix again. And
# taken out again. Before you run this: will the logits be equal, to the last bit?

# %%
batch, _ = batch_of(test[:1])
with torch.inference_mode():
    beside = adapted(**batch).logits
    adapted.merge_adapter()
    merged_in = adapted(**batch).logits
    adapted.unmerge_adapter()
    out_again = adapted(**batch).logits
    with adapted.disable_adapter():
        without = adapted(**batch).logits
scale = (beside - without).abs().max()
print(*(f"{(one - beside).abs().max() / scale:.0e}" for one in (merged_in, out_again)), "of what the adapter changes")

# %% [markdown]
# Equal up to rounding: adding and subtracting leaves the last bits different. `merge_and_unload()` returns a plain
# model with the adapter in its weights.
#
# ### Exercise 14.8
# Write `merge(weight, a, b, alpha)`: the merged weight of a linear layer. `weight` is `[out, in]`, `a` is `[r, in]`,
# `b` is `[out, r]`. The adapter's part is scaled by `alpha / r`. The given tensors stay as they are. For example, with
# `r = 1`, `alpha = 2`, a weight of zeros `[2, 2]`, `a = [[1., 0.]]` and `b = [[0.], [3.]]` the result is
# `[[0., 0.], [6., 0.]]`.

# %% tags=["exercise"]
def merge(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, alpha: float) -> torch.Tensor:
    """The weight with the adapter's part in it."""
    # BEGIN SOLUTION
    rank = a.shape[0]
    return weight + (alpha / rank) * (b @ a)
    # END SOLUTION

# %% tags=["check"]
lab.check("14.8", merge)

# %% [markdown]
# `lab.hint("14.8")` helps.

# %% [markdown]
# ## 14.12 On a GPU
# <!-- T227 -->
# What does mixed precision gain in speed? That is a question for a GPU: this cell measures it where there is one. (A
# GPU works on while Python goes on: without `synchronize` you would measure how fast Python hands out work.)

# %% tags=["long"] why="a GPU must be waited for, before and after: one function"
def speed(dtype: torch.dtype | None) -> dict[str, float]:
    """Tokens per second of training on the GPU, and the largest memory that was in use."""
    model, ids = build(layers=8, vocabulary=2000).cuda().train(), torch.randint(0, 2000, (16, 256)).cuda()
    torch.cuda.reset_peak_memory_stats()
    for step in range(13):
        if step == 3:  # the first three warm up
            torch.cuda.synchronize()
            begin = time.perf_counter()
        with torch.autocast("cuda", dtype=dtype, enabled=dtype is not None):
            model(input_ids=ids, labels=ids).loss.backward()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - begin) / 10
    return {"tokens per second": ids.numel() / seconds, "peak, MB": torch.cuda.max_memory_allocated() / 1e6}

# %%
if torch.cuda.is_available():
    print(pd.DataFrame({str(dtype): speed(dtype) for dtype in (None, torch.float16, torch.bfloat16)}).T.round(0))
else:
    print(f"No CUDA GPU here ({device} is used), so there is no speed of half precision to measure. All else ran.")

# %% [markdown]
# The experiments with two processes ran on the CPU, GPU or not. On a machine with two GPUs you leave `cpu=True` out,
# and start `torchrun --nproc_per_node=2`: each process's `Accelerator` takes a GPU of its own. What `prepare` doesn't
# place, you move there with `.to(accelerator.device)`.

# %% [markdown]
# ## What changed since the notes
# The notes are five study documents, mostly Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | mixed precision stores parameters and gradients in FP16 | they are float32; operations are cast | small steps and small gradients would be lost |
# | Accelerate sets up mixed precision by itself | `mixed_precision="no"` is the default; ask, and look | `"fp16"` on a CPU does nothing, silently |
# | Accelerate chooses the optimizer, `tf.optimizers.AdamW` among them | it wraps yours, and yours is PyTorch's | TensorFlow left the library |
# | gradient checkpointing: `gradient_checkpointing_enable()` | `activation_checkpointing_enable()` | the old name goes in version 6 |
# | Accelerate adapts the batch size | `find_executable_batch_size`, `auto_find_batch_size=True` | only if you ask, and by trial |
# | `accelerator.prepare(…, device="cuda")` | `accelerator.device` | the device is chosen when the first `Accelerator` is made |
# | tensor parallel: synchronised at the end of the step | an all-reduce in each block | a ReLU of a part is not a part of a ReLU |
# | Sharded DDP | `fsdp=True`, `fsdp_config={…}` | today's name is FSDP; `fsdp="full_shard"` is deprecated |
# | DeepSpeed supports TensorFlow | it is for PyTorch | |
# | TPUs and several machines are supported | flags of `accelerate launch` | the code stays the same |

# %%
import transformers
from accelerate.commands.launch import launch_command_parser

# %%
assert layer.weight.dtype == torch.float32
assert computed_in()["it says"] == "no"
prepared = Accelerator().prepare(torch.optim.SGD([torch.ones(1, requires_grad=True)]))
assert isinstance(prepared.optimizer, torch.optim.SGD) and not hasattr(transformers, "TFAutoModel")
assert TrainingArguments(**always, activation_checkpointing=True).activation_checkpointing
assert deep.is_activation_checkpointing
assert find_executable_batch_size(lambda batch_size: batch_size, starting_batch_size=3)() == 3
assert ranks[0]["tensor_parallel"]["inside"] < 1e-4 < ranks[0]["tensor_parallel"]["at the end"]
assert new.fsdp is True and new.fsdp_plugin_args["reshard_after_forward"]
flags = {flag for action in launch_command_parser()._actions for flag in action.option_strings}
{"--tpu", "--num_machines", "--use_deepspeed", "--use_fsdp"} <= flags, Accelerator().device

# %% [markdown]
# ## Quiz

# %%
lab.quiz("14")

# %% [markdown]
# ## Recap
# - A step holds parameters, gradients, two moments for each parameter, and activations for each token. Without the
#   activations the sum came out close to what the process held at the end of the step.
# - Accumulation and checkpointing shrink the activations and leave the gradients as they are, if you divide by the
#   number of tokens.
# - Mixed precision casts operations; parameters, gradients and moments stay float32. float16 needs a loss scale, and
#   what you asked for is not always what you get.
# - Data parallel copies, tensor parallel cuts layers, pipelines cut between them, ZeRO cuts what is stored: you ran all
#   four, with equal outputs, gradients or weights.
# - A configuration is worth a dry run: typos and impossible stages can pass without a word. One function of model, GPUs
#   and strategy tells which plan fits.
# - LoRA trained less than a hundredth of the model in a few steps, kept in a file of a few megabytes.
#
# Next: chapter 15, Fast inference, is about the other half of a model's life: using it.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - Mixed precision can be taken to halve the memory. It casts operations, and with few tokens it keeps more (14.3).
# - Data parallel can be taken to save memory; each process has all of it (14.4).
# - What was asked for can be taken for what runs: `fp16` on a CPU (14.3), one process instead of two (14.4), a misspelt
#   option of FSDP (14.9).
# - The mean of two means can be taken for the mean (14.2).
#
# **To discuss:**
#
# - *The 6.6B model and eight GPUs: what do you try first?* Lean on 14.10: the second table, then the table of first
#   plans. A good answer takes the simplest plan that fits, names its price, and says what the function leaves out.
# - *Where would you cut, and what has to be sent for it?* Lean on 14.6 (the right and the wrong place), 14.7 (the
#   bubble), 14.8 (the peaks). A good answer says how often each way talks, and over which connection it can live.
# - *What did the adapter learn in six steps?* Lean on 14.11: answers and the two rates, before and after. A good answer
#   says that it is the form, on names never seen, that eight answers are few, and that a better prompt is the rival.
# - *You rent GPUs tomorrow. What do you print first?* Lean on the silent traps of 14.3, `who` in 14.4,
#   `fsdp_plugin_args` in 14.9. A good answer prints a dtype of something computed, the number of processes, and what
#   the library understood.
#
# **If time is short.** 14.9 can be left out (*What changed* uses one name of it), and 14.12 where there is no CUDA GPU.
# Of 14.6, 14.7 and 14.8 you can read one or two: all three show what the single launch in 14.5 brought, so that one has
# to run. 15.6 points back to 14.3. Exercise to keep: 14.2.
#
# **In class.** `labs fetch llm`. 14.1 trains one step of it in a process of its own, and predicts 2,152 MB for it: see
# that as much is free on each machine. 14.4 and 14.5 start two processes; on one core they take turns, slower and with
# the same results. 14.11 prints how long its six steps took.
