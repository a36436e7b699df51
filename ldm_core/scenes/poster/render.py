"""From attributes and a seed to a poster, its label map and its boxes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from ldm_core.scenes.attributes import Attributes, Box, Scene
from ldm_core.scenes.noise import F32
from ldm_core.scenes.poster.boats import paint_boat
from ldm_core.scenes.poster.buildings import paint_bridge, paint_building
from ldm_core.scenes.poster.land import (
    Ground,
    ground_colour,
    headland,
    paint_details,
    paint_ground,
    paint_hills,
    paint_mountains,
)
from ldm_core.scenes.poster.palette import make_palette
from ldm_core.scenes.poster.poster import Poster
from ldm_core.scenes.poster.sheet import Sheet, new_sheet
from ldm_core.scenes.poster.sky import paint_birds, paint_sky
from ldm_core.scenes.poster.trees import paint_tree
from ldm_core.scenes.poster.water import River, paint_river, paint_water, surf

# The height of a building, in picture heights.
_TALL = {"house": 0.24, "barn": 0.24, "chapel": 0.33, "lighthouse": 0.44, "windmill": 0.36}
_ATTEMPTS = 6
_STAGES = ("layout", "sky", "mountains", "hills", "ground", "water", "objects", "objects")
_WIDE = {"house": 0.68, "barn": 0.8, "chapel": 0.55, "lighthouse": 0.2, "windmill": 0.4}


def render_poster(
    attributes: Attributes, seed: int, height: int, width: int, anew: Collection[str] = ()
) -> Scene:
    """See `ldm_core.scenes.render`.  A composition that hides what the attributes name is drawn anew."""
    for attempt in range(_ATTEMPTS):
        sheet = _draw(attributes, (seed, attempt), height, width, anew)
        boxes = sheet.boxes()
        if _all_seen(attributes, boxes, width / height):
            break
    return Scene(sheet.picture(), sheet.labels(), boxes, attributes, seed)


def _all_seen(a: Attributes, boxes: Sequence[Box], aspect: float) -> bool:
    """Whether every named thing can be seen at a size at which it can be told."""

    def seen(label: str, least: float) -> int:
        sizes = [(box.x1 - box.x0) * aspect * (box.y1 - box.y0) for box in boxes if box.label == label]
        return sum(size >= least for size in sizes)

    boats = ("none", "one", "two", "three").index(a.boat_count)
    return (
        seen("boat", 0.006) >= boats
        and (a.building == "none" or seen(a.building, 0.016) > 0)
        and (a.bridge == "none" or seen("bridge", 0.015) > 0)
        and (a.disc == "none" or seen("sun" if a.disc == "sun" else "moon", 0.0068) > 0)
    )


def _draw(
    attributes: Attributes, seed: tuple[int, int], height: int, width: int, anew: Collection[str]
) -> Sheet:
    layout_rng, sky_rng, mountain_rng, hill_rng, ground_rng, water_rng, thing_rng, tree_rng = (
        np.random.default_rng((*seed, number, 1 if stage in anew else 0))
        for number, stage in enumerate(_STAGES)
    )
    s = _poster(attributes, layout_rng, height, width)
    paint_sky(s, sky_rng)
    if attributes.mountains != "none":
        paint_mountains(s, mountain_rng)
    colour = ground_colour(s, ground_rng)
    paint_hills(s, hill_rng, colour)
    wet = attributes.water in ("lake", "sea")
    cape = attributes.building == "lighthouse" and wet
    if wet:
        paint_water(s, water_rng)
        if cape:
            top = headland(s, colour)
            paint_building(
                s, thing_rng, s.motif, top + 0.012, _TALL["lighthouse"] * thing_rng.uniform(0.86, 1.0)
            )
        if attributes.bridge != "none":
            y = s.horizon + 0.35 * (s.shore - s.horizon)
            paint_bridge(s, thing_rng, (-0.02, s.width + 0.02), y, 0.13, round(4 * s.width))
        _boats(s, thing_rng)
    ground = paint_ground(s, ground_rng, colour)
    if attributes.water == "sea":
        surf(s, ground.edge)
    paint_details(s, ground_rng, colour, ground)
    if attributes.water == "river":
        _river(s, water_rng, thing_rng, colour)
    if attributes.birds != "none":
        paint_birds(s, thing_rng)
    _stand(s, thing_rng, tree_rng, ground, cape)
    return s.sheet


def _poster(a: Attributes, rng: np.random.Generator, height: int, width: int) -> Poster:
    """The composition: horizon, trees to one side, the building on the other third, the disc between."""
    sheet = new_sheet(height, width)
    frame = -1 if rng.random() < 0.5 else 1
    horizon = float(rng.uniform(0.5, 0.57) if a.water in ("lake", "sea") else rng.uniform(0.5, 0.6))
    shore = float(rng.uniform(0.77, 0.83)) if a.water in ("lake", "sea") else horizon + 0.035
    motif = (0.5 - frame * float(rng.uniform(0.14, 0.24))) * sheet.width
    radius = float(rng.uniform(0.055, 0.085))
    places = (0.5 - frame * rng.uniform(-0.16, 0.3, 12)) * sheet.width
    clear = 0.15 + radius if a.building != "none" else 0.0  # from the building
    x = float(next((x for x in places if abs(x - motif) >= clear), places[abs(places - motif).argmax()]))
    low = a.time in ("dawn", "sunset")
    y = horizon - (float(rng.uniform(0.0, 0.13)) if low else float(rng.uniform(0.24, 0.38)))
    if low and a.mountains != "none":
        y = horizon - float(rng.uniform(0.28, 0.38))
    light = make_palette(a, rng)
    if a.disc != "none":
        light = replace(light, side=1 if x > 0.5 * sheet.width else -1)
    s = Poster(sheet, light, a, horizon, shore, frame, motif, (x, y, radius))
    if a.building != "none":
        s.taken.append((motif, 0.5 * _WIDE[a.building] * _TALL[a.building] + 0.02))
    if a.disc != "none":
        s.taken.append((x, radius))
    return s


def _boats(s: Poster, rng: np.random.Generator) -> None:
    """The nearest one last."""
    count = ("none", "one", "two", "three").index(s.attributes.boat_count)
    sail = s.attributes.boat == "sailboat"
    if s.attributes.trees != "none":
        s.taken.append(((0.5 + s.frame * 0.4) * s.width, 0.14))
    if s.attributes.disc != "none":
        s.taken = [place for place in s.taken if place[0] != s.disc[0]]  # boats may sail before the sun
    for k in range(count):
        near = (k + 1) / count
        tall = (0.27 if sail else 0.24) * (0.5 + 0.5 * near) * float(rng.uniform(0.9, 1.1))
        y = s.horizon + (s.shore - s.horizon) * (0.16 + 0.44 * near * float(rng.uniform(0.8, 1.0)))
        x = s.free(rng, 0.42 * tall, 0.14, 0.86)
        paint_boat(s, rng, x, y, tall, 0.4 * (1 - near) + 0.1)


def _river(s: Poster, rng: np.random.Generator, things: np.random.Generator, bank: F32) -> None:
    river = River(s, rng)
    paint_river(s, rng, river, bank)
    if s.attributes.bridge != "none":
        y = s.horizon + (1 - s.horizon) * float(things.uniform(0.5, 0.62))
        x, half = river.at(y)
        paint_bridge(s, things, (x - half - 0.1, x + half + 0.1), y, 0.12, 1 if things.random() < 0.6 else 2)
    if s.attributes.boat != "none":
        y = s.horizon + (1 - s.horizon) * 0.66
        x, half = river.at(y)
        paint_boat(s, things, x, y, min(0.22, 1.7 * half), 0.1)
    for v in (0.2, 0.45, 0.7, 0.95):
        s.taken.append(river.at(s.horizon + (1 - s.horizon) * v))


def _stand(
    s: Poster, things: np.random.Generator, rng: np.random.Generator, ground: Ground, cape: bool
) -> None:
    """Building and trees on the near ground, from far to near."""
    a = s.attributes
    spots: list[tuple[float, float, float]] = []  # y, x, height
    if a.trees != "none":
        spots = _tree_spots(s, rng, ground)
    building = a.building != "none" and not cape
    wet = a.water in ("lake", "sea")
    foot = s.on(ground.edge, s.motif) + (0.045 if wet else (0.1 if a.water == "none" else 0.05))
    tall = _TALL.get(a.building, 0.0) * float(things.uniform(0.9, 1.15))
    for y, x, high in sorted(spots):
        if building and y > foot:
            paint_building(s, things, s.motif, foot, tall)
            building = False
        paint_tree(s, rng, x, y, high, depth=float(np.clip((0.93 - y) * 0.9, 0, 0.4)))
    if building:
        paint_building(s, things, s.motif, foot, tall)


def _tree_spots(s: Poster, rng: np.random.Generator, ground: Ground) -> list[tuple[float, float, float]]:
    """(y, x, height): a near group at the frame's side; of many, others stand behind and across."""
    a = s.attributes
    count = {"one": 1, "few": int(rng.integers(2, 4)), "many": int(rng.integers(7, 11))}[a.tree_count]
    size = {"pine": 0.62, "broadleaf": 0.55, "birch": 0.6, "palm": 0.6}[a.trees]
    spots: list[tuple[float, float, float]] = []
    for k in range(count):
        near = 1.0 if k == 0 else float(rng.uniform(0.1, 0.9))
        out = rng.uniform(0.26, 0.38) if k == 0 else rng.uniform(0.16, 0.5)
        side = s.frame if k < 4 or rng.random() < 0.55 else -s.frame
        if a.boat != "none" or a.bridge != "none":  # the water between stays open
            out = rng.uniform(0.32, 0.5) if side == s.frame else rng.uniform(0.44, 0.5)
        x = (0.5 + side * float(out)) * s.width
        if a.building != "none" and abs(x - s.motif) < 0.5 * _WIDE[a.building] * _TALL[a.building] + 0.1:
            x = s.motif + side * (0.3 + 0.02 * k)
        if any(abs(x - other[1]) < 0.055 for other in spots):
            x += 0.07 * (1 if x < 0.5 * s.width else -1)
        edge = s.on(ground.edge, min(max(x, 0.0), s.width))
        y = edge + 0.02 + (0.95 - edge) * (0.12 + 0.82 * near)
        tall = size * (0.42 + 0.58 * near) * float(rng.uniform(0.9, 1.12))
        spots.append((float(y), float(x), min(tall, float(y) - 0.06)))
    return spots
