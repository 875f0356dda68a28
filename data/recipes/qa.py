"""`qa`: where in a text the answer to a question stands.

From SQuAD 1.1's dev articles without five that are held out (CC BY-SA 4.0), and our own answerable questions (CC0).
"""

import random
import re

from transformers import AutoModelForQuestionAnswering

from data.recipes.common import SEED, begin, fit, own, save_adapter, squad
from data.recipes.measure import answer_scores, answers


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
    return {"question": row["question"], "context": context[cuts[first] : cuts[last]], "text": text,
            "start": start - cuts[first]}


def mark(tokenizer, rows: list[dict]) -> list[dict]:
    """Token ids with the first and the last token of the answer; rows whose answer is cut off are left out."""
    features = []
    for row in rows:
        texts = tokenizer(row["question"], row["context"], truncation="only_second", max_length=192)
        first = texts.char_to_token(row["start"], sequence_index=1)
        last = texts.char_to_token(row["start"] + len(row["text"].rstrip()) - 1, sequence_index=1)
        if first is not None and last is not None:
            features.append({**texts, "start_positions": first, "end_positions": last})
    return features


def main() -> None:
    tokenizer, model = begin(AutoModelForQuestionAnswering, head=("qa_outputs",))
    chooser = random.Random(SEED)
    asked = [row for row in own("questions/train.jsonl") if row["answers"]["text"]]
    asked += squad()[0]
    features = mark(tokenizer, [near(row, chooser) for row in asked])
    fit(model, features, epochs=3, size=16)
    ours = [row for row in own("questions/test.jsonl") if row["answers"]["text"]]
    print("our test texts: F1 {:.3f}, exact {:.3f}".format(*answer_scores(answers(model, tokenizer, ours), ours)))
    save_adapter(model, "qa")


if __name__ == "__main__":
    main()
