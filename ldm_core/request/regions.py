"""Prompts for parts of a picture, which are painted, drawn as boxes, or given as masks.  Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ldm_core.request.raster import Raster, to_uri
from ldm_core.request.rules import (
    MAX_BOXES,
    NAME_CHARACTERS,
    PROMPT_CHARACTERS,
    Name,
    RasterOf,
    Real,
    Text,
    Whole,
)

MAX_REGIONS = 32
WEIGHT = (0.01, 10.0)
MASK_SIDE = 2048  # pixels
_PLACES = ("class", "box", "mask")


@dataclass(frozen=True, slots=True)
class RegionPrompt:
    """What a part of the picture shows; the part is one of `label`, `box` and `mask`.

    label: a class of the label map, by its name or id.
    box: the number of one of the boxes, from 0 on.
    mask: of any size, laid over the whole picture; greys count in part.
    weight: how much the prompt counts beside the picture's own and those of other masks there.
    template: what the prompt is made of, as in `Request`.
    """

    prompt: str
    label: str | int | None = None
    box: int | None = None
    mask: Raster | None = None
    weight: float = 1.0
    template: str | None = None

    @property
    def called(self) -> str:
        """In sentences: "the region “sky”"."""
        if self.mask is not None:
            return "the region of a mask"
        return f"the box {self.box + 1}" if self.box is not None else f"the region “{self.label}”"

    def to_json(self) -> dict[str, object]:
        places = {
            "class": self.label, "box": self.box, "mask": None if self.mask is None else to_uri(self.mask)
        }  # fmt: skip
        template = {} if self.template is None else {"template": self.template}
        given = {name: place for name, place in places.items() if place is not None}
        return {"prompt": self.prompt, **given, "weight": self.weight, **template}


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions, as objects or ready; none is given twice."""

    @property
    def allowed(self) -> str:
        return (
            f"a list of 1 to {MAX_REGIONS} regions, each an object with prompt, one of class (a name or id), "
            f"box (its number, from 0 on) and mask (a data: URI, of up to {MASK_SIDE} pixels a side) and, if "
            f"not 1, weight (from {WEIGHT[0]:g} to {WEIGHT[1]:g}); none for the same part twice"
        )

    def read(self, value: object) -> tuple[RegionPrompt, ...] | None:
        if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_REGIONS:
            return None
        regions: list[RegionPrompt] = []
        for entry in value:  # which may hold a large picture: none is read after one that is refused
            if (region := _region(entry)) is None:
                return None
            regions.append(region)
        places = {(one.label, one.box, one.mask) for one in regions}
        return tuple(regions) if len(regions) == len(places) else None


def _region(value: object) -> RegionPrompt | None:
    if isinstance(value, RegionPrompt):
        given = {
            "prompt": value.prompt, "class": value.label, "box": value.box, "mask": value.mask,
            "weight": value.weight, "template": value.template,
        }  # fmt: skip
        value = {name: part for name, part in given.items() if part is not None}
    if not isinstance(value, Mapping) or not set(value) <= {"prompt", *_PLACES, "weight", "template"}:
        return None
    weight, prompt = Real(*WEIGHT).read(value.get("weight", 1.0)), _words(value.get("prompt", ""))
    template = _words(value.get("template"))
    label, box = _class(value.get("class")), Whole(0, MAX_BOXES - 1).read(value.get("box"))
    mask = RasterOf("mask").read(value.get("mask"))
    if mask is not None and max(mask.width, mask.height) > MASK_SIDE:
        return None
    places = [place for place in (label, box, mask) if place is not None]
    if not len(places) == sum(name in value for name in _PLACES) == 1:
        return None
    if weight is None or prompt is None or not (prompt or template):
        return None
    return RegionPrompt(prompt, label, box, mask, weight, template)


def _words(value: object) -> str | None:
    text = Text(PROMPT_CHARACTERS).read(value)
    return None if text is None else text.strip()


def _class(value: object) -> str | int | None:
    number = Whole(0, 254).read(value)
    return Name(1, NAME_CHARACTERS).read(value) if number is None else number
