# %% [markdown]
# # 08 PyTorch essentials
#
# You take one training step apart: layers, loss, gradient, optimizer, schedule and data, each in a few lines that you
# can break on purpose.
#
# | You will | Time | You need |
# | --- | --- | --- |
# | write a linear layer, dropout and the cross-entropy, and get PyTorch's own numbers | 130 minutes | chapter 00 |
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
# <!-- T130, T320 -->
# A layer is first made, and then called like a function. Before you run this: ten numbers go in, five come out. Which
# shape will `out` have, and which shape will the layer's own weight matrix have? (The imports in this cell serve the
# whole chapter. A section that needs more from above says so at its start.)

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

inputs = torch.rand(4, 6, 10)
fc = nn.Linear(10, 5)
out = fc(inputs)
torch.testing.assert_close(out, inputs @ fc.weight.T + fc.bias)
print("out:", [*out.shape], "  weight:", [*fc.weight.shape], "  bias:", [*fc.bias.shape])

# %% [markdown]
# Only the last dimension changes; the others are carried along. The matrix is stored as 5 × 10, output first, and that
# explains the transpose in the formula of the documentation, $y = xA^T + b$. The line with `assert_close` computes the
# formula by hand and compares each number: it is silent, so they agree.
#
# Why `fc(inputs)`, and not `fc.forward(inputs)`? Many tutorials answer: because the class has a `forward`, and a class
# can be called, as `int` can. Two things are mixed up there. Before you run this: here is a class with a `forward` and
# nothing else. Which can be called, the class or its instance?

# %%
class Plain:
    def forward(self, x):
        return x

plain = Plain()
for name, thing in (("int", int), ("Plain", Plain), ("plain", plain)):
    print(f"{name} can be called: {callable(thing)}")
with lab.expect_error(TypeError):
    plain(inputs)

# %% [markdown]
# Calling a **class** makes an instance: `int("3")`, `Plain()`, `nn.Linear(10, 5)`. Calling an **instance** works only
# if its class has a method `__call__`. `forward` alone does not do it; `nn.Module` brings the `__call__`. It does more
# than call `forward`. Before you run this: will the hook below run twice?

# %%
class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 5)

    def forward(self, x):
        return self.fc(x)

tiny, seen = Tiny(), []
tiny.register_forward_hook(lambda module, arguments, output: seen.append([*output.shape]))
tiny(inputs)
print("after tiny(inputs):        ", seen)
tiny.forward(inputs)
print("after tiny.forward(inputs):", seen)

# %% [markdown]
# Once. `__call__` runs the hooks around `forward`; whoever calls `forward` directly skips them.
#
# A layer that you assign to an attribute is **registered**. That is how `parameters()` finds it, and with it the
# optimizer. Before you run this: two layers stand in a list, of either kind. How many parameters does each model have?

# %%
class InAList(nn.Module):
    def __init__(self, box):
        super().__init__()
        self.layers = box([nn.Linear(10, 10), nn.Linear(10, 10)])

for box in (list, nn.ModuleList):
    model, out = InAList(box), inputs
    for layer in model.layers:
        out = layer(out)
    print(f"{box.__name__:10} {sum(parameter.numel() for parameter in model.parameters()):3} parameters")
with lab.expect_error(ValueError):
    torch.optim.SGD(InAList(list).parameters(), lr=0.1)

# %% [markdown]
# Both compute, and neither model warns you. The optimizer does, but only because it got nothing at all: with one more
# layer that is registered, it would train that one and leave the list alone. Use `nn.ModuleList` or `nn.ModuleDict`.
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
ones, drop = torch.ones(5, 12), nn.Dropout()  # p = 0.5
figure, panels = plt.subplots(1, 2, figsize=(9, 2.5), sharey=True)
for axes, training in zip(panels, (True, False)):
    picture = axes.imshow(drop.train(training)(ones), vmin=0, vmax=2)
    axes.set(title=f"drop.{'train' if training else 'eval'}()", xlabel="column", ylabel="row", yticks=range(5))
    axes.grid(False)
figure.colorbar(picture, ax=panels, label="value", ticks=[0, 1, 2])
for p in (0.1, 0.5, 0.9):
    many = nn.Dropout(p)(torch.ones(200_000))
    print(f"p = {p}: {(many == 0).float().mean():.0%} zeros, largest {many.max():.2f}, mean {many.mean():.2f}")

# %% [markdown]
# Look at the colours: in training mode there are zeros and **twos**, in evaluation mode nothing but ones. Why twos?
# What is kept is divided by $1 - p$. So the mean stays near 1 for each $p$, and the sum that the next layer receives
# stays the same on average.
#
# Activations bend: without them two linear layers would be one, $(xA)B = x(AB)$. Before you run this: which of the four
# can never give a negative number? And what will GELU say to integers?

# %%
grid = torch.linspace(-4, 4, 200)
axes = plt.figure(figsize=(6.4, 3)).subplots()
for activation in (nn.ReLU(), nn.GELU(), nn.Tanh(), nn.Sigmoid()):
    axes.plot(grid, activation(grid), label=type(activation).__name__)
axes.set(xlabel="input", ylabel="output", ylim=(-1.3, 3))
axes.set_title("Two stay small on both sides, two let large inputs pass")
axes.legend()
print(nn.ReLU()(torch.tensor([-1, 2, -3, 4])))
with lab.expect_error(NotImplementedError, RuntimeError):
    nn.GELU()(torch.tensor([-1, 2, -3, 4]))

# %% [markdown]
# ReLU and Sigmoid can't. GELU dips a little below zero, Tanh goes to −1. Keep in mind that a sigmoid can't give a
# negative number: it will spoil an experiment below. And ReLU takes integers, GELU refuses them: write your numbers as
# `-1.0`, not as `-1`.
#
# ### Exercise 8.2
# Write `dropout(x, p, training)`: in training each number of `x` becomes 0 with probability `p`, independently of the
# others, and is divided by `1 - p` otherwise. Not in training, the numbers stay as they are. Return a tensor of the
# same shape, and leave `x` as it is; `p` goes from 0 to 1, both included. For example,
# `dropout(torch.ones(4), 0.5, True)` may give `[2., 0., 0., 2.]`, and with `p=1` all are 0.

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
# <!-- T130, T320 -->
# A loss turns predictions and truth into one number. For classes it is the cross-entropy: the negative logarithm of the
# probability that the right class gets. Before you run this: which two steps does `nn.CrossEntropyLoss` do for you?

# %%
logits = torch.tensor([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]])  # [examples, classes]
labels = torch.tensor([0, 2])  # [examples], the right class of each
log_probabilities = nn.LogSoftmax(dim=-1)(logits)
by_hand = -(log_probabilities[0, 0] + log_probabilities[1, 2]) / 2
print(f"cross-entropy of the logits           {nn.CrossEntropyLoss()(logits, labels):.4f}")
print(f"NLLLoss of the log-probabilities      {nn.NLLLoss()(log_probabilities, labels):.4f}")
print(f"minus their mean at the right classes {by_hand:.4f}")

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
# Look at both ends of the orange curve. On the left the model is badly wrong and the curve is flat: no slope, so no
# gradient to learn from. On the right it stops near 0.31, however sure the model is. ($\log(1 + e^{-1})$: after softmax
# the lead is at most 1.)
#
# For numbers instead of classes there are others. Before you run this: five predictions are off by 0.1 up to 10. Which
# of the three losses will care most about the last one?

# %%
off = [0.1, 0.5, 1.0, 2.0, 10.0]
losses = {"MSELoss": nn.MSELoss, "L1Loss": nn.L1Loss, "SmoothL1Loss": nn.SmoothL1Loss}
rows = {name: kind(reduction="none")(torch.tensor(off), torch.zeros(5)).tolist() for name, kind in losses.items()}
pd.DataFrame(rows, index=off).T.round(3).rename_axis(columns="off by")

# %% [markdown]
# `MSELoss` squares: the 10 counts a hundred times as much as the 1. `L1Loss` takes the error as it is. `SmoothL1Loss`
# is half the square up to 1, and from there on a line, the error less a half: gentle with small errors, calm about
# outliers.
#
# Between the layers stand **norms**. Before you run this: over what does LayerNorm take its mean, and over what
# BatchNorm?

# %%
batch = torch.randn(8, 4) * torch.tensor([1.0, 5.0, 0.1, 2.0]) + torch.tensor([3.0, 0.0, -2.0, 1.0])
for norm in (nn.LayerNorm(4), nn.BatchNorm1d(4)):
    normed = norm(batch).detach()
    by_row, by_column = normed.mean(dim=1).abs().max().item(), normed.mean(dim=0).abs().max().item()
    print(f"{type(norm).__name__:12} largest mean of a row {by_row:.3f}, of a column {by_column:.3f}")

# %% [markdown]
# LayerNorm makes the mean of each **row** zero: one example at a time, whatever its neighbours are. BatchNorm, in
# training mode, makes the mean of each **column** zero, over the batch, so the answer for one example depends on the
# others.
#
# ### Exercise 8.3
# Write `cross_entropy_by_hand(logits, labels)`: `logits` is a float tensor `[examples, classes]`, `labels` an integer
# tensor `[examples]`. Return the mean cross-entropy as a tensor with no dimensions. Don't call a ready-made loss;
# `log_softmax` and `logsumexp` are fine. Logits may be as large as 1000, where `exp` is infinite; a label of −100 means
# "don't count this example", in the mean either. At least one example counts. For example, logits `[[0., 0.]]` with
# label `[1]` give `0.6931`, the logarithm of 2.

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
# `lab.hint("8.3")` helps. The −100 is no whim: `nn.CrossEntropyLoss` has it as its `ignore_index`, and the Hugging Face
# libraries mark with it the tokens that don't count.

# %% [markdown]
# ## 8.4 Downhill by hand, and over the edge
# <!-- T131 -->
# Many courses begin here: fit $\sin(x)$ at the points 0 … 19 with a weight for each point, $\hat y_i = w_i x_i$, and go
# downhill by hand. First the gradient. For the mean squared error over $n$ points,
#
# $$\frac{\partial}{\partial w_i}\,\frac1n\sum_i (w_i x_i - y_i)^2 = \frac2n\,(w_i x_i - y_i)\,x_i .$$
#
# It is the derivative with respect to $w$. (Some call it the one with respect to $x$.) The $2/n$ is often dropped: it
# only rescales the learning rate. Does PyTorch agree?

# %%
x = torch.arange(20.0)
y = torch.sin(x)
w = torch.rand(20, requires_grad=True)
start = w.detach().clone()
((w * x - y) ** 2).mean().backward()
by_hand = 2 / 20 * (start * x - y) * x
torch.testing.assert_close(w.grad, by_hand)
f"largest gradient {w.grad.abs().max():.3g}, largest difference {(w.grad - by_hand).abs().max():.1g}"

# %% [markdown]
# It does. Now the loop, 10,000 steps with a rate of $10^{-5}$. Before you run this: will all points be fitted equally
# well?

# %%
def descend(w, rate, steps):
    w, errors = w.clone(), []
    for _ in range(steps):
        errors.append(((w * x - y) ** 2).mean().item())  # before each step
        w -= rate * (w * x - y) * x
    return w, errors

fitted, errors = descend(start, rate=1e-5, steps=10_000)
figure, panels = plt.subplots(1, 2, figsize=(9, 3))
panels[0].semilogy(errors)
panels[0].set(xlabel="step", ylabel="mean squared error", title="The error falls")
panels[1].bar(range(20), (fitted * x - y).abs())
panels[1].set(xlabel="x", ylabel="|error| after 10,000 steps", title="But small x hardly learn", xticks=range(0, 20, 3));

# %% [markdown]
# Look at the right panel: from about $x = 8$ on the error has gone, and further left it is still there. (Not at
# $x = 0$: there $wx$ and the sine are both 0.) Each step multiplies the error of point $i$ by
# $1 - \text{rate}\cdot x_i^2$. At $x = 19$ that takes away 0.4 % a step, at $x = 1$ a thousandth of a per cent.
#
# Two remarks. Twenty weights for twenty points learn nothing about the sine: there is no weight for $x = 20$. And this
# is often called SGD, but all points are used in each step, so nothing is *stochastic*; it is plain **gradient
# descent**.
#
# Next, a rate of 20. Before you run this: what will the errors of the first 14 steps look like?

# %%
_, errors = descend(start, rate=20, steps=14)
print(" → ".join(f"{error:.0e}" for error in errors))

# %% [markdown]
# At $x = 19$ every step multiplies the error by about −7,000, and its square by fifty million. When a number no longer
# fits into 32 bits it becomes `inf`, and then $\infty - \infty$ is `nan`: not a number. It is often told as "the
# weights are small and the rate is large". What counts is neither alone: the step **overshoots**.
#
# Where is the edge? The error of point $i$ is multiplied by $1 - \text{rate}\cdot x_i^2$ each time. It shrinks as long
# as that factor lies between −1 and 1, that is, for a rate below $2/x_i^2$. The largest $x$ decides:
# $2/19^2 \approx 0.0055$. Before you run this: what happens one per cent below, and one per cent above?

# %%
import math

edge = 2 / x.max().item() ** 2
shares = [0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.01, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3]
final = [descend(start.double(), share * edge, steps=500)[1][-1] for share in shares]
axes = plt.figure(figsize=(6.4, 3)).subplots()
axes.semilogy(shares, final, "o-", markersize=4)
axes.axvline(1, color="#D55E00", linewidth=1)
axes.set(xlabel="learning rate, as a share of 2 / 19²", ylabel="error after 500 steps", ylim=(1e-6, 1e18))
axes.set_title("The edge is where the formula puts it")
assert max(final[:7]) < 1 < 100 < min(final[7:])
first = next(step for step, error in enumerate(descend(start, 1.01 * edge, 6_000)[1]) if math.isnan(error))
print(f"at 1.01 of the edge, nan from step {first}")

# %% [markdown]
# Left of the red line the error is small, right of it it grows (the picture cuts it off). One per cent of the rate
# makes the difference. At 1.01, too, it ends in `nan`, but after some thousand steps: each multiplies the square of the
# error by only about 1.04. A rate of 20 is there in a dozen.
#
# In general, near a minimum a loss looks like a bowl. The bowl has a curvature along each direction, the eigenvalues of
# the matrix of second derivatives (the **Hessian**), and the rule is: gradient descent is stable for rates below
# $2/\lambda_{max}$, with $\lambda_{max}$ the largest curvature. For $\hat y = Xw$ and the mean squared error the
# Hessian is $\frac2n X^TX$. Here is a bowl with two weights, ten times steeper across than along:

# %%
curvature = torch.tensor([1.0, 10.0])  # so the edge is at 2 / 10

def draw_bowl(share: float) -> None:
    path = torch.stack([(1 - share * (2 / 10) * curvature) ** step * torch.tensor([-9.0, 2.0]) for step in range(41)])
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
import ipywidgets as widgets

slider = widgets.FloatSlider(0.5, min=0.02, max=1.1, step=0.02, description="share", continuous_update=False)
widgets.interact(draw_bowl, share=slider);

# %% [markdown]
# (On a static page the slider does not answer; open the notebook.) A small rate creeps along the flat direction, a
# large one swings across the steep one. Forty steps bring the loss furthest down at about 0.9, a little below the edge:
# there both directions shrink by the same factor. One rate for all weights is a compromise, and Adam will give each
# weight its own.
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
# <!-- T132, T319 -->
# Now a network shall learn the sine as a function: one number in, one number out. A first try is a linear layer and a
# sigmoid. Before you run this: what is the lowest point that such a network can reach between −π and π?

# %%
import math

points = torch.linspace(-math.pi, math.pi, 40)[:, None]  # [40, 1]
targets = points.sin()

def small_net(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))

# %%
def train(model, optimizer, steps, scheduler=None, wanted=targets):
    """Training on all points at once; returns the loss before each step."""
    losses = []
    for _ in range(steps):
        loss = F.mse_loss(model(points), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    return losses

# %%
one_layer = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
train(one_layer, torch.optim.SGD(one_layer.parameters(), lr=1.0), 1_000)
hidden = small_net(0)
train(hidden, torch.optim.Adam(hidden.parameters(), lr=0.01), 500)
axes = plt.figure(figsize=(6.4, 3)).subplots()
axes.plot(points, targets, color="#888888", linewidth=5, alpha=0.5, label="sine")
axes.plot(points, one_layer(points).detach(), label="linear, sigmoid")
axes.plot(points, hidden(points).detach(), label="linear, tanh, linear")
axes.set(xlabel="x", ylabel="output", title="A sigmoid can't go below zero; a hidden layer can bend")
axes.legend();

# %% [markdown]
# Look at the left half: the first network stays at zero, for its last step is a sigmoid. A hidden layer with a bend in
# it, and a linear layer last, follows the curve.
#
# And yet many tutorials fit the sine with a linear layer and a sigmoid. Their $x$ lies between 0 and 1, where the sine
# is positive, and two rows of ten numbers go through a layer with 110 parameters. The optimizer is SGD with a rate of
# 20, fatal in section 8.4. "Replace SGD by Adam or AdamW, it works the same", goes the advice. Before you run the next
# two cells: does it, with the rate as it is? And will 500 new rows be fitted as well as the two?

# %%
def by_heart(kind, rate, steps=1_500):
    """Learn twenty numbers; returns the model, the numbers, and the longest move of a weight in the first step."""
    torch.manual_seed(0)
    x, model = torch.rand(20).view(2, -1), nn.Sequential(nn.Linear(10, 10), nn.Sigmoid())
    optimizer, before = kind(model.parameters(), lr=rate), model[0].weight.detach().clone()
    for step in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(x), x.sin()).backward()
        optimizer.step()
        if step == 0:
            moved = (model[0].weight.detach() - before).abs().max().item()
    return model, x, moved

# %%
trials = [(torch.optim.SGD, 20), (torch.optim.Adam, 20), (torch.optim.AdamW, 20), (torch.optim.Adam, 0.01)]
rows, x_new = {}, torch.rand(500, 10)
for kind, rate in trials:
    model, x_seen, moved = by_heart(kind, rate)
    answers = model(x_seen).detach()
    stuck = ((answers < 1e-6) | (answers > 1 - 1e-6)).float().mean().item()
    seen, unseen = F.mse_loss(answers, x_seen.sin()).item(), F.mse_loss(model(x_new).detach(), x_new.sin()).item()
    rows[f"{kind.__name__}, rate {rate:g}"] = [f"{seen:.0e}", f"{unseen:.3f}", f"{moved:.2f}", f"{stuck:.0%}"]
    assert (seen > 0.05) == (kind is not torch.optim.SGD and rate == 20) and unseen > x_new.sin().var()
print(f"answering the mean of the new rows each time: {x_new.sin().var():.3f}")
pd.DataFrame(rows, index=["error, seen", "error, new", "longest move in step 1", "answers at 0 or 1"]).T

# %% [markdown]
# It does not. SGD moves a weight by rate × gradient, and the gradients are small here, so 20 is a fair rate. Adam moves
# each weight by about the rate itself, whatever the gradient (section 8.8 shows why). One step of 20 throws the sigmoid
# to its ends; there it is flat, the gradient is nearly 0, and little brings it back. With 0.01 Adam learns the same
# twenty numbers. A rate is large or small only for a given loss **and** a given optimizer.
#
# And look at the second column: on new rows each of them is worse than a constant, also those with hardly an error on
# what they have seen. They know twenty numbers by heart. A small training error alone says nothing; ask for new data.
#
# Now back to the sine, each optimizer with a rate of its own, from the same five starts. Before you run this: which one
# will be last after 500 steps?

# %%
kinds = {torch.optim.SGD: (0.1, "#0072B2"), torch.optim.Adam: (0.01, "#E69F00"), torch.optim.AdamW: (0.01, "#009E73")}
axes, last = plt.figure(figsize=(7.2, 3.2)).subplots(), {}
for kind, (rate, colour) in kinds.items():
    nets = [small_net(seed) for seed in range(5)]
    runs = torch.tensor([train(net, kind(net.parameters(), lr=rate), 500) for net in nets])  # [5, 500]
    axes.semilogy(runs.T, color=colour, alpha=0.25, linewidth=1)
    axes.semilogy(runs.median(dim=0).values, color=colour, label=f"{kind.__name__}, rate {rate}")
    last[kind.__name__] = runs[:, -1].median().item()
axes.set(xlabel="step", ylabel="mean squared error")
axes.set_title(f"{max(last, key=last.get)} is last here")
axes.legend();

# %% [markdown]
# Thin lines are the five seeds, a thick line their median. The thin lines of one colour do not lie together: compare
# optimizers over several seeds, or you compare luck. With so little decay AdamW is close to Adam; section 8.8 shows
# where the two part. And the order holds for these rates: you have just seen what another rate does.

# %% [markdown]
# ## 8.6 One training step, slowly
# <!-- T135 -->
# (The second part uses `hidden`, `points` and `targets` of section 8.5.) A training step is: loss, `zero_grad`,
# `backward`, `step`. Before you run this: which of the three values below will know how it was made? And what does a
# second `backward()` do?

# %%
w = torch.tensor([1.0, 2.0], requires_grad=True)
loss = (w * torch.tensor([3.0, 4.0])).sum() ** 2  # 11 ** 2
for value in (loss, loss.detach(), loss.item()):
    print(f"{value!r:44}", type(value).__name__)
loss.backward()
print("w.grad:", w.grad.tolist())  # 2 * 11 * [3, 4]
with lab.expect_error(RuntimeError):
    loss.backward()
print("still there:", loss.grad_fn.name())

# %% [markdown]
# The loss has a `grad_fn`: it hangs on a graph of operations that leads back to `w`. `detach()` gives the same number
# as a tensor without the graph; `item()` gives a plain Python float. `backward()` walks the graph from the loss to the
# weights and writes their gradients into `.grad`. For that, the operations have kept some tensors. Afterwards these are
# let go, as the message says; the operations themselves stay.
#
# This matters for book-keeping. To average the loss over an epoch many people write `total += loss`, and are warned
# that memory runs full. The class below counts what graphs keep. Before you run the cell after it: in which of the
# three loops does that grow?

# %%
import weakref

class Kept:
    """A tensor that a graph keeps for its backward pass; `alive` holds those that no graph has let go yet."""
    alive = weakref.WeakSet()

    def __init__(self, tensor):
        self.tensor = tensor.detach()
        Kept.alive.add(self)

def kilobytes() -> float:
    storages = {kept.tensor.untyped_storage().data_ptr(): kept.tensor.untyped_storage().nbytes() for kept in Kept.alive}
    return sum(storages.values()) / 1000

# %%
axes = plt.figure(figsize=(6.8, 2.6)).subplots()
for label, trains, with_graph in (("train", True, True), ("evaluate", False, True), ("evaluate, item()", False, False)):
    total, curve = 0.0, []
    for _ in range(50):
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            loss = F.mse_loss(hidden(points), targets)
        loss.backward() if trains else None
        total += loss if with_graph else loss.item()
        curve.append(kilobytes())
    axes.plot(curve, label=label)
axes.set(xlabel="step", ylabel="kept by graphs (kB)")
axes.legend();

# %% [markdown]
# In a training loop `backward` has let the tensors go before the loss is added; what stays is a chain of bare
# operations. In an **evaluation** loop without `backward` each loss keeps its whole graph with all activations in it,
# and the line climbs until memory is full, far from the line that is to blame. `item()` stops it, and section 8.10 has
# what makes no graph at all. Use `item()` for a number, `detach()` for a tensor, and you need not think about it.
#
# Next, `zero_grad`. Before you run this: what stands in `.grad` after two backward passes?

# %%
torch.manual_seed(0)
model, data, truth = nn.Linear(3, 1), torch.randn(12, 3), torch.randn(12, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(2):
    F.mse_loss(model(data), truth).backward()
    print(model.weight.grad)
optimizer.zero_grad()
print("after zero_grad:", model.weight.grad)

# %% [markdown]
# The second is twice the first: gradients add up. That is why `zero_grad` belongs in every step. Its name promises
# zeros; today it sets `.grad` to `None`, which holds no memory (`zero_grad(set_to_none=False)` writes zeros).
#
# Adding up is also useful: if a batch is too large for your memory, feed it in pieces, and step once. That is
# **gradient accumulation**. Three ways to do it: add the pieces' losses as they are, divide each by the number of
# pieces, or take sums and divide them by the number of all examples. Before you run this: which is right for pieces
# of 4? And for pieces of 5?

# %%
def gradient(size, way):
    """The weight's gradient after a backward pass for each piece of `size` of the 12 examples."""
    pieces = list(zip(data.split(size), truth.split(size)))
    model.zero_grad()
    for part, wanted in pieces:
        if way == "sums / examples":
            loss = F.mse_loss(model(part), wanted, reduction="sum") / len(data)
        else:
            loss = F.mse_loss(model(part), wanted) / (len(pieces) if way == "means / pieces" else 1)
        loss.backward()
    return model.weight.grad.clone()

# %%
whole, ways = gradient(12, "means"), ("means", "means / pieces", "sums / examples")
off = {size: [(gradient(size, way) - whole).abs().max().item() for way in ways] for size in (12, 6, 4, 3, 8, 5)}
assert all(row[2] < 1e-5 for row in off.values())
pd.DataFrame(off, index=ways).T.round(4).rename_axis("examples in a piece")

# %% [markdown]
# The table shows how far each gradient is from that of all twelve at once. Undivided means are wrong as soon as there
# are two pieces: the gradient is too large, and with SGD that makes the step too long. Divided by the number of pieces,
# they are right as long as the pieces are equal. With 8 and 4, or with 5, 5 and 2, the examples of the short piece
# count more than the others. Only the last column is right throughout: divide each **sum** by the number of all
# examples. (With texts of different lengths, count tokens in the same way.)
#
# ### Exercise 8.5
# Write `accumulate(model, optimizer, batches, group)`. `batches` is a list of pairs `(x, y)`, `x` of shape
# `[examples, in]` and `y` of shape `[examples, out]`; the number of examples may differ from batch to batch. For every
# `group` batches take **one** optimizer step, with the gradient of the mean of the squared errors over all numbers in
# the group; the last group may have fewer batches. Return how many steps you took; no batches, no step. For example,
# five batches with `group=2` make three steps. The gradient of an earlier call must not leak in.

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

# %% [markdown]
# ## 8.7 What an optimizer keeps
# <!-- T135 -->
# (Uses the first two cells of section 8.5.) You want another learning rate in the middle of a training. Many lists
# of an optimizer's methods name `get_lr()` and `set_lr()`. Before you run this: how many of PyTorch's optimizers have
# them?

# %%
kinds = [kind for kind in vars(torch.optim).values() if isinstance(kind, type)]
print(f"{sum(hasattr(kind, 'get_lr') or hasattr(kind, 'set_lr') for kind in kinds)} of {len(kinds)} classes")
net = small_net(0)
adam = torch.optim.Adam(net.parameters(), lr=0.01)
with lab.expect_error(AttributeError):
    adam.set_lr(0.001)
adam.param_groups[0]["lr"] = 0.001  # read it, write it
methods = [name for name in dir(adam) if name[0].islower() and callable(getattr(adam, name))]
print("it has:", *[name for name in methods if "hook" not in name])

# %% [markdown]
# None. The rate lives in `param_groups`, a list of dicts: which parameters, and with which settings. You may write
# there. (A *scheduler* has `get_last_lr()`.) With several groups you give each part of a model its own rate. Here the
# encoder learns slowly and a new head fast:

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
net = small_net(0)
adam = torch.optim.Adam(net.parameters(), lr=0.05)
train(net, adam, 100)
held = sum(value.numel() for state in adam.state.values() for value in state.values())
print(f"{sum(weight.numel() for weight in net.parameters())} weights, {held} numbers in the optimizer,", end=" ")
print("for the first tensor:", {name: [*value.shape] for name, value in adam.state[net[0].weight].items()})
print("what you would save:", list(adam.state_dict()))

# %% [markdown]
# Two for each weight, the running means of the gradient and of its square (and a step count for each tensor).
# `state_dict()` hands this memory over, and `load_state_dict()` puts it into a new optimizer: without it a resumed
# training goes another way, as chapter 09 shows with a whole checkpoint.
#
# One more thing about `step`. Some optimizers want to compute the loss several times in one step, and so ask for a
# function that does. Before you run this: how many steps will this one need for a loss below 0.001?

# %%
net, calls = small_net(0), []
lbfgs = torch.optim.LBFGS(net.parameters(), line_search_fn="strong_wolfe")

def closure():
    calls.append(1)
    lbfgs.zero_grad()
    loss = F.mse_loss(net(points), targets)
    loss.backward()
    return loss

print("the loss before each step:", *[f"{lbfgs.step(closure).item():.5f}" for _ in range(4)])
print(len(calls), "calls of closure")

# %% [markdown]
# Few steps, but each of them calls `closure` many times.

# %% [markdown]
# ## 8.8 Weight decay: AdamW is not Adam with L2
# <!-- T134, T320 -->
# To keep weights small you can add $\frac\lambda2 w^2$ to the loss (**L2**), or shrink each weight a little in every
# step (**weight decay**). Some tutorials say that AdamW decays "when the gradient is computed, like L2 regularisation".
# Others say that the two are the same for SGD only. Both can't be right. Before you run this: in which rows will the
# two columns be equal?

# %%
def final(kind, decay, l2):
    """Fifty steps on a bowl with its minimum at 2, steeper for each weight; returns the weights."""
    w = nn.Parameter(torch.ones(3))
    optimizer = kind([w], lr=0.01, weight_decay=decay)
    for _ in range(50):
        loss = (torch.tensor([0.1, 1.0, 10.0]) * (w - 2) ** 2).sum() + l2 / 2 * (w**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return w.detach()

# %%
rows = {}
for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
    argument, in_the_loss = final(kind, decay=0.5, l2=0.0), final(kind, decay=0.0, l2=0.5)
    texts = ["  ".join(f"{value:.3f}" for value in weights) for weights in (argument, in_the_loss)]
    rows[kind.__name__] = [*texts, torch.allclose(argument, in_the_loss, atol=0.002)]
assert [row[-1] for row in rows.values()] == [True, True, False]
pd.DataFrame(rows, index=["weight_decay=0.5", "L2 in the loss", "equal"]).T

# %% [markdown]
# For SGD the argument `weight_decay` and L2 are the same thing. For `Adam` too: there the argument *is* L2. For `AdamW`
# they differ: its decay goes past the gradient, straight to the weight. That is called **decoupled** (Loshchilov and
# Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019). So the first sentence describes Adam, not AdamW.
#
# Why does it matter? Adam divides the gradient by its usual size, and an L2 term inside the gradient is divided with
# it. Take weights with no task at all, only noise for a gradient: small noise for some, large for others. Before you
# run this: which weights will Adam with L2 shrink least?

# %%
noise = torch.tensor([0.01, 0.1, 1.0, 10.0])[:, None]  # the size of the gradients, one row each
figure, panels = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
for axes, kind in zip(panels, (torch.optim.Adam, torch.optim.AdamW)):
    w = nn.Parameter(torch.ones(4, 200))
    optimizer, means = kind([w], lr=2.5e-3, weight_decay=1.0), []
    for _ in range(400):
        means.append(w.detach().mean(dim=1))
        w.grad = noise * torch.randn(4, 200)
        optimizer.step()
    axes.plot(torch.stack(means), label=[f"gradients of about {size:g}" for size in noise.flatten().tolist()])
    axes.set(xlabel="step", ylabel="mean weight", title=f"{kind.__name__}(weight_decay=1.0)")
panels[0].legend(fontsize=9);

# %% [markdown]
# Look left: the weights with the largest gradients are hardly decayed, those with small gradients fast. On the right
# four curves lie on one another: each weight loses the same share in each step, `lr * weight_decay`.
#
# A word on names. `transformers` once had an AdamW of its own; PyTorch's is the one to take, and many lists of its
# arguments mix the two. Before you run this: does PyTorch's know `correct_bias`, or `amsgrad_correct_bias`? And how
# much does it decay if you say nothing?

# %%
import inspect

import transformers

with lab.expect_error(AttributeError, ImportError):
    transformers.AdamW
for name in ("correct_bias", "amsgrad_correct_bias"):
    with lab.expect_error(TypeError):
        torch.optim.AdamW([nn.Parameter(torch.zeros(1))], **{name: True})
for kind in (torch.optim.Adam, torch.optim.AdamW):
    print(kind.__name__, "decays by", inspect.signature(kind).parameters["weight_decay"].default)

# %% [markdown]
# PyTorch does the bias correction without being asked. What it is for: the running means begin at zero, and would be
# far too small at first. With it, Adam's first step has a remarkable size. Before you run this: three gradients, from
# tiny to huge. How far does each weight go?

# %%
w = nn.Parameter(torch.zeros(3))
w.grad = torch.tensor([0.001, 1.0, -1000.0])
adam = torch.optim.Adam([w], lr=0.01)
adam.step()
print("running mean:", [float(f"{value:.3g}") for value in adam.state[w]["exp_avg"]])
print("weights:     ", [round(value, 4) for value in w.tolist()])

# %% [markdown]
# The running mean is a tenth of each gradient: too small, and corrected. Each weight moves by the learning rate: only
# the sign counts. Keep this for the next section.
#
# `amsgrad=True` is an argument that does exist. It keeps the largest running mean of the squares so far, and divides by
# that. Before you run this: one outlier of 1000 comes first, then gradients of 1. How long will each variant remember
# the outlier?

# %%
moves = {}
for amsgrad in (False, True):
    w = nn.Parameter(torch.zeros(1))
    optimizer, moves[amsgrad] = torch.optim.AdamW([w], lr=0.01, betas=(0.9, 0.99), amsgrad=amsgrad), []
    for step in range(1_500):
        w.grad = torch.tensor([1000.0 if step == 0 else 1.0])
        before = w.item()
        optimizer.step()
        moves[amsgrad].append(before - w.item())
at = [0, 10, 100, 1_000, 1_499]
pd.DataFrame({f"amsgrad={name}": [run[step] for step in at] for name, run in moves.items()}, index=at).T.round(4)

# %% [markdown]
# The table shows how far the weight moves in these steps. Plain AdamW forgets: after a thousand steps it moves by most
# of the rate again. With `amsgrad` the outlier slows down the later steps, too.
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
# `lab.hint("8.6")` helps. Should everything be decayed? With one group it is, biases and all. In practice one leaves
# out the biases and the scales of the norms: they are few, and nothing says that they should be near zero.
#
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
# <!-- T133, T320 -->
# (The last part uses the first two cells of section 8.5.) The learning rate need not stay as it is.
# `StepLR` is often called linear. Before you look: what will its curve look like, from 0.1 with `step_size=30` and
# `gamma=0.1`? And can PyTorch alone make a warmup, a line up before the line down?

# %%
from transformers import SchedulerType, get_scheduler

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
from torch.optim.lr_scheduler import LinearLR, SequentialLR, StepLR

stairs, by_library, by_torch = (fresh_optimizer() for _ in range(3))
two_lines = [LinearLR(by_torch, 1e-6, 1.0, total_iters=20), LinearLR(by_torch, 1.0, 0.0, total_iters=80)]
schedules = {"StepLR(step_size=30, gamma=0.1)": (stairs, StepLR(stairs, step_size=30, gamma=0.1))}
schedules['get_scheduler("linear"), 20 steps of warmup'] = (by_library, get_scheduler("linear", by_library, 20, 100))
schedules["SequentialLR of two LinearLR"] = (by_torch, SequentialLR(by_torch, two_lines, milestones=[20]))
axes = plt.figure(figsize=(6.8, 2.8)).subplots()
for (label, given), style in zip(schedules.items(), ("-", "-", ":")):
    axes.plot(rates(*given, 100), style, drawstyle="steps-post", linewidth=2, label=label)
axes.set(xlabel="step", ylabel="learning rate")
axes.legend(fontsize=9);

# %% [markdown]
# A staircase: on each stair a tenth of the one before. The line that goes up first has a **warmup**, and the dotted
# one, chained from two schedules of PyTorch's own, lies on it. The library's call is shorter. It takes a name, and
# these eight are in circulation. Before you run this: how many of them exist?

# %%
found_in_tutorials = [
    "constant_schedule", "warmup_constant", "constant_schedule_with_warmup", "warmup_linear",
    "warmup_cosine", "warmup_cosine_with_hard_restarts", "polynomial_decay", "linear_schedule_with_warmup",
]
today = [kind.value for kind in SchedulerType]
print(f"{sum(name in today for name in found_in_tutorials)} of {len(found_in_tutorials)} exist")
with lab.expect_error(ValueError):
    get_scheduler("warmup_linear", fresh_optimizer(), num_warmup_steps=20, num_training_steps=100)

# %% [markdown]
# None. (They look like a mixture of function names, such as `get_linear_schedule_with_warmup`, and of an older
# library's.) The message lists the real ones, and `SchedulerType` is where they live. Here are all of them, with a
# warmup of 20 steps. Some follow the loss instead of the step: for these, the loss below falls until step 40 and then
# stays.

# %%
follow_the_loss = ("reduce_lr_on_plateau", "greedy")
least = {"min_lr_rate": 0.3}
extra = {"cosine_with_restarts": {"num_cycles": 3}, "polynomial": {"power": 2.0}, "cosine_with_min_lr": least}
extra |= {"cosine_warmup_with_min_lr": least | {"warmup_lr_rate": 0.5}, "warmup_stable_decay": {"num_decay_steps": 30}}

def curve(name, steps=100):
    optimizer, seen = fresh_optimizer(), []
    scheduler = get_scheduler(name, optimizer, 20, steps, scheduler_specific_kwargs=extra.get(name))
    for step in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(max(1 - step / 40, 0.0)) if name in follow_the_loss else scheduler.step()
    return seen

# %%
figure, panels = plt.subplots(math.ceil(len(today) / 4), 4, figsize=(10, 5.4), sharex=True)
for axes, name in zip(panels.flat, today):
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
# `constant` ignores the warmup that it is given, and so do the orange ones. `constant_with_warmup` is constant *after*
# the warmup. And `polynomial` is bent here because of `power=2`.
#
# The settings of one schedule travel in a dict, `scheduler_specific_kwargs`. Their names, too, are often told wrong.
# Before you run this: which of the six exist?

# %%
told = [("polynomial", "end_learning_rate"), ("polynomial", "num_decay_steps"), ("cosine_with_restarts", "cycle_limit"),
        ("cosine_with_restarts", "first_cycle_steps"), ("linear", "warmup_ratio"), ("polynomial", "lr_end")]
for name, setting in told:
    try:
        get_scheduler(name, fresh_optimizer(), 20, 100, scheduler_specific_kwargs={setting: 0.01})
        print(f"{name}: {setting} is right")
    except TypeError as error:
        print(f"{name}: {str(error).partition('() ')[2]}")
optimizer, right = fresh_optimizer(), {"lr_end": 0.01, "power": 2.0}
scheduler = get_scheduler("polynomial", optimizer, 20, 100, scheduler_specific_kwargs=right)
f"the polynomial ends at {rates(optimizer, scheduler, 101)[-1]:.2f}"

# %% [markdown]
# Only the last: a polynomial ends at `lr_end`, and `power` bends it. (`num_decay_steps` exists, but for
# `warmup_stable_decay`; a share of warmup steps you compute yourself.)
#
# How many steps do you plan? Some examples count `epochs * len(x)` where one step takes all of `x`, and some call
# `scheduler.step()` once an epoch but plan in batches. Before you run this: where does the rate end each time?

# %%
plans = {"right": (100, 100), "planned twice": (200, 100), "stepped once an epoch": (100, 10)}
for plan, (planned, taken) in plans.items():
    optimizer = fresh_optimizer()
    seen = rates(optimizer, get_scheduler("linear", optimizer, 20, planned), taken)
    print(f"{plan:22} last rate {seen[-1]:.4f}, largest {max(seen):.4f}")

# %% [markdown]
# Planned twice, it ends with more than half of the rate; stepped once an epoch, it never leaves the warmup. Such a
# schedule only counts its calls: plan **optimizer steps**, and call `scheduler.step()` once after each
# `optimizer.step()`.
#
# What is warmup good for? You know Adam's first step: every weight moves by the full rate, and only the sign of its
# gradient counts. In a network that already knows something, that is a kick. Take one that fits the sine, and ask it
# for a curve 0.3 higher. Before you run this: what will the loss do in the first ten steps, at three rates?

# %%
import copy

fitted_net, raised = small_net(1), targets + 0.3
train(fitted_net, torch.optim.Adam(fitted_net.parameters(), lr=0.01), 600)

def fine_tune(rate, warmup):
    """The loss on the raised curve before each of 60 steps, with so many steps of warmup."""
    net = copy.deepcopy(fitted_net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    schedule = get_scheduler("constant_with_warmup", optimizer, num_warmup_steps=warmup)
    return train(net, optimizer, 60, schedule, wanted=raised)

# %%
figure, panels = plt.subplots(1, 3, figsize=(10, 2.8), sharey=True)
for axes, rate in zip(panels, (0.01, 0.03, 0.1)):
    kicked, warmed = fine_tune(rate, 0), fine_tune(rate, 20)
    axes.semilogy(kicked, label="no warmup")
    axes.semilogy(warmed, label="20 steps of warmup")
    axes.axhline(kicked[0], color="#888888", linewidth=1)
    axes.set(xlabel="step", title=f"rate {rate}: peak {max(kicked) / kicked[0]:.1f} times its start")
panels[0].set_ylabel("mean squared error")
panels[0].legend(fontsize=9)
assert max(kicked) > 5 * max(warmed)

# %% [markdown]
# The grey line is the loss before the first step; the titles are about the blue curves. At 0.1 the first steps without
# warmup make the loss many times worse: the network has lost the sine, and must learn it again. With warmup the first
# steps are small while Adam's running means fill up; the loss falls first, and the swing at the full rate is far
# smaller. At 0.01 there is nothing to cure. So warmup is what makes a large rate bearable; whether you need the large
# rate is another question.
#
# ### Exercise 8.8
# `LambdaLR` takes a function from the step to a **factor**, by which the optimizer's rate is multiplied. Write
# `warmup_factor(step, warmup, total)`, the factor of the schedule `"linear"`: from 0 up to 1 over `warmup` steps, then
# down to 0 at `total`, and 0 from there on. `warmup` goes from 0 to `total`; if the two are equal, there is no way
# down, and the factor at `total` is 0. Return a float. For example, with `warmup=10` and `total=110`: step 5 gives 0.5,
# step 10 gives 1.0, step 60 gives 0.5.

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
# <!-- T136, T320 -->
# (Uses `bert` and `tokenizer` of section 8.7, and `Kept` of section 8.6.) Many tutorials say that `model.eval()`
# switches the computation of gradients off and saves memory. Some say in one breath that it changes what dropout does,
# and that it keeps the model's behaviour as it was in training. Before you run this: after `eval()`, does the output
# still carry a graph, and can you train?

# %%
device = lab.device()
reviews = ["The room was clean.", "Never again."] * 8
batch = tokenizer(reviews, padding=True, return_tensors="pt").to(device)
bert.eval()
summary = bert(**batch).last_hidden_state[:, 0]  # [16, 384]
summary.mean().backward()
touched = sum(parameter.grad is not None for parameter in bert.parameters())
assert touched > 90
bert.zero_grad()
print(f"requires_grad: {summary.requires_grad}; {touched} tensors got a gradient in eval mode")

# %% [markdown]
# Everything is there. `eval()` sets one flag, `training = False`, on each module; dropout and BatchNorm look at it.
# Before you run this: how different are two forward passes of one batch, in either mode? And does BatchNorm do
# something random in training?

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
# In `train` mode the same text gets another answer each time, also under `no_grad`: the two modes behave differently,
# and that is what they are for. BatchNorm gives the same answer twice in training; in evaluation it takes the running
# means that it has collected instead of the batch's own.
#
# What saves memory is `inference_mode` (or `no_grad`). Count the bytes that a forward pass keeps for a backward pass,
# in each of the four combinations. Before you look: which bars will be zero?

# %%
from contextlib import nullcontext

def kept_for_backward(training, context):
    """Megabytes that one forward pass keeps, without the weights."""
    weights = {parameter.data_ptr() for parameter in bert.parameters()}
    Kept.alive.clear()
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor), context:
        held = bert.train(training)(**batch)  # as long as we hold it, its graph lives
    storages = [kept.tensor.untyped_storage() for kept in Kept.alive]
    return sum({one.data_ptr(): one.nbytes() for one in storages if one.data_ptr() not in weights}.values()) / 1e6

# %%
modes = {"train()": (True, nullcontext()), "eval()": (False, nullcontext())}
modes["train() + inference_mode"] = (True, torch.inference_mode())
modes["eval() + inference_mode"] = (False, torch.inference_mode())
memory = {name: kept_for_backward(*settings) for name, settings in modes.items()}
bert.eval()
axes = plt.figure(figsize=(6.8, 2.2)).subplots()
axes.barh(list(memory)[::-1], list(memory.values())[::-1])
axes.set(xlabel="kept for the backward pass (MB)")
axes.set_title(f"eval() alone still keeps {memory['eval()'] / memory['train()']:.0%}; inference_mode keeps nothing")
assert memory["eval()"] > 0.2 * memory["train()"] and memory["eval() + inference_mode"] == 0

# %% [markdown]
# `eval()` alone saves what dropout needs, and keeps the rest. The two switches are independent, and for predictions you
# want both: `eval()` for an answer that does not change, `inference_mode()` for memory. Don't forget `train()` before
# you go on training.
#
# `no_grad` and `inference_mode` differ in one point that you will meet. Before you run this: what may a tensor made in
# either do in a training later, be added, be multiplied?

# %%
weight = torch.ones(2, requires_grad=True)
with torch.no_grad():
    gentle = torch.ones(2) * 3
(weight * gentle + gentle).sum().backward()
with torch.inference_mode():
    strict = torch.ones(2) * 3
(weight + strict).sum().backward()
with lab.expect_error(RuntimeError):
    (weight * strict).sum().backward()
(weight * strict.clone()).sum().backward()

# %% [markdown]
# The sum works: its gradient needs no number of `strict`. The product would have to keep `strict` for the backward
# pass, and tensors made in inference mode can't be kept. A `clone()` made outside can.

# %% [markdown]
# ## 8.11 The DataLoader, one argument at a time
# <!-- T137 -->
# (The part on `collate_fn` uses `tokenizer` of section 8.7.) A `DataLoader` makes batches of anything that has a length
# and an index. Here it is the numbers 0 to 9. Before you run this: how large is the last batch, what does `drop_last`
# do with it, and can a `sampler`, which says which examples come, go together with `shuffle`?

# %%
from torch.utils.data import DataLoader, WeightedRandomSampler

def batches(**options):
    return [batch.tolist() for batch in DataLoader(range(10), **options)]

sampler = WeightedRandomSampler([1.0] * 8 + [4.0] * 2, 10, generator=torch.Generator().manual_seed(0))
print("batch_size=4:  ", batches(batch_size=4))
print("and drop_last: ", batches(batch_size=4, drop_last=True))
print("sampler:       ", batches(batch_size=5, sampler=sampler))
print("batch_sampler: ", batches(batch_sampler=[[0, 9], [1, 2, 3], [8]]))
with lab.expect_error(ValueError):
    batches(sampler=sampler, shuffle=True)

# %% [markdown]
# In each draw 8 and 9 are four times as likely as any of the others, and nothing keeps an example from coming twice. A
# `batch_sampler` goes further and says which examples stand together; chapter 09 puts texts of similar length together
# with it.
#
# `shuffle=True` makes a new order in each epoch. To get the same orders in another run, give the loader a `generator`.
# Before you run this: which lines will be equal?

# %%
for run in range(2):
    seeded = torch.Generator().manual_seed(7)
    loader = DataLoader(range(10), batch_size=5, shuffle=True, generator=seeded)
    for epoch in range(2):
        print(f"run {run}, epoch {epoch}:", [batch.tolist() for batch in loader])

# %% [markdown]
# The epochs differ, the runs agree. `collate_fn` makes one batch of a list of examples. The default one stacks, and
# texts have different lengths. Before you run this: what will the default do with them?

# %%
from transformers import DataCollatorWithPadding

padding = DataCollatorWithPadding(tokenizer)
sentences = ["Never again.", "The room was clean, and the bed was too.", "Good.", "We would come back in winter."]
encoded = [dict(tokenizer(text)) for text in sentences]
with lab.expect_error(RuntimeError, ValueError):
    next(iter(DataLoader(encoded, batch_size=4)))
batch = next(iter(DataLoader(encoded, batch_size=4, collate_fn=padding)))
print({name: [*value.shape] for name, value in batch.items()})

# %% [markdown]
# It gives up; `DataCollatorWithPadding` pads to the longest text of the batch.
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
# class. Where a worker is a copy of the notebook's process (`fork`), it has the class. Otherwise (`spawn` on macOS and
# Windows, `forkserver` on Linux from Python 3.14 on) it gets the dataset as a pickle, and must import the class by its
# name. Before you run this: can another process find a class that you wrote in a notebook?

# %%
import importlib
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

class InTheNotebook(torch.utils.data.Dataset):
    pass

print("here a worker starts by", torch.multiprocessing.get_start_method())
parcel = pickle.dumps(InTheNotebook())
unpack = [sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)"]
print(subprocess.run(unpack, input=parcel, capture_output=True).stderr.decode().splitlines()[-1])

# %% [markdown]
# It can't: the pickle holds the name of the class, not its code, and `__main__` is another program there. So write
# datasets for workers into a file and import it. This one takes 40 milliseconds for each example, says which process
# loaded it, and has a random generator of its own.

# %%
folder = tempfile.TemporaryDirectory()
sys.path.insert(0, folder.name)
Path(folder.name, "my_rows.py").write_text("""import numpy, os, time, torch
class Rows:
    own = numpy.random.default_rng(0)
    def __len__(self): return 12
    def __getitem__(self, index):
        time.sleep(0.04)
        return os.getpid(), round(self.own.random(), 3), round(torch.rand(()).item(), 3)
def reseed(worker): Rows.own = numpy.random.default_rng(torch.utils.data.get_worker_info().seed)
""")
my_rows = importlib.import_module("my_rows")

# %% [markdown]
# Go through it twice, without workers and with two. Before you run this: which epoch is the fastest?

# %%
import os
import time

for workers in (0, 2):
    loader = DataLoader(my_rows.Rows(), batch_size=2, num_workers=workers, persistent_workers=workers > 0)
    for epoch in range(2):
        begin = time.perf_counter()
        processes = {process for batch in loader for process in batch[0].tolist()}
        seconds = time.perf_counter() - begin
        who = "the notebook's process" if processes == {os.getpid()} else f"{len(processes)} workers"
        print(f"num_workers={workers}, epoch {epoch}: {seconds:.2f} s, loaded by {who}")

# %% [markdown]
# Two workers wait in parallel. The first epoch includes the start of the processes; `persistent_workers=True` keeps
# them for the second. Workers pay when loading is slow, as here.
#
# Each worker has a **copy** of the dataset. Before you run this: what happens to the generator in it?

# %%
for options in ({}, {"worker_init_fn": my_rows.reseed}):
    seeded = torch.Generator().manual_seed(0)
    loader = DataLoader(my_rows.Rows(), batch_size=2, num_workers=2, generator=seeded, **options)
    own, torchs = zip(*[(a.tolist(), b.tolist()) for _, a, b in loader])
    print("with worker_init_fn" if options else "as it is")
    print("   own generator:", *own, "\n   torch.rand:   ", *torchs)

# %% [markdown]
# Look at the first row of numbers: every pair comes twice, for both workers have the same generator in the same state.
# With random crops or masks, you would show the model each of them twice. PyTorch gives each worker its own seed for
# `torch.rand`, but it can't know of your own generator: `worker_init_fn` seeds it.
#
# Two arguments remain. `timeout` ends the waiting for a worker that hangs. `pin_memory` puts batches into memory that a
# GPU can fetch directly.

# %%
import warnings

with lab.expect_error(RuntimeError):
    next(iter(DataLoader(my_rows.Rows(), batch_size=12, num_workers=1, timeout=0.1)))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    first = next(iter(DataLoader(torch.arange(8.0), batch_size=4, pin_memory=True)))
print("CUDA:", torch.cuda.is_available(), "  pinned:", first.is_pinned())
print(*[str(warning.message) for warning in caught])

# %% [markdown]
# Without a GPU pinning has no effect but a warning; write `pin_memory=torch.cuda.is_available()`.

# %% [markdown]
# ## 8.12 A batch is a dict
# <!-- T138 -->
# (Uses `batch` and `sentences` of section 8.11, and `tokenizer` of 8.7.) Training loops hold a puzzling line:
# `{k: v.to(device) for k, v in batch.items()}`. Before you run this: what are `k` and `v`? And is `items()` a list, an
# iterator, or something else?

# %%
plain = dict(batch)
for name, value in plain.items():
    print(f"{name!r:18} {type(value).__name__} {[*value.shape]} on {value.device}")
pairs = plain.items()
before = len(pairs)
plain["text"] = sentences
print(before, "pairs, then", len(pairs), "in the same", type(pairs).__name__)
with lab.expect_error(TypeError):
    next(pairs)

# %% [markdown]
# `k` is a name, `v` a tensor. Only tensors live on a device; a name is a piece of Python and has no `to`. `items()` is
# a **view** on the dict: it sees the pair that came later, and it is neither a list nor an iterator.
#
# Now move. You may have no GPU; the device `meta` is always there (its tensors have a shape and no numbers). Before you
# run this: which of the two lines with `to("meta")` moves something? And what does the puzzling line do with a list of
# texts in the batch?

# %%
ids, layer = batch["input_ids"], nn.Linear(2, 2)
ids.to("meta")
layer.to("meta")
print("the tensor is on", ids.device, "and the layer on", layer.weight.device)
with lab.expect_error(RuntimeError, NotImplementedError):
    layer(torch.ones(1, 2)).sum().item()
with lab.expect_error(AttributeError):
    {name: value.to("meta") for name, value in plain.items()}
moved = {name: value.to("meta") if torch.is_tensor(value) else value for name, value in plain.items()}
print({name: str(getattr(value, "device", "no device")) for name, value in moved.items()})
print("in one call:", tokenizer(sentences, padding=True, return_tensors="pt").to("meta")["input_ids"].device)

# %% [markdown]
# The layer has moved, the tensor hasn't. `tensor.to` **returns** the tensor over there, and you must keep it;
# `module.to` changes the module itself. That is why loops write `batch = {…}` but only `model.to(device)`. Forget it,
# and the two don't meet. A list has no `to`; the tokenizer's own batch has one that does the loop for you.

# %% [markdown]
# ## 8.13 Progress bars
# <!-- T139, T320 -->
# (Uses the first two cells of section 8.5.) `tqdm` wraps anything that you can loop over. `tqdm.auto` chooses
# between a widget in a notebook and a line of text in a terminal. In a training you nest two bars. Before you run this:
# which of the bars will be there when the loops have ended?

# %%
import time

from tqdm.auto import tqdm

net = small_net(0)
optimizer, epochs = torch.optim.Adam(net.parameters(), lr=0.01), tqdm(range(3), unit="epoch")
for epoch in epochs:
    epochs.set_description(f"epoch {epoch}")
    for _ in tqdm(range(50), desc="batches", leave=False):
        loss = train(net, optimizer, 1)[0]
    epochs.set_postfix(loss=f"{loss:.4f}", rate=optimizer.param_groups[0]["lr"])
print(epochs)

# %% [markdown]
# The outer one: a bar stays unless you say `leave=False`. `set_description` writes in front of it, `set_postfix` behind
# it. (On a static page the widgets are blank; `print` shows a bar as text: done, total, elapsed time < time left,
# speed.)
#
# If you don't loop over the bar itself, give it a `total` and call `update`: right when one bar counts the steps of all
# epochs. Before you run this: `colour` takes a colour. What will it say to `True`?

# %%
import io
import warnings
from functools import partial

from tqdm import std

text_bar = partial(std.tqdm, disable=False)  # drawn even where the environment has TQDM_DISABLE=1
looks = {"total": 100, "initial": 20, "desc": "resumed at 20", "unit": "step", "ncols": 70, "file": io.StringIO()}
own_format = "{desc}: {n_fmt} of {total_fmt} steps, {percentage:.0f} %"
for more in ({}, {"colour": "green"}, {"bar_format": own_format}, {"colour": True}):
    with warnings.catch_warnings(record=True, action="always") as caught, text_bar(**looks, **more) as bar:
        time.sleep(0.2)
        bar.update(30)
        print(bar, *{str(warning.message) for warning in caught}, sep="\n")

# %% [markdown]
# It warns, and draws a bar without a colour. `bar_format` says what stands where.
#
# Isn't it slow to draw a bar in each step? And what is `position` for? Before you run this: how often is a bar drawn in
# 200,000 steps? And in 2,000, if each of them calls `set_postfix`?

# %%
def drawings(steps, **options):
    """How often a bar is drawn in so many steps; with `options`, each step calls `set_postfix`."""
    paper = io.StringIO()
    for step in (bar := text_bar(range(steps), file=paper, ncols=60)):
        if options:
            bar.set_postfix(step=step, **options)
    return paper.getvalue().count("\r")

assert (alone := drawings(200_000)) < 2_000 <= (often := drawings(2_000, refresh=True))
print(f"{alone} times in 200,000 steps; with set_postfix {often} times in 2,000,", end=" ")
print(f"with refresh=False {drawings(2_000, refresh=False)} times")

# %%
for position in (0, 1):
    with text_bar(total=3, desc="batches", ncols=40, file=io.StringIO(), position=position) as bar:
        print(f"position={position} writes {bar.fp.getvalue()!r}")

# %% [markdown]
# Between its first and its last drawing a bar is drawn at most once in `mininterval`, a tenth of a second. But
# `set_postfix` draws at once, in each step: in a fast loop give it `refresh=False`. `position=1` goes down a line
# before it draws (`\n`) and up again (`\x1b[A`): in a terminal, two bars then stand one below the other.

# %% [markdown]
# ## What changed since the notes
# The course grew out of five study documents, most of them in Chinese: the notes. This is what they say of this
# chapter's subject, and what holds today.
#
# | the notes say | today | why |
# | --- | --- | --- |
# | an instance can be called because its class has a `forward` | `nn.Module` has `__call__` | `forward` alone is not enough |
# | `torch.sum(w * x - y) ** 2 / n` | `((w * x - y) ** 2).mean()` | errors must not cancel |
# | replace SGD by Adam at `lr=20`, it works the same | `torch.optim.Adam(…, lr=0.01)` | a rate belongs to an optimizer |
# | `cross_entropy_loss()` | `F.cross_entropy(logits, labels)` | the function's name |
# | `optimizer.get_lr()`, `set_lr()` | `optimizer.param_groups[0]["lr"]`, `scheduler.get_last_lr()` | no optimizer has them |
# | `zero_grad()` writes zeros | it sets `None`; `set_to_none=False` writes zeros | less memory |
# | `from transformers import AdamW` | `torch.optim.AdamW` | the library dropped its copy |
# | AdamW: `correct_bias`, `amsgrad_correct_bias`, decay 0 by default | `torch.optim.AdamW(…)`, decay 0.01 by default | the correction is always on |
# | AdamW is the best paper of ICLR 2017 | it appeared at ICLR 2019, without an award | the title changed on the way, too |
# | `get_scheduler("warmup_linear", …)` and seven more names | `get_scheduler("linear", …)`, see `SchedulerType` | those names don't exist |
# | `num_cycles`, `end_learning_rate`, `cycle_limit`, … as arguments | `scheduler_specific_kwargs={"num_cycles": 3}`, `{"lr_end": …, "power": …}` | settings of one schedule travel in a dict; some never existed |
# | `num_training_steps=epochs * len(x)` | the number of optimizer steps | the schedule counts its calls |
# | PyTorch has no warmup; `StepLR` is linear | `LinearLR` and `SequentialLR`, or `LambdaLR` | it has both; `StepLR` is a staircase |
# | `model.eval()` switches gradients off | `model.eval()` **and** `torch.inference_mode()` | two independent switches |
# | `items()` gives an iterator | a view | `next` refuses it |
# | `v.cuda()` | `v.to(device)` | it runs without a GPU, too |
# | tqdm's `leave` is `False`, `colour` may be a bool | `leave=True`, `colour="green"` | see section 8.13 |
# | `super(ANN, self).__init__()` | `super().__init__()` | Python 3 |

# %%
errors = torch.tensor([5.0, -5.0])
print("their loss", (errors.sum() ** 2 / 2).item(), "and the mean square", (errors**2).mean().item())
print({name: hasattr(F, name) for name in ("cross_entropy", "cross_entropy_loss")})
parameter = nn.Parameter(torch.tensor([1.0]))
adamw = torch.optim.AdamW([parameter])
assert adamw.defaults["weight_decay"] == 0.01
cycles = {"num_cycles": 3}
waves = get_scheduler("cosine_with_restarts", adamw, 1, 10, scheduler_specific_kwargs=cycles)
torch.optim.lr_scheduler.LambdaLR(adamw, lambda step: min(1.0, step / 5))
print("rates:", adamw.param_groups[0]["lr"], waves.get_last_lr())

# %%
(parameter * 2).sum().backward()
adamw.zero_grad()
assert parameter.grad is None
(parameter * 2).sum().backward()
adamw.zero_grad(set_to_none=False)
assert parameter.grad.item() == 0
with torch.inference_mode():
    answer = bert.eval()(**{name: value.to(device) for name, value in batch.items() if name != "labels"})
print("graph in inference mode:", answer.last_hidden_state.requires_grad)
with lab.expect_error(TypeError):
    get_scheduler("cosine_with_restarts", adamw, 1, 10, num_cycles=3)

# %%
class ANN(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 2)

ann = ANN()
adam = torch.optim.Adam(ann.parameters(), lr=0.01)
print("loss:", F.cross_entropy(ann.fc(torch.ones(1, 1)), torch.tensor([1])).shape)
two_lines = [LinearLR(adam, 0.1, total_iters=2), LinearLR(adam, 1.0, 0.0, total_iters=2)]
print("PyTorch's warmup:", [f"{rate:.4f}" for rate in rates(adam, SequentialLR(adam, two_lines, milestones=[2]), 4)])
get_scheduler("polynomial", adam, 1, 10, scheduler_specific_kwargs={"lr_end": 1e-4, "power": 2.0})
print(list(tqdm(range(3), leave=True, colour="green")))

# %% [markdown]
# ## Quiz

# %%
lab.quiz("08")

# %% [markdown]
# ## Recap
# - A linear layer is `x @ A.T + b`; dropout zeroes and rescales; the cross-entropy takes logits: a few lines each,
#   equal to PyTorch's.
# - Gradient descent is stable up to $2/\lambda_{max}$; one per cent beyond, the error grows until it is `nan`.
# - `backward` adds into `.grad`, `zero_grad` empties it, `step` uses it, `item` and `detach` leave the graph behind;
#   pieces of a batch are divided by the number of all examples.
# - AdamW shrinks each weight by the same share in a step; in Adam with L2 a weight with large gradients escapes.
# - Schedules count optimizer steps and have names of their own; warmup keeps Adam's first, full-sized steps small.
# - `eval()` calms dropout and BatchNorm, `inference_mode()` drops the graph; a `DataLoader` takes its order, its
#   padding, its workers and their seeds from its arguments.
#
# Next: chapter 09, [The training loop by hand](09_manual_training_loop.ipynb), puts all of this to work on hotel
# reviews.

# %% [markdown] tags=["instructor"]
# ## For the instructor
# **Where it sticks.** Watch for these, besides the mistakes that the judges know:
#
# - `eval()` can be taken for *no gradients*. 8.10 gets gradients in `eval` mode, and counts what each switch saves.
# - A learning rate can be taken for large or small by itself; 8.5 gives 20 to three optimizers.
# - `weight_decay` can be taken for L2 everywhere. It is for SGD and Adam, not for AdamW (8.8).
# - Dividing by the number of pieces can be taken for right; it is only with equal pieces (8.6).
#
# **To discuss:**
#
# - *Two of the four trainings fit twenty numbers nearly without an error. What have they learned?* Lean on 8.5: the
#   columns *seen* and *new* beside the printed line for a constant answer. A good answer compares with the constant,
#   and counts parameters against numbers.
# - *How would you look for a learning rate when nobody tells you the curvature?* Lean on the edge in 8.4; the table of
#   8.5; the schedules of 8.9. A good answer tries rates on a scale of factors, for this optimizer, reads `nan` as a
#   sign, and says what warmup allows.
# - *Warmup: a cure for what?* Lean on 8.9: the last figure, three rates. A good answer says that Adam's first steps
#   have full size, and that at 0.01 there was nothing to cure.
# - *Five seeds, five curves. Which do you report?* Lean on 8.5: the thin lines. A good answer reports all, or the
#   median with its spread; with one seed it would compare luck.
#
# **If time is short.** 8.12 and 8.13 can be left out, and the end of 8.7 from *One more thing about `step`* on: no
# later section uses them (*What changed* takes `tqdm` from 8.13). Chapters 09 and 14 build on 8.6, 8.8, 8.9 and 8.11.
# Exercise to keep: 8.5, which 14.2 comes back to.
#
# **In class.** Nothing to fetch. 8.11 starts other processes, and its example waits 40 milliseconds for each row on
# purpose. The slider of 8.4 needs a running kernel; let the class name the fastest share before anybody moves it.
