"""The helpers that the Transformers Workbook's notebooks call.

A notebook says ``import labs_utils as lab`` and ``lab.start("04")``, then works with the real libraries. The names
below load on first use, so importing this package costs next to nothing and brings in no torch.
"""

import importlib

# public name -> the module that holds it
_HOMES = {
    "start": "session",
    "device": "session",
    "expect_error": "session",
    "checkpoint": "materials.catalog",
    "dataset": "materials.catalog",
    "check": "exercises",
    "hint": "exercises",
    "progress": "exercises",
    "hub": "hub_server.notebook",
    "hand_in": "classroom.handing.hand_in",
    "handed_in": "classroom.handing.hand_in",
    "take_back": "classroom.handing.hand_in",
    "quiz": "exercises.quiz",
    "attention": "attention_maps",
    "bertviz_head_view": "attention_maps.bertviz",
    "bertviz_model_view": "attention_maps.bertviz",
    "tokens": "views.tokens",
    "compare_tokenizers": "views.tokens",
    "token_explorer": "views.explorer",
    "heatmap": "views.matrix",
    "probabilities": "views.probabilities",
    "next_token": "views.generation",
    "beam_tree": "views.beam_tree",
    "shapes": "views.shapes",
    "training_curve": "views.curves",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    """Load a public name from its home module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"labs_utils has no {name!r}; it offers: {', '.join(__all__)}.")
    value = getattr(importlib.import_module(f"labs_utils.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
