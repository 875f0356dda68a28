"""Tokens as text for people, and which of them stand for no text: special, unknown and added ones.

A tokenizer that works on bytes cuts characters: 你 may be two tokens, one with two of its three bytes and one with the
last. Such a piece is named after its character, with its own bytes in hexadecimal: 你‹e4 bd›, then 你‹a0›.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")  # how SentencePiece names the bytes of a character that it has no piece for
_SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}
_JOINS_EMOJI = "\u200d\ufe0f"


class Name(NamedTuple):
    """How a token reads.

    Attributes:
        text: for people; never empty.
        part_of: the characters of which the token holds some bytes only; mostly "".
        group: the place of the first of the tokens that share these characters; None where there are none.
    """

    text: str
    part_of: str = ""
    group: int | None = None


def names(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> list[Name]:
    """How the tokens with these ids read, one after another."""
    tokens = tokenizer.convert_ids_to_tokens(list(ids))
    named = _named(_bytes_of(tokenizer, ids, tokens))
    # A model may have more rows than its tokenizer has tokens: such an id has no text at all.
    return [
        Name(f"‹id {number}›") if token is None else name
        for token, number, name in zip(tokens, ids, named, strict=True)
    ]


def following(tokenizer: "PreTrainedTokenizerBase", before: Sequence[int], ids: Sequence[int]) -> list[str]:
    """How each of `ids` reads when it comes next after `before`: it may complete a character that was begun."""
    given = list(before)[-3:]
    whole = [*given, *ids]
    tokens = tokenizer.convert_ids_to_tokens(whole)
    raw = _bytes_of(tokenizer, whole, tokens)
    found = [_named([*raw[: len(given)], one])[-1].text for one in raw[len(given) :]]
    there = tokens[len(given) :]
    return [f"‹id {number}›" if token is None else text for token, number, text in zip(there, ids, found, strict=True)]


def label(token: str) -> str:
    """A token as text where its tokenizer isn't known; markers of a space become ␣, line breaks and tabs visible.

    >>> [label(token) for token in ("Ġcat", "▁cat", "##ing", "</w>")]
    ['␣cat', '␣cat', '##ing', '</w>']
    """
    try:
        return _visible(bytes(_BYTES[letter] for letter in token).decode("utf-8"))
    except (KeyError, UnicodeDecodeError):  # "café", or a piece of a character
        return _visible(token.replace("▁", " "))


def kinds(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> list[str]:
    """For every id `"special"`, `"unknown"`, `"added"` (a word that was added to the vocabulary), or `""`.

    A token that means unknown and something else besides, such as the end of a text, is special.
    """
    added, special = tokenizer.added_tokens_decoder, set(tokenizer.all_special_ids)
    own = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id}
    unknown = {tokenizer.unk_token_id} - own if _can_be_unknown(tokenizer) else set()

    def kind(number: int) -> str:
        if number in unknown:
            return "unknown"
        if number in special or (number in added and added[number].special):
            return "special"
        return "added" if number in added else ""

    return [kind(number) for number in ids]


def is_byte_level(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the tokens are bytes in GPT-2's alphabet, in which `Ġ` is a space and 你 is `ä½ł`."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return hasattr(tokenizer, "byte_encoder")
    parts = (backend.decoder, backend.pre_tokenizer)
    return any(part is not None and b'"ByteLevel"' in part.__getstate__() for part in parts)


def _can_be_unknown(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the tokenizer ever gives the unknown token: a BPE over bytes names one and never needs it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is None or getattr(backend.model, "unk_token", "") is not None


def _bytes_of(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int], tokens: Sequence[str | None]) -> list[bytes]:
    """The bytes of text that these tokens stand for."""
    added = tokenizer.added_tokens_decoder
    alphabet = _BYTES if is_byte_level(tokenizer) else {}
    return [_raw(token, number in added, alphabet) for token, number in zip(tokens, ids, strict=True)]


def _raw(token: str | None, is_added: bool, alphabet: dict[str, int]) -> bytes:
    """The bytes of text that a token stands for; an added token stands for itself."""
    if is_added or token is None:
        return (token or "").encode("utf-8", "replace")
    if alphabet:
        return b"".join(bytes([alphabet[letter]]) if letter in alphabet else letter.encode("utf-8") for letter in token)
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode("utf-8", "replace")


def _named(raw: list[bytes]) -> list[Name]:
    """How tokens read that stand for these bytes."""
    whole = b"".join(raw)
    owner = [place for place, piece in enumerate(raw) for _ in piece]
    texts, parts = [""] * len(raw), [""] * len(raw)
    group: list[int | None] = [None] * len(raw)
    for begin, end, character in _characters(whole):
        first, last = owner[begin], owner[end - 1]
        if character and first == last:
            texts[first] += _visible(character)
            continue
        for place in range(first, last + 1):
            own = [whole[at] for at in range(begin, end) if owner[at] == place]
            if not own:  # an empty token in between
                continue
            texts[place] = _with_bytes(texts[place], character, own)
            if character:
                parts[place] += character
                group[place] = group[first] if group[first] is not None else first
    return [Name(text or "∅", part, at) for text, part, at in zip(texts, parts, group, strict=True)]


def _with_bytes(text: str, character: str, own: list[int]) -> str:
    """`text` with some bytes of a character after it; bytes of no character stand together."""
    shown = " ".join(f"{byte:02x}" for byte in own)
    if not character and re.search(r"(^|[^\w])‹[0-9a-f ]+›$", text):
        return f"{text[:-1]} {shown}›"
    return f"{text}{_visible(character) if character else ''}‹{shown}›"


def _characters(whole: bytes) -> Iterator[tuple[int, int, str]]:
    """Every character with where its bytes begin and end; "" for a byte that belongs to none."""
    begin = 0
    while begin < len(whole):
        first = whole[begin]
        length = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        try:
            end, character = begin + length, whole[begin : begin + length].decode("utf-8")
        except UnicodeDecodeError:
            end, character = begin + 1, ""
        yield begin, end, character
        begin = end


def _visible(text: str) -> str:
    """White space and what prints nothing, made visible."""
    shown = (_SIGNS.get(one) or (one if _prints(one) else f"‹U+{ord(one):04X}›") for one in text)
    return "".join(shown) or "∅"


def _prints(character: str) -> bool:
    return character in _JOINS_EMOJI or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")


def _byte_alphabet() -> dict[str, int]:
    """`{letter: byte}`: printable Latin-1 letters stand for themselves, the others follow from U+0100 on."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_alphabet()
