"""How the recipes' models are loaded, read and taught: one loop, one way to load, one choice of the device.

Two ways of teaching go through the loop: `tune` (a LoRA adapter on the encoder, or the whole encoder) and
`train_from_nothing`. A *feature* is what the tokenizer makes of one row: token ids, a mask, and what is to be answered.
"""

import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from data.recipes import SEED
from data.recipes.metrics import accuracy
from data.recipes.muon import muon_and_adam
from labs_utils.materials.catalog import checkpoint
from labs_utils.session import device

Schedule = Callable[[int, float], float]  # (step, how far the training is, from 0 to 1) -> the learning rate's factor

# ---------------------------------------------------------------------------------------------------- models


def load(auto_class: type, role: str, **config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that plays a role, in float32, and its tokenizer, as a notebook loads them."""
    source = checkpoint(role)
    model = auto_class.from_pretrained(source, dtype=torch.float32, **config)
    return model.to(device()).eval(), AutoTokenizer.from_pretrained(source)


def labelled(names: list[str]) -> dict:
    """What a config says of the labels of a head with these names."""
    numbers = {name: number for number, name in enumerate(names)}
    return {"num_labels": len(names), "id2label": dict(enumerate(names)), "label2id": numbers}


def adapted_encoder(
    auto_class: type,
    rank: int = 10,
    head: tuple[str, ...] = ("classifier",),
    role: str = "encoder",
    layers: range = range(6),
    **config,
) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """An encoder with a new head and a LoRA adapter of `rank` on the linear layers of `layers`, and its tokenizer.

    Only the adapter and the head learn, some hundred thousand numbers, so a few hundred texts are enough. Below the
    first of `layers` nothing learns, so that no gradient is computed there.
    """
    set_seed(SEED)
    model, tokenizer = load(auto_class, role, attention_probs_dropout_prob=0.0, **config)  # a faster CPU kernel
    chosen, pooler = "|".join(map(str, layers)), "" if "pooler" in head else r"|pooler\.dense"
    targets = rf".*(layer\.({chosen})\..*(query|key|value|dense){pooler})"
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, modules_to_save=list(head))
    return get_peft_model(model, lora).to(device()), tokenizer


# ---------------------------------------------------------------------------------------------------- features


def encode(
    tokenizer: PreTrainedTokenizerBase,
    rows: list[dict],
    label: Callable[[dict], object] | None = None,
    keys: tuple[str, ...] = ("text",),
    longest: int = 96,
) -> list[dict]:
    """Rows of one text, or of two, as features; with a label where `label` says how to find it in a row."""
    features = rows_of(tokenizer(*([row[key] for row in rows] for key in keys), truncation=True, max_length=longest))
    if label is None:
        return features
    return [{**feature, "labels": label(row)} for feature, row in zip(features, rows, strict=True)]


def rows_of(columns: Mapping[str, list]) -> list[dict]:
    """A table of columns as a list of rows.

    >>> rows_of({"a": [1, 2], "b": [3, 4]})
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 4}]
    """
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def pad(features: list[dict]) -> dict[str, torch.Tensor]:
    """Tensors of a batch: lists are padded with 0 (`labels` with -100), numbers and tensors are stacked.

    >>> pad([{"input_ids": [7], "labels": 1}, {"input_ids": [8, 9], "labels": 0}])["input_ids"].tolist()
    [[7, 0], [8, 9]]
    """

    def column(name: str) -> torch.Tensor:
        values = [feature[name] for feature in features]
        if isinstance(values[0], torch.Tensor):
            return torch.stack(values)
        if isinstance(values[0], list):
            longest, fill = max(map(len, values)), -100 if name == "labels" else 0
            values = [value + [fill] * (longest - len(value)) for value in values]
        return torch.tensor(values)

    return {name: column(name) for name in features[0]}


def on_device(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a batch, on the device where the models are."""
    return {name: tensor.to(device()) for name, tensor in batch.items()}


def batches(features: list[dict], size: int, epochs: int, chooser: random.Random) -> Iterator[dict[str, torch.Tensor]]:
    """Padded batches of texts of about the same length, so that little is computed on padding; new ones each epoch."""
    for _ in range(epochs):
        order = sorted(range(len(features)), key=lambda i: len(features[i]["attention_mask"]) + chooser.random() * 4)
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        chooser.shuffle(chunks)
        for chunk in chunks:
            yield pad([features[i] for i in chunk])


def batches_of_pairs(
    sources: list[list[int]], targets: list[list[int]], tokens: int, chooser: random.Random
) -> Iterator[dict[str, torch.Tensor]]:
    """Pairs of texts as token ids, those of about one length together, in random order, without end.

    A batch holds up to `tokens` tokens a side. The last batch of a pass, which is not full, is left out.
    """
    while True:
        order = sorted(range(len(sources)), key=lambda i: (len(targets[i]), len(sources[i]), chooser.random()))
        groups, group = [], []
        for index in order:
            if (len(group) + 1) * max(len(sources[index]), len(targets[index])) > tokens:
                groups.append(group)
                group = []
            group.append(index)
        chooser.shuffle(groups)
        for group in groups:
            yield pad([_pair(sources[i], targets[i]) for i in group])


def _pair(source: list[int], target: list[int]) -> dict[str, list[int]]:
    return {"input_ids": source, "attention_mask": [1] * len(source), "labels": target}


# ---------------------------------------------------------------------------------------------------- teaching


def fit(
    model: torch.nn.Module,
    batches: Iterable[Mapping[str, torch.Tensor]],
    steps: int,
    optimizers: list[torch.optim.Optimizer],
    schedule: Schedule,
    every: int = 50,
    report: Callable[[], str] = lambda: "",
    minutes: float = math.inf,
    in_half_precision: bool = False,
) -> None:
    """Teach `model` on `steps` batches, or for `minutes` (LABS_MINUTES, if set) where those are over first.

    The schedule goes by whichever of the two is further on: a slow or busy machine sees less of the data, and still
    ends with small steps. Each optimizer's learning rate is its own times the schedule's factor. Gradients are clipped
    to norm 1. After `every` steps, and at the end, the mean loss and the `report` are printed.
    """
    limit = 60 * float(os.environ.get("LABS_MINUTES") or minutes)
    began, losses = time.monotonic(), []

    def say() -> None:
        new = losses[(len(losses) - 1) // every * every :]
        spent = f"{(time.monotonic() - began) / 60:.1f} min"
        model.eval()
        print(f"step {len(losses)}/{steps}: loss {sum(new) / len(new):.3f}, {spent} {report()}".rstrip(), flush=True)

    for step, batch in zip(range(steps), batches, strict=False):
        progress = max(step / steps, (time.monotonic() - began) / limit)
        if progress >= 1:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * schedule(step, progress)
        with torch.autocast(device().type, torch.bfloat16, enabled=in_half_precision and _computes_in_bfloat16()):
            loss = model.train()(**on_device(batch)).loss
        losses.append(loss.item())
        _learn(model, loss, optimizers)
        if len(losses) % every == 0:
            say()
    if len(losses) % every:
        say()
    model.eval()


def _learn(model: torch.nn.Module, loss: torch.Tensor, optimizers: list[torch.optim.Optimizer]) -> None:
    """Go one step down the gradient of the loss."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def _computes_in_bfloat16() -> bool:
    """Whether products in bfloat16 take less time here than in float32."""
    if device().type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return device().type == "cuda"


def tune(
    model: torch.nn.Module,
    features: list[dict],
    epochs: int,
    lr: float = 1e-3,
    size: int = 32,
    report: Callable[[], str] = lambda: "",
) -> None:
    """Teach what `requires_grad` of a model that is trained already: AdamW, at most 50 minutes, a report each epoch."""
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    per_epoch = math.ceil(len(features) / size)
    fit(
        model,
        batches(features, size, epochs, random.Random(SEED)),
        epochs * per_epoch,
        [torch.optim.AdamW(learnt, lr=lr, weight_decay=0.01)],
        warm_then_linear(epochs * per_epoch),
        every=per_epoch,
        report=report,
        minutes=50,
        in_half_precision=True,
    )


def train_from_nothing(
    model: PreTrainedModel,
    batches: Iterable[Mapping[str, torch.Tensor]],
    steps: int,
    peak: float = 3e-3,
    warmup: int = 30,
) -> None:
    """Teach a new model: Muon for the matrices inside its layers, AdamW for embeddings and vectors."""
    model.to(device())
    fit(model, batches, steps, muon_and_adam(model, peak), warm_then_cosine(warmup))


def warm_then_linear(steps: int) -> Schedule:
    """A tenth of the way up from the first of `steps`, then down to zero in a straight line."""
    return lambda step, progress: min(max(progress, 1 / steps) / 0.1, (1 - progress) / 0.9, 1)


def warm_then_cosine(warmup: int) -> Schedule:
    """`warmup` steps up, and all the way down a cosine to a twentieth."""
    return lambda step, progress: (0.525 + 0.475 * math.cos(math.pi * progress)) * min(1.0, (step + 1) / warmup)


# ---------------------------------------------------------------------------------------------------- answers


@torch.no_grad()
def predict(model: PreTrainedModel, features: list[dict], size: int = 32) -> torch.Tensor:
    """The logits of every feature, in order; shape (features, labels)."""
    model.eval()
    order = sorted(range(len(features)), key=lambda i: len(features[i]["attention_mask"]))
    found = [None] * len(features)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        batch = pad([{name: value for name, value in features[i].items() if name != "labels"} for i in chosen])
        for i, logits in zip(chosen, model(**on_device(batch)).logits.cpu(), strict=True):
            found[i] = logits
    return torch.stack(found)


def choices(model: PreTrainedModel, features: list[dict]) -> list[int]:
    """The number of the label that a classifier gives to each feature."""
    return predict(model, features).argmax(-1).tolist()


def accuracy_on(model: PreTrainedModel, features: list[dict]) -> float:
    """The share of features to which a classifier gives the label that they carry."""
    return accuracy(choices(model, features), [feature["labels"] for feature in features])


def classify(role: str, rows: list[dict], keys: tuple[str, ...] = ("text",)) -> list[str]:
    """The name of the label that a role's classifier gives to each row."""
    model, tokenizer = load(AutoModelForSequenceClassification, role)
    return [model.config.id2label[number] for number in choices(model, encode(tokenizer, rows, keys=keys, longest=128))]


@torch.no_grad()
def embed(texts: list[str]) -> torch.Tensor:
    """The encoder's sentence vectors (mean over the tokens, length 1); shape (texts, 384)."""
    model, tokenizer = load(AutoModel, "encoder")
    vectors = []
    for start in range(0, len(texts), 64):
        ids = tokenizer(texts[start : start + 64], truncation=True, max_length=64)
        batch = on_device(pad(rows_of(ids)))
        mask = batch["attention_mask"][..., None]
        vectors.append((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(torch.cat(vectors)).cpu()


@torch.no_grad()
def generate(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], size: int = 64) -> list[str]:
    """What a model writes for each text, decoded as its own generation_config says; texts of one length go together."""
    found = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        batch = tokenizer([texts[i] for i in chosen], padding=True, truncation=True, return_tensors="pt")
        written = model.generate(**batch.to(model.device))
        for i, text in zip(chosen, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True):
            found[i] = text.strip()
    return found
