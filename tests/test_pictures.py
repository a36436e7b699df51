"""The reader of picture files: what a person is shown, and the file's own pixels."""

from __future__ import annotations

import base64
import io
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from ldm_core.errors import FileError
from ldm_core.pictures.masks import read_labels, read_mask
from ldm_core.pictures.reading import MAX_PIXELS, file_pixels, over_white, read_picture
from ldm_core.pictures.rights import kept_exif
from tests.picture_files import deep_png, file_of, picture, png_header, profile_of, smooth

# 40 x 24 pixels, written by pillow-heif, whose encoder the program does not need.
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAb1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA"
    "AAAAADRpbG9jAAAAAERAAAIAAQAAAAAB4QABAAAAAAAAAR4AAgAAAAAC/wABAAAAAAAAACwAAAA4aWluZgAAAAAAAgAAABVp"
    "bmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVo"
    "dmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAA"
    "AwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAA"
    "AABAAAAAQAAAAChjbGFwAAAAKAAAAAEAAAAYAAAAAf///+gAAAAC////2AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEA"
    "AAAAAAAAAQABBYECAwWEAAAAGmlyZWYAAAAAAAAADmNkc2MAAgABAAEAAAFSbWRhdAAAARooAa8JyCIJwDo98ZXxy68fqrcx"
    "0/Y9JuhKXjJXN4StNsxV9CZQ+yOQVQoalCLvBZeRNLttlmD4S5vZZvhPTuRFw1k+bX6tnzKRFPJZW9I/zOQkK1/wPxKMl39e"
    "OvDQC4Ugh2yCex5IHLdQeMyML1+siPEm2D843Ee8If7nWbymVN2vc/Igq2uLcBkG0P00n79nu/qH6009FUKTRV/lxti4kHij"
    "AxHKFnMHjn5i9ahEt87hC4NESvgjhOxj6l+3lMfXofq7EmNnuhT3UgB/pVXruqka5hRQp/JMTiSDPP+bFTo8xXXgoQJYB2oC"
    "qZLmYhynl/iCEkAmz3cqOb6AWegr+lDfq7RkmD8OIwegqtFq9k/BPwaUgv3zJfAAAAAGRXhpZgAATU0AKgAAAAgAAQEPAAIA"
    "AAAHAAAAGgAAAABDYW1lcmEAAA=="
)

ORIENTATIONS = [*range(1, 9), 999]


@pytest.fixture(scope="module")
def cases(shared: Path) -> Path:
    """Files that failed once, each standing for its kind."""
    folder = shared / "cases" / "images"
    assert folder.is_dir()
    return folder


def difference(data: bytes, expected: Image.Image) -> int:
    """The largest of any pixel."""
    seen = read_picture(data).pixels.astype(int)
    return int(np.abs(seen - np.asarray(expected.convert("RGB"))).max())


# As it is seen -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "LAB"])
def test_modes(mode: str) -> None:
    image = picture(mode)
    expected = picture("L") if mode == "I;16" else image.convert("RGB")
    assert difference(file_of(image, "TIFF" if mode in ("CMYK", "LAB") else "PNG"), expected) <= 2


def with_orientation(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "AVIF": {"quality": 95}}.get(kind, {})
    return file_of(picture(), kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation(orientation: int, kind: str) -> None:
    data = with_orientation(orientation, kind)
    with Image.open(io.BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened)
    assert difference(data, expected) == 0
    assert read_picture(data).pixels.shape[:2] == ((40, 24) if 5 <= orientation <= 8 else (24, 40))


@pytest.mark.parametrize("name", ["hopper_orientation_5.webp", "hopper_orientation_6.webp"])
def test_orientation_of_webp_and_xmp(name: str, cases: Path) -> None:
    with Image.open(cases / name) as opened:
        assert difference((cases / name).read_bytes(), ImageOps.exif_transpose(opened)) == 0


@pytest.mark.parametrize("name", ["adobe-rgb", "display-p3", "prophoto"])
def test_colours_are_those_of_srgb(name: str) -> None:
    """Those of sRGB, written in another space, are read back; but for the rounding to 8 bits there."""
    image = Image.fromarray(smooth() // 2 + 64)
    profile = profile_of(name)
    spaces = (ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    there = ImageCms.applyTransform(image, ImageCms.buildTransform(*spaces, "RGB", "RGB"))
    assert np.abs(np.asarray(there).astype(int) - np.asarray(image)).max() > 8
    data = file_of(there, icc_profile=profile)
    assert difference(data, image) <= 3
    seen = read_picture(data)
    assert seen.profile == profile and np.array_equal(file_pixels(seen), np.asarray(there))


@pytest.mark.parametrize("name", ["srgb", "broken", "grey"])
def test_other_profiles_leave_the_pixels(name: str) -> None:
    seen = read_picture(file_of(picture(), icc_profile=profile_of(name)))
    assert np.array_equal(seen.pixels, np.asarray(picture())) and seen.profile is None
    assert bool(seen.notes) == (name != "srgb")


def test_grey_and_cmyk_with_profiles_of_their_own() -> None:
    grey = read_picture(file_of(picture("L"), icc_profile=profile_of("grey")))
    assert grey.profile is None and not grey.notes
    assert np.abs(grey.pixels[..., 0].astype(int) - np.asarray(picture("L"))).max() > 8
    cmyk = read_picture(file_of(picture("CMYK"), "JPEG", icc_profile=profile_of("adobe-rgb")))
    assert cmyk.notes  # a profile of another kind of colour


def test_transparent_parts_show_white() -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 1), (200, 0, 0, 255))
    image.putpixel((2, 2), (0, 0, 0, 128))
    pixels = over_white(read_picture(file_of(image)).rgba)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 0, 0]
    assert abs(int(pixels[2, 2, 0]) - 127) <= 1
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    seen = read_picture(file_of(palette, transparency=1))
    assert over_white(seen.rgba).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_a_transparent_grey_of_16_bits_is_transparent(cases: Path) -> None:
    seen = read_picture(cases / "i_trns.png")
    with Image.open(cases / "i_trns.png") as opened:
        clear = np.asarray(opened) == opened.info["transparency"]
    assert seen.alpha is not None and np.array_equal(seen.alpha == 0, clear) and 0 < clear.mean() < 1


def test_floating_point_from_0_to_1_is_scaled_and_anything_else_named(cases: Path) -> None:
    seen = read_picture(cases / "float_0_1.tif").pixels
    assert (seen.min(), seen.max()) == (0, 255)
    for values, words in (([0.0, 2.0], "from 0 to 2"), ([-1.0, 1.0], "from -1 to 1"), ([np.nan, 1], "NaN")):
        with pytest.raises(FileError, match=words):
            read_picture(file_of(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    with pytest.raises(FileError, match="32 bits"):
        read_picture(file_of(Image.fromarray(np.array([[70_000]], np.int32)), "TIFF"))


def test_the_first_frame_of_an_animation_is_used_and_that_is_said() -> None:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in range(0, 250, 50)]
    for kind in ("GIF", "WEBP", "PNG"):
        seen = read_picture(file_of(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert seen.pixels.max() == 0
        assert seen.notes == ("Of its 5 frames the first is used.",)


def test_heic_is_read_or_its_library_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = base64.b64decode(HEIC)
    seen = read_picture(data)
    assert seen.format == "HEIF" and np.abs(seen.pixels.astype(int) - np.asarray(picture())).mean() < 8
    assert kept_exif(seen)[ExifTags.Base.Make] == "Camera"
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(FileError, match=r"a HEIC picture: run `pip install pi-heif`"):
        read_picture(data)


# The file's own pixels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "tiff", "tiff, packed"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_are_kept(kind: str, channels: int) -> None:
    import cv2

    deep = np.random.default_rng(0).integers(0, 65536, (37, 53, channels), dtype=np.uint16)
    data = deep_png(deep)
    if kind != "png":
        order = [2, 1, 0, 3][:channels]
        packing = [cv2.IMWRITE_TIFF_COMPRESSION, 1 if kind == "tiff" else 5]
        data = cv2.imencode(".tif", deep[..., order], packing)[1].tobytes()
    seen = read_picture(data)
    assert np.array_equal(file_pixels(seen), deep) and not seen.is_plain
    assert np.array_equal(seen.pixels, (deep >> 8)[..., :3])


def test_16_bit_grey_is_kept() -> None:
    deep = np.arange(4096, dtype=np.uint16).reshape(64, 64) * np.uint16(16)
    assert np.array_equal(file_pixels(read_picture(file_of(Image.fromarray(deep))))[..., 1], deep)


def test_own_pixels_are_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = read_picture(file_of(picture(), icc_profile=profile_of("adobe-rgb"), exif=exif))
    own = np.asarray(picture().transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(file_pixels(seen), own)


# Masks ---------------------------------------------------------------------------------------------------


def drawn(colour: tuple[int, ...], sheet: tuple[int, ...]) -> tuple[bytes, np.ndarray]:
    """A square of a colour on a sheet of another, and where it is."""
    where = np.zeros((24, 40), bool)
    where[6:18, 10:30] = True
    return file_of(Image.fromarray(np.where(where[..., None], colour, sheet).astype(np.uint8))), where


@pytest.mark.parametrize(
    ("colour", "sheet"),
    {
        "white on black": ((255, 255, 255), (0, 0, 0)),
        "red on black": ((255, 0, 0), (0, 0, 0)),
        "white on transparent white": ((255, 255, 255, 255), (255, 255, 255, 0)),
        "black on transparent": ((0, 0, 0, 255), (0, 0, 0, 0)),
        "red on transparent": ((255, 0, 0, 255), (0, 0, 0, 0)),
        "0 and 1": ((1, 1, 1), (0, 0, 0)),
        "opaque": ((255, 255, 255, 255), (0, 0, 0, 255)),
        "alpha of 0 and 1": ((9, 9, 9, 1), (9, 9, 9, 0)),
    }.values(),
)
def test_masks_are_read_by_one_rule(colour: tuple[int, ...], sheet: tuple[int, ...]) -> None:
    data, where = drawn(colour, sheet)
    assert np.array_equal(read_mask(data), np.where(where, 255, 0))


def test_a_hole_in_a_photographs_alpha_is_the_mask() -> None:
    _, where = drawn((0, 0, 0), (0, 0, 0))
    photograph = np.dstack([smooth(), np.where(where, 0, 255).astype(np.uint8)])
    assert np.array_equal(read_mask(file_of(Image.fromarray(photograph))), np.where(where, 255, 0))


def test_a_masks_greys_stay() -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(read_mask(file_of(Image.fromarray(greys))), greys)


def test_a_mask_is_turned_as_its_picture() -> None:
    assert read_mask(with_orientation(6, "PNG")).shape == (40, 24)


def test_label_maps_are_indices() -> None:
    ids = np.random.default_rng(0).integers(0, 200, (24, 40), dtype=np.uint8)
    indexed = Image.fromarray(ids)
    indexed.putpalette(bytes(range(255, -1, -1)) * 3)
    assert np.array_equal(read_labels(file_of(indexed)), ids)
    assert np.array_equal(read_labels(file_of(Image.fromarray(ids))), ids)


# What is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(9_500, 9_500), (20_000, 20_000), (65_535, 65_535), (2**31 - 1, 1)])
def test_too_many_pixels_are_refused_before_decoding(size: tuple[int, int]) -> None:
    began = time.perf_counter()
    with pytest.raises(FileError, match=f"pixels; up to .* {MAX_PIXELS:,} in all"):
        read_picture(png_header(*size))
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_truncated_files_are_refused(kind: str) -> None:
    data = file_of(picture(size=(160, 120)), kind)
    for percent in range(0, 96, 5):
        with pytest.raises(FileError, match=r"incomplete|no picture"):
            read_picture(data[: len(data) * percent // 100])


def test_a_stripe_is_refused_with_its_size() -> None:
    with pytest.raises(FileError, match=r"1 x 4,096 pixels; .* 16 : 1"):
        read_picture(file_of(Image.new("L", (1, 4096))))


@pytest.mark.parametrize("kind", ["PPM", "TGA", "DDS", "EPS", "PDF", "PCX"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(FileError, match="PNG, JPEG, WEBP"):
        read_picture(file_of(picture(), kind))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org"/>',
            "an SVG drawing",
        ),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\0\x18ftypcrx ", "a camera's raw file"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(FileError, match=words):
        read_picture(data)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", b"%!PS", b"\0" * 999])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(FileError):
        read_picture(data)


def test_text_bombs_are_refused() -> None:
    info = PngImagePlugin.PngInfo()
    for i in range(80):
        info.add_text(f"key{i}", "x" * 1_000_000, zip=True)
    with pytest.raises(FileError):
        read_picture(file_of(picture(), pnginfo=info))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_damaged_files_give_typed_errors_only(kind: str) -> None:
    data = file_of(picture(), kind)
    generator = random.Random(0)
    for _ in range(150):
        mutant = bytearray(data)
        for _ in range(generator.randrange(1, 6)):
            mutant[generator.randrange(len(mutant))] = generator.randrange(256)
        try:
            pixels = read_picture(bytes(mutant)).pixels
        except FileError as error:
            assert str(error).endswith(".")
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3


def test_paths(tmp_path: Path) -> None:
    path = tmp_path / "lake.png"
    path.write_bytes(file_of(picture()))
    assert read_picture(path).pixels.shape == (24, 40, 3)
    path.write_bytes(b"GIF89a")
    with pytest.raises(FileError, match=r"^lake\.png ") as caught:
        read_picture(path)
    assert str(tmp_path) not in str(caught.value)
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileError, match="cannot be read"):
            read_picture(missing)
