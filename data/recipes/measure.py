"""`make bench-models`: how well each shipped model does its task, on public text that it never saw.

`python -m data.recipes.measure [ROLE …]` measures all roles that are made here or those named, and writes the figures
into their model cards (between two marker comments) and into data/models/RESULTS.md. A figure that misses its goal is
written down as it is.
"""

import datetime
import importlib
import platform
import sys
from types import ModuleType

import torch

from data.recipes.publishing import MODELS, put_into_card
from data.recipes.results import table, write_section
from labs_utils.materials.catalog import entries
from labs_utils.session import device

HEAD = "# What the shipped models can do\n\nWritten by `make bench-models`; the cards say what was held out."


def main(chosen: list[str]) -> None:
    """Measure the roles and write their figures down; the roles that aren't chosen keep theirs."""
    roles = made_here()
    unknown = set(chosen) - set(roles)
    if unknown:
        sys.exit(f"No measure is called {', '.join(sorted(unknown))}. There are: {', '.join(sorted(roles))}.")
    for role in chosen or roles:
        rows = recipe(role).measured()
        for row in rows:
            print(f"{role}: {row.markdown()}", flush=True)
        figures = table(rows, bound="goal")
        put_into_card(role, figures)
        write_section(MODELS / "RESULTS.md", HEAD, role, f"{_here_and_now()}\n\n{figures}")


def made_here() -> list[str]:
    """The roles whose models a recipe makes: those whose files live in data/models."""
    return [role for role, entry in entries()["models"].items() if entry.get("folder") == f"data/models/{role}"]


def recipe(role: str) -> ModuleType:
    """The module that makes a role's model (`main`) and measures it (`measured`)."""
    return importlib.import_module(f"data.recipes.{role.replace('-', '_')}")


def _here_and_now() -> str:
    return f"{datetime.date.today()}, {device()}, PyTorch {torch.__version__.split('+')[0]}, {platform.system()}."


if __name__ == "__main__":
    main(sys.argv[1:])
