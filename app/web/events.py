"""What gradio is asked, before it is: whose page and whose event it is, and whether it can be answered.

Gradio gives results to whoever names a page's session or an event, and takes both from whoever asks.  Here
each belongs to the person who named it first; to others it does not exist.  What gradio would answer with a
fault (no such function, too few inputs) is a sentence, and what this program does not use of it is not
there.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress

import gradio as gr
import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from app.studio.limits import ALL_GUESTS, Limits
from app.studio.presence import Presence
from app.web.guard import App, Message, Receive, Send
from app.widgets.asking import guest_of
from app.widgets.uploads import is_upload
from ldm_core.errors import AtelierError

KEPT = 2000  # names of each person that are remembered
MAX_NAME = 200  # characters
_API = "/gradio_api/"
_OPEN = re.compile(  # what the page and programs use
    r"run/[^/]+|api/[^/]+|call/[^/]+|call/[^/]+/[^/]+|call/v2/[^/]+|call/v2/[^/]+/[^/]+|queue/(join|data|status)|"
    r"cancel|reset|heartbeat/[^/]+|component_server|upload|upload_progress|file=.*|info|openapi\.json|"
    r"startup-events|app_id|theme\.css|user|login_check|custom_component/.*"
)
_CALLS = re.compile(r"(?:run|api|call|call/v2|queue)/([^/]+)")
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:")
_SHUT = re.compile(r"/(monitoring|login|logout|svelte)(/|$)")
_NONE = "There is no such thing here."


class Refused(AtelierError):
    """A request that is not passed on."""

    def __init__(self, status: int, sentence: str, wait: float = 0.0) -> None:
        super().__init__(sentence)
        self.status = status
        self.wait = wait


class Names:
    """Whose each name is: sessions of pages, events, uploads.  Who named it first has it."""

    def __init__(self) -> None:
        self._whose: dict[str, str] = {}
        self._own: defaultdict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)

    def has(self, person: str, name: str) -> bool:
        """Whether a name is known, and that person's."""
        return self._whose.get(name) == person

    def take(self, person: str, name: str) -> bool:
        """Whether a name is that person's from now on."""
        if self._whose.setdefault(name, person) != person:
            return False
        own = self._own[person]
        own[name] = None
        own.move_to_end(name)
        if len(own) > KEPT:
            del self._whose[own.popitem(last=False)[0]]
        return True


class Events:
    """ASGI middleware, behind those that say who asks.

    Args:
        app: what answers.
        blocks: the page.
        limits: how much each person may ask.
        presence: hears who is there.
    """

    def __init__(self, app: App, blocks: gr.Blocks, limits: Limits, presence: Presence) -> None:
        self._app = app
        self._blocks = blocks
        self._limits = limits
        self._presence = presence
        self._names = Names()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers itself, or passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            wait = self._limits.may_ask(str(scope["share"]))
            if wait > 0:
                raise Refused(429, "Too many requests; wait a moment.", wait)
            body = await self._checked(request)
        except Refused as error:
            headers = {"retry-after": str(int(error.wait) + 1)} if error.wait else {}
            if error.status >= 413:
                headers["connection"] = "close"
            answer: Response = PlainTextResponse(str(error), error.status, headers)
            if request.method == "POST":
                answer = JSONResponse({"detail": str(error)}, error.status, headers)
            await answer(scope, receive, send)
            return
        if body is not None:
            receive = _again(body, receive)
        path = request.url.path
        if request.method == "POST" and (path == _API + "queue/join" or path.startswith(_API + "call/")):
            send = self._noting(send, str(scope["person"]))
        with self._presence.asking(guest_of(scope)):
            await self._app(scope, receive, send)

    async def _checked(self, request: Request) -> bytes | None:
        """The body that is passed on, where it was read.

        Raises:
            Refused: the request is not passed on.
        """
        path, person = request.url.path, str(request.scope["person"])
        if not path.startswith(_API):
            if _SHUT.match(path):
                raise Refused(404, _NONE)
            return None
        asked = path.removeprefix(_API).rstrip("/")
        if not _OPEN.fullmatch(asked):
            raise Refused(404, _NONE)
        if request.method == "POST" and asked != "upload":
            return await self._posted(request, asked, person)
        self._looked_up(request, asked, person)
        return None

    def _looked_up(self, request: Request, asked: str, person: str) -> None:
        """Whether what a request without a body names is its person's."""
        first, _, last = asked.rpartition("/")
        if asked == "queue/data":
            session = request.query_params.get("session_hash", "")
            open_ = self._blocks._queue.pending_messages_per_session
            if not self._names.has(person, session) or session not in open_:
                raise Refused(404, _NONE)
        elif first.startswith("call/") and not self._names.has(person, last):
            raise Refused(404, "There is no such job here.")
        name = last if first == "heartbeat" else request.query_params.get("upload_id")
        if name is not None and (len(name) > MAX_NAME or not self._names.take(person, name)):
            raise Refused(404, _NONE)

    async def _posted(self, request: Request, asked: str, person: str) -> bytes:
        body = await request.body()
        try:
            given = orjson.loads(body)
        except ValueError:
            raise Refused(400, "The request is no JSON.") from None
        if not isinstance(given, dict):
            raise Refused(400, "The request has to be a JSON object.")
        session = None if asked.startswith("call/v2/") else given.get("session_hash")
        is_name = isinstance(session, str) and 0 < len(session) <= MAX_NAME
        if session is not None and not (is_name and self._names.take(person, str(session))):
            raise Refused(403, "This page is somebody else's.")
        if asked == "cancel":
            return await self._cancelled(given, person)
        if asked == "component_server":
            self._require_component(given)
        elif asked != "reset":
            self._require_function(asked, given)
            self._require_room(asked, str(request.scope["share"]))
        return body

    def _require_component(self, given: Mapping[str, object]) -> None:
        id = given.get("component_id")
        if (
            type(id) is not int
            or id not in self._blocks.blocks
            or not {"data", "session_hash", "fn_name"} <= given.keys()
        ):
            raise Refused(404, _NONE)

    def _require_function(self, asked: str, given: Mapping[str, object]) -> None:
        """That there is the function which is called, with as many inputs as are given."""
        called = _CALLS.fullmatch(asked)
        name, index = called[1] if called else "", given.get("fn_index")
        by_name = asked.startswith("call/") or index is None
        if by_name:
            function = next((one for one in self._blocks.fns.values() if one.api_name == name), None)
        else:
            function = self._blocks.fns.get(index) if type(index) is int else None
        if function is None:
            raise Refused(404, "There is no such function here.")
        if asked.startswith("call/v2/"):
            if set(given) != {"request"}:  # the one parameter that our endpoints have
                raise Refused(422, "Give one value, of the name `request`.")
            data: object = list(given.values())
        else:
            data = given.get("data")
            expected = {len(function.inputs), sum(not one.skip_api for one in function.inputs)}
            if not isinstance(data, list) or len(data) not in expected:
                count = max(expected)
                raise Refused(422, f"data has to be a list of {count} {'value' if count == 1 else 'values'}.")
        is_public = function.api_visibility == "public"  # the page's own read files by `uploaded_file`
        for path, is_file in _paths(data):
            # Gradio would fetch an address; of another file that it takes for one it says nothing.
            if _ADDRESS.match(path) or (is_public and is_file and not is_upload(path)):
                raise Refused(422, "A file that is named did not reach the program; upload it first.")

    def _require_room(self, asked: str, share: str) -> None:
        """That neither this share's events nor those of all guests are too many."""
        if asked.startswith(("run/", "api/")):
            return
        queue = self._blocks._queue
        running = [event for job in queue.active_jobs if job for event in job]
        waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
        shares = [str(event.request.scope.get("share")) for event in (*running, *waiting)]
        allowed = self._limits.allowance(share)
        if shares.count(share) >= allowed.events:
            raise Refused(
                429, "Too many of your calls and pages are open here; wait for some, or close some.", 5
            )
        if allowed.events < ALL_GUESTS.events <= len(shares):
            raise Refused(503, "Very many are at work here just now; try again in a few minutes.", 60)

    async def _cancelled(self, given: Mapping[str, object], person: str) -> bytes:
        """Ends an event, its work included; what is left for gradio is to say so."""
        id = given.get("event_id")
        if not isinstance(id, str) or not self._names.has(person, id):
            raise Refused(404, "There is no such job here.")
        event = self._blocks._queue.event_ids_to_events.get(id)
        running = [task for task in asyncio.all_tasks() if task.get_name().endswith(f"<gradio-sep>{id}")]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        session = given.get("session_hash") if event is None else event.session_hash
        # Gradio would end every event of the session's that calls the same function.
        return json.dumps({"session_hash": session or id, "fn_index": -1, "event_id": id}).encode()

    def _noting(self, send: Send, person: str) -> Send:
        """Notes whose the event is that gradio's answer names."""
        whole = b""

        async def noting_send(message: Message) -> None:
            nonlocal whole
            if message["type"] == "http.response.body":
                part = message.get("body", b"")
                whole += part if isinstance(part, bytes) else b""
                if not message.get("more_body"):
                    with suppress(ValueError, KeyError, TypeError):  # of a refusal
                        self._names.take(person, orjson.loads(whole)["event_id"])
            await send(message)

        return noting_send


def _paths(data: object) -> Iterator[tuple[str, bool]]:
    """Every `path` in what is given, and whether gradio takes it for a file's."""
    left = [data]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            path = one.get("path")
            if isinstance(path, str):
                yield path, "meta" in one
            left += one.values()


def _again(body: bytes, receive: Receive) -> Receive:
    """The body, whole, and then whatever comes."""
    given = False

    async def first() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first
