"""What was captured from a model for one text, and how the model is run to capture it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labs_utils.attention_maps.labels import label

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
    layers: dict[str, list[int]] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    shared: int = 1
    note: str = ""

    def __post_init__(self) -> None:
        for kind, weights in self.data.items():
            self.layers.setdefault(kind, list(range(weights.shape[0])))
        for side, tokens in self.tokens.items():
            self.labels.setdefault(side, list(map(label, tokens)))


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

    Dropout would also drop attention weights. A model inside the model has an implementation of its own.
    """
    import torch
    from transformers import PreTrainedModel

    training = [(module, module.training) for module in model.modules()]
    inner = [module for module in model.modules() if isinstance(module, PreTrainedModel)]
    before = [(module, module.config._attn_implementation) for module in inner]
    configs = {id(module.config): module.config for module in inner}.values()
    tuples = [config for config in configs if getattr(config, "return_dict", True) is False]
    model.eval()
    try:
        for config in tuples:  # plain tuples have no names to find the weights by
            config.return_dict = True
        if any(one != implementation for _, one in before):
            model.set_attn_implementation(implementation)
        with torch.no_grad():
            yield
    finally:
        for config in tuples:
            config.return_dict = False
        for module, own in before:
            if module.config._attn_implementation != own:
                module.set_attn_implementation(own)
        for module, mode in training:
            module.training = mode
