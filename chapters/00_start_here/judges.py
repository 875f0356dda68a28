"""Chapter 00: size of a model, sentence vectors, nearest sentence, accuracy."""

from labs_utils.exercises.core import call, describe, exercise, expect, expect_close, expect_shape


@exercise("0.1")
def model_megabytes(answer):
    import torch

    for parameters in (1_000_000, 22_713_216, 7):
        for dtype in (torch.float32, torch.bfloat16, torch.float64, torch.int8):
            given = f"{parameters:,} parameters in {dtype}"
            size = call(answer, parameters, dtype, given=given)
            expect(isinstance(size, int | float), f"Given {given}, a number was expected, but got {describe(size)}.")
            right = parameters * dtype.itemsize / 1e6
            perhaps = "."
            if abs(size - parameters * 4 / 1e6) < 1e-9:
                perhaps = ". Perhaps you took four bytes for every dtype."
            elif abs(size * 2**20 - right * 1e6) < 1e-3:
                perhaps = ". Perhaps you divided by 2²⁰: a megabyte is 10⁶ bytes, a mebibyte 2²⁰."
            elif abs(size - right * 1e6) < 1e-3:
                perhaps = ". That looks like bytes."
            elif abs(size - right * 8) < 1e-9:
                perhaps = ". That looks like megabits."
            # relative 1e-9: the same product in another order differs in the last bits only
            expect(
                abs(size - right) <= 1e-9 * right,
                f"Given {given}, your size of {size:g} megabytes is not right{perhaps}",
            )


@exercise("0.2")
def sentence_vector(answer):
    import torch

    generator = torch.Generator().manual_seed(0)
    for tokens, width in ((11, 384), (2, 2), (1, 5), (384, 384)):
        hidden = torch.randn(tokens, width, generator=generator) + 0.3
        given = f"token vectors of shape {(tokens, width)}"
        vector = call(answer, hidden.clone(), given=given)
        expect_shape(vector, (width,), given, "Perhaps you averaged over the wrong dimension, or kept it.")
        length = float(vector.detach().double().norm())
        expect(
            abs(length - 1) < 1e-4, f"Given {given}, a vector of length 1 was expected, but its length is {length:.3f}."
        )
        wanted = torch.nn.functional.normalize(hidden.double().mean(dim=0), dim=0)
        # float32 means over a few hundred numbers agree to about 1e-6
        perhaps = "Perhaps you scaled each token before the mean, or took another vector than the mean."
        expect_close(vector, wanted, given, 1e-5, perhaps)


@exercise("0.3")
def nearest(answer):
    import torch

    generator = torch.Generator().manual_seed(1)
    cases = [(torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 5.0], [2.0, 0.0], [9.0, 9.0]]))]
    for _ in range(20):
        scale = torch.rand(50, 1, generator=generator) * 20 + 0.1  # lengths differ, so that dot products mislead
        cases.append((torch.randn(16, generator=generator), torch.randn(50, 16, generator=generator) * scale))
    cases.append((torch.tensor([1.0, 1.0]), torch.tensor([[-3.0, -3.0], [-1.0, 0.0]])))  # all similarities negative
    for query, candidates in cases:
        given = f"a query of {len(query)} numbers and {len(candidates)} candidates"
        index = call(answer, query.clone(), candidates.clone(), given=given)
        whole = not isinstance(index, bool) and (
            isinstance(index, int) or (hasattr(index, "numel") and index.numel() == 1)
        )
        expect(whole, f"Given {given}, an index was expected, but got {describe(index)}.")
        cosine = torch.nn.functional.cosine_similarity(query[None], candidates, dim=-1)
        perhaps = ""
        if int(index) == int((candidates @ query).argmax()):
            perhaps = " Perhaps you compared dot products: a long vector wins those by being long."
        elif int(index) == int((candidates - query).norm(dim=-1).argmin()):
            perhaps = " Perhaps you compared distances."
        elif int(index) == int(cosine.argmin()):
            perhaps = " Perhaps you took the smallest similarity."
        expect(
            int(index) == int(cosine.argmax()),
            f"Given {given}, another candidate points closer to the query's direction.{perhaps}",
        )


@exercise("0.4")
def accuracy(answer):
    import torch

    generator = torch.Generator().manual_seed(2)
    for examples, classes in ((2, 2), (97, 2), (64, 6), (1, 3)):
        logits = torch.randn(examples, classes, generator=generator) - 2  # mostly negative: a threshold at 0 goes wrong
        labels = torch.randint(classes, (examples,), generator=generator)
        given = f"logits of shape {(examples, classes)} and {examples} labels"
        share = call(answer, logits.clone(), labels.clone(), given=given)
        number = isinstance(share, int | float) or (hasattr(share, "numel") and share.numel() == 1)
        expect(number, f"Given {given}, one number was expected, but got {describe(share)}.")
        right = sum(int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True))
        perhaps = ""
        if abs(float(share) - right) < 1e-6 and right != right / examples:
            perhaps = " Perhaps you counted the right ones and did not divide."
        elif abs(float(share) - 100 * right / examples) < 1e-3:
            perhaps = " Perhaps you gave a percentage."
        message = f"Given {given}, the share of right answers was expected, but got {float(share):.3f}.{perhaps}"
        expect(abs(float(share) - right / examples) < 1e-6, message)  # float32 keeps seven digits
