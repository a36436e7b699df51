"""The way in where others than this computer's owner can reach the page: a password, before anything else.

It stands in front of every path: gradio's own login leaves some of them open and lets a password be guessed
without end.  Browsers enter by a form and are known by a cookie then; programs send `Authorization: Bearer
PASSWORD`, or Basic with the name of an account.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import html
import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from app.keeping.accounts import SESSION_SECONDS, SHARED, Account, Accounts, digest
from app.keeping.library import OWNER
from app.web.guard import App, Message, Receive, Send
from app.web.people import Visitor, is_hidden, is_safe
from app.web.throttle import Throttle, Trier

COOKIE = "atelier-entry"
DEVICE = "atelier-device"
DEVICE_SECONDS = 365 * 24 * 3600
ENTRY = "/enter"
EXIT = "/leave"
# Gradio asks itself for the first when it starts; both tell only that the program is up.
OPEN = ("/gradio_api/startup-events", "/health")
FORM_BYTES = 4096
FORM_SECONDS = 10.0  # in which a form has to be sent
AT_ONCE = 20  # passwords that one address tries
KNOWN_SECONDS = 60.0  # that a program's password is not checked again
KNOWN = 1000
MANY = "Too many wrong passwords. Wait a little, then try again."
WRONG = "That is not the password."

log = logging.getLogger(__name__)

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
  p:empty {{ display: none }}
  a {{ color: inherit; text-align: center }}
</style>
<form method="post" action="{action}">
  <h1>Latent Atelier</h1>
  {fields}
  <p role="alert">{said}</p>
</form>
</html>
"""
_NAME = """<label for="name">Name, where you were given one</label>
  <input id="name" name="name" autocomplete="username" autocapitalize="none">
  """
_PASSWORD = """<label for="password">Password, from whoever gave you this link</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
  <button>Enter</button>"""
_LEAVE = """<p>Your pictures stay here, and are there when you enter again.</p>
  <button>Leave</button>
  <a href="/">Back to the pictures</a>"""


class Door:
    """ASGI middleware, behind `People`.

    Args:
        app: what answers those who are in.
        accounts: of everybody who may enter.
        key: makes devices' cookies; another one at the next start makes them unknown.
        clock: tells seconds.
    """

    def __init__(
        self,
        app: App,
        accounts: Accounts,
        key: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._accounts = accounts
        self._key = key.encode()
        self._clock = clock
        self._throttle = Throttle(clock)
        self._trying: Counter[str] = Counter()
        self._checking = asyncio.Lock()  # a check takes a core for a moment
        self._known: OrderedDict[str, tuple[Account, float]] = OrderedDict()  # programs, by what they send

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers 401 or 429 itself, or passes the request on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        request = Request(scope, receive)
        await (await self._answer(request) or self._app)(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """What somebody is told who does not come in; None lets the request through."""
        visitor: Visitor = request.scope["visitor"]
        path = request.url.path
        if path == ENTRY and request.method == "POST":
            return await self._enter(request)
        if path == EXIT:
            return await self._leave(request)
        if visitor.person == OWNER or path in OPEN:
            return None
        token = request.cookies.get(COOKIE)
        account = None if token is None else self._accounts.session(token)
        if account is None:
            found = await self._program(request)
            if isinstance(found, Response):
                return found
            account = found
        visitor.came_by(account, token or "")
        return None

    async def _enter(self, request: Request) -> Response:
        """The answer to the form."""
        if int(request.headers.get("content-length", FORM_BYTES + 1)) > FORM_BYTES:
            return self._form("That is no password.", 413)
        try:
            body = await asyncio.wait_for(request.body(), FORM_SECONDS)
        except asyncio.TimeoutError:
            return self._form("That took too long; enter the password again.", 408)
        except ClientDisconnect:
            return Response(status_code=400)
        fields = parse_qs(body.decode("utf-8", "replace"))
        name, password = (fields.get(field, [""])[0].strip() for field in ("name", "password"))
        account, status, wait = await self._checked(request, name, password)
        if account is None:
            return self._form(MANY if status == 429 else WRONG, status, wait)
        response = RedirectResponse("/", 303)
        token, safe = self._accounts.enter(account.name), is_safe(request)
        response.set_cookie(COOKIE, token, SESSION_SECONDS, httponly=True, samesite="lax", secure=safe)
        device = self._device(account.name, secrets.token_urlsafe(16))
        response.set_cookie(DEVICE, device, DEVICE_SECONDS, httponly=True, samesite="lax", secure=safe)
        log.info("somebody entered", extra={"account": account.name or "shared"})
        return response

    async def _leave(self, request: Request) -> Response:
        """Ends a browser's session; asks first, so that a link alone ends none."""
        if request.method != "POST":
            return HTMLResponse(_PAGE.format(action=EXIT, fields=_LEAVE, said=""))
        token = request.cookies.get(COOKIE)
        if token is not None:
            self._accounts.leave(token)
        response = RedirectResponse("/", 303)
        response.delete_cookie(COOKIE)
        response.delete_cookie("atelier-person")
        return response

    async def _program(self, request: Request) -> Account | Response:
        """Whose password a program sends; or the answer to somebody who sends none."""
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        name, password = SHARED, sent.strip()
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(password, validate=True).decode().partition(":")
            except ValueError:
                scheme = ""
        if scheme.lower() not in ("bearer", "basic"):
            if request.url.path == "/":
                return self._form("", 401)
            return PlainTextResponse("Enter the password first.", 401)
        sent = digest(f"{name}\n{password}")
        account, status, wait = await self._checked(request, name, password, sent)
        if account is None:
            return _plain(MANY if status == 429 else WRONG, status, wait)
        return account

    def _remembered(self, sent: str) -> Account | None:
        account, until = self._known.get(sent, (None, 0.0))
        return account if self._clock() < until else None

    async def _checked(
        self, request: Request, name: str, password: str, sent: str = ""
    ) -> tuple[Account | None, int, float]:
        """The account; else 401 for a wrong password, 429 for one that comes too soon; seconds to wait.

        What a program sent is remembered by `sent` and not checked again for a while.
        """
        if (known := self._remembered(sent)) is not None:
            return known, 200, 0.0
        address = request.client.host if request.client else ""
        trier = Trier(address, name, self._known_device(request, name), is_hidden(request))
        wait = self._throttle.refused_for(trier)
        if wait > 0 or self._trying[address] >= AT_ONCE:
            return None, 429, wait or 1.0
        self._trying[address] += 1
        try:
            await asyncio.sleep(self._throttle.delay(trier))
            async with self._checking:
                account = self._remembered(sent) or await run_in_threadpool(
                    self._accounts.check, name, password
                )
        finally:
            self._trying[address] -= 1
            self._trying += Counter()  # drops those at zero
        if account is None:
            self._throttle.wrong(trier)
            log.warning("a wrong password", extra={"address": address})
            return None, 401, 0.0
        self._throttle.right(trier)
        if sent:
            self._known[sent] = account, self._clock() + KNOWN_SECONDS
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return account, 200, 0.0

    def _device(self, name: str, id: str) -> str:
        """The cookie of a browser that has entered an account."""
        return f"{id}.{hmac.new(self._key, f'{name}.{id}'.encode(), 'sha256').hexdigest()}"

    def _known_device(self, request: Request, name: str) -> str | None:
        cookie = request.cookies.get(DEVICE, "")
        id = cookie.partition(".")[0]
        return id if hmac.compare_digest(cookie.encode(), self._device(name, id).encode()) else None

    def _form(self, said: str, status: int, wait: float = 0.0) -> Response:
        fields = (_NAME if self._accounts.all() else "") + _PASSWORD
        page = _PAGE.format(action=ENTRY, fields=fields, said=html.escape(said))
        return HTMLResponse(page, status, _retry(wait))


def _plain(said: str, status: int, wait: float) -> Response:
    return PlainTextResponse(said, status, _retry(wait))


def _retry(wait: float) -> dict[str, str]:
    return {"retry-after": str(int(wait) + 1)} if wait else {}
