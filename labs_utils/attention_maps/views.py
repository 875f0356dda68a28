"""The views of captured attention: each makes one HTML page from the weights, the tokens, page.js and page.css."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from labs_utils.attention_maps import coding
from labs_utils.attention_maps.frame import DARK_EXTRA, Figure
from labs_utils.errors import WorkbookError

# More weights than this (a 6 × 12 model at 577 tokens) would make a page that is slow to open.
LARGEST = 24_000_000
# A matrix is exact to four decimals in every cell; of more weights than these it brings fewer layers or heads.
LARGEST_EXACT = 1_600_000
_ROW, _TOOLBAR, _STATUS, _TALLEST = 20, 46, 34, 700
_QUERIES = {"encoder": "encoder", "decoder": "decoder", "cross": "decoder"}
_KEYS = {"encoder": "encoder", "decoder": "decoder", "cross": "encoder"}


def heads(seen, layer: int, head: int | None, kind: str | None, layers: Iterable[int] | None) -> Figure:
    """Lines between tokens; see `Attention.heads`."""
    kinds = [kind] if kind else list(seen.data)
    known_kind(seen, kinds[0])
    chosen = _chosen("layer", seen.data[kinds[0]].shape[0], layers)
    if layer not in chosen:
        known("layer", layer, seen.data[kinds[0]].shape[0])
        raise WorkbookError(f"Layer {layer} is not among the layers to show, {chosen}.")
    if head is not None:
        known("head", head, seen.data[kinds[0]].shape[1])
    stacks, note = _stacks(seen, kinds, layers, None, first=layer)
    longest = max(max(seen.data[one].shape[2:]) for one in kinds)
    height = min(_TALLEST, _TOOLBAR + _STATUS + 60 + _ROW * longest)
    state = {"layer": layer, "head": head, "note": note}
    return figure(
        "heads",
        seen,
        {"stacks": stacks, **state},
        _drawn(seen, stacks),
        "Attention between tokens, by layer and head",
        height,
    )


def model(seen, kind: str | None, layers: Iterable[int] | None, heads: Iterable[int] | None) -> Figure:
    """A grid of all layers and heads; see `Attention.model`."""
    kinds = [kind] if kind else list(seen.data)
    known_kind(seen, kinds[0])
    stacks, note = _stacks(seen, kinds, layers, heads, first=0)
    rows, columns = len(stacks[0]["layers"]), len(stacks[0]["heads"])
    thumbnail = min(96, max(26, 800 // columns))
    height = min(_TALLEST, max(420, _TOOLBAR + _STATUS + 44 + rows * thumbnail))
    title = "Attention of every layer and head"
    return figure(
        "model",
        seen,
        {"stacks": stacks, "layer": stacks[0]["layers"][0], "note": note},
        _drawn(seen, stacks),
        title,
        height,
    )


def matrix(seen, layer: int, head: int, kind: str | None) -> Figure:
    """A heat map with every weight to four decimals; see `Attention.matrix`."""
    kind = kind or next(iter(seen.data))
    known_kind(seen, kind)
    weights = seen.data[kind]
    known("layer", layer, weights.shape[0])
    known("head", head, weights.shape[1])
    layers, heads_, note = list(range(weights.shape[0])), list(range(weights.shape[1])), ""
    if weights.numel() > LARGEST_EXACT:
        layers, note = [layer], f"Layer {layer} only: every layer to four decimals would be too much at this length."
    if weights[layers].numel() > LARGEST_EXACT:
        heads_, note = (
            [head],
            f"Layer {layer}, head {head} only: more to four decimals would be too much at this length.",
        )
    stack = _stack(seen, kind, layers, heads_, step=coding.PEAK)
    shown = _part(weights, layers, heads_).double()
    stack["sums"] = {"queries": coding.floats(shown.sum(-1).numpy()), "keys": coding.floats(shown.sum(-2).numpy())}
    size = min(26, max(2, 600 / max(weights.shape[2:])))
    height = round(min(_TALLEST + 120, max(300, _TOOLBAR + _STATUS + 170 + size * weights.shape[2])))
    state = {"stacks": [stack], "layer": layer, "head": head, "note": note}
    return figure(
        "matrix", seen, state, weights[layer, head], f"Attention matrix of layer {layer}, head {head}", height
    )


def cross(seen, layer: int | None, head: int | None) -> Figure:
    """What the decoder looks at in the source, step by step; see `Attention.cross`."""
    if "cross" not in seen.data:
        raise WorkbookError(
            "Only an encoder–decoder (a translation or summarization model, say) looks from one text at another; this "
            f"model's attention is of kind {', '.join(seen.data)}."
        )
    count = seen.data["cross"].shape[0]
    layer = count - 1 if layer is None else layer
    known("layer", layer, count)
    if head is not None:
        known("head", head, seen.data["cross"].shape[1])
    stacks, note = _stacks(seen, ["cross"], None, None, first=layer)
    lines = sum(len("".join(names)) + 3 * len(names) for names in seen.tokens.values()) // 110
    height = min(_TALLEST, _TOOLBAR + _STATUS + 196 + 46 * lines)
    state = {"stacks": stacks, "layer": layer, "head": head, "note": note}
    return figure("cross", seen, state, _drawn(seen, stacks)["cross"], "Cross-attention, step by step", height)


def figure(view: str, seen, state: dict, data, title: str, height: int) -> Figure:
    """A `Figure` whose page runs view `view` of page.js on `state`."""
    described = {
        "view": view,
        "height": height,
        "dark_extra": DARK_EXTRA,
        "tokens": {side: list(map(_label, names)) for side, names in seen.tokens.items()},
        "special": seen.special,
        "second": seen.second,
        **state,
    }
    return Figure(page(title, described), data, title, height)


def page(title: str, described: dict) -> str:
    """The complete HTML page: style, description as JSON, module."""
    folder = Path(__file__).parent
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    # "<" as an escape keeps a token such as "</script>" inside its string.
    description = json.dumps(described, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<style>{style}</style></head><body><script type="application/json" id="page">{description}</script>'
        f'<script type="module">{script}</script></body></html>'
    )


def known(what: str, value: int, count: int) -> None:
    """Refuse a layer, head or token that there is not, naming those there are."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        some = f"{what}s 0 to {count - 1}" if count > 1 else f"{what} 0"
        raise WorkbookError(f"There is no {what} {value!r} here: this attention has {some}.")


def known_kind(seen, kind: str) -> None:
    """Refuse a kind of attention that the model doesn't have."""
    if kind not in seen.data:
        raise WorkbookError(f"There is no attention of kind {kind!r} here; there is: {', '.join(seen.data)}.")


def _chosen(what: str, count: int, wanted: Iterable[int] | None) -> list[int]:
    chosen = list(range(count)) if wanted is None else sorted(set(wanted))
    if not chosen:
        raise WorkbookError(f"No {what} was chosen; leave the argument out to see them all.")
    for one in chosen:
        known(what, one, count)
    return chosen


def _stacks(seen, kinds: list[str], layers, heads, first: int) -> tuple[list[dict], str]:
    """The weights of `kinds` encoded for the page, and a note where they had to be narrowed to fit it."""
    wanted = [
        (kind, _chosen("layer", seen.data[kind].shape[0], layers), _chosen("head", seen.data[kind].shape[1], heads))
        for kind in kinds
    ]
    size = sum(len(layers) * len(heads) * seen.data[kind][0, 0].numel() for kind, layers, heads in wanted)
    if size <= LARGEST:
        return [_stack(seen, *one) for one in wanted], ""
    kind, layers, heads = wanted[0]
    each = len(heads) * seen.data[kind][0, 0].numel()
    fitting = max(1, LARGEST // each)
    start = max(0, min(layers.index(first) if first in layers else 0, len(layers) - fitting))
    kept = layers[start : start + fitting]
    fitting_heads = heads[: max(1, LARGEST // seen.data[kind][0, 0].numel())] if each > LARGEST else heads
    note = (
        f"{size / 1e6:.0f} million weights are too many for one page: this shows layers {kept[0]} to {kept[-1]}"
        f"{f' and heads {fitting_heads[0]} to {fitting_heads[-1]}' if len(fitting_heads) < len(heads) else ''}"
        f"{f' of the {kind} attention' if len(kinds) > 1 else ''}. Choose others with layers=[…], or a shorter text."
    )
    return [_stack(seen, kind, kept, fitting_heads)], note


def _stack(seen, kind: str, layers: list[int], heads: list[int], step: float | None = None) -> dict:
    """One kind of attention as the page reads it."""
    weights = _part(seen.data[kind], layers, heads)
    shape = {"queries": weights.shape[2], "keys": weights.shape[3]}
    sides = {"query_side": _QUERIES[kind], "key_side": _KEYS[kind]}
    # Under "packed", as "layers" already says which these are.
    code = coding.encode(weights.numpy(), step)
    packed = code.pop("layers")
    return {"kind": kind, "layers": layers, "heads": heads, **shape, **sides, **code, "packed": packed}


def _drawn(seen, stacks: list[dict]) -> dict:
    """`.data` of a view: the weights behind the page, as captured."""
    return {stack["kind"]: _part(seen.data[stack["kind"]], stack["layers"], stack["heads"]) for stack in stacks}


def _part(weights, layers: list[int], heads: list[int]):
    """Some layers and heads of `weights`; the very tensor, uncopied, when that is all of them."""
    return weights if (len(layers), len(heads)) == tuple(weights.shape[:2]) else weights[layers][:, heads]


def _label(token: str) -> str:
    """A token as text for people: markers of a space become ␣, line breaks and tabs become visible.

    >>> [_label(token) for token in ("Ġcat", "▁cat", "##ing", "</w>")]
    ['␣cat', '␣cat', '##ing', '</w>']
    """
    shown = _from_bytes(token).replace("▁", "␣").replace(" ", "␣")
    return shown.replace("\n", "↵").replace("\t", "⇥") or "∅"


def _from_bytes(token: str) -> str:
    """Undo the alphabet of byte-level tokenizers (GPT-2's), in which `Ġ` is a space and 你 is `ä½ł`."""
    try:
        raw = bytes(_BYTES[letter] for letter in token)
    except KeyError:
        return token  # some letter is not of that alphabet: an ordinary token
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return token  # a piece of a character, or a word such as "café" of another kind of tokenizer


def _byte_alphabet() -> dict[str, int]:
    """`{letter: byte}`: printable Latin-1 letters stand for themselves, the others follow from U+0100 on."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_alphabet()
