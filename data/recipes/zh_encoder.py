"""`zh-encoder`: a small Chinese BERT with a vocabulary of characters, pretrained by filling in masked characters.

Reads CSL's titles and abstracts (Apache-2.0), the Chinese side of Tatoeba (CC BY 2.0 FR) and the course's own Chinese
text (CC0). Run from the repository root: `python -m data.recipes.zh_encoder`.
"""

import random
from collections import Counter

import torch
from transformers import BertConfig, BertTokenizer

from data.recipes.common import BertForMaskedLM
from data.recipes.scratch_models import fit, forever, own_rows, public_lines, publish, seed_everything, tatoeba

SEED = 22
WIDTH, LAYERS, HEADS, POSITIONS, BLOCK = 128, 4, 4, 256, 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MASKED = 0.2  # of the characters; of these 80 % become [MASK], 10 % another character, 10 % stay


def csl() -> list[str]:
    """Titles and abstracts of Chinese scientific papers."""
    files = ["cls_ctg_train.tsv.gz", "cls_ctg_dev.tsv.gz", "ts_dev.tsv.gz"]
    lines = [public_lines(f"csl_title_zh/{name}") for name in files]
    if None in lines:
        from datasets import load_dataset

        rows = load_dataset("neuclir/csl", split="csl").select(range(9000))
        return [row["title"] for row in rows] + [row["abstract"] for row in rows.select(range(1000))]
    fields = [line.split("\t") for part in lines for line in part if line]
    return [text for row in fields[:9000] for text in row[1:2]] + [text for row in fields[9000:] for text in row[1:3]]


def reviews() -> list[str]:
    names = ("hotel_reviews/zh.csv", "hotel_reviews/zh_more.csv")
    return [row["review"] for name in names for row in own_rows(name) if row["review"]]


def texts() -> list[str]:
    """All of it; our hotel reviews three times, because hotels are what the model will read about."""
    parallel = [row["zh"] for row in own_rows("parallel/zh-en.tsv")]
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
    seed_everything(SEED)
    rng = random.Random(SEED)
    corpus = texts()
    tokenizer = make_tokenizer(corpus)
    model = new_model(tokenizer)
    rows = blocks(corpus, tokenizer, rng)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} characters, {len(rows)} blocks", flush=True)
    fit(model, batches(rows, size, tokenizer, rng), steps, peak=2e-3, warmup=150)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.1  # for those who fine-tune it
    publish("zh-encoder", model, tokenizer)


if __name__ == "__main__":
    main()
