"""One source for the packages: environment.yml, constraints.txt and the Makefile hold to pyproject.toml."""

import re
import subprocess
import sys
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from labs_utils.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = PROJECT["optional-dependencies"]
EXTRAS = [line for name in ("test", "docs", "inference", "classroom") for line in OPTIONAL[name]]
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *EXTRAS]]
CONSTRAINTS = {
    name.lower().replace("_", "-"): Version(version)
    for name, version in (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line)
}


def test_conda_takes_everything_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["--constraint constraints.txt", "--editable .[lab,inference]"]}
    assert {name.partition("=")[0] for name in conda} == {"python", "pip"}
    python = next(name for name in conda if name.startswith("python")).partition("=")[2]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)


def test_constraints_satisfy_every_requirement():
    for requirement in REQUIREMENTS:
        tested = CONSTRAINTS[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(tested), f"{requirement} but constraints.txt has {tested}"


def test_what_the_code_imports_is_declared():
    declared = {requirement.name.lower().replace("-", "_") for requirement in REQUIREMENTS}
    declared |= {
        "sklearn",
        "labs_utils",
        "tests",
        "benchmarks",
        "data",
        "book",
    }  # another import name; our own packages
    declared |= {
        "IPython",
        "nbformat",
        "nbclient",
        "nbconvert",
        "yaml",
        "packaging",
        "PIL",
    }  # Jupyter and the libraries bring them
    declared |= {"joblib", "conftest"}  # scikit-learn brings it, for chapter 13 to refuse; our own
    declared |= {"gradio"}  # chapter 13 uses it where a reader has it, and says how to get it
    found = set()
    for path in [*ROOT.glob("labs_utils/**/*.py"), *ROOT.glob("chapters/*/*.py"), *ROOT.glob("tests/**/*.py")]:
        found |= set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert found - declared - set(sys.stdlib_module_names) == set()


def test_tracked_files_stay_small():
    """The whole project, weights included, stays under 40 MiB."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        import pytest

        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(path.stat().st_size for path in paths if path.is_file()) < 40 * 2**20
