"""One head's queries and keys, from the model's real weights: how q·k becomes attention, dimension by dimension."""

import contextlib
from collections.abc import Iterator

from labs_utils.attention_maps import coding
from labs_utils.attention_maps.frame import Figure
from labs_utils.attention_maps.views import figure, known, known_kind
from labs_utils.errors import WorkbookError

_RECORDER = "labs_recorder"
_LARGEST = 300_000  # numbers in the q and k of one page; above it only the chosen head's are sent


def query_key(seen, layer: int, head: int, token: int, kind: str | None) -> Figure:
    """See `Attention.query_key`."""
    kind = kind or next(iter(seen.data))
    known_kind(seen, kind)
    weights = seen.data[kind]
    for what, value, count in (
        ("layer", layer, weights.shape[0]),
        ("head", head, weights.shape[1]),
        ("token", token, weights.shape[2]),
    ):
        known(what, value, count)
    found = recompute(seen, layer, kind)
    wrong = (found["weights"] - weights[layer]).abs().max().item()
    if wrong > _tolerance(seen._source.model):
        raise WorkbookError(
            f"softmax(q·k) of layer {layer} differs from this model's attention by {wrong:.2g}: its layers do "
            "more to the scores than scaling, adding a bias and masking, and this view would not tell the truth."
        )
    size = 2 * found["query"].numel()
    shown = list(range(weights.shape[1])) if size <= _LARGEST else [head]
    state = {
        "kind": kind,
        "layer": layer,
        "head": head,
        "token": token,
        "shown": shown,
        "queries": weights.shape[2],
        "keys": weights.shape[3],
        "width": found["query"].shape[-1],
        "scaling": found["scaling"],
        "shared": found["shared"],
        "query_side": "decoder" if kind == "cross" else kind,
        "key_side": "encoder" if kind == "cross" else kind,
        "packed": {name: coding.floats(found[name][shown].numpy()) for name in ("query", "key", "bias")},
        "note": ""
        if len(shown) > 1
        else f"Head {head} only: the queries and keys of all heads would be too much at this length.",
    }
    state["packed"]["weights"] = coding.floats(weights[layer][shown].numpy())
    data = {name: found[name][head] for name in ("query", "key", "scores", "bias", "weights")}
    height = min(700, 46 + 34 + 110 + 22 * weights.shape[3])
    return figure("query_key", seen, state, data, f"Queries and keys of layer {layer}, head {head}", max(320, height))


def recompute(seen, layer: int, kind: str) -> dict:
    """Run the model again and compute the weights of one layer from its queries and keys.

    Returns:
        `query` [heads, query, dimension] and `key` [heads, key, dimension], rotary embeddings applied, the keys of
        grouped heads repeated for each head of their group; `scores` [heads, query, key], which is
        q·k · `scaling` + `bias`; `bias`, which holds relative positions and -inf where a key is masked; `weights`, the
        softmax of the scores; `shared`, how many heads use one key.

    Raises:
        WorkbookError: a model that doesn't use the attention interface of transformers.
    """
    import torch

    calls = _record(seen, kind)
    if len(calls) <= layer:
        raise WorkbookError(
            f"{type(seen._source.model).__name__} does not pass its queries and keys through the attention "
            "interface of transformers, so they can't be watched. The view knows BERT, DistilBERT, RoBERTa, GPT-2, "
            "LLaMA, T5, BART, Marian and their relatives."
        )
    call = calls[layer]
    kept = seen._source.kept
    rows, columns = kept["decoder" if kind == "cross" else kind], kept["encoder" if kind == "cross" else kind]
    query, key = call["query"][0][:, rows], call["key"][0][:, columns]
    shared = query.shape[0] // key.shape[0]
    key = key.repeat_interleave(shared, dim=0)
    bias = torch.zeros(query.shape[0], query.shape[1], key.shape[1])
    for added in call["added"]:
        full = added[0].expand(-1, len(rows), -1)[..., : len(columns)]
        bias = bias + full[:, rows][:, :, columns]
    bias[bias < -1e30] = float("-inf")
    scores = (query @ key.transpose(1, 2)) * call["scaling"] + bias
    weights = scores.softmax(-1)
    return {**call, "query": query, "key": key, "bias": bias, "scores": scores, "weights": weights, "shared": shared}


def _tolerance(model) -> float:
    """How far the recomputed weights may be off: rounding of the model's own dtype."""
    import torch

    return max(1e-4, 4 * torch.finfo(model.dtype).eps)


def _record(seen, kind: str) -> list[dict]:
    """What every attention layer of `kind` was given, in the order of the layers."""
    import torch

    calls: list[dict] = []
    with torch.no_grad(), _recording(seen._source.model, calls):
        seen._source.model(**seen._source.inputs)
    if not seen._source.model.config.is_encoder_decoder:
        return calls
    count = seen.data["encoder"].shape[0]
    encoder, decoder = calls[:count], calls[count:]
    # A decoder layer looks at itself, then at the encoder's output.
    return {"encoder": encoder, "decoder": decoder[::2], "cross": decoder[1::2]}[kind]


@contextlib.contextmanager
def _recording(model, calls: list[dict]) -> Iterator[None]:
    """Let `model` compute its attention through a function that notes queries, keys and masks first."""
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    def recorder(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        added = [one.float().cpu() for one in (attention_mask, kwargs.get("position_bias")) if one is not None]
        calls.append(
            {"query": query.float().cpu(), "key": key.float().cpu(), "scaling": float(scaling), "added": added}
        )
        shared = query.shape[1] // key.shape[1]
        key, value = (one.repeat_interleave(shared, dim=1) for one in (key, value))
        scores = (query @ key.transpose(2, 3)) * scaling
        for one in (attention_mask, kwargs.get("position_bias")):
            scores = scores if one is None else scores + one
        weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    before, training = model.config._attn_implementation, model.training
    AttentionInterface.register(_RECORDER, recorder)
    AttentionMaskInterface.register(_RECORDER, eager_mask)
    model.eval()
    model.set_attn_implementation(_RECORDER)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        model.train(training)
