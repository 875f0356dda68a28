"""Chapter 07: what learners get wrong, and what they are told."""

import torch
from torch import nn
from torch.nn import functional as F


def context():
    """Names that exercise cells use from earlier cells of the notebook."""
    return {"torch": torch, "nn": nn}


def _split_first(name):
    if name.endswith("Model"):
        return name.removesuffix("Model"), None
    left, _, right = name.partition("For")
    return left, right


def _split_lower(name):
    if name.endswith("Model"):
        return name.removesuffix("Model"), None
    place = name.lower().find("for")
    return name[:place], name[place + 3 :]


def _split_keeping(name):
    if name.endswith("Model"):
        return name.removesuffix("Model"), None
    place = name.rindex("For")
    return name[:place], name[place:]


def _shape(head, batch, length, labels, words, choices, **changes):
    table = {
        "SequenceClassification": (batch, labels),
        "TokenClassification": (batch, length, labels),
        "QuestionAnswering": (batch, length),
        "MultipleChoice": (batch, choices),
        "MaskedLM": (batch, length, words),
        "CausalLM": (batch, length, words),
        "NextSentencePrediction": (batch, 2),
    }
    return {**table, **changes}[head]


def _centroids(known, labels):
    found = labels.unique()
    return found, torch.stack([known[labels == one].mean(dim=0) for one in found])


def _place(known, labels, new):
    return torch.cdist(new, _centroids(known, labels)[1]).argmin(dim=-1)


def _cosine(known, labels, new):
    found, middle = _centroids(known, labels)
    return found[(F.normalize(new, dim=-1) @ F.normalize(middle, dim=-1).T).argmax(dim=-1)]


def _neighbour(known, labels, new):
    return labels[torch.cdist(new, known).argmin(dim=-1)]


def _farthest(known, labels, new):
    found, middle = _centroids(known, labels)
    return found[torch.cdist(new, middle).argmax(dim=-1)]


def _maps(ordered, begin=0):
    return dict(enumerate(ordered, begin)), {name: number for number, name in enumerate(ordered, begin)}


def _naive(logits, targets):
    yes = logits.sigmoid()
    return -(targets * yes.log() + (1 - targets) * (1 - yes).log()).mean()


def _clamped(logits, targets):
    return _naive(logits.clamp(-10, 10), targets)


def _choices(tokenizer, prompts, choices, swap=False, joined=False, alone=False, major=False, flat=False):
    width = len(choices[0])
    left = prompts * width if major else [prompt for prompt in prompts for _ in range(width)]
    right = [text for row in choices for text in row]
    if alone:
        found = tokenizer(right, padding=True, return_tensors="pt")
    elif joined:
        together = [f"{a} {b}" for a, b in zip(left, right, strict=True)]
        found = tokenizer(together, padding=True, return_tensors="pt")
    else:
        texts = (right, left) if swap else (left, right)
        found = tokenizer(*texts, padding=True, return_tensors="pt")
    return found if flat else {key: value.view(len(prompts), width, -1) for key, value in found.items()}


def _turned(tokenizer, prompts, choices):
    found = _choices(tokenizer, prompts, choices)
    return {key: value.transpose(0, 1) for key, value in found.items()}


def _span(start_logits, end_logits, starts, ends, low=0, high=None, divide=2, **options):
    length = start_logits.shape[1]
    high = length + (high or 0)
    sides = [
        F.cross_entropy(scores, places.clamp(low, high), ignore_index=length, **options)
        for scores, places in ((start_logits, starts), (end_logits, ends))
    ]
    return sum(sides) / divide


def _span_batch(start_logits, end_logits, starts, ends):
    return _span(start_logits, end_logits, starts, ends, reduction="sum", divide=2 * len(starts))


def _span_one_mean(start_logits, end_logits, starts, ends):
    length = start_logits.shape[1]
    both = torch.cat([starts, ends]).clamp(0, length)
    return F.cross_entropy(torch.cat([start_logits, end_logits]), both, ignore_index=length)


def _span_in_place(start_logits, end_logits, starts, ends):
    length = start_logits.shape[1]
    return _span(start_logits, end_logits, starts.clamp_(0, length), ends.clamp_(0, length))


def _span_from_the_end(start_logits, end_logits, starts, ends):
    length = start_logits.shape[1]
    return _span(start_logits, end_logits, *(torch.where(p < 0, p % length, p) for p in (starts, ends)))


class _Head(nn.Module):
    def __init__(self, width, num_labels):
        super().__init__()
        self.score, self.classifier = nn.Linear(width, 1), nn.Linear(width, num_labels)

    def weights(self, scores, mask):
        return scores.masked_fill(mask == 0, float("-inf")).softmax(dim=-1)

    def forward(self, hidden, attention_mask):
        weights = self.weights(self.score(hidden).squeeze(-1), attention_mask)
        return self.classifier((weights[..., None] * hidden).sum(dim=1))


class _NoMask(_Head):
    def weights(self, scores, mask):
        return scores.softmax(dim=-1)


class _MaskAfter(_Head):
    def weights(self, scores, mask):
        return scores.softmax(dim=-1) * mask


class _MaskTimesScore(_Head):
    def weights(self, scores, mask):
        return (scores * mask).softmax(dim=-1)


class _PlainMean(_Head):
    def weights(self, scores, mask):
        return mask / mask.sum(dim=-1, keepdim=True)


class _NoSoftmax(_Head):
    def weights(self, scores, mask):
        return scores * mask


class _EveryToken(_Head):
    def forward(self, hidden, attention_mask):
        return self.classifier(hidden)


def _report(checkpoint, model, swap=False, names_only=False, twice=False, either=False):
    both = checkpoint.keys() & model.keys()
    kept = {name for name in both if names_only or checkpoint[name] == model[name]}
    missing, unexpected = model.keys() - both, checkpoint.keys() - both
    if twice:
        missing, unexpected = model.keys() - kept, checkpoint.keys() - kept
    mismatched = (checkpoint.keys() | model.keys()) - kept if either else both - kept
    if swap:
        missing, unexpected = unexpected, missing
    return {"kept": kept, "mismatched": mismatched, "missing": missing, "unexpected": unexpected}


WRONG = {
    "7.1": [
        (_split_first, "at the first For"),
        (_split_lower, "split too early"),
        (_split_keeping, "left the For in the second part"),
        (lambda name: tuple(name.rpartition("For")[::2]), "has no head"),
        (lambda name: name.split("For"), "a tuple of two parts"),
    ],
    "7.2": [
        (lambda head, b, n, k, v, c: _shape(head, b, n, k, v, c, SequenceClassification=(b, n, k)), "kept the tokens"),
        (lambda head, b, n, k, v, c: _shape(head, b, n, k, v, c, QuestionAnswering=(b, n, 2)), "kept the tokens"),
        (lambda head, b, n, k, v, c: _shape(head, b, n, k, v, c, QuestionAnswering=(b, 2)), "both outputs"),
        (lambda head, b, n, k, v, c: _shape(head, b, n, k, v, c, NextSentencePrediction=(b, k)), "two answers, always"),
        (lambda head, b, n, k, v, c: _shape(head, b, n, k, v, c, MultipleChoice=(b * c, 1)), "folded back"),
        (lambda head, b, n, k, v, c: _shape(head, b, n, k, v, c, MaskedLM=(b, v)), "for each token"),
        (lambda head, b, n, k, v, c: head, "a tuple of integers"),
    ],
    "7.3": [
        (_place, "instead of its label"),
        (_cosine, "compared angles"),
        (_neighbour, "average the rows of each label"),
        (_farthest, "largest distance"),
        (lambda known, labels, new: labels, "One label for each new row"),
    ],
    "7.4": [
        (lambda column: _maps(list(dict.fromkeys(column))), "in the order of the rows"),
        (lambda column: _maps(column), "numbered the rows"),
        (lambda column: _maps(sorted(set(column)), begin=1), "begin at 0"),
        (lambda column: _maps(sorted(set(column)))[::-1], "Perhaps you swapped"),
        (lambda column: ({str(k): v for k, v in _maps(sorted(set(column)))[0].items()}, {}), "must be integers"),
        (lambda column: (_maps(sorted(set(column)))[0], {}), "does not lead back"),
        (lambda column: _maps(sorted(set(column)))[0], "a tuple of two dictionaries"),
    ],
    "7.5": [
        (_naive, "exactly 0 or 1"),
        (_clamped, "off by up to"),
        (lambda x, y: F.softplus(-x * (2 * y - 1)).sum(dim=-1).mean(), "summed over the labels"),
        (lambda x, y: F.softplus(x * (2 * y - 1)).mean(), "the wrong way round"),
        (lambda x, y: -F.softplus(-x * (2 * y - 1)).mean(), "never negative"),
        (lambda x, y: -(y * F.logsigmoid(x)).mean(), "only the 1s count"),
        (lambda x, y: -(y * x.log_softmax(dim=-1)).sum(dim=-1).mean(), "don't compete"),
        (lambda x, y: F.softplus(-x * (2 * y - 1)).mean(dim=-1), "forgot the mean"),
    ],
    "7.6": [
        (lambda t, p, c: _choices(t, p, c, flat=True), "forgot to fold"),
        (lambda t, p, c: _choices(t, p, c, swap=True), "changed places"),
        (lambda t, p, c: _choices(t, p, c, joined=True), "glued the two texts"),
        (lambda t, p, c: _choices(t, p, c, alone=True), "without its prompt"),
        (lambda t, p, c: _choices(t, p, c, major=True), "another pair"),
        (_turned, "changed places"),
        (lambda t, p, c: t(p, [row[0] for row in c]), "must be a tensor"),
        (lambda t, p, c: _choices(t, p, c)["input_ids"].tolist(), "a dictionary was expected"),
    ],
    "7.7": [
        (lambda s, e, a, b: _span(s, e, a, b, divide=1), "added the two sides"),
        (lambda s, e, a, b: _span(s, e, a, b, high=-1), "left out"),
        (_span_batch, "divided by the whole batch"),
        (_span_one_mean, "both sides into one mean"),
        (_span_in_place, "changed the labels"),
        (_span_from_the_end, "counted from the end"),
        (lambda s, e, a, b: (F.cross_entropy(s, a) + F.cross_entropy(e, b)) / 2, "raised"),
        (lambda s, e, a, b: s[:, 0], "forgot the mean"),
    ],
    "7.8": [
        (_NoMask, "padding got weight too"),
        (_MaskAfter, "no longer sum to 1"),
        (_MaskTimesScore, "not a weight of 0"),
        (_PlainMean, "the plain mean"),
        (_NoSoftmax, "left the softmax out"),
        (_EveryToken, "One row of logits for each text"),
        (lambda width, labels: nn.Linear(width, labels), "keep self.score"),
    ],
    "7.9": [
        (lambda a, b: _report(a, b, swap=True), "changed places"),
        (lambda a, b: _report(a, b, names_only=True), "names only"),
        (lambda a, b: _report(a, b, twice=True), "landed in two sets"),
        (lambda a, b: _report(a, b, either=True), "in one of them only"),
        (lambda a, b: {"kept": set()}, "the keys"),
        (lambda a, b: set(a), "a dictionary was expected"),
    ],
}
