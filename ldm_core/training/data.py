"""Scenes by number, and pictures as arrays and tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldm_core import scenes

# A split is the first entry of every seed, so no picture of one split stands in another.
SPLITS = {"train": 0, "unseen": 1, "judge": 2}
Look = Literal["painting", "poster"]


def scene_rng(split: str, index: int) -> np.random.Generator:
    return np.random.default_rng([SPLITS[split], index])


def attributes(split: str, index: int, look: Look = "painting") -> scenes.Attributes:
    """The attributes of scene `index`, without rendering it."""
    return scenes.sample_attributes(scene_rng(split, index), look)


def render(split: str, index: int, size: int, look: Look = "painting") -> scenes.Scene:
    rng = scene_rng(split, index)
    return scenes.render(scenes.sample_attributes(rng, look), int(rng.integers(2**31)), size, size)


def to_tensor(batch: NDArray[np.uint8]) -> Tensor:
    """(b, h, w, 3) uint8 -> (b, 3, h, w) float32 in [-1, 1], channels last."""
    images = torch.tensor(np.ascontiguousarray(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return images.contiguous(memory_format=torch.channels_last)


def to_pictures(images: Tensor) -> NDArray[np.uint8]:
    """(b, 3, h, w) in [-1, 1] -> (b, h, w, 3) uint8."""
    scaled = ((images.detach().float().clamp(-1, 1) + 1) * 127.5).round()
    array: NDArray[np.uint8] = scaled.permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)
    return array


def sheet(batch: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """(n, h, w, 3) -> one picture, row by row; n has to be a multiple of `columns`."""
    rows = [np.concatenate(list(batch[i : i + columns]), axis=1) for i in range(0, len(batch), columns)]
    return np.concatenate(rows, axis=0)


def random_crops(
    images: NDArray[np.uint8], count: int, crop: int, align: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """(count, crop, crop, 3): crops at multiples of `align`, half of them mirrored."""
    size = images.shape[1]

    def crops() -> Iterator[NDArray[np.uint8]]:
        for _ in range(count):
            picture = images[rng.integers(len(images))]
            y, x = rng.integers(0, (size - crop) // align + 1, 2) * align
            piece = picture[y : y + crop, x : x + crop]
            yield piece[:, ::-1] if rng.random() < 0.5 else piece

    return np.stack(list(crops()))
