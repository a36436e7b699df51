"""The Paint tab in a real Chromium: what is painted is what the picture's file holds."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.library import OWNER
from app.keeping.metadata import read_settings
from app.web.server import Running
from ldm_core.conditioners import LabelBitsSpec
from ldm_core.library.class_names import class_names
from ldm_core.request import Semantic
from tests import tiny
from tests.browser import WAIT, drop, newest, pictures, status
from tests.test_segmentation import half_dark, write_segmenter

pytest_plugins = ["tests.browser"]
SKY, CLOUD = 0, 1
SPEC = replace(
    tiny.SPEC,
    unet=replace(tiny.SPEC.unet, in_channels=9, out_channels=9),
    conditioners=(*tiny.SPEC.conditioners, LabelBitsSpec(class_names("scenes"), 1.0)),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder, spec=SPEC)
    return folder


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Paint", exact=True).click()
    page.wait_for_selector("#paint-canvas [data-ready]", state="attached", timeout=WAIT)
    page.wait_for_timeout(500)


def stroke(page: Page, x: float, y0: float = 0.2, y1: float = 0.8) -> None:
    """Downwards, in fractions of the sheet."""
    box = page.locator("#paint-canvas .paper").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y0 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y1 * box["height"], steps=6)
    page.mouse.up()


def choose(page: Page, name: str) -> None:
    page.locator("#paint-canvas").get_by_role("button", name=name, exact=True).click()


def open_file(page: Page, item: str, data: bytes) -> None:
    """By the canvas's panel "File"."""
    canvas = page.locator("#paint-canvas")
    canvas.get_by_role("button", name="File", exact=True).click()
    with page.expect_file_chooser() as chooser:
        canvas.get_by_role("button", name=item, exact=True).click()
    chooser.value.set_files({"name": "file.png", "mimeType": "image/png", "buffer": data})
    page.wait_for_timeout(600)


def painted(path: Path) -> NDArray[np.uint8]:
    request = read_settings(path).request
    assert isinstance(request, Semantic)
    return request.label_map.pixels


def test_what_is_painted_is_made_kept_and_opened_again(running: Running, page: Page, outputs: Path) -> None:
    open_tab(page)
    page.locator("#paint-generate").click()
    status(page, "Nothing is painted yet")
    fault = page.locator("#paint-canvas > .fault")
    expect(fault).to_contain_text("Nothing is painted yet")
    stroke(page, 0.25)
    expect(fault).to_have_count(0)
    choose(page, "cloud")
    stroke(page, 0.75)
    page.locator("#paint-generate").click()
    status(page, "Finished in")
    (path,) = pictures(outputs)
    labels = painted(path)
    assert set(np.unique(labels)) == {SKY, CLOUD}
    assert (labels[16:48, 16] == SKY).all()
    assert (labels[16:48, 48] == CLOUD).all()
    (again,) = running.studio.make(read_settings(path).request)
    assert again.png == path.read_bytes()
    expect(page.locator(".stop:enabled")).to_have_count(0)
    page.reload()
    page.wait_for_selector("body.restored")
    open_tab(page)  # what was painted is still there
    width, height = (
        page.get_by_label(name, exact=True).locator("visible=true") for name in ("Width", "Height")
    )
    width.fill("80")
    height.fill("160")
    height.press("Tab")
    expect(page.locator("#paint-canvas .size")).to_have_text("80 × 160")
    tall = newest(page, outputs, "paint")
    assert painted(tall).shape == (160, 80)
    assert painted(tall)[80, 60] == CLOUD  # stretched with the sheet
    page.get_by_role("tab", name="Text to image").click()
    drop(page, path.read_bytes())
    expect(page.locator("#paint-canvas .size")).to_have_text("64 × 64")
    third = newest(page, outputs, "paint")
    assert (painted(third) == labels).all()


def test_a_stroke_supersedes_the_last_sketch(running: Running, page: Page, outputs: Path) -> None:
    before = pictures(outputs)
    open_tab(page)
    page.get_by_label("Live", exact=True).check()
    expect(page.get_by_role("radio", name="Keep").locator("visible=true")).to_be_checked()
    for x in (0.2, 0.5, 0.8):
        stroke(page, x)
        page.wait_for_timeout(250)
    page.wait_for_timeout(1500)
    owner = running.studio.person(OWNER)
    (run,) = (one.sketch for one in owner._pages.values() if one.sketch is not None)
    deadline = time.monotonic() + WAIT / 1000
    while run.ended is None and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    status(page, "Finished in")
    (sketch,) = run.pictures
    assert isinstance(sketch.request, Semantic)
    assert (sketch.request.label_map.pixels[32, [13, 32, 51]] == SKY).all()  # the last stroke is in it
    assert pictures(outputs) == before
    expect(page.locator("#paint-generate")).to_be_enabled()
    expect(page.locator("#paint-stop")).to_be_disabled()


def test_a_template_fills_the_sheet(page: Page) -> None:
    open_tab(page)
    page.get_by_label("Start from").click()
    page.get_by_role("option", name="Lake below mountains").click()
    undo = page.locator("#paint-canvas").get_by_role("button", name="Undo")
    expect(undo).to_have_attribute("aria-disabled", "false")
    page.locator("#paint-generate").click()
    status(page, "Finished in")


def test_a_map_from_a_picture(running: Running, page: Page, outputs: Path, models: Path, shots: Path) -> None:
    open_tab(page)
    page.get_by_role("button", name="Map from a picture").click()
    note, look = page.locator("#paint-look-note"), page.locator("#paint-look")
    expect(note).to_contain_text("model for semantic segmentation into models/")
    expect(look).to_be_hidden()
    page.screenshot(path=shots / "no-segmentation-model.png")
    eyes = write_segmenter(models / "eyes")
    weights = (eyes / "model.safetensors").rename(eyes / "pytorch_model.bin")
    for sentence in ("has no model.safetensors", ""):
        if not sentence:
            weights.rename(eyes / "model.safetensors")
        running.studio.models.scan()
        page.get_by_role("tab", name="Layout", exact=True).click()
        open_tab(page)
        expect(note).to_contain_text(sentence)
    look.click()
    expect(note).to_contain_text("There is no picture on the sheet")
    file = io.BytesIO()
    Image.fromarray(half_dark(64, 96)).save(file, "PNG")
    open_file(page, "Open picture…", file.getvalue())
    look.click()
    canvas = page.locator("#paint-canvas")
    undo = canvas.get_by_role("button", name="Undo")
    expect(note).to_be_hidden()
    labels = painted(newest(page, outputs, "paint"))
    page.screenshot(path=shots / "map-from-picture.png")
    tree = class_names("scenes").index("tree")
    assert (labels[:, :40] == SKY).all() and (labels[:, 56:] == tree).all()
    choose(page, "cloud")
    stroke(page, 0.2)
    labels = painted(newest(page, outputs, "paint"))
    assert labels[32, 19] == CLOUD and labels[32, 80] == tree
    for _ in range(2):  # the stroke, then the map
        undo.click()
        page.wait_for_timeout(300)
    page.locator("#paint-generate").click()
    status(page, "Nothing is painted yet")


def test_a_real_map_is_painted_with_the_model_s_classes(page: Page, outputs: Path, shared: Path) -> None:
    data = (shared / "data" / "images" / "landscape_norway_cocostuff.png").read_bytes()
    open_tab(page)
    open_file(page, "Open map…", data)
    labels = painted(newest(page, outputs, "paint"))
    given = np.asarray(Image.open(io.BytesIO(data)))
    same = {"sky-other": "sky", "plant-other": "meadow", "river": "water", "boat": "boat"}
    for stuff, ours in same.items():
        where = given == class_names("coco-stuff").index(stuff)
        assert where.any() and (labels[where] == class_names("scenes").index(ours)).all(), stuff
