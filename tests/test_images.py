"""Pixels and tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ldm_core.errors import NotFinite
from ldm_core.network.images import from_pixels, to_pixels


def test_every_pixel_value_survives() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(to_pixels(from_pixels(pixels)), pixels)


def test_rounding_and_range() -> None:
    values = torch.tensor([-9.0, -1.0, 0.0, 0.5, 1.0, 9.0]).expand(3, 1, 6)
    assert to_pixels(values)[0, :, 0].tolist() == [0, 0, 128, 191, 255, 255]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_no_black_picture_from_nan(value: float) -> None:
    with pytest.raises(NotFinite):
        to_pixels(torch.full((3, 2, 2), value))
