"""The progress bars of a page's kernel: what moves in a notebook stands on a page as it ended.

`install` puts `Finished` in the place of tqdm's bar for notebooks. Only bars that a cell makes are shown: those of the
libraries stay as TQDM_DISABLE wishes them.
"""

import io
import sys
from html import escape

from tqdm import auto, notebook, std


def install(shell) -> None:
    """From now on `from tqdm.auto import tqdm` and `from tqdm.notebook import tqdm` give `Finished` here."""
    auto.tqdm = notebook.tqdm = Finished


class Finished(std.tqdm):
    """A bar that takes its place when it begins, and is drawn there once, when it is closed."""

    def __init__(self, *arguments, **keywords):
        self._place = None
        if keywords.get("disable") is None:
            keywords["disable"] = not _is_a_cells_own()
        super().__init__(*arguments, **{"file": io.StringIO(), "ascii": False} | keywords)
        if self.leave and not self.disable:
            from IPython.display import display

            self._place = display({"text/plain": ""}, raw=True, display_id=True)

    def close(self) -> None:
        """Draw the bar as it ended. One that doesn't stay (`leave=False`) leaves nothing on a page either."""
        if self._place and not self.disable:
            self._place.update({"text/html": self._drawn(), "text/plain": str(self)}, raw=True)
        super().close()

    def _drawn(self) -> str:
        """The parts of tqdm's bar for notebooks: words, bar, numbers."""
        wanted = (self.bar_format or "{l_bar}<bar/>{r_bar}").replace("{bar}", "<bar/>")
        left, _, right = self.format_meter(**self.format_dict | {"bar_format": wanted}).partition("<bar/>")
        left, right = escape(left.strip(" |")), escape(right.strip(" |"))
        most = self.total or 1  # a bar of an unknown length is full when it ends
        bar = f'<progress max="{most}" value="{self.n if self.total else most}" aria-label="{left or "progress"}">'
        return f'<div class="labs-bar"><span>{left}</span> {bar}</progress> <span>{right}</span></div>'


def _is_a_cells_own() -> bool:
    """Whether a cell of the notebook makes this bar, by itself or through `trange`."""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__", "").startswith("tqdm"):
        frame = frame.f_back
    return frame.f_globals.get("__name__") == "__main__"
