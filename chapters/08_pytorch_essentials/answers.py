"""Chapter 08: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

from fractions import Fraction

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence


def linear_with_einsum(x, weight, bias=None):
    result = torch.einsum("...i,oi->...o", x, weight)
    if bias is not None:
        result += bias
    return result


def linear_with_numpy(x, weight, bias=None):
    return np.tensordot(x.numpy(), weight.numpy(), axes=(-1, 1)) + (0 if bias is None else bias.numpy())


def linear_in_place(x, weight, bias=None):
    return torch.addmm(bias.mul_(2), x, weight.T) if x.ndim == 2 and bias is not None else F.linear(x, weight, bias)


def dropout_by_bernoulli(x, p, training):
    if not training or p == 0:
        return x
    return x * torch.bernoulli(torch.full_like(x, 1 - p)) / max(1 - p, 1e-9)


def dropout_with_numpy(x, p, training):
    keep = np.random.random(x.shape) >= p
    return np.where(keep, x.numpy() / (1 - p) if p < 1 else 0, 0) if training else x.numpy()


def drop(x, p, training, keep=False, scale=True, rows=False, seed=None):
    """Dropout; the options are ways of getting it wrong."""
    if not training:
        return x
    if seed is not None:
        torch.manual_seed(seed)
    draws = torch.rand(len(x), 1).expand_as(x) if rows else torch.rand_like(x)
    kept = draws < p if keep else draws >= p
    if p in (0, 1):
        return x * (1 - p)
    return torch.where(kept, x / (1 - p) if scale else x, 0.0)


def drop_exactly(x, p, training):
    if not training or p in (0, 1):
        return drop(x, p, training)
    order = torch.randperm(x.numel()).view_as(x)
    return torch.where(order < round(p * x.numel()), 0.0, x / (1 - p))


def drop_exactly_in_rows(x, p, training):
    if not training or p in (0, 1):
        return drop(x, p, training)
    order = torch.rand_like(x).argsort(dim=-1)
    return torch.where(order < round(p * x.shape[-1]), 0.0, x / (1 - p))


def drop_in_place(x, p, training):
    return F.dropout(x, p, training, inplace=True)


def entropy_with_loops(logits, labels):
    losses = [
        row.double().logsumexp(dim=0) - row[label]
        for row, label in zip(logits, labels.tolist(), strict=True)
        if label != -100
    ]
    return sum(losses) / len(losses)


def entropy_with_masks(logits, labels):
    counted = labels != -100
    picked = F.one_hot(labels.clamp(min=0), logits.shape[1])
    shifted = logits - logits.amax(dim=1, keepdim=True)
    losses = shifted.exp().sum(dim=1).log() - (picked * shifted).sum(dim=1)
    return (losses * counted).sum() / counted.sum()


def entropy_of(probabilities, labels):
    counted = labels != -100
    return -probabilities[counted].gather(1, labels[counted][:, None]).log().mean()


def exponentials(logits):
    return logits.exp() / logits.exp().sum(dim=-1, keepdim=True)


def rate_from_singular_values(X):
    return len(X) / torch.linalg.matrix_norm(X, ord=2) ** 2


def rate_with_numpy(X):
    X = X.double().numpy()
    return 2 / np.linalg.eigvals(2 / len(X) * X.T @ X).real.max()


def accumulate_at_once(model, optimizer, batches, group):
    steps = 0
    while steps * group < len(batches):
        x, y = (torch.cat(side) for side in zip(*batches[steps * group : (steps + 1) * group], strict=True))
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
        steps += 1
    return steps


def accumulate_gradients(model, optimizer, batches, group):
    parameters, steps = list(model.parameters()), 0
    for first in range(0, len(batches), group):
        members = batches[first : first + group]
        share = sum(y.numel() for _, y in members)
        found = [torch.autograd.grad(((model(x) - y) ** 2).sum() / share, parameters) for x, y in members]
        for parameter, several in zip(parameters, zip(*found, strict=True), strict=True):
            parameter.grad = sum(several)
        optimizer.step()
        steps += 1
    return np.int64(steps)


def accumulate_complete(model, optimizer, batches, group):
    return accumulate_at_once(model, optimizer, batches[: len(batches) // group * group], group)


def accumulate_each(model, optimizer, batches, group):
    return accumulate_at_once(model, optimizer, batches, 1)


def adamw_in_place(w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    w, m, v = w.clone(), m.clone(), v.clone()
    w.mul_(1 - lr * weight_decay)
    m.lerp_(gradient, 1 - beta1)
    v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    w.addcdiv_(m, v.sqrt() / (1 - beta2**step) ** 0.5 + eps, value=-lr / (1 - beta1**step))
    return [w, m, v]


def adamw_with_numpy(w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    w, gradient, m, v = (tensor.numpy() for tensor in (w, gradient, m, v))
    m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
    move = m / (1 - beta1**step) / (np.sqrt(v / (1 - beta2**step)) + eps)
    return w * (1 - lr * weight_decay) - lr * move, m, v


def adamw_over_its_arguments(w, gradient, m, v, step, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    return adamw_with_numpy(w.mul_(1 - lr * weight_decay), gradient, m, v, step, lr, beta1, beta2, eps, 0)


def groups_by_kind(model, weight_decay):
    spared = {
        id(parameter)
        for layer in model.modules()
        for name, parameter in layer.named_parameters(recurse=False)
        if isinstance(layer, nn.LayerNorm | nn.BatchNorm1d) or name.endswith("bias")
    }
    groups = {False: [], True: []}
    for parameter in model.parameters():
        groups[id(parameter) in spared].append(parameter)
    return tuple({"params": groups[one], "weight_decay": 0 if one else weight_decay} for one in (False, True))


def groups_by_shape(model, weight_decay, is_first=lambda parameter: parameter.dim() >= 2):
    first = [parameter for parameter in model.parameters() if is_first(parameter)][::-1]
    second = [parameter for parameter in model.parameters() if not is_first(parameter)]
    return [{"params": first, "weight_decay": weight_decay}, {"weight_decay": 0.0, "params": second}]


def groups_by_name(model, weight_decay):
    named = dict(model.named_parameters())
    spared = [name for name in named if "bias" in name or "norm" in name]
    first = [named[name] for name in named if name not in spared]
    return [
        {"params": first, "weight_decay": weight_decay},
        {"params": [named[name] for name in spared], "weight_decay": 0.0},
    ]


def groups_without_norms(model, weight_decay):
    groups = groups_by_shape(model, weight_decay)
    groups[1]["params"] = [parameter for name, parameter in model.named_parameters() if "bias" in name]
    return groups


def groups_both_decayed(model, weight_decay):
    return [{**group, "weight_decay": weight_decay} for group in groups_by_shape(model, weight_decay)]


def groups_of_names(model, weight_decay):
    return [{"params": [name for name, _ in model.named_parameters()], "weight_decay": weight_decay}] * 2


def factor_as_a_minimum(step, warmup, total):
    down = (total - step) / max(1, total - warmup)
    return max(0, min(down, step / warmup if step < warmup else down))


def factor_as_a_fraction(step, warmup, total):
    if step >= total:
        return 0
    return Fraction(step, warmup) if step < warmup else Fraction(total - step, total - warmup)


def collate_with_pad_sequence(rows):
    ids = [torch.tensor(row["input_ids"]) for row in rows]
    return {
        "labels": torch.as_tensor([row["label"] for row in rows]),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        "input_ids": pad_sequence(ids, batch_first=True),
    }


def collate_from_lengths(rows):
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    ids[mask] = torch.tensor([number for row in rows for number in row["input_ids"]])
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": torch.tensor([row["label"] for row in rows])}


def collate_in_place(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    for row in rows:
        row["input_ids"] += [0] * (longest - len(row["input_ids"]))
    return collate_from_lengths(rows)


RIGHT = {
    "8.1": [linear_with_einsum, linear_with_numpy],
    "8.2": [dropout_by_bernoulli, dropout_with_numpy],
    "8.3": [entropy_with_loops, entropy_with_masks],
    "8.4": [rate_from_singular_values, rate_with_numpy],
    "8.5": [accumulate_at_once, accumulate_gradients],
    "8.6": [adamw_in_place, adamw_with_numpy],
    "8.7": [groups_by_kind, groups_by_shape],
    "8.8": [factor_as_a_minimum, factor_as_a_fraction],
    "8.9": [collate_with_pad_sequence, collate_from_lengths],
}

WRONG = {
    "8.1": [
        (linear_in_place, "changed bias"),
        (lambda x, weight, bias=None: x @ weight.T + bias, "raised TypeError"),
        (lambda x, weight, bias=None: weight @ x + bias, "raised RuntimeError"),
        (lambda x, weight, bias=None: F.linear(x, weight, bias).sum(), "of shape"),
    ],
    "8.2": [
        (drop_in_place, "changed x"),
        (lambda x, p, training: drop(x, p, True), "Out of training"),
        (lambda x, p, training: drop(x, p, training, keep=True), "zeros were expected"),
        (lambda x, p, training: drop(x, p, training, scale=False), "didn't divide"),
        (lambda x, p, training: drop(x, p, training, rows=True), "whole rows"),
        (lambda x, p, training: drop(x, p, training, seed=0), "draws anew"),
        (drop_exactly, "in each of four calls"),
        (drop_exactly_in_rows, "as many zeros"),
    ],
    "8.3": [
        (F.cross_entropy, "uses cross_entropy"),
        (lambda logits, labels: F.cross_entropy(logits, labels), "uses cross_entropy"),
        (lambda logits, labels: nn.NLLLoss()(logits.log_softmax(dim=-1), labels), "uses NLLLoss"),
        (lambda logits, labels: entropy_of(exponentials(logits), labels), "exp(1000)"),
        (lambda logits, labels: entropy_of(logits.softmax(dim=-1) + 1e-9, labels), "cut the probabilities off"),
        (lambda logits, labels: logits.logsumexp(dim=-1) - logits[:, 0], "mean over the examples"),
        (lambda logits, labels: entropy_with_masks(logits, labels).item(), "backward() starts from it"),
    ],
    "8.4": [
        (lambda X: 2 / torch.linalg.eigvalsh(X.T @ X), "One rate is asked for"),
        (lambda X: 2 / X.abs().max() ** 2, "not the edge"),
    ],
    "8.5": [
        (accumulate_complete, "left out the last group"),
        (accumulate_each, "stepped after every batch"),
        (lambda *given: [accumulate_at_once(*given)], "the number of steps was expected"),
        (lambda *given: 7 * accumulate_at_once(*given), "the result is the number of steps"),
    ],
    "8.6": [
        (adamw_over_its_arguments, "changed w"),
        (lambda w, gradient, *others, **options: w - gradient, "three tensors"),
        (lambda w, gradient, *others, **options: (w, gradient), "three tensors"),
    ],
    "8.7": [
        (groups_by_name, "its name doesn't say"),
        (groups_without_norms, "in neither group"),
        (groups_of_names, "stored their names"),
        (groups_both_decayed, "the two decays"),
        (lambda model, decay: list(model.parameters()), "two dicts"),
        (lambda model, decay: [{"params": list(model.parameters())}] * 2, "two dicts"),
    ],
    "8.8": [
        (lambda step, warmup, total: max(0, min(step / warmup, (total - step) / (total - warmup))), "raised"),
        (lambda step, warmup, total: torch.tensor(0.0), "a number was expected"),
        (lambda step, warmup, total: "linear", "a number was expected"),
    ],
    "8.9": [
        (collate_in_place, "changed rows"),
        (lambda rows: {**collate_from_lengths(rows), "labels": torch.zeros(len(rows))}, "dtype torch.long"),
        (lambda rows: {key + "s": value for key, value in collate_from_lengths(rows).items()}, "the keys"),
        (lambda rows: {**collate_from_lengths(rows), "labels": torch.zeros(1, dtype=torch.long)}, "That is labels"),
        (lambda rows: torch.tensor([row["input_ids"] for row in rows]), "raised ValueError"),
    ],
}
