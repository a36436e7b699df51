"""The inpainting tab in a real Chromium: a hole is painted and filled, the rest of the picture stays."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from ldm_core.request import Inpaint, Remove
from tests.browser import WAIT, drop, newest, status

pytest_plugins = ["tests.browser"]

SIDE = 128


def photograph() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def open_picture(page: Page, pixels: NDArray[np.uint8]) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    canvas = page.locator("#inpaint-canvas")
    canvas.get_by_role("button", name="File", exact=True).click()
    with page.expect_file_chooser() as chooser:
        canvas.get_by_role("button", name="Open picture…").click()
    chooser.value.set_files({"name": "p.png", "mimeType": "image/png", "buffer": file.getvalue()})
    expect(canvas.locator(".size")).to_have_text(f"{SIDE} × {SIDE}")


def paint(page: Page) -> None:
    """A short stroke in the middle."""
    box = page.locator("#inpaint-canvas .paper").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y, steps=4)
    page.mouse.up()


def test_a_painted_hole_is_filled_and_nothing_else(page: Page, outputs: Path, shots: Path) -> None:
    page.get_by_role("tab", name="Inpaint").click()
    page.wait_for_selector("#inpaint-canvas [data-ready]", state="attached", timeout=WAIT)
    page.locator("#inpaint-generate").click()
    status(page, "There is no picture yet")
    fault = page.locator("#inpaint-canvas > .fault")  # at the canvas as well, until something is on it
    expect(fault).to_contain_text("There is no picture yet")
    open_picture(page, photograph())
    expect(fault).to_have_count(0)
    page.wait_for_timeout(1000)
    page.locator("#inpaint-generate").click()
    status(page, "Nothing is painted yet")
    expect(fault).to_contain_text("Nothing is painted yet")
    page.screenshot(path=shots / "nothing-painted.png")
    paint(page)
    expect(fault).to_have_count(0)
    path = newest(page, outputs, "inpaint")
    request = read_settings(path).request
    assert isinstance(request, Inpaint)
    hole = request.mask.pixels >= 128
    assert 0 < hole.sum() < SIDE * SIDE / 2
    assert (request.image.pixels == photograph()).all()
    with Image.open(path) as file:
        made = np.asarray(file)
    changed = (made != photograph()).any(-1)
    assert changed[hole].mean() > 0.9
    rows, columns = np.nonzero(hole)
    reach = request.feather + 1
    outside = np.ones_like(hole)
    outside[
        rows.min() - reach : rows.max() + reach + 1, columns.min() - reach : columns.max() + reach + 1
    ] = False
    assert outside.any()
    assert not changed[outside].any()
    page.reload()
    page.wait_for_selector("body.restored")
    page.get_by_role("tab", name="Inpaint").click()
    expect(page.locator("#inpaint-canvas .size")).to_have_text(f"{SIDE} × {SIDE}", timeout=WAIT)
    page.wait_for_timeout(1000)
    again = read_settings(newest(page, outputs, "inpaint")).request
    assert isinstance(again, Inpaint)
    assert (again.image, again.mask) == (request.image, request.mask)
    page.locator("#inpaint-canvas").get_by_role("button", name="Adjust").click()
    page.locator("#inpaint-canvas").get_by_role("button", name="Invert").click()
    page.get_by_role("tab", name="Text to image").click()
    drop(page, path.read_bytes())
    status(page, "Settings taken")
    page.wait_for_timeout(1000)
    assert newest(page, outputs, "inpaint").read_bytes() == path.read_bytes()


def test_something_is_removed_at_once_and_the_result_goes_on(page: Page, outputs: Path) -> None:
    """Without a model: over the canvas, kept like any picture, and used without its mask."""
    page.get_by_role("tab", name="Inpaint").click()
    page.wait_for_selector("#inpaint-canvas [data-ready]", state="attached", timeout=WAIT)
    page.locator("#inpaint-canvas").evaluate("host => host.querySelector('[data-ready]').reset()")
    page.locator("#inpaint-remove").click()
    status(page, "There is no picture yet")
    open_picture(page, photograph())
    page.wait_for_timeout(1000)
    page.locator("#inpaint-remove").click()
    status(page, "paint over what shall be gone")
    paint(page)
    page.wait_for_timeout(1000)
    before = set(outputs.rglob("*.png"))
    page.locator("#inpaint-remove").click()
    status(page, "Finished")
    (path,) = set(outputs.rglob("*.png")) - before
    request = read_settings(path).request
    assert isinstance(request, Remove)
    with Image.open(path) as file:
        changed = (np.asarray(file) != photograph()).any(-1)
    hole = request.mask.pixels >= 128
    assert changed[hole].mean() > 0.9 and not changed[0].any()
    use = page.locator("#inpaint-canvas").get_by_role("button", name="Use this result")
    expect(use).to_be_visible()
    use.click()
    page.wait_for_timeout(1500)
    page.locator("#inpaint-remove").click()
    status(page, "paint over what shall be gone")
    page.locator("#vary").click()
    status(page, "no variations of it")
