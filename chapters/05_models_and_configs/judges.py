"""Chapter 05: changed fields, GPT-2 counted, a file's header, the cache, AutoModel's choice, the loading report."""

import json
import random
import struct
import tempfile
from pathlib import Path

from labs_utils.exercises.core import CheckFailed, call, describe, exercise, expect


def _number(value, given: str) -> int:
    """The learner's whole number (a tensor or NumPy integer too) as an int, or a complaint."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    right = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    expect(right, f"Given {given}, a whole number was expected, but got {describe(value)}.")
    return int(value)


@exercise("5.1")
def changed(answer):
    from transformers import BertConfig, DistilBertConfig, GPT2Config

    cases = [
        (BertConfig, {"hidden_size": 384, "num_layers": 3}),
        (BertConfig, {}),
        (BertConfig, {"hidden_size": 768}),
        (BertConfig, {"num_labels": 5}),
        (BertConfig, {"classifier_dropout": 0.3, "problem_type": "regression"}),
        (DistilBertConfig, {"n_layers": 3, "dropout": 0.0}),
        (GPT2Config, {"n_embd": 64, "n_inner": 100, "use_cache": False}),
    ]
    draw = random.Random(0)
    numbers = ["hidden_size", "intermediate_size", "vocab_size", "hidden_layers", "type_vocab_size", "layers"]
    cases += [(BertConfig, {name: draw.randint(1, 9) for name in draw.sample(numbers, 3)}) for _ in range(10)]
    for kind, options in cases:
        inside = ", ".join(f"{name}={value!r}" for name, value in options.items())
        given, config = f"{kind.__name__}({inside})", kind(**options)
        before, fresh = config.to_dict(), kind().to_dict()
        got = call(answer, config, given=given)
        expect(isinstance(got, dict), f"Given {given}, a dict was expected, but got {describe(got)}.")
        expect(config.to_dict() == before, f"Given {given}, your function changed the config that it was given.")
        wanted = {name: (fresh.get(name), value) for name, value in before.items() if fresh.get(name) != value}
        pairs = all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in got.values())
        expect(pairs, f"Given {given}, each value must be a pair (fresh, yours), but got {describe(got)}.")
        got = {name: tuple(pair) for name, pair in got.items()}
        perhaps = ""
        if got == {name: pair[::-1] for name, pair in wanted.items()}:
            perhaps = " Perhaps the pairs are the wrong way round: the fresh value comes first."
        elif set(got) - set(wanted):
            extra = sorted(set(got) - set(wanted))
            perhaps = f" {describe(extra)}: the value there is the same as in a fresh {kind.__name__}."
            perhaps += " Perhaps you compared with another class's config, or listed everything."
        elif {name for name in wanted if name not in fresh} - set(got):
            perhaps = " A name that the fresh config doesn't have is missing: those are the typos."
        elif set(wanted) - set(got):
            perhaps = f" These differ and are not listed: {describe(sorted(set(wanted) - set(got)))}."
        expect(got == wanted, f"Given {given}, your {describe(got)} is not what differs from a fresh config.{perhaps}")


@exercise("5.2")
def gpt2_parameters(answer):
    import torch
    from transformers import GPT2Config, GPT2Model

    base = {"bos_token_id": 0, "eos_token_id": 0}
    cases = [{}, {"n_layer": 0, "vocab_size": 11, "n_positions": 7, "n_embd": 4, "n_head": 1}]
    draw = random.Random(1)
    for number in range(8):
        width = 4 * draw.randint(1, 12)
        options = {"n_layer": draw.randint(1, 5), "vocab_size": draw.randint(5, 300)}
        options["n_positions"] = draw.randint(4, 90)
        inner = draw.randint(1, 200) if number % 2 else None
        cases.append({**options, "n_embd": width, "n_head": 2, "n_inner": inner})
    for options in cases:
        config = GPT2Config(**{**base, **options})
        given = f"GPT2Config({', '.join(f'{name}={value}' for name, value in options.items())})"
        with torch.device("meta"):
            wanted = GPT2Model(config).num_parameters()
        got = _number(call(answer, config, given=given), given)
        width, layers = config.n_embd, config.n_layer
        inner = config.n_inner if config.n_inner is not None else 4 * width
        reasons = {
            -config.n_positions * width: "The position embeddings are missing.",
            -2 * width: "The LayerNorm after the last layer is missing.",
            2 * width * -layers: "Each layer has two LayerNorms, and each LayerNorm a weight and a bias.",
            -layers * (5 * width + inner): "The biases of the linear layers are missing.",
            config.vocab_size * width: "The output layer has no matrix of its own: GPT2Model has no output layer.",
            layers * (2 * width + 1) * (4 * width - inner): "n_inner was given; four times n_embd holds only for None.",
            -layers * 2 * (width * width + width): "c_attn makes three things at once: query, key and value.",
        }
        perhaps = reasons.get(got - wanted, "Perhaps one of the printed tensors was left out or counted twice.")
        if got == wanted:
            continue
        way = "more" if got > wanted else "fewer"
        expect(False, f"Given {given}, you count {abs(got - wanted):,} {way} parameters than the model has. {perhaps}")


@exercise("5.3")
def tensors_of(answer):
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        kinds = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
        draw = random.Random(2)
        for number in range(8):
            state = {
                f"layer.{place}.weight": torch.zeros([draw.randint(1, 4) for _ in range(draw.randint(0, 3))]).to(kind)
                for place, kind in enumerate(draw.sample(kinds, draw.randint(1, 4)))
            }
            save_file(state, path, metadata={"format": "pt"} if number % 2 else None)
            with safe_open(path, "pt") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
                wanted = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
            _judge_header(answer, path, wanted, f"a file with {', '.join(wanted)}")
        # a file whose numbers are missing: only its header can be read
        header = json.dumps({"a": {"dtype": "F32", "shape": [10**6], "data_offsets": [0, 4 * 10**6]}}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        _judge_header(answer, path, {"a": ("F32", [10**6])}, "a file that ends after its header")


def _judge_header(answer, path: Path, wanted: dict, given: str):
    got = call(answer, path, given=given)
    expect(isinstance(got, dict), f"Given {given}, a dict was expected, but got {describe(got)}.")
    expect("__metadata__" not in got, f"Given {given}, your dict has __metadata__, which is no tensor.")
    names = f"Given {given}, your names {describe(sorted(got))} are not those of the tensors in it."
    expect(set(got) == set(wanted), names)
    for name, (dtype, shape) in wanted.items():
        value = got[name]
        pair = isinstance(value, tuple | list) and len(value) == 2
        expect(pair, f"Given {given}, {name} should be a pair (dtype, shape), but got {describe(value)}.")
        expect(
            str(value[0]) == dtype,
            f"Given {given}, the dtype of {name} is {describe(value[0])}; write it as the header does.",
        )
        listed = isinstance(value[1], list | tuple)
        expect(listed, f"Given {given}, the shape of {name} should be a list, but got {describe(value[1])}.")
        expect(
            list(value[1]) == list(shape),
            f"Given {given}, the shape of {name} is {list(value[1])}, which the header doesn't say. Perhaps you took "
            "the offsets, or read numbers instead of the header.",
        )


@exercise("5.4")
def cached_path(answer):
    from huggingface_hub import try_to_load_from_cache

    commit = "0123456789abcdef0123456789abcdef01234567"
    cases = [
        ("workbook/minilm", commit, "config.json", "model"),
        ("gpt2", commit, "model.safetensors", "model"),
        ("dair-ai/emotion", commit, "split/train-00000.parquet", "dataset"),
        ("a-b/c--d".replace("--", "_"), commit, "onnx/model.onnx", "model"),
        ("someone/demo", commit, "app.py", "space"),
    ]
    for repo_id, revision, filename, repo_type in cases:
        given = f"{repo_id!r}, a commit, {filename!r} and {repo_type!r}"
        got = call(answer, repo_id, revision, filename, repo_type, given=given)
        expect(isinstance(got, str | Path), f"Given {given}, a path as a string was expected, but got {describe(got)}.")
        text = str(got).replace("\\", "/")
        inside = not text.startswith("/") and ".." not in text.split("/")
        expect(inside, f"Given {given}, a path below the cache's folder was expected, but got {text!r}.")
        # the library itself must find a file that lies where the learner says
        with tempfile.TemporaryDirectory() as cache:
            path = Path(cache, text)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            (path.parent if not path.is_dir() else path).mkdir(exist_ok=True)
            kind = {"repo_type": repo_type, "revision": revision}
            found = try_to_load_from_cache(repo_id, filename, cache_dir=cache, **kind)
        right = isinstance(found, str) and Path(found) == path
        shown = text.replace(commit, "<commit>")
        perhaps = ""
        if "--" not in text:
            perhaps = " In the folder's name, two hyphens stand for the slash of the id, and after the kind."
        elif not text.startswith(f"{repo_type}s--"):
            perhaps = " The folder's name begins with the kind of the repository, as a plural."
        elif "/blobs/" in text:
            perhaps = " blobs holds contents under their hashes; the links with real names are elsewhere."
        elif "snapshots" not in text:
            perhaps = " One folder is missing between the repository's and the commit's."
        elif commit not in text:
            perhaps = " Each commit has a folder of its own."
        elif filename not in text:
            perhaps = " Perhaps you changed the file's name: a folder in it stays a folder."
        expect(right, f"Given {given}, the library looks elsewhere than at {shown!r}.{perhaps}")


@exercise("5.5")
def freed(answer):
    import huggingface_hub
    from huggingface_hub import scan_cache_dir

    shared = {name: {"config.json": own, "model.safetensors": "w"} for name, own in (("old", "c1"), ("new", "c2"))}
    cases = [
        (shared, {"c1": 10, "c2": 20, "w": 900}, ["old"]),
        (shared, {"c1": 10, "c2": 20, "w": 900}, ["old", "new"]),
        (shared, {"c1": 10, "c2": 20, "w": 900}, []),
        ({"a": {"x": "b", "y": "b"}, "z": {"x": "c"}}, {"b": 7, "c": 1}, ["a"]),
    ]
    draw = random.Random(3)
    for _ in range(12):
        blobs = {f"blob{number}": draw.randint(1, 500) for number in range(6)}
        revisions = {
            f"commit{number}": {f"file{place}": draw.choice(list(blobs)) for place in range(draw.randint(1, 4))}
            for number in range(draw.randint(2, 4))
        }
        cases.append((revisions, blobs, draw.sample(list(revisions), draw.randint(1, len(revisions)))))
    huggingface_hub.utils.logging.get_logger("huggingface_hub").setLevel("ERROR")
    for revisions, sizes, delete in cases:
        given = f"the revisions {describe(revisions)}, the sizes {describe(sizes)} and delete={delete}"
        copy = ({key: dict(links) for key, links in revisions.items()}, dict(sizes), list(delete))
        got = _number(call(answer, *copy, given=given), given)
        with tempfile.TemporaryDirectory() as cache:
            _write_cache(Path(cache, "models--a--b"), revisions, sizes)
            wanted = scan_cache_dir(cache).delete_revisions(*delete).expected_freed_size if delete else 0
        links = [blob for commit in delete for blob in revisions[commit].values()]
        perhaps = ""
        if got == wanted:
            continue
        used = {blob for commit, own in revisions.items() if commit not in delete for blob in own.values()}
        if got == sum(sizes[blob] for blob in links if blob not in used):
            perhaps = " Perhaps you counted a blob for each file that points to it; it is on the disk once."
        elif got in (sum(sizes[blob] for blob in links), sum(sizes[blob] for blob in set(links))):
            perhaps = " A blob that a kept commit still uses stays on the disk."
        elif not delete or got < wanted:
            perhaps = " A blob that only deleted commits use goes, also if several of them use it."
        expect(False, f"Given {given}, deleting doesn't free {got} bytes.{perhaps}")


def _write_cache(home: Path, revisions: dict, sizes: dict) -> None:
    """A cache folder as the library writes it, with blobs of these sizes (only those that are in use)."""
    (home / "refs").mkdir(parents=True)
    (home / "blobs").mkdir()
    for blob in {blob for links in revisions.values() for blob in links.values()}:
        (home / "blobs" / blob).write_bytes(bytes(sizes[blob]))
    for commit, links in revisions.items():
        folder = home / "snapshots" / commit
        folder.mkdir(parents=True)
        for name, blob in links.items():
            (folder / name).symlink_to(Path("..", "..", "blobs", blob))


@exercise("5.6")
def decide(answer):
    known = {"bert": "BertModel", "gpt2": "GPT2Model", "t5": "T5Model"}
    code = {"AutoConfig": "modeling_bag.BagConfig", "AutoModel": "modeling_bag.BagModel"}
    other = {"AutoModelForCausalLM": "modeling_chat.ChatForCausalLM"}
    both = " An auto_map is an offer: the library's own class wins, unless trust is True."
    architectures = " architectures is a note of what was saved. Perhaps you read it; model_type decides."
    no_entry = " This auto_map has nothing for AutoModel."
    refused = " Code from a folder may run only if trust is True, and there is no built-in class here."
    cases = []
    for trust in (None, False, True):
        cases += [
            ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, trust, "BertModel", architectures),
            ({"model_type": "bert", "architectures": ["GPT2LMHeadModel"]}, trust, "BertModel", architectures),
            ({"model_type": "t5"}, trust, "T5Model", " There need not be an architectures entry."),
            ({"architectures": ["BertModel"]}, trust, None, architectures),
            ({"model_type": "zebra", "architectures": ["BertModel"]}, trust, None, architectures),
            ({"model_type": "gpt2", "auto_map": other}, trust, "GPT2Model", no_entry),
            ({"model_type": "gpt2", "auto_map": code}, trust, "BagModel" if trust else "GPT2Model", both),
            ({"model_type": "bag", "auto_map": code}, trust, "BagModel" if trust else None, refused),
            ({"model_type": "bag", "auto_map": other}, trust, None, no_entry),
        ]
    for config, trust, wanted, perhaps in cases:
        given = f"{config} and trust={trust}"
        try:
            got = answer(json.loads(json.dumps(config)), dict(known), trust)
        except ValueError:
            expect(wanted is None, f"Given {given}, AutoModel makes a class, but your function raised a ValueError.")
            continue
        except Exception as error:
            raise CheckFailed(f"Given {given}, your function raised {type(error).__name__}: {error}") from None
        expect(wanted is not None, f"Given {given}, AutoModel raises a ValueError, but got {describe(got)}.{perhaps}")
        expect(isinstance(got, str), f"Given {given}, a class's name was expected, but got {describe(got)}.")
        if wanted == "BagModel" and got == code["AutoModel"]:
            perhaps = " That is file and class; the class's name alone was asked for."
        expect(got == wanted, f"Given {given}, AutoModel doesn't make a {got}.{perhaps}")


@exercise("5.7")
def loading_report(answer):
    cases = [
        ({"a": (2, 3), "b": (2,)}, {"a": (5, 3), "c": (2,)}),
        ({}, {}),
        ({"a": (1,)}, {}),
        ({}, {"a": (1,)}),
        ({"a": (2, 3)}, {"a": (3, 2)}),
        ({"a": (2, 3)}, {"a": (2, 3)}),
    ]
    draw = random.Random(4)
    for _ in range(20):
        sides = [
            {name: tuple(draw.choices((1, 2, 3), k=draw.randint(1, 2))) for name in draw.sample("abcdefgh", 5)}
            for _ in range(2)
        ]
        cases.append(tuple(sides))
    cases = [(model, file, _compared(model, file)) for model, file in cases] + [_from_the_library()]
    for model, file, wanted in cases:
        given = f"the model {describe(model)} and the file {describe(file)}"
        got = call(answer, dict(model), dict(file), given=given)
        expect(isinstance(got, dict), f"Given {given}, a dict was expected, but got {describe(got)}.")
        keys = f"Given {given}, the keys missing, unexpected and mismatched were expected, not {describe(list(got))}."
        expect(set(got) == set(wanted), keys)
        for key in wanted:
            names = got[key]
            listed = isinstance(names, list | tuple | set | frozenset)
            expect(listed, f"Given {given}, {key!r} should be a list of names, but is {describe(names)}.")
            perhaps = ""
            if set(names) == set(wanted["unexpected"]) != set(wanted["missing"]) and key == "missing":
                perhaps = " Perhaps the two sides are swapped: missing is what the model has and the file has not."
            elif key == "mismatched" and set(names) - set(wanted[key]):
                perhaps = " Only a name on both sides, with two different shapes, is a mismatch."
            elif key != "mismatched" and set(names) & set(wanted["mismatched"]):
                perhaps = " A name with another shape is a mismatch, and neither missing nor unexpected."
            same = sorted(names) == sorted(wanted[key])
            expect(same, f"Given {given}, {key!r} is not {describe(sorted(names))}.{perhaps}")
            ordered = isinstance(names, set | frozenset) or list(names) == sorted(names)
            expect(ordered, f"Given {given}, {key!r} should be sorted, but is {describe(names)}.")


def _compared(model: dict, file: dict) -> dict:
    both = [name for name in model if name in file]
    return {
        "missing": [name for name in model if name not in file],
        "unexpected": [name for name in file if name not in model],
        "mismatched": [name for name in both if model[name] != file[name]],
    }


def _from_the_library() -> tuple[dict, dict, dict]:
    """A real case: tensors of two small models with heads, and the library's own report."""
    from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification, logging

    small = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = BertConfig(**small, intermediate_size=4, max_position_embeddings=8, num_labels=2)
    saved, level = BertForSequenceClassification(config), logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with tempfile.TemporaryDirectory() as folder:
            saved.save_pretrained(folder)
            options = {"num_labels": 3, "ignore_mismatched_sizes": True, "output_loading_info": True}
            model, info = BertForTokenClassification.from_pretrained(folder, **options)
    finally:
        logging.set_verbosity(level)
    sides = [{name: tuple(p.shape) for name, p in one.named_parameters()} for one in (model, saved)]
    wanted = {
        "missing": list(info["missing_keys"]),
        "unexpected": list(info["unexpected_keys"]),
        "mismatched": [name for name, *_ in info["mismatched_keys"]],
    }
    return *sides, wanted


@exercise("5.8")
def stored_bytes(answer):
    import torch

    w = torch.zeros(10)
    layer = torch.nn.Linear(3, 4)
    cases = [
        ("w and w again, 10 float32 numbers", {"a": w, "b": w}),
        ("w and its clone, 10 float32 numbers", {"a": w, "b": w.clone()}),
        ("nothing", {}),
        ("5 numbers in bfloat16", {"a": torch.zeros(5, dtype=torch.bfloat16)}),
        ("a matrix and its transpose", {"a": layer.weight, "b": layer.weight.T}),
        ("w, and 3 numbers in int64", {"a": w, "b": torch.arange(3)}),
        ("one number, and w three times", {"s": torch.tensor(1.0), "a": w, "b": w, "c": w}),
        ("the parameters of a Linear from 3 to 4", dict(layer.state_dict())),
    ]
    for given, state in cases:
        once = {}
        for tensor in state.values():
            once[tensor.data_ptr()] = tensor.nbytes
        wanted, before = sum(once.values()), dict(state)
        got = _number(call(answer, state, given=given), given)
        expect(list(state) == list(before), f"Given {given}, your function changed the dict that it was given.")
        perhaps = ""
        if got == wanted:
            continue
        if got == sum(tensor.nbytes for tensor in state.values()):
            perhaps = " Perhaps you counted shared memory twice."
        elif got == sum(tensor.numel() for tensor in state.values()):
            perhaps = " Perhaps you counted numbers, not bytes."
        elif got == 4 * sum(tensor.numel() for tensor in state.values()) or got % 4 == 0 and wanted % 4:
            perhaps = " Perhaps you took four bytes for every number: the dtype decides."
        elif got < wanted:
            perhaps = " Perhaps you took equal numbers, or equal shapes, for shared memory."
        expect(False, f"Given {given}, {got} bytes are not what must be stored.{perhaps}")
