"""How a model comes into data/models/<role>: whole or not at all, in half precision, with the card that it had.

Weights are written in float16, to be small. The config says float32, which is what they become when they are loaded: in
half precision a CPU is slow, and training ends in NaN.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from labs_utils.materials.catalog import entries
from labs_utils.paths import ROOT
from labs_utils.storage import read_text, replace_file, replace_folder

MODELS = ROOT / "data" / "models"
BEGIN, END = "<!-- measured: written by data/recipes/measure.py -->", "<!-- /measured -->"
_KEPT_OF_LORA = ("peft_type", "task_type", "r", "lora_alpha", "target_modules", "modules_to_save", "bias")


def publish(role: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a whole model and its tokenizer."""
    with _new_folder(role) as folder:
        model.to("cpu").half().save_pretrained(folder)
        _write_json(folder / "config.json", json.loads(read_text(folder / "config.json")) | {"dtype": "float32"})
        tokenizer.save_pretrained(folder)


def publish_adapter(role: str, model: PeftModel, base: str = "encoder") -> None:
    """Write a LoRA adapter with its head, and the config of the model that it makes with the encoder `base`."""
    whole = model.get_base_model()
    whole.config.attention_probs_dropout_prob = 0.1  # as in the encoder
    whole.config.architectures = [type(whole).__name__]
    config = json.loads(whole.config.to_json_string()) | {"dtype": "float32"}
    config.pop("_name_or_path", None)
    with _new_folder(role) as folder:
        save_file(_adapter_weights(model), folder / "adapter_model.safetensors", metadata={"format": "pt"})
        _write_json(folder / "adapter_config.json", _adapter_config(model, base))
        _write_json(folder / "config.json", config)


def _adapter_weights(model: PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's matrices, and every other weight that learnt, in float16 and under peft's names."""
    learnt = get_peft_model_state_dict(model) | {
        f"base_model.model.{name}": weight
        for name, weight in model.get_base_model().named_parameters()
        if weight.requires_grad and "lora_" not in name and "modules_to_save" not in name
    }
    return {name: weight.detach().half().contiguous().cpu() for name, weight in learnt.items()}


def _adapter_config(model: PeftModel, base: str) -> dict:
    """The part of peft's config that says what the adapter is; sets become sorted lists, the same at every run."""
    lora = model.peft_config["default"].to_dict()
    kept = {name: sorted(lora[name]) if isinstance(lora[name], set) else lora[name] for name in _KEPT_OF_LORA}
    return kept | {"base_model_name_or_path": entries()["models"][base]["hub"], "inference_mode": True}


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _new_folder(role: str) -> Iterator[Path]:
    """An empty folder that takes the place of data/models/<role> when the block ends well.

    The model card goes along: it is written by hand, and its figures by `python -m data.recipes.measure`.
    """
    folder = MODELS / role
    with replace_folder(folder) as part:
        yield part
        if (folder / "README.md").is_file():
            shutil.copy2(folder / "README.md", part)
        for file in part.iterdir():
            file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"wrote data/models/{role}, {size / 1e6:.2f} MB. Now `labs seal {role}` and the measure.", flush=True)


def put_into_card(role: str, figures: str) -> None:
    """Put a table of figures between the two marks in a role's card.

    Raises:
        SystemExit: the card has no such marks.
    """
    card = MODELS / role / "README.md"
    text = read_text(card)
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{card} has no place for the figures: put the lines {BEGIN} and {END} into it.")
    before, rest = text.split(BEGIN, 1)
    replace_file(card, f"{before}{BEGIN}\n{figures}\n{END}{rest.split(END, 1)[1]}")
