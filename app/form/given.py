"""A picture that a person gives: dropped, pasted or opened in a tab, read from the uploads alone."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

from app.widgets.components import PngFile, cached
from app.widgets.uploads import uploaded_file
from ldm_core.errors import FileError
from ldm_core.pictures.reading import read_bytes
from ldm_core.request.raster import Kind, Raster, read_raster


class GivenPicture(gr.Image):
    """A place for a picture.  Handlers without preprocessing read what it sends by `uploaded`; it takes a
    `Raster`, what `still_there` gives, or None, which empties it."""

    is_template = True  # the browser's side is gr.Image's own

    def postprocess(self, value: Raster | ImageData | None) -> ImageData | None:
        """For gradio: the value as the browser takes it."""
        if not isinstance(value, Raster):
            return value
        file = PngFile(encoded(value), "picture.png")
        return ImageData(path=cached(file), orig_name=file.name, mime_type="image/png", size=len(file.data))


def given_picture(label: str, elem_id: str) -> GivenPicture:
    """Makes one.  Gradio tells the browser only what a component's own constructor names, so that stays."""
    return GivenPicture(
        label=label,
        elem_id=elem_id,
        elem_classes=["given"],
        height=200,
        format="png",
        sources=["upload", "clipboard"],
        buttons=[],
        interactive=True,
    )


def encoded(raster: Raster) -> bytes:
    """A raster as the bytes of a PNG, for the browser next door: quickly rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(raster.pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def uploaded(payload: object, kind: Kind = "picture") -> Raster | None:
    """The pixels of a file that the browser uploaded; None where there is none.

    Args:
        payload: what gradio calls a file, or anything else.

    Raises:
        FileError: it has not arrived, is gone, too large or no picture.
    """
    if payload is None:
        return None
    file = uploaded_file(payload)
    return _read(file, file.stat().st_mtime_ns, kind)


def still_there(payload: object) -> ImageData | None:
    """A picture of which the browser kept what gradio calls it; None where the program has it no more."""
    try:
        file = uploaded_file(payload)
    except FileError:
        return None
    return ImageData(path=str(file), orig_name=file.name)


@functools.lru_cache(maxsize=4)
def _read(file: Path, _changed: int, kind: Kind) -> Raster:
    return read_raster(read_bytes(file, "The picture"), kind)
