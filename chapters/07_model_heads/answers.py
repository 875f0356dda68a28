"""Chapter 07: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import math
import re

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def context():
    """Names that exercise cells use from earlier cells of the notebook."""
    return {"torch": torch, "nn": nn}


def split_with_a_pattern(name):
    found = re.fullmatch(r"(.+)For([A-Z][A-Za-z]*)|(.+)Model", name)
    return [found[1] or found[3], found[2]]


def split_from_the_right(name):
    if name[-5:] == "Model":
        return name[:-5], None
    *front, last = name.split("For")
    return "For".join(front), last


def split_at_any_for(name):
    if name.endswith("Model"):
        return name.removesuffix("Model"), None
    place = name.lower().find("for")
    return name[:place], name[place + 3 :]


def shape_by_ifs(head, batch, length, num_labels, vocab_size, num_choices):
    if head in ("MaskedLM", "CausalLM"):
        return [batch, length, vocab_size]
    if head == "QuestionAnswering":
        return [batch, length]
    if head == "TokenClassification":
        return [batch, length, num_labels]
    return [batch, {"MultipleChoice": num_choices, "NextSentencePrediction": 2}.get(head, num_labels)]


def shape_of_a_tensor(head, batch, length, num_labels, vocab_size, num_choices):
    return torch.empty(shape_by_ifs(head, batch, length, num_labels, vocab_size, num_choices), device="meta").shape


def nearest_with_loops(known, labels, new):
    rows = {}
    for row, label in zip(known, labels.tolist(), strict=True):
        rows.setdefault(label, []).append(row)
    centroids = {label: sum(some) / len(some) for label, some in rows.items()}
    return torch.tensor([min(centroids, key=lambda label: (row - centroids[label]).norm()) for row in new])


def nearest_with_numpy(known, labels, new):
    known, labels, new = known.numpy(), labels.numpy(), new.numpy()
    names = np.array(sorted(set(labels.tolist())), dtype=np.int32)
    centroids = np.stack([known[labels == name].mean(axis=0) for name in names])
    return names[((new[:, None] - centroids) ** 2).sum(axis=-1).argmin(axis=1)]


def maps_by_inserting(column):
    id2label, label2id = {}, {}
    for name in sorted(column, key=str.casefold):
        if name not in label2id:
            label2id[name] = len(label2id)
            id2label[label2id[name]] = name
    return [id2label, label2id]


def maps_with_numpy(column):
    names, numbers = np.unique(column).tolist(), np.arange(len(set(column)))
    return dict(zip(numbers, names, strict=True)), {name: number for number, name in enumerate(names)}


def maps_with_text_keys(column):
    names = sorted(set(column))
    return {str(number): name for number, name in enumerate(names)}, {name: number for number, name in enumerate(names)}


def binary_with_where(logits, targets):
    return torch.where(targets.bool(), -F.logsigmoid(logits), -F.logsigmoid(-logits)).mean()


def binary_in_arrays(logits, targets):
    logits, targets = logits.double().numpy(), targets.numpy()
    return (np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))).mean()


def binary_from_sigmoid(logits, targets):
    yes = logits.sigmoid()
    return -(targets * yes.log() + (1 - targets) * (1 - yes).log()).mean()


def encode_row_by_row(tokenizer, prompts, choices):
    width = max(len(tokenizer(p, c)["input_ids"]) for p, row in zip(prompts, choices, strict=True) for c in row)
    found = {}
    for prompt, row in zip(prompts, choices, strict=True):
        one = tokenizer([prompt] * len(row), row, padding="max_length", max_length=width, return_tensors="pt")
        for key, value in one.items():
            found.setdefault(key, []).append(value)
    return {key: torch.stack(values) for key, values in found.items()}


def encode_in_place(tokenizer, prompts, choices):
    pairs = [(prompt, choice) for prompt, row in zip(prompts, choices, strict=True) for choice in row]
    encoded = tokenizer(pairs, padding="longest", return_tensors="pt")
    for key in list(encoded):
        encoded[key] = encoded[key].reshape(len(prompts), len(choices[0]), -1)
    return encoded


def encode_flat(tokenizer, prompts, choices):
    left = [prompt for prompt in prompts for _ in choices[0]]
    return tokenizer(left, [choice for row in choices for choice in row], padding=True, return_tensors="pt")


def encode_turned(tokenizer, prompts, choices):
    return {key: value.transpose(0, 1) for key, value in encode_in_place(tokenizer, prompts, choices).items()}


def span_by_the_library(start_logits, end_logits, starts, ends):
    length = start_logits.shape[1]
    loss = nn.CrossEntropyLoss(ignore_index=length)
    return (loss(start_logits, starts.clamp(0, length)) + loss(end_logits, ends.clamp(0, length))) / 2


def span_with_loops(start_logits, end_logits, starts, ends):
    means = []
    for logits, places in ((start_logits, starts), (end_logits, ends)):
        losses = [
            row.logsumexp(dim=0) - row[max(place, 0)]
            for row, place in zip(logits, places.tolist(), strict=True)
            if place < len(row)
        ]
        means.append(sum(losses) / len(losses))
    return sum(means) / 2


def span_in_place(start_logits, end_logits, starts, ends):
    length = start_logits.shape[1]
    return span_by_the_library(start_logits, end_logits, starts.clamp_(0, length), ends.clamp_(0, length))


class ByMatrixProduct(nn.Module):
    def __init__(self, width, num_labels):
        super().__init__()
        self.score, self.classifier = nn.Linear(width, 1), nn.Linear(width, num_labels)

    def forward(self, hidden, attention_mask):
        scores = self.score(hidden) + (1 - attention_mask[..., None]) * torch.finfo(hidden.dtype).min
        return self.classifier((scores.softmax(dim=1).mT @ hidden)[:, 0])


class ByExponentials(nn.Module):
    def __init__(self, width, num_labels):
        super().__init__()
        self.score, self.classifier = nn.Linear(width, 1), nn.Linear(width, num_labels)
        self.dropout = nn.Dropout(0.1)

    def forward(self, hidden, attention_mask):
        rows = []
        for vectors, marks in zip(hidden, attention_mask, strict=True):
            weights = torch.where(marks.bool(), self.score(vectors)[:, 0], -math.inf)
            weights = (weights - weights.max()).exp()
            rows.append(torch.einsum("t,tw->w", weights / weights.sum(), vectors))
        return self.classifier(self.dropout(torch.stack(rows)))


class EveryToken(ByMatrixProduct):
    def forward(self, hidden, attention_mask):
        return self.classifier(hidden)


class Squeezed(ByMatrixProduct):
    def forward(self, hidden, attention_mask):
        scores = self.score(hidden).squeeze().masked_fill(attention_mask.squeeze() == 0, -math.inf)
        return self.classifier(torch.einsum("bt,btw->bw", scores.softmax(dim=-1), hidden))


class NearlyMasked(ByMatrixProduct):
    def forward(self, hidden, attention_mask):
        scores = self.score(hidden) - 50 * (1 - attention_mask[..., None])
        return self.classifier((scores.softmax(dim=1).mT @ hidden)[:, 0])


def report_in_one_pass(checkpoint, model):
    found = {"kept": set(), "mismatched": set(), "missing": set(), "unexpected": set()}
    for name in {**checkpoint, **model}:
        if name not in model:
            found["unexpected"].add(name)
        elif name not in checkpoint:
            found["missing"].add(name)
        else:
            found["kept" if checkpoint[name] == model[name] else "mismatched"].add(name)
    return found


def report_from_items(checkpoint, model):
    kept = {name for name, _ in checkpoint.items() & model.items()}
    return {
        "unexpected": frozenset(checkpoint).difference(model),
        "missing": model.keys() - checkpoint.keys(),
        "mismatched": (checkpoint.keys() & model.keys()) - kept,
        "kept": frozenset(kept),
    }


RIGHT = {
    "7.1": [split_with_a_pattern, split_from_the_right],
    "7.2": [shape_by_ifs, shape_of_a_tensor],
    "7.3": [nearest_with_loops, nearest_with_numpy],
    "7.4": [maps_by_inserting, maps_with_numpy],
    "7.5": [binary_with_where, binary_in_arrays],
    "7.6": [encode_row_by_row, encode_in_place],
    "7.7": [span_by_the_library, span_with_loops],
    "7.8": [ByMatrixProduct, ByExponentials],
    "7.9": [report_in_one_pass, report_from_items],
}

WRONG = {
    "7.1": [
        (split_at_any_for, "split too early"),
        (lambda name: name.split("Model")[0].split("For"), "a tuple of two parts"),
        (lambda name: name, "a tuple of two parts"),
    ],
    "7.2": [
        (lambda head, batch, *others: batch, "a tuple of integers"),
        (lambda head, batch, *others: (batch,), "don't have your shape"),
    ],
    "7.3": [
        (lambda known, labels, new: labels, "One label for each new row"),
        (lambda known, labels, new: labels.new_full((len(new),), int(labels[0])), "not those of the nearest centroid"),
    ],
    "7.4": [
        (maps_with_text_keys, "integers, not strings"),
        (lambda column: (maps_by_inserting(column)[0], {}), "does not lead back"),
        (lambda column: maps_by_inserting(column)[0], "a tuple of two dicts"),
    ],
    "7.5": [
        (lambda x, y: F.binary_cross_entropy_with_logits(x, y.float()), "uses binary_cross_entropy_with_logits"),
        (lambda x, y: nn.BCEWithLogitsLoss()(x, y.float()), "uses BCEWithLogitsLoss"),
        (binary_from_sigmoid, "logarithm of a 0"),
        (lambda x, y: (1 + (-x * (2 * y - 1)).exp()).log().mean(), "became infinite"),
        (lambda x, y: binary_from_sigmoid(x.clamp(-12, 12), y), "cut off the logits"),
        (lambda x, y: F.softplus(-x * (2 * y - 1)).mean(dim=-1), "forgot the mean"),
    ],
    "7.6": [
        (encode_flat, "forgot to fold"),
        (encode_turned, "changed places"),
        (lambda tokenizer, prompts, choices: tokenizer(prompts, [row[0] for row in choices]), "must be a tensor"),
        (lambda tokenizer, prompts, choices: encode_flat(tokenizer, prompts, choices)["input_ids"], "a dict"),
    ],
    "7.7": [
        (span_in_place, "changed starts"),
        (lambda s, e, a, b: (F.cross_entropy(s, a) + F.cross_entropy(e, b)) / 2, "raised"),
        (lambda s, e, a, b: s[:, 0], "forgot the mean"),
        (lambda s, e, a, b: s.sum() * float("nan"), "ran over nothing"),
    ],
    "7.8": [
        (EveryToken, "One row of logits for each text"),
        (Squeezed, "raised"),
        (NearlyMasked, "off by up to"),
        (lambda width, labels: nn.Linear(width, labels), "keep self.score"),
    ],
    "7.9": [
        (lambda checkpoint, model: {"kept": set()}, "the keys"),
        (lambda checkpoint, model: set(checkpoint), "a dict with four sets"),
        (
            lambda checkpoint, model: {
                name: sorted(some) for name, some in report_in_one_pass(checkpoint, model).items()
            },
            "must be a set",
        ),
    ],
}
