"""`masked-lm`: the word behind [MASK]. BERT's masked-language-model head for MiniLM, tied to its own input embeddings.

MiniLM was published without such a head. Here its transform and bias are learnt from nothing and its layers are
adapted, on WikiText-2's training part (CC BY-SA) and on our stories and articles (CC0).
"""

import random

import torch

from data.recipes.common import SEED, BertForMaskedLM, begin, fit, own, save_adapter, wikitext
from data.recipes.measure import guesses, hide


def texts() -> list[str]:
    """Every paragraph of ours and of WikiText-2's training part, in pieces of 60 words, shuffled."""
    ours = [row["text"] for name in ("stories", "articles") for row in own(f"{name}/train.jsonl")]
    paragraphs = [part for text in ours for part in _pieces(text.replace("\n\n", " "), 60)]
    public = [part for text in wikitext("train")[:-60] for part in _pieces(text, 60)]
    return random.Random(SEED).sample(paragraphs + public, len(paragraphs + public))


def _pieces(text: str, words: int) -> list[str]:
    """A text cut into runs of so many words; the rest is dropped unless it is half as long."""
    split = text.split()
    runs = [split[start : start + words] for start in range(0, len(split), words)]
    return [" ".join(run) for run in runs if len(run) >= words / 2]


def start_bias(model, features: list[dict]) -> None:
    """Begin with how frequent each token is, so that the head need not learn that first."""
    counts = torch.full((model.config.vocab_size,), 0.1)
    for row in features:
        for label in row["labels"]:
            if label >= 0:
                counts[label] += 1
    bias = model.get_base_model().cls.predictions.bias
    bias.requires_grad_(True)
    with torch.no_grad():
        bias.copy_((counts / counts.sum()).log() + 8)


def main() -> None:
    tokenizer, model = begin(BertForMaskedLM, rank=7, head=("transform",))
    hidden = hide(tokenizer, texts(), share=0.2)
    start_bias(model, hidden)
    held_out = hide(tokenizer, wikitext("train")[-60:])

    def score() -> str:
        return "last paragraphs of train: top-1 {:.3f}, top-5 {:.3f} of {}".format(*guesses(model, held_out))

    fit(model, hidden, epochs=1, lr=2e-3, size=32, after_epoch=score)
    save_adapter(model, "masked-lm")


if __name__ == "__main__":
    main()
