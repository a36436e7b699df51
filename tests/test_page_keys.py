"""The sheet behind `?`: it opens and closes as it should, and every key that it lists does what it says."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from app.studio.jobs import Studio
from app.web.server import Options, choose_port, start
from tests.browser import WAIT, opened_page, status
from tests.test_page_inpaint import open_picture, photograph
from tests.test_page_layout import models, open_tab

__all__ = ["models"]  # a fixture: some of them take boxes

pytest_plugins = ["tests.browser"]
TOOLS = {"b": "Brush", "e": "Eraser", "g": "Bucket", "w": "Wand", "r": "Rectangle", "l": "Lasso"}
LISTED = {
    *(
        "Ctrl+Enter",
        "Ctrl+.",
        "F",
        "Escape",
        "?",
        "B",
        "E",
        "G",
        "R",
        "L",
        "W",
        "[ ]",
        "X",
        "I",
        "Ctrl+Z",
        "Ctrl+Y",
        "+ −",
        "0",
    ),
    *("1", "Space", "Arrows", "Alt+↑ ↓", "C", "H", "/", "Enter", "Delete", "← →", "S", "Ctrl+A"),
}


def sheet(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Keys")


def test_the_sheet_opens_and_closes_and_keeps_the_keys(page: Page) -> None:
    prompt = page.locator("#text-prompt textarea")
    prompt.press("?")  # typing
    expect(prompt).to_have_value("?")
    expect(sheet(page)).to_have_count(0)
    page.get_by_role("button", name="Keys").press("?")
    expect(sheet(page)).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement.closest('dialog') || document.activeElement === document.body"
        )
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Escape")
    expect(sheet(page)).to_be_hidden()
    expect(page.get_by_role("button", name="Keys")).to_be_focused()
    expect(page.locator("#text-generate")).to_be_enabled()
    status(page, "Describe a picture")
    page.get_by_role("button", name="Keys").click()
    sheet(page).get_by_role("button", name="Close").click()
    expect(sheet(page)).to_be_hidden()


def corner(canvas: Locator) -> tuple[float, float]:
    box = canvas.locator(".paper").bounding_box()
    assert box is not None
    return box["x"], box["y"]


def test_each_listed_key_does_what_it_says(page: Page) -> None:
    """Those of a canvas; the others are pressed in the tests of the page and of the timeline."""
    page.get_by_role("button", name="Keys").click()
    assert set(sheet(page).locator("kbd").all_inner_texts()) == LISTED
    page.keyboard.press("Escape")
    open_tab(page, "Inpaint")
    open_picture(page, photograph())
    canvas = page.locator("#inpaint-canvas")
    button, press = canvas.get_by_role, page.keyboard.press
    surface = canvas.get_by_role("application")
    surface.focus()
    for key, name in TOOLS.items():
        press(key)
        expect(button("button", name=re.compile(f"^{name}"))).to_have_attribute("aria-pressed", "true")
    take_away = button("button", name="Take away with")
    press("x")
    expect(take_away).to_have_attribute("aria-pressed", "true")
    size = button("slider", name="Size", include_hidden=True)
    sizes = [size.get_attribute("aria-valuetext")]
    for key in ("]", "[", "["):
        press(key)
        sizes.append(size.get_attribute("aria-valuetext"))
    first, larger, _, smaller = (int((text or "").split()[0]) for text in sizes)
    assert smaller < first < larger
    cells = canvas.get_by_label("Show the model's cells")
    before = cells.is_checked()
    press("c")
    assert cells.is_checked() != before
    redo = button("button", name="Redo", exact=True)
    for key, nothing in (("i", "true"), ("Control+z", "false"), ("Control+y", "true")):
        press(key)
        expect(redo).to_have_attribute("aria-disabled", nothing)
    expect(canvas.locator(".size")).to_have_text("128 × 128")  # undone was the exchange, not the opening
    percent = canvas.locator(".percent")
    press("1")
    expect(percent).to_have_text("100%")
    press("+")
    expect(percent).to_have_text("125%")
    press("-")
    expect(percent).to_have_text("100%")
    press("0")
    expect(percent).not_to_have_text("100%")
    x, y = corner(canvas)
    press("ArrowLeft")
    assert corner(canvas) == (pytest.approx(x + 40, abs=1), pytest.approx(y, abs=1))
    page.mouse.move(x + 100, y + 100)
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(x + 60, y + 130, steps=4)
    page.mouse.up()
    page.keyboard.up(" ")
    assert corner(canvas) == (pytest.approx(x, abs=1), pytest.approx(y + 30, abs=1))
    open_tab(page, "Layout")
    canvas = page.locator("#layout-canvas")
    canvas.get_by_role("group", name="Classes").get_by_role("button", name="house", exact=True).click()
    canvas.get_by_role("application").focus()
    press("Enter")
    box = canvas.get_by_role("button", name="1 house")
    expect(box).to_be_visible()
    box.press("Delete")
    expect(box).to_have_count(0)
    page.locator("#layout-model input").click()  # of this model's classes there are many
    page.get_by_role("option", name="Tiny (few)").click()
    expect(canvas.get_by_role("searchbox")).to_be_visible()
    canvas.get_by_role("application").focus()
    press("/")
    expect(canvas.get_by_role("searchbox")).to_be_focused()


def test_a_page_that_was_open_first_learns_of_the_models(
    models: Path, tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = threading.Event()
    warm_up = Studio.warm_up

    def wait_and_warm_up(studio: Studio) -> None:
        assert woken.wait(WAIT / 1000)
        warm_up(studio)

    monkeypatch.setattr(Studio, "warm_up", wait_and_warm_up)
    monkeypatch.setenv("ATELIER_DATA", str(tmp_path / "data"))  # no model is known from before
    monkeypatch.setenv("ATELIER_MODELS", str(models))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    served = start(Options(outputs=str(tmp_path)), choose_port("127.0.0.1", None))
    try:
        with opened_page(served, browser) as page:
            expect(page.locator("#text-model input")).to_have_value("landscapes")  # no more is known of it
            woken.set()
            expect(page.locator("#text-model input")).to_have_value("Tiny (landscapes)", timeout=WAIT)
            page.locator("#text-generate").click()
            status(page, "Finished in")
    finally:
        woken.set()
        served.close()
