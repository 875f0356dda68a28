"""Run every benchmark module, or those named on the command line, and write benchmarks/RESULTS.md."""

import datetime
import importlib
import os
import pkgutil
import platform
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"


def main(chosen: list[str]) -> None:
    """Measure and write the table; a module that isn't chosen keeps the section that it has."""
    names = [module.name for module in pkgutil.iter_modules([str(FOLDER)]) if not module.name.startswith("_")]
    unknown = set(chosen) - set(names)
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(sorted(unknown))}. There are: {', '.join(names)}.")
    if len(chosen) != 1:  # each in a process of its own: the libraries choose their mode once, when they are imported
        for name in chosen or names:
            subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)
        return
    sections = _sections()
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        lines = [f"## {name}", "", f"{module.__doc__.splitlines()[0]} {_machine()}", ""]
        lines += ["| what | measured | bound | |", "| --- | --- | --- | --- |"]
        for row in module.rows():
            print(row.markdown(), flush=True)
            lines.append(row.markdown())
        sections[name] = "\n".join(lines)
    head = "# What the workbook costs\n\nWritten by `make bench`. Read the ratios; seconds depend on the machine."
    part = RESULTS.with_suffix(".tmp")
    part.write_text("\n\n".join([head, *(sections[name] for name in sorted(sections))]) + "\n", encoding="utf-8")
    part.replace(RESULTS)


def _sections() -> dict[str, str]:
    if not RESULTS.is_file():
        return {}
    parts = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.strip()}" for part in parts}


def _machine() -> str:
    return f"({os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {datetime.date.today()})"


main(sys.argv[1:])
