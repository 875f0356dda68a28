"""A bare HTTP client for tests of what the server answers, byte by byte."""

import base64
import hashlib
import http.client
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Raw:
    """One kept-alive connection with one token."""

    def __init__(self, endpoint: str, token: str | None = None):
        self.connection = http.client.HTTPConnection(endpoint.partition("://")[2], timeout=60)
        self.token = token

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request and return the whole answer; a dict is sent as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if isinstance(body, dict):
            body, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        self.connection.request(method, path, body, sent)
        got = self.connection.getresponse()
        return Answer(got.status, got.headers, got.read())

    def create(self, name: str, kind: str = "model", private: bool = False) -> Answer:
        """Make a repository."""
        visibility = "private" if private else "public"
        return self.ask("POST", "/api/repos/create", {"name": name, "type": kind, "visibility": visibility})

    def commit(self, repo: str, *operations: dict, parent: str | None = None) -> Answer:
        """Commit to main of a model."""
        header = {"summary": "test"} | ({"parentCommit": parent} if parent else {})
        lines = [{"key": "header", "value": header}, *operations]
        return self.ask("POST", f"/api/models/{repo}/commit/main", "\n".join(map(json.dumps, lines)).encode())

    def upload(self, repo: str, content: bytes, claimed: bytes | None = None) -> Answer:
        """Send content as an LFS upload; `claimed` is what the announcement is computed from, if not the content."""
        claimed = content if claimed is None else claimed
        wish = {"oid": hashlib.sha256(claimed).hexdigest(), "size": len(claimed)}
        asked = self.ask("POST", f"/{repo}.git/info/lfs/objects/batch", {"operation": "upload", "objects": [wish]})
        if asked.status != 200 or "actions" not in asked.json["objects"][0]:
            return asked
        address = asked.json["objects"][0]["actions"]["upload"]["href"]
        return self.ask("PUT", "/" + address.split("/", 3)[3], content, Authorization="")


def file(path: str, content: bytes) -> dict:
    """The operation that adds a regular file."""
    encoded = base64.b64encode(content).decode()
    return {"key": "file", "value": {"path": path, "content": encoded, "encoding": "base64"}}


def lfs_file(path: str, content: bytes) -> dict:
    """The operation that adds an uploaded file."""
    oid = hashlib.sha256(content).hexdigest()
    return {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": oid, "size": len(content)}}
