"""Chapter 10: baseline, padding, macro F1, the log, confident mistakes, weight decay, early stopping, step counts."""

import math
import random
from collections import Counter
from functools import partial
from numbers import Real
from types import SimpleNamespace

from labs_utils.exercises.vocabulary import Trial, describe, exercise


def lazy(labels, largest: bool = False, count: bool = False, divide: bool = True, guess: bool = False) -> tuple:
    """The label and its accuracy; the options are ways of getting them wrong."""
    label = max(labels) if largest else Counter(labels).most_common(1)[0][0]
    share = labels.count(label) / (len(labels) if divide else 1)
    return labels.count(label) if count else label, 1 / len(set(labels)) if guess else share


@exercise(
    "10.1",
    mistakes=[
        ("Perhaps you returned how often it occurs instead of the label itself.", partial(lazy, count=True)),
        ("Perhaps you took the largest label instead of the most frequent one.", partial(lazy, largest=True)),
        ("Perhaps you forgot to divide by the number of labels.", partial(lazy, divide=False)),
        ("Perhaps you divided by the number of classes: how often is this answer right?", partial(lazy, guess=True)),
    ],
)
def lazy_baseline(answer):
    draw = random.Random(0)
    cases = [[2, 0, 2, 1], [0, 0, 0, 1], [5], [3, 3, 3], [1, 2, 2, 0, 2, 1]]
    cases += [draw.choices(range(6), weights=[5, 3, 1, 1, 2, 9], k=draw.randint(1, 60)) for _ in range(20)]
    for labels in cases:
        trial = Trial(answer, labels)
        got = trial.returns(tuple, "a pair (label, accuracy)")
        pair = len(got) == 2 and all(isinstance(one, Real) for one in got)
        trial.expect(pair, f"a pair (label, accuracy) was expected, but got {describe(got)}")
        most = max(labels.count(label) for label in labels)
        tied = got[0] if labels.count(got[0]) == most else lazy(labels)[0]  # on a tie, either label will do
        percent = "Perhaps that is in percent.", abs(got[1] - 100 * most / len(labels)) < 1e-6
        sentence = "your pair {got} is not the most frequent label, and how often it is right"
        trial.close(got, (tied, most / len(labels)), 1e-6, sentence, percent)


def wasted(lengths, size: int, widest: bool = False, drop: bool = False, narrow: bool = False, by_real: bool = False):
    """The share of padding; the options are ways of getting it wrong."""
    batches = [lengths[first : first + size] for first in range(0, len(lengths), size)]
    if drop:
        batches = [batch for batch in batches if len(batch) == size]
    fit = min if narrow else max
    computed = sum((max(lengths) if widest else fit(batch)) * len(batch) for batch in batches)
    real = sum(map(sum, batches))
    return (computed - real) / (real if by_real else computed) if computed else 0.0


@exercise(
    "10.2",
    mistakes=[
        ("Perhaps you padded to the longest row of all, not of each batch.", partial(wasted, widest=True)),
        ("Perhaps you left out the last batch when it is smaller.", partial(wasted, drop=True)),
        ("Perhaps you padded to the shortest row.", partial(wasted, narrow=True)),
        ("Perhaps you divided by the real tokens: the share is of all positions.", partial(wasted, by_real=True)),
        ("Perhaps you returned the share of real tokens.", lambda lengths, size: 1 - wasted(lengths, size)),
    ],
)
def wasted_share(answer):
    draw = random.Random(1)
    cases = [([8, 2, 3, 5, 1], 2), ([4, 2, 3], 2), ([5, 5, 5, 5], 2), ([7], 4), ([1, 9], 1)]
    cases += [([1, 9], 2), ([3, 4, 5, 20], 3), ([], 8)]
    cases += [([draw.randint(3, 60) for _ in range(draw.randint(1, 70))], draw.randint(1, 16)) for _ in range(20)]
    for lengths, size in cases:
        trial = Trial(answer, lengths, size)
        got = trial.returns(float)
        count = "Perhaps you returned a count: a share lies between 0 and 1.", got > 1
        trial.close(got, wasted(lengths, size), 1e-6, "your {got} is not the share of the padding", count)


def scores(pred, average: str = "macro", among=None, axis: int = -1) -> dict:
    """Accuracy and F1; the options are ways of getting them wrong."""
    from sklearn.metrics import accuracy_score, f1_score

    answers, labels = pred.predictions.argmax(axis=axis), pred.label_ids
    among = None if among is None else among(pred)
    f1 = f1_score(labels, answers, labels=among, average=average, zero_division=0)
    return {"accuracy": float(accuracy_score(labels, answers)), "f1": float(f1)}


@exercise(
    "10.3",
    mistakes=[
        ("That is the weighted F1, in which frequent classes count more.", partial(scores, average="weighted")),
        ("That is the micro F1, which equals the accuracy here.", partial(scores, average="micro")),
        (
            "Perhaps you counted classes that occur neither in the labels nor in the answers.",
            partial(scores, among=lambda pred: range(pred.predictions.shape[1])),
        ),
        (
            "Perhaps you left out a class that occurs in the answers only.",
            partial(scores, among=lambda pred: sorted(set(pred.label_ids.tolist()))),
        ),
        ("Perhaps you took the argmax over the rows instead of the classes.", partial(scores, axis=0)),
    ],
)
def macro_metrics(answer):
    import numpy as np
    from transformers import EvalPrediction

    draw = np.random.default_rng(2)
    cases = [(np.array([[9.0, 1, 8], [1, 2, 3], [0, 5, 1]]), np.array([0, 0, 1]))]
    cases += [(np.eye(4)[[0, 2, 1, 0, 0]], np.array([0, 0, 1, 0, 1])), (np.eye(2)[[0, 0, 0]], np.array([0, 0, 1]))]
    for rows in (1, 7, 40, 40, 40):
        labels = draw.choice(6, rows, p=[0.4, 0.3, 0.1, 0.1, 0.07, 0.03])
        cases.append((draw.normal(size=(rows, 6)) + 1.5 * np.eye(6)[labels], labels))
    for logits, labels in cases:
        pred = EvalPrediction(predictions=logits.copy(), label_ids=labels.copy())
        given = f"labels {describe(labels.tolist())} and answers {describe(logits.argmax(axis=-1).tolist())}"
        trial = Trial(answer, pred, given=given)
        unchanged = np.array_equal(pred.predictions, logits) and np.array_equal(pred.label_ids, labels)
        trial.expect(unchanged, "your function changed the predictions or labels that it was given")
        got = trial.returns(dict, 'a dict with "accuracy" and "f1"')
        both = all(isinstance(got.get(name), Real) for name in ("accuracy", "f1"))
        trial.expect(both, f'a number for "accuracy" and "f1" each was expected, but got {describe(got)}')
        mine, expected = [[one["accuracy"], one["f1"]] for one in (got, scores(pred))]
        off = "accuracy" if abs(mine[0] - expected[0]) > 1e-6 else "f1"
        sentence = f"your {off} {got[off]:.4g} is not that of the answers"
        trial.close(mine, expected, 1e-6, sentence, form=lambda result: [result["accuracy"], result["f1"]])


def logged(history, keys=("loss", "eval_loss"), pair=lambda place, entry, key: (entry["step"], entry[key])) -> tuple:
    """The pairs of a log; other keys and other pairs are ways of getting them wrong."""
    found = [[(place, entry, key) for place, entry in enumerate(history) if key in entry] for key in keys]
    return tuple([pair(*one) for one in part] for part in found)


def logged_with_summary(history) -> tuple:
    return logged([{"loss": entry["train_loss"], **entry} if "train_loss" in entry else entry for entry in history])


@exercise(
    "10.4",
    mistakes=[
        (
            "Perhaps you took the summary at the end too: its train_loss is the mean of the whole run.",
            logged_with_summary,
        ),
        (
            "Perhaps you asked whether the loss is true: 0.0 is false, and yet it is there.",
            lambda history: tuple([pair for pair in part if pair[1]] for part in logged(history)),
        ),
        (
            "Perhaps you put the value before the step.",
            partial(logged, pair=lambda place, entry, key: (entry[key], entry["step"])),
        ),
        (
            "Perhaps you counted the entries: the step stands in each entry.",
            partial(logged, pair=lambda place, entry, key: (place, entry[key])),
        ),
        ("Perhaps you sorted: the order is that of the log.", lambda history: tuple(map(sorted, logged(history)))),
    ],
)
def losses_by_step(answer):
    run = [
        {"loss": 1.7, "grad_norm": 3.0, "learning_rate": 1e-4, "epoch": 0.5, "step": 5},
        {"loss": 0.0, "grad_norm": 0.0, "learning_rate": 5e-5, "epoch": 1.0, "step": 10},
        {"eval_loss": 0.0, "eval_accuracy": 1.0, "eval_runtime": 0.2, "epoch": 1.0, "step": 10},
        {"loss": 0.4, "grad_norm": 1.0, "learning_rate": 1e-5, "epoch": 1.5, "step": 15},
        {"eval_loss": 0.7, "eval_accuracy": 0.5, "eval_runtime": 0.2, "epoch": 2.0, "step": 20},
    ]
    summary = {"train_runtime": 9.0, "train_loss": 0.7, "total_flos": 1.0, "epoch": 2.0, "step": 20}
    example = [{"loss": 1.5, "step": 10}, {"eval_loss": 1.2, "step": 10}]
    cases = {"the example": example, "the log of a run": run, "a log with a summary": [*run, summary]}
    cases |= {"a log of training only": run[:2], "the logs of two runs, one after the other": [*run, *example]}
    for given, history in cases.items():
        trial, parts = Trial(answer, history, given=given), logged(history)
        got = trial.returns(tuple, "a pair of lists of (step, value)", of=list)
        pairs = len(got) == 2 and all(isinstance(one, tuple | list) and len(one) == 2 for part in got for one in part)
        trial.expect(pairs, f"a pair of lists of (step, value) was expected, but got {describe(got)}")
        for number, name in enumerate(("loss", "eval_loss")):
            sentence = f"your pairs for {name} {{got}} are not those of the log"
            trial.equal(got[number], parts[number], sentence, form=lambda both, number=number: both[number])


def mistaken(logits, labels, k: int, right: bool = False, cut: bool = False, descending: bool = True) -> list[int]:
    """The wrong rows with the highest loss; the options are ways of getting them wrong."""
    from torch.nn.functional import cross_entropy

    rows = cross_entropy(logits, labels, reduction="none").argsort(descending=descending).tolist()
    rows = rows[:k] if cut else rows
    return [row for row in rows if right or logits[row].argmax() != labels[row]][:k]


@exercise(
    "10.5",
    mistakes=[
        (
            "Perhaps you kept rows that are answered rightly: a right answer can have a high loss too.",
            partial(mistaken, right=True),
        ),
        ("Perhaps you cut to k first: then some wrong rows are missing.", partial(mistaken, cut=True)),
        ("Perhaps you sorted the lowest loss first.", partial(mistaken, descending=False)),
        ("Perhaps you forgot to stop at k.", lambda logits, labels, k: mistaken(logits, labels, len(labels))),
    ],
)
def confident_mistakes(answer):
    import torch

    draw = torch.Generator().manual_seed(3)
    cases = [(torch.tensor([[4.0, 0], [0, 1], [0, 3]]), torch.tensor([1, 0, 1]), 5)]
    cases.append((torch.tensor([[2.0, 0], [0, 2]]), torch.tensor([0, 1]), 3))
    # row 0 is right and has a high loss all the same; row 1 is wrong and has a lower one
    cases.append((torch.tensor([[0.1, 0, 0, 0, 0, 0], [0, 0.2, -9, -9, -9, -9]]), torch.tensor([0, 0]), 1))
    for rows, k in ((30, 5), (30, 100), (200, 3), (1, 1), (50, 7)):
        logits = 2 * torch.randn(rows, 6, generator=draw)
        cases.append((logits, torch.randint(0, 6, (rows,), generator=draw), k))
    for logits, labels, k in cases:
        trial, expected = Trial(answer, logits, labels, k), mistaken(logits, labels, k)
        got = trial.returns(list, "a list of row numbers", of=int)
        order = "These are the right rows in another order.", sorted(got) == sorted(expected)
        trial.equal(got, expected, "your rows {got} are not the wrong ones with the highest loss first", order)


def models() -> dict:
    """Models in words; one has norms with a telling name and without, and a vector of ones that is no norm's."""
    import torch
    from torch import nn
    from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.calm, self.LayerNorm = nn.LayerNorm(4), nn.LayerNorm(4)
            self.mixing, self.table = nn.Linear(4, 4), nn.Embedding(3, 4)
            self.scale = nn.Parameter(torch.ones(4))

    words = {"vocab_size": 9, "bos_token_id": 0, "eos_token_id": 0}
    small = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, **words)
    with torch.random.fork_rng(devices=[]):
        found = {"a small BERT": BertModel(small), "a model with a LayerNorm called calm": Odd()}
        found["Sequential(Linear, LayerNorm)"] = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        found["a small GPT-2"] = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, **words))
        found["a BERT with frozen embeddings"] = BertModel(small)
    found["a BERT with frozen embeddings"].embeddings.requires_grad_(False)
    return found


def decay(model, biases: bool = True, norms: bool = True, by_name: bool = False, frozen: bool = False) -> list:
    """Two sorted lists of names; the options are ways of getting them wrong."""
    from torch.nn import LayerNorm

    owners = {name for name, module in model.named_modules() if isinstance(module, LayerNorm)}
    parts: list[list[str]] = [[], []]
    for name, weight in model.named_parameters():
        owner, _, last = name.rpartition(".")
        is_norm = "norm" in name.lower() or "ln_" in name if by_name else owner in owners
        spared = biases if last == "bias" else norms and is_norm
        if weight.requires_grad or frozen:
            parts[spared].append(name)
    return [sorted(part) for part in parts]


@exercise(
    "10.6",
    mistakes=[
        ("Perhaps you spared the biases only: a norm's weight is spared too.", partial(decay, norms=False)),
        ("Perhaps you spared the norms only: each bias is spared too.", partial(decay, biases=False)),
        ("Perhaps you went by the names: a LayerNorm may have any name.", partial(decay, by_name=True)),
        ("Perhaps you listed parameters that are frozen.", partial(decay, frozen=True)),
        ("Perhaps you put those that decay second.", lambda model: decay(model)[::-1]),
    ],
)
def decay_groups(answer):
    from transformers import Trainer

    for given, model in models().items():
        trial = Trial(answer, model, given=given)
        got = trial.returns(tuple, "a pair of lists of names", of=list)
        names = len(got) == 2 and all(isinstance(name, str) for part in got for name in part)
        trial.expect(names, f"a pair of lists of names was expected, but got {describe(got)}")
        trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
        decays = trained & set(Trainer.get_decay_parameter_names(None, model))
        expected, listed = [sorted(decays), sorted(trained - decays)], [*got[0], *got[1]]
        faults = [f"{name!r} is among those that decay" for name in got[0] if name not in decays]
        faults += [f"{name!r} is among those that don't decay" for name in got[1] if name not in expected[1]]
        faults += [f"{name!r} is in neither list" for name in sorted(trained - {*listed})]
        faults += [f"{name!r} is there twice" for name in listed if listed.count(name) > 1]
        mine = [sorted(part) for part in got]
        trial.equal(mine, expected, "".join(faults[:1]), form=lambda both: [sorted(part) for part in both])


def stopped(values, patience, greater, loose=False, previous=False, keep=False, late=False, first: int = 1):
    """When early stopping ends a run; the options are ways of getting it wrong."""
    best, count = None, 0
    for number, value in enumerate(values, start=first):
        signed = value if greater else -value
        better = best is None or signed > best or (loose and signed == best)
        if better or previous:
            best = signed
        if not better:
            count += 1
        elif not keep:
            count = 0
        if count >= patience + late:
            return number
    return None


def library_stop(values, patience, greater) -> int | None:
    """What the library's callback does with these values: the Trainer notes a new best after each evaluation."""
    from transformers import EarlyStoppingCallback
    from transformers.trainer_callback import TrainerControl, TrainerState

    callback, state, control = EarlyStoppingCallback(patience), TrainerState(), TrainerControl()
    arguments = SimpleNamespace(metric_for_best_model="score", greater_is_better=greater)
    for number, value in enumerate(values, start=1):
        callback.on_evaluate(arguments, state, control, metrics={"eval_score": value})
        if control.should_training_stop:
            return number
        if state.best_metric is None or (value > state.best_metric if greater else value < state.best_metric):
            state.best_metric = value
    return None


@exercise(
    "10.7",
    mistakes=[
        (
            "Perhaps you took the other direction for better.",
            lambda values, patience, greater: stopped(values, patience, not greater),
        ),
        ("Perhaps you compared with the previous value, not the best so far.", partial(stopped, previous=True)),
        (
            "Perhaps you waited until the count is larger than patience: reaching it is enough.",
            partial(stopped, late=True),
        ),
        ("Perhaps you counted the evaluations from 0.", partial(stopped, first=0)),
        ("Perhaps you forgot to set the count back to 0 after an improvement.", partial(stopped, keep=True)),
        (
            "Perhaps you took an equal value for an improvement: it must be strictly better.",
            partial(stopped, loose=True),
        ),
    ],
)
def stops_at(answer):
    draw = random.Random(4)
    cases = [([1.0, 0.9, 0.8, 0.9, 0.85, 0.95, 0.97, 0.7], 3, False), ([0.6, 0.7, 1.0, 0.5, 0.8, 0.9, 0.7], 3, False)]
    cases += [([0.6, 0.6, 0.6, 0.6], 2, False), ([1.0, 0.8, 0.9, 0.8, 0.7], 2, False), ([0.5, 0.6, 0.7], 1, True)]
    cases += [([], 2, True), ([0.3], 1, False), ([0.9, 0.5, 0.6, 0.7], 3, True), ([-1.0, -2.0, -1.5, -1.2], 2, False)]
    for _ in range(60):
        values = [round(draw.random(), 1) for _ in range(draw.randint(1, 12))]
        cases.append((values, draw.randint(1, 4), draw.random() < 0.5))
    for values, patience, greater in cases:
        trial, expected = Trial(answer, values, patience, greater), library_stop(values, patience, greater)
        got = trial.returns((int, type(None)), "the number of an evaluation or None")
        ends = "with no stop" if expected is None else "with a stop"
        trial.equal(got, expected, f"the run ends {ends}, and your {{got}} is not it")


def steps(rows, size, devices, accumulation, epochs, rest=math.ceil, last=math.ceil, total=math.ceil) -> int:
    """Optimizer steps; other roundings are ways of getting them wrong."""
    turns = max(last(rows / (size * devices)), 1)
    return total(epochs * max(rest(turns / accumulation), 1))


def library_steps(rows, size, devices, accumulation, epochs) -> int:
    """The Trainer's own arithmetic, for a loader of that many turns."""
    from transformers import Trainer

    turns = math.ceil(rows / (size * devices))
    loader = type("Loader", (), {"__len__": lambda self: turns, "dataset": range(rows)})()
    arguments = SimpleNamespace(max_steps=-1, gradient_accumulation_steps=accumulation, num_train_epochs=epochs)
    one = {"get_total_train_batch_size": lambda args: 1, "get_sp_size": lambda: 1, "num_examples": lambda loader: 1}
    return Trainer.set_initial_training_values(SimpleNamespace(**one), arguments, loader)[-1]


@exercise(
    "10.8",
    mistakes=[
        (
            "Perhaps you dropped the turns left over at the end of an epoch: they make a step of their own.",
            partial(steps, rest=math.floor),
        ),
        ("Perhaps you dropped the last, smaller batch of an epoch.", partial(steps, last=math.floor)),
        (
            "Perhaps you rounded once, at the end: each epoch begins anew, so round in each.",
            partial(steps, last=float, rest=float),
        ),
        (
            "Perhaps you forgot that the devices work at the same time.",
            lambda rows, size, devices, accumulation, epochs: steps(rows, size, 1, accumulation, epochs),
        ),
        (
            "Perhaps you forgot that several turns make one step.",
            lambda rows, size, devices, accumulation, epochs: steps(rows, size, devices, 1, epochs),
        ),
        ("Perhaps you rounded the total down, or to the nearest: round it up.", partial(steps, total=math.floor)),
        (
            "Perhaps you rounded the epochs up: round the total.",
            lambda rows, size, devices, accumulation, epochs: steps(
                rows, size, devices, accumulation, math.ceil(epochs)
            ),
        ),
    ],
)
def optimizer_steps(answer):
    cases = [(180, 16, 2, 4, 2), (100, 16, 1, 1, 1), (32, 8, 1, 2, 1.125), (100, 16, 2, 3, 3), (96, 16, 1, 1, 2)]
    cases += [(100, 16, 1, 1, 0.5), (16_000, 16, 4, 2, 4), (1, 8, 1, 1, 1), (5, 8, 4, 4, 3), (10, 1, 1, 3, 2)]
    draw = random.Random(5)
    for _ in range(30):  # binary fractions: their products are exact
        rows, size, epochs = draw.randint(1, 500), draw.randint(1, 32), draw.choice([1, 2, 3.5, 0.25, 2.125])
        cases.append((rows, size, draw.randint(1, 4), draw.randint(1, 4), epochs))
    for case in cases:
        trial = Trial(answer, *case)
        whole = "int(…) makes a whole number of it.", isinstance(trial.result, float) and trial.result % 1 == 0
        got = trial.returns(int, perhaps=whole)
        trial.equal(got, library_steps(*case), "your {got} is not the number of optimizer steps")
