"""`translator`: a small Marian model, French to English.

Learns from Tatoeba's pairs (CC BY 2.0 FR) and the course's own `parallel` set (CC0). 2,000 English sentences are held
out to measure: neither they nor the French sentences that belong to them occur in the training.
"""

import random

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    MarianConfig,
    MarianMTModel,
    PreTrainedTokenizerFast,
    set_seed,
)

from data.recipes.metrics import accuracy, chrf
from data.recipes.publishing import publish
from data.recipes.results import Row
from data.recipes.texts import our_rows, tatoeba
from data.recipes.training import batches_of_pairs, generate, load, train_from_nothing

SEED = 21
VOCABULARY, WIDTH, ENCODER_LAYERS, DECODER_LAYERS, POSITIONS = 4000, 128, 3, 2, 128
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
HELD_OUT = 2000
LONGEST = 40  # tokens of either side of a pair that is learnt from


def main(steps: int = 2800, tokens: int = 1500) -> None:
    set_seed(SEED)
    pairs, _ = split()
    tokenizer = train_tokenizer([text for pair in pairs[::2] for text in pair])
    model = new_model(tokenizer)
    print(f"{model.num_parameters():,} parameters, {len(pairs):,} pairs", flush=True)
    sources, targets = token_ids(tokenizer, pairs)
    print(f"{sum(map(len, sources)):,} French and {sum(map(len, targets)):,} English tokens", flush=True)
    batches = batches_of_pairs(sources, targets, tokens, random.Random(SEED))
    train_from_nothing(model, batches, steps, peak=2e-3, warmup=80)
    publish("translator", model, tokenizer)


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
    train += 2 * [(row["fr"], row["en"]) for row in our_rows("parallel/fr-en.tsv") if row["en"] not in kept_english]
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


def new_model(tokenizer: PreTrainedTokenizerFast) -> MarianMTModel:
    """A model that knows nothing yet, with the settings by which it will write."""
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    config = MarianConfig(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        max_position_embeddings=POSITIONS,
        activation_function="relu",
        encoder_layers=ENCODER_LAYERS,
        encoder_ffn_dim=4 * WIDTH,
        encoder_attention_heads=4,
        decoder_layers=DECODER_LAYERS,
        decoder_ffn_dim=4 * WIDTH,
        decoder_attention_heads=4,
        dropout=0.0,
        scale_embedding=True,
        forced_eos_token_id=None,
        **ids,
    )
    model = MarianMTModel(config)
    model.generation_config = GenerationConfig(max_new_tokens=64, num_beams=4, early_stopping=True, **ids)
    return model


def token_ids(
    tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]
) -> tuple[list[list[int]], list[list[int]]]:
    """The French and the English sides of the pairs that are short on both sides."""
    sources = tokenizer([french for french, _ in pairs])["input_ids"]
    targets = tokenizer([english for _, english in pairs])["input_ids"]
    short = [i for i in range(len(pairs)) if max(len(sources[i]), len(targets[i])) <= LONGEST]
    return [sources[i] for i in short], [targets[i] for i in short]


def measured() -> list[Row]:
    """chrF on held-out Tatoeba sentences, decoded as the model's own generation_config says."""
    french, english = map(list, zip(*split()[1], strict=True))
    found = generate(*load(AutoModelForSeq2SeqLM, "translator"), french)
    return [
        Row(
            f"chrF on {len(found):,} held-out French–English pairs of Tatoeba",
            chrf(found, english),
            bound=45,
            at_least=True,
        ),
        Row("chrF of the French sentences left as they are", chrf(french, english)),
        Row("share translated exactly as the reference", accuracy(found, english)),
    ]


if __name__ == "__main__":
    main()
