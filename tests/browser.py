"""What the tests of the page share: the served program, a Chromium, a page that is ready, and steps in it.

A test file says `pytest_plugins = ["tests.browser"]`; its own `models` fixture serves other models.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Frame, Page, expect, sync_playwright
from playwright.sync_api import Request as WebRequest

from app.commands.test import find_browser
from app.web.server import Options, Running, start
from tests.tiny import write_model

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WAIT = 60_000  # milliseconds; the machine may be busy
CUT_OFF = ("AbortError: signal is aborted", "Unexpected error Connection errored out")

# Notes every different preview that the picture shows.
WATCH = """() => {
  window.previews = new Set();
  setInterval(() => {
    const picture = document.querySelector('#picture img');
    if (picture?.src.startsWith('data:image/jpeg')) window.previews.add(picture.src);
  }, 15);
}"""


def free_port() -> int:
    """One that another run of tests, started at the same moment, does not choose as well."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models: two tiny ones that take a prompt."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder)
    write_model(folder, 1, name="other")
    return folder


@pytest.fixture(scope="module")
def remembers() -> bool:
    """Whether the program itself keeps last settings, which a test would leave to the next."""
    return False


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, models: Path, outputs: Path, remembers: bool
) -> Iterator[Running]:
    """The page, served from this process."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["ATELIER_MODELS"] = str(models)
    options = Options(outputs=str(outputs))
    served = start(options, free_port())
    if not remembers:
        served.studio.presets = None
    yield served
    served.close()
    del os.environ["ATELIER_MODELS"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    assert path is not None, "no Chromium: python launch.py test installs one"
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(path), args=FLAGS)
        yield started
        started.close()


@contextmanager
def opened_page(running: Running, browser: Browser) -> Iterator[Page]:
    """A fresh page that is ready; at the end it must have complained about nothing and asked nobody else."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(WAIT)

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def on_request(request: WebRequest) -> None:
        if not request.url.startswith((running.address, "data:", "blob:")):
            complaints.append(f"request to {request.url}")

    def on_navigation(_: Frame) -> None:
        """Gradio's client complains of streams that go with the page, ended ones among them."""
        while complaints and complaints[-1].startswith(CUT_OFF):
            complaints.pop()

    opened.on("console", on_console)
    opened.on("framenavigated", on_navigation)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", on_request)
    opened.goto(running.address)
    expect(opened.locator("#text-generate")).to_be_visible(timeout=WAIT)
    opened.wait_for_function("() => document.querySelector('#fold').hasAttribute('aria-pressed')")
    opened.wait_for_selector("body.restored")
    opened.evaluate(WATCH)
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture
def page(running: Running, browser: Browser) -> Iterator[Page]:
    """The first page of somebody who has made nothing yet."""
    forget_everybody(running)
    with opened_page(running, browser) as opened:
        yield opened


def forget_everybody(running: Running) -> None:
    """Ends all jobs; the pictures of earlier tests are nobody's."""
    studio = running.studio
    deadline = time.monotonic() + WAIT / 1000
    for person in list(studio._people.values()):
        studio.jobs.pause_queue(person, paused=False)
        studio.jobs.cancel_all(person)
        while person.runner is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        for item in studio.jobs.queue.items(person.id):
            studio.jobs.queue.drop(person.id, item.id)
    studio._people.clear()


def set_number(page: Page, name: str, value: float) -> None:
    page.get_by_label(name, exact=True).fill(str(value))


def open_more(page: Page) -> None:
    page.locator(".controls .more > button").click()
    expect(page.get_by_label("number input for Steps")).to_be_visible()


def status(page: Page, words: str) -> None:
    expect(page.locator("#status")).to_contain_text(re.compile(words), timeout=WAIT)


def pictures(folder: Path) -> set[Path]:
    return set(folder.rglob("*.png"))


def new_pictures(page: Page, folder: Path, before: set[Path], count: int = 1) -> list[Path]:
    """Waits until so many more pictures are saved, and the job has ended."""
    deadline = time.monotonic() + WAIT / 1000
    while len(pictures(folder) - before) < count and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    expect(page.locator(".stop:enabled")).to_have_count(0, timeout=WAIT)
    found = sorted(pictures(folder) - before)
    assert len(found) == count, page.locator("#status").inner_text()
    return found


def newest(page: Page, outputs: Path, tab: str) -> Path:
    """Presses Generate and waits for the picture's file."""
    before = pictures(outputs)
    page.locator(f"#{tab}-generate").click()
    (path,) = new_pictures(page, outputs, before)
    return path


def send(page: Page, tab: str) -> None:
    """Sends the picture on the stage to another tab."""
    page.get_by_label("Send the picture to another tab").click()
    page.get_by_role("option", name=tab, exact=True).click()
    status(page, "Here it is")
    expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are left to look at."""
    folder = Path(os.environ.get("ATELIER_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def drop(page: Page, data: bytes, kind: str = "png") -> None:
    """Drops a picture's file on the middle of the page."""
    page.evaluate(
        """([bytes, kind]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], `old.${kind}`, {type: `image/${kind}`}));
          const target = document.querySelector('#picture');
          for (const type of ['dragover', 'drop'])
            target.dispatchEvent(
              new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        [list(data), kind],
    )
