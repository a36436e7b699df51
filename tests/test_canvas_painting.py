"""The canvas in a real Chromium: what is painted arrives in Python to the pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from app.widgets.canvas import CanvasSetup, CanvasValue
from app.widgets.palettes import class_names, palette_of
from tests.canvas_hand import (  # noqa: F401  fixtures
    Hand,
    bench_fixture,
    browser_fixture,
    distance_to,
    drain,
    hand_fixture,
    rectangle,
    tab_fixture,
)

SCENES = class_names("scenes")
SQUARE = ((100, 120), (300, 260))


def test_a_rectangle_is_exactly_that_rectangle(hand: Hand) -> None:
    hand.press("r")
    hand.drag(*SQUARE)
    value = hand.value()
    assert value.labels is not None
    assert value.labels.dtype == np.uint8
    assert np.array_equal(value.labels, np.where(rectangle(100, 120, 300, 260), 255, 0))
    assert (value.width, value.height, value.image, value.boxes) == (512, 512, None, None)
    hand.drag((450, 480), (700, 700))  # beyond the edge
    assert (hand.labels()[480:, 450:] == 255).all()


def test_a_brush_is_a_disc_and_its_stroke_a_rounded_line(hand: Hand) -> None:
    hand.size(41)
    hand.click(256, 256)
    assert np.array_equal(hand.labels() == 255, distance_to([(256, 256)]) <= 20.5)
    hand.button("Clear everything").click()
    points = [(60, 80), (400, 130), (200, 430)]
    hand.drag(*points, steps=7)
    painted, distance = hand.labels() == 255, distance_to(points)
    assert painted[distance < 20].all()  # the pointer's places are rounded to pixels on the way
    assert not painted[distance > 21.2].any()
    hand.press("e")
    hand.drag(*points, steps=7)
    assert not hand.labels().any()


def test_the_finest_brush_marks_the_pixel_under_the_pointer(hand: Hand) -> None:
    hand.size(1)
    hand.click(37, 41)
    assert np.argwhere(hand.labels()).tolist() == [[41, 37]]
    hand.press("Control+z")
    hand.drag((10, 10), (110, 60), steps=1)
    painted = hand.labels() == 255
    assert painted[10:61].any(axis=1).all()
    assert painted[:, 10:111].any(axis=0).all()  # no gaps
    assert painted.sum() < 2 * 101


def test_shift_draws_a_straight_line_from_the_last_stroke(hand: Hand) -> None:
    hand.size(10)
    hand.click(50, 400)
    hand.page.keyboard.down("Shift")
    hand.click(450, 300)
    hand.page.keyboard.up("Shift")
    assert np.array_equal(hand.labels() == 255, distance_to([(50, 400), (450, 300)]) <= 5)


def test_lasso_bucket_and_taking_away(hand: Hand) -> None:
    hand.press("l")
    corners = [(100, 100), (400, 140), (300, 420), (80, 300)]
    hand.drag(*corners, steps=12)
    painted = hand.labels() == 255
    outline = np.array(corners, np.float32)
    y, x = np.mgrid[:512, :512] + 0.5
    flat = zip(x.ravel().tolist(), y.ravel().tolist())
    depth = np.reshape([cv2.pointPolygonTest(outline, point, True) for point in flat], (512, 512))
    assert painted[depth > 1].all()
    assert not painted[depth < -1].any()
    hand.press("x", "g")  # the bucket takes away now
    hand.click(250, 250)
    assert not hand.labels().any()
    hand.press("x")
    hand.click(5, 5)
    assert (hand.labels() == 255).all()


def test_the_bucket_stops_at_other_classes(hand: Hand) -> None:
    hand("classes").choose("tree")
    hand.press("r")
    hand.drag(*SQUARE)
    hand.choose("water")
    hand.drag((100, 300), (200, 400))
    hand.choose("sky")
    hand.press("g")
    hand.click(20, 20)
    hand.choose("meadow")
    hand.click(150, 200)
    value = hand.value()
    expected = np.full((512, 512), SCENES.index("sky"))
    expected[120:260, 100:300] = SCENES.index("meadow")
    expected[300:400, 100:200] = SCENES.index("water")
    assert np.array_equal(value.labels, expected)
    assert value.classes == SCENES


def test_the_right_button_takes_away_and_alt_takes_a_class_up(hand: Hand) -> None:
    hand("classes").choose("house")
    hand.press("r")
    hand.drag(*SQUARE)
    hand.drag((100, 120), (200, 260), button="right")
    assert np.array_equal(hand.labels() == SCENES.index("house"), rectangle(200, 120, 300, 260))
    hand.choose("boat")
    hand.page.keyboard.down("Alt")
    hand.click(250, 200)
    hand.page.keyboard.up("Alt")
    expect(hand.button("house")).to_have_attribute("aria-pressed", "true")


def test_undo_and_redo(hand: Hand) -> None:
    states = [hand.labels()]
    hand.size(30)
    for step in range(5):
        hand.drag((40 + 90 * step, 60), (300, 400))
        states.append(hand.labels())
    hand.adjust("Invert")
    states.append(hand.labels())
    for state in reversed(states[:-1]):
        hand.press("Control+z")
        assert np.array_equal(hand.labels(), state)
    expect(hand.button("Undo")).to_have_attribute("aria-disabled", "true")
    for state in states[1:]:
        hand.press("Control+Shift+Z")
        assert np.array_equal(hand.labels(), state)
    hand.press("Control+z")
    hand.click(10, 10)  # a new step: what was undone cannot be redone
    last = hand.labels()
    hand.press("Control+Shift+Z")
    assert np.array_equal(hand.labels(), last)


def test_a_hundred_steps_can_be_undone(hand: Hand) -> None:
    hand.size(3)
    for step in range(103):
        hand.click(5 + 4 * step, 50)
    for _ in range(105):
        hand.press("Control+z")
    left = hand.labels()[50] == 255
    assert left[:20].any()
    assert not left[20:].any()  # of 103 strokes the first three stay
    for _ in range(105):
        hand.press("Control+Shift+Z")
    assert (hand.labels()[50] == 255)[5:417:4].all()


def test_escape_takes_an_unfinished_stroke_back(hand: Hand) -> None:
    hand.page.mouse.move(*hand.place((100, 100)))
    hand.page.mouse.down()
    hand.page.mouse.move(*hand.place((300, 300)), steps=5)
    hand.press("Escape")
    hand.page.mouse.move(*hand.place((400, 100)), steps=5)
    hand.page.mouse.up()
    assert not hand.labels().any()
    expect(hand.button("Undo")).to_have_attribute("aria-disabled", "true")


def test_keys_choose_tools_and_sizes(hand: Hand) -> None:
    for key, name in {"e": "Eraser", "g": "Bucket: fills what hangs together", "b": "Brush"}.items():
        hand.press(key)
        expect(hand.button(name)).to_have_attribute("aria-pressed", "true")
    size = hand.canvas.get_by_role("slider", name="Size")
    expect(size).to_have_attribute("aria-valuetext", "40")
    hand.press("]")
    expect(size).to_have_attribute("aria-valuetext", "46")
    hand.press("[", "[")
    expect(size).to_have_attribute("aria-valuetext", "33")
    hand.page.mouse.move(*hand.place((200, 200)))
    hand.page.keyboard.down("Control")
    hand.page.mouse.wheel(0, -100)
    hand.page.keyboard.up("Control")
    expect(size).to_have_attribute("aria-valuetext", "36")
    for _ in range(60):
        hand.press("]")
    expect(size).to_have_attribute("aria-valuetext", "400")


def test_zoom_keeps_what_is_under_the_pointer_and_painting_stays_exact(hand: Hand) -> None:
    place = hand.place((300, 200))
    hand.page.mouse.move(*place)
    for _ in range(6):
        hand.page.mouse.wheel(0, -240)
    assert hand.place((300, 200)) == pytest.approx(place, abs=0.1)
    hand.press("r")
    hand.drag((290, 195), (310, 212))
    assert np.array_equal(hand.labels() == 255, rectangle(290, 195, 310, 212))
    before = hand.place((300, 200))
    hand.page.mouse.move(*before)
    hand.page.keyboard.down("Space")
    hand.drag((300, 200), (305, 203))
    hand.page.keyboard.up("Space")
    after = hand.place((300, 200))
    scale = hand.place((301, 200))[0] - after[0]
    assert scale > 5
    assert after == pytest.approx((before[0] + 5 * scale, before[1] + 3 * scale), abs=1)
    hand.drag((300, 200), (295, 197), button="middle")
    assert hand.place((300, 200)) == pytest.approx(before, abs=1.5)
    assert (hand.labels() == 255).sum() == 20 * 17
    hand.press("0")
    assert hand.place((1, 0))[0] - hand.place((0, 0))[0] == pytest.approx(1)


def test_one_finger_paints_two_zoom_and_move(hand: Hand) -> None:
    hand.size(40)
    start, end = hand.place((100, 100)), hand.place((300, 100))
    hand.touch("touchStart", start)
    for share in np.linspace(0, 1, 9):
        hand.touch("touchMove", (start[0] + share * (end[0] - start[0]), start[1]))
    hand.touch("touchEnd")
    painted = hand.labels() == 255
    assert np.array_equal(painted, distance_to([(100, 100), (300, 100)]) <= 20)
    (ax, ay), (bx, by) = hand.place((200, 250)), hand.place((300, 250))
    hand.touch("touchStart", (ax, ay))
    hand.touch("touchStart", (ax, ay), (bx, by))
    for step in range(1, 11):
        hand.touch("touchMove", (ax - 5 * step, ay + 3 * step), (bx + 5 * step, by + 3 * step))
    hand.touch("touchEnd")
    assert np.array_equal(hand.labels() == 255, painted)  # the first finger painted nothing
    zoom = hand.place((1, 0))[0] - hand.place((0, 0))[0]
    assert zoom == pytest.approx(2, rel=0.02)
    assert hand.place((250, 250)) == pytest.approx(((ax + bx) / 2, ay + 30), abs=2)


def test_a_pens_pressure_sets_the_width_if_wanted(hand: Hand) -> None:
    hand.size(40)
    hand.pen(((100, 100), 0.25), ((400, 100), 0.25))
    assert (hand.labels()[:, 250] == 255).sum() == 40
    hand.press("Control+z")
    hand.button("Adjust").click()
    hand.canvas.get_by_label("Pen pressure sets the size").check()
    hand.button("Adjust").click()
    hand.pen(((100, 100), 0.25), ((400, 100), 1.0))
    painted = hand.labels() == 255
    assert painted[:, 101].sum() == pytest.approx(10, abs=2)
    assert painted[:, 250].sum() == pytest.approx(25, abs=2)
    assert painted[:, 399].sum() == pytest.approx(40, abs=1)


def test_grow_shrink_and_invert(hand: Hand) -> None:
    hand.press("r")
    hand.drag(*SQUARE)
    hand.adjust("Grow")
    grown = (
        cv2.distanceTransform((~rectangle(*SQUARE[0], *SQUARE[1])).astype(np.uint8), cv2.DIST_L2, 5) <= 4.1
    )
    assert np.array_equal(hand.labels() == 255, grown)
    hand.adjust("Shrink")
    assert np.array_equal(hand.labels() == 255, rectangle(*SQUARE[0], *SQUARE[1]))
    hand.adjust("Invert")
    assert np.array_equal(hand.labels() == 0, rectangle(*SQUARE[0], *SQUARE[1]))
    hand.adjust("Shrink")  # the picture's edge takes nothing off
    assert hand.labels()[0, 0] == 255


def test_looking_differently_changes_nothing(hand: Hand) -> None:
    hand.drag((100, 100), (400, 300))
    before = hand.labels()
    hand.press("c")
    hand.button("Adjust").click()
    hand.canvas.get_by_role("slider", name="Opacity").press("PageDown")
    for _ in range(3):
        hand.canvas.get_by_role("slider", name="Feather").press("PageUp")
    hand.button("Adjust").click()
    hand.page.wait_for_timeout(500)
    value = hand.value()
    assert np.array_equal(value.labels, before)
    assert value.feather == 30
    overlay = hand.canvas.locator(".overlay")
    expect(overlay).to_have_css("opacity", "0.45")
    expect(overlay).to_have_css("filter", "blur(15px)")


def test_the_model_s_cells_show_what_it_can_resolve(hand: Hand) -> None:
    """With cells of 8, a rectangle that covers a cell to a quarter shows it a quarter as opaque."""
    hand.press("r")
    hand.drag((100, 104), (302, 112))
    hand.press("c")
    hand.page.wait_for_timeout(200)
    alphas = hand.canvas.locator(".overlay").evaluate(
        "canvas => [98, 106, 297, 306].map(x => canvas.getContext('2d').getImageData(x, 108, 1, 1).data[3])"
    )
    assert alphas == [128, 255, 191, 0]


def test_a_stroke_s_end_is_told_once(hand: Hand) -> None:
    hand.page.wait_for_timeout(1000)  # what emptied the canvas for this test is told as well
    drain(hand.bench.strokes)
    hand.drag((100, 100), (200, 200))
    first = hand.bench.strokes.get(timeout=10)
    assert first is not None
    assert first.labels is not None
    assert first.labels.any()
    hand.button("Adjust").click()
    hand.button("Invert").evaluate("button => { for (let i = 0; i < 3; i++) button.click(); }")
    hand.button("Adjust").click()
    last = hand.bench.strokes.get(timeout=10)
    hand.page.wait_for_timeout(500)
    assert drain(hand.bench.strokes) == []  # quick changes are told together
    assert last is not None
    assert np.array_equal(last.labels, 255 - first.labels)
    hand.give(CanvasValue(512, 512, labels=np.zeros((512, 512), np.uint8)))
    hand.page.wait_for_timeout(300)
    assert drain(hand.bench.strokes) == []  # what Python sets is no stroke


def test_python_sets_the_canvas(hand: Hand) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(np.r_[np.arange(14), 255], (384, 640)).astype(np.uint8)
    hand("classes").drag((50, 50), (200, 200))
    hand.give(CanvasValue(640, 384, labels=labels))
    assert np.array_equal(hand.labels(), labels)
    expect(hand.button("Undo")).to_have_attribute("aria-disabled", "false")
    picture = rng.integers(0, 256, (384, 640, 3), dtype=np.uint8)
    hand.click(100, 100)
    hand.give(CanvasValue(640, 384, image=picture))  # the drawing and its undo stay beside it
    value = hand.value()
    assert value.labels is not None
    assert np.array_equal(value.image, picture)
    assert (value.labels != labels).any()
    hand.press("Control+z")
    value = hand.value()
    assert value.image is None and value.labels is not None and (value.labels != labels).any()
    hand.press("Control+z")
    assert np.array_equal(hand.labels(), labels)
    hand.give(None)
    value = hand.value()
    assert value.is_empty
    assert value.image is None


def test_another_model_keeps_the_classes_it_knows(hand: Hand) -> None:
    hand("classes").choose("snow")
    hand.press("r")
    hand.drag(*SQUARE)
    hand.choose("moon")
    hand.drag((0, 0), (50, 50))
    stuff = class_names("coco-stuff")
    hand.give(CanvasSetup(palette_of(stuff), cell=4))
    value = hand.value()
    assert value.classes == stuff
    assert value.labels is not None
    assert np.array_equal(value.labels == stuff.index("snow"), rectangle(*SQUARE[0], *SQUARE[1]))
    assert (value.labels[:50, :50] == 255).all()  # there is no moon in COCO-Stuff
    search = hand.canvas.get_by_role("searchbox", name="Search classes")
    search.fill("other sky")
    expect(hand.canvas.locator(".swatch:visible")).to_have_count(1)
    search.press("Enter")
    hand.canvas.get_by_role("application").focus()
    hand.press("b")
    hand.click(400, 400)
    assert hand.labels()[400, 400] == stuff.index("sky-other")
    hand.give(CanvasSetup(palette_of(SCENES), cell=8))


def test_it_survives_other_tabs_and_a_reload(hand: Hand) -> None:
    hand("classes").choose("tree")
    hand.drag((100, 100), (400, 300))
    before = hand.labels()
    hand("mask").drag((50, 50), (60, 300))
    assert hand("classes").labels().tobytes() == before.tobytes()
    hand.press("]", "c")
    hand.page.wait_for_timeout(500)
    hand.reload()
    assert np.array_equal(hand.labels(), before)
    expect(hand.button("tree")).to_have_attribute("aria-pressed", "true")
    expect(hand.canvas.get_by_role("slider", name="Size")).to_have_attribute("aria-valuetext", "46")
    assert hand("mask").labels()[200, 55] == 255
    other = hand.page.context.new_page()  # another browser tab has canvases of its own
    other.goto(hand.bench.address)
    assert not Hand(hand.bench, other)("mask").labels().any()
    other.close()
