"""Picture files that the browser uploaded: the one reading of them, and what the page shows of it."""

from __future__ import annotations

import functools
import io
import json
import threading
from pathlib import Path

import numpy as np
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.widgets.uploads import uploaded_file
from ldm_core.errors import AtelierError
from ldm_core.pictures.formats import mime_of
from ldm_core.pictures.reading import over_white, read_bytes
from ldm_core.request import reduced
from ldm_core.request.raster import WHITE, Kind, Raster, read_raster

SHOWN_SIDE = 2048  # pixels: of a larger picture the page shows a smaller copy
SHOWN = ".shown.png"  # what a file's copy is called that the page shows instead of it
TILE = 512  # pixels a side: of a larger picture the canvas loads its own pixels in tiles
_LEVELS = 8  # each half as large as the one before
_KINDS: dict[str, Kind] = {"picture": "picture", "mask": "mask", "map": "picture"}


def original_of(file: Path) -> Path:
    """The file of which an upload is the copy that the page shows; itself where it is none."""
    original = file.with_name(file.name.removesuffix(SHOWN))
    return original if original.is_file() else file


def read_upload(file: Path, kind: Kind = "picture") -> Raster:
    """What an upload holds; kept, since each stroke of a live drawing comes with the same one.

    Raises:
        FileError: it cannot be used.
    """
    original = original_of(file)
    with _reading:  # of several that ask for one file, one reads it
        return _read(original, original.stat().st_mtime_ns, kind)


_reading = threading.Lock()


@functools.lru_cache(maxsize=4)
def _read(file: Path, _changed: int, kind: Kind) -> Raster:
    return read_raster(read_bytes(file, "The picture"), kind)


@functools.lru_cache(maxsize=4)
def shown_of(raster: Raster) -> NDArray[np.uint8]:
    """(h, w, c), as large as the page shows it; not to be written to."""
    size = reduced((raster.width, raster.height), SHOWN_SIDE)
    if size == (raster.width, raster.height):
        return raster.pixels
    return np.asarray(Image.fromarray(raster.pixels).resize(size, Image.Resampling.BOX))


@functools.lru_cache(maxsize=4)
def backdrop_of(raster: Raster) -> NDArray[np.uint8]:
    """(h, w, 3) of `shown_of` over white."""
    return over_white(shown_of(raster))


def copy_for_page(file: Path) -> Path:
    """A file that shows in any browser what the program reads in an upload; the file itself where it does.

    Raises:
        FileError: as `read_upload`.
    """
    file, raster = original_of(file), read_upload(file)
    if raster.file is None and max(raster.width, raster.height) <= SHOWN_SIDE:
        return file
    copy = file.with_name(file.name + SHOWN)
    if not copy.is_file():
        copy.write_bytes(png_of(shown_of(raster)))
    return copy


def show(request: Request) -> Response:
    """Answers the canvas: a PNG of what is read in an upload, with facts about it; or why not.

    Asked with `path` and `kind` as assets/canvas/reader.js says.
    """
    kind = request.query_params.get("kind", "")
    if kind not in _KINDS:
        return PlainTextResponse("There is no such kind.", 400)
    try:
        file = uploaded_file({"path": request.query_params.get("path")})
        raster = read_upload(file, _KINDS[kind])
    except AtelierError as error:
        return PlainTextResponse(str(error), headers={"x-refused": "yes"})
    notes = list(raster.notes)
    if kind == "mask":
        pixels = _mask_of(raster, notes)
    elif kind == "map":
        size = reduced((raster.width, raster.height), SHOWN_SIDE)
        pixels = np.asarray(Image.fromarray(raster.pixels).resize(size, Image.Resampling.NEAREST))
    else:
        pixels = shown_of(raster)
    facts = {"width": raster.width, "height": raster.height, "notes": notes}
    headers = {"x-picture": json.dumps(facts), "cache-control": "no-store"}
    return Response(png_of(pixels), media_type="image/png", headers=headers)


def tile(request: Request) -> Response:
    """Answers the canvas: a PNG of a part of what is read in an upload, in its own pixels or fewer.

    Asked with `path`, `level`, `column` and `row`: at level n, 2^n x 2^n of its pixels are one of the tile's.
    """
    asked = [request.query_params.get(name, "") for name in ("level", "column", "row")]
    if not all(text.isascii() and text.isdigit() and len(text) <= 4 for text in asked):
        return PlainTextResponse("There is no such tile.", 400)
    level, column, row = map(int, asked)
    try:
        raster = read_upload(uploaded_file({"path": request.query_params.get("path")}))
    except AtelierError as error:
        return PlainTextResponse(str(error), 404)
    step = TILE << min(level, _LEVELS)
    part = raster.pixels[row * step : (row + 1) * step, column * step : (column + 1) * step]
    if not part.size or level > _LEVELS:
        return PlainTextResponse("There is no such tile.", 404)
    pixels = np.asarray(Image.fromarray(part).reduce(1 << level)) if level else part
    headers = {"cache-control": "private, max-age=3600"}  # a path names one content
    return Response(png_of(pixels), media_type="image/png", headers=headers)


def _mask_of(raster: Raster, notes: list[str]) -> NDArray[np.uint8]:
    """(h, w), 255 where it is filled and 0 elsewhere."""
    size = reduced((raster.width, raster.height), SHOWN_SIDE)
    pixels = np.asarray(Image.fromarray(raster.pixels).resize(size, Image.Resampling.BOX))
    filled = pixels >= WHITE
    if not filled.any():
        notes.append(f"Nothing in this mask is white, {WHITE} of 255 or more, so nothing is filled.")
    elif filled.all():
        notes.append("This mask covers the whole picture, so nothing of it is kept.")
    return np.where(filled, 255, 0).astype(np.uint8)


def kept_upload(raster: Raster) -> Path:
    """A raster's file among the uploads."""
    data = png_of(raster.pixels) if raster.file is None else raster.file
    name = f"picture.{mime_of(data).partition('/')[2]}"
    return Path(save_bytes_to_cache(data, name, cache_dir=get_upload_folder()))


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """For the browser next door: quickly rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
