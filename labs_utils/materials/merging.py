"""Small adapters made whole: a LoRA adapter and its head, merged with the encoder into an ordinary checkpoint folder.

A task model ships as `adapter_model.safetensors` (peft's names), `adapter_config.json` and the `config.json` of the
whole model, under 1 MB together. At first use they are added to the encoder's weights, W + (alpha / r) · B @ A, and the
result is kept in the reader's cache, where any `from_pretrained` loads it. Nothing here imports torch or peft.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from labs_utils.errors import WorkbookError
from labs_utils.materials.fingerprints import fingerprints, sha256
from labs_utils.paths import cache
from labs_utils.storage import read_text, replace_folder

_FORM = "1"  # raise it when what merge() writes changes: merged folders of an older form are then made anew
_RECORD = "merged.json"
_PATIENCE = 120  # seconds to wait for another kernel that is merging the same role
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "config.json")
_FROM_ENCODER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def merged(role: str, adapter: Path, base: Path) -> Path:
    """Return the folder of the whole model that `adapter` and the encoder in `base` make, building it at first use.

    The folder's name holds a hash of everything that goes into it, so a new adapter or encoder never meets an old
    folder. It appears complete or not at all: it is built beside its place, under a lock, and renamed. Both inputs must
    have been verified before.

    Raises:
        WorkbookError: the cache can't be written, or another kernel holds the lock for two minutes.
    """
    folder = cache() / "checkpoints" / f"{role}-{_key(adapter, base)}"
    if _whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock", timeout=_PATIENCE):
            if not _whole(folder):  # another kernel may have built it while this one waited
                _build(folder, adapter, base)
        return folder
    except Timeout:
        raise WorkbookError(
            f"Another kernel has held {folder}.lock for {_PATIENCE} seconds. Stop that kernel and try again."
        ) from None
    except OSError as error:
        raise WorkbookError(
            f"The model {role!r} could not be put together in {folder} ({error.strerror}). Free 100 MB there, or set "
            "the environment variable LABS_HOME to a folder you can write to, and restart the kernel."
        ) from None


def _key(adapter: Path, base: Path) -> str:
    files = [*(adapter / name for name in _ADAPTER), *(base / name for name in ("model.safetensors", *_FROM_ENCODER))]
    parts = [_FORM, *(f"{file.name} {digest}" for file, digest in fingerprints(files).items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _whole(folder: Path) -> bool:
    """Whether a merged folder is there, all its files as they were written. Damage is mended by building it anew."""
    try:
        expected = {folder / name: digest for name, digest in json.loads(read_text(folder / _RECORD)).items()}
        return fingerprints(list(expected)) == expected
    except (OSError, ValueError, AttributeError):
        return False


def _build(folder: Path, adapter: Path, base: Path) -> None:
    with replace_folder(folder) as part:
        merge(adapter, base, part)
        digests = {file.name: sha256(file) for file in sorted(part.iterdir())}
        (part / _RECORD).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def merge(adapter: Path, base: Path, into: Path) -> None:
    """Write the whole model to the folder `into`: weights in float32, config, and the encoder's tokenizer.

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
            raise WorkbookError(f"{adapter} adapts {name}, which the encoder in {base} does not have in that shape.")
        weights[name] = weights[name] + (lora["lora_alpha"] / lora["r"]) * (up @ down)
    weights |= {name: tensor for name, tensor in parts.items() if ".lora_" not in name}
    if "SequenceClassification" not in config["architectures"][0]:  # the other heads don't look at the pooled vector
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("bert.pooler.")}
    weights.pop("bert.embeddings.position_ids", None)  # a constant that the library makes by itself
    save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
    for source, name in ((adapter, "config.json"), *((base, name) for name in _FROM_ENCODER)):
        shutil.copyfile(source / name, into / name)


def _pairs(parts: dict) -> Iterator[tuple]:
    """Each adapted weight's name with its two small matrices: `down` (r, in) and `up` (out, r)."""
    for name, down in parts.items():
        if name.endswith(".lora_A.weight"):
            stem = name.removesuffix(".lora_A.weight")
            yield f"{stem}.weight", down, parts[f"{stem}.lora_B.weight"]
