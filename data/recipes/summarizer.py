"""`summarizer`: a small BART that writes one sentence about an abstract or an article.

Reads the training split of SciTLDR (Apache-2.0) and the course's own English prose (CC0). It first learns to write out
the sentence of a passage that has most in common with the others, then to write what people wrote: the one-sentence
summaries of SciTLDR and the headlines of our articles. Run from the repository root:
`python -m data.recipes.summarizer`.
"""

import json
import random
import re
from collections import Counter

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForConditionalGeneration,
    GenerationConfig,
    PreTrainedTokenizerFast,
    set_seed,
)

from data.recipes.publishing import publish
from data.recipes.results import Row
from data.recipes.texts import hub_rows, our_rows, public_text
from data.recipes.training import batches_of_pairs, generate, load, train_from_nothing

SEED = 23
VOCABULARY, WIDTH, LAYERS, POSITIONS, LONGEST_SOURCE, LONGEST_TARGET = 4000, 128, 2, 256, 160, 48
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def scitldr(split: str) -> tuple[list[str], list[list[str]]]:
    """The abstracts of SciTLDR (Apache-2.0) and the one-sentence summaries that people wrote for each."""
    text = public_text(f"scitldr/{split}.jsonl")
    if text is None:
        name = {"dev": "validation"}.get(split, split)
        rows = list(hub_rows("allenai/scitldr", "Abstract", split=name, revision="refs/convert/parquet"))
    else:
        rows = [json.loads(line) for line in text.split("\n") if line]
    return [" ".join(row["source"]) for row in rows], [list(row["target"]) for row in rows]


def prose() -> list[str]:
    """Our other texts of more than one sentence: articles, contexts of questions, reviews, news of eight topics."""
    articles = [f"{row['text']}" for row in our_rows("articles/train.jsonl")]
    contexts = list(dict.fromkeys(row["context"] for row in our_rows("questions/train.jsonl")))
    reviews = [row["review"] for row in our_rows("hotel_reviews/en.csv") if row["review"]]
    topics = [row["text"] for row in our_rows("topics/train.csv")]
    return articles + contexts + reviews + topics


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+", text) if part]


def words(text: str) -> Counter:
    return Counter(re.findall(r"[a-z0-9]+", text.lower()))


def central_sentence(text: str) -> str:
    """The sentence that shares most words with the rest (the idea of PEGASUS, but it stays in the passage)."""
    parts = sentences(text)
    scores = []
    for place, part in enumerate(parts):
        own, rest = words(part), words(" ".join(parts[:place] + parts[place + 1 :]))
        scores.append(2 * (own & rest).total() / max(1, own.total() + rest.total()))
    return parts[scores.index(max(scores))]


def copying(rng: random.Random, times: int) -> list[tuple[str, str]]:
    """(passage, its central sentence): windows of three to six sentences, another choice of windows each time."""
    texts, pairs = scitldr("train")[0] + prose(), []
    for text in texts * times:
        parts = sentences(text)
        if len(parts) >= 3:
            length = rng.randint(3, 6)
            start = rng.randint(0, max(0, len(parts) - length))
            passage = " ".join(parts[start : start + length])
            pairs.append((passage, central_sentence(passage)))
    return pairs


def summaries() -> list[tuple[str, str]]:
    """(text, what people wrote about it): SciTLDR's summaries, our headlines, the first sentence of our summaries."""
    abstracts, targets = scitldr("train")
    pairs = [(text, target) for text, several in zip(abstracts, targets, strict=True) for target in several]
    for row in our_rows("articles/train.jsonl"):
        pairs += [(row["text"], row["headline"]), (row["text"], sentences(row["summary"])[0])]
    return pairs


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Lower-case subwords: capitals are not worth the places in so small a vocabulary."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(behavior="isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[PAD, END, UNKNOWN], limit_alphabet=100, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, model_max_length=LONGEST_SOURCE
    )


def new_model(tokenizer) -> BartForConditionalGeneration:
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None, "decoder_start_token_id": 0}
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=WIDTH, max_position_embeddings=POSITIONS,
        encoder_layers=LAYERS, encoder_ffn_dim=4 * WIDTH, encoder_attention_heads=4,
        decoder_layers=LAYERS, decoder_ffn_dim=4 * WIDTH, decoder_attention_heads=4,
        dropout=0.0, scale_embedding=True, forced_eos_token_id=None, forced_bos_token_id=None, **ids,
    )  # fmt: skip
    model = BartForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        max_new_tokens=48, num_beams=4, early_stopping=True, no_repeat_ngram_size=3, **ids
    )
    return model


def encoded(pairs: list[tuple[str, str]], tokenizer) -> tuple[list[list[int]], list[list[int]]]:
    sources = tokenizer([text for text, _ in pairs], truncation=True, max_length=LONGEST_SOURCE)["input_ids"]
    targets = tokenizer([text for _, text in pairs], truncation=True, max_length=LONGEST_TARGET)["input_ids"]
    return sources, targets


def main(first_steps: int = 700, second_steps: int = 400, tokens: int = 4000) -> None:
    set_seed(SEED)
    rng = random.Random(SEED)
    written = summaries()
    tokenizer = train_tokenizer([text for pair in written for text in pair] + prose())
    model = new_model(tokenizer)
    pairs = copying(rng, 4)
    print(f"{model.num_parameters():,} parameters, {len(pairs)} passages, {len(written)} summaries", flush=True)
    train_from_nothing(
        model, batches_of_pairs(*encoded(pairs, tokenizer), tokens, rng), first_steps, peak=2e-3, warmup=80
    )
    set_dropout(model, 0.1)
    train_from_nothing(model, batches_of_pairs(*encoded(written, tokenizer), tokens, rng), second_steps, peak=1e-3)
    publish("summarizer", model, tokenizer)


def set_dropout(model: torch.nn.Module, rate: float) -> None:
    """BART keeps its dropout as a number in each layer."""
    for module in model.modules():
        if hasattr(module, "dropout") and isinstance(module.dropout, float) and not hasattr(module, "q_proj"):
            module.dropout = rate


def measured() -> list[Row]:
    """ROUGE-1 on the abstracts of SciTLDR's dev split and on our held-out articles, beside simple baselines."""
    model, tokenizer = load(AutoModelForSeq2SeqLM, "summarizer")
    abstracts, targets = scitldr("dev")
    articles = our_rows("articles/test.jsonl")
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


if __name__ == "__main__":
    main()
