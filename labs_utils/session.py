"""What every notebook does first: choose the mode, quiet the logs, fix the seeds, say where it runs."""

import codecs
import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from labs_utils.chapters import chapter
from labs_utils.materials.catalog import rows_version
from labs_utils.modes import mode, set_offline
from labs_utils.paths import cache

SEED = 42
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",  # otherwise loading a .bin from the Hub asks it to convert the file
    "TOKENIZERS_PARALLELISM": "false",  # otherwise every DataLoader worker prints a warning about forks
}


def device():
    """The fastest `torch.device` here: CUDA, then Apple's MPS, then the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def start(number: str) -> None:
    """Begin chapter `number` (such as `"04"`): environment, seeds, plot style, and two lines that say what runs where.

    Offline mode keeps the Hugging Face libraries from opening a connection. They read that wish when they are
    imported, so this call comes first in a notebook.

    Raises:
        WorkbookError: unknown chapter, unknown LABS_MODE, or a Hugging Face library that was imported too early.
    """
    spare_console()
    title = chapter(number).title
    chosen = mode()
    os.environ.update(_QUIET)
    set_offline(chosen == "offline")
    if chosen != "hub":
        _set_cache_of_rows()
        _drop_socks_proxies()
    _set_plot_style()
    _set_seeds()
    _quiet_progress_bars()
    versions = " · ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("transformers", "torch", "datasets")
    )
    print(f"Chapter {number} · {title} · {chosen} · {device()}")  # two lines: one would break in a narrow window
    print(f"{versions} · Python {platform.python_version()}")


def _set_cache_of_rows() -> None:
    """One cache for each state of our rows: `datasets` knows a folder by its card, and would go on with the old rows
    after an update that changed a file beside the card."""
    os.environ.setdefault("HF_DATASETS_CACHE", str(cache() / "datasets" / rows_version()))


def _drop_socks_proxies() -> None:
    """Nothing leaves this machine here. But a client of the Hub would stop at a SOCKS proxy in the environment, used
    or not, where the package for it isn't there."""
    if importlib.util.find_spec("socksio"):
        return
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        if os.environ[name].lower().startswith("socks"):
            del os.environ[name]


_PLAIN = {"✓": "[x]", "✗": "[ ]", "○": "[.]", "→": "->", "·": "|", "…": "...", "–": "-", "—": "-"}


def spare_console() -> None:
    """Let a console whose encoding lacks ✓ or → show plain letters for them, instead of failing."""
    codecs.register_error("labs_plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
        if hasattr(stream, "reconfigure") and not encoding.startswith("utf"):
            stream.reconfigure(errors="labs_plain")


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def _set_plot_style() -> None:
    style = Path(__file__).with_name("workbook.mplstyle")
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].rc_file(str(style))
    else:
        os.environ["MATPLOTLIBRC"] = str(style)  # read when the notebook imports matplotlib; costs nothing before


def _set_seeds() -> None:
    import numpy
    import torch

    random.seed(SEED)
    numpy.random.seed(SEED)
    torch.manual_seed(SEED)


def _quiet_progress_bars() -> None:
    """A bar for a model that loads in a blink is noise; training loops still show theirs."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


@contextlib.contextmanager
def expect_error(*kinds: type[BaseException]) -> Iterator[None]:
    """Run a block that must fail with one of `kinds`; print the error, and complain if nothing fails.

    >>> with expect_error(ZeroDivisionError):
    ...     1 / 0
    ZeroDivisionError: division by zero
    """
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        yield
    except kinds as error:
        print(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError(f"This block was expected to raise {names}, but nothing was raised.")
