"""Chapter 07: names and shapes of heads, centroids, label maps, losses by hand, choices, spans, pooling, reports."""

import math
import random
from collections.abc import Set
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from labs_utils.exercises.vocabulary import Trial, describe, exercise, forbid

READY_MADE = [name for name in dir(F) if name.endswith("_loss") or "cross_entropy" in name]
READY_MADE += [name for name in dir(nn) if name.endswith("Loss")]


def parts(class_name, cut=str.removesuffix, headless: bool = True, keep: bool = False, first: bool = False) -> tuple:
    """The two parts of a class name; the options are ways of getting it wrong."""
    if headless and class_name.endswith("Model"):
        return cut(class_name, "Model"), None
    left, _, right = class_name.partition("For") if first else class_name.rpartition("For")
    return left, f"For{right}" if keep else right


@exercise(
    "7.1",
    mistakes=[
        ("A name that ends in Model has no head: its second part is None.", partial(parts, headless=False)),
        ("Perhaps you left Model in the first part.", partial(parts, cut=lambda name, ending: name)),
        (
            "rstrip takes away any of these letters, as long as it finds some. Take the ending as a whole.",
            partial(parts, cut=str.rstrip),
        ),
        ("Perhaps you left the For in the second part.", partial(parts, keep=True)),
        ("Perhaps you split at the first For: this model has one in its own name.", partial(parts, first=True)),
    ],
)
def split_name(answer):
    models = "Bert", "XLM", "GPT2", "Longformer", "SqueezeBert", "T5", "RoFormer"
    heads = "TokenClassification", "MaskedLM", "QuestionAnswering", "ConditionalGeneration", "PreTraining"
    cases = [(f"{model}Model", (model, None)) for model in models]
    cases += [(f"{model}For{head}", (model, head)) for model in models for head in heads]
    for name, expected in cases:
        trial = Trial(answer, name)
        got = trial.returns(tuple, "a tuple of two parts")
        trial.expect(len(got) == 2, f"a tuple of two parts was expected, but got {got}")
        early = isinstance(got[0], str) and name.startswith(got[0]) and got[0] in expected[0][:-1]
        split = early and name[len(got[0]) :].lower().startswith("for")
        told = "Perhaps you split too early: the last For counts, and capital and small letters differ."
        trial.equal(got, expected, "your parts {got} are not the model's and the head's", (told, split))


SHAPES = {
    "SequenceClassification": "batch labels",
    "TokenClassification": "batch length labels",
    "QuestionAnswering": "batch length",
    "MultipleChoice": "batch choices",
    "MaskedLM": "batch length words",
    "CausalLM": "batch length words",
    "NextSentencePrediction": "batch 2",
}


def shape_of(head, batch, length, num_labels, vocab_size, num_choices, **changes: str) -> tuple[int, ...]:
    """The shape that stands in the table; `changes` to it are ways of getting it wrong."""
    sizes = {"batch": batch, "length": length, "labels": num_labels, "words": vocab_size, "choices": num_choices}
    row = {**SHAPES, **changes}[head].split()
    return tuple(math.prod(sizes.get(name) or int(name) for name in entry.split("*")) for entry in row)


SLIPS = [
    ("This head answers for each text, not for each token.", "SequenceClassification", "batch length labels"),
    ("This head answers for each token.", "TokenClassification", "batch labels"),
    ("A token's two numbers lie in two tensors: start_logits has one of them.", "QuestionAnswering", "batch length 2"),
    ("An answer is a place in the text: start_logits has a number for each token.", "QuestionAnswering", "batch 2"),
    ("num_labels plays no part: start_logits has one for each token.", "QuestionAnswering", "batch length labels"),
    ("The numbers are folded back: one row for each question.", "MultipleChoice", "batch*choices 1"),
    ("Each choice gets one number, whatever num_labels is.", "MultipleChoice", "batch choices labels"),
    ("A language model answers for each token.", "MaskedLM", "batch words"),
    ("This one, too, answers for each token.", "CausalLM", "batch words"),
    ("This head knows two answers, always, whatever num_labels is.", "NextSentencePrediction", "batch labels"),
]


@exercise("7.2", mistakes=[(told, partial(shape_of, **{head: shape})) for told, head, shape in SLIPS])
def logits_shape(answer):
    for sizes in ((2, 16, 3, 40, 4), (5, 7, 6, 50, 3)):
        for head in SHAPES:
            trial = Trial(answer, head, *sizes)
            got = trial.returns(tuple, "a tuple of integers", of=int)
            trial.equal(got, library_shape(head, *sizes), "the library's logits don't have your shape {got}")


def library_shape(head, batch, length, num_labels, vocab_size, num_choices) -> tuple[int, ...]:
    """The shape that a small model of the library gives, computed without any numbers."""
    import transformers

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    num_labels = 2 if head == "QuestionAnswering" else num_labels
    causal = {"is_decoder": True} if head == "CausalLM" else {}
    config = transformers.BertConfig(vocab_size=vocab_size, num_labels=num_labels, **small, **causal)
    kind = getattr(transformers, "BertLMHeadModel" if causal else f"BertFor{head}")
    with torch.device("meta"), torch.no_grad():
        inner = (batch, num_choices, length) if head == "MultipleChoice" else (batch, length)
        return tuple(kind(config)(torch.zeros(inner, dtype=torch.long), return_dict=False)[0].shape)


def nearest(known, labels, new, middle=torch.mean, cosine=False, farthest=False, place=False, p: float = 2.0):
    """The label of the nearest centroid; the options are ways of getting it wrong."""
    found = labels.unique()
    centroids = torch.stack([middle(known[labels == label], dim=0) for label in found])
    if cosine:
        known, new, centroids = (F.normalize(rows, dim=-1) for rows in (known, new, centroids))
    places = torch.cdist(new, centroids, p=p).topk(1, largest=farthest).indices[:, 0]
    return places if place else found[places]


@exercise(
    "7.3",
    mistakes=[
        ("Perhaps you returned the centroid's place instead of its label.", partial(nearest, place=True)),
        ("Perhaps you compared angles (cosine): here the distance counts.", partial(nearest, cosine=True)),
        (
            "Perhaps you took the nearest known row: average the rows of each label first.",
            lambda known, labels, new: labels[torch.cdist(new, known).argmin(dim=-1)],
        ),
        ("Perhaps you took the largest distance.", partial(nearest, farthest=True)),
        (
            "Perhaps you added the rows of a label and didn't divide by their number.",
            partial(nearest, middle=torch.sum),
        ),
        ("Perhaps you added up absolute differences: the Euclidean distance squares them.", partial(nearest, p=1.0)),
    ],
)
def nearest_centroid(answer):
    draw = torch.Generator().manual_seed(0)
    example = [[0.0, 0.0], [0.0, 2.0], [9.0, 9.0]], [3, 3, 7], [[1.0, 1.0], [8.0, 9.0]]
    cases = [tuple(map(torch.tensor, example))]
    for classes, width in ((4, 6), (3, 2), (8, 16)):
        names = torch.randperm(20, generator=draw)[:classes]
        labels = names[torch.cat([torch.arange(classes), torch.randint(classes, (30,), generator=draw) // 2])]
        known = (torch.randn(20, width, generator=draw) * 2)[labels]
        known = known + torch.randn(known.shape, generator=draw)
        cases.append((known, labels, torch.randn(40, width, generator=draw) * 3 + 1))
    for known, labels, new in cases:
        found = labels.unique()
        centroids = torch.stack([known[labels == label].double().mean(dim=0) for label in found])
        distances, order = (new.double()[:, None] - centroids).norm(dim=-1).sort(dim=-1)
        clear = distances[:, 1] - distances[:, 0] > 1e-2  # where rounding can't change the answer
        trial = Trial(answer, known, labels, new[clear])
        got = trial.tensor((int(clear.sum()),), "One label for each new row.")
        expected = found[order[clear, 0]]
        wrong = int((got != expected).sum())
        trial.equal(got, expected, f"{wrong} of your labels are not those of the nearest centroid")


def maps(names, begin: int = 0) -> tuple[dict, dict]:
    """id2label and label2id for names in their order."""
    return dict(enumerate(names, begin)), {name: number for number, name in enumerate(names, begin)}


@exercise(
    "7.4",
    mistakes=[
        ("Perhaps you numbered the rows: each label gets one number, however often it comes.", maps),
        (
            "Perhaps you numbered in the order of the rows: the order was to be alphabetical.",
            lambda column: maps(dict.fromkeys(column)),
        ),
        ("Perhaps you didn't begin at 0.", lambda column: maps(sorted(set(column)), begin=1)),
        ("id2label comes first: it maps numbers to names.", lambda column: maps(sorted(set(column)))[::-1]),
    ],
)
def label_maps(answer):
    draw = random.Random(0)
    words = ["joy", "anger", "fear", "love", "sadness", "surprise", "b", "a"]
    cases = [["fear", "joy", "joy", "anger", "love"], ["joy", "anger", "joy"], ["one"]]
    cases += [draw.choices(words, k=draw.randint(3, 40)) for _ in range(20)]
    for column in cases:
        trial, expected = Trial(answer, column), maps(sorted(set(column)))
        got = trial.returns(tuple, "a tuple of two dicts", of=dict)
        trial.expect(len(got) == 2, f"a tuple of two dicts was expected, but got {len(got)} of them")
        textual = "The keys of id2label are integers, not strings.", all(type(key) is str for key in got[0])
        back = "label2id does not lead back from each name to its number.", got[0] == expected[0]
        trial.equal(got, expected, "your maps {got} are not the labels in alphabetical order", textual, back)


def binary(logits, targets, flip: bool = False, sign: int = 1, zeros: bool = True, total: bool = False):
    """The binary cross-entropy, right for large logits; the options are ways of getting it wrong."""
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    if flip:
        targets = 1 - targets
    losses = -sign * (targets * yes + (1 - targets) * no * zeros)
    return losses.sum(dim=-1).mean() if total else losses.mean()


@exercise(
    "7.5",
    mistakes=[
        ("Perhaps you summed over the labels of a text: the mean is over all entries.", partial(binary, total=True)),
        ("Perhaps the targets 0 and 1 are the wrong way round.", partial(binary, flip=True)),
        ("The sign is the wrong way round: a loss is never negative.", partial(binary, sign=-1)),
        ("Perhaps only the 1s count in yours: a 0 has a loss, too.", partial(binary, zeros=False)),
        (
            "Perhaps you used a softmax: here the labels don't compete.",
            lambda logits, targets: -(targets * logits.log_softmax(dim=-1)).sum(dim=-1).mean(),
        ),
    ],
)
def multi_label_loss(answer):
    forbid(answer, *READY_MADE, because="is a ready-made loss: write the formula")
    draw = torch.Generator().manual_seed(0)
    cases = []
    for shape in ((4, 3), (1, 5), (7, 1), (6, 8)):
        targets = torch.randint(2, shape, generator=draw)
        cases.append((torch.randn(shape, generator=draw) * 3, targets.float() if shape[0] % 2 else targets))
    large = torch.tensor([[1000.0, -1000.0, 200.0, -200.0]])
    cases += [(large[:, 2:], torch.tensor([[0, 1]])), (large, torch.tensor([[0.0, 1.0, 1.0, 0.0]]))]
    for logits, targets in cases:
        is_large = logits.abs().max() > 100
        trial = Trial(answer, logits, targets)
        got = trial.tensor((), "Perhaps you forgot the mean, or took it over one dimension only.")
        overflow = "Perhaps an exponential became infinite, or you took the logarithm of a 0."
        trial.expect(got.isfinite(), f"a finite loss was expected, but got {got.item()}", (overflow, is_large))
        expected = F.binary_cross_entropy_with_logits(logits.double(), targets.double())
        cut = "Perhaps you cut off the logits or the chances.", is_large
        trial.close(got, expected, 1e-3, "your loss is off by {off}", cut)  # float32 against double, up to 1000


def encoded(tokenizer, prompts, choices, swap=False, joined=False, alone=False, major=False) -> dict:
    """Prompts and choices as tensors [B, C, length]; the options are ways of getting it wrong."""
    width = len(choices[0])
    left = prompts * width if major else [prompt for prompt in prompts for _ in range(width)]
    right = [choice for row in choices for choice in row]
    texts = [right, left] if swap else [right] if alone else [left, right]
    if joined:
        texts = [[f"{prompt} {choice}" for prompt, choice in zip(left, right, strict=True)]]
    flat = tokenizer(*texts, padding=True, return_tensors="pt")
    return {key: value.view(len(prompts), width, -1) for key, value in flat.items()}


def unpadded(batch) -> list:
    """For each choice its tokens and their types, without padding."""
    real = batch["attention_mask"] == 1
    keys = "input_ids", "token_type_ids"
    return [
        [[batch[key][row, place][real[row, place]].tolist() for key in keys] for place in range(real.shape[1])]
        for row in range(len(real))
    ]


@exercise(
    "7.6",
    mistakes=[
        ("Perhaps prompt and choice changed places: the choice is the second text.", partial(encoded, swap=True)),
        ("Perhaps you glued the two texts together: give them as a pair.", partial(encoded, joined=True)),
        ("Perhaps you encoded the choice without its prompt.", partial(encoded, alone=True)),
        (
            "A prompt stands beside another's choices: repeat each prompt C times in a row.",
            partial(encoded, major=True),
        ),
    ],
)
def encode_choices(answer):
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijk"]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    for prompts, choices in (
        (["a b"], [["c", "d e f"]]),
        (["a", "b c d"], [["e", "f f", "g g g"], ["h", "i i i i i", "j"]]),
        (["a", "b", "c"], [["d", "e e"], ["f f f", "g"], ["h", "i i i i"]]),
    ):
        batch, width = len(prompts), len(choices[0])
        trial = Trial(answer, tokenizer, prompts, choices, given=f"prompts={prompts}, choices={choices}")
        got = trial.returns(dict)
        trial.expect(
            set(got) == set(tokenizer.model_input_names),
            f"the keys {tokenizer.model_input_names} were expected, but got {list(got)}",
        )
        for key in tokenizer.model_input_names:
            value = got[key]
            is_whole = torch.is_tensor(value) and not value.is_floating_point()
            trial.expect(is_whole, f"{key} must be a tensor of integers, but is {describe(value)}")
            flat = "Perhaps you forgot to fold the flat batch.", value.ndim == 2
            turned = "Perhaps the batch and the choices changed places.", value.shape[:2] == (width, batch)
            trial.shape(value, (batch, width, *got["input_ids"].shape[-1:]), flat, turned)
        alone = [[tokenizer(prompt, choice) for choice in row] for prompt, row in zip(prompts, choices, strict=True)]
        expected = [[[one["input_ids"], one["token_type_ids"]] for one in row] for row in alone]
        trial.equal(unpadded(got), expected, "the tokens and their types are not those of the pairs", form=unpadded)


def span(start_logits, end_logits, starts, ends, divide=2, high=0, negative="first", counted="side"):
    """The loss of a span; the options are ways of getting it wrong."""
    length, sums, counts = start_logits.shape[1], [], []
    for logits, places in ((start_logits, starts), (end_logits, ends)):
        lowest = {"first": 0, "wraps": places % length, "left out": length}[negative]
        places = torch.where(places < 0, lowest, places).clamp(max=length + high)
        inside = places < length
        sums.append(-logits[inside].log_softmax(dim=-1).gather(1, places[inside][:, None]).sum())
        counts.append(len(places) if counted == "batch" else int(inside.sum()))
    if counted == "both":
        return sum(sums) / sum(counts)
    return sum(one / count for one, count in zip(sums, counts, strict=True)) / divide


@exercise(
    "7.7",
    mistakes=[
        ("Perhaps you added the two sides: the result is their average.", partial(span, divide=1)),
        ("Perhaps a negative label counted from the end: it counts as position 0.", partial(span, negative="wraps")),
        ("Perhaps you left a negative label out: it counts as position 0.", partial(span, negative="left out")),
        ("Perhaps you moved a label behind the end to the last token: it is left out.", partial(span, high=-1)),
        (
            "Perhaps you divided by the whole batch: an ignored label is not counted in the mean.",
            partial(span, counted="batch"),
        ),
        ("Perhaps you put both sides into one mean: each side has its own.", partial(span, counted="both")),
    ],
)
def span_loss(answer):
    draw = torch.Generator().manual_seed(0)
    cases = [
        (3, 6, [0, 3, 5], [1, 4, 5]),
        (3, 6, [-1, 3, -9], [1, -2, 5]),
        (3, 6, [6, 3, 1], [1, 4, 5]),
        (3, 6, [99, 3, 1], [1, 50, 77]),
        (8, 12, [0, -3, 12, 11, 40, 5, 2, -1], [4, 12, 13, 11, 1, 5, 99, 0]),
    ]
    for batch, length, *labels in cases:
        logits = [torch.randn(batch, length, generator=draw) * 3 for _ in range(2)]
        labels = [torch.tensor(side) for side in labels]
        trial = Trial(answer, *logits, *labels)
        got = trial.tensor((), "Perhaps you forgot the mean.")
        kept = [torch.where(places < 0, 0, places).clamp(max=length) for places in labels]
        sides = [
            F.cross_entropy(one.double(), places, ignore_index=length) for one, places in zip(logits, kept, strict=True)
        ]
        nothing = "Perhaps a mean ran over nothing, or a label was read behind the end.", bool(got.isnan())
        trial.close(got, sum(sides) / 2, 1e-4, "your loss is off by {off}", nothing)  # float32 against double


def head_with(weigh):
    """What makes a head whose weights are `weigh(scores, mask)`."""

    class Head(nn.Module):
        def __init__(self, width, num_labels):
            super().__init__()
            self.score, self.classifier = nn.Linear(width, 1), nn.Linear(width, num_labels)

        def forward(self, hidden, attention_mask):
            weights = weigh(self.score(hidden).squeeze(-1), attention_mask)
            return self.classifier((weights[..., None] * hidden).sum(dim=1))

    return Head


def softmax_over(scores, mask, dim: int = -1):
    return scores.masked_fill(mask == 0, -math.inf).softmax(dim=dim)


def first_places(mask):
    """A mask of as many tokens as `mask` has, all at the beginning."""
    return torch.arange(mask.shape[1]) < mask.sum(dim=-1, keepdim=True)


@exercise(
    "7.8",
    mistakes=[
        (
            "Perhaps padding got weight, too: its score must be minus infinity before the softmax.",
            head_with(lambda scores, mask: scores.softmax(-1)),
        ),
        (
            "Perhaps you set padding to 0 after the softmax: then the weights no longer sum to 1.",
            head_with(lambda scores, mask: scores.softmax(-1) * mask),
        ),
        (
            "Perhaps you multiplied the scores by the mask: a score of 0 is not a weight of 0.",
            head_with(lambda scores, mask: (scores * mask).softmax(-1)),
        ),
        ("Perhaps the softmax ran over the texts instead of the tokens.", head_with(partial(softmax_over, dim=0))),
        ("This is the plain mean, without self.score.", head_with(lambda _, mask: mask / mask.sum(-1, keepdim=True))),
        ("Perhaps you left the softmax out.", head_with(lambda scores, mask: scores * mask)),
        (
            "Perhaps you only counted the mask's 1s: padding may stand in front, too.",
            head_with(lambda scores, mask: softmax_over(scores, first_places(mask))),
        ),
    ],
)
def attention_head(answer):
    with torch.random.fork_rng(devices=[]):
        trial = Trial(answer, 6, 3)
    sizes = {"score.weight": (1, 6), "score.bias": (1,), "classifier.weight": (3, 6), "classifier.bias": (3,)}
    own = trial.result.named_parameters() if isinstance(trial.result, nn.Module) else []
    is_whole = sizes.items() <= {name: tuple(one.shape) for name, one in own}.items()
    trial.expect(is_whole, "the head lost its parts: keep self.score and self.classifier as __init__ makes them")
    draw = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(size, generator=draw) for name, size in sizes.items()}
    padded = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [0] * 2 + [1] * 5, [1, 0, 1, 1, 0, 0, 0], [1] + [0] * 6])
    for mask, noise, given in (
        (padded, 0, "5 texts of 7 tokens, some of them padding"),
        (padded, 100, "5 texts of 7 tokens, and vectors of padding that score high"),
        (padded[:1], 0, "a single text of 7 tokens"),
    ):
        hidden = torch.randn(*mask.shape, 6, generator=draw)
        hidden = hidden + noise * weights["score.weight"] * (mask[..., None] == 0)

        def logits(head, hidden=hidden, mask=mask, given=given):
            head.eval().load_state_dict(weights, strict=False)
            return Trial(head, hidden, mask, given=given).tensor((len(mask), 3), "One row of logits for each text.")

        trial.given, expected = given, pooled_one_by_one(hidden, mask, weights)
        trial.close(logits(trial.result), expected, 1e-4, "your logits are off by up to {off}", form=logits)


def pooled_one_by_one(hidden, mask, weights):
    """The logits, one text after the other, from its real tokens alone."""
    rows = []
    for vectors, marks in zip(hidden, mask, strict=True):
        real = vectors[marks == 1]
        shares = (real @ weights["score.weight"][0] + weights["score.bias"]).softmax(dim=0)
        rows.append(weights["classifier.weight"] @ (shares @ real) + weights["classifier.bias"])
    return torch.stack(rows)


def report(checkpoint, model, swap=False, names_only=False, apart=False, double=False, alone=False) -> dict[str, set]:
    """What becomes of each weight; the options are ways of getting it wrong."""
    both = checkpoint.keys() & model.keys()
    kept = {name for name in both if names_only or checkpoint[name] == model[name]}
    mismatched, missing, unexpected = both - kept, model.keys() - both, checkpoint.keys() - both
    if apart or double:
        missing, unexpected = missing | mismatched, unexpected | mismatched
    if apart:
        mismatched = set()
    if alone:
        mismatched = mismatched | missing | unexpected
    if swap:
        missing, unexpected = unexpected, missing
    return {"kept": kept, "mismatched": mismatched, "missing": missing, "unexpected": unexpected}


@exercise(
    "7.9",
    mistakes=[
        ("Perhaps missing and unexpected changed places: missing is what the model wants.", partial(report, swap=True)),
        ("Perhaps you compared the names only: the shapes must agree, too.", partial(report, names_only=True)),
        ("A weight with another shape is mismatched, and in no other set.", partial(report, double=True)),
        ("A weight that is in both with another shape is mismatched, not missing.", partial(report, apart=True)),
        ("A weight that is in one of them only is not mismatched.", partial(report, alone=True)),
    ],
)
def loading_report(answer):
    draw = random.Random(0)
    cases = [({"body": (4, 4), "head": (2, 4), "old": (3,)}, {"body": (4, 4), "head": (6, 4), "new": (3,)})]
    cases += [({}, {"a": (1,)}), ({"a": (1,)}, {}), ({"a": (2, 3)}, {"a": (3, 2)}), ({"a": ()}, {"a": ()})]
    names = [f"layer.{number}.weight" for number in range(6)] + ["classifier.weight", "cls.seq_relationship.weight"]
    for _ in range(20):
        drawn = [draw.sample(names, draw.randint(1, 8)) for _ in range(2)]
        cases.append(tuple({name: draw.choice([(2, 4), (4, 4), (4,)]) for name in side} for side in drawn))
    for checkpoint, model in cases:
        trial, expected = Trial(answer, checkpoint, model), report(checkpoint, model)
        got = trial.returns(dict, "a dict with four sets of names")
        trial.expect(got.keys() == expected.keys(), f"the keys {list(expected)} were expected, but got {list(got)}")
        for key, found in got.items():
            trial.expect(isinstance(found, Set), f"{key!r} must be a set of names, but is {describe(found)}")
        wrong = next((key for key in expected if got[key] != expected[key]), "")
        trial.equal(got, expected, f"your set {wrong!r}, {describe(got.get(wrong))}, is not right")
