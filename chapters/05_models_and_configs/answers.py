"""Chapter 05: right answers in other styles, and wrong ones beyond those that the judges know by themselves."""

import json
import os
import struct
from collections import Counter
from pathlib import Path, PurePosixPath


def changed_step_by_step(config):
    fresh, found = config.__class__().to_dict(), {}
    for name, value in config.to_dict().items():
        if name not in fresh:
            found[name] = (None, value)
        elif fresh[name] != value:
            found[name] = [fresh[name], value]
    return found


def changed_with_a_sentinel(config):
    nothing, fresh = object(), type(config)().to_dict()
    mine = config.to_dict()
    names = [name for name in mine if fresh.get(name, nothing) != mine[name]]
    return dict(zip(names, [(fresh.get(name), mine[name]) for name in names], strict=True))


def changed_but_one(config):
    return {name: pair for name, pair in changed_step_by_step(config).items() if name != "hidden_size"}


def changed_resets(config):
    config.hidden_size = 1
    return {}


def gpt2_from_shapes(config):
    import math

    width, inner = config.n_embd, config.n_inner
    inner = 4 * width if inner is None else inner
    layer = [(2, width), (width, 3 * width), (3 * width,), (width, width), (width,)]
    layer += [(2, width), (width, inner), (inner,), (inner, width), (width,)]
    shapes = [(config.vocab_size, width), (config.n_positions, width), *layer * config.n_layer, (2, width)]
    return sum(math.prod(shape) for shape in shapes)


def gpt2_multiplied_out(config):
    import numpy as np

    h, n = config.hidden_size, config.n_layer
    i = 4 * h if config.n_inner is None else config.n_inner
    return np.int64(h * (config.vocab_size + config.n_positions + 2) + n * (4 * h * h + 2 * h * i + 9 * h + i))


def gpt2_built(config):
    import torch
    from transformers import GPT2Model

    with torch.device("meta"):
        return GPT2Model(config).num_parameters()


def header_with_struct(path):
    with Path(path).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length).decode())
    return {name: [one["dtype"], tuple(one["shape"])] for name, one in entries.items() if name != "__metadata__"}


def header_by_descriptor(path):
    descriptor = os.open(path, os.O_RDONLY)
    length = sum(byte << 8 * place for place, byte in enumerate(os.read(descriptor, 8)))
    text = os.read(descriptor, length)
    os.close(descriptor)
    return {key: (one["dtype"], one["shape"]) for key, one in json.loads(text).items() if "dtype" in one}


def header_of_two_bytes(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(2), "little")
        file.seek(8)
        return tensors(json.loads(file.read(length)))


def header_big_endian(path):
    with open(path, "rb") as file:
        return tensors(json.loads(file.read(int.from_bytes(file.read(8), "big"))))


def header_of_the_whole_file(path):
    data = Path(path).read_bytes()
    return tensors(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))


def tensors(entries):
    return {key: (one["dtype"], one["shape"]) for key, one in entries.items() if key != "__metadata__"}


def header_raw(path):
    with open(path, "rb") as file:
        entries = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name: entry for name, entry in entries.items() if name != "__metadata__"}


def header_as_torch_says(path):
    return {name: (dtype.lower(), shape) for name, (dtype, shape) in header_with_struct(path).items()}


def header_by_library(path):
    from safetensors.torch import load_file

    return {name: (str(tensor.dtype), list(tensor.shape)) for name, tensor in load_file(path).items()}


def path_by_format(repo_id, commit, filename, repo_type):
    return "{}s--{}/snapshots/{}/{}".format(repo_type, repo_id.replace("/", "--"), commit, filename)


def path_by_pathlib(repo_id, commit, filename, repo_type):
    owner, name = repo_id.split("/")
    return PurePosixPath(f"{repo_type}s--{owner}--{name}") / "snapshots" / commit / filename


def freed_by_counting(revisions, sizes, delete):
    uses = Counter(blob for links in revisions.values() for blob in set(links.values()))
    for commit in delete:
        uses.subtract(set(revisions[commit].values()))
    return sum(sizes[blob] for blob, count in uses.items() if not count)


def freed_by_difference(revisions, sizes, delete):
    def used(commits):
        blobs = {blob for commit in commits for blob in revisions[commit].values()}
        return sum(size for blob, size in sizes.items() if blob in blobs)

    return used(revisions) - used(set(revisions) - set(delete))


def freed_by_removing(revisions, sizes, delete):
    gone = {blob for commit in delete for blob in revisions.pop(commit).values()}
    return sum(sizes[blob] for blob in gone - {blob for links in revisions.values() for blob in links.values()})


def decide_by_trying(config, known, trust):
    try:
        if trust is not True:
            raise KeyError
        return config["auto_map"]["AutoModel"].split(".")[1]
    except KeyError:
        if config.get("model_type") not in known:
            raise ValueError from None
    return known[config["model_type"]]


def decide_with_a_list(config, known, trust):
    offers = [known[kind] for kind in known if kind == config.get("model_type")]
    if trust and "AutoModel" in config.get("auto_map", ()):
        offers.insert(0, config["auto_map"]["AutoModel"].rsplit(".", 1)[-1])
    if not offers:
        raise ValueError(config)
    return offers[0]


def decide_by_the_map_first(config, known, trust):
    if "AutoModel" in config.get("auto_map", {}) and not trust:
        raise ValueError("not trusted")
    return decide_with_a_list(config, known, trust)


def decide_with_none(config, known, trust):
    try:
        return decide_with_a_list(config, known, trust)
    except ValueError:
        return None


def report_by_sets(model, file):
    shared = set(model) & set(file)
    found = {"missing": sorted(set(model) - shared), "unexpected": sorted(set(file) - shared)}
    found["mismatched"] = sorted({name for name, _ in model.items() ^ file.items()} & shared)
    return found


def report_step_by_step(model, file):
    missing, unexpected, mismatched = [], [], []
    for name in sorted({**model, **file}):
        if name not in file:
            missing.append(name)
        elif name not in model:
            unexpected.append(name)
        elif model[name] != file[name]:
            mismatched.append(name)
    return {"mismatched": tuple(mismatched), "missing": missing, "unexpected": unexpected}


def report_backwards(model, file):
    return {key: list(names)[::-1] for key, names in report_by_sets(model, file).items()}


def report_in_sets(model, file):
    return {key: set(names) for key, names in report_by_sets(model, file).items()}


def bytes_in_a_loop(state):
    seen, total = set(), 0
    for tensor in state.values():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            total += tensor.nbytes
    return total


def bytes_of_the_largest(state):
    once = {}
    for tensor in state.values():
        once[tensor.data_ptr()] = max(once.get(tensor.data_ptr(), 0), tensor.untyped_storage().nbytes())
    return sum(once.values())


def bytes_by_object(state):
    return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in state.values()}.values())


def bytes_and_clear(state):
    total = bytes_in_a_loop(state)
    state.clear()
    return total


RIGHT = {
    "5.1": [changed_step_by_step, changed_with_a_sentinel],
    "5.2": [gpt2_from_shapes, gpt2_multiplied_out],
    "5.3": [header_with_struct, header_by_descriptor],
    "5.4": [path_by_format, path_by_pathlib],
    "5.5": [freed_by_counting, freed_by_difference],
    "5.6": [decide_by_trying, decide_with_a_list],
    "5.7": [report_by_sets, report_step_by_step],
    "5.8": [bytes_in_a_loop, bytes_of_the_largest],
}

WRONG = {
    "5.1": [
        (changed_resets, "changed the config"),
        (changed_but_one, "are not listed: ['hidden_size']"),
        (lambda config: changed_step_by_step(config) | {"pad_token_id": (0, 0)}, "same as in a fresh BertConfig"),
        (lambda config: config.to_diff_dict(), "should be a pair"),
        (lambda config: list(config.to_dict()), "a dict was expected"),
    ],
    "5.2": [
        (gpt2_built, "uses GPT2Model"),
        (lambda config: gpt2_from_shapes(config) / 1, "a whole number"),
        (lambda config: 124_439_808, "more parameters"),
    ],
    "5.3": [
        (header_of_two_bytes, "header of more than 65,535 bytes, your function raised"),
        (header_big_endian, "raised"),
        (header_of_the_whole_file, "Perhaps you read the numbers"),
        (header_raw, "should be a pair"),
        (header_as_torch_says, "your dtypes"),
        (header_by_library, "Your code uses"),
        (lambda path: list(header_with_struct(path)), "a dict was expected"),
        (lambda path: {"a": ("F32", [1])}, "your names"),
    ],
    "5.4": [
        (lambda *given: "/cache/" + path_by_format(*given), "below the cache"),
        (lambda *given: path_by_format(*given).replace("--", "-"), "two hyphens"),
        (lambda *given: path_by_format(*given).replace("--", "/"), "two hyphens"),
        (lambda *given: path_by_format(*given).replace("1a2b", "main"), "looks elsewhere"),
        (lambda *given: list(given), "as a string"),
    ],
    "5.5": [
        (freed_by_removing, "changed revisions"),
        (lambda revisions, sizes, delete: sum(sizes.values()), "doesn't free"),
        (lambda revisions, sizes, delete: delete, "a whole number"),
    ],
    "5.6": [
        (decide_by_the_map_first, "makes a class"),
        (decide_with_none, "raises a ValueError, but got None"),
        (lambda config, known, trust: known[config["model_type"]], "raised KeyError"),
        (lambda config, known, trust: ["BertModel"], "a class's name was expected"),
    ],
    "5.7": [
        (report_backwards, "should be sorted"),
        (report_in_sets, "a list of names"),
        (lambda model, file: sorted(set(model) - set(file)), "a dict was expected"),
        (lambda model, file: {"missing": []}, "keys missing, unexpected and mismatched"),
    ],
    "5.8": [
        (bytes_by_object, "shared memory twice"),
        (bytes_and_clear, "changed the dict"),
        (lambda state: bytes_in_a_loop(state) / 1, "a whole number"),
        (lambda state: 0, "not what must be stored"),
    ],
}
