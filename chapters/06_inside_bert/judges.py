"""Chapter 06: LayerNorm, the extended mask, heads, GELU, counting calls, chunks, BERT's masking and its losses."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from labs_utils.exercises.vocabulary import Trial, exercise, forbid


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def normalised(
    x, weight, bias, eps, dim=-1, minus=0, power=0.5, centre=1, scale=1, shift=1, short=False, outside=False
):
    """LayerNorm; the options are ways of getting it wrong."""
    mean = x.mean(dim, keepdim=True)
    variance = x.pow(2).mean(dim, keepdim=True) - mean**2 if short else x.var(dim, correction=minus, keepdim=True)
    spread = variance.sqrt() + eps if outside else (variance + eps) ** power
    return (x - centre * mean) / spread * (weight if scale else 1) + bias * shift


@exercise(
    "6.1",
    mistakes=[
        ("Perhaps your variance divides by the width minus one (torch's default).", partial(normalised, minus=1)),
        ("Perhaps you forgot the scale and the shift.", partial(normalised, scale=0, shift=0)),
        ("Perhaps you forgot the shift (bias).", partial(normalised, shift=0)),
        ("Perhaps you did not subtract the mean.", partial(normalised, centre=0)),
        ("Perhaps you divided by the variance, not by its root.", partial(normalised, power=1)),
        ("Perhaps eps stands outside the root.", partial(normalised, outside=True)),
        ("Perhaps you normalised everything together: each vector has its own mean.", partial(normalised, dim=None)),
        ("Perhaps you normalised over the texts: that is BatchNorm.", partial(normalised, dim=0)),
        (
            "The mean of the squares minus the square of the mean loses its digits far from 0: subtract first.",
            partial(normalised, short=True),
        ),
    ],
)
def layer_norm(answer):
    forbid(answer, "layer_norm", "LayerNorm", "native_layer_norm", because="is what you are to write")
    forbid(answer, "group_norm", "GroupNorm", because="with one group is the norm that you are to write")
    cases = [(torch.tensor([1.0, 3.0]), torch.ones(2), torch.zeros(2), 0.0, 1e-4)]
    for number, (shape, eps) in enumerate((((4, 8), 1e-12), ((2, 3, 6), 1e-5), ((5, 2), 0.5), ((2, 2, 2, 4), 1e-12))):
        weight, bias = randn(2, shape[-1], seed=number)
        cases.append((randn(*shape) * 3 + 2, weight, bias, eps, 1e-4))  # float32, sums of at most 8 numbers
    cases.append((randn(6, 16) + 3000, torch.ones(16), torch.zeros(16), 1e-12, 1e-2))  # floats in steps of 0.0002
    for x, weight, bias, eps, tolerance in cases:
        far = " of numbers near 3000" if x.mean() > 1000 else ""
        trial = Trial(answer, x, weight, bias, eps, given=f"x of shape {tuple(x.shape)}{far} and eps {eps:g}")
        got = trial.tensor(x.shape, "The shape stays that of x; keepdim=True keeps the last dimension.")
        expected = F.layer_norm(x.double(), x.shape[-1:], weight.double(), bias.double(), eps)
        trial.close(got, expected, tolerance)


def extended(attention_mask, dtype, low=None, invert: bool = False, multiply: bool = False):
    """The mask that is added to the scores; the options are ways of getting it wrong."""
    low, padded = torch.finfo(dtype).min if low is None else low, ~attention_mask.bool()[:, None, None]
    if multiply:
        return padded.to(dtype) * low
    return torch.zeros(padded.shape, dtype=dtype).masked_fill(~padded if invert else padded, low)


@exercise(
    "6.2",
    mistakes=[
        (
            "What may be seen is forbidden. Perhaps you read the mask the wrong way round.",
            partial(extended, invert=True),
        ),
        ("−10,000 is not the lowest number of the type.", partial(extended, low=-1e4)),
        (
            "There is infinity in it: a row of nothing else becomes nan in the softmax. The lowest number is finite.",
            partial(extended, low=-torch.inf),
        ),
        ("There is nan in it: infinity met a factor 0.", partial(extended, low=-torch.inf, multiply=True)),
    ],
)
def extended_mask(answer):
    masks = [torch.tensor([[1, 1, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]])]
    masks += [torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]]).bool(), torch.ones(2, 5, dtype=torch.long)]
    for mask, dtype in ((mask, dtype) for mask in masks for dtype in (torch.float32, torch.float16, torch.bfloat16)):
        trial = Trial(answer, mask, dtype, given=f"the mask {mask.int().tolist()} and {dtype}")
        got, (texts, tokens) = trial.returns(torch.Tensor, "a tensor"), mask.shape
        added = "True and false can't be added to scores.", got.dtype == torch.bool
        trial.expect(got.dtype == dtype, f"a tensor of {dtype} was expected, but got {got.dtype}", added)
        shapes = (texts, 1, 1, tokens), (texts, 1, tokens, tokens)
        broadcasts = f"a shape that broadcasts over [texts, heads, queries, keys] was expected, such as {shapes[0]}"
        order = "The keys are the last dimension, the texts the first."
        trial.expect(got.shape in shapes, f"{broadcasts}, but got {tuple(got.shape)}", order)
        sentence = f"your mask is not 0 where a key may be seen, and the lowest number of {dtype} where it may not"
        trial.equal(
            got, extended(mask, dtype).expand_as(got), sentence, form=lambda other, got=got: other.expand_as(got)
        )


def shares(context, weight, cut: str = "columns", total: bool = False, divide: bool = False):
    """Each head's share of a dense layer; the options are ways of getting it wrong."""
    heads, size, width = context.shape[1], context.shape[3], len(weight)
    pieces = {
        "columns": torch.stack(weight.split(size, dim=1)).transpose(1, 2),
        "every third column": weight.reshape(width, size, heads).permute(2, 1, 0),
        "rows": weight.reshape(heads, size, width),
    }
    each = torch.einsum("bhts,hsw->bhtw", context, pieces[cut])
    return each.sum(dim=1) if total else each / (heads if divide else 1)


@exercise(
    "6.3",
    mistakes=[
        ("This is the sum over the heads already; keep one share for each head.", partial(shares, total=True)),
        ("Perhaps you divided by the number of heads: the layer adds them.", partial(shares, divide=True)),
        (
            "Perhaps you took every third column or so: a head's columns stand next to each other.",
            partial(shares, cut="every third column"),
        ),
        (
            "Perhaps you cut the rows: PyTorch keeps a weight as out × in, the heads are its columns.",
            partial(shares, cut="rows"),
        ),
    ],
)
def head_shares(answer):
    cases = [(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1), torch.tensor([[10.0, 1.0]]))]
    for texts, heads, tokens, size, width in ((2, 3, 4, 5, 15), (1, 4, 2, 2, 8), (3, 2, 5, 4, 6), (2, 1, 3, 4, 4)):
        cases.append((randn(texts, heads, tokens, size), randn(width, heads * size, seed=1)))
    for context, weight in cases:
        given = f"context of shape {tuple(context.shape)} and weight of shape {tuple(weight.shape)}"
        trial = Trial(answer, context, weight, given=given)
        got, expected = trial.tensor(), shares(context.double(), weight.double())
        is_whole = got.shape == expected.shape and torch.allclose(got.sum(1), expected.sum(1), atol=1e-4)
        dense = "The sum over your heads is not what the dense layer gives.", not is_whole
        trial.close(got, expected, 1e-4, "your shares are off by up to {off}", dense)  # float32, sums of 5 products


def curve(x, approximate, swap=False, x_times=True, half=0.5, root=2**0.5, cube=3, bracket=True):
    """GELU in its two forms; the options are ways of getting it wrong."""
    small, factor = 0.044715 * x**cube, (2 / torch.pi) ** 0.5
    inner = factor * (x + small) if bracket else factor * x + small
    gate = half * (1 + (torch.tanh(inner) if approximate is not swap else torch.erf(x / root)))
    return x * gate if x_times else gate


@exercise(
    "6.4",
    mistakes=[
        ("Perhaps the two forms are swapped, or one of them is never used.", partial(curve, swap=True)),
        ("Perhaps this is Φ(x) alone: x times it is still to come.", partial(curve, x_times=False)),
        ("Perhaps you did not divide by the root of 2.", partial(curve, root=1)),
        ("Perhaps a factor of one half is missing.", partial(curve, half=1)),
        ("Perhaps the root of 2/π multiplies x only.", partial(curve, bracket=False)),
        ("Perhaps it is the square where the cube should be.", partial(curve, cube=2)),
        ("Perhaps this is ReLU.", lambda x, approximate: x.relu()),
    ],
)
def gelu(answer):
    forbid(answer, "gelu", "GELU", "ACT2FN", because="is what you are to write")
    for x in (torch.linspace(-6, 6, 49), torch.tensor(1.0), randn(2, 3, 4), torch.zeros(2)):
        for approximate in (False, True):
            trial = Trial(answer, x, approximate, given=f"x of shape {tuple(x.shape)} and approximate={approximate}")
            expected = F.gelu(x.double(), approximate="tanh" if approximate else "none")
            # the two forms differ by up to 5e-4; float32 alone stays far below 1e-5 for |x| ≤ 6
            trial.close(trial.tensor(x.shape), expected, 1e-5)


class Thrice(nn.Module):
    """Calls one linear layer three times, and never calls another one."""

    def __init__(self):
        super().__init__()
        self.used, self.idle, self.norm = nn.Linear(2, 2), nn.Linear(2, 2), nn.LayerNorm(2)

    def forward(self, input):
        return self.norm(self.used(self.used(self.used(input))))


class Wide(nn.Linear):
    """A kind of Linear."""


def counted(model, kind, is_kind=isinstance, modules=nn.Module.modules, once=False, runs=1, **inputs) -> int:
    """The calls of modules of a kind; the options are ways of getting it wrong."""
    seen: list = []
    found = [module for module in modules(model) if is_kind(module, kind)]
    handles = [module.register_forward_hook(lambda module, *_: seen.append(module)) for module in found]
    for _ in range(runs):
        model(**inputs)
    for handle in handles:
        handle.remove()
    return len(set(seen)) if once else len(seen)


@exercise(
    "6.5",
    mistakes=[
        (
            "Perhaps you counted the modules that exist, not their calls.",
            lambda model, kind, **_: sum(isinstance(module, kind) for module in model.modules()),
        ),
        ("Perhaps you counted each called module once.", partial(counted, once=True)),
        (
            "A subclass counts too: isinstance sees it, `type(...) is` doesn't.",
            partial(counted, is_kind=lambda module, kind: type(module) is kind),
        ),
        ("Perhaps the model ran twice, or each module got two hooks.", partial(counted, runs=2)),
        ("Modules stand in modules: model.modules() finds all of them.", partial(counted, modules=nn.Module.children)),
    ],
)
def count_calls(answer):
    plain = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    nested = nn.Sequential(Wide(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    cases = [
        ("two linear layers and a ReLU", plain, nn.Linear, 2),
        ("two linear layers and no Dropout", plain, nn.Dropout, 0),
        ("a module that calls one linear layer three times, another never", Thrice(), nn.Linear, 3),
        ("two linear layers and one of a subclass", nested, nn.Linear, 3),
        ("a Sequential inside a Sequential", nested, nn.Sequential, 2),
    ]
    for what, model, kind, expected in cases:
        shared = (nn.modules.module._global_forward_hooks, nn.modules.module._global_forward_pre_hooks)
        before = [set(hooks) for hooks in shared]
        trial = Trial(answer, model, kind, given=f"{what}, and the class {kind.__name__}", input=torch.ones(1, 2))
        late = [(hooks, one) for hooks, known in zip(shared, before, strict=True) for one in hooks if one not in known]
        for found, one in late:
            del found[one]  # a hook on all modules would count in every later cell
        hooks = [hooks for one in model.modules() for hooks in (one._forward_hooks, one._forward_pre_hooks)]
        left = sum(map(len, hooks)) + len(late)
        for one in hooks:
            one.clear()  # the judge's own model: the mistakes and later cases start clean
        trial.equal(trial.returns(int), expected, "the count of calls is not {got}")
        trial.expect(not left, f"{left} of your hooks are still there after the call. Remove what you register")


class Watched:
    """A function of a run: its result also tells how much it saw."""

    def __init__(self, dim: int):
        self.dim, self.linear, self.lengths = dim, nn.Linear(4, 3).requires_grad_(False), []

    def __call__(self, run):
        self.lengths.append(run.shape[self.dim])
        return self.linear(run) + run.numel() / 100


def chunked(function, x, size, dim, cut=torch.split, along=None, keep=slice(None)):
    """The function in runs; the options are ways of getting it wrong."""
    dim = dim if along is None else along
    runs = cut(x, size, dim) if size else [x]
    return torch.cat([function(run) for run in runs[keep]], dim)


def evenly(x, size, dim):
    return x.tensor_split(-(-x.shape[dim] // size), dim)


@exercise(
    "6.6",
    mistakes=[
        ("The last, shorter run is missing.", partial(chunked, keep=slice(-1))),
        ("Perhaps you took the size for the number of chunks.", partial(chunked, cut=torch.chunk)),
        ("It saw all of x at once: nothing was cut.", lambda function, x, size, dim: function(x)),
        ("Perhaps you cut another dimension.", partial(chunked, along=0)),
        ("Perhaps the runs were put together in another order.", partial(chunked, keep=slice(None, None, -1))),
        ("Every run but the last has exactly the size that was asked for.", partial(chunked, cut=evenly)),
    ],
)
def in_chunks(answer):
    cases = [((3, 5, 4), 2, 1), ((2, 6, 4), 3, 1), ((2, 5, 4), 0, 1), ((2, 5, 4), 8, 1), ((5, 3, 4), 2, 0)]
    for shape, size, dim in [*cases, ((2, 3, 7, 4), 3, 2), ((1, 1, 4), 1, 1)]:
        x, function = randn(*shape), Watched(dim)
        trial = Trial(answer, function, x, size, dim, given=f"x of shape {shape}, size {size} and dim {dim}")
        seen = list(function.lengths)
        trial.expect(seen, "your function never called the function it was given")
        runs = [x.narrow(dim, at, min(size, shape[dim] - at)) for at in range(0, shape[dim], size)] if size else [x]
        lengths, expected = [run.shape[dim] for run in runs], torch.cat([function(run) for run in runs], dim)
        sentence = f"the function should see runs of lengths {lengths} along that dimension, one after the other, but "
        # one product of width 4 in float32, perhaps in another order
        trial.close(trial.result, expected, 1e-5, f"{sentence}saw {seen}, or your result is not theirs")


def rows(heads, size, stride: bool = False, gone: bool = False) -> torch.Tensor:
    """The rows of these heads; the options are ways of getting it wrong."""
    total = max(heads) + 1
    kept = [head for head in range(total) if (head in heads) is not gone]
    places = [(head, place) for head in kept for place in range(size)]
    return torch.tensor(sorted(head + total * place if stride else head * size + place for head, place in places))


@exercise(
    "6.7",
    mistakes=[
        ("These are the numbers of the heads; each has several rows.", lambda heads, size: rows(heads, 1)),
        ("The rows of a head stand next to each other.", partial(rows, stride=True)),
        ("These are the rows of the heads that go.", partial(rows, gone=True)),
    ],
)
def rows_of_heads(answer):
    for heads, size in (([2, 0], 2), ([0], 4), ([1, 3, 1], 3), ([5, 4, 3, 2, 1, 0], 1), ([11, 7], 32)):
        trial = Trial(answer, heads, size)
        got = trial.returns(torch.Tensor, "a tensor")
        is_whole = not got.is_floating_point() and got.dtype != torch.bool
        trial.expect(is_whole, f"integers were expected (they are indices), but the tensor is {got.dtype}")
        trial.expect(got.ndim == 1, f"one dimension was expected, but the shape is {tuple(got.shape)}. Flatten it")
        expected = rows(heads, size).tolist()
        order = "They are the right rows, in another order.", sorted(got.tolist()) == expected
        twice = "A head that is named twice is kept once.", sorted(set(got.tolist())) == expected
        trial.equal(got.tolist(), expected, "your rows {got} are not those of the heads", order, twice)


MASK, WORDS = 3, 5_000


def masking_case() -> tuple[torch.Tensor, torch.Tensor]:
    """200 texts of 400 random tokens of the upper half of the vocabulary, and which of them are special."""
    ids = torch.randint(WORDS // 2, WORDS, (200, 400), generator=torch.Generator().manual_seed(5))
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = special[:, -1] = special[:50, 200:] = True
    return ids, special


def masked_once(answer, ids, special) -> tuple[Trial, list[torch.Tensor]]:
    trial = Trial(answer, ids, special, MASK, WORDS, given="200 texts of 400 random tokens, some of them special")
    found = trial.returns(list, "a pair of tensors (inputs, labels)", of=torch.Tensor)
    trial.expect(len(found) == 2, f"a pair of tensors (inputs, labels) was expected, but got {len(found)}")
    for tensor, name in zip(found, ("inputs", "labels"), strict=True):
        trial.shape(tensor, ids.shape)
        is_whole = not (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.bool
        trial.expect(is_whole, f"{name} must hold integers, but is {tensor.dtype}")
    return trial, [tensor.to("cpu", torch.long) for tensor in found]


def expect_shares(trial: Trial, ids, inputs, chosen) -> None:
    """Of the chosen: 80 % [MASK], 10 % random, 10 % unchanged; their deviation among 10,500 is 0.004."""
    mask, same = ((inputs == other)[chosen].float().mean().item() for other in (MASK, ids))
    random = max(1 - mask - same, 0.0)
    reasons = [
        ("Perhaps every chosen token became [MASK].", mask > 0.99),
        ("Perhaps the random ids are missing.", random < 0.01),
        ("Perhaps none stays as it was.", same < 0.01),
        ("Perhaps you took 10 % of what the 80 % left.", abs(random - 0.02) < 0.01 or abs(same - 0.02) < 0.01),
    ]
    told = f"[MASK] {mask:.0%}, random {random:.0%}, unchanged {same:.0%}"
    is_right = max(abs(mask - 0.8), abs(random - 0.1), abs(same - 0.1)) < 0.02
    trial.expect(
        is_right, f"of the chosen tokens 80 % should be [MASK], 10 % random, 10 % unchanged, but got: {told}", *reasons
    )
    strange = inputs[chosen & (inputs != MASK) & (inputs != ids)]
    trial.expect(strange.min() >= 0 and strange.max() < WORDS, f"a random id must lie below {WORDS}")
    trial.expect(len(strange.unique()) > 100, "the random ids are nearly all the same: each place needs its own")
    places = (chosen & (inputs != MASK) & (inputs != ids)).nonzero()
    for along, name in enumerate(("text", "column")):  # of about 1,000, one or two meet again by chance
        own = len({*zip(places[:, along].tolist(), strange.tolist(), strict=True)})
        trial.expect(own > 0.8 * len(strange), f"the random ids of a {name} are the same: each place needs its own")
    lower = (strange < WORDS // 2).float().mean().item()  # the texts hold none of these; 0.5, deviation 0.016
    whole = "Perhaps you drew from the tokens of the texts."
    trial.expect(abs(lower - 0.5) < 0.1, f"any id below {WORDS} should be equally likely as the random one", whole)


@exercise("6.8")
def mask_tokens(answer):
    ids, special = masking_case()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        (trial, (inputs, labels)), (_, (_, second)), (_, (_, third)) = (
            masked_once(answer, ids, special) for _ in range(3)
        )
        torch.manual_seed(0)
        _, (_, again) = masked_once(answer, ids, special)
    chosen = labels != -100
    trial.expect(chosen.any(), "no token was chosen at all")
    unused = "Perhaps `special` is not used, or inverted."
    trial.expect(not (chosen & special).any(), "special tokens were chosen too", unused)
    late = "Perhaps it was taken too late."
    trial.expect((labels == ids)[chosen].all(), "labels must hold the **original** id where a token was chosen", late)
    trial.expect((inputs == ids)[~chosen].all(), "tokens that were not chosen must stay as they are in inputs")
    # 70,000 tokens may be chosen: the standard deviation of the rate is 0.0014; of the count in a row of 398, 7
    rate = (chosen.sum() / (~special).sum()).item()
    trial.expect(abs(rate - 0.15) < 0.01, f"15 % should be chosen, but your function chose {rate:.1%} of the others")
    counts = chosen[50:].sum(dim=1).float()
    exact = "Perhaps you chose exactly 15 %: each token is chosen by itself."
    trial.expect(
        counts.std() > 3, f"each text has between {counts.min():.0f} and {counts.max():.0f} chosen tokens", exact
    )
    totals = {int((one != -100).sum()) for one in (labels, second, third)}
    expect_shares(trial, ids, inputs, chosen)
    trial.expect(not torch.equal(second, labels), "a second call chose the same tokens. Each call must choose anew")
    trial.expect(len(totals) > 1, f"each of three calls chose {rate * int((~special).sum()):.0f} tokens", exact)
    own = "Perhaps the random numbers are not torch's."
    trial.expect(torch.equal(again, labels), "the same torch.manual_seed led to another choice", own)


def summed_loss(word_logits, next_logits, labels, follows, over="asked", word=1.0, pair=1.0, swap=False, naive=False):
    """BERT's loss; the options are ways of getting it wrong."""
    logs = [logits.softmax(-1).log() if naive else logits.log_softmax(-1) for logits in (word_logits, next_logits)]
    each = F.nll_loss(logs[0].transpose(1, 2), labels, reduction="none")  # [texts, tokens], 0 where nothing is asked
    asked = (labels >= 0).sum(dim=1)
    means = {"asked": each.sum() / asked.sum(), "all": each.mean(), "texts": (each.sum(dim=1) / asked).mean()}
    pairs = F.nll_loss(logs[1], 1 - follows if swap else follows)
    if over == "nothing":
        return each.sum() + pairs * len(follows)
    return word * means[over] + pair * pairs


@exercise(
    "6.9",
    mistakes=[
        ("Perhaps you divided by all tokens, also those that aren't asked.", partial(summed_loss, over="all")),
        ("Perhaps you summed where the mean is needed.", partial(summed_loss, over="nothing")),
        (
            "Perhaps you took the mean text by text first: each chosen token counts the same.",
            partial(summed_loss, over="texts"),
        ),
        ("Perhaps it is only the word loss.", partial(summed_loss, pair=0)),
        ("Perhaps it is only the pair loss.", partial(summed_loss, word=0)),
        ("Perhaps you took the mean of the two: BERT adds them.", partial(summed_loss, word=0.5, pair=0.5)),
        ("Perhaps 0 and 1 are swapped for the pairs.", partial(summed_loss, swap=True)),
        ("Perhaps the sign is wrong.", partial(summed_loss, word=-1, pair=-1)),
        ("A logarithm met a probability of 0: log_softmax is safe.", partial(summed_loss, naive=True)),
    ],
)
def pretraining_loss(answer):
    forbid(answer, "cross_entropy", "CrossEntropyLoss", because="is what you are to write")
    some = torch.tensor([[1, -100, 2], [-100, 3, -100]])
    cases = [(torch.zeros(2, 3, 10), torch.zeros(2, 2), some, torch.tensor([0, 1]), 1e-5)]
    for seed, (texts, tokens, words, spread) in enumerate(((2, 4, 7, 1), (5, 6, 11, 3), (1, 3, 5, 1), (3, 5, 9, 300))):
        draw = torch.Generator().manual_seed(seed)
        labels, follows = (
            torch.randint(most, size, generator=draw) for most, size in ((words, (texts, tokens)), (2, (texts,)))
        )
        labels[:, 1:][torch.rand(texts, tokens - 1, generator=draw) < 0.5] = -100
        logits = randn(texts, tokens, words, seed=seed) * spread, randn(texts, 2, seed=seed + 9)
        cases.append((*logits, labels, follows, 1e-3 if spread > 100 else 1e-5))  # float32; large logits cost 1e-4
    for word_logits, next_logits, labels, follows, tolerance in cases:
        given = f"{len(labels)} texts of {labels.shape[1]} tokens, {int((labels >= 0).sum())} of them with a label"
        given += ", and logits of several hundred" if word_logits.abs().max() > 100 else ""
        trial = Trial(answer, word_logits, next_logits, labels, follows, given=given)
        got = trial.tensor()
        trial.expect(got.numel() == 1, f"one number was expected, but got shape {tuple(got.shape)}", "Take the means.")
        expected = F.cross_entropy(word_logits.double().flatten(0, 1), labels.flatten())
        expected += F.cross_entropy(next_logits.double(), follows)
        trial.close(got.reshape(()), expected, tolerance, f"your loss {float(got):.4f} is not the sum of the two means")
