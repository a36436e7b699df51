"""Undo on the page's canvases brings back what another picture, a template or another size took away."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import WAIT, newest, send
from tests.test_page_inpaint import open_picture, photograph
from tests.test_page_paint import SPEC, choose, open_tab, stroke
from tests.tiny import write_model

pytest_plugins = ["tests.browser"]

# What is painted, as opaque pixels of the overlay, and the picture under it, of the canvas of a tab.
PAINTED = """canvas => {
  const root = canvas.shadowRoot;
  const bytes = (name) => {
    const shown = root.querySelector(name);
    return [...shown.getContext('2d').getImageData(0, 0, shown.width, shown.height).data];
  };
  const hash = (data) => data.reduce((sum, byte, i) => (sum * 31 + byte * (i % 7 + 1)) >>> 0, 7);
  return [root.querySelector('.size').textContent, hash(bytes('.picture')), hash(bytes('.overlay'))].join();
}"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, spec=SPEC)
    return folder


def seen(page: Page, tab: str) -> str:
    page.wait_for_timeout(500)
    return str(page.locator(f"#{tab}-canvas [data-ready]").evaluate(PAINTED))


def undone(page: Page, tab: str) -> None:
    undo = page.locator(f"#{tab}-canvas").get_by_role("button", name="Undo")
    expect(undo).to_have_attribute("aria-disabled", "false")
    undo.click()
    page.wait_for_timeout(500)


def reloaded(page: Page, tab: str) -> None:
    page.reload()
    page.wait_for_selector("body.restored")
    name = {"inpaint": "Inpaint", "paint": "Paint"}[tab]
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_selector(f"#{tab}-canvas [data-ready]", state="attached", timeout=WAIT)
    page.wait_for_timeout(1000)


def test_photograph_and_mask_come_back_after_use_this_result(page: Page, outputs: Path) -> None:
    page.get_by_role("tab", name="Inpaint").click()
    page.wait_for_selector("#inpaint-canvas [data-ready]", state="attached", timeout=WAIT)
    open_picture(page, photograph())
    box = page.locator("#inpaint-canvas .paper").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y, steps=4)
    page.mouse.up()
    before = seen(page, "inpaint")
    newest(page, outputs, "inpaint")
    for reloads in (False, True):
        if reloads:  # by now it lies small in the corner
            page.get_by_role("button", name="Show the result").locator("visible=true").click()
        page.get_by_role("button", name="Use this result").click()
        page.wait_for_timeout(1000)
        assert seen(page, "inpaint") != before
        if reloads:
            page.wait_for_timeout(500)
            reloaded(page, "inpaint")
            assert seen(page, "inpaint") != before
        undone(page, "inpaint")
        assert seen(page, "inpaint") == before


def test_a_painting_comes_back_after_template_resize_and_send_to(page: Page, outputs: Path) -> None:
    open_tab(page)
    stroke(page, 0.25)
    choose(page, "cloud")
    stroke(page, 0.75)
    before = seen(page, "paint")
    newest(page, outputs, "paint")

    def template() -> None:
        page.locator("#paint-template input").click()
        page.locator("#paint-template [role=option]").nth(1).click()

    def resize() -> None:
        width = page.get_by_label("Width", exact=True).locator("visible=true")
        width.fill("80")
        width.press("Tab")

    def send_to() -> None:
        page.get_by_role("tab", name="Text to image").click()
        newest(page, outputs, "text")
        send(page, "Paint")

    for act in (template, resize, send_to):
        act()
        after = before
        for _ in range(60):  # the machine may be busy
            after = seen(page, "paint")
            if after != before:
                break
        page.wait_for_timeout(1000)
        after = seen(page, "paint")  # whole by now
        assert after != before, act.__name__
        reloaded(page, "paint")
        assert seen(page, "paint") == after, act.__name__
        undone(page, "paint")
        assert seen(page, "paint") == before, act.__name__
        page.wait_for_timeout(500)
