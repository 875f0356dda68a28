"""The chat model: bits per byte, tokens per second by batch, threads, precision and cache, beside the memory's speed.

Writing one token reads every weight once, so a token can't take less time than copying so many bytes: the shares say
how near a setting comes to that. Both are measured in the same run.
"""

import math
import os
import statistics
import time
from collections.abc import Iterator

from data.recipes.results import Row
from data.recipes.texts import our_rows, wikitext

_PROMPT = "Once upon a time there was a lighthouse keeper who"
_TOKENS = 24


def rows() -> Iterator[Row]:
    """Quality on text that it was not tuned on, then speed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import labs_utils as lab

    llm = lab.checkpoint("llm")
    tokenizer = AutoTokenizer.from_pretrained(llm, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(llm).eval()
    for name, texts in {
        "WikiText-2, valid": wikitext("valid")[:60],
        "our `stories`, validation": [row["text"] for row in our_rows("stories/validation.jsonl")],
    }.items():
        yield Row(f"bits per byte on {name}", bits_per_byte(model, tokenizer, texts), "bits")
    threads = torch.get_num_threads()
    alone = yield from _speeds(model, tokenizer, [1, min(2, os.cpu_count() or 1)])
    yield Row("eight texts at once over one", alone["batch of 8"] / alone["one text"], "×")
    yield Row("with the cache over without, at this length", alone["one text"] / alone["no cache"], "×")
    torch.set_num_threads(threads)


def _speeds(model, tokenizer, threads: list[int]):
    import torch

    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    found: dict[str, float] = {}
    for count in dict.fromkeys(threads):
        torch.set_num_threads(count)
        copying = bytes_copied_per_second()
        yield Row(f"memory copied, {count} threads", copying / 1e9, "GB/s")
        for name, batch, options in (("one text", 1, {}), ("batch of 8", 8, {}), ("no cache", 1, {"use_cache": False})):
            found[name] = tokens_per_second(model, tokenizer, batch, **options)
            yield Row(f"{name}, float32, {count} threads", found[name], "tokens/s")
        share = found["one text"] * size / copying
        yield Row(f"one text, float32, {count} threads: share of what the memory allows", share, "", 0.5, at_least=True)
    half = model.to(torch.bfloat16)
    speed = tokens_per_second(half, tokenizer, 1)
    yield Row("one text, bfloat16", speed, "tokens/s")
    yield Row("one text, bfloat16: share of what the memory allows", speed * size / 2 / copying, "")
    model.to(torch.float32)
    compiled = torch.compile(model.forward, dynamic=True)
    original, model.forward = model.forward, compiled
    try:
        yield Row("one text, float32, compiled", tokens_per_second(model, tokenizer, 1), "tokens/s")
    except Exception as error:  # no C++ compiler here, say
        print(f"not compiled: {type(error).__name__}")
    model.forward = original
    return found


def tokens_per_second(model, tokenizer, batch: int, **options) -> float:
    """New tokens per second, greedy, after one warm-up; the median of three."""
    import torch

    inputs = tokenizer([_PROMPT] * batch, return_tensors="pt")
    settings = {"max_new_tokens": _TOKENS, "min_new_tokens": _TOKENS, "do_sample": False, **options}
    times = []
    with torch.inference_mode():
        for _ in range(4):
            begin = time.perf_counter()
            model.generate(**inputs, **settings)
            times.append(time.perf_counter() - begin)
    return batch * _TOKENS / statistics.median(times[1:])


def bytes_copied_per_second(size: int = 2**28) -> float:
    """Bytes read per second while a tensor is copied; as many are written."""
    import torch

    source, target = torch.ones(size // 4), torch.empty(size // 4)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - begin)
    return size / min(times)


def bits_per_byte(model, tokenizer, texts: list[str], longest: int = 256) -> float:
    """How many bits the model needs for a byte of text, cut at `longest` tokens each: lower is better."""
    import torch

    bits = size = 0.0
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")["input_ids"]
            loss = model(input_ids=ids, labels=ids).loss.item()  # nats per token, of all but the first
            bits += loss * (ids.shape[1] - 1) / math.log(2)
            size += len(tokenizer.decode(ids[0, 1:]).encode())
    return bits / size
