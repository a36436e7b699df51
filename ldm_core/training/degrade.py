"""Degradation for super-resolution: blur, resizing, noise and JPEG in random order, moderately strong.

BSR-light: the paper, Appendix D.6; after "Designing a practical degradation model", arXiv:2103.14006.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from ldm_core.request.raster import Pixels

_RESIZINGS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)


def degrade(picture: Pixels, factor: int, rng: np.random.Generator) -> Pixels:
    """(H, W, 3) -> (H / factor, W / factor, 3), as a camera, a scaler and a file format leave a picture."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    steps = [_blur, _resize, _noise, _jpeg]
    for i in rng.permutation(len(steps)):
        picture = steps[i](picture, rng)
    small = np.asarray(cv2.resize(picture, (width, height), interpolation=_pick_resizing(rng)), np.uint8)
    # Most pictures that a person wants larger were stored as JPEG at the size they have now.
    return _jpeg(small, rng) if rng.random() < 0.5 else small


def _pick_resizing(rng: np.random.Generator) -> int:
    return _RESIZINGS[rng.integers(len(_RESIZINGS))]


def _blur(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Gaussian, isotropic or not; sometimes none."""
    if rng.random() < 0.3:
        return picture
    sigma = rng.uniform(0.2, 2.2)
    other = sigma if rng.random() < 0.5 else rng.uniform(0.2, 2.2)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma, sigmaY=other), np.uint8)


def _resize(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Smaller by up to a half and back to its size: what resizing loses, without changing the size."""
    if rng.random() < 0.4:
        return picture
    height, width = picture.shape[:2]
    share = rng.uniform(0.5, 1.0)
    smaller = (max(1, round(width * share)), max(1, round(height * share)))
    small = cv2.resize(picture, smaller, interpolation=_pick_resizing(rng))
    return np.asarray(cv2.resize(small, (width, height), interpolation=_pick_resizing(rng)), np.uint8)


def _noise(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Gaussian; coloured, or equal in the three channels."""
    if rng.random() < 0.5:
        return picture
    channels = 3 if rng.random() < 0.6 else 1
    noise = rng.normal(0, rng.uniform(1, 10), (*picture.shape[:2], channels))
    return np.asarray((picture + noise).round().clip(0, 255), np.uint8)


def _jpeg(picture: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.3:
        return picture
    quality = int(rng.integers(50, 96))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
