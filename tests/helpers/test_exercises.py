"""check, hint, progress and the quiz, as a learner meets them."""

import json

import pytest

import labs_utils as lab
from labs_utils.chapters import chapters
from labs_utils.errors import WorkbookError
from labs_utils.exercises import NotPassed, quiz
from labs_utils.exercises.judging import judge
from labs_utils.exercises.records import record_quiz
from labs_utils.exercises.registry import _REGISTRY, Exercise
from labs_utils.exercises.verdicts import FAILED, NOT_ATTEMPTED, PASSED, Verdict
from labs_utils.exercises.vocabulary import Trial


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABS_HOME", str(tmp_path))
    monkeypatch.setenv("LABS_STRICT", "0")
    return tmp_path


@pytest.fixture
def doubling(monkeypatch):
    """An exercise of its own: double a number."""

    def judge_it(answer):
        trial = Trial(answer, 3)
        trial.equal(trial.result, 6, "twice as much was expected, but got {got}")

    monkeypatch.setitem(_REGISTRY, "4.99", Exercise("4.99", "Double", ("Look", "Operation", "Shape"), judge_it))


def saved(home):
    return json.loads((home / "progress.json").read_text())


def stub(x):
    """Documented, and does nothing."""
    ...


class Partly:
    def forward(self): ...

    def other(self):
        return 1


def test_verdicts(doubling):
    assert judge("4.99", lambda x: 2 * x).status == PASSED
    wrong = judge("4.99", lambda x: x * x)
    assert wrong.status == FAILED and "but got 9" in wrong.message
    for untouched in (..., stub, Partly):
        assert judge("4.99", untouched).status == NOT_ATTEMPTED


def test_an_exception_in_the_answer_is_told_with_what_was_given(doubling):
    verdict = judge("4.99", lambda x: x / 0)
    assert verdict.status == FAILED
    assert "Given x=3" in verdict.message and "ZeroDivisionError" in verdict.message
    assert "A function" in judge("4.99", 7).message


def test_an_answer_that_cannot_be_read_gets_a_sentence(doubling, monkeypatch):
    def careless(answer):
        return int(Trial(answer, 3).result[0])

    monkeypatch.setitem(_REGISTRY, "4.98", Exercise("4.98", "First", ("Look", "Operation", "Shape"), careless))
    for answer in (lambda x: [], lambda x: [float("nan")], lambda x: 7):
        verdict = judge("4.98", answer)
        assert verdict.status == FAILED and "could not be read" in verdict.message


def test_a_pass_is_kept_and_an_untouched_stub_is_not_recorded(home, doubling, capsys):
    lab.check("4.99", stub)
    assert not (home / "progress.json").exists()
    lab.check("4.99", lambda x: x + 1)
    lab.check("4.99", lambda x: 2 * x)
    lab.check("4.99", lambda x: x + 1)
    assert saved(home)["exercises"] == {"4.99": PASSED}
    assert "not attempted" in capsys.readouterr().out


def test_strict_mode_raises_unless_passed(home, doubling, monkeypatch):
    monkeypatch.setenv("LABS_STRICT", "1")
    lab.check("4.99", lambda x: 2 * x)
    for answer in (stub, lambda x: x):
        with pytest.raises(NotPassed):
            lab.check("4.99", answer)


def test_hints_climb_and_start_again(home, doubling, capsys):
    for _ in range(4):
        lab.hint("4.99")
    out = capsys.readouterr().out
    assert [out.index(part) for part in ("Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", "solutions/04_tokenizers.ipynb")]
    assert out.count("Hint 1 of 3") == 2


def test_an_unwritable_home_judges_and_names_the_cure(home, doubling, monkeypatch, capsys):
    (home / "file").write_text("")
    monkeypatch.setenv("LABS_HOME", str(home / "file"))
    lab.check("4.99", lambda x: 2 * x)
    out = capsys.readouterr().out
    assert "passed" in out and "LABS_HOME" in out


def test_an_unknown_exercise_lists_those_of_the_chapter():
    with pytest.raises(WorkbookError, match="This chapter has: 4.1"):
        lab.check("4.77", 1)
    with pytest.raises(WorkbookError, match="chapter, exercise"):
        lab.check("banana", 1)


def test_progress_shows_every_chapter(home):
    record_quiz("04", 5, 6)
    shown = lab.progress()
    assert [row["chapter"][:2] for row in shown.data] == list(chapters())
    assert {row["chapter"][:2]: row["quiz"] for row in shown.data}["04"] == "5 of 6"
    assert "5 of 6" in repr(shown) and "5 of 6" in shown._repr_html_()


@pytest.mark.parametrize("number", list(chapters()))
def test_every_quiz_follows_the_rules(number):
    questions = quiz.load(number)
    assert len(questions) >= 6
    for question in questions:
        assert all(choice.why.strip() and choice.text.strip() for choice in question.choices)
        assert len({choice.text for choice in question.choices}) == len(question.choices)
    # A quiz whose right choice is always in the same place, or always the longest, teaches the wrong thing.
    places = {
        [choice.right for choice in question.choices].index(True) for question in questions if not question.choose_all
    }
    assert len(places) > 1
    longest = [max(question.choices, key=lambda choice: len(choice.text)).right for question in questions]
    assert not all(longest)


def test_a_quiz_with_two_right_choices_is_refused():
    choice = {"text": "a", "why": "b", "right": True}
    with pytest.raises(WorkbookError, match="exactly one right"):
        quiz._question("04", 1, {"ask": "?", "choice": [choice, choice, {"text": "c", "why": "d"}]})


def test_the_live_quiz_judges_explains_and_records(home):
    questions = quiz.load("04")
    box = quiz._live("04", questions)
    for question, shown in zip(questions, box.children, strict=False):
        buttons = [child for child in shown.children if child.__class__.__name__ == "ToggleButton"]
        for button, choice in zip(buttons, question.choices, strict=True):
            button.value = choice.right
        for done in (child for child in shown.children if child.__class__.__name__ == "Button"):
            done.click()
    assert saved(home)["quizzes"] == {"04": f"{len(questions)} of {len(questions)}"}


def test_the_static_quiz_explains_every_choice_and_runs_no_script():
    questions = quiz.load("04")
    page = quiz.as_html(questions)
    assert "<script" not in page
    assert page.count("<b>Right.</b>") == sum(choice.right for question in questions for choice in question.choices)


def test_messages_are_escaped():
    verdict = Verdict("1.1", "T", FAILED, "<script>alert(1)</script>")
    assert "<script>" not in verdict._repr_html_()
