"""`generator`: a small GPT-2 that continues simple English stories.

Reads the course's own English text and the English side of Tatoeba (CC BY 2.0 FR). Learns in two stages: short everyday
sentences and all of our prose first, then mostly the stories. Run from the repository root:
`python -m data.recipes.generator`.
"""

import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from data.recipes.scratch_models import fit, forever, own_rows, publish, seed_everything, tatoeba

SEED = 20
VOCABULARY, WIDTH, LAYERS, HEADS, POSITIONS = 3072, 128, 4, 4, 256
END, PAD = "<|endoftext|>", "<|pad|>"
HELD_OUT_STORIES = 5  # the last of the training split, to watch the training by; nothing was chosen on them


def stories() -> list[str]:
    """The training stories, each under its title."""
    return [row["text"] for row in own_rows("stories/train.jsonl")[:-HELD_OUT_STORIES]]


def prose() -> list[str]:
    """Our other texts of more than one sentence: articles, contexts of questions, reviews, news of eight topics."""
    articles = [f"{row['text']}" for row in own_rows("articles/train.jsonl")]
    contexts = list(dict.fromkeys(row["context"] for row in own_rows("questions/train.jsonl")))
    reviews = [row["review"] for row in own_rows("hotel_reviews/en.csv") if row["review"]]
    topics = [row["text"] for row in own_rows("topics/train.csv")]
    return articles + contexts + reviews + topics


def everyday_sentences(rng: random.Random) -> list[str]:
    """Tatoeba's English sentences and our short ones, eight to a document, one to a line."""
    sentences = [english for english, _ in tatoeba("fra")]
    sentences += [row["en"] for row in own_rows("parallel/fr-en.tsv") + own_rows("parallel/zh-en.tsv")]
    sentences += [row["text"] for row in own_rows("emotion/train.csv") + own_rows("opinions/train.csv")]
    sentences = sorted(set(sentences))
    rng.shuffle(sentences)
    return ["\n".join(sentences[start : start + 8]) for start in range(0, len(sentences), 8)]


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE as GPT-2 has, with a padding token of its own so that padding and the end can be told apart."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=PAD, model_max_length=POSITIONS
    )


def blocks(texts: list[str], length: int, tokenizer, rng: random.Random) -> list[torch.Tensor]:
    """The texts in random order, each closed by the end token, joined and cut into blocks of `length` tokens."""
    texts = rng.sample(texts, len(texts))
    stream = [i for ids in tokenizer(texts, verbose=False)["input_ids"] for i in [tokenizer.eos_token_id, *ids]]
    return [torch.tensor(stream[at : at + length]) for at in range(0, len(stream) - length, length)]


def batches(rows: list[torch.Tensor], size: int, rng: random.Random):
    for batch in forever(rows, size, rng):
        ids = torch.stack(batch)
        yield {"input_ids": ids, "labels": ids}


def new_model(tokenizer, dropout: float = 0.1) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own function, in one kernel
        resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    model.loss_type = "ForCausalLM"
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=60,
    )  # fmt: skip
    return model


def set_dropout(model, rate: float) -> None:
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and not name.endswith("attn_dropout"):
            module.p = rate


@torch.no_grad()
def say_held_out(model, tokenizer) -> None:
    """Print the perplexity on the stories that were kept out of the training."""
    kept = [row["text"] for row in own_rows("stories/train.jsonl")[-HELD_OUT_STORIES:]]
    rows = torch.stack(blocks(kept, 256, tokenizer, random.Random(0))).to(model.device)
    print(f"perplexity per token on held-out stories: {model(input_ids=rows, labels=rows).loss.exp():.1f}", flush=True)


def main(first_steps: int = 700, second_steps: int = 400) -> None:
    seed_everything(SEED)
    rng = random.Random(SEED)
    tales, other, sentences = stories(), prose(), everyday_sentences(rng)
    tokenizer = train_tokenizer(4 * tales + other + sentences[::4])
    model = new_model(tokenizer)
    print(f"{model.num_parameters():,} parameters", flush=True)
    first = blocks(2 * tales + other + sentences, 128, tokenizer, rng)
    print(f"first stage: {len(first) * 128:,} tokens", flush=True)
    set_dropout(model, 0.0)  # hardly a sentence is seen twice
    fit(model, batches(first, 16, rng), first_steps, peak=3e-3)
    second = [block for _ in range(6) for block in blocks(tales, 256, tokenizer, rng)]
    second += blocks(other, 256, tokenizer, rng)
    print(f"second stage: {len(second) * 256:,} tokens", flush=True)
    say_held_out(model, tokenizer)
    set_dropout(model, 0.1)
    fit(model, batches(second, 8, rng), second_steps, peak=1.5e-3)
    say_held_out(model, tokenizer)
    publish("generator", model, tokenizer)


if __name__ == "__main__":
    main()
