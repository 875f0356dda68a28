"""Chapter 03: ModelOutput as a tuple, softmax, postprocess, masked mean, windows, best span."""

from labs_utils.exercises.core import as_tensor, call, describe, exercise, expect, expect_close, expect_shape


@exercise("3.1")
def as_plain_tuple(answer):
    import torch
    from transformers.modeling_outputs import SequenceClassifierOutput

    one, zero, many = torch.ones(()), torch.zeros(()), torch.arange(6.0).reshape(2, 3)
    layers = (torch.ones(1, 2), torch.zeros(1, 2))
    cases = {
        "a loss that is None and logits": {"loss": None, "logits": many, "hidden_states": None, "attentions": layers},
        "every field filled": {"loss": one, "logits": many, "hidden_states": layers, "attentions": layers},
        "a loss of exactly 0": {"loss": zero, "logits": many, "hidden_states": None, "attentions": None},
        "only the last field": {"loss": None, "logits": None, "hidden_states": None, "attentions": layers},
        "nothing but None": {"loss": None, "logits": None},
    }
    for given, fields in cases.items():
        got = call(answer, dict(fields), given=given)
        expect(isinstance(got, tuple), f"Given {given}, a tuple was expected, but got {describe(got)}.")
        wanted = SequenceClassifierOutput(**fields).to_tuple()
        perhaps = ""
        if any(value is None for value in got):
            perhaps = " Perhaps you kept the fields that are None."
        elif any(isinstance(value, str) for value in got):
            perhaps = " Perhaps you took the names instead of the values."
        elif given == "a loss of exactly 0" and len(got) < len(wanted):
            perhaps = " Perhaps you asked whether a value is true: a tensor holding 0 is false, and yet it is there."
        expect(
            len(got) == len(wanted),
            f"Given {given}, a tuple of {len(wanted)} was expected, but got {len(got)} entries.{perhaps}",
        )
        same = all(a is b for a, b in zip(got, wanted, strict=True))
        expect(same, f"Given {given}, the values themselves were expected, in the order of the fields.{perhaps}")


@exercise("3.2")
def softmax(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    cases = [torch.randn(*shape, generator=generator) * 3 for shape in ((5, 8), (4, 4), (8,), (2, 3, 7), (1, 6))]
    cases.append(torch.tensor([[0.0, 0.0], [0.0, 1.0986]]))  # last: it is symmetric, so it can't tell rows from columns
    for logits in cases:
        given = f"logits of shape {tuple(logits.shape)}"
        got = call(answer, logits.clone(), given=given)
        expect_shape(got, tuple(logits.shape), given, "Perhaps a sum lost its dimension: keepdim=True keeps it.")
        wanted, value = logits.double().softmax(dim=-1), as_tensor(got, given)
        perhaps = "Perhaps you divided by something else than the sum of the row's exponentials."
        if value.dim() > 1 and torch.allclose(value, logits.double().softmax(dim=0), atol=1e-4):
            perhaps = "Your columns sum to 1, not your rows: perhaps you summed over dim=0."
        elif torch.allclose(value.sum(), torch.tensor(1.0, dtype=value.dtype), atol=1e-4):
            perhaps = "Everything together sums to 1: perhaps you summed over all dimensions at once."
        elif torch.allclose(value, logits.double().softmax(dim=min(1, logits.dim() - 1)), atol=1e-4):
            perhaps = "Perhaps you summed over dim=1: with three dimensions, that is not the last one."
        elif torch.allclose(value, logits.double() / logits.double().sum(dim=-1, keepdim=True), atol=1e-4):
            perhaps = "Perhaps you forgot the exponential."
        expect_close(got, wanted, given, 1e-5, perhaps)  # float32 softmax is good to about 1e-7
    for shift in (1000.0, -1000.0):
        logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]]) + shift
        given = f"logits around {shift:g}"
        got = as_tensor(call(answer, logits.clone(), given=given), given)
        perhaps = "The exponential of a large number doesn't fit into a float, and of a very negative one it is 0."
        expect(
            bool(torch.isfinite(got).all()),
            f"Given {given}, probabilities were expected, but got nan or inf. {perhaps}",
        )
        expect_close(
            got, logits.double().softmax(dim=-1), given, 1e-4, perhaps
        )  # float32 keeps four decimals near 1000
    # each row has its own maximum: a shift by the whole tensor's maximum starves the small row
    logits = torch.tensor([[0.0, 1.0], [500.0, 501.0]])
    got = as_tensor(
        call(answer, logits.clone(), given="one row near 0 and one near 500"), "one row near 0 and one near 500"
    )
    perhaps = "Perhaps you subtracted the largest entry of the whole tensor: every row needs its own."
    expect(
        bool(torch.isfinite(got).all()),
        f"Given one row near 0 and one near 500, probabilities were expected, but got nan. {perhaps}",
    )
    expect_close(got, logits.double().softmax(dim=-1), "one row near 0 and one near 500", 1e-4, perhaps)


@exercise("3.3")
def postprocess(answer):
    import torch
    from transformers import TextClassificationPipeline

    generator = torch.Generator().manual_seed(1)
    cases = []
    for classes, top_k in ((8, 3), (8, None), (8, 1), (3, 20), (5, 5)):
        cases.append(
            (torch.randn(classes, generator=generator) * 2 - 3, {i: f"class {i}" for i in range(classes)}, top_k)
        )
    cases.append((torch.tensor([0.0, 2.0]), {0: "no", 1: "yes"}, 1))
    for logits, id2label, top_k in cases:
        given = f"{len(logits)} logits and top_k={top_k}"
        got = call(answer, logits.clone(), dict(id2label), top_k, given=given)
        expect(isinstance(got, list), f"Given {given}, a list was expected, but got {describe(got)}.")
        wanted = _pipelines_own(TextClassificationPipeline, logits, id2label, top_k)
        expect(len(got) == len(wanted), f"Given {given}, {len(wanted)} entries were expected, but got {len(got)}.")
        for one in got:
            fields = isinstance(one, dict) and set(one) == {"label", "score"}
            expect(
                fields,
                f"Given {given}, dictionaries with exactly the keys label and score "
                f"were expected, but got {describe(one)}.",
            )
            name = isinstance(one["label"], str)
            expect(
                name, f"Given {given}, each label must be a name out of id2label, but one is {describe(one['label'])}."
            )
            number = isinstance(one["score"], float)
            expect(number, f"Given {given}, each score must be a Python float, but one is {describe(one['score'])}.")
        scores = [one["score"] for one in got]
        expect(
            scores == sorted(scores, reverse=True),
            f"Given {given}, the most probable must come first. Perhaps you sorted the other way, or not.",
        )
        perhaps = ""
        if abs(scores[0] - float(logits.max())) < 1e-4:
            perhaps = " Perhaps your scores are still logits."
        elif top_k and top_k < len(logits) and abs(sum(scores) - 1) < 1e-4:
            perhaps = " Perhaps you took the best first and the softmax afterwards: it must see all classes."
        elif abs(scores[0] - float(logits.sigmoid().max())) < 1e-4:
            perhaps = " Perhaps you used the sigmoid, which looks at each class alone."
        elif all((logits.softmax(dim=-1) - score).abs().min() < 1e-5 for score in scores):
            perhaps = (
                " They belong to other classes than the most probable: perhaps you did not sort, or the other way."
            )
        # float32 softmax: about 1e-7
        close = all(abs(one["score"] - two["score"]) < 1e-5 for one, two in zip(got, wanted, strict=True))
        expect(close, f"Given {given}, the probabilities differ from the pipeline's.{perhaps}")
        same = all(one["label"] == two["label"] for one, two in zip(got, wanted, strict=True))
        expect(same, f"Given {given}, the probabilities are right, but they carry the wrong names.")


def _pipelines_own(pipeline_class, logits, id2label, top_k):
    """What the library's own postprocess makes of these logits; it needs only a config."""
    from types import SimpleNamespace

    config = SimpleNamespace(problem_type="single_label_classification", num_labels=len(logits), id2label=id2label)
    stand_in = SimpleNamespace(model=SimpleNamespace(config=config))
    return pipeline_class.postprocess(stand_in, {"logits": logits[None]}, top_k=top_k, _legacy=False)


@exercise("3.4")
def mean_pool(answer):
    import torch

    generator = torch.Generator().manual_seed(2)
    cases = [(torch.tensor([[[2.0], [4.0], [9.0]]]), torch.tensor([[1, 1, 0]]))]
    for batch, tokens, width in ((4, 7, 5), (1, 1, 3), (3, 3, 3), (5, 12, 2)):
        hidden = (
            torch.randn(batch, tokens, width, generator=generator) + 1
        )  # padding holds numbers too, as a model's output does
        real = torch.randint(1, tokens + 1, (batch, 1), generator=generator)
        mask = (torch.arange(tokens)[None] < real).long()
        cases += [(hidden, mask), (hidden, mask.flip(1))]
    for hidden, mask in cases:
        given = f"hidden states of shape {tuple(hidden.shape)} with {mask.sum(dim=1).tolist()} real tokens"
        got = call(answer, hidden.clone(), mask.clone(), given=given)
        expect_shape(
            got,
            (hidden.shape[0], hidden.shape[2]),
            given,
            "Perhaps you averaged over another dimension than the tokens.",
        )
        wide, value = hidden.double(), as_tensor(got, given)
        kept = wide * mask[..., None]
        wanted = kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        perhaps = ""
        if not torch.allclose(value, wanted, atol=1e-5):
            count = mask.sum()
            if torch.allclose(value, wide.mean(dim=1), atol=1e-5):
                perhaps = "Perhaps you averaged over all tokens, padding included."
            elif torch.allclose(value, kept.mean(dim=1), atol=1e-5):
                perhaps = "Perhaps you set the padding to zero, but still divided by the number of all tokens."
            elif torch.allclose(value, kept.sum(dim=1) / count, atol=1e-5):
                perhaps = "Perhaps you divided by the real tokens of the whole batch: each text has its own number."
            elif torch.allclose(value, kept.sum(dim=1), atol=1e-5):
                perhaps = "Perhaps you did not divide."
            elif torch.allclose(value, wide[:, 0], atol=1e-5):
                perhaps = "Perhaps you took the first token only."
            elif not torch.equal(mask, mask.sort(dim=1, descending=True).values):
                perhaps = (
                    "Here the padding stands on the left: perhaps you cut the first "
                    "tokens off instead of asking the mask."
                )
        expect_close(got, wanted, given, 1e-5, perhaps)  # float32 means over a dozen numbers agree to about 1e-7


@exercise("3.5")
def cut_windows(answer):
    import random

    dealer = random.Random(3)
    cases = [
        (list(range(1, 10)), 5, 2),
        ([1, 2, 3, 4, 5, 6], 4, 2),
        ([], 4, 2),
        ([5], 4, 2),
        (list(range(8)), 4, 0),
        (list(range(4)), 4, 2),
        (list(range(9)), 3, 2),
    ]
    for _ in range(40):
        size = dealer.randint(2, 12)
        cases.append(
            ([dealer.randint(1000, 20000) for _ in range(dealer.randint(0, 50))], size, dealer.randint(0, size - 1))
        )
    for ids, size, overlap in cases:
        given = f"{len(ids)} ids, size={size} and overlap={overlap}"
        got = call(answer, list(ids), size, overlap, given=given)
        nested = isinstance(got, list | tuple) and all(isinstance(window, list | tuple) for window in got)
        expect(nested, f"Given {given}, a list of lists was expected, but got {describe(got)}.")
        got = [list(window) for window in got]
        if not ids:
            expect(got == [[]], f"Given {given}, one empty window [[]] was expected, but got {describe(got)}.")
            continue
        expect(got, f"Given {given}, at least one window was expected, but got none.")
        longest = max(map(len, got))
        expect(longest <= size, f"Given {given}, no window may be longer than {size}, but one has {longest} ids.")
        expect(got[0] == ids[: len(got[0])], f"Given {given}, the first window must begin at the first id.")
        for before, after in zip(got, got[1:], strict=False):
            shared = before[len(before) - overlap :] == after[:overlap]
            message = f"Given {given}, each window must begin with the last {overlap} ids of the one before."
            expect(shared, f"{message} Perhaps you took the overlap for the step.")
        joined = got[0] + [number for window in got[1:] for number in window[overlap:]]
        useless = joined == ids and len(got) > 1 and len(got[-1]) <= overlap
        ended = "the text had already ended."
        expect(not useless, f"Given {given}, your last window holds nothing that the one before doesn't: {ended}")
        expect(
            joined == ids,
            f"Given {given}, every id must be in a window: without the overlaps, "
            f"{len(joined)} of {len(ids)} ids came out.",
        )
        expect(
            got == _tokenizers_own(ids, size, overlap),
            f"Given {given}, every window but the last must be full, as the tokenizer's are.",
        )


def _tokenizers_own(ids, size, overlap):
    """The same windows by the library: each id becomes a word of a tokenizer that knows exactly those words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {str(number): number for number in set(ids)}
    tokenizer = Tokenizer(models.WordLevel({**words, "[UNK]": max(ids) + 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_truncation(max_length=size, stride=overlap)
    whole = tokenizer.encode(" ".join(map(str, ids)))
    return [whole.ids, *(piece.ids for piece in whole.overflowing)]


@exercise("3.6")
def best_span(answer):
    import torch

    generator = torch.Generator().manual_seed(4)
    example = ([9.0, 1.0, 5.0, 0.0], [0.0, 8.0, 2.0, 3.0], [False, True, True, True])
    cases = [(*map(torch.tensor, example), 2)]
    cases.append((torch.tensor([0.0, 4.0, 0.0]), torch.tensor([0.0, 0.0, 4.0]), torch.tensor([False, False, True]), 5))
    peaks = torch.tensor([0.0, 9.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.0, 9.0, 0.0])
    cases.append((*peaks, torch.ones(5, dtype=torch.bool), 3))  # the best span is exactly as long as allowed
    for tokens in (1, 5, 12, 30):
        for longest in (1, 3, tokens, 50):
            inside = torch.rand(tokens, generator=generator) < 0.7
            inside[int(torch.randint(tokens, (1,), generator=generator))] = True
            low = 20 * (longest % 2)  # sometimes all logits are negative: 0 is no floor
            logits = torch.randn(2, tokens, generator=generator) * 3 - low
            cases.append((logits[0], logits[1], inside, longest))
    for start_logits, end_logits, inside, longest in cases:
        tokens = len(inside)
        given = f"{tokens} tokens, {int(inside.sum())} of them inside, and longest={longest}"
        got = call(answer, start_logits.clone(), end_logits.clone(), inside.clone(), longest, given=given)
        pair = isinstance(got, tuple | list) and len(got) == 2
        expect(pair, f"Given {given}, a pair (start, end) was expected, but got {describe(got)}.")
        whole = all(
            not isinstance(one, float | bool) and (isinstance(one, int) or getattr(one, "ndim", 1) == 0) for one in got
        )
        expect(whole, f"Given {given}, two whole numbers were expected, but got {describe(got)}.")
        start, end = int(got[0]), int(got[1])
        expect(
            0 <= start < tokens and 0 <= end < tokens,
            f"Given {given}, places from 0 to {tokens - 1} were expected, but got {(start, end)}.",
        )
        backwards = "Perhaps you took the best start and the best end each by itself."
        expect(start <= end, f"Given {given}, your span {(start, end)} ends before it starts. {backwards}")
        outside = "Perhaps you set a score of 0 for what is outside: logits may all be negative."
        expect(
            inside[start] and inside[end],
            f"Given {given}, your span {(start, end)} has an end that is not inside the context. {outside}",
        )
        length = end - start + 1
        over = "Perhaps the count is off by one: both ends belong to the span."
        expect(length <= longest, f"Given {given}, your span {(start, end)} has {length} tokens. {over}")
        best, its_length = _best_score(start_logits, end_logits, inside, longest)
        score = float(start_logits[start]) + float(end_logits[end])
        perhaps = (
            " Perhaps your spans may not reach the full length: end − start + 1 may equal longest."
            if its_length == longest
            else ""
        )
        # the reference adds in float64, so a tie within float32's rounding counts as right
        expect(
            score >= best - 1e-4,
            f"Given {given}, your span {(start, end)} is allowed, but another allowed one scores higher.{perhaps}",
        )


def _best_score(start_logits, end_logits, inside, longest):
    allowed = [i for i in range(len(inside)) if inside[i]]
    spans = [(i, j) for i in allowed for j in allowed if i <= j < i + longest]
    return max((float(start_logits[i]) + float(end_logits[j]), j - i + 1) for i, j in spans)
