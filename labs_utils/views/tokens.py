"""How a tokenizer cuts a text: a strip of tokens, and several tokenizers aligned over the same characters."""

from html import escape
from itertools import groupby

from labs_utils.attention_maps.labels import kinds, names
from labs_utils.views.palette import BLUE, GREY, ORANGE, VERMILION, tint

_SHOWN_TOKENS, _SHOWN_CHARACTERS = 400, 160
_MONO = "text-align:center;font-family:monospace;"
_BOX = "display:inline-block;margin:2px 1px;padding:1px 5px;border-radius:4px;text-align:center;vertical-align:top;"


def tokens(tokenizer, text: str, pair: str | None = None) -> "TokenStrip":
    """Show the tokens of `text` (and `pair`) with their ids; special, added and unknown ones are marked.

    A tokenizer that works on bytes may cut a character: its tokens stand together over the character's name.

    Args:
        tokenizer: any tokenizer of transformers, fast or slow.
        text, pair: one text, or two that the model gets together.

    >>> from transformers import AutoTokenizer
    >>> from labs_utils import checkpoint
    >>> strip = tokens(AutoTokenizer.from_pretrained(checkpoint("encoder")), "hello world!")
    >>> [row["token"] for row in strip.data]
    ['[CLS]', 'hello', 'world', '!', '[SEP]']
    """
    return TokenStrip(describe(tokenizer, text, pair), text, pair)


def compare_tokenizers(tokenizers: dict, text: str) -> "Comparison":
    """Align several tokenizers, given as `{name: tokenizer}`, over the characters of one text."""
    return Comparison({name: describe(tokenizer, text) for name, tokenizer in tokenizers.items()}, text)


def describe(tokenizer, text: str, pair: str | None = None) -> list[dict]:
    """One dict per token: `index, token, text, id, start, end, special, unknown, added, sequence, part_of, group`.

    `token` is the tokenizer's own name (`Ġcat`), `text` how it reads (`␣cat`). `start` and `end` are offsets into the
    token's own text in characters, None without offsets (a slow tokenizer, a token that the tokenizer put there).
    `added` is a word that was added to the vocabulary. `sequence` is 0 or 1 for the first and second text, None for a
    token that the tokenizer put there. `part_of` names the characters of which the token has some bytes only, mostly
    "", and `group` is then the index of the first token that shares them.
    """
    given = (text,) if pair is None else (text, pair)
    offsets = getattr(tokenizer, "is_fast", False)
    encoded = tokenizer(*given, return_offsets_mapping=offsets, return_special_tokens_mask=True, verbose=False)
    ids, put_there = encoded["input_ids"], encoded["special_tokens_mask"]
    spans: list = encoded["offset_mapping"] if offsets else [None] * len(ids)
    sequences = encoded.sequence_ids() if offsets else encoded.get("token_type_ids", [0] * len(ids))
    parts = zip(ids, tokenizer.convert_ids_to_tokens(ids), names(tokenizer, ids), kinds(tokenizer, ids), strict=True)
    return [
        {
            "index": index,
            "token": token,
            "text": name.text,
            "id": number,
            "start": spans[index][0] if spans[index] and not put_there[index] else None,
            "end": spans[index][1] if spans[index] and not put_there[index] else None,
            "special": kind == "special",
            "unknown": kind == "unknown",
            "added": kind == "added",
            "sequence": None if put_there[index] else sequences[index],
            "part_of": name.part_of,
            "group": name.group,
        }
        for index, (number, token, name, kind) in enumerate(parts)
    ]


class TokenStrip:
    """A row of tokens; `.data` holds one dict per token (see `describe`)."""

    def __init__(self, data: list[dict], text: str, pair: str | None = None):
        self.data, self.text, self.pair = data, text, pair

    def __repr__(self) -> str:
        return " ".join(f"{row['text']}({row['id']})" for row in self.data) or "(no tokens)"

    def _repr_html_(self) -> str:
        shown = self.data[:_SHOWN_TOKENS]
        boxes = "".join(_group(list(rows)) for _, rows in groupby(shown, key=_whose))
        notes = [f"{len(self.data)} tokens"]
        for kind in ("special", "added", "unknown"):
            count = sum(row[kind] for row in self.data)
            notes += [f"{count} {kind}"] * bool(count)
        parts = sum(bool(row["part_of"]) for row in self.data)
        notes += [f"{parts} with a part of a character"] * bool(parts)
        if len(self.data) > _SHOWN_TOKENS:
            notes.append(f"the first {_SHOWN_TOKENS} are shown")
        return f'<div style="line-height:1.25">{boxes}<div style="color:{GREY}">{" · ".join(notes)}</div></div>'


class Comparison:
    """Tokenizers aligned over a text; `.data` is `{name: rows of describe()}`."""

    def __init__(self, data: dict[str, list[dict]], text: str):
        self.data, self.text = data, text

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {' | '.join(row['text'] for row in rows)}" for name, rows in self.data.items())

    def _repr_html_(self) -> str:
        shown = self.text[:_SHOWN_CHARACTERS]
        cell = f"padding:0 1px;{_MONO}"
        head = "".join(f'<td style="{cell}color:{GREY}">{_visible(character)}</td>' for character in shown)
        rows = "".join(self._row(name, rows, len(shown)) for name, rows in self.data.items())
        cut = len(shown) < len(self.text)
        more = f"<div>The first {_SHOWN_CHARACTERS} of {len(self.text)} characters are shown.</div>" if cut else ""
        first = f"<tr><td></td>{head}<td></td></tr>"
        table = f'<table style="border-collapse:separate;border-spacing:1px 4px">{first}{rows}</table>'
        return f'<div style="overflow-x:auto">{table}{more}</div>'

    def _row(self, name: str, rows: list[dict], length: int) -> str:
        """One table row: a token spans the columns of its characters; tokens of one character share a cell."""
        cells, position, spot = [], 0, 0
        pieces = _pieces(rows)
        for start, end, found in pieces:
            if start >= length:
                break
            end = min(end, length)
            if start > position:
                cells.append(f'<td colspan="{start - position}"></td>')
            colour = VERMILION if any(row["unknown"] for row in found) else (BLUE, ORANGE)[spot % 2]
            label = " ".join(escape(row["text"]) for row in found)
            title = ", ".join(f"id {row['id']}" for row in found)
            style = f"background:{tint(colour, 0.28)};border-radius:3px;padding:1px 3px;{_MONO}"
            cells.append(f'<td colspan="{end - start}" title="{escape(title)}" style="{style}">{label}</td>')
            position, spot = end, spot + 1
        if position < length:
            cells.append(f'<td colspan="{length - position}"></td>')
        count = sum(row["sequence"] is not None for row in rows)
        head = f'<td style="text-align:right;padding-right:8px;white-space:nowrap"><b>{escape(name)}</b></td>'
        tail = f'<td style="color:{GREY};padding-left:8px;white-space:nowrap">{count} tokens</td>'
        return f"<tr>{head}{''.join(cells)}{tail}</tr>"


def _pieces(rows: list[dict]) -> list[tuple[int, int, list[dict]]]:
    """Group tokens by the characters they cover: (start, end, tokens), in order, without overlaps."""
    pieces: list[tuple[int, int, list[dict]]] = []
    for row in rows:
        if row["start"] is None or row["end"] == row["start"]:
            continue
        if pieces and row["start"] < pieces[-1][1]:  # several tokens for one character, such as the bytes of an emoji
            start, end, found = pieces[-1]
            pieces[-1] = (start, max(end, row["end"]), [*found, row])
        else:
            pieces.append((row["start"], row["end"], [row]))
    return pieces


def _whose(row: dict) -> int:
    """The same for tokens that share a character, another for every other token."""
    return row["index"] if row["group"] is None else row["group"]


def _group(rows: list[dict]) -> str:
    """The box of a token; tokens that share a character stand over its name."""
    boxes = "".join(map(_box, rows))
    if len(rows) == 1:
        return boxes
    characters = "".join(dict.fromkeys("".join(row["part_of"] for row in rows)))
    return (
        f'<span style="display:inline-block;vertical-align:top">{boxes}'
        f'<span style="display:block;margin:0 3px;border-top:2px solid {GREY};text-align:center;font-size:85%">'
        f"{escape(characters)} in {len(rows)} tokens</span></span>"
    )


def _box(row: dict) -> str:
    is_grey = row["special"] or row["added"]
    colour = GREY if is_grey else VERMILION if row["unknown"] else ORANGE if row["sequence"] == 1 else BLUE
    border = f"border:1px {'dashed' if is_grey else 'solid'} {colour};"
    where = "" if row["start"] is None else f", characters {row['start']} to {row['end']}"
    kind = "".join(f"{kind}, " for kind in ("special", "added", "unknown") if row[kind])
    own = f": {escape(row['token'])}" if row["token"] != row["text"] else ""
    return (
        f'<span title="{kind}token {row["index"]}{where}{own}" style="{_BOX}{border}background:{tint(colour, 0.16)}">'
        f'<span style="font-family:monospace">{escape(row["text"])}</span><br>'
        f'<span style="font-size:80%;color:{GREY}">{row["id"]}</span></span>'
    )


def _visible(text: str) -> str:
    """Escape for HTML and make white space visible."""
    return escape(text).replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣") or "∅"
