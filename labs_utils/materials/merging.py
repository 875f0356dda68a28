"""Small adapters made whole: a LoRA adapter and its head, merged with the encoder into an ordinary checkpoint folder.

A task model ships as `adapter_model.safetensors` (peft's names), `adapter_config.json` and the `config.json` of the
whole model, under 1 MB together. At first use they are added to the encoder's weights, W + (alpha / r) · B @ A, and the
result is kept in the reader's cache, where any `from_pretrained` loads it. Nothing here imports torch or peft.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from labs_utils.errors import WorkbookError
from labs_utils.materials.checkpoints import checkpoint_folder
from labs_utils.materials.fingerprints import fingerprints
from labs_utils.storage import read_text

_FORM = "2"  # raise it when what merge() writes changes: merged folders of an older form are then made anew
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "config.json")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")  # those that there are


def merged(role: str, adapter: Path, base: Path) -> Path:
    """Return the folder of the whole model that `adapter` and the encoder in `base` make, building it at first use.

    Both inputs must have been verified before.

    Raises:
        WorkbookError: the cache can't be written, another kernel holds the lock for two minutes, or the adapter does
            not fit the encoder.
    """
    inputs = fingerprints([*(adapter / name for name in _ADAPTER), base / "model.safetensors", *_tokenizer(base)])
    key = [_FORM, *(f"{file.name} {digest}" for file, digest in inputs.items())]
    return checkpoint_folder(role, key, lambda part: merge(adapter, base, part))


def _tokenizer(base: Path) -> list[Path]:
    return [base / name for name in _TOKENIZER if (base / name).is_file()]


def merge(adapter: Path, base: Path, into: Path) -> None:
    """Write the whole model to the folder `into`: weights in the encoder's precision, config, the encoder's tokenizer.

    Raises:
        WorkbookError: the adapter holds a tensor that fits nowhere in the encoder.
    """
    from safetensors.numpy import load_file, save_file

    lora = json.loads(read_text(adapter / "adapter_config.json"))
    config = json.loads(read_text(adapter / "config.json"))
    weights = {f"bert.{name}": tensor for name, tensor in load_file(base / "model.safetensors").items()}
    parts = {
        name.removeprefix("base_model.model."): tensor.astype("float32")
        for name, tensor in load_file(adapter / "adapter_model.safetensors").items()
    }
    for name, down, up in _pairs(parts):
        if name not in weights or weights[name].shape != (up.shape[0], down.shape[1]):
            raise WorkbookError(
                f"{adapter} adapts {name}, which the encoder in {base} does not have in that shape: it was made for "
                "another encoder. Take the adapter that was trained on this one."
            )
        whole = weights[name].astype("float32") + (lora["lora_alpha"] / lora["r"]) * (up @ down)
        weights[name] = whole.astype(weights[name].dtype)
    precision = weights["bert.embeddings.word_embeddings.weight"].dtype
    weights |= {name: tensor.astype(precision) for name, tensor in parts.items() if ".lora_" not in name}
    if "SequenceClassification" not in config["architectures"][0]:  # the other heads don't look at the pooled vector
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("bert.pooler.")}
    weights.pop("bert.embeddings.position_ids", None)  # a constant that the library makes by itself
    save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
    for file in (adapter / "config.json", *_tokenizer(base)):
        shutil.copyfile(file, into / file.name)


def _pairs(parts: dict) -> Iterator[tuple]:
    """Each adapted weight's name with its two small matrices: `down` (r, in) and `up` (out, r)."""
    for name, down in parts.items():
        if name.endswith(".lora_A.weight"):
            stem = name.removesuffix(".lora_A.weight")
            yield f"{stem}.weight", down, parts[f"{stem}.lora_B.weight"]
