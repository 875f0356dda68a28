"""How a model is run for its attention: which model, on which tokens, and what it writes by itself."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from labs_utils.errors import WorkbookError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BatchEncoding, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

# What of a model's preset for generation stays: what names, forbids or penalises tokens. How it searches and samples
# and what it returns does not.
_KEPT = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "repetition_penalty",
    "encoder_repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
)
# More weights than this (1.6 GB, held twice while they are stacked) could fill a laptop's memory.
LARGEST_CAPTURE = 400_000_000


def unwrapped(model: Any) -> "PreTrainedModel":
    """The transformers model inside PEFT's wrapper (its adapters stay at work), torch.compile's or DataParallel's.

    Raises:
        WorkbookError: it is no transformers model that reads text, or PEFT puts learned prompts before the text.
    """
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        raise WorkbookError(
            "This PEFT model puts learned prompts before the text, and those are no tokens: its attention has no names."
        )
    for attribute in ("_orig_mod", "module"):
        if not hasattr(model, "set_attn_implementation") or attribute == "_orig_mod":
            model = getattr(model, attribute, model)
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    if not hasattr(model, "config") or not hasattr(model, "set_attn_implementation"):
        raise WorkbookError(f"Attention is captured from a model of transformers; this is a {type(model).__name__}.")
    if "input_ids" not in inspect.signature(model.forward).parameters or model.main_input_name != "input_ids":
        raise WorkbookError(
            f"{type(model).__name__} reads {model.main_input_name}, not the tokens of a text (input_ids): "
            "there are no tokens to draw its attention between."
        )
    return model


class Limits(NamedTuple):
    """How many tokens fit, None where nothing limits them: on the side of `text`, and on the decoder's."""

    text: int | None
    target: int | None


def limits(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", new_tokens: int) -> Limits:
    """How much of a text the model reads, beside `new_tokens` that a causal decoder writes after it."""
    positions = _positions(model)
    known = [one for one in (tokenizer.model_max_length, positions) if one is not None and one < 1_000_000]
    window = min(known, default=None)
    if model.config.is_encoder_decoder or window is None:
        return Limits(window, positions)
    if new_tokens >= window:
        raise WorkbookError(
            f"The model reads {window} tokens at a time: {new_tokens} new ones leave none for the text."
        )
    return Limits(window - new_tokens, None)


def _positions(model: "PreTrainedModel") -> int | None:
    """How many positions the model has, as its config says; RoBERTa's relatives keep the first ones for padding."""
    import torch

    inner = [getattr(model.config, name, None) for name in ("encoder", "decoder", "text_config")]
    told = [getattr(one, "max_position_embeddings", None) for one in (model.config, *inner)]
    found = [one for one in told if isinstance(one, int)]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            kept = 0 if module.padding_idx is None else module.padding_idx + 1
            found.append(module.num_embeddings - kept)
    return min(found, default=None)


def encode(
    tokenizer: "PreTrainedTokenizerBase", texts: list[str], pairs: list[str] | None, most: int | None
) -> "tuple[BatchEncoding, str]":
    """The texts as one batch of at most `most` tokens each, and a sentence where something was cut off."""
    several = len(texts) > 1
    if several and tokenizer.pad_token is None:
        raise WorkbookError(
            "A batch of texts needs padding, and this tokenizer has no pad token. Give one text at a time."
        )
    given = (texts,) if pairs is None else (texts, pairs)
    longest = max(map(len, tokenizer(*given, verbose=False)["input_ids"]))
    # Padding on the right leaves every token its position, so a batch gives the weights that each text has alone.
    how: dict[str, Any] = {"padding_side": "right"} if several else {}
    how |= {"padding": several, "return_tensors": "pt", "return_attention_mask": True}
    if most is None or longest <= most:
        return tokenizer(*given, **how, verbose=False), ""
    note = f"The text has {longest} tokens, and {most} of them are what fits: the rest was cut off."
    return tokenizer(*given, **how, truncation=True, max_length=most), note


def require_room(model: "PreTrainedModel", sizes: dict[str, int], batch: int) -> None:
    """Refuse a text whose weights would fill the memory, before the model computes them."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    layers = getattr(config, "num_hidden_layers", None)
    if not isinstance(heads, int) or not isinstance(layers, int):
        return
    longest = max(sizes.values())
    count = batch * layers * heads * longest**2
    if count > LARGEST_CAPTURE:
        fits = int((LARGEST_CAPTURE / (batch * layers * heads)) ** 0.5)
        raise WorkbookError(
            f"{longest} tokens give {count * 4 / 1e9:.1f} GB of attention weights in {layers} × {heads} heads"
            f". Give a shorter text: up to {fits} tokens{' in each of so many texts' if batch > 1 else ''}."
        )


def accepted(model: "PreTrainedModel", encoded: "BatchEncoding", causal: bool) -> "dict[str, Tensor]":
    """Only what the model's forward takes: a BERT tokenizer's token types mean nothing to a decoder."""
    taken = set(inspect.signature(model.forward).parameters)
    if causal:
        taken.discard("token_type_ids")  # GPT-2 would take them, and add the embedding of the word with the id 0
    return {name: value for name, value in encoded.items() if name in taken}


class Target(NamedTuple):
    """The decoder's side of a batch: its ids, which of them are no padding, and a sentence where it was cut."""

    ids: "Tensor"
    real: "Tensor"
    note: str = ""


def shifted(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", targets: list[str], most: int | None
) -> Target:
    """Given targets as the decoder reads them: one place to the right, behind its start token."""
    several = len(targets) > 1
    plain = tokenizer(text_target=targets, verbose=False)["input_ids"]
    longest = max(map(len, plain))
    how: dict[str, Any] = {"padding": True, "padding_side": "right"} if several else {}
    cut = most is not None and longest > most
    how |= {"truncation": True, "max_length": most} if cut else {}
    note = f"The target has {longest} tokens, and {most} of them are what fits: the rest was cut off." if cut else ""
    encoded = tokenizer(text_target=targets, return_tensors="pt", return_attention_mask=True, verbose=False, **how)
    labels = encoded["input_ids"].to(model.device)
    return Target(_behind_start(model, labels), encoded["attention_mask"].bool(), note)


def _behind_start(model: "PreTrainedModel", labels: "Tensor") -> "Tensor":
    """`labels` shifted as the model shifts them; by hand where it has no head, and so no labels."""
    import torch

    shift = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if shift is not None and model.config.pad_token_id is not None:
        with contextlib.suppress(ValueError, TypeError):  # no start token is known
            return shift(labels=labels)
    start = _start(model)
    if start is None:
        raise WorkbookError(
            f"{type(model).__name__} doesn't know which token its decoder begins with. Say it first: "
            "model.config.decoder_start_token_id = tokenizer.cls_token_id, if the decoder is a BERT."
        )
    return torch.cat([torch.full_like(labels[:, :1], start), labels[:, :-1]], dim=1)


def _start(model: "PreTrainedModel") -> int | None:
    own = getattr(model.config, "decoder_start_token_id", None)
    return own if own is not None else getattr(model.generation_config, "decoder_start_token_id", None)


def written(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", inputs: "dict[str, Tensor]", most: int
) -> Target:
    """What the model writes after `inputs` (an encoder–decoder: from them), greedily, up to `most` tokens."""
    import torch

    if not model.can_generate():
        raise WorkbookError(
            f"{type(model).__name__} has no head that could write text. Load the model with a head "
            "(AutoModelForCausalLM, AutoModelForSeq2SeqLM)"
            + (", or give the text on the decoder's side: target=…" if model.config.is_encoder_decoder else ".")
        )
    with _greedy(model, tokenizer, most) as settings:
        ids = model.generate(**inputs, generation_config=settings)
    if not model.config.is_encoder_decoder:
        return Target(ids, torch.ones_like(ids, dtype=torch.bool))
    return Target(ids, _until_end(ids, settings).cpu())


@contextlib.contextmanager
def _greedy(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", most: int) -> "Iterator[GenerationConfig]":
    """Settings for one greedy text; whatever the model presets about searching and sampling is set aside meanwhile."""
    from transformers import GenerationConfig

    preset = model.generation_config
    kept = {name: getattr(preset, name, None) for name in _KEPT}
    if kept["decoder_start_token_id"] is None and model.config.is_encoder_decoder:
        kept["decoder_start_token_id"] = _start(model)
    if kept["pad_token_id"] is None:
        kept["pad_token_id"] = tokenizer.pad_token_id
    settings = GenerationConfig(**kept, do_sample=False, num_beams=1, max_new_tokens=most)
    model.generation_config = settings
    try:
        yield settings
    finally:
        model.generation_config = preset


def _until_end(ids: "Tensor", settings: "GenerationConfig") -> "Tensor":
    """Which tokens are real: all up to the first end token, that one too; without one, all but the pads at the end.

    The first token may be the pad token or the end token: several models start with it.
    """
    import torch

    ends = settings.eos_token_id
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    real = torch.ones_like(ids, dtype=torch.bool)
    for row, of_row in zip(real, ids.tolist(), strict=True):
        end = next((place for place, one in enumerate(of_row) if place and one in ends), None)
        if end is not None:
            row[end + 1 :] = False
    if settings.pad_token_id is not None and settings.pad_token_id not in ends:
        real[:, 1:] &= ids[:, 1:] != settings.pad_token_id
    return real
