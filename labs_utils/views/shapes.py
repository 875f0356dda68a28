"""A forward pass as a list of modules with the shape of what comes out of each, measured by hooks."""

from html import escape

from labs_utils.views.palette import BLUE, GREY, tint


def shapes(model, depth: int = 3, **inputs) -> "Shapes":
    """Run `model(**inputs)` once and show every module down to `depth` with its output shape and share of parameters.

    Args:
        model: a torch module. inputs: what it is called with, for example `**tokenizer("hi", return_tensors="pt")`.
        depth: how many levels of modules inside modules are shown.

    >>> from torch import nn, ones
    >>> [row["output"] for row in shapes(nn.Sequential(nn.Linear(4, 2), nn.ReLU()), input=ones(3, 4)).data]
    [[3, 2], [3, 2], [3, 2]]
    """
    import torch

    rows, open_rows, hooks = [], [], []
    total = sum(parameter.numel() for parameter in model.parameters())

    def entering(name: str):
        def hook(module, arguments, keywords):
            given = next(filter(torch.is_tensor, [*arguments, *keywords.values()]), None)
            row = {
                "name": name or "model",
                "kind": type(module).__name__,
                "depth": name.count(".") + 1 if name else 0,
                "input": None if given is None else list(given.shape),
                "output": None,
                "parameters": sum(parameter.numel() for parameter in module.parameters()),
            }
            rows.append(row)
            open_rows.append(row)

        return hook

    def leaving(module, arguments, output):
        open_rows.pop()["output"] = _shape(output)

    for name, module in model.named_modules():
        if not name or name.count(".") + 1 <= depth:
            hooks.append(module.register_forward_pre_hook(entering(name), with_kwargs=True))
            hooks.append(module.register_forward_hook(leaving))
    try:
        with torch.no_grad():
            model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return Shapes(rows, total)


def _shape(output):
    """The shape of a module's (first) output tensor: modules return tensors, tuples or ModelOutputs."""
    import torch

    if torch.is_tensor(output):
        return list(output.shape)
    values = output.values() if hasattr(output, "values") else output if isinstance(output, tuple | list) else ()
    first = next(filter(torch.is_tensor, values), None)
    return None if first is None else list(first.shape)


class Shapes:
    """The modules of one forward pass in the order of their calls; `.data` is a list of dicts."""

    def __init__(self, data: list[dict], total: int):
        self.data, self.total = data, total

    def __repr__(self) -> str:
        return "\n".join(
            f"{'  ' * row['depth']}{_last(row)} {row['kind']} → {_text(row['output'])}" for row in self.data
        )

    def _repr_html_(self) -> str:
        rows = "".join(self._row(row) for row in self.data)
        names = ("module", "output shape", "parameters")
        head = "<tr>" + "".join(f"<th style='text-align:left;padding:1px 10px'>{name}</th>" for name in names) + "</tr>"
        return f'<table style="border-collapse:collapse;text-align:left">{head}{rows}</table>'

    def _row(self, row: dict) -> str:
        share = row["parameters"] / self.total if self.total else 0
        style = f"display:inline-block;height:10px;width:{max(1, round(120 * share))}px;background:{tint(BLUE, 0.7)}"
        bar = f'<span style="{style}"></span> {row["parameters"]:,}' if row["parameters"] else ""
        kind = f'<span style="color:{GREY}">{escape(row["kind"])}</span>'
        name = f'<span style="font-family:monospace">{escape(_last(row))}</span> {kind}'
        cell = "text-align:left;padding:1px 10px;"
        return (
            f'<tr><td style="{cell}padding-left:{10 + 18 * row["depth"]}px">{name}</td>'
            f'<td style="{cell}font-family:monospace">{_text(row["output"])}</td><td style="{cell}">{bar}</td></tr>'
        )


def _last(row: dict) -> str:
    return row["name"].rpartition(".")[2]


def _text(shape) -> str:
    return "–" if shape is None else "[" + ", ".join(map(str, shape)) + "]"
