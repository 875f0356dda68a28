"""Chapter 10: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math
import re
import statistics
from collections import Counter

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy


def lazy_in_a_list(labels):
    label = statistics.mode(labels)
    return [label, np.mean(np.array(labels) == label)]


def lazy_with_numpy(labels):
    found, counts = np.unique(labels, return_counts=True)
    return found[counts.argmax()], counts.max() / counts.sum()


def waste_step_by_step(lengths, batch_size):
    if not lengths:
        return 0
    padding = positions = 0
    for first in range(0, len(lengths), batch_size):
        batch = lengths[first : first + batch_size]
        positions += max(batch) * len(batch)
        padding += sum(max(batch) - length for length in batch)
    return padding / positions


def waste_with_numpy(lengths, batch_size):
    rows = np.array(lengths, dtype=float)
    rows = np.append(rows, [np.nan] * (-len(rows) % batch_size)).reshape(-1, batch_size)
    if not rows.size:
        return np.float32(0)
    widest = np.nanmax(rows, axis=1, keepdims=True)
    return np.nansum(widest - rows) / np.nansum(widest + 0 * rows)


def waste_divides_by_zero(lengths, size):
    batches = [lengths[first : first + size] for first in range(0, len(lengths), size)]
    return 1 - sum(lengths) / sum(max(batch) * len(batch) for batch in batches)


def waste_count(lengths, size):
    batches = [lengths[first : first + size] for first in range(0, len(lengths), size)]
    return sum(max(batch) * len(batch) for batch in batches) - sum(lengths)


def metrics_by_counting(pred):
    logits, labels = pred
    answers = logits.argmax(-1)
    scores = []
    for name in set(labels.tolist()) | set(answers.tolist()):
        found = ((answers == name) & (labels == name)).sum()
        scores.append(2 * found / ((answers == name).sum() + (labels == name).sum()))
    return {"f1": sum(scores) / len(scores), "accuracy": (answers == labels).mean()}


def metrics_with_torch(pred):
    answers, labels = torch.tensor(pred.predictions).argmax(dim=1), torch.tensor(pred.label_ids)
    present = torch.cat([answers, labels]).unique()
    scores = [
        2 * ((answers == c) & (labels == c)).sum() / ((answers == c).sum() + (labels == c).sum()) for c in present
    ]
    return {"accuracy": (answers == labels).float().mean().item(), "f1": torch.stack(scores).mean().item(), "n": 1}


def metrics_in_tensors(pred):
    return {name: torch.tensor(value) for name, value in metrics_by_counting(pred).items()}


def metrics_in_place(pred):
    found = metrics_by_counting(pred)
    pred.label_ids[:] = 0
    return found


def log_in_one_walk(history):
    found = {"loss": [], "eval_loss": []}
    for entry in history:
        for key, pairs in found.items():
            if key in entry:
                pairs.append([entry["step"], entry[key]])
    return list(found.values())


def log_with_get(history):
    pairs = [[(entry["step"], entry.get(key)) for entry in history] for key in ("loss", "eval_loss")]
    return tuple(tuple(pair for pair in part if pair[1] is not None) for part in pairs)


def mistakes_by_masking(logits, labels, k):
    loss = -logits.log_softmax(dim=-1)[torch.arange(len(labels)), labels]
    loss[logits.argmax(dim=-1) == labels] = -1.0
    order = torch.sort(loss, descending=True)
    return order.indices[: min(k, int((order.values >= 0).sum()))].tolist()


def mistakes_with_numpy(logits, labels, k):
    logits, labels = logits.double().numpy(), labels.numpy()
    shifted = logits - logits.max(axis=1, keepdims=True)
    loss = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    return tuple(wrong[np.argsort(-loss[wrong])][:k])


def mistakes_sorted_by_row(logits, labels, k):
    return sorted(mistakes_by_masking(logits, labels, k))


def groups_by_walking(model):
    groups = ([], [])
    for path, module in model.named_modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.requires_grad:
                spared = name == "bias" or isinstance(module, nn.LayerNorm)
                groups[spared].append(f"{path}.{name}".lstrip("."))
    return groups


def groups_by_sets(model):
    norms = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    inner = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, norms)}
    spared = {name for name in trained if name in inner or re.search(r"(^|\.)bias$", name)}
    return [list(trained - spared), list(spared)]


def groups_without_rest(model):
    return [name for name, weight in model.named_parameters() if weight.dim() > 1], []


def groups_with_both(model):
    decayed, spared = groups_by_walking(model)
    return decayed, spared + spared


def stop_by_slices(values, patience, greater_is_better):
    best = max if greater_is_better else min
    since = 0
    for place in range(len(values)):
        better = place == 0 or (best(values[: place + 1]) != best(values[:place]))
        since = 0 if better else since + 1
        if since == patience:
            return np.int64(place + 1)
    return None


def stop_by_place(values, patience, greater_is_better):
    place = 0
    for number, value in enumerate(values):
        if number and (value > values[place] if greater_is_better else value < values[place]):
            place = number
        if number - place >= patience:
            return number + 1
    return None


def steps_in_integers(rows, per_device, devices, accumulation, epochs):
    turns, rest = divmod(rows, per_device * devices)
    whole, left = divmod(turns + (rest > 0), accumulation)
    return math.ceil((whole + (left > 0)) * epochs)


def steps_counted(rows, per_device, devices, accumulation, epochs):
    batches = len(range(0, rows, per_device))
    turns = len(range(0, batches, devices))
    return np.ceil(len(range(0, turns, accumulation)) * epochs).astype(int)


def steps_to_the_nearest(rows, per_device, devices, accumulation, epochs):
    return int(len(range(0, len(range(0, rows, per_device * devices)), accumulation)) * epochs + 0.5)


RIGHT = {
    "10.1": [lazy_in_a_list, lazy_with_numpy],
    "10.2": [waste_step_by_step, waste_with_numpy],
    "10.3": [metrics_by_counting, metrics_with_torch],
    "10.4": [log_in_one_walk, log_with_get],
    "10.5": [mistakes_by_masking, mistakes_with_numpy],
    "10.6": [groups_by_walking, groups_by_sets],
    "10.7": [stop_by_slices, stop_by_place],
    "10.8": [steps_in_integers, steps_counted],
}

WRONG = {
    "10.1": [
        (lambda labels: Counter(labels).most_common(1)[0], "forgot to divide"),
        (lambda labels: Counter(labels).most_common(1)[0][0], "a pair (label, accuracy)"),
        (lambda labels: (lazy_in_a_list(labels)[0], 100 * lazy_in_a_list(labels)[1]), "in percent"),
        (lambda labels: tuple(map(torch.tensor, lazy_with_numpy(labels))), "a pair (label, accuracy)"),
    ],
    "10.2": [
        (waste_divides_by_zero, "ZeroDivisionError"),
        (waste_count, "returned a count"),
        (lambda lengths, size: "much", "a number was expected"),
    ],
    "10.3": [
        (metrics_in_tensors, "a number for"),
        (metrics_in_place, "changed the predictions or labels"),
        (lambda pred: {"f1": 0.5}, "a number for"),
        (lambda pred: 0.5, "a dict with"),
        (lambda pred: metrics_by_counting(pred) | {"f1": 0.9}, "your f1 0.9 is not"),
    ],
    "10.4": [
        (lambda history: [entry["loss"] for entry in history], "KeyError"),
        (lambda history: ([entry.get("loss") for entry in history], []), "a pair of lists of (step, value)"),
        (lambda history: sum(log_in_one_walk(history), []), "a pair of lists of (step, value)"),
    ],
    "10.5": [
        (mistakes_sorted_by_row, "another order"),
        (lambda logits, labels, k: cross_entropy(logits, labels), "a list of row numbers"),
        (lambda logits, labels, k: torch.tensor(mistakes_by_masking(logits, labels, k)), "a list of row numbers"),
    ],
    "10.6": [
        (groups_without_rest, "is in neither list"),
        (groups_with_both, "is there twice"),
        (lambda model: [name for name, _ in model.named_parameters()], "a pair of lists of names"),
        (lambda model: (list(model.parameters()), []), "a pair of lists of names"),
    ],
    "10.7": [(lambda values, patience, greater: "soon", "the number of an evaluation")],
    "10.8": [
        (steps_to_the_nearest, "or to the nearest"),
        (lambda rows, size, devices, accumulation, epochs: rows / (size * devices), "a whole number was expected"),
        (lambda *given: float(steps_in_integers(*given)), "int(…) makes"),
    ],
}
