"""lab.start: one line, the right mode, early enough; and an import that costs nothing."""

import os
import subprocess
import sys

import pytest

import labs_utils as lab
from labs_utils.errors import WorkbookError


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


# Starts a chapter; then says whether the Hub's client is offline, and a random number of each library.
START = (
    "import labs_utils as lab; lab.start('04'); from huggingface_hub.constants import HF_HUB_OFFLINE; "
    "import random, numpy, torch; "
    "print(HF_HUB_OFFLINE); print(random.random(), numpy.random.rand(), torch.rand(1).item())"
)


@pytest.fixture(scope="module")
def offline() -> list[str]:
    """The lines that a new process prints in the mode that nobody has to ask for."""
    return run(START).stdout.splitlines()


@pytest.fixture(scope="module")
def hub() -> list[str]:
    """The lines that another one prints in hub mode."""
    return run(START, LABS_MODE="hub").stdout.splitlines()


def test_importing_brings_in_no_heavy_library():
    heavy = "{'torch', 'transformers', 'numpy', 'IPython'}"
    code = f"import labs_utils, sys; dir(labs_utils); print(sorted({heavy} & set(sys.modules)))"
    assert run(code).stdout.strip() == "[]"


def test_every_public_name_has_a_home():
    for name in lab.__all__:
        assert callable(getattr(lab, name)), name
    with pytest.raises(AttributeError, match="it offers: .*start"):
        lab.strat  # noqa: B018


def test_start_prints_two_short_lines_with_chapter_mode_and_versions(offline):
    first, second = offline[:-2]
    assert all(part in first for part in ("Chapter 04", "Tokenizers", "offline"))
    assert all(part in second for part in ("transformers 5", "torch 2", "Python 3"))
    assert max(len(first), len(second)) < 90  # what a notebook shows unbroken at 1280 pixels


def test_offline_mode_keeps_the_libraries_offline_and_hub_mode_does_not(offline, hub):
    assert (offline[-2], hub[-2]) == ("True", "False")


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY"])
def test_a_socks_proxy_does_not_stop_the_clients_of_a_hub(name):
    code = (
        "import sys; sys.modules['socksio'] = None; import labs_utils as lab; lab.start('13');"
        "import httpx; httpx.Client().close(); print('made')"
    )
    assert run(code, **{name: "socks5://127.0.0.1:9"}).stdout.split()[-1] == "made"


def test_another_proxy_is_kept_and_in_hub_mode_each_one():
    kept = "import labs_utils as lab, os; lab.start('13'); print(os.environ.get('http_proxy'))"
    assert run(kept, http_proxy="http://127.0.0.1:9").stdout.split()[-1] == "http://127.0.0.1:9"
    assert run(kept, http_proxy="socks5://127.0.0.1:9", LABS_MODE="hub").stdout.split()[-1] == "socks5://127.0.0.1:9"


def test_rows_that_changed_beside_an_unchanged_card_are_read_anew(tmp_path):
    code = (
        "import labs_utils as lab, sys; from labs_utils.materials import catalog; from pathlib import Path; "
        "catalog.CATALOG = Path(sys.argv[1]) / 'data' / 'catalog.toml'; lab.start('04'); "
        "from datasets import load_dataset; "
        "print(load_dataset(sys.argv[1] + '/rows', split='train')['text'][:])"
    )
    own = {**os.environ, "LABS_HOME": str(tmp_path / "home")}
    own.pop("HF_DATASETS_CACHE")
    for folder in ("data", "rows"):
        (tmp_path / folder).mkdir()
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.csv\n---\n"
    (tmp_path / "rows" / "README.md").write_text(card)
    for text in ("old", "new"):
        (tmp_path / "rows" / "train.csv").write_text(f"text\n{text}\n")
        (tmp_path / "data" / "catalog.toml").write_text(f'"train.csv" = "sha256 of {text}"\n')
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=own)
        assert done.stdout.splitlines()[-1] == str([text]), done.stderr


def test_a_library_imported_too_early_is_named():
    code = "import huggingface_hub.constants, labs_utils as lab; lab.start('04')"
    assert "Restart the kernel" in run(code, HF_HUB_OFFLINE="0").stderr


def test_an_unknown_mode_names_the_modes():
    assert "'offline' or 'hub'" in run("import labs_utils as lab; lab.start('04')", LABS_MODE="online").stderr


@pytest.mark.parametrize("number", ["99", "4", "", "../04"])
def test_a_wrong_chapter_number_lists_the_chapters(number):
    with pytest.raises(WorkbookError, match="04 Tokenizers"):
        lab.start(number)


def test_start_fixes_every_seed(offline, hub):
    assert len(offline[-1].split()) == 3 and offline[-1] == hub[-1]


def test_expect_error_complains_when_nothing_is_raised():
    with pytest.raises(AssertionError, match="expected to raise ValueError"), lab.expect_error(ValueError):
        pass
    with pytest.raises(KeyError), lab.expect_error(ValueError):
        {}["another error passes through"]  # noqa: B018
