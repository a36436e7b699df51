"""What goes out: a photograph's own pixels, colours and facts where it is edited; that a model made it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin

from app.keeping.metadata import encode_png, read_settings
from app.keeping.outgoing import without_facts
from ldm_core.pictures.reading import file_pixels, read_picture
from ldm_core.pictures.writing import FORMATS, Content, encode
from ldm_core.request import Inpaint, Outpaint, Request, SuperResolution, TextToImage
from ldm_core.request.raster import Raster, read_raster
from tests.picture_files import deep_png, file_of, picture, profile_of, smooth

BASE, PLACE, CAMERA = ExifTags.Base, ExifTags.IFD.GPSInfo, ExifTags.IFD.Exif
HOLE = np.zeros((24, 40), np.uint8)
HOLE[8:16, 10:30] = 255


def filled(file: bytes) -> tuple[Inpaint, NDArray[np.uint8]]:
    """A request, and what a model may have made of it: its hole is grey."""
    image = read_raster(file, "picture")
    mask = np.zeros(image.pixels.shape[:2], np.uint8)
    mask[8:16, 10:20] = 255
    pixels = image.pixels.copy()
    pixels[mask > 0] = 128
    return Inpaint(image=image, mask=Raster(mask)), pixels


def facts() -> Image.Exif:
    exif = Image.Exif()
    exif[BASE.Orientation] = 6
    exif[BASE.Make], exif[BASE.Artist], exif[BASE.Copyright] = "Camera", "A. Person", "all rights"
    exif[CAMERA] = {BASE.DateTimeOriginal: "2024:05:01 10:00:00", BASE.MakerNote: b"secret"}
    exif[PLACE] = {1: "N", 2: (48.0, 8.0, 0.0)}
    return exif


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="48,8N"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Town">
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">A lake</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def photograph() -> bytes:
    return file_of(picture(size=(40, 24)), "JPEG", quality=95, exif=facts(), xmp=XMP)


@pytest.mark.parametrize("name", ["adobe-rgb", "display-p3", "prophoto"])
def test_outside_of_the_hole_a_photograph_keeps_its_own_colours(name: str) -> None:
    file = file_of(picture(), "TIFF", icc_profile=profile_of(name))
    request, pixels = filled(file)
    seen = read_picture(encode_png(pixels, request))
    kept = request.mask.pixels == 0
    assert seen.profile == profile_of(name)
    assert np.array_equal(file_pixels(seen)[kept], np.asarray(picture())[kept])
    assert np.abs(seen.pixels[~kept].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("profile", [None, profile_of("adobe-rgb")])
def test_16_bits_survive_outside_of_the_hole(channels: int, profile: bytes | None) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (24, 40, channels), dtype=np.uint16)
    request, pixels = filled(deep_png(deep, profile))
    seen = read_picture(encode_png(pixels, request))
    kept = request.mask.pixels == 0
    assert np.array_equal(file_pixels(seen)[kept], deep[kept])
    assert np.abs(seen.pixels[~kept].astype(int) - 128).max() <= 1


def test_an_extended_picture_keeps_its_own_colours_within() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (24, 40, 3), dtype=np.uint16)
    image = read_raster(deep_png(deep), "picture")
    pixels = np.pad(image.pixels, ((3, 0), (0, 5), (0, 0)), constant_values=7)
    seen = read_picture(encode_png(pixels, Outpaint(image=image, top=3, right=5)))
    assert np.array_equal(file_pixels(seen)[3:, :40], deep)
    assert (seen.pixels[:3] == 7).all()


def test_a_picture_of_a_model_says_srgb_and_that_a_model_made_it() -> None:
    file = encode_png(smooth(), TextToImage())
    with Image.open(io.BytesIO(file)) as opened:
        assert opened.info["srgb"] == 0
        assert b"digitalsourcetype/trainedAlgorithmicMedia" in opened.info["xmp"]
    assert np.array_equal(read_picture(file).pixels, smooth())


def test_a_photographs_facts_are_kept_but_not_the_place() -> None:
    request, pixels = filled(photograph())
    file = encode_png(pixels, request)
    with Image.open(io.BytesIO(file)) as opened:
        exif, xmp = opened.getexif(), opened.info["xmp"]
        assert (exif[BASE.Make], exif[BASE.Artist], exif[BASE.Copyright]) == (
            "Camera",
            "A. Person",
            "all rights",
        )
        assert exif.get_ifd(CAMERA) == {BASE.DateTimeOriginal: "2024:05:01 10:00:00"}
        assert not exif.get_ifd(PLACE) and BASE.Orientation not in exif
        assert b"A lake" in xmp and b"compositeWithTrainedAlgorithmicMedia" in xmp
        assert b"GPS" not in xmp and b"Town" not in xmp and b"Orientation" not in xmp
    assert read_picture(file).pixels.shape == pixels.shape == (40, 24, 3)  # upright, once


def test_of_a_guests_photograph_nothing_is_kept() -> None:
    request, pixels = filled(photograph())
    bare = without_facts(request)
    file = encode_png(pixels, bare, facts=False)
    for words in (b"Camera", b"A. Person", b"GPS", b"A lake", b"secret"):
        assert words not in file and words not in (bare.image.file or b"")
    assert np.array_equal(read_raster(bare.image.file or b"", "picture").pixels, request.image.pixels)
    assert read_settings(file).request == bare
    deep = np.random.default_rng(0).integers(0, 65536, (24, 40, 3), dtype=np.uint16)
    request, _ = filled(deep_png(deep, profile_of("prophoto")))
    again = read_picture(without_facts(request).image.file or b"")
    assert np.array_equal(file_pixels(again), deep) and again.profile == profile_of("prophoto")


@pytest.mark.parametrize(
    "xmp", [b"<x", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"\0\xff" * 99, XMP * 9999]
)
def test_damaged_facts_are_left_out(xmp: bytes) -> None:
    request, pixels = filled(file_of(picture(), "WEBP", lossless=True, exif=b"Exif\0\0MM\0\x2a\xff", xmp=xmp))
    with Image.open(io.BytesIO(encode_png(pixels, request))) as opened:
        assert b"composite" in opened.info["xmp"] and not opened.getexif()


def test_the_request_of_a_file_carries_the_photograph_as_it_came() -> None:
    request, pixels = filled(photograph())
    again = read_settings(encode_png(pixels, request)).request
    assert isinstance(again, Inpaint) and again == request and again.image.file == photograph()


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_the_profile(format: str) -> None:
    own = smooth()
    seen = read_picture(encode(Content(own, profile_of("display-p3")), format, quality=95))
    assert seen.profile == profile_of("display-p3") and seen.format == format
    assert np.abs(file_pixels(seen).astype(int) - own).mean() < 3


@pytest.mark.parametrize("name", [None, "display-p3", "prophoto"])
@pytest.mark.parametrize("channels", [3, 4])
def test_an_enlarged_photograph_keeps_its_colours_and_depth(name: str | None, channels: int) -> None:
    """Made small again it is what was enlarged, in its own profile, finer than 8 bits of sRGB could be."""
    columns, rows = np.meshgrid(np.linspace(0, 60_000, 40), np.linspace(0, 50_000, 24))
    deep = np.dstack([columns, rows, columns[:, ::-1], 65535 - rows][:channels]).astype(np.uint16)
    profile = None if name is None else profile_of(name)
    image = read_raster(deep_png(deep, profile), "picture")
    made = np.asarray(Image.fromarray(image.pixels).resize((160, 96), Image.Resampling.BILINEAR))
    seen = read_picture(encode_png(made, SuperResolution(image=image, scale=4)))
    assert seen.profile == profile
    own = file_pixels(seen)
    assert own.dtype == np.uint16 and own.shape == (96, 160, channels)
    again = own.reshape(24, 4, 40, 4, channels).mean((1, 3))
    inner = np.abs(again - deep)[1:-1, 1:-1, :3]
    assert inner.mean() < 200  # of 65,535; colours beyond sRGB would be thousands off
    assert (own % 257).any()  # between the values of 8 bits
    assert np.abs(seen.pixels.astype(int) - made[..., :3])[4:-4, 4:-4].mean() < 2  # and looks as it was made


def test_an_enlarged_photograph_of_8_bits_in_srgb_is_as_it_was_made() -> None:
    image = read_raster(photograph(), "picture")
    made = np.random.default_rng(0).integers(0, 256, (80, 48, 3), dtype=np.uint8)
    assert np.array_equal(
        file_pixels(read_picture(encode_png(made, SuperResolution(image=image, scale=2)))), made
    )


def iim(*fields: tuple[int, bytes], coding: bytes = b"\x1b%G") -> bytes:
    parts = [(1, 90, coding), *((2, number, value) for number, value in fields)]
    return b"".join(b"\x1c" + bytes([r, n]) + len(v).to_bytes(2, "big") + v for r, n, v in parts)


FIELDS = (
    (80, "Ä. Person".encode()),
    (25, b"lake"),
    (25, b"snow"),
    (116, b"all rights"),
    (120, b"A lake in IIM"),
    (90, b"Town"),
    (55, b"20240501"),
    (60, b"100000+0100"),
)


def resources(fields: bytes) -> bytes:
    block = b"8BIM\x04\x04\0\0" + len(fields).to_bytes(4, "big") + fields
    return block + b"\0" * (len(block) % 2)


def with_iim(kind: str, fields: bytes) -> bytes:
    if kind == "TIFF":
        return file_of(picture(size=(40, 24)), "TIFF", tiffinfo={33723: fields})
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text(
            "Raw profile type iptc", f"\niptc\n{len(fields):8}\n{resources(fields).hex()}\n", zip=True
        )
        return file_of(picture(size=(40, 24)), "PNG", pnginfo=text)
    jpeg = file_of(picture(size=(40, 24)), "JPEG", quality=95)
    body = b"Photoshop 3.0\0" + resources(fields)
    return jpeg[:2] + b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
def test_fields_of_iptc_iim_are_kept_as_other_facts_are(kind: str) -> None:
    request, pixels = filled(with_iim(kind, iim(*FIELDS)))
    for facts_kept in (True, False):
        with Image.open(io.BytesIO(encode_png(pixels, request, facts=facts_kept))) as opened:
            xmp = opened.info["xmp"].decode()
        for words in ("Ä. Person", "lake", "snow", "all rights", "A lake in IIM", "2024-05-01T10:00:00"):
            assert (words in xmp) == facts_kept, words
        assert "Town" not in xmp  # a place


def test_xmp_goes_before_iptc_iim_and_damaged_fields_are_left_out() -> None:
    jpeg = with_iim("JPEG", iim(*FIELDS))
    packet = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    file = jpeg[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2, "big") + packet + jpeg[2:]
    request, pixels = filled(file)
    with Image.open(io.BytesIO(encode_png(pixels, request))) as opened:
        xmp = opened.info["xmp"].decode()
    assert "A lake<" in xmp and "A lake in IIM" not in xmp and "Ä. Person" in xmp
    for damaged in (b"\x1c\x02", iim(*FIELDS)[:-9], b"\x1c\x02\x78\xff\xff" + b"x" * 99, b"no fields"):
        for kind in ("JPEG", "TIFF", "PNG"):
            request, pixels = filled(with_iim(kind, damaged))
            assert read_picture(encode_png(pixels, request)).xmp


def test_an_enlarged_photograph_keeps_its_facts() -> None:
    image = read_raster(photograph(), "picture")
    request: Request = SuperResolution(image=image, scale=2)
    with Image.open(io.BytesIO(encode_png(np.zeros((80, 48, 3), np.uint8), request))) as opened:
        assert opened.getexif()[BASE.Make] == "Camera"


def test_the_shared_cases_are_kept_bit_for_bit(shared: Path) -> None:
    for path in sorted((shared / "cases" / "images").iterdir()):
        original = read_picture(path)
        request, pixels = filled(path.read_bytes())
        seen = read_picture(encode_png(pixels, request))
        kept = request.mask.pixels == 0
        assert np.array_equal(file_pixels(seen)[kept], file_pixels(original)[kept]), path.name


def test_a_picture_that_goes_on_does_not_carry_its_past_again() -> None:
    request, pixels = filled(file_of(picture(), "PNG", icc_profile=profile_of("adobe-rgb")))
    first = encode_png(pixels, request)
    again = read_raster(first, "picture")
    assert again.file is not None and len(again.file) < len(first) // 2
    seen = read_picture(again.file)
    assert seen.profile == profile_of("adobe-rgb") and np.array_equal(seen.pixels, read_picture(first).pixels)
    plain = read_raster(encode_png(smooth(), TextToImage()), "picture")
    assert plain.file is None and plain == Raster(smooth())
