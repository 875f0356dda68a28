"""Capture the attention weights of a model for one text, or for a padded batch of texts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, overload

from labs_utils.attention_maps import running, views
from labs_utils.attention_maps.captured import Captured, Source, attending, key_side, query_side
from labs_utils.attention_maps.frame import Figure
from labs_utils.attention_maps.labels import kinds, names
from labs_utils.attention_maps.query_key import query_key
from labs_utils.attention_maps.returned import Weights, watched, weights_of
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
        tokens: `{"encoder": [...], "decoder": [...]}`: the tokenizer's own names of the tokens, padding left out.
        special: the same keys; which tokens are special.
        ids: the same keys; token ids.
        second: position in `tokens["encoder"]` where a second text begins, or None.
        source: what it takes to run the model again; None where the weights came without one.
        layers: `{kind: numbers}`: which layers these are; a model may attend in some of its layers only.
        labels: the same keys as `tokens`; the tokens as people read them.
        shared: how many query heads share the keys and values of one key-value head; 1 where each has its own.
        note: what was left out of the text, as a sentence; mostly "".

    Every view is a `Figure` with the weights that it draws on `.data`.
    """

    def __repr__(self) -> str:
        parts = [f"{kind} {list(weights.shape)}" for kind, weights in self.data.items()]
        lines = [f"attention [layers, heads, query, key]: {', '.join(parts)}"]
        for kind, weights in self.data.items():
            if self.layers[kind] != list(range(weights.shape[0])):
                lines.append(f"the {kind} attends in its layers {', '.join(map(str, self.layers[kind]))}")
        if self.shared > 1:
            heads = next(iter(self.data.values())).shape[1]
            groups = [f"{first}–{first + self.shared - 1}" for first in range(0, heads, self.shared)]
            lines.append(f"heads that share keys and values: {', '.join(groups)}")
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def heads(
        self,
        layer: int | None = None,
        head: int | None = None,
        kind: str | None = None,
        layers: Iterable[int] | None = None,
    ) -> Figure:
        """Lines from every token to those that it looks at; heads, layers and kinds can be chosen.

        Args:
            layer, head: what is shown first: the first layer, and the mean over all heads, unless given.
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

    def matrix(self, layer: int | None = None, head: int = 0, kind: str | None = None) -> Figure:
        """One head as a heat map, queries in rows and keys in columns, to four decimals, with the sums of both.

        `.data` is the float32 tensor [query, key] of the head asked for.
        """
        return views.matrix(self, layer, head, kind)

    def query_key(self, layer: int | None = None, head: int = 0, token: int = 0, kind: str | None = None) -> Figure:
        """How one head arrives at its weights for one token: q·k by dimension, scores, softmax.

        The model runs again and its own layers compute the queries and keys, rotary embeddings applied. `.data`
        holds the head's `query` [query, dimension], the `key` [key, dimension] of the key-value head that it uses,
        `bias` (masks and relative positions), `scores` and `weights`, the softmax of q·k · scaling + bias.

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
    target: str | list[str] | None = None,
    max_new_tokens: int | None = None,
) -> list[Attention]: ...


def attention(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str | list[str],
    pair: str | list[str] | None = None,
    target: str | list[str] | None = None,
    max_new_tokens: int | None = None,
) -> Attention | list[Attention]:
    """Run `model` on `text` and return its attention weights with the tokens that they belong to.

    The model is switched to eager attention for this one pass: the fast implementations never form the weights.

    Args:
        model: any encoder, causal decoder or encoder–decoder of transformers, with adapters of PEFT or without.
        text, pair: one text or two that the encoder gets together. Lists run as one padded batch; padding is cut
            off again. Of a text that is longer than the model's window, the beginning is shown, and `note` says so.
        target: for an encoder–decoder, the text on the decoder's side, or a list with one for each text. Without it
            the model generates one, greedily.
        max_new_tokens: for a causal decoder, generate so many tokens first, greedily, and show the attention over
            all. With causal attention one pass over the finished text gives the very weights of each step of the
            generation. For an encoder–decoder without a target, the longest one to generate (40 unless told).

    Returns:
        An `Attention`, or a list of them when `text` is a list.

    Raises:
        WorkbookError: empty text, a model that reads no text or returns no attention weights, weights that are not
            finite, or more of them than a laptop holds.

    >>> from transformers import AutoModel, AutoTokenizer
    >>> from labs_utils import checkpoint
    >>> encoder = checkpoint("encoder")
    >>> seen = attention(AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder), "hello world!")
    >>> seen.data["encoder"].shape
    torch.Size([6, 12, 5, 5])
    """
    task = _Task(running.unwrapped(model), tokenizer, max_new_tokens or 0)
    texts = [text] if isinstance(text, str) else list(text)
    if not texts or not all(one.strip() for one in texts):
        raise WorkbookError("There is no attention over an empty text. Give at least one word.")
    pairs = _as_many(texts, [pair] if isinstance(pair, str) else pair, "pairs")
    targets = _as_many(texts, [target] * len(texts) if isinstance(target, str) else target, "targets")
    if targets is not None and not task.model.config.is_encoder_decoder:
        raise WorkbookError(f"{type(task.model).__name__} has no decoder beside its encoder to give a target to.")
    if max_new_tokens and not task.model.config.is_encoder_decoder:
        # Each text is continued alone, without padding between it and what is generated.
        found = [
            _capture(task, [one], None if pairs is None else [pairs[place]], None)[0] for place, one in enumerate(texts)
        ]
    else:
        found = _capture(task, texts, pairs, targets)
    return found[0] if isinstance(text, str) else found


class _Task(NamedTuple):
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    new_tokens: int


class _Run(NamedTuple):
    """One forward pass over a batch: its inputs, which tokens are real, the weights, and what was cut off."""

    inputs: "dict[str, Tensor]"
    real: "dict[str, Tensor]"
    weights: dict[str, Weights]
    note: str


def _as_many(texts: list[str], others: Iterable[str] | None, what: str) -> list[str] | None:
    if others is None:
        return None
    others = list(others)
    if len(others) != len(texts):
        raise WorkbookError(f"{len(texts)} texts need as many {what}; {len(others)} were given.")
    return others


def _capture(task: _Task, texts: list[str], pairs: list[str] | None, targets: list[str] | None) -> list[Attention]:
    """Run the model on `texts` as one batch. A causal decoder can only continue a single text."""
    model, tokenizer, new_tokens = task
    limits = running.limits(model, tokenizer, new_tokens)
    encoded, note = running.encode(tokenizer, texts, pairs, limits.text)
    encoded = encoded.to(model.device)
    seconds = [_second(encoded, row, tokenizer) for row in range(len(texts))]
    causal = not model.config.is_encoder_decoder and _is_causal(model)
    inputs = running.accepted(model, encoded, causal)
    with attending(model, "eager"):
        if model.config.is_encoder_decoder:
            run = _run_pair(task, inputs, encoded["attention_mask"], targets, limits.target)
        else:
            run = _run_alone(task, inputs, encoded["attention_mask"], "decoder" if causal else "encoder")
    run = run._replace(note=" ".join(filter(None, [note, run.note])))
    return [_example(run, row, tokenizer, seconds[row], model) for row in range(len(texts))]


def _run_alone(task: _Task, inputs: "dict[str, Tensor]", mask: "Tensor", side: str) -> _Run:
    """An encoder or a causal decoder, which may continue its text first."""
    model, tokenizer, new_tokens = task
    if new_tokens:
        longest = inputs["input_ids"].shape[1] + new_tokens
        running.require_room(model, {side: longest}, len(mask))
        ids, _, _ = running.written(model, tokenizer, inputs, new_tokens)
        mask = mask.new_ones(ids.shape)
        inputs = {"input_ids": ids, "attention_mask": mask}
    return _forward(model, inputs, {side: mask.bool().cpu()}, "")


def _run_pair(
    task: _Task, inputs: "dict[str, Tensor]", mask: "Tensor", targets: list[str] | None, most: int | None
) -> _Run:
    """An encoder–decoder, with the targets that were given or with what it generates."""
    model, tokenizer, new_tokens = task
    if targets is None:
        target = running.written(model, tokenizer, inputs, new_tokens or _LONGEST_TARGET)
    else:
        target = running.shifted(model, tokenizer, targets, most)
    real = {"encoder": mask.bool().cpu(), "decoder": target.real.cpu()}
    return _forward(model, inputs | {"decoder_input_ids": target.ids}, real, target.note)


def _forward(model: "PreTrainedModel", inputs: "dict[str, Tensor]", real: "dict[str, Tensor]", note: str) -> _Run:
    sizes = {side: flags.shape[1] for side, flags in real.items()}
    batch = len(inputs["input_ids"])
    running.require_room(model, sizes, batch)
    with watched(model) as seen:
        try:
            output = model(**inputs, output_attentions=True, return_dict=True)
        except (TypeError, ValueError) as error:
            raise WorkbookError(
                f"{type(model).__name__} could not run on the tokens of this text alone: {error}"
            ) from error
    return _Run(inputs, real, weights_of(output, seen, model, sizes, batch), note)


def _second(encoded: "BatchEncoding", row: int, tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The place of the first token of a second text; None without one, or where the tokenizer can't say."""
    if tokenizer.is_fast:
        texts = encoded.sequence_ids(row)
    else:
        texts = encoded["token_type_ids"][row].tolist() if "token_type_ids" in encoded else []
    return texts.index(1) if 1 in texts else None


def _is_causal(model: "PreTrainedModel") -> bool:
    """A decoder-only model: its layers' attention modules say so, or its class generates text."""
    flags = [module.is_causal for module in model.modules() if isinstance(getattr(module, "is_causal", None), bool)]
    return any(flags) if flags else model.can_generate()


def _shared(model: "PreTrainedModel", heads: int) -> int:
    """How many query heads share one key-value head."""
    told = {module.num_key_value_groups for module in model.modules() if hasattr(module, "num_key_value_groups")}
    shared = told.pop() if len(told) == 1 else 1
    return shared if isinstance(shared, int) and heads % shared == 0 else 1


def _example(
    run: _Run, row: int, tokenizer: "PreTrainedTokenizerBase", second: int | None, model: "PreTrainedModel"
) -> Attention:
    """Cut one row out of the batch, without its padding."""
    real = {side: flags[row] for side, flags in run.real.items()}
    rows = {side: run.inputs["input_ids"][row].cpu() for side in real}
    if "decoder_input_ids" in run.inputs:
        rows["decoder"] = run.inputs["decoder_input_ids"][row].cpu()
    ids = {side: all_ids[real[side]].tolist() for side, all_ids in rows.items()}
    data = {
        kind: batch.values[:, row][:, :, real[query_side(kind)]][:, :, :, real[key_side(kind)]].contiguous()
        for kind, batch in run.weights.items()
    }
    return Attention(
        data=data,
        tokens={side: tokenizer.convert_ids_to_tokens(of_side) for side, of_side in ids.items()},
        special={side: [kind == "special" for kind in kinds(tokenizer, of_side)] for side, of_side in ids.items()},
        ids=ids,
        second=second,
        source=Source(model, {name: value[row : row + 1] for name, value in run.inputs.items()}, real),
        layers={kind: batch.layers for kind, batch in run.weights.items()},
        labels={side: [name.text for name in names(tokenizer, of_side)] for side, of_side in ids.items()},
        shared=_shared(model, next(iter(data.values())).shape[1]),
        note=run.note,
    )
