"""Chapter 01: attention, its saturation, heads, prefix masks, reach, the loss of a decoder, greedy generation."""

from functools import partial

import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from labs_utils.exercises.vocabulary import Trial, exercise, expect


def mixed(query, key, value, mask, power=0.5, dim=-1, closed=None, kept=lambda weights, mask: weights):
    """Attention, where `closed` says what the mask does to the scores and `kept` what it does to the weights."""
    scores = query @ key.T / query.shape[-1] ** power
    scores = closed(scores, mask) if closed else scores.masked_fill(~mask, float("-inf"))
    return kept(scores.softmax(dim), mask) @ value


def left_open(scores, mask):
    return scores


def attention_cases(generator):
    """(query, key, value, mask): first those with usual scores, then very low ones, then very large ones."""
    for tokens, width, mask in ((3, 4, "itself"), (5, 8, "past"), (6, 64, ""), (4, 2, ""), (1, 2, "itself")):
        some = torch.rand(tokens, tokens, generator=generator) < 0.5
        some[torch.arange(tokens), torch.arange(tokens).roll(1)] = True  # no row is empty, the diagonal has holes
        some = {"itself": torch.eye(tokens).bool(), "past": torch.ones(tokens, tokens).tril().bool()}.get(mask, some)
        yield *torch.randn(3, tokens, width, generator=generator), some
    # whole numbers and a width of 16: every way of computing these scores is exact, so the tolerance can stay
    query, key, value = torch.randint(-5, 6, (3, 7, 16), generator=generator).float()
    low_query, low_key, near = query.clone(), key.clone(), torch.ones(7, 7).tril(1).triu(-1).bool()
    low_query[:, 0], low_key[:, 0] = 400, -200  # scores of about −20,000: below those that some fill in
    yield low_query, low_key, value, near
    yield query * 20, key, value, near


@exercise(
    "1.1",
    mistakes=[
        ("Perhaps the mask is not used.", partial(mixed, closed=left_open)),
        (
            "Perhaps you gave forbidden scores a number, such as 0 or −100: the softmax may give those a share.",
            partial(mixed, closed=lambda scores, mask: scores * mask),
        ),
        (
            "Perhaps you masked after the softmax: then a row no longer sums to 1.",
            partial(mixed, closed=left_open, kept=lambda weights, mask: weights * mask),
        ),
        ("Perhaps you did not divide by the root of the width.", partial(mixed, power=0)),
        ("Perhaps you divided by the width, not by its root.", partial(mixed, power=1)),
        (
            "Perhaps you forbade what the mask allows.",
            partial(mixed, closed=lambda scores, mask: scores.masked_fill(mask, float("-inf"))),
        ),
        ("Perhaps the softmax runs over the wrong dimension.", partial(mixed, dim=0)),
        (
            "Perhaps you only lowered the forbidden scores: here they are so large that they win all the same.",
            partial(mixed, closed=lambda scores, mask: scores - 100.0 * ~mask),
        ),
        (
            "Perhaps you masked after the softmax and divided by what was left: here that is 0. Mask the scores.",
            partial(mixed, closed=left_open, kept=lambda some, mask: some * mask / (some * mask).sum(-1, keepdim=True)),
        ),
    ],
)
def attention(answer):
    for query, key, value, mask in attention_cases(torch.Generator().manual_seed(0)):
        low, high = (query @ key.T / query.shape[1] ** 0.5).aminmax()
        given = f"{len(mask)} tokens of width {query.shape[1]}, scores from {low:.0f} to {high:.0f}"
        trial = Trial(answer, query, key, value, mask, given=f"{given}, and {int(mask.sum())} allowed places")
        got = trial.tensor()
        wide = (part[None].double() for part in (query, key, value))
        expected = scaled_dot_product_attention(*wide, attn_mask=mask[None])[0]
        nothing_left = "There is nan in it. Perhaps the softmax ran over a row of scores in which nothing was left."
        # float32 sums of at most 64 products
        trial.close(got, expected, 1e-5, "your result is off by up to {off}", (nothing_left, got.isnan().any()))


def entropy(weights):
    return torch.special.entr(weights).sum(dim=-1)


@exercise(
    "1.2",
    mistakes=[
        ("Perhaps the exp is missing.", entropy),
        ("Perhaps the sign is wrong: the sum has a minus in front.", lambda weights: (-entropy(weights)).exp()),
        (
            "Perhaps you mixed logarithms: exp belongs to ln, not to log2.",
            lambda weights: (entropy(weights) / torch.tensor(2.0).log()).exp(),
        ),
        (
            "Perhaps you took 1 / Σ w²: a good measure, but another one.",
            lambda weights: 1 / weights.pow(2).sum(dim=-1),
        ),
        (
            "Perhaps 0 was multiplied with the logarithm of 0: that is nan.",
            lambda weights: (-(weights * weights.log()).sum(dim=-1)).exp(),
        ),
    ],
)
def effective_keys(answer):
    generator = torch.Generator().manual_seed(1)
    cases = [(torch.randn(*shape, generator=generator) * 3).softmax(-1) for shape in ((5, 7), (2, 3, 4, 9))]
    cases += [torch.full((4,), 0.25), torch.eye(4), torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.0, 0.8]])]
    for weights in cases:
        some = ", some of them 0" if (weights == 0).any() else ""
        trial = Trial(answer, weights, given=f"weights of shape {tuple(weights.shape)}{some}")
        got = trial.tensor(weights.shape[:-1], "One number per row: only the last dimension is summed.")
        # float32 logarithms of up to 9 keys; 1e-12 added inside is fine
        trial.close(got, entropy(weights.double()).exp(), 1e-4)


@exercise(
    "1.3",
    mistakes=[
        (
            "Perhaps the dimensions of heads and tokens still have to change places.",
            lambda states, heads: states.reshape(*states.shape[:2], heads, -1),
        ),
        (
            "Perhaps you reshaped straight to the final shape: that mixes columns of different tokens.",
            lambda states, heads: states.reshape(len(states), heads, states.shape[1], -1),
        ),
        (
            "Perhaps you dealt the columns out in turn: head 0 gets the first ones, in one piece.",
            lambda states, heads: states.reshape(*states.shape[:2], -1, heads).permute(0, 3, 1, 2),
        ),
        (
            "Perhaps you exchanged the last two dimensions.",
            lambda states, heads: states.reshape(*states.shape[:2], heads, -1).permute(0, 2, 3, 1),
        ),
    ],
)
def split_heads(answer):
    for batch, tokens, width, heads in ((2, 5, 12, 3), (1, 1, 4, 2), (3, 7, 8, 8), (2, 4, 6, 1), (2, 3, 384, 12)):
        states = torch.arange(batch * tokens * width).float().view(batch, tokens, width)
        trial, expected = Trial(answer, states, heads), torch.stack(states.chunk(heads, dim=-1), dim=1)
        trial.close(trial.tensor(), expected, 0, "the shape is right, but the numbers are in the wrong places")


def judge_mask(trial, expected, perhaps):
    """Whether the result is the boolean mask that was expected; `perhaps` says where other numbers come from."""
    got = trial.tensor(expected.shape)
    trial.expect(((got == 0) | (got == 1)).all(), "True and False were expected, but got other numbers", perhaps)
    kind = getattr(trial.result, "dtype", torch.bool)  # a nested list has none
    trial.expect(str(kind).endswith("bool"), f"a boolean result was expected, but its dtype is {kind}")
    wrong = int((got != expected).sum())
    trial.equal(got, expected, f"{wrong} of {got.numel()} places are wrong")


def prefixed(prefixes, size, more: int = 0, past: bool = True):
    """A prefix mask for each example; the options are ways of getting it wrong."""
    masks = (torch.ones(len(prefixes), size, size) * past).tril().bool()
    for mask, prefix in zip(masks, prefixes.tolist(), strict=True):
        mask[: prefix + more, : prefix + more] = True
    return masks


@exercise(
    "1.4",
    mistakes=[
        ("Perhaps the prefixes are not used.", lambda prefixes, size: prefixed(prefixes * 0, size)),
        ("Perhaps rows and columns are exchanged.", lambda prefixes, size: prefixed(prefixes, size).transpose(1, 2)),
        ("Perhaps it is turned round: True means that the row may look.", lambda *given: ~prefixed(*given)),
        (
            "Perhaps you took the first example's prefix for all.",
            lambda prefixes, size: prefixed(prefixes[:1].expand_as(prefixes), size),
        ),
        ("Perhaps the prefix is one too long: a prefix of 2 is the columns 0 and 1.", partial(prefixed, more=1)),
        (
            "Perhaps the causal part is missing: behind the prefix every token sees its past and itself.",
            partial(prefixed, past=False),
        ),
        (
            "Perhaps rows behind the prefix see nothing else: they see their past and themselves, too.",
            lambda prefixes, size: (torch.arange(size) < prefixes[:, None, None]).expand(-1, size, -1),
        ),
    ],
)
def prefix_masks(answer):
    for prefixes, size in (([2, 0, 3], 4), ([0, 2], 2), ([3], 8), ([0, 1, 5, 2, 4], 5), ([2, 2], 3), ([1], 1)):
        trial = Trial(answer, torch.tensor(prefixes), size)
        judge_mask(trial, prefixed(*trial.inputs), "Perhaps you made an additive mask.")


def reached(mask, layers, itself: bool = True, more: int = 0):
    """Who is reached in so many layers; the options are ways of getting it wrong."""
    known = torch.eye(len(mask)).bool()
    step = mask | known & itself
    for _ in range(layers + more):
        known = (step[:, :, None] & known[None, :, :]).any(dim=1)
    return known


@exercise(
    "1.5",
    mistakes=[
        ("Perhaps you stopped after one layer.", lambda mask, layers: reached(mask, 1)),
        ("Perhaps the residual connection is missing: every token keeps its own news.", partial(reached, itself=False)),
        ("Perhaps you went through one layer too many.", partial(reached, more=1)),
        ("Perhaps you went through one layer too few.", partial(reached, more=-1)),
        ("Perhaps rows and columns are exchanged.", lambda mask, layers: reached(mask, layers).T),
    ],
)
def reach(answer):
    generator = torch.Generator().manual_seed(3)
    window = torch.ones(6, 6).tril().triu(-1).bool()
    cases = [(window, 3), (window[:4, :4], 2), (window, 1), (torch.ones(5, 5).tril().bool(), 4)]
    cases += [(torch.rand(8, 8, generator=generator) < 0.18, layers) for layers in (2, 1, 3, 12, 0)]
    for mask, layers in cases:
        blind = int((~mask.diagonal()).sum())
        but = f" ({blind} tokens don't see themselves)" if blind else ""
        trial = Trial(answer, mask, layers, given=f"a mask of {len(mask)} tokens and {layers} layers{but}")
        judge_mask(trial, reached(mask, layers), "Perhaps you counted the ways.")


def next_token_loss(logits, labels, ahead: int = 1, over: str = "counted"):
    """The loss where position i predicts label i + `ahead`: summed, or a mean over other things."""
    after, before = max(ahead, 0), max(-ahead, 0)
    labels, logits = labels[:, after : labels.shape[1] - before], logits[:, before : labels.shape[1] - after]
    each = cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # 0 where the label is -100
    if over == "examples":
        return (each.sum(dim=1) / (labels != -100).sum(dim=1)).mean()
    return each.sum() / {"counted": (labels != -100).sum(), "all": labels.numel(), "nothing": 1}[over]


@exercise(
    "1.6",
    mistakes=[
        ("Perhaps you did not shift: position i predicts label i + 1.", partial(next_token_loss, ahead=0)),
        ("Perhaps you shifted the other way.", partial(next_token_loss, ahead=-1)),
        ("Perhaps you shifted twice.", partial(next_token_loss, ahead=2)),
        ("Perhaps you divided by all positions, also those with −100.", partial(next_token_loss, over="all")),
        ("Perhaps you summed and did not divide.", partial(next_token_loss, over="nothing")),
        (
            "Perhaps you took the mean of each example first: examples differ in how much counts.",
            partial(next_token_loss, over="examples"),
        ),
    ],
)
def causal_loss(answer):
    from transformers.loss.loss_utils import ForCausalLMLoss

    generator = torch.Generator().manual_seed(4)
    cases = []
    for batch, tokens, size, share in ((3, 5, 11, 0), (1, 6, 20, 0), (4, 9, 30, 0.3), (2, 6, 3, 0.5)):
        labels = torch.randint(size, (batch, tokens), generator=generator)
        labels[torch.rand(batch, tokens, generator=generator) < share] = -100
        cases.append((torch.randn(batch, tokens, size, generator=generator) * 2, labels))
    cases.append((torch.zeros(1, 4, 8), torch.tensor([[1, 2, 3, 4]])))
    for logits, labels in cases:
        given = f"logits of shape {tuple(logits.shape)} and labels with {int((labels == -100).sum())} times −100"
        trial = Trial(answer, logits, labels, given=given)
        loss = trial.returns(torch.Tensor, "a scalar tensor")
        trial.shape(loss, (), "One number for the whole batch.")
        expected = ForCausalLMLoss(logits, labels, vocab_size=logits.shape[-1])
        trial.close(loss, expected, 1e-5, "your loss, {got}, is off by {off}")  # float32 mean of at most 36 terms


def written(next_logits, start, eos, limit, more=0, past=False, last=False) -> list[int]:
    """Greedy writing; the options are ways of getting it wrong."""
    new: list[int] = []
    while len(new) < limit + more and (past or new[-1:] != [eos]):
        new.append(int(next_logits([*start, *new][-1 if last else 0 :]).argmax()))
    return [*start, *new]


def one_after(ids):
    """Scores, all of them negative, of which the best is that of the last id plus 1."""
    return -(torch.arange(12) - (ids[-1] + 1)).abs().float() - 1


def whole_text(ids):
    """Scores that depend on every id so far."""
    return -(torch.arange(12) - (sum(ids) + len(ids)) % 12).abs().float()


def listening(rule, most: int = 1000):
    """`next_logits` by a rule, and the list of what it was asked; a loop without an end gets a complaint."""
    asked: list = []

    def next_logits(ids):
        asked.append(ids)
        expect(len(asked) <= most, f"Your loop asked for more than {most} new tokens and went on. Where does it stop?")
        return rule([int(one) for one in ids])

    return next_logits, asked


EOS_IN_START = "An eos in start does not end the text: only one that you wrote does."


@exercise(
    "1.7",
    mistakes=[
        ("Perhaps you left out the start.", lambda ask, start, *rest: written(ask, start, *rest)[len(start) :]),
        (
            "Perhaps the eos is missing at the end: it belongs to the text.",
            lambda ask, start, eos, limit: [one for one in written(ask, start, eos, limit) if one != eos],
        ),
        ("Perhaps you go on after eos.", partial(written, past=True)),
        ("Perhaps the limit is off by one.", partial(written, more=1)),
        ("Perhaps the limit is off by one.", partial(written, more=-1)),
        (
            "Perhaps the limit counts the start, too: it is for new tokens.",
            lambda ask, start, eos, limit: written(ask, start, eos, limit - len(start)),
        ),
        ("Perhaps next_logits got the last id only: it wants the whole list.", partial(written, last=True)),
        (EOS_IN_START, lambda ask, start, eos, limit: written(ask, start, eos, 0 if eos in start else limit)),
        (EOS_IN_START, lambda ask, start, eos, limit: written(ask, start, eos, min(limit, 1 if eos in start else 99))),
    ],
)
def greedy(answer):
    cases = [(one_after, [3], 6, 10), (one_after, [2, 3], 0, 5), (one_after, [3], 6, 2), (one_after, [3], 6, 3)]
    cases += [(one_after, [3], 6, 0), (one_after, [2, 6], 6, 9), (whole_text, [1, 4], 11, 6)]
    cases += [(whole_text, [5], 3, 8), (whole_text, [2, 2, 9], 7, 12)]
    for rule, start, eos, limit in cases:
        next_logits, asked = listening(rule)
        trial = Trial(answer, next_logits, start, eos, limit, given=f"start={start}, eos={eos} and limit={limit}")
        times, expected = len(asked), written(rule, start, eos, limit)
        got, needed = trial.returns(list, "a list of ids", of=int), len(expected) - len(start)
        trial.equal(got, expected, f"a list of {len(expected)} ids was expected, but got {{got}}")
        trial.expect(times <= needed, f"next_logits was called {times} times for {needed} new tokens")
