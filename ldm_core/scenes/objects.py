"""Things that stand in the landscape: trees, house, boat, boulders, flowers, in order of distance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from . import sprites
from .attributes import CLASS_ID
from .landscape import Landscape
from .light import Colour, mix, rgb
from .noise import F32

_LEAVES: dict[str, tuple[Colour, ...]] = {
    "spring": ((156, 206, 92), (138, 196, 86), (246, 186, 204), (252, 226, 232)),
    "summer": ((84, 148, 66), (66, 130, 62), (98, 152, 58)),
    "autumn": ((234, 126, 44), (240, 172, 52), (208, 82, 46)),
    "winter": ((150, 132, 128),),
}
_BIRCH: dict[str, tuple[Colour, ...]] = {
    "spring": ((176, 218, 104),),
    "summer": ((124, 178, 80),),
    "autumn": ((250, 202, 66), (246, 184, 54)),
    "winter": ((170, 150, 144),),
}
_PINE: dict[str, Colour] = {
    "spring": (66, 130, 88),
    "summer": (44, 108, 74),
    "autumn": (58, 104, 70),
    "winter": (62, 108, 104),
}
_FLOWERS: dict[str, tuple[Colour, ...]] = {
    "spring": ((255, 236, 120), (255, 255, 250), (240, 150, 190), (176, 140, 230)),
    "summer": ((232, 72, 62), (255, 208, 64), (250, 250, 244), (110, 110, 220)),
}


def _stand(c: Landscape, patch: sprites.Patch, colour: F32, label: str) -> None:
    """Blend a coloured sprite (r, c, 3) and register it as an object."""
    ident = c.begin_object(label)
    mask = patch.data[..., 0]
    c.blend(colour, mask, patch.rows, patch.cols, label=label)
    c.instances[patch.rows, patch.cols][mask > 0.5] = ident


def _depth(c: Landscape, base: float) -> float:
    """Haze depth of something that stands at height `base`: 0 at the lower edge, 0.5 at the horizon."""
    return float(0.5 * np.clip((1 - base) / (1 - c.layout.horizon), 0, 1) ** 1.5)


def _shadow(c: Landscape, x: float, base: float, wide: float) -> None:
    """A soft shadow on the ground, thrown away from the sun, long when the sun is low."""
    stretch = 2.0 if c.light.low else 1.2
    blob = sprites.shadow_blob()
    reach = wide * stretch
    patch = sprites.place(blob, c, x - c.light.side * reach * 0.32, base + wide * 0.1, wide * 0.2, reach)
    if patch is None:
        return
    strength = {"clear": 0.42, "cloudy": 0.28, "foggy": 0.14, "stormy": 0.25}[c.attributes.weather]
    on_ground = c.labels[patch.rows, patch.cols] >= CLASS_ID["meadow"]
    region = c.image[patch.rows, patch.cols]
    tint = mix(rgb((60, 70, 120)), c.light.ambient, 0.4)
    region += (region * tint - region) * (patch.data[..., 0] * strength * on_ground)[..., None]


def _tree(c: Landscape, rng: np.random.Generator, x: float, base: float, tall: float) -> None:
    kind, season = c.attributes.trees, c.attributes.season
    bare = season == "winter" and kind in ("broadleaf", "birch")
    bank = sprites.tree_bank({"broadleaf": "bare", "birch": "bare birch"}[kind] if bare else kind)
    pick, wobble = int(rng.integers(len(bank))), rng.normal(0, 0.02, 3).astype(np.float32)
    choices = (_PINE[season],) if kind == "pine" else (_BIRCH if kind == "birch" else _LEAVES)[season]
    leaf = rgb(choices[int(rng.integers(len(choices)))]) + wobble
    if kind == "palm":
        leaf = rgb((96, 158, 72)) + wobble
    ratio = {"pine": 0.55, "broadleaf": 0.94, "birch": 0.6, "palm": 0.85}[kind] * float(rng.uniform(0.9, 1.1))
    patch = sprites.place(bank[pick], c, x, base, tall, tall * ratio)
    if patch is None:
        return
    _shadow(c, x, base, tall * ratio * 0.8)
    tone, wood = patch.data[..., 1], patch.data[..., 2]
    bark = (
        rgb((240, 236, 226)) if kind == "birch" else rgb((122, 88, 64) if kind != "palm" else (150, 116, 84))
    )
    warm = mix(leaf, rgb((255, 226, 120)), 0.22)
    blossom = kind == "broadleaf" and season == "spring" and float(leaf[0]) > float(leaf[1])
    cool = leaf * rgb((206, 150, 206) if blossom else (150, 180, 200))
    foliage = cool + (warm - cool) * tone[..., None]
    if season == "winter":
        snow = np.clip((tone - (0.56 if kind == "pine" else 0.7)) * 4, 0, 1) * np.float32(
            0.25 if kind == "birch" else 1
        )
        foliage = foliage + (rgb((246, 249, 254)) - foliage) * (snow * 0.9)[..., None]
        wood = wood * (1 - 0.55 * snow)
    albedo = foliage + (bark - foliage) * wood[..., None]
    lit = np.clip((0.4 if blossom else 0.12) + 0.98 * tone, 0, 1).astype(np.float32)
    colour = c.light.veil(c.light.shade(albedo.astype(np.float32), lit), _depth(c, base))
    _stand(c, patch, colour, "tree")


def _boulder(c: Landscape, rng: np.random.Generator, x: float, base: float, tall: float) -> None:
    bank = sprites.boulders()
    patch = sprites.place(
        bank[int(rng.integers(len(bank)))], c, x, base, tall, tall * float(rng.uniform(1.4, 1.8))
    )
    if patch is None:
        return
    _shadow(c, x, base, tall * 1.5)
    stone = mix(rgb((150, 142, 138)), rgb((172, 148, 124)), float(rng.uniform(0, 1)))
    tone = patch.data[..., 1]
    albedo = np.broadcast_to(stone, (*tone.shape, 3))
    if c.attributes.season == "winter":
        cap = np.clip((tone - 0.8) * 5, 0, 1)[..., None]
        albedo = albedo + (rgb((246, 249, 254)) - albedo) * cap
    colour = c.light.veil(c.light.shade(albedo.astype(np.float32), tone), _depth(c, base))
    mask = patch.data[..., 0]
    c.blend(colour, mask, patch.rows, patch.cols, label="rock")


class _Drawing:
    """Antialiased polygons in a square of `size` picture heights, upper left at (x, y)."""

    def __init__(self, c: Landscape, x: float, y: float, size: float, flip: bool) -> None:
        self.c, self.size, self.flip = c, size, flip
        self.px, self.py = round(x * c.height), round(y * c.height)
        self.n = max(4, round(size * c.height))

    def fill(
        self, points: list[tuple[float, float]], colour: F32, label: str, ident: int, strength: float = 1.0
    ) -> None:
        """Fill a polygon given in the unit square."""
        p = np.asarray(points, np.float32)
        if self.flip:
            p[:, 0] = 1 - p[:, 0]
        patch = np.zeros((self.n, self.n), np.uint8)
        cv2.fillPoly(patch, [np.round((p * self.n - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        c = self.c
        y0, x0, y1, x1 = (
            max(0, self.py),
            max(0, self.px),
            min(c.height, self.py + self.n),
            min(c.width, self.px + self.n),
        )
        if y1 <= y0 or x1 <= x0:
            return
        mask = patch[y0 - self.py : y1 - self.py, x0 - self.px : x1 - self.px].astype(
            np.float32
        ) * np.float32(strength / 255)
        rows, cols = slice(y0, y1), slice(x0, x1)
        c.blend(colour, mask, rows, cols, label=label)
        if ident:
            c.instances[rows, cols][mask > 0.5] = ident


def _house(c: Landscape, rng: np.random.Generator, x: float, base: float, size: float) -> None:
    """A cottage in three-quarter view: gable front, long side, roof, chimney, door, windows."""
    light = c.light
    walls: tuple[Colour, ...] = (
        (244, 234, 214),
        (236, 212, 176),
        (196, 92, 72),
        (176, 134, 98),
        (222, 226, 230),
    )
    roofs: tuple[Colour, ...] = ((186, 80, 58), (150, 78, 62), (104, 92, 96), (126, 86, 62))
    wall, roof = rgb(walls[int(rng.integers(len(walls)))]), rgb(roofs[int(rng.integers(len(roofs)))])
    if c.attributes.season == "winter":
        roof = rgb((240, 244, 250))
    _shadow(c, x, base, size * 1.1)
    d = _Drawing(c, x - size / 2, base - size * 0.86, size, flip=light.side > 0)
    ident = c.begin_object("house")

    def tone(albedo: F32, lit: float) -> F32:
        return np.asarray(
            light.veil(light.shade(albedo[None], np.full(1, lit, np.float32)), _depth(c, base))[0]
        )

    def fill(points: list[tuple[float, float]], albedo: F32, lit: float) -> None:
        d.fill(points, tone(albedo, lit), "house", ident)

    fill([(0.66, 0.06), (0.76, 0.06), (0.76, 0.3), (0.66, 0.3)], wall * np.float32(0.8), 0.6)
    fill([(0.42, 0.44), (0.94, 0.44), (0.94, 0.84), (0.42, 0.86)], wall, 0.28)
    fill([(0.06, 0.46), (0.25, 0.16), (0.44, 0.46), (0.44, 0.86), (0.06, 0.86)], wall, 0.95)
    fill([(0.25, 0.12), (0.8, 0.14), (1.0, 0.5), (0.48, 0.5)], roof, 0.72)
    fill([(0.25, 0.12), (0.28, 0.12), (0.06, 0.5), (0.0, 0.5)], roof, 0.9)
    dark = c.attributes.time in ("night", "sunset", "dawn") or c.attributes.weather in ("stormy", "foggy")
    glow = rgb((255, 214, 116)) if dark else tone(rgb((74, 92, 116)), 0.7)
    for x0 in (0.54, 0.76):
        d.fill([(x0, 0.57), (x0 + 0.12, 0.57), (x0 + 0.12, 0.71), (x0, 0.71)], glow, "house", ident)
    fill([(0.18, 0.6), (0.31, 0.6), (0.31, 0.86), (0.18, 0.86)], rgb((112, 70, 52)), 0.6)
    d.fill([(0.19, 0.38), (0.31, 0.38), (0.31, 0.5), (0.19, 0.5)], glow, "house", ident)


def paint_boat(c: Landscape, rng: np.random.Generator, x: float, base: float, size: float) -> None:
    """A rowboat or sailboat that floats at `base`, with its reflection."""
    light = c.light
    hulls: tuple[Colour, ...] = ((196, 62, 48), (52, 104, 156), (176, 112, 62), (240, 234, 220))
    hull = rgb(hulls[int(rng.integers(len(hulls)))])
    sail = rgb(((255, 252, 242), (250, 238, 214), (232, 120, 84))[int(rng.integers(3))])
    sailing = c.attributes.boat == "sailboat"
    d = _Drawing(c, x - size / 2, base - size * 0.86, size, flip=light.side > 0)
    mirror = _Drawing(c, x - size / 2, base - 0.02 * size, size, flip=light.side > 0)
    ident = c.begin_object("boat")
    side = [(0.04, 0.7), (0.96, 0.68), (0.82, 0.88), (0.18, 0.88)]
    main = [(0.45, 0.02), (0.45, 0.64), (0.06, 0.62)]
    jib = [(0.5, 0.08), (0.5, 0.64), (0.9, 0.64)]
    parts: list[tuple[list[tuple[float, float]], F32, float]] = []
    if sailing:
        parts += [
            (main, sail, 0.95),
            (jib, sail, 0.5),
            ([(0.46, 0.0), (0.49, 0.0), (0.49, 0.72), (0.46, 0.72)], rgb((110, 78, 56)), 0.6),
        ]
    parts += [
        (side, hull, 0.6),
        ([(0.04, 0.7), (0.96, 0.68), (0.91, 0.75), (0.09, 0.765)], mix(hull, rgb((255, 244, 220)), 0.8), 1.0),
    ]
    if not sailing:
        parts += [([(0.12, 0.705), (0.88, 0.69), (0.8, 0.72), (0.2, 0.73)], hull * np.float32(0.4), 0.4)]
        parts += [([(0.36, 0.62), (0.44, 0.62), (0.44, 0.72), (0.36, 0.72)], rgb((180, 140, 96)), 0.8)]
    for points, albedo, lit in parts:
        colour = light.veil(light.shade(albedo[None], np.full(1, lit, np.float32)), _depth(c, base) * 0.7)[0]
        flipped = [(px, 0.9 - py) for px, py in points]
        mirror.fill(flipped, colour * np.float32(0.8), "water", 0, 0.42)
        d.fill(points, colour, "boat", ident)
    if c.attributes.time == "night":
        # A lantern in the bow: a dark hull on dark water would be lost.
        lamp = [
            (0.16 + 0.045 * float(np.cos(k)), 0.63 + 0.06 * float(np.sin(k))) for k in np.linspace(0, 6, 10)
        ]
        d.fill(lamp, rgb((255, 214, 116)), "boat", ident)
        mirror.fill([(px, 1.06 - py) for px, py in lamp], rgb((255, 200, 96)), "water", 0, 0.6)


def _flowers(c: Landscape, rng: np.random.Generator, line: F32) -> None:
    """Drifts of blossom on the meadow, larger towards the viewer."""
    choices = _FLOWERS[c.attributes.season]
    pair = rng.choice(len(choices), 2, replace=False)
    drifts = rng.random((5, 2))
    layer = np.zeros((c.height, c.width), np.uint8)
    top = float(line.mean())
    for index in pair:
        layer[:] = 0
        picks, jitter = rng.integers(0, 5, 60), rng.normal(0, 1, (60, 2))
        for pick, (jx, jy) in zip(picks, jitter, strict=True):
            t = float(np.clip(0.25 + 0.75 * drifts[pick, 1] + 0.09 * jy, 0.06, 1.0))
            x, y = (drifts[pick, 0] + 0.13 * float(jx)) * c.aspect, top + (1.0 - top) * t
            r = 0.0035 + 0.0095 * t
            centre, axes = (
                (int(x * c.height * 16), int(y * c.height * 16)),
                (int(r * c.height * 16), int(r * c.height * 11)),
            )
            cv2.ellipse(layer, centre, axes, 0, 0, 360, 255, -1, cv2.LINE_AA, 4)
        mask = (layer.astype(np.float32) * np.float32(0.92 / 255)) * (c.labels == CLASS_ID["meadow"])
        colour = c.light.shade(rgb(choices[int(index)])[None], np.full(1, 0.9, np.float32))[0]
        c.blend(colour, mask, slice(None))


def paint_objects(c: Landscape, rng: np.random.Generator, line: F32) -> None:
    """Everything on the ground below `line` (w,), painted from far to near."""
    a, layout = c.attributes, c.layout
    if a.ground == "meadow" and a.season in _FLOWERS:
        _flowers(c, rng, line)
    tasks: list[tuple[float, Callable[[], None]]] = []
    house_x = -1.0

    def ground_at(x: float) -> float:
        return float(line[int(np.clip(x * c.height, 0, c.width - 1))])

    def seed() -> np.random.Generator:
        return np.random.default_rng(int(rng.integers(2**32)))

    def dry(x: float, base: float) -> bool:
        py, px = min(c.height - 1, int(base * c.height)), int(np.clip(x * c.height, 0, c.width - 1))
        return bool(c.labels[py, px] != CLASS_ID["water"])

    if a.house == "house":
        r, size = seed(), float(rng.uniform(0.24, 0.32))
        x = (0.5 - layout.focus * float(rng.uniform(0.16, 0.3))) * c.aspect
        base = min(0.95, ground_at(x) + float(rng.uniform(0.06, 0.12)))
        if a.water == "river":
            x = (
                (0.5 - layout.focus * 0.36) * c.aspect
                if dry((0.5 - layout.focus * 0.36) * c.aspect, base)
                else x
            )
        house_x = x
        tasks.append((base, partial(_house, c, r, x, base, size)))
    for k, t, u in _tree_spots(rng, layout.focus, a.water in ("lake", "sea")) if a.trees != "none" else ():
        r, x = seed(), u * c.aspect
        if a.house == "house" and abs(x - house_x) < 0.21:
            x = house_x + (0.24 + 0.05 * k) * layout.focus
        low = ground_at(x)
        base_t = low + 0.012 + (0.985 - low) * t * 0.86
        if not dry(x, base_t):
            x = (0.5 + layout.focus * (0.4 + 0.02 * k)) * c.aspect
            if not dry(x, base_t):
                continue
        near = (base_t - layout.horizon) / (1 - layout.horizon)
        tall = (0.14 + 0.46 * near) * float(r.uniform(0.88, 1.12)) * (1.12 if a.trees == "palm" else 1.0)
        tasks.append((base_t, partial(_tree, c, r, x, base_t, tall)))
    for _ in range(9 if a.ground == "rocks" else (2 if a.water == "lake" else 0)):
        r, x, t = seed(), float(rng.uniform(0, 1)) * c.aspect, float(rng.uniform(0.08, 1))
        base_r = ground_at(x) + (1.0 - ground_at(x)) * t
        if dry(x, base_r):
            tasks.append((base_r, partial(_boulder, c, r, x, base_r, 0.03 + 0.085 * t)))
    for _, paint in sorted(tasks, key=lambda task: task[0]):
        paint()


def _tree_spots(rng: np.random.Generator, focus: int, open_view: bool) -> list[tuple[int, float, float]]:
    """(index, nearness 0..1, x as a fraction of the width): a tall group at one side, others behind."""
    count = int(rng.integers(3, 6) if open_view else rng.integers(5, 10))
    spots = [(0, float(rng.uniform(0.5, 0.8)), 0.5 + focus * float(rng.uniform(0.22, 0.38)))]
    for k in range(1, count):
        if k < 4 and not (open_view and k == 3):
            spots.append(
                (
                    k,
                    float(rng.uniform(0.12, 0.62)),
                    0.5 + focus * float(rng.uniform(0.16 if open_view else 0.08, 0.5)),
                )
            )
        else:
            spots.append((k, float(rng.uniform(0.0, 0.22)), float(rng.uniform(0.02, 0.98))))
    return spots
