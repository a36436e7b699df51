"""What every painter of a poster works with: the sheet, the light, and where things stand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ldm_core.scenes.attributes import Attributes
from ldm_core.scenes.noise import F32
from ldm_core.scenes.poster.palette import Palette
from ldm_core.scenes.poster.sheet import Sheet

POINTS = 97  # of a height line across the picture


@dataclass(slots=True)
class Poster:
    """One poster at work.  `horizon` and `shore`, where the near ground begins, are heights; `frame` -1 or 1
    is the side of the nearest trees, and `motif` where the building stands, in picture heights.

    `taken`: (x, half width) of what nothing else should hide.
    """

    sheet: Sheet
    light: Palette
    attributes: Attributes
    horizon: float
    shore: float
    frame: int
    motif: float
    disc: tuple[float, float, float]  # x, y, radius
    taken: list[tuple[float, float]] = field(default_factory=list)

    @property
    def width(self) -> float:
        return self.sheet.width

    @property
    def x(self) -> F32:
        """The places of a height line's points."""
        return np.linspace(0, self.width, POINTS, dtype=np.float32)

    def on(self, line: F32, x: float) -> float:
        """Height of a line at `x`."""
        return float(np.interp(x, self.x, line))

    def swell(self, rng: np.random.Generator, base: float, rise: float, waves: float = 1.0) -> F32:
        """A smooth line of hills between `base` and `rise` above it, (POINTS,)."""
        u = self.x * np.float32(waves)
        phases = rng.uniform(0, 2 * np.pi, 3)
        line = (
            np.sin(2.1 * u + phases[0])
            + 0.55 * np.sin(4.3 * u + phases[1])
            + 0.22 * np.sin(8.1 * u + phases[2])
        )
        return np.asarray(base - rise * (0.5 + 0.29 * line), np.float32)

    def free(self, rng: np.random.Generator, half: float, low: float = 0.12, high: float = 0.88) -> float:
        """A place for something of that half width, away from what is there, and takes it."""
        candidates = rng.uniform(low, high, 14) * self.width

        def room(x: float) -> float:
            return min((abs(x - at) - wide - half for at, wide in self.taken), default=1.0)

        x = next((float(c) for c in candidates if room(float(c)) > 0.01), float(max(candidates, key=room)))
        self.taken.append((x, half))
        return x
