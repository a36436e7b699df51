"""Sizes of pictures and latents, and parts of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ldm_core.diffusion.samplers import Region
from ldm_core.library.models import ModelInfo
from ldm_core.model_spec import ModelSpec
from ldm_core.request.raster import Pixels

N = TypeVar("N", np.uint8, np.float32, np.bool_)


@dataclass(frozen=True, slots=True)
class Geometry:
    """A picture's size, and the larger one that the network takes.

    What is added lies on the right and at the bottom, repeats the edge, and is cut off again.
    """

    width: int  # pixels
    height: int
    multiple: int
    downsampling: int  # the first stage's f

    @classmethod
    def of(cls, size: tuple[int, int], spec: ModelSpec) -> Geometry:
        """Args: `size` is width and height in pixels."""
        return cls(*size, spec.size_multiple, spec.first_stage.downsampling)

    @property
    def padded(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return _up(self.width, self.multiple), _up(self.height, self.multiple)

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of the latent."""
        width, height = self.padded
        return height // self.downsampling, width // self.downsampling

    @property
    def shown(self) -> Region:
        """The part of the latent that the picture shows."""
        f = self.downsampling
        return slice(0, -(-self.height // f)), slice(0, -(-self.width // f))

    def pad(self, pixels: NDArray[N]) -> NDArray[N]:
        """(H, W) or (H, W, c) as large as the network takes it."""
        width, height = self.padded
        more = [(0, height - self.height), (0, width - self.width), *[(0, 0)] * (pixels.ndim - 2)]
        return np.pad(pixels, more, mode="edge")

    def crop(self, pixels: Pixels) -> Pixels:
        """What was padded, cut off again."""
        return pixels[: self.height, : self.width]


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pixels: NDArray[N]) -> NDArray[N]:
        """A view of the part."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def around(hole: NDArray[np.bool_], margin: int) -> Window:
    """The box around what is True, with a margin, within the picture; all of it where nothing is."""
    height, width = hole.shape
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not rows.size:
        return Window(0, 0, width, height)
    top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    return grown(Window(left, top, right - left, bottom - top), margin, (width, height))


def grown(window: Window, margin: int, size: tuple[int, int]) -> Window:
    """With a margin, within a picture of a width and height."""
    left, top = max(0, window.left - margin), max(0, window.top - margin)
    right = min(size[0], window.left + window.width + margin)
    bottom = min(size[1], window.top + window.height + margin)
    return Window(left, top, right - left, bottom - top)


def native_size(size: tuple[int, int], info: ModelInfo) -> tuple[int, int]:
    """Width and height of about as many pixels as the model's own pictures have, in the shape of `size`."""
    pixels = info.defaults.width * info.defaults.height
    factor = (pixels / (size[0] * size[1])) ** 0.5
    multiple = info.size_multiple
    width, height = (max(1, round(side * factor / multiple)) * multiple for side in size)
    return width, height
