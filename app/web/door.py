"""The way in where others than this computer's owner can reach the page: a password, before anything else.

It stands in front of every path: gradio's own login leaves some of them open and lets a password be guessed
without end.
"""

from __future__ import annotations

import hmac
import html
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from app.web.guard import App, Message, Receive, Send

COOKIE = "atelier-entry"
COOKIE_SECONDS = 7 * 24 * 3600
ENTRY = "/enter"
# Gradio asks itself for this when it starts, and it tells nothing.
OPEN = ("/gradio_api/startup-events",)
TRIES = 5  # wrong passwords from one address within a minute
FORM_BYTES = 4096
MANY = "Too many wrong passwords. Wait a minute, then try again."

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Latent Atelier</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 90vh }}
  body {{ margin: 0 1rem }}
  form {{ display: grid; gap: .75rem; width: min(22rem, 100%) }}
  h1 {{ font-size: 1.4rem; font-weight: 600; margin: 0 }}
  input, button {{ font: inherit; padding: .6rem .75rem; border-radius: 8px; border: 1px solid #8888 }}
  button {{ background: #386b66; border-color: #386b66; color: #fff; cursor: pointer }}
  p {{ margin: 0 }}
</style>
<form method="post" action="{entry}">
  <h1>Latent Atelier</h1>
  <label for="password">Password, from whoever gave you this link</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
  <button>Enter</button>
  <p role="alert">{said}</p>
</form>
</html>
"""


def made_password() -> str:
    """One that cannot be guessed and can be read aloud."""
    return "-".join(secrets.token_hex(2) for _ in range(4))


class Door:
    """ASGI middleware.

    Browsers enter by a form and are known by a cookie then; programs send `Authorization: Bearer PASSWORD`.

    Args:
        app: what answers those who are in.
        password: of everybody who may enter.
        clock: tells seconds.
        known: the person (`app.web.people`) who needs no password.
    """

    def __init__(
        self,
        app: App,
        password: str,
        clock: Callable[[], float] = time.monotonic,
        known: str | None = None,
    ) -> None:
        self._app = app
        self._password = password.encode()
        self._known = known
        self._clock = clock
        self._entered: set[str] = set()
        self._wrong: dict[str, list[float]] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers 401 or 429 itself, or passes the request on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        request = Request(scope, receive)
        response: Response | None
        if request.url.path == ENTRY and request.method == "POST":
            response = await self._enter(request)
        elif self._is_in(request):
            response = None
        else:
            response = self._asked(request)
        await (response or self._app)(scope, receive, send)

    def _is_in(self, request: Request) -> bool:
        known = self._known is not None and request.scope.get("person") == self._known
        return known or request.url.path in OPEN or request.cookies.get(COOKIE) in self._entered

    async def _enter(self, request: Request) -> Response:
        """The answer to the form."""
        if int(request.headers.get("content-length", FORM_BYTES + 1)) > FORM_BYTES:
            return _form("That is no password.", 413)
        entered = parse_qs((await request.body()).decode("utf-8", "replace")).get("password", [""])[0]
        status = self._checked(request, entered)
        if status != 200:
            return _form(MANY if status == 429 else "That is not the password.", status)
        token = secrets.token_urlsafe(32)
        self._entered.add(token)
        response = RedirectResponse("/", 303)
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(COOKIE, token, COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure)
        return response

    def _asked(self, request: Request) -> Response | None:
        """The answer to somebody without a cookie; None lets a program with the password through."""
        scheme, _, entered = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            status = self._checked(request, entered.strip())
            if status == 200:
                return None
            return PlainTextResponse(MANY if status == 429 else "That is not the password.", status)
        if request.url.path == "/":
            return _form("", 401)
        return PlainTextResponse("Enter the password first.", 401)

    def _checked(self, request: Request, entered: str) -> int:
        """200 for the password, 401 for a wrong one, 429 for any after too many wrong ones."""
        address, now = request.client.host if request.client else "", self._clock()
        recent = {client: _within(times, now) for client, times in self._wrong.items()}
        self._wrong = {client: times for client, times in recent.items() if times}
        wrong = self._wrong.get(address, [])
        if len(wrong) >= TRIES:
            return 429
        if hmac.compare_digest(entered.encode(), self._password):
            return 200
        self._wrong[address] = [*wrong, now]
        return 401


def _within(times: list[float], now: float) -> list[float]:
    """Those of the last minute."""
    return [at for at in times if now - at < 60]


def _form(said: str, status: int) -> Response:
    return HTMLResponse(_PAGE.format(entry=ENTRY, said=html.escape(said)), status)
