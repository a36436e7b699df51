"""The text chunks of a PNG, wherever they stand; no pixel is decoded.

Pillow reads those behind the pixels only by decoding the pixels, and gives up on all where one is a bomb.
Layout: PNG specification, third edition, sections 5 and 11.3.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from app.keeping.readers.texts import MAX_TEXT

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 200_000
_MAX_UNPACKED = 4 * MAX_TEXT  # bytes of all compressed texts of a file


def text_chunks(data: bytes) -> Iterator[tuple[str, str | bytes | None]]:
    """Keyword and text of each text chunk; None where it is damaged or unpacks to too much.

    The EXIF chunk is given as "eXIf" and its bytes.
    """
    left = _MAX_UNPACKED
    for kind, body, whole in _chunks(data):
        if kind == b"eXIf" and whole:
            yield "eXIf", bytes(body)
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        keyword, _, content = bytes(body).partition(b"\0")
        text = _text(kind, content, min(left, MAX_TEXT)) if whole else None
        left -= len(text or "") if kind != b"tEXt" else 0
        yield keyword.decode("latin-1"), text


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Type and content of each chunk, and whether its checksum holds."""
    view, at = memoryview(data), len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data) or kind == b"IEND":
            return
        is_text = kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf")
        said = int.from_bytes(data[end : end + 4], "big")
        yield kind, view[at + 8 : end], is_text and zlib.crc32(view[at + 4 : end]) == said
        at = end + 4


def _text(kind: bytes, content: bytes, at_most: int) -> str | None:
    """Some programs write UTF-8 where the specification wants Latin-1, so that is tried first."""
    if kind == b"tEXt":
        return _decoded(content)
    if kind == b"zTXt":
        packed, is_packed = content[1:], True
    else:
        is_packed = content[:1] == b"\x01"
        *_, packed = content[2:].split(b"\0", 2)  # language, translated keyword
    unpacked = _unpacked(packed, at_most) if is_packed else packed
    return None if unpacked is None else _decoded(unpacked)


def _unpacked(packed: bytes, at_most: int) -> bytes | None:
    try:
        stream = zlib.decompressobj()
        unpacked = stream.decompress(packed, max(1, at_most))
    except zlib.error:
        return None
    return unpacked if stream.eof else None


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
