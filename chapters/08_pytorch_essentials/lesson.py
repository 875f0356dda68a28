# %% [markdown]
# # 08 PyTorch essentials
#
# You take one training step apart: layers, loss, gradient, optimizer, schedule and data, each in a few lines that you
# can break on purpose.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | write a linear layer, dropout and the cross-entropy, and get PyTorch's own numbers | 2½ hours | chapter 00 |
# | predict the learning rate at which training explodes, and see it happen there | | Python; school calculus |
# | say what `backward`, `zero_grad`, `step`, `item` and `detach` do, and accumulate gradients correctly | | |
# | rebuild AdamW, and show where it differs from Adam with L2 | | |
# | choose and draw a schedule with warmup, under its real name | | |
# | tell `eval()` from `inference_mode()`, and give a `DataLoader` the arguments that you need | | |

# %%
import labs_utils as lab
lab.start("08")

# %% [markdown]
# ## 8.1 A layer is an object that you call
# <!-- T130 -->
# The notes make a linear layer and call it like a function. Before you run this: ten numbers go in, five come out.
# Which shape will `out` have, and which shape will the layer's own weight matrix have?

# %%
import torch
from torch import nn

inputs = torch.rand(4, 6, 10)
fc = nn.Linear(10, 5)
out = fc(inputs)
out.shape, fc.weight.shape, fc.bias.shape

# %% [markdown]
# Only the last dimension changes; the others are carried along. The matrix is stored as 5 × 10, output first, and that
# explains the transpose in the formula of the documentation, $y = xA^T + b$. Every number of the layer's answer can be
# had by hand:

# %%
torch.testing.assert_close(out, inputs @ fc.weight.T + fc.bias)
row = inputs[2, 3]  # [10], one of the 24 rows
[round((row @ fc.weight[unit] + fc.bias[unit]).item(), 4) for unit in range(5)], out[2, 3]

# %% [markdown]
# Why `fc(inputs)`, and not `fc.forward(inputs)`? The notes answer: because the class has a `forward`, and `forward` is
# callable. Test that. A class with a `forward` and nothing else:

# %%
class Plain:
    def forward(self, x):
        return x

with lab.expect_error(TypeError):
    Plain()(inputs)

# %% [markdown]
# So `forward` alone does not do it. A Python object can be called when its class has `__call__`, and `nn.Module` brings
# one. It does more than call `forward`. Before you run this: will the hook below run twice?

# %%
class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 5)

    def forward(self, x):
        return self.fc(x)

# %%
tiny, seen = Tiny(), []
tiny.register_forward_hook(lambda module, arguments, output: seen.append(tuple(output.shape)))
tiny(inputs)
print("after tiny(inputs):        ", seen)
tiny.forward(inputs)
print("after tiny.forward(inputs):", seen)

# %% [markdown]
# Once. `__call__` runs the hooks around `forward`; whoever calls `forward` directly skips them. Such hooks are how this
# workbook draws attention and shapes, and how many libraries watch a model. Here is one at work on a layer inside a
# layer:

# %%
lab.shapes(nn.Sequential(Tiny(), nn.ReLU(), nn.Linear(5, 2)), input=inputs)

# %% [markdown]
# Each row is a module, and beside it stands the shape of what came out. `nn.Module` found the inner layers itself: a
# layer that you assign to an attribute is **registered**. That is what makes `parameters()`, `state_dict()`,
# `to(device)` and `train()` reach it. Before you run this: how many parameters does each of the two have?

# %%
class InAList(nn.Module):
    def __init__(self, box):
        super().__init__()
        self.layers = box([nn.Linear(10, 10), nn.Linear(10, 10)])

for box in (list, nn.ModuleList):
    print(box.__name__, sum(parameter.numel() for parameter in InAList(box).parameters()))

# %% [markdown]
# Nothing warns you about the plain list: the model runs, and an optimizer would train none of it. Use `nn.ModuleList`
# or `nn.ModuleDict`.
#
# ### Exercise 8.1
# Write `linear(x, weight, bias)`. `x` has shape `[..., in]`, `weight` `[out, in]`, `bias` `[out]` or is `None`. Return
# the tensor `[..., out]` that `nn.Linear` with these numbers gives. For example, `x = [1., 2.]`,
# `weight = [[3., 4.], [0., 1.]]` and `bias = [10., 20.]` (as tensors) give `[21., 22.]`.

# %% tags=["exercise"]
def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x: [..., in], weight: [out, in], bias: [out] or None. Returns [..., out]."""
    # BEGIN SOLUTION
    product = x @ weight.T
    return product if bias is None else product + bias
    # END SOLUTION

# %% tags=["check"]
lab.check("8.1", linear)

# %% [markdown]
# `lab.hint("8.1")` helps.

# %% [markdown]
# ## 8.2 Dropout and activations
# <!-- T130 -->
# Dropout sets some numbers to zero at random. Before you run this: a tensor of ones goes through `nn.Dropout()`, as it
# is when you make it. Which numbers will you see?

# %%
import matplotlib.pyplot as plt

ones = torch.ones(5, 12)
drop = nn.Dropout()  # p = 0.5
figure, panels = plt.subplots(1, 2, figsize=(9, 2.7), sharey=True)
for axes, training in zip(panels, (True, False)):
    picture = axes.imshow(drop.train(training)(ones), vmin=0, vmax=2)
    axes.set(title=f"drop.{'train' if training else 'eval'}()", xlabel="column", yticks=range(5))
    axes.grid(False)
panels[0].set_ylabel("row")
figure.colorbar(picture, ax=panels, label="value", ticks=[0, 1, 2])
figure.suptitle("Dropout works in training mode only, and doubles what it keeps", x=0.01, ha="left");

# %% [markdown]
# Look at the colours: in training mode there are zeros and **twos**, in evaluation mode nothing but ones. The notes
# mention the zeros only. What is kept is divided by $1 - p$, so that the sum that the next layer receives stays the
# same on average:

# %%
many = torch.ones(200_000)
for p in (0.1, 0.5, 0.9):
    kept = nn.Dropout(p)(many)
    zeros = kept.eq(0).float().mean()
    print(f"p = {p}: {zeros:.0%} zeros, the largest is {kept.max():.2f}, the mean is {kept.mean():.2f}")

# %% [markdown]
# Activations bend: without them two linear layers would be one. Before you run this: which of the four can never give a
# negative number?

# %%
x = torch.linspace(-4, 4, 200)
axes = plt.figure(figsize=(6.4, 3)).subplots()
for activation in (nn.ReLU(), nn.GELU(), nn.Tanh(), nn.Sigmoid()):
    axes.plot(x, activation(x), label=type(activation).__name__)
axes.set(xlabel="input", ylabel="output", ylim=(-1.3, 3))
axes.set_title("Two stay small on both sides, two let large inputs pass")
axes.legend();

# %% [markdown]
# ReLU and Sigmoid can't. GELU dips a little below zero, Tanh goes to −1. Keep in mind that a sigmoid can't give a
# negative number: it will spoil an experiment of the notes below.
#
# Softmax is different: it looks at several numbers together, so it needs to know along which dimension. And one more
# trap: the notes' example feeds ReLU with integers, which happens to work.

# %%
scores = torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
print(nn.Softmax(dim=-1)(scores))
print(nn.ReLU()(torch.tensor([-1, 2, -3, 4])))
with lab.expect_error(NotImplementedError, RuntimeError):
    nn.GELU()(torch.tensor([-1, 2, -3, 4]))

# %% [markdown]
# Each row of the softmax adds up to 1. Write your numbers as `-1.0`, not as `-1`: layers compute with floats.
#
# ### Exercise 8.2
# Write `dropout(x, p, training)`: in training each number of `x` becomes 0 with probability `p`, independently of the
# others, and is divided by `1 - p` otherwise. Not in training, the numbers stay as they are. Return a new tensor of the
# same shape; `p` goes from 0 to 1, both included. For example, `dropout(torch.ones(4), 0.5, True)` may give
# `[2., 0., 0., 2.]`, and with `p=1` all are 0.

# %% tags=["exercise"]
def dropout(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """x: any shape; p: the probability that a number is set to zero. Returns a tensor of x's shape."""
    # BEGIN SOLUTION
    if not training or p == 0:
        return x.clone()
    if p == 1:
        return torch.zeros_like(x)
    keep = torch.rand_like(x) >= p
    return torch.where(keep, x / (1 - p), 0.0)
    # END SOLUTION

# %% tags=["check"]
lab.check("8.2", dropout)

# %% [markdown]
# `lab.hint("8.2")` helps.

# %% [markdown]
# ## 8.3 Losses and norms
# <!-- T130 -->
# A loss turns predictions and truth into one number. For classes it is the cross-entropy: the negative logarithm of the
# probability that the right class gets. Before you run this: which two steps does `nn.CrossEntropyLoss` do for you?

# %%
logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]])  # [examples, classes]
labels = torch.tensor([0, 2])  # [examples], the right class of each
log_probabilities = nn.LogSoftmax(dim=-1)(logits)
by_hand = -(log_probabilities[0, 0] + log_probabilities[1, 2]) / 2
nn.CrossEntropyLoss()(logits, labels), nn.NLLLoss()(log_probabilities, labels), by_hand

# %% [markdown]
# Softmax and logarithm are inside. So it wants **logits**. A widespread mistake is to apply softmax first and then the
# cross-entropy. It runs. Before you look: what is the smallest loss that this mistake can reach with two classes?

# %%
margin = torch.linspace(-8, 8, 200)  # by how much the right class leads
pairs = torch.stack([margin, torch.zeros(200)], dim=-1)  # [200, 2]
right = torch.zeros(200, dtype=torch.long)
cross_entropy = nn.CrossEntropyLoss(reduction="none")
axes = plt.figure(figsize=(6.4, 3)).subplots()
axes.plot(margin, cross_entropy(pairs, right), label="logits")
axes.plot(margin, cross_entropy(pairs.softmax(dim=-1), right), label="softmax first: a mistake")
axes.set(xlabel="lead of the right class (logit)", ylabel="loss (nats)", ylim=(0, 4))
axes.set_title("Softmax twice: the loss has a floor and flat ends")
axes.legend();

# %% [markdown]
# Look at both ends of the orange curve: it is flat where the model is badly wrong, so it hardly learns there, and it
# never gets below about 0.31, however sure the model is. ($\log(1 + e^{-1})$: after softmax the lead is at most 1.)
#
# For numbers instead of classes there is `nn.MSELoss`, the mean of the squared errors. And between the layers stand
# **norms**. Before you run this: over what does LayerNorm take its mean, and over what BatchNorm?

# %%
batch = torch.randn(8, 4) * torch.tensor([1.0, 5.0, 0.1, 2.0]) + torch.tensor([3.0, 0.0, -2.0, 1.0])
for norm in (nn.LayerNorm(4), nn.BatchNorm1d(4)):
    normed = norm(batch).detach()
    by_row, by_column = normed.mean(dim=1).abs().max().item(), normed.mean(dim=0).abs().max().item()
    print(f"{type(norm).__name__:12} largest mean of a row {by_row:.3f}, of a column {by_column:.3f}")

# %% [markdown]
# LayerNorm makes the mean of each **row** zero: one example at a time, whatever its neighbours are. BatchNorm makes the
# mean of each **column** zero, over the batch, so the answer for one example depends on the others. Texts have
# different lengths and batches are small: that is why transformers use LayerNorm.
#
# The notes list whole models, too. They are layers as any other:

# %%
from torch.nn import TransformerEncoderLayer

sequence = torch.rand(4, 6, 8)  # [batch, steps, width]
for kind in (nn.RNN, nn.LSTM, nn.GRU):
    print(f"{kind.__name__:24}", tuple(kind(8, 16, batch_first=True)(sequence)[0].shape))
block = TransformerEncoderLayer(d_model=8, nhead=2, batch_first=True)
print(f"{type(block).__name__:24}", tuple(block(sequence).shape))

# %% [markdown]
# ### Exercise 8.3
# Write `cross_entropy_by_hand(logits, labels)`: `logits` is a float tensor `[examples, classes]`, `labels` an integer
# tensor `[examples]`. Return the mean cross-entropy as a tensor with no dimensions. Don't call a ready-made loss;
# `log_softmax` and `logsumexp` are fine. Logits may be as large as 1000, where `exp` is infinite; a label of −100 means
# "don't count this example", in the mean either. For example, logits `[[0., 0.]]` with label `[1]` give `0.6931`, the
# logarithm of 2.

# %% tags=["exercise"]
def cross_entropy_by_hand(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """logits: [examples, classes]; labels: [examples], -100 is left out. Returns the mean loss, a tensor []."""
    # BEGIN SOLUTION
    counted = labels != -100
    logits, labels = logits[counted], labels[counted]
    log_probabilities = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    rows = torch.arange(len(labels))
    return -log_probabilities[rows, labels].mean()
    # END SOLUTION

# %% tags=["check"]
lab.check("8.3", cross_entropy_by_hand)

# %% [markdown]
# `lab.hint("8.3")` helps. The −100 is no whim: it is how the Hugging Face libraries mark the tokens that don't count,
# from masked words to padding.

# %% [markdown]
# ## 8.4 Downhill by hand, and over the edge
# <!-- T131 -->
# The notes fit $\sin(x)$ at the points 0 … 19 with a weight for each point, $\hat y_i = w_i x_i$, and go downhill by
# hand. First the gradient. For the mean squared error over $n$ points,
#
# $$\frac{\partial}{\partial w_i}\,\frac1n\sum_i (w_i x_i - y_i)^2 = \frac2n\,(w_i x_i - y_i)\,x_i .$$
#
# The notes write $(w x - y)\,x$, call it the derivative with respect to $x$, and drop the constant. It is the
# derivative with respect to $w$, and the $2/n$ may be dropped because it only rescales the learning rate. Does PyTorch
# agree?

# %%
x = torch.arange(20.0)
y = torch.sin(x)
w = torch.rand(20, requires_grad=True)
start = w.detach().clone()
loss = ((w * x - y) ** 2).mean()
loss.backward()
torch.testing.assert_close(w.grad, 2 / 20 * (w * x - y).detach() * x)
w.grad[:5]

# %% [markdown]
# It does. Now the notes' loop, 10,000 steps with a rate of $10^{-5}$. Before you run this: will all points be fitted
# equally well?

# %%
def descend(w, rate, steps):
    """The notes' loop: (the weights, the mean squared error before each step)."""
    w, errors = w.clone(), []
    for _ in range(steps):
        errors.append(((w * x - y) ** 2).mean().item())
        w -= rate * (w * x - y) * x
    return w, errors

# %%
fitted, errors = descend(start, rate=1e-5, steps=10_000)
figure, panels = plt.subplots(1, 2, figsize=(9, 3))
panels[0].semilogy(errors)
panels[0].set(xlabel="step", ylabel="mean squared error", title="The error falls")
panels[1].bar(range(20), (fitted * x - y).abs())
panels[1].set(xlabel="x", ylabel="|error| after 10,000 steps", title="But small x hardly learn")
panels[1].set_xticks(range(0, 20, 3));

# %% [markdown]
# Look at the right panel: from about $x = 8$ on the error has gone, at the left it is still there. Each step multiplies
# the error of point $i$ by $1 - \text{rate}\cdot x_i^2$. At $x = 19$ that forgets 0.4 % a step, at $x = 1$ a thousandth
# of a per cent.
#
# Three remarks on the notes. Twenty weights for twenty points learn nothing about the sine: there is no weight for
# $x = 20$. The method is called SGD there, but all points are used in each step, so nothing is *stochastic*; it is
# plain **gradient descent**. And their loss is computed as `torch.sum(w * x - y) ** 2`: first the sum, then the square.
# Before you run this: what does that loss say about these two errors?

# %%
wrong_everywhere = torch.tensor([5.0, -5.0])
(wrong_everywhere.sum() ** 2 / 2).item(), (wrong_everywhere**2).sum().item() / 2

# %% [markdown]
# Zero, because the errors cancel. Square first, then add: `((w * x - y) ** 2).mean()`.
#
# The notes then try a rate of 20, and the loss becomes `nan`. Watch it go:

# %%
_, errors = descend(start, rate=20, steps=16)
for step, error in enumerate(errors):
    print(f"step {step:2}   {error:.3g}")

# %% [markdown]
# At $x = 19$ every step multiplies the error by about −7,000, and its square by fifty million. When a number no longer
# fits into 32 bits it becomes `inf`, and then $\infty - \infty$ is `nan`: not a number. The notes call it exploding
# gradients, because the weights are small and the rate is large. What counts is neither alone: the step **overshoots**.
#
# Where is the edge? The error of point $i$ is multiplied by $1 - \text{rate}\cdot x_i^2$ each time. It shrinks as long
# as that factor lies between −1 and 1, that is, for a rate below $2/x_i^2$. The largest $x$ decides:
# $2/19^2 \approx 0.0055$. Before you run this: what happens just below, and just above?

# %%
edge = 2 / x.max().item() ** 2
shares = torch.cat([torch.linspace(0.7, 1.3, 25), torch.tensor([0.99, 1.01])]).sort().values.tolist()
final = [descend(start.double(), share * edge, steps=500)[1][-1] for share in shares]
axes = plt.figure(figsize=(6.4, 3)).subplots()
axes.semilogy(shares, final, "o-", markersize=4)
axes.axvline(1, color="#D55E00", linewidth=1)
axes.set(xlabel="learning rate, as a share of 2 / 19²", ylabel="error after 500 steps", ylim=(1e-6, 1e18))
axes.set_title("The edge is where the formula puts it");

# %%
assert all(error < 1 for share, error in zip(shares, final) if share < 0.98)
assert all(error > 100 for share, error in zip(shares, final) if share > 1.005)
[f"{share:.3f}: {error:.1e}" for share, error in zip(shares, final) if 0.97 < share < 1.03]

# %% [markdown]
# Left of the red line the error is small, right of it it grows without end (the picture cuts it off). One per cent of
# the rate makes the difference.
#
# In general, near a minimum a loss looks like a bowl. The bowl has a curvature along each direction, the eigenvalues of
# the matrix of second derivatives (the **Hessian**), and the rule is: gradient descent is stable for rates below
# $2/\lambda_{max}$, with $\lambda_{max}$ the largest curvature. For $\hat y = Xw$ and the mean squared error the
# Hessian is $\frac2n X^TX$. Here is a bowl with two weights, ten times steeper across than along:

# %%
import ipywidgets as widgets

curvature = torch.tensor([1.0, 10.0])  # so the edge is at 2 / 10

def walk(share):
    """Forty steps of gradient descent in the bowl, with `share` of the largest stable rate: [41, 2]."""
    path = [torch.tensor([-9.0, 2.0])]
    for _ in range(40):
        path.append(path[-1] - share * (2 / 10) * curvature * path[-1])
    return torch.stack(path)

# %%
def draw_bowl(share: float) -> None:
    path = walk(share)
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.8))
    a, b = torch.meshgrid(torch.linspace(-10, 10, 80), torch.linspace(-4, 4, 80), indexing="xy")
    panels[0].contour(a, b, (a**2 + 10 * b**2) / 2, levels=12, alpha=0.5)
    panels[0].plot(path[:, 0], path[:, 1], "o-", markersize=3, color="#D55E00", linewidth=1)
    panels[0].set(xlim=(-10, 10), ylim=(-4, 4), xlabel="weight 1", ylabel="weight 2", title="The path")
    panels[1].semilogy((path**2 @ curvature / 2).clamp(1e-9))
    panels[1].set(xlabel="step", ylabel="loss", ylim=(1e-7, 1e4), title=f"Rate: {share:.2f} of the edge")
    plt.show()

draw_bowl(0.95)

# %% [markdown]
# At 0.95 the path jumps from side to side of the steep direction, and still comes down. Before you move the slider:
# which share is fastest, and what will 1.05 look like?

# %%
on_release = {"continuous_update": False}  # redraw when you let the slider go
slider = widgets.FloatSlider(0.5, min=0.02, max=1.1, step=0.02, description="share", **on_release)
widgets.interact(draw_bowl, share=slider);

# %% [markdown]
# (On a static page the sliders of this chapter do not answer; open the notebook.) Small rates creep along the flat
# direction, large ones swing across the steep one; the fastest lies a little below the edge, here at about 0.9. One
# rate for all weights is always a compromise: that is the trouble which Adam was made for.
#
# ### Exercise 8.4
# Write `largest_rate(X)`: `X` is a float tensor `[examples, features]`, the model is `X @ w`, the loss is
# `((X @ w - y) ** 2).mean()`. Return the learning rate, a number, at which gradient descent stops being stable. For
# example, `torch.tensor([[1.0], [2.0], [2.0]])` gives 1/3: $\frac2n X^TX = \frac23(1 + 4 + 4) = 6$.

# %% tags=["exercise"]
def largest_rate(X: torch.Tensor) -> float:
    """X: [examples, features]. The edge of stability of gradient descent on the mean squared error of X @ w."""
    # BEGIN SOLUTION
    hessian = 2 / len(X) * X.T @ X
    return 2 / torch.linalg.eigvalsh(hessian).max().item()
    # END SOLUTION

# %% tags=["check"]
lab.check("8.4", largest_rate)

# %% [markdown]
# `lab.hint("8.4")` helps.

# %% [markdown]
# ## 8.5 A small network, and three optimizers
# <!-- T132 -->
# Now a network shall learn the sine as a function: one number in, one number out. The notes use a linear layer and a
# sigmoid. Before you run this: what is the lowest point that their network can reach between −π and π?

# %%
import math

points = torch.linspace(-math.pi, math.pi, 40)[:, None]  # [40, 1]
targets = points.sin()

# %%
def train(model, optimizer, steps, scheduler=None, wanted=targets):
    """Training on all points at once; returns the loss before each step."""
    losses = []
    for _ in range(steps):
        loss = nn.functional.mse_loss(model(points), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    return losses

# %%
torch.manual_seed(0)
notes = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
train(notes, torch.optim.SGD(notes.parameters(), lr=1.0), 1_000)
hidden = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
train(hidden, torch.optim.Adam(hidden.parameters(), lr=0.01), 500)
axes = plt.figure(figsize=(6.4, 3)).subplots()
axes.plot(points, targets, color="#888888", linewidth=5, alpha=0.5, label="sine")
axes.plot(points, notes(points).detach(), label="linear, sigmoid")
axes.plot(points, hidden(points).detach(), label="linear, tanh, linear")
axes.set(xlabel="x", ylabel="output", title="A sigmoid can't go below zero; a hidden layer can bend")
axes.legend();

# %% [markdown]
# Look at the left half: the notes' network stays at zero, for its last step is a sigmoid. A hidden layer with a bend in
# it, and a linear layer last, follows the curve.
#
# Why did it work in the notes? Their $x$ lies between 0 and 1, where the sine is positive. And the two rows of ten
# numbers go through a layer with 110 parameters: enough to know twenty numbers by heart. Their exact experiment, and
# then 500 new rows. Before you run this: will the new rows be fitted as well?

# %%
torch.manual_seed(0)
x_notes = torch.rand(20).view(2, -1)
ann = nn.Sequential(nn.Linear(10, 10), nn.Sigmoid())
optimizer = torch.optim.SGD(ann.parameters(), lr=20)
for _ in range(1_500):
    optimizer.zero_grad()
    nn.functional.mse_loss(ann(x_notes), x_notes.sin()).backward()
    optimizer.step()

# %%
fresh = torch.rand(500, 10)
error = nn.functional.mse_loss
seen, unseen = error(ann(x_notes), x_notes.sin()).item(), error(ann(fresh), fresh.sin()).item()
always_the_mean = fresh.sin().var().item()
assert seen < 1e-3 and unseen > always_the_mean
f"seen {seen:.1e}, new {unseen:.3f}; answering the mean each time {always_the_mean:.3f}"

# %% [markdown]
# No error on what it has seen, and worse than a constant on what it hasn't. A small training error alone says nothing;
# ask for new data. (Note also that a rate of 20 is fine here and fatal above: the sigmoid's gradients are tiny. A rate
# is large or small only for one loss.)
#
# Now SGD, Adam and AdamW, each from the same five starts. Before you run this: which one will be last after 500 steps?

# %%
makers = {
    "SGD, rate 0.1": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "Adam, rate 0.01": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    "AdamW, rate 0.01": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.01),
}

def small_net(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))

# %%
curves = {}
for name, maker in makers.items():
    models = [small_net(seed) for seed in range(5)]
    runs = [train(model, maker(model.parameters()), 500) for model in models]
    curves[name] = torch.tensor(runs)  # [5, 500]

# %%
between = torch.linspace(-3.1, 3.1, 101)[:, None]  # points it has not seen
print(f"AdamW, new points: {nn.functional.mse_loss(models[0](between), between.sin()):.5f}")
axes = plt.figure(figsize=(7.2, 3.2)).subplots()
for (name, runs), colour in zip(curves.items(), ("#0072B2", "#E69F00", "#009E73")):
    axes.semilogy(runs.T, color=colour, alpha=0.25, linewidth=1)
    axes.semilogy(runs.median(dim=0).values, color=colour, label=name)
axes.set(xlabel="step", ylabel="mean squared error")
axes.set_title("Adam and AdamW go together here; plain SGD lags")
axes.legend();

# %% [markdown]
# Thin lines are the five seeds, a thick line their median. The seeds differ by more than Adam and AdamW do: compare
# optimizers over several seeds, or you compare luck. Adam gives each weight a step size of its own, so the flat
# directions of the bowl move too. With so little decay AdamW is nearly the same; section 8.8 shows where the two part.
# And the order holds for these rates, not for all.
#
# Then give SGD a larger rate? Some of the thin blue lines already have bumps. The edge of section 8.4 can be computed
# for a network, too: the Hessian of its loss, number by number. Before you run this: is 0.1 far from the edge?

# %%
def edge_of(model):
    """2 / λmax of the loss on the sine, at the model's present weights."""
    parameters = list(model.parameters())
    loss = nn.functional.mse_loss(model(points), targets)
    first = torch.autograd.grad(loss, parameters, create_graph=True)
    slopes = torch.cat([part.flatten() for part in first])  # [97]
    rows = [torch.autograd.grad(slope, parameters, retain_graph=True) for slope in slopes]
    hessian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])  # [97, 97]
    return 2 / torch.linalg.eigvalsh(hessian).max().item()

edges = [edge_of(small_net(seed)) for seed in range(5)]
assert 0.05 < min(edges) < max(edges) < 0.2
[round(edge, 3) for edge in edges]

# %% [markdown]
# It is at the edge, for some starts a little beyond. The bumps are the swings that you know from the bowl. (A network's
# curvature changes as it learns, so it may recover.) So plain SGD can't go much faster here.

# %% [markdown]
# ## 8.6 One training step, slowly
# <!-- T135 -->
# The four lines of each training loop are: loss, `zero_grad`, `backward`, `step`. Before you run this: which of the
# three tensors below will know how it was made?

# %%
w = torch.tensor([1.0, 2.0], requires_grad=True)
loss = (w * torch.tensor([3.0, 4.0])).sum() ** 2  # 11 ** 2
for value in (loss, loss.detach(), loss.item()):
    print(f"{value!r:44}", type(value).__name__)

# %% [markdown]
# The loss has a `grad_fn`: it hangs on a graph of operations that leads back to `w`. `detach()` gives the same number
# as a tensor without the graph; `item()` gives a plain Python float. `backward()` walks the graph from the loss to the
# weights and writes their gradients into `.grad`. Then the graph is gone. Before you run this: what does a second
# `backward()` do?

# %%
loss.backward()
print(w.grad)  # 2 * 11 * [3, 4]
with lab.expect_error(RuntimeError):
    loss.backward()

# %% [markdown]
# This matters for book-keeping. To average the loss over an epoch many people write `total += loss`. Before you run
# this: what grows with that line?

# %%
def graph_size(value) -> int:
    """How many operations hang on a tensor."""
    found, queue = set(), [getattr(value, "grad_fn", None)]
    while queue:
        node = queue.pop()
        if node is not None and node not in found:
            found.add(node)
            queue += [before for before, _ in node.next_functions]
    return len(found)

# %%
with_graph, with_item, sizes = 0.0, 0.0, []
for _ in range(50):
    loss = nn.functional.mse_loss(hidden(points), targets)
    with_graph += loss
    with_item += loss.item()
    sizes.append((graph_size(with_graph), graph_size(with_item)))
axes = plt.figure(figsize=(6.4, 2.6)).subplots()
axes.plot(sizes, label=["total += loss", "total += loss.item()"])
axes.set(xlabel="step", ylabel="operations kept in memory")
axes.set_title("Adding losses keeps every graph alive")
axes.legend();

# %% [markdown]
# The blue line climbs: each loss brings its whole graph, with all the activations in it. Memory runs full after some
# hundred batches, far from the line that is to blame. Use `item()` for a number, `detach()` for a tensor.
#
# Next, `zero_grad`. Before you run this: what stands in `.grad` after two backward passes?

# %%
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data, truth = torch.randn(12, 3), torch.randn(12, 1)
for _ in range(2):
    nn.functional.mse_loss(model(data), truth).backward()
    print(model.weight.grad)
optimizer.zero_grad()
print(model.weight.grad)

# %% [markdown]
# The gradients add up. That is why `zero_grad` belongs in every step. The notes say that it writes zeros; today it sets
# `.grad` to `None`, which saves memory and time (`zero_grad(set_to_none=False)` writes zeros).
#
# Adding up is also useful: if a batch is too large for your memory, feed it in pieces, and step once. That is
# **gradient accumulation**. Before you run this: twelve examples at once, and the same twelve in three pieces of four.
# Equal gradients?

# %%
def gradient(pieces, divide: bool = True):
    """The gradient after a backward pass for each piece; `divide` makes it the mean over the pieces."""
    model.zero_grad()
    for part, wanted in pieces:
        loss = nn.functional.mse_loss(model(part), wanted)
        (loss / len(pieces) if divide else loss).backward()
    return model.weight.grad.clone().squeeze()  # [3]

whole = gradient([(data, truth)])
thirds = list(zip(data.split(4), truth.split(4)))
whole, gradient(thirds), gradient(thirds, divide=False)

# %%
def draw_accumulation(size: int, divide: bool) -> None:
    """Bars: the gradient of 12 examples at once, and accumulated over pieces of `size` examples."""
    parts = list(zip(data.split(size), truth.split(size)))
    summed = gradient(parts, divide)
    verdict = "equal gradients" if torch.allclose(summed, whole, atol=1e-6) else "another gradient"
    axes = plt.figure(figsize=(6.8, 2.6)).subplots()
    axes.bar(torch.arange(3) - 0.2, whole, 0.4, label="12 at once")
    axes.bar(torch.arange(3) + 0.2, summed, 0.4, label=f"the last piece has {len(parts[-1][0])}")
    axes.set(xticks=range(3), xlabel="weight", ylabel="gradient")
    axes.set_title(f"{len(parts)} pieces, {'divided by their number' if divide else 'not divided'}: {verdict}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()

# %%
draw_accumulation(4, divide=False)

# %% [markdown]
# Without the division the gradient is three times too long, as if the learning rate were tripled. Now divide, and move
# the slider. Before you do: is there a size for which the division is not enough?

# %%
widgets.interact(
    draw_accumulation,
    size=widgets.IntSlider(8, min=1, max=12, description="piece", **on_release),
    divide=widgets.Checkbox(True, description="divide by the number of pieces"),
);

# %% [markdown]
# Pieces of 1, 2, 3, 4 or 6 are fine. When the last piece is shorter, the mean of the means is not the mean. Here are 8
# and 4, and the cure:

# %%
uneven = list(zip(data.split(8), truth.split(8)))
model.zero_grad()
for part, wanted in uneven:
    (nn.functional.mse_loss(model(part), wanted, reduction="sum") / len(data)).backward()
by_count = model.weight.grad.squeeze()
torch.testing.assert_close(by_count, whole)
whole, gradient(uneven), by_count

# %% [markdown]
# The first and the last are equal, the middle one is not: there each of the four examples of the short piece counts
# twice as much. The cure is to divide each **sum** by the number of all examples. With texts of different lengths the
# same holds for tokens.
#
# ### Exercise 8.5
# Write `accumulate(model, optimizer, batches, group)`. `batches` is a list of pairs `(x, y)`, `x` of shape
# `[examples, in]` and `y` of shape `[examples, out]`; the number of examples may differ from batch to batch. For every
# `group` batches take **one** optimizer step, with the gradient of the mean of the squared errors over all numbers in
# the group; the last group may have fewer batches. Return how many steps you took. For example, five batches with
# `group=2` make three steps. The gradient of an earlier call must not leak in.

# %% tags=["exercise"]
def accumulate(model: nn.Module, optimizer: torch.optim.Optimizer, batches: list, group: int) -> int:
    """One pass over `batches` with one optimizer step per `group` of them. Returns the number of steps."""
    # BEGIN SOLUTION
    steps = 0
    for first in range(0, len(batches), group):
        members = batches[first : first + group]
        count = sum(y.numel() for _, y in members)
        optimizer.zero_grad()
        for x, y in members:
            summed = nn.functional.mse_loss(model(x), y, reduction="sum")
            (summed / count).backward()
        optimizer.step()
        steps += 1
    return steps
    # END SOLUTION

# %% tags=["check"]
lab.check("8.5", accumulate)

# %% [markdown]
# `lab.hint("8.5")` helps.
#
# One more thing about losses. The notes list `cross_entropy_loss()`, `mse_loss()` and others as functions *of the
# loss*. They are functions of `torch.nn.functional`, and the first is called `cross_entropy`:

# %%
from torch.nn import functional as F

losses = ("mse_loss", "l1_loss", "smooth_l1_loss", "cross_entropy", "cross_entropy_loss")
print("in torch.nn.functional:", [name for name in losses if hasattr(F, name)])
methods = ("backward", "item", "detach", "mean", "sum", "sigmoid", "mse_loss")
print("methods of a loss:     ", [name for name in methods if hasattr(loss, name)])

# %% [markdown]
# ## 8.7 What an optimizer keeps
# <!-- T135 -->
# The notes say that an optimizer has `get_lr()` and `set_lr()`. Before you run this: do you believe it?

# %%
adam = torch.optim.Adam(hidden.parameters(), lr=0.01)
with lab.expect_error(AttributeError):
    adam.get_lr()
with lab.expect_error(AttributeError):
    adam.set_lr(0.001)
adam.param_groups[0]["lr"] = 0.001  # read it, write it
methods = [name for name in dir(adam) if name[0].islower() and callable(getattr(adam, name))]
[name for name in methods if "hook" not in name]

# %% [markdown]
# No PyTorch optimizer has them. The rate lives in `param_groups`, a list of dicts: which parameters, and with which
# settings. You may write there. (A *scheduler* has `get_last_lr()`, see section 8.9.) With several groups you give each
# part of a model its own rate. Here the encoder learns slowly and a new head fast:

# %%
from transformers import AutoModel, AutoTokenizer

encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
bert = AutoModel.from_pretrained(encoder, revision=encoder.revision).to(lab.device())
head = nn.Linear(bert.config.hidden_size, 2).to(lab.device())
optimizer = torch.optim.AdamW(bert.parameters(), lr=2e-5)
optimizer.add_param_group({"params": head.parameters(), "lr": 1e-3})
for group in optimizer.param_groups:
    size = sum(parameter.numel() for parameter in group["params"])
    print(f"{size:>12,} parameters, rate {group['lr']}, decay {group['weight_decay']}")

# %% [markdown]
# Besides, an optimizer has a memory. Before you run this: Adam keeps something for each weight. How many numbers?

# %%
train(hidden, adam, 1)
first = next(iter(hidden.parameters()))
print({name: tuple(value.shape) for name, value in adam.state[first].items()})
held = sum(value.numel() for state in adam.state.values() for value in state.values())
weights = sum(parameter.numel() for parameter in hidden.parameters())
f"{weights} weights, {held} numbers in the optimizer"

# %% [markdown]
# Two for each weight, the running means of the gradient and of its square (and a step count for each tensor). With the
# gradient and the weight itself that makes four numbers for each weight in training. And it means that the model alone
# is not enough to go on with a training that was interrupted. `state_dict()` gives you the memory, `load_state_dict()`
# puts it back. Train 100 steps, save, and go on twice: with the saved memory and without.

# %%
import copy

def resume(saved):
    """Go on for 60 steps from the saved model, with the saved optimizer if there is one."""
    net = small_net(0)
    net.load_state_dict(checkpoint["model"])
    again = torch.optim.Adam(net.parameters(), lr=0.05)
    if saved:
        again.load_state_dict(saved)
    return train(net, again, 60)

# %%
net = small_net(0)
adam = torch.optim.Adam(net.parameters(), lr=0.05)
train(net, adam, 100)
checkpoint = copy.deepcopy({"model": net.state_dict(), "optimizer": adam.state_dict()})
uninterrupted = train(net, adam, 60)
complete, forgetful = resume(checkpoint["optimizer"]), resume(None)
assert complete == uninterrupted

# %%
axes = plt.figure(figsize=(6.4, 3)).subplots()
axes.semilogy(uninterrupted, linewidth=5, alpha=0.3, label="never interrupted")
axes.semilogy(complete, label="resumed with the optimizer's state")
axes.semilogy(forgetful, label="resumed with the model only")
axes.set(xlabel="step after the interruption", ylabel="mean squared error")
axes.set_title("A fresh Adam stumbles")
axes.legend(fontsize=9);

# %% [markdown]
# The two lines on top of each other are equal to the last bit (the cell before asserts it). Without the memory the
# first steps are far too large. Section 8.9 says why, and what helps.
#
# One more method of the notes' list: `step(closure)`. Some optimizers want to compute the loss several times in one
# step, and so ask for a function that does:

# %%
net = small_net(0)
lbfgs = torch.optim.LBFGS(net.parameters(), line_search_fn="strong_wolfe")

def closure():
    lbfgs.zero_grad()
    loss = nn.functional.mse_loss(net(points), targets)
    loss.backward()
    return loss

[f"{lbfgs.step(closure).item():.6f}" for _ in range(4)]  # the loss at the beginning of each step

# %% [markdown]
# ## 8.8 Weight decay: AdamW is not Adam with L2
# <!-- T134 -->
# To keep weights small you can add $\frac\lambda2 w^2$ to the loss (**L2**), or shrink each weight a little in every
# step (**weight decay**). The notes say that AdamW decays "when the gradient is computed, like L2 regularisation".
# Elsewhere they say that the two are the same for SGD only. Both can't be right. Before you run this: in which rows
# will the two columns be equal?

# %%
import pandas as pd

def final(kind, decay, l2):
    """Fifty steps on a bowl with its minimum at 2, steeper for each weight; returns the weights."""
    w = nn.Parameter(torch.ones(3))
    optimizer = kind([w], lr=0.01, weight_decay=decay)
    for _ in range(50):
        loss = (torch.tensor([0.1, 1.0, 10.0]) * (w - 2) ** 2).sum() + l2 / 2 * (w**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (1000 * w.detach()).round() / 1000

# %%
rows = []
for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
    argument, in_the_loss = final(kind, decay=0.5, l2=0.0), final(kind, decay=0.0, l2=0.5)
    same = torch.allclose(argument, in_the_loss, atol=0.002)
    rows.append([kind.__name__, argument.tolist(), in_the_loss.tolist(), same])
assert [row[-1] for row in rows] == [True, True, False]
pd.DataFrame(rows, columns=["", "weight_decay=0.5", "L2 in the loss", "equal"]).set_index("")

# %% [markdown]
# For SGD the argument `weight_decay` and L2 are the same thing. For `Adam` too: there the argument *is* L2. For `AdamW`
# they differ: its decay goes past the gradient, straight to the weight. That is called **decoupled** (Loshchilov and
# Hutter, *Decoupled Weight Decay Regularization*). So the second sentence of the notes is right, and the first
# describes the old Adam.
#
# Why does it matter? Adam divides the gradient by its usual size, and an L2 term inside the gradient is divided with
# it. Take weights with no task at all, only noise for a gradient: small noise for some, large for others. Before you
# run this: which weights will Adam with L2 shrink least?

# %%
noise = torch.tensor([0.01, 0.1, 1.0, 10.0])[:, None]  # the size of the gradients, one row each

def shrink(kind, decay, steps=400):
    """The mean of 200 weights for each size of noise, step by step: [4, steps]."""
    generator = torch.Generator().manual_seed(0)
    w = nn.Parameter(torch.ones(4, 200))
    optimizer, means = kind([w], lr=2.5e-3, weight_decay=decay), []
    for _ in range(steps):
        means.append(w.detach().mean(dim=1))
        w.grad = noise * torch.randn(4, 200, generator=generator)
        optimizer.step()
    return torch.stack(means, dim=1)

# %%
def draw_decay(decay: float) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
    for axes, kind in zip(panels, (torch.optim.Adam, torch.optim.AdamW)):
        widths, styles = (6, 3, 2, 2), ("-", "-", "-", "--")
        for curve, size, width, style in zip(shrink(kind, decay), noise.flatten().tolist(), widths, styles):
            axes.plot(curve, style, linewidth=width, alpha=0.8, label=f"gradients of about {size:g}")
        axes.set(xlabel="step", ylim=(-0.05, 1.1), title=f"{kind.__name__}(weight_decay={decay:.1f})")
    panels[0].set_ylabel("mean weight")
    panels[1].legend(fontsize=9)
    figure.suptitle("AdamW decays all weights alike, Adam those with small gradients", x=0.01, ha="left")
    plt.show()

draw_decay(1.0)

# %% [markdown]
# Look left: the weights with large gradients are hardly decayed, and these are often the important ones for the loss;
# the others shrink fast. On the right four curves lie on one another: each weight loses the same share in each step,
# `lr * weight_decay`. Before you move the slider: at which value does the left panel show no difference any more?

# %%
slider = widgets.FloatSlider(0.3, min=0.0, max=4.0, step=0.1, description="decay", **on_release)
widgets.interact(draw_decay, decay=slider);

# %% [markdown]
# Only at 0, where there is no decay at all.
#
# The notes take `AdamW` from `transformers`. That class is gone; PyTorch has its own. Their list of arguments mixes the
# two: `correct_bias` belonged to the old one, and PyTorch's `weight_decay` is 0.01 if you say nothing, not 0.

# %%
import inspect

import transformers

with lab.expect_error(AttributeError, ImportError):
    transformers.AdamW
with lab.expect_error(TypeError):
    torch.optim.AdamW(hidden.parameters(), correct_bias=True)
for kind in (torch.optim.Adam, torch.optim.AdamW):
    print(kind.__name__, inspect.signature(kind).parameters["weight_decay"])

# %% [markdown]
# The correction is now always done. Without it the running means, which begin at zero, would be far too small at first.
# With it, Adam's first step has a remarkable size. Before you run this: three gradients, from tiny to huge. How far
# does each weight go?

# %%
w = nn.Parameter(torch.zeros(3))
w.grad = torch.tensor([0.001, 1.0, -1000.0])
torch.optim.Adam([w], lr=0.01).step()
w.data

# %% [markdown]
# By the learning rate, each of them: only the sign counts. Keep this for the next section.
#
# ### Exercise 8.6
# Write `adamw_step(w, gradient, m, v, step, lr, beta1, beta2, eps, weight_decay)`; it returns the new `(w, m, v)` and
# leaves its arguments as they are. `w`, `gradient`, `m` and `v` are tensors of one shape, `step` is 1 in the first
# step. In this order:
#
# 1. decay: $w \leftarrow w - \mathrm{lr}\cdot\mathrm{weight\_decay}\cdot w$
# 2. running means: $m \leftarrow \beta_1 m + (1-\beta_1)\,g$ and $v \leftarrow \beta_2 v + (1-\beta_2)\,g^2$
# 3. corrected: $\hat m = m / (1-\beta_1^{step})$ and $\hat v = v / (1-\beta_2^{step})$
# 4. step: $w \leftarrow w - \mathrm{lr}\cdot\hat m / (\sqrt{\hat v} + \mathrm{eps})$
#
# For example, `w = 1.0`, `gradient = 5.0`, `m = v = 0.0`, `step = 1`, `lr = 0.1` and `weight_decay = 0` (all others as
# usual) give a `w` of about 0.9.

# %% tags=["exercise"]
def adamw_step(w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """Returns the new (w, m, v), each a tensor of w's shape; nothing is changed in place."""
    # BEGIN SOLUTION
    decayed = w - lr * weight_decay * w
    new_m = beta1 * m + (1 - beta1) * gradient
    new_v = beta2 * v + (1 - beta2) * gradient**2
    corrected_m, corrected_v = new_m / (1 - beta1**step), new_v / (1 - beta2**step)
    return decayed - lr * corrected_m / (corrected_v.sqrt() + eps), new_m, new_v
    # END SOLUTION

# %% tags=["check"]
lab.check("8.6", adamw_step)

# %% [markdown]
# `lab.hint("8.6")` helps. Should everything be decayed? The notes say that biases are decayed, too, and with one group
# they are. In practice one leaves out the biases and the scales of the norms: small numbers of them, with no reason to
# be near zero. The library's own `Trainer` does so. In the encoder that means:

# %%
from transformers.trainer_pt_utils import get_parameter_names

decayed = set(get_parameter_names(bert, [nn.LayerNorm], ["bias"]))
for label, wanted in (("decayed", True), ("left alone", False)):
    some = [(name, p.numel()) for name, p in bert.named_parameters() if (name in decayed) == wanted]
    size = sum(size for _, size in some)
    print(f"{label:10} {len(some):3} tensors, {size:>11,} numbers, such as {some[3][0]}")

# %% [markdown]
# ### Exercise 8.7
# Write `decay_groups(model, weight_decay)`. Return a list of two dicts as an optimizer takes them, each with the keys
# `"params"` (a list) and `"weight_decay"`. The first holds what is decayed, with `weight_decay`. The second holds all
# biases, and the weights of norm layers (LayerNorm, BatchNorm), with 0. In our models these have one dimension, and all
# other parameters have more. Each parameter stands in exactly one of the two, once, also where layers share it. For
# example, `nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))` gives one parameter in the first dict and three in the
# second. Mind that inside a `Sequential` a norm is called `1`, not `norm`.

# %% tags=["exercise"]
def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two parameter groups: decayed, and not decayed (biases, weights of norm layers)."""
    # BEGIN SOLUTION
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    # END SOLUTION

# %% tags=["check"]
lab.check("8.7", decay_groups)

# %% [markdown]
# `lab.hint("8.7")` helps.

# %% [markdown]
# ## 8.9 Schedules and warmup
# <!-- T133 -->
# The learning rate need not stay as it is. The notes take `StepLR` and call it linear. Before you look: what will its
# curve look like, from 0.1 with `step_size=30` and `gamma=0.1`?

# %%
from transformers import get_scheduler

def fresh_optimizer(rate=0.1):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)

def rates(optimizer, scheduler, steps):
    """The learning rate of each step."""
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen

# %%
optimizer = fresh_optimizer()
stairs = rates(optimizer, torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1), 100)
optimizer = fresh_optimizer()
scheduler = get_scheduler("linear", optimizer, num_warmup_steps=20, num_training_steps=100)
straight = rates(optimizer, scheduler, 100)
axes = plt.figure(figsize=(6.8, 2.8)).subplots()
axes.plot(stairs, drawstyle="steps-post", label="StepLR(step_size=30, gamma=0.1)")
axes.plot(straight, label='get_scheduler("linear"), 20 of 100 steps warmup')
axes.set(xlabel="step", ylabel="learning rate")
axes.set_title("StepLR is a staircase; “linear” is a line up and a line down")
axes.legend(fontsize=9);

# %% [markdown]
# A staircase: on each stair a tenth of the one before. The orange line goes up first. That is the **warmup**. The notes
# say that PyTorch has none, but you can chain two of its schedules. Before you run this: how far apart will the two be?

# %%
from torch.optim.lr_scheduler import LinearLR, SequentialLR

optimizer = fresh_optimizer()
up = LinearLR(optimizer, start_factor=1e-6, total_iters=20)
down = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=80)
in_torch = rates(optimizer, SequentialLR(optimizer, [up, down], milestones=[20]), 100)
max(abs(one - other) for one, other in zip(in_torch, straight))

# %% [markdown]
# As good as equal. The library's call is shorter. Now its names: the notes give eight of them. Before you run this: how
# many exist?

# %%
from transformers import SchedulerType

in_the_notes = [
    "constant_schedule", "warmup_constant", "constant_schedule_with_warmup", "warmup_linear",
    "warmup_cosine", "warmup_cosine_with_hard_restarts", "polynomial_decay", "linear_schedule_with_warmup",
]
today = [kind.value for kind in SchedulerType]
print(f"{sum(name in today for name in in_the_notes)} of {len(in_the_notes)} exist")
with lab.expect_error(ValueError):
    get_scheduler("warmup_linear", fresh_optimizer(), num_warmup_steps=20, num_training_steps=100)

# %% [markdown]
# None. (They look like a mixture of function names, such as `get_linear_schedule_with_warmup`, and of an older
# library's.) The message lists the real ones, and `SchedulerType` is where they live. Here are all of them. Two don't
# follow the step but the loss: for these, the loss below falls until step 40 and then stays.

# %%
follow_the_loss = ("reduce_lr_on_plateau", "greedy")
extra = {
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"power": 2.0},
    "cosine_with_min_lr": {"min_lr_rate": 0.3},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.3, "warmup_lr_rate": 0.5},
    "warmup_stable_decay": {"num_decay_steps": 30},
    "reduce_lr_on_plateau": {"factor": 0.5, "patience": 10},
}

# %%
def curve(name, steps=100):
    """The rates of schedule `name`, with 20 steps of warmup where it knows any."""
    optimizer, seen = fresh_optimizer(), []
    scheduler = get_scheduler(name, optimizer, 20, steps, scheduler_specific_kwargs=extra.get(name))
    for step in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if name in follow_the_loss:
            scheduler.step(max(1 - step / 40, 0.0))
        else:
            scheduler.step()
    return seen

# %%
figure, panels = plt.subplots(3, 4, figsize=(10, 5.4), sharex=True)
for axes, name in zip(panels.flat, today, strict=True):
    axes.plot(curve(name), color="#D55E00" if name in follow_the_loss else "#0072B2")
    axes.set_title(name, fontsize=9)
    axes.set_ylim(0, None)
for axes in panels[-1]:
    axes.set_xlabel("step")
for axes in panels[:, 0]:
    axes.set_ylabel("rate")
figure.suptitle("All schedules of get_scheduler, from a rate of 0.1", x=0.01, ha="left");

# %% [markdown]
# Blue follows the step, orange the loss (`greedy` raises the rate while the loss falls and lowers it when it doesn't).
# `constant` ignores the warmup that it is given. `constant_with_warmup` does *not* change the rate in each step, as the
# notes have it: only in the warmup. And `polynomial` is bent here because of `power=2`; with its default of 1 it is a
# line, not an exponential.
#
# The notes count `num_training_steps=epochs * len(x)`. Their loop takes one step per epoch, and `len(x)` is 2. Before
# you run this: what is the rate at the end? And what if you step the schedule once an epoch, as the notes also advise,
# but plan it in batches?

# %%
plans = {"right": (100, 100), "planned twice": (200, 100), "stepped once an epoch": (100, 10)}
for plan, (planned, taken) in plans.items():
    optimizer = fresh_optimizer()
    seen = rates(optimizer, get_scheduler("linear", optimizer, 20, planned), taken)
    print(f"{plan:22} last rate {seen[-1]:.4f}, largest {max(seen):.4f}")

# %% [markdown]
# Planned twice, it ends with more than half of the rate; stepped once an epoch, it never leaves the warmup. A schedule
# only counts its calls: plan **optimizer steps**, and call `scheduler.step()` once after each `optimizer.step()`. The
# other way round PyTorch warns you:

# %%
import warnings

optimizer = fresh_optimizer()
scheduler = get_scheduler("linear", optimizer, 20, 100)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    scheduler.step()
    optimizer.step()
print(str(caught[0].message).split(". ")[0])
scheduler.get_last_lr()

# %% [markdown]
# What is warmup good for? You know Adam's first step: every weight moves by the full rate, and only the sign of its
# gradient counts. In a network that already knows something, that is a kick. Take one that fits the sine, and ask it
# for a curve 0.3 higher. Before you run this: what will the loss do in the first ten steps?

# %%
fitted_net = small_net(1)
train(fitted_net, torch.optim.Adam(fitted_net.parameters(), lr=0.01), 600)
raised = targets + 0.3

def fine_tune(rate, warmup, steps=60):
    """The loss on the raised curve before each step, with so many steps of warmup."""
    net = copy.deepcopy(fitted_net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    scheduler = get_scheduler("constant_with_warmup", optimizer, num_warmup_steps=warmup)
    return train(net, optimizer, steps, scheduler, wanted=raised)

# %%
def draw_warmup(rate: float, warmup: int) -> None:
    """The first 60 steps without and with warmup."""
    kicked, warmed = fine_tune(rate, 0), fine_tune(rate, warmup)
    axes = plt.figure(figsize=(6.8, 2.8)).subplots()
    axes.semilogy(kicked, label=f"no warmup: peak {max(kicked):.2g}")
    axes.semilogy(warmed, label=f"{warmup} steps of warmup: peak {max(warmed):.2g}")
    axes.axhline(kicked[0], color="#888888", linewidth=1)
    axes.set(xlabel="step", ylabel="mean squared error")
    peak = max(kicked) / kicked[0]
    axes.set_title(f"A rate of {rate:.3g}: without warmup the loss peaks at {peak:.1f} times its start")
    axes.legend(fontsize=9)
    plt.show()

# %%
draw_warmup(0.1, 20)
assert max(fine_tune(0.1, 0)) > 5 * max(fine_tune(0.1, 20))

# %% [markdown]
# The grey line is the loss before the first step. Without warmup the first step makes it many times worse: the network
# has lost the sine, and must learn it again. With warmup the first steps are small while Adam's running means fill up,
# and the loss hardly rises above the line. Before you move the sliders: at which rate does the kick disappear without
# any warmup?

# %%
widgets.interact(
    draw_warmup,
    rate=widgets.FloatLogSlider(0.03, min=-3, max=-0.5, step=0.25, description="rate", **on_release),
    warmup=widgets.IntSlider(20, min=0, max=60, description="warmup", **on_release),
);

# %% [markdown]
# At 0.01 there is nothing left to cure. Warmup is what allows a larger rate.
#
# ### Exercise 8.8
# `LambdaLR` takes a function from the step to a **factor**, by which the optimizer's rate is multiplied. Write
# `warmup_factor(step, warmup, total)`, the factor of the schedule `"linear"`: from 0 up to 1 over `warmup` steps, then
# down to 0 at `total`, and 0 from there on. `warmup` may be 0. Return a float. For example, with `warmup=10` and
# `total=110`: step 5 gives 0.5, step 10 gives 1.0, step 60 gives 0.5.

# %% tags=["exercise"]
def warmup_factor(step: int, warmup: int, total: int) -> float:
    """The factor of the schedule "linear" in step `step` (0, 1, 2, …)."""
    # BEGIN SOLUTION
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / max(1, total - warmup))
    # END SOLUTION

# %% tags=["check"]
lab.check("8.8", warmup_factor)

# %% [markdown]
# `lab.hint("8.8")` helps.

# %% [markdown]
# ## 8.10 What eval() does, and what it doesn't
# <!-- T136 -->
# The notes say that `model.eval()` switches the computation of gradients off and saves memory. Before you run this:
# after `eval()`, does the output still carry a graph, and can you train?

# %%
device = lab.device()
reviews = ["The room was clean.", "Never again."] * 8
batch = tokenizer(reviews, padding=True, return_tensors="pt").to(device)
bert.eval()
summary = bert(**batch).last_hidden_state[:, 0]  # [16, 384]
summary.mean().backward()
touched = sum(parameter.grad is not None for parameter in bert.parameters())
assert touched > 100
bert.zero_grad()
f"requires_grad: {summary.requires_grad}; {touched} tensors got a gradient in eval mode"

# %% [markdown]
# Everything is there. `eval()` sets one flag, `training = False`, on each module, and few kinds of module look at it.
# Dropout stops; BatchNorm uses its running means instead of the batch's. Before you run this: how different are two
# forward passes of one text, in either mode?

# %%
def difference(model):
    """The largest difference between two forward passes of the same batch."""
    with torch.no_grad():
        one, other = model(**batch).last_hidden_state, model(**batch).last_hidden_state
    return (one - other).abs().max().item()

print(f"train: {difference(bert.train()):.3f}   eval: {difference(bert.eval()):.3f}")
norm = nn.BatchNorm1d(1, momentum=0.5)
for mode in (True, True, False):
    answer = norm.train(mode)(torch.tensor([[1.0], [3.0]])).detach().flatten()
    print(f"training={mode!s:5}  BatchNorm: {[round(value, 3) for value in answer.tolist()]}")

# %% [markdown]
# So in `train` mode the same text gets another answer each time, also under `no_grad`. And BatchNorm does nothing
# random, as the notes suggest: it changes from the batch's statistics to the ones it has collected.
#
# What saves memory is `inference_mode` (or `no_grad`). Count the bytes that a forward pass keeps for a backward pass,
# in each of the four combinations. Before you look: which bars will be zero?

# %%
from contextlib import nullcontext

def kept_for_backward(training, context):
    """Megabytes that one forward pass keeps, without the weights."""
    weights, kept = {parameter.data_ptr() for parameter in bert.parameters()}, {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), context:
        held = bert.train(training)(**batch)  # as long as we hold it, its graph lives
    return sum(size for place, size in kept.items() if place not in weights) / 1e6

# %%
modes = {
    "train()": (True, nullcontext()),
    "eval()": (False, nullcontext()),
    "train() + inference_mode": (True, torch.inference_mode()),
    "eval() + inference_mode": (False, torch.inference_mode()),
}
memory = {name: kept_for_backward(*settings) for name, settings in modes.items()}
bert.eval()

# %%
axes = plt.figure(figsize=(6.8, 2.4)).subplots()
axes.barh(list(memory)[::-1], list(memory.values())[::-1])
axes.set(xlabel="kept for the backward pass (MB)")
axes.set_title("inference_mode frees the memory; eval() alone hardly does")
assert memory["eval()"] > 0.5 * memory["train()"] and memory["eval() + inference_mode"] == 0

# %% [markdown]
# `eval()` alone saves little: what dropout would have kept. The two switches are independent, and for predictions you
# want both: `eval()` for the right answer, `inference_mode()` for memory and speed. Don't forget `train()` before you
# go on training.
#
# `no_grad` and `inference_mode` differ in one point that you will meet. Before you run this: which of the two results
# may enter a training later?

# %%
weight = torch.ones(2, requires_grad=True)
with torch.no_grad():
    gentle = torch.ones(2) * 3
(weight * gentle).sum().backward()
with torch.inference_mode():
    strict = torch.ones(2) * 3
with lab.expect_error(RuntimeError):
    (weight * strict).sum().backward()

# %% [markdown]
# Tensors made in inference mode can't take part in a gradient any more; that is what makes it a little faster.
#
# Last, see dropout at work on a curve. This network learned the sine with dropout; you see forty forward passes in
# either mode.

# %%
class WithDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(1, 64), nn.Dropout(0.1), nn.Linear(64, 1)

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.first(x))))

torch.manual_seed(0)
dropped = WithDropout()
final_loss = train(dropped, torch.optim.Adam(dropped.parameters(), lr=0.01), 500)[-1]

# %%
def draw_modes(p: float) -> None:
    """Forty forward passes in train and in eval mode, with dropout p."""
    dropped.drop.p = p
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
    for axes, training in zip(panels, (True, False)):
        with torch.inference_mode():
            passes = torch.cat([dropped.train(training)(points) for _ in range(40)], dim=1)  # [40 points, 40 passes]
        axes.plot(points, passes, color="#0072B2", alpha=0.15, linewidth=1)
        axes.plot(points, targets, "--", color="#D55E00", linewidth=1)
        axes.set(xlabel="x", ylim=(-2, 2), title=f"{'train' if training else 'eval'}(), dropout {p:.2f}")
    panels[0].set_ylabel("output")
    plt.show()

# %%
draw_modes(0.1)

# %% [markdown]
# On the left the passes scatter around the dashed sine, on the right all forty lie on one another. Before you move the
# slider: does the right panel depend on it?

# %%
slider = widgets.FloatSlider(0.3, min=0.0, max=0.9, step=0.05, description="dropout", **on_release)
widgets.interact(draw_modes, p=slider);

# %% [markdown]
# It does not: in `eval` mode dropout is not there.

# %% [markdown]
# ## 8.11 The DataLoader, one argument at a time
# <!-- T137 -->
# A `DataLoader` makes batches of anything that has a length and an index. Here it is the numbers 0 to 9. Before you run
# this: how large is the last batch, and what does `drop_last` do with it?

# %%
from torch.utils.data import DataLoader, WeightedRandomSampler

def batches(**options):
    return [batch.tolist() for batch in DataLoader(range(10), **options)]

print(batches(batch_size=4))
print(batches(batch_size=4, drop_last=True))

# %% [markdown]
# `shuffle=True` makes a new order in each epoch. To get the same orders in another run, give it a `generator`. Before
# you run this: which lines will be equal?

# %%
for run in range(2):
    seeded = torch.Generator().manual_seed(7)
    loader = DataLoader(range(10), batch_size=5, shuffle=True, generator=seeded)
    for epoch in range(2):
        print(f"run {run}, epoch {epoch}:", [batch.tolist() for batch in loader])

# %% [markdown]
# The epochs differ, the runs agree. A `sampler` says which examples come, and in which order; with it you don't
# shuffle. Here the last two numbers are rare and valuable, so they are drawn as often as the other eight. A
# `batch_sampler` goes further and says which examples stand together:

# %%
weights = [1.0] * 8 + [4.0] * 2
sampler = WeightedRandomSampler(weights, 10, generator=torch.Generator().manual_seed(0))
print("sampler:      ", batches(batch_size=5, sampler=sampler))
print("batch_sampler:", batches(batch_sampler=[[0, 9], [1, 2, 3], [8]]))
with lab.expect_error(ValueError):
    batches(sampler=sampler, shuffle=True)

# %% [markdown]
# `collate_fn` makes one batch of a list of examples. The default one stacks, and texts have different lengths. Before
# you run this: what will the default do with them?

# %%
from datasets import load_dataset
from transformers import DataCollatorWithPadding

padding = DataCollatorWithPadding(tokenizer)
topics = lab.dataset("topics")
texts = load_dataset(topics, split="train", revision=topics.revision).select(range(256))
encoded = [dict(tokenizer(text)) for text in texts["text"]]
with lab.expect_error(RuntimeError, ValueError):
    next(iter(DataLoader(encoded, batch_size=4)))
batch = next(iter(DataLoader(encoded, batch_size=4, collate_fn=padding)))
{name: tuple(value.shape) for name, value in batch.items()}

# %% [markdown]
# Each batch is padded to its own longest text. Now put texts of similar length together with a `batch_sampler`. How
# much of what the model computes is padding then?

# %%
lengths = torch.tensor([len(row["input_ids"]) for row in encoded])
shuffled = torch.randperm(len(encoded), generator=torch.Generator().manual_seed(0))
orders = {"in random order": shuffled, "similar lengths together": lengths.argsort()}
share = {}
for name, order in orders.items():
    loader = DataLoader(encoded, batch_sampler=order.view(-1, 16).tolist(), collate_fn=padding)
    mask = torch.cat([batch["attention_mask"].flatten() for batch in loader]).float()
    share[name] = 100 * (1 - mask.mean().item())

# %%
axes = plt.figure(figsize=(6.4, 1.8)).subplots()
axes.barh(list(share), list(share.values()))
axes.set(xlabel="padding (% of all tokens)")
axes.set_title("Which texts share a batch decides how much is padding")
assert share["similar lengths together"] < share["in random order"]

# %% [markdown]
# The lower bar is the price of a random order. Shuffle the batches rather than sorting them all, or the model sees the
# short texts first.
#
# ### Exercise 8.9
# Write `collate(rows)`. Each row is a dict `{"input_ids": [ids], "label": number}`, with a list of any length of at
# least 1. Return a dict of three integer tensors (`torch.long`): `input_ids` `[rows, longest]`, filled with 0 behind
# the shorter ones, `attention_mask` of the same shape, 1 where there is a token and 0 where there is padding, and
# `labels` `[rows]`. For example, ids `[7, 8, 9]` with label 1 and `[5]` with label 0 give `input_ids`
# `[[7, 8, 9], [5, 0, 0]]`, a mask of `[[1, 1, 1], [1, 0, 0]]` and labels `[1, 0]`. The rows themselves stay as they
# are.

# %% tags=["exercise"]
def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """A list of {"input_ids": list, "label": int} becomes input_ids, attention_mask and labels, padded with 0."""
    # BEGIN SOLUTION
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        size = len(row["input_ids"])
        ids[place, :size] = torch.tensor(row["input_ids"])
        mask[place, :size] = 1
    labels = torch.tensor([row["label"] for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
    # END SOLUTION

# %% tags=["check"]
lab.check("8.9", collate)

# %% [markdown]
# `lab.hint("8.9")` helps.
#
# `num_workers` loads in other processes, while the model computes. Such a process must be able to *find* your dataset
# class. On Linux it is a copy of the notebook's process (`fork`) and finds it; on macOS and Windows it starts empty
# (`spawn`), gets the dataset as a pickle, and must import the class by its name. Before you run this: can an empty
# process find a class that you wrote in a notebook?

# %%
import pickle
import subprocess
import sys

class InTheNotebook(torch.utils.data.Dataset):
    pass

parcel = pickle.dumps(InTheNotebook())
print(parcel)
unpack = [sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)"]
print(subprocess.run(unpack, input=parcel, capture_output=True).stderr.decode().splitlines()[-1])

# %% [markdown]
# The pickle holds names only, and `__main__` is another program there. So write datasets for workers into a file and
# import it. This one takes 20 milliseconds for each example, and says which process loaded it.

# %%
import importlib
import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()
sys.path.insert(0, folder.name)

# %%
Path(folder.name, "slow_data.py").write_text("""
import os, time
class Slow:
    def __len__(self):
        return 24
    def __getitem__(self, index):
        time.sleep(0.02)
        return os.getpid()
""")
slow = importlib.import_module("slow_data").Slow()

# %%
import os
import time

for workers in (0, 2):
    loader = DataLoader(slow, batch_size=4, num_workers=workers, persistent_workers=workers > 0)
    for epoch in range(2):
        begin = time.perf_counter()
        processes = {process for batch in loader for process in batch.tolist()}
        seconds = time.perf_counter() - begin
        who = "the notebook's process" if processes == {os.getpid()} else f"{len(processes)} workers"
        print(f"num_workers={workers}, epoch {epoch}: {seconds:.2f} s, loaded by {who}")

# %% [markdown]
# Two workers wait in parallel. The first epoch includes the start of the processes; `persistent_workers=True` keeps
# them for the second. Workers pay when loading is slow: for tokens that are in memory already, their start costs more
# than they save.
#
# Each worker has a **copy** of the dataset. Here is one with a random generator of its own. Before you run this: what
# happens to the generator?

# %%
Path(folder.name, "noisy_data.py").write_text("""
import numpy, torch
class Noisy:
    own = numpy.random.default_rng(0)
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return round(self.own.random(), 3), round(torch.rand(()).item(), 3)
def reseed(worker):
    Noisy.own = numpy.random.default_rng(torch.utils.data.get_worker_info().seed)
""");

# %%
importlib.invalidate_caches()
noisy = importlib.import_module("noisy_data")
for options in ({}, {"worker_init_fn": noisy.reseed}):
    seeded = torch.Generator().manual_seed(0)
    loader = DataLoader(noisy.Noisy(), batch_size=2, num_workers=2, generator=seeded, **options)
    own, torchs = zip(*[(a.tolist(), b.tolist()) for a, b in loader])
    print("with worker_init_fn" if options else "as it is")
    print("   own generator:", *own, "\n   torch.rand:   ", *torchs)

# %% [markdown]
# Look at the first row of numbers: every pair comes twice, for both workers have the same generator in the same state.
# With random crops or masks, you would show the model each of them twice. PyTorch gives each worker its own seed for
# `torch.rand`, `random` and `numpy.random`, but it can't know of your own generator: `worker_init_fn` seeds it. And
# since the loader has a seeded generator, another run would give the same numbers.
#
# Two arguments remain. `timeout` ends the waiting for a worker that hangs. `pin_memory` puts batches into memory that a
# GPU can fetch directly.

# %%
with lab.expect_error(RuntimeError):
    next(iter(DataLoader(slow, batch_size=20, num_workers=1, timeout=0.1)))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    first = next(iter(DataLoader(torch.arange(8.0), batch_size=4, pin_memory=True)))
print("CUDA:", torch.cuda.is_available(), "  pinned:", first.is_pinned())
print(*[str(warning.message) for warning in caught])

# %% [markdown]
# Without a GPU pinning has no effect but a warning; write `pin_memory=torch.cuda.is_available()`. With one,
# `tensor.to("cuda", non_blocking=True)` need not wait for the copy.

# %% [markdown]
# ## 8.12 A batch is a dict
# <!-- T138 -->
# Training loops hold a puzzling line: `{k: v.to(device) for k, v in batch.items()}`. Before you run this: what are `k`
# and `v`?

# %%
batch = padding(encoded[:4])
for name, value in batch.items():
    print(f"{name!r:18} {type(value).__name__} {tuple(value.shape)} on {value.device}")

# %% [markdown]
# `k` is a name, `v` a tensor. Only tensors live on a device; a name is a piece of Python and can't be moved at all.
# `items()` gives the pairs, as a **view** on the dict, neither a list nor (as the notes say) an iterator:

# %%
plain = dict(batch)
pairs = plain.items()
before = len(pairs)
plain["extra"] = torch.ones(4)
print(before, "pairs, then", len(pairs), "in the same view")
with lab.expect_error(TypeError):
    next(pairs)

# %% [markdown]
# Now move. You may have no GPU; the device `meta` is always there (its tensors have a shape and no numbers), and
# behaves as a foreign device does. Before you run this: which of the two lines moves something?

# %%
ids = batch["input_ids"]
layer = nn.Linear(2, 2)
ids.to("meta")
layer.to("meta")
ids.device, layer.weight.device

# %% [markdown]
# The layer has moved, the tensor hasn't. `tensor.to` returns a **new** tensor, and you must keep it; `module.to`
# changes the module itself. That is why loops write `batch = {…}` but only `model.to(device)`. Forget it, and the two
# don't meet:

# %%
with lab.expect_error(RuntimeError, NotImplementedError):
    layer(torch.ones(1, 2)).sum().item()
moved = {name: value.to("meta") for name, value in batch.items()}
print({name: str(value.device) for name, value in moved.items()})
inputs = tokenizer(["one call for all"], return_tensors="pt").to(device)
inputs["input_ids"].device == bert.device

# %% [markdown]
# The tokenizer's own batch has a `to` that does the loop for you. If your batch also holds lists of texts, they have no
# `to`:

# %%
mixed = {"input_ids": ids, "text": ["a", "b", "c", "d"]}
with lab.expect_error(AttributeError):
    {name: value.to(device) for name, value in mixed.items()}
safe = {name: value.to(device) if torch.is_tensor(value) else value for name, value in mixed.items()}
{name: type(value).__name__ for name, value in safe.items()}

# %% [markdown]
# ## 8.13 Progress bars
# <!-- T139 -->
# `tqdm` wraps anything that you can loop over. `tqdm.auto` chooses between a widget in a notebook and a line of text in
# a terminal. Before you run this: will the bar stay when the loop has ended? (The notes say no.)

# %%
from tqdm.auto import tqdm

from tqdm.std import tqdm as text_bar

for _ in tqdm(range(40), desc="one bar", unit="batch"):
    time.sleep(0.005)
inspect.signature(text_bar.__init__).parameters["leave"]

# %% [markdown]
# It stays: `leave` is `True` if you say nothing. (On a static page the widgets are blank; `print` shows a bar as text.)
# In a training you nest two bars, the inner one with `leave=False`, and write the loss behind them with `set_postfix`:

# %%
net = small_net(0)
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
epochs = tqdm(range(3), desc="training")
for epoch in epochs:
    for _ in tqdm(range(50), desc=f"epoch {epoch}", leave=False):
        loss = train(net, optimizer, 1)[0]
    epochs.set_postfix(loss=f"{loss:.4f}", rate=optimizer.param_groups[0]["lr"])
print(epochs)

# %% [markdown]
# If you don't loop over the bar itself, give it a `total` and call `update`. That is what the notes do, and it is right
# when one bar counts the steps of all epochs. Each bar is also a line of text, which a page without a kernel can show:

# %%
bar = tqdm(total=100, initial=20, desc="resumed at 20", unit="step")
for size in (30, 30, 20):
    bar.update(size)
bar.close()
print(bar.n, "of", bar.total)
looks = {"prefix": "tokens", "unit": "tok", "unit_scale": True, "ncols": 76}
print(tqdm.format_meter(n=1_500_000, total=6_000_000, elapsed=30, **looks))
looks = {"prefix": "epoch 1", "postfix": "loss=0.42", "ncols": 76, "ascii": True}
print(tqdm.format_meter(n=3, total=12, elapsed=6, **looks))

# %% [markdown]
# Read the second line: done, total, elapsed time < time left, speed. Isn't it slow to draw a bar in each step? Before
# you run this: how often is a bar drawn in 200,000 steps?

# %%
import io

paper = io.StringIO()
for _ in text_bar(range(200_000), file=paper, ncols=60):
    pass
silent = io.StringIO()
list(text_bar(range(10), file=silent, disable=True))
drawn = paper.getvalue().count("\r")
assert drawn < 200 and silent.getvalue() == ""
print(f"{drawn} times")

# %% [markdown]
# A handful of times: at most once in `mininterval`, a tenth of a second. `disable=True` draws nothing, which suits log
# files. And inside a loop with a bar, print with `tqdm.write(…)`; a plain `print` in a terminal breaks the line of the
# bar.

# %% [markdown]
# ## What changed since the notes
#
# | the notes say | today | why |
# | --- | --- | --- |
# | `from transformers import AdamW` | `torch.optim.AdamW` | the library dropped its copy |
# | `AdamW(…, correct_bias=True)`, decay 0 by default | `torch.optim.AdamW(…)`, decay 0.01 by default | the correction is always on |
# | `get_scheduler("warmup_linear", …)` and seven more names | `get_scheduler("linear", …)`, see `SchedulerType` | those names don't exist |
# | `get_scheduler(…, num_cycles=3)` | `get_scheduler(…, scheduler_specific_kwargs={"num_cycles": 3})` | settings of one schedule travel in a dict |
# | `num_training_steps=epochs * len(x)` | the number of optimizer steps | the schedule counts its calls |
# | PyTorch has no warmup | `LinearLR` and `SequentialLR`, or `LambdaLR` | it has both |
# | `optimizer.get_lr()`, `set_lr()` | `optimizer.param_groups[0]["lr"]`, `scheduler.get_last_lr()` | optimizers never had them |
# | `zero_grad()` writes zeros | it sets `None`; `set_to_none=False` writes zeros | less memory |
# | `cross_entropy_loss()` | `F.cross_entropy(logits, labels)` | the function's name |
# | `torch.sum(w * x - y) ** 2 / n` | `((w * x - y) ** 2).mean()` | errors must not cancel |
# | `model.eval()` switches gradients off | `model.eval()` **and** `torch.inference_mode()` | two independent switches |
# | `v.cuda()` | `v.to(device)` | it runs without a GPU, too |
# | `super(ANN, self).__init__()` | `super().__init__()` | Python 3 |

# %%
parameter = nn.Parameter(torch.tensor([1.0]))
adamw = torch.optim.AdamW([parameter])
assert adamw.defaults["weight_decay"] == 0.01
get_scheduler("linear", adamw, num_warmup_steps=1, num_training_steps=10)
cycles = {"num_cycles": 3}
waves = get_scheduler("cosine_with_restarts", adamw, 1, 10, scheduler_specific_kwargs=cycles)
SequentialLR(fresh := fresh_optimizer(), [LinearLR(fresh), LinearLR(fresh)], milestones=[5])
torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: min(1.0, step / 5))
assert adamw.param_groups[0]["lr"] == waves.get_last_lr()[0] == 0.0
F.cross_entropy(logits, labels).shape, ((w * 3 - 1) ** 2).mean().shape

# %%
(parameter * 2).sum().backward()
adamw.zero_grad()
assert parameter.grad is None
(parameter * 2).sum().backward()
adamw.zero_grad(set_to_none=False)
assert parameter.grad.item() == 0
with torch.inference_mode():
    assert not bert.eval()(**inputs).last_hidden_state.requires_grad
{name: value.to(device).shape for name, value in inputs.items()}

# %% [markdown]
# And an old call, as it fails:

# %%
with lab.expect_error(TypeError):
    get_scheduler("cosine_with_restarts", adamw, 1, 10, num_cycles=3)

# %% [markdown]
# ## Quiz

# %%
lab.quiz("08")

# %% [markdown]
# ## Recap
# - A linear layer is `x @ A.T + b`; dropout zeroes and rescales; the cross-entropy takes logits: a few lines each,
#   equal to PyTorch's.
# - Gradient descent is stable up to $2/\lambda_{max}$; one per cent beyond, the error grows without end and becomes
#   `nan`.
# - `backward` adds into `.grad`, `zero_grad` empties it, `step` uses it; pieces of a batch are divided by the number of
#   all examples.
# - AdamW shrinks each weight by the same share in a step; in Adam with L2 a weight with large gradients escapes.
# - Schedules count optimizer steps and have names of their own; warmup keeps Adam's first, full-sized steps small.
# - `eval()` calms dropout and BatchNorm, `inference_mode()` drops the graph; a `DataLoader` takes its order, its
#   padding, its workers and their seeds from its arguments.
#
# Next: chapter 09, A training loop by hand, puts all of this to work on hotel reviews.
