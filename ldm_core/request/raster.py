"""Pictures, masks and label maps as values of a request, and their form in JSON.  Imports no torch."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import threading
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

MAX_SIDE = 4096  # pixels
MAX_PIXELS = 2**23  # so that even noise fits into the text of a PNG
MAX_BYTES = 48_000_000  # of a file
URI_START = "data:image/png;base64,"
FILE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")

Kind = Literal["picture", "mask", "label map"]
Pixels = NDArray[np.uint8]  # (H, W, 3) RGB, (H, W, 4) with transparency, or (H, W) of a mask or label map

NOTHING = 255  # in a label map: nothing is said of this pixel
WHITE = 128  # from here on a pixel of a mask is filled

_decoding = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """Pixels, equal where their content is.

    Attributes:
        pixels: (H, W, 3) or (H, W, 4) of a picture, (H, W) of a mask or label map; not to be written to.
        sha256: of shape and content.
    """

    pixels: Pixels
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        own = np.array(self.pixels, np.uint8, order="C")
        own.flags.writeable = False
        object.__setattr__(self, "pixels", own)
        digest = hashlib.sha256(repr(own.shape).encode() + own.tobytes()).hexdigest()
        object.__setattr__(self, "sha256", digest)

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


@functools.lru_cache(maxsize=16)
def to_uri(raster: Raster) -> str:
    """The pixels as a `data:` URI of a PNG; the same pixels give the same text."""
    file = io.BytesIO()
    Image.fromarray(raster.pixels).save(file, "PNG", compress_level=6)
    return URI_START + base64.b64encode(file.getvalue()).decode("ascii")


def from_uri(uri: str, kind: Kind) -> Raster | None:
    """The pixels of a `data:` URI of a PNG; None where it is none, is damaged or too large."""
    if not uri.startswith(URI_START) or len(uri) > 4 * MAX_BYTES // 3 + 100:
        return None
    try:
        data = base64.b64decode(uri[len(URI_START) :], validate=True)
    except (binascii.Error, ValueError):
        return None
    return from_file(data, kind, ("PNG",))


def from_file(data: bytes, kind: Kind, formats: tuple[str, ...] = FILE_FORMATS) -> Raster | None:
    """The pixels of a picture file; None where it is none, is damaged or too large."""
    try:
        with _decoding, Image.open(io.BytesIO(data), formats=formats) as image:
            if not fits(image.width, image.height):
                return None
            image.load()
            return Raster(_pixels(image, kind))
    except Exception:  # on damaged files Pillow raises errors of a dozen classes
        return None


def fits(width: int, height: int) -> bool:
    """Whether a raster may have this size."""
    return 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS


def suits(raster: Raster, kind: Kind) -> bool:
    """Whether a raster's channels are those of its kind."""
    shape = raster.pixels.shape
    flat = len(shape) == 2
    return fits(raster.width, raster.height) and (not flat if kind == "picture" else flat)


def upright(image: Image.Image) -> Image.Image:
    """With 16-bit grey scaled to 8 bits, which convert() would cut off, and turned as its EXIF data says."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.float64) / 257
        image_8bit = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
        image_8bit.info, image = dict(image.info), image_8bit
    return ImageOps.exif_transpose(image)


def is_transparent(image: Image.Image) -> bool:
    """Whether a picture says of its pixels how opaque they are."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _pixels(image: Image.Image, kind: Kind) -> Pixels:
    if kind == "label map" and image.mode == "P":
        return np.asarray(image)  # the index is the class, whatever its colour
    image = upright(image)
    if kind == "picture":
        return np.asarray(image.convert("RGBA" if is_transparent(image) else "RGB"))
    return np.asarray(image.convert("L"))
