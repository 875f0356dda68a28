"""Chapter 08: what learners get wrong, and what they are told."""

import torch
from torch import nn
from torch.nn import functional as F


def _dropout(x, p, training, keep=False, scale=True, rows=False, seed=None):
    if not training:
        return x
    if seed is not None:
        torch.manual_seed(seed)
    draws = torch.rand(len(x), 1).expand_as(x) if rows else torch.rand_like(x)
    kept = draws < p if keep else draws >= p
    if p == 1 and not keep:
        return torch.zeros_like(x)
    return torch.where(kept, x / (1 - p) if scale and p < 1 else x, 0.0)


def _dropout_in_place(x, p, training):
    return F.dropout(x, p, training, inplace=True)


def _naive(logits, labels):
    exponentials = logits.exp()
    probabilities = exponentials / exponentials.sum(dim=-1, keepdim=True)
    return -probabilities[torch.arange(len(labels)), labels].log().mean()


def _over_all_rows(logits, labels):
    return F.cross_entropy(logits, labels, reduction="sum") / len(labels)


def _index_from_the_end(logits, labels):
    return -logits.log_softmax(-1)[torch.arange(len(labels)), labels.clamp(min=0)].mean()


def _hessian(X, factor=None):
    return (2 / len(X) if factor is None else factor) * X.T @ X


def _loop(model, optimizer, batches, group, divide=len, rest=True, every=False, zero=True, start=True, total=None):
    steps = 0
    if start:
        optimizer.zero_grad()
    for first in range(0, len(batches), group):
        members = batches[first : first + group]
        if len(members) < group and not rest:
            continue
        for x, y in members:
            (F.mse_loss(model(x), y) / divide(members)).backward()
            if every:
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
        if not every:
            optimizer.step()
            steps += 1
        if zero:
            optimizer.zero_grad()
    return steps if total is None else total


def _one(members):
    return 1


def _summed(model, optimizer, batches, group, leak=False, rows=False, zero=True):
    steps = 0
    if not leak:
        optimizer.zero_grad()
    for first in range(0, len(batches), group):
        members = batches[first : first + group]
        count = sum(len(y) if rows else y.numel() for _, y in members)
        for x, y in members:
            (F.mse_loss(model(x), y, reduction="sum") / count).backward()
        optimizer.step()
        if zero:
            optimizer.zero_grad()
        steps += 1
    return steps


def _adamw(
    w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, l2=False, shift=0, inside=False,
    factor=None, corrected=False, in_place=False, only_w=False,
):  # fmt: skip
    if l2:
        gradient = gradient + weight_decay * w
    else:
        w = w - (lr if factor is None else factor) * weight_decay * w
    if in_place:
        m *= beta1
        m += (1 - beta1) * gradient
    else:
        m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    first, second = m / (1 - beta1 ** (step + shift)), v / (1 - beta2 ** (step + shift))
    w = w - lr * first / ((second + eps).sqrt() if inside else second.sqrt() + eps)
    if only_w:
        return w
    return (w, first, second) if corrected else (w, m, v)


def _uncorrected(w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
    return w - lr * weight_decay * w - lr * m / (v.sqrt() + eps), m, v


def _late(w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    w, m, v = _adamw(w, gradient, m, v, step, lr, beta1, beta2, eps, 0.0)
    return w - lr * weight_decay * w, m, v


def _split(model, weight_decay, test):
    first = [p for name, p in model.named_parameters() if test(name, p)]
    second = [p for name, p in model.named_parameters() if not test(name, p)]
    return [{"params": first, "weight_decay": weight_decay}, {"params": second, "weight_decay": 0.0}]


def _by_layer(model, weight_decay):
    linear = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    known = {id(parameter) for parameter in linear}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [{"params": linear, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _everything(model, weight_decay):
    everything = list(model.parameters())
    biases = [parameter for parameter in everything if parameter.ndim < 2]
    return [{"params": everything, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]


def _no_norms(model, weight_decay):
    groups = _split(model, weight_decay, lambda name, parameter: parameter.ndim >= 2)
    groups[1]["params"] = [p for name, p in model.named_parameters() if "bias" in name]
    return groups


def _names(model, weight_decay):
    return [{"params": [name for name, _ in model.named_parameters()], "weight_decay": weight_decay}] * 2


def _both_decayed(model, weight_decay):
    groups = _split(model, weight_decay, lambda name, parameter: parameter.ndim >= 2)
    groups[1]["weight_decay"] = weight_decay
    return groups


def _factor(step, warmup, total, shift=0, floor=True, base=True):
    if step < warmup:
        return (step + shift) / warmup
    left = (total - step) / (max(1, total - warmup) if base else total)
    return max(0.0, left) if floor else left


def _collate(rows, left=False, mask=None, dtype=torch.long, key="labels"):
    longest = max(len(row["input_ids"]) for row in rows)
    fill = [[0] * (longest - len(row["input_ids"])) for row in rows]
    lists = [row["input_ids"] for row in rows]
    ids = torch.tensor([zeros + one if left else one + zeros for one, zeros in zip(lists, fill, strict=True)])
    ones = torch.tensor([[1] * len(one) + zeros for one, zeros in zip(lists, fill, strict=True)])
    marks = ones if mask is None else mask(ids, ones)
    labels = torch.tensor([row["label"] for row in rows]).to(dtype)
    return {"input_ids": ids, "attention_mask": marks, key: labels}


def _collate_in_place(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    for row in rows:
        row["input_ids"] += [0] * (longest - len(row["input_ids"]))
    return _collate(rows)


WRONG = {
    "8.1": [
        (lambda x, weight, bias=None: x @ weight + bias, "transpose"),
        (lambda x, weight, bias=None: x @ weight.T, "bias is missing"),
        (lambda x, weight, bias=None: x @ weight.T + bias, "raised TypeError"),
        (lambda x, weight, bias=None: weight @ x + bias, "raised RuntimeError"),
        (lambda x, weight, bias=None: (x @ weight.T + (0 if bias is None else bias)).sum(), "of shape"),
    ],
    "8.2": [
        (lambda x, p, training: _dropout(x, p, True), "Out of training"),
        (lambda x, p, training: _dropout(x, p, training, keep=True), "zeros were expected"),
        (lambda x, p, training: _dropout(x, p, training, scale=False), "didn't divide"),
        (lambda x, p, training: _dropout(x, p, training, rows=True), "whole rows"),
        (lambda x, p, training: _dropout(x, p, training, seed=0), "draws anew"),
        (_dropout_in_place, "changed its input"),
        (lambda x, p, training: x * (torch.rand_like(x) >= p) / (1 - p) if training else x, "nan or inf"),
    ],
    "8.3": [
        (_naive, "exp(1000)"),
        (lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum"), "sum instead of the mean"),
        (lambda logits, labels: F.cross_entropy(logits.softmax(-1), labels), "softmax twice"),
        (lambda logits, labels: -F.cross_entropy(logits, labels), "sign"),
        (_over_all_rows, "divided by all rows"),
        (_index_from_the_end, "not left out"),
        (lambda logits, labels: F.cross_entropy(logits, labels, reduction="none"), "mean over the examples"),
    ],
    "8.4": [
        (lambda X: 2 / torch.linalg.eigvalsh(_hessian(X, 1)).max(), "left the 2/n out"),
        (lambda X: 2 / torch.linalg.eigvalsh(_hessian(X, 1 / len(X))).max(), "left out the 2"),
        (lambda X: 2 / torch.linalg.eigvalsh(_hessian(X, 2)).max(), "left out n"),
        (lambda X: 1 / torch.linalg.eigvalsh(_hessian(X)).max(), "1 / λmax"),
        (lambda X: 2 / torch.linalg.eigvalsh(_hessian(X)).min(), "smallest eigenvalue"),
        (lambda X: 2 / _hessian(X).trace(), "sum of the diagonal"),
        (lambda X: torch.linalg.eigvalsh(_hessian(X)).max(), "eigenvalue itself"),
        (lambda X: 2 / torch.linalg.eigvalsh(_hessian(X)), "was expected"),
        (lambda X: 2 / X.abs().max() ** 2, "not the edge"),
    ],
    "8.5": [
        (lambda m, o, b, g: _loop(m, o, b, g), "averaged the means"),
        (lambda m, o, b, g: _loop(m, o, b, g, divide=_one), "without dividing"),
        (lambda m, o, b, g: _loop(m, o, b, g, rest=False), "averaged the means"),
        (lambda m, o, b, g: _loop(m, o, b[: len(b) // g * g], g, every=True), "stepped after every batch"),
        (lambda m, o, b, g: _summed(m, o, b[: len(b) // g * g], g), "left out the last group"),
        (lambda m, o, b, g: _summed(m, o, b, g, rows=True), "divided by the rows"),
        (lambda m, o, b, g: _summed(m, o, b, g, zero=False), "still there in the next"),
        (lambda m, o, b, g: _summed(m, o, b, g, leak=True), "from before the call"),
        (lambda m, o, b, g: [_summed(m, o, b, g)], "number of steps was expected"),
    ],
    "8.6": [
        (lambda *a, **k: _adamw(*a, **k, l2=True), "That is L2"),
        (lambda *a, **k: _adamw(*a, **k, factor=1.0), "forgot the learning rate"),
        (_late, "decayed after the step"),
        (_uncorrected, "left out the correction"),
        (lambda *a, **k: _adamw(*a, **k, shift=1), "off by one"),
        (lambda *a, **k: _adamw(*a, **k, inside=True), "eps under the root"),
        (lambda *a, **k: _adamw(*a, **k, corrected=True), "uncorrected"),
        (lambda *a, **k: _adamw(*a, **k, in_place=True), "changed its input"),
        (lambda *a, **k: _adamw(*a, **k, only_w=True), "three tensors"),
    ],
    "8.7": [
        (lambda model, decay: _split(model, decay, lambda name, p: "bias" not in name), "should not be decayed"),
        (
            lambda model, decay: _split(model, decay, lambda name, p: "bias" not in name and "norm" not in name),
            "its name need not say so",
        ),
        (lambda model, decay: _split(model, decay, lambda name, p: p.ndim < 2), "swapped"),
        (_by_layer, "should be decayed"),
        (_everything, "in both groups"),
        (_no_norms, "in neither group"),
        (_names, "stored their names"),
        (_both_decayed, "two decays"),
        (lambda model, decay: list(model.parameters()), "two dicts"),
    ],
    "8.8": [
        (lambda step, warmup, total: _factor(step, warmup, total, shift=1), "began with 1"),
        (lambda step, warmup, total: _factor(step, warmup, total, floor=False), "climbs uphill"),
        (lambda step, warmup, total: _factor(step, warmup, total, base=False), "begins where the warmup ends"),
        (lambda step, warmup, total: min(1.0, step / max(1, warmup)), "falls to 0"),
        (lambda step, warmup, total: max(0.0, min(step / warmup, (total - step) / (total - warmup))), "raised"),
        (lambda step, warmup, total: "linear", "a number was expected"),
    ],
    "8.9": [
        (lambda rows: _collate(rows, left=True), "padded in front"),
        (lambda rows: _collate(rows, mask=lambda ids, ones: (ids != 0).long()), "an id 0 inside"),
        (lambda rows: _collate(rows, mask=lambda ids, ones: 1 - ones), "other way round"),
        (lambda rows: _collate(rows, mask=lambda ids, ones: torch.ones_like(ids)), "Padding should be 0"),
        (lambda rows: _collate(rows, mask=lambda ids, ones: ones.bool()), "dtype torch.long"),
        (lambda rows: _collate(rows, dtype=torch.float), "dtype torch.long"),
        (lambda rows: _collate(rows, key="label"), "a dict with"),
        (_collate_in_place, "changed the rows"),
        (lambda rows: torch.tensor([row["input_ids"] for row in rows]), "raised ValueError"),
    ],
}
