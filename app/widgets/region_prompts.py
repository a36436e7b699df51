"""A prompt for each class that is painted, or box that is drawn, on a tab's canvas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from app.widgets.scripts import Scripted
from ldm_core.request.regions import WEIGHT
from ldm_core.request.rules import PROMPT_CHARACTERS, Real, Text

MOST = 300  # that are remembered


@dataclass(frozen=True, slots=True)
class RegionText:
    """What is written for a part, and how much that counts."""

    text: str
    weight: float = 1.0


class RegionPrompts(Scripted):
    """Fields for what is on the canvas of the same tab; its value is a mapping of all that was ever written.

    Its keys are names of classes, or ids of boxes.
    """

    script = "regions.js"
    classes = ("region-prompts",)
    empty: ClassVar[dict[str, object]] = {"prompts": {}, "here": []}


def as_browser_has_it(prompts: Mapping[str, RegionText]) -> dict[str, object]:
    """The value of a `RegionPrompts`; which of them are of use the browser finds out."""
    return {
        "prompts": {key: {"text": entry.text, "weight": entry.weight} for key, entry in prompts.items()},
        "here": [],
    }


def prompts_in(payload: object, *, here: bool = False) -> dict[str, RegionText]:
    """What a browser sent, without what is empty.

    Args:
        here: of the parts that are there now alone.
    """
    prompts = payload.get("prompts") if isinstance(payload, Mapping) else None
    if not isinstance(payload, Mapping) or not isinstance(prompts, Mapping):
        return {}
    there = payload.get("here")
    found = {}
    for key, entry in list(prompts.items())[-MOST:]:
        if not isinstance(key, str) or not isinstance(entry, Mapping):
            continue
        if here and not (isinstance(there, list) and key in there):
            continue
        text, weight = (
            Text(PROMPT_CHARACTERS).read(entry.get("text")),
            Real(*WEIGHT).read(entry.get("weight")),
        )
        if text is not None and text.strip():
            found[key] = RegionText(text, 1.0 if weight is None else weight)
    return found
