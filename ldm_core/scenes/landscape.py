"""The picture being painted: float image, label map, instance map, and the scene's geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .attributes import CLASS_ID, Attributes
from .light import Light
from .noise import F32


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand, heights as fractions of the picture's height."""

    horizon: float
    shore: float  # where the foreground starts; equals the horizon without a lake or sea
    focus: int  # -1 or 1: the side of the main group of trees


@dataclass(slots=True)
class Landscape:
    """Mutable state of one rendering.

    `image` (h, w, 3) float32 about [0, 1]; `labels` (h, w) uint8; `instances` (h, w) int16, 0 where no
    object; `names[i]` is the label of instance i + 1. `x` (1, w) and `y` (h, 1) are in picture heights.
    """

    image: F32
    labels: NDArray[np.uint8]
    instances: NDArray[np.int16]
    names: list[str]
    x: F32
    y: F32
    light: Light
    layout: Layout
    attributes: Attributes

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        return int(self.image.shape[1])

    @property
    def aspect(self) -> float:
        """Width in picture heights."""
        return self.width / self.height

    def row(self, y: float) -> int:
        """The first pixel row at or below height `y`, inside the picture."""
        return int(np.clip(round(y * self.height), 0, self.height))

    def below(self, line: F32, rows: slice) -> F32:
        """Antialiased coverage of what lies below `line` (w,), over `rows`: (rows, w) in 0..1."""
        cover = np.clip((self.y[rows] - line[None]) * np.float32(self.height) + np.float32(0.5), 0, 1)
        return np.asarray(cover, dtype=np.float32)

    def blend(self, colour: F32, mask: F32, rows: slice, cols: slice = slice(None), label: str = "") -> None:
        """Paint `colour` ((3,) or (r, c, 3)) through `mask` (r, c); label where it covers over half."""
        region = self.image[rows, cols]
        region += (colour - region) * mask[..., None]
        if label:
            solid = mask > 0.5
            self.labels[rows, cols][solid] = CLASS_ID[label]
            self.instances[rows, cols][solid] = 0

    def begin_object(self, label: str) -> int:
        """Register an object whose box shall be reported; returns its instance id."""
        self.names.append(label)
        return len(self.names)


def new_landscape(height: int, width: int, light: Light, layout: Layout, attributes: Attributes) -> Landscape:
    """An empty landscape of (height, width)."""
    return Landscape(
        image=np.zeros((height, width, 3), np.float32),
        labels=np.zeros((height, width), np.uint8),
        instances=np.zeros((height, width), np.int16),
        names=[],
        x=np.asarray((np.arange(width) + 0.5) / height, dtype=np.float32)[None],
        y=np.asarray((np.arange(height) + 0.5) / height, dtype=np.float32)[:, None],
        light=light,
        layout=layout,
        attributes=attributes,
    )
