"""Pictures, masks and label maps as values of a request, and their form in JSON.  Imports no torch."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ldm_core.errors import FileError
from ldm_core.pictures.formats import mime_of
from ldm_core.pictures.masks import WHITE as WHITE
from ldm_core.pictures.masks import read_labels, read_mask
from ldm_core.pictures.reading import Picture, fits, read_picture
from ldm_core.pictures.rights import carried_file

Kind = Literal["picture", "mask", "label map"]
Pixels = NDArray[np.uint8]  # (H, W, 3) RGB, (H, W, 4) with transparency, or (H, W) of a mask or label map

NOTHING = 255  # in a label map: nothing is said of this pixel

_LARGE = 24_000_000  # values: beyond that a PNG is packed quickly rather than small
_SHORTEST = 80  # characters of a file in bare base64; a name or path is no file
_URI = re.compile(r"data:[\w.+-]*/?[\w.+-]*(;[\w.+-]+=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """Pixels, equal where their content is.

    Attributes:
        pixels: (H, W, 3) or (H, W, 4) of a picture, (H, W) of a mask or label map; not to be written to.
        file: the picture file that they were read from, where it holds more than they do.
        notes: sentences about that file.
        sha256: of shape and content, or of that file.
    """

    pixels: Pixels
    file: bytes | None = None
    notes: tuple[str, ...] = ()
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        pixels = np.array(self.pixels, np.uint8, order="C", copy=self.pixels.flags.writeable or None)
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(pixels.data if self.file is None else self.file)
        object.__setattr__(self, "sha256", digest.hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raster) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Raster({self.width} x {self.height}, {self.sha256[:8]})"

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


def raster_of(picture: Picture) -> Raster:
    """The picture as a value of a request; its file goes along where it holds more than its pixels."""
    return Raster(picture.rgba, carried_file(picture), picture.notes)


def read_raster(data: bytes, kind: Kind) -> Raster:
    """The pixels of a picture's file, a mask's or a label map's.

    Raises:
        FileError: it is damaged, too large, or of a kind that is not read.
    """
    if kind == "picture":
        return raster_of(read_picture(data))
    return Raster(read_mask(data) if kind == "mask" else read_labels(data))


def to_uri(raster: Raster) -> str:
    """As a `data:` URI of a file: that which it was read from, or a PNG of its pixels.

    The same raster gives the same text.
    """
    file = file_of(raster)
    return f"data:{mime_of(file)};base64,{base64.b64encode(file).decode('ascii')}"


def file_of(raster: Raster) -> bytes:
    """The file that it was read from, or a PNG of its pixels.  The same raster gives the same bytes."""
    return _png_of(raster) if raster.file is None else raster.file


@functools.lru_cache(maxsize=16)
def _png_of(raster: Raster) -> bytes:
    buffer = io.BytesIO()
    level = 2 if raster.pixels.size > _LARGE else 6
    Image.fromarray(raster.pixels).save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def from_text(text: str, kind: Kind) -> Raster | None:
    """The pixels of a `data:` URI of a picture's file, or of its bare base64; None where it is neither.

    Raises:
        FileError: it is an address, or its file cannot be used.
    """
    if _ADDRESS.match(text):
        raise FileError(f"The {kind} is an address, and none is ever fetched: give the file itself.")
    head = _URI.match(text[:200])
    if head is None and len(text) < _SHORTEST:
        return None
    try:
        plain = text[head.end() if head else 0 :].encode("ascii").translate(None, b" \t\r\n")
        data = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        return None
    return read_raster(data, kind)


def suits(raster: Raster, kind: Kind) -> bool:
    """Whether a raster's channels are those of its kind."""
    flat = raster.pixels.ndim == 2
    return fits(raster.width, raster.height) and (not flat if kind == "picture" else flat)
