"""`qa`: where in a text the answer to a question stands.

From SQuAD 1.1's dev articles without five that are held out (CC BY-SA 4.0), and our own answerable questions (CC0).
"""

import random
import re

import torch
from transformers import AutoModelForQuestionAnswering, PreTrainedModel, PreTrainedTokenizerBase

from data.recipes import SEED
from data.recipes.metrics import answer_scores
from data.recipes.publishing import publish_adapter
from data.recipes.results import Row
from data.recipes.texts import our_rows, squad
from data.recipes.training import adapted_encoder, load, tune


def main() -> None:
    model, tokenizer = adapted_encoder(AutoModelForQuestionAnswering, head=("qa_outputs",))
    chooser = random.Random(SEED)
    rows = answerable("train") + squad()[0]
    tune(model, mark(tokenizer, [near(row, chooser) for row in rows]), 3, size=16)
    print("our test texts: F1 {:.3f}, exact {:.3f}".format(*scores(model, tokenizer, answerable("test"))))
    publish_adapter("qa", model)


def answerable(split: str) -> list[dict]:
    """Our own questions that the text beside them answers."""
    return [row for row in our_rows(f"questions/{split}.jsonl") if row["answers"]["text"]]


def near(row: dict, chooser: random.Random, words: int = 75) -> dict:
    """The row with its context cut to whole sentences around the answer, about so many words: quicker to learn from."""
    context, start, text = row["context"], row["answers"]["answer_start"][0], row["answers"]["text"][0]
    cuts = [0, *(found.end() for found in re.finditer(r"[.!?] (?=[A-Z])", context)), len(context)]
    first = max(i for i, cut in enumerate(cuts[:-1]) if cut <= start)
    last = min(i for i, cut in enumerate(cuts) if cut >= start + len(text))
    while len(context[cuts[first] : cuts[last]].split()) < words and (first > 0 or last < len(cuts) - 1):
        if last == len(cuts) - 1 or (first > 0 and chooser.random() < 0.5):
            first -= 1
        else:
            last += 1
    kept = context[cuts[first] : cuts[last]]
    return {"question": row["question"], "context": kept, "text": text, "start": start - cuts[first]}


def mark(tokenizer: PreTrainedTokenizerBase, rows: list[dict]) -> list[dict]:
    """Token ids with the first and the last token of the answer; rows whose answer is cut off are left out."""
    features = []
    for row in rows:
        texts = tokenizer(row["question"], row["context"], truncation="only_second", max_length=192)
        first = texts.char_to_token(row["start"], sequence_index=1)
        last = texts.char_to_token(row["start"] + len(row["text"].rstrip()) - 1, sequence_index=1)
        if first is not None and last is not None:
            features.append({**texts, "start_positions": first, "end_positions": last})
    return features


def measured() -> list[Row]:
    """Word overlap (F1) and exact answers, on five public articles and on our own test texts."""
    model, tokenizer = load(AutoModelForQuestionAnswering, "qa")
    public, ours = squad()[1], answerable("test")
    rows = []
    for name, asked, bound in (
        (f"five held-out articles of SQuAD 1.1 dev ({len(public):,} questions)", public, 0.60),
        (f"the test split of our `questions` ({len(ours)} with an answer)", ours, None),
    ):
        overlap, exact = scores(model, tokenizer, asked)
        rows.append(Row(f"F1 on {name}", overlap, bound=bound, at_least=True))
        rows.append(Row(f"exact match on {name}", exact))
    return rows


def scores(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[dict]) -> tuple[float, float]:
    """SQuAD's F1 and exact match on the rows."""
    return answer_scores(answers(model, tokenizer, rows), [row["answers"]["text"] for row in rows])


@torch.no_grad()
def answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[dict], size: int = 16) -> list[str]:
    """The answer to each row's question: the likeliest span of its context."""
    found = [""] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["context"]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        texts = tokenizer(
            [rows[i]["question"] for i in chosen],
            [rows[i]["context"] for i in chosen],
            truncation="only_second",
            max_length=384,
            padding=True,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        offsets = texts.pop("offset_mapping")
        out = model(**texts.to(model.device))
        for place, i in enumerate(chosen):
            in_context = torch.tensor([number == 1 for number in texts.sequence_ids(place)])
            first, last = best_span(out.start_logits[place].cpu(), out.end_logits[place].cpu(), in_context)
            found[i] = rows[i]["context"][offsets[place, first, 0] : offsets[place, last, 1]]
    return found


def best_span(begins: torch.Tensor, ends: torch.Tensor, allowed: torch.Tensor, longest: int = 20) -> tuple[int, int]:
    """The first and the last token of the best span within the allowed tokens, at most `longest` of them.

    >>> begins, ends = torch.tensor([0.0, 4.0, 0.0, 9.0]), torch.tensor([5.0, 0.0, 2.0, 0.0])
    >>> best_span(begins, ends, torch.tensor([True, True, True, False]))
    (1, 2)
    """
    scores = begins.masked_fill(~allowed, -1e4)[:, None] + ends.masked_fill(~allowed, -1e4)[None, :]
    in_order = torch.ones_like(scores, dtype=torch.bool).triu().tril(longest - 1)
    return divmod(scores.masked_fill(~in_order, -1e6).argmax().item(), len(begins))


if __name__ == "__main__":
    main()
