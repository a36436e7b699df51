"""Random masks for inpainting: thick strokes, boxes and polygons (LaMa, section 2.4, arXiv:2109.07161)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Mask = NDArray[np.uint8]


def random_mask(rng: np.random.Generator, height: int, width: int) -> Mask:
    """(h, w) uint8, 1 where the picture is to be filled: one of three kinds, or sometimes a whole side."""
    kind = rng.choice(["strokes", "boxes", "polygons", "side"], p=[0.45, 0.25, 0.2, 0.1])
    mask = np.zeros((height, width), np.uint8)
    {"strokes": _strokes, "boxes": _boxes, "polygons": _polygons, "side": _side}[kind](mask, rng)
    return mask


def random_masks(count: int, side: int, rng: np.random.Generator) -> Tensor:
    """(count, 1, side, side) float32, 1 in the hole."""
    masks = np.stack([random_mask(rng, side, side) for _ in range(count)])
    return torch.from_numpy(masks)[:, None].float()


def _strokes(mask: Mask, rng: np.random.Generator) -> None:
    """One to four broken lines as wide as a brush, with round ends."""
    height, width = mask.shape
    side = min(height, width)
    for _ in range(rng.integers(1, 5)):
        thickness = max(1, int(rng.uniform(0.06, 0.22) * side))
        point = rng.uniform(0, (width, height))
        angle = rng.uniform(0, 2 * np.pi)
        for _ in range(rng.integers(1, 6)):
            angle += rng.normal(0, 0.8)
            end = point + rng.uniform(0.1, 0.35) * side * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(mask, _pixel(point), _pixel(end), 1, thickness)
            cv2.circle(mask, _pixel(end), thickness // 2, 1, cv2.FILLED)
            point = end.clip(0, (width, height))


def _boxes(mask: Mask, rng: np.random.Generator) -> None:
    """One to three boxes of a sixth to six tenths of the side."""
    height, width = mask.shape
    for _ in range(rng.integers(1, 4)):
        h, w = (rng.uniform(0.15, 0.6, 2) * mask.shape).astype(int)
        y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        mask[y : y + h, x : x + w] = 1


def _polygons(mask: Mask, rng: np.random.Generator) -> None:
    """One or two star-shaped polygons of five to nine corners, as a lasso makes them."""
    side = min(mask.shape)
    for _ in range(rng.integers(1, 3)):
        corners = rng.integers(5, 10)
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = rng.uniform(0.12, 0.4, corners) * side
        centre = rng.uniform(0.2, 0.8, 2) * mask.shape[::-1]
        points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(mask, [points.round().astype(np.int32)], 1)


def _side(mask: Mask, rng: np.random.Generator) -> None:
    """A quarter to six tenths of the picture from one side, as outpainting asks for."""
    turned = np.rot90(mask, int(rng.integers(4)))  # a view: what is written stands in the mask
    turned[: int(rng.uniform(0.25, 0.6) * len(turned))] = 1


def _pixel(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
