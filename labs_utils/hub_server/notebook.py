"""`lab.hub()`: a Hub of one's own, started and chosen from a notebook."""

import os
import sys
from dataclasses import dataclass
from html import escape

from labs_utils.errors import WorkbookError
from labs_utils.hub_server import server
from labs_utils.modes import HUB_SERVER
from labs_utils.paths import cache


@dataclass(frozen=True)
class LearnersHub:
    """The learner's Hub. Shown in a notebook, it is a link.

    Attributes:
        endpoint: its address, which `HF_ENDPOINT` holds from now on.
        user: the name under which repositories are made: `f"{hub.user}/my-model"`.
    """

    endpoint: str
    user: str

    def __str__(self) -> str:
        return f"Your Hub runs at {self.endpoint}; you are {self.user!r}. Nothing leaves this machine."

    def _repr_html_(self) -> str:
        link = f'<a href="{escape(self.endpoint)}" target="_blank" rel="noopener">{escape(self.endpoint)}</a>'
        return f"Your Hub runs at {link}; you are <code>{escape(self.user)}</code>. Nothing leaves this machine."


def hub() -> LearnersHub:
    """Start the learner's Hub if none runs, log in to it, and let every Hugging Face library of this kernel use it.

    Call it in the notebook's first cell, right after `lab.start`: the libraries read where the Hub is when they are
    imported. Models and data sets of the course still come from this machine, and the real Hub is not asked for
    anything. What is pushed stays in the workbook's folder until `labs hub stop` and after.

    Raises:
        WorkbookError: a Hugging Face library was imported before, or the server does not answer.

    ```python
    lab.start("13")
    hub = lab.hub()
    model.push_to_hub(f"{hub.user}/first-model")
    ```
    """
    folder = server.default_folder()
    running = server.start(folder)
    token = server.learner_token(folder)
    # A cache and a login of its own: what happens here never meets the reader's own account or files.
    own = {"HF_HOME": str(cache() / "huggingface"), "LABS_MODE": HUB_SERVER}
    os.environ.update(server.environment(running.endpoint, token) | own)
    _check_not_imported(running.endpoint)
    return LearnersHub(running.endpoint, server.LEARNER)


def _check_not_imported(endpoint: str) -> None:
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is None:
        return
    if endpoint != constants.ENDPOINT or constants.HF_HUB_OFFLINE or not constants.HF_HUB_DISABLE_XET:
        raise WorkbookError(
            "A Hugging Face library was imported before lab.hub() and has already chosen its Hub. "
            "Restart the kernel and run the notebook from its first cell."
        )
