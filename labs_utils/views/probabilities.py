"""From logits to the distribution a sampler draws from: softmax, temperature, top-k, top-p, as bars."""


def probabilities(
    logits,
    labels=None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    count: int = 10,
) -> "Probabilities":
    """Draw the likeliest `count` choices before and after temperature, top-k and top-p.

    The filters are the library's own (`transformers.TemperatureLogitsWarper` and friends), in the order of `generate`.

    Args:
        logits: scores of one position, shape [choices].
        labels: a name for every choice: a list, a dict such as `id2label`, or a tokenizer. Default: the index.
        temperature: > 0; below 1 sharpens, above 1 flattens. top_k, top_p: as in `generate`; None leaves them out.

    Raises:
        ValueError: `logits` has more than one dimension, or a filter is out of its range.

    >>> probabilities([2.0, 1.0, 0.0], ["a", "b", "c"], top_k=2).data[0]["kept"]
    True
    """
    import torch

    scores = torch.as_tensor(logits).detach().float().cpu()
    if scores.ndim != 1 or not len(scores):
        raise ValueError(
            f"logits of one position have shape [choices]; these have {list(scores.shape)}. "
            "Index the batch and the position."
        )
    before = scores.softmax(dim=-1)
    after = _filtered(scores, temperature, top_k, top_p).softmax(dim=-1)
    order = before.argsort(descending=True)[:count].tolist()
    data = [
        {
            "label": _name(labels, index),
            "logit": scores[index].item(),
            "probability": before[index].item(),
            "after": after[index].item(),
            "kept": after[index].item() > 0,
        }
        for index in order
    ]
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    changed = {name: value for name, value in settings.items() if value not in (None, 1.0)}
    return Probabilities(data, changed, len(scores))


def _filtered(scores, temperature: float, top_k: int | None, top_p: float | None):
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    filters = [TemperatureLogitsWarper(float(temperature))]
    if top_k is not None:
        filters.append(TopKLogitsWarper(top_k))
    if top_p is not None:
        filters.append(TopPLogitsWarper(top_p))
    scores = scores[None]
    for one in filters:
        scores = one(None, scores)
    return scores[0]


def _name(labels, index: int) -> str:
    if labels is None:
        return str(index)
    if hasattr(labels, "convert_ids_to_tokens"):
        return labels.convert_ids_to_tokens(index)
    return str(labels[index])


class Probabilities:
    """Bars of a distribution; `.data` is a list of dicts `label, logit, probability, after, kept`."""

    def __init__(self, data: list[dict], changed: dict, choices: int):
        self.data, self.changed, self.choices = data, changed, choices

    def __repr__(self) -> str:
        return "\n".join(f"{row['label']:>16} {row['probability']:7.2%} → {row['after']:7.2%}" for row in self.data)

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        from matplotlib.figure import Figure

        from labs_utils.views.palette import BLUE, GREY
        from labs_utils.views.plain import plain

        figure = Figure(figsize=(7.2, 0.8 + 0.32 * len(self.data)), layout="constrained")
        axes, places = figure.add_subplot(), range(len(self.data))
        if self.changed:
            axes.barh(
                places,
                [row["probability"] for row in self.data],
                color="none",
                edgecolor=GREY,
                label="softmax of the logits",
            )
        bars = axes.barh(
            places, [row["after"] for row in self.data], color=BLUE, height=0.55, label="what is sampled from"
        )
        axes.bar_label(bars, [f"{row['after']:.1%}" if row["kept"] else "cut" for row in self.data], padding=3)
        axes.set_yticks(places, [plain(row["label"]) for row in self.data])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.margins(x=0.12)
        axes.set_xlabel("probability")
        if self.changed:
            axes.set_title(plain(", ".join(f"{name} = {value}" for name, value in self.changed.items())))
            axes.legend(loc="lower right")
        file = BytesIO()
        figure.savefig(file, format="png")
        return file.getvalue()
