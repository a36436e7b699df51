"""Pictures that nothing made here, dropped on the page in a real Chromium: each tab uses them as it can."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from app.web.server import Running
from ldm_core.request import ImageToImage
from tests import tiny
from tests.browser import WAIT, drop, newest, status
from tests.carrying import with_exif

pytest_plugins = ["tests.browser"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder)
    tiny.write_model(folder, name="upscaler", spec=tiny.UPSCALER)
    return folder


def photograph(width: int, height: int) -> bytes:
    """A JPEG file."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 200
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def test_settings_of_other_programs_fill_the_form(running: Running, page: Page, outputs: Path) -> None:
    text = (
        "a boat\nNegative prompt: fog\nSteps: 7, Sampler: Euler a, Schedule type: Karras, "
        f"Seed: {2**64 - 1}, Size: 9000x64, Model: lost, Clip skip: 2"
    )
    page.get_by_label("Height", exact=True).fill("96")
    drop(page, with_exif("JPEG", comment=b"UNICODE\0" + text.encode("utf-16-be")), "jpeg")
    status(page, "Settings taken from the picture as A1111 writes them. Its model 'lost' is not here")
    status(page, "9000 × 64 is not kept")
    expect(page.locator("#text-prompt textarea")).to_have_value("a boat")
    expect(page.locator(".seed input[type=text]")).to_have_value(str(2**64 - 1))
    expect(page.get_by_label("Height", exact=True)).to_have_value("96")  # what is not said stays
    page.get_by_label("Width", exact=True).fill("64")
    request = read_settings(newest(page, outputs, "text")).request
    assert (request.seed, request.sampler, request.spacing) == (2**64 - 1, "euler_ancestral", "karras")
    assert (request.steps, request.negative_prompt, request.size) == (7, "fog", (64, 96))
    page.locator(".seed input[type=text]").fill("-1")
    assert 0 <= read_settings(newest(page, outputs, "text")).request.seed < 10**7
    page.locator(".seed input[type=text]").fill("many")
    page.locator("#text-generate").click()
    status(page, "Seed is 'many'")


def test_a_photograph_goes_where_the_open_tab_can_use_it(running: Running, page: Page, outputs: Path) -> None:
    photo = photograph(150, 100)
    drop(page, photo, "jpeg")
    status(page, "No settings are in this file; it is the picture to start from now.")
    expect(page.locator("#text-picture img")).to_be_visible()
    expect(page.get_by_role("radio", name="Wide")).to_be_checked()
    request = read_settings(newest(page, outputs, "text")).request
    assert isinstance(request, ImageToImage)
    assert (request.image.pixels == np.asarray(Image.open(io.BytesIO(photo)))).all()
    page.get_by_role("tab", name="Inpaint").click()
    drop(page, photograph(3000, 1500), "jpeg")
    status(page, "it is on the canvas now")
    expect(page.locator("#inpaint-canvas .size")).to_have_text("3000 × 1500", timeout=WAIT)
    expect(page.locator("#inpaint-note")).to_contain_text(
        "The picture has 3,000 × 1,500 pixels", timeout=WAIT
    )
    page.get_by_role("tab", name="Upscale").click()
    drop(page, photo, "jpeg")
    status(page, "the picture to make larger")
    expect(page.locator("#upscale-picture img")).to_be_visible()
    expect(page.locator("#upscale-outlook")).to_contain_text("pixels", timeout=WAIT)
    for tab, words in (("Paint", "under what is painted"), ("Layout", "under the boxes")):
        page.get_by_role("tab", name=tab, exact=True).click()
        drop(page, photo, "jpeg")
        status(page, words)
        expect(page.locator(f"#{tab.lower()}-canvas .size")).to_have_text("150 × 100", timeout=WAIT)
    for tab in ("Classes", "Models"):
        page.get_by_role("tab", name=tab, exact=True).click()
        drop(page, photo, "jpeg")
        if tab == "Classes":  # the models take the stage's place, and its line with it
            status(page, "carries no settings that are understood")
