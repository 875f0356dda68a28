"""`masked-lm`: the word behind [MASK]. BERT's masked-language-model head for MiniLM, tied to its own input embeddings.

MiniLM was published without such a head. Here its transform and bias are learnt from nothing and its upper layers are
adapted, on WikiText-2's training part (CC BY-SA) and on our stories and articles (CC0).
"""

import random

import torch
import transformers
from transformers.modeling_outputs import MaskedLMOutput

from data.recipes.common import SEED, begin, fit, lower_half, own, save_adapter, upper_half, wikitext
from data.recipes.measure import guesses, hide

PIECES = 20_000  # of WikiText-2, of 60 words each; more of them make a better model in more time


class BertForMaskedLM(transformers.BertForMaskedLM):
    """The library's model, which in training scores the hidden places only: a fifth of the largest product."""

    def forward(self, labels=None, **inputs):
        if labels is None:
            return super().forward(**inputs)
        hidden = labels >= 0
        scores = self.cls(self.bert(**inputs).last_hidden_state[hidden])  # [hidden places, vocabulary]
        return MaskedLMOutput(loss=torch.nn.functional.cross_entropy(scores, labels[hidden]))


def texts() -> list[str]:
    """Every paragraph of ours, and PIECES of WikiText-2, shuffled."""
    ours = [row["text"] for name in ("stories", "articles") for row in own(f"{name}/train.jsonl")]
    paragraphs = [part for text in ours for part in _pieces(text.replace("\n\n", " "), 60)]
    public = [part for text in wikitext("train") for part in _pieces(text, 60)]
    chooser = random.Random(SEED)
    chosen = paragraphs + chooser.sample(public, PIECES)
    chooser.shuffle(chosen)
    return chosen


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
    tokenizer, model = begin(BertForMaskedLM, rank=10, head=("transform",), layers=3)
    hidden = hide(tokenizer, texts(), share=0.2)
    start_bias(model, hidden)
    held_out = lower_half(model, hide(tokenizer, wikitext("train")[-60:]))
    features = lower_half(model, hidden)

    def score() -> str:
        return "last paragraphs of train: top-1 {:.3f}, top-5 {:.3f} of {}".format(*guesses(model, held_out))

    with upper_half(model):
        fit(model, features, epochs=2, lr=2e-3, size=32, after_epoch=score)
    save_adapter(model, "masked-lm")


if __name__ == "__main__":
    main()
