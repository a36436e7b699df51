"""A small hub on this machine, for tests: honest, and with every fault that a network or server can have."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "painter/skies"


@dataclass
class Hub:
    """What it serves, what it does wrong, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)  # path -> answer, of other hosts' kinds
    card: dict[str, object] = field(default_factory=lambda: {"license": "mit"})
    commit: str = COMMIT
    repository: str = REPOSITORY
    status: dict[str, int] = field(default_factory=dict)  # path's end -> answer instead
    headers: dict[str, str] = field(default_factory=dict)  # of those answers
    drop_after: list[int] = field(default_factory=list)  # bytes of the next answers, then the line is cut
    wrong: dict[str, bytes] = field(default_factory=dict)  # sent instead of the announced content
    redirect: str = ""  # where files are said to lie
    ranges: bool = True
    trickle: float = 0.0  # seconds between pieces
    piece: int = 1  # bytes
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    def api(self) -> bytes:
        rows = []
        for path, data in self.files.items():
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
            row: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": git}
            if len(data) > 1000:
                row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            rows.append(row)
        return json.dumps({"sha": self.commit, "siblings": rows, "cardData": self.card}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.asked.append((path, dict(self.headers.items())))
        for end, status in hub.status.items():
            if path.endswith(end):
                return self.answer(status, b"", hub.headers)
        if path in hub.plain:
            return self.send_file(hub.plain[path])
        if path.startswith("/api/models/"):
            return self.answer(200, hub.api()) if hub.repository in path else self.answer(404, b"")
        name = path.partition(f"/resolve/{hub.commit}/")[2]
        if name not in hub.files:
            return self.answer(404, b"")
        if hub.redirect:
            return self.answer(302, b"", {"Location": hub.redirect})
        return self.send_file(hub.wrong.get(name, hub.files[name]))

    def send_file(self, data: bytes) -> None:
        start, wanted = 0, self.headers.get("Range", "")
        if wanted and self.hub.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        body = data[start:]
        if self.hub.drop_after:
            self.start(206 if start else 200, len(body), headers)
            self.wfile.write(body[: self.hub.drop_after.pop(0)])
            self.close_connection = True
        elif self.hub.trickle:
            self.start(206 if start else 200, len(body), headers)
            for at in range(0, len(body), self.hub.piece):
                self.wfile.write(body[at : at + self.hub.piece])
                time.sleep(self.hub.trickle)
        else:
            self.answer(206 if start else 200, body, headers)

    def start(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.start(status, len(body), headers or {})
        self.wfile.write(body)

    def handle(self) -> None:
        with suppress(OSError):  # the other side went away
            super().handle()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serves until the end of the block, at `hub.address`."""
    handler = type("Bound", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
