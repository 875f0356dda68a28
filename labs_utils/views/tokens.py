"""How a tokenizer cuts a text: a strip of tokens, and several tokenizers aligned over the same characters."""

from html import escape

from labs_utils.views.palette import BLUE, GREY, ORANGE, VERMILION, tint

_SHOWN_TOKENS, _SHOWN_CHARACTERS = 400, 160
_MONO = "text-align:center;font-family:monospace;"
_BOX = "display:inline-block;margin:2px 1px;padding:1px 5px;border-radius:4px;text-align:center;vertical-align:top;"


def tokens(tokenizer, text: str, pair: str | None = None) -> "TokenStrip":
    """Show the tokens of `text` (and `pair`) with their ids; special tokens and unknowns are marked.

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
    """One dict per token: `index, token, id, start, end, special, unknown, sequence`.

    `start` and `end` are offsets into the token's own text in characters, None without offsets (a slow tokenizer, a
    special token). `sequence` is 0 or 1 for the first and second text, None for a special token.
    """
    given = (text,) if pair is None else (text, pair)
    offsets = getattr(tokenizer, "is_fast", False)
    encoded = tokenizer(*given, return_offsets_mapping=offsets, return_special_tokens_mask=True, verbose=False)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    spans: list = encoded["offset_mapping"] if offsets else [None] * len(ids)
    sequences = encoded.sequence_ids() if offsets else encoded.get("token_type_ids", [0] * len(ids))
    names = tokenizer.convert_ids_to_tokens(ids)
    return [
        {
            "index": index,
            "token": names[index],
            "id": ids[index],
            "start": spans[index][0] if spans[index] and not special[index] else None,
            "end": spans[index][1] if spans[index] and not special[index] else None,
            "special": bool(special[index]) and ids[index] != tokenizer.unk_token_id,
            "unknown": ids[index] == tokenizer.unk_token_id,
            "sequence": None if special[index] else sequences[index],
        }
        for index in range(len(ids))
    ]


class TokenStrip:
    """A row of tokens; `.data` holds one dict per token (see `describe`)."""

    def __init__(self, data: list[dict], text: str, pair: str | None = None):
        self.data, self.text, self.pair = data, text, pair

    def __repr__(self) -> str:
        return " ".join(f"{row['token']}({row['id']})" for row in self.data) or "(no tokens)"

    def _repr_html_(self) -> str:
        boxes = "".join(_box(row) for row in self.data[:_SHOWN_TOKENS])
        unknown = sum(row["unknown"] for row in self.data)
        special = sum(row["special"] for row in self.data)
        notes = (
            [f"{len(self.data)} tokens"]
            + [f"{special} special"] * bool(special)
            + [f"{unknown} unknown"] * bool(unknown)
        )
        if len(self.data) > _SHOWN_TOKENS:
            notes.append(f"the first {_SHOWN_TOKENS} are shown")
        return f'<div style="line-height:1.25">{boxes}<div style="color:{GREY}">{" · ".join(notes)}</div></div>'


class Comparison:
    """Tokenizers aligned over a text; `.data` is `{name: rows of describe()}`."""

    def __init__(self, data: dict[str, list[dict]], text: str):
        self.data, self.text = data, text

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {' | '.join(row['token'] for row in rows)}" for name, rows in self.data.items())

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
            label = " ".join(_visible(row["token"]) for row in found)
            title = ", ".join(f"id {row['id']}" for row in found)
            style = f"background:{tint(colour, 0.28)};border-radius:3px;padding:1px 3px;{_MONO}"
            cells.append(f'<td colspan="{end - start}" title="{escape(title)}" style="{style}">{label}</td>')
            position, spot = end, spot + 1
        if position < length:
            cells.append(f'<td colspan="{length - position}"></td>')
        count = sum(not row["special"] for row in rows)
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


def _box(row: dict) -> str:
    colour = GREY if row["special"] else VERMILION if row["unknown"] else ORANGE if row["sequence"] == 1 else BLUE
    border = f"border:1px {'dashed' if row['special'] else 'solid'} {colour};"
    where = "" if row["start"] is None else f", characters {row['start']} to {row['end']}"
    kind = "special, " if row["special"] else "unknown, " if row["unknown"] else ""
    return (
        f'<span title="{kind}token {row["index"]}{where}" style="{_BOX}{border}background:{tint(colour, 0.16)}">'
        f'<span style="font-family:monospace">{_visible(row["token"])}</span><br>'
        f'<span style="font-size:80%;color:{GREY}">{row["id"]}</span></span>'
    )


def _visible(text: str) -> str:
    """Escape for HTML and make white space visible."""
    return escape(text).replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣") or "∅"
