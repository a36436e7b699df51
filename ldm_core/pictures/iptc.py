"""Fields of IPTC-IIM, what newspapers write into photographs, as properties of XMP.

IPTC Photo Metadata Standard 2023.1, and the Metadata Working Group's guidelines 2.0, which prefer XMP.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal
from xml.etree import ElementTree

from PIL import Image, TiffImagePlugin

from ldm_core.pictures.reading import Picture, identified

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC, _PHOTOSHOP = "{http://purl.org/dc/elements/1.1/}", "{http://ns.adobe.com/photoshop/1.0/}"
_CORE = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
Form = Literal["", "Alt", "Seq", "Bag"]  # one text, or a list of that kind

# Of record 2, by their numbers: the property, and how it is written.
_FIELDS: dict[int, tuple[str, Form]] = {
    5: (_DC + "title", "Alt"),
    10: (_PHOTOSHOP + "Urgency", ""),
    15: (_PHOTOSHOP + "Category", ""),
    20: (_PHOTOSHOP + "SupplementalCategories", "Bag"),
    25: (_DC + "subject", "Bag"),
    40: (_PHOTOSHOP + "Instructions", ""),
    80: (_DC + "creator", "Seq"),
    85: (_PHOTOSHOP + "AuthorsPosition", ""),
    90: (_PHOTOSHOP + "City", ""),
    92: (_CORE + "Location", ""),
    95: (_PHOTOSHOP + "State", ""),
    100: (_CORE + "CountryCode", ""),
    101: (_PHOTOSHOP + "Country", ""),
    103: (_PHOTOSHOP + "TransmissionReference", ""),
    105: (_PHOTOSHOP + "Headline", ""),
    110: (_PHOTOSHOP + "Credit", ""),
    115: (_PHOTOSHOP + "Source", ""),
    116: (_DC + "rights", "Alt"),
    120: (_DC + "description", "Alt"),
    122: (_PHOTOSHOP + "CaptionWriter", ""),
}
_DATE, _TIME = 55, 60
_RESOURCE = 0x0404  # of Photoshop's, which holds the fields in a JPEG
_TIFF_TAG, _TIFF_PHOTOSHOP = 33723, 34377
_MAX_BYTES, _MAX_VALUES = 256_000, 500
_UTF8 = b"\x1b%G"


def in_xmp(picture: Picture) -> list[ElementTree.Element]:
    """Its fields as properties of XMP; none where they are damaged."""
    values: dict[int, list[str]] = {}
    try:
        with identified(picture.file, "The picture") as image:
            for number, text in _texts(_block(image)[:_MAX_BYTES]):
                values.setdefault(number, []).append(text)
    except Exception:  # damaged data, which Pillow finds in a dozen ways; the picture itself may be whole
        return []
    found = [_property(*_FIELDS[number], texts) for number, texts in values.items() if number in _FIELDS]
    date = "".join(values.get(_DATE, [""])[0].split("-"))
    if len(date) == 8 and date.isdigit():
        when = "".join(values.get(_TIME, [""])[0].split(":"))[:6]
        time = f"T{when[:2]}:{when[2:4]}:{when[4:]}" if len(when) == 6 and when.isdigit() else ""
        stands = f"{date[:4]}-{date[4:6]}-{date[6:]}{time}"
        found.append(_property(_PHOTOSHOP + "DateCreated", "", [stands]))
    return found


def _block(image: Image.Image) -> bytes:
    """The bytes of the fields, wherever its format has them."""
    photoshop = image.info.get("photoshop")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        raw = image.tag_v2.get(_TIFF_TAG)
        if isinstance(raw, bytes):
            return raw
        if isinstance(raw, tuple):  # as whole numbers of 32 bits
            return struct.pack(f"{(image.tag_v2.prefix[:1] == b'M' and '>') or '<'}{len(raw)}I", *raw)
        raw = image.tag_v2.get(_TIFF_PHOTOSHOP)
        return _resource(raw) if isinstance(raw, bytes) else b""
    if isinstance(photoshop, dict):
        block = photoshop.get(_RESOURCE, b"")
        return block if isinstance(block, bytes) else b""
    profile = image.info.get("Raw profile type iptc")
    if not isinstance(profile, str):
        return b""
    raw = bytes.fromhex("".join(profile[: 3 * _MAX_BYTES].split("\n")[3:]))  # name, length, then digits
    return _resource(raw) if raw.startswith(b"8BIM") else raw


def _resource(data: bytes) -> bytes:
    """The fields among Photoshop's resources."""
    at = 0
    while data[at : at + 4] == b"8BIM":
        number, name = struct.unpack(">HB", data[at + 4 : at + 7])
        at += 6 + (name + 2) // 2 * 2
        (length,) = struct.unpack(">I", data[at : at + 4])
        if number == _RESOURCE:
            return data[at + 4 : at + 4 + length]
        at += 4 + (length + 1) // 2 * 2
    return b""


def _texts(data: bytes) -> Iterator[tuple[int, str]]:
    """Number and text of each field of record 2."""
    at, coding = 0, "latin-1"
    for _ in range(_MAX_VALUES):
        if at + 5 > len(data) or data[at] != 0x1C:
            return
        record, number, length = struct.unpack(">BBH", data[at + 1 : at + 5])
        value = data[at + 5 : at + 5 + length]
        if (record, number) == (1, 90) and value == _UTF8:
            coding = "utf-8"
        if record == 2 and length < 0x8000:  # longer ones are no texts
            text = value.decode(coding, "replace").strip("\0 ")
            if text.isprintable() or number == 120:
                yield number, "".join(c for c in text if c.isprintable() or c in "\n\t")
        at += 5 + length


def _property(name: str, form: Form, texts: list[str]) -> ElementTree.Element:
    element = ElementTree.Element(name)
    if not form:
        element.text = texts[0]
        return element
    several = ElementTree.SubElement(element, _RDF + form)
    for text in texts if form != "Alt" else texts[:1]:
        item = ElementTree.SubElement(several, _RDF + "li")
        item.text = text
        if form == "Alt":
            item.set("{http://www.w3.org/XML/1998/namespace}lang", "x-default")
    return element
