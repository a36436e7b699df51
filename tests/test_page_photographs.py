"""Photographs on the page: a large one is filled at full resolution; what is downloaded of one is asked."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from ldm_core.pictures.reading import file_pixels, read_picture
from ldm_core.request import Inpaint
from tests.browser import WAIT, newest, pictures, status
from tests.memory import Peak
from tests.picture_files import file_of, profile_of, smooth

pytest_plugins = ["tests.browser"]

WIDTH, HEIGHT = 8000, 6000
HOLE = 300  # pixels


def open_picture(page: Page, data: bytes, size: str) -> None:
    page.get_by_role("tab", name="Inpaint").click()
    page.wait_for_selector("#inpaint-canvas [data-ready]", state="attached", timeout=WAIT)
    canvas = page.locator("#inpaint-canvas")
    canvas.get_by_role("button", name="File", exact=True).click()
    with page.expect_file_chooser() as chooser:
        canvas.get_by_role("button", name="Open picture…").click()
    chooser.value.set_files({"name": "photograph.jpg", "mimeType": "image/jpeg", "buffer": data})
    expect(canvas.locator(".size")).to_have_text(size, timeout=WAIT)


def paint(page: Page, pixels: float) -> None:
    """A stroke over so many pixels of the canvas, from its middle to the right."""
    paper = page.locator("#inpaint-canvas .paper")
    box = paper.bounding_box()
    assert box is not None
    scale = box["width"] / paper.evaluate("paper => parseFloat(paper.style.width)")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + pixels * scale, y, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)


@pytest.mark.slow
def test_a_hole_of_300_pixels_in_48_megapixels_is_filled_at_full_resolution(
    page: Page, outputs: Path
) -> None:
    """Its own colours stay bit for bit elsewhere.  Prints what it took of memory."""
    own = np.asarray(Image.fromarray(smooth(WIDTH // 4, HEIGHT // 4)).resize((WIDTH, HEIGHT)))
    data = file_of(Image.fromarray(own), "JPEG", quality=90, icc_profile=profile_of("display-p3"))
    photograph = read_picture(data)
    expected = file_pixels(photograph)
    open_picture(page, data, "8000 × 6000")
    page.get_by_role("radio", name="Only masked").check(force=True)
    paint(page, HOLE * 2048 / WIDTH - 40)  # the brush is 40 wide
    before = pictures(outputs)
    with Peak() as peak:
        page.locator("#inpaint-generate").click()
        while not pictures(outputs) - before:  # seconds; minutes where much else is going on
            page.wait_for_timeout(500)
        status(page, "Finished")
    (path,) = pictures(outputs) - before
    print(f"filling a hole in {WIDTH} x {HEIGHT} pixels took {peak.bytes / 1e9:.2f} GB more")
    assert peak.bytes < 3e9
    request = read_settings(path).request
    assert isinstance(request, Inpaint) and request.image.file == data
    hole = request.mask.pixels >= 128
    rows, columns = np.nonzero(hole)
    assert abs(np.ptp(columns) + 1 - HOLE) < 20
    made = read_picture(path)
    assert made.pixels.shape == (HEIGHT, WIDTH, 3) and made.profile == photograph.profile
    changed = (file_pixels(made) != expected).any(-1)
    assert changed[hole].mean() > 0.9
    reach = request.feather + 1
    changed[
        rows.min() - reach : rows.max() + reach + 1, columns.min() - reach : columns.max() + reach + 1
    ] = 0
    assert not changed.any()


def test_what_goes_along_with_a_photograph_is_asked_once(page: Page, outputs: Path) -> None:
    exif = Image.Exif()
    exif[271] = "Camera"
    data = file_of(Image.fromarray(smooth(128, 96)), "JPEG", quality=95, exif=exif)
    open_picture(page, data, "128 × 96")
    paint(page, 10)
    path = newest(page, outputs, "inpaint")
    page.locator("#download").click()
    status(page, "Choose beside Download what goes along")
    page.get_by_role("radio", name="Nothing").check(force=True)
    page.get_by_role("radio", name="JPEG").check(force=True)
    page.wait_for_timeout(500)
    for _ in range(2):
        with page.expect_download() as saved:
            page.locator("#download").click()
        assert saved.value.suggested_filename == f"{path.stem}.jpg"
        file = Path(saved.value.path()).read_bytes()
        assert data[:300] not in file and b"Camera" not in file
        with Image.open(io.BytesIO(file)) as opened:
            assert opened.size == (128, 96) and b"compositeWith" in opened.info["xmp"]
        page.reload()  # remembered
        page.wait_for_selector("body.restored")
        page.get_by_role("tab", name="Inpaint").click()
        page.wait_for_selector("#inpaint-canvas [data-ready]", state="attached", timeout=WAIT)
        page.wait_for_timeout(1500)
        path = newest(page, outputs, "inpaint")


IMAGE = """image => {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  let text = '';
  for (const byte of context.getImageData(0, 0, canvas.width, canvas.height).data)
    text += String.fromCharCode(byte);
  return btoa(text);
}"""


@pytest.mark.parametrize(
    "name", ["landscape_turned_with_exif.jpg", "landscape_display_p3.jpg", "hopper_orientation_6.webp"]
)
def test_a_place_for_a_picture_shows_what_is_read(page: Page, shared: Path, name: str) -> None:
    path = shared / "cases" / "images" / name
    read = read_picture(path).pixels
    page.get_by_role("tab", name="Text to image").click()
    page.locator("#text-start > button").click()
    page.locator("#text-picture input[type=file]").set_input_files(path)
    page.wait_for_function("() => document.querySelector('#text-picture img')?.src.endsWith('.shown.png')")
    image = page.locator("#text-picture img")
    height, width = read.shape[:2]
    page.wait_for_function(f"() => document.querySelector('#text-picture img').naturalWidth === {width}")
    shown = np.frombuffer(base64.b64decode(image.evaluate(IMAGE)), np.uint8).reshape(height, width, 4)
    assert np.abs(shown[..., :3].astype(int) - read).max() <= 2
