"""Fresh environments for the tests of this folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

asked_for = pytest.mark.skipif(
    os.environ.get("LABS_ELSEWHERE") != "1",
    reason="makes environments of 2 GB and takes minutes: `make test-elsewhere` runs it",
)


def fresh(folder: Path) -> Path:
    """Make a virtual environment; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


def outside(python: Path, **more: str) -> dict[str, str]:
    """The variables of a shell in which that environment is active, and of this test's nothing."""
    own = {"PYTHONPATH", "VIRTUAL_ENV", "LABS_HOME", "PYTEST_CURRENT_TEST"}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return kept | {"PATH": f"{python.parent}:{os.environ['PATH']}"} | more
