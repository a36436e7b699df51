"""The History tab and the rail in a real browser, beside pictures that were made before."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.keeping.history import OWNER, History, Query
from app.keeping.metadata import read_settings
from app.web.server import Running
from tests.browser import WAIT, newest, status
from tests.test_history import save

pytest_plugins = ["tests.browser"]

MANY = 400


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of an earlier run of the program."""
    folder = tmp_path_factory.mktemp("outputs")
    history = History(folder)
    for number in range(MANY):
        word = "misty lake" if number % 40 == 0 else "hill"
        save(history, f"{word} number {number}", number, negative_prompt="fog", width=64, height=64)
    history.close()
    return folder


@pytest.fixture
def history(running: Running) -> Iterator[History]:
    """As the program has it; at the end nothing is in the trash, starred or on a board."""
    found = running.studio.history
    assert found is not None
    yield found
    found.trash.restore(OWNER, found.search(OWNER, Query(trashed=True)))
    found.boards.star(OWNER, found.search(OWNER, Query()), on=False)
    for board in found.boards.of(OWNER):
        found.boards.remove(OWNER, board.id)


def open_history(page: Page) -> Locator:
    """The cells of the grid, once pictures are in sight."""
    page.get_by_role("tab", name="History", exact=True).click()
    cells = page.locator("#history .cell")
    expect(cells.locator("img[src]").first).to_be_visible(timeout=WAIT)
    return cells


def at(page: Page, place: int) -> Locator:
    """The picture at a place of the list, from 1 on."""
    return page.locator(f"#history .cell[aria-posinset='{place}']")


def found(page: Page, text: str) -> None:
    expect(page.locator("#history .found")).to_have_text(text, timeout=WAIT)


def search(page: Page, words: str) -> None:
    page.get_by_label("Search pictures").fill(words)


def test_only_what_is_in_sight_is_in_the_page(page: Page, history: History, shots: Path) -> None:
    began = time.monotonic()
    cells = open_history(page)
    print(f"the tab opened in {time.monotonic() - began:.2f} s")
    count = len(history.search(OWNER, Query()))
    found(page, f"{count} pictures")
    assert 10 < cells.count() < 120
    page.screenshot(path=shots / "history.png")
    grid = page.locator("#history .grid")
    grid.evaluate("grid => grid.scrollTop = grid.scrollHeight")
    expect(at(page, count)).to_be_visible(timeout=WAIT)
    expect(at(page, count).locator("img[src]")).to_be_visible(timeout=WAIT)
    expect(at(page, 1)).to_have_count(0)
    assert cells.count() < 120


def test_searching_and_filtering(page: Page, history: History) -> None:
    open_history(page)
    search(page, "misty lake")
    found(page, "10 pictures")
    search(page, "misty -360")
    found(page, "9 pictures")
    search(page, "nothing like it")
    expect(page.locator("#history .empty")).to_contain_text("Nothing like that")
    page.locator("#history .empty button").click()
    found(page, f"{len(history.search(OWNER, Query()))} pictures")


def test_all_settings_of_a_picture_are_told_and_opened_with_it(page: Page, history: History) -> None:
    open_history(page)
    search(page, "number 177")
    found(page, "1 picture")
    at(page, 1).click()
    panel = page.locator("#history .panel")
    for text in ("hill number 177", "fog", "177", "landscapes"):
        expect(panel).to_contain_text(text, timeout=WAIT)
    panel.get_by_role("button", name="Open in Text to image").click()
    expect(page.locator("#text-prompt textarea")).to_have_value("hill number 177", timeout=WAIT)
    (id,) = history.search(OWNER, Query("number 177"))
    entry = history.get(id)
    assert entry is not None
    expect(page.locator("#details")).to_contain_text("seed 177", timeout=WAIT)
    image = page.locator("#picture img")
    expect(image).to_be_visible(timeout=WAIT)
    source = image.get_attribute("src")
    assert source is not None
    assert page.request.get(source).body() == history.file(entry).read_bytes()


def test_stars_and_boards(page: Page, history: History) -> None:
    open_history(page)
    search(page, "misty")
    found(page, "10 pictures")
    at(page, 1).click()
    at(page, 3).click(modifiers=["Shift"])
    page.keyboard.press("s")
    page.get_by_role("toolbar", name="The chosen pictures").get_by_role("button", name="Boards").click()
    page.get_by_label("New board").last.fill("Good ones")
    page.get_by_role("button", name="Add", exact=True).click()
    board = page.locator("#history .shelf", has_text="Good ones")
    expect(board.locator(".count")).to_have_text("3", timeout=WAIT)
    page.locator("#history .shelf", has_text="Starred").click()
    found(page, "3 pictures")
    board.click()
    found(page, "3 pictures")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("Best")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#history .shelf", has_text="Best")).to_be_visible(timeout=WAIT)
    assert [(one.name, one.count) for one in history.boards.of(OWNER)] == [("Best", 3)]


def test_deleting_undoing_and_the_trash(page: Page, history: History) -> None:
    open_history(page)
    search(page, "misty")
    found(page, "10 pictures")
    at(page, 2).click()
    at(page, 4).click(modifiers=["Control"])
    page.keyboard.press("Delete")
    found(page, "8 pictures")
    page.get_by_role("button", name="Undo").click()
    found(page, "10 pictures")
    page.keyboard.press("Delete")
    page.wait_for_timeout(300)
    left = len(history.search(OWNER, Query("misty")))
    page.keyboard.press("Control+z")
    found(page, "10 pictures")
    assert left < 10
    at(page, 1).click()
    page.keyboard.press("Delete")
    found(page, "9 pictures")
    page.locator("#history .shelf", has_text="Trash").click()
    found(page, "1 picture")
    page.get_by_role("button", name="Empty the trash").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    expect(page.locator("#history .empty")).to_contain_text("The trash is empty", timeout=WAIT)
    assert history.search(OWNER, Query(trashed=True)) == []
    assert len(history.search(OWNER, Query("misty"))) == 9


def test_two_are_compared_with_one_zoom(page: Page, history: History) -> None:
    open_history(page)
    at(page, 1).click()
    at(page, 2).click(modifiers=["Control"])
    page.keyboard.press("Enter")
    panes = page.locator("#history .viewer .pane")
    expect(panes).to_have_count(2)
    boxes = [panes.nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0] and boxes[1]
    x, y = boxes[0]["x"] + 40, boxes[0]["y"] + 40
    page.mouse.move(x, y)
    page.mouse.wheel(0, -500)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=4)
    page.mouse.up()
    places = [
        page.evaluate(
            """([pane, image]) => {
              const [outer, inner] = [pane, image].map((one) => one.getBoundingClientRect());
              return [inner.x - outer.x, inner.y - outer.y, inner.width].map(Math.round);
            }""",
            [panes.nth(i).element_handle(), panes.nth(i).locator("img").element_handle()],
        )
        for i in (0, 1)
    ]
    assert places[0] == places[1]
    assert places[0][2] > boxes[0]["width"] * 1.5
    page.keyboard.press("Escape")
    expect(panes).to_have_count(0)


def test_what_is_chosen_is_exported(page: Page, history: History) -> None:
    open_history(page)
    search(page, "misty")
    at(page, 1).click()
    at(page, 3).click(modifiers=["Shift"])
    page.get_by_role("toolbar", name="The chosen pictures").get_by_role("button", name="Export").click()
    page.get_by_label("What goes along").last.select_option("settings")
    with page.expect_download() as download:
        page.locator("#history dialog").get_by_role("button", name="Export").click()
    data = Path(download.value.path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        assert len(names) == 3
        assert read_settings(archive.read(names[0])).request.prompt.startswith("misty lake")


def test_the_rail_is_the_newest_part_after_a_reload_too(page: Page, outputs: Path, history: History) -> None:
    path = newest(page, outputs, "text")
    first = page.locator("#latest .cell[aria-posinset='1']")
    expect(first).to_have_attribute("aria-selected", "true", timeout=WAIT)
    entry = history.at(path)
    assert entry is not None
    expect(first).to_have_attribute("data-id", str(entry.id))
    page.reload()
    page.wait_for_selector("body.restored")
    expect(page.locator("#latest .cell[aria-posinset='9'] img[src]")).to_be_visible(timeout=WAIT)
    assert page.locator("#latest .cell").count() < 60
    page.locator("#latest .cell[aria-posinset='3']").click()
    expect(page.locator("#details")).to_contain_text("seed 398", timeout=WAIT)


def test_files_that_change_outside_are_noticed(page: Page, outputs: Path, history: History) -> None:
    open_history(page)
    count = len(history.search(OWNER, Query()))
    entry = history.newest(OWNER, 1)[0]
    (outputs / "added.png").write_bytes(history.file(entry).read_bytes() + b"\0")
    page.get_by_role("tab", name="Models", exact=True).click()
    open_history(page)
    found(page, f"{count + 1} pictures")
    loaded = "() => [...document.querySelectorAll('#history img')].every((one) => one.complete)"
    page.wait_for_function(loaded, timeout=WAIT)  # else the browser complains that one is gone
    (outputs / "added.png").unlink()
    history.look()
    found(page, f"{count} pictures")


def test_by_touch_on_a_narrow_page(page: Page, history: History, shots: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    cells = open_history(page)
    assert cells.first.bounding_box()
    page.screenshot(path=shots / "history-390.png")
    at(page, 1).click()
    panel = page.locator("#history .panel")
    expect(panel.get_by_role("button", name="Open in Text to image")).to_be_visible(timeout=WAIT)
    page.screenshot(path=shots / "history-390-panel.png")
    page.get_by_role("button", name="Back to the pictures").click()
    expect(panel).to_be_hidden()
    press = "cell => cell.dispatchEvent(new PointerEvent('%s', {bubbles: true, pointerType: 'touch'}))"
    at(page, 2).evaluate(press % "pointerdown")
    page.wait_for_timeout(600)
    at(page, 2).evaluate(press % "pointerup")
    at(page, 2).evaluate("cell => cell.click()")  # the tap that ends the long press
    at(page, 3).click()
    expect(page.get_by_role("toolbar", name="The chosen pictures")).to_contain_text("3 chosen")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_an_unknown_picture_is_a_sentence(page: Page, history: History) -> None:
    open_history(page)
    at(page, 1).click()
    button = page.get_by_role("button", name="Open in Text to image")
    expect(button).to_be_visible(timeout=WAIT)
    entry = history.newest(OWNER, 1)[0]
    content = history.file(entry).read_bytes()
    history.file(entry).unlink()
    button.click()
    try:
        status(page, "cannot be read|no longer there")
    finally:
        history.file(entry).write_bytes(content)
