"""How much the error of each cell of a latent counts.

The weights follow from the conditions alone, so the network that minimises the weighted loss is the same;
one that cannot yet do everything learns first what it was asked for.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_COMMON = 0.1  # share of all pixels; rarer classes count more
_MOST = 8.0  # of a class
_KNOWN = 0.1  # of a cell that is known beside a hole, and only has to be repeated
_HOLE = 8.0  # at most, of a cell in a hole


def class_weights(labels: NDArray[np.uint8]) -> Tensor:
    """(n, H, W) class ids -> (256,) for each id: 1 or more, by the root of its rarity."""
    some = labels[:: max(1, len(labels) // 1000)]
    share = np.bincount(some.ravel(), minlength=256) / some.size
    weights = np.sqrt(_COMMON / np.maximum(share, 1e-9)).clip(1.0, _MOST)
    return torch.from_numpy(np.where(share > 0, weights, 1.0)).float()


def label_weights(labels: Tensor, of_class: Tensor, is_known: Tensor) -> Tensor:
    """Labels (b, H, W), is_known (b, 1, h, w) bool -> (b, 1, h, w): a cell's classes' where known, else 1."""
    of_pixel = of_class[labels.long()][:, None]
    of_cell = F.adaptive_avg_pool2d(of_pixel, (is_known.shape[2], is_known.shape[3]))
    return torch.where(is_known, of_cell, torch.ones_like(of_cell))


def hole_weights(known: Tensor) -> Tensor:
    """Which cells are known, (b, 1, h, w) bool -> (b, 1, h, w): a picture with a hole counts for the hole.

    In sum it counts as one without, unless the hole is very small.
    """
    cells = known[0].numel()
    count = known.sum(dim=(1, 2, 3), keepdim=True)
    inside = ((cells - _KNOWN * count) / (cells - count).clamp(min=1)).clamp(max=_HOLE)
    return torch.where(known, torch.tensor(_KNOWN), inside)
