"""The models that were trained from nothing for this course are whole, and load as a notebook loads them."""

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers.utils import logging

from labs_utils.materials.catalog import checkpoint, entries, sha256
from tests.support.models import FROM_NOTHING, load

WRITERS = [role for role in FROM_NOTHING if "generation_config.json" in entries()["models"][role]["sha256"]]
each_role = pytest.mark.parametrize("role", FROM_NOTHING)
each_writer = pytest.mark.parametrize("role", WRITERS)


@each_role
def test_it_is_small_on_disk_whole_in_memory_and_every_file_is_sealed(role):
    folder = Path(checkpoint(role))
    files = {file.name: file for file in folder.iterdir() if file.name != "README.md"}
    assert sum(file.stat().st_size for file in files.values()) <= 6e6
    assert {name: sha256(file) for name, file in files.items()} == entries()["models"][role]["sha256"]
    assert {tensor.dtype for tensor in load_file(files["model.safetensors"]).values()} == {torch.float16}
    assert load(role)[0].dtype == torch.float32  # in half precision a CPU is slow, and training ends in NaN


@each_role
def test_its_card_says_what_it_learnt_from_and_how_good_it_is(role):
    card = (Path(checkpoint(role)) / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: ")
    for heading in ("## Data and licences", "## Recipe", "## Measured quality", "## Limits"):
        assert heading in card
    figures = card.partition("<!-- measured")[2].partition("<!-- /measured -->")[0]
    assert "| what | measured |" in figures


@each_role
def test_the_model_and_its_tokenizer_know_the_same_tokens(role):
    model, tokenizer = load(role)
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.pad_token_id == model.config.pad_token_id


@each_writer
def test_a_text_ends_where_the_tokenizer_says(role):
    model, tokenizer = load(role)
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id != tokenizer.pad_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id


@each_writer
def test_generate_with_the_shipped_settings_warns_of_nothing(role, caplog):
    model, tokenizer = load(role)
    texts = tokenizer(["Le chat dort." if role == "translator" else "The old woman"], return_tensors="pt")
    logger = logging.get_logger("transformers")
    logger.addHandler(caplog.handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.generate(**texts)
            model.generate(**texts, max_new_tokens=5, num_beams=2)
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records
