"""The views of captured attention: each says what its page shows, and how high its frame is."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from labs_utils.attention_maps import coding
from labs_utils.attention_maps.captured import Captured, key_side, query_side
from labs_utils.attention_maps.frame import DARK_EXTRA, Figure
from labs_utils.attention_maps.joining import page
from labs_utils.errors import WorkbookError

if TYPE_CHECKING:
    from torch import Tensor

# More weights than this (72 heads at 512 tokens) would make a page that is slow to open.
LARGEST = 19_000_000
# A matrix is exact to four decimals in every cell; of more weights than these it brings fewer layers or heads.
LARGEST_EXACT = 1_600_000
# Heights are in CSS pixels. A view of rows draws them as high as it is told here.
ROWS = {"heads": 20, "query_key": 22, "cross": 46}
_TOOLBAR, _STATUS, _TALLEST = 46, 34, 700


def heads(
    seen: Captured, layer: int | None, head: int | None, kind: str | None, layers: Iterable[int] | None
) -> Figure:
    """Lines between tokens; see `Attention.heads`."""
    kinds = _kinds(seen, kind)
    chosen = _chosen("layer", seen.layers[kinds[0]], layers)
    layer = chosen[0] if layer is None else layer
    require("layer", layer, seen.layers[kinds[0]])
    if layer not in chosen:
        raise WorkbookError(f"Layer {layer} is not among the layers to show, {chosen}.")
    if head is not None:
        require("head", head, _heads(seen, kinds[0]))
    stacks, note = _stacks(seen, kinds, chosen if layers is not None else None, None, (layer, head or 0))
    longest = max(max(seen.data[each].shape[2:]) for each in kinds)
    state = {"stacks": stacks, "layer": layer, "head": head, "note": note}
    title = "Attention between tokens, by layer and head"
    return figure("heads", seen, state, _behind(seen, stacks), title, height(60 + ROWS["heads"] * longest))


def model(seen: Captured, kind: str | None, layers: Iterable[int] | None, heads: Iterable[int] | None) -> Figure:
    """A grid of all layers and heads; see `Attention.model`."""
    stacks, note = _stacks(seen, _kinds(seen, kind), layers, heads, (None, None))
    rows, columns = len(stacks[0]["layers"]), len(stacks[0]["heads"])
    thumbnail = min(96, max(26, 800 // columns))
    state = {"stacks": stacks, "layer": stacks[0]["layers"][0], "note": note}
    title = "Attention of every layer and head"
    return figure("model", seen, state, _behind(seen, stacks), title, height(44 + thumbnail * rows, least=420))


def matrix(seen: Captured, layer: int | None, head: int, kind: str | None) -> Figure:
    """A heat map with every weight to four decimals; see `Attention.matrix`."""
    kind = _kinds(seen, kind)[0]
    weights, layers, heads, note = seen.data[kind], seen.layers[kind], _heads(seen, kind), ""
    layer = layers[0] if layer is None else layer
    place = require("layer", layer, layers)
    require("head", head, heads)
    if weights.numel() > LARGEST_EXACT:
        layers, note = [layer], f"Layer {layer} only: every layer to four decimals would be too much at this length."
        if weights[place].numel() > LARGEST_EXACT:
            heads = [head]
            note = f"Layer {layer}, head {head} only: more to four decimals would be too much at this length."
    stack = _stack(seen, _Part(kind, layers, heads), step=coding.PEAK)
    sums = _cut(seen, kind, layers, heads).double()
    stack["sums"] = {"queries": coding.floats(sums.sum(-1).numpy()), "keys": coding.floats(sums.sum(-2).numpy())}
    state = {"stacks": [stack], "layer": layer, "head": head, "note": note}
    title = f"Attention matrix of layer {layer}, head {head}"
    cell = min(26, max(2, 600 / max(weights.shape[2:])))
    high = height(170 + cell * weights.shape[2], least=300, most=_TALLEST + 120)
    return figure("matrix", seen, state, weights[place, head], title, high)


def cross(seen: Captured, layer: int | None, head: int | None) -> Figure:
    """What the decoder looks at in the source, step by step; see `Attention.cross`."""
    if "cross" not in seen.data:
        raise WorkbookError(
            "Only an encoder–decoder (a translation or summarization model, say) looks from one text at another; this "
            f"model's attention is of kind {', '.join(seen.data)}."
        )
    layer = seen.layers["cross"][-1] if layer is None else layer
    require("layer", layer, seen.layers["cross"])
    if head is not None:
        require("head", head, _heads(seen, "cross"))
    stacks, note = _stacks(seen, ["cross"], None, None, (layer, head or 0))
    state = {"stacks": stacks, "layer": layer, "head": head, "note": note}
    more_lines = sum(len("".join(names)) + 3 * len(names) for names in seen.labels.values()) // 110
    high = height(196 + ROWS["cross"] * more_lines)
    return figure("cross", seen, state, _behind(seen, stacks)["cross"], "Cross-attention, step by step", high)


def figure(view: str, seen: Captured, state: dict[str, Any], data: Any, title: str, height: int) -> Figure:
    """A `Figure` whose page shows `view` of `seen`, beginning with `state`; its note also says what was cut off."""
    note = " ".join(filter(None, [seen.note, state["note"]]))
    described = {
        "view": view,
        "height": height,
        "dark_extra": DARK_EXTRA,
        "tokens": seen.labels,
        "special": seen.special,
        "second": seen.second,
        **({"row": ROWS[view]} if view in ROWS else {}),
        **state,
        "note": note,
    }
    return Figure(page(title, described), data, title, height, note)


def height(inside: float, least: int = 1, most: int = _TALLEST) -> int:
    """How high a frame is whose view has `inside` pixels between the toolbar and the status line."""
    return round(min(most, max(least, _TOOLBAR + _STATUS + inside)))


def require(what: str, value: int, numbers: Sequence[int]) -> int:
    """The place of a layer, head or token among those there are; refuse another, naming them."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in numbers:
        some = f"{what}s {_listed(numbers)}" if len(numbers) > 1 else f"{what} {numbers[0]}"
        raise WorkbookError(f"There is no {what} {value!r} here: this attention has {some}.")
    return numbers.index(value)


def _listed(numbers: Sequence[int]) -> str:
    """Numbers in words, shortened where they follow each other by one step.

    >>> _listed([0, 1, 2, 3]), _listed([0, 4, 8, 12, 16]), _listed([2, 5])
    ('0 to 3', '0, 4, 8, …, 16', '2, 5')
    """
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    is_even = list(numbers) == list(range(numbers[0], numbers[-1] + 1, step))
    if is_even and step == 1 and len(numbers) > 2:
        return f"{numbers[0]} to {numbers[-1]}"
    if is_even and len(numbers) > 4:
        return f"{', '.join(map(str, numbers[:3]))}, …, {numbers[-1]}"
    return ", ".join(map(str, numbers))


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


def _heads(seen: Captured, kind: str) -> list[int]:
    return list(range(seen.data[kind].shape[1]))


def _chosen(what: str, there: Sequence[int], asked: Iterable[int] | None) -> list[int]:
    """The layers or heads that were asked for, in order; all of them where none were named."""
    chosen = list(there) if asked is None else sorted(set(asked))
    if not chosen:
        raise WorkbookError(f"No {what} was chosen; leave the argument out to see them all.")
    for one in chosen:
        require(what, one, there)
    return chosen


class _Part(NamedTuple):
    """Which layers and heads of one kind of attention go into a page, by their numbers."""

    kind: str
    layers: list[int]
    heads: list[int]


def _stacks(
    seen: Captured,
    kinds: list[str],
    layers: Iterable[int] | None,
    heads: Iterable[int] | None,
    first: tuple[int | None, int | None],
) -> tuple[list[dict[str, Any]], str]:
    """The weights of `kinds` encoded for the page, and a note where they had to be narrowed to fit it.

    `first` is the layer and the head that a narrowed page must bring.
    """
    parts = [
        _Part(kind, _chosen("layer", seen.layers[kind], layers), _chosen("head", _heads(seen, kind), heads))
        for kind in kinds
    ]
    size = sum(len(part.layers) * len(part.heads) * seen.data[part.kind][0, 0].numel() for part in parts)
    if size <= LARGEST:
        return [_stack(seen, part) for part in parts], ""
    whole = parts[0]
    part = _fitting(whole, seen.data[whole.kind][0, 0].numel(), *first)
    return [_stack(seen, part)], _left_out(whole, part, size, len(kinds) > 1)


def _left_out(whole: _Part, part: _Part, size: int, is_one_of_several: bool) -> str:
    """What a page of `part` leaves out of `whole`, as a sentence."""
    layers = f"{len(part.layers)} of {len(whole.layers)} layers ({_listed(part.layers)})"
    heads = f" and {len(part.heads)} of {len(whole.heads)} heads ({_listed(part.heads)})"
    return (
        f"{size / 1e6:.0f} million weights are too many for one page: this shows {layers}"
        f"{heads if len(part.heads) < len(whole.heads) else ''}"
        f"{f' of the {part.kind} attention' if is_one_of_several else ''}. "
        "Choose others with layers=[…]; in Python, .data of the attention holds every weight."
    )


def _fitting(part: _Part, head_size: int, layer: int | None, head: int | None) -> _Part:
    """As many layers as a page can hold, spread evenly, `layer` among them; fewer heads where one layer is too much."""
    kind, layers, heads = part
    count = max(1, LARGEST // (len(heads) * head_size))
    step = -(-len(layers) // count)
    start = (layers.index(layer) if layer in layers else 0) % step
    few = max(1, LARGEST // head_size)
    begin = max(0, min(heads.index(head) if head in heads else 0, len(heads) - few))
    return _Part(kind, layers[start::step], heads[begin : begin + few])


def _stack(seen: Captured, part: _Part, step: float | None = None) -> dict[str, Any]:
    """One kind of attention as the page reads it."""
    weights = _cut(seen, *part)
    code = coding.encode(weights.numpy(), step)
    packed = code.pop("layers")  # under "packed", as "layers" already says which these are
    return {
        **part._asdict(),
        "shared": seen.shared,
        "queries": weights.shape[2],
        "keys": weights.shape[3],
        "query_side": query_side(part.kind),
        "key_side": key_side(part.kind),
        **code,
        "packed": packed,
    }


def _behind(seen: Captured, stacks: list[dict[str, Any]]) -> "dict[str, Tensor]":
    """`.data` of a view: the weights behind the page, as captured."""
    return {stack["kind"]: _cut(seen, stack["kind"], stack["layers"], stack["heads"]) for stack in stacks}


def _cut(seen: Captured, kind: str, layers: list[int], heads: list[int]) -> "Tensor":
    """The weights of some layers and heads; the very tensor, uncopied, when that is all of them."""
    weights = seen.data[kind]
    if len(layers) < weights.shape[0]:
        weights = weights[[seen.layers[kind].index(layer) for layer in layers]]
    return weights if len(heads) == weights.shape[1] else weights[:, heads]
