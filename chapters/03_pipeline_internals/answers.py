"""Chapter 03: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math

import numpy as np
import torch
from transformers.modeling_outputs import SequenceClassifierOutput


def tuple_by_the_library(fields):
    return SequenceClassifierOutput(**fields).to_tuple()


def tuple_in_a_loop(fields):
    kept = ()
    for name in fields:
        if not isinstance(fields[name], type(None)):
            kept += (fields[name],)
    return kept


def softmax_row_by_row(logits):
    if logits.dim() > 1:
        return torch.stack([softmax_row_by_row(row) for row in logits])
    powers = [math.exp(one - max(logits.tolist())) for one in logits.tolist()]
    return torch.tensor([one / sum(powers) for one in powers])


def softmax(logits):  # a function may call itself: its name is the forbidden function's
    return torch.stack([softmax(row) for row in logits]) if logits.dim() > 1 else (logits - logits.logsumexp(0)).exp()


def softmax_with_numpy(logits):
    logits = logits.numpy().astype(np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def exponentials_of_clamped(logits):
    powers = logits.clamp(-80, 80).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def postprocess_with_topk(logits, id2label, top_k):
    best = torch.softmax(logits.double(), 0).topk(min(top_k or len(logits), len(logits)))
    return tuple(
        {"score": score, "label": id2label[i]} for score, i in zip(*map(torch.Tensor.tolist, best), strict=True)
    )


def postprocess_by_sorting(logits, id2label, top_k):
    total = sum(math.exp(one) for one in logits.tolist())
    rows = [{"label": id2label[i], "score": math.exp(one) / total} for i, one in enumerate(logits.tolist())]
    return sorted(rows, key=lambda row: row["score"], reverse=True)[:top_k]


def every_label(logits, id2label, order):
    return [{"label": id2label[int(i)], "score": float(logits.softmax(-1)[i])} for i in order]


def pool_by_product(hidden, mask):
    return torch.einsum("btw,bt->bw", hidden, mask.float()) / mask.sum(1)[:, None]


def pool_in_a_loop(hidden, mask):
    return torch.stack([rows[real.bool()].mean(0) for rows, real in zip(hidden, mask, strict=True)])


def pool_with_numpy(hidden, mask):
    kept = np.where(mask.numpy()[..., None] == 1, hidden.numpy(), np.nan)
    return np.nanmean(kept, axis=1)


def pool_in_place(hidden, mask):
    hidden *= mask[..., None]
    return hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True)


def windows_in_a_loop(ids, size, overlap):
    windows, start = [ids[:size]], 0
    while start + size < len(ids):
        start += size - overlap
        windows.append(ids[start : start + size])
    return windows


def windows_recursively(ids, size, overlap):
    if len(ids) <= size:
        return (tuple(ids),)
    return (tuple(ids[:size]), *windows_recursively(ids[size - overlap :], size, overlap))


def windows_eating_the_list(ids, size, overlap):
    windows = [ids[:size]]
    while len(ids) > size:
        del ids[: size - overlap]
        windows.append(ids[:size])
    return windows


def windows_from_the_end(ids, size, overlap):
    rest = windows_in_a_loop(ids[::-1], size, overlap)
    return [window[::-1] for window in rest[::-1]]


def span_in_a_loop(start_logits, end_logits, inside, longest):
    best, found = -math.inf, None
    for start in range(len(inside)):
        for end in range(start, min(start + longest, len(inside))):
            score = start_logits[start] + end_logits[end]
            if inside[start] and inside[end] and score > best:
                best, found = score, [start, end]
    return found


def span_with_numpy(start_logits, end_logits, inside, longest):
    scores = np.add.outer(start_logits.numpy(), end_logits.numpy())
    allowed = np.tril(np.triu(np.outer(inside, inside)), longest - 1)
    return np.unravel_index(np.where(allowed, scores, -np.inf).argmax(), scores.shape)


def span_of_tensors(*given):
    return tuple(torch.tensor(span_in_a_loop(*given)))


def span_with_a_small_penalty(start_logits, end_logits, inside, longest):
    sums = start_logits[:, None] + end_logits
    allowed = torch.ones_like(sums).triu().tril(longest - 1).bool() & inside[:, None] & inside
    return divmod(int((sums - 1000 * ~allowed).argmax()), len(inside))


RIGHT = {
    "3.1": [tuple_by_the_library, tuple_in_a_loop],
    "3.2": [softmax_row_by_row, softmax, softmax_with_numpy],
    "3.3": [postprocess_with_topk, postprocess_by_sorting],
    "3.4": [pool_by_product, pool_in_a_loop, pool_with_numpy],
    "3.5": [windows_in_a_loop, windows_recursively],
    "3.6": [span_in_a_loop, span_with_numpy],
}

WRONG = {
    "3.1": [
        (lambda fields: [value for value in fields.values() if value is not None], "a tuple was expected"),
        (lambda fields: tuple(value for value in fields.values() if value), "raised RuntimeError"),
        (lambda fields: tuple(fields.pop(name) for name in list(fields) if fields[name] is not None), "changed fields"),
    ],
    "3.2": [
        (lambda logits: torch.softmax(logits, -1), "uses PyTorch's softmax"),
        (lambda logits: torch.nn.Softmax(dim=-1)(logits), "uses PyTorch's softmax"),
        (lambda logits: logits.log_softmax(-1).exp(), "uses PyTorch's log_softmax"),
        (exponentials_of_clamped, "off by up to"),
        (lambda logits: torch.tensor([[0.5, 0.5], [0.25, 0.75]]), "was expected, but got shape"),
    ],
    "3.3": [
        (
            lambda logits, id2label, top_k: every_label(logits, id2label, logits.argsort())[-(top_k or 0) :],
            "comes first",
        ),
        (lambda logits, id2label, top_k: every_label(logits, id2label, logits.argsort())[:top_k], "comes first"),
        (lambda logits, id2label, top_k: every_label(logits, id2label, range(len(logits)))[:top_k], "comes first"),
        (lambda logits, id2label, top_k: postprocess_by_sorting(logits, id2label, 1), "8 entries were expected"),
        (lambda logits, id2label, top_k: {"label": "yes", "score": 0.8808}, "a list of dictionaries was expected"),
        (lambda logits, id2label, top_k: [{"label": 1, "score": 0.88}] * (top_k or 8), "a name out of id2label"),
        (lambda logits, id2label, top_k: [{"label": "no", "score": logits[0]}] * (top_k or 8), "a Python float"),
        (lambda logits, id2label, top_k: [{"label": "no"}] * (top_k or 8), "exactly the keys"),
    ],
    "3.4": [
        (lambda hidden, mask: hidden.mean(dim=2), "another dimension"),
        (pool_in_place, "changed hidden"),
    ],
    "3.5": [
        (lambda ids, size, overlap: ids, "a list of lists"),
        (lambda ids, size, overlap: [ids], "may be longer than 5"),
        (windows_from_the_end, "must be full"),
        (windows_eating_the_list, "changed ids"),
    ],
    "3.6": [
        (lambda s, e, inside, longest: (int(s.argmax()), int(e.argmax())), "did not ask both ends"),
        (lambda s, e, inside, longest: (2, 1), "each by itself"),
        (lambda s, e, inside, longest: (3, 1), "ends before it starts"),
        (lambda s, e, inside, longest: (0, 0), "not inside the context"),
        (lambda s, e, inside, longest: (1, 3), "It has 3 tokens"),
        (lambda s, e, inside, longest: (3, 3), "scores higher"),
        (lambda s, e, inside, longest: (-1, 1), "not two of the tokens"),
        (span_of_tensors, "of two ints was expected"),
        (span_with_a_small_penalty, "not low enough"),
    ],
}
