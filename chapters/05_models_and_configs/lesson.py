# %% [markdown]
# # 05 Models and configs
#
# You take a checkpoint apart: what is in its files, where they come from, how the library makes a model of them, and
# what it fills in when something is missing.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | read a config, change it, and count a model's parameters from it without any weights | 2½ hours | chapters 00 and 04 |
# | save a model, read its file by hand, and load it from a folder, a cache or a mirror | | Python; what a matrix is |
# | draw the cache on disk and say what deleting a revision frees | | |
# | say how `AutoModel` chooses its class, and teach it a class of your own | | |
# | read a loading report: what is new, what is unused, and what to do | | |
# | say what a weights file can do to your computer, and read a file with four bits a weight | | |

# %%
import labs_utils as lab
lab.start("05")

# %% [markdown]
# A model on disk is two things: a **config**, which says what to build, and **weights**, which fill it. This chapter
# writes many of both, so it works in an empty folder of its own, which disappears with the kernel.

# %%
import os
import tempfile
from pathlib import Path

box = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
os.chdir(box.name)  # from here on, "minilm" means a folder in this empty one
os.environ["HF_MODULES_CACHE"] = str(Path(box.name, "modules"))  # where section 5.8's code will be kept

# %%
import pandas as pd
import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
encoder.hub_id

# %% [markdown]
# ## 5.1 What is in a config?
# <!-- T080 T314 -->
# Print a `BertConfig`, and you don't see all of it: the rest is in its parent class. Before you run this: how many of
# BERT's settings do you expect to be its own, and how many inherited?

# %%
config = BertConfig()
config

# %%
from dataclasses import fields
from transformers import PreTrainedConfig

common = {field.name for field in fields(PreTrainedConfig)}
own = {field.name for field in fields(BertConfig)} - common
shown = set(config.to_diff_dict())
print(len(own), "of BERT's own:", ", ".join(sorted(own)), "\n")
print(len(common), "that every config has:", ", ".join(sorted(common)), "\n")
print("not printed above:", ", ".join(sorted(set(config.to_dict()) - shown)))

# %% [markdown]
# What you saw printed is `to_diff_dict()`: all of the class's own settings, the version, and of the inherited ones only
# those that no longer have the value that every config starts with. `to_dict()` is the whole. (A temperature and the
# like are in neither list: the settings for writing text live in `GenerationConfig`.)
#
# A config is data, with some manners. Before you run this: which of these five lines will complain?
#
# 1. `BertConfig(hidden_size="768")`, a string
# 2. `BertConfig(num_layers=3)`, a name that doesn't exist (it is `num_hidden_layers`)
# 3. `BertConfig(hidden_size=770)`, which 12 heads don't divide
# 4. the model of number 3
# 5. `LlamaConfig(hidden_size=770, num_attention_heads=12)`, the misfit of number 3 in another class

# %%
from huggingface_hub.errors import StrictDataclassClassValidationError, StrictDataclassFieldValidationError
from transformers import LlamaConfig

with lab.expect_error(StrictDataclassFieldValidationError):
    BertConfig(hidden_size="768")
typo = BertConfig(num_layers=3)
odd = BertConfig(hidden_size=770)
with lab.expect_error(ValueError):
    BertModel(odd)
with lab.expect_error(StrictDataclassClassValidationError):
    LlamaConfig(hidden_size=770, num_attention_heads=12)
typo.num_layers, typo.num_hidden_layers

# %% [markdown]
# A wrong type is caught at once. Whether the sizes fit together is another matter: Llama's config asks, BERT's leaves
# it to the model. The dangerous one is number 2: an unknown name is **kept without a word**, because a custom model may
# need it. You asked for 3 layers and get 12. The same happens to settings that have gone: our encoder's config still
# has a `position_embedding_type`, which today's BERT stores and no longer reads.
#
# Some settings are sizes. Others change no shape, and two of those are easily overlooked. Before you run this: what do
# `initializer_range` and `classifier_dropout` change in a model that was just built?

# %%
from transformers import BertForSequenceClassification

little = {"vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
little |= {"num_attention_heads": 2}
for spread in (0.02, 0.5):
    model = BertModel(BertConfig(**little, initializer_range=spread))
    print(f"initializer_range={spread}: standard deviation", model.embeddings.word_embeddings.weight.std().item())
norm = model.embeddings.LayerNorm  # of the second model
print("a LayerNorm starts with the weight", norm.weight.unique().tolist(), "and the bias", norm.bias.unique().tolist())
for share in (None, 0.4):
    model = BertForSequenceClassification(BertConfig(**little, classifier_dropout=share))
    print(f"classifier_dropout={share}: the head's dropout is", model.dropout.p)

# %% [markdown]
# `initializer_range` is the standard deviation of the random numbers in a new model's matrices; a LayerNorm starts with
# ones and zeros, whatever the range. `classifier_dropout` is the dropout in front of a classifier; `None` means *as in
# the rest of the model*, `hidden_dropout_prob`.
#
# Other classes use other names for the same thing. `attribute_map` translates, in both directions:

# %%
distil = DistilBertConfig(num_hidden_layers=3)
print(DistilBertConfig.attribute_map)
distil.n_layers, distil.num_hidden_layers, distil.hidden_size

# %% [markdown]
# ### Exercise 5.1
# Write `changed(config)`: compare `config.to_dict()` with that of a fresh config of the same class. Return a dict that
# maps each name whose value differs to the pair `(fresh value, your value)`. A name that the fresh config doesn't have
# counts too, whatever its value, with `None` as its fresh value. For example, `changed(BertConfig(hidden_size=384,
# num_layers=3))` gives `{"hidden_size": (768, 384), "num_layers": (None, 3)}`. It would have caught the typo above.

# %% tags=["exercise"]
def changed(config) -> dict:
    """Name → (fresh value, value in `config`), for every value that differs from a fresh config's."""
    # BEGIN SOLUTION
    fresh = type(config)().to_dict()
    mine = config.to_dict()
    differ = [name for name in mine if name not in fresh or fresh[name] != mine[name]]
    return {name: (fresh.get(name), mine[name]) for name in differ}
    # END SOLUTION

# %% tags=["check"]
lab.check("5.1", changed)

# %% [markdown]
# `lab.hint("5.1")` helps.

# %% [markdown]
# ## 5.2 Counting parameters without a model
# <!-- T080 T090 T314 -->
# `bert-base-uncased` is said to have 109,482,240 parameters, and `distilbert-base-uncased` 66,362,880. You need neither
# checkpoint to check that. On the **meta device** a tensor has a shape and no numbers, so a model's weights cost no
# memory. `BertConfig()` and `DistilBertConfig()` describe exactly those two. Before you run this: what share of BERT's
# parameters are embeddings?

# %%
with torch.device("meta"):
    bert, distilbert = BertModel(BertConfig()), DistilBertModel(DistilBertConfig())

counts = {"bert-base": bert.num_parameters(), "distilbert": distilbert.num_parameters()}
assert counts == {"bert-base": 109_482_240, "distilbert": 66_362_880}
counts, bert.embeddings.word_embeddings.weight.device.type

# %%
def blocks(model) -> dict[str, int]:
    """Parameters of each block of an encoder, in order."""
    stack = getattr(model, "encoder", None) or model.transformer
    parts = {"embeddings": model.embeddings}
    parts |= {f"layer {number}": layer for number, layer in enumerate(stack.layer, 1)}
    if getattr(model, "pooler", None):
        parts["pooler"] = model.pooler
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}

table = pd.DataFrame({"bert-base": blocks(bert), "distilbert": blocks(distilbert)}, dtype="Int64")
table = table.reindex(list(blocks(bert)))
assert table.sum().to_dict() == counts
table

# %%
import matplotlib.pyplot as plt

colours = {"embeddings": "#E69F00", "pooler": "#009E73"}
figure, axes = plt.subplots(figsize=(8.6, 2.4))
for name in ("distilbert", "bert-base"):
    left = 0
    for block, size in (table[name].dropna() / 1e6).items():
        axes.barh(name, size, left=left, color=colours.get(block, "#0072B2"), edgecolor="white")
        left += size
axes.text(11.5, 0.5, "embeddings", ha="center", va="center", color="#9C6B00")
axes.text(56, 0.5, "layers of 7.1 million each", ha="center", va="center", color="#0072B2")
axes.text(109.2, 0.5, "pooler", ha="right", va="center", color="#00654A")
axes.set(xlabel="million parameters", title="DistilBERT's layers are as large as BERT's, and half as many");

# %% [markdown]
# Look at the blue boxes: they are equally wide in both rows, six and twelve of them. The orange one, the embeddings, is
# about a fifth of BERT and a good third of DistilBERT. So half the layers is not half the parameters.
#
# Now the formula. Write V for the vocabulary, P for positions, T for types, H for the width, I for the intermediate
# width. A `Linear` from a to b has ab + b parameters, a `LayerNorm` 2H.

# %%
V, P, T = config.vocab_size, config.max_position_embeddings, config.type_vocab_size
H, I, L = config.hidden_size, config.intermediate_size, config.num_hidden_layers

embeddings = (V + P + T) * H + 2 * H
attention = 4 * (H * H + H) + 2 * H  # query, key, value, output; LayerNorm
feed_forward = (H * I + I) + (I * H + H) + 2 * H
pooler = H * H + H
assert embeddings + L * (attention + feed_forward) + pooler == 109_482_240
assert 109_482_240 - 66_362_880 == 6 * (attention + feed_forward) + pooler + T * H
embeddings, attention, feed_forward, pooler

# %% [markdown]
# The second assertion says what DistilBERT lacks: **six layers, the pooler, and the two type embeddings** account for
# the whole difference. It was made by *distillation*: a small student learns to give the same probabilities as its
# teacher BERT, so it learns from the teacher's doubts as well, and starts with every second layer of the teacher's.
# What does the student save? Before you run this: the parameters fall by two fifths. By how much does the work for one
# text fall?

# %%
from torch.utils.flop_counter import FlopCounterMode

work = {}
for name, model in {"bert-base": bert, "distilbert": distilbert}.items():
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model(torch.ones(1, 128, dtype=torch.long))  # a text of 128 tokens, in shapes only
    work[name] = counter.get_total_flops()
pd.DataFrame({"parameters": counts, "operations": work}).assign(share=lambda t: t["operations"] / max(work.values()))

# %% [markdown]
# By half. The counter counts matrix products: the embeddings are looked up and cost none, so nearly all of it is done
# in the layers, and of those there are half as many.
#
# The number of heads isn't in the formula. Before you run this: which field, doubled, makes the model grow most? Which
# changes nothing?

# %%
def size(**changes) -> int:
    """Parameters of a BERT with these changes to the base config."""
    with torch.device("meta"):
        return BertModel(BertConfig(**changes)).num_parameters()

names = ["hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"]
names += ["max_position_embeddings", "num_attention_heads"]
growth = pd.Series({name: size(**{name: 2 * getattr(config, name)}) / size() for name in names})
growth = growth.sort_values()

# %%
figure, axes = plt.subplots(figsize=(7.2, 2.6))
bars = axes.barh(growth.index, growth, color="#0072B2")
axes.bar_label(bars, [f"× {value:.3f}" for value in growth], padding=4)
axes.axvline(1, color="#888888", linewidth=1)
axes.set(xlim=(0, 3), xlabel="parameters, as a multiple of bert-base's")
axes.set_title("Doubling the width costs most, doubling the heads nothing");

# %% [markdown]
# The bars: parameters after doubling one field. Width goes into every matrix, on one side or both. More heads only cut
# the same matrices into narrower slices.
#
# Make a model of your own. The next cell weighs four of them (layers, width, heads, vocabulary), and says what is wrong
# with the last; the sliders below it weigh any other.

# %%
def weigh(layers: int, width: int, heads: int, vocabulary: int) -> str:
    """One sentence on the size of a BERT with these settings."""
    if width % heads:
        return f"A width of {width} can't be divided equally among {heads} heads. Change one of them."
    settings = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width}
    count = size(**settings, num_attention_heads=heads, vocab_size=vocabulary)
    return f"{count:,} parameters: {count / 2**18:,.0f} MiB in float32, {count / 2**19:,.0f} MiB in bfloat16."

for chosen in [(2, 128, 2, 30522), (6, 384, 12, 30522), (12, 768, 12, 30522), (12, 770, 12, 30522)]:
    print(f"{str(chosen):24}", weigh(*chosen))

# %%
import ipywidgets as widgets

sliders = {
    "layers": widgets.IntSlider(6, 1, 48, continuous_update=False),
    "width": widgets.IntSlider(384, 64, 2048, 64, continuous_update=False),
    "heads": widgets.IntSlider(12, 1, 32, continuous_update=False),
    "vocabulary": widgets.IntSlider(30522, 100, 250_000, 1000, continuous_update=False),
}
answer = widgets.interactive_output(lambda **values: print(weigh(**values)), sliders)
for name, slider in sliders.items():
    slider.description = name
widgets.VBox([*sliders.values(), answer])

# %% [markdown]
# (On a static page the sliders don't answer; open the notebook.) The second row is the shape of our encoder.
#
# ### Exercise 5.2
# Write `gpt2_parameters(config)`: the number of parameters of `GPT2Model(config)`, computed from `config.vocab_size`,
# `config.n_positions`, `config.n_embd`, `config.n_layer` and `config.n_inner` (which may be `None`, and then means four
# times `n_embd`), without building the model. The next cell prints every tensor of a small one, so that you can see
# where each number comes from; `Conv1D` is GPT-2's name for a `Linear` with its matrix transposed. For example,
# `GPT2Config()` gives 124,439,808.

# %%
from transformers import GPT2Config, GPT2Model

marks = {"bos_token_id": 0, "eos_token_id": 0}
tiny = GPT2Config(vocab_size=50, n_positions=20, n_embd=8, n_layer=1, n_head=2, **marks)
with torch.device("meta"):
    for name, parameter in GPT2Model(tiny).named_parameters():
        print(f"{name:24} {list(parameter.shape)}")

# %% tags=["exercise"]
def gpt2_parameters(config) -> int:
    """The number of parameters of `GPT2Model(config)`."""
    # BEGIN SOLUTION
    width = config.n_embd
    inner = config.n_inner if config.n_inner is not None else 4 * width
    norm = 2 * width
    self_attention = (width * 3 * width + 3 * width) + (width * width + width)
    mlp = (width * inner + inner) + (inner * width + width)
    layers = config.n_layer * (self_attention + mlp + 2 * norm)
    return (config.vocab_size + config.n_positions) * width + layers + norm
    # END SOLUTION

# %% tags=["check"]
lab.check("5.2", gpt2_parameters)

# %% [markdown]
# `lab.hint("5.2")` helps.

# %% [markdown]
# ## 5.3 From a config, or from a checkpoint?
# <!-- T081 -->
# The same architecture can be made in two ways: `BertModel(config)` fills it with random numbers, `from_pretrained`
# with trained ones. Both run, both give vectors of the right shape. Before you run this: how similar will a random
# model find *"a dog in the garden"* and *"the puppy plays outside"*, compared with a sentence on interest rates?

# %%
sentences = ["a dog in the garden", "the puppy plays outside"]
sentences += ["the bank raised interest rates", "loans become more expensive"]
config = AutoConfig.from_pretrained(encoder, revision=encoder.revision)  # reads config.json, no weights
random_model = AutoModel.from_config(config).eval()
trained = AutoModel.from_pretrained(encoder, revision=encoder.revision)
print(type(config).__name__, "→", type(random_model).__name__, "and", type(trained).__name__)
random_model.num_parameters() == trained.num_parameters()

# %%
batch = tokenizer(sentences, padding=True, return_tensors="pt")

def similarities(model) -> torch.Tensor:
    """Cosine similarity of the sentences' mean vectors, [4, 4]."""
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state  # [4, tokens, width]
    mask = batch["attention_mask"][..., None]
    means = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.cosine_similarity(means[:, None], means[None], dim=-1)

both = {"random weights": similarities(random_model), "trained weights": similarities(trained)}

# %%
figure, panels = plt.subplots(1, 2, figsize=(9.4, 3.1), sharey=True)
for axes, (name, matrix) in zip(panels, both.items()):
    picture = axes.imshow(matrix, vmin=0, vmax=1)
    axes.set_title(name, fontsize=11)
    axes.set_yticks(range(4), sentences)
    axes.set_xticks(range(4), ["dog", "puppy", "bank", "loans"])
    axes.grid(False)
    for (row, column), value in zip([(r, c) for r in range(4) for c in range(4)], matrix.flatten()):
        axes.text(column, row, f"{value:.2f}", ha="center", color="black" if value > 0.5 else "white")
figure.colorbar(picture, label="cosine similarity")
figure.suptitle("Only training makes meaning: two pairs on the right, none on the left", x=0.01, ha="left");

# %% [markdown]
# Look at the two bright squares along the diagonal on the right: animals with animals, money with money. On the left
# any two sentences are much alike, and the small differences don't follow the meaning: the dog is about as near to the
# bank as to the puppy. **A config brings no knowledge.**
#
# Two differences that you don't see in a shape. A model from a config starts in training mode, one from a checkpoint in
# evaluation mode. And `AutoModel` is no class to make objects of; it only chooses one.

# %%
print("training mode, from a config:", AutoModel.from_config(config).training)
print("training mode, from a checkpoint:", trained.training)
with lab.expect_error(OSError):
    AutoModel(config)

# %% [markdown]
# ## 5.4 What `save_pretrained` writes
# <!-- T084 T314 -->
# Some tutorials say that saving writes `config.json` and `pytorch_model.bin`, others `config.json` and
# `model.safetensors`. Before you run this: which is it today, and where is the vocabulary?

# %%
trained.save_pretrained("minilm")
after_model = {path.name for path in Path("minilm").iterdir()}
tokenizer.save_pretrained("minilm")
for path in sorted(Path("minilm").iterdir()):
    origin = "model" if path.name in after_model else "tokenizer"
    print(f"{path.name:22} {path.stat().st_size:>12,} bytes   from the {origin}")

# %%
import json

saved = json.loads(Path("minilm/config.json").read_text("utf-8"))
print("_name_or_path in the file:", "_name_or_path" in saved, "| in memory:", trained.name_or_path == encoder)
{name: saved[name] for name in ("architectures", "model_type", "dtype", "transformers_version")}

# %% [markdown]
# This model writes two files, its tokenizer two more beside them. Save both into one folder: the weights were trained
# on the ids of just this tokenizer. `config.json` notes what was saved (`architectures`, `dtype`) and with which
# version. Where the model came from, which older versions wrote as `_name_or_path`, is no longer in the file; only the
# model in memory knows.
#
# Is it the same model? And the old format, can you still ask for it?

# %%
again = AutoModel.from_pretrained("minilm")
assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in trained.state_dict().items())
sizes = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64}
layers = {"num_hidden_layers": 2, "num_attention_heads": 2}
small_bert = BertModel(BertConfig(**sizes, **layers))  # enough where only the names of files matter
small_bert.save_pretrained("small", safe_serialization=False)
sorted(path.name for path in Path("small").iterdir())

# %% [markdown]
# Equal to the last bit. And `safe_serialization=False`, which used to write `pytorch_model.bin`, is ignored: version 5
# writes safetensors only. It still **reads** a `.bin`; section 5.15 says why you should hesitate.
#
# A safetensors file is simple enough to read by hand: 8 bytes that hold a length, that many bytes of JSON, then the
# plain numbers.

# %%
with open("minilm/model.safetensors", "rb") as file:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
print(f"{length:,} bytes of JSON, {len(header)} entries")
{name: header[name] for name in ("__metadata__", "embeddings.LayerNorm.bias", "pooler.dense.weight")}

# %%
import numpy as np

entry = header["embeddings.LayerNorm.bias"]
begin, end = entry["data_offsets"]
with open("minilm/model.safetensors", "rb") as file:
    file.seek(8 + length + begin)  # over all that stands before it
    raw = file.read(end - begin)
by_hand = torch.from_numpy(np.frombuffer(raw, dtype=np.float32).copy())
torch.equal(by_hand, trained.embeddings.LayerNorm.bias)

# %% [markdown]
# One reads that safetensors uses *compression* to make tensors smaller, or that it is a format *for mobile devices*.
# You have just read the numbers with `frombuffer`: they are the same bytes as in memory, not compressed, and with
# nothing in them that asks for one kind of device. That is what makes the file fast to open, and lets a program read
# one tensor without reading the rest, as you just did with `seek`.

# %%
numbers = sum(parameter.numel() * parameter.element_size() for parameter in trained.parameters())
on_disk = Path("minilm/model.safetensors").stat().st_size
print(f"in memory {numbers:,} bytes, on disk {on_disk:,} bytes, header {8 + length:,} bytes")
assert on_disk == 8 + length + numbers

# %% [markdown]
# The file is exactly the numbers and the header. A model that is larger than `max_shard_size` is written in several
# such files, with an index that says which tensor is where:

# %%
trained.save_pretrained("sharded", max_shard_size="40MB")
index = json.loads(Path("sharded/model.safetensors.index.json").read_text("utf-8"))
assert torch.equal(AutoModel.from_pretrained("sharded").pooler.dense.weight, trained.pooler.dense.weight)
shards = pd.Series(index["weight_map"]).value_counts().sort_index().rename("tensors").to_frame()
shards.assign(MB=[round(Path("sharded", name).stat().st_size / 1e6, 1) for name in shards.index])

# %% [markdown]
# Each row is a file, the number of tensors in it, and its size. One file is larger than we allowed: it holds the word
# embeddings alone, and a tensor isn't cut. `from_pretrained("sharded")` reads the index and loads the same model.
#
# ### Exercise 5.3
# Write `tensors_of(path)`: read the header of the safetensors file at `path`, and return a dict that maps each tensor's
# name to the pair `(dtype, shape)`, with the dtype as the header writes it and the shape as a list. The entry
# `__metadata__` is no tensor. Use neither `safetensors` nor `torch`, and don't read the numbers. For example, for the
# file above `tensors_of("minilm/model.safetensors")["pooler.dense.weight"]` is `("F32", [384, 384])`.

# %% tags=["exercise"]
def tensors_of(path) -> dict[str, tuple[str, list[int]]]:
    """Name → (dtype, shape) of each tensor in a safetensors file, from its header only."""
    # BEGIN SOLUTION
    with open(path, "rb") as opened:
        size_of_header = int.from_bytes(opened.read(8), "little")
        entries = json.loads(opened.read(size_of_header))
    entries.pop("__metadata__", None)
    return {key: (value["dtype"], value["shape"]) for key, value in entries.items()}
    # END SOLUTION

# %% tags=["check"]
lab.check("5.3", tensors_of)

# %% [markdown]
# `lab.hint("5.3")` helps.

# %% [markdown]
# ## 5.5 Where `from_pretrained` looks
# <!-- T085 T315 -->
# `from_pretrained` takes a name. If a **folder** of that name exists, it is read. If not, the name is taken for an id
# on the Hub: the library asks the Hub which commit is meant, and takes from its cache what it has of that. Without a
# network the cache is all there is. Before you run this: which error do you expect for a model that you never
# downloaded?

# %%
with lab.expect_error(OSError):
    AutoModel.from_pretrained("google-bert/bert-base-cased", cache_dir="empty", local_files_only=True)

# %% [markdown]
# The message names both: no connection, **and** not in the cache. (It says *couldn't connect*, and yet nothing was
# tried: `local_files_only=True` forbids it, and in this workbook's offline mode it is forbidden for every call.) Here
# are three cures.
#
# **Cure 1: a local folder.** Someone with a network downloads the files; you give the folder's path. It needs no cache
# and no id:

# %%
type(AutoModel.from_pretrained("minilm")).__name__, type(AutoTokenizer.from_pretrained("minilm")).__name__

# %% [markdown]
# You will also meet recipes that name single **files** instead of the folder. Before you run this: which of these four
# lines work today?

# %%
from transformers import BertTokenizer

tokenizer.backend_tokenizer.model.save(".")  # a bare vocab.txt, as old checkpoints have it
from_file = BertConfig.from_json_file("minilm/config.json")
also_from_file = AutoConfig.from_pretrained("minilm/config.json")
from_weights = BertModel.from_pretrained("minilm/model.safetensors", config=from_file)
from_vocabulary = BertTokenizer.from_pretrained("vocab.txt")
assert torch.equal(from_weights.pooler.dense.weight, trained.pooler.dense.weight)
from_file.hidden_size, type(also_from_file).__name__, len(from_vocabulary)

# %%
with lab.expect_error(OSError):
    BertModel.from_pretrained("minilm/model.safetensors")

# %% [markdown]
# All four. But a weights file alone is not enough: without `config=` its bytes are taken for a config. (And a bare
# `vocab.txt` doesn't say whether it is cased: chapter 04.) The folder is shorter, and keeps the parts together.
#
# **Cure 2: a cache that is filled already**, on your disk or copied from a colleague's, named by `cache_dir` (or for
# all programs by the variable `HF_HUB_CACHE`).
#
# **Cure 3: another server.** `HF_ENDPOINT` names the address that the library asks instead of the Hub: a mirror in your
# company, in your country, or on your own computer. (In this workbook, `LABS_MODE=hub` goes to the real one.)
#
# Run both at once: build a mirror that hands out files of this folder, and let the library fill a cache from it. What
# must such a server know? It is asked for a file of a repository at a revision, and sometimes for a description of the
# repository. It must also say **no** in the right words: the library asks for files that may not be there.

# %%
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

shelf = {}  # (owner/name, revision) → (commit, folder)
asked = []  # every request

def blob_name(data: bytes) -> str:
    """A name for a file's content, as the Hub makes it: Git's own hash, or (here by size) the sha256."""
    if len(data) > 1_000_000:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

# %% tags=["long"] why="the whole mirror is the lesson"
class Mirror(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.command + " " + self.path.partition("?")[0])
        repo, _, rest = self.path.strip("/").removeprefix("api/models/").partition("/resolve/")
        repo = "/".join(repo.split("/")[:2])
        revision, _, name = rest.partition("/")
        commit, folder = shelf.get((repo, revision or "main"), (None, ""))
        file = Path(folder, name)
        if commit is None:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif self.path == f"/api/models/{repo}":
            self.answer(200, json.dumps({"id": repo, "sha": commit}).encode(), {})
        elif name and file.is_file():
            data = file.read_bytes()
            self.answer(200, data, {"ETag": f'"{blob_name(data)}"', "X-Repo-Commit": commit})
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})

    def answer(self, status: int, data: bytes, headers: dict[str, str]):
        self.send_response(status)
        for header in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(*header)
        self.end_headers()
        if self.command == "GET":  # HEAD asks for the headers only
            self.wfile.write(data)

    do_HEAD = do_GET
    log_message = lambda self, *_: None

# %% [markdown]
# That is a mirror: a few headers, the bytes, and two ways to say *not found*. `publish` puts a folder on its shelf,
# under a commit id that is computed from the files (Git's depends on author and time as well). The client must be a
# **new process**, because `HF_ENDPOINT` is read once, when the library is imported.

# %%
import subprocess
import sys

server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
threading.Thread(target=server.serve_forever, daemon=True).start()

def publish(repo: str, folder: str) -> str:
    """Put `folder` on the mirror's shelf as the newest commit of `repo`; return the commit id."""
    content = {path.name: blob_name(path.read_bytes()) for path in sorted(Path(folder).iterdir())}
    commit = hashlib.sha1(json.dumps(content).encode()).hexdigest()
    shelf[repo, "main"] = shelf[repo, commit] = (commit, folder)
    return commit

# %%
client = """
import sys, huggingface_hub
for name in sys.argv[2:]:
    huggingface_hub.hf_hub_download(sys.argv[1], name, cache_dir="cache")
"""

at_mirror = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "DISABLE_SAFETENSORS_CONVERSION": "1"}
at_mirror |= {"HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

def download(repo: str, names: list[str], code: str = client) -> None:
    """Let a new process download files of `repo` from the mirror into the folder "cache"."""
    command = [sys.executable, "-c", code, repo, *names]
    subprocess.run(command, env=os.environ | at_mirror, check=True, capture_output=True)

# %%
first = publish("workbook/minilm", "minilm")
download("workbook/minilm", os.listdir("minilm"))
where = {"cache_dir": "cache", "local_files_only": True}
by_id = AutoModel.from_pretrained("workbook/minilm", revision=first, **where)
torch.equal(by_id.pooler.dense.weight, trained.pooler.dense.weight)

# %% [markdown]
# The model came by its id, at a revision, with no network: cure 3 filled the cache, cure 2 read it. `revision` may be a
# commit, a branch or a tag. A commit is the safe choice, because nobody can move it; that's why this workbook's
# checkpoints carry one, and the calls that may go to the Hub pass it along. What isn't in the cache is an error again,
# also when it's only another revision:

# %%
with lab.expect_error(OSError):
    AutoModel.from_pretrained("workbook/minilm", revision="v2", **where)
type(AutoTokenizer.from_pretrained("workbook/minilm", **where)).__name__

# %% [markdown]
# One also reads that `from_pretrained(name)` downloads on *every* run, and that `cache_dir` is what makes it look on
# the disk first. Now a new process calls the **real** `from_pretrained`, by id, with the mirror as its Hub. Before you
# run this: what will the mirror be asked, and how many of the model's 91 MB will it send?

# %%
loader = """
import sys, transformers
transformers.AutoModel.from_pretrained(sys.argv[1], cache_dir="cache")
"""

asked.clear()
download("workbook/minilm", [], loader)
print("files sent:", [request for request in asked if request.startswith("GET") and "/resolve/" in request])
pd.Series(asked).str.replace(first, "<commit>").value_counts().to_frame("times")

# %% [markdown]
# No file at all. It asks for the description of the repository, which names the newest commit; for that commit the
# cache has everything. It may only go on to ask for a file that isn't there, `adapter_config.json`: with `peft`
# installed the library looks whether the repository holds an adapter. So the cache is used without being asked for
# (only `force_download=True` passes it by), and `cache_dir` merely says **where** it is. (Its usual place is a folder
# in your home; the old `…/huggingface/transformers` is now `…/huggingface/hub`.)

# %%
from huggingface_hub import constants

Path(constants.HF_HUB_CACHE).name, constants.HF_HUB_OFFLINE

# %% [markdown]
# ## 5.6 The anatomy of the cache
# <!-- T086 -->
# The real library has just written a real cache. Before you run this: four files were downloaded. How many will you
# find?

# %%
def tree(folder: Path, indent: str = "") -> None:
    """Print what is in `folder`, with sizes, and where links point; long hashes are shortened."""
    short = lambda name: f"{name[:10]}…" if len(name) >= 40 else name
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            print(f"{indent}{path.name} → …/blobs/{short(path.readlink().name)}")
        elif path.is_dir():
            print(f"{indent}{short(path.name)}/")
            tree(path, indent + "    ")
        else:
            print(f"{indent}{short(path.name)}  {path.stat().st_size:,} bytes")

# %%
home = Path("cache", "models--workbook--minilm")
tree(home)

# %% [markdown]
# Four files, and a good deal more, in four folders:
#
# - **blobs**: the contents, each under the hash of its bytes. What Git itself keeps has Git's hash (40 characters),
#   what the Hub keeps beside Git, such as weights, has its sha256 (64). (Our mirror decides by size.)
# - **refs**: a small file for each branch or tag that you asked for; in it stands a commit id.
# - **snapshots**: a folder for each commit. It holds no data, only links with the real names that point into `blobs`.
# - **.no_exist**: empty files with the names of what the server does *not* have. The library then knows without asking
#   that there is nothing to look for.
#
# The names of the snapshots are sometimes called *md5 strings*. Count one, GPT-2's: an md5 has 32 characters, it has
# 40. On the Hub they are **Git commit ids** (our mirror makes its own in the same form). And some tutorials copy files
# out of `blobs` one by one and give them their names back by hand. You need not: the snapshot is a folder of all that
# you downloaded, with the right names.

# %%
snapshot = home / "snapshots" / first
assert (home / "refs" / "main").read_text() in [path.name for path in (home / "snapshots").iterdir()]
of_gpt2 = "607a30d783dfa663caf39e06633721c8d4cfcd7e"  # a commit on the Hub
assert len(of_gpt2) == len(first) == 40 and len(hashlib.md5(b"any bytes").hexdigest()) == 32
assert snapshot.joinpath("config.json").read_bytes() == Path("minilm/config.json").read_bytes()
type(AutoModel.from_pretrained(str(snapshot))).__name__

# %% [markdown]
# (On Windows without the right to make links, the files themselves lie in the snapshots, and what follows doesn't hold:
# two snapshots share nothing.)
#
# Why so complicated? Publish a second version that differs in its config only, and download it too. Before you run
# this: by how much will the cache grow?

# %%
import shutil

shutil.copytree("minilm", "minilm-2", dirs_exist_ok=True)
BertConfig.from_pretrained("minilm", id2label={0: "calm", 1: "loud"}).save_pretrained("minilm-2")
second = publish("workbook/minilm", "minilm-2")

def bytes_of(folder: Path) -> int:
    """What the files below `folder` take on the disk; a link takes next to nothing."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_symlink() and path.is_file())

before = bytes_of(home)
download("workbook/minilm", os.listdir("minilm-2"))
f"from {before:,} to {bytes_of(home):,} bytes, with {len(list((home / 'snapshots').iterdir()))} snapshots"

# %%
blobs = {path.name: path.stat().st_size for path in (home / "blobs").iterdir()}
rows = {name: row for row, name in enumerate(sorted(blobs, key=blobs.get))}
figure, axes = plt.subplots(figsize=(8.6, 3.4), subplot_kw={"frame_on": False, "xticks": [], "yticks": []})
for side, align, commit, colour in ((0, "right", first, "#0072B2"), (2, "left", second, "#D55E00")):
    axes.text(side, len(rows), f"snapshot {commit[:7]}", ha="center", weight="bold", color=colour)
    for link in (home / "snapshots" / commit).iterdir():
        row = rows[link.readlink().name]
        axes.plot([side, 1], [row, row], color=colour)
        axes.text(side, row, f" {link.name} ", ha=align, va="center")
for name, row in rows.items():
    axes.text(1, row, f"{name[:7]}…\n{blobs[name]:,} bytes", ha="center", va="center", size=9, bbox={"fc": "white"})
axes.set(xlim=(-0.6, 2.6), ylim=(-0.6, len(rows) + 0.4), title="Two versions of a model share every unchanged file");

# %% [markdown]
# In the middle stand the blobs. Follow the lines from both sides: they meet, except for `config.json`. Ninety megabytes
# are on the disk **once**, and the second version costs less than a kilobyte. That is what the hashes are for.
#
# `scan_cache_dir` reads all this for you. Two snapshots of 91.6 MB each: before you run this, what will it say the
# repository takes on disk, and how much would deleting the old version free?

# %%
from huggingface_hub import scan_cache_dir

found = scan_cache_dir("cache")
repository = next(iter(found.repos))
print(repository.repo_id, "takes", repository.size_on_disk_str)
for revision in repository.revisions:
    print(revision.commit_hash[:7], revision.nb_files, "files,", revision.size_on_disk_str, list(revision.refs))

# %%
plan = found.delete_revisions(first)
everything = found.delete_revisions(first, second)
print(f"old version: {plan.expected_freed_size:,} bytes | both: {everything.expected_freed_size:,} bytes")
plan.execute()
tree(home)

# %% [markdown]
# Both snapshots *count* 91.6 MB, and together they still take 91.6 MB. A **plan** tells you what it would free before
# it deletes; `execute` does it. Deleting the old version freed its one config, because every other blob is still in
# use. The command line has the same tools: `hf cache ls` and `hf cache rm`.
#
# If you want plain files, ask for them: `local_dir=` writes a folder without blobs and links, with only a small
# `.cache` of notes in it. (The argument `local_dir_use_symlinks` of many tutorials is gone: with `local_dir` there are
# no links.)

# %%
import inspect
from huggingface_hub import snapshot_download

to_folder = client.replace('cache_dir="cache"', 'local_dir="plain"')
command = [sys.executable, "-c", to_folder, "workbook/minilm", "config.json"]
subprocess.run(command, env=os.environ | at_mirror, check=True, capture_output=True)
assert Path("plain/config.json").read_bytes() == Path("minilm-2/config.json").read_bytes()
print(sorted(os.listdir("plain")), "| a link:", Path("plain/config.json").is_symlink())
"local_dir_use_symlinks" in inspect.signature(snapshot_download).parameters

# %% [markdown]
# ### Exercise 5.4
# Write `cached_path(repo_id, commit, filename, repo_type)`: the path of a file's link, below the cache's folder, as a
# string with `/` or a `pathlib` path. `repo_type` is `"model"`, `"dataset"` or `"space"`; the folder's name begins with
# its plural. A file name may contain a folder. For example, `cached_path("workbook/minilm", "1a2b", "config.json",
# "model")` gives `"models--workbook--minilm/snapshots/1a2b/config.json"`.

# %% tags=["exercise"]
def cached_path(repo_id: str, commit: str, filename: str, repo_type: str) -> str:
    """The path of a cached file's link below the cache's folder."""
    # BEGIN SOLUTION
    folder = "--".join([f"{repo_type}s", *repo_id.split("/")])
    return f"{folder}/snapshots/{commit}/{filename}"
    # END SOLUTION

# %% tags=["check"]
lab.check("5.4", cached_path)

# %% [markdown]
# `lab.hint("5.4")` helps.
#
# ### Exercise 5.5
# Write `freed(revisions, sizes, delete)`. `revisions` maps each commit to a dict of file name → blob, `sizes` maps each
# blob to its bytes, and `delete` is the list of the commits to be deleted. Return how many bytes become free. For
# example, with `revisions = {"old": {"config.json": "c1", "model.safetensors": "w"}, "new": {"config.json": "c2",
# "model.safetensors": "w"}}` and `sizes = {"c1": 10, "c2": 20, "w": 900}`, deleting `["old"]` frees 10, and deleting
# both frees 930. Your function meets the library's plan on random caches.

# %% tags=["exercise"]
def freed(revisions: dict[str, dict[str, str]], sizes: dict[str, int], delete: list[str]) -> int:
    """Bytes that deleting the commits in `delete` frees."""
    # BEGIN SOLUTION
    gone = {blob for commit in delete for blob in revisions[commit].values()}
    others = [links for commit, links in revisions.items() if commit not in delete]
    kept = {blob for links in others for blob in links.values()}
    return sum(sizes[blob] for blob in gone - kept)
    # END SOLUTION

# %% tags=["check"]
lab.check("5.5", freed)

# %% [markdown]
# `lab.hint("5.5")` helps.

# %% [markdown]
# ## 5.7 How `AutoModel` decides
# <!-- T082 T316 -->
# The decision is often drawn like this: read `config.json`; if it has an `auto_map`, load the class named there;
# otherwise load the built-in class that **`architectures`** names. The first half is nearly right. Test the second
# half. Before you run this: the small BERT's folder says `"architectures": ["BertModel"]`. What will `AutoModel` make
# of it if you write `GPT2LMHeadModel` there?

# %%
def with_config(folder: str, copy: str, **changes) -> str:
    """Copy `folder` to `copy` with changes in its config.json; None removes an entry."""
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    content = json.loads(Path(folder, "config.json").read_text("utf-8")) | changes
    content = {name: value for name, value in content.items() if value is not None}
    Path(copy, "config.json").write_text(json.dumps(content), "utf-8")
    return copy

transformers.logging.set_verbosity_error()  # the loading reports come in section 5.10
experiments = [{"architectures": ["GPT2LMHeadModel"]}, {"architectures": None}, {"model_type": "distilbert"}]
for changes in experiments:
    model = AutoModel.from_pretrained(with_config("small", "changed", **changes))
    print(f"{str(changes):45} → {type(model).__name__}")

# %%
for changes in ({"model_type": None}, {"model_type": "zebra"}):
    with lab.expect_error(ValueError):
        AutoModel.from_pretrained(with_config("small", "changed", **changes))
named = BertModel.from_pretrained("changed")  # the config still says zebra
torch.equal(named.pooler.dense.weight, small_bert.pooler.dense.weight)

# %% [markdown]
# The correct statement: **`model_type` decides.** It gives the config class, and each Auto class has a table from
# config class to model class. `architectures` is a note of what was saved; you may change or remove it, and `AutoModel`
# gives the same class. (It is looked at only where a table offers several classes for one config.) Change `model_type`
# and you get another architecture; remove it, and `AutoModel` has nothing to go by. The files are still good: whoever
# names the class, as the last two lines do with `BertModel`, gets all the weights, zebra or not (and a line in the log
# that the types differ; section 5.10 shows one).
#
# Here is the whole way, with the library's own tables:

# %%
from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_MAPPING

for model_type in ("bert", "distilbert", "gpt2", "t5"):
    kind = CONFIG_MAPPING[model_type]
    chosen = [table[kind].__name__ for table in (MODEL_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING)]
    print(f"{model_type:10} → {kind.__name__:16} → {chosen[0]:15} or, with a classifier, {chosen[1]}")
print(len(CONFIG_MAPPING.keys()), "model types are built in")

# %% [markdown]
# A walk through the library's source from 2020 prints this table in full. Before you run this: of its 23 model types,
# how many are still there?

# %%
in_2020 = "retribert t5 mobilebert distilbert albert camembert xlm-roberta marian mbart bart reformer longformer"
in_2020 += " roberta flaubert bert openai-gpt gpt2 transfo-xl xlnet xlm ctrl electra encoder-decoder"
gone = [model_type for model_type in in_2020.split() if model_type not in CONFIG_MAPPING]
print(len(in_2020.split()), "then,", len(CONFIG_MAPPING.keys()), "today; gone:", gone)

# %% [markdown]
# Two were removed, and hundreds were added.

# %% [markdown]
# ### Exercise 5.6
# Write `decide(config, known, trust)`: which class does `AutoModel` make? `config` is the dict read from `config.json`.
# `known` is the library's table, `model_type` → name of the class. `trust` is what was given as `trust_remote_code`:
# `None` (nothing), `False` or `True`. The rules, which section 5.8 will show at work:
#
# - An `auto_map` with an entry `"AutoModel"` names code in the folder, such as `"modeling_bag.BagModel"`. It is used
#   only if `trust` is `True`; the answer is then the class's name, `"BagModel"`.
# - Otherwise the built-in class of the `model_type` is used.
# - If there is neither, raise a `ValueError`.
#
# For example, `decide({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, {"bert": "BertModel"}, None)` gives
# `"BertModel"`.

# %% tags=["exercise"]
def decide(config: dict, known: dict[str, str], trust: bool | None) -> str:
    """The name of the class that AutoModel makes of this config, or a ValueError."""
    # BEGIN SOLUTION
    custom = config.get("auto_map", {}).get("AutoModel")
    if custom and trust:
        return custom.rpartition(".")[2]
    if config.get("model_type") in known:
        return known[config["model_type"]]
    raise ValueError("no class of the library's own, and none that may be run")
    # END SOLUTION

# %% tags=["check"]
lab.check("5.6", decide)

# %% [markdown]
# `lab.hint("5.6")` helps.

# %% [markdown]
# ## 5.8 An architecture of your own
# <!-- T082 T315 -->
# The library doesn't know your architecture. How can `AutoModel` load it all the same? The model's **folder brings its
# code along**. Write a model with no attention at all: its answer is the mean of the word
# embeddings. Before you run this: when you load it later, will Python run the file, or only read it?

# %% tags=["long"] why="the whole file of an architecture is the lesson"
code = '''
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

print("modeling_bag.py is running")

class BagConfig(PreTrainedConfig):
    model_type = "bag"
    vocab_size: int = 30522
    hidden_size: int = 16

class BagModel(PreTrainedModel):
    config_class = BagConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def forward(self, input_ids, **others):
        vectors = self.words(input_ids)  # [batch, tokens, width]
        return BaseModelOutput(last_hidden_state=vectors.mean(dim=1, keepdim=True).expand_as(vectors))
'''
Path("modeling_bag.py").write_text(code, "utf-8");

# %% [markdown]
# A config class with a `model_type` of its own, a model class that takes the config, `post_init()` at the end. To share
# it, register both with their Auto classes before saving:

# %%
import importlib

sys.path.insert(0, box.name)  # so that Python finds modeling_bag.py
modeling_bag = importlib.import_module("modeling_bag")  # as `import modeling_bag` would
BagConfig, BagModel = modeling_bag.BagConfig, modeling_bag.BagModel
BagConfig.register_for_auto_class("AutoConfig")
BagModel.register_for_auto_class("AutoModel")
bag = BagModel(BagConfig())
bag.save_pretrained("bag")
print(sorted(path.name for path in Path("bag").iterdir()))
json.loads(Path("bag/config.json").read_text("utf-8"))

# %% [markdown]
# `save_pretrained` copied the code into the folder and wrote `auto_map`: *AutoModel is the class `BagModel` in the file
# `modeling_bag`*. Now publish it, download it like anybody else, and load it by its id.

# %%
publish("workbook/bag", "bag")
download("workbook/bag", os.listdir("bag"))
with lab.expect_error(ValueError):
    AutoModel.from_pretrained("workbook/bag", trust_remote_code=False, **where)

# %%
strange = AutoModel.from_pretrained("workbook/bag", trust_remote_code=True, **where)
ids = tokenizer("a dog in the garden", return_tensors="pt")["input_ids"]
assert torch.equal(strange(ids).last_hidden_state, bag(ids).last_hidden_state)
type(strange).__name__, type(strange).__module__.split(".")[0]

# %% [markdown]
# Refused first, then loaded, with the same weights and the same output. And the line `modeling_bag.py is running`
# appeared: **loading runs the file**, with all your rights. (If you run the cell again, it doesn't: a kernel keeps a
# module whose file is unchanged.) It could print, and it could as well read your letters. So look at the code first,
# and pin the `revision`: what you read should be what you run. Without the argument the library *asks* you, and waits a
# quarter of a minute (on Windows it doesn't even ask); who says nothing gets a `ValueError`. In a script, say `False`.

# %%
from transformers import dynamic_module_utils

print("seconds to answer:", dynamic_module_utils.TIME_OUT_REMOTE_CODE)
elsewhere = {"AutoConfig": "bag--modeling_bag.BagConfig", "AutoModel": "bag--modeling_bag.BagModel"}
with_config("bag", "bag-light", auto_map=elsewhere)
Path("bag-light/modeling_bag.py").unlink()  # no code in this folder
print(sorted(path.name for path in Path("bag-light").iterdir()))
type(AutoModel.from_pretrained("bag-light", trust_remote_code=True)).__name__

# %% [markdown]
# `bag-light` has no code, and yet its class was found. The `--` in its `auto_map` does it: before it stands the folder
# or the repository where the code is, behind it file and class. So many checkpoints can share one piece of code, and
# what you have to read before you trust it is over there: `code_revision` pins that, `revision` doesn't.
#
# A **tokenizer** can bring code in the same way. Its `auto_map` is in `tokenizer_config.json`:

# %%
calm_code = '''
from transformers import BertTokenizer

class CalmTokenizer(BertTokenizer):
    def __call__(self, text, *others, **options):
        return super().__call__(text.rstrip("!"), *others, **options)
'''
Path("tokenization_calm.py").write_text(calm_code, "utf-8")
CalmTokenizer = importlib.import_module("tokenization_calm").CalmTokenizer
CalmTokenizer.register_for_auto_class("AutoTokenizer")
CalmTokenizer(vocab=tokenizer.get_vocab()).save_pretrained("calm")
json.loads(Path("calm/tokenizer_config.json").read_text("utf-8"))["auto_map"]

# %%
with lab.expect_error(ValueError):
    AutoTokenizer.from_pretrained("calm", trust_remote_code=False)
calm = AutoTokenizer.from_pretrained("calm", trust_remote_code=True)
type(calm).__name__, calm.decode(calm("What a hotel!!!")["input_ids"])

# %% [markdown]
# Now the order of the drawing in section 5.7. Before you run this: a folder has an `auto_map` **and** a `model_type`
# that the library knows. Which one wins?

# %%
with_config("small", "both", auto_map={"AutoModel": "modeling_bag.BagModel"})
shutil.copy("modeling_bag.py", "both")
for trust in (None, False, True):
    model = AutoModel.from_pretrained("both", trust_remote_code=trust)
    print(f"trust_remote_code={trust}: {type(model).__name__}")

# %% [markdown]
# The library's own class wins, unless you trust the folder. An `auto_map` is an offer, not an order.

# %% [markdown]
# ## 5.9 A task that the model can't do
# <!-- T083 -->
# Ask BERT to classify images, and you expect an error. Before you run this: will it come before or
# after the weights are read?

# %%
from transformers import AutoModelForImageClassification

with lab.expect_error(ValueError):
    AutoModelForImageClassification.from_pretrained("minilm")
BertConfig.from_pretrained("minilm").save_pretrained("no-weights")
try:
    AutoModelForImageClassification.from_pretrained("no-weights")
except ValueError as error:
    print("from a folder without weights:", str(error).split("<")[0])

# %% [markdown]
# Before: a folder that has no weights gives the same error. A config class that isn't in the Auto class's table ends
# the search. The message lists the whole table. Draw a part of all of them: which family can be asked for which task?

# %%
kinds = {"BERT": "bert", "GPT-2": "gpt2", "T5": "t5", "BART": "bart", "ViT": "vit", "Whisper": "whisper"}
tasks = ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM"]
tasks += ["CausalLM", "Seq2SeqLM", "ImageClassification", "SpeechSeq2Seq"]
autos = [getattr(transformers, f"AutoModelFor{task}") for task in tasks]
possible = [[CONFIG_MAPPING[kind] in auto._model_mapping for auto in autos] for kind in kinds.values()]
title = "Each task knows some families (1), and refuses others (0)"
lab.heatmap(possible, rows=list(kinds), columns=tasks, title=title)

# %% [markdown]
# Read a row: what a family can be asked for. A 1 says that the library has a class for it, not that your checkpoint was
# trained for it. That is the next section.

# %% [markdown]
# ## 5.10 The loading report
# <!-- T088 T316 -->
# BERT **can** classify sentences. But our file comes from a model without a classifier. Before you run this: what will
# the library put where the file has nothing?

# %%
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

transformers.logging.set_verbosity_warning()  # show the reports again
classifier = AutoModelForSequenceClassification.from_pretrained("minilm", num_labels=2)

# %% [markdown]
# Tutorials quote this warning in its old words: *"Some weights … were not initialized … you should probably TRAIN this
# model"*. Today it is a table, and **MISSING** is the word for it. What does it mean to have an untrained classifier?
# Ask six of them about the same sentence:

# %%
transformers.logging.set_verbosity_error()
praise = tokenizer("What a wonderful, friendly hotel!", return_tensors="pt")
opinions, same_encoder = [], []
for _ in range(6):
    model = AutoModelForSequenceClassification.from_pretrained("minilm", num_labels=2)
    with torch.inference_mode():
        opinions.append(model(**praise).logits.softmax(dim=-1)[0, 1].item())
    same_encoder.append(torch.equal(model.bert.pooler.dense.weight, trained.pooler.dense.weight))
print("the encoder is the file's, each time:", all(same_encoder))

# %%
figure, axes = plt.subplots(figsize=(7.2, 2.2))
axes.scatter(range(1, 7), opinions, s=60)
axes.axhline(0.5, color="#888888", linewidth=1)
axes.margins(y=0.25)
axes.set(xticks=range(1, 7), xlabel="load number", ylabel="P(label 1)")
axes.set_title("One file, one sentence, six loads, six answers: the head is random");

# %% [markdown]
# Each dot is a fresh load of the same file. The encoder is the file's each time, the classifier is drawn anew, and all
# answers are near one half: it knows nothing. MISSING on a **head** is normal, and means *train me*. (So it is wrong
# that `AutoModelForSequenceClassification` starts from random weights and only `AutoModel` from the checkpoint's. Both
# take from the file all that they have a place for.)
#
# DistilBERT's report is a famous one: four names, which one tutorial calls *three untrained layers*. Before you run
# this: how many layers are they?

# %%
from transformers import DistilBertForSequenceClassification

DistilBertModel(DistilBertConfig(vocab_size=100, dim=32, hidden_dim=64, n_layers=2, n_heads=2)).save_pretrained("distil")
with_head, info = DistilBertForSequenceClassification.from_pretrained("distil", output_loading_info=True)
print(sorted(info["missing_keys"]))
dict(list(with_head.named_children())[1:])

# %% [markdown]
# Two: `pre_classifier` and `classifier`, each with a weight and a bias. (The dropout in the list has nothing to learn.)
#
# There are three kinds of entries. To count them, ask for the report as data, with `output_loading_info=True`.

# %%
def load(auto, source, **options) -> dict:
    """Load, and count the tensors: from the file, newly initialised, left unused."""
    model, info = auto.from_pretrained(source, output_loading_info=True, **options)
    tensors = dict(model.named_parameters(remove_duplicate=False))  # a tied tensor has two names, …
    absent = info["missing_keys"] | {name for name, *_ in info["mismatched_keys"]}
    new = len({id(tensors[name]) for name in absent})  # … and is counted once
    old = len(list(model.parameters())) - new
    return {"from the file": old, "newly initialised": new, "in the file, unused": len(info["unexpected_keys"])}

# %%
classifier.save_pretrained("classifier")
anyway = {"num_labels": 5, "ignore_mismatched_sizes": True}
reports = {
    "encoder → encoder": load(AutoModel, "minilm"),
    "encoder → classifier": load(AutoModelForSequenceClassification, "minilm"),
    "classifier → encoder": load(AutoModel, "classifier"),
    "encoder → masked LM": load(AutoModelForMaskedLM, "minilm"),
    "2 labels → 5 labels": load(AutoModelForSequenceClassification, "classifier", **anyway),
    "BERT file → DistilBERT": load(DistilBertModel, "minilm"),
}
counted = pd.DataFrame(reports).T
counted

# %%
axes = counted[::-1].plot.barh(stacked=True, color=["#0072B2", "#E69F00", "#BBBBBB"], figsize=(8.4, 3.2))
axes.set(xlabel="tensors", title="A few new tensors are a head; hardly any from the file is the wrong architecture")
axes.legend(loc="upper right", frameon=True);

# %% [markdown]
# Look for orange, what is new. In three rows it is a sliver: a head. In the last row there is hardly any blue: all the
# model's layers are orange, and beside them, in grey, lies nearly all of the file, unused. The names in a BERT file and
# in a DistilBERT model differ, so a random model comes out, **without an error**. Only the log tells you: the report,
# and a line on the config that the next cell shows. (The cells above turned both off, for brevity.) Read them every
# time:
#
# | in the report | which | why | what to do |
# | --- | --- | --- | --- |
# | MISSING, a head (`classifier.*`, `cls.*`) | in the model, not in the file | the file comes from another task | train it, or load a checkpoint of your task |
# | MISSING, nearly all | the same | wrong class or `model_type`, or renamed tensors | don't use it; compare the names |
# | UNEXPECTED (`pooler.*`, `cls.*`) | in the file, not in the model | the file had a head that you didn't ask for | nothing, if that is what you wanted |
# | MISMATCH | in both, with different shapes | other number of labels or words | an error, until you say `ignore_mismatched_sizes=True` |

# %%
transformers.logging.set_verbosity_warning()
DistilBertConfig.from_pretrained("minilm")  # logs a line: a config of another type
with lab.expect_error(RuntimeError):
    AutoModelForSequenceClassification.from_pretrained("classifier", num_labels=5)
transformers.logging.set_verbosity_error()

llm, auto = lab.checkpoint("llm"), transformers.AutoModelForCausalLM
talker, info = auto.from_pretrained(llm, revision=llm.revision, output_loading_info=True)
print("missing:", info["missing_keys"], "| tied:", talker.lm_head.weight is talker.model.embed_tokens.weight)
talker = None  # half a gigabyte that isn't needed any more

# %% [markdown]
# The last line shows an exception, our chat model: its file has no `lm_head.weight`, and yet nothing is missing. Its
# output layer **is** its embedding matrix (the weights are tied), so it needs no place of its own in the file.
#
# ### Exercise 5.7
# Write `loading_report(model, file)`: both arguments map the names of tensors to their shapes, as tuples. Return a dict
# with three sorted lists of names: `"missing"`, `"unexpected"` and `"mismatched"`. For example, for the model `{"a":
# (2, 3), "b": (2,)}` and the file `{"a": (5, 3), "c": (2,)}` it is `{"missing": ["b"], "unexpected": ["c"],
# "mismatched": ["a"]}`.

# %% tags=["exercise"]
def loading_report(model: dict[str, tuple], file: dict[str, tuple]) -> dict[str, list[str]]:
    """Names that are missing in the file, unexpected in the file, and in both with different shapes."""
    # BEGIN SOLUTION
    shared = model.keys() & file.keys()
    return {
        "missing": sorted(model.keys() - file.keys()),
        "unexpected": sorted(file.keys() - model.keys()),
        "mismatched": sorted(name for name in shared if tuple(model[name]) != tuple(file[name])),
    }
    # END SOLUTION

# %% tags=["check"]
lab.check("5.7", loading_report)

# %% [markdown]
# `lab.hint("5.7")` helps.

# %% [markdown]
# ## 5.11 Looking inside: hidden states and attentions
# <!-- T087 -->
# A config can also ask a model for more output, with `output_hidden_states` and `output_attentions`. Our encoder has 6
# layers. Before you run this: how many hidden states will you get, and how many attentions?

# %%
options = {"output_hidden_states": True, "output_attentions": True}
open_model = AutoModel.from_pretrained("minilm", **options)
text = tokenizer("time flies like an arrow", return_tensors="pt")
with torch.inference_mode():
    output = open_model(**text)
assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
print(len(output.hidden_states), "hidden states of shape", list(output.hidden_states[0].shape))
print(len(output.attentions), "attentions of shape", list(output.attentions[0].shape))  # batch, heads, …

# %% [markdown]
# Seven and six: the first hidden state is what the embeddings give, then one for each layer. The last one **is**
# `last_hidden_state`, equal to the last bit. How far does each layer move a token from where the embeddings put it?

# %%
stack = torch.stack(output.hidden_states)[:, 0]  # [7, tokens, width]
staying = torch.nn.functional.cosine_similarity(stack, stack[:1], dim=-1)  # [7, tokens]
names = {"rows": ["embeddings", *(f"after layer {number}" for number in range(1, 7))], "columns": text.tokens()}
title = "Layer by layer, a word leaves its embedding"
lab.heatmap(staying, **names, title=title, label="cosine similarity")

# %% [markdown]
# Read the column of a word from top to bottom: the cosine similarity to its starting point falls. What comes out points
# less and less where the word alone pointed. (`[CLS]` is no word, and stays where it is for longer.)
#
# There is a catch with attentions. The default way to compute them, `sdpa`, is one fused step that doesn't give the
# weights. Here are two ways to ask for them: when you **load** the model, as above, or in a single **call**. Before you
# run this: will both give six?

# %%
with torch.inference_mode():
    fused = trained(**text, output_attentions=True)  # loaded as usual, asked in the call
print("asked in the call:", trained.config._attn_implementation, "→", fused.attentions)
again.set_attn_implementation("eager")
switched = again(**text, output_attentions=True)
print("switched first:   ", again.config._attn_implementation, "→", len(switched.attentions), "attentions")
print("asked at loading: ", open_model.config._attn_implementation, "→", len(output.attentions), "attentions")
torch.allclose(fused.last_hidden_state, output.last_hidden_state, atol=1e-4)  # another order of sums

# %% [markdown]
# Asked at loading, the library switches to `eager`, the step-by-step way, and you get them. A call alone switches
# nothing: you get an **empty tuple** (and a warning, if warnings are on). The vectors are the same in both, up to
# rounding. A model that is loaded already, you switch with `set_attn_implementation("eager")`, and then ask in the
# call.

# %% [markdown]
# ## 5.12 dtype and device
# <!-- T091 -->
# A parameter in `float32` takes 4 bytes. `bfloat16` takes 2: the same range, but only two to three decimal digits.
# Before you run this: what will half the memory cost in accuracy, on our four sentences?

# %%
kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
exact = similarities(trained)
rows = {}
for name, dtype in kinds.items():
    model = AutoModel.from_pretrained("minilm", dtype=dtype)
    change = (similarities(model).float() - exact).abs().max().item()
    rows[name] = {"MiB": model.get_memory_footprint() / 2**20, "largest change of a similarity": change}
memory = pd.DataFrame(rows).T
memory.round(4)

# %%
figure, panels = plt.subplots(1, 2, figsize=(8.6, 2.6))
for axes, column in zip(panels, ["MiB", "largest change of a similarity"]):
    axes.bar(memory.index, memory[column], color="#0072B2")
    axes.set_title(column, fontsize=11)
    axes.grid(axis="x", visible=False)
figure.suptitle("Half the memory, for a change of less than a hundredth", x=0.01, ha="left")
assert memory.loc["bfloat16", "MiB"] < 0.51 * memory.loc["float32", "MiB"]
assert memory["largest change of a similarity"].max() < 0.01  # bfloat16 writes numbers near 1 in steps of 0.004

# %% [markdown]
# Left, the memory halves. Right, `bfloat16` moves a similarity a little, `float16` much less (it spends more of its
# bits on digits, and pays with its range).
#
# Who decides, if you say nothing? The config: it notes in which dtype the weights were saved, and version 5 loads them
# so, even if the note is wrong. (Where there is none, the weights in the file decide. The argument was called
# `torch_dtype`; that name still works, with a warning.) A **device** you choose after loading with `.to`, or while
# loading with `device_map`.

# %%
AutoModel.from_pretrained("minilm", dtype=torch.bfloat16).save_pretrained("half")
print("the config says", AutoConfig.from_pretrained("half").dtype)
print("without dtype= it is", AutoModel.from_pretrained("half").dtype)
print("with another note:", AutoModel.from_pretrained(with_config("half", "noted", dtype="float32")).dtype)
placed = AutoModel.from_pretrained("half", dtype=torch.float32, device_map="cpu")
print(placed.dtype, placed.device, "| the fastest device here:", lab.device())
print("all digits again:", torch.equal(placed.pooler.dense.weight, trained.pooler.dense.weight))
placed = placed.to(lab.device())
share = Path("half/model.safetensors").stat().st_size / Path("minilm/model.safetensors").stat().st_size
f"the file in bfloat16 has {share:.2f} of the size"

# %% [markdown]
# Inputs must be on the same device as the model, so you often see `batch.to(model.device)`. And going back to `float32`
# takes the memory again, but doesn't bring the digits back.

# %% [markdown]
# ## 5.13 Ten architectures, one loop
# <!-- T089 -->
# An old example of the library's runs ten architectures in one loop: the same three lines for each, only the names
# change. Nine of them are still here. Before you run this: guess which of the ten has gone, and which default model is
# the largest.

# %%
loop = {
    "BERT": "bert", "OpenAI GPT": "openai-gpt", "GPT-2": "gpt2", "CTRL": "ctrl",
    "Transformer-XL": "transfo-xl", "XLNet": "xlnet", "XLM": "xlm",
    "DistilBERT": "distilbert", "RoBERTa": "roberta", "XLM-RoBERTa": "xlm-roberta",
}
gone = [name for name, model_type in loop.items() if model_type not in CONFIG_MAPPING]
loop = {name: loop[name] for name in loop if name not in gone} | {"ELECTRA": "electra"}
print("gone:", gone, "| transformers.TransfoXLModel:", hasattr(transformers, "TransfoXLModel"))

# %% [markdown]
# **Transformer-XL** was removed; ELECTRA takes its place here. Each architecture comes with a family of tokenizers
# (chapter 04), so train one small tokenizer of each family on our stories. They need little: a vocabulary, merges, or
# scores.

# %%
from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

stories = lab.dataset("stories")
texts = list(load_dataset(stories, revision=stories.revision)["train"]["text"])

def learn(model, trainer, pre_tokenizer) -> dict:
    """Train a tokenizer's model on the stories; return its vocabulary (and merges)."""
    raw = Tokenizer(model)
    raw.pre_tokenizer = pre_tokenizer
    raw.train_from_iterator(texts, trainer)
    inside = json.loads(raw.to_str())["model"]
    merges = [tuple(pair) for pair in inside.get("merges", [])]
    return {"vocab": inside["vocab"], "merges": merges, "raw": raw}

# %%
options = {"vocab_size": 1000, "show_progress": False}
bert_marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<sep>", "<cls>", "<|endoftext|>"]
unknown, word_end = {"unk_token": "<unk>"}, {"end_of_word_suffix": "</w>"}
all_bytes = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
teachers = {
    "piece": trainers.WordPieceTrainer(special_tokens=bert_marks, **options),
    "ends": trainers.BpeTrainer(special_tokens=["<unk>"], **word_end, **options),
    "bytes": trainers.BpeTrainer(special_tokens=marks, **all_bytes, **options),
    "scores": trainers.UnigramTrainer(special_tokens=marks, **unknown, **options),
}

# %%
piece = learn(models.WordPiece(unk_token="[UNK]"), teachers["piece"], pre_tokenizers.BertPreTokenizer())
ends = learn(models.BPE(**unknown, **word_end), teachers["ends"], pre_tokenizers.Whitespace())
in_bytes = learn(models.BPE(), teachers["bytes"], pre_tokenizers.ByteLevel())
unigram = learn(models.Unigram(), teachers["scores"], pre_tokenizers.Metaspace())
for one in (piece, ends, in_bytes, unigram):
    print([entry if isinstance(entry, str) else entry[0] for entry in list(one["vocab"])[300:306]])

# %% [markdown]
# Some of what each has learned: `##` inside a word, `</w>` at its end, `Ġ` for a space before it, `▁` for its
# beginning. Now each class takes its family's parts. (CTRL's class wants files, and writes `@@` where a word goes on.
# XLM's own class wants one more package, `sacremoses`, so its algorithm stands here in the general wrapper.)

# %%
from transformers import BertTokenizer, CTRLTokenizer, GPT2Tokenizer, OpenAIGPTTokenizer
from transformers import PreTrainedTokenizerFast, RobertaTokenizer, XLMRobertaTokenizer, XLNetTokenizer

ctrl_vocab = {}
for entry, index in ends["vocab"].items():
    whole = entry.endswith("</w>") or entry == "<unk>"
    ctrl_vocab[entry.removesuffix("</w>") if whole else f"{entry}@@"] = index
Path("vocab.json").write_text(json.dumps(ctrl_vocab), "utf-8")
rules = [" ".join(pair) for pair in ends["merges"]]
Path("merges.txt").write_text("\n".join(["#version: 0.2", *rules, ""]), "utf-8")
scores = [tuple(pair) for pair in unigram["vocab"]]
in_ends = {"vocab": ends["vocab"], "merges": ends["merges"]}
in_bytes = {"vocab": in_bytes["vocab"], "merges": in_bytes["merges"]}

# %%
families = {
    "WordPiece": (BertTokenizer(vocab=piece["vocab"]), ["BERT", "DistilBERT", "ELECTRA"]),
    "BPE, word ends marked": (OpenAIGPTTokenizer(**in_ends), ["OpenAI GPT"]),
    "BPE, @@ inside words": (CTRLTokenizer("vocab.json", "merges.txt"), ["CTRL"]),
    "byte-level BPE": (GPT2Tokenizer(**in_bytes), ["GPT-2"]),
    "byte-level BPE, <s> … </s>": (RobertaTokenizer(**in_bytes), ["RoBERTa"]),
    "Unigram, marks at the end": (XLNetTokenizer(vocab=scores, unk_id=3), ["XLNet"]),
    "Unigram, <s> … </s>": (XLMRobertaTokenizer(vocab=scores), ["XLM-RoBERTa"]),
    "BPE, in the wrapper": (PreTrainedTokenizerFast(tokenizer_object=ends["raw"], **unknown), ["XLM"]),
}

# %% [markdown]
# Now the loop. The sizes go by **one** set of names for all ten, thanks to `attribute_map`. The full size
# is counted on the meta device, from the default config.

# %%
rows = []
small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
for family, (own_tokenizer, members) in families.items():
    for name in members:
        more = {"d_head": 16} if name == "XLNet" else {}  # it wants to be told the width of a head, too
        config = AutoConfig.for_model(loop[name], vocab_size=len(own_tokenizer), **small, **more)
        model = AutoModel.from_config(config).eval()
        ids = torch.tensor([own_tokenizer.encode("Here is some text to encode")])
        with torch.no_grad():
            last_hidden_states = model(ids)[0]  # [1, tokens, 32]
        rows.append([name, type(model).__name__, family, list(last_hidden_states.shape)])

# %%
ten = pd.DataFrame(rows, columns=["architecture", "model", "tokenizer family", "output"])
with torch.device("meta"):
    defaults = [AutoModel.from_config(AutoConfig.for_model(loop[name])) for name in ten["architecture"]]
full = [model.num_parameters() for model in defaults]
ten = ten.assign(parameters=full).sort_values("parameters", ignore_index=True)
ten.assign(parameters=ten["parameters"].map("{:,}".format))

# %%
assert len(ten) == 10 and all(shape[0] == 1 and shape[2] == 32 for shape in ten["output"])
figure, axes = plt.subplots(figsize=(7.2, 3.2))
millions = ten["parameters"] / 1e6
bars = axes.barh(ten["architecture"], millions, color="#0072B2")
axes.bar_label(bars, [f"{value:,.0f}" for value in millions], padding=4)
axes.set(xscale="log", xlim=(8, 4000), xlabel="million parameters of the default config (logarithmic)")
axes.set_title("One loop, ten architectures, a hundredfold range of sizes");

# %% [markdown]
# Look for two equal bars: BERT and XLM-RoBERTa. Their **default** configs name the same sizes, and a default is a
# starting point, not a checkpoint. The published XLM-RoBERTa has 250,002 entries in its vocabulary, 514 positions and
# one type, which more than doubles it. What a checkpoint is, only its own `config.json` says.

# %%
real = {"vocab_size": 250_002, "max_position_embeddings": 514, "type_vocab_size": 1}
with torch.device("meta"):
    published = AutoModel.from_config(AutoConfig.for_model("xlm-roberta", **real))
f"{published.num_parameters():,}"

# %% [markdown]
# ## 5.14 A model without its Python: trace and export
# <!-- T092 -->
# Older code loads models with `torchscript=True` and traces them, to run them where there is no Python. Before you run
# this: does the flag still exist? And must a traced model get inputs of the length that it was traced with?

# %%
import warnings

with lab.expect_error(TypeError):
    AutoModel.from_pretrained("minilm", torchscript=True)

names = ["input_ids", "attention_mask", "token_type_ids"]
example = tokenizer(["time flies", "fruit flies like a banana"], padding=True, return_tensors="pt")
other = tokenizer(["one", "a longer sentence of several words", "a third"], padding=True, return_tensors="pt")
plain = AutoModel.from_pretrained("minilm", return_dict=False)  # a trace gives tuples, not objects
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    traced = torch.jit.trace(plain, tuple(example[name] for name in names), check_trace=False)
print(next(str(one.message) for one in told if "deprecated" in str(one.message)))

# %%
traced.save("traced.pt")
loaded = torch.jit.load("traced.pt")
with torch.inference_mode():
    reference = trained(**other).last_hidden_state
    from_trace = loaded(*[other[name] for name in names])[0]
difference = (from_trace - reference).abs().max().item()
assert difference < 1e-4  # the same operations; the tolerance leaves room for another order of sums
difference

# %% [markdown]
# The flag is gone (`return_dict=False` does what was needed of it here). Tracing still works and gives the same outputs
# up to rounding, also for another batch and another length, but PyTorch itself calls it deprecated. The reason is how
# it works: it runs the model **once** and writes down what happens. A decision in Python is not written down, only its
# outcome:

# %%
class Careful(torch.nn.Module):
    def forward(self, x):
        return x + 100 if x.sum() > 0 else x

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    frozen = torch.jit.trace(Careful(), torch.ones(2))
print(next(str(one.message).split(".")[0] for one in told if "boolean" in str(one.message)))
Careful()(-torch.ones(2)), frozen(-torch.ones(2))

# %% [markdown]
# For negative numbers the trace takes the way that it saw with positive ones. Whoever makes the trace is warned (the
# first line); whoever runs it is told nothing. Its successor, `torch.export`, refuses such a decision, and checks what
# it gets:

# %%
import contextlib
import io
import logging
from torch.export import Dim, export

logging.disable(logging.CRITICAL)  # export also prints how far it came; its error is enough here
with contextlib.redirect_stderr(io.StringIO()):
    try:
        export(Careful(), (torch.ones(2),))
    except RuntimeError as error:
        print(type(error).__name__, "→", str(error).split("(")[0])
logging.disable(logging.NOTSET)

# %%
free = {0: Dim("batch", min=1, max=64), 1: Dim("tokens", min=2, max=512)}
exported = export(trained, (), dict(example), dynamic_shapes=dict.fromkeys(example, free))
torch.export.save(exported, "minilm.pt2")

# %%
program = torch.export.load("minilm.pt2").module()
with torch.inference_mode():
    from_export = program(**other).last_hidden_state
assert (from_export - reference).abs().max() < 1e-4
with lab.expect_error(AssertionError):
    export(small_bert, (torch.ones(2, 5, dtype=int),)).module()(torch.ones(3, 9, dtype=int))
traced = loaded = exported = program = plain = None  # each holds the weights once more

# %% [markdown]
# The exported program is one file with weights and graph. It says which dimensions are free: with `Dim` for batch and
# tokens it takes other batches up to the sizes named there, without them it **complains** about another shape, instead
# of guessing. To make a model faster rather than portable, there is `torch.compile`.

# %% [markdown]
# ## 5.15 What a weights file can do to you
# <!-- T093 -->
# `pytorch_model.bin`, the format of older checkpoints, is a Python **pickle**. A pickle is not data, but a small
# program that rebuilds objects. Before you run this: can opening a file of weights write a file on your disk?

# %%
class Surprise:
    """Harmless: when it is *unpickled*, it writes one line into a file of this chapter's folder."""

    def __reduce__(self):
        return exec, ("open('surprise.txt', 'w').write('Your computer ran my code.')",)

torch.save({"weight": torch.zeros(2), "extra": Surprise()}, "pytorch_model.bin")
print("after writing:", Path("surprise.txt").exists())
torch.load("pytorch_model.bin", weights_only=False)
print("after loading:", Path("surprise.txt").read_text())

# %% [markdown]
# Nobody called anything. `__reduce__` says how an object wants to be rebuilt: *call this function with these
# arguments*. Here it is `exec`. `torch.load` obeyed.
#
# For years that was what `torch.load` did unless it was told otherwise. Since PyTorch 2.6 its default is
# `weights_only=True`: it rebuilds tensors and simple containers, and refuses to call anything that isn't on its list.

# %%
import pickle

Path("surprise.txt").unlink(missing_ok=True)
with lab.expect_error(pickle.UnpicklingError):
    torch.load("pytorch_model.bin")
print("ran anything?", Path("surprise.txt").exists())

# %% [markdown]
# `transformers` loads a `.bin` the same careful way: an honest one works, ours is refused.

# %%
with_config("small", "foreign")
Path("foreign/model.safetensors").unlink()
torch.save(small_bert.state_dict(), "foreign/pytorch_model.bin")
print("an honest file:", type(AutoModel.from_pretrained("foreign")).__name__)
shutil.copy("pytorch_model.bin", "foreign")
with contextlib.redirect_stdout(io.StringIO()), lab.expect_error(pickle.UnpicklingError):  # the message above
    AutoModel.from_pretrained("foreign")
print("ours ran anything?", Path("surprise.txt").exists())

# %% [markdown]
# Safer, but still an interpreter with a list of what is allowed. **safetensors** has nothing to run. You read the whole
# format in section 5.4: a length, JSON with names, dtypes, shapes and offsets, then numbers. There is no place where
# code could stand. Give it the same trick:

# %%
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model, save_file, save_model

with lab.expect_error(ValueError):
    save_file({"weight": torch.zeros(2), "extra": Surprise()}, "bad.safetensors")
Path("disguised.safetensors").write_bytes(pickle.dumps(Surprise()))
with lab.expect_error(SafetensorError):
    load_file("disguised.safetensors")
print("ran anything?", Path("surprise.txt").exists())

# %%
tensors = {"weight1": torch.zeros(1024, 1024), "weight2": torch.zeros(1024, 1024)}
save_file(tensors, "new_model.safetensors")
{name: list(tensor.shape) for name, tensor in load_file("new_model.safetensors").items()}

# %% [markdown]
# It can't be written, and a pickle in disguise is not read. (A *model* can still bring code, as in section 5.8:
# safetensors makes the weights safe, not the `modeling_….py`.)
#
# One thing the format won't do is to store a tensor under two names. Take a model whose two layers are one. Before you
# run this: which of the two calls will fail?

# %%
class Shared(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(100, 100)
        self.b = self.a

shared = Shared()
with lab.expect_error(RuntimeError):
    save_file(shared.state_dict(), "shared.safetensors")
save_model(shared, "shared.safetensors")
print(list(shared.state_dict()), "→ on disk:", list(load_file("shared.safetensors")))

# %%
fresh = Shared()
print(load_model(fresh, "shared.safetensors"))
torch.equal(fresh.b.weight, shared.a.weight), fresh.a.weight is fresh.b.weight

# %% [markdown]
# `save_file` takes a plain dict and refuses; `save_model` knows the module, stores one copy, and `load_model` fills
# both names from it. `save_pretrained` does the same for tied embeddings.
#
# ### Exercise 5.8
# Write `stored_bytes(state)`: how many bytes of numbers must be stored for a state dict (name → tensor), if tensors
# that share their memory are stored once? Two tensors share it if they start at the same place, `tensor.data_ptr()`;
# equal numbers in two places count twice. (Here two that start at the same place are also of the same size: the state
# holds no `w[:5]` beside its `w`.) For example, for `w = torch.zeros(10)` (float32), `stored_bytes({"a": w, "b": w})`
# is 40, and `stored_bytes({"a": w, "b": w.clone()})` is 80.

# %% tags=["exercise"]
def stored_bytes(state: dict) -> int:
    """Bytes of the numbers in a state dict, each piece of memory counted once."""
    # BEGIN SOLUTION
    once = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in state.values()}
    return sum(once.values())
    # END SOLUTION

# %% tags=["check"]
lab.check("5.8", stored_bytes)

# %% [markdown]
# `lab.hint("5.8")` helps.

# %% [markdown]
# ## 5.16 Four bits a weight: a GGUF file
# <!-- T316 -->
# Half precision needs 16 bits for a number. Models for laptops and phones also come with about **four**, in a file of
# another format: **GGUF**, made for the program llama.cpp. Our chat model was published like that, and offline its file
# lies beside the ordinary ones. Before you run this: with four bits you can write 16 different numbers. How can 16
# numbers be enough for 134 million weights?

# %%
random_model = again = by_id = from_weights = classifier = open_model = with_head = None  # room for a larger model
llm = lab.checkpoint("llm")
packed = next(Path(llm).glob("*.gguf"), None) if Path(llm).is_dir() else None  # in hub mode, llm is an id
if packed is None:
    print("No GGUF file here: it comes with the offline checkpoint. The cells of this section have nothing to show.")
else:
    files = {path.name: path.stat().st_size / 1e6 for path in (packed, Path(llm, "model.safetensors"))}
    files["in memory, float32"] = 4 * 134_515_008 / 1e6
    print(pd.Series(files).round(1).to_string())

# %%
from gguf import GGUFReader

if packed:
    reader = GGUFReader(packed)
    contents = {name: field.contents() for name, field in reader.fields.items()}
    for name, value in contents.items():
        print(f"{name:40} {str(value)[:70]!r}")

# %% [markdown]
# One file holds everything: the config (`llama.block_count` is the number of layers), the vocabulary with its merges,
# the special tokens, even the chat template. Nothing lies beside it that could get lost. And the weights?

# %%
if packed:
    rows = [[t.tensor_type.name, int(t.n_elements), int(t.n_bytes)] for t in reader.tensors]
    kinds = pd.DataFrame(rows, columns=["type", "weights", "bytes"]).groupby("type").agg(["sum", "count"])
    table = kinds["weights"].rename(columns={"sum": "weights", "count": "tensors"})
    table["bits per weight"] = 8 * kinds["bytes", "sum"] / kinds["weights", "sum"]
    print(table.sort_values("weights"))
    print("in all:", 8 * sum(row[2] for row in rows) / sum(row[1] for row in rows), "bits per weight")

# %% [markdown]
# Three types. The matrices of the layers are `Q4_1`, with 5 bits a weight rather than 4. The embedding, which is also
# the output layer, is `Q8_0`, and the few numbers of the norms stay in float32. Where does the fifth bit come from?
# Here is the secret: the weights are packed in **blocks of 32**, and each block of `Q4_1` has two numbers of its own, a
# step and a smallest value. So the 16 levels lie where the block's numbers are. Unpack a tensor by hand:

# %%
def unpack(blocks: np.ndarray) -> np.ndarray:
    """The weights of Q4_1 blocks of 20 bytes, [blocks, 20] → [blocks, 32]."""
    step = blocks[:, 0:2].copy().view(np.float16).astype(np.float32)  # [blocks, 1]
    smallest = blocks[:, 2:4].copy().view(np.float16).astype(np.float32)
    low, high = blocks[:, 4:] & 15, blocks[:, 4:] >> 4  # two numbers from 0 to 15 in each of 16 bytes
    return step * np.concatenate([low, high], axis=1) + smallest

if packed:
    tensor = next(t for t in reader.tensors if t.name == "blk.0.ffn_down.weight")
    by_hand = unpack(tensor.data.reshape(-1, 20)).reshape(tensor.shape[::-1])  # GGUF names the columns first
    print(by_hand.shape, "| different numbers in one block:", len(np.unique(by_hand[0, :32])))

# %% [markdown]
# A block: 2 bytes for the step, 2 for the smallest value, 16 bytes for 32 small numbers, 20 bytes in all, which is 5
# bits a weight. Does the library read the same from it? `gguf_file=` makes `from_pretrained` unpack the file. (That
# takes a while; the config is given, so that the file is read once only.)

# %%
if packed:
    config = AutoConfig.from_pretrained(llm, revision=llm.revision)
    auto, folder = transformers.AutoModelForCausalLM, packed.parent
    unpacked = auto.from_pretrained(folder, gguf_file=packed.name, config=config)
    by_library = unpacked.model.layers[0].mlp.down_proj.weight.detach()
    print("by hand equals the library's:", torch.equal(torch.from_numpy(by_hand), by_library))
    print("in memory:", unpacked.dtype, round(unpacked.get_memory_footprint() / 1e6, 1), "MB")
    with lab.expect_error(ValueError):
        unpacked.save_pretrained("unpacked")

# %% [markdown]
# Equal to the last bit. What you get is an **ordinary float32 model**, with ordinary memory: the four bits are for the
# disk. (llama.cpp computes with the packed weights.) And it refuses to be saved: the library counts it as quantized,
# and can't write GGUF. The ordinary files of this checkpoint were made from the same GGUF file, in half precision.
# Before you run this: will the two give the same answer? And will an ordinary model take the other one's weights?

# %%
if packed:
    ordinary = transformers.AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision).eval()
    pairs = zip(unpacked.state_dict().values(), ordinary.state_dict().values())
    print("largest difference of a weight:", max((a - b).abs().max().item() for a, b in pairs))
    chat = AutoTokenizer.from_pretrained(llm, revision=llm.revision)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = chat.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt")
    for model in (unpacked, ordinary):
        written = model.generate(**prompt, max_new_tokens=10, do_sample=False)  # always the most likely token
        print(chat.decode(written[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))
    print(ordinary.load_state_dict(unpacked.state_dict()))

# %% [markdown]
# The same, and it must nearly be so: both come from the same packed file, and differ by the rounding of half precision
# only. The last line is the way out if you want to save such a model: an ordinary one takes its weights. All this says
# nothing about what quantizing **cost**, since the numbers from before are not in the file. So quantize a model whose
# full numbers you do have: the encoder, in three types. Before you run this: how large will the error be, compared with
# the weights: a hundredth, a tenth?

# %%
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

def there_and_back(kind: GGMLQuantizationType) -> tuple[torch.nn.Module, dict]:
    """The encoder with its matrices quantized and unpacked again; its size and its relative error."""
    model, size, errors = AutoModel.from_pretrained("minilm"), 0, []
    for weight in (parameter.data for parameter in model.parameters()):
        size += weight.nbytes if weight.ndim == 1 else (small := quantize(weight.numpy(), kind)).nbytes
        if weight.ndim == 2:
            back = torch.from_numpy(dequantize(small, kind))
            errors.append((back - weight).norm() / weight.norm())
            weight.copy_(back)
    return model, {"MB": size / 1e6, "error of the weights": torch.stack(errors).mean().item()}

# %%
unpacked = ordinary = model = None  # more than a gigabyte that isn't needed any more
exact, rows = similarities(trained), {}
rows["F32"] = {"MB": 4 * trained.num_parameters() / 1e6, "error of the weights": 0.0, "change of a similarity": 0.0}
nearest = {"F32": (exact - 2 * torch.eye(4)).argmax(dim=1).tolist()}  # each sentence's nearest other one
for name in ("Q8_0", "Q5_1", "Q4_1"):
    model, rows[name] = there_and_back(GGMLQuantizationType[name])
    changed_to = similarities(model)
    rows[name]["change of a similarity"] = (changed_to - exact).abs().max().item()
    nearest[name] = (changed_to - 2 * torch.eye(4)).argmax(dim=1).tolist()
quantized = pd.DataFrame(rows).T
quantized.assign(nearest=[str(places) for places in nearest.values()]).round(4)

# %%
figure, panels = plt.subplots(1, 3, figsize=(9.6, 2.6))
for axes, column in zip(panels, quantized.columns):
    axes.bar(quantized.index, quantized[column], color="#0072B2")
    axes.set_title(column, fontsize=11)
    axes.grid(axis="x", visible=False)
figure.suptitle("Fewer bits: a smaller file, larger errors", x=0.01, ha="left")
assert len(set(map(str, nearest.values()))) == 1  # the nearest sentence stays the nearest

# %% [markdown]
# From left to right: the numbers take about a quarter of the room with `Q8_0`, and a sixth with `Q4_1`. A matrix moves
# by less than a hundredth of its length with 8 bits, and by nearly a tenth with 4. That sounds like much, and yet a
# similarity moves by a few hundredths only. Do the errors cancel on their way through the layers? Look at the vectors
# of the last model, `Q4_1`:

# %%
def vectors(model) -> torch.Tensor:
    """The last vectors of all tokens of the four sentences, [tokens, width]."""
    with torch.inference_mode():
        return model(**batch).last_hidden_state[batch["attention_mask"].bool()]

before, after = vectors(trained), vectors(model)
moved = (after - before).norm(dim=1) / before.norm(dim=1)
turned = torch.nn.functional.cosine_similarity(after, before)
print(f"a vector moves by {moved.mean().item():.2f} of its length; cosine with the old one {turned.mean().item():.2f}")
assert moved.mean() > quantized.loc["Q4_1", "error of the weights"]

# %% [markdown]
# They don't: the vectors have moved by more than the weights did. But they are turned only a little, and a cosine looks
# at directions alone. The answer to *which sentence is nearest?* is the same each time. That is the bargain: the
# numbers change, and these answers don't. Where an answer hangs on a hair's breadth, it may.

# %% [markdown]
# ## 5.17 What became of TensorFlow
# <!-- T094 -->
# Older code has `TF` in front of a class name, trains with Keras, and loads the result with `from_tf=True`. Before you
# run this: what is left of it?

# %%
names = dir(transformers)
left = {
    "models whose name begins with TF": sum(name.startswith("TF") and "Model" in name for name in names),
    "models whose name begins with Flax": sum(name.startswith("Flax") for name in names),
    "parameter from_tf": "from_tf" in inspect.signature(BertModel.from_pretrained).parameters,
}
Path("tf-only").mkdir(exist_ok=True)
shutil.copy("minilm/config.json", "tf-only")
Path("tf-only", "tf_model.h5").write_bytes(b"weights of a TensorFlow model")
with lab.expect_error(OSError):
    AutoModel.from_pretrained("tf-only", from_tf=True)
left

# %% [markdown]
# None of the three. Version 5 is a PyTorch library; a folder that has only `tf_model.h5` counts as one without weights.
# What to do:
#
# | you have | you do |
# | --- | --- |
# | an id on the Hub with `tf_model.h5` and `model.safetensors` | nothing: the safetensors file is taken |
# | a folder with only `tf_model.h5` | convert it once, in an environment of its own with `transformers<5` and TensorFlow: `from_pretrained(…, from_tf=True)`, then `save_pretrained` |
# | code with `TFAutoModel…`, Keras `fit` | write it with the PyTorch class and a `Trainer` (chapter 10) |
# | a need for TensorFlow or JAX at the end | train here, hand over tensors: safetensors files have readers for NumPy, TensorFlow and JAX |

# %%
from safetensors.numpy import load_file as load_numpy

arrays = load_numpy("minilm/model.safetensors")
print([name for name in ("numpy", "tensorflow", "flax") if importlib.util.find_spec(f"safetensors.{name}")])
type(arrays["pooler.dense.weight"]).__name__, arrays["pooler.dense.weight"].shape

# %% [markdown]
# ## What changed since the notes
# The notes are the five study documents that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `save_pretrained` writes `pytorch_model.bin` | it writes `model.safetensors`; `safe_serialization=False` is ignored | a pickle can run code |
# | `from_pretrained(…, torchscript=True)` | `from_pretrained(…, return_dict=False)`, then `torch.jit.trace`; better `torch.export` | TorchScript is deprecated |
# | `TransfoXLModel`, `TransfoXLTokenizer` | removed; `XLNetModel` is a relative | its code was no longer maintained |
# | `TFBertModel`, `from_tf=True`, `from_pt=True` | `BertModel` | TensorFlow and Flax support ended with version 5 |
# | `torch_dtype=` | `dtype=` | shorter; the default is now the dtype that the config names |
# | `BertConfig(position_embedding_type=…)` | stored and ignored: BERT's positions are absolute | relative positions were removed from BERT |
# | `model(**batch, output_attentions=True)` | `from_pretrained(…, output_attentions=True)` or `attn_implementation="eager"` | the default `sdpa` has no weights to show, and a call doesn't switch it |
# | `snapshot_download(local_dir_use_symlinks=False)` | `local_dir="folder"` | with `local_dir` there are no links any more |
# | `allow_regex`, `ignore_regex` | `allow_patterns`, `ignore_patterns` | they are patterns such as `*.json`, never were regular expressions |
# | `~/.cache/huggingface/transformers` | `~/.cache/huggingface/hub` | one cache for all that comes from the Hub |
# | "Some weights were not initialized …" | the loading report: MISSING, UNEXPECTED, MISMATCH | one table for all cases |

# %%
ids = torch.tensor([[2, 7, 11, 3]])
small_bert.save_pretrained("last")
assert Path("last/model.safetensors").exists() and not Path("last/pytorch_model.bin").exists()
tuples = AutoModel.from_pretrained("last", return_dict=False)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    assert isinstance(torch.jit.trace(tuples, ids, check_trace=False)(ids), tuple)
assert export(small_bert, (ids,)).module()(ids).last_hidden_state.shape == (1, 4, 32)
with torch.device("meta"):
    assert transformers.XLNetModel(transformers.XLNetConfig()).num_parameters() > 10**8
assert isinstance(BertModel.from_pretrained("last"), BertModel) and not hasattr(transformers, "TFBertModel")
assert AutoModel.from_pretrained("last", dtype=torch.float16).dtype == torch.float16

# %%
assert trained.config.position_embedding_type == "absolute"  # stored …
assert not hasattr(trained.embeddings, "position_embedding_type")  # … and ignored
for asked_for in ({"output_attentions": True}, {"attn_implementation": "eager"}):
    eager = AutoModel.from_pretrained("last", **asked_for)
    assert len(eager(ids, output_attentions=True).attentions) == 2
assert Path("plain/config.json").exists()  # written with local_dir= in section 5.6
patterns = {"allow_patterns": ["*.json"], "ignore_patterns": ["tokenizer*"]}
copied = snapshot_download("workbook/minilm", **where, **patterns)
assert Path(copied, "config.json").exists() and Path(constants.HF_HUB_CACHE).name
assert load(AutoModelForSequenceClassification, "last")["newly initialised"] == 2
server.shutdown()

# %% [markdown]
# ## Quiz

# %%
lab.quiz("05")

# %% [markdown]
# ## Recap
# - A config is data that says what to build; unknown names are kept without a word; parameters can be counted from it
#   on the meta device, or by a formula.
# - `save_pretrained` writes `config.json` and `model.safetensors`: a length, a JSON header, plain numbers. A name is
#   that of a folder, or else an id: the Hub or its mirror says which commit, and the cache gives what it has of it.
# - The cache keeps contents once, under their hash; snapshots are links; deleting a revision frees only what no other
#   one uses.
# - `model_type` chooses the config class, a table chooses the model class, and `auto_map` brings code that runs only if
#   you trust it.
# - MISSING on a head means *train me*; MISSING nearly everywhere means that the names don't fit, as with the wrong
#   class; UNEXPECTED is left over; MISMATCH is an error.
# - A pickle is a program and can do anything; safetensors has no place for code; our GGUF file keeps four or eight bits
#   a weight, in blocks of 32, and unpacks to an ordinary model.
#
# Next: chapter 06, BERT from the inside, opens the layers that you counted here and rebuilds each of them.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - *`architectures` decides*: 5.7 changes it, and nothing happens. `model_type` decides.
# - Sizes of snapshots can be added up; the cache keeps each content once (5.6).
# - `MISSING` can be taken for an error, or for harmless. On a head it means *train me*, nearly everywhere it means the
#   wrong class (5.10).
# - A four-bit file can be taken for a model that needs little memory; here it unpacks to float32 (5.16).
#
# **To discuss:**
#
# - *A colleague sends you a folder with a model and its code. What do you do before you load it?* Lean on the line that
#   5.8 prints on loading; the file that 5.15 writes. A good answer reads the code, pins `revision` and `code_revision`,
#   says `False` in scripts, and knows that safe weights don't make code safe.
# - *Unknown names are kept without a word. Is that a good decision of the library?* Lean on the five lines of 5.1;
#   exercise 5.1. A good answer sees that custom models need it and that the typo of three layers pays for it, and says
#   where a check could stand.
# - *DistilBERT has half the layers. What has it saved?* Lean on 5.2: the table of blocks, then that of operations. A
#   good answer keeps parameters and work apart, and says where the embeddings go.
# - *Which answers survive four bits, and how would you know for yours?* Lean on 5.16: the last table and the line on
#   moved vectors. A good answer sets ranks against numbers, knows that the vectors moved by more than the weights, and
#   tests questions of one's own.
#
# **If time is short.** 5.17, 5.14 and 5.13 can be left out (5.15 takes two imports from 5.14, `contextlib` and `io`;
# *What changed* takes `export` and `warnings`). Chapters 07, 11, 13 and 15 lean on 5.4, 5.8, 5.15 and 5.16. Exercise to
# keep: 5.5. (5.7 and 7.9 ask for nearly the same: one of them is enough.)
#
# **In class.** `labs fetch llm` for 5.10 and 5.16. The chapter writes into a folder that goes with the kernel, so after
# a restart begin at the first cell. 5.5 starts a small server on the machine itself. On Windows without the right to
# make links, 5.6 looks different, as its text says.
