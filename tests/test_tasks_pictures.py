"""Pictures in requests: transparency, masks, sizes, and the texts in which programs send them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.commands import cli
from app.keeping.metadata import encode_png
from ldm_core.engine.engine import Engine
from ldm_core.errors import RequestError
from ldm_core.library.models import ModelLibrary
from ldm_core.pictures.reading import file_pixels, read_picture
from ldm_core.request import ImageToImage, Inpaint, Outpaint, SuperResolution, parse_request
from ldm_core.request.raster import Raster, read_raster
from ldm_core.tasks import upscale
from tests import tiny
from tests.picture_files import file_of, picture, profile_of, smooth

FEW = {"model": "tiny", "steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder, name="tiny")
    tiny.write_model(folder, name="upscaler", spec=tiny.UPSCALER)
    with Engine(ModelLibrary([folder]), device="cpu") as engine:
        yield engine


def mask_for(pixels: NDArray[np.uint8]) -> Raster:
    """Of a square in the middle."""
    height, width = pixels.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : height // 2, width // 3 : width // 2] = 255
    return Raster(mask)


def near(mask: Raster, reach: int) -> NDArray[np.bool_]:
    rows, columns = np.nonzero(mask.pixels)
    found = np.zeros(mask.pixels.shape, bool)
    top, left = max(0, rows.min() - reach), max(0, columns.min() - reach)
    found[top : rows.max() + reach + 1, left : columns.max() + reach + 1] = True
    return found


# What is kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paste", ["feather", "match", "gradient"])
def test_a_hole_in_a_transparent_picture_is_filled_and_the_rest_stays_transparent(
    engine: Engine, paste: str
) -> None:
    image = read_raster(file_of(picture("RGBA", (80, 64))), "picture")
    mask = mask_for(image.pixels)
    (made,) = engine.submit(Inpaint(image=image, mask=mask, paste=paste, feather=3, **FEW)).pictures()
    assert made.shape == image.pixels.shape == (64, 80, 4)
    assert np.array_equal(made[~near(mask, 4)], image.pixels[~near(mask, 4)])
    assert (made[mask.pixels > 0, 3] == 255).all()


def test_image_to_image_sees_a_transparent_picture_over_white(engine: Engine) -> None:
    clear = np.zeros((64, 64, 4), np.uint8)
    (made,) = engine.submit(ImageToImage(image=Raster(clear), **FEW)).pictures()
    white = np.full((64, 64, 3), 255, np.uint8)
    (same,) = engine.submit(ImageToImage(image=Raster(white), **FEW)).pictures()
    assert np.array_equal(made, same)


def test_every_shared_case_is_filled_where_it_was_masked_and_nowhere_else(
    engine: Engine, shared: Path
) -> None:
    for path in sorted((shared / "cases" / "images").iterdir()):
        image = read_raster(path.read_bytes(), "picture")
        mask = mask_for(image.pixels)
        request = Inpaint(image=image, mask=mask, feather=0, area="masked", **FEW)
        (made,) = engine.submit(request).pictures()
        kept = mask.pixels == 0
        seen = read_picture(encode_png(made, request))
        assert np.array_equal(made[kept], image.pixels[kept]), path.name
        assert np.array_equal(file_pixels(seen)[kept], file_pixels(read_picture(path))[kept]), path.name


def test_the_masked_part_of_a_large_picture_is_drawn_at_its_own_resolution(engine: Engine) -> None:
    image = read_raster(file_of(Image.fromarray(smooth(2600, 1700)), "JPEG"), "picture")
    mask = np.zeros((1700, 2600), np.uint8)
    mask[500:560, 2000:2060] = 255
    request = Inpaint(image=image, mask=Raster(mask), area="masked", margin=16, feather=2, **FEW)
    (made,) = engine.submit(request).pictures()
    assert made.shape == (1700, 2600, 3) and not request.notes()
    changed = (made != image.pixels).any(2)
    assert changed[mask > 0].mean() > 0.9
    assert not changed[~near(request.mask, 3)].any()


# What is told --------------------------------------------------------------------------------------------


def test_an_empty_mask_is_refused_and_a_full_one_told() -> None:
    image = Raster(smooth())
    with pytest.raises(RequestError, match="mask is empty; it has to be white, 128 or more, where"):
        Inpaint(image=image, mask=Raster(np.full((24, 40), 127, np.uint8)))
    full = Inpaint(image=image, mask=Raster(np.full((24, 40), 255, np.uint8)))
    assert full.notes() == ("The mask covers the whole picture, so nothing of it is kept.",)
    assert not Inpaint(image=image, mask=mask_for(image.pixels)).notes()


def test_the_size_at_which_a_large_picture_is_worked_on_is_told() -> None:
    image = Raster(np.zeros((3000, 4000, 3), np.uint8))
    mask = mask_for(image.pixels)
    whole = Inpaint(image=image, mask=mask)
    assert (whole.size, whole.worked_size) == ((4000, 3000), (2048, 1536))
    assert "worked on at 2,048 x 1,536 pixels" in whole.notes()[0]
    assert not Inpaint(image=image, mask=mask, area="masked").notes()
    assert "2,048 x 1,536" in ImageToImage(image=image).notes()[0]
    assert ImageToImage(image=image).size == (2048, 1536)
    assert Outpaint(image=image, top=500).worked_size == (2048, 1792)


def test_a_result_that_is_too_large_to_be_opened_again_is_told() -> None:
    image = Raster(np.zeros((3000, 4000, 3), np.uint8))
    assert "16,000 x 12,000 pixels; up to 16,384" in SuperResolution(image=image, scale=4).notes()[0]
    assert not SuperResolution(image=image, scale=2).notes()


def test_what_a_file_may_surprise_with_is_told_by_its_request() -> None:
    frames = [Image.new("RGB", (40, 24), (value, 0, 0)) for value in (200, 0)]
    gif = read_raster(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]), "picture")
    assert ImageToImage(image=gif).notes() == ("Of its 2 frames the first is used.",)
    broken = read_raster(file_of(picture(), icc_profile=profile_of("broken")), "picture")
    assert "taken as sRGB" in ImageToImage(image=broken).notes()[0]


def test_generate_tells_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write_model(tmp_path / "models", name="tiny")
    Image.fromarray(smooth()).save(tmp_path / "photograph.jpg")
    Image.new("L", (40, 24), 255).save(tmp_path / "all.png")
    request = {"task": "inpaint", "image": "photograph.jpg", "mask": "all.png", **FEW, "steps": 1}
    (tmp_path / "request.json").write_text(json.dumps(request))
    arguments = ["--out", str(tmp_path / "out"), "--models-dir", str(tmp_path / "models")]
    assert cli.main(["generate", str(tmp_path / "request.json"), *arguments]) == 0
    assert "The mask covers the whole picture" in capsys.readouterr().err


def test_enlarging_takes_what_memory_allows(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    request = SuperResolution(model="upscaler", image=Raster(np.zeros((3000, 4000, 3), np.uint8)), scale=4)
    monkeypatch.setattr(upscale, "available_memory", lambda _: 1_000_000_000)
    with pytest.raises(
        RequestError, match=r"16,000 x 12,000 pixels take about \d+\.\d GB, and 1\.0 GB are free"
    ):
        engine.submit(request)


# Texts ---------------------------------------------------------------------------------------------------


def text_of(file: bytes, mime: str = "") -> str:
    return (f"data:{mime};base64," if mime else "") + base64.b64encode(file).decode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("bare", [True, False])
def test_any_format_is_taken_as_a_uri_or_in_bare_base64(kind: str, bare: bool) -> None:
    file = file_of(picture(), kind)
    text = text_of(file, "" if bare else f"image/{kind.lower()}")
    request = parse_request({"task": "image-to-image", "image": text})
    assert isinstance(request, ImageToImage)
    assert np.array_equal(request.image.pixels, read_picture(file).pixels)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://example.org/a.png", "The picture is an address, and none is ever fetched"),
        ("file:///etc/passwd", "is an address"),
        ("data:image/svg+xml;base64," + base64.b64encode(b"<svg/>" + b" " * 99).decode(), "an SVG drawing"),
        (text_of(file_of(Image.new("L", (1, 4096)))), "1 x 4,096 pixels; up to 16,384 pixels a side"),
        ("lake.png", "image is 'lake.png'; it has to be a picture as a data: URI"),
        ("data:image/png;base64,???", "it has to be a picture as a data: URI"),
    ],
)
def test_what_cannot_be_taken_is_said_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        parse_request({"task": "image-to-image", "image": text})
    assert caught.value.field == "image"
