"""The classes that can be painted: lists of names, and a colour for each name.

The lists in assets/palettes name their source and licence.
"""

from __future__ import annotations

import colorsys
import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ldm_core.bundled import ASSETS
from ldm_core.library.class_names import Vocabulary, class_names

__all__ = ["Palette", "Swatch", "Vocabulary", "class_names", "nearest", "palette_of", "translated"]

# Turning by this share of a circle never comes near an earlier hue soon.
_GOLDEN = 0.6180339887
_LIGHTNESS = (0.62, 0.44, 0.76, 0.53)

_ENDINGS = re.compile("-(merged|stuff|other)$")


@dataclass(frozen=True, slots=True)
class Swatch:
    """A class that can be painted.

    Attributes:
        colour: "#rrggbb".
        stuff: ids of COCO-Stuff's classes that it stands for, the nearest first; so a map painted with one
            palette can be read with another.
    """

    name: str
    colour: str
    stuff: tuple[int, ...] = ()


Palette = tuple[Swatch, ...]


def palette_of(names: Iterable[str]) -> Palette:
    """A colour for each name, no two alike: a natural one where there is one, else the next hue."""
    natural = _natural_colours()
    taken: set[str] = set()
    swatches: list[Swatch] = []
    for index, name in enumerate(names):
        colour = natural.get(name.lower(), "")
        turn = index
        while not colour or colour in taken:
            colour = _spread(turn)
            turn += 997
        taken.add(colour)
        swatches.append(Swatch(name, colour, _stuff(name)))
    return tuple(swatches)


def translated(labels: NDArray[np.uint8], old: Palette, new: Palette) -> NDArray[np.uint8]:
    """A label map in another palette, by `nearest`; 255 where a class has no other."""
    ids = np.full(256, 255, np.uint8)
    for index, swatch in enumerate(old):
        found = nearest(swatch.name, new)
        ids[index] = 255 if found is None else found
    return ids[labels]


def nearest(name: str, palette: Palette) -> int | None:
    """The index of the class that a class of any list of names is: by name, else by what they stand for.

    Args:
        name: of COCO-Stuff, or as other data sets name what they label: "earth, ground", "tree-merged".
    """
    names = [swatch.name.lower() for swatch in palette]
    words = [_ENDINGS.sub("", word.strip()) for word in (name.lower(), *re.split("[,;/]", name.lower()))]
    said = [name.lower(), *words, *(_synonyms()[word] for word in words if word in _synonyms())]
    if exact := [names.index(word) for word in said if word in names]:
        return exact[0]
    meant = [stuff for word in said for stuff in _stuff(word)]
    kin = [
        (meant.index(stuff) + place, index)
        for index, swatch in enumerate(palette)
        for place, stuff in enumerate(swatch.stuff)
        if stuff in meant
    ]
    return min(kin)[1] if kin else None


@functools.cache
def _stuff(name: str) -> tuple[int, ...]:
    ids = {stuff: index for index, stuff in enumerate(class_names("coco-stuff"))}
    kin = json.loads((ASSETS / "palettes" / "kin.json").read_text(encoding="utf-8"))["names"]
    return tuple(ids[stuff] for stuff in kin.get(name.lower(), [name.lower()]) if stuff in ids)


@functools.cache
def _synonyms() -> dict[str, str]:
    return dict(json.loads((ASSETS / "palettes" / "synonyms.json").read_text(encoding="utf-8"))["names"])


@functools.cache
def _natural_colours() -> dict[str, str]:
    return dict(json.loads((ASSETS / "palettes" / "colours.json").read_text(encoding="utf-8")))


def _spread(index: int) -> str:
    """The index-th of many colours that are easy to tell apart."""
    red, green, blue = colorsys.hls_to_rgb(
        (0.08 + index * _GOLDEN) % 1, _LIGHTNESS[index % 4], 0.62 if index % 3 else 0.42
    )
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
