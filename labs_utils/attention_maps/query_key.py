"""One head's queries and keys, from the model's real weights: how q·k becomes attention, dimension by dimension."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labs_utils.attention_maps import coding
from labs_utils.attention_maps.captured import Captured, Source, attending, key_side, query_side
from labs_utils.attention_maps.frame import Figure
from labs_utils.attention_maps.views import ROWS, figure, height, require, require_kind
from labs_utils.errors import WorkbookError

if TYPE_CHECKING:
    from torch import Tensor

_RECORDER = "labs_recorder"
_LARGEST = 300_000  # numbers in the q and k of one page; above it only the chosen head's are sent


@dataclass(frozen=True)
class Recomputed:
    """One layer's attention, from its queries and keys.

    Attributes:
        query: [heads, query, dimension], rotary embeddings applied.
        key: [heads, key, dimension]; the keys of grouped heads are repeated for each head of their group.
        bias: [heads, query, key]: relative positions, and -inf where a key is masked.
        scores: q·k · `scaling` + `bias`.
        weights: the softmax of the scores.
        scaling: what q·k is multiplied with.
        shared: how many heads use one key.
    """

    query: "Tensor"
    key: "Tensor"
    bias: "Tensor"
    scores: "Tensor"
    weights: "Tensor"
    scaling: float
    shared: int


@dataclass(frozen=True)
class _Call:
    """What one attention layer was given: queries, keys and what is added to their scores, padding and all."""

    query: "Tensor"
    key: "Tensor"
    scaling: float
    added: "list[Tensor]"


def query_key(seen: Captured, layer: int | None, head: int, token: int, kind: str | None) -> Figure:
    """See `Attention.query_key`."""
    kind = kind or next(iter(seen.data))
    require_kind(seen, kind)
    layer = seen.layers[kind][0] if layer is None else layer
    weights = seen.data[kind][require("layer", layer, seen.layers[kind])]
    require("head", head, range(weights.shape[0]))
    require("token", token, range(weights.shape[1]))
    found = recompute(seen, layer, kind)
    _require_truth(seen, found, layer, kind)
    shown, note = list(range(weights.shape[0])), ""
    if 2 * found.query.numel() > _LARGEST:
        shown, note = [head], f"Head {head} only: the queries and keys of all heads would be too much at this length."
    packed = {"query": found.query, "key": found.key, "bias": found.bias, "weights": weights}
    state = {
        "kind": kind,
        "layer": layer,
        "head": head,
        "token": token,
        "shown": shown,
        "queries": weights.shape[1],
        "keys": weights.shape[2],
        "width": found.query.shape[-1],
        "scaling": found.scaling,
        "shared": found.shared,
        "query_side": query_side(kind),
        "key_side": key_side(kind),
        "packed": {name: coding.floats(values[shown].numpy()) for name, values in packed.items()},
        "note": note,
    }
    data = {name: getattr(found, name)[head] for name in ("query", "key", "scores", "bias", "weights")}
    title = f"Queries and keys of layer {layer}, head {head}"
    high = height(110 + ROWS["query_key"] * weights.shape[2], least=320)
    return figure("query_key", seen, state, data, title, high)


def recompute(seen: Captured, layer: int, kind: str) -> Recomputed:
    """Run the model again and compute the weights of one layer from its queries and keys.

    Raises:
        WorkbookError: the weights came without a model, or its layers don't use transformers' attention interface.
    """
    import torch

    source = _source(seen)
    calls = _record(seen, source, kind)
    place = seen.layers[kind].index(layer)
    if len(calls) != len(seen.layers[kind]):
        raise WorkbookError(
            f"{type(source.model).__name__} does not pass its queries and keys through the attention "
            "interface of transformers, so they can't be watched. The view knows BERT, DistilBERT, RoBERTa, GPT-2, "
            "LLaMA, T5, BART, Marian and their relatives."
        )
    call = calls[place]
    rows, columns = source.real[query_side(kind)], source.real[key_side(kind)]
    query, key = call.query[0][:, rows], call.key[0][:, columns]
    shared = query.shape[0] // key.shape[0]
    key = key.repeat_interleave(shared, dim=0)
    bias = torch.zeros(query.shape[0], query.shape[1], key.shape[1])
    for added in call.added:
        full = added[0].expand(-1, len(rows), -1)[..., : len(columns)]
        bias = bias + full[:, rows][:, :, columns]
    bias[bias < -1e30] = float("-inf")
    scores = (query @ key.transpose(1, 2)) * call.scaling + bias
    return Recomputed(query, key, bias, scores, scores.softmax(-1), call.scaling, shared)


def _source(seen: Captured) -> Source:
    if seen.source is None:
        raise WorkbookError("These weights came without the model that computed them: it can't be asked for its keys.")
    return seen.source


def _require_truth(seen: Captured, found: Recomputed, layer: int, kind: str) -> None:
    """Refuse to draw what is not the model's own attention, up to the rounding of its dtype."""
    import torch

    own = seen.data[kind][seen.layers[kind].index(layer)]
    difference = (found.weights - own).abs().max().item()
    if difference > max(1e-4, 4 * torch.finfo(_source(seen).model.dtype).eps):
        raise WorkbookError(
            f"softmax(q·k) of layer {layer} differs from this model's attention by {difference:.2g}: its layers do "
            "more to the scores than scaling, adding a bias and masking, and this view would not tell the truth."
        )


def _record(seen: Captured, source: Source, kind: str) -> list[_Call]:
    """What every attention layer of `kind` was given, in the order of the layers."""
    calls: list[_Call] = []
    _register(calls)
    with attending(source.model, _RECORDER):
        source.model(**source.inputs)
    if not source.model.config.is_encoder_decoder:
        return calls
    count = seen.data["encoder"].shape[0]
    encoder, decoder = calls[:count], calls[count:]
    # A decoder layer looks at itself, then at the encoder's output.
    return {"encoder": encoder, "decoder": decoder[::2], "cross": decoder[1::2]}[kind]


def _register(calls: list[_Call]) -> None:
    """Give transformers an attention function that notes queries, keys and masks in `calls` first."""
    import torch
    from torch import Tensor
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    def recorder(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        added = [one for one in (attention_mask, kwargs.get("position_bias")) if one is not None]
        calls.append(
            _Call(query.float().cpu(), key.float().cpu(), float(scaling), [one.float().cpu() for one in added])
        )
        shared = query.shape[1] // key.shape[1]
        key, value = (one.repeat_interleave(shared, dim=1) for one in (key, value))
        scores = sum(added, (query @ key.transpose(2, 3)) * scaling)
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    AttentionInterface.register(_RECORDER, recorder)
    AttentionMaskInterface.register(_RECORDER, eager_mask)
