"""The shipped task models load as a notebook loads them and do their task; merging is fast, whole and repeatable."""

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
from labs_utils.materials import catalog, merging
from labs_utils.paths import ROOT

ADAPTERS = {role: entry for role, entry in catalog.entries()["models"].items() if entry.get("adapter")}


# ---------------------------------------------------------------------------------------------------- merging


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
        "import sys, time; from pathlib import Path; from labs_utils import merging; begin = time.process_time(); "
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
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "merged.json"])
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
    checkpoints = Path(os.environ["LABS_HOME"]) / "cache" / "checkpoints"
    kernel = subprocess.Popen([sys.executable, "-c", code, str(adapter), str(base)])
    while not list(checkpoints.glob(".tiny-*")) and kernel.poll() is None:
        time.sleep(0.001)
    kernel.send_signal(signal.SIGKILL)
    kernel.wait()
    folder = merging.merged("tiny", adapter, base)
    assert merging._whole(folder)
    assert [path.name for path in checkpoints.iterdir() if path.is_dir()] == [folder.name]


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


# ---------------------------------------------------------------------------------------------------- what ships


@pytest.mark.parametrize("role", ADAPTERS)
def test_an_adapter_is_small_sealed_and_has_a_card(role):
    folder = ROOT / ADAPTERS[role]["folder"]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 1_000_000
    assert set(ADAPTERS[role]["sha256"]) == {"adapter_config.json", "adapter_model.safetensors", "config.json"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"license: {ADAPTERS[role]['licence'].lower()}" in card
    assert "<!-- measured" in card and "## Limits" in card


@pytest.mark.parametrize("role", ADAPTERS)
def test_every_weight_of_a_merged_model_is_used_and_none_is_new(role):
    transformers = pytest.importorskip("transformers")
    folder = catalog.checkpoint(role)
    config = transformers.AutoConfig.from_pretrained(folder)
    model, report = getattr(transformers, config.architectures[0]).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert next(model.parameters()).dtype.itemsize == 4


@pytest.mark.parametrize("role", [role for role in ADAPTERS if role in ("sentiment", "emotion")])
def test_peft_makes_the_same_model_of_an_adapter(role):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = catalog.checkpoint(role)
    whole = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    base = AutoModelForSequenceClassification.from_pretrained(
        catalog.checkpoint("encoder"), num_labels=whole.config.num_labels
    )
    adapted = PeftModel.from_pretrained(base, str(ROOT / ADAPTERS[role]["folder"])).eval()
    texts = AutoTokenizer.from_pretrained(folder)("What a strange and lovely day.", return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(whole(**texts).logits, adapted(**texts).logits, atol=1e-4)


def _classifier(role):
    from transformers import pipeline

    return pipeline("text-classification", model=str(catalog.checkpoint(role)), top_k=1)


def _shipped(*roles):
    return pytest.mark.skipif(not set(roles) <= set(ADAPTERS), reason=f"{', '.join(roles)} does not ship yet")


def _right(found, expected):
    return sum(one[0]["label"] == label for one, label in zip(found, expected, strict=True))


@_shipped("sentiment")
def test_sentiment_knows_praise_from_blame():
    praise = ["I love this course.", "A warm and funny film.", "Great service, I'll come back.", "It works perfectly."]
    blame = ["I hate waiting in line.", "A dull, lifeless film.", "The food was awful.", "It broke after a day."]
    assert _right(_classifier("sentiment")(praise + blame), ["POSITIVE"] * 4 + ["NEGATIVE"] * 4) >= 7


@_shipped("emotion")
def test_emotion_names_plain_feelings():
    texts = {
        "I feel so lonely and hopeless today.": "sadness", "I'm happy, what a wonderful day!": "joy",
        "I adore her, she is so dear to me.": "love", "I'm furious, how dare they do that!": "anger",
        "I was terrified of the dark.": "fear", "I was amazed, I never expected this.": "surprise",
    }
    assert _right(_classifier("emotion")(list(texts)), texts.values()) >= 4


@_shipped("paraphrase")
def test_paraphrase_tells_rewording_from_another_subject():
    text = "The company bought the factory in May."
    same = {"text": text, "text_pair": "In May the factory was bought by the company."}
    other = {"text": text, "text_pair": "The minister resigned after the scandal."}
    assert _right([_classifier("paraphrase")(pair) for pair in (same, other)], ["paraphrase", "different"]) == 2


@_shipped("nli")
def test_nli_judges_scenes_and_sorts_topics():
    from transformers import pipeline

    premise = "A man is playing a guitar on the street."
    pairs = [
        {"text": premise, "text_pair": hypothesis}
        for hypothesis in ("A man is making music.", "A man is asleep in bed.", "The man is a famous musician.")
    ]
    found = [_classifier("nli")(pair) for pair in pairs]
    assert _right(found, ["entailment", "contradiction", "neutral"]) >= 2
    sorter = pipeline("zero-shot-classification", model=str(catalog.checkpoint("nli")))
    text = "The striker scored twice and the team won the cup."
    assert sorter(text, ["football", "cooking", "banking"])["labels"][0] == "football"


@_shipped("ner")
def test_ner_finds_a_person_and_a_place():
    from transformers import pipeline

    finder = pipeline("ner", model=str(catalog.checkpoint("ner")), aggregation_strategy="first")
    found = {one["word"]: one["entity_group"] for one in finder("Anna Smith moved from London to Berlin in May.")}
    assert found.get("anna smith") == "PER" and found.get("london") == found.get("berlin") == "LOC"


@_shipped("qa")
def test_qa_answers_from_the_text():
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    measure = pytest.importorskip("data.recipes.measure")
    folder = catalog.checkpoint("qa")
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    context = "The bridge was built in 1932 by the engineer Marta Olsen. It is long and crosses the river Dal."
    asked = ["When was the bridge built?", "Who built the bridge?", "Which river does it cross?"]
    found = measure.answers(model, tokenizer, [{"question": question, "context": context} for question in asked])
    assert sum(answer in text for answer, text in zip(("1932", "Marta Olsen", "Dal"), found, strict=True)) >= 2


@_shipped("masked-lm")
def test_masked_lm_fills_common_words():
    from transformers import pipeline

    fill = pipeline("fill-mask", model=str(catalog.checkpoint("masked-lm")), top_k=10)
    texts = {
        "He went [MASK] the house.": {"to", "into", "in", "out", "through", "from"},
        "She was born [MASK] 1932.": {"in", "on", "around", "before"},
        "The king [MASK] the queen lived in a castle.": {"and", "of", "or", "with"},
    }
    assert sum(bool(words & {one["token_str"] for one in fill(text)}) for text, words in texts.items()) >= 2
