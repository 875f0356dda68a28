"""A matrix as a heat map: masks, attention weights, similarities."""

from labs_utils.views.plain import plain

_WRITTEN_CELLS = 144  # up to 12 × 12 the numbers fit into the cells


def heatmap(
    values, rows: list[str] | None = None, columns: list[str] | None = None, title: str = "", label: str = ""
) -> "Heatmap":
    """Draw a matrix [rows, columns] as a heat map; the numbers are written into small ones.

    Args:
        values: a tensor, array or nested list with two dimensions; booleans are drawn as 0 and 1.
        rows, columns: names of the rows and columns, for example tokens.
        title: what the picture shows. label: what the colour means, with its unit.

    Raises:
        ValueError: `values` is no matrix, or the names don't fit its shape.

    >>> heatmap([[1, 0], [1, 1]]).data.shape
    (2, 2)
    """
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    data = np.asarray(values, dtype=float)
    if data.ndim != 2 or 0 in data.shape:
        raise ValueError(
            f"heatmap draws a matrix with two dimensions; this has shape {data.shape}. Index or reshape it first."
        )
    for names, length, what in ((rows, data.shape[0], "rows"), (columns, data.shape[1], "columns")):
        if names is not None and len(names) != length:
            raise ValueError(f"The matrix has {length} {what}, but {len(names)} names were given for them.")
    return Heatmap(data, rows, columns, title, label)


class Heatmap:
    """A heat map; `.data` is the float array that it draws, `.figure` the matplotlib figure."""

    def __init__(self, data, rows, columns, title: str, label: str):
        self.data = data
        self.figure = _draw(data, rows, columns, title, label)

    def __repr__(self) -> str:
        return f"heat map of a matrix of shape {self.data.shape}"

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        file = BytesIO()
        self.figure.savefig(file, format="png")
        return file.getvalue()


def _draw(data, rows, columns, title: str, label: str):
    import numpy as np
    from matplotlib.figure import Figure

    height, width = data.shape
    margin = 0.085 * max(
        (len(str(name)) for name in rows or [""]), default=0
    )  # room for the names, about 0.085 inch a letter
    size = (min(7, max(2.4, 0.6 + 0.45 * width)) + margin, min(8, max(2.4, 1.2 + 0.38 * height)))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    finite = data[np.isfinite(data)]
    low, high = (min(0.0, finite.min()), max(finite.max(), 1e-9)) if finite.size else (0.0, 1.0)
    picture = axes.imshow(
        data, vmin=low, vmax=high, cmap="viridis", aspect="auto" if max(height, width) > 40 else "equal"
    )
    axes.grid(False)
    axes.set_title(plain(title), loc="left")
    if columns is not None:
        axes.set_xticks(
            range(width), [plain(name) for name in columns], rotation=60, ha="right", rotation_mode="anchor"
        )
    if rows is not None:
        axes.set_yticks(range(height), [plain(name) for name in rows])
    if data.size <= _WRITTEN_CELLS:
        middle = (low + high) / 2
        for (row, column), value in np.ndenumerate(data):
            colour = "black" if value > middle else "white"
            axes.text(
                column,
                row,
                f"{value:.3g}" if abs(value) < 1 else f"{value:.3g}"[:5],
                ha="center",
                va="center",
                color=colour,
                size=8,
            )
    if label:
        figure.colorbar(picture, label=plain(label), shrink=0.8)
    return figure
