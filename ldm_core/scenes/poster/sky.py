"""Sky: a smooth gradient, stars, sun or moon with its glow, clouds, storm, birds."""

from __future__ import annotations

import cv2
import numpy as np

from ldm_core.scenes.noise import F32
from ldm_core.scenes.poster.palette import WHITE, mix, rgb
from ldm_core.scenes.poster.poster import Poster


def paint_sky(s: Poster, rng: np.random.Generator) -> None:
    """The whole picture down to a little under the horizon."""
    _gradient(s)
    if s.attributes.time == "night" and s.attributes.weather in ("clear", "cloudy"):
        _stars(s, rng)
    if s.attributes.disc != "none":
        _disc(s, rng)
    match s.attributes.weather:
        case "clear":
            if rng.random() < 0.35:
                _streaks(s, rng, 2)
        case "cloudy":
            _clouds(s, rng)
        case "foggy":
            _streaks(s, rng, 3)
        case "stormy":
            _storm(s, rng)


def _gradient(s: Poster) -> None:
    """Zenith, middle, horizon; warmer around the disc.  Made small and enlarged: it has no detail."""
    light, n = s.light, 64
    wide = max(2, round(n * s.width))
    y = np.linspace(0, 1, n, dtype=np.float32)[:, None, None] / np.float32(s.horizon)
    low = np.clip(y * 2, 0, 1)
    sky = light.zenith + (light.middle - light.zenith) * low
    sky = sky + (light.horizon - light.middle) * np.clip(y * 2 - 1, 0, 1)
    sky = np.broadcast_to(sky, (n, wide, 3)).astype(np.float32)
    if s.attributes.disc != "none" or s.attributes.time != "night":
        x, at, _ = s.disc
        dx = np.linspace(0, s.width, wide, dtype=np.float32)[None] - x
        dy = np.linspace(0, 1, n, dtype=np.float32)[:, None] - at
        distance = np.sqrt(dx**2 + (dy * 1.15) ** 2)
        strength = {"clear": 0.62, "cloudy": 0.5, "foggy": 0.4, "stormy": 0.0}[s.attributes.weather]
        strength *= 0.45 if s.attributes.time == "night" else 1.0
        glow = np.exp(-distance / np.float32(0.2))[..., None] * np.float32(strength)
        sky = sky + (mix(light.disc, light.horizon, 0.25) - sky) * glow
    small = (np.clip(sky, 0, 1) * 255 + 0.5).astype(np.uint8)
    cv2.resize(small, s.sheet.image.shape[1::-1], dst=s.sheet.image, interpolation=cv2.INTER_LINEAR)


def _stars(s: Poster, rng: np.random.Generator) -> None:
    colour = mix(s.light.disc, WHITE, 0.4)
    for x, y, size in rng.random((26, 3)):
        at = (x * s.width, y * 0.82 * s.horizon)
        if np.hypot(at[0] - s.disc[0], at[1] - s.disc[1]) < 0.14:
            continue
        r = 0.0022 + 0.0035 * size**3
        s.sheet.polygon(
            [(at[0] - r, at[1]), (at[0], at[1] - r), (at[0] + r, at[1]), (at[0], at[1] + r)], colour, 0
        )


def _disc(s: Poster, rng: np.random.Generator) -> None:
    x, y, r = s.disc
    light, kind = s.light, s.attributes.disc
    label = s.sheet.new("sun" if kind == "sun" else "moon", boxed=True)
    colour = mix(
        light.disc,
        light.haze,
        {"clear": 0.0, "cloudy": 0.06, "foggy": 0.35, "stormy": 0.0}[s.attributes.weather],
    )
    circle = np.stack([f(np.linspace(0, 2 * np.pi, 56)) for f in (np.cos, np.sin)], axis=1)
    if kind != "crescent" and rng.random() < 0.6:
        for reach, alpha in ((2.1, 0.13), (1.5, 0.2)):
            s.sheet.glaze(circle * (r * reach) + (x, y), colour, alpha * (0.7 if kind == "moon" else 1.0))
    if kind == "crescent":
        r *= 1.15
        outer = np.linspace(-1.9, 1.9, 36)
        inner = np.linspace(1.38, -1.38, 30)
        turn = -s.light.side
        shape = np.concatenate(
            [
                np.stack([turn * -np.cos(outer), np.sin(outer)], axis=1),
                np.stack([turn * -(np.cos(inner) * 0.82 - 0.46), np.sin(inner) * 0.965], axis=1),
            ]
        )
        tilt = 0.35 * turn
        shape = shape @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
        s.sheet.polygon(shape * r + (x, y), colour, label)
        return
    s.sheet.polygon(circle * r + (x, y), colour, label)
    if kind == "moon":
        for dx, dy, size in ((-0.3, -0.2, 0.26), (0.28, 0.22, 0.2), (0.1, -0.5, 0.13), (-0.2, 0.45, 0.15)):
            s.sheet.polygon(
                circle * (r * size) + (x + dx * r, y + dy * r), mix(colour, light.middle, 0.22), label
            )


def _streaks(s: Poster, rng: np.random.Generator, count: int) -> None:
    """Long thin clouds low in the sky."""
    label = s.sheet.new("cloud")
    for _ in range(count + int(rng.integers(3))):
        y, long = s.horizon * rng.uniform(0.16, 0.8), rng.uniform(0.14, 0.34)
        x = _beside_disc(s, rng, long, y)
        colour = mix(s.light.horizon, s.light.disc if s.light.dark else WHITE, 0.45)
        _lens(s, x, y, long, 0.012 + 0.03 * long, mix(colour, s.light.middle, rng.uniform(0.1, 0.4)), label)
        _lens(s, x + long * rng.uniform(-0.5, 0.5), y + 0.018, long * 0.6, 0.011, colour, label)


def _lens(s: Poster, x: float, y: float, long: float, tall: float, colour: F32, ident: int) -> None:
    """A flat shape with pointed ends, highest in the middle."""
    t = np.linspace(-1, 1, 25)
    bulge = (1 - t**2) ** 1.3
    upper = np.stack([x + t * long, y - tall * bulge * (1 + 0.2 * np.sin(5 * t))], axis=1)
    lower = np.stack([x + t[::-1] * long, y + 0.35 * tall * bulge], axis=1)
    s.sheet.polygon(np.concatenate([upper, lower]), colour, ident)


def _clouds(s: Poster, rng: np.random.Generator) -> None:
    """Heaped clouds with flat bases in two or three tones."""
    light = s.light
    bright = {"day": WHITE, "night": mix(light.middle, light.horizon, 0.55)}.get(
        s.attributes.time, mix(light.horizon, WHITE, 0.5)
    )
    shade = mix(bright, light.middle, 0.42)
    for k in range(int(rng.integers(3, 6))):
        far = k < 2
        wide = rng.uniform(0.09, 0.16) if far else rng.uniform(0.16, 0.27)
        y = s.horizon * (rng.uniform(0.62, 0.86) if far else rng.uniform(0.2, 0.6))
        x = _beside_disc(s, rng, wide, y)
        _heap(
            s,
            rng,
            x,
            y,
            wide,
            mix(bright, light.horizon, 0.35 if far else 0.0),
            mix(shade, light.horizon, 0.3 if far else 0.0),
        )


def _beside_disc(s: Poster, rng: np.random.Generator, wide: float, y: float) -> float:
    for _ in range(8):
        x = float(rng.uniform(-0.05, 1.05) * s.width)
        clear = abs(x - s.disc[0]) > wide + s.disc[2] * 1.1 or abs(y - s.disc[1] - 0.03) > 0.09 + s.disc[2]
        if s.attributes.disc == "none" or clear:
            return x
    return 0.0 if s.disc[0] > s.width / 2 else s.width


def _heap(
    s: Poster, rng: np.random.Generator, x: float, y: float, wide: float, bright: F32, shade: F32
) -> None:
    """Round lobes on a flat base, the shaded ones behind, lit ones towards the light."""
    label, count = s.sheet.new("cloud"), int(rng.integers(4, 6))
    at = np.linspace(-0.68, 0.68, count) + rng.uniform(-0.06, 0.06, count)
    radii = wide * (0.17 + 0.3 * np.cos(at * 1.7) * rng.uniform(0.6, 1.0, count))
    turn = np.linspace(0, 2 * np.pi, 36)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    base = [
        (x - 0.78 * wide, y - 0.1 * wide),
        (x - 0.7 * wide, y),
        (x + 0.7 * wide, y),
        (x + 0.78 * wide, y - 0.1 * wide),
    ]
    s.sheet.polygon(base, shade, label)
    for tone, shift, size in ((shade, 0.0, 1.0), (bright, 0.16, 0.84)):
        for u, r in zip(at, radii, strict=True):
            shape = circle * (r * size) + (
                x + u * wide + s.light.side * shift * r * 0.6,
                y - r * (0.62 + shift),
            )
            shape[:, 1] = np.minimum(shape[:, 1], y - (0.09 * wide if shift else 0.0))
            s.sheet.polygon(shape, tone, label)


def _storm(s: Poster, rng: np.random.Generator) -> None:
    """Dark banks with scalloped lower edges, lighter towards the horizon; sometimes lightning."""
    light = s.light
    label = s.sheet.new("cloud")
    deep = mix(light.zenith, np.zeros(3, np.float32), 0.3)
    bolt = rng.random() < 0.5
    for k, depth in enumerate((0.72, 0.5, 0.27)):
        base = s.horizon * depth
        colour = mix(mix(light.middle, light.horizon, 0.22), deep, 0.2 + 0.36 * k)
        u = s.x * np.float32(rng.uniform(3.0, 4.2)) + np.float32(rng.uniform(0, 6))
        edge = base + 0.045 * np.abs(np.sin(u * 2)) + 0.02 * np.sin(u * 0.9) + 0.02 * np.sin(u * 0.35)
        shape = np.concatenate([np.stack([s.x, edge], 1), [(s.width, -0.1), (0.0, -0.1)]])
        s.sheet.polygon(shape, colour, label)
        if k == 1 and bolt:
            _lightning(s, rng)


def _lightning(s: Poster, rng: np.random.Generator) -> None:
    x, y = rng.uniform(0.25, 0.75) * s.width, s.horizon * 0.42
    spine = [(x, y)]
    for k in range(4):
        spine.append(
            (
                spine[-1][0] + (0.05 if k % 2 else -0.045) * rng.uniform(0.7, 1.4),
                y + (s.horizon - y) * (k + 1) / 4,
            )
        )
    widths = (0.016, 0.013, 0.01, 0.007, 0.0)
    left = [(px - w / 2, py) for (px, py), w in zip(spine, widths, strict=True)]
    right = [(px + w / 2, py) for (px, py), w in zip(spine, widths, strict=True)]
    s.sheet.polygon(left + right[::-1], rgb((255, 248, 220)), 0)


def paint_birds(s: Poster, rng: np.random.Generator) -> None:
    """A few birds in a loose line, wings as two bows."""
    label = s.sheet.new("bird")
    colour = mix(s.light.tone(rgb((40, 44, 60)), 0.3), s.light.horizon, 0.06)
    away = -1 if s.disc[0] > s.width / 2 else 1
    x0, y0 = (0.5 + away * rng.uniform(0.08, 0.24)) * s.width, s.horizon * rng.uniform(0.18, 0.42)
    for k in range(int(rng.integers(3, 6))):
        x, y = x0 + (k - 2) * 0.085 + rng.normal(0, 0.008), y0 + abs(k - 1.5) * 0.026 + rng.normal(0, 0.014)
        span, lift = rng.uniform(0.028, 0.042), rng.uniform(0.3, 0.55)
        t = np.linspace(0, 1, 8)
        bow = np.stack([x + span * t, y - span * lift * np.sin(np.pi * t**0.8)], 1)
        under = np.stack(
            [
                x + span * t[::-1],
                y + span * 0.22 * (1 - t[::-1]) - span * lift * 0.62 * np.sin(np.pi * t[::-1] ** 0.8),
            ],
            1,
        )
        wing = np.concatenate([bow, under])
        s.sheet.polygon(wing, colour, label)
        s.sheet.polygon(wing * (-1, 1) + (2 * x, 0), colour, label)
