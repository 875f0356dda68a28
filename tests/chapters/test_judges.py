"""Every exercise of every chapter: its reference passes, its stub is not attempted, its wrong answers are told why."""

import copy

import pytest

from labs_utils.chapters import chapter, chapters
from labs_utils.exercises.core import FAILED, NOT_ATTEMPTED, PASSED, all_exercises, judge
from tests.support.sources import SOURCES, answer, cells, exercise

EXERCISES = list(all_exercises())


def wrong_answers(number: str):
    return chapter(number.partition(".")[0].zfill(2)).module("answers")


def context(number: str) -> dict:
    module = wrong_answers(number)
    return module.context() if hasattr(module, "context") else {}


@pytest.mark.parametrize("number", EXERCISES)
def test_reference_passes(number):
    verdict = judge(number, answer(number, solved=True, context=context(number)))
    assert verdict.status == PASSED, verdict


@pytest.mark.parametrize("number", EXERCISES)
def test_stub_is_not_attempted(number):
    assert judge(number, answer(number, solved=False, context=context(number))).status == NOT_ATTEMPTED


@pytest.mark.parametrize("number", EXERCISES)
def test_wrong_answers_are_told_why(number):
    wrong = wrong_answers(number).WRONG[number]
    assert len(wrong) >= 2
    for given, fragment in wrong:
        verdict = judge(number, copy.deepcopy(given))
        assert verdict.status == FAILED, f"{number}: a wrong answer is {verdict.status}: {given}"
        assert fragment in verdict.message


@pytest.mark.parametrize("number", EXERCISES)
def test_messages_leak_no_solution(number):
    source, _ = exercise(number)
    from labs_utils.authoring.notebooks import solution_lines

    telling = [line for line in solution_lines(source) if len(line) > 24]
    messages = [judge(number, copy.deepcopy(given)).message for given, _ in wrong_answers(number).WRONG[number]]
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
    assert asked == [key for key in EXERCISES if key.partition(".")[0].zfill(2) == number]
    assert 4 <= len(asked) <= 10
