"""The program ends and starts anew: what was painted is still there, and nothing is broken."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.keeping.metadata import read_settings
from ldm_core.request import Inpaint, LayoutToImage, Semantic
from tests import tiny
from tests.browser import WAIT, free_port, newest, status

pytest_plugins = ["tests.browser"]
ROOT = Path(__file__).resolve().parent.parent
BROKEN = "all => all.filter((one) => one.offsetParent && !one.naturalWidth).map((one) => one.outerHTML)"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_models_for_everything(tmp_path_factory.mktemp("models"))


@contextmanager
def program(models: Path, outputs: Path, port: int) -> Iterator[str]:
    """The program in a process of its own; gives its address."""
    command = [sys.executable, "-m", "app.commands.cli", "run", "--no-browser", "--port", str(port)]
    command += ["--models-dir", str(models), "--outputs", str(outputs)]
    environment = {**os.environ, "ATELIER_MODELS": str(models)}
    errors = outputs / "errors.txt"
    with errors.open("w") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=said)
    address = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + WAIT / 1000
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "it does not serve"
                time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert "Traceback" not in errors.read_text()


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    if name != "Upscale":
        page.wait_for_selector(f"#{name.lower()}-canvas [data-ready]", state="attached")
        page.wait_for_timeout(500)


def drag(page: Page, name: str) -> None:
    """From the first quarter of a canvas's sheet to the third."""
    box = page.locator(f"#{name}-canvas .paper").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.75 * box["height"], steps=6)
    page.mouse.up()


def given(page: Page) -> None:
    """A picture to start from, one to make larger, and something on each canvas."""
    file = {"name": "p.png", "mimeType": "image/png", "buffer": picture()}
    page.locator("#text-prompt textarea").fill("a lake at sunset")
    page.locator("#text-start > button").click()
    page.locator("#text-picture input[type=file]").set_input_files(file)
    expect(page.locator("#text-picture img")).to_be_visible()
    open_tab(page, "Upscale")
    page.locator("#upscale-picture input[type=file]").set_input_files(file)
    expect(page.locator("#upscale-picture img")).to_be_visible()
    open_tab(page, "Inpaint")
    canvas = page.locator("#inpaint-canvas")
    canvas.get_by_role("button", name="File", exact=True).click()
    with page.expect_file_chooser() as chooser:
        canvas.get_by_role("button", name="Open picture…").click()
    chooser.value.set_files(file)
    expect(canvas.locator(".size")).to_have_text("64 × 64")
    page.wait_for_timeout(500)
    for name in ("Inpaint", "Paint", "Layout"):
        open_tab(page, name)
        drag(page, name.lower())
        page.wait_for_timeout(500)


def ready(page: Page) -> None:
    page.wait_for_selector("body.restored", timeout=WAIT)
    expect(page.locator("#engine")).to_contain_text("cpu")


def asked_for(page: Page, outputs: Path) -> list[object]:
    """What is on the three canvases, as pictures are made of it."""
    found: list[object] = []
    for name in ("Inpaint", "Paint", "Layout"):
        open_tab(page, name)
        match read_settings(newest(page, outputs, name.lower())).request:
            case Inpaint() as request:
                found += [request.image, request.mask]
            case Semantic() as request:
                found.append(request.label_map)
            case LayoutToImage() as request:
                found.append(request.boxes)
    return found


@pytest.mark.slow
def test_what_is_painted_outlives_the_program(browser: Browser, models: Path, outputs: Path) -> None:
    port = free_port()
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    with program(models, outputs, port) as address:
        page.goto(address)
        ready(page)
        given(page)
        before = asked_for(page, outputs)
        assert len(before) == 4 and complaints == []
        page.evaluate("window.first = true")
    with program(models, outputs, port):
        page.wait_for_function("window.first === undefined", timeout=WAIT)  # the page has noticed
        ready(page)
        expect(page.locator("#text-prompt textarea")).to_have_value("a lake at sunset")
        assert asked_for(page, outputs) == before
        open_tab(page, "Upscale")
        page.locator("#upscale-generate").click()
        status(page, "There is no picture yet")
        assert page.locator("img").evaluate_all(BROKEN) == []
        page.get_by_role("tab", name="Text to image").click()
        assert page.locator("img").evaluate_all(BROKEN) == []
        newest(page, outputs, "text")
    page.context.close()
    # That nothing answered for a while is no fault.
    assert [one for one in complaints if "net::ERR_" not in one] == []
