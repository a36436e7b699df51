"""Regional prompts in a real Chromium: what is written for a class or box is in the picture, and returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app.keeping.metadata import encode_png, read_settings
from ldm_core.request import RegionPrompt, Request, TextToImage
from ldm_core.request.raster import Raster
from tests import tiny
from tests.browser import WAIT, drop, newest, status

pytest_plugins = ["tests.browser"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that reads neither label maps nor boxes."""
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder)
    return folder


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_selector(f"#{name.lower()}-canvas [data-ready]", state="attached", timeout=WAIT)
    page.wait_for_timeout(500)


def drag(page: Page, tab: str, x0: float, y0: float, x1: float, y1: float) -> None:
    """In fractions of the sheet."""
    box = page.locator(f"#{tab}-canvas .paper").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x0 * box["width"], box["y"] + y0 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + x1 * box["width"], box["y"] + y1 * box["height"], steps=6)
    page.mouse.up()


def choose(page: Page, tab: str, name: str) -> None:
    canvas = page.locator(f"#{tab}-canvas")
    canvas.get_by_role("searchbox").fill(name)
    canvas.get_by_role("button", name=name, exact=True).click()


def of(path: Path) -> Request:
    return read_settings(path).request


def test_painted_classes_have_prompts(page: Page, outputs: Path) -> None:
    open_tab(page, "Paint")
    choose(page, "paint", "sky-other")
    drag(page, "paint", 0.1, 0.2, 0.9, 0.2)
    page.locator("#paint-generate").click()
    status(page, "Tiny reads no label maps by itself: give at least one part a prompt of its own.")
    choose(page, "paint", "grass")
    drag(page, "paint", 0.1, 0.8, 0.9, 0.8)
    page.get_by_label("Prompt of sky-other").fill("{sunset|sunset} over snow")
    page.get_by_label("Weight of sky-other").fill("1.5")
    page.get_by_label("Prompt of grass").fill("a wombat")
    expect(page.locator("#paint-unknown")).to_contain_text("wombat")
    page.get_by_label("Prompt of grass").fill("")
    expect(page.locator("#paint-unknown")).not_to_contain_text("wombat")
    path = newest(page, outputs, "paint")
    (region,) = of(path).regions or ()
    assert (region.label, region.prompt, region.weight) == ("sky-other", "sunset over snow", 1.5)
    page.reload()
    page.wait_for_selector("body.restored")
    open_tab(page, "Paint")
    sky = page.get_by_label("Prompt of sky-other")
    expect(sky).to_have_value("{sunset|sunset} over snow")
    sky.fill("noon")
    drop(page, path.read_bytes())
    expect(sky).to_have_value("{sunset|sunset} over snow")
    expect(page.get_by_label("Weight of sky-other")).to_have_value("1.5")
    assert of(newest(page, outputs, "paint")).regions == of(path).regions


def test_each_box_keeps_its_prompt_when_others_go(page: Page, outputs: Path) -> None:
    open_tab(page, "Layout")
    choose(page, "layout", "Tree")
    drag(page, "layout", 0.05, 0.1, 0.45, 0.9)
    drag(page, "layout", 0.55, 0.1, 0.95, 0.9)
    page.get_by_label("Prompt of 1 Tree").fill("snow")
    page.get_by_label("Prompt of 2 Tree").fill("sunset")
    both = of(newest(page, outputs, "layout"))
    assert [(region.box, region.prompt) for region in both.regions or ()] == [(0, "snow"), (1, "sunset")]
    page.locator("#layout-canvas").get_by_role("button", name="1 Tree", exact=True).click()
    page.locator("#layout-canvas").get_by_role("application").press("Delete")
    expect(page.get_by_label("Prompt of 1 Tree")).to_have_value("sunset")
    path = newest(page, outputs, "layout")
    assert [(region.box, region.prompt) for region in of(path).regions or ()] == [(0, "sunset")]
    page.get_by_label("Prompt of 1 Tree").fill("")
    drop(page, path.read_bytes())
    expect(page.get_by_label("Prompt of 1 Tree")).to_have_value("sunset")


def test_regions_that_a_form_has_no_place_for_are_told(page: Page) -> None:
    half = Raster(np.pad(np.full((64, 32), 255, np.uint8), ((0, 0), (0, 32))))
    request = TextToImage(prompt="a lake", regions=(RegionPrompt("snow", mask=half),))
    drop(page, encode_png(np.zeros((64, 64, 3), np.uint8), request))
    status(page, "Its prompts of regions are not taken over: this form has no place for them.")


def test_at_the_width_of_a_phone_a_prompt_has_all_of_it(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_tab(page, "Paint")
    choose(page, "paint", "grass")
    page.locator("#paint-canvas .paper").scroll_into_view_if_needed()
    drag(page, "paint", 0.1, 0.5, 0.9, 0.5)
    page.get_by_label("Prompt of grass").fill("snow")
    box = page.get_by_label("Prompt of grass").bounding_box()
    assert box is not None and 330 < box["width"] <= 390 and box["x"] >= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
