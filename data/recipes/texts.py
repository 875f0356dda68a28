"""What the recipes share: reading text, training a LoRA adapter on the encoder, writing a model's folder in one step.

A text is *ours* (data/datasets, CC0) or *public*. Public sets come from the folder in LABS_DATA_DIR, by default
../shared/data beside the repository, and otherwise from the Hub. The licence of a public set decides what it may do
here: train (CC BY-SA, Apache-2.0) or only measure; each reader below says which.
"""

import csv
import gzip
import json
import math
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, set_seed
from transformers.modeling_outputs import MaskedLMOutput

from labs_utils.materials.catalog import checkpoint
from labs_utils.paths import ROOT
from labs_utils.session import device

SEED = 42
PUBLIC = Path(os.environ.get("LABS_DATA_DIR", ROOT.parent / "shared" / "data"))
MODELS = ROOT / "data" / "models"

# ---------------------------------------------------------------------------------------------------- reading text


def own(name: str) -> list[dict]:
    """The rows of a file of our own, such as `"opinions/train.csv"`."""
    path = ROOT / "data" / "datasets" / name
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def public_text(name: str) -> str | None:
    """The text of a public file, such as `"snli/validation.tsv"`; None where the folder of public sets is missing."""
    path = PUBLIC / f"{name}.gz"
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return file.read()


def hub(*arguments: str, split: str) -> Iterator[dict]:
    """The rows of a set on the Hub, for a machine without the folder of public sets."""
    from datasets import load_dataset

    return iter(load_dataset(*arguments, split=split))


def sst2(count: int = 2000, seen: Iterable[str] = ()) -> list[dict]:
    """A seeded sample of SST-2's training sentences, without those in `seen`. Only to measure: no licence."""
    text = public_text("glue_sst2/train.tsv")
    if text is None:
        rows = [{"text": row["sentence"], "label": row["label"]} for row in hub("stanfordnlp/sst2", split="train")]
    else:
        lines = [line.split("\t") for line in text.splitlines()[1:]]
        rows = [{"text": sentence, "label": int(label)} for label, sentence in lines]
    seen = {text.lower().strip() for text in seen}
    return random.Random(SEED).sample([row for row in rows if row["text"].lower().strip() not in seen], count)


def emotion_posts(split: str = "validation") -> list[dict]:
    """The posts of `emotion` (dair-ai), `"validation"` (2,000) or `"train"` (16,000). For research only: what ships is
    never trained on them."""
    names = ["sadness", "joy", "love", "anger", "fear", "surprise"]
    text = public_text({"train": "emotion/train.txt", "validation": "emotion/val.txt"}[split])
    if text is None:
        found = hub("dair-ai/emotion", split=split)
        return [{"text": row["text"], "label": names[row["label"]]} for row in found]
    return [dict(zip(("text", "label"), line.rsplit(";", 1), strict=True)) for line in text.splitlines()]


def mrpc() -> list[dict]:
    """The 408 validation pairs of MRPC. No licence is stated: to measure, never to train."""
    text = public_text("glue_mrpc/validation.tsv")
    if text is None:
        return list(hub("nyu-mll/glue", "mrpc", split="validation"))
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


def ag_news(count: int = 1000) -> list[dict]:
    """A seeded sample of AG News, each with a topic's name. Non-commercial: to measure, never to train."""
    text = public_text("ag_news/alps_dev.tsv")
    if text is None:
        names = ["World", "Sports", "Business", "Sci/Tech"]
        rows = [{"text": row["text"], "label": names[row["label"]]} for row in hub("fancyzhx/ag_news", split="test")]
    else:
        lines = [line.rsplit("\t", 1) for line in text.splitlines() if "\t" in line]
        rows = [{"text": text, "label": label} for text, label in lines]
    return random.Random(SEED).sample(rows, count)


def snli() -> tuple[list[dict], list[dict]]:
    """SNLI's validation pairs (CC BY-SA 4.0) as two thirds to train on and one third held out, cut between premises."""
    text = public_text("snli/validation.tsv")
    if text is None:
        rows = [row for row in hub("stanfordnlp/snli", split="validation") if row["label"] >= 0]
    else:
        lines = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [{**row, "label": int(row["label"])} for row in lines]
    premises = sorted({row["premise"] for row in rows})
    random.Random(SEED).shuffle(premises)
    held_out = set(premises[: len(premises) // 3])
    return [r for r in rows if r["premise"] not in held_out], [r for r in rows if r["premise"] in held_out]


def squad() -> tuple[list[dict], list[dict]]:
    """SQuAD 1.1's dev questions (CC BY-SA 4.0): those of all articles but five to train on, and those of the five."""
    text = public_text("squad_v1.1/dev-first-articles.json")
    if text is None:
        rows = [{**row, "answers": dict(row["answers"])} for row in hub("rajpurkar/squad", split="validation")]
    else:
        rows = [
            {"title": article["title"], "context": part["context"], "question": asked["question"], "id": asked["id"],
             "answers": {"text": [a["text"] for a in asked["answers"]],
                         "answer_start": [a["answer_start"] for a in asked["answers"]]}}
            for article in json.loads(text)["data"] for part in article["paragraphs"] for asked in part["qas"]
        ]
    titles = sorted({row["title"] for row in rows})
    held_out = set(random.Random(SEED).sample(titles, 5))
    return [r for r in rows if r["title"] not in held_out], [r for r in rows if r["title"] in held_out]


def wikitext(split: str) -> list[str]:
    """Paragraphs of WikiText-2 (CC BY-SA), `"train"` or `"valid"`, in ordinary spacing; its rare words are `[UNK]`."""
    text = public_text({"train": "wikitext2/wiki.train.tokens", "valid": "wikitext2/valid.txt"}[split])
    if text is None:
        found = hub("Salesforce/wikitext", "wikitext-2-v1", split={"valid": "validation"}.get(split, split))
        lines = [row["text"] for row in found]
    else:
        lines = text.splitlines()
    kept = [line.strip() for line in lines if len(line) > 80 and not line.lstrip().startswith("=")]
    for written, usual in ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), ("<unk>", "[UNK]")):
        kept = [line.replace(written, usual) for line in kept]
    return kept


# ---------------------------------------------------------------------------------------------------- training


def begin(auto_class: type, rank: int = 10, head: tuple[str, ...] = ("classifier",), **config):
    """The tokenizer, and the encoder with a new head and a LoRA adapter of `rank` on its linear layers.

    Only the adapter and the head learn, some hundred thousand numbers, so a few hundred texts are enough.
    """
    set_seed(SEED)
    encoder = checkpoint("encoder")
    model = auto_class.from_pretrained(encoder, attention_probs_dropout_prob=0.0, **config)  # a faster kernel on CPUs
    targets = r".*(layer\.\d+\..*(query|key|value|dense)|pooler\.dense)"
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, modules_to_save=list(head))
    return AutoTokenizer.from_pretrained(encoder), get_peft_model(model, lora).to(device())


class BertForMaskedLM(transformers.BertForMaskedLM):
    """The library's model, which in training scores the hidden places only: a fifth of the largest product."""

    def forward(self, labels=None, **inputs):
        if labels is None:
            return super().forward(**inputs)
        hidden = labels >= 0
        scores = self.cls(self.bert(**inputs).last_hidden_state[hidden])  # [hidden places, vocabulary]
        return MaskedLMOutput(loss=torch.nn.functional.cross_entropy(scores, labels[hidden]))


def half_precision() -> torch.autocast:
    """A context in which products are computed in bfloat16, where the hardware can: a CPU that can takes less time."""
    able = torch.cuda.is_available() or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device().type, torch.bfloat16, enabled=able)


def batches(features: list[dict], size: int, generator: random.Random) -> Iterator[list[dict]]:
    """Shuffled batches of texts of about the same length, so that little is computed on padding."""
    order = sorted(range(len(features)), key=lambda i: len(features[i]["attention_mask"]) + generator.random() * 4)
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    generator.shuffle(chunks)
    for chunk in chunks:
        yield [features[i] for i in chunk]


def pad(batch: list[dict]) -> dict[str, torch.Tensor]:
    """Tensors of a batch of features: lists are padded with 0 (`labels` with -100), numbers are stacked."""
    longest = max(len(row["attention_mask"]) for row in batch)

    def column(name: str) -> torch.Tensor:
        values = [row[name] for row in batch]
        if isinstance(values[0], torch.Tensor):
            return torch.stack(values)
        if isinstance(values[0], list):
            values = [value + [-100 if name == "labels" else 0] * (longest - len(value)) for value in values]
        return torch.tensor(values)

    return {name: column(name).to(device()) for name in batch[0]}


def fit(
    model: PreTrainedModel,
    features: list[dict],
    epochs: int,
    lr: float = 1e-3,
    size: int = 32,
    after_epoch: Callable = lambda: "",
    minutes: float = 50,
) -> None:
    """AdamW, a tenth of the way warming up and a linear decay to zero; says how it goes after each epoch.

    The way is counted in steps or in `minutes` (LABS_MINUTES, if set), whichever is further: a slow or busy machine
    sees less of the data, and still ends with a small learning rate.
    """
    minutes = float(os.environ.get("LABS_MINUTES", minutes))
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=lr, weight_decay=0.01)
    steps, step, began = epochs * math.ceil(len(features) / size), 0, time.monotonic()
    generator = random.Random(SEED)
    for epoch in range(epochs):
        model.train()
        total, count = 0.0, 0
        for batch in batches(features, size, generator):
            done = max(step / steps, (time.monotonic() - began) / (60 * minutes))
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = lr * min(max(done, 1 / steps) / 0.1, (1 - done) / 0.9, 1)
            with half_precision():
                value = model(**pad(batch)).loss
            value.backward()
            torch.nn.utils.clip_grad_norm_(learnt, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            total, count, step = total + value.item(), count + 1, step + 1
        if not count:
            break
        model.eval()
        spent = f"{step}/{steps} steps, {(time.monotonic() - began) / 60:.1f} min"
        print(f"epoch {epoch + 1}: loss {total / count:.3f}, {spent} {after_epoch()}", flush=True)


@torch.no_grad()
def predict(model: PreTrainedModel, features: list[dict], size: int = 32) -> torch.Tensor:
    """The logits of every feature, in order; shape (features, labels)."""
    model.eval()
    order = sorted(range(len(features)), key=lambda i: len(features[i]["attention_mask"]))
    found = [None] * len(features)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        batch = pad([{k: v for k, v in features[i].items() if k != "labels"} for i in chosen])
        for i, logits in zip(chosen, model(**batch).logits.cpu(), strict=True):
            found[i] = logits
    return torch.stack(found)


@torch.no_grad()
def embed(texts: list[str]) -> torch.Tensor:
    """The encoder's sentence vectors (mean over the tokens, length 1); shape (texts, 384)."""
    source = checkpoint("encoder")
    model, tokenizer = AutoModel.from_pretrained(source).to(device()).eval(), AutoTokenizer.from_pretrained(source)
    vectors = []
    for start in range(0, len(texts), 64):
        ids = tokenizer(texts[start : start + 64], truncation=True, max_length=64)
        batch = pad([dict(zip(ids, values, strict=True)) for values in zip(*ids.values(), strict=True)])
        mask = batch["attention_mask"][..., None]
        vectors.append((model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(torch.cat(vectors)).cpu()


def encode(tokenizer, rows: list[dict], label: Callable[[dict], int], keys=("text",), longest: int = 96) -> list[dict]:
    """Rows of one text, or of two, as token ids with a label."""
    texts = tokenizer(*([row[key] for row in rows] for key in keys), truncation=True, max_length=longest)
    names = list(texts)
    return [
        {**dict(zip(names, values, strict=True)), "labels": label(row)}
        for row, *values in zip(rows, *(texts[name] for name in names), strict=True)
    ]


# ---------------------------------------------------------------------------------------------------- writing


def save_adapter(model, role: str) -> None:
    """Write a LoRA adapter with its head to data/models/<role>/: fp16, with the config of the merged model."""
    state = {name: value.detach().half().contiguous().cpu() for name, value in get_peft_model_state_dict(model).items()}
    state |= {
        f"base_model.model.{name}": value.detach().half().cpu()
        for name, value in model.get_base_model().named_parameters()
        if value.requires_grad and "lora_" not in name and "modules_to_save" not in name
    }
    lora = model.peft_config["default"].to_dict()
    kept = ("peft_type", "task_type", "r", "lora_alpha", "target_modules", "modules_to_save", "bias")
    lora = {name: sorted(lora[name]) if isinstance(lora[name], set) else lora[name] for name in kept}
    lora |= {"base_model_name_or_path": "sentence-transformers/all-MiniLM-L6-v2", "inference_mode": True}
    config = model.get_base_model().config
    config.attention_probs_dropout_prob = 0.1  # as in the encoder
    config.architectures = [type(model.get_base_model()).__name__]

    def fill(folder: Path) -> None:
        save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        (folder / "adapter_config.json").write_text(json.dumps(lora, indent=2) + "\n")
        text = {k: v for k, v in json.loads(config.to_json_string()).items() if k not in ("_name_or_path", "dtype")}
        (folder / "config.json").write_text(json.dumps(text, indent=2) + "\n")

    write_folder(role, fill)


def write_folder(role: str, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a model's files into a new folder, then put them in the place of data/models/<role>.

    The model card stays: it is written by hand, and its figures by `python -m data.recipes.measure`.
    """
    folder = MODELS / role
    part = MODELS / f".{role}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    fill(part)
    if (folder / "README.md").is_file():
        shutil.copy2(folder / "README.md", part)
    for file in part.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"wrote data/models/{role}, {size / 1e6:.2f} MB. Now `labs seal {role}` and the measure.")
