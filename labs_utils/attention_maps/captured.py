"""What was captured from a model for one text, and how the model is run to capture it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Source:
    """What it takes to run one example again.

    Attributes:
        model: the model.
        inputs: its arguments, one row each.
        real: `{side: bool tensor}`: which tokens of the encoder's and the decoder's side are no padding.
    """

    model: "PreTrainedModel"
    inputs: "dict[str, Tensor]"
    real: "dict[str, Tensor]"


@dataclass(eq=False, repr=False)
class Captured:
    """Attention weights and their tokens; `Attention` describes the attributes and adds the views."""

    data: "dict[str, Tensor]"
    tokens: dict[str, list[str]]
    special: dict[str, list[bool]]
    ids: dict[str, list[int]]
    second: int | None
    source: Source | None


def query_side(kind: str) -> str:
    """Whose tokens ask in attention of this kind: `"encoder"` or `"decoder"`."""
    return "decoder" if kind == "cross" else kind


def key_side(kind: str) -> str:
    """Whose tokens are looked at in attention of this kind.

    >>> query_side("cross"), key_side("cross"), key_side("decoder")
    ('decoder', 'encoder', 'decoder')
    """
    return "encoder" if kind == "cross" else kind


@contextlib.contextmanager
def attending(model: "PreTrainedModel", implementation: str) -> Iterator[None]:
    """Let `model` compute its attention as `implementation` does, with no dropout and no gradients; then as before.

    Dropout would also drop attention weights.
    """
    import torch

    before, training = model.config._attn_implementation, model.training
    model.eval()
    try:
        if before != implementation:
            model.set_attn_implementation(implementation)
        with torch.no_grad():
            yield
    finally:
        if before != implementation:
            model.set_attn_implementation(before)
        model.train(training)
