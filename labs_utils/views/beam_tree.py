"""Beam search as a tree: which beginnings of a text lived on, which died at which step, and what would have saved them.

The library searches; from the scores that it hands over each step is repeated here, so the tree is that of
`generate(num_beams=…)`. It is one piece of inline SVG, which a slider redraws: a saved page holds what was seen last.
"""

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from labs_utils.attention_maps.labels import following
from labs_utils.attention_maps.running import unwrapped
from labs_utils.errors import WorkbookError
from labs_utils.views.generation import _continuing
from labs_utils.views.palette import BLUE, GREEN, GREY, tint
from labs_utils.widget_bundle import widget_bundle

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WITHOUT_KERNEL = "A slider for the step: run this cell to use it."
_TOP, _ROW, _CARD, _GAP, _LETTER, _LONGEST = 40, 46, 36, 22, 7.4, 16  # pixels of the drawing, letters of a name


def beam_tree(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    num_beams: int = 3,
    steps: int = 8,
) -> "BeamTree":
    """Show how beam search goes on with `text`: the survivors of each step, and when and why the others died.

    The search is that of `model.generate(num_beams=…, do_sample=False, max_new_tokens=steps)`. With a kernel there is a
    slider for the step. A page without a kernel shows the step at which the notebook was saved, at first the last.

    Args:
        model, tokenizer: a causal language model and its tokenizer.
        num_beams: how many beginnings survive a step, at least 2.
        steps: how many tokens are appended, at least 1.

    Raises:
        WorkbookError: a model that continues no text, a text without tokens, or a number that is too small.

    >>> from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel
    >>> from labs_utils import checkpoint
    >>> model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=30522, eos_token_id=102))
    >>> shown = beam_tree(model, AutoTokenizer.from_pretrained(checkpoint("encoder")), "Once upon", steps=4)
    >>> [row["rank"] for row in shown.data if row["step"] == 4]
    [1, 2, 3]
    """
    return BeamTree(_continuing(unwrapped(model)), tokenizer, text, num_beams, steps)


class BeamTree:
    """The tree of a beam search.

    Attributes:
        data: one dict for each beginning that survived a step, by step and rank: `step, rank, parent, id, token, text,
            log_probability, state, best_next, needed, score, winner`. `parent` is the place of a row in this list, None
            at step 1; `log_probability` is summed. `state` says what became of it at the next step: "grew" (it has
            survivors), "died" (it has none), "ended" (its last token is the end of a text), "complete" (the last step
            came), "given up" (the search stopped, as nothing could beat the texts that had ended). A dead one's
            best continuation would have had `best_next`; the survivor with the least had `needed`. `score` is
            `log_probability / tokens`, by which whole texts are compared. `winner`: whether it is part of the answer.
        ids: the tokens of the winner, the given text's included.
        steps: how many steps the search took; it may stop early.
        step: the step that is shown.
    """

    def __init__(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", text: str, num_beams: int, steps: int
    ):
        self._tokenizer, self.num_beams = tokenizer, num_beams
        self._given: list[int] = tokenizer(text)["input_ids"]
        if not self._given:
            raise WorkbookError("There is no next token after no token. Give at least one word.")
        self._vocabulary: int = model.get_output_embeddings().weight.shape[0]
        if not 2 <= num_beams <= self._vocabulary or steps < 1:
            raise WorkbookError(
                f"A tree needs at least 2 beams (one is greedy decoding), at most as many as there are tokens"
                f" ({self._vocabulary:,}), and at least 1 step; you gave num_beams={num_beams}, steps={steps}."
            )
        scores, ends = _searched(model, self._given, num_beams, steps)
        self.steps = self.step = len(scores)
        self.data = _replayed(scores, num_beams, ends, self.steps == steps)
        for row, path in zip(self.data, map(self._path, range(len(self.data))), strict=True):
            row["token"] = tokenizer.convert_ids_to_tokens(row["id"])
            row["text"] = following(tokenizer, [*self._given, *path[:-1]], [row["id"]])[0]
        whole = [place for place, row in enumerate(self.data) if row["score"] is not None]
        self._winner = max(whole, key=lambda place: self.data[place]["score"])
        self.ids = [*self._given, *self._path(self._winner)]
        line = self._line(self._winner)
        for place, row in enumerate(self.data):
            row["winner"] = place in line

    def at(self, step: int) -> "BeamTree":
        """Show the tree as it stood after this step."""
        if not 1 <= step <= self.steps:
            raise WorkbookError(f"There is no step {step}: this search has the steps 1 to {self.steps}.")
        self.step = step
        return self

    def __repr__(self) -> str:
        lines = [repr(self._tokenizer.decode(self._given))]
        for step in range(1, self.step + 1):
            cards = [f"{row['text']} {self._number(row)}" for row in self._column(step)]
            lines.append(f"{step:>3}  {'  |  '.join(cards)}")
        return "\n".join([*lines, *self._story()])

    def _repr_html_(self) -> str:
        given = escape(self._tokenizer.decode(self._given))
        story = "".join(f"<div>{escape(line)}</div>" for line in self._story())
        text = f'<div style="white-space:pre-wrap">{given}<b> …</b></div>'
        # The classes keep a page's formula typesetter away from dollar signs in the text.
        return (
            f'<div class="labs-beam-tree mathjax_ignore tex2jax_ignore" style="line-height:1.4">{text}'
            f'<div style="overflow-x:auto;margin:4px 0">{self._drawn()}</div>{story}</div>'
        )

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({**widget_bundle(_slider(self)), "text/plain": _WITHOUT_KERNEL}, raw=True)
        self._picture = display(self._bundle(), raw=True, display_id=True)

    def _bundle(self) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def _moved(self, step: int) -> None:
        """The slider was moved."""
        self.at(step)
        if getattr(self, "_picture", None) is not None:
            self._picture.update(self._bundle(), raw=True)

    def _line(self, place: int) -> list[int]:
        """The places of a row and of all that it grew from, the first one first."""
        line: list[int] = []
        at: int | None = place
        while at is not None:
            line.insert(0, at)
            at = self.data[at]["parent"]
        return line

    def _path(self, place: int) -> list[int]:
        """The new tokens up to a row."""
        return [self.data[one]["id"] for one in self._line(place)]

    def _said(self, place: int) -> str:
        """The new text up to a row, in quotes; a character that is not whole yet is named by its bytes."""
        text = self._tokenizer.decode(self._path(place)).strip()
        return f"“{''.join(self.data[one]['text'] for one in self._line(place)) if '�' in text else text}”"

    def _column(self, step: int) -> list[dict[str, Any]]:
        return [row for row in self.data if row["step"] == step]

    def _lead(self) -> int:
        """Who is ahead at the step that is shown: at the last one the winner."""
        if self.step == self.steps:
            return self._winner
        running = [place for place, row in enumerate(self.data) if row["step"] == self.step and row["state"] != "ended"]
        return running[0]

    def _number(self, row: dict[str, Any]) -> str:
        """What a card says below its token: the log-probability, or for a dead one what its best continuation had."""
        if row["state"] == "ended":
            return f"{row['log_probability']:.2f} ■"
        if row["state"] == "died" and row["step"] < self.step:
            return f"✗ → {row['best_next']:.2f}"
        return f"{row['log_probability']:.2f}"

    def _story(self) -> list[str]:
        """What happened at the step that is shown, as sentences."""
        choice = f"{self._vocabulary:,} first tokens" if self.step == 1 else "all continuations"
        story = [f"Step {self.step} of {self.steps}: the best {self.num_beams} of {choice} are kept."]
        for place, row in enumerate(self.data):
            begun = self._said(place)
            if row["step"] == self.step - 1 and row["state"] == "died":
                missed = f"its best continuation has {row['best_next']:.2f}, the last survivor {row['needed']:.2f}"
                story.append(f"✗ {begun} died: {missed}.")
            elif row["step"] == self.step and row["state"] == "ended":
                story.append(
                    f"■ {begun} ended, with {row['log_probability']:.2f} / {row['step']} = {row['score']:.3f}."
                )
        if self.step == self.steps:
            story += self._verdict()
        return story

    def _verdict(self) -> list[str]:
        best = self.data[self._winner]
        ranks = [(self.data[place]["rank"], self.data[place]["step"]) for place in self._line(self._winner)]
        lowest, when = max(ranks, key=lambda one: one[0])
        said = self._said(self._winner)
        verdict = [
            f"The winner: {said}, with {best['log_probability']:.2f} / {best['step']} = {best['score']:.3f} a token."
        ]
        if any(row["state"] == "given up" for row in self.data):
            verdict.append("The search stopped early: no text still growing could beat the ones that had ended.")
        always = "The winner was in the lead at every step."
        return [
            *verdict,
            always if lowest == 1 else f"At step {when} the winner was number {lowest} of {self.num_beams}.",
        ]

    def _drawn(self) -> str:
        """The tree up to the step that is shown, as SVG; the drawing is as large as that of the last step."""
        columns = self._columns()
        right = columns[-1][1]
        rows = max(len(self._column(step)) for step in range(1, self.steps + 1))
        begin = (54.0, _TOP + (self.num_beams * _ROW - 10) / 2)
        lead = set(self._line(self._lead()))
        shown = [place for place, row in enumerate(self.data) if row["step"] <= self.step]
        alive = {one for place in shown if self._lives(self.data[place]) for one in self._line(place)}
        edges, cards = [], []
        for place in sorted(shown, key=lambda one: one in lead):  # the leader's edges lie on top
            row = self.data[place]
            left, end = columns[row["step"] - 1]
            top, start = _top(row), begin
            if row["parent"] is not None:
                start = (columns[row["step"] - 2][1], _top(self.data[row["parent"]]) + _CARD / 2)
            kind = "lead" if place in lead else "alive" if place in alive else "dead"
            edges.append(_edge(start, (left, top + _CARD / 2), kind))
            cards.append(self._card(place, left, top, end - left, kind))
        heads = "".join(self._head(step, left) for step, (left, _) in enumerate(columns[: self.step], 1))
        width, height = round(right + 4), _TOP + rows * _ROW
        # The size stands in the style, too: a notebook's own style would shrink a drawing to the page and cut it.
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            f' aria-label="beam search, step {self.step} of {self.steps}" style="width:{width}px;height:{height}px;'
            f'max-width:none;font-family:sans-serif;fill:currentColor">'
            f"{_side(begin[1])}{heads}{''.join(edges)}{''.join(cards)}</svg>"
        )

    def _columns(self) -> list[tuple[float, float]]:
        """Where the column of each step begins and ends: as wide as its longest token."""
        columns, left = [], 62.0
        for step in range(1, self.steps + 1):
            width = max(76.0, *(18 + _LETTER * len(_short(row["text"])) for row in self._column(step)))
            columns.append((left, left + width))
            left += width + _GAP
        return columns

    def _lives(self, row: dict[str, Any]) -> bool:
        """Whether a row is there at the step that is shown: as the newest of its line, or as a whole text."""
        return row["state"] == "ended" or (row["step"] == self.step and row["state"] != "given up")

    def _head(self, step: int, left: float) -> str:
        """A column's number, and what its last survivor has."""
        running = [row["log_probability"] for row in self._column(step) if row["state"] != "ended"]
        least = f"≥ {min(running):.2f}" if running else ""
        said = f"step {step}: what survived has at least this log-probability"
        return (
            f'<g><title>{said}</title><text x="{left:.0f}" y="12" font-size="11" font-weight="600">{step}</text>'
            f'<text x="{left:.0f}" y="27" font-size="11" fill="{GREY}">{least}</text></g>'
        )

    def _card(self, place: int, left: float, top: float, width: float, kind: str) -> str:
        row = self.data[place]
        frame = {
            "lead": f'fill="{tint(BLUE, 0.22)}" stroke="{BLUE}" stroke-width="2"',
            "alive": f'fill="none" stroke="{GREY}"',
            "dead": f'fill="none" stroke="{GREY}" stroke-dasharray="3 3"',
        }[kind]
        if row["state"] == "ended":
            frame = frame.replace(f'stroke="{GREY}"', f'stroke="{GREEN}"')
        colour = f' fill="{GREY}"' if kind == "dead" else ""
        told = f"{self._said(place)}: log-probability {row['log_probability']:.2f}"
        if row["state"] == "died" and row["step"] < self.step:
            told += f"; its best continuation has {row['best_next']:.2f}, the last survivor {row['needed']:.2f}"
        return (
            f'<g class="labs-beam {kind}"><title>{escape(told)}</title>'
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_CARD}" rx="5" {frame}/>'
            f'<text x="{left + 8:.1f}" y="{top + 15:.1f}" font-size="12" font-family="monospace"{colour}>'
            f"{escape(_short(row['text']))}</text>"
            f'<text x="{left + 8:.1f}" y="{top + 29:.1f}" font-size="11" fill="{GREY}">{self._number(row)}</text></g>'
        )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _top(row: dict[str, Any]) -> float:
    """Where a row's card begins: the better, the higher."""
    return _TOP + _ROW * (row["rank"] - 1)


def _side(middle: float) -> str:
    """What the two lines of heads mean, and the text that the tree grows from."""
    words = {"the text": (middle + 4, ""), "step": (12, ""), "needed": (27, f' fill="{GREY}"')}
    return "".join(
        f'<text x="0" y="{top:.0f}" font-size="11"{colour}>{word}</text>' for word, (top, colour) in words.items()
    )


def _edge(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    look = {"lead": f'stroke="{BLUE}" stroke-width="2.5"', "alive": f'stroke="{GREY}" stroke-width="1.2"'}
    dead = f'stroke="{GREY}" stroke-dasharray="3 3"'
    (left, top), (right, bottom) = start, end
    middle = (left + right) / 2
    path = f"M{left:.1f},{top:.1f} C{middle:.1f},{top:.1f} {middle:.1f},{bottom:.1f} {right:.1f},{bottom:.1f}"
    return f'<path d="{path}" fill="none" {look.get(kind, dead)}/>'


def _slider(shown: BeamTree):
    """A slider for the step of `shown`, which redraws its picture."""
    import ipywidgets as widgets

    slider = widgets.IntSlider(value=shown.step, min=1, max=shown.steps, description="step")
    slider.observe(lambda change: shown._moved(change["new"]), "value")
    return slider


def _searched(model: "PreTrainedModel", ids: list[int], num_beams: int, steps: int) -> "tuple[list[Tensor], set[int]]":
    """The log-probabilities [num_beams, vocabulary] of each step of the library's search; the ids that end a text."""
    import torch

    config, training = model.generation_config, model.training
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    given = torch.tensor([ids], device=model.device)
    options: dict[str, Any] = {"num_beams": num_beams, "do_sample": False, "max_new_tokens": steps}
    options |= {"length_penalty": 1.0, "early_stopping": False, "pad_token_id": config.pad_token_id or 0}
    model.eval()
    try:
        out = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            output_scores=True,
            return_dict_in_generate=True,
            **options,
        )
    finally:
        model.train(training)
    vocabulary = out.scores[0].shape[-1]
    return list(out.scores), {one for one in ends if one is not None and one < vocabulary}  # some configs name more


class _Grown(NamedTuple):
    """A beam with one more token."""

    total: float
    beam: int
    token: int


def _replayed(scores: "list[Tensor]", num_beams: int, ends: set[int], to_the_limit: bool) -> list[dict[str, Any]]:
    """The rows of the tree, step by step, as `generate` chooses them (`_beam_search` in the library)."""
    import torch

    rows: list[dict[str, Any]] = []
    totals = [0.0, *[-1e9] * (num_beams - 1)]  # at first all beams are the same text: only one of them may grow
    growing: list[int | None] = [None] * num_beams  # their places in `rows`
    for step, one in enumerate(scores, 1):
        last = step == len(scores)
        grown = torch.tensor(totals, device=one.device)[:, None] + one  # [num_beams, vocabulary]
        alive, whole = _chosen(grown, num_beams, ends, last and to_the_limit)
        _mark_the_dead(rows, growing, grown, alive, whole, ends)
        state = "grew" if not last else "complete" if to_the_limit else "given up"
        parents, growing = growing, list(range(len(rows), len(rows) + len(alive)))
        for rank, child in enumerate([*alive, *whole], 1):
            now = "ended" if child in whole else state
            score = child.total / step if now in ("ended", "complete") else None
            rows.append(
                {"step": step, "rank": rank, "parent": parents[child.beam], "id": child.token}
                | {"log_probability": child.total, "state": now, "best_next": None, "needed": None, "score": score}
            )
        totals = [child.total for child in alive]
    return rows


def _chosen(grown: "Tensor", num_beams: int, ends: set[int], last: bool) -> tuple[list[_Grown], list[_Grown]]:
    """The continuations that live on, and those that have ended; an end that isn't among the best is dropped."""
    values, flat = grown.flatten().topk(min(max(2, 1 + len(ends)) * num_beams, grown.numel()))
    found = [
        _Grown(total, place // grown.shape[1], place % grown.shape[1])
        for total, place in zip(values.tolist(), flat.tolist(), strict=True)
    ]
    best = found[:num_beams]
    alive = [one for one in (best if last else found) if one.token not in ends][:num_beams]
    return alive, [one for one in best if one.token in ends]


def _mark_the_dead(
    rows: list[dict[str, Any]],
    growing: list[int | None],
    grown: "Tensor",
    alive: list[_Grown],
    whole: list[_Grown],
    ends: set[int],
) -> None:
    """Write down which of the beams that grew have no survivor, and what they would have needed."""
    survived = {one.beam for one in [*alive, *whole]}
    needed = min(one.total for one in alive or whole)
    closed = grown.clone()
    closed[:, list(ends)] = -float("inf")
    for beam, place in enumerate(growing):
        if place is not None and beam not in survived:
            rows[place] |= {"state": "died", "best_next": closed[beam].max().item(), "needed": needed}
