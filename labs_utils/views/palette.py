"""The course's colours: Okabe and Ito's eight, told apart by colour-blind readers, on light and on dark."""

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#888888"


def tint(colour: str, alpha: float) -> str:
    """`colour` with transparency, so that the theme's own background shows through.

    >>> tint("#0072B2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
