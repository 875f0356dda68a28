"""Chapter 00: what learners get wrong, and what they are told."""

import torch

WRONG = {
    "0.1": [
        (lambda parameters, dtype: parameters * 4 / 1e6, "four bytes for every dtype"),
        (lambda parameters, dtype: parameters * dtype.itemsize / 2**20, "mebibyte"),
        (lambda parameters, dtype: parameters * dtype.itemsize, "bytes"),
        (lambda parameters, dtype: "4 MB", "a number was expected"),
        (lambda parameters, dtype: 4.0, "not right"),
    ],
    "0.2": [
        (lambda hidden: hidden.mean(dim=0), "its length is"),
        (lambda hidden: hidden.mean(dim=1), "wrong dimension"),
        (lambda hidden: torch.nn.functional.normalize(hidden[0], dim=0), "another vector than the mean"),
        (lambda hidden: hidden.mean(0, keepdim=True) / hidden.mean(0).norm(), "kept it"),
    ],
    "0.3": [
        (lambda query, candidates: int((candidates @ query).argmax()), "dot products"),
        (lambda query, candidates: int(torch.cosine_similarity(query[None], candidates).argmin()), "smallest"),
        (lambda query, candidates: 1, "another candidate"),
        (lambda query, candidates: torch.cosine_similarity(query[None], candidates), "an index was expected"),
    ],
    "0.4": [
        (lambda logits, labels: (logits.argmax(-1) == labels).sum().item(), "did not divide"),
        (lambda logits, labels: 100 * (logits.argmax(-1) == labels).float().mean().item(), "percentage"),
        (lambda logits, labels: ((logits[:, 1] > 0).long() == labels).float().mean().item(), "share of right answers"),
        (lambda logits, labels: logits.argmax(-1) == labels, "one number was expected"),
    ],
}
