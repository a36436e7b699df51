"""Takes files from browsers, as far as their person has room, in place of gradio's own route.

What arrives goes to a folder of its own until it is whole, so that nothing stays of a request that is cut.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gradio.route_utils import upload_fn
from gradio.routes import file_upload_statuses
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.keeping.library import OWNER
from app.studio.limits import ALL_GUESTS, Limits
from app.web.guard import MAX_UPLOAD
from app.widgets.uploads import uploads

FREE_BYTES = 2**30  # that stay free on the disk
IN_USE_SECONDS = 3600.0  # in which a file is not removed for a newer one


@dataclass(frozen=True, slots=True)
class _Kept:
    share: str
    size: int
    at: float


class NoRoom(Exception):
    """A file is not taken; `status` and the sentence are the answer."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Uploading:
    """Answers browsers that send files.

    Args:
        limits: how much each share may have at hand.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._kept: dict[Path, _Kept] = {}
        self._coming: list[tuple[str, int]] = []  # shares, and bytes that are on the way

    def route(self) -> Route:
        return Route("/gradio_api/upload", self.take, methods=["POST"])

    async def take(self, request: Request) -> Response:
        """Their paths as JSON, or why not."""
        share, length = str(request.scope["share"]), request.headers.get("content-length")
        if length is None:
            return PlainTextResponse("Say how large the file is (Content-Length).", 411)
        folder = uploads()
        folder.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(prefix="arriving-", dir=folder))
        try:
            with self._room(share, int(length)):
                upload_id = request.query_params.get("upload_id")
                progress = file_upload_statuses if upload_id else None
                files, _, _ = await upload_fn(
                    request, str(arriving), MAX_UPLOAD, upload_id, upload_progress=progress
                )
                self._require_files(share, len(files))
                paths = [self._placed(Path(file), folder, share) for file in files]
        except NoRoom as error:
            return PlainTextResponse(str(error), error.status, {"connection": "close"})
        except MultiPartException as error:
            return PlainTextResponse(error.message, 413 if "exceeded" in error.message else 400)
        except HTTPException as error:
            return PlainTextResponse(str(error.detail), error.status_code)
        except OSError as error:
            return PlainTextResponse(f"The file could not be kept ({error.strerror}).", 507)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        return JSONResponse([str(path) for path in paths])

    @contextmanager
    def _room(self, share: str, size: int) -> Iterator[None]:
        """Room for what comes, until it is there.

        Raises:
            NoRoom: there is none.
        """
        coming = (share, size)
        with self._lock:
            self._require_bytes(share, size)
            self._coming.append(coming)
        try:
            yield
        finally:
            with self._lock:
                self._coming.remove(coming)

    def _require_bytes(self, share: str, size: int) -> None:
        if shutil.disk_usage(uploads()).free < size + FREE_BYTES:
            raise NoRoom(507, "The disk of the computer that runs the program is almost full.")
        if share == OWNER:
            return
        self._kept = {path: kept for path, kept in self._kept.items() if path.is_file()}
        most = self._limits.allowance(share).upload_bytes
        for path, kept in sorted(self._kept.items(), key=lambda item: item[1].at):
            if self._bytes(share) + size <= most:
                break
            if kept.share == share and time.monotonic() - kept.at > IN_USE_SECONDS:
                path.unlink(missing_ok=True)
                del self._kept[path]
        if self._bytes(share) + size > most:
            raise NoRoom(
                413, f"You have {most / 2**20:.0f} MB for pictures here, and they are used up just now."
            )
        if self._bytes(None) + size > ALL_GUESTS.upload_bytes:
            raise NoRoom(507, "The room for guests' pictures is used up just now; try again later.")

    def _bytes(self, share: str | None) -> int:
        """At hand and on the way; of all guests where no share is named."""
        kept = [(one.share, one.size) for one in self._kept.values()]
        return sum(size for who, size in (*kept, *self._coming) if share in (None, who) and who != OWNER)

    def _require_files(self, share: str, count: int) -> None:
        with self._lock:
            own = sum(kept.share == share for kept in self._kept.values())
        most = self._limits.allowance(share).upload_files
        if own + count > most:
            raise NoRoom(413, f"You can have {most:.0f} files here at a time; some have to go first.")

    def _placed(self, file: Path, folder: Path, share: str) -> Path:
        """Puts a file that has arrived where uploads lie, under the hash of its content."""
        place = folder / file.parent.name / file.name
        place.parent.mkdir(exist_ok=True)
        size = file.stat().st_size
        os.replace(file, place)
        with self._lock:
            self._kept[place] = _Kept(share, size, time.monotonic())
        return place
