"""The history for the page's scripts: JSON, small copies, files.  Nobody gets what is another person's.

GET  state, choices, search?words=&task=..., items?ids=1,2, details/ID
     thumb/ID/DIGEST, file/ID/DIGEST, export/TOKEN
POST star, board, trash, restore, delete, export, show, look
"""

from __future__ import annotations

import json
import mimetypes
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from app.keeping.downloads import Carries
from app.keeping.history import Entry, History
from app.keeping.history.details import details_of
from app.keeping.history.export import exported, zipped
from app.keeping.history.facts import read_regular
from app.keeping.history.query import query_of
from app.keeping.places import shown
from app.keeping.revealing import reveal
from ldm_core.errors import AtelierError, FileError, RequestError
from ldm_core.pictures.writing import FORMATS, SUFFIXES, Format
from ldm_core.wording import size_text

Content = TypeVar("Content")
Json = dict[str, object]
Answer = Callable[[str, Request], Response]

FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
NEVER = {"cache-control": "no-store"}
ALONE = {"cross-origin-resource-policy": "same-origin"}
MAX_ITEMS = 500  # in one answer
FIRST_ITEMS = 100  # that come with a search, so that they are shown one question earlier
MAX_IDS = 200_000  # in one order
EXPORT_SECONDS = 600.0  # in which an export has to be fetched
CARRIES: tuple[Carries, ...] = ("everything", "settings", "nothing")


@dataclass(frozen=True, slots=True)
class Order:
    """An export that waits to be fetched."""

    person: str
    ids: list[int]
    format: Format
    carries: Carries
    until: float


class HistoryRoutes:
    """Answers the page's scripts.

    Args:
        whose: the person who asks; None of somebody who has no pictures here.
        model_hash: of a model's name, as a picture's settings name it.
        is_private: whether only the owner of this computer reaches the page.
    """

    def __init__(
        self,
        history: History,
        whose: Callable[[Request], str | None],
        model_hash: Callable[[str], str | None],
        *,
        is_private: bool,
    ) -> None:
        self._history = history
        self._whose = whose
        self._model_hash = model_hash
        self._is_private = is_private
        self._orders: dict[str, Order] = {}

    def mount(self) -> Mount:
        """All routes, below `/history`."""
        reads: dict[str, Answer] = {
            "/state": self.state,
            "/choices": self.choices,
            "/search": self.search,
            "/items": self.items,
            "/details/{id:int}": self.details,
            "/thumb/{id:int}/{digest}": self.thumb,
            "/file/{id:int}/{digest}": self.file,
            "/export/{token}": self.fetch,
        }
        writes: dict[str, Callable[[str, Mapping[str, object]], Json]] = {
            "/star": self.star,
            "/board": self.board,
            "/trash": self.trash,
            "/restore": self.restore,
            "/delete": self.delete,
            "/export": self.order,
            "/show": self.show,
            "/look": self.look,
        }
        return Mount(
            "/history",
            routes=[
                *(Route(path, self._reading(answer)) for path, answer in reads.items()),
                *(Route(path, self._writing(act), methods=["POST"]) for path, act in writes.items()),
            ],
        )

    # What every request passes ------------------------------------------------------------------------

    def _reading(self, answer: Answer) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            person = self._whose(request)
            return _refused() if person is None else _answered(lambda: answer(person, request))

        return endpoint  # not a coroutine: Starlette runs it in a thread

    def _writing(self, act: Callable[[str, Mapping[str, object]], Json]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            person = self._whose(request)
            if person is None:
                return _refused()
            try:
                body = json.loads(await request.body() or b"{}")
            except (ValueError, RecursionError):
                body = None
            if not isinstance(body, dict) or request.headers.get("content-type") != "application/json":
                return JSONResponse({"problem": "The page sent no JSON."}, 400)
            return await run_in_threadpool(
                _answered, lambda: JSONResponse(act(person, body), headers=NEVER | ALONE)
            )

        return endpoint

    # Reading ------------------------------------------------------------------------------------------

    def state(self, person: str, request: Request) -> Response:
        """A number that grows with every change, and how far a scan is."""
        history = self._history
        return _json({"revision": history.revision(), "reading": history.reading, "notice": history.notice})

    def choices(self, person: str, request: Request) -> Response:
        """What can be searched by."""
        return _json({**asdict(self._history.choices(person)), "private": self._is_private})

    def search(self, person: str, request: Request) -> Response:
        """Ids of what is looked for, and what is shown of the first ones."""
        revision = self._history.revision()
        ids = self._history.search(person, query_of(dict(request.query_params)))
        items = [_item(entry) for entry in self._history.entries(ids[:FIRST_ITEMS], person)]
        return _json({"ids": ids, "revision": revision, "items": items})

    def items(self, person: str, request: Request) -> Response:
        """What the grid and the rail show of some pictures."""
        text = request.query_params.get("ids", "")
        ids = [
            int(number)
            for number in text.split(",")[:MAX_ITEMS]
            if number.isascii() and number.isdigit() and len(number) < 19
        ]
        return _json({"items": [_item(entry) for entry in self._history.entries(ids, person)]})

    def details(self, person: str, request: Request) -> Response:
        """All settings of one picture; null where its file has just gone."""
        try:
            entry, (settings, notes) = self._read(person, request, details_of)
        except FileError:
            return JSONResponse(None, headers=NEVER | ALONE)
        path = self._history.file(entry)
        boards = self._history.boards_of(entry.id)
        where = shown(path) if self._is_private else entry.name
        size = size_text(entry.size)
        more = {"settings": settings, "notes": notes, "boards": boards, "path": where, "bytes": size}
        return _json({**_item(entry), **more})

    def thumb(self, person: str, request: Request) -> Response:
        """A small copy."""
        digest = self._entry(person, request).digest
        _, data = self._read(person, request, lambda path: self._history.thumbs.of(digest, path))
        return Response(data, media_type="image/webp", headers=FOR_EVER | ALONE)

    def file(self, person: str, request: Request) -> Response:
        """A picture's file as it is."""
        entry, (data, _) = self._read(person, request, read_regular)
        kind = mimetypes.guess_type(f"x{PurePosixPath(entry.path).suffix}")[0] or "image/png"
        return Response(data, media_type=kind, headers=FOR_EVER | ALONE | _named(entry.name, "inline"))

    def fetch(self, person: str, request: Request) -> Response:
        """The zip that was ordered, or the file where it is only one."""
        order = self._orders.get(str(request.path_params["token"]))
        if order is None or order.person != person or order.until < time.monotonic():
            return _refused()
        entries = self._history.entries(order.ids, person)
        if len(entries) == 1:
            (entry,) = entries
            data, _ = read_regular(self._history.file(entry))
            whole = order.carries == "everything" and order.format == "PNG"
            file = exported(data, self._model_hash, order.format, order.carries)
            name = entry.name if whole else PurePosixPath(entry.name).stem + SUFFIXES[order.format]
            return Response(file, media_type="application/octet-stream", headers=NEVER | _named(name))
        parts: Iterator[bytes] = zipped(self._history, entries, self._model_hash, order.format, order.carries)
        name = time.strftime("pictures-%Y-%m-%d.zip")
        return StreamingResponse(parts, media_type="application/zip", headers=NEVER | _named(name))

    def _entry(self, person: str, request: Request) -> Entry:
        """The picture that a path names, as it is now.

        Raises:
            LookupError: there is none, or it is another's.
        """
        entry = self._history.get(int(request.path_params["id"]), person)
        digest = str(request.path_params.get("digest", ""))
        if entry is None or not entry.digest.startswith(digest):
            raise LookupError
        return entry

    def _read(self, person: str, request: Request, read: Callable[[Path], Content]) -> tuple[Entry, Content]:
        """A picture, and what is read of its file, which may be moved meanwhile.

        Raises:
            LookupError: see `_entry`.
            FileError: it cannot be read.
        """
        entry = self._entry(person, request)
        try:
            return entry, read(self._history.file(entry))
        except FileError:
            moved = self._entry(person, request)
            if moved.path == entry.path:
                raise
            return moved, read(self._history.file(moved))

    # Writing ------------------------------------------------------------------------------------------

    def star(self, person: str, body: Mapping[str, object]) -> Json:
        """`ids`, `on`"""
        self._history.boards.star(person, _ids(body), on=body.get("on") is True)
        return {}

    def board(self, person: str, body: Mapping[str, object]) -> Json:
        """`name` makes one, with `board` renames it; `ids` with `on` fill it; `board` alone removes it."""
        boards, board, name = self._history.boards, body.get("board"), body.get("name")
        if not isinstance(board, int):
            board = boards.make(person, str(name))
        elif isinstance(name, str):
            boards.rename(person, board, name)
        elif "ids" not in body:
            boards.remove(person, board)
        if "ids" in body:
            boards.put(person, board, _ids(body), on=body.get("on", True) is True)
        return {"board": board}

    def trash(self, person: str, body: Mapping[str, object]) -> Json:
        """`ids` go into the trash."""
        return {"ids": self._history.trash.put(person, _ids(body))}

    def restore(self, person: str, body: Mapping[str, object]) -> Json:
        """`ids` come out of it."""
        return {"ids": self._history.trash.restore(person, _ids(body))}

    def delete(self, person: str, body: Mapping[str, object]) -> Json:
        """`ids` in the trash are deleted for good, or everything in it with `all`."""
        ids = None if body.get("all") is True else _ids(body)
        return {"count": self._history.trash.delete(person, ids)}

    def order(self, person: str, body: Mapping[str, object]) -> Json:
        """`ids`, `format` and `carries` as of a download; the answer says where the file is."""
        now = time.monotonic()
        self._orders = {token: order for token, order in self._orders.items() if order.until > now}
        asked = body.get("format", "PNG")
        format: Format | None = next((choice for choice in FORMATS if choice == asked), None)
        carries = next((choice for choice in CARRIES if choice == body.get("carries", "everything")), None)
        if format is None or carries is None:
            raise RequestError("export", dict(body), "one of the formats and choices that the page offers")
        token = secrets.token_urlsafe(16)
        self._orders[token] = Order(person, _ids(body), format, carries, now + EXPORT_SECONDS)
        return {"url": f"history/export/{token}"}

    def show(self, person: str, body: Mapping[str, object]) -> Json:
        """`ids` of one picture, which the file manager shows."""
        entries = self._history.entries(_ids(body)[:1], person)
        if not self._is_private or not entries:
            raise FileError("Only on the computer where the program runs a folder can be shown.")
        reveal(self._history.file(entries[0]))
        return {}

    def look(self, person: str, body: Mapping[str, object]) -> Json:
        """Notices what changed in the folder without the program."""
        return {"changed": bool(self._history.look())}


def _answered(answer: Callable[[], Response]) -> Response:
    try:
        return answer()
    except LookupError:
        return _refused()
    except AtelierError as error:
        return JSONResponse({"problem": str(error)}, 400, headers=NEVER | ALONE)


def _refused() -> Response:
    return JSONResponse({"problem": "There is no such picture."}, 404, headers=NEVER | ALONE)


def _json(value: Json) -> Response:
    return JSONResponse(value, headers=NEVER | ALONE)


def _item(entry: Entry) -> Json:
    return {
        "id": entry.id,
        "digest": entry.digest[:16],
        "name": entry.name,
        "width": entry.width,
        "height": entry.height,
        "task": entry.task,
        "words": entry.prompt[:300],
        "created": entry.created,
        "starred": entry.starred,
        "trashed": entry.trashed is not None,
    }


def _ids(body: Mapping[str, object]) -> list[int]:
    ids = body.get("ids")
    if (
        not isinstance(ids, list)
        or len(ids) > MAX_IDS
        or not all(type(id) is int and abs(id) < 2**63 for id in ids)
    ):
        raise RequestError("ids", ids, f"a list of at most {MAX_IDS:,} numbers of pictures")
    return ids


def _named(name: str, how: str = "attachment") -> dict[str, str]:
    """The header that names a file, whatever is in the name."""
    return {"content-disposition": f"{how}; filename*=UTF-8''{quote(name, safe='')}"}
