"""House, barn, chapel, lighthouse, windmill, and a bridge; drawn in a unit of their own height."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ldm_core.scenes.noise import F32
from ldm_core.scenes.poster.palette import Colour, mix, rgb
from ldm_core.scenes.poster.poster import Poster
from ldm_core.scenes.poster.sheet import Points

_WALLS: tuple[Colour, ...] = (
    (248, 240, 224),
    (240, 214, 176),
    (206, 96, 78),
    (182, 138, 104),
    (222, 230, 234),
    (120, 160, 176),
)
_ROOFS: tuple[Colour, ...] = ((190, 78, 60), (150, 74, 64), (96, 90, 104), (128, 86, 66), (70, 96, 112))
_SNOW = rgb((246, 250, 255))
_LAMP = rgb((255, 218, 124))


class _Drawing:
    """Shapes in a building's own unit: (0, 0) is the middle of its foot, y up; its lit side is x > 0."""

    def __init__(self, s: Poster, x: float, y: float, tall: float, depth: float, ident: int) -> None:
        self.s, self.x, self.y, self.tall, self.depth, self.ident = s, x, y, tall, depth, ident
        self.side = s.light.side

    def place(self, points: Points) -> F32:
        p = np.asarray(points, np.float64)
        return np.asarray(p * (self.tall * self.side, -self.tall) + (self.x, self.y), np.float32)

    def fill(self, points: Points, albedo: F32, lit: float) -> None:
        self.s.sheet.polygon(self.place(points), self.s.light.tone(albedo, lit, self.depth), self.ident)

    def flat(self, points: Points, colour: F32) -> None:
        """A colour that no light changes."""
        self.s.sheet.polygon(self.place(points), colour, self.ident)

    def window(self, x: float, y: float, wide: float, tall: float) -> None:
        if self.s.light.dark:
            self.flat(_rect(x, y, wide, tall), mix(_LAMP, self.s.light.haze, 0.5 * self.depth))
        else:
            self.fill(_rect(x, y, wide, tall), rgb((70, 96, 124)), 0.6)


def _rect(x: float, y: float, wide: float, tall: float) -> list[tuple[float, float]]:
    """Lower left corner and size."""
    return [(x, y), (x + wide, y), (x + wide, y + tall), (x, y + tall)]


def paint_building(
    s: Poster, rng: np.random.Generator, x: float, y: float, tall: float, depth: float = 0.05
) -> None:
    """The scene's building, its foot at (x, y)."""
    name = s.attributes.building
    if s.attributes.weather not in ("foggy", "stormy"):
        t = np.linspace(0, 2 * np.pi, 20)
        x0, wide = x - s.light.side * 0.3 * tall, (0.2 if name in ("lighthouse", "windmill") else 0.55) * tall
        shape = np.stack([x0 + wide * np.cos(t), y + 0.004 + 0.04 * tall * np.sin(t)], 1)
        s.sheet.glaze(shape, s.light.fill * np.float32(0.45), 0.3)
    d = _Drawing(s, x, y, tall, depth, s.sheet.new(name, boxed=True))
    _PAINTERS[name](d, rng)


def _roof_colour(d: _Drawing, rng: np.random.Generator) -> F32:
    roof = rgb(_ROOFS[int(rng.integers(len(_ROOFS)))])
    return _SNOW if d.s.attributes.season == "winter" else roof


def _house(d: _Drawing, rng: np.random.Generator) -> None:
    """A cottage: gable to the light, a long side with windows, a chimney."""
    wall, roof = rgb(_WALLS[int(rng.integers(len(_WALLS)))]), _roof_colour(d, rng)
    d.fill(_rect(-0.42, 0.7, 0.12, 0.34), rgb((150, 92, 80)), 0.5)
    d.fill([(-0.62, 0.0), (0.1, 0.0), (0.1, 0.5), (-0.62, 0.5)], wall * np.float32(0.94), 0.36)
    d.fill([(0.1, 0.0), (0.66, 0.0), (0.66, 0.5), (0.38, 0.96), (0.1, 0.5)], wall, 1.0)
    d.fill([(-0.7, 0.46), (0.06, 0.46), (0.38, 1.0), (-0.42, 1.0)], roof, 0.62)
    d.fill([(0.38, 1.0), (0.74, 0.42), (0.66, 0.42), (0.38, 0.88), (0.12, 0.46), (0.06, 0.46)], roof, 0.95)
    for x in (-0.53, -0.24):
        d.window(x, 0.16, 0.17, 0.18)
    d.fill(_rect(0.3, 0.0, 0.17, 0.31), rgb((116, 70, 54)), 0.6)
    d.window(0.31, 0.5, 0.15, 0.16)


def _barn(d: _Drawing, rng: np.random.Generator) -> None:
    """Red, with a broken roof and crossed doors."""
    red = rgb(((188, 62, 52), (160, 50, 48), (202, 84, 60))[int(rng.integers(3))])
    roof = _SNOW if d.s.attributes.season == "winter" else rgb((92, 84, 94))
    white = rgb((248, 244, 234))
    d.fill(_rect(-0.78, 0.0, 0.84, 0.46), red, 0.34)
    front = [(0.06, 0.0), (0.78, 0.0), (0.78, 0.46), (0.68, 0.72), (0.42, 0.94), (0.16, 0.72), (0.06, 0.46)]
    d.fill(front, red, 0.95)
    d.fill([(-0.84, 0.43), (0.02, 0.43), (0.14, 0.74), (-0.7, 0.74)], roof, 0.5)
    d.fill([(-0.7, 0.73), (0.14, 0.73), (0.42, 1.0), (-0.44, 1.0)], roof, 0.75)
    edge = [(0.02, 0.42), (0.14, 0.74), (0.42, 1.0), (0.7, 0.74), (0.82, 0.42)]
    inner = [(0.74, 0.43), (0.65, 0.7), (0.42, 0.9), (0.19, 0.7), (0.1, 0.43)]
    d.fill(edge + inner, white if d.s.attributes.season != "winter" else roof, 0.95)
    d.fill(_rect(0.26, 0.0, 0.32, 0.38), white, 0.9)
    for x in (0.285, 0.43):
        d.fill(_rect(x, 0.02, 0.12, 0.33), red * np.float32(0.9), 0.8)
    d.window(0.34, 0.52, 0.16, 0.16)
    for x in (-0.62, -0.3):
        d.window(x, 0.14, 0.15, 0.16)


def _chapel(d: _Drawing, rng: np.random.Generator) -> None:
    """A nave, a tower with a spire, and a cross."""
    wall, roof = (
        rgb(((248, 244, 236), (238, 224, 200), (214, 204, 196))[int(rng.integers(3))]),
        _roof_colour(d, rng),
    )
    d.fill(_rect(-0.6, 0.0, 0.7, 0.32), wall * np.float32(0.95), 0.42)
    d.fill([(-0.66, 0.3), (0.1, 0.3), (0.1, 0.52), (-0.54, 0.52)], roof, 0.62)
    for x in (-0.5, -0.32, -0.14):
        d.window(x, 0.08, 0.085, 0.15)
    d.fill(_rect(0.05, 0.0, 0.15, 0.62), wall, 0.42)
    d.fill(_rect(0.18, 0.0, 0.2, 0.62), wall, 1.0)
    d.fill([(0.02, 0.6), (0.2, 0.6), (0.215, 0.95)], roof, 0.45)
    d.fill([(0.2, 0.6), (0.41, 0.6), (0.215, 0.95)], roof, 0.95)
    gold = rgb((226, 186, 96))
    d.fill(_rect(0.206, 0.93, 0.018, 0.12), gold, 0.9)
    d.fill(_rect(0.178, 0.985, 0.074, 0.018), gold, 0.9)
    d.window(0.235, 0.4, 0.09, 0.13)
    d.fill([(0.22, 0.0), (0.34, 0.0), (0.34, 0.16), (0.28, 0.22), (0.22, 0.16)], rgb((110, 70, 56)), 0.6)


def _lighthouse(d: _Drawing, rng: np.random.Generator) -> None:
    """A striped tower that tapers; its lamp burns when it is dark."""
    stripe = rgb(((212, 62, 54), (38, 70, 120), (212, 62, 54), (44, 48, 58))[int(rng.integers(4))])
    white, count = rgb((250, 247, 240)), 5
    d.fill(_rect(-0.2, 0.0, 0.4, 0.045), rgb((130, 124, 126)), 0.7)

    def half(v: float) -> float:
        return 0.145 - 0.065 * v

    for k in range(count):
        a, b = 0.04 + 0.72 * k / count, 0.04 + 0.72 * (k + 1) / count
        p, q = half(k / count), half((k + 1) / count)
        albedo = white if k % 2 == 0 else stripe
        d.fill([(-p, a), (0.3 * p, a), (0.3 * q, b), (-q, b)], albedo, 0.4)
        d.fill([(0.3 * p, a), (p, a), (q, b), (0.3 * q, b)], albedo, 1.0)
    d.fill(_rect(-0.125, 0.755, 0.25, 0.03), rgb((66, 64, 76)), 0.6)
    glass = _LAMP if d.s.light.dark else rgb((250, 236, 190))
    if d.s.light.dark:
        _beam(d, glass)
    d.flat(_rect(-0.068, 0.785, 0.136, 0.1), glass)
    d.fill(_rect(-0.012, 0.785, 0.024, 0.1), rgb((66, 64, 76)), 0.5)
    d.fill([(-0.1, 0.88), (0.1, 0.88), (0.0, 0.98)], stripe, 0.85)
    d.fill(_rect(-0.008, 0.96, 0.016, 0.05), rgb((66, 64, 76)), 0.6)
    d.fill(_rect(-0.04, 0.045, 0.075, 0.11), rgb((96, 66, 54)), 0.5)
    d.fill(_rect(0.0, 0.36, 0.035, 0.055), rgb((66, 84, 108)), 0.5)


def _beam(d: _Drawing, colour: F32) -> None:
    for side in (-1, 1):
        beam = [(0.05 * side, 0.86), (4.0 * side, 1.3), (4.0 * side, 0.5), (0.05 * side, 0.81)]
        d.s.sheet.glaze(d.place(beam), colour, 0.16)


def _windmill(d: _Drawing, rng: np.random.Generator) -> None:
    """A tower with a cap and four latticed sails."""
    wall = rgb(((240, 228, 206), (206, 120, 92), (226, 230, 228), (150, 116, 96))[int(rng.integers(4))])
    cap, wood = _roof_colour(d, rng), rgb((96, 74, 64))
    d.fill([(-0.24, 0.0), (0.06, 0.0), (0.04, 0.6), (-0.14, 0.6)], wall, 0.4)
    d.fill([(0.06, 0.0), (0.24, 0.0), (0.14, 0.6), (0.04, 0.6)], wall, 1.0)
    d.fill([(-0.18, 0.59), (0.18, 0.59), (0.13, 0.7), (0.0, 0.76), (-0.13, 0.7)], cap, 0.8)
    d.fill([(0.02, 0.0), (0.13, 0.0), (0.125, 0.16), (0.025, 0.16)], rgb((104, 68, 54)), 0.5)
    d.window(-0.09, 0.3, 0.07, 0.09)
    hub, turn = np.array([0.04, 0.62]), rng.uniform(0.2, 1.3)
    for k in range(4):
        along = np.array([np.cos(turn + k * np.pi / 2), np.sin(turn + k * np.pi / 2)])
        across = np.array([-along[1], along[0]])
        d.fill(
            [
                hub + across * 0.01,
                hub + along * 0.44 + across * 0.008,
                hub + along * 0.44 - across * 0.012,
                hub - across * 0.014,
            ],
            wood,
            0.5,
        )
        sail = [
            hub + along * 0.1,
            hub + along * 0.43,
            hub + along * 0.43 + across * 0.12,
            hub + along * 0.1 + across * 0.1,
        ]
        d.fill(sail, rgb((252, 246, 232)), 1.0)
        for v in (0.26,):
            bar = [
                hub + along * v,
                hub + along * (v + 0.014),
                hub + along * (v + 0.014) + across * 0.11,
                hub + along * v + across * 0.11,
            ]
            d.fill(bar, wood, 0.5)
    d.fill(
        np.stack(
            [0.04 + 0.03 * np.cos(np.linspace(0, 6, 12)), 0.62 + 0.03 * np.sin(np.linspace(0, 6, 12))], 1
        ),
        wood,
        0.7,
    )


_PAINTERS: dict[str, Callable[[_Drawing, np.random.Generator], None]] = {
    "house": _house,
    "barn": _barn,
    "chapel": _chapel,
    "lighthouse": _lighthouse,
    "windmill": _windmill,
}


def paint_bridge(
    s: Poster, rng: np.random.Generator, span: tuple[float, float], y: float, tall: float, arches: int
) -> None:
    """A stone bridge over the water at height `y`; a lake shows its arches upside down."""
    left, right = span
    stone = rgb(((186, 168, 150), (164, 160, 164), (200, 150, 118))[int(rng.integers(3))])
    ident, light = s.sheet.new("bridge", boxed=True), s.light
    long = right - left
    hump = 0.28 * tall if arches < 4 else 0.0

    def deck(x: F32) -> F32:
        u = (x - left) / long
        return np.asarray(y - tall - hump * np.sin(np.pi * np.clip(u, 0, 1)), np.float32)

    x = np.linspace(left - 0.04, right + 0.04, 40).astype(np.float32)
    step = long / arches
    lower: list[tuple[float, float]] = []
    for k in range(arches):
        a, b = left + step * (k + 0.1), left + step * (k + 0.9)
        rise = min(0.78 * tall + hump * float(np.sin(np.pi * (k + 0.5) / arches)), 0.62 * (b - a))
        t = np.linspace(0, np.pi, 15)
        lower += [
            ((a + b) / 2 - (b - a) / 2 * float(np.cos(v)), y - rise * float(np.sin(v)) ** 0.9) for v in t
        ]
    below = np.array([(right + 0.04, y), *lower[::-1], (left - 0.04, y)])
    body = np.concatenate([np.stack([x, deck(x)], 1), below])
    if s.attributes.water == "lake":
        water = mix(light.middle, light.zenith, 0.3)
        s.sheet.glaze(body * (1, -0.8) + (0, 1.8 * y), mix(light.tone(stone, 0.3, 0.2), water, 0.35), 0.55)
    side = np.array([-0.012 * light.side, 0.0])
    s.sheet.polygon(body + side, light.tone(stone * np.float32(0.7), 0.2, 0.15), ident)
    s.sheet.polygon(body, light.tone(stone, 0.72, 0.15), ident)
    rail = np.concatenate(
        [np.stack([x, deck(x) - 0.1 * tall], 1), np.stack([x, deck(x) + 0.07 * tall], 1)[::-1]]
    )
    s.sheet.polygon(rail, light.tone(mix(stone, rgb((255, 250, 236)), 0.25), 1.0, 0.15), ident)
