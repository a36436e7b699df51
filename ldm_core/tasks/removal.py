"""Taking something out of a picture at once, without a model."""

from __future__ import annotations

import numpy as np

from ldm_core.pictures.patches import Hole, filled
from ldm_core.pictures.reading import over_white
from ldm_core.request import Remove
from ldm_core.request.raster import WHITE, Pixels
from ldm_core.tasks.filling import laid_over, opacity
from ldm_core.tasks.geometry import Window, around

_SEEN = 96  # pixels around a hole, at least, that it is filled from
_MOST = 1_500_000  # pixels in which it is filled at their own size; some 20 microseconds each


def removed(request: Remove) -> Pixels:
    """(H, W, 3), or (H, W, 4) with transparency: the picture with its hole filled from around it.

    Raises:
        EngineError: see `ldm_core.pictures.patches.patches`.
    """
    picture, mask = request.image.pixels, request.mask.pixels
    hole = mask >= WHITE
    window = seen_from(hole)
    whole = picture.copy()
    part = window.of(whole)
    drawn = filled(over_white(part), window.of(hole), request.fill, _MOST)
    part[:] = laid_over(part, drawn.astype(np.float32), window.of(opacity(mask, request.feather)))
    return whole


def seen_from(hole: Hole) -> Window:
    """The part of a picture from which a hole is filled: as far around it as it is large."""
    box = around(hole, 0)
    return around(hole, max(_SEEN, box.width, box.height))
