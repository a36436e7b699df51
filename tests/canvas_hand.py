"""A hand for the canvas's browser tests: it paints on tests/canvas_page.py with mouse, pen, fingers, keys."""

from __future__ import annotations

import functools
import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import (
    Browser,
    CDPSession,
    ConsoleMessage,
    Locator,
    Page,
    Response,
    expect,
    sync_playwright,
)
from playwright.sync_api import Request as WebRequest

from app.commands.test import find_browser
from app.widgets.canvas import CanvasSetup, CanvasValue, Mode
from tests.canvas_page import Bench, serve

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
WAIT = 30_000  # milliseconds; the machine may be busy

Point = tuple[float, float]


@dataclass
class Hand:
    """One browser tab and the canvas it works on."""

    bench: Bench
    page: Page
    mode: Mode = "mask"

    @functools.cached_property
    def devtools(self) -> CDPSession:
        """Chromium's own protocol, for input that Playwright does not have."""
        return self.page.context.new_cdp_session(self.page)

    def __call__(self, mode: Mode) -> Hand:
        """Turns to the canvas of another mode, on its own tab of the page."""
        self.mode = mode
        self.page.get_by_role("tab", name=mode).click()
        self.page.wait_for_selector(f"#{mode} [data-ready]", state="attached", timeout=WAIT)
        return self

    @property
    def canvas(self) -> Locator:
        return self.page.locator(f"#{self.mode}")

    @property
    def viewport(self) -> Locator:
        return self.canvas.get_by_role("application")

    def place(self, point: Point) -> Point:
        """Where a point of the picture is in the window."""
        paper = self.canvas.locator(".paper")
        box = paper.bounding_box()
        width = paper.evaluate("paper => parseFloat(paper.style.width)")
        assert box is not None
        scale = box["width"] / width
        return box["x"] + point[0] * scale, box["y"] + point[1] * scale

    def drag(self, *points: Point, steps: int = 8, button: str = "left") -> None:
        """Presses at the first point, moves along the others, lets go at the last."""
        first, *others = (self.place(point) for point in points)
        self.page.mouse.move(*first)
        self.page.mouse.down(button=button)  # type: ignore[arg-type]
        for point in others:
            self.page.mouse.move(*point, steps=steps)
        self.page.mouse.up(button=button)  # type: ignore[arg-type]

    def click(self, *point: float) -> None:
        self.page.mouse.click(*self.place((point[0], point[1])))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def button(self, name: str) -> Locator:
        return self.canvas.get_by_role("button", name=name, exact=True)

    def choose(self, name: str) -> None:
        """A class of the palette."""
        self.canvas.get_by_role("group", name="Classes").get_by_role("button", name=name, exact=True).click()

    def adjust(self, name: str) -> None:
        """An action of the panel "Adjust"."""
        self.button("Adjust").click()
        self.button(name).click()
        self.button("Adjust").click()

    def size(self, pixels: int) -> None:
        """Sets the brush's width, with the keys of its slider."""
        slider = self.canvas.get_by_role("slider", name="Size")
        slider.focus()
        slider.press("Home")
        now = int(str(slider.get_attribute("aria-valuetext")))
        for _ in range((pixels - now) // 10):
            slider.press("PageUp")
        for _ in range((pixels - now) % 10):
            slider.press("ArrowRight")
        assert slider.get_attribute("aria-valuetext") == str(pixels)

    def value(self) -> CanvasValue:
        """What arrives in Python when the page's button sends the canvas."""
        self.page.locator(f"#send-{self.mode}").click()
        value = self.bench.arrived.get(timeout=20)
        assert value is not None
        return value

    def labels(self) -> NDArray[np.uint8]:
        labels = self.value().labels
        assert labels is not None
        return labels

    def give(self, value: CanvasValue | CanvasSetup | None) -> None:
        """Sets the canvas from Python, and waits until it shows it."""
        self.bench.given = value
        with self.page.expect_response(lambda response: "/gradio_api/" in response.url):
            self.page.locator(f"#give-{self.mode}").click()
        self.page.wait_for_timeout(400)
        expect(self.canvas.locator("[aria-busy]")).to_have_count(0)  # a picture takes its time to arrive

    def note(self) -> Locator:
        return self.canvas.get_by_role("status")

    def reload(self) -> None:
        self.page.wait_for_timeout(100)
        self.page.reload()
        self(self.mode)

    def touch(self, kind: str, *points: Point) -> None:
        """Fingers on the glass, in pixels of the window; `kind` is touchStart, touchMove or touchEnd."""
        fingers = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
        self.devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    def pen(self, *strokes: tuple[Point, float]) -> None:
        """A pen's stroke along points of the picture, each with its pressure 0..1."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(strokes) - 1)]
        for kind, (point, force) in zip(kinds, strokes):
            self._pen_event(kind, self.place(point), force)
        self._pen_event("mouseReleased", self.place(strokes[-1][0]), 0)

    def _pen_event(self, kind: str, place: Point, force: float) -> None:
        event = {"type": kind, "x": place[0], "y": place[1], "button": "left", "buttons": 1, "clickCount": 1}
        self.devtools.send("Input.dispatchMouseEvent", {**event, "pointerType": "pen", "force": force})


@pytest.fixture(scope="module", name="bench")
def bench_fixture() -> Iterator[Bench]:
    with serve() as served:
        yield served


@pytest.fixture(scope="module", name="browser")
def browser_fixture() -> Iterator[Browser]:
    path = find_browser()
    assert path is not None, "no Chromium: python launch.py test installs one"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(path), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module", name="tab")
def tab_fixture(bench: Bench, browser: Browser) -> Iterator[Hand]:
    """A browser tab; at the end it must have complained about nothing and asked nobody else."""
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, accept_downloads=True, has_touch=True
    )
    page = context.new_page()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def on_request(request: WebRequest) -> None:
        if not request.url.startswith((bench.address, "data:", "blob:")):
            complaints.append(f"request to {request.url}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            complaints.append(f"{response.status} for {response.url}")

    page.on("console", on_console)
    page.on("response", on_response)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", on_request)
    page.goto(bench.address)
    yield Hand(bench, page)
    context.close()
    assert not complaints, complaints


@pytest.fixture(name="hand")
def hand_fixture(tab: Hand) -> Hand:
    """The tab with its canvases as at the beginning: loading the page anew takes seconds."""
    drain(tab.bench.arrived)
    tab.page.evaluate("document.querySelectorAll('[data-ready]').forEach(canvas => canvas.reset())")
    tab("mask").page.mouse.move(0, 0)
    return tab


def drain(items: queue.Queue[CanvasValue | None]) -> list[CanvasValue | None]:
    """Everything that waits in a queue."""
    found = []
    while not items.empty():
        found.append(items.get_nowait())
    return found


def rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (512, 512)) -> NDArray[np.bool_]:
    """(height, width), true inside."""
    inside = np.zeros(size[::-1], bool)
    inside[y0:y1, x0:x1] = True
    return inside


def distance_to(points: Sequence[Point], size: tuple[int, int] = (512, 512)) -> NDArray[np.float64]:
    """(height, width): how far each pixel's centre is from a line along points."""
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    nearest = np.full(size[::-1], np.inf)
    for (ax, ay), (bx, by) in zip(points, points[1:] or points):
        dx, dy = bx - ax, by - ay
        share = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy or 1), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - share * dx, y - ay - share * dy))
    return nearest
