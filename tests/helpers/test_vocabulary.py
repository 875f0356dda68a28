"""What judges are written with: copies, sentences for everything that goes wrong, diagnoses from known mistakes."""

import math
from collections import Counter, OrderedDict

import numpy
import pytest
import torch

from labs_utils.exercises.vocabulary import CheckFailed, Trial, as_tensor, describe, forbid, judging, read, same
from tests.support.hostile import VALUES, Untouchable


def told(block) -> str:
    """The sentence that a block complains with."""
    with pytest.raises(CheckFailed) as complaint:
        block()
    return str(complaint.value)


def test_inputs_are_named_as_the_learner_names_them():
    assert Trial(lambda word, pair: word, ["h"], ("a", "b")).given == "word=['h'], pair=('a', 'b')"
    assert Trial(lambda *all: 1, 3).given == "3"
    assert Trial(lambda x, scale: x, 3, scale=2).given == "x=3, scale=2"
    assert Trial(lambda x: x, 3, given="a number").given == "a number"


def test_an_exception_becomes_a_sentence():
    assert (
        told(lambda: Trial(lambda x: x / 0, 3))
        == "Given x=3, your function raised ZeroDivisionError: division by zero."
    )
    assert "raised SystemExit" in told(lambda: Trial(lambda x: exit(), 3))
    assert "A function" in told(lambda: Trial(7, 3))


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([3, 1], lambda x: x.sort()),
        ([[1], [2]], lambda x: x[0].append(1)),
        ({"a": [1]}, lambda x: x["a"].clear()),
        ({1, 2}, lambda x: x.pop()),
        (torch.ones(2), lambda x: x.add_(1)),
        (numpy.ones(2), lambda x: x.fill(0)),
        (([1], 2), lambda x: x[0].append(3)),
    ],
)
def test_a_changed_input_is_noticed_and_ours_stays(value, change):
    before = describe(value)
    assert "changed x, which it was given" in told(lambda: Trial(lambda x: change(x), value))
    assert describe(value) == before
    trial = Trial(lambda x: change(x), value, may_change=True)
    assert not same(trial.inputs[0], value)


def test_close_relatives_are_read_as_what_was_asked_for():
    assert read((1, 2), list) == [1, 2] and read([1, 2], tuple) == (1, 2)
    assert read(Counter("aa"), dict) == {"a": 2} and type(read(OrderedDict(a=1), dict)) is dict
    assert type(read(numpy.int64(3), int)) is int and type(read(numpy.float32(3), float)) is float
    assert read((numpy.int64(1), 2), list, of=int) == [1, 2]
    for value, kind in (
        (True, int),
        (torch.tensor(1), int),
        (torch.tensor(1.0), float),
        ("ab", list),
        ([1], dict),
        (1.0, int),
    ):
        assert "expected" in told(lambda value=value, kind=kind: Trial(lambda: value).returns(kind))
    assert read(numpy.bool_(True), bool) is True and "expected" in told(lambda: Trial(lambda: 10**400).returns(float))
    assert "a list of int values was expected" in told(lambda: Trial(lambda: [1, "2"]).returns(list, of=int))


def test_what_a_function_forgot_is_told(capsys):
    assert "Perhaps the return is missing." in told(lambda: Trial(lambda: None).returns(list))
    assert "hands its result over with return" in told(lambda: Trial(lambda: print("[1]")).returns(list))
    assert capsys.readouterr().out == "[1]\n"  # what a learner prints is shown: it is how they look into their function


def test_same_compares_what_a_learner_would_call_the_same():
    assert same([1, (2, [3])], (1, [2, (3,)]))
    assert same(torch.tensor([1, 2]), [1, 2]) and same(
        numpy.array([1.0, math.nan]), torch.tensor([1.0, math.nan]).double()
    )
    assert same({"a": torch.ones(2)}, {"a": [1, 1]}) and same(math.nan, math.nan)
    for one, other in (([1, 2], [2, 1]), ([1], [1, 1]), ({"a": 1}, {"b": 1}), (torch.ones(2), torch.ones(3)), ("1", 1)):
        assert not same(one, other)
    assert not same(Untouchable(), 1) and not same(1, Untouchable())


def test_close_complains_by_distance_shape_and_nan():
    trial = Trial(lambda x: x, [1.0, 2.0])
    trial.close(trial.result, torch.tensor([1.0, 2.00001]), 1e-4)
    trial.close([math.inf, math.nan], [math.inf, math.nan], 0)
    assert "off by up to 0.5" in told(lambda: trial.close(trial.result, [1.0, 2.5], 1e-4))
    assert "shape (3,) was expected, but got shape (2,)" in told(lambda: trial.close(trial.result, [1.0, 2.0, 3.0], 1))
    assert "off by up to inf" in told(lambda: trial.close([math.nan, 2.0], [1.0, 2.0], 1))
    assert "a tensor was expected" in told(lambda: trial.close("abc", [1.0], 1))


MISTAKES = (("Perhaps you added.", lambda x: x + x), ("Perhaps you squared.", lambda x: x * x))


def judged(answer, *inputs):
    with judging(answer, MISTAKES):
        for x in inputs:
            trial = Trial(answer, x)
            trial.equal(trial.result, x**3, "your {got} is not the cube")


def test_a_known_mistake_is_told_and_only_where_it_explains():
    assert told(lambda: judged(lambda x: x + x, 3)) == "Given x=3, your 6 is not the cube. Perhaps you added."
    assert told(lambda: judged(lambda x: 7, 3)) == "Given x=3, your 7 is not the cube."
    assert told(lambda: judged(lambda x: 4, 2)).endswith("Perhaps you added. Or: Perhaps you squared.")
    judged(lambda x: x**3, 0, 1, 2, 3)


def test_a_mistake_of_the_exercise_says_nothing_about_another_function():
    def helper(x):
        return x + x

    with judging(lambda x: x, MISTAKES):
        trial = Trial(helper, 3)
        assert "Perhaps" not in told(lambda: trial.equal(trial.result, 27, "your {got} is wrong"))


def test_forbidden_names_are_found_wherever_they_hide():
    soft = torch.softmax

    def helper(x):
        return torch.nn.functional.softmax(x, -1)

    for answer in (
        lambda x: x.softmax(-1),
        lambda x: helper(x),
        lambda x: soft(x, -1),
        lambda x: [soft(y, 0) for y in x],
    ):
        assert "uses softmax" in told(lambda answer=answer: forbid(answer, "softmax", because="is to be written"))

    class Layer(torch.nn.Module):
        def forward(self, x):
            return torch.softmax(x, -1)

    assert "uses softmax" in told(lambda: forbid(Layer, "softmax", because="is to be written"))
    forbid(lambda x: x.exp() / x.exp().sum(), "softmax", because="is to be written")

    def softmax(x):  # one's own, recursive
        return x.exp() / x.exp().sum() if x.ndim == 1 else torch.stack([softmax(row) for row in x])

    forbid(softmax, "softmax", because="is to be written")
    forbid(7, "softmax", because="is to be written")


@pytest.mark.parametrize("name", VALUES)
def test_any_value_can_be_described_copied_and_compared(name):
    value = VALUES[name]
    assert 0 < len(describe(value)) < 120
    assert as_tensor([torch.ones(1), torch.ones(1)]).shape == (2, 1)
    assert as_tensor(value) is None or as_tensor(value).dtype == torch.float64
    assert same(value, object()) is False
