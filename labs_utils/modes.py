"""Offline, on the real Hub, or on a Hub of one's own: which of the three, and how the libraries are told."""

import os
import sys

from labs_utils.errors import WorkbookError

HUB_SERVER = "hub server"  # what `lab.hub()` puts into LABS_MODE for this kernel; nobody chooses it
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def mode() -> str:
    """`"offline"` (the default) or `"hub"`, from the variable LABS_MODE; `HUB_SERVER` once `lab.hub()` was called."""
    given = os.environ.get("LABS_MODE", "offline")
    if given not in ("offline", "hub", HUB_SERVER):
        raise WorkbookError(f"LABS_MODE is {given!r}; it can be 'offline' or 'hub'. Change it and restart the kernel.")
    return given


def set_offline(offline: bool) -> None:
    """Tell the Hugging Face libraries whether they may open a connection; they read it when they are imported.

    Raises:
        WorkbookError: one of them was imported before, and has read something else.
    """
    for name, value in _OFFLINE.items():
        if offline:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None and offline != bool(constants.HF_HUB_OFFLINE):
        raise WorkbookError(
            "A Hugging Face library was imported before lab.start() and has already chosen its mode. "
            "Restart the kernel and run the notebook from its first cell."
        )
