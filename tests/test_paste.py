"""What is pasted into a hole has the colours that are around it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ldm_core.tasks.paste import PASTES, matched, with_gradients

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(40, 160, (60, 90, 3), dtype=np.uint8)
ROWS, COLUMNS = np.mgrid[:60, :90]


def hole(top: int, left: int) -> NDArray[np.bool_]:
    where = np.zeros((60, 90), bool)
    where[top : top + 30, left : left + 40] = True
    return where


@pytest.mark.parametrize(
    ("where", "slope"),
    [(hole(10, 20), 0.5), (hole(0, 0), 0.0), (hole(30, 50), 0.0)],
    ids=["ramp", "corner", "edge"],
)
def test_a_tint_is_taken_from_what_is_drawn(where: NDArray[np.bool_], slope: float) -> None:
    """A ramp solves the Laplace equation; at the picture's edge only what is constant does."""
    tint = 30 + slope * (COLUMNS - 0.5 * ROWS)[..., None]
    drawn = (PICTURE + tint).astype(np.float32)
    assert np.abs(with_gradients(drawn, PICTURE, where) - PICTURE).max() < 1


def test_what_is_drawn_in_the_hole_stays_apart_from_its_tint() -> None:
    where = hole(10, 20)
    drawn = np.full((60, 90, 3), 200, np.float32)
    drawn[20:30, 30:50] -= 70
    original = np.full((60, 90, 3), 100, np.uint8)
    fitting = with_gradients(drawn, original, where)
    assert np.allclose(fitting[22:28, 32:48], 30, atol=1)
    assert np.allclose(fitting[~where], 100)


def test_colours_are_matched_as_a_whole() -> None:
    drawn = (0.8 * PICTURE + 40).astype(np.float32)
    assert np.abs(matched(drawn, PICTURE, hole(10, 20)) - PICTURE).max() < 2


@pytest.mark.parametrize("name", PASTES)
def test_a_hole_without_surroundings_keeps_what_is_drawn(name: str) -> None:
    drawn = PICTURE.astype(np.float32)
    assert np.array_equal(PASTES[name](drawn, 255 - PICTURE, np.ones((60, 90), bool)), drawn)
