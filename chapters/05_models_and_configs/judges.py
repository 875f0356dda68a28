"""Chapter 05: changed fields, GPT-2 counted, a file's header, the cache, AutoModel's choice, the loading report."""

import json
import random
import tempfile
import tracemalloc
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path, PurePath

import torch

from labs_utils.exercises.vocabulary import Trial, describe, exercise, expect, forbid


def in_words(options: dict) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def dict_of_pairs(trial: Trial, pair: str) -> dict:
    got = trial.returns(dict)
    are_pairs = all(isinstance(value, tuple | list) and len(value) == 2 for value in got.values())
    trial.expect(are_pairs, f"each value should be a pair {pair}, but got {describe(got)}")
    return got


def differing(config, of: str = "", unknown: bool = True, null: bool = True, every: bool = False, back: bool = False):
    """Name → (fresh value, value) where they differ; the options are ways of getting it wrong."""
    import transformers

    fresh = (getattr(transformers, of) if of else type(config))().to_dict()
    mine = {name: value for name, value in config.to_dict().items() if unknown or name in fresh}
    names = [name for name in mine if every or fresh.get(name, ... if null else None) != mine[name]]
    return {name: (fresh.get(name), mine[name])[:: -1 if back else 1] for name in names}


@exercise(
    "5.1",
    mistakes=[
        ("Perhaps the pairs are the wrong way round: the fresh value comes first.", partial(differing, back=True)),
        ("Perhaps you listed every value, also the ones that are the same.", partial(differing, every=True)),
        (
            "Perhaps you compared with another class's config: the fresh one is of the class that was given.",
            partial(differing, of="BertConfig"),
        ),
        (
            "Names that the fresh config doesn't have are missing: those are the typos.",
            partial(differing, unknown=False),
        ),
        ("A name that the fresh config doesn't have counts, also when it is None.", partial(differing, null=False)),
    ],
)
def changed(answer):
    import transformers

    options = [
        {"hidden_size": 384, "num_layers": 3},
        {},
        {"layers": 3, "strange": None},
        {"hidden_size": 768},
        {"num_labels": 5},
    ]
    cases = [("BertConfig", one) for one in options]
    cases += [("DistilBertConfig", {"n_layers": 3, "dropout": 0.0}), ("GPT2Config", {"n_inner": 9, "use_cache": False})]
    draw = random.Random(0)
    names = ["hidden_size", "intermediate_size", "vocab_size", "hidden_layers", "type_vocab_size", "layers"]
    cases += [("BertConfig", {name: draw.randint(1, 9) for name in draw.sample(names, 3)}) for _ in range(4)]
    for of, options in cases:
        config = getattr(transformers, of)(**options)
        before, expected = config.to_dict(), differing(config)
        trial = Trial(answer, config, given=f"{of}({in_words(options)})")
        trial.expect(config.to_dict() == before, "your function changed the config that it was given")
        got = dict_of_pairs(trial, "(fresh, yours)")
        extra, missing = [key for key in got if key not in expected], [key for key in expected if key not in got]
        same = f"{describe(extra)}: the value there is the same as in a fresh {of}.", extra
        left = f"These differ and are not listed: {describe(missing)}.", missing
        trial.equal(got, expected, "your {got} is not what differs from a fresh config", same, left)


def gpt2_size(config, positions=1, last=1, norms=2, biases=1, fused=3, head=0, inner=True) -> int:
    """GPT-2's parameters, tensor by tensor; the options are ways of getting it wrong."""
    width = config.n_embd
    wide = 4 * width if config.n_inner is None or not inner else config.n_inner
    matrices = fused * width * width + width * width + 2 * width * wide
    layer = matrices + biases * (fused * width + width + wide + width) + norms * 2 * width
    tables = config.vocab_size * (1 + head) + config.n_positions * positions
    return tables * width + config.n_layer * layer + 2 * width * last


@exercise(
    "5.2",
    mistakes=[
        ("The position embeddings are missing.", partial(gpt2_size, positions=0)),
        ("The LayerNorm after the last layer is missing.", partial(gpt2_size, last=0)),
        ("Each layer has two LayerNorms, and each LayerNorm a weight and a bias.", partial(gpt2_size, norms=1)),
        ("The biases of the linear layers are missing.", partial(gpt2_size, biases=0)),
        ("c_attn makes three things at once: query, key and value.", partial(gpt2_size, fused=1)),
        ("GPT2Model has no output layer, so there is no matrix for it.", partial(gpt2_size, head=1)),
        ("n_inner was given; four times n_embd holds only for None.", partial(gpt2_size, inner=False)),
    ],
)
def gpt2_parameters(answer):
    from transformers import GPT2Config, GPT2Model

    models = "GPT2Model", "GPT2LMHeadModel", "AutoModel", "AutoModelForCausalLM", "from_config", "num_parameters"
    forbid(answer, *models, because="needs a built model: work the number out from the config")
    cases = [{}, {"n_layer": 0, "vocab_size": 11, "n_positions": 7, "n_embd": 4, "n_head": 1}]
    draw = random.Random(1)
    for inner in (None, 150, 7, draw.randint(1, 200)):
        width, layers, words = 4 * draw.randint(1, 12), draw.randint(1, 5), draw.randint(5, 300)
        shape = {"n_layer": layers, "n_embd": width, "n_head": 2, "n_inner": inner}
        cases.append({"vocab_size": words, "n_positions": draw.randint(4, 90), **shape})
    for options in cases:
        config = GPT2Config(bos_token_id=0, eos_token_id=0, **options)
        with torch.device("meta"):
            expected = GPT2Model(config).num_parameters()
        trial = Trial(answer, config, given=f"GPT2Config({in_words(options)})")
        got = trial.returns(int)
        off = f"{abs(got - expected):,} {'more' if got > expected else 'fewer'}"
        other = "Perhaps one of the printed tensors was left out or counted twice."
        trial.equal(got, expected, f"you count {off} parameters than the model has", other)


def header(path, left_out: str = "__metadata__", shape: str = "shape") -> dict:
    """What the header says of each tensor; the options are ways of getting it wrong."""
    with open(path, "rb") as file:
        entries = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    said = {name: entry for name, entry in entries.items() if not (left_out and name.startswith(left_out))}
    return {name: (entry.get("dtype"), entry.get(shape)) for name, entry in said.items()}


def side_of(pairs: dict, place: int) -> dict:
    return {name: pair[place] for name, pair in pairs.items()}


def safetensors_files(folder: Path) -> Iterator[tuple[str, str]]:
    """(path, what it is): small files, one with a long header, and one with many numbers."""
    from safetensors.torch import save_file

    draw, path = random.Random(2), str(folder / "model.safetensors")
    dtypes = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
    for number in range(5):
        names = ["layer.0.weight", "layer.1.weight", "_scale", "step"][: draw.randint(2, 4)]
        sizes = [[draw.randint(1, 4) for _ in range(draw.randint(0, 3))] for _ in names]
        state = {name: torch.zeros(size, dtype=draw.choice(dtypes)) for name, size in zip(names, sizes, strict=True)}
        save_file(state, path, metadata={"format": "pt"} if number % 2 else None)
        yield path, f"a file with the tensors {', '.join(state)}"
    save_file({f"layer.{number}.attention.output.weight": torch.zeros(1) for number in range(800)}, path)
    yield path, "a file with 800 tensors and a header of more than 65,535 bytes"
    save_file({"a": torch.zeros(8_000_000)}, path)
    yield path, "a file with 8,000,000 numbers"


@exercise(
    "5.3",
    mistakes=[
        ("__metadata__ is no tensor.", partial(header, left_out="")),
        ("A tensor's name may begin with _, too: only __metadata__ is left out.", partial(header, left_out="_")),
        ("Perhaps you took the offsets for the shape.", partial(header, shape="data_offsets")),
    ],
)
def tensors_of(answer):
    from safetensors import safe_open

    libraries = "safetensors", "safetensors.torch", "safetensors.numpy", "safe_open", "load_file", "torch"
    forbid(answer, *libraries, because="reads the file for you: open it and read its header yourself")
    with tempfile.TemporaryDirectory() as folder:
        for path, what in safetensors_files(Path(folder)):
            with safe_open(path, "pt") as file:
                parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
                expected = {name: (part.get_dtype(), part.get_shape()) for name, part in parts.items()}
            tracemalloc.start()
            try:
                trial, most = Trial(answer, path, given=what), tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            got = dict_of_pairs(trial, "(dtype, shape)")
            trial.equal(set(got), set(expected), "your names {got} are not those of the tensors in it", form=set)
            for place, part in enumerate(("dtypes", "shapes")):
                form = partial(side_of, place=place)
                trial.equal(
                    form(got), form(expected), f"your {part} {{got}} are not as the header writes them", form=form
                )
            trial.expect(
                most < 10**7, f"your function took {most:,} bytes of memory. Perhaps you read the numbers, too"
            )


def located(repo_id, commit, filename, repo_type, plural="s", folder="snapshots/", flat="/", name="") -> str:
    """Where the cache has a file; the options are ways of getting it wrong."""
    home = "--".join([repo_type + plural, *repo_id.split("/")])
    return f"{home}/{folder}{name or commit}/{filename.replace('/', flat)}"


@exercise(
    "5.4",
    mistakes=[
        ("The folder's name begins with the kind of the repository, as a plural.", partial(located, plural="")),
        ("The folder's name begins with this repository's kind.", lambda *given: located(*given[:3], "model")),
        ("blobs holds contents; the links with real names are elsewhere.", partial(located, folder="blobs/")),
        ("One folder is missing between the repository's and the commit's.", partial(located, folder="")),
        ("Each commit has a folder of its own.", partial(located, name="main")),
        ("A folder in the file's name stays a folder.", partial(located, flat="--")),
    ],
)
def cached_path(answer):
    from huggingface_hub import try_to_load_from_cache

    commit = "1a2b3c4d"
    cases = [("workbook/minilm", "config.json", "model"), ("dair-ai/emotion", "split/train.parquet", "dataset")]
    cases += [("a-b/c_d.e", "onnx/int8/model.onnx", "model"), ("someone/demo", "app.py", "space")]
    for repo_id, filename, repo_type in cases:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, located(repo_id, commit, filename, repo_type))
            link.parent.mkdir(parents=True)
            link.touch()
            found = try_to_load_from_cache(repo_id, filename, folder, commit, repo_type)
            expected = Path(found).relative_to(folder).as_posix()
        trial = Trial(answer, repo_id, commit, filename, repo_type)
        is_path = isinstance(trial.result, PurePath)
        got = trial.result.as_posix() if is_path else trial.returns(str, "a path as a string")
        inside = not got.startswith("/") and ".." not in got.split("/")
        trial.expect(inside, f"a path below the cache's folder was expected, but got {got!r}")
        hyphens = (
            "In the folder's name, two hyphens stand for the slash of the id, and after the kind.",
            "--" not in got,
        )
        trial.equal(got, expected, "the library looks elsewhere than at {got}", hyphens)


def reclaimed(revisions, sizes, delete, once: bool = True, kept: bool = True, alone: bool = False) -> int:
    """Bytes that become free; the options are ways of getting it wrong."""
    if alone:
        return sum(reclaimed(revisions, sizes, [commit]) for commit in delete)
    gone = [blob for commit in delete for blob in revisions[commit].values()]
    used = [blob for commit, links in revisions.items() if commit not in delete for blob in links.values()]
    return sum(sizes[blob] for blob in (dict.fromkeys(gone) if once else gone) if not (kept and blob in used))


def library_plan(revisions: dict, sizes: dict, delete: list) -> int:
    """What the library says about a cache folder with these links, and with blobs of these sizes."""
    from huggingface_hub import scan_cache_dir

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "models--a--b")
        (home / "refs").mkdir(parents=True)
        (home / "blobs").mkdir()
        for commit, links in revisions.items():
            snapshot = home / "snapshots" / commit
            snapshot.mkdir(parents=True)
            for name, blob in links.items():
                (home / "blobs" / blob).write_bytes(bytes(sizes[blob]))
                (snapshot / name).symlink_to(Path("..", "..", "blobs", blob))
        return scan_cache_dir(folder).delete_revisions(*delete).expected_freed_size


@exercise(
    "5.5",
    mistakes=[
        ("A blob that a kept commit still uses stays on the disk.", partial(reclaimed, kept=False)),
        (
            "Perhaps you counted a blob for each file that points to it; it is there once.",
            partial(reclaimed, once=False),
        ),
        ("A blob that only deleted commits use goes, also if several of them use it.", partial(reclaimed, alone=True)),
    ],
)
def freed(answer):
    example = {name: {"config.json": own, "model.safetensors": "w"} for name, own in (("old", "c1"), ("new", "c2"))}
    sizes = {"c1": 10, "c2": 20, "w": 900}
    cases = [(example, sizes, ["old"]), (example, sizes, ["old", "new"])]
    cases.append(({"a": {"x": "b", "y": "b"}, "z": {"x": "c"}}, {"b": 7, "c": 1}, ["a"]))
    draw = random.Random(3)
    for count in (2, 3, 3, 4, 4):
        sizes = {f"blob{number}": draw.randint(1, 500) for number in range(6)}
        drawn = [draw.choices(list(sizes), k=draw.randint(1, 4)) for _ in range(count)]
        links = [{f"file{place}": blob for place, blob in enumerate(blobs)} for blobs in drawn]
        revisions = {f"commit{number}": one for number, one in enumerate(links)}
        cases.append((revisions, sizes, draw.sample(list(revisions), draw.randint(1, count))))
    for revisions, sizes, delete in cases:
        given = f"revisions={revisions}, sizes={sizes}, delete={delete}"
        trial = Trial(answer, revisions, sizes, delete, given=given)
        trial.equal(trial.returns(int), library_plan(*trial.inputs), "deleting doesn't free {got} bytes")


KNOWN = {"bert": "BertModel", "gpt2": "GPT2Model", "t5": "T5Model"}


def chosen(config, known, trust, by: str = "", entries=("AutoModel",), offer: bool = True, whole: bool = False) -> str:
    """AutoModel's class; the options are ways of getting it wrong."""
    if by in config:
        return config[by][0]
    code = next((one for name, one in config.get("auto_map", {}).items() if name in entries), None)
    if code and (trust or not offer):
        return code if whole else code.split(".")[-1]
    if config.get("model_type") in known:
        return known[config["model_type"]]
    raise ValueError("no class")


def is_refused(decision, *case) -> bool:
    """Whether the function answers with a ValueError."""
    try:
        decision(*case)
    except (Exception, SystemExit) as error:
        return isinstance(error, ValueError)
    return False


@exercise(
    "5.6",
    mistakes=[
        ("architectures only notes what was saved; model_type decides.", partial(chosen, by="architectures")),
        ("An auto_map is an offer: its code may run only if trust is True.", partial(chosen, offer=False)),
        ("That is file and class; the class's name alone was asked for.", partial(chosen, whole=True)),
        ("This auto_map has nothing for AutoModel.", partial(chosen, entries=("AutoModel", "AutoModelForCausalLM"))),
    ],
)
def decide(answer):
    code = {"AutoConfig": "modeling_bag.BagConfig", "AutoModel": "modeling_bag.BagModel"}
    other = {"AutoModelForCausalLM": "modeling_chat.ChatForCausalLM"}
    configs = [{"model_type": "bert", "architectures": ["BertForMaskedLM"]}, {"model_type": "t5"}]
    configs += [{"architectures": ["BertModel"]}, {"model_type": "zebra", "architectures": ["BertModel"]}]
    configs += [{"model_type": kind, "auto_map": offer} for kind in ("gpt2", "bag") for offer in (other, code)]
    for config, trust in ((config, trust) for trust in (None, False, True) for config in configs):
        case, given = (config, KNOWN, trust), f"{config} and trust={trust}"
        is_error = is_refused(chosen, *case)
        if is_refused(answer, *json.loads(json.dumps(case))):
            expect(is_error, f"Given {given}, AutoModel makes a class, but your function raised a ValueError.")
            continue
        trial = Trial(answer, *case, given=given)
        if is_error:
            trial.equal(trial.result, ValueError, "AutoModel raises a ValueError, but got {got}")
        trial.equal(trial.returns(str, "a class's name"), chosen(*case), "AutoModel doesn't make a {got}")


def compared(model, file, swap: bool = False, shapes: bool = True, items: bool = False) -> dict[str, list[str]]:
    """The three lists; the options are ways of getting them wrong."""
    one, other = (file, model) if swap else (model, file)
    both = [name for name in model if name in file and (not shapes or model[name] != file[name])]
    only = [[name for name in a if name not in b or (items and name in both)] for a, b in ((one, other), (other, one))]
    return {"missing": sorted(only[0]), "unexpected": sorted(only[1]), "mismatched": sorted(both)}


@cache
def library_report() -> tuple[dict, dict, dict]:
    """Tensors of two small models with heads, and the library's own report."""
    from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification, logging

    small = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    saved, level = BertForSequenceClassification(BertConfig(**small, intermediate_size=4)), logging.get_verbosity()
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        saved.save_pretrained(folder)
        options = {"num_labels": 3, "ignore_mismatched_sizes": True, "output_loading_info": True}
        model, info = BertForTokenClassification.from_pretrained(folder, **options)
    logging.set_verbosity(level)
    found = info["missing_keys"], info["unexpected_keys"], [name for name, *_ in info["mismatched_keys"]]
    report = dict(zip(("missing", "unexpected", "mismatched"), map(sorted, found), strict=True))
    return *({name: tuple(one.shape) for name, one in side.named_parameters()} for side in (model, saved)), report


@exercise(
    "5.7",
    mistakes=[
        ("Perhaps the sides are swapped: missing is what the file doesn't have.", partial(compared, swap=True)),
        ("Only a name on both sides, with two different shapes, is a mismatch.", partial(compared, shapes=False)),
        ("A name with another shape is neither missing nor unexpected.", partial(compared, items=True)),
    ],
)
def loading_report(answer):
    pairs = [({"a": (2, 3), "b": (2,)}, {"a": (5, 3), "c": (2,)}), ({"a": (2, 3)}, {"a": (3, 2)}), ({"a": (1,)}, {})]
    draw = random.Random(4)
    for _ in range(20):
        names = [draw.sample("abcdefgh", 5) for _ in range(2)]
        pairs.append([{name: tuple(draw.choices((1, 2), k=2)) for name in side} for side in names])
    for model, file, expected in [*((*pair, compared(*pair)) for pair in pairs), library_report()]:
        trial = Trial(answer, model, file)
        got = trial.returns(dict)
        keys = f"the keys missing, unexpected and mismatched were expected, not {describe([*got])}"
        trial.expect(got.keys() == expected.keys(), keys)
        for key, names in expected.items():
            listed = isinstance(got[key], list | tuple)
            trial.expect(listed, f"{key!r} should be a list of names, but is {describe(got[key])}")
            order = "It should be sorted.", sorted(got[key], key=str) == names
            trial.equal(got[key], names, f"{key!r} is not {{got}}", order, form=lambda report, key=key: report[key])


def stored(state, once: bool = True, width: int = 0) -> int:
    """The bytes of a state dict; the options are ways of getting it wrong."""
    places = {one.data_ptr() if once else name: one for name, one in state.items()}
    return sum(one.numel() * (width or one.element_size()) for one in places.values())


def stored_by_value(state) -> int:
    kept: list = []
    for tensor in state.values():
        if not any(tensor.shape == other.shape and bool((tensor == other).all()) for other in kept):
            kept.append(tensor)
    return stored(dict(enumerate(kept)))


@exercise(
    "5.8",
    mistakes=[
        ("Perhaps you counted shared memory twice.", partial(stored, once=False)),
        ("Perhaps you counted numbers, not bytes.", partial(stored, width=1)),
        ("Perhaps you took equal numbers, or equal shapes, for shared memory.", stored_by_value),
        ("Perhaps you took four bytes for every number: the dtype decides.", partial(stored, width=4)),
    ],
)
def stored_bytes(answer):
    w, layer = torch.zeros(10), torch.nn.Linear(3, 4)
    cases = {
        "w and w again, 10 float32 numbers": {"a": w, "b": w},
        "w and its clone, 10 float32 numbers": {"a": w, "b": w.clone()},
        "5 numbers in bfloat16": {"a": torch.zeros(5, dtype=torch.bfloat16)},
        "a matrix and its transpose": {"a": layer.weight, "b": layer.weight.T},
        "one number, 3 numbers in int64, and w twice": {"s": torch.ones(()), "n": torch.arange(3), "a": w, "b": w},
        "the parameters of a Linear from 3 to 4": layer.state_dict(),
    }
    for what, state in cases.items():
        # an OrderedDict, as `state_dict()` gives it: a Trial hands it over as it is, with what its tensors share
        trial = Trial(answer, OrderedDict(state), given=what)
        trial.expect(list(trial.inputs[0]) == list(state), "your function changed the dict that it was given")
        trial.equal(trial.returns(int), stored(state), "{got} bytes are not what must be stored")
