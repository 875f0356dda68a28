"""Chapter 01: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math

import numpy as np
import torch
from torch.nn import functional as F


def attention_by_the_library(query, key, value, mask):
    return F.scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=mask[None])[0]


def attention_row_by_row(query, key, value, mask):
    rows = []
    for one, allowed in zip(query, mask, strict=True):
        scores = key[allowed] @ one / math.sqrt(len(one))
        rows.append(scores.softmax(0) @ value[allowed])
    return rows


def attention_with_numpy(query, key, value, mask):
    query, key, value, mask = (part.numpy() for part in (query, key, value, mask))
    scores = np.where(mask, query.astype(np.float64) @ key.T / np.sqrt(query.shape[1]), -np.inf)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True) @ value


def attention_with_a_large_number(query, key, value, mask):
    scores = (query / query.shape[-1] ** 0.5) @ key.T
    return torch.where(mask, scores, -1e9).softmax(-1) @ value


def attention_filled(query, key, value, mask, number=-20.0):
    return (query @ key.T / query.shape[-1] ** 0.5).masked_fill(~mask, number).softmax(-1) @ value


def attention_strictly_before(query, key, value, mask):
    return attention_filled(query, key, value, mask & ~torch.eye(len(mask)).bool(), float("-inf"))


def keys_in_bits(weights):
    return 2 ** -(weights * weights.clamp(min=1e-12).log2()).sum(-1)


def keys_as_a_product(weights):
    return (1 / weights**weights).prod(dim=-1).numpy()


def heads_by_chunks(states, heads):
    return torch.stack(states.chunk(heads, dim=-1), dim=1)


def heads_in_lists(states, heads):
    size = states.shape[-1] // heads
    return [[[token[head * size :][:size] for token in text] for head in range(heads)] for text in states.tolist()]


def masks_in_lists(prefixes, size):
    places = range(size)
    return [[[column <= row or column < prefix for column in places] for row in places] for prefix in prefixes.tolist()]


def masks_with_numpy(prefixes, size):
    rows, columns = np.indices((size, size))
    return (columns <= np.maximum(rows, prefixes.numpy()[:, None, None] - 1)).astype(bool)


def reach_by_power(mask, layers):
    return torch.matrix_power(mask.double() + torch.eye(len(mask)).double(), layers) > 0


def reach_by_sets(mask, layers):
    if layers == 0:
        return [[row == column for column in range(len(mask))] for row in range(len(mask))]
    before = reach_by_sets(mask, layers - 1)
    sees = [{row, *mask[row].nonzero().flatten().tolist()} for row in range(len(mask))]
    return [[any(before[one][column] for one in sees[row]) for column in range(len(mask))] for row in range(len(mask))]


def reach_changing_the_mask(mask, layers):
    mask.fill_diagonal_(True)
    return torch.matrix_power(mask.double(), layers) > 0


def loss_by_gather(logits, labels):
    chances, targets = logits[:, :-1].log_softmax(-1), labels[:, 1:]
    counts = targets != -100
    return -chances.gather(-1, targets.clamp(min=0)[..., None])[..., 0][counts].mean()


def loss_by_padding(logits, labels):
    labels = F.pad(labels, (0, 1), value=-100)[:, 1:]
    return F.cross_entropy(logits.double().flatten(0, 1), labels.flatten())


def greedy_recursively(next_logits, start, eos, limit):
    if limit == 0:
        return list(start)
    best = next_logits(start).argmax().item()
    return [*start, best] if best == eos else greedy_recursively(next_logits, [*start, best], eos, limit - 1)


def greedy_with_numpy(next_logits, start, eos, limit):
    ids = tuple(start)
    while len(ids) < len(start) + limit:
        ids += (np.argmax(next_logits(ids).numpy()),)
        if ids[-1] == eos:
            return ids
    return ids


def greedy_in_place(next_logits, start, eos, limit):
    for _ in range(limit):
        start.append(int(next_logits(start).argmax()))
        if start[-1] == eos:
            break
    return start


def greedy_without_end(next_logits, start, eos, limit):
    ids = list(start)
    while ids[-1] != eos:
        ids.append(int(next_logits(ids).argmax()))
    return ids


def greedy_asking_twice(next_logits, start, eos, limit):
    ids = list(start)
    while len(ids) < len(start) + limit and next_logits(ids) is not None:
        ids.append(int(next_logits(ids).argmax()))
        if ids[-1] == eos:
            break
    return ids


def greedy_of_tensors(next_logits, start, eos, limit):
    ids = list(start)
    while len(ids) < len(start) + limit and (len(ids) == len(start) or ids[-1] != eos):
        ids.append(next_logits(ids).argmax())
    return ids


RIGHT = {
    "1.1": [attention_by_the_library, attention_row_by_row, attention_with_numpy, attention_with_a_large_number],
    "1.2": [keys_in_bits, keys_as_a_product],
    "1.3": [heads_by_chunks, heads_in_lists],
    "1.4": [masks_in_lists, masks_with_numpy],
    "1.5": [reach_by_power, reach_by_sets],
    "1.6": [loss_by_gather, loss_by_padding],
    "1.7": [greedy_recursively, greedy_with_numpy],
}

WRONG = {
    "1.1": [
        (attention_strictly_before, "nothing was left"),
        (attention_filled, "such as 0"),
        (lambda *given: attention_filled(*given, number=-1000.0), "such as 0"),
        (lambda *given: attention_filled(*given, number=-10000.0), "such as 0"),
        (lambda q, k, v, mask: v, "off by up to"),
        (lambda q, k, v, mask: (q @ k.T).masked_fill(~mask, float("-inf")).softmax(-1), "of shape"),
    ],
    "1.2": [
        (lambda weights: (weights > 0).sum(-1), "off by up to"),
        (lambda weights: torch.special.entr(weights).sum().exp(), "only the last dimension"),
        (lambda weights: torch.special.entr(weights).sum(-1, keepdim=True).exp(), "of shape (5,)"),
    ],
    "1.3": [
        (lambda states, heads: states.chunk(heads, dim=-1), "a result of shape"),
        (lambda states, heads: torch.stack(states.chunk(heads, dim=-1)), "a result of shape"),
    ],
    "1.4": [
        (lambda prefixes, size: torch.ones(size, size).tril().bool(), "of shape"),
        (lambda prefixes, size: torch.where(torch.ones(len(prefixes), size, size).tril() > 0, 0, -1e9), "additive"),
        (lambda prefixes, size: torch.tensor(masks_in_lists(prefixes, size)).float(), "its dtype is torch.float32"),
        (lambda prefixes, size: torch.tensor(masks_in_lists(prefixes, size)) & False, "places are wrong"),
    ],
    "1.5": [
        (lambda mask, layers: torch.matrix_power(mask.double() + torch.eye(len(mask)), layers), "counted the ways"),
        (lambda mask, layers: reach_by_power(mask, layers).double(), "its dtype is torch.float64"),
        (reach_changing_the_mask, "changed mask"),
    ],
    "1.6": [
        (
            lambda logits, labels: F.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none"
            ),
            "One number",
        ),
        (lambda logits, labels: torch.tensor(float(logits.shape[-1])).log(), "is off by"),
        (lambda logits, labels: loss_by_gather(logits, labels).item(), "a scalar tensor was expected"),
    ],
    "1.7": [
        (greedy_in_place, "changed start"),
        (greedy_without_end, "Where does it stop"),
        (greedy_asking_twice, "next_logits was called 6 times for 3 new tokens"),
        (greedy_of_tensors, "a list of ids was expected"),
        (lambda next_logits, start, eos, limit: [*start, 4, 5], "was expected, but got [3, 4, 5]"),
    ],
}
