"""Help in writing on the page: completion, styles, presets, last settings; nothing typed is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.keeping.metadata import read_settings
from app.web.server import Running
from tests.browser import newest, open_more, opened_page, pictures
from tests.tiny import write_model

pytest_plugins = ["tests.browser"]


@pytest.fixture(scope="module")
def remembers() -> bool:
    return True


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("prompts")
    for name, text in {
        "wildcards/season.txt": "winter\nsummer\n",
        "wildcards/sea/boats.txt": "a sailboat\n",
        "styles.csv": 'name,prompt,negative_prompt\nPoster,"{prompt}, at sunset",fog\n',
        "tags/tags.csv": "long_hair,0,4000000,\nlong_dress_(style),0,9000,maxi_dress\nlake,0,50000,\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    os.environ["ATELIER_PROMPTS"] = str(folder)
    yield folder
    del os.environ["ATELIER_PROMPTS"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, prompts: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    return folder


@pytest.fixture(autouse=True)
def forget(running: Running) -> None:
    """What an earlier test left in the program."""
    assert running.studio.presets is not None
    for form in ("text", "inpaint", "upscale", "paint", "layout", "classes"):
        running.studio.presets.delete(form, "last", "")


def options(page: Page) -> list[str]:
    return [row.inner_text() for row in page.locator("#suggestions li span").all()]


def test_completion_by_keyboard_and_by_finger(page: Page) -> None:
    prompt = page.locator("#text-prompt textarea")
    prompt.click()
    prompt.press_sequentially("a lake, lon")
    expect(page.locator("#suggestions li")).to_have_count(2)
    assert options(page) == ["long hair", r"long dress \(style\)"]
    prompt.press("ArrowDown")
    prompt.press("ArrowDown")
    prompt.press("Enter")
    expect(prompt).to_have_value(r"a lake, long dress \(style\), ")
    prompt.press_sequentially("__")
    expect(page.locator("#suggestions li")).to_have_count(2)
    page.get_by_role("option", name="__season__").click()
    expect(prompt).to_have_value(r"a lake, long dress \(style\), __season__")
    expect(prompt).to_be_focused()
    prompt.press("Control+z")
    expect(prompt).to_have_value(r"a lake, long dress \(style\), __")
    # Escape closes the list alone; Enter and Tab are themselves where nothing was chosen.
    prompt.fill("")
    prompt.press_sequentially("la")
    expect(page.locator("#suggestions")).to_be_visible()
    prompt.press("Escape")
    expect(page.locator("#suggestions")).to_have_count(0)
    prompt.press_sequentially("k")
    expect(page.locator("#suggestions")).to_be_visible()
    prompt.press("Enter")
    expect(prompt).to_have_value("lak\n")


def test_styles_and_templates_reach_the_picture_and_come_back(page: Page, outputs: Path) -> None:
    prompt = page.locator("#text-prompt textarea")
    prompt.fill("a __season__ {lake|lake}")
    page.get_by_label("Styles").click()
    page.get_by_role("option", name="Poster").click()
    page.keyboard.press("Escape")
    path = newest(page, outputs, "text")
    request = read_settings(path).request
    assert request.template == "a __season__ {lake|lake}, at sunset"
    assert request.prompt in ("a winter lake, at sunset", "a summer lake, at sunset")
    assert request.negative_prompt == "fog"
    page.locator("#reuse").click()
    expect(prompt).to_have_value("a __season__ {lake|lake}, at sunset")
    page.locator("#text-prompt .earlier").click()
    page.get_by_role("searchbox", name="Search earlier").fill("season")
    page.locator(".earlier-prompts .row").first.click()
    expect(prompt).to_have_value("a __season__ {lake|lake}")


def test_unknown_wildcards_are_told_at_the_prompt(page: Page) -> None:
    page.locator("#text-prompt textarea").fill("a __saeson__ lake")
    page.locator("#text-generate").click()
    expect(page.locator("#text-prompt .fault")).to_contain_text("Is it __season__?")


def test_the_number_of_tokens_stands_below_the_prompts(page: Page) -> None:
    below = page.locator("#text-unknown")
    page.locator("#text-prompt textarea").fill("a lake over {trees|trees}, the sun")
    expect(below.locator(".tokens")).to_have_text("7 / 14 tokens")
    page.locator("#text-prompt textarea").fill("a lake " * 7 + "at noon")
    expect(below.locator(".tokens.over")).to_have_text("16 / 14 tokens")
    expect(below).to_contain_text("are not read: “at”, “noon”.")
    open_more(page)
    page.locator("#text-negative_prompt textarea").fill("snow")
    expect(page.locator("#text-negative-length")).to_have_text("1 / 14 tokens")
    page.locator("#text-prompt textarea").fill("")
    expect(below.locator("p")).to_have_count(0)


def give(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#text-preset-import").click()
    chooser.value.set_files(file)


def test_presets(page: Page, tmp_path: Path) -> None:
    prompt, steps = page.locator("#text-prompt textarea"), page.get_by_label("number input for Steps").first
    page.locator("#text-presets > button").click()
    prompt.fill("of a preset")
    open_more(page)
    steps.fill("7")
    steps.press("Tab")
    page.locator("#text-preset-name textarea, #text-preset-name input").fill("Mine")
    page.locator("#text-preset-save").click()
    expect(page.locator("#text-preset-note")).to_contain_text("Saved as Mine")
    with page.expect_download() as downloading:
        page.locator("#text-preset-export").click()
    file = tmp_path / downloading.value.suggested_filename
    downloading.value.save_as(file)
    assert json.loads(file.read_text())["settings"]["steps"] == 7
    prompt.fill("other")
    steps.fill("9")
    page.locator("#text-preset input").click()
    page.get_by_role("option", name="Mine").click()
    expect(prompt).to_have_value("of a preset")
    expect(steps).to_have_value("7")
    prompt.fill("other")
    give(page, file)
    expect(prompt).to_have_value("of a preset")
    file.write_text('{"kind": "preset", "form": "upscale", "settings": {}}')
    give(page, file)
    expect(page.locator("#text-preset-note")).to_contain_text("another tab")
    page.locator("#text-preset-delete").click()
    expect(page.locator("#text-preset-note")).to_contain_text("deleted")


def test_last_settings_are_the_owner_s_in_every_browser(
    page: Page, running: Running, browser: Browser
) -> None:
    with page.expect_request("**/prompting/last/text"):
        page.locator("#text-prompt textarea").fill("kept by the program")
    page.wait_for_timeout(300)
    with opened_page(running, browser) as other:
        expect(other.locator("#text-prompt textarea")).to_have_value("kept by the program")


def test_a_late_restore_leaves_what_was_typed(running: Running, browser: Browser) -> None:
    """A slow processor and slow answers give a person time to type before the settings arrive."""
    assert running.studio.presets is not None
    yesterday = {"prompt": "from yesterday", "steps": 11, "at": 1.0}
    running.studio.presets.write("text", "last", yesterday)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 6})

    def late(route: Route) -> None:
        if '"fn_index"' in (route.request.post_data or "") and "restored" not in seen:
            page.wait_for_timeout(1500)
        route.continue_()

    seen: set[str] = set()
    page.route("**/run/**", late)
    page.route("**/gradio_api/run/**", late)
    page.goto(running.address)
    prompt = page.locator("#text-prompt textarea")
    prompt.press_sequentially("typed by hand", timeout=60_000)
    page.wait_for_selector("body.restored")
    page.wait_for_timeout(2500)
    expect(prompt).to_have_value("typed by hand")
    page.unroute_all(behavior="ignoreErrors")
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    open_more(page)
    expect(page.get_by_label("number input for Steps")).to_have_value("11")
    context.close()


def test_a_grid_fills_while_it_is_made(page: Page, outputs: Path, shots: Path) -> None:
    before = pictures(outputs)
    page.locator("#text-prompt textarea").fill("a lake, at sunset")
    page.locator("#text-grid > button").click()
    page.locator("#text-grid-switch input").check()
    page.locator("#text-axis-0 input").click()
    page.get_by_role("option", name="Model", exact=True).click()
    page.locator("#text-axis-0-values").get_by_label("Values").fill("landscapes, nowhere")
    expect(page.locator("#text-grid-note .problem")).to_contain_text("'nowhere'")
    page.locator("#text-axis-0 input").click()
    page.get_by_role("option", name="Prompt: replace words").click()
    page.locator("#text-axis-0-values").get_by_label("Values").fill("sunrise, night")
    expect(page.locator("#text-grid-note .problem")).to_contain_text("in the prompt")
    page.locator("#text-axis-0-values").get_by_label("Values").fill("sunset, night, noon")
    expect(page.locator("#text-grid-note")).to_contain_text("3 pictures")
    page.locator("#text-generate").click()
    legend = page.locator("#legend")
    expect(legend).to_contain_text("3 of 3 pictures")
    expect(legend.locator("img")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#legend img').naturalWidth > 3 * 64")
    page.screenshot(path=shots / "grid.png")
    page.locator("#grid").click()  # one after the other again
    expect(legend.locator("img")).to_be_hidden()
    expect(page.locator("#picture img")).to_be_visible()
    page.reload()
    page.wait_for_selector("body.restored")
    expect(legend).to_contain_text("3 of 3 pictures")
    made = pictures(outputs) - before
    (whole,) = (path for path in made if path.stem.endswith("-grid"))
    prompts = {read_settings(path).request.prompt for path in made - {whole}}
    assert prompts == {"a lake, at sunset", "a lake, at night", "a lake, at noon"}
