"""What every HTTP request passes first: whom it may come from, how large it may be, what the page may load.

Pages of other web sites can send requests to a program on the same machine, under its own name or under one
that they let point to 127.0.0.1.  So the Host has to be a known one, and an Origin has to be that same host.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, MutableMapping

from starlette.requests import ClientDisconnect

from ldm_core.pictures.reading import MAX_BYTES

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_BODY = 16 * 1024 * 1024  # bytes
MAX_UPLOAD = MAX_BYTES + 1024 * 1024  # bytes of a picture's file, which goes to the disk as it comes
PART_SECONDS = 30.0  # in which the next part of a request has to come
_UPLOADS = "/gradio_api/upload"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via")

# Gradio's page has its settings and its start in inline scripts; its HTML component, of which many of ours
# are made, makes functions of `js_on_load` and of templates.  To do without, both had to be written anew.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-src 'none'; frame-ancestors 'self'; form-action 'self'; "
    "base-uri 'self'; object-src 'none'"
)
# Of a file that somebody gave or made, where it is opened by itself.
_FILE_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
_FILES = ("/gradio_api/file=", "/history/file/", "/history/thumb/", "/history/export/")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)

log = logging.getLogger(__name__)


class Guard:
    """ASGI middleware.

    Args:
        app: what answers the requests let through.
        hosts: names that the Host header may have, without port; `.name` stands for all that end so.
        is_private: whether only this computer is served; else the Host may be any address as well, for it
            cannot be a name that another web site controls.
        proxies: addresses of proxies that tell for whom they ask; uvicorn reads their headers.
    """

    def __init__(
        self,
        app: App,
        hosts: tuple[str, ...] = LOOPBACK,
        *,
        is_private: bool = True,
        proxies: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._is_private = is_private
        self._proxies = tuple(ipaddress.ip_network(proxy, strict=False) for proxy in proxies)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers 403, 413 or 500 itself, or passes the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = str(scope.get("path", ""))
        most = MAX_UPLOAD if path == _UPLOADS else MAX_BODY
        begun = False

        async def guarded_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                policy = _FILE_POLICY if path.startswith(_FILES) else _POLICY
                headers = message.get("headers", ())
                own = ((b"content-security-policy", policy.encode()), *_HEADERS)
                message["headers"] = [*headers, *own]  # type: ignore[misc]
            await send(message)

        refusal = self._refusal(scope, most)
        if refusal is not None:
            await _answer(guarded_send, *refusal)
            return
        scope["is_proxy"] = self._is_proxy(scope)
        try:
            await self._app(scope, _limited(receive, most), guarded_send)
        except ClientDisconnect:
            if not begun:
                await _answer(guarded_send, 400, "The request did not come to its end.")
        except Exception:
            log.exception("a request failed", extra={"path": path.partition("=")[0]})
            if begun:
                return  # the connection is cut, which whoever reads it sees
            await _answer(guarded_send, 500, "Something went wrong inside the program; its log says what.")

    def _refusal(self, scope: Message, most: int) -> tuple[int, str] | None:
        headers = _headers(scope)
        host = self._host(scope, headers)
        if not self._serves(_name(host)):
            return 403, "This address is not served here. Start the program with --allow-host and its name."
        if self._is_private and any(name in headers for name in _FORWARDED):
            return 403, "A proxy asks for somebody else. Start the program with --proxy and its address."
        origin = headers.get(b"origin", b"").decode("latin-1").partition("://")[2]
        if b"origin" in headers and origin != host and _name(origin) not in self._named():
            return 403, "Requests from other web sites are refused."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > most:
            return 413, f"At most {most // 2**20} MB can be sent."
        return None

    def _host(self, scope: Message, headers: dict[bytes, bytes]) -> str:
        """The name under which the program was asked; a proxy may have another one, and say so."""
        named = headers.get(b"x-forwarded-host", b"") if self._proxies else b""
        return (named or headers.get(b"host", b"")).decode("latin-1")

    def _named(self) -> tuple[str, ...]:
        return () if self._is_private else tuple(name for name in self._hosts if name not in LOOPBACK)

    def _serves(self, name: str) -> bool:
        if any(name == known or (known[0] == "." and name.endswith(known)) for known in self._hosts):
            return True
        return not self._is_private and _is_address(name)

    def _is_proxy(self, scope: Message) -> bool:
        client = scope.get("client")
        try:
            address = ipaddress.ip_address(client[0])  # type: ignore[index]
        except (TypeError, ValueError):
            return False
        return any(address in network for network in self._proxies)


def _limited(receive: Receive, most: int) -> Receive:
    """Ends a request that sends more than it announced or announces nothing, or that stops sending."""
    read, is_whole = 0, False

    async def limited_receive() -> Message:
        nonlocal read, is_whole
        try:
            message = await (receive() if is_whole else asyncio.wait_for(receive(), PART_SECONDS))
        except asyncio.TimeoutError:
            return {"type": "http.disconnect"}
        body = message.get("body", b"")
        read += len(body) if isinstance(body, bytes) else 0
        is_whole = not message.get("more_body")
        return {"type": "http.disconnect"} if read > most else message

    return limited_receive


def _headers(scope: Message) -> dict[bytes, bytes]:
    pairs = scope.get("headers", ())
    return dict(pairs)  # type: ignore[call-overload]


def _name(host: str) -> str:
    """The host without its port; an IPv6 address keeps its brackets."""
    return host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


async def _answer(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})
