"""Pictures that carry texts as other programs leave them there."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

PIXELS = np.arange(64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3)
USER_COMMENT, MAKER_NOTE, EXIF_IFD = 0x9286, 0x927C, 0x8769


def png(**texts: object) -> bytes:
    """A PNG with text chunks; `_` stands for `-` in keywords, what is no text is written as JSON."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        written = text if isinstance(text, str) else json.dumps(text)
        info.add_text(name.replace("_", "-"), written)
    return saved("PNG", pnginfo=info)


def png_of(texts: dict[str, object]) -> bytes:
    """The same with keywords as they are."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        written = text if isinstance(text, str) else json.dumps(text)
        (info.add_text if written.isascii() else info.add_itxt)(name, written)
    return saved("PNG", pnginfo=info)


def saved(format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format, **options)
    return file.getvalue()


def with_exif(format: str, *, comment: object = None, tags: dict[int, object] | None = None) -> bytes:
    """A picture with EXIF's UserComment, and tags of its first directory."""
    exif = Image.Exif()
    for tag, value in (tags or {}).items():
        exif[tag] = value
    if comment is not None:
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = comment
    return saved(format, exif=exif.tobytes())


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(kind: bytes, body: bytes, data: bytes | None = None) -> bytes:
    """A PNG with one more chunk, behind the pixels."""
    data = saved("PNG") if data is None else data
    return data[:-12] + chunk(kind, body) + data[-12:]


def stealth(text: str, *, alpha: bool, packed: bool, format: str = "PNG") -> bytes:
    """A picture with a text in its lowest bits."""
    mark = f"stealth_{'png' if alpha else 'rgb'}{'comp' if packed else 'info'}".encode()
    body = gzip.compress(text.encode()) if packed else text.encode()
    bits = np.unpackbits(np.frombuffer(mark + (8 * len(body)).to_bytes(4, "big") + body, np.uint8))
    pixels = np.full((120, 90, 4 if alpha else 3), 254, np.uint8)
    plane = pixels[..., 3:] if alpha else pixels
    columns = plane.swapaxes(0, 1).copy()
    flat = columns.reshape(-1)
    flat[: len(bits)] |= bits
    plane[...] = columns.swapaxes(0, 1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file, format, **({"lossless": True, "exact": True} if format == "WEBP" else {})
    )
    return file.getvalue()
