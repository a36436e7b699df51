"""The painterly finish: every brush stroke takes the colour found at its centre.

A bank of overlapping strokes is laid out once; per texel it holds the way to the centre of the stroke
on top, and that stroke's tint. One remap with this field turns a smooth picture into dabs of paint.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .attributes import CLASSES
from .landscape import Landscape
from .noise import F32, PERIOD, crop_tiled, field

# (half length, half width, angle in degrees, spread of the angle); texels are 1/256 of the height.
_LAYERS: tuple[tuple[float, float, float, float], ...] = (
    (9.0, 3.6, 0.0, 24.0),  # sky, ground: broad and flat
    (5.5, 2.6, 62.0, 40.0),  # mountains, hills, trees, meadow: short and steep
)
# How far a stroke may carry colour: 1 in open passages, less where a contour matters.
_FREEDOM: dict[str, float] = {
    "sky": 1.0, "cloud": 0.8, "sun": 0.1, "moon": 0.1, "mountain": 0.6, "hill": 0.7, "water": 0.6,
    "tree": 0.42, "meadow": 0.9, "sand": 0.9, "rock": 0.5, "snow": 0.8, "house": 0.06, "boat": 0.06,
}  # fmt: skip
_STEEP: dict[str, float] = {"mountain": 1, "hill": 1, "tree": 1, "meadow": 1, "rock": 1}


@cache
def _strokes(layer: int) -> F32:
    """Tiled bank of one layer, (2 * 512, 3 * 512, 3): dx and dy in picture heights, and tint."""
    half_length, half_width, angle, spread = _LAYERS[layer]
    rng = np.random.default_rng(51 + layer)
    count = int(3.2 * PERIOD * PERIOD / (4 * half_length * half_width))
    centres = rng.uniform(0, PERIOD, (count, 2))
    angles = angle + rng.uniform(-spread, spread, count)
    ids = np.zeros((PERIOD, PERIOD), np.float32)
    for i in range(count):
        for ox in (-PERIOD, 0, PERIOD):
            for oy in (-PERIOD, 0, PERIOD):
                x, y = centres[i, 0] + ox, centres[i, 1] + oy
                if -12 < x < PERIOD + 12 and -12 < y < PERIOD + 12:
                    axes = (int(half_length * 16), int(half_width * 16))
                    cv2.ellipse(
                        ids,
                        (int(x * 16), int(y * 16)),
                        axes,
                        float(angles[i]),
                        0,
                        360,
                        float(i),
                        -1,
                        cv2.LINE_8,
                        4,
                    )
    index = ids.astype(np.int64)
    gy, gx = np.mgrid[:PERIOD, :PERIOD]
    dx = (centres[index, 0] - gx + PERIOD / 2) % PERIOD - PERIOD / 2
    dy = (centres[index, 1] - gy + PERIOD / 2) % PERIOD - PERIOD / 2
    limit = half_length + 1
    offset = np.clip(np.stack([dx, dy], axis=2), -limit, limit) / 256
    tint = np.clip(rng.normal(0, 1, count), -2, 2)[index]
    out = np.concatenate([offset, tint[..., None]], axis=2).astype(np.float32)
    out[..., 2] = cv2.GaussianBlur(out[..., 2], (0, 0), 1.0)
    return np.ascontiguousarray(np.tile(out, (2, 3, 1)))


def finish(c: Landscape, rng: np.random.Generator) -> None:
    """Turn the smooth picture into strokes, then grade it; in place."""
    h, w = c.height, c.width
    flat = crop_tiled(_strokes(0), rng, h, w)
    steep = crop_tiled(_strokes(1), rng, h, w)
    steepness = np.array([_STEEP.get(name, 0) for name in CLASSES], np.float32)
    stroke = np.where(steepness[c.labels][..., None] > 0, steep, flat)
    freedom = np.array([_FREEDOM.get(name, 0) for name in CLASSES], np.float32)
    # Near small or sharp things the strokes of their surroundings shorten as well, and a little at contours.
    reach = max(1, round(h * 15 / 256)) | 1
    small = max(1, round(h * 9 / 256)) | 1
    freedom_map = cv2.erode(freedom[c.labels], np.ones((reach, reach), np.uint8))
    near = np.ones((small, small), np.uint8)
    contour = (cv2.dilate(c.labels, near) != cv2.erode(c.labels, near)).astype(np.float32)
    freedom_map = cv2.blur(freedom_map * (1 - np.float32(0.68) * contour), (small, small))
    carry = freedom_map * np.float32(h)
    base_x, base_y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    waver = field("rough", rng, h, w) * np.float32(0.0025) * carry
    painted = cv2.remap(
        c.image,
        base_x + stroke[..., 0] * carry + waver,
        base_y + stroke[..., 1] * carry - waver,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    painted *= 1 + np.float32(0.022) * (stroke[..., 2] * freedom_map)[..., None]
    sigma = 0.62 * h / 256
    if sigma > 0.3:
        painted = cv2.GaussianBlur(painted, (0, 0), sigma)
    c.image[:] = _grade(c, np.asarray(painted, dtype=np.float32))


def _grade(c: Landscape, image: F32) -> F32:
    """A gentle shoulder for the lights, a little more colour, and a vignette."""
    grey = image @ np.array([0.3, 0.55, 0.15], np.float32)
    image = grey[..., None] + (image - grey[..., None]) * np.float32(1.12)
    image = np.where(image > 0.85, 0.85 + 0.17 * np.tanh((image - 0.85) / 0.17), image)
    across = (c.x / c.aspect - 0.5) ** 2 + (c.y - 0.5) ** 2
    return np.asarray(image * (1 - np.float32(0.2) * across)[..., None], dtype=np.float32)
