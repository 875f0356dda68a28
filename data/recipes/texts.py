"""What the recipes read: our own rows, and the public sets.

A text is *ours* (data/datasets, CC0) or *public*. Public sets come from the folder in LABS_DATA_DIR, by default
../shared/data beside the repository, and otherwise from the Hub. The licence of a public set decides what it may do
here: train (CC BY, CC BY-SA, Apache-2.0) or only measure; each reader below says which.
"""

import csv
import gzip
import json
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.recipes import SEED
from labs_utils.paths import ROOT

PUBLIC = Path(os.environ.get("LABS_DATA_DIR", ROOT.parent / "shared" / "data"))
EMOTIONS = ["sadness", "joy", "love", "anger", "fear", "surprise"]  # in the order of dair-ai's labels


def our_rows(name: str) -> list[dict]:
    """The rows of a file of our own, such as `"opinions/train.csv"`."""
    path = ROOT / "data" / "datasets" / name
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file if line.strip()]
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def public_text(name: str) -> str | None:
    """The text of a public file, such as `"snli/validation.tsv"`; None where the folder of public sets lacks it."""
    path = PUBLIC / f"{name}.gz"
    return gzip.decompress(path.read_bytes()).decode("utf-8") if path.is_file() else None


def hub_rows(*arguments: str, **options: str) -> Iterator[dict]:
    """The rows of a set on the Hub, for a machine without the folder of public sets."""
    from datasets import load_dataset

    return iter(load_dataset(*arguments, **options))


# ---------------------------------------------------------------------------------------------------- to measure only


def sst2(count: int = 2000, seen: Iterable[str] = ()) -> list[dict]:
    """A seeded sample of SST-2's training sentences, without those in `seen`. Only to measure: no licence."""
    text = public_text("glue_sst2/train.tsv")
    if text is None:
        rows = [{"text": row["sentence"], "label": row["label"]} for row in hub_rows("stanfordnlp/sst2", split="train")]
    else:
        lines = [line.split("\t") for line in text.splitlines()[1:]]
        rows = [{"text": sentence, "label": int(label)} for label, sentence in lines]
    known = {text.lower().strip() for text in seen}
    return random.Random(SEED).sample([row for row in rows if row["text"].lower().strip() not in known], count)


def emotion_posts(split: str = "validation") -> list[dict]:
    """The posts of `emotion` (dair-ai), `"validation"` (2,000) or `"train"` (16,000). For research only: what ships is
    never trained on them."""
    text = public_text({"train": "emotion/train.txt", "validation": "emotion/val.txt"}[split])
    if text is None:
        found = hub_rows("dair-ai/emotion", split=split)
        return [{"text": row["text"], "label": EMOTIONS[row["label"]]} for row in found]
    return [dict(zip(("text", "label"), line.rsplit(";", 1), strict=True)) for line in text.splitlines()]


def mrpc() -> list[dict]:
    """The 408 validation pairs of MRPC. No licence is stated: to measure, never to train."""
    text = public_text("glue_mrpc/validation.tsv")
    if text is None:
        return list(hub_rows("nyu-mll/glue", "mrpc", split="validation"))
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def ag_news(count: int = 1000) -> list[dict]:
    """A seeded sample of AG News, each with a topic's name. Non-commercial: to measure, never to train."""
    text = public_text("ag_news/alps_dev.tsv")
    if text is None:
        names = ["World", "Sports", "Business", "Sci/Tech"]
        found = hub_rows("fancyzhx/ag_news", split="test")
        rows = [{"text": row["text"], "label": names[row["label"]]} for row in found]
    else:
        lines = [line.rsplit("\t", 1) for line in text.splitlines() if "\t" in line]
        rows = [{"text": text, "label": label} for text, label in lines]
    return random.Random(SEED).sample(rows, count)


def chnsenticorp() -> tuple[list[dict], list[dict]]:
    """ChnSentiCorp's hotel reviews (no licence is stated: to measure only): a tenth to test, nine tenths to train."""
    text = public_text("chnsenticorp_htl/ChnSentiCorp_htl_all.csv")
    if text is None:
        raise SystemExit("ChnSentiCorp_htl_all.csv is needed to measure: point LABS_DATA_DIR at the public sets.")
    rows = [{"text": row["review"], "label": int(row["label"])} for row in csv.DictReader(text.split("\n"))]
    rows = [row for row in rows if row["text"] and row["text"].strip()]
    random.Random(0).shuffle(rows)
    return rows[: len(rows) // 10], rows[len(rows) // 10 :]


# ---------------------------------------------------------------------------------------------------- to train on, too


def snli() -> tuple[list[dict], list[dict]]:
    """SNLI's validation pairs (CC BY-SA 4.0) as two thirds to train on and one third held out, cut between premises."""
    text = public_text("snli/validation.tsv")
    if text is None:
        rows = [row for row in hub_rows("stanfordnlp/snli", split="validation") if row["label"] >= 0]
    else:
        lines = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [{**row, "label": int(row["label"])} for row in lines]
    premises = sorted({row["premise"] for row in rows})
    random.Random(SEED).shuffle(premises)
    return _apart(rows, "premise", premises[: len(premises) // 3])


def squad() -> tuple[list[dict], list[dict]]:
    """SQuAD 1.1's dev questions (CC BY-SA 4.0): those of all articles but five to train on, and those of the five."""
    text = public_text("squad_v1.1/dev-first-articles.json")
    if text is None:
        found = hub_rows("rajpurkar/squad", split="validation")
        rows = [{**row, "answers": dict(row["answers"])} for row in found]
    else:
        rows = _questions(json.loads(text)["data"])
    titles = sorted({row["title"] for row in rows})
    return _apart(rows, "title", random.Random(SEED).sample(titles, 5))


def _questions(articles: list[dict]) -> list[dict]:
    """SQuAD's nested articles as one row a question, with the fields that the set has on the Hub."""
    return [
        {
            "title": article["title"],
            "context": part["context"],
            "question": asked["question"],
            "id": asked["id"],
            "answers": {name: [answer[name] for answer in asked["answers"]] for name in ("text", "answer_start")},
        }
        for article in articles
        for part in article["paragraphs"]
        for asked in part["qas"]
    ]


def _apart(rows: list[dict], column: str, held_out: Iterable[str]) -> tuple[list[dict], list[dict]]:
    """The rows whose column has none of the held-out values, and those that have one."""
    values = set(held_out)
    return [row for row in rows if row[column] not in values], [row for row in rows if row[column] in values]


def wikitext(split: str) -> list[str]:
    """Paragraphs of WikiText-2 (CC BY-SA), `"train"` or `"valid"`, in ordinary spacing; its rare words are `[UNK]`."""
    text = public_text({"train": "wikitext2/wiki.train.tokens", "valid": "wikitext2/valid.txt"}[split])
    if text is None:
        found = hub_rows("Salesforce/wikitext", "wikitext-2-v1", split={"valid": "validation"}.get(split, split))
        lines = [row["text"] for row in found]
    else:
        lines = text.splitlines()
    return [usual(line.strip()) for line in lines if len(line) > 80 and not line.lstrip().startswith("=")]


def usual(line: str) -> str:
    """A line of WikiText as people write it.

    >>> usual("a well @-@ known <unk> of 1 @,@ 250")
    'a well-known [UNK] of 1,250'
    """
    for marked, plain in ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), ("<unk>", "[UNK]")):
        line = line.replace(marked, plain)
    return line


def tatoeba(language: str) -> list[tuple[str, str]]:
    """Tatoeba's (English, other language) pairs for `"fra"` or `"cmn"` (CC BY 2.0 FR), in the order of the file.

    The set on the Hub is a later and larger state of Tatoeba: what is trained on it differs from what ships.
    """
    text = public_text(f"tatoeba_{language}_eng/{language}.txt")
    if text is None:
        config = {"fra": "en-fr", "cmn": "en-zh"}[language]
        found = hub_rows("sentence-transformers/parallel-sentences-tatoeba", config, split="train")
        return [(row["english"].strip(), row["non_english"].strip()) for row in found]
    fields = (line.split("\t") for line in text.split("\n") if "\t" in line)
    return [(pair[0].strip(), pair[1].strip()) for pair in fields]
