"""`lab.hub()`: a Hub of one's own, started and chosen from a notebook."""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from html import escape

from labs_utils.errors import WorkbookError
from labs_utils.hub_server import auth, server
from labs_utils.hub_server.errors import HubError
from labs_utils.hub_server.store import Store
from labs_utils.modes import HUB_SERVER
from labs_utils.paths import cache


@dataclass(frozen=True)
class LearnersHub:
    """The learner's Hub. Shown in a notebook, it is a link.

    Attributes:
        endpoint: its address, which `HF_ENDPOINT` holds from now on.
        user: the name under which repositories are made: `f"{hub.user}/my-model"`.
        is_shared: whether it is a class's, and not the learner's own.
    """

    endpoint: str
    user: str
    is_shared: bool = False

    def guest(self, name: str) -> str:
        """Return a token of another user of your own Hub, so that you can see yours with their eyes.

        The user is made if there is none.

        Raises:
            WorkbookError: the Hub is a class's, or the name is not allowed.
        """
        if self.is_shared:
            raise WorkbookError("On the Hub of a class there are the users that the teacher made, and no guests.")
        try:
            return auth.add_user(Store(server.default_folder()).database, name)
        except HubError as error:
            raise WorkbookError(str(error)) from None

    def __str__(self) -> str:
        return self._told(self.endpoint, repr(self.user))

    def _repr_html_(self) -> str:
        link = f'<a href="{escape(self.endpoint)}" target="_blank" rel="noopener">{escape(self.endpoint)}</a>'
        return self._told(link, f"<code>{escape(self.user)}</code>")

    def _told(self, where: str, who: str) -> str:
        if self.is_shared:
            return f"The Hub of your class is at {where}; you are {who}. The others see there what is public."
        return f"Your Hub runs at {where}; you are {who}. Nothing leaves this machine."


def hub() -> LearnersHub:
    """Start the learner's Hub if none runs, log in to it, and let every Hugging Face library of this kernel use it.

    Call it in the notebook's first cell, right after `lab.start`: the libraries read where the Hub is when they are
    imported. Models and data sets of the course still come from this machine, and the real Hub is not asked for
    anything. What is pushed stays in the workbook's folder, also when the server stops: by `labs hub stop`, or after an
    hour in which nobody asked it.

    Where the environment names the Hub of a class (its address in `LABS_HUB`, your token in `LABS_HUB_TOKEN`), you are
    there instead.

    Raises:
        WorkbookError: a Hugging Face library was imported before, the server does not answer, or it does not know the
            token.

    ```python
    lab.start("13")
    hub = lab.hub()
    model.push_to_hub(f"{hub.user}/first-model")
    ```
    """
    address = os.environ.get("LABS_HUB", "").rstrip("/")
    if address:
        token = os.environ.get("LABS_HUB_TOKEN", "")
        found = LearnersHub(address, _user_of(address, token), is_shared=True)
    else:
        folder = server.default_folder()
        found = LearnersHub(server.start(folder).endpoint, server.LEARNER)
        token = server.learner_token(folder)
    # A cache and a login of its own: what happens here never meets the reader's own account or files.
    own = {"HF_HOME": str(cache() / ("huggingface-class" if address else "huggingface")), "LABS_MODE": HUB_SERVER}
    os.environ.update(server.environment(found.endpoint, token) | own)
    _check_not_imported(found.endpoint)
    return found


def _user_of(address: str, token: str) -> str:
    """The user whose token this is, as the Hub at the address says."""
    if not token:
        raise WorkbookError(
            f"LABS_HUB names a Hub, {address}, and LABS_HUB_TOKEN is empty. Ask your teacher for a token."
        )
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        asked = urllib.request.Request(f"{address}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"})
        with straight.open(asked, timeout=20) as answer:
            return json.load(answer)["name"]
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise WorkbookError(f"The Hub at {address} does not know the token in LABS_HUB_TOKEN.") from None
        raise WorkbookError(f"The Hub at {address} answers {error.code}: is this its address?") from None
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        raise WorkbookError(f"There is no Hub at {address}, which LABS_HUB names: {error}") from None


def _check_not_imported(endpoint: str) -> None:
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is None:
        return
    if endpoint != constants.ENDPOINT or constants.HF_HUB_OFFLINE or not constants.HF_HUB_DISABLE_XET:
        raise WorkbookError(
            "A Hugging Face library was imported before lab.hub() and has already chosen its Hub. "
            "Restart the kernel and run the notebook from its first cell."
        )
