"""The attention weights that a model returned: of which layers they are, and whether they can be drawn at all."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from labs_utils.errors import WorkbookError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_OUTPUTS = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}


class Weights(NamedTuple):
    """One kind of attention: its weights [layers, batch, heads, query, key] and the numbers of these layers."""

    values: "Tensor"
    layers: list[int]


class Seen(NamedTuple):
    """A tensor that a module returned, and the number of that module's layer."""

    tensor: "Tensor"
    layer: int


@contextlib.contextmanager
def watched(model: "PreTrainedModel") -> Iterator[list[Seen]]:
    """Note which layer returns which weights: a model with attention in some layers only returns no numbers."""
    seen: list[Seen] = []

    def note(module: Any, _inputs: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        seen.extend(Seen(one, module.layer_idx) for one in parts if getattr(one, "ndim", 0) == 4)

    hooks = [
        module.register_forward_hook(note)
        for module in model.modules()
        if isinstance(getattr(module, "layer_idx", None), int)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def weights_of(
    output: Any, seen: list[Seen], model: "PreTrainedModel", sizes: dict[str, int], batch: int
) -> dict[str, Weights]:
    """`{kind: weights}` from a model's output.

    Args:
        sizes: `{side: number of tokens}`, padding and all.

    Raises:
        WorkbookError: there are no weights, or not one for each pair of these tokens, or some that are not finite.
    """
    name = type(model).__name__
    one_side = next(iter(sizes))
    outputs = _OUTPUTS if len(sizes) > 1 else {one_side: "attentions"}
    found = {}
    for kind, attribute in outputs.items():
        returned = getattr(output, attribute, None) or ()
        layers = [layer for layer in returned if layer is not None]
        shape = (
            batch,
            None,
            sizes["decoder" if kind == "cross" else kind],
            sizes["encoder" if kind == "cross" else kind],
        )
        _require_weights(layers, shape, kind, name)
        found[kind] = Weights(_stacked(layers, kind), _numbers(returned, layers, seen))
    return found


def _require_weights(layers: list[Any], shape: tuple[int | None, ...], kind: str, name: str) -> None:
    """The one check of what came back: [batch, heads, queries, keys] for these tokens, as many heads in every layer."""
    if not layers:
        raise WorkbookError(
            f'{name} returned no attention weights. Load it with attn_implementation="eager"; '
            "a model without attention (a state-space model, say) has none to show."
        )
    shapes = sorted({tuple(getattr(layer, "shape", ())) for layer in layers})
    batch, _, queries, keys = shape
    fits = [len(one) == 4 and (one[0], one[2], one[3]) == (batch, queries, keys) for one in shapes]
    if not all(fits):
        raise WorkbookError(
            f"{name} returned {kind} attention of shape {list(shapes[fits.index(False)])}, and these tokens need "
            f"[{batch}, heads, {queries}, {keys}]: one weight for every query and key. A model that attends within "
            "windows or blocks, or pads by itself, has no such weights to show."
        )
    if len(shapes) > 1:
        heads = ", ".join(str(one[1]) for one in shapes)
        raise WorkbookError(
            f"The layers of {name} differ in their number of heads ({heads}): the views need one number."
        )


def _stacked(layers: "Sequence[Tensor]", kind: str) -> "Tensor":
    import torch

    values = torch.stack([layer.float().cpu() for layer in layers])
    if not values.isfinite().all():
        raise WorkbookError(
            f"The {kind} attention has weights that are not finite (nan or inf). A row whose keys are all masked, "
            "or a model in float16 on a CPU, gives these; look at the attention mask and the dtype."
        )
    return values


def _numbers(returned: "Sequence[Tensor | None]", layers: "Sequence[Tensor]", seen: list[Seen]) -> list[int]:
    """The layers' own numbers: by who returned the very tensor, otherwise by its place in the output."""
    by_module = [next((one.layer for one in seen if one.tensor is layer), None) for layer in layers]
    found = [number for number in by_module if number is not None]
    if len(found) == len(layers) and found == sorted(set(found)):
        return found
    return [place for place, layer in enumerate(returned) if layer is not None]
