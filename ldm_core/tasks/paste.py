"""Ways of pasting what was drawn into the picture that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from ldm_core.conditioners.membrane import Colours, membrane
from ldm_core.request.raster import Pixels

_BAND = 16  # pixels around the hole whose colours are matched


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
    return drawn + membrane(difference, ~hole)


Paste = Callable[[Colours, Pixels, NDArray[np.bool_]], Colours]
PASTES: Mapping[str, Paste] = {"feather": as_drawn, "match": matched, "gradient": with_gradients}
