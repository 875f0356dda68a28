"""Chapter 08: a linear layer, dropout, cross-entropy, the stable rate, accumulation, AdamW, groups, warmup, batches."""

import copy

from labs_utils.exercises.core import as_tensor, call, describe, exercise, expect, expect_close, expect_shape


def _close(value, reference, tolerance: float) -> bool:
    """Whether two tensors have one shape and lie within `tolerance` of each other."""
    return value.shape == reference.shape and bool((value - reference).abs().max() <= tolerance)


def _unchanged(before, after, given: str) -> None:
    """Complain when the learner's function wrote into what it was given."""
    import torch

    expect(
        torch.equal(before, after),
        f"Given {given}, your function changed its input. Perhaps you used +=, *= or a method that ends in _: "
        "work on a new tensor.",
    )


@exercise("8.1")
def linear(answer):
    import torch

    draw = torch.Generator().manual_seed(0)
    shapes = [((3,), 3, True), ((2, 3), 3, True), ((5, 4), 2, True), ((4,), 2, True), ((4, 6, 10), 5, True)]
    shapes += [((3, 4), 2, False), ((2, 3, 4, 5), 6, True)]
    for shape, out, has_bias in shapes:
        x = torch.randn(shape, generator=draw)
        weight = torch.randn(out, shape[-1], generator=draw)
        bias = torch.randn(out, generator=draw) if has_bias else None
        shown = f"bias {[out]}" if has_bias else "bias None"
        given = f"x of shape {list(shape)}, weight {[out, shape[-1]]}, {shown}"
        kept = x.clone(), weight.clone()
        got = as_tensor(call(answer, x, weight, bias, given=given), given)
        _unchanged(kept[0], x, given)
        _unchanged(kept[1], weight, given)
        wanted = torch.nn.functional.linear(x, weight, bias).double()
        perhaps = ""
        if out == shape[-1] and _close(got, (x @ weight + bias).double(), 1e-4):
            perhaps = "Perhaps you forgot to transpose the weight: it is stored output first."
        elif has_bias and _close(got, (x @ weight.T).double(), 1e-4):
            perhaps = "The bias is missing."
        # float32 sums of at most ten products of numbers near 1: rounding stays far below 1e-4
        expect_close(got, wanted, given, 1e-4, perhaps)


@exercise("8.2")
def dropout(answer):
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cases = [(0.5, False), (1.0, False), (0.5, True), (0.2, True), (0.9, True), (0.0, True), (1.0, True)]
        x = torch.randn(200, 200)
        x = torch.where(x.abs() < 0.01, torch.ones_like(x), x)  # no zeros of its own
        for p, training in cases:
            given = f"x of shape [200, 200], p={p}, training={training}"
            mine = x.clone()
            got = as_tensor(call(answer, mine, p, training, given=given), given)
            _unchanged(x, mine, given)
            expect_shape(got, tuple(x.shape), given)
            expect(
                bool(got.isfinite().all()),
                f"Given {given}, the result holds nan or inf. Perhaps you divided by 1 - p, which is 0 here.",
            )
            if not training or p == 0:
                perhaps = "Out of training nothing is dropped or scaled." if not training else "p=0 drops nothing."
                expect_close(got, x, given, 1e-6, perhaps)
                continue
            zeros = (got == 0).double()
            by_row, by_column = zeros.mean(dim=1), zeros.mean(dim=0)
            alike = [bool(((part == 0) | (part == 1)).all()) for part in (by_row, by_column)]
            expect(
                p == 1 or not any(alike),
                f"Given {given}, whole rows or columns were dropped together. Each number needs a random number of "
                "its own.",
            )
            share = zeros.mean().item()
            # 40,000 draws: the share of zeros has a standard deviation of at most 0.0025, so 0.02 is eight of them
            perhaps = ""
            if abs(share - (1 - p)) < 0.02:
                perhaps = " Perhaps you kept with probability p: p is the probability of a zero."
            expect(
                abs(share - p) < 0.02,
                f"Given {given}, about {p:.0%} zeros were expected, but got {share:.0%}.{perhaps}",
            )
            if p == 1:
                continue
            kept = got != 0
            scale = (got / x.double())[kept]
            unscaled = bool(((scale - 1).abs() < 1e-4).all())
            perhaps = " Perhaps you didn't divide what is kept by 1 - p." if unscaled else ""
            # float32 division: relative rounding near 1e-7
            expect(
                bool(((scale - 1 / (1 - p)).abs() < 1e-3).all()),
                f"Given {given}, what is kept should be x / {1 - p:g}, but the factor is about "
                f"{scale.mean().item():.2f}.{perhaps}",
            )
            again = as_tensor(call(answer, x.clone(), p, training, given=given), given)
            expect(
                not torch.equal(again, got),
                f"Given {given} twice, the same numbers were dropped. Perhaps you seed inside: each call draws anew.",
            )


@exercise("8.3")
def cross_entropy_by_hand(answer):
    import torch

    draw = torch.Generator().manual_seed(2)
    functional = torch.nn.functional
    cases = [
        ("logits [[0, 0]] and label [1]", torch.zeros(1, 2), torch.tensor([1])),
        (
            "logits [4, 3] and labels [4]",
            torch.randn(4, 3, generator=draw),
            torch.randint(3, (4,), generator=draw),
        ),
        (
            "logits as large as 1000",
            torch.tensor([[1000.0, 0.0, -1000.0], [999.0, 1000.0, 0.0]]),
            torch.tensor([0, 0]),
        ),
        ("the label -100 in one of three rows", torch.randn(3, 5, generator=draw), torch.tensor([4, -100, 2])),
        (
            "the label -100 in many rows",
            torch.randn(30, 7, generator=draw) * 3,
            torch.randint(7, (30,), generator=draw).masked_fill(torch.rand(30, generator=draw) < 0.5, -100),
        ),
    ]
    for given, logits, labels in cases:
        kept = logits.clone(), labels.clone()
        got = as_tensor(call(answer, logits, labels, given=given), given)
        _unchanged(kept[0], logits, given)
        _unchanged(kept[1], labels, given)
        wanted = functional.cross_entropy(logits.double(), labels)
        perhaps = ""
        valid = labels != -100
        if not bool(got.isfinite().all()):
            perhaps = (
                "The result is nan or inf: exp(1000) is infinite. Use a function that takes "
                "the largest logit out first."
            )
        elif got.ndim:
            perhaps = "One number is asked for: the mean over the examples."
        elif _close(got, -wanted, 1e-4):
            perhaps = "The sign is wrong: a loss is positive."
        elif len(labels) > 1 and _close(got, wanted * valid.sum(), 1e-3):
            perhaps = "Perhaps you took the sum instead of the mean."
        elif not valid.all() and _close(got, wanted * valid.sum() / len(labels), 1e-4):
            perhaps = "Perhaps you divided by all rows: those with -100 don't count in the mean either."
        elif not valid.all():
            perhaps = "Perhaps -100 was used as an index (it counts from the end) or was not left out."
        elif _close(got, functional.cross_entropy(logits.double().softmax(-1), labels), 1e-4):
            perhaps = "Perhaps you applied softmax twice."
        # logits up to 1000 in float32 carry steps of 6e-5: 1e-3 leaves room, and every mistake is larger
        expect_close(got, wanted, given, 1e-3, perhaps)


@exercise("8.4")
def largest_rate(answer):
    import torch

    draw = torch.Generator().manual_seed(3)
    cases = [torch.tensor([[1.0], [2.0], [2.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.5], [0.0, 0.5]])]
    cases += [torch.randn(rows, columns, generator=draw) for rows, columns in ((20, 2), (50, 5), (3, 6))]
    cases.append(torch.randn(30, 3, generator=draw) * torch.tensor([0.1, 1.0, 10.0]))
    for X in cases:
        given = f"X = {X.tolist()}" if X.numel() <= 6 else f"an X of shape {list(X.shape)}"
        kept = X.clone()
        got = as_tensor(call(answer, X, given=given), given)
        _unchanged(kept, X, given)
        expect_shape(got, (), given, "One rate is asked for.")
        curvatures = torch.linalg.svdvals(X.double()) ** 2 * 2 / len(X)
        wanted, rate = 2 / curvatures.max().item(), got.item()
        guesses = {
            "Perhaps you left the 2/n out of the Hessian.": wanted * 2 / len(X),
            "Perhaps you left out the 2 of the derivative: the Hessian has 2/n.": wanted * 2,
            "Perhaps you left out n: the loss is a mean.": wanted / len(X),
            "That is 1 / λmax: a step may go up to twice as far as the minimum.": wanted / 2,
            "Perhaps you took the smallest eigenvalue: the steepest direction sets the limit.": 2
            / max(curvatures.min().item(), 1e-12),
            "Perhaps you took the sum of the diagonal: the largest eigenvalue is needed.": 2 / curvatures.sum().item(),
            "That is the eigenvalue itself, not the rate.": curvatures.max().item(),
        }
        # float32 eigenvalues are good to about 1e-5 relative; 1e-3 accepts every way of computing them
        near = [hint for hint, value in guesses.items() if abs(rate - value) <= 1e-3 * value]
        right = abs(rate - wanted) <= 1e-3 * wanted
        side = "diverges" if rate > wanted else "is still stable a good deal higher"
        expect(
            right,
            f"Given {given}, your rate {rate:.4g} is not the edge: gradient descent {side}. {near[0] if near else ''}",
        )


def _groups(batches: list, size: int) -> list:
    return [batches[first : first + size] for first in range(0, len(batches), size)]


def _accumulated(batches, size: int, model, kind: str):
    """The weights after one pass with plain SGD, done right or with a known mistake; returns (weights, steps)."""
    import torch

    before = [parameter.grad for parameter in model.parameters()]
    model = copy.deepcopy(model)  # which copies no gradients
    optimizer, steps = torch.optim.SGD(model.parameters(), lr=0.1), 0
    if kind == "leaks":
        for parameter, old in zip(model.parameters(), before, strict=True):
            parameter.grad = None if old is None else old.clone()
    for members in _groups(batches, size):
        if kind == "drops the rest" and len(members) < size:
            continue
        count = sum(y.numel() for _, y in members)
        for x, y in members:
            squares = (model(x) - y) ** 2
            loss = {
                "no division": squares.mean(),
                "mean of means": squares.mean() / len(members),
                "by group": squares.mean() / size,
                "a sum": squares.sum(),
                "by examples": squares.sum() / sum(len(truth) for _, truth in members),
            }.get(kind, squares.sum() / count)
            loss.backward()
        optimizer.step()
        if kind != "never zeroed":
            optimizer.zero_grad()
        steps += 1
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), steps


@exercise("8.5")
def accumulate(answer):
    import torch

    torch_draw = torch.Generator().manual_seed(4)
    mistakes = {
        "mean of means": "Perhaps you averaged the means of the batches: a small batch then counts as much as a large "
        "one.",
        "by group": "Perhaps you divided by `group` where the last group has fewer batches, or batches differ in size.",
        "no division": "Perhaps you added the means without dividing: the step is too long.",
        "a sum": "Perhaps you took the sum of the squares and never divided it.",
        "by examples": "Perhaps you divided by the rows: y has several columns, and the mean is over all numbers.",
        "never zeroed": "Perhaps the gradients of one group are still there in the next.",
        "leaks": "Perhaps a gradient from before the call was still there: empty it at the start.",
    }
    cases = [
        ([4, 4, 4, 4], 2, False),
        ([4, 2, 3, 3], 2, False),
        ([4, 4, 4, 4, 4], 2, False),
        ([5, 1, 2], 1, False),
        ([3, 2], 5, False),
        ([4, 4, 2], 3, True),
        ([], 2, False),
    ]
    for sizes, group, dirty in cases:
        given = f"{len(sizes)} batches of {sizes} examples and group={group}"
        given += ", with an old gradient in the model" if dirty else ""
        draw = {"generator": torch_draw, "dtype": torch.float64}
        batches = [(torch.randn(size, 3, **draw), torch.randn(size, 3, **draw)) for size in sizes]
        model = torch.nn.Linear(3, 3, dtype=torch.float64)
        with torch.no_grad():
            model.weight.copy_(torch.randn(3, 3, **draw))
            model.bias.zero_()
        if dirty:
            (model(torch.ones(1, 3, dtype=torch.float64)) * 5).sum().backward()
        mine, taken = copy.deepcopy(model), []
        optimizer = torch.optim.SGD(mine.parameters(), lr=0.1)
        optimizer.register_step_post_hook(lambda *_, taken=taken: taken.append(1))
        if dirty:
            for new, old in zip(mine.parameters(), model.parameters(), strict=True):
                new.grad = old.grad.clone()
        returned = call(answer, mine, optimizer, list(batches), group, given=given)
        wanted, steps = _accumulated(batches, group, model, "right")
        complete = sum(len(members) == group for members in _groups(batches, group))
        perhaps = ""
        if len(taken) == complete != steps:
            perhaps = " Perhaps you left out the last group, which is shorter."
        elif len(taken) == len(batches) != steps:
            perhaps = " Perhaps you stepped after every batch."
        expect(len(taken) == steps, f"Given {given}, {steps} steps were expected, but you took {len(taken)}.{perhaps}")
        expect(
            not isinstance(returned, bool) and isinstance(returned, int) and returned == steps,
            f"Given {given}, the number of steps was expected as the result, {steps}, but got {describe(returned)}.",
        )
        got = torch.cat([parameter.detach().flatten() for parameter in mine.parameters()])
        found = ""
        for kind, sentence in mistakes.items():
            wrong = _accumulated(batches, group, model, kind)[0]
            if not _close(got, wanted, 1e-9) and _close(got, wrong, 1e-9):
                found = sentence
                break
        # float64 throughout: two right ways differ only by rounding, near 1e-15
        expect_close(got, wanted, f"{given}, the weights after your steps", 1e-9, found)


def _adamw(w, g, m, v, step, lr, beta1, beta2, eps, decay, mistake=""):
    """One step, right or with a known mistake."""
    if mistake == "l2":
        g = g + decay * w
    shrunk = w if mistake in ("l2", "late") else w - (decay if mistake == "no lr" else lr * decay) * w
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    first, second = m / (1 - beta1**step), v / (1 - beta2**step)
    if mistake == "uncorrected":
        first, second = m, v
    if mistake == "exponent":
        first, second = m / (1 - beta1 ** (step + 1)), v / (1 - beta2 ** (step + 1))
    move = first / (second + eps).sqrt() if mistake == "eps inside" else first / (second.sqrt() + eps)
    if mistake == "no root":
        move = first / (second + eps)
    new = shrunk - lr * move
    return (new - lr * decay * new if mistake == "late" else new), m, v


@exercise("8.6")
def adamw_step(answer):
    import torch

    draw = {"generator": torch.Generator().manual_seed(5), "dtype": torch.float64}
    mistakes = {
        "l2": "Perhaps you added the decay to the gradient. That is L2; here it goes straight to the weight.",
        "no lr": "Perhaps you forgot the learning rate in the decay.",
        "late": "Perhaps you decayed after the step: the decay comes first.",
        "uncorrected": "Perhaps you left out the correction: without it the first steps are wrong.",
        "exponent": "Perhaps the exponent is off by one: step is 1 in the first step, not 0.",
        "eps inside": "Perhaps you put eps under the root: it is added after it.",
        "no root": "Perhaps you forgot the root of v.",
    }
    settings = [(0.1, 0.9, 0.999, 1e-8, 0.0), (0.1, 0.9, 0.999, 1e-8, 0.5), (0.01, 0.8, 0.95, 1e-2, 0.1)]
    for lr, beta1, beta2, eps, decay in settings:
        options = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": decay}
        parameter = torch.nn.Parameter(torch.randn(4, 3, **draw))
        library = torch.optim.AdamW([parameter], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay)
        m = v = torch.zeros(4, 3, dtype=torch.float64)
        for step in range(1, 5):
            given = f"step={step}, lr={lr}, betas {beta1} and {beta2}, eps={eps}, weight_decay={decay}"
            w, g = parameter.detach().clone(), torch.randn(4, 3, **draw)
            inputs = [w.clone(), g.clone(), m.clone(), v.clone()]
            result = call(answer, *inputs, step, given=given, **options)
            for before, after in zip((w, g, m, v), inputs, strict=True):
                _unchanged(before, after, given)
            three = isinstance(result, tuple | list) and len(result) == 3
            expect(three, f"Given {given}, three tensors (w, m, v) were expected, but got {describe(result)}.")
            parameter.grad = g
            library.step()
            state = library.state[parameter]
            got = [as_tensor(part, given) for part in result]
            right = (parameter.detach(), state["exp_avg"], state["exp_avg_sq"])
            perhaps = ""
            for mistake, sentence in mistakes.items():
                wrong = _adamw(w, g, m, v, step, lr, beta1, beta2, eps, decay, mistake)[0]
                if _close(got[0], wrong, 1e-9) and not _close(wrong, right[0], 1e-9):
                    perhaps = sentence
            # float64: the library's order of operations and yours differ by rounding only, near 1e-15
            expect_close(got[0], right[0], f"{given}, the new w", 1e-9, perhaps)
            for name, mine, theirs, beta in (("m", got[1], right[1], beta1), ("v", got[2], right[2], beta2)):
                corrected = _close(mine, theirs / (1 - beta**step), 1e-9)
                perhaps = "Perhaps you returned the corrected one: the next step needs it uncorrected."
                expect_close(mine, theirs, f"{given}, the new {name}", 1e-9, perhaps if corrected else "")
            m, v = state["exp_avg"].clone(), state["exp_avg_sq"].clone()


@exercise("8.7")
def decay_groups(answer):
    import torch
    from torch import nn

    models = {
        "Sequential(Linear, LayerNorm)": nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)),
        "a TransformerEncoderLayer": nn.TransformerEncoderLayer(8, 2, 16),
        "Sequential(Embedding, Linear without bias)": nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4, bias=False)),
        "Sequential(Conv1d, BatchNorm1d)": nn.Sequential(nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3)),
    }
    for given, model in models.items():
        result = call(answer, model, 0.1, given=f"{given} and weight_decay=0.1")
        keyed = (
            isinstance(result, list | tuple)
            and len(result) == 2
            and all(isinstance(group, dict) and {"params", "weight_decay"} <= set(group) for group in result)
        )
        expect(
            keyed,
            f"Given {given}, a list of two dicts with the keys 'params' and 'weight_decay' was expected, but got "
            f"{describe(result)}.",
        )
        groups = [list(group["params"]) for group in result]
        tensors = all(isinstance(parameter, torch.Tensor) for group in groups for parameter in group)
        expect(tensors, f"Given {given}, 'params' should hold parameters. Perhaps you stored their names.")
        decays = [group["weight_decay"] for group in result]
        expect(
            decays[0] == 0.1 and decays[1] == 0,
            f"Given {given} and weight_decay=0.1, the two decays should be 0.1 and 0, but are {decays}.",
        )
        places = [{id(parameter) for parameter in group} for group in groups]
        names = dict(model.named_parameters())
        plain = {
            f"{prefix}.{name}".lstrip(".")
            for prefix, module in model.named_modules()
            for name, _ in module.named_parameters(recurse=False)
            if "bias" in name or isinstance(module, nn.LayerNorm | nn.BatchNorm1d)
        }
        swapped = all((id(parameter) in places[0]) == (name in plain) for name, parameter in names.items())
        expect(not swapped, f"Given {given}, the two lists are swapped: what is decayed comes first.")
        for name, parameter in names.items():
            inside = [id(parameter) in place for place in places]
            expect(any(inside), f"Given {given}, the parameter {name} is in neither group.")
            expect(not all(inside), f"Given {given}, the parameter {name} is in both groups.")
            if name in plain and inside[0]:
                norm = "bias" not in name
                perhaps = "It is the scale of a norm layer; its name need not say so." if norm else "It is a bias."
                expect(False, f"Given {given}, the parameter {name} should not be decayed. {perhaps}")
            expect(
                name in plain or inside[0],
                f"Given {given}, the parameter {name} of shape {list(parameter.shape)} should be decayed. Perhaps you "
                "looked for a kind of layer: everything that is no bias and no norm belongs here.",
            )
        expect(
            sum(len(group) for group in groups) == len(names),
            f"Given {given}, a parameter stands twice in one group.",
        )


@exercise("8.8")
def warmup_factor(answer):
    import torch
    from transformers import get_scheduler

    for warmup, total in ((10, 110), (0, 20), (1, 10), (7, 30), (5, 5), (3, 4)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        library = get_scheduler("linear", optimizer, num_warmup_steps=warmup, num_training_steps=total).lr_lambdas[0]
        for step in range(total + 4):
            given = f"step={step}, warmup={warmup}, total={total}"
            result = call(answer, step, warmup, total, given=given)
            number = isinstance(result, int | float) or (hasattr(result, "shape") and result.shape == ())
            expect(number, f"Given {given}, a number was expected, but got {describe(result)}.")
            factor, wanted = float(result), float(library(step))
            perhaps = ""
            if factor < 0:
                perhaps = " A rate below 0 climbs uphill: stop at 0."
            elif step < warmup and abs(factor - (step + 1) / warmup) < 1e-9:
                perhaps = " Perhaps you began with 1: step 0 has the factor 0."
            elif step < warmup and factor == 1:
                perhaps = " The warmup begins at 0 and reaches 1 at its end."
            elif step >= warmup and abs(factor - max(0, (total - step) / total)) < 1e-9:
                perhaps = " Perhaps the fall begins at step 0: it begins where the warmup ends."
            elif warmup < step and factor == 1:
                perhaps = " After the warmup the factor falls to 0 at `total`."
            # plain fractions in float64: rounding near 1e-16
            expect(
                abs(factor - wanted) < 1e-9,
                f"Given {given}, your factor {factor:.4g} is not on the line.{perhaps}",
            )


@exercise("8.9")
def collate(answer):
    import random

    import torch

    draw = random.Random(9)
    cases = [
        [{"input_ids": [7, 8, 9], "label": 1}, {"input_ids": [5], "label": 0}],
        [{"input_ids": [4], "label": 3}],
        [{"input_ids": [7, 0, 9], "label": 0}, {"input_ids": [1, 2, 3, 0], "label": 2}],
    ]
    for _ in range(5):
        rows = range(draw.randint(2, 6))
        lists = [draw.choices(range(1, 99), k=draw.randint(1, 7)) for _ in rows]
        cases.append([{"input_ids": ids, "label": draw.randint(0, 4)} for ids in lists])
    for rows in cases:
        lists = [row["input_ids"] for row in rows]
        given = f"the ids {describe(lists)}"
        mine = copy.deepcopy(rows)
        batch = call(answer, mine, given=given)
        expect(mine == rows, f"Given {given}, your function changed the rows. Perhaps you padded their lists in place.")
        names = {"input_ids", "attention_mask", "labels"}
        keyed = hasattr(batch, "keys") and set(batch.keys()) == names
        expect(keyed, f"Given {given}, a dict with {sorted(names)} was expected, but got {describe(batch)}.")
        longest = max(map(len, lists))
        for name in ("input_ids", "attention_mask", "labels"):
            value = batch[name]
            expect(
                isinstance(value, torch.Tensor) and value.dtype == torch.long,
                f"Given {given}, {name} should be a tensor of dtype torch.long, but is "
                f"{value.dtype if isinstance(value, torch.Tensor) else describe(value)}.",
            )
            expect_shape(value, (len(rows),) if name == "labels" else (len(rows), longest), f"{given}, {name}")
        ids = torch.tensor([one + [0] * (longest - len(one)) for one in lists])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in lists])
        left = torch.tensor([[0] * (longest - len(one)) + one for one in lists])
        perhaps = ""
        if torch.equal(batch["input_ids"], left) and not torch.equal(left, ids):
            perhaps = " Perhaps you padded in front: here the zeros stand behind."
        expect(
            torch.equal(batch["input_ids"], ids),
            f"Given {given}, input_ids are not the ids with zeros behind them.{perhaps}",
        )
        perhaps = ""
        if torch.equal(batch["attention_mask"], (ids != 0).long()):
            perhaps = " Perhaps you asked where the id is not 0: an id 0 inside a text is a token, too."
        elif torch.equal(batch["attention_mask"], 1 - mask):
            perhaps = " Perhaps it is the other way round: 1 is a token."
        elif bool((batch["attention_mask"] == 1).all()):
            perhaps = " Padding should be 0."
        expect(
            torch.equal(batch["attention_mask"], mask),
            f"Given {given}, your attention_mask does not mark the tokens.{perhaps}",
        )
        labels = torch.tensor([row["label"] for row in rows])
        expect(torch.equal(batch["labels"], labels), f"Given {given}, the labels are not those of the rows, in order.")
