"""What the error of each cell counts in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ldm_core.training.focus import class_weights, hole_weights, label_weights

SKY, BOAT, ABSENT, NOTHING = 0, 13, 7, 255


@pytest.fixture
def labels() -> np.ndarray:
    """Sky with a small boat in every picture, and a part of which nothing is said."""
    maps = np.full((4, 64, 64), SKY, np.uint8)
    maps[:, 8:16, 8:16] = BOAT
    maps[:, 48:] = NOTHING
    return maps


def test_rare_classes_count_more(labels: np.ndarray) -> None:
    weights = class_weights(labels)
    assert weights.shape == (256,)
    assert weights[SKY] == 1 and weights[ABSENT] == 1 and weights[NOTHING] == 1
    assert weights[BOAT] == pytest.approx((0.1 / (8 * 8 / 64**2)) ** 0.5)


def test_only_what_is_told_is_weighed(labels: np.ndarray) -> None:
    told = torch.zeros(4, 1, 8, 8, dtype=torch.bool)
    told[0] = True
    weights = label_weights(torch.from_numpy(labels), class_weights(labels), told)
    assert weights[0, 0, 1, 1] > 2 and weights[0, 0, 0, 0] == 1
    assert (weights[1:] == 1).all()


def test_a_hole_counts_as_much_as_a_picture() -> None:
    known = torch.zeros(3, 1, 8, 8, dtype=torch.bool)  # nothing is known of the first picture
    known[1, :, :, :4] = True
    known[2] = True
    known[2, 0, 0, 0] = False
    weights = hole_weights(known)
    assert (weights[0] == 1).all()
    assert weights[1].sum() == pytest.approx(64) and (weights[1][known[1]] < 0.2).all()
    assert weights[2].max() <= 8  # a very small one less


def test_a_picture_without_a_hole_keeps_a_finite_weight() -> None:
    assert torch.isfinite(hole_weights(torch.ones(1, 1, 4, 4, dtype=torch.bool))).all()
