"""What the real clients do against the Hub server. Each module runs in a process of its own, with the environment
that `lab.hub()` sets, because the clients read it when they are imported. `tests/hub/test_clients.py` starts them.
"""

import json
import os
import time
import traceback

from huggingface_hub import HfApi

ADA, BEN, READER = (os.environ.get(f"TOKEN_{name}") for name in ("ADA", "BEN", "READER"))


def ada() -> HfApi:
    """A client that is logged in as ada, the user who owns what the flows make."""
    return HfApi(token=ADA)


def ben() -> HfApi:
    """A client of another user, whose token writes too."""
    return HfApi(token=BEN)


def run(module: dict) -> None:
    """Run every flow of a module and print, as the last line, what went wrong in each: JSON with null for nothing."""
    told = {}
    for name, flow in module.items():
        if name.startswith("flow_"):
            begin = time.perf_counter()
            try:
                flow()
                told[name] = None
            except BaseException:
                told[name] = traceback.format_exc()
            print(f"{name}: {time.perf_counter() - begin:.1f} s", flush=True)
    print(json.dumps(told))
