"""The unmodified clients work against the Hub server, end to end over HTTP (the flows are in tests/hub/flows)."""

import ast
import functools
import json
import os
import subprocess
import sys

import pytest

from labs_utils.hub_server import auth, server
from labs_utils.paths import ROOT

MODULES = ("api", "data", "training")


def flows() -> list[tuple[str, str]]:
    """Every flow as (module, function), read without importing the clients."""
    found = []
    for module in MODULES:
        tree = ast.parse((ROOT / "tests" / "hub" / "flows" / f"{module}.py").read_text(encoding="utf-8"))
        names = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
        found += [(module, name) for name in names if name.startswith("flow_")]
    return found


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What happened in each flow of a module; the module's process runs once, against one server for all of them."""
    with server.serving(tmp_path_factory.mktemp("hub")) as hub:
        users = [("ADA", "ada", "write"), ("BEN", "ben", "write"), ("READER", "ada", "read")]
        tokens = {f"TOKEN_{key}": auth.add_user(hub.store.database, name, role) for key, name, role in users}

        @functools.cache
        def run(module: str) -> dict:
            folder = tmp_path_factory.mktemp(module)
            own = {"HF_HOME": str(folder / "hf"), "FLOW_FOLDER": str(folder), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
            environment = server.environment(hub.endpoint, tokens["TOKEN_ADA"]) | tokens | own
            command = [sys.executable, "-m", f"tests.hub.flows.{module}"]
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}, timeout=240
            )
            assert done.returncode == 0, done.stderr[-3000:]
            print(done.stdout)
            return json.loads(done.stdout.splitlines()[-1])

        yield run


@pytest.mark.parametrize(("module", "flow"), flows())
def test_flow(outcome, module, flow):
    problem = outcome(module)[flow]
    assert problem is None, problem
