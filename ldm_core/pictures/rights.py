"""What a photograph says of itself, for a picture that is made of it, and that a model made a part.

Kept are camera, lens, exposure, date, author, rights and description, in EXIF and XMP; fields of IPTC-IIM
go into XMP, where they are not there yet.  Not kept: the
orientation, which the pixels have; thumbnails, which show what was; the maker's notes; unasked, the place.
"""

from __future__ import annotations

from xml.etree import ElementTree

from PIL import ExifTags, Image

from ldm_core.pictures.iptc import in_xmp
from ldm_core.pictures.reading import Picture, file_pixels, identified
from ldm_core.pictures.writing import Content, encode

MADE = "trainedAlgorithmicMedia"
MADE_IN_PART = "compositeWithTrainedAlgorithmicMedia"
ENHANCED = "algorithmicallyEnhanced"
_SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

_Base, _Ifd = ExifTags.Base, ExifTags.IFD
_TAGS = (
    _Base.ImageDescription, _Base.Make, _Base.Model, _Base.DateTime, _Base.Artist, _Base.Copyright,
    _Base.XResolution, _Base.YResolution, _Base.ResolutionUnit, _Base.Rating, _Base.XPTitle, _Base.XPComment,
    _Base.XPAuthor, _Base.XPKeywords, _Base.XPSubject,
)  # fmt: skip
# Of the block of a camera's facts: its notes, what it says of the pixels, texts of other programs.
_DROPPED = (
    _Base.MakerNote, _Base.UserComment, _Base.ExifImageWidth, _Base.ExifImageHeight, _Base.ColorSpace,
    _Base.ExifInteroperabilityOffset, _Base.SubjectLocation,
)  # fmt: skip
_PLACE, _CAMERA = _Ifd.GPSInfo, _Ifd.Exif

_MAX_XMP = 256_000  # bytes
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_SPACES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF,
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": _IPTC,
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "exif": "http://ns.adobe.com/exif/1.0/",
}
_OF_THE_PIXELS = ("DigitalSourceType", "Thumbnails", "PixelXDimension", "PixelYDimension", "ColorSpace")
_PLACES = (
    "GPS", "City", "State", "Country", "CountryCode", "Location", "LocationCreated", "LocationShown",
)  # fmt: skip


def kept_exif(original: Picture, *, place: bool = False) -> Image.Exif:
    """Of a photograph's EXIF data what a picture that is made of it keeps."""
    kept = Image.Exif()
    try:
        with identified(original.file, "The picture") as image:
            exif = image.getexif()
            for tag in _TAGS:
                if tag in exif:
                    kept[tag] = exif[tag]
            camera = {tag: value for tag, value in exif.get_ifd(_CAMERA).items() if tag not in _DROPPED}
            if camera:
                kept[_CAMERA] = camera
            if place and (where := exif.get_ifd(_PLACE)):
                kept[_PLACE] = dict(where)
        kept.tobytes()
    except (
        Exception
    ):  # damaged EXIF data, which Pillow finds in a dozen ways; the picture itself may be whole
        return Image.Exif()
    return kept


def xmp_of(source: str, original: Picture | None = None, *, place: bool = False) -> bytes:
    """An XMP packet that says that a model made the picture (IPTC's digital source type), with what the
    photograph that it is made of says in its own.

    Args:
        source: `MADE`, `MADE_IN_PART` or `ENHANCED`.
    """
    for prefix, space in _SPACES.items():
        ElementTree.register_namespace(prefix, space)
    packet = ElementTree.Element("{adobe:ns:meta/}xmpmeta")
    about = ElementTree.SubElement(ElementTree.SubElement(packet, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description")
    about.set(f"{{{_RDF}}}about", "")
    said = [] if original is None else _said(original)
    named = {element.tag for element in said}
    iim = [] if original is None else [element for element in in_xmp(original) if element.tag not in named]
    about.extend(element for element in (*said, *iim) if _is_kept(element.tag, place))
    ElementTree.SubElement(about, f"{{{_IPTC}}}DigitalSourceType").text = _SOURCES + source
    return ElementTree.tostring(packet, "utf-8")


def _said(original: Picture) -> list[ElementTree.Element]:
    """The properties of its XMP."""
    raw = original.xmp
    if len(raw) > _MAX_XMP or b"<!" in raw:  # no entities, which can be bombs
        return []
    try:
        packet = ElementTree.fromstring(raw.strip(b"\0 \r\n"))
    except (ElementTree.ParseError, ValueError):
        return []
    found = []
    for about in packet.iter(f"{{{_RDF}}}Description"):
        for name, value in about.attrib.items():
            element = ElementTree.Element(name)
            element.text = value
            found.append(element)
        found.extend(about)
    return found


def carried_file(picture: Picture) -> bytes | None:
    """The file as a request carries it: without the settings of earlier pictures, which hold files again.

    None where it holds nothing but pixels.
    """
    if picture.is_plain and picture.xmp in (b"", *map(xmp_of, (MADE, MADE_IN_PART, ENHANCED))):
        return None
    if picture.format == "PNG":
        return _without_texts(picture.file)
    return picture.file if picture.format != "JPEG" else _without_blocks(picture.file)


def _without_texts(png: bytes) -> bytes:
    """Without text chunks but XMP, and what stands for EXIF and IPTC-IIM."""
    parts, at = [png[:8]], 8
    while at + 8 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        kind, keyword = png[at + 4 : at + 8], png[at + 8 : at + 25]
        kept = keyword == b"XML:com.adobe.xmp" or keyword == b"Raw profile type "
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or kept:
            parts.append(png[at:end])
        at = end
    return b"".join(parts)


def _without_blocks(jpeg: bytes) -> bytes:
    """Without this program's own blocks (APP15)."""
    parts, at = [jpeg[:2]], 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xEF:
            parts.append(jpeg[at:end])
        at = end
    return b"".join([*parts, jpeg[at:]])


def bare_file(original: Picture) -> bytes:
    """The file with its own pixels, orientation and profile, and nothing else that it says."""
    if original.format == "JPEG":
        return _bare_jpeg(original.file)
    return encode(Content(file_pixels(original), original.profile), "PNG")


_PIXELS = {0xC0 + i for i in range(16)} | {
    0xDB,
    0xDD,
    0xE0,
    0xEE,
}  # blocks of a JPEG
_PROFILE, _SCAN, _END = 0xE2, 0xDA, b"\xff\xd9"


def _bare_jpeg(data: bytes) -> bytes:
    with identified(data, "The picture") as image:
        turn = image.getexif().get(_Base.Orientation, 1)
    exif = Image.Exif()
    exif[_Base.Orientation] = turn
    said = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    parts, at = [data[:2], b"\xff\xe1", (len(said) + 2).to_bytes(2, "big"), said], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        is_profile = data[at + 1] == _PROFILE and data[at + 4 :].startswith(b"ICC_PROFILE\0")
        if data[at + 1] in _PIXELS or is_profile:
            parts.append(data[at:end])
        at = end
    last = data.find(_END, at)  # behind it may lie other pictures
    return b"".join([*parts, data[at : last + 2 if last >= 0 else None]])


def _is_kept(tag: str, place: bool) -> bool:
    space, _, name = tag.removeprefix("{").partition("}")
    if space not in _SPACES.values() or space == _RDF or name in _OF_THE_PIXELS:
        return False
    return place or not (name in _PLACES or name.startswith("GPS"))
