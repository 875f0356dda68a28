"""Chapter 09: the baseline, a training step, a loader's loss, four scores, grouping, clipping, confusion, saving."""

import contextlib
import math
import os
import random
import tempfile
from functools import partial
from numbers import Integral, Real
from operator import eq
from pathlib import Path
from unittest import mock

from labs_utils.exercises.vocabulary import Trial, as_tensor, beside, describe, exercise, expect, forbid


def most_frequent(labels) -> int:
    return max(labels.count(label) for label in labels)


@exercise(
    "9.1",
    mistakes=[
        ("That is a count; a share lies between 0 and 1.", most_frequent),
        ("That is in percent; a share lies between 0 and 1.", lambda labels: 100 * most_frequent(labels) / len(labels)),
        ("Perhaps you answered for a blind guess among the labels.", lambda labels: 1 / len(set(labels))),
        ("Perhaps you counted the label 1: it can be any.", lambda labels: labels.count(1) / len(labels)),
    ],
)
def majority_share(answer):
    draw = random.Random(0)
    cases = [[1, 1, 0, 1], [0, 0, 0, 1], [0], ["joy", "fear", "joy"], [2, 2, 3, 4, 0], [1, 1]]
    cases += [draw.choices(range(4), weights=(1, 2, 3, 4), k=draw.randint(1, 30)) for _ in range(10)]
    for labels in cases:
        trial = Trial(answer, labels)
        sentence = "your {got} is not the share of the most frequent label"
        trial.close(trial.returns(float), most_frequent(labels) / len(labels), 1e-6, sentence)


def toy(dropout: float = 0.0):
    """A small model with the interface of the chapter's, always with the same weights; it notes how it is called."""
    import torch
    from transformers.modeling_outputs import SequenceClassifierOutput

    class Toy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.linear = torch.nn.Dropout(dropout), torch.nn.Linear(5, 2)
            self.calls = []

        def forward(self, inputs, labels):
            self.calls.append((self.training, torch.is_grad_enabled()))
            logits = self.linear(self.dropout(inputs))
            return SequenceClassifierOutput(torch.nn.functional.cross_entropy(logits, labels), logits)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Toy()


def toy_rows(count: int) -> dict:
    import torch

    generator = torch.Generator().manual_seed(count)
    inputs = torch.randn(count, 5, generator=generator)
    return {"inputs": inputs, "labels": torch.randint(0, 2, (count,), generator=generator)}


def number(trial: Trial) -> float:
    tensor = "Perhaps .item() is missing.", hasattr(trial.result, "item")
    return trial.returns(float, "a Python float", perhaps=tensor)


def numbers(tensors) -> list[float]:
    return [number for tensor in tensors for number in tensor.flatten().tolist()]


def near(one, other) -> bool:
    """Whether two vectors of float32 numbers are equal up to rounding."""
    one, other = as_tensor(one), as_tensor(other)
    return one.shape == other.shape and bool(((one - other).abs() <= 1e-5).all())


def told(mistakes, outcome, mine) -> list:
    """The mistakes that leave behind what the learner's code left: for exercises whose answer changes what it gets."""
    return [(sentence, lambda wrong=wrong: near(outcome(wrong), mine)) for sentence, wrong in mistakes]


def step_case():
    """A model in eval mode, a batch, and an optimizer with the rate 1; old gradients, all 1, lie around."""
    import torch

    model = toy().eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model, toy_rows(8), torch.optim.SGD(model.parameters(), lr=1.0)


def way(model) -> list[float]:
    """How far the weights of a toy have come from those it began with."""
    return numbers(old - new for old, new in zip(toy().parameters(), model.parameters(), strict=True))


def way_of(step) -> list[float]:
    model, *rest = step_case()
    step(model, *rest)
    return way(model)


def step(model, batch, optimizer, zero: bool = True, early: bool = False, move: bool = True) -> float:
    """One step; the options are ways of getting it wrong."""
    model.train()
    if zero:
        optimizer.zero_grad()
    loss = model(**batch).loss
    if early:
        optimizer.step()
    loss.backward()
    if move and not early:
        optimizer.step()
    return loss.item()


STEPS = [
    ("Old gradients were added to the new. Perhaps zero_grad() is missing, or too late.", partial(step, zero=False)),
    ("Only old gradients were used. Perhaps the step comes before backward().", partial(step, zero=False, early=True)),
    ("No weight has changed. Perhaps step() or backward() is missing, or comes too early.", partial(step, move=False)),
]


@exercise("9.2", mistakes=STEPS)
def training_step(answer):
    model, batch, optimizer = step_case()
    trial = Trial(answer, model, batch, optimizer, given="a model, a batch of 8, an optimizer and old gradients")
    trial.expect(model.calls, "your step never called the model")
    got = number(trial)
    trial.expect(model.calls[0][0], "the model was called in eval mode. Dropout must be on while you train")
    twin = toy()
    loss = twin(**batch).loss
    loss.backward()
    mine, new = way(model), numbers(parameter.grad for parameter in twin.parameters())
    often = f"Your step called the model {len(model.calls)} times; once is enough.", len(model.calls) > 1
    reasons = [*told(STEPS, way_of, mine), often]
    trial.expect(near(mine, new), "the weights did not move by the rate times the new gradient", *reasons)
    trial.expect(near(got, loss), f"your loss {got:.4f} is not that of the batch before the step", often)


def losses(model, loader) -> list[float]:
    import torch

    mode = model.training
    with torch.no_grad():
        found = [model.eval()(**batch).loss.item() for batch in loader]
    model.train(mode)
    return found


def loader_of(rows: dict, size: int):
    """A loader like the chapter's, of which it takes what a batch can do."""
    from torch.utils.data import DataLoader, default_collate
    from transformers import BatchEncoding

    examples = [dict(zip(rows, pair, strict=True)) for pair in zip(*rows.values(), strict=True)]
    return DataLoader(examples, size, collate_fn=lambda some: BatchEncoding(default_collate(some)))


@exercise(
    "9.3",
    mistakes=[
        (
            "That is the mean over batches: the small last batch counts as much as a full one.",
            lambda model, loader: sum(losses(model, loader)) / len(loader),
        ),
        ("That is the sum of the batches' losses.", lambda model, loader: sum(losses(model, loader))),
        ("That is the loss of the last batch alone.", lambda model, loader: losses(model, loader)[-1]),
    ],
)
def mean_loss(answer):
    for count, size, training in ((8, 4, True), (13, 6, False), (13, 6, True), (3, 6, False)):
        rows, model, mode = toy_rows(count), toy(dropout=0.5).train(training), "train" if training else "eval"
        loader, given = loader_of(rows, size), f"a model in {mode} mode and {count} examples in batches of {size}"
        trial = Trial(answer, model, loader, given=given)
        calls, left, got = model.calls[:], model.training, number(trial)
        trial.expect(len(calls) >= len(loader), f"only {len(calls)} of {len(loader)} batches reached the model")
        in_train, recorded = any(mode for mode, _ in calls), any(graded for _, graded in calls)
        trial.expect(not in_train, "the model ran in train mode, so dropout makes the loss random")
        expected = toy()(**rows).loss.item()  # all rows as one batch: every example counts the same
        trial.close(got, expected, 1e-5, "your {got} is not the mean loss per example")
        trial.expect(not recorded, "gradients were recorded. It costs memory and time: use torch.inference_mode()")
        trial.expect(left == training, "the model was left in the other mode: put its own mode back")


KEYS = ("precision", "recall", "f1")
COUNTED = ("sklearn", "torch", "np", "numpy", "f1_score", "precision_score", "recall_score")
COUNTED += ("precision_recall_fscore_support", "classification_report", "confusion_matrix")


def scored(truth, guess, target, swap: bool = False, plain: bool = False, empty: float = 0.0) -> dict:
    """The three scores; the options are ways of getting them wrong."""
    found = sum(t == target == g for t, g in zip(truth, guess, strict=True))
    counts = (truth, guess) if swap else (guess, truth)
    precision, recall = (found / one.count(target) if target in one else empty for one in counts)
    harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    f1 = (precision + recall) / 2 if plain else harmonic
    return {"precision": precision, "recall": recall, "f1": f1}


@exercise(
    "9.4",
    mistakes=[
        (
            "Perhaps precision and recall are swapped: precision divides by what was called so.",
            partial(scored, swap=True),
        ),
        ("That is the arithmetic mean; F1 is the harmonic one.", partial(scored, plain=True)),
        (
            "That is the accuracy: here only the target class counts.",
            lambda truth, guess, target: dict.fromkeys(KEYS, sum(map(eq, truth, guess)) / len(truth)),
        ),
        ("0/0 counts as 0 here.", partial(scored, empty=math.nan)),
        ("Perhaps you counted another class than the target.", lambda truth, guess, target: scored(truth, guess, 1)),
    ],
)
def scores(answer):
    from sklearn.metrics import precision_recall_fscore_support

    forbid(answer, *COUNTED, because="does the work for you. Count with plain Python")
    draw = random.Random(4)
    cases = [([0, 0, 1, 1], [0, 1, 1, 1], 0), ([0, 1, 1, 1], [0, 0, 0, 1], 0), ([1, 1, 0, 0], [1, 1, 1, 1], 0)]
    cases += [([1, 1], [0, 1], 0), ([1, 1], [1, 1], 0), (["joy", "fear", "joy"], ["joy", "joy", "fear"], "joy")]
    for _ in range(20):
        labels = range(draw.randint(2, 4))
        length = draw.randint(1, 15)
        cases.append((draw.choices(labels, k=length), draw.choices(labels, k=length), draw.choice(labels)))
    for truth, guess, target in cases:
        trial = Trial(answer, truth, guess, target)
        got = trial.returns(dict, "a dict with precision, recall and f1")
        told = all(isinstance(got.get(key), Real) for key in KEYS)
        trial.expect(told, f"a number for precision, recall and f1 each was expected, but got {describe(got)}")
        library = precision_recall_fscore_support(truth, guess, labels=[target], average=None, zero_division=0)
        expected = [float(values[0]) for values in library[:3]]
        mine = [float(got[key]) for key in KEYS]
        off = [key for key, one, other in zip(KEYS, mine, expected, strict=True) if not abs(one - other) <= 1e-6]
        sentence = f"your scores {{got}} are not the target's: look at {' and '.join(off)}"
        trial.close(mine, expected, 1e-6, sentence, form=lambda result: [result[key] for key in KEYS])


def tokens(lengths, size: int) -> int:
    """What a model computes when texts are cut into batches in this order."""
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return sum(len(batch) * max(batch) for batch in batches)


@exercise("9.5")
def group(answer):
    import numpy as np

    draw = random.Random(5)
    cases = [([9, 2, 8, 3], 2), ([5], 3), ([4, 4, 4], 1), ([1, 2, 3, 100], 4), ([7, 1, 6, 2, 5], 2)]
    cases += [([draw.randint(3, 128) for _ in range(draw.randint(1, 40))], draw.randint(1, 9)) for _ in range(20)]
    for lengths, size in cases:
        trial = Trial(answer, lengths, size)
        batches = [list(batch) for batch in trial.returns(list, "a list of lists of indices", of=(list, np.ndarray))]
        flat, shown = [index for batch in batches for index in batch], describe(batches)
        whole = all(isinstance(index, Integral) for index in flat)
        trial.expect(whole, f"a list of lists of indices was expected, but got {shown}")
        values = "These look like lengths, not indices.", sorted(flat) == sorted(lengths)
        trial.equal(sorted(flat), [*range(len(lengths))], f"each index must occur once, but got {shown}", values)
        longest, fewest = max(map(len, batches)), math.ceil(len(lengths) / size)
        trial.expect(longest <= size, f"a batch has {longest} indices: more than {size}")
        trial.expect(len(batches) == fewest, f"{fewest} batches are enough, but got {len(batches)}: {shown}")
        cost = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
        # Sorted up or down: where `size` does not divide, the smaller batch may stand at either end.
        enough = max(tokens(sorted(lengths), size), tokens(sorted(lengths, reverse=True), size))
        came = "Perhaps the texts are still in the order in which they came.", cost == tokens(lengths, size)
        trial.expect(cost <= enough, f"your batches need {cost} tokens, and {enough} are enough", came)


def norm_of(gradients) -> float:
    return sum(float(gradient.square().sum()) for gradient in gradients) ** 0.5


def scaled(gradients, limit: float, each=False, copy=False, cut=False, power: int = 1) -> float:
    """Clip by the common norm; the options are ways of getting it wrong."""
    norm = norm_of(gradients) ** power
    for gradient in gradients:
        length = norm_of([gradient]) if each else norm
        if cut:
            gradient.clamp_(-limit, limit)
        elif length > limit and not copy:
            gradient.mul_(limit / length)
    return norm


def given_to_clip(gradients) -> list:
    """Fresh tensors. Trial copies no Parameter, so that these must change, and not others in their list."""
    import torch

    return [torch.nn.Parameter(gradient.clone(), requires_grad=False) for gradient in gradients]


def clipped(gradients, limit: float, clip) -> list[float]:
    """All numbers of the gradients after `clip`, and what it returned."""
    mine = given_to_clip(gradients)
    norm = clip([*mine], limit)
    return [*numbers(mine), norm]


CLIPS = [
    ("Perhaps each tensor was clipped by its own norm: take that of all together.", partial(scaled, each=True)),
    ("Nothing has changed. Perhaps you made new tensors: scale those that you got.", partial(scaled, copy=True)),
    ("Perhaps you cut single numbers off: that turns the gradient. Change its length only.", partial(scaled, cut=True)),
    ("Perhaps the square root is missing.", partial(scaled, power=2)),
    ("That is the norm afterwards.", lambda gradients, limit: min(scaled(gradients, limit), limit)),
]


@exercise("9.6", mistakes=CLIPS)
def clip(answer):
    import torch

    generator = torch.Generator().manual_seed(6)
    cases = [([torch.tensor([3.0, 0.5]), torch.tensor([4.0])], 1.0), ([torch.tensor([0.3]), torch.tensor([-0.4])], 1.0)]
    cases += [([torch.zeros(2, 3)], 1.0), ([torch.tensor([[1.0, 2.0], [2.0, 4.0]]), torch.zeros(1)], 5.0)]
    shapes = ((4, 3), (3,), (2, 2, 2))
    cases += [([scale * torch.randn(shape, generator=generator) for shape in shapes], 2.0) for scale in (0.1, 1, 20)]
    for gradients, limit in cases:
        mine, parameters = given_to_clip(gradients), given_to_clip(gradients)
        given = f"gradients with the common norm {norm_of(gradients):.3g} and max_norm={limit}"
        trial = Trial(answer, [*mine], limit, given=given, may_change=True)
        got = number(trial)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, limit))
        stay = "They were short enough and should stay as they are.", norm <= limit
        reasons = [stay, *told(CLIPS, partial(clipped, gradients, limit), [*numbers(mine), got])]
        # The library divides by norm + 1e-6; what is left of the difference is below 1e-5.
        expected = numbers(parameter.grad for parameter in parameters)
        trial.expect(near(numbers(mine), expected), "the gradients afterwards are not right", *reasons)
        trial.expect(abs(got - norm) <= 1e-4 * max(1.0, norm), f"your {got:.4g} is not the norm before", *reasons)


def pairs_counted(truth, guess, classes, swap: bool = False, share: bool = False, every: bool = True) -> list:
    """A confusion matrix; the options are ways of getting it wrong."""
    pairs = [(g, t) if swap else (t, g) for t, g in zip(truth, guess, strict=True) if every or t == g]
    matrix = [[pairs.count((row, column)) for column in classes] for row in classes]
    return [[count / max(sum(row), 1) for count in row] for row in matrix] if share else matrix


@exercise(
    "9.7",
    mistakes=[
        ("Perhaps rows and columns are swapped: a row is what the truth is.", partial(pairs_counted, swap=True)),
        (
            "Perhaps you sorted the classes: their order is given.",
            lambda truth, guess, classes: pairs_counted(truth, guess, sorted(classes)),
        ),
        ("Perhaps these are shares; counts are asked for.", partial(pairs_counted, share=True)),
        ("Perhaps you counted right answers only.", partial(pairs_counted, every=False)),
    ],
)
def confusion(answer):
    from sklearn.metrics import confusion_matrix

    draw = random.Random(7)
    cases = [(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]), ([1, 0], [1, 1], [0, 1]), ([1, 1], [1, 0], [1, 0])]
    cases.append(([0, 0], [0, 0], [0, 1, 2]))
    for _ in range(12):
        classes = draw.sample(range(5), k=draw.randint(2, 5))
        length = draw.randint(1, 20)
        cases.append((draw.choices(classes, k=length), draw.choices(classes, k=length), classes))
    for truth, guess, classes in cases:
        trial, count = Trial(answer, truth, guess, classes), len(classes)
        got = trial.returns(list, "a list of rows, each a list of counts", of=list)
        square = [len(row) for row in got] == [count] * count
        counts = all(isinstance(one, Real) for row in got for one in row)
        trial.expect(square and counts, f"{count} rows of {count} counts were expected, but got {describe(got)}")
        total = sum(map(sum, got))
        sums = f"The counts add up to {total:g}, and there are {len(truth)} reviews.", total != len(truth)
        expected = confusion_matrix(truth, guess, labels=classes).tolist()
        trial.equal(got, expected, "your matrix {got} does not count the pairs", sums)


class Breaks:
    """An object that can't be saved: it stands for a crash in the middle of the file."""

    def __reduce__(self):
        raise OSError("no space left on the disk")


@contextlib.contextmanager
def moves(crash: bool = False):
    """Note every (from, to) of os.replace and os.rename, which all moves are made of; or crash instead."""
    found = []

    def watched(move, source, target, **options):
        found.append((Path(source).resolve(), Path(target).resolve()))
        if crash:
            raise RuntimeError("the power went off")  # shutil.move answers an OSError with a copy
        return move(source, target, **options)

    watchers = {name: partial(watched, getattr(os, name)) for name in ("replace", "rename")}
    with mock.patch.multiple(os, **watchers):
        yield found


def watched_save(answer, state: dict, path: Path, crash: bool = False, breaks: bool = False) -> list:
    """Save with the learner's function; return the moves that it made."""
    with moves(crash) as found:
        answer(state | ({"broken": Breaks()} if breaks else {}), path)
    return found


def step_in(path: Path):
    """The step in a saved file, or None where it can't be read."""
    import torch

    with contextlib.suppress(Exception):  # a damaged file raises many kinds of errors
        return torch.load(path, weights_only=True)["step"]


def saved(answer, step: int, path: Path, given: str) -> None:
    """One save that must succeed, replace what was there in one move, and leave nothing else."""
    inode = path.exists() and path.stat().st_ino
    state = {"step": step, "weights": as_tensor([1.0, 2.0])}
    trial = Trial(partial(beside, answer, watched_save), state, path, given=given)
    found = trial.result
    trial.expect(path.is_file(), "there is no file at that path afterwards")
    trial.expect(step_in(path) == step, "torch.load does not find the new state there afterwards")
    left = sorted(file.name for file in path.parent.iterdir() if file != path)
    trial.expect(not left, f"your function left behind: {', '.join(left)}")
    in_place = not found and path.stat().st_ino == inode
    trial.expect(not in_place, "the file was written in place: a crash in between leaves half of it. Move a whole file")
    near_by = all(path.parent in source.parents for source, target in found if target == path)
    trial.expect(near_by, "the file came from another folder: between two disks such a move is a copy. Write it beside")


def crashed(answer, state: dict, path: Path, given: str, crash: bool) -> None:
    """A save that breaks: the error must come through, and the old file, of step 1, stay whole."""
    try:
        found = beside(answer, watched_save, state, path, crash, not crash)
    except Exception:
        pass  # it must come through
    else:
        silent = "your function raised nothing. Whoever calls it would believe that the checkpoint is there"
        expect(crash and not found, f"Given {given}, {silent}.")
        return  # it moves in a way that can't be watched
    expect(path.is_file(), f"Given {given}, the old file is gone: it was removed too early.")
    expect(step_in(path) == 1, f"Given {given}, the old file is damaged. Perhaps you wrote straight into it.")


@exercise("9.8")
def save_safely(answer):
    for file in ("checkpoint.pt", "run.1", "last"):
        with tempfile.TemporaryDirectory() as folder:
            path, weights = Path(folder, file).resolve(), as_tensor([0.0] * 10_000)
            given = f"a path that ends in {file!r}"
            saved(answer, 1, path, f"{given}, in an empty folder")
            crashed(answer, {"step": 2, "weights": weights}, path, f"{given}, and a crash half-way", crash=False)
            crashed(answer, {"step": 1}, path, f"{given}, and a crash before the move", crash=True)
            for rest in set(Path(folder).iterdir()) - {path}:
                rest.unlink()
            saved(answer, 3, path, f"{given}, over an older file")
