"""Chapter 07: names and shapes of heads, centroids, label maps, losses by hand, choices, spans, pooling, reports."""

import random

from labs_utils.exercises.core import (
    CheckFailed,
    as_tensor,
    call,
    describe,
    exercise,
    expect,
    expect_close,
    expect_shape,
)


@exercise("7.1")
def split_name(answer):
    bodies = ["Bert", "GPT2", "Longformer", "Reformer", "RoFormer", "SqueezeBert", "XLMRoberta", "T5", "ConvBert"]
    suffixes = ["TokenClassification", "MaskedLM", "QuestionAnswering", "ConditionalGeneration", "PreTraining"]
    cases = {f"{name}For{suffix}": (name, suffix) for name in bodies for suffix in suffixes}
    cases |= {f"{name}Model": (name, None) for name in bodies}
    for class_name, wanted in cases.items():
        given = f"the name {class_name!r}"
        got = call(answer, class_name, given=given)
        pair = isinstance(got, tuple | list) and len(got) == 2
        expect(pair, f"Given {given}, a tuple of two parts was expected, but got {describe(got)}.")
        got = tuple(got)
        perhaps = ""
        if wanted[1] is None and got[1] is not None:
            perhaps = " Perhaps you forgot that a name that ends in Model has no head: its second part is None."
        elif isinstance(got[0], str) and got[0].endswith(("Model", "For")):
            perhaps = " Perhaps you left Model or For in the first part."
        elif isinstance(got[1], str) and got[1].startswith("For"):
            perhaps = " Perhaps you left the For in the second part."
        elif "Former" in class_name and isinstance(got[1], str) and "For" in got[1]:
            perhaps = " Perhaps you split at the first For: this model has one in its own name."
        elif isinstance(got[0], str) and len(got[0]) < len(wanted[0]):
            perhaps = " Perhaps you split too early: capital and small letters differ, and the last For counts."
        expect(got == wanted, f"Given {given}, your parts {got} are not the model's and the head's.{perhaps}")


@exercise("7.2")
def logits_shape(answer):
    import torch
    import transformers

    names = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice", "MaskedLM")
    names += ("CausalLM", "NextSentencePrediction")
    for batch, length, labels, words, choices in ((2, 16, 3, 40, 4), (5, 7, 6, 50, 3), (1, 9, 8, 30, 2)):
        for name in names:
            class_name = "BertLMHeadModel" if name == "CausalLM" else f"BertFor{name}"
            config = transformers.BertConfig(
                vocab_size=words,
                hidden_size=8,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=8,
                num_labels=2 if name == "QuestionAnswering" else labels,
            )
            inner = (batch, choices, length) if name == "MultipleChoice" else (batch, length)
            with _quiet(), torch.device("meta"), torch.no_grad():
                ids = torch.zeros(inner, dtype=torch.long)
                wanted = tuple(getattr(transformers, class_name)(config)(input_ids=ids, return_dict=False)[0].shape)
            given = (
                f"{name!r}, batch={batch}, length={length}, num_labels={labels}, vocab_size={words}, "
                f"num_choices={choices}"
            )
            got = call(answer, name, batch, length, labels, words, choices, given=given)
            listed = isinstance(got, tuple | list) and all(isinstance(size, int) for size in got)
            expect(listed, f"Given {given}, a tuple of integers was expected, but got {describe(got)}.")
            got, perhaps = tuple(got), ""
            if len(got) > 2 and len(wanted) == 2 and got[1] == length:
                perhaps = " Perhaps you kept the tokens: this head gives no row of its own for each."
            elif name == "QuestionAnswering":
                perhaps = " Perhaps you thought of both outputs: start_logits alone has one number for each token."
            elif name == "NextSentencePrediction":
                perhaps = " Perhaps you used num_labels: this head knows two answers, always."
            elif name == "MultipleChoice":
                perhaps = " Perhaps you forgot that the numbers are folded back: one row for each question."
            elif len(got) == 2:
                perhaps = " Perhaps you forgot that this head answers for each token."
            expect(got == wanted, f"Given {given}, the library's logits don't have your shape {got}.{perhaps}")


def _quiet():
    """Silence the library's warning that a BERT used as a causal model should be a decoder."""
    import contextlib

    from transformers.utils import logging

    @contextlib.contextmanager
    def quiet():
        before = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(before)

    return quiet()


@exercise("7.3")
def nearest_centroid(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    cases = [
        ([[0.0, 0.0], [0.0, 2.0], [9.0, 9.0]], [3, 3, 7], [[1.0, 1.0], [8.0, 9.0]]),
        ([[1.0, 0.0], [10.0, 1.0]], [0, 1], [[3.0, 0.2], [9.0, 9.0]]),
    ]
    cases = [tuple(map(torch.tensor, case)) for case in cases]
    for classes, width in ((4, 6), (3, 2), (8, 16)):
        names = torch.randperm(20, generator=generator)[:classes]
        labels = names[torch.cat([torch.arange(classes), torch.randint(classes, (30,), generator=generator) // 2])]
        middle = torch.randn(20, width, generator=generator) * 2
        known = middle[labels] + torch.randn(len(labels), width, generator=generator)
        new = torch.randn(25, width, generator=generator) * 3 + 1
        cases.append((known, labels, new))
    for known, labels, new in cases:
        names = describe(labels.unique().tolist())
        given = f"known {tuple(known.shape)} with labels {names} and new {tuple(new.shape)}"
        got = as_tensor(call(answer, known.clone(), labels.clone(), new.clone(), given=given), given)
        expect_shape(got, (len(new),), given, "One label for each new row.")
        found = labels.unique()
        centroids = torch.stack([known[labels == one].double().mean(dim=0) for one in found])
        distances = torch.cdist(new.double(), centroids)
        wanted = found[distances.argmin(dim=-1)].double()
        close = distances.sort(dim=-1).values
        clear = close[:, 1] - close[:, 0] > 1e-4 if close.shape[1] > 1 else torch.ones(len(new), dtype=torch.bool)
        perhaps = ""
        normal = torch.nn.functional.normalize
        cosine = found[(normal(new.double(), dim=-1) @ normal(centroids, dim=-1).T).argmax(dim=-1)].double()
        neighbour = labels[torch.cdist(new.double(), known.double()).argmin(dim=-1)].double()
        if not set(got.tolist()) <= set(found.double().tolist()):
            perhaps = " Perhaps you returned the centroid's place instead of its label."
        elif torch.equal(got, cosine):
            perhaps = " Perhaps you compared angles (cosine): here the distance counts."
        elif torch.equal(got, neighbour):
            perhaps = " Perhaps you took the nearest known row: average the rows of each label first."
        elif torch.equal(got, found[distances.argmax(dim=-1)].double()):
            perhaps = " Perhaps you took the largest distance."
        elif set(got.tolist()) <= set(range(len(found))):
            perhaps = " Perhaps you returned the centroid's place instead of its label."
        wrong = int((got != wanted)[clear].sum())
        expect(wrong == 0, f"Given {given}, {wrong} of your labels are not those of the nearest centroid.{perhaps}")


@exercise("7.4")
def label_maps(answer):
    draw = random.Random(0)
    words = ["joy", "anger", "fear", "love", "sadness", "surprise", "O", "B-PER", "10", "9"]
    cases = [["joy", "anger", "joy"], ["one"], ["b", "a"]]
    cases += [[draw.choice(words) for _ in range(draw.randint(3, 40))] for _ in range(20)]
    for column in cases:
        given = f"the column {describe(column)}"
        got = call(answer, list(column), given=given)
        pair = isinstance(got, tuple | list) and len(got) == 2 and all(isinstance(part, dict) for part in got)
        expect(pair, f"Given {given}, a tuple of two dictionaries was expected, but got {describe(got)}.")
        id2label, label2id = got
        distinct = sorted(set(column))
        swapped = all(isinstance(key, str) for key in id2label) and label2id and set(label2id) <= set(range(99))
        told = "id2label was expected first: it maps numbers to names. Perhaps you swapped."
        expect(not swapped, f"Given {given}, {told}")
        expect(
            all(isinstance(key, int) for key in id2label),
            f"Given {given}, the keys of id2label must be integers, but they are {describe(list(id2label))}.",
        )
        perhaps = ""
        if len(id2label) > len(distinct):
            perhaps = " Perhaps you numbered the rows: each label gets one number, however often it comes."
        elif sorted(id2label) != list(range(len(distinct))):
            perhaps = " Perhaps you didn't begin at 0."
        elif list(dict.fromkeys(column)) == [id2label[i] for i in sorted(id2label)]:
            perhaps = " Perhaps you numbered in the order of the rows: the order was to be alphabetical."
        wanted = dict(enumerate(distinct))
        expect(id2label == wanted, f"Given {given}, your id2label {describe(id2label)} is not as asked.{perhaps}")
        back = {name: number for number, name in wanted.items()}
        expect(
            label2id == back,
            f"Given {given}, your label2id {describe(label2id)} does not lead back to the numbers of id2label.",
        )


@exercise("7.5")
def multi_label_loss(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    cases = [(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))]
    for texts, labels in ((4, 3), (1, 5), (7, 1), (6, 8)):
        logits = torch.randn(texts, labels, generator=generator) * 3
        cases.append((logits, torch.randint(2, (texts, labels), generator=generator).float()))
    cases.append((cases[1][0], cases[1][1].long()))
    reference = torch.nn.functional.binary_cross_entropy_with_logits
    for logits, targets in cases:
        kind = "integer" if targets.dtype == torch.long else "float"
        given = f"logits of shape {tuple(logits.shape)} and {kind} targets"
        got = as_tensor(call(answer, logits.clone(), targets.clone(), given=given), given)
        expect_shape(got, (), given, "Perhaps you forgot the mean, or took it over one dimension only.")
        wanted, perhaps = reference(logits.double(), targets.double()), ""
        per_text = reference(logits.double(), targets.double(), reduction="none").sum(dim=-1).mean()
        if torch.allclose(got, per_text, atol=1e-5):
            perhaps = "Perhaps you summed over the labels of a text: the mean is over all entries."
        elif torch.allclose(got, reference(logits.double(), 1 - targets.double()), atol=1e-5):
            perhaps = "Perhaps the targets 0 and 1 are the wrong way round."
        elif torch.allclose(got, -wanted, atol=1e-5):
            perhaps = "Perhaps the sign is the wrong way round: a loss is never negative."
        elif torch.allclose(got, -(targets * logits.double().sigmoid().log()).mean(), atol=1e-5):
            perhaps = "Perhaps only the 1s count in yours: a 0 has a loss too."
        elif torch.allclose(got, -(targets * logits.double().log_softmax(dim=-1)).sum(dim=-1).mean(), atol=1e-5):
            perhaps = "Perhaps you used a softmax: here the labels don't compete."
        expect_close(got, wanted, given, 1e-4, perhaps)  # float32 against double, on losses below 10
    logits, targets = torch.tensor([[1000.0, -1000.0, 200.0, -200.0]]), torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    given = "logits of ±1000 and ±200"
    got = as_tensor(call(answer, logits.clone(), targets.clone(), given=given), given)
    perhaps = "Perhaps you took the logarithm of a sigmoid that has become exactly 0 or 1."
    finite = bool(torch.isfinite(got).all())
    expect(finite, f"Given {given}, a finite loss was expected, but got {got.tolist()}. {perhaps}")
    perhaps = "Perhaps you cut the logits or the chances off."
    expect_close(got, reference(logits.double(), targets.double()), given, 1e-2, perhaps)


@exercise("7.6")
def encode_choices(answer):
    import torch
    from transformers import AutoTokenizer

    from labs_utils.materials.catalog import checkpoint

    encoder = checkpoint("encoder")
    tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
    cases = [
        (["Is it?"], [["Yes.", "No, it is not."]]),
        (["One.", "The second prompt is longer."], [["a", "b b", "c c c"], ["d", "e e e e e", "f"]]),
        (["A.", "B.", "C."], [["x", "y y"], ["z z z", "w"], ["v", "u u u u"]]),
    ]
    for prompts, choices in cases:
        batch, width = len(prompts), len(choices[0])
        given = f"{batch} prompts with {width} choices each"
        got = call(answer, tokenizer, list(prompts), [list(row) for row in choices], given=given)
        expect(hasattr(got, "keys"), f"Given {given}, a dictionary was expected, but got {describe(got)}.")
        wanted_keys = set(tokenizer.model_input_names)
        expect(
            set(got.keys()) >= wanted_keys,
            f"Given {given}, the keys {sorted(wanted_keys)} were expected, but got {sorted(got.keys())}.",
        )
        for key in wanted_keys:
            value = got[key]
            expect(
                torch.is_tensor(value),
                f"Given {given}, {key} must be a tensor, but is {describe(value)}. return_tensors='pt' makes one.",
            )
            shape = tuple(value.shape)
            right = len(shape) == 3 and shape[:2] == (batch, width)
            perhaps = " Perhaps the batch and the choices changed places." if shape[:2] == (width, batch) else ""
            perhaps = perhaps or (" Perhaps you forgot to fold the flat batch." if len(shape) == 2 else "")
            wanted = f"({batch}, {width}, length)"
            expect(right, f"Given {given}, {key} of shape {wanted} was expected, but got {shape}.{perhaps}")
        every = [tokenizer(prompt, choice)["input_ids"] for prompt in prompts for row in choices for choice in row]
        for row in range(batch):
            for column in range(width):
                alone = tokenizer(prompts[row], choices[row][column])
                mask = got["attention_mask"][row, column].bool()
                ids = got["input_ids"][row, column][mask].tolist()
                here = f"prompt {row} and choice {column}"
                perhaps = ""
                if ids == tokenizer(choices[row][column])["input_ids"]:
                    perhaps = " Perhaps you encoded the choice without its prompt."
                elif ids == tokenizer(f"{prompts[row]} {choices[row][column]}")["input_ids"]:
                    perhaps = " Perhaps you glued the two texts together: give them as a pair."
                elif ids == tokenizer(choices[row][column], prompts[row])["input_ids"]:
                    perhaps = " Perhaps prompt and choice changed places."
                elif ids in every:
                    perhaps = " That is another pair: each prompt comes C times in a row, beside its own choices."
                expect(
                    ids == alone["input_ids"],
                    f"Given {given}, the tokens of {here} are {tokenizer.decode(ids)!r}.{perhaps}",
                )
                types = got["token_type_ids"][row, column][mask].tolist()
                expect(
                    types == alone["token_type_ids"],
                    f"Given {given}, the token types of {here} are not those of a pair.",
                )


@exercise("7.7")
def span_loss(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    cases = {"all logits 0 and a length of 8": (torch.zeros(2, 8), torch.zeros(2, 8), [1, 7], [2, 9])}
    plain = [torch.randn(3, 6, generator=generator) * 2 for _ in range(2)]
    cases["labels in range"] = (*plain, [0, 3, 5], [1, 4, 5])
    cases["negative labels"] = (*plain, [-1, 3, -9], [1, -2, 5])
    cases["a label equal to the length"] = (*plain, [6, 3, 1], [1, 4, 5])
    cases["labels far behind the end"] = (*plain, [99, 3, 1], [1, 50, 77])
    wide = [torch.randn(8, 12, generator=generator) * 3 for _ in range(2)]
    cases["a batch of eight with all kinds"] = (*wide, [0, -3, 12, 11, 40, 5, 2, -1], [4, 12, 13, 11, 1, 5, 99, 0])
    for given, (start_logits, end_logits, starts, ends) in cases.items():
        starts, ends = torch.tensor(starts), torch.tensor(ends)
        sent = [tensor.clone() for tensor in (start_logits, end_logits, starts, ends)]
        got = as_tensor(call(answer, *sent, given=given), given)
        expect(
            torch.equal(sent[2], starts) and torch.equal(sent[3], ends),
            f"Given {given}, your function changed the labels that it was given. clamp without _ makes a copy.",
        )
        expect_shape(got, (), given, "Perhaps you forgot the mean.")
        length = start_logits.shape[1]
        pairs = ((start_logits, starts), (end_logits, ends))
        first, last = _sides(pairs, length)
        wanted, perhaps = (first + last) / 2, ""
        sums = _sides(pairs, length, reduction="sum")
        moved = _sides(pairs, length - 1)
        counted = int((starts < length).sum()) + int((ends < length).sum())
        if torch.allclose(got, first + last, atol=1e-5):
            perhaps = "Perhaps you added the two sides: the result is their average."
        elif torch.allclose(got, sum(moved) / 2, atol=1e-5):
            perhaps = "Perhaps you moved a label behind the end to the last token: it is left out."
        elif torch.allclose(got, sum(sums) / (2 * len(starts)), atol=1e-5):
            perhaps = "Perhaps you divided by the whole batch: an ignored label is not counted in the mean."
        elif torch.allclose(got, sum(sums) / counted, atol=1e-5):
            perhaps = "Perhaps you put both sides into one mean: each side has its own."
        elif bool(torch.isnan(got)):
            perhaps = "The result is nan. Perhaps a mean ran over nothing, or a label was read behind the end."
        elif bool((starts < 0).any() or (ends < 0).any()):
            perhaps = "Perhaps a negative label counted from the end, or was left out: it counts as position 0."
        expect_close(got, wanted, given, 1e-4, perhaps)  # float32 against double, on losses below 20


def _sides(pairs, highest: int, **options) -> list:
    """The cross-entropy of the starts and of the ends, labels clamped to 0 … `highest`, those at the length ignored."""
    from torch.nn.functional import cross_entropy

    return [
        cross_entropy(scores.double(), places.clamp(0, highest), ignore_index=scores.shape[1], **options)
        for scores, places in pairs
    ]


@exercise("7.8")
def attention_head(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    torch_state = torch.random.get_rng_state()
    try:
        head = call(answer, 6, 3, given="a width of 6 and 3 labels")
    finally:
        torch.random.set_rng_state(torch_state)
    expect(
        hasattr(head, "score") and hasattr(head, "classifier"),
        "The head lost its parts: keep self.score and self.classifier as they are in __init__.",
    )
    head = head.double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    hidden = torch.randn(4, 7, 6, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6, [1] * 6 + [0]])

    def logits(vectors, attention_mask, given):
        with torch.no_grad():
            got = call(head, vectors.clone(), attention_mask.clone(), given=given)
        expect_shape(got, (len(vectors), 3), given, "One row of logits for each text.")
        return as_tensor(got, given)

    def reference(weights, vectors=hidden):
        return head.classifier((weights[..., None] * vectors).sum(dim=1)).detach()

    given = "4 texts of 7 tokens, some of them padding"
    got = logits(hidden, mask, given)
    scores = head.score(hidden).squeeze(-1).detach()
    hidden_scores = scores.masked_fill(mask == 0, float("-inf"))
    real = mask.double()
    mistakes = {
        "Perhaps padding got weight too: its score must be minus infinity before the softmax.": scores.softmax(dim=-1),
        "Perhaps you set padding to 0 after the softmax: then weights no longer sum to 1.": scores.softmax(dim=-1)
        * real,
        "Perhaps you multiplied the scores by the mask: a score of 0 is not a weight of 0.": (scores * real).softmax(
            dim=-1
        ),
        "Perhaps the softmax ran over the texts instead of the tokens.": hidden_scores.softmax(dim=0).nan_to_num(),
        "Perhaps you left self.score out: this is the plain mean.": real / real.sum(dim=-1, keepdim=True),
        "Perhaps you left the softmax out: weights are positive and sum to 1.": scores * real,
    }
    perhaps = next(
        (told for told, weights in mistakes.items() if torch.allclose(got, reference(weights), atol=1e-8)), ""
    )
    expect_close(got, reference(hidden_scores.softmax(dim=-1)), given, 1e-6, perhaps)  # everything runs in double
    noisy = torch.where(mask[..., None] == 1, hidden, hidden + 100)
    changed = logits(noisy, mask, "the same texts with other vectors at the padding")
    if not torch.allclose(changed, got, atol=1e-6):
        told = "the logits changed. Padding must have a weight of exactly 0."
        raise CheckFailed(f"Given other vectors at the padding, {told}")
    with torch.no_grad():
        head.score.weight.zero_()
    mean = logits(hidden, mask, "a score that is the same for all tokens")
    expect_close(
        mean,
        reference(real / real.sum(dim=-1, keepdim=True)),
        "a score that is the same for all tokens",
        1e-6,
        "The head must then see the mean over the real tokens.",
    )


@exercise("7.9")
def loading_report(answer):
    draw = random.Random(0)
    example = ({"body": (4, 4), "head": (2, 4), "old": (3,)}, {"body": (4, 4), "head": (6, 4), "new": (3,)})
    cases = [example, ({}, {"a": (1,)}), ({"a": (1,)}, {}), ({"a": (2, 3)}, {"a": (3, 2)}), ({"a": ()}, {"a": ()})]
    names = [f"layer.{i}.weight" for i in range(6)] + ["classifier.weight", "cls.seq_relationship.weight"]
    for _ in range(20):
        sides = [
            {name: draw.choice([(2, 4), (4, 4), (4,)]) for name in draw.sample(names, draw.randint(1, 8))} for _ in "ab"
        ]
        cases.append(tuple(sides))
    keys = ("kept", "mismatched", "missing", "unexpected")
    for checkpoint, model in cases:
        given = f"the checkpoint {describe(checkpoint)} and the model {describe(model)}"
        got = call(answer, dict(checkpoint), dict(model), given=given)
        expect(isinstance(got, dict), f"Given {given}, a dictionary was expected, but got {describe(got)}.")
        expect(set(got) == set(keys), f"Given {given}, the keys {keys} were expected, but got {sorted(map(str, got))}.")
        both = set(checkpoint) & set(model)
        kept = {name for name in both if checkpoint[name] == model[name]}
        wanted = dict(zip(keys, (kept, both - kept, set(model) - both, set(checkpoint) - both), strict=True))
        for key in keys:
            collection = isinstance(got[key], set | frozenset | list | tuple) or hasattr(got[key], "isdisjoint")
            expect(collection, f"Given {given}, {key!r} must be a set of names, but is {describe(got[key])}.")
        found = {key: set(got[key]) for key in keys}
        perhaps = ""
        if found["missing"] == wanted["unexpected"] and found["unexpected"] == wanted["missing"]:
            perhaps = " Perhaps missing and unexpected changed places: missing is what the model wants."
        elif found["kept"] == both and both != kept:
            perhaps = " Perhaps you compared the names only: the shapes must agree too."
        elif found["mismatched"] - both:
            perhaps = " Perhaps you counted a weight that is in one of them only as mismatched."
        elif wanted["mismatched"] & (found["missing"] | found["unexpected"]):
            perhaps = " Perhaps a weight with another shape landed in two sets: it is mismatched, and nothing else."
        wrong = next((key for key in keys if found[key] != wanted[key]), None)
        expect(wrong is None, f"Given {given}, your set {wrong!r} is {describe(got[wrong]) if wrong else ''}.{perhaps}")
