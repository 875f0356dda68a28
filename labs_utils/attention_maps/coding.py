"""Attention weights as few bytes: rounded to a step that the size allows, with the strongest key of every row exact.

A layer travels as one byte string, gzipped when that is smaller. For H heads, Q queries and K keys it holds, in order:

* `H·K·Q` cells, the weight in steps, key by key: neighbouring queries look at the same keys, so they compress best so;
  in two planes, low bytes then high bytes, when a weight can be more than 255 steps;
* `H·Q` positions of the strongest key (low bytes, high bytes), so that no rounding ever moves a row's maximum;
* `H·Q` weights of that key in ten-thousandths (low bytes, high bytes).

`page/decode.js` holds the twin of `decode_layer`; a browser test compares the two.
"""

import base64
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

STEPS = (1e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)
PEAK = 1e-4  # the strongest weight of a row is always given to four decimals


def encode(weights: ArrayLike, step: float | None = None) -> dict[str, Any]:
    """Encode attention weights [layers, heads, query, key] for the page.

    Args:
        weights: float tensor or array; every weight between 0 and 1.
        step: what a weight is rounded to; the finest one that the size allows unless given (see `fitting_step`).

    Returns:
        `{"step", "wide", "causal", "layers": [{"gzip": bool, "data": base64}, …]}`; `wide` says that cells have two
        planes, `causal` that no query looks at a later key.
    """
    array = np.asarray(weights, dtype=np.float32)
    step = step or fitting_step(array)
    wide = step < 1 / 255
    with ThreadPoolExecutor(2) as pool:  # zlib lets go of the interpreter's lock
        layers = list(pool.map(lambda layer: pack(_layer_bytes(layer, step, wide)), array))
    return {"step": step, "wide": wide, "causal": _is_lower_triangular(array), "layers": layers}


def decode_layer(
    packed: dict[str, Any], shape: tuple[int, int, int], step: float, wide: bool, causal: bool = False
) -> NDArray[np.float32]:
    """The weights [heads, query, key] that the page draws for one layer, as float32.

    >>> weights = np.array([[[[0.1, 0.9], [0.75, 0.25]]]], dtype=np.float32)
    >>> code = encode(weights)
    >>> decode_layer(code["layers"][0], (1, 2, 2), code["step"], code["wide"]).round(4).tolist()[0][0]
    [0.10000000149011612, 0.8999999761581421]
    """
    heads, queries, keys = shape
    raw = np.frombuffer(unpack(packed), dtype=np.uint8)
    count, rows = heads * queries * keys, heads * queries
    cells = raw[:count].astype(np.uint16)
    if wide:
        cells += raw[count : 2 * count].astype(np.uint16) << 8
    rest = raw[(1 + wide) * count :].astype(np.uint16).reshape(4, rows)
    top, peak = rest[0] + (rest[1] << 8), (rest[2] + (rest[3] << 8)) * np.float32(PEAK)
    values = (cells * np.float32(step)).reshape(heads, keys, queries).transpose(0, 2, 1).reshape(rows, keys)
    values = np.minimum(values, peak[:, None] - np.float32(1e-6)).clip(0)
    values[np.arange(rows), top] = peak
    return _filled(values, peak, step, causal, queries).reshape(shape)


def _filled(
    values: NDArray[np.float32], peak: NDArray[np.float32], step: float, causal: bool, queries: int
) -> NDArray[np.float32]:
    """Share what is missing to 1 among a row's cells that were rounded to 0: broad attention isn't drawn as none."""
    if step <= 1e-3:
        return values
    allowed = values == 0
    if causal:
        position: NDArray[np.int64] = np.arange(len(values))[:, None] % queries
        allowed &= np.arange(values.shape[1])[None] <= position
    missing = (1 - values.sum(1)) / np.maximum(allowed.sum(1), 1)
    missing = np.minimum(missing.clip(0, step / 2), peak - np.float32(1e-6)).clip(0)
    return np.where(allowed, missing[:, None], values).astype(np.float32)


def _layer_bytes(layer: NDArray[np.float32], step: float, wide: bool) -> bytes:
    """The byte string of one layer [heads, query, key]; its parts are listed at the top of this module."""
    cells = np.rint(layer.transpose(0, 2, 1) / np.float32(step)).astype(np.uint16)
    top = layer.argmax(-1).astype(np.uint16)
    peak = np.rint(layer.max(-1) / np.float32(PEAK)).astype(np.uint16)
    parts = [_planes(cells, 1 + wide), _planes(top, 2), _planes(peak, 2)]
    return b"".join(parts)


def _planes(values: NDArray[np.uint16], count: int) -> bytes:
    """Low bytes, then high bytes: the high ones are nearly all 0 and vanish when compressed."""
    return b"".join((values >> (8 * plane)).astype(np.uint8).tobytes() for plane in range(count))


def fitting_step(weights: NDArray[np.float32]) -> float:
    """The finest step with which `weights` [layers, heads, query, key] take no more bytes than a page of theirs should.

    That is 0.28 MB and 0.17 MB for every million weights. The entropy of the rounded weights foretells it to 10 %.
    """
    allowed = 0.28e6 + 0.17 * weights.size
    sample = weights[:, :, :: max(1, weights.shape[2] // 32)]
    for step in STEPS:
        counts = np.bincount(np.rint(sample / np.float32(step)).astype(np.int64).ravel())
        shares = counts[counts > 0] / sample.size
        bits = -(shares * np.log2(shares)).sum()
        if weights.size * bits / 8 * 4 / 3 <= allowed:
            return step
    return STEPS[-1]


def pack(raw: bytes) -> dict[str, Any]:
    """Bytes as base64, gzipped when that is smaller."""
    squeezer = zlib.compressobj(5, zlib.DEFLATED, 31, 9, zlib.Z_FILTERED)  # 31: with gzip's header
    small = squeezer.compress(raw) + squeezer.flush()
    gzip = len(small) < len(raw)
    return {"gzip": gzip, "data": base64.b64encode(small if gzip else raw).decode("ascii")}


def unpack(packed: dict[str, Any]) -> bytes:
    """The bytes that `pack` was given.

    >>> unpack(pack(b"attention" * 100)) == b"attention" * 100
    True
    """
    raw = base64.b64decode(packed["data"])
    return zlib.decompress(raw, 31) if packed["gzip"] else raw


def floats(values: ArrayLike) -> dict[str, Any]:
    """Any array as packed float32, little-endian, row by row."""
    return pack(np.ascontiguousarray(values, dtype="<f4").tobytes())


def _is_lower_triangular(array: NDArray[np.float32]) -> bool:
    square = array.shape[2] == array.shape[3] and array.shape[3] > 1
    return bool(square and not np.triu(array.max((0, 1)), 1).any())
