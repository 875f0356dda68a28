"""What a chapter's first cell does on Colab, once the clone is there: install what is missing, fetch the models.

It runs before the workbook's packages are installed, so it needs nothing but Python, pip and `packaging`, which Colab
has. What Colab has stays as it is wherever the workbook can use it: torch and pandas are not downloaded again.
"""

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from labs_utils.errors import WorkbookError

_CLONE = Path(__file__).resolve().parent.parent


def prepare(number: str, ref: str, clone: Path = _CLONE) -> None:
    """Bring the clone to `ref`, install it, and fetch the models of chapter `number`; at once where all that is done.

    Raises:
        WorkbookError: git, pip or the fetch failed, or the kernel has loaded a library that was replaced: the message
            says what to do.
    """
    begun, stamp = time.monotonic(), clone / ".git" / "prepared.json"
    done = json.loads(stamp.read_text()) if stamp.is_file() else {}
    if done.get("ref") not in (ref, None):
        _run(["git", "-C", str(clone), "fetch", "--quiet", "--depth=1", "origin", ref])
        _run(["git", "-C", str(clone), "checkout", "--quiet", "--detach", "FETCH_HEAD"])
    if done.get("ref") != ref:
        before = _installed()
        _install(clone)
        done = {"ref": ref, "fetched": done.get("fetched", []), "replaced": _replaced(before)}
        stamp.write_text(json.dumps(done))
    _refuse_old_imports(done["replaced"])
    missing = [role for role in fetched_roles(number, clone) if role not in done["fetched"]]
    if missing:
        _run([sys.executable, "-m", "labs_utils.cli", "fetch", *missing], cwd=clone)
        stamp.write_text(json.dumps(done | {"fetched": [*done["fetched"], *missing]}))
    print(f"The workbook ({ref}) is in {clone}, and its packages are installed: {time.monotonic() - begun:.0f} s.")
    print(f"Fetched for this chapter: {', '.join(missing) or 'nothing is missing'}.")


def fetched_roles(number: str, clone: Path = _CLONE) -> list[str]:
    """The roles of `labs fetch` that a chapter names, or that a role it names is an adapter for.

    >>> fetched_roles("12")
    ['llm']
    >>> fetched_roles("08")
    []
    """
    models = tomllib.loads((clone / "data" / "catalog.toml").read_text(encoding="utf-8"))["models"]
    lesson = next(clone.glob(f"chapters/{number}_*/lesson.py")).read_text(encoding="utf-8")
    named = {role for role in models if f'"{role}"' in lesson}
    named |= {models[role]["adapter_of"] for role in named if "adapter_of" in models[role]}
    return sorted(role for role in named if "wheel" in models[role])


def fences(tested: str, installed: dict[str, str]) -> str:
    """pip's constraints: each package at most as new as it was tested, or as it is here already.

    Args:
        tested: the lines of constraints.txt, `name==version`.
        installed: what is here, a version for each normalised name.

    A local version such as +cu130 is left out: pip takes none beside <=, and counts 2.14.0+cu130 as 2.14.0.

    >>> fences("torch==2.13.0\\npandas==3.1.1", {"torch": "2.14.0+cu130", "pandas": "2.2.3"})
    'torch<=2.14.0\\npandas<=3.1.1'
    """
    from packaging.version import Version

    lines = []
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", tested, re.MULTILINE):
        highest = max(Version(version), Version(installed.get(_normal(name), version)))
        lines.append(f"{name}<={highest.public}")
    return "\n".join(lines)


def _install(clone: Path) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(fences((clone / "constraints.txt").read_text(encoding="utf-8"), _installed()))
        file.flush()
        _run([sys.executable, "-m", "pip", "install", "--quiet", "-c", file.name, "--editable", str(clone)])
    importlib.invalidate_caches()


def _installed() -> dict[str, str]:
    found = importlib.metadata.distributions()
    return {_normal(one.metadata["Name"]): one.version for one in found if one.metadata["Name"]}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _replaced(before: dict[str, str]) -> dict[str, str]:
    """The version that each module's package had before it was replaced, by the module's name."""
    after = _installed()
    changed = {name: version for name, version in before.items() if after.get(name) != version}
    modules = importlib.metadata.packages_distributions()
    return {
        module: changed[_normal(names[0])]
        for module, names in modules.items()
        if names and _normal(names[0]) in changed
    }


def _refuse_old_imports(replaced: dict[str, str]) -> None:
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in replaced}
    old = [f"{name} {version}" for name, version in loaded.items() if version == replaced[name]]
    if old:
        raise WorkbookError(
            f"Colab had loaded {', '.join(old)} before the newer version was installed. Choose Runtime → Restart "
            "session in the menu, then run this cell again: it will take a second."
        )


def _run(command: list[str], cwd: Path | None = None) -> None:
    ended = subprocess.run(command, cwd=cwd, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    if ended.returncode:
        last = "\n".join(ended.stderr.strip().splitlines()[-6:])
        raise WorkbookError(
            f"`{' '.join(command[:4])} …` ended with status {ended.returncode}. Run the cell again; if it fails again, "
            f"choose Runtime → Disconnect and delete runtime, and start over. It said:\n{last}"
        )
