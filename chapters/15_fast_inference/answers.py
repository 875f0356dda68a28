"""Chapter 15: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math
import statistics
from fractions import Fraction

import numpy as np
import torch


def summary_with_torch(times, warmup):
    kept = torch.tensor(times[warmup:], dtype=torch.float64) * 1000
    p50, p95 = kept.quantile(torch.tensor([0.5, 0.95], dtype=torch.float64))
    return {"best": kept.min().item(), "p95": p95.item(), "p50": p50.item()}


def summary_with_statistics(times, warmup):
    kept = sorted(1e3 * one for one in times[warmup:])
    place = 0.95 * (len(kept) - 1)
    low = int(place)
    high = kept[min(low + 1, len(kept) - 1)]
    p95 = kept[low] + (high - kept[low]) * (place - low)
    return {"p50": statistics.median(kept), "p95": p95, "best": min(kept)}


def summary_with_numpy(times, warmup):
    kept = np.array(times)[warmup:] * 1000
    return {"p50": np.median(kept), "p95": np.percentile(kept, 95), "best": min(1000 * one for one in times[warmup:])}


def summary_in_float32(times, warmup):
    kept = torch.tensor(times)[warmup:] * 1000
    return {"p50": kept.quantile(0.5), "p95": kept.quantile(0.95), "best": kept.min()}


def by_length_with_pairs(texts, size, run):
    pairs, answers = sorted(enumerate(texts), key=lambda pair: len(pair[1])), {}
    while pairs:
        now, pairs = pairs[:size], pairs[size:]
        answers.update(zip([place for place, _ in now], run([text for _, text in now]), strict=True))
    return [answers[place] for place in range(len(texts))]


def by_length_with_numpy(texts, size, run):
    order = np.argsort([len(text) for text in texts], kind="stable")
    found = []
    for start in range(0, len(order), size):
        found.extend(run([texts[place] for place in order[start : start + size]]))
    return tuple(found[place] for place in np.argsort(order))


def by_length_unsorted(texts, size, run):
    return [one for start in range(0, len(texts), size) for one in run(texts[start : start + size])]


def by_length_downwards(texts, size, run):
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    answers = [None] * len(texts)
    for start in range(0, len(order), size):
        places = order[start : start + size]
        for place, one in zip(places, run([texts[place] for place in places]), strict=True):
            answers[place] = one
    return answers


def by_length_one_by_one(texts, size, run):
    return [run([text])[0] for text in texts]


def by_length_at_once(texts, size, run):
    return run(texts)


def share_by_equations(lengths, times, n):
    left = np.vander(np.array(lengths, dtype=float), 3) / np.array(times)[:, None]
    a, b, c = np.linalg.lstsq(left, np.ones(len(times)), rcond=None)[0]
    return a * n * n / (a * n * n + b * n + c)


def share_by_polynomial(lengths, times, n):
    fitted = np.polynomial.Polynomial.fit(lengths, times, 2, w=[1 / one for one in times])
    return np.float64(fitted.convert().coef[2] * n**2 / fitted(n))


def row_with_numpy(row):
    numbers = row.numpy().astype(np.float64)
    low, high = min(0.0, numbers.min()), max(0.0, numbers.max())
    scale = (high - low) / 255 if high > low else 1.0
    zero = int(np.rint(-128 - low / scale))
    whole = np.clip(np.rint(numbers / scale) + zero, -128, 127).astype(np.int8)
    return torch.from_numpy(whole), scale, zero


def row_by_the_library(row):
    low, high = torch.clamp(row.min(), max=0), torch.clamp(row.max(), min=0)
    scale = ((high - low) / 255).item() or 1.0
    zero = int((-128 - low / scale).round())
    return torch.stack([(one / scale).round() + zero for one in row]).clamp(-128, 127).char(), scale, zero


def row_in_place(row):
    low, high = min(0.0, row.min().item()), max(0.0, row.max().item())
    scale = (high - low) / 255 or 1.0
    zero = round(-128 - low / scale)
    return row.div_(scale).round_().add_(zero).clamp_(-128, 127).to(torch.int8), scale, zero


def agreement_by_masks(first, second, k):
    marks = [torch.zeros_like(one).scatter(1, one.topk(k).indices, 1.0) for one in (first, second)]
    return ((marks[0] * marks[1]).sum(dim=1).mean() / k).item()


def agreement_by_comparison(first, second, k):
    best, others = first.argsort(dim=-1, descending=True)[:, :k], second.argsort(dim=-1, descending=True)[:, :k]
    return float((best[:, :, None] == others[:, None, :]).any(dim=-1).numpy().mean())


def tokens_with_fractions(parameters, bits, bandwidth, batch):
    return float(Fraction(bandwidth) * 8 * batch / (Fraction(bits) * parameters))


def tokens_step_by_step(parameters, bits, bandwidth, batch):
    step = parameters * (bits / 8) / bandwidth  # seconds
    return np.float64(batch / step)


def admit_in_one_go(waiting, room, per_second, patience):
    status = 503 if waiting >= room else 429 if waiting + 1 > patience * per_second else 200
    return [status, 0 if status == 200 else max(1, math.ceil(waiting / per_second))]


def admit_with_floor(waiting, room, per_second, patience):
    wait = -int(-waiting // per_second) or 1
    if waiting < room:
        return (200, 0) if (waiting + 1) / per_second <= patience else (np.int64(429), wait)
    return 503, wait


def batches_with_a_while(arrivals, size, patience):
    found, start = [], 0
    while start < len(arrivals):
        end = start
        while end < len(arrivals) and end - start < size and arrivals[end] <= arrivals[start] + patience:
            end += 1
        found.append(list(range(start, end)))
        start = end
    return found


def batches_as_tuples(arrivals, size, patience):
    if not arrivals:
        return ()
    inside = [n for n, moment in enumerate(arrivals[:size]) if moment - arrivals[0] <= patience]
    rest = batches_as_tuples(arrivals[len(inside) :], size, patience)
    return (tuple(inside), *(tuple(n + len(inside) for n in one) for one in rest))


RIGHT = {
    "15.1": [summary_with_torch, summary_with_statistics, summary_with_numpy, summary_in_float32],
    "15.2": [by_length_with_pairs, by_length_with_numpy],
    "15.3": [share_by_equations, share_by_polynomial],
    "15.4": [row_with_numpy, row_by_the_library],
    "15.5": [agreement_by_masks, agreement_by_comparison],
    "15.6": [tokens_with_fractions, tokens_step_by_step],
    "15.7": [admit_in_one_go, admit_with_floor],
    "15.8": [batches_with_a_while, batches_as_tuples],
}

WRONG = {
    "15.1": [
        (lambda times, warmup: sorted(times)[0], "a dict was expected"),
        (lambda times, warmup: {"p50": 1.0, "p95": 2.0}, "the keys p50, p95 and best"),
        (lambda times, warmup: {"p50": "fast", "p95": 2.0, "best": 1.0}, "p50 should be a number"),
    ],
    "15.2": [
        (by_length_unsorted, "Sort before you cut into batches"),
        (by_length_downwards, "The shortest come first"),
        (by_length_one_by_one, "run got batches with these lengths"),
        (by_length_at_once, "run got a batch of 3 texts"),
    ],
    "15.3": [(lambda lengths, times, n: np.polyfit(lengths, times, 2), "a number was expected")],
    "15.4": [
        (row_in_place, "changed row"),
        (lambda row: (row, 1.0, 0), "torch.int8 was asked for"),
        (lambda row: row.to(torch.int8), "a tuple (whole, scale, zero)"),
    ],
    "15.5": [
        (
            lambda first, second, k: (first.topk(k).indices == second.topk(k).indices).float().mean(dim=1),
            "a number was expected",
        )
    ],
    "15.6": [(lambda parameters, bits, bandwidth, batch: "fast", "a number was expected")],
    "15.7": [
        (lambda waiting, room, per_second, patience: 200 if waiting < room else 503, "a tuple (status, seconds)"),
        (lambda waiting, room, per_second, patience: (503, waiting / per_second), "a tuple (status, seconds)"),
    ],
    "15.8": [(lambda arrivals, size, patience: list(range(len(arrivals))), "a list of lists of numbers")],
}
