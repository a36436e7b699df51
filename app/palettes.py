"""The classes that can be painted: lists of names, and a colour for each name.

The lists in assets/palettes name their source and licence.
"""

from __future__ import annotations

import colorsys
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass

from app.places import ASSETS
from ldm_core.vocabulary import Vocabulary, class_names

__all__ = ["Palette", "Swatch", "Vocabulary", "class_names", "palette_of"]

# Turning by this share of a circle never comes near an earlier hue soon.
_GOLDEN = 0.6180339887
_LIGHTNESS = (0.62, 0.44, 0.76, 0.53)


@dataclass(frozen=True, slots=True)
class Swatch:
    """A class that can be painted; `colour` is "#rrggbb"."""

    name: str
    colour: str


Palette = tuple[Swatch, ...]


def palette_of(names: Iterable[str]) -> Palette:
    """A colour for each name, no two alike: a natural one where there is one, else the next hue."""
    natural = _natural_colours()
    taken: set[str] = set()
    swatches: list[Swatch] = []
    for index, name in enumerate(names):
        colour = natural.get(name, "")
        turn = index
        while not colour or colour in taken:
            colour = _spread(turn)
            turn += 997
        taken.add(colour)
        swatches.append(Swatch(name, colour))
    return tuple(swatches)


@functools.cache
def _natural_colours() -> dict[str, str]:
    return dict(json.loads((ASSETS / "palettes" / "colours.json").read_text(encoding="utf-8")))


def _spread(index: int) -> str:
    """The index-th of many colours that are easy to tell apart."""
    red, green, blue = colorsys.hls_to_rgb(
        (0.08 + index * _GOLDEN) % 1, _LIGHTNESS[index % 4], 0.62 if index % 3 else 0.42
    )
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
