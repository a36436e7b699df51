"""The scenes that no training uses, and how pictures are made for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ldm_core import scenes
from ldm_core.errors import RequestError
from ldm_core.spec import Spacing
from ldm_core.training import data

_RANGES = {
    "count": (2, 100_000),  # of one picture there is no covariance
    "size": (64, 2048),
    "steps": (1, 1000),
    "guidance_scale": (0, 30),
    "guidance_end": (0, 1),
    "first": (0, 10**6),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How pictures are made: number, side in pixels, sampling steps and their spacing, guidance.

    first: of the unseen scenes, whose numbers are the pictures' seeds too.  look: of the scenes.
    """

    count: int
    size: int
    steps: int
    guidance_scale: float
    guidance_end: float = 1.0
    spacing: Spacing = "trailing"
    first: int = 0
    look: data.Look = "painting"

    def __post_init__(self) -> None:
        """Raises RequestError where a number is out of its range."""
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise RequestError(name, value, f"a number from {low} to {high}")

    @property
    def numbers(self) -> range:
        """Of the scenes."""
        return range(self.first, self.first + self.count)


def unseen_scenes(settings: Settings) -> list[scenes.Scene]:
    return [data.render("unseen", i, settings.size, settings.look) for i in settings.numbers]


def images(rendered: Sequence[scenes.Scene]) -> NDArray[np.uint8]:
    return np.stack([scene.image for scene in rendered])
