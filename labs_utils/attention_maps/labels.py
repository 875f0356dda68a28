"""Tokens as text for people."""


def label(token: str) -> str:
    """A token as text: markers of a space become ␣, line breaks and tabs become visible.

    >>> [label(token) for token in ("Ġcat", "▁cat", "##ing", "</w>")]
    ['␣cat', '␣cat', '##ing', '</w>']
    """
    text = _from_bytes(token).replace("▁", "␣").replace(" ", "␣")
    return text.replace("\n", "↵").replace("\t", "⇥") or "∅"


def _from_bytes(token: str) -> str:
    """Undo the alphabet of byte-level tokenizers (GPT-2's), in which `Ġ` is a space and 你 is `ä½ł`."""
    try:
        raw = bytes(_BYTES[letter] for letter in token)
    except KeyError:
        return token  # some letter is not of that alphabet: an ordinary token
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return token  # a piece of a character, or a word such as "café" of another kind of tokenizer


def _byte_alphabet() -> dict[str, int]:
    """`{letter: byte}`: printable Latin-1 letters stand for themselves, the others follow from U+0100 on."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_alphabet()
