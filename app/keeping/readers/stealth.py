"""Texts in the lowest bits of a picture's pixels ("stealth" settings of A1111's extension, NovelAI, SwarmUI).

From the top left, column by column, one bit of the alpha channel or three of red, green and blue: fifteen
letters of a mark, the length of the text in bits (32 bits, big-endian), the text in UTF-8, or gzip of it.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.keeping.readers.texts import MAX_TEXT

_MARKS = {
    b"stealth_pnginfo": False,
    b"stealth_pngcomp": True,
    b"stealth_rgbinfo": False,
    b"stealth_rgbcomp": True,
}
_MARK = 15  # bytes
_MAX_PIXELS = 2**26


def hidden_text(data: bytes) -> str | None:
    """The text in the pixels of a PNG or a lossless WebP; None where there is none."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "WEBP"]) as image:
            if image.width * image.height > _MAX_PIXELS or image.mode not in ("RGB", "RGBA"):
                return None
            pixels = np.asarray(image)
    except Exception:  # on damaged files Pillow raises errors of a dozen classes
        return None
    planes = [pixels[..., 3:], pixels[..., :3]] if pixels.shape[2] == 4 else [pixels]
    return next((text for plane in planes if (text := _read(plane)) is not None), None)


def _read(plane: NDArray[np.uint8]) -> str | None:
    """(h, w, c) -> the text in its lowest bits."""
    height, _, channels = plane.shape
    first = 8 * (_MARK + 4)
    columns = -(-first // (height * channels))
    head = _bytes(plane, columns)
    packed = _MARKS.get(head[:_MARK])
    bits = int.from_bytes(head[_MARK : _MARK + 4], "big")
    if packed is None or bits % 8 or first + bits > plane.size or bits > 8 * MAX_TEXT:
        return None
    columns = -(-(first + bits) // (height * channels))
    body = _bytes(plane, columns)[_MARK + 4 : _MARK + 4 + bits // 8]
    try:
        if packed:
            stream = zlib.decompressobj(wbits=31)  # gzip
            body = stream.decompress(body, MAX_TEXT)
            if not stream.eof:
                return None
        return body.decode("utf-8")
    except (zlib.error, UnicodeDecodeError):
        return None


def _bytes(plane: NDArray[np.uint8], columns: int) -> bytes:
    return np.packbits(plane[:, :columns].swapaxes(0, 1).ravel() & 1).tobytes()
