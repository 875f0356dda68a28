"""An adapter and the encoder become a whole checkpoint: quickly, completely, and the same at every use."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import load_file, save_file

from labs_utils.errors import WorkbookError
from labs_utils.materials import catalog, checkpoints, merging


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """A small LoRA adapter with a classifier of two labels, and a cache of its own."""
    monkeypatch.setenv("LABS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "adapter"
    folder.mkdir()
    layer = "base_model.model.bert.encoder.layer.5.attention.self.query"
    noise = numpy.random.default_rng(0)
    tensors = {
        f"{layer}.lora_A.weight": noise.normal(size=(4, 384)).astype("float16"),
        f"{layer}.lora_B.weight": noise.normal(size=(384, 4)).astype("float16"),
        "base_model.model.classifier.weight": noise.normal(size=(2, 384)).astype("float16"),
        "base_model.model.classifier.bias": numpy.zeros(2, "float16"),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    config = json.loads(Path(catalog.checkpoint("encoder"), "config.json").read_text())
    config |= {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "no", "1": "yes"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def base():
    return Path(catalog.checkpoint("encoder"))


def test_a_merged_model_is_the_encoder_plus_the_product_of_the_small_matrices(adapter, base):
    folder = merging.merged("tiny", adapter, base)
    small = load_file(adapter / "adapter_model.safetensors")
    before, after = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    name = "encoder.layer.5.attention.self.query"
    down, up = (small[f"base_model.model.bert.{name}.lora_{ab}.weight"].astype("float32") for ab in "AB")
    assert numpy.allclose(after[f"bert.{name}.weight"], before[f"{name}.weight"] + 2 * up @ down, atol=1e-5)
    other = "encoder.layer.0.output.dense.weight"
    assert (after[f"bert.{other}"] == before[other]).all()


def test_merging_takes_less_than_three_seconds_and_no_torch(adapter, base):
    code = (
        "import sys, time; from pathlib import Path; from labs_utils.materials import merging; "
        "begin = time.process_time(); "
        "merging.merged('tiny', Path(sys.argv[1]), Path(sys.argv[2])); "
        "print(time.process_time() - begin, 'torch' in sys.modules, 'peft' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(adapter), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, *imported = done.stdout.split()
    assert float(seconds) < 3 and imported == ["False", "False"]


def test_a_second_use_merges_nothing(adapter, base, monkeypatch):
    folder = merging.merged("tiny", adapter, base)
    monkeypatch.setattr(merging, "merge", lambda *_: pytest.fail("merged a second time"))
    assert merging.merged("tiny", adapter, base) == folder


def test_another_adapter_gets_another_folder(adapter, base):
    first = merging.merged("tiny", adapter, base)
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 4}))
    assert merging.merged("tiny", adapter, base) != first


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"no"), lambda file: file.unlink()])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "made.json"])
def test_a_damaged_merged_folder_is_made_anew(adapter, base, name, damage):
    folder = merging.merged("tiny", adapter, base)
    whole = (folder / name).read_bytes()
    damage(folder / name)
    assert merging.merged("tiny", adapter, base) == folder
    assert (folder / name).read_bytes() == whole


def _merge_in_a_kernel(adapter, base, queue):
    queue.put(str(merging.merged("tiny", adapter, base)))


def test_two_kernels_at_once_get_one_whole_folder(adapter, base):
    kernels = multiprocessing.get_context("fork")
    queue = kernels.Queue()
    running = [kernels.Process(target=_merge_in_a_kernel, args=(adapter, base, queue)) for _ in range(3)]
    for kernel in running:
        kernel.start()
    folders = {queue.get(timeout=60) for _ in running}
    for kernel in running:
        kernel.join()
    assert len(folders) == 1
    assert sorted(path.name for path in Path(*folders).parent.iterdir() if path.is_dir()) == [Path(*folders).name]


def test_a_kernel_killed_half_way_leaves_nothing_that_counts(adapter, base):
    code = (
        "import sys; from pathlib import Path; from labs_utils.materials.merging import merged; "
        "merged('tiny', *map(Path, sys.argv[1:]))"
    )
    folders = Path(os.environ["LABS_HOME"]) / "cache" / "checkpoints"
    kernel = subprocess.Popen([sys.executable, "-c", code, str(adapter), str(base)])
    while not list(folders.glob(".tiny-*")) and kernel.poll() is None:
        time.sleep(0.001)
    kernel.send_signal(signal.SIGKILL)
    kernel.wait()
    folder = merging.merged("tiny", adapter, base)
    assert checkpoints.is_whole(folder)
    assert [path.name for path in folders.iterdir() if path.is_dir()] == [folder.name]


def test_a_cache_that_cannot_be_written_names_the_cure(adapter, base, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABS_HOME", str(tmp_path / "file"))
    with pytest.raises(WorkbookError, match="LABS_HOME"):
        merging.merged("tiny", adapter, base)


def test_an_adapter_for_another_encoder_is_refused(adapter, base, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(base, other)
    save_file({"encoder.layer.0.output.dense.weight": numpy.zeros((384, 1536), "float32")}, other / "model.safetensors")
    with pytest.raises(WorkbookError, match=r"layer\.5\.attention\.self\.query"):
        merging.merged("tiny", adapter, other)


def test_sealing_a_name_that_a_model_and_a_data_set_share_seals_both(tmp_path):
    path = tmp_path / "data" / "catalog.toml"
    lines = []
    for kind in ("models", "datasets"):
        (tmp_path / "data" / kind / "joy").mkdir(parents=True)
        (tmp_path / "data" / kind / "joy" / "file").write_text(kind)
        lines.append(f'[{kind}.joy]\nlicence = "CC0-1.0"\nfolder = "data/{kind}/joy"\n\n[{kind}.joy.sha256]\n')
    path.write_text("\n".join(lines))
    catalog.seal("joy", path)
    sealed = catalog.entries(path)
    for kind in ("models", "datasets"):
        assert sealed[kind]["joy"]["sha256"] == {"file": catalog.sha256(tmp_path / "data" / kind / "joy" / "file")}
