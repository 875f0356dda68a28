"""Chapter 03: ModelOutput as a tuple, softmax, postprocess, masked mean, windows, best span."""

import random
from functools import partial
from types import SimpleNamespace

import torch
from torch.overrides import TorchFunctionMode

from labs_utils.exercises.vocabulary import Trial, describe, exercise, expect


@exercise(
    "3.1",
    mistakes=[
        ("Perhaps you kept the fields that are None.", lambda fields: tuple(fields.values())),
        (
            "Perhaps you took the names instead of the values.",
            lambda fields: tuple(name for name, value in fields.items() if value is not None),
        ),
        (
            "Perhaps you asked whether a value is true: a tensor holding 0 is false, and yet it is there.",
            lambda fields: tuple(
                one for one in fields.values() if isinstance(one, tuple) or one is not None and one.any()
            ),
        ),
        (
            "Perhaps you sorted the fields: they come in the order of the dictionary.",
            lambda fields: tuple(fields[name] for name in sorted(fields) if fields[name] is not None),
        ),
    ],
)
def as_plain_tuple(answer):
    from transformers.modeling_outputs import SequenceClassifierOutput

    logits, layers = torch.arange(6.0).reshape(2, 3), (torch.ones(1, 2), torch.zeros(1, 2))
    cases = {
        "a loss that is None and logits": (None, logits, None, layers),
        "every field filled": (logits[0, 1], logits, layers, layers[:1]),
        "a loss of exactly 0": (logits[0, 0], logits, None, None),
        "only the last field": (None, None, None, layers),
        "nothing but None": (None, None),
    }
    for given, values in cases.items():
        fields = dict(zip(("loss", "logits", "hidden_states", "attentions"), values, strict=False))
        trial = Trial(answer, fields, given=given)
        trial.expect(isinstance(trial.result, tuple), f"a tuple was expected, but got {describe(trial.result)}")
        expected, size = SequenceClassifierOutput(**fields).to_tuple(), len(trial.result)
        sentence = f"the {len(expected)} values in the order of the fields were expected, but your {size} are others"
        trial.equal(trial.result, expected, sentence)


class NoSoftmax(TorchFunctionMode):
    """While it is on, a softmax of PyTorch's complains; a function of the learner's may have that name."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        expect("softmax" not in name, f"Your code uses PyTorch's {name}, which is what you are to write.")
        return function(*args, **(kwargs or {}))


def shares(logits, low=None, dim=-1, keepdim=True):
    """Softmax after `low`, or the largest of all, was subtracted; the options are ways of getting it wrong."""
    powers = (logits - (logits.max() if low is None else low)).exp()
    return powers / powers.sum(dim=dim, keepdim=keepdim)


@exercise(
    "3.2",
    mistakes=[
        ("Your columns sum to 1, not your rows: perhaps you summed over dim=0.", partial(shares, dim=0)),
        ("Everything together sums to 1: perhaps you summed over all dimensions at once.", partial(shares, dim=None)),
        ("Perhaps a sum lost its dimension: keepdim=True keeps it.", partial(shares, keepdim=False)),
        ("Perhaps you forgot the exponential.", lambda logits: logits / logits.sum(dim=-1, keepdim=True)),
        ("Perhaps you summed over dim=1: with three dimensions, that is not the last one.", partial(shares, dim=1)),
        (
            "The exponential of a large number doesn't fit into a float, and of a very negative one it is 0.",
            partial(shares, low=0.0),
        ),
        (
            "Perhaps you subtracted the row's mean: the largest entry may still be far above it.",
            lambda logits: shares(logits, logits.mean(dim=-1, keepdim=True)),
        ),
        ("Perhaps you subtracted the largest entry of the whole tensor: every row needs its own.", shares),
    ],
)
def softmax(answer):
    generator = torch.Generator().manual_seed(0)
    cases = [torch.randn(*shape, generator=generator) * 3 for shape in ((4, 4), (2, 3, 7), (5, 8), (8,), (1, 6))]
    cases.append(torch.tensor([[0.0, 0.0], [0.0, 1.0986]]))
    near = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]])
    cases += [near + 1000, near - 1000, torch.tensor([[0.0, -300.0, -300.0, -300.0]]), torch.tensor([0.0, 1000.0])]
    cases.append(torch.tensor([[[0.0, 1.0], [500.0, 501.0]]]))  # the maximum of all starves the first row
    for logits in cases:
        with NoSoftmax():
            trial = Trial(answer, logits)
        trial.close(trial.tensor(), logits.double().softmax(dim=-1), 1e-4)  # float32 keeps four decimals near 1000


def named(logits, id2label, top_k=None, scores=None, names=None) -> list[dict]:
    """The labels of the `top_k` largest scores; the options are ways of getting it wrong."""
    scores = logits.softmax(dim=-1) if scores is None else scores
    order = sorted(range(len(logits)), key=lambda number: -float(scores[number]))[:top_k]
    names = names or [id2label[number] for number in order]
    return [{"label": name, "score": float(scores[number])} for name, number in zip(names, order, strict=False)]


def softmax_of_the_best(logits, id2label, top_k):
    best = logits.topk(min(top_k or len(logits), len(logits)))
    return named(best.values, {place: id2label[number] for place, number in enumerate(best.indices.tolist())})


@exercise(
    "3.3",
    mistakes=[
        ("Perhaps your scores are still logits.", lambda logits, *given: named(logits, *given, scores=logits)),
        ("Perhaps you took the best first and the softmax afterwards: it must see all classes.", softmax_of_the_best),
        (
            "Perhaps you used the sigmoid, which looks at each class alone.",
            lambda logits, *given: named(logits, *given, scores=logits.sigmoid()),
        ),
        (
            "Perhaps you took a score's rank for its class number.",
            lambda logits, names, top_k: named(logits, names, top_k, names=[names[i] for i in sorted(names)]),
        ),
        (
            "Perhaps you took the names in the dictionary's order: its keys are the class numbers.",
            lambda logits, names, top_k: named(logits, dict(enumerate(names.values())), top_k),
        ),
    ],
)
def postprocess(answer):
    from transformers import TextClassificationPipeline

    generator, deal = torch.Generator().manual_seed(1), random.Random(1)
    sizes = (8, None), (8, 3), (8, 1), (3, 20), (5, 5)
    cases = [(torch.randn(classes, generator=generator) * 2 - 3, top_k) for classes, top_k in sizes]
    cases.append((torch.tensor([0.0, 2.0]), 1))
    for logits, top_k in cases:
        numbers = deal.sample(range(len(logits)), len(logits))
        id2label = {number: f"class {number}" for number in numbers}
        config = SimpleNamespace(problem_type="single_label_classification", num_labels=len(logits), id2label=id2label)
        model = SimpleNamespace(config=config)  # all that the pipeline's own postprocess needs
        library = partial(TextClassificationPipeline.postprocess, SimpleNamespace(model=model), _legacy=False)
        trial = Trial(answer, logits, id2label, top_k, given=f"{len(logits)} logits and top_k={top_k}")
        judge_labels(trial, library({"logits": logits[None]}, top_k=top_k))


def judge_labels(trial, expected):
    """Whether the result is the list of dictionaries that was expected."""
    got = trial.returns(list, "a list of dictionaries", of=dict)
    trial.expect(len(got) == len(expected), f"{len(expected)} entries were expected, but got {len(got)}")
    for one in got:
        but = f"but got {describe(one)}"
        trial.expect(set(one) == {"label", "score"}, f"exactly the keys label and score were expected, {but}")
        trial.expect(isinstance(one["label"], str), f"a name out of id2label was expected as label, {but}")
        trial.expect(isinstance(one["score"], float), f"a Python float was expected as score, {but}")
    scores, labels = (lambda rows, key=key: [row[key] for row in rows] for key in ("score", "label"))
    falling = scores(got) == sorted(scores(got), reverse=True)
    unsorted = "The most probable comes first: perhaps you did not sort, or the other way.", not falling
    sentence = "your scores, {got}, differ from the pipeline's by up to {off}"
    trial.close(scores(got), scores(expected), 1e-5, sentence, unsorted, form=scores)  # float32 softmax: about 1e-7
    trial.equal(labels(got), labels(expected), "the right probabilities carry the wrong names: {got}", form=labels)


def mean_of(hidden, mask, over="real"):
    """The mean of the tokens that the mask keeps, divided by other numbers, too."""
    count = {"real": mask.sum(dim=1, keepdim=True), "all": mask.shape[1], "batch": mask.sum(), "nothing": 1}[over]
    return (hidden * mask[..., None]).sum(dim=1) / count


@exercise(
    "3.4",
    mistakes=[
        ("Perhaps you averaged over all tokens, padding included.", lambda hidden, mask: hidden.mean(dim=1)),
        (
            "Perhaps you set the padding to zero, but still divided by the number of all tokens.",
            partial(mean_of, over="all"),
        ),
        (
            "Perhaps you divided by the real tokens of the whole batch: each text has its own number.",
            partial(mean_of, over="batch"),
        ),
        ("Perhaps you did not divide.", partial(mean_of, over="nothing")),
        ("Perhaps you took the first token only.", lambda hidden, mask: hidden[:, 0]),
        (
            "Here the padding stands on the left: perhaps you cut the first tokens off instead of asking the mask.",
            lambda hidden, mask: torch.stack(
                [row[: one.sum()].mean(dim=0) for row, one in zip(hidden, mask, strict=True)]
            ),
        ),
    ],
)
def mean_pool(answer):
    generator = torch.Generator().manual_seed(2)
    for batch, tokens, width in ((4, 7, 5), (1, 1, 3), (3, 3, 3), (5, 12, 2)):
        hidden = torch.randn(batch, tokens, width, generator=generator) + 1  # padding holds numbers, as a model's does
        real = torch.randint(1, tokens + 1, (batch, 1), generator=generator)
        mask = (torch.arange(tokens)[None] < real).long()
        for padded in (mask, mask.flip(1)):
            given = f"hidden states of shape {(batch, tokens, width)} with {real.flatten().tolist()} real tokens"
            trial = Trial(answer, hidden, padded, given=given)
            got = trial.tensor()
            other = "Perhaps you averaged over another dimension than the tokens.", got.shape[1:] == (tokens,)
            expected = torch.stack(
                [row[keep > 0].mean(dim=0) for row, keep in zip(hidden.double(), padded, strict=True)]
            )
            # float32 means over a dozen numbers agree to about 1e-7
            trial.close(got, expected, 1e-5, "your result is off by up to {off}", other)


def windows_of(ids, size, overlap):
    """The windows by the library: each id becomes a word of a tokenizer that knows exactly those words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {str(number): number for number in set(ids)}
    tokenizer = Tokenizer(models.WordLevel({**words, "[UNK]": max(ids, default=0) + 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(max_length=size, stride=overlap)
    whole = tokenizer.encode(" ".join(map(str, ids)))
    return [whole.ids, *(piece.ids for piece in whole.overflowing)]


def stepped(ids, size, step, end=0):
    """Windows that begin every `step` ids, as long as more than `end` ids are left."""
    return [ids[start : start + size] for start in range(0, max(len(ids) - end, 1), max(step, 1))]


@exercise(
    "3.5",
    mistakes=[
        ("Perhaps you took the overlap for the step.", lambda ids, size, overlap: stepped(ids, size, overlap)),
        ("Perhaps your windows share nothing.", lambda ids, size, overlap: stepped(ids, size, size)),
        (
            "Your last window holds nothing that the one before doesn't: the text had already ended.",
            lambda ids, size, overlap: stepped(ids, size, size - overlap),
        ),
        (
            "Perhaps you left the last, shorter window out: every id must be in one.",
            lambda ids, size, overlap: stepped(ids, size, size - overlap, end=size - 1),
        ),
        ("Perhaps you cut the text off: every id must be in a window.", lambda ids, size, overlap: [ids[:size]]),
        (
            "An empty text gives one empty window.",
            lambda ids, size, overlap: windows_of(ids, size, overlap) if ids else [],
        ),
    ],
)
def cut_windows(answer):
    deal = random.Random(3)
    cases = [([*range(9)], 5, 1), ([*range(1, 11)], 5, 2), ([1, 2, 3, 4, 5, 6], 4, 2), ([], 4, 2), ([5], 4, 2)]
    cases += [([*range(8)], 4, 0), ([*range(4)], 4, 2), ([*range(9)], 3, 2)]
    for size in [deal.randint(2, 12) for _ in range(40)]:
        ids = [deal.randint(1000, 20000) for _ in range(deal.randint(0, 50))]
        cases.append((ids, size, deal.randint(0, size - 1)))
    for ids, size, overlap in cases:
        trial = Trial(answer, ids, size, overlap)
        got = trial.returns(list, "a list of lists", of=list)
        trial.equal(
            got,
            windows_of(ids, size, overlap),
            "your windows {got} are not the tokenizer's",
            (f"No window may be longer than {size}.", any(len(window) > size for window in got)),
            ("Every window but the last must be full.", any(len(window) < size for window in got[:-1])),
        )


def span(starts, ends, inside, longest, more=0, anywhere=False, outside=float("-inf")) -> tuple[int, int]:
    """The best span; the options are ways of getting it wrong."""
    starts, ends, inside, places = starts.tolist(), ends.tolist(), inside.tolist(), range(len(inside))
    fair = {
        (i, j): (anywhere or inside[i]) and inside[j] and i <= j < i + max(longest + more, 1)
        for i in places
        for j in places
    }
    return max(fair, key=lambda pair: starts[pair[0]] + ends[pair[1]] if fair[pair] else outside)


def each_by_itself(starts, ends, inside, longest):
    return tuple(int(one.masked_fill(~inside, float("-inf")).argmax()) for one in (starts, ends))


def span_cases(generator):
    """(start_logits, end_logits, inside, longest): first those that tell mistakes apart, then random ones."""
    every, none = torch.tensor([True]), torch.tensor([False])
    yield *torch.tensor([[9.0, 1, 5, 0], [0, 8, 2, 3]]), torch.cat([none, every.expand(3)]), 2
    yield *torch.tensor([[0.0, 6, 0, 0, 0, 0, 7], [9, 4, 0, 6, 0, 8, 0]]), every.expand(7), 2  # longer ones score more
    yield *torch.tensor([[0.0, 9, 0, 1, 0], [0, 2, 0, 9, 0]]), every.expand(5), 3  # the best is as long as allowed
    for tokens in (1, 5, 12, 30):
        for longest in (1, 3, tokens, 50):
            inside = torch.rand(tokens, generator=generator) < 0.7
            inside[torch.randint(tokens, (1,), generator=generator)] = True
            low = 20 * (longest % 2)  # sometimes all logits are negative: 0 is no floor
            yield *(torch.randn(2, tokens, generator=generator) * 3 - low), inside, longest
    yield *torch.tensor([[0.0, -4e4, -5e4], [0, -4e4, -3e4]]), torch.cat([none, every.expand(2)]), 2  # nor is −1000


@exercise(
    "3.6",
    mistakes=[
        ("Perhaps you took the best start and the best end each by itself.", each_by_itself),
        (
            "Perhaps your score for what is not allowed is not low enough: logits may be negative.",
            partial(span, outside=0.0),
        ),
        ("Perhaps you did not ask both ends whether they are inside.", partial(span, anywhere=True)),
        ("Perhaps the count is off by one: both ends belong to the span.", partial(span, more=1)),
        (
            "Perhaps your spans may not reach the full length: end − start + 1 may equal longest.",
            partial(span, more=-1),
        ),
        ("Perhaps you set no limit to the length.", partial(span, more=99)),
    ],
)
def best_span(answer):
    for case in span_cases(torch.Generator().manual_seed(4)):
        *_, inside, longest = case
        given = f"{len(inside)} tokens, {int(inside.sum())} of them inside, and longest={longest}"
        trial = Trial(answer, *case, given=given)
        got = trial.returns(tuple, "a pair (start, end) of two ints", of=int)
        trial.expect(len(got) == 2, f"a pair (start, end) was expected, but got {describe(got)}")
        start, end = got
        trial.expect(min(got) >= 0 and max(got) < len(inside), f"{got} are not two of the tokens")
        trial.equal(
            got,
            span(*case),
            "your span {got} is not the best of those allowed",
            ("It ends before it starts.", end < start),
            ("It has an end that is not inside the context.", not (inside[start] and inside[end])),
            (f"It has {end - start + 1} tokens.", end - start >= longest),
            ("It is allowed, but another allowed one scores higher."),
        )
