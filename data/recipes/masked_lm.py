"""`masked-lm`: the word behind [MASK]. BERT's masked-language-model head for MiniLM, tied to its own input embeddings.

MiniLM was published without such a head. Here its transform and bias are learnt from nothing and its layers are
adapted, on WikiText-2's training part (CC BY-SA) and on our stories and articles (CC0).
"""

import random

import torch
import transformers
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import MaskedLMOutput

from data.recipes import SEED
from data.recipes.publishing import publish_adapter
from data.recipes.results import Row
from data.recipes.texts import our_rows, wikitext
from data.recipes.training import adapted_encoder, load, on_device, pad, tune

HELD_OUT = 60  # so many paragraphs at the end of WikiText-2's training part say how training goes


class BertForMaskedLM(transformers.BertForMaskedLM):
    """The library's model, which in training scores the hidden places only: a fifth of the largest product."""

    def forward(self, labels: torch.Tensor | None = None, **inputs) -> MaskedLMOutput:
        if labels is None:
            return super().forward(**inputs)
        hidden = labels >= 0
        scores = self.cls(self.bert(**inputs).last_hidden_state[hidden])  # [hidden places, vocabulary]
        return MaskedLMOutput(loss=torch.nn.functional.cross_entropy(scores, labels[hidden]))


def main() -> None:
    model, tokenizer = adapted_encoder(BertForMaskedLM, rank=7, head=("transform",))
    features = hide(tokenizer, texts(), share=0.2)
    start_bias(model, features)
    held_out = hide(tokenizer, wikitext("train")[-HELD_OUT:])

    def report() -> str:
        return "last paragraphs of train: top-1 {:.3f}, top-5 {:.3f} of {}".format(*guesses(model, held_out))

    tune(model, features, 1, lr=2e-3, report=report)
    publish_adapter("masked-lm", model)


def texts() -> list[str]:
    """Every paragraph of ours and of WikiText-2's training part, in pieces of 60 words, shuffled."""
    ours = [row["text"] for name in ("stories", "articles") for row in our_rows(f"{name}/train.jsonl")]
    paragraphs = [part for text in ours for part in pieces(text.replace("\n\n", " "), 60)]
    paragraphs += [part for text in wikitext("train")[:-HELD_OUT] for part in pieces(text, 60)]
    return random.Random(SEED).sample(paragraphs, len(paragraphs))


def pieces(text: str, size: int) -> list[str]:
    """A text cut into runs of so many words; the rest is dropped unless it is half as long.

    >>> pieces("one two three four five", 2)
    ['one two', 'three four', 'five']
    """
    words = text.split()
    runs = [words[start : start + size] for start in range(0, len(words), size)]
    return [" ".join(run) for run in runs if len(run) >= size / 2]


def hide(tokenizer: PreTrainedTokenizerBase, texts: list[str], share: float = 0.15, longest: int = 96) -> list[dict]:
    """The first `longest` token ids of each text, a share of them replaced by [MASK], and what was there as labels."""
    chooser, features = random.Random(SEED), []
    for ids in tokenizer(texts, truncation=True, max_length=longest)["input_ids"]:
        hidden = [i not in tokenizer.all_special_ids and chooser.random() < share for i in ids]
        masked = [tokenizer.mask_token_id if is_hidden else i for i, is_hidden in zip(ids, hidden, strict=True)]
        labels = [i if is_hidden else -100 for i, is_hidden in zip(ids, hidden, strict=True)]
        features.append(
            {"input_ids": masked, "token_type_ids": [0] * len(ids), "attention_mask": [1] * len(ids), "labels": labels}
        )
    return features


@torch.no_grad()
def start_bias(model: torch.nn.Module, features: list[dict]) -> None:
    """Begin with how frequent each token is, so that the head need not learn that first."""
    counts = torch.full((model.config.vocab_size,), 0.1)
    for feature in features:
        for label in feature["labels"]:
            if label >= 0:
                counts[label] += 1
    bias = model.get_base_model().cls.predictions.bias
    bias.requires_grad_(True)
    bias.copy_((counts / counts.sum()).log() + 8)


def measured() -> list[Row]:
    """How often the hidden token is the first guess, or among the first five."""
    model, tokenizer = load(AutoModelForMaskedLM, "masked-lm")
    first, five, count = guesses(model, hide(tokenizer, wikitext("valid")[:400]))
    return [
        Row(f"top-5 accuracy on WikiText-2 valid ({count:,} hidden tokens, 15 %)", five, bound=0.45, at_least=True),
        Row("top-1 accuracy on the same", first),
    ]


@torch.no_grad()
def guesses(model: PreTrainedModel, features: list[dict], size: int = 16) -> tuple[float, float, int]:
    """Top-1 accuracy, top-5 accuracy and the number of hidden tokens."""
    first = five = count = 0
    for start in range(0, len(features), size):
        batch = on_device(pad(features[start : start + size]))
        labels = batch.pop("labels")
        hidden = labels >= 0
        hits = model(**batch).logits[hidden].topk(5).indices == labels[hidden][:, None]
        first, five, count = first + hits[:, 0].sum().item(), five + hits.sum().item(), count + len(hits)
    return first / count, five / count, count


if __name__ == "__main__":
    main()
