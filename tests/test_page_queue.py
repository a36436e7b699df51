"""Work belongs to the studio: pages come and go, jobs are moved and offered again, strangers see nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from app.keeping.metadata import read_settings
from app.web.door import ENTRY
from app.web.people import COOKIE
from app.web.server import Options, Running, start
from tests.browser import WAIT, free_port, new_pictures, open_more, opened_page, pictures, set_number, status

pytest_plugins = ["tests.browser"]
ROOT = Path(__file__).resolve().parent.parent


def ask(page: Page, prompt: str, steps: int, side: int = 64) -> None:
    """Presses Generate with these settings."""
    page.locator("#text-prompt textarea").fill(prompt)
    set_number(page, "number input for Steps", steps)
    set_number(page, "Width", side)
    set_number(page, "Height", side)
    page.locator("#text-generate").click()


def rows(page: Page) -> list[tuple[str, str]]:
    """State and words of the jobs in the list."""
    found = page.locator("#queue li").evaluate_all(
        "all => all.map((one) => [one.className, one.querySelector('.what').textContent])"
    )
    return [(state, words) for state, words in found]


def until(page: Page, wanted: list[tuple[str, str]]) -> None:
    deadline = time.monotonic() + WAIT / 1000
    while rows(page) != wanted and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert rows(page) == wanted


def open_queue(page: Page) -> None:
    if not page.locator("#queue").is_visible():
        page.locator("#queue-fold").click()


def test_a_reload_in_mid_job_loses_nothing(page: Page, outputs: Path, shots: Path) -> None:
    before = pictures(outputs)
    open_more(page)
    ask(page, "a lake at sunset", 250, 192)
    status(page, r"Step \d+ of 250")
    page.reload()
    page.wait_for_selector("body.restored", timeout=2 * WAIT)
    status(page, r"Step \d+ of 250")
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#making button[aria-pressed=true]")).to_be_visible()
    expect(page.locator("#details")).to_contain_text("192 × 192")
    expect(page.locator("#download")).to_be_disabled()
    expect(page.locator("#timeline .halt")).to_have_text("Pause")
    (path,) = new_pictures(page, outputs, before)
    expect(page.locator("#download")).to_be_enabled()
    expect(page.locator("#details")).to_contain_text(path.name)
    expect(page.locator("#making button")).to_have_count(0)
    page.reload()
    page.wait_for_selector("body.restored", timeout=2 * WAIT)
    expect(page.locator("#details")).to_contain_text(path.name)
    expect(page.locator("#latest .cell[aria-selected=true]")).to_have_count(1)


def test_everything_on_the_stage_is_of_one_thing(page: Page, outputs: Path) -> None:
    before = pictures(outputs)
    open_more(page)
    ask(page, "a lake", 3)
    (first,) = new_pictures(page, outputs, before)
    ask(page, "a mountain", 250, 192)
    status(page, r"Step \d+ of 250")
    expect(page.locator("#details")).to_contain_text("192 × 192")
    for control in ("#download", "#vary", "#reuse"):
        expect(page.locator(control)).to_be_disabled()
    page.locator("#latest .cell[aria-posinset='1']").click()  # back to the first, while the second goes on
    expect(page.locator("#details")).to_contain_text(first.name)
    expect(page.locator("#timeline .halt")).to_be_hidden()
    expect(page.locator("#download")).to_be_enabled()
    expect(page.locator("#latest .cell[aria-selected=true]")).to_have_count(1)
    expect(page.locator("#making button[aria-pressed=true]")).to_have_count(0)
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.path().read_bytes() == first.read_bytes()
    page.locator("#making button").click()
    status(page, r"Step \d+ of 250")
    expect(page.locator("#download")).to_be_disabled()
    page.keyboard.press("Control+.")
    status(page, "Stopped")
    expect(page.locator("#download")).to_be_disabled()  # of what was stopped there is no picture
    expect(page.locator("#timeline .halt")).to_be_hidden()
    expect(page.locator("#details")).to_contain_text("192 × 192")
    assert pictures(outputs) - before == {first}


def test_two_windows_of_one_owner_show_the_same_jobs(running: Running, page: Page, browser: Browser) -> None:
    open_more(page)
    ask(page, "a lake at noon", 250, 384)
    with opened_page(running, browser) as other:  # as a phone, which shares no cookie
        status(other, r"Step \d+ of 250")
        open_queue(other)
        until_running = other.locator("#queue li.running .what")
        expect(until_running).to_have_text("a lake at noon")
        other.locator("#queue li.running .cancel").click()
        status(page, "Stopped")
        status(other, "Stopped")


def test_jobs_are_moved_and_cancelled_and_the_queue_halts(page: Page, outputs: Path, shots: Path) -> None:
    before = pictures(outputs)
    open_more(page)
    open_queue(page)
    clear_ended(page)
    page.locator("#queue .halt").click()
    expect(page.locator("#queue .halt")).to_have_text("Go on")
    for words in ("a lake", "a mountain", "the snow", "trees"):
        ask(page, words, 3)
        expect(page.locator("#queue .what").last).to_have_text(words)
    page.screenshot(path=shots / "queue.png")
    row = page.locator("#queue li")
    row.nth(2).locator(".up").click()
    until(page, [("waiting", words) for words in ("a lake", "the snow", "a mountain", "trees")])
    row.nth(0).drag_to(row.nth(3))
    until(page, [("waiting", words) for words in ("the snow", "a mountain", "trees", "a lake")])
    row.nth(1).locator(".show").focus()
    page.keyboard.press("Alt+ArrowUp")
    until(page, [("waiting", words) for words in ("a mountain", "the snow", "trees", "a lake")])
    row.nth(2).locator(".cancel").click()
    until(page, [("waiting", words) for words in ("a mountain", "the snow", "a lake")])
    page.locator("#queue .halt").click()
    made = new_pictures(page, outputs, before, 3)
    assert [read_settings(path).request.prompt for path in made] == ["a mountain", "the snow", "a lake"]
    page.locator("#queue li").first.locator(".again").click()  # the newest that ended
    again = new_pictures(page, outputs, before | set(made))
    assert again[0].read_bytes() == made[-1].read_bytes()


def clear_ended(page: Page) -> None:
    while page.locator("#queue li .cancel").count():
        count = page.locator("#queue li").count()
        page.locator("#queue li .cancel").first.click()
        expect(page.locator("#queue li")).not_to_have_count(count)


def test_generate_until_i_stop(page: Page, outputs: Path) -> None:
    before = pictures(outputs)
    open_more(page)
    open_queue(page)
    page.locator("#queue .endless").click()
    ask(page, "a lake", 3)
    deadline = time.monotonic() + WAIT / 1000
    while len(pictures(outputs) - before) < 3 and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    page.keyboard.press("Control+.")
    expect(page.locator("#queue .endless")).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".stop:enabled")).to_have_count(0)
    made = [read_settings(path).request for path in pictures(outputs) - before]
    assert len({request.seed for request in made}) == len(made) >= 3
    assert {request.prompt for request in made} == {"a lake"}


def test_what_cannot_be_made_is_said_while_something_is_made(page: Page) -> None:
    open_more(page)
    ask(page, "a lake", 250, 384)
    status(page, r"Step \d+ of 250")
    page.locator("#text-start > button").click()
    page.locator("#text-picture input[type=file]").set_input_files(
        {"name": "p.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(page.locator("#text-picture img")).to_have_count(1)
    page.locator("#text-generate").click()
    status(page, "no picture that can be opened")
    page.wait_for_timeout(1500)
    status(page, "no picture that can be opened")  # it is not gone with the next step
    page.locator("#text-stop").click()
    expect(page.locator(".stop:enabled")).to_have_count(0)


def test_a_connection_that_was_cut_comes_back(running: Running, page: Page, outputs: Path) -> None:
    owner = running.studio.person("owner")
    deadline = time.monotonic() + WAIT / 1000
    while not (listening := [one for one in owner._pages.values() if one.turn]):
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    (open_page,) = listening
    first = open_page.turn
    open_page.leave(first)  # as the server sees it
    page.wait_for_timeout(100)
    deadline = time.monotonic() + WAIT / 1000
    while not open_page.turn and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    assert open_page.turn > first
    before = pictures(outputs)
    open_more(page)
    ask(page, "a lake", 3)
    new_pictures(page, outputs, before)
    status(page, "Finished in")


# The program dies and starts anew ------------------------------------------------------------------------


@contextmanager
def program(models: Path, outputs: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "app.commands.cli", "run", "--no-browser", "--port", str(port)]
    command += ["--models-dir", str(models), "--outputs", str(outputs)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + WAIT / 1000
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "it does not serve"
                time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait(60)


@pytest.mark.slow
def test_the_queue_outlives_a_program_that_is_killed(browser: Browser, models: Path, tmp_path: Path) -> None:
    port = free_port()
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    with program(models, tmp_path, port) as process:
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("body.restored", timeout=2 * WAIT)
        open_more(page)
        open_queue(page)
        ask(page, "a lake", 250, 512)
        status(page, r"Step \d+ of 250")
        for words in ("a mountain", "the snow", "trees"):
            ask(page, words, 3)
            expect(page.locator("#queue .what").last).to_have_text(words)
        page.locator("#queue li").nth(3).locator(".up").click()
        page.locator("#queue li", has_text="the snow").locator(".cancel").click()
        until(page, [("running", "a lake"), ("waiting", "a mountain"), ("waiting", "trees")])
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not pictures(tmp_path)
    with program(models, tmp_path, port):
        made = new_pictures_of(page, tmp_path, 2)
        assert made == ["a mountain", "trees"]
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("body.restored", timeout=2 * WAIT)
        expect(page.locator("#queue-fold.asks")).to_be_visible(timeout=WAIT)
        open_queue(page)
        expect(page.locator("#queue li.interrupted .what")).to_have_text("a lake")
        page.locator("#queue li.interrupted .again").click()
        status(page, r"Step \d+ of 250")
        expect(page.locator("#queue li.interrupted")).to_have_count(0)
    page.context.close()


def new_pictures_of(page: Page, folder: Path, count: int) -> list[str]:
    """Waits for so many pictures; their prompts, oldest first."""
    deadline = time.monotonic() + 2 * WAIT / 1000
    while len(pictures(folder)) < count and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    return [read_settings(path).request.prompt for path in sorted(pictures(folder))]


# Strangers -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_page(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Running]:
    """The page where others can reach it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_MODELS", str(models))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("shared")
        served = start(
            Options(host="0.0.0.0", outputs=str(folder), password="open sesame, open"), free_port()
        )
        yield served
        served.close()


def visit(browser: Browser, address: str, *, entered: bool) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(address)
    if entered:
        page.locator("#password").fill("open sesame, open")
        page.get_by_role("button", name="Enter").click()
    page.wait_for_selector("body.restored", timeout=2 * WAIT)
    return page


def test_strangers_never_see_or_stop_each_other_s(shared_page: Running, browser: Browser) -> None:
    address = shared_page.address.replace("0.0.0.0", "127.0.0.1")
    one, two = (visit(browser, address, entered=True) for _ in range(2))
    open_more(one)
    ask(one, "a lake at sunset", 250, 192)
    status(one, r"Step \d+ of 250")
    two.wait_for_timeout(1500)
    open_queue(two)
    expect(two.locator("#queue li")).to_have_count(0)
    expect(two.locator("#making button")).to_have_count(0)
    expect(two.locator("#text-stop")).to_be_disabled()
    expect(two.locator("#queue .note")).to_contain_text("goes on for 10 minutes")
    stolen = with_another_s_ids(shared_page, address, one, two)
    assert "data:image" not in stolen and "sunset" not in stolen
    status(one, r"Step \d+ of 250")  # it goes on
    phone = visit(browser, shared_page.link(address), entered=False)  # the owner's, without a password
    assert phone.url == f"{address}/"
    open_queue(phone)
    expect(phone.locator("#queue li")).to_have_count(0)
    again = one.context.new_page()  # another window of the first
    again.goto(address)
    again.wait_for_selector("body.restored", timeout=2 * WAIT)
    status(again, r"Step \d+ of 250")
    one.locator("#text-stop").click()
    status(again, "Stopped")
    for page in (one, two, phone):
        page.context.close()


def with_another_s_ids(served: Running, address: str, one: Page, two: Page) -> str:
    """All that the second gets when it asks with the first one's ids, by the page's own endpoints."""
    (person,) = (each for each in served.studio._people.values() if each.running is not None)
    run = person.running
    assert run is not None and run.steps is not None
    (name,) = (name for name, page in person._pages.items() if page.turn)
    cookies = {cookie["name"]: cookie["value"] for cookie in two.context.cookies()}
    assert cookies[COOKIE] not in (cookie["value"] for cookie in one.context.cookies())
    config = served.blocks.config
    pick = {"do": "cancel", "id": run.id}
    got = []
    with httpx.Client(base_url=f"{address}/gradio_api", cookies=cookies, timeout=30) as web:
        # What that page is told.
        assert web.get("/queue/data", params={"session_hash": name}).status_code == 404
        assert web.get(f"/heartbeat/{name}").status_code == 404
        timeline = next(
            part["id"] for part in config["components"] if part["props"].get("elem_id") == "timeline"
        )
        for function in ("previews", "look", "animation"):
            data = run.steps.key if function == "previews" else {"key": run.steps.key, "step": 1}
            body = {"data": data, "component_id": timeline, "fn_name": function, "session_hash": name}
            assert web.post("/component_server/", json=body).status_code == 403
            answer = web.post("/component_server/", json={**body, "session_hash": "a page of mine"})
            assert "no longer at hand" in answer.text
            got.append(answer.text)
        # Every handler that takes a pressed button or a chosen id.
        for handler in config["dependencies"]:
            events = {event for _, event in handler["targets"]}
            if not events & {"act", "pick", "click", "pause", "branch"} or len(handler["inputs"]) > 0:
                continue
            for data in (pick, {"id": run.id}, {"key": run.steps.key, "step": 1}):
                body = {"data": [], "event_data": data, "fn_index": handler["id"], "session_hash": name}
                assert web.post("/run/predict", json=body).status_code == 403
                got.append(web.post("/run/predict", json={**body, "session_hash": "a page of mine"}).text)
    return json.dumps(got)


def test_the_door_and_the_owner_s_link(shared_page: Running) -> None:
    address = shared_page.address.replace("0.0.0.0", "127.0.0.1")
    with httpx.Client(base_url=address) as web:
        assert web.get("/").status_code == 401
        assert "set-cookie" not in web.get("/?owner=wrong").headers
        assert web.get("/").status_code == 401
        answer = web.get(f"/?owner={shared_page.owner}")
        assert answer.status_code == 303 and answer.headers["location"] == "/"
        said = answer.headers["set-cookie"]
        assert re.search("HttpOnly", said) and re.search("SameSite=lax", said)
        assert web.get("/").status_code == 200
    with httpx.Client(base_url=address) as web:
        first = web.get("/").headers["set-cookie"]
        assert web.post(ENTRY, data={"password": "open sesame, open"}).status_code == 303
        assert web.get("/").status_code == 200 and COOKIE in first
