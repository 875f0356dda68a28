"""Muon, the optimizer of the models that are trained from nothing."""

from collections.abc import Iterable

import torch


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal: for the matrices inside the layers it needs half the steps of AdamW.

    Keller Jordan's recipe (https://kellerjordan.github.io/posts/muon). PyTorch's own `torch.optim.Muon` works in
    bfloat16, which is slow on a CPU; this one works in float32.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for matrix in group["params"]:
                gradient = matrix.grad
                buffer = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                buffer.lerp_(gradient, 1 - group["momentum"])
                update = orthogonal(gradient.lerp(buffer, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrix, roughly: five steps of a Newton–Schulz iteration."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def muon_and_adam(model: torch.nn.Module, peak: float) -> list[torch.optim.Optimizer]:
    """Muon, at seven times the rate, for the matrices inside the layers; AdamW for embeddings and vectors."""
    inside = {id(p) for name, p in model.named_parameters() if p.ndim == 2 and (".h." in name or "layer" in name)}
    hidden = [p for p in model.parameters() if id(p) in inside and p.requires_grad]
    other = [p for p in model.parameters() if id(p) not in inside and p.requires_grad]
    return [
        Muon(hidden, lr=7 * peak),
        torch.optim.AdamW(other, lr=peak, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    ]
