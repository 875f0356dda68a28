"""Chapter 00: size of a model, sentence vectors, nearest sentence, accuracy."""

import torch
from torch.nn.functional import cosine_similarity, normalize

from labs_utils.exercises.vocabulary import Trial, exercise


@exercise(
    "0.1",
    mistakes=[
        ("Perhaps you took four bytes for every dtype.", lambda parameters, dtype: parameters * 4 / 1e6),
        (
            "Perhaps you divided by 2²⁰: a megabyte is 10⁶ bytes, a mebibyte 2²⁰.",
            lambda parameters, dtype: parameters * dtype.itemsize / 2**20,
        ),
        ("That looks like bytes.", lambda parameters, dtype: parameters * dtype.itemsize),
        ("That looks like megabits.", lambda parameters, dtype: parameters * dtype.itemsize * 8 / 1e6),
    ],
)
def model_megabytes(answer):
    for parameters in (1_000_000, 22_713_216, 7):
        for dtype in (torch.bfloat16, torch.float32, torch.float64, torch.int8):
            trial, expected = Trial(answer, parameters, dtype), parameters * torch.empty(0, dtype=dtype).element_size()
            size = trial.returns(float, "a number")
            # relative 1e-9: the same product in another order differs in the last bits only
            trial.close(size, expected / 1e6, 1e-15 * expected, "your size of {got} megabytes is not right")


@exercise(
    "0.2",
    mistakes=[
        (
            "Perhaps you kept the dimension of the tokens: the result has one dimension.",
            lambda hidden: normalize(hidden.mean(dim=0, keepdim=True), dim=-1),
        ),
        ("Perhaps you did not scale the mean to length 1.", lambda hidden: hidden.mean(dim=0)),
        (
            "Perhaps you scaled each token before the mean: average first.",
            lambda hidden: normalize(normalize(hidden, dim=-1).mean(dim=0), dim=0),
        ),
        ("Perhaps you took the first token's vector, not the mean.", lambda hidden: normalize(hidden[0], dim=0)),
        (
            "Perhaps you divided by the sum of the absolute values: the length is the Euclidean norm.",
            lambda hidden: normalize(hidden.mean(dim=0), p=1, dim=0),
        ),
    ],
)
def sentence_vector(answer):
    generator = torch.Generator().manual_seed(0)
    cases = [torch.randn(*shape, generator=generator) + 0.3 for shape in ((11, 384), (2, 2), (1, 5), (24, 24))]
    for hidden in cases:
        trial = Trial(answer, hidden)
        vector, expected = trial.tensor(), normalize(hidden.double().mean(dim=0), dim=0)
        length = vector.norm()
        # float32 means over a few hundred numbers agree to about 1e-6
        trial.close(
            vector,
            expected,
            1e-5,
            "your vector is off by up to {off}",
            ("Perhaps you averaged over the wrong dimension.", vector.shape == hidden.shape[:1] != expected.shape),
            (f"Its length is {length:.3f}, not 1.", vector.shape == expected.shape and abs(length - 1) > 1e-4),
        )


@exercise(
    "0.3",
    mistakes=[
        (
            "Perhaps you compared dot products: a long vector wins those by being long.",
            lambda query, candidates: int((candidates @ query).argmax()),
        ),
        (
            "Perhaps you compared distances.",
            lambda query, candidates: int((candidates - query).norm(dim=-1).argmin()),
        ),
        (
            "That one points the opposite way: you want the largest similarity, and its sign counts.",
            lambda query, candidates: int(cosine_similarity(query[None], candidates).abs().argmax()),
        ),
    ],
)
def nearest(answer):
    generator = torch.Generator().manual_seed(1)
    # one winner each by dot product, cosine, distance, and in the opposite direction
    telling = torch.tensor([[9.0, 9.0], [2.0, 0.25], [0.75, 0.25], [-3.0, 0.0]])
    cases = [(torch.tensor([1.0, 0.0]), telling)]
    cases.append((torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 5.0], [2.0, 0.0], [9.0, 9.0]])))
    cases.append((torch.tensor([1.0, 1.0]), torch.tensor([[-3.0, -3.0], [-1.0, 0.0]])))  # all similarities negative
    for _ in range(20):
        scale = torch.rand(50, 1, generator=generator) * 20 + 0.1
        cases.append((torch.randn(16, generator=generator), torch.randn(50, 16, generator=generator) * scale))
    for query, candidates in cases:
        trial = Trial(answer, query, candidates)
        index = trial.returns(int, "an index, a Python int,")
        expected = int(cosine_similarity(query[None].double(), candidates.double()).argmax())
        sentence = "candidate {got} was your answer, but another one points closer to the query's direction"
        trial.equal(index, expected, sentence)


def hits(logits, labels, best: int = 1) -> int:
    """In how many rows the label is among the `best` highest logits."""
    return sum(int(label) in row.topk(best).indices for row, label in zip(logits, labels, strict=True))


@exercise(
    "0.4",
    mistakes=[
        ("Perhaps you counted the right ones and did not divide.", hits),
        ("Perhaps you gave a percentage.", lambda logits, labels: 100 * hits(logits, labels) / len(labels)),
        ("That is the share of wrong answers.", lambda logits, labels: 1 - hits(logits, labels) / len(labels)),
        (
            "Perhaps you counted a label among the two highest logits: only the highest is the model's answer.",
            lambda logits, labels: hits(logits, labels, best=2) / len(labels),
        ),
    ],
)
def accuracy(answer):
    generator = torch.Generator().manual_seed(2)
    for examples, classes in ((64, 6), (97, 2), (2, 2), (1, 3)):
        logits = torch.randn(examples, classes, generator=generator) - 2  # mostly negative: a threshold at 0 goes wrong
        labels = torch.randint(classes, (examples,), generator=generator)
        trial = Trial(answer, logits, labels)
        share = trial.returns(float, "one number, a Python float,")
        sentence = "the share of right answers was expected, but got {got}"
        trial.close(share, hits(logits, labels) / examples, 1e-6, sentence)  # float32 keeps seven digits
