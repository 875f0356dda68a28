"""`zh-encoder`: a small Chinese BERT with a vocabulary of characters, pretrained by filling in masked characters.

Reads CSL's titles and abstracts (Apache-2.0), the Chinese side of Tatoeba (CC BY 2.0 FR) and the course's own Chinese
text (CC0). Run from the repository root: `python -m data.recipes.zh_encoder`.
"""

import csv
import itertools
import json
import random
from collections import Counter

import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    set_seed,
)

from data.recipes.publishing import publish
from data.recipes.results import Row
from data.recipes.texts import hub_rows, our_rows, public_text, tatoeba
from data.recipes.training import fit, load, train_from_nothing, warm_then_cosine

SEED = 22
WIDTH, LAYERS, HEADS, POSITIONS, BLOCK = 128, 4, 4, 256, 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MASKED = 0.2  # of the characters; of these 80 % become [MASK], 10 % another character, 10 % stay


def csl() -> list[str]:
    """Titles and abstracts of Chinese scientific papers."""
    files = [public_text(f"csl_title_zh/{name}.tsv") for name in ("cls_ctg_train", "cls_ctg_dev", "ts_dev")]
    if None in files:
        rows = list(itertools.islice(hub_rows("neuclir/csl", split="csl"), 9000))
        return [row["title"] for row in rows] + [row["abstract"] for row in rows[:1000]]
    fields = [line.split("\t") for text in files for line in text.split("\n") if line]
    return [text for row in fields[:9000] for text in row[1:2]] + [text for row in fields[9000:] for text in row[1:3]]


def reviews() -> list[str]:
    names = ("hotel_reviews/zh.csv", "hotel_reviews/zh_more.csv")
    return [row["review"] for name in names for row in our_rows(name) if row["review"]]


def texts() -> list[str]:
    """All of it; our hotel reviews three times, because hotels are what the model will read about."""
    parallel = [row["zh"] for row in our_rows("parallel/zh-en.tsv")]
    spoken = list(dict.fromkeys(chinese for _, chinese in tatoeba("cmn")))
    random.Random(SEED).shuffle(spoken)
    joined = ["".join(spoken[start : start + 6]) for start in range(0, len(spoken), 6)]
    return csl() + joined + 3 * (reviews() + parallel)


def make_tokenizer(corpus: list[str]) -> BertTokenizer:
    """Characters that occur three times or more; Latin words and numbers are spelt with their letters and digits."""
    counts = Counter(character for text in corpus for character in text.lower() if not character.isspace())
    characters = sorted(character for character, count in counts.items() if count >= 3)
    pieces = [f"##{character}" for character in characters if character.isascii() and character.isalnum()]
    vocabulary = {token: index for index, token in enumerate(SPECIAL + characters + pieces)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=POSITIONS)


def blocks(corpus: list[str], tokenizer, rng: random.Random) -> list[torch.Tensor]:
    """The texts in random order, each closed by [SEP], cut into blocks that begin with [CLS] and end with [SEP]."""
    corpus = rng.sample(corpus, len(corpus))
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    stream = []
    for ids in tokenizer(corpus, add_special_tokens=False, verbose=False)["input_ids"]:
        stream += [*ids, sep]
    body = BLOCK - 2
    return [torch.tensor([cls, *stream[at : at + body], sep]) for at in range(0, len(stream) - body, body)]


def mask(ids: torch.Tensor, tokenizer, generator: torch.Generator) -> dict:
    """BERT's game: hide some characters and ask for them. Where nothing is asked, the label is -100."""
    chance = torch.rand(ids.shape, generator=generator)
    chosen = (chance < MASKED) & (ids >= len(SPECIAL))
    hidden = ids.masked_fill(chosen & (chance < 0.8 * MASKED), tokenizer.mask_token_id)
    wrong = torch.randint(len(SPECIAL), len(tokenizer), ids.shape, generator=generator)
    return {
        "input_ids": torch.where(chosen & (chance >= 0.9 * MASKED), wrong, hidden),
        "labels": ids.masked_fill(~chosen, -100),
    }


def forever(rows: list, size: int, rng: random.Random):
    """Batches of `size` rows, reshuffled at every pass, without end."""
    order, size = list(range(len(rows))), min(size, len(rows))
    while True:
        rng.shuffle(order)
        for start in range(0, len(order) - size + 1, size):
            yield [rows[index] for index in order[start : start + size]]


def batches(rows: list[torch.Tensor], size: int, tokenizer, rng: random.Random):
    generator = torch.Generator().manual_seed(SEED)
    for batch in forever(rows, size, rng):
        yield mask(torch.stack(batch), tokenizer, generator)


def new_model(tokenizer) -> BertForMaskedLM:
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, max_position_embeddings=POSITIONS, pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return BertForMaskedLM(config)


def main(steps: int = 4500, size: int = 24) -> None:
    """Train it on the blocks, shuffled anew at each pass, with other characters hidden each time."""
    set_seed(SEED)
    rng = random.Random(SEED)
    corpus = texts()
    tokenizer = make_tokenizer(corpus)
    model = new_model(tokenizer)
    rows = blocks(corpus, tokenizer, rng)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} characters, {len(rows)} blocks", flush=True)
    train_from_nothing(model, batches(rows, size, tokenizer, rng), steps, peak=2e-3, warmup=150)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.1  # for those who fine-tune it
    publish("zh-encoder", model, tokenizer)


def measured() -> list[Row]:
    """Filling in hidden characters of text it never saw, and hotel reviews after fine-tuning on ours."""
    top1, top5, count = masked_accuracy()
    rows = [row for name in ("zh", "zh_more") for row in our_rows(f"hotel_reviews/{name}.csv")]
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
    text = public_text("xquad/xquad.zh.json")
    if text is None:
        return sorted({row["context"] for row in hub_rows("google/xquad", "xquad.zh", split="validation")})
    content = json.loads(text)
    return [paragraph["context"] for article in content["data"] for paragraph in article["paragraphs"]]


def chnsenticorp() -> list[tuple[str, int]]:
    """ChnSentiCorp's hotel reviews, shuffled (no licence is stated: to measure, never to train what ships)."""
    text = public_text("chnsenticorp_htl/ChnSentiCorp_htl_all.csv")
    if text is None:
        raise SystemExit("ChnSentiCorp_htl_all.csv.gz is needed to measure: point LABS_DATA_DIR at the public sets.")
    rows = list(csv.DictReader(text.split("\n")))
    rows = [(row["review"], int(row["label"])) for row in rows if row["review"]]
    return random.Random(0).sample(rows, len(rows))


def fine_tuned_accuracy(train: list, test: list, epochs: int, peak: float = 5e-4, size: int = 16, longest: int = 128):
    """Fine-tune the shipped encoder for two classes; return its accuracy on `test`. Seeded, nothing is chosen on it."""
    set_seed(0)
    model, tokenizer = load(AutoModelForSequenceClassification, "zh-encoder")
    rng = random.Random(0)
    steps = epochs * len(train) // size

    def batches():
        for rows in forever(train, size, rng):
            texts = encode(tokenizer, [text for text, _ in rows], longest)
            yield {**texts, "labels": torch.tensor([label for _, label in rows])}

    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    fit(model, batches(), steps, [optimizer], warm_then_cosine(steps // 10))
    return accuracy_of(model, tokenizer, test, longest)


@torch.no_grad()
def accuracy_of(model, tokenizer, rows: list, longest: int) -> float:
    rows, right = sorted(rows, key=lambda row: len(row[0])), 0
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        texts = encode(tokenizer, [text for text, _ in part], longest)
        best = model(**texts.to(model.device)).logits.argmax(-1).cpu()
        right += (best == torch.tensor([label for _, label in part])).sum().item()
    return right / len(rows)


if __name__ == "__main__":
    main()
