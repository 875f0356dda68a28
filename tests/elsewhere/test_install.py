"""The ways in that README and Binder name, run as a newcomer would, as far as this machine can."""

import json
import re
import shlex
import subprocess
import time
import urllib.request
from pathlib import Path

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


def pages_opened(words: list[str], clone: Path, own: Path, variables: dict[str, str]) -> tuple[str, bytes, bytes]:
    """Start JupyterLab with a command; return the address for the browser, the page there, and what its file is."""
    places = {"JUPYTER_RUNTIME_DIR": str(own), "JUPYTER_CONFIG_DIR": str(own / "config")}
    more = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    server = subprocess.Popen([*words, *more], cwd=clone, env=variables | places)
    try:
        address, end = None, time.monotonic() + 120
        while not address and server.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
            found = [file.read_text() for file in own.glob("jpserver-file-to-run-*-open.html")]
            address = re.search(r'href="(.*?)"', "".join(found))
        assert address, "JupyterLab did not start; its log is above."
        both = (address[1], address[1].replace("/lab/tree/", "/api/contents/"))
        return address[1], *(urllib.request.urlopen(one, timeout=60).read() for one in both)
    finally:
        server.terminate()
        server.wait(60)


@asked_for
def test_plain_pip_as_in_the_readme(tmp_path):
    """A clone, README's lines: JupyterLab opens the first chapter, and it runs."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    clone, first = tmp_path / "clone", "notebooks/00_start_here.ipynb"
    variables = outside(clone / ".venv" / "bin" / "python", LABS_HOME=str(tmp_path / "home"))
    *steps, lab = block("sh", 1)
    for words in steps:
        subprocess.run(words, cwd=clone, env=variables, check=True)
    assert lab == [".venv/bin/jupyter", "lab", first]
    address, page, file = pages_opened(lab, clone, tmp_path / "jupyter", variables)
    assert "/lab/tree/00_start_here.ipynb?" in address and b"<title>JupyterLab</title>" in page
    assert json.loads(file)["type"] == "notebook"
    words = [".venv/bin/jupyter", "execute", "--timeout=600", first]
    subprocess.run(words, cwd=clone, env=variables, check=True)


def binders_program(folder: Path, clone: Path) -> str:
    """The Dockerfile that repo2docker, Binder's own program, makes of the clone; it needs no Docker for that."""
    python = fresh(folder)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "jupyter-repo2docker"], check=True)
    someone = ["--user-id", "1000", "--user-name", "learner"]
    words = [python.with_name("repo2docker"), "--no-build", "--debug", *someone, str(clone)]
    run = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return run.stdout


@asked_for
def test_binders_steps(tmp_path):
    """What repo2docker would run in the clone, run in a fresh environment; then a chapter."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    clone, python = tmp_path / "clone", fresh(tmp_path / "venv")
    dockerfile = binders_program(tmp_path / "repo2docker", clone)
    wanted = (clone / ".binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"Building conda environment for python={wanted}\n" in dockerfile
    # Only behind this line does the whole repository lie there, which an editable install needs.
    steps = re.findall(r"^RUN (.*)$", dockerfile.split("# Copy stuff.")[1], re.MULTILINE)
    assert [words[0].rpartition("/")[2] for words in map(shlex.split, steps)] == ["pip", "chmod", "postBuild"]
    # PyTorch's own index is not asked here: a test reaches the learner's package index only.
    requirements = clone / ".binder" / "requirements.txt"
    requirements.write_text(re.sub(r"^--extra-index-url.*\n", "", requirements.read_text(), flags=re.MULTILINE))
    variables = outside(python, LABS_HOME=str(tmp_path / "home"), KERNEL_PYTHON_PREFIX=str(python.parents[1]))
    for step in (
        "pip install --quiet nbclient ipykernel",  # what is in Binder's image before
        *steps,
        "jupyter execute --timeout=600 notebooks/00_start_here.ipynb",
    ):
        subprocess.run(step, shell=True, cwd=clone, env=variables, check=True)
