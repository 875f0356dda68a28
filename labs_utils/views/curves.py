"""A training curve that grows while a loop runs: by hand with `log`, or as a Trainer callback."""

import time

from labs_utils.views.plain import plain

_REDRAW_SECONDS = 1.0  # between two redraws; more where drawing is slow, so that it takes a tenth of the time at most


def training_curve() -> "TrainingCurve":
    """Return a live curve. Call `curve.log(step=3, loss=0.7)` in a loop, or give `curve.callback()` to a Trainer."""
    return TrainingCurve()


class TrainingCurve:
    """What was logged, on `.data` as a list of dicts, drawn as one small plot per quantity.

    >>> curve = TrainingCurve()
    >>> curve.log(step=1, loss=0.7)
    >>> curve.data
    [{'step': 1, 'loss': 0.7}]
    """

    def __init__(self):
        self.data: list[dict] = []
        self._shown = None
        self._next_draw = 0.0
        self._stale = False

    def log(self, step: int, **values: float) -> None:
        """Add one point for every named value. Tensors are taken as numbers."""
        self.data.append({"step": int(step), **{name: _number(value) for name, value in values.items()}})
        self._stale = True
        if time.monotonic() >= self._next_draw:
            self._redraw()

    def callback(self):
        """A `TrainerCallback` that logs what the Trainer logs."""
        from transformers import TrainerCallback

        curve = self

        class Log(TrainerCallback):
            def on_log(self, args, state, control, logs=None, **kwargs):
                numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
                about = ("epoch", "total_flos", "_runtime", "_per_second")  # about the run, not about the model
                curve.log(state.global_step, **{k: v for k, v in numbers.items() if not k.endswith(about)})

        return Log()

    @property
    def figure(self):
        """A matplotlib figure of everything logged so far: one axes per quantity."""
        from matplotlib.figure import Figure

        names = list(dict.fromkeys(name for row in self.data for name in row if name != "step")) or ["loss"]
        figure = Figure(figsize=(min(9.6, 4.2 * len(names)), 2.6), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            points = [(row["step"], row[name]) for row in self.data if name in row]
            axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else "") if points else None
            axes.set_title(plain(name))
            axes.set_xlabel("step")
        return figure

    def __repr__(self) -> str:
        return f"training curve with {len(self.data)} points" + (f", last {self.data[-1]}" if self.data else "")

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        file = BytesIO()
        self.figure.savefig(file, format="png")
        return file.getvalue()

    def _redraw(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        shell = get_ipython()
        if shell is None:
            return
        self._stale = False
        begin = time.monotonic()
        if self._shown is None:
            self._shown = display(self, display_id=True)
            shell.events.register("post_run_cell", self._finish)
        else:
            self._shown.update(self)
        cost = time.monotonic() - begin
        self._next_draw = begin + max(_REDRAW_SECONDS, 10 * cost)

    def _finish(self, *_) -> None:
        """At the end of a cell: draw the last points; a curve that goes on in the next cell starts a new picture."""
        from IPython import get_ipython

        if self._stale:
            self._shown.update(self)
            self._stale = False
        get_ipython().events.unregister("post_run_cell", self._finish)
        self._shown, self._next_draw = None, 0.0


def _number(value) -> float:
    """A tensor, also one that has a gradient, or a number."""
    return float(value.detach() if hasattr(value, "detach") else value)
