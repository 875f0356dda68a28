"""Chapter 03: what learners get wrong, and what they are told."""

import torch


def _sum_over_the_wrong_dimension(logits):
    powers = (logits - logits.amax(dim=0, keepdim=True)).exp()
    return powers / powers.sum(dim=0, keepdim=True)


def _one_maximum_for_all(logits):
    powers = (logits - logits.max()).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def _named(scores, id2label, order):
    return [{"label": id2label[int(i)], "score": float(scores[i])} for i in order]


def _backwards(logits, id2label, top_k):
    return _named(logits.softmax(-1), id2label, logits.argsort()[-(top_k or 0) :])


def _names_by_rank(logits, id2label, top_k):
    scores = logits.softmax(-1).sort(descending=True).values[:top_k]
    return [{"label": id2label[i], "score": float(score)} for i, score in enumerate(scores)]


def _softmax_of_the_best(logits, id2label, top_k):
    best = logits.topk(min(top_k or len(logits), len(logits)))
    return [
        {"label": id2label[int(i)], "score": float(s)}
        for i, s in zip(best.indices, best.values.softmax(-1), strict=True)
    ]


def _span(start_logits, end_logits, inside, longest, low=float("-inf"), extra=0):
    scores = start_logits[:, None] + end_logits[None, :]
    allowed = inside[:, None] & inside[None, :]
    allowed = allowed & torch.ones_like(allowed).triu().tril(longest - 1 + extra)
    return divmod(int(scores.masked_fill(~allowed, low).argmax()), len(inside))


def _each_by_itself(start_logits, end_logits, inside, longest):
    outside = ~inside
    return int(start_logits.masked_fill(outside, -1e9).argmax()), int(end_logits.masked_fill(outside, -1e9).argmax())


def _shifted_windows(ids, size, overlap):
    return [ids[i : i + size] for i in range(0, max(len(ids), 1), max(overlap, 1))]


def _useless_last_window(ids, size, overlap):
    return [ids[i : i + size] for i in range(0, max(len(ids), 1), size - overlap)]


def _only_full_windows(ids, size, overlap):
    return [ids[i : i + size] for i in range(0, max(len(ids) - size + 1, 1), size - overlap)]


WRONG = {
    "3.1": [
        (lambda fields: tuple(fields.values()), "kept the fields that are None"),
        (
            lambda fields: tuple(
                v for v in fields.values() if v is not None and not (torch.is_tensor(v) and v.ndim == 0 and not v)
            ),
            "is false",
        ),
        (lambda fields: tuple(name for name, value in fields.items() if value is not None), "in the order"),
        (lambda fields: [value for value in fields.values() if value is not None], "a tuple was expected"),
        (lambda fields: tuple(value for value in fields.values() if value), "raised RuntimeError"),
    ],
    "3.2": [
        (lambda logits: logits.exp() / logits.exp().sum(dim=-1, keepdim=True), "doesn't fit into a float"),
        (_sum_over_the_wrong_dimension, "rows"),
        (_one_maximum_for_all, "every row needs its own"),
        (lambda logits: logits.exp() / logits.exp().sum(), "all dimensions at once"),
        (lambda logits: logits / logits.sum(dim=-1, keepdim=True), "forgot the exponential"),
        (lambda logits: logits.exp() / logits.exp().sum(dim=-1), "raised RuntimeError"),
        (lambda logits: torch.tensor([[0.5, 0.5], [0.25, 0.75]]), "was expected, but got shape"),
    ],
    "3.3": [
        (_backwards, "must come first"),
        (
            lambda logits, id2label, top_k: _named(logits, id2label, logits.argsort(descending=True)[:top_k]),
            "still logits",
        ),
        (_softmax_of_the_best, "must see all classes"),
        (_names_by_rank, "wrong names"),
        (
            lambda logits, id2label, top_k: _named(logits.softmax(-1), id2label, range(len(logits)))[:top_k],
            "did not sort",
        ),
        (
            lambda logits, id2label, top_k: _named(logits.softmax(-1), id2label, logits.argsort(descending=True)[:1]),
            "entries were expected",
        ),
        (lambda logits, id2label, top_k: {"label": "yes", "score": 0.8808}, "a list was expected"),
        (lambda logits, id2label, top_k: [{"label": 1, "score": 0.88}] * (top_k or 8), "a name out of id2label"),
    ],
    "3.4": [
        (lambda hidden, mask: hidden.mean(dim=1), "padding included"),
        (lambda hidden, mask: (hidden * mask[..., None]).mean(dim=1), "number of all tokens"),
        (lambda hidden, mask: (hidden * mask[..., None]).sum(dim=1) / mask.sum(), "its own number"),
        (
            lambda hidden, mask: torch.stack(
                [h[: int(m.sum())].mean(dim=0) for h, m in zip(hidden, mask, strict=True)]
            ),
            "on the left",
        ),
        (
            lambda hidden, mask: (hidden * mask[..., None]).sum(dim=2) / mask.sum(dim=1, keepdim=True),
            "another dimension",
        ),
    ],
    "3.5": [
        (_shifted_windows, "overlap for the step"),
        (_useless_last_window, "nothing that the one before doesn't"),
        (_only_full_windows, "every id must be in a window"),
        (lambda ids, size, overlap: [ids[:size]], "every id must be in a window"),
        (lambda ids, size, overlap: ids, "a list of lists"),
    ],
    "3.6": [
        (lambda s, e, inside, longest: (int(s.argmax()), int(e.argmax())), "not inside the context"),
        (_each_by_itself, "ends before it starts"),
        (lambda s, e, inside, longest: _span(s, e, inside, longest, low=0.0), "all be negative"),
        (lambda s, e, inside, longest: _span(s, e, inside, longest, extra=1), "off by one"),
        (lambda s, e, inside, longest: _span(s, e, inside, max(longest - 1, 1)), "may equal longest"),
        (lambda s, e, inside, longest: (1, 1), "not inside"),
    ],
}
