"""Pictures, masks and label maps as text, and back."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ldm_core.errors import FileError
from ldm_core.request.raster import Kind, Raster, file_of, from_text, suits, to_uri


def png(pixels: np.ndarray, level: int = 6) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=level)
    return file.getvalue()


GREY = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)


@pytest.mark.parametrize("kind", ["picture", "mask", "label map"])
def test_a_raster_comes_back_from_its_text(kind: Kind) -> None:
    pixels = np.dstack([GREY] * 3) if kind == "picture" else GREY
    raster = Raster(pixels)
    bare = base64.b64encode(file_of(raster)).decode()
    for text in (to_uri(raster), bare, f"DATA:;base64,{bare[:50]}\n {bare[50:]}"):
        found = from_text(text, kind)
        assert found == raster and found is not None and suits(found, kind)
    assert not suits(raster, "mask" if kind == "picture" else "picture")


def test_a_mask_is_brightness_and_a_label_map_is_numbers() -> None:
    file = io.BytesIO()
    picture = Image.fromarray(GREY // 128, "P")
    picture.putpalette([0, 0, 0, 200, 200, 200])
    picture.save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    mask, labels = from_text(text, "mask"), from_text(text, "label map")
    assert mask is not None and np.unique(mask.pixels).tolist() == [0, 200]
    assert labels is not None and np.unique(labels.pixels).tolist() == [0, 1]


def test_an_address_is_never_fetched() -> None:
    for text in ("https://example.org/a.png", "FILE:///etc/passwd", "a+b-c.d://x"):
        with pytest.raises(FileError, match="The mask is an address, and none is ever fetched"):
            from_text(text, "mask")


def test_what_is_no_file_is_none() -> None:
    for text in ("", "a.png", "A" * 79, "data:image/png,AAAA", "data:image/png;base64,*", "é" * 90, "=" * 90):
        assert from_text(text, "picture") is None
    with pytest.raises(FileError):  # long enough to be a file, and none
        from_text("A" * 80, "picture")
    with pytest.raises(FileError):
        from_text("data:image/png;base64,AAAA", "picture")


def test_the_same_raster_gives_the_same_bytes_packed_quickly_where_it_is_large() -> None:
    assert file_of(Raster(GREY)) == png(GREY)
    for height, level in ((4000, 6), (4001, 2)):
        large = np.tile(np.arange(250, dtype=np.uint8), (height, 24))
        assert file_of(Raster(large)) == png(large, level)
    assert file_of(Raster(GREY, file=b"as it came")) == b"as it came"


def test_rasters_are_equal_where_their_content_is() -> None:
    pixels = GREY.copy()
    raster, same = Raster(pixels), Raster(GREY)
    pixels[:] = 0
    assert (
        raster == same and hash(raster) == hash(same) and raster != Raster(pixels) and raster != GREY.tolist()
    )
    assert Raster(GREY.reshape(32, 128)) != raster and Raster(GREY, file=b"x") != raster
    assert (Raster(GREY.reshape(32, 128)).width, Raster(GREY.reshape(32, 128)).height) == (128, 32)
    with pytest.raises(ValueError, match="read-only"):
        raster.pixels[0, 0] = 1
