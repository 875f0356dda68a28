"""What a learner sees under a check: the verdict, a *Hint* button while it has not passed, and then what comes next.

The verdict is a display of its own, without a widget: a static page, a front end without widgets and a console show
it, too. Where no widget lives, the button's display is a line that names `lab.hint`.
"""

import functools
import json
import re
from html import escape

from labs_utils.chapters import chapter, chapters
from labs_utils.exercises import records
from labs_utils.exercises.registry import chapter_of, find, of_chapter
from labs_utils.exercises.verdicts import PASSED, Verdict, inline
from labs_utils.paths import ROOT
from labs_utils.session import spare_console
from labs_utils.widget_bundle import widget_bundle


def show(verdict: Verdict) -> None:
    """Show a verdict: a coloured box in a notebook, plain text anywhere else."""
    following = next_steps(verdict.number) if verdict.status == PASSED else []
    text = f"{verdict} {_in_words(following)}".strip()
    shell = _shell()
    if shell is None:
        spare_console()
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": verdict._repr_html_(_as_links(following))}, raw=True)
    if verdict.status != PASSED:
        display(_hint_button(verdict.number), raw=True)


def hint_lines(number: str) -> list[str]:
    """The next hint for an exercise, counted, and after the last one where the solution is."""
    found = find(number)
    step = records.next_hint(number, len(found.hints))
    lines = [f"Hint {step + 1} of {len(found.hints)} for {number} {found.title}: {found.hints[step]}"]
    if step + 1 == len(found.hints):
        lines.append(f"That was the last hint.{_where_solved(chapter_of(number))}")
    return lines


def _where_solved(number: str) -> str:
    """Where the chapter's solved notebook is; "" in what a class is handed out, which has none."""
    name = f"solutions/{chapter(number).stem}.ipynb"
    return f" The solution is in {name}." if (ROOT / name).exists() else ""


def next_steps(number: str) -> list[tuple[str, str]]:
    """What comes after an exercise, as `(name, address)`: its chapter's next one, or the quiz and the next chapter.

    An address is a cell of the notebook or a notebook beside it, as Jupyter and nbconvert name them; "" where there is
    none.
    """
    own = chapter(chapter_of(number))
    if later := _after(number, of_chapter(own)):
        title = own.table("exercises")[later]["title"]
        return [(f"exercise {later} {title}", _address(own.stem, f"### Exercise {later}"))]
    steps = [("the quiz", _address(own.stem, "## Quiz"))] if own.table("quiz") else []
    if beyond := _after(own.number, list(chapters())):
        steps.append((f"chapter {beyond} {chapters()[beyond].title}", f"{chapters()[beyond].stem}.ipynb"))
    return steps


def _after(one: str, all_of_them: list[str]) -> str:
    """What follows `one` in a list; "" at its end, and where it isn't in it."""
    place = all_of_them.index(one) + 1 if one in all_of_them else len(all_of_them)
    return all_of_them[place] if place < len(all_of_them) else ""


def _address(stem: str, heading: str) -> str:
    """The cell that holds a heading: its id, since Jupyter finds no heading whose name has a ★ or a dash."""
    for cell, headings in _headings(stem).items():
        if any(re.match(rf"{re.escape(heading)}\b", one) for one in headings):
            return f"#cell-id={cell}"
    return ""


@functools.cache
def _headings(stem: str) -> dict[str, list[str]]:
    """The headings in each cell of a chapter's notebook, by the cell's id; `{}` where the notebook isn't there."""
    try:
        cells = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError):
        return {}
    texts = {cell.get("id"): "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"}
    return {cell: re.findall(r"^##.*", text, re.MULTILINE) for cell, text in texts.items()}


def _in_words(steps: list[tuple[str, str]]) -> str:
    return f"Next: {', then '.join(name for name, _ in steps)}." if steps else ""


def _as_links(steps: list[tuple[str, str]]) -> str:
    links = [f'<a href="{escape(address)}">{escape(name)}</a>' if address else escape(name) for name, address in steps]
    return f"Next: {', then '.join(links)}." if links else ""


def _shell():
    """The running IPython shell, or None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _hint_button(number: str) -> dict:
    """A display of a *Hint* button with the hints under it: each press shows one more, as `lab.hint` would."""
    line = f'lab.hint("{number}") shows a hint.'
    bundle = {"text/plain": line, "text/html": f"<code>lab.hint(&quot;{number}&quot;)</code> shows a hint."}
    try:
        import ipywidgets as widgets
    except ImportError:
        return bundle
    button = widgets.Button(description="Hint", tooltip=f"Show a hint for exercise {number}")
    seen = widgets.HTML(layout=widgets.Layout(max_width="760px"))

    def press(_) -> None:
        lines = "<br>".join(inline(one) for one in hint_lines(number))
        first = lines.startswith("Hint 1 ")  # the ladder starts again
        seen.value = lines if first or not seen.value else f"{seen.value}<br>{lines}"

    button.on_click(press)
    return widget_bundle(widgets.VBox([button, seen])) | bundle
