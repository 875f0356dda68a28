"""A chapter runs where there is no network at all: in a network namespace that has only loopback."""

import os
import shutil
import subprocess
import sys

import pytest

from labs_utils.paths import ROOT

# Bring up `lo`, show that nothing else is there, then run the notebook.
INSIDE = """
import array, fcntl, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    request = struct.pack("16sh", b"lo", 0)
    flags = struct.unpack("16sh", fcntl.ioctl(s, 0x8913, request))[1]          # SIOCGIFFLAGS
    fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", flags | 1))              # SIOCSIFFLAGS, IFF_UP
assert [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex()
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)                     # a documentation address
    sys.exit("the network is not off")
except OSError:
    pass
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}).execute()
print("ran", len(notebook.cells), "cells")
"""


def namespaces_allowed() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "--net", "--map-root-user", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not namespaces_allowed(), reason="network namespaces are not allowed here (unshare --net fails)")
@pytest.mark.parametrize("stem", ["00_start_here"])
def test_a_solved_notebook_runs_with_only_loopback(stem, tmp_path):
    command = ["unshare", "--net", "--map-root-user", sys.executable, "-c", INSIDE]
    command += [str(ROOT / "solutions" / f"{stem}.ipynb"), str(tmp_path)]
    environment = {**os.environ, "LABS_STRICT": "1", "LABS_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("ran ")
