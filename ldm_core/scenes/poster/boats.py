"""Boats on the water, with what the water shows of them."""

from __future__ import annotations

import numpy as np

from ldm_core.scenes.noise import F32
from ldm_core.scenes.poster.palette import Colour, mix, rgb
from ldm_core.scenes.poster.poster import Poster
from ldm_core.scenes.poster.water import streak

_HULLS: tuple[Colour, ...] = ((198, 62, 50), (44, 92, 148), (150, 92, 58), (242, 236, 224), (48, 116, 110))
_SAILS: tuple[Colour, ...] = ((254, 251, 242), (250, 238, 212), (226, 96, 66), (238, 176, 72))


def paint_boat(s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float) -> None:
    """A boat of the scene's kind that floats at (x, y); `tall`: a sailboat's height, a rowboat's length."""
    light = s.light
    hull = rgb(_HULLS[int(rng.integers(len(_HULLS)))])
    turn = float(rng.choice([-1, 1]))
    parts = _sailboat(rng, hull, light.side * turn) if s.attributes.boat == "sailboat" else _rowboat(hull)
    ident = s.sheet.new("boat", boxed=True)
    water = mix(light.middle, light.zenith, 0.35)
    for points, albedo, lit in parts:
        p = np.asarray(points, np.float64) * (turn * tall, tall)
        colour = light.tone(albedo, lit, depth)
        s.sheet.glaze(p * (1, 0.8) + (x, y), mix(colour, water, 0.25), 0.5)
    for v in (0.16, 0.34, 0.55):
        streak(s, x, y + v * tall * 0.75, tall * 0.4, 0.008 * tall, mix(light.horizon, water, 0.4), 0.75)
    for points, albedo, lit in parts:
        s.sheet.polygon(
            np.asarray(points) * (turn * tall, -tall) + (x, y), light.tone(albedo, lit, depth), ident
        )
    streak(
        s, x, y + 0.006 * tall, tall * 0.36, 0.01 * tall, mix(light.horizon, rgb((255, 255, 255)), 0.3), 0.6
    )


Parts = list[tuple[list[tuple[float, float]], F32, float]]  # outline, colour, how lit


def _sailboat(rng: np.random.Generator, hull: F32, light: float) -> Parts:
    """Foot at the water line, y up; one high."""
    sail = rgb(_SAILS[int(rng.integers(len(_SAILS)))])
    other = sail if rng.random() < 0.6 else rgb(_SAILS[int(rng.integers(len(_SAILS)))])
    t = np.linspace(0, 1, 8)
    main = [
        (-0.02 - 0.42 * float(np.sin(v * np.pi / 2)) ** 0.9 * float(v), 0.98 - 0.8 * float(v)) for v in t
    ] + [(-0.02, 0.18)]
    jib = [
        (0.03, 0.9),
        *[(0.03 + 0.33 * float(v) + 0.05 * float(np.sin(np.pi * v)), 0.9 - 0.7 * float(v)) for v in t[1:]],
        (0.03, 0.2),
    ]
    bright = (1.0, 0.5) if light > 0 else (0.5, 1.0)
    return [
        (main, sail, bright[1]),
        (jib, other, bright[0]),
        ([(-0.02, 0.1), (0.02, 0.1), (0.012, 1.0), (-0.012, 1.0)], rgb((104, 76, 60)), 0.6),
        ([(-0.4, 0.14), (0.46, 0.16), (0.32, 0.0), (-0.3, 0.0)], hull, 0.7),
        (
            [(-0.4, 0.14), (0.46, 0.16), (0.43, 0.115), (-0.37, 0.1)],
            mix(hull, rgb((255, 248, 230)), 0.75),
            0.95,
        ),
    ]


def _rowboat(hull: F32) -> Parts:
    wood = rgb((196, 150, 104))
    return [
        (
            [(-0.5, 0.25), (-0.3, 0.2), (0.3, 0.2), (0.52, 0.27), (0.4, 0.14), (-0.4, 0.14)],
            hull * np.float32(0.5),
            0.3,
        ),
        ([(-0.14, 0.17), (0.0, 0.17), (0.0, 0.25), (-0.14, 0.25)], wood, 0.8),
        ([(0.17, 0.17), (0.28, 0.17), (0.28, 0.25), (0.17, 0.25)], wood, 0.8),
        ([(0.1, 0.2), (0.13, 0.19), (-0.42, 0.44), (-0.44, 0.42)], rgb((150, 108, 76)), 0.8),
        ([(-0.5, 0.24), (-0.3, 0.17), (0.3, 0.17), (0.52, 0.26), (0.38, 0.0), (-0.36, 0.0)], hull, 0.75),
        (
            [
                (-0.5, 0.24),
                (-0.3, 0.17),
                (0.3, 0.17),
                (0.52, 0.26),
                (0.5, 0.215),
                (0.3, 0.13),
                (-0.3, 0.13),
                (-0.48, 0.195),
            ],
            mix(hull, rgb((255, 248, 230)), 0.7),
            1.0,
        ),
    ]
