"""A language model in one GGUF file, made an ordinary checkpoint folder: weights in half precision, config, tokenizer.

Reads the quantized file with llama.cpp's own `gguf` package (numpy only; no torch, and nothing of the package that
brought the file). The layout is https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Llama models with a
byte-level BPE are understood; anything else is refused.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from labs_utils.errors import WorkbookError

# GGUF's name of a tensor -> transformers' name; `{}` is the layer
_OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(source: Path, into: Path) -> None:
    """Write the checkpoint of the GGUF file `source` to the empty folder `into`, with a progress bar.

    The weights are float16, and the config says float32: half precision is for the disk, not for training. The GGUF
    file itself is kept beside them, for the lessons that open it.

    Raises:
        WorkbookError: the file is no GGUF, or holds another architecture, tokenizer or type of numbers.
    """
    from gguf import GGUFReader

    try:
        reader = GGUFReader(source)
    except (ValueError, OSError, IndexError) as error:
        raise WorkbookError(f"{source.name} could not be read as a GGUF file ({error}). Fetch it again.") from None
    fields = {name: field.contents() for name, field in reader.fields.items()}
    _must(source, fields, "general.architecture", "llama")
    _must(source, fields, "tokenizer.ggml.model", "gpt2")
    _write_json(into / "config.json", _config(fields))
    _write_json(into / "generation_config.json", {f"{one}_token_id": _id(fields, one) for one in ("bos", "eos", "pad")})
    _write_weights(reader, fields, into / "model.safetensors")
    _write_tokenizer(fields, into)
    try:
        (into / source.name).hardlink_to(source)
    except OSError:  # a file system without links
        shutil.copyfile(source, into / source.name)


def _must(source: Path, fields: dict, name: str, value: str) -> None:
    if fields.get(name) != value:
        raise WorkbookError(
            f"{source.name} has {name} {fields.get(name)!r}, and only {value!r} is understood here. "
            "transformers itself may read it: from_pretrained(folder, gguf_file=...)."
        )


def _id(fields: dict, name: str) -> int:
    return fields[f"tokenizer.ggml.{ {'pad': 'padding', 'unk': 'unknown'}.get(name, name) }_token_id"]


def _config(fields: dict) -> dict[str, Any]:
    heads = fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": fields["llama.embedding_length"] // heads,
        "hidden_act": "silu",
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": round(fields["llama.attention.layer_norm_rms_epsilon"], 10),  # a float32 there
        "rope_parameters": {"rope_theta": fields["llama.rope.freq_base"], "rope_type": "default"},
        "tie_word_embeddings": True,
        "bos_token_id": _id(fields, "bos"),
        "eos_token_id": _id(fields, "eos"),
        "pad_token_id": _id(fields, "pad"),
        "dtype": "float32",
    }


def _write_weights(reader: Any, fields: dict, path: Path) -> None:
    from gguf.quants import dequantize
    from safetensors.numpy import save_file
    from tqdm import tqdm

    heads = {"attn_q": fields["llama.attention.head_count"], "attn_k": fields["llama.attention.head_count_kv"]}
    weights = {}
    for tensor in tqdm(reader.tensors, desc="Unpacking the weights", unit="tensor"):
        try:
            values: Any = dequantize(tensor.data, tensor.tensor_type).astype("float16")
        except NotImplementedError:
            raise WorkbookError(
                f"{tensor.name} holds numbers of the type {tensor.tensor_type.name}, which can't be unpacked here. "
                "Take another quantization of the model."
            ) from None
        part = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        weights[_name(tensor.name, part)] = _unpermuted(values, heads[part]) if part in heads else values
    save_file(weights, path, metadata={"format": "pt"})


def _name(name: str, part: str) -> str:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    if part not in _INSIDE:
        raise WorkbookError(f"The GGUF file holds a tensor {name!r}, which a Llama model of this kind doesn't have.")
    return f"model.layers.{name.split('.')[1]}.{_INSIDE[part]}.weight"


def _unpermuted(weight: Any, heads: int) -> Any:
    """Undo llama.cpp's order of rows: it keeps the two numbers that a rotation turns side by side, transformers keeps
    the first numbers of all pairs, then the second ones."""
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _write_tokenizer(fields: dict, into: Path) -> None:
    """A byte-level BPE; `smollm` writes every digit as a token of its own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    stations: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if fields["tokenizer.ggml.pre"] == "smollm":
        stations.insert(0, pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(stations)
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.save(str(into / "tokenizer.json"), pretty=False)
    settings = {f"{name}_token": tokens[_id(fields, name)] for name in ("bos", "eos", "pad", "unk")}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": fields["llama.context_length"]}
    settings |= {"clean_up_tokenization_spaces": False, "additional_special_tokens": special}
    if template := fields.get("tokenizer.chat_template"):
        settings["chat_template"] = template
    _write_json(into / "tokenizer_config.json", settings)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
