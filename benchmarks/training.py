"""Chapter 09's training loop on MiniLM: dynamic padding against 128 tokens each, and the loop against the Trainer.

Each pair of rows compares the same reviews in the same run, turn and turn about, and takes the median turn.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator

from data.recipes.results import Row

_REVIEWS, _SIZE, _TURNS = 48, 8, 3


def rows() -> Iterator[Row]:
    """Padding for English and Chinese reviews, then examples a second of the loop by those of the Trainer."""
    import labs_utils as lab

    lab.start("09")
    import torch
    from transformers import AutoTokenizer

    encoder = lab.checkpoint("encoder")
    tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
    torch.manual_seed(0)
    pairs = _pairs(lab.dataset("hotel_reviews"), "en")
    pairs.sort(key=lambda pair: torch.rand(1).item())
    sample = pairs[:_REVIEWS]
    grouped = sorted(sample, key=lambda pair: len(tokenizer(pair[0])["input_ids"]))
    ways = {
        "128": _batches(sample, tokenizer, padding="max_length"),
        "dynamic": _batches(sample, tokenizer, padding=True),
        "grouped": _batches(grouped, tokenizer, padding=True),
    }
    yield from _padding(encoder, ways)
    yield from _tokens(lab.dataset("hotel_reviews"), tokenizer)
    yield from _against_trainer(encoder, ways["dynamic"])


def _padding(encoder, ways: dict[str, list]) -> Iterator[Row]:
    """The loop over each of the ways in turn, after a batch to warm up."""
    import torch

    model = _model(encoder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    _loop(model, optimizer, ways["dynamic"][:1])
    times = {way: [] for way in ways}
    for _ in range(_TURNS):
        for way, batches in ways.items():
            times[way].append(_loop(model, optimizer, batches))
    fixed, dynamic, by_length = (statistics.median(times[way]) for way in ways)
    yield Row("en, batches of 8: dynamic padding, times faster than 128 each", fixed / dynamic, "×", 2, True)
    yield Row("en, batches of 8: dynamic padding and grouping, times faster", fixed / by_length, "×", 2, True)


def _pairs(folder: str, language: str) -> list[tuple[str, int]]:
    import pandas as pd

    table = pd.read_csv(f"{folder}/{language}.csv").dropna()
    return list(zip(table["review"], table["label"], strict=True))


def _batches(pairs, tokenizer, **padding) -> list:
    import torch

    batches = []
    for start in range(0, len(pairs), _SIZE):
        texts, labels = zip(*pairs[start : start + _SIZE], strict=True)
        batch = tokenizer(list(texts), max_length=128, truncation=True, return_tensors="pt", **padding)
        batch["labels"] = torch.tensor(labels)
        batches.append(batch)
    return batches


def _model(encoder):
    import torch
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(
        encoder, revision=encoder.revision, dtype=torch.float32, num_labels=2
    )


def _loop(model, optimizer, batches, scheduler=None) -> float:
    """Seconds of the chapter's loop over the batches."""
    import torch

    begin = time.perf_counter()
    for batch in batches:
        model.train()
        model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        if scheduler:
            scheduler.step()
        optimizer.zero_grad()
    return time.perf_counter() - begin


def _tokens(folder: str, tokenizer) -> Iterator[Row]:
    """Tokens are counted over the whole file: no time, no chance. A Chinese character is about one token."""
    for language in ("en", "zh"):
        texts = [text for text, _ in _pairs(folder, language)]
        if language == "en":
            lengths = [len(ids) for ids in tokenizer(texts, truncation=True, max_length=128)["input_ids"]]
        else:
            lengths = [min(len(text) + 2, 128) for text in texts]
        for size in (8, 32):
            pieces = [lengths[start : start + size] for start in range(0, len(lengths), size)]
            computed = sum(len(piece) * max(piece) for piece in pieces)
            what = f"{language}, batches of {size}: times fewer tokens with dynamic padding"
            yield Row(what, 128 * len(lengths) / computed, "×")


def _against_trainer(encoder, batches) -> Iterator[Row]:
    """The same batches, in the same order, with the same clipping and schedule, through both."""
    import torch
    from transformers import Trainer, TrainingArguments, get_scheduler
    from transformers.trainer_callback import PrinterCallback

    class SameBatches(Trainer):
        def get_train_dataloader(self):
            return self.accelerator.prepare(torch.utils.data.DataLoader(batches, batch_size=None))

    def by_the_loop() -> float:
        model = _model(encoder)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=len(batches))
        return _loop(model, optimizer, batches, scheduler)

    def by_the_trainer() -> float:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(folder, max_steps=len(batches), **_AS_THE_LOOP)
            trainer = SameBatches(_model(encoder), arguments, train_dataset=batches)
            trainer.remove_callback(PrinterCallback)
            begin = time.perf_counter()
            trainer.train()
            return time.perf_counter() - begin

    count = sum(len(batch["labels"]) for batch in batches)
    times = [(by_the_loop(), by_the_trainer()) for _ in range(_TURNS)]
    ours, theirs = (statistics.median(count / seconds for seconds in some) for some in zip(*times, strict=True))
    yield Row("the Trainer, the same batches", theirs, "examples/s")
    yield Row("the loop's examples/s by the Trainer's", ours / theirs, "×", 0.95, True)


_AS_THE_LOOP = {
    "learning_rate": 1e-5,
    "optim": "adamw_torch_fused",
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
}
