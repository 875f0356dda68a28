"""The ways in that README and Binder name, run as a newcomer would, as far as this machine can."""

import re
import shlex
import subprocess

import yaml

from benchmarks.memory import BINDER
from labs_utils.chapters import chapters
from labs_utils.paths import ROOT
from tests.elsewhere.environments import asked_for, fresh, outside

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(kind: str, place: int = 0) -> list[list[str]]:
    """The commands of a fenced block of README's, each as its words, with Windows' slashes turned."""
    found = re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)[place]
    return [shlex.split(line.replace("\\", "/")) for line in found.strip().splitlines()]


def plain(words: list[str]) -> list[str]:
    """A command without what differs between systems: how Python is called, where programs lie."""
    words = [re.sub(r"^\.venv/(bin|Scripts)/", "", word) for word in words]
    return (
        ["python", *words[2:]] if words[:2] == ["py", "-3.12"] else ["python" if w == "python3" else w for w in words]
    )


def test_windows_takes_the_same_steps_as_plain_pip():
    windows, plain_pip = block("powershell"), block("sh", 1)
    assert [plain(words) for words in windows] == [plain(words) for words in plain_pip]
    assert [plain(words)[0] for words in plain_pip] == ["python", "python", "labs", "jupyter"]


def test_conda_makes_the_environment_that_it_activates_and_goes_on_as_plain_pip_does():
    create, activate, *rest = block("sh", 2)
    assert create == ["conda", "env", "create", "-f", "environment.yml"]
    environment = yaml.safe_load((ROOT / create[-1]).read_text())
    assert activate == ["conda", "activate", environment["name"]]
    _, install, *steps = [plain(words) for words in block("sh", 1)]
    assert rest == steps
    constraint, editable = (line.split() for line in environment["dependencies"][-1]["pip"])
    assert install == ["python", "-m", "pip", "install", "-c", constraint[1], "-e", editable[1]]


def test_windows_conda_and_binder_take_the_same_python():
    windows = block("powershell")[0][1].removeprefix("-")
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][0].removeprefix("python=")
    assert windows == conda == (ROOT / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-")


def test_binder_installs_what_conda_installs_and_fetches():
    lines = (ROOT / ".binder" / "requirements.txt").read_text().splitlines()
    assert {"--constraint ../constraints.txt", "--editable .[inference]"} <= set(lines)
    post = ROOT / ".binder" / "postBuild"
    assert post.stat().st_mode & 0o100 and post.read_text().splitlines()[-1] == "labs fetch"


def test_readme_names_the_chapters_that_were_measured_to_fit_in_binders_memory():
    measured = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8").split("\n## memory\n")[1]
    kept = re.findall(rf"^\| (\d\d)_\w+ \| .* \| ≤ {BINDER} GiB \| kept \|$", measured.split("\n## ")[0], re.MULTILINE)
    said = re.search(r"has (\d) GB of\s+memory; chapters ([\d,\s–and]+) fit", README)
    assert int(said[1]) == BINDER and numbers(said[2]) == kept


def numbers(said: str) -> list[str]:
    """The chapters that a list like "00, 03–05 and 08" names."""
    found = re.findall(r"(\d\d)(?:–(\d\d))?", said)
    return [number for number in chapters() if any(first <= number <= (last or first) for first, last in found)]


@asked_for
def test_plain_pip_as_in_the_readme(tmp_path):
    """A clone, README's lines, and the first chapter runs."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    clone = tmp_path / "clone"
    home = {"LABS_HOME": str(tmp_path / "home")}
    for words in block("sh", 1):
        if words[0] != ".venv/bin/jupyter":
            subprocess.run(words, cwd=clone, env=outside(clone / ".venv" / "bin" / "python", **home), check=True)
    words = [".venv/bin/jupyter", "execute", "--timeout=600", "notebooks/00_start_here.ipynb"]
    subprocess.run(words, cwd=clone, env=outside(clone / ".venv" / "bin" / "python", **home), check=True)


@asked_for
def test_binders_steps(tmp_path):
    """requirements.txt from the root of the clone, then postBuild, then a chapter."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    clone, python = tmp_path / "clone", fresh(tmp_path / "venv")
    variables = outside(python, LABS_HOME=str(tmp_path / "home"))
    requirements = (clone / ".binder" / "requirements.txt").read_text()
    # PyTorch's own index is not asked here: a test reaches the learner's package index only.
    (clone / ".binder" / "offline.txt").write_text(re.sub(r"^--extra-index-url.*\n", "", requirements, flags=re.M))
    for words in (
        [str(python), "-m", "pip", "install", "--quiet", "-r", ".binder/offline.txt", "nbclient", "ipykernel"],
        ["./.binder/postBuild"],
        ["jupyter", "execute", "--timeout=600", "notebooks/00_start_here.ipynb"],
    ):
        subprocess.run(words, cwd=clone, env=variables, check=True)
