"""The viewport in a real Chromium: how large it is, the result over the canvas, zoom, the whole screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.keeping.metadata import read_settings
from ldm_core.request import Inpaint, Semantic
from tests.browser import WAIT, new_pictures, newest, open_more, pictures, send, set_number, status
from tests.tiny import write_models_for_everything

pytest_plugins = ["tests.browser"]
WINDOWS = [(1440, 900, 0.60), (1920, 1080, 0.68)]
MARGIN = 12  # pixels around a sheet that is seen as a whole


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models_for_everything(tmp_path_factory.mktemp("models"))


def open_canvas(page: Page, tab: str) -> Locator:
    page.get_by_role("tab", name=tab, exact=True).click()
    page.wait_for_selector(f"#{tab.lower()}-canvas [data-ready]", state="attached", timeout=WAIT)
    page.wait_for_timeout(500)
    return page.locator(f"#{tab.lower()}-canvas")


def stroke(page: Page, canvas: Locator) -> None:
    """Across the middle of the sheet."""
    paper = canvas.locator(".paper").bounding_box()
    assert paper is not None
    middle = paper["y"] + paper["height"] / 2
    page.mouse.move(paper["x"] + 0.3 * paper["width"], middle)
    page.mouse.down()
    page.mouse.move(paper["x"] + 0.7 * paper["width"], middle, steps=5)
    page.mouse.up()


def area(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["width"] * box["height"]


def test_the_viewport_takes_most_of_the_window(page: Page, outputs: Path) -> None:
    newest(page, outputs, "text")  # the footer has its steps
    for width, height, least in WINDOWS:
        page.set_viewport_size({"width": width, "height": height})
        for tab in ("Text to image", "Upscale", "Classes"):
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_timeout(300)
            assert area(page.locator("#picture")) >= least * width * height
        for tab in ("Inpaint", "Paint", "Layout"):
            canvas = open_canvas(page, tab)
            viewport = canvas.locator(".viewport")
            assert area(viewport) >= least * width * height, (tab, width)
            frame, paper = viewport.bounding_box(), canvas.locator(".paper").bounding_box()
            assert frame is not None and paper is not None
            room = min(frame["width"] - paper["width"], frame["height"] - paper["height"])
            assert abs(room - 2 * MARGIN) <= 2


def test_the_result_is_seen_in_the_canvas_s_place(page: Page, outputs: Path) -> None:
    canvas = open_canvas(page, "Paint")
    result, corner = canvas.locator(".result"), canvas.locator(".corner")
    expect(corner).to_be_hidden()
    stroke(page, canvas)
    page.get_by_label("number input for Batch size").locator("visible=true").fill("2")
    before = pictures(outputs)
    page.locator("#paint-generate").click()
    made = new_pictures(page, outputs, before, 2)
    expect(result).to_be_visible()
    assert result.bounding_box() == canvas.locator(".paper").bounding_box()
    expect(canvas.locator(".count")).to_have_text("2 / 2")
    shown = result.get_attribute("src")
    canvas.get_by_role("button", name="Picture before").click()
    expect(canvas.locator(".count")).to_have_text("1 / 2")
    expect(result).not_to_have_attribute("src", shown or "")
    page.keyboard.down("h")
    expect(result).to_be_hidden()
    page.keyboard.up("h")
    expect(result).to_be_visible()
    canvas.get_by_label("Before and after").fill("40")
    assert "40%" in result.evaluate("picture => picture.style.clipPath")
    labels = [one.label_map.pixels for one in map(settings, made)]
    stroke(page, canvas)  # moves the sheet: what is not seen is not painted on
    page.keyboard.press("Escape")
    expect(result).to_be_hidden()
    expect(corner).to_be_visible()
    page.get_by_label("number input for Batch size").locator("visible=true").fill("1")
    assert (settings(newest(page, outputs, "paint")).label_map.pixels == labels[0]).all()
    expect(result).to_be_visible()
    canvas.get_by_role("button", name="Eraser").click()  # somebody is about to paint
    expect(result).to_be_hidden()
    corner.click()
    expect(result).to_be_visible()


def settings(path: Path) -> Semantic:
    request = read_settings(path).request
    assert isinstance(request, Semantic)
    return request


def test_a_result_becomes_the_picture_on_the_canvas(page: Page, outputs: Path) -> None:
    newest(page, outputs, "text")
    send(page, "Inpaint")
    canvas = open_canvas(page, "Inpaint")
    stroke(page, canvas)
    first = newest(page, outputs, "inpaint")
    expect(canvas.locator(".result")).to_be_visible()
    canvas.get_by_role("button", name="Use this result").click()
    expect(canvas.locator(".result")).to_be_hidden()
    page.wait_for_timeout(500)
    second = read_settings(newest(page, outputs, "inpaint")).request
    assert isinstance(second, Inpaint)
    assert (second.image.pixels == pixels(first)).all()


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_picture_is_zoomed_and_escape_leaves_what_is_on_top(page: Page, outputs: Path) -> None:
    newest(page, outputs, "text")
    picture = page.locator("#picture img")
    page.locator("body").click(position={"x": 5, "y": 5})

    def zoom() -> float:
        return float(picture.evaluate("one => new DOMMatrix(getComputedStyle(one).transform).a"))

    assert zoom() == 1
    box, whole = page.locator("#picture").bounding_box(), picture.bounding_box()
    assert box is not None and whole is not None
    at = (box["x"] + 50, box["y"] + 60)
    page.mouse.move(*at)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(300)
    assert zoom() > 2
    scale, closer = zoom(), picture.bounding_box()
    assert closer is not None
    for side, place in zip(("x", "y"), at, strict=True):  # what is under the pointer stays
        assert closer[side] == pytest.approx(place - scale * (place - whole[side]), abs=1)
    page.keyboard.press("0")
    assert zoom() == 1
    page.keyboard.press("1")  # 64 pixels wide, so it becomes small
    assert zoom() == pytest.approx(64 / min(box["width"], box["height"]), rel=0.02)
    page.keyboard.press("0")
    page.keyboard.press("f")
    expect(page.locator("#rail")).to_be_hidden()
    expect(page.locator("#tabs > .tab-wrapper")).to_be_hidden()
    page.keyboard.press("f")
    expect(page.locator("#rail")).to_be_visible()
    open_more(page)
    set_number(page, "number input for Steps", 250)
    set_number(page, "Width", 192)
    set_number(page, "Height", 192)
    before = pictures(outputs)
    page.locator("#text-generate").click()
    status(page, r"Step \d+ of 250")
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    expect(page.locator("#text-stop")).to_be_enabled()
    page.keyboard.press("Control+.")
    status(page, "Stopped")
    assert pictures(outputs) == before
