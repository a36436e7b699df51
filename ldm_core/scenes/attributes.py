"""What a scene can contain, and the answer types of the renderers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES: tuple[str, ...] = (
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
    "pine",
    "birch",
    "palm",
    "snowy mountain",
    "lighthouse",
    "barn",
    "chapel",
    "windmill",
    "bridge",
    "bird",
)
"""Names of the label map's classes; the index is the class id.  "tree" is a leafy one, "mountain" bare."""

KINDS: dict[str, str] = {"pine": "tree", "birch": "tree", "palm": "tree", "snowy mountain": "mountain"}
"""Kind -> the coarse class that it is one of: there "tree" and "mountain" stand for every kind of them."""

BUILDINGS: tuple[str, ...] = ("house", "barn", "chapel", "lighthouse", "windmill")

BOX_CLASSES: tuple[str, ...] = (
    "sun",
    "moon",
    "tree",
    "house",
    "boat",
    "lighthouse",
    "barn",
    "chapel",
    "windmill",
    "bridge",
)
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
    "look": ("painting", "poster"),
    "building": ("none", *BUILDINGS),
    "tree_count": ("none", "one", "few", "many"),
    "boat_count": ("none", "one", "two", "three"),
    "bridge": ("none", "bridge"),
    "disc": ("none", "sun", "moon", "crescent"),
    "birds": ("none", "birds"),
}
"""Attribute name -> allowed values, in the order of the fields of `Attributes`."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """One value per entry of `ATTRIBUTES`; an empty one is told by the others.

    `house` says whether the building is one; `disc` is what stands in the sky.  Raises ValueError for
    unknown values and impossible scenes.
    """

    time: str
    weather: str
    season: str
    mountains: str
    water: str
    trees: str
    ground: str
    house: str = ""
    boat: str = "none"
    look: str = "painting"
    building: str = ""
    tree_count: str = ""
    boat_count: str = ""
    bridge: str = "none"
    disc: str = "none"
    birds: str = "none"

    def __post_init__(self) -> None:
        implied = {
            "house": "house" if self.building == "house" else "none",
            "building": "house" if self.house == "house" else "none",
            "tree_count": "none" if self.trees == "none" else "many",
            "boat_count": "none" if self.boat == "none" else "one",
        }
        for name, value in implied.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        for name, allowed in ATTRIBUTES.items():
            said: str = getattr(self, name)
            if said not in allowed:
                raise ValueError(f"{name} is {said!r}; expected one of {', '.join(allowed)}")
        for wrong, reason in (
            (self.boat != "none" and self.water == "none", "a boat needs water"),
            ((self.boat == "none") != (self.boat_count == "none"), "boats are none in both or in neither"),
            ((self.trees == "none") != (self.tree_count == "none"), "trees are none in both or in neither"),
            ((self.house == "house") != (self.building == "house"), "a house is the building"),
            (
                self.bridge != "none" and self.water not in ("lake", "river"),
                "a bridge needs a river or a lake",
            ),
            (self.disc == "sun" and self.time == "night", "the sun does not shine at night"),
            (self.disc in ("moon", "crescent") and self.time != "night", "the moon shines at night"),
            (self.disc != "none" and self.weather == "stormy", "storm clouds hide sun and moon"),
        ):
            if wrong:
                raise ValueError(f"{self}: {reason}")


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
