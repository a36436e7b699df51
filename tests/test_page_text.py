"""Text to image beyond the prompt, in a real Chromium: from a picture, variations, in two passes, sent on."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from app.web.server import Running
from ldm_core.conditioners import LabelBitsSpec
from ldm_core.library.class_names import class_names
from ldm_core.request import ImageToImage, Inpaint, SuperResolution, TextToImage
from tests import tiny
from tests.browser import WAIT, drop, newest, open_more, pictures, send, set_number, status

pytest_plugins = ["tests.browser"]
SPEC = replace(
    tiny.SPEC,
    unet=replace(tiny.SPEC.unet, in_channels=9, out_channels=9),
    conditioners=(*tiny.SPEC.conditioners, LabelBitsSpec(class_names("scenes"), 1.0)),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder, spec=SPEC)
    tiny.write_model(folder, name="upscaler", spec=tiny.UPSCALER)
    return folder


def photograph(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def put(page: Page, pixels: NDArray[np.uint8]) -> None:
    """Gives the tab a picture to start from."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    page.locator("#text-start > button").click()
    page.locator("#text-picture input[type=file]").set_input_files(
        {"name": "p.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as file:
        return np.asarray(file)


def test_a_picture_to_start_from(running: Running, page: Page, outputs: Path, shots: Path) -> None:
    put(page, photograph(150, 100))
    expect(page.get_by_label("Width", exact=True)).to_have_value("96")  # its shape, the model's size
    expect(page.get_by_label("Height", exact=True)).to_have_value("64")
    expect(page.get_by_role("radio", name="Wide")).to_be_checked()
    set_number(page, "number input for Denoising strength", 0.4)
    path = newest(page, outputs, "text")
    request = read_settings(path).request
    assert isinstance(request, ImageToImage)
    assert (request.image.pixels == photograph(150, 100)).all()
    assert (request.size, request.strength) == ((96, 64), 0.4)
    (again,) = running.studio.make(request)
    assert again.png == path.read_bytes()
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_selector("body.restored")
    expect(page.locator("#text-picture img")).to_be_visible(timeout=WAIT)
    kept = read_settings(newest(page, outputs, "text")).request
    assert isinstance(kept, ImageToImage)
    assert replace(kept, seed=request.seed) == request
    page.locator("#text-picture").get_by_label(re.compile("Remove|Clear")).first.click()
    expect(page.locator("#text-picture img")).to_have_count(0)
    drop(page, path.read_bytes())
    expect(page.locator("#text-picture img")).to_be_visible()
    assert newest(page, outputs, "text").read_bytes() == path.read_bytes()
    page.locator("#text-picture").get_by_label(re.compile("Remove|Clear")).first.click()
    assert isinstance(read_settings(newest(page, outputs, "text")).request, TextToImage)
    fault = page.locator("#text-picture + .fault")
    for _ in range(2):  # the same sentence is said again
        page.locator("#text-picture input[type=file]").set_input_files(
            {"name": "p.png", "mimeType": "image/png", "buffer": b"no picture"}
        )
        expect(page.locator("#text-picture img")).to_have_count(1)
        page.locator("#text-start > button").click()
        page.locator("#text-generate").click()
        expect(fault).to_contain_text("no picture that can be opened")
        expect(fault).to_be_visible()  # folded away, it was opened
        page.screenshot(path=shots / "no-first-picture.png")
        page.locator("#text-picture").get_by_label(re.compile("Remove|Clear")).first.click()
        expect(fault).to_have_count(0)


def test_a_picture_travels_between_the_tabs(page: Page, outputs: Path) -> None:
    expect(page.get_by_label("Send the picture to another tab")).to_be_disabled()
    page.locator("#text-prompt textarea").fill("a lake at noon")
    open_more(page)
    set_number(page, "number input for Steps", 3)
    first = newest(page, outputs, "text")
    send(page, "Inpaint")
    canvas = page.locator("#inpaint-canvas")
    expect(canvas.locator(".size")).to_have_text("64 × 64")
    expect(page.locator("#inpaint-prompt textarea")).to_have_value("a lake at noon")
    canvas.get_by_role("button", name="Adjust").click()
    canvas.get_by_role("button", name="Invert").click()
    page.wait_for_timeout(500)
    path = newest(page, outputs, "inpaint")
    request = read_settings(path).request
    assert isinstance(request, Inpaint)
    assert request.mask.pixels.all()  # nothing was left of an earlier mask
    assert (request.image.pixels == pixels_of(first)).all()
    assert (request.prompt, request.steps) == ("a lake at noon", 3)
    send(page, "Upscale")
    expect(page.locator("#upscale-outlook")).to_contain_text("512 × 512 pixels", timeout=WAIT)
    large = newest(page, outputs, "upscale")
    request = read_settings(large).request
    assert isinstance(request, SuperResolution)
    assert (request.model, request.steps) == ("upscaler", 5)  # its own
    assert (request.image.pixels == pixels_of(path)).all()
    send(page, "Text to image")
    expect(page.locator("#text-picture img")).to_be_visible()
    request = read_settings(newest(page, outputs, "text")).request
    assert isinstance(request, ImageToImage)
    assert (request.size, request.prompt) == ((64, 64), "a lake at noon")
    assert (request.image.pixels == pixels_of(large)).all()
    send(page, "Paint")
    shown = "canvas => [...canvas.getContext('2d').getImageData(3, 3, 1, 1).data]"
    place = page.locator("#paint-canvas canvas.picture")
    last = pixels_of(max(pictures(outputs), key=lambda path: path.stat().st_mtime))
    deadline = time.monotonic() + WAIT / 1000
    while place.evaluate(shown) != [*last[3, 3].tolist(), 255] and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert place.evaluate(shown) == [*last[3, 3].tolist(), 255]
    expect(page.locator("#paint-prompt textarea")).to_have_value("a lake at noon")


def test_variations_and_a_second_pass(running: Running, page: Page, outputs: Path) -> None:
    first = newest(page, outputs, "text")
    seed = read_settings(first).request.seed
    before = pictures(outputs)
    page.get_by_role("button", name="Variations").click()
    expect(page.locator("#strip button")).to_have_count(4, timeout=WAIT)
    status(page, "Finished in")
    made = pictures(outputs) - before
    requests = [read_settings(path).request for path in made]
    assert {request.variation_of for request in requests} == {(seed,)}
    assert len({path.read_bytes() for path in made}) == 4
    path = made.pop()
    page.reload()
    page.wait_for_selector("body.restored")
    drop(page, path.read_bytes())
    status(page, "Settings taken")
    seed_field = page.locator(".seed").get_by_role("textbox").locator("visible=true")
    expect(seed_field).to_have_value(str(read_settings(path).request.seed))
    assert newest(page, outputs, "text").read_bytes() == path.read_bytes()
    page.get_by_role("radio", name="New each time").check(force=True)
    set_number(page, "Width", 160)
    set_number(page, "number input for Second pass", 0.5)
    large = newest(page, outputs, "text")
    request = read_settings(large).request
    assert isinstance(request, TextToImage)
    assert (request.size, request.second_pass, request.variation_of) == ((160, 64), 0.5, None)
    (again,) = running.studio.make(request)
    assert again.png == large.read_bytes()
