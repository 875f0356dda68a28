"""How a widget reaches a notebook's output, in ipywidgets 8 and in 7, which Colab has."""

from typing import Any


def widget_bundle(widget: Any) -> dict[str, Any]:
    """What a frontend draws a widget from, by MIME type, to be put into one display with a text or a picture.

    ipywidgets 8 has a method for it; a widget of 7 only displays itself.

    >>> from types import SimpleNamespace
    >>> widget_bundle(SimpleNamespace(model_id="abc"))["application/vnd.jupyter.widget-view+json"]["model_id"]
    'abc'
    """
    if hasattr(widget, "_repr_mimebundle_"):
        return widget._repr_mimebundle_()
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"text/plain": repr(widget), "application/vnd.jupyter.widget-view+json": view}
