"""The code keeps the style that pyproject.toml sets: `make style`."""

import subprocess
import sys

import pytest

from labs_utils.paths import ROOT

TOOLS = {
    "lint": ["ruff", "check", "--no-cache", "."],
    "format": ["ruff", "format", "--check", "--no-cache", "."],
    "types": ["mypy", "--cache-dir=/dev/null"],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_the_code_keeps_its_style(tool):
    done = subprocess.run([sys.executable, "-m", *TOOLS[tool]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
