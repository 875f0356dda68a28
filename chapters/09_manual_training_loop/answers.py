"""Chapter 09: what learners get wrong, and what they are told."""

import os

import torch


def _counts(truth, guess, target):
    found = sum(t == target and g == target for t, g in zip(truth, guess, strict=True))
    return found, guess.count(target), truth.count(target)


def _fractions(found, called, there, f1=None):
    precision = found / called if called else 0.0
    recall = found / there if there else 0.0
    harmonic = 2 * precision * recall / (precision + recall) if found else 0.0
    return {"precision": precision, "recall": recall, "f1": harmonic if f1 is None else f1(precision, recall)}


def _swapped(truth, guess, target):
    found, called, there = _counts(truth, guess, target)
    return _fractions(found, there, called)


def _arithmetic(truth, guess, target):
    return _fractions(*_counts(truth, guess, target), f1=lambda p, r: (p + r) / 2)


def _no_way_out(truth, guess, target):
    found, called, there = _counts(truth, guess, target)
    return {"precision": found / called, "recall": found / there, "f1": 2 * found / (called + there)}


def _always_one(truth, guess, target):
    return _fractions(*_counts(truth, guess, 1))


def _accuracy_for_all(truth, guess, target):
    share = sum(t == g for t, g in zip(truth, guess, strict=True)) / len(truth)
    return {"precision": share, "recall": share, "f1": share}


def _step(model, batch, optimizer, zero="first", train=True, number=True, order="backward first"):
    if train:
        model.train()
    if zero == "first":
        optimizer.zero_grad()
    loss = model(**batch).loss
    if order == "step first":
        optimizer.step()
        loss.backward()
    else:
        loss.backward()
        optimizer.step()
    if zero == "last":
        optimizer.zero_grad()
    return loss.item() if number else loss


def _no_step(model, batch, optimizer):
    model.train()
    optimizer.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss.item()


def _loss_afterwards(model, batch, optimizer):
    _step(model, batch, optimizer)
    return model(**batch).loss.item()


def _loader_loss(model, loader, train=False, grad=False, weighted=True, restore=True, pick=None):
    mode = model.training
    model.train(train)
    with torch.set_grad_enabled(grad):
        losses = [model(**batch).loss.item() for batch in loader]
    sizes = [len(batch["labels"]) if weighted else 1 for batch in loader]
    if restore:
        model.train(mode)
    if pick:
        return pick(losses)
    return sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)


def _in_order(lengths, size):
    order = range(len(lengths))
    return [list(order[start : start + size]) for start in range(0, len(lengths), size)]


def _sorted_lengths(lengths, size):
    ranked = sorted(lengths)
    return [ranked[start : start + size] for start in range(0, len(ranked), size)]


def _drops_the_rest(lengths, size):
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


def _one_each(lengths, size):
    return [[index] for index in range(len(lengths))]


def _norm(gradients):
    return float(torch.cat([gradient.flatten() for gradient in gradients]).norm())


def _clip_each(gradients, max_norm):
    norm = _norm(gradients)
    for gradient in gradients:
        gradient.mul_(min(1.0, max_norm / max(float(gradient.norm()), 1e-12)))
    return norm


def _clip_copies(gradients, max_norm):
    norm = _norm(gradients)
    gradients = [gradient * min(1.0, max_norm / max(norm, 1e-12)) for gradient in gradients]
    return norm


def _clip_values(gradients, max_norm):
    norm = _norm(gradients)
    for gradient in gradients:
        gradient.clamp_(-max_norm, max_norm)
    return norm


def _clip_always(gradients, max_norm):
    norm = _norm(gradients)
    for gradient in gradients:
        gradient.mul_(max_norm / max(norm, 1e-12))
    return norm


def _clip_norm_after(gradients, max_norm):
    norm = _norm(gradients)
    for gradient in gradients:
        gradient.mul_(min(1.0, max_norm / max(norm, 1e-12)))
    return _norm(gradients)


def _clip_returns_nothing(gradients, max_norm):
    _clip_norm_after(gradients, max_norm)


def _confusion(truth, guess, classes, swap=False):
    matrix = [[0] * len(classes) for _ in classes]
    for t, g in zip(truth, guess, strict=True):
        row, column = classes.index(t), classes.index(g)
        row, column = (column, row) if swap else (row, column)
        matrix[row][column] += 1
    return matrix


def _only_right(truth, guess, classes):
    matrix = [[0] * len(classes) for _ in classes]
    for t, g in zip(truth, guess, strict=True):
        if t == g:
            matrix[classes.index(t)][classes.index(t)] += 1
    return matrix


def _straight(state, path):
    torch.save(state, path)


def _removed_first(state, path):
    path.unlink(missing_ok=True)
    part = path.with_name("other.part")
    torch.save(state, part)
    os.replace(part, path)


def _swallowed(state, path):
    part = path.with_name("other.part")
    try:
        torch.save(state, part)
        os.replace(part, path)
    except Exception:
        part.unlink(missing_ok=True)


def _keeps_a_copy(state, path):
    part = path.with_name("other.part")
    torch.save(state, part)
    path.write_bytes(part.read_bytes())


def _no_move(state, path):
    torch.save(state, path.with_name("other.part"))


WRONG = {
    "9.1": [
        (lambda labels: labels.count(1) / len(labels), "any"),
        (lambda labels: max(labels.count(label) for label in labels), "a share lies between 0 and 1"),
        (lambda labels: 100 * max(labels.count(label) for label in labels) / len(labels), "percent"),
        (lambda labels: 1 / len(set(labels)), "blind guess"),
        (lambda labels: sum(labels) / len(labels), "counted the label 1"),
    ],
    "9.2": [
        (lambda m, b, o: _step(m, b, o, zero="never"), "zero_grad"),
        (lambda m, b, o: _step(m, b, o, zero="last"), "comes too late"),
        (lambda m, b, o: _step(m, b, o, train=False), "eval mode"),
        (lambda m, b, o: _step(m, b, o, number=False), ".item()"),
        (lambda m, b, o: _step(m, b, o, zero="never", order="step first"), "before backward"),
        (_no_step, "no weight has changed"),
        (_loss_afterwards, "before the step"),
    ],
    "9.3": [
        (lambda m, loader: _loader_loss(m, loader, weighted=False), "mean over batches"),
        (lambda m, loader: _loader_loss(m, loader, train=True), "train mode"),
        (lambda m, loader: _loader_loss(m, loader, grad=True), "gradients were recorded"),
        (lambda m, loader: _loader_loss(m, loader, restore=False), "the other mode"),
        (lambda m, loader: _loader_loss(m, loader, pick=sum), "sum of the batches"),
        (lambda m, loader: _loader_loss(m, loader, pick=lambda losses: losses[-1]), "last batch alone"),
    ],
    "9.4": [
        (_swapped, "swapped"),
        (_arithmetic, "harmonic"),
        (_no_way_out, "ZeroDivisionError"),
        (_always_one, "another class"),
        (_accuracy_for_all, "That is the accuracy"),
        (lambda truth, guess, target: 0.5, "a dict with"),
    ],
    "9.5": [
        (_in_order, "in which they came"),
        (_sorted_lengths, "not indices"),
        (_drops_the_rest, "exactly once"),
        (_one_each, "are enough"),
        (lambda lengths, size: [sorted(range(len(lengths)), key=lengths.__getitem__)], "more than"),
        (lambda lengths, size: len(lengths), "a list of lists"),
    ],
    "9.6": [
        (_clip_each, "its own norm"),
        (_clip_copies, "made new tensors"),
        (_clip_values, "turns the gradient"),
        (_clip_always, "short enough"),
        (_clip_norm_after, "norm afterwards"),
        (_clip_returns_nothing, "got None"),
    ],
    "9.7": [
        (lambda truth, guess, classes: _confusion(truth, guess, classes, swap=True), "rows and columns are swapped"),
        (lambda truth, guess, classes: _confusion(truth, guess, sorted(classes)), "sorted the classes"),
        (_only_right, "add up to"),
        (lambda truth, guess, classes: len(truth), "the shape"),
    ],
    "9.8": [
        (_straight, "wrote straight into it"),
        (_removed_first, "removed too early"),
        (_swallowed, "raised nothing"),
        (_keeps_a_copy, "left behind"),
        (_no_move, "no file at that path"),
    ],
}
