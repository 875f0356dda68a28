"""What holds for every test: a throw-away LABS_HOME, strict checks in the solved notebooks, no fight over the cores."""

import os
import tempfile
from pathlib import Path

import pytest

from labs_utils.paths import cache

pytest_plugins = ["book.recording"]  # the pages show what the tests ran

_HOME = tempfile.TemporaryDirectory(prefix="labs-home-")


def share_fetched_models(checkpoints: Path) -> None:
    """Models that `labs fetch` brought are hundreds of megabytes: the throw-away home links to the reader's own."""
    links = Path(_HOME.name) / "cache" / "checkpoints"
    links.mkdir(parents=True, exist_ok=True)
    for record in checkpoints.glob("*/made.json"):
        if (record.parent / "LICENCE.txt").exists() and not (links / record.parent.name).exists():
            (links / record.parent.name).symlink_to(record.parent)


def pytest_configure(config):
    share_fetched_models(cache() / "checkpoints")
    os.environ["LABS_HOME"] = _HOME.name  # a test never touches what a learner made
    os.environ["HF_DATASETS_CACHE"] = f"{_HOME.name}/datasets"  # datasets would not see that our rows have changed
    os.environ["PYTHONHASHSEED"] = "0"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    if hasattr(config, "workerinput") or not getattr(config.option, "numprocesses", None):
        # Not in xdist's controller: its workers would inherit the number, and four threads would wait for two cores.
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # Set before nbval starts a notebook's kernel: in solutions/ a check that does not pass raises.
    os.environ["LABS_STRICT"] = "1" if "solutions" in item.path.parts else "0"
