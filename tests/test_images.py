"""Pixels and tensors, and picture files that come from outside."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, PngImagePlugin

from ldm_core.errors import FileError, NotFinite
from ldm_core.network.images import MAX_PIXELS, from_pixels, read_image, to_pixels


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 24)) -> Image.Image:
    generator = np.random.default_rng(0)
    small = Image.fromarray(generator.integers(0, 256, (3, 5, 3), dtype=np.uint8), "RGB")
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def test_every_pixel_value_survives() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_pixels(from_pixels(pixels)), pixels)


def test_rounding_and_range() -> None:
    values = torch.tensor([-9.0, -1.0, 0.0, 0.5, 1.0, 9.0]).expand(3, 1, 6)
    assert to_pixels(values)[0, :, 0].tolist() == [0, 0, 128, 191, 255, 255]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_no_black_picture_from_nan(value: float) -> None:
    with pytest.raises(NotFinite):
        to_pixels(torch.full((3, 2, 2), value))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_modes(mode: str) -> None:
    image = picture("L").point(lambda v: v * 257, "I").convert("I;16") if mode == "I;16" else picture(mode)
    expected = picture("L") if mode == "I;16" else image
    data = file_of(image, "TIFF" if mode == "CMYK" else "PNG")
    difference = read_image(data).astype(int) - np.asarray(expected.convert("RGB")).astype(int)
    assert np.abs(difference).max() <= 2


def test_transparent_parts_show_white() -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 1), (200, 0, 0, 255))
    image.putpixel((2, 2), (0, 0, 0, 128))
    pixels = read_image(file_of(image))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 0, 0]
    assert abs(int(pixels[2, 2, 0]) - 127) <= 1
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert read_image(file_of(palette, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("orientation", [*range(1, 9), 999])
def test_orientation(orientation: int) -> None:
    image = picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(image, "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert np.array_equal(read_image(data), expected)
    assert read_image(data).shape == ((40, 24, 3) if 5 <= orientation <= 8 else (24, 40, 3))


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in range(0, 250, 50)]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(data)[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [(9_500, 9_500), (20_000, 20_000), (65_535, 65_535), (2**31 - 1, 1)])
def test_too_many_pixels_are_refused_before_decoding(size: tuple[int, int]) -> None:
    began = time.perf_counter()
    with pytest.raises(FileError, match=f"{MAX_PIXELS:,}"):
        read_image(png_header(*size))
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_truncated_files_are_refused(kind: str) -> None:
    data = file_of(picture(size=(160, 120)), kind)
    for percent in range(0, 96, 5):
        with pytest.raises(FileError, match=r"incomplete|no picture"):
            read_image(data[: len(data) * percent // 100])


@pytest.mark.parametrize("kind", ["PPM", "TGA", "DDS", "EPS", "PDF", "PCX"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(FileError, match="PNG, JPEG, WEBP"):
        read_image(file_of(picture(), kind))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg/>", b"%!PS", b"\0" * 999])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(FileError):
        read_image(data)


def test_text_bombs_are_refused() -> None:
    info = PngImagePlugin.PngInfo()
    for i in range(80):
        info.add_text(f"key{i}", "x" * 1_000_000, zip=True)
    with pytest.raises(FileError):
        read_image(file_of(picture(), pnginfo=info))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_damaged_files_give_typed_errors_only(kind: str) -> None:
    data = file_of(picture(), kind)
    generator = random.Random(0)
    for _ in range(150):
        mutant = bytearray(data)
        for _ in range(generator.randrange(1, 6)):
            mutant[generator.randrange(len(mutant))] = generator.randrange(256)
        try:
            pixels = read_image(bytes(mutant))
        except FileError as error:
            assert str(error).endswith(".")
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3


def test_paths(tmp_path: Path) -> None:
    path = tmp_path / "lake.png"
    path.write_bytes(file_of(picture()))
    assert read_image(path).shape == (24, 40, 3)
    path.write_bytes(b"GIF89a")
    with pytest.raises(FileError, match=r"^lake\.png ") as caught:
        read_image(path)
    assert str(tmp_path) not in str(caught.value)
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileError, match="cannot be read"):
            read_image(missing)
