"""Trees: each a few flat shapes, lit from one side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ldm_core.scenes.noise import F32
from ldm_core.scenes.poster.palette import Colour, mix, rgb
from ldm_core.scenes.poster.poster import Poster

Floats = NDArray[np.floating]

_LEAVES: dict[str, tuple[Colour, ...]] = {
    "spring": ((140, 196, 92), (160, 206, 104), (246, 182, 204), (250, 206, 220)),
    "summer": ((72, 140, 72), (58, 126, 76), (98, 154, 66)),
    "autumn": ((234, 122, 44), (242, 168, 52), (208, 78, 48)),
}
_PINE: dict[str, tuple[Colour, ...]] = {
    "spring": ((58, 130, 96), (74, 142, 92)),
    "summer": ((36, 104, 84), (50, 116, 78)),
    "autumn": ((54, 104, 82), (74, 108, 72)),
    "winter": ((56, 104, 108), (64, 112, 116)),
}
_BIRCH: dict[str, Colour] = {
    "spring": (178, 216, 108),
    "summer": (128, 184, 86),
    "autumn": (250, 200, 70),
    "winter": (176, 160, 160),
}
_SNOW = rgb((248, 251, 255))


def paint_tree(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float = 0.0
) -> None:
    """A tree of the scene's kind that stands at (x, y)."""
    kind, season = s.attributes.trees, s.attributes.season
    _shadow(s, x, y, tall)
    ident = s.sheet.new("tree" if kind == "broadleaf" else kind, boxed=True)
    match kind:
        case "pine":
            _pine(s, rng, x, y, tall, depth, ident)
        case "palm":
            _palm(s, rng, x, y, tall, depth, ident)
        case "birch":
            _birch(s, rng, x, y, tall, depth, ident)
        case _ if season == "winter":
            _bare(s, rng, x, y, tall, depth, ident)
        case _:
            _broadleaf(s, rng, x, y, tall, depth, ident)


def _shadow(s: Poster, x: float, y: float, tall: float) -> None:
    """A flat shadow thrown away from the light."""
    if s.attributes.weather in ("foggy", "stormy"):
        return
    reach = tall * (0.55 if s.attributes.time == "day" else 0.8)
    t = np.linspace(0, 2 * np.pi, 24)
    away = -s.light.side
    shape = np.stack(
        [x + away * reach * 0.36 + 0.44 * reach * np.cos(t), y + 0.004 + 0.035 * tall * np.sin(t)], 1
    )
    s.sheet.glaze(shape, s.light.fill * np.float32(0.45), 0.3)


def _pine(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float, ident: int
) -> None:
    choices = _PINE[s.attributes.season]
    leaf = rgb(choices[int(rng.integers(len(choices)))]) * np.float32(rng.uniform(0.92, 1.08))
    lit, shade = s.light.tone(leaf, 0.95, depth), s.light.tone(leaf * np.float32(0.8), 0.2, depth)
    trunk = s.light.tone(rgb((104, 74, 58)), 0.4, depth)
    tiers, half = int(rng.integers(4, 7)), tall * rng.uniform(0.2, 0.28)
    s.sheet.polygon(_box(x, y - 0.06 * tall, 0.035 * tall, 0.15 * tall), trunk, ident)
    foot, top = y - 0.1 * tall, y - tall
    for k in range(tiers - 1, -1, -1):  # from the lowest up
        a = top + (foot - top) * max(0.0, (k - 0.42) / tiers)
        b = top + (foot - top) * (k + 1) / tiers
        wide, sag = half * ((k + 1) / tiers) ** 0.86, 0.05 * tall * (k + 1) / tiers
        for side in (-1, 1):
            colour = lit if side == s.light.side else shade
            shape = [(x, a), (x + side * wide * 0.52, a + (b - a) * 0.6), (x + side * wide, b + 0.2 * sag)]
            shape += [
                (x + side * wide * 0.62, b - 0.25 * sag),
                (x + side * wide * 0.3, b + 0.2 * sag),
                (x, b - 0.15 * sag),
            ]
            s.sheet.polygon(shape, colour, ident)
            if s.attributes.season == "winter":
                white = s.light.tone(_SNOW, 0.95 if side == s.light.side else 0.4, depth)
                snow = [
                    (x, a),
                    (x + side * wide * 0.52, a + (b - a) * 0.6),
                    (x + side * wide * 0.94, b + 0.1 * sag),
                ]
                snow += [
                    (x + side * wide * 0.5, a + (b - a) * 0.78),
                    (x + side * wide * 0.2, a + (b - a) * 0.62),
                    (x, a + (b - a) * 0.45),
                ]
                s.sheet.polygon(snow, white, ident)


def _box(x: float, y: float, wide: float, tall: float) -> list[tuple[float, float]]:
    """Centred on (x, y)."""
    a, b = wide / 2, tall / 2
    return [(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)]


def _limb(s: Poster, path: Floats, widths: Floats, colour: F32, ident: int) -> None:
    """A tapering line along a path (n, 2)."""
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    half = widths[:, None] / 2
    s.sheet.polygon(np.concatenate([path + normal * half, (path - normal * half)[::-1]]), colour, ident)


def _broadleaf(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float, ident: int
) -> None:
    choices = _LEAVES[s.attributes.season]
    leaf = rgb(choices[int(rng.integers(len(choices)))]) * np.float32(rng.uniform(0.95, 1.05))
    bark = s.light.tone(rgb((98, 70, 58)), 0.45, depth)
    crown = y - 0.62 * tall
    lean = rng.normal(0, 0.02) * tall
    trunk = np.array([(x, y + 0.01 * tall), (x + 0.2 * lean, y - 0.2 * tall), (x + lean, crown)])
    _limb(s, trunk, np.array([0.1, 0.062, 0.045]) * tall, bark, ident)
    for side in (-1, 1):
        fork = np.array(
            [
                (x + 0.3 * lean, y - 0.26 * tall),
                (x + side * 0.1 * tall, y - 0.4 * tall),
                (x + side * 0.18 * tall, crown),
            ]
        )
        _limb(s, fork, np.array([0.04, 0.03, 0.016]) * tall, bark, ident)
    style = rng.random()
    if style < 0.3:  # one round crown
        lobes = np.array([(0.0, 0.0, 0.36), (-0.16, 0.1, 0.25), (0.16, 0.1, 0.25), (0.0, -0.13, 0.25)])
    elif style < 0.75:  # several heaps
        lobes = np.array(
            [
                (-0.24, 0.08, 0.2),
                (0.24, 0.07, 0.21),
                (0.0, 0.06, 0.25),
                (-0.13, -0.12, 0.21),
                (0.14, -0.14, 0.2),
                (0.0, -0.24, 0.16),
            ]
        )
    else:  # wide and flat
        lobes = np.array(
            [
                (-0.3, 0.05, 0.18),
                (0.3, 0.04, 0.18),
                (-0.1, -0.02, 0.24),
                (0.12, -0.04, 0.24),
                (0.0, -0.14, 0.18),
            ]
        )
    lobes = lobes + rng.normal(0, 0.012, lobes.shape)
    tones = (
        (leaf * np.float32(0.78), 0.1, 0.0, 1.0),
        (leaf, 0.62, 0.035, 0.84),
        (mix(leaf, rgb((255, 244, 170)), 0.2), 1.0, 0.075, 0.52),
    )
    for albedo, lit, shift, size in tones:
        colour = s.light.tone(albedo, lit, depth)
        for dx, dy, r in lobes:
            at = (x + lean + (dx + s.light.side * shift) * tall, crown + (dy - shift) * tall)
            s.sheet.ellipse(*at, r * size * tall, r * size * tall * 0.92, colour, ident)


def _birch(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float, ident: int
) -> None:
    """White stems with dark marks, and a light crown."""
    winter = s.attributes.season == "winter"
    leaf = rgb(_BIRCH[s.attributes.season]) * np.float32(rng.uniform(0.95, 1.05))
    white, grey = s.light.tone(rgb((246, 242, 234)), 0.95, depth), s.light.tone(rgb((70, 66, 70)), 0.4, depth)
    stems = [(0.0, rng.uniform(-0.03, 0.03), 1.0)]
    if rng.random() < 0.6:
        stems.append((rng.choice([-1, 1]) * 0.06, rng.choice([-1, 1]) * 0.08, rng.uniform(0.78, 0.92)))
    if not winter:
        lobes = np.array(
            [
                (-0.1, -0.5, 0.13, 0.16),
                (0.11, -0.55, 0.13, 0.17),
                (0.0, -0.68, 0.15, 0.19),
                (-0.06, -0.83, 0.1, 0.14),
                (0.06, -0.88, 0.07, 0.11),
            ]
        )
        lobes[:, :2] += rng.normal(0, 0.014, (len(lobes), 2))
        for albedo, lit, shift, size in ((leaf * np.float32(0.8), 0.25, 0.0, 1.0), (leaf, 0.95, 0.03, 0.72)):
            colour = s.light.tone(albedo, lit, depth)
            for dx, dy, rx, ry in lobes:
                centre = (x + (dx + s.light.side * shift) * tall, y + (dy - 0.5 * shift) * tall)
                s.sheet.ellipse(*centre, rx * size * tall, ry * size * tall, colour, ident)
    for at, lean, high in stems:
        t = np.linspace(0, 1, 7)
        path = np.stack([x + (at + lean * t) * tall, y - t * high * tall * (0.96 if winter else 0.86)], 1)
        _limb(s, path, (0.05 - 0.036 * t) * tall, white, ident)
        for k, u in enumerate((0.1, 0.22, 0.36, 0.5, 0.66)):
            px, py = x + (at + lean * u) * tall, y - u * high * tall * 0.9
            half = (0.025 - 0.017 * u) * tall
            edge = -1 if k % 2 else 1
            s.sheet.polygon(
                [
                    (px + edge * half, py - 0.009 * tall),
                    (px - edge * 0.1 * half, py),
                    (px + edge * half, py + 0.009 * tall),
                ],
                grey,
                ident,
            )
        if winter:
            _twigs(s, path, tall * high, grey, ident)


def _twigs(s: Poster, path: Floats, tall: float, colour: F32, ident: int) -> None:
    """Thin branches to both sides of a stem."""
    for k, u in enumerate((0.4, 0.5, 0.6, 0.7, 0.8, 0.9)):
        at = np.array([np.interp(u, np.linspace(0, 1, len(path)), path[:, i]) for i in (0, 1)])
        side, long = (-1 if k % 2 else 1), 0.24 * (1.25 - u) * tall
        limb = at + long * np.array([(0.0, 0.0), (side * 0.55, -0.5), (side * 0.8, -1.05)])
        _limb(s, limb, np.array([0.02, 0.013, 0.005]) * tall, colour, ident)


def _bare(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float, ident: int
) -> None:
    """A leafless tree that forks four times, with snow on its limbs."""
    bark = s.light.tone(rgb((92, 72, 70)), 0.35, depth)

    def grow(px: float, py: float, angle: float, long: float, wide: float, left: int) -> None:
        bend = angle + rng.normal(0, 0.1)
        middle = (px + 0.5 * long * np.sin(angle), py - 0.5 * long * np.cos(angle))
        end = (middle[0] + 0.5 * long * np.sin(bend), middle[1] - 0.5 * long * np.cos(bend))
        _limb(s, np.array([(px, py), middle, end]), np.array([wide, wide * 0.84, wide * 0.66]), bark, ident)
        if left:
            for side in (-1, 1):
                turn = bend + side * rng.uniform(0.34, 0.6) - 0.12 * bend
                grow(*end, turn, long * rng.uniform(0.66, 0.8), wide * 0.66, left - 1)

    grow(x, y + 0.01 * tall, rng.normal(0, 0.04), 0.3 * tall, 0.085 * tall, 4)


def _palm(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float, ident: int
) -> None:
    """A bowed trunk and a crown of hanging leaves."""
    leaf = rgb((74, 150, 84)) * np.float32(rng.uniform(0.92, 1.08))
    lean = float(rng.choice([-1, 1]) * rng.uniform(0.08, 0.26)) * tall
    t = np.linspace(0, 1, 10)
    path = np.stack([x + lean * t**1.7, y - 0.8 * tall * t], 1)
    wood = s.light.tone(rgb((156, 118, 84)), 0.75, depth)
    _limb(s, path, (0.062 - 0.03 * t) * tall, wood, ident)
    for u in (0.2, 0.35, 0.5, 0.65, 0.8):  # rings
        k = round(u * 9)
        half = (0.031 - 0.015 * u) * tall
        s.sheet.polygon(
            _box(path[k, 0], path[k, 1], 2 * half, 0.012 * tall),
            s.light.tone(rgb((118, 86, 64)), 0.4, depth),
            ident,
        )
    hx, hy = path[-1]
    angles = np.linspace(-2.5, 2.5, 9) + rng.normal(0, 0.07, 9)
    for k in sorted(range(9), key=lambda k: -abs(angles[k])):
        lit = 0.95 if np.sin(angles[k]) * s.light.side > -0.2 else 0.3
        _frond(
            s,
            hx,
            hy,
            angles[k],
            tall * rng.uniform(0.36, 0.44),
            s.light.tone(leaf * np.float32(0.8 + 0.2 * lit), lit, depth),
            ident,
        )
    for dx in (-0.022, 0.018):
        s.sheet.ellipse(
            hx + dx * tall,
            hy + 0.02 * tall,
            0.022 * tall,
            0.022 * tall,
            s.light.tone(rgb((112, 74, 48)), 0.5, depth),
            ident,
        )


def _frond(s: Poster, x: float, y: float, angle: float, long: float, colour: F32, ident: int) -> None:
    """One leaf: it rises a little, hangs over, and is toothed below."""
    t = np.linspace(0, 1, 9)
    side, out = np.sign(np.sin(angle)) or 1.0, abs(np.sin(angle))
    rise = np.cos(angle) * 0.62
    px = x + side * long * (0.35 + 0.65 * out) * t
    py = y - long * (rise * t + 0.34 * t * (1 - t)) + long * (0.5 * t**2.2)
    thick = (
        long * 0.15 * np.sin(np.pi * np.clip(t * 0.92 + 0.08, 0, 1)) * np.where(np.arange(9) % 2, 0.55, 1.0)
    )
    upper = np.stack([px, py - long * 0.02], 1)
    lower = np.stack([px - side * 0.02 * long, py + thick], 1)
    s.sheet.polygon(np.concatenate([upper, lower[::-1]]), colour, ident)
