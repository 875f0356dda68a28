"""Every exercise of every chapter: right answers pass, wrong ones are told why, and nothing breaks a judge."""

import copy
from functools import cache

import pytest

from labs_utils.authoring.notebooks import solution_lines
from labs_utils.chapters import chapter, chapters
from labs_utils.exercises.judging import judge
from labs_utils.exercises.registry import all_exercises
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED
from tests.support.hostile import ANSWERS
from tests.support.sources import SOURCES, answer, cells, exercise

EXERCISES = list(all_exercises())
every_exercise = pytest.mark.parametrize("number", EXERCISES)


def answers(number: str):
    """The module of right and wrong answers beside an exercise's judge."""
    return chapter(number.partition(".")[0].zfill(2)).module("answers")


def context(number: str) -> dict:
    """Names that an exercise's cell uses from earlier cells."""
    module = answers(number)
    return module.context() if hasattr(module, "context") else {}


def wrong_answers(number: str) -> list[tuple]:
    """(wrong answer, a part of what the learner is told): the mistakes that the judge knows, and others."""
    known = [(mistake, sentence) for sentence, mistake in all_exercises()[number].mistakes]
    return known + answers(number).WRONG.get(number, [])


@cache
def verdicts(number: str) -> list[tuple]:
    """(wrong answer, a part of what the learner is told, the verdict): some judges take seconds, and two tests look."""
    return [(given, fragment, judge(number, copy.deepcopy(given))) for given, fragment in wrong_answers(number)]


@every_exercise
def test_reference_passes(number):
    verdict = judge(number, answer(number, solved=True, context=context(number)))
    assert verdict.status == PASSED, verdict


@every_exercise
def test_stub_is_not_attempted(number):
    assert judge(number, answer(number, solved=False, context=context(number))).status == NOT_ATTEMPTED


@every_exercise
def test_right_answers_in_another_style_pass(number):
    right = answers(number).RIGHT[number]
    assert len(right) >= 2
    for given in right:
        verdict = judge(number, copy.deepcopy(given))
        assert verdict.status == PASSED, f"{given}: {verdict}"


@every_exercise
def test_wrong_answers_are_told_why(number):
    assert len(verdicts(number)) >= 2
    for given, fragment, verdict in verdicts(number):
        assert verdict.status == FAILED, f"{number}: a wrong answer is {verdict.status}: {given}"
        assert fragment in verdict.message, f"{number}: expected …{fragment}… in: {verdict.message}"


@every_exercise
def test_hostile_answers_get_a_sentence(number):
    for name, given in ANSWERS.items():
        verdict = judge(number, given)
        assert verdict.status == FAILED, f"{number}: an answer that {name} is {verdict.status}"
        assert len(verdict.message) > 20, f"{number}: an answer that {name} is told only {verdict.message!r}"


@every_exercise
def test_messages_leak_no_solution(number):
    source, _ = exercise(number)
    telling = [line for line in solution_lines(source) if len(line) > 24]
    messages = [verdict.message for _, _, verdict in verdicts(number)]
    messages += all_exercises()[number].hints
    for line in telling:
        assert not any(line in message for message in messages), f"{number} gives away: {line}"


@pytest.mark.parametrize("number", list(chapters()))
def test_every_exercise_of_a_chapter_is_in_its_notebook_and_back(number):
    asked = [
        cell.source.split('"')[1]
        for cell in cells(SOURCES[number])
        if cell.cell_type == "code" and cell.source.strip().startswith("lab.check(")
    ]
    assert asked == list(chapters()[number].table("exercises"))
    assert 4 <= len(asked) <= 10
    assert set(chapters()[number].module("answers").RIGHT) == set(asked)
