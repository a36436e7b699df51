"""Lake, sea and river: a rippled mirror of what stands above, the water's own colour, and glitter."""

from __future__ import annotations

import cv2
import numpy as np

from .landscape import Landscape
from .light import mix, rgb
from .noise import F32, lookup, profile, smoothstep


def river_mask(c: Landscape, rng: np.random.Generator) -> F32:
    """Coverage (h, w) of a river winding from the horizon to the viewer, ever wider."""
    t = np.clip((c.y[:, 0] - c.layout.horizon - 0.012) / (1 - c.layout.horizon), 0, 1)
    bend = float(rng.uniform(0.16, 0.26)) * -c.layout.focus
    phase = float(rng.uniform(-0.4, 0.4))
    # In perspective the meanders crowd towards the horizon.
    swing = bend * np.sin(4.2 * np.sqrt(t) + phase) * (0.35 + 0.65 * t)
    centre = (0.5 + swing - 0.04 * c.layout.focus) * c.aspect
    half = 0.02 + 0.27 * t**1.25 + 0.012 * profile(3.4, rng, c.y[:, 0] * 2) * t
    edge = half[:, None] - np.abs(c.x - centre[:, None])
    start = np.clip((c.y - c.layout.horizon - 0.012) * c.height + 0.5, 0, 1)
    return np.asarray(np.clip(edge * c.height + 0.5, 0, 1) * start, dtype=np.float32)


def paint_water(c: Landscape, rng: np.random.Generator, mask: F32 | None = None) -> None:
    """Water from the horizon down, through `mask` (h, w) for a river."""
    light, a = c.light, c.attributes
    top = c.row(c.layout.horizon)
    rows = slice(top, c.height)
    dy = np.maximum(c.y[rows] - c.layout.horizon, 0)
    rough = {"lake": 0.55, "river": 0.6, "sea": 1.3}[a.water] * (1.5 if a.weather == "stormy" else 1.0)
    ripple = _ripples(c, rng, dy, 1.0)
    swell = _ripples(c, rng, dy, 2.1)
    amp = np.float32(rough * c.height) * (np.float32(0.004) + np.float32(0.026) * dy)
    px = c.x * c.height - 0.5 + amp * ripple * np.float32(0.5)
    py = (c.layout.horizon - dy * np.float32(0.92)) * c.height - 0.5 + amp * swell
    mirror = cv2.remap(
        c.image,
        np.ascontiguousarray(px, np.float32),
        np.clip(py, 0, max(0, top - 1)).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    t = dy / (1 - c.layout.horizon)
    of_water = {"lake": (48, 110, 132), "river": (58, 118, 134), "sea": (30, 108, 140)}[a.water]
    body = rgb(of_water) if a.season != "winter" else mix(rgb(of_water), rgb((92, 128, 156)), 0.45)
    body = mix(body * (light.ambient * 1.1 + light.direct * 0.6), mix(light.middle, light.zenith, 0.4), 0.45)
    keep = (0.14 + 0.3 * t) if a.water != "sea" else (0.4 + 0.25 * t)
    colour = mirror + (body.astype(np.float32) - mirror) * keep[..., None].astype(np.float32)
    # Lit crests take the colour of the sky low down, troughs the water's own.
    crest = smoothstep((swell - 0.55) * np.float32(1.1)) * np.float32(0.3 if a.water != "sea" else 0.42)
    colour += (light.horizon - colour) * crest[..., None]
    trough = smoothstep((-swell - 0.5) * np.float32(1.1)) * np.float32(0.16 * rough)
    colour += (body.astype(np.float32) * 0.8 - colour) * trough[..., None]
    if a.water == "sea":
        foam = smoothstep(
            (swell + 0.35 * ripple - (1.5 if a.weather != "stormy" else 1.0)) * np.float32(2.2)
        ) * np.clip(t * 3, 0, 1)
        colour += (np.clip(light.ambient + light.direct, 0, 1) * 0.97 - colour) * (foam * np.float32(0.8))[
            ..., None
        ]
    _glitter(c, colour, dy, swell)
    rim = np.exp(-dy / 0.018) * np.float32(0.3 * light.haze_amount)
    colour += (light.haze - colour) * np.clip(rim, 0, 0.75)[..., None]
    cover = np.ones(dy.shape, np.float32) * np.ones((1, c.width), np.float32) if mask is None else mask[rows]
    c.blend(colour, cover, rows, label="water")


def _ripples(c: Landscape, rng: np.random.Generator, dy: F32, scale: float) -> F32:
    """Horizontal wavelets in perspective, about unit variance."""
    away = np.float32(1) / (dy + np.float32(0.16))
    ou, ov = (float(v) for v in rng.uniform(0, 512, 2))
    u = (c.x - 0.5 * c.aspect) * away * np.float32(28 * scale) + np.float32(ou)
    v = np.broadcast_to(away * np.float32(34 * scale) + np.float32(ov), u.shape)
    return lookup("ripple", u, np.ascontiguousarray(v))


def _glitter(c: Landscape, colour: F32, dy: F32, swell: F32) -> None:
    """The broken path of light under the sun or moon, in place."""
    light, a = c.light, c.attributes
    strength = {"clear": 0.85, "cloudy": 0.5, "foggy": 0.35, "stormy": 0.1}[a.weather]
    if a.time == "day":
        strength *= 0.5
    across = (c.x - light.sun_x * c.aspect) / (light.sun_radius * np.float32(1.3) + dy * np.float32(0.14))
    path = np.exp(-across * across) * smoothstep((swell + 0.75) * np.float32(0.8)) * np.float32(strength)
    colour += (mix(light.sun, rgb((255, 255, 255)), 0.2) - colour) * path[..., None]
