"""Chapter 08: a linear layer, dropout, cross-entropy, the stable rate, accumulation, AdamW, groups, warmup, batches."""

import math
import random
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from labs_utils.exercises.vocabulary import Trial, describe, exercise, forbid, same

READY_MADE = [name for name in dir(F) if name.endswith("_loss") or "cross_entropy" in name]
READY_MADE += [name for name in dir(nn) if name.endswith("Loss")]


def product(x, weight, bias=None, turned: bool = False, add: bool = True):
    """A linear layer; the options are ways of getting it wrong."""
    result = x @ (weight if turned else weight.T)
    return result + bias if add and bias is not None else result


@exercise(
    "8.1",
    mistakes=[
        ("Perhaps you forgot to transpose the weight: it is stored output first.", partial(product, turned=True)),
        ("The bias is missing.", partial(product, add=False)),
    ],
)
def linear(answer):
    draw = torch.Generator().manual_seed(0)
    shapes = [((3,), 3, True), ((2, 3), 3, True), ((5, 4), 2, True), ((4,), 2, True), ((4, 6, 10), 5, True)]
    shapes += [((3, 4), 2, False), ((2, 3, 4, 5), 6, True)]
    for shape, out, has_bias in shapes:
        x, weight = torch.randn(shape, generator=draw), torch.randn(out, shape[-1], generator=draw)
        bias = torch.randn(out, generator=draw) if has_bias else None
        given = f"x {list(shape)}, weight {[out, shape[-1]]}, bias {[out] if has_bias else None}"
        trial = Trial(answer, x, weight, bias, given=given)
        # float32 sums of at most ten products of numbers near 1: rounding stays far below 1e-4
        trial.close(trial.tensor(), F.linear(x, weight, bias), 1e-4)


@exercise(
    "8.2",
    mistakes=[
        (
            "Out of training nothing is dropped or scaled.",
            lambda x, p, training: torch.where(torch.rand_like(x) < p, 0.0, x) if training else x * (1 - p),
        ),
        (
            "Perhaps you divided by 1 - p, which is 0 here.",
            lambda x, p, training: x * (torch.rand_like(x) >= p) / (1 - p) if training else x.clone(),
        ),
    ],
)
def dropout(answer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(200, 200)
        x = torch.where(x.abs() < 0.01, 1.0, x)  # no zeros of its own
        for p, training in ((0.5, False), (1.0, False), (0.0, True), (1.0, True)):
            trial = Trial(answer, x, p, training)
            told = [("Out of training nothing is dropped or scaled.", not training), ("p=0 drops nothing.", p == 0)]
            expected = torch.zeros_like(x) if p == 1 and training else x
            trial.close(trial.tensor(x.shape), expected, 1e-6, "your numbers are off by up to {off}", *told)
        for p in (0.5, 0.2, 0.9):
            trials = [Trial(answer, x, p, True) for _ in range(4)]
            dropped_at_random(trials[0], x, p, [trial.tensor(x.shape) for trial in trials])


def dropped_at_random(trial, x, p: float, results: list) -> None:
    """Complain unless four results have zeros where chance put them, and x / (1 - p) elsewhere."""
    zeros = [(result == 0).double() for result in results]
    share, kept = zeros[0].mean().item(), zeros[0] == 0
    # a row's number of zeros has the variance n * p * (1 - p), known from 200 rows to about a tenth
    spreads = [zeros[0].sum(dim=side).var().item() / (200 * p * (1 - p)) for side in (0, 1)]
    trial.expect(max(spreads) < 2, "whole rows or columns were dropped together. Draw for each number by itself")
    # 40,000 draws: the share of zeros has a standard deviation of at most 0.0025, so 0.02 is eight of them
    turned = "Perhaps you kept with probability p: p is the probability of a zero.", abs(share - (1 - p)) < 0.02
    trial.expect(abs(share - p) < 0.02, f"about {p:.0%} zeros were expected, but got {share:.0%}", turned)
    trial.expect(min(spreads) > 0.5, "each row or column has about as many zeros. Draw for each number by itself")
    factors = results[0][kept] / x.double()[kept]
    unscaled = "Perhaps you didn't divide what is kept by 1 - p.", bool(((factors - 1).abs() < 1e-4).all())
    found = f"what is kept is to be x / {1 - p:g}, but the factor is about {factors.mean().item():.2f}"
    trial.expect(((factors - 1 / (1 - p)).abs() < 1e-3).all(), found, unscaled)
    again = "twice, the same numbers were dropped. Perhaps you seed inside: each call draws anew"
    trial.expect(not torch.equal(zeros[0], zeros[1]), again)
    counts = {int(zero.sum()) for zero in zeros}
    exact = f"there were {max(counts)} zeros in each of four calls. Chance varies: draw for each number by itself"
    trial.expect(len(counts) > 1, exact)


def entropy(logits, labels, sign: int = 1, total=False, softmax=False, all_rows=False, as_class=False):
    """The mean cross-entropy; the options are ways of getting it wrong."""
    if as_class:
        labels = labels.clamp(min=0)
    counted = labels != -100
    if softmax:
        logits = logits.softmax(dim=-1)
    losses = -sign * logits[counted].log_softmax(dim=-1).gather(1, labels[counted][:, None])
    return losses.sum() / (1 if total else len(labels) if all_rows else len(losses))


@exercise(
    "8.3",
    mistakes=[
        ("The sign is wrong: a loss is positive.", partial(entropy, sign=-1)),
        ("Perhaps you took the sum instead of the mean.", partial(entropy, total=True)),
        ("Perhaps you applied softmax twice.", partial(entropy, softmax=True)),
        (
            "Perhaps you divided by all rows: those with -100 don't count in the mean either.",
            partial(entropy, all_rows=True),
        ),
        ("Perhaps you counted the examples with -100 as class 0.", partial(entropy, as_class=True)),
    ],
)
def cross_entropy_by_hand(answer):
    forbid(answer, *READY_MADE, because="is a ready-made loss: write the formula")
    draw = torch.Generator().manual_seed(2)
    many = torch.randint(7, (30,), generator=draw).masked_fill(torch.rand(30, generator=draw) < 0.5, -100)
    cases = [
        (torch.randn(4, 3, generator=draw), torch.tensor([0, 2, 1, 2])),
        (torch.zeros(1, 2), torch.tensor([1])),
        (torch.tensor([[1000.0, 0.0, -1000.0], [999.0, 1000.0, 0.0]]), torch.tensor([2, 0])),
        (torch.randn(3, 5, generator=draw), torch.tensor([4, -100, 2])),
        (torch.randn(30, 7, generator=draw) * 3, many),
    ]
    for logits, labels in cases:
        is_large = logits.abs().max() > 100
        trial = Trial(answer, logits, labels)
        trial.returns(torch.Tensor, "a tensor (backward() starts from it)")
        got = trial.tensor((), "One number is asked for: the mean over the examples.")
        infinite = "Perhaps exp(1000) was infinite, or you took the logarithm of a 0.", is_large
        trial.expect(got.isfinite(), f"a finite loss was expected, but got {got.item()}", infinite)
        cut = "Perhaps you cut the probabilities off, or added something to them.", is_large
        # logits up to 1000 in float32 carry steps of 6e-5: 1e-3 leaves room, and every mistake is larger
        trial.close(got, F.cross_entropy(logits.double(), labels), 1e-3, "your loss is off by {off}", cut)


def rate(X, factor=lambda n: 2 / n, chosen=torch.max, top: float = 2.0):
    """The edge of stability; the options are ways of getting it wrong."""
    return top / chosen(torch.linalg.eigvalsh(factor(len(X)) * X.T @ X))


@exercise(
    "8.4",
    mistakes=[
        ("Perhaps you left the 2/n out of the Hessian.", partial(rate, factor=lambda n: 1)),
        ("Perhaps you left out the 2 of the derivative: the Hessian has 2/n.", partial(rate, factor=lambda n: 1 / n)),
        ("Perhaps you left out n: the loss is a mean.", partial(rate, factor=lambda n: 2)),
        ("That is 1 / λmax: a step may go up to twice as far as the minimum.", partial(rate, top=1.0)),
        ("That is the eigenvalue itself, not the rate.", lambda X: 2 / rate(X)),
        (
            "Perhaps you took the smallest eigenvalue: the steepest direction sets the limit.",
            partial(rate, chosen=torch.min),
        ),
        (
            "Perhaps you added the eigenvalues up (the diagonal): the largest is needed.",
            partial(rate, chosen=torch.sum),
        ),
        ("Perhaps you took the mean of the eigenvalues: the largest is needed.", partial(rate, chosen=torch.mean)),
    ],
)
def largest_rate(answer):
    draw = torch.Generator().manual_seed(3)
    cases = [torch.tensor([[1.0], [2.0], [2.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.5], [0.0, 0.5]])]
    cases += [torch.randn(rows, columns, generator=draw) for rows, columns in ((20, 2), (50, 5), (3, 6))]
    cases.append(torch.randn(30, 3, generator=draw) * torch.tensor([0.1, 1.0, 10.0]))
    for X in cases:
        trial = Trial(answer, X)
        got = trial.tensor((), "One rate is asked for.")
        expected = len(X) / torch.linalg.svdvals(X.double()).max() ** 2  # 2 / λmax, by way of singular values
        side = "diverges" if got > expected else "is still stable a good deal higher"
        sentence = f"your rate {got.item():.4g} is not the edge: gradient descent {side}"
        # float32 eigenvalues are good to about 1e-5 relative; 1e-3 accepts every way of computing them
        trial.close(got, expected, 1e-3 * expected.item(), sentence)


def numbers(members, y=None, group=0) -> int:
    return sum(truth.numel() for _, truth in members)


def loop(model, optimizer, batches, group, divisor=numbers, before: bool = True, after: bool = True, each=False):
    """The accumulation loop; `divisor` divides a batch's sum of squares. The options are ways of getting it wrong."""
    steps = 0
    if before:
        optimizer.zero_grad()
    for first in range(0, len(batches), group):
        members = batches[first : first + group]
        for x, y in members:
            if each:
                optimizer.zero_grad()
            (((model(x) - y) ** 2).sum() / divisor(members, y, group)).backward()
        optimizer.step()
        if after:
            optimizer.zero_grad()
        steps += 1
    return steps


DIVISORS = {
    "Perhaps you added the means without dividing: the step is too long.": lambda members, y, group: y.numel(),
    "Perhaps you took the sum of the squares and never divided it.": lambda members, y, group: 1,
    "Perhaps you divided by the rows: y has several columns, and the mean is over all numbers.": (
        lambda members, y, group: sum(len(truth) for _, truth in members)
    ),
    "Perhaps you averaged the means of the batches: a small one then counts as much as a large one.": (
        lambda members, y, group: y.numel() * len(members)
    ),
    "Perhaps you divided by `group`: the last one may have fewer batches.": (
        lambda members, y, group: y.numel() * group
    ),
}
ACCUMULATED = [
    *((sentence, partial(loop, divisor=divisor)) for sentence, divisor in DIVISORS.items()),
    ("Perhaps the gradients of one group are still there in the next.", partial(loop, after=False)),
    ("Perhaps you emptied the gradients before each batch: only the last one counts then.", partial(loop, each=True)),
    ("Perhaps a gradient from before the call was still there: empty it at the start.", partial(loop, before=False)),
]


class Counted(torch.optim.SGD):
    """Counts its steps."""

    taken = 0

    def step(self, closure=None):
        self.taken += 1
        return super().step(closure)


def trained(answer, sizes, group: int, is_dirty: bool):
    """The trial of an accumulation loop on batches of these sizes, the weights after it, and the steps taken."""
    draw = {"generator": torch.Generator().manual_seed(4), "dtype": torch.float64}
    model = nn.Linear(3, 3, dtype=torch.float64)
    model.load_state_dict({"weight": torch.randn(3, 3, **draw), "bias": torch.zeros(3)})
    if is_dirty:
        model(torch.full((1, 3), 5.0, dtype=torch.float64)).sum().backward()
    batches = [(torch.randn(size, 3, **draw), torch.randn(size, 3, **draw)) for size in sizes]
    optimizer = Counted(model.parameters(), lr=0.1)
    given = f"{len(sizes)} batches of {sizes} examples and group={group}"
    given += ", with an old gradient in the model" if is_dirty else ""
    trial = Trial(answer, model, optimizer, batches, group, given=given)
    return trial, torch.cat([model.weight, model.bias[None]]).detach(), optimizer.taken


def at_once(model, optimizer, batches, group) -> None:
    """Each group as one large batch."""
    for first in range(0, len(batches), group):
        x, y = (torch.cat(side) for side in zip(*batches[first : first + group], strict=True))
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()


@exercise("8.5", mistakes=ACCUMULATED)
def accumulate(answer):
    cases = [([4, 4, 4, 4], 2, False), ([4, 4, 4, 4, 4], 2, False), ([4, 2, 3, 3], 2, False), ([5, 1, 2], 1, False)]
    cases += [([3, 2], 5, False), ([4, 4, 2], 3, True), ([], 2, False)]
    for sizes, group, is_dirty in cases:
        trial, got, steps = trained(answer, sizes, group, is_dirty)
        _, expected, due = trained(at_once, sizes, group, is_dirty)
        shorter = "Perhaps you left out the last group, which is shorter.", steps == len(sizes) // group
        often = "Perhaps you stepped after every batch.", steps == len(sizes)
        trial.expect(steps == due, f"{due} steps were expected, but you took {steps}", shorter, often)
        told = trial.returns(int, "the number of steps")
        trial.expect(told == due, f"the result is the number of steps, {due}, but got {told}")
        off = (got - expected).abs().max()
        known = [(sentence, partial(explains, wrong, got, sizes, group, is_dirty)) for sentence, wrong in ACCUMULATED]
        # float64 throughout: two right ways differ only by rounding, near 1e-15
        trial.expect(off < 1e-9, f"the weights after your steps are off by up to {off:.2g}", *known)


def explains(wrong, got, *case) -> bool:
    """Whether a mistake, made on a fresh model, leads to these weights."""
    return bool((trained(wrong, *case)[1] - got).abs().max() < 1e-9)


def adamw(
    w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, l2=False, late=False, scaled=True,
    corrected=True, shift=0, inside=False, root=True, returned=False,
):  # fmt: skip
    """One step of AdamW; the options are ways of getting it wrong."""
    gradient = gradient + weight_decay * w if l2 else gradient
    decay = 0.0 if l2 else (lr if scaled else 1) * weight_decay
    m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
    first, second = m / (1 - beta1 ** (step + shift)), v / (1 - beta2 ** (step + shift))
    if not corrected:
        first, second = m, v
    move = lr * first / ((second + eps * inside) ** (0.5 if root else 1) + eps * (not inside))
    new = (w - move) * (1 - decay) if late else w * (1 - decay) - move
    return (new, first, second) if returned else (new, m, v)


@exercise(
    "8.6",
    mistakes=[
        (
            "Perhaps you added the decay to the gradient. That is L2; here it goes straight to the weight.",
            partial(adamw, l2=True),
        ),
        ("Perhaps you forgot the learning rate in the decay.", partial(adamw, scaled=False)),
        ("Perhaps you decayed after the step: the decay comes first.", partial(adamw, late=True)),
        ("Perhaps you left out the correction: without it the first steps are wrong.", partial(adamw, corrected=False)),
        ("Perhaps the exponent is off by one: step is 1 in the first step, not 0.", partial(adamw, shift=1)),
        ("Perhaps you put eps under the root: it is added after it.", partial(adamw, inside=True)),
        ("Perhaps you forgot the root of v.", partial(adamw, root=False)),
        (
            "Perhaps you returned the corrected means: the next step needs them uncorrected.",
            partial(adamw, returned=True),
        ),
    ],
)
def adamw_step(answer):
    draw = {"generator": torch.Generator().manual_seed(5), "dtype": torch.float64}
    settings = [(0.1, 0.9, 0.999, 1e-8, 0.0), (0.1, 0.9, 0.999, 1e-8, 0.5), (0.01, 0.8, 0.95, 0.01, 0.1)]
    for lr, *betas, eps, decay in settings:
        parameter = nn.Parameter(torch.randn(4, 3, **draw))
        library = torch.optim.AdamW([parameter], lr=lr, betas=betas, eps=eps, weight_decay=decay)
        options = {"lr": lr, "beta1": betas[0], "beta2": betas[1], "eps": eps, "weight_decay": decay}
        m = v = torch.zeros(4, 3, dtype=torch.float64)
        for step in range(1, 5):
            w, parameter.grad = parameter.detach().clone(), torch.randn(4, 3, **draw)
            trial = Trial(answer, w, parameter.grad, m, v, step, **options)
            got = trial.returns(tuple, "a tuple of three tensors (w, m, v)")
            trial.expect(len(got) == 3, f"three tensors (w, m, v) were expected, but got {len(got)}")
            library.step()
            state = library.state[parameter]
            m, v = state["exp_avg"].clone(), state["exp_avg_sq"].clone()
            for place, expected in enumerate((parameter.detach(), m, v)):
                # float64: the library's order of operations and yours differ by rounding only, near 1e-15
                sentence = f"your new {'wmv'[place]} is off by up to {{off}}"
                trial.close(got[place], expected, 1e-9, sentence, form=lambda three, place=place: three[place])


NORMS = nn.LayerNorm, nn.BatchNorm1d


def spared_names(model, kinds=NORMS) -> list[str]:
    """The names of the biases, and of the weights of norm layers (or of layers of other `kinds`)."""
    layers = dict(model.named_modules())
    places = [name.rpartition(".") for name, _ in model.named_parameters(remove_duplicate=False)]
    return [f"{layer}.{last}" for layer, _, last in places if "bias" in last or isinstance(layers[layer], kinds)]


def split(model, weight_decay, spared=None, swap: bool = False, everything: bool = False, repeat: bool = False):
    """Two groups of parameters; the options are ways of getting it wrong."""
    spared = spared or spared_names(model)
    known = list(model.named_parameters(remove_duplicate=not repeat))
    first = [parameter for name, parameter in known if everything or not name.endswith(tuple(spared))]
    second = [parameter for name, parameter in known if name.endswith(tuple(spared))]
    first, second = (second, first) if swap else (first, second)
    return [{"params": first, "weight_decay": weight_decay}, {"params": second, "weight_decay": 0.0}]


def named(model, groups) -> list[list[str]]:
    """The names of the parameters in each group, in the model's order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [[names.get(id(parameter), "a stranger") for parameter in group["params"]] for group in groups]
    return [sorted(some, key=[*names.values(), "a stranger"].index) for some in found]


@exercise(
    "8.7",
    mistakes=[
        (
            "The weight of a norm layer is not decayed; inside a Sequential its name doesn't say what it is.",
            partial(split, spared=["bias"]),
        ),
        ("The two lists are swapped: what is decayed comes first.", partial(split, swap=True)),
        (
            "Perhaps you looked for one kind of layer: everything that is no bias and no norm is decayed.",
            lambda model, decay: split(
                model, decay, spared_names(model, (*NORMS, nn.Embedding, nn.MultiheadAttention))
            ),
        ),
        ("What is not decayed stands in the second group only.", partial(split, everything=True)),
        ("A parameter that two layers share stands in a group once.", partial(split, repeat=True)),
    ],
)
def decay_groups(answer):
    tied = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 5))
    tied[2].weight = tied[0].weight
    models = {
        "a TransformerEncoderLayer": nn.TransformerEncoderLayer(8, 2, 16),
        "Sequential(Linear, LayerNorm)": nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)),
        "Sequential(Embedding, Linear without bias)": nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4, bias=False)),
        "Sequential(Conv1d, BatchNorm1d)": nn.Sequential(nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3)),
        "Sequential(Embedding, LayerNorm, Linear), one weight shared": tied,
    }
    for given, model in models.items():
        trial = Trial(answer, model, 0.1, given=f"{given}, and weight_decay=0.1")
        groups = trial.returns(list, "a list of two dicts", of=dict)
        keyed = [{"params", "weight_decay"} <= {*one} and isinstance(one["params"], list | tuple) for one in groups]
        trial.expect(keyed == [True, True], "two dicts were expected, each with a list 'params' and 'weight_decay'")
        are_parameters = all(isinstance(one, torch.Tensor) for group in groups for one in group["params"])
        trial.expect(are_parameters, "'params' holds the parameters themselves. Perhaps you stored their names")
        decays = [group["weight_decay"] for group in groups]
        trial.expect(same(decays, [0.1, 0]), f"the two decays are to be 0.1 and 0, but are {describe(decays)}")
        got, expected = named(model, groups), named(model, split(model, 0.1))
        lost = next((name for name, _ in model.named_parameters() if name not in [*got[0], *got[1]]), "")
        told = f"The parameter {lost} is in neither group.", lost
        trial.equal(got, expected, "your two lists hold {got}", told, form=partial(named, model))


def factor(step, warmup, total, shift=0, low=0.0, rises=True, falls=True, late=True):
    """The factor of the schedule "linear"; the options are ways of getting it wrong."""
    if step < warmup:
        return (step + shift) / warmup if rises else 1.0
    return max(low, (total - step) / (max(1, total - warmup) if late else total)) if falls else 1.0


@exercise(
    "8.8",
    mistakes=[
        ("Perhaps you began with 1: step 0 has the factor 0.", partial(factor, shift=1)),
        ("The warmup begins at 0 and reaches 1 at its end.", partial(factor, rises=False)),
        ("Perhaps the fall begins at step 0: it begins where the warmup ends.", partial(factor, late=False)),
        ("After the warmup the factor falls to 0 at `total`.", partial(factor, falls=False)),
        ("A rate below 0 climbs uphill: stop at 0.", partial(factor, low=-math.inf)),
    ],
)
def warmup_factor(answer):
    from transformers import get_scheduler

    for warmup, total in ((10, 110), (0, 20), (1, 10), (7, 30), (5, 5), (3, 4)):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        library = get_scheduler("linear", optimizer, num_warmup_steps=warmup, num_training_steps=total).lr_lambdas[0]
        for step in range(total + 4):
            trial = Trial(answer, step, warmup, total)
            got = trial.returns(float)
            # plain fractions in float64: rounding near 1e-16
            trial.close(got, library(step), 1e-9, f"your factor {got:.4g} is not on the line")


def padded(rows, left: bool = False, mask=lambda ids, marks: marks) -> dict[str, torch.Tensor]:
    """The rows as a batch; the options are ways of getting it wrong."""
    longest = max(len(row["input_ids"]) for row in rows)
    lists = [row["input_ids"] for row in rows]
    zeros = [[0] * (longest - len(ids)) for ids in lists]
    ids = torch.tensor([fill + ids if left else ids + fill for ids, fill in zip(lists, zeros, strict=True)])
    marks = torch.tensor([[1] * len(ids) + fill for ids, fill in zip(lists, zeros, strict=True)])
    return {
        "input_ids": ids,
        "attention_mask": mask(ids, marks),
        "labels": torch.tensor([row["label"] for row in rows]),
    }


@exercise(
    "8.9",
    mistakes=[
        ("Perhaps you padded in front: here the zeros stand behind.", partial(padded, left=True)),
        (
            "Perhaps you asked where the id is not 0: an id 0 inside a text is a token, too.",
            partial(padded, mask=lambda ids, marks: (ids != 0).long()),
        ),
        ("Perhaps it is the other way round: 1 is a token.", partial(padded, mask=lambda ids, marks: 1 - marks)),
        ("Padding should be 0.", partial(padded, mask=lambda ids, marks: torch.ones_like(marks))),
    ],
)
def collate(answer):
    draw = random.Random(9)
    cases = [([7, 8, 9], [5]), ([4],), ([7, 0, 9], [1, 2, 3, 0])]
    cases += [[draw.choices(range(1, 99), k=draw.randint(1, 7)) for _ in range(draw.randint(2, 6))] for _ in range(5)]
    for lists in cases:
        trial = Trial(answer, [{"input_ids": ids, "label": draw.randint(0, 4)} for ids in lists])
        got, expected = trial.returns(dict, "a dict of three tensors"), padded(*trial.inputs)
        trial.expect(got.keys() == expected.keys(), f"the keys {list(expected)} were expected, but got {list(got)}")
        for name, target in expected.items():
            value = got[name]
            is_long = torch.is_tensor(value) and value.dtype == torch.long
            found = value.dtype if torch.is_tensor(value) else describe(value)
            trial.expect(is_long, f"{name} should be a tensor of dtype torch.long, but is {found}")
            trial.shape(value, target.shape, f"That is {name}.")
            trial.equal(value, target, f"your {name} {{got}} is not right", form=lambda batch, name=name: batch[name])
