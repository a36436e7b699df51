"""What the canvas shows in a real Chromium is what the engine reads, whatever the file says of itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from ldm_core.pictures.masks import read_mask
from ldm_core.pictures.reading import over_white, read_picture
from tests.canvas_hand import (  # noqa: F401  fixtures
    Hand,
    bench_fixture,
    browser_fixture,
    hand_fixture,
    tab_fixture,
)
from tests.picture_files import COLOUR_CHUNKS, PROFILES, coloured_png, file_of, picture, profile_of

MOST = 2  # of 255
MODES = ("1", "L", "LA", "P", "I;16", "RGB", "RGBA", "CMYK", "LAB")

SHOWN = """canvas => {
  const shown = canvas.shadowRoot.querySelector('canvas.picture');
  const { width, height } = shown;
  const white = new OffscreenCanvas(width, height).getContext('2d');
  white.fillStyle = '#fff';
  white.fillRect(0, 0, width, height);
  white.drawImage(shown, 0, 0);
  const { data } = white.getImageData(0, 0, width, height);
  let text = '';
  for (const byte of data) text += String.fromCharCode(byte);
  return [width, height, btoa(text)];
}"""
DROP = """(viewport, [text, name]) => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  const options = {bubbles: true, cancelable: true, composed: true, dataTransfer: transfer};
  viewport.dispatchEvent(new DragEvent('drop', options));
}"""


def dropped(hand: Hand, data: bytes, name: str = "some.picture") -> NDArray[np.uint8]:
    """(h, w, 3) of what the canvas shows of a file that is dropped on it."""
    with hand.page.expect_response(lambda response: "/picture?" in response.url) as answer:
        hand.viewport.evaluate(DROP, [base64.b64encode(data).decode(), name])
    assert answer.value.status == 200, answer.value.text()
    hand.page.wait_for_timeout(150)
    width, height, pixels = hand.canvas.locator("[data-ready]").evaluate(SHOWN)
    return np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[..., :3]


def check(hand: Hand, data: bytes, said: str) -> None:
    """Shown, arrived in Python and read by the engine are one."""
    read = over_white(read_picture(data).rgba)
    shown = dropped(hand, data)
    assert shown.shape == read.shape, said
    assert np.abs(shown.astype(int) - read).max() <= MOST, said
    value = hand.value()
    assert value.image is not None and np.array_equal(value.image, read), said


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_turned_pictures_are_shown_upright(hand: Hand, kind: str) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = file_of(picture(), kind, exif=exif)
        check(hand("mask"), data, f"{kind}, {orientation}")
        assert read_picture(data).pixels.shape[:2] == ((40, 24) if orientation >= 5 else (24, 40))


def test_every_mode_is_shown_as_it_is_read(hand: Hand) -> None:
    for mode in MODES:
        check(hand("mask"), file_of(picture(mode), "TIFF" if mode in ("CMYK", "LAB") else "PNG"), mode)


def test_every_profile_is_shown_as_it_is_read(hand: Hand) -> None:
    for name in PROFILES:
        for kind in ("PNG", "JPEG"):
            check(hand("mask"), file_of(picture(), kind, icc_profile=profile_of(name)), f"{kind}, {name}")


BROWSERS_OWN = """async (data) => {
  const image = new Image();
  image.src = `data:image/png;base64,${data}`;
  await image.decode();
  const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
  context.drawImage(image, 0, 0);
  return [...context.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
}"""


@pytest.mark.parametrize("name", COLOUR_CHUNKS)
def test_colours_that_chunks_name_are_those_of_the_browser(hand: Hand, name: str) -> None:
    chunks, is_srgb = COLOUR_CHUNKS[name]
    data = coloured_png(*chunks)
    values = hand.page.evaluate(BROWSERS_OWN, base64.b64encode(data).decode())
    seen = np.array(values, np.uint8).reshape(24, 40, 4)[..., :3]
    read = read_picture(data)
    assert np.abs(seen.astype(int) - read.pixels).max() <= 2
    assert (read.profile is None) == is_srgb == np.array_equal(read.pixels, np.asarray(picture()))


def test_the_shared_cases_are_shown_as_they_are_read(hand: Hand, shared: Path) -> None:
    for path in sorted((shared / "cases" / "images").iterdir()):
        check(hand("mask"), path.read_bytes(), path.name)


def test_what_a_file_may_surprise_with_is_said(hand: Hand) -> None:
    frames = [Image.new("RGB", (40, 24), (value, 0, 0)) for value in (200, 0)]
    dropped(hand("mask"), file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    expect(hand.note()).to_have_text("Of its 2 frames the first is used.")


@pytest.mark.parametrize("kind", ["SVG", "PDF"])
def test_what_is_no_picture_is_refused_by_name(hand: Hand, kind: str) -> None:
    data = {"SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PDF": b"%PDF-1.7"}[kind]
    hand("mask").viewport.evaluate(DROP, [base64.b64encode(data).decode(), f"some.{kind.lower()}"])
    expect(hand.note()).to_contain_text(kind)


def test_masks_from_files_are_read_as_the_engine_reads_them(hand: Hand) -> None:
    where = np.zeros((24, 40, 1), bool)
    where[6:18, 10:30] = True
    for colour, sheet in (
        ((255, 255, 255, 255), (255, 255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0, 0)),
        ((255, 0, 0), (0, 0, 0)),
        ((1, 1, 1), (0, 0, 0)),
    ):
        data = file_of(Image.fromarray(np.where(where, colour, sheet).astype(np.uint8)))
        hand("mask").button("File").click()
        with hand.page.expect_file_chooser() as chooser:
            hand.button("Open mask…").click()
        with hand.page.expect_response(lambda response: "kind=mask" in response.url):
            chooser.value.set_files({"name": "mask.png", "mimeType": "image/png", "buffer": data})
        hand.page.wait_for_timeout(150)
        assert np.array_equal(hand.labels(), read_mask(data)), (colour, sheet)
        assert (hand.labels() == 255).mean() == where.mean()


def test_a_picture_with_a_profile_comes_back_after_a_reload(hand: Hand) -> None:
    data = file_of(picture(), "JPEG", icc_profile=profile_of("display-p3"))
    dropped(hand("mask"), data)
    before = hand.value()
    hand.page.wait_for_timeout(500)
    hand.reload()
    again = hand.value()
    assert before.source is not None and again.source == before.source
    assert io.BytesIO(again.source.file or b"").read() == data


# Large photographs: what is seen where one zooms in, and where a stroke lands -------------------------------

LARGE = 8000, 6000
MARKED = 6203, 3307  # a pixel that is looked at


def large_photograph() -> bytes:
    """48 megapixels in which each pixel differs from its neighbours."""
    rows, columns = np.mgrid[: LARGE[1], : LARGE[0]].astype(np.uint16)
    tones = [(columns * 7 + rows * 3) & 255, (columns ^ rows) & 255, (columns // 31 + rows // 31) * 8 & 255]
    return file_of(Image.fromarray(np.dstack(tones).astype(np.uint8)), "PNG", compress_level=1)


def test_zooming_in_shows_the_own_pixels_of_a_large_photograph(hand: Hand, tmp_path: Path) -> None:
    data = large_photograph()
    own = read_picture(data).pixels
    hand("mask").button("File").click()
    with hand.page.expect_file_chooser() as chooser:
        hand.button("Open picture…").click()
    file = tmp_path / "large.png"
    file.write_bytes(data)
    chooser.value.set_files(file)
    expect(hand.canvas.locator(".size")).to_have_text("8000 × 6000", timeout=60_000)
    assert hand.canvas.locator("canvas.tiles").is_hidden()
    scale = 2048 / LARGE[0]
    at = MARKED[0] * scale, MARKED[1] * scale
    for _ in range(12):
        hand.page.mouse.move(*hand.place(at))
        hand.page.mouse.wheel(0, -120)
        hand.page.wait_for_timeout(40)
    hand.press("1")
    expect(hand.canvas.locator(".percent")).to_have_text("100%")
    hand.page.mouse.move(0, 0)
    tiles = hand.canvas.locator("canvas.tiles")
    tiles.wait_for(state="visible")
    viewport, paper = hand.viewport.bounding_box(), hand.canvas.locator(".paper").bounding_box()
    assert viewport is not None and paper is not None
    x, y = (round(viewport[start] + viewport[side] / 2) for start, side in (("x", "width"), ("y", "height")))
    column, row = round(x - paper["x"]), round(y - paper["y"])
    there = own[row : row + 100, column : column + 100].astype(int)
    for _ in range(100):  # tiles come as fast as the machine has time
        shot = Image.open(io.BytesIO(hand.page.screenshot())).convert("RGB")
        seen = np.asarray(shot)[y : y + 100, x : x + 100].astype(int)
        if np.abs(seen - there).max() <= 1:
            break
        hand.page.wait_for_timeout(200)
    assert np.abs(seen - there).max() <= 1  # pixel by pixel
    hand.size(1)
    at = (column + 50) * scale, (row + 50) * scale
    hand.click(*at)
    rows, columns = np.nonzero(hand.labels())
    assert (columns.tolist(), rows.tolist()) == ([int(at[0])], [int(at[1])])
    hand.press("0")
    tiles.wait_for(state="hidden")


def test_a_tile_is_for_those_who_know_the_upload_alone(hand: Hand) -> None:
    dropped(hand("mask"), file_of(picture(size=(3000, 1000))))
    address = hand.page.evaluate(
        "() => performance.getEntriesByType('resource').map(one => one.name)"
        ".findLast(one => one.includes('/picture?'))"
    )
    tile = address.replace("/picture?", "/tile?")
    ask = hand.page.request.get
    good = ask(f"{tile}&level=0&column=5&row=1")
    assert good.status == 200
    own = np.asarray(picture(size=(3000, 1000)))
    with Image.open(io.BytesIO(good.body())) as opened:
        assert np.array_equal(np.asarray(opened), own[512:, 2560:])
    with Image.open(io.BytesIO(ask(f"{tile}&level=2&column=0&row=0").body())) as opened:
        assert opened.size == (512, 250)
    for wrong, status in (
        ("level=0&column=6&row=0", 404),
        ("level=99&column=0&row=0", 404),
        ("level=-1&column=0&row=0", 400),
        ("level=x&column=0&row=0", 400),
        ("", 400),
    ):
        assert ask(f"{tile}&{wrong}").status == status
    base = tile.partition("?")[0]
    for path in ("/etc/passwd", "../../etc/passwd", ""):
        assert ask(f"{base}?path={path}&level=0&column=0&row=0").status == 404
