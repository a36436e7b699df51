"""Whatever takes a picture or a drawing off the canvas can be undone there, after a reload as well."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from app.widgets.canvas import CanvasValue, Mode
from ldm_core.request.raster import Raster
from ldm_core.request.rules import LabelledBox
from tests.canvas_hand import Hand
from tests.picture_files import file_of, picture

pytest_plugins = ["tests.canvas_hand"]

SIZE = (320, 256)
DROP = """(viewport, data) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "some.png", { type: "image/png" }));
  viewport.dispatchEvent(
    new DragEvent("drop", { bubbles: true, composed: true, cancelable: true, dataTransfer: carried }));
}"""


def drop(hand: Hand, size: tuple[int, int]) -> None:
    hand.viewport.evaluate(DROP, base64.b64encode(file_of(picture(size=size))).decode())
    expect(hand.canvas.locator(".size")).to_have_text(f"{size[0]} × {size[1]}")
    hand.page.wait_for_timeout(300)


def filed(hand: Hand, action: str) -> None:
    hand.button("File").click()
    hand.button(action).click()


def opened(hand: Hand, size: tuple[int, int]) -> None:
    """A mask from a file."""
    hand.button("File").click()
    with hand.page.expect_file_chooser() as chooser:
        hand.button("Open mask…").click()
    data = file_of(picture("L", size))
    chooser.value.set_files({"name": "mask.png", "mimeType": "image/png", "buffer": data})
    hand.page.wait_for_timeout(500)


GREY = Raster(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
SMALL = Raster(np.full((64, 96, 3), 90, np.uint8))
BOX = LabelledBox("Tree", 0.1, 0.1, 0.5, 0.5)

ACTS: dict[str, tuple[Mode, Callable[[Hand], None]]] = {
    "use this result": ("mask", lambda hand: hand.give(CanvasValue(*SIZE, image=GREY.pixels, source=GREY))),
    "a result of another size": (
        "mask",
        lambda hand: hand.give(CanvasValue(96, 64, SMALL.pixels, source=SMALL)),
    ),
    "a saved picture": (
        "mask",
        lambda hand: hand.give(
            CanvasValue(96, 64, SMALL.pixels, np.zeros((64, 96), np.uint8), source=SMALL, feather=3)
        ),
    ),
    "cleared by Python": ("mask", lambda hand: hand.give(None)),
    "clear": ("mask", lambda hand: hand.button("Clear everything").click()),
    "remove picture": ("mask", lambda hand: filed(hand, "Remove picture")),
    "open picture": ("mask", lambda hand: drop(hand, (200, 120))),
    "open mask": ("mask", lambda hand: opened(hand, SIZE)),
    "template": (
        "classes",
        lambda hand: hand.give(CanvasValue(*SIZE, labels=np.ones(SIZE[::-1], np.uint8))),
    ),
    "resize": (
        "classes",
        lambda hand: hand.give(
            CanvasValue(128, 128, np.full((128, 128, 3), 9, np.uint8), np.ones((128, 128), np.uint8))
        ),
    ),
    "layout": ("boxes", lambda hand: hand.give(CanvasValue(128, 128, boxes=(BOX,)))),
}


def seen(hand: Hand) -> tuple[object, ...]:
    value = hand.value()
    labels = None if value.labels is None else value.labels.tobytes()
    return value.width, value.height, value.source, labels, value.boxes


@pytest.mark.parametrize("reloads", [False, True], ids=["at once", "after a reload"])
@pytest.mark.parametrize("act", ACTS)
def test_undo_covers_what_hurts(hand: Hand, act: str, reloads: bool) -> None:
    mode, does = ACTS[act]
    drop(hand(mode), SIZE)
    if mode == "boxes":
        hand.press("Escape")
    hand.drag((40, 40), (200, 120))
    before = seen(hand)
    assert before[2] is not None
    does(hand)
    after = seen(hand)
    assert after != before
    if reloads:
        hand.page.wait_for_timeout(600)
        hand.reload()
        hand.page.wait_for_timeout(600)
        assert seen(hand) == after
    expect(hand.button("Undo")).to_have_attribute("aria-disabled", "false")
    hand.button("Undo").click()
    hand.page.wait_for_timeout(300)
    assert seen(hand) == before
    hand.button("Redo").click()
    hand.page.wait_for_timeout(300)
    assert seen(hand) == after


def test_every_step_is_undone_after_a_reload(hand: Hand) -> None:
    drop(hand("mask"), SIZE)
    found = [seen(hand)]
    for x in (40, 100, 160):
        hand.drag((x, 40), (x + 20, 160))
        found.append(seen(hand))
    hand.page.wait_for_timeout(600)
    hand.reload()
    hand.page.wait_for_timeout(600)
    assert seen(hand) == found.pop()
    while found:
        hand.button("Undo").click()
        hand.page.wait_for_timeout(200)
        assert seen(hand) == found.pop()
