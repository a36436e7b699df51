"""Periodic noise banks, built once per process on first use, and crops of them at any size.

A bank holds 256 texels per picture height, so a crop covers the same forms at every resolution.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

PERIOD = 512
TEXELS = 256
_KINDS: dict[str, tuple[int, float, float]] = {
    # kind: (seed, spectral exponent, vertical frequency squeeze: under 1 gives wide forms)
    "smooth": (11, 4.2, 1.0),
    "rough": (12, 3.3, 1.0),
    "wide": (13, 3.8, 0.42),
    "cloud": (14, 3.5, 0.62),
    "ripple": (15, 2.9, 0.2),
}


@cache
def bank(kind: str) -> F32:
    """Zero-mean, unit-variance periodic noise, (512, 512) float32; kinds are those of `_KINDS`."""
    seed, beta, squeeze = _KINDS[kind]
    rng = np.random.default_rng(seed)
    fy = np.fft.fftfreq(PERIOD)[:, None] * squeeze
    fx = np.fft.rfftfreq(PERIOD)[None, :]
    f = np.hypot(fy, fx)
    # The longest waves would make a crop all light or all dark: hold them back.
    f = np.maximum(f, 2.0 / PERIOD)
    amplitude = f ** (-beta / 2)
    amplitude[0, 0] = 0
    spectrum = amplitude * (rng.normal(size=amplitude.shape) + 1j * rng.normal(size=amplitude.shape))
    z = np.fft.irfft2(spectrum, s=(PERIOD, PERIOD))
    return np.asarray((z - z.mean()) / z.std(), dtype=np.float32)


@cache
def _tiled(kind: str) -> F32:
    return np.ascontiguousarray(np.tile(bank(kind), (2, 3)))


def crop_tiled(tiled: F32, rng: np.random.Generator, height: int, width: int) -> F32:
    """A random window of a tiled bank one picture height tall, resized to (height, width[, c])."""
    oy, ox = (int(v) for v in rng.integers(0, PERIOD, 2))
    span = max(1, round(TEXELS * width / height))
    if ox + span > tiled.shape[1]:
        tiled = np.tile(tiled, (1, 1 + span // PERIOD) + (1,) * (tiled.ndim - 2))
    window = tiled[oy : oy + TEXELS, ox : ox + span]
    if (height, width) == (TEXELS, span):
        return window
    mode = cv2.INTER_AREA if height < TEXELS else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(window, (width, height), interpolation=mode), dtype=np.float32)


def field(kind: str, rng: np.random.Generator, height: int, width: int) -> F32:
    """Noise over the picture, (height, width), mean about 0 and standard deviation about 1."""
    return crop_tiled(_tiled(kind), rng, height, width)


def lookup(kind: str, u: F32, v: F32) -> F32:
    """Noise at bank coordinates `u`, `v` (texels, wrapped), arrays of one shape."""
    mapped = cv2.remap(bank(kind), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(mapped, dtype=np.float32)


@cache
def _line(beta: float) -> F32:
    rng = np.random.default_rng(round(beta * 100))
    n = 4096
    f = np.maximum(np.fft.rfftfreq(n), 1.5 / 512)
    amplitude = f ** (-beta / 2)
    amplitude[0] = 0
    z = np.fft.irfft(amplitude * (rng.normal(size=f.size) + 1j * rng.normal(size=f.size)), n)
    return np.asarray((z - z.mean()) / z.std(), dtype=np.float32)


def profile(beta: float, rng: np.random.Generator, x: F32, scale: float = 1.0) -> F32:
    """A 1D noise line at positions `x` (picture heights, any shape); larger `beta` is smoother."""
    line = _line(beta)
    at = (x * (TEXELS * scale) + float(rng.uniform(0, 4096))) % 4096
    return np.asarray(np.interp(at, np.arange(4097), np.append(line, line[0])), dtype=np.float32)


def smoothstep(t: NDArray[np.floating]) -> F32:
    """The cubic ramp from 0 to 1 of `t` clipped to [0, 1]."""
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
