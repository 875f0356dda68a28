"""The next token's distribution, before and after what `generate` does to it, as bars that follow sliders."""

from html import escape
from typing import TYPE_CHECKING, Any

from labs_utils.attention_maps.labels import following
from labs_utils.attention_maps.running import unwrapped
from labs_utils.errors import WorkbookError
from labs_utils.views.palette import BLUE, GREY, tint

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_OFF: dict[str, float] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}


def next_token(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    count: int = 12,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
) -> "NextToken":
    """Show which tokens may come after `text`: the model's own probabilities, and those that a sampler draws from.

    With a kernel there are sliders for the settings, and a click on a token appends it. A page without a kernel shows
    the state in which the notebook was saved. The filters are the library's, in the order of `generate`.

    Args:
        model, tokenizer: a causal language model and its tokenizer.
        count: how many of the likeliest tokens are shown.
        temperature: > 0; below 1 sharpens, above 1 flattens. top_k: keep so many tokens; 0 keeps all. top_p: keep the
            likeliest that together have this probability; 1 keeps all. min_p: keep those with at least this share of
            the likeliest's probability; 0 keeps all. repetition_penalty: above 1, what is in the text counts for less.

    Raises:
        WorkbookError: a model that continues no text, a text without tokens, or a setting out of its range.

    >>> from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel
    >>> from labs_utils import checkpoint
    >>> model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=30522))
    >>> shown = next_token(model, AutoTokenizer.from_pretrained(checkpoint("encoder")), "Once upon", top_k=5)
    >>> len(shown.data), sum(row["kept"] for row in shown.data)
    (12, 5)
    """
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    return NextToken(model, tokenizer, text, count, settings | {"repetition_penalty": repetition_penalty})


class NextToken:
    """The distribution after a text.

    Attributes:
        data: one dict for each token shown: `id, token, text, logit, probability, after, kept`; `probability` is the
            softmax of the logits, `after` what is drawn from, 0 where the token was cut.
        before, after: the same two distributions over the whole vocabulary, tensors [vocabulary].
        settings: temperature, top_k, top_p, min_p, repetition_penalty.
        ids: the tokens of the text, with those that were appended.
        count: how many of the likeliest tokens are shown.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        text: str,
        count: int,
        settings: dict[str, float],
    ):
        self._model, self._tokenizer, self.count = _continuing(unwrapped(model)), tokenizer, count
        self.ids: list[int] = tokenizer(text)["input_ids"]
        if not self.ids:
            raise WorkbookError("There is no next token after no token. Give at least one word.")
        self._given = len(self.ids)
        self.settings = dict(_OFF)
        self._logits = self._run()
        self.adjust(**settings)

    def adjust(self, **settings: float) -> "NextToken":
        """Change some of the settings, and compute what is drawn from anew."""
        unknown = set(settings) - set(_OFF)
        if unknown:
            raise WorkbookError(f"There is no setting {', '.join(sorted(unknown))}; there are {', '.join(_OFF)}.")
        chosen = self.settings | settings
        try:
            self.after = _processed(self._logits, self.ids, chosen).softmax(-1)
        except ValueError as error:
            raise WorkbookError(f"This setting is out of its range: {error}") from None
        self.before = self._logits.softmax(-1)
        self.settings = chosen
        self.data = self._rows()
        return self

    def append(self, token: int) -> "NextToken":
        """Append the token with this id to the text, and look at the one after it."""
        if not 0 <= token < len(self.before):
            raise WorkbookError(f"There is no token {token} in a vocabulary of {len(self.before)}.")
        self.ids = [*self.ids, token]
        self._logits = self._run()
        return self.adjust()

    def back(self) -> "NextToken":
        """Take the last token back that was appended; the text that was given stays."""
        if len(self.ids) > self._given:
            self.ids = self.ids[:-1]
            self._logits = self._run()
        return self.adjust()

    def __repr__(self) -> str:
        lines = [
            f"{row['text']:>16} {row['probability']:7.2%} → {format(row['after'], '7.2%') if row['kept'] else 'cut'}"
            for row in self.data
        ]
        return "\n".join([repr(self._text()), *lines, self._summary()])

    def _repr_html_(self) -> str:
        most = max(max(row["probability"], row["after"]) for row in self.data)
        rows = "".join(_bar(row, most) for row in self.data)
        own, added = escape(self._text(self._given)), escape(self._text()[len(self._text(self._given)) :])
        new = f'<span style="background:{tint(BLUE, 0.25)};border-radius:3px">{added}</span>' if added else ""
        text = f'<div style="white-space:pre-wrap;margin:6px 0 8px">{own}{new}<b> …</b></div>'
        # A grid, as JupyterLab gives every table columns of the same width.
        grid = "display:grid;grid-template-columns:max-content 1fr max-content max-content;gap:2px 12px;max-width:760px"
        table = f'<div style="{grid}">{rows}</div>'
        note = f'<div style="color:{GREY};margin-top:6px">{escape(self._summary())}</div>'
        kinds = "labs-next-token mathjax_ignore tex2jax_ignore"  # a token such as $ begins no formula
        return f'<div class="{kinds}" style="line-height:1.35">{text}{table}{note}</div>'

    def _ipython_display_(self) -> None:
        from labs_utils.views.generation_controls import show

        show(self)

    def _text(self, count: int | None = None) -> str:
        return self._tokenizer.decode(self.ids[:count])

    def _run(self) -> "Tensor":
        """The logits of the next token; the model is left in the mode that it was in."""
        import torch

        training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad():
                output = self._model(input_ids=torch.tensor([self.ids], device=self._model.device), return_dict=True)
        finally:
            self._model.train(training)
        return output.logits[0, -1].float().cpu()

    def _rows(self) -> list[dict[str, Any]]:
        """The likeliest tokens of the model's own distribution, then those that only became likely by the settings."""
        by_model, by_settings = (
            [place for place in one.topk(min(self.count, len(one))).indices.tolist() if one[place] > 0]
            for one in (self.before, self.after)
        )
        order = list(dict.fromkeys([*by_model, *by_settings]))
        tokens, texts = self._tokenizer.convert_ids_to_tokens(order), following(self._tokenizer, self.ids, order)
        return [
            {
                "id": number,
                "token": token,
                "text": text,
                "logit": self._logits[number].item(),
                "probability": self.before[number].item(),
                "after": self.after[number].item(),
                "kept": self.after[number].item() > 0,
            }
            for number, token, text in zip(order, tokens, texts, strict=True)
        ]

    def _summary(self) -> str:
        """The settings that are on, and what they leave."""
        on = [f"{name} = {value:g}" for name, value in self.settings.items() if value != _OFF[name]]
        kept = self.after > 0
        left = f"{int(kept.sum())} of {len(kept)} tokens can be drawn"
        mass = f"the model gave them {self.before[kept].sum().item():.1%}"
        drawn = self.after[kept]
        equal = (-(drawn * drawn.log()).sum()).exp().item()
        on_or_not = ", ".join(on) or "no setting is on"
        return f"{on_or_not} · {left}, {mass} · as open as a choice among {equal:.1f} equal ones"


def _continuing(model: "PreTrainedModel") -> "PreTrainedModel":
    if model.config.is_encoder_decoder or not model.can_generate():
        raise WorkbookError(
            f"{type(model).__name__} does not continue a text. Load a causal language model: AutoModelForCausalLM."
        )
    return model


def _processed(logits: "Tensor", ids: list[int], settings: dict[str, float]) -> "Tensor":
    """The logits after the library's own filters, in the order of `generate`."""
    import torch
    from transformers import (
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    makers = {
        "repetition_penalty": lambda value: RepetitionPenaltyLogitsProcessor(penalty=float(value)),
        "temperature": lambda value: TemperatureLogitsWarper(float(value)),
        "top_k": lambda value: TopKLogitsWarper(int(value)),
        "top_p": lambda value: TopPLogitsWarper(float(value)),
        "min_p": lambda value: MinPLogitsWarper(float(value)),
    }
    scores = logits[None].clone()
    for name, make in makers.items():
        if settings[name] != _OFF[name]:
            scores = make(settings[name])(torch.tensor([ids]), scores)
    return scores[0]


def _bar(row: dict[str, Any], most: float) -> str:
    """One row of the grid: the token, an outline as long as its own probability, in it a bar of what is drawn from."""
    before, after = (100 * row[name] / most for name in ("probability", "after"))
    said = f"{row['after']:.1%}" if row["kept"] else "cut"
    name = "" if row["kept"] else f"color:{GREY};"
    outline = f"left:0;top:1px;height:15px;width:{before:.2f}%;border:1px solid {GREY};border-radius:3px"
    bar = f"left:0;top:4px;height:11px;width:{after:.2f}%;background:{BLUE};border-radius:2px"
    bars = "".join(f'<div style="position:absolute;box-sizing:border-box;{style}"></div>' for style in (outline, bar))
    return (
        f'<div class="labs-token" style="text-align:right;font-family:monospace;white-space:nowrap;{name}">'
        f'{escape(row["text"])}</div><div class="labs-bar" style="position:relative;height:18px">{bars}</div>'
        f'<div style="text-align:right;color:{GREY}">{row["probability"]:.1%}</div>'
        f'<div style="text-align:right;white-space:nowrap">→ {said}</div>'
    )
