"""The token explorer: type any text, choose a tokenizer, watch the tokens."""

from labs_utils.views.tokens import tokens


def token_explorer(tokenizers: dict, text: str = "The unbelievable café costs 12€ 🙂"):
    """Return an ipywidget with a text field and a choice among `{name: tokenizer}`; the strip below follows both.

    Any input is fine: empty, emoji, very long (the strip shows its beginning and says so).
    """
    import ipywidgets as widgets

    wide = widgets.Layout(width="100%", max_width="760px")
    field = widgets.Textarea(value=text, description="Text", continuous_update=True, layout=wide)
    choice = widgets.Dropdown(options=list(tokenizers), description="Tokenizer")
    strip = widgets.HTML(layout=wide)

    def redraw(_=None) -> None:
        strip.value = tokens(tokenizers[choice.value], field.value)._repr_html_()

    field.observe(redraw, "value")
    choice.observe(redraw, "value")
    redraw()
    return widgets.VBox([choice, field, strip])
