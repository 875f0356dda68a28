"""Other clients than the workbook's own: older and newer versions of huggingface_hub, and the one for JavaScript.

Each is installed into an environment of its own, once, in the user's cache. Where that can't be done, its tests are
skipped, and say why.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import platformdirs
import pytest
from filelock import FileLock

from labs_utils.hub_server import auth, server
from labs_utils.paths import ROOT

FLOWS = ROOT / "tests" / "hub" / "flows"
PIP = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]


def installed(name: str, make) -> Path:
    """The folder of a client, made by `make(folder)` if it is not there; skips the test if that fails."""
    folder = Path(platformdirs.user_cache_dir("transformers-workbook-tests")) / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                make(folder)
            except (subprocess.SubprocessError, OSError) as error:
                said = getattr(error, "stderr", None) or str(error)
                pytest.skip(f"{name} could not be installed: {said.strip().splitlines()[-1][:200]}")
            (folder / "ready").touch()
    return folder


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, **options)


def python_with(requirement: str) -> Path:
    """The interpreter of an environment that has this and what it needs."""

    def make(folder: Path) -> None:
        venv.create(folder, with_pip=True)
        run(interpreter(folder), *PIP, requirement)

    def interpreter(folder: Path) -> Path:
        return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    return interpreter(installed("".join(one if one.isalnum() else "-" for one in requirement), make))


def node_with(package: str) -> Path:
    """A folder in which node finds this package."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        run(shutil.which("npm"), "install", "--silent", "--no-audit", "--no-fund", package, cwd=folder)

    return installed("".join(one if one.isalnum() else "-" for one in package), make)


@pytest.fixture
def hub(tmp_path):
    """The environment of a client: the server, and the tokens of two users."""
    with server.serving(tmp_path / "hub") as running:
        tokens = {f"TOKEN_{name.upper()}": auth.add_user(running.store.database, name) for name in ("ada", "ben")}
        own = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        yield os.environ | server.environment(running.endpoint, tokens["TOKEN_ADA"]) | tokens | own


VERSIONS = [("huggingface_hub==0.34.*", "0.34"), ("huggingface_hub>=1,<2", "1."), ("", "2.")]


@pytest.mark.parametrize(("requirement", "version"), VERSIONS)
def test_huggingface_hub(hub, requirement, version):
    python = python_with(requirement) if requirement else sys.executable
    script = FLOWS / "any_version.py"
    done = subprocess.run([python, script, version, "ada/m"], capture_output=True, text=True, env=hub, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    # and where nobody switched Xet off: a version falls back by itself, or its error says what to set
    del hub["HF_HUB_DISABLE_XET"]
    command = [python, script, version, "ada/with-xet", "xet"]
    done = subprocess.run(command, capture_output=True, text=True, env=hub, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == ("fell back" if version == "0.34" else "told")


def test_the_client_for_javascript(hub):
    folder = node_with("@huggingface/hub@2")
    shutil.copy(FLOWS / "client.mjs", folder)
    done = subprocess.run(["node", "client.mjs"], cwd=folder, capture_output=True, text=True, env=hub, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
