"""The Classes tab in a real Chromium: one class, several at once, between two, and none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.keeping.metadata import read_settings
from ldm_core.conditioners import ClassSpec
from ldm_core.request import ClassToImage, Request, Unconditional
from tests import tiny
from tests.browser import drop, new_pictures, pictures

pytest_plugins = ["tests.browser"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose classes are prompts, one of ImageNet's classes, and one that makes whatever comes."""
    folder = tmp_path_factory.mktemp("models")
    prompts = (("Lake", "a lake"), ("Snow", "snow over the trees"), ("Noon", "the sun at noon"))
    tiny.write_model(folder, spec=replace(tiny.SPEC, class_prompts=prompts))
    tiny.write_model(folder, name="imagenet", spec=replace(tiny.SPEC, conditioners=(ClassSpec(1001, 32),)))
    free = replace(tiny.SPEC, conditioners=(), unet=replace(tiny.SPEC.unet, context_dim=0))
    tiny.write_model(folder, name="free", spec=free)
    return folder


def choose(page: Page, name: str, words: str, option: str) -> None:
    """Types into a list and takes what it finds."""
    field = page.locator(f"#classes-{name} input")
    field.click()
    field.fill(words)
    page.locator("#tasks").get_by_role("option", name=option, exact=True).click()
    if name != "also":  # from which more can be taken
        expect(page.locator("#tasks [role=option]")).to_have_count(0)


def generated(page: Page, outputs: Path, count: int = 1) -> dict[Path, Request]:
    before = pictures(outputs)
    page.locator("#classes-generate").click()
    made = new_pictures(page, outputs, before, count)
    return {path: read_settings(path).request for path in made}


def test_classes_alone_together_between_and_none(page: Page, outputs: Path) -> None:
    page.get_by_role("tab", name="Classes").click()
    ((path, nothing),) = generated(page, outputs).items()
    assert isinstance(nothing, Unconditional) and nothing.model == "landscapes"
    choose(page, "name", "la", "Lake")
    page.locator("#classes-also input").click()
    for name in ("Snow", "Noon"):
        page.locator("#tasks").get_by_role("option", name=name, exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_label("number input for Batch size").locator("visible=true").fill("2")
    made = list(generated(page, outputs, 6).values())
    first = min(one.seed for one in made)
    of = sorted((one.class_name, one.seed - first) for one in made if isinstance(one, ClassToImage))
    assert of == [(name, step) for name in ("Lake", "Noon", "Snow") for step in (0, 1)]
    strip = page.locator("#strip button")
    expect(strip).to_have_count(6)
    page.get_by_role("button", name="All at once").click()
    places = strip.evaluate_all("all => all.map((one) => one.getBoundingClientRect().width)")
    assert min(places) > 150
    strip.nth(2).click()  # which is then shown alone
    expect(page.locator("#stage.as-grid")).to_have_count(0)
    expect(page.locator("#picture img")).to_be_visible()
    page.reload()
    page.wait_for_selector("body.restored")
    page.get_by_role("tab", name="Classes").click()
    expect(page.locator("#classes-name input")).to_have_value("Lake")
    expect(page.locator("#classes-also .token")).to_have_text(["Snow", "Noon"])
    page.locator("#classes-also .token-remove.remove-all").click()
    page.locator("#tabs").get_by_role("button", name="Blend").click()
    choose(page, "towards", "noo", "Noon")
    between = generated(page, outputs, 2)
    one, _ = between.values()
    assert isinstance(one, ClassToImage)
    assert (one.class_name, one.class_to, one.blend) == ("Lake", "Noon", 0.5)
    drop(page, path.read_bytes())
    expect(page.locator("#classes-name input")).to_have_value("Anything")
    drop(page, next(iter(between)).read_bytes())
    expect(page.locator("#classes-name input")).to_have_value("Lake")
    expect(page.locator("#classes-towards input")).to_have_value("Noon")


def test_the_classes_are_the_model_s(page: Page, outputs: Path) -> None:
    page.get_by_role("tab", name="Classes").click()
    choose(page, "name", "snow", "Snow")
    choose(page, "model", "imagenet", "Tiny (imagenet)")
    expect(page.locator("#classes-name input")).to_have_value("Anything")
    choose(page, "name", "goldfish", "goldfish, Carassius auratus")
    (request,) = generated(page, outputs).values()
    assert isinstance(request, ClassToImage) and request.class_name.startswith("goldfish")
    choose(page, "model", "free", "Tiny (free)")
    expect(page.locator("#classes-also input")).to_be_disabled()
    (request,) = generated(page, outputs).values()
    assert isinstance(request, Unconditional) and request.model == "free"
