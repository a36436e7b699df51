"""Land from far to near: mountains, hills with a forest's edge, the near ground and what lies on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ldm_core.scenes.noise import F32
from ldm_core.scenes.poster.palette import WHITE, Colour, mix, rgb
from ldm_core.scenes.poster.poster import Poster

_ROCK: tuple[Colour, ...] = ((112, 106, 132), (128, 112, 116), (96, 112, 138), (136, 118, 104))
Heights = NDArray[np.floating]

_SNOW = rgb((250, 251, 255))
_GRASS: dict[str, tuple[Colour, ...]] = {
    "spring": ((150, 200, 96), (128, 190, 104), (166, 206, 110)),
    "summer": ((98, 160, 82), (122, 168, 74), (82, 150, 92)),
    "autumn": ((206, 158, 72), (190, 132, 66), (216, 176, 92)),
    "winter": ((170, 166, 138),),
}
_SAND: tuple[Colour, ...] = ((238, 208, 150), (232, 190, 138), (246, 222, 174))
_STONE: tuple[Colour, ...] = ((150, 144, 146), (164, 146, 130), (132, 138, 150))
_FLOWERS: dict[str, tuple[Colour, ...]] = {
    "spring": ((255, 240, 140), (255, 255, 250), (248, 166, 200), (186, 150, 236)),
    "summer": ((236, 76, 66), (255, 214, 80), (252, 250, 246), (122, 122, 226)),
}


def ground_colour(s: Poster, rng: np.random.Generator) -> F32:
    a = s.attributes
    choices = {"meadow": _GRASS[a.season], "sand": _SAND, "rocks": _STONE, "snow": ((246, 249, 255),)}[
        a.ground
    ]
    return rgb(choices[int(rng.integers(len(choices)))])


def paint_mountains(s: Poster, rng: np.random.Generator) -> None:
    """A far range and a nearer one with a summit that rules the picture."""
    rock = rgb(_ROCK[int(rng.integers(len(_ROCK)))])
    far, near = s.sheet.new(_mountain(s)), s.sheet.new(_mountain(s))
    base = s.horizon + 0.02
    for u in np.linspace(-0.05, 1.05, 6) + rng.uniform(-0.07, 0.07, 6):
        tall = rng.uniform(0.09, 0.2)
        _peak(s, rng, u * s.width, base - tall, base, tall * rng.uniform(1.0, 1.4), rock, 0.88, far)
    s.sheet.veil(s.horizon - 0.16, s.horizon + 0.03, s.light.haze, 0.45)
    chief = 0.5 - s.frame * rng.uniform(0.04, 0.24)
    others = [chief + side * rng.uniform(0.26, 0.4) for side in (-1, 1)] + [chief + s.frame * 0.66]
    peaks = [(u, rng.uniform(0.13, 0.24)) for u in others[: int(rng.integers(1, 4))]]
    for u, tall in [*sorted(peaks, key=lambda peak: peak[1]), (chief, rng.uniform(0.27, 0.38))]:
        _peak(s, rng, u * s.width, base - tall, base, tall * rng.uniform(0.85, 1.15), rock, 0.55, near)
    s.sheet.veil(s.horizon - 0.13, s.horizon + 0.03, s.light.haze, 0.62)


def _mountain(s: Poster) -> str:
    return "snowy mountain" if s.attributes.mountains == "snowy" else "mountain"


def _peak(
    s: Poster,
    rng: np.random.Generator,
    x: float,
    top: float,
    base: float,
    half: float,
    rock: F32,
    depth: float,
    ident: int,
) -> None:
    """One summit: a lit and a shaded side along a zigzag ridge, a snow cap with teeth."""
    light, n = s.light, 8
    t = np.linspace(0, 1, n)
    y = top + (base - top) * t
    bow = float(rng.uniform(0.86, 1.12))

    def flank(side: int) -> F32:
        step = rng.uniform(-0.07, 0.07, n) * np.minimum(t * 3, 1)
        return np.asarray(x + side * half * np.maximum(t**bow + step, 0.02 * (t > 0)), np.float32)

    zigzag = np.where(np.arange(n) % 2 == 0, 1, -1) * 0.075 * np.minimum(t * 3, 1)
    ridge = np.asarray(x + half * (-light.side * 0.16 * t + zigzag), np.float32)
    bright, dark = flank(light.side), flank(-light.side)
    lit, shade = light.tone(rock, 0.95, depth), light.tone(rock * np.float32(0.82), 0.12, depth)
    s.sheet.polygon(_outline(bright, ridge, y), lit, ident)
    s.sheet.polygon(_outline(ridge, dark, y), shade, ident)
    if s.attributes.mountains == "snowy":
        cut = int(rng.integers(4, 6))
        white, blue = light.tone(_SNOW, 1.0, depth * 0.75), light.tone(_SNOW, 0.3, depth * 0.8)
        s.sheet.polygon(_cap(bright, ridge, y, cut), white, ident)
        s.sheet.polygon(_cap(ridge, dark, y, cut), blue, ident)
    for side, tone in ((dark, mix(shade, lit, 0.3)), (bright, mix(lit, shade, 0.28))):  # a spur on each side
        k = int(rng.integers(3, 5))
        along = float(rng.uniform(0.35, 0.6))
        spur = [
            (ridge[k] + (side[k] - ridge[k]) * along, y[k]),
            (ridge[k + 2] + (side[k + 2] - ridge[k + 2]) * (along + 0.16), y[-1]),
        ]
        s.sheet.polygon(
            [*spur, (ridge[k + 2] + (side[k + 2] - ridge[k + 2]) * (along - 0.2), y[-1])], tone, ident
        )


def _outline(a: F32, b: F32, y: Heights) -> Heights:
    return np.concatenate([np.stack([a, y], 1), np.stack([b, y], 1)[::-1]])


def _cap(a: F32, b: F32, y: Heights, cut: int) -> Heights:
    """The upper `cut` steps between two lines, ending in teeth."""
    teeth = np.array([[0.75, -0.15], [0.55, 0.6], [0.32, -0.25]])
    low, step = y[cut - 1], y[1] - y[0]
    hem = np.stack([b[cut - 1] + (a[cut - 1] - b[cut - 1]) * (1 - teeth[:, 0]), low + step * teeth[:, 1]], 1)
    return np.concatenate([np.stack([a[:cut], y[:cut]], 1), hem[::-1], np.stack([b[:cut], y[:cut]], 1)[::-1]])


def paint_hills(s: Poster, rng: np.random.Generator, colour: F32) -> None:
    """Two or three rounded lines of far hills; with a forest's edge where trees grow."""
    a, light = s.attributes, s.light
    if a.ground == "sand" and a.water == "none":
        colour = mix(colour, rgb((196, 132, 84)), 0.25)
    elif a.ground in ("sand", "rocks"):
        colour = rgb(_GRASS[a.season][0]) if a.season != "winter" else rgb((206, 214, 224))
    label = s.sheet.new("hill")
    layers: tuple[tuple[float, float], ...] = (
        ((0.085, 0.8), (0.055, 0.6)) if a.mountains == "none" else ((0.045, 0.62),)
    )
    if a.water == "sea":
        layers = layers[:1] if rng.random() < 0.5 else ()
    for rise, depth in layers:
        line = s.swell(rng, s.horizon + 0.012, rise, float(rng.uniform(1.0, 1.6)))
        if a.water == "sea":  # a coast that ends on the open water
            slope = np.clip((s.x / s.width - 0.45) * -s.frame * 4 + 0.2, 0, 1)
            line = s.horizon + 0.012 + (line - s.horizon - 0.012) * slope
        top = light.tone(colour * np.float32(0.9), 0.62, depth)
        s.sheet.band(line, top, mix(top, light.haze, 0.45), label, s.horizon + 0.03)
        wooded = a.tree_count in ("few", "many") and a.trees in ("pine", "broadleaf", "birch")
        if wooded and (depth == 0.6 or (a.mountains != "none" and a.water != "sea")):
            _forest(s, rng, line, colour, depth)
    s.sheet.veil(s.horizon - 0.05, s.horizon + 0.03, light.haze, 0.25)


def _forest(s: Poster, rng: np.random.Generator, line: F32, ground: F32, depth: float) -> None:
    """The edge of a wood far away, one tone."""
    a = s.attributes
    leaf = {
        "spring": (110, 168, 92),
        "summer": (60, 118, 76),
        "autumn": (214, 128, 56) if a.trees != "pine" else (72, 106, 84),
        "winter": (148, 140, 152) if a.trees != "pine" else (86, 118, 124),
    }[a.season]
    colour = s.light.tone(mix(rgb(leaf), ground, 0.15), 0.4, depth * 0.8)
    label = s.sheet.new({"pine": "pine", "birch": "birch"}.get(a.trees, "tree"))
    count = round((34 if a.tree_count == "many" else 16) * s.width)
    reach = (0.0, 1.0) if a.tree_count == "many" else ((0.0, 0.5) if s.frame < 0 else (0.5, 1.0))
    for x in np.sort(rng.uniform(*reach, count)) * s.width:
        tall, y = rng.uniform(0.026, 0.05), s.on(line, x) + 0.006
        if a.trees == "pine":
            s.sheet.polygon([(x - 0.3 * tall, y), (x, y - tall), (x + 0.3 * tall, y)], colour, label)
        else:
            s.sheet.ellipse(x, y - 0.3 * tall, 0.42 * tall, 0.5 * tall, colour, label)


@dataclass(frozen=True, slots=True)
class Ground:
    """The near ground: its upper edge, and the height of the nearest swell, (POINTS,) each."""

    edge: F32
    near: F32


def paint_ground(s: Poster, rng: np.random.Generator, colour: F32) -> Ground:
    """From the shore, or the hills, to the viewer's feet, in three swells, the nearest one darkest."""
    a, light = s.attributes, s.light
    label = s.sheet.new({"rocks": "rock"}.get(a.ground, a.ground))
    water = a.water in ("lake", "sea")
    lean = s.frame * (s.x / s.width - 0.5)  # the ground rises towards the trees
    edge = s.swell(rng, s.shore, 0.035, 1.1) - np.float32(0.05 if water else 0.02) * lean
    depth = 0.18 if water else 0.42
    crest = light.tone(colour, 1.0, depth)
    s.sheet.band(edge, crest, light.tone(colour, 0.72, 0.12), label)
    if not water:
        middle = s.swell(rng, (s.shore + 1) / 2 - 0.05, 0.07, 1.0) - 0.06 * lean
        s.sheet.band(middle, light.tone(colour, 0.96, 0.2), light.tone(colour, 0.6, 0.06), label)
    near = s.swell(rng, 0.93 if water else 0.9, 0.05, 0.9) - np.float32(0.12) * lean
    deep = colour * np.float32(0.96 if a.ground == "snow" else 0.86)
    s.sheet.band(near, light.tone(deep, 0.74), light.tone(deep, 0.4), label)
    return Ground(edge, near)


def paint_details(s: Poster, rng: np.random.Generator, colour: F32, ground: Ground) -> None:
    """What lies on the near ground: dune shadows, drifts, boulders, flowers, tufts of grass."""
    a = s.attributes
    label = s.sheet.new({"rocks": "rock"}.get(a.ground, a.ground))
    match a.ground:
        case "sand":
            _ripples(s, rng, colour, ground, label, 0.36)
        case "snow":
            _ripples(s, rng, colour, ground, label, 0.5)
        case "rocks":
            for k in range(9):
                u = rng.uniform(0, 1)
                y = s.on(ground.edge, u * s.width) + 0.02 + (0.97 - s.on(ground.edge, u * s.width)) * (k / 9)
                boulder(s, rng, u * s.width, y, 0.025 + 0.07 * (k / 9), colour, label)
        case _:
            if a.season in _FLOWERS:
                _flowers(s, rng, ground, label)
            _tufts(s, rng, colour, label)


def _ripples(
    s: Poster, rng: np.random.Generator, colour: F32, ground: Ground, ident: int, lit: float
) -> None:
    """Long bows of shadow on dunes or drifts."""
    for _ in range(3):
        x, long = rng.uniform(0, s.width), rng.uniform(0.16, 0.34)
        y = s.on(ground.edge, x) + (1.0 - s.on(ground.edge, x)) * rng.uniform(0.2, 0.85)
        t = np.linspace(-1, 1, 21)
        bow = 0.03 * np.sin(t * 2.2 + rng.uniform(0, 1))
        thick = 0.028 * (1 - t**2)
        upper = np.stack([x + t * long, y + bow], 1)
        lower = np.stack([x + t[::-1] * long, y + bow[::-1] + thick[::-1]], 1)
        s.sheet.polygon(np.concatenate([upper, lower]), s.light.tone(colour, lit, 0.05), ident)


def boulder(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, stone: F32, ident: int
) -> None:
    """An angular stone in three tones."""
    wide, light = tall * rng.uniform(0.9, 1.3), s.light
    top = [(-0.45, -0.78), (0.0, -1.0), (0.42, -0.72)]
    outline = [(-1.0, 0.0), (-0.86, -0.42), *top, (0.9, -0.36), (1.0, 0.0)]
    jitter = rng.uniform(-0.08, 0.08, (len(outline), 2)) * (1, 0.6)
    p = (np.array(outline) + jitter) * (wide * light.side, tall) + (x, y)
    middle = p[3] + (0.04 * wide * light.side, 0.45 * tall)
    base = np.array([x + 0.1 * wide, y])
    grey = mix(stone, rgb((140, 134, 138)), 0.6)
    s.sheet.polygon(p, light.tone(grey, 0.3, 0.08), ident)
    s.sheet.polygon([middle, p[3], p[4], p[5], p[6], base], light.tone(grey, 0.85, 0.08), ident)
    cap = _SNOW if s.attributes.season == "winter" else mix(grey, WHITE, 0.3)
    s.sheet.polygon([p[2], p[3], p[4], middle], light.tone(cap, 1.0, 0.08), ident)


def _flowers(s: Poster, rng: np.random.Generator, ground: Ground, ident: int) -> None:
    """Blossoms in drifts, larger towards the viewer."""
    choices = _FLOWERS[s.attributes.season]
    for index in rng.choice(len(choices), 2, replace=False):
        colour = s.light.tone(rgb(choices[int(index)]), 0.95)
        for centre in rng.uniform(0.05, 0.95, 3):
            for u, v in zip(rng.normal(0, 0.06, 5), rng.uniform(0.25, 1.0, 5), strict=True):
                x = float(centre + u) * s.width
                edge = s.on(ground.edge, min(max(x, 0), s.width))
                y = edge + (0.985 - edge) * float(v)
                r = 0.004 + 0.008 * float(v) ** 1.5
                s.sheet.ellipse(x, y, r, r * 0.8, colour, ident)


def _tufts(s: Poster, rng: np.random.Generator, colour: F32, ident: int) -> None:
    """Blades at the picture's lower corners, dark against the meadow."""
    dark = s.light.tone(colour * np.float32(0.62), 0.25)
    for u in np.concatenate([rng.uniform(0, 0.3, 5), rng.uniform(0.7, 1, 5), rng.uniform(0.3, 0.7, 1)]):
        x, tall = float(u) * s.width, float(rng.uniform(0.04, 0.085))
        for lean in (-0.5, -0.2, 0.1, 0.35):
            tip = (x + lean * tall, 1.0 - tall * (1 - 0.5 * abs(lean)))
            s.sheet.polygon(
                [(x + 0.1 * lean * tall - 0.006, 1.01), tip, (x + 0.1 * lean * tall + 0.006, 1.01)],
                dark,
                ident,
            )


def headland(s: Poster, colour: F32) -> float:
    """A rocky cape at the side of the building that ends in the water; the height of its top there."""
    light, label, side = s.light, s.sheet.new("rock"), -s.frame
    u = (s.x / s.width - 0.5) * side  # 0.5 at the picture's edge
    end = (s.motif / s.width - 0.5) * side - 0.15
    rise = np.clip((u - end) / 0.2, 0, 1) ** 0.55
    foot = s.horizon + 0.07
    line = np.asarray(foot - rise * (0.085 + 0.007 * np.sin(34 * u)), np.float32)
    stone = rgb((132, 120, 122))
    mirror = np.stack([s.x, 2 * foot - line], 1)
    s.sheet.glaze([*map(tuple, mirror), (s.width, foot), (0.0, foot)], light.tone(stone, 0.1, 0.2), 0.5)
    s.sheet.polygon([*zip(s.x, line), (s.width, foot), (0.0, foot)], light.tone(stone, 0.22, 0.12), label)
    for k in range(5):  # lit faces of the cliff
        at = end + 0.06 + 0.09 * k
        x, wide = (0.5 + side * at) * s.width, 0.03
        top = s.on(line, x) + 0.012
        if at < 0.55:
            s.sheet.polygon(
                [(x - wide, top), (x + 0.6 * wide, top), (x + 0.2 * wide, foot), (x - 0.5 * wide, foot)],
                light.tone(stone, 0.75, 0.12),
                label,
            )
    turf = s.sheet.new({"rocks": "rock"}.get(s.attributes.ground, s.attributes.ground))
    lower = np.minimum(line + rise * (0.016 + 0.008 * np.sin(23 * u)), foot)
    s.sheet.polygon(
        np.concatenate([np.stack([s.x, line - 0.004 * rise], 1), np.stack([s.x, lower], 1)[::-1]]),
        light.tone(colour, 0.9, 0.12),
        turf,
    )
    return s.on(line, s.motif)
