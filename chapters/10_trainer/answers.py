"""Chapter 10: what learners get wrong, and what they are told."""

import math
from collections import Counter

import numpy as np
import torch
from torch.nn.functional import cross_entropy


def _metrics(average, axis=-1):
    def metrics(pred):
        from sklearn.metrics import f1_score

        answers = np.argmax(pred.predictions, axis=axis)[: len(pred.label_ids)]
        if len(answers) < len(pred.label_ids):
            answers = np.resize(answers, len(pred.label_ids))
        options = {"labels": range(pred.predictions.shape[1])} if average == "all" else {"average": average}
        if average == "all":
            options["average"] = "macro"
        f1 = f1_score(pred.label_ids, answers, zero_division=0, **options)
        return {"accuracy": float((answers == pred.label_ids).mean()), "f1": float(f1)}

    return metrics


def _batches(lengths, size):
    return [lengths[first : first + size] for first in range(0, len(lengths), size)]


def _waste_to_longest(lengths, size):
    return 1 - sum(lengths) / (max(lengths) * len(lengths)) if len(lengths) else 0.0


def _waste_of_real(lengths, size):
    computed = sum(max(batch) * len(batch) for batch in _batches(lengths, size))
    return computed / sum(lengths) - 1 if lengths else 0.0


def _waste_count(lengths, size):
    return sum(max(batch) * len(batch) for batch in _batches(lengths, size)) - sum(lengths)


def _real_share(lengths, size):
    return sum(lengths) / sum(max(batch) * len(batch) for batch in _batches(lengths, size)) if lengths else 0.0


def _waste_without_rest(lengths, size):
    batches = [batch for batch in _batches(lengths, size) if len(batch) == size]
    computed = sum(max(batch) * size for batch in batches)
    return 1 - sum(map(sum, batches)) / computed if computed else 0.0


def _waste_divides_by_zero(lengths, size):
    return 1 - sum(lengths) / sum(max(batch) * len(batch) for batch in _batches(lengths, size))


def _log(key, second="eval_loss", step=lambda place, entry: entry["step"]):
    def read(history):
        first = [(step(place, entry), entry[key]) for place, entry in enumerate(history) if key in entry]
        return first, [(step(place, entry), entry[second]) for place, entry in enumerate(history) if second in entry]

    return read


def _log_any_loss(history):
    found = []
    for entry in history:
        for key in ("loss", "train_loss"):
            if key in entry:
                found.append((entry["step"], entry[key]))
    return found, _log("loss")(history)[1]


def _log_true(history):
    training = [(entry["step"], entry["loss"]) for entry in history if entry.get("loss")]
    return training, [(entry["step"], entry["eval_loss"]) for entry in history if entry.get("eval_loss")]


def _log_value_first(history):
    return tuple([(value, step) for step, value in part] for part in _log("loss")(history))


def _mistakes(logits, labels, k, descending=True, cut_first=False, only_wrong=True):
    order = cross_entropy(logits, labels, reduction="none").argsort(descending=descending).tolist()
    order = order[:k] if cut_first else order
    return [row for row in order if not only_wrong or logits[row].argmax() != labels[row]][:k]


def _by_name(model):
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    marks = ("bias", "LayerNorm", "ln_", "1.weight")
    spared = [name for name in names if any(mark in name for mark in marks)]
    return [name for name in names if name not in spared], spared


def _biases_only(model):
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    return [name for name in names if "bias" not in name], [name for name in names if "bias" in name]


def _with_frozen(model):
    norms = {name for name, module in model.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    names = [name for name, _ in model.named_parameters()]
    spared = [name for name in names if name.endswith("bias") or name.rpartition(".")[0] in norms]
    return [name for name in names if name not in spared], spared


def _norms_only(model):
    decayed, spared = _with_frozen(model)
    return decayed + [name for name in spared if name.endswith("bias")], [n for n in spared if not n.endswith("bias")]


def _stop(values, patience, greater, strict=True, previous=False, reset=True, late=False, first=1):
    best, count = None, 0
    for number, value in enumerate(values, start=first):
        signed = value if greater else -value
        if best is None or signed > best or (not strict and signed == best):
            best, count = signed, 0 if reset else count
        else:
            count += 1
            best = signed if previous else best
        if count >= patience + late:
            return number
    return None


WRONG = {
    "10.1": [
        (lambda labels: (max(labels), labels.count(max(labels)) / len(labels)), "the largest label"),
        (lambda labels: Counter(labels).most_common(1)[0], "forgot to divide"),
        (lambda labels: (Counter(labels).most_common(1)[0][0], 1 / len(set(labels))), "the number of classes"),
        (lambda labels: Counter(labels).most_common(1)[0][0], "a pair (label, accuracy)"),
        (lambda labels: (Counter(labels).most_common()[-1][0], 0.5), "not the most frequent one"),
    ],
    "10.2": [
        (_waste_to_longest, "the longest row of all"),
        (_waste_of_real, "divided by the real tokens"),
        (_waste_count, "returned a count"),
        (_real_share, "the share of real tokens"),
        (_waste_without_rest, "left out the last batch"),
        (_waste_divides_by_zero, "ZeroDivisionError"),
        (lambda lengths, size: "much", "a number was expected"),
    ],
    "10.3": [
        (_metrics("weighted"), "the weighted F1"),
        (_metrics("micro"), "the micro F1"),
        (_metrics("all"), "neither in the labels nor in the answers"),
        (_metrics("macro", axis=0), "over the rows instead of the classes"),
        (lambda pred: {"f1": 0.5}, "keys"),
        (lambda pred: 0.5, "a dict was expected"),
    ],
    "10.4": [
        (_log_any_loss, "the summary at the end"),
        (_log_true, "0.0 is false"),
        (_log_value_first, "the value before the step"),
        (_log("loss", step=lambda place, entry: place), "counted the entries"),
        (lambda history: [entry["loss"] for entry in history], "KeyError"),
        (lambda history: ([entry.get("loss") for entry in history], []), "must hold pairs"),
    ],
    "10.5": [
        (lambda logits, labels, k: _mistakes(logits, labels, k, only_wrong=False), "answered rightly"),
        (lambda logits, labels, k: _mistakes(logits, labels, k, cut_first=True), "cut to k first"),
        (lambda logits, labels, k: _mistakes(logits, labels, k, descending=False), "the lowest loss first"),
        (lambda logits, labels, k: sorted(_mistakes(logits, labels, k)), "another order"),
        (lambda logits, labels, k: _mistakes(logits, labels, len(labels)), "stop at k"),
        (lambda logits, labels, k: cross_entropy(logits, labels), "a list of row numbers"),
    ],
    "10.6": [
        (_by_name, "odd name"),
        (_biases_only, "belongs to a normalization layer"),
        (_norms_only, "it is a bias"),
        (_with_frozen, "forgot that it is frozen"),
        (lambda model: [name for name, _ in model.named_parameters()], "two lists of names"),
        (lambda model: ([name for name, w in model.named_parameters() if w.dim() > 1], []), "in neither list"),
        (lambda model: (list(model.parameters()), []), "must hold names"),
    ],
    "10.7": [
        (lambda values, patience, greater: _stop(values, patience, not greater), "the other direction"),
        (lambda values, patience, greater: _stop(values, patience, greater, strict=False), "strictly better"),
        (lambda values, patience, greater: _stop(values, patience, greater, previous=True), "the previous value"),
        (lambda values, patience, greater: _stop(values, patience, greater, reset=False), "back to 0"),
        (lambda values, patience, greater: _stop(values, patience, greater, late=True), "larger than patience"),
        (lambda values, patience, greater: _stop(values, patience, greater, first=0), "from 0"),
        (lambda values, patience, greater: "soon", "a number was expected"),
    ],
    "10.8": [
        (
            lambda rows, size, devices, turns, epochs: math.ceil(epochs * rows / (size * devices * turns)),
            "rounded once",
        ),
        (
            lambda rows, size, devices, turns, epochs: math.ceil(
                epochs * max(math.ceil(rows / (size * devices)) // turns, 1)
            ),
            "left over at the end of an epoch",
        ),
        (
            lambda rows, size, devices, turns, epochs: math.ceil(epochs * math.ceil(math.ceil(rows / size) / turns)),
            "at the same time",
        ),
        (
            lambda rows, size, devices, turns, epochs: math.ceil(epochs * math.ceil(rows / (size * devices))),
            "several turns make one step",
        ),
        (
            lambda rows, size, devices, turns, epochs: int(
                epochs * math.ceil(math.ceil(rows / (size * devices)) / turns)
            ),
            "rounded a fraction of an epoch down",
        ),
        (lambda rows, size, devices, turns, epochs: rows / (size * devices), "a whole number was expected"),
    ],
}
