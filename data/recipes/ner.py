"""`ner`: people, organisations, places and other names, from our own marked sentences alone (CC0).

The encoder's vocabulary is uncased, so the model never sees capitals: it goes by the words.
"""

from transformers import AutoModelForTokenClassification

from data.recipes.common import begin, fit, own, save_adapter
from data.recipes.measure import entity_scores

NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]


def align(tokenizer, rows: list[dict]) -> list[dict]:
    """Token ids with one tag on the first piece of each word; the other pieces and [CLS], [SEP] don't count (-100)."""
    features = []
    for row in rows:
        texts = tokenizer(row["tokens"], is_split_into_words=True, truncation=True, max_length=128)
        labels, before = [], None
        for word in texts.word_ids():
            labels.append(-100 if word is None or word == before else NAMES.index(row["ner_tags"][word]))
            before = word
        features.append({**texts, "labels": labels})
    return features


def main() -> None:
    tokenizer, model = begin(
        AutoModelForTokenClassification,
        num_labels=9, id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)},
    )
    fit(model, align(tokenizer, own("entities/train.jsonl")), epochs=10, size=16)
    print("our validation:", entity_scores(model, tokenizer, own("entities/validation.jsonl")))
    save_adapter(model, "ner")


if __name__ == "__main__":
    main()
