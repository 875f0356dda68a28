"""A real browser and a real JupyterLab for tests and benchmarks: the network is off, and every request is noted."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "no chromium here; on Debian and Ubuntu: apt-get install chromium"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_FLAGS += ["--disable-component-update", "--disable-sync"]
_LOCAL = {"127.0.0.1", "localhost", ""}  # "" is the host of data:, blob:, about: and file:


@dataclass
class Watch:
    """What a page did: requests that would have left this machine (they were blocked) and errors of its scripts."""

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@contextlib.contextmanager
def browser() -> Iterator:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def offline_page(running, width: int = 1200, height: int = 900) -> Iterator:
    """A page with the network off, and its `Watch`: `(page, watch)`."""
    context = running.new_context(viewport={"width": width, "height": height})
    watch = Watch()

    def guard(route) -> None:
        if urlsplit(route.request.url).hostname in (None, *_LOCAL):
            route.continue_()
        else:
            watch.outside.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    page = context.new_page()
    page.on("pageerror", lambda error: watch.errors.append(str(error)))
    page.on("console", lambda message: watch.errors.append(message.text) if _is_ours(message) else None)
    try:
        yield page, watch
    finally:
        context.close()


def _is_ours(message) -> bool:
    """An error from inside a frame: JupyterLab's own log is its own affair."""
    return message.type == "error" and message.location.get("url", "").startswith("about:")


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Start JupyterLab in `folder` on a free loopback port; gives its address with the token.

    It has its own settings, and shows every cell at once: by default it lets go of cells that are scrolled away.
    """
    token, port = secrets.token_hex(16), _free_port()
    home = folder / ".jupyter"
    _settings(home, "notebook-extension/tracker", '{"windowingMode": "none"}')
    _settings(home, "apputils-extension/notification", '{"fetchNews": "false", "checkForUpdates": false}')
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    places |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    environment = os.environ | {name: str(home / place) for name, place in places.items()}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with (folder / "jupyterlab.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server)
            yield f"http://127.0.0.1:{port}/lab/tree/{{name}}?token={token}"
        finally:
            server.terminate()  # it shuts its kernels down
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(15)
            server.kill()


def _settings(home: Path, plugin: str, text: str) -> None:
    path = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait_for(address: str, server, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):
            return
        time.sleep(0.2)
    raise RuntimeError("JupyterLab did not start; its log is jupyterlab.log in the test's folder.")


def write_notebook(path: Path, sources: list[str]) -> None:
    """Write a notebook with these code cells. Without a kernel's name JupyterLab would ask for one."""
    import nbformat

    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def open_notebook(page, address: str) -> None:
    """Open a notebook in JupyterLab and wait until its kernel is idle."""
    page.goto(address)
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context?.isReady", timeout=120_000)
    page.evaluate("jupyterapp.restored")
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status === 'idle'", timeout=120_000
    )


def run_all(page, seconds: float = 180) -> None:
    """Run all cells of the open notebook and wait for the last."""
    # run-all-cells resolves when the last cell has run, to false when one raised
    page.set_default_timeout(seconds * 1000)
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")


def show(frame) -> None:
    """Scroll a frame into sight: a browser doesn't draw those that are out of it."""
    frame.frame_element().evaluate("frame => frame.scrollIntoView({ block: 'center' })")


def frames(page) -> dict:
    """The frames of our views by name (`"heads"`, …), once they have drawn; bertviz's figures under their titles."""
    found = {}
    for frame in page.frames[1:]:
        if frame.evaluate("!!document.getElementById('page')"):
            show(frame)
            frame.wait_for_selector("html[data-ready]", timeout=20_000, state="attached")
            found[frame.evaluate("figure.page.view")] = frame
        else:
            found[frame.title()] = frame
    return found
