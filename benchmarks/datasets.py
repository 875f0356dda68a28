"""Tokenizing short texts with `datasets`: one by one, in batches, on two processes, with the tokenizer's threads."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from unittest.mock import patch

from data.recipes.results import Row

_TEXTS = 20_000


def rows() -> Iterator[Row]:
    """Texts per second (medians of three) on sentences of the emotion set, with the encoder's tokenizer."""
    import datasets
    from transformers import AutoTokenizer

    import labs_utils as lab

    encoder, emotion = lab.checkpoint("encoder"), lab.dataset("emotion")
    tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)

    def tokenize(batch):
        return tokenizer(batch["text"], return_token_type_ids=False, return_attention_mask=False)

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        train = datasets.load_dataset(emotion, split="train", revision=emotion.revision, cache_dir=cache)
        many = datasets.concatenate_datasets([train] * -(-_TEXTS // len(train))).select(range(_TEXTS))
        words = sum(len(text.split()) for text in many["text"]) / _TEXTS
        yield Row("words in a text, on average", words, "words")
        alone = _rate(many.select(range(_TEXTS // 10)), tokenize)
        yield Row("`map`, one by one", alone, "texts/s")
        batched = _rate(many, tokenize, batched=True)
        yield Row("`map(batched=True)`, one thread", batched, "texts/s")
        yield Row("batches over one by one", batched / alone, "×", 2, at_least=True)
        yield Row("`map(batched=True, num_proc=2)`", _rate(many, tokenize, batched=True, num_proc=2), "texts/s")
        with patch.dict(os.environ, TOKENIZERS_PARALLELISM="true"):
            threads = _rate(many, tokenize, batched=True)
        yield Row("`map(batched=True)`, the tokenizer's threads", threads, "texts/s", 20_000, at_least=True)


def _rate(table, function, **options) -> float:
    """Texts per second of a `map` that isn't answered from the cache; the median of three runs."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        table.map(function, remove_columns=table.column_names, load_from_cache_file=False, **options)
        times.append(time.perf_counter() - begin)
    return len(table) / statistics.median(times)
