"""Capture the attention weights of a model for one text, or for a padded batch of texts."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterable, Iterator

from labs_utils.attention_maps.frame import Figure
from labs_utils.errors import WorkbookError

_LONGEST_TARGET = 40


def attention(
    model,
    tokenizer,
    text: str | list[str],
    pair: str | list[str] | None = None,
    target: str | None = None,
    max_new_tokens: int | None = None,
) -> "Attention | list[Attention]":
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
    import torch

    texts = [text] if isinstance(text, str) else list(text)
    if not texts or not all(one.strip() for one in texts):
        raise WorkbookError("There is no attention over an empty text. Give at least one word.")
    pairs = None if pair is None else [pair] if isinstance(pair, str) else list(pair)
    if pairs is not None and len(pairs) != len(texts):
        raise WorkbookError(f"{len(texts)} texts need as many pairs; {len(pairs)} were given.")
    if max_new_tokens and len(texts) > 1 and not model.config.is_encoder_decoder:
        # Alone, each text is continued without padding between it and what is generated.
        return [attention(model, tokenizer, one, max_new_tokens=max_new_tokens) for one in texts]
    inputs = _encode(tokenizer, texts, pairs).to(model.device)
    sequences = [_sequences(inputs, index, tokenizer) for index in range(len(texts))]
    mask = inputs["attention_mask"]
    inputs = _accepted(model, inputs)
    with torch.no_grad(), _eager(model), _evaluating(model):
        if model.config.is_encoder_decoder:
            inputs |= _decoder_inputs(model, tokenizer, inputs, target, max_new_tokens or _LONGEST_TARGET)
        elif max_new_tokens:
            inputs = _continued(model, tokenizer, inputs, max_new_tokens)
            mask, sequences = inputs["attention_mask"], [None]
        output = model(**inputs, output_attentions=True)
    weights = _weights(output, model)
    found = [_one(weights, inputs, mask, index, tokenizer, sequences[index], model) for index in range(len(texts))]
    return found[0] if isinstance(text, str) else found


class Attention:
    """Attention weights and their tokens.

    Attributes:
        data: `{kind: float32 tensor [layers, heads, query, key]}`, the model's own numbers, untouched; the kinds are
            `"encoder"`, `"decoder"` (self-attention) and `"cross"` (queries from the decoder, keys from the encoder).
        tokens: `{"encoder": [...], "decoder": [...]}`: the tokens as text, padding left out.
        special: the same keys; which tokens are special.
        second: position in `tokens["encoder"]` where a second text begins, or None.
        ids: the same keys; token ids.

    Every view is a `Figure` with the weights that it draws on `.data`.
    """

    def __init__(self, data: dict, tokens: dict, special: dict, ids: dict, second: int | None, source: "_Source"):
        self.data, self.tokens, self.special, self.ids, self.second = data, tokens, special, ids, second
        self._source = source

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
        from labs_utils.attention_maps import views

        return views.heads(self, layer, head, kind, layers)

    def model(
        self, kind: str | None = None, layers: Iterable[int] | None = None, heads: Iterable[int] | None = None
    ) -> Figure:
        """A grid with the attention of every head (column) in every layer (row); a click enlarges one.

        Args:
            kind: as in `heads`. layers, heads: bring only these into the page.
        """
        from labs_utils.attention_maps import views

        return views.model(self, kind, layers, heads)

    def matrix(self, layer: int = 0, head: int = 0, kind: str | None = None) -> Figure:
        """One head as a heat map, queries in rows and keys in columns, to four decimals, with the sums of both.

        `.data` is the float32 tensor [query, key] of the head asked for.
        """
        from labs_utils.attention_maps import views

        return views.matrix(self, layer, head, kind)

    def query_key(self, layer: int = 0, head: int = 0, token: int = 0, kind: str | None = None) -> Figure:
        """How one head arrives at its weights for one token: q·k by dimension, scores, softmax.

        The model runs again and its own layers compute the queries and keys, rotary embeddings applied. `.data`
        holds the head's `query` [query, dimension], `key` [key, dimension], `bias` (masks and relative positions),
        `scores` and `weights`, the softmax of q·k · scaling + bias.

        Raises:
            WorkbookError: no such layer, head or token; or the model's layers do more than this to their scores.
        """
        from labs_utils.attention_maps import query_key

        return query_key.query_key(self, layer, head, token, kind)

    def cross(self, layer: int | None = None, head: int | None = None) -> Figure:
        """What an encoder–decoder looks at in its source while it writes, one target token after another.

        Args:
            layer, head: what is shown first: the last layer and the mean over its heads unless given.
        """
        from labs_utils.attention_maps import views

        return views.cross(self, layer, head)


@dataclasses.dataclass(frozen=True)
class _Source:
    """What is needed to run one example again: the model, its inputs (one row), and which positions are no padding."""

    model: object
    inputs: dict
    kept: dict


def _encode(tokenizer, texts: list[str], pairs: list[str] | None):
    if len(texts) > 1 and tokenizer.pad_token is None:
        raise WorkbookError(
            "A batch of texts needs padding, and this tokenizer has no pad token. Give one text at a time."
        )
    arguments = (texts,) if pairs is None else (texts, pairs)
    several = len(texts) > 1
    # Padding on the right leaves every token its position, so a batch gives the weights that each text has alone.
    side = {"padding_side": "right"} if several else {}
    return tokenizer(
        *arguments, return_tensors="pt", padding=several, truncation=True, return_attention_mask=True, **side
    )


def _sequences(inputs, index: int, tokenizer) -> list | None:
    """For every token 0 or 1, the text that it is from (None for special ones); None where the tokenizer can't say."""
    if tokenizer.is_fast:
        return inputs.sequence_ids(index)
    return inputs["token_type_ids"][index].tolist() if "token_type_ids" in inputs else None


def _accepted(model, inputs) -> dict:
    """Only what the model's forward takes: a BERT tokenizer's token types mean nothing to a decoder."""
    taken = set(inspect.signature(model.forward).parameters)
    if not model.config.is_encoder_decoder and _is_causal(model):
        taken.discard("token_type_ids")  # GPT-2 would take them, and add the embedding of the word with the id 0
    return {name: value for name, value in inputs.items() if name in taken}


@contextlib.contextmanager
def _eager(model) -> Iterator[None]:
    """Use the attention implementation that forms the weights; put the model's own back afterwards."""
    before = model.config._attn_implementation
    if before == "eager":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextlib.contextmanager
def _evaluating(model) -> Iterator[None]:
    """Dropout also drops attention weights: switch it off while they are captured."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _decoder_inputs(model, tokenizer, inputs: dict, target: str | None, longest: int) -> dict:
    """The decoder's side: the given target shifted right, or what the model generates."""
    if target is None:
        generated = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=longest)
        return {"decoder_input_ids": generated}
    labels = tokenizer(text_target=[target] * len(inputs["input_ids"]), return_tensors="pt")["input_ids"].to(
        model.device
    )
    return {"decoder_input_ids": model.prepare_decoder_input_ids_from_labels(labels=labels)}


def _continued(model, tokenizer, inputs: dict, max_new_tokens: int) -> dict:
    import torch

    ids = model.generate(
        **inputs, do_sample=False, num_beams=1, max_new_tokens=max_new_tokens, pad_token_id=tokenizer.pad_token_id
    )
    new = torch.ones_like(ids[:, inputs["input_ids"].shape[1] :])
    return {"input_ids": ids, "attention_mask": torch.cat([inputs["attention_mask"], new], dim=1)}


def _weights(output, model) -> dict:
    """`{kind: tensor [layers, batch, heads, query, key]}` from a model output."""
    import torch

    if model.config.is_encoder_decoder:
        names = {"encoder": "encoder_attentions", "decoder": "decoder_attentions", "cross": "cross_attentions"}
    else:
        causal = "decoder" if _is_causal(model) else "encoder"
        names = {causal: "attentions"}
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


def _is_causal(model) -> bool:
    """A decoder-only model: its layers' attention modules say so, or its class generates text."""
    flags = [module.is_causal for module in model.modules() if isinstance(getattr(module, "is_causal", None), bool)]
    return any(flags) if flags else model.can_generate()


def _one(weights: dict, inputs: dict, mask, index: int, tokenizer, sequences, model) -> Attention:
    """Cut example `index` out of the batch, without its padding."""
    real = mask[index].bool().cpu()
    kept = {"encoder": real, "decoder": real}
    ids = {"encoder": inputs["input_ids"][index].cpu()[real].tolist()}
    if "decoder_input_ids" in inputs:
        written = inputs["decoder_input_ids"][index].cpu()
        kept["decoder"] = _until_padding(written, tokenizer.pad_token_id)
        ids["decoder"] = written[kept["decoder"]].tolist()
    elif "decoder" in weights:
        ids = {"decoder": ids["encoder"]}
    data = {}
    for kind, tensor in weights.items():
        rows, columns = kept["decoder" if kind == "cross" else kind], kept["encoder" if kind == "cross" else kind]
        data[kind] = tensor[:, index][:, :, rows][:, :, :, columns].contiguous()
    special = {side: [one in tokenizer.all_special_ids for one in found] for side, found in ids.items()}
    names = {side: tokenizer.convert_ids_to_tokens(found) for side, found in ids.items()}
    second = None
    if sequences is not None and 1 in sequences:
        second = [one for one, keep in zip(sequences, real.tolist(), strict=True) if keep].index(1)
    row = {name: value[index : index + 1] for name, value in inputs.items()}
    return Attention(data, names, special, ids, second, _Source(model, row, kept))


def _until_padding(ids, pad: int | None):
    """Which decoder tokens are real. The first may be the pad token: several models start with it."""
    import torch

    kept = torch.ones_like(ids, dtype=torch.bool)
    if pad is not None:
        kept[1:] = ids[1:] != pad
    return kept
