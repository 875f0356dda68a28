"""Chapter 00: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, normalize


def megabytes_from_bits(parameters, dtype):
    information = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    return parameters * information.bits / 8_000_000


def megabytes_of_a_tensor(parameters, dtype):
    return np.float64(torch.tensor([], dtype=dtype).element_size() * 1e-6) * parameters


def vector_with_numpy(hidden):
    mean = hidden.numpy().astype(np.float64).mean(axis=0)
    return mean / np.linalg.norm(mean)


def vector_in_loops(hidden):
    tokens = hidden.tolist()
    mean = [math.fsum(column) / len(tokens) for column in zip(*tokens, strict=True)]
    return [one / math.hypot(*mean) for one in mean]


def nearest_by_scaling(query, candidates):
    return (normalize(candidates, dim=1) @ query).argmax().item()


def nearest_in_a_loop(query, candidates):
    return max(range(len(candidates)), key=lambda row: cosine_similarity(query, candidates[row], dim=0))


def nearest_with_numpy(query, candidates):
    rows = candidates.numpy()
    return np.argmax(rows @ query.numpy() / np.linalg.norm(rows, axis=1))


def accuracy_in_a_loop(logits, labels):
    chosen = [max(range(len(row)), key=row.__getitem__) for row in logits.tolist()]
    return sum(one == label for one, label in zip(chosen, labels.tolist(), strict=True)) / len(chosen)


def accuracy_with_numpy(logits, labels):
    return np.mean(logits.numpy().argmax(-1) == labels.numpy())


def scaled_in_place(hidden):
    hidden /= hidden.mean(dim=0).norm()
    return hidden.mean(dim=0)


RIGHT = {
    "0.1": [megabytes_from_bits, megabytes_of_a_tensor],
    "0.2": [vector_with_numpy, vector_in_loops, lambda hidden: normalize(hidden.double().sum(dim=0), dim=0)],
    "0.3": [nearest_by_scaling, nearest_in_a_loop, nearest_with_numpy],
    "0.4": [accuracy_in_a_loop, accuracy_with_numpy],
}

WRONG = {
    "0.1": [
        (lambda parameters, dtype: "4 MB", "a number was expected"),
        (lambda parameters, dtype: 4.0, "not right"),
        (lambda parameters, dtype: torch.tensor(parameters * dtype.itemsize / 1e6), "a number was expected"),
        (
            lambda parameters, dtype: parameters * torch.finfo(dtype).bits / 8e6,
            "dtype=torch.int8, your function raised",
        ),
    ],
    "0.2": [
        (lambda hidden: hidden.mean(dim=1), "wrong dimension"),
        (lambda hidden: normalize(hidden.mean(dim=1), dim=0), "wrong dimension"),
        (lambda hidden: hidden.sum(dim=0), "Its length is"),
        (lambda hidden: normalize(hidden.amax(dim=0), dim=0), "off by up to"),
        (scaled_in_place, "changed hidden"),
    ],
    "0.3": [
        (lambda query, candidates: int(cosine_similarity(query[None], candidates).argmin()), "the opposite way"),
        (lambda query, candidates: 1, "candidate 1 was your answer"),
        (lambda query, candidates: cosine_similarity(query[None], candidates), "an index, a Python int, was expected"),
        (lambda query, candidates: cosine_similarity(query[None], candidates).argmax(), "a Python int, was expected"),
    ],
    "0.4": [
        (lambda logits, labels: ((logits[:, 1] > 0).long() == labels).float().mean().item(), "share of right answers"),
        (lambda logits, labels: (logits.argmax(-1) == labels).float().mean(), "a Python float, was expected"),
        (lambda logits, labels: (logits.argmax(0) == labels).float().mean().item(), "raised RuntimeError"),
    ],
}
