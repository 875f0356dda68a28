"""check, hint, progress and the quiz, as a learner meets them."""

import json
import os
import subprocess
import sys

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
from labs_utils.paths import ROOT


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


@pytest.fixture
def displays(monkeypatch):
    """What a notebook would get: every display's bundle, in order."""
    from labs_utils.exercises import showing

    shown = []
    monkeypatch.setattr(showing, "_shell", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    return shown


def button_of(bundle):
    """The widgets behind a display: `(button, text)`."""
    from ipywidgets import Widget

    box = Widget.widgets[bundle["application/vnd.jupyter.widget-view+json"]["model_id"]]
    return box.children


def test_a_verdict_that_has_not_passed_has_a_hint_button_that_counts_as_hint_does(home, doubling, displays):
    lab.check("4.99", lambda x: x)
    verdict, hint = displays
    assert verdict["text/html"].startswith("<div") and "not yet" in verdict["text/plain"]
    assert "widget" not in str(list(verdict))  # it lives without widgets
    assert hint["text/plain"] == 'lab.hint("4.99") shows a hint.' and "lab.hint" in hint["text/html"]
    button, text = button_of(hint)
    lab.hint("4.99")
    button.click()
    assert "Hint 2 of 3" in text.value and "Operation" in text.value and "Hint 1" not in text.value
    button.click()
    assert text.value.index("Hint 2 of 3") < text.value.index("Hint 3 of 3") < text.value.index("solutions/04_tok")
    button.click()
    assert text.value.startswith("Hint 1 of 3") and "Hint 3" not in text.value
    assert saved(home)["hints"] == {"4.99": 1}


def test_without_ipywidgets_the_button_is_a_line(home, doubling, displays, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    lab.check("4.99", lambda x: x)
    assert set(displays[1]) == {"text/plain", "text/html"} and "lab.hint" in displays[1]["text/plain"]


def test_a_hint_is_escaped_and_its_code_is_code(home, displays, monkeypatch):
    hints = ("a < b in `<b>`", "Operation", "Shape")
    monkeypatch.setitem(_REGISTRY, "4.99", Exercise("4.99", "Double", hints, lambda answer: None))
    lab.check("4.99", ...)
    button, text = button_of(displays[1])
    button.click()
    assert "a &lt; b in <code>&lt;b&gt;</code>" in text.value


def test_strict_mode_shows_the_same(home, doubling, displays, monkeypatch):
    monkeypatch.setenv("LABS_STRICT", "1")
    with pytest.raises(NotPassed, match="not yet"):
        lab.check("4.99", lambda x: x)
    lab.check("4.99", lambda x: 2 * x)
    assert len(displays) == 3 and "passed" in displays[2]["text/plain"]


@pytest.mark.parametrize("number", list(chapters()))
def test_next_is_the_following_exercise_and_then_the_quiz_and_the_next_chapter(number):
    from labs_utils.exercises.showing import next_steps

    own = chapters()[number]
    exercises = list(own.table("exercises"))
    notebook = json.loads((ROOT / "notebooks" / f"{own.stem}.ipynb").read_text())
    cells = {f"#cell-id={cell['id']}": "".join(cell["source"]) for cell in notebook["cells"]}
    for one, later in zip(exercises, exercises[1:], strict=False):
        [(name, address)] = next_steps(one)
        assert name.startswith(f"exercise {later} ") and f"### Exercise {later} " in cells[address]
    (name, address), *beyond = next_steps(exercises[-1])
    assert name == "the quiz" and "## Quiz" in cells[address]
    following = [one for one in chapters() if one > number][:1]
    assert [name[:10] for name, _ in beyond] == [f"chapter {one}" for one in following]
    assert all((ROOT / "notebooks" / address).is_file() for _, address in beyond)


def test_a_pass_says_what_comes_next_and_has_no_hint_button(home, displays):
    from labs_utils.exercises.showing import show

    show(Verdict("9.1", "The number to beat", PASSED, ""))
    [bundle] = displays
    assert bundle["text/plain"].endswith("passed. Next: exercise 9.2 One training step.")
    assert 'Next: <a href="#cell-id=c09-' in bundle["text/html"]


def test_without_the_notebooks_next_is_a_name(home, monkeypatch, tmp_path, capsys):
    from labs_utils.exercises import showing

    monkeypatch.setattr(showing, "ROOT", tmp_path)
    showing._headings.cache_clear()
    assert showing.next_steps("9.1") == [("exercise 9.2 One training step", "")]
    assert "<a" not in showing._as_links(showing.next_steps("9.1"))
    showing._headings.cache_clear()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-8"])
def test_a_console_without_our_signs_shows_others(encoding, tmp_path):
    code = (
        "import labs_utils as lab; lab.check('9.1', ...); lab.check('9.1', lambda labels: '→ 🙂'); lab.hint('9.1');"
        "print(lab.progress())"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LABS_HOME": str(tmp_path), "LABS_STRICT": "0"}
    for command in (["-c", code], ["-m", "labs_utils.cli", "progress"]):
        done = subprocess.run([sys.executable, *command], capture_output=True, env=environment, cwd=ROOT)
        out = done.stdout.decode(encoding)
        assert done.returncode == 0, done.stderr.decode(encoding)
        assert "09 The training loop by hand" in out
        assert command[0] == "-m" or ("○ 9.1" if encoding in ("gbk", "utf-8") else "[.] 9.1") in out


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
