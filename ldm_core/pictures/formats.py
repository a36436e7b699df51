"""Which formats of picture files are read, and what others are called where one is refused."""

from __future__ import annotations

import io
import re

from PIL import Image, features

from ldm_core.errors import FileError

_ALWAYS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
_MIME = (
    (re.compile(rb"\x89PNG"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"II[\x2a\x2b]|MM\x00[\x2a\x2b]"), "image/tiff"),
    (re.compile(rb"BM"), "image/bmp"),
    (re.compile(rb"GIF8"), "image/gif"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "image/avif"),
    (re.compile(rb"....ftyp", re.DOTALL), "image/heic"),
)
_HEIF = re.compile(rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL)
_FOREIGN = (
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"8BPS"), "a Photoshop document"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript document"),
    (
        re.compile(rb"\s*(<\?xml.{0,1000}?|<!--.{0,1000}?)*(<!DOCTYPE\s+svg|<svg\b)", re.DOTALL),
        "an SVG drawing",
    ),
    (re.compile(rb"....ftypcrx |FUJIFILMCCD-RAW|II\x2a\x00.{4}CR", re.DOTALL), "a camera's raw file"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "a JPEG XL picture"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 picture"),
)
_DNG_VERSION = 50706  # a tag of TIFF, which raw files of that kind are as well


def readable() -> tuple[str, ...]:
    """Pillow's names of the formats that it reads here."""
    return (*_ALWAYS, "AVIF") if features.check("avif") else _ALWAYS


def mime_of(data: bytes) -> str:
    """What browsers call the format of a picture file."""
    return next((mime for pattern, mime in _MIME if pattern.match(data)), "application/octet-stream")


def names() -> str:
    """The formats that can be read, as words."""
    *first, last = [*readable(), "HEIC"] if _heif_library() else readable()
    return f"{', '.join(first)} or {last}"


def foreign_format(data: bytes) -> str | None:
    """What a file is that is known and not read; None where it is something else."""
    head = data[:2048].removeprefix(b"\xef\xbb\xbf")
    return next((said for pattern, said in _FOREIGN if pattern.match(head)), None)


def open_any(data: bytes, name: str) -> Image.Image:
    """The file as Pillow has it, not decoded yet.

    Raises:
        FileError: it is of a kind that is not read.
        Exception: whatever Pillow raises.
    """
    if foreign := foreign_format(data):
        raise FileError(f"{name} is {foreign}, which is not read; save it as {names()}.")
    if _HEIF.match(data[:12]):
        return _open_heif(data, name)
    image = Image.open(io.BytesIO(data), formats=readable())
    if image.format == "TIFF" and _DNG_VERSION in getattr(image, "tag_v2", ()):
        raise FileError(f"{name} is a camera's raw file, which is not read; save it as {names()}.")
    return image


def _heif_library() -> bool:
    try:
        import pi_heif  # noqa: F401
    except ImportError:
        return False
    return True


def _open_heif(data: bytes, name: str) -> Image.Image:
    """HEIC, by a library of its own, which is not always there."""
    if not _heif_library():
        raise FileError(
            f"{name} is a HEIC picture: run `pip install pi-heif` to open it, or save it as JPEG."
        )
    from pi_heif import HeifImageFile

    image: Image.Image = HeifImageFile(io.BytesIO(data))
    return image
