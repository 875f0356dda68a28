"""What the recipes of the models that are trained from nothing share: texts, one training loop, publishing.

A recipe reads the course's own text from `data/datasets` and public sets from the folder `LABS_DATA_DIR` (default:
`../shared/data` beside the repository); a public set that is not there is loaded from the Hub through `datasets`.
"""

import csv
import gzip
import json
import math
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "data" / "datasets"
MODELS = ROOT / "data" / "models"
PUBLIC = Path(os.environ.get("LABS_DATA_DIR", ROOT.parent / "shared" / "data"))
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def public_lines(path: str) -> list[str] | None:
    """The lines of a gzipped public file such as `tatoeba_fra_eng/fra.txt.gz`, or None where it isn't at hand."""
    file = PUBLIC / path
    if not file.is_file():
        return None
    return gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")


def own_rows(name: str) -> list[dict]:
    """The rows of one of the course's own files, such as `stories/train.jsonl`, as dictionaries of strings."""
    path = OWN / name
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file if line.strip()]
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def tatoeba(language: str) -> list[tuple[str, str]]:
    """Tatoeba's (English, other language) pairs for `"fra"` or `"cmn"` (CC BY 2.0 FR), in the order of the file.

    The set on the Hub is a later and larger state of Tatoeba: what is trained on it differs from what ships.
    """
    lines = public_lines(f"tatoeba_{language}_eng/{language}.txt.gz")
    if lines is None:
        from datasets import load_dataset

        config = {"fra": "en-fr", "cmn": "en-zh"}[language]
        rows = load_dataset("sentence-transformers/parallel-sentences-tatoeba", config, split="train")
        return [(row["english"].strip(), row["non_english"].strip()) for row in rows]
    fields = (line.split("\t") for line in lines if "\t" in line)
    return [(pair[0].strip(), pair[1].strip()) for pair in fields]


def learning_rate_at(step: int, progress: float, peak: float, warmup: int) -> float:
    """A cosine from `peak` down to a twentieth of it while `progress` goes from 0 to 1, after a linear warm-up."""
    cosine = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress))
    return peak * cosine * min(1.0, (step + 1) / warmup)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal: for the matrices inside the layers it needs half the steps of AdamW.

    Keller Jordan's recipe (https://kellerjordan.github.io/posts/muon). PyTorch's own `torch.optim.Muon` works in
    bfloat16, which is slow on a CPU; this one works in float32.
    """

    def __init__(self, params, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.01):
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


def optimizers(model, peak: float) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the matrices inside the layers, AdamW for embeddings and vectors; each with its peak learning rate."""
    inside = {id(p) for name, p in model.named_parameters() if p.ndim == 2 and (".h." in name or "layer" in name)}
    hidden = [p for p in model.parameters() if id(p) in inside and p.requires_grad]
    other = [p for p in model.parameters() if id(p) not in inside and p.requires_grad]
    adam = torch.optim.AdamW(other, lr=peak, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    return [(Muon(hidden), peak * 7), (adam, peak)]


def fit(model, batches: Iterable[dict], steps: int, peak: float = 3e-3, warmup: int = 30, say_every: int = 50) -> None:
    """Train `model` for `steps` batches, or for LABS_MINUTES where that is set and over first.

    The learning rate falls with whichever of the two is further on: a busy machine sees less, and still ends with small
    steps. Gradients are clipped to norm 1; the mean loss is printed now and then.
    """
    limit = 60 * float(os.environ.get("LABS_MINUTES") or "inf")
    model.to(DEVICE).train()
    tools = optimizers(model, peak)
    began, seen = time.time(), []
    for step, batch in zip(range(steps), batches, strict=False):
        progress = max(step / steps, (time.time() - began) / limit)
        if progress >= 1:
            break
        loss = model(**{name: tensor.to(DEVICE) for name, tensor in batch.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, its_peak in tools:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(step, progress, its_peak, warmup)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen.append(loss.item())
        if (step + 1) % say_every == 0 or step + 1 == steps:
            mean = sum(seen[-say_every:]) / len(seen[-say_every:])
            print(f"step {step + 1}/{steps}  loss {mean:.3f}  {time.time() - began:.0f} s", flush=True)
    print(f"{len(seen)} steps, {time.time() - began:.0f} s", flush=True)
    model.eval()


def forever(rows: list, size: int, rng: random.Random) -> Iterator[list]:
    """Batches of `size` rows, reshuffled at every pass, without end."""
    order, size = list(range(len(rows))), min(size, len(rows))
    while True:
        rng.shuffle(order)
        for start in range(0, len(order) - size + 1, size):
            yield [rows[index] for index in order[start : start + size]]


def publish(role: str, model, tokenizer) -> Path:
    """Write the model in fp16, with its tokenizer, to `data/models/<role>` at once: all of it or nothing.

    The folder's README.md, the model card, is kept. The config says float32, which is what the weights become when they
    are loaded: in fp16 a CPU is slow, and training ends in NaN.
    """
    target = MODELS / role
    MODELS.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{role}-", dir=MODELS))
    model.to("cpu").half().save_pretrained(part)
    config = json.loads((part / "config.json").read_text(encoding="utf-8")) | {"dtype": "float32"}
    (part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(part)
    if (target / "README.md").is_file():
        shutil.copy(target / "README.md", part)
    part.chmod(0o755)
    for file in part.iterdir():
        file.chmod(0o644)
    old = target.with_name(f".{role}-old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    size = sum(file.stat().st_size for file in target.iterdir())
    print(f"{target.relative_to(ROOT)}: {size / 1e6:.2f} MB", flush=True)
    return target
