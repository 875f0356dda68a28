"""The multilingual encoder: finding a sentence's translation among a thousand, and texts per second."""

import random
import time
from collections.abc import Iterator

from data.recipes.results import Row
from data.recipes.texts import tatoeba

_PAIRS = 1_000


def rows() -> Iterator[Row]:
    """Top-1 on Tatoeba's Chinese and English, and back."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    import labs_utils as lab

    role = lab.checkpoint("multilingual-encoder")
    tokenizer = AutoTokenizer.from_pretrained(role)
    model = AutoModel.from_pretrained(role, add_pooling_layer=False).eval()
    english, chinese = zip(*pairs(), strict=True)
    begin = time.perf_counter()
    ours = [vectors(model, tokenizer, texts) for texts in (english, chinese)]
    seconds = time.perf_counter() - begin
    places = torch.arange(_PAIRS)
    for name, (queries, answers) in {"zh → en": ours[::-1], "en → zh": ours}.items():
        found = (queries @ answers.T).argmax(-1)
        yield Row(f"Tatoeba {name}, top-1 of 1,000", (found == places).float().mean().item(), "", 0.9, at_least=True)
    yield Row("short sentences read", 2 * _PAIRS / seconds, "texts/s")


def pairs() -> list[tuple[str, str]]:
    """A seeded thousand of pairs, no sentence of which comes twice on either side."""
    seen: set[str] = set()
    chosen = []
    found = tatoeba("cmn")
    for english, chinese in random.Random(0).sample(found, len(found)):
        if english not in seen and chinese not in seen:
            chosen.append((english, chinese))
            seen |= {english, chinese}
    return chosen[:_PAIRS]


def vectors(model, tokenizer, texts):
    """One vector of length 1 for each text: the mean over its tokens, as the model was trained."""
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), 50):
            batch = tokenizer(
                [f"query: {text}" for text in texts[start : start + 50]], padding=True, return_tensors="pt"
            )
            mask = batch["attention_mask"][..., None]
            found.append((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(torch.cat(found), dim=-1)
