"""Ways of pasting what was drawn into the picture that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ldm_core.tasks.base import Pixels

Colours = NDArray[np.float32]  # (h, w, 3) in 0..255

_BAND = 16  # pixels around the hole whose colours are matched
_SWEEPS = 8  # on each level


def as_drawn(drawn: Colours, original: Pixels, hole: NDArray[np.bool_]) -> Colours:
    return drawn


def matched(drawn: Colours, original: Pixels, hole: NDArray[np.bool_]) -> Colours:
    """`drawn` with the mean and spread that the original has around the hole (h, w), for each channel.

    Color Transfer between Images, Reinhard et al. 2001, in RGB.
    """
    size = 2 * _BAND + 1
    around = cv2.dilate(hole.astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool) & ~hole
    if not around.any():
        return drawn
    ours, theirs = drawn[around], original[around].astype(np.float32)
    gain = np.clip((theirs.std(0) + 1) / (ours.std(0) + 1), 0.5, 2)
    return ((drawn - ours.mean(0)) * gain + theirs.mean(0)).astype(np.float32)


def with_gradients(drawn: Colours, original: Pixels, hole: NDArray[np.bool_]) -> Colours:
    """`drawn` with its own gradients in the hole (h, w) and the original's colours on the hole's border.

    Poisson Image Editing, Pérez et al. 2003, eq. 3: to what was drawn is added what the Laplace equation
    makes of its difference from the original on the border.
    """
    difference = original.astype(np.float32) - drawn
    return drawn + _membrane(difference, ~hole)


def _membrane(values: Colours, known: NDArray[np.bool_]) -> Colours:
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
    coarse = _membrane((total / np.maximum(share, 1e-6)[..., None]).astype(np.float32), share > 0)
    found = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(_SWEEPS):
        np.copyto(found, values, where=known[..., None])
        found = cv2.blur(found, (3, 3), borderType=cv2.BORDER_REPLICATE)
    np.copyto(found, values, where=known[..., None])
    return found.astype(np.float32)


Paste = Callable[[Colours, Pixels, NDArray[np.bool_]], Colours]
PASTES: Mapping[str, Paste] = {"feather": as_drawn, "match": matched, "gradient": with_gradients}
