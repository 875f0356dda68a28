"""Chapter 06: LayerNorm, the extended mask, heads, GELU, counting calls, chunks, BERT's masking and its losses."""

from labs_utils.exercises.core import as_tensor, call, describe, exercise, expect, expect_close, expect_shape


def _near(got, slips, wanted) -> str:
    """The sentence of the slip whose outcome `got` is, unless it is the right outcome too."""
    for sentence, other in slips:
        if other.shape == got.shape and (got - other).abs().max() < 1e-5 < (wanted - other).abs().max():
            return sentence
    return ""


@exercise("6.1")
def layer_norm(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    cases = [(torch.tensor([1.0, 3.0]), torch.ones(2), torch.zeros(2), 0.0)]
    for shape, eps in (((4, 8), 1e-12), ((2, 3, 6), 1e-5), ((5, 2), 0.5), ((2, 2, 2, 4), 1e-12)):
        x = torch.randn(*shape, generator=generator) * 3 + 2
        cases.append((x, *torch.randn(2, shape[-1], generator=generator), eps))
    for x, weight, bias, eps in cases:
        given = f"x of shape {tuple(x.shape)} and eps {eps:g}"
        result = call(answer, x.clone(), weight.clone(), bias.clone(), eps, given=given)
        expect_shape(result, tuple(x.shape), given, "The shape stays that of x; keepdim=True keeps the last dimension.")
        x, weight, bias = x.double(), weight.double(), bias.double()
        wanted = torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, eps)
        centred = x - x.mean(-1, keepdim=True)
        variance = x.var(-1, unbiased=False, keepdim=True)
        normal = centred / (variance + eps).sqrt()
        every = (x - x.mean()) / (x.var(unbiased=False) + eps).sqrt()
        slips = [
            (
                "Perhaps your variance divides by the width minus one (torch's default).",
                centred / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias,
            ),
            ("Perhaps you forgot the scale and the shift.", normal),
            ("Perhaps you forgot the shift (bias).", normal * weight),
            (
                "Perhaps you did not subtract the mean.",
                x / (variance + eps).sqrt() * weight + bias,
            ),
            ("Perhaps you divided by the variance, not by its root.", centred / (variance + eps) * weight + bias),
            ("Perhaps eps stands outside the root.", centred / (variance.sqrt() + eps) * weight + bias),
            ("Perhaps you normalised everything together: each vector has its own mean.", every * weight + bias),
        ]
        if x.ndim > 1:
            first = (x - x.mean(0)) / (x.var(0, unbiased=False) + eps).sqrt()
            slips.append(("Perhaps you normalised over the texts: that is BatchNorm.", first * weight + bias))
        # float32, values up to about 20, sums of at most 8 numbers
        expect_close(result, wanted, given, 1e-4, _near(as_tensor(result, given), slips, wanted))


@exercise("6.2")
def extended_mask(answer):
    import torch

    masks = [
        torch.tensor([[1, 1, 0]]),
        torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]),
        torch.tensor([[True, True, False], [True, False, False], [True, True, True]]),
        torch.tensor([[0, 0, 1, 1]]),  # padded on the left
        torch.ones(2, 5, dtype=torch.long),
    ]
    for mask in masks:
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            given = f"the mask {mask.int().tolist()} and {dtype}"
            result = call(answer, mask.clone(), dtype, given=given)
            expect(isinstance(result, torch.Tensor), f"Given {given}, a tensor was expected, got {describe(result)}.")
            texts, tokens = mask.shape
            kind = "" if result.dtype != torch.bool else " True and false can't be added to scores."
            expect(result.dtype == dtype, f"Given {given}, a tensor of {dtype} was expected, got {result.dtype}.{kind}")
            allowed = {(texts, 1, 1, tokens), (texts, 1, tokens, tokens)}
            expect(
                tuple(result.shape) in allowed,
                f"Given {given}, a shape that broadcasts over [texts, heads, queries, keys] was expected, such as "
                f"{(texts, 1, 1, tokens)}, but got {tuple(result.shape)}. The keys are the last dimension, the texts "
                "the first.",
            )
            expect(
                not result.isnan().any(), f"Given {given}, there is nan in your mask. Perhaps infinity met a factor 0."
            )
            expect(
                not result.isinf().any(),
                f"Given {given}, there is infinity in your mask: a row of nothing else becomes nan in the softmax. "
                "The lowest number of the type is finite.",
            )
            seen = mask.bool()[:, None, None, :].expand(texts, 1, result.shape[2], tokens)
            low = torch.finfo(dtype).min
            if (result[seen] == low).all() and (result[~seen] == 0).all():
                expect(
                    False,
                    f"Given {given}, what may be seen is forbidden. Perhaps you read the mask the wrong way round.",
                )
            expect(
                (result[seen] == 0).all(),
                f"Given {given}, keys that may be seen must get 0 (nothing is added to their score), but some did not.",
            )
            others = " Perhaps the number is that of another type, or the old −10,000."
            expect(
                (result[~seen] == low).all(),
                f"Given {given}, padded keys must get the lowest number of {dtype}.{others}",
            )


@exercise("6.3")
def head_shares(answer):
    import torch

    generator = torch.Generator().manual_seed(2)
    cases = [(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1), torch.tensor([[10.0, 1.0]]))]
    for texts, heads, tokens, size, width in ((2, 3, 4, 5, 15), (1, 4, 2, 2, 8), (3, 2, 5, 4, 6), (2, 1, 3, 4, 4)):
        context = torch.randn(texts, heads, tokens, size, generator=generator)
        cases.append((context, torch.randn(width, heads * size, generator=generator)))
    for context, weight in cases:
        texts, heads, tokens, size = context.shape
        given = f"context of shape {tuple(context.shape)} and weight of shape {tuple(weight.shape)}"
        result = call(answer, context.clone(), weight.clone(), given=given)
        whole = context.double().transpose(1, 2).reshape(texts, tokens, -1) @ weight.double().T
        got = as_tensor(result, given)
        if got.shape == whole.shape:
            expect(False, f"Given {given}, this is the sum over the heads already; keep one share for each head.")
        expect_shape(got, (texts, heads, tokens, len(weight)), given)
        parts = weight.double().view(-1, heads, size)
        wanted = torch.einsum("bhts,whs->bhtw", context.double(), parts)
        strided = weight.double().view(-1, size, heads)
        mixed = torch.einsum("bhts,wsh->bhtw", context.double(), strided)
        slips = [("Perhaps you took every third column or so: a head's columns stand next to each other.", mixed)]
        if len(weight) == heads * size:
            rows = torch.einsum("bhts,hsw->bhtw", context.double(), weight.double().view(heads, size, -1))
            slips.append(
                ("Perhaps you cut the rows: PyTorch keeps a weight as out × in, the heads are its columns.", rows)
            )
        # float32, sums of at most 5 products
        total = (got.sum(dim=1) - whole).abs().max()
        perhaps = _near(got, slips, wanted)
        if not perhaps and total > 1e-4:
            perhaps = "The sum over your heads is not what the dense layer gives."
        expect_close(got, wanted, given, 1e-4, perhaps)


@exercise("6.4")
def gelu(answer):
    import torch

    generator = torch.Generator().manual_seed(3)
    cases = [torch.tensor(1.0), torch.linspace(-6, 6, 49), torch.randn(2, 3, 4, generator=generator), torch.zeros(2)]
    for x in cases:
        for approximate in (False, True):
            given = f"x of shape {tuple(x.shape)} and approximate={approximate}"
            result = call(answer, x.clone(), approximate, given=given)
            expect_shape(result, tuple(x.shape), given)
            forms = [torch.nn.functional.gelu(x.double(), approximate=name) for name in ("none", "tanh")]
            wanted, other = (forms[1], forms[0]) if approximate else forms
            got, x64 = as_tensor(result, given), x.double()
            inner = (2 / torch.pi) ** 0.5 * (x64 + 0.044715 * x64**3)
            slips = [
                ("Perhaps the two forms are swapped, or one of them is never used.", other),
                ("Perhaps this is Φ(x) alone: x times it is still to come.", 0.5 * (1 + torch.erf(x64 / 2**0.5))),
                ("Perhaps you did not divide by the root of 2.", x64 * 0.5 * (1 + torch.erf(x64))),
                ("Perhaps a factor of one half is missing.", 2 * wanted),
                (
                    "Perhaps the root of 2/π multiplies x only.",
                    0.5 * x64 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * x64 + 0.044715 * x64**3)),
                ),
                (
                    "Perhaps it is the square where the cube should be.",
                    0.5 * x64 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x64 + 0.044715 * x64**2))),
                ),
                ("Perhaps this is ReLU.", x64.relu()),
                ("Perhaps this is tanh alone.", torch.tanh(inner)),
            ]
            # The two forms differ by up to 5e-4; float32 alone stays far below 1e-5 for |x| ≤ 6.
            expect_close(result, wanted, given, 1e-5, _near(got, slips, wanted))


@exercise("6.5")
def count_calls(answer):
    import torch
    from torch import nn

    class Thrice(nn.Module):
        """Calls one linear layer three times, and never calls another one."""

        def __init__(self):
            super().__init__()
            self.used, self.idle, self.norm = nn.Linear(2, 2), nn.Linear(2, 2), nn.LayerNorm(2)

        def forward(self, x):
            return self.norm(self.used(self.used(self.used(x))))

    class Wide(nn.Linear):
        """A kind of Linear."""

    plain = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    derived = nn.Sequential(Wide(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    ones = {"input": torch.ones(1, 2)}
    cases = [
        ("two linear layers and a ReLU", plain, nn.Linear, ones, 2),
        ("two linear layers and no Dropout", plain, nn.Dropout, ones, 0),
        (
            "a module that calls one linear layer three times, another never",
            Thrice(),
            nn.Linear,
            {"x": torch.ones(1, 2)},
            3,
        ),
        ("a linear layer and one of a subclass of it", derived, nn.Linear, ones, 2),
        ("a Sequential inside a Sequential", derived, nn.Sequential, ones, 2),
    ]
    for what, model, kind, inputs, wanted in cases:
        given = f"{what}, and the class {kind.__name__}"
        got = call(answer, model, kind, given=given, **inputs)
        left = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
        for module in model.modules():  # the check's own model: later cases start clean
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
        number = isinstance(got, int) and not isinstance(got, bool)
        expect(number, f"Given {given}, an integer was expected, but got {describe(got)}.")
        exist = sum(isinstance(module, kind) for module in model.modules())
        exact = sum(type(module) is kind for module in model.modules())
        perhaps = ""
        if isinstance(model, Thrice) and got == exist:
            perhaps = " Perhaps you counted the modules that exist, not their calls."
        elif isinstance(model, Thrice) and got == 1:
            perhaps = " Perhaps you counted each called module once."
        elif got == exact and exact != wanted:
            perhaps = " A subclass counts too: isinstance sees it, `type(...) is` doesn't."
        elif wanted and got == 2 * wanted:
            perhaps = " Perhaps the model ran twice, or each module got two hooks."
        expect(got == wanted, f"Given {given}, the count of calls is not {got}.{perhaps}")
        expect(
            not left, f"Given {given}, {left} of your hooks are still there after the call. Remove what you register."
        )


@exercise("6.6")
def in_chunks(answer):
    import torch

    generator = torch.Generator().manual_seed(4)
    linear = torch.nn.Linear(4, 3).requires_grad_(False)
    for shape, size, dim in (
        ((2, 5, 4), 2, 1),
        ((2, 6, 4), 3, 1),
        ((2, 5, 4), 0, 1),
        ((2, 5, 4), 8, 1),
        ((5, 3, 4), 2, 0),
        ((2, 3, 7, 4), 3, 2),
        ((2, 7, 4), 3, -2),
        ((1, 1, 4), 1, 1),
    ):
        x = torch.randn(*shape, generator=generator)
        given = f"x of shape {shape}, size {size} and dim {dim}"
        seen = []

        def function(run, seen=seen):
            seen.append(tuple(run.shape))
            return linear(run)

        result = call(answer, function, x.clone(), size, dim, given=given)
        length = x.shape[dim]
        wanted_lengths = [length] if size == 0 else [min(size, length - at) for at in range(0, length, size)]
        expect(seen, f"Given {given}, your function never called the function it was given.")
        lengths = [one[dim] for one in seen]
        perhaps = ""
        if sorted(lengths) != sorted(wanted_lengths):
            if sum(lengths) < length:
                perhaps = " Perhaps the last, shorter run is missing."
            elif size and len(lengths) == size:
                perhaps = " Perhaps you took the size for the number of chunks."
            elif lengths == [length]:
                perhaps = " It saw all of that dimension at once: perhaps nothing was cut, or another dimension."
            elif size == 0:
                perhaps = " 0 means one call with everything."
            else:
                perhaps = " Perhaps you cut another dimension, or made runs of equal length."
        expect(
            sorted(lengths) == sorted(wanted_lengths),
            f"Given {given}, the function should have seen runs of lengths {wanted_lengths} along that dimension, but "
            "saw "
            f"{lengths}.{perhaps}",
        )
        # one product of width 4 in float32, perhaps in another order
        expect_close(
            result,
            linear(x),
            given,
            1e-5,
            "Perhaps the runs were put together along another dimension, or in another order.",
        )


@exercise("6.7")
def rows_of_heads(answer):
    import torch

    for heads, size in (([2, 0], 2), ([0], 4), ([1, 3, 1], 3), ([5, 4, 3, 2, 1, 0], 1), ([11, 7], 32), ([], 3)):
        given = f"the heads {heads} and size {size}"
        result = call(answer, list(heads), size, given=given)
        expect(isinstance(result, torch.Tensor), f"Given {given}, a tensor was expected, but got {describe(result)}.")
        whole = not result.is_floating_point() and result.dtype != torch.bool
        if not heads and result.numel() == 0:
            continue  # no rows: the type of an empty tensor matters to nobody
        expect(whole, f"Given {given}, integers were expected (they are indices), but the tensor is {result.dtype}.")
        wanted = [row for head in sorted(set(heads)) for row in range(head * size, (head + 1) * size)]
        expect(
            result.ndim == 1,
            f"Given {given}, one dimension was expected, but the shape is {tuple(result.shape)}. Flatten it.",
        )
        got = result.tolist()
        perhaps = ""
        if got == sorted(set(heads)):
            perhaps = " These are the numbers of the heads; each has several rows."
        elif sorted(set(got)) == wanted and len(got) > len(wanted):
            perhaps = " A head that is named twice is kept once."
        elif sorted(got) == wanted:
            perhaps = " They are the right rows, in another order."
        elif got == [row for row in range(size * (max(heads, default=0) + 1)) if row not in wanted]:
            perhaps = " These are the rows of the heads that go."
        elif len(got) == len(wanted):
            perhaps = " As many as expected, but other ones: the rows of a head stand next to each other."
        expect(got == wanted, f"Given {given}, your rows {describe(got)} are not those of the heads.{perhaps}")


@exercise("6.8")
def mask_tokens(answer):
    import torch

    mask_id, vocab_size = 3, 5_000
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(10, vocab_size, (200, 400), generator=generator)
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = special[:, -1] = True
    special[:50, 200:] = True
    given = "200 texts of 400 random tokens, some of them special"
    mine = ids.clone()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result = call(answer, mine, special.clone(), mask_id, vocab_size, given=given)
        again = call(answer, ids.clone(), special.clone(), mask_id, vocab_size, given=given)
    two = isinstance(result, list | tuple) and len(result) == 2
    expect(two, f"Given {given}, two tensors were expected, inputs and labels, but got {describe(result)}.")
    for tensor, name in zip(result, ("inputs", "labels"), strict=True):
        whole = isinstance(tensor, torch.Tensor) and tensor.dtype == torch.long
        expect(whole, f"Given {given}, {name} must be a tensor of integers (long), but got {describe(tensor)}.")
        expect_shape(tensor, tuple(ids.shape), given)
    expect(torch.equal(mine, ids), f"Given {given}, your function changed `ids` itself. Work on a new tensor.")
    inputs, labels = result
    chosen = labels != -100
    expect(
        not (chosen & special).any(),
        f"Given {given}, special tokens were chosen too. Perhaps `special` is not used, or inverted.",
    )
    expect(chosen.any(), f"Given {given}, no token was chosen at all.")
    right = torch.equal(labels[chosen], ids[chosen])
    expect(
        right,
        f"Given {given}, labels must hold the **original** id where a token was chosen. Perhaps it was taken too late.",
    )
    same = torch.equal(inputs[~chosen], ids[~chosen])
    expect(same, f"Given {given}, tokens that were not chosen must stay as they are in inputs.")
    # 70,000 tokens may be chosen: the standard deviation of the rate is 0.0014; of the shares among 10,500, 0.004.
    rate = (chosen.sum() / (~special).sum()).item()
    expect(
        abs(rate - 0.15) < 0.01,
        f"Given {given}, 15 % should be chosen, but your function chose {rate:.1%} of the others.",
    )
    shares = {
        "[MASK]": (inputs == mask_id)[chosen].float().mean().item(),
        "unchanged": (inputs == ids)[chosen].float().mean().item(),
    }
    shares["random"] = 1 - sum(shares.values())
    perhaps = ""
    if shares["[MASK]"] > 0.99:
        perhaps = " Perhaps every chosen token became [MASK]."
    elif shares["random"] < 0.01:
        perhaps = " Perhaps the random ids are missing."
    elif shares["unchanged"] < 0.01:
        perhaps = " Perhaps none stays as it was."
    elif abs(shares["random"] - 0.02) < 0.01 or abs(shares["unchanged"] - 0.18) < 0.015:
        perhaps = " Perhaps you took 10 % of what the 80 % left, which is half of what it should be or less."
    shown = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    wanted = {"[MASK]": 0.8, "unchanged": 0.1, "random": 0.1}
    expect(
        all(abs(shares[name] - share) < 0.02 for name, share in wanted.items()),
        f"Given {given}, of the chosen tokens 80 % should be [MASK], 10 % random, 10 % unchanged, but got: "
        f"{shown}.{perhaps}",
    )
    strange = inputs[chosen & (inputs != mask_id) & (inputs != ids)]
    expect(
        int(strange.min()) >= 0 and int(strange.max()) < vocab_size,
        f"Given {given}, a random id must lie below {vocab_size}.",
    )
    expect(
        len(strange.unique()) > 100, f"Given {given}, the random ids are nearly all the same: each place needs its own."
    )
    differs = isinstance(again, list | tuple) and not torch.equal(again[1], labels)
    expect(differs, f"Given {given} twice, the same tokens were chosen. Each call must choose anew.")


@exercise("6.9")
def pretraining_loss(answer):
    import torch

    generator = torch.Generator().manual_seed(6)
    cross = torch.nn.functional.cross_entropy
    some = torch.tensor([[1, -100, 2], [-100, 3, -100]])
    cases = [(torch.zeros(2, 3, 10), torch.zeros(2, 2), some, torch.tensor([0, 1]))]
    for texts, tokens, words, spread in ((2, 4, 7, 1.0), (5, 6, 11, 3.0), (1, 3, 5, 1.0), (3, 5, 9, 300.0)):
        labels = torch.randint(words, (texts, tokens), generator=generator)
        hidden = torch.rand(texts, tokens, generator=generator) < 0.5
        hidden[:, 0] = False
        labels[hidden] = -100
        cases.append(
            (
                torch.randn(texts, tokens, words, generator=generator) * spread,
                torch.randn(texts, 2, generator=generator) * min(spread, 3),
                labels,
                torch.randint(2, (texts,), generator=generator),
            )
        )
    for word_logits, next_logits, labels, follows in cases:
        size = f"{len(labels)} texts of {labels.shape[1]} tokens, {int((labels >= 0).sum())} of them with a label"
        given = size + (", and logits of several hundred" if word_logits.abs().max() > 100 else "")
        arguments = [tensor.clone() for tensor in (word_logits, next_logits, labels, follows)]
        result = call(answer, *arguments, given=given)
        got = as_tensor(result, given)
        expect(
            got.numel() == 1,
            f"Given {given}, one number was expected, but got shape {tuple(got.shape)}. Take the means.",
        )
        got = got.reshape(())
        expect(
            not (got.isnan() or got.isinf()),
            f"Given {given}, your loss is {float(got)}. Perhaps a logarithm met a probability of 0: "
            "log_softmax is safe.",
        )
        logits, pairs = word_logits.double(), next_logits.double()
        word, pair = cross(logits.flatten(0, 1), labels.flatten()), cross(pairs, follows)
        asked = labels >= 0
        every = cross(logits.flatten(0, 1), labels.flatten(), reduction="sum") / labels.numel()
        per_text = torch.stack([cross(one, want) for one, want in zip(logits, labels, strict=True)]).mean()
        slips = [
            ("Perhaps you divided by all tokens, also those that aren't asked.", every + pair),
            ("Perhaps it is only the word loss.", word),
            ("Perhaps it is only the pair loss.", pair),
            ("Perhaps you took the mean of the two: BERT adds them.", (word + pair) / 2),
            ("Perhaps you summed where the mean is needed.", word * asked.sum() + pair * len(follows)),
            ("Perhaps 0 and 1 are swapped for the pairs.", word + cross(pairs, 1 - follows)),
            ("Perhaps the sign is wrong.", -(word + pair)),
            ("Perhaps you took the mean text by text first: each chosen token counts the same.", per_text + pair),
        ]
        wanted = word + pair
        # float32; logits of several hundred cost about 1e-4
        expect_close(got, wanted, given, 1e-3 if word_logits.abs().max() > 100 else 1e-5, _near(got, slips, wanted))
