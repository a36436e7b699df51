"""What a downloaded picture carries, in every format."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from app.keeping.downloads import Carries, download
from app.keeping.metadata import encode_png, read_settings
from ldm_core.pictures.reading import file_pixels, read_picture
from ldm_core.pictures.writing import FORMATS, Format
from ldm_core.request import Inpaint, Request, TextToImage
from ldm_core.request.raster import read_raster
from tests.picture_files import deep_png, profile_of, smooth
from tests.test_outgoing import filled, photograph

HASH = "ab" * 32
PROMPT = "a lake, at dusk: still"


def inpainted() -> tuple[bytes, Request]:
    request, pixels = filled(photograph())
    request = Inpaint(image=request.image, mask=request.mask, prompt=PROMPT)
    return encode_png(pixels, request, HASH), request


def comment(file: bytes) -> str:
    with Image.open(io.BytesIO(file)) as opened:
        said = opened.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    return said.removeprefix(b"UNICODE\0").decode("utf-16-be")


def test_a_png_with_everything_is_the_file_itself() -> None:
    png, request = inpainted()
    assert download(png, request, HASH) == png


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("carries", ["everything", "settings", "nothing"])
def test_only_what_is_wanted_goes_along(format: Format, carries: Carries) -> None:
    png, request = inpainted()
    file = download(png, request, HASH, format, carries=carries, quality=95)
    seen = read_picture(file)
    assert seen.format == format and seen.pixels.shape == (40, 24, 3)
    assert np.abs(seen.pixels.astype(int) - read_picture(png).pixels).mean() < 3
    with Image.open(io.BytesIO(file)) as opened:
        assert b"compositeWithTrainedAlgorithmicMedia" in opened.info["xmp"]
        assert (ExifTags.Base.Make in opened.getexif()) == (carries == "everything")
        assert not opened.getexif().get_ifd(ExifTags.IFD.GPSInfo)
        told = opened.info.get("parameters", "") if format == "PNG" else comment(file)
    assert (PROMPT in told) == (carries != "nothing")
    if carries != "everything":
        assert photograph()[:200] not in file and b"latent-atelier" not in file


def test_the_place_goes_along_on_wish_alone() -> None:
    png, request = inpainted()
    for format in FORMATS:
        with Image.open(io.BytesIO(download(png, request, HASH, format, place=True))) as opened:
            assert opened.getexif().get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"


def test_a_picture_from_words_alone_keeps_its_request_with_the_settings() -> None:
    request = TextToImage(prompt=PROMPT)
    png = encode_png(smooth(), request, HASH)
    assert read_settings(download(png, request, HASH, carries="settings")).request == request
    assert PROMPT.encode() not in download(png, request, HASH, carries="nothing")


def test_16_bits_and_the_profile_survive_without_the_settings() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (24, 40, 3), dtype=np.uint16)
    request, pixels = filled(deep_png(deep, profile_of("prophoto")))
    file = download(encode_png(pixels, request, HASH), request, HASH, carries="nothing")
    seen, kept = read_picture(file), request.mask.pixels == 0
    assert np.array_equal(file_pixels(seen)[kept], deep[kept]) and seen.profile == profile_of("prophoto")
    assert read_raster(file, "picture").file == file
