"""Says of every request whose it is.

Where only this computer reaches the page everybody is its owner.  Else a browser is known by its account,
or by a secret in a cookie; the owner's browsers get theirs by a link that the program prints.  An address
proves nothing: what comes through a tunnel comes from 127.0.0.1.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse

from app.keeping.accounts import SHARED, Account, digest
from app.keeping.library import OWNER
from app.studio.limits import Limits
from app.web.guard import App, Message, Receive, Send

COOKIE = "atelier-person"
COOKIE_SECONDS = 365 * 24 * 3600


class Visitor:
    """Who asks.  Writes into the scope: "person", an id; "share", who counts as one with others."""

    def __init__(self, request: Request, person: str, limits: Limits) -> None:
        self.person = person
        self._request = request
        self._limits = limits
        request.scope["person"] = person
        request.scope["share"] = OWNER if person == OWNER else _address(request) or f"person {person}"

    def came_by(self, account: Account, token: str) -> None:
        """The door let them in."""
        share = str(self._request.scope["share"])
        if account.is_owner:
            self.person = share = OWNER
        elif account.name != SHARED:
            self.person, share = digest(f"account {account.name}"), f"account {account.name}"
        elif token and is_hidden(self._request):
            share = f"session {digest(token)}"
        self._request.scope["person"], self._request.scope["share"] = self.person, share
        self._limits.meet(self.person, share)


class People:
    """ASGI middleware: puts a `Visitor` into the scope as "visitor".

    Args:
        app: what answers.
        secret: that makes a browser the owner's; None: everybody is the owner.
        limits: hears which share each person is of.
    """

    def __init__(self, app: App, secret: str | None, limits: Limits) -> None:
        self._app = app
        self._owner = None if secret is None else digest(secret)
        self._limits = limits

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if self._owner is None or scope["type"] not in ("http", "websocket"):
            scope["person"] = scope["share"] = OWNER
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        request = Request(scope)
        given = request.query_params.get("owner")
        if given is not None and request.url.path == "/":
            response = RedirectResponse("/", 303)
            if self._id_of(given) == OWNER:
                response.headers.append("set-cookie", _cookie(given, request))
            await response(scope, receive, send)
            return
        known = request.cookies.get(COOKIE)
        # Programs have no cookies; those that know the same password are one person.
        secret = known or request.headers.get("authorization") or secrets.token_urlsafe(32)
        scope["visitor"] = Visitor(request, self._id_of(secret), self._limits)

        async def introducing_send(message: Message) -> None:
            if message["type"] == "http.response.start" and known is None and request.url.path == "/":
                MutableHeaders(scope=message).append("set-cookie", _cookie(secret, request))
            await send(message)

        await self._app(scope, receive, introducing_send)

    def _id_of(self, secret: str) -> str:
        hashed = digest(secret)
        return OWNER if self._owner is not None and hmac.compare_digest(hashed, self._owner) else hashed


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


def is_hidden(request: Request) -> bool:
    """Whether the address that is known is a tunnel's or a proxy's, and many come from it."""
    return not _address(request)


def is_safe(request: Request) -> bool:
    """Whether the browser came by https, as far as it can be told."""
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"


def _address(request: Request) -> str:
    """Of the computer that asks, those of one IPv6 network as one; empty where that is not known."""
    if request.scope.get("is_proxy"):
        return ""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if address.is_loopback:
        return ""
    if address.version == 6:
        return f"address {ipaddress.ip_network((address, 64), strict=False)}"
    return f"address {address}"


def _cookie(secret: str, request: Request) -> str:
    cookie = f"{COOKIE}={secret}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=lax"
    return f"{cookie}; Secure" if is_safe(request) else cookie
