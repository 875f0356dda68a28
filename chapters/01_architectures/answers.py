"""Chapter 01: what learners get wrong, and what they are told."""

import torch
from torch.nn import functional as F


def _scores(query, key):
    return query @ key.T / query.shape[-1] ** 0.5


def _closed(query, key, mask):
    return _scores(query, key).masked_fill(~mask, float("-inf"))


def _log2_entropy(weights):
    return -(weights * weights.clamp(min=1e-12).log2()).sum(-1)


def _entropy(weights):
    return torch.special.entr(weights).sum(-1)


def _causal(prefixes, size):
    return torch.ones(len(prefixes), size, size, dtype=torch.bool).tril()


def _prefix(prefixes, size, more=0):
    masks = _causal(prefixes, size)
    for mask, prefix in zip(masks, prefixes.tolist(), strict=True):
        mask[:, : prefix + more] = True
    return masks


def _power(step, layers):
    return torch.matrix_power(step.double(), layers)


def _step(mask):
    return mask | torch.eye(len(mask), dtype=torch.bool)


def _loop(next_logits, start, eos, limit):
    ids = list(start)
    while len(ids) < len(start) + limit:
        ids.append(int(next_logits(ids).argmax()))
        if ids[-1] == eos:
            break
    return ids


def _in_place(next_logits, start, eos, limit):
    for _ in range(limit):
        start.append(int(next_logits(start).argmax()))
        if start[-1] == eos:
            break
    return start


def _never_ends(next_logits, start, eos, limit):
    ids = list(start)
    while ids[-1] != eos:
        ids.append(int(next_logits(ids).argmax()))
    return ids


def _past_eos(next_logits, start, eos, limit):
    ids = list(start)
    for _ in range(limit):
        ids.append(int(next_logits(ids).argmax()))
    return ids


def _limit_of_all(next_logits, start, eos, limit):
    return _loop(next_logits, start, eos, limit - len(start))


def _last_only(next_logits, start, eos, limit):
    return _loop(lambda ids: next_logits(ids[-1:]), start, eos, limit)


WRONG = {
    "1.1": [
        (lambda q, k, v, mask: _scores(q, k).softmax(-1) @ v, "mask is not used"),
        (lambda q, k, v, mask: (_scores(q, k) * mask).softmax(-1) @ v, "forbidden scores to 0"),
        (lambda q, k, v, mask: (_scores(q, k).softmax(-1) * mask) @ v, "after the softmax"),
        (lambda q, k, v, mask: (q @ k.T).masked_fill(~mask, float("-inf")).softmax(-1) @ v, "did not divide"),
        (lambda q, k, v, mask: _closed(q, k, mask).softmax(0) @ v, "off by up to"),
        (lambda q, k, v, mask: (_scores(q, k) - 100.0 * ~mask).softmax(-1) @ v, "off by up to"),
        (lambda q, k, v, mask: v, "off by up to"),
        (lambda q, k, v, mask: _closed(q, k, mask).softmax(-1), "of shape"),
    ],
    "1.2": [
        (lambda weights: (-(weights * weights.log()).sum(-1)).exp(), "logarithm of 0"),
        (_entropy, "exp is missing"),
        (lambda weights: (-_entropy(weights)).exp(), "sign is wrong"),
        (lambda weights: _log2_entropy(weights).exp(), "mixed logarithms"),
        (lambda weights: 1 / weights.pow(2).sum(-1), "another one"),
        (lambda weights: (weights > 0).sum(-1), "off by up to"),
        (lambda weights: torch.special.entr(weights).sum().exp(), "only the last dimension"),
    ],
    "1.3": [
        (lambda x, heads: x.reshape(x.shape[0], heads, x.shape[1], -1), "mixes columns"),
        (lambda x, heads: x.view(*x.shape[:2], -1, heads).permute(0, 3, 1, 2), "in turn"),
        (lambda x, heads: x.view(*x.shape[:2], heads, -1), "change places"),
    ],
    "1.4": [
        (_causal, "not used"),
        (lambda prefixes, size: ~_prefix(prefixes, size), "turned round"),
        (lambda prefixes, size: _prefix(prefixes, size).transpose(1, 2), "exchanged"),
        (lambda prefixes, size: _prefix(prefixes, size, more=1), "one too long"),
        (
            lambda prefixes, size: torch.arange(size).expand(len(prefixes), size, size) < prefixes[:, None, None],
            "causal part",
        ),
        (lambda prefixes, size: _prefix(prefixes[:1].expand_as(prefixes), size), "first example"),
        (lambda prefixes, size: _prefix(prefixes, size)[0], "of shape"),
        (lambda prefixes, size: torch.where(_prefix(prefixes, size), 0.0, -1e9), "additive"),
    ],
    "1.5": [
        (lambda mask, layers: _step(mask), "one layer"),
        (lambda mask, layers: _power(mask, layers) > 0, "residual"),
        (lambda mask, layers: _power(_step(mask), layers), "counted the ways"),
        (lambda mask, layers: (_power(_step(mask), layers) > 0).T, "exchanged"),
        (lambda mask, layers: _power(_step(mask), layers + 1) > 0, "one layer off"),
    ],
    "1.6": [
        (lambda logits, labels: F.cross_entropy(logits.flatten(0, 1), labels.flatten()), "did not shift"),
        (lambda logits, labels: F.cross_entropy(logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten()), "other way"),
        (
            lambda logits, labels: (
                F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
                / labels[:, 1:].numel()
            ),
            "divided by all positions",
        ),
        (
            lambda logits, labels: F.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none"
            ),
            "One number",
        ),
        (lambda logits, labels: torch.tensor(float(logits.shape[-1])).log(), "off by up to"),
    ],
    "1.7": [
        (
            lambda next_logits, start, eos, limit: _loop(next_logits, start, eos, limit)[len(start) :],
            "left out the start",
        ),
        (
            lambda next_logits, start, eos, limit: [one for one in _loop(next_logits, start, eos, limit) if one != eos],
            "eos is missing",
        ),
        (_in_place, "Work on a copy"),
        (_never_ends, "Where does it stop"),
        (_past_eos, "go on after eos"),
        (_limit_of_all, "for new tokens"),
        (_last_only, "was expected"),
        (lambda next_logits, start, eos, limit: [*start, 4, 5, 6], "was expected"),
    ],
}
