"""The whole studio in a real Chromium with the models that come with it, as an artist uses it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from app.web.server import Running
from ldm_core.bundled import BUNDLED_MODELS
from ldm_core.engine.engine import Engine
from ldm_core.evaluation.cli import JUDGE
from ldm_core.evaluation.judging import judge_pictures
from ldm_core.evaluation.metrics import box_found
from ldm_core.library.class_names import class_names
from ldm_core.request import Inpaint, LayoutToImage, Request, Semantic, SuperResolution
from ldm_core.training.scene_trainer import load_scene_network
from tests.browser import WAIT, new_pictures, newest, open_more, pictures, send, set_number, status

pytest_plugins = ["tests.browser"]
CLASSES = class_names("scenes")
PROMPT = "without mountains, oak trees, at noon, in summer"


@pytest.fixture(scope="module")
def models() -> Path:
    return BUNDLED_MODELS


@pytest.fixture(autouse=True)
def ready(running: Running) -> Engine:
    assert running.studio._ready.wait(WAIT / 1000)
    return running.studio.engine()


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def request(path: Path) -> Request:
    return read_settings(path).request


def seen(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class of every pixel, by the judge."""
    return judge_pictures(load_scene_network(JUDGE), picture[None]).labels[0]


def canvas_of(page: Page, tab: str) -> None:
    page.wait_for_selector(f"#{tab}-canvas [data-ready]", state="attached", timeout=WAIT)
    page.wait_for_timeout(500)


def choose(page: Page, tab: str, name: str) -> None:
    page.keyboard.press("Escape")
    group = page.locator(f"#{tab}-canvas").get_by_role("group", name="Classes")
    group.get_by_role("button", name=name, exact=True).click()


def drag(page: Page, tab: str, x0: float, y0: float, x1: float, y1: float) -> None:
    """In fractions of the sheet."""
    paper = page.locator(f"#{tab}-canvas .paper").bounding_box()
    assert paper is not None
    page.mouse.move(paper["x"] + x0 * paper["width"], paper["y"] + y0 * paper["height"])
    page.mouse.down()
    page.mouse.move(paper["x"] + x1 * paper["width"], paper["y"] + y1 * paper["height"], steps=8)
    page.mouse.up()


def test_a_prompt_becomes_a_picture_before_ones_eyes(page: Page, outputs: Path) -> None:
    page.locator("#text-prompt textarea").fill("snowy mountains, a lake, pine trees, at noon, in summer")
    page.locator("#text-generate").click()
    (path,) = new_pictures(page, outputs, set())
    assert page.evaluate("previews.size") >= 5
    assert pixels(path).shape == (256, 256, 3)
    open_more(page)
    set_number(page, "number input for Steps", 250)
    before = pictures(outputs)
    page.locator("#text-generate").click()
    status(page, r"Step \d+ of 250")
    page.keyboard.press("Control+.")
    status(page, "Stopped")
    page.reload()
    page.wait_for_selector("body.restored")
    assert pictures(outputs) == before


def test_boxes_become_a_map_a_picture_a_mended_and_a_large_one(page: Page, outputs: Path) -> None:
    page.get_by_role("tab", name="Layout", exact=True).click()
    canvas_of(page, "layout")
    page.locator("#layout-prompt textarea").fill(PROMPT)
    choose(page, "layout", "tree")
    drag(page, "layout", 0.1, 0.35, 0.4, 0.85)
    choose(page, "layout", "sun")
    drag(page, "layout", 0.65, 0.1, 0.8, 0.25)
    layout = newest(page, outputs, "layout")
    asked = request(layout)
    assert isinstance(asked, LayoutToImage)
    labels = seen(pixels(layout))
    held = [
        box_found((b.x, b.y, b.x + b.width, b.y + b.height), labels == CLASSES.index(str(b.label)))
        for b in asked.boxes
    ]
    assert len(held) == 2 and any(held)

    send(page, "Paint")
    canvas_of(page, "paint")
    page.locator("#paint-canvas").get_by_role("button", name="Rectangle", exact=True).click()
    for name, top, bottom in (("sky", 0.0, 0.45), ("meadow", 0.55, 1.0)):
        choose(page, "paint", name)
        drag(page, "paint", 0.01, top + 0.01, 0.99, bottom - 0.01)
    painted = newest(page, outputs, "paint")
    asked = request(painted)
    assert isinstance(asked, Semantic)
    wanted, found = asked.label_map.pixels, seen(pixels(painted))
    for name in ("sky", "meadow"):
        place = wanted == CLASSES.index(name)
        assert place.mean() > 0.3
        share = (found[place] == CLASSES.index(name)).mean()
        print(f"{share:.0%} of what was painted as {name}")
        assert share > 0.6

    send(page, "Inpaint")
    canvas_of(page, "inpaint")
    page.locator("#inpaint-canvas").get_by_role("button", name="Brush", exact=True).click()
    drag(page, "inpaint", 0.4, 0.7, 0.6, 0.7)
    filled = newest(page, outputs, "inpaint")
    asked = request(filled)
    assert isinstance(asked, Inpaint) and np.array_equal(asked.image.pixels, pixels(painted))
    changed, hole = (pixels(filled) != pixels(painted)).any(-1), asked.mask.pixels >= 128
    rows, columns = np.nonzero(hole)
    reach = asked.feather + 1
    near = np.zeros_like(hole)
    near[rows.min() - reach : rows.max() + reach + 1, columns.min() - reach : columns.max() + reach + 1] = (
        True
    )
    assert changed[hole].mean() > 0.5 and not changed[~near].any()

    send(page, "Upscale")
    expect(page.locator("#upscale-outlook p")).to_have_text(re.compile(r"1024 × 1024 pixels"), timeout=WAIT)
    large = newest(page, outputs, "upscale")
    asked = request(large)
    assert isinstance(asked, SuperResolution) and np.array_equal(asked.image.pixels, pixels(filled))
    small = np.asarray(Image.fromarray(pixels(large)).resize((256, 256), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - pixels(filled)).mean() < 6


def test_classes_each_in_its_own_season(page: Page, outputs: Path) -> None:
    page.get_by_role("tab", name="Classes").click()
    before = pictures(outputs)
    field = page.locator("#classes-name input")
    field.click()
    field.fill("autumn")
    page.get_by_role("option", name="Autumn trees", exact=True).click()
    expect(page.locator("#tasks [role=option]")).to_have_count(0)
    page.locator("#classes-also input").click()
    page.get_by_role("option", name="Winter", exact=True).click()
    page.keyboard.press("Escape")
    page.locator("#classes-generate").click()
    made = new_pictures(page, outputs, before, 2)
    opinion = judge_pictures(load_scene_network(JUDGE), np.stack([pixels(path) for path in made]))
    assert sorted(opinion.attributes["season"]) == ["autumn", "winter"]
