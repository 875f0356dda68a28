"""Chapter 05: what learners get wrong, and what they are told."""

import json


def _fresh(config):
    return type(config)().to_dict()


def _changed_of_bert(config):
    from transformers import BertConfig

    plain = BertConfig().to_dict()
    return {name: (plain.get(name), value) for name, value in config.to_dict().items() if plain.get(name) != value}


def _changed_backwards(config):
    fresh = _fresh(config)
    return {name: (value, fresh.get(name)) for name, value in config.to_dict().items() if fresh.get(name) != value}


def _changed_known_names(config):
    mine = config.to_dict()
    return {name: (value, mine[name]) for name, value in _fresh(config).items() if mine.get(name) != value}


def _changed_resets(config):
    config.hidden_size = 1
    return {}


def _gpt2(config, positions=True, last=True, biases=True, norms=2, fused=3, inner=None, head=False):
    width = config.n_embd
    inner = inner or (config.n_inner if config.n_inner is not None else 4 * width)
    layer = fused * width * width + width * width + 2 * width * inner + norms * 2 * width
    layer += (fused * width + width + inner + width) * biases
    tables = (config.vocab_size + config.n_positions * positions + config.vocab_size * head) * width
    return tables + config.n_layer * layer + 2 * width * last


def _header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))


def _header_whole(path):
    return {name: (entry["dtype"], entry["shape"]) for name, entry in _header(path).items() if "dtype" in entry}


def _header_big_endian(path):
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "big")))


def _header_raw(path):
    return {name: entry for name, entry in _header(path).items() if name != "__metadata__"}


def _header_offsets(path):
    return {name: (entry["dtype"], entry["data_offsets"]) for name, entry in _header(path).items() if "dtype" in entry}


def _header_loaded(path):
    from safetensors.torch import load_file

    return {name: (str(tensor.dtype), list(tensor.shape)) for name, tensor in load_file(path).items()}


def _header_with_metadata(path):
    return {name: (entry.get("dtype"), entry.get("shape")) for name, entry in _header(path).items()}


def _path(repo_id, commit, filename, repo_type):
    return f"{repo_type}s--{repo_id.replace('/', '--')}/snapshots/{commit}/{filename}"


def _freed(revisions, sizes, delete, once=True, kept=True):
    gone = [blob for commit in delete for blob in revisions[commit].values()]
    if once:
        gone = set(gone)
    used = [blob for commit, links in revisions.items() if commit not in delete for blob in links.values()]
    return sum(sizes[blob] for blob in gone if not (kept and blob in used))


def _freed_one_by_one(revisions, sizes, delete):
    total = 0
    for commit in delete:  # what each deletion alone would free
        total += _freed(revisions, sizes, [commit])
    return total


def _by_architecture(config, known, trust):
    if "auto_map" in config and trust:
        return config["auto_map"]["AutoModel"].split(".")[1]
    if "architectures" in config:
        return config["architectures"][0]
    return known[config["model_type"]]


def _map_first(config, known, trust):
    if "AutoModel" in config.get("auto_map", {}):
        if not trust:
            raise ValueError("not trusted")
        return config["auto_map"]["AutoModel"].split(".")[1]
    if config.get("model_type") in known:
        return known[config["model_type"]]
    raise ValueError("unknown")


def _always_trusting(config, known, trust):
    if "AutoModel" in config.get("auto_map", {}):
        return config["auto_map"]["AutoModel"].split(".")[1]
    if config.get("model_type") in known:
        return known[config["model_type"]]
    raise ValueError("unknown")


def _whole_reference(config, known, trust):
    if trust and "AutoModel" in config.get("auto_map", {}):
        return config["auto_map"]["AutoModel"]
    if config.get("model_type") in known:
        return known[config["model_type"]]
    raise ValueError("unknown")


def _none_for_unknown(config, known, trust):
    if trust and "AutoModel" in config.get("auto_map", {}):
        return config["auto_map"]["AutoModel"].split(".")[1]
    return known.get(config.get("model_type"))


def _report(model, file, swap=False, shapes=True):
    if swap:
        model, file = file, model
    shared = set(model) & set(file)
    return {
        "missing": sorted(set(model) - set(file)),
        "unexpected": sorted(set(file) - set(model)),
        "mismatched": sorted(name for name in shared if not shapes or model[name] != file[name]),
    }


def _report_by_items(model, file):
    found = _report(model, file)
    return {
        "missing": sorted(name for name, _ in model.items() - file.items()),
        "unexpected": sorted(name for name, _ in file.items() - model.items()),
        "mismatched": found["mismatched"],
    }


def _report_unsorted(model, file):
    return {key: names[::-1] for key, names in _report(model, file).items()}


def _bytes_by_value(state):
    kept = []
    for tensor in state.values():
        if not any(tensor.shape == other.shape and bool((tensor == other).all()) for other in kept):
            kept.append(tensor)
    return sum(tensor.nbytes for tensor in kept)


def _once(state, width=None):
    unique = {tensor.data_ptr(): tensor for tensor in state.values()}
    return sum(tensor.numel() * (width or tensor.element_size()) for tensor in unique.values())


WRONG = {
    "5.1": [
        (_changed_of_bert, "another class's config"),
        (_changed_backwards, "wrong way round"),
        (_changed_known_names, "those are the typos"),
        (_changed_resets, "changed the config"),
        (lambda config: config.to_diff_dict(), "must be a pair"),
        (lambda config: {name: (None, value) for name, value in config.to_dict().items()}, "listed everything"),
        (lambda config: list(config.to_dict()), "a dict was expected"),
    ],
    "5.2": [
        (lambda config: _gpt2(config, positions=False), "position embeddings are missing"),
        (lambda config: _gpt2(config, last=False), "after the last layer"),
        (lambda config: _gpt2(config, norms=1), "two LayerNorms"),
        (lambda config: _gpt2(config, biases=False), "biases"),
        (lambda config: _gpt2(config, fused=1), "query, key and value"),
        (lambda config: _gpt2(config, inner=4 * config.n_embd), "holds only for None"),
        (lambda config: _gpt2(config, head=True), "no output layer"),
        (lambda config: 124_439_808, "more"),
        (lambda config: str(config), "a whole number"),
    ],
    "5.3": [
        (_header_with_metadata, "no tensor"),
        (_header_raw, "should be a pair"),
        (_header_offsets, "took the offsets"),
        (_header_loaded, "as the header does"),
        (_header_big_endian, "raised"),
        (lambda path: list(_header_whole(path)), "a dict was expected"),
        (lambda path: {"a": ("F32", [1])}, "names"),
    ],
    "5.4": [
        (lambda repo, commit, name, kind: _path(repo, commit, name, kind).replace("--", "/"), "two hyphens"),
        (lambda repo, commit, name, kind: _path(repo, commit, name, "model"), "as a plural"),
        (lambda repo, commit, name, kind: _path(repo, commit, name, kind).replace("snapshots", "blobs"), "contents"),
        (lambda repo, commit, name, kind: _path(repo, commit, name, kind).replace("snapshots/", ""), "missing between"),
        (lambda repo, commit, name, kind: _path(repo, "main", name, kind), "folder of its own"),
        (lambda repo, commit, name, kind: _path(repo, commit, name.replace("/", "--"), kind), "stays a folder"),
        (lambda repo, commit, name, kind: "/cache/" + _path(repo, commit, name, kind), "below the cache"),
        (lambda repo, commit, name, kind: [repo, commit, name], "as a string"),
    ],
    "5.5": [
        (lambda *given: _freed(*given, once=False), "for each file that points to it"),
        (lambda *given: _freed(*given, kept=False), "still uses stays"),
        (lambda *given: _freed(*given, once=False, kept=False), "still uses stays"),
        (_freed_one_by_one, "only deleted commits use goes"),
        (lambda revisions, sizes, delete: sum(sizes.values()), "doesn't free"),
        (lambda revisions, sizes, delete: delete, "a whole number"),
    ],
    "5.6": [
        (_by_architecture, "model_type decides"),
        (_map_first, "makes a class"),
        (_always_trusting, "an offer"),
        (_whole_reference, "class's name alone"),
        (_none_for_unknown, "raises a ValueError"),
        (lambda config, known, trust: known[config["model_type"]], "raised KeyError"),
    ],
    "5.7": [
        (lambda model, file: _report(model, file, swap=True), "swapped"),
        (lambda model, file: _report(model, file, shapes=False), "two different shapes"),
        (_report_by_items, "neither missing nor unexpected"),
        (_report_unsorted, "should be sorted"),
        (lambda model, file: sorted(set(model) - set(file)), "a dict was expected"),
        (lambda model, file: {"missing": []}, "keys missing, unexpected and mismatched"),
        (lambda model, file: dict.fromkeys(("missing", "unexpected", "mismatched"), 0), "a list of names"),
    ],
    "5.8": [
        (lambda state: sum(tensor.nbytes for tensor in state.values()), "shared memory twice"),
        (lambda state: sum(tensor.numel() for tensor in state.values()), "numbers, not bytes"),
        (lambda state: _once(state, width=4), "four bytes for every number"),
        (_bytes_by_value, "equal numbers"),
        (lambda state: state, "a whole number"),
    ],
}
