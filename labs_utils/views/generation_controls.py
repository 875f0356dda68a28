"""The sliders and buttons of `lab.next_token`: ipywidgets that change what is shown and redraw it below them.

Two outputs: the controls, which need a kernel and say so where there is none, and the picture as one piece of HTML that
is replaced at every change. So a saved notebook, and every page made from it, holds the last state that was seen.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from labs_utils.widget_bundle import widget_bundle

if TYPE_CHECKING:
    from labs_utils.views.generation import NextToken

_WITHOUT_KERNEL = "Sliders for temperature, top-k, top-p, min-p and repetition penalty: run this cell to use them."


class _Range(NamedTuple):
    """What a slider offers."""

    low: float
    high: float
    step: float


_SLIDERS = {
    "temperature": _Range(0.1, 3, 0.1),
    "top_k": _Range(0, 100, 1),
    "top_p": _Range(0.05, 1, 0.05),
    "min_p": _Range(0, 0.5, 0.01),
    "repetition_penalty": _Range(1, 2, 0.05),
}


def show(shown: "NextToken") -> None:
    """Display the controls of `shown`, and the picture that follows them."""
    from IPython.display import display

    controls = _Controls(shown)
    display(controls.bundle(), raw=True)
    controls.picture = display(_picture(shown), raw=True, display_id=True)


class _Controls:
    """The widgets, and the display handle of the picture."""

    def __init__(self, shown: "NextToken"):
        import ipywidgets as widgets

        self.shown, self.picture = shown, None
        self.sliders = {name: self._slider(name, limits) for name, limits in _SLIDERS.items()}
        self.tokens = [widgets.Button(layout=widgets.Layout(width="auto")) for _ in range(2 * shown.count)]
        for place, button in enumerate(self.tokens):
            button.on_click(lambda _, place=place: self._do(lambda: shown.append(shown.data[place]["id"])))
        back = widgets.Button(description="⌫ take back", layout=widgets.Layout(width="auto"))
        back.on_click(lambda _: self._do(shown.back))
        wrapping = widgets.Layout(flex_flow="row wrap", align_items="center")
        rows = [list(self.sliders.values()), [widgets.Label("Append:"), *self.tokens, back]]
        self.box = widgets.VBox([widgets.HBox(row, layout=wrapping) for row in rows])
        self._name_tokens()

    def bundle(self) -> dict[str, Any]:
        """What JupyterLab shows of the controls, and what a page without a kernel says instead."""
        return {**widget_bundle(self.box), "text/plain": _WITHOUT_KERNEL}

    def _slider(self, name: str, limits: _Range):
        import ipywidgets as widgets

        kind = widgets.IntSlider if isinstance(limits.step, int) else widgets.FloatSlider
        value = min(max(self.shown.settings[name], limits.low), limits.high)
        slider = kind(
            value=value,
            min=limits.low,
            max=limits.high,
            step=limits.step,
            description=name.replace("_", " "),
            layout=widgets.Layout(width="330px"),
            style={"description_width": "120px"},
        )
        slider.observe(lambda change: self._do(lambda: self.shown.adjust(**{name: change["new"]})), "value")
        return slider

    def _do(self, act) -> None:
        act()
        self._name_tokens()
        if self.picture is not None:
            self.picture.update(_picture(self.shown), raw=True)

    def _name_tokens(self) -> None:
        """One button for each token that is shown; the buttons stay, so that the keyboard's focus does."""
        for place, button in enumerate(self.tokens):
            there = place < len(self.shown.data)
            button.layout.display = None if there else "none"
            if there:
                row = self.shown.data[place]
                button.description, button.tooltip = row["text"], f"Append the token {row['id']}"


def _picture(shown: "NextToken") -> dict[str, str]:
    return {"text/html": shown._repr_html_(), "text/plain": repr(shown)}
