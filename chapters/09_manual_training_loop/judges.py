"""Chapter 09: the baseline, a training step, a loader's loss, four scores, grouping, clipping, confusion, saving."""

import math
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace

from labs_utils.exercises.core import CheckFailed, as_tensor, call, describe, exercise, expect


def _number(value, given: str) -> float:
    """The learner's number (or tensor with one element) as a float, or a complaint."""
    tensor = as_tensor(value, given)
    expect(tensor.numel() == 1, f"Given {given}, one number was expected, but got {describe(value)}.")
    return float(tensor)


def _near(value: float, wanted: float, tolerance: float = 1e-6) -> bool:
    """Equal up to rounding; the default leaves room for a float32 on the way."""
    return abs(value - wanted) <= tolerance * max(1.0, abs(wanted))  # nan is never near


@exercise("9.1")
def majority_share(answer):
    draw = random.Random(0)
    cases = [[1, 1, 0, 1], [0], [0, 0, 0, 1], ["joy", "fear", "joy"], [2, 2, 3, 4, 0], [1, 1]]
    cases += [draw.choices(range(4), weights=(1, 2, 3, 4), k=draw.randint(1, 30)) for _ in range(10)]
    for labels in cases:
        given = f"the labels {describe(labels)}"
        share = _number(call(answer, list(labels), given=given), given)
        counts = [labels.count(label) for label in set(labels)]
        wanted = max(counts) / len(labels)
        perhaps = ""
        if share > 1 and _near(share, max(counts)):
            perhaps = " That is a count; a share lies between 0 and 1."
        elif _near(share, 100 * wanted):
            perhaps = " Perhaps that is in percent; a share lies between 0 and 1."
        elif _near(share, 1 / len(counts)):
            perhaps = " Perhaps you answered for a blind guess among the labels."
        elif _near(share, labels.count(1) / len(labels)):
            perhaps = " Perhaps you counted the label 1: the most frequent label can be any."
        expect(
            _near(share, wanted), f"Given {given}, your {share:.4g} is not the share of the most frequent one.{perhaps}"
        )


def _toy(dropout: float = 0.0, seed: int = 0):
    """A small model with the interface of the chapter's: takes a batch with labels, returns `.loss` and `.logits`."""
    import torch

    class Toy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.linear = torch.nn.Dropout(dropout), torch.nn.Linear(5, 2)
            self.calls = []

        def forward(self, inputs, labels):
            self.calls.append((self.training, torch.is_grad_enabled()))
            logits = self.linear(self.dropout(inputs))
            return SimpleNamespace(loss=torch.nn.functional.cross_entropy(logits, labels), logits=logits)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy()


def _toy_batch(rows: int, seed: int) -> dict:
    import torch

    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(rows, 5, generator=generator)
    return {"inputs": inputs, "labels": torch.randint(0, 2, (rows,), generator=generator)}


@exercise("9.2")
def training_step(answer):
    import torch

    batch = _toy_batch(8, seed=1)
    model, twin = _toy(), _toy()
    model.eval()
    old = torch.optim.SGD(twin.parameters(), lr=0.1)
    loss = twin(**batch).loss
    loss.backward()
    fresh = [parameter.grad.clone() for parameter in twin.parameters()]
    old.step()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():  # old gradients lie around
        parameter.grad = torch.ones_like(parameter)
    given = "a model, a batch of 8 and an optimizer, with old gradients left over"
    got = call(answer, model, batch, torch.optim.SGD(model.parameters(), lr=0.1), given=given)
    expect(model.calls, f"Given {given}, your step never called the model.")
    expect(
        isinstance(got, float),
        f"Given {given}, a Python float was expected, but got {describe(got)}. Perhaps .item() is missing.",
    )
    expect(model.calls[0][0], f"Given {given}, the model was called in eval mode. Dropout must be on while you train.")
    now = [parameter.detach() for parameter in model.parameters()]
    still = all(torch.equal(one, other) for one, other in zip(now, before, strict=True))
    expect(not still, f"Given {given}, no weight has changed. Perhaps optimizer.step() or backward() is missing.")

    def moved(gradients, steps: int = 1) -> bool:
        wanted = [start - 0.1 * steps * gradient for start, gradient in zip(before, gradients, strict=True)]
        return all(torch.allclose(one, other, atol=1e-6) for one, other in zip(now, wanted, strict=True))

    perhaps = ""
    if moved([gradient + 1 for gradient in fresh]):
        perhaps = " The old gradients were added to the new ones. Perhaps zero_grad() is missing, or comes too late."
    elif moved([torch.ones_like(gradient) for gradient in fresh]):
        perhaps = " Only the old gradients were used. Perhaps the step comes before backward()."
    elif len(model.calls) > 1:
        perhaps = f" Your step called the model {len(model.calls)} times; once is enough."
    expect(moved(fresh), f"Given {given}, the weights did not move by the rate times the new gradient.{perhaps}")
    expect(
        _near(got, loss.item()),
        f"Given {given}, your loss {got:.4f} is not that of the batch before the step. Perhaps you computed it again.",
    )
    expect(model.training, f"Given {given}, the model was left in eval mode.")


@exercise("9.3")
def mean_loss(answer):
    import torch

    for number, sizes in enumerate(([4, 4], [6, 6, 1], [3])):
        for training in (True, False):
            model = _toy(dropout=0.5, seed=number)
            model.train(training)
            loader = [_toy_batch(size, seed=10 * number + index) for index, size in enumerate(sizes)]
            given = f"a model in {'train' if training else 'eval'} mode and batches of {' and '.join(map(str, sizes))}"
            got = _number(call(answer, model, loader, given=given), given)
            calls, left = model.calls[:], model.training
            expect(len(calls) >= len(sizes), f"Given {given}, only {len(calls)} of the batches reached the model.")
            expect(
                not any(mode for mode, _ in calls),
                f"Given {given}, the model ran in train mode, so dropout makes the loss random.",
            )
            model.eval()
            with torch.no_grad():
                losses = [model(**batch).loss.item() for batch in loader]
            wanted = sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)
            perhaps = ""
            if _near(got, sum(losses) / len(losses)):
                perhaps = " That is the mean over batches: the small last batch counts as much as a full one."
            elif _near(got, sum(losses)):
                perhaps = " That is the sum of the batches' losses."
            elif _near(got, losses[-1]):
                perhaps = " That is the loss of the last batch alone."
            expect(_near(got, wanted), f"Given {given}, your {got:.4f} is not the mean loss per example.{perhaps}")
            expect(
                not any(graded for _, graded in calls),
                f"Given {given}, gradients were recorded. It costs memory and time: use torch.inference_mode().",
            )
            expect(left == training, f"Given {given}, the model was left in the other mode: put its own mode back.")


@exercise("9.4")
def scores(answer):
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    draw = random.Random(4)
    cases = [
        ([0, 0, 1, 1], [0, 1, 1, 1], 0),
        ([0, 1, 1, 1], [0, 0, 0, 1], 0),
        ([1, 1, 0, 0], [1, 1, 1, 1], 0),
        ([1, 1], [0, 1], 0),
        ([1, 1], [1, 1], 0),
        (["joy", "fear", "joy", "anger"], ["joy", "joy", "fear", "anger"], "joy"),
    ]
    for _ in range(20):
        length, kinds = draw.randint(1, 15), draw.randint(2, 4)
        cases.append(
            (draw.choices(range(kinds), k=length), draw.choices(range(kinds), k=length), draw.randrange(kinds))
        )
    for truth, guess, target in cases:
        given = f"truth={describe(truth)}, guess={describe(guess)}, target={target!r}"
        got = call(answer, list(truth), list(guess), target, given=given)
        keys = ("precision", "recall", "f1")
        expect(
            isinstance(got, dict) and set(got) >= set(keys),
            f"Given {given}, a dict with {', '.join(keys)} was expected, but got {describe(got)}.",
        )
        got = {key: _number(got[key], given) for key in keys}
        library = precision_recall_fscore_support(truth, guess, labels=[target], average=None, zero_division=0)
        wanted = {key: float(values[0]) for key, values in zip(keys, library[:3], strict=True)}
        for key in keys:
            perhaps = ""
            swapped = _near(got["precision"], wanted["recall"]) and _near(got["recall"], wanted["precision"])
            if swapped and key != "f1":
                perhaps = " Perhaps precision and recall are swapped: precision divides by how many were *called* so."
            elif key != "f1" and _near(got[key], accuracy_score(truth, guess)):
                perhaps = " That is the accuracy: here only the target class counts."
            elif key == "f1" and _near(got["f1"], (wanted["precision"] + wanted["recall"]) / 2):
                perhaps = " That is the arithmetic mean; F1 is the harmonic one."
            elif math.isnan(got[key]):
                perhaps = " 0/0 counts as 0 here."
            elif target != 1 and 1 in truth:
                perhaps = " Perhaps you counted another class than the target."
            expect(
                _near(got[key], wanted[key]), f"Given {given}, your {key} {got[key]:.4g} is not the target's.{perhaps}"
            )


@exercise("9.5")
def group(answer):
    draw = random.Random(5)
    cases = [([9, 2, 8, 3], 2), ([5], 3), ([4, 4, 4], 1), ([1, 2, 3, 100], 4), ([7, 1, 6, 2, 5], 2), ([], 4)]
    cases += [([draw.randint(3, 128) for _ in range(draw.randint(1, 40))], draw.randint(1, 9)) for _ in range(20)]
    for lengths, size in cases:
        given = f"lengths={describe(lengths)}, size={size}"
        got = call(answer, list(lengths), size, given=given)
        try:
            batches = [[int(index) for index in batch] for batch in got]
        except (TypeError, ValueError):
            raise CheckFailed(f"Given {given}, a list of lists of indices was expected, got {describe(got)}.") from None
        flat = [index for batch in batches for index in batch]
        values = " These look like lengths, not indices." if sorted(flat) == sorted(lengths) else ""
        twice = sorted(flat) == list(range(len(lengths)))
        expect(twice, f"Given {given}, each index must occur exactly once, but got {describe(batches)}.{values}")
        longest = max((len(batch) for batch in batches), default=0)
        expect(longest <= size, f"Given {given}, a batch has {longest} indices: more than {size}.")
        fewest = -(-len(lengths) // size)
        expect(
            len(batches) == fewest,
            f"Given {given}, {fewest} batches are enough, but got {len(batches)}: {describe(batches)}.",
        )
        cost = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
        # Sorted up or down: where `size` does not divide, the smaller batch may stand at either end.
        wanted = max(_tokens(sorted(lengths), size), _tokens(sorted(lengths, reverse=True), size))
        came = cost == _tokens(lengths, size)
        perhaps = " Perhaps the texts are still in the order in which they came." if came else ""
        expect(cost <= wanted, f"Given {given}, your batches need {cost} tokens, and {wanted} are enough.{perhaps}")


def _tokens(lengths, size: int) -> int:
    """What a model computes when texts are cut into batches in this order."""
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return sum(len(batch) * max(batch) for batch in batches)


@exercise("9.6")
def clip(answer):
    import torch

    generator = torch.Generator().manual_seed(6)
    cases = [([torch.tensor([3.0, 0.5]), torch.tensor([4.0])], 1.0), ([torch.tensor([0.3]), torch.tensor([-0.4])], 1.0)]
    cases += [([torch.zeros(2, 3)], 1.0), ([torch.tensor([[1.0, 2.0], [2.0, 4.0]]), torch.tensor(0.0)], 5.0)]
    for scale in (0.1, 1.0, 20.0):
        shapes = ((4, 3), (3,), (2, 2, 2))
        cases.append(([scale * torch.randn(shape, generator=generator) for shape in shapes], 2.0))
    for gradients, limit in cases:
        shapes = [tuple(gradient.shape) for gradient in gradients]
        norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
        given = f"gradients of the shapes {shapes} with the common norm {norm:.3g}, and max_norm={limit}"
        parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_(parameters, limit)
        mine = [gradient.clone() for gradient in gradients]
        returned = call(answer, mine, limit, given=given)
        expect(returned is not None, f"Given {given}, the norm before was expected, but got None.")
        got = _number(returned, given)
        close = [torch.allclose(one, p.grad, atol=1e-5) for one, p in zip(mine, parameters, strict=True)]
        expect(len(mine) == len(gradients), f"Given {given}, the list itself changed: change the tensors in it.")
        same = all(torch.equal(one, other) for one, other in zip(mine, gradients, strict=True))
        each = [g * min(1.0, limit / max(float(g.norm()), 1e-12)) for g in gradients]
        perhaps = ""
        if norm <= limit:
            perhaps = " They were short enough and should stay as they are."
        elif same:
            perhaps = " Nothing has changed. Perhaps you made new tensors; scale the ones that you were given."
        elif all(torch.equal(one, g.clamp(-limit, limit)) for one, g in zip(mine, gradients, strict=True)):
            perhaps = " Perhaps you cut single numbers off: that turns the gradient; only its length should change."
        elif all(torch.allclose(one, other, atol=1e-5) for one, other in zip(mine, each, strict=True)):
            perhaps = " Perhaps each tensor was clipped by its own norm: the norm is that of all together."
        # The library divides by norm + 1e-6, so a millionth of difference is right; 1e-5 allows for it and for float32.
        expect(all(close), f"Given {given}, the gradients afterwards are not right.{perhaps}")
        after = float(torch.cat([one.flatten() for one in mine]).norm())
        then = " That is the norm afterwards." if _near(got, after, 1e-3) and norm > limit else ""
        squared = " Perhaps the square root is missing." if _near(got, norm**2, 1e-4) and norm > 0 else ""
        expect(
            _near(got, norm, 1e-4), f"Given {given}, your function returned {got:.4g}, not that norm.{then or squared}"
        )


@exercise("9.7")
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
        given = f"truth={describe(truth)}, guess={describe(guess)}, classes={classes}"
        got = as_tensor(call(answer, list(truth), list(guess), list(classes), given=given), given)
        shape = (len(classes), len(classes))
        expect(tuple(got.shape) == shape, f"Given {given}, the shape {shape} was expected, but got {tuple(got.shape)}.")
        got, wanted = got.tolist(), confusion_matrix(truth, guess, labels=classes).tolist()
        perhaps = ""
        if got == [list(column) for column in zip(*wanted, strict=True)]:
            perhaps = " Perhaps rows and columns are swapped: a row is what the truth is."
        elif got == confusion_matrix(truth, guess, labels=sorted(classes)).tolist():
            perhaps = " Perhaps you sorted the classes: their order is given."
        elif any(value != int(value) for row in got for value in row):
            perhaps = " Perhaps these are shares; counts are asked for."
        elif sum(map(sum, got)) != len(truth):
            perhaps = f" The counts add up to {sum(map(sum, got)):g}, and there are {len(truth)} reviews."
        expect(got == wanted, f"Given {given}, your matrix {got} does not count the pairs.{perhaps}")


class _Breaks:
    """An object that can't be saved: it stands for a crash in the middle of the file."""

    def __reduce__(self):
        raise OSError("no space left on the disk")


@exercise("9.8")
def save_safely(answer):
    with tempfile.TemporaryDirectory() as name:
        for file in ("checkpoint.pt", "run.1", "last"):
            path = Path(name, file)
            given = f"a path that ends in {file!r}"
            _saved(answer, 1, path, f"{given}, in an empty folder,")
            _crashed(answer, path, f"{given} and a crash half-way")
            for rest in Path(name).iterdir():
                rest.unlink() if rest != path else None
            _saved(answer, 2, path, f"{given}, over an older file,")
            for rest in Path(name).iterdir():
                rest.unlink()


def _crashed(answer, path: Path, given: str) -> None:
    """A save that breaks in the middle: the error must come through, and the old file stay whole."""
    import torch

    try:
        answer({"step": 3, "weights": torch.zeros(10_000), "broken": _Breaks()}, path)
    except Exception:
        pass  # it must come through
    else:
        raise CheckFailed(
            f"Given {given}, your function raised nothing. Whoever calls it would believe that the checkpoint is there."
        )
    expect(path.is_file(), f"Given {given}, the old file is gone: it was removed too early.")
    expect(_step(path) == 1, f"Given {given}, the old file is damaged. Perhaps you wrote straight into it.")


def _saved(answer, step: int, path: Path, given: str) -> None:
    """One save that must succeed, replace what was there in one move, and leave nothing else."""
    import torch

    inode = path.stat().st_ino if path.exists() else None
    call(answer, {"step": step, "weights": torch.full((3,), float(step))}, path, given=given)
    expect(path.is_file(), f"Given {given} there is no file at that path afterwards.")
    expect(_step(path) == step, f"Given {given} torch.load does not find the new state there afterwards.")
    left = sorted(file.name for file in path.parent.iterdir() if file != path)
    expect(not left, f"Given {given} your function left behind: {', '.join(left)}.")
    expect(
        inode is None or path.stat().st_ino != inode,
        f"Given {given} the file was written in place: a crash in between leaves half of it. Move a whole file there.",
    )


def _step(path: Path):
    """The step in a saved file, or None where it can't be read."""
    import torch

    try:
        return torch.load(path, weights_only=True)["step"]
    except Exception:  # a damaged file raises many kinds of errors
        return None
