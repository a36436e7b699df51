"""The tab that makes pictures larger, in a real browser."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from ldm_core.request import SuperResolution
from ldm_core.request.fields import HIGHEST_SIDE
from tests import tiny
from tests.browser import WAIT, pictures, status

pytest_plugins = ["tests.browser"]
OUTLOOK = "#upscale-outlook"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder)
    tiny.write_model(folder, name="upscaler", spec=tiny.UPSCALER)
    return folder


def picture(width: int, height: int) -> bytes:
    """A PNG whose left column is transparent."""
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    pixels[:, 0, 3] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def put(page: Page, data: bytes) -> None:
    page.locator("#upscale-picture input[type=file]").set_input_files(
        {"name": "small.png", "mimeType": "image/png", "buffer": data}
    )


def test_a_picture_becomes_larger_beside_what_it_was(page: Page, outputs: Path, shots: Path) -> None:
    page.get_by_role("tab", name="Upscale").click()
    expect(page.locator("#upscale-model input")).to_have_value("Tiny (upscaler)")
    page.locator("#upscale-generate").click()
    status(page, "There is no picture yet")
    fault = page.locator(".picture-input + .fault")  # at the place for it as well, until one is there
    expect(fault).to_contain_text("There is no picture yet")
    put(page, picture(12, 8))
    expect(fault).to_have_count(0)
    page.get_by_role("radio", name="× 4").check(force=True)
    expect(page.locator(f"{OUTLOOK} p")).to_have_text(
        re.compile(r"^48 × 32 pixels, about [\d.]+ s \(an estimate\)$"), timeout=WAIT
    )
    before = pictures(outputs)
    page.keyboard.press("Control+Enter")
    status(page, "Finished in")
    (path,) = pictures(outputs) - before
    request = read_settings(path).request
    assert isinstance(request, SuperResolution)
    assert (request.scale, request.image.width, request.model) == (4, 12, "upscaler")
    with Image.open(path) as made:
        alpha = np.asarray(made)[..., 3]
        assert (made.mode, made.size) == ("RGBA", (48, 32))
    assert alpha[:, 0].max() < 128 < alpha[:, -1].min()
    line = page.get_by_role("slider", name="Before and after")
    widths = page.locator("#compare img").evaluate_all("all => all.map((one) => one.naturalWidth)")
    assert widths == [12, 48]
    line.focus()
    line.press("ArrowRight")
    expect(line).to_have_attribute("aria-valuenow", "52")
    line.press("+")
    moved = page.locator("#compare img").evaluate_all("all => all.map((one) => one.style.transform)")
    assert len(set(moved)) == 1 and "scale(1.25)" in moved[0]
    page.screenshot(path=shots / "upscale.png")
    # Now its pace is known.
    page.get_by_role("radio", name="× 8").check(force=True)
    measured = re.compile(r"^96 × 64 pixels, about [\d.]+ s$")
    expect(page.locator(f"{OUTLOOK} p")).to_have_text(measured, timeout=WAIT)
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_selector("body.restored")
    page.get_by_role("tab", name="Upscale").click()
    expect(page.locator("#upscale-picture img")).to_be_visible()
    expect(page.locator(f"{OUTLOOK} p")).to_have_text(measured, timeout=WAIT)


def test_too_large_a_picture_gives_a_sentence(page: Page, shots: Path) -> None:
    page.get_by_role("tab", name="Upscale").click()
    page.get_by_role("radio", name="× 8").check(force=True)
    put(page, picture(HIGHEST_SIDE // 8 + 1, 256))
    expect(page.locator(f"{OUTLOOK} .problem")).to_contain_text(
        f"at most {HIGHEST_SIDE} pixels a side", timeout=WAIT
    )
    page.locator("#upscale-picture").get_by_label(re.compile("Remove|Clear")).first.click()
    put(page, b"no picture at all")
    expect(page.locator(f"{OUTLOOK} .problem")).to_contain_text("no picture that can be opened", timeout=WAIT)
    page.locator("#upscale-generate").click()
    status(page, "no picture that can be opened")
    expect(page.locator("#upscale-picture + .fault")).to_contain_text("no picture that can be opened")
    expect(page.locator(f"{OUTLOOK} .problem")).to_be_hidden()  # said once there
    page.screenshot(path=shots / "no-picture.png")
