"""The colours of a poster: a few harmonies for each time of day, changed by the weather."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldm_core.scenes.attributes import Attributes
from ldm_core.scenes.noise import F32

Colour = tuple[int, int, int]

# (zenith, middle, horizon) of the sky.
_SKIES: dict[str, tuple[tuple[Colour, Colour, Colour], ...]] = {
    "dawn": (
        ((112, 132, 196), (214, 176, 206), (255, 220, 194)),
        ((84, 142, 182), (192, 198, 208), (255, 212, 184)),
        ((142, 132, 192), (236, 174, 188), (255, 228, 194)),
        ((98, 158, 188), (238, 204, 194), (255, 240, 208)),
        ((104, 110, 176), (240, 158, 168), (255, 206, 168)),
    ),
    "day": (
        ((36, 116, 200), (110, 184, 232), (216, 240, 242)),
        ((20, 132, 158), (92, 192, 198), (230, 242, 220)),
        ((76, 156, 190), (156, 208, 204), (248, 240, 208)),
        ((28, 86, 176), (72, 150, 220), (190, 226, 246)),
        ((60, 150, 214), (150, 208, 238), (240, 246, 236)),
    ),
    "sunset": (
        ((58, 42, 112), (208, 78, 100), (255, 172, 84)),
        ((40, 54, 112), (192, 98, 122), (255, 188, 112)),
        ((104, 36, 80), (230, 88, 62), (255, 194, 92)),
        ((52, 80, 124), (228, 142, 104), (255, 216, 132)),
        ((84, 44, 122), (226, 92, 126), (255, 168, 122)),
        ((22, 88, 110), (226, 156, 96), (255, 204, 112)),
    ),
    "night": (
        ((10, 18, 56), (28, 54, 116), (88, 128, 182)),
        ((16, 16, 52), (50, 44, 110), (124, 100, 166)),
        ((6, 32, 58), (18, 80, 106), (92, 162, 164)),
        ((18, 26, 70), (46, 78, 146), (152, 164, 200)),
    ),
}
_DISC: dict[str, Colour] = {
    "dawn": (255, 244, 214),
    "day": (255, 246, 204),
    "sunset": (255, 226, 140),
    "night": (246, 242, 222),
}
# Factors on a colour where the light falls, and where it does not.
_KEY: dict[str, tuple[float, float, float]] = {
    "dawn": (1.02, 0.9, 0.86),
    "day": (1.04, 1.02, 0.94),
    "sunset": (1.04, 0.74, 0.56),
    "night": (0.46, 0.6, 0.9),
}
_FILL: dict[str, tuple[float, float, float]] = {
    "dawn": (0.62, 0.6, 0.8),
    "day": (0.66, 0.76, 0.88),
    "sunset": (0.52, 0.36, 0.52),
    "night": (0.2, 0.29, 0.54),
}


def rgb(colour: Colour) -> F32:
    """An 8-bit colour as float32 (3,) in [0, 1]."""
    return np.asarray(np.divide(colour, 255), dtype=np.float32)


def mix(a: F32, b: F32, t: float) -> F32:
    return np.asarray(a + (b - a) * np.float32(t), dtype=np.float32)


WHITE = np.ones(3, np.float32)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours are (3,) float32; `fog`: how soon things fade with distance; `side` -1 or 1: the light's."""

    zenith: F32
    middle: F32
    horizon: F32
    disc: F32
    key: F32
    fill: F32
    haze: F32
    fog: float
    side: int
    dark: bool  # lamps burn

    def tone(self, albedo: F32, lit: float = 1.0, depth: float = 0.0) -> F32:
        """A surface `lit` 0..1 at `depth`, 0 near to 1 at the horizon."""
        colour = albedo * mix(self.fill, self.key, lit)
        return mix(colour, self.haze, min(0.94, depth * self.fog))


def make_palette(a: Attributes, rng: np.random.Generator) -> Palette:
    skies = _SKIES[a.time]
    zenith, middle, horizon = (rgb(colour) for colour in skies[int(rng.integers(len(skies)))])
    turn = (1 + rng.normal(0, 0.025, 3)).astype(np.float32)  # no two skies quite alike
    zenith, middle, horizon = zenith * turn, middle * turn, np.minimum(horizon * turn, 1)
    key, fill = np.asarray(_KEY[a.time], np.float32), np.asarray(_FILL[a.time], np.float32)
    haze, fog = mix(middle, horizon, 0.72), 0.72
    if a.weather == "cloudy":
        fog, key = 0.8, key * np.float32(0.97)
    if a.weather == "foggy":
        haze = mix(haze, WHITE * np.float32(haze.mean() * 1.04), 0.55)
        zenith, middle, horizon = mix(zenith, haze, 0.5), mix(middle, haze, 0.72), mix(horizon, haze, 0.8)
        key, fill, fog = mix(key, fill, 0.35), mix(fill, haze, 0.16), 1.32
    if a.weather == "stormy":
        slate = rgb(
            {"dawn": (74, 80, 104), "day": (70, 86, 104), "sunset": (66, 46, 74), "night": (16, 22, 44)}[
                a.time
            ]
        )
        zenith, middle, horizon = (
            mix(zenith, slate, 0.85),
            mix(middle, slate, 0.68),
            mix(horizon, slate, 0.12),
        )
        haze, key = mix(horizon, slate, 0.42), mix(key, fill, 0.4)
    side = -1 if rng.random() < 0.5 else 1
    dark = a.time != "day" or a.weather in ("stormy", "foggy")
    return Palette(zenith, middle, horizon, rgb(_DISC[a.time]), key, fill, haze, fog, side, dark)
