"""Chapter 01: attention, its saturation, heads, prefix masks, reach, the loss of a decoder, greedy generation."""

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


@exercise("1.1")
def attention(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    for tokens, width, kind in (
        (3, 4, "eye"),
        (5, 8, "causal"),
        (6, 64, "random"),
        (4, 1, "random"),
        (7, 16, "sharp"),
        (1, 2, "eye"),
    ):
        query, key, value = torch.randn(3, tokens, width, generator=generator)
        if kind == "sharp":
            query = query * 200  # large scores: a mask that only subtracts a hundred leaks
        mask = torch.eye(tokens, dtype=torch.bool)
        if kind == "causal":
            mask = torch.ones(tokens, tokens, dtype=torch.bool).tril()
        elif kind in ("random", "sharp"):
            mask = torch.rand(tokens, tokens, generator=generator) < 0.5
            mask[torch.arange(tokens), torch.arange(tokens).roll(1)] = (
                True  # no row is empty; not every token sees itself
            )
        given = f"{tokens} tokens of width {width} and a mask with {int(mask.sum())} allowed places"
        mixed = call(answer, query.clone(), key.clone(), value.clone(), mask.clone(), given=given)
        expect_shape(mixed, (tokens, width), given)
        wanted = torch.nn.functional.scaled_dot_product_attention(
            query[None], key[None], value[None], attn_mask=mask[None]
        )[0]
        got, perhaps = as_tensor(mixed, given), ""
        for sentence, other in _slips(query, key, value, mask):
            if got.isnan().any():
                perhaps = (
                    "There is nan in it: perhaps a whole row was forbidden, or the mask was read the wrong way round."
                )
            elif (got - other).abs().max() < 1e-4 < (wanted - other).abs().max():
                perhaps = sentence
        # float32 sums of at most 64 products, with scores up to a thousand in the sharp case
        expect_close(mixed, wanted, given, 1e-3 if kind == "sharp" else 1e-5, perhaps)


def _slips(query, key, value, mask):
    """(what the learner may have done, what comes out of it) for attention."""
    query, key, value = query.double(), key.double(), value.double()
    scores = query @ key.T / query.shape[-1] ** 0.5
    closed = scores.masked_fill(~mask, float("-inf"))
    return (
        ("Perhaps the mask is not used.", scores.softmax(-1) @ value),
        (
            "Perhaps you set forbidden scores to 0: the softmax still gives those a share.",
            (scores * mask).softmax(-1) @ value,
        ),
        ("Perhaps you masked after the softmax: then a row no longer sums to 1.", (scores.softmax(-1) * mask) @ value),
        ("Perhaps you did not divide by the root of the width.", (closed * query.shape[-1] ** 0.5).softmax(-1) @ value),
        ("Perhaps you divided by the width, not by its root.", (closed / query.shape[-1] ** 0.5).softmax(-1) @ value),
        (
            "Perhaps you forbade what the mask allows.",
            scores.masked_fill(mask, float("-inf")).softmax(-1).nan_to_num() @ value,
        ),
        ("Perhaps the softmax runs over the wrong dimension.", closed.softmax(0).nan_to_num() @ value),
    )


@exercise("1.2")
def effective_keys(answer):
    import torch

    generator = torch.Generator().manual_seed(1)
    cases = [torch.full((4,), 0.25), torch.randn(5, 7, generator=generator).softmax(-1)]
    cases += [
        (torch.randn(2, 3, 4, 9, generator=generator) * 3).softmax(-1),
        torch.eye(4),
        torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.0, 0.8]]),
    ]
    for weights in cases:
        given = f"weights of shape {tuple(weights.shape)}" + (", some of them 0" if (weights == 0).any() else "")
        count = call(answer, weights.clone(), given=given)
        entropy = torch.special.entr(weights.double()).sum(dim=-1)
        got = as_tensor(count, given)
        expect_shape(got, tuple(entropy.shape), given, "One number per row: only the last dimension is summed.")
        expect(
            not got.isnan().any(),
            f"Given {given}, your result has nan in it. Perhaps 0 was multiplied with the logarithm of 0.",
        )
        perhaps = ""
        for sentence, other in (
            ("Perhaps the exp is missing.", entropy),
            ("Perhaps the sign is wrong: the sum has a minus in front.", (-entropy).exp()),
            (
                "Perhaps you mixed logarithms: exp belongs to ln, not to log2.",
                (entropy / torch.log(torch.tensor(2.0))).exp(),
            ),
            ("Perhaps you took 1 / Σ w²: a good measure, but another one.", 1 / weights.double().pow(2).sum(-1)),
        ):
            if torch.allclose(got, other, atol=1e-4) and not torch.allclose(entropy.exp(), other, atol=1e-3):
                perhaps = sentence
        expect_close(
            got, entropy.exp(), given, 1e-4, perhaps
        )  # float32 logarithms of up to 9 keys; 1e-12 added inside is fine


@exercise("1.3")
def split_heads(answer):
    import torch

    for batch, tokens, width, heads in ((1, 1, 4, 2), (2, 5, 12, 3), (3, 7, 8, 8), (2, 4, 6, 1), (2, 3, 384, 12)):
        states = torch.arange(batch * tokens * width, dtype=torch.float32).view(batch, tokens, width)
        given = f"states of shape {(batch, tokens, width)} and {heads} heads"
        parts = call(answer, states.clone(), heads, given=given)
        shape = (batch, heads, tokens, width // heads)
        expect_shape(parts, shape, given, "Perhaps the dimensions of heads and tokens still have to change places.")
        step = width // heads
        wanted = torch.stack([states[..., head * step : (head + 1) * step] for head in range(heads)], dim=1)
        got, perhaps = as_tensor(parts, given), ""
        if torch.equal(got, states.reshape(shape).double()):
            perhaps = "Perhaps you reshaped straight to the final shape: that mixes columns of different tokens."
        elif torch.equal(got, states.view(batch, tokens, step, heads).permute(0, 3, 1, 2).double()):
            perhaps = "Perhaps you dealt the columns out in turn: head 0 gets the first ones, in one piece."
        expect(
            torch.equal(got, wanted.double()),
            f"Given {given}, the shape is right, but the numbers are in the wrong places. {perhaps}".strip(),
        )


@exercise("1.4")
def prefix_masks(answer):
    import torch

    for prefixes, size in (([2, 0, 3], 4), ([0, 2], 2), ([3], 8), ([0, 1, 5, 2, 4], 5), ([2, 2], 3), ([1], 1)):
        given = f"prefixes {prefixes} and size {size}"
        masks = call(answer, torch.tensor(prefixes), size, given=given)
        got = as_tensor(masks, given)
        expect_shape(got, (len(prefixes), size, size), given)
        plain = bool(((got == 0) | (got == 1)).all())
        expect(
            plain,
            f"Given {given}, True and False (or 1 and 0) were expected, but there are other numbers. Perhaps "
            f"you made an additive mask.",
        )
        wanted = torch.ones(size, size).tril().expand(len(prefixes), size, size).clone()
        for mask, prefix in zip(wanted, prefixes, strict=True):
            mask[:prefix, :prefix] = 1
        one_for_all = wanted[:1].expand_as(wanted)
        columns = torch.arange(size)[None, None, :].expand_as(wanted)
        lengths = torch.tensor(prefixes)[:, None, None]
        slips = (
            ("Perhaps the prefixes are not used.", torch.ones(size, size).tril().expand_as(wanted)),
            ("Perhaps rows and columns are exchanged.", wanted.transpose(1, 2)),
            ("Perhaps it is turned round: True means that the row may look.", 1 - wanted),
            ("Perhaps you took the first example's prefix for all.", one_for_all),
            (
                "Perhaps the prefix is one too long: a prefix of 2 is the columns 0 and 1.",
                torch.maximum(wanted, (columns <= lengths).float()),
            ),
            (
                "Perhaps the causal part is missing: behind the prefix every token sees its past and itself.",
                (columns < lengths).float(),
            ),
        )
        perhaps = next(
            (text for text, other in slips if torch.equal(got, other.double()) and not torch.equal(other, wanted)), ""
        )
        wrong = int((got != wanted).sum())
        expect(wrong == 0, f"Given {given}, {wrong} of {got.numel()} places are wrong. {perhaps}".strip())


@exercise("1.5")
def reach(answer):
    import torch

    generator = torch.Generator().manual_seed(3)
    window = torch.ones(6, 6).tril().triu(-1).bool()
    cases = [(window[:4, :4], 2), (window, 1), (window, 3), (window, 0), (torch.ones(5, 5).tril().bool(), 4)]
    cases += [
        (torch.rand(8, 8, generator=generator) < 0.18, layers) for layers in (1, 2, 3, 12)
    ]  # asymmetric, diagonal often False
    for mask, layers in cases:
        missing = int((~mask.diagonal()).sum())
        given = f"a mask of {len(mask)} tokens and {layers} layers" + (
            f" ({missing} tokens don't see themselves)" if missing else ""
        )
        result = call(answer, mask.clone(), layers, given=given)
        got = as_tensor(result, given)
        expect_shape(got, tuple(mask.shape), given)
        plain = bool(((got == 0) | (got == 1)).all())
        expect(
            plain,
            f"Given {given}, True and False were expected, but there are other numbers. Perhaps you counted the ways.",
        )
        step = mask | torch.eye(len(mask), dtype=torch.bool)
        wanted = _walk(step, layers)
        perhaps = ""
        if layers != 1 and torch.equal(got.bool(), step):
            perhaps = "Perhaps you stopped after one layer."
        elif torch.equal(got.bool(), _walk(mask, layers)) or torch.equal(got.bool(), mask):
            perhaps = "Perhaps the residual connection is missing: every token keeps its own news."
        elif torch.equal(got.bool(), _walk(step, layers + 1)) or torch.equal(
            got.bool(), _walk(step, max(layers - 1, 0))
        ):
            perhaps = "Perhaps you are one layer off."
        elif torch.equal(got.bool(), wanted.T):
            perhaps = "Perhaps rows and columns are exchanged."
        wrong = int((got.bool() != wanted).sum())
        expect(wrong == 0, f"Given {given}, {wrong} of {got.numel()} places are wrong. {perhaps}".strip())


def _walk(step, layers: int):
    """Who is reached in exactly so many steps."""
    import torch

    known = torch.eye(len(step), dtype=torch.bool)
    for _ in range(layers):
        known = (step[:, :, None] & known[None, :, :]).any(dim=1)
    return known


@exercise("1.6")
def causal_loss(answer):
    import torch
    from torch.nn.functional import cross_entropy
    from transformers.loss.loss_utils import ForCausalLMLoss

    generator = torch.Generator().manual_seed(4)
    cases = [(torch.zeros(1, 4, 8), torch.tensor([[1, 2, 3, 4]]))]
    for batch, tokens, size, ignored in ((1, 6, 20, 0), (3, 5, 11, 0), (4, 9, 30, 3), (2, 2, 3, 1)):
        labels = torch.randint(size, (batch, tokens), generator=generator)
        for row in range(batch):
            labels[row, : ignored * (row + 1) // batch] = -100  # prefixes of different length: means of means differ
        cases.append((torch.randn(batch, tokens, size, generator=generator) * 2, labels))
    for logits, labels in cases:
        given = f"logits of shape {tuple(logits.shape)} and labels with {int((labels == -100).sum())} times −100"
        loss = call(answer, logits.clone(), labels.clone(), given=given)
        got = as_tensor(loss, given)
        expect_shape(got, (), given, "One number for the whole batch.")
        size = logits.shape[-1]
        wanted = ForCausalLMLoss(logits, labels, vocab_size=size)
        each = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="none").view(
            len(logits), -1
        )
        counted = (labels[:, 1:] != -100).float()
        slips = [
            (
                "Perhaps you did not shift: position i predicts label i + 1.",
                cross_entropy(logits.flatten(0, 1), labels.flatten()),
            ),
            (
                "Perhaps you shifted the other way.",
                cross_entropy(logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten()),
            ),
            ("Perhaps you divided by all positions, also those with −100.", each.mean()),
            ("Perhaps you summed and did not divide.", each.sum()),
            (
                "Perhaps you took the mean of each example first: examples differ in how much counts.",
                (each.sum(1) / counted.sum(1)).mean(),
            ),
        ]
        if labels.shape[1] > 2:
            slips.append(
                ("Perhaps you shifted twice.", cross_entropy(logits[:, :-2].flatten(0, 1), labels[:, 2:].flatten()))
            )
        perhaps = next((text for text, other in slips if abs(got - other) < 1e-5 < abs(wanted - other)), "")
        if got.isnan():
            perhaps = "Your result is nan."
        expect_close(got, wanted, given, 1e-5, perhaps)  # float32 mean of at most 36 terms


@exercise("1.7")
def greedy(answer):
    import torch

    def plus_one(ids):
        return -(torch.arange(12) - (ids[-1] + 1)).abs().float() - 1  # all negative; the best is the last id plus 1

    def whole_text(ids):
        return -(torch.arange(12) - (sum(ids) + len(ids)) % 12).abs().float()  # depends on every id so far

    cases = [
        (plus_one, [3], 6, 10),
        (plus_one, [3], 0, 5),
        (plus_one, [3], 6, 2),
        (plus_one, [3], 6, 3),
        (plus_one, [3], 6, 0),
        (plus_one, [6, 2], 6, 9),
    ]
    cases += [(whole_text, [1, 4], 11, 6), (whole_text, [5], 3, 8), (whole_text, [2, 2, 9], 7, 12)]
    for rule, start, eos, limit in cases:
        given = f"start {start}, eos {eos}, limit {limit}"
        wanted = list(start)
        while len(wanted) < len(start) + limit:
            wanted.append(int(rule(wanted).argmax()))
            if wanted[-1] == eos:
                break
        calls = []

        def next_logits(ids, rule=rule, calls=calls, limit=limit, given=given):
            if len(calls) > limit + 3:
                raise CheckFailed(
                    f"Given {given}, your loop asked for {len(calls)} new tokens and went on. Where does it stop?"
                )
            calls.append(len(ids))
            return rule([int(one) for one in ids])

        own = list(start)
        written = call(answer, next_logits, own, eos, limit, given=given)
        expect(own == start, f"Given {given}, your function changed start itself to {own}. Work on a copy.")
        expect(
            isinstance(written, list | tuple) or hasattr(written, "tolist"),
            f"Given {given}, a list was expected, but got {describe(written)}.",
        )
        ids = written.tolist() if hasattr(written, "tolist") else list(written)
        whole = all(isinstance(one, int) or (hasattr(one, "numel") and one.numel() == 1) for one in ids)
        expect(whole, f"Given {given}, a list of ids was expected, but got {describe(written)}.")
        ids = [int(one) for one in ids]
        perhaps = ""
        if ids == wanted[len(start) :]:
            perhaps = "Perhaps you left out the start."
        elif ids == wanted[:-1] and wanted[-1] == eos:
            perhaps = "Perhaps the eos is missing at the end: it belongs to the text."
        elif len(ids) > len(wanted) and eos in wanted[len(start) :]:
            perhaps = "Perhaps you go on after eos."
        elif len(ids) < len(wanted) and eos in start:
            perhaps = "Perhaps an eos inside the start stopped you: only a new one does."
        elif len(ids) > len(start) + limit:
            perhaps = "Perhaps the limit is off by one."
        elif len(ids) < len(wanted):
            perhaps = "Perhaps the limit counts the start, too: it is for new tokens."
        elif calls and max(calls) <= 1 < len(wanted) - 1:
            perhaps = "Perhaps next_logits got the last id only: it wants the whole list."
        message = f"Given {given}, a list of {len(wanted)} ids was expected, but got {describe(ids)}. {perhaps}".strip()
        expect(ids == wanted, message)
        needed = len(wanted) - len(start)
        expect(
            len(calls) <= needed, f"Given {given}, next_logits was called {len(calls)} times for {needed} new tokens."
        )
