"""The views of captured attention: each says what its page shows, and how high its frame is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from labs_utils.attention_maps import coding
from labs_utils.attention_maps.captured import Captured, key_side, query_side
from labs_utils.attention_maps.frame import DARK_EXTRA, Figure
from labs_utils.attention_maps.joining import page
from labs_utils.attention_maps.labels import label
from labs_utils.errors import WorkbookError

if TYPE_CHECKING:
    from torch import Tensor

# More weights than this (a 6 × 12 model at 577 tokens) would make a page that is slow to open.
LARGEST = 24_000_000
# A matrix is exact to four decimals in every cell; of more weights than these it brings fewer layers or heads.
LARGEST_EXACT = 1_600_000
# Heights are in CSS pixels. A view of rows draws them as high as it is told here.
ROWS = {"heads": 20, "query_key": 22, "cross": 46}
_TOOLBAR, _STATUS, _TALLEST = 46, 34, 700


def heads(seen: Captured, layer: int, head: int | None, kind: str | None, layers: Iterable[int] | None) -> Figure:
    """Lines between tokens; see `Attention.heads`."""
    kinds = _kinds(seen, kind)
    weights = seen.data[kinds[0]]
    layers = None if layers is None else list(layers)
    chosen = _chosen("layer", weights.shape[0], layers)
    require("layer", layer, weights.shape[0])
    if layer not in chosen:
        raise WorkbookError(f"Layer {layer} is not among the layers to show, {chosen}.")
    if head is not None:
        require("head", head, weights.shape[1])
    stacks, note = _stacks(seen, kinds, layers, None, first=layer)
    longest = max(max(seen.data[each].shape[2:]) for each in kinds)
    state = {"stacks": stacks, "layer": layer, "head": head, "note": note}
    title = "Attention between tokens, by layer and head"
    return figure("heads", seen, state, _behind(seen, stacks), title, height(60 + ROWS["heads"] * longest))


def model(seen: Captured, kind: str | None, layers: Iterable[int] | None, heads: Iterable[int] | None) -> Figure:
    """A grid of all layers and heads; see `Attention.model`."""
    stacks, note = _stacks(seen, _kinds(seen, kind), layers, heads, first=0)
    rows, columns = len(stacks[0]["layers"]), len(stacks[0]["heads"])
    thumbnail = min(96, max(26, 800 // columns))
    state = {"stacks": stacks, "layer": stacks[0]["layers"][0], "note": note}
    title = "Attention of every layer and head"
    return figure("model", seen, state, _behind(seen, stacks), title, height(44 + thumbnail * rows, least=420))


def matrix(seen: Captured, layer: int, head: int, kind: str | None) -> Figure:
    """A heat map with every weight to four decimals; see `Attention.matrix`."""
    kind = _kinds(seen, kind)[0]
    weights = seen.data[kind]
    require("layer", layer, weights.shape[0])
    require("head", head, weights.shape[1])
    layers, heads, note = list(range(weights.shape[0])), list(range(weights.shape[1])), ""
    if weights.numel() > LARGEST_EXACT:
        layers, note = [layer], f"Layer {layer} only: every layer to four decimals would be too much at this length."
        if weights[layer].numel() > LARGEST_EXACT:
            heads = [head]
            note = f"Layer {layer}, head {head} only: more to four decimals would be too much at this length."
    stack = _stack(seen, _Part(kind, layers, heads), step=coding.PEAK)
    sums = _cut(weights, layers, heads).double()
    stack["sums"] = {"queries": coding.floats(sums.sum(-1).numpy()), "keys": coding.floats(sums.sum(-2).numpy())}
    state = {"stacks": [stack], "layer": layer, "head": head, "note": note}
    title = f"Attention matrix of layer {layer}, head {head}"
    cell = min(26, max(2, 600 / max(weights.shape[2:])))
    high = height(170 + cell * weights.shape[2], least=300, most=_TALLEST + 120)
    return figure("matrix", seen, state, weights[layer, head], title, high)


def cross(seen: Captured, layer: int | None, head: int | None) -> Figure:
    """What the decoder looks at in the source, step by step; see `Attention.cross`."""
    if "cross" not in seen.data:
        raise WorkbookError(
            "Only an encoder–decoder (a translation or summarization model, say) looks from one text at another; this "
            f"model's attention is of kind {', '.join(seen.data)}."
        )
    weights = seen.data["cross"]
    layer = weights.shape[0] - 1 if layer is None else layer
    require("layer", layer, weights.shape[0])
    if head is not None:
        require("head", head, weights.shape[1])
    stacks, note = _stacks(seen, ["cross"], None, None, first=layer)
    state = {"stacks": stacks, "layer": layer, "head": head, "note": note}
    more_lines = sum(len("".join(names)) + 3 * len(names) for names in seen.tokens.values()) // 110
    high = height(196 + ROWS["cross"] * more_lines)
    return figure("cross", seen, state, _behind(seen, stacks)["cross"], "Cross-attention, step by step", high)


def figure(view: str, seen: Captured, state: dict[str, Any], data: Any, title: str, height: int) -> Figure:
    """A `Figure` whose page shows `view` of `seen`, beginning with `state`."""
    described = {
        "view": view,
        "height": height,
        "dark_extra": DARK_EXTRA,
        "tokens": {side: list(map(label, names)) for side, names in seen.tokens.items()},
        "special": seen.special,
        "second": seen.second,
        **({"row": ROWS[view]} if view in ROWS else {}),
        **state,
    }
    return Figure(page(title, described), data, title, height)


def height(inside: float, least: int = 1, most: int = _TALLEST) -> int:
    """How high a frame is whose view has `inside` pixels between the toolbar and the status line."""
    return round(min(most, max(least, _TOOLBAR + _STATUS + inside)))


def require(what: str, value: int, count: int) -> None:
    """Refuse a layer, head or token that there is not, naming those there are."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        some = f"{what}s 0 to {count - 1}" if count > 1 else f"{what} 0"
        raise WorkbookError(f"There is no {what} {value!r} here: this attention has {some}.")


def require_kind(seen: Captured, kind: str) -> None:
    """Refuse a kind of attention that the model doesn't have."""
    if kind not in seen.data:
        raise WorkbookError(f"There is no attention of kind {kind!r} here; there is: {', '.join(seen.data)}.")


def _kinds(seen: Captured, kind: str | None) -> list[str]:
    """The kind that was asked for, or all that there are."""
    if kind is None:
        return list(seen.data)
    require_kind(seen, kind)
    return [kind]


def _chosen(what: str, count: int, asked: Iterable[int] | None) -> list[int]:
    """The layers or heads that were asked for, in order; all of them where none were named."""
    chosen = list(range(count)) if asked is None else sorted(set(asked))
    if not chosen:
        raise WorkbookError(f"No {what} was chosen; leave the argument out to see them all.")
    for one in chosen:
        require(what, one, count)
    return chosen


class _Part(NamedTuple):
    """Which layers and heads of one kind of attention go into a page."""

    kind: str
    layers: list[int]
    heads: list[int]


def _stacks(
    seen: Captured, kinds: list[str], layers: Iterable[int] | None, heads: Iterable[int] | None, first: int
) -> tuple[list[dict[str, Any]], str]:
    """The weights of `kinds` encoded for the page, and a note where they had to be narrowed to fit it."""
    parts = [
        _Part(
            kind, _chosen("layer", seen.data[kind].shape[0], layers), _chosen("head", seen.data[kind].shape[1], heads)
        )
        for kind in kinds
    ]
    size = sum(len(part.layers) * len(part.heads) * seen.data[part.kind][0, 0].numel() for part in parts)
    if size <= LARGEST:
        return [_stack(seen, part) for part in parts], ""
    part = _fitting(parts[0], seen.data[parts[0].kind][0, 0].numel(), first)
    fewer = len(part.heads) < len(parts[0].heads)
    note = (
        f"{size / 1e6:.0f} million weights are too many for one page: this shows layers {part.layers[0]} to "
        f"{part.layers[-1]}{f' and heads {part.heads[0]} to {part.heads[-1]}' if fewer else ''}"
        f"{f' of the {part.kind} attention' if len(kinds) > 1 else ''}. "
        "Choose others with layers=[…], or a shorter text."
    )
    return [_stack(seen, part)], note


def _fitting(part: _Part, head_size: int, first: int) -> _Part:
    """As many layers of `part`, from `first` on, as a page can hold; fewer heads where one layer is too much."""
    kind, layers, heads = part
    count = max(1, LARGEST // (len(heads) * head_size))
    start = max(0, min(layers.index(first) if first in layers else 0, len(layers) - count))
    return _Part(kind, layers[start : start + count], heads[: max(1, LARGEST // head_size)])


def _stack(seen: Captured, part: _Part, step: float | None = None) -> dict[str, Any]:
    """One kind of attention as the page reads it."""
    weights = _cut(seen.data[part.kind], part.layers, part.heads)
    code = coding.encode(weights.numpy(), step)
    packed = code.pop("layers")  # under "packed", as "layers" already says which these are
    return {
        **part._asdict(),
        "queries": weights.shape[2],
        "keys": weights.shape[3],
        "query_side": query_side(part.kind),
        "key_side": key_side(part.kind),
        **code,
        "packed": packed,
    }


def _behind(seen: Captured, stacks: list[dict[str, Any]]) -> "dict[str, Tensor]":
    """`.data` of a view: the weights behind the page, as captured."""
    return {stack["kind"]: _cut(seen.data[stack["kind"]], stack["layers"], stack["heads"]) for stack in stacks}


def _cut(weights: "Tensor", layers: list[int], heads: list[int]) -> "Tensor":
    """Some layers and heads of `weights`; the very tensor, uncopied, when that is all of them."""
    return weights if (len(layers), len(heads)) == tuple(weights.shape[:2]) else weights[layers][:, heads]
