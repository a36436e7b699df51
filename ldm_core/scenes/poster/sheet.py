"""The sheet that a poster is drawn on: flat shapes with clean edges, and what stands where."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ldm_core.scenes.attributes import CLASS_ID, KINDS, Box
from ldm_core.scenes.noise import F32

SUPERSAMPLING = 2
_SHIFT = 4  # fixed-point bits of OpenCV's coordinates
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 40, endpoint=False)) for f in (np.cos, np.sin)], axis=1)

Points = ArrayLike  # (n, 2): x and y


@dataclass(slots=True)
class Sheet:
    """Mutable state of one poster, `SUPERSAMPLING` times its size.

    Coordinates are in picture heights, x right and y down; colours are (3,) float32 RGB in [0, 1].
    `image` (h, w, 3) uint8; `ids` (h, w) uint8, whose class is `names[id]`; `boxed`: ids that have boxes.
    """

    image: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    names: list[str] = field(default_factory=lambda: ["sky"])
    boxed: list[int] = field(default_factory=list)

    @property
    def scale(self) -> int:
        return len(self.image)

    @property
    def width(self) -> float:
        """In picture heights."""
        return self.image.shape[1] / self.image.shape[0]

    def new(self, name: str, boxed: bool = False) -> int:
        """The id of another thing of class `name`."""
        self.names.append(name)
        if boxed:
            self.boxed.append(len(self.names) - 1)
        return len(self.names) - 1

    def row(self, y: float) -> int:
        return int(np.clip(round(y * self.scale), 0, self.scale))

    def polygon(self, points: Points, colour: F32, ident: int) -> None:
        """A filled shape; `ident` 0 changes the picture alone."""
        fixed = self._fixed(points)
        cv2.fillPoly(self.image, [fixed], _bytes(colour), cv2.LINE_AA, _SHIFT)
        if ident:
            cv2.fillPoly(self.ids, [fixed], ident, cv2.LINE_8, _SHIFT)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: F32, ident: int, start: float = 0.0
    ) -> None:
        """With `start` 0 a whole one; pi: its upper half."""
        shape = _CIRCLE if not start else _CIRCLE[len(_CIRCLE) // 2 :]
        self.polygon(shape * (rx, ry) + (x, y), colour, ident)

    def glaze(self, points: Points, colour: F32, alpha: float, ident: int = 0) -> None:
        """A translucent shape."""
        fixed = self._fixed(points)
        low = np.clip(fixed.min(0) // 16 - 2, 0, (self.image.shape[1], self.image.shape[0]))
        high = np.clip(fixed.max(0) // 16 + 3, 0, (self.image.shape[1], self.image.shape[0]))
        if (high <= low).any():
            return
        patch = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(patch, [fixed - low * 16], 255, cv2.LINE_AA, _SHIFT)
        region = self.image[low[1] : high[1], low[0] : high[0]]
        weight = patch[..., None] * np.float32(alpha / 255)
        region[:] = region + (colour * 255 - region) * weight + np.float32(0.5)
        if ident:
            cv2.fillPoly(self.ids, [fixed], ident, cv2.LINE_8, _SHIFT)

    def band(self, line: F32, top: F32, bottom: F32, ident: int, until: float = 1.0) -> None:
        """What lies below `line`, heights (w,) of any number along the width, shaded down to `until`."""
        h, w = self.ids.shape
        heights = np.interp(np.arange(w), np.linspace(0, w - 1, len(line)), line) * h
        first, last = int(np.clip(heights.min(), 0, h)), int(np.clip(heights.max() + 2, 0, h))
        end = self.row(until)
        if first >= end:
            return
        ramp = np.linspace(0, 1, end - first, dtype=np.float32)[:, None]
        colours = (top + (bottom - top) * ramp) * 255
        last = min(last, end)
        rows = np.arange(first, last, dtype=np.float32)[:, None]
        cover = np.clip(rows - heights.astype(np.float32) + 0.5, 0, 1)
        region = self.image[first:last]
        region[:] = region + (colours[: last - first, None] - region) * cover[..., None] + np.float32(0.5)
        self.image[last:end] = (colours[last - first :, None] + 0.5).astype(np.uint8)
        self.ids[first:last][cover > 0.5] = ident
        self.ids[last:end] = ident

    def veil(self, top: float, bottom: float, colour: F32, alpha: float) -> None:
        """Haze that thickens from nothing at `top` to `alpha` at `bottom`, and ends there."""
        first, last = self.row(top), self.row(bottom)
        if last > first:
            weight = np.linspace(0, alpha, last - first, dtype=np.float32)[:, None, None]
            region = self.image[first:last]
            region[:] = region + (colour * 255 - region) * weight + np.float32(0.5)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        at = np.asarray(points, np.float64) * self.scale - 0.5
        return np.round(at * (1 << _SHIFT)).astype(np.int32)

    def picture(self) -> NDArray[np.uint8]:
        h, w = (n // SUPERSAMPLING for n in self.ids.shape)
        return np.asarray(cv2.resize(self.image, (w, h), interpolation=cv2.INTER_AREA), np.uint8)

    def small_ids(self) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.ids[::SUPERSAMPLING, ::SUPERSAMPLING])

    def labels(self) -> NDArray[np.uint8]:
        classes = np.array([CLASS_ID[name] for name in self.names], np.uint8)
        return classes[self.small_ids()]

    def boxes(self) -> tuple[Box, ...]:
        """Of the things as far as they can be seen; specks are left out."""
        ids, out = self.small_ids(), []
        h, w = ids.shape
        for ident in self.boxed:
            mask = ids == ident
            ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if mask.sum() >= max(4, round(0.0005 * h * h)):
                box = (float(xs[0] / w), float(ys[0] / h), float((xs[-1] + 1) / w), float((ys[-1] + 1) / h))
                name = self.names[ident]
                out.append(Box(KINDS.get(name, name), *box))
        return tuple(out)


def _bytes(colour: F32) -> tuple[float, ...]:
    return tuple(min(255.0, max(0.0, 255 * v + 0.5)) for v in colour.tolist())


def new_sheet(height: int, width: int) -> Sheet:
    h, w = height * SUPERSAMPLING, width * SUPERSAMPLING
    return Sheet(np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8))
