"""The light of one picture: sky colours, sun, ambience, haze; one source for every painter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .attributes import Attributes
from .noise import F32

Colour = tuple[int, int, int]

# Several harmonies a time of day, each (zenith, middle, horizon).
_SKIES: dict[str, tuple[tuple[Colour, Colour, Colour], ...]] = {
    "dawn": (
        ((120, 152, 206), (214, 186, 210), (255, 222, 190)),
        ((136, 172, 208), (240, 204, 198), (255, 234, 198)),
        ((112, 134, 188), (196, 170, 208), (255, 206, 194)),
    ),
    "day": (
        ((44, 112, 200), (110, 174, 230), (206, 230, 238)),
        ((58, 138, 212), (138, 198, 234), (228, 238, 230)),
        ((40, 100, 180), (96, 162, 218), (192, 222, 234)),
    ),
    "sunset": (
        ((72, 66, 136), (214, 102, 106), (255, 180, 84)),
        ((98, 92, 146), (236, 142, 92), (255, 216, 118)),
        ((58, 62, 118), (176, 76, 116), (255, 134, 76)),
        ((70, 104, 146), (232, 158, 112), (255, 196, 96)),
    ),
    "night": (
        ((20, 34, 88), (42, 72, 140), (104, 140, 192)),
        ((18, 44, 88), (40, 90, 138), (112, 166, 190)),
        ((34, 32, 90), (66, 64, 138), (136, 130, 188)),
    ),
}
_SUN: dict[str, Colour] = {
    "dawn": (255, 242, 212),
    "day": (255, 248, 206),
    "sunset": (255, 226, 140),
    "night": (240, 242, 236),
}
# (colour, strength) of the direct and of the ambient light.
_DIRECT: dict[str, tuple[Colour, float]] = {
    "dawn": ((255, 214, 186), 0.86),
    "day": ((255, 244, 216), 0.88),
    "sunset": ((255, 172, 104), 0.98),
    "night": ((156, 186, 236), 0.62),
}
_AMBIENT: dict[str, tuple[Colour, float]] = {
    "dawn": ((152, 150, 194), 0.62),
    "day": ((136, 164, 214), 0.52),
    "sunset": ((126, 96, 146), 0.62),
    "night": ((62, 88, 160), 0.74),
}


def rgb(colour: Colour) -> F32:
    """An 8-bit colour as float32 (3,) in [0, 1]."""
    return np.asarray(np.divide(colour, 255), dtype=np.float32)


def mix(a: F32, b: F32, t: float) -> F32:
    """Linear blend of two colours."""
    return np.asarray(a + (b - a) * np.float32(t), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Light:
    """Colours are (3,) float32 in [0, 1]; `sun_x` is a fraction of the width, `sun_y` of the height."""

    zenith: F32
    middle: F32
    horizon: F32
    sun: F32
    direct: F32
    ambient: F32
    haze: F32
    haze_amount: float
    sun_x: float
    sun_y: float
    sun_radius: float
    side: int  # -1: the sun stands left of the middle, 1: right
    low: bool

    def shade(self, albedo: F32, lit: F32) -> F32:
        """Colour of a surface: `albedo` (..., 3), `lit` (...) in 0..1."""
        return np.asarray(albedo * (self.ambient + self.direct * lit[..., None]), dtype=np.float32)

    def cool(self, colour: F32, amount: F32 | float) -> F32:
        """Take `amount` (0..1, or (..., 1)) of the light's colour out of `colour`: for snow and stone."""
        grey = colour @ np.array([0.32, 0.48, 0.2], np.float32)
        pale = grey[..., None] * np.array([0.97, 1.0, 1.07], np.float32)
        return np.asarray(colour + (pale - colour) * amount, dtype=np.float32)

    def veil(self, colour: F32, depth: float) -> F32:
        """Move a colour (..., 3) towards the haze by `depth` in 0..1 (0 is at the viewer's feet)."""
        return np.asarray(
            colour + (self.haze - colour) * np.float32(min(0.9, depth * self.haze_amount)), dtype=np.float32
        )


def make_light(a: Attributes, rng: np.random.Generator, horizon_y: float) -> Light:
    """Choose a harmony for the time of day and bend it by the weather."""
    skies = _SKIES[a.time]
    tint = rng.normal(0, 0.022, 3).astype(np.float32)
    zenith, middle, horizon = (rgb(c) + tint for c in skies[int(rng.integers(len(skies)))])
    sun = rgb(_SUN[a.time])
    direct = rgb(_DIRECT[a.time][0]) * np.float32(_DIRECT[a.time][1])
    ambient = rgb(_AMBIENT[a.time][0]) * np.float32(_AMBIENT[a.time][1])
    amount = float(rng.uniform(0.85, 1.1))
    haze = mix(horizon, middle, 0.35)
    dim = {"dawn": 0.92, "day": 1.0, "sunset": 0.86, "night": 0.5}[a.time]
    if a.weather == "cloudy":
        direct, ambient = direct * np.float32(0.86), ambient * np.float32(1.1)
        zenith = mix(zenith, middle, 0.2)
    elif a.weather == "foggy":
        pale = rgb((226, 230, 232)) * np.float32(dim)
        haze = mix(haze, pale, 0.5)
        zenith, middle, horizon = mix(zenith, haze, 0.45), mix(middle, haze, 0.6), mix(horizon, haze, 0.7)
        direct, ambient = direct * np.float32(0.66), ambient * np.float32(1.25)
        amount *= 1.75
    elif a.weather == "stormy":
        k = np.float32(0.75 * dim + 0.25)
        zenith, middle = mix(zenith, rgb((66, 76, 96)) * k, 0.78), mix(middle, rgb((104, 114, 130)) * k, 0.68)
        horizon = mix(horizon, rgb((190, 190, 178)) * k, 0.4)
        haze = mix(middle, horizon, 0.35)
        direct, ambient = direct * np.float32(0.62), ambient * np.float32(0.98)
    side = -1 if rng.random() < 0.5 else 1
    low = a.time in ("dawn", "sunset")
    height = float(rng.uniform(0.1, 0.34) if low else rng.uniform(0.68, 0.87))
    return Light(
        zenith=np.clip(zenith, 0, 1),
        middle=np.clip(middle, 0, 1),
        horizon=np.clip(horizon, 0, 1),
        sun=sun,
        direct=direct,
        ambient=ambient,
        haze=np.clip(haze, 0, 1),
        haze_amount=amount,
        sun_x=0.5 + side * float(rng.uniform(0.08, 0.36)),
        sun_y=horizon_y * (1 - height),
        sun_radius=float(rng.uniform(0.036, 0.055) if low else rng.uniform(0.03, 0.045)),
        side=side,
        low=low,
    )
