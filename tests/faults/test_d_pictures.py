"""Section D beside what `tests/test_pictures.py` has: many at once, long animations, files of two kinds."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from app.web.server import Running
from app.web.status import memory
from tests.faults.conftest import SMALL, Asking, png, uri

Guest = Callable[[int], Asking]
FROM = {**{name: value for name, value in SMALL.items() if name not in ("width", "height")}, "strength": 0.5}
FROM["task"] = "image-to-image"


def test_d06_a_picture_that_is_a_page_as_well(guest: Guest) -> None:
    both = png() + b"<html><script>hit()</script></html><?php system('id'); ?>"
    asking = guest(70)
    answer = asking.call({**FROM, "image": uri(both)})
    if answer.kind == "complete":
        (made,) = answer.data  # type: ignore[misc]
        file = asking.web.get(made["images"][0]["url"])
        assert file.headers["content-type"] == "image/png" and b"<script>" not in file.content
    damaged = bytearray(png())
    damaged[40] ^= 255  # within a chunk that has a checksum
    answer = asking.call({**FROM, "image": uri(bytes(damaged))})
    assert answer.kind == "error" and "image" in answer.text


def test_d11_of_a_long_animation_one_frame_is_looked_at(guest: Guest) -> None:
    frames = [Image.fromarray(np.full((8, 8), i % 256, np.uint8)) for i in range(3000)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    asking = guest(71)
    began = time.process_time()
    assert asking.call({**FROM, "image": uri(file.getvalue())}).kind in ("complete", "error")
    assert time.process_time() - began < 5


def test_d14_many_large_pictures_at_once_are_read_in_turn(program: Running, guest: Guest) -> None:
    """Twelve of 24 megapixels: read together they took more than a gigabyte."""
    file = io.BytesIO()
    Image.new("RGB", (6000, 4000), (9, 99, 199)).save(file, "PNG", compress_level=1)
    before, most = memory(), 0
    asking = [guest(72 + i) for i in range(12)]

    def ask(one: Asking) -> str:
        (path,) = one.upload("a.png", file.getvalue()).json()
        return one.call({**FROM, "image": {"path": path}, "steps": 0}).kind

    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask, one) for one in asking]
        while not all(one.done() for one in asked):
            most = max(most, memory())
            time.sleep(0.01)
    assert {one.result() for one in asked} == {"error"}
    print(f"{(most - before) / 2**20:.0f} MB more at most")
    assert most - before < 1.2 * 2**30


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (16, 1024)])
def test_d02_pictures_of_odd_shapes(guest: Guest, size: tuple[int, int]) -> None:
    answer = guest(71).call({**FROM, "image": uri(png(*size))})
    assert answer.kind in ("complete", "error") and "Traceback" not in answer.text
