"""Run every benchmark module, or those named on the command line, and write benchmarks/RESULTS.md."""

import datetime
import importlib
import os
import pkgutil
import platform
import subprocess
import sys
from pathlib import Path

from data.recipes.results import table, write_section

FOLDER = Path(__file__).parent
HEAD = "# What the workbook costs\n\nWritten by `make bench`. Read the ratios; seconds depend on the machine."


def main(chosen: list[str]) -> None:
    """Measure and write the tables; a module that isn't chosen keeps the section that it has."""
    names = benchmarks()
    unknown = set(chosen) - set(names)
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(sorted(unknown))}. There are: {', '.join(names)}.")
    if len(chosen) == 1:
        measure(chosen[0])
        return
    for name in chosen or names:  # each in a process of its own: the libraries choose their mode when they are imported
        subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)


def benchmarks() -> list[str]:
    """The names of the modules beside this one; a package holds what they share."""
    found = pkgutil.iter_modules([str(FOLDER)])
    return [module.name for module in found if not module.ispkg and not module.name.startswith("_")]


def measure(name: str) -> None:
    """Run one benchmark, show each row when it is there, and write its section."""
    module, rows = importlib.import_module(f"benchmarks.{name}"), []
    for row in module.rows():
        print(row.markdown(), flush=True)
        rows.append(row)
    about = f"{module.__doc__.splitlines()[0]} {_machine()}"
    write_section(FOLDER / "RESULTS.md", HEAD, name, f"{about}\n\n{table(rows)}")


def _machine() -> str:
    return f"({os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {datetime.date.today()})"


if __name__ == "__main__":
    main(sys.argv[1:])
