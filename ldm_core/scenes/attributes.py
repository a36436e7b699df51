"""What a scene can contain, the answer types of the renderer, and a balanced sampler of attributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COARSE_CLASSES: tuple[str, ...] = (
    "sky",
    "cloud",
    "sun",
    "moon",
    "mountain",
    "hill",
    "water",
    "tree",
    "meadow",
    "sand",
    "rock",
    "snow",
    "house",
    "boat",
)
"""The label map's classes where "tree" and "mountain" stand for every kind of them."""

KINDS: dict[str, str] = {"pine": "tree", "birch": "tree", "palm": "tree", "snowy mountain": "mountain"}
"""Kind -> the coarse class that it is one of."""

CLASSES: tuple[str, ...] = (*COARSE_CLASSES, *KINDS)
"""Names of the label map's classes; the index is the class id.  "tree" is a leafy one, "mountain" bare."""

BOX_CLASSES: tuple[str, ...] = ("sun", "moon", "tree", "house", "boat")
"""Names of the objects that have boxes."""

CLASS_ID: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "time": ("dawn", "day", "sunset", "night"),
    "weather": ("clear", "cloudy", "foggy", "stormy"),
    "season": ("spring", "summer", "autumn", "winter"),
    "mountains": ("none", "rocky", "snowy"),
    "water": ("none", "lake", "river", "sea"),
    "trees": ("none", "pine", "broadleaf", "birch", "palm"),
    "ground": ("meadow", "sand", "rocks", "snow"),
    "house": ("none", "house"),
    "boat": ("none", "rowboat", "sailboat"),
}
"""Attribute name -> allowed values, in the order of the fields of `Attributes`."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """One value per entry of `ATTRIBUTES`. Raises ValueError for unknown values and impossible scenes."""

    time: str
    weather: str
    season: str
    mountains: str
    water: str
    trees: str
    ground: str
    house: str
    boat: str

    def __post_init__(self) -> None:
        for name, allowed in ATTRIBUTES.items():
            value: str = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(allowed)}")
        if self.boat != "none" and self.water == "none":
            raise ValueError(f"boat is {self.boat!r} but water is 'none'; a boat needs water")


@dataclass(frozen=True, slots=True)
class Box:
    """The visible extent of one object; corners in [0, 1], x right and y down."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered picture: `image` (h, w, 3) uint8 RGB, `labels` (h, w) uint8 indices into `CLASSES`."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    boxes: tuple[Box, ...]
    attributes: Attributes
    seed: int


def _pick(rng: np.random.Generator, **weights: float) -> str:
    names = list(weights)
    share = np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=share / share.sum()))]


def sample_attributes(rng: np.random.Generator) -> Attributes:
    """Draw a plausible combination: palms want warmth, winter mostly snow, a boat needs water."""
    time = _pick(rng, dawn=1, day=1, sunset=1, night=1)
    weather = _pick(rng, clear=0.38, cloudy=0.32, foggy=0.17, stormy=0.04 if time == "night" else 0.13)
    season = _pick(rng, spring=1, summer=1, autumn=1, winter=1)
    water = _pick(rng, none=0.52, lake=0.24, river=0.11, sea=0.13)
    mountains = _pick(rng, none=0.35, rocky=0.29, snowy=0.36)
    if season == "winter":
        ground = _pick(rng, snow=0.9, rocks=0.1)
        trees = _pick(rng, none=0.24, pine=0.38, broadleaf=0.22, birch=0.16)
    else:
        dry = 0.55 if water == "sea" else 0.14
        ground = _pick(rng, meadow=0.85 - dry, sand=dry, rocks=0.15)
        palm = 0.0 if season == "autumn" else (0.5 if ground == "sand" else 0.06)
        trees = _pick(rng, none=0.26, pine=0.22, broadleaf=0.3, birch=0.14, palm=palm)
    house = _pick(rng, none=0.82, house=0.18)
    boat = "none"
    if water != "none":
        boat = _pick(rng, none=0.81, rowboat=0.1, sailboat=0.09)
        if boat == "sailboat" and water == "river":
            boat = "rowboat"
    return Attributes(time, weather, season, mountains, water, trees, ground, house, boat)
