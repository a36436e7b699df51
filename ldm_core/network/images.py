"""Between tensors and pixels."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ldm_core.errors import NotFinite


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8, rounded to the nearest value.

    Raises:
        NotFinite: the image holds NaN or infinity, which would show as black.
    """
    if not bool(torch.isfinite(image).all()):
        raise NotFinite(
            "The decoder produced NaN or infinity: the model's file is damaged, or an adapter is too strong. "
            "Choose another model or a lower strength."
        )
    scaled = ((image.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.movedim(0, -1).cpu().numpy())


def from_pixels(pixels: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 127.5 - 1


def to_image(image: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1] -> a Pillow image.

    Raises:
        NotFinite: as `to_pixels`.
    """
    return Image.fromarray(to_pixels(image))


def to_tensor(image: Image.Image) -> Tensor:
    """A Pillow image -> (3, H, W) float32 in [-1, 1]."""
    return from_pixels(np.asarray(image.convert("RGB")))


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W) or (H, W, c) in another size; unchanged in its own."""
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = width * height < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=method).astype(np.uint8)


def fitted(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, c) in another size; from the middle as much as has its shape, so nothing is distorted."""
    rows, columns = pixels.shape[:2]
    scale = min(columns / width, rows / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (columns - across) // 2, (rows - down) // 2
    return resized(pixels[top : top + down, left : left + across], width, height)
