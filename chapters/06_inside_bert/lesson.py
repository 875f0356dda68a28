# %% [markdown]
# # 06 BERT from the inside
#
# You rebuild BERT line by line from its own weights, prove every piece equal to the library's, and then train a tiny
# one from nothing.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | rebuild embeddings, attention, feed-forward, layer and pooler by hand, and get the library's numbers | 140 minutes | chapters 01, 04 and 05 |
# | turn a 0/1 attention mask into the one that is added to the scores | | a little PyTorch |
# | count what BERT is made of, and say what each saving technique saves | | |
# | find out which attention heads matter, switch them off and cut them out | | |
# | measure the masking recipe, recompute BERT's two losses, and pretrain a tiny BERT | | |
# | run BERT as a decoder, with a cache and with cross-attention | | |
# | rebuild a layer of a language model of today, and name what has changed | | |

# %%
import labs_utils as lab
lab.start("06")

# %% [markdown]
# One can read BERT's source file from top to bottom. You do that here, with one difference: each piece has to run. You
# write it, and its numbers must be those of the library's module, on real weights. The model is the course's encoder,
# MiniLM: a BERT with 6 layers, 384 numbers per token and 12 heads. `attn_implementation="eager"` asks for the attention
# that you can read in the source.

# %%
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
model = AutoModel.from_pretrained(encoder, revision=encoder.revision, attn_implementation="eager")
model = model.eval().requires_grad_(False)
pairs = [("The bank was closed.", "We sat by the river."), ("Two dogs sleep.", "Nobody else does.")]
batch = tokenizer([a for a, _ in pairs], [b for _, b in pairs], padding=True, return_tensors="pt")
batch["input_ids"].shape  # [texts, tokens]

# %% [markdown]
# ## 6.1 The map
# <!-- T101 T317 -->
# Many tutorials promise BERT in five lines. Before you run them here: `tokenizer("Hello world!")` gives lists. What
# does the model say about a list?

# %%
with lab.expect_error(AttributeError):
    model(**tokenizer("Hello world!"))
hello = model(**tokenizer("Hello world!", return_tensors="pt"))
hello.last_hidden_state.shape, hello.pooler_output.shape

# %% [markdown]
# The five lines often lack `return_tensors="pt"`, and stop with that error. With it you get one vector for each token,
# and one "pooled" vector for the text. Here is what happens on the way, for the batch of two pairs:

# %%
lab.shapes(model, depth=2, **batch)

# %% [markdown]
# Three parts: embeddings, an encoder that is a list of equal layers, and a pooler. Now one layer in full:

# %%
lab.shapes(model.encoder.layer[0], depth=3, hidden_states=model.embeddings(batch["input_ids"]))

# %% [markdown]
# Read the shapes from the top down. The width stays 384 everywhere but in one place: `intermediate` makes it four times
# as wide, and `output` brings it back. The bars show where the parameters are: about twice as many in these two as in
# the attention.
#
# And what kind of object is the model? Ask Python for its ancestors:

# %%
print(" → ".join(kind.__name__ for kind in type(model).__mro__[:4]))
for kind, method in ((torch.nn.Module, "state_dict"), (type(model).__mro__[2], "from_pretrained"), (type(model), "forward")):
    print(f"{method:16} is written in {getattr(kind, method).__qualname__}")

# %% [markdown]
# `BertModel` brings the computation, `PreTrainedModel` everything that all models of the library can do (loading,
# saving, resizing, drawing the weights of a new model), and PyTorch's `Module` holds the tensors.
# `BertPreTrainedModel`, between them, is short: it names BERT's config, and what is special about BERT at the start.
#
# From here on you only need a dictionary of named tensors:

# %%
weights = model.state_dict()
list(weights)[:6], len(weights)

# %%
def linear(name, x):
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

def gap(mine, library):
    """The largest difference between two tensors."""
    return (mine - library).abs().max().item()

# %% [markdown]
# ## 6.2 Embeddings
# <!-- T100 T317 -->
# A token's first vector is a sum of three: which word it is, at which place, in which segment. Before you run this:
# there are 30,522 words, 512 places and 2 segments. How many of the 512 rows does your batch use?

# %%
ids, types = batch["input_ids"], batch["token_type_ids"]
table = weights["embeddings.word_embeddings.weight"]
words = table[ids]  # [2, 14, 384]: a row for each id
places = weights["embeddings.position_embeddings.weight"][: ids.shape[1]]  # [14, 384]: the same for each text
segments = weights["embeddings.token_type_embeddings.weight"][types]  # [2, 14, 384]
summed = words + segments + places  # [2, 14, 384]
table.shape, words.shape, places.shape, segments.shape, summed.shape

# %% [markdown]
# An embedding layer is a table, and looking up is indexing. The first rows of the position table are used, one for each
# token of the longest text. Then comes a **LayerNorm**: each token's 384 numbers get mean 0 and variance 1, then a
# learned scale and shift. Nothing is mixed between tokens. (In training, a BatchNorm would normalise over the texts of
# the batch: then a text's vector would depend on the other texts.)

# %%
mean = summed.mean(dim=-1, keepdim=True)  # [2, 14, 1]
variance = summed.var(dim=-1, unbiased=False, keepdim=True)  # [2, 14, 1]
normal = (summed - mean) / (variance + model.config.layer_norm_eps).sqrt()  # [2, 14, 384]
scale, shift = (weights[f"embeddings.LayerNorm.{name}"] for name in ("weight", "bias"))  # [384] each
embedded = normal * scale + shift  # [2, 14, 384]
library = model.embeddings(ids, token_type_ids=types)
assert gap(embedded, library) <= 5e-6  # values of a few units, and sums of 384 numbers in another order
gap(embedded, library)

# %% [markdown]
# Equal, up to the last bits of float32: `F.layer_norm` gets to the same numbers by other steps. (After the LayerNorm
# stands a dropout, which does nothing in `eval` mode.) From here on `F.layer_norm` does these four lines.
#
# The positions are learned, not calculated. Did the model find out that places have neighbours? Compare the rows with
# each other:

# %%
import matplotlib.pyplot as plt

rows = F.normalize(weights["embeddings.position_embeddings.weight"][:64], dim=-1)  # [64, 384]
figure, axes = plt.subplots(figsize=(4.6, 3.8))
picture = axes.imshow(rows @ rows.T, vmin=0, vmax=1)  # [64, 64]
axes.grid(False)
axes.set(xlabel="position", ylabel="position")
axes.set_title("Nobody told the positions who is next to whom")
figure.colorbar(picture, label="cosine similarity");

# %% [markdown]
# Look at the bright diagonal: neighbouring places have similar vectors. Of these 64 only position 0, where `[CLS]`
# stands, is hardly like its neighbours.
#
# The first step and the places can also be given from outside. `inputs_embeds` are vectors instead of ids,
# `position_ids` say which row each token gets. Before you run this: what comes out if you give what the model would
# have taken by itself?

# %%
others = {"token_type_ids": types, "attention_mask": batch["attention_mask"]}
usual = model(ids, **others).last_hidden_state
looked_up = model(inputs_embeds=words, **others).last_hidden_state
numbered = model(ids, position_ids=torch.arange(ids.shape[1])[None], **others).last_hidden_state
moved, again = (model(ids, position_ids=torch.arange(ids.shape[1])[None] + by, **others).last_hidden_state for by in (1, 2))
assert gap(again, moved) > 1e-2
with lab.expect_error(ValueError):
    model(ids, inputs_embeds=words)
gap(looked_up, usual), gap(numbered, usual), gap(moved, usual), gap(again, moved)

# %% [markdown]
# The same, to the last bit; ids and vectors together are refused. And BERT minds *where* a text stands: one place to
# the right, and the vectors are others. The last number is a second step to the right. It is smaller, for `[CLS]` had
# left its place 0 already, but it is far above rounding.
#
# Two things follow from tables of fixed size. Many tutorials say that segment ids tell "the first sentence, the second
# sentence and the padding" apart. Look at what padding gets, and at what a third kind of id would do:

# %%
import pandas as pd

print(pd.DataFrame([tokenizer.convert_ids_to_tokens(ids[1]), types[1].tolist()]).to_string(index=False, header=False))
assert types[1][batch["attention_mask"][1] == 0].unique().tolist() == [0]
with lab.expect_error(IndexError):
    model(ids, token_type_ids=torch.full_like(ids, 2))

# %% [markdown]
# Padding gets segment 0, like the first text. There are two rows, so there is no third kind. What marks the padding is
# the attention mask of the next section. And a familiar warning is right: learned positions don't go on. There is
# no row for a 513th token.

# %%
one_too_many = torch.arange(513)[None]  # the places 0 … 512
with lab.expect_error(IndexError):
    model(torch.full((1, 513), 1000), position_ids=one_too_many, token_type_ids=torch.zeros_like(one_too_many))

# %% [markdown]
# ### Exercise 6.1
# Write `layer_norm(x, weight, bias, eps)` without the library's own norms: `x` is a float tensor `[..., width]`,
# `weight` and `bias` are `[width]`, `eps` is a small number. Normalise the **last** dimension, whatever stands before
# it, and return a tensor of the same shape. It should also hold for numbers far from 0, such as 3,000 and 3,001. For
# example, `x = [1., 3.]` with weight 1, bias 0 and eps 0 gives `[-1., 1.]`.

# %% tags=["exercise"]
def layer_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """Give every vector [..., width] mean 0 and variance 1, then scale and shift it."""
    # BEGIN SOLUTION
    centred = x - x.mean(dim=-1, keepdim=True)
    spread = (centred.pow(2).mean(dim=-1, keepdim=True) + eps).sqrt()
    return centred / spread * weight + bias
    # END SOLUTION

# %% tags=["check"]
lab.check("6.1", layer_norm)

# %% [markdown]
# `lab.hint("6.1")` helps.

# %% [markdown]
# ## 6.3 The mask: from 0/1 to 0/−large
# <!-- T102 -->
# The tokenizer's mask says 1 for a token and 0 for padding. Attention needs something that it can **add** to its
# scores. Before you run this: which number, added to a score before the softmax, makes a weight of 0?

# %%
mask = batch["attention_mask"]  # [2, 14]: 1 and 0
lowest = torch.finfo(torch.float32).min  # about -3.4e38
extended = (1.0 - mask[:, None, None, :].float()) * lowest  # [2, 1, 1, 14]: texts, heads, queries, keys
scores = torch.zeros(2, 12, 14, 14)  # [texts, heads, queries, keys], all equal for now
shares = (scores + extended).softmax(dim=-1)  # [2, 12, 14, 14]
mask[1], shares[1, 0, 0].round(decimals=3)

# %% [markdown]
# The two dimensions of size 1 are the trick: **broadcasting** repeats the same row for every head and for every query.
# Only the text and the key decide. Older code does this in `get_extended_attention_mask`, with −10,000 as the
# large number. Today that method is gone, and a function for all models makes the mask:

# %%
from transformers.masking_utils import create_bidirectional_mask

def library_mask(one, attention_mask):
    return create_bidirectional_mask(one.config, inputs_embeds=embedded, attention_mask=attention_mask)

eager_mask = library_mask(model, mask)  # [2, 1, 14, 14]: the queries are written out
assert torch.equal(eager_mask, extended.expand_as(eager_mask))
assert not hasattr(model, "get_extended_attention_mask")
eager_mask.shape, eager_mask.dtype

# %%
fast = AutoModel.from_pretrained(encoder, revision=encoder.revision).eval()  # the default: sdpa
print(fast.config._attn_implementation, library_mask(fast, mask).dtype, library_mask(fast, torch.ones_like(mask)))
with torch.inference_mode():
    both = [one(**batch).last_hidden_state[mask.bool()] for one in (model, fast)]
print(f"eager and sdpa differ by {gap(*both):.0e}")

# %% [markdown]
# The form depends on who computes the attention. `eager` adds numbers. `sdpa`, the default, takes true and false, and
# when nothing is padded it takes no mask at all. Both give the same vectors, up to rounding.
#
# Why −10,000 in the old days, and why not minus infinity? Before you run this: what is the softmax of a row in which
# **everything** is forbidden?

# %%
half = torch.float16
print("−10,000 and −1e9 in float16:", torch.tensor([-1e4, -1e9]).to(half).tolist())
for name, value in {"−infinity": float("-inf"), "lowest float": lowest}.items():
    print(f"{name:12}", torch.full((4,), value).softmax(dim=-1).tolist())

# %% [markdown]
# −10,000 fits into float16, −1,000,000,000 doesn't: it becomes −infinity. And a row of nothing but −infinity is 0/0:
# `nan`, and whatever is computed from a `nan` is `nan` again. The lowest number that the type has is finite, and here
# it leaves equal shares. But it is **added** to a score. Before you run this: what is −20 plus the lowest number of
# float16?

# %%
low_scores = torch.full((4,), -20.0, dtype=half)
bottom = torch.finfo(half).min  # -65504
for name, row in {"added": low_scores + bottom, "put in place": low_scores.masked_fill(torch.ones(4).bool(), bottom)}.items():
    print(f"{name:13}", row[0].item(), "→", row.softmax(dim=-1).tolist())
roomy = (torch.bfloat16, torch.float32)
assert all((torch.tensor(-20.0, dtype=kind) + torch.finfo(kind).min).isfinite() for kind in roomy)

# %% [markdown]
# In float16 the sum falls off the end and is −infinity again. So adding is safe where a row has something to look at,
# or where the type has room (float32 and bfloat16: there the sum is finite); the number *in place of* the score stays
# finite in each of them. Does the mask do its job? The same text alone and padded:

# %%
with torch.inference_mode():
    alone = model(**tokenizer(*pairs[1], return_tensors="pt")).last_hidden_state[0]  # [12, 384]
    padded = model(**batch).last_hidden_state[1, : len(alone)]
    unmasked = model(ids, token_type_ids=types).last_hidden_state[1, : len(alone)]  # no attention_mask
gaps = {"with the mask": gap(padded, alone), "without it": gap(unmasked, alone)}
assert gaps["with the mask"] < 1e-5 < 1e-2 < (unmasked - alone).abs().amax(dim=-1).min()  # each token's vector
gaps

# %% [markdown]
# With the mask, padding **behind** the text changes nothing but the rounding. (In front it would move the text to other
# places; chapter 03 measured it.) Without the mask every vector moves: the padding is read as if it were text.
#
# ### Exercise 6.2
# Write `extended_mask(attention_mask, dtype)`: `attention_mask` is `[texts, tokens]` with 1 for tokens and 0 for
# padding (integers or booleans). Return a tensor of `dtype` that broadcasts over `[texts, heads, queries, keys]`: 0
# where the key may be seen, the lowest number of `dtype` where it may not. For example, `[[1, 1, 0]]` in float32 gives
# shape `[1, 1, 1, 3]` with the values `0, 0, -3.4e38`.

# %% tags=["exercise"]
def extended_mask(attention_mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn a mask [texts, tokens] of 1 and 0 into [texts, 1, 1, tokens] of 0 and the lowest number of `dtype`."""
    # BEGIN SOLUTION
    keys = attention_mask[:, None, None, :].to(dtype)
    return (1 - keys) * torch.finfo(dtype).min
    # END SOLUTION

# %% tags=["check"]
lab.check("6.2", extended_mask)

# %% [markdown]
# `lab.hint("6.2")` helps.

# %% [markdown]
# ## 6.4 Self-attention
# <!-- T101 T317 -->
# Each token asks a question (query), offers a heading (key) and some content (value). Before you run this: one often
# reads that each of the 12 heads has a query matrix of its own, and that these are spliced together. Which line below
# takes them apart?

# %% tags=["long"] why="the whole of self-attention is the lesson"
HEADS = model.config.num_attention_heads  # 12

def self_attention(name, hidden, mask):
    """BertSelfAttention: [texts, tokens, width] → the same, and the weights [texts, heads, queries, keys]."""
    texts, tokens, width = hidden.shape  # 2, 14, 384

    def split(x):  # [2, 14, 384] → [2, 14, 12, 32] → [2, 12, 14, 32]
        return x.view(texts, tokens, HEADS, width // HEADS).transpose(1, 2)

    query = split(linear(f"{name}.query", hidden))  # [2, 12, 14, 32]
    key = split(linear(f"{name}.key", hidden))  # [2, 12, 14, 32]
    value = split(linear(f"{name}.value", hidden))  # [2, 12, 14, 32]
    scores = query @ key.transpose(2, 3) * (width // HEADS) ** -0.5  # [2, 12, 14, 14]
    probabilities = (scores + mask).softmax(dim=-1)  # [2, 12, 14, 14]
    context = probabilities @ value  # [2, 12, 14, 32]
    return context.transpose(1, 2).reshape(texts, tokens, width), probabilities  # [2, 14, 384]

# %%
first = model.encoder.layer[0]
context, probabilities = self_attention("encoder.layer.0.attention.self", embedded, extended)
library_context, library_weights = first.attention.self(embedded, eager_mask)
assert gap(context, library_context) <= 1e-6 and gap(probabilities, library_weights) <= 1e-6
gap(context, library_context), gap(probabilities, library_weights)

# %% [markdown]
# The whole core of BERT, and equal. `split` takes the heads apart: one matrix of 384 × 384 makes the queries of all
# twelve heads at once, and `view` cuts each result into twelve pieces of 32. BERT's code also puts a **dropout** on
# these weights. Before you run this: what becomes of a row that summed to 1?

# %%
torch.manual_seed(0)
_, dropped = first.attention.self.train()(embedded, eager_mask)  # as in training
first.attention.self.eval()
zeros = (dropped == 0) & (probabilities > 0)
print(f"{zeros.sum() / (probabilities > 0).sum():.0%} of the weights are 0 now; five rows sum to", dropped.sum(-1)[0, 0, :5].tolist())

# %% [markdown]
# A tenth of the weights is gone, the others are larger by a ninth, and a row sums to 1 only on average. A token can't
# rely on any single neighbour. In `eval` mode none of this happens.
#
# Here are your own weights of one head, for the first pair:

# %%
names = tokenizer.convert_ids_to_tokens(ids[0])
one_head = probabilities[0, 4]  # [14, 14]: queries, keys
lab.heatmap(one_head, rows=names, columns=names, title="Layer 0, head 4: who reads whom", label="attention weight")

# %% [markdown]
# Each row is a token that reads, each column one that is read; a row sums to 1. In the figure below you can choose
# layer and head, for the same text. Begin with layer 0, head 2: who reads whom there? Head 5 beside it likes `[SEP]`.

# %%
lab.attention(model, tokenizer, *pairs[0]).heads()

# %% [markdown]
# ## 6.5 Self-output: adding it up
# <!-- T101 -->
# After the heads come a dense layer, a dropout, the **residual** (the input is added again) and a LayerNorm. Before you
# run this: which comes first, the addition or the LayerNorm?

# %%
def norm(name, x):
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], model.config.layer_norm_eps)

def output(name, hidden, residual):
    """BertSelfOutput and BertOutput: dense, (dropout,) add, normalise."""
    return norm(f"{name}.LayerNorm", linear(f"{name}.dense", hidden) + residual)  # [2, 14, 384]

attended = output("encoder.layer.0.attention.output", context, embedded)  # [2, 14, 384]
library = first.attention.output(library_context, embedded)
assert gap(attended, library) <= 1e-6
gap(attended, library)

# %% [markdown]
# First the addition, then the norm: this is called *post-norm*, and BERT has it everywhere. The dense layer here has a
# second job: it **mixes the heads**. Until then each head wrote into 32 places of its own.
#
# ### Exercise 6.3
# A matrix times twelve pieces side by side is a sum of twelve products. Write `head_shares(context, weight)`: `context`
# is `[texts, heads, tokens, size]`, one piece for each head; `weight` is the dense layer's `[width, heads · size]`
# (PyTorch keeps *out × in*). Return `[texts, heads, tokens, width]`: what each head adds to the layer's output, such
# that the sum over the heads is the dense layer of the pieces side by side, without its bias. For example, with two
# heads of size 1, `context` 3 and 5, and `weight = [[10., 1.]]`, the shares are 30 and 5.

# %% tags=["exercise"]
def head_shares(context: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What each head adds to the output: [texts, heads, tokens, size] → [texts, heads, tokens, width]."""
    # BEGIN SOLUTION
    heads, size = context.shape[1], context.shape[3]
    pieces = weight.view(-1, heads, size).permute(1, 2, 0)  # [heads, size, width]
    return context @ pieces
    # END SOLUTION

# %% tags=["check"]
lab.check("6.3", head_shares)

# %% [markdown]
# `lab.hint("6.3")` helps. Keep this picture in mind for section 6.11: to switch a head off is to leave out one term of
# a sum.

# %% [markdown]
# ## 6.6 Feed-forward, and a curve called GELU
# <!-- T101 T110 -->
# `BertIntermediate` widens each token to 1,536 numbers and bends them; `BertOutput` brings them back. Before you run
# this: does a token see its neighbours here?

# %%
def feed_forward(name, hidden):
    """BertIntermediate, then BertOutput."""
    wide = F.gelu(linear(f"{name}.intermediate.dense", hidden))  # [2, 14, 1536]
    return output(f"{name}.output", wide, hidden)  # [2, 14, 384]

wide = F.gelu(linear("encoder.layer.0.intermediate.dense", attended))
after = feed_forward("encoder.layer.0", attended)
assert gap(wide, first.intermediate(attended)) <= 1e-6
assert gap(after, first.output(first.intermediate(attended), attended)) <= 1e-6
gap(wide, first.intermediate(attended)), gap(after, first.output(first.intermediate(attended), attended))

# %% [markdown]
# No token sees another one: each goes through the same two matrices by itself. Remember that for section 6.10.
#
# The bend is called **GELU**: x · Φ(x), where Φ is the share of a normal distribution below x. One often reads that it
# can't be computed directly and needs an approximation with tanh. Before you run this: which of the two is in this
# model?

# %%
from transformers.activations import ACT2FN

x = torch.linspace(-4, 4, 801)
phi = 0.5 * (1 + torch.erf(x / 2**0.5))  # the normal distribution, by the error function
assert gap(x * phi, ACT2FN["gelu"](x)) <= 1e-6
print("this model:", model.config.hidden_act, "| tanh differs by", round(gap(ACT2FN["gelu_new"](x), x * phi), 5))

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
for name in ("relu", "gelu"):
    left.plot(x, ACT2FN[name](x), label=name)
left.set(xlabel="x", ylabel="f(x)", title="GELU is ReLU with a round corner")
left.legend()
right.plot(x, ACT2FN["gelu_new"](x) - ACT2FN["gelu"](x), color="#009E73")
right.set(xlabel="x", ylabel="tanh form − exact", title="The approximation misses by 0.0005 at most");

# %% [markdown]
# torch has the error function (and so has Python's `math`), and `"gelu"` uses it: exact. The tanh form (`"gelu_new"`,
# `"gelu_pytorch_tanh"`) is a stand-in. Look at the right axis: the miss is tiny. One also reads that GELU is better
# than ReLU and that all later models took it over. Swap the curve inside the trained model, and look at what later
# models say:

# %%
def with_curve(curve):
    """The last hidden states when every layer bends with `curve`."""
    for layer in fast.encoder.layer:
        layer.intermediate.intermediate_act_fn = ACT2FN[curve]
    with torch.inference_mode():
        return fast(**batch).last_hidden_state[mask.bool()]  # [tokens that are no padding, 384]

exact = with_curve("gelu")
{curve: F.cosine_similarity(with_curve(curve), exact).mean().item() for curve in ("gelu_new", "relu")}

# %%
from transformers import GemmaConfig, GPT2Config, LlamaConfig, OPTConfig, T5Config

later = {"GPT-2": GPT2Config().activation_function, "OPT": OPTConfig().activation_function, "T5": T5Config().dense_act_fn}
later | {"Llama": LlamaConfig().hidden_act, "Gemma": GemmaConfig().hidden_act}

# %% [markdown]
# The tanh form changes practically nothing (the cosine is nearly 1). ReLU turns the vectors noticeably: weights that
# were trained with one curve need that curve. That is no proof that one is better. These later models chose
# differently: GPT-2 and Gemma took the tanh form, OPT and T5 ReLU, Llama SiLU.
#
# ### Exercise 6.4
# Write `gelu(x, approximate)` without the library's own: for `approximate=False` return x · Φ(x) with the error
# function, `torch.erf`; for `approximate=True` return `0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`. `x` is a
# float tensor of any shape. For example, `gelu(torch.tensor(1.0), False)` is about 0.8413.

# %% tags=["exercise"]
def gelu(x: torch.Tensor, approximate: bool) -> torch.Tensor:
    """GELU of every number in `x`: exact, or in the tanh form."""
    # BEGIN SOLUTION
    if approximate:
        inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + torch.tanh(inner))
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))
    # END SOLUTION

# %% tags=["check"]
lab.check("6.4", gelu)

# %% [markdown]
# `lab.hint("6.4")` helps.

# %% [markdown]
# ## 6.7 Layer, encoder, pooler: the whole model
# <!-- T101 -->
# All parts are there. Before you run this: how many lines does the whole of BERT take?

# %% tags=["long"] why="the whole of BERT on one page is the lesson"
def bert_layer(name, hidden, mask):
    context, _ = self_attention(f"{name}.attention.self", hidden, mask)  # [texts, tokens, width]
    hidden = output(f"{name}.attention.output", context, hidden)  # [texts, tokens, width]
    return feed_forward(name, hidden)  # [texts, tokens, width]

def bert_pooler(hidden):
    return torch.tanh(linear("pooler.dense", hidden[:, 0]))  # [texts, width]: [CLS] only

def bert(input_ids, token_type_ids, attention_mask):
    """BertModel: (last hidden state [texts, tokens, width], pooled [texts, width])."""
    words = weights["embeddings.word_embeddings.weight"][input_ids]  # [texts, tokens, width]
    places = weights["embeddings.position_embeddings.weight"][: input_ids.shape[1]]  # [tokens, width]
    segments = weights["embeddings.token_type_embeddings.weight"][token_type_ids]  # [texts, tokens, width]
    hidden = norm("embeddings.LayerNorm", words + segments + places)  # [texts, tokens, width]
    mask = (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min  # [texts, 1, 1, tokens]
    for number in range(model.config.num_hidden_layers):
        hidden = bert_layer(f"encoder.layer.{number}", hidden, mask)
    return hidden, bert_pooler(hidden)

# %%
state = model(**batch, output_hidden_states=True)
for number in range(6):
    mine = bert_layer(f"encoder.layer.{number}", state.hidden_states[number], extended)
    assert gap(mine, state.hidden_states[number + 1]) <= 1e-6
    print(f"layer {number}: {gap(mine, state.hidden_states[number + 1]):.0e}")
mine, pooled = bert(**batch)
assert gap(model.encoder(model.embeddings(ids, types), eager_mask)[0], mine) <= 1e-5
assert gap(bert_pooler(state.last_hidden_state), state.pooler_output) <= 1e-6
print(f"whole model: {gap(mine, state.last_hidden_state):.0e}, pooled: {gap(pooled, state.pooler_output):.0e}")
assert gap(mine, state.last_hidden_state) <= 1e-5 and gap(pooled, state.pooler_output) <= 1e-5

# %% [markdown]
# Each layer, given the same input, agrees within a millionth. (Where you read 0, your operations and the library's are
# the same ones in the same order. From layer to layer a difference in the last bit may grow; for the whole stack ten
# times as much is allowed.) Half a page of code is the whole model. `BertSelfOutput` and `BertOutput` are the same
# three lines, and here they are one function.
#
# What does the depth do to a word? The picture compares each token's vector after each layer with its own embedding:

# %%
stack = torch.stack(state.hidden_states)[:, 0]  # [7, 14, 384]: the embeddings, then six layers, for the first text
likeness = F.cosine_similarity(stack, stack[:1], dim=-1)  # [7, 14]
lab.heatmap(likeness, rows=["embedding", *(f"layer {n}" for n in range(6))], columns=names,
            title="Layer by layer, a token moves away from its word", label="cosine with its embedding")

# %%
steps = F.cosine_similarity(stack[1:], stack[:-1], dim=-1).mean(dim=1)  # [6]: what goes into a layer, and what comes out
print("mean cosine of a layer's input and output:", [round(step, 2) for step in steps.tolist()])

# %% [markdown]
# Read a column downwards: each token starts as itself (1) and moves away. The numbers below compare a layer's input
# with its output. Through the residual the first five layers change the vectors by small steps. The last layer turns
# them further: its output is what this model was trained to deliver.

# %% [markdown]
# ## 6.8 Counting the parts
# <!-- T103 -->
# A well-known count for bert-base says: 37 dropouts, 25 LayerNorms, 37 dense layers, 109 million parameters. Before you
# run this: how many `nn.Linear` will there be? A model on the *meta* device has all its modules and shapes, but no
# numbers, so it costs no memory.

# %%
from collections import Counter
from transformers import BertConfig, BertModel

with torch.device("meta"):
    base = BertModel(BertConfig(attn_implementation="eager")).train()
    tokens = torch.ones(1, 8, dtype=torch.long)
modules = Counter(type(module).__name__ for module in base.modules())
dense = [name for name, _ in base.named_modules() if name.endswith("dense")]
{kind: modules[kind] for kind in ("Dropout", "LayerNorm", "Linear")}, len(dense), base.num_parameters()

# %% [markdown]
# The three counts and the 109,482,240 parameters are right, if "dense" means the modules of that **name**: three for
# each of the 12 layers, and the pooler's. The 36 matrices for queries, keys and values are linear layers too: 73 in
# all.
#
# Modules that exist are one thing, modules that are *called* another. A **forward hook** is a function that runs after
# each call:

# %%
calls = Counter()
hooks = [module.register_forward_hook(lambda m, *_: calls.update([type(m).__name__])) for module in base.modules()]
base(tokens)
for hook in hooks:
    hook.remove()
{kind: calls[kind] for kind in ("Dropout", "LayerNorm", "Linear")}

# %% [markdown]
# 25 dropouts are called as modules, not 37. Are twelve never used? They stand in the attention. Count the calls of the
# **functions** below the modules too:

# %%
from torch.overrides import TorchFunctionMode

class CountFunctions(TorchFunctionMode):
    """Count every call of a torch function, by name."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        counts[function.__name__] += 1
        return function(*args, **(kwargs or {}))

counts = Counter()
with CountFunctions():
    base(tokens)
assert (counts["dropout"], counts["layer_norm"], counts["linear"]) == (37, 25, 73)
{name: counts[name] for name in ("dropout", "layer_norm", "linear", "softmax", "gelu")}

# %% [markdown]
# 37 dropouts happen. In attention, today's code only reads the module's rate (`self.dropout.p`) and hands it to the
# attention function, so a hook on those twelve modules never runs. So the sum 1 + (1 + 1 + 1) × 12 = 37 is right
# for what happens in training.
#
# And where are the 109 million parameters?

# %%
def numbers_in(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())

layer0, words_only = base.encoder.layer[0], numbers_in(base.embeddings.word_embeddings)
size = {
    "word embeddings": words_only,
    "other embeddings": numbers_in(base.embeddings) - words_only,
    "attention × 12": 12 * numbers_in(layer0.attention),
    "feed-forward × 12": 12 * numbers_in(layer0.intermediate, layer0.output),
    "pooler": numbers_in(base.pooler),
}
assert sum(size.values()) == base.num_parameters()

# %%
figure, axes = plt.subplots(figsize=(7.2, 2.4))
bars = axes.barh(list(size), [count / 1e6 for count in size.values()])
axes.bar_label(bars, [f"{count / 1e6:.1f}" for count in size.values()], padding=3)
axes.invert_yaxis()
axes.set(xlabel="parameters, millions", title="Half of bert-base is feed-forward, a fifth is the vocabulary");

# %% [markdown]
# The longest bar is not attention, which gives the architecture its fame, but the two wide matrices behind it.
#
# ### Exercise 6.5
# Write `count_calls(model, kind, **inputs)`: run `model(**inputs)` once and return how many times modules of class
# `kind` (and of its subclasses) were called. A module that is called twice counts twice. Leave no hook behind. For
# example, for `nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))` and `nn.Linear`, with `input=torch.ones(1,
# 2)`, the answer is 2.

# %% tags=["exercise"]
def count_calls(model: torch.nn.Module, kind: type, **inputs) -> int:
    """How many times modules of class `kind` are called while `model(**inputs)` runs once."""
    # BEGIN SOLUTION
    seen = []
    found = [module for module in model.modules() if isinstance(module, kind)]
    handles = [module.register_forward_hook(lambda *_: seen.append(1)) for module in found]
    model(**inputs)
    for handle in handles:
        handle.remove()
    return len(seen)
    # END SOLUTION

# %% tags=["check"]
lab.check("6.5", count_calls)

# %% [markdown]
# `lab.hint("6.5")` helps.

# %% [markdown]
# ## 6.9 Gradient checkpointing
# <!-- T104 -->
# To train, PyTorch keeps what each operation will need for its gradient. **Gradient checkpointing** keeps only each
# layer's input, and computes the layer again on the way back. Before you run this: what does that save, and what does
# it cost? A small BERT is enough to see it:

# %%
import time
import warnings
from transformers import BertForMaskedLM

def small_bert(layers):
    torch.manual_seed(0)
    config = BertConfig(vocab_size=500, hidden_size=64, num_hidden_layers=layers, num_attention_heads=4,
                        intermediate_size=256, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, use_cache=False)
    return BertForMaskedLM(config).train()

examples = torch.randint(500, (8, 64), generator=torch.Generator().manual_seed(0))  # 8 texts of 64 tokens
small = small_bert(6)

# %% [markdown]
# `saved_tensors_hooks` calls you with each tensor that is kept, so you can add up the bytes. This doesn't depend on the
# machine.

# %%
def saved_megabytes(one):
    """How much the forward pass keeps for the backward pass, beside the parameters, which are there anyway."""
    kept, own = {}, {p.untyped_storage().data_ptr() for p in one.parameters()}
    def keep(tensor):
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            kept[place] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = one(examples, labels=examples).loss
    return sum(size for size, _ in kept.values()) / 2**20, loss

# %%
def train_step(one):  # → megabytes kept, seconds on the way back, and the gradients
    one.zero_grad()
    megabytes, loss = saved_megabytes(one)
    begin = time.perf_counter()
    loss.backward()
    return megabytes, time.perf_counter() - begin, [p.grad.clone() for p in one.parameters()]

small.activation_checkpointing_disable()  # where this cell was run before
plain, seconds, gradients = min((train_step(small) for _ in range(3)), key=lambda found: found[1])  # the quickest of three
small.activation_checkpointing_enable()
less, longer, again = min((train_step(small) for _ in range(3)), key=lambda found: found[1])
assert max(gap(a, b) for a, b in zip(gradients, again)) <= 1e-6 and less < plain / 3
print(f"kept: {plain:.1f} MB → {less:.1f} MB; the way back takes {longer / seconds:.1f} times as long; same gradients")

# %%
depths, curves = (2, 4, 8, 12), {"everything": [], "checkpoints": []}
for depth in depths:
    one = small_bert(depth)
    curves["everything"].append(saved_megabytes(one)[0])
    one.activation_checkpointing_enable()
    curves["checkpoints"].append(saved_megabytes(one)[0])
figure, axes = plt.subplots(figsize=(6, 3))
for name, values in curves.items():
    axes.plot(depths, values, "o-")
    axes.annotate(name, (depths[-1], values[-1]), xytext=(0, 6), textcoords="offset points", ha="right")
axes.set(xlabel="layers", ylabel="kept for the way back, MB", ylim=(0, None), title="With checkpoints, each layer keeps only its input");

# %% [markdown]
# Look at the slopes: with checkpoints a further layer costs one tensor `[8, 64, 64]`, without them more than a dozen
# times as much. (On the way back one layer at a time is kept in full again, which the curve doesn't show.) The
# gradients are the same. The price is a second forward pass through each layer, on the way back. By counting products
# that is half as long again: the way back takes two for each one of the way there. Compare with the ratio above. Not
# only products take time, so it may well be more, and on a busy machine it wobbles.
#
# Many tutorials have the old name, `gradient_checkpointing_enable`. It warns you that it will go. And can you have
# something in between?

# %%
for every in (1, 2, 3):
    small.activation_checkpointing_enable(every_n_layers=every)
    print(f"every {every}. layer: {saved_megabytes(small)[0]:4.1f} MB")
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    small.gradient_checkpointing_enable()
print(told[0].category.__name__, "|", str(told[0].message)[:60])
small.activation_checkpointing_disable()

# %% [markdown]
# ## 6.10 Feed-forward in chunks
# <!-- T105 -->
# Why doesn't `BertLayer` simply call its feed-forward part, but goes through `apply_chunking_to_forward`? One finds
# `chunk_size` explained as "the size of a smaller batch" and `chunk_dim` as "how many dimensions at once". Before you
# run this: along which dimension are chunks cut?

# %%
from transformers.pytorch_utils import apply_chunking_to_forward

first = fast.encoder.layer[0]
with_curve("gelu")  # put the curve back after section 6.6
hidden = torch.randn(2, 512, 384, generator=torch.Generator().manual_seed(0))  # two long texts

# %%
widest = {}
hook = first.intermediate.register_forward_hook(lambda module, given, result: widest.update({size: list(result.shape)}))
with torch.inference_mode():
    for size in (0, 128, 32):
        result = apply_chunking_to_forward(first.feed_forward_chunk, size, 1, hidden)  # size, dimension
        whole = result if size == 0 else whole
        assert gap(result, whole) <= 1e-5  # sums of 1,536 products, cut differently for the processor
        print(f"chunk size {size:3}: differs by {gap(result, whole):.0e}, widest tensor {widest[size]}")
hook.remove()

# %% [markdown]
# Dimension 1 is the sequence: a chunk is a run of **tokens**, of all texts. It works because no token sees another one
# here (section 6.6); you couldn't cut attention like this. The widest tensor shrinks from 512 tokens to 32, and the
# result stays the same. 0 is the default: no chunks. The sequence must be a multiple of the chunk:

# %%
chunky = BertModel(BertConfig(vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
                              intermediate_size=256, chunk_size_feed_forward=5)).eval()
with lab.expect_error(ValueError):
    chunky(**batch)  # 14 tokens
five = tokenizer("one two three", return_tensors="pt")  # 5 tokens: it fits
chunky(**five).last_hidden_state.shape

# %% [markdown]
# Does it save memory in **training**? Before you run this, think of what the gradient needs.

# %%
def training_memory(chunk):
    one = small_bert(6)
    for layer in one.bert.encoder.layer:
        layer.chunk_size_feed_forward = chunk
    return saved_megabytes(one)[0]

kept = {f"chunks of {chunk}" if chunk else "whole": round(training_memory(chunk), 1) for chunk in (0, 16, 4)}
assert min(kept.values()) >= 0.95 * kept["whole"]
kept

# %% [markdown]
# Nothing. All chunks are kept for the way back, one after the other. Chunks save memory where nothing is kept: in
# inference on long texts, or together with checkpointing, when a layer is computed again.
#
# ### Exercise 6.6
# Write `in_chunks(function, x, size, dim)`: cut `x` along `dim` into runs of `size`, call `function` on each, and put
# the results together along `dim`. Only the last run may be shorter, so any size is allowed; `size=0` calls `function`
# once with all of `x`. For example, with `x` of shape `[2, 5, 4]`, size 2 and dim 1, `function` sees `[2, 2, 4]`, `[2,
# 2, 4]` and `[2, 1, 4]`.

# %% tags=["exercise"]
def in_chunks(function, x: torch.Tensor, size: int, dim: int) -> torch.Tensor:
    """`function` of `x`, computed in runs of `size` along `dim`; 0 means no chunks."""
    # BEGIN SOLUTION
    if size == 0:
        return function(x)
    return torch.cat([function(run) for run in x.split(size, dim=dim)], dim=dim)
    # END SOLUTION

# %% tags=["check"]
lab.check("6.6", in_chunks)

# %% [markdown]
# `lab.hint("6.6")` helps.

# %% [markdown]
# ## 6.11 Which heads matter?
# <!-- T106 -->
# Older code has two ways to do without a head: `head_mask` multiplies it by 0, `prune_heads` cuts it out of the
# matrices. Before you run this: what do today's models do with the two?

# %%
from transformers import AutoModelForSequenceClassification

sentiment = lab.checkpoint("sentiment")
judge = AutoModelForSequenceClassification.from_pretrained(sentiment, revision=sentiment.revision).eval()
judge.requires_grad_(False)
one_text = tokenizer("a quiet, lovely film", return_tensors="pt")
ignored = gap(judge(**one_text).logits, judge(**one_text, head_mask=torch.zeros(6, 12)).logits)
with lab.expect_error(AttributeError):
    judge.prune_heads({0: [1]})
ignored

# %% [markdown]
# The dangerous one is the first: `head_mask` is taken, and **silently ignored**. The 0 is the difference that switching
# off all 72 heads made. So do it by hand. Exercise 6.3 tells where: the heads lie side by side in the input of
# `attention.output.dense`. A hook **before** that layer can multiply them.

# %%
def switch_heads(model, switches):
    """Multiply each head's output by switches [texts or 1, layers, heads]; returns hooks to remove."""
    def before(layer):
        def hook(module, inputs):
            factors = switches[:, layer].repeat_interleave(32, dim=1)  # [texts or 1, 384]: 32 places for each head
            return (inputs[0] * factors[:, None],)  # [texts, tokens, 384]
        return hook
    denses = [layer.attention.output.dense for layer in model.bert.encoder.layer]
    return [dense.register_forward_pre_hook(before(number)) for number, dense in enumerate(denses)]

# %%
off = switch_heads(judge, torch.zeros(1, 6, 12))
print("logits without any head:", judge(**one_text).logits, sep="\n")
for hook in off:
    hook.remove()

# %% [markdown]
# Now: which of the 72 heads matter for this task? Don't try them one by one. Give **every** text its own 72 switches,
# all at 1, and ask for the gradient of the loss at each switch: how much would the loss change if you turned it a
# little? The mean of its size over many texts is the head's importance (Michel, Levy and Neubig 2019).

# %%
from datasets import concatenate_datasets, load_dataset

opinions = lab.dataset("opinions")
splits = load_dataset(opinions, revision=opinions.revision)

def short(rows, count):
    """(model inputs, labels) of the first `count` texts under 70 characters."""
    rows = [row for row in rows if len(row["text"]) < 70][:count]
    inputs = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    return inputs, torch.tensor([row["label"] for row in rows])

known, known_labels = short(splits["train"], 96)
fresh, fresh_labels = short(concatenate_datasets([splits["validation"], splits["test"]]), 120)
known["input_ids"].shape, fresh["input_ids"].shape

# %%
switches = torch.ones(len(known_labels), 6, 12, requires_grad=True)
hooks = switch_heads(judge, switches)
F.cross_entropy(judge(**known).logits, known_labels, reduction="sum").backward()
for hook in hooks:
    hook.remove()
importance = switches.grad.abs().mean(dim=0)  # [6, 12]
lab.heatmap((1000 * importance).round(), rows=[f"layer {n}" for n in range(6)], columns=[str(n) for n in range(12)],
            title="Heads weigh unequally for the verdict", label="mean |∂loss / ∂switch|, thousandths")

# %% [markdown]
# One backward pass for all 72. Is it true? Switch off the least important heads, then the most important ones, and, to
# compare, heads drawn by lot. Measure on texts that the model was not trained on. Before you run this: how many can go?

# %%
def accuracy(removed):
    """Share of right verdicts on the fresh texts with these heads (numbered 0 … 71) off."""
    one = torch.ones(72).index_fill(0, removed, 0.0).view(1, 6, 12)
    hooks = switch_heads(judge, one)
    with torch.inference_mode():
        right = judge(**fresh).logits.argmax(dim=-1) == fresh_labels
    for hook in hooks:
        hook.remove()
    return right.float().mean().item()

# %%
order = importance.flatten().argsort()  # the least important first
counts, everything = (0, 8, 16, 32, 72), accuracy(order[:0])
nothing, middle = accuracy(order), counts[1:-1]
results = {"least important": [everything, *(accuracy(order[:count]) for count in middle), nothing],
           "most important": [everything, *(accuracy(order.flip(0)[:count]) for count in middle), nothing]}
draws = [torch.randperm(72, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
by_lot = [sum(accuracy(draw[:count]) for draw in draws) / len(draws) for count in middle]
results["drawn by lot"] = [everything, *by_lot, nothing]

# %%
figure, axes = plt.subplots(figsize=(6.4, 3))
for (name, values), colour in zip(results.items(), ("#0072B2", "#D55E00", "#999999")):
    axes.plot(counts, [100 * value for value in values], "o-", color=colour, label=name)
same = (fresh_labels == 0).float().mean().item()  # the share of the negative texts
assert min(abs(nothing - same), abs(nothing - (1 - same))) < 1e-6
axes.axhline(100 * nothing, color="grey", linestyle=":")
axes.set(xlabel="heads switched off, of 72", ylabel="right verdicts, %", title="It matters which heads go first")
axes.legend()
pd.DataFrame(results, index=counts).round(2)

# %% [markdown]
# Compare the lines. Without the eight least important heads accuracy hardly moves, but hardly more without eight drawn
# by lot: many heads can go. It is the most important eight that are missed. With all 72 gone, `[CLS]` sees nothing but
# itself: every text gets the same verdict, and accuracy is the share of that one class (dotted). There are some hundred
# texts, so single points wobble by a few per cent; don't read more into them.
#
# A head that is switched off still costs time. To **cut** it out, take its 32 rows from the query, key and value
# matrices, and its 32 columns from the dense matrix behind them. `prune_linear_layer` survived in the library:

# %%
from transformers.pytorch_utils import prune_linear_layer

keep = [head for head in range(12) if head not in (1, 4, 7)]
places = torch.cat([torch.arange(head * 32, head * 32 + 32) for head in keep])  # [288] of 384
switched = torch.ones(1, 6, 12)
switched[0, 2, [1, 4, 7]] = 0
hooks = switch_heads(judge, switched)
with torch.no_grad():
    masked = judge(**one_text).logits
for hook in hooks:
    hook.remove()

# %%
from copy import deepcopy

pruned = deepcopy(judge)
attention = pruned.bert.encoder.layer[2].attention
with torch.no_grad():
    for name in ("query", "key", "value"):
        setattr(attention.self, name, prune_linear_layer(getattr(attention.self, name), places, dim=0))
    attention.output.dense = prune_linear_layer(attention.output.dense, places, dim=1)
    cut = pruned(**one_text).logits
assert gap(cut, masked) <= 1e-5
print(f"masked and cut differ by {gap(cut, masked):.0e}; {judge.num_parameters() - pruned.num_parameters():,} parameters fewer")

# %% [markdown]
# The same logits, with smaller matrices: `BertSelfAttention` cuts its vectors into pieces of 32 and doesn't mind how
# many there are. What `prune_heads` did can still be done; only the library's own method is gone.
#
# ### Exercise 6.7
# Write `rows_of_heads(heads, size)`: `heads` is a list of head numbers to keep, in any order and perhaps with
# repetitions, `size` is the width of a head. Return a one-dimensional tensor of integers: the rows of the query matrix
# that belong to these heads, in ascending order, each once. For example, `rows_of_heads([2, 0], 2)` is `[0, 1, 4, 5]`.

# %% tags=["exercise"]
def rows_of_heads(heads: list[int], size: int) -> torch.Tensor:
    """The rows that belong to `heads`, ascending, as a tensor of integers."""
    # BEGIN SOLUTION
    starts = torch.tensor(sorted(set(heads)), dtype=torch.long) * size
    return (starts[:, None] + torch.arange(size)).flatten()
    # END SOLUTION

# %% tags=["check"]
lab.check("6.7", rows_of_heads)

# %% [markdown]
# `lab.hint("6.7")` helps.

# %% [markdown]
# ## 6.12 One matrix, two jobs
# <!-- T107 T317 -->
# A masked language model turns each vector back into a score for every word of the vocabulary. Before you run this:
# that takes a matrix of 30,522 × 384. Does the model have room for two of that size?

# %%
from transformers import AutoModelForMaskedLM

filler = lab.checkpoint("masked-lm")
guesser = AutoModelForMaskedLM.from_pretrained(filler, revision=filler.revision, dtype=torch.float32).eval()
inside, outside = guesser.get_input_embeddings(), guesser.get_output_embeddings()
assert outside.weight is inside.weight
print(f"all parameters {guesser.num_parameters():,}, this matrix {inside.weight.numel():,}")
inside, outside

# %% [markdown]
# They are one and the same tensor, used twice: row by row to look words up, as a matrix to score them. A word's score
# is the product of the vector with the word's embedding, plus a bias. This is called **weight tying**. What else is in
# the head? Print it, and do it by hand:

# %%
ids_one = tokenizer("the cat sat on the [MASK].", return_tensors="pt")["input_ids"]
head = guesser.cls.predictions
print(head)
with torch.no_grad():
    found = guesser(ids_one, output_hidden_states=True)
    bent = F.gelu(head.transform.dense(found.hidden_states[-1]))  # [1, 8, 384]
    scored = head.transform.LayerNorm(bent) @ inside.weight.T + head.bias  # [1, 8, 30522]
gap(scored, found.logits)

# %% [markdown]
# A dense layer, a GELU, a LayerNorm (the **transform**), then the tied matrix, and a bias for each word. The head for
# next sentence prediction is simpler: one linear layer on the pooled vector, from 384 to 2 (section 6.13 uses it).
#
# A tied matrix gets a gradient from both ends:

# %%
mat = tokenizer.convert_tokens_to_ids("mat")
loss = guesser(ids_one, labels=torch.where(ids_one == tokenizer.mask_token_id, mat, -100)).loss
loss.backward()
touched = (inside.weight.grad.abs().sum(dim=-1) > 0).sum().item()
f"{touched:,} of {len(tokenizer):,} rows have a gradient; the text has {len(set(ids_one[0].tolist()))} different tokens"

# %% [markdown]
# As an input table, only the rows of the words in the text would learn. As an output matrix every row does: each wrong
# word is pushed away. `set_input_embeddings` replaces one end only. Before you run this: are they still one?

# %%
torch.manual_seed(0)
guesser.set_input_embeddings(torch.nn.Embedding(100, 384))
print("after set:", guesser.get_output_embeddings().weight is guesser.get_input_embeddings().weight)
guesser.tie_weights()
print("after tie_weights:", guesser.get_output_embeddings().weight is guesser.get_input_embeddings().weight)

# %% [markdown]
# Tie again after a replacement (`resize_token_embeddings` does both for you). One reads that *all* pretrained
# models of the library share these weights. Ask their configs, and a model:

# %%
from transformers import AutoConfig, GPTNeoXConfig, GPTNeoXForCausalLM

tied = {c.model_type: c.tie_word_embeddings for c in (BertConfig(), GPT2Config(), T5Config(), LlamaConfig(), GPTNeoXConfig())}
llm = lab.checkpoint("llm")  # a checkpoint with Llama's classes
tied["the course's llm"] = AutoConfig.from_pretrained(llm, revision=llm.revision).tie_word_embeddings
with torch.device("meta"):
    free = GPTNeoXForCausalLM(GPTNeoXConfig(num_hidden_layers=1))
assert free.get_output_embeddings().weight is not free.get_input_embeddings().weight
tied

# %% [markdown]
# By default BERT, GPT-2 and T5 do, GPT-NeoX and Llama don't. It is a switch in the config, `tie_word_embeddings`, and
# each checkpoint sets its own: the course's language model has Llama's classes, and ties.

# %% [markdown]
# ## 6.13 What BERT is trained on
# <!-- T108 T317 -->
# In short one reads: 15 % of the words are replaced by `[MASK]`, and 80 %. Before you run this: 80 % of what,
# and what happens to the rest? Measure the library's collator on a text of a hundred thousand equal tokens.

# %%
from transformers import DataCollatorForLanguageModeling

plain_ids = torch.full((100, 1000), tokenizer.convert_tokens_to_ids("river")).tolist()
collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15, seed=0)
masked = collator([{"input_ids": row} for row in plain_ids])
original = torch.tensor(plain_ids)
chosen = masked["labels"] != -100  # where a guess is asked for
now = masked["input_ids"]

# %%
rates = {
    "[MASK]": (now == tokenizer.mask_token_id)[chosen].float().mean().item(),
    "another": ((now != tokenizer.mask_token_id) & (now != original))[chosen].float().mean().item(),
    "same": (now == original)[chosen].float().mean().item(),
}
assert abs(chosen.float().mean() - 0.15) < 0.01 and torch.equal(now[~chosen], original[~chosen])

# %%
figure, axes = plt.subplots(figsize=(7.2, 2))
left = 0
for (name, rate), colour in zip(rates.items(), ("#0072B2", "#E69F00", "#009E73")):
    axes.barh(0, 100 * rate, left=left, color=colour)
    axes.text(left + 50 * rate, 0, f"{name}\n{rate:.0%}", ha="center", va="center", color="white", fontsize=9)
    left += 100 * rate
axes.set(xlabel="% of the chosen tokens", yticks=[], title=f"{chosen.float().mean():.0%} are chosen; not all of them become [MASK]");

# %% [markdown]
# Read the bar from the left: of the chosen 15 %, about eight in ten become `[MASK]`, one becomes any token, and one
# stays. The loss is asked for all three kinds (`labels`), and for nothing else (−100). Why not `[MASK]` always? In real
# use there is no `[MASK]`. So the model must not trust the words that it sees.
#
# ### Exercise 6.8
# Write `mask_tokens(ids, special, mask_id, vocab_size)`: `ids` is `[texts, tokens]`, `special` a boolean tensor of the
# same shape that is true where nothing may be chosen. Choose each other token with probability 0.15, by itself: not
# every text gets the same number. Of the chosen ones 80 % become `mask_id`, 10 % a random id below `vocab_size` (each
# place draws its own, and any id is equally likely), 10 % stay. Return `(inputs, labels)`, two new tensors; `labels`
# holds the original id where a token was chosen and −100 elsewhere. Use torch's random numbers.

# %% tags=["exercise"]
def mask_tokens(ids: torch.Tensor, special: torch.Tensor, mask_id: int, vocab_size: int) -> tuple:
    """BERT's masking: (inputs, labels), both [texts, tokens]; `ids` stays as it is."""
    # BEGIN SOLUTION
    chosen = (torch.rand(ids.shape) < 0.15) & ~special
    labels = ids.masked_fill(~chosen, -100)
    fate = torch.rand(ids.shape)
    anything = torch.randint(vocab_size, ids.shape)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
    inputs = torch.where(chosen & (fate >= 0.9), anything, inputs)
    return inputs, labels
    # END SOLUTION

# %% tags=["check"]
lab.check("6.8", mask_tokens)

# %% [markdown]
# `lab.hint("6.8")` helps.
#
# BERT's second task was **next sentence prediction**: does text B follow text A? `BertForPreTraining` has a head for
# each task. Before you run this: what is its loss?

# %%
from transformers import BertForPreTraining

torch.manual_seed(0)
both = BertForPreTraining(BertConfig(vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                                     intermediate_size=128)).eval()
rows = [{name: batch[name][row].tolist() for name in ("input_ids", "token_type_ids", "attention_mask")} for row in (0, 1)]
task = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.4, seed=1)(rows)
follows = torch.tensor([0, 1])  # 0: B follows A; 1: B is from elsewhere
out = both(**task, next_sentence_label=follows)
word_loss = F.cross_entropy(out.prediction_logits.view(-1, len(tokenizer)), task["labels"].view(-1), ignore_index=-100)
next_loss = F.cross_entropy(out.seq_relationship_logits, follows)
assert abs(out.loss - (word_loss + next_loss)) < 1e-5
both.cls.seq_relationship, [round(loss.item(), 3) for loss in (word_loss, next_loss, out.loss)]

# %% [markdown]
# The sum of two cross-entropies, unweighted. Untrained, they are about ln 30,522 ≈ 10.3 and ln 2 ≈ 0.69: the words
# weigh far more. Mind the labels: **0** means that B follows. And a trap: with one kind of labels only there is no loss
# at all.

# %%
from transformers import BertForNextSentencePrediction

inputs = {name: task[name] for name in ("input_ids", "token_type_ids", "attention_mask")}
assert both(**task).loss is None and both(**inputs, next_sentence_label=follows).loss is None
word_guesser = BertForMaskedLM(both.config).eval()
word_guesser.load_state_dict(both.state_dict(), strict=False)  # it leaves out the pooler and the other head

follow_up = BertForNextSentencePrediction(both.config).eval()
follow_up.bert.load_state_dict(both.bert.state_dict())
follow_up.cls.seq_relationship.load_state_dict(both.cls.seq_relationship.state_dict())
gap(word_guesser(**task).logits, out.prediction_logits), gap(follow_up(**inputs, labels=follows).logits, out.seq_relationship_logits)

# %% [markdown]
# For one task alone there are `BertForMaskedLM` and `BertForNextSentencePrediction`: the same body, one of the two
# heads, and the same logits. RoBERTa, a later model, dropped next sentence prediction: its authors found that it did
# not help.
#
# ### Exercise 6.9
# Write `pretraining_loss(word_logits, next_logits, labels, follows)` **without** `cross_entropy`: `word_logits` is
# `[texts, tokens, words]`, `next_logits` `[texts, 2]`, `labels` `[texts, tokens]` with −100 where nothing is asked,
# `follows` `[texts]` with 0 and 1. Each loss is the mean of −log(probability of the right answer) over its own answers;
# return their sum. For example, all logits 0, ten words and any labels give ln 10 + ln 2.

# %% tags=["exercise"]
def pretraining_loss(word_logits, next_logits, labels: torch.Tensor, follows: torch.Tensor) -> torch.Tensor:
    """BERT's loss: mean over the chosen tokens plus mean over the pairs."""
    # BEGIN SOLUTION
    asked = labels != -100
    word_log = word_logits[asked].log_softmax(dim=-1)  # [chosen, words]
    word = -word_log.gather(1, labels[asked][:, None]).mean()
    follow = -next_logits.log_softmax(dim=-1).gather(1, follows[:, None]).mean()
    return word + follow
    # END SOLUTION

# %% tags=["check"]
lab.check("6.9", pretraining_loss)

# %% [markdown]
# `lab.hint("6.9")` helps.

# %% [markdown]
# ## 6.14 Pretrain a tiny BERT
# <!-- T109 -->
# BERT read three thousand million words for days. You have some stories and a minute or two: too little to learn which
# **word** is missing, perhaps enough to learn which **letter** is. So the tokens here are characters. Before you run
# this: which letter is missing in `umb?ella`, and what did you need to know? First the tokenizer, trained on the
# stories (a space becomes `_`), and pieces of 24 tokens.

# %%
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

stories = lab.dataset("stories")
story = load_dataset(stories, revision=stories.revision)
raw = Tokenizer(models.WordLevel(unk_token="[UNK]"))
raw.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), "_")])
raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")

# %%
special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
learn = trainers.WordLevelTrainer(special_tokens=list(special.values()), show_progress=False)
raw.train_from_iterator(story["train"]["text"], learn)
raw.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
letters = PreTrainedTokenizerFast(tokenizer_object=raw, **special)
len(letters), letters.tokenize("An umb[MASK]ella!")

# %%
def pieces(texts):
    """Runs of 22 characters between [CLS] and [SEP], as examples for the collator."""
    cut = letters(list(texts), truncation=True, max_length=24, return_overflowing_tokens=True)
    return [{"input_ids": row} for row in cut["input_ids"] if len(row) > 8]

reading, held_out = pieces(story["train"]["text"]), pieces(story["validation"]["text"])
exam = DataCollatorForLanguageModeling(letters, mask_replace_prob=1.0, random_replace_prob=0.0, seed=2)(held_out)
asked = exam["labels"] != -100
answers = exam["labels"][asked]  # [asked]: the characters that were hidden in stories that nobody trains on
len(reading), len(held_out), len(answers)

# %% [markdown]
# Now the model: two layers, 64 wide, no dropout. Its positions don't begin as noise, but as the sines and cosines of
# the first Transformer, which place neighbours near each other. They stay trainable. You saw in section 6.2 that a
# trained BERT has neighbours near each other too.

# %%
torch.manual_seed(0)
tiny = BertForMaskedLM(BertConfig(vocab_size=len(letters), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                                  intermediate_size=256, max_position_embeddings=24, initializer_range=0.05,
                                  hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
angles = torch.arange(24)[:, None] * 10_000 ** (-torch.arange(0, 64, 2) / 64)  # [24, 32]
with torch.no_grad():
    tiny.bert.embeddings.position_embeddings.weight.copy_(0.1 * torch.cat([angles.sin(), angles.cos()], dim=1))
tiny.num_parameters()

# %% [markdown]
# What is a loss worth? It needs a yardstick. A model that looks at **nothing** and only knows how frequent each
# character is gets this:

# %%
seen = torch.tensor([i for row in reading for i in row["input_ids"][1:-1]])
blind_logits = (torch.bincount(seen, minlength=len(letters)) + 1).log().expand(len(answers), -1)  # the same for each place

def exam_logits():
    tiny.eval()
    with torch.inference_mode():
        return tiny(**exam).logits[asked]  # [asked, characters]

def right(logits):
    """How often the best guess is the hidden character."""
    return (logits.argmax(dim=-1) == answers).float().mean().item()

blind, untrained = F.cross_entropy(blind_logits, answers).item(), exam_logits()
f"loss: blind guess {blind:.2f}, untrained model {F.cross_entropy(untrained, answers):.2f}"

# %% [markdown]
# And what the untrained model says to four short sentences:

# %%
from transformers import pipeline

sentences = ["The old man s[MASK]t down.", "She opened th[MASK] door."]
sentences += ["A black umb[MASK]ella.", "He was goin[MASK] home."]

def guesses():
    """The three best characters for each sentence, with their probabilities."""
    fill = pipeline("fill-mask", model=tiny.eval(), tokenizer=letters, device="cpu", top_k=3)
    return [" ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in fill(text)) for text in sentences]

before_training = guesses()
before_training

# %% [markdown]
# No character stands out, and the four sentences get nearly the same answer. Now train it. Before you run this: draw
# the curve that you expect, and where it will cross the line of the blind guess.

# %%
STEPS = 400
torch.manual_seed(1)
optimizer = torch.optim.AdamW(tiny.parameters(), lr=5e-3, fused=True)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 30, 1 - step / STEPS))
collate = DataCollatorForLanguageModeling(letters, mlm_probability=0.2, seed=1)
loader = torch.utils.data.DataLoader(reading, batch_size=80, shuffle=True, drop_last=True, collate_fn=collate)
losses, examined = [], {0: F.cross_entropy(untrained, answers).item()}

def examine(step):
    """Note the loss on the stories that nobody trains on."""
    examined[step] = F.cross_entropy(exam_logits(), answers).item()
    print(f"step {step}: {examined[step]:.2f}", flush=True)

# %%
while len(losses) < STEPS:
    for drawn, _ in zip(loader, range(STEPS - len(losses))):
        tiny.train()
        loss = tiny(**drawn).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tiny.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if len(losses) % 50 == 0:
            examine(len(losses))

# %%
figure, axes = plt.subplots()
axes.plot(range(1, STEPS + 1), losses, color="#56B4E9", linewidth=1, label="loss of each batch")
axes.plot(list(examined), list(examined.values()), "o-", color="#0072B2", label="held-out stories")
axes.axhline(blind, color="#D55E00", linestyle="--", label="blind guess")
axes.set(xlabel="step", ylabel="loss, nats per hidden character", title="First the frequencies, then the context")
axes.legend();

# %% [markdown]
# Look at the steep beginning: within a hundred steps the model learns which characters are frequent, and reaches the
# dashed line. What lies clearly **below** that line comes from the context. The batches' loss lies lower than the
# exam's. Before you run this: which two reasons can you think of? Take them apart, with the finished model:

# %%
def loss_of(rows, **recipe):
    """Mean loss of the tiny BERT on these pieces, hidden by this recipe."""
    hidden = DataCollatorForLanguageModeling(letters, seed=3, **recipe)(rows)
    with torch.inference_mode():
        return tiny.eval()(**hidden).loss.item()

always = {"mask_replace_prob": 1.0, "random_replace_prob": 0.0}
recipes = {"always [MASK], as in the exam": always, "80/10/10, as in the batches": {}}
texts = {"unread stories": held_out, "stories that it has read": reading[::10]}
pd.DataFrame({name: {recipe: loss_of(rows, **how) for recipe, how in recipes.items()} for name, rows in texts.items()}).round(2)

# %% [markdown]
# Compare the rows: with BERT's recipe some characters are asked for but left in place, and those are easy. Compare the
# columns: stories that it has read are a little easier than new ones. Both make the thin line lie lower. (The batches
# hide 20 % of the characters, the exam 15 %. That makes the batches a little harder.) Now the sentences again, and the
# whole exam:

# %%
final = exam_logits()
assert examined[STEPS] < blind - 0.1 < blind < examined[0]
after_training = guesses()
wanted = ["a", "e", "r", "g"]
print("right at the first guess:", sum(guess.startswith(letter) for guess, letter in zip(after_training, wanted)), "of 4")
pd.DataFrame({"before": before_training, "after": after_training}, index=sentences)

# %%
scores = {"untrained": right(untrained), "blind guess": right(blind_logits), "tiny BERT": right(final)}
assert scores["tiny BERT"] > scores["blind guess"] > scores["untrained"]
figure, axes = plt.subplots(figsize=(6, 2.2))
axes.bar_label(axes.barh(list(scores), [100 * value for value in scores.values()]), fmt="%.0f %%", padding=3)
axes.invert_yaxis()
axes.set(xlabel="hidden characters guessed right, %", title="It guesses better than the frequencies alone");

# %% [markdown]
# Compare the last two bars: the difference is what reading the neighbours is worth. The blind guess always says `_`,
# the space. Four sentences are too few to judge by; over the whole exam the tiny model has learned something about
# spelling, though it is far from being able to spell. BERT's first task was the same, with far more text and with
# pieces of words to guess, which needs more than spelling.

# %% [markdown]
# ## 6.15 BERT as a decoder
# <!-- T111 -->
# BERT can also be configured as a decoder. The class for it is `BertLMHeadModel`,
# and one switch in the config, `is_decoder`, makes the mask causal. Before you run this: change the last word; at
# which places do the logits move?

# %%
from transformers import AutoModelForMaskedLM, BertLMHeadModel

decoder = BertLMHeadModel.from_pretrained(filler, revision=filler.revision, is_decoder=True, dtype=torch.float32).eval()
both_ways = AutoModelForMaskedLM.from_pretrained(filler, revision=filler.revision, dtype=torch.float32).eval()  # the same weights
one = tokenizer("the old man walked home", return_tensors="pt", add_special_tokens=False)["input_ids"]  # [1, 5]
other = one.clone()
other[0, -1] = tokenizer.convert_tokens_to_ids("away")
with torch.inference_mode():
    moved = (decoder(one).logits - decoder(other).logits).abs().amax(dim=-1)[0]  # [5]
    moved_encoder = (both_ways(one).logits - both_ways(other).logits).abs().amax(dim=-1)[0]
assert moved[:-1].max() < 1e-4 < moved_encoder.min()
lab.heatmap(torch.stack([moved_encoder > 1e-4, moved > 1e-4]), rows=["encoder", "decoder"],
            columns=tokenizer.convert_ids_to_tokens(one[0]), title="The last word changes: whose logits move? (1 = yes)")

# %% [markdown]
# In the encoder all move, in the decoder only the last: no token sees what comes after it. The weights are the same
# ones, loaded in either mode.
#
# So a decoder can keep what it has computed. One reads that `past_key_values` holds products of K and V, to make
# cross-attention cheaper. Look inside:

# %%
with torch.inference_mode():
    start = decoder(one[:, :4], use_cache=True)
    step = decoder(one[:, 4:], past_key_values=start.past_key_values)  # one new token only
    whole = decoder(one)
layer = step.past_key_values.layers[0]
assert gap(step.logits[:, -1], whole.logits[:, -1]) < 1e-3  # logits of about 10, through six layers
type(step.past_key_values).__name__, len(step.past_key_values.layers), layer.keys.shape, layer.values.shape

# %% [markdown]
# Keys and values, each by itself, of the **self**-attention of each layer: `[texts, heads, tokens, size]`. One new
# token went in and all five are there; its logits are those of the whole text. `generate` works like this:

# %%
out = decoder.generate(one, max_new_tokens=8, do_sample=False, pad_token_id=0)
plain = decoder.generate(one, max_new_tokens=8, do_sample=False, pad_token_id=0, use_cache=False)
torch.equal(out, plain), tokenizer.decode(out[0])

# %% [markdown]
# With and without cache the same words. They make little sense: these weights learned to fill gaps with both sides in
# view, not to go on. (It takes training to make a decoder of them.)
#
# Now **cross-attention**. One reads that with `encoder_hidden_states` the layer does cross-attention *instead of*
# self-attention. Before you run this: what will the list of modules in a layer say?

# %%
torch.manual_seed(0)
settings = BertConfig(vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=2, intermediate_size=512,
                      is_decoder=True, add_cross_attention=True, attn_implementation="eager")  # 12 heads
writer = BertLMHeadModel(settings).eval()
with torch.inference_mode():
    source = model(**batch).last_hidden_state  # [2, 14, 384]: the encoder has read the two pairs
    target = one.repeat(2, 1)  # [2, 5]
    seen = writer(target, encoder_hidden_states=source, encoder_attention_mask=mask, output_attentions=True)
print([name for name, _ in writer.bert.encoder.layer[0].named_children()])
print("self", list(seen.attentions[0].shape), "cross", list(seen.cross_attentions[0].shape))
type(seen.past_key_values).__name__

# %% [markdown]
# Both, one after the other. Self-attention has 5 queries and 5 keys, all in the target; cross-attention has 5 queries
# in the target and 14 keys in the source. The cache is an `EncoderDecoderCache` now, which holds the keys and values of
# both kinds; those of the source are computed once. And `encoder_attention_mask` does for the source what section 6.3
# did for the text:

# %%
weights_on_source = seen.cross_attentions[0][1, 0]  # [5, 14]: second text, layer 0, head 0
assert weights_on_source[:, mask[1] == 0].max() == 0
lab.heatmap(weights_on_source.round(decimals=2), rows=tokenizer.convert_ids_to_tokens(one[0]), columns=tokenizer.convert_ids_to_tokens(ids[1]),
            title="Cross-attention: target rows, source columns, no padding", label="attention weight")

# %% [markdown]
# The columns of `[PAD]` are empty, in every row. The other weights are nearly equal: this decoder is untrained. Chapter
# 01 showed a trained one.

# %% [markdown]
# ## 6.16 Years later: a layer of today
# BERT's layer is nearly that of the first Transformer of 2017. What do today's language models use? SmolLM2 is one,
# with Llama's layer, thirty times. We take its first and leave the other 29 in the file. (The load
# report would name them all; we ask it to be quiet.) Before you run this: which of BERT's tensors will you miss in the
# list?

# %%
from transformers.utils import logging

llm = lab.checkpoint("llm")
llm_tokenizer = AutoTokenizer.from_pretrained(llm, revision=llm.revision)
before = logging.get_verbosity()
logging.set_verbosity_error()
modern = AutoModel.from_pretrained(llm, revision=llm.revision, num_hidden_layers=1, dtype=torch.float32, attn_implementation="eager")
logging.set_verbosity(before)
modern = modern.eval().requires_grad_(False)
llm_weights, settings = modern.state_dict(), modern.config
{name: list(tensor.shape) for name, tensor in llm_weights.items()}

# %% [markdown]
# There is no table of positions and none of segments, no bias anywhere, and a norm has one vector where BERT's has two.
# Keys and values are a third as wide as queries, and the feed-forward part has three matrices. One after the other, on
# a short text:

# %%
text = "The bank was closed. We sat by the river."
llm_ids = llm_tokenizer(text, return_tensors="pt")["input_ids"]  # [1, 11]
x = llm_weights["embed_tokens.weight"][llm_ids]  # [1, 11, 576]
block = modern.layers[0]

def plain_linear(name, x):
    return F.linear(x, llm_weights[f"{name}.weight"])  # no bias

# %% [markdown]
# **RMSNorm** leaves out the mean: it divides by the size, and has no shift. Before you run this: add 3 to all numbers
# of a vector. Which of the two norms will notice?

# %%
def rms_norm(name, x):
    size = (x.pow(2).mean(dim=-1, keepdim=True) + settings.rms_norm_eps).sqrt()  # [1, 11, 1]
    return x / size * llm_weights[f"{name}.weight"]

normed = rms_norm("layers.0.input_layernorm", x)  # [1, 11, 576]
assert gap(normed, block.input_layernorm(x)) <= 1e-6
noticed = {"LayerNorm": gap(F.layer_norm(x + 3, (576,)), F.layer_norm(x, (576,)))}
noticed | {"RMSNorm": gap(rms_norm("layers.0.input_layernorm", x + 3), normed)}

# %% [markdown]
# LayerNorm takes the mean away, so it sees next to nothing of the 3; RMSNorm sees it. It is also done **before** the
# block, on a branch: the stream of the residuals itself is never normalised until the end.
#
# **Rotary positions**: nothing is added to the words. In each layer, queries and keys are *turned*, number pairs like
# the hand of a clock: token 0 not at all, token 1 by one step, token 2 by two. The first pairs turn fast, the last ones
# slowly. Then comes the product of query and key. Before you run this: what will the score of two turned vectors depend
# on?

# %%
tokens = llm_ids.shape[1]
steps = settings.rope_parameters["rope_theta"] ** (-torch.arange(0, 64, 2) / 64)  # [32]: radians for each place
turns = torch.arange(tokens)[:, None] * steps  # [11, 32]

def rotate(x):  # [1, heads, tokens, 64]
    """Turn pair (i, i + 32) of every vector by its token's angle."""
    a, b = x[..., :32], x[..., 32:]
    return torch.cat([a * turns.cos() - b * turns.sin(), b * turns.cos() + a * turns.sin()], dim=-1)

# %%
def to_heads(x):  # [1, 11, heads * 64] → [1, heads, 11, 64]
    return x.view(1, tokens, -1, 64).transpose(1, 2)

query, key, value = (to_heads(plain_linear(f"layers.0.self_attn.{part}_proj", normed)) for part in "qkv")
print("queries", list(query.shape), "keys", list(key.shape), "values", list(value.shape))
everywhere = query[:, :1, :1].expand(1, 1, tokens, 64)  # one and the same vector at all places
turned = rotate(everywhere)[0, 0]  # [11, 64]
lab.heatmap(turned @ turned.T, title="One vector at every place: only the distance counts", label="score")

# %% [markdown]
# Read along the diagonals: each has one value. The score depends on the **distance** of two tokens, not on their
# places. So a text may stand anywhere. In section 6.2 BERT minded one place; move this one by a hundred:

# %%
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

places = torch.arange(tokens)[None]
library = apply_rotary_pos_emb(query, key, *modern.rotary_emb(x, places))
assert gap(rotate(query), library[0]) <= 1e-5 and gap(rotate(key), library[1]) <= 1e-5  # numbers of about 10
usual = modern(llm_ids).last_hidden_state
f"moved by 100 places: {gap(modern(llm_ids, position_ids=places + 100).last_hidden_state, usual):.0e} of {usual.abs().max():.0f}"

# %% [markdown]
# Only rounding. And there is no table that ends at 512. (How far a model can still read *well* is another question: it
# has seen no text longer than those of its training.)
#
# **Grouped heads**: you saw the shapes, nine heads of queries and three of keys and values. Each key head serves three
# query heads. Before you run this: must it be repeated as 0 0 0 1 1 1 2 2 2 or as 0 1 2 0 1 2 0 1 2?

# %%
past = torch.ones(tokens, tokens).tril().bool()  # causal
causal = torch.zeros(tokens, tokens).masked_fill(~past, torch.finfo(torch.float32).min)[None, None]  # [1, 1, 11, 11]

def grouped_attention(key, value):
    """Attention of nine query heads; key and value are [1, 9, 11, 64]."""
    shares = (rotate(query) @ rotate(key).transpose(2, 3) / 8 + causal).softmax(dim=-1)  # [1, 9, 11, 11]
    return plain_linear("layers.0.self_attn.o_proj", (shares @ value).transpose(1, 2).reshape(1, tokens, 576)), shares

turned_by = modern.rotary_emb(x, places)
library, library_shares = block.self_attn(normed, position_embeddings=turned_by, attention_mask=causal)

# %%
in_runs = grouped_attention(key.repeat_interleave(3, dim=1), value.repeat_interleave(3, dim=1))
in_turn = grouped_attention(key.repeat(1, 3, 1, 1), value.repeat(1, 3, 1, 1))
assert gap(in_runs[0], library) <= 1e-5 and gap(in_runs[1], library_shares) <= 1e-5
print(f"000111222: {gap(in_runs[0], library):.0e}   012012012: {gap(in_turn[0], library):.0e}")
bert_width, llm_width = 2 * model.config.hidden_size, 2 * 3 * 64
f"kept for each past token and layer: BERT of {model.config.hidden_size} {bert_width} numbers, this one of 576 {llm_width}"

# %% [markdown]
# In runs. The wrong order gives no error, only wrong numbers. A decoder of this kind keeps a third of what nine
# full heads would need. How do its maps look beside BERT's? The mean over all heads of the first layer, for the same
# text:

# %%
bert_seen = lab.attention(model, tokenizer, text)
llm_seen = lab.attention(modern, llm_tokenizer, text)
figure, panels = plt.subplots(1, 2, figsize=(9.4, 4.4), layout="constrained")
for axes, shares, names in zip(panels, (bert_seen.data["encoder"][0], in_runs[1][0]), (bert_seen.tokens["encoder"], llm_seen.tokens["decoder"])):
    axes.imshow(shares.mean(dim=0), vmin=0, vmax=0.5)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.grid(False)
panels[0].set_title("BERT: both ways, [CLS] and [SEP]")
panels[1].set_title("SmolLM2: the past only");

# %% [markdown]
# Left, a full square with a token at each end that is no word. Right, a triangle: the first token can only look at
# itself, and the text begins with its first word. (That is no change of the years: a language model is a decoder, as
# BERT was in section 6.15. `Ġ` is how this tokenizer writes the space before a word.)
#
# **SwiGLU**: BERT widens, bends and narrows. Here two matrices widen. One of them is bent, by SiLU, x · sigmoid(x), and
# acts as a **gate**: it multiplies the other, number by number. Then all pieces together, and the whole model of one
# layer:

# %%
def swiglu(x):
    gate = plain_linear("layers.0.mlp.gate_proj", x)  # [1, 11, 1536]
    return plain_linear("layers.0.mlp.down_proj", gate * torch.sigmoid(gate) * plain_linear("layers.0.mlp.up_proj", x))

attended = x + in_runs[0]  # [1, 11, 576]
normed_again = rms_norm("layers.0.post_attention_layernorm", attended)
assert gap(swiglu(normed_again), block.mlp(normed_again)) <= 1e-5
finished = rms_norm("norm", attended + swiglu(normed_again))  # the last norm stands at the end of the stack
assert gap(finished, usual) <= 1e-4  # numbers up to 34
f"{gap(finished, usual):.0e}"

# %% [markdown]
# Equal. What has changed, and what has not:
#
# | part | BERT | this model |
# | --- | --- | --- |
# | norm | LayerNorm, after the sum | RMSNorm, before the block, and one at the end |
# | places | a learned table, added once; 512 rows | queries and keys turned, in every layer |
# | heads | each with keys and values of its own | three query heads share one of keys and values |
# | feed-forward | widen, GELU, narrow | two that widen, one of them a gate with SiLU, narrow |
# | biases | in each linear layer and norm | none |
#
# The frame is the old one: attention, feed-forward, a residual around each. If you can read BERT, you can read this.

# %% [markdown]
# ## What changed since the notes
# "The notes" are five study documents, mostly in Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `model(**tokenizer("Hello world!"))` | `model(**tokenizer("Hello world!", return_tensors="pt"))` | the notes' line gives lists, a model needs tensors |
# | `get_extended_attention_mask`, 0 and −10,000 | `create_bidirectional_mask`, `create_causal_mask` | one function for all models and all attention implementations |
# | attention by `matmul` in the class | `attn_implementation="eager"`, `"sdpa"` (default), … | the computation is exchangeable |
# | `model(…, head_mask=…)` | a hook before `attention.output.dense` | the argument is gone, and ignored without a word |
# | `model.prune_heads({2: [1]})` | `prune_linear_layer` on four matrices | the method is gone, its tool is left |
# | `position_embedding_type="relative_key"` | absolute positions only | the other kinds were taken out |
# | `gradient_checkpointing_enable()` | `activation_checkpointing_enable()` | a new name; the old one goes with version 6 |
# | `PreTrainedModel` inherits `GenerationMixin` | only models that generate do | an encoder has no `generate` |
# | `BERT_PRETRAINED_MODEL_ARCHIVE_MAP`, a list of addresses in the source | `from_pretrained("name")` | the Hub knows where a model lies |
# | `transformers/modeling_bert.py` | `transformers/models/bert/modeling_bert.py` | each model has a folder of its own |
# | `past_key_values` is a tuple of tuples | a `DynamicCache` or an `EncoderDecoderCache` | a cache is an object with methods |

# %%
from transformers import GenerationMixin
from transformers.masking_utils import create_causal_mask

assert model(**tokenizer("Hello world!", return_tensors="pt")).pooler_output.shape == (1, 384)
for make in (create_bidirectional_mask, create_causal_mask):
    assert make(config=model.config, inputs_embeds=embedded, attention_mask=mask, past_key_values=None).shape == (2, 1, 14, 14)
assert gap(AutoModel.from_pretrained(encoder, revision=encoder.revision, attn_implementation="sdpa")(**five).last_hidden_state,
           model(**five).last_hidden_state) < 1e-4

# %%
last = judge.bert.encoder.layer[5].attention.output.dense
hook = last.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 0,))
assert gap(judge(**one_text).logits, cut) > 0
hook.remove()
assert prune_linear_layer(last, torch.arange(352), dim=1).in_features == 352
assert not hasattr(model.embeddings, "position_embedding_type")
small.activation_checkpointing_enable()
assert not isinstance(model, GenerationMixin) and isinstance(decoder, GenerationMixin)
start.past_key_values.get_seq_length()

# %%
from transformers.models.bert import modeling_bert

assert type(model).__module__ == modeling_bert.__name__ == "transformers.models.bert.modeling_bert"
assert not [name for name in dir(modeling_bert) if name.endswith("ARCHIVE_MAP")]

# %% [markdown]
# ## Quiz

# %%
lab.quiz("06")

# %% [markdown]
# ## Recap
# - BERT is tables, six times (in bert-base twelve) attention and feed-forward with a residual and a norm after each,
#   and a pooler: half a page of code, equal to the library's.
# - A 0/1 mask becomes 0 and the lowest float, in a shape that broadcasts over heads and queries; it is what keeps
#   padding from being read.
# - bert-base has 37 dropouts, 25 LayerNorms and 73 linear layers, 37 of them called dense; checkpointing trades time
#   for memory in training, chunks save memory only where nothing is kept.
# - One backward pass ranks the heads, and a test on other texts says what the rank is worth; a hook switches a head
#   off, slicing four matrices cuts it out.
# - Of 15 % chosen tokens eight in ten become `[MASK]`; BERT's loss is the sum of two cross-entropies; a tiny BERT of
#   letters learns the frequencies first and the context after that.
# - As a decoder, BERT gets a causal mask and a cache of keys and values; cross-attention is added to self-attention,
#   not put in its place.
# - SmolLM2's layer has RMSNorm before the block, rotated queries and keys, few key-value heads for many query heads, a
#   gated feed-forward and no biases: by hand, on its own weights, equal to the library's.
#
# Next: chapter 07, Model heads, puts something useful on top of these vectors.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - `head_mask` is accepted, and ignored without a word; the 0 that 6.11 prints is the proof.
# - Chunks of the feed-forward part can be expected to save memory in training (6.10: they save none).
# - *80 %* can be read as 80 % of all words; it is of the chosen 15 % (6.13).
# - Segment ids can be taken for what marks padding; the mask does (6.2, 6.3).
#
# **To discuss:**
#
# - *You say that your BERT equals the library's. How equal is equal?* Lean on the gaps printed in 6.2 to 6.7, and the
#   bounds beside them. A good answer speaks of the order of sums, says why the stack is allowed more than a layer, and
#   names a mistake that would exceed the bound.
# - *May one say that a head is not important?* Lean on 6.11: the three lines, heads drawn by lot among them. A good
#   answer says for which task and texts, sees that many can go, and says what the comparison by lot adds.
# - *Why does the recipe leave some chosen words in place?* Lean on the bar of 6.13; the table of recipes in 6.14. A
#   good answer says that real use has no `[MASK]`, and that losses under two recipes can't be compared, as some places
#   are easy.
# - *A layer of today: which change would you have made first?* Lean on 6.16: the diagonals, the numbers kept for each
#   token, the last table. A good answer ties each row to what a cell showed, not to fame.
#
# **If time is short.** 6.16 and 6.10 can be left out (*What changed* uses one text of 6.10). If chapter 14 follows, 6.9
# can be short: 14.2 measures checkpointing again. But run its cells, as 6.10, 6.13 and 6.14 use them. Chapter 07 points
# back to 6.11, 6.12 and 6.15. Exercise to keep: 6.3, on which 6.11 rests.
#
# **In class.** `labs fetch llm` for 6.12 and 6.16. The longest run is the training of 6.14, a minute or two as the text
# says: start it, and let the class draw the curve that they expect. The time ratio of 6.9 wobbles on a busy machine;
# its megabytes don't.
