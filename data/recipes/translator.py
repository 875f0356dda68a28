"""`translator`: a small Marian model, French to English.

Learns from Tatoeba's pairs (CC BY 2.0 FR) and the course's own `parallel` set (CC0). 2,000 English sentences are held
out to measure: neither they nor the French sentences that belong to them occur in the training.
Run from the repository root: `python -m data.recipes.translator`.
"""

import random

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from data.recipes.scratch_models import fit, own_rows, publish, seed_everything, tatoeba

SEED = 21
VOCABULARY, WIDTH, ENCODER_LAYERS, DECODER_LAYERS, POSITIONS = 4000, 128, 3, 2, 128
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
HELD_OUT = 2000


def split() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(French, English) pairs to train on, and the held-out ones, one for each held-out English sentence."""
    pairs = list(dict.fromkeys((french, english) for english, french in tatoeba("fra")))
    random.Random(SEED).shuffle(pairs)
    first = {}
    for french, english in pairs:
        first.setdefault(english, french)
    held_out = [(french, english) for english, french in list(first.items())[:HELD_OUT]]
    kept_english = {english for _, english in held_out}
    kept_french = {french for french, english in pairs if english in kept_english}
    train = [pair for pair in pairs if pair[1] not in kept_english and pair[0] not in kept_french]
    train += 2 * [(row["fr"], row["en"]) for row in own_rows("parallel/fr-en.tsv") if row["en"] not in kept_english]
    return train, held_out


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """One subword vocabulary for both languages; every text is closed by the end token, as Marian expects."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    same = [normalizers.Replace(odd, plain) for odd, plain in (("’", "'"), ("\u202f", " "), ("\u00a0", " "))]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *same])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[PAD, END, UNKNOWN], limit_alphabet=150, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, model_max_length=POSITIONS
    )


def new_model(tokenizer) -> MarianMTModel:
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = MarianConfig(
        vocab_size=len(tokenizer), d_model=WIDTH, max_position_embeddings=POSITIONS, activation_function="relu",
        encoder_layers=ENCODER_LAYERS, encoder_ffn_dim=4 * WIDTH, encoder_attention_heads=4,
        decoder_layers=DECODER_LAYERS, decoder_ffn_dim=4 * WIDTH, decoder_attention_heads=4,
        dropout=0.0, scale_embedding=True, forced_eos_token_id=None, **ids,
    )  # fmt: skip
    model = MarianMTModel(config)
    model.generation_config = GenerationConfig(max_new_tokens=64, num_beams=4, early_stopping=True, **ids)
    return model


def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def batches(sources: list[list[int]], targets: list[list[int]], tokens: int, rng: random.Random):
    """Pairs of about one length together, up to `tokens` target tokens a batch, in random order, without end."""
    while True:
        order = sorted(range(len(sources)), key=lambda i: (len(targets[i]), len(sources[i]), rng.random()))
        groups, group = [], []
        for index in order:
            if (len(group) + 1) * max(len(sources[index]), len(targets[index])) > tokens:
                groups.append(group)
                group = []
            group.append(index)
        rng.shuffle(groups)
        for group in groups:
            source = padded([sources[i] for i in group], 0)
            yield {
                "input_ids": source,
                "attention_mask": (source != 0).long(),
                "labels": padded([targets[i] for i in group], -100),
            }


def main(steps: int = 2800, tokens: int = 1500) -> None:
    seed_everything(SEED)
    train, _ = split()
    tokenizer = train_tokenizer([text for pair in train[::2] for text in pair])
    model = new_model(tokenizer)
    print(f"{model.num_parameters():,} parameters, {len(train):,} pairs", flush=True)
    sources = tokenizer([french for french, _ in train])["input_ids"]
    targets = tokenizer([english for _, english in train])["input_ids"]
    short = [i for i in range(len(train)) if max(len(sources[i]), len(targets[i])) <= 40]
    sources, targets = [sources[i] for i in short], [targets[i] for i in short]
    print(f"{sum(map(len, sources)):,} French and {sum(map(len, targets)):,} English tokens", flush=True)
    fit(model, batches(sources, targets, tokens, random.Random(SEED)), steps, peak=2e-3, warmup=80)
    publish("translator", model, tokenizer)


if __name__ == "__main__":
    main()
