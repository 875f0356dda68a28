"""Chapter 09: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np
import torch


def share_with_numpy(labels):
    return np.unique(np.array(labels, dtype=object).astype(str), return_counts=True)[1].max() / len(labels)


def step_by_items(model, batch, optimizer):
    model.train(True)
    optimizer.zero_grad(set_to_none=False)
    loss, _ = model(**batch).to_tuple()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def step_with_key(model, batch, optimizer):
    mode = model.training
    model.train()
    loss = model(**batch)["loss"]
    parameters = list(model.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    model.train(mode)
    return loss.detach().numpy().item()


def step_zero_last(model, batch, optimizer):
    model.train()
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def step_in_eval(model, batch, optimizer):
    optimizer.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    return loss.item()


def step_as_tensor(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    return loss


def loss_afterwards(model, batch, optimizer):
    step_by_items(model, batch, optimizer)
    return model(**batch).loss.item()


def loader_loss(model, loader, train=False, grad=False, restore=True):
    mode = model.training
    model.train(train)
    with torch.set_grad_enabled(grad):
        sums = [model(**batch).loss.item() * len(batch["labels"]) for batch in loader]
    if restore:
        model.train(mode)
    return sum(sums) / sum(len(batch["labels"]) for batch in loader)


def loader_loss_by_items(model, loader):
    mode, total = model.training, torch.zeros(())
    model.eval()
    for batch in loader:
        batch = batch.to("cpu")
        with torch.no_grad():
            total += model(**batch)["loss"] * batch["labels"].shape[0]
    model.train(mode)
    return total.item() / len(loader.dataset)


def loader_loss_unreduced(model, loader):
    mode = model.training
    model.eval()
    with torch.inference_mode():
        pairs = [(model(**batch)[1], batch["labels"]) for batch in loader]
    model.train() if mode else model.eval()
    logits, labels = zip(*pairs, strict=True)
    return float(torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(labels)))


def scores_with_counter(truth, guess, target):
    boxes = Counter((t == target, g == target) for t, g in zip(truth, guess, strict=True))
    found, missed, wrong = boxes[True, True], boxes[True, False], boxes[False, True]
    return {
        "f1": 2 * found / (2 * found + missed + wrong) if found else 0,
        "recall": found / ((found + missed) or 1),
        "precision": found / ((found + wrong) or 1),
    }


def scores_step_by_step(truth, guess, target):
    found = called = there = 0
    for place in range(len(truth)):
        called += guess[place] == target
        there += truth[place] == target
        found += guess[place] == truth[place] == target
    precision = 0.0 if called == 0 else found / called
    recall = 0.0 if there == 0 else found / there
    f1 = 0.0 if found == 0 else 2 / (1 / precision + 1 / recall)
    return {"precision": precision, "recall": recall, "f1": f1, "found": found}


def scores_without_way_out(truth, guess, target):
    found = sum(t == g == target for t, g in zip(truth, guess, strict=True))
    called, there = guess.count(target), truth.count(target)
    return {"precision": found / called, "recall": found / there, "f1": 2 * found / (called + there)}


def scores_by_library(truth, guess, target):
    from sklearn.metrics import precision_recall_fscore_support

    given = {"labels": [target], "average": None, "zero_division": 0}
    found = precision_recall_fscore_support(truth, guess, **given)
    return {name: values[0] for name, values in zip(("precision", "recall", "f1"), found, strict=False)}


def group_with_numpy(lengths, size):
    order = np.argsort(lengths)[::-1]
    return tuple(order[start : start + size] for start in range(0, len(order), size))


def group_by_popping(lengths, size):
    rest, batches = sorted(enumerate(lengths), key=lambda pair: pair[1]), []
    while rest:
        batches.append([rest.pop()[0] for _ in range(min(size, len(rest)))])
    return batches[::-1]


def group_in_order(lengths, size):
    return [list(range(len(lengths)))[start : start + size] for start in range(0, len(lengths), size)]


def group_lengths(lengths, size):
    return [sorted(lengths)[start : start + size] for start in range(0, len(lengths), size)]


def group_full_only(lengths, size):
    return [batch for batch in group_with_numpy(lengths, size) if len(batch) == size]


def clip_with_foreach(gradients, max_norm):
    norm = torch.nn.utils.get_total_norm(gradients)
    torch._foreach_mul_(gradients, (max_norm / norm).clamp(max=1.0))
    return norm.item()


def clip_with_slices(gradients, max_norm):
    norm = float(torch.cat([gradient.reshape(-1) for gradient in gradients]).norm())
    for gradient in gradients:
        gradient[:] = gradient * (max_norm / max(norm, max_norm))
    return np.float32(norm)


def clip_always(gradients, max_norm):
    norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    for gradient in gradients:
        gradient.mul_(max_norm / max(norm, 1e-12))
    return norm


def clip_into_the_list(gradients, max_norm):
    norm = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    gradients[:] = [gradient * (max_norm / max(norm, max_norm)) for gradient in gradients]
    return norm


def confusion_step_by_step(truth, guess, classes):
    matrix = [[0 for _ in classes] for _ in classes]
    for t, g in zip(truth, guess, strict=True):
        matrix[classes.index(t)][classes.index(g)] += 1
    return tuple(matrix)


def confusion_with_numpy(truth, guess, classes):
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    for t, g in zip(truth, guess, strict=True):
        matrix[classes.index(t), classes.index(g)] += 1
    return [list(row) for row in matrix]


def save_in_a_named_file(state, path):
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as unfinished:
        torch.save(state, unfinished)
    Path(unfinished.name).replace(path)


def save_and_tidy_up(state, path):
    unfinished = str(path) + ".tmp"
    try:
        torch.save(state, unfinished)
        shutil.move(unfinished, path)
    except BaseException:
        os.remove(unfinished)
        raise


def save_with_own_names(state, path, replace=os.replace):
    torch.save(state, path.with_suffix(".part"))
    replace(path.with_suffix(".part"), path)


def save_straight(state, path):
    torch.save(state, path)


def save_after_removing(state, path):
    path.unlink(missing_ok=True)
    save_in_a_named_file(state, path)


def save_then_remove_and_rename(state, path):
    part = path.with_name("other.part")
    torch.save(state, part)
    path.unlink(missing_ok=True)
    part.rename(path)


def save_elsewhere(state, path):
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, Path(folder, "new"))
        shutil.move(Path(folder, "new"), path)


def save_silently(state, path):
    part = path.with_name("other.part")
    try:
        torch.save(state, part)
        os.replace(part, path)
    except Exception:
        part.unlink(missing_ok=True)


def save_twice(state, path):
    part = path.with_name("other.part")
    torch.save(state, part)
    path.write_bytes(part.read_bytes())


def save_by_copying(state, path):
    save_twice(state, path)
    path.with_name("other.part").unlink()


RIGHT = {
    "9.1": [lambda labels: Counter(labels).most_common(1)[0][1] / len(labels), share_with_numpy],
    "9.2": [step_by_items, step_with_key],
    "9.3": [loader_loss, loader_loss_by_items, loader_loss_unreduced],
    "9.4": [scores_with_counter, scores_step_by_step],
    "9.5": [group_with_numpy, group_by_popping],
    "9.6": [clip_with_foreach, clip_with_slices],
    "9.7": [confusion_step_by_step, confusion_with_numpy],
    "9.8": [save_in_a_named_file, save_and_tidy_up, save_with_own_names],
}

WRONG = {
    "9.1": [
        (lambda labels: sum(labels) / len(labels), "counted the label 1"),
        (lambda labels: torch.tensor(0.75), "a number was expected"),
    ],
    "9.2": [
        (step_zero_last, "too late"),
        (step_in_eval, "eval mode"),
        (step_as_tensor, ".item()"),
        (loss_afterwards, "before the step. Your step called the model 2 times"),
        (lambda model, batch, optimizer: 0.7, "never called the model"),
    ],
    "9.3": [
        (lambda model, loader: loader_loss(model, loader, train=True), "train mode"),
        (lambda model, loader: loader_loss(model, loader, grad=True), "gradients were recorded"),
        (lambda model, loader: loader_loss(model, loader, restore=False), "the other mode"),
        (lambda model, loader: torch.tensor(loader_loss(model, loader)), ".item()"),
        (lambda model, loader: 0.7, "reached the model"),
        (lambda model, loader: fmean(model(**batch).loss.item() for batch in [next(iter(loader))]), "only 1 of 2"),
    ],
    "9.4": [
        (scores_without_way_out, "ZeroDivisionError"),
        (scores_by_library, "does the work for you"),
        (lambda truth, guess, target: 0.5, "a dict with"),
        (lambda truth, guess, target: {"precision": 1.0, "recall": "half", "f1": 0.7}, "a number for precision"),
        (lambda truth, guess, target: scores_with_counter(truth, guess, target) | {"f1": 0.6}, "look at f1"),
    ],
    "9.5": [
        (group_in_order, "in which they came"),
        (group_lengths, "not indices"),
        (group_full_only, "occur once"),
        (lambda lengths, size: [[index] for index in range(len(lengths))], "are enough"),
        (lambda lengths, size: [sorted(range(len(lengths)), key=lengths.__getitem__)], "more than"),
        (lambda lengths, size: sorted(range(len(lengths)), key=lengths.__getitem__), "a list of lists"),
        (lambda lengths, size: [["1", "3"], ["2", "0"]], "a list of lists"),
    ],
    "9.6": [
        (clip_always, "short enough"),
        (clip_into_the_list, "made new tensors"),
        (lambda gradients, max_norm: print(gradients), "hands its result over with return"),
        (lambda gradients, max_norm: torch.nn.utils.get_total_norm(gradients), ".item()"),
    ],
    "9.7": [
        (lambda truth, guess, classes: np.array(confusion_step_by_step(truth, guess, classes)), "a list of rows"),
        (lambda truth, guess, classes: [[len(truth)]], "rows of"),
        (lambda truth, guess, classes: [[1, 1] for _ in classes], "add up to"),
    ],
    "9.8": [
        (save_straight, "wrote straight into it"),
        (save_after_removing, "removed too early"),
        (save_then_remove_and_rename, "removed too early"),
        (save_elsewhere, "another folder"),
        (save_silently, "raised nothing"),
        (save_twice, "left behind"),
        (save_by_copying, "written in place"),
        (lambda state, path: torch.save(state, path.with_name("other.part")), "no file at that path"),
    ],
}
