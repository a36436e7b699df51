"""What a picture's file carries beside its pixels: the texts that programs leave there."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from PIL import ExifTags, Image

from app.keeping.readers import png
from app.keeping.readers.stealth import hidden_text
from app.keeping.readers.texts import MAX_TEXT, json_object, object_of
from ldm_core.errors import FileError

OURS = "latent-atelier"  # the keyword of our PNG chunk, and the mark of our blocks elsewhere
MAX_OURS = 65_000_000  # characters; it holds the request's pictures
USER_COMMENT, MAKER_NOTE, EXIF_IFD = 0x9286, 0x927C, 0x8769
JPEG_BLOCK = "APP15"
_FORMATS = ("JPEG", "WEBP", "AVIF", "GIF", "TIFF", "MPO", "BMP")
_TAGS = ("ImageDescription", "Make", "Model", "Software")
_SPREAD = (
    "Comment",
    "Description",
    "Software",
    "Source",
    "prompt",
    "workflow",
    "parameters",
    "invokeai_metadata",
)
_CODES = {b"ASCII": "utf-8", b"JIS": "iso2022_jp", b"": "utf-8"}
_MAX_XMP = 2_000_000  # characters
_PROPERTIES = ("UserComment", "CreatorTool")


@dataclass(frozen=True)
class Carried:
    """The texts of a file.

    Attributes:
        texts: by PNG's keyword or EXIF's tag; "parameters" also where another format has that text elsewhere,
            "XMP" the packet.
        ours: what this program wrote; None where it did not.
        damaged: keywords of texts that are there but cannot be read.
        data: the file.
    """

    texts: Mapping[str, str]
    ours: str | None
    damaged: tuple[str, ...]
    data: bytes

    @cached_property
    def hidden(self) -> Carried | None:
        """What is in the pixels, which are only decoded when somebody asks; None where nothing is."""
        text = hidden_text(self.data)
        return None if text is None else Carried(_spread("parameters", text), None, (), b"")


def carried_by(data: bytes) -> Carried:
    """What a file carries.

    Raises:
        FileError: it is no picture, or is damaged.
    """
    texts: dict[str, str] = {}
    damaged: list[str] = []
    ours: str | None = None
    for keyword, text in _found(data):
        if keyword == OURS and ours is None:
            ours = text
        if text is None:
            damaged.append(keyword)
        elif keyword != OURS and len(text) <= MAX_TEXT:
            for name, part in _spread(keyword, text).items():
                texts.setdefault(name, part)
    for name in ("UserComment", "comment", "ImageDescription"):
        if texts.get(name):
            texts.setdefault("parameters", texts[name])
    return Carried(texts, ours, tuple(damaged), data)


def _found(data: bytes) -> Iterator[tuple[str, str | None]]:
    if data.startswith(png.SIGNATURE):
        for keyword, text in png.text_chunks(data):
            if isinstance(text, bytes):
                exif = Image.Exif()
                try:
                    exif.load(b"Exif\0\0" + text)
                    yield from _exif(exif)
                except Exception:  # on damaged data Pillow raises errors of a dozen classes
                    yield "eXIf", None
            else:
                yield ("XMP" if keyword == "XML:com.adobe.xmp" else keyword), text
        if _is_cut_off(data):
            raise FileError("This PNG is damaged or incomplete, so its settings were not read.")
        return
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            info, blocks, exif = dict(picture.info), getattr(picture, "applist", []), picture.getexif()
            found = list(_exif(exif))
    except Exception:  # on damaged files Pillow raises errors of a dozen classes
        raise FileError(
            "This is no picture, or it is damaged or incomplete; settings are read from PNG, JPEG, WebP and "
            "AVIF files."
        ) from None
    mark = OURS.encode() + b"\0"
    parts = [body[len(mark) :] for name, body in blocks if name == JPEG_BLOCK and body.startswith(mark)]
    if parts:
        yield OURS, _utf8(b"".join(parts))
    yield from found
    for name, key in (("XMP", "xmp"), ("comment", "comment")):
        if info.get(key):
            yield name, _utf8(info[key])


def _is_cut_off(data: bytes) -> bool:
    """Whether a PNG lacks even its first chunk."""
    return len(data) < 33 or data[12:16] != b"IHDR"


def _exif(exif: Image.Exif) -> Iterator[tuple[str, str | None]]:
    names = {tag: name for tag, name in ExifTags.TAGS.items() if name in _TAGS}
    inner = exif.get_ifd(EXIF_IFD)
    note = inner.get(MAKER_NOTE, exif.get(MAKER_NOTE))
    mark = OURS.encode() + b"\0"
    if isinstance(note, bytes) and note.startswith(mark):
        yield OURS, _utf8(note[len(mark) :])
    elif note:
        yield "MakerNote", _utf8(note)
    for directory in (inner, exif):
        comment = directory.get(USER_COMMENT)
        if comment:
            yield "UserComment", _user_comment(comment, exif.endian or "<")
    for tag, name in names.items():
        text = _utf8(exif[tag]) if tag in exif else None
        if text:
            # ComfyUI and its savers write "prompt:{...}" and "workflow:{...}" into any of these.
            word, colon, graph = text.partition(":")
            is_graph = colon and word.lower() in ("prompt", "workflow") and graph.lstrip().startswith("{")
            yield (word.lower(), graph) if is_graph else (name, text)


def _utf8(value: object) -> str | None:
    """Text of what Pillow gives, which takes every text for Latin-1."""
    try:
        data = value.encode("latin-1") if isinstance(value, str) else value
        return data.decode("utf-8").strip("\0") if isinstance(data, bytes) else None
    except (UnicodeEncodeError, UnicodeDecodeError):
        return value if isinstance(value, str) else None


def _user_comment(value: object, endian: str) -> str | None:
    """EXIF 2.32, section 4.6.5: eight bytes name the encoding; UNICODE leaves the byte order open."""
    if not isinstance(value, bytes):
        return _utf8(value)
    code, body = value[:8].rstrip(b"\0"), value[8:]
    if code == b"UNICODE":
        return _utf16(body, endian)
    if code not in _CODES:
        body, code = value, b""  # some write no code
    try:
        return body.decode(_CODES[code]).strip("\0")
    except UnicodeDecodeError:
        return body.decode("latin-1").strip("\0")


def _utf16(body: bytes, endian: str) -> str:
    """By its mark, else by where the zeros of Latin letters stand, else by the file's byte order."""
    zeros = body[::2].count(0), body[1::2].count(0)
    if body[:2] in (b"\xfe\xff", b"\xff\xfe"):
        order = "be" if body[0] == 0xFE else "le"
        body = body[2:]
    elif zeros[0] != zeros[1]:
        order = "be" if zeros[0] > zeros[1] else "le"
    else:
        order = "le" if endian == "<" else "be"
    return body.decode(f"utf-16-{order}", "replace").strip("\0")


def _spread(keyword: str, text: str) -> dict[str, str]:
    """A text under its keyword; one that is a JSON object of texts under their own keywords as well, as
    programs write that have no chunks of PNG to write into."""
    texts = {keyword: text}
    outer = json_object(text) if keyword in ("UserComment", "comment", "parameters") else None
    if outer is None:
        return texts
    if any("class_type" in object_of(node) for node in outer.values()):
        return {**texts, "prompt": text}  # a graph of ComfyUI itself
    for name in _SPREAD:
        part = outer.get(name)
        if name != keyword and isinstance(part, str | dict):
            texts[name] = part if isinstance(part, str) else json.dumps(part)
    return texts


def xmp_texts(packet: str) -> dict[str, str]:
    """Properties of an XMP packet by their names without prefix.

    A packet that declares entities is not read.
    """
    if len(packet) > _MAX_XMP or re.search("<!(DOCTYPE|ENTITY)", packet, re.IGNORECASE):
        return {}
    try:
        root = ElementTree.fromstring(packet.strip("\0 \r\n\t\ufeff"))
    except (ElementTree.ParseError, ValueError):
        return {}
    texts: dict[str, str] = {}
    for about in root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"):
        for name, text in about.attrib.items():
            texts.setdefault(name.rpartition("}")[2], text)
        for child in about:
            name = child.tag.rpartition("}")[2]
            if name in _PROPERTIES and name not in texts:  # each once: reading one costs all that is in it
                texts[name] = "".join(child.itertext()).strip()
    return texts
