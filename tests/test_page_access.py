"""Whoever cannot see the page well, or at all, can use it: in a real Chromium, each tab, light and dark.

Names are those that Chromium itself gives to a screen reader.  Contrast is that of WCAG 2.2, success
criterion 1.4.3 (AA), of the computed colour of every text over the backgrounds under it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import tiny
from tests.browser import WAIT, open_more, set_number, status
from tests.test_page import TABS

pytest_plugins = ["tests.browser"]

CONTROLS = {
    "application", "button", "checkbox", "combobox", "link", "radio", "searchbox", "slider", "spinbutton",
    "switch", "tab", "textbox",
}  # fmt: skip
# Texts with less contrast than 4.5 : 1, or 3 : 1 where they are large: [contrast, text, what has it].
FAINT = """() => {
  const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const probe = pixel.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((value) => {
      const c = value / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const above = (element) => element.parentElement ?? element.getRootNode().host;
  const chain = (element) => (element ? [element, ...chain(above(element))] : []);
  const everything = (root) =>
    [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? everything(e.shadowRoot) : [])]);
  const written = (e) => {
    if (e.matches("textarea, input:not([type=checkbox], [type=radio], [type=range], [type=file])"))
      return e.value || e.placeholder;
    const texts = [...e.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE);
    return texts.map((n) => n.data.trim()).join(" ").trim();
  };
  const seen = (e) => {
    const { width, height } = e.getBoundingClientRect();
    const off = chain(e).some((one) => one.disabled || one.getAttribute("aria-disabled") === "true");
    const shown = e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    return width > 1 && height > 1 && !off && shown;
  };
  const faint = [];
  for (const e of everything(document.body)) {
    const text = written(e);
    if (!text || !seen(e)) continue;
    const style = getComputedStyle(e);
    const under = chain(e).map((one) => rgba(getComputedStyle(one).backgroundColor)).reverse();
    const back = under.reduce((below, colour) => over(colour, below), [255, 255, 255]);
    const ink = rgba("value" in e && !e.value ? getComputedStyle(e, "::placeholder").color : style.color);
    ink[3] *= chain(e).reduce((share, one) => share * getComputedStyle(one).opacity, 1);
    const [light, dark] = [luminance(over(ink, back)), luminance(back)].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) faint.push([contrast, text.slice(0, 40), e.outerHTML.slice(0, 120)]);
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_models_for_everything(tmp_path_factory.mktemp("models"))


def nameless(page: Page) -> list[str]:
    """The controls of which a screen reader could not say what they are."""
    browser = page.context.new_cdp_session(page)
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    found = [
        node["backendDOMNodeId"]
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in CONTROLS
        and not node.get("name", {}).get("value", "").strip()
    ]
    said = [browser.send("DOM.describeNode", {"backendNodeId": node})["node"] for node in found]
    browser.detach()
    return [f"{node['nodeName']} {node.get('attributes')}" for node in said]


def states(page: Page) -> Iterator[str]:
    """Brings each tab into sight, all of its folds open."""
    for tab in TABS:
        page.get_by_role("tab", name=tab, exact=True).click()
        if tab in ("Inpaint", "Paint", "Layout"):
            page.wait_for_selector(f"#{tab.lower()}-canvas [data-ready]", state="attached", timeout=WAIT)
        for fold in page.locator(".label-wrap:not(.open):visible").all()[::-1]:
            fold.click()
        if tab == "Upscale":  # a fault is to be read as well
            page.locator("#upscale-generate").click()
            expect(page.locator(".fault")).to_be_visible()
        yield tab
    page.locator("#keys").click()
    expect(page.locator("#key-sheet")).to_be_visible()
    yield "Keys"
    page.keyboard.press("Escape")


def test_controls_have_names_and_words_have_contrast(page: Page) -> None:
    open_more(page)
    set_number(page, "number input for Steps", 2)
    page.get_by_label("number input for Batch size").fill("2")
    page.locator("#text-generate").click()
    status(page, "Finished in")
    expect(page.locator("#strip button")).to_have_count(2)
    wrong = []
    for theme in ("light", "dark"):
        if page.evaluate("document.body.classList.contains('dark')") != (theme == "dark"):
            page.locator("#theme").click()
        for state in states(page):
            page.wait_for_timeout(400)  # colours change over a moment
            wrong += [(theme, state, "no name", control) for control in nameless(page)]
            wrong += [(theme, state, *faint) for faint in page.evaluate(FAINT)]
    assert not wrong, "\n".join(map(str, wrong))
