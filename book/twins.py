"""Static twins, made in the kernel of a page: a page has no kernel, so each widget also leaves HTML for its reader.

`install` gives every picture of matplotlib a text (its titles and axes), every tree of ipywidgets a `text/html` in the
same bundle as its view, and an `Output` widget a memory of what was printed into it. The twin of a tree with sliders,
choices or checkboxes holds what the tree shows at several values of each; `static/page.js` moves among them.
"""

import base64
import itertools
import json
from html import escape
from types import SimpleNamespace

_NOTE = "On this page the controls step through values that were computed beforehand. In the notebook they take any."


def install(shell) -> None:
    """Change the displays of this kernel. ipywidgets and matplotlib are imported only when the notebook does."""
    from IPython.core import pylabtools
    from ipywidgets import Output, Widget

    from labs_utils.views import beam_tree, generation_controls

    choose = pylabtools.select_figure_formats

    def choose_and_describe(shell, *arguments, **keywords) -> None:
        choose(shell, *arguments, **keywords)  # it takes every formatter of figures away, that of the text too
        plain = shell.display_formatter.formatters["text/plain"]
        plain.for_type_by_name("matplotlib.figure", "Figure", lambda fig, printer, _: printer.text(described(fig)))

    pylabtools.select_figure_formats = choose_and_describe
    bundle = Widget._repr_mimebundle_
    Widget._repr_mimebundle_ = lambda self, **keywords: _with_twin(bundle(self, **keywords), self)
    Output.__enter__, Output.__exit__ = _enter, _leave
    generation_controls.show = _show_next_token
    beam_tree.BeamTree._ipython_display_ = _show_beam_tree


def described(figure) -> str:
    """What a figure of matplotlib says of itself: its title, then each panel's title and axes."""
    heading = figure.get_suptitle()
    panels = []
    for axes in figure.axes:
        title = next((text for text in (axes.get_title(loc) for loc in ("left", "center", "right")) if text), "")
        labels = [label for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
        said = [title, *([f"axes: {', '.join(labels)}"] if labels else [])]
        panels.append(" — ".join(part for part in said if part))
    text = ". ".join(part for part in [heading, *panels] if part)
    return " ".join(text.replace("$", "").split()) or "A picture without a title"


def _with_twin(data, widget):
    if data and "application/vnd.jupyter.widget-view+json" in data and (html := twin(widget)):
        data["text/html"] = html
    return data


def _show_next_token(shown) -> None:
    """In place of the sliders of `lab.next_token`: the same controls over a picture that the twin can hold."""
    from IPython.display import display
    from ipywidgets import HTML, VBox

    from labs_utils.views.generation_controls import _Controls

    controls, picture = _Controls(shown), HTML(shown._repr_html_())
    controls.picture = SimpleNamespace(update=lambda data, raw: setattr(picture, "value", data["text/html"]))
    tree = VBox([*controls.sliders.values(), picture])
    display({"text/html": twin(tree), "text/plain": repr(shown)}, raw=True)


def _show_beam_tree(shown) -> None:
    """In place of the slider of `lab.beam_tree`, which redraws a picture that stands beside it: both in one tree."""
    from IPython.display import display
    from ipywidgets import HTML, VBox

    from labs_utils.views.beam_tree import _slider

    picture = HTML(shown._repr_html_())
    shown._picture = SimpleNamespace(update=lambda data, raw: setattr(picture, "value", data["text/html"]))
    display({"text/html": twin(VBox([_slider(shown), picture])), "text/plain": repr(shown)}, raw=True)


def _enter(self):
    """In place of ipywidgets' own: keep what is printed and drawn here instead of sending it to a page."""
    from IPython.utils.capture import capture_output

    self._capture = capture_output()
    self._captured = self._capture.__enter__()


def _leave(self, kind, error, trace):
    self._capture.__exit__(kind, error, trace)
    self.shown = self._captured
    return False


def twin(widget) -> str:
    """The HTML of a tree of widgets: its texts and values, and what it shows in each state that was tried.

    Empty where there is nothing to show, such as a slider by itself.
    """
    leaves = _leaves(widget)
    controls = [leaf for leaf in leaves if _values(leaf, 2)]
    states = dict(_states(leaves, controls))
    start = tuple(_values(one, _count(controls)).index(one.value) for one in controls)
    first = states[start]
    if len(set(states.values())) == 1:
        still = _fields(leaves) + first
        return still and f'<div class="twin">{still}</div>'
    rows = "".join(_row(one, _values(one, _count(controls)), at) for one, at in zip(controls, start, strict=True))
    parts = "".join(
        f'<div class="twin-state" data-at="{_place(at)}"{"" if at == start else " hidden"}>{html}</div>'
        for at, html in states.items()
    )
    begin = _place(start)
    return (
        f'<div class="twin" data-start="{begin}">{rows}{_fields(leaves)}{parts}<p class="twin-note">{_NOTE}</p></div>'
    )


def _place(at: tuple) -> str:
    return ",".join(map(str, at))


def _states(leaves, controls):
    """Every state that is tried, and what is shown in it: all combinations where they are few, else one moved alone."""
    values = [_values(one, _count(controls)) for one in controls]
    start = tuple(tried.index(one.value) for one, tried in zip(controls, values, strict=True))
    if len(controls) <= 2:
        places = list(itertools.product(*(range(len(tried)) for tried in values)))
    else:
        moved = (start[:n] + (at,) + start[n + 1 :] for n, tried in enumerate(values) for at in range(len(tried)))
        places = list(dict.fromkeys(moved))
    for place in places:
        _set(controls, values, place)
        yield place, "".join(_shown(leaf) for leaf in leaves)
    _set(controls, values, start)


def _set(controls, values, place) -> None:
    for one, tried, at in zip(controls, values, place, strict=True):
        if one.value != tried[at]:
            one.value = tried[at]


def _count(controls) -> int:
    """How many values of each control are tried."""
    slow = [one for one in controls if type(one).__name__ != "Checkbox"]
    return {0: 2, 1: 12 if len(controls) == 1 else 9, 2: 5}.get(len(slow), 6)


def _leaves(widget) -> list:
    children = getattr(widget, "children", None)
    return [widget] if children is None else [leaf for child in children for leaf in _leaves(child)]


def _values(widget, count: int) -> list:
    """The values of a control that are tried, its present one among them; none for what is no control."""
    kind = type(widget).__name__
    if kind == "Checkbox":
        return [False, True]
    if kind in ("Dropdown", "RadioButtons", "Select", "ToggleButtons", "SelectionSlider"):
        return [value for _, value in widget._options_full]
    if kind in ("IntSlider", "FloatSlider", "FloatLogSlider") and not widget.disabled:
        steps = round((widget.max - widget.min) / widget.step)
        places = {round(n * steps / (count - 1)) for n in range(count)}
        exponents = [min(widget.min + place * widget.step, widget.max) for place in sorted(places)]
        raw = [widget.base**one if kind == "FloatLogSlider" else one for one in exponents]
        near = min(range(len(raw)), key=lambda n: abs(raw[n] - widget.value))
        raw[near] = widget.value  # the state that the notebook opens with
        return sorted({round(one, 10) if one != widget.value else one for one in raw})
    return []


def _row(widget, values: list, at: int) -> str:
    """A control: a range over the values that were tried, with the present one in words beside it."""
    names = [_named(widget, value) for value in values]
    label = escape(widget.description or "value")
    return (
        f'<label class="twin-row"><span>{label}</span><input type="range" min="0" max="{len(values) - 1}" step="1" '
        f'value="{at}" data-names="{escape(json.dumps(names))}" aria-valuetext="{escape(names[at])}">'
        f"<output>{escape(names[at])}</output></label>"
    )


def _named(widget, value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    for name, option in getattr(widget, "_options_full", ()):
        if option == value:
            return name
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _fields(leaves) -> str:
    """What stands in text fields and on labels."""
    rows = []
    for leaf in leaves:
        if type(leaf).__name__ in ("Text", "Textarea"):
            rows.append(f'<p class="twin-field"><b>{escape(leaf.description)}</b> {escape(leaf.value)}</p>')
        elif type(leaf).__name__ == "Label":
            rows.append(f"<p>{escape(leaf.value)}</p>")
    return "".join(rows)


def _shown(leaf) -> str:
    """What a leaf shows in the present state."""
    if type(leaf).__name__ == "HTML":
        return leaf.value
    captured = getattr(leaf, "shown", None)
    if captured is None:
        return ""
    text = captured.stdout.replace("\x1b[2K\r", "")
    parts = [f"<pre>{escape(text)}</pre>"] if text.strip() else []
    return "".join([*parts, *(_output(one) for one in captured.outputs)])


def _output(output) -> str:
    data = output.data
    if "text/html" in data:
        return data["text/html"]
    if "image/png" in data:
        picture = data["image/png"]  # bytes from an object's _repr_png_, text from matplotlib's own way
        encoded = base64.b64encode(picture).decode() if isinstance(picture, bytes) else picture.strip()
        return f'<img src="data:image/png;base64,{encoded}" alt="{escape(data["text/plain"])}">'
    return f"<pre>{escape(data.get('text/plain', ''))}</pre>"
