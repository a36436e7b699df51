"""Sky: gradient, stars, sun or moon with glow, clouds with lit and shaded sides, lightning."""

from __future__ import annotations

import cv2
import numpy as np

from . import sprites
from .attributes import CLASS_ID
from .landscape import Landscape
from .light import mix, rgb
from .noise import F32, field, lookup, smoothstep


def paint_sky(c: Landscape, rng: np.random.Generator) -> None:
    """The whole sky, down to a little under the horizon (the land covers the rest)."""
    rows = slice(0, min(c.height, c.row(c.layout.horizon + 0.05) + 1))
    _gradient(c, rng, rows)
    _sun(c, rng, rows)
    _cloud_deck(c, rng, rows)
    if c.attributes.weather == "cloudy":
        _cumulus(c, rng)


def paint_sparks(c: Landscape, rng: np.random.Generator) -> None:
    """Stars and lightning; after the brush strokes, which would scatter such small lights."""
    if c.attributes.time == "night":
        _stars(c, rng)
    if c.attributes.weather == "stormy":
        _lightning(c, rng)


def _gradient(c: Landscape, rng: np.random.Generator, rows: slice) -> None:
    light = c.light
    drift = field("wide", rng, c.height, c.width)[rows]
    t = np.clip(c.y[rows] / c.layout.horizon + 0.035 * drift, 0, 1)
    stops = np.stack([light.zenith, mix(light.zenith, light.middle, 0.55), light.middle, light.horizon])
    table = np.stack(
        [np.interp(np.linspace(0, 1, 256), (0, 0.32, 0.66, 1), stops[:, k]) for k in range(3)], axis=1
    )
    c.image[rows] = table.astype(np.float32)[(t * 255).astype(np.uint8)]


def _stars(c: Landscape, rng: np.random.Generator) -> None:
    count = 60 if c.attributes.weather == "clear" else 14
    where = rng.random((count, 3))
    for u, v, size in where:
        centre = (int(u * c.width * 16), int(v * 0.85 * c.layout.horizon * c.height * 16))
        radius = max(6, int((0.0022 + 0.0035 * size**3) * c.height * 16))
        reach = radius // 16 + 3
        px, py = centre[0] // 16, centre[1] // 16
        y0, x0 = max(0, py - reach), max(0, px - reach)
        patch = np.zeros((min(c.height, py + reach) - y0, min(c.width, px + reach) - x0), np.uint8)
        if patch.size == 0:
            continue
        cv2.circle(patch, (centre[0] - x0 * 16, centre[1] - y0 * 16), radius, 255, -1, cv2.LINE_AA, 4)
        rows, cols = slice(y0, y0 + patch.shape[0]), slice(x0, x0 + patch.shape[1])
        if c.labels[rows, cols].any():  # not before clouds, moon or land
            continue
        c.blend(
            rgb((238, 240, 255)), patch.astype(np.float32) * np.float32((0.5 + 0.4 * size) / 255), rows, cols
        )


def _sun(c: Landscape, rng: np.random.Generator, rows: slice) -> None:
    light, a = c.light, c.attributes
    dx = c.x - light.sun_x * c.aspect
    dy = c.y[rows] - light.sun_y
    d = np.sqrt(dx * dx + dy * dy)
    veiled = {"clear": 1.0, "cloudy": 0.75, "foggy": 0.8, "stormy": 0.35}[a.weather]
    reach, strength = (0.3, 0.62) if light.low else ((0.2, 0.5) if a.time == "day" else (0.15, 0.5))
    wide = np.exp(-d / np.float32(reach)) * np.float32(strength * veiled)
    glow = light.sun if a.time != "night" else mix(light.sun, light.middle, 0.35)
    c.blend(glow, wide, rows)
    r = light.sun_radius
    disc = np.clip((r - d) * c.height + 0.5, 0, 1)
    if a.time == "night" and rng.random() < 0.45:
        bite = np.sqrt((dx + 0.62 * r * light.side) ** 2 + (dy + 0.2 * r) ** 2)
        disc = disc * (1 - np.clip((0.92 * r - bite) * c.height + 0.5, 0, 1))
    label = "moon" if a.time == "night" else "sun"
    ident = c.begin_object(label)
    c.blend(
        mix(light.sun, rgb((255, 255, 255)), 0.25), disc * np.float32(0.35 + 0.65 * veiled), rows, label=label
    )
    c.instances[rows][disc > 0.5] = ident


def _cloud_colours(c: Landscape) -> tuple[F32, F32]:
    """(lit, shaded) colours of the clouds."""
    light, a = c.light, c.attributes
    if a.weather == "stormy":
        dim = {"dawn": 0.95, "day": 1.0, "sunset": 0.85, "night": 0.55}[a.time]
        return mix(rgb((150, 156, 168)) * np.float32(dim), light.horizon, 0.35), mix(
            rgb((58, 64, 82)) * np.float32(dim), light.zenith, 0.3
        )
    if a.time == "day":
        return rgb((255, 252, 244)), mix(rgb((150, 172, 204)), light.middle, 0.3)
    if a.time == "night":
        return mix(light.horizon, light.sun, 0.3), mix(light.middle, light.zenith, 0.45)
    if a.time == "sunset":
        return mix(light.horizon, light.sun, 0.35), mix(light.zenith, light.middle, 0.45)
    return mix(light.horizon, rgb((255, 250, 244)), 0.4), mix(light.middle, light.zenith, 0.6)


def _cloud_deck(c: Landscape, rng: np.random.Generator, rows: slice) -> None:
    """A layer of clouds in perspective: broad overhead, thin bands at the horizon."""
    a, light = c.attributes, c.light
    threshold = {"clear": 1.15, "cloudy": 0.25, "foggy": 0.9, "stormy": -0.65}[a.weather] + float(
        rng.uniform(-0.15, 0.15)
    )
    away = np.float32(1) / (c.layout.horizon * np.float32(1.14) - np.minimum(c.y[rows], c.layout.horizon))
    ou, ov = (float(v) for v in rng.uniform(0, 512, 2))
    squeeze = 34.0 if a.weather != "stormy" else 26.0
    u = (c.x - 0.5 * c.aspect) * away * np.float32(squeeze) + np.float32(ou)
    v = np.broadcast_to(away * np.float32(squeeze * 1.25) + np.float32(ov), u.shape)
    density = lookup("cloud", u, np.ascontiguousarray(v))
    step = np.float32(9.0)
    beyond = lookup("cloud", u + light.side * step, v - step * np.float32(0.9 if not light.low else -0.5))
    mask = smoothstep((density - threshold) * np.float32(1.5))
    fade = np.clip((c.layout.horizon - c.y[rows]) / 0.05, 0, 1)
    # Clouds part before the sun or moon, which tells the time of day.
    gap = ((c.x - light.sun_x * c.aspect) ** 2 + (c.y[rows] - light.sun_y) ** 2) / np.float32(
        (2.0 * light.sun_radius) ** 2
    )
    fade = fade * (1 - np.float32(0.55 if a.weather == "stormy" else 0.9) * np.exp(-(gap**2)))
    lit = np.clip(0.52 + (density - beyond) * 0.75 - 0.16 * (density - threshold), 0, 1)
    bright, dark = _cloud_colours(c)
    near = np.exp(-(np.abs(c.x - light.sun_x * c.aspect) / 0.35)) * np.float32(0.25)
    lit = np.clip(lit + near, 0, 1)[..., None]
    opacity = {"clear": 0.72, "cloudy": 0.92, "foggy": 0.4, "stormy": 0.95}[a.weather]
    c.blend(dark + (bright - dark) * lit, mask * fade * np.float32(opacity), rows, label="cloud")


def _cumulus(c: Landscape, rng: np.random.Generator) -> None:
    """A few heaped clouds above the horizon, the sky's focal shapes."""
    bright, dark = _cloud_colours(c)
    bank = sprites.cumulus()
    for k in range(3):
        sprite = bank[int(rng.integers(len(bank)))]
        tall = float(rng.uniform(0.12, 0.24)) * (1.15 - 0.2 * k)
        x = float(rng.uniform(0, 1)) * c.aspect
        base = c.layout.horizon * float(rng.uniform(0.45, 0.9))
        patch = sprites.place(sprite, c, x, base, tall, tall * 2.1)
        beside = abs(x - c.light.sun_x * c.aspect) > tall + c.light.sun_radius
        if patch is None or not (beside or c.light.low):
            continue
        tone = patch.data[..., 1:2]
        colour = dark + (bright - dark) * tone
        colour += (c.light.haze - colour) * np.float32(0.22)
        c.blend(colour, patch.data[..., 0] * np.float32(0.95), patch.rows, patch.cols, label="cloud")


def _lightning(c: Landscape, rng: np.random.Generator) -> None:
    """One forked bolt, drawn with a glow, in about half of the storms."""
    wanted = rng.random() < 0.55
    xs = np.cumsum(rng.normal(0, 0.03, 9)) + 0.5 + rng.uniform(-0.3, 0.3)
    if not wanted:
        return
    ys = np.linspace(0.08, 1.0, 9) * c.layout.horizon
    points = np.stack([xs * c.width, ys * c.height], axis=1) * 16
    patch = np.zeros((c.height, c.width), np.uint8)
    wide = max(1, round(0.011 * c.height))
    cv2.polylines(patch, [points.astype(np.int32)], False, 255, wide, cv2.LINE_AA, 4)
    glow = cv2.GaussianBlur(patch, (0, 0), 0.02 * c.height).astype(np.float32) / 255
    mask = np.asarray(np.clip(patch / 255 * 0.85 + glow * 0.7, 0, 1), dtype=np.float32)
    mask *= c.labels <= CLASS_ID["cloud"]
    c.blend(rgb((246, 244, 255)), mask, slice(None))
