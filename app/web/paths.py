"""Files of browsers under names that say nothing of this computer.

Gradio tells browsers where their files lie, and they say so again when they use one.  Where that is, is
nobody's business: to them the folder of uploads and copies is called `/kept`.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.datastructures import MutableHeaders

from app.web.guard import App, Message, Receive, Send

NAME = "/kept"
_TOLD = (b"application/json", b"text/event-stream", b"text/html")  # kinds of answers that name files
_FILE = "/gradio_api/file="
# JSON within HTML, as gradio's filter `toorjson` writes it.
_IN_HTML = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&'"}


class Paths:
    """ASGI middleware.

    Args:
        app: what answers.
        folder: where files of browsers lie.
    """

    def __init__(self, app: App, folder: str) -> None:
        self._app = app
        self._folder = folder
        as_json = [
            json.dumps(place, ensure_ascii=False)[1:-1] for place in (folder, str(Path(folder).resolve()))
        ]
        # The longer ones first: they may begin with the others.
        places = sorted({*as_json, *(place.translate(_IN_HTML) for place in as_json)}, key=len, reverse=True)
        self._places = [place.encode() for place in places]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes the request on, and its answer back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._read_address(scope)
        if scope["method"] == "POST" and b"json" in _header(scope, b"content-type"):
            receive = self._read(receive)
        await self._app(scope, receive, send if scope["method"] == "HEAD" else self._telling(send))

    def _own(self, path: str) -> str:
        """The path here that a browser's word stands for."""
        # Behind the folder a path goes on as this computer writes it: on Windows with a backslash.
        is_kept = path.startswith((f"{NAME}/", f"{NAME}\\"))
        return self._folder + path.removeprefix(NAME) if is_kept else path

    def _read_address(self, scope: Message) -> None:
        path, query = str(scope["path"]), scope["query_string"]
        if path.startswith(_FILE):
            scope["path"] = _FILE + self._own(path.removeprefix(_FILE))
        if isinstance(query, bytes) and b"kept" in query:
            asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
            mapped = [(name, self._own(value) if name == "path" else value) for name, value in asked]
            scope["query_string"] = urlencode(mapped).encode("latin-1")

    def _read(self, receive: Receive) -> Receive:
        """The body with paths of this computer."""
        parts: list[bytes] = []

        async def reading() -> Message:
            message = await receive()
            while message["type"] == "http.request":
                part = message.get("body", b"")
                parts.append(part if isinstance(part, bytes) else b"")
                if not message.get("more_body"):
                    whole = b"".join(parts)
                    parts.clear()
                    return {**message, "body": self._mapped(whole)}
                message = await receive()
            return message

        return reading

    def _mapped(self, body: bytes) -> bytes:
        if f'"{NAME}'.encode() not in body:
            return body
        try:
            given = orjson.loads(body)
        except ValueError:  # which is told where it is read
            return body
        left = [given]
        while left:
            one = left.pop()
            if isinstance(one, list):
                left += one
            elif isinstance(one, dict):
                if isinstance(path := one.get("path"), str):
                    one["path"] = self._own(path)
                left += one.values()
        try:
            return orjson.dumps(given)
        except TypeError:  # nested too deeply: passed on as it came, so its paths are of no file
            return body

    def _telling(self, send: Send) -> Send:
        """Tells an answer without the folder's place; each part of a stream is a whole word of gradio's."""
        names_files = False
        begun: Message | None = None  # held back until its length is known

        async def telling(message: Message) -> None:
            nonlocal names_files, begun
            if message["type"] == "http.response.start":
                names_files = _header(message, b"content-type").startswith(_TOLD)
                if names_files and _header(message, b"content-length"):
                    begun = message
                else:
                    await send(message)
                return
            body = message.get("body", b"")
            if names_files and isinstance(body, bytes):
                for place in self._places:
                    body = body.replace(place, NAME.encode())
                message = {**message, "body": body}
                if begun is not None:
                    headers = MutableHeaders(scope=begun)
                    if message.get("more_body"):
                        del headers["content-length"]
                    else:
                        headers["content-length"] = str(len(body))
                    await send(begun)
                    begun = None
            await send(message)

        return telling


def _header(message: MutableMapping[str, object], name: bytes) -> bytes:
    headers = message.get("headers", ())
    return next((bytes(value) for key, value in headers if key == name), b"")  # type: ignore[attr-defined]
