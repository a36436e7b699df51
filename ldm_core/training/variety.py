"""Varies crops of scenes, so that a network trained on them copes with pictures that are none."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ldm_core.request.raster import Pixels


def vary(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """(s, s, 3) -> (s, s, 3): half of them stay as they are, the others are changed at random."""
    if rng.random() < 0.5:
        return picture
    turned = np.rot90(picture, int(rng.integers(4)))
    x = turned[:, ::-1] if rng.random() < 0.5 else turned
    if rng.random() < 0.4:
        x = _denser(x)
    if rng.random() < 0.4:
        x = x[:, :, rng.permutation(3)]
    y = x.astype(np.float32) / 255.0
    if rng.random() < 0.5:
        y = _texture(y, rng)
    if rng.random() < 0.5:
        y = y.clip(0, 1) ** np.float32(rng.uniform(0.6, 1.6))  # texture may have left the range
    if rng.random() < 0.3:  # towards grey
        y += np.float32(rng.uniform(0.3, 1.0)) * (y.mean(axis=2, keepdims=True) - y)
    return np.asarray((y.clip(0, 1) * 255 + 0.5), np.uint8)


def _denser(x: Pixels) -> Pixels:
    """Half the size, with mirrored neighbours: twice as much detail in as many pixels."""
    half = np.asarray(cv2.resize(np.ascontiguousarray(x), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    row = np.concatenate([half, half[:, ::-1]], axis=1)
    return np.asarray(np.concatenate([row, row[::-1]], axis=0), np.uint8)


def _texture(y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Light and dark of a fractal pattern, from grain to folds, stretched along an axis or not."""
    side = len(y)
    fy, fx = np.fft.fftfreq(side)[:, None] * rng.uniform(0.4, 2.5), np.fft.rfftfreq(side)[None]
    amplitude = np.maximum(np.hypot(fy, fx), 1 / side) ** -rng.uniform(0.5, 1.8)
    phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
    pattern = np.fft.irfft2(amplitude * phases, (side, side))
    pattern *= rng.uniform(0.02, 0.09) / pattern.std()
    return y + pattern[:, :, None].astype(np.float32)
