"""What lies smoothly between known pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.float32]  # (h, w, 3)

_SWEEPS = 8  # on each level


def membrane(values: Colours, known: NDArray[np.bool_]) -> Colours:
    """`values` where they are known, and between them the solution of the Laplace equation.

    From coarse to fine: each level starts from the coarser one's solution.  At the picture's edge the
    derivative is zero.
    """
    height, width = known.shape
    if known.all() or not known.any() or min(height, width) < 2:
        return values * known[..., None] if known.any() else np.zeros_like(values)
    half = (max(1, width // 2), max(1, height // 2))
    share = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    total = cv2.resize(values * known[..., None], half, interpolation=cv2.INTER_AREA)
    coarse = membrane((total / np.maximum(share, 1e-6)[..., None]).astype(np.float32), share > 0)
    found = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(_SWEEPS):
        np.copyto(found, values, where=known[..., None])
        found = cv2.blur(found, (3, 3), borderType=cv2.BORDER_REPLICATE)
    np.copyto(found, values, where=known[..., None])
    return found.astype(np.float32)
