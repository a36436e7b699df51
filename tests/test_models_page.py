"""The tab of models in a real browser, and what a guest cannot do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect
from safetensors.torch import save_file

from app.web.server import Options, Running, start
from ldm_core.wording import size_text
from tests.browser import WAIT, free_port, opened_page, status
from tests.hub_server import REPOSITORY, Hub, serving
from tests.tiny import write_model

pytest_plugins = ["tests.browser"]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    write_model(models)
    write_model(models, 1, name=EVIL)
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(2, 2)}, models / "a style.safetensors")
    (models / "empty.ckpt").write_bytes(b"")
    return models


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    model = write_model(tmp_path_factory.mktemp("hub"), 2)
    with serving(Hub({path.name: path.read_bytes() for path in model.iterdir()})) as served:
        os.environ["HF_ENDPOINT"] = served.address
        yield served
        del os.environ["HF_ENDPOINT"]


@pytest.fixture(scope="module")
def running(folder: Path, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["ATELIER_MODELS"] = str(folder)
    options = Options(outputs=str(tmp_path_factory.mktemp("outputs")))
    served = start(options, free_port())
    yield served
    served.close()
    del os.environ["ATELIER_MODELS"]


@pytest.fixture
def page(running: Running, browser: Browser) -> Iterator[Page]:
    with opened_page(running, browser) as page:
        page.get_by_role("tab", name="Models").click()
        expect(page.locator("#model-list input")).to_be_visible()
        expect(row(page, "a style")).to_be_visible(timeout=WAIT)
        yield page


def row(page: Page, name: str) -> Locator:
    return page.locator("#model-list .rows button").filter(has_text=name).first


def test_the_list_says_what_everything_is(page: Page, running: Running, folder: Path) -> None:
    expect(page.locator("#model-list .rows button")).to_have_count(4)
    for button, label in (("#add-look", "Look"), ("#add-go", "Add"), ("#add-stop", "Stop")):
        expect(page.locator(button)).to_have_text(label)
    page.locator("#model-list input").fill("lora")
    expect(page.locator("#model-list .rows button")).to_have_count(1)
    expect(page.locator("#model-list .problem")).to_contain_text("It is an adapter")
    page.locator("#model-list input").fill("nothing has this")
    expect(page.locator("#model-list .more")).to_have_text("No model fits the filter.")
    page.locator("#model-list input").fill("")
    file = folder / "landscapes" / "model.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    running.studio.models.hash_all(threading.Event())
    row(page, "landscapes").click()
    facts = page.locator("#model-facts")
    told = ("Tiny", "latent diffusion", "text to image", size_text(file.stat().st_size), "float16", "MIT")
    for words in (*told, digest, digest[:10], str(file.parent)):
        expect(facts).to_contain_text(words)
    row(page, "empty").click()
    expect(facts).to_contain_text("it is empty")
    expect(page.locator("#model-use")).to_be_disabled()


def test_a_chosen_model_is_used(page: Page) -> None:
    row(page, EVIL).click()
    expect(page.locator("#model-facts")).to_contain_text(EVIL)
    page.locator("#model-use").click()
    expect(page.locator("#text-generate")).to_be_visible()
    expect(page.locator("#text-model input")).to_have_value(f"Tiny ({EVIL})")
    page.locator("#text-generate").click()
    status(page, "Finished in")


def test_a_new_file_appears_without_a_restart(page: Page, folder: Path) -> None:
    path = write_model(folder, 3, name="dropped")
    page.locator("#model-refresh").click()
    expect(row(page, "dropped")).to_be_visible()
    write_model(folder, 3, name="dropped later")
    page.wait_for_timeout(3200)  # a list that was just read is not read again
    page.get_by_role("tab", name="Text to image").click()
    page.locator("#text-model input").click()
    expect(page.get_by_role("option", name="Tiny (dropped later)")).to_be_visible(timeout=WAIT)
    page.get_by_role("option", name="Tiny (dropped later)").click()
    expect(page.locator("#text-model input")).to_have_value("Tiny (dropped later)")
    page.get_by_role("tab", name="Models").click()
    expect(page.locator("#model-remove")).to_be_disabled()
    row(page, "dropped later").click()
    page.locator("#model-remove").click()
    page.locator("#model-really").click()
    expect(page.locator("#model-list .rows button").filter(has_text="dropped later")).to_have_count(0)
    assert not (folder / "dropped later").exists() and path.exists()
    expect(page.locator("#model-remove")).to_be_disabled()


def test_fetching_shows_the_licence_first_then_progress(
    page: Page, hub: Hub, folder: Path, shots: Path
) -> None:
    hub.card = {"license": "other", "license_name": EVIL, "license_link": "https://example.org/licence"}
    page.locator("#add-what textarea, #add-what input").fill(REPOSITORY)
    page.locator("#add-look").click()
    news = page.locator("#add-news")
    expect(news).to_contain_text(EVIL)
    expect(news.locator("a")).to_have_attribute("href", "https://example.org/licence")
    hub.trickle, hub.piece = 0.05, 20_000
    page.locator("#add-go").click()
    expect(news).to_contain_text(re.compile(r"Fetching skies: .* MB of 2\.7 MB · \d+ s left"), timeout=WAIT)
    page.screenshot(path=shots / "models-fetching.png")
    page.locator("#add-stop").click()
    expect(news).to_contain_text("Stopped. What has come so far is kept", timeout=WAIT)
    assert not (folder / "skies").exists()
    hub.trickle, hub.drop_after = 0.0, [100_000]
    page.locator("#add-go").click()
    expect(news).to_contain_text("skies is here now", timeout=WAIT)
    row(page, "skies").click()
    expect(page.locator("#model-facts")).to_contain_text(f"{REPOSITORY}@")
    assert (folder / "skies" / "source.json").is_file()


def test_what_goes_wrong_is_one_sentence(page: Page, hub: Hub) -> None:
    field, news = page.locator("#add-what textarea, #add-what input"), page.locator("#add-news")
    for text, words in (
        ("nobody/nothing", "There is no nobody/nothing"),
        ("/no/such/file.ckpt", "There is no file file.ckpt"),
        ("???", "is no model to fetch"),
    ):
        field.fill(text)
        page.locator("#add-look").click()
        expect(news).to_contain_text(words, timeout=WAIT)
        expect(page.locator("#add-go")).to_be_disabled()


def test_a_local_file_is_added(page: Page, tmp_path: Path, folder: Path) -> None:
    model = write_model(tmp_path, 4, name="from elsewhere")
    page.locator("#add-what textarea, #add-what input").fill(str(model))
    page.locator("#add-look").click()
    expect(page.locator("#add-go")).to_be_enabled()
    page.locator("#add-go").click()
    expect(page.locator("#add-news")).to_contain_text("Added as from elsewhere", timeout=WAIT)
    expect(row(page, "from elsewhere")).to_be_visible()
    assert (folder / "from elsewhere" / "model.safetensors").is_file()


def test_how_it_looks(page: Page, shots: Path) -> None:
    """Leaves screenshots to look at, and checks that nothing is cut off."""
    row(page, "landscapes").click()
    page.locator("#add-what textarea, #add-what input").fill(REPOSITORY)
    page.locator("#add-look").click()
    expect(page.locator("#add-news")).to_contain_text("Licence")
    for theme in ("light", "dark"):
        if page.evaluate("document.body.classList.contains('dark')") != (theme == "dark"):
            page.locator("#theme").click()
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_timeout(300)
            page.screenshot(path=shots / f"models-{theme}-{width}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.locator("#add-go").scroll_into_view_if_needed()
            expect(page.locator("#add-go")).to_be_visible()
        page.set_viewport_size({"width": 1280, "height": 800})


def functions(running: Running) -> str:
    entering = {"Authorization": f"Bearer {running.password}"}
    asked = urllib.request.Request(f"{running.address}/config", headers=entering)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.dumps(json.load(answer))


def test_a_guest_has_no_way_to_add_remove_or_see_paths(
    folder: Path, running: Running, tmp_path: Path
) -> None:
    """Where others can reach the page the owner's parts are not built, rather than hidden."""
    assert "add-go" in functions(running)
    shared = start(Options(host="0.0.0.0", outputs=str(tmp_path)), free_port())
    try:
        guest = replace(shared, address=shared.address.replace("0.0.0.0", "127.0.0.1"))
        config = functions(guest)
        assert shared.studio.shelf is None
        for part in ("add-go", "add-what", "model-remove", "model-really"):
            assert part not in config
        assert str(folder) not in config
        assert "model-list" in config
    finally:
        shared.close()
