"""Picture files that go out: the original's own pixels where they were kept, and its profile.

What was kept is found by comparing with what was shown, so nothing has to be handed through the model.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from ldm_core.pictures.colour import from_srgb, srgb_profile
from ldm_core.pictures.reading import Picture, file_pixels, over_white

Format = Literal["PNG", "JPEG", "WEBP", "AVIF"]
FORMATS: Sequence[Format] = ("PNG", "JPEG", "WEBP", "AVIF")
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif"}

OwnPixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """What a picture file shows.

    Attributes:
        pixels: (H, W, 3) or (H, W, 4).
        profile: the colours' ICC profile; None: sRGB.
    """

    pixels: OwnPixels
    profile: bytes | None = None


def restored(pixels: NDArray[np.uint8], original: Picture, left: int = 0, top: int = 0) -> Content:
    """A picture that was made of another, in that one's own colours and depth.

    Where a pixel is what was shown of the original, its own stands, bit for bit; else the new one, converted.

    Args:
        pixels: (H, W, 3) or (H, W, 4) of sRGB.
        original: its upper left corner is at (left, top).
    """
    kept, shown = file_pixels(original), original.rgba
    if original.profile is None and kept.dtype == np.uint8:
        return Content(pixels)
    height, width = shown.shape[:2]
    there = slice(top, top + height), slice(left, left + width)
    made = np.ones(pixels.shape[:2], bool)
    made[there] = (pixels[there] != shown).any(2)
    result = np.empty(pixels.shape, kept.dtype)
    result[there] = kept
    result[made] = _converted(pixels[made][None], original.profile, kept.dtype)[0]
    return Content(result, original.profile)


def enlarged(pixels: NDArray[np.uint8], original: Picture) -> Content:
    """An enlargement, a whole number of times, in the colours and depth of what was enlarged.

    The model was shown sRGB of 8 bits.  What that lacked, vivid colours and the steps between two of 8 bits,
    is taken from the original, smoothly enlarged.

    Args:
        pixels: (H, W, 3) or (H, W, 4) of sRGB.
    """
    source, shown = file_pixels(original), original.rgba
    if original.profile is None and source.dtype == np.uint8:
        return Content(pixels)
    height = shown.shape[0]
    factor = pixels.shape[0] // height
    result = np.empty(pixels.shape, source.dtype)
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        first, last = max(top - 1, 0), min(bottom + 1, height)  # rows that the strip's interpolation sees
        seen = _converted(shown[first:last], original.profile, source.dtype)
        lacked = source[first:last].astype(np.float32) - seen
        rows = slice(factor * (top - first), factor * (bottom - first))
        strip = slice(factor * top, factor * bottom)
        more = _resized(lacked, factor)[rows]
        made = _converted(pixels[strip], original.profile, source.dtype)
        result[strip] = np.rint(made + more).clip(0, np.iinfo(source.dtype).max)
    return Content(result, original.profile)


_STRIP = 64  # rows of the original


def _resized(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """(factor h, factor w, c) of (h, w, c)."""
    import cv2  # here, for the page starts without it

    height, width = values.shape[:2]
    size = (factor * width, factor * height)
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _converted(
    pixels: NDArray[np.uint8], profile: bytes | None, dtype: np.dtype[np.unsignedinteger]
) -> OwnPixels:
    """(h, w, c) of sRGB in the colours of a profile, 8 or 16 bits."""
    new = pixels.copy()
    if profile is not None and new.size:
        new[..., :3] = from_srgb(np.ascontiguousarray(new[..., :3]), profile)
    return new if dtype == np.uint8 else new.astype(np.uint16) * np.uint16(257)


def encode(
    content: Content,
    format: Format,
    *,
    quality: int = 90,
    exif: Image.Exif | None = None,
    xmp: bytes = b"",
    chunks: PngImagePlugin.PngInfo | None = None,
) -> bytes:
    """The bytes of a picture file.

    Args:
        quality: 1 to 100, of all but PNG, which loses nothing.
        chunks: of a PNG.
    """
    said = exif.tobytes() if exif else b""
    if format == "PNG":
        return _png(content, chunks or PngImagePlugin.PngInfo(), xmp, said)
    pixels = content.pixels
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    eight_bit = np.asarray(pixels, np.uint8)
    image = Image.fromarray(over_white(eight_bit) if format == "JPEG" else eight_bit)
    buffer = io.BytesIO()
    profile = content.profile or srgb_profile()
    image.save(buffer, format, quality=quality, xmp=xmp, exif=said, icc_profile=profile)
    return buffer.getvalue()


_LARGE = 8_000_000  # pixels: beyond that a PNG is packed quickly rather than small


def _png(content: Content, chunks: PngImagePlugin.PngInfo, xmp: bytes, exif: bytes) -> bytes:
    if xmp:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode())
    if content.profile is None:
        chunks.add(b"sRGB", b"\0")
    pixels, buffer = content.pixels, io.BytesIO()
    options = {"pnginfo": chunks, "exif": exif or None, "icc_profile": content.profile}
    level = 2 if pixels.shape[0] * pixels.shape[1] > _LARGE else 6
    if pixels.dtype == np.uint8:
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=level, **options)
        return buffer.getvalue()
    # Pillow writes no colours of 16 bits; OpenCV does, and the chunks of a pixel's file go into its.
    import cv2  # here, for the page starts without it

    Image.new("RGB", (1, 1)).save(buffer, "PNG", **options)
    head = buffer.getvalue()
    order = [2, 1, 0, 3][: pixels.shape[2]]
    deep: bytes = cv2.imencode(".png", pixels[..., order], [cv2.IMWRITE_PNG_COMPRESSION, level])[1].tobytes()
    return deep[:_IHDR] + head[_IHDR : head.rindex(b"IDAT") - 4] + deep[_IHDR:]


_IHDR = 33  # bytes of a PNG's signature and its first chunk
