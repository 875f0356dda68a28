"""`generator`: a small GPT-2 that continues simple English stories.

Reads the course's own English text and the English side of Tatoeba (CC BY 2.0 FR). Learns in two stages: short everyday
sentences and all of our prose first, then mostly the stories. Run from the repository root:
`python -m data.recipes.generator`.
"""

import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    set_seed,
)

from data.recipes.publishing import publish
from data.recipes.results import Row
from data.recipes.texts import our_rows, tatoeba
from data.recipes.training import load, train_from_nothing

SEED = 20
VOCABULARY, WIDTH, LAYERS, HEADS, POSITIONS = 3072, 128, 4, 4, 256
END, PAD = "<|endoftext|>", "<|pad|>"
HELD_OUT_STORIES = 5  # the last of the training split, to watch the training by; nothing was chosen on them


def stories() -> list[str]:
    """The training stories, each under its title."""
    return [row["text"] for row in our_rows("stories/train.jsonl")[:-HELD_OUT_STORIES]]


def prose() -> list[str]:
    """Our other texts of more than one sentence: articles, contexts of questions, reviews, news of eight topics."""
    articles = [f"{row['text']}" for row in our_rows("articles/train.jsonl")]
    contexts = list(dict.fromkeys(row["context"] for row in our_rows("questions/train.jsonl")))
    reviews = [row["review"] for row in our_rows("hotel_reviews/en.csv") if row["review"]]
    topics = [row["text"] for row in our_rows("topics/train.csv")]
    return articles + contexts + reviews + topics


def everyday_sentences(rng: random.Random) -> list[str]:
    """Tatoeba's English sentences and our short ones, eight to a document, one to a line."""
    sentences = [english for english, _ in tatoeba("fra")]
    sentences += [row["en"] for row in our_rows("parallel/fr-en.tsv") + our_rows("parallel/zh-en.tsv")]
    sentences += [row["text"] for row in our_rows("emotion/train.csv") + our_rows("opinions/train.csv")]
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


def forever(rows: list, size: int, rng: random.Random):
    """Batches of `size` rows, reshuffled at every pass, without end."""
    order, size = list(range(len(rows))), min(size, len(rows))
    while True:
        rng.shuffle(order)
        for start in range(0, len(order) - size + 1, size):
            yield [rows[index] for index in order[start : start + size]]


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
    kept = [row["text"] for row in our_rows("stories/train.jsonl")[-HELD_OUT_STORIES:]]
    rows = torch.stack(blocks(kept, 256, tokenizer, random.Random(0))).to(model.device)
    print(f"perplexity per token on held-out stories: {model(input_ids=rows, labels=rows).loss.exp():.1f}", flush=True)


def main(first_steps: int = 700, second_steps: int = 400) -> None:
    set_seed(SEED)
    rng = random.Random(SEED)
    tales, other, sentences = stories(), prose(), everyday_sentences(rng)
    tokenizer = train_tokenizer(4 * tales + other + sentences[::4])
    model = new_model(tokenizer)
    print(f"{model.num_parameters():,} parameters", flush=True)
    first = blocks(2 * tales + other + sentences, 128, tokenizer, rng)
    print(f"first stage: {len(first) * 128:,} tokens", flush=True)
    set_dropout(model, 0.0)  # hardly a sentence is seen twice
    train_from_nothing(model, batches(first, 16, rng), first_steps, peak=3e-3)
    second = [block for _ in range(6) for block in blocks(tales, 256, tokenizer, rng)]
    second += blocks(other, 256, tokenizer, rng)
    print(f"second stage: {len(second) * 256:,} tokens", flush=True)
    say_held_out(model, tokenizer)
    set_dropout(model, 0.1)
    train_from_nothing(model, batches(second, 8, rng), second_steps, peak=1.5e-3)
    say_held_out(model, tokenizer)
    publish("generator", model, tokenizer)


def measured() -> list[Row]:
    """Perplexity on the validation stories, per token and per word, and the bits that a byte of them costs."""
    model, tokenizer = load(AutoModelForCausalLM, "generator")
    texts = [row["text"] for row in our_rows("stories/validation.jsonl")]
    surprise, tokens = story_surprise(model, tokenizer, texts)
    words, size = (sum(len(text.split()) for text in texts), sum(len(text.encode()) for text in texts))
    per = {"token": tokens, "word": words}
    where = f"the validation split of our `stories` ({len(texts)} stories)"
    rows = [Row(f"perplexity per {what} on {where}", 2 ** (surprise / count)) for what, count in per.items()]
    return [*rows, Row("bits per byte on the same", surprise / size)]


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


if __name__ == "__main__":
    main()
