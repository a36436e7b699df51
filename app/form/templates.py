"""Painted landscapes to start from: label maps of rendered scenes, made when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# Name -> the scene's first attributes, in their order (`ldm_core.scenes.ATTRIBUTES`), and its seed.
TEMPLATES: Mapping[str, tuple[tuple[str, ...], int]] = {
    "Lake below mountains": (
        ("day", "cloudy", "summer", "snowy", "lake", "pine", "meadow", "none", "none"), 3
    ),
    "House by a river": (
        ("day", "clear", "spring", "rocky", "river", "broadleaf", "meadow", "house", "none"), 5
    ),
    "Boat on the sea": (("sunset", "cloudy", "summer", "none", "sea", "palm", "sand", "none", "sailboat"), 2),
    "Snowy forest": (("day", "cloudy", "winter", "rocky", "none", "pine", "snow", "house", "none"), 4),
    "Moon over hills": (("night", "clear", "autumn", "none", "none", "birch", "meadow", "none", "none"), 1),
}  # fmt: skip


def template_labels(name: str, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width) ids of `scenes.CLASSES`."""
    from ldm_core.scenes import ATTRIBUTES, Attributes, render

    values, seed = TEMPLATES[name]
    return render(Attributes(**dict(zip(ATTRIBUTES, values))), seed, height, width).labels
