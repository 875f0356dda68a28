"""Quizzes: `lab.quiz("04")` asks the questions of chapter 04's `quiz.toml`, live, and as text for static pages."""

from dataclasses import dataclass

from labs_utils.chapters import chapter
from labs_utils.errors import WorkbookError
from labs_utils.exercises.records import record_quiz
from labs_utils.exercises.verdicts import inline
from labs_utils.widget_bundle import widget_bundle


@dataclass(frozen=True)
class Choice:
    """One choice: its text, whether it is right, and the sentence that says why."""

    text: str
    right: bool
    why: str


@dataclass(frozen=True)
class Question:
    """One question. `choose_all` means that several choices may be right; otherwise exactly one is."""

    ask: str
    choices: tuple[Choice, ...]
    choose_all: bool


def load(number: str) -> list[Question]:
    """Read the quiz of chapter `number`.

    Raises:
        WorkbookError: the chapter is unknown or has no quiz, or a question breaks the rules (see CONTRIBUTING.md).
    """
    raw = chapter(number).table("quiz").get("question")
    if not raw:
        raise WorkbookError(f"Chapter {number} has no quiz.")
    return [_question(number, index, one) for index, one in enumerate(raw, 1)]


def _question(number: str, index: int, raw: dict) -> Question:
    choices = tuple(Choice(one["text"], one.get("right", False), one["why"]) for one in raw["choice"])
    choose_all = raw.get("choose", "one") == "all"
    right = sum(choice.right for choice in choices)
    if not 3 <= len(choices) <= 5 or right < 1 or (right != 1 and not choose_all):
        raise WorkbookError(
            f"Question {index} of quiz {number} has {len(choices)} choices, {right} of them right. It needs three to "
            'five choices and exactly one right one, or choose = "all".'
        )
    return Question(raw["ask"], choices, choose_all)


def quiz(number: str) -> None:
    """Show the quiz of chapter `number`: widgets that judge and explain.

    In the same bundle are the questions as text: where no kernel answers a widget, that is what is shown.
    """
    from IPython.display import display

    questions = load(number)
    live = widget_bundle(_live(number, questions))
    display({**live, "text/html": as_html(questions), "text/plain": f"The quiz of chapter {number}"}, raw=True)


def as_html(questions: list[Question]) -> str:
    """The questions as a list: no script, no kernel; a choice unfolds to say whether it is right and why."""
    parts = ['<ol class="labs-quiz">']
    for question in questions:
        many = " <i>(choose all that are right)</i>" if question.choose_all else ""
        parts.append(f"<li><p>{inline(question.ask)}{many}</p>")
        for choice in question.choices:
            word = "Right." if choice.right else "No."
            why = f"<p><b>{word}</b> {inline(choice.why)}</p>"
            parts.append(f"<details><summary>{inline(choice.text)}</summary>{why}</details>")
        parts.append("</li>")
    return "".join([*parts, "</ol>"])


def _live(number: str, questions: list[Question]):
    import ipywidgets as widgets

    results: dict[int, bool] = {}
    score = widgets.HTML()

    def answered(index: int, right: bool) -> None:
        results.setdefault(index, right)  # the first answer counts; trying again is for learning
        score.value = f"{sum(results.values())} right of {len(results)} answered, {len(questions)} in all"
        if len(results) == len(questions):
            record_quiz(number, sum(results.values()), len(questions))

    boxes = [_question_box(index, question, answered) for index, question in enumerate(questions)]
    return widgets.VBox([*boxes, score])


def _question_box(index: int, question: Question, answered):
    import ipywidgets as widgets

    wide = widgets.Layout(width="auto", height="auto")
    buttons = [
        widgets.ToggleButton(description=choice.text.replace("`", ""), layout=wide) for choice in question.choices
    ]
    for button in buttons:
        button.style.text_align = "left"
    why = widgets.HTML()
    many = " <i>(choose all that are right, then press Check)</i>" if question.choose_all else ""

    def explain(chosen: list[bool]) -> None:
        right = all(picked == choice.right for picked, choice in zip(chosen, question.choices, strict=True))
        shown = (
            question.choices if question.choose_all else [c for p, c in zip(chosen, question.choices, strict=True) if p]
        )
        lines = [f"{'✓' if c.right else '✗'} {inline(c.text)}: {inline(c.why)}" for c in shown]
        why.value = f"<b>{'Right.' if right else 'Not yet.'}</b><br>" + "<br>".join(lines)
        answered(index, right)

    def picked(change) -> None:
        if question.choose_all or not change["new"]:
            return
        for other in buttons:
            if other is not change["owner"]:
                other.value = False
        explain([button.value for button in buttons])

    for button in buttons:
        button.observe(picked, "value")
    extra = []
    if question.choose_all:
        done = widgets.Button(description="Check")
        done.on_click(lambda _: explain([button.value for button in buttons]))
        extra = [done]
    ask = widgets.HTML(f"<b>{index + 1}. {inline(question.ask)}</b>{many}")
    return widgets.VBox([ask, *buttons, *extra, why], layout=widgets.Layout(margin="0 0 12px 0", max_width="760px"))
