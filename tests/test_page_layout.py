"""The Layout tab in a real Chromium: the boxes that are drawn are those that the picture's file holds."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from app.widgets.palettes import palette_of
from ldm_core.conditioners import BoxMapSpec, LabelBitsSpec, LayoutSpec
from ldm_core.library.class_names import class_names
from ldm_core.request import LayoutToImage, Semantic
from tests import tiny
from tests.browser import WAIT, drop, new_pictures, newest, pictures, send, status

pytest_plugins = ["tests.browser"]
CLASSES = ("sun", "moon", "tree", "house", "boat")
Corners = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that takes prompts, label maps and boxes, and one that takes up to five boxes alone."""
    folder = tmp_path_factory.mktemp("models")
    ours = replace(
        tiny.SPEC,
        unet=replace(tiny.SPEC.unet, in_channels=14, out_channels=9),
        conditioners=(
            *tiny.SPEC.conditioners,
            BoxMapSpec(CLASSES),
            LabelBitsSpec(class_names("scenes"), 1.0),
        ),
    )
    tiny.write_model(folder, spec=ours)
    tiny.write_model(folder, name="few", spec=replace(tiny.SPEC, conditioners=(LayoutSpec(32, 1, 1024, 17),)))
    return folder


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_selector(f"#{name.lower()}-canvas [data-ready]", state="attached", timeout=WAIT)
    page.wait_for_timeout(500)


def draw(page: Page, name: str, x0: float, y0: float, x1: float, y1: float) -> None:
    """A box, in fractions of the sheet."""
    canvas = page.locator("#layout-canvas")
    page.keyboard.press("Escape")
    canvas.get_by_role("group", name="Classes").get_by_role("button", name=name, exact=True).click()
    paper = canvas.locator(".paper").bounding_box()
    assert paper is not None
    corners = [
        (paper["x"] + x * paper["width"], paper["y"] + y * paper["height"]) for x, y in ((x0, y0), (x1, y1))
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=6)
    page.mouse.up()


def generated(page: Page, outputs: Path) -> tuple[Path, LayoutToImage]:
    before = pictures(outputs)
    page.locator("#layout-generate").click()
    (path,) = new_pictures(page, outputs, before)
    request = read_settings(path).request
    assert isinstance(request, LayoutToImage)
    return path, request


def corners(request: LayoutToImage) -> dict[str | int, Corners]:
    return {box.label: (box.x, box.y, box.x + box.width, box.y + box.height) for box in request.boxes}


def test_drawn_boxes_are_made_kept_and_opened_again(page: Page, outputs: Path) -> None:
    open_tab(page, "Layout")
    page.locator("#layout-generate").click()
    status(page, "There is no box yet")
    fault = page.locator("#layout-canvas > .fault")
    expect(fault).to_contain_text("There is no box yet")
    draw(page, "house", 0.1, 0.5, 0.5, 0.9)
    expect(fault).to_have_count(0)
    draw(page, "sun", 0.7, 0.1, 0.9, 0.3)
    path, request = generated(page, outputs)
    found = corners(request)
    assert list(found) == ["house", "sun"] and request.size == (64, 64)
    assert np.abs(np.subtract(found["house"], (0.1, 0.5, 0.5, 0.9))).max() <= 1 / 64
    assert np.abs(np.subtract(found["sun"], (0.7, 0.1, 0.9, 0.3))).max() <= 1 / 64
    page.reload()
    page.wait_for_selector("body.restored")
    open_tab(page, "Layout")
    page.get_by_role("radio", name="Wide").locator("visible=true").check(force=True)
    expect(page.locator("#layout-canvas .size")).to_have_text("96 × 64")
    _, wide = generated(page, outputs)
    assert wide.size == (96, 64)
    assert np.abs(np.subtract(list(corners(wide).values()), list(found.values()))).max() <= 1 / 64
    canvas = page.locator("#layout-canvas")
    canvas.get_by_role("button", name="Clear everything").click()
    page.get_by_role("tab", name="Text to image").click()
    drop(page, path.read_bytes())
    expect(canvas.locator(".size")).to_have_text("64 × 64")
    _, again = generated(page, outputs)
    assert again.boxes == request.boxes
    send(page, "Paint")
    page.wait_for_selector("#paint-canvas [data-ready]", state="attached", timeout=WAIT)
    page.wait_for_timeout(500)
    painted = read_settings(newest(page, outputs, "paint")).request
    assert isinstance(painted, Semantic)
    house, sun = (class_names("scenes").index(name) for name in ("house", "sun"))
    labels = painted.label_map.pixels
    assert (labels[45, 20], labels[12, 51], labels[4, 4]) == (house, sun, 255)
    send(page, "Layout")
    page.wait_for_timeout(500)
    _, back = generated(page, outputs)
    assert np.abs(np.subtract(corners(back)["house"], found["house"])).max() <= 1 / 64
    assert np.abs(np.subtract(corners(back)["sun"], found["sun"])).max() <= 1 / 64


def test_the_tab_follows_the_model(page: Page, outputs: Path) -> None:
    open_tab(page, "Layout")
    prompt = page.locator("#layout-prompt textarea")
    prompt.fill("a lake")
    page.locator("#layout-model input").click()
    page.get_by_role("option", name="Tiny (few)").click()
    expect(prompt).to_be_hidden()
    search = page.locator("#layout-canvas").get_by_role("searchbox")
    search.fill("tree hou")
    draw(page, "Tree house", 0.1, 0.1, 0.4, 0.4)
    assert list(corners(generated(page, outputs)[1])) == ["Tree house"]
    page.locator("#layout-model input").click()
    page.get_by_role("option", name="Tiny (landscapes)").click()
    expect(prompt).to_have_value("a lake")
    page.locator("#layout-generate").click()
    status(page, "'Tree house'; it has to be a class that the model knows, such as 'sun'")
    expect(page.locator("#layout-canvas > .fault")).to_contain_text("'Tree house'")  # as the engine says it


def test_boxes_from_a_map_s_regions(page: Page, outputs: Path) -> None:
    open_tab(page, "Paint")
    page.locator("#paint-canvas").get_by_role("button", name="house", exact=True).click()
    paper = page.locator("#paint-canvas .paper").bounding_box()
    assert paper is not None
    x, y, side = paper["x"], paper["y"], paper["width"]
    page.mouse.move(x + side / 2, y + side / 2)
    page.mouse.down()
    page.mouse.move(x + side / 2, y + 0.8 * side, steps=4)
    page.mouse.up()
    open_tab(page, "Layout")
    page.get_by_role("button", name="Boxes from a map").click()
    page.locator("#layout-from-paint").click()
    expect(
        page.locator("#layout-canvas").get_by_role("group", name="Boxes").get_by_role("button")
    ).to_have_count(1)
    (box,) = generated(page, outputs)[1].boxes
    assert box.label == "house" and box.y < 0.5 < 0.8 < box.y + box.height
    labels = np.full((80, 64), class_names("scenes").index("sky"), np.uint8)
    labels[10:20, 8:24] = class_names("scenes").index("sun")
    file = io.BytesIO()
    Image.fromarray(labels).save(file, "PNG")
    with page.expect_file_chooser() as chooser:
        page.locator("#layout-from-file").click()
    chooser.value.set_files({"name": "map.png", "mimeType": "image/png", "buffer": file.getvalue()})
    expect(page.locator("#layout-canvas .size")).to_have_text("64 × 80")
    (box,) = generated(page, outputs)[1].boxes
    assert (box.label, box.x, box.y, box.width, box.height) == ("sun", 0.125, 0.125, 0.25, 0.125)
    colours = [bytes.fromhex(one.colour[1:]) for one in palette_of(class_names("scenes"))]
    painted = Image.fromarray(np.array([list(one) for one in colours], np.uint8)[labels].repeat(2, 1))
    file = io.BytesIO()
    painted.save(file, "JPEG", quality=95)
    with page.expect_file_chooser() as chooser:
        page.locator("#layout-from-file").click()
    chooser.value.set_files({"name": "map.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    expect(page.locator("#layout-canvas .size")).to_have_text("128 × 80")
    page.get_by_label("number input for Second pass").locator("visible=true").fill("0.5")
    page.keyboard.press("Tab")
    request = generated(page, outputs)[1]
    found = {box.label: box for box in request.boxes}
    assert abs(found["sun"].x - 0.125) < 0.02 and request.second_pass == 0.5
