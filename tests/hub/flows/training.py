"""transformers: models, tokenizers, pipelines and every way in which a Trainer pushes."""

import os
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

import labs_utils as lab
from tests.hub.flows import ada, run

FOLDER = Path(tempfile.mkdtemp(dir=os.environ["FLOW_FOLDER"]))
TOKENIZER = AutoTokenizer.from_pretrained(lab.checkpoint("encoder"))
CONFIG = BertConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=len(TOKENIZER)
)


def same_weights(one, other) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def flow_model_and_tokenizer():
    model = BertForSequenceClassification(CONFIG)
    model.push_to_hub("ada/tiny")
    TOKENIZER.push_to_hub("ada/tiny")
    assert same_weights(model, AutoModelForSequenceClassification.from_pretrained("ada/tiny"))
    assert AutoTokenizer.from_pretrained("ada/tiny")("hello there") == TOKENIZER("hello there")
    assert pipeline("text-classification", "ada/tiny")("fine")[0]["label"] in ("LABEL_0", "LABEL_1")
    assert ada().model_info("ada/tiny").pipeline_tag == "text-classification"


def flow_sharded_model():
    model = BertForSequenceClassification(CONFIG)
    model.push_to_hub("ada/sharded", max_shard_size="20KB", private=True)
    shards = [name for name in ada().list_repo_files("ada/sharded") if name.endswith(".safetensors")]
    assert len(shards) > 1
    assert same_weights(model, AutoModelForSequenceClassification.from_pretrained("ada/sharded"))


def trained(strategy: str) -> tuple[list[str], list[str]]:
    """Train four steps with a push strategy; return the files and the titles of the commits."""
    rows = TOKENIZER(["yes", "no"] * 4, padding="max_length", max_length=8)
    name = f"ada/trained-{strategy.replace('_', '-')}"
    arguments = TrainingArguments(
        str(FOLDER / strategy), push_to_hub=True, hub_model_id=name, hub_strategy=strategy, hub_always_push=True,
        max_steps=4, save_steps=2, per_device_train_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(
        BertForSequenceClassification(CONFIG),
        arguments,
        train_dataset=Dataset.from_dict({**rows, "labels": [1, 0] * 4}),
        processing_class=TOKENIZER,
    )
    trainer.train()
    trainer.push_to_hub(commit_message="The end")
    assert same_weights(trainer.model, AutoModelForSequenceClassification.from_pretrained(name))
    assert "generated_from_trainer" in ada().model_info(name).tags
    return ada().list_repo_files(name), [one.title for one in ada().list_repo_commits(name)]


def flow_trainer_pushes_at_the_end():
    files, titles = trained("end")
    assert "model.safetensors" in files and titles[0] == "The end"


def flow_trainer_pushes_every_save():
    # The Trainer pushes from a thread while it trains on: a save that is overwritten during its push is refused, for
    # what arrives isn't what was announced. The last one has the time it needs.
    _, titles = trained("every_save")
    assert any("in progress, step" in title for title in titles)


def flow_trainer_pushes_the_last_checkpoint():
    files, _ = trained("checkpoint")
    assert "last-checkpoint/trainer_state.json" in files


def flow_trainer_pushes_all_checkpoints():
    files, _ = trained("all_checkpoints")
    assert {"checkpoint-2/model.safetensors", "checkpoint-4/model.safetensors"} <= set(files)


if __name__ == "__main__":
    run(globals())
