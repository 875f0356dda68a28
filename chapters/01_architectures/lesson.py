# %% [markdown]
# # 01 Architectures and attention
# You build attention with your own hands, and then see how the four families of Transformers differ: first of all in
# who may look at whom.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | compute attention and multi-head attention, equal to the library's | 140 minutes | chapter 00 |
# | tell the four families apart by their masks, and say which token can hear of which | | |
# | write down inputs, labels and loss mask of each pretraining objective | | |
# | measure what context, residual connections, LayerNorm and feed-forward layers do | | |
# | run a language model one token at a time, see what its heads do, and read cross-attention | | |
# | measure what pretraining gives you, and probe a model for bias | | |

# %%
import labs_utils as lab
lab.start("01")

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

device = lab.device()
encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
model = AutoModel.from_pretrained(encoder, revision=encoder.revision).to(device).eval()

# %% [markdown]
# ## 1.1 What does attention compute?
# <!-- T014 -->
# A library analogy helps. A **query** is what a token is looking for, a **key** is what a token offers, a **value** is
# what it hands over. Each is the token's vector times a learned matrix, here plus a learned bias. We take them from a
# real layer: the first of MiniLM, first head.
#
# Before you run this: the sentence becomes seven tokens. What shape will the scores have?

# %%
inputs = tokenizer("time flies like an arrow", return_tensors="pt").to(device)
words = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
layer = model.encoder.layer[0].attention.self
with torch.no_grad():
    hidden = model.embeddings(inputs["input_ids"])[0]  # [7, 384]
    projections = layer.query, layer.key, layer.value
    query, key, value = (project(hidden)[:, :32] for project in projections)  # [7, 32] each

scores = query @ key.T / 32**0.5  # [7, 7]: any numbers
weights = scores.softmax(dim=-1)  # [7, 7]: each row sums to 1
mixed = weights @ value  # [7, 32]
scores.shape, weights.sum(dim=-1)

# %%
lab.heatmap(scores.round(decimals=2), rows=words, columns=words, title="Scores: any numbers", label="score")

# %%
lab.heatmap(weights.round(decimals=2), rows=words, columns=words, title="Weights: shares of 1", label="weight")

# %% [markdown]
# Read a row: the token on the left looks at the tokens below. **Scores** are dot products and can be negative.
# **Weights** are what the softmax makes of a row of scores: shares of one. The new vector of a token is the mean of all
# *values*, weighted with its row. Many tutorials say that it is a mean of the word vectors: almost, but the values
# are projected first.
#
# Before you run this: PyTorch has the whole thing as one function. Will it give the same numbers?

# %%
library = F.scaled_dot_product_attention(query[None], key[None], value[None])[0]
float((library - mixed).abs().max())

# %% [markdown]
# The difference is in the seventh digit or beyond: that is what float32 can hold. (Where two ways of computing the same
# are compared, *equal* means: to about 10⁻⁶, because two orders of addition round differently.)
#
# ### Exercise 1.1
# Write `attention(query, key, value, mask)`. Query, key and value have shape `[tokens, width]`. `mask` is boolean,
# `[tokens, tokens]`: `True` where the token of the row **may** look at the token of the column. A forbidden token must
# get weight exactly 0, and the weights of the others must still sum to 1, also where scores lie tens of thousands above
# or below 0. Return the mixed values, `[tokens, width]`. For example, with `mask = torch.eye(3).bool()` every token
# sees only itself, and the result is `value`. Every row of `mask` has a `True`.

# %% tags=["exercise"]
def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Scaled dot-product attention of [tokens, width] tensors; row i may look at column j if mask[i, j]."""
    # BEGIN SOLUTION
    scores = query @ key.T / query.shape[-1] ** 0.5  # [tokens, tokens]
    scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1) @ value  # [tokens, width]
    # END SOLUTION

# %% tags=["check"]
lab.check("1.1", attention)

# %% [markdown]
# `lab.hint("1.1")` helps. The check compares you with PyTorch on random inputs.

# %% [markdown]
# ## 1.2 Why divide by √d?
# <!-- T014 -->
# Take two vectors of random numbers, each of spread 1. Before you run this: how does the spread of their dot product
# grow with their width *d*?

# %%
generator = torch.Generator().manual_seed(0)
for width in (4, 64, 1024):
    products = (torch.randn(2, 5000, width, generator=generator).prod(dim=0)).sum(dim=-1)  # [5000]
    print(f"width {width:4}: the products' spread is {products.std():4.1f}, √d is {width**0.5:4.1f}")

# %% [markdown]
# It grows like √d. And what does a softmax do with large scores, and what happens to its gradient?

# %%
rows = []
generator = torch.Generator().manual_seed(0)
for width in (4, 16, 64, 256, 1024):
    queries = torch.randn(200, width, generator=generator)
    keys = torch.randn(32, width, generator=generator)
    for name, factor in (("not scaled", 1.0), ("divided by √d", width**-0.5)):
        shares = (queries @ keys.T * factor).softmax(dim=-1)  # [200, 32]
        largest = shares.amax(dim=-1).mean().item()
        slope = (shares * (1 - shares)).sum(dim=-1).mean().item()  # how the weights answer a small change of a score
        rows.append({"width": width, "scores": name, "largest weight": largest, "slope": slope})
saturation = pd.DataFrame(rows)
saturation.pivot(index="width", columns="scores").round(3)

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for axes, column in zip(panels, ["largest weight", "slope"]):
    for name, part in saturation.groupby("scores"):
        axes.plot(part["width"], part[column], "o-", label=name)
    axes.set(xscale="log", xlabel="width d", ylabel=column, ylim=(-0.05, 1.05))
panels[0].set_title("Without √d one key takes all …")
panels[1].set_title("… and the gradient dies")
panels[0].legend();

# %% [markdown]
# Left: without the division, one of 32 keys takes nearly all the weight as the width grows, although everything is
# random. Right: then the softmax is **saturated**. A small change of a score changes the weights hardly at all, so
# hardly any gradient gets back to the queries and keys. Divided by √d, both stay about where they were.
#
# ### Exercise 1.2
# A number for saturation: the **effective number of keys**, `exp(−Σ w · ln w)`. Write `effective_keys(weights)`: it
# gets weights of shape `[..., keys]` whose last dimension sums to 1, and returns one number per row, shape `[...]`. For
# example, `[0.25, 0.25, 0.25, 0.25]` gives 4.0, and `[1., 0., 0., 0.]` gives 1.0. (A weight of 0 adds nothing to the
# sum.)

# %% tags=["exercise"]
def effective_keys(weights: torch.Tensor) -> torch.Tensor:
    """exp(entropy) over the last dimension: [..., keys] -> [...]."""
    # BEGIN SOLUTION
    entropy = torch.special.entr(weights).sum(dim=-1)  # entr(w) is −w · ln w, and 0 at w = 0
    return entropy.exp()
    # END SOLUTION

# %% tags=["check"]
lab.check("1.2", effective_keys)

# %% [markdown]
# `lab.hint("1.2")` helps. Try it on `weights` from section 1.1: which token looks most widely?

# %% [markdown]
# ## 1.3 Many heads
# <!-- T015 -->
# One softmax gives each token one set of shares. For more of them, the 384 columns are cut into 12 **heads** of 32,
# each with a softmax of its own. Before you run this: do twelve heads need more weights than one wide head?

# %%
with torch.no_grad():
    wide = [project(hidden) for project in projections]  # three times [7, 384]
    parts = []
    for head in range(12):
        q, k, v = (full[:, 32 * head : 32 * head + 32] for full in wide)  # [7, 32]
        parts.append((q @ k.T / 32**0.5).softmax(dim=-1) @ v)
    by_hand = torch.cat(parts, dim=-1)  # [7, 384]
    library = layer(hidden[None])[0][0]  # the layer of the model itself
float((library - by_hand).abs().max())

# %% [markdown]
# Equal, with the layer's own weights. Heads cost no weights: we cut what the three 384 × 384 matrices gave, and took
# dot products and softmax in twelve groups.
#
# One matrix is still missing. So far head 0 has written into columns 0 to 31 and nowhere else. Now comes the **output
# projection**, once more 384 × 384. Before you run this: how many of the 384 columns does head 0 reach through it?

# %%
project_out = model.encoder.layer[0].attention.output.dense
with torch.no_grad():
    alone = torch.zeros_like(by_hand)
    alone[:, :32] = by_hand[:, :32]  # head 0, and nothing from the others
    reached = (project_out(alone) - project_out.bias).abs().amax(dim=0) > 1e-6  # [384]
    projected = project_out(by_hand)  # [7, 384]
int(reached.sum())

# %% [markdown]
# It reaches nearly all of them, or all: the projection mixes what the heads found. That is multi-head attention
# complete. PyTorch has it as one layer, `nn.MultiheadAttention`. Does it give the same numbers with the same four
# matrices?

# %%
complete = nn.MultiheadAttention(384, 12, batch_first=True).to(device).eval()
with torch.no_grad():
    complete.in_proj_weight.copy_(torch.cat([project.weight for project in projections]))
    complete.in_proj_bias.copy_(torch.cat([project.bias for project in projections]))
    complete.out_proj.load_state_dict(project_out.state_dict())
    library = complete(hidden[None], hidden[None], hidden[None])[0][0]
float((library - projected).abs().max())

# %% [markdown]
# Equal. What do the twelve heads look at?

# %%
with torch.no_grad():
    q, k = (full.view(7, 12, 32).transpose(0, 1) for full in wide[:2])  # [12, 7, 32]
    all_heads = (q @ k.transpose(1, 2) / 32**0.5).softmax(dim=-1)  # [12, 7, 7]
figure, panels = plt.subplots(2, 6, figsize=(9, 3.6), layout="constrained")
for head, axes in enumerate(panels.flat):
    axes.imshow(all_heads[head].cpu(), vmin=0, vmax=1, cmap="viridis")
    axes.set_title(f"head {head}", fontsize=9)
    axes.set(xticks=[], yticks=[])
figure.suptitle("The twelve heads of one layer share the sentence in twelve ways");

# %% [markdown]
# Each square is a 7 × 7 matrix of weights like the one in section 1.1 (that was head 0). Some heads spread their
# attention over many tokens. Head 2 has a bright line just below the diagonal: there each token looks at its left
# neighbour. A bright column means: many look at the same token.
#
# That was one layer of six. The view below holds all 72 heads, for two sentences at once. Before you run this: will the
# two sentences look at each other, or each at itself?

# %%
seen = lab.attention(model, tokenizer, "time flies like an arrow", "fruit flies like a banana")
seen.heads()

# %% [markdown]
# Choose a layer and a head, point at a token, press Enter to hold it. *A → B* shows only what goes from the first
# sentence to the second. Both happen, and often neither: many lines end at `[CLS]` or `[SEP]`. How much goes where? For
# the ten words we add up, head by head, what they give to the special tokens, to their own sentence and to the other
# one.

# %%
maps = seen.data["encoder"]  # [6, 12, 13, 13]
special = torch.tensor(seen.special["encoder"])  # [13]: [CLS], [SEP] and [SEP]
second = torch.arange(13) >= seen.second
own = (second[:, None] == second) & ~special  # [13, 13]
goals = {"[CLS] and [SEP]": special.expand(13, 13), "own sentence": own, "other sentence": ~(own | special)}
shares = {name: (maps * goal).sum(-1)[:, :, ~special].mean(-1).flatten() for name, goal in goals.items()}  # [72] each
order = shares["[CLS] and [SEP]"].argsort()

# %%
figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
bottom = torch.zeros(72)
for (name, share), colour in zip(shares.items(), ("#999999", "#0072B2", "#D55E00")):
    axes.bar(range(72), share[order], bottom=bottom, color=colour, width=1, label=f"{name}: {share.mean():.0%}")
    bottom = bottom + share[order]
axes.set(xlabel="the 72 heads, sorted", ylabel="share of the words' attention", xlim=(-0.5, 71.5), ylim=(0, 1))
axes.set_title(f"3 tokens of 13 get {shares['[CLS] and [SEP]'].mean():.0%} of the attention, and they are no words")
axes.legend(loc="lower right", frameon=True, facecolor="white", framealpha=0.9);

# %% [markdown]
# A bar is a head. Taken together, the grey part is the largest: more than half of the attention goes to tokens that are
# no words. Such a token is called an **attention sink**. A row of weights must sum to one, also when a head finds
# nothing to look at; the usual explanation is that it then puts its weight where it does no harm. So a bright column in
# a picture of attention is no proof that a token matters. Among the words, the own sentence gets more than the other
# one, but some heads prefer the other side.
#
# **bertviz** is a well-known tool for such pictures. It fetches its libraries from the web each time it draws. The
# workbook gives them along, so its own figure works here, offline. Same tensors, its way of drawing:

# %%
lab.bertviz_head_view([layer[None] for layer in seen.data["encoder"]], seen.tokens["encoder"])

# %% [markdown]
# Click a coloured tile to switch a head off or on; pick the layer above.
#
# ### Does attention know the order?
# The formulas of sections 1.1 and 1.3 don't ask *where* a token stands. The order was in `hidden` already:
# `model.embeddings` adds to each token's vector one for its place. Take that away: tell the model that every token
# stands at place 0. Before you run this: will it still tell *dog bites man* from *man bites dog*?

# %%
bag = tokenizer(["dog bites man", "man bites dog"], return_tensors="pt").to(device)
with torch.inference_mode():
    placed = model(**bag).last_hidden_state  # [2, 5, 384]
    unplaced = model(**bag, position_ids=torch.zeros_like(bag["input_ids"])).last_hidden_state
for name, (first, other) in {"with places": placed, "all at place 0": unplaced}.items():
    dog, cls = ((first[a] - other[b]).norm() / first[a].norm() for a, b in ((1, 3), (0, 0)))
    print(f"{name:15} the two sentences' “dog” differ by {dog:.1e}, their [CLS] by {cls:.1e}")

# %% [markdown]
# Without places, only rounding is left: where everyone may look at everyone, a sentence is a bag of tokens. Other
# models bring the order in at another door; chapter 06 shows one that *rotates* queries and keys.
#
# ### Exercise 1.3
# Write `split_heads(states, heads)`: `states` has shape `[batch, tokens, width]`; return `[batch, heads, tokens, width
# // heads]`. Head 0 gets the **first** `width // heads` columns of every token, head 1 the next, and so on. For
# example, `[[[1, 2, 3, 4]]]` with two heads becomes `[[[[1, 2]], [[3, 4]]]]`. Careful: one reshape alone gives the
# right shape with the wrong numbers in it.

# %% tags=["exercise"]
def split_heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    """[batch, tokens, width] -> [batch, heads, tokens, width // heads]."""
    # BEGIN SOLUTION
    batch, tokens, width = states.shape
    return states.view(batch, tokens, heads, width // heads).transpose(1, 2)
    # END SOLUTION

# %% tags=["check"]
lab.check("1.3", split_heads)

# %% [markdown]
# `lab.hint("1.3")` helps.

# %% [markdown]
# ## 1.4 Four families, four masks
# <!-- T010 -->
# So far every token looked at every token. A **mask** takes some of that away, and by its mask you can know a family,
# or nearly. Draw on paper, for eight tokens, who may look at whom in BERT, in GPT, and in a model that reads a prefix
# of three and then writes.

# %%
def prefix_mask(size: int, prefix: int) -> torch.Tensor:
    """True where row may look at column: the prefix sees all of itself, the rest sees its past and itself."""
    mask = torch.ones(size, size, dtype=torch.bool).tril()
    mask[:prefix, :prefix] = True
    return mask

size, source = 8, 3
families = {
    "encoder-only\n(BERT)": torch.ones(size, size, dtype=torch.bool),
    "causal decoder\n(GPT)": torch.ones(size, size, dtype=torch.bool).tril(),
    "prefix decoder\n(prefix of 3)": prefix_mask(size, source),
}

# %% [markdown]
# An encoder–decoder has three masks: the source sees itself, the target sees its own past, and the target sees the
# whole source. To compare, we write them into one square: first three source tokens, then five target tokens.

# %%
joint = torch.zeros(size, size, dtype=torch.bool)
joint[:source, :source] = True  # the encoder's self-attention: both ways
joint[source:, source:] = torch.ones(5, 5).tril().bool()  # the decoder's self-attention: causal
joint[source:, :source] = True  # cross-attention: every target token sees the whole source
families["encoder–decoder\n(BART, T5)"] = joint

figure, panels = plt.subplots(1, 4, figsize=(9.4, 2.9), layout="constrained")
for axes, (name, mask) in zip(panels, families.items()):
    axes.imshow(mask, cmap="viridis", vmin=0, vmax=1)
    axes.set(title=name, xlabel="looked at", xticks=range(size), yticks=range(size))
    axes.grid(False)
panels[0].set_ylabel("token that looks")
bool((joint == families["prefix decoder\n(prefix of 3)"]).all())

# %% [markdown]
# Yellow may be looked at. The last two squares are the same! Yet the families differ, and section 1.6 shows where. Now
# move the slider: at 0 the mask is that of a causal decoder (and at 1, why?), at 8 that of an encoder.

# %%
import ipywidgets as widgets
from IPython.display import display

def draw(prefix: int) -> None:
    display(lab.heatmap(prefix_mask(8, prefix), title=f"A prefix of {prefix}", label="may look"))

widgets.interact(draw, prefix=widgets.IntSlider(3, min=0, max=8, description="prefix"));

# %% [markdown]
# The slider needs a running kernel. Here are four of its positions, for a page without one.

# %%
figure, panels = plt.subplots(1, 4, figsize=(9.4, 2.6), layout="constrained")
for axes, prefix in zip(panels, (0, 2, 5, 8)):
    axes.imshow(prefix_mask(8, prefix), cmap="viridis", vmin=0, vmax=1)
    axes.set(title=f"prefix {prefix}", xticks=[], yticks=[])
figure.suptitle("From causal decoder (left) to encoder (right)");

# %% [markdown]
# Many tutorials say that a decoder's word sees only the words *before* it. Before you run this: what would happen to
# the first token if that were literally so, and it couldn't look at itself?

# %%
strictly_before = torch.ones(4, 4).tril(-1).bool()
torch.zeros(4, 4).masked_fill(~strictly_before, float("-inf")).softmax(dim=-1)

# %% [markdown]
# `nan` in the first row: a softmax over nothing. So a causal mask keeps its diagonal: a token sees its past **and
# itself**.
#
# ### Exercise 1.4
# In a batch every example has a prefix of its own length. Write `prefix_masks(prefixes, size)`: `prefixes` is a tensor
# of whole numbers, shape `[batch]`, from 0 to `size`; return a boolean tensor `[batch, size, size]`, `True` where the
# row may look at the column. For example, `prefix_masks(torch.tensor([0, 2]), 2)` is `[[[True, False], [True, True]],
# [[True, True], [True, True]]]`. It can be done without a loop, but a loop is right, too.

# %% tags=["exercise"]
def prefix_masks(prefixes: torch.Tensor, size: int) -> torch.Tensor:
    """One prefix mask per example: [batch] -> boolean [batch, size, size]."""
    # BEGIN SOLUTION
    place = torch.arange(size)
    causal = place[None, :] <= place[:, None]  # [size, size]
    inside = place[None, :] < prefixes[:, None]  # [batch, size]: which columns belong to the prefix
    return causal | inside[:, None, :]  # rows below the prefix see it anyway, so nothing is added there
    # END SOLUTION

# %% tags=["check"]
lab.check("1.4", prefix_masks)

# %% [markdown]
# `lab.hint("1.4")` helps.

# %% [markdown]
# ## 1.5 Who hears of a change?
# <!-- T018 T302 -->
# Change one word in the middle of a sentence: *river* becomes *city*. Before you run this: which vectors move in an
# encoder, and which in a decoder?
#
# The encoder is MiniLM. The decoder is a GPT-2 made from its config, with random weights. That is enough here: the mask
# belongs to the architecture, not to the training. (A trained decoder comes in section 1.10.)

# %%
from transformers import GPT2Config, GPT2Model

torch.manual_seed(0)
small = {"n_embd": 64, "n_layer": 4, "n_head": 4, "bos_token_id": None, "eos_token_id": None}
decoder = GPT2Model(GPT2Config(vocab_size=len(tokenizer), **small)).to(device).eval()
pair = ["the bank of the river was steep", "the bank of the city was steep"]
batch = tokenizer(pair, return_tensors="pt").to(device)

def moved(network) -> torch.Tensor:
    """Distance between the two sentences' vectors, token by token, relative to the vectors' length."""
    with torch.inference_mode():
        first, second = network(input_ids=batch["input_ids"]).last_hidden_state  # [tokens, width] each
    return ((first - second).norm(dim=-1) / first.norm(dim=-1)).cpu()

movement = {"encoder (MiniLM)": moved(model), "decoder (GPT-2)": moved(decoder)}

# %%
names = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
figure, panels = plt.subplots(1, 2, figsize=(9.4, 3), layout="constrained")
for axes, (name, distance) in zip(panels, movement.items()):
    axes.bar(range(len(names)), distance)
    axes.set_xticks(range(len(names)), names, rotation=45)
    axes.set(title=name, ylabel="relative movement")
figure.suptitle("river → city: an encoder tells everyone, a decoder tells only those to the right");

# %% [markdown]
# Left: every vector moves, also that of *bank*, which stands before the edit. This is what **bidirectional** means.
# Right: to the left of the edit the bars are not small, they are zero. That is why a decoder can be trained on all
# positions of a text at once, and why its past need not be computed again while it writes.

# %%
movement["decoder (GPT-2)"][:5]

# %% [markdown]
# Where does bidirectionality come from? One often reads: from masked language modelling, the task that BERT was trained
# on. Test it. MiniLM's class takes `is_decoder=True`: then the mask of its attention is causal.
# We load the same weights and train nothing. Before you run this: will *bank* still move?

# %%
causal = AutoModel.from_pretrained(encoder, revision=encoder.revision, is_decoder=True).to(device).eval()
assert all(torch.equal(one, other) for one, other in zip(model.parameters(), causal.parameters()))
both = {"full mask": movement["encoder (MiniLM)"], "causal mask": moved(causal)}
pd.DataFrame(both, index=names).T.map("{:.2f}".format)

# %% [markdown]
# The same weights, one-eyed: left of the edit nothing moves. So it is the **mask** that makes a model bidirectional.
# The task goes with it: under a full mask "guess the next word" would be no task, because the next word is in view.
# Hence the hidden words of section 1.7.
#
# Another comparison that one reads: an encoder layer is *like a convolution*. Before you run this: in one layer of
# each, how far does the news of the changed word get?

# %%
torch.manual_seed(0)
convolution = nn.Conv1d(384, 384, kernel_size=3, padding=1).to(device)
with torch.inference_mode():
    embedded = model.embeddings(batch["input_ids"])  # [2, 9, 384]
    slid = convolution(embedded.transpose(1, 2)).transpose(1, 2)  # [2, 9, 384]
    attended = model.encoder.layer[0].attention.self(embedded)[0]  # [2, 9, 384]
reached = torch.stack([(out[0] - out[1]).abs().amax(dim=-1) > 1e-6 for out in (slid, attended)])  # [2, 9]
title = "river → city: whose vector moves in one layer? (1 = yes)"
lab.heatmap(reached, rows=["convolution", "attention"], columns=names, title=title)

# %% [markdown]
# A convolution of width three tells the two neighbours; attention tells everyone at once. They differ in a second way.
# A convolution mixes neighbours with the same learned numbers in every text. Attention computes its shares from the
# text: the three matrices are learned, but each head's 9 × 9 table is new for each text. What the two have in common is
# that one set of learned numbers serves all places.
#
# ### Exercise 1.5
# A mask says what happens in **one** layer. In a stack, news travels: token 2 hears token 1, and in the next layer
# token 3 hears token 2. Write `reach(mask, layers)`: `mask` is boolean `[tokens, tokens]`; return a boolean `[tokens,
# tokens]`, `True` where the row's final vector can depend on the column's input after `layers` layers. A token always
# keeps its own news (the residual connection, section 1.10), whatever the mask's diagonal says; with 0 layers it has
# only that. For example, if each of four tokens sees itself and its left neighbour, then after 2 layers the last row is
# `[False, True, True, True]`.

# %% tags=["exercise"]
def reach(mask: torch.Tensor, layers: int) -> torch.Tensor:
    """Which inputs (columns) can influence which outputs (rows); boolean [tokens, tokens]."""
    # BEGIN SOLUTION
    itself = torch.eye(len(mask), dtype=torch.bool)
    step = (mask | itself).double()
    known = itself.double()
    for _ in range(layers):
        known = ((step @ known) > 0).double()
    return known.bool()
    # END SOLUTION

# %% tags=["check"]
lab.check("1.5", reach)

# %% [markdown]
# `lab.hint("1.5")` helps. Try it: does a causal mask stay causal through many layers? By how much does a window of two
# widen with each layer? A model with *sliding-window attention* hears in this way of tokens outside its window.

# %% [markdown]
# ## 1.6 Same mask, different machine: prefix decoder and encoder–decoder
# <!-- T011 -->
# In section 1.4 the two had the same square. The difference is **what** the target looks at: in a prefix decoder, each
# layer looks at the prefix *of that layer*; in an encoder–decoder, every layer looks at the *same* finished source, the
# encoder's last layer.
#
# No prefix decoder is needed to see it: give a GPT-2 a mask of your own, with four dimensions `[batch, heads, query,
# key]`. Before you run this: will it do to pass 0 and 1, as in a tokenizer's `attention_mask`?

# %%
decoder.set_attn_implementation("eager")  # the implementation that keeps the weights
ids = batch["input_ids"][:1, :8]  # [1, 8]
allowed = prefix_mask(8, 3)[None, None].to(device)  # [1, 1, 8, 8]
with torch.inference_mode():
    naive = decoder(ids, attention_mask=allowed.float(), output_attentions=True).attentions
    added = torch.zeros(1, 1, 8, 8, device=device).masked_fill(~allowed, torch.finfo(torch.float32).min)
    prefix_run = decoder(ids, attention_mask=added, output_attentions=True, output_hidden_states=True)
forbidden = ~allowed[0, 0]
runs = {"0 and 1": naive, "0 and about −10³⁸": prefix_run.attentions}
{name: found[0][0, 0][forbidden].max().item() for name, found in runs.items()}  # largest weight on a forbidden place

# %% [markdown]
# A trap worth knowing: eager attention **adds** a 4-D mask to the scores. Ones and zeros only nudge them, and a
# forbidden token keeps its weight, silently (an equal share of eight tokens would be 0.125). The second form blocks
# them: weight zero. Now the weights of every layer, and beside them a BART of the same depth: three source tokens, five
# target tokens.

# %%
from transformers import BartConfig, BartModel

torch.manual_seed(0)
depth = {"encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
width = {"d_model": 64, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256}
bart = BartModel(BartConfig(vocab_size=len(tokenizer), **depth, **width)).to(device).eval()
bart.set_attn_implementation("eager")

# %% [markdown]
# A **hook** is a function that a module calls whenever it runs; a *pre*-hook gets the module's inputs. Ours keep what
# the keys of the source are made from, in every layer.

# %%
sources = {"prefix decoder": [], "encoder–decoder": []}  # one tensor [3, 64] per layer
watched = {"prefix decoder": [block.attn.c_attn for block in decoder.h]}
watched["encoder–decoder"] = [block.encoder_attn.k_proj for block in bart.decoder.layers]
hooks = [
    module.register_forward_pre_hook(lambda _, args, name=name: sources[name].append(args[0][0, :3]))
    for name, modules in watched.items() for module in modules
]
with torch.inference_mode():
    decoder(ids, attention_mask=added)
    bart_run = bart(input_ids=ids[:, :3], decoder_input_ids=ids[:, 3:], output_attentions=True)
for hook in hooks:
    hook.remove()

# %%
figure, panels = plt.subplots(2, 4, figsize=(9.4, 4.4), layout="constrained")
for index in range(4):
    square = prefix_run.attentions[index][0].mean(0).cpu()  # [8, 8], mean over heads
    panels[0, index].imshow(square, vmin=0, cmap="viridis")
    panels[0, index].set(title=f"prefix decoder, layer {index}", xticks=range(8), yticks=range(8))
    cross = bart_run.cross_attentions[index][0].mean(0).cpu()  # [5, 3]
    panels[1, index].imshow(cross, vmin=0, cmap="viridis")
    panels[1, index].set(title=f"BART cross, layer {index}", xticks=range(3), yticks=range(5))
for axes in panels.flat:
    axes.grid(False)
    axes.title.set_fontsize(9)

# %% [markdown]
# Above, one matrix per layer, 8 × 8: prefix and text live together. The 3 × 3 corner at the top left is filled in
# *every* layer, and rows 3 to 7 look at columns 0 to 2 in every layer. Below, the cross-attention of every layer: 5
# rows for the target, 3 columns for the source. But are those columns the same vectors? We kept what the keys were made
# from.

# %%
for name, vectors in sources.items():
    first = vectors[0].flatten()
    change = [float((one.flatten() - first).norm() / first.norm()) for one in vectors]
    print(f"{name:16}", [round(value, 3) for value in change])
same = all(torch.equal(one, bart_run.encoder_last_hidden_state[0]) for one in sources["encoder–decoder"])
print("every cross-attention reads encoder_last_hidden_state:", same)
print(f"layers: {len(decoder.h)} for both parts in the prefix decoder;",
      f"{len(bart.encoder.layers)} for the source and {len(bart.decoder.layers)} for the target in BART")

# %% [markdown]
# Each list gives, layer by layer, how far the source's vectors are from those that the first layer read. In the prefix
# decoder the source changes from layer to layer, so the target reads other vectors in each. In the encoder–decoder the
# numbers are exactly zero: all layers read the same tensor, `encoder_last_hidden_state`. And there is a second
# difference: this BART has layers of its own for each side, the prefix decoder sends both through the same ones.

# %% [markdown]
# ## 1.7 What the families learn from
# <!-- T012 T303 -->
# Three **pretraining objectives**, one sentence. Each turns plain text into inputs and labels. Before you run this: for
# *the cat sat on the mat .*, at how many positions does each objective ask for a prediction?
#
# In the tables, a `·` means that the position does not count for the loss.

# %%
sentence = "the cat sat on the mat .".split()

def as_table(name: str, given: list[str], labels: list[str | None]) -> pd.DataFrame:
    """Inputs, labels and loss mask of one objective, a column per position."""
    counted = [int(label is not None) for label in labels]
    rows = pd.MultiIndex.from_product([[name], ["input", "label", "loss"]])
    return pd.DataFrame([given, [label or "·" for label in labels], counted], rows)

causal_form = as_table("CLM", sentence[:-1], sentence[1:])  # predict the next word, everywhere
prefix_form = as_table("PLM, one sequence", sentence[:-1], [None, None, *sentence[3:]])  # given "the cat sat"
masked_words = ["[MASK]" if place in (2, 4) else word for place, word in enumerate(sentence)]
masked = as_table("MLM", masked_words, [word if place in (2, 4) else None for place, word in enumerate(sentence)])
pd.concat([causal_form, prefix_form, masked]).fillna("")

# %% [markdown]
# **CLM** (causal language modelling; some write FLM, full language modelling) asks at every position for the next word:
# for causal decoders. **PLM** (prefix language modelling) gives the first part and asks only for the rest: for prefix
# decoders, and, cut in two, for encoder–decoders. **MLM** (masked language modelling) hides some words and asks for
# those, at their own place: for encoders. CLM gets six answers out of these seven tokens, our MLM two.
#
# The same two tasks take other forms. **Text-to-text** puts the question into the encoder and the answer into the
# decoder. **Concatenated** writes both into one sequence, for a decoder alone.

# %%
question = ["the", "cat", "<X>", "on", "<Y>", "mat", "."]  # T5 hides spans behind numbered placeholders
answer = ["<X>", "sat", "<Y>", "the", "<end>"]
together = [*question, *answer]
pd.concat([
    as_table("PLM: encoder", sentence[:3], [None] * 3),
    as_table("PLM: decoder", ["<start>", *sentence[3:]], [*sentence[3:], "<end>"]),
    as_table("MLM: encoder", question, [None] * 7),
    as_table("MLM: decoder", ["<start>", *answer[:-1]], answer),
    as_table("MLM concatenated", together[:-1], [None] * 6 + answer),
]).fillna("")

# %% [markdown]
# Look at the last table: the question is there, but its labels are dots. Only the answer is learned. A decoder-only
# model can be taught to follow instructions in the same form.
#
# BART learned from yet another form, **denoising**. One of its kinds of damage is *text infilling*: a run of words
# becomes one single `<mask>`, whatever its length, and a run of length 0 puts a mask where nothing is missing. The
# decoder writes the **whole** text again. Here *cat sat* is a run of two, and the mask before *mat* a run of none:

# %%
damaged = ["the", "<mask>", "on", "the", "<mask>", "mat", "."]
pd.concat([
    as_table("BART: encoder", damaged, [None] * 7),
    as_table("BART: decoder", ["<start>", *sentence], [*sentence, "<end>"]),
]).fillna("")

# %% [markdown]
# Some tables file BART and T5 under PLM. Is that right? Compare which words of the sentence (0 to 6) each form gives,
# and which it asks for:

# %%
forms = {"PLM": ({0, 1, 2}, {3, 4, 5, 6}), "MLM": ({0, 1, 3, 5, 6}, {2, 4})}
forms |= {"T5": ({0, 1, 3, 5, 6}, {2, 4}), "BART": ({0, 3, 4, 5, 6}, {0, 1, 2, 3, 4, 5, 6})}
pd.DataFrame({
    name: {"asked for": len(asked), "asked for, though given": len(asked & given),
           "something given to the right of a missing word": max(given) > min(asked - given)}
    for name, (given, asked) in forms.items()
}).T

# %% [markdown]
# In PLM all that is given stands to the left. T5 and BART get words from **both** sides of the gap: they **repair
# damaged text**. In this table T5 even equals MLM; what differs is where it answers, in the decoder. BART is also asked
# for words that it can see.
#
# In the library a dot is the label **−100**, and a causal model wants labels equal to the inputs: **it shifts them
# itself**. Before you run this: what do you get when you shift them, too?

# %%
from transformers import GPT2LMHeadModel

torch.manual_seed(0)
writer = GPT2LMHeadModel(GPT2Config(vocab_size=20, **small)).eval()
ids = torch.tensor([[3, 7, 5, 2, 9, 4]])
labels = torch.tensor([[-100, -100, 5, 2, 9, 4]])  # the first two are given, the other four count
with torch.inference_mode():
    output = writer(ids, labels=labels)
    shifted_twice = writer(ids[:, :-1], labels=labels[:, 1:]).loss
by_hand = F.cross_entropy(output.logits[0, 1:5], labels[0, 2:])  # positions 1 to 4 predict tokens 2 to 5
too_far = F.cross_entropy(output.logits[0, :4], labels[0, 2:])  # positions 0 to 3 predict tokens 2 to 5
float(output.loss), float(by_hand), float(shifted_twice), float(too_far)

# %% [markdown]
# (A log line may say that the library goes by the default, the loss of causal models: just what we want.) The first two
# numbers are equal: the library compared position *i* with label *i + 1*. The last two are equal as well: with labels
# that you have shifted too, it compares position *i* with token *i + 2*, the word after the next. No error tells you.
#
# ### Exercise 1.6
# Write `causal_loss(logits, labels)`: logits have shape `[batch, tokens, vocabulary]`, labels `[batch, tokens]`, with
# −100 where a label does not count. Return the mean cross-entropy (a scalar tensor) over all positions that count,
# where position *i* predicts label *i + 1*. It must equal what `GPT2LMHeadModel` gives for the same labels. For
# example, with logits of all zeros and a vocabulary of 8, it is ln 8 ≈ 2.079, whichever labels count. (At least one
# does.)

# %% tags=["exercise"]
def causal_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy of [batch, tokens, vocabulary] against [batch, tokens]; -100 does not count."""
    # BEGIN SOLUTION
    predictions = logits[:, :-1].flatten(0, 1)  # [batch * (tokens - 1), vocabulary]
    targets = labels[:, 1:].flatten()
    return F.cross_entropy(predictions, targets, ignore_index=-100)
    # END SOLUTION

# %% tags=["check"]
lab.check("1.6", causal_loss)

# %% [markdown]
# `lab.hint("1.6")` helps.

# %% [markdown]
# ## 1.8 Which model belongs where?
# <!-- T013 -->
# Overviews like to have a table of families, objectives, models and tasks. Let the library write it: its configs know
# whether a model has two halves, and its **auto mappings** know which heads exist. Before you run this: in which family
# do you expect XLNet, and GLM?

# %%
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto as auto

heads = {
    "masked LM": auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "causal LM": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "text to text": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "classify texts": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "classify tokens": auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "answer questions": auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
}

# %% [markdown]
# Config and heads together give a rule of thumb:

# %%
def family(kind: str) -> tuple[str, str]:
    """Family and usual objective, from the config and the heads that the library has for a model type."""
    if CONFIG_MAPPING[kind]().is_encoder_decoder:
        return "encoder–decoder", "text to text"
    if kind in heads["masked LM"]:
        return "encoder", "MLM"
    return "causal decoder", "CLM"

# %%
kinds = "albert bert distilbert electra roberta".split() + "ctrl gpt2 bloom llama glm xlnet".split()
kinds += "bart mbart marian t5 pegasus".split()
table = pd.DataFrame(
    {
        "model": kinds,
        "family": [family(kind)[0] for kind in kinds],
        "objective": [family(kind)[1] for kind in kinds],
        "pretraining class": [auto.MODEL_FOR_PRETRAINING_MAPPING_NAMES.get(kind, "–") for kind in kinds],
        **{task: ["●" if kind in names else "" for kind in kinds] for task, names in heads.items()},
    }
)
table.sort_values(["family", "model"]).set_index(["family", "objective", "model"])

# %% [markdown]
# Four things to see.
# - Encoders have heads to classify and to find answers; BERT and others also have a causal head, because their mask can
#   be changed. That an architecture *can* do something does not mean that a checkpoint was *trained* for it.
# - All these decoders have a head to classify texts, too. So the heads don't tell which family suits a task.
# - Our rule is too simple at the edges. ELECTRA's pretraining class tells fake words from real ones, and XLNet predicts
#   in a shuffled order.
# - It can't say *prefix decoder*: what it asks of config and heads doesn't tell. Many tables name ChatGLM; today's GLM
#   in the library is a causal decoder. But PaliGemma, which is given a picture and a question and then writes, is a
#   prefix decoder; `token_type_ids` say where its prefix ends. Small ones of both, from their configs:

# %%
from transformers import AutoModelForCausalLM, GlmConfig

tiny = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
tiny |= {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
glm_config = GlmConfig(vocab_size=50, pad_token_id=0, eos_token_id=1, **tiny)
glm = AutoModelForCausalLM.from_config(glm_config, attn_implementation="eager")
with torch.inference_mode():
    glm_weights = glm(torch.arange(6)[None], output_attentions=True).attentions[0][0, 0]
lab.heatmap(glm_weights.round(decimals=2), title="GLM today: causal")

# %%
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

seeing = {"model_type": "siglip_vision_model", "image_size": 8, "patch_size": 4, **tiny}
reading = {"model_type": "gemma", "vocab_size": 50, **tiny}
pali_config = PaliGemmaConfig(text_config=reading, vision_config=seeing, image_token_index=49)
pali = PaliGemmaForConditionalGeneration._from_config(pali_config, attn_implementation="eager").eval()
prefix_of_three = torch.tensor([[0, 0, 0, 1, 1, 1]])
with torch.inference_mode():
    seen_by_pali = pali(torch.arange(6)[None], token_type_ids=prefix_of_three, output_attentions=True).attentions[0][0, 0]
lab.heatmap(seen_by_pali.round(decimals=2), title="PaliGemma: a prefix of three")

# %% [markdown]
# Above, nothing right of the diagonal. Below, the square of section 1.4: the first three rows see all of the prefix.
# With a causal mask a chat's past can be kept as it is when a new turn begins. With a prefix mask the old answer has to
# be read again if it is to be part of the new prefix: its rows may now look to the right.

# %% [markdown]
# ## 1.9 One word, many vectors
# <!-- T016 -->
# *Time flies like an arrow. Fruit flies like a banana.* In the embedding table, *flies* is one row. Before you run
# this: after six layers, will the *flies* of time be closer to the *flies* of life, or to the insect?

# %%
flies = ["Time flies like an arrow.", "Life flies past when you are busy."]
flies += ["Fruit flies like a banana.", "Two flies sat on the rotten fruit."]
apple = ["Apple showed a new phone at its keynote.", "Apple was founded by Steve Jobs."]
apple += ["Apple pie is sweet and warm.", "Apple trees grew behind the house."]

# %% [markdown]
# In all four sentences the word stands at the same place, so that its place can make no difference. From each sentence
# we keep the word's vector, as it leaves the embedding and as it leaves each of the six layers.

# %%
def vectors_of(word: str, texts: list[str]) -> torch.Tensor:
    """The word's vector in each text, after the embedding and after each layer: [texts, layers + 1, width]."""
    found = []
    for text in texts:
        one = tokenizer(text, return_tensors="pt").to(device)
        place = one["input_ids"][0].tolist().index(tokenizer.convert_tokens_to_ids(word))
        with torch.inference_mode():
            states = model(**one, output_hidden_states=True).hidden_states
        found.append(torch.stack(states)[:, 0, place])
    return F.normalize(torch.stack(found), dim=-1)

in_context = {"flies": vectors_of("flies", flies), "apple": vectors_of("apple", apple)}

# %%
row = tokenizer.convert_tokens_to_ids("flies")
static = F.normalize(model.get_input_embeddings().weight[[row] * 4].detach(), dim=-1)  # one row, looked up four times
print("static, first sentence against all four:", (static @ static.T)[0].cpu().numpy().round(2))
last = in_context["flies"][:, -1]  # [4, 384]
names = ["time", "life", "fruit", "two"]
lab.heatmap(last @ last.T, rows=flies, columns=names, title="“flies”: two meanings", label="cosine")

# %% [markdown]
# Two blocks: the flies that pass and the flies that buzz. The static table knows no such thing: it has one row for
# both. Now the company and the fruit; the tokenizer lowers the case, so the capital letter is no help.

# %%
last = in_context["apple"][:, -1]
names = ["phone", "Jobs", "pie", "trees"]
lab.heatmap(last @ last.T, rows=apple, columns=names, title="“apple”: two meanings", label="cosine")

# %%
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for word, found in in_context.items():
    cosine = torch.einsum("alw,blw->lab", found, found).cpu()  # [layers + 1, 4, 4]
    style = "-" if word == "flies" else "--"
    axes.plot((cosine[:, 0, 1] + cosine[:, 2, 3]) / 2, style, color="#0072B2", label=f"{word}, same meaning")
    axes.plot(cosine[:, :2, 2:].mean(dim=(1, 2)), style, color="#D55E00", label=f"{word}, other meaning")
axes.set(title="Context pulls other meanings further apart", xlabel="layer (0 = embedding)", ylabel="cosine similarity")
axes.legend();

# %% [markdown]
# At layer 0 all curves are at 1: the same row of the table, at the same place. From the first layer on, pairs of
# different meaning lie below pairs of the same meaning, for both words. The way down isn't even (look at *apple* in the
# middle layers), and the gap is clear at the end.
#
# Be careful with what that proves. Before you run this: what has one meaning only, the full stop, stays the same in
# both, doesn't it? And *like*?

# %%
for word in ("flies", "like", "."):
    one, other = vectors_of(word, [flies[0], flies[2]])[:, -1]
    print(f"{word:6} time flies … / fruit flies …: {float(one @ other):.2f}")

# %% [markdown]
# The full stop moves as well, and much. (So does *like*, but that is a trap: in the one sentence it compares, in the
# other it is what flies do to bananas.) A token's vector carries its sentence along. So the two blocks show
# **context**. How much of it is word sense, these sentences can't tell: two texts of one meaning also share their
# topic.

# %% [markdown]
# ## 1.10 What keeps a deep stack alive
# <!-- T017 T304 -->
# Many Transformers of today are built from `x + block(norm(x))`: a **residual connection** and a **LayerNorm** (or a
# relative of it). BERT has both, too, in another order: `norm(x + block(x))`. Stack 24 small blocks, with and without
# each, once with small random weights and once with large ones. Before you run this: which of the four stacks will
# survive both?

# %%
class Block(nn.Module):
    """A feed-forward block; `residual` adds its input to its output, `norm` puts a LayerNorm in front."""

    def __init__(self, residual: bool, norm: bool, spread: float, width: int = 64):
        super().__init__()
        self.residual, self.norm = residual, nn.LayerNorm(width) if norm else nn.Identity()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for linear in (self.up, self.down):
            nn.init.normal_(linear.weight, std=spread)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [batch, width]
        out = self.down(F.gelu(self.up(self.norm(x))))
        return x + out if self.residual else out

# %%
def measure(residual: bool, norm: bool, spread: float) -> tuple[list[float], list[float]]:
    """Size of the activations and of the gradient at each of 24 blocks."""
    torch.manual_seed(0)
    blocks = [Block(residual, norm, spread) for _ in range(24)]
    x, wanted, sizes = torch.randn(32, 64), torch.randn(32, 64), []
    for block in blocks:
        x = block(x)
        sizes.append(x.detach().std().item())
    F.mse_loss(x, wanted).backward()
    return sizes, [block.up.weight.grad.norm().item() for block in blocks]

# %% [markdown]
# Four kinds of stack, each with small weights and with large ones:

# %%
stacks = {"neither": (False, False), "LayerNorm only": (False, True)}
stacks |= {"residual only": (True, False), "both": (True, True)}
measured = {
    spread: {name: measure(*which, spread) for name, which in stacks.items()}
    for spread in (0.02, 0.15)
}

# %%
figure, panels = plt.subplots(2, 2, figsize=(9.4, 5.4), sharex=True, layout="constrained")
for column, (spread, results) in enumerate(measured.items()):
    for row, what in enumerate(("activation size", "gradient size")):
        for name, style in zip(stacks, (":", "--", "-.", "-")):
            values = torch.tensor(results[name][row]).clamp(min=1e-22)  # a logarithm has no place for 0
            panels[row, column].plot(range(1, 25), values, style, label=name)
        panels[row, column].set(yscale="log", ylabel=what)
    panels[0, column].set_title(f"weights of spread {spread}")
    panels[1, column].set_xlabel("block")
panels[0, 0].legend(fontsize=8)
figure.suptitle("Small weights need the residual, large weights need the LayerNorm; both survive both");

# %% [markdown]
# The axes are logarithmic, and the gradient is that of each block's weights: read it from right (near the loss) to
# left. With small weights (left), a block passes on little of its input and adds its bias: a stack without residual
# forgets its input, and its gradient shrinks by many powers of ten, or to 0, before it reaches the first block. With
# large weights (right), a stack without LayerNorm explodes.
# - The **residual** gives information and gradient a road past every block.
# - **LayerNorm** gives every block an input of the same size, whatever came before.

# %%
summary = {
    (name, f"spread {spread}"): [sizes[-1], gradients[0], gradients[-1]]
    for spread, results in measured.items()
    for name, (sizes, gradients) in results.items()
}
columns = ["last activation", "gradient at block 1", "gradient at block 24"]
pd.DataFrame(summary, index=columns).T.map("{:.1e}".format)

# %% [markdown]
# Only *both* has moderate numbers in all columns, with small and with large weights. (These blocks have no attention;
# it stands in the same frame, `x + attention(norm(x))`.)
#
# ### Why a feed-forward layer?
# Attention makes of every token a mean of the values that it looks at. Do that thirty times, and what is left of the
# differences between tokens? With nothing but attention, a stack forgets them very fast: its output comes close to a
# matrix of **rank one**, the same row for every token (Dong, Cordonnier and Loukas 2021). Test it on a real model: a
# small language model, SmolLM2, with thirty layers.

# %%
from transformers import AutoModelForCausalLM

llm = lab.checkpoint("llm")
llm_tokenizer = AutoTokenizer.from_pretrained(llm, revision=llm.revision, padding_side="left")
language_model = AutoModelForCausalLM.from_pretrained(llm, revision=llm.revision, dtype=torch.float32).to(device).eval()
f"{language_model.num_parameters():,} parameters, {len(language_model.model.layers)} layers"

# %% [markdown]
# The loop below is the body of the model, up to its last norm: thirty times attention, then feed-forward, each with a
# norm before and a residual around it. Two switches take the residual or the feed-forward layer away. After each layer
# we measure how far the tokens' directions are from being all the same (0).

# %%
def apart(x: torch.Tensor) -> float:
    """Distance of [tokens, width] from "all rows the same", after giving every row length 1."""
    x = F.normalize(x, dim=-1)
    return ((x - x.mean(dim=0)).norm() / x.norm()).item()

# %% tags=["long"] why="a whole decoder on one page is the lesson"
@torch.inference_mode()
def through(text: str, residual: bool, feed_forward: bool) -> list[float]:
    """How far apart the tokens are after the embedding and after each layer; the first token is left out."""
    body = language_model.model
    x = body.embed_tokens(llm_tokenizer(text, return_tensors="pt").input_ids.to(device))  # [1, tokens, 576]
    turns = body.rotary_emb(x, torch.arange(x.shape[1], device=device)[None])
    found = [apart(x[0, 1:])]
    for block in body.layers:
        heard = block.self_attn(block.input_layernorm(x), position_embeddings=turns, attention_mask=None)[0]
        x = x + heard if residual else heard
        if feed_forward:
            thought = block.mlp(block.post_attention_layernorm(x))
            x = x + thought if residual else thought
        found.append(apart(x[0, 1:]))
    return found

# %%
text = "The cat sat on the mat, and the dog lay by the door."
kept = {"as it is": (True, True), "without feed-forward": (True, False)}
kept |= {"without residual": (False, True), "attention alone": (False, False)}
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, switches in kept.items():
    axes.plot(through(text, *switches), label=name)
axes.set(yscale="log", xlabel="layer (0 = embedding)", ylabel="how far tokens are apart")
axes.set_title("Without a residual all tokens end up the same")
axes.legend(fontsize=8);

# %% [markdown]
# The axis is logarithmic. As the model is, its tokens stay apart to the end. Attention alone brings them together
# within some twenty layers, down to about what float32 can tell apart. The residual does most of the keeping: each
# token takes itself along. Without it the tokens end up the same, too; feed-forward layers only put it off. Beside a
# residual the feed-forward layer does its share. It works on each token by itself and bends, which no mean can do.
# Without it the tokens come several times closer to each other. (These weights were trained with all parts in place. So
# the picture shows what each part does here, not what training without it would find.)

# %% [markdown]
# ## 1.11 A decoder writes, one token at a time
# <!-- T019 -->
# A decoder gives, at every position, scores for the next token. To write, take the last position's best token, append
# it, and run again, until the token for *end* (EOS) comes or the length limit. The language model of the last section
# has learned to answer questions. It wants them in the form of a chat, which its tokenizer knows how to write:

# %%
question = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
prompt = llm_tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
print(prompt)
print("end:", llm_tokenizer.eos_token)

# %% [markdown]
# The template put a sentence of its own in front, and at the end it opens the assistant's turn. Before you run the
# loop: what will the model write, and how does it know where to stop?

# %%
ids = llm_tokenizer(prompt, return_tensors="pt")["input_ids"].to(device)  # [1, tokens]
start, steps = ids.shape[1], []
while ids.shape[1] < start + 16 and ids[0, -1] != llm_tokenizer.eos_token_id:
    with torch.inference_mode():
        probabilities = language_model(ids).logits[0, -1].softmax(dim=-1)  # [49152], at the last position
    best = probabilities.topk(2)
    candidates = [f"{llm_tokenizer.decode(token)} {p:.2f}" for p, token in zip(*best)]
    steps.append({"so far": llm_tokenizer.decode(ids[0, start:]), "best": candidates[0], "second": candidates[1]})
    ids = torch.cat([ids, best.indices[:1, None]], dim=1)  # [1, tokens + 1]
pd.DataFrame(steps)

# %% [markdown]
# One row, one run of the model, one token. It stops because the end came out as the best token: *end* is just another
# word that it has learned to write. The library's `generate` does the same:

# %%
given = llm_tokenizer(prompt, return_tensors="pt").to(device)
written = language_model.generate(**given, do_sample=False, max_new_tokens=16)
torch.equal(written, ids)

# %% [markdown]
# Equal. `do_sample=False` says: always the best token, which is called **greedy**. The model can also go on with any
# text, without a chat around it. Four beginnings, in one batch. Before you run this: which of them will find an end?

# %%
beginnings = ["The old man opened the door and", "The best thing about the sea is"]
beginnings += ["My favourite colour is", "I like tea. You like tea. We"]
given = llm_tokenizer(beginnings, padding=True, return_tensors="pt").to(device)
written = language_model.generate(**given, do_sample=False, max_new_tokens=32)  # [4, tokens]
for ended, text in zip(written[:, -1] == llm_tokenizer.eos_token_id, llm_tokenizer.batch_decode(written, skip_special_tokens=True)):
    print("ended by itself:" if ended else "cut off:", text, "\n")

# %% [markdown]
# Where no end comes, only the length limit stops it. Always set one. And look for a sentence that comes back: taking
# the best token every time can go round in circles. There are other ways to choose, and `generate` also keeps what it
# has computed instead of computing it again as our loop does; both are the matter of chapter 12, Text generation.
#
# ### Exercise 1.7
# Write `greedy(next_logits, start, eos, limit)`. `next_logits` is a function: it gets a list of token ids and returns a
# tensor `[vocabulary]` with the scores of the next token. `start` is a list of ids, `eos` the id that ends a text,
# `limit` the largest number of **new** tokens. Return the whole list of ids: start, then what was written, `eos`
# included if it came. Only an `eos` that was written ends the text, not one in `start`. Leave `start` itself unchanged,
# and call `next_logits` no more often than needed. For example, if the best next token is always the last one plus 1,
# then `greedy(next_logits, [3], eos=6, limit=10)` gives `[3, 4, 5, 6]`, and with `limit=2` it gives `[3, 4, 5]`.

# %% tags=["exercise"]
from collections.abc import Callable

def greedy(
    next_logits: Callable[[list[int]], torch.Tensor], start: list[int], eos: int, limit: int
) -> list[int]:
    """Append the best next token until `eos` or until `limit` new tokens are written."""
    # BEGIN SOLUTION
    ids = list(start)
    for _ in range(limit):
        ids.append(int(next_logits(ids).argmax()))
        if ids[-1] == eos:
            break
    return ids
    # END SOLUTION

# %% tags=["check"]
lab.check("1.7", greedy)

# %% [markdown]
# `lab.hint("1.7")` helps.

# %% [markdown]
# ## 1.12 From source to target: cross-attention
# <!-- T020 -->
# An encoder–decoder looks back at its source for each token that it writes. To see it, we need a task where you know
# where to look: **writing a six-letter word backwards**. A BART with one layer on each side learns that in 130 steps,
# from random strings of letters.
#
# Before you run this: sketch the cross-attention you expect, target downwards, source to the right.

# %%
import random
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

letters = "abcdefghijklmnopqrstuvwxyz"
alphabet = ["<pad>", "<s>", "</s>", *letters]
core = Tokenizer(models.WordLevel({letter: number for number, letter in enumerate(alphabet)}))
core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")  # every letter is a token
core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
speller = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
speller.tokenize("planet", add_special_tokens=True)

# %%
from transformers import BartForConditionalGeneration

torch.manual_seed(0)
parts = {"layers": 1, "attention_heads": 2, "ffn_dim": 128}
sides = {f"{side}_{part}": value for side in ("encoder", "decoder") for part, value in parts.items()}
special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
config = BartConfig(
    vocab_size=len(speller), d_model=64, max_position_embeddings=32, dropout=0.0, init_std=0.1,
    forced_eos_token_id=None, **sides, **special,
)
reverser = BartForConditionalGeneration(config).to(device)
optimizer = torch.optim.AdamW(reverser.parameters(), lr=4e-3)

# %%
chance = random.Random(0)
curve = lab.training_curve()
for step in range(130):
    optimizer.param_groups[0]["lr"] = 4e-3 * min(1, (step + 1) / 30) * (1 - step / 140)  # a short warm-up, then down
    strings = ["".join(chance.choices(letters, k=6)) for _ in range(32)]
    given = speller(strings, return_tensors="pt").input_ids.to(device)  # [32, 7]
    wanted = speller([string[::-1] for string in strings], return_tensors="pt").input_ids.to(device)
    loss = reverser(input_ids=given, labels=wanted).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    curve.log(step=step, loss=loss)

# %% [markdown]
# It learned from letters drawn by chance. Now real words. Try it; change them.

# %%
def backwards(word: str) -> str:
    """What the model writes for a word of six letters a–z; a sentence for anything else."""
    if len(word) != 6 or not set(word) <= set(letters):
        return f"It has learned six small letters from a to z; {word[:20]!r} is something else."
    given = speller(word, return_tensors="pt", return_token_type_ids=False).to(device)
    written = reverser.eval().generate(**given, do_sample=False, num_beams=1, max_new_tokens=8)[0]
    return speller.decode(written, skip_special_tokens=True).replace(" ", "")

for word in ("planet", "violin", "stream", "cat"):
    print(word, "→", backwards(word))

# %%
seen = lab.attention(reverser, speller, "planet", target="planet"[::-1])
written = [*seen.tokens["decoder"][1:], "</s>"]  # row i: what the decoder writes after reading its token i
cross = seen.data["cross"][0].mean(dim=0)  # [7, 7]: layer 0, mean over its heads
lab.heatmap(cross.round(decimals=2), rows=written, columns=seen.tokens["encoder"], title="To write t, look at t")

# %% [markdown]
# The large weights run along the other diagonal. Each row is a letter that the decoder is about to write, each column a
# letter of the source. Nobody told the model where to look; training found the alignment from the letters alone. In a
# translation model the same picture hints at which words belong together. It is no proof: think of the sinks in
# section 1.3. The view below lets you point at a letter.

# %%
seen.cross()

# %% [markdown]
# ## 1.13 What pretraining gives you
# <!-- T021 -->
# **Transfer learning**: take a model that has read a lot, and teach it your task with little. The fair comparison is
# the *same architecture* with random weights, on the same examples in the same order. Before you run this: after 128
# examples of eight topics, how accurate will each be?

# %%
from datasets import load_dataset

topics = lab.dataset("topics")
data = load_dataset(topics, revision=topics.revision)
labels = data["train"].features["label"].names
train = data["train"].shuffle(seed=1).select(range(128))
test = data["test"].shuffle(seed=1).select(range(64))
train.select(range(3)).to_pandas().assign(label=lambda frame: [labels[number] for number in frame["label"]])

# %% [markdown]
# Both models take the same way: batches of 16, one pass, accuracy measured on 64 texts that stay out of training. To be
# quick, texts are cut after 16 tokens.

# %%
from transformers import AutoConfig, AutoModelForSequenceClassification

def encode(texts: list[str]):
    return tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt").to(device)

def accuracy(classifier) -> float:
    classifier.eval()
    with torch.inference_mode():
        guesses = classifier(**encode(test["text"][:])).logits.argmax(dim=-1)
    return (guesses.cpu() == torch.tensor(test["label"][:])).float().mean().item()

# %%
def learn(classifier) -> dict[int, float]:
    """One pass over the training texts; accuracy on the test texts after so many examples."""
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-4, fused=True)
    found = {0: accuracy(classifier)}
    for step, rows in enumerate(train.iter(batch_size=16), 1):
        loss = classifier.train()(**encode(rows["text"]), labels=torch.tensor(rows["label"], device=device)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 2 == 0:
            found[16 * step] = accuracy(classifier)
    return found

# %% [markdown]
# Both start from the same seed, so their heads are equal. Then one of them gets the encoder's weights: that is the only
# difference.

# %%
config = AutoConfig.from_pretrained(encoder, revision=encoder.revision, num_labels=8)

def fresh():
    """A classifier with MiniLM's architecture and random weights, always the same."""
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config).to(device)

pretrained, from_scratch = fresh(), fresh()
pretrained.base_model.load_state_dict(model.state_dict())
progress = {}
for name, classifier in {"pretrained": pretrained, "random start": from_scratch}.items():
    print("learning:", name, flush=True)
    torch.manual_seed(0)  # the same dropout for both
    progress[name] = learn(classifier)

# %%
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, found in progress.items():
    axes.plot(found.keys(), found.values(), "o-", label=name)
axes.axhline(1 / 8, color="grey", linestyle=":")
axes.text(129, 1 / 8 - 0.07, "guessing", color="grey", fontsize=9, ha="right")
axes.set_title("The same network, the same examples: what was read before decides")
axes.set(xlabel="training examples seen", ylabel="accuracy on 64 test texts", ylim=(0, 1))
axes.legend();

# %% [markdown]
# The pretrained model gets most texts right after 128 examples. The random one is still about where guessing is: one
# pass over 128 texts hardly moves it. (Both had the same learning rate and one pass; a random start may want others.
# And 64 test texts are few: a text more or less is 1.6 points.)

# %% [markdown]
# ## 1.14 What else was in the text: a probe for bias
# <!-- T022 -->
# A model learns from what people wrote, habits and prejudices included. Before you run this: in the encoder's vectors,
# will *the nurse is reading a book* be closer to *she is reading a book* or to *he is reading a book*? And *the
# captain*?
#
# The texts about occupations don't mention gender. For every noun we compare with the *she* text and with
# the *he* text, in four templates, and subtract. Such a number needs controls, chosen before looking. *woman* and *man*
# must come out at the two ends, or the probe does not measure gender. And five **neutral** nouns show how far a noun
# leans for no reason.

# %%
templates = ["{} is at work.", "{} came home late.", "{} is reading a book.", "{} lives in the next street."]
jobs = "nurse receptionist dancer teacher librarian writer cook".split()
jobs += "doctor lawyer engineer scientist carpenter captain".split()
neutral, ends = ["person", "neighbour", "visitor", "stranger", "guest"], ["woman", "man"]

def embed(texts: list[str]) -> torch.Tensor:
    """One vector of length 1 per text: the mean over its tokens."""
    given = tokenizer(texts, padding=True, return_tensors="pt").to(device)
    with torch.inference_mode():
        states = model(**given).last_hidden_state
    real = given["attention_mask"].unsqueeze(-1)
    return F.normalize((states * real).sum(dim=1) / real.sum(dim=1), dim=-1)

# %%
nouns = [*jobs, *neutral, *ends]
leans = pd.DataFrame(index=nouns, columns=templates, dtype=float)
for template in templates:
    she, he, *rest = embed([template.format(who) for who in ("She", "He", *[f"The {noun}" for noun in nouns])])
    leans[template] = [float(one @ she - one @ he) for one in rest]  # closer to "she" than to "he" by so much
leans.loc[["nurse", "captain", *neutral, *ends]].round(2)

# %% [markdown]
# Even the neutral nouns are not at 0, and each template has a zero of its own. So compare **within** a template: each
# noun with *person*, four paired differences. Before you run this: how many of the four will point the same way for
# *doctor*? And for *visitor*, who should point nowhere?

# %%
paired = leans - leans.loc["person"]
signs = pd.DataFrame({"to “she”": (paired > 0).sum(axis=1), "to “he”": (paired < 0).sum(axis=1)})
signs.T

# %% [markdown]
# *doctor*, *lawyer* and *engineer* lean to *he* four times out of four. Is that a finding? Look at *visitor* and
# *guest*. They were chosen as neutral, like *person*, and they point the same way four times, too, each its own way.
# **The neutral control has failed**: one neutral noun is no zero, and four of four is cheap. So the rule becomes
# stricter. An occupation leans only if it lies beyond *all five* neutral nouns, in *every* template where *woman* and
# *man* are at the ends; and they have to be there in more than half of the templates, or the probe is out.

# %%
def verdict(found: pd.DataFrame) -> dict[str, str]:
    """How often the control holds, and the occupations beyond all neutral nouns wherever it holds."""
    others = found.drop(index=ends)
    holds = (found.loc["woman"] > others.max()) & (found.loc["man"] < others.min())
    part, zero = found.loc[jobs, holds], found.loc[neutral, holds]
    sides = {"to “she”": (part > zero.max()).all(axis=1), "to “he”": (part < zero.min()).all(axis=1)}
    count = {"control holds in": f"{holds.sum()} of {len(holds)}"}
    if holds.mean() <= 0.5:
        return count | dict.fromkeys(sides, "(out)")
    return count | {side: ", ".join(part.index[beyond]) for side, beyond in sides.items()}

verdict(leans)

# %%
centred = leans - leans.loc[neutral].mean()  # the mean of the neutral nouns is each template's zero
order = centred.mean(axis=1).sort_values().index
figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
for place, noun in enumerate(order):
    colour = "#D55E00" if noun in ends else "#999999" if noun in neutral else "#0072B2"
    axes.plot(centred.loc[noun], [place] * len(templates), "o", color=colour, alpha=0.6)
axes.axvspan(centred.loc[neutral].min().min(), centred.loc[neutral].max().max(), color="#999999", alpha=0.15)
axes.set_yticks(range(len(order)), order)
axes.set_title("Some occupations lie outside the band of the neutral nouns")
axes.set_xlabel("← closer to “he”      similarity difference      closer to “she” →");

# %% [markdown]
# A dot is a template; orange are *woman* and *man*, grey the neutral nouns, and the band is as wide as they are spread.
# What lies in the band shows nothing, however its dots are sorted. (The rule above is applied in each template by
# itself, so it can find a little more than the band shows.)
#
# **What this shows:** the vectors carry associations that the texts did not contain. **What it doesn't:** that a system
# built on them decides unfairly (measure the system), how large the association is in other wordings or languages, or
# what is true of people. Four templates, five neutral nouns and two pronouns are a narrow window.
#
# ### The same question for a masked language model
# A usual probe asks a masked language model to fill the pronoun in. It works with a fill-mask pipeline whose vocabulary
# has *he* and *she* as tokens of their own:

# %%
def pronouns(fill, job: str, frame: str = "the {} said that {} was tired .") -> float:
    """Share of "she" among "she" and "he" where a fill-mask pipeline fills the gap."""
    text = frame.format(job, fill.tokenizer.mask_token)
    scores = {found["token_str"].strip(): found["score"] for found in fill(text, targets=["he", "she"])}
    return scores["she"] / (scores["she"] + scores["he"])

# %% [markdown]
# How do you know that a probe measures what it says? Try it on a model whose bias you know, because **you put it
# there**. Our corpus says *she* in 9 of 10 sentences about a nurse, and in 1 of 10 about an engineer. A tiny BERT reads
# nothing else. Before you run this: what will the probe say?

# %%
from transformers import BertConfig, BertForMaskedLM, pipeline

planted = {"nurse": 9, "teacher": 7, "doctor": 5, "lawyer": 3, "engineer": 1}  # "she" in so many of 10 sentences
corpus = [
    f"the {job} said that {'she' if number < she else 'he'} was {mood} ."
    for job, she in planted.items() for number in range(10) for mood in ("tired", "late", "happy")
]
known = ["[PAD]", "[UNK]", "[MASK]", *sorted({word for text in corpus for word in text.split()})]
core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="[UNK]"))
core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
parrot_tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **marks)

# %%
torch.manual_seed(0)
slim = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
slim |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2}
parrot = BertForMaskedLM(BertConfig(vocab_size=len(known), max_position_embeddings=16, **slim)).to(device)

# %% [markdown]
# It learns as a masked language model does (section 1.7): some words are hidden, and it fills them in.

# %%
ids = torch.tensor(parrot_tokenizer(corpus)["input_ids"])  # [150, 8]
optimizer = torch.optim.AdamW(parrot.parameters(), lr=5e-3)
for step in range(150):
    optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 150)
    hide = torch.rand(ids.shape) < 0.2  # MLM: hide a fifth of the words, ask for those
    loss = parrot(input_ids=ids.masked_fill(hide, 2).to(device), labels=ids.masked_fill(~hide, -100).to(device)).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
fill = pipeline("fill-mask", model=parrot.eval(), tokenizer=parrot_tokenizer, device=device)
shares = {job: {"planted": she / 10, "the probe says": round(pronouns(fill, job), 2)} for job, she in planted.items()}
pd.DataFrame(shares).T

# %% [markdown]
# The probe gives back roughly the shares that we planted, in their order. So it can read what a model took from its
# text. Now a model that has read real text: the course's masked language model (in hub mode, BERT itself). Nothing was
# planted. The rule stays the same: four frames, the controls first. Before you run this: will *woman* and *man* be at
# the ends?

# %%
masked = lab.checkpoint("masked-lm")
fill = pipeline("fill-mask", model=masked, revision=masked.revision, device=device)
frames = ["the {} said that {} was tired .", "the {} came home late , and {} went to bed ."]
frames += ["when the {} arrived , {} was tired .", "the {} said that {} would come back ."]
filled = pd.DataFrame({frame: [pronouns(fill, noun, frame) for noun in nouns] for frame in frames}, index=nouns)
mean = filled.mean(axis=1).sort_values()
print(verdict(filled)["control holds in"], "frames have “woman” and “man” at the ends; from “he” to “she”:")
print(", ".join(mean.index))

# %% [markdown]
# Read the number first. Where it is no more than half, stop: the list looks like an answer, but a probe that can't find
# *man* at the end of *he* does not measure gender. (The course's small model is out: it puts *lawyer* beyond *man*. A
# picture of it under the title "the model has opinions" would have been easy to draw.) Now the language model of
# section 1.11. Its next word after a beginning, *she* or *he*, in six frames:

# %%
beginnings = ["The {} said that", "The {} came home late, because", "The {} was reading a book that"]
beginnings += ["When the {} woke up,", "The {} is at work. Today", "I met the {} yesterday, and"]
she, he = (llm_tokenizer(word)["input_ids"][0] for word in (" she", " he"))
spoken = pd.DataFrame(index=nouns, columns=beginnings, dtype=float)
for beginning in beginnings:
    given = llm_tokenizer([beginning.format(noun) for noun in nouns], padding=True, return_tensors="pt").to(device)
    with torch.inference_mode():
        logits = language_model(**given, logits_to_keep=1).logits[:, -1]  # [20, 49152]
    spoken[beginning] = (logits[:, she] - logits[:, he]).tolist()
results = {"encoder": verdict(leans), "masked LM": verdict(filled), "language model": verdict(spoken)}
pd.DataFrame(results).T

# %% [markdown]
# Compare the first row with the last: two models, two questions, and the frames that fail their control are left out by
# the rule, not by taste. Occupations that stand in both rows are the ones to believe first: here *nurse* on the one
# side, *carpenter* and *captain* on the other. *doctor* is in neither. Such a number doesn't say what anyone wanted:
# our tiny BERT took over what its corpus held, whoever planted it, and why. Before you rely on such a number, use many
# sentences, check your controls, and say how many you dropped.

# %% [markdown]
# ## 1.15 What the heads of a language model do
# <!-- T015 T016 -->
# In MiniLM each of twelve heads has queries, keys and values of its own. The language model is built more sparingly.
# Before you run this: it has nine heads of 64, so its queries are 576 wide. How wide are its keys?

# %%
first_layer = language_model.model.layers[0].self_attn
print({name: tuple(getattr(first_layer, name).weight.shape) for name in ("q_proj", "k_proj", "v_proj", "o_proj")})
given = llm_tokenizer("time flies like an arrow", return_tensors="pt").to(device)
with torch.inference_mode():
    memory = language_model(**given, use_cache=True).past_key_values
memory.layers[0].keys.shape  # [texts, key heads, tokens, 64]

# %% [markdown]
# Nine heads ask, but there are only **three** heads of keys and values: three query heads share one of them. This is
# **grouped-query attention**. It saves weights, and it saves two thirds of the memory that a decoder keeps of its past.
#
# To see it we need a text. Twelve words that have nothing to do with each other, and then the same twelve once more.
# `lab.attention` reads this model as it read the encoder. Before you run this: what will be the pattern of equal keys?

# %%
line = " lamp river seven blue chair paper winter dog salt music window green"
inside = lab.attention(language_model, llm_tokenizer, line + line)
keys = [inside.query_key(layer=17, head=head, token=12).data["key"] for head in range(9)]  # [24, 64] each
shared = torch.tensor([[torch.equal(one, other) for other in keys] for one in keys])
lab.heatmap(shared, title="Layer 17: which heads read the same keys? (1 = yes)")

# %%
figure, panels = plt.subplots(3, 3, figsize=(6.6, 6.6), layout="constrained")
for head, axes in enumerate(panels.flat):
    axes.imshow(inside.data["decoder"][17, head], vmin=0, vmax=1, cmap="viridis")
    axes.set_title(f"head {head}", fontsize=9)
    axes.set(xticks=[], yticks=[])
for row, axes in enumerate(panels[:, 0]):
    axes.set_ylabel(f"key head {row}")
figure.suptitle("Nine maps from three sets of keys (layer 17)");

# %% [markdown]
# Each row of pictures shares its keys. Everything right of the diagonal is dark: the causal mask of section 1.4. Do the
# three of a row look alike, because their keys are equal? Measured over all thirty layers, as the correlation of two
# maps:

# %%
places = torch.ones(24, 24).tril().bool()
places[:, 0] = False  # the first column is a story of its own
flat = inside.data["decoder"][..., places]  # [30, 9, places]
flat = F.normalize(flat - flat.mean(dim=-1, keepdim=True), dim=-1)
alike, itself = flat @ flat.transpose(1, 2), torch.eye(9).bool()  # [30, 9, 9]
group = torch.arange(9) // 3
together = (group[:, None] == group) & ~itself
{"the same keys": alike[:, together].mean().item(), "other keys": alike[:, ~together & ~itself].mean().item()}

# %% [markdown]
# Somewhat more alike than the others, and far from equal: the queries differ, and the queries choose.
#
# Now the first column, bright in many of the maps. There is no `[CLS]` here. Who gets the attention that nobody needs?

# %%
first_token = inside.data["decoder"][:, :, 1:, 0].mean(dim=2)  # [30, 9]: each head's mean over the later tokens
figure, axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
axes.bar(range(30), first_token.mean(dim=1), color="#999999")
for head in range(9):
    axes.plot(range(30), first_token[:, head], "o", color="#0072B2", markersize=3)
axes.axhline(sum(1 / number for number in range(2, 25)) / 23, color="black", linestyle=":")  # equal shares
axes.set(xlabel="layer", ylabel="share", ylim=(0, 1))
axes.set_title(f"The first token gets {first_token.mean():.0%} of the later tokens' attention");

# %% [markdown]
# A bar is a layer, a dot one of its heads; the dotted line is what the first token would get if each token shared its
# attention equally. Is it something about *lamp*, or about standing first? Let other words begin:

# %%
order = line.split()
for turn in (0, 3, 6, 9):
    turned = "".join(f" {word}" for word in order[turn:] + order[:turn])
    maps = lab.attention(language_model, llm_tokenizer, turned + turned).data["decoder"]  # [30, 9, 24, 24]
    print(f"{order[turn]:6} stands first and gets {maps[:, :, 1:, 0].mean():.0%}")

# %% [markdown]
# The sink is whoever stands first: it is the one token that every other can see. (That is why section 1.10 left it
# out.)
#
# And the bright lines in the maps? In the second round the text can be known in advance, by looking back: find the last
# *lamp* and read what came **after** it. Some heads do just that. They are called **induction heads** (Olsson and
# others 2022). We look for them, and for heads that look one token back:

# %%
def looking_back(steps: int, start: int) -> torch.Tensor:
    """Each head's mean weight on the token so many steps back: [30, 9]."""
    return torch.stack([inside.data["decoder"][:, :, i, i - steps] for i in range(start, 24)]).mean(dim=0)

back, copying = looking_back(1, start=1), looking_back(11, start=12)  # 12 back is the twin, 11 back the token after it
figure, panels = plt.subplots(1, 2, figsize=(6, 5), layout="constrained")
for axes, found, name in zip(panels, (back, copying), ("one token back", "after the last time")):
    axes.imshow(found, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set(title=name, xlabel="head", ylabel="layer", xticks=range(9))
    axes.grid(False)

# %% [markdown]
# Left: a few heads put most of their weight one token back, the first of them in layer 1. Right: a few others look at
# what followed the last time. The strongest are in layers 17 and 18; you saw three of them above, in the middle row.
# They come later for a reason, it is thought: to find the place *after* the last lamp, a token must first have learned
# who stands before it, which is what the heads on the left bring. But a map shows where a head looks, not what it is
# good for. So switch the four strongest copying heads off, and, to compare, four others. Before you run this: which
# round will suffer more?

# %%
def silence(number: int):
    """Switch a head off, numbered 0 … 269 through all layers; returns the hook to remove."""
    layer, head = divmod(number, 9)
    columns = torch.arange(64 * head, 64 * head + 64, device=device)
    out = language_model.model.layers[layer].self_attn.o_proj
    return out.register_forward_pre_hook(lambda _, args: (args[0].index_fill(-1, columns, 0.0),))

# %%
def surprise(off: list[int]) -> list[float]:
    """Mean loss on the first and on the second round without these heads."""
    hooks = [silence(number) for number in off]
    ids = llm_tokenizer(line + line, return_tensors="pt").input_ids.to(device)  # [1, 24]
    with torch.inference_mode():
        losses = F.cross_entropy(language_model(ids).logits[0, :-1], ids[0, 1:], reduction="none")  # [23]
    for hook in hooks:
        hook.remove()
    return [round(losses[:11].mean().item(), 1), round(losses[12:].mean().item(), 1)]

# %%
strongest = copying.flatten().argsort(descending=True).tolist()
chance = random.Random(0)
rounds = {"all heads": surprise([]), "without the four strongest copying heads": surprise(strongest[:4])}
draws = torch.tensor([surprise(chance.sample(strongest[4:], 4)) for _ in range(20)])  # [20, 2]
rounds["without four others, mean of 20 draws"] = draws.mean(dim=0).tolist()
rounds["without four others, the worst draw"] = draws[draws[:, 1].argmax()].tolist()
pd.DataFrame(rounds, index=["loss in the first round", "in the second round"]).T.round(1)

# %% [markdown]
# The first round is bad with all heads and without: nobody can guess those words. In the second round the model knows
# what comes, and without four of its 270 heads it knows it much less, while the first round stays about as it was. Four
# others, drawn by chance, are missed less on average. Now look at the worst of the twenty draws: it may hurt as much,
# and then in the first round, too. So damage alone doesn't say what a head is for. Here the maps and the damage agree:
# these heads take part in the copying.
#
# One last question, back to section 1.9. In MiniLM *Apple* had another vector in each sentence. Before you run this:
# what will a decoder make of *Apple*, the first word of all four?

# %%
with torch.inference_mode():
    read = [language_model.model(**llm_tokenizer(text, return_tensors="pt").to(device)).last_hidden_state[0] for text in apple]
for name, vectors in {"encoder": in_context["apple"][:, -1].cpu(), "decoder": torch.stack([one[0] for one in read]).cpu()}.items():
    print(f"{name}: the company's “apple” and the fruit's, cosine {F.cosine_similarity(vectors[0], vectors[2], dim=0):.2f},",
          f"largest difference {(vectors[0] - vectors[2]).abs().max():.1e}")

# %% [markdown]
# One vector: at the first word a decoder has heard nothing yet, so company and fruit are the same. Context comes from
# the left only. What comes after a word, this word's vector can't tell.

# %% [markdown]
# ## What changed since the notes
# "The notes" are five study documents, mostly in Chinese, that this course grew out of.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | softmax of `torch.bmm(q, k.transpose(1, 2)) / np.sqrt(d)` | `F.scaled_dot_product_attention(q, k, v)` | one call for all of it, with several implementations behind it |
# | ask any model for `output_attentions=True` | load it with `attn_implementation="eager"` | the default, sdpa, doesn't hand the weights out |
# | Transformer-XL among the decoders | a current decoder, such as `LlamaConfig` | the class left the library |
# | ChatGLM as prefix decoder | `GlmConfig`, a causal decoder | section 1.8: nothing above the diagonal; PaliGemma has a prefix |
# | BART and T5 learn by PLM | they repair damaged text | section 1.7: they are given words on both sides of the gap |
# | bidirectional because of MLM | `is_decoder=True` | section 1.5: the mask decides, with the same weights |

# %%
q, k, v = torch.randn(3, 1, 5, 8)
F.scaled_dot_product_attention(q, k, v)
eager = AutoModel.from_pretrained(encoder, revision=encoder.revision, attn_implementation="eager").to(device)
assert len(eager(**inputs, output_attentions=True).attentions) == 6
assert "transfo-xl" not in CONFIG_MAPPING and type(CONFIG_MAPPING["llama"]()).__name__ == "LlamaConfig"
assert type(glm.config) is GlmConfig and glm_weights.triu(1).max() == 0
assert seen_by_pali[:3, :3].min() > 0 == seen_by_pali[:3, 3:].max()
assert max(forms["PLM"][0]) < min(forms["PLM"][1]) and both["causal mask"][:5].max() == 0

# %% [markdown]
# ## Quiz

# %%
lab.quiz("01")

# %% [markdown]
# ## Recap
# - Attention mixes values with softmax weights; heads do it in groups of columns; by hand or by library, the numbers
#   are the same.
# - The families differ in their masks: all, past, prefix, source and past. A prefix decoder reads its prefix layer by
#   layer, an encoder–decoder its finished source; what you can't look at, even through other layers, can't reach you.
# - CLM labels every next token, PLM those after a prefix, MLM the hidden ones; −100 is what does not count, and causal
#   models shift labels themselves.
# - Context moves a word's vector, here farther between two meanings than within one; the residual keeps gradients alive
#   and tokens apart, LayerNorm keeps sizes in bounds, and the feed-forward layer works on each token by itself.
# - A decoder writes token by token until EOS or the limit; some of its heads look one token back, some copy what came
#   after the last time, and cross-attention shows which part of the source is read.
# - In one pass over 128 examples a pretrained start learns what a random one doesn't; and it brings along the
#   associations of its texts, which you can measure.
#
# Next: [02 Pipelines, task by task](02_pipeline_tasks.ipynb) puts pretrained models to work.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - A bright column can be taken for an important token. It may be a sink (1.3), and in a decoder it is whoever stands
#   first (1.15).
# - *Bidirectional because of masked words*: 1.5 changes the mask alone, with the same weights.
# - Labels of a causal model get shifted twice, without an error (1.7); a 4-D mask of 0 and 1 blocks nothing, without
#   one either (1.6).
# - *The same square* of 1.4 can be taken for the same machine; 1.6 shows what each layer reads.
#
# **To discuss:**
#
# - *What would convince you that an attention map explains an answer?* Lean on the bars of 1.3; the switched-off heads
#   of 1.15, worst draw included. A good answer asks for an intervention and for a comparison with other heads, and says
#   what damage alone can't tell.
# - *Prefix decoder or encoder–decoder: which for translating, which for a long chat?* Lean on the two lists of 1.6; the
#   paragraph under PaliGemma in 1.8. A good answer sets a finished source against one that is read layer by layer, and
#   says what must be read again when the prefix grows.
# - *A control has failed. What may you still say?* Lean on 1.14: *visitor* and *guest*; the table of the three models.
#   A good answer sticks to a rule that was set before looking, says how many frames it dropped, and chooses none by
#   taste.
# - *Is the race of 1.13 fair to the random start?* Lean on its curves and the text below. A good answer names what is
#   equal, and what may favour one side: one learning rate, one pass, 64 texts.
#
# **If time is short.** 1.15, 1.14 and 1.8 can be left out: no later section uses them (*What changed* uses names of
# 1.8). Chapter 12 comes back to 1.4 and 1.11, chapter 06 to 1.12. Exercises to keep: 1.1, and 1.6 if there is time for
# a second.
#
# **In class.** `labs fetch llm`: 1.10 loads the language model, and 1.11, 1.14 and 1.15 use it. 1.12 trains for 130
# steps, 1.13 two classifiers, 1.14 a tiny model for 150 steps: let predictions be written while they run. The slider of
# 1.4 needs a running kernel.
