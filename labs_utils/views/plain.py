"""Text from outside in a matplotlib figure: two dollar signs in it would begin a formula."""


def plain(text: object) -> str:
    """`text` so that matplotlib draws its letters and no formula. Half of a surrogate pair, which no font can draw,
    becomes a question mark.

    >>> print(plain("$$ and $x$"))
    \\$\\$ and \\$x\\$
    """
    return str(text).encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")
