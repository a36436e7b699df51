"""Says of every request whose it is.

Where only this computer reaches the page everybody is its owner.  Else a browser is known by a secret in a
cookie; the owner's browsers get theirs by a link that the program prints.  An address proves nothing: what
comes through a tunnel comes from 127.0.0.1.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

from app.keeping.library import OWNER
from app.web.guard import App, Message, Receive, Send

COOKIE = "atelier-person"
COOKIE_SECONDS = 365 * 24 * 3600
PAGES = 10_000  # whose owners are remembered


class People:
    """ASGI middleware: puts the person's id into the scope as "person".

    Args:
        app: what answers.
        secret: that makes a browser the owner's; None: everybody is the owner.
    """

    def __init__(self, app: App, secret: str | None) -> None:
        self._app = app
        self._owner = None if secret is None else _hashed(secret)
        self._pages: OrderedDict[str, str] = OrderedDict()  # session hashes of pages, and whose they are

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes the request on, unless it is for another's page."""
        if self._owner is None or scope["type"] not in ("http", "websocket"):
            scope["person"] = OWNER
            await self._app(scope, receive, send)
            return
        request = Request(scope) if scope["type"] == "http" else None
        if request is None:
            await send({"type": "websocket.close"})
            return
        secret = request.query_params.get("owner")
        if secret is not None and request.url.path == "/":
            response = RedirectResponse("/", 303)
            if self._id_of(secret) == OWNER:
                response.headers.append("set-cookie", _cookie(secret, request))
            await response(scope, receive, send)
            return
        known = request.cookies.get(COOKIE)
        # Programs have no cookies; those that know the same password are one person.
        secret = known or request.headers.get("authorization") or secrets.token_urlsafe(32)
        scope["person"] = person = self._id_of(secret)
        if not self._is_own(request, person):
            await PlainTextResponse("This page is somebody else's.", 403)(scope, receive, send)
            return

        async def introducing_send(message: Message) -> None:
            if message["type"] == "http.response.start" and known is None and request.url.path == "/":
                MutableHeaders(scope=message).append("set-cookie", _cookie(secret, request))
            await send(message)

        await self._app(scope, receive, introducing_send)

    def _id_of(self, secret: str) -> str:
        hashed = _hashed(secret)
        return OWNER if self._owner is not None and hmac.compare_digest(hashed, self._owner) else hashed

    def _is_own(self, request: Request, person: str) -> bool:
        """Whether what a page is told goes to the person who opened it first."""
        path = request.url.path
        page = request.query_params.get("session_hash")
        if page is None and "/heartbeat/" in path:
            page = path.rpartition("/")[2]
        if page is None:
            return True
        whose = self._pages.setdefault(page, person)
        self._pages.move_to_end(page)
        if len(self._pages) > PAGES:
            self._pages.popitem(last=False)
        return whose == person


def owner_secret(folder: Path) -> str:
    """The secret of the owner's link, the same at every start; another one where it cannot be kept."""
    file = folder / "owner.txt"
    try:
        kept = file.read_text(encoding="ascii").strip()
        if len(kept) >= 32:
            return kept
    except (OSError, ValueError):
        pass
    secret = secrets.token_urlsafe(32)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(secret, encoding="ascii")
    except OSError:
        pass
    return secret


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _cookie(secret: str, request: Request) -> str:
    cookie = f"{COOKIE}={secret}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=lax"
    is_safe = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    return f"{cookie}; Secure" if is_safe else cookie
