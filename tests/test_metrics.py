"""Figures of quality, on inputs whose figure is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ldm_core.evaluation import metrics
from ldm_core.request.raster import NOTHING
from ldm_core.training import data

RNG = np.random.default_rng(0)


def scene(i: int) -> np.ndarray:
    return data.render("unseen", i, 64).image


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    pictures = np.stack([scene(i) for i in range(3)])
    little = (pictures + RNG.normal(0, 5, pictures.shape)).clip(0, 255).astype(np.uint8)
    much = (pictures + RNG.normal(0, 40, pictures.shape)).clip(0, 255).astype(np.uint8)
    np.testing.assert_allclose(metrics.ssim(pictures, pictures), 1.0)
    assert (metrics.ssim(pictures, little) > metrics.ssim(pictures, much)).all()
    # Brighter by a constant keeps the structure; other pictures have another.
    darker = (pictures // 2 + 20).astype(np.uint8)
    assert (metrics.ssim(darker, darker + 10) > 0.95).all()
    assert (metrics.ssim(pictures, pictures[::-1].copy())[[0, 2]] < 0.5).all()


def test_precision_and_recall_tell_a_narrow_from_a_wide_model() -> None:
    real = RNG.normal(size=(300, 2))
    narrow, wide = 0.1 * RNG.normal(size=(300, 2)), 5 * RNG.normal(size=(300, 2))
    precision, recall = metrics.precision_recall(real, narrow)
    assert precision > 0.95 and recall < 0.3
    precision, recall = metrics.precision_recall(real, wide)
    assert precision < 0.5
    assert metrics.precision_recall(real, real) == (1.0, 1.0)


def test_nearest_finds_a_copy() -> None:
    train = RNG.normal(size=(50, 8))
    where, distance = metrics.nearest(train[[7, 3]] + 1e-9, train)
    assert where.tolist() == [7, 3]
    assert (distance < 1e-3).all()


def test_mean_iou() -> None:
    wanted = np.array([[[0, 0], [1, 1]]], np.uint8)
    assert metrics.mean_iou(wanted, wanted, 3) == 1.0
    seen = np.array([[[0, 1], [1, 1]]], np.uint8)
    assert metrics.mean_iou(wanted, seen, 3) == pytest.approx((1 / 2 + 2 / 3) / 2)
    nothing = np.array([[[0, NOTHING], [1, 1]]], np.uint8)
    assert metrics.mean_iou(nothing, seen, 3) == 1.0  # the wrong pixel was not asked for


def test_a_box_is_found_where_its_class_fills_it() -> None:
    seen = np.zeros((100, 100), bool)
    seen[20:60, 30:50] = True
    assert metrics.box_found((0.3, 0.2, 0.5, 0.6), seen)
    assert metrics.box_found((0.32, 0.24, 0.52, 0.62), seen)
    assert not metrics.box_found((0.6, 0.2, 0.8, 0.6), seen)  # elsewhere
    assert not metrics.box_found((0.1, 0.1, 0.9, 0.9), seen)  # far too small
    assert not metrics.box_found((0.3, 0.2, 0.5, 0.6), np.zeros((100, 100), bool))
    assert metrics.box_found((0.0, 0.0, 0.3, 0.3), seen[20:, 30:] | True)


def test_seams_show() -> None:
    picture = np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    assert metrics.seam(picture, mask) == 0.0
    picture[mask] = 130
    assert metrics.seam(picture, mask) == pytest.approx(30.0)


def test_errors_of_colour_count_inside_the_border_alone() -> None:
    scene = np.full((40, 40, 3), 100, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[5:35, 5:35] = True
    picture = scene.copy()
    picture[9:31, 9:31] = 200  # further than four pixels inside
    picture[~mask] = 0
    assert metrics.border_error(scene, picture, mask) == 0.0
    picture[5:9, 5:35] = 130
    assert 0 < metrics.border_error(scene, picture, mask) < 30
    picture[mask] = 130
    assert metrics.border_error(scene, picture, mask) == pytest.approx(30.0)


def test_edge_energy_falls_with_blur_in_the_fine_bands_first() -> None:
    sharp = np.stack([data.render("unseen", i, 128, "poster").image for i in range(4)])
    soft = np.stack([cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in sharp])
    ratios = metrics.edge_energy(soft).mean(axis=0) / metrics.edge_energy(sharp).mean(axis=0)
    assert ratios[0] < 0.45 and (np.diff(ratios) > 0).all() and ratios[3] > 0.85
    assert metrics.edge_energy(np.full((1, 64, 64, 3), 90, np.uint8)).max() < 1e-9


def test_spread_is_the_mean_distance_within_groups() -> None:
    features = np.array([[0.0], [2.0], [10.0], [10.0]])  # two groups: 2 apart, and equal
    assert metrics.spread(features, 2) == pytest.approx(1.0)
    assert metrics.spread(features[:2], 2) == pytest.approx(2.0)
