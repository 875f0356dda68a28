"""A package index on loopback with one wheel: it counts, damages, cuts and delays what pip asks for."""

import contextlib
import hashlib
import http.server
import io
import threading
import time
import zipfile


def wheel(name: str, files: dict[str, bytes]) -> bytes:
    """A pure wheel, version 1.0, with these files and a licence."""
    stored = io.BytesIO()
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    own = {f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": tags.encode(), f"{info}/RECORD": b""}
    with zipfile.ZipFile(stored, "w") as archive:
        for path, content in {**files, **own, f"{info}/LICENSE": b"do what you like"}.items():
            archive.writestr(path, content)
    return stored.getvalue()


class Index:
    """What the server holds, and how it behaves: `cut` sends half of the wheel, `slow` sends it over some seconds."""

    def __init__(self, name: str, content: bytes):
        self.name, self.content = name, content
        self.cut, self.slow, self.downloads = False, 0.0, 0
        self.address = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@contextlib.contextmanager
def serving(index: Index):
    """Serve the index; its `address` is for PIP_INDEX_URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            file = f"{index.name}-1.0-py3-none-any.whl"
            if self.path.endswith(f"/simple/{index.name.replace('_', '-')}/"):
                self._send(f'<a href="/files/{file}">{file}</a>'.encode(), "text/html")
            elif self.path == f"/files/{file}":
                index.downloads += 1
                self._send(index.content, "application/octet-stream")
            else:
                self.send_error(404)

        def _send(self, body: bytes, kind: str):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            is_wheel = kind == "application/octet-stream"
            if is_wheel and index.cut:
                body = body[: len(body) // 2]
            for start in range(0, len(body), 1 + len(body) // 20):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(body[start : start + 1 + len(body) // 20])
                time.sleep(index.slow / 20 if is_wheel else 0)
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.address = f"http://127.0.0.1:{server.server_port}/simple"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
