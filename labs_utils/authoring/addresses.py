"""Where the course is published: `[project.urls]` in pyproject.toml, or, for a fork or a school, three variables.

`Repository` (environment variable LABS_REPOSITORY) is the git address; behind a `#` it has the branch or tag that Colab
and Binder take, without it `main`. `Pages` (LABS_PAGES) is the site, `JupyterLab` (LABS_JUPYTERLAB) a server that holds
a clone. Where one is not set, nothing is drawn that would need it: no badge, no button, no cell for Colab.
"""

import os
import tomllib
from dataclasses import dataclass

from labs_utils.errors import WorkbookError
from labs_utils.paths import ROOT

_GITHUB = "https://github.com/"


@dataclass(frozen=True)
class Addresses:
    """Where the repository, the pages and a JupyterLab are; "" where there is none."""

    repository: str = ""
    ref: str = "main"
    pages: str = ""
    jupyterlab: str = ""


def addresses() -> Addresses:
    """What pyproject.toml says, unless the environment says otherwise; an empty variable takes an address away.

    Raises:
        WorkbookError: an address that is none.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    written = project.get("urls", {})
    found = {}
    for name in ("Repository", "Pages", "JupyterLab"):
        value = os.environ.get(f"LABS_{name.upper()}", written.get(name, "")).strip().rstrip("/")
        if value and not value.startswith(("https://", "http://")):
            raise WorkbookError(f"The address {name} is {value!r}; it has to begin with https:// or http://.")
        found[name.lower()] = value
    repository, _, ref = found.pop("repository").partition("#")
    return Addresses(repository=repository.removesuffix(".git"), ref=ref or "main", **found)


def links(known: Addresses, stem: str) -> list[tuple[str, str]]:
    """What can be opened elsewhere of the chapter `stem`: pairs of a name and an address.

    >>> links(Addresses(), "04_tokenizers")
    []
    >>> [name for name, _ in links(Addresses("https://github.com/you/workbook"), "04_tokenizers")]
    ['Open in Colab', 'Open in Binder']
    """
    found = []
    if known.jupyterlab:
        found.append(("Open in JupyterLab", f"{known.jupyterlab}/lab/tree/notebooks/{stem}.ipynb"))
    if known.repository.startswith(_GITHUB):
        place = known.repository.removeprefix(_GITHUB)
        colab = f"https://colab.research.google.com/github/{place}/blob/{known.ref}/notebooks/{stem}.ipynb"
        binder = f"https://mybinder.org/v2/gh/{place}/{known.ref}?urlpath=lab/tree/notebooks/{stem}.ipynb"
        found += [("Open in Colab", colab), ("Open in Binder", binder)]
    return found
