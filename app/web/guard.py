"""What every HTTP request passes first: whom it may come from, how large it may be, what the page may load.

Pages of other web sites can send requests to a program on the same machine, under its own name or under one
that they let point to 127.0.0.1.  So the Host has to be a known one, and an Origin has to be that same host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping

from ldm_core.pictures.reading import MAX_BYTES

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_BODY = 64 * 1024 * 1024  # bytes
MAX_UPLOAD = MAX_BYTES + 1024 * 1024  # bytes of a picture's file, which goes to the disk as it comes
_UPLOADS = "/gradio_api/upload"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

# Gradio's page needs inline scripts, and its HTML component makes functions of text.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'; "
    "object-src 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


class Guard:
    """ASGI middleware.

    Args:
        app: what answers the requests let through.
        hosts: names that the Host header may have, without port; empty lets all through.
    """

    def __init__(self, app: App, hosts: tuple[str, ...] = ()) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers 403 or 413 itself, or passes the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        most = MAX_UPLOAD if scope.get("path") == _UPLOADS else MAX_BODY
        refusal = self._refusal(scope, most)
        if refusal is not None:
            await _answer(send, *refusal)
            return

        read = 0

        async def limited_receive() -> Message:
            """Ends a request that sends more than it announced or announces nothing."""
            nonlocal read
            message = await receive()
            body = message.get("body", b"")
            read += len(body) if isinstance(body, bytes) else 0
            return {"type": "http.disconnect"} if read > most else message

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                message["headers"] = [*headers, *_HEADERS]  # type: ignore[misc]
            await send(message)

        await self._app(scope, limited_receive, guarded_send)

    def _refusal(self, scope: Message, most: int) -> tuple[int, str] | None:
        headers = _headers(scope)
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts and _name(host) not in self._hosts:
            return 403, "This address is not served here."
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2] != host:
            return 403, "Requests from other web sites are refused."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > most:
            return 413, f"At most {most // 2**20} MB can be sent."
        return None


def _headers(scope: Message) -> dict[bytes, bytes]:
    pairs = scope.get("headers", ())
    return dict(pairs)  # type: ignore[call-overload]


def _name(host: str) -> str:
    """The host without its port; an IPv6 address keeps its brackets."""
    return host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host


async def _answer(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})
