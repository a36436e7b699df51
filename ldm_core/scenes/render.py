"""From attributes and a seed to a picture, its label map and its boxes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .attributes import CLASS_ID, KINDS, Attributes, Box, Scene
from .brush import finish
from .landscape import Landscape, Layout, new_landscape
from .light import make_light
from .noise import field
from .objects import paint_boat, paint_objects
from .poster import render_poster
from .sky import paint_sky, paint_sparks
from .terrain import ground_line, paint_ground, paint_hills, paint_mountains
from .water import paint_water, river_mask

Part = Literal["layout", "light", "sky", "mountains", "hills", "water", "ground", "objects", "finish"]


def render(
    attributes: Attributes, seed: int, height: int = 256, width: int = 256, anew: Collection[Part] = ()
) -> Scene:
    """One landscape in the look that its attributes name.

    The same attributes, seed and size give the same bytes.  Composition does not depend on the size: sizes
    follow the height, places the width.  The stages in `anew` draw from another seed: the same landscape
    with other clouds, say, or its trees elsewhere.
    Raises ValueError for a negative seed or a side under 16.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected 0 or more")
    if min(height, width) < 16:
        raise ValueError(f"size is {width}x{height}; expected at least 16x16")
    if attributes.look == "poster":
        return render_poster(attributes, seed, height, width, anew)
    # A generator per part: what one of them draws cannot shift the others.
    layout_rng, light_rng, sky_rng, mountain_rng, hill_rng, water_rng, ground_rng, object_rng, end_rng = (
        np.random.default_rng((seed, number, 1) if part in anew else (seed, number))
        for number, part in enumerate(get_args(Part))
    )
    layout = _layout(attributes, layout_rng)
    c = new_landscape(height, width, make_light(attributes, light_rng, layout.horizon), layout, attributes)
    paint_sky(c, sky_rng)
    if attributes.mountains != "none":
        paint_mountains(c, mountain_rng)
    paint_hills(c, hill_rng)
    line = ground_line(c, ground_rng)
    if attributes.water in ("lake", "sea"):
        paint_water(c, water_rng)
    paint_ground(c, ground_rng, line)
    if attributes.water == "river":
        paint_water(c, water_rng, river_mask(c, water_rng))
    if attributes.boat != "none":
        _launch(c, water_rng)
    paint_objects(c, object_rng, line)
    if attributes.weather == "foggy":
        _mist(c, end_rng)
    finish(c, end_rng)
    paint_sparks(c, sky_rng)
    image = (np.clip(c.image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Scene(image, _with_kinds(c), _boxes(c), attributes, seed)


def _layout(a: Attributes, rng: np.random.Generator) -> Layout:
    horizon = float(rng.uniform(0.46, 0.58))
    depth = float(rng.uniform(0.5, 0.66))
    focus = -1 if rng.random() < 0.5 else 1
    shore = horizon + depth * (1 - horizon) if a.water in ("lake", "sea") else horizon
    return Layout(horizon, shore, focus)


def _launch(c: Landscape, rng: np.random.Generator) -> None:
    """Put the boat where the water is open."""
    layout = c.layout
    size = (
        float(rng.uniform(0.2, 0.27)) if c.attributes.boat == "sailboat" else float(rng.uniform(0.23, 0.29))
    )
    if c.attributes.water == "river":
        base = layout.horizon + 0.62 * (1 - layout.horizon)
        wet = np.flatnonzero(c.labels[c.row(base)] == 6)
        x = float(wet.mean()) / c.height if wet.size else 0.5 * c.aspect
    else:
        x = (0.5 - layout.focus * float(rng.uniform(0.0, 0.26))) * c.aspect
        base = layout.horizon + float(rng.uniform(0.4, 0.62)) * (layout.shore - layout.horizon)
    paint_boat(c, rng, x, base, size)


def _mist(c: Landscape, rng: np.random.Generator) -> None:
    """A bank of fog lying over the horizon."""
    drift = field("wide", rng, c.height, c.width)
    band = np.exp(-(((c.y - c.layout.horizon - 0.02) / 0.13) ** 2)) * np.clip(0.5 + 0.18 * drift, 0, 0.85)
    c.blend(c.light.haze, band.astype(np.float32), slice(None))


def _with_kinds(c: Landscape) -> NDArray[np.uint8]:
    """The label map with the kinds of trees and mountains; the painters know coarse classes alone."""
    labels = c.labels
    for kind in (c.attributes.trees, f"{c.attributes.mountains} mountain"):
        if kind in KINDS:
            labels = np.where(labels == CLASS_ID[KINDS[kind]], np.uint8(CLASS_ID[kind]), labels)
    return labels


def coarse(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A label map without the `KINDS`; 255 stays."""
    classes = np.arange(256, dtype=np.uint8)
    for kind, whole in KINDS.items():
        classes[CLASS_ID[kind]] = CLASS_ID[whole]
    return classes[labels]


def _boxes(c: Landscape) -> tuple[Box, ...]:
    """Boxes of the objects as far as they can be seen; specks are left out."""
    out = []
    least = max(4, round(0.0006 * c.height * c.height))
    for index, name in enumerate(c.names):
        ys, xs = np.nonzero(c.instances == index + 1)
        if ys.size >= least:
            h, w = c.height, c.width
            out.append(
                Box(
                    name,
                    float(xs.min()) / w,
                    float(ys.min()) / h,
                    float(xs.max() + 1) / w,
                    float(ys.max() + 1) / h,
                )
            )
    return tuple(out)
