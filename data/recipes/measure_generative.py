"""How well the models that were trained from nothing do: one function per role, called by data/recipes/measure.py."""

import csv
import json
import random
import re
from collections import Counter

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from benchmarks import Row
from data.recipes import scratch_models as scratch
from data.recipes import translator as translation
from labs_utils.materials.catalog import checkpoint


def load(auto_class: type, role: str):
    """The shipped model of a role, in float32, and its tokenizer."""
    folder = checkpoint(role)
    model = auto_class.from_pretrained(folder, dtype=torch.float32).to(scratch.DEVICE).eval()
    return model, AutoTokenizer.from_pretrained(folder)


# ---------------------------------------------------------------------------------------------------- generator


def generator() -> list[Row]:
    """Perplexity on the validation stories, per token and per word, and the bits that a byte of them costs."""
    model, tokenizer = load(AutoModelForCausalLM, "generator")
    texts = [row["text"] for row in scratch.own_rows("stories/validation.jsonl")]
    surprise, tokens = story_surprise(model, tokenizer, texts)
    words, size = (sum(len(text.split()) for text in texts), sum(len(text.encode()) for text in texts))
    per = {"token": tokens, "word": words}
    where = f"the validation split of our `stories` ({len(texts)} stories)"
    rows = [Row(f"perplexity per {what} on {where}", 2 ** (surprise / count), "") for what, count in per.items()]
    return [*rows, Row("bits per byte on the same", surprise / size, "")]


@torch.no_grad()
def story_surprise(model, tokenizer, texts: list[str]) -> tuple[float, int]:
    """The bits in which the model is surprised by the texts, and how many tokens they have, ends of texts included.

    A text that is longer than the model's context is read in windows that begin anew, each with half a window to look
    back on.
    """
    bits, count, window = 0.0, 0, model.config.n_positions
    for text in texts:
        end = tokenizer.eos_token_id
        ids = torch.tensor([end, *tokenizer(text, verbose=False)["input_ids"], end])
        done = 1
        while done < len(ids):
            start = max(0, done - window // 2)
            part = ids[start : start + window].to(model.device)
            chances = model(input_ids=part[None]).logits[0, :-1].log_softmax(-1)
            found = chances.gather(1, part[1:, None])[done - start - 1 :]
            bits, count, done = bits - found.sum().item() / 0.6931471805599453, count + len(found), done + len(found)
    return bits, count


# ---------------------------------------------------------------------------------------------------- translator


def translator() -> list[Row]:
    """chrF on held-out Tatoeba sentences, decoded as the model's own generation_config says."""
    model, tokenizer = load(AutoModelForSeq2SeqLM, "translator")
    held_out = translation.split()[1]
    french, english = [list(side) for side in zip(*held_out, strict=True)]
    found = generate(model, tokenizer, french)
    exact = sum(a == b for a, b in zip(found, english, strict=True)) / len(found)
    return [
        Row(f"chrF on {len(found):,} held-out French–English pairs of Tatoeba", chrf(found, english), "", 45, True),
        Row("chrF of the French sentences left as they are", chrf(french, english), ""),
        Row("share translated exactly as the reference", exact, ""),
    ]


@torch.no_grad()
def generate(model, tokenizer, texts: list[str], size: int = 64, **options) -> list[str]:
    """What the model writes for each text; texts of about one length go together."""
    found = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        batch = tokenizer([texts[i] for i in chosen], padding=True, truncation=True, return_tensors="pt")
        written = model.generate(**batch.to(model.device), **options)
        for i, text in zip(chosen, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True):
            found[i] = text.strip()
    return found


def chrf(found: list[str], expected: list[str], longest: int = 6, beta: float = 2.0) -> float:
    """Corpus chrF (Popović 2015), from 0 to 100: character n-grams up to six, no spaces, recall counting double.

    >>> chrf(["the cat"], ["the cat"])
    100.0
    """
    scores = []
    for length in range(1, longest + 1):
        hits = guessed = there = 0
        for one, other in zip(found, expected, strict=True):
            a, b = _grams("".join(one.split()), length), _grams("".join(other.split()), length)
            hits, guessed, there = hits + (a & b).total(), guessed + a.total(), there + b.total()
        if guessed and there:
            precision, recall = hits / guessed, hits / there
            bottom = beta**2 * precision + recall
            scores.append((1 + beta**2) * precision * recall / bottom if bottom else 0.0)
    return 100 * sum(scores) / max(1, len(scores))


def _grams(items, length: int) -> Counter:
    return Counter(items[at : at + length] for at in range(len(items) - length + 1))


# ---------------------------------------------------------------------------------------------------- zh-encoder


def zh_encoder() -> list[Row]:
    """Filling in hidden characters of text it never saw, and hotel reviews after fine-tuning on ours."""
    top1, top5, count = masked_accuracy()
    rows = [row for name in ("zh", "zh_more") for row in scratch.own_rows(f"hotel_reviews/{name}.csv")]
    ours = [(row["review"], int(row["label"])) for row in rows if row["review"]]
    real = chnsenticorp()
    rest, tenth = real[len(real) // 10 :], real[: len(real) // 10]
    sample = real[:2000]
    lazy = sum(label for _, label in sample) / len(sample)
    taught_by_ours = fine_tuned_accuracy(ours, sample, epochs=4)
    taught_by_theirs = fine_tuned_accuracy(rest, tenth, epochs=3)
    return [
        Row(f"top-5 accuracy on the Chinese paragraphs of XQuAD ({count:,} hidden characters, 15 %)", top5, ""),
        Row("top-1 accuracy on the same", top1, ""),
        Row(
            f"accuracy on {len(sample):,} reviews of ChnSentiCorp, fine-tuned on ours (all-positive: {lazy:.3f})",
            taught_by_ours, "", 0.82, True,
        ),
        Row(
            f"accuracy on a tenth of ChnSentiCorp ({len(tenth)} reviews), fine-tuned on the other nine (not shipped)",
            taught_by_theirs, "", 0.88, True,
        ),
    ]  # fmt: skip


def encode(tokenizer, texts: list[str], longest: int):
    """The texts as a padded batch of at most `longest` tokens."""
    return tokenizer(texts, truncation=True, max_length=longest, padding=True, return_tensors="pt")


@torch.no_grad()
def masked_accuracy(share: float = 0.15, longest: int = 128) -> tuple[float, float, int]:
    """Top-1 and top-5 accuracy on hidden characters of XQuAD's Chinese paragraphs, and how many were hidden."""
    model, tokenizer = load(AutoModelForMaskedLM, "zh-encoder")
    chooser, first, five, count = torch.Generator().manual_seed(0), 0, 0, 0
    texts = xquad_zh()
    for start in range(0, len(texts), 16):
        batch = encode(tokenizer, texts[start : start + 16], longest)
        ids = batch["input_ids"]
        hidden = (torch.rand(ids.shape, generator=chooser) < share) & (ids >= len(tokenizer.all_special_ids))
        batch["input_ids"] = ids.masked_fill(hidden, tokenizer.mask_token_id)
        logits = model(**batch.to(model.device)).logits.cpu()[hidden]
        right = logits.topk(5).indices == ids[hidden][:, None]
        first, five, count = first + right[:, 0].sum().item(), five + right.sum().item(), count + len(right)
    return first / count, five / count, count


def xquad_zh() -> list[str]:
    """The Chinese paragraphs of XQuAD (CC BY-SA 4.0)."""
    lines = scratch.public_lines("xquad/xquad.zh.json.gz")
    if lines is None:
        from datasets import load_dataset

        return sorted(set(load_dataset("google/xquad", "xquad.zh", split="validation")["context"]))
    content = json.loads("\n".join(lines))
    return [paragraph["context"] for article in content["data"] for paragraph in article["paragraphs"]]


def chnsenticorp() -> list[tuple[str, int]]:
    """ChnSentiCorp's hotel reviews, shuffled (no licence is stated: to measure, never to train what ships)."""
    lines = scratch.public_lines("chnsenticorp_htl/ChnSentiCorp_htl_all.csv.gz")
    if lines is None:
        raise SystemExit("ChnSentiCorp_htl_all.csv.gz is needed to measure: point LABS_DATA_DIR at the public sets.")
    rows = list(csv.DictReader(lines))
    rows = [(row["review"], int(row["label"])) for row in rows if row["review"]]
    return random.Random(0).sample(rows, len(rows))


def fine_tuned_accuracy(train: list, test: list, epochs: int, peak: float = 5e-4, size: int = 16, longest: int = 128):
    """Fine-tune the shipped encoder for two classes; return its accuracy on `test`. Seeded, nothing is chosen on it."""
    scratch.seed_everything(0)
    model, tokenizer = load(AutoModelForSequenceClassification, "zh-encoder")
    rng = random.Random(0)
    steps = epochs * len(train) // size

    def batches():
        for rows in scratch.forever(train, size, rng):
            texts = encode(tokenizer, [text for text, _ in rows], longest)
            yield {**texts, "labels": torch.tensor([label for _, label in rows])}

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    for step, batch in zip(range(steps), batches(), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = scratch.learning_rate_at(step, step / steps, peak, steps // 10)
        model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return accuracy_of(model.eval(), tokenizer, test, longest)


@torch.no_grad()
def accuracy_of(model, tokenizer, rows: list, longest: int) -> float:
    rows, right = sorted(rows, key=lambda row: len(row[0])), 0
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        texts = encode(tokenizer, [text for text, _ in part], longest)
        best = model(**texts.to(model.device)).logits.argmax(-1).cpu()
        right += (best == torch.tensor([label for _, label in part])).sum().item()
    return right / len(rows)


# ---------------------------------------------------------------------------------------------------- summarizer


def summarizer() -> list[Row]:
    """ROUGE-1 on the abstracts of SciTLDR's dev split and on our held-out articles, beside simple baselines."""
    model, tokenizer = load(AutoModelForSeq2SeqLM, "summarizer")
    abstracts, targets = scitldr("dev")
    articles = scratch.own_rows("articles/test.jsonl")
    texts, headlines = [row["text"] for row in articles], [[row["headline"]] for row in articles]
    return [
        Row(f"ROUGE-1 (F) on SciTLDR dev ({len(abstracts)} abstracts)",
            rouge1(generate(model, tokenizer, abstracts), targets), "", 0.25, True),
        Row("ROUGE-1 of the abstract's first 20 words", rouge1([first_words(text) for text in abstracts], targets), ""),
        Row(f"ROUGE-1 (F) on the headlines of our {len(texts)} test articles",
            rouge1(generate(model, tokenizer, texts), headlines), ""),
    ]  # fmt: skip


def first_words(text: str, count: int = 20) -> str:
    return " ".join(text.split()[:count])


def scitldr(split: str) -> tuple[list[str], list[list[str]]]:
    """The abstracts of SciTLDR (Apache-2.0) and the one-sentence summaries that people wrote for each."""
    lines = scratch.public_lines(f"scitldr/{split}.jsonl.gz")
    if lines is None:
        from datasets import load_dataset

        name = {"dev": "validation"}.get(split, split)
        rows = load_dataset("allenai/scitldr", "Abstract", split=name, revision="refs/convert/parquet")
    else:
        rows = [json.loads(line) for line in lines if line]
    return [" ".join(row["source"]) for row in rows], [list(row["target"]) for row in rows]


def rouge1(found: list[str], expected: list[list[str]]) -> float:
    """Mean ROUGE-1 F over the texts; of several references the one that fits best counts, as SciTLDR does it.

    >>> rouge1(["a cat sat"], [["the cat sat", "dogs"]])
    0.6666666666666666
    """
    best = [max(_overlap(one, other) for other in others) for one, others in zip(found, expected, strict=True)]
    return sum(best) / len(best)


def _overlap(one: str, other: str) -> float:
    a, b = (Counter(re.findall(r"[a-z0-9]+", text.lower())) for text in (one, other))
    return 2 * (a & b).total() / max(1, a.total() + b.total())


MEASURES = {"generator": generator, "translator": translator, "zh-encoder": zh_encoder, "summarizer": summarizer}
