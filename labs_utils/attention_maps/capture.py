"""Capture the attention weights of a model for one text, or for a padded batch of texts."""

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

from labs_utils.attention_maps import views
from labs_utils.attention_maps.captured import Captured, Source, attending, key_side, query_side
from labs_utils.attention_maps.frame import Figure
from labs_utils.attention_maps.query_key import query_key
from labs_utils.errors import WorkbookError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

_LONGEST_TARGET = 40


class Attention(Captured):
    """Attention weights and their tokens.

    Attributes:
        data: `{kind: float32 tensor [layers, heads, query, key]}`, the model's own numbers, untouched; the kinds are
            `"encoder"`, `"decoder"` (self-attention) and `"cross"` (queries from the decoder, keys from the encoder).
        tokens: `{"encoder": [...], "decoder": [...]}`: the tokens as text, padding left out.
        special: the same keys; which tokens are special.
        second: position in `tokens["encoder"]` where a second text begins, or None.
        ids: the same keys; token ids.
        source: what it takes to run the model again; None where the weights came without one.

    Every view is a `Figure` with the weights that it draws on `.data`.
    """

    def __repr__(self) -> str:
        parts = [f"{kind} {list(weights.shape)}" for kind, weights in self.data.items()]
        return f"attention [layers, heads, query, key]: {', '.join(parts)}"

    def heads(
        self, layer: int = 0, head: int | None = None, kind: str | None = None, layers: Iterable[int] | None = None
    ) -> Figure:
        """Lines from every token to those that it looks at; heads, layers and kinds can be chosen.

        Args:
            layer, head: what is shown first; the mean over all heads without a head.
            kind: `"encoder"`, `"decoder"` or `"cross"`; all that there are unless given.
            layers: bring only these into the page, for a long text or a large model.

        Raises:
            WorkbookError: there is no such layer, head or kind.
        """
        return views.heads(self, layer, head, kind, layers)

    def model(
        self, kind: str | None = None, layers: Iterable[int] | None = None, heads: Iterable[int] | None = None
    ) -> Figure:
        """A grid with the attention of every head (column) in every layer (row); a click enlarges one.

        Args:
            kind: as in `heads`. layers, heads: bring only these into the page.
        """
        return views.model(self, kind, layers, heads)

    def matrix(self, layer: int = 0, head: int = 0, kind: str | None = None) -> Figure:
        """One head as a heat map, queries in rows and keys in columns, to four decimals, with the sums of both.

        `.data` is the float32 tensor [query, key] of the head asked for.
        """
        return views.matrix(self, layer, head, kind)

    def query_key(self, layer: int = 0, head: int = 0, token: int = 0, kind: str | None = None) -> Figure:
        """How one head arrives at its weights for one token: q·k by dimension, scores, softmax.

        The model runs again and its own layers compute the queries and keys, rotary embeddings applied. `.data`
        holds the head's `query` [query, dimension], `key` [key, dimension], `bias` (masks and relative positions),
        `scores` and `weights`, the softmax of q·k · scaling + bias.

        Raises:
            WorkbookError: no such layer, head or token; or the model's layers do more than this to their scores.
        """
        return query_key(self, layer, head, token, kind)

    def cross(self, layer: int | None = None, head: int | None = None) -> Figure:
        """What an encoder–decoder looks at in its source while it writes, one target token after another.

        Args:
            layer, head: what is shown first: the last layer and the mean over its heads unless given.
        """
        return views.cross(self, layer, head)


@overload
def attention(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    pair: str | None = None,
    target: str | None = None,
    max_new_tokens: int | None = None,
) -> Attention: ...


@overload
def attention(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: list[str],
    pair: list[str] | None = None,
    target: str | None = None,
    max_new_tokens: int | None = None,
) -> list[Attention]: ...


def attention(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str | list[str],
    pair: str | list[str] | None = None,
    target: str | None = None,
    max_new_tokens: int | None = None,
) -> Attention | list[Attention]:
    """Run `model` on `text` and return its attention weights with the tokens that they belong to.

    The model is switched to eager attention for this one pass: the fast implementations never form the weights.

    Args:
        model: any encoder, causal decoder or encoder–decoder of transformers.
        text, pair: one text or two that the encoder gets together. Lists run as one padded batch; padding is cut
            off again.
        target: for an encoder–decoder, the text on the decoder's side. Without it the model generates one, greedily.
        max_new_tokens: for a causal decoder, generate so many tokens first, greedily, and show the attention over
            all. With causal attention one pass over the finished text gives the very weights of each step of the
            generation. For an encoder–decoder without a target, the longest one to generate (40 unless told).

    Returns:
        An `Attention`, or a list of them when `text` is a list.

    Raises:
        WorkbookError: empty text, a model that returns no attention weights, or weights that are not finite.

    >>> from transformers import AutoModel, AutoTokenizer
    >>> from labs_utils import checkpoint
    >>> encoder = checkpoint("encoder")
    >>> seen = attention(AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder), "hello world!")
    >>> seen.data["encoder"].shape
    torch.Size([6, 12, 5, 5])
    """
    texts = [text] if isinstance(text, str) else list(text)
    pairs = None if pair is None else [pair] if isinstance(pair, str) else list(pair)
    if not texts or not all(one.strip() for one in texts):
        raise WorkbookError("There is no attention over an empty text. Give at least one word.")
    if pairs is not None and len(pairs) != len(texts):
        raise WorkbookError(f"{len(texts)} texts need as many pairs; {len(pairs)} were given.")
    if max_new_tokens and not model.config.is_encoder_decoder:
        # Each text is continued alone, without padding between it and what is generated.
        found = [
            _capture(model, tokenizer, [one], None if pairs is None else [pairs[place]], target, max_new_tokens)[0]
            for place, one in enumerate(texts)
        ]
    else:
        found = _capture(model, tokenizer, texts, pairs, target, max_new_tokens)
    return found[0] if isinstance(text, str) else found


def _capture(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: list[str],
    pairs: list[str] | None,
    target: str | None,
    max_new_tokens: int | None,
) -> list[Attention]:
    """Run the model on `texts` as one batch. A causal decoder can only continue a single text."""
    encoded = _encode(tokenizer, texts, pairs).to(model.device)
    texts_of_tokens = [_texts_of_tokens(encoded, row, tokenizer) for row in range(len(texts))]
    mask = encoded["attention_mask"]
    inputs = _accepted(model, encoded)
    with attending(model, "eager"):
        if model.config.is_encoder_decoder:
            inputs |= _decoder_inputs(model, tokenizer, inputs, target, max_new_tokens or _LONGEST_TARGET)
        elif max_new_tokens:
            inputs = _continued(model, tokenizer, inputs, max_new_tokens)
            mask, texts_of_tokens = inputs["attention_mask"], [None]
        weights = _weights(model(**inputs, output_attentions=True), model)
    return [_example(weights, inputs, mask, row, tokenizer, texts_of_tokens[row], model) for row in range(len(texts))]


def _encode(tokenizer: "PreTrainedTokenizerBase", texts: list[str], pairs: list[str] | None) -> "BatchEncoding":
    several = len(texts) > 1
    if several and tokenizer.pad_token is None:
        raise WorkbookError(
            "A batch of texts needs padding, and this tokenizer has no pad token. Give one text at a time."
        )
    arguments = (texts,) if pairs is None else (texts, pairs)
    # Padding on the right leaves every token its position, so a batch gives the weights that each text has alone.
    side = {"padding_side": "right"} if several else {}
    return tokenizer(
        *arguments, return_tensors="pt", padding=several, truncation=True, return_attention_mask=True, **side
    )


def _texts_of_tokens(
    encoded: "BatchEncoding", row: int, tokenizer: "PreTrainedTokenizerBase"
) -> list[int | None] | None:
    """For every token 0 or 1, the text that it is from (None for special ones); None where the tokenizer can't say."""
    if tokenizer.is_fast:
        return encoded.sequence_ids(row)
    return encoded["token_type_ids"][row].tolist() if "token_type_ids" in encoded else None


def _accepted(model: "PreTrainedModel", encoded: "BatchEncoding") -> "dict[str, Tensor]":
    """Only what the model's forward takes: a BERT tokenizer's token types mean nothing to a decoder."""
    taken = set(inspect.signature(model.forward).parameters)
    if not model.config.is_encoder_decoder and _is_causal(model):
        taken.discard("token_type_ids")  # GPT-2 would take them, and add the embedding of the word with the id 0
    return {name: value for name, value in encoded.items() if name in taken}


def _decoder_inputs(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    inputs: "dict[str, Tensor]",
    target: str | None,
    longest: int,
) -> "dict[str, Tensor]":
    """The decoder's side: the given target shifted right, or what the model generates."""
    if target is None:
        generated = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=longest)
        return {"decoder_input_ids": generated}
    labels = tokenizer(text_target=[target] * len(inputs["input_ids"]), return_tensors="pt")["input_ids"]
    return {"decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels=labels.to(model.device))}


def _continued(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    inputs: "dict[str, Tensor]",
    max_new_tokens: int,
) -> "dict[str, Tensor]":
    """The model's inputs with what it generates after them."""
    import torch

    ids = model.generate(
        **inputs, do_sample=False, num_beams=1, max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id
    )
    new = torch.ones_like(ids[:, inputs["input_ids"].shape[1] :])
    return {"input_ids": ids, "attention_mask": torch.cat([inputs["attention_mask"], new], dim=1)}


def _weights(output: Any, model: "PreTrainedModel") -> "dict[str, Tensor]":
    """`{kind: tensor [layers, batch, heads, query, key]}` from a model output."""
    import torch

    if model.config.is_encoder_decoder:
        names = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    else:
        names = {"decoder" if _is_causal(model) else "encoder": "attentions"}
    weights = {}
    for kind, name in names.items():
        layers = getattr(output, name, None)
        if not layers or any(layer is None for layer in layers):
            raise WorkbookError(
                f'{type(model).__name__} returned no attention weights. Load it with attn_implementation="eager"; '
                "a model without attention (a state-space model, say) has none to show."
            )
        weights[kind] = torch.stack([layer.float().cpu() for layer in layers])
        if not weights[kind].isfinite().all():
            raise WorkbookError(
                f"The {kind} attention has weights that are not finite (nan or inf). A row whose keys are all masked, "
                "or a model in float16 on a CPU, gives these; look at the attention mask and the dtype."
            )
    return weights


def _is_causal(model: "PreTrainedModel") -> bool:
    """A decoder-only model: its layers' attention modules say so, or its class generates text."""
    flags = [module.is_causal for module in model.modules() if isinstance(getattr(module, "is_causal", None), bool)]
    return any(flags) if flags else model.can_generate()


def _example(
    weights: "dict[str, Tensor]",
    inputs: "dict[str, Tensor]",
    mask: "Tensor",
    row: int,
    tokenizer: "PreTrainedTokenizerBase",
    texts_of_tokens: list[int | None] | None,
    model: "PreTrainedModel",
) -> Attention:
    """Cut one row out of the batch, without its padding."""
    real = {"encoder": mask[row].bool().cpu(), "decoder": mask[row].bool().cpu()}
    rows = {"decoder" if "encoder" not in weights else "encoder": inputs["input_ids"][row].cpu()}
    if "decoder_input_ids" in inputs:
        rows["decoder"] = inputs["decoder_input_ids"][row].cpu()
        real["decoder"] = _until_padding(rows["decoder"], tokenizer.pad_token_id)
    ids = {side: all_ids[real[side]].tolist() for side, all_ids in rows.items()}
    data = {
        kind: batch[:, row][:, :, real[query_side(kind)]][:, :, :, real[key_side(kind)]].contiguous()
        for kind, batch in weights.items()
    }
    special = {side: [token in tokenizer.all_special_ids for token in of_side] for side, of_side in ids.items()}
    tokens = {side: tokenizer.convert_ids_to_tokens(of_side) for side, of_side in ids.items()}
    second = None
    if texts_of_tokens is not None and 1 in texts_of_tokens:
        kept = [text for text, is_real in zip(texts_of_tokens, real["encoder"].tolist(), strict=True) if is_real]
        second = kept.index(1)
    one_row = {name: value[row : row + 1] for name, value in inputs.items()}
    return Attention(data, tokens, special, ids, second, Source(model, one_row, real))


def _until_padding(ids: "Tensor", pad: int | None) -> "Tensor":
    """Which decoder tokens are real. The first may be the pad token: several models start with it."""
    import torch

    real = torch.ones_like(ids, dtype=torch.bool)
    if pad is not None:
        real[1:] = ids[1:] != pad
    return real
