"""Small painted forms, drawn once per process at high resolution and resized onto the canvas.

A sprite is (n, m, 3) float32: coverage, tone (0 shaded .. 1 lit, light from the upper left) and wood
(1 where trunk or branch). Its bottom row stands on the ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .landscape import Landscape
from .noise import F32

_COUNT = 10


@dataclass(frozen=True, slots=True)
class Patch:
    """A sprite resized and clipped to the canvas, with the region it covers."""

    data: F32  # (r, c, 3)
    rows: slice
    cols: slice


def place(sprite: F32, c: Landscape, x: float, base: float, tall: float, wide: float) -> Patch | None:
    """Resize `sprite` so that it stands at `x`, `base` (picture heights); None when outside the canvas."""
    h, w = max(2, round(tall * c.height)), max(2, round(wide * c.height))
    # The sprites are drawn for light from the left.
    source = sprite[:, ::-1] if c.light.side > 0 else sprite
    data = cv2.resize(np.ascontiguousarray(source), (w, h), interpolation=cv2.INTER_AREA)
    top, left = round(base * c.height) - h, round(x * c.height - w / 2)
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(c.height, top + h), min(c.width, left + w)
    if y1 <= y0 or x1 <= x0:
        return None
    part = np.asarray(data[y0 - top : y1 - top, x0 - left : x1 - left], dtype=np.float32)
    return Patch(part, slice(y0, y1), slice(x0, x1))


class _Sheet:
    """An empty sprite of (n, m) to draw on, front over back."""

    def __init__(self, n: int, m: int) -> None:
        self.data = np.zeros((n, m, 3), np.float32)
        gy, gx = np.mgrid[:n, :m]
        self.gx, self.gy = gx.astype(np.float32), gy.astype(np.float32)

    def put(self, mask: F32, tone: F32 | float, wood: float = 0.0) -> None:
        self.data[..., 0] = np.maximum(self.data[..., 0], mask)
        self.data[..., 1] += (tone - self.data[..., 1]) * mask
        self.data[..., 2] += (wood - self.data[..., 2]) * mask

    def polygon(self, points: F32, tone: F32 | float, wood: float = 0.0) -> None:
        patch = np.zeros(self.gx.shape, np.uint8)
        cv2.fillPoly(patch, [(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        self.put(np.asarray(patch / 255, dtype=np.float32), tone, wood)

    def limb(
        self, x0: float, y0: float, x1: float, y1: float, w0: float, w1: float, wood: float = 1.0
    ) -> None:
        """A tapering branch, lit on its left."""
        length = max(1e-3, float(np.hypot(x1 - x0, y1 - y0)))
        nx, ny = -(y1 - y0) / length, (x1 - x0) / length
        points = [
            (x0 + nx * w0, y0 + ny * w0),
            (x1 + nx * w1, y1 + ny * w1),
            (x1 - nx * w1, y1 - ny * w1),
            (x0 - nx * w0, y0 - ny * w0),
        ]
        tone = np.clip(0.5 - (self.gx - (x0 + x1) / 2) / (4 * max(w0, 1)), 0.1, 0.9)
        self.polygon(np.asarray(points, np.float32), tone, wood)

    def ball(self, x: float, y: float, r: float, wobble: F32, flat: float = 1.0) -> None:
        """A leafy or cloudy clump: a wobbly disc shaded like a sphere."""
        angle = np.linspace(0, 2 * np.pi, len(wobble), endpoint=False)
        radius = r * (1 + wobble)
        points = np.stack([x + radius * np.cos(angle), y + flat * radius * np.sin(angle)], axis=1)
        tone = np.clip(0.52 - 0.34 * (self.gx - x) / r - 0.42 * (self.gy - y) / (r * flat), 0, 1)
        self.polygon(points.astype(np.float32), tone)

    def finish(self, soften: float) -> F32:
        data = cv2.GaussianBlur(self.data, (0, 0), soften)
        # Keep tone and wood meaningful where the coverage fades out.
        weight = np.maximum(data[..., :1], 1e-3)
        data[..., 1:] = np.clip(data[..., 1:] / weight, 0, 1)
        return np.asarray(data, dtype=np.float32)


def _wobble(rng: np.random.Generator, amount: float) -> F32:
    z = rng.normal(size=20)
    z = z + np.roll(z, 1)
    return (z * amount).astype(np.float32)


@cache
def cumulus() -> tuple[F32, ...]:
    """Heaped clouds with a flat base, about twice as wide as tall."""
    rng = np.random.default_rng(21)
    out = []
    for _ in range(_COUNT):
        s = _Sheet(110, 230)
        peak = rng.uniform(80, 150)
        balls = []
        for _ in range(26):
            x = float(np.clip(rng.normal(peak, 46), 32, 198))
            roof = 84 - 60 * np.exp(-(((x - peak) / 48) ** 2))
            balls.append((x, float(rng.uniform(roof, 90)), float(rng.uniform(11, 21))))
        for x, y, r in sorted(balls, key=lambda b: b[1]):
            s.ball(x, y, r, _wobble(rng, 0.04))
        base = 84 + 4 * np.sin(s.gx / 23 + rng.uniform(0, 6))
        s.data[..., 0] *= np.clip((base + 10 - s.gy) / 14, 0, 1)
        s.data[..., 1] *= np.clip(1.0 - 0.55 * (s.gy - 40) / 50, 0.3, 1)
        out.append(s.finish(2.6))
    return tuple(out)


def _pine(rng: np.random.Generator) -> F32:
    s = _Sheet(200, 110)
    cx = 55.0
    s.limb(cx, 199, cx, 150, 5, 4)
    tiers = int(rng.integers(6, 9))
    tops = np.linspace(4, 152, tiers) + rng.normal(0, 2, tiers)
    for i in range(tiers - 1, -1, -1):
        y0 = float(tops[i]) - 8 * (i > 0)
        y1 = float(tops[i]) + 34
        reach = (9 + 36 * (i + 0.6) / tiers) * float(rng.uniform(0.9, 1.1))
        teeth = 7
        xs = np.linspace(-1, 1, teeth)
        drop = np.where(np.arange(teeth) % 2 == 0, 0.0, -8.0) + rng.normal(0, 2.2, teeth) + 5 * (1 - xs**2)
        edge = np.stack([cx + xs * reach, y1 + drop], axis=1)
        points = np.concatenate([[(cx, y0)], edge[::-1]])
        tone = 0.58 - 0.36 * (s.gx - cx) / reach - 0.34 * ((s.gy - y0) / (y1 - y0) - 0.4)
        s.polygon(points.astype(np.float32), np.clip(tone, 0.02, 1))
    return s.finish(1.2)


def _branches(
    s: _Sheet,
    rng: np.random.Generator,
    x: float,
    y: float,
    angle: float,
    length: float,
    wide: float,
    depth: int,
) -> None:
    x1, y1 = x + length * np.sin(angle), y - length * np.cos(angle)
    s.limb(x, y, x1, y1, wide, wide * 0.62)
    if depth == 0:
        return
    for turn in (-0.5, 0.45) if depth < 3 else (-0.62, 0.02, 0.58):
        bend = angle * 0.85 + turn + float(rng.normal(0, 0.12))
        _branches(
            s, rng, x1, y1, bend, length * float(rng.uniform(0.66, 0.8)), max(1.5, wide * 0.62), depth - 1
        )


def _bare(rng: np.random.Generator) -> F32:
    s = _Sheet(180, 160)
    _branches(s, rng, 80, 180, float(rng.normal(0, 0.05)), 52, 6.5, 4)
    return s.finish(1.0)


def _broadleaf(rng: np.random.Generator) -> F32:
    s = _Sheet(170, 160)
    cx = 80.0
    s.limb(cx, 169, cx + float(rng.normal(0, 3)), 92, 8, 5.5)
    for lean in (-1, 1):
        s.limb(cx, 128, cx + lean * 30, 88, 4.5, 2.5)
    balls = []
    for _ in range(17):
        angle, r = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        size = float(rng.uniform(17, 27)) * (1.1 - 0.3 * r)
        balls.append((cx + 50 * r * np.cos(angle), 68 + 40 * r * np.sin(angle), size))
    # Back and low first: the clumps near the light overlap the shaded ones.
    for x, y, size in sorted(balls, key=lambda b: -(b[1] + 0.35 * b[0])):
        s.ball(float(x), float(y), size, _wobble(rng, 0.055))
    leafy = 1 - s.data[..., 2]
    overall = np.clip(1.12 - 0.45 * (s.gy - 30) / 90 - 0.18 * (s.gx - cx) / 60, 0.45, 1.2)
    s.data[..., 1] = np.clip(s.data[..., 1] * (1 + (overall - 1) * leafy), 0, 1)
    return s.finish(1.3)


def _birch(rng: np.random.Generator, leafy: bool) -> F32:
    s = _Sheet(200, 120)
    stems = [(60.0 + float(rng.normal(0, 4)), float(rng.normal(0, 5)), 6.0)]
    if rng.random() < 0.6:
        stems.append((78.0, float(rng.uniform(4, 12)), 4.6))
    clumps = []
    for _ in range(20):
        t = float(rng.uniform(0, 1))
        clumps.append(
            (
                60 + float(rng.normal(0, 10 + 17 * np.sin(np.pi * t**0.8))),
                18 + 98 * t,
                float(rng.uniform(9, 16)),
            )
        )
    half = len(clumps) // 2
    if leafy:
        for x, y, r in clumps[:half]:
            s.ball(x, y, r, _wobble(rng, 0.07), 1.15)
    for x, lean, wide in stems:
        s.limb(x, 200, x + lean, 30, wide, 1.6)
        count = 7 if not leafy else 4
        for k in range(count):
            y = 150 - 110 * k / count + float(rng.normal(0, 4))
            along = x + lean * (200 - y) / 160
            reach = (18 + 20 * y / 150) * (-1 if k % 2 else 1)
            s.limb(along, y, along + reach, y - 34, 1.9, 0.9, wood=0.0 if not leafy else 1.0)
    if leafy:
        for x, y, r in clumps[half:]:
            s.ball(x, y, r * 0.85, _wobble(rng, 0.07), 1.15)
    return s.finish(1.1)


def _palm(rng: np.random.Generator) -> F32:
    s = _Sheet(200, 170)
    lean = float(rng.choice([-1, 1])) * float(rng.uniform(12, 30))
    t = np.linspace(0, 1, 9)
    xs, ys = 85 - lean * 0.5 + lean * t**1.8, 199 - 140 * t
    for i in range(8):
        s.limb(float(xs[i]), float(ys[i]), float(xs[i + 1]), float(ys[i + 1]), 6 - 0.35 * i, 5.7 - 0.35 * i)
    angles = np.linspace(-2.5, 2.5, 10) + rng.normal(0, 0.08, 10)
    for angle in angles[np.argsort(-np.abs(angles - 0.2))]:
        _frond(s, float(xs[-1]), float(ys[-1]), float(angle), float(rng.uniform(58, 70)))
    return s.finish(1.1)


def _frond(s: _Sheet, x: float, y: float, angle: float, length: float) -> None:
    """One drooping palm leaf; `angle` is from straight up, positive to the right."""
    t = np.linspace(0, 1, 9)
    px = x + length * np.sin(angle) * t
    py = y - length * np.cos(angle) * 0.62 * t + 34 * t**2
    wide = 9.5 * np.sin(np.pi * (0.12 + 0.88 * t)) + 0.6
    top = np.stack([px, py - wide * 0.45], axis=1)
    low = np.stack([px, py + wide], axis=1)
    tone = 0.74 - 0.022 * (s.gy - y) - 0.16 * np.sin(angle)
    s.polygon(np.concatenate([top, low[::-1]]).astype(np.float32), np.clip(tone, 0.12, 1))


@cache
def tree_bank(kind: str) -> tuple[F32, ...]:
    """Sprites of one kind of tree: pine, broadleaf, birch, palm, bare, bare birch."""
    rng = np.random.default_rng(31)
    makers = {
        "pine": _pine,
        "broadleaf": _broadleaf,
        "birch": lambda r: _birch(r, True),
        "bare birch": lambda r: _birch(r, False),
        "bare": _bare,
        "palm": _palm,
    }
    return tuple(makers[kind](rng) for _ in range(_COUNT))


def _hull(points: NDArray[np.float64]) -> F32:
    """The convex outline of `points` (n, 2)."""
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], dtype=np.float32)


@cache
def boulders() -> tuple[F32, ...]:
    """Faceted stones, lit from the upper left."""
    rng = np.random.default_rng(41)
    out = []
    for _ in range(_COUNT):
        s = _Sheet(70, 110)
        angle = np.sort(rng.uniform(0, np.pi, 7))
        rim = np.stack([55 + 50 * np.cos(angle), 64 - rng.uniform(44, 58, 7) * np.sin(angle)], axis=1)
        s.polygon(_hull(np.concatenate([[(106, 69)], rim, [(4, 69)]])), 0.3)
        face = [(58 + rng.normal(0, 5), 24), (66 + rng.normal(0, 6), 69), (4, 69)]
        s.polygon(_hull(np.concatenate([rim[rim[:, 0] < 52], face])), 0.78)
        s.data[..., 1] = np.clip(s.data[..., 1] + 0.25 * (1 - s.gy / 50), 0.1, 1)
        out.append(s.finish(1.6))
    return tuple(out)


@cache
def shadow_blob() -> F32:
    """A soft ellipse for cast shadows, in the coverage channel."""
    s = _Sheet(32, 64)
    d = np.hypot((s.gx - 31.5) / 32, (s.gy - 15.5) / 16)
    s.data[..., 0] = np.clip((1 - d) * 2.2, 0, 1)
    return s.data
