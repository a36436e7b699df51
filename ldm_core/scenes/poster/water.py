"""Water: what is above it seen upside down, ripples, light on it; rivers."""

from __future__ import annotations

import numpy as np

from ldm_core.scenes.noise import F32, smoothstep
from ldm_core.scenes.poster.palette import WHITE, mix, rgb
from ldm_core.scenes.poster.poster import Poster


def paint_water(s: Poster, rng: np.random.Generator) -> None:
    """A lake or the sea, from the horizon to the lower edge; the near ground covers the rest."""
    sheet, light = s.sheet, s.light
    first, end = sheet.row(s.horizon), sheet.row(min(1.0, s.shore + 0.12))
    n = min(end - first, first)
    mirror = sheet.image[first - n : first][::-1].astype(np.float32)
    depth = np.linspace(0, 1, n, dtype=np.float32)[:, None, None]
    lake = s.attributes.water == "lake"
    body = mix(light.zenith, rgb((30, 110, 140)) if s.attributes.time == "day" else light.zenith, 0.4)
    far, near = mix(light.horizon, light.middle, 0.35), mix(body, light.middle, 0.3)
    colour = (far + (near - far) * depth) * 255
    share = (0.34 + 0.2 * depth) if lake else (0.62 + 0.3 * depth)
    if s.attributes.weather in ("foggy", "stormy"):
        share = share + np.float32(0.1)
    sheet.image[first : first + n] = mirror + (colour - mirror) * share
    sheet.ids[first:end] = sheet.new("water")
    if end > first + n:
        sheet.image[first + n : end] = (near * 255).astype(np.uint8)
    _line_of_light(s)
    _ripples(s, rng, 7 if lake else 12, lake)
    if s.attributes.disc != "none":
        _glitter(s, rng)


def _line_of_light(s: Poster) -> None:
    """A bright thread where water and land meet."""
    y = s.horizon
    s.sheet.glaze(
        [(0, y), (s.width, y), (s.width, y + 0.006), (0, y + 0.006)], mix(s.light.horizon, WHITE, 0.3), 0.5
    )


def streak(s: Poster, x: float, y: float, long: float, tall: float, colour: F32, alpha: float) -> None:
    """A long thin lens."""
    t = np.linspace(-1, 1, 15)
    bulge = tall * (1 - t**2)
    upper = np.stack([x + t * long, y - bulge], 1)
    lower = np.stack([x + t[::-1] * long, y + bulge], 1)
    s.sheet.glaze(np.concatenate([upper, lower]), colour, alpha)


def _ripples(s: Poster, rng: np.random.Generator, count: int, calm: bool) -> None:
    pale, deep = mix(s.light.horizon, WHITE, 0.35), mix(s.light.zenith, np.zeros(3, np.float32), 0.15)
    for k in range(count):
        v = (k + 0.6) / count
        y = s.horizon + (s.shore + 0.04 - s.horizon) * v**1.2
        long = (0.06 + 0.16 * v) * rng.uniform(0.6, 1.3)
        dark = not calm and k % 2 == 0
        streak(
            s,
            rng.uniform(0, s.width),
            y,
            long,
            0.0025 + 0.004 * v,
            deep if dark else pale,
            0.3 if dark else 0.36,
        )


def _glitter(s: Poster, rng: np.random.Generator) -> None:
    """The path of light below sun or moon: dashes that widen towards the viewer."""
    x, _, r = s.disc
    colour = mix(s.light.disc, WHITE, 0.2)
    for k in range(9):
        v = (k + 0.4) / 9
        y = s.horizon + 0.008 + (s.shore - s.horizon) * v
        long = r * (0.45 + 0.9 * v) * rng.uniform(0.6, 1.1)
        streak(s, x + r * rng.uniform(-0.25, 0.25), y, long, 0.003 + 0.005 * v, colour, 0.62 - 0.25 * v)


def surf(s: Poster, edge: F32) -> None:
    """Foam along the sea's shore, and the wet ground before it."""
    label = s.sheet.new("water")
    foam = s.light.tone(WHITE, 0.95, 0.1)
    wave = 0.012 * np.sin(s.x * 9.0 + 1.0).astype(np.float32)
    for lift, thick, alpha in ((0.03, 0.007, 0.55), (0.008, 0.014, 0.95)):
        upper, lower = edge - lift + wave, edge - lift + wave + thick
        shape = np.concatenate([np.stack([s.x, upper], 1), np.stack([s.x, lower], 1)[::-1]])
        s.sheet.glaze(shape, foam, alpha, label)


class River:
    """A winding river: centre and half width at each height, (n,)."""

    def __init__(self, s: Poster, rng: np.random.Generator) -> None:
        top = s.horizon + 0.022
        self.y = np.linspace(top, 1.02, 60).astype(np.float32)
        t = (self.y - top) / (1.02 - top)
        bend = 0.19 * np.sin(t**0.75 * rng.uniform(4.6, 5.6) + rng.uniform(-0.3, 0.3)) * smoothstep(t * 2.2)
        start = 0.5 + s.frame * 0.1
        self.x = (start - s.frame * (0.12 * t + bend * np.float32(0.9))) * s.width
        self.half = (0.014 + 0.21 * t**1.25).astype(np.float32)

    def at(self, y: float) -> tuple[float, float]:
        """Centre and half width."""
        return float(np.interp(y, self.y, self.x)), float(np.interp(y, self.y, self.half))

    def outline(self, grow: float = 0.0) -> F32:
        wide = self.half * np.float32(1 + grow) + np.float32(grow * 0.02)
        left, right = np.stack([self.x - wide, self.y], 1), np.stack([self.x + wide, self.y], 1)
        return np.asarray(np.concatenate([left, right[::-1]]), np.float32)


def paint_river(s: Poster, rng: np.random.Generator, river: River, bank: F32) -> None:
    """The sky's colours between banks of a darker tone."""
    light, label = s.light, s.sheet.new("water")
    s.sheet.polygon(river.outline(0.16), light.tone(bank * np.float32(0.74), 0.35, 0.12), 0)
    # Cooler than any ground, or it would pass for a road.
    blue = mix(light.tone(rgb((86, 160, 200)), 0.85), light.zenith, 0.35)
    if s.attributes.time in ("dawn", "sunset"):
        blue = mix(blue, rgb((92, 150, 196)), 0.6)
    far, near = mix(mix(light.horizon, WHITE, 0.2), blue, 0.3), mix(light.middle, blue, 0.7)
    count = 22
    for k in range(count):  # strips of slowly changing colour: a polygon has one
        low, high = (len(river.y) - 1) * k // count, (len(river.y) - 1) * (k + 1) // count + 1
        part = slice(low, high)
        left = np.stack([river.x[part] - river.half[part], river.y[part]], 1)
        right = np.stack([river.x[part] + river.half[part], river.y[part]], 1)
        s.sheet.polygon(np.concatenate([left, right[::-1]]), mix(far, near, (k / (count - 1)) ** 0.8), label)
    for v in (0.35, 0.55, 0.72, 0.88):
        y = s.horizon + (1 - s.horizon) * v
        x, half = river.at(y)
        streak(
            s,
            x + half * rng.uniform(-0.4, 0.4),
            y,
            half * 0.5,
            0.002 + 0.004 * v,
            mix(light.horizon, WHITE, 0.4),
            0.5,
        )
