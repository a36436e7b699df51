"""What the list of models shows of each: a picture beside its file, else what was made last, else letters."""

from __future__ import annotations

import colorsys
import functools
import html
import threading
import zlib
from contextlib import suppress
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.keeping.history import History, Query
from app.keeping.history.facts import read_regular
from app.keeping.history.thumbs import small_copy
from app.studio.jobs import Studio
from ldm_core.errors import AtelierError, FileError, ModelError
from ldm_core.library.index import Entry
from ldm_core.pictures.reading import read_picture

_one_at_a_time = threading.Lock()
# As other programs call the picture of NAME.safetensors, and of a model in a folder.
_ENDINGS = tuple(
    f"{kind}{ending}" for kind in (".preview", "") for ending in (".png", ".jpg", ".jpeg", ".webp")
)
_IN_FOLDER = tuple(f"preview{ending}" for ending in (".png", ".jpg", ".jpeg", ".webp"))
_HEADERS = {"cache-control": "private, max-age=60", "content-security-policy": "sandbox; default-src 'none'"}


def previews_route(studio: Studio, history: History | None) -> Route:
    """Answers `model-preview/NAME`."""

    def preview(request: Request) -> Response:
        try:
            entry = studio.models.entry(str(request.path_params["name"]))
        except ModelError as error:
            return Response(str(error), 404)
        person = str(request.scope["person"])
        small = _beside(beside(entry)) or _made(history, person, entry)
        if small is not None:
            return Response(small, media_type="image/webp", headers=_HEADERS)
        return Response(letters(entry), media_type="image/svg+xml", headers=_HEADERS)

    return Route("/model-preview/{name:path}", preview)  # not a coroutine: Starlette runs it in a thread


def beside(entry: Entry) -> Path | None:
    """The picture that lies beside a model's file, or in its folder."""
    if entry.path.is_dir():
        candidates = [entry.path / name for name in _IN_FOLDER]
    else:
        candidates = [entry.path.with_name(entry.path.stem + ending) for ending in _ENDINGS]
    return next((path for path in candidates if path.is_file()), None)


def _made(history: History | None, person: str, entry: Entry) -> bytes | None:
    """The small copy of the person's newest picture that was made with a model."""
    if history is None:
        return None
    for found in history.entries(history.search(person, Query(model=entry.name), 1), person):
        with suppress(FileError):
            return history.thumbs.of(found.digest, history.file(found))
    return None


def _beside(path: Path | None) -> bytes | None:
    """A small WebP of a picture; None where it cannot be read."""
    if path is None:
        return None
    try:
        facts = path.stat()
    except OSError:
        return None
    with _one_at_a_time:  # a large picture takes much memory
        return _small(path, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=500)
def _small(path: Path, _changed: int, _size: int) -> bytes | None:
    try:
        return small_copy(read_picture(read_regular(path)[0]).rgba)
    except AtelierError:
        return None


def letters(entry: Entry) -> str:
    """An SVG with a model's first letters, in a colour of its name."""
    hue = zlib.crc32(entry.name.encode()) % 360 / 360
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.36, 0.22))
    text = html.escape((entry.title or entry.name).strip()[:2])
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120">'
        f'<rect width="160" height="120" fill="rgb({red},{green},{blue})"/>'
        '<text x="80" y="76" font-size="46" font-family="sans-serif" fill="#fff" fill-opacity=".85" '
        f'text-anchor="middle">{text}</text></svg>'
    )
