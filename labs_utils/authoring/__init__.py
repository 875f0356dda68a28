"""From what is written by hand, `chapters/`, to what people open: the notebooks and the README's table."""
